"""Cases of 07.causal_skip: the causal mask in a kernel, and the tiles beyond the diagonal not loaded at all."""

import torch

from course_lib.practice.fixtures.attention_variants import whole_matrix
from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .attention import NEGATIVE, SLIM, attends, fine, in_programs, row_by_row, smalls, untouched
from .attention_answers import Program, last_seen
from .attention_mistakes import EARLY, bent, common, on_contiguous


def flash_causal(q, k, v, tile):
    """Causal attention. q: [n, heads, head_dim], the last n of m tokens; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
    return row_by_row(q, k, v, causal=True)


def causal_in_programs(q, k, v, tile):
    return in_programs(q, k, v, tile, causal=True)


def whole(q, k, v, tile):
    return whole_matrix(q.cpu().float(), k.cpu().float(), v.cpu().float(), (tile, tile), True)[0].to(q.dtype)


def masked(**faults):
    """A wrong answer: the loop of the kernel with a piece of its mask or its bound replaced."""
    return Program(True, **faults)


def to_the_end(n, m, first, tile):
    return m


def exchanged(n, m, first):
    return n - m + first


def next_too(column, position):
    return column <= position + 1


def from_itself(column, position):
    return column >= position


def behind_itself(column, position):
    return column > position


WHOLE = {"end": to_the_end, "guards": False, "one_tile": True}
"""As torch's softmax over all keys has it: a row that sees nothing is nan."""


def on(n, m, *args, **options):
    return attends("flash_causal", n, m, *args, **options)


def spoiled(n, m, first, rows, tile=16, heads=1):
    """Keys and values from `first` on are nan; the first `rows` of the result belong to tiles that need none of them."""

    def make(q, k, v):
        v[first:] = torch.nan
        return q, k, v

    return on(
        n,
        m,
        tile,
        heads,
        make=make,
        made=f'v[{first}:] = float("nan")',
        rows=rows,
        note=f"{rows} rows, of whom none sees key {first}",
    )


ONE = [on(2, 2), on(3, 3), on(16, 16, heads=2)]
SEVERAL = [on(32, 32), on(48, 48), on(17, 17, heads=2), on(64, 64, 32)]
BEHIND = [on(1, 2), on(1, 20), on(3, 5), on(16, 32), on(32, 40), on(3, 20, heads=2)]
TAILS = [on(1, 1), on(17, 17), on(20, 20), on(33, 40, 32)]
BLIND = [on(2, 1), on(3, 1), on(16, 4), on(5, 3, heads=2), on(20, 2)]
LARGE = [on(16, 16, times=4.0), on(20, 20, times=4.0), on(5, 48, times=4.0), on(5, 20, **NEGATIVE)]
FINE = [fine("flash_causal")]
HALF = [on(2, 2, half=True), on(16, 20, half=True), on(5, 20, half=True, heads=2), *FINE]
SKIPS = [
    spoiled(32, 32, 16, 16),
    spoiled(48, 48, 32, 32),
    spoiled(32, 32, 16, 16, heads=2),
    spoiled(32, 40, 32, 16),
    spoiled(64, 64, 32, 32, 32),
]
SMALL = smalls("flash_causal")
UNTOUCHED = [untouched("flash_causal", 1, 1), untouched("flash_causal", 17, 20)]

