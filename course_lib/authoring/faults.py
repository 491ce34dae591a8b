"""What must not be in an executed notebook, whatever its source says."""

import os
import re
from pathlib import Path

from .run import WIDGET_VIEW


def faults(notebook, root):
    """What is wrong with an executed notebook, as `cell 3 …` phrases; [] when nothing is."""
    found = []
    if "widgets" in notebook.metadata:
        found.append("metadata holds the state of widgets (metadata.widgets), with which GitHub shows no notebook")
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        if never_executed(cell) and "nbval-skip" not in tags:
            found.append(f"cell {number} was never executed, so nbval would compare nothing")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags:
                found.append(f"cell {number} ends in {output.ename} and is not tagged raises-exception")
            if set(output.get("data", {})) == {WIDGET_VIEW}:
                found.append(f"cell {number} shows a widget that has no static form beside it")
            if traces := machine_traces(output, root):
                found.append(f"cell {number} prints what differs on every machine: {traces[0]!r}")
            if place := moved_source(output, root):
                found.append(f"cell {number} shows source that no longer stands at {place}")
    return found


def never_executed(cell):
    """Whether nbval would silently compare nothing for this cell."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and cell.execution_count is None


def moved_source(output, root):
    """The `file, line N` of source shown by course_lib.source.show that is not there any more; None when it is."""
    text = output.get("data", {}).get("text/plain", "")
    place = re.match(r"# (course_lib/\S+\.py), line (\d+)\n", text)
    if not place:
        return None
    file, first = root / place[1], int(place[2]) - 1
    shown = text[place.end() :].rstrip().splitlines()
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return None if lines[first : first + len(shown)] == shown else f"{place[1]}, line {place[2]}"


def machine_traces(output, root):
    """What in one output would differ on another machine: memory addresses and paths of this one; [] when nothing."""
    texts = [output.get("text", ""), *output.get("traceback", [])]
    texts += [
        value for kind, value in output.get("data", {}).items() if isinstance(value, str) and "image/" not in kind
    ]
    traces = []
    for text in texts:
        traces += re.findall(r"\bat 0x[0-9a-fA-F]{6,}", text)
        traces += [path for path in (f"{root}{os.sep}", f"{Path.home()}{os.sep}") if len(path) > 2 and path in text]
        # No \S* in front: in a picture's long line of base64 it would take a minute to find nothing.
        traces += re.findall(r"/site-packages/|course-home-\w+", text)
    return traces
