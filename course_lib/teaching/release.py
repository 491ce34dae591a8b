"""`course release`: an nbgrader course folder made from lessons, which never writes over what a teacher has changed."""

import copy
import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from course_lib.authoring.files import write_if_changed
from course_lib.checkout import lessons
from course_lib.errors import CourseError, ParameterError

WRITTEN = ".course_release.json"
"""In the course folder: {file: the sha256 of what `course release` wrote there}. So a teacher's edits are seen."""

CONFIG = '''\
"""Settings of nbgrader for this course folder. Add your own below the call; `course release` keeps them."""

from course_lib.teaching.config import configure

c = get_config()
configure(c)
# c.GradedRun.cell_seconds = 30  # a cell that does not grade is stopped after so many seconds of work
# c.GradedRun.check_seconds = 120  # one that grades
'''

README = """\
# Assignments

Made by `course release`; docs/teaching.md of the course says how to teach with it. Type these commands in this folder,
after `source {activate}`:

{commands}

Files that you change are kept when `course release` runs again. Delete one to have it made anew.
"""
ONE = """\
    # {name}: {points}
    # hand out   release/{name}/{name}.ipynb
    # collect as submitted/STUDENT/{name}/{name}.ipynb
    nbgrader autograde {name}
    nbgrader generate_feedback {name}
    # hand back  feedback/STUDENT/{name}/{name}.html
"""
GRADED = """
Submissions of this lesson are graded already, and then nbgrader takes no new cell that gives points. Delete that cell
in source/, write its lines into a cell that grades, and run this again. What was released before is as it was."""


def release(root, folder, names, *, report=print):
    """Makes or renews the course folder `folder` with the lessons in `names` (default all) of the checkout `root`.

    `report` gets one line for each file that was written, or kept as a teacher has changed it. Raises ParameterError
    where the names mean no exercises and for a folder that cannot be written or read, and CourseError where nbgrader is
    missing or fails.
    """
    if find_spec("nbgrader") is None:
        raise CourseError(
            "nbgrader is not installed, and it makes and grades assignments. Install the versions that the course was "
            "tried with:\n  pip install -c locks/dev.lock -e '.[teach]'"
        )
    if not str(folder).strip():
        raise ParameterError("FOLDER is empty, but it is the name of the course folder. Try: course release my-course")
    chosen = [lesson for lesson in lessons(root, names) if lesson.stub]
    if not chosen:
        raise ParameterError(f"No exercises belong to {', '.join(names)}, so there is nothing to release.")
    try:
        _release_all(Files(Path(folder).resolve(), report), chosen)
    except OSError as error:
        raise ParameterError(
            f"{folder} cannot be used as a course folder: {error.filename or 'writing there'}: {error.strerror}. Name "
            "a folder that is new or your own, on a disk with room."
        ) from error


def _release_all(files, chosen):
    try:
        files.write("nbgrader_config.py", CONFIG)
        for lesson in chosen:
            _release_one(files, lesson)
        files.write("README.md", _readme(files.folder))
    finally:
        files.save()


class Files:
    """The files of a course folder, and what `course release` last wrote into each."""

    def __init__(self, folder, report):
        self.folder, self.report = folder, report
        try:
            self.written = dict(json.loads((folder / WRITTEN).read_text(encoding="utf-8")))
        except FileNotFoundError:
            self.written = {}
        except (ValueError, TypeError) as error:
            raise CourseError(
                f"{folder / WRITTEN} is damaged ({error}), so it is not known which files you have changed. Delete it "
                "and run this again: all files that are there now are then kept."
            ) from error

    def is_changed(self, name):
        """Whether somebody else has written the file since, or made it."""
        path = self.folder / name
        return path.exists() and _sha(path.read_text(encoding="utf-8")) != self.written.get(name)

    def write(self, name, text):
        """Writes a file that nobody has changed; says whether it was written."""
        path = self.folder / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            self.written[name] = _sha(text)
            return False
        if self.is_changed(name):
            self.report(f"kept     {name}: you have changed it. Delete it to have it made anew.")
            return False
        write_if_changed(path, text)
        self.written[name] = _sha(text)
        self.report(f"written  {name}")
        return True

    def save(self):
        """Keeps what was written, for the next time."""
        write_if_changed(self.folder / WRITTEN, json.dumps(self.written, indent=1, sort_keys=True) + "\n")


def _release_one(files, lesson):
    """source/ from the lesson's solution, and release/ from source/ by nbgrader, which needs it in its database."""
    source, released = (f"{folder}/{lesson.name}/{lesson.name}.ipynb" for folder in ("source", "release"))
    files.write(source, _without_outputs(lesson.target))
    path = files.folder / released
    of_source = _sha((files.folder / source).read_text(encoding="utf-8"))
    if path.exists() and files.written.get(f"{released} from") == of_source and not files.is_changed(released):
        return
    if path.exists() and files.is_changed(released):
        files.report(f"kept     {released}: you have changed it. Change source/ instead, and delete this file.")
        return
    before = path.read_bytes() if path.exists() else None
    try:
        _nbgrader(files.folder, "generate_assignment", lesson.name, "--force")
    except CourseError:
        if before is not None and not path.exists():  # nbgrader deletes the old one first
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(before)
        raise
    files.written[released] = _sha(path.read_text(encoding="utf-8"))
    files.written[f"{released} from"] = of_source
    files.report(f"written  {released}")


def _nbgrader(folder, *arguments):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        graded = GRADED if "Cannot add or remove cells" in last else ""
        raise CourseError(
            f"`nbgrader {' '.join(arguments)}` failed in {folder}, so this lesson was not released:\n{last}{graded}"
        )


def _without_outputs(path):
    import nbformat

    notebook = copy.deepcopy(nbformat.read(path, as_version=4))
    notebook.metadata.pop("course", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def _readme(folder):
    """README.md for all assignments that the folder has by now."""
    import nbformat

    commands = []
    for path in sorted((folder / "source").glob("*/*.ipynb")):
        cells = [cell.metadata.get("nbgrader", {}) for cell in nbformat.read(path, as_version=4).cells]
        graded = [about["points"] for about in cells if about.get("grade")]
        points = f"{len(graded)} {'check' if len(graded) == 1 else 'checks'}, {sum(graded):g} points in all"
        commands.append(ONE.format(name=path.stem, points=points))
    where = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin") / "activate"
    return README.format(activate=where, commands="\n".join(commands))


def _sha(text):
    return hashlib.sha256(text.encode()).hexdigest()
