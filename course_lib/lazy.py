"""Packages whose names are imported on first use, so that importing the package itself is quick."""

import sys
from importlib import import_module

from .errors import WrongEnvironment

NEEDED = ("torch", "numpy", "safetensors", "tokenizers")
"""Packages that are in every environment into which the course was installed."""


def lazily(package, homes):
    """The `__all__`, `__getattr__` and `__dir__` of such a package. homes: {module: "Name name ..."}."""
    home = {name: module for module, names in homes.items() for name in names.split()}

    def __getattr__(name):
        if name in home:
            try:
                module = import_module(f"{package}.{home[name]}")
            except ModuleNotFoundError as missing:
                if missing.name in NEEDED:
                    raise WrongEnvironment(missing.name) from None
                raise
            return getattr(module, name)
        raise AttributeError(f"{package} has no {name!r}; it offers {', '.join(home)}")

    def __dir__():
        return sorted({*vars(sys.modules[package]), *home})

    return list(home), __getattr__, __dir__
