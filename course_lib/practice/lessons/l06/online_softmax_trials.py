"""Trials of 06.online_softmax."""

import weakref

import numpy as np
import torch

from course_lib.practice.judge.agreement import agree, rounding_of_exp
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.lessons.instead import nearly, times
from course_lib.practice.report.tensors import code, numbers

INF = float("inf")
VALUES = [[1.0, 0.0], [0.0, 1.0], [2.0, 3.0], [-1.0, 4.0], [5.0, 1.0], [0.0, -2.0], [3.0, 3.0], [1.0, -1.0]]


def made_of(scores):
    """The chunks with these scores, made one after the other."""
    start = 0
    for chunk in scores:
        yield torch.tensor(chunk), torch.tensor(VALUES[start : start + len(chunk)])
        start += len(chunk)


def lines_of(scores):
    return ["chunks = [", *(f"    ({code(s)}, {code(v)})," for s, v in made_of(scores)), "]"]


def row(*scores, note="", rounding=None):
    """The Trial on chunks with these scores. The values are VALUES, in order. rounding: see Trial; default: by size."""

    return Trial(
        [*lines_of(scores), "online_softmax(iter(chunks))"],
        lambda answer: tidy(answer(made_of(scores))),
        show=shown,
        note=note or "(out, lse)",
        explain=explain,
        size=sum(len(s) for s in scores) + len(scores),
        rounding=rounding
        or rounding_of_exp(max((abs(x) for chunk in scores for x in chunk if abs(x) < INF), default=0.0)),
    )


def let_go(*sizes):
    """The Trial of whether at most two chunks exist whenever the next one is asked for."""

    def act(answer):
        alive, most = [], 0

        def made():
            nonlocal most
            for c in sizes:
                most = max(most, sum(ref() is not None for ref in alive))
                memory = np.ones((c, 2), dtype=np.float32)  # it lives as long as any view of it, in torch or NumPy
                alive.append(weakref.ref(memory))
                chunk = torch.linspace(0, 1, c), torch.from_numpy(memory)
                del memory
                yield chunk
                del chunk

        answer(made())
        return most <= 2

    return Trial(
        [
            "# each chunk is made when it is asked for",
            f"chunks = ((torch.linspace(0, 1, c), torch.ones(c, 2)) for c in {list(sizes)})",
            "online_softmax(chunks)  # True: at most two of them exist at any time",
        ],
        act,
        size=sum(sizes),
    )


def untouched(*scores):
    """The Trial of the chunks themselves after the call."""

    def act(answer):
        given = list(made_of(scores))
        answer(iter(given))
        return tuple(x for chunk in given for x in chunk)

    return Trial(
        [*lines_of(scores), "online_softmax(iter(chunks))", "chunks  # scores and values, one after the other"],
        act,
        show=shown,
        note="unchanged",
        size=sum(map(len, scores)) + len(scores),
    )


def tidy(result):
    """The result, with a lse that is a tensor of one number as a float."""
    if isinstance(result, tuple) and len(result) == 2:
        return result[0], float(result[1]) if isinstance(result[1], (int, float)) or getattr(
            result[1], "ndim", 1
        ) == 0 else result[1]
    return result


def shown(result):
    if isinstance(result, tuple):
        return (
            "("
            + ", ".join(
                numbers(x, 4) if isinstance(x, torch.Tensor) else f"{x:.4g}" if isinstance(x, float) else repr(x)
                for x in result
            )
            + ")"
        )
    return numbers(result, 4) if isinstance(result, torch.Tensor) else repr(result)


def explain(expected, got):
    if not isinstance(got, tuple) or len(got) != 2:
        return "The exercise asks for two things: the output, and the log-sum-exp of the row."
    out, lse = got
    if not isinstance(out, torch.Tensor) or out.shape != expected[0].shape:
        return f"The output must be a tensor of shape {list(expected[0].shape)}."
    if out.isnan().any() or lse != lse:
        return "The result is nan: infinity minus infinity, or 0 divided by 0."
    wrong = [
        name
        for name, same in (("output", agree(expected[0], out)), ("log-sum-exp", agree(expected[1], lse)))
        if not same
    ]
    only = f"Only the {wrong[0]} is wrong." if len(wrong) == 1 and lse not in (INF, -INF) else ""
    said = times(expected[0], out) if "output" in wrong else nearly(float(expected[1]), float(lse))
    return f"{only} {said}".strip()


FALLING = [row([2.0], [1.0]), row([2.0, 1.0], [0.0]), row([1.0, 3.0], [2.0, 0.0]), row([3.0], [2.0], [1.0])]
GROWING = [
    row([1.0], [2.0]),
    row([0.0], [3.0]),
    row([1.0, 0.0], [2.0, 4.0]),
    row([0.0], [1.0], [3.0]),
    row([2.0, 1.0], [4.0], [3.0, 5.0]),
]
MASKED = [
    row([1.0, -INF]),
    row([1.0], [-INF]),
    row([-INF], [1.0]),
    row([-INF, -INF], [0.0, 2.0]),
    row([2.0], [-INF], [1.0]),
    row([-INF], [-INF], [3.0]),
]
LARGE = [
    row([1000.0]),
    row([1000.0], [999.0]),
    row([1000.0], [0.0]),
    row([200.0], [0.0], [-100.0]),
    row([2000.0, 0.0], [1000.0]),
    row([0.0], [-300.0]),
    row([0.0], [1000.0]),
    row([-1000.0], [-1001.0]),
    row([500.0, -1000.0], [-500.0, 499.0]),
    row([-1000.0]),
    row([-1000.0, -1000.0]),
    row([-500.0], [-400.0]),
    row([-20000.0]),
    row([-30000.0], [-20000.0]),
]

PRECISE = [
    row([0.0, -0.69266], rounding=0.1),  # exp(-0.69266) lies in the middle between two float16
    row([1.0], [0.30734], rounding=0.1),
    row([0.0, -0.69266], [-0.69266, 0.0], rounding=0.1),
]
UNTOUCHED = [untouched([1.0, 0.0]), untouched([1.0], [2.0, 0.0]), untouched([-INF, 2.0], [3.0])]
