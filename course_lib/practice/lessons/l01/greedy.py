"""Cases of 01.greedy."""

import itertools

import torch

from course_lib.practice.fixtures.random_logits import random_logits
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.report import tensors

from .solutions.greedy import greedy


def greedy_argmax(logits):
    return logits.argmax().item()


def greedy_loop(logits):
    best = 0
    for token in range(len(logits)):
        if logits[token] > logits[best]:
            best = token
    return best


def greedy_softmax(logits):
    return int(torch.softmax(logits, -1).argmax())


def choice(values, note=""):
    """The Trial that calls greedy on these logits."""
    story = [f"logits = {tensors.code(torch.tensor(values))}", "greedy(logits)"]
    return Trial(story, lambda answer: answer(torch.tensor(values)), show=tensors.outcome, note=note, size=len(values))


AN_INT = "an int"


def drawn(size, scale, shift):
    """The Trial of logits too many to be written out."""
    logits = random_logits(size, scale, shift)
    story = [
        "from course_lib.practice.play import random_logits",
        f"logits = random_logits({size}, scale={scale}, shift={shift})  # the largest is number {int(logits.argmax())}",
        "greedy(logits)",
    ]
    return Trial(story, lambda answer: answer(logits.clone()), show=tensors.outcome, size=size)


def kind(values):
    """The Trial that looks at the type alone: any int will do, anything else is shown as it is."""

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
    """The Trial that looks at the caller's logits after the call."""

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
    """Whether more than one thing came back."""
    return isinstance(found.outcome, tuple) and len(found.outcome) == 2


def is_random(answer, _):
    """Whether it answers differently from one time to the next."""
    logits = torch.zeros(6) + torch.arange(6) * 0.01
    with torch.random.fork_rng(devices=[]):
        return len({int(answer(logits.clone())) for _ in range(40)}) > 1


def settles_ties_otherwise(answer, found):
    """Whether it fails on ties alone, and takes neither always the lowest nor always the highest id among equals."""
    if found.trial not in TIES:
        return False
    places = set()
    for equals in range(2, 9):
        taken = answer(torch.tensor([-1.0] + [0.0] * equals))
        if not 1 <= taken <= equals:
            return False
        places.add("lowest" if taken == 1 else "highest" if taken == equals else "between")
    return "between" in places or len(places) > 1


