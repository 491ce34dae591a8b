"""The simulator beside a run on a GPU that is recorded in benchmarks/results: loads that did not calibrate it."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORDED = json.loads((BENCHMARKS / "results" / "simulate_h200.json").read_text())
SHARE, OF_ITL = 0.15, "p99_itl_ms"
FURTHER_OFF = {("chat, Poisson 8", OF_ITL): 0.25}
"""One token in a hundred comes from a step with a prompt in it: this percentile stands where gaps become twice as long,
on a GPU that has few sequences and waits for its CPU now and then."""


@pytest.fixture(scope="module")
def predicted():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import simulate_gpu

        yield simulate_gpu.loads(), *simulate_gpu.predict(RECORDED)


@pytest.mark.parametrize("load", RECORDED["loads"])
def test_throughput_and_latencies_of_a_recorded_load_are_predicted_within_15_percent(predicted, load):
    """P99 is left out where it is the largest of fewer than 100 requests."""
    loads, _, found = predicted
    off = found[load]["off"]
    assert len(off) == 13 and all(value > 0 for value in found[load]["real"].values())
    if loads[load].num_requests < 100:
        off = {name: share for name, share in off.items() if not name.startswith("p99") or name == OF_ITL}
    assert not {
        name: f"{share:+.0%}" for name, share in off.items() if abs(share) > FURTHER_OFF.get((load, name), SHARE)
    }
