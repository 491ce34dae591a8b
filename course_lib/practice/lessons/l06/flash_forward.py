"""Cases of 06.flash_forward: exact attention, a tile of queries and a tile of keys at a time."""

import torch

from course_lib.practice.fixtures.attention_variants import Wrong, whole_matrix
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .flash_forward_answers import as_in_the_lesson, forward_by_columns, forward_by_merging
from .flash_forward_trials import (
    BEHIND,
    BLIND,
    CAUSAL,
    HEADS,
    SEVERAL,
    SIMPLE,
    SMALL,
    STEPS,
    TAILS,
    UNTOUCHED,
    attends,
    skips,
)
from .solutions.flash_forward import flash_forward
from .tensors_shown import in_float64


def averages_the_masked(answer, found):
    """Whether a row that sees nothing has an output, and a lse that is far down and finite."""
    if found.trial not in BLIND or not isinstance(found.outcome, tuple):
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
            "One tile of keys: ordinary attention, scaled by the root of head_dim",
            "softmax(q kᵀ / √d) v for every row, and the log of the sum of exponentials.",
            SIMPLE,
        ),
        Property(
            "Several tiles of keys make one row",
            "The online softmax of the exercise before, for all rows of a tile at once.",
            SEVERAL,
        ),
        Property(
            "Under the causal mask a row sees itself and what is before it",
            "Rows and columns of a tile are counted from where the tile begins.",
            CAUSAL,
        ),
        Property(
            "The queries are the last of the tokens",
            "With m keys and n queries, row i stands at position m - n + i: the keys of earlier steps are all seen.",
            BEHIND,
        ),
        Property(
            "A last tile may be shorter",
            "Nobody's text is a multiple of 64. What lies beyond it must not be counted.",
            TAILS,
        ),
        Property(
            "Query heads that share a KV head use that one",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            HEADS,
        ),
        Property(
            "A row that sees no key gives zeros, and -inf",
            "It happens at the edge of every mask; one nan spreads through the whole model.",
            BLIND,
        ),
        Property(
            "Scores of hundreds neither overflow nor vanish",
            "Each row's own running maximum keeps its exponents at 0 or below, and the largest at 0.",
            [
                attends(2, 2, times=20.0),
                attends(3, 4, times=20.0),
                attends(4, 4, causal=False, times=20.0),
                attends(4, 6, (2, 3), times=30.0),
            ],
        ),
        Property(
            "The matrix is never there",
            "Scores live for one tile. A strip of a tile's rows over all keys is too much as well: it grows with the text.",
            SMALL,
        ),
        Property(
            "A tile has as many rows and columns as asked for",
            "`tile` is (rows, columns): queries and keys. In smaller tiles k and v are read more often, and rescaled more often.",
            STEPS,
        ),
        Property(
            "Tiles above the diagonal are skipped",
            "Half of the work is in them, and none of it counts.",
            [skips(6, (2, 2)), skips(8, (4, 4)), skips(12, (4, 2)), skips(12, (2, 6))],
        ),
        Property(
            "What is handed in stays as it is", "k and v are the cache: the next step reads them again.", UNTOUCHED
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and the like write into the caller's tensors, and here they are the cache.",
            Wrong(scales_q_in_place=True),
            is_made_by=writes_into(UNTOUCHED),
        ),
        in_float64(flash_forward, (0,), (1,), (0, 1)),
        Mistake(
            "the accumulator is not rescaled.",
            "`acc` was summed under the old maximum: multiply it by exp(old - new) first.",
            Wrong(acc_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "`total` shrinks by the same factor as the accumulator.",
            Wrong(total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums under different maxima cannot be added.",
            Wrong(acc_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the sum is never divided by.", "At the end: `acc / total`, each row by its own sum.", Wrong(divides=False)
        ),
        Mistake(
            "the log-sum-exp is not what it says.",
            "lse = maximum + log(sum), for every row and head.",
            (
                Wrong(lse=lambda top, total: total.log()),
                Wrong(lse=lambda top, total: total),
                Wrong(lse=lambda top, total: top),
                Wrong(lse=lambda top, total: total * torch.exp(top)),
            ),
        ),
        Mistake(
            "rows that see nothing are nan.",
            "Where the maximum is -inf, subtract 0 instead, and divide by 1 where the sum is 0.",
            (
                Wrong(guards=False),
                Wrong(guards_division=False),
                Wrong(guards=False, guards_division=False),
                Wrong(guards=False, guards_division=False, skips=False),
            ),
        ),
        Mistake(
            "masked scores are a large negative number, not -inf.",
            "Where a row sees nothing, all its scores are then the same: exp(0) is 1, and what is masked is averaged. exp(-inf) is 0.",
            (Wrong(hidden=-1e9), Wrong(hidden=torch.finfo(torch.float32).min)),
            is_made_by=averages_the_masked,
        ),
        Mistake(
            "one maximum is taken for the whole tile.",
            "A row that lies far below it has only weights of 0. `scores.amax(1)` gives each row its own.",
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
            "With causal=True a row sees only keys at its own position and before.",
            Wrong(masks=False),
        ),
        Mistake(
            "the causal mask is always there.",
            "With causal=False every row sees every key.",
            (Wrong(always_masks=True), Wrong(always_masks=True, start=lambda n, m: 0)),
        ),
        Mistake(
            "the mask is counted inside the tile.",
            "Row 0 of a tile is not position 0: add where the tile's rows and columns begin.",
            Wrong(local=True),
        ),
        Mistake(
            "the mask is counted from the first key.",
            "The queries are the last of the tokens: row i stands at position m - n + i.",
            (Wrong(start=lambda n, m: 0), as_in_the_lesson),
        ),
        Mistake(
            "a token does not see itself.",
            "Distance 0 is allowed: mask where the column is greater than the row, not where they are equal.",
            Wrong(itself=False),
        ),
        Mistake(
            "the tile on the diagonal is skipped.",
            "A tile can be skipped when its first column lies beyond its *last* row.",
            Wrong(skips_diagonal=True),
        ),
        Mistake(
            "a tile is skipped by its first row.",
            "The rows below it see further. A tile can be skipped when its first column lies beyond its *last* row.",
            Wrong(skips_by_first_row=True),
        ),
        Mistake(
            "the last, shorter tile is left out.",
            "`range(0, m, columns)` begins a tile there, and slicing ends it at m.",
            (Wrong(drops_tail="keys"), Wrong(drops_tail="queries"), Wrong(drops_tail="both")),
        ),
        Mistake(
            "the tail is filled up and not masked.",
            "A key of zeros has the score 0, and exp(0) is 1: it takes a share. Set scores beyond the last key to -inf.",
            Wrong(pads=True),
        ),
        Mistake(
            "keys and values of the wrong head.",
            "Heads in a group stand beside each other: head // (heads // kv_heads).",
            (
                Wrong(kv_head=lambda head, group, kv_heads: head % kv_heads),
                Wrong(kv_head=lambda head, group, kv_heads: 0),
            ),
        ),
        Mistake(
            "more scores are held at once than a tile has.",
            "The output is right, but a tensor is larger than q and larger than a tile. Loop over tiles of tile[1] keys, with a running maximum and sum.",
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
            "tile is (rows, columns): tile[0] queries and tile[1] keys.",
            Wrong(tile=lambda rows, columns: (columns, rows)),
        ),
        Mistake(
            "the tile is not the one that is asked for.",
            "`tile` says how many rows and columns a tile has. The caller chooses it for the size of fast memory.",
            (Wrong(tile=lambda rows, columns: (2, 2)), Wrong(tile=lambda rows, columns: (1, 1))),
        ),
        Mistake(
            "tiles above the diagonal are computed.",
            "They are masked from corner to corner. `break` when the tile's first column lies beyond its last row.",
            Wrong(skips=False),
        ),
    ],
    hints=[
        "Three loops: heads, tiles of queries, tiles of keys. In the innermost, the online softmax of the exercise before, for all rows of the tile.",
        "For a tile of queries keep `top` and `total`, [rows], and `acc`, [rows, d]. Begin with -inf, 0 and 0.",
        "Positions: row i of the tile that begins at r0 stands at m - n + r0 + i; column j of the tile at c0 is key c0 + j. Mask where key > position.",
        "Skip the tile when c0 > m - n + (last row of the tile). Slices end where the tensor ends, so a short last tile needs nothing special.",
        "After the last tile of keys: out = acc / total, lse = top + log(total). In exp(scores - top) and exp(old - top) use 0 where top is -inf.",
    ],
    rights=[flash_forward, forward_by_columns, forward_by_merging],
    why="A tile of queries stays put while keys and values pass by, so its maximum, sum and output never leave fast memory (FlashAttention-2, arXiv 2307.08691). "
    "Nothing in it depends on how long the text is.",
)
