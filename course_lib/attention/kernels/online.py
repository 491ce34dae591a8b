"""What the attention kernels share: one step of the online softmax, and which columns of a tile a row may see.
Imports Triton.

A program holds a tile of queries and walks over tiles of keys and values. For each row it keeps three things:

    m_i      the largest score so far, in base 2         starts at LOWEST
    l_i      the sum of 2 ** (score - m_i) so far        starts at 0
    acc      the same sum, of weight times value         starts at 0; divided by `l_i` once, at the end

Base 2 because the hardware has exp2 and no exp: scores are multiplied by scale * log2(e). Source: online softmax
(arXiv 1805.02867), FlashAttention-2 (arXiv 2307.08691).
"""

from course_lib.machine import triton_start  # noqa: F401, I001  (before Triton)
import triton
import triton.language as tl

LOWEST = tl.constexpr(-1e30)  # not -inf: for a row that has seen nothing yet, -inf - -inf would be NaN


@triton.jit
def fold(scores, v, m_i, l_i, acc, to_base_2, DOT: tl.constexpr):
    """One tile more: scores [rows, columns], where -inf hides a column; v [columns, dims]. Returns m_i, l_i, acc."""
    m_new = tl.maximum(m_i, tl.max(scores, 1) * to_base_2)
    weights = tl.exp2(scores * to_base_2 - m_new[:, None])
    alpha = tl.exp2(m_i - m_new)  # what was summed up under the old maximum counts less under the new one
    l_i = l_i * alpha + tl.sum(weights, 1)
    acc = acc * alpha[:, None]
    if DOT:
        acc = tl.dot(weights.to(v.dtype), v, acc, input_precision="ieee")
    else:  # v first: Triton takes a sum of weights * v for a product of matrices, and computes it in TF32
        acc += tl.sum(v[None, :, :].to(tl.float32) * weights[:, :, None], 1)
    return m_new, l_i, acc


@triton.jit
def visible(rows, columns, kv_len, window, CAUSAL: tl.constexpr, WINDOW: tl.constexpr):
    """Which of the positions `columns` each of the positions `rows` may look at: [rows, columns]."""
    distance = rows[:, None] - columns[None, :]
    seen = (columns < kv_len)[None, :]
    if CAUSAL:
        seen = seen & (distance >= 0)
    if WINDOW:
        seen = seen & (distance < window) & (distance > -window)
    return seen


@triton.jit
def tile_bounds(first, last, kv_len, window, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, BLOCK_N: tl.constexpr):
    """Where to walk for rows at positions first .. last: [begin, full_begin) masked, [full_begin, full_end) not,
    [.., end) masked.

    begin        full_begin                full_end        end
    | left edge of | every row sees every   | the diagonal, |      tiles outside hold nothing for any row
    | the window   | column: no mask needed | and the tail  |      all but `end` are multiples of BLOCK_N
    """
    begin, end = first * 0, kv_len  # first * 0: a tensor, where 0 would be a constant
    full_begin, full_end = begin, kv_len
    if CAUSAL:
        end = last + 1
        full_end = first + 1
    elif WINDOW:
        end = tl.minimum(kv_len, last + window)
        full_end = tl.minimum(kv_len, first + window)
    if WINDOW:
        begin = tl.maximum(first - window + 1, 0) // BLOCK_N * BLOCK_N
        full_begin = tl.maximum(last - window + BLOCK_N, 0) // BLOCK_N * BLOCK_N
        full_begin = tl.minimum(full_begin, (end + BLOCK_N - 1) // BLOCK_N * BLOCK_N)
    full_end = tl.maximum(full_end // BLOCK_N * BLOCK_N, full_begin)
    return begin, full_begin, full_end, end


@triton.jit
def find_sequence(cu_seqlens_ptr, tile, num_seqs, ROWS: tl.constexpr):
    """(sequence, tile within it) of one tile of a packed batch: binary search, so that nobody needs the lengths on
    the CPU.

    If every sequence may start a fresh tile, sequence i begins at tile cu_seqlens[i] // ROWS + i at the latest, so
    the grid of total // ROWS + num_seqs tiles has room for all, and the few tiles too many find that they are past
    the end.
    """
    low = tile * 0
    high = low + num_seqs
    while low < high:
        middle = (low + high) // 2
        if tl.load(cu_seqlens_ptr + middle).to(tl.int32) // ROWS + middle <= tile:
            low = middle + 1
        else:
            high = middle
    sequence = low - 1
    return sequence, tile - (tl.load(cu_seqlens_ptr + sequence).to(tl.int32) // ROWS + sequence)
