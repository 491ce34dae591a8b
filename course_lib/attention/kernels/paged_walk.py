"""The walk of one program over the tiles of a sequence, through its row of the block table: what decode and chunks of
prompts share. Imports Triton.
"""

from .online import fold, visible  # before Triton: it decides how that runs here

# isort: split
import torch
import triton
import triton.language as tl

from course_lib.attention.checks import check_kernel_inputs
from course_lib.attention.reference.quantise import kind_of

from .quantise import fold_scaled, load_numbers


@triton.jit
def _attend(
    q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, rows, begin, end,
    kv_len, low, window, sinks, to_base_2, KIND: tl.constexpr, BY_BITS: tl.constexpr, MASKED: tl.constexpr, CAUSAL:
    tl.constexpr, WINDOW: tl.constexpr, DOT: tl.constexpr, HEAD_DIM: tl.constexpr, PADDED_DIM: tl.constexpr, BLOCK_SIZE:
    tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """The tiles of columns begin .. end of one sequence and KV head. Only here is the block table read."""
    offsets = tl.arange(0, BLOCK_N)
    block_ids = tl.load(table_ptr + (begin + offsets) // BLOCK_SIZE, mask=begin + offsets < kv_len, other=0).to(
        tl.int32
    )
    for start in range(begin, end, BLOCK_N):
        columns = start + offsets
        blocks, places = block_ids.to(tl.int64), columns % BLOCK_SIZE
        # The ids of the next tile now: its K and V, whose addresses depend on them, can be loaded while this one is
        # computed.
        block_ids = tl.load(table_ptr + (columns + BLOCK_N) // BLOCK_SIZE, mask=columns + BLOCK_N < kv_len, other=0).to(
            tl.int32
        )
        is_read = columns < kv_len
        if WINDOW:  # what no row sees may be in a block that was given away
            is_read = is_read & ((columns >= low) | (columns < sinks))
        slots = (blocks * BLOCK_SIZE + places) * token_stride
        k = load_numbers(k_ptr, slots, is_read, q.dtype, KIND, BY_BITS, MASKED, HEAD_DIM, PADDED_DIM)
        v = load_numbers(v_ptr, slots, is_read, q.dtype, KIND, BY_BITS, MASKED, HEAD_DIM, PADDED_DIM)
        if DOT:
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        else:  # for chips on which Triton makes no matrix instruction of tl.dot
            scores = tl.sum(q[:, None, :].to(tl.float32) * k[None, :, :].to(tl.float32), 2)
        if KIND != "plain":
            k_scale = tl.load(k_scale_ptr + blocks * scale_stride + places, mask=is_read, other=0.0)
            v_scale = tl.load(v_scale_ptr + blocks * scale_stride + places, mask=is_read, other=0.0)
            scores = scores * k_scale[None, :]  # one product for a key instead of one for each of its numbers
        if MASKED:
            seen = visible(rows, columns, kv_len, window, CAUSAL, WINDOW)
            if WINDOW:
                seen = seen | ((columns < sinks)[None, :] & visible(rows, columns, kv_len, window, CAUSAL, False))
            scores = tl.where(seen, scores, float("-inf"))
        if KIND == "plain":
            m_i, l_i, acc = fold(scores, v, m_i, l_i, acc, to_base_2, DOT)
        else:
            m_i, l_i, acc = fold_scaled(scores, v, v_scale, m_i, l_i, acc, to_base_2, DOT)
    return m_i, l_i, acc


@triton.jit
def _part(num_columns, num_parts, BLOCK_N: tl.constexpr):
    """Columns of one part: whole tiles. Parts past the end of a short sequence stay empty."""
    return tl.cdiv(tl.cdiv(num_columns, num_parts), BLOCK_N) * BLOCK_N


@triton.jit
def _first_tile(seq_len, window, WINDOW: tl.constexpr, BLOCK_N: tl.constexpr):
    """Where the tiles begin that the last token sees: 0 without a window."""
    return tl.maximum(seq_len - window, 0) // BLOCK_N * BLOCK_N if WINDOW else seq_len * 0


def prepare(q, k_cache, v_cache, block_tables, scales):
    """q and block_tables as the kernels read them; k, v and their scales as pointers; the KIND. Raises ParameterError
    for what the kernels cannot do."""
    kind = kind_of(k_cache.dtype)
    check_kernel_inputs(_attend, q, *(() if kind else (k_cache, v_cache)))
    if kind == "fp8":
        k_cache, v_cache = k_cache.view(torch.uint8), v_cache.view(torch.uint8)
    kept = (k_cache, v_cache, *(scales if kind else (k_cache, v_cache)))  # without scales these are not touched
    return *(x if x.stride(-1) == 1 else x.contiguous() for x in (q, block_tables)), kept, kind or "plain"
