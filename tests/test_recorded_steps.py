"""The recorded decode steps as rows of the strip: sums as they are, and in order where a run has the sequences."""

import json

import pytest

from course_lib import recorded as module
from course_lib.recorded import FOLDER
from course_lib.recorded.steps import steps_now, steps_of_one_sequence
from course_lib.viz import step_strip


def test_the_rows_are_the_recorded_figures():
    eager, graph, now = steps_of_one_sequence()
    assert (eager["took"], eager["limit"], eager["total"]) == (30_000, 300, 776)
    assert sum(kernel[3] for kernel in graph["kernels"]) == pytest.approx(2530)
    assert sum(kernel[3] for kernel in eager["kernels"]) == pytest.approx(eager["took"])
    results = json.loads((FOLDER.parents[1] / "benchmarks" / "results" / "engine_h200.json").read_text())
    (step,) = [
        row
        for row in results["alone"]["rows"]
        if row.get("bench") == "decode step" and row["batch"] == 1 and row["model"] == "qwen3-0.6b"
    ]
    assert now["took"] == pytest.approx(1e3 * step["ms"]) and now["limit"] == pytest.approx(1e3 * step["limit_ms"])
    assert now["kernels"][0][:2] == ("few_rows_kernel", "weights")
    assert [len(kernel) for kernel in now["kernels"]] == [6] * (len(step["top"]) + 1)  # the last: what is not listed
    assert now["total"] == step["kernels"] and sum(kernel[3] for kernel in now["kernels"]) == pytest.approx(
        1e3 * step["busy_ms"]
    )
    assert not any(row.get("ordered", True) for row in (eager, graph, now))


def test_every_row_can_be_drawn():
    assert step_strip(steps_of_one_sequence()).last > 10
    assert [row["name"] for row in steps_now()] == [
        "1 sequence", "8 sequences", "64 sequences", "256 sequences",
    ]  # fmt: skip
    assert step_strip(steps_now()).data["scale"] > 7_000_000  # ns


def test_a_run_with_sequences_is_drawn_in_order(tmp_path, monkeypatch):
    kept = json.loads((FOLDER / "13.json").read_text(encoding="utf-8"))
    columns = ["kernel", "for", "start, µs", "µs"]
    for label in ("eager", "graph"):
        kept["tables"].append(
            {
                "title": label,
                "columns": columns,
                "rows": [[f"{label} kernel", "weights", 0.0, 2.5], ["b", "small", 4.0, 1.0]],
            }
        )
    (tmp_path / "13.json").write_text(json.dumps(kept), encoding="utf-8")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    eager, graph, now = steps_of_one_sequence()
    assert eager["kernels"][0] == ("eager kernel", "weights", 0.0, 2.5) and graph["total"] == 776
    assert now["kernels"][0][0] == "graph kernel" and now["limit"] == pytest.approx(306.5)
    assert step_strip([eager, now]).words(2).endswith("Before it nothing ran for 1.5 µs.")
