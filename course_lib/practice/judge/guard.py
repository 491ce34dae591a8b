"""What an answer may not do to the process that checks it: end it, wait for a person, take over signals, fill memory.

While a check runs, such calls are replaced by ones that raise Refused in the learner's own line. Afterwards all is as
it was. One call into C that computes for ever, such as `sum(itertools.count())`, cannot be stopped from here.
"""

import builtins
import contextlib
import getpass
import io
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial

from course_lib.source.extract import namespace_of, running_shell

from . import limits
from .blame import is_library, unwrapped
from .leftovers import Leftovers
from .memory_limit import room

ENDS = "would end the whole notebook, with all that is not saved in it. Give the result with `return`."
WAITS = "waits for a person to type, and a check runs alone. Take what you need from the arguments."
SIGNALS = "changes what interrupts this process, such as Ctrl-C. An answer leaves signals as they are."
COPIES = "would make a second copy of this process, or put another program in its place."

REFUSED = {
    (os, "_exit"): ENDS,
    (os, "abort"): ENDS,
    (builtins, "exit"): ENDS,
    (builtins, "quit"): ENDS,
    (builtins, "input"): WAITS,
    (builtins, "breakpoint"): WAITS,
    (getpass, "getpass"): WAITS,
    (signal, "alarm"): SIGNALS,
    (signal, "setitimer"): SIGNALS,
    **{(os, name): COPIES for name in ("fork", "forkpty", "execv", "execve", "execvp", "execvpe", "execl", "execlp")},
}
"""Calls that no answer needs, and why. Signals that the process would send to itself are refused beside these."""


class Refused(BaseException):
    """A call that the check did not let through. No Exception: an `except Exception` must not swallow it."""


@dataclass
class Guard:
    """The protection of one check. allowance: bytes that an answer may take in one run; None: not limited."""

    notices: dict = field(default_factory=dict)
    """{what: a sentence for the learner}: what the answer left behind, and the check has put back."""
    pressed: bool = False
    """Whether a person pressed Ctrl-C."""
    refused: Refused | None = None
    """The first call that was refused in the run that goes on, even where the answer swallowed the exception."""
    allowance: int | None = None

    def __post_init__(self):
        self.left = Leftovers(self.refuse)
        """Threads and programs that the answer starts."""

    def refuse(self, name, why):
        error = Refused(f"`{name}()` {why}")
        self.refused = self.refused or error
        raise error


_set_handler = signal.signal  # the real one, which a check replaces

active = None
"""The Guard of the check that runs now, or None."""


@contextlib.contextmanager
def guarded(answer=None):
    """Protects the process from `answer` while the block runs. Yields the Guard."""
    global active
    before, guard = active, Guard(allowance=room())
    with contextlib.ExitStack() as stack:
        for (module, name), put in replacements(guard).items():
            real = getattr(module, name)
            for place in (vars(module), namespace_of(unwrapped(answer))):
                for alias in [key for key, value in list(place.items()) if value is real]:
                    stack.callback(place.__setitem__, alias, real)
                    place[alias] = put
        _keep_the_kernel(guard, stack)
        _own_signals(guard, stack)
        stack.enter_context(_put(sys, "stdin", Unattended(guard)))
        stack.enter_context(_put(threading.Thread, "start", guard.left.watched_start(threading.Thread.start)))
        stack.enter_context(_put(subprocess.Popen, "__init__", guard.left.watched_popen(subprocess.Popen.__init__)))
        active = guard
        try:
            yield guard
        finally:
            active = before


def replacements(guard):
    """{(module, name): what stands there during a check}."""
    found = {
        (module, name): partial(guard.refuse, name if module is builtins else f"{module.__name__}.{name}", why)
        for (module, name), why in REFUSED.items()
        if hasattr(module, name)
    }
    found = {key: _any_arguments(refuse) for key, refuse in found.items()}
    for module, name in ((os, "kill"), (os, "killpg"), (signal, "raise_signal"), (signal, "pthread_kill")):
        if hasattr(module, name):
            found[module, name] = _not_to_itself(guard, f"{module.__name__}.{name}", getattr(module, name))
    found[signal, "signal"] = _only_for_libraries(guard, signal.signal)
    found[sys, "setrecursionlimit"] = _at_most(sys.setrecursionlimit, MOST_CALLS)
    return found


MOST_CALLS = 10_000
"""More calls inside each other overflow the stack of C and end the process."""


def _any_arguments(refuse):
    return lambda *args, **kwargs: refuse()


def _not_to_itself(guard, name, real):
    def send(*args):
        about_itself = name.startswith("signal.") or args[:1] and args[0] in (0, -1, os.getpid(), os.getppid())
        if about_itself and args[-1:] != (0,):
            guard.refuse(name, f"sends a signal to this very process, and {ENDS}")
        return real(*args)

    return send


def _only_for_libraries(guard, real):
    def set_handler(*args):
        if not is_library(sys._getframe(1).f_code.co_filename):
            guard.refuse("signal.signal", SIGNALS)
        return real(*args)

    return set_handler


def _at_most(real, most):
    return lambda limit: real(min(limit, most))


def _keep_the_kernel(guard, stack):
    """In Jupyter `exit` is an object that asks the kernel to end after the cell."""
    shell = running_shell()
    if hasattr(shell, "ask_exit"):  # a shell without a kernel and a terminal has none
        stack.enter_context(_put(shell, "ask_exit", lambda: guard.refuse("exit", ENDS)))


def _own_signals(guard, stack):
    """Ctrl-C is noted, so that a KeyboardInterrupt of the answer's own is told from it; and waiting calls wake up."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGINT)

    def pressed(number, frame):
        guard.pressed = True
        before(number, frame)

    if callable(before):
        stack.callback(_set_handler, signal.SIGINT, _set_handler(signal.SIGINT, pressed))
    if limits.WAKES is not None:
        stack.callback(_set_handler, limits.WAKES, _set_handler(limits.WAKES, limits.woken))


@contextlib.contextmanager
def _put(owner, name, value):
    """owner.name is `value` inside."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


class Unattended(io.TextIOBase):
    """A standard input at which nobody sits."""

    def __init__(self, guard):
        self.guard = guard

    def readable(self):
        return True

    def read(self, *size):
        self.guard.refuse("sys.stdin.read", WAITS)

    def readline(self, *size):
        self.guard.refuse("sys.stdin.readline", WAITS)


class Printed(io.StringIO):
    """What an answer prints: the beginning, and how much more there was."""

    MOST = 100_000

    def __init__(self):
        super().__init__()
        self.more = 0

    def write(self, text):
        fits = max(0, self.MOST - self.tell())
        super().write(text[:fits])
        self.more += max(0, len(text) - fits)
        return len(text)

    def getvalue(self):
        text = super().getvalue()
        return f"{text}\n… and {self.more:,} characters more\n" if self.more else text
