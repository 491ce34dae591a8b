"""This Python, made to look like that of Windows or macOS, in a process of its own: import this and call `be(system)`.

It takes away what the other system does not have, and says its name. What only the other system does cannot be seen
here: its drive letters, how it starts processes, its files that are locked while open.
"""

import asyncio
import os
import platform
import signal
import sys
import sysconfig
import warnings
from importlib import import_module

WITHOUT = {
    "win32": {
        os: "fork forkpty register_at_fork getloadavg killpg getpgid getuid geteuid getgid sysconf uname wait WNOHANG "
        "sched_getaffinity sched_setaffinity posix_spawn mkfifo statvfs nice O_DIRECTORY",
        signal: "SIGALRM SIGKILL SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGURG SIGCHLD setitimer getitimer alarm pthread_kill "
        "pthread_sigmask sigwait pause siginterrupt",
    },
    "darwin": {os: "sched_getaffinity sched_setaffinity", signal: "sigtimedwait"},
}
"""{system: {module: names that it does not have there}}"""
LOADED_BEFORE = "getpass multiprocessing.connection platform selectors subprocess tempfile torch"
"""Libraries keep what they took from the real system when they were imported."""
NO_MODULES = {"win32": "fcntl resource grp pwd termios tty pty triton", "darwin": "triton"}


class Msvcrt:
    """What the course uses of msvcrt: the lock of the first byte of a file, held by the same lock as elsewhere."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        import fcntl

        self._fcntl = fcntl

    def locking(self, number, mode, length):
        flags = self._fcntl.LOCK_UN if mode == self.LK_UNLCK else self._fcntl.LOCK_EX | self._fcntl.LOCK_NB
        self._fcntl.flock(number, flags)


def be(system):
    """system: win32 or darwin. From here on, text that is read or written without an encoding is an error."""
    for name in LOADED_BEFORE.split():
        import_module(name)
    sysconfig.get_config_vars()
    assert not any(name.startswith("course_lib.") for name in sys.modules), "the course was imported before"
    msvcrt = Msvcrt()
    for module, names in WITHOUT[system].items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in NO_MODULES[system].split():
        sys.modules[name] = None
    if system == "win32":
        sys.modules["msvcrt"] = msvcrt
        signal.SIGBREAK = 21
        asyncio.ProactorEventLoop = type(
            "ProactorEventLoop", (asyncio.SelectorEventLoop,), {"add_signal_handler": None}
        )
    sys.platform = system
    platform.system = lambda: {"win32": "Windows", "darwin": "Darwin"}[system]
    warnings.filterwarnings("error", category=EncodingWarning, module=r"course_lib\.|__main__")
