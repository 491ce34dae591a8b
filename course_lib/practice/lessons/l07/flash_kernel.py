"""Cases of 07.flash_kernel: exact attention with a program for each head and tile of queries, in torch or as a Triton kernel."""

import torch

from course_lib.practice.fixtures.attention_variants import whole_matrix
from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .attention import NEGATIVE, SLIM, attends, fine, in_programs, row_by_row, smalls, untouched
from .attention_mistakes import bent, common, on_contiguous


def flash(q, k, v, tile):
    """Attention, every query over all keys. q: [n, heads, head_dim]; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
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
FINE = [fine("flash")]
HALF = [on(16, 16, half=True), on(16, 32, half=True), on(5, 20, half=True, heads=2), *FINE]
SMALL = smalls("flash")
UNTOUCHED = [untouched("flash", 1, 1), untouched("flash", 17, 20)]

FLASH_KERNEL = Exercise(
    id="07.flash_kernel",
    title="FlashAttention as a kernel",
    name="flash",
    cases="sizes",
    properties=[
        Property("One tile: softmax(q kᵀ / √d) v", "Ordinary attention, in one program.", ONE),
        Property(
            "Several tiles of keys make one row",
            "The online softmax, in registers: maximum, sum and output stay while keys and values pass by.",
            KEYS,
        ),
        Property(
            "Each program takes its own head and its own tile of queries",
            "Programs run in any order and do not see each other.",
            PROGRAMS,
        ),
        Property(
            "A last tile of queries may be shorter",
            "Rows past the end are loaded by nobody, and above all stored by nobody.",
            QUERY_TAILS,
        ),
        Property(
            "A last tile of keys may be shorter",
            "A key that is not there must have no weight: its score is -inf.",
            KEY_TAILS,
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "Other tiles and heads, same output", "The tile is for speed. It must not change what comes out.", SIZES
        ),
        Property(
            "float16 comes in and goes out; the sums are float32",
            "Matrix units multiply 16 bits and add up in 32.",
            HALF,
        ),
        Property(*SLIM, SMALL),
        Property(
            "What is handed in stays as it is", "k and v are the cache: the next step reads them again.", UNTOUCHED
        ),
        *rungs.rungs(on(1, 1), on(17, 20)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        rungs.OUTSIDE,
        Mistake(
            "the tail is filled up and not masked.",
            "A key of zeros has the score 0, and exp(0) is 1: it takes a share. Set the scores of columns >= m to -inf.",
            bent(False, pads=True),
        ),
        Mistake(
            "the last, shorter tile of keys is left out.",
            "`range(0, m, TILE)` begins a tile there; `m // TILE` tiles do not reach it.",
            bent(False, drops_tail="keys"),
        ),
        Mistake(
            "the last, shorter tile of queries is left out.",
            "The grid has `triton.cdiv(n, tile)` programs a head; `n // tile` do not reach the end.",
            bent(
                False,
                writes=lambda out, tile: torch.cat(
                    [out[: len(out) // tile * tile], out[len(out) // tile * tile :] * torch.nan]
                ),
            ),
        ),
        *on_contiguous(False),
        *common(False, whole, [*KEYS, *PROGRAMS], SMALL, UNTOUCHED, FINE),
    ],
    hints=[
        "Begin with your `flash_forward` of lesson 06. Its loops over heads and over tiles of queries become the grid, (heads, triton.cdiv(n, tile)); its inner loop stays.",
        "Token j of head h begins at (j * heads + h) * head_dim. For rows or columns [:, None] and dims [None, :] that gives a whole tile of addresses.",
        'In front of the loop: high = tl.full([TILE], -float("inf"), tl.float32), total = tl.zeros([TILE], tl.float32), acc = tl.zeros([TILE, HEAD_DIM], tl.float32).',
        'In it: tl.dot(q, tl.trans(k), input_precision="ieee") * scale, with tl.where -inf for columns >= m; then the online softmax, and acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v).',
        "Load with mask=(rows < n)[:, None] or (columns < m)[:, None] and other=0.0, store acc / total[:, None] with the mask of the rows.",
    ],
    rights=[
        flash,
        flash_in_programs,
        *rungs.in_triton("l07.solutions.flash_kernel", "flash"),
        *rungs.in_triton("l07.kernel_answers", "flash_by_merging"),
    ],
    why="The loops over heads and queries have gone into the grid: their order does not matter, so a GPU runs them side by side. The loop over keys is the "
    "online softmax, whose order does matter. (FlashAttention-2, arXiv 2307.08691.)",
    budget_s=rungs.BUDGET_S,
)
