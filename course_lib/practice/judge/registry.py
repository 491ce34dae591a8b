"""All exercises by their id, from the packages of the lessons, and the text of their solutions."""

import difflib
from functools import cache
from importlib import import_module
from importlib.resources import files

from course_lib.errors import ParameterError

from .outcome_text import a_kind

LESSONS = {f"{n:02d}": f"l{n:02d}" for n in range(19)}
"""Lesson number -> its package in `course_lib.practice.lessons`, in the order of the course."""


@cache
def exercises():
    """{id: Exercise} of the whole course, in its order."""
    found = {}
    for module in LESSONS.values():
        for exercise in import_module(f"course_lib.practice.lessons.{module}").EXERCISES:
            found[exercise.id] = exercise
    return found


def ids():
    """All exercise ids, in the order of the course."""
    return list(exercises())


def find(exercise_id):
    """The Exercise with this id. Raises ParameterError with the nearest ids."""
    known = exercises()
    if isinstance(exercise_id, str) and exercise_id in known:
        return known[exercise_id]
    if not isinstance(exercise_id, str):
        raise ParameterError(
            f'The first argument is the exercise\'s id, a text such as "{next(iter(known))}", '
            f"but it is {a_kind(exercise_id)}."
        )
    near = nearest(exercise_id, known)
    tip = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"The ids are {', '.join(list(known)[:4])} and others: `course progress` shows all."
    )
    raise ParameterError(f'There is no exercise "{exercise_id}". {tip}')


def solution_of(exercise):
    """The code of the exercise's solution, as in its cell in solutions/. `course build` writes it into a module.

    The module is read and not imported: one with a kernel would import Triton.
    """
    lesson, _, name = exercise.id.partition(".")
    module = files("course_lib.practice.lessons") / LESSONS[lesson] / "solutions" / f"{name}.py"
    return module.read_text(encoding="utf-8").partition(f"\n# %% {exercise.id}\n")[2]


def nearest(word, known):
    """Up to three ids that are spelled like `word`, or have the same name or lesson."""
    word = word.strip().lower()
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    by_name = {key.split(".", 1)[1]: key for key in known}
    close += [by_name[n] for n in difflib.get_close_matches(word.split(".")[-1], by_name, n=3, cutoff=0.6)]
    if not close and word[:2] in LESSONS:
        close = [key for key in known if key.startswith(word[:2])]
    return list(dict.fromkeys(close))[:3]
