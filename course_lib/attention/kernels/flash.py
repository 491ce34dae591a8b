"""FlashAttention as a Triton kernel: lesson 07. Packed sequences, each looking at itself alone. Imports Triton.

    grid        (num_heads, tiles of BLOCK_M queries over all sequences)
    a program   one head, BLOCK_M queries of one sequence; walks over that sequence's keys and values, BLOCK_N at a time

Source: FlashAttention-2 (arXiv 2307.08691). The plain twin is `flash_attention_v2` of attention/reference.py, the
tile sizes are in attention/tiles.py.
"""

import torch

from .online import LOWEST, find_sequence, fold, tile_bounds, visible  # before Triton: it decides how that runs here

# isort: split
import triton
import triton.language as tl

from course_lib.attention.checks import check_kernel_inputs, check_packed
from course_lib.attention.tiles import chip, flash_tile

LOG2_E = 1.4426950408889634


@triton.jit
def _attend(
    q, m_i, l_i, acc, k_ptr, v_ptr, k_stride, v_stride, rows, begin, end, kv_len, window, to_base_2, MASKED:
    tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr, PADDED_DIM: tl.constexpr,
    BLOCK_N: tl.constexpr,
):  # fmt: skip
    """The tiles of columns begin .. end. MASKED: some of them hold columns that some row may not see."""
    dims, offsets = tl.arange(0, PADDED_DIM), tl.arange(0, BLOCK_N)
    k_ptr += begin.to(tl.int64) * k_stride
    v_ptr += begin.to(tl.int64) * v_stride
    for start in range(begin, end, BLOCK_N):
        columns = start + offsets
        k_tile = k_ptr + offsets[:, None] * k_stride + dims[None, :]
        v_tile = v_ptr + offsets[:, None] * v_stride + dims[None, :]
        if MASKED:  # rows of K and V past the end are of another sequence, or of nobody: read as 0, weighted with 0
            inside = (columns < kv_len)[:, None] & (dims < HEAD_DIM)[None, :]
            k, v = tl.load(k_tile, mask=inside, other=0.0), tl.load(v_tile, mask=inside, other=0.0)
        elif HEAD_DIM != PADDED_DIM:
            inside = (dims < HEAD_DIM)[None, :]
            k, v = tl.load(k_tile, mask=inside, other=0.0), tl.load(v_tile, mask=inside, other=0.0)
        else:
            k, v = tl.load(k_tile), tl.load(v_tile)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        if MASKED:
            scores = tl.where(visible(rows, columns, kv_len, window, CAUSAL, WINDOW), scores, float("-inf"))
        m_i, l_i, acc = fold(scores, v, m_i, l_i, acc, to_base_2, DOT=True)
        k_ptr += BLOCK_N * k_stride
        v_ptr += BLOCK_N * v_stride
    return m_i, l_i, acc


