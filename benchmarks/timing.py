"""What the scripts of recorded lessons share: a clock that waits for the GPU, and models with random weights."""

import statistics
import time

import torch

from course_lib.models import Transformer

LLAMA_3_8B = dict(vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_layers=32, num_heads=32, num_kv_heads=8,
                  head_dim=128, context=16_384, rope_theta=500_000.0)
"""The shape of Llama 3 8B, as arguments of ModelConfig; the context is longer than the model's, which costs nothing here."""
TINY = dict(vocab_size=256, hidden_size=32, intermediate_size=64, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8, context=16_384)
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
