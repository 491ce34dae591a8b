"""Mistakes that several exercises with kernels share."""

import numpy as np
import torch

from course_lib.attention.recording.clashes import clashes
from course_lib.attention.recording.recorder import record_accesses
from course_lib.practice.fixtures.placement import machine
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


def recorded(answer, found):
    """What the programs load and store in the counterexample; nothing where they are not interpreted here."""
    if machine().triton != "interpreted" or found.trial is None:
        return ()
    with record_accesses() as log:
        found.trial.act(answer)
    return log


def leaves_nan(answer, found):
    """Whether a number of the result is nan that no program stored."""
    outcomes = found.outcome if isinstance(found.outcome, tuple) else (found.outcome,)
    results = [getattr(one, "tensor", one) for one in outcomes]
    missing = [one for one in results if isinstance(one, torch.Tensor) and one.isnan().any()]
    stores = [access for access in (recorded(answer, found) if missing else ()) if access.op == "store"]
    for result in missing:
        into = [access.elements for access in stores if access.tensor.numel == result.numel()]
        if into and not np.isin(result.flatten().isnan().nonzero().flatten().numpy(), np.concatenate(into)).all():
            return True
    return False


def meets(answer, found):
    """Whether two programs store in one place."""
    log = recorded(answer, found)
    return bool(log) and any(not clash.loads for clash in clashes(log))


STORES = [
    Mistake(
        "some numbers of the result are stored by no program.",
        "They are nan because their memory was never written. Has the grid too few programs, does a mask leave lanes "
        "out, or is `tl.program_id` missing in the address of the store?",
        is_made_by=leaves_nan,
        last=True,
    ),
    Mistake(
        "two programs store in one place.",
        "The interpreter runs one program after the other, so the last one wins. On a GPU the order is not fixed. Give "
        "each program its own row, head and tile: look how `tl.program_id` enters the address of the store.",
        is_made_by=meets,
        last=True,
    ),
]
"""Mistakes of kernels for which no other name fits."""
