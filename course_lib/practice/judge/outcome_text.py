"""An outcome as text, beside the one that is expected, and the sentence on how they differ."""

import ast
import reprlib

from . import running
from .agreement import agree, differing, is_tensor
from .limits import SHOW_S
from .running import Raised

_LONG = 2000
"""A learner's value with more items is shown by its first ones."""


def side_by_side(trial, expected, got):
    """(expected, got) as text, which is not the same text."""
    sides = _sides(trial, expected, got)
    pair = first_apart(expected, got, trial.rounding) if sides[0] == sides[1] else None
    return sides if pair is None else tuple(f"{text}\nfirst difference: {one}" for text, one in zip(sides, pair))


def _sides(trial, expected, got):
    if trial.both is not None and type(got) is type(expected):
        sides, _ = running.run(lambda: trial.both(expected, got), trial.both, SHOW_S)
        if not isinstance(sides, Raised):  # `both` may not know what a learner's value holds
            return sides
    told = expected.kind if isinstance(expected, Raised) and trial.show is repr else trial.show(expected)
    return told, written(trial, got)


def first_apart(expected, got, times=1):
    """The first parts, at the same place in two outcomes, that are not the same, each as text with all its digits."""
    if is_tensor(expected) and is_tensor(got) and expected.shape == got.shape and expected.dtype == got.dtype:
        places = differing(expected, got, times=times).flatten().nonzero()
        if len(places):
            return tuple(f"{x.flatten()[places[0, 0]].item():.9g}" for x in (expected, got))
    if isinstance(expected, (list, tuple)) and type(got) is type(expected) and len(got) == len(expected):
        parts = next((pair for pair in zip(expected, got) if not agree(*pair, times)), None)
        return parts and first_apart(*parts, times)
    if isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        return first_apart([*expected.values()], [got[key] for key in expected], times)
    if isinstance(expected, float) and isinstance(got, float):
        return repr(expected), repr(got)
    kinds = [str(x.dtype) if is_tensor(x) else a_kind(x) for x in (expected, got)]
    return tuple(kinds) if kinds[0] != kinds[1] else None


def explained(trial, expected, got):
    """The sentence on the difference: another dtype, or what the trial says about it; "" where there is none."""
    if isinstance(got, Raised):
        return ""
    try:
        said = trial.explain(expected, got) if trial.explain else ""
    except Exception:  # it cannot read the learner's outcome
        said = ""
    if kind := other_kind(expected, got):
        return kind
    came, asked = other_dtype(expected, got) or (None, None)
    return said if came is None or str(came) in said else f"A tensor comes as {came}; {asked} is asked for."


def other_kind(expected, got):
    """The sentence for values that are right and of another kind, such as 1.0 for 1; "" for other differences."""
    expected, got = _value(expected), _value(got)
    if not same_values(expected, got):
        return ""
    pair = _first_other(expected, got)
    if pair is None:
        return ""
    asked, came = pair
    what = written_kind(came)
    if pair != (expected, got):
        what = "a part of them" if what == "this" else f"{what} in it"
    return f"The values are right, but {what} is {a_kind(came)}; {a_kind(asked)} is asked for."


def written_alike(expected, got):
    """The sentence for two outcomes that differ and are written with the same text."""
    if is_tensor(expected) and is_tensor(got) and expected.shape == got.shape and expected.numel():
        apart = (expected.double() - got.double()).abs().max().item()
        return f"Written like this they look equal; they differ by up to {apart:.2g}."
    if isinstance(expected, float) and isinstance(got, float):
        return f"Written like this they look equal; yours is {got!r}, and {expected!r} is expected."
    if type(expected) is not type(got):
        return f"Yours is {a_kind(got)}; {a_kind(expected)} is asked for."
    return "An earlier part of the outcome differs, which is not shown here."


def written_kind(value):
    """A short value as code, "this" for a long one."""
    is_long = length(value) or is_tensor(value) and value.ndim or type(value).__repr__ is object.__repr__
    return "this" if is_long else f"`{value!r}`"


def same_values(a, b):
    """Whether two values are equal. An int and a float are alike; b may be a tuple, range, set or tensor for a list."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_values(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (set, frozenset)):
        b = sorted(b, key=repr)
        a = sorted(a, key=repr)
    if isinstance(a, (list, tuple)) and is_tensor(b) and b.ndim:
        b = b.tolist()
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple, range)):
        return len(a) == len(b) and all(map(same_values, a, b))
    if is_tensor(a) or is_tensor(b):
        a, b = (x.item() if is_tensor(x) and x.ndim == 0 else x for x in (a, b))
        return not (is_tensor(a) or is_tensor(b)) and a == b
    try:
        return bool(a == b)
    except Exception:
        return False


def _first_other(a, b):
    """The first pair of parts, at the same place in two values, of which the kinds differ; or None."""
    if type(a) is not type(b):
        return a, b
    if isinstance(a, (dict, list, tuple)):
        parts = [(a[key], b[key]) for key in a] if isinstance(a, dict) else zip(a, b)
        return next(filter(None, (_first_other(*pair) for pair in parts)), None)
    return None


def _value(outcome):
    """What the last step of a program showed, as a value where it is written as one; anything else as it is."""
    if not (isinstance(outcome, list) and outcome and hasattr(outcome[-1], "what")):
        return outcome
    try:
        return ast.literal_eval(outcome[-1].what)
    except (ValueError, SyntaxError):
        return outcome


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
