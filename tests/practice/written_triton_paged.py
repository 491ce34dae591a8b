"""Wrong answers to 08.paged_decode and 08.paged_prefill in torch; CASES has the rest of lesson 08 and kernels too."""

from importlib.util import find_spec

import torch
from written_triton_split import CASES as SPLIT
from written_triton_store import CASES as STORE

from course_lib.practice.lessons.l08.paged_decode import paged_decode
from course_lib.practice.lessons.l08.paged_prefill import paged_prefill

INF = float("inf")


def through_sdpa(q, k_cache, v_cache, block_tables, seq_lens, cut=True, scale=None, head=None):
    """Gathers each sequence, then calls the attention of torch."""
    out = torch.zeros_like(q)
    for s, n in enumerate(seq_lens.tolist()):
        if n == 0:
            continue
        used = block_tables[s, : -(-n // k_cache.shape[1])]
        k, v = (cache[used].flatten(0, 1)[: n if cut else None].transpose(0, 1) for cache in (k_cache, v_cache))
        if head is not None:
            k, v = k[head : head + 1], v[head : head + 1]
        out[s] = torch.nn.functional.scaled_dot_product_attention(q[s, :, None], k, v, enable_gqa=True, scale=scale)[
            :, 0
        ]
    return out


def decode_whole_blocks(*step):
    return through_sdpa(*step, cut=False)


def decode_first_head(*step):
    return through_sdpa(*step, head=0)


def decode_unscaled(*step):
    return through_sdpa(*step, scale=1.0)


def decode_first_row(q, k_cache, v_cache, block_tables, seq_lens):
    return paged_decode(q, k_cache, v_cache, block_tables[:1].expand(len(q), -1), seq_lens)


def decode_repeats(q, k_cache, v_cache, block_tables, seq_lens):
    """Repeats KV heads as 0 1 0 1, while the groups are 0 0 1 1."""
    times = q.shape[1] // k_cache.shape[2]
    return paged_decode(q, k_cache.repeat(1, 1, times, 1), v_cache.repeat(1, 1, times, 1), block_tables, seq_lens)


def decode_sums(q, k_cache, v_cache, block_tables, seq_lens):
    out, group = torch.zeros_like(q), q.shape[1] // k_cache.shape[2]
    for s in range(len(q)):
        n, size = int(seq_lens[s]), k_cache.shape[1]
        for h in range(q.shape[1]):
            total = 0
            for p in range(n):
                b, o = block_tables[s, p // size], p % size
                w = torch.exp(q[s, h] @ k_cache[b, o, h // group] / q.shape[2] ** 0.5)
                out[s, h] += w * v_cache[b, o, h // group]
                total = total + w
            if n:
                out[s, h] /= total
    return out


def decode_before_me(q, k_cache, v_cache, block_tables, seq_lens):
    return paged_decode(q, k_cache, v_cache, block_tables, (seq_lens - 1).clamp(min=0))


def decode_in_place(q, k_cache, v_cache, block_tables, seq_lens):
    out = paged_decode(q, k_cache, v_cache, block_tables, seq_lens)
    return q.copy_(out)


def decode_last_token(q, k_cache, v_cache, block_tables, seq_lens):
    """Returns the value of the newest token."""
    at = (seq_lens - 1).clamp(min=0)
    return v_cache[block_tables[torch.arange(len(q)), at // v_cache.shape[1]], at % v_cache.shape[1]].repeat_interleave(
        q.shape[1] // v_cache.shape[2], 1
    )


def online(keep_maximum=True, divide_each=False, zeros=False, size_of_slot=True, follows=True):
    """The loop over blocks as most people write it, with a part missing."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens):
        (n, heads, d), (_, size, kv_heads, _) = q.shape, k_cache.shape
        out = torch.zeros_like(q)
        for s, h in ((s, h) for s in range(n) for h in range(heads)):
            m_i, l_i, acc, length = torch.tensor(-INF), 0.0, torch.zeros(d), int(seq_lens[s])
            for j in range((length + size - 1) // size):
                slots = (int(block_tables[s, j]) if follows else j) * size + torch.arange(size)
                at = slots * kv_heads + h * kv_heads // heads if size_of_slot else slots
                filled = j * size + torch.arange(size) < length
                k, v = (x.reshape(-1, d)[at] * filled[:, None] for x in (k_cache, v_cache))
                scores = k @ q[s, h] / d**0.5
                scores = scores if zeros else scores.masked_fill(~filled, -INF)
                new_m = torch.maximum(m_i, scores.max())
                alpha, weights = (m_i - new_m).exp(), (scores - new_m).exp()
                l_i, acc = l_i * alpha + weights.sum(), acc * alpha + weights @ v
                m_i = new_m if keep_maximum else m_i
                acc = acc / l_i if divide_each else acc
            out[s, h] = acc / (1.0 if divide_each else l_i) if length else acc
        return out

    return answer


def decode_blocks_rounded_down(q, k_cache, v_cache, block_tables, seq_lens):
    """Uses only full blocks. Without a full block, 0 / 0."""
    size = k_cache.shape[1]
    whole = seq_lens // size * size
    return (
        paged_decode(q, k_cache, v_cache, block_tables, whole) / ((whole > 0) | (seq_lens == 0)).float()[:, None, None]
    )


def decode_shows(*step):
    print(paged_decode(*step))


def prefill_unmasked(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    rows = torch.repeat_interleave(torch.arange(len(seq_lens)), cu_seqlens_q.diff())
    return paged_decode(q, k_cache, v_cache, block_tables[rows], seq_lens[rows])


def each_at(name, lengths):
    """Every row is a decode of its own. lengths(row in its sequence, new, tokens): how many tokens it sees."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        out, ends = torch.zeros_like(q), cu_seqlens_q.tolist()
        for s, (start, end) in enumerate(zip(ends, ends[1:])):
            for i in range(end - start):
                n = torch.tensor([lengths(i, end - start, int(seq_lens[s]))])
                out[start + i] = paged_decode(
                    q[start + i : start + i + 1], k_cache, v_cache, block_tables[s : s + 1], n
                )[0]
        return out

    answer.__name__ = name
    return answer


prefill_from_zero = each_at("prefill_from_zero", lambda i, new, n: i + 1)
prefill_without_itself = each_at("prefill_without_itself", lambda i, new, n: n - new + i)
prefill_one_early = each_at("prefill_one_early", lambda i, new, n: max(1, n - new + i))
prefill_one_late = each_at("prefill_one_late", lambda i, new, n: min(n, n - new + i + 2))


def prefill_first_rows(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Uses the first rows of q for every sequence."""
    out, new = torch.zeros_like(q), cu_seqlens_q.diff().tolist()
    for s, n in enumerate(new):
        part = paged_prefill(
            q[:n], k_cache, v_cache, block_tables[s : s + 1], seq_lens[s : s + 1], torch.tensor([0, n])
        )
        out[:n] = part
    return out


def prefill_one_table(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    return paged_prefill(q, k_cache, v_cache, block_tables[:1].repeat(len(seq_lens), 1), seq_lens, cu_seqlens_q)


def prefill_first_tile(rows):
    """As a kernel whose grid has one tile of rows a sequence."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        out, group, ends = torch.empty_like(q), q.shape[1] // k_cache.shape[2], cu_seqlens_q.tolist()
        right = paged_prefill(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q)
        for start, end in zip(ends, ends[1:]):
            end = min(end, start + rows // group)
            out[start:end] = right[start:end]
        return out

    return answer


def prefill_gathers(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    out, ends = torch.zeros_like(q), cu_seqlens_q.tolist()
    for s, (start, end) in enumerate(zip(ends, ends[1:])):
        n = int(seq_lens[s])
        k, v = (x[block_tables[s].clamp(min=0)].flatten(0, 1)[:n].transpose(0, 1) for x in (k_cache, v_cache))
        mask = torch.ones(end - start, n, dtype=torch.bool).tril(n - (end - start))
        out[start:end] = torch.nn.functional.scaled_dot_product_attention(
            q[start:end].transpose(0, 1), k, v, mask, enable_gqa=True
        ).transpose(0, 1)
    return out


CASES = {
    "08.paged_decode": [
        ("tail is missing", decode_whole_blocks),
        ("wrong KV head", decode_first_head),
        ("scale is missing", decode_unscaled),
        ("row of another sequence", decode_first_row),
        ("wrong KV head", decode_repeats),
        ("maximum is not subtracted", decode_sums),
        ("new token is left out", decode_before_me),
        ("inputs are changed", decode_in_place),
        ("into one tensor", through_sdpa),
        (None, decode_last_token),
        ("printed, not returned", decode_shows),
        ("only the last block counts", online(keep_maximum=False)),
        ("divided in every iteration", online(divide_each=True)),
        ("only to the loads", online(zeros=True)),
        ("does not count the KV heads", online(size_of_slot=False)),
        ("table is not used", online(follows=False)),
        ("left out when it is not full", decode_blocks_rounded_down),
    ],
    "08.paged_prefill": [
        ("no causal mask", prefill_unmasked),
        ("counted from the first key", prefill_from_zero),
        ("does not see itself", prefill_without_itself),
        (None, prefill_one_early),
        ("rows of another sequence", prefill_first_rows),
        ("table row of another", prefill_one_table),
        ("into one tensor", prefill_gathers),
        ("sees the next token", prefill_one_late),
        ("first rows of a sequence", prefill_first_tile(16)),
        ("first rows of a sequence", prefill_first_tile(64)),
    ],
    **STORE,
    **SPLIT,
}
if find_spec("triton"):
    from kernels_triton_paged import CASES as KERNELS

    for _exercise, _cases in KERNELS.items():
        CASES[_exercise] += _cases
