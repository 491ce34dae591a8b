"""paged_decode over quantised caches, for NVIDIA's chips from sm_80 on and queries in half precision. Imports Triton.

The bytes of a cache are read as words of 16 bits, and a word holds numbers of neighbouring channels:

    int8, fp8    | channel 2i | 2i + 1 |                      2 parts
    int4         | 4i | 4i + 1 | 4i + 2 | 4i + 3 |            4 parts, 4 bits each

So part p of all words is a matrix of its own, with the channels p, p + PARTS, p + 2 PARTS, ... A matrix instruction
takes pairs of 16 bits. A pair of words becomes such a pair of each part in its place, by one to four instructions on
32 bits, and no number changes its thread. The scores are the sum over the parts of K and q; each part of V has an
accumulator. Converted byte by byte, an H200 would be limited by the conversions and not by its memory.

The tokens are the 16 rows of a matrix instruction, and the query heads its 8 columns: as rows, the few heads of a KV
head would leave most of it unused. A head of int4 has few words, so there a program takes two KV heads, whose words lie
side by side. A column of q is 0 where the words are those of the other head, and what its column of the output has
there is not written.

    int8, p = 0      w & 0x007F        | 0x4300    is 128 + the low seven bits, in bfloat16
                     w & 0x0080        | 0xC300    is -128, or -256 for a negative number; the sum is the number
    fp8, p = 1       sign, exponent and mantissa move to their places; times 2 ** (127 - 7)
    int4, p = 0      (w & 0x000F ^ 8)  | 0x4300    is 128 + 8 + the number

The 136 of int4 stays: q times 136 is taken off the scores once, and the sum of the weights times 136 off the output.

Source: magic numbers as in FasterTransformer's (arXiv 2211.10017) and Marlin's (2408.11743) conversions.
"""

from functools import lru_cache

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous

from .online import LOWEST  # before Triton: it decides how that runs here

# isort: split
import torch
import triton
import triton.language as tl

from .paged_walk import _first_tile, _part

PARTS = {"int8": 2, "fp8": 2, "int4": 4}
"""Numbers in a word of 16 bits."""


OFFSETS = {torch.bfloat16: 136.0, torch.float16: 24.0}
"""What every number of int4 is larger by after its conversion, and taken off later."""


@lru_cache
def conversions(kind, dtype):
    """NVIDIA's instructions that make of two words in $1 the two numbers of part p in $0, for p = 0 to 3; "" where
    there is no such part. dtype: torch.bfloat16 or torch.float16.
    """
    is_bfloat16, made = dtype == torch.bfloat16, []
    number, one = ("bf16x2", "0x3F803F80") if is_bfloat16 else ("f16x2", "0x3C003C00")
    for p in range(PARTS[kind]):  # lop3: 0xEA is a & b | c, 0x6A is a & b ^ c
        if kind == "int4":
            moved = 16 // PARTS[kind] * p - (0 if is_bfloat16 else 6)
            lines = [f"shr.b32 w, $1, {moved};" if moved >= 0 else f"shl.b32 w, $1, {-moved};"]
            mask, large = ("0x000F000F", "0x43084308") if is_bfloat16 else ("0x03C003C0", "0x4E004E00")
            lines += [f"lop3.b32 $0, w, {mask}, {large}, 0x6A;"]
        else:
            lines = [f"shr.b32 w, $1, {16 // PARTS[kind] * p};"]
            if kind == "fp8":
                one = "0x7B807B80" if is_bfloat16 else "0x5C005C00"  # 2 ** 120, 2 ** 8
                right, mask = (4, "0x07F007F0") if is_bfloat16 else (1, "0x3F803F80")
                move = f"shr.b32 a, $1, {right};" if p else f"shl.b32 a, $1, {8 - right};"
                lines = [move, f"shl.b32 w, $1, {8 - 8 * p};", f"and.b32 a, a, {mask};"]
                lines += ["lop3.b32 a, w, 0x80008000, a, 0xEA;", "mov.b32 b, 0x80008000;"]
            elif is_bfloat16:
                lines += [
                    "lop3.b32 a, w, 0x007F007F, 0x43004300, 0xEA;",
                    "lop3.b32 b, w, 0x00800080, 0xC300C300, 0xEA;",
                ]
            else:
                lines += ["lop3.b32 a, w, 0x00FF00FF, 0x64806480, 0x6A;", "mov.b32 b, 0xE480E480;"]
            lines += [f"mov.b32 one, {one};", f"fma.rn.{number} $0, a, one, b;"]
        made.append("{ .reg .b32 w, a, b, one;\n" + "\n".join(lines) + "\n}")
    return tuple(made) + ("",) * (4 - len(made))


