"""Reads a py:percent source into the notebook it stands for: cells, ids and metadata, without outputs."""

import hashlib
import json
import re

from course_lib.checkout import repository
from course_lib.errors import CourseError

COLAB_MARKER = "{{colab}}"

CELL_METADATA = {"tags", "nbgrader", "course", "jupyter"}
TAGS = {
    "nbval-ignore-output": "runs in the tests, its output is not compared (timings, this machine)",
    "nbval-skip": "not run in the tests",
    "raises-exception": "shows an error on purpose",
    "hide-input": "code folded away in Jupyter",
}

NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}

# A link and no picture: a badge would be fetched from another machine each time the lesson is opened.
COLAB_LINK = (
    "**[Open this notebook in Colab]({link})** · in Colab too: [{label}]({other}) · [all lessons]({repository}#lessons)"
)

COLAB_INSTALL = """\
# On Colab this cell installs the course. Anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import subprocess

    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "git+{repository}"], check=True)"""

OWN_CHECK = "import course_lib\n\n"
"""Above a cell that grades: it then calls the course's check, whatever an answer calls `check`."""


def read_source(lesson, root):
    """The notebook that `lesson.source` describes (nbformat 4.5), not executed.

    Raises CourseError for unknown cell metadata or tags and for a missing or repeated {{colab}} marker.
    """
    try:
        import jupytext
    except ModuleNotFoundError:
        raise CourseError(
            "jupytext is not installed, and it reads the sources of the notebooks. Install what building and testing "
            "need: make .venv/.dev"
        ) from None
    import nbformat

    raw = jupytext.read(lesson.source, fmt="py:percent")
    cells = []
    for index, cell in enumerate(raw.cells, start=1):
        if cell.source.strip() == COLAB_MARKER:
            cells += _colab_cells(lesson, root)
            continue
        where = f"{lesson.source.relative_to(root)}, cell {index}"
        if cell.cell_type == "code" and cell.source.rstrip().endswith(";"):
            raise CourseError(
                f"{where} ends in ';'. nbval shows the value all the same, so the test would fail: write `_ = …`."
            )
        metadata = _cell_metadata(cell, where)
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        grades = metadata.get("nbgrader", {}).get("grade")
        cells.append(new(with_own_check(cell.source) if grades else cell.source, metadata=metadata))
    markers = sum(cell.source.strip() == COLAB_MARKER for cell in raw.cells)
    if markers != 1:
        raise CourseError(
            f"{lesson.source.relative_to(root)} has {markers} cells that hold just {COLAB_MARKER}; every source has "
            "one, below its title: it becomes the link to Colab and the cell that installs the course there."
        )
    for cell, cell_id in zip(cells, _cell_ids(lesson.name, cells), strict=True):
        cell.id = cell_id
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=json.loads(json.dumps(NOTEBOOK_METADATA)))
    notebook.metadata["course"] = {"source": lesson.source.relative_to(root).as_posix(), "source_sha": code_sha(cells)}
    return notebook


def with_own_check(source):
    """The source of a cell that grades, with `check(...)` at the beginning of a line made `course_lib.check(...)`.

    `def check(*args): pass` in an answer would otherwise decide over the points.
    """
    renamed, count = re.subn(r"^check\(", "course_lib.check(", source, flags=re.MULTILINE)
    return OWN_CHECK + renamed if count else source


def code_sha(cells):
    """A hash of everything that decides the outputs: the code cells and their tags. Prose may change freely."""
    code = [(cell.source, cell.metadata.get("tags", [])) for cell in cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def _colab_cells(lesson, root):
    from nbformat.v4 import new_code_cell, new_markdown_cell

    address = repository(root)
    # Learners of the exercises open the stub, whose cells come from the same source.
    shown = (lesson.stub or lesson.target).relative_to(root).as_posix()
    base = f"https://colab.research.google.com/github/{address.removeprefix('https://github.com/')}/blob/main"
    folder, label = ("notebooks", "its lesson") if lesson.stub else ("exercises", "its exercises")
    other = f"{base}/{folder}/{lesson.target.name}"  # the links of the text lead to files, and Colab has one notebook
    return [
        new_markdown_cell(COLAB_LINK.format(link=f"{base}/{shown}", label=label, other=other, repository=address)),
        new_code_cell(COLAB_INSTALL.format(repository=address), metadata={"jupyter": {"source_hidden": True}}),
    ]


def _cell_metadata(cell, where):
    # jupytext keeps its own notes about blank lines in the metadata; they say nothing about the cell.
    metadata = {key: value for key, value in cell.metadata.items() if key != "lines_to_next_cell"}
    unknown = sorted(set(metadata) - CELL_METADATA)
    if unknown:
        raise CourseError(f"{where} has the metadata {unknown}; known are {sorted(CELL_METADATA)}.")
    unknown = sorted(set(metadata.get("tags", [])) - set(TAGS))
    if unknown:
        raise CourseError(f"{where} has the tags {unknown}; known are {sorted(TAGS)}.")
    if "hide-input" in metadata.get("tags", []):
        metadata["jupyter"] = {"source_hidden": True}
    if "nbgrader" in metadata:
        metadata["nbgrader"] = _nbgrader_metadata(metadata["nbgrader"], where)
    return metadata


def _nbgrader_metadata(given, where):
    """Fills in what nbgrader's schema 3 wants and the author need not write."""
    if not re.fullmatch(r"[\w.-]+", given.get("grade_id", "")):
        raise CourseError(f"{where} has nbgrader metadata without a grade_id (letters, digits, '_', '-' and '.').")
    full = {"grade": False, "solution": False, "task": False, "schema_version": 3} | given
    if full["grade"] and "points" not in full:
        raise CourseError(f'{where} is graded but has no points; write nbgrader={{…, "points": 1}}.')
    return {"locked": not full["solution"]} | full


def _cell_ids(name, cells):
    """Ids that stay as long as a cell does: a hash of the notebook's name, the cell and its turn among equal cells."""
    seen = {}
    for cell in cells:
        key = (cell.cell_type, cell.metadata.get("nbgrader", {}).get("grade_id") or cell.source)
        seen[key] = seen.get(key, 0) + 1
        yield hashlib.sha256(json.dumps([name, *key, seen[key]]).encode()).hexdigest()[:12]
