"""Right kernels of lesson 07, written differently from the solutions. Imports Triton."""

import torch

from course_lib.practice.fixtures.kernel_language import tl, triton

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def merging_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    n,
    m,
    q_stride,
    k_stride,
    v_stride,
    q_head,
    k_head,
    v_head,
    group,
    scale,
    CAUSAL: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Heads last in the grid, sums of products in place of tl.dot, base 2, and tiles merged by log-sum-exp."""
    rows, head, dims = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1), tl.arange(0, HEAD_DIM)
    inside = (rows < n)[:, None]
    q = tl.load(q_ptr + rows[:, None] * q_stride + head * q_head + dims[None, :], mask=inside, other=0.0).to(tl.float32)
    q *= scale * LOG2_E
    last = tl.zeros([ROWS], tl.int32) + m
    if CAUSAL:
        last = m - n + rows + 1
    lse, out = tl.full([ROWS], -1e30, tl.float32), tl.zeros([ROWS, HEAD_DIM], tl.float32)
    start, end = 0, tl.minimum(m, tl.max(last, 0))
    while start < end:
        columns = start + tl.arange(0, TILE)
        there = (columns < m)[:, None]
        k = tl.load(k_ptr + columns[:, None] * k_stride + head // group * k_head + dims[None, :], mask=there, other=0.0)
        v = tl.load(v_ptr + columns[:, None] * v_stride + head // group * v_head + dims[None, :], mask=there, other=0.0)
        scores = tl.sum(q[:, None, :] * k[None, :, :].to(tl.float32), 2)
        scores = tl.where((columns[None, :] < tl.minimum(last, m)[:, None]), scores, -float("inf"))
        m_i = tl.maximum(tl.max(scores, 1), -1e30)
        weights = tl.exp2(scores - m_i[:, None])
        l_i = tl.sum(weights, 1)
        new = tl.where(l_i > 0, m_i + tl.log2(tl.maximum(l_i, 1e-30)), -1e30)
        both = tl.maximum(lse, new) + tl.log2(1 + tl.exp2(-tl.abs(lse - new)))
        part = tl.sum(v[None, :, :].to(tl.float32) * weights[:, :, None], 1) / tl.where(l_i > 0, l_i, 1.0)[:, None]
        out = out * tl.exp2(lse - both)[:, None] + part * tl.exp2(new - both)[:, None]
        lse = both
        start += TILE
    place = out_ptr + (rows[:, None] * tl.num_programs(1) + head) * HEAD_DIM + dims[None, :]
    tl.store(place, out.to(out_ptr.dtype.element_ty), mask=inside)


def by_merging(q, k, v, tile, causal):
    n, heads, head_dim = q.shape
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    rows = tile // 2 if causal else tile  # fewer rows than keys in a tile; the page gives no number of rows
    merging_kernel[(triton.cdiv(n, rows), heads)](
        q,
        k,
        v,
        out,
        n,
        len(k),
        q.stride(0),
        k.stride(0),
        v.stride(0),
        q.stride(1),
        k.stride(1),
        v.stride(1),
        heads // k.shape[1],
        head_dim**-0.5,
        CAUSAL=causal,
        HEAD_DIM=head_dim,
        ROWS=rows,
        TILE=tile,
    )
    return out


def flash_by_merging(q, k, v, tile):
    return by_merging(q, k, v, tile, False)


def causal_by_merging(q, k, v, tile):
    return by_merging(q, k, v, tile, True)


@triton.jit
def group_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    n,
    m,
    scale,
    q_stride,
    q_head,
    k_stride,
    k_head,
    v_stride,
    v_head,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """One program takes all query heads of a KV head: a row is a query of one head; k and v are loaded once for all."""
    kv_head, dims, lanes = tl.program_id(0), tl.arange(0, HEAD_DIM), tl.arange(0, ROWS)
    rows, heads = tl.program_id(1) * (ROWS // GROUP) + lanes // GROUP, kv_head * GROUP + lanes % GROUP
    real = ((lanes < ROWS // GROUP * GROUP) & (rows < n))[:, None]
    q = tl.load(q_ptr + rows[:, None] * q_stride + heads[:, None] * q_head + dims[None, :], mask=real, other=0.0)
    m_i, l_i = tl.full([ROWS], -1e30, tl.float32), tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    for start in range(0, tl.minimum(m, m - n + (tl.program_id(1) + 1) * (ROWS // GROUP)), TILE):
        columns = start + tl.arange(0, TILE)
        at, there = columns[:, None], (columns < m)[:, None]
        k = tl.load(k_ptr + at * k_stride + kv_head * k_head + dims[None, :], mask=there, other=0.0)
        v = tl.load(v_ptr + at * v_stride + kv_head * v_head + dims[None, :], mask=there, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(columns[None, :] <= (m - n + rows)[:, None], scores, -float("inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        weights, alpha = tl.exp(scores - new_m[:, None]), tl.exp(m_i - new_m)
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = tl.dot(weights.to(v.dtype), v, acc * alpha[:, None], input_precision="ieee")
        m_i = new_m
    out = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]
    place = out_ptr + (rows * HEADS + heads)[:, None] * HEAD_DIM + dims[None, :]
    tl.store(place, out.to(out_ptr.dtype.element_ty), mask=real)


def grouped_by_group(q, k, v, tile):
    n, heads, head_dim = q.shape
    out, group = torch.empty(q.shape, dtype=q.dtype, device=q.device), heads // k.shape[1]
    rows = max(16, tile, triton.next_power_of_2(group))
    group_kernel[(k.shape[1], triton.cdiv(n, rows // group))](
        q,
        k,
        v,
        out,
        n,
        len(k),
        head_dim**-0.5,
        q.stride(0),
        q.stride(1),
        k.stride(0),
        k.stride(1),
        v.stride(0),
        v.stride(1),
        HEADS=heads,
        GROUP=group,
        HEAD_DIM=head_dim,
        ROWS=rows,
        TILE=tile,
    )
    return out


@triton.jit
def pieces_kernel(x_ptr, out_ptr, rows, columns, row_stride, column_stride, ROWS: tl.constexpr, PIECE: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    m_i, l_i = tl.full([ROWS], -1e30, tl.float32), tl.zeros([ROWS], tl.float32)
    for start in range(0, columns, PIECE):
        column = start + tl.arange(0, PIECE)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        x = tl.load(
            x_ptr + row[:, None] * row_stride + column[None, :] * column_stride, mask=inside, other=-float("inf")
        )
        new_m = tl.maximum(m_i, tl.max(x.to(tl.float32), 1))
        l_i = l_i * tl.exp(m_i - new_m) + tl.sum(tl.exp(x.to(tl.float32) - new_m[:, None]), 1)
        m_i = new_m
    for start in range(0, columns, PIECE):
        column = start + tl.arange(0, PIECE)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        x = tl.load(
            x_ptr + row[:, None] * row_stride + column[None, :] * column_stride, mask=inside, other=-float("inf")
        )
        weight = tl.exp(x.to(tl.float32) - m_i[:, None]) / tl.where(l_i > 0, l_i, 1.0)[:, None]
        tl.store(out_ptr + row[:, None] * columns + column[None, :], weight.to(out_ptr.dtype.element_ty), mask=inside)


def softmax_in_pieces(x):
    """Four rows a program, eight numbers of each at a time, read twice: for rows that do not fit into a block."""
    out = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    pieces_kernel[(triton.cdiv(len(x), 4),)](x, out, *x.shape, *x.stride(), ROWS=4, PIECE=8)
    return out
