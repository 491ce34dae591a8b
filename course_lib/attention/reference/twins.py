"""The torch twin of each kernel: the same arguments, the same answer, on any machine and in any dtype that torch has.

Correct first: what the kernels are held to, and what runs where there is no Triton. On a GPU the attention itself is torch's
scaled_dot_product_attention, so a chip without Triton's matrix instructions is still fast in prefill.
"""

import torch
import torch.nn.functional as F

from course_lib.attention.checks import check_packed, check_paged, check_store


def flash_attention(q, k, v, cu_seqlens, *, causal=True, window=None, scale=None):
    """As attention.flash.flash_attention: one call for each sequence. Reads cu_seqlens on the CPU."""
    scale = check_packed(q, k, v, cu_seqlens, causal, window, scale)
    out, ends = torch.empty_like(q), cu_seqlens.tolist()
    for start, end in zip(ends, ends[1:]):
        out[start:end] = last_tokens(
            q[start:end], k[start:end], v[start:end], causal=causal, window=window, scale=scale
        )
    return out


def paged_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q, *, causal=True, window=None, scale=None):
    """As attention.paged.paged_attention: gathers each sequence through its table, then attends. Reads the lengths on the CPU."""
    scale = check_paged(q, k_cache, v_cache, block_tables, seq_lens, scale, cu_seqlens_q, causal, window)
    out, ends, block_size = torch.empty_like(q), cu_seqlens_q.tolist(), k_cache.shape[1]
    for table, length, start, end in zip(block_tables, seq_lens.tolist(), ends, ends[1:]):
        blocks = table[: -(-length // block_size)].long()
        k, v = (kept[blocks].flatten(0, 1)[:length] for kept in (k_cache, v_cache))
        out[start:end] = last_tokens(q[start:end], k, v, causal=causal, window=window, scale=scale)
    return out


def paged_decode(q, k_cache, v_cache, block_tables, seq_lens, *, scale=None):
    """As attention.paged.paged_decode: gathers all sequences, padded to the longest, for one call. Reads lengths on the CPU."""
    scale = check_paged(q, k_cache, v_cache, block_tables, seq_lens, scale)
    if len(q) == 0 or int(seq_lens.max()) == 0:
        return torch.zeros_like(q)
    slots = slots_of(block_tables, seq_lens, k_cache.shape[1], int(seq_lens.max()))
    out = decode_gathered(q, k_cache.flatten(0, 1)[slots], v_cache.flatten(0, 1)[slots], seq_lens, scale=scale)
    return torch.where(seq_lens[:, None, None] > 0, out, 0)


def store_kv(k, v, k_cache, v_cache, slot_mapping):
    """As attention.store.store_kv."""
    check_store(k, v, k_cache, v_cache, slot_mapping)
    stored = slot_mapping >= 0
    slots = slot_mapping[stored].long()
    k_cache.flatten(0, 1)[slots] = k[stored]
    v_cache.flatten(0, 1)[slots] = v[stored]


def slots_of(block_tables, seq_lens, block_size, longest):
    """The slot of each token of each sequence, int64 [num_seqs, longest]; past its end, that of its first token again.

    So what is gathered holds nobody else's numbers, and no stale ones, which could be NaN.
    """
    positions = torch.arange(longest, device=block_tables.device)
    positions = torch.where(positions < seq_lens[:, None], positions, 0)
    slots = block_tables.long().gather(1, positions // block_size) * block_size + positions % block_size
    return torch.where(seq_lens[:, None] > 0, slots, 0)


def decode_gathered(q, k, v, seq_lens, *, scale=None):
    """One query a sequence. q: [num_seqs, num_heads, head_dim]; k, v: [num_seqs, longest, num_kv_heads, head_dim].

    seq_lens: [num_seqs], all at least 1; what stands behind them is masked. The query heads that share a KV head go in as rows
    of one small matrix, which spares torch from repeating K and V for each of them.
    """
    seen = torch.arange(k.shape[1], device=q.device) < seq_lens[:, None]
    rows = q.unflatten(1, (k.shape[2], -1))
    out = F.scaled_dot_product_attention(
        rows, k.transpose(1, 2), v.transpose(1, 2), attn_mask=seen[:, None, None], scale=scale
    )
    return out.flatten(1, 2)


def last_tokens(q, k, v, *, causal=True, window=None, scale=None):
    """The last tokens of one sequence over all of it.

    q: [num_new, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim]. Returns as q.
    """
    n, total = len(q), len(k)
    if n == 0:
        return torch.empty_like(q)
    causal = causal and n > 1  # the last token alone sees everything before it anyway
    mask = None
    if window is not None or (
        causal and n < total
    ):  # torch's own causal mask counts from the first key: only for n == total
        distance = torch.arange(total - n, total, device=q.device)[:, None] - torch.arange(total, device=q.device)
        mask = distance < (total if window is None else window)
        mask &= distance >= 0 if causal or n == 1 else distance > -(total if window is None else window)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out[0].transpose(0, 1)
