"""Whose code it is: the learner's, the course's or an installed package's; and which of the learner's lines ran."""

import functools
import linecache
import traceback
from pathlib import Path

_OURS = str(Path(__file__).resolve().parents[2])


def blame(error, answer):
    """(line number within the function, its text, the function's name) of the learner's last line.

    The deepest frame in the file of `answer`; without one, the deepest outside course_lib and
    installed packages; without that either, (0, "", "").
    """
    code = getattr(unwrapped(answer), "__code__", None)
    frames = list(traceback.walk_tb(error.__traceback__))
    theirs = [(f, n) for f, n in frames if code and f.f_code.co_filename == code.co_filename]
    if not theirs:
        theirs = [(f, n) for f, n in frames if not is_library(f.f_code.co_filename)]
    return line_of(theirs[-1][0].f_code, theirs[-1][1]) if theirs else (0, "", "")


def line_of(code, number):
    """The same for one line of a code object; `number` counts from the beginning of its file."""
    line = linecache.getline(code.co_filename, number).strip()
    if code.co_name.startswith("<"):  # <module>, <lambda>, <listcomp>
        return number, line, ""
    return number - code.co_firstlineno + 1, line, code.co_name


def unwrapped(answer):
    """The function under its decorators."""
    while hasattr(answer, "__wrapped__"):
        answer = answer.__wrapped__
    return answer.func if isinstance(answer, functools.partial) else answer


def is_library(filename):
    """Whether the code of a file is the course's or an installed package's."""
    return (
        filename.startswith(_OURS)
        or "site-packages" in filename
        or "dist-packages" in filename
        or filename.startswith("<frozen")
    )
