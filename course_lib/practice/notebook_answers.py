"""Answers as they are saved in exercise notebooks, for `course check` and `course next`."""

import ast
import contextlib
import io
import json
import linecache
import sys
import textwrap
import types
from pathlib import Path

from course_lib.checkout import find_root, list_of_lessons
from course_lib.errors import CourseError, ParameterError

from .check import check
from .judge import limits, registry, running
from .lesson_head import lesson_head
from .progress import workbook
from .progress.moved import renewed

_CELL_LIMIT_S = 120.0
"""A cell is stopped after so many seconds. Generous: a lesson may measure, or load a model."""
MOST_NAMED = 6
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
    """The exercises whose saved cell is no longer the stub, in course order. Raises CourseError without a checkout."""
    find_root()
    return [
        exercise_id
        for exercise_id in registry.ids()
        if _is_begun(exercise_id, _notebook_of(exercise_id, must_exist=False))
    ]


def choose(names, file=None):
    """(exercise ids to check, ids of the named lessons that are not in `file`).

    Without names: all that are begun in the notebooks, or all that `file` defines. An exercise that is named
    itself is always among the first: that its answer is missing is an error then.
    Raises ParameterError for an unknown name, for a file that cannot be read, and where nothing is left to check.
    """
    wanted = expand(names) if names else begun() if file is None else registry.ids()
    if file is None:
        return wanted, []
    held = _held_in(Path(file))
    chosen = [i for i in wanted if i in held or i in (names or ())]
    if not chosen:
        asked = ", ".join(f"{registry.find(i).name} ({i})" for i in wanted[:MOST_NAMED])
        asked += f" and {len(wanted) - MOST_NAMED} more" * (len(wanted) > MOST_NAMED)
        raise ParameterError(f"{file} holds no answer yet, so nothing was checked. It can define: {asked}.")
    return chosen, [i for i in wanted if i not in chosen] if names else []


def _held_in(path):
    """The exercises that a .py file defines by name, or whose cell in a notebook is no longer the stub."""
    if path.suffix == ".ipynb":
        _cells(path)
        return [i for i in registry.ids() if _has_cell(path, i) and _is_begun(i, path)]
    text = _read(path)
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise ParameterError(
            f"{path} is not Python ({type(error).__name__}: {error}), so nothing was checked. "
            f"Run it by itself to see where it fails."
        ) from error
    targets = [t for node in body if isinstance(node, ast.Assign) for t in node.targets]
    defined = {getattr(node, "name", "") for node in body} | {getattr(t, "id", "") for t in targets}
    return [i for i in registry.ids() if registry.find(i).name in defined]


def _has_cell(path, exercise_id):
    try:
        return bool(_pieces(path, exercise_id))
    except CourseError:
        return False


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
        linecache.cache[name] = (
            len(source),
            None,
            source.splitlines(True),
            name,
        )  # so that the code can be shown and saved
        module.__file__ = name
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                limits.limited(lambda: exec(compile(source, name, "exec"), module.__dict__), _CELL_LIMIT_S)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # exit() too, or the whole check would end here without a word
            failed.append(f"{path.name}, cell {number}, ends in {type(error).__name__}: {running.message(error)}")
            if number == pieces[-1][0]:
                raise CourseError(
                    f"{failed[-1]}\nIt should define {exercise.name}, so nothing was checked. Run the notebook "
                    f"from the top to see where it fails."
                ) from error
    if not hasattr(module, exercise.name):
        raise ParameterError(f"{path} defines no {exercise.name}, which is what {exercise.id} asks for.")
    result = check(exercise.id, getattr(module, exercise.name))
    if result.state == "failed":
        result.notices.extend(failed)
    return result


def next_step():
    """A few lines: the first exercise that is not passed, where it is, and what is wrong with the workbook."""
    entries, notices = workbook.entries()
    return "\n".join([_next_of(entries), *(f"Note. {notice}" for notice in notices)])


