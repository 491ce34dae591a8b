"""What a call runs, one kernel after the other, by torch.profiler: on a GPU its kernels, on a CPU its operations.

    kernels_of(step)        [(name, group, start, µs), ...]         what viz.step_strip draws

An operation of torch may call others; the outermost counts. `marked` gives a name to a function of several operations,
so that it counts as the one kernel that it is on a GPU.
"""

import contextlib
import functools
import os
import re

import torch

GROUPS = {
    "attention": r"attend|decode_kernel|merge_kernel|paged_kernel|^store_kernel|flash|hopper",
    "weights": r"few_rows|some_rows|linear|addmm|matmul|gemm|gemv|nvjet|cutlass|splitk|^mm$",
    "choice": r"scan_kernel|pick_kernel|choose|argmax",
    "small": r"norm|rotary|swiglu|^(vectorized_)?elementwise"
    r"|^(silu|mul|add|sub|roll|cat|neg|cos|sin|div|pow|reciprocal)_?$",
}
"""Patterns of kernel names, by what the kernel is for; the first match counts, anything else is "other"."""

VIEWS = {
    "alias", "as_strided", "chunk", "detach", "detach_", "empty", "empty_like", "expand", "flatten", "lift_fresh",
    "resolve_conj", "resolve_neg", "select", "slice", "split", "squeeze", "transpose", "unflatten", "unsqueeze", "view",
}  # fmt: skip
"""Operations that compute nothing."""


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


def kernels_of(call, *, tries=5):
    """[(name, group, start, µs)] of one call of `call`, in order; start in µs from the first kernel on.

    Without a GPU in use these are the outermost operations on the CPU, on one thread, without those that only make a
    view. tries: the
    call is recorded so often, after one call to warm up, and the shortest is returned. The recording itself costs a few
    µs an operation on the CPU.
    """
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    with _one_thread():
        call()
        runs = [_recorded(call, on_gpu) for _ in range(tries)]
    return min(runs, key=lambda run: sum(run[-1][2:]) if run else 0)


def _recorded(call, on_gpu):
    kind = torch.profiler.ProfilerActivity
    with _nothing_on_stderr(), torch.profiler.profile(activities=[kind.CUDA if on_gpu else kind.CPU]) as recording:
        call()
        if on_gpu:
            torch.cuda.synchronize()
    wanted = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    found = [
        (event.time_range.start, event.name.removeprefix("aten::"), event.time_range.elapsed_us())
        for event in recording.events()
        if event.device_type == wanted and (on_gpu or event.cpu_parent is None and not _only_views(event))
    ]
    found.sort()
    return [(name, group_of(name), start - found[0][0], length) for start, name, length in found]


@contextlib.contextmanager
def _nothing_on_stderr():
    """The profiler of torch 2.13 writes two lines there each time, below Python's sys.stderr."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _one_thread():
    """Operations this small gain nothing from a second thread, and waiting for it would be recorded with them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _only_views(event):
    """Whether an operation on the CPU computes nothing: a view, or memory without content."""
    name = event.name.removeprefix("aten::")
    return name in VIEWS or (name == "to" and not event.cpu_children)
