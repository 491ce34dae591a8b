"""A learner's own allocator, scheduler and attention in the engine, and steps that break off."""

from collections import deque

import pytest
import torch
from least_allocator import Mine
from small_engine import MODEL, engine, run
from summing import Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig, Scheduler
from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import PagedCache

# --- a learner's own parts ---


class Lesson04(Mine):
    """A learner's allocator: the methods of the lesson and nothing else."""

    def check_integrity(self):
        pass


class Leaking(Lesson04):
    """Blocks with odd ids are lost when they are freed."""

    def free(self, block_ids):
        before = set(self.free_ids)
        super().free(block_ids)
        self.free_ids = deque(b for b in self.free_ids if b in before or b % 2 == 0)


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
    e = engine(num_blocks=4, prefix_caching=False, parts=dict(allocator=Leaking))
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
