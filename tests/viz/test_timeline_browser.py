"""The engine's timeline in a real browser."""

import pytest
from traces import long_life, scheduled, short_life

from course_lib.viz import bare_page, timeline_view


@pytest.fixture(scope="module")
def short():
    return timeline_view(short_life(), clients=True)


@pytest.fixture(scope="module")
def big():
    return timeline_view(long_life())


@pytest.mark.parametrize("name", ["short", "big"])
def test_the_table_in_the_page_is_the_table_in_python(request, open_view, name):
    view = request.getfixturevalue(name)
    page = open_view(view)
    for step in [1, 2, 12, 20, 33, 40] if name == "short" else [1000, 1, 333, 701]:
        page.evaluate("step => view.model.set('step', step)", step)
        cells = page.state.table()
        assert cells == [[str(value) for value in row.values()] for row in view.table(step)]


PAINTED = "[...document.querySelectorAll('.cl-two canvas, .cl-lanes canvas')].map(canvas => canvas.toDataURL())"


def test_a_request_lights_its_row_and_its_blocks(short, open_view):
    page = open_view(short, width=1100)
    page.evaluate("view.model.set('step', 12)")
    before = page.evaluate(PAINTED)
    lanes = page.get_by_role("grid", name="Requests")
    lanes.focus()
    page.keyboard.press("ArrowDown")  # the first key starts at one that is computed now
    first = page.state.selected()
    assert page.inner_text(".cl-note").startswith(f"R{first} (")
    assert all(now != then for now, then in zip(page.evaluate(PAINTED), before))
    page.keyboard.press("ArrowDown")
    assert page.state.selected() == str(int(first) + 1)
    page.keyboard.press("ArrowRight")
    assert page.state.step() == 13
    page.keyboard.press("Escape")
    assert page.state.selected() is None
    page.get_by_role("grid", name="Physical memory").focus()
    for _ in range(2):  # here, too, the first key starts
        page.keyboard.press("End")
    assert page.state.selected() == ["block", 19] and page.inner_text(".cl-note").startswith("Block 19")


def test_the_pointer_chooses_moves_and_lights(short, open_view):
    page = open_view(short, width=1100)
    page.evaluate("view.model.set('step', 12)")
    before = page.evaluate(PAINTED)
    rows = page.locator(".cl-lanes canvas").bounding_box()
    who = next(int(row["request"][1:]) for row in short.table(12) if row["tokens"])
    middle = rows["y"] + 22 * who + 11
    page.mouse.move(rows["x"] + 12, middle)
    assert all(now != then for now, then in zip(page.evaluate(PAINTED), before))
    assert page.inner_text(".cl-read").startswith(f"step 12: R{who} (")
    page.mouse.move(rows["x"] + 12, rows["y"] - 300)
    assert page.evaluate(PAINTED) == before
    blocks = page.get_by_role("grid", name="Physical memory").bounding_box()
    lanes = "document.querySelector('.cl-lanes canvas').toDataURL()"
    held = short.memory(12).tables[str(who)][0][0]
    columns = int((blocks["width"] - 20) // 66 // 4 * 4)
    page.mouse.move(
        blocks["x"] + 10 + (held % columns + 0.5) * (blocks["width"] - 20) / columns,
        blocks["y"] + 10 + (held // columns + 0.5) * 60,
    )
    assert page.evaluate(lanes) != before[0]  # a block lights the requests that hold it
    page.mouse.move(rows["x"] + 12, rows["y"] - 300)
    assert page.evaluate(lanes) == before[0]
    page.mouse.click(rows["x"] + 12, middle)
    assert (page.state.selected(), page.state.step()) == (str(who), 12)
    page.mouse.click(rows["x"] + rows["width"] / 2, middle + 22)
    assert page.state.selected() == str(who + 1) and page.state.step() != 12
    page.mouse.click(rows["x"] + rows["width"] / 2, middle + 22)
    assert page.state.selected() is None
    budget = page.locator(".cl-timeline-body > canvas").first.bounding_box()
    page.mouse.move(budget["x"] + budget["width"] / 2, budget["y"] + 30)
    page.mouse.down()
    page.mouse.move(budget["x"] + budget["width"] - 14, budget["y"] + 30)
    page.mouse.up()
    assert page.state.step() == 40


def test_a_long_trace_turns_its_pages(big, open_view):
    page = open_view(big, width=1100)
    shown = "document.querySelector('.cl-lanes').scrollTop"
    places = set()
    for step in (1, 300, 600, 900):
        page.evaluate("step => view.model.set('step', step)", step)
        places.add(page.evaluate(shown))
        lanes = [int(row["request"][1:]) for row in big.table(step)[:-1] if row["tokens"]]
        top = page.evaluate(shown) / 14
        assert 2 * sum(top <= lane and lane + 1 <= top + 24 for lane in lanes) >= min(24, len(lanes))
    assert len(places) == 4
    painted = "[...document.querySelectorAll('.cl-timeline-body canvas')].map(canvas => canvas.toDataURL())"
    before = page.evaluate(painted)
    for label in ("more steps at once", "fewer steps, wider"):
        page.get_by_role("button", name=label).click()
        before, then = page.evaluate(painted), before
        assert before != then and page.state.step() == 900


def test_what_is_below_stays_where_it_is(short, open_view):
    page = open_view(short, width=1100)
    places = set()
    for step in range(1, 41):
        page.evaluate("step => view.model.set('step', step)", step)
        places.add(page.locator(".cl-play").bounding_box()["y"])
    assert len(places) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1120])
@pytest.mark.parametrize("name", ["short", "big"])
def test_it_fits(request, open_view, looks_well, name, width, scheme):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


def test_a_step_of_a_long_trace_takes_no_more_work_than_one_of_a_short(short, big, open_view, work_of_steps, little):
    """With 300 requests in 1,000 steps only what is in sight is drawn. The worst step turns a page."""
    few, many = (work_of_steps(open_view(view, width=1200)) for view in (short, big))
    little(few, typical=1_500, worst=4_000)
    little(many, typical=1_500, worst=20_000)


def test_the_page_holds_everything():
    page = bare_page(timeline_view(scheduled()))
    assert page.count("</script>") == 2 and "b arrives and waits" in page
