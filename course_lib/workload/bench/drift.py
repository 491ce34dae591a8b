"""Drift: whether the last third of a run was like the first. A run is long enough when it is.

The thirds are of the time from the first arrival to the last one, and a request is in the third in which it arrived. So
the end of a run, when nothing arrives any more, is in none of them.

Requests that arrive close together share their steps and their queue, so they are alike. The bootstrap therefore draws
whole windows, ten in a third. To draw single requests sees a latency drift where none does: in 11 of 40 simulated runs
of 400 requests at a steady rate, and in none of them with windows. Close to the highest rate that a server
keeps up with, a queue grows and shrinks by itself for minutes, and windows see drift in 11 of 40 runs too.
"""

import numpy as np

from course_lib.engine.intervals import bootstrap_interval, tokens_per_second

FEWEST = 100
"""Requests in a third, below which an interval says too little."""
WINDOWS = 10
"""Windows in a third."""
SMALLEST = 0.01
"""Share by which a mean must change to count as drift, however sure the change is."""
LATENCIES = {"ttft": "ttft", "tpot": "tpot", "e2el": "e2e_latency"}


def drift(requests):
    """{"mean_ttft_ms": {"first": x, "first_interval": (low, high), "last": ..., "apart": bool}, ...} of a run.

    requests: RequestMetrics; only complete ones count. apart: whether the two 95 % intervals have nothing in common,
    and the means differ by more than 1 %. Also of output_throughput. None where a third has fewer than FEWEST requests,
    or all came at once.
    """
    complete = [request for request in requests if request.is_complete]
    begin, end = (at(request.arrival for request in complete) if complete else 0.0 for at in (min, max))
    third = (end - begin) / 3
    first = [request for request in complete if request.arrival < begin + third]
    last = [request for request in complete if request.arrival >= end - third]
    if min(len(first), len(last)) < FEWEST or third == 0:
        return None
    found = {}
    for name, attribute in LATENCIES.items():
        sides = [_windows(first, attribute, begin, third), _windows(last, attribute, end - third, third)]
        if all(sides):
            found[f"mean_{name}_ms"] = _beside(*sides)
    rates = tokens_per_second(requests, end, window=third / WINDOWS)
    found["output_throughput"] = _beside(rates[-3 * WINDOWS : -2 * WINDOWS], rates[-WINDOWS:])
    return found


def _windows(requests, attribute, begin, seconds):
    """The values of the requests in milliseconds: an array for each window that has any."""
    found = [[] for _ in range(WINDOWS)]
    for request in requests:
        value = getattr(request, attribute)
        if value is not None:
            number = int((request.arrival - begin) / seconds * WINDOWS)
            found[min(max(number, 0), WINDOWS - 1)].append(value * 1e3)
    return [np.array(values) for values in found if values]


def _beside(first, last):
    found = {}
    for name, values in (("first", first), ("last", last)):
        found[name] = float(np.concatenate([np.atleast_1d(value) for value in values]).mean())
        found[f"{name}_interval"] = bootstrap_interval(values)
    changed = abs(found["last"] - found["first"]) > SMALLEST * found["first"]
    return found | {"apart": changed and are_apart(found["first_interval"], found["last_interval"])}


def are_apart(a, b):
    """Whether two intervals (low, high) have nothing in common."""
    return a[1] < b[0] or b[1] < a[0]
