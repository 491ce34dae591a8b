"""Attention that follows the block table itself, as Triton kernels: lesson 08. Nothing is gathered first. Imports
Triton.

    paged_decode      one new token a sequence. A program takes all query heads of one KV head over one part of it;
                      a second kernel merges the parts.      grid (num_kv_heads, parts, num_seqs)
    paged_attention   any number of new tokens a sequence.   grid (num_kv_heads, tiles of BLOCK_M rows of all sequences)

    position       0 .. 15 | 16 .. 31 | 32 .. 36             block_size 16
    block table    7       | 2        | 5       | -1 | -1    what stands behind the length is never read
    read at slot   112 ..  | 32 ..    | 80 ..                block_id * block_size + position % block_size

Sources: PagedAttention (arXiv 2309.06180); split-KV, Flash-Decoding (crfm.stanford.edu/2023/10/12/flashdecoding.html).
"""

import torch

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous

from .online import LOWEST, find_sequence, tile_bounds  # before Triton: it decides how that runs here

# isort: split
import triton
import triton.language as tl

from course_lib.attention.paged_checks import check_paged, check_splits
from course_lib.attention.tiles import (
    DECODE_PROGRAMS,
    MOST_SPLITS,
    chip,
    decode_splits,
    decode_tile,
    has_conversion,
    has_matrix_instructions,
    multiprocessors,
    paged_tile,
    quantised_tile,
)

from . import quantised_decode
from .flash import LOG2_E
from .paged_walk import _attend, _first_tile, _part, prepare

LEDGER = ["table_ptr", "seq_lens_ptr"]  # often parts of larger tensors: a kernel for each alignment would be too many


@triton.jit(do_not_specialize=["table_stride", "window", "sinks"], do_not_specialize_on_alignment=LEDGER)
def decode_kernel(
    q_ptr, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, out_ptr, partial_ptr, lse_ptr, table_ptr, seq_lens_ptr, table_stride,
    window, sinks, to_base_2, q_stride, q_head_stride, token_stride, head_stride, KIND: tl.constexpr, BY_BITS:
    tl.constexpr, GROUP: tl.constexpr, SPLIT: tl.constexpr, DOT: tl.constexpr, WINDOW: tl.constexpr, HEAD_DIM:
    tl.constexpr, PADDED_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PDL:
    tl.constexpr = False,
):  # fmt: skip
    """Without SPLIT writes out; with it each part's own output to partial and its log-sum-exp (base 2) to lse."""
    wait_for_previous(PDL)
    let_next_start(PDL)
    kv_head, part, sequence = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    num_heads, num_parts = tl.num_programs(0) * GROUP, tl.num_programs(1)
    seq_len = tl.load(seq_lens_ptr + sequence).to(tl.int32)
    first = _first_tile(seq_len, window, WINDOW, BLOCK_N)
    columns = _part(seq_len - first, num_parts, BLOCK_N)
    begin = first + part * columns
    end = tl.minimum(begin + columns, seq_len)
    if SPLIT:
        if begin >= end:
            return
    rows, dims = tl.arange(0, BLOCK_M), tl.arange(0, PADDED_DIM)
    heads = kv_head * GROUP + rows
    inside = (rows < GROUP)[:, None] & (dims < HEAD_DIM)[None, :]
    q = tl.load(
        q_ptr + sequence.to(tl.int64) * q_stride + heads[:, None] * q_head_stride + dims[None, :],
        mask=inside,
        other=0.0,
    )

    m_i = tl.full([BLOCK_M], LOWEST, tl.float32)
    l_i = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, PADDED_DIM], tl.float32)
    k_ptr += kv_head * head_stride
    v_ptr += kv_head * head_stride
    k_scale_ptr += kv_head * BLOCK_SIZE
    v_scale_ptr += kv_head * BLOCK_SIZE
    scale_stride, at, low = tl.num_programs(0) * BLOCK_SIZE, rows * 0 + seq_len - 1, seq_len - window
    table_ptr += sequence.to(tl.int64) * table_stride
    if WINDOW:
        before = tl.where(part == 0, tl.minimum(sinks, first), 0)
        m_i, l_i, acc = _attend(
            q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, at,
            before * 0, before, before, low, window, sinks, to_base_2, KIND, BY_BITS, True, False, WINDOW, DOT,
            HEAD_DIM, PADDED_DIM, BLOCK_SIZE, BLOCK_N,
        )  # fmt: skip
    m_i, l_i, acc = _attend(
        q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, at, begin, end,
        seq_len, low, window, sinks, to_base_2, KIND, BY_BITS, True, False, WINDOW, DOT, HEAD_DIM, PADDED_DIM,
        BLOCK_SIZE, BLOCK_N,
    )  # fmt: skip
    out = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]  # an empty sequence has a l_i of 0, and an output of 0
    line = sequence.to(tl.int64) * num_heads + heads
    if SPLIT:
        line = line * num_parts + part
        tl.store(lse_ptr + line, m_i + tl.log2(l_i), mask=rows < GROUP)
        tl.store(partial_ptr + line[:, None] * HEAD_DIM + dims[None, :], out, mask=inside)
    else:
        tl.store(out_ptr + line[:, None] * HEAD_DIM + dims[None, :], out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["num_parts", "window"], do_not_specialize_on_alignment=LEDGER[1:])
