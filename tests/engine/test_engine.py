"""The engine: literal steps, the traps by name, how requests end, and what is measured."""

import pytest
from small_engine import MODEL, engine, run, steps
from summing import Summing, oracle

from course_lib.decoding import SamplingParams

# --- literal steps ---


def test_requests_join_and_leave_at_every_step():
    e = engine()
    a = e.add_request([1, 2, 3], SamplingParams(max_tokens=3))
    outputs = e.step()
    assert [(o.request_id, o.new_token_ids, o.finished) for o in outputs] == [
        (a, oracle(MODEL, [1, 2, 3], SamplingParams(max_tokens=1)), False)
    ]
    b = e.add_request([4, 5], SamplingParams(max_tokens=1))
    assert [(o.request_id, o.finished, o.finish_reason) for o in e.step()] == [(a, False, None), (b, True, "length")]
    assert [(o.request_id, o.finish_reason, o.token_ids) for o in e.step()] == [
        (a, "length", oracle(MODEL, [1, 2, 3], SamplingParams(max_tokens=3)))
    ]
    assert not e.has_unfinished() and e.step() == []
    assert steps(e) == [[["0"], [0], [3]], [["0", "1"], [3, 0], [1, 2]], [["0"], [4], [1]]]
    assert steps(e, "finish") == [["1", "length"], ["0", "length"]]


def test_a_long_prompt_comes_in_pieces_and_those_who_run_go_first():
    e = engine(max_num_batched_tokens=5)
    a, b = (
        e.add_request([1], SamplingParams(max_tokens=9)),
        e.add_request(list(range(10)), SamplingParams(max_tokens=2)),
    )
    got = run(e)
    assert steps(e)[:5] == [
        [["0", "1"], [0, 0], [1, 4]],
        [["0", "1"], [1, 4], [1, 4]],
        [["0", "1"], [2, 8], [1, 2]],
        [["0", "1"], [3, 10], [1, 1]],
        [["0"], [4], [1]],
    ]
    assert got[a, 0].token_ids == oracle(MODEL, [1], SamplingParams(max_tokens=9))
    assert got[b, 0].token_ids == oracle(MODEL, range(10), SamplingParams(max_tokens=2))


def test_without_chunks_a_prompt_waits_until_it_fits_in_one_step():
    e = engine(max_num_batched_tokens=10, chunked_prefill=False)
    (
        e.add_request([1, 2, 3, 4], SamplingParams(max_tokens=2)),
        e.add_request(list(range(8)), SamplingParams(max_tokens=2)),
    )
    run(e)
    assert steps(e) == [[["0"], [0], [4]], [["0", "1"], [4, 0], [1, 8]], [["1"], [8], [1]]]


def test_parallel_samples_share_the_blocks_of_the_prompt():
    e = engine(num_blocks=6, prefix_caching=False)
    e.add_request(list(range(10)), SamplingParams(max_tokens=3, n=3, temperature=1.0, seed=7))
    e.step()
    tables = [e.manager.table(r).block_ids for r in e.scheduler.running.values()]
    assert tables == [[0, 1, 2]] * 3 and list(e.scheduler.running) == ["0", "0.1", "0.2"]
    e.step()
    assert [e.manager.table(r).block_ids for r in e.scheduler.running.values()] == [[0, 1, 3], [0, 1, 4], [0, 1, 2]]
    got = run(e)
    for index in range(3):
        assert got["0", index].token_ids == oracle(
            MODEL, range(10), SamplingParams(max_tokens=3, temperature=1.0, seed=7), index
        )
    assert len({tuple(o.token_ids) for o in got.values()}) > 1 and e.metrics.num_scheduled_tokens == 10 + 3 * 2


# --- the traps ---


