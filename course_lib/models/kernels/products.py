"""Products of a few rows with a weight matrix, as one Triton kernel: the time is that of reading the weights once.
Imports Triton.

A program takes BLOCK_N rows of the weight as a whole, in one piece, so that all of its loads are on their way at
once, and multiplies them with each row of x. What stands around the product is in the same kernel:

    before      RMSNorm of x                 each program works it out again: x is small
    after       + bias, then either          silu(gate) * up            the weight holds gate's rows, then up's
                                             or + residual              in place

few_rows multiplies on the ordinary units. For 5 to 16 rows that takes longer than reading the weights, so some_rows
does the same on the matrix units; for more rows torch's product is as fast.
"""

import torch

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous  # before Triton

# isort: split
import triton
import triton.language as tl

TILE_NUMBERS = 16384  # of the weight, in one program
WARPS = 4
ROWS = tl.constexpr(16)  # of some_rows
SOME_TILE = 8, 2048  # rows and columns of the weight that a program of some_rows has at a time


@triton.jit
def _piece(w_ptr, rows, N, at, K: tl.constexpr):
    mask = (rows < N)[:, None] & (at < K)[None, :]
    return tl.load(w_ptr + rows.to(tl.int64)[:, None] * K + at[None, :], mask=mask, other=0.0)


@triton.jit
def few_rows_kernel(
    x_ptr, w_ptr, bias_ptr, norm_ptr, residual_ptr, out_ptr, N, eps, M: tl.constexpr, K: tl.constexpr, PADDED_K:
    tl.constexpr, BLOCK_N: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, GATED: tl.constexpr, RESIDUAL:
    tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """out[m, n] = sum over k of x[m, k] * w[n, k]. x: [M, K]; w: [N, K], with GATED [2 * N, K]; out, residual: [M,
    N].
    """
    rows, at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, PADDED_K)
    w = _piece(w_ptr, rows, N, at, K)  # the weights, before the kernel before has ended
    if GATED:
        w_up = _piece(w_ptr + N.to(tl.int64) * K, rows, N, at, K)
    if NORM:
        norm = tl.load(norm_ptr + at, mask=at < K, other=0.0).to(tl.float32)
    if BIAS:
        bias = tl.load(bias_ptr + rows, mask=rows < N, other=0.0).to(tl.float32)
    dtype: tl.constexpr = out_ptr.dtype.element_ty
    wait_for_previous(PDL)
    let_next_start(PDL)
    for m in tl.static_range(M):
        x = tl.load(x_ptr + m * K + at, mask=at < K, other=0.0).to(tl.float32)
        if NORM:
            x = (x * tl.rsqrt(tl.sum(x * x, 0) / K + eps) * norm).to(dtype).to(tl.float32)
        out = tl.sum(w.to(tl.float32) * x[None, :], 1)
        if BIAS:
            out += bias
        if GATED:
            up = tl.sum(w_up.to(tl.float32) * x[None, :], 1).to(dtype).to(tl.float32)
            out = out.to(dtype).to(tl.float32)
            out = out / (1 + tl.exp(-out)) * up
        place = m * N + rows
        if RESIDUAL:
            out = tl.load(residual_ptr + place, mask=rows < N, other=0.0).to(tl.float32) + out.to(dtype).to(tl.float32)
        tl.store(out_ptr + place, out.to(dtype), mask=rows < N)


