"""Wrong answers for lesson 08 as people write them, in torch and as kernels; see written_otherwise.py."""

from importlib.util import find_spec

import torch

from course_lib.practice.lessons.l08.paged_decode import paged_decode
from course_lib.practice.lessons.l08.paged_prefill import paged_prefill
from course_lib.practice.lessons.l08.split_kv import split_kv
from course_lib.practice.lessons.l08.store_kv import store_kv

INF = float("inf")


def store_last_slot(k, v, k_cache, v_cache, slot_mapping):
    k_cache.view(-1, *k.shape[1:])[slot_mapping] = k
    v_cache.view(-1, *v.shape[1:])[slot_mapping] = v


def store_into_a_copy(k, v, k_cache, v_cache, slot_mapping):
    for i, slot in enumerate(slot_mapping):
        if slot >= 0:
            k_cache.clone()[slot // k_cache.shape[1]][slot % k_cache.shape[1]] = k[i]


def store_without_offset(k, v, k_cache, v_cache, slot_mapping):
    for i, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            k_cache[slot // k_cache.shape[1]][0], v_cache[slot // k_cache.shape[1]][0] = k[i], v[i]


def store_first_rows(k, v, k_cache, v_cache, slot_mapping):
    slots = slot_mapping[slot_mapping != -1]
    k_cache.flatten(0, 1)[slots], v_cache.flatten(0, 1)[slots] = k[: len(slots)], v[: len(slots)]


def store_keys_alone(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k, v, k_cache, v_cache.clone(), slot_mapping)


def store_turned(k, v, k_cache, v_cache, slot_mapping):
    store_kv(v, k, k_cache, v_cache, slot_mapping)


def store_halves(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k / 2, v / 2, k_cache, v_cache, slot_mapping)


def store_tidies(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k, v, k_cache, v_cache, slot_mapping)
    slot_mapping[slot_mapping < 0] = 0


def looped_store(skip=lambda slot: slot < 0, stop=False, size=lambda cache: cache.shape[1], cache_of_values=1):
    def answer(k, v, *rest):
        caches, slots = rest[:2], rest[2]
        for i, slot in enumerate(slots.tolist()):
            if skip(slot):
                if stop:
                    break
                continue
            for new, cache in ((k, caches[0]), (v, caches[cache_of_values])):
                cache[slot // size(cache), slot % size(cache)] = new[i]

    return answer


def store_shorter_slots(k, v, k_cache, v_cache, slot_mapping):
    """Flat addresses, in which the heads are forgotten."""
    heads, d = k.shape[1:]
    for i, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            k_cache.view(-1)[slot * d : slot * d + heads * d], v_cache.view(-1)[slot * d : slot * d + heads * d] = (
                k[i].flatten(),
                v[i].flatten(),
            )


def through_sdpa(q, k_cache, v_cache, block_tables, seq_lens, cut=True, scale=None, head=None):
    """Each sequence gathered, then torch's own attention."""
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
    """Heads repeated in turn, 0 1 0 1, where the groups are 0 0 1 1."""
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
    """Copies the value of the newest token."""
    at = (seq_lens - 1).clamp(min=0)
    return v_cache[block_tables[torch.arange(len(q)), at // v_cache.shape[1]], at % v_cache.shape[1]].repeat_interleave(
        q.shape[1] // v_cache.shape[2], 1
    )


def online(keep_top=True, divide_each=False, zeros=False, size_of_slot=True, follows=True):
    """The loop over blocks as most write it, with a piece missing."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens):
        (n, heads, d), (_, size, kv_heads, _) = q.shape, k_cache.shape
        out = torch.zeros_like(q)
        for s, h in ((s, h) for s in range(n) for h in range(heads)):
            top, total, acc, length = torch.tensor(-INF), 0.0, torch.zeros(d), int(seq_lens[s])
            for j in range((length + size - 1) // size):
                slots = (int(block_tables[s, j]) if follows else j) * size + torch.arange(size)
                at = slots * kv_heads + h * kv_heads // heads if size_of_slot else slots
                filled = j * size + torch.arange(size) < length
                k, v = (x.reshape(-1, d)[at] * filled[:, None] for x in (k_cache, v_cache))
                scores = k @ q[s, h] / d**0.5
                scores = scores if zeros else scores.masked_fill(~filled, -INF)
                new = torch.maximum(top, scores.max())
                weights = (scores - new).exp()
                total, acc = total * (top - new).exp() + weights.sum(), acc * (top - new).exp() + weights @ v
                top = new if keep_top else top
                acc = acc / total if divide_each else acc
            out[s, h] = acc / (1.0 if divide_each else total) if length else acc
        return out

    return answer


def decode_blocks_rounded_down(q, k_cache, v_cache, block_tables, seq_lens):
    """Only whole blocks; where there is none, 0 / 0."""
    size = k_cache.shape[1]
    whole = seq_lens // size * size
    return (
        paged_decode(q, k_cache, v_cache, block_tables, whole) / ((whole > 0) | (seq_lens == 0)).float()[:, None, None]
    )


def decode_shows(*step):
    print(paged_decode(*step))


def split_mean(*step):
    _, partial, lse = split_kv(*step)
    return partial.mean(-2), partial, lse


def split_raw(*step):
    _, partial, lse = split_kv(*step)
    w = lse.exp()
    return (partial * w[..., None]).sum(2) / w.sum(2).clamp(min=1e-30)[..., None], partial, lse


def split_base_two(*step):
    out, partial, lse = split_kv(*step)
    return out, partial, lse * 1.4426950408889634


def split_nan(*step):
    _, partial, lse = split_kv(*step)
    return torch.einsum("shp,shpd->shd", lse.softmax(-1), partial), partial, lse


def split_tail(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    size = k_cache.shape[1]
    return split_kv(q, k_cache, v_cache, block_tables, (seq_lens + size - 1) // size * size, num_splits)


def split_sum(*step):
    out, partial, lse = split_kv(*step)
    return out, partial, lse.exp()


def split_over(dim):
    def answer(*step):
        _, partial, lse = split_kv(*step)
        return (lse.softmax(dim).nan_to_num()[..., None] * partial).sum(2), partial, lse

    return answer


def split_weighs_by_sums(*step):
    _, partial, lse = split_kv(*step)
    return (lse.exp()[..., None] * partial).sum(-2), partial, lse


def split_zero_for_nothing(*step):
    _, partial, lse = split_kv(*step)
    lse = lse.clone()
    lse[lse == -INF] = 0
    return (lse.softmax(-1)[..., None] * partial).sum(-2), partial, lse


def split_weighs_by_lse(*step):
    _, partial, lse = split_kv(*step)
    return (partial * (lse / lse.sum(-1, keepdim=True))[..., None]).sum(2), partial, lse


def split_out_alone(*step):
    return split_kv(*step)[0]


def prefill_unmasked(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    rows = torch.repeat_interleave(torch.arange(len(seq_lens)), cu_seqlens_q.diff())
    return paged_decode(q, k_cache, v_cache, block_tables[rows], seq_lens[rows])


def each_at(lengths):
    """Every row a decode of its own; lengths(row in its sequence, new, tokens) says how far it sees."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        out, ends = torch.zeros_like(q), cu_seqlens_q.tolist()
        for s, (start, end) in enumerate(zip(ends, ends[1:])):
            for i in range(end - start):
                n = torch.tensor([lengths(i, end - start, int(seq_lens[s]))])
                out[start + i] = paged_decode(
                    q[start + i : start + i + 1], k_cache, v_cache, block_tables[s : s + 1], n
                )[0]
        return out

    return answer


prefill_from_zero, prefill_blind = each_at(lambda i, new, n: i + 1), each_at(lambda i, new, n: n - new + i)
prefill_one_early = each_at(lambda i, new, n: max(1, n - new + i))
prefill_one_late = each_at(lambda i, new, n: min(n, n - new + i + 2))
prefill_one_late.__name__ = "prefill_one_late"
prefill_from_zero.__name__, prefill_blind.__name__, prefill_one_early.__name__ = (
    "prefill_from_zero",
    "prefill_blind",
    "prefill_one_early",
)


def prefill_first_rows(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Takes the rows of the first sequence for all."""
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
    """A kernel whose grid has one tile of rows a sequence."""

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
    "08.store_kv": [
        ("padding is written", store_last_slot),
        ("not written in place", store_into_a_copy),
        ("offset within the block", store_without_offset),
        ("numbers of others", store_first_rows),
        ("only the keys", store_keys_alone),
        ("exchanged", store_turned),
        (None, store_halves),
        ("inputs are changed", store_tidies),
        ("slot 0 is taken for padding", looped_store(skip=lambda slot: slot <= 0)),
        ("after a padding is left out", looped_store(stop=True)),
        ("number of blocks", looped_store(size=len)),
        ("both written into k_cache", looped_store(cache_of_values=0)),
        ("head_dim numbers", store_shorter_slots),
    ],
    "08.paged_decode": [
        ("tail is missing", decode_whole_blocks),
        ("wrong head", decode_first_head),
        ("scale is missing", decode_unscaled),
        ("another sequence", decode_first_row),
        ("wrong head", decode_repeats),
        ("maximum is not subtracted", decode_sums),
        ("new token is left out", decode_before_me),
        ("inputs are changed", decode_in_place),
        ("one piece", through_sdpa),
        (None, decode_last_token),
        ("printed, not returned", decode_shows),
        ("only the last block counts", online(keep_top=False)),
        ("divided in every turn", online(divide_each=True)),
        ("on the loads alone", online(zeros=True)),
        ("several KV heads", online(size_of_slot=False)),
        ("table is not followed", online(follows=False)),
        ("left out where it is not full", decode_blocks_rounded_down),
    ],
    "08.split_kv": [
        ("without weights", split_mean),
        ("overflow", split_raw),
        ("base 2", split_base_two),
        ("output is nan", split_nan),
        ("tail is missing", split_tail),
        ("not what it says", split_sum),
        (None, split_out_alone),
        ("not taken over the parts", split_over(1)),
        ("not taken over the parts", split_over(0)),
        ("do not sum to 1", split_weighs_by_sums),
        ("takes a share", split_zero_for_nothing),
        ("themselves are the weights", split_weighs_by_lse),
    ],
    "08.paged_prefill": [
        ("no causal mask", prefill_unmasked),
        ("counted from the first key", prefill_from_zero),
        ("does not see itself", prefill_blind),
        (None, prefill_one_early),
        ("rows of another sequence", prefill_first_rows),
        ("table's row of another", prefill_one_table),
        ("one piece", prefill_gathers),
        ("sees the one after it", prefill_one_late),
        ("first rows of a sequence", prefill_first_tile(16)),
        ("first rows of a sequence", prefill_first_tile(64)),
    ],
}
if find_spec("triton"):
    from kernels_triton_paged import CASES as KERNELS

    for _exercise, _cases in KERNELS.items():
        CASES[_exercise] += _cases
