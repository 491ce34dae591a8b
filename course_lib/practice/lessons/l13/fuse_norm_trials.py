"""Trials of 13.fuse_norm."""

import torch

from course_lib.practice.judge import rungs
from course_lib.practice.report.tensors import numbers

MOST = 12
"""Of a row with more numbers, only the beginning and the end are shown."""


def norm_inputs(rows, size, times=1.0, half=False, spare=(0, 0), zeros=False):
    """(x, residual, weight): small numbers, the same every time. spare: columns beside x and beside residual."""
    at = torch.arange(rows)[:, None] * 7 + torch.arange(size)[None, :] * 3
    x, residual = ((at % 5 - 2.0) / 2 * times, (at % 7 - 2.0) / 4 * times)
    if zeros:
        x, residual = 0 * x, 0 * residual
    weight = 0.5 + (torch.arange(size) % 4) / 4
    x, residual, weight = (one.half() if half else one for one in (x, residual, weight))
    return beside(x, spare[0]), beside(residual, spare[1]), weight


def beside(x, spare):
    """The same as a slice of a wider tensor that holds 100 in its other columns."""
    wide = torch.full((len(x), x.shape[1] + spare), 100.0, dtype=x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def norms(rows, size, eps=1e-5, note="", **options):
    """The Trial of one call. options: those of `norm_inputs`."""
    given = ", ".join([f"{rows}", f"{size}", *(f"{name}={value}" for name, value in options.items())])
    return rungs.trial(
        [
            "from course_lib.practice.play import here, norm_inputs",
            f"x, residual, weight = here(*norm_inputs({given}))",
            f"fuse_norm(x, residual, weight, {eps})",
        ],
        lambda: norm_inputs(rows, size, **options),
        lambda answer, x, residual, weight: pair(answer(x, residual, weight, eps)),
        show=shown,
        explain=explain,
        note=note,
        size=10 * rows * size + sum(options.get("spare", ())) + 5 * bool(options.get("half")),
    )


def pair(got):
    """A list of two as a tuple; anything else as it is."""
    return tuple(got) if isinstance(got, list) else got


def untouched(rows, size, **options):
    """The Trial of which of the caller's tensors a call changes."""

    def call(answer, *given):
        before = [x.clone() for x in given]
        answer(*given, 1e-5)
        return [name for name, a, b in zip(("x", "residual", "weight"), before, given) if not torch.equal(a, b)]

    return rungs.trial(
        [
            "# which of x, residual and weight are changed by the call?",
            "from course_lib.practice.play import here, norm_inputs",
            f"x, residual, weight = here(*norm_inputs({rows}, {size}))",
            "fuse_norm(x, residual, weight, 1e-5)",
        ],
        lambda: norm_inputs(rows, size, **options),
        call,
        show=lambda changed: " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed),
        size=rows * size,
    )


def kept(rows, size):
    """The Trial of which results of a call another call changes."""

    def call(answer, x, residual, weight):
        first = answer(x, residual, weight, 1e-5)
        before = [one.clone() for one in first]
        answer(2 * x, residual, weight, 1e-5)
        return [name for name, a, b in zip(("normed", "summed"), before, first) if not torch.equal(a, b)]

    return rungs.trial(
        [
            "from course_lib.practice.play import here, norm_inputs",
            f"x, residual, weight = here(*norm_inputs({rows}, {size}))",
            "normed, summed = fuse_norm(x, residual, weight, 1e-5)",
            "fuse_norm(2 * x, residual, weight, 1e-5)  # which of normed and summed does it change?",
        ],
        lambda: norm_inputs(rows, size),
        call,
        show=lambda changed: " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed),
        size=10 * rows * size,
    )


def rounded_once(rows, size):
    """The Trial of how many numbers of normed are not the float16 nearest to the exact one."""

    def make():
        at = torch.arange(rows * size).reshape(rows, size)
        x, residual = ((at * times % 513 - 256).half() / 8 for times in (37, 91))  # their sum is exact in float16
        return x, residual, torch.linspace(0.5, 1.5, size).half()

    def call(answer, x, residual, weight):
        total = x.double() + residual.double()
        normed = answer(x, residual, weight, 1e-5)[0]
        exact = total / (total.square().mean(1, keepdim=True) + 1e-5).sqrt() * weight.double()
        off = int((normed != exact.half()).sum())
        return "at most 1 in 50" if off <= rows * size / 50 else f"{off} of {rows * size}"

    return rungs.trial(
        [
            f"at = torch.arange({rows * size}).reshape({rows}, {size})",
            "x, residual = (at * 37 % 513 - 256).half() / 8, (at * 91 % 513 - 256).half() / 8",
            f"fuse_norm(x, residual, torch.linspace(0.5, 1.5, {size}).half(), 1e-5)[0]",
            "# how many of its numbers are not the nearest float16",
        ],
        make,
        call,
        show=str,
        size=rows * size,
    )


def shown(result):
    if not isinstance(result, tuple) or not all(isinstance(x, torch.Tensor) for x in result):
        return numbers(result, 4) if isinstance(result, torch.Tensor) else repr(result)[:300]
    names = ("normed", "summed") if len(result) == 2 else [f"number {i}" for i in range(len(result))]
    return "\n".join(f"{name}: {told(x)}" for name, x in zip(names, result))


def told(x):
    kind = "" if x.dtype == torch.float32 else f" in {str(x.dtype).removeprefix('torch.')}"
    if x.ndim == 2 and x.shape[1] > MOST:
        rows = ", ".join(f"[{numbers(row[:3], 4)[1:-1]}, …, {numbers(row[-3:], 4)[1:-1]}]" for row in x[:4])
        return f"[{rows}{', …' * (len(x) > 4)}]{kind}   ({x.shape[1]:,} numbers a row)"
    return numbers(x, 4) + kind


def explain(expected, got):
    if not isinstance(got, tuple) or len(got) != 2 or not all(isinstance(x, torch.Tensor) for x in got):
        return "Return a pair of tensors: (normed, summed)."
    for name, want, mine in zip(("normed", "summed"), expected, got):
        if mine.shape != want.shape:
            return f"{name} has the shape {list(mine.shape)}, and x has {list(want.shape)}."
        if mine.dtype != want.dtype:
            return f"{name} is {mine.dtype}, and x is {want.dtype}."
        if not mine.isfinite().all():
            row, column = (~mine.isfinite()).nonzero()[0].tolist()
            return (
                f"{name} holds {float(mine[row, column])} in row {row}, column {column}: memory that was never "
                "written, an overflow, or a division by 0."
            )
    return ""


ONE = [norms(1, 1), norms(1, 2), norms(1, 4), norms(1, 8), norms(1, 4, times=3.0)]
MANY = [norms(2, 2), norms(3, 4), norms(5, 8), norms(9, 2), norms(70, 13, note="70 rows")]
TAILS = [norms(1, 3), norms(1, 5), norms(2, 3), norms(3, 6), norms(2, 7), norms(2, 35), norms(2, 96), norms(1, 1100)]
EPS = [
    norms(1, 2, 1.0),
    norms(2, 4, 0.25),
    norms(1, 4, 1e-6, times=0.001),
    norms(2, 3, 1e-5, times=0.001, note="here eps counts as much as the mean"),
    norms(1, 2, 1e-5, zeros=True, note="a row of zeros stays 0"),
    norms(2, 4, 1e-6, zeros=True, note="a row of zeros stays 0"),
    *(norms(1, n, 1e-9, times=0.0001, note="eps is as small as the model says") for n in (2, 4)),
]
STRIDED = [
    norms(2, 2, spare=(1, 1)),
    norms(2, 2, spare=(0, 2)),
    norms(2, 4, spare=(2, 0)),
    norms(3, 4, spare=(3, 1)),
    norms(3, 5, spare=(0, 4)),
    norms(4, 3, spare=(5, 2)),
]
HALF = [
    norms(1, 2, half=True),
    norms(2, 3, half=True),
    norms(3, 8, half=True, spare=(2, 1)),
    norms(1, 4, half=True, times=200.0, note="the square of 300 is more than float16 can hold"),
    norms(2, 7, half=True, times=400.0, note="the square of 300 is more than float16 can hold"),
    norms(1, 700, half=True, times=20.0),
    norms(1, 4, 1e-5, half=True, times=0.001, note="the square of 0.001 is less than float16 can hold"),
]
ONCE = [rounded_once(2, 150), rounded_once(3, 200)]
KEPT = [kept(1, 2), kept(2, 3)]
UNTOUCHED = [untouched(1, 2), untouched(2, 3), untouched(2, 2, spare=(1, 2))]
