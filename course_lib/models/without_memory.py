"""Models without memory: their parameters have shapes, and no numbers. Weights are put in their place afterwards."""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode


class _Unfilled(TorchFunctionMode):
    """Leaves out what torch.nn.init does.

    There is nothing to fill, and torch imports its compiler for it: seconds before the first model is there.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_memory():
    """Modules that are made inside are on the device "meta"."""
    with torch.device("meta"), _Unfilled():
        yield
