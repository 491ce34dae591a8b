"""The engine: literal steps, the traps by name, what is refused, and the life of a request from arrival to end."""

import pytest
import torch
from summing import Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig, Scheduler
from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import PagedCache

MODEL = Summing()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def engine(
    num_blocks=16,
    block_size=4,
    *,
    max_num_seqs=8,
    max_num_batched_tokens=64,
    watermark=0.0,
    model=MODEL,
    parts=None,
    **config,
):
    return Engine(
        model,
        EngineConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            watermark=watermark,
            **config,
        ),
        **(parts or {}),
    )


def run(e, check=True):
    """Steps to the end. Returns {(id, index): output} of the last outputs."""
    last = {}
    while e.has_unfinished():
        for output in e.step():
            key = output.request_id, output.index
            if key in last:
                assert output.token_ids == last[key].token_ids + output.new_token_ids and not last[key].finished
            last[key] = output
        if check:
            e.check_integrity()
    assert e.allocator.num_free == e.allocator.num_blocks and not e.runner.saved and not e.scheduler.running
    return last


def steps(e, kind="schedule"):
    """The records of a kind, as rows without step and name."""
    return [row[2:] for row in e.trace.rows() if row[1] == kind]


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
        assert {k: o.finish_reason for k, o in got.items()} == {(b, 0): "length"} | {
            (a, i): "abort" for i in range(3 if before else 1)
        }


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


# --- sampling ---


def test_a_seed_gives_the_same_tokens_alone_and_batched():
    params = [
        SamplingParams(max_tokens=8, temperature=t, top_p=p, seed=s)
        for t in (0.7, 1.0)
        for p in (0.9, 1.0)
        for s in (1, 2, 3)
    ]
    e = engine(num_blocks=24, max_num_batched_tokens=7)
    together = e.generate([[5, 6, 7]] * 12 + [[1, 2]], [*params, SamplingParams(max_tokens=8)])
    assert e.metrics.num_preemptions + e.metrics.peak_running > 3
    for output, its_params in zip(together, params):
        assert output.token_ids == oracle(MODEL, [5, 6, 7], its_params)
    assert len({tuple(o.token_ids) for o in together}) > 5


def test_without_a_seed_the_engines_seed_decides():
    def texts(seed):
        return [
            o.token_ids
            for o in engine(seed=seed).generate([[1, 2]] * 3, SamplingParams(max_tokens=12, temperature=2.0))
        ]

    assert texts(0) == texts(0) != texts(1)
    assert texts(0)[0] != texts(0)[1]


# --- policies in the engine ---


def test_priority_inversion_is_prevented():
    """One unimportant request fills the only seat; an important one takes it over, and both write what they would
    alone.
    """

    def order_of_ends(policy, preemption="recompute"):
        e = engine(max_num_seqs=1, policy=policy, preemption=preemption)
        low = e.add_request([1, 2, 3], SamplingParams(max_tokens=12), priority=5)
        e.step(), e.step()
        high = e.add_request([4, 5], SamplingParams(max_tokens=2), priority=0)
        got = run(e)
        assert got[low, 0].token_ids == oracle(MODEL, [1, 2, 3], SamplingParams(max_tokens=12))
        assert got[high, 0].token_ids == oracle(MODEL, [4, 5], SamplingParams(max_tokens=2))
        return [row[0] for row in steps(e, "finish")]

    assert order_of_ends("fcfs") == ["0", "1"]  # shown: importance waits for unimportance
    assert order_of_ends("priority") == order_of_ends("priority", "swap") == ["1", "0"]


def test_memory_is_taken_from_the_least_important():
    e = engine(num_blocks=6, policy="priority", prefix_caching=False)
    ids = [e.add_request([i] * 5, SamplingParams(max_tokens=8), priority=p) for i, p in ((1, 0), (2, 9), (3, 4))]
    got = run(e)
    assert {row[0] for row in steps(e, "preempt")} == {ids[1]} and [row[0] for row in steps(e, "finish")] == [
        ids[0],
        ids[2],
        ids[1],
    ]
    assert all(
        got[i, 0].token_ids == oracle(MODEL, [n] * 5, SamplingParams(max_tokens=8)) for i, n in zip(ids, (1, 2, 3))
    )


