"""Cases of 06.online_softmax: one row of scores, seen a chunk at a time, once."""

import weakref

import torch

from course_lib.practice.judge.agreement import agree, alike
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report.tensors import code, numbers

from .online_softmax_answers import INF, averages, bent, keeps_all, softmax_by_merging, softmax_one_score_at_a_time
from .solutions.online_softmax import online_softmax
from .tensors_shown import in_float64


def is_an_average(answer, found):
    """Whether the output is everywhere the mean of the chunks' own, whatever the log-sum-exp is."""

    def everywhere(mean):
        return all(alike(trial.outcome(mean)[0][0], trial.outcome(answer)[0][0]) for trial in [*FALLING, *GROWING])

    return found.trial in FALLING and (everywhere(averages()) or everywhere(averages(len)))


VALUES = [[1.0, 0.0], [0.0, 1.0], [2.0, 3.0], [-1.0, 4.0], [5.0, 1.0], [0.0, -2.0], [3.0, 3.0], [1.0, -1.0]]


def row(*scores, note=""):
    """The Trial on chunks with these scores; the values are VALUES, one after the other."""

    def made():
        start = 0
        for chunk in scores:
            yield torch.tensor(chunk), torch.tensor(VALUES[start : start + len(chunk)])
            start += len(chunk)

    lines = [f"({code(s)}, {code(v)})" for s, v in made()]
    return Trial(
        ["chunks = [", *(f"    {line}," for line in lines), "]", "online_softmax(iter(chunks))"],
        lambda answer: tidy(answer(made())),
        show=shown,
        note=note or "(out, lse)",
        explain=explain,
        size=sum(len(s) for s in scores) + len(scores),
    )


def let_go(*sizes):
    """How many chunks are alive whenever the next one is asked for."""

    def act(answer):
        alive, most = [], 0

        def made():
            nonlocal most
            for c in sizes:
                most = max(most, sum(ref() is not None for ref in alive))
                chunk = torch.linspace(0, 1, c), torch.ones(c, 2)
                alive.append(weakref.ref(chunk[1]))
                yield chunk
                del chunk

        answer(made())
        return most <= 2

    return Trial(
        [
            f"chunks = ((torch.linspace(0, 1, c), torch.ones(c, 2)) for c in {list(sizes)})  # each is made when it is asked for",
            "online_softmax(chunks)  # True: no more than two are alive at any time",
        ],
        act,
        size=sum(sizes),
    )


def tidy(result):
    """A lse that is a Python number or a tensor of one counts the same."""
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
        return "Two things are asked for: the output, and the log-sum-exp of the row."
    out, lse = got
    if not isinstance(out, torch.Tensor) or out.shape != expected[0].shape:
        return f"The output has to be a tensor of shape {list(expected[0].shape)}."
    if out.isnan().any() or lse != lse:
        return "nan comes out where infinity is taken from infinity, or nothing divided by nothing."
    wrong = [
        name
        for name, same in (("output", agree(expected[0], out)), ("log-sum-exp", agree(expected[1], lse)))
        if not same
    ]
    return f"Only the {wrong[0]} is wrong." if len(wrong) == 1 and lse not in (INF, -INF) else ""


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
    row([0.0], [1000.0]),
    row([-1000.0], [-1001.0]),
    row([500.0, -1000.0], [-500.0, 499.0]),
    row([-1000.0]),
    row([-1000.0, -1000.0]),
    row([-500.0], [-400.0]),
]

