"""The exercise 12.metrics: latencies at a percentile, and throughputs, from the times of a run."""

import random

from course_lib.practice.judge.agreement import EXACT
from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, loses_digits, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .metrics_mistakes import MISTAKES
from .numbers import part_of, plain, written
from .solutions.metrics import metrics


def metrics_by_numpy(requests, p):
    """Arrays, and NumPy's percentile."""
    import numpy as np

    arrivals = np.array([arrival for arrival, _ in requests])
    times = [np.array(its) for _, its in requests]
    first, last = np.array([its[0] for its in times]), np.array([its[-1] for its in times])
    count = np.array([len(its) for its in times])
    several = count > 1
    tpot = (last - first)[several] / (count[several] - 1)
    itl = np.concatenate([np.diff(its) for its in times])
    seconds = last.max() - arrivals.min()
    return {
        "output_throughput": count.sum() / seconds,
        "request_throughput": count.size / seconds,
        "ttft": np.percentile(first - arrivals, p),
        "e2el": np.percentile(last - arrivals, p),
        "tpot": np.percentile(tpot, p) if tpot.size else None,
        "itl": np.percentile(itl, p) if itl.size else None,
    }


def metrics_in_loops(requests, p):
    """One request after the other; a percentile as the weighted mean of two neighbours."""
    values = {"ttft": [], "tpot": [], "itl": [], "e2el": []}
    begin, end, tokens = float("inf"), float("-inf"), 0
    for arrival, times in requests:
        begin, end, tokens = min(begin, arrival), max(end, times[-1]), tokens + len(times)
        values["ttft"].append(times[0] - arrival)
        values["e2el"].append(times[-1] - arrival)
        total = 0.0
        for i in range(1, len(times)):
            values["itl"].append(times[i] - times[i - 1])
            total += times[i] - times[i - 1]
        if len(times) >= 2:
            values["tpot"].append(total / (len(times) - 1))
    found = {"request_throughput": len(requests) / (end - begin), "output_throughput": tokens / (end - begin)}
    for name, its in values.items():
        its.sort()
        whole, rest = divmod((len(its) - 1) * p, 100)
        place = int(whole)
        share = rest / 100
        found[name] = None if not its else its[place] if not rest else (1 - share) * its[place] + share * its[place + 1]
    return found


def run(requests, p=50, part=None, note=""):
    """The Trial of one run. part: the one number that is compared; None: all six."""

    def act(answer):
        given = [(arrival, list(times)) for arrival, times in requests]
        return plain(part_of(answer(given, p), part, "metrics"))

    call = f"metrics({requests}, {p})"
    size = 100 * len(requests) + 10 * sum(len(times) for _, times in requests) + (p not in (0, 50, 100))
    lines = [call if part is None else f'{call}["{part}"]']
    return Trial(lines, act, show=written, note=note, size=size, rounding=EXACT)


def untouched(requests):
    def act(answer):
        given = [(arrival, list(times)) for arrival, times in requests]
        answer(given, 50)
        return given

    story = [f"requests = {requests}", "metrics(requests, 50)", "requests"]
    return Trial(story, act, note="unchanged", size=len(requests))


def drawn(seed, count):
    """A run of requests with times that are multiples of 1/64 s, in the order in which they end."""
    draw = random.Random(seed)
    requests = []
    for _ in range(count):
        arrival = now = draw.randrange(64, 640) / 64
        times = []
        for _ in range(draw.choice((1, 2, 3, 6))):
            now += draw.choice((0, 1, 2, 3, 20)) / 64 + 1 / 64
            times.append(now)
        requests.append((arrival, times))
    return sorted(requests, key=lambda one: one[1][-1])


def many_gaps(number):
    """The Trial of one request with many tokens, whose last gap is the longest."""
    story = [
        f"times = [2.0 + i / 64 for i in range({number})] + [{number + 9.0}]",
        'metrics([(1.0, times)], 100)["itl"]',
    ]
    return Trial(
        story,
        lambda answer: plain(answer([(1.0, [2.0 + i / 64 for i in range(number)] + [number + 9.0])], 100))["itl"],
        show=written,
        size=10**5,
    )


CLOCK = [
    run([(1_700_000_000.0, [1_700_000_000.25, 1_700_000_000.375]), (1_700_000_000.5, [1_700_000_001.0])], p, part)
    for part in ("ttft", "tpot", "e2el", "request_throughput")
    for p in (50, 100)
]
ONE = [
    [(1.0, [3.0])],
    [(2.0, [2.5, 4.0])],
    [(1.0, [4.0, 4.5, 6.0])],
    [(0.5, [1.0, 2.0, 2.25, 6.0])],
    [(3.0, [3.5, 3.5, 7.5])],
    [(1.0, [2.0, 2.0])],  # all gaps are 0
    [(1.0, [2.5, 2.5, 2.5])],
]
SEVERAL = [
    [(1.0, [3.0]), (2.0, [2.5])],
    [(1.0, [3.0, 4.0]), (2.0, [2.5])],
    [(1.0, [2.0, 3.0, 4.0, 5.0]), (2.0, [2.5, 6.5])],
    [(3.0, [3.5, 5.5]), (1.0, [4.0, 4.5, 5.0, 9.0]), (2.0, [8.0])],
    [(4.0, [5.0]), (2.0, [3.0, 3.25, 3.5, 3.75, 7.0]), (3.0, [6.0, 8.0]), (2.5, [3.0, 6.0, 6.5])],
]
DECIMAL = [(0.1, [0.3, 0.4, 0.7]), (0.2, [1.1, 1.3]), (0.15, [0.9, 1.7, 1.9, 2.6])]
"""Numbers that float32 rounds."""
PRECISE = [run(DECIMAL, p, part) for part in ("ttft", "tpot", "itl", "e2el", "output_throughput") for p in (50, 90)]
WAITS = [8.0, 1.0, 4.0, 2.0, 16.0]  # TTFTs, not in order
PLACES = [
    ([1.0, 2.0, 6.0], 50, "the second of three"),
    ([1.0, 2.0, 6.0], 75, "halfway from 2 to 6"),
    ([6.0, 1.0, 2.0], 75, "halfway from 2 to 6"),
    ([5.0, 1.0], 0, "P0 is the smallest value"),
    ([1.0, 5.0], 100, "P100 is the largest value"),
    ([5.0, 1.0], 25, ""),
    ([1.0, 5.0], 99, ""),
    ([4.0], 99, "a single value is every percentile"),
    (WAITS, 0, ""),
    (WAITS, 100, ""),
    (WAITS, 50, ""),
    (WAITS, 90, "place 3.6: 0.6 of the way from 8 to 16"),
    (WAITS, 99, ""),
    (WAITS, 12.5, "halfway from 1 to 2"),
    (WAITS, 0.5, "P0.5 is half a percent, at place 0.02"),
    (WAITS, 1, "place 0.04"),
]
LATENCIES = ("ttft", "tpot", "itl", "e2el")
UNTOUCHED = [untouched(ONE[1]), untouched(SEVERAL[3]), untouched(SEVERAL[4])]

