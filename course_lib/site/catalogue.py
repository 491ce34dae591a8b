"""What the site says of a lesson: its part of the course, title, aim, minutes and exercises."""

import re
from dataclasses import dataclass

from course_lib.practice.lesson_head import lesson_head

FOLDERS = ("notebooks", "exercises", "solutions")

# The title of each part and the number of its first lesson.
PARTS = (
    ("One request", "00"),
    ("Paged memory", "04"),
    ("Attention kernels", "06"),
    ("Many requests at once", "09"),
    ("Faster and smaller", "13"),
    ("Serving, and the whole engine", "16"),
)


@dataclass(frozen=True)
class Entry:
    """A lesson on the site. exercises: [(id, title)]; time: as its first cell says it; pages: the folders it has."""

    name: str  # 01_naive_decoding
    title: str
    teaches: str
    time: str
    exercises: list
    pages: tuple

    @property
    def number(self):
        return self.name.partition("_")[0]


def entry(name, notebooks, root):
    """The Entry of a lesson. notebooks: {folder: notebook}, with "notebooks" in it."""
    head = lesson_head(root / "notebooks" / f"{name}.ipynb")
    return Entry(
        name,
        title_of(notebooks["notebooks"], name),
        head.get("You will", ""),
        head.get("Time", "").rstrip("."),
        exercises_of(notebooks.get("exercises")),
        tuple(folder for folder in FOLDERS if folder in notebooks),
    )


def title_of(notebook, name):
    """The words of the first heading, without the lesson's number."""
    found = re.match(r"# (?:[\w ]*\d+ · )?(.+)", notebook.cells[0].source) if notebook.cells else None
    return found[1].strip() if found else name


def exercises_of(notebook):
    """[(id, title)] from the headings `## 01.greedy · The most likely token` of a stub."""
    cells = notebook.cells if notebook else []
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"^## (\d\d\.\w+) · (.+)$", text, flags=re.MULTILINE)


def parts(entries):
    """[(title, entries)] of the parts that have lessons, in order."""
    found = []
    for (title, first), (_, after) in zip(PARTS, [*PARTS[1:], ("", "99")]):
        if inside := [one for one in entries if first <= one.number < after]:
            found.append((title, inside))
    return found
