"""Cases of 07.row_softmax: a row a program, in torch or as a Triton kernel."""

import torch

from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import Near, differing
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.lessons.kernel_mistakes import half_sums, power_of_two
from course_lib.practice.report.tensors import code, numbers

from .row_softmax_answers import (
    INF,
    bent,
    far_below,
    first_row,
    nan_in_full_blocks,
    over_everything,
    row_softmax,
    side_by_side,
    softmax_program_by_program,
)

MOST = 16
"""A row of more numbers is shown by its begin and its end."""


def story(x, made, half):
    return [
        "import torch",
        "from course_lib.practice.play import here",
        f"x = here({code(x)}{'.half()' * half}{made})",
        "row_softmax(x)",
    ]


def rows(*values, made="", make=lambda x: x, half=False):
    """The Trial on these rows; made, make: how a view is taken of them, as code and in fact."""
    x = torch.tensor(values, dtype=torch.float32).reshape(len(values), -1)
    return rungs.trial(
        story(x, made, half),
        lambda: (make(x.half() if half else x.clone()),),
        lambda answer, x: answer(x),
        show=shown,
        explain=explain,
        size=x.numel() + 3 * bool(made),
    )


def even(n, m, **options):
    """Rows of small numbers that differ."""
    return rows(*[[((3 * i + 5 * j) % 7 - 3) / 2 for j in range(m)] for i in range(n)], **options)


def turned(n, m):
    return even(n, m, made=".T", make=lambda x: x.T)


def cut(n, m, first, last):
    return even(n, m, made=f"[:, {first}:{last}]", make=lambda x: x[:, first:last])


def repeated(times):
    """One row of 2 * times numbers."""
    return rows([1.0, 2.0], made=f".repeat(1, {times})", make=lambda x: x.repeat(1, times))


def equal(count):
    """One row of so many equal numbers in half precision."""
    return rows([0.0], made=f".repeat(1, {count})", make=lambda x: x.repeat(1, count), half=True)


def is_cut_short(answer, found):
    """Whether a long row is written at its begin and not at its end."""
    mine = found.outcome
    return (
        found.trial in LONG
        and isinstance(mine, torch.Tensor)
        and mine.ndim == 2
        and bool(mine[0, -1].isnan())
        and not mine[0, 0].isnan()
    )


def untouched(n, m):
    x = torch.arange(1.0, n * m + 1).reshape(n, m)

    def call(answer, given):
        answer(given)
        return given

    return rungs.trial(
        [*story(x, "", False), "x"], lambda: (x.clone(),), call, show=shown, size=n * m, note="as it was"
    )


def shown(result):
    if isinstance(result, Near):
        half = result.tensor.dtype != torch.float32
        return shown(result.tensor) + f" in {str(result.tensor.dtype).removeprefix('torch.')}" * half
    if isinstance(result, torch.Tensor) and result.ndim == 2 and result.shape[1] > MOST:
        return (
            "["
            + ", ".join(f"[{numbers(row[:4], 4)[1:-1]}, …, {numbers(row[-4:], 4)[1:-1]}]" for row in result)
            + f"]   ({result.shape[1]:,} numbers a row)"
        )
    return numbers(result, 4) if isinstance(result, torch.Tensor) else repr(result)


def explain(expected, got):
    want, mine = (x.tensor if isinstance(x, Near) else x for x in (expected, got))
    if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
        return f"A tensor of shape {list(want.shape)} is asked for."
    if mine.dtype != want.dtype:
        return f"The result is {mine.dtype}, and x is {want.dtype}."
    if mine.isnan().any() and not want.isnan().any():
        where = mine.isnan().any(1).nonzero().flatten().tolist()
        return (
            f"Row {where[0]} holds nan: memory that nobody has written, infinity less infinity, or nothing divided by "
            "nothing."
        )
    if want.shape[1] > MOST:
        row, column = differing(expected, got).nonzero()[0].tolist()
        return f"First different: row {row}, column {column}, {numbers(mine[row, column], 4)} instead of {numbers(want[row, column], 4)}."
    return ""


