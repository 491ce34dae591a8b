"""The exercise 15.rejection_sample: the accepted drafts, and the token that follows them."""

import random
from copy import deepcopy

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, TENSORS_INSIDE, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .numbers import as_tokens, written
from .rejection_sample_mistakes import MISTAKES
from .solutions.rejection_sample import rejection_sample


def rejection_sample_in_one_loop(target, draft, drafted, chances, last):
    """Without another function: stops at the first draft that is not accepted."""
    tokens = []
    for p, q, x, chance in zip(target, draft, drafted, chances):
        if chance * q[x] >= p[x]:
            rest = [a - b if a > b else 0.0 for a, b in zip(p, q)]
            break
        tokens.append(x)
    else:
        rest = list(target[-1])
    whole, token = sum(rest), 0
    share = rest[0] / whole
    while share <= last:
        token += 1
        share += rest[token] / whole
    return tokens + [token]


def rejection_sample_in_tensors(target, draft, drafted, chances, last):
    """The first place that is not accepted, and a cumulative sum, in torch."""
    import torch

    p = torch.tensor(target, dtype=torch.float64)
    at = torch.arange(len(drafted))
    if len(drafted):
        q, x = torch.tensor(draft, dtype=torch.float64), torch.tensor(drafted)
        good = torch.tensor(chances, dtype=torch.float64) < p[at, x] / q[at, x]
        count = int(good.long().cumprod(0).sum())
    else:
        count = 0
    left = p[count] if count == len(drafted) else (p[count] - q[count]).clamp(min=0)
    reached = (left / left.sum()).cumsum(0)
    return [*drafted[:count], int((reached > last).long().argmax())]


def rejection_sample_by_bisection(target, draft, drafted, chances, last):
    """With the library's search in sorted sums."""
    from bisect import bisect_right
    from itertools import accumulate

    n = 0
    while n < len(drafted) and chances[n] < target[n][drafted[n]] / draft[n][drafted[n]]:
        n += 1
    weights = target[n] if n == len(drafted) else [max(p - q, 0) for p, q in zip(target[n], draft[n])]
    sums = list(accumulate(weights))
    return list(drafted[:n]) + [bisect_right(sums, last * sums[-1])]


def stepped(target, draft, drafted, chances, last, note=""):
    """The Trial of one step."""
    given = (target, draft, drafted, chances, last)
    return Trial(
        [f"rejection_sample({', '.join(map(repr, given))})"],
        lambda answer: as_tokens(answer(*deepcopy(given))),
        note=note,
        size=10 * len(drafted) + sum(map(len, target)),
    )


def many(p, q, k=1, tries=1500, note="as often as the target says"):
    """The Trial of many steps: how often each token came first."""

    def act(answer):
        draw, counts = random.Random(3), [0] * len(p)
        for _ in range(tries):
            drafted = draw.choices(range(len(q)), q, k=k)
            chances, last = [draw.random() for _ in drafted], draw.random()
            got = answer([list(p)] * (k + 1), [list(q)] * k, list(drafted), chances, last)
            counts[got[0]] += 1
        return counts

    story = [
        "import random",
        f"p, q, draw, counts = {p}, {q}, random.Random(3), [0] * {len(p)}",
        f"for _ in range({tries}):",
        f"    drafted = draw.choices(range({len(q)}), q, k={k})",
        "    chances, last = [draw.random() for _ in drafted], draw.random()",
        f"    counts[rejection_sample([p] * {k + 1}, [q] * {k}, drafted, chances, last)[0]] += 1",
        "counts",
    ]
    return Trial(story, act, note=note, size=1000 + len(p) + k)


def untouched(*given):
    """The Trial that looks at the caller's lists after the call, and after the result is changed."""
    names = "target", "draft", "drafted", "chances"

    def act(answer):
        lists = deepcopy(given)
        got = answer(*lists)
        if isinstance(got, list):
            got.append(99)
        return list(lists[:4])

    story = [f"{name} = {written(value)}" for name, value in zip(names, given)]
    story += [f"tokens = rejection_sample({', '.join(names)}, {given[4]})", "tokens.append(99)", ", ".join(names)]
    return Trial(story, act, show=written, note="as before", size=10 * len(given[2]))


