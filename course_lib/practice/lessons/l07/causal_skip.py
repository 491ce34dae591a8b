"""07.causal_skip: the causal mask in a kernel; tiles above the diagonal are not loaded."""

from course_lib.practice.fixtures.attention_variants import whole_matrix
from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE

from .attention import ONE_TILE, in_programs, row_by_row
from .attention_answers import Program, last_seen
from .attention_mistakes import ENDS_EARLY, altered, common, drops_tail, scales_first
from .causal_skip_trials import (
    FULLY_MASKED,
    HALF,
    LARGE,
    MANY_SMALL,
    ONE,
    SCALED,
    SEVERAL,
    SKIPS,
    SMALL,
    STAYS,
    TAILS,
    UNTOUCHED,
    WITH_CACHED,
    on,
)
from .contiguous_mistakes import on_contiguous


def flash_causal(q, k, v, tile):
    """Causal attention. q: [n, heads, head_dim], the last n of m tokens; k, v: [m, heads, head_dim]; contiguous."""
    return row_by_row(q, k, v, causal=True)


def causal_in_programs(q, k, v, tile):
    return in_programs(q, k, v, tile, causal=True)


def whole(q, k, v, tile):
    return whole_matrix(q.cpu().float(), k.cpu().float(), v.cpu().float(), (tile, tile), True)[0].to(q.dtype)


def masked(**faults):
    """A wrong answer: the loop of the kernel with a part of its mask or its end replaced."""
    return Program(True, **faults)


def to_the_end(n, m, first, tile):
    return m


def exchanged(n, m, first):
    return n - m + first


def next_too(column, position):
    return column <= position + 1


def from_itself(column, position):
    return column >= position


def after_itself(column, position):
    return column > position


WHOLE = {"end": to_the_end, "guards": False, "one_tile": True}
"""As with a softmax of torch over all keys: a row that sees no key is nan."""


