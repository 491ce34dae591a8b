"""The mistakes in 12.metrics. Each is the right answer with one part replaced."""

import math

from course_lib.practice.judge.exercise import Mistake


def at_place(values, place):
    ordered = sorted(values)
    low = min(max(int(place), 0), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low]) if high > low else ordered[low]


def linear(values, p):
    return at_place(values, (len(values) - 1) * p / 100)


def gaps_of(arrival, times):
    return [b - a for a, b in zip(times, times[1:])]


def span(requests):
    return max(times[-1] for _, times in requests) - min(arrival for arrival, _ in requests)


def nearest(round_it):
    """A percentile that takes one of the values. round_it: how a place becomes a whole number."""
    return lambda values, p: sorted(values)[round_it((len(values) - 1) * p / 100)]


def unsorted(values, p):
    place = (len(values) - 1) * p / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def wrong(
    *,
    ttft=lambda arrival, times: times[0] - arrival,
    tpot=lambda arrival, times: (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None,
    itl=gaps_of,
    e2el=lambda arrival, times: times[-1] - arrival,
    percentile=linear,
    none=None,
    seconds=span,
    requests_of=len,
    tokens=lambda requests: sum(len(times) for _, times in requests),
    rate=lambda count, seconds: count / seconds,
    unit=1,
    all_tpots=None,
    all_itls=None,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(requests, p):
        tpots = all_tpots(requests) if all_tpots else [tpot(*one) for one in requests]
        itls = all_itls(requests) if all_itls else [gap for one in requests for gap in itl(*one)]
        values = {
            "ttft": [ttft(*one) for one in requests],
            "tpot": [value for value in tpots if value is not None],
            "itl": itls,
            "e2el": [e2el(*one) for one in requests],
        }
        found = {name: percentile(its, p) * unit if its else none for name, its in values.items()}
        found["request_throughput"] = rate(requests_of(requests), seconds(requests))
        found["output_throughput"] = rate(tokens(requests), seconds(requests))
        return found

    return answer


def of_all(requests):
    return [gap for one in requests for gap in gaps_of(*one)]


def mean_gaps(requests):
    return [sum(its) / len(its) for its in (gaps_of(*one) for one in requests) if its]


def longest_gaps(requests):
    return [max(its) for its in (gaps_of(*one) for one in requests) if its]


def zero_as_none(*names):
    """The right answer, with None in place of a latency of 0."""

    def answer(requests, p):
        found = wrong()(requests, p)
        return {name: value or None if name in names else value for name, value in found.items()}

    return answer


MISTAKES = [
    Mistake(
        "the first token is in TPOT.",
        "TPOT is the mean of the gaps between tokens: (last - first) / (n - 1). The wait for the first token is TTFT.",
        (
            wrong(tpot=lambda arrival, times: (times[-1] - arrival) / len(times)),
            wrong(tpot=lambda arrival, times: (times[-1] - arrival) / len(times) if len(times) > 1 else None),
            wrong(tpot=lambda arrival, times: (times[-1] - arrival) / (len(times) - 1) if len(times) > 1 else None),
        ),
    ),
    Mistake(
        "TPOT is divided by the number of tokens.",
        "n tokens have n - 1 gaps between them.",
        (
            wrong(tpot=lambda arrival, times: (times[-1] - times[0]) / len(times) if len(times) > 1 else None),
            wrong(tpot=lambda arrival, times: (times[-1] - times[0]) / len(times)),
        ),
    ),
    Mistake(
        "an output of one token has a TPOT of 0.",
        "It has no gap, so it has no TPOT, and a 0 would make the percentile look better. Leave it out.",
        wrong(tpot=lambda arrival, times: (times[-1] - times[0]) / max(1, len(times) - 1)),
    ),
    Mistake(
        "TPOT counts each gap.",
        "Take the mean of the gaps of each request first. Then each request counts once, however long it is.",
        wrong(all_tpots=of_all),
    ),
    Mistake(
        "ITL is one mean for each request.",
        "That is TPOT. ITL keeps every gap, so that a single stall is seen.",
        wrong(all_itls=mean_gaps),
    ),
    Mistake(
        "ITL is the longest gap of each request.",
        "ITL keeps every gap: a request with n tokens has n - 1 values.",
        wrong(all_itls=longest_gaps),
    ),
    Mistake(
        "the wait for the first token is counted as a gap.",
        "A gap is the time between two tokens. The time before the first one is TTFT.",
        (
            wrong(itl=lambda arrival, times: gaps_of(arrival, [arrival, *times])),
            wrong(
                all_itls=lambda requests: [x for a, times in requests for x in gaps_of(a, [a, *times])],
                tpot=lambda arrival, times: (times[-1] - arrival) / len(times),
            ),
        ),
    ),
    Mistake(
        "the arrival is not subtracted.",
        "The clock starts with the run and not with the request: subtract its `arrival`.",
        (
            wrong(ttft=lambda arrival, times: times[0], e2el=lambda arrival, times: times[-1]),
            wrong(ttft=lambda arrival, times: times[0]),
            wrong(e2el=lambda arrival, times: times[-1]),
        ),
    ),
    Mistake(
        "E2EL begins at the first token.",
        "It goes from the arrival to the last token: the user waits from the start.",
        wrong(e2el=lambda arrival, times: times[-1] - times[0]),
    ),
    Mistake(
        "the percentile takes one of the values.",
        "Between two places the percentile lies on the line from one value to the other.",
        (
            wrong(percentile=nearest(int)),
            wrong(percentile=nearest(math.ceil)),
            wrong(percentile=nearest(round)),
            wrong(percentile=lambda values, p: sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]),
            wrong(percentile=lambda values, p: sorted(values)[max(0, math.ceil(len(values) * p / 100) - 1)]),
        ),
    ),
    Mistake(
        "the place of the percentile is n · p / 100.",
        "P0 is at place 0 and P100 at place n - 1, so the place is (n - 1) · p / 100.",
        (
            wrong(percentile=lambda values, p: at_place(values, len(values) * p / 100)),
            wrong(percentile=lambda values, p: at_place(values, max(0, len(values) * p / 100 - 1))),
        ),
    ),
    Mistake(
        "the percentile is read from the other end.",
        "P99 is a high value: 99 of 100 are below it.",
        wrong(percentile=lambda values, p: linear(values, 100 - p)),
    ),
    Mistake(
        "the values are not sorted.",
        "A percentile counts places in ascending order: `sorted(values)`.",
        wrong(percentile=unsorted),
    ),
    Mistake(
        "`p` is not used.",
        "P50 is the median, P99 another value: the place depends on p.",
        (
            wrong(percentile=lambda values, p: linear(values, 50)),
            wrong(percentile=lambda values, p: linear(values, 99)),
            wrong(percentile=lambda values, p: sum(values) / len(values)),
        ),
    ),
    Mistake(
        "`p` is taken for a share.",
        "p is a percentile from 0 to 100. Divide it by 100.",
        wrong(percentile=lambda values, p: at_place(values, (len(values) - 1) * p)),
    ),
    Mistake(
        "`p` is divided by 100 twice.",
        "NumPy's `percentile` takes p from 0 to 100 as it is; `quantile` takes p / 100.",
        wrong(percentile=lambda values, p: linear(values, p / 100)),
    ),
    Mistake(
        "something else than None stands where there is no gap.",
        "A 0 says that all tokens came at once. None says that there is nothing to report.",
        (wrong(none=0), wrong(none=math.nan)),
    ),
    Mistake(
        "a gap of 0 counts as no gap.",
        "Tokens may come at the same time. Their gap is 0, and it counts: `value or None` and `if gap` take 0 for "
        "nothing.",
        (zero_as_none("tpot", "itl"), zero_as_none("itl"), zero_as_none("tpot")),
    ),
    Mistake(
        "the run begins at 0.",
        "It begins with the first arrival: the time before it is no part of the run.",
        wrong(seconds=lambda requests: max(times[-1] for _, times in requests)),
    ),
    Mistake(
        "the run begins with the first token.",
        "It begins with the first arrival. The first prompt is computed before its first token comes.",
        wrong(seconds=lambda r: max(times[-1] for _, times in r) - min(times[0] for _, times in r) or 1),
    ),
    Mistake(
        "the order of the list is taken for the order of time.",
        "Requests stand in any order: take the smallest arrival and the largest time of a last token.",
        (
            wrong(seconds=lambda r: r[-1][1][-1] - r[0][0]),
            wrong(seconds=lambda r: max(times[-1] for _, times in r) - r[0][0]),
            wrong(seconds=lambda r: r[-1][1][-1] - min(arrival for arrival, _ in r)),
        ),
    ),
    Mistake(
        "the run ends with the request that arrived last.",
        "A request that arrived earlier may get its last token later: `max(times[-1] for _, times in requests)`.",
        wrong(seconds=lambda r: max(r)[1][-1] - min(arrival for arrival, _ in r) or 1),
    ),
    Mistake(
        "requests of one token are left out of the throughput.",
        "They are requests as well, though they have no TPOT: `len(requests)`.",
        (
            wrong(requests_of=lambda r: sum(len(times) > 1 for _, times in r)),
            wrong(requests_of=lambda r: sum(len(times) > 1 for _, times in r) or len(r)),
        ),
    ),
    Mistake(
        "the times of all requests are added up.",
        "Requests run at the same time. The run lasts from the first arrival to the last token.",
        wrong(seconds=lambda requests: sum(times[-1] - arrival for arrival, times in requests)),
    ),
    Mistake(
        "first tokens are left out of the throughput.",
        "They are output as well: a request with n tokens counts n.",
        wrong(tokens=lambda requests: sum(len(times) - 1 for _, times in requests)),
    ),
    Mistake(
        "throughput is upside down.",
        "Divide what was done by the seconds.",
        wrong(rate=lambda count, seconds: seconds / count),
    ),
    Mistake(
        "throughput is not divided by the seconds.",
        "It is what was done in each second of the run.",
        wrong(rate=lambda count, seconds: count),
    ),
    Mistake("latencies are in milliseconds.", "They are in seconds here.", wrong(unit=1000)),
]
