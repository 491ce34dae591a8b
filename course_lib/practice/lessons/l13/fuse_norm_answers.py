"""Answers for 13.fuse_norm in plain torch: two right ones, and wrong ones."""

import math

import torch


def fuse_norm(x, residual, weight, eps):
    """(normed, summed): summed = x + residual, normed = its RMSNorm times weight. Both new, [rows, size], as x."""
    summed = (x.double() + residual.double()).to(x.dtype)
    wide = summed.double()
    scale = 1 / (wide.pow(2).mean(1, keepdim=True) + eps).sqrt()
    return (wide * scale * weight.double()).to(x.dtype), summed


def norm_row_by_row(x, residual, weight, eps):
    normed, summed = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(2))
    for row in range(len(x)):
        total = x[row].float() + residual[row].float()
        summed[row] = total
        normed[row] = total / math.sqrt(float(total @ total) / len(total) + eps) * weight
    return normed, summed


def altered(
    *,
    add=lambda x, r: x + r,
    keeps=lambda x, r, total: total,
    mean=lambda x: (x * x).mean(1, keepdim=True),
    scale=lambda mean, eps: 1 / (mean + eps).sqrt(),
    shift=lambda x: x,
    of=lambda x, total: total,
    squares_of=lambda x, total: total,
    weighs=lambda x, w: x * w,
    reads=lambda x: x,
    reads_residual=lambda x, r: r,
    writes=lambda out: out,
    gives=lambda normed, summed: (normed, summed),
    dtype=None,
):
    """A wrong answer: the right one with a part replaced."""

    def answer(x, residual, weight, eps):
        to = dtype or x.dtype
        a, b = reads(x).float(), reads_residual(x, residual).float()
        total = add(a, b).to(x.dtype).float()
        seen = shift(total)
        normed = weighs(of(a, seen) * scale(mean(squares_of(a, seen)), eps), weight.float())
        return gives(writes(normed.to(to)), writes(keeps(a, b, total).to(to)))

    return answer


def in_half(x, residual, weight, eps):
    """A wrong answer: everything in x's own dtype."""
    summed = x + residual
    scale = 1 / ((summed * summed).mean(1, keepdim=True) + eps).sqrt()
    return summed * scale * weight, summed


def rounds_twice(x, residual, weight, eps):
    """A wrong answer: multiplies the weight with what is in float16 already."""
    summed = x.float() + residual.float()
    scale = 1 / ((summed * summed).mean(1, keepdim=True) + eps).sqrt()
    return (summed * scale).to(x.dtype) * weight, summed.to(x.dtype)


def over_block(x):
    """The mean over the lanes of the block, a power of two."""
    return (x * x).sum(1, keepdim=True) / (1 << (x.shape[1] - 1).bit_length())


def after_the_end(value):
    """The mean of the squares where every lane after the end of the row holds `value`."""

    def mean(x):
        size = x.shape[1]
        lanes = (1 << (size - 1).bit_length()) - size
        return ((x * x).sum(1, keepdim=True) + lanes * value**2) / size

    return mean


def side_by_side(x):
    """What a kernel reads that takes the number of columns for the stride of a row."""
    return x.as_strided(x.shape, (x.shape[1], 1))


def with_stride_of(x, residual):
    """What a kernel reads of the residual that takes the row stride of x for it; nan where that is outside of it."""
    reach = residual.untyped_storage().nbytes() // residual.element_size() - residual.storage_offset()
    need = (len(x) - 1) * x.stride(0) + x.shape[1]
    if need > reach:
        flat = residual.as_strided((reach,), (1,))
        flat = torch.cat([flat, flat.new_full((need - reach,), math.nan)])
        return flat.as_strided(x.shape, (x.stride(0), 1))
    return residual.as_strided(x.shape, (x.stride(0), 1))


def first_row(out):
    return torch.cat([out[:1], torch.full_like(out[1:], math.nan)])


def into_x(x, residual, weight, eps):
    """Adds in place, as the library's kernel does with its own tensors."""
    normed, summed = fuse_norm(x, residual, weight, eps)
    x.copy_(summed)
    return normed, x


def into_residual(x, residual, weight, eps):
    normed, summed = fuse_norm(x, residual, weight, eps)
    residual.copy_(summed)
    return normed, residual