METRICS = Exercise(
    id="12.metrics",
    title="The numbers of a run",
    name="metrics",
    cases="runs",
    properties=[
        Property(
            "`ttft`: from the arrival to the first token",
            "The clock starts with the run. A request waits from its own arrival on.",
            [run(requests, 50, "ttft") for requests in (*ONE, *SEVERAL)],
        ),
        Property(
            "`e2el`: from the arrival to the last token",
            "It is what a program waits that needs the whole answer.",
            [run(requests, 50, "e2el") for requests in (*ONE, *SEVERAL)],
        ),
        Property(
            "`tpot`: the mean gap of each request with two tokens or more, without the wait for the first",
            "Each request counts once. One token has no gap: it has no TPOT, and without any there is None.",
            [run(requests, p, "tpot") for requests in (*ONE, *SEVERAL) for p in (50, 100)],
        ),
        Property(
            "`itl`: every gap between two tokens, of all requests together",
            "A long output counts more here than a short one, and a stall is seen. Without any gap there is None.",
            [run(requests, p, "itl") for requests in (*ONE, *SEVERAL) for p in (50, 100)],
        ),
        Property(
            "The percentile is linear: at place (n - 1) · p / 100 of the sorted values",
            "Between two places it lies on the line from one value to the other. NumPy and vLLM do the same.",
            [run([(1.0, [1.0 + wait]) for wait in waits], p, "ttft", note) for waits, p, note in PLACES],
        ),
        Property(
            "All four latencies have the percentile p",
            "P99 of the gaps says something else than their median.",
            [run(requests, p, name) for requests in SEVERAL[2:] for name in LATENCIES for p in (0, 90)],
        ),
        Property(
            "`request_throughput`: requests for each second, from the first arrival to the last token",
            "All requests count, those of one token too. The list is in any order: the first arrival need not be in "
            "its first pair, nor the last token in its last one.",
            [run(requests, 50, "request_throughput") for requests in (*ONE, *SEVERAL, *(r[::-1] for r in SEVERAL))],
        ),
        Property(
            "`output_throughput`: output tokens for each second, first tokens included",
            "The run is the same as for `request_throughput`.",
            [run(requests, 50, "output_throughput") for requests in (*ONE, *SEVERAL, *(r[::-1] for r in SEVERAL))],
        ),
        Property(
            "A dict of the six numbers is returned, and it holds for longer runs",
            "Requests of one token and of several, in the order in which they ended.",
            [
                run(ONE[0]),
                run(SEVERAL[1], 90),
                *(run(drawn(seed, 4 + 3 * seed), p) for seed, p in enumerate((50, 90, 99, 95))),
                many_gaps(3000),
            ],
        ),
        Property("Nothing is rounded", "float32 has 7 digits. Python's floats and float64 have 16.", PRECISE),
        Property(
            "The same holds where times are seconds of a clock",
            "Such a time is above 10⁹. float32 holds it to about 100 seconds, float64 to less than a microsecond.",
            CLOCK,
        ),
        Property("The caller's list is not changed", "It is what the next figure is made from.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's list is changed.",
            "`requests` and its lists of times belong to the caller. Use `sorted(...)`, which makes a new list.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        NO_DICT,
        loses_digits(metrics),
        *MISTAKES,
    ],
    hints=[
        "Make four lists first, one for each latency: `ttft` and `e2el` get a value for each request, `tpot` one for "
        "each request with two tokens or more, `itl` one for each gap.",
        "`zip(times, times[1:])` gives the pairs of neighbouring tokens. The mean of the gaps of a request is also "
        "`(times[-1] - times[0]) / (len(times) - 1)`.",
        "The percentile: sort, `place = (n - 1) * p / 100`, `low = int(place)`, `high = min(low + 1, n - 1)`; then go "
        "`place - low` of the way from the value at `low` to the one at `high`. An empty list gives None.",
        "The run lasts `max(times[-1] for _, times in requests) - min(arrival for arrival, _ in requests)` seconds.",
    ],
    rights=[metrics, metrics_by_numpy, metrics_in_loops],
    why="These are the definitions of `vllm bench serve`. TPOT weighs each request alike, ITL each token; a report has "
    "both, since a mean hides a stall. `course_lib/engine/summary.py` does the same for millions of requests, and with "
    "failed ones.",
)
