"""Every story that a check can print runs when it is copied into a notebook, below the exercise's cell."""

import ast
import contextlib
import io
import re
import sys
import traceback
from functools import cache
from pathlib import Path

import pytest

from course_lib.authoring.solutions import imports_of
from course_lib.errors import CourseError
from course_lib.practice import play
from course_lib.practice.judge import registry
from course_lib.practice.judge.outcome_text import written
from course_lib.practice.judge.running import untouched_randomness

EXERCISES = registry.exercises()
SOURCES = Path(__file__).parents[2] / "solutions" / "src"


def label(value):
    return value.id


@cache
def page(exercise_id):
    """The names that the exercise's page has imported above its cell."""
    lesson, names = exercise_id.partition(".")[0], {}
    [source] = SOURCES.glob(f"{lesson}_*.py")
    above, _, _ = source.read_text(encoding="utf-8").partition(f'"exercise": "{exercise_id}"')
    for cell in above.split("\n# %%"):
        if "course={" not in cell.partition("\n")[0]:
            exec("\n".join(imports_of(cell.partition("\n")[2]).values()), names)
    return names


def surprise(story, names):
    """The first error that the story runs into, without those that the answer itself is asked to raise; or None."""
    text = "\n".join(story)
    for node in ast.parse(
        text
    ).body:  # one statement after the other: what comes after an error is run in the next cell
        try:
            with contextlib.redirect_stdout(io.StringIO()), untouched_randomness():
                exec(compile(ast.Module([node], []), "<story>", "exec"), names)
        except CourseError as error:
            if not re.search(r"lessons/l\d\d/", traceback.extract_tb(error.__traceback__)[-1].filename):
                return error
        except Exception as error:
            return error
    return None


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=label)
def test_every_story_runs_in_a_notebook(exercise):
    stories = {"\n".join(trial.story): trial for trial in exercise.trials}
    for trial in stories.values():
        error = surprise(trial.story, {**page(exercise.id), exercise.name: exercise.reference})
        assert error is None or type(error).__name__ in written(trial, exercise.expected(trial)), (
            f"{error!r} in\n" + "\n".join(trial.story)
        )


def test_play_has_every_name_of_its_list():
    for name in play.__all__:
        assert getattr(play, name) is not None
    assert dir(play) == play.__all__
    assert "torch" in sys.modules  # some of them need it, and it was loaded for them only


def test_every_name_that_a_story_imports_is_offered():
    lessons = Path(play.__file__).parent / "lessons"
    for path in sorted(lessons.rglob("*.py")):
        for names in re.findall(r"from course_lib\.practice\.play import ([\w, ]+)", path.read_text(encoding="utf-8")):
            assert {name.strip() for name in names.split(",")} - {""} <= set(play.__all__), (path, names)