def merge_kernel(
    partial_ptr, lse_ptr, out_ptr, seq_lens_ptr, num_parts, window, WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr, PADDED_PARTS: tl.constexpr, CHUNK: tl.constexpr, BLOCK_N: tl.constexpr, PDL:
    tl.constexpr = False,
):  # fmt: skip
    """out = sum of 2 ** lse * partial / sum of 2 ** lse, over the parts that are not empty; as merge_partials does
    in torch.
    """
    wait_for_previous(PDL)
    let_next_start(PDL)
    head, sequence = tl.program_id(0), tl.program_id(1)
    line = sequence.to(tl.int64) * tl.num_programs(0) + head
    parts, some, dims = tl.arange(0, PADDED_PARTS), tl.arange(0, CHUNK), tl.arange(0, PADDED_DIM)
    # Everything at once, before it is known how many parts there are: what stands in the others is not used.
    seq_len = tl.load(seq_lens_ptr + sequence).to(tl.int32)
    lse_ptr += line * num_parts
    lse = tl.load(lse_ptr + parts, mask=parts < num_parts, other=LOWEST)
    partial_ptr += line * num_parts * HEAD_DIM + dims[None, :]
    inside = (dims < HEAD_DIM)[None, :]
    partial = tl.load(partial_ptr + some[:, None] * HEAD_DIM, mask=(some < num_parts)[:, None] & inside, other=0.0)
    of_some = tl.load(lse_ptr + some, mask=some < num_parts, other=LOWEST)
    num_columns = seq_len - _first_tile(seq_len, window, WINDOW, BLOCK_N)
    used = tl.cdiv(num_columns, tl.maximum(_part(num_columns, num_parts, BLOCK_N), 1))
    lse = tl.where(parts < used, lse, LOWEST)
    m_i = tl.max(lse, 0)
    l_i = tl.sum(tl.where(parts < used, tl.exp2(lse - m_i), 0.0), 0)
    weights = tl.exp2(of_some - m_i)
    acc = tl.sum(tl.where((some < used)[:, None], weights[:, None] * partial, 0.0), 0)
    for start in range(CHUNK, used, CHUNK):
        more = start + some
        weights = tl.exp2(tl.load(lse_ptr + more, mask=more < used, other=float("-inf")) - m_i)
        partial = tl.load(partial_ptr + more[:, None] * HEAD_DIM, mask=(more < used)[:, None] & inside, other=0.0)
        acc += tl.sum(weights[:, None] * partial, 0)
    out = acc / tl.where(l_i > 0, l_i, 1.0)
    tl.store(out_ptr + line * HEAD_DIM + dims, out.to(out_ptr.dtype.element_ty), mask=dims < HEAD_DIM)


