"""08.split_kv: decode of a long context in parts, and the merge of the parts."""

import torch

from course_lib.errors import OutOfBounds
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, rounded, rungs
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, STORES, overwritten

from .paged_answers import Wrong, split_as_rows, whole_blocks
from .paged_mistakes import MISTAKES
from .paged_trials import STALE_MEANING, STALE_TITLE, reads_stale, takes_rows_for_short
from .split_kv_answers import (
    added,
    by_length,
    by_lse,
    by_lse_unguarded,
    by_tokens,
    mean,
    mean_of_used,
    overflows,
    rounded_down,
    undivided,
    unguarded,
)
from .split_kv_trials import (
    BATCH,
    EMPTY,
    HEADS,
    LARGE,
    ONE,
    SAME,
    SEVERAL,
    STALE,
    STAYS,
    UNEVEN,
    UNTOUCHED,
    WIDE,
    splits,
)


def split_kv(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """(out, partial, lse) of decode in parts.

    partial: [num_seqs, num_heads, num_splits, head_dim]; lse: [num_seqs, num_heads, num_splits].
    """
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    partial, lse = (
        q.new_zeros(num_seqs, num_heads, num_splits, head_dim),
        q.new_full((num_seqs, num_heads, num_splits), -float("inf")),
    )
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        tokens = whole_blocks(length, num_splits, block_size) * block_size  # of a part
        for head in range(num_heads):
            for part in range(num_splits):
                m_i, l_i, acc = q.new_tensor(-float("inf")), q.new_tensor(0.0), q.new_zeros(head_dim)
                end = min((part + 1) * tokens, length)
                for first in range(part * tokens, end, block_size):
                    block, filled = block_tables[sequence, first // block_size], min(block_size, end - first)
                    k, v = k_cache[block, :filled, head // group], v_cache[block, :filled, head // group]
                    scores = k @ q[sequence, head] / head_dim**0.5
                    new_m = torch.maximum(m_i, scores.max())
                    alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m)
                    l_i, acc, m_i = alpha * l_i + weights.sum(), alpha * acc + weights @ v, new_m
                if l_i > 0:
                    partial[sequence, head, part], lse[sequence, head, part] = acc / l_i, m_i + l_i.log()
    largest = lse.amax(-1, keepdim=True)
    sums = torch.exp(lse - torch.where(largest == -float("inf"), 0.0, largest))  # of each part, relative to one maximum
    shares = sums / sums.sum(-1, keepdim=True).clamp(min=1e-30)
    return (shares[..., None] * partial).sum(-2), partial, lse


SPLIT_KV = Exercise(
    id="08.split_kv",
    title="A long context in parts",
    name="split_kv",
    cases="steps",
    properties=[
        Property(
            "One part: the output of the whole, and the log of the sum of exponentials",
            "lse = maximum + log(sum) of the scaled scores, with the natural logarithm.",
            ONE,
        ),
        Property(
            "Each part covers its own whole blocks, and the parts are merged by their sums",
            "Part p begins at token p * tokens, where tokens = length / num_splits, rounded up to whole blocks.",
            SEVERAL,
        ),
        Property(
            "The last part that is not empty may be shorter",
            "It ends where the sequence ends, which may be in the middle of a block.",
            UNEVEN,
        ),
        Property(
            "An empty part gives zeros and -inf, and does not change the output",
            "The grid is the same for all sequences, so a short one has empty parts.",
            EMPTY,
        ),
        Property(
            "Every sequence is split by its own length",
            "A part of a long sequence is longer than a part of a short one.",
            BATCH,
        ),
        Property(
            "A row of the block table may be wider than the longest sequence needs",
            "A server makes it as wide as its longest possible sequence: the next row begins at "
            "`block_tables.stride(0)`.",
            WIDE,
        ),
        Property(STALE_TITLE, STALE_MEANING, STALE),
        Property(
            "Each head has its own weights", "Query heads of a group share keys and values, but not their sums.", HEADS
        ),
        Property(
            "Log-sum-exps of hundreds do not overflow",
            "Only their differences matter: subtract the largest first.",
            LARGE,
        ),
        Property(
            "The output is the same for any number of parts",
            "Nothing is approximated. The number of parts is chosen only for speed.",
            SAME,
        ),
        Property(
            "The inputs are not changed",
            "The caches hold the tokens of all requests, and the next layer reads the same block table.",
            UNTOUCHED,
        ),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs(
            splits([4], 2),
            splits([3, 8], 2, heads=2),
            orders=[splits([1, 5], 2, heads=3), splits([5, 2], 3, heads=6, kv_heads=2)],
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
        rounded(split_kv, [*SEVERAL, *BATCH, *HEADS]),
        Mistake(
            "the parts are merged without weights.",
            "Each part is an average already, over other keys. Multiply it by its share of the sum: exp(lse) divided "
            "by the sum of all exp(lse).",
            (Wrong(merge=mean), Wrong(merge=mean_of_used)),
        ),
        Mistake(
            "the parts are weighted by their numbers of tokens.",
            "A token weighs exp(score), and not 1: the share of a part is exp(lse) divided by the sum of all exp(lse).",
            by_tokens,
        ),
        Mistake(
            "the log-sum-exps themselves are the weights.",
            "lse is a logarithm. The sum is exp(lse).",
            (Wrong(merge=by_lse), Wrong(merge=by_lse_unguarded)),
        ),
        Mistake(
            "a part does not end with the sequence.",
            "The last part that is not empty ends at `min((p + 1) * tokens, length)`. The slots after that hold "
            "tokens of another sequence, and the block table has no more blocks.",
            (
                Wrong(cuts=False, outside=IndexError),
                Wrong(cuts=False, row=lambda tables, s: tables[s:].flatten(), outside=OutOfBounds),
            ),
        ),
        Mistake(
            "the parts are added without weights.",
            "Each part is divided by its own sum already. Multiply it by its share before you add.",
            Wrong(merge=added),
        ),
        Mistake(
            "the weights do not sum to 1.",
            "Divide by the sum over all parts.",
            (Wrong(merge=undivided), Wrong(merge=lambda partial, lse: (lse.exp()[..., None] * partial).sum(2))),
        ),
        Mistake(
            "the shares are not computed over the parts.",
            "The parts are the last dimension of lse. Apply the softmax over that dimension, for each sequence and "
            "head.",
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
            "when all parts are empty, the output is nan.",
            "-inf minus -inf is nan. When the largest lse is -inf, subtract 0, and divide by at least a tiny number.",
            Wrong(merge=unguarded),
        ),
        Mistake(
            "an empty part gives nan.",
            "Its sum is 0: divide by 1 instead. Its lse is -inf, so its weight is 0.",
            Wrong(guards_part=False),
        ),
        Mistake(
            "an empty part has a weight.",
            "Its sum of exponentials is 0, and the log of 0 is -inf. An lse of 0 means that the sum is 1.",
            Wrong(lse=lambda m_i, l_i: m_i + l_i.log() if l_i > 0 else l_i),
        ),
        Mistake(
            "the parts are not divided by their sums.",
            "A partial output is the attention over the keys of its part: acc / l_i.",
            Wrong(divides=False),
        ),
        Mistake(
            "the log-sum-exp is wrong.",
            "lse = maximum + log(sum), for every part and head.",
            (
                Wrong(lse=lambda m_i, l_i: l_i.log()),
                Wrong(lse=lambda m_i, l_i: l_i),
                Wrong(lse=lambda m_i, l_i: m_i),
                Wrong(lse=lambda m_i, l_i: l_i * torch.exp(m_i)),
                Wrong(lse=lambda m_i, l_i: m_i + l_i),
                Wrong(reported=torch.exp),
            ),
        ),
        Mistake(
            "the log-sum-exp is in base 2.",
            "The exercise asks for natural logarithms: multiply by log(2), or use exp and log.",
            (
                Wrong(lse=lambda m_i, l_i: (m_i + l_i.log()) / 0.6931472),
                Wrong(lse=lambda m_i, l_i: m_i + l_i.log2()),
                Wrong(reported=lambda lse: lse / 0.6931472),
            ),
        ),
        Mistake(
            "a part reads on to the end of the sequence.",
            "A part ends at `min((p + 1) * tokens, length)`. The tokens after that belong to the next part.",
            Wrong(cuts="at the end"),
        ),
        Mistake(
            "every part reads the same tokens.", "Part p begins at token p * tokens.", Wrong(begin=lambda p, part: 0)
        ),
        Mistake(
            "parts end in the middle of a block.",
            "Round the tokens of a part up to whole blocks, so that each block is read by one part only.",
            Wrong(part=by_length),
        ),
        Mistake(
            "the parts do not reach the end.",
            "Round up. When the tokens of a part are rounded down, the last tokens are in no part.",
            (
                Wrong(part=rounded_down),
                Wrong(part=lambda length, n, size: length // n // size * size),
                Wrong(part=lambda length, n, size: -(-(length // n) // size) * size),
                Wrong(part=lambda length, n, size: max(1, -(-(length // n) // size)) * size),
            ),
        ),
        *[
            mistake
            for mistake in MISTAKES
            if not mistake.name.startswith(("blocks are averaged", "the output is not divided"))
        ],
        *STORES,
    ],
    hints=[
        "The loop of 08.paged_decode, from token p * tokens to min((p + 1) * tokens, length), for each part p. In a "
        "kernel, the part is the third dimension of the grid.",
        "tokens = -(-length // num_splits), rounded up to a multiple of block_size. Parts after the end of the "
        "sequence are empty.",
        "The results of a part are acc / l_i and m_i + log(l_i). Where l_i is 0, they are zeros and -inf.",
        "The merge, for each head: shares = softmax of lse over the parts, out = sum of share times partial. Where "
        "every lse is -inf, out is zeros.",
        "softmax by hand: m_i = lse.amax(-1, keepdim=True), with 0 in place of -inf; sums = exp(lse - m_i); shares = "
        "sums / sums.sum(-1, keepdim=True), with `clamp(min=1e-30)` to avoid a division by 0.",
    ],
    rights=[split_kv, split_as_rows, *in_triton("l08.solutions.split_kv", "split_kv")],
    budget_s=BUDGET_S,
    why="Without parts, one request on a large GPU uses only as many programs as the model has KV heads, and the rest "
    "of the GPU is idle. The parts are independent, so they can run on any processor and finish in any order. "
    "Each gives one row and one number. This is Flash-Decoding.",
)
