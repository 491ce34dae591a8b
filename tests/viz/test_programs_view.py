"""What each program loads and stores: rectangles, words and sums of a record by hand, and what is refused."""

import copy
import json

import pytest
from kernel_records import access, by_rows, in_blocks

from course_lib.errors import ParameterError
from course_lib.viz import programs_view
from course_lib.viz.programs.model import boxes


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
    cells = sorted((r, c) for r0, r1, c0, c1 in boxes(runs, cols) for r in range(r0, r1) for c in range(c0, c1))
    assert cells == sorted(divmod(i, cols) for start, end in runs for i in range(start, end))


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
        == "Program 0 loads 20 bytes of x and stores 4 bytes of out. 7 lanes are masked: 3 of x (outside of x, "
        "so not drawn), 4 of out (2 hatched)."
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
