"""The notebooks of this repository, as they are committed. (That their outputs are true is nbval's part.)"""

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
MOST_BYTES = 3_000_000  # well under what GitHub still shows


def named(lesson):
    return lesson.label


def test_the_first_lessons_and_their_exercises_are_there():
    labels = {lesson.label for lesson in LESSONS}
    assert {
        f"{folder}/{name}" for folder in ("notebooks", "solutions") for name in ("00_start_here", "01_naive_decoding")
    } <= labels


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_every_notebook_is_what_its_source_makes(lesson):
    assert check(ROOT, [lesson.label]) == []


def test_no_notebook_is_without_a_source():
    assert [found for found in check(ROOT) if "no source" in found] == []


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


@pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader and its SQLAlchemy, between themselves
@pytest.mark.parametrize("lesson", SOLUTIONS, ids=named)
def test_nbgrader_gives_the_solution_every_point(lesson, tmp_path):
    """The stub, which gets none, is handed in for one lesson. In all others its checks run in the browser's tests."""
    submissions = {"solved": lesson.target} | ({"untouched": None} if lesson is SOLUTIONS[0] else {})
    graded = grade(lesson.target, submissions, tmp_path / "course", CODE_STUB)
    score, most = graded["solved"]
    assert score == most > 0
    assert graded.get("untouched", (0.0, most)) == (0.0, most)
