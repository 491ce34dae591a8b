"""Wrong answers for lesson 08 as people write them in Triton, and a few loops in torch. Imports Triton."""

import torch

from course_lib.attention.kernels import online  # noqa: F401  (first: it decides whether Triton is interpreted)

# isort: split
import triton
import triton.language as tl
from written_slips import slip

INF = float("inf")


@triton.jit
def store_all_kernel(k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slots_ptr, NUMBERS: tl.constexpr):
    i = tl.program_id(0)
    slot = tl.load(slots_ptr + i)
    at = tl.arange(0, NUMBERS)
    tl.store(k_cache_ptr + slot * NUMBERS + at, tl.load(k_ptr + i * NUMBERS + at))
    tl.store(v_cache_ptr + slot * NUMBERS + at, tl.load(v_ptr + i * NUMBERS + at))


def store_padding_kernel(k, v, k_cache, v_cache, slot_mapping):
    store_all_kernel[(len(k),)](k, v, k_cache, v_cache, slot_mapping, NUMBERS=k[0].numel())


def store_one_too_many(k, v, k_cache, v_cache, slot_mapping):
    store_all_kernel[(len(k) + 1,)](k, v, k_cache, v_cache, slot_mapping, NUMBERS=k[0].numel())


@triton.jit
def decode_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    out_ptr,
    tables_ptr,
    lens_ptr,
    width,
    scale,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    SIZE: tl.constexpr,
    TAIL: tl.constexpr,
    ALL: tl.constexpr,
):
    """TAIL: whether scores after the end are masked. ALL: whether the loop covers the whole row of the block table."""
    s, h = tl.program_id(0), tl.program_id(1)
    heads, dims, offsets = tl.num_programs(1), tl.arange(0, D), tl.arange(0, SIZE)
    n = tl.load(lens_ptr + s)
    q = tl.load(q_ptr + (s * heads + h) * D + dims)
    m_i, l_i, acc = -1e30, 0.0, tl.zeros([D], tl.float32)
    for j in range(0, width if ALL else tl.cdiv(n, SIZE)):
        block = tl.load(tables_ptr + s * width + j)
        at = ((block * SIZE + offsets) * KV_HEADS + h * KV_HEADS // heads)[:, None] * D + dims[None, :]
        scores = tl.sum(tl.load(k_cache_ptr + at) * q[None, :], 1) * scale
        if TAIL:
            scores = tl.where(j * SIZE + offsets < n, scores, float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 0))
        weights = tl.exp(scores - new_m)
        acc = acc * tl.exp(m_i - new_m) + tl.sum(tl.load(v_cache_ptr + at) * weights[:, None], 0)
        l_i = l_i * tl.exp(m_i - new_m) + tl.sum(weights, 0)
        m_i = new_m
    tl.store(out_ptr + (s * heads + h) * D + dims, acc / tl.where(l_i > 0, l_i, 1.0))


def launched(tail, whole_row):
    def answer(q, k_cache, v_cache, block_tables, seq_lens):
        out = torch.empty_like(q)
        decode_kernel[q.shape[:2]](
            q,
            k_cache,
            v_cache,
            out,
            block_tables,
            seq_lens,
            block_tables.shape[1],
            q.shape[2] ** -0.5,
            KV_HEADS=k_cache.shape[2],
            D=q.shape[2],
            SIZE=k_cache.shape[1],
            TAIL=tail,
            ALL=whole_row,
        )
        return out

    return answer


decode_open_tail, decode_whole_row = launched(False, False), launched(True, True)
decode_open_tail.__name__, decode_whole_row.__name__ = "decode_open_tail", "decode_whole_row"


@triton.jit
def half_written_kernel(q_ptr, out_ptr, D: tl.constexpr):
    tl.store(out_ptr + tl.arange(0, D), tl.load(q_ptr + tl.arange(0, D)))


def decode_first_row_alone(q, k_cache, v_cache, block_tables, seq_lens):
    out = torch.empty_like(q)
    half_written_kernel[(1,)](q, out, D=q.shape[2])
    return out


KERNEL = {
    "store_kv": "store_kernel",
    "paged_decode": "decode_kernel",
    "split_kv": "split_kernel",
    "paged_prefill": "prefill_kernel",
}
UPDATE = "        m_i = new_m\n", ""
ROWS = "ROWS=triton.next_power_of_2(group)", "ROWS=group"
SEEN = "<= position[:, None])"
HEADS_FIRST = (
    "((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)",
    "((block * NUM_KV_HEADS + kv_head) * BLOCK_SIZE + offsets)",
)
UNMASKED = "where, mask=filled[:, None], other=0.0)", "where)"
TIGHT = "block_tables.stride(0)", "-(-int(seq_lens.max()) // block_size)"


def slipped(launcher, *cases):
    """[(name, the solution with one mistake)] of cases (name, (old, new), …)."""
    return [(name, slip(KERNEL[launcher], launcher, *changes, lesson="08")) for name, *changes in cases]


def decode_all_entries(q, k_cache, v_cache, block_tables, seq_lens):
    """Loops over the whole row of the block table, entries of -1 included, and masks the scores."""
    out, size = torch.zeros_like(q), k_cache.shape[1]
    for s, h in ((s, h) for s in range(len(q)) for h in range(q.shape[1] if seq_lens[s] else 0)):
        g, m_i, l_i, acc = h * k_cache.shape[2] // q.shape[1], torch.tensor(-INF), 0.0, 0.0
        for j, block in enumerate(block_tables[s].tolist()):
            scores = (k_cache[block, :, g] @ q[s, h] / q.shape[2] ** 0.5).masked_fill(
                j * size + torch.arange(size) >= seq_lens[s], -INF
            )
            new_m = torch.maximum(m_i, scores.max())
            alpha, weights, m_i = (m_i - new_m).exp(), (scores - new_m).exp(), new_m
            l_i, acc = l_i * alpha + weights.sum(), acc * alpha + weights @ v_cache[block, :, g]
        out[s, h] = acc / l_i
    return out