@pytest.mark.parametrize("times", [1, 2])
def test_trap_prompt_of_exactly_two_blocks_and_fully_cached(times):
    """At least one token is computed: without it there is no row of logits to choose by."""
    e = engine()
    expected = oracle(MODEL, range(8), SamplingParams(max_tokens=5))
    assert e.generate([range(8)], SamplingParams(max_tokens=5))[0].token_ids == expected
    for _ in range(times):
        before = e.metrics.num_scheduled_tokens
        [again] = e.generate([range(8)], SamplingParams(max_tokens=5))
        computed = e.metrics.num_scheduled_tokens - before - 4  # without those of the four decode steps
        assert again.token_ids == expected and 1 <= computed <= 4 and again.metrics.num_cached_tokens == 8 - computed
    e.check_integrity()


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_trap_preempted_then_a_prefix_hit_on_its_own_blocks(preemption):
    e = engine(num_blocks=5, preemption=preemption)
    ids = [
        e.add_request(prompt, SamplingParams(max_tokens=8))
        for prompt in ([1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14])
    ]
    got = run(e)
    assert [r[:2] for r in steps(e, "preempt")] == [["1", preemption]]
    again = [row for row in e.trace.rows() if row[1] == "hit" and row[2] == "1"]
    assert again and len(again[0][3]) >= 1  # it came back to blocks that it had filled itself
    for i, prompt in zip(ids, ([1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14])):
        assert got[i, 0].token_ids == oracle(MODEL, prompt, SamplingParams(max_tokens=8))
    assert e.metrics.num_preemptions == 1 and got["1", 0].metrics.num_preemptions == 1


def test_trap_the_budget_is_counted_after_the_hit():
    e = engine(max_num_batched_tokens=6)
    e.generate([range(12)], SamplingParams(max_tokens=1))
    e.add_request([*range(12), 1, 2, 3], SamplingParams(max_tokens=1))  # 15 tokens, 12 of them cached
    e.add_request([7, 8], SamplingParams(max_tokens=1))
    e.step()
    assert steps(e)[-1] == [["1", "2"], [12, 0], [3, 2]] and not e.has_unfinished()


def test_trap_two_identical_prompts_in_one_step():
    e = engine()
    ids = [e.add_request(range(9), SamplingParams(max_tokens=4)) for _ in "ab"]
    got = run(e)
    assert steps(e)[0] == [["0", "1"], [0, 0], [9, 9]]  # neither can find what the other is only about to compute
    assert all(got[i, 0].token_ids == oracle(MODEL, range(9), SamplingParams(max_tokens=4)) for i in ids)


def test_trap_a_chunk_that_ends_on_the_edge_of_a_block():
    e = engine(max_num_batched_tokens=4)
    [got] = e.generate([range(12)], SamplingParams(max_tokens=6))
    assert steps(e)[:4] == [[["0"], [0], [4]], [["0"], [4], [4]], [["0"], [8], [4]], [["0"], [12], [1]]]
    assert got.token_ids == oracle(MODEL, range(12), SamplingParams(max_tokens=6))


def test_trap_abort_while_swapped():
    e = engine(num_blocks=5, preemption="swap", prefix_caching=False)
    params = SamplingParams(max_tokens=9)
    a, b = e.add_request([1, 2, 3, 4, 5, 6, 7], params), e.add_request([8, 9, 10, 11, 12, 13, 14], params)
    while not e.runner.saved:
        e.step()
    assert list(e.runner.saved) == [b] and e.abort(b) and not e.runner.saved and not e.abort(b)
    got = run(e)
    assert (
        got[b, 0].finish_reason == "abort"
        and got[b, 0].token_ids == oracle(MODEL, range(8, 15), params)[: len(got[b, 0].token_ids)]
    )
    assert got[a, 0].token_ids == oracle(MODEL, range(1, 8), params)


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_trap_alone_and_filling_all_of_memory(preemption):
    """A request that just fits is never preempted for itself: it would begin again for ever."""
    e = engine(num_blocks=3, watermark=0.5, preemption=preemption)
    [got] = e.generate([range(8)], SamplingParams(max_tokens=5))  # 12 tokens are computed: all slots there are
    assert got.token_ids == oracle(MODEL, range(8), SamplingParams(max_tokens=5)) and e.metrics.num_preemptions == 0
    assert e.metrics.peak_blocks == 3


