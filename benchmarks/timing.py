"""Timers, one with the launches from the CPU and one for kernels alone, models with random weights, and steps of any
shape on an engine's runner.
"""

import functools
import statistics
import time

import torch

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.engine.step import ScheduledSequence, Step
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
"""The shape of Llama 3 8B, as arguments of ModelConfig, with a longer context, which needs no further weights."""
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
"""Used instead of it for --quick."""


def wait_for(device):
    """Waits until the GPU has finished, so that time.perf_counter measures the work and not only its launch."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def median_seconds(act, device, repeats=5):
    """The median of the seconds that act() takes, after two calls to warm up."""
    seconds = []
    for _ in range(repeats + 2):
        wait_for(device)
        begin = time.perf_counter()
        act()
        wait_for(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[2:])


def kernel_seconds(calls, repeats, device):
    """{name: median seconds of one call}, measured with CUDA events; the calls take turns. calls: {name: call}.

    Before each call 1 GiB of other data is read through the L2 cache four times. So each call has to read its data from
    memory, and the GPU is busy for a millisecond while the CPU launches the call: launch time is not measured (a launch
    of the kernel for Hopper took 0.24 ms of one machine's CPU, a first one after another call 0.6). On a CPU: the
    median by the clock.
    """
    if torch.device(device).type != "cuda":
        return {name: median_seconds(call, device, repeats) for name, call in calls.items()}
    other, pairs = _other_data(device), {name: [] for name in calls}
    for turn in range(repeats + 3):
        for name, call in calls.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            for _ in range(4):
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
    """A Transformer with torch's default initial weights, created directly on the device."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            made = Transformer(config)
    finally:
        torch.set_default_dtype(before)
    return made.eval().requires_grad_(False)


class Steps:
    """An engine whose runner computes steps of any shape, without the tokens before them: their keys and values are
    zeros.

    most: sequences at a time. context: tokens of the longest. budget: tokens of the largest step. settings: more of
    EngineConfig.
    """

    def __init__(self, model, most, context, budget, **settings):
        self.size = 16
        self.width = -(-context // self.size)
        config = EngineConfig(
            num_blocks=most * self.width, block_size=self.size, max_num_seqs=most, max_num_batched_tokens=budget,
            prefix_caching=False, **settings,
        )  # fmt: skip
        self.runner, self.device = Engine(model, config, trace=False).runner, model.device
        blocks = torch.randperm(most * self.width, generator=torch.Generator().manual_seed(0))
        self.blocks = blocks.view(most, self.width).tolist()

    def seconds(self, sequences, repeats=7):
        """The median of the seconds of one step. sequences: (tokens computed before, new tokens) of each."""
        params, step = SamplingParams(max_tokens=2, ignore_eos=True), Step(2**30)
        for i, (start, new) in enumerate(sequences):
            step.scheduled.append(ScheduledSequence(str(i), start, new, [5] * new, 1, 0, self.blocks[i], (params, i)))
        found = median_seconds(lambda: self.runner.run(step).wait(), self.device, repeats)
        for i in range(len(sequences)):
            self.runner.forget(str(i))
        return found
