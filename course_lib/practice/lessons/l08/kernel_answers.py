"""Right kernels of lesson 08, written differently from the solutions. Imports Triton."""

import torch

from course_lib.practice.fixtures.kernel_language import tl, triton


@triton.jit
def store_head_kernel(
    k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, NUM_TOKENS, BLOCK_SIZE, HEAD_DIM: tl.constexpr
):
    """One program a head, with a loop over tokens; the slot is split into block and offset."""
    head, num_heads, dims = tl.program_id(0), tl.num_programs(0), tl.arange(0, HEAD_DIM)
    for token in range(NUM_TOKENS):
        slot = tl.load(slot_mapping_ptr + token)
        to = ((slot // BLOCK_SIZE * BLOCK_SIZE + slot % BLOCK_SIZE) * num_heads + head) * HEAD_DIM + dims
        source = (token * num_heads + head) * HEAD_DIM + dims
        stored = (dims < HEAD_DIM) & (slot >= 0)
        tl.store(k_cache_ptr + to, tl.load(k_ptr + source), mask=stored)
        tl.store(v_cache_ptr + to, tl.load(v_ptr + source), mask=stored)


def store_head_by_head(k, v, k_cache, v_cache, slot_mapping):
    store_head_kernel[(k.shape[1],)](
        k, v, k_cache, v_cache, slot_mapping, len(k), k_cache.shape[1], HEAD_DIM=k.shape[2]
    )


@triton.jit
def row_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
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
    q = tl.load(q_ptr + (row * num_heads + head) * HEAD_DIM + dims)
    table_ptr = tables_ptr + row * table_stride
    m_i, l_i, acc = -1e30, 0.0, tl.zeros([HEAD_DIM], tl.float32)
    for position in range(tl.load(seq_lens_ptr + row)):
        slot = tl.load(table_ptr + position // BLOCK_SIZE) * BLOCK_SIZE + position % BLOCK_SIZE
        where = (slot * NUM_KV_HEADS + head * NUM_KV_HEADS // num_heads) * HEAD_DIM + dims
        score = tl.sum(q * tl.load(k_cache_ptr + where), 0) * scale
        new_m = tl.maximum(m_i, score)
        alpha, weight = tl.exp(m_i - new_m), tl.exp(score - new_m)
        l_i = l_i * alpha + weight
        acc = acc * alpha + weight * tl.load(v_cache_ptr + where)
        m_i = new_m
    tl.store(out_ptr + (row * num_heads + head) * HEAD_DIM + dims, tl.where(l_i > 0, acc / tl.maximum(l_i, 1e-30), 0.0))


def decode_by_rows(q, k_cache, v_cache, block_tables, seq_lens):
    out = torch.empty_like(q)
    row_kernel[q.shape[:2]](
        q,
        k_cache,
        v_cache,
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
