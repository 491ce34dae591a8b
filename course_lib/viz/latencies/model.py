"""The data of the latencies: when each request came, began and got its tokens, in time and in steps.

All times are in milliseconds. What depends on the step is kept as whole numbers, so that the browser computes none.
"""

import math
from bisect import bisect_left, bisect_right
from statistics import median

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated, request_name
from course_lib.viz.kit.inputs import some

STALL = 2  # a gap of more than so many medians of its request is marked
STATES = ("not there yet", "waits", "prefill", "decode", "finished")
COLUMNS = ["request", "state", "tokens", "queue time", "TTFT", "TPOT", "longest gap", "end to end"]
NEVER = 10**9  # the step of what does not happen


def latencies_data(requests, steps):
    """What the browser draws from. Raises ParameterError where requests and steps do not fit together."""
    steps = _steps(steps)
    if not isinstance(requests, dict):
        raise ParameterError(f"requests is {type(requests).__name__}; give a dict {{name: RequestMetrics}}.")
    found = [_request(str(name), one, steps) for name, one in some("requests", requests.items())]
    found.sort(key=lambda one: one["arrival"])
    return {
        "title": "Requests in time",
        "subtitle": f"{count(len(found), 'request')}, {count(len(steps), 'step')}, {ms(steps[-1][1])}",
        "first": 1,
        "last": len(steps),
        "steps": steps,
        "requests": found,
        "states": STATES,
        "columns": COLUMNS,
        "say": [_words(found, steps, step) for step in range(1, len(steps) + 1)],
    }


def ms(value):
    """Milliseconds as text; None as a dash."""
    return "–" if value is None else f"{value:,.1f} ms"


def state(request, step):
    """The place in STATES of what a request does in a step."""
    if step < request["came"]:
        return 0
    if step > request["done"]:
        return 4
    if step < request["began"]:
        return 1
    return 2 if not request["token_steps"] or step <= request["token_steps"][0] else 3


def tokens_after(request, step):
    """Output tokens that the request has after a step."""
    return bisect_right(request["token_steps"], step)


def told(request):
    """The latencies of a request in a sentence."""
    _, ttft, tpot, gap, whole = request["cells"]
    tokens = count(len(request["tokens"]), "token")
    parts = [f"{request_name(request['name'])} waited {request['cells'][0]} in the queue", f"TTFT {ttft}", tokens]
    return ", ".join([*parts, f"TPOT {tpot}", f"longest gap {gap}", f"end to end {whole}"]) + "."


def _steps(steps):
    """[[start, end], ...] in ms."""
    found, before = [], 0.0
    for index, step in enumerate(some("steps", steps)):
        try:
            start, end = (float(value) for value in step)
        except (TypeError, ValueError):
            raise ParameterError(f"steps[{index}] is {step!r}; a step is (start, end), in seconds.") from None
        if not before - 1e-9 <= start <= end < math.inf:
            raise ParameterError(
                f"steps[{index}] goes from {start:g} s to {end:g} s, and the one before it ended at {before:g} s. "
                "Give all steps in the order in which they ran."
            )
        before = end
        found.append([round(1e3 * start, 4), round(1e3 * end, 4)])
    return found


def _request(name, metrics, steps):
    for field in ("arrival", "first_scheduled", "token_times", "finished"):
        if not hasattr(metrics, field):
            raise ParameterError(f"{name} has no {field}. Give RequestMetrics, such as output.metrics of an engine.")
    arrival, *tokens = (round(1e3 * time, 4) for time in (metrics.arrival, *metrics.token_times))
    if tokens and tokens[-1] > steps[-1][1] + 0.01:
        raise ParameterError(
            f"{name} gets a token at {tokens[-1]:,.1f} ms, after the last step, which ends at {steps[-1][1]:,.1f} ms. "
            "Times of requests and steps have to be of the same clock and the same run."
        )
    begun = None if metrics.first_scheduled is None else round(1e3 * metrics.first_scheduled, 4)
    done = None if metrics.finished is None else round(1e3 * metrics.finished, 4)
    starts, ends = [start for start, _ in steps], [end for _, end in steps]
    ending = [1 + bisect_left(ends, time - 0.01) for time in tokens]
    gaps = [b - a for a, b in zip(tokens, tokens[1:])]
    return {
        "name": name,
        "arrival": arrival,
        "begin": begun,
        "tokens": tokens,
        "stalls": [at for at, gap in enumerate(gaps) if gap > STALL * median(gaps)],
        "finished": done,
        "came": 1 + bisect_right(ends, arrival),
        "began": NEVER if begun is None else max(1, bisect_right(starts, begun + 0.01)),
        "token_steps": ending,
        "done": NEVER if done is None else 1 + bisect_left(ends, done - 0.01),
        "cells": [
            ms(None if begun is None else begun - arrival),
            ms(tokens[0] - arrival if tokens else None),
            ms((tokens[-1] - tokens[0]) / len(gaps) if gaps else None),
            ms(max(gaps, default=None)),
            ms(None if done is None else done - arrival),
        ],
    }


def _words(requests, steps, step):
    start, end = steps[step - 1]
    words = [["strong", f"Step {step} takes {ms(end - start)}."], ["", " "]]
    states = [(one, state(one, step)) for one in requests]
    begun = [request_name(one["name"]) for one, _ in states if one["began"] == step]
    first = [one for one, _ in states if one["token_steps"][:1] == [step]]
    ended = [request_name(one["name"]) for one, _ in states if one["done"] == step]
    waiting = sum(kind == 1 for _, kind in states)
    decoding = sum(kind == 3 for _, kind in states)
    said = [f"Prefill of {enumerated(begun)} begins."] if begun else []
    said += [f"{request_name(one['name'])} gets its first token: TTFT {one['cells'][1]}." for one in first]
    said += [f"{count(decoding, 'request')} get{'s' * (decoding == 1)} one more token."] if decoding else []
    said += [f"{enumerated(ended)} {'is' if len(ended) == 1 else 'are'} finished."] if ended else []
    said += [f"{count(waiting, 'request')} wait{'s' * (waiting == 1)}."] if waiting else []
    return [*words, ["", " ".join(said)]]
