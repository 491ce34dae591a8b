"""The head of a lesson: what one will do in it, why, and how long it takes, as its first cell says."""

import json
import re

LABELS = ("You will", "Why", "Time", "You need", "After it")


def lesson_head(path):
    """{label: its text in one line} from the first cell of a lesson's notebook; {} where that cannot be read.

    A learner may have changed the notebook, so a label that is not there is left out.
    """
    try:
        text = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    found = {}
    for item in re.split(r"(?m)^- ", text)[1:]:
        label, _, said = item.removeprefix("**").partition("**")
        if label in LABELS:
            found[label] = " ".join(said.split("\n\n")[0].split())
    return found
