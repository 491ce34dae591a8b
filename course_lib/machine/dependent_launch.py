"""How a kernel starts while the one before it still runs. Imports Triton.

Programmatic dependent launch (PDL, on Hopper and later): a kernel may start while the one before it still runs. It loads what no
other kernel writes, its weights, and waits for the one before only then. In a decode step of one sequence, where each kernel
takes 2 to 5 microseconds, this hides most of the time between two kernels.
Source: CUDA C++ Programming Guide, "Programmatic Dependent Launch and Synchronization".
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl

from . import triton_start  # noqa: F401, I001  (before Triton)

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:  # an older Triton: no kernel is launched with PDL, and neither is called
    gdc_launch_dependents = gdc_wait = None


@triton.jit
def wait_for_previous(PDL: tl.constexpr):
    """Stands before the first access to anything that another kernel writes or reads."""
    if PDL:
        gdc_wait()


@triton.jit
def let_next_start(PDL: tl.constexpr):
    """The next kernel may start: it waits for this one where it has to."""
    if PDL:
        gdc_launch_dependents()


@lru_cache
def pdl(device):
    """The launch options for a device: whether PDL is used there."""
    device = torch.device(device)
    has = device.type == "cuda" and not torch.version.hip and gdc_wait is not None
    if has and torch.cuda.get_device_capability(device) >= (9, 0):
        return {"PDL": True, "launch_pdl": True}
    return {"PDL": False}
