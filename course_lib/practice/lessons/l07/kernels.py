"""Right answers of lesson 07 that launch Triton kernels: the solutions, and others. Imports Triton."""

import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, row_stride, column_stride, columns, BLOCK: tl.constexpr):
    row, offsets = tl.program_id(0), tl.arange(0, BLOCK)
    inside = offsets < columns
    x = tl.load(x_ptr + row * row_stride + offsets * column_stride, mask=inside, other=-float("inf")).to(tl.float32)
    high = tl.max(x, 0)
    weights = tl.exp(
        x - tl.where(high == -float("inf"), 0.0, high)
    )  # of a row that is masked as a whole: exp(-inf) = 0
    total = tl.sum(weights, 0)
    out = weights / tl.where(total == 0, 1.0, total)
    tl.store(out_ptr + row * columns + offsets, out.to(out_ptr.dtype.element_ty), mask=inside)


def row_softmax(x):
    """The softmax of each row. x: float [rows, columns], any strides. Returns a new tensor of its shape and dtype."""
    rows, columns = x.shape
    out = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    softmax_kernel[(rows,)](x, out, x.stride(0), x.stride(1), columns, BLOCK=triton.next_power_of_2(columns))
    return out


@triton.jit
def pieces_kernel(x_ptr, out_ptr, rows, columns, row_stride, column_stride, ROWS: tl.constexpr, PIECE: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    high, total = tl.full([ROWS], -1e30, tl.float32), tl.zeros([ROWS], tl.float32)
    for start in range(0, columns, PIECE):
        column = start + tl.arange(0, PIECE)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        x = tl.load(
            x_ptr + row[:, None] * row_stride + column[None, :] * column_stride, mask=inside, other=-float("inf")
        )
        new_high = tl.maximum(high, tl.max(x.to(tl.float32), 1))
        total = total * tl.exp(high - new_high) + tl.sum(tl.exp(x.to(tl.float32) - new_high[:, None]), 1)
        high = new_high
    for start in range(0, columns, PIECE):
        column = start + tl.arange(0, PIECE)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        x = tl.load(
            x_ptr + row[:, None] * row_stride + column[None, :] * column_stride, mask=inside, other=-float("inf")
        )
        weight = tl.exp(x.to(tl.float32) - high[:, None]) / tl.where(total > 0, total, 1.0)[:, None]
        tl.store(out_ptr + row[:, None] * columns + column[None, :], weight.to(out_ptr.dtype.element_ty), mask=inside)


def softmax_in_pieces(x):
    """Four rows a program, eight numbers of each at a time, read twice: for rows that fit no block."""
    out = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    pieces_kernel[(triton.cdiv(len(x), 4),)](x, out, *x.shape, *x.stride(), ROWS=4, PIECE=8)
    return out


@triton.jit
def flash_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, token_stride, scale, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    mine = rows[:, None] * token_stride + dims[None, :]
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -float("inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, m, TILE):
        columns = start + tl.arange(0, TILE)
        theirs = columns[:, None] * token_stride + dims[None, :]
        k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where((columns < m)[None, :], scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)  # what was summed under the old maximum
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / total[:, None]
    tl.store(out_ptr + mine, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])


def flash(q, k, v, tile):
    """Attention, every query over all keys. q: [n, heads, head_dim]; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
    n, heads, head_dim = q.shape
    out = torch.empty_like(q)
    grid = heads, triton.cdiv(n, tile)
    flash_kernel[grid](q, k, v, out, n, len(k), heads * head_dim, head_dim**-0.5, HEAD_DIM=head_dim, TILE=tile)
    return out


@triton.jit
def causal_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, token_stride, scale, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    positions = m - n + rows
    mine = rows[:, None] * token_stride + dims[None, :]
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -1e30, tl.float32)  # not -inf: a row that has seen nothing yet would take -inf from -inf
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    end = tl.minimum(m, m - n + first + TILE)  # from here on, all keys come after all queries of the tile
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        theirs = columns[:, None] * token_stride + dims[None, :]
        k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = (columns[None, :] <= positions[:, None]) & (columns < m)[None, :]
        scores = tl.where(seen, scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / tl.where(total > 0, total, 1.0)[:, None]  # 0 for a row that sees no key
    tl.store(out_ptr + mine, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])


def flash_causal(q, k, v, tile):
    """Causal attention. q: [n, heads, head_dim], the last n of m tokens; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
    n, heads, head_dim = q.shape
    out = torch.empty_like(q)
    grid = heads, triton.cdiv(n, tile)
    causal_kernel[grid](q, k, v, out, n, len(k), heads * head_dim, head_dim**-0.5, HEAD_DIM=head_dim, TILE=tile)
    return out


@triton.jit
def grouped_kernel(
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
    out_stride,
    out_head,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    TILE: tl.constexpr,
):
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    q_ptr += head * q_head
    k_ptr += head // GROUP * k_head  # query heads of one group stand beside each other
    v_ptr += head // GROUP * v_head
    q = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -1e30, tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, tl.minimum(m, m - n + first + TILE), TILE):
        columns = start + tl.arange(0, TILE)
        inside = (columns < m)[:, None]
        k = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=inside, other=0.0)
        v = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=inside, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = (columns[None, :] <= (m - n + rows)[:, None]) & (columns < m)[None, :]
        scores = tl.where(seen, scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / tl.where(total > 0, total, 1.0)[:, None]
    place = out_ptr + head * out_head + rows[:, None] * out_stride + dims
    tl.store(place, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])


def flash_grouped(q, k, v, tile):
    """Causal attention, heads in groups. q: [n, heads, head_dim]; k, v: [m, kv_heads, head_dim]; strided. Returns as q."""
    n, heads, head_dim = q.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    grid = heads, triton.cdiv(n, tile)
    grouped_kernel[grid](
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
        out.stride(0),
        out.stride(1),
        GROUP=heads // k.shape[1],
        HEAD_DIM=head_dim,
        TILE=tile,
    )
    return out
