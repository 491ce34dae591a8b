"""Right answers of lesson 08 as kernels: the solutions, and others written otherwise. Imports Triton."""

import torch
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from course_lib.attention.kernels import online  # noqa: F401  (first: it decides whether Triton is interpreted)


@triton.jit
def store_kernel(k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, NUMBERS: tl.constexpr):
    token = tl.program_id(0)
    slot = tl.load(slot_mapping_ptr + token)
    if slot >= 0:  # -1 is padding
        numbers = tl.arange(0, NUMBERS)  # of all KV heads of the token: they lie side by side, here and in the cache
        tl.store(k_cache_ptr + slot * NUMBERS + numbers, tl.load(k_ptr + token * NUMBERS + numbers))
        tl.store(v_cache_ptr + slot * NUMBERS + numbers, tl.load(v_ptr + token * NUMBERS + numbers))


def store_kv(k, v, k_cache, v_cache, slot_mapping):
    """Writes token i to slot slot_mapping[i] of the caches, in place. k, v: [num_tokens, num_kv_heads, head_dim]."""
    num_tokens, num_kv_heads, head_dim = k.shape
    if num_tokens > 0:
        store_kernel[(num_tokens,)](k, v, k_cache, v_cache, slot_mapping, NUMBERS=num_kv_heads * head_dim)


