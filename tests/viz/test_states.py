"""The browser reads no record: after every step its memory and its lanes are those of course_lib.trace."""

import json
import sys
from pathlib import Path

import pytest
from traces import Life, Plain, story

from course_lib.kvcache import BlockTable
from course_lib.trace.memory import cuts_of, memory_rows, replayed
from course_lib.trace.records import Trace, rows_of
from course_lib.trace.schedule import computed_after, span_at, tokens_in
from course_lib.viz import memory_view, timeline_view
from course_lib.viz.kit.page import esm

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from random_life import random_life  # noqa: E402

MEMORY = """data => {
  const { stateAt } = $memory_state.memoryStates(data);
  const name = request => data.requests[request];
  const sorted = blocks => [...blocks].sort((a, b) => a - b);
  return steps => steps.map(step => {
    const { ref, hashed, tables, kinds, fill, marks, holders } = stateAt(step);
    return {
      ref: [...ref], kinds, hashed: [...hashed.keys()].filter(block => hashed[block]), fill: [...fill],
      tables: [...tables].map(([request, { blocks, tokens }]) => [name(request), blocks, tokens]),
      fresh: sorted(marks.fresh), evicted: sorted(marks.evicted), copies: marks.copies, wrong: sorted(marks.wrong),
      written: [...marks.written].sort((a, b) => a[0] - b[0]),
      holders: [...holders].map(([block, all]) => [block, all.map(([request, place]) => [name(request), place])]),
    };
  });
}"""


def random_memory(seed):
    trace = Trace()
    random_life(
        120, num_blocks=20 + seed, size=1 + seed, eviction=("lru", "priority")[seed % 2], seed=seed, trace=trace
    )
    return trace


def swapped():
    return Life(3, num_steps=60, num_blocks=18, policy="priority", preemption="swap", n=2, aborts=0.01).trace


def recomputed():
    return Life(5, num_steps=60, num_blocks=22, preemption="recompute", aborts=0.01).trace


def shrunk():
    """A table that shrinks and grows again in a step, and one that ends and begins again in a step."""
    trace = Trace()
    mine = trace.watch(Plain(16, 3))
    one, two = BlockTable(mine, name="a"), BlockTable(mine, name="b")
    for kept in (7, 4, 2, 9):
        trace.next_step()
        two.append_slots(1)
        one.append_slots(8)
        one.shrink(kept)
        one.append_slots(2)
        two.free()
        two = BlockTable(mine, name="b")
        two.append_slots(2)
    return trace


def wrong():
    """An allocator that hands out the same blocks again and again."""
    trace = Trace()
    mine = trace.watch(Plain(6, 4, again=True))
    for name in "ab":
        trace.next_step()
        BlockTable(mine, name=name).append_slots(5)
    mine.free([0, 0, 0, 1])
    return trace


TRACES = {"story": story, "swapped": swapped, "recomputed": recomputed, "shrunk": shrunk, "wrong": wrong} | {
    f"random {seed}": lambda seed=seed: random_memory(seed) for seed in range(4)
}


def wanted(memory):
    """What the browser must know after a step, from Python's Memory."""
    size, blocks = memory.block_size, range(memory.num_blocks)
    fill, written = [0] * memory.num_blocks, {}
    for request, (table, tokens) in memory.tables.items():
        for place, block in enumerate(table):
            fill[block] = max(fill[block], max(0, min(size, tokens - place * size)))
        for position in range(*memory.written.get(request, (0, 0))):
            if position // size < len(table):
                first, end = written.setdefault(table[position // size], [size, 0])
                slot = position % size
                written[table[position // size]] = [min(first, slot), max(end, slot + 1)]
    return {
        "ref": memory.ref,
        "kinds": [memory.state(block) for block in blocks],
        "hashed": sorted(memory.hashed),
        "fill": [size if block in memory.hashed else fill[block] for block in blocks],
        "tables": [[request, table, tokens] for request, (table, tokens) in memory.tables.items()],
        "fresh": sorted(memory.fresh),
        "evicted": sorted(memory.evicted),
        "copies": [list(pair) for pair in memory.copies],
        "wrong": [block for block in blocks if memory.is_wrong(block)],
        "written": sorted([block, span] for block, span in written.items()),
        "holders": [[block, [list(one) for one in held]] for block, held in memory.holders().items()],
    }


@pytest.fixture
def in_page(browser):
    """in_page(name, script, data, argument) -> what the view's script makes of the data in Chromium."""
    page = browser.new_page()

    def in_page(name, script, data, argument):
        module = esm(name).replace("export default", "void")
        code = f"text => {{ {module}\n const [data, argument] = JSON.parse(text);"
        code += f"return JSON.stringify(({script})(data)(argument)); }}"
        return json.loads(page.evaluate(code, json.dumps([data, argument])))

    yield in_page
    page.close()


@pytest.mark.parametrize("by", ["step", "event"])
@pytest.mark.parametrize("name", TRACES)
def test_the_memory_after_every_step(in_page, name, by):
    trace = TRACES[name]()
    view, own = memory_view(trace, by=by), memory_rows(rows_of(trace))
    states = [json.loads(json.dumps(wanted(memory))) for memory in replayed(own, cuts_of(own, by))]
    assert len(states) == view.last
    forth = list(range(1, view.last + 1))
    steps = forth + forth[::-7]  # to and fro, over the states that are kept
    found = in_page("memory", MEMORY, view.data, steps)
    for step, state in zip(steps, found, strict=True):
        assert state == states[step - 1], step


LANES = """data => steps => $timeline_spans.lanesOf(data).map(lane => steps.map(at => {
  const span = $timeline_spans.spanAt(lane, at);
  return span ? [span[0], $timeline_spans.tokensIn(span, at), $timeline_spans.computedAfter(span, at)] : null;
}))"""


@pytest.mark.parametrize("name", ["swapped", "recomputed"])
def test_the_lanes_in_every_step(in_page, name):
    view = timeline_view(TRACES[name]())
    steps = list(range(view.last))
    wanted = []
    for lane in view.data["lanes"]:
        spans = [span_at(lane["spans"], at) for at in steps]
        wanted.append(
            [span and [span[0], tokens_in(span, at), computed_after(span, at)] for at, span in zip(steps, spans)]
        )
    assert in_page("timeline", LANES, view.data, steps) == wanted
    assert {"recompute" if name == "recomputed" else "swapped", "decode"} <= {
        one[0] for lane in wanted for one in lane if one
    }
