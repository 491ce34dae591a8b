"""06.recompute_backward: the gradient of causal attention of one head, without the score matrix in memory."""

import torch

from course_lib.practice.fixtures.tiny_attention import Watch, count, qkv, size
from course_lib.practice.judge.agreement import differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, changes
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.instead import times

from .recompute_backward_answers import Wrong, backward_by_autograd, backward_by_rows, through_the_matrix
from .solutions.recompute_backward import recompute_backward
from .tensors_shown import FIRST_WATCH_S, beside, in_float64, shown

INF = float("inf")


def saved_by_forward(n, d):
    """What the forward pass saves, q, k, v, out and lse, and a gradient of the output."""
    q, k, v = (x[:, 0] for x in qkv(n, n, head_dim=d))
    scores = (q @ k.T / d**0.5).masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -INF)
    grad_out = qkv(n + 1, n, head_dim=d)[0][1:, 0]
    return q, k, v, scores.softmax(1) @ v, scores.logsumexp(1), grad_out


def story(n, tile, d):
    return [
        "from course_lib.practice.play import saved_by_forward",
        f"q, k, v, out, lse, grad_out = saved_by_forward({n}, {d})  # {count(n, 'token', 'tokens')}, head_dim {d}",
        f"recompute_backward(q, k, v, out, lse, grad_out, tile={tile})",
    ]


def gradient(n, tile, d=2, only=None):
    """The Trial of all three gradients, or of the one at index `only`."""

    def act(answer):
        result = answer(*saved_by_forward(n, d), tile)
        return result if only is None or not isinstance(result, tuple) or len(result) != 3 else result[only]

    lines = story(n, tile, d)
    if only is not None:
        lines[-1] += f"[{only}]  # d{'qkv'[only]}"
    return Trial(
        lines,
        act,
        show=shown,
        note="(dq, dk, dv)" if only is None else "",
        explain=explain,
        both=beside,
        size=n * d + tile,
        rounding=4.0,  # a gradient is a difference of sums that nearly cancel
    )


def small(n, tile):
    def act(answer):
        given = saved_by_forward(n, 2)
        with Watch() as watch:
            answer(*given, tile)
        return (
            "no tensor larger than q or a tile"
            if size(watch.largest) <= max(2 * n, tile * tile)
            else f"a tensor of {watch.largest}"
        )

    return Trial(
        [
            *story(n, tile, 2)[:2],
            "from course_lib.practice.play import Watch",
            "with Watch() as watch:",
            f"    {story(n, tile, 2)[2]}",
            "watch.largest  # the shape of the largest tensor made",
        ],
        act,
        show=str,
        size=n + tile,
        limit_s=FIRST_WATCH_S,
    )


def untouched(n, tile):
    def act(answer):
        given = saved_by_forward(n, 2)
        answer(*given, tile)
        return given

    return Trial(
        [*story(n, tile, 2), "q, k, v, out, lse, grad_out"], act, show=shown, both=beside, size=n, note="unchanged"
    )


