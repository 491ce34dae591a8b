"""Which kernels an answer launches, and with what."""

import contextlib
import inspect
import sys
from dataclasses import dataclass
from typing import Any

import torch

from course_lib.practice.fixtures.placement import machine

from . import running
from .exercise import NotVerified

TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float64: "fp64",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "i1",
}
"""Triton's names of dtypes."""


@dataclass(frozen=True)
class Launched:
    """A kernel with the types of its arguments and its constants, as the compiler is given them."""

    kernel: Any
    """A function."""
    types: tuple
    """((argument, type), …): "*fp32" for a tensor, "i32", "fp32", …"""
    constants: tuple
    """((argument, value), …) of its tl.constexpr, and of what is None."""


@contextlib.contextmanager
def launches():
    """A list that gets a Launched for each kernel that is launched while this lasts.

    Kernels of the library itself do not count.
    """
    kernels, state = [], machine().triton
    if "triton" not in sys.modules or state == "absent":
        yield kernels
        return
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    kind = InterpretedFunction if state == "interpreted" else JITFunction
    original = kind.run

    def run(kernel, /, *args, **options):
        if not kernel.fn.__module__.startswith("course_lib.attention"):
            kernels.append(launched(kernel.fn, args, options))
        return original(kernel, *args, **options)

    kind.run = run
    try:
        yield kernels
    finally:
        kind.run = original


def launched(kernel, args, options):
    """The Launched of one call. An argument of another kind than number and tensor leaves `types` empty."""
    signature = inspect.signature(kernel)
    try:
        given = signature.bind(*args, **{name: x for name, x in options.items() if name in signature.parameters})
    except TypeError:
        return Launched(kernel, (), ())  # the call fails, and says why
    given.apply_defaults()
    types, constants = {}, {}
    for name, value in given.arguments.items():
        if "constexpr" in str(signature.parameters[name].annotation) or value is None:
            constants[name] = getattr(value, "value", value)
        elif isinstance(value, torch.Tensor):
            types[name] = "*" + TYPES.get(value.dtype, "")
        elif isinstance(value, (bool, int, float)):
            types[name] = "i1" if isinstance(value, bool) else "fp32" if isinstance(value, float) else "i32"
    known = len(types) + len(constants) == len(signature.parameters) and "*" not in types.values()
    return Launched(kernel, tuple(types.items()) if known else (), tuple(constants.items()))


def launched_by(answer, trials):
    """The Launched of all trials, each once: the first of each kernel, then those with other types or constants."""
    found = []
    for one in trials:
        with launches() as more:
            running.run(lambda one=one: one.act(answer), answer, one.limit_s)
        found += [launch for launch in more if launch.types and launch not in found]
    first = {launch.kernel: launch for launch in reversed(found)}
    return [*reversed(first.values()), *(launch for launch in found if launch is not first[launch.kernel])]


def kernels_of(answer, trials):
    """The kernels that the answer launches, as functions, in order; [] where one of the trials ran without any.

    Raises NotVerified where the answer was stopped by the clock.
    """
    kernels = []
    for one in trials:
        with launches() as found:
            outcome, _ = running.run(lambda one=one: one.act(answer), answer, one.limit_s)
        if isinstance(outcome, running.Raised) and outcome.out_of_time:
            raise NotVerified(f"as your function was stopped after {one.limit_s:g} s.")
        if not found:
            return []
        kernels += [launch.kernel for launch in found]
    return list(dict.fromkeys(kernels))
