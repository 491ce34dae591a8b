"""What students hand in, made from a solution: right, wrong, empty, crashing, never-ending, cheating and huge.

All of them change the first answer of the lesson, or the cells around it; the later answers are right. So a fair mark
is known: all points, or all but those of the first answer. Only where everything is deleted is nothing left.
"""

import copy
from dataclasses import dataclass

from course_lib.practice.judge import registry


@dataclass
class Draft:
    """A solution's notebook that is about to be spoilt."""

    notebook: object

    def __post_init__(self):
        about = [cell.metadata.get("nbgrader", {}) for cell in self.notebook.cells]
        self.answer = next(cell for cell, one in zip(self.notebook.cells, about) if one.get("solution"))
        self.check = next(cell for cell, one in zip(self.notebook.cells, about) if one.get("grade"))
        self.exercise = registry.find(self.answer.metadata.course.exercise)

    def add(self, code):
        """Code below the right answer, in its cell."""
        self.answer.source += f"\n\n{code}"

    def put(self, code):
        """Code in the place of the answer. In it, NAME is the answer's name."""
        self.answer.source = code.replace("NAME", self.exercise.name)

    def put_doing(self, lines):
        """An answer of the right kind which does what `lines` say, for a function when it is called."""
        code = "\n".join(f"    {line}" for line in lines.split("\n"))
        is_class = isinstance(self.exercise.reference, type)
        head = "class NAME:\n    def __init__(self, *given):\n" if is_class else "def NAME(*given):\n"
        self.put(head + (code.replace("    ", "        ") if is_class else code))

    def drop(self, *cells):
        self.notebook.cells = [cell for cell in self.notebook.cells if all(cell is not one for one in cells)]

    def wrong(self):
        """The name and code of a known mistake as the answer."""
        number = next(n for n, one in enumerate(self.exercise.mistakes) if one.variants and one.ends)
        return (
            "from course_lib.practice.judge import registry\n"
            f'NAME = registry.find("{self.exercise.id}").mistakes[{number}].variants[0]'
        )


def _empty(draft):
    for cell in [cell for cell in draft.notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]:
        cell.source = "raise NotImplementedError()"


def _everything_deleted(draft):
    draft.notebook.cells = []


def _huge_notebook(draft):
    note = copy.deepcopy(draft.notebook.cells[0])
    note.source, note.id = "All work and no play makes a dull notebook. " * 500_000, "huge"
    draft.notebook.cells.insert(1, note)


def _copied(draft):
    at = next(n for n, cell in enumerate(draft.notebook.cells) if cell is draft.answer)
    for cell in (draft.check, draft.answer):
        twin = copy.deepcopy(cell)
        twin.id = f"twin{len(draft.notebook.cells)}"
        draft.notebook.cells.insert(at, twin)


def _check_edited(draft):
    draft.put(draft.wrong())
    draft.check.source = "pass"
    draft.check.metadata.nbgrader.points = 50


def _cheating(code):
    def edit(draft):
        if "mistakes[" not in draft.answer.source:
            draft.put(draft.wrong())
        draft.add(code)

    return edit


def _put(code):
    return lambda draft: draft.put(code)


def _doing(code):
    return lambda draft: draft.put_doing(code)


def _adding(code):
    return lambda draft: draft.add(code)


NOTHING, FIRST, ALL = "no points", "those of the first answer", "all points"

SWALLOWED = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
JUDGED = "import course_lib.practice.check as c\nc.judge = lambda exercise, *a, **b: c.CheckResult(exercise, 'passed')"
NO_CASES = (
    "from course_lib.practice.judge import registry\nfor one in registry.exercises().values():\n"
    "    one.properties.clear()\nregistry.exercises = lambda known=registry.exercises(): known"
)
TRANSFORMED = (
    "def no_checks(lines):\n    return ['pass\\n'] if 'check(' in ''.join(lines) else lines\n"
    "get_ipython().input_transformers_cleanup.append(no_checks)"
)
LOOKS = "import os, pathlib\nprint(dict(os.environ), os.getcwd(), *pathlib.Path.home().rglob('*'))"

KINDS = {
    "right": (lambda draft: None, NOTHING),
    "untouched": (_empty, ALL),
    "wrong": (lambda draft: draft.put(draft.wrong()), FIRST),
    "another kind of thing": (_put("NAME = 42"), FIRST),
    "no answer in the cell": (_put("# I did not get to this one."), FIRST),
    "syntax error": (_put("def NAME(:\n    return"), FIRST),
    "crashes before it defines": (_put("raise RuntimeError('no')"), FIRST),
    "crashes when it is called": (_doing("return given[1000]"), FIRST),
    "crashes after it defines": (_adding("1 / 0"), NOTHING),
    "never ends when called": (_doing("while True:\n    pass"), FIRST),
    "never ends in C": (_doing("import itertools\nreturn sum(itertools.count())"), FIRST),
    "never ends below it": (_adding("while True:\n    pass"), NOTHING),
    "never ends, swallows": (_adding(SWALLOWED), FIRST),
    "sleeps below it": (_adding("import time\ntime.sleep(10_000)"), NOTHING),
    "os._exit below it": (_adding("import os\nos._exit(0)"), NOTHING),
    "os._exit when called": (_doing("import os\nos._exit(0)"), FIRST),
    "exit() below it": (_adding("exit()"), NOTHING),
    "kills its kernel": (_adding("import ctypes\nctypes.string_at(0)"), FIRST),
    "cheats: def check": (_cheating("def check(*given):\n    pass"), FIRST),
    "cheats: course_lib.check": (_cheating("import course_lib\ncourse_lib.check = lambda *given: None"), FIRST),
    "cheats: the judge": (_cheating(JUDGED), FIRST),
    "cheats: the cases": (_cheating(NO_CASES), FIRST),
    "cheats: its environment": (_cheating("import os\ndel os.environ['NBGRADER_EXECUTION']"), FIRST),
    "cheats: every check cell": (_cheating(TRANSFORMED), ALL),
    "cheats: edits the check": (_check_edited, FIRST),
    "check deleted": (lambda draft: draft.drop(draft.check), NOTHING),
    "answer deleted": (lambda draft: draft.drop(draft.answer), FIRST),
    "everything deleted": (_everything_deleted, ALL),
    "cells copied": (_copied, NOTHING),
    "prints 100 MB": (_adding("for _ in range(100):\n    print('x' * 1_000_000)"), NOTHING),
    "a notebook of 22 MB": (_huge_notebook, NOTHING),
    "fills the memory": (_adding("everything = []\nwhile True:\n    everything.append(bytearray(10**8))"), FIRST),
    "looks around": (_adding(LOOKS), NOTHING),
}
"""{kind: (what it does to a Draft, which points it loses)}."""


def hand_in(solution, *kinds):
    """(notebook, fair points) of one kind or several, made from the notebook of a solution, which is left as it is."""
    draft = Draft(copy.deepcopy(solution))
    about = [cell.metadata.get("nbgrader", {}) for cell in solution.cells]
    points = [one["points"] for one in about if one.get("grade")]
    worth = {NOTHING: sum(points), FIRST: sum(points[1:]), ALL: 0}
    for kind in kinds:
        KINDS[kind][0](draft)
    for cell in draft.notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return draft.notebook, min(worth[KINDS[kind][1]] for kind in kinds)
