"""A trace of an engine in the Chrome trace format, for chrome://tracing and ui.perfetto.dev.

One row a request: waiting, prefill, decode, recompute, preempted, swapped. Above them counters for each step: tokens computed,
requests that run and that wait, blocks in use. Source: the Trace Event Format of the Chromium project.
"""

import json
from itertools import groupby
from pathlib import Path

from course_lib.errors import ParameterError

ENGINE, REQUESTS = 0, 1  # the two groups of rows


def save_chrome_trace(trace, path, *, step_starts=None):
    """Writes `chrome_trace` to a file that a trace viewer opens."""
    Path(path).write_text(json.dumps({"traceEvents": chrome_trace(trace, step_starts=step_starts)}), encoding="utf-8")


def chrome_trace(trace, *, step_starts=None):
    """The events of a trace viewer, a list of dictionaries, for the records of a Trace.

    step_starts: seconds at which each step began, and the end of the last one; default: every step takes 1 ms. Raises
    ParameterError where these are too few, and for a trace that no engine wrote.
    """
    if not any(record["event"] == "engine" for record in trace.records):
        raise ParameterError(
            "This trace has no record of an engine, only of memory. Record one: Engine(model, config).trace."
        )
    num_steps = trace.records[-1]["step"] + 1
    starts = [step / 1000 for step in range(num_steps + 1)] if step_starts is None else list(step_starts)
    if len(starts) <= num_steps:
        raise ParameterError(
            f"{len(starts)} times came for {num_steps} steps. Give the beginning of each, and the last one's end."
        )
    rows = Rows([round(second * 1e6) for second in starts])
    for step, records in groupby(trace.records, key=lambda record: record["step"]):
        for record in records:
            handle = getattr(rows, "on_" + record["event"], None)
            if handle is not None:
                handle(step, record)
        rows.count(step)
    return rows.events


class Rows:
    """What each request is doing, from record to record. starts: microseconds at which the steps begin."""

    def __init__(self, starts):
        self.starts, self.events = (
            starts,
            [named("process_name", ENGINE, "engine"), named("process_name", REQUESTS, "requests")],
        )
        self.row, self.prompt, self.reached = (
            {},
            {},
            {},
        )  # request -> number of its row; prompt tokens; tokens ever computed
        self.idle = {}  # request -> (why it does not run, since which step)
        self.running, self.num_tokens = set(), 0
        self.refs, self.num_blocks = {}, 0

    def on_queue(self, step, record):
        self._open(record["request"], record["num_tokens"])
        self.idle[record["request"]] = "waiting", step

    def on_fork(self, step, record):
        self._open(record["request"], self.prompt[record["parent"]], self.reached[record["parent"]])
        self.running.add(record["request"])

    def on_schedule(self, step, record):
        for request, start, count in zip(record["requests"], record["starts"], record["counts"]):
            self._end_idling(request, step)
            what = (
                "recompute"
                if start < self.reached[request]
                else "decode"
                if start >= self.prompt[request]
                else "prefill"
            )
            self._slice(request, what, step, step + 1, {"start": start, "tokens": count})
            self.reached[request] = max(self.reached[request], start + count)
            self.running.add(request)
            self.num_tokens += count

    def on_preempt(self, step, record):
        self.running.discard(record["request"])
        self.idle[record["request"]] = "preempted" if record["how"] == "recompute" else "swapped", step

    def on_finish(self, step, record):
        self._end_idling(record["request"], step)
        self.running.discard(record["request"])
        self.events.append(
            {
                "name": record["reason"],
                "ph": "i",
                "s": "t",
                "ts": self.starts[step + 1],
                "pid": REQUESTS,
                "tid": self.row[record["request"]],
            }
        )

    def on_allocate(self, step, record):
        self._refer(record["blocks"], 1)

    def on_share(self, step, record):
        self._refer(record["blocks"], 1)

    def on_free(self, step, record):
        self._refer(record["blocks"], -1)

    def _refer(self, blocks, by):
        for block in blocks:
            before = self.refs.get(block, 0)
            self.refs[block] = before + by
            self.num_blocks += (before + by > 0) - (before > 0)

    def count(self, step):
        """The counters of a step, after all of its records."""
        for name, value in (
            ("tokens computed", self.num_tokens),
            ("running", len(self.running)),
            ("waiting", len(self.idle)),
            ("blocks in use", self.num_blocks),
        ):
            self.events.append({"name": name, "ph": "C", "ts": self.starts[step], "pid": ENGINE, "args": {name: value}})
        self.num_tokens = 0

    def _open(self, request, num_prompt_tokens, reached=0):
        self.prompt[request], self.reached[request] = num_prompt_tokens, reached
        self.row[request] = len(self.row) + 1
        self.events.append(named("thread_name", REQUESTS, str(request), self.row[request]))

    def _end_idling(self, request, step):
        if request in self.idle:
            why, since = self.idle.pop(request)
            self._slice(request, why, since, step, {})

    def _slice(self, request, what, since, until, more):
        if until > since:
            self.events.append(
                {
                    "name": what,
                    "ph": "X",
                    "ts": self.starts[since],
                    "dur": self.starts[until] - self.starts[since],
                    "pid": REQUESTS,
                    "tid": self.row[request],
                    "args": {"step": since, **more},
                }
            )


def named(kind, group, name, row=0):
    return {"name": kind, "ph": "M", "pid": group, "tid": row, "args": {"name": name}}