@triton.jit
def decode_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    out_ptr,
    tables_ptr,
    seq_lens_ptr,
    table_stride,
    scale,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    sequence, kv_head = tl.program_id(0), tl.program_id(1)
    length = tl.load(seq_lens_ptr + sequence)
    rows, dims, offsets = tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    head = sequence * NUM_KV_HEADS * GROUP + kv_head * GROUP + rows  # the query heads that share this KV head
    inside = (rows < GROUP)[:, None]
    q = tl.load(q_ptr + head[:, None] * HEAD_DIM + dims[None, :], mask=inside, other=0.0) * scale
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    for first in range(0, length, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        top = new_top
    out = acc / tl.where(total > 0, total, 1.0)[:, None]  # zeros for an empty sequence
    tl.store(out_ptr + head[:, None] * HEAD_DIM + dims[None, :], out, mask=inside)


def paged_decode(q, k_cache, v_cache, block_tables, seq_lens):
    """Attention of one new token a sequence. q: [num_seqs, num_heads, head_dim]; returns as q."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out, group = torch.empty_like(q), num_heads // num_kv_heads
    decode_kernel[(num_seqs, num_kv_heads)](
        q,
        k_cache,
        v_cache,
        out,
        block_tables,
        seq_lens,
        block_tables.stride(0),
        head_dim**-0.5,
        NUM_KV_HEADS=num_kv_heads,
        GROUP=group,
        ROWS=triton.next_power_of_2(group),
        HEAD_DIM=head_dim,
        BLOCK_SIZE=block_size,
    )
    return out


@triton.jit
def split_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    partial_ptr,
    lse_ptr,
    tables_ptr,
    seq_lens_ptr,
    table_stride,
    scale,
    NUM_SPLITS: tl.constexpr,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    sequence, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(seq_lens_ptr + sequence)
    tokens = tl.cdiv(tl.cdiv(length, NUM_SPLITS), BLOCK_SIZE) * BLOCK_SIZE  # of a part: whole blocks
    end = tl.minimum((part + 1) * tokens, length)
    rows, dims, offsets = tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    head = sequence * NUM_KV_HEADS * GROUP + kv_head * GROUP + rows
    inside = (rows < GROUP)[:, None]
    q = tl.load(q_ptr + head[:, None] * HEAD_DIM + dims[None, :], mask=inside, other=0.0) * scale
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    for first in range(part * tokens, end, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < end
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        top = new_top
    line = head * NUM_SPLITS + part
    some = tl.where(total > 0, total, 1.0)  # an empty part: zeros, and top is -inf, so its lse is too
    tl.store(partial_ptr + line[:, None] * HEAD_DIM + dims[None, :], acc / some[:, None], mask=inside)
    tl.store(lse_ptr + line, top + tl.log(some), mask=rows < GROUP)


def split_kv(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """(out, partial, lse) of decode in parts. partial: [num_seqs, num_heads, num_splits, head_dim]; lse: [num_seqs, num_heads, num_splits]."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group, lse = num_heads // num_kv_heads, torch.empty(num_seqs, num_heads, num_splits, device=q.device)
    partial = torch.empty(num_seqs, num_heads, num_splits, head_dim, device=q.device)
    split_kernel[(num_seqs, num_kv_heads, num_splits)](
        q,
        k_cache,
        v_cache,
        partial,
        lse,
        block_tables,
        seq_lens,
        block_tables.stride(0),
        head_dim**-0.5,
        NUM_SPLITS=num_splits,
        NUM_KV_HEADS=num_kv_heads,
        GROUP=group,
        ROWS=triton.next_power_of_2(group),
        HEAD_DIM=head_dim,
        BLOCK_SIZE=block_size,
    )
    top = lse.amax(-1, keepdim=True)
    sums = torch.exp(lse - torch.where(top == -float("inf"), 0.0, top))  # of each part, under one maximum
    shares = sums / sums.sum(-1, keepdim=True).clamp(min=1e-30)
    return (shares[..., None] * partial).sum(-2), partial, lse


@triton.jit
def prefill_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    out_ptr,
    tables_ptr,
    seq_lens_ptr,
    cu_seqlens_ptr,
    table_stride,
    scale,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    sequence, kv_head, tile = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    start, length = tl.load(cu_seqlens_ptr + sequence), tl.load(seq_lens_ptr + sequence)
    new = tl.load(cu_seqlens_ptr + sequence + 1) - start
    lines, dims, offsets = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    token, head = lines // GROUP, kv_head * GROUP + lines % GROUP  # a row is a new token and one of the group's heads
    position = length - new + token
    inside = (token < new)[:, None]
    rows = ((start + token) * NUM_KV_HEADS * GROUP + head)[:, None] * HEAD_DIM + dims[None, :]
    q = tl.load(q_ptr + rows, mask=inside, other=0.0) * scale
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    end = tl.minimum(
        length, length - new + (tile * ROWS + ROWS - 1) // GROUP + 1
    )  # behind the tile's last token nobody looks
    for first in range(0, end, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        seen = filled[None, :] & (first + offsets[None, :] <= position[:, None])
        scores = tl.where(seen, tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        top = new_top
    tl.store(out_ptr + rows, acc / total[:, None], mask=inside)


def paged_prefill(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Attention of the last tokens of each sequence over all of it. q: [num_tokens, num_heads, head_dim]; returns as q."""
    _, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out, group, rows = torch.empty_like(q), num_heads // num_kv_heads, 16
    most = int(cu_seqlens_q.diff().max())  # new tokens of one sequence
    if most > 0:
        prefill_kernel[(len(seq_lens), num_kv_heads, triton.cdiv(most * group, rows))](
            q,
            k_cache,
            v_cache,
            out,
            block_tables,
            seq_lens,
            cu_seqlens_q,
            block_tables.stride(0),
            head_dim**-0.5,
            NUM_KV_HEADS=num_kv_heads,
            GROUP=group,
            ROWS=rows,
            HEAD_DIM=head_dim,
            BLOCK_SIZE=block_size,
        )
    return out


# --- the same, written otherwise ---


@triton.jit
def store_head_kernel(
    k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, NUM_TOKENS, BLOCK_SIZE, HEAD_DIM: tl.constexpr
):
    """A program a head; tokens in a loop; the slot taken apart again."""
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
    """One sequence and one query head a program; a token a turn of the loop."""
    row, head, num_heads = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    dims = tl.arange(0, HEAD_DIM)
    q = tl.load(q_ptr + (row * num_heads + head) * HEAD_DIM + dims)
    table_ptr = tables_ptr + row * table_stride
    top, total, acc = -1e30, 0.0, tl.zeros([HEAD_DIM], tl.float32)
    for position in range(tl.load(seq_lens_ptr + row)):
        slot = tl.load(table_ptr + position // BLOCK_SIZE) * BLOCK_SIZE + position % BLOCK_SIZE
        where = (slot * NUM_KV_HEADS + head * NUM_KV_HEADS // num_heads) * HEAD_DIM + dims
        score = tl.sum(q * tl.load(k_cache_ptr + where), 0) * scale
        new_top = tl.maximum(top, score)
        shrink, weight = tl.exp(top - new_top), tl.exp(score - new_top)
        total = total * shrink + weight
        acc = acc * shrink + weight * tl.load(v_cache_ptr + where)
        top = new_top
    tl.store(
        out_ptr + (row * num_heads + head) * HEAD_DIM + dims, tl.where(total > 0, acc / tl.maximum(total, 1e-30), 0.0)
    )


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
