"""The learner's workbook: what was passed, tried, hinted and guessed, and the code itself.

It lives in one file, `progress.json` under COURSE_HOME (default `~/.course`).
"""

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.source.extract import revive

from .moved import renewed
from .store import Damaged, Nowhere, Store, StoreError

_stores: dict[Path | None, Store] = {}


def home():
    """The folder of the workbook, or None where the system knows no home folder.

    A run by nbgrader has one of its own, so that it meets nothing of whoever grades.
    """
    if "NBGRADER_EXECUTION" in os.environ:
        return Path(os.environ.get("COURSE_GRADED_HOME") or _empty_home().name)
    try:
        return Path(os.environ.get("COURSE_HOME") or "~/.course").expanduser()
    except RuntimeError:
        return None


@cache
def _empty_home():
    """A folder that is there until this process ends."""
    return tempfile.TemporaryDirectory(prefix="course-graded-")


def store():
    """The Store of this COURSE_HOME; it remembers what could not be written yet."""
    folder = home()
    return _stores.setdefault(folder, Store(folder) if folder else Nowhere())


@dataclass(frozen=True)
class Entry:
    """What the workbook knows of one exercise."""

    attempts: int = 0
    hints: int = 0
    passed: dict | None = None
    """{"when": ISO time, "name": what was defined, "source": its code or "", "why_not": reason}"""

    @property
    def state(self):
        return "done" if self.passed else "tried" if self.attempts or self.hints else ""


def entries():
    """({exercise id: Entry}, notices)."""
    state, notices = store().read()
    return {
        key: Entry(e.get("attempts", 0), e.get("hints", 0), e.get("passed")) for key, e in state["exercises"].items()
    }, notices


def notices():
    """What must be said of a workbook that cannot be read; [] when all is well."""
    return store().read()[1]


def entry(exercise_id):
    """The Entry of one exercise; an empty one where nothing was done yet."""
    return entries()[0].get(exercise_id, Entry())


def record_check(exercise_id, passed=None):
    """Counts an attempt; `passed` is the table of a pass (see Entry). Returns notices."""

    def change(state):
        e = state["exercises"].setdefault(exercise_id, {})
        e["attempts"] = e.get("attempts", 0) + 1
        if passed is None:
            return
        earlier = e.get("passed") or {}
        if not passed["source"] and earlier.get("source"):
            return  # what was saved before is worth more than a pass without code
        e["passed"] = passed

    return store().update(change)


def record_hint(exercise_id, shown):
    """Keeps that `shown` hints were given. Returns notices."""

    def change(state):
        e = state["exercises"].setdefault(exercise_id, {})
        e["hints"] = max(e.get("hints", 0), shown)

    return store().update(change)


def record_guess(question_id, choice, option, right, question="", answer=""):
    """Keeps a guess; `right` is None and `answer` empty where the question does not say. Returns notices."""
    kept = {"choice": choice, "option": option, "right": right, "question": question, "answer": answer, "when": now()}

    def change(state):
        state["guesses"][question_id] = kept

    return store().update(change)


def guess(question_id):
    """The guess that was kept, or None."""
    return store().read()[0]["guesses"].get(question_id)


def guesses():
    """({question id: guess}, notices) of all that were kept."""
    state, said = store().read()
    return state["guesses"], said


def now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def load(exercise_id):
    """The learner's own object (function or class), made from the code that passed.

    Raises CourseError for an unknown id and where no code was saved.
    """
    from course_lib.practice.judge.registry import find

    exercise = find(exercise_id)
    passed = entry(exercise.id).passed
    if not passed:
        raise CourseError(
            f"{exercise.id} is not passed yet, so the workbook holds no code for it. "
            f'Pass check("{exercise.id}", {exercise.name}) first.'
        )
    if not passed.get("source"):
        raise CourseError(
            f"{exercise.id} was passed, but its code was not saved: {passed.get('why_not', '')} "
            f'Change that and run check("{exercise.id}", {exercise.name}) again.'
        )
    return revive(renewed(passed["source"]), passed["name"], f"workbook {exercise.id}")


def reset(*exercise_ids):
    """Forgets these exercises, or without any everything, after keeping a copy. Returns a sentence.

    Raises CourseError for an unknown id, and when the copy or the change cannot be written.
    """
    from course_lib.practice.judge.registry import find

    wanted = [find(exercise_id).id for exercise_id in exercise_ids]
    problem = store().problem()
    if isinstance(problem, StoreError):
        raise CourseError(f"Nothing was reset. {problem}")
    if isinstance(problem, Damaged):  # setting it aside keeps it, so there is no need for a copy
        said = store().update(lambda state: None)
        if store().problem():
            raise CourseError(" ".join([f"Nothing was reset. {problem}.", *said]))
        return " ".join([*said, "No progress could be read from it, so nothing else is left to reset."])
    try:
        copy = store().back_up()
    except OSError as error:
        raise CourseError(
            f"No copy of the progress could be written to {home()} ({error.strerror or error}), so "
            f"nothing was reset. Make room there, or check its permissions."
        ) from error
    if copy is None:
        return f"There was nothing to reset: {store().path} does not exist."

    def change(state):
        if not wanted:
            state["exercises"].clear()
            state["guesses"].clear()
        for exercise_id in wanted:
            state["exercises"].pop(exercise_id, None)

    said = store().update(change)
    what = f"{', '.join(wanted) or 'Everything'} {'are' if len(wanted) > 1 else 'is'} reset."
    return " ".join([f"{what} The state before is kept in {copy}.", *said])
