"""Percentiles, bins and bootstrap intervals, against numpy and against what is known of a distribution."""

import numpy as np
import pytest

from course_lib.engine.intervals import (
    block_length,
    bootstrap_interval,
    latency_intervals,
    throughput_interval,
    tokens_per_second,
)
from course_lib.engine.metrics import RequestMetrics
from course_lib.engine.per_second import PerSecond
from course_lib.engine.sample import CountedSample, Sample
from course_lib.engine.summary import Targets, Totals, summarise
from course_lib.errors import ParameterError


def random_requests(n, seed=0):
    draw, found = np.random.default_rng(seed), []
    for _ in range(n):
        at = float(draw.uniform(0, 50))
        times = (at + np.cumsum(draw.lognormal(-3, 1, draw.integers(1, 40)))).tolist()
        found.append(RequestMetrics(at, int(draw.integers(1, 99)), at, times, times[-1], finish_reason="length"))
    return found


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_percentiles_are_numpys(n):
    values = np.random.default_rng(n).lognormal(0, 2, n)
    exact, counted = Sample(), CountedSample()
    for part in np.array_split(values, 3):
        exact.add(part.tolist()), counted.add(part)
    for p in (0, 1, 37.5, 50, 99, 100):
        assert exact.percentile(p) == np.percentile(values, p)
        assert counted.percentile(p) == pytest.approx(np.percentile(values, p), rel=0.0051)
    for sample in (exact, counted):
        assert sample.count == n and sample.mean == pytest.approx(values.mean())
        assert sample.std == pytest.approx(values.std(), abs=1e-6 * values.max())


def test_counts_in_bins_do_not_grow_with_the_values():
    counted = CountedSample()
    for _ in range(20):
        counted.add(np.random.default_rng(1).uniform(0.01, 1, 10_000))
    assert counted.count == 200_000 and len(counted._counts) < 500
    counted.add([0.0] * 300_000)
    assert counted.percentile(50) == 0.0 and counted.percentile(99) > 0.9


def test_no_values_have_no_percentile():
    for sample in (Sample(), CountedSample()):
        assert sample.mean is sample.std is sample.percentile(50) is None
    assert summarise([]).ttft.median is None and summarise([]).output_throughput == 0.0


def test_counting_as_requests_end_says_the_same_as_all_of_them_together():
    requests = random_requests(300)
    exact, counted = Totals(Targets(ttft=0.05)), Totals(Targets(ttft=0.05), exact=False)
    for request in requests:
        exact.add(request), counted.add(request)
    a, b = exact.summary(60.0).as_dict(), counted.summary(60.0).as_dict()
    assert a.keys() == b.keys() and {"p99_itl_ms", "median_tpot_ms", "request_goodput", "completed"} <= a.keys()
    for name, value in a.items():
        assert b[name] == pytest.approx(value, rel=0.011), name
    assert summarise(requests, duration=60.0, targets=Targets(ttft=0.05)).num_good == exact.num_good > 0


