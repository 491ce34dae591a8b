"""08.paged_prefill: attention of the last tokens of each sequence, any number of them, through the block table."""

import torch

from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, STORES, overwritten

from .paged_answers import Wrong, prefill_token_by_token
from .paged_mistakes import MISTAKES
from .paged_prefill_trials import (
    DECODE,
    HEADS,
    LARGE,
    MANY,
    NONE_NEW,
    PACKED,
    PROMPT,
    STALE,
    STAYS,
    UNTOUCHED,
    WHOLE,
    WIDE,
    WITH_CACHED,
    chunks,
)
from .paged_trials import STALE_MEANING, STALE_TITLE, reads_stale, takes_rows_for_short


def paged_prefill(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Attention of the last tokens of each sequence over all its tokens. q: [num_tokens, num_heads, head_dim]."""
    _, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group, out = num_heads // num_kv_heads, torch.zeros_like(q)
    for sequence in range(len(seq_lens)):
        start, end, length = int(cu_seqlens_q[sequence]), int(cu_seqlens_q[sequence + 1]), int(seq_lens[sequence])
        position = torch.arange(length - (end - start), length, device=q.device)  # the new tokens are the last ones
        for head in range(num_heads):
            rows = q[start:end, head] / head_dim**0.5
            m_i, l_i = rows.new_full((end - start,), -float("inf")), rows.new_zeros(end - start)
            acc = torch.zeros_like(rows)
            for first in range(0, length, block_size):
                block, filled = block_tables[sequence, first // block_size], min(block_size, length - first)
                k, v = k_cache[block, :filled, head // group], v_cache[block, :filled, head // group]
                later = first + torch.arange(filled, device=q.device) > position[:, None]
                scores = (rows @ k.T).masked_fill(later, -float("inf"))
                new_m = torch.maximum(m_i, scores.amax(1))
                alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m[:, None])
                l_i = alpha * l_i + weights.sum(1)
                acc = alpha[:, None] * acc + weights @ v
                m_i = new_m
            out[start:end, head] = acc / l_i[:, None]
    return out


def gathers(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """The output is right, but the keys and values of every sequence are gathered first."""
    out, group, ends = torch.zeros_like(q), q.shape[1] // k_cache.shape[2], cu_seqlens_q.tolist()
    for s, length in enumerate(seq_lens.tolist()):
        rows = q[ends[s] : ends[s + 1]]
        k, v = (
            cache[block_tables[s].clamp(min=0)].flatten(0, 1)[:length].repeat_interleave(group, 1)
            for cache in (k_cache, v_cache)
        )
        positions = torch.arange(length, device=q.device)
        later = positions > positions[length - len(rows) :, None]
        scores = torch.einsum("nhd,thd->hnt", rows, k).div(q.shape[2] ** 0.5).masked_fill(later, -float("inf"))
        out[ends[s] : ends[s + 1]] = torch.einsum("hnt,thd->nhd", scores.softmax(2), v)
    return out


UNWRITTEN = 0.0, float("nan")
"""What memory that was never written holds: of `zeros_like`, of `empty_like`."""


def is_cut_short(answer, found):
    """Whether the first rows of a chunk are right and the others were never written."""
    mine = found.outcome
    if found.trial not in [*PROMPT, *MANY] or not isinstance(mine, torch.Tensor):
        return False
    want = found.trial.outcome(paged_prefill)[0]
    right = ~differing(want, mine).flatten(1).any(1) if mine.shape == want.shape else torch.tensor([False])
    left = mine[~right]
    return bool(right[0]) and bool((left.isnan() | (left == 0)).all())


PAGED_PREFILL = Exercise(
    id="08.paged_prefill",
    title="A chunk of a prompt over a paged cache",
    name="paged_prefill",
    cases="steps",
    properties=[
        Property(
            "One new token a sequence: decode",
            "The new token is the last one and sees all tokens. A decode step is a chunk of one token.",
            DECODE,
        ),
        Property(
            "A whole prompt: each token sees itself and all tokens before it",
            "No earlier tokens are cached: row i has position i.",
            PROMPT,
        ),
        Property(
            "The new tokens are the last of the sequence",
            "With `new` new tokens in a sequence of `length`, row i has position length - new + i. It sees all tokens "
            "that were cached before.",
            WITH_CACHED,
        ),
        Property(
            "The rows of several sequences are packed",
            "Sequence i has the rows from cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1, and its own row of the block "
            "table.",
            PACKED,
        ),
        Property(
            "A row of the block table may be wider than the longest sequence needs",
            "A server makes it as wide as its longest possible sequence: the next row begins at "
            "`block_tables.stride(0)`.",
            WIDE,
        ),
        Property(STALE_TITLE, STALE_MEANING, STALE),
        Property(
            "A sequence may have no new tokens in this step",
            "Two equal numbers in cu_seqlens_q mean that it has no rows.",
            NONE_NEW,
        ),
        Property(
            "Query heads of a group use their KV head",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "A chunk may be longer than a tile",
            "A kernel takes a tile of rows at a time. The grid needs enough tiles for the longest chunk of the step.",
            MANY,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "The keys of a sequence are never gathered into one tensor",
            "Read one block at a time from the cache.",
            WHOLE,
        ),
        Property(
            "The inputs are not changed",
            "The caches hold the tokens of all requests, and the next layer reads the same block table.",
            UNTOUCHED,
        ),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs(
            chunks([3], [2]),
            chunks([4, 2], [2, 1], heads=2),
            orders=[chunks([3, 4], [2, 3], heads=3), chunks([3, 40], [2, 35], block_size=16)],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and other in-place operations write into the caller's tensors. Make new tensors.",
            Wrong(scales_q_in_place=True),
            is_made_by=writes_into(UNTOUCHED),
        ),
        takes_rows_for_short(WIDE),
        OUTSIDE,
        overwritten(STAYS),
        reads_stale(STALE),
        rounded(paged_prefill, [*WITH_CACHED, *PACKED, *HEADS]),
        Mistake(
            "there is no causal mask, or it masks no key.",
            "A new token sees only tokens at its own position and before it. `seq_lens` includes the new tokens: row "
            "i has position length - new + i, not length + i.",
            Wrong(causal=False),
        ),
        Mistake(
            "a token sees the next token.",
            "Mask keys whose position is greater than the row's.",
            Wrong(position=lambda i, past, start: past + i + 1),
        ),
        Mistake(
            "positions are counted from the first key.",
            "The new tokens are the last ones: row i has position length - new + i.",
            Wrong(position=lambda i, past, start: i),
        ),
        Mistake(
            "positions are counted over the whole batch.",
            "Row i of a sequence is row cu_seqlens_q[sequence] + i of q. Its position is length - new + i, which does "
            "not depend on other sequences.",
            (Wrong(position=lambda i, past, start: start + past + i), Wrong(position=lambda i, past, start: start + i)),
        ),
        Mistake(
            "positions are counted by line, not by token.",
            "A tile has a line for each new token and head of the group. The token is line // GROUP, and its position "
            "follows from that.",
            (Wrong(by_line=True), Wrong(by_line="in tiles")),
        ),
        Mistake(
            "only what was cached before is read.",
            "The keys and values of the new tokens are in the cache already, after the earlier ones. Row i sees all "
            "keys up to position length - new + i.",
            (
                Wrong(position=lambda i, past, start: past - 1),
                Wrong(position=lambda i, past, start: past - 1, guards=False),
            ),
        ),
        Mistake(
            "cu_seqlens_q is used as lengths.",
            "It holds where the rows of a sequence begin and end: sequence i has cu_seqlens_q[i + 1] - "
            "cu_seqlens_q[i] new tokens.",
            (
                *[Wrong(new=lambda ends, s: ends[s + 1], no_row=error) for error in (IndexError, RuntimeError)],
                *[
                    Wrong(new=lambda ends, s: ends[s], first_row=lambda ends, s: sum(ends[:s]), unwritten=fill)
                    for fill in UNWRITTEN
                ],
            ),
        ),
        Mistake(
            "a token does not see itself.",
            "Its key is in the cache already, and a key at the query's own position is seen.",
            (Wrong(itself=False), Wrong(itself=False, guards=False)),
        ),
        Mistake(
            "keys that were cached before are not read.",
            "The loop over blocks begins at the first block of the sequence, not of the chunk.",
            (Wrong(only_new=True), Wrong(only_new="blocks"), Wrong(only_new=True, nan_before=True)),
        ),
        Mistake(
            "the mask is inverted.",
            "A row sees the keys that are *not* after it: those at positions up to its own.",
            tuple(
                Wrong(later=later, nan_before=nan, guards=guards)
                for later in (0, 1)
                for nan, guards in ((True, False), (False, False), (False, True))
            ),
        ),
        Mistake(
            "only the last block counts.",
            "End each iteration with `m_i = new_m`. If `m_i` stays at its initial -inf, exp(m_i - new_m) is 0, "
            "and the sums so far are lost.",
            (Wrong(last_block_only=True), Wrong(last_block_only="of the sequence")),
        ),
        Mistake(
            "only the last new token is computed.",
            "Every new token has a row. Compute a tile of rows, or use a program for each row.",
            Wrong(only_last=True),
        ),
        Mistake(
            "the rows of another sequence are used.",
            "The rows of sequence i begin at cu_seqlens_q[i].",
            (
                Wrong(first_row=lambda ends, s: s),
                Wrong(first_row=lambda ends, s: ends[s + 1]),
                *[Wrong(first_row=lambda ends, s: 0, unwritten=fill) for fill in UNWRITTEN],
                Wrong(first_row=lambda ends, s: 0, writes=lambda ends, s: ends[s]),
                *[Wrong(writes=lambda ends, s: 0, unwritten=fill) for fill in UNWRITTEN],
            ),
        ),
        Mistake(
            "only the first rows of a sequence are computed.",
            "With tiles of ROWS lines, a chunk of `new` tokens needs cdiv(new * group, ROWS) tiles. Add a third "
            "dimension to the grid, for the longest chunk of the step.",
            is_made_by=is_cut_short,
        ),
        *[mistake for mistake in MISTAKES if not mistake.name.startswith("the mask on the tail")],
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
        "The loop of 08.paged_decode over the blocks, with several rows of q at once: the new tokens of a sequence. "
        "Each row has a maximum, a sum and an accumulator.",
        "Row i of a sequence has position seq_len - new + i, with new = cu_seqlens_q[s + 1] - cu_seqlens_q[s]. The "
        "key at offset o of block number j has position j * block_size + o. Mask where key > position.",
        "The causal mask excludes the tail too, because no row has a position after the last token. But the values "
        "loaded there must be numbers: mask the load, or shorten the slice.",
        "In a kernel: grid (num_seqs, num_kv_heads, tiles); a tile of ROWS lines, line // group the token and line % "
        "group the head of the group. Lines after the last new token are masked when q is loaded and out is stored.",
    ],
    rights=[paged_prefill, prefill_token_by_token, *in_triton("l08.solutions.paged_prefill", "paged_prefill")],
    budget_s=BUDGET_S,
    why="A decode step is a chunk of one, so this kernel alone is enough for an engine: vLLM's Triton attention is "
    "one kernel for both. A tile has rows for several tokens and all heads of a group, so each block is loaded "
    "once for all of them.",
)