def test_trap_abort_of_one_that_waits_leaves_no_place_in_the_queue():
    e = engine(max_num_seqs=1)
    a, b, c = (e.add_request([i], SamplingParams(max_tokens=3)) for i in (1, 2, 3))
    e.step()
    e.abort(b)
    got = run(e)
    assert got[b, 0].finish_reason == "abort" and got[b, 0].token_ids == []
    assert got[c, 0].token_ids == oracle(MODEL, [3], SamplingParams(max_tokens=3)) and len(steps(e)) == 6


# --- ends ---


def test_end_tokens_stop_tokens_and_length():
    expected = oracle(MODEL, [1, 2], SamplingParams(max_tokens=9))
    model = Summing(eos=(expected[4],))
    e = engine(model=model)
    got = e.generate(
        [[1, 2]] * 3,
        [
            SamplingParams(max_tokens=9),
            SamplingParams(max_tokens=9, ignore_eos=True),
            SamplingParams(max_tokens=9, stop_token_ids=(expected[2],)),
        ],
    )
    assert [o.finish_reason for o in got] == ["stop", "length", "stop"]
    assert [o.token_ids for o in got] == [expected[:5], expected, expected[:3]]


def test_no_tokens_wanted_none_computed():
    e = engine()
    [got] = e.generate([[1, 2]], SamplingParams(max_tokens=0))
    assert (got.token_ids, got.finish_reason, e.metrics.num_steps) == ([], "length", 0)
    assert e.generate([]) == []


def test_abort_ends_all_texts_of_a_request_at_any_time():
    for before in range(4):
        e = engine()
        a = e.add_request([1, 2, 3], SamplingParams(max_tokens=9, n=3, temperature=1.0))
        b = e.add_request([4], SamplingParams(max_tokens=6))
        for _ in range(before):
            e.step()
        assert e.abort(a) and not e.abort(a)
        got = run(e)
        assert {k: o.finish_reason for k, o in got.items()} == {(b, 0): "length"} | {(a, i): "abort" for i in range(3)}


def test_outputs_of_others_are_kept_while_generate_runs():
    e = engine()
    a = e.add_request([1, 2], SamplingParams(max_tokens=4))
    [mine] = e.generate([[3]], SamplingParams(max_tokens=6))
    assert mine.token_ids == oracle(MODEL, [3], SamplingParams(max_tokens=6))
    others = e.step()
    assert [o.request_id for o in others] == [a] * 4 and others[-1].token_ids == oracle(
        MODEL, [1, 2], SamplingParams(max_tokens=4)
    )
    assert not e.has_unfinished()


# --- metrics ---


def test_metrics_count_and_time_what_happened():
    now = [0.0]
    e = engine(parts=dict(clock=lambda: now[0]), max_num_seqs=1)
    a, b = (
        e.add_request([1, 2], SamplingParams(max_tokens=3)),
        e.add_request([3], SamplingParams(max_tokens=1), arrival=-1.0),
    )
    got = {}
    for now[0] in (1.0, 2.0, 4.0, 8.0):
        got |= {o.request_id: o.metrics for o in e.step() if o.finished}
    assert not e.has_unfinished()
    assert (got[b].queue_time, got[b].ttft, got[b].tpot, got[b].e2e_latency, got[b].num_prompt_tokens) == (
        2.0,
        2.0,
        None,
        2.0,
        1,
    )
    assert (got[a].queue_time, got[a].ttft, got[a].inter_token_latencies, got[a].tpot) == (2.0, 2.0, [2.0, 4.0], 3.0)
    assert (got[a].num_computed_tokens, e.metrics.num_generated_tokens, e.metrics.num_scheduled_tokens) == (4, 4, 5)
    assert (e.metrics.num_requests, e.metrics.num_finished, e.metrics.num_steps, e.metrics.peak_running) == (2, 2, 4, 1)
