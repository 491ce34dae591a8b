"""Answers for 07.row_softmax in plain torch: two right ones, and wrong ones."""

import math

import torch

INF = math.inf


def row_softmax(x):
    """The softmax of each row. x: float [rows, columns], any strides. Returns a new tensor of its shape and dtype."""
    return torch.softmax(x.double(), 1).nan_to_num(0.0).to(x.dtype)


def softmax_program_by_program(x):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for program in range(len(x)):
        row = x[program].float()
        high = row.max()
        weights = torch.exp(row - high) if high > -INF else torch.zeros_like(row)
        out[program] = weights / weights.sum().clamp(min=1e-30)
    return out


def bent(
    *,
    high=lambda x: x.amax(1, keepdim=True),
    guards=True,
    tail=0,
    divides=True,
    dim=1,
    reads=lambda x: x,
    writes=lambda out, x: out,
    dtype=None,
):
    """A wrong answer: the right one with a piece replaced. tail: what lanes past the end bring in: 0, or None for nothing at all."""

    def answer(x):
        rows = reads(x).float()
        if tail:
            block = 1 << (rows.shape[1] - 1).bit_length()
            rows = torch.cat([rows, rows.new_zeros(len(rows), block - rows.shape[1])], 1)
        top = high(rows)
        weights = torch.exp(rows - (torch.where(top == -INF, 0.0, top) if guards else top))
        total = weights.sum(dim, keepdim=True)
        out = weights / (torch.where(total == 0, 1.0, total) if guards else total) if divides else weights
        return writes(out[:, : x.shape[1]].to(dtype or x.dtype), x)

    return answer


def side_by_side(x):
    """What a kernel reads that takes the number of columns for the stride."""
    return x.as_strided(x.shape, (x.shape[1], 1))


def over_everything(x):
    """One softmax over all rows together."""
    return torch.softmax(x.float().flatten(), 0).view(x.shape).to(x.dtype)


def far_below(x):
    """A row that is masked as a whole, by a large negative number in the place of -inf: all of it is equal, lanes past the end too."""
    lanes = 1 << (x.shape[1] - 1).bit_length()
    out = torch.softmax(x.float().clamp(min=-1e9), 1)
    out[(x == -INF).all(1)] = 1 / lanes
    return out.to(x.dtype)


def nan_in_full_blocks(x):
    """Nothing is guarded, and lanes past the end hold -1e9: where there are any, a row that is masked as a whole is 0 by chance."""
    full = x.shape[1] & (x.shape[1] - 1) == 0
    return bent(guards=not full)(x)


def first_row(out, x):
    return torch.cat([out[:1], torch.full_like(out[1:], math.nan)])
