"""The torch twin of each kernel: the same arguments and the same result, on any machine and in any dtype of torch.

The kernels are tested against these, and these run where there is no Triton. The attention itself is torch's
scaled_dot_product_attention, so prefill is fast also on a chip for which Triton makes no matrix instructions.
"""

import torch
import torch.nn.functional as F

from course_lib.attention.checks import check_packed
from course_lib.attention.paged_checks import check_paged, check_store

from .quantise import put, take


def flash_attention(q, k, v, cu_seqlens, *, causal=True, window=None, scale=None):
    """As kernels.flash.flash_attention, with one call for each sequence. Copies cu_seqlens to the CPU."""
    scale = check_packed(q, k, v, cu_seqlens, causal, window, scale)
    out, ends = torch.empty_like(q), cu_seqlens.tolist()
    for start, end in zip(ends, ends[1:]):
        out[start:end] = last_tokens(
            q[start:end], k[start:end], v[start:end], causal=causal, window=window, scale=scale
        )
    return out


def paged_attention(
    q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q, *, k_scale=None, v_scale=None, causal=True, window=None,
    sinks=0, scale=None,
):  # fmt: skip
    """As kernels.paged.paged_attention: gathers what each sequence sees through its block table, then attends.

    Copies the lengths to the CPU.
    """
    scale = check_paged(
        q, k_cache, v_cache, block_tables, seq_lens, scale, cu_seqlens_q, causal, window, sinks, k_scale, v_scale
    )
    out, ends, block_size = torch.empty_like(q), cu_seqlens_q.tolist(), k_cache.shape[1]
    for table, length, start, end in zip(block_tables, seq_lens.tolist(), ends, ends[1:]):
        seen = seen_positions(length, end - start, window, sinks, q.device)
        slots = table[seen // block_size].long() * block_size + seen % block_size
        k, v = take(k_cache, k_scale, slots, q.dtype), take(v_cache, v_scale, slots, q.dtype)
        out[start:end] = last_tokens(
            q[start:end], k, v, causal=causal, window=window, sinks=sinks, positions=seen, scale=scale
        )
    return out


def paged_decode(
    q, k_cache, v_cache, block_tables, seq_lens, *, k_scale=None, v_scale=None, window=None, sinks=0, scale=None
):
    """As kernels.paged.paged_decode: gathers all sequences, padded to the longest, for one call.

    Copies the largest length to the CPU.
    """
    scales = k_scale, v_scale
    scale = check_paged(q, k_cache, v_cache, block_tables, seq_lens, scale, None, True, window, sinks, *scales)
    if len(q) == 0 or int(seq_lens.max()) == 0:
        return torch.zeros_like(q)
    slots = slots_of(block_tables, seq_lens, k_cache.shape[1], int(seq_lens.max()), window, sinks)
    k, v = take(k_cache, k_scale, slots, q.dtype), take(v_cache, v_scale, slots, q.dtype)
    out = decode_gathered(q, k, v, seq_lens, window=window, sinks=sinks, scale=scale)
    return torch.where(seq_lens[:, None, None] > 0, out, 0)


def store_kv(k, v, k_cache, v_cache, slot_mapping, *, k_scale=None, v_scale=None):
    """As kernels.store.store_kv."""
    check_store(k, v, k_cache, v_cache, slot_mapping, k_scale, v_scale)
    stored = slot_mapping >= 0
    slots = slot_mapping[stored].long()
    put(k_cache, k_scale, slots, k[stored])
    put(v_cache, v_scale, slots, v[stored])


def seen_positions(length, num_new, window, sinks, device=None):
    """Which positions of a sequence any of its last `num_new` tokens sees: int64, ascending."""
    first = 0 if window is None else max(0, length - num_new + 1 - window)
    rest = torch.arange(min(first, length), length, device=device)
    return rest if first == 0 or sinks == 0 else torch.cat([torch.arange(min(sinks, first), device=device), rest])


def slots_of(block_tables, seq_lens, block_size, longest, window=None, sinks=0):
    """The slot of each token of each sequence, int64 [num_seqs, longest]; for one that its last token does not see,
    and past its end, the slot of its last token.

    So nothing is gathered from other sequences or from slots with old contents, which could be NaN.
    """
    positions = torch.arange(longest, device=block_tables.device)
    seen = seen_by_last(positions, seq_lens, window, sinks)
    positions = torch.where(seen, positions, (seq_lens[:, None] - 1).clamp(min=0))
    slots = block_tables.long().gather(1, positions // block_size) * block_size + positions % block_size
    return torch.where(seq_lens[:, None] > 0, slots, 0)


def seen_by_last(positions, seq_lens, window=None, sinks=0):
    """Whether the last token of each sequence sees these positions: bool [num_seqs, len(positions)]."""
    seen = positions < seq_lens[:, None]
    if window is not None:
        seen &= (positions >= seq_lens[:, None] - window) | (positions < sinks)
    return seen


def decode_gathered(q, k, v, seq_lens, *, window=None, sinks=0, positions=None, scale=None):
    """One query a sequence. q: [num_seqs, num_heads, head_dim]; k, v: [num_seqs, longest, num_kv_heads, head_dim].

    seq_lens: [num_seqs], all at least 1; positions from there on are masked, and with a window those before the last
    `window`, but for the first `sinks`. positions: of the keys, [longest]; default: 0, 1, 2, ... The query heads that
    share a KV head are the rows of one small matrix, so that torch does not repeat K and V for each of them.
    """
    positions = torch.arange(k.shape[1], device=q.device) if positions is None else positions
    seen = seen_by_last(positions, seq_lens, window, sinks)
    rows = q.unflatten(1, (k.shape[2], -1))
    out = F.scaled_dot_product_attention(
        rows, k.transpose(1, 2), v.transpose(1, 2), attn_mask=seen[:, None, None], scale=scale
    )
    return out.flatten(1, 2)


def last_tokens(q, k, v, *, causal=True, window=None, sinks=0, positions=None, scale=None):
    """The last tokens of one sequence over all of it.

    q: [num_new, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim]. positions: of the keys, ascending,
    where some that no token sees are left out; default: 0, 1, 2, ... Returns as q.
    """
    n, total = len(q), len(k)
    if n == 0:
        return torch.empty_like(q)
    causal = causal and n > 1  # one token, the last, sees all others with or without a causal mask
    mask = None
    # torch's own causal mask is aligned with the first key, so it is right only for n == total
    if window is not None or (causal and n < total):
        at = torch.arange(total, device=q.device) if positions is None else positions
        distance = at[total - n :, None] - at
        mask = torch.ones_like(distance, dtype=torch.bool) if window is None else distance < window
        mask |= at < sinks
        mask &= distance >= 0 if causal or n == 1 else (window is None) | (distance > -(window or 0)) | (at < sinks)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out[0].transpose(0, 1)
