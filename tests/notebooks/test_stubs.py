"""What a learner gets: the exercise without its solution, which fails with words until it is solved."""

import copy

import nbformat
import pytest
from made_up import EXERCISE, make_checkout
from stub_lines import leaked, solution_lines

from course_lib.authoring import check
from course_lib.authoring.stubs import CODE_STUB


def read(checkout, folder):
    return nbformat.read(checkout / folder / "01_trial.ipynb", as_version=4)


def test_the_stub_holds_no_line_of_the_solution(checkout):
    solution, stub = read(checkout, "solutions"), read(checkout, "exercises")
    assert solution_lines(solution.cells[3].source) == ["twice_the_number = number + number", "return twice_the_number"]
    assert leaked(solution, stub) == []
    assert leaked(solution, solution) != []


def test_a_line_that_slips_into_the_stub_is_found(checkout):
    solution, stub = read(checkout, "solutions"), read(checkout, "exercises")
    stub.cells[0].source += "\n    twice_the_number = number + number"
    assert leaked(solution, stub) == ["twice_the_number = number + number"]


def test_the_stub_keeps_signature_and_docstring_and_has_no_outputs(checkout):
    stub = read(checkout, "exercises")
    assert stub.cells[3].source.startswith(
        'def double(number):\n    """Returns twice `number`."""\n    # YOUR CODE HERE'
    )
    assert [cell.execution_count for cell in stub.cells if cell.cell_type == "code"] == [None, None, None]
    assert all(cell.outputs == [] for cell in stub.cells if cell.cell_type == "code")


def test_an_unsolved_stub_says_so(checkout):
    names = {}
    exec(read(checkout, "exercises").cells[3].source, names)
    with pytest.raises(NotImplementedError, match="Your turn"):
        names["double"](21)
    assert "Your turn" in CODE_STUB


def test_cells_carry_what_nbgrader_needs(checkout):
    answer, grade = (cell.metadata for cell in read(checkout, "exercises").cells[3:5])
    assert answer.course == {"exercise": "01.double"}
    assert {"solution": True, "grade": False, "locked": False, "schema_version": 3}.items() <= answer.nbgrader.items()
    assert {"solution": False, "grade": True, "locked": True, "points": 2}.items() <= grade.nbgrader.items()
    assert answer.nbgrader.checksum and grade.nbgrader.checksum
    assert (grade.editable, answer.deletable) == (False, False)


def test_a_solution_without_marks_is_cleared_whole(tmp_path):
    """nbgrader's own rule, relied on for short answers: no region marked means that the whole cell is the solution."""
    from course_lib.authoring.sources import read_source
    from course_lib.authoring.stubs import make_stub
    from course_lib.checkout import lessons

    root = make_checkout(
        tmp_path / "course", exercise=EXERCISE.replace("### BEGIN", "# start of").replace("### END", "# end of")
    )
    [lesson] = lessons(root, ["solutions/01"])
    stub = make_stub(read_source(lesson, root))
    assert stub.cells[3].source == CODE_STUB


def test_making_the_stub_leaves_the_solution_alone(checkout):
    from course_lib.authoring.stubs import make_stub

    solution = read(checkout, "solutions")
    before = copy.deepcopy(solution)
    make_stub(solution)
    assert solution == before
    assert check(checkout) == []
