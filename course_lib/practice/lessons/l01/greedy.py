"""Exercise 01.greedy: the id of the largest logit."""

import itertools

import torch

from course_lib.practice.fixtures.random_logits import random_logits
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report import tensors

from .greedy_answers import greedy_argmax, greedy_loop, in_the_middle, search_from, within_a_thousandth
from .solutions.greedy import greedy


def choice(values, note="", digits=6):
    """The Trial that calls greedy on these logits. digits: how many of each are written down."""
    story = [f"logits = torch.tensor({tensors.numbers(torch.tensor(values), digits)})", "greedy(logits)"]
    return Trial(story, lambda answer: answer(torch.tensor(values)), show=tensors.outcome, note=note, size=len(values))


AN_INT = "an int"


def drawn(size, scale, shift):
    """The Trial of random logits that are too many to be written out."""
    logits = random_logits(size, scale, shift)
    story = [
        "from course_lib.practice.play import random_logits",
        f"logits = random_logits({size}, scale={scale}, shift={shift})  # the largest has id {int(logits.argmax())}",
        "greedy(logits)",
    ]
    return Trial(story, lambda answer: answer(logits.clone()), show=tensors.outcome, size=size)


def kind(values):
    """The Trial that compares the type only: every int is right, any other value is shown as it is."""

    def act(answer):
        got = answer(torch.tensor(values))
        return AN_INT if type(got) is int else got

    return Trial(
        [f"logits = {tensors.code(torch.tensor(values))}", "greedy(logits)"],
        act,
        size=len(values),
        show=lambda got: got if got is AN_INT else tensors.outcome(got),
    )


def untouched(values):
    """The Trial that compares the caller's logits after the call."""

    def act(answer):
        logits = torch.tensor(values)
        answer(logits)
        return logits

    return Trial(
        [f"logits = {tensors.code(torch.tensor(values))}", "greedy(logits)", "logits"],
        act,
        show=tensors.outcome,
        size=len(values),
    )


def a_pair(_, found):
    """Whether the answer returned two values."""
    return isinstance(found.outcome, tuple) and len(found.outcome) == 2


def is_random(answer, _):
    """Whether it returns different ids for the same logits."""
    logits = torch.zeros(6) + torch.arange(6) * 0.01
    with torch.random.fork_rng(devices=[]):
        return len({int(answer(logits.clone())) for _ in range(40)}) > 1


def settles_ties_otherwise(answer, found):
    """Whether it fails on ties only, and does not always take the lowest id among equals, nor always the highest."""
    if found.trial not in TIES:
        return False
    taken_ids = set()
    for equals in (*range(2, 9), 20, 40):  # a sort of 17 and more is another one
        taken = answer(torch.tensor([-1.0] + [0.0] * equals))
        if not 1 <= taken <= equals:
            return False
        taken_ids.add("lowest" if taken == 1 else "highest" if taken == equals else "between")
    return "between" in taken_ids or len(taken_ids) > 1


def larger_ones():
    generator = torch.Generator().manual_seed(7)
    for size in (5, 9, 33):
        for scale in (0.5, 10.0):
            yield choice((torch.randn(size, generator=generator) * scale).tolist())
            yield choice((torch.randn(size, generator=generator) * scale - 30.0).tolist())
    for scale in (0.5, 10.0):
        yield drawn(1000, scale, 0.0)
        yield drawn(1000, scale, -30.0)


def equals(size, ids):
    """The Trial of `size` logits of 0, but for equal ones at `ids`, which are the largest."""

    def act(answer):
        logits = torch.zeros(size)
        logits[ids] = 1.0
        return answer(logits)

    story = [f"logits = torch.zeros({size})", f"logits[{ids}] = 1.0", "greedy(logits)"]
    return Trial(story, act, show=tensors.outcome, note="the lowest id among equals", size=size)