@triton.jit(
    do_not_specialize=["num_seqs", "table_stride", "window", "sinks"],
    do_not_specialize_on_alignment=[*LEDGER, "cu_seqlens_ptr"],
)
def paged_kernel(
    q_ptr, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, out_ptr, table_ptr, seq_lens_ptr, cu_seqlens_ptr, num_seqs,
    table_stride, window, sinks, to_base_2, q_stride, q_head_stride, token_stride, head_stride, KIND: tl.constexpr,
    BY_BITS: tl.constexpr, GROUP: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """A row is a query of one head: BLOCK_M // GROUP tokens with all GROUP query heads of the KV head."""
    kv_head = tl.program_id(0)
    TOKENS: tl.constexpr = BLOCK_M // GROUP
    sequence, tile = find_sequence(cu_seqlens_ptr, tl.num_programs(1) - 1 - tl.program_id(1), num_seqs, TOKENS)
    start = tl.load(cu_seqlens_ptr + sequence).to(tl.int64)
    q_len = (tl.load(cu_seqlens_ptr + sequence + 1).to(tl.int64) - start).to(tl.int32)
    seq_len = tl.load(seq_lens_ptr + sequence).to(tl.int32)
    first = tile * TOKENS
    if first >= q_len:
        return
    lines, dims = tl.arange(0, BLOCK_M), tl.arange(0, PADDED_DIM)
    tokens, heads = first + lines // GROUP, kv_head * GROUP + lines % GROUP
    inside = ((tokens < q_len) & (lines < TOKENS * GROUP))[:, None] & (dims < HEAD_DIM)[None, :]
    q_ptr += start * q_stride
    q = tl.load(
        q_ptr + tokens[:, None] * q_stride + heads[:, None] * q_head_stride + dims[None, :], mask=inside, other=0.0
    )

    m_i = tl.full([BLOCK_M], LOWEST, tl.float32)
    l_i = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, PADDED_DIM], tl.float32)
    k_ptr += kv_head * head_stride
    v_ptr += kv_head * head_stride
    k_scale_ptr += kv_head * BLOCK_SIZE
    v_scale_ptr += kv_head * BLOCK_SIZE
    scale_stride = tl.num_programs(0) * BLOCK_SIZE
    table_ptr += sequence.to(tl.int64) * table_stride
    past = seq_len - q_len  # the new tokens are the last ones
    rows, low = past + tokens, past + first - window + 1
    begin, full_begin, full_end, end = tile_bounds(
        past + first, past + tl.minimum(first + TOKENS, q_len) - 1, seq_len, window, CAUSAL, WINDOW, BLOCK_N
    )
    if WINDOW:
        before = tl.minimum(sinks, begin)
        m_i, l_i, acc = _attend(
            q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, rows,
            before * 0, before, before, low, window, sinks, to_base_2, KIND, BY_BITS, True, CAUSAL, WINDOW, True,
            HEAD_DIM, PADDED_DIM, BLOCK_SIZE, BLOCK_N,
        )  # fmt: skip
        m_i, l_i, acc = _attend(
            q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, rows,
            begin, full_begin, seq_len, low, window, sinks, to_base_2, KIND, BY_BITS, True, CAUSAL, WINDOW, True,
            HEAD_DIM, PADDED_DIM, BLOCK_SIZE, BLOCK_N,
        )  # fmt: skip
    m_i, l_i, acc = _attend(
        q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, rows,
        full_begin, full_end, seq_len, low, window, sinks, to_base_2, KIND, BY_BITS, False, CAUSAL, WINDOW, True,
        HEAD_DIM, PADDED_DIM, BLOCK_SIZE, BLOCK_N,
    )  # fmt: skip
    m_i, l_i, acc = _attend(
        q, m_i, l_i, acc, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, table_ptr, token_stride, scale_stride, rows,
        full_end, end, seq_len, low, window, sinks, to_base_2, KIND, BY_BITS, True, CAUSAL, WINDOW, True,
        HEAD_DIM, PADDED_DIM, BLOCK_SIZE, BLOCK_N,
    )  # fmt: skip
    out = (acc / tl.where(l_i > 0, l_i, 1.0)[:, None]).to(out_ptr.dtype.element_ty)
    line = (start + tokens) * (tl.num_programs(0) * GROUP) + heads
    tl.store(out_ptr + line[:, None] * HEAD_DIM + dims[None, :], out, mask=inside)


