"""Wrong answers for lesson 08 as people write them in Triton. Imports Triton."""

import torch

from course_lib.attention import online  # noqa: F401  (first: it decides whether Triton is interpreted)

import triton  # noqa: E402
import triton.language as tl  # noqa: E402


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
def decode_kernel(q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, tables_ptr, lens_ptr, width, scale, KV_HEADS: tl.constexpr, D: tl.constexpr, SIZE: tl.constexpr,
                  TAIL: tl.constexpr, ALL: tl.constexpr):
    """TAIL: whether scores behind the length are masked. ALL: whether the whole row of the table is walked."""
    s, h = tl.program_id(0), tl.program_id(1)
    heads, dims, offsets = tl.num_programs(1), tl.arange(0, D), tl.arange(0, SIZE)
    n = tl.load(lens_ptr + s)
    q = tl.load(q_ptr + (s * heads + h) * D + dims)
    m, total, acc = -1e30, 0.0, tl.zeros([D], tl.float32)
    for j in range(0, width if ALL else tl.cdiv(n, SIZE)):
        block = tl.load(tables_ptr + s * width + j)
        at = ((block * SIZE + offsets) * KV_HEADS + h * KV_HEADS // heads)[:, None] * D + dims[None, :]
        scores = tl.sum(tl.load(k_cache_ptr + at) * q[None, :], 1) * scale
        if TAIL:
            scores = tl.where(j * SIZE + offsets < n, scores, float("-inf"))
        new = tl.maximum(m, tl.max(scores, 0))
        weights = tl.exp(scores - new)
        acc = acc * tl.exp(m - new) + tl.sum(tl.load(v_cache_ptr + at) * weights[:, None], 0)
        total = total * tl.exp(m - new) + tl.sum(weights, 0)
        m = new
    tl.store(out_ptr + (s * heads + h) * D + dims, acc / tl.where(total > 0, total, 1.0))


def launched(tail, whole_row):
    def answer(q, k_cache, v_cache, block_tables, seq_lens):
        out = torch.empty_like(q)
        decode_kernel[q.shape[:2]](q, k_cache, v_cache, out, block_tables, seq_lens, block_tables.shape[1], q.shape[2] ** -0.5, KV_HEADS=k_cache.shape[2],
                                   D=q.shape[2], SIZE=k_cache.shape[1], TAIL=tail, ALL=whole_row)
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


CASES = {
    "08.store_kv": [("padding is written", store_padding_kernel), ("outside of its tensor", store_one_too_many)],
    "08.paged_decode": [("tail is missing", decode_open_tail), ("outside of its tensor", decode_whole_row), (None, decode_first_row_alone)],
}
