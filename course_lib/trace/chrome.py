"""A trace of an engine in the Chrome trace format, for chrome://tracing and ui.perfetto.dev.

One row a request: waiting, prefill, decode, speculate, recompute, preempted, swapped. Above them counters for each
step: tokens computed, requests that run and that wait, blocks in use. Source: the Trace Event Format of the Chromium
project.
"""

import json
from pathlib import Path

from course_lib.errors import ParameterError

from .memory import cuts_at, memory_rows, replayed
from .records import rows_of
from .schedule import COMPUTED, Schedule, computed_after, drafts_in, steps_of, tokens_in

ENGINE, REQUESTS = 0, 1  # the two groups of rows


def save_chrome_trace(trace, path, *, step_starts=None):
    """Writes `chrome_trace` to a file that a trace viewer opens."""
    Path(path).write_text(json.dumps({"traceEvents": chrome_trace(trace, step_starts=step_starts)}), encoding="utf-8")


def chrome_trace(trace, *, step_starts=None):
    """The events of a trace viewer, a list of dictionaries, for the records of a Trace.

    step_starts: seconds at which each step began, and the end of the last one; default: every step takes 1 ms. Raises
    ParameterError where these are too few, and for a trace that no engine wrote.
    """
    rows = rows_of(trace, memory=False)
    if not any(row[1] == "engine" for row in rows):
        raise ParameterError(
            "This trace has no record of an engine, only of memory. Record one: Engine(model, config).trace."
        )
    first, num_steps = rows[0][0], rows[-1][0] + 1
    seconds = [step / 1000 for step in range(num_steps + 1)] if step_starts is None else list(step_starts)
    if len(seconds) <= num_steps:
        raise ParameterError(
            f"{len(seconds)} times came for {num_steps} steps. Give the beginning of each, and the last one's end."
        )
    starts = [round(second * 1e6) for second in seconds[first:]]  # microseconds
    schedule, events = Schedule(), [_named("process_name", ENGINE, "engine")]
    blocks = _blocks_in_use(rows, first)
    for at, records in enumerate(steps_of(rows)):
        schedule.take(records)
        counts = zip(("tokens computed", "running", "waiting"), schedule.counts())
        for name, value in [*counts, *([("blocks in use", blocks[at])] if blocks else [])]:
            events.append({"name": name, "ph": "C", "ts": starts[at], "pid": ENGINE, "args": {name: value}})
    events.append(_named("process_name", REQUESTS, "requests"))
    for row, lane in enumerate(schedule.lanes, 1):
        events.append(_named("thread_name", REQUESTS, str(lane.name), row))
        events += _slices(lane, row, first, starts)
        if lane.done:
            step, reason, _ = lane.done
            events.append({"name": reason, "ph": "i", "s": "t", "ts": starts[step + 1], "pid": REQUESTS, "tid": row})
    return events


def _blocks_in_use(rows, first):
    """After each step; [] for a trace without memory."""
    own = memory_rows(rows)
    if not own or own[0][1] != "start":
        return []
    return [memory.in_use for memory in replayed(own, cuts_at(own, range(first, rows[-1][0] + 1)))]


def _slices(lane, row, first, starts):
    """The events of a request: one for each of its steps that computed tokens, and one for each time that it waited."""
    for span in lane.spans:
        kind, begin, end, number, _ = span
        if kind == "idle":
            continue
        edges = [(at, at + 1) for at in range(begin, end)] if kind in COMPUTED else [(begin, end)]
        for since, until in edges:
            about = {"step": first + since}
            if kind in COMPUTED:
                about |= {"start": number, "tokens": tokens_in(span, since)}
                if kind == "speculate":
                    about |= dict(zip(("drafted", "accepted"), drafts_in(span, since)))
                number = computed_after(span, since)
            times = {"ts": starts[since], "dur": starts[until] - starts[since]}
            yield {"name": kind, "ph": "X", **times, "pid": REQUESTS, "tid": row, "args": about}


def _named(kind, group, name, row=0):
    return {"name": kind, "ph": "M", "pid": group, "tid": row, "args": {"name": name}}