def test_an_interval_is_seeded_and_holds_the_mean_as_often_as_it_says():
    values = np.random.default_rng(0).exponential(1.0, 80)
    assert (
        bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)
    )
    hits = 0
    for trial in range(200):
        low, high = bootstrap_interval(np.random.default_rng([9, trial]).normal(7.0, 2.0, 60), repeats=200)
        hits += low <= 7.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    values = np.random.default_rng(2).normal(10, 3, 400)
    low, high = bootstrap_interval(values, repeats=2000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_gaps_of_one_request_are_drawn_together():
    """Ten requests with a hundred equal gaps each are ten values, not a thousand."""
    levels = np.random.default_rng(0).uniform(1, 2, 10)
    together = bootstrap_interval([np.full(100, level) for level in levels])
    alone, singly = bootstrap_interval(levels), bootstrap_interval(np.repeat(levels, 100))
    width = [high - low for low, high in (together, alone, singly)]
    assert width[0] == pytest.approx(width[1], rel=0.05) and width[2] < width[0] / 5


def waits_of_a_queue(n, draw, load=0.8):
    """Waiting times of n requests at one server (M/M/1, by Lindley's recursion), started where it mostly is."""
    steps = draw.exponential(1.0, n + 500) - draw.exponential(1 / load, n + 500)
    waits, wait = [], 0.0
    for step in steps.tolist():
        wait = max(0.0, wait + step)
        waits.append(wait)
    return np.array(waits[500:])


def correlated(n, draw, phi=0.9):
    """A series in which each value keeps 90 % of the one before it; its mean is 0."""
    values, value = [], draw.normal() / (1 - phi**2) ** 0.5
    for noise in draw.normal(size=n).tolist():
        value = phi * value + noise
        values.append(value)
    return np.array(values)


def test_blocks_of_neighbours_hold_the_mean_where_single_draws_do_not():
    """With load 0.8 a request waits 4 times the mean service on average."""
    for make, n, truth in ((correlated, 1000, 0.0), (waits_of_a_queue, 4000, 4.0)):
        single = blocks = 0
        for trial in range(100):
            values = make(n, np.random.default_rng([3, trial]))
            for length in (1, block_length(values)):
                low, high = bootstrap_interval(values, block=length, repeats=150)
                single += length == 1 and low <= truth <= high
                blocks += length > 1 and low <= truth <= high
        assert single <= 45 and blocks >= 80, (make.__name__, single, blocks)


def test_independent_values_are_drawn_one_by_one_and_dependent_ones_in_longer_blocks():
    draw = np.random.default_rng(5)
    assert np.median([block_length(draw.normal(size=400)) for _ in range(30)]) == 1
    lengths = [np.median([block_length(correlated(1000, draw, phi)) for _ in range(20)]) for phi in (0.3, 0.6, 0.9)]
    assert 1 < lengths[0] < lengths[1] < lengths[2] < 100
    assert block_length([]) == block_length([3.0] * 50) == block_length([1.0, 2.0]) == 1


def test_latencies_of_a_busy_server_get_wider_intervals_in_the_order_of_arrival():
    waits = waits_of_a_queue(2000, np.random.default_rng(0))
    requests = [RequestMetrics(k, 1, k, [k + w, k + w + 0.1], k + w + 0.1, finish_reason="stop")
                for k, w in enumerate(waits.tolist())]  # fmt: skip
    low, high = latency_intervals(requests, repeats=200)["ttft"]["mean"]
    alone = bootstrap_interval(waits, repeats=200)
    assert high - low > 2 * (alone[1] - alone[0])
    draw = np.random.default_rng(1)
    shuffled = [requests[k] for k in draw.permutation(len(requests))]
    assert latency_intervals(shuffled, repeats=200)["ttft"]["mean"] == (low, high)


def test_intervals_of_a_run_hold_its_own_statistics():
    requests = random_requests(60)
    s, found = summarise(requests), latency_intervals(requests, repeats=200)
    for name in ("ttft", "tpot", "itl", "e2el"):
        latency = getattr(s, name)
        for what, value in (("mean", latency.mean), (50, latency.median), (90, latency.percentiles[90])):
            low, high = found[name][what]
            assert low <= value <= high and low < high


def test_counts_by_second_take_8_bytes_a_second():
    counts, plain = PerSecond(), {}
    draw = np.random.default_rng(0)
    for second, count in zip(draw.integers(-9000, 90_000, 3000).tolist(), draw.integers(-5, 9, 3000).tolist()):
        counts.add(second, count)
        plain[second] = plain.get(second, 0) + count
    sums = np.cumsum([plain[second] for second in sorted(plain)])
    assert counts.highest() == max(plain.values()) and counts.highest_sum() == sums.max()
    assert sum(len(page) for page in counts._pages.values()) < 99_000 + 2 * 4096
    assert PerSecond().highest() == PerSecond().highest_sum() == 0


def test_tokens_a_second_are_counted_in_whole_windows():
    times = [[0.1, 0.2, 1.5], [1.6, 2.5, 3.2]]
    requests = [RequestMetrics(0.0, 1, 0.0, t, t[-1], finish_reason="stop") for t in times]
    assert tokens_per_second(requests, 3.5).tolist() == [2.0, 2.0, 1.0]
    assert tokens_per_second(requests, 4.0, window=2.0).tolist() == [2.0, 1.0]
    assert tokens_per_second([], 2.0).tolist() == [0.0, 0.0]
    low, high = throughput_interval(requests, 3.5)
    assert 1.0 <= low < high <= 2.0


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(ParameterError, match="no values"):
        bootstrap_interval([])
    with pytest.raises(ParameterError, match="level"):
        bootstrap_interval([1.0], level=95)
    with pytest.raises(ParameterError, match="block"):
        bootstrap_interval([1.0], block=0)
    with pytest.raises(ParameterError, match="two"):
        throughput_interval([], 1.5)
    with pytest.raises(ParameterError, match="window"):
        tokens_per_second([], 1.0, window=0)
    with pytest.raises(ParameterError, match="percentiles"):
        summarise([], percentiles=(101,))
    with pytest.raises(ParameterError, match="ttft"):
        Targets(ttft=-1)
