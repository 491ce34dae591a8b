"""Wrong answers to 12.knee as people write them; see written_otherwise.py. RIGHT: other right ones."""

import numpy as np


def remembering(run):
    """run, and each rate once."""
    known = {}

    def once(rate):
        if rate not in known:
            known[rate] = run(rate)
        return known[rate]

    return once


def halves(run, rates, goal):
    """Bisects with the last rate that is known to keep the goal, and the first that misses it."""
    good, bad = -1, len(rates)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if run(rates[middle]) >= goal else (good, middle)
    return None if good < 0 else rates[good]


def recursive(run, rates, goal):
    if not rates:
        return None
    middle = len(rates) // 2
    if run(rates[middle]) < goal:
        return recursive(run, rates[:middle], goal)
    above = recursive(run, rates[middle + 1 :], goal)
    return rates[middle] if above is None else above


def in_numpy(run, rates, goal):
    found = halves(run, rates, goal)
    return None if found is None else np.asarray(found)


def doubling(run, rates, goal):
    """Doubles the place until the goal is missed, then bisects: more runs than needed for a high knee."""
    run, place = remembering(run), 1
    while place < len(rates) and run(rates[place]) >= goal:
        place *= 2
    return halves(run, rates[: place + 1], goal)


def ends_first(run, rates, goal):
    if run(rates[0]) < goal:
        return None
    if run(rates[-1]) >= goal:
        return rates[-1]
    return halves(run, rates[:-1], goal)


def linear(run, rates, goal):
    found = [rate for rate in rates if run(rate) >= goal]
    return found[-1] if found else None


def linear_to_the_miss(run, rates, goal):
    for before, rate in zip([None, *rates], rates):
        if run(rate) < goal:
            return before
    return rates[-1]


def strictly(run, rates, goal):
    return halves(lambda rate: 1 if run(rate) > goal else 0, rates, 1)


def nine_tenths(run, rates, goal):
    return halves(run, rates, 0.9)


def next_one(run, rates, goal):
    found = halves(run, rates, goal)
    place = 0 if found is None else rates.index(found) + 1
    return rates[place] if place < len(rates) else None


def place_of_it(run, rates, goal):
    found = halves(run, rates, goal)
    return None if found is None else rates.index(found)


def lowest_instead(run, rates, goal):
    found = halves(run, rates, goal)
    return rates[0] if found is None else found


def minus_one(run, rates, goal):
    found = halves(run, rates, goal)
    return -1 if found is None else found


def share_of_it(run, rates, goal):
    run = remembering(run)
    found = halves(run, rates, goal)
    return None if found is None else run(found)


def never_the_last(run, rates, goal):
    return halves(run, rates[:-1], goal)


def never_the_first(run, rates, goal):
    return halves(run, rates[1:], goal)


def most_in_time(run, rates, goal):
    return sorted(rates, key=lambda rate: run(rate) * rate)[-1]


def between(run, rates, goal):
    low, high = rates[0], rates[-1]
    for _ in range(20):
        low, high = ((low + high) / 2, high) if run((low + high) / 2) >= goal else (low, (low + high) / 2)
    return low


def pops(run, rates, goal):
    best = None
    while rates:
        middle = len(rates) // 2
        rate = rates[middle]
        if run(rate) >= goal:
            best = rate
            del rates[: middle + 1]
        else:
            del rates[middle:]
    return best


def once_more(run, rates, goal):
    found = halves(run, rates, goal)
    return found if found is None or run(found) >= goal else None


def prints_it(run, rates, goal):
    print(halves(run, rates, goal))


def in_per_cent(run, rates, goal):
    return halves(lambda rate: round(100 * run(rate)), rates, round(100 * goal))


def about(run, rates, goal):
    return halves(run, rates, goal - 1e-3)


def returns_at_the_goal(run, rates, goal):
    left, rest = None, list(rates)
    while rest:
        half = len(rest) // 2
        share = run(rest[half])
        if share == goal:
            return rest[half]
        if share > goal:
            left, rest = rest[half], rest[half + 1 :]
        else:
            rest = rest[:half]
    return left


def one_run_too_few(run, rates, goal):
    low, high, best = 0, len(rates) - 1, None
    for _ in range(max(1, len(rates).bit_length() - 1)):
        if low > high:
            break
        middle = (low + high) // 2
        if run(rates[middle]) >= goal:
            best, low = rates[middle], middle + 1
        else:
            high = middle - 1
    return best


RIGHT = {"12.knee": [halves, recursive, in_numpy]}
CASES = {
    "12.knee": [
        (None, doubling),
        (None, ends_first),
        ("one after the other", linear),
        ("one after the other", linear_to_the_miss),
        ("exactly the goal", strictly),
        ("goal is not used", nine_tenths),
        ("just below the goal", in_per_cent),
        ("just below the goal", about),
        ("first rate that misses", next_one),
        ("place of the rate", place_of_it),
        ("something else than None", lowest_instead),
        (None, minus_one),
        (None, share_of_it),
        ("highest rate is never tried", never_the_last),
        (None, never_the_first),
        ("most good requests", most_in_time),
        ("not in the list", between),
        ("list is changed", pops),
        ("run twice", once_more),
        ("ends at a share", returns_at_the_goal),
        ("ends while rates are left", one_run_too_few),
        ("printed, not returned", prints_it),
    ]
}