def paged_decode(
    q, k_cache, v_cache, block_tables, seq_lens, *, k_scale=None, v_scale=None, window=None, sinks=0, scale=None,
    splits=None, tile=None, dot=None,
):  # fmt: skip
    """One new token of each sequence over all of its tokens, its own included.

    q: [num_seqs, num_heads, head_dim]. k_cache, v_cache: [num_blocks, block_size, num_kv_heads, head_dim], contiguous.
    block_tables: int32 or int64 [num_seqs, max_blocks]; what stands behind a sequence's length is never read.
    seq_lens: int32 or int64 [num_seqs]; 0 gives an output of 0. k_scale, v_scale: of quantised caches, float32
    [num_blocks, num_kv_heads, block_size]. window: only the last so many tokens, the new one included, and the first
    `sinks`; blocks that hold none of them are never read. splits: parts of each sequence, default from shapes and
    multiprocessors; tile, dot: a Tile, and whether with tl.dot, instead of the table's. Returns as q. Raises
    ParameterError and LedgerError before anything is launched; the CPU waits for nothing on the GPU.
    """
    scales = k_scale, v_scale
    scale = check_paged(q, k_cache, v_cache, block_tables, seq_lens, scale, None, True, window, sinks, *scales)
    check_splits(splits)
    q, block_tables, kept, kind = prepare(q, k_cache, v_cache, block_tables, scales)
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out = torch.empty((num_seqs, num_heads, head_dim), dtype=q.dtype, device=q.device)
    if num_seqs == 0:
        return out
    name, group, padded_dim = chip(q.device), num_heads // num_kv_heads, max(16, triton.next_power_of_2(head_dim))
    dot = has_matrix_instructions(name) if dot is None else dot
    by_words = quantised_tile(name, kind, q.dtype, head_dim, group) if dot else None
    usual, programs = by_words or (decode_tile(name, head_dim, k_cache.element_size(), group), DECODE_PROGRAMS)
    tile, most_tokens = tile or usual, min(block_tables.shape[1] * block_size, window or 2**31)
    splits = splits or decode_splits(num_seqs, num_kv_heads, most_tokens, multiprocessors(q.device), programs)
    partial = lse = out  # not touched without a split
    if splits > 1:
        partial = torch.empty((num_seqs, num_heads, splits, head_dim), dtype=torch.float32, device=q.device)
        lse = torch.empty((num_seqs, num_heads, splits), dtype=torch.float32, device=q.device)
    grid, outputs, to_base_2 = (num_kv_heads, splits, num_seqs), (out, partial, lse), scale * LOG2_E
    if by_words:
        how = dict(window=window, sinks=sinks, to_base_2=to_base_2, kind=kind, tile=tile)
        quantised_decode.launch(grid, q, kept, outputs, block_tables, seq_lens, **how)
    else:
        decode_kernel[grid](
            q, *kept, *outputs, block_tables, seq_lens, block_tables.stride(0), window or 0, sinks, to_base_2,
            q.stride(0), q.stride(1), k_cache.stride(1), k_cache.stride(2), KIND=kind,
            BY_BITS=has_conversion(name, kind, q.dtype), GROUP=group, SPLIT=splits > 1, DOT=dot, WINDOW=bool(window),
            HEAD_DIM=head_dim, PADDED_DIM=padded_dim, BLOCK_SIZE=block_size, BLOCK_M=tile.block_m, BLOCK_N=tile.block_n,
            num_warps=tile.num_warps, num_stages=tile.num_stages, **pdl(q.device),
        )  # fmt: skip
    if splits > 1:
        merge_kernel[(num_heads, num_seqs)](
            partial, lse, out, seq_lens, splits, window or 0, WINDOW=window is not None, HEAD_DIM=head_dim,
            PADDED_DIM=padded_dim, PADDED_PARTS=triton.next_power_of_2(max(splits, MOST_SPLITS)), CHUNK=16,
            BLOCK_N=tile.block_n, num_warps=1, **pdl(q.device),
        )  # fmt: skip
    return out


def paged_attention(
    q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q, *, k_scale=None, v_scale=None, causal=True, window=None,
    sinks=0, scale=None, tile=None,
):  # fmt: skip
    """The last tokens of each sequence, any number of them, over all of its tokens: prefill in chunks, decode, and
    both at once.

    q: [num_tokens, num_heads, head_dim], packed by cu_seqlens_q: int32 or int64 [num_seqs + 1]. The caches, their
    scales and block_tables as in paged_decode. seq_lens counts a sequence's new tokens too. causal: a token sees itself
    and what is before it. window: only tokens less than `window` away, itself included, and the first `sinks`. tile:
    as in paged_decode. Returns as q. Raises ParameterError and LedgerError before anything is launched.
    """
    scales = k_scale, v_scale
    scale = check_paged(
        q, k_cache, v_cache, block_tables, seq_lens, scale, cu_seqlens_q, causal, window, sinks, *scales
    )
    q, block_tables, kept, kind = prepare(q, k_cache, v_cache, block_tables, scales)
    num_tokens, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out = torch.empty((num_tokens, num_heads, head_dim), dtype=q.dtype, device=q.device)
    num_seqs, group = len(seq_lens), num_heads // num_kv_heads
    if num_tokens == 0 or num_seqs == 0:
        return out
    name = chip(q.device)
    tile = tile or paged_tile(name, head_dim, q.element_size(), group, -(-num_tokens // num_seqs))
    paged_kernel[(num_kv_heads, num_tokens // (tile.block_m // group) + num_seqs)](
        q, *kept, out, block_tables, seq_lens, cu_seqlens_q, num_seqs, block_tables.stride(0), window or 0, sinks,
        scale * LOG2_E, q.stride(0), q.stride(1), k_cache.stride(1), k_cache.stride(2), KIND=kind,
        BY_BITS=has_conversion(name, kind, q.dtype), GROUP=group, CAUSAL=causal, WINDOW=window is not
        None, HEAD_DIM=head_dim, PADDED_DIM=max(16, triton.next_power_of_2(head_dim)), BLOCK_SIZE=block_size,
        BLOCK_M=tile.block_m, BLOCK_N=tile.block_n, num_warps=tile.num_warps, num_stages=tile.num_stages,
    )  # fmt: skip
    return out
