"""Wrong answers to 12.poisson as people write them; see written_otherwise.py. RIGHT: other right ones."""

import math
import random
from collections import deque
from functools import lru_cache

import numpy as np


def one_gap(draw, rate, b):
    return draw.gammavariate(b, 1 / rate / b)


def times_of(gap=one_gap, generator=random.Random, even=lambda k, rate: k / rate):
    """An answer: how a gap is drawn, from which generator, and where request k stands without chance."""

    def answer(rate, seconds, seed, burstiness=1.0):
        draw, found, now = generator(seed), [], 0
        for k in range(1, 10**6):
            now = even(k, rate) if burstiness == math.inf else now + gap(draw, rate, burstiness)
            if not now < seconds:
                return found
            found.append(now)

    return answer


right = times_of()


def by_numpy(draw, rate, b):
    return draw.gamma(b, 1 / (rate * b))


def normal(draw, rate, b):
    return abs(draw.gauss(1 / rate, 1 / rate / math.sqrt(b)))


def by_expovariate(draw, rate, b):
    return draw.expovariate(rate)


def rate_not_mean(draw, rate, b):
    return draw.expovariate(1 / rate) if b == 1 else draw.gammavariate(b, rate / b)


def scale_without_shape(draw, rate, b):
    return draw.expovariate(rate) if b == 1 else draw.gammavariate(b, 1 / rate)


def erlang(draw, rate, b):
    """Sums of exponential gaps: right for whole numbers only."""
    return sum(draw.expovariate(rate * b) for _ in range(max(1, round(b))))


def weibull(draw, rate, b):
    return draw.weibullvariate(1 / rate, b) if b != 1 else draw.expovariate(rate)


def starts_at_zero(rate, seconds, seed, burstiness=1.0):
    return [0.0, *right(rate, seconds, seed, burstiness)]


def one_too_many(rate, seconds, seed, burstiness=1.0):
    more = right(rate, 10 * seconds + 100 / rate, seed, burstiness)
    return more[: len(right(rate, seconds, seed, burstiness)) + 1]


def up_to_the_end(rate, seconds, seed, burstiness=1.0):
    return right(rate, math.nextafter(seconds, math.inf), seed, burstiness)


def gaps(rate, seconds, seed, burstiness=1.0):
    return np.diff(right(rate, seconds, seed, burstiness), prepend=0.0)


def as_many_as_expected(rate, seconds, seed, burstiness=1.0):
    return right(rate, 20 * seconds + 100 / rate, seed, burstiness)[: int(rate * seconds)]


def draws_by_inf(rate, seconds, seed, burstiness=1.0):
    return times_of(even=None)(rate, seconds, seed, min(burstiness, 1e6))


def seeds_the_module(rate, seconds, seed, burstiness=1.0):
    random.seed(seed)
    return times_of(generator=lambda seed: random)(rate, seconds, seed, burstiness)


def own_and_the_module(rate, seconds, seed, burstiness=1.0):
    random.random()
    return right(rate, seconds, seed, burstiness)


def any_seed(seed):
    return random.Random(seed % 2)


def prints_it(rate, seconds, seed, burstiness=1.0):
    print(right(rate, seconds, seed, burstiness))


def in_an_array(rate, seconds, seed, burstiness=1.0):
    return np.array(right(rate, seconds, seed, burstiness))


def in_a_deque(rate, seconds, seed, burstiness=1.0):
    return deque(map(np.float64, right(rate, seconds, seed, burstiness)))


def latest_default(rate, seconds, seed, burstiness=2.0):
    return right(rate, seconds, seed, burstiness)


def puts_it_back(rate, seconds, seed, burstiness=1.0):
    before = random.getstate()
    random.seed(seed)
    found = times_of(generator=lambda seed: random)(rate, seconds, seed, burstiness)
    random.setstate(before)
    return found


def adding():
    """Request k one gap after request k - 1."""

    def even(k, rate):
        now = 0.0
        for _ in range(k):
            now += 1 / rate
        return now

    return even


def at_most_a_thousand(rate, seconds, seed, burstiness=1.0):
    return right(rate, seconds, seed, burstiness)[:1000]


def ten_times_the_mean(rate, seconds, seed, burstiness=1.0):
    return right(rate, seconds, seed, burstiness)[: int(10 * rate * seconds) + 1]


def as_many_as_twice_the_mean(rate, seconds, seed, burstiness=1.0):
    return right(rate, seconds, seed, burstiness)[: int(2 * rate * seconds) + 10]


def each_time_once(rate, seconds, seed, burstiness=1.0):
    return sorted(set(right(rate, seconds, seed, burstiness)))


def counted_by_the_product(rate, seconds, seed, burstiness=1.0):
    if burstiness == math.inf:
        return [k / rate for k in range(1, math.ceil(rate * seconds))]
    return right(rate, seconds, seed, burstiness)


RIGHT = {"12.poisson": [right, in_an_array, in_a_deque]}
CASES = {
    "12.poisson": [
        ("drawn in another way", times_of(by_numpy, np.random.default_rng)),
        ("drawn in another way", times_of(normal)),
        ("`burstiness` is not used", times_of(by_expovariate)),
        ("mean gap is the rate", times_of(rate_not_mean)),
        ("scale is not divided", times_of(scale_without_shape)),
        (None, times_of(erlang)),
        (None, times_of(weibull)),
        ("first request arrives at 0", starts_at_zero),
        ("at or after the end", one_too_many),
        ("exactly at the end", up_to_the_end),
        ("gaps are returned", gaps),
        ("number of requests is fixed", as_many_as_expected),
        (None, draws_by_inf),
        ("global generator", seeds_the_module),
        ("global generator", puts_it_back),
        (None, times_of(even=adding())),
        (None, at_most_a_thousand),
        (None, own_and_the_module),
        (None, times_of(generator=any_seed)),
        ("seed is not used", times_of(generator=lambda seed: random.Random(0))),
        ("uniform", times_of(lambda draw, rate, b: draw.uniform(0, 2) / rate)),
        ("first request arrives at 0", times_of(even=lambda k, rate: (k - 1) / rate)),
        (None, latest_default),
        ("printed, not returned", prints_it),
        ("same list is returned", lru_cache(right)),
        ("seed 0 is taken for no seed", times_of(generator=lambda seed: random.Random(seed or 7))),
        ("large burstiness", lambda rate, seconds, seed, b=1.0: right(rate, seconds, seed, b if b < 99 else math.inf)),
        (None, ten_times_the_mean),
        (None, as_many_as_twice_the_mean),
        (None, each_time_once),
        (None, counted_by_the_product),
        (None, lambda rate, seconds, seed, b=1.0: right(rate, int(seconds), seed, b)),
    ]
}
