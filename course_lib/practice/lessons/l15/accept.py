"""The exercise 15.accept: how many drafted tokens are accepted."""

from copy import deepcopy

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .accept_mistakes import MISTAKES, wrong
from .numbers import after_call, written
from .solutions.accept import accepted


def accepted_by_products(target, draft, drafted, chances):
    """Without a division: chance * q < p."""
    count = 0
    for p, q, token, chance in zip(target, draft, drafted, chances):
        if not chance * q[token] < p[token]:
            break
        count += 1
    return count


def accepted_by_takewhile(target, draft, drafted, chances):
    """All verdicts, and those at the beginning that are good."""
    from itertools import takewhile

    verdicts = (chances[i] < min(1, target[i][x] / draft[i][x]) for i, x in enumerate(drafted))
    return sum(takewhile(bool, verdicts))


def accepted_in_tensors(target, draft, drafted, chances):
    """The product of the verdicts up to each place, in torch."""
    import torch

    if len(drafted) == 0:
        return 0
    at = torch.tensor(drafted)[:, None]
    p = torch.tensor(target[: len(drafted)], dtype=torch.float64).gather(1, at)[:, 0]
    q = torch.tensor(draft, dtype=torch.float64).gather(1, at)[:, 0]
    good = torch.tensor(chances, dtype=torch.float64) * q < p
    return int(good.long().cumprod(0).sum())


def verdict(target, draft, drafted, chances, note=""):
    """The Trial of one step."""
    given = (target, draft, drafted, chances)
    return Trial(
        [f"accepted({', '.join(map(repr, given))})"],
        lambda answer: as_python(answer(*deepcopy(given))),
        note=note,
        size=10 * len(drafted) + sum(map(len, target)),
    )


def untouched(*given):
    """The Trial that looks at the caller's lists after the call."""
    names = "target", "draft", "drafted", "chances"
    story = [*(f"{name} = {written(value)}" for name, value in zip(names, given)), f"accepted({', '.join(names)})"]
    return Trial(
        [*story, f"{', '.join(names)}"],
        lambda answer: after_call(answer, *deepcopy(given)),
        show=written,
        note="as before",
        size=10 * len(given[2]),
    )


P, Q = [0.5, 0.3, 0.2], [0.25, 0.6, 0.15]  # p / q: 2, 0.5, 1.333
LIKELY, RARE, NEVER = [0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.0, 1.0, 0.0]
AFTER = [0.2, 0.2, 0.6]

ONE = [
    verdict([P, AFTER], [Q], [1], [0.4], note="0.4 is below 0.3 / 0.6"),
    verdict([P, AFTER], [Q], [1], [0.6], note="0.6 is not below 0.3 / 0.6"),
    verdict([RARE, AFTER], [LIKELY], [0], [0.1], note="0.1 is below 0.1 / 0.9"),
    verdict([RARE, AFTER], [LIKELY], [0], [0.12]),
    verdict([RARE, AFTER], [Q], [2], [0.5]),
    verdict([RARE, AFTER], [Q], [2], [0.7]),
    verdict([[0.0005, 0.9995], [1.0, 0.0]], [[0.001, 0.999]], [0], [0.4], note="0.4 is below 0.0005 / 0.001"),
    verdict([[1e-9, 1.0], [1.0, 0.0]], [[4e-9, 1.0]], [0], [0.2]),
]
SURE = [
    verdict([P, AFTER], [Q], [0], [0.99], note="p is above q"),
    verdict([P, AFTER], [P], [1], [0.999], note="p is q"),
    verdict([LIKELY, AFTER], [RARE], [0], [0.97]),
    verdict([NEVER, AFTER], [P], [1], [0.999]),
    verdict([LIKELY, P, AFTER], [RARE, P], [0, 2], [0.99, 0.99]),
]
CLOSE = [
    verdict([[0.3, 0.7], [1.0, 0.0]], [[0.9, 0.1]], [0], [0.33333333], note="a little below a third"),
    verdict([[0.2, 0.8], [1.0, 0.0]], [[0.3, 0.7]], [0], [0.669], note="a little above two thirds"),
    verdict([[0.2, 0.8], [1.0, 0.0]], [[0.3, 0.7]], [0], [0.66666667], note="a little above two thirds"),
    verdict([[0.1, 0.9], [1.0, 0.0]], [[0.7, 0.3]], [0], [0.142857], note="a little below a seventh"),
]
EDGES = [
    verdict([NEVER, AFTER], [P], [0], [0.0], note="0 is not below 0: a token that the model never says"),
    verdict([[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0]], [1], [0.5], note="0.5 is not below 0.5"),
    verdict([[0.25, 0.75], [1.0, 0.0]], [[1.0, 0.0]], [0], [0.25], note="0.25 is not below 0.25"),
    verdict([[0.25, 0.75], [1.0, 0.0]], [[1.0, 0.0]], [0], [0.0]),
    verdict([[0.25, 0.75], [1.0, 0.0]], [[1.0, 0.0]], [0], [0.2499]),
    *CLOSE,
]
FIRST = [
    verdict([P, P, AFTER], [Q, Q], [1, 0], [0.9, 0.1], note="the second one stands on a token that is not in the text"),
    verdict([P, P, AFTER], [Q, Q], [0, 1], [0.9, 0.9]),
    verdict([P, P, P, AFTER], [Q, Q, Q], [0, 1, 0], [0.5, 0.6, 0.1]),
    verdict([P, P, P, AFTER], [Q, Q, Q], [1, 1, 1], [0.4, 0.4, 0.6]),
    verdict([P, RARE, P, P, AFTER], [Q, LIKELY, Q, Q], [2, 0, 2, 2], [0.9, 0.5, 0.1, 0.1]),
    verdict([P, P, P, P, AFTER], [Q, Q, Q, Q], [0, 0, 2, 2], [0.9, 0.9, 0.9, 0.9]),
]
PLACES = [
    verdict([P, RARE, AFTER], [Q, LIKELY], [0, 0], [0.9, 0.2], note="the second place has its own probabilities"),
    verdict([RARE, P, AFTER], [LIKELY, Q], [0, 0], [0.05, 0.9]),
    verdict([P, RARE, AFTER], [Q, RARE], [1, 2], [0.3, 0.8]),
    verdict([RARE, LIKELY, P, AFTER], [Q, RARE, LIKELY], [1, 0, 1], [0.9, 0.9, 0.7]),
    verdict([P, P, AFTER], [Q, Q], [0, 1], [0.3, 0.8]),
    verdict([P, P, AFTER], [Q, Q], [1, 1], [0.4, 0.9], note="the second chance decides about the second draft"),
    verdict([P, P, AFTER], [Q, Q], [0, 1], [0.9, 0.3]),
    verdict([P, P, P, AFTER], [Q, Q, Q], [1, 1, 0], [0.1, 0.55, 0.2]),
]
NONE = [verdict([AFTER], [], [], []), verdict([[1.0]], [], [], []), verdict([NEVER], [], [], [])]
UNTOUCHED = [
    untouched([P, AFTER], [Q], [1], [0.4]),
    untouched([P, P, AFTER], [Q, Q], [1, 0], [0.9, 0.1]),
    untouched([P, P, AFTER], [Q, Q], [0, 0], [0.9, 0.1]),
]

