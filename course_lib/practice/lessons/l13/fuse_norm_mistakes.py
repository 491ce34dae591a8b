"""The mistakes in 13.fuse_norm."""

import torch

from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.lessons.kernel_mistakes import power_of_two

from .fuse_norm_answers import (
    after_the_end,
    altered,
    first_row,
    fuse_norm,
    in_half,
    into_residual,
    into_x,
    over_block,
    rounds_twice,
    side_by_side,
    with_stride_of,
)
from .fuse_norm_trials import EPS, HALF, KEPT, ONCE, ONE, STRIDED, TAILS, UNTOUCHED


def is_cut_short(answer, found):
    """Whether the beginning of a row is written, and its end is not."""
    mine = found.outcome
    if not (isinstance(mine, tuple) and len(mine) == 2 and all(isinstance(x, torch.Tensor) for x in mine)):
        return False
    return any(x.ndim == 2 and bool(x[0, -1].isnan()) and not bool(x[0, 0].isnan()) for x in mine)


def norms_of_float32(answer):
    """Whether the answer is right in all cases in float32 that are asked for here."""
    return all(
        t.agree(t.outcome(fuse_norm, timed=False)[0], t.outcome(answer)[0]) for t in (*ONE, *TAILS[:4], *EPS[:4])
    )


def is_outside(found, trials):
    """Whether the interpreter stopped a load in one of these trials. The first of STRIDED has two equal strides."""
    stopped = getattr(found.outcome, "kind", "") == "OutOfBounds"
    return stopped and found.trial in trials and ", loads " in found.outcome.message


