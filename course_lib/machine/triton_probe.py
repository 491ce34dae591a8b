"""The smallest Triton kernel that can tell a working Triton from a broken one. Imports Triton."""

import torch
import triton
import triton.language as tl

from .triton_patch import mend


@triton.jit
def _add_masked(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        inside = offsets < n
        total = tl.load(x_ptr + offsets, mask=inside) + tl.load(y_ptr + offsets, mask=inside)
        tl.store(out_ptr + offsets, total, mask=inside)


def canary(device):
    """Adds two vectors of an odd length. True if every sum is right and nothing past the end was written."""
    mend()
    n, block = 21, 8
    x = torch.arange(n, dtype=torch.float32, device=device)
    out = torch.full((4 * block,), -1.0, device=device)
    _add_masked[(2,)](x, 2 * x + 1, out, n, BLOCK=block)
    return bool((out[:n] == 3 * x + 1).all() and (out[n:] == -1).all())