def split_uncut(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """Reads each part to its end, not to the end of the sequence."""
    size, lse = k_cache.shape[1], q.new_full((*q.shape[:2], num_splits), -INF)
    partial = q.new_zeros(*lse.shape, q.shape[2])
    for s, h, p in ((s, h, p) for s in range(len(q)) for h in range(q.shape[1]) for p in range(num_splits)):
        tokens = -(-(-(-int(seq_lens[s]) // num_splits)) // size) * size
        at = [
            (int(block_tables[s, t // size]), t % size, h * k_cache.shape[2] // q.shape[1])
            for t in range(p * tokens, (p + 1) * tokens)
        ]
        if at:
            k, v = (torch.stack([cache[one] for one in at]) for cache in (k_cache, v_cache))
            scores = k @ q[s, h] / q.shape[2] ** 0.5
            partial[s, h, p], lse[s, h, p] = scores.softmax(0) @ v, scores.logsumexp(0)
    return (lse.softmax(-1).nan_to_num()[..., None] * partial).sum(2), partial, lse


def prefill_looped(
    new=lambda ends, s: ends[s + 1] - ends[s],
    start=lambda ends, s: ends[s],
    to=None,
    first=lambda n, new: 0,
    last=lambda n, new, i: n - new + i,
):
    """Row after row, over the keys from first to last, each taken through the block table."""

    def answer(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        out, ends, size = torch.zeros_like(q), cu_seqlens_q.tolist(), k_cache.shape[1]
        for s, n in enumerate(seq_lens.tolist()):
            count = new(ends, s)
            for i, h in ((i, h) for i in range(count) for h in range(q.shape[1])):
                at = [
                    (int(block_tables[s, t // size]), t % size, h * k_cache.shape[2] // q.shape[1])
                    for t in range(first(n, count), last(n, count, i) + 1)
                ]
                row = q[start(ends, s) + i, h] / q.shape[2] ** 0.5
                if at:
                    k, v = (torch.stack([cache[one] for one in at]) for cache in (k_cache, v_cache))
                    out[(to or start)(ends, s) + i, h] = (k @ row).softmax(0) @ v
        return out

    answer.__name__ = "prefill_looped"
    return answer


CASES = {
    "08.store_kv": [
        ("padding is written", store_padding_kernel),
        ("outside of its tensor", store_one_too_many),
        *slipped("store_kv", ("one number", ("slot * NUMBERS", "slot")), ("one number", ("token * NUMBERS", "token"))),
    ],
    "08.paged_decode": [
        ("tail is missing", decode_open_tail),
        ("outside of its tensor", decode_whole_row),
        (None, decode_first_row_alone),
        ("entry of -1 is read", decode_all_entries),
        *slipped(
            "paged_decode",
            ("not a power of two", ROWS),
            ("in another layout", HEADS_FIRST),
            ("after the last token is read", UNMASKED),
            ("as long as the longest", TIGHT),
            ("row of another sequence", ("tables_ptr + sequence * table_stride", "tables_ptr")),
            ("only the last block", UPDATE),
            ("multiplied by the square root", ("head_dim ** -0.5", "head_dim ** 0.5")),
        ),
    ],
    "08.split_kv": [
        ("does not end with the sequence", split_uncut),
        *slipped(
            "split_kv",
            ("not a power of two", ROWS),
            ("does not end with the sequence", ("tl.minimum((part + 1) * tokens, length)", "(part + 1) * tokens")),
            ("after the last token is read", UNMASKED),
            ("as long as the longest", TIGHT),
            ("reads on to the end", ("tl.minimum((part + 1) * tokens, length)", "length")),
        ),
    ],
    "08.paged_prefill": [
        ("used as lengths", prefill_looped(new=lambda ends, s: ends[s + 1])),
        ("used as lengths", prefill_looped(new=lambda ends, s: ends[s], start=lambda ends, s: sum(ends[:s]))),
        ("rows of another sequence", prefill_looped(start=lambda ends, s: 0, to=lambda ends, s: ends[s])),
        ("rows of another sequence", prefill_looped(to=lambda ends, s: 0)),
        ("only what was cached", prefill_looped(last=lambda n, new, i: n - new - 1)),
        ("cached before are not read", prefill_looped(first=lambda n, new: n - new)),
        *slipped(
            "paged_prefill",
            ("as long as the longest", TIGHT),
            ("by line", ("- new + token", "- new + lines")),
            ("rows of another sequence", ("(start + token)", "token")),
            (
                "outside of its tensor",
                ("tl.load(cu_seqlens_ptr + sequence + 1) - start", "tl.load(cu_seqlens_ptr + sequence + 1)"),
            ),
            ("only what was cached", (SEEN, "< length - new)")),
            ("cached before are not read", (SEEN, f"{SEEN} & (first + offsets[None, :] >= length - new)")),
            ("cached before are not read", ("range(0, end", "range((length - new) // BLOCK_SIZE * BLOCK_SIZE, end")),
            ("mask is inverted", (SEEN, "> position[:, None])")),
            ("only the last block", UPDATE),
            (
                "not a power of two",
                ("num_heads // num_kv_heads, 16", "num_heads // num_kv_heads, num_heads // num_kv_heads"),
            ),
        ),
    ],
}
