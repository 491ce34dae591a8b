"""The exercise 12.poisson: when requests arrive in an open loop, from a seed."""

import math
import random

from course_lib.errors import CourseError
from course_lib.practice.judge.agreement import EXACT, agree
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, as_python, loses_digits
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .poisson_mistakes import MISTAKES
from .solutions.poisson import arrival_times


def arrival_times_by_running_sum(rate, seconds, seed, burstiness=1.0):
    """All gaps of a generator, added up as they come."""
    from itertools import accumulate, count, repeat, takewhile

    if math.isinf(burstiness):
        return list(takewhile(lambda time: time < seconds, (k / rate for k in count(1))))
    draw = random.Random(seed).gammavariate
    gaps = (draw(shape, 1 / rate / burstiness) for shape in repeat(burstiness))
    return [*takewhile(lambda time: time < seconds, accumulate(gaps))]


def arrival_times_by_logarithms(rate, seconds, seed, burstiness=1.0):
    """Exponential gaps by the inverse of their distribution; others from the library."""
    draw, times, now, number = random.Random(seed), [], 0.0, 0
    while now < seconds:
        if number:
            times.append(now)
        number += 1
        if burstiness == 1:
            now -= math.log(1 - draw.random()) / rate
        elif burstiness == float("inf"):
            now = number / rate
        else:
            now += draw.gammavariate(burstiness, 1 / (burstiness * rate))
    return times


def as_times(got):
    """A list of Python floats, from any row of numbers."""
    if isinstance(got, (str, dict)) or not hasattr(got, "__len__") or not hasattr(got, "__iter__"):
        raise CourseError(f"arrival_times returned {got!r}; it must return a list of times.")
    times = [as_python(time) for time in got]
    return [float(time) if isinstance(time, (int, float)) and not isinstance(time, bool) else time for time in times]


def shown(times):
    """The times with four digits; of a long list the first six."""
    if not isinstance(times, list):
        return repr(times)
    digits = [f"{time:.4f}" if isinstance(time, float) else repr(time) for time in times[:6]]
    return "[" + ", ".join(digits) + (f", …], {len(times)} in all" if len(times) > 6 else "]")


def differ(expected, got):
    """Where two lists of times part, where that is not in the first six."""
    if not isinstance(got, list):
        return ""
    if got == sorted(set(expected)) and len(got) < len(expected):
        return "Yours has each time once. Two requests may arrive at the same time, and both are in the list."
    same = 0
    while same < min(len(expected), len(got)) and got[same] == expected[same]:
        same += 1
    if same == len(expected) and len(got) > same:
        return f"Yours has {len(got) - same} more: the run ends before `seconds`."
    if same == len(got) and len(expected) > same:
        return f"Yours ends too early, after {same} requests: go on until a time is `seconds` or more."
    if same < 6:
        return ""
    ends = [f"{len(times)} times, the last {times[-1]:.4f}" for times in (expected, got)]
    return f"The first {same} times agree. Expected are {ends[0]}; yours are {ends[1]}."


def loop(rate, seconds, seed, burstiness=None, note=""):
    """The Trial of one run. burstiness: None leaves the argument out."""
    more = () if burstiness is None else (burstiness,)
    values = [rate, seconds, seed, *("math.inf" if value == math.inf else value for value in more)]
    return Trial(
        ["import math"] * (burstiness == math.inf) + [f"arrival_times({', '.join(map(str, values))})"],
        lambda answer: as_times(answer(rate, seconds, seed, *more)),
        show=shown,
        note=note,
        explain=differ,
        rounding=EXACT,
        size=round(100 * rate * seconds) + min(seed, 1000) + len(more),
    )


def again(seeds):
    """Runs with several seeds, one after the other."""
    return Trial(
        [f"[arrival_times(2, 3, seed) for seed in {seeds}]"],
        lambda answer: [as_times(answer(2, 3, seed)) for seed in seeds],
        show=lambda runs: "[" + ", ".join(map(shown, runs)) + "]" if isinstance(runs, list) else repr(runs),
        size=len(seeds),
    )


