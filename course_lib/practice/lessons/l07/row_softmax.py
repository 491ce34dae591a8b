"""07.row_softmax: a softmax with one program for each row, in torch or in Triton."""

import torch

from course_lib.practice.judge import rungs
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.lessons.kernel_mistakes import (
    STAYS_MEANING,
    STAYS_TITLE,
    STORES,
    half_sums,
    overwritten,
    power_of_two,
)

from .row_softmax_answers import (
    altered,
    far_below,
    first_row,
    nan_in_full_blocks,
    over_everything,
    row_softmax,
    side_by_side,
    softmax_program_by_program,
)
from .row_softmax_trials import (
    FULLY_MASKED,
    HALF,
    LARGE,
    LONG,
    MANY,
    MANY_SMALL,
    MASKED,
    NEAREST,
    ONE,
    STAYS,
    STRIDED,
    TAILS,
    UNTOUCHED,
    even,
    sliced,
    transposed,
)


def is_cut_short(answer, found):
    """Whether the beginning of a long row is written, and its end is not."""
    mine = found.outcome
    return (
        found.trial in LONG
        and isinstance(mine, torch.Tensor)
        and mine.ndim == 2
        and bool(mine[0, -1].isnan())
        and not mine[0, 0].isnan()
    )


ROW_SOFTMAX = Exercise(
    id="07.row_softmax",
    title="A kernel a row: softmax",
    name="row_softmax",
    cases="rows",
    properties=[
        Property("One row: exponentials divided by their sum", "The result is that of `torch.softmax(x, 1)`.", ONE),
        Property(
            "Each program takes its own row", "`tl.program_id(0)` is the row, and the row stride gives its start.", MANY
        ),
        Property(
            "A row can have any length: lanes after its end do not count",
            "The block size is a power of two, and the length of a row need not be. The mask says which lanes are in "
            "the row, and `other` is the value of the rest.",
            [*TAILS, *LONG],
        ),
        Property(
            "Scores of a thousand do not overflow",
            "In float32, exp(89) is infinite. With the row's maximum subtracted, no score is above 0.",
            LARGE,
        ),
        Property("A score of -inf has weight 0", "A mask excludes a key in this way.", MASKED),
        Property(
            "A fully masked row gives zeros",
            "Its maximum is -inf, and -inf minus -inf is nan. One nan spreads through the whole model.",
            FULLY_MASKED,
        ),
        Property(
            "x may be a view: its strides give the addresses",
            "Slices and transposes share memory with their base tensor. Nothing is copied.",
            STRIDED,
        ),
        Property(
            "Input and result are float16, the computation is float32",
            "Triton's `tl.exp` takes float32, and a sum of many small numbers needs it.",
            HALF,
        ),
        Property("x is not changed", "The caller still needs the scores.", UNTOUCHED),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs.rungs(
            even(2, 3), even(2, 3, half=True), orders=[even(5, 3), even(9, 5), sliced(3, 6, 2, 5), transposed(4, 3)]
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "x is changed.",
            "Write the result into a new tensor: `torch.empty`.",
            altered(writes=lambda out, x: x.copy_(out)),
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "rows are assumed to be contiguous.",
            "In a view they need not be. A number of x is at row * x.stride(0) + column * x.stride(1). The result has "
            "its own strides: `torch.empty_like(x)` keeps those of a transposed x.",
            altered(reads=side_by_side),
            is_made_by=lambda answer, found: (
                found.trial in STRIDED and getattr(found.outcome, "kind", "OutOfBounds") == "OutOfBounds"
            ),
        ),
        rungs.OUTSIDE,
        overwritten(STAYS),
        power_of_two(
            "A row can have any length, a block cannot: use `BLOCK=triton.next_power_of_2(columns)`, with a mask for "
            "the lanes from `columns` on."
        ),
        Mistake(
            "lanes after the end have a weight.",
            'A lane that loads 0 has the weight exp(0 - maximum). Load -inf there: `other=-float("inf")`.',
            altered(tail=True),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(1000) is infinite, and exp(-1000) is 0. With the row's maximum subtracted, the largest weight is "
            "exactly 1.",
            (
                altered(maximum=lambda x: torch.zeros_like(x[:, :1])),
                altered(maximum=lambda x: torch.zeros_like(x[:, :1]), guards=False),
            ),
        ),
        Mistake(
            "one maximum is used for all rows.",
            "In a row far below that maximum, all weights underflow to 0. Each row has its own maximum.",
            altered(maximum=lambda x: x.max().expand(len(x), 1)),
        ),
        Mistake(
            "a fully masked row is nan.",
            "When the maximum is -inf, subtract 0 instead. When the sum is 0, divide by 1.",
            (altered(guards=False), nan_in_full_blocks),
        ),
        Mistake(
            "-inf is replaced by a large negative number.",
            "-1e9 minus -1e9 is 0, and exp(0) is 1, so in a fully masked row all numbers have a weight, lanes after "
            'the end too. Load with other=-float("inf"), and subtract 0 where the maximum is -inf.',
            (far_below, lambda x: torch.softmax(x.float().clamp(min=-1e9), 1).to(x.dtype)),
        ),
        Mistake(
            "the weights are not divided by their sum.", "The weights of a row must sum to 1.", altered(divides=False)
        ),
        Mistake(
            "the sum is taken over a column.",
            "A program has one row and does not see the others. Sum over the row: `dim=1`.",
            (altered(dim=0), lambda x: torch.softmax(x.float(), 0).to(x.dtype)),
        ),
        Mistake(
            "one softmax is computed over all rows.",
            "Each row must sum to 1: take the maximum and the sum of one row, `dim=1`.",
            over_everything,
        ),
        Mistake(
            "the block ends before the row does.",
            "The block needs as many lanes as the row has numbers: `BLOCK=triton.next_power_of_2(columns)`.",
            is_made_by=is_cut_short,
        ),
        Mistake(
            "every program takes the first row.",
            "Launch a program for each row, and add `tl.program_id(0)` times the row's stride to the pointers of the "
            "load and of the store.",
            (altered(writes=first_row), altered(reads=lambda x: x[:1].expand_as(x))),
        ),
        Mistake(
            "the result is in float32.",
            "Compute in float32, and store in the dtype of x: `.to(out_ptr.dtype.element_ty)`.",
            altered(dtype=torch.float32),
        ),
        Mistake(
            "parts of the computation are in float16.",
            "Each operation in float16 rounds once more. Convert the row to float32 first, `.to(tl.float32)` or "
            "`.float()`, and the result to float16 at the end.",
            is_made_by=lambda answer, found: found.trial in NEAREST and isinstance(found.outcome, int),
        ),
        half_sums(
            MANY_SMALL,
            "A float16 has 11 bits: 2048 + 1 gives 2048. Convert the row to float32 first, `.to(tl.float32)` or "
            "`.float()`, and the result to float16 at the end.",
        ),
        *STORES,
    ],
    hints=[
        "Rung 1: for each row, subtract its maximum, apply exp, divide by the sum. One program of the kernel does "
        "what this loop does for one row.",
        "The row of a program is `row = tl.program_id(0)`. Its lanes are `offsets = tl.arange(0, BLOCK)`, of which "
        "those below `columns` are in the row.",
        "Load `x_ptr + row * row_stride + offsets * column_stride` with mask=offsets < columns and "
        'other=-float("inf"), and convert it to tl.float32.',
        "tl.max(x, 0), tl.exp and tl.sum(weights, 0) do the rest. With tl.where, replace a maximum of -inf by 0 and a "
        "sum of 0 by 1.",
        "Launch one program a row: softmax_kernel[(rows,)](x, out, x.stride(0), x.stride(1), columns, "
        "BLOCK=triton.next_power_of_2(columns)).",
    ],
    rights=[
        row_softmax,
        softmax_program_by_program,
        *rungs.in_triton("l07.solutions.row_softmax", "row_softmax"),
        *rungs.in_triton("l07.kernel_answers", "softmax_in_pieces"),
    ],
    why="Each number is read once and written once. Between the two, a row is in the registers of its program. With "
    "separate calls of exp, sum and division, torch would move it three times.",
    budget_s=rungs.BUDGET_S,
)
