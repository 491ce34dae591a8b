"""The mistakes in 12.knee. Each is the right answer with one part replaced."""

import math

from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED
from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    holds=lambda share, goal: share >= goal,
    bounds=lambda n: (0, n),
    gives=lambda rates, count: rates[count - 1] if count else None,
    after=lambda run, found: None,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(run, rates, goal):
        low, high = bounds(len(rates))
        while low < high:
            middle = (low + high) // 2
            if holds(run(rates[middle]), goal):
                low = middle + 1
            else:
                high = middle
        found = gives(rates, low)
        after(run, found)
        return found

    return answer


def from_the_lowest(run, rates, goal):
    best = None
    for rate in rates:
        if run(rate) < goal:
            break
        best = rate
    return best


def from_the_highest(run, rates, goal):
    return next((rate for rate in reversed(rates) if run(rate) >= goal), None)


def all_of_them(run, rates, goal):
    return max((rate for rate, share in [(rate, run(rate)) for rate in rates] if share >= goal), default=None)


def most_good(run, rates, goal):
    return max(rates, key=lambda rate: rate * run(rate))


def most_good_of_those(run, rates, goal):
    shares = {rate: run(rate) for rate in rates}
    return max((rate for rate in rates if shares[rate] >= goal), key=lambda rate: rate * shares[rate], default=None)


def between_rates(run, rates, goal):
    """Bisects the numbers between the lowest and the highest rate, which nobody offered."""
    low, high = rates[0], rates[-1]
    while high - low > 1e-3:
        middle = (low + high) / 2
        if run(middle) >= goal:
            low = middle
        else:
            high = middle
    return low


def twice_each(run, rates, goal):
    low, high = 0, len(rates)
    while low < high:
        middle = (low + high) // 2
        if run(rates[middle]) >= goal:
            low = middle + 1
        if run(rates[middle]) < goal:
            high = middle
    return rates[low - 1] if low else None


def checks_again(run, found):
    if found is not None:
        run(found)


def stops_at_the_goal(run, rates, goal):
    low, high = 0, len(rates)
    while low < high:
        middle = (low + high) // 2
        share = run(rates[middle])
        if share == goal:
            return rates[middle]
        low, high = (middle + 1, high) if share > goal else (low, middle)
    return rates[low - 1] if low else None


def an_end_first(place):
    """The search that runs the lowest rate (place 0) or the highest (-1) before it begins in the middle."""

    def answer(run, rates, goal):
        good = run(rates[place]) >= goal
        if good != (place == 0):
            return rates[-1] if good else None
        low, high = (1, len(rates)) if place == 0 else (0, len(rates) - 1)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if run(rates[middle]) >= goal else (low, middle)
        return rates[low - 1] if low else None

    return answer


def lowest_first(run, rates, goal):
    """Runs the lowest rate, and then bisects between a rate that keeps the goal and one that misses it."""
    if run(rates[0]) < goal:
        return None
    low, high = 0, len(rates)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if run(rates[middle]) >= goal else (low, middle)
    return rates[low]


def one_run_less(part):
    """The search that stops one run early. part: 0 takes the upper of two places in the middle, 1 the lower."""

    def answer(run, rates, goal):
        low, high = 0, len(rates)
        for _ in range(max(1, len(rates).bit_length() - 1)):
            if low < high:
                middle = (low + high - part) // 2
                low, high = (middle + 1, high) if run(rates[middle]) >= goal else (low, middle)
        return rates[low - 1] if low else None

    return answer


MISTAKES = [
    Mistake(
        "a share just below the goal counts.",
        "Compare the share as it is, with `>=`: neither rounded, nor with a tolerance.",
        (
            wrong(holds=lambda share, goal: round(share, 2) >= goal),
            wrong(holds=lambda share, goal: share >= goal - 0.01),
            wrong(holds=lambda share, goal: share >= goal - 1e-9),
            wrong(holds=lambda share, goal: share >= goal or math.isclose(share, goal, rel_tol=1e-3)),
        ),
    ),
    Mistake(NOTHING_RETURNED.name, NOTHING_RETURNED.why, wrong(gives=lambda rates, count: None)),
    Mistake(
        "the rates are tried one after the other.",
        "Each run takes minutes. Start in the middle: one run tells about half of the rates.",
        (from_the_lowest, from_the_highest, all_of_them, most_good_of_those),
    ),
    Mistake(
        "a rate is run twice.",
        "Keep what a run returned: the second run takes as long as the first.",
        (twice_each, wrong(after=checks_again)),
    ),
    Mistake(
        "the lowest rate, or the highest, is run before the search begins.",
        "That is one run too many. Begin in the middle: where no rate keeps the goal, the search itself comes to the "
        "lowest rate.",
        (lowest_first, an_end_first(0), an_end_first(-1)),
    ),
    Mistake(
        "a share that is exactly the goal does not count.",
        "A goal of 0.9 is kept by 0.9: `>=`.",
        wrong(holds=lambda share, goal: share > goal),
    ),
    Mistake(
        "the goal is not used.",
        "It is an argument: another service has another goal.",
        (
            wrong(holds=lambda share, goal: share >= 0.9),
            wrong(holds=lambda share, goal: share >= 1),
            wrong(holds=lambda share, goal: share >= 0.5),
            wrong(holds=lambda share, goal: share > 0),
        ),
    ),
    Mistake(
        "the first rate that misses the goal is returned.",
        "The knee is the highest rate that still keeps it, the one before.",
        (
            wrong(gives=lambda rates, count: rates[count] if count < len(rates) else None),
            wrong(gives=lambda rates, count: rates[min(count, len(rates) - 1)]),
        ),
    ),
    Mistake(
        "the place of the rate is returned.",
        "Return the rate itself: `rates[place]`.",
        (
            wrong(gives=lambda rates, count: count - 1 if count else None),
            wrong(gives=lambda rates, count: count),
            wrong(gives=lambda rates, count: count - 1),
        ),
    ),
    Mistake(
        "something else than None is returned where no rate keeps the goal.",
        "None says that even the lowest load is too much. So the lowest rate is run too, where nothing else is left.",
        (
            wrong(bounds=lambda n: (1, n)),
            wrong(gives=lambda rates, count: rates[count - 1]),
            wrong(gives=lambda rates, count: rates[max(count - 1, 0)]),
            wrong(gives=lambda rates, count: rates[count - 1] if count else 0),
        ),
    ),
    Mistake(
        "the highest rate is never tried.",
        "All rates may keep the goal. Then the highest one is the answer.",
        wrong(bounds=lambda n: (0, n - 1)),
    ),
    Mistake(
        "the search ends at a share that is exactly the goal.",
        "A higher rate may keep the goal too, with the same share. Search on above it.",
        stops_at_the_goal,
    ),
    Mistake(
        "the search ends while rates are left between the bounds.",
        "n rates may take `n.bit_length()` runs. Go on until no rate is left.",
        (one_run_less(0), one_run_less(1)),
    ),
    Mistake(
        "the rate with the most good requests is taken.",
        "At that rate more users may be too late than the goal allows.",
        most_good,
    ),
    Mistake(
        "rates are run that are not in the list.",
        "Bisect places in the list and not numbers: only the rates of the list are asked for.",
        between_rates,
        is_made_by=lambda answer, found: getattr(found.outcome, "kind", "") == "KeyError",
    ),
    Mistake(
        "the order of the halves is exchanged.",
        "Where the goal is kept, the knee is at this rate or above it.",
        wrong(holds=lambda share, goal: share < goal),
    ),
]
