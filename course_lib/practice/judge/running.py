"""Runs a learner's code so that nothing it does can hurt: it may raise, print, or never end."""

import contextlib
import random
import sys
from dataclasses import dataclass

from course_lib.practice.fixtures.endless import Endless

from . import guard as guards
from .blame import blame, line_of
from .guard import Printed, Refused
from .limits import OutOfTime, limited
from .memory_limit import at_most
from .surroundings import Surroundings, line_that_changes


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
        told = self.endless or self.kind == Refused.__name__
        text = self.message if told else f"{self.kind}: {self.message}" if self.message else self.kind
        if self.line:
            text += f"\n{place(self.number, self.function)}:  {self.line}"
        return text


def place(number, function):
    """Where in the learner's code, in words."""
    return f"line {number} of {function}" if function else f"line {number}"


def run(act, answer, limit_s):
    """(outcome, printed text) of `act()`. Random numbers are seeded, and the caller's kept.

    limit_s: seconds of work until it is stopped; None: for our own code, never, and cheaper.
    Only Ctrl-C goes through: everything else that `answer` raises comes back as Raised. In a check, what the answer
    changes around itself is put back.
    """
    guard = guards.active
    if guard is None or limit_s is None:
        return _run(act, answer, limit_s, None)
    surroundings, guard.refused = Surroundings(), None
    try:
        outcome, printed = _run(act, answer, limit_s, guard)
        if guard.refused:  # its own `except:` may have swallowed that
            outcome = outcome if isinstance(outcome, Raised) else raised(guard.refused, answer)
    finally:
        changed = surroundings.put_back()
    for what, is_over in guard.left.stop().items():
        guard.notices.setdefault(what, _left_running(what, is_over))
    for thing in changed:
        if thing.what not in guard.notices:
            guard.notices[thing.what] = ""  # asked once, whatever the second run does
            found = line_that_changes(thing, lambda: _run(act, answer, limit_s, guard))
            surroundings.put_back()
            guard.notices[thing.what] = _changed(thing, found)
    return outcome, printed


def _run(act, answer, limit_s, guard):
    printed = Printed()
    try:
        with untouched_randomness(of_numpy=limit_s is not None), contextlib.redirect_stdout(printed):
            if limit_s is None:
                return act(), printed.getvalue()
            with contextlib.redirect_stderr(printed), at_most(guard and guard.allowance):
                return limited(act, limit_s), printed.getvalue()
    except KeyboardInterrupt as error:
        if guard is None or guard.pressed:
            raise
        return raised(error, answer), printed.getvalue()
    except BaseException as error:  # SystemExit from a stray exit() too
        return raised(error, answer), printed.getvalue()


def _left_running(what, is_over):
    ending = "The check has stopped it." if is_over else "It could not be stopped: restart the kernel."
    return f"Your code starts a {what} and returns while it runs on. {ending} Wait for its end before you return."


def _changed(thing, found):
    where = ""
    if found:
        number, line, function = line_of(*found)
        where = f" ({place(number, function)}: `{line}`)"
    return (
        f"Your code changes {thing.what}{where}. All code after it would meet that, so the check has put it back. "
        f"Leave it as it is, or put it back yourself before you return."
    )


def raised(error, answer):
    """The Raised for an exception that came out of `answer`."""
    number, line, function = blame(error, answer)
    unwritten = any(isinstance(one, NotImplementedError) for one in causes(error))
    own = line.startswith("raise") and isinstance(error, MemoryError)  # the learner's own, and no lack of memory
    said = message(error) if own or type(error) not in SAID else SAID[type(error)]
    return Raised(type(error).__name__, said, line, number, function, unwritten)


SAID = {
    SystemExit: "the code wants to end the program. Give the result with `return` instead.",
    KeyboardInterrupt: "the code raises it itself; nobody pressed Ctrl-C.",
    MemoryError: "the code asks for more memory than is free on this machine. Does a list grow without end?",
}
"""What an exception means that has no words of its own, or misleading ones."""


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


@contextlib.contextmanager
def untouched_randomness(seed=0, *, of_numpy=True):
    """The same random numbers every time inside, and the caller's own ones go on afterwards.

    of_numpy: whether those of NumPy go on too. To keep them takes longer than most trials, and our answers draw none.
    """
    import torch

    before, numpy = random.getstate(), sys.modules.get("numpy") if of_numpy else None
    numpys = numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
            if numpys:
                numpy.random.set_state(numpys)
