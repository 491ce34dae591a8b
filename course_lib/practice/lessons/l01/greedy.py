"""Exercise 01.greedy: the id of the largest logit."""

import itertools

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .greedy_answers import greedy_argmax, greedy_loop, in_the_middle, search_from, within_a_thousandth
from .greedy_trials import BELOW, CLOSE, LEVELS, TIES, TINY, UNTOUCHED, choice, kind, larger_ones, only
from .solutions.greedy import greedy


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


GREEDY = Exercise(
    id="01.greedy",
    title="The most likely token",
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
            + [only(1001, 1000), only(33_000, 32_900)]
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
