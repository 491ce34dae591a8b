"""Other kernels for 13.fuse_norm. Imports Triton."""

import torch

from course_lib.attention.kernels import online  # noqa: F401  (first: it decides whether Triton is interpreted)

# isort: split
import triton
import triton.language as tl


@triton.jit
def pieces_norm_kernel(
    x_ptr, residual_ptr, weight_ptr, normed_ptr, summed_ptr, size, x_stride, residual_stride, eps, PIECE: tl.constexpr
):
    """One program a row, PIECE numbers at a time: once for the sum of squares, once more for the result."""
    row, squares = tl.program_id(0), tl.zeros([PIECE], tl.float32)
    for start in range(0, size, PIECE):
        at = start + tl.arange(0, PIECE)
        x = tl.load(x_ptr + row * x_stride + at, mask=at < size, other=0.0).to(tl.float32)
        x += tl.load(residual_ptr + row * residual_stride + at, mask=at < size, other=0.0).to(tl.float32)
        tl.store(summed_ptr + row * size + at, x.to(summed_ptr.dtype.element_ty), mask=at < size)
        squares += x * x
    scale = 1 / tl.sqrt(tl.sum(squares, 0) / size + eps)
    for start in range(0, size, PIECE):
        at = start + tl.arange(0, PIECE)
        x = tl.load(summed_ptr + row * size + at, mask=at < size, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + at, mask=at < size, other=0.0).to(tl.float32)
        tl.store(normed_ptr + row * size + at, (x * scale * weight).to(normed_ptr.dtype.element_ty), mask=at < size)


def norm_in_pieces(x, residual, weight, eps):
    rows, size = x.shape
    normed, summed = (torch.empty((rows, size), dtype=x.dtype, device=x.device) for _ in range(2))
    strides = x.stride(0), residual.stride(0)
    pieces_norm_kernel[(rows,)](x, residual, weight, normed, summed, size, *strides, eps, PIECE=16)
    return normed, summed


@triton.jit
def rows_norm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, rows, size, x_stride, residual_stride, eps, ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """ROWS rows a program. Both results lie in one tensor, [2, rows, size]."""
    row, at = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (at < size)[None, :]
    x = tl.load(x_ptr + row[:, None] * x_stride + at[None, :], mask=inside, other=0.0).to(tl.float32)
    x += tl.load(residual_ptr + row[:, None] * residual_stride + at[None, :], mask=inside, other=0.0)
    weight = tl.load(weight_ptr + at, mask=at < size, other=0.0)
    scale = tl.rsqrt(tl.sum(x * x, 1) / size + eps)
    place = out_ptr + row[:, None] * size + at[None, :]
    tl.store(place + rows * size, x.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(place, (x * scale[:, None] * weight[None, :]).to(out_ptr.dtype.element_ty), mask=inside)


def norm_several_rows(x, residual, weight, eps):
    out = torch.empty((2, *x.shape), dtype=x.dtype, device=x.device)
    rows_norm_kernel[(triton.cdiv(len(x), 4),)](
        x, residual, weight, out, *x.shape, x.stride(0), residual.stride(0), eps, ROWS=4,
        BLOCK=triton.next_power_of_2(x.shape[1]),
    )  # fmt: skip
    return out[0], out[1]
