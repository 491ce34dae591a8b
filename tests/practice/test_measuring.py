"""Lesson 12: the definitions of its exercises are those of course_lib."""

import math

import numpy as np
import pytest

from course_lib.engine import RequestMetrics, Targets, summarise
from course_lib.practice.lessons.l12.goodput import drawn as drawn_latencies
from course_lib.practice.lessons.l12.metrics import drawn
from course_lib.practice.lessons.l12.solutions.goodput import goodput
from course_lib.practice.lessons.l12.solutions.metrics import metrics
from course_lib.practice.lessons.l12.solutions.poisson import arrival_times
from course_lib.workload.arrivals import Gamma


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("p", (50, 90, 99))
def test_metrics_are_those_of_a_summary(seed, p):
    run = drawn(seed, 20)
    theirs = summarise([RequestMetrics(at, 1, None, times, times[-1], finish_reason="stop") for at, times in run])
    mine = metrics(run, p)
    for name in ("ttft", "tpot", "itl", "e2el"):
        assert mine[name] == pytest.approx(getattr(theirs, name).percentiles[p])
    assert mine["request_throughput"] == pytest.approx(theirs.request_throughput)
    assert mine["output_throughput"] == pytest.approx(theirs.output_throughput)


@pytest.mark.parametrize("seed", range(5))
def test_goodput_is_that_of_a_summary(seed):
    """Requests with these latencies: the first token at ttft, one more after tpot, the end at e2el."""
    run, requests = [one | {"e2el": 4.0} for one in drawn_latencies(seed, 40)], []
    for one in run:
        times = [one["ttft"]] if one["tpot"] is None else [one["ttft"], one["ttft"] + one["tpot"]]
        requests.append(RequestMetrics(0.0, 1, 0.0, times, 4.0, finish_reason=one["reason"]))
    limits = {"ttft": 0.5, "tpot": 0.125, "e2el": 4.0}
    theirs = summarise(requests, duration=8.0, targets=Targets(**limits))
    mine = goodput(run, 8.0, limits)
    assert (mine["good"], mine["goodput"]) == (theirs.num_good, theirs.request_goodput) and 0 < mine["good"] < 40


@pytest.mark.parametrize("burstiness", (0.25, 1.0, 4.0))
def test_gaps_have_the_mean_and_the_spread_of_the_library(burstiness):
    gaps = np.diff(arrival_times(2.0, 5000, 1, burstiness), prepend=0.0)
    theirs = Gamma(2.0, burstiness).times(np.random.default_rng(1))
    others = np.diff([next(theirs) for _ in range(10_000)], prepend=0.0)
    assert gaps.mean() == pytest.approx(0.5, rel=0.05) and others.mean() == pytest.approx(0.5, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(burstiness), rel=0.1)
    assert gaps.std() == pytest.approx(others.std(), rel=0.1)
