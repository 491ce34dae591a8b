"""A server that asks a batcher in every step, and the timeline of what it serves. For 09.dynamic_batcher."""

from collections import deque

from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.scripts import Script
from course_lib.practice.report.timeline_text import Timeline


def serve_batcher(batcher, arrivals, asks=False):
    """The Timeline of a server that asks `batcher` in every step in which it is free.

    A batch takes as many steps as its longest output has tokens. asks: whether `ready_at()` is called in every step
    too; a time that has passed already is shown as "now".
    """
    line, coming = (
        Timeline(numbers={"P": "starts in slot {n} of a batch"}),
        deque(sorted(arrivals, key=lambda a: a.step)),
    )
    running, waiting = {}, {}
    began = now = 0
    most = 40 + Script(tuple(arrivals)).most_steps  # a bound for batchers that never return a batch
    while (coming or running or waiting) and now < most:
        cells, below = {}, {}
        while coming and coming[0].step <= now:
            waiting[coming[0].name] = coming[0]
            batcher.add(coming.popleft().name, now)
        if asks:
            ready = batcher.ready_at()
            over = isinstance(ready, (int, float)) and ready <= now
            below["ready_at"] = "now" if over else f"{ready:g}" if isinstance(ready, float) else str(ready)
        if not running:
            batch = batcher.take(now)
            strange = what_is_wrong(batch, waiting)
            if strange:
                line.column(dict.fromkeys(waiting, "W"), {"take": strange})
                return line
            began, running = now, {name: waiting.pop(name) for name in batch}
            cells |= {name: f"P{slot}" for slot, name in enumerate(running)}
        else:
            cells |= {name: "D" if now - began < one.max_tokens else "-" for name, one in running.items()}
        line.column(cells | dict.fromkeys(waiting, "W"), below)
        now += 1
        if running and now - began == max(one.max_tokens for one in running.values()):
            running = {}
    return line


def what_is_wrong(batch, waiting):
    """What is wrong with the list that `take` returned, in a few words; "" where it is a batch of waiting requests."""
    if not isinstance(batch, (list, tuple)):
        return a_kind(batch)
    strangers = [name for name in batch if not (isinstance(name, str) and name in waiting)]
    if strangers:
        return f"{strangers[0]!r}"[:24] + " again" if isinstance(strangers[0], str) else f"{a_kind(strangers[0])} in it"
    return "one twice" if len(set(batch)) < len(batch) else ""
