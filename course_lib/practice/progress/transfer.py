"""Progress and workbook in one file: from one machine to another, such as from Colab to a laptop.

An import merges and forgets nothing: of each exercise the newer code stays, and the larger count of attempts and hints;
of each question the newer guess. So the same file can be read twice, and two machines in either order.
"""

import json
from errno import EISDIR
from pathlib import Path

from course_lib.errors import ParameterError

from . import workbook
from .store import Damaged, StoreError, parsed, write_whole

FORMAT = "llm-inference-course progress"
"""What an exported file calls itself. A copy of progress.json itself can be imported too."""


def export(path):
    """Writes all progress to `path`. Returns a sentence. The file is written whole or not at all.

    Raises ParameterError where nothing can be read or written, and for a file that holds something else.
    """
    path = Path(path).expanduser()
    if path.is_file() and not _is_ours(path):
        raise ParameterError(f"{path} is there and holds no progress, so it is left as it is. Name another file.")
    if problem := workbook.store().problem():
        raise ParameterError(f"Nothing was exported. {problem}")
    state, _ = workbook.store().read()
    try:
        if not path.name:
            raise IsADirectoryError(EISDIR, "Is a directory")
        write_whole(path, json.dumps({"format": FORMAT, **state}, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ParameterError(
            f"{path} cannot be written ({error.strerror or error}), so nothing was exported. Name a file in a folder "
            f"that exists and that you can write to."
        ) from error
    return f"{_count(state)} exported to {path}. On the other machine: course progress import {path.name}"


def _is_ours(path):
    """Whether an export may go in the place of this file."""
    try:
        parsed(path.read_bytes(), path)
    except Damaged:
        return path.stat().st_size == 0
    except (OSError, StoreError):
        return False
    return True


def import_(path):
    """Merges the progress in `path` into the workbook. Returns a sentence.

    Raises ParameterError for a file that cannot be read, is not the course's or comes from a newer version, and where
    the workbook cannot be written. Nothing has changed then.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ParameterError(
            f"{path} cannot be read ({error.strerror or error}), so nothing was imported. Name a file that "
            f"`course progress export` has written."
        ) from error
    try:
        theirs = parsed(text, path)
        if theirs.get("format", FORMAT) != FORMAT:
            raise Damaged(f"{path} is another program's") from ValueError(f"it calls itself {theirs['format']!r}")
    except Damaged as problem:
        raise ParameterError(
            f"{path} is not a file of the course's progress, or is damaged ({problem.__cause__}), so nothing was "
            f"imported. Name a file that `course progress export` has written."
        ) from problem
    except StoreError as problem:
        raise ParameterError(
            f"{path} was written by a newer version of the course, so nothing was imported. Update the course here."
        ) from problem
    store = workbook.store()
    if isinstance(problem := store.problem(), StoreError):
        raise ParameterError(f"Nothing was imported. {problem}")
    said = store.update(lambda state: merge(state, theirs))  # a damaged workbook is set aside, and said
    if store.is_waiting:
        raise ParameterError(f"Nothing was imported. {' '.join(said)}")
    return " ".join([f"{_count(theirs)} imported from {path}. `course progress` shows what is done.", *said])


def merge(state, theirs):
    """Brings what `theirs` knows into `state`, in place. The order of merges does not matter."""
    for exercise_id, other in theirs["exercises"].items():
        mine = state["exercises"].setdefault(exercise_id, {})
        for count in ("attempts", "hints"):
            if most := max(mine.get(count, 0), other.get(count, 0)):
                mine[count] = most
        if passed := max((one.get("passed") for one in (mine, other)), key=_worth):
            mine["passed"] = passed
    for question, other in theirs["guesses"].items():
        state["guesses"][question] = max(state["guesses"].get(question, other), other, key=_age)


def _worth(passed):
    """Of two passes the one with code is kept, and of these the newer."""
    return (bool(passed), bool(passed and passed.get("source")), *_age(passed or {}))


def _age(entry):
    return str(entry.get("when", "")), json.dumps(entry, sort_keys=True)  # the text decides where the times are equal


def _count(state):
    done = sum(bool(entry.get("passed")) for entry in state["exercises"].values())
    exercises, guesses = ("exercise" if done == 1 else "exercises"), len(state["guesses"])
    return f"{done} passed {exercises} and {guesses} {'guess' if guesses == 1 else 'guesses'}"
