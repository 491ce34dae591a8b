"""The Chrome trace of an engine: every step of each request on its row, nothing overlaps, and the counters add up."""

import json
import sys
from pathlib import Path

import pytest

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import ParameterError
from course_lib.kvcache import BlockAllocator
from course_lib.trace.chrome import chrome_trace, save_chrome_trace
from course_lib.trace.records import Trace

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from summing import Summing  # noqa: E402


def busy_day(preemption):
    e = Engine(
        Summing(),
        EngineConfig(
            block_size=4, num_blocks=7, max_num_seqs=4, max_num_batched_tokens=9, preemption=preemption, watermark=0.0
        ),
    )
    for i in range(6):
        e.add_request([i] * (3 + i), SamplingParams(max_tokens=9, n=1 + (i == 2)))
    for _ in range(8):
        e.step()
    e.abort("5")
    while e.has_unfinished():
        e.step()
    return e


@pytest.mark.parametrize("preemption, state", [("recompute", "preempted"), ("swap", "swapped")])
def test_rows_and_counters(preemption, state, tmp_path):
    e = busy_day(preemption)
    save_chrome_trace(e.trace, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert events == chrome_trace(e.trace)
    slices = [one for one in events if one["ph"] == "X"]
    assert sum(one["args"].get("tokens", 0) for one in slices) == e.metrics.num_scheduled_tokens
    names = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    assert sorted(names.values()) == ["0", "1", "2", "2.1", "3", "4", "5"]
    assert {"waiting", "prefill", "decode", state} <= {one["name"] for one in slices}
    assert sum(one["name"] == state for one in slices) == e.metrics.num_preemptions > 0
    for row in names:
        mine = sorted((one["ts"], one["ts"] + one["dur"]) for one in slices if one["tid"] == row)
        assert all(end <= begin for (_, end), (begin, _) in zip(mine, mine[1:]))
    counters = [one for one in events if one["ph"] == "C"]
    assert sum(one["args"].get("tokens computed", 0) for one in counters) == e.metrics.num_scheduled_tokens
    assert max(one["args"].get("blocks in use", 0) for one in counters) <= 7 and counters[-1]["args"] == {
        "blocks in use": 0
    }
    assert {one["name"] for one in events if one["ph"] == "i"} == {"length", "abort"}


def test_times_of_steps_can_be_given():
    e = busy_day("recompute")
    steps = e.trace.records[-1]["step"] + 1
    events = chrome_trace(e.trace, step_starts=[2.0 * step for step in range(steps + 1)])
    assert {one["dur"] for one in events if one["ph"] == "X" and "tokens" in one["args"]} == {2_000_000}
    with pytest.raises(ParameterError, match=f"3 times came for {steps} steps"):
        chrome_trace(e.trace, step_starts=[0, 1, 2])
    memory = Trace()
    BlockAllocator(4, 4, trace=memory)
    with pytest.raises(ParameterError, match="no record of an engine"):
        chrome_trace(memory)
