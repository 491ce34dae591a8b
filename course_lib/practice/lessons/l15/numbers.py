"""What the exercises of lesson 15 share: numbers and lists as plain Python, and rows of probabilities to look at."""

from course_lib.practice.judge.agreement import is_tensor
from course_lib.practice.judge.common_mistakes import as_python


def as_tokens(got):
    """A list of token ids as a list of ints, but for tensors in it; anything else as it is."""
    if isinstance(got, (str, dict)) or not hasattr(got, "__len__") or not hasattr(got, "__iter__"):
        return as_python(got)
    return [token if is_tensor(token) else as_python(token) for token in got] if isinstance(got, list) else got


def after_call(call, *given):
    """What a caller's lists are after a call: (lists, in the order given)."""
    call(*given)
    return list(given)


def written(value):
    """A number or a list of numbers, at most four digits each."""
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(written, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return f"{value:.4g}" if type(value) is float else repr(value)