def after_changes(seed):
    """A call after the caller has changed the list that the same call returned before."""

    def act(answer):
        times = answer(2, 3, seed)
        if isinstance(times, list):
            times.append(99.0)
        return as_times(answer(2, 3, seed))

    story = [f"times = arrival_times(2, 3, {seed})", "times.append(99.0)", f"arrival_times(2, 3, {seed})"]
    return Trial(story, act, show=shown, note="a new list", size=10 + seed)


def global_draw(rate, seconds, seed, burstiness):
    """The draw that the rest of the program gets from the global generator after the call."""

    def act(answer):
        state = random.getstate()
        try:
            random.seed(11)
            answer(rate, seconds, seed, burstiness)
            return random.random()
        finally:
            random.setstate(state)

    call = f"arrival_times({rate}, {seconds}, {seed}, {burstiness})"
    story = ["import random", "random.seed(11)", call, "random.random()"]
    return Trial(story, act, show=lambda got: f"{got:.6f}" if type(got) is float else repr(got), size=seed)


def global_use(seed, burstiness):
    """Which functions of the module `random` the answer calls: they all belong to the global generator."""

    def act(answer):
        used, kept = set(), {name: getattr(random, name) for name in GLOBAL}

        def noted(name):
            def call(*values, **more):
                used.add(f"random.{name}")
                return kept[name](*values, **more)

            return call

        for name in GLOBAL:
            setattr(random, name, noted(name))
        try:
            answer(2, 3, seed, burstiness)
        finally:
            for name, function in kept.items():
                setattr(random, name, function)
        return sorted(used)

    story = [f"arrival_times(2, 3, {seed}, {burstiness})", "# the functions of the module that it called:"]
    return Trial(story, act, show=lambda got: ", ".join(got) or "none of them", size=seed)


GLOBAL = [name for name, value in vars(random).items() if getattr(value, "__self__", None) is random._inst]


def right_for(answer, seed):
    return agree(as_times(answer(2, 3, seed)), arrival_times(2, 3, seed), EXACT)


LARGE_SEEDS = [loop(1, 2, seed) for seed in (70_000, 2**40 + 5)]
KEPT = [after_changes(1), after_changes(3)]

