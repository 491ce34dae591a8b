"""What each program loads and stores: rectangles, words and sums of a record by hand, refusals, and the same in a real browser."""

import copy
import json

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import programs_view
from course_lib.viz.programs.model import boxes


def access(program, op, tensor, touched, masked=(), lanes=4, hidden=0, line="x = tl.load(x_ptr + at)"):
    nbytes = 4 * sum(end - start for start, end in touched)
    return {
        "program": list(program),
        "op": op,
        "tensor": tensor,
        "touched": [list(r) for r in touched],
        "masked": [list(r) for r in masked],
        "lanes": lanes,
        "masked_lanes": hidden,
        "bytes": nbytes,
        "line": line,
    }


def by_rows():
    """Three programs, each the sum of a row of five with eight lanes; a fourth that only looks."""
    accesses = []
    for row in range(3):
        accesses.append(access([row], "load", "x", [(5 * row, 5 * row + 5)], [(5 * row + 5, 5 * row + 8)], 8, 3))
        accesses.append(access([row], "store", "out", [(row, row + 1)], lanes=1, line="tl.store(out_ptr + row, s)"))
    accesses.append(access([3], "load", "n", [(0, 1)], lanes=1))
    tensors = {
        "x": {"shape": [3, 5], "itemsize": 4},
        "out": {"shape": [3], "itemsize": 4},
        "n": {"shape": [], "itemsize": 4},
        "spare": {"shape": [9], "itemsize": 4},
    }
    return {"kernel": "row_sum", "grid": [4], "tensors": tensors, "accesses": accesses}


def in_blocks(side=6, size=16):
    """A grid of programs, each a tile of `size` by `size` of a matrix, read a second time by its left neighbour."""
    cols = side * size
    tile = lambda i, j: [
        ((i * size + r) * cols + j * size, (i * size + r) * cols + (j + 1) * size) for r in range(size)
    ]
    accesses = []
    for i in range(side):
        for j in range(side):
            accesses += [access([i, j], "load", "a", tile(i, j), lanes=size * size)] + [
                access([i, j], "load", "a", tile(i, j + 1), lanes=size * size)
            ] * (j + 1 < side)
            accesses.append(access([i, j], "store", "b", tile(i, j), lanes=size * size))
    shape = {"shape": [cols, cols], "itemsize": 4}
    return {"kernel": "tiles", "grid": [side, side], "tensors": {"a": shape, "b": shape}, "accesses": accesses}


@pytest.fixture
def rows():
    return programs_view(by_rows())


@pytest.fixture
def blocks():
    return programs_view(in_blocks())


@pytest.fixture
def long():
    """400 programs, 1,180 accesses."""
    return programs_view(in_blocks(20, 8), by="access")


@pytest.mark.parametrize(
    "runs, cols, expected",
    [
        ([[0, 5]], 5, [[0, 1, 0, 5]]),
        ([[2, 4]], 5, [[0, 1, 2, 4]]),
        ([[0, 12]], 5, [[0, 2, 0, 5], [2, 3, 0, 2]]),
        ([[3, 12]], 5, [[0, 1, 3, 5], [1, 2, 0, 5], [2, 3, 0, 2]]),
        ([[3, 7]], 5, [[0, 1, 3, 5], [1, 2, 0, 2]]),
        ([[1, 3], [6, 8], [11, 13]], 5, [[0, 3, 1, 3]]),
        ([[1, 3], [6, 9]], 5, [[0, 1, 1, 3], [1, 2, 1, 4]]),
        ([[-2, 0]], 5, [[-1, 0, 3, 5]]),
        ([], 5, []),
    ],
    ids=str,
)
def test_runs_become_rectangles(runs, cols, expected):
    assert boxes(runs, cols) == expected
    cells = lambda found: sorted((r, c) for r0, r1, c0, c1 in found for r in range(r0, r1) for c in range(c0, c1))
    assert cells(boxes(runs, cols)) == sorted(divmod(i, cols) for start, end in runs for i in range(start, end))


def test_a_step_says_what_its_program_moves(rows):
    assert rows.last == 4
    assert rows.words(2) == "Program 1 loads 20 bytes of x and stores 4 bytes of out. 3 lanes are masked."
    assert rows.words(4) == "Program 3 loads 4 bytes of n and stores nothing."
    assert list(rows.table(4)[-1].values()) == [4, "3", "loads n", 4, 0, 0, 64, 12]
    assert [t["name"] for t in rows.data["tensors"]] == ["x", "out", "n"]  # not what no program touches


def test_what_is_masked_past_the_end_has_room(rows):
    x = rows.data["tensors"][0]
    assert (x["rows"], x["cols"], x["over"]) == (3, 5, 1) and rows.data["accesses"][4][4] == [[3, 4, 0, 3]]