def draws_itself(answer):
    """Whether the token does not grow with `last`: another number decides."""
    drawn = [answer([[0.5, 0.25, 0.25]], [], [], [], i / 40)[-1] for i in range(40)]
    return drawn != sorted(drawn)


P, Q, AFTER = [0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]  # p - q: 0.3, -0.4, 0.1
EVEN, LOW, HIGH = [0.25, 0.25, 0.25, 0.25], [0.1, 0.1, 0.5, 0.3], [0.6, 0.1, 0.1, 0.2]
NEVER = [0.0, 0.4, 0.6]

REPLACED = [
    stepped([[0.5, 0.5], [0.0, 1.0]], [[0.9, 0.1]], [0], [0.7], 0.3, note="left: 0 and 0.4"),
    stepped([P, AFTER], [Q], [1], [0.9], 0.5, note="left: 0.3, 0 and 0.1, so token 0 has 0.75"),
    stepped([P, AFTER], [Q], [1], [0.9], 0.8, note="0.8 is above 0.75"),
    stepped([P, AFTER], [Q], [1], [0.9], 0.7501, note="0.7501 is above 0.75: half precision is too coarse"),
    stepped([P, AFTER], [Q], [1], [0.5], 0.1),
    stepped([[0.3, 0.4, 0.3], AFTER], [[0.2, 0.2, 0.6]], [2], [0.9], 0.3331, note="token 0 has a third"),
    stepped([EVEN, LOW], [LOW], [2], [0.6], 0.2, note="left: 0.15, 0.15, 0 and 0"),
    stepped([EVEN, LOW], [LOW], [2], [0.6], 0.7),
    stepped([HIGH, LOW], [EVEN], [3], [0.95], 0.99),
]
ALL = [
    stepped([P, AFTER], [Q], [0], [0.9], 0.05, note="from the place after the drafts"),
    stepped([P, AFTER], [Q], [0], [0.9], 0.2),
    stepped([P, AFTER], [Q], [2], [0.9], 0.6),
    stepped([P, P, AFTER], [Q, Q], [0, 2], [0.9, 0.9], 0.25),
    stepped([EVEN, EVEN, HIGH], [LOW, LOW], [0, 1], [0.9, 0.9], 0.65),
]
NO_DRAFT = [
    stepped([[1.0]], [], [], [], 0.5),
    stepped([P], [], [], [], 0.4),
    stepped([P], [], [], [], 0.6),
    stepped([LOW], [], [], [], 0.75),
]
MIDDLE = [
    stepped([P, P, AFTER], [Q, Q], [0, 1], [0.9, 0.9], 0.8),
    stepped([P, P, AFTER], [Q, Q], [1, 0], [0.9, 0.1], 0.1, note="the second draft does not count"),
    stepped([P, HIGH[:3], AFTER], [Q, AFTER], [0, 2], [0.1, 0.9], 0.3, note="p and q of the second place"),
    stepped([P, NEVER, P, AFTER], [Q, P, Q], [0, 0, 1], [0.2, 0.0, 0.1], 0.5),
    stepped([EVEN, EVEN, EVEN, HIGH], [LOW, LOW, LOW], [0, 1, 2], [0.9, 0.9, 0.9], 0.4),
    stepped([P, AFTER, NEVER, P], [Q, P, P], [0, 0, 1], [0.3, 0.9, 0.9], 0.2, note="left: 0, 0 and 0.5"),
    stepped([AFTER, P, NEVER, P], [P, Q, AFTER], [2, 1, 2], [0.3, 0.9, 0.9], 0.3),
    stepped([EVEN, HIGH, LOW, EVEN], [LOW, EVEN, HIGH], [0, 2, 0], [0.9, 0.9, 0.9], 0.9),
    stepped([LOW, EVEN, HIGH, EVEN], [HIGH, LOW, EVEN], [2, 3, 0], [0.9, 0.95, 0.3], 0.8),
    stepped([NEVER, AFTER], [P], [0], [0.0], 0.7, note="0 is not below 0 / 0.5"),
    stepped([[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5]], [0], [0.5], 0.7, note="0.5 is not below 0.25 / 0.5"),
    stepped([P, NEVER, AFTER], [Q, P], [0, 0], [0.1, 0.0], 0.9, note="0 is not below 0 / 0.5"),
]
ENDS = [
    stepped([NEVER, AFTER], [P], [0], [0.5], 0.0, note="a token with nothing left is never drawn"),
    stepped([NEVER], [], [], [], 0.0, note="token 0 has probability 0"),
    stepped([[0.0, 0.0, 1.0]], [], [], [], 0.0),
    stepped([P, NEVER], [Q], [0], [0.9], 0.0),
    stepped([P], [], [], [], 0.0),
    stepped([P], [], [], [], 0.999),
    stepped([[0.2, 0.8, 0.0]], [], [], [], 0.9999),
    stepped([[0.5, 0.5]], [], [], [], 0.5, note="0.5 is not above 0.5"),
    stepped([[0.25, 0.25, 0.5]], [], [], [], 0.5, note="0.5 is not above 0.5"),
    stepped([[0.5, 0.25, 0.25], AFTER], [[0.25, 0.0, 0.75]], [2], [0.9], 0.5, note="left: 0.25, 0.25 and 0"),
    stepped([[0.4, 0.6, 0.0], AFTER], [[0.9, 0.0, 0.1]], [0], [0.99], 0.9999),
]
OFTEN = [
    many(P, Q),
    many([0.7, 0.3], [0.3, 0.7]),
    many([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], k=2),
    many([0.0, 0.5, 0.5], [0.6, 0.2, 0.2]),
]
UNTOUCHED = [
    untouched([P], [], [], [], 0.4),
    untouched([P, AFTER], [Q], [1], [0.9], 0.5),
    untouched([P, P, AFTER], [Q, Q], [0, 2], [0.9, 0.9], 0.25),
]

