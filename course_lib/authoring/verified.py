"""The table in the README that says where each lesson was run last, and how long that took.

    docs/verified.json     {"cpu": {"00": {"seconds": 9.1, "date": "2026-11-30", "on": "2 cores"}, ...}, "gpu": ...}

It is written by runs and by nothing else: `make verified` runs all lessons in a browser and again with Colab's packages
(tests/shared/record_verified.py), `python benchmarks/notebooks.py --record` on a machine with a GPU.
"""

import json
import re
from datetime import date

from course_lib.checkout import lessons
from course_lib.practice.lesson_head import lesson_head

RUNS = "docs/verified.json"
BEGIN, END = "<!-- verified: begin -->\n", "<!-- verified: end -->"
KINDS = {"cpu": "CPU", "colab": "Colab's packages", "gpu": "GPU"}


def record(root, kind, seconds, on):
    """These lessons ran to their end without a failure. kind: of KINDS. seconds: {"00": 9.1}. on: what machine."""
    known, today = _known(root), date.today().isoformat()
    new = {number: {"seconds": round(its, 1), "date": today, "on": on} for number, its in seconds.items()}
    known[kind] = dict(sorted((known.get(kind, {}) | new).items()))
    (root / RUNS).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(with_table(root, readme.read_text(encoding="utf-8")), encoding="utf-8")


def with_table(root, readme):
    """The text of the README with today's table."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"README.md has no place for the table: {BEGIN.strip()} and {END}.")
    return before + BEGIN + table(root) + END + after


def table(root):
    """The table in Markdown: a row for each lesson, in seconds of one run from top to bottom."""
    known = _known(root)
    lines = [
        f"| lesson | time for you | exercises | {' | '.join(KINDS.values())} | last verified |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for number, name in sorted(_names(root).items()):
        runs = [known.get(kind, {}).get(number) for kind in KINDS]
        cells = [f"{run['seconds']:.0f} s" if run else "not run" for run in runs]
        last = max((run["date"] for run in runs if run), default="")
        time = lesson_head(root / "notebooks" / f"{name}.ipynb")["Time"].rstrip(".")
        lines.append(f"| {number} | {time} | {_num_exercises(root, name)} | {' | '.join(cells)} | {last} |")
    for kind, title in KINDS.items():
        machines = sorted({run["on"] for run in known.get(kind, {}).values()})
        if machines:
            lines += ["", f"{title}: {'; '.join(machines)}."]
    return "\n".join(lines) + "\n"


def _known(root):
    """The recorded runs: {kind: {lesson number: run}}."""
    path = root / RUNS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _names(root):
    return {lesson.name[:2]: lesson.name for lesson in lessons(root) if lesson.stub is None}


def _num_exercises(root, name):
    text = (root / "solutions" / "src" / f"{name}.py").read_text(encoding="utf-8")
    return len(re.findall(r'course=\{"exercise":', text))
