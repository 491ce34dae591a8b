"""RMSNorm of the residual stream with the addition before it, and SwiGLU, as Triton kernels. Imports Triton."""

import torch

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous  # before Triton

# isort: split
import triton
import triton.language as tl


@triton.jit
def add_rms_norm_kernel(
    hidden_ptr, delta_ptr, weight_ptr, out_ptr, eps, ADD: tl.constexpr, SIZE: tl.constexpr, PADDED: tl.constexpr, PDL:
    tl.constexpr,
):  # fmt: skip
    """One program a token: hidden += delta, in place; out = hidden / sqrt(mean(hidden ** 2) + eps) * weight."""
    token = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, PADDED)
    inside = at < SIZE
    weight = tl.load(weight_ptr + at, mask=inside, other=0.0).to(tl.float32)
    wait_for_previous(PDL)
    let_next_start(PDL)
    x = tl.load(hidden_ptr + token * SIZE + at, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        x += tl.load(delta_ptr + token * SIZE + at, mask=inside, other=0.0).to(tl.float32)
        x = x.to(hidden_ptr.dtype.element_ty)
        tl.store(hidden_ptr + token * SIZE + at, x, mask=inside)
        x = x.to(tl.float32)
    x = x * tl.rsqrt(tl.sum(x * x, 0) / SIZE + eps) * weight
    tl.store(out_ptr + token * SIZE + at, x.to(out_ptr.dtype.element_ty), mask=inside)


def add_rms_norm(hidden, delta, weight, eps):
    """hidden += delta, in place, and the RMSNorm of the sum.

    hidden: [num_tokens, hidden_size], contiguous. delta: the same, or None. weight: [hidden_size]. Returns a new
    tensor. Source: arXiv 1910.07467.
    """
    out, size = torch.empty_like(hidden), hidden.shape[-1]
    padded = triton.next_power_of_2(size)
    add_rms_norm_kernel[(len(hidden),)](
        hidden, hidden if delta is None else delta, weight, out, eps, ADD=delta is not None, SIZE=size, PADDED=padded,
        num_warps=min(8, max(1, padded // 512)), **pdl(hidden.device),
    )  # fmt: skip
    return out


@triton.jit
def swiglu_kernel(gate_up_ptr, out_ptr, SIZE: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr):
    """A program takes BLOCK numbers of one token: out = silu(gate) * up."""
    token, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < SIZE
    wait_for_previous(PDL)
    let_next_start(PDL)
    gate = tl.load(gate_up_ptr + token * 2 * SIZE + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + token * 2 * SIZE + SIZE + at, mask=inside, other=0.0).to(tl.float32)
    out = gate / (1 + tl.exp(-gate)) * up
    tl.store(out_ptr + token * SIZE + at, out.to(out_ptr.dtype.element_ty), mask=inside)


def swiglu(gate_up):
    """silu(gate) * up (arXiv 2002.05202). gate_up: [num_tokens, 2 * size], gate first, contiguous.

    Returns [num_tokens, size].
    """
    size = gate_up.shape[-1] // 2
    out = gate_up.new_empty((len(gate_up), size))
    block = min(2048, triton.next_power_of_2(size))
    swiglu_kernel[(len(gate_up), triton.cdiv(size, block))](
        gate_up, out, SIZE=size, BLOCK=block, num_warps=4, **pdl(gate_up.device)
    )
    return out
