"""Requests for a queue by itself, and what a policy does with them: for the trials and mistakes of 18.your_policy."""

import random

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request


def requests(count, seed):
    """`count` requests of drawn lengths, in the order of arrival."""
    chance = random.Random(seed)
    return [
        Request(
            f"r{i}", [0] * chance.randint(4, 600), SamplingParams(max_tokens=chance.randint(2, 200), ignore_eos=True),
            client=chance.choice("AB"), arrival=i * 0.05,
        )
        for i in range(count)
    ]  # fmt: skip


def pushed(policy, count, seed=0):
    """(a policy of this class, the requests): all of them wait in it."""
    made, given = policy(), requests(count, seed)
    for request in given:
        made.push(request)
    return made, given


def order_of(policy, given):
    """The requests in the order in which a policy of this class lets them go, all of them waiting at first."""
    made = policy()
    for request in given:
        made.push(request)
    return [made.pop() for _ in given]


def overtakers(policy, most=300):
    """How many short requests, which keep arriving, a policy lets pass a long one that waits. `most`: never stops."""
    made = policy()
    long = Request("long", [0] * 2000, SamplingParams(max_tokens=500, ignore_eos=True))
    made.push(long)
    for i in range(most):
        made.push(Request(f"s{i}", [0] * 8, SamplingParams(max_tokens=4, ignore_eos=True), arrival=0.2 * (i + 1)))
        if made.pop() is long:
            return i
    return most
