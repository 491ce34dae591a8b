"""Arrival times: their distribution, and that all of them follow from the seed."""

import math
from itertools import islice

import numpy as np
import pytest

from course_lib.errors import ParameterError
from course_lib.workload import AtOnce, ClosedLoop, Feed, Fixed, Gamma, Lengths, Poisson, Trace, Workload

SHORT = Lengths(Fixed(4), Fixed(2))


def times(process, n=20_000, seed=0):
    return np.array(list(islice(process.times(np.random.default_rng(seed)), n)))


def test_poisson_gaps_are_exponential_with_the_given_rate():
    gaps = np.diff(times(Poisson(5.0)), prepend=0)
    assert gaps.mean() == pytest.approx(1 / 5, rel=0.03) and gaps.std() == pytest.approx(1 / 5, rel=0.03)
    for p in (10, 50, 90):  # the quantiles of an exponential distribution
        assert np.percentile(gaps, p) == pytest.approx(-math.log(1 - p / 100) / 5, rel=0.05)
    counts = np.histogram(times(Poisson(5.0)), np.arange(0, 3900))[0]
    assert counts.var() == pytest.approx(counts.mean(), rel=0.1)  # as many a second as a Poisson variable


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_burstiness_is_the_shape_of_the_gaps_and_leaves_the_rate(burstiness):
    gaps = np.diff(times(Gamma(2.0, burstiness), 60_000), prepend=0)
    assert gaps.mean() == pytest.approx(0.5, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)


def test_infinite_burstiness_is_an_even_beat_and_an_infinite_rate_is_all_at_once():
    assert times(Gamma(4.0, math.inf), 4).tolist() == [0.25, 0.5, 0.75, 1.0]
    assert times(AtOnce(), 3).tolist() == [0.0, 0.0, 0.0]


def test_times_follow_from_the_seed_and_never_fall():
    assert times(Poisson(3.0), 50, seed=4).tolist() == times(Poisson(3.0), 50, seed=4).tolist()
    assert times(Poisson(3.0), 50, seed=4).tolist() != times(Poisson(3.0), 50, seed=5).tolist()
    assert (np.diff(times(Gamma(3.0, 0.1))) >= 0).all()


def serve(feed, seconds=1.0, most=10_000):
    """Serves each request alone, in `seconds`, one after the other. Returns (at, begun, ended, arrival) of all."""
    now, done, waiting = 0.0, [], []
    for _ in range(most):
        waiting += feed.due(now)
        if waiting:
            arrival, begun = waiting.pop(0), now
            now += seconds
            feed.finished(arrival, [7] * arrival.max_tokens, now)
            done.append((arrival.at, begun, now, arrival))
        elif feed.next_at is None:
            assert feed.is_over
            return done
        else:
            now = feed.next_at
    raise AssertionError("no end")


def test_a_closed_loop_never_has_more_requests_than_users():
    done = serve(Feed(Workload(ClosedLoop(3), SHORT, num_requests=30)))
    assert len(done) == 30 and [at for at, *_ in done[:4]] == [0.0, 0.0, 0.0, 1.0]
    for at, *_ in done:
        assert sum(a <= at < end for a, _, end, _ in done) <= 3


def test_think_time_is_a_pause_after_each_output():
    done = serve(Feed(Workload(ClosedLoop(1, think_time=2.0), SHORT, num_requests=2000)), most=10_000)
    pauses = np.array([b[0] - a[2] for a, b in zip(done, done[1:])])
    assert (pauses >= 0).all() and pauses.mean() == pytest.approx(2.0, rel=0.1)


def test_a_closed_loop_ends_with_its_duration():
    done = serve(Feed(Workload(ClosedLoop(2), SHORT, duration=5.0)))
    assert done and all(at < 5.0 for at, *_ in done)


def write(tmp_path, text, name="trace.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trace_is_played_as_it_was_recorded(tmp_path):
    text = "arrival,prompt_tokens,output_tokens,client\n0.5,3,4,a\n0.5,5,6,\n2.0,7,8,b\n"
    arrivals = list(Feed(Workload(Trace(write(tmp_path, text)))).due(9.0))
    found = [(a.at, len(a.token_ids), a.max_tokens, a.client) for a in arrivals]
    assert found == [(0.5, 3, 4, "a"), (0.5, 5, 6, "default"), (2.0, 7, 8, "b")]
    row = '{"arrival": %d, "prompt_tokens": 3, "output_tokens": 4}'
    lines = f"{row % 1}\n\n{row % 3}"
    trace = Trace(write(tmp_path, lines, "trace.jsonl"), speed=2.0)
    assert trace.num_rows == 2 and [at for at, *_ in trace.rows()] == [0.5, 1.5]


@pytest.mark.parametrize(
    "text, message",
    [
        ("arrival,prompt_tokens\n1,2\n", "line 2, has no output_tokens"),
        ("arrival,prompt_tokens,output_tokens\n1,2,x\n", "line 2: output_tokens is 'x'"),
        ("arrival,prompt_tokens,output_tokens\n1,2,3\n1,0,3\n", "line 3: prompt_tokens is '0'"),
        ("arrival,prompt_tokens,output_tokens\n1,2.5,3\n", "whole number"),
        ("arrival,prompt_tokens,output_tokens\n-1,2,3\n", "line 2: arrival is '-1'"),
        ("arrival,prompt_tokens,output_tokens\nnan,2,3\n", "line 2: arrival is 'nan'"),
        ("arrival,prompt_tokens,output_tokens\n2,2,3\n1,2,3\n", "line 3: arrival is 1, after 2"),
        ("arrival,prompt_tokens,output_tokens\n2,2,3,4\n", "more values"),
        ("arrival,prompt_tokens,output_tokens\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_a_bad_trace_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ParameterError, match=message):
        Trace(write(tmp_path, text))


def test_a_file_that_is_no_trace_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="cannot be read"):
        Trace(tmp_path / "none.csv")
    with pytest.raises(ParameterError, match="jsonl"):
        Trace(write(tmp_path, "", "trace.txt"))
    with pytest.raises(ParameterError, match="line 1, is no JSON"):
        Trace(write(tmp_path, "{", "a.jsonl"))
    with pytest.raises(ParameterError, match="in braces"):
        Trace(write(tmp_path, "3\n", "b.jsonl"))
    path = tmp_path / "c.csv"
    path.write_bytes(b"arrival\n\xff\xfe\n")
    with pytest.raises(ParameterError, match="UTF-8"):
        Trace(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Poisson(0),
        lambda: Poisson("fast"),
        lambda: Gamma(1.0, 0),
        lambda: Gamma(math.inf),
        lambda: ClosedLoop(0),
        lambda: ClosedLoop(2.5),
        lambda: ClosedLoop(1, think_time=-1),
    ],
)
def test_impossible_arrivals_are_refused(make):
    with pytest.raises(ParameterError, match="Try"):
        make()