def test_masked_lanes_that_the_picture_cannot_show_are_told():
    record = by_rows()
    record["accesses"][0]["masked"] = []  # a slice of a wider tensor: what is beside a row is no place of it
    record["accesses"][1] |= {"masked": [[1, 3], [7, 9]], "lanes": 5, "masked_lanes": 4}
    view = programs_view(record)
    assert (
        view.words(1)
        == "Program 0 loads 20 bytes of x and stores 4 bytes of out. 7 lanes are masked: 3 of x (outside of x, so not drawn), 4 of out (2 hatched)."
    )
    assert view.words(2).endswith("3 lanes are masked.")
    record["accesses"].insert(1, access([0], "load", "x", [(5, 8)], [(0, 3)], 8, 3))
    assert (
        programs_view(record, by="access")
        .words(1)
        .startswith("Program 0 loads 20 bytes of x, 3 of 8 lanes masked (outside of x, so not drawn).")
    )
    assert "6 of x (0 hatched), 4 of out" in programs_view(record).words(
        1
    )  # what the program touches elsewhere counts as touched


def test_by_access_every_access_is_a_step_with_its_line():
    view = programs_view(by_rows(), by="access", tensors=["x", "out"])
    assert (
        view.last == 6
        and view.words(1) == "Program 0 loads 20 bytes of x, 3 of 8 lanes masked. x = tl.load(x_ptr + at)"
    )
    assert view.words(2) == "Program 0 stores 4 bytes of out with 1 lane. tl.store(out_ptr + row, s)"


def test_a_program_that_touches_nothing_drawn_is_a_step_too():
    view = programs_view(by_rows(), tensors=["x"])
    assert programs_view(by_rows(), tensors="x").data == view.data
    assert view.last == 4 and view.words(4) == "Program 3 touches none of these tensors."


def test_the_log_itself_is_taken(rows):
    class Log:
        def record(self):
            return by_rows()

    assert programs_view(Log()).data == rows.data


def test_long_tensors_of_one_dimension_are_broken_into_lines_and_four_dimensions_into_two():
    record = by_rows()
    record["tensors"] |= {"x": {"shape": [1000], "itemsize": 4}, "out": {"shape": [6, 16, 2, 8], "itemsize": 2}}
    x, out, n = programs_view(record).data["tensors"]
    assert (x["unit"], x["worth"], out["unit"], out["worth"]) == (1, 64, 16, 1)
    assert (
        (x["rows"], x["cols"]) == (16, 64)
        and (out["rows"], out["cols"]) == (96, 16)
        and (n["rows"], n["cols"]) == (1, 1)
    )


@pytest.mark.parametrize(
    "spoil, options, says",
    [
        (lambda r: r.pop("grid"), {}, "has no 'grid'"),
        (lambda r: r.update(accesses=[]), {}, "`accesses` is empty"),
        (lambda r: r["accesses"][1].update(op="push"), {}, "'push' of 'out'"),
        (lambda r: r["accesses"][1].update(tensor="y"), {}, "of 'y'"),
        (lambda r: r["accesses"][1].update(program=[4]), {}, r"program \[4\]"),
        (lambda r: r["accesses"][1].update(touched=[[2, 4]]), {}, "numbers 0 to 2"),
        (lambda r: r["accesses"][1].update(bytes=-1), {}, "bytes"),
        (lambda r: r["accesses"][1].pop("line"), {}, "has no 'line'"),
        (lambda r: None, {"by": "lane"}, "by is 'lane'"),
        (lambda r: None, {"tensors": ["y"]}, "no tensor 'y'; it was given x, out"),
        (lambda r: None, {"tensors": ["spare"], "by": "access"}, "None of the tensors"),
    ],
    ids=[
        "no grid",
        "no accesses",
        "op",
        "tensor",
        "program",
        "outside",
        "bytes",
        "no line",
        "by",
        "unknown",
        "untouched",
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(spoil, options, says):
    record = copy.deepcopy(by_rows())
    spoil(record)
    with pytest.raises(ParameterError, match=says):
        programs_view(record, **options)


@pytest.mark.parametrize("selected", [("x", 15), ("y", 0), ("x", -1), 3, ("x", "a")], ids=str)
def test_a_number_that_is_not_there_cannot_be_selected(rows, selected):
    with pytest.raises(ParameterError, match="x with 15, out with 3"):
        rows.selected = selected


def test_the_picture_and_the_saved_form(rows, blocks):
    data, metadata = rows.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data) and metadata["image/png"]["alt"].startswith(
        "What each program loads and stores, step 2 of 4"
    )
    assert rows.snapshot(1).data != rows.snapshot(3).data and blocks.snapshot(9).width == 920


def test_a_real_record_draws_and_is_small(machine_records):
    view = programs_view(machine_records)
    assert view.words(1).startswith("Program 0 loads 20 bytes of x") and len(json.dumps(view.data)) < 4_000
    assert view.data["tensors"][0]["over"] == 1


@pytest.fixture
def machine_records():
    """by_rows as the recorder writes it, where kernels are interpreted."""
    from course_lib.machine.device import inspect_machine

    if inspect_machine().triton != "interpreted":
        pytest.skip("only interpreted kernels are recorded")
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "attention"))
    import small_kernels
    import torch

    from course_lib.attention import record_accesses

    with record_accesses() as log:
        small_kernels.row_sum[(3,)](torch.ones(3, 5), torch.empty(3), 5, 5, WIDTH=8)
    return log


