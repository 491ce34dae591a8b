"""Programmatic dependent launch (PDL): a kernel starts while the one before it still runs. Imports Triton.

On Hopper and later chips a kernel may start early, load data that no other kernel writes, such as its weights, and only
then wait for the kernel before it. In a decode step of one sequence, where each kernel takes 2 to 5 microseconds, this
hides most of the time between two kernels.
Source: CUDA C++ Programming Guide, "Programmatic Dependent Launch and Synchronization".
"""

from functools import lru_cache

import torch

from . import triton_start  # noqa: F401  (before Triton)

# isort: split
import triton
import triton.language as tl

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:  # an older Triton: no kernel is launched with PDL, and neither function is called
    gdc_launch_dependents = gdc_wait = None


@triton.jit
def wait_for_previous(PDL: tl.constexpr):
    """Waits for the kernel before. It must come before the first access to data that another kernel writes or reads."""
    if PDL:
        gdc_wait()


@triton.jit
def let_next_start(PDL: tl.constexpr):
    """Lets the next kernel start; it waits for this one where it has to."""
    if PDL:
        gdc_launch_dependents()


@lru_cache
def pdl(device):
    """The launch options of a kernel on this device: whether PDL is used."""
    device = torch.device(device)
    has = device.type == "cuda" and not torch.version.hip and gdc_wait is not None
    if has and torch.cuda.get_device_capability(device) >= (9, 0):
        return {"PDL": True, "launch_pdl": True}
    return {"PDL": False}
