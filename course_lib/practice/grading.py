"""What a run by nbgrader does inside the kernel of a submission, so that no answer decides over its own points.

`begin` runs before the first cell of the notebook, `put_back` before each cell that grades. course_lib/teaching/run.py
calls both.
"""

import builtins
import inspect
import os
import sys
from types import FunctionType, ModuleType

from course_lib.source.extract import running_shell

from .judge import guard, memory_limit, registry

MOST_BYTES = 2**32
"""So much memory may the code of a notebook take, where the system can limit it."""
_ENVIRONMENT = ("NBGRADER_EXECUTION", "COURSE_GRADED_HOME")

_modules, _names, _functions, _environment, _limits = {}, [], [], {}, []


def begin():
    """Remembers the course's own functions and classes, and keeps cells from ending the process."""
    registry.exercises()  # imports all that a check uses
    _modules.update((name, module) for name, module in sys.modules.items() if f"{name}.".startswith("course_lib."))
    classes = [value for module in _modules.values() for value in vars(module).values() if _is_ours(value)]
    for owner in [builtins, *_modules.values(), *dict.fromkeys(classes)]:
        kept = {name: value for name, value in vars(owner).items() if owner is builtins or _is_code(value)}
        _names.append((owner, kept))
        functions = [getattr(value, "__func__", value) for value in kept.values()]
        _functions.extend((f, f.__code__, f.__defaults__) for f in functions if isinstance(f, FunctionType))
    _environment.update((name, os.environ[name]) for name in _ENVIRONMENT if name in os.environ)
    _stay_alive()
    if memory_limit.room() is not None:
        _limits.append(memory_limit.at_most(MOST_BYTES))
        _limits[0].__enter__()


def put_back():
    """Brings back what the code of the notebook has changed of the course and of Python's own names."""
    sys.modules.update(_modules)
    os.environ.update(_environment)
    for function, code, defaults in _functions:
        function.__code__, function.__defaults__ = code, defaults
    for owner, kept in _names:
        now = vars(owner)
        for name in [name for name, value in kept.items() if now.get(name) is not value]:
            setattr(owner, name, kept[name])
        for name in [name for name in getattr(owner, "__all__", ()) if name in now and name not in kept]:
            if not isinstance(now[name], ModuleType) and callable(getattr(owner, "__getattr__", None)):
                delattr(owner, name)  # it stands before a name that is imported on first use


def _is_code(value):
    return isinstance(value, (FunctionType, classmethod, staticmethod, property, type, ModuleType))


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