UNTOUCHED = [untouched(v) for v in ([2.0, 1.0], [1.0, 3.0, 2.0], [-1.0, -2.0], [float("-inf"), 2.0, float("-inf")])]
TIES = [
    choice(list(v), "the lowest id among equals")
    for n in (2, 3, 4)
    for v in itertools.product((0.0, 1.0, -1.0), repeat=n)
    if v.count(max(v)) > 1
] + [equals(20, [6, 9]), equals(40, [7, 23, 30]), equals(300, [12, 200, 250])]
CLOSE = [
    choice(values, "larger in the seventh digit", digits=8)
    for values in (
        [15.0, 15.00002],
        [-15.00002, -15.0],
        [15.0, 15.00002, 14.99998],
        [20.0, -3.0, 20.00002, 20.00001],
        [-30.00004, -30.00002, -40.0, -30.0],
        [3.0, 3.0000007],
        [1.0, 1.0000001],
        [-1.0000001, -1.0],
        [1.0, 1.0000001, 0.9999999],
        [-2.0, 3.0, 3.0000007, 3.0000002],
    )
]
"""Logits that half precision, rounding to four digits or a tolerance of 1 in 100,000 makes equal."""
TINY = [choice(v, "both are close to 0, and not equal", digits=2) for v in ([1e-9, 3e-9], [-3e-9, -1e-9])]
"""Logits of which exp is 1."""
BELOW = [choice([-2e30, -1e30]), choice([-3e4, -2e4])]
LEVELS = (-2.0, -1.0, 0.0, 1.0)

