"""How the checks of lesson 06 write tensors down, and the mistake of a result in float64."""

import torch

from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.report.tensors import numbers

_MOST = 8
"""The most numbers of a tensor that are written down."""

FIRST_WATCH_S = 15.0
"""When torch is watched for the first time, it imports for seconds. If that is interrupted, it never works again."""


def shown(result):
    """Tensors, alone or in a tuple, as a string. Of a large tensor, only the first numbers."""
    if isinstance(result, tuple):
        return "(" + ", ".join(map(shown, result)) + ")"
    if isinstance(result, torch.Tensor):
        return (
            numbers(result, 3)
            if result.numel() <= _MOST
            else f"a tensor {list(result.shape)}, first numbers {numbers(result.flatten()[:4], 3)}"
        )
    return repr(result)


def beside(expected, got):
    """Both as strings. Of two large tensors, the first row that differs, with enough digits to show how."""
    if isinstance(expected, tuple) and isinstance(got, tuple) and len(expected) == len(got) > 0:
        return tuple(f"({', '.join(side)})" for side in zip(*map(beside, expected, got)))
    if not all(isinstance(x, torch.Tensor) for x in (expected, got)) or expected.shape != got.shape:
        return shown(expected), shown(got)
    differs = differing(expected, got)
    if not differs.any():
        return shown(expected), shown(got)
    where, name = (), ""
    if expected.numel() > _MOST:
        first = differs.nonzero()[0].tolist()
        depth = next(d for d in range(1, expected.ndim + 1) if expected[tuple(first[:d])].numel() <= _MOST)
        where = tuple(first[:depth])
        place = ", ".join(f"{axis} {at}" for axis, at in zip(("row", "head", "number"), where))
        name = f"a tensor {list(expected.shape)}, {place}: "
    mine, theirs = expected[where], got[where]
    digits = next((d for d in (3, 5, 7) if numbers(mine, d) != numbers(theirs, d)), 3)
    return name + numbers(mine, digits), name + numbers(theirs, digits)


def in_float64(right, *places):
    """The Mistake of a result in float64. right: a right answer. places: the tensors in float64, by variant."""

    def variant(chosen):
        def answer(*given):
            return tuple(
                x.double() if i in chosen and isinstance(x, torch.Tensor) else x for i, x in enumerate(right(*given))
            )

        return answer

    return Mistake(
        "the result is in float64.",
        "It must have the dtype of the inputs. A new tensor gets it from `torch.zeros_like(q)`, or from "
        "`.to(q.dtype)` at the end.",
        tuple(map(variant, places)),
    )
