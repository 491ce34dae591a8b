"""The limits of a check: how long code may run, how many smaller cases are tried, and the clock that stops an answer.

A limit of seconds is there for an answer that does not end. Where one is reached, the result says so; everything else
is bounded by counting. Seconds are counted as work: on a machine that is busy with other things an answer has as much
time as on an idle one.
"""

import _thread
import contextlib
import ctypes
import os
import signal
import threading
import time

from course_lib.practice.fixtures.endless import Endless

TRIAL_S = 3.0
"""Seconds of work for an answer in one trial, where the trial sets no other limit."""
CHECK_S = 20.0
"""Seconds of work for an answer in all trials of a check together."""
KERNEL_TRIAL_S, KERNEL_CHECK_S = 10.0, CHECK_S
"""The same for exercises that launch kernels, where Triton interprets or is absent."""
COMPILED_TRIAL_S, COMPILED_CHECK_S = 60.0, 180.0
"""The same beside a GPU, where each new shape of a kernel is compiled first."""
IS_MADE_BY_S = 2.0
"""Seconds of work for a mistake to say whether the answer makes it; the limit of its trial, if that is more."""
SHOW_S = 3.0
"""Seconds of work to write down an outcome, whose class may be the learner's own."""

SMALLER_PROGRAMS = 600
"""At most this many smaller programs are tried when a failing one is made smaller; see programs.py."""
SMALLER_SCRIPTS = 400
"""The same for scripts of requests; see scripts.py."""


class OutOfTime(Endless):
    """The code was stopped by the clock."""


def patience():
    """How many times its limit code may take on the clock, where it waits: it sleeps, or the machine is busy.

    At least 2, and more where more programs than there are processors want to run.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows
        return 5.0
    return min(10.0, 2 + load / (os.cpu_count() or 1))


class Stopwatch:
    """Seconds of work since it was made."""

    def __init__(self):
        self.began, self.worked = time.monotonic(), time.process_time()

    def seconds(self):
        """Seconds that the process computed, and at least a part of those that went by; see patience.

        Several threads do not count more than once.
        """
        passed = time.monotonic() - self.began
        return max(min(passed, time.process_time() - self.worked), passed / patience())


_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
WAKES = getattr(signal, "SIGURG", None)
"""The signal that ends a wait in the main thread, such as time.sleep; a process ignores it otherwise. None: Windows."""
_send = getattr(signal, "pthread_kill", None)


def woken(number, frame):
    """The handler of WAKES while a check runs: the exception that was sent before it arrives as soon as Python runs."""


def _wake(thread_id):
    if WAKES and thread_id == threading.main_thread().ident and signal.getsignal(WAKES) is woken:
        _send(thread_id, WAKES)


class _Limit:
    """The limit of one call that goes on."""

    def __init__(self, seconds):
        self.seconds, self.watch, self.over = seconds, Stopwatch(), False
        self.thread = threading.get_ident()
        self.look_at = time.monotonic() + seconds

    def look(self):
        """Stops the code where its time is up; otherwise says when to look again."""
        left = self.seconds - self.watch.seconds()
        if left > 0:
            after = max(left, 0.01)  # the machine is busy, or the code waits: it has not worked so long yet
        else:
            _raise_in(ctypes.c_ulong(self.thread), ctypes.py_object(_out_of_time(self.seconds)))
            _wake(self.thread)
            after = 0.2  # again and again: a bare `except:` in a loop swallows the first
        self.look_at = time.monotonic() + after


_LOOKS_EVERY_S = 0.2
"""At least so often the thread that stops code looks at the clock, while there is a limit at all."""
_lock, _bell = threading.Lock(), threading.Lock()
_limits = set()
_looking = False
"""Whether that thread runs. One is enough for all limits: to start one for each takes longer than most trials."""


def _look():
    """The thread. It ends when it finds no limit twice. `_bell` is released to wake it."""
    global _looking
    was_idle = False
    while True:
        with _lock:
            for limit in _limits:
                if limit.look_at <= time.monotonic():
                    limit.look()
            if was_idle and not _limits:
                _looking = False
                return
            was_idle = not _limits
            next_look = min((limit.look_at for limit in _limits), default=float("inf")) - time.monotonic()
        _bell.acquire(timeout=min(max(next_look, 0.001), _LOOKS_EVERY_S))


def _begin(limit):
    global _looking
    with _lock:
        _limits.add(limit)
        if not _looking:
            _thread.start_new_thread(_look, ())
            _looking = True
    if limit.seconds < _LOOKS_EVERY_S and _bell.locked():
        with contextlib.suppress(RuntimeError):  # another one has just released it
            _bell.release()


def _forget():
    """In a copy of the process (os.fork) the thread does not run."""
    global _lock, _bell, _looking
    _lock, _bell, _looking = threading.Lock(), threading.Lock(), False
    _limits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def limited(act, seconds):
    """act(), with OutOfTime raised inside it after `seconds` of work. Works in any thread, on any system.

    It takes effect between two steps of Python; while a check runs in the main thread, also in a call that waits,
    except on Windows, where such a call is not cut. A single long call into C that computes is not cut anywhere.
    """
    limit = _Limit(seconds)
    try:
        _begin(limit)
        return act()
    finally:
        while not limit.over:
            try:
                with _lock:
                    limit.over = True
                    _limits.discard(limit)
                for _ in range(3):  # one that was sent and has not arrived yet does so here; taking it back instead
                    pass  # (PyThreadState_SetAsyncExc with None) hangs Python 3.11 while a trace function is set
            except Endless:  # it arrived here: the code had just ended by itself
                limit.over = False


def _out_of_time(seconds):
    """An OutOfTime that knows its message: another thread can only send a class."""
    message = f"stopped: not done after {seconds:g} s. Does the loop end?"
    return type(OutOfTime.__name__, (OutOfTime,), {"__init__": lambda self: BaseException.__init__(self, message)})
