"""Static and dynamic batching: the tokens of the naive loop, and every token of padding and idling counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from summing import VOCABULARY, Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import DynamicBatcher, Request, run_dynamic, run_static
from course_lib.errors import ParameterError

MODEL = Summing()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_padding_and_idling_are_counted():
    prompts = [[1] * 5, [2] * 2, [3] * 4, [4]]
    params = [SamplingParams(max_tokens=n) for n in (4, 1, 6, 2)]
    texts, report = run_static(MODEL, prompts, params, batch_size=3)
    assert texts == [oracle(MODEL, *one) for one in zip(prompts, params)]
    # First batch: 15 prompt rows for 11 tokens, then five steps of three rows; they are wanted 3, 0 and 5 times. Second: 1 and 1.
    assert (report.num_batches, report.num_steps) == (2, 6 + 2)
    assert (report.num_padding_tokens, report.num_idle_tokens, report.num_useful_tokens) == (4, 15 - 8, 11 + 8 + 1 + 1)
    assert report.waste == 11 / 32


@given(data=st.data(), batch_size=st.integers(1, 5))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_batches_write_what_each_writes_alone(data, batch_size):
    prompts = data.draw(st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9), max_size=8))
    params = [SamplingParams(max_tokens=data.draw(st.integers(0, 8)), temperature=float(data.draw(st.booleans())), seed=3, stop_token_ids=(5, 6))
              for _ in prompts]
    expected = [oracle(MODEL, *one) for one in zip(prompts, params)]
    texts, report = run_static(MODEL, prompts, params, batch_size=batch_size)
    assert texts == expected
    assert report.num_useful_tokens == sum(len(p) + max(0, len(t) - 1) for p, t, its in zip(prompts, expected, params) if its.max_tokens)
    now = [0.0]
    arrivals = sorted(data.draw(st.lists(st.floats(0, 2), min_size=len(prompts), max_size=len(prompts))))
    texts, latencies, _ = run_dynamic(MODEL, prompts, params, arrivals=arrivals, max_batch_size=batch_size, timeout=0.5,
                                      clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + max(s, 1e-6)))
    assert texts == expected and all(0 <= wait <= 0.5 + 1e-3 for wait in latencies)  # batches take no time by this clock


def test_a_batch_starts_when_it_is_full_or_the_first_has_waited_long_enough():
    b = DynamicBatcher(2, timeout=1.0)
    x, y, z = (Request(name, [1]) for name in "xyz")
    assert b.ready_at() is None and b.take(9.0) == []
    b.add(x, 0.0)
    assert b.ready_at() == 1.0 and b.take(0.9) == []
    b.add(y, 0.9), b.add(z, 0.95)
    assert b.ready_at() == 0.9 and b.take(0.95) == [x, y] and len(b) == 1
    assert b.ready_at() == 1.95 and b.take(1.9) == [] and b.take(1.95) == [z] and b.take(99) == []


def test_what_makes_no_sense_is_refused():
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
