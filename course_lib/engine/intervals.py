"""How far a measured mean or percentile may lie from the true one: bootstrap intervals, all seeded.

A run is one sample of what could have happened. The bootstrap draws as many requests again from those of the run, with
repetition, computes the statistic of each such draw, and takes the middle 95 % of the results (Efron, 1979). It knows
nothing about what the run did not contain: a warm-up, another hour of the day, another machine.

The gaps between the tokens of one request are alike, since the same steps make them. So whole requests are drawn, with
all of their gaps (a cluster bootstrap); to draw single gaps would give intervals that are far too narrow.
"""

import numpy as np

from course_lib.errors import ParameterError

from .summary import PERCENTILES


def bootstrap_interval(values, statistic=np.mean, *, level=0.95, repeats=1000, seed=0):
    """(low, high) around statistic(values): the middle `level` of it over `repeats` draws of the values.

    values: numbers, or arrays of numbers that belong together (the gaps of one request), which are drawn as a whole and
    put together. statistic: a function of a float64 array, such as np.mean; where it returns several numbers, low and
    high are arrays. The same seed gives the same interval. Raises ParameterError for no values.
    """
    low, high = _interval(values, statistic, level, repeats, seed)
    return (float(low), float(high)) if np.ndim(low) == 0 else (low, high)


def _interval(values, statistic, level, repeats, seed):
    groups = [np.atleast_1d(np.asarray(value, dtype=float)) for value in values]
    groups = [group for group in groups if len(group)]
    if not groups:
        raise ParameterError("There are no values, so nothing can be said about them. Were all requests complete?")
    if not 0 < level < 1 or repeats < 1:
        raise ParameterError(
            f"level is {level!r} and repeats is {repeats!r}. level is a share between 0 and 1, such as 0.95; repeats "
            f"counts draws, at least 1, and about 1000 for two digits."
        )
    lengths = np.array([len(group) for group in groups])
    flat, ends = np.concatenate(groups), np.cumsum(lengths)
    draw, results = np.random.default_rng(seed), []
    for _ in range(repeats):
        chosen = draw.integers(0, len(groups), len(groups))
        results.append(statistic(flat[_positions(ends[chosen] - lengths[chosen], lengths[chosen])]))
    return np.percentile(results, [50 - 50 * level, 50 + 50 * level], axis=0)


def _positions(starts, lengths):
    """All positions of the ranges that begin at `starts` and have `lengths`, one range after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def latency_intervals(requests, *, percentiles=PERCENTILES, level=0.95, repeats=1000, seed=0):
    """{"ttft": {"mean": (low, high), 50: ..., 99: ...}, "tpot": ..., "itl": ..., "e2el": ...} in seconds.

    requests: RequestMetrics; only complete ones count. A latency that no request has is left out. A percentile near 100
    rests on the few slowest requests: with 100 requests, P99 is the slowest but one, and its interval is honest about
    that only in part.
    """
    complete = [request for request in requests if request.is_complete]
    found = {
        "ttft": [r.ttft for r in complete],
        "tpot": [r.tpot for r in complete if r.tpot is not None],
        "itl": [r.inter_token_latencies for r in complete if r.num_output_tokens > 1],
        "e2el": [r.e2e_latency for r in complete],
    }

    def statistics(x):
        return [x.mean(), *np.percentile(x, percentiles)]

    intervals = {}
    for name, values in found.items():
        if values:
            low, high = bootstrap_interval(values, statistics, level=level, repeats=repeats, seed=seed)
            intervals[name] = dict(zip(("mean", *percentiles), zip(low.tolist(), high.tolist())))
    return intervals


def throughput_interval(requests, duration, *, window=1.0, level=0.95, repeats=1000, seed=0):
    """(low, high) of the output tokens a second, from windows of `window` seconds of one run, which are drawn again.

    A window should be longer than most requests, or the windows are not independent and the interval is too narrow.
    requests: RequestMetrics with times from 0 to `duration`. The last window is left out where it is not whole. Raises
    ParameterError if fewer than two windows fit.
    """
    rates = tokens_per_second(requests, duration, window=window)
    if len(rates) < 2:
        raise ParameterError(
            f"A run of {duration:g} s has {len(rates)} windows of {window:g} s, and an interval needs at least two. "
            f"Run longer, or make the window shorter."
        )
    return bootstrap_interval(rates, level=level, repeats=repeats, seed=seed)


def tokens_per_second(requests, duration, *, window=1.0):
    """Output tokens a second in each whole window of the run: float64 [duration // window]. For drift over time."""
    if not window > 0:
        raise ParameterError(f"window is {window!r}, but it is a time in seconds: above 0.")
    edges = np.arange(int(duration / window + 1e-9) + 1) * window
    times = np.concatenate([np.zeros(0), *(np.asarray(request.token_times, dtype=float) for request in requests)])
    return np.histogram(times[times < edges[-1]], edges)[0] / window if len(edges) > 1 else np.zeros(0)
