"""An outcome as text, beside the one that is expected, and the sentence on how they differ."""

import reprlib

from . import running
from .agreement import is_tensor
from .limits import SHOW_S
from .running import Raised

_LONG = 2000
"""A learner's value with more items is shown by its first ones."""


def side_by_side(trial, expected, got):
    """(expected, got) as text."""
    if trial.both is not None and type(got) is type(expected):
        sides, _ = running.run(lambda: trial.both(expected, got), trial.both, SHOW_S)
        if not isinstance(sides, Raised):  # `both` may not know what a learner's value holds
            return sides
    return trial.show(expected), written(trial, got)


def explained(trial, expected, got):
    """The sentence on the difference: another dtype, or what the trial says about it; "" where there is none."""
    if isinstance(got, Raised):
        return ""
    try:
        said = trial.explain(expected, got) if trial.explain else ""
    except Exception:  # it cannot read the learner's outcome
        said = ""
    came, asked = other_dtype(expected, got) or (None, None)
    return said if came is None or str(came) in said else f"A tensor comes as {came}; {asked} is asked for."


def other_dtype(expected, got):
    """(dtype that came, dtype that is asked for) of the first tensor of the right shape and another dtype, or None."""
    if isinstance(expected, (list, tuple)) and type(got) is type(expected) and len(got) == len(expected):
        return next(filter(None, map(other_dtype, expected, got)), None)
    if not is_tensor(expected) or type(got) is not type(expected):
        return None
    if got.shape != expected.shape or got.dtype == expected.dtype:
        return None
    return got.dtype, expected.dtype


def written(trial, outcome):
    """An outcome as text. What a trial's own `show` cannot write is shown as it is."""
    if isinstance(outcome, Raised):
        return str(outcome)
    if length(outcome) > _LONG:
        return f"{reprlib.repr(outcome)}   ({type(outcome).__name__} of {len(outcome):,})"
    for show in (trial.show, repr):  # `show` may not know a learner's value, and its class may not write itself
        text, _ = running.run(lambda show=show: str(show(outcome)), show, SHOW_S)
        if isinstance(text, str):
            return shorten(text)
    return f"an object of class {type(outcome).__name__} that cannot be written down: {text}"


def length(value):
    """How many items a value of one of Python's own kinds has; 0 for all others."""
    return len(value) if type(value) in (list, tuple, dict, set, str, bytes) else 0


def shorten(text, most=600):
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def a_kind(value):
    """ "a list", "an int", "None": how a value's kind reads in a sentence."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"
