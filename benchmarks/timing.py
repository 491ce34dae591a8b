"""What the scripts share: clocks for steps that the CPU starts and for kernels alone, and models with random weights."""

import functools
import statistics
import time

import torch

from course_lib.models import Transformer

LLAMA_3_8B = dict(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_layers=32,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    context=16_384,
    rope_theta=500_000.0,
)
"""The shape of Llama 3 8B, as arguments of ModelConfig; the context is longer than the model's, which costs nothing here."""
TINY = dict(
    vocab_size=256,
    hidden_size=32,
    intermediate_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    context=16_384,
)
"""Its stand-in for --quick."""


def wait_for(device):
    """Until the GPU has done all that it was given; time.perf_counter alone would tell when it was asked."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def median_seconds(act, device, repeats=5):
    """The median of the seconds that `act` takes, after two calls that do not count."""
    seconds = []
    for _ in range(repeats + 2):
        wait_for(device)
        begin = time.perf_counter()
        act()
        wait_for(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[2:])


def kernel_seconds(calls, repeats, device):
    """{name: median seconds of one call} of {name: call}, by CUDA events; all take turns.

    Before each call 1 GiB of other data is read through the L2 cache: so each call finds its own data in memory, and the GPU is busy
    while the CPU launches. Launch time is therefore not measured, for nobody. On a CPU: the median by the clock.
    """
    if torch.device(device).type != "cuda":
        return {name: median_seconds(call, device, repeats) for name, call in calls.items()}
    other, pairs = _other_data(device), {name: [] for name in calls}
    for turn in range(repeats + 3):
        for name, call in calls.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            other.sum()
            begin.record()
            call()
            end.record()
            if turn >= 3:
                pairs[name].append((begin, end))
        torch.cuda.synchronize()
    return {
        name: statistics.median(begin.elapsed_time(end) for begin, end in found) / 1e3 for name, found in pairs.items()
    }


@functools.cache
def _other_data(device):
    return torch.ones(1 << 28, device=device)  # about 250 microseconds to read on an H200


def random_model(config, device, dtype):
    """A Transformer with weights of a sensible size, made where it runs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            made = Transformer(config)
    finally:
        torch.set_default_dtype(before)
    return made.eval().requires_grad_(False)
