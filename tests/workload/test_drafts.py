"""Drafts in the simulator: what they cost and bring, by hand, by the formula, and in whole simulations."""

import pytest

from course_lib.engine import EngineConfig
from course_lib.engine.speculation import NGram
from course_lib.engine.step import ScheduledSequence, Step
from course_lib.errors import ParameterError
from course_lib.workload import AtOnce, Fixed, Lengths, SimulatedDrafts, Workload, decode_rate, losing_batch
from course_lib.workload.cost import CostModel, work_of
from course_lib.workload.simulate import simulate

LARGE = CostModel(per_step=4e-3, per_token=1e-4, per_kv_token=3e-9)
SMALL = CostModel(per_step=5e-4, per_token=2e-6)


def expected_tokens(a, k):
    return sum(a**i for i in range(k + 1))


def test_what_a_step_with_drafts_costs():
    step = Step(100)
    step.scheduled = [
        ScheduledSequence("a", 10, 4, [1, -1, -1, -1], 1, num_drafts=3),
        ScheduledSequence("b", 20, 2, [1, -1], 1, num_drafts=1),
        ScheduledSequence("c", 0, 5, [1] * 5, 1),
    ]
    cost = CostModel(per_step=1000.0, per_token=1.0, per_kv_token=0.01, per_pair=0.0001)
    # The draft model: a, b and c as they are given (1 + 1 + 5 tokens), then two more runs over a alone.
    first = 1000 + 7 + 0.01 * (11 + 21 + 5) + 0.0001 * 15
    more = (1000 + 1 + 0.01 * 12) + (1000 + 1 + 0.01 * 13)
    drafts = SimulatedDrafts(num_speculative_tokens=4, cost=cost)
    assert drafts.seconds(step) == pytest.approx(first + more, rel=1e-12)
    assert SimulatedDrafts().seconds(step) == 0
    assert work_of(step) == (11, 3, 14 + 22 + 5, 4 * 10 + 10 + 2 * 20 + 3 + 15, 22)


@pytest.mark.parametrize("acceptance", [0.0, 0.6, 1.0])
def test_the_rate_is_that_of_the_formula(acceptance):
    """Steps of equal cost: tokens a second are expected tokens over seconds."""
    cost, draft = CostModel(per_step=0.01), CostModel(per_step=0.001)
    drafts = SimulatedDrafts(num_speculative_tokens=3, acceptance=acceptance, cost=draft)
    assert decode_rate(cost, 8) == pytest.approx(8 / 0.01)
    found = decode_rate(cost, 8, speculation=drafts, num_tokens=200)
    assert found == pytest.approx(8 * expected_tokens(acceptance, 3) / 0.013, rel=0.03)


@pytest.mark.parametrize("acceptance, k", [(0.8, 4), (0.6, 2)])
def test_the_losing_batch_is_where_the_formula_has_it(acceptance, k):
    def speedup(n, context=1000 + 32):
        step = k * SMALL.seconds(n, n, 0, 0) + LARGE.seconds(n * (k + 1), n, n * context, 0)
        return expected_tokens(acceptance, k) * LARGE.seconds(n, n, n * context, 0) / step

    by_formula = next(n for n in range(1, 512) if speedup(n) < 1)
    found = losing_batch(LARGE, SimulatedDrafts(num_speculative_tokens=k, acceptance=acceptance, cost=SMALL))
    assert 0.85 * by_formula < found < 1.15 * by_formula


def test_drafts_that_are_never_right_lose_alone_and_free_ones_that_are_never():
    assert losing_batch(LARGE, SimulatedDrafts(acceptance=0.0, cost=SMALL)) == 1
    assert losing_batch(CostModel(per_step=1.0), SimulatedDrafts(acceptance=1.0), most=16) is None


def test_a_simulation_with_drafts_ends_in_the_same_tokens_and_fewer_steps():
    workload = Workload(AtOnce(), Lengths(Fixed(30), Fixed(40)), num_requests=12)
    config = EngineConfig(num_blocks=40, max_num_seqs=8, max_num_batched_tokens=64)  # short of memory: preemptions
    plain = simulate(workload, config, LARGE)
    drafts = SimulatedDrafts(num_speculative_tokens=3, acceptance=0.7, cost=SMALL)
    found = simulate(workload, config, LARGE, speculation=drafts)
    assert found.num_requests == plain.num_requests == 12 and found.num_steps < 0.7 * plain.num_steps
    (metrics,) = found.replicas
    assert metrics.num_generated_tokens == 12 * 40
    assert 0.4 < metrics.num_accepted_tokens / metrics.num_draft_tokens < 0.7
    again = simulate(workload, config, LARGE, speculation=drafts)
    assert again.summary.duration == found.summary.duration


def test_what_a_simulation_refuses():
    with pytest.raises(ParameterError, match="SimulatedDrafts"):
        decode = Workload(AtOnce(), Lengths(Fixed(3), Fixed(4)), num_requests=1)
        simulate(decode, EngineConfig(num_blocks=8, speculation=NGram()), LARGE)
    with pytest.raises(ParameterError, match="acceptance is 1.5, but it is a probability"):
        SimulatedDrafts(acceptance=1.5)
    with pytest.raises(ParameterError, match="cost is 3"):
        SimulatedDrafts(cost=3)
    with pytest.raises(ParameterError, match="Give SimulatedDrafts"):
        losing_batch(LARGE, NGram())
    with pytest.raises(ParameterError, match="most is 0"):
        losing_batch(LARGE, SimulatedDrafts(), most=0)
