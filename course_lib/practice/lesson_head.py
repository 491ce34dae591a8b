"""The head of a lesson: what one will do in it, why, and how long it takes, as its first cell says."""

import json
import re

from course_lib.checkout import find_root
from course_lib.errors import CourseError

LABELS = ("You will", "Why", "Time", "You need", "After it")


def lesson_head(path):
    """{label: its text in one line} from the first cell of a lesson's notebook; {} where that cannot be read.

    A learner may have changed the notebook, so a label that is not there is left out.
    """
    found = {}
    for item in re.split(r"(?m)^- ", _first_cell(path))[1:]:
        label, _, said = item.removeprefix("**").partition("**")
        if label in LABELS:
            found[label] = " ".join(said.split("\n\n")[0].split())
    return found


def lesson_titles():
    """{lesson number: its title} of the lessons whose notebooks are here; {} without a checkout."""
    try:
        folder = find_root() / "notebooks"
    except CourseError:
        return {}
    found = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        title = re.match(r"# \d+ · (.+)", _first_cell(path))
        found[path.name[:2]] = title[1].strip() if title else path.stem[3:].replace("_", " ").capitalize()
    return found


def _first_cell(path):
    """The text of a notebook's first cell; "" where it cannot be read."""
    try:
        return "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
