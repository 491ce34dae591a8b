"""Trials of 06.merge_partials."""

import torch

from course_lib.practice.judge.agreement import rounding_of_exp
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report.tensors import code

from .merge_partials_answers import INF
from .online_softmax_trials import explain as explain_one
from .online_softmax_trials import shown


def sides(front, lse_a, lse_b, head_dim=2):
    """The inputs of one case. Outputs are small integers. front: the shape of lse."""
    shape = (*front, head_dim)
    count = torch.Size(shape).numel()
    out_a, out_b = torch.arange(float(count)).reshape(shape) + 1, 10.0 - 2 * torch.arange(float(count)).reshape(shape)
    lse_a, lse_b = (torch.tensor(x).reshape(shape[:-1]) for x in (lse_a, lse_b))
    for out, lse in ((out_a, lse_a), (out_b, lse_b)):
        out[lse == -INF] = 0.0
    return out_a, lse_a, out_b, lse_b


def merge(lse_a, lse_b, heads=None, head_dim=2, note="(out, lse)", front=None):
    """The Trial of one case. heads: of [rows, heads]. front: the whole shape of lse, where it is another one."""
    if front is None:
        front = (len(lse_a),) if heads is None else (len(lse_a) // heads, heads)

    def made():
        return sides(front, lse_a, lse_b, head_dim)

    lines = [f"{name} = {code(x)}" for name, x in zip(("out_a", "lse_a", "out_b", "lse_b"), made())]
    return Trial(
        [*lines, "merge_partials(out_a, lse_a, out_b, lse_b)"],
        lambda answer: answer(*made()),
        show=shown,
        note=note,
        explain=explain,
        size=len(lse_a) * head_dim + (heads or 0),
        rounding=rounding_of_exp(max((abs(x) for x in (*lse_a, *lse_b) if abs(x) < INF), default=0.0)),
    )


def nearly_cancels():
    """The Trial of two outputs whose weighted sum is nearly 0, so that each digit of the weights shows."""
    lse = -1.385806  # exp(lse) is a quarter and half of the last digit of a float16 more

    def made():
        return torch.tensor([[20.0, 10.0]]), torch.tensor([lse]), torch.tensor([[-5.0, -2.5]]), torch.tensor([0.0])

    lines = [f"{name} = {code(x)}" for name, x in zip(("out_a", "out_b", "lse_b"), (made()[0], *made()[2:]))]
    return Trial(
        [*lines, f"lse_a = torch.tensor([{lse}])", "merge_partials(out_a, lse_a, out_b, lse_b)"],
        lambda answer: answer(*made()),
        show=shown,
        note="(out, lse)",
        explain=explain,
        size=20,
    )


def three(lses, order):
    """The Trial of three partial results of one row, merged two at a time."""

    def act(answer):
        parts = [(torch.tensor([[float(i), 2.0 - i]]), torch.tensor([lse])) for i, lse in enumerate(lses)]
        a, b, c = (parts[i] for i in order)
        return answer(*answer(*a, *b), *c)

    return Trial(
        [
            f"lses = {list(lses)}",
            "parts = [(torch.tensor([[float(i), 2. - i]]), torch.tensor([lse])) for i, lse in enumerate(lses)]",
            f"a, b, c = (parts[i] for i in {list(order)})",
            "merge_partials(*merge_partials(*a, *b), *c)",
        ],
        act,
        show=shown,
        size=8 + len(lses),
        note="the same in any order",
    )


def untouched(lse_a, lse_b):
    def act(answer):
        given = sides((len(lse_a),), lse_a, lse_b)
        answer(*given)
        return given

    lines = [
        f"{name} = {code(x)}"
        for name, x in zip(("out_a", "lse_a", "out_b", "lse_b"), sides((len(lse_a),), lse_a, lse_b))
    ]
    return Trial(
        [*lines, "merge_partials(out_a, lse_a, out_b, lse_b)", "out_a, lse_a, out_b, lse_b"],
        act,
        show=shown,
        size=len(lse_a),
        note="unchanged",
    )


def explain(expected, got):
    if (
        isinstance(got, tuple)
        and len(got) == 2
        and isinstance(got[1], torch.Tensor)
        and got[1].shape != expected[1].shape
    ):
        return f"lse has shape {list(got[1].shape)}; lse_a and lse_b have {list(expected[1].shape)}."
    if (
        isinstance(got, tuple)
        and len(got) == 2
        and all(isinstance(x, torch.Tensor) for x in got)
        and got[1].numel() == 1
    ):
        return explain_one((expected[0], float(expected[1])), (got[0], float(got[1])))
    if isinstance(got, tuple) and any(isinstance(x, torch.Tensor) and x.isnan().any() for x in got):
        return "The result is nan: infinity minus infinity, or 0 divided by 0."
    return (
        ""
        if isinstance(got, tuple) and len(got) == 2
        else "The exercise asks for two tensors: the output, and the log-sum-exp over the keys of both sides."
    )


UNTOUCHED = [
    untouched([0.0], [1.0]),
    untouched([2.0, 1.0], [0.0, 1.0]),
    untouched([3.0], [3.0]),
    untouched([-INF], [-INF]),
]
