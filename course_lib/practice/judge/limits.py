"""The limits of a check: how long code may run, how many smaller cases are tried, and the clock that stops an answer.

A limit of seconds is there for an answer that does not end. Where one is reached, the result says so; everything else
is bounded by counting. Seconds are counted as work: on a machine that is busy with other things an answer has as much
time as on an idle one.
"""

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


def limited(act, seconds):
    """act(), with OutOfTime raised inside it after `seconds` of work. Works in any thread, on any system.

    It takes effect between two steps of Python; while a check runs in the main thread, also in a call that waits. A
    single long call into C that computes is not cut.
    """
    me, lock, over, timer = ctypes.c_ulong(threading.get_ident()), threading.Lock(), False, None
    watch = Stopwatch()

    def start(after):
        nonlocal timer
        timer = threading.Timer(after, stop)
        timer.daemon = True
        timer.start()

    def stop():
        with lock:
            if over:
                return
            left = seconds - watch.seconds()
            if left > 0:
                start(max(left, 0.01))  # the machine is busy, or the code waits: it has not worked so long yet
                return
            _raise_in(me, ctypes.py_object(_out_of_time(seconds)))
            _wake(me.value)
            start(0.2)  # again and again: a bare `except:` in a loop swallows the first

    start(seconds)
    try:
        return act()
    finally:
        while not over:
            try:
                with lock:
                    over = True
                    timer.cancel()
                for _ in range(3):  # one that was sent and has not arrived yet does so here; taking it back instead
                    pass  # (PyThreadState_SetAsyncExc with None) hangs Python 3.11 while a trace function is set
            except Endless:  # it arrived here: the code had just ended by itself
                over = False


def _out_of_time(seconds):
    """An OutOfTime that knows its message: another thread can only send a class."""
    message = f"stopped: not done after {seconds:g} s. Does the loop end?"
    return type(OutOfTime.__name__, (OutOfTime,), {"__init__": lambda self: BaseException.__init__(self, message)})
