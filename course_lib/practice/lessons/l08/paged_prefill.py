"""Cases of 08.paged_prefill: the last tokens of each sequence, any number of them, through the block table."""

import torch

from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs
from course_lib.practice.judge.running import Raised

from .paged_answers import Wrong, prefill_token_by_token
from .paged_mistakes import ATTENDS
from .paged_prefill_trials import BEHIND, DECODE, HEADS, LARGE, MANY, NONE_NEW, PACKED, PROMPT, UNTOUCHED, WHOLE, chunks


def paged_prefill(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Attention of the last tokens of each sequence over all of it. q: [num_tokens, num_heads, head_dim]; returns as q."""
    _, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group, out = num_heads // num_kv_heads, torch.zeros_like(q)
    for sequence in range(len(seq_lens)):
        start, end, length = int(cu_seqlens_q[sequence]), int(cu_seqlens_q[sequence + 1]), int(seq_lens[sequence])
        position = torch.arange(length - (end - start), length, device=q.device)  # the new tokens are the last ones
        for head in range(num_heads):
            rows = q[start:end, head] / head_dim**0.5
            top, total, acc = (
                rows.new_full((end - start,), -float("inf")),
                rows.new_zeros(end - start),
                torch.zeros_like(rows),
            )
            for first in range(0, length, block_size):
                block, filled = block_tables[sequence, first // block_size], min(block_size, length - first)
                k, v = k_cache[block, :filled, head // group], v_cache[block, :filled, head // group]
                later = first + torch.arange(filled, device=q.device) > position[:, None]
                scores = (rows @ k.T).masked_fill(later, -float("inf"))
                new_top = torch.maximum(top, scores.amax(1))
                shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top[:, None])
                total = shrink * total + weights.sum(1)
                acc = shrink[:, None] * acc + weights @ v
                top = new_top
            out[start:end, head] = acc / total[:, None]
    return out


def gathers(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Right, but every sequence is made one piece first."""
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
"""What stands where nobody wrote: in `zeros_like`, in `empty_like`."""


def is_cut_short(answer, found):
    """Whether of a chunk the first rows are right, and the others were never written."""
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
            "It is the last token, and sees all of them. A decode step is a chunk of one.",
            DECODE,
        ),
        Property(
            "A whole prompt: each token sees itself and what is before it",
            "Nothing is cached yet: row i stands at position i.",
            PROMPT,
        ),
        Property(
            "The new tokens are the last of the sequence",
            "With `new` tokens of `length`, row i stands at position length - new + i, and sees all that was cached "
            "before.",
            BEHIND,
        ),
        Property(
            "Rows of several sequences stand side by side",
            "Sequence i has the rows from cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1, and its own row of the table.",
            PACKED,
        ),
        Property(
            "A sequence may have no new tokens in this step",
            "Two equal numbers in cu_seqlens_q: no row is its own.",
            NONE_NEW,
        ),
        Property(
            "Query heads that share a KV head use that one",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "A chunk may be longer than a tile",
            "A kernel takes some rows at a time: the grid has as many tiles as the longest chunk of the step needs.",
            MANY,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "The keys of a sequence are never gathered in one piece",
            "Read the blocks where they are, a block at a time.",
            WHOLE,
        ),
        Property(
            "What is handed in stays as it is",
            "The caches hold everybody's text, and the next layer reads the same table.",
            UNTOUCHED,
        ),
        *rungs(chunks([3], [2]), chunks([4, 2], [2, 1], heads=2)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and the like write into the caller's tensors. Make new ones.",
            Wrong(scales_q_in_place=True),
            is_made_by=writes_into(UNTOUCHED),
        ),
        OUTSIDE,
        rounded(paged_prefill, [*BEHIND, *PACKED, *HEADS]),
        Mistake(
            "there is no causal mask, or it hides nothing.",
            "A new token sees only tokens at its own position and before. `seq_lens` counts the new tokens too: row i stands at "
            "length - new + i, not at length + i.",
            Wrong(causal=False),
        ),
        Mistake(
            "a token sees the one after it.",
            "Mask where the key's position is greater than the row's.",
            Wrong(position=lambda i, past, start: past + i + 1),
        ),
        Mistake(
            "positions are counted from the first key.",
            "The new tokens are the last ones: row i stands at position length - new + i.",
            Wrong(position=lambda i, past, start: i),
        ),
        Mistake(
            "positions are counted through the whole batch.",
            "Row i of a sequence is row cu_seqlens_q[sequence] + i of q; only the first of these is its position.",
            (Wrong(position=lambda i, past, start: start + past + i), Wrong(position=lambda i, past, start: start + i)),
        ),
        Mistake(
            "positions are counted by line, not by token.",
            "A tile has a line for each new token and head of the group: the token is line // GROUP, and so is its position.",
            Wrong(by_line=True),
        ),
        Mistake(
            "only what was cached before is read.",
            "The keys and values of the new tokens are in the cache already, behind the older ones: row i sees all up to position length - new + i.",
            (
                Wrong(position=lambda i, past, start: past - 1),
                Wrong(position=lambda i, past, start: past - 1, guards=False),
            ),
        ),
        Mistake(
            "cu_seqlens_q is taken for lengths.",
            "It says where the rows of a sequence begin and end: sequence i has cu_seqlens_q[i + 1] - cu_seqlens_q[i] new tokens.",
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
            "Its key is in the cache already, and distance 0 is allowed.",
            (Wrong(itself=False), Wrong(itself=False, guards=False)),
        ),
        Mistake(
            "what was cached before is not read.",
            "The loop over blocks begins at the sequence's first block, not at the chunk's.",
            (Wrong(only_new=True), Wrong(only_new="blocks"), Wrong(only_new=True, nan_before=True)),
        ),
        Mistake(
            "the mask is the wrong way round.",
            "A row sees what is *not* behind it: keys at positions up to its own.",
            tuple(
                Wrong(later=later, nan_before=nan, guards=guards)
                for later in (0, 1)
                for nan, guards in ((True, False), (False, False), (False, True))
            ),
        ),
        Mistake(
            "only the last block counts.",
            "End each turn with `top = new_top`. With the -inf it began with, exp(top - new_top) is 0, and all before is lost.",
            (Wrong(last_block_only=True), Wrong(last_block_only="of the sequence")),
        ),
        Mistake(
            "only the last new token is computed.",
            "Every new token has a row: a tile of rows, or a program for each.",
            Wrong(only_last=True),
        ),
        Mistake(
            "the rows of another sequence are taken.",
            "Sequence i has the rows from cu_seqlens_q[i] on.",
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
            "With tiles of ROWS lines, a chunk of `new` tokens takes cdiv(new * group, ROWS) tiles: a third number in the grid, "
            "from the longest chunk of the step.",
            is_made_by=is_cut_short,
        ),
        *[mistake for mistake in ATTENDS if not mistake.name.startswith("the mask on the tail")],
        Mistake(
            "the sequence is gathered in one piece.",
            "The output is right, but all keys and values are copied first. Loop over the blocks, and read each where "
            "it is.",
            gathers,
            is_made_by=lambda answer, found: found.trial in WHOLE and not isinstance(found.outcome, Raised),
        ),
    ],
    hints=[
        "The loop of 08.paged_decode over the blocks, with several rows of q at once: the new tokens of a sequence. Each row has a maximum, a sum and an accumulator.",
        "Row i of a sequence stands at position seq_len - new + i, with new = cu_seqlens_q[s + 1] - cu_seqlens_q[s]. The key at offset o of block number j stands at "
        "j * block_size + o. Mask where key > position.",
        "This causal mask hides the tail as well: no row stands behind the last token. What is loaded there must still be a number: mask the load, or cut the slice.",
        "In a kernel: grid (num_seqs, num_kv_heads, tiles); a tile of ROWS lines, line // group the token and line % group the head of the group. Tokens past the "
        "sequence's new ones are masked when q is loaded and out is stored.",
    ],
    rights=[paged_prefill, prefill_token_by_token, *in_triton("l08.solutions.paged_prefill", "paged_prefill")],
    budget_s=BUDGET_S,
    why="A decode step is a chunk of one, so this kernel alone could serve an engine: vLLM's Triton attention is one kernel for both. A tile has rows for several tokens and "
    "all heads of a group, so each block is loaded once for all of them.",
)