@triton.jit
def numbers(words, STEPS: tl.constexpr, dtype: tl.constexpr):
    """One part of these words. STEPS: its `conversions`."""
    if dtype == tl.bfloat16:
        return tl.inline_asm_elementwise(STEPS, "=r,r", [words], tl.bfloat16, is_pure=True, pack=2)
    else:
        return tl.inline_asm_elementwise(STEPS, "=r,r", [words], tl.float16, is_pure=True, pack=2)


@triton.jit
def load_scales(ptr, is_read, of_second, MASKED: tl.constexpr, HEADS: tl.constexpr, BLOCK_SIZE: tl.constexpr):
    """The scales of a tile's tokens, for each query head those of its KV head: [tokens, 1 or query heads]."""
    if MASKED:
        scale = tl.load(ptr, mask=is_read, other=0.0)[:, None]
    else:
        scale = tl.load(ptr)[:, None]
    if HEADS == 2:
        if MASKED:
            second = tl.load(ptr + BLOCK_SIZE, mask=is_read, other=0.0)[:, None]
        else:
            second = tl.load(ptr + BLOCK_SIZE)[:, None]
        scale = tl.where(of_second[None, :], second, scale)
    return scale


@triton.jit
def _attend_words(
    q0, q1, q2, q3, less, of_second, m_i, l_i, w_i, acc0, acc1, acc2, acc3, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr,
    table_ptr, token_stride, scale_stride, begin, end, kv_len, low, sinks, to_base_2, PARTS: tl.constexpr, HEADS:
    tl.constexpr, S0: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, S3: tl.constexpr, MASKED: tl.constexpr, WINDOW:
    tl.constexpr, WORDS: tl.constexpr, PADDED: tl.constexpr, BLOCK_SIZE: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """As paged_walk._attend for one token. begin: a multiple of BLOCK_N. MASKED: not every token is seen.

    l_i, w_i: [BLOCK_N, columns], sums of the weights, with and without the scales of V; they are added up at the end.
    """
    offsets, dims = tl.arange(0, BLOCK_N), tl.arange(0, PADDED)
    dtype: tl.constexpr = q0.dtype
    block_ids = tl.load(table_ptr + (begin + offsets) // BLOCK_SIZE, mask=begin + offsets < kv_len, other=0).to(
        tl.int32
    )
    for start in range(begin, end, BLOCK_N):
        tokens, blocks = start + offsets, block_ids.to(tl.int64)
        # In a tile of whole blocks the places are the same each time, so they are computed once.
        places = (offsets if BLOCK_N % BLOCK_SIZE == 0 else tokens) % BLOCK_SIZE
        following = tokens + BLOCK_N  # their ids now, as in paged_walk
        block_ids = tl.load(table_ptr + following // BLOCK_SIZE, mask=following < kv_len, other=0).to(tl.int32)
        is_read = tokens < kv_len
        if WINDOW:
            is_read = is_read & ((tokens >= low) | (tokens < sinks))
        at = (blocks * (BLOCK_SIZE * token_stride))[:, None] + (places[:, None] * token_stride + dims[None, :])
        k_at, v_at = k_ptr + at, v_ptr + tl.trans(at)  # V transposed: its channels are the rows
        scales_at = blocks * scale_stride + places
        if MASKED:
            k = tl.load(k_at, mask=is_read[:, None] & (dims < WORDS)[None, :], other=0)
            v = tl.load(v_at, mask=is_read[None, :] & (dims < WORDS)[:, None], other=0)
        elif WORDS == PADDED:
            k, v = tl.load(k_at), tl.load(v_at)
        else:
            k = tl.load(k_at, mask=(dims < WORDS)[None, :], other=0)
            v = tl.load(v_at, mask=(dims < WORDS)[:, None], other=0)
        k_scale = load_scales(k_scale_ptr + scales_at, is_read, of_second, MASKED, HEADS, BLOCK_SIZE)
        v_scale = load_scales(v_scale_ptr + scales_at, is_read, of_second, MASKED, HEADS, BLOCK_SIZE)
        scores = tl.dot(numbers(k, S0, dtype), q0, less)
        scores = tl.dot(numbers(k, S1, dtype), q1, scores)
        if PARTS == 4:
            scores = tl.dot(numbers(k, S2, dtype), q2, scores)
            scores = tl.dot(numbers(k, S3, dtype), q3, scores)
        scores = scores * (k_scale * to_base_2)
        if MASKED:
            scores = tl.where(is_read[:, None], scores, float("-inf"))
        m_new = tl.maximum(m_i, tl.max(scores, 0))
        weights, alpha = tl.exp2(scores - m_new[None, :]), tl.exp2(m_i - m_new)[None, :]
        m_i, l_i = m_new, l_i * alpha + weights
        weights = (weights * v_scale).to(dtype)
        if PARTS == 4:
            w_i = w_i * alpha + weights
        acc0 = tl.dot(numbers(v, S0, dtype), weights, acc0 * alpha)
        acc1 = tl.dot(numbers(v, S1, dtype), weights, acc1 * alpha)
        if PARTS == 4:
            acc2 = tl.dot(numbers(v, S2, dtype), weights, acc2 * alpha)
            acc3 = tl.dot(numbers(v, S3, dtype), weights, acc3 * alpha)
    return m_i, l_i, w_i, acc0, acc1, acc2, acc3


@triton.jit(
    do_not_specialize=["table_stride", "window", "sinks"], do_not_specialize_on_alignment=["table_ptr", "seq_lens_ptr"]
)
def quantised_decode_kernel(
    q_ptr, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr, out_ptr, partial_ptr, lse_ptr, table_ptr, seq_lens_ptr,
    table_stride, window, sinks, to_base_2, q_stride, q_head_stride, token_stride, head_stride, PARTS: tl.constexpr,
    HEADS: tl.constexpr, S0: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, S3: tl.constexpr, OFFSET: tl.constexpr,
    GROUP: tl.constexpr, SPLIT: tl.constexpr, WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr, PADDED: tl.constexpr,
    BLOCK_SIZE: tl.constexpr, COLUMNS: tl.constexpr, BLOCK_N: tl.constexpr, PDL: tl.constexpr = False,
):  # fmt: skip
    """As paged.decode_kernel, with caches of words: int16 [num_blocks, block_size, num_kv_heads, HEAD_DIM / PARTS]."""
    wait_for_previous(PDL)
    let_next_start(PDL)
    kv_head, part, sequence = tl.program_id(0) * HEADS, tl.program_id(1), tl.program_id(2)
    kv_heads, num_parts = tl.num_programs(0) * HEADS, tl.num_programs(1)
    seq_len = tl.load(seq_lens_ptr + sequence).to(tl.int32)
    first = _first_tile(seq_len, window, WINDOW, BLOCK_N)
    tokens = _part(seq_len - first, num_parts, BLOCK_N)
    begin = first + part * tokens
    end = tl.minimum(begin + tokens, seq_len)
    if SPLIT:
        if begin >= end:
            return
    OF_HEAD: tl.constexpr = HEAD_DIM // PARTS
    WORDS: tl.constexpr = HEADS * OF_HEAD
    columns, dims = tl.arange(0, COLUMNS), tl.arange(0, PADDED)
    heads, of_second = kv_head * GROUP + columns, columns >= GROUP
    inside = (columns < HEADS * GROUP)[None, :] & (columns[None, :] // GROUP == dims[:, None] // OF_HEAD)
    channels = dims[:, None] % OF_HEAD * PARTS
    q_ptr += sequence.to(tl.int64) * q_stride + heads[None, :] * q_head_stride + channels
    q0, q1 = tl.load(q_ptr, mask=inside, other=0.0), tl.load(q_ptr + 1, mask=inside, other=0.0)
    m_i, l_i = tl.full([COLUMNS], LOWEST, tl.float32), tl.zeros([BLOCK_N, COLUMNS], tl.float32)
    acc0 = tl.zeros([PADDED, COLUMNS], tl.float32)
    q2, q3, acc1, acc2, acc3, w_i, less = q0, q1, acc0, acc0, acc0, l_i, l_i  # of two parts the last are not used
    if PARTS == 4:
        q2, q3 = tl.load(q_ptr + 2, mask=inside, other=0.0), tl.load(q_ptr + 3, mask=inside, other=0.0)
        total = q0.to(tl.float32) + q1.to(tl.float32) + q2.to(tl.float32) + q3.to(tl.float32)
        less = tl.broadcast_to(tl.sum(total, 0)[None, :] * -OFFSET, [BLOCK_N, COLUMNS])
    k_ptr += kv_head * head_stride
    v_ptr += kv_head * head_stride
    k_scale_ptr += kv_head * BLOCK_SIZE
    v_scale_ptr += kv_head * BLOCK_SIZE
    scale_stride, low = kv_heads * BLOCK_SIZE, seq_len - window
    table_ptr += sequence.to(tl.int64) * table_stride
    full = begin
    if WINDOW:
        before = tl.where(part == 0, tl.minimum(sinks, first), 0)
        m_i, l_i, w_i, acc0, acc1, acc2, acc3 = _attend_words(
            q0, q1, q2, q3, less, of_second, m_i, l_i, w_i, acc0, acc1, acc2, acc3, k_ptr, v_ptr, k_scale_ptr,
            v_scale_ptr, table_ptr, token_stride, scale_stride, before * 0, before, before, low, sinks, to_base_2,
            PARTS, HEADS, S0, S1, S2, S3, True, WINDOW, WORDS, PADDED, BLOCK_SIZE, BLOCK_N,
        )  # fmt: skip
    else:
        full += (end - begin) // BLOCK_N * BLOCK_N
        m_i, l_i, w_i, acc0, acc1, acc2, acc3 = _attend_words(
            q0, q1, q2, q3, less, of_second, m_i, l_i, w_i, acc0, acc1, acc2, acc3, k_ptr, v_ptr, k_scale_ptr,
            v_scale_ptr, table_ptr, token_stride, scale_stride, begin, full, seq_len, low, sinks, to_base_2, PARTS,
            HEADS, S0, S1, S2, S3, False, WINDOW, WORDS, PADDED, BLOCK_SIZE, BLOCK_N,
        )  # fmt: skip
    m_i, l_i, w_i, acc0, acc1, acc2, acc3 = _attend_words(
        q0, q1, q2, q3, less, of_second, m_i, l_i, w_i, acc0, acc1, acc2, acc3, k_ptr, v_ptr, k_scale_ptr, v_scale_ptr,
        table_ptr, token_stride, scale_stride, full, end, seq_len, low, sinks, to_base_2, PARTS, HEADS, S0, S1, S2, S3,
        True, WINDOW, WORDS, PADDED, BLOCK_SIZE, BLOCK_N,
    )  # fmt: skip
    l_i = tl.sum(l_i, 0)
    line = sequence.to(tl.int64) * (kv_heads * GROUP) + heads
    if SPLIT:
        line = line * num_parts + part
        tl.store(lse_ptr + line, m_i + tl.log2(l_i), mask=columns < HEADS * GROUP)
        to = partial_ptr + line[None, :] * HEAD_DIM + channels
    else:
        to = out_ptr + line[None, :] * HEAD_DIM + channels
    over = tl.where(l_i > 0, l_i, 1.0)[None, :]
    if PARTS == 4:
        less = tl.sum(w_i, 0)[None, :] * OFFSET
        acc0, acc1, acc2, acc3 = acc0 - less, acc1 - less, acc2 - less, acc3 - less
        tl.store(to + 2, (acc2 / over).to(to.dtype.element_ty), mask=inside)
        tl.store(to + 3, (acc3 / over).to(to.dtype.element_ty), mask=inside)
    tl.store(to, (acc0 / over).to(to.dtype.element_ty), mask=inside)
    tl.store(to + 1, (acc1 / over).to(to.dtype.element_ty), mask=inside)


def launch(grid, q, kept, outputs, tables, seq_lens, *, window, sinks, to_base_2, kind, tile):
    """The kernel on a grid (num_kv_heads, splits, num_seqs). kept: k, v and their scales; outputs: out, partial, lse;
    tables, seq_lens, window, sinks: as in paged_decode. `tiles.quantised_tile` says where it can run.
    """
    head_dim, parts, (k, v) = q.shape[-1], PARTS[kind], (x.view(torch.int16) for x in kept[:2])
    group = q.shape[1] // grid[0]
    heads = 2 if kind == "int4" and grid[0] % 2 == 0 and head_dim <= 128 and 2 * group <= 16 else 1
    steps = dict(zip(("S0", "S1", "S2", "S3"), conversions(kind, q.dtype)))
    quantised_decode_kernel[grid[0] // heads, grid[1], grid[2]](
        q, k, v, *kept[2:], *outputs, tables, seq_lens, tables.stride(0), window or 0, sinks, to_base_2,
        q.stride(0), q.stride(1), k.stride(1), k.stride(2), PARTS=parts, HEADS=heads, **steps,
        OFFSET=OFFSETS[q.dtype], GROUP=group, SPLIT=grid[1] > 1, WINDOW=window is not None, HEAD_DIM=head_dim,
        PADDED=max(16, triton.next_power_of_2(heads * head_dim // parts)), BLOCK_SIZE=k.shape[1],
        COLUMNS=max(8, triton.next_power_of_2(heads * group)), BLOCK_N=tile.block_n, num_warps=tile.num_warps,
        num_stages=tile.num_stages, **pdl(q.device),
    )  # fmt: skip
