"""Norms of q and k, RoPE, and k and v into their slots, in one Triton kernel. Imports Triton.

a row of qkv    | query heads                  | key heads    | value heads  |
afterwards      | normed and rotated, in place | in the cache | in the cache |
"""

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous  # before Triton

# isort: split
import triton
import triton.language as tl


@triton.jit
def rotary_store_kernel(
    qkv_ptr, positions_ptr, slots_ptr, cos_ptr, sin_ptr, q_weight_ptr, k_weight_ptr, k_cache_ptr, v_cache_ptr, eps,
    GROUP: tl.constexpr, NORM: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr, PADDED: tl.constexpr, PDL:
    tl.constexpr,
):  # fmt: skip
    """One program for a token and a KV head: the GROUP query heads that read it, its key, its value."""
    token, kv_head, kv_heads = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    head, at = tl.arange(0, ROWS), tl.arange(0, PADDED)  # row GROUP is the key
    dim: tl.constexpr = 2 * HALF
    in_row = tl.where(head < GROUP, kv_head * GROUP + head, kv_heads * GROUP + kv_head) * dim
    inside = (head <= GROUP)[:, None] & (at < HALF)[None, :]
    if NORM:
        from_q = (
            tl.load(q_weight_ptr + at, mask=at < HALF, other=0.0),
            tl.load(q_weight_ptr + HALF + at, mask=at < HALF, other=0.0),
        )
        from_k = (
            tl.load(k_weight_ptr + at, mask=at < HALF, other=0.0),
            tl.load(k_weight_ptr + HALF + at, mask=at < HALF, other=0.0),
        )
    wait_for_previous(PDL)
    let_next_start(PDL)
    position, slot = tl.load(positions_ptr + token).to(tl.int64), tl.load(slots_ptr + token).to(tl.int64)
    row_ptr = qkv_ptr + token * (kv_heads * (GROUP + 2) * dim)
    first = tl.load(row_ptr + in_row[:, None] + at[None, :], mask=inside, other=0.0).to(tl.float32)
    second = tl.load(row_ptr + in_row[:, None] + HALF + at[None, :], mask=inside, other=0.0).to(tl.float32)
    if NORM:
        scale = tl.rsqrt((tl.sum(first * first, 1) + tl.sum(second * second, 1)) / dim + eps)[:, None]
        is_q = (head < GROUP)[:, None]
        first = first * scale * tl.where(is_q, from_q[0][None, :], from_k[0][None, :]).to(tl.float32)
        second = second * scale * tl.where(is_q, from_q[1][None, :], from_k[1][None, :]).to(tl.float32)
    cos = tl.load(cos_ptr + position * HALF + at, mask=at < HALF, other=0.0)[None, :]
    sin = tl.load(sin_ptr + position * HALF + at, mask=at < HALF, other=0.0)[None, :]
    dtype: tl.constexpr = qkv_ptr.dtype.element_ty
    turned_first, turned_second = (first * cos - second * sin).to(dtype), (second * cos + first * sin).to(dtype)
    is_q = inside & (head < GROUP)[:, None]
    tl.store(row_ptr + in_row[:, None] + at[None, :], turned_first, mask=is_q)
    tl.store(row_ptr + in_row[:, None] + HALF + at[None, :], turned_second, mask=is_q)
    if slot >= 0:  # -1 is padding: nothing is written
        is_k = inside & (head == GROUP)[:, None]
        kept = (slot * kv_heads + kv_head) * dim
        tl.store(k_cache_ptr + kept + at[None, :] + head[:, None] * 0, turned_first, mask=is_k)
        tl.store(k_cache_ptr + kept + HALF + at[None, :] + head[:, None] * 0, turned_second, mask=is_k)
        value_ptr = row_ptr + (kv_heads * (GROUP + 1) + kv_head) * dim
        for half in tl.static_range(2):
            value = tl.load(value_ptr + half * HALF + at, mask=at < HALF, other=0.0)
            tl.store(v_cache_ptr + kept + half * HALF + at, value, mask=at < HALF)


def rotary_store(qkv, positions, slot_mapping, cos, sin, k_cache, v_cache, *, q_weight=None, k_weight=None, eps=0.0):
    """Norms and rotates q and k, writes k and v to their slots, and returns q.

    qkv: [num_tokens, (num_heads + 2 * num_kv_heads) * head_dim], contiguous; its queries are changed in place.
    positions, slot_mapping: int32 or int64 [num_tokens]; slot -1 is padding. cos, sin: float32 [context, head_dim / 2].
    k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim], contiguous. q_weight, k_weight: [head_dim], or
    None: no norm. Returns [num_tokens, num_heads, head_dim], a view of qkv. Sources: RoPE (arXiv 2104.09864), QK-norm
    as in Qwen3 (2505.09388).
    """
    kv_heads, dim = k_cache.shape[2:]
    group = qkv.shape[-1] // dim // kv_heads - 2
    weight = cos if q_weight is None else q_weight
    rotary_store_kernel[(len(qkv), kv_heads)](
        qkv, positions, slot_mapping, cos, sin, weight, weight if k_weight is None else k_weight, k_cache, v_cache, eps,
        GROUP=group, NORM=q_weight is not None, HALF=dim // 2, ROWS=triton.next_power_of_2(group + 1),
        PADDED=triton.next_power_of_2(dim // 2), num_warps=1 if group < 4 else 2, **pdl(qkv.device),
    )  # fmt: skip
    return qkv[:, : kv_heads * group * dim].unflatten(-1, (-1, dim))
