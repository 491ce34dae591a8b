"""`course release`: a course folder for nbgrader, and what a teacher has changed in it."""

import nbformat
import pytest

from course_lib.errors import CourseError
from course_lib.teaching.cells import mark_as_released, put_back
from course_lib.teaching.release import release

SOURCE, RELEASED = "source/01_trial/01_trial.ipynb", "release/01_trial/01_trial.ipynb"


def released(checkout, folder, *names):
    """The lines that a release reports."""
    lines = []
    release(checkout, folder, names, report=lines.append)
    return lines


def add(path, text):
    path.write_text(path.read_text() + text)


def test_a_release_is_made_renewed_and_never_written_over_a_teachers_change(checkout, tmp_path):
    folder = tmp_path / "class"
    made = ["nbgrader_config.py", SOURCE, RELEASED, "README.md"]
    assert released(checkout, folder, "01") == [f"written  {name}" for name in made]
    source = nbformat.read(folder / SOURCE, as_version=4)
    stub = nbformat.read(folder / RELEASED, as_version=4)
    assert "twice_the_number" in source.cells[3].source and "twice_the_number" not in stub.cells[3].source
    assert all(not cell.get("outputs") for cell in source.cells)
    assert "01_trial: 1 check, 2 points in all" in (folder / "README.md").read_text()

    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert released(checkout, folder, "01") == []
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before

    source.cells[4].source += "\n### BEGIN HIDDEN TESTS\nprint('private')\n### END HIDDEN TESTS"
    nbformat.write(source, folder / SOURCE)
    add(folder / "nbgrader_config.py", "c.GradedRun.cell_seconds = 60\n")
    lines = released(checkout, folder, "01")
    assert [line.split(":")[0] for line in lines] == [
        "kept     nbgrader_config.py",
        f"kept     {SOURCE}",
        f"written  {RELEASED}",
    ]
    assert "private" in (folder / SOURCE).read_text() and "private" not in (folder / RELEASED).read_text()
    assert "cell_seconds = 60" in (folder / "nbgrader_config.py").read_text()

    add(folder / RELEASED, "\n")
    (folder / SOURCE).unlink()
    lines = released(checkout, folder, "01")
    assert [line.split(":")[0] for line in lines[1:]] == [f"written  {SOURCE}", f"kept     {RELEASED}"]


@pytest.mark.parametrize("text", ["{", "3"])
def test_a_damaged_record_of_what_was_written_says_what_to_do(checkout, tmp_path, text):
    (tmp_path / ".course_release.json").write_text(text)
    with pytest.raises(CourseError, match="is damaged .*Delete it"):
        release(checkout, tmp_path, ["01"])


@pytest.mark.parametrize("folder", ["source", "."], ids=["a file", "a file where source/ should be"])
def test_a_folder_that_cannot_be_written_is_said(checkout, tmp_path, folder):
    (tmp_path / "source").write_text("")
    with pytest.raises(CourseError, match="cannot be used as a course folder: .*Name a folder"):
        release(checkout, tmp_path / folder, ["01"])


def test_a_lesson_without_exercises_is_refused(checkout, tmp_path):
    with pytest.raises(CourseError, match="No exercises belong to notebooks/01"):
        release(checkout, tmp_path / "class", ["notebooks/01"])
    assert not (tmp_path / "class").exists()


@pytest.mark.parametrize("deleted", [(3,), (4,), (3, 4), (0, 1, 2, 3, 4)], ids=str)
def test_deleted_cells_come_back_in_their_order(checkout, deleted):
    stub = nbformat.read(checkout / "exercises" / "01_trial.ipynb", as_version=4)
    mine = nbformat.from_dict(stub)
    mine.cells = [cell for number, cell in enumerate(stub.cells) if number not in deleted]
    assert put_back(mine, stub) == [stub.cells[n].metadata.nbgrader.grade_id for n in (3, 4) if n in deleted]
    assert mine.cells[-2:] == stub.cells[3:5]


def test_copies_and_unknown_cells_lose_their_place_in_nbgrader(checkout):
    stub = nbformat.read(checkout / "exercises" / "01_trial.ipynb", as_version=4)
    mine = nbformat.from_dict(stub)
    mine.cells[3].metadata.nbgrader = {"grade_id": "double", "points": 50}  # of an old version, and more points
    mine.cells.insert(0, nbformat.v4.new_code_cell("1", metadata={"nbgrader": {"grade_id": "double-check"}}))
    mine.cells.append(nbformat.v4.new_code_cell("2", metadata={"nbgrader": {"grade_id": "mine"}}))
    mine.cells.append(nbformat.v4.new_code_cell("3", metadata={"nbgrader": {}}))
    mark_as_released(mine, stub)
    found = {number: cell.metadata.nbgrader for number, cell in enumerate(mine.cells) if "nbgrader" in cell.metadata}
    assert found == {4: stub.cells[3].metadata.nbgrader, 5: stub.cells[4].metadata.nbgrader}
