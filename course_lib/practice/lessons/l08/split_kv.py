"""Cases of 08.split_kv: a long context in parts, and their merge."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs

from .paged_answers import Wrong, split_as_rows
from .paged_mistakes import ATTENDS
from .split_kv_answers import (
    added,
    by_length,
    by_lse,
    by_lse_unguarded,
    mean,
    mean_of_used,
    overflows,
    rounded_down,
    undivided,
    unguarded,
)
from .split_kv_trials import BATCH, EMPTY, HEADS, LARGE, ONE, SAME, SEVERAL, UNEVEN, UNTOUCHED, splits


def split_kv(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """(out, partial, lse) of decode in parts. partial: [num_seqs, num_heads, num_splits, head_dim]; lse: [num_seqs, num_heads, num_splits]."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    partial, lse = (
        q.new_zeros(num_seqs, num_heads, num_splits, head_dim),
        q.new_full((num_seqs, num_heads, num_splits), -float("inf")),
    )
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        tokens = -(-(-(-length // num_splits)) // block_size) * block_size  # of a part: whole blocks
        for head in range(num_heads):
            for part in range(num_splits):
                top, total, acc = q.new_tensor(-float("inf")), q.new_tensor(0.0), q.new_zeros(head_dim)
                end = min((part + 1) * tokens, length)
                for first in range(part * tokens, end, block_size):
                    block, filled = block_tables[sequence, first // block_size], min(block_size, end - first)
                    k, v = k_cache[block, :filled, head // group], v_cache[block, :filled, head // group]
                    scores = k @ q[sequence, head] / head_dim**0.5
                    new_top = torch.maximum(top, scores.max())
                    shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top)
                    total, acc, top = shrink * total + weights.sum(), shrink * acc + weights @ v, new_top
                if total > 0:
                    partial[sequence, head, part], lse[sequence, head, part] = acc / total, top + total.log()
    top = lse.amax(-1, keepdim=True)
    sums = torch.exp(lse - torch.where(top == -float("inf"), 0.0, top))  # of each part, under one maximum
    shares = sums / sums.sum(-1, keepdim=True).clamp(min=1e-30)
    return (shares[..., None] * partial).sum(-2), partial, lse


SPLIT_KV = Exercise(
    id="08.split_kv",
    title="A long context in parts",
    name="split_kv",
    cases="steps",
    properties=[
        Property(
            "One part is the whole: its output, and the log of the sum of exponentials",
            "lse = maximum + log(sum), in natural logarithms, of the scaled scores.",
            ONE,
        ),
        Property(
            "Each part attends to its own whole blocks, and the parts are merged by their sums",
            "Part p takes the tokens from p * tokens on, with tokens = length / "
            "num_splits, rounded up to whole blocks.",
            SEVERAL,
        ),
        Property(
            "The last part that holds anything may be shorter",
            "It ends where the sequence ends, in the middle of a block.",
            UNEVEN,
        ),
        Property(
            "A part of no tokens gives zeros and -inf, and changes nothing",
            "The grid is the same for all; a short sequence leaves parts empty.",
            EMPTY,
        ),
        Property(
            "Every sequence is cut by its own length",
            "A part of a long text is longer than one of a short text.",
            BATCH,
        ),
        Property(
            "Each head has weights of its own",
            "Query heads of a group share keys and values, and not their sums.",
            HEADS,
        ),
        Property(
            "Log-sum-exps of hundreds do not overflow",
            "Only their differences matter: take the largest out first.",
            LARGE,
        ),
        Property(
            "The output is the same for any number of parts",
            "Nothing is approximated: the number is chosen for speed alone.",
            SAME,
        ),
        Property(
            "What is handed in stays as it is",
            "The caches hold everybody's text, and the next layer reads the same table.",
            UNTOUCHED,
        ),
        *rungs(splits([4], 2), splits([3, 8], 2, heads=2)),
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
        rounded(split_kv, [*SEVERAL, *BATCH, *HEADS]),
        Mistake(
            "merged without weights.",
            "Each part is an average already, over other keys. Weigh it by its share of the sum: exp(lse) over the sum of all exp(lse).",
            (Wrong(merge=mean), Wrong(merge=mean_of_used)),
        ),
        Mistake(
            "the log-sum-exps themselves are the weights.",
            "lse is a logarithm; the sum is exp(lse).",
            (Wrong(merge=by_lse), Wrong(merge=by_lse_unguarded)),
        ),
        Mistake(
            "a part does not end with the sequence.",
            "The last part that holds anything ends at `min((p + 1) * tokens, length)`; behind that stands another text, and the table has no more blocks.",
            (
                Wrong(cuts=False, outside=IndexError),
                Wrong(cuts=False, row=lambda tables, s: tables[s:].flatten(), outside=OutOfBounds),
            ),
        ),
        Mistake(
            "the parts are added.",
            "Each part is divided by its own sum already: multiply it by its share before you add.",
            Wrong(merge=added),
        ),
        Mistake(
            "the weights do not sum to 1.",
            "Divide by the sum over all parts.",
            (Wrong(merge=undivided), Wrong(merge=lambda partial, lse: (lse.exp()[..., None] * partial).sum(2))),
        ),
        Mistake(
            "the shares are not taken over the parts.",
            "The parts are the last dimension of lse: its softmax goes over that one, for each sequence and head alone.",
            (
                Wrong(merge=lambda partial, lse: (lse.softmax(1).nan_to_num()[..., None] * partial).sum(2)),
                Wrong(merge=lambda partial, lse: (lse.softmax(0).nan_to_num()[..., None] * partial).sum(2)),
            ),
        ),
        Mistake(
            "the merge overflows.",
            "exp(100) is infinite in float32. Subtract the largest lse of all parts first.",
            Wrong(merge=overflows),
        ),
        Mistake(
            "where all parts are empty, the output is nan.",
            "-inf less -inf is nan: where the largest lse is -inf, subtract 0, and divide by no less than a tiny number.",
            Wrong(merge=unguarded),
        ),
        Mistake(
            "an empty part gives nan.",
            "Its sum is 0: divide by 1 there. Its lse is -inf, so it weighs nothing.",
            Wrong(guards_part=False),
        ),
        Mistake(
            "an empty part takes a share.",
            "The sum of no exponentials is 0, and its log is -inf. An lse of 0 would say that the sum is 1.",
            Wrong(lse=lambda top, total: top + total.log() if total > 0 else total),
        ),
        Mistake(
            "the parts are not divided by their sums.",
            "A partial output is attention over its keys: acc / total.",
            Wrong(divides=False),
        ),
        Mistake(
            "the log-sum-exp is not what it says.",
            "lse = maximum + log(sum), for every part and head.",
            (
                Wrong(lse=lambda top, total: total.log()),
                Wrong(lse=lambda top, total: total),
                Wrong(lse=lambda top, total: top),
                Wrong(lse=lambda top, total: total * torch.exp(top)),
                Wrong(reported=torch.exp),
            ),
        ),
        Mistake(
            "the log-sum-exp is in base 2.",
            "Natural logarithms are asked for: multiply by log(2), or use exp and log.",
            (
                Wrong(lse=lambda top, total: (top + total.log()) / 0.6931472),
                Wrong(lse=lambda top, total: top + total.log2()),
                Wrong(reported=lambda lse: lse / 0.6931472),
            ),
        ),
        Mistake(
            "a part reads on to the end of the sequence.",
            "It ends at `min((p + 1) * tokens, length)`: what comes after is the next part's.",
            Wrong(cuts="at the end"),
        ),
        Mistake(
            "every part reads the same tokens.", "Part p begins at token p * tokens.", Wrong(begin=lambda p, part: 0)
        ),
        Mistake(
            "parts end in the middle of a block.",
            "Round the tokens of a part up to whole blocks, so that a block is read by one part alone.",
            Wrong(part=by_length),
        ),
        Mistake(
            "the parts do not reach the end.",
            "Round up: with tokens rounded down the last ones are in no part.",
            (
                Wrong(part=rounded_down),
                Wrong(part=lambda length, n, size: length // n // size * size),
                Wrong(part=lambda length, n, size: -(-(length // n) // size) * size),
            ),
        ),
        *[mistake for mistake in ATTENDS if not mistake.name.startswith(("blocks are averaged", "the sum is never"))],
    ],
    hints=[
        "The loop of 08.paged_decode, from token p * tokens to min((p + 1) * tokens, length), for each part p. In a kernel: a third number in the grid.",
        "tokens = -(-length // num_splits), rounded up to a multiple of block_size. Parts behind the end of the sequence have nothing to do.",
        "Each part ends with acc / total and top + log(total). Where total is 0, zeros and -inf.",
        "The merge, for each head: shares = softmax of lse over the parts, out = sum of share times partial. Where every lse is -inf, zeros.",
        "softmax by hand: top = lse.amax(-1, keepdim=True), with 0 where that is -inf; sums = exp(lse - top); shares = sums / sums.sum(-1, keepdim=True), and "
        "`clamp(min=1e-30)` spares the division by 0.",
    ],
    rights=[split_kv, split_as_rows, *in_triton("l08.solutions.split_kv", "split_kv")],
    budget_s=BUDGET_S,
    why="Without parts, one request on a large GPU keeps as many programs busy as the model has KV heads, and the rest wait. The parts do not know of each other, so "
    "they can run anywhere and finish when they like; what they hand over is one row and one number each. Flash-Decoding is the name of it.",
)
