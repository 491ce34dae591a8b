"""Exercise 03.fit_a_budget: dtype, users and tokens within a budget of bytes."""

from course_lib.practice.judge.common_mistakes import PRINTED
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.fit_a_budget import fit_a_budget


def fit_by_counting(budget, kv_bytes_per_token, users, tokens):
    dtypes = list(kv_bytes_per_token)
    fitting = [d for d in dtypes if budget // kv_bytes_per_token[d] >= users * tokens]
    dtype = fitting[0] if fitting else dtypes[-1]
    slots = budget // kv_bytes_per_token[dtype]
    if slots == 0:
        return None
    length = min(tokens, slots)
    return dtype, min(users, slots // length), length


def fit_by_trying(budget, kv_bytes_per_token, users, tokens):
    plans = [(dtype, users, tokens) for dtype in kv_bytes_per_token]
    last = plans[-1][0]
    plans += [(last, n, tokens) for n in range(users - 1, 0, -1)] + [(last, 1, t) for t in range(tokens - 1, 0, -1)]
    return next(([d, n, t] for d, n, t in plans if kv_bytes_per_token[d] * n * t <= budget), None)


SIZES = {"bfloat16": 4, "fp8": 2, "int4": 1}
TWO = {"bfloat16": 6, "fp8": 3}
ONE = {"float32": 5}
LLAMA = {"bfloat16": 131_072, "fp8": 65_536, "int4": 32_768}


def plan(budget, sizes, users, tokens, note=""):
    """The Trial that calls fit_a_budget with these; a list is accepted as a tuple."""
    return Trial(
        [f"sizes = {sizes}", f"fit_a_budget({budget:_}, sizes, users={users}, tokens={tokens})"],
        lambda answer: as_tuple(answer(budget, dict(sizes), users, tokens)),
        note=note,
        size=budget + users * tokens,
    )


def as_tuple(got):
    return tuple(got) if isinstance(got, list) else got


def kind(budget, sizes, users, tokens):
    base = plan(budget, sizes, users, tokens)

    def act(answer):
        got = as_tuple(answer(budget, dict(sizes), users, tokens))
        return tuple(type(x).__name__ for x in got) if isinstance(got, tuple) else type(got).__name__

    return Trial(
        base.story,
        act,
        size=base.size,
        explain=lambda expected, got: (
            "" if isinstance(got, tuple) and len(got) == 3 else "Return three values: dtype, users, tokens."
        ),
    )


def always_none(answer, found):
    """Whether it returns None even where everything fits. (Where nothing fits, None is right.)"""
    return answer(100, {"fp8": 1}, 1, 1) is None and answer(100, {"fp8": 1}, 2, 3) is None


def wrong(
    fits=lambda total, budget: total <= budget,
    asks=lambda users, tokens: users * tokens,
    dtypes=list,
    fewer=None,
    shorter=None,
    none=None,
):
    """A wrong answer: the right one with one step replaced."""

    def answer(budget, sizes, users, tokens):
        for dtype in dtypes(sizes):
            if fits(asks(users, tokens) * sizes[dtype], budget):
                return dtype, users, tokens
        size = sizes[dtype]
        if fits(tokens * size, budget):
            return (fewer or (lambda d, b, s, u, t: (d, b // (t * s), t)))(dtype, budget, size, users, tokens)
        if fits(size, budget):
            return (shorter or (lambda d, b, s, u, t: (d, 1, b // s)))(dtype, budget, size, users, tokens)
        return none(dtype, tokens) if none else None

    return answer


def first_only(sizes):
    return list(sizes)[:1]


def last_only(sizes):
    return list(sizes)[-1:]


def length_first(budget, sizes, users, tokens):
    """Shortens all sequences before it serves fewer users."""
    for dtype, size in sizes.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    if users * size <= budget:
        return dtype, users, budget // (users * size)
    return (dtype, budget // size, 1) if size <= budget else None


ALL_FIT = [
    (4, ONE | {"float32": 2}, 1, 2),
    (8, SIZES, 1, 2),
    (8, SIZES, 2, 1),
    (24, SIZES, 2, 3),
    (25, SIZES, 2, 3),
    (60, TWO, 2, 5),
    (120, TWO, 4, 5),
    (13, SIZES, 1, 3),
]
SMALLER = [
    (7, SIZES, 1, 2),
    (4, SIZES, 1, 2),
    (3, SIZES, 1, 2),
    (12, SIZES, 2, 3),
    (23, SIZES, 2, 3),
    (6, SIZES, 2, 3),
    (11, SIZES, 2, 3),
    (59, TWO, 2, 5),
    (30, TWO, 2, 5),
]
FEWER = [
    (5, SIZES, 2, 3),
    (3, SIZES, 2, 3),
    (9, SIZES, 4, 3),
    (11, SIZES, 4, 3),
    (29, TWO, 2, 5),
    (31, TWO, 3, 5),
    (20, ONE, 5, 2),
    (10, ONE, 2, 2),
    (16, SIZES, 8, 5),
]
SHORTER = [
    (2, SIZES, 1, 3),
    (2, SIZES, 2, 3),
    (1, SIZES, 3, 4),
    (10, TWO, 2, 5),
    (14, TWO, 3, 5),
    (19, ONE, 3, 6),
    (5, ONE, 2, 4),
]
NOTHING = [(0, SIZES, 1, 2), (2, TWO, 1, 2), (4, ONE, 2, 2), (1, TWO, 3, 4)]
REAL = [
    (24 * 10**9, LLAMA, 20, 8192),
    (24 * 10**9, LLAMA, 40, 8192),
    (24 * 10**9, LLAMA, 200, 8192),
    (2 * 10**9, LLAMA, 4, 131_072),
]

FIT_A_BUDGET = Exercise(
    id="03.fit_a_budget",
    title="What to give up",
    name="fit_a_budget",
    cases="budgets",
    properties=[
        Property(
            "It returns three values: dtype, users, tokens",
            "A name and two whole numbers, for a configuration.",
            [kind(*case) for case in ALL_FIT[1:5]],
        ),
        Property(
            "If all users fit, the most exact dtype is used, up to the last byte",
            "Precision is reduced only where this is needed.",
            [plan(*case) for case in ALL_FIT],
        ),
        Property(
            "Otherwise the next dtype in which all users fit is used",
            "A smaller dtype costs a little quality; serving fewer users costs more.",
            [plan(*case) for case in SMALLER],
        ),
        Property(
            "If no dtype is enough: as many users as fit at full length, in the last dtype",
            "A sequence that is cut short is of little use.",
            [plan(*case) for case in FEWER],
        ),
        Property(
            "If not even one user fits at full length: one user with as many tokens as fit",
            "A shorter sequence is better than no service.",
            [plan(*case) for case in SHORTER],
        ),
        Property(
            "If not even one token fits, it returns `None`",
            "`None` means that nothing fits. 0 users would look like a plan.",
            [plan(*case) for case in NOTHING],
        ),
        Property(
            "It is right at real sizes", "The cache of Llama 3 8B in 24 GB and in 2 GB.", [plan(*case) for case in REAL]
        ),
    ],
    mistakes=[
        PRINTED,
        Mistake(
            "nothing is returned.",
            "A function that ends without `return` returns `None`. Put `return` before each result.",
            is_made_by=always_none,
        ),
        Mistake(
            "a plan that needs exactly the budget is refused.",
            "All bytes may be used: `<=`, not `<`.",
            wrong(fits=lambda total, budget: total < budget),
        ),
        Mistake(
            "the smallest dtype is used at once.",
            "Try the dtypes in their order, the most exact first, and stop at the first that fits.",
            (wrong(dtypes=last_only), wrong(dtypes=lambda sizes: list(sizes)[::-1])),
        ),
        Mistake(
            "only the first dtype is tried.",
            "Try the smaller dtypes before you serve fewer users. If every branch in the loop has a `return`, the "
            "loop ends in its first round.",
            wrong(dtypes=first_only),
        ),
        Mistake(
            "the memory of one user is counted for all users.",
            "All users need memory at once: `users * tokens * size`.",
            wrong(asks=lambda users, tokens: tokens),
        ),
        Mistake(
            "the tokens of a user are not counted.",
            "`size` is for one token; each user has `tokens` tokens.",
            wrong(asks=lambda users, tokens: users),
        ),
        Mistake(
            "sequences are cut short before fewer users are served.",
            "First reduce the users, at full length. Cut the sequence only if not even one user fits.",
            (length_first, wrong(fewer=lambda d, b, s, u, t: (d, u, b // (u * s)))),
        ),
        Mistake(
            "one user is served where more fit.",
            "`budget // (tokens * size)` users fit at full length.",
            wrong(fewer=lambda d, b, s, u, t: (d, 1, t)),
        ),
        Mistake(
            "more users are served than fit.",
            "`//` rounds down: only users whose whole cache fits count.",
            (
                wrong(fewer=lambda d, b, s, u, t: (d, -(-b // (t * s)), t)),
                wrong(fewer=lambda d, b, s, u, t: (d, b // s, t)),
            ),
        ),
        Mistake(
            "a plan is returned only if all users fit.",
            "After the loop handle the cases in which not all fit: first fewer users, then a shorter sequence.",
            wrong(fewer=lambda d, b, s, u, t: None, shorter=lambda d, b, s, u, t: None),
        ),
        Mistake(
            "no user is served where not even one fits at full length.",
            "One case is missing: one user with `budget // size` tokens.",
            (
                wrong(shorter=lambda d, b, s, u, t: None),
                wrong(shorter=lambda d, b, s, u, t: (d, 0, t)),
                wrong(shorter=lambda d, b, s, u, t: (d, 0, 0)),
            ),
        ),
        Mistake(
            "0 is returned where nothing fits.",
            "Return `None` where nothing fits. The caller would use a plan for 0 users or 0 tokens.",
            (
                wrong(none=lambda d, t: (d, 1, 0)),
                wrong(none=lambda d, t: (d, 0, 0)),
                wrong(none=lambda d, t: (d, 0, t)),
            ),
        ),
    ],
    hints=[
        "There are four cases, in this order: all users fit; some fit at full length; one fits with fewer tokens; "
        "nothing fits.",
        "`for dtype, size in kv_bytes_per_token.items():` gives the most exact first. All users fit if "
        "`users * tokens * size <= budget`.",
        "After the loop, `dtype` and `size` are those of the last dtype, the smallest. If `tokens * size <= budget`, "
        "then `budget // (tokens * size)` users fit at full length.",
        "Otherwise, if `size <= budget`: `return dtype, 1, budget // size`. Otherwise `None`.",
    ],
    rights=[fit_a_budget, fit_by_counting, fit_by_trying],
    why="The order of the cases is the order of what costs least: precision, then users, then length. Each `if` is "
    "reached only if all before it failed, so it does not repeat their conditions. Servers are configured in the same "
    "order: cache dtype, number of concurrent sequences, maximum length.",
)
