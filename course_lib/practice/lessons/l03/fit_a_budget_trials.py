"""Trials of 03.fit_a_budget: (budget, bytes of a token by dtype, users, tokens)."""

from course_lib.practice.judge.exercise import Trial

FLOATS = {"float32": 8, "bfloat16": 4, "fp8": 2}
"""In this order, and not in that of the names."""
SIZES = {"bfloat16": 4, "fp8": 2, "int4": 1}
NAMES = {"float32": 8, "int8": 2, "fp4": 1}
"""The last of these is not the last of the alphabet."""
TWO = {"bfloat16": 6, "fp8": 3}
ONE = {"float32": 5}
EQUAL = {"bfloat16": 4, "fp8_e4m3": 2, "fp8_e5m2": 2}
"""The last two are as small as each other."""
LLAMA = {"bfloat16": 131_072, "fp8": 65_536, "int4": 32_768}


def plan(budget, sizes, users, tokens, note=""):
    """The Trial that calls fit_a_budget with these; a list is accepted as a tuple."""
    return Trial(
        [f"sizes = {sizes}", f"fit_a_budget({budget:_}, sizes, users={users}, tokens={tokens})"],
        lambda answer: as_tuple(answer(budget, dict(sizes), users, tokens)),
        note=note,
        size=abs(budget) + users * tokens,
    )


def untouched(budget, sizes, users, tokens):
    """The Trial that compares the caller's dict after the call."""

    def act(answer):
        own = dict(sizes)
        answer(budget, own, users, tokens)
        return list(own.items())

    base = plan(budget, sizes, users, tokens)
    return Trial([*base.story, "list(sizes.items())"], act, size=base.size)


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


ALL_FIT = [
    (4, ONE | {"float32": 2}, 1, 2),
    (8, SIZES, 1, 2),
    (8, SIZES, 2, 1),
    (24, SIZES, 2, 3),
    (25, SIZES, 2, 3),
    (60, TWO, 2, 5),
    (120, TWO, 4, 5),
    (13, SIZES, 1, 3),
    (49, FLOATS, 2, 3),
    (60, FLOATS, 2, 3),
    (97, FLOATS, 3, 4),
    (50, FLOATS, 2, 3),
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
    (47, FLOATS, 2, 3),
    (26, FLOATS, 2, 3),
    (23, FLOATS, 2, 3),
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
    (5, NAMES, 2, 3),
    (9, NAMES, 4, 3),
    (6, EQUAL, 2, 3),
    (7, EQUAL, 3, 2),
]
SHORTER = [
    (2, SIZES, 1, 3),
    (2, SIZES, 2, 3),
    (1, SIZES, 3, 4),
    (10, TWO, 2, 5),
    (14, TWO, 3, 5),
    (19, ONE, 3, 6),
    (5, ONE, 2, 4),
    (2, NAMES, 2, 3),
    (4, NAMES, 1, 6),
    (4, EQUAL, 1, 3),
]
NOTHING = [(0, SIZES, 1, 2), (2, TWO, 1, 2), (4, ONE, 2, 2), (1, TWO, 3, 4)]
NEGATIVE = [(-1, SIZES, 1, 2), (-1, TWO, 1, 1), (-7, ONE, 2, 2), (-6, SIZES, 2, 3), (-100, TWO, 3, 4)]
REAL = [
    (24 * 10**9, LLAMA, 20, 8192),
    (24 * 10**9, LLAMA, 40, 8192),
    (24 * 10**9, LLAMA, 200, 8192),
    (2 * 10**9, LLAMA, 4, 131_072),
]
LARGE = [
    plan(24_159_191_039, LLAMA, 18, 20_480, note="fp8 is one byte too large"),
    plan(3 * (2**54 + 1) - 1, {"fp8": 2**54 + 1}, 3, 1, note="one byte less than all users take"),
]
"""Exact in whole numbers only."""
