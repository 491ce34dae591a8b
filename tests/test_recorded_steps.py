"""The recorded decode steps as rows of the strip: sums as they are, and in order where a run has the sequences."""

import json

import pytest

from course_lib.recorded import FOLDER
from course_lib.recorded.steps import beginning, steps_now, steps_of_one_sequence
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
    for row, step in zip(steps_now(), [r for r in results["alone"]["rows"] if r.get("model") == "qwen3-0.6b"]):
        assert sum(kernel[3] for kernel in row["kernels"]) == pytest.approx(1e3 * step["graph_ms"], rel=0.02)
        assert row["total"] == step["kernels"]
    assert not any(row.get("ordered", True) for row in (eager, graph, now))


def test_the_beginning_is_in_order():
    kernels = beginning(205)["kernels"]
    assert [name for name, *_ in kernels].count("few_rows_kernel") == 4 * 28 + 1  # four a layer, and the head
    ends = [start + us for _, _, start, us in kernels]
    assert all(start >= end - 0.02 for (_, _, start, _), end in zip(kernels[1:], ends))
    layers = [name for name, *_ in beginning(33)["kernels"]][5:]
    assert (
        layers
        == ["few_rows_kernel", "rotary_store_kernel", "decode_kernel", "merge_kernel", *["few_rows_kernel"] * 3] * 4
    )


def test_every_row_can_be_drawn():
    assert step_strip(steps_of_one_sequence()).last > 10
    assert [row["name"] for row in steps_now()] == [
        "1 sequence", "8 sequences", "64 sequences", "256 sequences",
    ]  # fmt: skip
    assert step_strip(steps_now()).data["scale"] > 7_000_000  # ns
