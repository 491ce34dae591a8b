"""Attention in tiles, and the roofline: what is refused, what a step says, and the same in a real browser."""

import copy

import pytest
import torch

from course_lib.attention import (
    chunked_attention,
    flash_attention_v1,
    flash_attention_v2,
    record_tiles,
    standard_attention,
)
from course_lib.errors import ParameterError
from course_lib.viz import roofline, tiles_view
from course_lib.viz.tiles.model import visits


def recorded(attention, n=8, **options):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 1, 4, generator=generator) for _ in range(3))
    return record_tiles(
        attention, q, k, v, watch=n // 2 + 1, **({} if attention is standard_attention else {"tile": (2, 2)} | options)
    )


@pytest.fixture
def second():
    return tiles_view(**recorded(flash_attention_v2))


@pytest.fixture
def first():
    return tiles_view(**recorded(flash_attention_v1))


@pytest.fixture
def long():
    """64 by 64 tiles: 4,160 steps."""
    return tiles_view(**recorded(flash_attention_v2, 128))


def test_the_second_goes_by_rows_and_writes_each_output_once(second):
    computed = [(i, j) for kind, i, _, j, _ in second.data["events"] if kind == "tile"]
    assert computed == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (3, 3)]
    assert second.data["begun"] == second.data["done"] == [5, 10, 15, 20]
    assert (
        second.words(2)
        == "Step 2: queries 0–1, keys 2–3: the mask hides every pair: nothing is loaded. So far 96 bytes read, "
        "0 written."
    )
    assert second.data["fast"][1] == [True, False]  # the queries stay while tiles are skipped


def test_the_first_goes_by_columns_and_leaves_outputs_unfinished(first):
    computed = [(i, j) for kind, i, _, j, _ in first.data["events"] if kind == "tile"]
    assert computed == [(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3)]
    assert first.data["begun"] == [1, 2, 3, 4] and first.data["done"] == [1, 6, 11, 16]


def test_the_output_is_called_what_it_is(first, second):
    named = second.data["output"]
    assert named[10:14] == ["output, not yet divided"] * 4 and named[14] == "output, divided by the sum"
    assert second.table(11)[-1]["output of row 5"].endswith(" (not yet divided)") and second.table(15)[-1][
        "output of row 5"
    ].endswith(" (divided by the sum)")
    undivided, divided = second.data["row"][13], second.data["row"][14]
    assert [x / undivided[1] for x in undivided[2]] == pytest.approx(divided[2], abs=1e-5)
    assert first.data["output"][-1] == "output, divided by the sum so far"


def test_skipped_and_computed_tiles_are_told_apart(second):
    seen = visits(second.data, 9)
    assert seen[(0, 3)] == ("skip", 1) and seen[(1, 1)] == ("tile", 3) and (2, 0) not in seen


def test_the_row_that_is_watched_is_kept_until_it_is_met_again(second):
    row = [at and at[0] for at in second.data["row"]]
    assert row[:10] == [None] * 10 and row[10] is not None and row[-1] == row[13]
    assert second.table(11)[-1]["maximum of row 5"] == f"{row[10]:.3f}"


@pytest.mark.parametrize("attention", [standard_attention, chunked_attention], ids=lambda f: f.__name__)
def test_the_ways_with_a_matrix_are_shown_too(attention):
    view = tiles_view(**recorded(attention))
    assert view.data["read"][-1] > 0 and view.snapshot().alt.startswith("Attention in tiles, step")
    assert view.table(view.last)[-1]["bytes written so far"] == view.data["written"][-1]


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda r: r.update(events=[]), "`events` is empty"),
        (lambda r: r.update(watch=8), "watch is 8"),
        (lambda r: r["events"][0].update(kind="fold"), "kind 'fold'"),
        (lambda r: r["events"][0].update(rows=[0, 9]), "in 0 to 8"),
        (lambda r: r["events"][3].update(read=1), "read"),
        (lambda r: r["events"][3].pop("cols"), "has no 'cols'"),
        (lambda r: r["events"].__delitem__(slice(0, 5)), "do not cut 0 to 8 into tiles"),
    ],
    ids=["no events", "watch", "kind", "rows", "bytes", "missing", "gap"],
)
def test_a_record_that_does_not_fit_together_is_refused(spoil, says):
    record = copy.deepcopy(recorded(flash_attention_v2))
    spoil(record)
    with pytest.raises(ParameterError, match=says):
        tiles_view(**record)


