"""The exercise 12.knee: the highest load that keeps the goal, in few runs."""

from bisect import bisect_left

from course_lib.practice.judge.common_mistakes import PRINTED, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .knee_mistakes import MISTAKES
from .solutions.knee import find_knee


def find_knee_by_library(run, rates, goal):
    """bisect over the rates, with "misses the goal" as the key: False, then True."""
    missing = bisect_left(rates, True, key=lambda rate: run(rate) < goal)
    return rates[missing - 1] if missing > 0 else None


def find_knee_in_halves(run, rates, goal):
    """Keeps the best rate so far, and the part of the list that may hold a better one."""
    best, left = None, list(rates)
    while left:
        half = len(left) // 2
        if run(left[half]) >= goal:
            best, left = left[half], left[half + 1 :]
        else:
            left = left[:half]
    return best


def search(rates, shares, goal, *, runs=False, note=""):
    """The Trial of one search. runs: compare whether the runs are few, and not the rate."""

    def act(answer):
        asked, found = [], dict(zip(rates, shares))

        def run(rate):
            asked.append(rate)
            return found[rate]

        got = as_python(answer(run, list(rates), goal))
        if not runs:
            return got
        if len(set(asked)) < len(asked):
            return "a rate is run twice"
        most = len(rates).bit_length()
        return f"at most {most} runs" if len(asked) <= most else f"{len(asked)} runs"

    table = "{" + ", ".join(f"{rate}: {share}" for rate, share in zip(rates, shares)) + "}"
    story = [f"shares = {table}"]
    if runs:
        story += ["loads = []", "def run(rate):", "    loads.append(rate)", "    return shares[rate]"]
        story += [f"find_knee(run, list(shares), {goal})", "loads"]
    else:
        story += [f"find_knee(shares.__getitem__, list(shares), {goal})"]
    show = str if runs else repr
    return Trial(story, act, show=show, note=note, size=10 * len(rates) + (goal != 0.9))


def untouched(rates, shares):
    def act(answer):
        given = list(rates)
        answer(dict(zip(rates, shares)).__getitem__, given, 0.9)
        return given

    story = [f"rates = {rates}", f"shares = dict(zip(rates, {shares}))"]
    story += ["find_knee(shares.__getitem__, rates, 0.9)", "rates"]
    return Trial(story, act, note="unchanged", size=len(rates))


def falling(n, kept, goal=0.9):
    """n shares that never grow, of which `kept` are at least the goal; the last of these is exactly the goal."""
    return [1.0] * (kept - 1) + [goal] * (kept > 0) + [round(goal / (2 + i), 3) for i in range(n - kept)]


RATES = {n: [5 * (i + 1) for i in range(n)] for n in range(1, 17)}
SMALL = [(RATES[n], falling(n, kept)) for n in (1, 2, 3, 4, 5) for kept in range(n + 1)]
LARGE = [(RATES[n], falling(n, kept)) for n in (7, 8, 15, 16) for kept in (0, 1, n // 2, n - 1, n)]
UNEVEN = [
    ([0.5, 1, 4, 5, 20], [1.0, 0.98, 0.98, 0.6, 0.0]),
    ([0.25, 0.5, 3.5], [0.75, 0.75, 0.7]),
    ([10, 11, 30, 100], [0.99, 0.95, 0.5, 0.5]),
    ([1, 2, 4, 8, 16, 32, 64], [1.0, 1.0, 1.0, 0.99, 0.95, 0.5, 0.25]),
    ([1, 2, 3], [0.9, 0.9, 0.9]),
    ([10, 20, 30, 40], [0.95, 0.9, 0.9, 0.9]),
    ([2, 3, 5, 8, 9], [1.0, 0.9, 0.9, 0.9, 0.2]),
    ([10, 20, 30, 40], [1.0, 1.0, 0.8, 0.75]),  # 0.75 of 40 are more good requests than all of 20
]
NEAR = [
    ([10, 20, 30], [0.95, 0.8996, 0.85]),
    ([10, 20, 30, 40], [0.9, 0.89, 0.889, 0.5]),
    ([1, 2], [0.9000001, 0.8999999]),
    ([5], [0.8999999]),
    ([5], [0.9 - 1e-10]),
    ([1, 2], [0.95, 0.9 - 1e-11]),
    ([1, 2, 4], [0.9, 0.9, 0.9 - 1e-12]),
]
UNTOUCHED = [untouched(RATES[n], falling(n, kept)) for n, kept in ((1, 1), (2, 1), (3, 2), (6, 2))]

KNEE = Exercise(
    id="12.knee",
    title="The highest load that keeps the goal",
    name="find_knee",
    cases="searches",
    properties=[
        Property(
            "The highest rate whose share is at least the goal is found; None, if there is none",
            "A share that is exactly the goal keeps it. The knee may be at the lowest rate, or at the highest.",
            [search(rates, shares, 0.9) for rates, shares in SMALL],
        ),
        Property(
            "The same holds for other goals, and for rates that are not evenly spaced",
            "A batch service may ask for half of the requests in time, a voice assistant for 99 of 100. Two rates may "
            "have the same share.",
            [search(rates, shares, goal) for rates, shares in UNEVEN for goal in (0.9, 0.99, 0.75, 0.5, 1.0)],
        ),
        Property(
            "A share just below the goal misses it",
            "Shares are not rounded. 899 of 1,000 requests are fewer than nine of ten.",
            [search(rates, shares, 0.9) for rates, shares in NEAR],
        ),
        Property("The same holds for many rates", "Up to 16.", [search(rates, shares, 0.9) for rates, shares in LARGE]),
        Property(
            "n rates take at most `n.bit_length()` runs, and no rate is run twice",
            "A run takes minutes. Of 16 rates, 5 runs are enough: each one rules out half of what is left.",
            [search(rates, shares, 0.9, runs=True) for rates, shares in (*SMALL, *LARGE)],
        ),
        Property("The caller's list is not changed", "It is the axis of the next chart.", UNTOUCHED),
    ],
    mistakes=[
        PRINTED,
        Mistake(
            "the caller's list is changed.",
            "`rates` belongs to the caller. Work with places, or with a list of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "The shares fall with the rate. So a rate that keeps the goal rules out all below it, and one that misses it "
        "rules out all above it.",
        "Search for how many rates keep the goal: a number between `low = 0` and `high = len(rates)`. Run the rate at "
        "`middle = (low + high) // 2`.",
        "Where it keeps the goal, `low = middle + 1`; otherwise `high = middle`. When both are equal, the answer is "
        "`rates[low - 1]`, or None if low is 0.",
    ],
    rights=[find_knee, find_knee_by_library, find_knee_in_halves],
    why="DistServe (arXiv 2401.09670) calls this highest rate the goodput of a server, with a goal of 90 %. On a real "
    "server two runs at one rate differ. So near the knee, repeat runs with other seeds and look at the interval.",
)