MISTAKES = [
    *RETURNS_NOTHING,
    Mistake(
        "the caller's tensors are changed.",
        "Write into new tensors: `torch.empty`. (vLLM's kernel does write into the caller's, to save memory. Here "
        "both inputs stay.)",
        (into_x, into_residual),
        is_made_by=writes_into(UNTOUCHED),
    ),
    Mistake(
        "several calls return the same tensors.",
        "What the first call returned is overwritten by the next. Make new tensors in every call.",
        is_made_by=writes_into(KEPT),
    ),
    Mistake(
        "numbers are rounded to float16 on the way.",
        "Keep the row, the weight and their product in float32, and convert once, where the result is stored.",
        rounds_twice,
        is_made_by=writes_into(ONCE),
    ),
    Mistake(
        "rows are assumed to be contiguous.",
        "A row of x begins at row * x.stride(0), a row of residual at row * residual.stride(0).",
        (
            altered(reads=side_by_side, reads_residual=lambda x, r: side_by_side(r)),
            altered(reads=side_by_side),
            altered(reads_residual=lambda x, r: side_by_side(r)),
        ),
        is_made_by=lambda answer, found: is_outside(found, STRIDED[:1]),
    ),
    Mistake(
        "the stride of x is used for residual.",
        "They may be slices of different tensors: each has its own row stride.",
        altered(reads_residual=with_stride_of),
        is_made_by=lambda answer, found: is_outside(found, STRIDED[1:]),
    ),
    rungs.OUTSIDE,
    power_of_two(
        "A row can have any length, a block cannot: use `BLOCK=triton.next_power_of_2(size)`, with a mask for the "
        "lanes from `size` on."
    ),
    Mistake(
        "residual is not added.",
        "summed = x + residual, and it is the sum that is normed.",
        (altered(add=lambda x, r: x), altered(add=lambda x, r: r)),
    ),
    Mistake(
        "x is normed, and not the sum.",
        "Add first: the norm is that of summed.",
        (
            altered(add=lambda x, r: x, keeps=lambda x, r, total: x + r),
            altered(of=lambda x, total: x),
            altered(squares_of=lambda x, total: x),
            altered(mean=lambda total: total.new_zeros(len(total), 1), scale=lambda mean, eps: 1.0),
        ),
    ),
    Mistake(
        "normed and summed are exchanged.",
        "Return (normed, summed): first what the next product needs, then what the next addition needs.",
        altered(gives=lambda normed, summed: (summed, normed)),
    ),
    Mistake(
        "only one tensor is returned.",
        "Return both: (normed, summed).",
        (altered(gives=lambda normed, summed: normed), altered(gives=lambda normed, summed: summed)),
    ),
    Mistake(
        "x or residual is returned as the sum.",
        "The next layer adds to x + residual: return that.",
        (altered(keeps=lambda x, r, total: r), altered(keeps=lambda x, r, total: x)),
    ),
    Mistake(
        "normed is returned twice.",
        "The residual stream goes on without the norm: return x + residual as the second.",
        altered(gives=lambda normed, summed: (normed, normed)),
    ),
    Mistake("the weight is left out.", "Multiply number i of each row by weight[i].", altered(weighs=lambda x, w: x)),
    Mistake(
        "the first weight is used for the whole row.",
        "Number i of a row is multiplied by weight[i].",
        altered(weighs=lambda x, w: x * w[0]),
    ),
    Mistake(
        "1 is added to the weight.",
        "Some models (Gemma) keep weight - 1. Here weight is multiplied as it is.",
        altered(weighs=lambda x, w: x * (1 + w)),
    ),
    Mistake(
        "the mean is subtracted, as in LayerNorm.",
        "RMSNorm divides by the root of the mean square, and subtracts nothing.",
        (
            altered(shift=lambda x: x - x.mean(1, keepdim=True)),
            altered(mean=lambda x: x.var(1, keepdim=True, unbiased=False)),
        ),
    ),
    Mistake(
        "the mean is taken over the block.",
        "The block has lanes after the end of the row. Divide the sum by `size`, not by BLOCK.",
        altered(mean=over_block),
    ),
    Mistake(
        "lanes after the end of the row count.",
        "They must add 0 to the sum of the squares: load them with `other=0.0`.",
        (altered(mean=after_the_end(1.0)), altered(mean=after_the_end(2.0))),
    ),
    Mistake(
        "the sum of the squares is not divided by their number.",
        "It is the mean of the squares: divide by `size`.",
        altered(mean=lambda x: (x * x).sum(1, keepdim=True)),
    ),
    Mistake(
        "one number too few is divided by.",
        "The mean divides by `size`, not by size - 1.",
        (
            altered(mean=lambda x: (x * x).sum(1, keepdim=True) / max(1, x.shape[1] - 1)),
            altered(mean=lambda x: (x * x).sum(1, keepdim=True) / (x.shape[1] - 1)),
        ),
    ),
    Mistake(
        "one mean is taken for all rows.",
        "Each token has its own: take the mean over a row, `dim=1`.",
        (
            altered(mean=lambda x: (x * x).mean().expand(len(x), 1)),
            altered(mean=lambda x: (x * x).mean(1, keepdim=True)[:1].expand(len(x), 1)),
        ),
    ),
    Mistake(
        "the mean is taken over a column.",
        "A row is a token: `dim=1`.",
        altered(mean=lambda x: (x * x).mean(0, keepdim=True)),
    ),
    Mistake(
        "the root is forgotten.",
        "Divide by the root of the mean square.",
        altered(scale=lambda mean, eps: 1 / (mean + eps)),
    ),
    Mistake(
        "the row is multiplied by the root.",
        "Divide by the root: `tl.rsqrt`, or 1 / √.",
        altered(scale=lambda mean, eps: (mean + eps).sqrt()),
    ),
    Mistake(
        "eps is left out.",
        "A row of zeros is then 0 / 0, which is nan.",
        altered(scale=lambda mean, eps: 1 / mean.sqrt()),
    ),
    Mistake(
        "eps is added after the root.",
        "Add it to the mean: √(mean + eps). The root of 0.00001 is 0.003.",
        altered(scale=lambda mean, eps: 1 / (mean.sqrt() + eps)),
    ),
    Mistake(
        "another eps is used.",
        "`eps` is an argument: models differ.",
        (
            altered(scale=lambda mean, eps: 1 / (mean + 1e-5).sqrt()),
            altered(scale=lambda mean, eps: 1 / (mean + 1e-6).sqrt()),
            altered(scale=lambda mean, eps: 1 / (mean + max(eps, 1e-6)).sqrt()),
            altered(scale=lambda mean, eps: 1 / mean.clamp(min=eps).sqrt()),
        ),
        lambda answer, found: found.note == "eps is as small as the model says",
    ),
    Mistake(
        "the block ends before the row does.",
        "The block needs as many lanes as the row has numbers: `BLOCK=triton.next_power_of_2(size)`.",
        is_made_by=is_cut_short,
    ),
    Mistake(
        "every program takes the first row.",
        "Launch a program for each row, and add `tl.program_id(0)` times the stride to the pointers of loads and "
        "stores.",
        (
            altered(writes=first_row),
            altered(reads=lambda x: x[:1].expand_as(x), reads_residual=lambda x, r: r[:1].expand_as(r)),
        ),
    ),
    Mistake(
        "the results are in float32.",
        "Compute in float32, and store in the dtype of x: `.to(out_ptr.dtype.element_ty)`.",
        altered(dtype=torch.float32),
    ),
    Mistake(
        "the squares are in float16.",
        "Above 255 a square is infinite in float16, and below 0.0002 it is 0. Convert the row to float32 first, "
        "`.to(tl.float32)` or `.float()`, and the results to float16 at the end.",
        in_half,
        is_made_by=lambda answer, found: (
            found.trial in HALF
            and isinstance(found.outcome, tuple)
            and all(getattr(x, "dtype", None) == torch.float16 for x in found.outcome)
            and norms_of_float32(answer)
        ),
    ),
]
