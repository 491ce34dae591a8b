"""The exercise 12.goodput: the requests that keep all of their limits, and the limits that are missed."""

import copy
import random

from course_lib.practice.judge.agreement import EXACT
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, loses_digits, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .goodput_mistakes import MISTAKES
from .numbers import part_of, plain, written
from .solutions.goodput import goodput


def goodput_by_filters(requests, seconds, targets):
    """Keeps the complete requests, then counts each limit in a comprehension."""
    complete = [one for one in requests if one["reason"] == "stop" or one["reason"] == "length"]

    def keeps(one, name):
        return (one[name] or 0) <= targets[name]

    good = sum(all(keeps(one, name) for name in targets) for one in complete)
    missed = {name: len([one for one in complete if not keeps(one, name)]) for name in targets}
    return {"missed": missed, "goodput": good / seconds, "good": good}


def goodput_by_numpy(requests, seconds, targets):
    """A table of what is late, one row for each complete request."""
    import numpy as np

    complete = [one for one in requests if one["reason"] in {"stop", "length"}]
    late = np.zeros((len(complete), len(targets)), dtype=bool)
    for row, one in enumerate(complete):
        for column, name in enumerate(targets):
            late[row, column] = one[name] is not None and one[name] > targets[name]
    good = (~late.any(axis=1)).sum()
    return dict(good=good, goodput=good / seconds, missed=dict(zip(targets, late.sum(axis=0))))


def request(ttft, tpot=0.125, e2el=4.0, reason="stop"):
    return {"reason": reason, "ttft": ttft, "tpot": tpot, "e2el": e2el}


def run(requests, targets, part=None, seconds=4, note=""):
    """The Trial of one run. part: the one value that is compared; None: all three."""

    def act(answer):
        got = part_of(answer(copy.deepcopy(requests), seconds, dict(targets)), part, "goodput")
        return plain(got, whole=("good",) if not isinstance(got, dict) or "missed" not in got else ("good", *targets))

    call = f"goodput({requests}, {seconds}, {targets})"
    size = 100 * len(requests) + 10 * len(targets) + sum(one["reason"] != "stop" for one in requests)
    lines = [call if part is None else f'{call}["{part}"]']
    return Trial(lines, act, show=shown, note=note, size=size, rounding=EXACT)


def shown(got):
    """The outcome as text; `missed` as the dict it is, also with one name."""
    if isinstance(got, dict) and isinstance(got.get("missed"), dict):
        return repr(got["missed"]) if len(got) == 1 else repr(got)
    return written(got)


def untouched(requests, targets):
    def act(answer):
        given, limits = copy.deepcopy(requests), dict(targets)
        answer(given, 4, limits)
        return given, limits

    story = [f"requests = {requests}", f"targets = {targets}", "goodput(requests, 4, targets)", "requests, targets"]
    return Trial(story, act, note="unchanged", size=len(requests))


def drawn(seed, count):
    """Requests whose latencies are often exactly at the limits 0.5, 0.125 and 4."""
    draw = random.Random(seed)
    return [
        request(
            draw.choice((0.25, 0.5, 0.75)),
            draw.choice((None, 0.0625, 0.125, 0.25)),
            draw.choice((2.0, 4.0, 4.5)),
            draw.choice(("stop", "stop", "length", "length", "abort", "error")),
        )
        for _ in range(count)
    ]


TTFT, TPOT, E2EL = {"ttft": 0.5}, {"tpot": 0.125}, {"e2el": 4.0}
ALL = {**TTFT, **TPOT, **E2EL}
LIMITS = [
    ([request(0.25)], TTFT, ""),
    ([request(0.75)], TTFT, ""),
    ([request(0.5)], TTFT, "exactly at the limit"),
    ([request(0.25, 0.125)], TPOT, "exactly at the limit"),
    ([request(0.25, 0.25)], TPOT, ""),
    ([request(0.25, None)], TPOT, "one token has no gap"),
    ([request(0.25, None), request(0.25, 0.25)], TPOT, ""),
    ([request(0.25, 0.125, 4.0)], E2EL, "exactly at the limit"),
    ([request(0.25, 0.125, 5.0)], E2EL, ""),
    ([request(0.25), request(0.5), request(0.75)], TTFT, ""),
    ([request(0.25, 0.0625), request(0.25, 0.125), request(0.25, 0.25), request(0.25, 0.5)], TPOT, ""),
    ([request(0.25, 0.125, 3.0), request(0.25, 0.125, 4.0), request(0.25, 0.125, 9.0)], E2EL, ""),
    ([request(0.5000001)], TTFT, "above the limit, however little"),
    ([request(0.25, 0.1250000001)], TPOT, "above the limit, however little"),
    ([request(0.25, 0.125, 4.0004), request(0.25, 0.125, 3.9996)], E2EL, ""),
]
SEVERAL = [
    ([request(0.75, 0.0625, 3.0)], ALL, "above one of three limits"),
    ([request(0.25, 0.25, 3.0)], ALL, ""),
    ([request(0.25, 0.0625, 5.0)], ALL, ""),
    ([request(0.75, 0.25, 5.0)], ALL, "above all three, and one request"),
    ([request(0.75, 0.25)], {**TTFT, **TPOT}, ""),
    ([request(0.25), request(0.75, 0.25)], {**TPOT, **TTFT}, ""),
    ([request(0.25), request(0.75, 0.25, 5.0)], {**E2EL, **TTFT}, "there is no limit for `tpot`"),
    ([request(0.5, 0.125), request(0.75, 0.25), request(0.25, 0.25), request(0.75)], {**TTFT, **TPOT}, ""),
    ([request(0.25), request(0.75), request(0.75, 0.25), request(0.75, 0.25, 5.0), request(0.25)], ALL, ""),
    ([request(0.75, 0.25, 5.0)], {}, "no limits: every complete request is good"),
    ([request(0.75), request(0.25, None)], {}, ""),
    ([request(0.75, None)], ALL, "one token, above the limit of `ttft`"),
    ([request(0.25, None, 5.0)], {**E2EL, **TPOT}, "one token, above the limit of `e2el`"),
    ([], ALL, "no requests"),
    ([], {}, ""),
]
REASONS = [
    ([request(0.25, reason="length")], TTFT, '"length" is complete'),
    ([request(0.25, reason="abort")], TTFT, "not complete"),
    ([request(0.75, reason="error")], TTFT, "not complete"),
    ([request(None, None, None, "error")], ALL, "not complete"),
    ([request(0.25, reason="")], TTFT, "not complete"),
    ([request(0.25, reason="stopped")], TTFT, "not complete"),
    ([request(0.25, reason="stopped")], TTFT, "not complete"),
    ([request(0.25, reason="length"), request(0.75, reason="length"), request(0.25)], TTFT, ""),
    ([request(0.25), request(0.25, reason="abort"), request(0.75, reason="abort")], TTFT, ""),
    ([request(0.25, 0.25, 5.0, "error"), request(0.25, 0.25), request(None, None, None, "abort")], ALL, ""),
    ([request(0.25, reason="abort"), request(0.25, reason="error")], {}, ""),
    ([request(0.25, reason="error"), request(0.25, reason="length")], {}, ""),
]
PARTS = ("good", "missed")
UNTOUCHED = [
    untouched([request(0.25)], TTFT),
    untouched([request(0.75), request(0.25, None)], ALL),
    untouched([request(0.25, reason="abort"), request(0.25), request(0.75, 0.25)], {**TPOT, **TTFT}),
]