REJECTION_SAMPLE = Exercise(
    id="15.rejection_sample",
    title="The token that follows",
    name="rejection_sample",
    cases="steps",
    properties=[
        Property(
            "In the place of a draft that is not accepted comes a token drawn from max(0, p - q)",
            "Where q is above p, the drafts alone bring the token often enough. The others still lack p - q.",
            REPLACED,
        ),
        Property(
            "If all drafts are accepted, the token is drawn from the last list of `target`",
            "The run has computed that place too, so the step brings one token more than it drafted.",
            ALL,
        ),
        Property("Without drafts the token is drawn from `target[0]`", "That is a plain decode step.", NO_DRAFT),
        Property(
            "The accepted drafts come first, up to the first that is not accepted",
            "p and q are those of that place.",
            MIDDLE,
        ),
        Property(
            "The first token at which the sum is above `last` is drawn",
            "The sum of the probabilities, from token 0 on. So a token with probability 0 is never drawn.",
            ENDS,
        ),
        Property(
            "Over many steps each token comes as often as `target` says, whatever the draft is",
            "This is the promise of speculative decoding: the text is as likely as without it.",
            OFTEN,
        ),
        Property("The caller's lists are not changed", "The result is a list of its own.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        TENSORS_INSIDE,
        Mistake(
            "the caller's lists are changed.",
            "They belong to the caller. Use lists of your own, also for the result.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
        Mistake(
            "the token is not drawn by `last`.",
            "`last` is the random number of the draw: no other is drawn, and `chances` are for the drafts. The first "
            "token at which the sum is above `last` follows.",
            is_made_by=lambda answer, found: draws_itself(answer),
            last=True,
        ),
    ],
    hints=[
        "Count the accepted drafts with your `accepted`. What is drawn from depends on whether all were accepted.",
        "`left = target[count]` if `count == len(drafted)`; otherwise `[max(0.0, p - q) for p, q in "
        "zip(target[count], draft[count])]`.",
        "Draw: add up `left` from token 0 on. The sum must be above `last * sum(left)`, which is the same as dividing "
        "everything by `sum(left)`.",
        "Return `drafted[:count] + [token]`.",
    ],
    rights=[rejection_sample, rejection_sample_in_one_loop, rejection_sample_in_tensors, rejection_sample_by_bisection],
    why="The engine draws the last token by a race of waiting times from a counter (lesson 13), so that company "
    "changes nothing; the distribution is the same.",
)
