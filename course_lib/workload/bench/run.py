"""One run of `course bench`, from the options to the file."""

import sys
import time
from datetime import datetime

from ..feed import Feed
from .record import MOST_KEPT, check_output, make_record, write_record
from .setting import git_state, machine_facts, versions
from .table import table
from .watch import Interrupted, Watch

INTERRUPTED, NOTHING_COMPLETE = 130, 1


def make_target(options):
    """What is measured, ready to be used. Only what is needed is imported."""
    if options.kind == "server":
        from .server_target import ServerTarget as Target
    elif options.kind == "simulator":
        from .simulator_target import SimulatorTarget as Target
    else:
        from .engine_target import EngineTarget as Target
    return Target(options)


def run_bench(options, output=None, *, pictures=False):
    """Measures, writes the record, prints the table. Returns the exit code: 0, 1 if no request is complete, 130.

    options: BenchOptions. output: the file; default: one in this folder with the time in its name. pictures: a PNG
    beside it too. Raises CourseError, and writes nothing, for what cannot be measured.
    """
    began = datetime.now().astimezone()
    path = check_output(output or f"bench-{options.kind}-{began:%Y%m%d-%H%M%S}.json")
    picture = check_output(path.with_suffix(".png")) if pictures else None
    setting = {"machine": machine_facts(), "versions": versions(), "git": git_state()}
    print("Getting ready", file=sys.stderr)
    target = make_target(options)
    workload = options.workload(**target.limits)
    feed = Feed(workload)
    keep = pictures or options.kind != "simulator" or (options.num_expected or 0) <= MOST_KEPT
    interrupted = False
    with Watch(options.num_expected, targets=options.targets(), keep=keep) as watch:
        print("Measuring. Ctrl-C ends the run and saves what has ended.", file=sys.stderr)
        start = time.perf_counter()
        try:
            target.serve(feed, watch)
        except (Interrupted, KeyboardInterrupt):
            interrupted = True
        elapsed = time.perf_counter() - start
        watch.saving()
        duration = measured_seconds(watch, target, elapsed, interrupted)
        record = make_record(
            options, workload, target, watch, duration=duration, interrupted=interrupted, unfinished=feed.num_open,
            setting=setting, date=began.isoformat(timespec="seconds"),
        )  # fmt: skip
        print(table(record))
        write_record(path, record)
        print(f"Saved: {path}")
        if picture is not None:
            from .pictures import save_picture  # loads matplotlib

            save_picture(picture, watch.requests, duration)
            print(f"Saved: {picture}")
    return INTERRUPTED if interrupted else 0 if record["results"]["completed"] else NOTHING_COMPLETE


def measured_seconds(watch, target, elapsed, interrupted):
    """Seconds of the run: to the last end, or, of a real run that was interrupted, to Ctrl-C."""
    ends = [request.finished for request in watch.requests or ()]
    last = max(ends) if ends else watch.totals.last_finish or 0.0
    return elapsed if interrupted and target.about()["kind"] != "simulator" else last
