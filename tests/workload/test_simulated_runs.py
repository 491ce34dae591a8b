"""What a simulation says: what requests cost, overload, replicas, routers, prefill apart; and what it refuses."""

import numpy as np
import pytest

from course_lib.engine import EngineConfig, Targets
from course_lib.errors import ParameterError
from course_lib.workload import (
    AtOnce,
    ClosedLoop,
    Feed,
    Fixed,
    Lengths,
    LogNormal,
    Poisson,
    SharedPrefixes,
    Trace,
    Uniform,
    Workload,
)
from course_lib.workload.cost import CostModel
from course_lib.workload.simulate import Cluster, Transfer, simulate

COST = CostModel(per_step=1e-2, per_batch=2e-3, per_sequence=1e-4, per_token=1e-3, per_kv_token=1e-5, per_pair=1e-6)
WHOLE = CostModel(per_step=0.125)
SHORT = Lengths(Uniform(1, 30), Uniform(1, 40))


def test_everything_arrives_and_leaves_and_is_counted():
    workload = Workload(Poisson(5.0), SHORT, num_requests=300)
    result = simulate(workload, EngineConfig(num_blocks=200), COST, targets=Targets(ttft=0.2))
    s, [m] = result.summary, result.replicas
    arrivals = list(Feed(workload).due(1e9))
    assert (s.completed, s.failed, m.num_requests, m.num_finished) == (300, 0, 300, 300)
    assert s.total_input_tokens == sum(len(a.token_ids) for a in arrivals) == m.num_prompt_tokens
    assert s.total_output_tokens == sum(a.max_tokens for a in arrivals) == m.num_generated_tokens
    assert result.num_steps == m.num_steps > result.num_plans and 0 < s.num_good <= 300
    counted = simulate(workload, EngineConfig(num_blocks=200), COST, exact=False).summary
    assert counted.ttft.percentiles[99] == pytest.approx(s.ttft.percentiles[99], rel=0.01)
    assert counted.output_throughput == s.output_throughput


def test_an_open_loop_shows_overload_and_a_closed_loop_hides_it():
    config = EngineConfig(num_blocks=500, max_num_seqs=4)
    open_loop = simulate(Workload(Poisson(50.0), SHORT, num_requests=400), config, COST).summary
    closed = simulate(Workload(ClosedLoop(8), SHORT, num_requests=400), config, COST).summary
    assert open_loop.ttft.percentiles[99] > 10 * closed.ttft.percentiles[99]
    assert open_loop.output_throughput == pytest.approx(closed.output_throughput, rel=0.1)


@pytest.mark.parametrize("overlaps, first_token", [(False, 0.5), (True, 0.625)])
def test_where_steps_overlap_an_arrival_waits_for_the_step_that_is_scheduled_already(tmp_path, overlaps, first_token):
    """The second request comes in the third step, which ends at 0.375. Scheduled then, it is computed in the fourth;
    scheduled when the fourth begins, in the fifth. The third request comes when nothing runs, and waits for nothing.
    """
    (tmp_path / "trace.csv").write_text("arrival,prompt_tokens,output_tokens\n0,4,9\n0.3,4,1\n5,4,1\n")
    config, ends = EngineConfig(num_blocks=99, async_scheduling=overlaps), []
    workload = Workload(Trace(tmp_path / "trace.csv"))
    for jump in (True, False):
        feed = Feed(workload)
        Cluster(feed, config, WHOLE, jump=jump, on_finish=lambda _, its: ends.append(its.token_times[0])).run()
    assert ends == 2 * [first_token, 0.125, 5.125]


def test_two_replicas_serve_twice_as_much():
    workload = Workload(AtOnce(), SHORT, num_requests=400)
    config = EngineConfig(num_blocks=500, max_num_seqs=8)
    one, two = (simulate(workload, config, COST, replicas=n).summary.output_throughput for n in (1, 2))
    assert two / one == pytest.approx(2, rel=0.1)


def test_routers_differ_in_balance_and_in_what_they_find_in_the_cache():
    prefixes = SharedPrefixes(64, count=40)
    workload = Workload(Poisson(8.0), SHORT, num_requests=600, prefixes=prefixes)
    config = EngineConfig(num_blocks=120, max_num_seqs=16)  # too little for all prefixes on one replica
    found = {
        r: simulate(workload, config, COST, replicas=4, router=r) for r in ("random", "least_loaded", "prefix_aware")
    }
    hits = {name: result.summary.prefix_hit_rate for name, result in found.items()}
    assert hits["prefix_aware"] > hits["least_loaded"] + 0.1 and hits["prefix_aware"] > hits["random"] + 0.1
    waits = {name: result.summary.queue_time.mean for name, result in found.items()}
    assert waits["least_loaded"] <= waits["random"]


def test_a_prefill_replica_keeps_long_prompts_away_from_decoding():
    lengths = Lengths(LogNormal(60, 1.0, high=400), Uniform(20, 40))
    workload = Workload(Poisson(6.0), lengths, num_requests=200)
    config = EngineConfig(num_blocks=900)
    together = simulate(workload, config, COST, replicas=2).summary
    apart = simulate(workload, config, COST, prefill_replicas=1, transfer=Transfer(seconds_per_token=1e-5))
    assert apart.summary.itl.percentiles[99] < together.itl.percentiles[99] / 2
    assert apart.summary.total_output_tokens == together.total_output_tokens
    prefill, decode = apart.replicas
    assert prefill.num_generated_tokens == 200 and decode.num_scheduled_tokens == decode.num_generated_tokens


def test_a_transfer_delays_the_second_token_only():
    workload = Workload(AtOnce(), Lengths(Fixed(10), Fixed(3)), num_requests=1)
    config, seen = EngineConfig(num_blocks=9), []
    for transfer in (Transfer(), Transfer(0.5, 0.01)):
        Cluster(
            Feed(workload), config, COST, prefill_replicas=1, transfer=transfer, on_finish=lambda _, m: seen.append(m)
        ).run()
    near, far = seen
    assert np.subtract(far.token_times, near.token_times) == pytest.approx([0.0, 0.6, 0.6])
    assert far.finished == far.token_times[-1] and far.is_complete


def test_a_request_that_can_never_be_served_is_refused():
    workload = Workload(AtOnce(), Lengths(Fixed(99), Fixed(9)), num_requests=1)
    with pytest.raises(ParameterError, match="could never be served"):
        simulate(workload, EngineConfig(num_blocks=3), COST)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(config=EngineConfig()), "num_blocks"),
        (dict(replicas=0), "replicas"),
        (dict(prefill_replicas=-1), "prefill_replicas"),
        (dict(router="nearest"), "least_loaded"),
        (dict(workloads=[]), "no workload"),
    ],
)
def test_impossible_simulations_are_refused(options, message):
    workload = Workload(AtOnce(), SHORT, num_requests=1)
    with pytest.raises(ParameterError, match=message):
        simulate(**{**dict(workloads=workload, config=EngineConfig(num_blocks=9), cost=COST), **options})