POISSON = Exercise(
    id="12.poisson",
    title="Arrivals of an open loop",
    name="arrival_times",
    cases="runs",
    properties=[
        Property(
            "With a burstiness of 1, the gaps are exponential with a mean of 1 / rate",
            "The gaps add up: each request arrives one gap after the one before, the first one gap after the start.",
            [loop(rate, seconds, seed) for rate, seconds in ((1, 2), (2, 3), (0.5, 8), (4, 5)) for seed in range(4)],
        ),
        Property(
            "The run ends before `seconds`, with as many requests as have arrived",
            "The number of requests is random. On average it is rate · seconds.",
            [loop(rate, 1, seed) for rate in (0.25, 1, 3, 10) for seed in (5, 6, 7)] + LARGE_SEEDS,
        ),
        Property(
            "Other values of `burstiness` are the shape of a gamma distribution with the same mean",
            "Below 1 requests come in bursts, above 1 more evenly: gammavariate(burstiness, 1 / (rate · burstiness)).",
            [loop(2, 4, seed, b) for b in (1.0, 0.5, 0.25, 2.0, 4.0) for seed in (0, 1)]
            + [loop(0.5, 20, 3, b) for b in (0.3, 2.5)]
            + [loop(1, 3, 1, b) for b in (12.0, 150.0, 1000.0, 5000.0, 1e6)]
            + [loop(0.3, 1, seed, 0.05, note="a burst of many") for seed in (39, 170)],
        ),
        Property(
            "With a burstiness of math.inf, request k arrives at k / rate",
            "A time that is exactly `seconds` is not part of the run. Divide: sums of 1 / rate are rounded each time, "
            "and 0.1, added ten times, is less than 1.",
            [
                loop(1, 1, 0, math.inf, note="1 / 1 is exactly the end"),
                loop(1, 1.5, 0, math.inf),
                loop(2, 2, 1, math.inf, note="4 / 2 is exactly the end"),
                loop(2, 2.25, 1, math.inf),
                loop(0.25, 3, 2, math.inf, note="nobody arrives within 3 seconds"),
                loop(8, 4, 3, math.inf),
                loop(10, 1, 4, math.inf, note="10 / 10 is exactly the end; 0.1, added ten times, is a little less"),
                loop(3, 2, 5, math.inf),
                loop(4, 1 + 1e-10, 6, math.inf, note="1.0 is before the end"),
                loop(12.5, 0.56, 7, math.inf, note="7 / 12.5 is exactly the end; 12.5 * 0.56 is a little above 7"),
            ],
        ),
        Property(
            "The same seed gives the same times, and each call begins anew",
            "Two settings are compared under the same arrivals.",
            [again([1]), again([1, 1]), again([2, 1, 2]), again([3, 4, 3, 4]), *KEPT],
        ),
        Property(
            "The same holds for longer runs",
            "Hundreds and thousands of requests.",
            [loop(20, 10, 1), loop(30, 10, 2, 0.5), loop(16, 20, 3, 3.0), loop(50, 10, 12), loop(100, 30, 4)],
        ),
        Property(
            "The global generator of `random` is left alone",
            "The rest of the program draws from it too, such as the lengths of the prompts.",
            [global_draw(2, 3, seed, burstiness) for seed, burstiness in ((0, 1.0), (1, 0.5), (2, 1.0), (3, 2.0))]
            + [global_use(seed, burstiness) for seed, burstiness in ((0, 1.0), (1, 0.5), (2, 1.0), (3, 2.0))],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the same list is returned by several calls.",
            "The caller may change what it gets, and then the next call returns what was changed. Make a new list in "
            "each call.",
            is_made_by=lambda answer, found: found.trial in KEPT,
        ),
        Mistake(
            "seed 0 is taken for no seed.",
            "0 is a number like any other: `random.Random(seed)`. `seed or …` and `if seed` treat it as missing.",
            is_made_by=lambda answer, found: right_for(answer, 1) and right_for(answer, 2) and not right_for(answer, 0),
        ),
        loses_digits(arrival_times),
        *MISTAKES,
        Mistake(
            "of the seed some bits are dropped.",
            "Two seeds would then give the same times. `random.Random(seed)` takes an int of any size.",
            is_made_by=lambda answer, found: found.trial in LARGE_SEEDS and right_for(answer, 1),
        ),
        Mistake(
            "the gaps are drawn in another way.",
            "The same seed gives the same times only with the same draws: for each gap one "
            "`draw.gammavariate(burstiness, 1 / (rate * burstiness))`, with `draw = random.Random(seed)`.",
            is_made_by=lambda answer, found: (
                isinstance(found.outcome, list)
                and not agree(as_times(answer(2, 3, 1, 1.0)), arrival_times(2, 3, 1, 1.0))
                and agree(as_times(answer(2, 3, 1, math.inf)), arrival_times(2, 3, 1, math.inf))
                and all(0 < time < 3 for time in answer(2, 3, 1))
                and list(answer(2, 3, 1)) == sorted(answer(2, 3, 1))
            ),
            last=True,
        ),
    ],
    hints=[
        "Keep the time so far. Draw a gap and add it. If the time has reached `seconds`, you are done; otherwise it is "
        "an arrival.",
        "`draw = random.Random(seed)` before the loop, and `draw.gammavariate(burstiness, 1 / (rate * burstiness))` "
        "for each gap. With a burstiness of 1 that is an exponential gap.",
        "`math.inf` first: `if burstiness == math.inf`, the k-th time is `k / rate`, and nothing is drawn.",
    ],
    rights=[arrival_times, arrival_times_by_running_sum, arrival_times_by_logarithms],
    why="`burstiness` is that of `vllm bench serve`. There NumPy draws the gaps; in `course_lib/workload/arrivals.py` "
    "too, 1,024 at a time. With math.inf, k / rate adds no rounding errors; adding 1 / rate again and again does.",
)
