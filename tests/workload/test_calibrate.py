"""The cost model and its fit: exact on known costs, never negative, and a refusal where steps say too little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.engine.step import ScheduledSequence, Step
from course_lib.engine.summary import summarise
from course_lib.errors import ParameterError
from course_lib.models import ModelConfig, load_model
from course_lib.recorded import recorded
from course_lib.workload import AtOnce, CostModel, Feed, Fixed, Lengths, Poisson, Uniform, Workload, roofline
from course_lib.workload.calibrate import (
    StepTimer,
    calibrate,
    calibration_workloads,
    fit,
    nonnegative_least_squares,
    prediction_error,
)
from course_lib.workload.cost import StepWork, work_of
from course_lib.workload.drive import ProcessorClock, WallClock, drive
from course_lib.workload.simulate import Cluster, simulate

TRUE = CostModel(
    per_step=4e-3, per_batch=1e-3, per_narrow=2e-4, per_sequence=3e-5, per_token=8e-5, per_kv_token=1e-6, per_pair=1e-7
)
CONFIG = EngineConfig(num_blocks=500, max_num_seqs=16, max_num_batched_tokens=256)


def work_of_steps(workloads):
    """The StepWork of all steps that the simulator takes."""
    found = []
    for workload in workloads:
        cluster = Cluster(Feed(workload), CONFIG, TRUE, jump=False)
        schedule = cluster.replicas[0].scheduler.schedule

        def noted(schedule=schedule):
            step = schedule()
            found.append(work_of(step))
            return step

        cluster.replicas[0].scheduler.schedule = noted
        cluster.run()
    return found


WORK = work_of_steps(calibration_workloads(512, 16))


def costed(cost, noise=0.0):
    """The steps of the calibration workloads, and what they cost."""
    factors = 1 + noise * np.random.default_rng(0).standard_normal(len(WORK))
    return [(work, cost.seconds(*work) * factor) for work, factor in zip(WORK, factors)]


def test_the_work_of_a_step_is_counted_as_described():
    step = Step(100)
    step.scheduled = [ScheduledSequence("a", 10, 1, []), ScheduledSequence("b", 4, 3, [])]
    pairs = 5 + 6 + 7  # of the three queries of b, at positions 4, 5 and 6
    assert work_of(step) == StepWork(num_tokens=4, num_sequences=2, kv_tokens=11 + 7, num_pairs=pairs, longest=11)


def test_the_calibration_run_finds_costs_that_are_known_exactly():
    steps = costed(TRUE)
    assert vars(fit(steps)) == pytest.approx(vars(TRUE), rel=1e-6)
    assert prediction_error(fit(steps), steps) < 1e-9


def test_a_cost_of_the_longest_part_is_found_where_the_width_is_given():
    true = CostModel(**{**vars(TRUE), "per_longest": 3e-6, "per_prompt": 1e-3, "width": 12})
    assert true.seconds(5, 5, 900, 0, 600) == pytest.approx(TRUE.seconds(5, 5, 900, 0) + 3e-6 * 600 / 2)
    assert true.seconds(20, 20, 900, 0, 600) == pytest.approx(TRUE.seconds(20, 20, 900, 0) + 3e-6 * 600)
    assert true.seconds(9, 2, 9, 9) == pytest.approx(TRUE.seconds(9, 2, 9, 9) + 1e-3)
    assert vars(fit(costed(true), known={"width": 12})) == pytest.approx(vars(true), rel=1e-6)


def test_products_behind_the_reading_of_weights_take_no_time():
    true = CostModel(**{**vars(TRUE), "ridge": 100})
    assert true.seconds(100, 5, 900, 0) == true.seconds(20, 5, 900, 0)
    assert true.seconds(130, 5, 900, 0) == pytest.approx(true.seconds(100, 5, 900, 0) + 30 * TRUE.per_token)
    assert vars(fit(costed(true), known={"ridge": 100})) == pytest.approx(vars(true), rel=1e-6)


def test_with_a_ridge_half_of_the_recorded_steps_of_speculation_predict_the_other_half():
    rows, known = recorded("15").tables[1][2], dict(per_batch=0.0, per_narrow=0.0, per_sequence=0.0, per_pair=0.0)
    halves = [
        [
            (StepWork(n * per, n, n * 1150, 0), row[at] / 1e3)
            for n, *row in rows[start::2]
            for per, at in ((1, 0), (5, 3))
        ]
        for start in (0, 1)
    ]
    for here, there in (halves, halves[::-1]):
        errors = [prediction_error(fit(here, known=known | {"ridge": ridge}), there) for ridge in (112, 0)]
        assert errors[0] < 0.045 and errors[0] < errors[1]


def test_noise_moves_the_prediction_little():
    found = fit(costed(TRUE, noise=0.1))
    fresh = costed(TRUE)
    assert prediction_error(found, fresh) < 0.03
    workload = Workload(Poisson(6.0), Lengths(Uniform(5, 300), Uniform(5, 80)), num_requests=100, seed=9)
    a, b = (simulate(workload, CONFIG, cost).summary.as_dict() for cost in (TRUE, found))
    for name in ("output_throughput", "median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_itl_ms"):
        assert b[name] == pytest.approx(a[name], rel=0.15), name


def test_a_cost_of_nothing_is_found_and_none_is_negative():
    true = CostModel(per_step=1e-3, per_token=1e-4)
    assert vars(fit(costed(true))) == pytest.approx(vars(true), abs=1e-10)
    falling = [(StepWork(n, n % 3 + 1, n * n, n // 4), 1 / n) for n in range(1, 40)]  # more work takes less time
    assert min(vars(fit(falling)).values()) == 0.0


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_no_other_point_without_negative_numbers_is_nearer(seed, num_columns):
    draw = np.random.default_rng(seed)
    matrix, target = draw.normal(size=(8, num_columns)), draw.normal(size=8)
    x = nonnegative_least_squares(matrix, target)
    gradient = matrix.T @ (matrix @ x - target)  # the conditions of Karush, Kuhn and Tucker
    assert (x >= 0).all() and (gradient > -1e-9).all() and abs(gradient @ x) < 1e-9


def test_steps_that_say_too_little_are_refused_with_the_names():
    decode = [(StepWork(n, n, 100 * n, 0), 1e-3 * n) for n in range(1, 30)]
    with pytest.raises(ParameterError, match="per_pair"):
        fit(decode)
    with pytest.raises(ParameterError, match="per_sequence, per_token, per_kv_token apart"):
        fit(decode, known={"per_pair": 0.0})
    found = fit(decode, known={"per_pair": 0.0, "per_token": 1e-4, "per_kv_token": 1e-6})
    assert found.per_sequence == pytest.approx(8e-4) and found.per_step == pytest.approx(0, abs=1e-9)
    with pytest.raises(ParameterError, match="needs at least 8 steps"):
        fit(decode[:3])
    with pytest.raises(ParameterError, match="per_kv"):
        fit(decode, known={"per_kv": 1.0})


def test_a_roofline_is_what_the_datasheet_says():
    shape = ModelConfig(
        vocab_size=1000, hidden_size=64, intermediate_size=128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=16
    )
    weights = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 1000 * 64
    cost = roofline(shape, bytes_per_s=1e9, flops_per_s=1e12, launch_s=1e-4)
    assert cost.per_step == pytest.approx(1e-4 + 2 * weights / 1e9) and cost.per_token == pytest.approx(
        2 * weights / 1e12
    )
    assert cost.per_kv_token == pytest.approx(2 * 2 * 2 * 16 * 2 / 1e9)
    assert cost.per_pair == pytest.approx(2 * 4 * 16 * 4 / 1e12)
    for bad in (dict(bytes_per_s=0, flops_per_s=1), dict(bytes_per_s=1, flops_per_s=-1)):
        with pytest.raises(ParameterError):
            roofline(shape, **bad)
    with pytest.raises(ParameterError, match="per_token"):
        CostModel(per_token=-1.0)
    with pytest.raises(ParameterError, match="All costs are 0"):
        CostModel()


def test_the_real_engine_takes_the_very_steps_of_the_simulator():
    """All requests arrive at once, so the time that steps take changes nothing."""
    model, _ = load_model("tale")
    clock, outputs = ProcessorClock(), {}
    engine = Engine(model, CONFIG, trace=False, clock=clock)
    timer = StepTimer(engine, clock)
    workload = Workload(AtOnce(), Lengths(Uniform(20, 90), Uniform(2, 12)), num_requests=24, seed=2)
    requests = drive(
        engine,
        Feed(workload),
        clock,
        step=timer.step,
        on_finish=lambda arrival, output, _: outputs.update({arrival.number: (arrival, output.token_ids)}),
    )
    assert [work for work, _ in timer.steps] == work_of_steps([workload])
    assert all(seconds > 0 for _, seconds in timer.steps)
    assert all(len(ids) == arrival.max_tokens for arrival, ids in outputs.values()) and len(outputs) == 24
    s, simulated = summarise(requests), simulate(workload, CONFIG, TRUE)
    for name in ("completed", "total_input_tokens", "total_output_tokens", "num_cached_tokens", "num_preemptions"):
        assert getattr(s, name) == getattr(simulated.summary, name), name
    [counted] = simulated.replicas
    for name, value in vars(engine.metrics).items():
        assert getattr(counted, name) == value, name
    assert all(r.arrival <= r.first_scheduled <= r.token_times[0] <= r.finished for r in requests)


def test_calibrate_fits_an_engine_and_leaves_it_as_it_was():
    model, _ = load_model("tale")
    clock = WallClock()
    engine = Engine(model, EngineConfig(num_blocks=40, max_num_seqs=4), trace=False, clock=clock)
    before = engine.scheduler.schedule
    cost, steps = calibrate(engine, clock)
    assert max(vars(cost).values()) > 0 and len(steps) > 50 and engine.scheduler.schedule == before
    assert not engine.has_unfinished()
    assert len({work.num_sequences for work, _ in steps}) == 4 and any(work.num_pairs > 1000 for work, _ in steps)


def test_waits_are_skipped_on_the_processors_clock():
    model, _ = load_model("tale")
    clock = ProcessorClock()
    engine = Engine(model, CONFIG, trace=False, clock=clock)
    engine.generate([[5] * 8], SamplingParams(max_tokens=2, ignore_eos=True))
    workload = Workload(Poisson(0.001), Lengths(Fixed(5), Fixed(2)), num_requests=3)
    s = summarise(drive(engine, Feed(workload), clock))
    assert s.completed == 3 and s.duration > 100  # seconds between arrivals, which did not pass
