"""Answers as they are saved in exercise notebooks, for `course check` and `course next`."""

import ast
import contextlib
import io
import json
import linecache
import sys
import types
from pathlib import Path

from ..checkout import find_root
from ..errors import CourseError
from . import registry, workbook
from .check import check


_ASKS = {"check", "hint", "solution", "progress", "predict"}


def expand(names):
    """The exercise ids that `names` mean: ids themselves, or lesson numbers for all of theirs, in course order.

    Raises CourseError for an unknown name, with the nearest ones.
    """
    ids = []
    for name in names:
        found = [exercise_id for exercise_id in registry.ids() if exercise_id.partition(".")[0] == name]
        ids += found or [registry.find(name).id]
    return list(dict.fromkeys(ids))


def begun():
    """The exercises whose saved cell is no longer the stub, in course order."""
    return [exercise_id for exercise_id in registry.ids() if _is_begun(exercise_id)]


def check_saved(exercise_id, file=None):
    """check() on the answer saved in `file`, or in the lesson's exercise notebook. Returns the CheckResult.

    The notebook's code cells down to the answer run first, in a fresh namespace and without their output; cells
    that check or hint do not. Another cell that fails is noted beside a result that is not right.
    Raises CourseError where there is no such answer, or where its own cell fails.
    """
    exercise = registry.find(exercise_id)
    path = Path(file) if file else _notebook_of(exercise.id)
    pieces = _pieces(path, exercise.id)
    module = sys.modules["answers"] = types.ModuleType("answers")  # where the source of a class is looked for
    failed = []
    for number, source in pieces:
        name = f"<{path.name}, cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # so that the code can be shown and saved
        module.__file__ = name
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, name, "exec"), module.__dict__)
        except Exception as error:
            failed.append(f"{path.name}, cell {number}, ends in {type(error).__name__}: {error}")
            if number == pieces[-1][0]:
                raise CourseError(f"{failed[-1]}\nIt should define {exercise.name}, so nothing was checked. Run the notebook "
                                  f"from the top to see where it fails.") from error
    if not hasattr(module, exercise.name):
        raise CourseError(f"{path} defines no {exercise.name}, which is what {exercise.id} asks for.")
    result = check(exercise.id, getattr(module, exercise.name))
    if result.state == "failed":
        result.notices.extend(failed)
    return result


def next_step():
    """One or two sentences: the first exercise that is not passed, and where it is."""
    for exercise_id in registry.ids():
        entry = workbook.entry(exercise_id)
        if entry.passed:
            continue
        exercise = registry.find(exercise_id)
        where = _notebook_of(exercise_id, must_exist=False)
        lesson = where.with_name("notebooks") / where.name if where else None
        verb = "Go on with" if entry.state else "Next"
        text = f"{verb}: {exercise_id}, {exercise.title}."
        if where:
            text += f"\nIt is in exercises/{where.name}; its lesson is notebooks/{lesson.name}."
        return text + f"\nStuck? course hint {exercise_id}"
    return "Every exercise is passed. Nothing is left to do here."


def _notebook_of(exercise_id, *, must_exist=True):
    try:
        folder = find_root() / "exercises"
    except CourseError:
        if must_exist:
            raise
        return None
    number = exercise_id.partition(".")[0]
    found = sorted(folder.glob(f"{number}_*.ipynb"))
    if not found and must_exist:
        raise CourseError(f"There is no notebook {number}_….ipynb in {folder}. Name the file with your answer: --file PATH")
    return found[0] if found else None


def _pieces(path, exercise_id):
    """[(cell number, code)] to run for an answer: a whole .py file, or a notebook's cells down to the answer."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from error
    if path.suffix != ".ipynb":
        return [(1, text)]
    try:
        cells = [(number, cell["metadata"], "".join(cell["source"]))
                 for number, cell in enumerate(json.loads(text)["cells"], start=1) if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} is no notebook that can be read ({type(error).__name__}: {error}). Save it again in Jupyter.") from error
    pieces = []
    for number, about, source in cells:
        source = _without_magics(source)
        if not about.get("nbgrader", {}).get("grade") and not _only_asks(source):
            pieces.append((number, source))
        if about.get("course", {}).get("exercise") == exercise_id:
            return pieces
    raise CourseError(f"{path} has no cell for {exercise_id}. Get the notebook back with: git checkout -- {path}")


def _without_magics(source):
    """The cell without its %magic and !shell lines, which are Jupyter's and not Python's. Line numbers stay."""
    return "\n".join("" if line.startswith(("%", "!")) else line for line in source.split("\n"))


def _only_asks(source):
    """Whether a cell does nothing but check, hint, guess and the like: running it again would count."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
                              and getattr(node.value.func, "id", "") in _ASKS for node in body)


def _is_begun(exercise_id):
    path = _notebook_of(exercise_id, must_exist=False)
    if path is None:
        return False
    try:
        tree = ast.parse(_pieces(path, exercise_id)[-1][1])
    except (CourseError, SyntaxError):
        return True  # something was done to it; the check says what
    return not any(isinstance(node, ast.Name) and node.id == "NotImplementedError" for node in ast.walk(tree))
