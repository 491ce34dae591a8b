"""08.paged_decode: attention of one new token of each sequence, read through the block table."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, STORES, overwritten

from .paged_answers import Wrong, decode_column_by_column, decode_token_by_token
from .paged_decode_trials import (
    BATCH,
    EMPTY,
    HEADS,
    LARGE,
    PADDED,
    SEVERAL,
    SIMPLE,
    STALE,
    STAYS,
    TAILS,
    UNTOUCHED,
    WHOLE,
    WIDE,
    decodes,
)
from .paged_mistakes import MISTAKES, changes_inputs, empty_is_nan, leaves_out_the_new_token
from .paged_trials import STALE_MEANING, STALE_TITLE, reads_stale, takes_rows_for_short


def paged_decode(q, k_cache, v_cache, block_tables, seq_lens):
    """Attention of one new token a sequence. q: [num_seqs, num_heads, head_dim]; returns as q."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    out = torch.zeros_like(q)
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        for kv_head in range(num_kv_heads):
            # these query heads share the KV head: its keys are read once for all of them
            heads = slice(kv_head * group, (kv_head + 1) * group)
            rows = q[sequence, heads] / head_dim**0.5
            m_i, l_i, acc = rows.new_full((group,), -float("inf")), rows.new_zeros(group), torch.zeros_like(rows)
            for first in range(0, length, block_size):
                block = block_tables[sequence, first // block_size]
                filled = min(block_size, length - first)  # later slots hold tokens of other sequences
                k, v = k_cache[block, :filled, kv_head], v_cache[block, :filled, kv_head]
                scores = rows @ k.T
                new_m = torch.maximum(m_i, scores.amax(1))
                alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m[:, None])
                l_i = alpha * l_i + weights.sum(1)
                acc = alpha[:, None] * acc + weights @ v
                m_i = new_m
            if length > 0:
                out[sequence, heads] = acc / l_i[:, None]
    return out


def gathers(q, k_cache, v_cache, block_tables, seq_lens):
    """The output is right, but the keys and values of every sequence are gathered first."""
    out, group = torch.zeros_like(q), q.shape[1] // k_cache.shape[2]
    for s, length in enumerate(seq_lens.tolist()):
        k, v = (
            cache[block_tables[s].clamp(min=0)].flatten(0, 1)[:length].repeat_interleave(group, 1)
            for cache in (k_cache, v_cache)
        )
        weights = torch.einsum("hd,thd->ht", q[s], k).div(q.shape[2] ** 0.5).softmax(1)
        out[s] = torch.einsum("ht,thd->hd", weights, v)
    return out


