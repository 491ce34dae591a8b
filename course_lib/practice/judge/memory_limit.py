"""How much memory an answer may take, so that a list without end raises MemoryError and the machine goes on.

Only Linux can limit a process so (RLIMIT_DATA counts what it may write to). Beside a GPU nothing is limited: its driver
reserves addresses as it likes.
"""

import contextlib
import os
import sys
from pathlib import Path

SHARE = 0.5
"""Of the memory that is free, an answer may take so much."""
LEAST = 2**28
"""Bytes that an answer may take even where less seems to be free."""


def room():
    """Bytes that an answer may take now; None where the system cannot limit them."""
    torch = sys.modules.get("torch")
    if not sys.platform.startswith("linux") or torch and torch.cuda.is_available():
        return None
    free = [size for size in (_machine_free(), _container_free()) if size is not None]
    return max(LEAST, int(SHARE * min(free))) if free else None


@contextlib.contextmanager
def at_most(allowance):
    """The process may take `allowance` bytes more than it has; None: not limited."""
    if allowance is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _taken() + allowance
    if resource.RLIM_INFINITY not in (soft, hard):
        limit = min(limit, soft)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    except (OSError, ValueError):  # a sandbox may not allow it
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _taken():
    """Bytes that count against the limit: data and stack."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _machine_free():
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    return None


def _container_free():
    """What the container (cgroup 2) may still take, or None where there is no limit."""
    folder = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        return _number(folder / "memory.max") - _number(folder / "memory.current")
    return None


def _number(file):
    return int(file.read_text(encoding="ascii"))
