"""07.flash_kernel: exact attention with a program for each head and tile of queries, in torch or in Triton."""

import torch

from course_lib.practice.fixtures.attention_variants import whole_matrix
from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE

from .attention import (
    NEGATIVE,
    ONE_TILE,
    attends,
    close_scores,
    in_programs,
    large_first,
    many_small,
    row_by_row,
    scaled_first,
    smalls,
    stays,
    untouched,
)
from .attention_mistakes import altered, common, drops_tail, scales_first
from .contiguous_mistakes import on_contiguous


def flash(q, k, v, tile):
    """Attention, every query over all keys. q: [n, heads, head_dim]; k, v: [m, heads, head_dim]; contiguous."""
    return row_by_row(q, k, v, causal=False)


def flash_in_programs(q, k, v, tile):
    return in_programs(q, k, v, tile, causal=False)


def whole(q, k, v, tile):
    return whole_matrix(q.cpu().float(), k.cpu().float(), v.cpu().float(), (tile, tile), False)[0].to(q.dtype)


def on(n, m, *args, **options):
    return attends("flash", n, m, *args, **options)


ONE = [on(16, 16), on(16, 16, heads=2), on(16, 16, head_dim=32)]
KEYS = [on(16, 32), on(16, 48), on(16, 64)]
PROGRAMS = [on(32, 16), on(32, 32), on(16, 16, heads=3), on(32, 16, heads=2)]
QUERY_TAILS = [on(1, 16), on(17, 16), on(5, 16, heads=2)]
KEY_TAILS = [on(16, 1), on(16, 20), on(3, 5), on(1, 1), on(5, 33)]
LARGE = [on(16, 32, times=4.0), on(16, 48, times=4.0), on(17, 20, times=4.0), on(16, 20, **NEGATIVE)]
SIZES = [on(32, 32, 32), on(16, 64, 32), on(20, 40, 32), on(33, 33, 32, head_dim=32), on(16, 32, head_dim=64)]
SCALED = [scaled_first("flash")]
MANY_SMALL = [many_small("flash"), large_first("flash"), close_scores("flash")]
HALF = [on(16, 16, half=True), on(16, 32, half=True), on(5, 20, half=True, heads=2), *MANY_SMALL, *SCALED]
SMALL = smalls("flash")
STAYS = [stays("flash", 2, 2), stays("flash", 17, 20)]
UNTOUCHED = [untouched("flash", 1, 1), untouched("flash", 17, 20)]

FLASH_KERNEL = Exercise(
    id="07.flash_kernel",
    title="FlashAttention as a kernel",
    name="flash",
    cases="sizes",
    properties=[
        Property("One tile: softmax(q kᵀ / √d) v", "Ordinary attention, in one program.", ONE),
        Property(
            "Several tiles of keys make one softmax",
            "The online softmax in registers: maximum, sum and output stay there while the tiles of keys and values "
            "are read.",
            KEYS,
        ),
        Property(
            "Each program takes its own head and its own tile of queries",
            "Programs run in any order and do not share results.",
            PROGRAMS,
        ),
        Property(
            "A last tile of queries may be shorter",
            "Rows after the end must not be loaded, and above all not stored.",
            QUERY_TAILS,
        ),
        Property(
            "A last tile of keys may be shorter",
            "Keys after the end must have no weight: their score is -inf.",
            KEY_TAILS,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "With other tiles and heads, the output is the same",
            "The tile is chosen for speed. It must not change the output.",
            SIZES,
        ),
        Property(
            "Inputs and result are float16, the sums are float32",
            "Matrix units multiply 16-bit numbers and add in 32 bits.",
            HALF,
        ),
        Property(*ONE_TILE, SMALL),
        Property("The inputs are not changed", "k and v are the KV cache: the next step reads them again.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs.rungs(on(1, 1), on(17, 20), on(5, 20, half=True, heads=2), orders=[on(20, 16, heads=2), on(33, 20)]),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        scales_first(SCALED),
        rungs.OUTSIDE,
        Mistake(
            "the tail is padded and not masked.",
            "A key of zeros has the score 0, and its weight is not 0. Set the scores of columns >= m to -inf.",
            altered(False, pads=True),
        ),
        drops_tail(False),
        Mistake(
            "the last, shorter tile of queries is left out.",
            "The grid needs `triton.cdiv(n, tile)` programs a head. With `n // tile` the last rows have no program.",
            altered(
                False,
                writes=lambda out, tile: torch.cat(
                    [out[: len(out) // tile * tile], out[len(out) // tile * tile :] * torch.nan]
                ),
            ),
        ),
        Mistake(
            "a causal mask is left in.",
            "Here every query sees every key. Mask only the columns from m on: `(columns < m)[None, :]`.",
            (altered(False, always_masks=True), altered(False, always_masks=True, start=lambda n, m: 0)),
        ),
        *on_contiguous(False),
        *common(False, whole, [*KEYS, *PROGRAMS], SMALL, UNTOUCHED, MANY_SMALL, STAYS),
    ],
    hints=[
        "Begin with your `flash_forward` of lesson 06. Its loops over heads and over tiles of queries become the "
        "grid, (heads, triton.cdiv(n, tile)). Its inner loop stays.",
        "Token j of head h begins at (j * heads + h) * head_dim. With rows or columns as [:, None] and dims as [None, "
        ":], that gives the addresses of a whole tile.",
        'Before the loop: m_i = tl.full([TILE], -float("inf"), tl.float32), l_i = tl.zeros([TILE], tl.float32), '
        "acc = tl.zeros([TILE, HEAD_DIM], tl.float32).",
        'In it: tl.dot(q, tl.trans(k), input_precision="ieee") * scale, then -inf for columns >= m, by tl.where; then '
        "the online softmax, and acc * alpha[:, None] + tl.dot(weights.to(v.dtype), v).",
        "Load with mask=(rows < n)[:, None] or (columns < m)[:, None] and other=0.0, store acc / l_i[:, None] with "
        "the mask of the rows.",
    ],
    rights=[
        flash,
        flash_in_programs,
        *rungs.in_triton("l07.solutions.flash_kernel", "flash"),
        *rungs.in_triton("l07.kernel_answers", "flash_by_merging"),
    ],
    why="The loops over heads and queries became the grid: their iterations are independent, so a GPU runs them in "
    "parallel. The loop over keys is the online softmax, in which each iteration needs the one before. "
    "(FlashAttention-2, arXiv 2307.08691.)",
    budget_s=rungs.BUDGET_S,
)
