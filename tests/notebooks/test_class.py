"""A small class, graded by nbgrader from a folder of `course release`; benchmarks/nbgrader_class.py has a large one."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from submissions import hand_in

from course_lib.checkout import lessons
from course_lib.teaching.release import release

ROOT = Path(__file__).resolve().parents[2]
[LESSON] = lessons(ROOT, ["solutions/03"])
SECRET = "a-key-of-the-grader"
KINDS = [
    "looks around + os._exit below it",
    "cheats: def check + cheats: course_lib.check + cheats: the judge + cheats: the cases + cheats: its environment",
    "never ends, swallows",
    "answer deleted",
]


def without_demonstrations(notebook):
    """Only what is needed to grade: the cells before the first answer, answers and checks."""
    first = next(n for n, cell in enumerate(notebook.cells) if "nbgrader" in cell.metadata)
    notebook.cells = notebook.cells[:first] + [cell for cell in notebook.cells[first:] if "nbgrader" in cell.metadata]
    return notebook


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """{kind: (graded notebook, fair points)}, the folder of the course, and the home of the grader."""
    folder, home = tmp_path_factory.mktemp("class") / "course", tmp_path_factory.mktemp("home")
    release(ROOT, folder, ["solutions/03"], report=lambda line: None)
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write("c.GradedRun.cell_seconds = 4\n")
    solution, fair = without_demonstrations(nbformat.read(LESSON.target, as_version=4)), {}
    for number, kind in enumerate(KINDS):
        notebook, fair[kind] = hand_in(solution, *kind.split(" + "))
        path = folder / "submitted" / str(number) / LESSON.name / LESSON.target.name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    env = os.environ | {"HOME": str(home), "COURSE_HOME": str(home / "course"), "A_KEY": SECRET}
    command = [sys.executable, "-m", "nbgrader", "autograde", LESSON.name]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    files = [folder / "autograded" / str(n) / LESSON.name / LESSON.target.name for n in range(len(KINDS))]
    read = [nbformat.read(path, as_version=4) for path in files]
    return {kind: (notebook, fair[kind]) for kind, notebook in zip(KINDS, read)}, folder, home


@pytest.fixture(scope="module")
def points(graded):
    """{kind: points in the gradebook}; a kind with pending points is not in it."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded[1]}/gradebook.db") as gradebook:
        found = gradebook.assignment_submissions(LESSON.name)
        return {KINDS[int(one.student.id)]: one.score for one in found if not one.needs_manual_grade}


@pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader and its SQLAlchemy, between themselves
@pytest.mark.parametrize("kind", KINDS)
def test_each_gets_a_fair_mark(graded, points, kind):
    assert points[kind] == graded[0][kind][1]


def test_the_rest_runs_on_the_courses_answer_where_one_does_not_pass_and_it_is_said(graded):
    said = "The cells below run on the course's `bytes_per_token`"
    assert {kind for kind in KINDS if said in nbformat.writes(graded[0][kind][0])} == set(KINDS[1:])


def test_a_check_that_did_not_pass_shows_its_card_and_no_line_of_ours(graded):
    cell = next(cell for cell in graded[0][KINDS[1]][0].cells if "check(" in cell.source and cell.outputs)
    card, error, note = cell.outputs
    assert "text/html" in card.data and note.name == "stdout"
    assert (error.ename, len(error.traceback)) == ("CheckFailed", 1) and "\n" not in error.evalue


def test_what_was_stopped_and_refused_is_said_in_the_cell(graded):
    assert "OutOfTime: stopped: not done after 4 s" in nbformat.writes(graded[0]["never ends, swallows"][0])
    assert "`os._exit()` would end the whole notebook" in nbformat.writes(graded[0][KINDS[0]][0])


def test_nothing_of_the_grader_is_in_a_graded_notebook(graded):
    notebooks, folder, home = graded
    for place in (SECRET, str(home), str(folder), str(ROOT), sys.prefix):
        assert [kind for kind in KINDS if place in nbformat.writes(notebooks[kind][0])] == []
    assert not (home / "course").exists()
