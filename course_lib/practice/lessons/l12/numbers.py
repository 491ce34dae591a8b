"""Dicts of numbers as outcomes: whole numbers are ints, all others floats, whoever wrapped them."""

from numbers import Real

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import as_python


def plain(got, whole=()):
    """An answer's dict with Python numbers. whole: the names of counts. Anything else than a dict as it is.

    So 4, 4.0 and a NumPy 4 are equal; None, a bool and a list stay what they are, so that they are told apart.
    """
    if not isinstance(got, dict):
        return got
    return {key: plain(one, one) if isinstance(one, dict) else number(one, key in whole) for key, one in got.items()}


def number(value, is_whole=False):
    """One number as an int, if it is a count and has no fraction, or else as a float."""
    value = as_python(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if is_whole and value == value // 1 else float(value)


def part_of(got, part, name):
    """{part: value} of an answer's dict; all of it without a part. name: of the function, for the error."""
    if part is None or not isinstance(got, dict):
        return got
    if part not in got:
        raise CourseError(f'{name} returned a dict without "{part}". Its names are {list(got)}.')
    return {part: got[part]}


def written(got):
    """An outcome as the learner reads it; numbers have six digits, and a dict with one number is that number."""
    if isinstance(got, dict):
        if len(got) == 1:
            return written(*got.values())
        return "{" + ", ".join(f"{key!r}: {written(value)}" for key, value in got.items()) + "}"
    return f"{got:.6g}" if type(got) is float else repr(got)
