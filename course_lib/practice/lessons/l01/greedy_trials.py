"""Trials of 01.greedy."""

import itertools
from dataclasses import replace

import torch

from course_lib.practice.fixtures.random_logits import random_logits
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report import tensors


def choice(values, note="", digits=6):
    """The Trial that calls greedy on these logits. digits: how many of each are written down."""
    story = [f"logits = torch.tensor({tensors.numbers(torch.tensor(values), digits)})", "greedy(logits)"]
    return Trial(story, lambda answer: answer(torch.tensor(values)), show=tensors.outcome, note=note, size=len(values))


AN_INT = "an int"


def drawn(size, scale, shift):
    """The Trial of random logits that are too many to be written out."""
    logits = random_logits(size, scale, shift)
    story = [
        "from course_lib.practice.play import random_logits",
        f"logits = random_logits({size}, scale={scale}, shift={shift})  # the largest has id {int(logits.argmax())}",
        "greedy(logits)",
    ]
    return Trial(story, lambda answer: answer(logits.clone()), show=tensors.outcome, size=size)


def kind(values):
    """The Trial that compares the type only: every int is right, any other value is shown as it is."""

    def act(answer):
        got = answer(torch.tensor(values))
        return AN_INT if type(got) is int else got

    return Trial(
        [f"logits = {tensors.code(torch.tensor(values))}", "greedy(logits)"],
        act,
        size=len(values),
        show=lambda got: got if got is AN_INT else tensors.outcome(got),
    )


def untouched(values):
    """The Trial that compares the caller's logits after the call."""

    def act(answer):
        logits = torch.tensor(values)
        answer(logits)
        return logits

    return Trial(
        [f"logits = {tensors.code(torch.tensor(values))}", "greedy(logits)", "logits"],
        act,
        show=tensors.outcome,
        size=len(values),
    )


def only(size, largest):
    """The Trial of `size` logits of 0, but for one that is larger."""
    return replace(equals(size, [largest]), note="vocabularies can be large")


def larger_ones():
    generator = torch.Generator().manual_seed(7)
    for size in (5, 9, 33):
        for scale in (0.5, 10.0):
            yield choice((torch.randn(size, generator=generator) * scale).tolist())
            yield choice((torch.randn(size, generator=generator) * scale - 30.0).tolist())
    for scale in (0.5, 10.0):
        yield drawn(1000, scale, 0.0)
        yield drawn(1000, scale, -30.0)


def equals(size, ids):
    """The Trial of `size` logits of 0, but for equal ones at `ids`, which are the largest."""

    def act(answer):
        logits = torch.zeros(size)
        logits[ids] = 1.0
        return answer(logits)

    story = [f"logits = torch.zeros({size})", f"logits[{ids}] = 1.0", "greedy(logits)"]
    return Trial(story, act, show=tensors.outcome, note="the lowest id among equals", size=size)


UNTOUCHED = [untouched(v) for v in ([2.0, 1.0], [1.0, 3.0, 2.0], [-1.0, -2.0], [float("-inf"), 2.0, float("-inf")])]
TIES = [
    choice(list(v), "the lowest id among equals")
    for n in (2, 3, 4)
    for v in itertools.product((0.0, 1.0, -1.0), repeat=n)
    if v.count(max(v)) > 1
] + [equals(20, [6, 9]), equals(40, [7, 23, 30]), equals(300, [12, 200, 250])]
CLOSE = [
    choice(values, "larger in the seventh digit", digits=8)
    for values in (
        [15.0, 15.00002],
        [-15.00002, -15.0],
        [15.0, 15.00002, 14.99998],
        [20.0, -3.0, 20.00002, 20.00001],
        [-30.00004, -30.00002, -40.0, -30.0],
        [3.0, 3.0000007],
        [1.0, 1.0000001],
        [-1.0000001, -1.0],
        [1.0, 1.0000001, 0.9999999],
        [-2.0, 3.0, 3.0000007, 3.0000002],
    )
]
"""Logits that half precision, rounding to four digits or a tolerance of 1 in 100,000 makes equal."""
TINY = [choice(v, "both are close to 0, and not equal", digits=2) for v in ([1e-9, 3e-9], [-3e-9, -1e-9])]
"""Logits of which exp is 1."""
BELOW = [choice([-2e30, -1e30]), choice([-3e4, -2e4])]
LEVELS = (-2.0, -1.0, 0.0, 1.0)
