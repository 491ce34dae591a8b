"""Mistakes that can be made in every exercise, such as to print the result and not return it."""

from collections import deque

from .agreement import ALSO_IN_FLOAT32, agree, is_tensor
from .exercise import Mistake
from .running import Raised


def gives_none(answer, found):
    """Whether the answer returns None when it is called as in the counterexample."""
    returned = []

    def watched(*args, **kwargs):
        returned.append(answer(*args, **kwargs))
        return returned[-1]

    if found.trial is not None:
        found.trial.outcome(watched)
    return bool(returned) and all(value is None for value in returned)


def as_python(number):
    """A number that is wrapped, in a tensor or by NumPy, taken out; anything else as it is."""
    return number.item() if getattr(number, "ndim", None) == 0 else number


def shares_a_list(answer, found):
    """Whether a class holds a list, or the like, for all its objects. found: not used; is_made_by passes it."""
    return any(
        isinstance(value, (list, dict, set, deque)) for name, value in vars(answer).items() if not name.startswith("__")
    )


def writes_into(trials):
    """is_made_by for trials that compare the caller's data after the call: where one of them fails, it was changed."""
    return lambda answer, found: found.trial in trials and not isinstance(found.outcome, Raised)


def changes(trials, right):
    """is_made_by for answers that change the caller's data in any of the trials, whichever one they fail first."""

    def made(answer, found):
        pairs = [(trial, trial.outcome(right, timed=False)[0], trial.outcome(answer)[0]) for trial in trials]
        return any(not isinstance(got, Raised) and not trial.agree(want, got) for trial, want, got in pairs)

    return made


PRINTED = Mistake(
    "the result is printed, not returned.",
    "`print` shows text on the page and gives `None` to whoever called. `return` hands the result over.",
    is_made_by=lambda answer, found: bool(found.printed.strip()) and gives_none(answer, found),
)

NOTHING_RETURNED = Mistake(
    "nothing is returned, or `None`.",
    "A function that ends without `return` gives `None` to whoever called. Put `return` before the result, on every "
    "way out. An empty result is returned too, and not `None`.",
    is_made_by=gives_none,
)

NO_DICT = Mistake(
    "the numbers come without their names.",
    'The caller asks for each by its name, so a dict is returned: `{"name": number, …}`, with the names of the text '
    "above.",
    is_made_by=lambda answer, found: (
        isinstance(found.outcome, (tuple, list)) and not any(isinstance(one, dict) for one in found.outcome)
    ),
)
"""For exercises that ask for a dict of numbers; their trials return anything else as it is."""


def is_rounded(expected, got):
    """Whether each number is the expected one, or that one with fewer decimals. got: of the same shape."""
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(is_rounded(expected[key], got[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(expected) == len(got) and all(map(is_rounded, expected, got))
    if not isinstance(expected, float):
        return expected == got
    return any(agree(one, got, ALSO_IN_FLOAT32) for one in (expected, *(round(expected, n) for n in range(1, 12))))


def loses_digits(reference):
    """The Mistake of numbers that are right but for their last digits, for trials whose rounding is EXACT."""
    return Mistake(
        "numbers are rounded, or have too few digits.",
        "`round` loses digits, and so do float16 and, of large numbers, float32. Compute with Python's floats or "
        "float64, and return the result as it is.",
        is_made_by=lambda answer, found: any(
            same(found.trial.outcome(reference)[0], found.outcome) for same in (agree, is_rounded)
        ),
        last=True,
    )


def rounds_large_numbers(trials):
    """The Mistake of an answer that is right but for the numbers of these trials, which no float32 or float64 holds."""
    return Mistake(
        "a large number goes through a float, and is rounded.",
        "float32 has 24 bits, and float64, which `/` gives, has 53. `//` divides whole numbers exactly, and whole "
        "numbers can be compared exactly.",
        is_made_by=lambda answer, found: found.trial in trials and not isinstance(found.outcome, Raised),
        last=True,
    )


TENSORS_INSIDE = Mistake(
    "tensors are put into the list.",
    "`argmax` returns a tensor with one number. `int(…)` converts it to an `int`.",
    is_made_by=lambda answer, found: isinstance(found.outcome, list) and any(map(is_tensor, found.outcome)),
)

RETURNS_NOTHING = [PRINTED, NOTHING_RETURNED]
"""In this order: an answer that prints returns nothing as well."""