ONE = [even(1, 1), even(1, 2), even(1, 4), rows([-2.0, -1.0])]
MANY = [even(2, 1), even(2, 2), even(2, 4), even(5, 2)]
TAILS = [even(1, 3), rows([-2.0, -3.0, -1.0]), even(1, 5), rows([1.0, 2.0, 3.0]), even(3, 6), even(9, 5), even(2, 7)]
LONG = [repeated(10), repeated(35), repeated(140), repeated(600)]
LARGE = [
    rows([1000.0]),
    rows([1000.0, 999.0]),
    rows([-1000.0, -1001.0]),
    rows([1000.0, 1000.0], [0.0, 1.0]),
    rows([90.0, 0.0], [-200.0, -201.0]),
    rows([0.0], [300.0]),
    rows([0.0, 1.0], [200.0, 203.0], [-200.0, -201.0]),
]
MASKED = [rows([1.0, -INF]), rows([-INF, 0.0, 2.0]), rows([-INF, -3.0], [2.0, -INF])]
BLIND = [rows([-INF]), rows([-INF, -INF]), rows([1.0, 2.0], [-INF, -INF]), rows([-INF, -INF, -INF], [0.0, -INF, 1.0])]
STRIDED = [turned(2, 2), turned(2, 3), turned(4, 3), cut(2, 4, 1, 3), cut(3, 6, 2, 5)]
FINE = [equal(3000)]
HALF = [*FINE, even(1, 2, half=True), even(2, 3, half=True), rows([6.0, 0.5, -4.0], [1.0, 2.0, 3.0], half=True)]
UNTOUCHED = [untouched(1, 2), untouched(2, 3)]

