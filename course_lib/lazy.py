"""Packages whose names are imported on first use, so that importing the package itself is quick."""

import sys
from importlib import import_module

NEEDED = ("torch", "numpy", "safetensors", "tokenizers")
"""Packages that are in every environment into which the course was installed."""


class WrongEnvironment(ModuleNotFoundError):
    """The course is imported by a Python into which it was not installed, as by another kernel."""

    def __init__(self, missing):
        super().__init__(
            f"This Python, {sys.executable}, has no {missing}, so it is not the one into which the course was "
            f"installed. Choose the kernel of that environment, or start JupyterLab with `course lab`, which takes the "
            f"right one. To use this Python all the same, install the course into it: pip install -e . in its folder.",
            name=missing,
        )


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