GOODPUT = Exercise(
    id="12.goodput",
    title="Requests in time",
    name="goodput",
    cases="runs",
    properties=[
        Property(
            "`good`: a complete request that keeps its limit; exactly at the limit is kept",
            "A limit of 0.5 s allows 0.5 s. An output of one token has no `tpot`, and keeps every limit of `tpot`.",
            [run(requests, targets, "good", note=note) for requests, targets, note in LIMITS],
        ),
        Property(
            "`good`: all limits are kept, and what has no limit may be anything",
            "A user who waits too long for the beginning isn't helped by fast tokens.",
            [run(requests, targets, "good", note=note) for requests, targets, note in SEVERAL],
        ),
        Property(
            '`good`: only requests that ended with "stop" or "length" count',
            "A request that was given up, or failed, served nobody. Any text but these two is not complete.",
            [run(requests, targets, "good", note=note) for requests, targets, note in REASONS],
        ),
        Property(
            "`missed`: for each limit, the complete requests above it",
            "It shows which limit to work on. A request above two limits counts in both; a limit that all keep has 0.",
            [run(requests, targets, "missed", note=note) for requests, targets, note in (*LIMITS, *SEVERAL)],
        ),
        Property(
            "`missed`: requests that are not complete do not count here, either",
            "They failed; whether they would have been in time is not known.",
            [run(requests, targets, "missed", note=note) for requests, targets, note in REASONS],
        ),
        Property(
            "`goodput`: good requests for each second of the run",
            "The same run in half the time has twice the goodput. It is not rounded.",
            [
                run(requests, targets, "goodput", seconds)
                for seconds in (4, 0.5, 7)
                for requests, targets, _ in (*LIMITS[:2], LIMITS[9], *SEVERAL[7:12], *REASONS[5:7])
            ],
        ),
        Property(
            "A dict of the three is returned, and it holds for longer runs",
            "Latencies at, below and above the limits; complete requests and others.",
            [
                run([request(0.25)], TTFT),
                run([request(0.75)], ALL),
                *(
                    run(drawn(seed, 4 + 4 * seed), targets, seconds=3)
                    for seed in range(3)
                    for targets in (TTFT, ALL, {**E2EL, **TPOT})
                ),
            ],
        ),
        Property("The caller's list and dict are not changed", "The next figure is made from them.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's list or dict is changed.",
            "`requests` and `targets` belong to the caller. Make new ones.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "the values come without their names.",
            'The caller asks for each by its name: return `{"good": …, "goodput": …, "missed": …}`.',
            is_made_by=lambda answer, found: isinstance(found.outcome, (tuple, list)),
        ),
        loses_digits(goodput),
        *MISTAKES,
    ],
    hints=[
        "Go through the requests once. Leave out those that are not complete, and find for each of the others the "
        "limits that it is above.",
        "`[name for name, limit in targets.items() if request[name] is not None and request[name] > limit]` are the "
        "names of the missed limits. A request is good when this list is empty.",
        "Begin with `missed = dict.fromkeys(targets, 0)`: each name of `targets` with a 0.",
    ],
    rights=[goodput, goodput_by_filters, goodput_by_numpy],
    why="As `--goodput` of `vllm bench serve`, after DistServe (arXiv 2401.09670). Throughput grows when the batch "
    "grows; goodput falls when users wait too long for it. `missed` is the course's own: it says whether to work on "
    "the queue (`ttft`) or on the length of a step (`tpot`).",
)
