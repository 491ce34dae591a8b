"""Everything by keyboard: each stop of Tab has a name, and where it is is seen. At 600 pixels nothing is cut off."""

import pytest
from traces import Life

from course_lib.viz import cache_by_bits, layer_on_gpus, step_strip, timeline_view

CACHE = {"name": "int8", "bytes": 1_062_500, "error": 0.0078, "perplexity": 1.2, "right": [4, 3]}
KERNELS = {"name": "eager", "kernels": [("linear", "weights", 0.0, 30.0), ("attend", "attention", 40.0, 20.0)]}
SIZES = {"hidden_size": 256, "num_heads": 4, "num_kv_heads": 2, "head_dim": 64, "intermediate_size": 640}
VIEWS = {
    "caches": lambda: cache_by_bits([CACHE, CACHE | {"name": "2 bits"}], [(256, 4), (512, 3)]),
    "GPUs": lambda: layer_on_gpus(2, **SIZES),
    "kernels": lambda: step_strip([KERNELS]),
    "timeline": lambda: timeline_view(Life(1, num_requests=40, num_steps=90).trace),  # lanes that scroll,
}

STOP = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const look = getComputedStyle(node), box = node.getBoundingClientRect();
  const reach = parseFloat(look.outlineOffset) + parseFloat(look.outlineWidth);
  const cuts = above => {
    const { overflowX, overflowY } = getComputedStyle(above), room = above.getBoundingClientRect();
    const sides = box.left - reach < room.left || box.right + reach > room.right;
    const ends = box.top - reach < room.top || box.bottom + reach > room.bottom;
    return (overflowX !== 'visible' && sides) || (overflowY !== 'visible' && ends);
  };
  const around = [];
  for (let above = node.parentElement; above !== document.body; above = above.parentElement) around.push(above);
  return {
    name: node.getAttribute('aria-label') || node.textContent,
    isSeen: look.outlineStyle === 'solid' && reach - parseFloat(look.outlineOffset) >= 2 && !around.some(cuts),
  };
}"""


def stops_of(page):
    """What Tab reaches, one after the other, up to the end of the page."""
    found = []
    while True:
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            return found
        found.append(stop)
        assert len(found) < 100, found


@pytest.mark.parametrize("name", VIEWS)
def test_each_stop_of_tab_has_a_name_and_is_seen(name, open_view, looks_well):
    page = open_view(VIEWS[name](), width=616)
    looks_well(page, "light")
    stops = stops_of(page)
    assert len(stops) >= 8
    assert [stop for stop in stops if not stop["name"].strip() or not stop["isSeen"]] == []