def in_the_middle(logits):
    """The middle one of the equals, as `topk` may have it."""
    equals = (logits == logits.max()).nonzero().flatten()
    return int(equals[len(equals) // 2])


def larger_ones():
    generator = torch.Generator().manual_seed(7)
    for size in (5, 9, 33):
        for scale in (0.5, 10.0):
            yield choice((torch.randn(size, generator=generator) * scale).tolist())
            yield choice((torch.randn(size, generator=generator) * scale - 30.0).tolist())
    for scale in (0.5, 10.0):
        yield drawn(1000, scale, 0.0)
        yield drawn(1000, scale, -30.0)


UNTOUCHED = [untouched(v) for v in ([2.0, 1.0], [1.0, 3.0, 2.0], [-1.0, -2.0])]
TIES = [
    choice(list(v), "the lowest id among equals")
    for n in (2, 3, 4)
    for v in itertools.product((0.0, 1.0, -1.0), repeat=n)
    if v.count(max(v)) > 1
]
LEVELS = (-2.0, -1.0, 0.0, 1.0)

GREEDY = Exercise(
    id="01.greedy",
    title="The likeliest token",
    name="greedy",
    cases="logits",
    properties=[
        Property(
            "A plain Python `int` comes back",
            "Ids go into lists, sets and comparisons, where anything but an `int` surprises later.",
            [kind(v) for v in ([2.0, 1.0], [1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 2.0, 4.0])],
        ),
        Property(
            "It is the id of the largest logit",
            "Greedy decoding always takes the likeliest token.",
            [choice(list(v)) for n in (1, 2, 3, 4) for v in itertools.permutations(LEVELS, n)] + list(larger_ones()),
        ),
        Property(
            "Among equals, the lowest id wins",
            "Two decoders that settle a tie differently write different texts.",
            TIES,
        ),
        Property(
            "A token that is forbidden, at -inf, is never chosen",
            "Masks cut tokens by setting their logits to -inf.",
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
        Property("The caller's logits stay as they were", "Somebody else may still want to read them.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the smallest logit is taken.",
            "A large logit means a likely token; the smallest is the least likely of all.",
            lambda logits: int(logits.argmin()),
        ),
        Mistake(
            "the sign is lost before comparing.",
            "A logit of -9 means a very unlikely token. Its size without the sign says nothing.",
            lambda logits: int(logits.abs().argmax()),
        ),
        Mistake(
            "a tensor is returned, not an `int`.",
            "`argmax` gives a tensor with one number in it. `int(…)` or `.item()` takes the number out.",
            lambda logits: logits.argmax(),
        ),
        Mistake(
            "the id is not a plain `int`.",
            "A float, a text or a number of numpy looks like an id and is none: `int(…)` makes one of it.",
            (
                lambda logits: float(logits.argmax()),
                lambda logits: str(int(logits.argmax())),
                lambda logits: logits.numpy().argmax(),
            ),
        ),
        Mistake(
            "the last of the equals is taken.",
            "With `>=` a later equal replaces an earlier one. The lowest id is to win, so only a strictly larger one "
            "may.",
            lambda logits: len(logits) - 1 - int(logits.flip(0).argmax()),
        ),
        Mistake(
            "only the last logit is looked at.",
            "`logits` is one row already, `[vocab_size]`. In it `logits[-1]` is a single number, and the place of the "
            "largest of one number is always 0.",
            lambda logits: int(logits[-1].argmax()),
        ),
        Mistake(
            "the largest value and its place are returned together.",
            "`torch.max(logits, dim=-1)` and `topk` give both. The place is the second of the two.",
            (lambda logits: logits.max(-1), lambda logits: (logits.max().item(), int(logits.argmax()))),
            a_pair,
        ),
        Mistake(
            "the largest value is returned, not where it stands.",
            "The value is the score. The token is its place in the row: its id.",
            (lambda logits: logits.max().item(), lambda logits: logits.max(), lambda logits: int(logits.max())),
        ),
        Mistake(
            "the ids are counted from 1.",
            "The first entry of the vocabulary has id 0.",
            lambda logits: int(logits.argmax()) + 1,
        ),
        Mistake(
            "a token is drawn at random.",
            "The same logits give different tokens. Greedy never draws: it takes the likeliest every time.",
            is_made_by=is_random,
        ),
        Mistake(
            "the order of equals is left to `topk`, or to a sort that is not stable.",
            "Neither promises an order among equals, so another size or machine gives another id. `argmax` does: the "
            "first.",
            in_the_middle,
            settles_ties_otherwise,
        ),
        Mistake(
            "the caller's logits are changed.",
            "Functions of torch that end in `_`, and assignments into a tensor, write into the caller's own tensor.",
            (lambda logits: int(logits.sub_(logits.max()).argmax()), lambda logits: int(logits.exp_().argmax())),
            writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "`logits[i]` is the score of token i. You want the place of the largest score, not the score.",
        "torch has a function for the place of the largest: look at `argmax`. Which of several equals does its "
        "documentation promise? And what type does it return?",
        "`logits.argmax()` is a tensor with one number, the first of the largest. Take the number out with `int(…)`.",
        "`return int(logits.argmax())`, or without trusting anybody on ties: `return int((logits == "
        "logits.max()).nonzero()[0])`.",
    ],
    rights=[greedy, greedy_argmax, greedy_loop, greedy_softmax],
    why="`logits == logits.max()` marks every token that shares the first place, `nonzero()` lists their ids in "
    "rising order, and the first is the lowest. `argmax` alone is right as well: torch promises the first of equals. "
    "Softmax changes no order, so there is no need for it here.",
)