@pytest.mark.parametrize("selected", [(4, 0), (0, -1), 3, "a"], ids=str)
def test_a_tile_that_is_not_there_cannot_be_selected(second, selected):
    with pytest.raises(ParameterError, match="4 rows and 4 columns"):
        second.selected = selected


def test_the_picture_and_the_saved_form(second):
    data, metadata = second.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data) and metadata["image/png"]["alt"].startswith(
        "Attention in tiles, step 12 of 20"
    )
    assert second.snapshot(1).data != second.snapshot(20).data


# the roofline


def test_the_roofline_says_what_limits_each_point():
    picture = roofline([("low", 100, 100), ("high", 1000, 10, 1.0)], flops_per_s=1e4, bytes_per_s=1e3, machine="a toy")
    assert picture.alt == (
        "Roofline of a toy: 10 kFLOP/s and 1 kB/s, which meet at 10 operations a byte. low: 1.0 operations a "
        "byte, at most 1 kFLOP/s; "
        "memory is the limit. high: 100.0 operations a byte, measured at 1 kFLOP/s; arithmetic is the limit."
    )
    assert picture.data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "points, peak, says",
    [
        ([], 1.0, "empty"),
        ([("a", 1)], 1.0, "a point is"),
        ([("a", 0, 1)], 1.0, "operations of 'a' is 0"),
        ([("a", 1, 1, -1.0)], 1.0, "seconds of 'a'"),
        ([("a", 1, 1)], 0, "flops_per_s is 0"),
    ],
    ids=["none", "short", "zero", "negative", "peak"],
)
def test_the_roofline_refuses(points, peak, says):
    with pytest.raises(ParameterError, match=says):
        roofline(points, flops_per_s=peak, bytes_per_s=1.0)


# in the browser


def test_what_is_shown_of_the_row_and_the_bytes_has_its_names(second, open_view):
    page = open_view(second)
    for step, name in ((12, "output, not yet divided"), (15, "output, divided by the sum")):
        page.evaluate(f"view.model.set('step', {step})")
        moved, row = page.locator(".cl-sums").all()
        assert row.locator("dt").all_inner_texts() == ["maximum", "sum", name]
        assert (
            moved.locator("dt").all_inner_texts() == ["read", "written", "still to move"]
            and moved.locator(".cl-swatch").count() == 3
        )


def test_steps_words_and_table_in_the_page(second, open_view):
    page = open_view(second)
    page.get_by_role("button", name="step", exact=True).click()
    assert second.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    page.evaluate("view.model.set('step', 12)")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in second.table(12)]


def test_a_tile_is_chosen_by_keys_and_by_mouse(second, open_view):
    page = open_view(second)
    page.evaluate("view.model.set('step', 9)")
    grid = page.get_by_role("grid")
    grid.focus()
    for key in ("ArrowRight", "ArrowUp"):  # the first only begins, at the tile of this step
        page.keyboard.press(key)
    assert page.state.selected() == [0, 3] and page.state.step() == 9
    assert page.inner_text(".cl-note") == "Queries 0–1, keys 6–7: skipped in step 4."
    cell = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert cell.text_content() == "queries 0–1, keys 6–7: skipped in step 4"
    page.keyboard.press("Escape")
    assert page.state.selected() is None
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 62 + 10, box["y"] + 42 + 10)
    assert page.state.selected() == [0, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["first", "long"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)