# in the browser


@pytest.mark.parametrize("name", ["rows", "blocks"])
def test_steps_words_and_table_in_the_page(request, name, open_view):
    view = request.getfixturevalue(name)
    page = open_view(view)
    page.get_by_role("button", name="step", exact=True).click()
    assert view.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    page.evaluate("view.model.set('step', view.model.get('data').last)")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in view.table(view.last)]
    assert page.inner_text(".cl-sums").split() == [
        "read",
        f"{view.table(view.last)[-1]['loaded so far']:,}",
        "written",
        f"{view.table(view.last)[-1]['stored so far']:,}",
    ]


def test_programs_and_numbers_are_chosen_by_keys(blocks, open_view):
    page = open_view(blocks, width=1100)
    programs, tensors = page.get_by_role("grid").all()
    programs.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.state.step() == 9 and "Program (1, 2)" in page.inner_text(".cl-say")
    page.keyboard.press("End")
    assert page.state.step() == 12
    tensors.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):  # the first only begins
        page.keyboard.press(key)
    assert page.state.selected() == ["a", 6 * 16 + 1]
    assert page.inner_text(".cl-note") == "a[1, 1]: loaded once by program (0, 0)."
    page.evaluate("view.model.set('selected', ['a', 16])")
    assert page.inner_text(".cl-note") == "a[0, 16]: loaded 2 times by programs (0, 0), (0, 1)."
    page.evaluate("view.model.set('selected', ['a', 95])")
    page.keyboard.press("ArrowRight")  # over the edge into the next tensor
    assert (
        page.state.selected() == ["b", 0] and page.inner_text(".cl-note") == "b[0, 0]: stored once by program (0, 0)."
    )
    assert (
        tensors.get_attribute("aria-activedescendant")
        and page.locator(f"[id='{tensors.get_attribute('aria-activedescendant')}']").text_content()
        == "b[0, 0]: stored once by program (0, 0)."
    )
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_programs_and_numbers_are_chosen_by_mouse(rows, open_view):
    page = open_view(rows, width=1100)
    programs, tensors = page.get_by_role("grid").all()
    box = programs.bounding_box()
    page.mouse.click(box["x"] + 2 + 2 * 26 + 8, box["y"] + 26 + 8)
    assert page.state.step() == 3
    box = tensors.bounding_box()
    page.mouse.click(box["x"] + 24 + 1.5 * 26, box["y"] + 22 + 2.5 * 26)
    assert page.state.selected() == ["x", 11]
    page.mouse.click(box["x"] + 24 + 1.5 * 26, box["y"] + 22 + 2.5 * 26)
    assert page.state.selected() is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rows", "long"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ring_of_the_first_program_is_whole_and_what_was_before_stands_out(rows, open_view, scheme):
    page = open_view(rows, width=1100, color_scheme=scheme)
    row = """(at, y) => { const canvas = document.querySelectorAll('canvas')[at], pen = new OffscreenCanvas(canvas.width, 1).getContext('2d', { willReadFrequently: true });
        pen.drawImage(canvas, 0, -y * devicePixelRatio); const d = pen.getImageData(0, 0, canvas.width, 1).data;
        return Array.from({ length: canvas.width }, (_, i) => [...d.slice(4 * i, 4 * i + 4)]); }"""
    line = page.evaluate(f"({row})(0, 37)")
    ink = [
        int(part)
        for part in page.evaluate("getComputedStyle(document.querySelector('.cl')).color").strip("rgb()").split(", ")
    ]
    assert line[0] + line[1] == pytest.approx([*ink, 255] * 2, abs=3)  # both pixels of the ring's left side
    page.evaluate("view.model.set('step', 2)")
    before, now, later = (
        [tuple(pixel[:3]) for pixel in page.evaluate(f"({row})(1, {22 + 13 + 26 * n})")[26 : 24 + 5 * 26 - 2]]
        for n in range(3)
    )
    assert (
        max(contrast(a, b) for a in set(before) for b in set(later)) >= 3
        and max(contrast(a, b) for a in set(before) for b in set(now)) >= 3
    )


def contrast(one, other):
    channel = lambda c: c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4
    low, high = sorted(0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b) for r, g, b in (one, other))
    return (high + 0.05) / (low + 0.05)
