"""06.online_softmax: the softmax of one row of scores that arrives in chunks, each seen once."""

import torch

from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .online_softmax_answers import altered, averages, keeps_all, softmax_by_merging, softmax_one_score_at_a_time
from .online_softmax_trials import FALLING, GROWING, INF, LARGE, MASKED, PRECISE, UNTOUCHED, let_go, row
from .solutions.online_softmax import online_softmax
from .tensors_shown import in_float64


def is_an_average(answer, found):
    """Whether the output is in all trials the mean of the outputs of the chunks, whatever the log-sum-exp is."""

    def everywhere(mean):
        return all(alike(trial.outcome(mean)[0][0], trial.outcome(answer)[0][0]) for trial in [*FALLING, *GROWING])

    return found.trial in FALLING and (everywhere(averages()) or everywhere(averages(len)))


ONLINE_SOFTMAX = Exercise(
    id="06.online_softmax",
    title="The online softmax",
    name="online_softmax",
    cases="rows",
    properties=[
        Property(
            "One chunk: an ordinary softmax average",
            "The output is softmax(scores) @ values. lse is the log of the sum of exp(scores).",
            [row([0.0]), row([2.0]), row([1.0, 0.0]), row([0.0, 1.0, 3.0])],
        ),
        Property(
            "A later chunk with smaller scores is added",
            "Both chunks belong to one row: all their weights together sum to 1.",
            FALLING,
        ),
        Property(
            "When the maximum grows, the sums so far are rescaled",
            "Sums relative to an old maximum m are too large by the factor exp(new - m).",
            GROWING,
        ),
        Property(
            "A masked score has weight 0, and a masked chunk changes nothing",
            "Tiles at the edge of a mask have rows that see no key.",
            MASKED,
        ),
        Property(
            "A row that sees no key gives zeros and -inf",
            "The sum is 0, and log 0 is minus infinity.",
            [row([-INF]), row([-INF, -INF]), row([-INF], [-INF])],
        ),
        Property(
            "Scores of a thousand neither overflow nor underflow",
            "In float32, exp(89) is infinite and exp(-104) is 0. With their maximum subtracted, scores are 0 or "
            "below, and the largest is 0.",
            LARGE,
        ),
        Property(
            "No more than two chunks exist at a time",
            "The memory must not grow with the row: that is the purpose of the online softmax.",
            [let_go(1, 1, 1, 1), let_go(2, 3, 2, 1, 2), let_go(4, 4, 4, 4, 4, 4)],
        ),
        Property("The computation is in float32", "A float16 keeps 11 bits: a weight of 0.50024 becomes 0.5.", PRECISE),
        Property("The chunks are not changed", "They are pieces of the caller's scores and values.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the chunks are changed.",
            "`-=`, `sub_`, `exp_` and other in-place operations write into the caller's tensors. Make new ones.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        in_float64(online_softmax, (0,), (0, 1)),
        Mistake(
            "the accumulator is not rescaled.",
            "`out` was summed relative to the old maximum: multiply it by exp(old - new) before the new chunk is "
            "added.",
            altered(out_shrinks=False),
        ),
        Mistake(
            "the sum is not rescaled.",
            "`l_i` was summed relative to the old maximum, as `out` was. Multiply both by the same factor.",
            altered(sum_shrinks=False),
        ),
        Mistake(
            "nothing is rescaled when the maximum grows.",
            "Sums relative to different maxima cannot be added. Multiply both by exp(old - new) first.",
            altered(out_shrinks=False, sum_shrinks=False),
        ),
        Mistake(
            "the factor is inverted.",
            "The old sums are too large, so the factor must be 1 or less: exp(old - new).",
            altered(flipped=True),
        ),
        Mistake(
            "the maximum is not subtracted.",
            "exp(1000) is infinite and exp(-1000) is 0. With the maximum subtracted, the largest weight is exactly 1.",
            altered(subtracts=False),
        ),
        Mistake(
            "the maximum can decrease.",
            "It must be the maximum of all chunks so far: `max(old, scores.max())`. Otherwise exp(old - new) "
            "overflows.",
            (altered(grows=False), altered(grows=False, skips=True)),
        ),
        Mistake(
            "a masked chunk gives nan.",
            "While all scores so far are masked, the maximum is -inf, and -inf minus -inf is nan. Subtract 0 instead.",
            altered(guards=False),
        ),
        Mistake(
            "the output is not divided by the sum.",
            "`out` is a sum of weighted values. At the end, divide it by the sum of the weights.",
            altered(divides=False),
        ),
        Mistake(
            "the log-sum-exp is wrong.",
            "The weights were summed relative to the maximum: lse = maximum + log(sum).",
            (
                altered(lse=lambda m_i, l_i: l_i.log()),
                altered(lse=lambda m_i, l_i: l_i),
                altered(lse=lambda m_i, l_i: m_i),
                altered(lse=lambda m_i, l_i: l_i * torch.exp(m_i)),
                altered(lse=lambda m_i, l_i: m_i + l_i.log2()),
            ),
        ),
        Mistake(
            "every chunk has the same weight.",
            "The share of a chunk is its sum of exponentials, not 1 divided by the number of chunks.",
            (averages(), averages(len)),
            is_made_by=is_an_average,
        ),
        Mistake(
            "every chunk is summed relative to its own maximum.",
            "Sums of exp(score - maximum) can be added only when they have the same maximum: that of all chunks so "
            "far. Rescale the old sums to it.",
            (
                altered(own=True, out_shrinks=False, sum_shrinks=False),
                altered(own=True),
                altered(grows=False, out_shrinks=False, sum_shrinks=False),
            ),
        ),
        Mistake(
            "the output is divided in every step.",
            "Then it is an average and no longer a sum when the next chunk is added to it. Divide once, at the end.",
            (altered(each=True), altered(each=True, divides=False)),
        ),
        Mistake(
            "the maximum starts at 0.",
            "exp(-1000 - 0) is 0, so the sum of a row of such scores is 0. Start at -inf, which is below every score.",
            altered(start=0.0),
        ),
        Mistake(
            "all chunks are kept to the end.",
            "Then the memory grows with the row. Three things are enough: the maximum, the sum, and the weighted sum "
            "of values.",
            keeps_all,
        ),
    ],
    hints=[
        "Keep three things between chunks: the largest score so far, the sum of exp(score - largest), and the same "
        "sum with each term times its value.",
        "A chunk gives a new largest score `new`. Sums relative to `old` become sums relative to `new` by one "
        "multiplication with exp(old - new).",
        "l_i = exp(old - new) * l_i + exp(scores - new).sum(); out = exp(old - new) * out + exp(scores - new) @ "
        "values.",
        "At the end: out / l_i, and lse = m_i + log(l_i). While all scores so far are masked, `new` is -inf: "
        "subtract 0 then, and leave zeros as they are.",
    ],
    rights=[online_softmax, softmax_by_merging, softmax_one_score_at_a_time],
    why="exp(s - new) = exp(s - old) * exp(old - new): a change of the maximum is one multiplication for the whole "
    "sum. So the whole row never has to be in memory at once.",
)
