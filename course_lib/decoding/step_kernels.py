"""What a call runs, one kernel after the other, by torch.profiler: on a GPU its kernels, on a CPU its operations.

    kernels_of(step)        [(name, group, start, µs), ...]         what viz.step_strip draws

An operation of torch may call others; the outermost counts. `marked` gives a name to a function of several operations,
so that it counts as the one kernel that it is on a GPU.
"""

import functools
import re

import torch
from torch.profiler import ProfilerActivity, profile

GROUPS = {
    "attention": r"attend|decode_kernel|merge_kernel|paged_kernel|^store_kernel|flash|hopper",
    "weights": r"few_rows|linear|addmm|matmul|gemm|gemv|nvjet|cutlass|splitk|^mm$",
    "choice": r"scan_kernel|pick_kernel|choose|argmax",
    "small": r"norm|rotary|swiglu|^(vectorized_)?elementwise"
    r"|^(silu|mul|add|sub|roll|cat|neg|cos|sin|div|pow|reciprocal)_?$",
}
"""Patterns of kernel names, by what the kernel is for; the first match counts, anything else is "other"."""


def group_of(name):
    """What a kernel or operation of a decode step is for: a key of GROUPS, or "other"."""
    return next((group for group, pattern in GROUPS.items() if re.search(pattern, name.lower())), "other")


def marked(name, function):
    """`function`, recorded by torch.profiler under `name` as one piece."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        with torch.profiler.record_function(name):
            return function(*args, **kwargs)

    return run


def kernels_of(call, *, warm_up=3):
    """[(name, group, start, µs)] of one call of `call`, in order; start in µs from the first kernel on.

    Without a GPU in use these are the outermost operations on the CPU. warm_up: calls before it. The recording itself
    costs a few µs an operation on the CPU.
    """
    for _ in range(warm_up):
        call()
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    if on_gpu:
        torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as recording:
        call()
        if on_gpu:
            torch.cuda.synchronize()
    wanted = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    found = [
        (event.time_range.start, event.name.removeprefix("aten::"), event.time_range.elapsed_us())
        for event in recording.events()
        if event.device_type == wanted and (on_gpu or event.cpu_parent is None)
    ]
    found.sort()
    return [(name, group_of(name), start - found[0][0], length) for start, name, length in found]