# --- refusals ---


@pytest.mark.parametrize(
    "prompt, params, more, says",
    [
        ([], {}, {}, "empty"),
        ([1, 99], {}, {}, "Token id 99 is outside the vocabulary of 31"),
        ([1, -1], {}, {}, "Token id -1"),
        ([1] * 90, dict(max_tokens=10), {}, "need 100 positions; the model's context is 96"),
        (
            [1] * 60,
            dict(max_tokens=6),
            {},
            "need 17 blocks of 4 tokens, and there are 16 in all.*Raise num_blocks to 17",
        ),
        ([1], dict(n=9), {}, "max_num_seqs is 8"),
        ([1], dict(stop=("a",)), {}, "no tokenizer"),
        ([1], {}, dict(priority="high"), "priority is 'high'"),
        ([1], {}, dict(priority=None), "priority is None"),
        ([1], {}, dict(arrival=float("nan")), "arrival is nan"),
        ([1], {}, dict(client=None), "client is None"),
        ([1], {}, dict(request_id=""), "request_id is ''"),
        ([1], {}, dict(request_id="mine"), "'mine' is being served already"),
        ([1], {}, dict(request_id="many.2"), "'many.2' is being served already"),
        ([1], dict(n=2), dict(request_id="other"), "one of these names"),
        ("text", {}, {}, "flat list of token ids"),
    ],
    ids=range(16),
)
def test_what_can_never_be_served_is_refused_and_the_others_run_on(prompt, params, more, says):
    e = engine()
    e.add_request([1, 2], SamplingParams(max_tokens=4), request_id="mine")
    e.add_request([1, 2], SamplingParams(max_tokens=4, n=3), request_id="many")
    e.add_request([1, 2], SamplingParams(max_tokens=4), request_id="other.1")
    e.step()
    before = repr(e), e.metrics.num_requests, len(e.trace)
    with pytest.raises(ParameterError, match=says):
        e.add_request(prompt, SamplingParams(**{"max_tokens": 4, **params}), **more)
    assert (repr(e), e.metrics.num_requests, len(e.trace)) == before
    got = run(e)
    assert got["mine", 0].token_ids == oracle(MODEL, [1, 2], SamplingParams(max_tokens=4)) and len(got) == 5
    e.add_request([1], SamplingParams(max_tokens=4), request_id="mine")  # free again


def test_generate_takes_all_prompts_or_none():
    e = engine()
    with pytest.raises(ParameterError, match="empty"):
        e.generate([[1, 2], []], SamplingParams(max_tokens=4))
    with pytest.raises(ParameterError, match="no tokenizer to read it"):
        e.generate([[1, 2], "text"], SamplingParams(max_tokens=4))
    with pytest.raises(ParameterError, match="2 prompts came with 1 parameters"):
        e.generate([[1], [2]], [SamplingParams()])
    assert not e.has_unfinished()


def test_a_whole_prompt_in_one_step_must_fit_the_budget_even_after_a_preemption():
    e = engine(chunked_prefill=False, max_num_batched_tokens=12)
    with pytest.raises(ParameterError, match="one step of 13 tokens.*max_num_batched_tokens=12"):
        e.add_request(range(10), SamplingParams(max_tokens=4))
    e.add_request(range(10), SamplingParams(max_tokens=3))


@pytest.mark.parametrize(
    "config",
    [
        dict(block_size=0),
        dict(block_size=1.5),
        dict(num_blocks=0),
        dict(max_num_seqs=-1),
        dict(max_num_batched_tokens=True),
        dict(policy="lifo"),
        dict(policy=int),
        dict(policy=None),
        dict(preemption="kill"),
        dict(eviction="fifo"),
        dict(chunked_prefill=1),
        dict(prefix_caching=None),
        dict(watermark=1.0),
        dict(watermark=-0.1),
        dict(watermark="1"),
        dict(seed=-1),
    ],
    ids=lambda config: f"{next(iter(config))}-{str(next(iter(config.values())))[:12]}",
)
def test_a_bad_setting_is_refused_with_its_name_and_value(config):
    [(name, value)] = config.items()
    with pytest.raises(ParameterError) as caught:
        EngineConfig(**config)
    assert str(caught.value).startswith(f"{name} is {value!r}")


