"""Executes a notebook in a fresh kernel and keeps of its outputs what is the same on every machine."""

import copy
import os
import re
import tempfile
from pathlib import Path

from course_lib.errors import CourseError

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 300


def execute(notebook, folder, label):
    """Runs every cell of `notebook` in place, working in `folder`.

    The kernel sees an empty COURSE_HOME and no GPU, so that everybody who builds gets the same outputs.
    Raises CourseError with the cell and its error when one fails.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    metadata = copy.deepcopy(notebook.metadata)
    with tempfile.TemporaryDirectory(prefix="course-home-") as home:
        try:
            client.execute(env=_environment(home))
        except (CellExecutionError, CellTimeoutError) as error:
            raise CourseError(f"{label} stopped while it was executed; nothing was written.\n{error}") from None
    notebook.metadata = metadata  # without the widgets' state and this Python's exact version
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [tidied(output) for output in merged_streams(cell.outputs)]


def _environment(home):
    env = {key: value for key, value in os.environ.items() if key not in ("TRITON_INTERPRET", "NBGRADER_EXECUTION")}
    return env | {"COURSE_HOME": home, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": home, "CUDA_VISIBLE_DEVICES": ""}


def merged_streams(outputs):
    """Joins pieces of the same stream: how print's text was cut on its way is chance."""
    merged = []
    for output in outputs:
        if merged and output.output_type == merged[-1].output_type == "stream" and output.name == merged[-1].name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def tidied(output):
    """Drops from one output what belongs to this run alone: live widgets' ids, paths in tracebacks."""
    if "data" in output and len(output.data) > 1:
        # The view is a number that only the kernel that has just ended understood. Without it,
        # Jupyter and GitHub show the picture or the HTML that lies beside it.
        output.data.pop(WIDGET_VIEW, None)
    if output.output_type == "error":
        output.traceback = [without_paths(line) for line in output.traceback]
    return output


def without_paths(text):
    """The text without the folders of this machine: of the course, of packages and of the user."""
    package = str(Path(__file__).resolve().parents[2])
    text = text.replace(package + os.sep, "")
    text = re.sub(r"(\S*/)?(site-packages|ipykernel_\d+)/", "", text)
    return text.replace(str(Path.home()), "~")
