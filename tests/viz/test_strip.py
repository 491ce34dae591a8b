"""The strip of kernels: sums and words of a step by hand, refusals, and the same in a real browser."""

import copy

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import step_strip
from course_lib.viz.strip.model import share, us
from course_lib.viz.strip.still import time_words

IN_ORDER = {
    "name": "eager",
    "limit": 20.0,
    "took": 100.0,
    "noun": "operation",
    "kernels": [
        ("linear", "weights", 0.0, 30.0, 1, 3_000_000),
        ("mul", "small", 32.5, 4.06, 1, None),
        ("attend", "attention", 40, 20),
        ("linear", "weights", 60, 30.0),
    ],
}
SUMS = {
    "name": "in a graph",
    "ordered": False,
    "limit": 20.0,
    "note": "sums of a recorded step",
    "kernels": [
        ("linear", "weights", None, 40.0, 113, None),
        ("attend", "attention", None, 9.96, 28, None),
        ("no kernel", "idle", None, 0.02),
    ],
}


@pytest.fixture
def two():
    return step_strip([IN_ORDER, SUMS])


@pytest.fixture
def many():
    """700 kernels in one row, a short row below."""
    kernels = [
        (f"kernel {i}", ["weights", "small", "attention", "choice", "other"][i % 5], 3.0 * i, 2.5) for i in range(700)
    ]
    return step_strip([{"name": "long", "kernels": kernels, "took": 2200.0}, SUMS])


def test_a_kernel_in_order_says_when_it_runs_and_what_was_before_it(two):
    assert two.last == 7
    assert two.words(1) == (
        "Operation 1 of 4 of “eager”, linear (weight products): starts at 0.0 µs, takes 30.0 µs, 33.3 % of the step; "
        "it moves 3.0 MB, 100 GB/s."
    )
    assert two.words(2) == (
        "Operation 2 of 4 of “eager”, mul (norm, rotation, gate, sum): starts at 32.5 µs, takes 4.1 µs, 4.5 % of the "
        "step. Before it nothing ran for 2.5 µs."
    )
    assert "nothing ran" not in two.words(4)  # it starts as the one before ends


def test_sums_say_that_they_are_sums(two):
    assert two.words(5) == "linear in “in a graph”: 113 launches in one step, 40.0 µs together, 80.0 % of all kernels."
    assert two.words(7) == "No kernel runs for 0.0 µs of “in a graph”, <0.1 % of it."
    assert two.data["rows"][1]["starts"] == [0, 40_000, 49_960]


def test_the_table_has_sums_up_to_the_step(two):
    assert [list(row.values()) for row in two.table(2)] == [
        ["eager", "weight products", "1", "30.0", "33.3 %"],
        ["eager", "norm, rotation, gate, sum", "1", "4.1", "4.5 %"],
    ]
    assert [list(row.values())[:4] for row in two.table(5)] == [
        ["eager", "weight products", "2", "60.0"],
        ["eager", "attention", "1", "20.0"],
        ["eager", "norm, rotation, gate, sum", "1", "4.1"],
        ["in a graph", "weight products", "113", "40.0"],
    ]


def test_a_group_is_told_in_all_rows(two):
    assert two.data["told"]["weights"] == (
        "Weight products: “eager” 60.0 µs in 2 launches, 66.7 %; “in a graph” 40.0 µs in 113 launches, 80.0 %."
    )


@pytest.mark.parametrize("ns, said", [(0, "0.0"), (49, "0.0"), (50, "0.1"), (1_234_567, "1,234.6")])
def test_microseconds(ns, said):
    assert us(ns) == said


@pytest.mark.parametrize("ns, said", [(0, "0.0 %"), (1, "0.1 %"), (999, "99.9 %"), (1000, "100.0 %")])
def test_shares(ns, said):
    assert share(ns, {"length": 1000}) == said


@pytest.mark.parametrize("ns, said", [(306_500, "307 µs"), (2_530_000, "2.53 ms"), (5e6, "5 ms"), (27e6, "27 ms")])
def test_times_of_the_axis(ns, said):
    assert time_words(ns) == said


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda row: row.update(kernels=[]), "is empty"),
        (lambda row: row.pop("kernels"), "has no 'kernels'"),
        (lambda row: row["kernels"].append(("a", "weights", 1.0)), "a kernel is"),
        (lambda row: row["kernels"].append(("a", "matmul", 90.0, 1.0)), "group 'matmul'"),
        (lambda row: row["kernels"].append(("a", "weights", None, 1.0)), "ordered=False"),
        (lambda row: row["kernels"].append(("a", "weights", 90.0, -1.0)), "length of rows"),
        (lambda row: row["kernels"].append(("a", "weights", 1.0, 1.0)), "Sort the kernels"),
        (lambda row: row["kernels"].append(("a", "weights", 90.0, 1.0, 1.5, None)), "launches of rows"),
        (lambda row: row.update(limit="fast"), r"rows\[0\]\['limit'\]"),
    ],
    ids=["none", "missing", "short", "group", "start", "length", "order", "launches", "limit"],
)
def test_a_row_that_does_not_fit_together_is_refused(spoil, says):
    row = copy.deepcopy(IN_ORDER)
    spoil(row)
    with pytest.raises(ParameterError, match=says):
        step_strip([row])
    with pytest.raises(ParameterError, match="`rows` is empty"):
        step_strip([])


def test_a_group_that_is_not_there_cannot_be_selected(two):
    with pytest.raises(ParameterError, match="weights, attention"):
        two.selected = "matmul"


def test_the_picture_and_the_saved_form(two, many):
    data, metadata = two.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"].startswith("One step as a strip of kernels, step 7 of 7. No kernel runs")
    assert two.snapshot(1).data != two.snapshot(5).data and many.snapshot(300).width == 920
    before = two.snapshot(5).data
    two.selected = "attention"
    assert two.snapshot(5).data != before


# in the browser


@pytest.mark.parametrize("name", ["two", "many"])
def test_steps_words_and_table_in_the_page(request, name, open_view):
    view = request.getfixturevalue(name)
    page = open_view(view)
    page.get_by_role("button", name="step", exact=True).click()
    assert view.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    for step in (2, view.last):
        page.evaluate(f"view.model.set('step', {step})")
        assert page.state.table() == [list(row.values()) for row in view.table(step)]


def test_kernels_are_chosen_by_keys(two, open_view):
    page = open_view(two, width=1100)
    grid = page.get_by_role("grid")
    grid.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "End", "ArrowUp", "Home", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(page.state.step())
    # at 40 µs in the row below stands its second kernel; its third, at 49.96 µs, is below the third of the first row
    assert seen == [2, 3, 6, 7, 3, 1, 1]
    cell = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert cell.text_content() == two.words(1)


def test_a_kernel_is_chosen_by_mouse_and_with_it_its_group(two, open_view):
    page = open_view(two, width=1100)
    box = page.get_by_role("grid").bounding_box()
    wide = page.evaluate("document.querySelector('canvas').clientWidth") - 12
    at = box["x"] + wide * 0.45, box["y"] + 40
    page.mouse.click(*at)
    assert (page.state.step(), page.state.selected()) == (3, "attention")
    assert page.inner_text(".cl-note") == two.data["told"]["attention"]
    page.mouse.click(*at)
    assert page.state.selected() is None
    page.evaluate("view.model.set('selected', 'small')")
    page.keyboard.press("Escape")
    assert page.state.selected() is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["two", "many"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)
