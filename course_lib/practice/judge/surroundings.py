"""What an answer may change around itself, and nobody asked it to: it is put back, and told with the line.

An answer gives its result with `return`. A default dtype, the current folder or a name of Python's own that it leaves
changed would change what later cells do, and later checks.
"""

import builtins
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .blame import is_library

_STDLIB = sysconfig.get_paths()["stdlib"]


@dataclass(frozen=True)
class Thing:
    """Something that the whole process shares: what it is called, how it is read, how an earlier value is put back."""

    what: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


def _torch():
    import torch

    return torch


def _put_names(namespace):
    def put(saved):
        for name in [name for name in namespace if name not in saved]:
            del namespace[name]
        for name, value in saved.items():
            if namespace.get(name) is not value:
                namespace[name] = value

    return put


def _folder():
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _streams():
    return sys.stdin, sys.stdout, sys.stderr


def _put_streams(streams):
    sys.stdin, sys.stdout, sys.stderr = streams


def _put_path(saved):
    sys.path[:] = saved


THINGS = [
    Thing(
        "torch's default dtype", lambda: _torch().get_default_dtype(), lambda saved: _torch().set_default_dtype(saved)
    ),
    Thing(
        "torch's default device",
        lambda: _torch().get_default_device(),
        lambda saved: _torch().set_default_device(None if saved.type == "cpu" else saved),
    ),
    Thing(
        "whether torch records gradients",
        lambda: _torch().is_grad_enabled(),
        lambda saved: _torch().set_grad_enabled(saved),
    ),
    Thing(
        "torch's number of threads", lambda: _torch().get_num_threads(), lambda saved: _torch().set_num_threads(saved)
    ),
    Thing("`sys.path`", lambda: [*sys.path], _put_path),
    Thing("the current folder", _folder, os.chdir),
    Thing("names of Python's own (`builtins`)", lambda: {**vars(builtins)}, _put_names(vars(builtins))),
    Thing("environment variables (`os.environ`)", lambda: dict(os.environ), _put_names(os.environ)),
    Thing("the standard streams (`sys.stdout` and the like)", _streams, _put_streams),
    Thing("how deep calls may nest (`sys.setrecursionlimit`)", sys.getrecursionlimit, sys.setrecursionlimit),
    Thing("the trace function", sys.gettrace, sys.settrace),
]


class Surroundings:
    """All THINGS as they are now."""

    def __init__(self):
        self.saved = [(thing, thing.get()) for thing in THINGS]

    def put_back(self):
        """Brings back what has changed. Returns those THINGS."""
        changed = [(thing, saved) for thing, saved in self.saved if thing.get() != saved]
        for thing, saved in changed:
            thing.put(saved)
        return [thing for thing, _ in changed]


def line_that_changes(thing, act):
    """(code, line number) of the learner's line that changes it while act() runs once more; None where none does.

    What was changed stays so.
    """
    before, last, found = thing.get(), None, None

    def step(frame, event, _):
        nonlocal last, found
        if found is None and last is not None and thing.get() != before:
            found = last
        if event == "line":
            last = frame.f_code, frame.f_lineno
        return step

    def call(frame, event, _):
        filename = frame.f_code.co_filename
        return None if is_library(filename) or filename.startswith(_STDLIB) else step(frame, event, _)

    tracing = sys.gettrace()
    sys.settrace(call)
    try:
        act()
    finally:
        sys.settrace(tracing)
    return found
