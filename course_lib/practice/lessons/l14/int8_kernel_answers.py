"""A right kernel for 14.paged_decode_int8, written differently from the solution. Imports Triton."""

import torch

from course_lib.practice.fixtures.kernel_language import tl, triton


@triton.jit
def int8_row_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    k_scale_ptr,
    v_scale_ptr,
    out_ptr,
    tables_ptr,
    seq_lens_ptr,
    table_stride,
    scale,
    NUM_KV_HEADS,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    """One program a sequence and query head, with a loop over tokens."""
    row, head, num_heads = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    dims = tl.arange(0, HEAD_DIM)
    q = tl.load(q_ptr + (row * num_heads + head) * HEAD_DIM + dims) * scale
    kv_head = head * NUM_KV_HEADS // num_heads
    m_i, l_i, acc = -1e30, 0.0, tl.zeros([HEAD_DIM], tl.float32)
    for position in range(tl.load(seq_lens_ptr + row)):
        block = tl.load(tables_ptr + row * table_stride + position // BLOCK_SIZE)
        offset = position % BLOCK_SIZE
        where = ((block * BLOCK_SIZE + offset) * NUM_KV_HEADS + kv_head) * HEAD_DIM + dims
        at = (block * NUM_KV_HEADS + kv_head) * BLOCK_SIZE + offset
        k = tl.load(k_cache_ptr + where).to(tl.float32) * tl.load(k_scale_ptr + at)
        v = tl.load(v_cache_ptr + where).to(tl.float32) * tl.load(v_scale_ptr + at)
        score = tl.sum(q * k, 0)
        new_m = tl.maximum(m_i, score)
        alpha, weight = tl.exp(m_i - new_m), tl.exp(score - new_m)
        l_i = l_i * alpha + weight
        acc = acc * alpha + weight * v
        m_i = new_m
    tl.store(out_ptr + (row * num_heads + head) * HEAD_DIM + dims, tl.where(l_i > 0, acc / tl.maximum(l_i, 1e-30), 0.0))


def decode_by_rows(q, k_cache, v_cache, k_scale, v_scale, block_tables, seq_lens):
    out = torch.empty_like(q)
    int8_row_kernel[q.shape[:2]](
        q,
        k_cache,
        v_cache,
        k_scale,
        v_scale,
        out,
        block_tables,
        seq_lens,
        block_tables.stride(0),
        q.shape[2] ** -0.5,
        k_cache.shape[2],
        HEAD_DIM=q.shape[2],
        BLOCK_SIZE=k_cache.shape[1],
    )
    return out
