"""Several runs of one command: the three ways to batch, and sweeps over loads with their knee."""

import json
import os

import pytest

from course_lib.errors import CourseError, ParameterError
from course_lib.workload.bench import BenchOptions, compare_files, run_bench
from course_lib.workload.bench.record import write_whole
from course_lib.workload.bench.series import knee
from course_lib.workload.bench.watch import Thinned

SMALL = dict(num_requests=9, rate=float("inf"), lengths="12:5", seed=5)


@pytest.fixture
def costs(tmp_path):
    path = tmp_path / "costs.json"
    path.write_text('{"per_step": 0.01, "per_token": 0.001}')
    return str(path)


def series(path, **options):
    """(exit code, record) of a series."""
    code = run_bench(BenchOptions(**options), path)
    return code, json.loads(path.read_text())


def test_static_dynamic_and_continuous_serve_the_same_requests(tmp_path, capsys):
    modes = ("static", "dynamic", "continuous")
    code, record = series(tmp_path / "a.json", mode=modes, batch_size=4, batch_timeout=0.0, **SMALL)
    assert code == 0 and record["kind"] == "series" and list(record["runs"]) == list(modes)
    for name, run in record["runs"].items():
        results = run["results"]
        assert (results["completed"], results["failed"]) == (9, 0), name
        assert (results["total_input_tokens"], results["total_output_tokens"]) == (9 * 12, 9 * 5), name
        assert 0 < results["median_ttft_ms"] <= results["p99_ttft_ms"] < results["p99_e2el_ms"], name
        assert results["p99_e2el_ms"] <= results["duration"] * 1e3 + 1e-6 and results["mean_queue_time_ms"] >= 0, name
    static = record["runs"]["static"]
    assert static["target"]["kind"] == "static" and static["target"]["batch_size"] == 4
    assert static["counts"]["num_batches"] == 3 and static["counts"]["num_steps"] == 3 * 5
    assert static["counts"]["num_useful_tokens"] == 9 * (12 + 5) - 9 and static["counts"]["waste"] == 0.0
    said = capsys.readouterr().out
    assert said.count("Median TTFT") == 1 and all(mode in said for mode in modes)
    with pytest.raises(ParameterError, match="series"):
        compare_files(tmp_path / "a.json", tmp_path / "a.json")


def test_users_wait_also_for_a_batch_that_is_not_full(tmp_path):
    """Three users and batches of four: a static batch starts when no further request is known."""
    options = dict(num_requests=6, users=3, lengths="10:4", mode=("static",), batch_size=4)
    assert run_bench(BenchOptions(**options), tmp_path / "a.json") == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["results"]["completed"] == 6 and record["counts"]["num_batches"] == 2


def test_a_sweep_finds_the_knee_and_draws_it(tmp_path, costs, capsys):
    options = BenchOptions(simulate=True, cost=costs, rates="2,8,32,128", num_requests=150, goodput=("ttft:200",))
    assert run_bench(options, tmp_path / "a.json", pictures=True) == 0
    runs = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert list(runs) == ["2/s", "8/s", "32/s", "128/s"]
    kept = [run["results"]["request_goodput"] / run["results"]["request_throughput"] for run in runs.values()]
    assert kept[0] >= 0.9 > kept[-1]
    highest = max(rate for rate, share in zip((2, 8, 32, 128), kept) if share >= 0.9)
    assert f"Knee of simulator: at {highest} requests/s" in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.glob(".*.part"))) == 0
    for name, run in runs.items():  # each run of a series can be repeated alone
        assert run["command"].split("--rate ")[1].split()[0] == f"{float(name.removesuffix('/s'))}"


def point(rate, p99, throughput=1.0, goodput=None, completed=9):
    return rate, {"results": {"completed": completed, "p99_ttft_ms": p99, "request_throughput": throughput,
                              "request_goodput": goodput}}  # fmt: skip


@pytest.mark.parametrize(
    ("sweep", "found"),
    [
        ([point(1, 10), point(2, 30), point(3, 30.1), point(4, 20)], 2),
        ([point(1, 10), point(2, 11)], 2),
        ([point(1, 10, 1.0, 0.89), point(2, 10, 1.0, 1.0)], None),
        ([point(1, 10, 1.0, 0.9), point(2, 99, 2.0, 1.8), point(3, 99, 2.0, 1.7)], 2),
        ([point(1, 10), point(2, None, completed=0)], 1),
    ],
)
def test_the_knee_is_the_last_load_that_is_kept_up_with(sweep, found):
    assert knee(sweep) == found


def test_ctrl_c_in_a_series_keeps_the_runs_before_and_ends(tmp_path, costs, ctrl_c_after_3):
    code, record = series(tmp_path / "a.json", simulate=True, cost=costs, rates="5,50", num_requests=40)
    assert code == 130 and list(record["runs"]) == ["5/s"] and record["runs"]["5/s"]["interrupted"]
    assert record["runs"]["5/s"]["results"]["completed"] >= 3


def test_a_run_that_breaks_keeps_the_runs_before_it(tmp_path, costs, monkeypatch):
    from course_lib.workload.bench import run

    made, make_target = [], run.make_target

    def second_fails(options):
        made.append(options)
        if len(made) == 2:
            raise CourseError("It is gone.")
        return make_target(options)

    monkeypatch.setattr(run, "make_target", second_fails)
    with pytest.raises(CourseError, match="gone"):
        series(tmp_path / "a.json", simulate=True, cost=costs, rates="5,50", num_requests=10)
    assert list(json.loads((tmp_path / "a.json").read_text())["runs"]) == ["5/s"]


def test_results_of_several_clients_are_told_apart(tmp_path, costs, capsys):
    code, record = series(tmp_path / "a.json", simulate=True, cost=costs, num_requests=20, turns="1:3",
                          client=("web:rate=5", "night:users=2,lengths=batch,priority=1"))  # fmt: skip
    its = record["clients"]
    assert (
        code == 0 and set(its) == {"web", "night"} and [one["client"] for one in record["workload"]] == ["web", "night"]
    )
    for name in ("completed", "total_input_tokens", "total_output_tokens"):
        assert its["web"][name] + its["night"][name] == record["results"][name] > 20
    assert "web: " in capsys.readouterr().out


def test_pictures_of_a_run_are_written_in_one_piece(tmp_path, costs, monkeypatch):
    options = BenchOptions(simulate=True, cost=costs, num_requests=20, goodput=("ttft:50",))
    assert run_bench(options, tmp_path / "a.json", pictures=True) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

    def breaks(half):
        half.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(CourseError, match="No space left"):
        write_whole(tmp_path / "b.png", breaks)
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.png", "costs.json"]


def test_points_of_a_long_run_are_thinned_evenly():
    kept = Thinned()
    for k in range(100_000):
        kept.add(k, k * k)
    times = [k for k, _ in kept.points]
    assert 900 <= len(times) <= Thinned.MOST and times == sorted(times)
    gaps = {b - a for a, b in zip(times, times[1:])}
    assert max(gaps) <= 2 * min(gaps) and times[-1] > 99_000
