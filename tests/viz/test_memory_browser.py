"""The memory view in a real browser."""

import pytest
from traces import large_memory, story, windowed_memory

from course_lib.viz import bare_page, memory_view


@pytest.fixture
def told():
    return memory_view(story())


@pytest.fixture(scope="module")
def big():
    return memory_view(large_memory())


@pytest.fixture(scope="module")
def windowed():
    return memory_view(windowed_memory())


@pytest.mark.parametrize("name", ["told", "big", "windowed"])
def test_the_table_in_the_page_is_the_table_in_python(request, open_view, name):
    view = request.getfixturevalue(name)
    page = open_view(view)
    steps = range(1, 9) if name != "big" else [1000, 1, 33, 32, 64, 65, 500, 499, 731]  # to and fro, over what is kept
    for step in steps:
        page.evaluate("step => view.model.set('step', step)", step)
        cells = page.state.table()
        assert cells == [[str(value) for value in row.values()] for row in view.table(step)]


def test_a_place_without_a_block_is_no_block(windowed, open_view):
    """The arrow keys go over it, and nothing is selected there."""
    page, step = open_view(windowed, width=1100), 30
    page.evaluate("step => view.model.set('step', step)", step)
    blocks = next(blocks for blocks, _ in windowed.memory(step).tables.values() if -1 in blocks)
    assert blocks == next(blocks for blocks, _ in windowed.memory(step).tables.values())
    page.get_by_role("grid", name="Block tables").focus()
    for block in blocks[: blocks.index(-1) + 2]:
        page.keyboard.press("ArrowRight")
        assert page.state.selected() == (None if block < 0 else block)


def test_a_logical_block_lights_its_physical_one(told, open_view):
    page = open_view(told, width=1100)
    page.evaluate("view.model.set('step', 4)")
    page.get_by_role("grid", name="Block tables").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "End"):  # the first key starts at the first entry
        page.keyboard.press(key)
    assert page.state.selected() == 4 and page.state.step() == 4
    assert page.inner_text(".cl-note") == "Block 4: reference count 1, held by R2 (block 2 of its table), 3 of 4 slots."
    page.keyboard.press("Home")
    assert page.inner_text(".cl-note").startswith(
        "Block 0: reference count 3, held by R0 (block 0 of its table) and R1 (block 0 of its table) and R2 "
        "(block 0 of its table), 4 of 4 slots, hashed. ‘<bos> In a quiet’"
    )
    page.get_by_role("grid", name="Physical memory").focus()
    page.keyboard.press("End")
    assert page.state.selected() == 11 and page.inner_text(".cl-note") == "Block 11 is free."
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_a_click_chooses_on_either_side(told, open_view):
    page = open_view(told, width=1100)
    page.evaluate("view.model.set('step', 4)")
    tables, blocks = (
        page.get_by_role("grid", name=name).bounding_box() for name in ("Block tables", "Physical memory")
    )
    page.mouse.click(tables["x"] + 44 + 18, tables["y"] + 7 + 20 + 10)  # the first entry
    assert page.state.selected() == 0
    page.mouse.click(blocks["x"] + blocks["width"] - 40, blocks["y"] + 30)
    chosen = page.state.selected()
    assert chosen is not None and chosen > 4
    page.mouse.click(blocks["x"] + blocks["width"] - 40, blocks["y"] + 30)
    assert page.state.selected() is None


def test_hovering_paints_both_sides(told, open_view):
    page = open_view(told, width=1100)
    page.evaluate("view.model.set('step', 4)")
    painted = "[...document.querySelectorAll('.cl-two canvas')].map(canvas => canvas.toDataURL())"
    before = page.evaluate(painted)
    box = page.get_by_role("grid", name="Physical memory").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    during = page.evaluate(painted)
    assert all(a != b for a, b in zip(before, during))
    page.mouse.move(5, 5)
    assert page.evaluate(painted) == before


def test_what_is_below_stays_where_it_is(told, open_view):
    page = open_view(told, width=1100)
    places = set()
    for step in range(1, 9):
        page.evaluate("step => view.model.set('step', step)", step)
        places.add(page.locator(".cl-play").bounding_box()["y"])
    assert len(places) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1120, 1400])
@pytest.mark.parametrize("name", ["told", "big"])
def test_it_fits(request, open_view, looks_well, name, width, scheme):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


@pytest.mark.parametrize("name", ["told", "big"])
def test_drawing_a_step_takes_little_work(request, open_view, work_of_steps, little, name):
    """At 1,000 steps and 4,096 blocks too: only what changed is drawn, and no step is replayed from the beginning."""
    little(work_of_steps(open_view(request.getfixturevalue(name), width=1200)), typical=500, worst=20_000)


def test_the_page_holds_everything(told):
    page = bare_page(told)
    assert page.count("</script>") == 2 and "R0 writes 10 tokens" in page
