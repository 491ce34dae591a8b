"""The notebooks of this repository, as they are committed. (That their outputs are true is nbval's part.)"""

import re
from pathlib import Path

import nbformat
import pytest
from grading import grade
from stub_lines import leaked

from course_lib.authoring import check
from course_lib.authoring.stubs import CODE_STUB
from course_lib.checkout import lessons
from course_lib.practice.notebook_answers import expand

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)
SOLUTIONS = [lesson for lesson in LESSONS if lesson.stub]
RUN_BY_NBGRADER = ("00",)
"""One is enough here: test_class.py grades submissions that nbgrader runs, with parts of the workbook."""
MOST_BYTES = 3_000_000  # well under what GitHub still shows


def named(lesson):
    return lesson.label


def test_the_first_lessons_and_their_exercises_are_there():
    labels = {lesson.label for lesson in LESSONS}
    assert {
        f"{folder}/{name}" for folder in ("notebooks", "solutions") for name in ("00_start_here", "01_naive_decoding")
    } <= labels


@pytest.fixture(scope="module")
def problems():
    """What `course build --check` says. A sentence about a lesson has its label."""
    return check(ROOT)


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_every_notebook_is_what_its_source_makes(problems, lesson):
    assert [found for found in problems if lesson.label in found] == []


def test_no_notebook_is_without_a_source(problems):
    assert [found for found in problems if not any(lesson.label in found for lesson in LESSONS)] == []


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_every_notebook_is_valid_and_small_enough_to_be_shown(lesson):
    for path in filter(None, (lesson.target, lesson.stub)):
        nbformat.validate(nbformat.read(path, as_version=4))
        assert path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("lesson", SOLUTIONS, ids=named)
def test_no_stub_holds_a_line_of_its_solution(lesson):
    solution = nbformat.read(lesson.target, as_version=4)
    assert leaked(solution, nbformat.read(lesson.stub, as_version=4)) == []


@pytest.mark.parametrize("lesson", SOLUTIONS, ids=named)
def test_a_notebook_holds_the_exercises_of_its_lesson_in_order(lesson):
    cells = nbformat.read(lesson.stub, as_version=4).cells
    in_notebook = [
        cell.metadata["course"]["exercise"] for cell in cells if "exercise" in cell.metadata.get("course", {})
    ]
    assert in_notebook == expand([lesson.name.partition("_")[0]])


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_links_between_notebooks_lead_to_a_file(lesson):
    for path in filter(None, (lesson.target, lesson.stub)):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for link in re.findall(r"\]\((\.\./[^)#]+)\)", cell.source):
                    assert (path.parent / link).is_file(), f"{lesson.label}: {link}"


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_a_committed_notebook_runs_on_the_references_parts_of_other_lessons(lesson):
    for cell in nbformat.read(lesson.target, as_version=4).cells:
        if "= load_parts(" in cell.source:
            [shown] = [output.data["text/plain"] for output in cell.outputs]
            yours, _, reference = shown.partition("The reference's: ")
            passed_above = {name.partition(".")[0] for name in re.findall(r"\d\d\.\w+", yours)}
            assert reference and passed_above <= {lesson.name[:2]}


@pytest.fixture(scope="module")
def nbgrader_course(tmp_path_factory):
    return tmp_path_factory.mktemp("nbgrader") / "course"


@pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader and its SQLAlchemy, between themselves
@pytest.mark.parametrize("lesson", SOLUTIONS, ids=named)
def test_nbgrader_gives_the_solution_every_point(lesson, nbgrader_course):
    """nbgrader runs those of RUN_BY_NBGRADER, and for one of them the stub, which gets none.

    Of the others it grades the outputs that are committed. That a run gives these is what the browser's tests say,
    which run the stubs too; and that a check which does not pass is an error under nbgrader, test_check.py.
    """
    submissions = {"solved": lesson.target} | ({"untouched": None} if lesson is SOLUTIONS[0] else {})
    execute = lesson.name.partition("_")[0] in RUN_BY_NBGRADER
    graded = grade(lesson.target, submissions, nbgrader_course, CODE_STUB, execute=execute)
    score, most = graded["solved"]
    assert score == most > 0
    assert graded.get("untouched", (0.0, most)) == (0.0, most)