def _next_of(entries):
    for exercise_id in registry.ids():
        entry = entries.get(exercise_id, workbook.Entry())
        if entry.passed:
            continue
        exercise = registry.find(exercise_id)
        where = _notebook_of(exercise_id, must_exist=False)
        lesson = where.parents[1] / "notebooks" / where.name if where else None
        verb = "Go on with" if entry.state else "Next"
        lines = [f"{verb}: {exercise_id}, {exercise.title}."]
        if where:
            lines += _about(lesson_head(lesson), exercise.lesson, entries)
            lines.append(f"It is in exercises/{where.name}; its lesson is notebooks/{lesson.name}.")
        else:
            lines.append(f"It is in the exercises of lesson {exercise.lesson}: {list_of_lessons()}")
        return "\n".join([*lines, f"Stuck? course hint {exercise_id}"])
    return "Every exercise is passed. Nothing is left to do here."


def _about(head, lesson, entries):
    """What the lesson is for and how long it takes, with how much of it is done: lines."""
    ids = expand([lesson])
    done = sum(bool(entries.get(i) and entries[i].passed) for i in ids)
    lines = [f"{label}: {head[label]}" for label in ("You will", "Why", "Time") if label in head]
    lines.append(f"Passed in lesson {lesson}: {done} of {len(ids)}.")
    return [textwrap.fill(line, 100, subsequent_indent="  ") for line in lines]


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
        raise CourseError(
            f"There is no notebook {number}_….ipynb in {folder}. Name the file with your answer: --file PATH"
        )
    return found[0] if found else None


def _pieces(path, exercise_id):
    """[(cell number, code)] to run for an answer: a whole .py file, or a notebook's cells down to the answer."""
    if path.suffix != ".ipynb":
        return [(1, renewed(_read(path)))]
    pieces = []
    for number, about, source in _cells(path):
        source = renewed(_without_magics(source))
        if not about.get("nbgrader", {}).get("grade") and not _only_asks(source):
            pieces.append((number, source))
        if about.get("course", {}).get("exercise") == exercise_id:
            return pieces
    raise ParameterError(f"{path} has no cell for {exercise_id}. Get the notebook back with: git checkout -- {path}")


def _cells(path):
    """[(cell number, metadata, source)] of the code cells of a notebook."""
    text = _read(path)
    try:
        return [
            (number, cell["metadata"], "".join(cell["source"]))
            for number, cell in enumerate(json.loads(text)["cells"], start=1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ParameterError(
            f"{path} is no notebook that can be read ({type(error).__name__}: {error}). Save it again in Jupyter."
        ) from error


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror or error
    except UnicodeDecodeError:
        why = "it is no text in UTF-8"
    raise ParameterError(
        f"{path} cannot be read ({why}). Give a notebook or .py file that exists, --file PATH, or leave --file "
        f"out to check the lesson's own notebook."
    )


def _without_magics(source):
    """The cell without its %magic and !shell lines, which are Jupyter's and not Python's. Line numbers stay."""
    return "\n".join("" if line.startswith(("%", "!")) else line for line in source.split("\n"))


def _only_asks(source):
    """Whether a cell does nothing but check, hint, guess and the like: running it again would count."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    calls = [node for node in body if not (isinstance(node, ast.Import) and node.names[0].name == "course_lib")]
    return bool(calls) and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _called(node.value) in _ASKS
        for node in calls
    )


def _called(call):
    """The name of what is called: check for check(...) and course_lib.check(...)."""
    return ast.unparse(call.func).removeprefix("course_lib.")


def _is_begun(exercise_id, path):
    if path is None:
        return False
    try:
        tree = ast.parse(_pieces(path, exercise_id)[-1][1])
    except (CourseError, SyntaxError):
        return True  # something was done to it; the check says what
    name = registry.find(exercise_id).name  # beside it there may be a kernel that is for later
    tree = next((node for node in tree.body if getattr(node, "name", "") == name), tree)
    return not any(isinstance(node, ast.Name) and node.id == "NotImplementedError" for node in ast.walk(tree))
