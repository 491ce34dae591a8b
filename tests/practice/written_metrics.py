"""Wrong answers to 12.metrics as people write them; see written_otherwise.py. RIGHT: other right ones."""

import statistics
from collections import defaultdict

import numpy as np


def lists(requests):
    ttft = [times[0] - arrival for arrival, times in requests]
    e2el = [times[-1] - arrival for arrival, times in requests]
    tpot = [float(np.diff(times).mean()) for _, times in requests if len(times) > 1]
    itl = [float(gap) for _, times in requests for gap in np.diff(times)]
    return {"ttft": ttft, "tpot": tpot, "itl": itl, "e2el": e2el}


def duration(requests):
    return max(max(times) for _, times in requests) - min(one[0] for one in requests)


def numbers(of=lists, at=np.percentile, last=duration, tokens=lambda requests: sum(len(t) for _, t in requests)):
    """An answer: the lists of values, a percentile, the seconds and the tokens of a run."""

    def answer(requests, p):
        found = {name: at(values, p) if values else None for name, values in of(requests).items()}
        return found | {
            "request_throughput": len(requests) / last(requests),
            "output_throughput": tokens(requests) / last(requests),
        }

    return answer


def replaced(name, make):
    """The lists, with the one that has this name made otherwise."""
    return lambda requests: lists(requests) | {name: make(requests)}


def chunked(requests):
    """TPOT as E2EL over the number of tokens."""
    return [(times[-1] - arrival) / len(times) for arrival, times in requests]


def per_token(requests):
    return [(times[-1] - times[0]) / len(times) for _, times in requests if len(times) >= 2]


def zero_for_one(requests):
    return [statistics.mean(np.diff(times)) if len(times) > 1 else 0.0 for _, times in requests]


def medians(requests):
    return [float(np.median(np.diff(times))) for _, times in requests if len(times) > 1]


def means(requests):
    return lists(requests)["tpot"]


def with_first(requests):
    return [float(gap) for arrival, times in requests for gap in np.diff([arrival, *times])]


def only_positive(requests):
    return [gap for gap in lists(requests)["itl"] if gap > 0]


def from_the_first_arrival(requests):
    begin = min(arrival for arrival, _ in requests)
    return [times[0] - begin for _, times in requests]


def to_the_second_token(requests):
    return [times[min(1, len(times) - 1)] - arrival for arrival, times in requests]


def p99_always(values, p):
    return np.percentile(values, 99)


def lower(values, p):
    return np.percentile(values, p, method="lower")


def weibull(values, p):
    return np.percentile(values, p, method="weibull")


def in_the_order_given(values, p):
    return float(np.interp((len(values) - 1) * p / 100, range(len(values)), values))


def last_arrival(requests):
    return max(arrival for arrival, _ in requests) - min(arrival for arrival, _ in requests) + 1e-9


def gaps_only(requests):
    return sum(len(np.diff(times)) for _, times in requests)


def zero_without_gaps(requests, p):
    found = numbers()(requests, p)
    return {name: value or 0 for name, value in found.items()}


def fails_without_gaps(requests, p):
    found = numbers()(requests, p)
    return found | {"tpot": np.percentile(lists(requests)["tpot"], p), "itl": np.percentile(lists(requests)["itl"], p)}


def sorts_the_list(requests, p):
    requests.sort(reverse=True)
    requests.append(requests.pop(0))
    return numbers()(requests, p)


def removes_the_first(requests, p):
    found = numbers()(requests, p)
    for _, times in requests:
        times.pop(0)
    return found


def prints_it(requests, p):
    print(numbers()(requests, p))


def in_a_tuple(requests, p):
    return tuple(numbers()(requests, p).values())


def rounded(requests, p):
    return {name: value and round(value, 1) for name, value in numbers()(requests, p).items()}


def in_floats_of_numpy(requests, p):
    found = defaultdict(lambda: None, numbers()(requests, p))
    return found


def by_quantiles(values, p):
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=200, method="inclusive")[round(2 * p) - 1] if 0 < p < 100 else (
        min(values) if p == 0 else max(values)
    )  # fmt: skip


def none_for_zero(requests, p):
    return {name: value or None for name, value in numbers()(requests, p).items()}


def to_the_last_arrival(requests):
    return requests[int(np.argmax([arrival for arrival, _ in requests]))][1][-1] - min(one[0] for one in requests) or 1


def several_tokens_only(requests, p):
    several = [one for one in requests if len(one[1]) > 1]
    found = numbers()(requests, p)
    return found | {"request_throughput": len(several) / duration(requests)}


RIGHT = {"12.metrics": [numbers(), in_floats_of_numpy, numbers(at=by_quantiles)]}
CASES = {
    "12.metrics": [
        ("first token is in TPOT", numbers(replaced("tpot", chunked))),
        ("divided by the number of tokens", numbers(replaced("tpot", per_token))),
        ("TPOT of 0", numbers(replaced("tpot", zero_for_one))),
        ("TPOT counts each gap", numbers(replaced("tpot", lambda requests: lists(requests)["itl"]))),
        (None, numbers(replaced("tpot", medians))),
        ("one mean for each", numbers(replaced("itl", means))),
        ("counted as a gap", numbers(replaced("itl", with_first))),
        ("gap of 0 counts as no gap", numbers(replaced("itl", only_positive))),
        (None, numbers(replaced("ttft", from_the_first_arrival))),
        (None, numbers(replaced("ttft", to_the_second_token))),
        ("E2EL begins", numbers(replaced("e2el", lambda requests: [t[-1] - t[0] for _, t in requests]))),
        ("`p` is not used", numbers(at=p99_always)),
        ("`p` is not used", numbers(at=lambda values, p: statistics.median(values))),
        ("takes one of the values", numbers(at=lower)),
        (None, numbers(at=weibull)),
        ("not sorted", numbers(at=in_the_order_given)),
        ("taken for a share", numbers(at=lambda values, p: np.percentile(values, min(100, 100 * p)))),
        ("begins at 0", numbers(last=lambda requests: max(t[-1] for _, t in requests))),
        (None, numbers(last=last_arrival)),
        ("first tokens are left out", numbers(tokens=gaps_only)),
        ("something else than None", zero_without_gaps),
        (None, fails_without_gaps),
        ("list is changed", sorts_the_list),
        ("list is changed", removes_the_first),
        ("printed, not returned", prints_it),
        ("without their names", in_a_tuple),
        ("numbers are rounded", rounded),
        ("gap of 0 counts as no gap", none_for_zero),
        ("request that arrived last", numbers(last=to_the_last_arrival)),
        ("one token are left out of the throughput", several_tokens_only),
    ]
}
