"""`course build`: writes the notebooks and the solution modules, executing only notebooks whose code has changed."""

import time

from course_lib.checkout import lessons
from course_lib.errors import CourseError

from .faults import faults
from .files import write_if_changed
from .run import execute
from .solutions import write_solutions
from .sources import read_source
from .stubs import make_stub


def build(root, names=(), *, force=False, report=print):
    """Builds the lessons in `names` (default all) of the checkout at `root`; `force` executes them all again.

    `report` gets one line a notebook. Raises CourseError when a cell fails,
    when an output cannot be kept, or when a source is wrong.
    """
    for lesson in lessons(root, names):
        started = time.perf_counter()
        notebook = read_source(lesson, root)
        stub = None
        if lesson.stub:
            stub = make_stub(notebook)
            write_solutions(notebook, lesson, root)  # before the notebook runs: its checks read them
        kept = not force and keep_outputs(notebook, read_notebook(lesson.target), root)
        if not kept:
            execute(notebook, lesson.target.parent, lesson.label)
            if found := faults(notebook, root):
                raise CourseError(f"{lesson.label} was executed but not written: {'; '.join(found)}.")
        changed = write_if_changed(lesson.target, as_text(notebook))
        if stub:
            write_if_changed(lesson.stub, as_text(stub))
        if kept:
            report(f"{lesson.label}: {'outputs kept, text updated' if changed else 'up to date'}")
        else:
            report(f"{lesson.label}: executed in {time.perf_counter() - started:.0f} s")


def keep_outputs(notebook, old, root):
    """Copies the outputs of `old` into `notebook` where they are sound and of the same code; says whether it did."""
    if old is None or old.metadata.get("course", {}).get("source_sha") != notebook.metadata.course.source_sha:
        return False
    new_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    old_cells = [cell for cell in old.cells if cell.cell_type == "code"]
    if [cell.source for cell in new_cells] != [cell.source for cell in old_cells]:
        return False
    if faults(old, root):
        return False
    for new, cell in zip(new_cells, old_cells, strict=True):
        new.outputs, new.execution_count = cell.outputs, cell.execution_count
    return True


def read_notebook(path):
    """The notebook at `path`, or None where there is none."""
    import nbformat

    return nbformat.read(path, as_version=4) if path.exists() else None


def as_text(notebook):
    """The notebook as it lies on disk."""
    import nbformat

    return nbformat.writes(notebook) + "\n"
