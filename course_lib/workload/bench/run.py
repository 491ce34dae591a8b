"""One run of `course bench`, from the options to the file."""

import sys
import time
from datetime import datetime

from course_lib.errors import ParameterError

from ..feed import Feed
from .record import MOST_KEPT, check_output, make_record, write_record
from .series import series_record, series_table
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
    elif options.kind == "engine":
        from .engine_target import EngineTarget as Target
    else:
        from .batch_target import BatchTarget as Target
    return Target(options)


def run_bench(options, output=None, *, pictures=False):
    """Measures, writes the record, prints the table. Returns the exit code: 0, 1 if no request is complete, 130.

    options: BenchOptions. output: the file; default: one in this folder with the time in its name. pictures: a PNG
    beside it too. Raises CourseError for what cannot be measured; of a series, the runs before it are saved then.
    """
    began = datetime.now().astimezone()
    path = check_output(output or f"bench-{options.kind}-{began:%Y%m%d-%H%M%S}.json")
    picture = check_output(path.with_suffix(".png"), "--pictures: the picture") if pictures else None
    if picture == path:
        raise ParameterError(f"--output {path} has the name that the picture gets. Let it end in .json.")
    setting = {"machine": machine_facts(), "versions": versions(), "git": git_state()}
    variants, runs = options.variants(), {}
    for name, one in variants:
        record, watch = measure(one, name, setting, began, keep=pictures)
        runs[name] = record
        if len(variants) > 1:
            whole = series_record(options, runs, began.isoformat(timespec="seconds"))
            write_record(path, whole)
        if record["interrupted"]:
            break
    if len(variants) > 1:
        print(series_table(whole))
    else:
        print(table(record))
        write_record(path, record)
    print(f"Saved: {path}")
    if picture is not None:
        from .pictures import save_picture, save_series_picture  # loads matplotlib

        if len(variants) > 1:
            save_series_picture(picture, whole)
        else:
            save_picture(picture, watch, record["results"]["duration"])
        print(f"Saved: {picture}")
    if record["interrupted"]:
        return INTERRUPTED
    return 0 if all(record["results"]["completed"] for record in runs.values()) else NOTHING_COMPLETE


def measure(options, name, setting, began, *, keep):
    """(record, Watch) of one run. name: of the run in a series. keep: whether single requests must be kept."""
    print(f"Getting ready{name and ': '}{name}", file=sys.stderr)
    target = make_target(options)
    workloads = options.workloads(**target.limits)
    feed = Feed(*workloads)
    keep = keep or options.kind != "simulator" or (options.num_expected or 0) <= MOST_KEPT
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
        record = make_record(
            options, workloads, target, watch, duration=measured_seconds(watch, target, elapsed, interrupted),
            interrupted=interrupted, unfinished=feed.num_open, setting=setting,
            date=began.isoformat(timespec="seconds"),
        )  # fmt: skip
    return record, watch


def measured_seconds(watch, target, elapsed, interrupted):
    """Seconds of the run: to the last end, or, of a real run that was interrupted, to Ctrl-C."""
    ends = [request.finished for request in watch.requests or ()]
    last = max(ends) if ends else watch.totals.last_finish or 0.0
    return elapsed if interrupted and target.about()["kind"] != "simulator" else last
