"""Runs of `course bench` on the engine and in the simulator: right numbers, the same again, and Ctrl-C."""

import json
import os
import re
import signal
import statistics

import pytest

from course_lib import Engine
from course_lib.engine.metrics import RequestMetrics
from course_lib.errors import CourseError, ParameterError
from course_lib.workload.bench import BenchOptions, compare_files, run_bench
from course_lib.workload.bench.drift import FEWEST, drift
from course_lib.workload.bench.record import read_record, write_record
from course_lib.workload.bench.watch import Watch

SMALL = dict(engine=("num_blocks=64", "max_num_seqs=4"), num_requests=12, rate=float("inf"), seed=5)


@pytest.fixture
def costs(tmp_path):
    path = tmp_path / "costs.json"
    path.write_text('{"per_step": 0.01, "per_token": 0.001}')
    return str(path)


def simulated(path, costs, **options):
    """(exit code, record) of a simulated run."""
    code = run_bench(BenchOptions(simulate=True, cost=costs, **options), path)
    return code, json.loads(path.read_text())


def percentile(values, p):
    """Between the two nearest values, in plain Python."""
    values = sorted(values)
    at = (len(values) - 1) * p / 100
    low, high = values[int(at)], values[min(int(at) + 1, len(values) - 1)]
    return low + (high - low) * (at - int(at))


def test_the_engine_s_numbers_are_those_of_an_independent_count(tmp_path, monkeypatch):
    """Every output of every step is looked at by this test, and counted in plain Python."""
    tokens, arrived, prompts, times, ended, step = {}, {}, {}, {}, {}, Engine.step

    def watched(engine):
        for request_id, request in engine.live.sequences.items():
            arrived[request_id], prompts[request_id] = request.metrics.arrival, request.num_prompt_tokens
        outputs = step(engine)
        for output in outputs:
            tokens[output.request_id] = list(output.token_ids)
            times[output.request_id] = list(output.metrics.token_times)
            if output.finished:
                ended[output.request_id] = output.metrics.finished
        return outputs

    def warmed(engine, *arguments, **more):
        found = generate(engine, *arguments, **more)
        for seen in (tokens, arrived, prompts, times, ended):
            seen.clear()
        return found

    generate = Engine.generate
    monkeypatch.setattr(Engine, "step", watched)
    monkeypatch.setattr(Engine, "generate", warmed)
    assert run_bench(BenchOptions(**SMALL, goodput=("e2el:100000",)), tmp_path / "a.json") == 0
    results = json.loads((tmp_path / "a.json").read_text())["results"]
    assert results["completed"] == len(ended) == len(tokens) == 12 and results["failed"] == 0
    assert results["total_output_tokens"] == sum(map(len, tokens.values()))
    assert results["total_input_tokens"] == sum(prompts.values())
    start = max(arrived.values())  # all arrived at the start
    duration = max(ended.values()) - start
    assert results["duration"] == pytest.approx(duration)
    assert results["output_throughput"] == pytest.approx(sum(map(len, tokens.values())) / duration)
    assert results["request_throughput"] == results["request_goodput"] == pytest.approx(12 / duration)
    ttft = [times[name][0] - arrived[name] for name in ended]
    tpot = [(times[name][-1] - times[name][0]) / (len(tokens[name]) - 1) for name in ended if len(tokens[name]) > 1]
    itl = [b - a for name in ended for a, b in zip(times[name], times[name][1:])]
    e2el = [ended[name] - arrived[name] for name in ended]
    for name, values in (("ttft", ttft), ("tpot", tpot), ("itl", itl), ("e2el", e2el)):
        assert results[f"mean_{name}_ms"] == pytest.approx(statistics.fmean(values) * 1e3)
        for label, p in (("median", 50), ("p90", 90), ("p99", 99)):
            assert results[f"{label}_{name}_ms"] == pytest.approx(percentile(values, p) * 1e3)


def test_a_simulated_run_repeats_byte_by_byte_but_for_the_date(tmp_path, costs):
    options = dict(num_requests=40, users=3, think_time=0.1, prefix_tokens=16, goodput=("ttft:100", "tpot:30"))
    texts = []
    for name in ("a.json", "b.json"):
        assert simulated(tmp_path / name, costs, **options)[0] == 0
        texts.append(re.sub(r'"date": "[^"]*"', "", (tmp_path / name).read_text()))
    assert texts[0] == texts[1]
    other = simulated(tmp_path / "c.json", costs, **options | {"seed": 1})[1]
    assert other["results"] != json.loads((tmp_path / "a.json").read_text())["results"]


def test_a_record_serves_as_the_cost_of_the_next_run(tmp_path, costs):
    """So a simulated run whose costs were measured can be repeated exactly."""
    first = simulated(tmp_path / "a.json", costs, num_requests=10)[1]
    again = simulated(tmp_path / "b.json", str(tmp_path / "a.json"), num_requests=10)[1]
    assert first["results"] == again["results"] and first["target"] == again["target"]


def test_many_simulated_requests_are_only_counted(tmp_path, costs, monkeypatch):
    monkeypatch.setattr("course_lib.workload.bench.run.MOST_KEPT", 20)
    few, many = (simulated(tmp_path / f"{n}.json", costs, num_requests=n)[1] for n in (20, 21))
    assert few["intervals"] and not many["intervals"] and many["results"]["completed"] == 21