# --- a learner's own parts ---


class Lesson04:
    """A learner's allocator: the methods of the lesson and nothing else."""

    leaks = False

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.free_ids, self.counts = list(range(num_blocks)), [0] * num_blocks

    @property
    def num_free(self):
        return len(self.free_ids)

    def allocate(self, n=1):
        if n > len(self.free_ids):
            return None
        blocks = [self.free_ids.pop() for _ in range(n)]
        for b in blocks:
            self.counts[b] = 1
        return blocks

    def fork(self, block_ids):
        for b in block_ids:
            self.counts[b] += 1

    def free(self, block_ids):
        for b in block_ids:
            self.counts[b] -= 1
            if self.counts[b] == 0 and not (self.leaks and b % 2 == 0):
                self.free_ids.append(b)

    def ref_count(self, block_id):
        return self.counts[block_id]

    def check_integrity(self):
        pass


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_a_learners_allocator_drives_the_engine_and_its_trace(preemption, trace):
    e = engine(num_blocks=7, preemption=preemption, prefix_caching=False, parts=dict(allocator=Lesson04, trace=trace))
    ids = [e.add_request([i] * 6, SamplingParams(max_tokens=9, n=1 + i % 2, seed=1, temperature=1.0)) for i in range(5)]
    got = run(e)
    for i, request_id in enumerate(ids):
        for index in range(1 + i % 2):
            assert got[request_id, index].token_ids == oracle(
                MODEL, [i] * 6, SamplingParams(max_tokens=9, seed=1, temperature=1.0), index
            )
    assert e.metrics.num_preemptions > 0
    if trace:
        assert {"start", "allocate", "share", "free", "copy", "append", "end", "schedule"} <= {
            r["event"] for r in e.trace.records
        }
        assert e.trace.rows()[0] == [0, "start", 7, 4]


def test_an_allocator_that_does_not_fit_is_refused_with_the_next_step():
    with pytest.raises(ParameterError, match="Pass EngineConfig\\(prefix_caching=False\\)"):
        engine(parts=dict(allocator=Lesson04))
    with pytest.raises(ParameterError, match="has 8 blocks of 4 tokens, the configuration says 16 of 4"):
        engine(parts=dict(allocator=Lesson04(8, 4)), prefix_caching=False)
    used = Lesson04(16, 4)
    used.allocate(3)
    with pytest.raises(ParameterError, match="3 blocks of the allocator are in use"):
        engine(parts=dict(allocator=used), prefix_caching=False)
    with pytest.raises(ParameterError, match="has no allocate, fork"):
        engine(parts=dict(allocator=lambda num_blocks, block_size: object()), prefix_caching=False)
    assert (
        Engine(MODEL, EngineConfig(block_size=4, prefix_caching=False), allocator=Lesson04(5, 4)).allocator.num_blocks
        == 5
    )


def test_an_allocator_that_loses_blocks_is_told_so_instead_of_waiting_for_ever():
    leaking = type("Leaking", (Lesson04,), {"leaks": True})
    e = engine(num_blocks=4, prefix_caching=False, parts=dict(allocator=leaking))
    with pytest.raises(LedgerError, match="only 2 free. Blocks were lost"):
        for _ in range(3):
            e.generate([[1] * 12], SamplingParams(max_tokens=2))