CAUSAL_SKIP = Exercise(
    id="07.causal_skip",
    title="The causal mask, and tiles never loaded",
    name="flash_causal",
    cases="sizes",
    properties=[
        Property(
            "A row sees its own position and all before it",
            "Mask within the tile: where the column is greater than the position of the row, the score is -inf.",
            ONE,
        ),
        Property(
            "The index in a tile is added to the start of the tile",
            "Row 0 of the second tile is token 16, not token 0.",
            SEVERAL,
        ),
        Property(
            "The queries are the last of the tokens",
            "With m keys and n queries, row i has position m - n + i. In a decode step n is 1, and the row sees all "
            "keys.",
            WITH_CACHED,
        ),
        Property(
            "Last tiles may be shorter",
            "Rows after the end must not be written, and keys after the end must have no weight.",
            TAILS,
        ),
        Property(
            "A row that sees no key gives zeros",
            "Its maximum is -inf, and -inf minus -inf is nan. Such rows occur at the edge of a mask.",
            FULLY_MASKED,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "Inputs and result are float16, the sums are float32",
            "Matrix units multiply 16-bit numbers and add in 32 bits.",
            HALF,
        ),
        Property(*ONE_TILE, SMALL),
        Property(
            "Tiles above the diagonal are not loaded",
            "They are half of the work. Where they hold nan, an answer that loads them returns nan, because 0 times "
            "nan is nan. In torch, the products of tiles are counted too.",
            SKIPS,
        ),
        Property("The inputs are not changed", "k and v are the KV cache: the next step reads them again.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs.rungs(on(3, 5), on(17, 17), on(5, 20, half=True, heads=2), orders=[on(20, 20, heads=2), on(33, 40)]),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        scales_first(SCALED),
        rungs.OUTSIDE,
        Mistake(
            "there is no causal mask.",
            "A row sees only keys at its own position and before it.",
            altered(True, masks=False),
        ),
        Mistake(
            "the mask compares indices within the tile.",
            "Row 0 of a tile is not position 0: add the start of the tile's rows and columns.",
            (altered(True, local=True), masked(position=lambda n, m, first: m - n)),
        ),
        Mistake(
            "the mask counts query positions from the first key.",
            "The queries are the last of the tokens: row i has position m - n + i.",
            altered(True, start=lambda n, m: 0),
        ),
        Mistake(
            "a token does not see itself.",
            "A key at the query's own position is seen: columns <= positions.",
            altered(True, itself=False),
        ),
        Mistake(
            "n and m are exchanged in the position.",
            "The m keys include those of the n queries: row i has position m - n + i, not n - m + i.",
            (
                altered(True, start=lambda n, m: n - m),
                masked(position=exchanged),
                masked(position=exchanged, end=to_the_end),
                masked(position=exchanged, **WHOLE),
            ),
        ),
        Mistake(
            "a token sees the next token.",
            "The column may be at most the row's position: `<=`, without + 1.",
            (altered(True, start=lambda n, m: m - n + 1), masked(sees=next_too), masked(sees=next_too, end=to_the_end)),
        ),
        Mistake(
            "the mask is inverted.",
            "A row sees columns that are *not* greater than its position: `tl.where(columns[None, :] <= positions[:, "
            'None], scores, -float("inf"))`.',
            tuple(
                masked(sees=sees, end=end, guards=guards)
                for sees in (from_itself, after_itself)
                for end in (last_seen, to_the_end)
                for guards in (True, False)
            )
            + (masked(sees=after_itself, **WHOLE),),
        ),
        Mistake(
            "masked scores are 0, not -inf.",
            "exp(0) is 1, so a masked key has a weight. Only exp(-inf) is 0.",
            tuple(
                masked(hidden=0.0, lanes=lanes, end=end) for lanes in (False, True) for end in (last_seen, to_the_end)
            ),
        ),
        Mistake(
            "masked scores are a large negative number, not -inf.",
            "-1e9 minus -1e9 is 0, and exp(0) is 1, so a row that sees no key gives an average of masked values. Only "
            "exp(-inf) is 0 for any maximum.",
            tuple(
                masked(hidden=hidden, lanes=lanes, end=end)
                for hidden in (-1e9, -1e30)
                for lanes in (False, True)
                for end in (last_seen, to_the_end)
            ),
        ),
        ENDS_EARLY,
        drops_tail(True),
        Mistake(
            "the tile on the diagonal is skipped.",
            "The loop ends after the position of the tile's *last* row: m - n + first + TILE.",
            altered(True, skips_diagonal=True),
        ),
        Mistake(
            "rows that see no key are nan.",
            "Begin the maximum at -1e30, not at -inf, and divide by 1 where the sum is 0.",
            (altered(True, guards=False), altered(True, guards_division=False)),
        ),
        Mistake(
            "tiles above the diagonal are loaded.",
            "All their scores are masked. End the loop at m - n + first + TILE, or at m if that is less.",
            altered(True, skips=False),
            is_made_by=lambda answer, found: found.trial in SKIPS and not isinstance(found.outcome, Raised),
        ),
        *on_contiguous(True),
        *common(True, whole, [*SEVERAL, *WITH_CACHED], SMALL, UNTOUCHED, MANY_SMALL, STAYS),
    ],
    hints=[
        "Begin with your kernel of the exercise before. Two things change: the end of the loop over keys, and the "
        "scores that become -inf.",
        "Row i of the program's tile has position m - n + first + i: `positions = m - n + first + tl.arange(0, TILE)`.",
        "The tile's last row has position m - n + first + TILE - 1, so keys from m - n + first + TILE on are not "
        "seen. End the loop there or at m, whichever is less: `tl.minimum`.",
        'In a tile: scores = tl.where(columns[None, :] <= positions[:, None], scores, -float("inf")).',
        "Begin `m_i` at -1e30: then exp(-inf - m_i) is 0, not nan, for a row that has seen no key. At the end "
        "divide by tl.where(l_i > 0, l_i, 1.0).",
    ],
    rights=[
        flash_causal,
        causal_in_programs,
        *rungs.in_triton("l07.solutions.causal_skip", "flash_causal"),
        *rungs.in_triton("l07.kernel_answers", "causal_by_merging"),
    ],
    why="The end of the loop saves nearly half of the tiles of a long prompt. The rest of the mask is one comparison. "
    "The kernel of course_lib goes one step further: it compares positions only in the tiles on the diagonal.",
    budget_s=rungs.BUDGET_S,
)