GREEDY = Exercise(
    id="01.greedy",
    title="The likeliest token",
    name="greedy",
    cases="logits",
    properties=[
        Property(
            "It returns a plain Python `int`",
            "Ids are put into lists and sets and are compared. Another type causes errors there.",
            [kind(v) for v in ([2.0, 1.0], [1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 2.0, 4.0])],
        ),
        Property(
            "The id is that of the largest logit",
            "Greedy decoding always takes the most likely token.",
            [choice(list(v)) for n in (1, 2, 3, 4) for v in itertools.permutations(LEVELS, n)]
            + BELOW
            + list(larger_ones()),
        ),
        Property(
            "Among equal logits, the lowest id is returned",
            "Two decoders that choose differently among equals write different sequences.",
            TIES,
        ),
        Property(
            "Two logits that are close are not equal",
            "The larger logit wins, however little larger it is. Lower precision, rounding and `isclose` make the two "
            "equal.",
            CLOSE + TINY,
        ),
        Property(
            "A token with a logit of -inf is never chosen",
            "A mask excludes a token by setting its logit to -inf.",
            [
                choice(v)
                for v in (
                    [float("-inf"), -5.0],
                    [-5.0, float("-inf")],
                    [float("-inf"), -1.0, -2.0],
                    [-3.0, float("-inf"), -1.0, float("-inf")],
                )
            ],
        ),
        Property("The caller's logits are not changed", "The caller may read them again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the smallest logit is taken.",
            "A large logit means a likely token; the smallest logit belongs to the least likely token.",
            lambda logits: int(logits.argmin()),
        ),
        Mistake(
            "the search begins with a value that all logits can be below.",
            "Then no logit is larger, and the first id stays. Begin with the first logit, or with `-float('inf')`.",
            tuple(lambda logits, least=least: search_from(logits, least) for least in (0.0, -100.0, -1e4, -1e9)),
            lambda answer, found: found.trial in BELOW and int(answer(torch.tensor([1e30, 2e30]))) == 1,
        ),
        Mistake(
            "the sign is lost before the logits are compared.",
            "A logit of -9 means a very unlikely token. Its absolute value says nothing.",
            lambda logits: int(logits.abs().argmax()),
        ),
        Mistake(
            "a tensor is returned, not an `int`.",
            "`argmax` returns a tensor with one number. `int(…)` or `.item()` converts it to an `int`.",
            lambda logits: logits.argmax(),
        ),
        Mistake(
            "the id is not a plain `int`.",
            "A float, a string or a NumPy number is not an `int`, even if it looks like one. `int(…)` converts it.",
            (
                lambda logits: float(logits.argmax()),
                lambda logits: str(int(logits.argmax())),
                lambda logits: logits.numpy().argmax(),
            ),
        ),
        Mistake(
            "the last id among equals is taken.",
            "With `>=` a later equal logit replaces an earlier one. The lowest id must be returned, so only a "
            "strictly larger logit may replace it.",
            lambda logits: len(logits) - 1 - int(logits.flip(0).argmax()),
        ),
        Mistake(
            "only the last logit is used.",
            "`logits` is already one row, `[vocab_size]`. So `logits[-1]` is a single number, and the `argmax` of one "
            "number is always 0.",
            lambda logits: int(logits[-1].argmax()),
        ),
        Mistake(
            "the largest value and its id are returned together.",
            "`torch.max(logits, dim=-1)` and `topk` return both. The id is the second of the two.",
            (lambda logits: logits.max(-1), lambda logits: (logits.max().item(), int(logits.argmax()))),
            a_pair,
        ),
        Mistake(
            "the largest value is returned, not its id.",
            "The value is the score. The id of the token is the index of that score in the row.",
            (lambda logits: logits.max().item(), lambda logits: logits.max(), lambda logits: int(logits.max())),
        ),
        Mistake(
            "the ids are counted from 1.",
            "The first entry of the vocabulary has id 0.",
            lambda logits: int(logits.argmax()) + 1,
        ),
        Mistake(
            "logits are rounded, or compared with a tolerance.",
            "Half precision, `round`, `isclose` make close logits equal, and the lowest id of them is taken. "
            " Compare the logits as they come.",
            (
                lambda logits: int(logits.half().argmax()),
                lambda logits: int(logits.bfloat16().argmax()),
                lambda logits: int(logits.round(decimals=3).argmax()),
                lambda logits: int(logits.double().round(decimals=6).argmax()),
                lambda logits: int(logits.round(decimals=2).argmax()),
                lambda logits: int(torch.isclose(logits, logits.max()).nonzero()[0]),
                within_a_thousandth,
            ),
        ),
        Mistake(
            "softmax or exp is taken first, and rounds.",
            "exp of two logits that are close can be one and the same float. Compare the logits themselves.",
            is_made_by=lambda answer, found: found.trial in TINY,
        ),
        Mistake(
            "a token is drawn at random.",
            "The same logits give different tokens. Greedy decoding never draws: it always takes the most likely "
            "token.",
            is_made_by=is_random,
        ),
        Mistake(
            "the order of equals depends on `topk`, on a sort that is not stable, or on chance.",
            "None of them guarantees an order among equals, so the id can differ with the size, the machine or the "
            "call. `argmax` returns the first of them.",
            in_the_middle,
            settles_ties_otherwise,
        ),
        Mistake(
            "the caller's logits are changed.",
            "torch functions whose names end in `_`, and assignments into a tensor, write into the caller's tensor.",
            (lambda logits: int(logits.sub_(logits.max()).argmax()), lambda logits: int(logits.exp_().argmax())),
            writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "`logits[i]` is the score of token i. Return the index of the largest score, not the score.",
        "torch has a function for the index of the largest: `argmax`. Which of several equals does its documentation "
        "promise? And which type does it return?",
        "`logits.argmax()` is a tensor with one number, the first index of the largest logit. `int(…)` converts it.",
        "`return int(logits.argmax())`, or, if you do not want to rely on `argmax` for ties: "
        "`return int((logits == logits.max()).nonzero()[0])`.",
    ],
    rights=[greedy, greedy_argmax, greedy_loop],
    why="`logits == logits.max()` marks every token with the largest logit, `nonzero()` lists their ids in rising "
    "order, and the first is the lowest. `argmax` alone is right as well: torch promises the first of equals. Softmax "
    "is not needed here: it can only make two close logits equal.",
)
