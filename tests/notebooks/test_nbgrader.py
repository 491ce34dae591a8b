"""An assignment made from a solution grades itself: all points for the solution, none for the stub."""

import pytest
from grading import grade

from course_lib.authoring.stubs import CODE_STUB

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader and its SQLAlchemy, between themselves


def test_a_solution_gets_every_point_and_a_stub_none(checkout, tmp_path):
    solution = checkout / "solutions" / "01_trial.ipynb"
    submissions = {"solved": solution, "untouched": None, "our_stub": checkout / "exercises" / "01_trial.ipynb"}
    course = tmp_path / "nbgrader"
    assert grade(solution, submissions, course, CODE_STUB) == {
        "solved": (2.0, 2.0),
        "untouched": (0.0, 2.0),
        "our_stub": (0.0, 2.0),
    }


def test_what_nbgrader_releases_is_what_course_build_writes(checkout, tmp_path):
    """So a teacher may hand out exercises/ as they are."""
    import nbformat

    solution = checkout / "solutions" / "01_trial.ipynb"
    grade(solution, {}, tmp_path / "nbgrader", CODE_STUB)
    released = nbformat.read(tmp_path / "nbgrader" / "release" / "01_trial" / "01_trial.ipynb", as_version=4)
    ours = nbformat.read(checkout / "exercises" / "01_trial.ipynb", as_version=4)
    assert [cell.source for cell in released.cells] == [cell.source for cell in ours.cells]
    assert [cell.metadata.get("nbgrader") for cell in released.cells] == [
        cell.metadata.get("nbgrader") for cell in ours.cells
    ]


def test_outputs_are_graded_as_they_are_handed_in_where_nothing_is_executed(checkout, tmp_path):
    """An error in the cell that grades is worth nothing, whoever ran it."""
    import nbformat

    solution, failed = checkout / "solutions" / "01_trial.ipynb", tmp_path / "failed.ipynb"
    notebook = nbformat.read(solution, as_version=4)
    [check] = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    check.outputs = [nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=[])]
    nbformat.write(notebook, failed)
    graded = grade(solution, {"solved": solution, "failed": failed}, tmp_path / "nbgrader", CODE_STUB, execute=False)
    assert graded == {"solved": (2.0, 2.0), "failed": (0.0, 2.0)}