def few_rows(x, weight, *, bias=None, norm=None, eps=0.0, gated=False, residual=None):
    """x @ weight.T for a few rows, with what stands around it.

    x: [rows, K], contiguous. weight: [N, K], contiguous; gated: [2 * N, K], and the result is silu(x @ gate.T) * (x
    @ up.T). bias: [N] or None. norm: the weight [K] of an RMSNorm of x before the product, or None. residual: [rows,
    N] to which the product is added in place, or None. Returns [rows, N]; residual where that is given.
    """
    (num_rows, k), n = x.shape, len(weight) // (2 if gated else 1)
    out = torch.empty((num_rows, n), dtype=x.dtype, device=x.device) if residual is None else residual
    padded = triton.next_power_of_2(k)
    block = max(1, min(16, TILE_NUMBERS // padded // (2 if gated else 1)))
    few_rows_kernel[(triton.cdiv(n, block),)](
        x, weight, x if bias is None else bias, x if norm is None else norm, out, out, n, eps, M=num_rows, K=k,
        PADDED_K=padded, BLOCK_N=block, NORM=norm is not None, BIAS=bias is not None, GATED=gated,
        RESIDUAL=residual is not None, num_warps=WARPS, **pdl(x.device),
    )  # fmt: skip
    return out


@triton.jit
def _slices(w_ptr, rows, N, k, K: tl.constexpr):
    """[WARPS, columns of a warp, rows of the weight]: k is [WARPS, columns of a warp]."""
    mask = (k < K)[:, :, None] & (rows < N)[None, None, :]
    return tl.load(w_ptr + rows.to(tl.int64)[None, None, :] * K + k[:, :, None], mask=mask, other=0.0)


@triton.jit(do_not_specialize=["num_rows"])
def some_rows_kernel(
    x_ptr, w_ptr, bias_ptr, norm_ptr, residual_ptr, out_ptr, num_rows, N, eps, K: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr, WARPS: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, GATED: tl.constexpr, RESIDUAL:
    tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """As few_rows_kernel, for up to ROWS rows. Each warp multiplies its own slice of BLOCK_K columns; their sums are
    added at the end. The factor of the norm is the same for a whole row, so it waits for the end too.
    """
    rows, m = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, ROWS)
    of_warp: tl.constexpr = BLOCK_K // WARPS
    k = tl.arange(0, WARPS)[:, None] * of_warp + tl.arange(0, of_warp)[None, :]
    w = _slices(w_ptr, rows, N, k, K)  # the weights, before the kernel before has ended
    up_ptr = w_ptr + N.to(tl.int64) * K
    w_up = w
    if GATED:
        w_up = _slices(up_ptr, rows, N, k, K)
    dtype: tl.constexpr = out_ptr.dtype.element_ty
    wait_for_previous(PDL)
    let_next_start(PDL)
    out, up = tl.zeros([WARPS, ROWS, BLOCK_N], tl.float32), tl.zeros([WARPS, ROWS, BLOCK_N], tl.float32)
    squares = tl.zeros([WARPS, ROWS], tl.float32)
    for start in tl.static_range(0, K, BLOCK_K):
        at = start + k
        here = (at < K)[:, None, :] & (m < num_rows)[None, :, None]
        x = tl.load(x_ptr + m[None, :, None] * K + at[:, None, :], mask=here, other=0.0)
        if NORM:
            wide = x.to(tl.float32)
            squares += tl.sum(wide * wide, 2)
            norm = tl.load(norm_ptr + at, mask=at < K, other=0.0).to(tl.float32)
            x = (wide * norm[:, None, :]).to(dtype)
        if start > 0:
            w = _slices(w_ptr, rows, N, at, K)
            if GATED:
                w_up = _slices(up_ptr, rows, N, at, K)
        out = tl.dot(x, w, out, input_precision="ieee")
        if GATED:
            up = tl.dot(x, w_up, up, input_precision="ieee")
    total = tl.sum(out, 0)
    if NORM:
        factor = tl.rsqrt(tl.sum(squares, 0) / K + eps)[:, None]
        total *= factor
    if BIAS:
        total += tl.load(bias_ptr + rows, mask=rows < N, other=0.0).to(tl.float32)[None, :]
    if GATED:
        more = tl.sum(up, 0)
        if NORM:
            more *= factor
        total = total.to(dtype).to(tl.float32)
        total = total / (1 + tl.exp(-total)) * more.to(dtype).to(tl.float32)
    place, inside = m[:, None] * N + rows[None, :], (m < num_rows)[:, None] & (rows < N)[None, :]
    if RESIDUAL:
        total = tl.load(residual_ptr + place, mask=inside, other=0.0).to(tl.float32) + total.to(dtype).to(tl.float32)
    tl.store(out_ptr + place, total.to(dtype), mask=inside)


def some_rows(x, weight, *, bias=None, norm=None, eps=0.0, gated=False, residual=None, tile=SOME_TILE):
    """As few_rows, for up to 16 rows. tile: rows and columns of the weight that a program has at a time."""
    (num_rows, k), n = x.shape, len(weight) // (2 if gated else 1)
    out = torch.empty((num_rows, n), dtype=x.dtype, device=x.device) if residual is None else residual
    block_n, block_k = tile[0], min(tile[1], triton.next_power_of_2(k))
    warps = max(1, min(8, block_k // 128))
    some_rows_kernel[(triton.cdiv(n, block_n),)](
        x, weight, x if bias is None else bias, x if norm is None else norm, out, out, num_rows, n, eps, K=k,
        BLOCK_K=block_k, BLOCK_N=block_n, WARPS=warps, NORM=norm is not None, BIAS=bias is not None,
        GATED=gated, RESIDUAL=residual is not None, num_warps=warps, **pdl(x.device),
    )  # fmt: skip
    return out
