"""Mistakes that several exercises with kernels share."""

import torch

from course_lib.practice.judge.exercise import Mistake


def power_of_two(why):
    """The Mistake of a block or tile whose number of lanes is not a power of two, as Triton's own error says."""
    return Mistake(
        "a number of lanes is not a power of two.",
        why,
        is_made_by=lambda answer, found: "power of 2" in getattr(found.outcome, "message", ""),
    )


def half_sums(trials, why):
    """The Mistake of sums in half precision. trials: cases whose result is then far off."""

    def is_made_by(answer, found):
        mine = getattr(found.outcome, "tensor", None)
        return (
            found.trial in trials and mine is not None and mine.dtype == torch.float16 and bool(mine.isfinite().all())
        )

    return Mistake("the sums are in float16.", why, is_made_by=is_made_by)