@triton.jit(do_not_specialize=["num_seqs", "window"])
def flash_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, cu_seqlens_ptr, num_seqs, window, to_base_2, q_stride, q_head_stride, k_stride,
    k_head_stride, v_stride, v_head_stride, out_stride, out_head_stride, GROUP: tl.constexpr, CAUSAL: tl.constexpr,
    WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr, PADDED_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N:
    tl.constexpr,
):  # fmt: skip
    """Pointers are to [num_tokens, heads, head_dim]; `*_stride` steps to the next token, `*_head_stride` to the next
    head.
    """
    head = tl.program_id(0).to(tl.int64)
    tile = tl.num_programs(1) - 1 - tl.program_id(1)  # with causal, late tiles are long: start them first
    sequence, tile = find_sequence(cu_seqlens_ptr, tile, num_seqs, BLOCK_M)
    start = tl.load(cu_seqlens_ptr + sequence).to(tl.int64)
    seq_len = (tl.load(cu_seqlens_ptr + sequence + 1).to(tl.int64) - start).to(tl.int32)
    first = tile * BLOCK_M
    if first >= seq_len:
        return
    rows, dims = first + tl.arange(0, BLOCK_M), tl.arange(0, PADDED_DIM)
    inside = (rows < seq_len)[:, None] & (dims < HEAD_DIM)[None, :]
    q_ptr += start * q_stride + head * q_head_stride
    k_ptr += start * k_stride + head // GROUP * k_head_stride
    v_ptr += start * v_stride + head // GROUP * v_head_stride
    out_ptr += start * out_stride + head * out_head_stride
    q = tl.load(q_ptr + rows[:, None].to(tl.int64) * q_stride + dims[None, :], mask=inside, other=0.0)

    m_i = tl.full([BLOCK_M], LOWEST, tl.float32)
    l_i = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, PADDED_DIM], tl.float32)
    last = tl.minimum(first + BLOCK_M, seq_len) - 1
    begin, full_begin, full_end, end = tile_bounds(first, last, seq_len, window, CAUSAL, WINDOW, BLOCK_N)
    if WINDOW:
        m_i, l_i, acc = _attend(
            q, m_i, l_i, acc, k_ptr, v_ptr, k_stride, v_stride, rows, begin, full_begin, seq_len, window, to_base_2,
            True, CAUSAL, WINDOW, HEAD_DIM, PADDED_DIM, BLOCK_N,
        )  # fmt: skip
    m_i, l_i, acc = _attend(
        q, m_i, l_i, acc, k_ptr, v_ptr, k_stride, v_stride, rows, full_begin, full_end, seq_len, window, to_base_2,
        False, CAUSAL, WINDOW, HEAD_DIM, PADDED_DIM, BLOCK_N,
    )  # fmt: skip
    m_i, l_i, acc = _attend(
        q, m_i, l_i, acc, k_ptr, v_ptr, k_stride, v_stride, rows, full_end, end, seq_len, window, to_base_2, True,
        CAUSAL, WINDOW, HEAD_DIM, PADDED_DIM, BLOCK_N,
    )  # fmt: skip
    out = (acc / tl.where(l_i > 0, l_i, 1.0)[:, None]).to(out_ptr.dtype.element_ty)  # 0 only in rows past the end
    tl.store(out_ptr + rows[:, None].to(tl.int64) * out_stride + dims[None, :], out, mask=inside)


def flash_attention(q, k, v, cu_seqlens, *, causal=True, window=None, scale=None, tile=None):
    """Attention of packed sequences, each over itself, by the kernel above.

    q: [num_tokens, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim], float32, float16 or bfloat16,
    head_dim up to 256. cu_seqlens: int32 or int64 [num_seqs + 1]: sequence i has the tokens cu_seqlens[i] to
    cu_seqlens[i + 1] - 1. causal: a token sees itself and what is before it. window: it sees only tokens less than
    `window` away, itself included. scale: of the scores, default head_dim ** -0.5. tile: a Tile instead of the
    table's. Returns as q. Raises ParameterError for shapes, dtypes and devices that do not fit, before anything is
    launched.
    """
    scale = check_packed(q, k, v, cu_seqlens, causal, window, scale)
    check_kernel_inputs(flash_kernel, q, k, v)
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    num_tokens, num_heads, head_dim = q.shape
    out = torch.empty((num_tokens, num_heads, head_dim), dtype=q.dtype, device=q.device)
    num_seqs = len(cu_seqlens) - 1
    if num_tokens == 0 or num_seqs == 0:
        return out
    tile = tile or flash_tile(chip(q.device), head_dim, q.element_size())
    flash_kernel[(num_heads, num_tokens // tile.block_m + num_seqs)](
        q, k, v, out, cu_seqlens, num_seqs, window or 0, scale * LOG2_E, q.stride(0), q.stride(1), k.stride(0),
        k.stride(1), v.stride(0), v.stride(1), out.stride(0), out.stride(1), GROUP=num_heads // k.shape[1],
        CAUSAL=causal, WINDOW=window is not None, HEAD_DIM=head_dim, PADDED_DIM=max(16,
        triton.next_power_of_2(head_dim)), BLOCK_M=tile.block_m, BLOCK_N=tile.block_n, num_warps=tile.num_warps,
        num_stages=tile.num_stages,
    )  # fmt: skip
    return out