CAUSAL_SKIP = Exercise(
    id="07.causal_skip",
    title="The causal mask, and tiles never loaded",
    name="flash_causal",
    cases="sizes",
    properties=[
        Property(
            "A row sees itself and what is before it",
            "Mask inside the tile: where the column is greater than the row's position, the score is -inf.",
            ONE,
        ),
        Property(
            "Rows and columns are counted from where their tiles begin",
            "Row 0 of the second tile is token 16, not token 0.",
            SEVERAL,
        ),
        Property(
            "The queries are the last of the tokens",
            "With m keys and n queries, row i stands at position m - n + i: a decode step has n = 1, and sees them all.",
            BEHIND,
        ),
        Property(
            "Last tiles may be shorter", "A row past the end must not write, a key past the end must not count.", TAILS
        ),
        Property(
            "A row that sees no key gives zeros",
            "Its maximum is -inf, and -inf less -inf is nan: that happens at the edge of every mask.",
            BLIND,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "float16 comes in and goes out; the sums are float32",
            "Matrix units multiply 16 bits and add up in 32.",
            HALF,
        ),
        Property(*SLIM, SMALL),
        Property(
            "Tiles beyond the diagonal are not loaded",
            "They are half of the work. Here they hold nan: who loads them shows it, as 0 times nan is nan.",
            SKIPS,
        ),
        Property(
            "What is handed in stays as it is", "k and v are the cache: the next step reads them again.", UNTOUCHED
        ),
        *rungs.rungs(on(3, 5), on(17, 17)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        rungs.OUTSIDE,
        Mistake(
            "there is no causal mask.", "A row sees only keys at its own position and before.", bent(True, masks=False)
        ),
        Mistake(
            "the mask is counted inside the tile.",
            "Row 0 of a tile is not position 0: add where the tile's rows and columns begin.",
            (bent(True, local=True), masked(position=lambda n, m, first: m - n)),
        ),
        Mistake(
            "the mask is counted from the first key.",
            "The queries are the last of the tokens: row i stands at position m - n + i.",
            bent(True, start=lambda n, m: 0),
        ),
        Mistake(
            "a token does not see itself.", "Distance 0 is allowed: columns <= positions.", bent(True, itself=False)
        ),
        Mistake(
            "the position is counted with n and m exchanged.",
            "m keys are there before and with the n queries: row i stands at m - n + i, not at n - m + i.",
            (
                bent(True, start=lambda n, m: n - m),
                masked(position=exchanged),
                masked(position=exchanged, end=to_the_end),
                masked(position=exchanged, **WHOLE),
            ),
        ),
        Mistake(
            "a token sees the next one.",
            "With <= the column may be as large as the row's position, and not one more.",
            (bent(True, start=lambda n, m: m - n + 1), masked(sees=next_too), masked(sees=next_too, end=to_the_end)),
        ),
        Mistake(
            "the mask is the wrong way round.",
            'A row sees what is *not* greater than its position: `tl.where(columns[None, :] <= positions[:, None], scores, -float("inf"))`.',
            tuple(
                masked(sees=sees, end=end, guards=guards)
                for sees in (from_itself, behind_itself)
                for end in (last_seen, to_the_end)
                for guards in (True, False)
            )
            + (masked(sees=behind_itself, **WHOLE),),
        ),
        Mistake(
            "masked scores are 0, not -inf.",
            "exp(0) is 1: a key that is not to be seen has a weight. Only exp(-inf) is 0.",
            tuple(
                masked(hidden=0.0, lanes=lanes, end=end) for lanes in (False, True) for end in (last_seen, to_the_end)
            ),
        ),
        Mistake(
            "masked scores are a large number below 0, not -inf.",
            "-1e9 less -1e9 is 0, and exp(0) is 1: a row that sees nothing averages over everything. Only exp(-inf) is 0 whatever the "
            "maximum.",
            tuple(
                masked(hidden=hidden, lanes=lanes, end=end)
                for hidden in (-1e9, -1e30)
                for lanes in (False, True)
                for end in (last_seen, to_the_end)
            ),
        ),
        EARLY,
        Mistake(
            "the tile on the diagonal is skipped.",
            "The walk ends after the tile's *last* row: m - n + first + TILE.",
            bent(True, skips_diagonal=True),
        ),
        Mistake(
            "rows that see nothing are nan.",
            "Begin the maximum at -1e30 and not at -inf, and divide by 1 where the sum is 0.",
            (bent(True, guards=False), bent(True, guards_division=False)),
        ),
        Mistake(
            "tiles beyond the diagonal are loaded.",
            "They are masked from corner to corner. End the loop at m - n + first + TILE, or at m where that is less.",
            bent(True, skips=False),
            is_made_by=lambda answer, found: found.trial in SKIPS and not isinstance(found.outcome, Raised),
        ),
        *on_contiguous(True),
        *common(True, whole, [*SEVERAL, *BEHIND], SMALL, UNTOUCHED, FINE),
    ],
    hints=[
        "Begin with your kernel of the exercise before. Two lines change: where the loop over keys ends, and which scores become -inf.",
        "Row i of the program's tile stands at position m - n + first + i: `positions = m - n + first + tl.arange(0, TILE)`.",
        "The tile's last row stands at m - n + first + TILE - 1, so no key from m - n + first + TILE on is seen. The loop ends there, or at m: `tl.minimum`.",
        'Inside a tile: scores = tl.where(columns[None, :] <= positions[:, None], scores, -float("inf")).',
        "Begin `high` at -1e30: then exp(-inf - high) is 0 for a row that has seen nothing, and not nan. At the end divide by tl.where(total > 0, total, 1.0).",
    ],
    rights=[
        flash_causal,
        causal_in_programs,
        *rungs.in_triton("l07.solutions.causal_skip", "flash_causal"),
        *rungs.in_triton("l07.kernel_answers", "causal_by_merging"),
    ],
    why="Where the loop ends, half of the tiles are saved; what is left of the mask is one comparison. course_lib's kernel goes one step further: only the tiles "
    "on the diagonal are compared at all.",
    budget_s=rungs.BUDGET_S,
)
