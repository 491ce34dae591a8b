"""Packages whose names are imported on first use, so that importing the package itself is quick."""

import sys
from importlib import import_module


def lazily(package, homes):
    """The `__all__`, `__getattr__` and `__dir__` of such a package. homes: {module: "Name name ..."}."""
    home = {name: module for module, names in homes.items() for name in names.split()}

    def __getattr__(name):
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        raise AttributeError(f"{package} has no {name!r}; it offers {', '.join(home)}")

    def __dir__():
        return sorted({*vars(sys.modules[package]), *home})

    return list(home), __getattr__, __dir__