def explain(expected, got):
    """Which of the gradients are right, and which are not; of one, the first row that differs."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.shape != expected.shape:
            return "The three gradients have the shapes of q, k and v."
        wrong = differing(expected, got).any(1)
        said = f"First different: row {int(wrong.nonzero()[0])}. {int(wrong.sum())} of {len(wrong)} rows differ."
        return f"{said} {times(expected, got)}".rstrip()
    if not isinstance(got, tuple) or len(got) != 3:
        return "The exercise asks for a tuple of three tensors: dq, dk, dv."
    wrong = [
        f"d{name}"
        for name, want, mine in zip("qkv", expected, got)
        if not isinstance(mine, torch.Tensor) or mine.shape != want.shape or differing(want, mine).any()
    ]
    right = [name for name in ("dq", "dk", "dv") if name not in wrong]
    if not right:
        return ""
    are, are_not = ("is" if len(names) == 1 else "are" for names in (right, wrong))
    pair = ([*of][("dq", "dk", "dv").index(wrong[0])] for of in (expected, got))
    return f"{' and '.join(right)} {are} right, {' and '.join(wrong)} {are_not} not. {times(*pair)}".rstrip()


SIZES = [(1, 2, 2), (2, 2, 2), (2, 2, 4), (3, 4, 2)]
TILED = [(4, 2, 2), (6, 2, 4), (6, 3, 2), (8, 2, 3), (3, 1, 2)]
TAILS = [(3, 2, 2), (5, 2, 2), (5, 3, 4), (7, 4, 2)]
SMALL = [small(12, 3), small(16, 4), small(20, 4), small(16, 3)]
UNTOUCHED = [untouched(2, 2), untouched(3, 2), untouched(4, 2)]
NOT, TWICE = (lambda d: 1.0), (lambda d: 1 / d)

RECOMPUTE_BACKWARD = Exercise(
    id="06.recompute_backward",
    title="The gradient by recomputation",
    name="recompute_backward",
    cases="sizes",
    properties=[
        Property(
            "dV: the gradient of a value is the sum over all queries that saw its key",
            "dV = Pᵀ dO, with the weights P = exp(S - lse) recomputed.",
            [gradient(n, tile, d, only=2) for n, tile, d in SIZES],
        ),
        Property(
            "dK: through the softmax back to the keys",
            "dS = P · (dO Vᵀ - delta), and dK = dSᵀ Q / √d.",
            [gradient(n, tile, d, only=1) for n, tile, d in SIZES + [(4, 4, 2)]],
        ),
        Property(
            "dQ: through the softmax back to the queries",
            "dQ = dS K / √d.",
            [gradient(n, tile, d, only=0) for n, tile, d in SIZES + [(4, 4, 2)]],
        ),
        Property(
            "All three gradients, over several tiles",
            "Each tile of rows adds to dK and dV, each tile of columns adds to dQ.",
            [gradient(*s) for s in TILED],
        ),
        Property(
            "A last tile may be shorter",
            "All tokens up to the end of the sequence have a gradient.",
            [gradient(*s) for s in TAILS],
        ),
        Property(
            "The score matrix never exists as a whole",
            "Only the scores of one tile exist at a time. That is why they are recomputed and not saved.",
            SMALL,
        ),
        Property("The inputs are not changed", "The gradients of earlier operations still need q, k and v.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`*=` and other in-place operations write into the caller's tensors.",
            Wrong(in_place=True),
            is_made_by=changes(UNTOUCHED, recompute_backward),
        ),
        in_float64(recompute_backward, (0, 1, 2), (0, 1), (1, 2), (0,), (1,), (2,)),
        Mistake(
            "delta is left out.",
            "The weights of a row sum to 1, so when one grows the others shrink. Subtracting delta accounts for that.",
            Wrong(delta=lambda g, o: torch.zeros(len(g))),
        ),
        Mistake(
            "delta is not computed for each row.",
            "delta[i] is the sum of grad_out[i] * out[i] over head_dim: one number for each row.",
            (
                Wrong(delta=lambda g, o: (g * o).sum().expand(len(g))),
                Wrong(delta=lambda g, o: (g * o).mean(1)),
                Wrong(delta=lambda g, o: g.sum(1)),
            ),
        ),
        Mistake(
            "delta is computed from another tensor than the output.",
            "delta is the sum of grad_out * out over each row: out is the result of the forward pass, not v.",
            Wrong(delta_of="v"),
        ),
        Mistake(
            "delta is summed within the tile only.",
            "The sum of P * dP runs over all keys of the row. (grad_out * out).sum(1) equals that sum and needs no "
            "other tile.",
            Wrong(delta_of_tile=True),
        ),
        Mistake(
            "the scale is missing in the backward pass.",
            "The scores were divided by √d, so the gradients of q and k are divided by it too.",
            (Wrong(scale_q=NOT, scale_k=NOT), Wrong(scale_q=NOT), Wrong(scale_k=NOT)),
        ),
        Mistake(
            "the scale is applied twice in the backward pass.",
            "Divide by √d once. A q that is divided before has the factor already in dK, and a dS that is divided has "
            "it in dQ and dK.",
            (Wrong(scale_q=TWICE, scale_k=TWICE), Wrong(scale_q=TWICE), Wrong(scale_k=TWICE)),
        ),
        Mistake(
            "the weights are recomputed without the scale.",
            "S is q kᵀ / √d, as in the forward pass: lse was computed from those scores.",
            Wrong(scale_s=NOT),
        ),
        Mistake(
            "the softmax is taken over the tile.",
            "A tile does not have the rest of its row. lse covers the whole row: P = exp(S - lse).",
            tuple(Wrong(weights=lambda s, lse: torch.nan_to_num(s.softmax(1)), late=late) for late in (False, True)),
        ),
        Mistake(
            "the log-sum-exp is not subtracted.",
            "exp(S) must be divided by the sum of its row to be a weight. exp(S - lse) does that.",
            Wrong(weights=lambda s, lse: torch.exp(s)),
        ),
        Mistake(
            "there is no causal mask.",
            "Weights above the diagonal are 0 in the backward pass too.",
            (Wrong(masks=False), Wrong(hides=False)),
        ),
        Mistake(
            "a token does not see itself.",
            "Row r saw the columns up to r, its own too: only those *after* it have the weight 0.",
            Wrong(itself=False),
        ),
        Mistake(
            "the mask is inverted.",
            "Row r saw the columns up to r: the weights of columns that are *greater* than the row are 0.",
            (Wrong(inverted=True), Wrong(inverted=True, masks=False)),
        ),
        Mistake(
            "the mask compares indices within the tile.",
            "Compare positions: add the start of the tile's rows and columns.",
            Wrong(local=True),
        ),
        Mistake(
            "a gradient is overwritten, not added to.",
            "Every tile adds its part: `+=`.",
            tuple(Wrong(overwrites=names) for names in ("v", "k", "q", "kv", "qkv")),
        ),
        Mistake(
            "a matrix is not transposed, or is transposed without need.",
            "P and dS are [rows, columns]. dV and dK have a row for each column: Pᵀ dO and dSᵀ Q. dQ = dS K.",
            tuple(Wrong(untransposed=names) for names in ("k", "v", "kv", "q", "kq")),
        ),
        Mistake(
            "dS is not multiplied by the weights.",
            "The gradient of the softmax multiplies each difference by its weight: dS = P * (dP - delta).",
            Wrong(weighted=False),
        ),
        Mistake(
            "dV is computed from dS.",
            "The values were multiplied by the weights: dV = Pᵀ dO.",
            Wrong(dv_from="grad_scores"),
        ),
        Mistake("q and k are exchanged.", "dQ = dS K, and dK = dSᵀ Q.", Wrong(crossed=True)),
        Mistake(
            "the three gradients are returned in another order.",
            "The order is (dq, dk, dv).",
            tuple(Wrong(order=order) for order in ((1, 0, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 2, 1))),
        ),
        Mistake(
            "the last, shorter tile is left out.",
            "`range(0, n, tile)` begins a tile there; `min(start + tile, n)` ends it.",
            Wrong(drops_tail=True),
        ),
        Mistake(
            "the tiles on the diagonal are skipped.",
            "Every token sees itself, so these tiles hold pairs that are not masked.",
            Wrong(skips_diagonal=True),
        ),
        Mistake(
            "more weights exist at once than a tile has.",
            "The gradient is right, but one tensor is larger than q and than a tile. Compute tile × tile weights at a "
            "time, from q, k and lse.",
            (through_the_matrix, Wrong(wide=True)),
            is_made_by=lambda answer, found: found.trial in SMALL and not isinstance(found.outcome, Raised),
        ),
    ],
    hints=[
        "First compute delta = (grad_out * out).sum(1), one number a row. Then loop over tiles of columns and of "
        "rows. For each tile, recompute the weights: P = exp(q kᵀ / √d - lse), and 0 above the diagonal.",
        "With dP = dO Vᵀ of the tile: dS = P * (dP - delta). For the mask, use positions, not indices within the tile.",
        "dV[columns] += Pᵀ dO;  dQ[rows] += dS K / √d;  dK[columns] += dSᵀ Q / √d. All three are sums over tiles.",
        "Tiles above the diagonal can be skipped: begin the loop over rows at c0. Slices such as `slice(c0, min(c0 + "
        "tile, n))` handle the shorter last tile.",
    ],
    rights=[recompute_backward, backward_by_rows, backward_by_autograd],
    why="One number a row, lse, is enough to recompute any weight. That costs one more product of q and k, and saves "
    "writing and reading n × n weights: on a GPU it is faster, not slower.",
)
