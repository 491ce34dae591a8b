"""The simulator: jumps say what single steps say, and single steps are those of the real scheduler and ledger."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.engine import EngineConfig, Policy
from course_lib.workload import (
    AtOnce,
    ClosedLoop,
    Conversations,
    Feed,
    Fixed,
    Gamma,
    Lengths,
    Poisson,
    SharedPrefixes,
    Trace,
    Uniform,
    Workload,
    steady,
)
from course_lib.workload.cost import CostModel
from course_lib.workload.simulate import Cluster, Transfer

COST = CostModel(
    per_step=1e-2, per_batch=2e-3, per_sequence=1e-4, per_token=1e-3, per_kv_token=1e-5, per_pair=1e-6,
    per_prompt=5e-4, per_longest=1e-4, width=9,
)  # fmt: skip
WHOLE = CostModel(per_step=0.125)
SHORT = Lengths(Uniform(1, 30), Uniform(1, 40))


class LongestLast(Policy):
    """A policy of one's own, whose order changes while requests run."""

    def key(self, request):
        return request.num_tokens

    def order(self, running):
        return sorted(running, key=lambda request: (-request.num_tokens, request.number))


class TimeSlice(Policy):
    """A policy of one's own: after four tokens a request makes room for one that waits."""

    def key(self, request):
        return len(request.token_ids) > request.num_prompt_tokens, request.arrival

    def outranks(self, waiting, running):
        return running.num_tokens - running.num_prompt_tokens >= 4 and waiting.num_tokens == waiting.num_prompt_tokens


@pytest.fixture(scope="module", autouse=True)
def few_times_are_kept():
    """So that the times of steps that no request needs any more are thrown away often."""
    before, steady.MOST_TIMES = steady.MOST_TIMES, 8
    yield
    steady.MOST_TIMES = before


