"""06.flash_forward: exact attention, one tile of queries and one tile of keys at a time."""

import torch

from course_lib.practice.fixtures.attention_variants import Wrong, whole_matrix
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE, overwritten

from .flash_forward_answers import as_in_the_lesson, forward_by_columns, forward_by_merging
from .flash_forward_trials import (
    CAUSAL,
    FULLY_MASKED,
    HEADS,
    SEVERAL,
    SIMPLE,
    SMALL,
    STAYS,
    STEPS,
    TAILS,
    UNTOUCHED,
    WITH_CACHED,
    attends,
    skips,
)
from .solutions.flash_forward import flash_forward
from .tensors_shown import in_float64


def averages_the_masked(answer, found):
    """Whether a row that sees no key has an output other than 0, and a log-sum-exp that is finite and below -1,000."""
    if found.trial not in FULLY_MASKED or not isinstance(found.outcome, tuple):
        return False
    out, lse = found.outcome
    return bool(((lse < -1e3) & lse.isfinite() & (out != 0).any(-1)).any())


FLASH_FORWARD = Exercise(
    id="06.flash_forward",
    title="Attention in tiles",
    name="flash_forward",
    cases="sizes",
    properties=[
        Property(
            "One tile of keys: ordinary attention, scaled by the square root of head_dim",
            "The output is softmax(q kᵀ / √d) v for every row, and lse is the log of the sum of exponentials.",
            SIMPLE,
        ),
        Property(
            "Several tiles of keys make one softmax",
            "Use the online softmax of the exercise before, for all rows of a tile at once.",
            SEVERAL,
        ),
        Property(
            "Under the causal mask a row sees its own position and all before it",
            "The position of a row or column is the start of its tile plus its index in the tile.",
            CAUSAL,
        ),
        Property(
            "The queries are the last of the tokens",
            "With m keys and n queries, row i has position m - n + i. It sees all keys of earlier steps.",
            WITH_CACHED,
        ),
        Property(
            "A last tile may be shorter",
            "The length of a sequence is rarely a multiple of the tile. Rows and columns after its end must not be "
            "counted.",
            TAILS,
        ),
        Property(
            "Query heads of a group use their KV head",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "A row that sees no key gives zeros, and -inf",
            "Such rows occur at the edge of a mask. One nan spreads through the whole model.",
            FULLY_MASKED,
        ),
        Property(
            "Scores of hundreds neither overflow nor underflow",
            "With the running maximum of each row subtracted, its exponents are 0 or below, and the largest is 0.",
            [
                attends(2, 2, times=20.0),
                attends(3, 4, times=20.0),
                attends(4, 4, causal=False, times=20.0),
                attends(4, 6, (2, 3), times=30.0),
                attends(2, 2, (2, 1), times=200.0),
            ],
        ),
        Property(
            "The score matrix never exists as a whole",
            "Only the scores of one tile exist at a time. The scores of a tile's rows over all keys are too large as "
            "well: they grow with the sequence.",
            SMALL,
        ),
        Property(
            "A tile has the rows and columns that `tile` gives",
            "`tile` is (rows, columns): queries and keys. With smaller tiles, k and v are read more often and the "
            "accumulator is rescaled more often.",
            STEPS,
        ),
        Property(
            "Tiles above the diagonal are skipped",
            "They are half of the work, and all their scores are masked.",
            [skips(6, (2, 2)), skips(8, (4, 4)), skips(12, (4, 2)), skips(12, (2, 6))],
        ),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        Property("The inputs are not changed", "k and v are the KV cache: the next step reads them again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and other in-place operations write into the caller's tensors, and k and v are the KV cache.",
            Wrong(scales_q_in_place=True),
            is_made_by=writes_into(UNTOUCHED),
        ),
        overwritten(STAYS),
        in_float64(flash_forward, (0,), (1,), (0, 1)),
        Mistake(
            "the accumulator is not rescaled.",
            "`acc` was summed relative to the old maximum: multiply it by exp(old - new) first.",
            Wrong(acc_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "Multiply `l_i` by the same factor as the accumulator.",
            Wrong(total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums relative to different maxima cannot be added.",
            Wrong(acc_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the output is not divided by the sum.",
            "At the end, divide each row by its own sum: `acc / l_i`.",
            Wrong(divides=False),
        ),
        Mistake(
            "the log-sum-exp is wrong.",
            "lse = maximum + log(sum), for every row and head.",
            (
                Wrong(lse=lambda m_i, l_i: l_i.log()),
                Wrong(lse=lambda m_i, l_i: l_i),
                Wrong(lse=lambda m_i, l_i: m_i),
                Wrong(lse=lambda m_i, l_i: l_i * torch.exp(m_i)),
                Wrong(lse=lambda m_i, l_i: m_i + l_i.log2()),
                Wrong(lse=lambda m_i, l_i: m_i + l_i),
            ),
        ),
        Mistake(
            "rows that see no key are nan.",
            "When the maximum is -inf, subtract 0 instead. When the sum is 0, divide by 1.",
            (
                Wrong(guards=False),
                Wrong(guards_division=False),
                Wrong(guards=False, guards_division=False),
                Wrong(guards=False, guards_division=False, skips=False),
            ),
        ),
        Mistake(
            "masked scores are a large negative number, not -inf.",
            "In a row that sees no key, all scores are then equal. Less their maximum they are 0, exp(0) is 1, and "
            "the masked values are averaged. exp(-inf) is 0.",
            (Wrong(hidden=-1e9), Wrong(hidden=torch.finfo(torch.float32).min)),
            is_made_by=averages_the_masked,
        ),
        Mistake(
            "one maximum is used for the whole tile.",
            "In a row far below that maximum all weights are 0. `scores.amax(1)` gives each row its own maximum.",
            Wrong(one_top=True),
        ),
        Mistake("the maximum is not subtracted.", "exp(89) does not fit in a float32.", Wrong(subtracts=False)),
        Mistake(
            "scores are scaled wrongly.",
            "A score is q · k divided by the square root of head_dim.",
            (Wrong(scale=lambda d: 1.0), Wrong(scale=lambda d: 1 / d)),
        ),
        Mistake(
            "there is no causal mask.",
            "With causal=True a row sees only keys at its own position and before it.",
            Wrong(masks=False),
        ),
        Mistake(
            "the causal mask is always applied.",
            "With causal=False every row sees every key.",
            (Wrong(always_masks=True), Wrong(always_masks=True, start=lambda n, m: 0)),
        ),
        Mistake(
            "the mask compares indices within the tile.",
            "Row 0 of a tile is not position 0: add the start of the tile's rows and columns.",
            Wrong(local=True),
        ),
        Mistake(
            "the mask counts query positions from the first key.",
            "The queries are the last of the tokens: row i has position m - n + i.",
            (Wrong(start=lambda n, m: 0), as_in_the_lesson),
        ),
        Mistake(
            "a token does not see itself.",
            "A key at the query's own position is seen: mask where the column is greater than the row, not where they "
            "are equal.",
            Wrong(itself=False),
        ),
        Mistake(
            "the tile on the diagonal is skipped.",
            "A tile can be skipped only when its first column is after its *last* row.",
            Wrong(skips_diagonal=True),
        ),
        Mistake(
            "a tile is skipped by its first row.",
            "Later rows see more keys. A tile can be skipped only when its first column is after its *last* row.",
            Wrong(skips_by_first_row=True),
        ),
        Mistake(
            "the last, shorter tile is left out.",
            "`range(0, m, columns)` begins a tile there, and slicing ends it at m.",
            (Wrong(drops_tail="keys"), Wrong(drops_tail="queries"), Wrong(drops_tail="both")),
        ),
        Mistake(
            "the tail is padded and not masked.",
            "A key of zeros has the score 0, and its weight is not 0. Set the scores after the last key to -inf.",
            Wrong(pads=True),
        ),
        Mistake(
            "keys and values of the wrong KV head are used.",
            "The query heads of a group are adjacent: the KV head is head // (heads // kv_heads).",
            (
                Wrong(kv_head=lambda head, group, kv_heads: head % kv_heads),
                Wrong(kv_head=lambda head, group, kv_heads: 0),
            ),
        ),
        Mistake(
            "more scores exist at once than a tile has.",
            "The output is right, but scores of more than one tile of one head exist at a time: in one tensor, or in "
            "many that are kept. Loop over heads, and over tiles of tile[1] keys, with a running maximum and sum.",
            (
                whole_matrix,
                Wrong(strip=True),
                Wrong(tile=lambda rows, columns: (16, 16)),
                Wrong(tile=lambda rows, columns: (rows, rows)),
            ),
            is_made_by=lambda answer, found: found.trial in SMALL and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "rows and columns of the tile are exchanged.",
            "`tile` is (rows, columns): tile[0] queries and tile[1] keys.",
            Wrong(tile=lambda rows, columns: (columns, rows)),
        ),
        Mistake(
            "the tile has another size than `tile` gives.",
            "`tile` gives the rows and columns of a tile. The caller chooses it to fit into fast memory.",
            (Wrong(tile=lambda rows, columns: (2, 2)), Wrong(tile=lambda rows, columns: (1, 1))),
        ),
        Mistake(
            "tiles above the diagonal are computed.",
            "All their scores are masked. `break` when the tile's first column is after its last row.",
            Wrong(skips=False),
        ),
    ],
    hints=[
        "Three loops: heads, tiles of queries, tiles of keys. In the innermost, the online softmax of the exercise "
        "before, for all rows of the tile.",
        "For a tile of queries keep `m_i` and `l_i`, [rows], and `acc`, [rows, d]. Begin with -inf, 0 and 0.",
        "Positions: row i of the tile that begins at r0 has position m - n + r0 + i; column j of the tile that begins "
        "at c0 is key c0 + j. Mask where key > position.",
        "Skip the tile when c0 > m - n + (last row of the tile). A slice ends where the tensor ends, so a shorter "
        "last tile needs no extra code.",
        "After the last tile of keys: out = acc / l_i, lse = m_i + log(l_i). In exp(scores - m_i) and exp(old - "
        "m_i), use 0 in place of m_i where m_i is -inf.",
    ],
    rights=[flash_forward, forward_by_columns, forward_by_merging],
    why="A tile of queries stays in fast memory while the tiles of keys and values are read, so its maximum, sum and "
    "output never leave fast memory (FlashAttention-2, arXiv 2307.08691). The memory it needs does not depend on "
    "the length of the sequence.",
)