ROW_SOFTMAX = Exercise(
    id="07.row_softmax",
    title="A kernel a row: softmax",
    name="row_softmax",
    cases="rows",
    properties=[
        Property("One row: exponentials, divided by their sum", "The same as `torch.softmax(x, 1)`.", ONE),
        Property(
            "Each program takes a row of its own",
            "`tl.program_id(0)` says which, and the row's stride where it begins.",
            MANY,
        ),
        Property(
            "A row of any length: the lanes past its end count nothing",
            "A block is a power of two, and rows are not. The mask says which lanes "
            "are there, and `other` what the rest hold.",
            [*TAILS, *LONG],
        ),
        Property(
            "Scores of a thousand do not overflow",
            "exp(89) is the last that a float32 holds. Less the row's maximum, no score is above 0.",
            LARGE,
        ),
        Property("A score of -inf weighs nothing", "That is how a mask hides a key.", MASKED),
        Property(
            "A row that is masked as a whole gives zeros",
            "Its maximum is -inf, and -inf less -inf is nan. One nan spreads through a whole model.",
            BLIND,
        ),
        Property(
            "x may be a view: its strides say where its numbers are",
            "Slices and transposes share memory with what they were cut from; nothing is copied.",
            STRIDED,
        ),
        Property(
            "float16 comes in and goes out; between, float32",
            "Triton's `tl.exp` takes float32, and a sum of many small numbers needs it.",
            HALF,
        ),
        Property("x stays as it is", "Its owner still needs the scores.", UNTOUCHED),
        *rungs.rungs(even(2, 3), even(2, 3, half=True)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "x is changed.",
            "The result belongs into memory of its own: `torch.empty`.",
            bent(writes=lambda out, x: x.copy_(out)),
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "rows are taken to lie side by side.",
            "In a view they do not. A number of x is at row * x.stride(0) + column * x.stride(1), and the result has strides of "
            "its own: `torch.empty_like(x)` keeps those of a transposed x.",
            bent(reads=side_by_side),
            is_made_by=lambda answer, found: (
                found.trial in STRIDED and getattr(found.outcome, "kind", "OutOfBounds") == "OutOfBounds"
            ),
        ),
        rungs.OUTSIDE,
        power_of_two(
            "Rows have any length, and a block has not: `BLOCK=triton.next_power_of_2(columns)`, with a mask for the lanes from `columns` on."
        ),
        Mistake(
            "lanes past the end take a share.",
            'A lane that loads 0 has a weight of exp(0 - maximum). Load -inf there: `other=-float("inf")`.',
            bent(tail=1),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(1000) is infinite, and exp(-1000) is 0. Less the row's maximum, the largest weight is exactly 1.",
            (
                bent(high=lambda x: torch.zeros_like(x[:, :1])),
                bent(high=lambda x: torch.zeros_like(x[:, :1]), guards=False),
            ),
        ),
        Mistake(
            "all rows have one maximum.",
            "A row far below it underflows to nothing. Each row has its own.",
            bent(high=lambda x: x.max().expand(len(x), 1)),
        ),
        Mistake(
            "a row that is masked as a whole is nan.",
            "Where the maximum is -inf subtract 0 instead, and where the sum is 0 divide by 1.",
            (bent(guards=False), nan_in_full_blocks),
        ),
        Mistake(
            "-inf is replaced by a large number below 0.",
            "-1e9 less -1e9 is 0, and exp(0) is 1: in a row that is masked as a whole, everything has a weight again, the lanes "
            'past the end too. Load with other=-float("inf"), and subtract 0 where the maximum is -inf.',
            (far_below, lambda x: torch.softmax(x.float().clamp(min=-1e9), 1).to(x.dtype)),
        ),
        Mistake("the sum is never divided by.", "The weights of a row add up to 1.", bent(divides=False)),
        Mistake(
            "the sum runs down the columns.",
            "A row is one program's own; it never sees the others.",
            (bent(dim=0), lambda x: torch.softmax(x.float(), 0).to(x.dtype)),
        ),
        Mistake(
            "one softmax is taken over all rows.",
            "Each row adds up to 1 by itself: maximum and sum are those of one row, `dim=1`.",
            over_everything,
        ),
        Mistake(
            "the block ends before the row does.",
            "Take as many lanes as the row needs: `BLOCK=triton.next_power_of_2(columns)`.",
            is_made_by=is_cut_short,
        ),
        Mistake(
            "every program takes the first row.",
            "Launch a program for each row, and add `tl.program_id(0)` times the row's stride to the pointers, where you load and where you store.",
            (bent(writes=first_row), bent(reads=lambda x: x[:1].expand_as(x))),
        ),
        Mistake(
            "the result is in float32.",
            "Compute in float32, and store as x has it: `.to(out_ptr.dtype.element_ty)`.",
            bent(dtype=torch.float32),
        ),
        half_sums(
            FINE,
            "A float16 has 11 bits: 2048 + 1 is 2048 again. Make the row float32 first, `.to(tl.float32)` or `.float()`, and the result float16 last.",
        ),
    ],
    hints=[
        "Rung 1: for each row, subtract its maximum, take exp, divide by the sum. What that loop does for one row is what one program will do.",
        "A program knows its row: `row = tl.program_id(0)`. It takes `offsets = tl.arange(0, BLOCK)`, of which those below `columns` are there.",
        'Load `x_ptr + row * row_stride + offsets * column_stride` with mask=offsets < columns and other=-float("inf"), and make it tl.float32.',
        "tl.max(x, 0), tl.exp and tl.sum(weights, 0) do the rest; tl.where puts 0 for a maximum of -inf and 1 for a sum of 0.",
        "Launch one program a row: softmax_kernel[(rows,)](x, out, x.stride(0), x.stride(1), columns, BLOCK=triton.next_power_of_2(columns)).",
    ],
    rights=[
        row_softmax,
        softmax_program_by_program,
        *rungs.in_triton("l07.solutions.row_softmax", "row_softmax"),
        *rungs.in_triton("l07.kernel_answers", "softmax_in_pieces"),
    ],
    why="Each number is read once and written once: between the two, a row lives in the registers of its program. Torch, asked for exp, sum and division "
    "one by one, would move it three times.",
    budget_s=rungs.BUDGET_S,
)
