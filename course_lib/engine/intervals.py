"""How far a measured mean or percentile may lie from the true one: bootstrap intervals, all seeded.

A run is one sample of what could have happened. The bootstrap draws as many requests again from those of the run, with
repetition, computes the statistic of each such draw, and takes the middle 95 % of the results (Efron, 1979). It knows
nothing about what the run did not contain: a warm-up, another hour of the day, another machine.

Two kinds of values are alike, and must be drawn together; drawn one by one they give intervals that are far too narrow:

- the gaps between the tokens of one request, since the same steps make them: whole requests are drawn, with all gaps;
- requests that arrive one after the other: they wait in the same queue. So blocks of neighbours are drawn, the last
  request being a neighbour of the first (the circular block bootstrap of Politis and Romano, 1992). A block is as long
  as the values depend on each other; `block_length` finds that out. With independent values it is 1.

A run that is only a few blocks long has seen too little, and its interval is still too narrow.
"""

import numpy as np

from course_lib.errors import ParameterError

from .summary import PERCENTILES


def bootstrap_interval(values, statistic=np.mean, *, block=1, level=0.95, repeats=1000, seed=0):
    """(low, high) around statistic(values): the middle `level` of it over `repeats` draws of the values.

    values: numbers, or arrays of numbers that belong together (the gaps of one request), which are drawn as a whole and
    put together. statistic: a function of a float64 array, such as np.mean; where it returns several numbers, low and
    high are arrays. block: so many neighbours are drawn together; see `block_length`. The same seed gives the same
    interval. Raises ParameterError for no values.
    """
    low, high = _interval(values, statistic, block, level, repeats, seed)
    return (float(low), float(high)) if np.ndim(low) == 0 else (low, high)


def _interval(values, statistic, block, level, repeats, seed):
    groups = [np.atleast_1d(np.asarray(value, dtype=float)) for value in values]
    groups = [group for group in groups if len(group)]
    if not groups:
        raise ParameterError("There are no values, so nothing can be said about them. Were all requests complete?")
    if not 0 < level < 1 or repeats < 1 or block < 1:
        raise ParameterError(
            f"level is {level!r}, repeats is {repeats!r} and block is {block!r}. level is a share between 0 and 1, "
            f"such as 0.95; repeats counts draws, at least 1, and about 1000 for two digits; block counts neighbours."
        )
    lengths = np.array([len(group) for group in groups])
    flat, ends = np.concatenate(groups), np.cumsum(lengths)
    draw, results = np.random.default_rng(seed), []
    for _ in range(repeats):
        starts = draw.integers(0, len(groups), -(-len(groups) // block))
        chosen = (starts[:, None] + np.arange(block)).ravel()[: len(groups)] % len(groups)
        results.append(statistic(flat[_positions(ends[chosen] - lengths[chosen], lengths[chosen])]))
    return np.percentile(results, [50 - 50 * level, 50 + 50 * level], axis=0)


def _positions(starts, lengths):
    """All positions of the ranges that begin at `starts` and have `lengths`, one range after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def block_length(values):
    """How many neighbours of a series must be drawn together: an int, 1 for independent values. values: [n] numbers.

    The autocorrelation says how far values depend on each other; blocks of this length make the error of a mean's
    interval smallest. At most a third of the series, and 3 * sqrt(n). Source: Politis and White, 2004 (for the circular
    block bootstrap), as corrected by Patton, Politis and White, 2009.
    """
    x = np.asarray(values, dtype=float)
    n, most = len(x), int(min(3 * np.sqrt(len(x)), len(x) / 3))
    if n < 10 or np.ptp(x) == 0:
        return 1
    x = x - x.mean()
    quiet = max(5, int(np.sqrt(np.log10(n))))  # so many small correlations in a row: the dependence has ended
    lags = min(n - 1, int(np.sqrt(n)) + quiet)
    covariance = np.array([x[: n - k] @ x[k:] / n for k in range(lags + 1)])
    is_small = np.abs(covariance[1:] / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    last = next((k for k in range(lags - quiet + 1) if is_small[k : k + quiet].all()), lags)
    if last == 0:
        return 1
    k = np.arange(1, min(2 * last, lags) + 1)
    weights = np.clip(2 * (1 - k / (2 * last)), 0, 1)  # 1 in the first half of the lags, then falling to 0
    spread = covariance[0] + 2 * (weights * covariance[k]).sum()
    slope = 2 * (weights * k * covariance[k]).sum()
    if spread <= 0:
        return 1
    return max(1, min(most, round(float((1.5 * slope**2 / spread**2 * n) ** (1 / 3)))))


def latency_intervals(requests, *, percentiles=PERCENTILES, level=0.95, repeats=1000, seed=0):
    """{"ttft": {"mean": (low, high), 50: ..., 99: ...}, "tpot": ..., "itl": ..., "e2el": ...} in seconds.

    requests: RequestMetrics; only complete ones count, and blocks of them are drawn in the order of their arrival. A
    latency that no request has is left out. A percentile near 100 rests on the few slowest requests: with 100 requests,
    P99 is the slowest but one, and its interval is honest about that only in part.
    """
    complete = sorted((request for request in requests if request.is_complete), key=lambda request: request.arrival)
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
            block = block_length([np.mean(its) for its in values])
            low, high = bootstrap_interval(values, statistics, block=block, level=level, repeats=repeats, seed=seed)
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
    return bootstrap_interval(rates, block=block_length(rates), level=level, repeats=repeats, seed=seed)


def tokens_per_second(requests, duration, *, window=1.0):
    """Output tokens a second in each whole window of the run: float64 [duration // window]. For drift over time."""
    if not window > 0:
        raise ParameterError(f"window is {window!r}, but it is a time in seconds: above 0.")
    edges = np.arange(int(duration / window + 1e-9) + 1) * window
    times = np.concatenate([np.zeros(0), *(np.asarray(request.token_times, dtype=float) for request in requests)])
    return np.histogram(times[times < edges[-1]], edges)[0] / window if len(edges) > 1 else np.zeros(0)
