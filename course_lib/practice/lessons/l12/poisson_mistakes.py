"""The mistakes in 12.poisson. Each is the right answer with one part replaced."""

import math
import random

from course_lib.practice.judge.exercise import Mistake


def gamma(draw, rate, burstiness):
    return draw.gammavariate(burstiness, 1 / (rate * burstiness))


def wrong(
    *,
    gap=gamma,
    even=lambda number, rate: number / rate,
    is_even=lambda burstiness: burstiness == math.inf,
    is_over=lambda now, seconds: now >= seconds,
    first=lambda: [],
    gives=lambda times, last: times,
    make=random.Random,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(rate, seconds, seed, burstiness=1.0):
        draw, times, now, number = make(seed), first(), 0.0, 0
        while number < 5_000:  # some never reach the end
            number += 1
            now = even(number, rate) if is_even(burstiness) else now + gap(draw, rate, burstiness)
            if is_over(now, seconds):
                break
            times.append(now)
        return gives(times, now)

    return answer


def fixed_count(rate, seconds, seed, burstiness=1.0):
    """round(rate * seconds) arrivals, wherever they are."""
    draw, times, now = random.Random(seed), [], 0.0
    for number in range(1, round(rate * seconds) + 1):
        now = number / rate if burstiness == math.inf else now + gamma(draw, rate, burstiness)
        times.append(now)
    return times


def scattered(rate, seconds, seed, burstiness=1.0):
    """A fixed number of times, uniform over the run."""
    draw = random.Random(seed)
    return sorted(draw.uniform(0, seconds) for _ in range(round(rate * seconds)))


def one_generator_for_all(rate, seconds, seed, burstiness=1.0):
    random.seed(seed)
    right = wrong(make=lambda seed: random)
    return right(rate, seconds, seed, burstiness)


def one_that_is_put_back(rate, seconds, seed, burstiness=1.0):
    """The global generator, which is as before afterwards: another thread would draw from it meanwhile."""
    state = random.getstate()
    times = one_generator_for_all(rate, seconds, seed, burstiness)
    random.setstate(state)
    return times


def anew(draw, rate, burstiness):
    """Every gap from a generator that begins again."""
    again = random.Random()
    again.setstate(draw.getstate())
    return gamma(again, rate, burstiness)


def differences(times, last):
    return [b - a for a, b in zip([0.0, *times], times)]


def of_one(draw, rate, burstiness):
    return draw.expovariate(rate)


MISTAKES = [
    Mistake(
        "the first request arrives at 0.",
        "The first one arrives one gap after the start, as all others arrive one gap after the one before.",
        (
            wrong(first=lambda: [0.0]),
            wrong(first=lambda: [0.0], even=lambda number, rate: number / rate, gives=lambda times, last: times),
            wrong(gives=lambda times, last: [time - times[0] for time in times]),
            wrong(even=lambda number, rate: (number - 1) / rate),
        ),
    ),
    Mistake(
        "the gaps are returned.",
        "The server asks when each request arrives: add up the gaps.",
        wrong(gives=differences),
    ),
    Mistake(
        "the last time is at or after the end.",
        "The draw that reaches `seconds` ends the run, and it is not an arrival of it.",
        wrong(gives=lambda times, last: [*times, last]),
    ),
    Mistake(
        "a request exactly at the end is kept.",
        "The run is [0, seconds): a time of `seconds` is after it.",
        wrong(is_over=lambda now, seconds: now > seconds),
    ),
    Mistake(
        "the number of requests is fixed.",
        "How many requests arrive in a time is random too; only on average it is rate · seconds.",
        (fixed_count, scattered),
    ),
    Mistake(
        "the mean gap is the rate.",
        "`rate` requests a second have a mean gap of 1 / rate seconds.",
        (
            wrong(gap=lambda draw, rate, b: draw.gammavariate(b, rate / b), even=lambda number, rate: number * rate),
            wrong(gap=lambda draw, rate, b: draw.gammavariate(b, rate / b)),
        ),
    ),
    Mistake(
        "`burstiness` is not used.",
        "It is the shape of the gamma distribution. Only with 1 are the gaps exponential.",
        (wrong(gap=of_one), wrong(gap=of_one, is_even=lambda burstiness: False)),
    ),
    Mistake(
        "the scale is not divided by the burstiness.",
        "The mean of a draw is shape · scale. For a mean of 1 / rate the scale is 1 / (rate · burstiness).",
        wrong(gap=lambda draw, rate, b: draw.gammavariate(b, 1 / rate)),
    ),
    Mistake(
        "burstiness is upside down.",
        "Below 1 requests come in bursts: the burstiness is the shape itself, not 1 over it.",
        wrong(gap=lambda draw, rate, b: draw.gammavariate(1 / b, b / rate)),
    ),
    Mistake(
        "shape and scale are exchanged.",
        "`gammavariate` takes the shape first, then the scale.",
        wrong(gap=lambda draw, rate, b: draw.gammavariate(1 / (rate * b), b)),
    ),
    Mistake(
        "all gaps are alike.",
        "Users do not wait for each other: each gap is drawn anew, from the generator as the gap before left it.",
        (wrong(gap=anew), wrong(is_even=lambda burstiness: True), wrong(gap=lambda draw, rate, b: 1 / rate)),
    ),
    Mistake(
        "a large burstiness is taken for infinite.",
        "Only math.inf draws nothing: `burstiness == math.inf`. Gaps of a large burstiness are nearly alike, and not "
        "quite.",
        (wrong(is_even=lambda burstiness: burstiness > 100), wrong(is_even=lambda burstiness: burstiness > 10)),
    ),
    Mistake(
        "the gaps are uniform.",
        "In a Poisson process short gaps are the most frequent, and long ones are possible: gaps are exponential.",
        (
            wrong(gap=lambda draw, rate, b: draw.random() / rate),
            wrong(gap=lambda draw, rate, b: draw.random() * 2 / rate),
            wrong(gap=lambda draw, rate, b: draw.uniform(0, 2 / rate)),
        ),
    ),
    Mistake(
        "the logarithm is of u, not of 1 - u.",
        "`random()` may be 0, whose logarithm does not exist, and never 1. So the draw of an exponential gap is "
        "-log(1 - u) / rate, as in `expovariate`.",
        (
            wrong(gap=lambda draw, rate, b: -math.log(draw.random()) / rate),
            wrong(gap=lambda draw, rate, b: -math.log(draw.random()) / rate if b == 1 else gamma(draw, rate, b)),
        ),
    ),
    Mistake(
        "the seed is not used.",
        "The same seed must give the same times, and another seed others: `random.Random(seed)`.",
        (wrong(make=lambda seed: random.Random(0)), wrong(make=lambda seed: random.Random(42))),
    ),
    Mistake(
        "the global generator is used.",
        "`random.seed` changes the draws of the whole program. `random.Random(seed)` is a generator of its own.",
        (one_generator_for_all, one_that_is_put_back),
    ),
    Mistake(
        "the times are rounded.",
        "Return them as they are drawn.",
        (
            wrong(gives=lambda times, last: [round(time, 2) for time in times]),
            wrong(gives=lambda times, last: [round(time, 3) for time in times]),
            wrong(gives=lambda times, last: [int(time) for time in times]),
        ),
    ),
    Mistake(
        "the times are in milliseconds.",
        "Return seconds.",
        wrong(gives=lambda times, last: [1000 * time for time in times]),
    ),
]
