"""06.merge_partials: two partial results of attention become one."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, changes
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .merge_partials_answers import (
    INF,
    altered,
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
    shifts_in_place,
    swapped,
    under_one_maximum,
    under_one_side,
    unguarded,
)
from .merge_partials_trials import UNTOUCHED, merge, nearly_cancels, three
from .solutions.merge_partials import merge_partials
from .tensors_shown import in_float64

MERGE_PARTIALS = Exercise(
    id="06.merge_partials",
    title="Two partial results into one",
    name="merge_partials",
    cases="pairs",
    properties=[
        Property(
            "Two sides with the same sum have the same weight",
            "Equal log-sum-exps mean equal sums: both weights are one half, and the sum doubles.",
            [merge([0.0], [0.0]), merge([1.0], [1.0]), merge([3.0], [3.0], head_dim=3), merge([-2.0], [-2.0])],
        ),
        Property(
            "The weight of a side is its share of the whole sum",
            "exp(lse) is the sum of a side's exponentials. Its share is that sum divided by the sum of both.",
            [
                merge([1.0], [0.0]),
                merge([0.0], [2.0]),
                merge([3.0], [1.0]),
                merge([-1.0], [1.0], head_dim=3),
                merge([0.5], [-2.0]),
                nearly_cancels(),
            ],
        ),
        Property(
            "Every row and every head has its own weights",
            "lse has one number for each row and head. The weight applies to all numbers of that head.",
            [
                merge([0.0, 1.0], [1.0, 1.0]),
                merge([2.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
                merge([0.0, 2.0, 1.0, 0.0], [1.0, 0.0, 1.0, 3.0], heads=2),
                merge([0.0, 2.0, 1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 3.0, 0.0, 2.0], heads=3, head_dim=3),
                merge([1.0, 2.0], [2.0, 1.0], heads=2),
                merge([1.0, 2.0, 0.0, 1.0], [2.0, 1.0, 1.0, 0.0], front=(2, 1, 2)),
            ],
        ),
        Property(
            "A side that saw no key changes nothing",
            "Its lse is -inf and its sum is 0. When neither side saw a key, the row is zeros and its lse is -inf.",
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
            "exp(1000) is infinite in float32. Only the difference of the two matters.",
            [
                merge([1000.0], [999.0]),
                merge([500.0], [502.0]),
                merge([-1000.0], [-1001.0]),
                merge([1000.0], [-1000.0]),
                merge([-1000.0], [1000.0]),
                merge([-30_000.0], [-30_001.0]),
                merge([30_001.0], [30_000.0]),
            ],
        ),
        Property(
            "A row may be a thousand below the other rows",
            "Each row has its own maximum. With a larger one subtracted, all its exponentials are 0.",
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
            "Three parts give the same result in any order",
            "So a long context can be split, and its parts can finish in any order.",
            [three((0.0, 1.0, 2.0), order) for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0))]
            + [three((3.0, 3.0, 3.0), (0, 1, 2))],
        ),
        Property("The inputs are not changed", "The caller may merge the same part again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the inputs are changed.",
            "`mul_`, `add_`, `*=` and other in-place operations write into the caller's tensors. Make new tensors.",
            (merges_in_place, shifts_in_place),
            is_made_by=changes(UNTOUCHED, merge_partials),
        ),
        in_float64(merge_partials, (0, 1), (0,), (1,)),
        Mistake(
            "the sides are merged without weights.",
            "Each side is an average already, over another number of keys or larger scores. Multiply it by its share "
            "of the sum.",
            altered(halves),
        ),
        Mistake(
            "the weights are swapped.", "The side with the larger log-sum-exp has the larger weight.", altered(swapped)
        ),
        Mistake(
            "the log-sum-exps themselves are the weights.", "lse is a logarithm. The sum is exp(lse).", altered(by_lse)
        ),
        Mistake(
            "the exponentials overflow.",
            "Subtract the larger log-sum-exp before exp. The shares stay the same.",
            (altered(overflowing, log_of_sum), altered(overflowing)),
        ),
        Mistake(
            "one maximum is used for all rows.",
            "In a row far below that maximum, exp is 0 on both sides. `torch.maximum(lse_a, lse_b)` gives every row "
            "and head its own maximum.",
            under_one_maximum(lambda a, b: torch.maximum(a.max(), b.max())),
        ),
        Mistake(
            "the log-sum-exp of the same side is always subtracted.",
            "exp(1000) is infinite, and -inf minus -inf is nan. `torch.maximum(lse_a, lse_b)` gives the larger one of "
            "each row.",
            (under_one_side(lambda a, b: a), under_one_side(lambda a, b: b)),
        ),
        Mistake(
            "two sides that saw no key give nan.",
            "-inf minus -inf is nan. When both are -inf, subtract 0 and divide by 1.",
            altered(unguarded),
        ),
        Mistake("the weights do not sum to 1.", "Divide by the sum of both exponentials.", altered(not_divided)),
        Mistake(
            "only the larger side counts.",
            "The smaller side has a share too, however small it is.",
            altered(larger_only),
        ),
        Mistake(
            "the new log-sum-exp is wrong.",
            "It is the log of the sum over the keys of both sides: log(exp(a) + exp(b)), with the larger one "
            "subtracted first.",
            (
                altered(right_weights, torch.maximum),
                altered(right_weights, lambda a, b: a + b),
                altered(right_weights, lambda a, b: (a + b) / 2),
            ),
        ),
        Mistake(
            "base 2 is mixed with base e.",
            "These log-sum-exps are natural logarithms: exp, not exp2.",
            altered(in_base_two),
        ),
        Mistake(
            "the weights are applied along the wrong dimension.",
            "lse is [rows, heads] and out is [rows, heads, head_dim]: `lse[..., None]` gives every number of a head "
            "the same weight.",
            (altered(right_weights, spread=lambda w: w), altered(right_weights, spread=lambda w: w[:, None])),
        ),
    ],
    hints=[
        "exp(lse) is the sum of exponentials by which a side was divided. Multiply each output by it, add the two, "
        "and divide by the sum of both.",
        "exp overflows: subtract the larger lse first. a = exp(lse_a - m_i), b = exp(lse_b - m_i); the shares are a / "
        "(a + b) and b / (a + b).",
        "The new lse is m_i + log(a + b). `[..., None]` applies one weight to all numbers of a row.",
        "Where m_i is -inf, neither side saw a key: use 0 in its place, and divide by 1 where a + b is 0.",
    ],
    rights=[merge_partials, merge_by_share, merge_by_sigmoid],
    why="Each partial result is exact for its own keys. Undo its division, add the results, and divide again. Nothing "
    "is approximated, so any split gives the same output.",
)
