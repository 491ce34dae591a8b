"""Runs a learner's code so that nothing it does can hurt: it may raise, print, or never end."""

import contextlib
import functools
import io
import linecache
import random
import traceback
from dataclasses import dataclass
from pathlib import Path

from course_lib.practice.fixtures.endless import Endless

from .limits import OutOfTime, limited

_OURS = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Raised:
    """An exception as an outcome: its type, message, and the learner's line it came from."""

    kind: str
    message: str
    line: str = ""
    number: int = 0
    function: str = ""
    unwritten: bool = False
    """Whether a NotImplementedError is behind it: what a stub raises."""

    @property
    def endless(self):
        """Whether the code was stopped, by counting its calls or by the clock."""
        return self.kind in (Endless.__name__, OutOfTime.__name__)

    @property
    def out_of_time(self):
        """Whether the code was stopped by the clock."""
        return self.kind == OutOfTime.__name__

    def __str__(self):
        text = self.message if self.endless else f"{self.kind}: {self.message}" if self.message else self.kind
        if self.line:
            where = f"line {self.number} of {self.function}" if self.function else f"line {self.number}"
            text += f"\n{where}:  {self.line}"
        return text


def run(act, answer, limit_s):
    """(outcome, printed text) of `act()`. Random numbers are seeded, and the caller's kept.

    limit_s: seconds of work until it is stopped; None: never, and cheaper.
    Only Ctrl-C goes through: everything else that `answer` raises comes back as Raised.
    """
    printed = io.StringIO()
    try:
        with untouched_randomness(), contextlib.redirect_stdout(printed):
            return (act() if limit_s is None else limited(act, limit_s)), printed.getvalue()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit from a stray exit() too
        return raised(error, answer), printed.getvalue()


def raised(error, answer):
    """The Raised for an exception that came out of `answer`."""
    number, line, function = blame(error, answer)
    unwritten = any(isinstance(one, NotImplementedError) for one in causes(error))
    return Raised(type(error).__name__, message(error), line, number, function, unwritten)


def causes(error):
    """The exception, the one from which it was raised, and so on; each once."""
    found = []
    while error is not None and not any(error is one for one in found):
        found.append(error)
        error = error.__cause__
    return found


def message(error):
    """The text of an exception; a learner's own class may fail to give one."""
    try:
        return str(error).strip()
    except Exception as failed:
        return f"(its __str__ raises {type(failed).__name__})"


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
    if not theirs:
        return 0, "", ""
    frame, number = theirs[-1]
    line = linecache.getline(frame.f_code.co_filename, number).strip()
    function = frame.f_code.co_name
    if function.startswith("<"):  # <module>, <lambda>, <listcomp>
        return number, line, ""
    return number - frame.f_code.co_firstlineno + 1, line, function


def unwrapped(answer):
    """The function under its decorators."""
    while hasattr(answer, "__wrapped__"):
        answer = answer.__wrapped__
    return answer.func if isinstance(answer, functools.partial) else answer


def is_library(filename):
    return (
        filename.startswith(_OURS)
        or "site-packages" in filename
        or "dist-packages" in filename
        or filename.startswith("<frozen")
    )


@contextlib.contextmanager
def untouched_randomness(seed=0):
    """The same random numbers every time inside, and the caller's own ones go on afterwards."""
    import torch

    before = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
