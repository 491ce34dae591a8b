"""`course build --check`: which notebooks and solution modules are not what their sources make. Writes nothing."""

from course_lib.checkout import lessons

from .build import as_text, read_notebook
from .faults import faults
from .solutions import stale_solutions
from .sources import read_source
from .stubs import make_stub


def check(root, names=()):
    """The problems found in the lessons in `names` (default all), one sentence each; [] when all is current.

    Nothing is executed: that outputs are still what the code prints is for nbval to find.
    """
    problems = [] if names else _without_source(root)
    for lesson in lessons(root, names):
        wanted = read_source(lesson, root)
        if lesson.stub:
            problems += stale_solutions(wanted, lesson, root)
            problems += _differences(make_stub(wanted), lesson.stub, root, lesson)
        actual = read_notebook(lesson.target)
        if actual is not None:
            problems += [f"{lesson.label}.ipynb, {fault}." for fault in faults(actual, root)]
            _borrow_outputs(wanted, actual)
        problems += _differences(wanted, lesson.target, root, lesson)
    return problems


def _without_source(root):
    known = {path for lesson in lessons(root) for path in (lesson.target, lesson.stub) if path}
    found = [
        path for folder in ("notebooks", "solutions", "exercises") for path in sorted((root / folder).glob("*.ipynb"))
    ]
    return [
        f"{path.relative_to(root)} has no source; write one or delete the notebook."
        for path in found
        if path not in known
    ]


def _borrow_outputs(wanted, actual):
    """What the source does not decide is taken as it lies on disk, so that only the rest is compared."""
    for cell, old in zip(wanted.cells, actual.cells, strict=False):
        if cell.cell_type == old.cell_type == "code":
            cell.outputs, cell.execution_count = old.outputs, old.execution_count


def _differences(wanted, path, root, lesson):
    shown, command = path.relative_to(root), f"Run `course build {lesson.target.parent.name}/{lesson.name}`."
    if not path.exists():
        return [f"{shown} has not been built yet. {command}"]
    if path.read_text(encoding="utf-8") == as_text(wanted):
        return []
    actual = read_notebook(path)
    for number, (cell, old) in enumerate(zip(wanted.cells, actual.cells, strict=False), start=1):
        if cell != old:
            first = (cell.source.strip() or "an empty cell").splitlines()[0][:60]
            return [
                f"{shown} is not what its source makes: cell {number} ({first!r}) is the first that differs. {command}"
            ]
    if len(wanted.cells) != len(actual.cells):
        return [f"{shown} has {len(actual.cells)} cells, its source makes {len(wanted.cells)}. {command}"]
    return [f"{shown} differs from its source in the notebook's metadata or form. {command}"]
