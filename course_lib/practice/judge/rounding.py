"""Whether what an answer gives depends on how sums are rounded.

The last bits of a sum depend on the order of its terms, and so on the processor and on how the sum is written. Mostly
this changes the last bits of the result. But where a mistake makes large numbers cancel, or compares a sum of
probabilities with 1, it can change the whole result: then two ways to write the same mistake do different things.
"""

from contextlib import nullcontext

import numpy as np
import torch
from torch._C import _len_torch_dispatch_stack
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

SUMS = {
    *("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "einsum", "linear"),
    *("sum", "mean", "cumsum", "softmax", "log_softmax", "logsumexp", "logaddexp", "norm", "var"),
    *("exp", "exp2", "log", "log2", "sqrt", "rsqrt", "sigmoid", "silu", "scaled_dot_product_attention"),
}
"""Functions of torch whose last bits differ between processors, or between ways to write the same."""
ROUNDINGS = 4
"""A result is moved by up to so many times its rounding error."""


SEEDS = (1, -1, 2, 3, 4, 5)
"""Ways in which the results are moved, one after the other."""


class Rounded(TorchFunctionMode):
    """While it lasts, results of SUMS are moved: all up (1), all down (-1), or each in its own direction (other seeds).

    Equal numbers stay equal, and whole numbers stay as they are: their sums are exact in any order.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") not in SUMS or not isinstance(out, torch.Tensor):
            return out
        if not out.is_floating_point() or out.dtype == torch.float64:
            return out
        # The tensors are small: NumPy takes a third of the time of torch.
        given = out.double().numpy(force=True)
        if (given == given.round()).all():
            return out
        with _disable_current_modes() if is_watched() else nullcontext():  # this product is not the answer's
            exact = func(*map(wide, args), **{name: wide(one) for name, one in (kwargs or {}).items()})
        with np.errstate(all="ignore"):
            error = np.maximum(abs(given - exact.numpy(force=True)), abs(given) * (torch.finfo(out.dtype).eps / 2))
            step = self.seed if self.seed in (1, -1) else own_direction(out, self.seed)
            other = given + ROUNDINGS * step * error
            other = np.where(np.isfinite(given) & (abs(other) <= torch.finfo(out.dtype).max), other, given)
        other = torch.from_numpy(other).to(out.dtype)
        return out + (other - out.detach()).nan_to_num() if out.requires_grad else other  # it stays differentiable


def is_watched():
    """Whether a trial looks at what torch is asked for; it may count the products."""
    return _len_torch_dispatch_stack() > 0


def own_direction(x, seed):
    """Numbers between -1 and 1 that look like chance, and are the same for equal numbers."""
    bits = x.float().numpy(force=True).view(np.int32).astype(np.int64) + 40503 * seed
    return (bits * 2654435761 // 65536 % 65536).astype(np.float64) / 32768 - 1


def wide(value):
    """The value in float64: a tensor, or tensors in a list; a dtype that is asked for too."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(wide, value))
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def is_steady(answer, trial, outcome):
    """Whether an answer of ours gives `outcome` in a trial however its sums are rounded."""
    for seed in SEEDS:
        with Rounded(seed):
            other, _ = trial.outcome(answer, timed=False)
        if not trial.alike(outcome, other):
            return False
    return True