ONLINE_SOFTMAX = Exercise(
    id="06.online_softmax",
    title="The online softmax",
    name="online_softmax",
    cases="rows",
    properties=[
        Property(
            "One chunk is an ordinary softmax average",
            "The output is softmax(scores) @ values; lse is the log of the sum of exp(scores).",
            [row([0.0]), row([2.0]), row([1.0, 0.0]), row([0.0, 1.0, 3.0])],
        ),
        Property(
            "A later chunk with smaller scores joins in",
            "Both chunks are one row: their weights have to sum to 1 together.",
            FALLING,
        ),
        Property(
            "When the maximum grows, what was summed before shrinks",
            "Sums under an old maximum m are too large by exp(new - m).",
            GROWING,
        ),
        Property(
            "A masked score counts nothing, and a masked chunk does no harm",
            "Tiles at the edge of a mask hold rows that see nothing.",
            MASKED,
        ),
        Property(
            "A row that sees nothing at all gives zeros and -inf",
            "Nothing was summed: log 0 is minus infinity.",
            [row([-INF]), row([-INF, -INF]), row([-INF], [-INF])],
        ),
        Property(
            "Scores of a thousand neither overflow nor vanish",
            "A float32 has no exp(89), and exp(-104) is 0. Less their maximum, scores are 0 and below, and the largest is 0.",
            LARGE,
        ),
        Property(
            "A chunk is let go before the next but one",
            "The point of it all: a row of any length in the same little memory.",
            [let_go(1, 1, 1, 1), let_go(2, 3, 2, 1, 2), let_go(4, 4, 4, 4, 4, 4)],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        in_float64(online_softmax, (0,), (0, 1)),
        Mistake(
            "the accumulator is not rescaled.",
            "`out` was summed under the old maximum: multiply it by exp(old - new) before the new chunk is added.",
            bent(out_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "`total` was summed under the old maximum, as `out` was. Both shrink by the same factor.",
            bent(total_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums under different maxima cannot be added. Multiply both by exp(old - new) first.",
            bent(out_shrinks=False, total_shrinks=False),
        ),
        Mistake(
            "the factor is upside down.",
            "The old sums are too large, so they shrink: exp(old - new), which is 1 or less.",
            bent(flipped=True),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(1000) is infinite and exp(-1000) is 0. Less the maximum, the largest weight is exactly 1.",
            bent(subtracts=False),
        ),
        Mistake(
            "the maximum may fall again.",
            "It is that of all chunks so far: `max(old, scores.max())`. Otherwise exp(old - new) overflows.",
            bent(grows=False),
        ),
        Mistake(
            "a masked chunk turns into nan.",
            "As long as nothing was seen the maximum is -inf, and -inf less -inf is nan. Subtract 0 instead.",
            bent(guards=False),
        ),
        Mistake(
            "the sum is never divided by.",
            "`out` is a sum of weighted values. Once, at the end, it is divided by the sum of the weights.",
            bent(divides=False),
        ),
        Mistake(
            "the log-sum-exp is not what it says.",
            "The weights were summed under the maximum: lse = maximum + log(sum).",
            (
                bent(lse=lambda top, total: total.log()),
                bent(lse=lambda top, total: total),
                bent(lse=lambda top, total: top),
                bent(lse=lambda top, total: total * torch.exp(top)),
            ),
        ),
        Mistake(
            "every chunk weighs the same.",
            "A chunk's share is its sum of exp, not one part in so many.",
            (averages(), averages(len)),
            is_made_by=is_an_average,
        ),
        Mistake(
            "every chunk is summed under its own maximum.",
            "exp(score - maximum) adds up only under one maximum for all: that of the chunks so far, and the old sums are brought to it.",
            (
                bent(own=True, out_shrinks=False, total_shrinks=False),
                bent(own=True),
                bent(grows=False, out_shrinks=False, total_shrinks=False),
            ),
        ),
        Mistake(
            "the output is divided in every step.",
            "Then it is an average when the next chunk is added to it, and no sum any more. Divide once, at the end.",
            (bent(each=True), bent(each=True, divides=False)),
        ),
        Mistake(
            "the maximum starts at 0.",
            "exp(-1000 - 0) is 0, and so is the sum of such a row. Start at -inf, which is below every score.",
            bent(start=0.0),
        ),
        Mistake(
            "all chunks are kept to the end.",
            "Then the memory grows with the row. Three things are enough: maximum, sum, and weighted sum of values.",
            keeps_all,
        ),
    ],
    hints=[
        "Keep three things between chunks: the largest score so far, the sum of exp(score - largest), and the same sum with each term times its value.",
        "A chunk brings a new largest score `new`. What was summed under `old` is brought to it by one multiplication with exp(old - new).",
        "total = exp(old - new) * total + exp(scores - new).sum(); out = exp(old - new) * out + exp(scores - new) @ values.",
        "At the end: out / total, and lse = top + log(total). While everything was masked, `new` is -inf: subtract 0 then, and leave zeros as they are.",
    ],
    rights=[online_softmax, softmax_by_merging, softmax_one_score_at_a_time],
    why="exp(s - new) = exp(s - old) * exp(old - new): a change of maximum is one multiplication for the whole sum. So the row never has to be there at once.",
)