ACCEPT = Exercise(
    id="15.accept",
    title="How many drafts are accepted",
    name="accepted",
    cases="steps",
    properties=[
        Property(
            "A draft is accepted if its chance is below p(x) / q(x)",
            "A token that the draft likes more than the model must not come more often than the model says.",
            ONE,
        ),
        Property(
            "A draft that the model gives at least the draft's own probability is accepted in any case",
            "p(x) / q(x) is 1 or more, and a chance is below 1.",
            SURE,
        ),
        Property(
            "Below means below: a chance of exactly p(x) / q(x) does not accept",
            "A chance is 0 or more and below 1. So a token that the model never says, p(x) = 0, is never accepted.",
            EDGES,
        ),
        Property(
            "Each draft is held against the probabilities of its own place, and of its own token",
            "`target[i]` and `draft[i]` are lists over all tokens, for place i.",
            PLACES,
        ),
        Property(
            "Drafts count up to the first that is not accepted", "Those after it were drafted for another text.", FIRST
        ),
        Property("Without drafts the number is 0", "Such a step is a plain decode step.", NONE),
        Property("The caller's lists are not changed", "The next exercise needs them.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's lists are changed.",
            "They belong to the caller. Use variables of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
        Mistake(
            "the ratio is rounded, or compared with a tolerance.",
            "`chances[i] < p / q`, with the numbers as they are. float32 has 24 bits, and Python's floats have 53.",
            (
                wrong(is_accepted=lambda p, q, chance: chance < round(p / q, 2)),
                wrong(is_accepted=lambda p, q, chance: chance < round(p / q, 3)),
                wrong(is_accepted=lambda p, q, chance: chance < p / q + 1e-3),
                wrong(is_accepted=lambda p, q, chance: chance < p / (q + 1e-3)),
            ),
            is_made_by=lambda answer, found: found.trial in CLOSE and type(found.outcome) is int,
            last=True,
        ),
    ],
    hints=[
        "Go through the drafts in order, and stop at the first that is not accepted.",
        "`p = target[i][drafted[i]]` and `q = draft[i][drafted[i]]`. Accepted is `chances[i] < p / q`. The minimum "
        "with 1 changes nothing, because a chance is below 1.",
        "If a draft is not accepted, return `i`: so many came before it. After the loop, return `len(drafted)`.",
    ],
    rights=[accepted, accepted_by_products, accepted_by_takewhile, accepted_in_tensors],
    why="`course_lib/decoding/speculative.py` does the same for all rows of a batch at once, without the division: "
    "chance * q < p.",
)
