"""What a run by nbgrader does inside the kernel of a submission, so that no answer decides over its own points.

`begin` runs before the first cell of the notebook, `put_back` before each cell that grades. course_lib/teaching/run.py
calls both.
"""

import builtins
import copy
import functools
import inspect
import os
import sys
from types import FunctionType, ModuleType

from course_lib.source.extract import running_shell

from .judge import guard, memory_limit, registry

MOST_BYTES = 2**32
"""So much memory may the code of a notebook take, where the system can limit it."""
_ENVIRONMENT = ("NBGRADER_EXECUTION", "COURSE_GRADED_HOME")

_modules, _names, _functions, _exercises, _environment, _limits = {}, [], [], {}, {}, []
_CACHED = type(functools.cache(len))


def begin():
    """Remembers the course's own functions, classes and exercises, and keeps cells from ending the process."""
    for key, exercise in registry.exercises().items():  # this imports all that a check uses
        _exercises[key] = exercise, _copied(exercise)
    _modules.update((name, module) for name, module in sys.modules.items() if f"{name}.".startswith("course_lib."))
    classes = [value for module in _modules.values() for value in vars(module).values() if _is_ours(value)]
    for owner in [builtins, *_modules.values(), *dict.fromkeys(classes)]:
        kept = {name: value for name, value in vars(owner).items() if owner is builtins or _is_code(value)}
        _names.append((owner, kept))
        functions = [getattr(value, "__func__", value) for value in kept.values()]
        _functions.extend(
            (f, f.__code__, f.__defaults__, copy.copy(f.__kwdefaults__))
            for f in functions
            if isinstance(f, FunctionType)
        )
    _environment.update((name, os.environ[name]) for name in _ENVIRONMENT if name in os.environ)
    _stay_alive()
    if memory_limit.room() is not None:
        _limits.append(memory_limit.at_most(MOST_BYTES))
        _limits[0].__enter__()


def put_back():
    """Brings back what the code of the notebook has changed of the course and of Python's own names."""
    sys.modules.update(_modules)
    os.environ.update(_environment)
    for function, code, defaults, by_name in _functions:
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, copy.copy(by_name)
    for owner, kept in _names:
        now = vars(owner)
        for name in [name for name, value in kept.items() if now.get(name) is not value]:
            setattr(owner, name, kept[name])
        for name in [name for name in getattr(owner, "__all__", ()) if name in now and name not in kept]:
            if not isinstance(now[name], ModuleType) and callable(getattr(owner, "__getattr__", None)):
                delattr(owner, name)  # it stands before a name that is imported on first use
    known = registry.exercises()
    known.clear()
    for key, (exercise, fields) in _exercises.items():
        vars(exercise).clear()
        vars(exercise).update(fields)
        fields.update(_copied(exercise))
        known[key] = exercise


def _copied(exercise):
    """{field: value} of an Exercise, with lists and dicts of their own."""
    return {name: copy.copy(x) if isinstance(x, (list, dict)) else x for name, x in vars(exercise).items()}


def _is_code(value):
    return isinstance(value, (FunctionType, classmethod, staticmethod, property, type, ModuleType, _CACHED))


def _is_ours(value):
    return inspect.isclass(value) and f"{value.__module__}.".startswith("course_lib.")


def _stay_alive():
    """`exit()`, `os._exit` and the like raise an error in their own line. Processes that are forked may end."""
    shell, pid = running_shell(), os.getpid()

    def refusing(name, real):
        def ends(*args, **kwargs):
            if os.getpid() == pid:
                raise guard.Refused(f"`{name}()` {guard.ENDS}")
            real(*args, **kwargs)

        return ends

    if hasattr(shell, "ask_exit"):
        shell.ask_exit = refusing("exit", shell.ask_exit)
    for name in ("_exit", "abort"):
        setattr(os, name, refusing(f"os.{name}", getattr(os, name)))
