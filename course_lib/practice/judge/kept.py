"""What an answer keeps from one run to the next: in its class, in globals, in default arguments, in functions.

A check runs an answer hundreds of times. Kept remembers how the answer was handed in, can bring it back to that, and
says what has changed since.
"""

import copy
import functools
import inspect
import types
from dataclasses import dataclass
from typing import Any

from .agreement import is_tensor
from .blame import is_library, unwrapped
from .exercise import Mistake

_MOST_ITEMS = 10_000
"""A larger container of the learner's is not copied."""
_MISSING = object()
_OPAQUE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


@dataclass(frozen=True)
class Space:
    """Names that outlive a run, and where they are. kind: "class", "global", "default", "attribute" or "closure"."""

    kind: str
    owner: str
    holder: Any

    def values(self):
        """{name: value} of what is data."""
        if self.kind == "default":
            names = [*inspect.signature(self.holder).parameters][-len(self.holder.__defaults__ or ()) :]
            found = dict(zip(names, self.holder.__defaults__ or ()))
        elif self.kind == "closure":
            found = {name: cell.cell_contents for name, cell in self.cells().items() if _is_filled(cell)}
        elif self.kind == "global":
            function, names = self.holder
            found = {name: function.__globals__[name] for name in names if name in function.__globals__}
        else:
            found = dict(vars(self.holder))
        return {name: value for name, value in found.items() if _is_data(name, value)}

    def cells(self):
        return dict(zip(self.holder.__code__.co_freevars, self.holder.__closure__ or ()))

    def put(self, name, value):
        """Gives the name the value, or takes the name away where the value is _MISSING."""
        if self.kind == "default":
            names = [*inspect.signature(self.holder).parameters][-len(self.holder.__defaults__) :]
            defaults = list(self.holder.__defaults__)
            defaults[names.index(name)] = value
            self.holder.__defaults__ = tuple(defaults)
        elif self.kind == "closure":
            self.cells()[name].cell_contents = value
        elif self.kind == "global":
            _put(self.holder[0].__globals__, name, value)
        elif value is _MISSING:
            delattr(self.holder, name)
        else:
            setattr(self.holder, name, value)

    def mistake(self, name, of_a_class):
        """The Mistake of keeping this name."""
        each, made = ("object", "in `__init__`") if of_a_class else ("call", "inside the function")
        if self.kind == "class":
            return Mistake(
                f"`{name}` belongs to the class, so all objects share it.",
                f"What one object leaves in it, the next one finds there. Make it in `__init__`: `self.{name} = …`.",
            )
        if self.kind == "default":
            return Mistake(
                f"the default of `{name}` is made once, and all calls share it.",
                "Python makes a default when it reads the `def`. Take `None` as the default, and make a new one inside "
                "the function.",
            )
        where = f"`{self.owner}.{name}`" if self.kind == "attribute" else f"`{name}`"
        return Mistake(
            f"{where} is kept from one {each} to the next.",
            f"What one {each} leaves in it, the next one finds there. Make it {made}, anew for each {each}.",
        )


class Kept:
    """How an answer was handed in: the values of all names that outlive a run of it."""

    def __init__(self, answer):
        self.of_a_class = inspect.isclass(answer)
        self.spaces, self.caches = _spaces(answer)
        self.saved = [{name: _copied(value) for name, value in space.values().items()} for space in self.spaces]

    def changed(self):
        """[(space, name)] of what is no longer as it was handed in."""
        found = []
        for space, saved in zip(self.spaces, self.saved):
            now = space.values()
            for name in {**saved, **now}:
                if not _same(saved.get(name, _MISSING), now.get(name, _MISSING)):
                    found.append((space, name))
        return found + [(cache, "cache") for cache in self.caches if cache.cache_info().currsize]

    def is_empty(self):
        """Whether nothing was handed in that could outlive a run."""
        return not any(self.saved) and not self.caches

    def restore(self, only=None):
        """Brings back how the answer was handed in. only: one of `changed()`; default: all of them."""
        for where, name in [only] if only else self.changed():
            if not isinstance(where, Space):
                where.cache_clear()
                continue
            saved = self.saved[self.spaces.index(where)].get(name, _MISSING)
            where.put(name, saved if saved is _MISSING else _copied(saved))

    def mistake(self, where, name):
        """The Mistake of keeping one of `changed()`."""
        if isinstance(where, Space):
            return where.mistake(name, self.of_a_class)
        return Mistake(
            "a result of an earlier call is given again.",
            f"`{where.__name__}` remembers its results (`cache`), and what it was called with is not all that counts.",
        )


def _spaces(answer):
    """([Space], [functions that remember their results]) of an answer, and of what of the learner's own it calls."""
    spaces, caches, seen, queue = [], [], set(), [answer]
    while queue:
        one = queue.pop()
        if hasattr(one, "cache_clear") and hasattr(one, "cache_info"):
            caches.append(one)
        one = unwrapped(one.fget or one if isinstance(one, property) else getattr(one, "__func__", one))
        if id(one) in seen:
            continue
        seen.add(id(one))
        if inspect.isclass(one) and not _is_ours(one):
            spaces.append(Space("class", one.__name__, one))
            queue += [*vars(one).values(), *one.__mro__[1:]]
        elif isinstance(one, types.FunctionType) and not is_library(one.__code__.co_filename):
            names = _names(one.__code__)
            spaces += [Space("global", "", (one, names)), Space("closure", "", one)]
            spaces += [Space("default", one.__name__, one), Space("attribute", one.__name__, one)]
            values = [one.__globals__.get(name) for name in names]
            values += [cell.cell_contents for cell in one.__closure__ or () if _is_filled(cell)]
            queue += [v for v in values if isinstance(v, types.FunctionType | type | functools._lru_cache_wrapper)]
    return spaces, caches


def _is_ours(kind):
    """Whether a class is Python's, an installed package's or the course's."""
    module = inspect.getmodule(kind)
    return kind.__module__ == "builtins" or module is not None and is_library(getattr(module, "__file__", "<frozen"))


def _names(code):
    """All names that the code looks up outside of itself, in functions inside it too."""
    inner = [_names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return sorted({*code.co_names, *(name for names in inner for name in names)})


def _is_filled(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:  # nothing is in it yet
        return False


def _is_data(name, value):
    if name.startswith("__") or isinstance(value, _OPAQUE) or hasattr(type(value), "__get__"):
        return False
    return type(value).__module__ in ("builtins", "collections", "itertools", "random") or is_tensor(value)


def _items(value):
    """How many items a value holds, or infinity where it holds objects of other kinds than Python's own."""
    if isinstance(value, dict):
        return len(value) + sum(map(_items, [*value, *value.values()][:_MOST_ITEMS]))
    if type(value).__module__ == "collections" or isinstance(value, (list, tuple, set, frozenset)):
        return len(value) + sum(map(_items, list(value)[:_MOST_ITEMS]))
    if is_tensor(value):
        return value.numel()
    return 1 if type(value).__module__ in ("builtins", "itertools", "random") else float("inf")


def _copied(value):
    try:
        items = _items(value)
        if items <= _MOST_ITEMS:
            return copy.deepcopy(value)
        return copy.copy(value) if items == float("inf") else value
    except Exception:  # it cannot be copied, so it cannot be brought back
        return value


def _same(a, b):
    if a is b:
        return True
    try:
        if type(a).__module__ == "itertools":
            return repr(a) == repr(b)
        return type(a) is type(b) and bool((a == b).all() if is_tensor(a) else a == b)
    except Exception:
        return False


def _put(names, name, value):
    if value is _MISSING:
        names.pop(name, None)
    else:
        names[name] = value