def test_ctrl_c_ends_with_what_there_is(tmp_path, costs, ctrl_c_after_3, capsys):
    before = signal.getsignal(signal.SIGINT)
    runs = [BenchOptions(simulate=True, cost=costs, users=2, num_requests=500), BenchOptions(**SMALL)]
    for number, options in enumerate(runs):
        path = tmp_path / f"{number}.json"
        assert run_bench(options, path) == 130
        record = json.loads(path.read_text())
        assert record["interrupted"] and 3 <= record["results"]["completed"] <= 6 and record["results"]["failed"] == 0
        assert record["unfinished"] >= 1 and record["results"]["duration"] > 0
        said = capsys.readouterr()
        assert f"Ended by Ctrl-C: {record['unfinished']} requests" in said.out and "saved" in said.err
        assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_anything_has_ended_saves_that_too(tmp_path, costs, monkeypatch):
    tick = Watch.tick

    def first_presses(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)
        tick(self, *arguments)

    monkeypatch.setattr(Watch, "tick", first_presses)
    code, record = simulated(tmp_path / "a.json", costs, num_requests=5)
    assert code == 130 and record["results"]["completed"] == 0 and record["intervals"] == {}


def test_a_picture_is_saved_beside_the_record(tmp_path, costs):
    assert run_bench(BenchOptions(simulate=True, cost=costs), tmp_path / "a.json", pictures=True) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ParameterError, match="exists already"):
        run_bench(BenchOptions(simulate=True, cost=costs), tmp_path / "a.json")


def test_a_record_that_cannot_be_written_leaves_nothing_half(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(CourseError, match="No space left"):
        write_record(tmp_path / "a.json", {"x": 1})
    assert list(tmp_path.iterdir()) == []


def request(arrival, ttft):
    """A complete request with two tokens, 10 ms apart."""
    return RequestMetrics(arrival, 5, token_times=[arrival + ttft, arrival + ttft + 0.01],
                          finished=arrival + ttft + 0.01, finish_reason="length")  # fmt: skip


def test_drift_is_seen_and_a_steady_run_has_none():
    steady = [request(k / 10, 0.1 + 0.01 * (k % 7)) for k in range(3 * FEWEST + 5)]
    grows = [request(k / 10, 0.1 + 0.01 * (k % 7) + 0.001 * k) for k in range(3 * FEWEST + 5)]
    assert not any(its["apart"] for its in drift(steady).values())
    found = drift(grows)
    assert found["mean_ttft_ms"]["apart"] and not found["mean_tpot_ms"]["apart"]
    assert found["mean_ttft_ms"]["first"] < found["mean_ttft_ms"]["first_interval"][1] < found["mean_ttft_ms"]["last"]


def test_drift_is_unknown_of_few_requests_or_all_at_once():
    assert drift([]) is None and drift([request(k, 0.1) for k in range(3 * FEWEST - 9)]) is None
    assert drift([request(0.0, 0.1 * k) for k in range(3 * FEWEST)]) is None


def test_steady_simulated_runs_show_drift_seldom(tmp_path, costs):
    """What the docstring of drift.py says of windows: here in at most one of ten runs."""
    seen = 0
    for seed in range(10):
        found = simulated(tmp_path / f"{seed}.json", costs, num_requests=400, seed=seed)[1]["drift"]
        seen += any(its["apart"] for name, its in found.items() if name != "output_throughput")
    assert seen <= 1


def test_comparing_says_what_differs(tmp_path, costs):
    simulated(tmp_path / "a.json", costs, num_requests=60)
    simulated(tmp_path / "b.json", costs, num_requests=60, rate=30.0)
    a, b = (read_record(tmp_path / f"{name}.json")["results"] for name in "ab")
    text = compare_files(tmp_path / "a.json", tmp_path / "b.json")
    assert "options: rate: not given, 30.0" in text and "num_requests" not in text
    line = next(line for line in text.splitlines() if line.startswith("Mean TTFT"))
    assert f"{b['mean_ttft_ms'] / a['mean_ttft_ms'] - 1:+.1%}" in line and "apart" in line
    assert f"{a['mean_ttft_ms']:,.2f}" in line and f"{b['mean_ttft_ms']:,.2f}" in line
    same = compare_files(tmp_path / "a.json", tmp_path / "a.json")
    assert "The settings are the same." in same and "apart:" not in same and "+0.0%" in same


def test_different_machines_are_compared_only_when_told(tmp_path, costs):
    _, record = simulated(tmp_path / "a.json", costs, num_requests=20)
    there = record | {"machine": record["machine"] | {"processor": "another one"}}
    (tmp_path / "b.json").write_text(json.dumps(there))
    assert "DIFFERENT" not in compare_files(tmp_path / "a.json", tmp_path / "b.json")  # both simulated: it is the same
    for name, one in (("a", record), ("b", there)):
        (tmp_path / f"{name}.json").write_text(json.dumps(one | {"target": one["target"] | {"kind": "engine"}}))
    with pytest.raises(ParameterError, match="different machines.*another one.*--anyway"):
        compare_files(tmp_path / "a.json", tmp_path / "b.json")
    assert "DIFFERENT MACHINES" in compare_files(tmp_path / "a.json", tmp_path / "b.json", anyway=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "results": 3}'])
def test_a_file_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ParameterError, match="a.json"):
        compare_files(tmp_path / "a.json", tmp_path / "a.json")
