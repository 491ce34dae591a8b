"""Trials of 07.row_softmax."""

import torch

from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import Near, differing
from course_lib.practice.report.tensors import code, numbers

from .row_softmax_answers import INF

MOST = 16
"""Of a row with more numbers, only the beginning and the end are shown."""


def story(x, made, half):
    return [
        "import torch",
        "from course_lib.practice.play import here",
        f"x = here({code(x)}{'.half()' * half}{made})",
        "row_softmax(x)",
    ]


def rows(*values, made="", make=lambda x: x, half=False):
    """The Trial on these rows. make, made: a function that takes a view of them, and the same as code."""
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
    """The Trial on n rows of m small numbers."""
    return rows(*[[((3 * i + 5 * j) % 7 - 3) / 2 for j in range(m)] for i in range(n)], **options)


def transposed(n, m):
    return even(n, m, made=".T", make=lambda x: x.T)


def sliced(n, m, first, last):
    return even(n, m, made=f"[:, {first}:{last}]", make=lambda x: x[:, first:last])


def repeated(times):
    """The Trial on one row of 2 * times numbers."""
    return rows([1.0, 2.0], made=f".repeat(1, {times})", make=lambda x: x.repeat(1, times))


def equal(count):
    """The Trial on one row of `count` equal numbers in half precision."""
    return rows([0.0], made=f".repeat(1, {count})", make=lambda x: x.repeat(1, count), half=True)


def nearest(n, m):
    """The Trial of whether each number of a float16 result is the float16 that is nearest to the exact one.

    A float32 softmax is off by 1 part in 100,000 at most, so its result is rounded once, at the end.
    """
    lines = [
        "import torch",
        "from course_lib.practice.play import here",
        f"x = here((torch.arange({n * m}) % 61 / 8).view({n}, {m}).half())",
        "exact = torch.softmax(x.double(), 1)",
        "step = (2 ** (exact.log2().floor() - 10)).clamp(min=2**-24)  # between two float16 of this size",
        "int(((row_softmax(x) - exact).abs() > 0.51 * step).sum())  # numbers that are not rounded to the nearest",
    ]

    def call(answer, x):
        exact, mine = torch.softmax(x.double(), 1), answer(x)
        if not isinstance(mine, torch.Tensor) or mine.shape != x.shape or mine.dtype != x.dtype:
            return mine
        step = (2 ** (exact.log2().floor() - 10)).clamp(min=2**-24)
        return int(((mine - exact).abs() > 0.51 * step).sum())

    return rungs.trial(
        lines,
        lambda: ((torch.arange(n * m) % 61 / 8).view(n, m).half(),),
        call,
        show=shown,
        explain=lambda expected, got: (
            f"{got} of {n * m} numbers are further away than rounding at the end can make them."
            if isinstance(got, int)
            else ""
        ),
        size=n * m,
    )


def untouched(n, m, masked=False):
    x = torch.arange(1.0, n * m + 1).reshape(n, m)
    x[:, :1] = -INF if masked else x[:, :1]

    def call(answer, given):
        answer(given)
        return given

    return rungs.trial(
        [*story(x, "", False), "x"], lambda: (x.clone(),), call, show=shown, size=n * m, note="unchanged"
    )


def stays(n, m):
    """The Trial of the first result, after a second call with other numbers."""
    x = torch.arange(1.0, n * m + 1).reshape(n, m)

    def call(answer, given):
        first = answer(given)
        answer(given * given)
        return first

    return rungs.trial(
        [*story(x, "", False)[:-1], "first = row_softmax(x)", "row_softmax(x * x)", "first  # as it was before"],
        lambda: (x.clone(),),
        call,
        show=shown,
        explain=explain,
        size=n * m,
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
        return f"The result must be a tensor of shape {list(want.shape)}."
    if mine.dtype != want.dtype:
        return f"The result is {mine.dtype}, and x is {want.dtype}."
    if mine.isnan().any() and not want.isnan().any():
        where = mine.isnan().any(1).nonzero().flatten().tolist()
        return f"Row {where[0]} holds nan: memory that was never written, infinity minus infinity, or 0 divided by 0."
    wrong = differing(expected, got)
    row, column = wrong.nonzero()[0].tolist()
    this, that = (float(x[row, column]) for x in (mine, want))
    said = f"First different: row {row}, column {column}, {this:.4g} instead of {that:.4g}. "
    said += f"{int(wrong.any(1).sum())} of {len(want)} rows differ."
    same = [other for other in range(len(want)) if not differing(want[other], mine[row]).any()]
    total = float(mine[row].double().sum())
    if same:
        said += f" Row {row} of yours is what row {same[0]} should be."
    elif abs(total - float(want[row].double().sum())) > 1e-3:
        said += f" Row {row} of yours sums to {total:.4g}."
    return said


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
FULLY_MASKED = [
    rows([-INF]),
    rows([-INF, -INF]),
    rows([1.0, 2.0], [-INF, -INF]),
    rows([-INF, -INF, -INF], [0.0, -INF, 1.0]),
]
STRIDED = [transposed(2, 2), transposed(2, 3), transposed(4, 3), sliced(2, 4, 1, 3), sliced(3, 6, 2, 5)]
MANY_SMALL = [equal(3000)]
NEAREST = [nearest(2, 30), nearest(3, 64), nearest(2, 100)]
HALF = [
    *MANY_SMALL,
    *NEAREST,
    even(1, 2, half=True),
    even(2, 3, half=True),
    rows([6.0, 0.5, -4.0], [1.0, 2.0, 3.0], half=True),
]
STAYS = [stays(1, 2), stays(2, 3)]
UNTOUCHED = [untouched(1, 2), untouched(2, 3), untouched(1, 2, masked=True)]
