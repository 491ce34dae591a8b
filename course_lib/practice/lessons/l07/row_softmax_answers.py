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
        m_i = row.max()
        weights = torch.exp(row - m_i) if m_i > -INF else torch.zeros_like(row)
        out[program] = weights / weights.sum().clamp(min=1e-30)
    return out


def altered(
    *,
    maximum=lambda x: x.amax(1, keepdim=True),
    guards=True,
    tail=False,
    divides=True,
    dim=1,
    reads=lambda x: x,
    writes=lambda out, x: out,
    dtype=None,
):
    """A wrong answer: the right one with a part replaced. tail: whether lanes of 0 after the end take part."""

    def answer(x):
        rows = reads(x).float()
        if tail:
            block = 1 << (rows.shape[1] - 1).bit_length()
            rows = torch.cat([rows, rows.new_zeros(len(rows), block - rows.shape[1])], 1)
        m_i = maximum(rows)
        weights = torch.exp(rows - (torch.where(m_i == -INF, 0.0, m_i) if guards else m_i))
        l_i = weights.sum(dim, keepdim=True)
        out = weights / (torch.where(l_i == 0, 1.0, l_i) if guards else l_i) if divides else weights
        return writes(out[:, : x.shape[1]].to(dtype or x.dtype), x)

    return answer


def side_by_side(x):
    """What a kernel reads that uses the number of columns as the stride of a row."""
    return x.as_strided(x.shape, (x.shape[1], 1))


def over_everything(x):
    """A wrong answer: one softmax over all rows together."""
    return torch.softmax(x.float().flatten(), 0).view(x.shape).to(x.dtype)


def far_below(x):
    """A wrong answer: -1e9 in place of -inf. A fully masked row has equal weights, lanes after the end included."""
    lanes = 1 << (x.shape[1] - 1).bit_length()
    out = torch.softmax(x.float().clamp(min=-1e9), 1)
    out[(x == -INF).all(1)] = 1 / lanes
    return out.to(x.dtype)


def nan_in_full_blocks(x):
    """A wrong answer: no guard, and -1e9 in lanes after the end. With such lanes, a fully masked row is 0 by chance."""
    full = x.shape[1] & (x.shape[1] - 1) == 0
    return altered(guards=not full)(x)


def first_row(out, x):
    return torch.cat([out[:1], torch.full_like(out[1:], math.nan)])
