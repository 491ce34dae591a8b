"""Mistakes that several exercises with kernels share."""

import torch

from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised


def power_of_two(why):
    """The Mistake of a block or tile whose number of lanes is not a power of two, as Triton's own error says."""
    return Mistake(
        "a number of lanes is not a power of two.",
        why,
        is_made_by=lambda answer, found: "power of 2" in getattr(found.outcome, "message", ""),
    )


def overwritten(trials):
    """The Mistake of a result that the next call overwrites. trials: of a result after a second call."""
    return Mistake(
        "the result is overwritten by the next call.",
        "A tensor that is made outside of the function, or kept from an earlier call, is the same one in every call. "
        "Make a new one in each: `torch.empty_like`.",
        is_made_by=lambda answer, found: found.trial in trials and not isinstance(found.outcome, Raised),
    )


STAYS_TITLE, STAYS_MEANING = (
    "A result stays as it is when the function is called again",
    "A model calls the function in every layer. Each call returns a tensor of its own.",
)


def half_sums(trials, why):
    """The Mistake of sums in half precision. trials: cases whose result is then far off."""

    def is_made_by(answer, found):
        mine = getattr(found.outcome, "tensor", None)
        return (
            found.trial in trials and mine is not None and mine.dtype == torch.float16 and bool(mine.isfinite().all())
        )

    return Mistake("the sums are in float16.", why, is_made_by=is_made_by)
