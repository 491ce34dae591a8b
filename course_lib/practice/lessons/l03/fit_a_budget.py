"""Exercise 03.fit_a_budget: dtype, users and tokens within a budget of bytes."""

from course_lib.practice.judge.common_mistakes import PRINTED, rounds_large_numbers, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .fit_a_budget_answers import (
    first_only,
    fit_by_counting,
    fit_by_trying,
    last_by_name,
    last_only,
    length_first,
    not_noticed,
    wrong,
)
from .fit_a_budget_trials import ALL_FIT, FEWER, LARGE, NEGATIVE, NOTHING, REAL, SHORTER, SMALLER, kind, plan, untouched
from .solutions.fit_a_budget import fit_a_budget


def always_none(answer, found):
    """Whether it returns None even where everything fits. (Where nothing fits, None is right.)"""
    return answer(100, {"fp8": 1}, 1, 1) is None and answer(100, {"fp8": 1}, 2, 3) is None


UNTOUCHED = [untouched(*case) for case in (ALL_FIT[0], SMALLER[0], FEWER[0], SHORTER[0], NOTHING[0])]

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
            "With a negative budget it returns `None` too",
            "The weights can take more than the share of the memory that may be used. Then less than nothing is left.",
            [plan(*case) for case in NEGATIVE],
        ),
        Property("The caller's dict is not changed", "The caller asks again, for another number of users.", UNTOUCHED),
        Property(
            "It is right at real sizes",
            "The cache of Llama 3 8B in 24 GB and in 2 GB.",
            [plan(*case) for case in REAL] + LARGE,
        ),
    ],
    mistakes=[
        PRINTED,
        rounds_large_numbers(LARGE),
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
            "a negative budget is not noticed.",
            "`budget // size` is negative then, and every number but 0 counts as true. Compare: `if size <= budget`.",
            not_noticed,
        ),
        Mistake(
            "dtypes are tried in the order of their names.",
            "A dict keeps the order in which it was written, and that is the order to try: no `sorted`.",
            lambda budget, sizes, users, tokens: fit_a_budget(budget, dict(sorted(sizes.items())), users, tokens),
        ),
        Mistake(
            "the last dtype is looked up by its name.",
            "`max(sizes)` is the last name of the alphabet. The last key of the dict is `list(sizes)[-1]`.",
            last_by_name,
        ),
        Mistake(
            "the caller's dict is changed.",
            "`pop` and `del` change the caller's dict. A loop over `items()` leaves it as it is.",
            is_made_by=writes_into(UNTOUCHED),
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
