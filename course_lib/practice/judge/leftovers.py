"""Threads and programs that an answer starts and leaves running: they are found, stopped and told."""

import contextlib
import ctypes
import subprocess
import sys

from .blame import is_library

PATIENCE_S = 0.3
"""So long may what was started go on after the answer has returned."""


class Leftovers:
    """What the answer has started. refuse(name, why): raises, where an earlier one was left running already."""

    def __init__(self, refuse):
        self.refuse, self.told = refuse, set()
        self.threads, self.programs, self.others = [], [], _processes()

    def watched_start(self, real):
        """Thread.start that remembers the learner's threads; none of them keeps the process from ending."""

        def start(thread):
            if not is_library(sys._getframe(1).f_code.co_filename):
                self.expect_no_earlier("thread", "Thread.start")
                thread._daemonic = True
                self.threads.append(thread)
            return real(thread)

        return start

    def watched_popen(self, real):
        """Popen.__init__ that remembers the programs."""

        def __init__(program, *args, **kwargs):
            self.expect_no_earlier("program", "Popen")
            real(program, *args, **kwargs)
            self.programs.append(program)

        return __init__

    def expect_no_earlier(self, what, call):
        if what in self.told:
            self.refuse(call, f"starts a {what}, and the function returns while it runs on. Wait for its end first.")

    def stop(self):
        """Stops what still runs. Returns {what: whether it could be stopped}."""
        found = {}
        for thread in self.threads:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                found["thread"] = _stopped(thread)
        for program in self.programs:
            if not _has_ended(program):
                program.kill()
                found["program"] = True
        for process in set(_processes()) - set(self.others):
            process.kill()
            found["process"] = True
        self.threads.clear()
        self.programs.clear()
        self.told |= set(found)
        return found


def _processes():
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing.active_children() if multiprocessing else []


def _stopped(thread):
    for _ in range(5):  # a bare `except:` swallows the first
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        thread.join(0.1)
        if not thread.is_alive():
            return True
    return False


def _has_ended(program):
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(PATIENCE_S)
        return True
    return False
