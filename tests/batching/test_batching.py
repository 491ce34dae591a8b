"""Static and dynamic batching: the tokens are those of the naive loop, and padding and idle tokens are counted."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from summing import VOCABULARY, Summing, oracle

from course_lib.batching import Batch, DynamicBatcher, count_batches, run_dynamic, run_static, simulate_batches, waits
from course_lib.decoding import SamplingParams
from course_lib.engine import Request
from course_lib.errors import CourseError, ParameterError

MODEL = Summing()


def test_padding_and_idle_tokens_are_counted():
    prompts = [[1] * 5, [2] * 2, [3] * 4, [4]]
    params = [SamplingParams(max_tokens=n) for n in (4, 1, 6, 2)]
    outputs, report = run_static(MODEL, prompts, params, batch_size=3)
    assert outputs == [oracle(MODEL, *one) for one in zip(prompts, params)]
    # First batch: 15 prompt rows for 11 tokens, then five steps of three rows, of which 3, 0 and 5 are useful.
    # Second batch: one prompt row and one step of one row.
    assert (report.num_batches, report.num_steps) == (2, 6 + 2)
    assert (report.num_padding_tokens, report.num_idle_tokens, report.num_useful_tokens) == (4, 15 - 8, 11 + 8 + 1 + 1)
    assert report.waste == 11 / 32


@given(data=st.data(), batch_size=st.integers(1, 5))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_each_request_of_a_batch_gets_the_tokens_that_it_gets_alone(data, batch_size):
    prompts = data.draw(st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9), max_size=8))
    params = [
        SamplingParams(
            max_tokens=data.draw(st.integers(0, 8)),
            temperature=float(data.draw(st.booleans())),
            seed=3,
            stop_token_ids=(5, 6),
        )
        for _ in prompts
    ]
    expected = [oracle(MODEL, *one) for one in zip(prompts, params)]
    outputs, report = run_static(MODEL, prompts, params, batch_size=batch_size)
    assert outputs == expected
    assert report.num_useful_tokens == sum(
        len(p) + max(0, len(o) - 1) for p, o, its in zip(prompts, expected, params) if its.max_tokens
    )
    now = [0.0]
    arrivals = sorted(data.draw(st.lists(st.floats(0, 2), min_size=len(prompts), max_size=len(prompts))))
    outputs, latencies, _ = run_dynamic(
        MODEL,
        prompts,
        params,
        arrivals=arrivals,
        max_batch_size=batch_size,
        timeout=0.5,
        clock=lambda: now[0],
        sleep=lambda s: now.__setitem__(0, now[0] + max(s, 1e-6)),
    )
    assert outputs == expected and all(
        0 <= wait <= 0.5 + 1e-3 for wait in latencies
    )  # batches take no time by this clock


class Runs(Summing):
    """A model that counts its runs, as a clock."""

    now = 0

    def __call__(self, *args, **kwargs):
        self.now += 1
        return super().__call__(*args, **kwargs)

    def sleep(self, runs):
        self.now += max(1, runs)


@given(data=st.data(), size=st.integers(1, 4), timeout=st.integers(0, 6))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_simulated_batches_are_those_of_a_server_with_a_model(data, size, timeout):
    drawn = data.draw(
        st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.integers(1, 7)), min_size=1, max_size=9)
    )
    requests = sorted(drawn, key=lambda request: request[0])
    arrivals, prompts = [arrival for arrival, _, _ in requests], [[3] * n for _, n, _ in requests]
    params = [SamplingParams(max_tokens=n, ignore_eos=True) for _, _, n in requests]
    all_at_once = [(0, *rest) for _, *rest in requests]
    assert run_static(MODEL, prompts, params, batch_size=size)[1] == count_batches(
        all_at_once, simulate_batches(all_at_once, DynamicBatcher(size, math.inf))
    )
    model = Runs()
    _, took, report = run_dynamic(
        model,
        prompts,
        params,
        arrivals=arrivals,
        max_batch_size=size,
        timeout=timeout,
        clock=lambda: model.now,
        sleep=model.sleep,
    )
    batches = simulate_batches(requests, DynamicBatcher(size, timeout))
    assert report == count_batches(requests, batches)
    ends = {i: batch.start + max(requests[j][2] for j in batch.requests) for batch in batches for i in batch.requests}
    assert took == [ends[i] - arrivals[i] for i in range(len(requests))]


def test_static_batches_wait_until_they_are_full_except_the_last():
    requests = [(0, 5, 3), (4, 2, 1), (5, 1, 2), (9, 4, 2), (9, 1, 1)]
    batches = simulate_batches(requests, DynamicBatcher(2, math.inf))
    assert batches == [Batch(4, (0, 1)), Batch(9, (2, 3)), Batch(11, (4,))]
    assert waits(requests, batches) == [4, 0, 4, 0, 2]


def test_a_learners_batcher_is_used():
    class Alone(DynamicBatcher):
        def __init__(self):
            super().__init__(1, 0)

    assert run_dynamic(MODEL, [[1], [2, 3]], SamplingParams(max_tokens=2), batcher=Alone())[2].num_batches == 2


@pytest.mark.parametrize("loses", ["take", "add"])
def test_a_batcher_that_loses_requests_is_stopped(loses):
    lost = type("Lost", (DynamicBatcher,), {loses: lambda self, *args: []})
    with pytest.raises(CourseError, match="1 of 1 requests were added and wait"):
        simulate_batches([(0, 1, 1)], lost(2, 1))


@pytest.mark.parametrize("gives", [[0, 0], [7], [0]], ids=["twice in one batch", "never added", "in a second batch"])
def test_a_batcher_that_returns_a_request_that_does_not_wait_is_stopped(gives):
    class Gives(DynamicBatcher):
        def take(self, now):
            return list(gives)

    with pytest.raises(CourseError, match=r"`take` gives .* Each request is in one batch, once"):
        simulate_batches([(0, 1, 1), (9, 1, 1)], Gives(2, 1))


def test_requests_without_tokens_are_refused():
    for wrong in ((0, 0, 3), (0, 3, 0)):
        with pytest.raises(ParameterError, match=r"requests\[1\] has"):
            simulate_batches([(0, 1, 1), wrong], DynamicBatcher(2, 1))


def test_a_batch_starts_when_it_is_full_or_its_first_request_has_waited_for_the_timeout():
    b = DynamicBatcher(2, timeout=1.0)
    x, y, z = (Request(name, [1]) for name in "xyz")
    assert b.ready_at() is None and b.take(9.0) == []
    b.add(x, 0.0)
    assert b.ready_at() == 1.0 and b.take(0.9) == []
    b.add(y, 0.9), b.add(z, 0.95)
    assert b.ready_at() == 0.9 and b.take(0.95) == [x, y] and len(b) == 1
    assert b.ready_at() == 1.95 and b.take(1.9) == [] and b.take(1.95) == [z] and b.take(99) == []


def test_wrong_arguments_are_refused():
    with pytest.raises(ParameterError, match="batch_size is 0"):
        run_static(MODEL, [[1]], batch_size=0)
    with pytest.raises(ParameterError, match="2 prompts came with 1"):
        run_static(MODEL, [[1], [2]], [SamplingParams()])
    with pytest.raises(ParameterError, match="empty"):
        run_static(MODEL, [[1], []], SamplingParams(max_tokens=2))
    with pytest.raises(ParameterError, match="ascending"):
        run_dynamic(MODEL, [[1], [2]], SamplingParams(max_tokens=2), arrivals=[1, 0])
    for wrong in (-1, "1", True, float("nan")):
        with pytest.raises(ParameterError, match="timeout is"):
            DynamicBatcher(2, wrong)


def test_with_an_infinite_timeout_the_last_batch_starts_though_it_is_not_full():
    report = run_dynamic(MODEL, [[1], [2, 3], [4]], SamplingParams(max_tokens=2), max_batch_size=2, timeout=math.inf)[2]
    assert report.num_batches == 2


def test_a_batcher_that_loses_requests_and_arrivals_that_are_no_times_are_refused():
    class Forgets(DynamicBatcher):
        def take(self, now):
            batch = super().take(now)
            self._waiting.clear()
            return batch[:1]

    with pytest.raises(CourseError, match="1 of 2 requests were added, and the batcher returns none"):
        run_dynamic(MODEL, [[1], [2]], SamplingParams(max_tokens=2), batcher=Forgets(2, 0.0))
    with pytest.raises(ParameterError, match="in seconds"):
        run_dynamic(MODEL, [[1]], SamplingParams(max_tokens=2), arrivals=[math.nan])
