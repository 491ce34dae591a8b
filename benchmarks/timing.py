"""What the scripts of recorded lessons share: a clock that waits for the GPU, and models with random weights."""

import statistics
import time

import torch

from course_lib.models import Transformer


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
