"""What another processor may do: sums, products and exponentials that are rounded differently.

Another processor adds the same numbers in another order, so the last bits of a sum differ. `other_order` does so on
any machine: whatever torch or Triton's interpreter sums or exponentiates is computed in float64 too, and the result is
moved away from that by some times its own rounding error. What is exact in any order, such as a sum of small whole
numbers, stays exact. `moved` changes finished outcomes instead, by some roundings of the largest number of each row.
"""

import contextlib

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.practice.judge.agreement import Near, largest

ROUNDED = {
    *("mm", "bmm", "addmm", "baddbmm", "dot", "mv", "sum", "mean", "cumsum", "logsumexp", "_softmax", "_log_softmax"),
    *("exp", "exp2", "log", "log2", "sqrt", "rsqrt", "pow", "sigmoid", "silu", "tanh", "linalg_vector_norm", "var"),
}
"""Operations of torch whose last bits depend on the order of sums or on the processor's own exp."""


def wide(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(wide, value))
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


class OtherRounding(TorchDispatchMode):
    """Moves each result of ROUNDED by `times` its own rounding error."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._schema.is_mutable or func.overloadpacket.__name__ not in ROUNDED:
            return out
        if not isinstance(out, torch.Tensor) or out.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return out
        asked = {name: torch.float64 if isinstance(one, torch.dtype) else wide(one) for name, one in kwargs.items()}
        exact = func(*map(wide, args), **asked)
        other = (out.double() + self.times * (out.double() - exact)).to(out.dtype)
        return torch.where(out.isfinite() & exact.isfinite(), other, out)


def moved_array(out, exact, times):
    with np.errstate(all="ignore"):
        other = (out.astype(np.float64) + times * (out.astype(np.float64) - exact)).astype(out.dtype)
        return np.where(np.isfinite(out) & np.isfinite(exact), other, out)


def is_float(array):
    return isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.dtype != np.float64


@contextlib.contextmanager
def other_order(times=1.0):
    """While it lasts, sums and exponentials come out otherwise by `times` their own rounding error."""
    with contextlib.ExitStack() as undo:
        undo.enter_context(OtherRounding(times))
        try:
            from triton.runtime import interpreter
        except ImportError:
            yield
            return
        builder, reduce = interpreter.InterpreterBuilder, interpreter.ReduceOps
        kept = {name: getattr(builder, name) for name in ("create_dot", "create_exp", "create_exp2", "create_log")}

        def replaced(name, exactly):
            def create(self, *given):
                out = kept[name](self, *given)
                if is_float(out.data):
                    arrays = [one.data.astype(np.float64) for one in given if is_float(getattr(one, "data", None))]
                    with np.errstate(all="ignore"):
                        out.data = moved_array(out.data, exactly(*arrays), times)
                return out

            return create

        summed = reduce.sum

        def sum_otherwise(self, given):
            out, array = summed(self, given), given.handle.data
            if is_float(array) and is_float(out.handle.data):
                exact = array.astype(np.float64).sum(axis=self.axis, keepdims=self.keep_dims)
                out.handle.data = moved_array(out.handle.data, exact, times)
            return out

        exactly = {
            "create_dot": lambda a, b, c: a @ b + c,
            "create_exp": np.exp,
            "create_exp2": np.exp2,
            "create_log": np.log,
        }
        for name, original in kept.items():
            setattr(builder, name, replaced(name, exactly[name]))
            undo.callback(setattr, builder, name, original)
        reduce.sum = sum_otherwise
        undo.callback(setattr, reduce, "sum", summed)
        yield


FLOATS = {
    *("01.greedy", "01.sample", "02.cache", "04.gather", "09.intensity"),
    *("06.online_softmax", "06.flash_forward", "06.merge_partials", "06.recompute_backward"),
    *("07.row_softmax", "07.flash_kernel", "07.causal_skip", "07.grouped_query"),
    *("08.store_kv", "08.paged_decode", "08.split_kv", "08.paged_prefill"),
    *("13.bandwidth_use", "13.graph_buckets", "13.fuse_norm"),
    *("12.metrics", "12.poisson", "12.goodput", "12.knee"),
    *("14.quantise", "14.scales", "14.paged_decode_int8"),
    *("15.accept", "15.rejection_sample", "15.when_it_pays"),
}
"""The exercises whose outcomes hold floats. A test finds the same by looking."""

ROUNDINGS = {torch.float16: 2, torch.bfloat16: 2}
"""By how many roundings `moved` changes a number of a dtype. Others: 100, about what two processors differed by."""


def moved(outcome, draw, exact=1.0):
    """The outcome as it may be on another processor. draw: a torch.Generator.

    exact: below 1 for plain Python arithmetic, in which two right answers differ by less; see Trial.rounding.
    """
    if isinstance(outcome, Near):
        return Near(moved(outcome.tensor, draw), outcome.within)
    if isinstance(outcome, torch.Tensor) and outcome.is_floating_point():
        size = ROUNDINGS.get(outcome.dtype, 100) * torch.finfo(outcome.dtype).eps
        chance = 2 * torch.rand(outcome.shape, generator=draw, dtype=torch.float64) - 1
        exact = outcome.double().numpy(force=True)
        other = torch.as_tensor(exact + chance.numpy() * size * largest(exact)).to(outcome.dtype)
        return torch.where(outcome.isfinite() & other.isfinite(), other, outcome)
    if isinstance(outcome, float):
        return outcome * (1 + 1e-6 * exact * (2 * torch.rand((), generator=draw).item() - 1))
    if isinstance(outcome, dict):
        return {key: moved(value, draw, exact) for key, value in outcome.items()}
    if type(outcome) in (list, tuple):
        return type(outcome)(moved(one, draw, exact) for one in outcome)
    return outcome


def holds_floats(outcome):
    """Whether there is a float in an outcome, alone or inside."""
    if isinstance(outcome, dict):
        return any(map(holds_floats, outcome.values()))
    if type(outcome) in (list, tuple):
        return any(map(holds_floats, outcome))
    return isinstance(outcome, (float, Near)) or isinstance(outcome, torch.Tensor) and outcome.is_floating_point()