@st.composite
def configs(draw):
    """Small memories, so that most runs are short of it."""
    size = draw(st.sampled_from([1, 2, 3, 4, 8]))
    return EngineConfig(
        block_size=size,
        num_blocks=-(-draw(st.integers(70, 140)) // size),
        max_num_seqs=draw(st.sampled_from([2, 4, 8, 16])),
        max_num_batched_tokens=draw(st.sampled_from([3, 8, 30, 100])) if (chunked := draw(st.booleans())) else 100,
        policy=draw(st.sampled_from(["fcfs", "priority", "fair", LongestLast])),
        preemption=draw(st.sampled_from(["recompute", "swap"])),
        chunked_prefill=chunked,
        prefix_caching=draw(st.booleans()),
        eviction=draw(st.sampled_from(["lru", "priority"])),
        watermark=draw(st.sampled_from([0.0, 0.1])),
        async_scheduling=draw(st.sampled_from([False, True])),
    )


@st.composite
def workloads(draw):
    evenly = Gamma(2.0, math.inf)  # with WHOLE, requests arrive at the very moment at which a step ends
    arrivals = draw(st.sampled_from([Poisson(2.0), Poisson(20.0), Gamma(5.0, 0.2), evenly, AtOnce(), ClosedLoop(3)]))
    return [
        Workload(
            arrivals,
            Lengths(Uniform(1, draw(st.integers(1, 20))), Uniform(1, draw(st.integers(1, 30)))),
            num_requests=draw(st.integers(3, 12)),
            context=70,
            vocab_size=draw(st.sampled_from([5, 2560])),
            prefixes=draw(st.sampled_from([None, SharedPrefixes(9, count=2)])),
            conversations=draw(st.sampled_from([None, Conversations(Uniform(1, 4), think_time=0.3)])),
            client=client,
            priority=draw(st.integers(0, 2)),
            seed=draw(st.integers(0, 99)),
        )
        for client in draw(st.sampled_from(["ab", "abc", "a"]))
    ]


SEEN = Counter()


def both_ways(workloads, config, cost=COST, **options):
    """What happened with jumps and step by step: all times of all requests, and all counts of all replicas."""
    found = []
    for jump in (True, False):
        requests = []
        cluster = Cluster(
            Feed(*workloads),
            config,
            cost,
            jump=jump,
            on_finish=lambda arrival, metrics, requests=requests: requests.append(
                (arrival.client, arrival.number, arrival.turn, arrival.at, metrics)
            ),
            **options,
        )
        result = cluster.run()
        for replica in cluster.replicas:
            replica.scheduler.check_integrity()
            assert replica.allocator.num_free == config.num_blocks and replica.num_unfinished == 0
        caches = [(len(r.manager.cache), r.manager.cache.num_evictable) for r in cluster.replicas if r.manager.cache]
        found.append((requests, result.replicas, result.summary, result.num_steps, caches))
        SEEN["plans" if jump else "steps"] += result.num_plans
        SEEN["preemptions"] += sum(m.num_preemptions for m in result.replicas)
        SEEN["cached"] += sum(m.num_cached_tokens for m in result.replicas)
    return found


@given(configs(), workloads(), st.sampled_from([COST, COST, WHOLE]))
@settings(max_examples=120, deadline=None, derandomize=True, database=None)
def test_jumps_say_the_same_as_step_by_step(config, day, cost):
    with_jumps, by_step = both_ways(day, config, cost)
    assert with_jumps == by_step


EDGES = {
    "a block for the next one, and none for those that run": (
        dict(block_size=4, num_blocks=4, prefix_caching=False), [(0, 4, 8), (0, 4, 8), (0, 4, 8), (0.1, 2, 3)]
    ),
    "a prompt that takes the whole rest of the budget": (
        dict(num_blocks=60, max_num_batched_tokens=20, max_num_seqs=16, chunked_prefill=False),
        [(0, 5, 15), (0, 2, 15), (0, 2, 15), (0.1, 17, 3), (0.2, 18, 2)],
    ),
    "a budget that is used up by those that run": (
        dict(num_blocks=60, max_num_batched_tokens=3, max_num_seqs=3),
        [(0, 2, 9), (0.1, 2, 9), (0.2, 2, 4), (0.3, 7, 5)],
    ),
    "a last block that is full when the request ends": (
        dict(block_size=4, num_blocks=9), [(0, 4, 5), (0.1, 3, 6), (0.2, 4, 1), (0.3, 8, 4)]
    ),
    "the same prompt twice, and one is complete while the other goes on": (
        dict(block_size=2, num_blocks=14, max_num_seqs=3), [(0, 6, 2), (0, 6, 12), (0.5, 6, 5), (2, 9, 4)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_so_they_do_at_the_edges(name, tmp_path):
    more, rows = EDGES[name]
    path = tmp_path / "trace.csv"
    lines = (f"{at / 100},{prompt},{output}" for at, prompt, output in rows)
    path.write_text("\n".join(["arrival,prompt_tokens,output_tokens", *lines]))
    for vocab_size in (4, 2560):  # with 4, all prompts are of the same token
        workload = Workload(Trace(path), vocab_size=vocab_size)
        with_jumps, by_step = both_ways([workload], EngineConfig(**more))
        assert with_jumps == by_step


def traces(folder, **rows):
    """A Workload for each client: (hundredths of a second, prompt tokens, output tokens) of its requests."""
    for client, its in rows.items():
        path = folder / f"{client}.csv"
        lines = [f"{at / 100},{prompt},{output}" for at, prompt, output in its]
        path.write_text("\n".join(["arrival,prompt_tokens,output_tokens", *lines]))
    return {client: Trace(folder / f"{client}.csv") for client in rows}


def test_of_two_that_end_in_one_step_the_more_important_ends_first(tmp_path):
    its = traces(tmp_path, low=[(0, 3, 7), (0, 3, 9)], high=[(0.1, 3, 6), (0.2, 3, 8)])
    day = [Workload(its["low"], client="low", priority=1), Workload(its["high"], client="high", priority=0)]
    with_jumps, by_step = both_ways(day, EngineConfig(num_blocks=40, policy="priority"))
    assert with_jumps == by_step
    assert [client for client, *_ in with_jumps[0]] == ["high", "low", "high", "low"]


def test_a_policy_of_ones_own_is_asked_in_each_step(tmp_path):
    its = traces(tmp_path, a=[(0, 5, 12), (0.5, 5, 9), (1, 5, 8)])
    day = [Workload(its["a"])]
    with_jumps, by_step = both_ways(day, EngineConfig(num_blocks=40, policy=TimeSlice, max_num_seqs=1))
    assert with_jumps == by_step and with_jumps[1][0].num_preemptions == 2


def test_service_is_counted_when_a_client_comes_back(tmp_path):
    """b comes in the middle of a's output, and starts from what a was given until then: so its second one waits."""
    its = traces(tmp_path, a=[(0, 10, 20), (12, 5, 5)], b=[(10, 5, 15), (10, 5, 5)])
    day = [Workload(trace, client=client) for client, trace in its.items()]
    with_jumps, by_step = both_ways(day, EngineConfig(num_blocks=40, policy="fair", max_num_seqs=1))
    assert with_jumps == by_step
    assert [client for client, *_ in with_jumps[0]] == ["a", "b", "a", "b"]


def test_the_blocks_of_another_with_the_same_prompt_are_used_when_the_next_one_is_full(tmp_path, monkeypatch):
    """Two with one prompt at once: the blocks of the first are kept in the cache, and the second continues them. When
    its next block is full they count as used, so they are evicted after those of `other`.
    """
    its = traces(tmp_path, same=[(0, 8, 1), (0, 8, 14), (9, 9, 1)], other=[(2, 4, 1), (7, 27, 1)])
    day = [Workload(its["same"], client="same", vocab_size=4), Workload(its["other"], client="other")]
    config = EngineConfig(block_size=4, num_blocks=12, watermark=0.0)
    with_jumps, by_step = both_ways(day, config)
    assert with_jumps == by_step
    monkeypatch.setattr(
        steady.Steady, "_only_decodes", lambda _, one: len(one.token_ids) - one.num_computed_tokens == 1
    )
    assert both_ways(day, config)[0] != by_step  # so this is a case in which it matters


def test_a_request_that_arrives_when_a_step_ends_is_in_the_next_one(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival,prompt_tokens,output_tokens\n0,3,20\n0.5,3,4\n0.5,3,4\n")
    with_jumps, by_step = both_ways([Workload(Trace(path))], EngineConfig(num_blocks=9), WHOLE)
    assert with_jumps == by_step
    first_tokens = [metrics.token_times[0] for *_, metrics in sorted(with_jumps[0], key=lambda one: one[3])]
    assert first_tokens == [0.125, 0.625, 0.625]


def test_the_property_was_tried_where_it_is_hard():
    # Which days are drawn depends on what else this process has imported: Hypothesis takes numbers from there.
    assert SEEN["plans"] < 0.9 * SEEN["steps"] and SEEN["preemptions"] > 50 and SEEN["cached"] > 1000, SEEN


@given(
    configs(),
    workloads(),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(["random", "least_loaded", "prefix_aware"]),
)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_so_do_clusters(config, day, replicas, prefill, router):
    transfer = Transfer(0.01, 0.001)
    with_jumps, by_step = both_ways(
        day, config, replicas=replicas, prefill_replicas=prefill, router=router, transfer=transfer
    )
    assert with_jumps == by_step


def test_one_request_takes_what_its_steps_cost():
    workload = Workload(AtOnce(), Lengths(Fixed(10), Fixed(4)), num_requests=1)
    requests = both_ways([workload], EngineConfig(num_blocks=9))[0][0]
    times = requests[0][-1].token_times
    prefill = COST.seconds(10, 1, 10, 55, 10)
    assert times[0] == pytest.approx(prefill)
    assert np.diff(times) == pytest.approx([COST.seconds(1, 1, n, 0, n) for n in (11, 12, 13)])