def test_a_learners_scheduler_runs_and_is_held_to_the_rules():
    class LastFirst(Scheduler):
        """Serves the newest first."""

        def schedule(self):
            self.running = dict(reversed(self.running.items()))
            return super().schedule()

    e = engine(parts=dict(scheduler=LastFirst))
    ids = [e.add_request([i] * 6, SamplingParams(max_tokens=5)) for i in range(5)]
    got = run(e)
    assert all(got[r, 0].token_ids == oracle(MODEL, [i] * 6, SamplingParams(max_tokens=5)) for i, r in enumerate(ids))

    def change_first(step, n):
        step.scheduled[0] = step.scheduled[0]._replace(num_tokens=n)

    def broken(change):
        class Broken(Scheduler):
            def schedule(self):
                step = super().schedule()
                change(step)
                return step

        e = engine(parts=dict(scheduler=Broken))
        e.add_request([1, 2, 3], SamplingParams(max_tokens=4)), e.add_request([4, 5], SamplingParams(max_tokens=4))
        return e

    for change, says in [
        (lambda s: s.scheduled.clear(), "scheduled no request"),
        (lambda s: s.scheduled.append(s.scheduled[0]._replace(num_tokens=80)), "85 tokens; the budget"),
        (lambda s: s.scheduled.append(s.scheduled[0]), "a request twice"),
        (lambda s: change_first(s, 2), "2 tokens after 0 computed.*slots for 3"),
        (lambda s: change_first(s, 0), "0 tokens after 0 computed"),
    ]:
        with pytest.raises(IntegrityError, match=says):
            broken(change).step()


def test_a_learners_attention_takes_the_place_of_the_cache():
    class Mine(PagedCache):
        calls = 0

        def attend(self, layer, q, k, v):
            Mine.calls += 1
            return super().attend(layer, q, k, v)

    [got] = engine(parts=dict(attention=Mine)).generate([[1, 2, 3]], SamplingParams(max_tokens=4))
    assert got.token_ids == oracle(MODEL, [1, 2, 3], SamplingParams(max_tokens=4)) and Mine.calls == 4
    with pytest.raises(ParameterError, match="no begin_step and no attend"):
        engine(parts=dict(attention=type("Empty", (), {"__init__": lambda self, pool, allocator: None})))
    with pytest.raises(ParameterError, match="attention is 5"):
        engine(parts=dict(attention=5))


def test_a_learners_attention_may_be_one_function():
    """The means that Summing asks for, token by token and through the table, as a learner would begin."""

    def mine(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        out = torch.empty_like(q)
        for i, length in enumerate(seq_lens.tolist()):
            first, end = cu_seqlens_q[i], cu_seqlens_q[i + 1]
            for row in range(first, end):
                position = length - (end - row)
                values = [v_cache[block_tables[i, p // 4], p % 4] for p in range(position + 1)]
                out[row] = torch.stack(values).mean(0)
        return out

    got = engine(num_blocks=8, parts=dict(attention=mine)).generate(
        [[1, 2, 3], [4] * 6, [5] * 7], SamplingParams(max_tokens=8)
    )
    assert [o.token_ids for o in got] == [
        oracle(MODEL, p, SamplingParams(max_tokens=8)) for p in ([1, 2, 3], [4] * 6, [5] * 7)
    ]
    with pytest.raises(ParameterError, match=r"q of shape \[3, 1, 2\] and returned \[1, 2\]"):
        engine(parts=dict(attention=lambda q, *rest: q[0])).generate([[1, 2, 3]], SamplingParams(max_tokens=2))


# --- when something breaks ---


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
@pytest.mark.parametrize("nth", range(1, 12))
def test_a_step_that_breaks_off_can_be_repeated(nth, preemption):
    class Failing(Summing):
        calls, fails = 0, True

        def __call__(self, *args, **kwargs):
            self.calls += 1
            if self.fails and self.calls == nth:
                raise KeyboardInterrupt
            return super().__call__(*args, **kwargs)

    model = Failing()
    e = engine(num_blocks=6, preemption=preemption, model=model, max_num_batched_tokens=9)
    prompts = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [1, 2, 3, 4, 6]]
    ids = [e.add_request(p, SamplingParams(max_tokens=7, n=n)) for p, n in zip(prompts, (1, 2, 1))]
    outputs, broken = [], 0
    while e.has_unfinished():
        try:
            outputs += e.step()
        except KeyboardInterrupt:
            broken += 1
        e.check_integrity()
    assert broken == 1
    last = {(o.request_id, o.index): o.token_ids for o in outputs if o.finished}
    assert last == {
        (i, x): oracle(MODEL, p, SamplingParams(max_tokens=7))
        for i, p, n in zip(ids, prompts, (1, 2, 1))
        for x in range(n)
    }
    assert e.allocator.num_free == 6 and not e.runner.saved


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
