"""Cases of 06.merge_partials."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report.tensors import code

from .merge_partials_answers import (
    INF,
    bent,
    by_lse,
    halves,
    in_base_two,
    larger_only,
    log_of_sum,
    merge_by_share,
    merge_by_sigmoid,
    merges_in_place,
    not_divided,
    overflowing,
    right_weights,
    swapped,
    under_one_maximum,
    under_one_side,
    unguarded,
)
from .online_softmax import explain as explain_one
from .online_softmax import shown
from .solutions.merge_partials import merge_partials
from .tensors_shown import in_float64


def sides(rows, lse_a, lse_b, heads=None, head_dim=2):
    """Inputs of one case: outputs are small whole numbers."""
    shape = (rows, head_dim) if heads is None else (rows, heads, head_dim)
    count = torch.Size(shape).numel()
    out_a, out_b = torch.arange(float(count)).reshape(shape) + 1, 10.0 - 2 * torch.arange(float(count)).reshape(shape)
    lse_a, lse_b = (torch.tensor(x).reshape(shape[:-1]) for x in (lse_a, lse_b))
    for out, lse in ((out_a, lse_a), (out_b, lse_b)):
        out[lse == -INF] = 0.0
    return out_a, lse_a, out_b, lse_b


def merge(lse_a, lse_b, heads=None, head_dim=2, note="(out, lse)"):
    def made():
        return sides(len(lse_a) // (heads or 1), lse_a, lse_b, heads, head_dim)

    lines = [f"{name} = {code(x)}" for name, x in zip(("out_a", "lse_a", "out_b", "lse_b"), made())]
    return Trial(
        [*lines, "merge_partials(out_a, lse_a, out_b, lse_b)"],
        lambda answer: answer(*made()),
        show=shown,
        note=note,
        explain=explain,
        size=len(lse_a) * head_dim + (heads or 0),
    )


def three(lses, order):
    """Three partials of one row merged two by two."""

    def act(answer):
        parts = [(torch.tensor([[float(i), 2.0 - i]]), torch.tensor([lse])) for i, lse in enumerate(lses)]
        a, b, c = (parts[i] for i in order)
        return answer(*answer(*a, *b), *c)

    return Trial(
        [
            f"parts = [(torch.tensor([[float(i), 2. - i]]), torch.tensor([lse])) for i, lse in enumerate({list(lses)})]",
            f"a, b, c = (parts[i] for i in {list(order)})",
            "merge_partials(*merge_partials(*a, *b), *c)",
        ],
        act,
        show=shown,
        size=8 + len(lses),
        note="the same in every order",
    )


def untouched(lse_a, lse_b):
    def act(answer):
        given = sides(len(lse_a), lse_a, lse_b)
        answer(*given)
        return given

    lines = [
        f"{name} = {code(x)}" for name, x in zip(("out_a", "lse_a", "out_b", "lse_b"), sides(len(lse_a), lse_a, lse_b))
    ]
    return Trial(
        [*lines, "merge_partials(out_a, lse_a, out_b, lse_b)", "out_a, lse_a, out_b, lse_b"],
        act,
        show=shown,
        size=len(lse_a),
        note="as they were",
    )


def explain(expected, got):
    if (
        isinstance(got, tuple)
        and len(got) == 2
        and isinstance(got[1], torch.Tensor)
        and got[1].shape != expected[1].shape
    ):
        return f"lse has shape {list(got[1].shape)}; those that came in have {list(expected[1].shape)}."
    if (
        isinstance(got, tuple)
        and len(got) == 2
        and all(isinstance(x, torch.Tensor) for x in got)
        and got[1].numel() == 1
    ):
        return explain_one((expected[0], float(expected[1])), (got[0], float(got[1])))
    if isinstance(got, tuple) and any(isinstance(x, torch.Tensor) and x.isnan().any() for x in got):
        return "nan comes out where infinity is taken from infinity, or nothing divided by nothing."
    return (
        ""
        if isinstance(got, tuple) and len(got) == 2
        else "Two things are asked for: the output, and the log-sum-exp over the keys of both."
    )


UNTOUCHED = [untouched([0.0], [1.0]), untouched([2.0, 1.0], [0.0, 1.0]), untouched([3.0], [3.0])]

MERGE_PARTIALS = Exercise(
    id="06.merge_partials",
    title="Two partial results into one",
    name="merge_partials",
    cases="pairs",
    properties=[
        Property(
            "Two sides with the same sum weigh the same",
            "Equal log-sum-exps mean equal sums: half and half, and the sum doubles.",
            [merge([0.0], [0.0]), merge([1.0], [1.0]), merge([3.0], [3.0], head_dim=3), merge([-2.0], [-2.0])],
        ),
        Property(
            "A side weighs as much as its share of the whole sum",
            "exp(lse) is the sum of a side's exponentials: its share is that, over both.",
            [
                merge([1.0], [0.0]),
                merge([0.0], [2.0]),
                merge([3.0], [1.0]),
                merge([-1.0], [1.0], head_dim=3),
                merge([0.5], [-2.0]),
            ],
        ),
        Property(
            "Every row and every head has weights of its own",
            "lse has one number for each row and head; it has to meet all numbers of that head.",
            [
                merge([0.0, 1.0], [1.0, 1.0]),
                merge([2.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
                merge([0.0, 2.0, 1.0, 0.0], [1.0, 0.0, 1.0, 3.0], heads=2),
                merge([0.0, 2.0, 1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 3.0, 0.0, 2.0], heads=3, head_dim=3),
                merge([1.0, 2.0], [2.0, 1.0], heads=2),
            ],
        ),
        Property(
            "A side that saw nothing changes nothing",
            "Its lse is -inf and its sum 0. Where neither saw anything, the row stays zeros with -inf.",
            [
                merge([1.0], [-INF]),
                merge([-INF], [2.0]),
                merge([-INF], [-INF]),
                merge([-INF, 0.0], [-INF, 1.0]),
                merge([-INF, 0.0], [1.0, -INF]),
                merge([-INF, -INF], [-INF, -INF], heads=2),
            ],
        ),
        Property(
            "Log-sum-exps of a thousand do not overflow",
            "exp(1000) is infinite in any format. Only the difference of the two matters.",
            [
                merge([1000.0], [999.0]),
                merge([500.0], [502.0]),
                merge([-1000.0], [-1001.0]),
                merge([1000.0], [-1000.0]),
                merge([-1000.0], [1000.0]),
            ],
        ),
        Property(
            "A row may lie a thousand below its neighbours",
            "Each row has a maximum of its own. Under a larger one all its exponentials are 0.",
            [
                merge([1000.0, 0.0], [1000.0, 0.0]),
                merge([0.0, 1000.0], [1.0, 999.0]),
                merge([-1000.0, 0.0], [-1000.0, -1.0]),
                merge([0.0, 500.0, -500.0], [2.0, 500.0, -500.0]),
                merge([1000.0, 0.0], [999.0, 2.0], heads=2),
                merge([0.0, 1000.0], [1000.0, 1.0]),
            ],
        ),
        Property(
            "Three parts give the same in any order",
            "That is what lets a long context be split, and the parts finish when they like.",
            [three((0.0, 1.0, 2.0), order) for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0))]
            + [three((3.0, 3.0, 3.0), (0, 1, 2))],
        ),
        Property("What is handed in stays as it is", "The caller may merge the same part again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`mul_`, `add_`, `*=` and the like write into the caller's tensors. Make new ones.",
            merges_in_place,
            is_made_by=writes_into(UNTOUCHED),
        ),
        in_float64(merge_partials, (0, 1), (0,), (1,)),
        Mistake(
            "merged without weights.",
            "Each side is an average already, over another number of keys or larger scores. Weigh it by its share of the sum.",
            bent(halves),
        ),
        Mistake("the weights are swapped.", "The side with the larger log-sum-exp weighs more.", bent(swapped)),
        Mistake(
            "the log-sum-exps themselves are the weights.", "lse is a logarithm; the sum is exp(lse).", bent(by_lse)
        ),
        Mistake(
            "the exponentials overflow.",
            "Subtract the larger of the two before exp. The shares stay the same.",
            (bent(overflowing, log_of_sum), bent(overflowing)),
        ),
        Mistake(
            "one maximum is taken for all rows.",
            "exp of a row that lies far below it is 0 on both sides. `torch.maximum(lse_a, lse_b)` gives every row and head its own.",
            under_one_maximum(lambda a, b: torch.maximum(a.max(), b.max())),
        ),
        Mistake(
            "the same side is subtracted, whichever is larger.",
            "exp(1000) is infinite, and -inf less -inf is nan. `torch.maximum(lse_a, lse_b)` takes the larger one of each row.",
            (under_one_side(lambda a, b: a), under_one_side(lambda a, b: b)),
        ),
        Mistake(
            "nothing merged with nothing is nan.",
            "-inf less -inf is nan. Where both are -inf, subtract 0 and divide by 1.",
            bent(unguarded),
        ),
        Mistake("the weights do not sum to 1.", "Divide by the sum of both exponentials.", bent(not_divided)),
        Mistake("the larger side takes all.", "The smaller one has its share too, however small.", bent(larger_only)),
        Mistake(
            "the new log-sum-exp is wrong.",
            "It is the log of the sum over the keys of both: log(exp(a) + exp(b)), with the larger taken out first.",
            (
                bent(right_weights, torch.maximum),
                bent(right_weights, lambda a, b: a + b),
                bent(right_weights, lambda a, b: (a + b) / 2),
            ),
        ),
        Mistake(
            "base 2 is mixed with base e.",
            "These log-sum-exps are natural logarithms: exp, not exp2.",
            bent(in_base_two),
        ),
        Mistake(
            "the weights meet the wrong numbers.",
            "lse is [rows, heads] and out is [rows, heads, head_dim]: `lse[..., None]` gives every number of a head the same weight.",
            (bent(right_weights, spread=lambda w: w), bent(right_weights, spread=lambda w: w[:, None])),
        ),
    ],
    hints=[
        "exp(lse) is the sum of exponentials that a side divided by. Multiply each output by it, add, and divide by both sums together.",
        "exp overflows: take the larger lse out first. a = exp(lse_a - top), b = exp(lse_b - top); the shares are a / (a + b) and b / (a + b).",
        "The new lse is top + log(a + b). `[..., None]` lets one weight meet all numbers of a row.",
        "Where top is -inf, both saw nothing: use 0 in its place, and divide by 1 where a + b is 0.",
    ],
    rights=[merge_partials, merge_by_share, merge_by_sigmoid],
    why="Each partial result is exact for its own keys. Undo its division, add, divide once more: nothing is approximated, so any split gives the same output.",
)