PAGED_DECODE = Exercise(
    id="08.paged_decode",
    title="Decode through the block table",
    name="paged_decode",
    cases="steps",
    properties=[
        Property(
            "One full block: ordinary attention of one query, scaled by the square root of head_dim",
            "softmax(q · k / √d) over the tokens of the block that the table names.",
            SIMPLE,
        ),
        Property(
            "Several blocks make one softmax",
            "Go through the row of the block table with the online softmax: a maximum, a sum and an accumulator.",
            SEVERAL,
        ),
        Property(
            "Of the last block, only the filled slots count",
            "The slots after the last token hold tokens of another sequence.",
            TAILS,
        ),
        Property(
            "Each sequence uses its own row of the block table",
            "A step has sequences of many users. With another row, a user would get another user's tokens.",
            BATCH,
        ),
        Property(
            "A row of the block table may be wider than the longest sequence needs",
            "A server makes it as wide as its longest possible sequence: the next row begins at "
            "`block_tables.stride(0)`.",
            WIDE,
        ),
        Property(
            "Query heads of a group use their KV head",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "An entry of -1 in the block table is padding, not a block",
            "All rows are as long as the longest, and shorter ones are padded with -1. In torch, index -1 is the last "
            "block, of another sequence. In a kernel it is outside of the cache.",
            PADDED,
        ),
        Property(STALE_TITLE, STALE_MEANING, STALE),
        Property(
            "A sequence of no tokens gives zeros",
            "A captured CUDA graph is padded with empty sequences. A nan in one of them spreads.",
            EMPTY,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "The keys of a sequence are never gathered into one tensor",
            "Gathering copies all keys and values in every layer of every step. Read each block from the cache.",
            WHOLE,
        ),
        Property(
            "The inputs are not changed",
            "The caches hold the tokens of all requests, and the next layer reads the same block table.",
            UNTOUCHED,
        ),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs(
            decodes([1]),
            decodes([3, 2], heads=2),
            orders=[decodes([1, 3], heads=3), decodes([2, 0, 3], heads=6, kv_heads=2)],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        changes_inputs(Wrong(scales_q_in_place=True), UNTOUCHED),
        takes_rows_for_short(WIDE),
        OUTSIDE,
        overwritten(STAYS),
        reads_stale(STALE),
        rounded(paged_decode, [*SEVERAL, *BATCH, *HEADS]),
        *MISTAKES,
        empty_is_nan(Wrong(guards=False)),
        leaves_out_the_new_token(Wrong(length=lambda n: n - 1)),
        Mistake(
            "only the last block counts.",
            "All blocks of the row hold tokens of the sequence: loop over them, and end each iteration with `m_i = "
            "new_m`. If `m_i` stays at its initial -inf, exp(m_i - new_m) is 0, and the sums so far are lost.",
            Wrong(last_block_only=True),
        ),
        Mistake(
            "the block of an entry of -1 is read.",
            "Masking its scores is not enough: 0 times nan is nan. End the loop after the last block of the sequence, "
            "at (length + block_size - 1) // block_size, or read another block there: `block_tables.clamp(min=0)`.",
            is_made_by=lambda answer, found: (
                found.trial in PADDED and isinstance(found.outcome, torch.Tensor) and bool(found.outcome.isnan().any())
            ),
        ),
        Mistake(
            "the sequence is gathered into one tensor.",
            "The output is right, but all keys and values are copied first. Loop over the blocks, and read each from "
            "the cache.",
            gathers,
            is_made_by=lambda answer, found: found.trial in WHOLE and not isinstance(found.outcome, Raised),
        ),
        *STORES,
    ],
    hints=[
        "Three loops: sequences, KV heads, blocks. In a kernel, each iteration of the first two is a program. The "
        "innermost loop is the online softmax of lesson 06.",
        "Block number j of sequence s is block_tables[s, j]; its keys for one KV head are k_cache[block, :, kv_head], "
        "of shape [block_size, head_dim].",
        "It holds min(block_size, length - j * block_size) tokens of the sequence. In a kernel: load the whole block "
        "with a mask, and set the scores of the other slots to -inf.",
        "The query heads of KV head g are g * group to (g + 1) * group - 1, group = num_heads // num_kv_heads: take "
        "them as the rows of one small matrix, so that a key is loaded once for all of them. In a kernel: ROWS = "
        "triton.next_power_of_2(group) rows, with those from GROUP on masked.",
        "In a kernel, the address of number d of a token: (slot * num_kv_heads + kv_head) * head_dim + d, with slot = "
        "block * block_size + offset. Products without a matrix unit: scores = tl.sum(q[:, None, :] * k[None, :, :], "
        "2), and tl.sum(v[None, :, :] * weights[:, :, None], 1), with v as the first factor.",
    ],
    rights=[
        paged_decode,
        decode_column_by_column,
        decode_token_by_token,
        *in_triton("l08.solutions.paged_decode", "paged_decode"),
        *in_triton("l08.kernel_answers", "decode_by_rows"),
    ],
    budget_s=BUDGET_S,
    why="A program of the kernel is one iteration of the two outer loops. The query heads of a group are rows of one "
    "matrix, so each key and value is loaded once for all of them. The blocks are read from the cache, so nothing "
    "is copied. The decode kernels of vLLM and FlashInfer do the same.",
)
