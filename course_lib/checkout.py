"""Where the checkout is, which notebooks it has, and the address of its repository."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .errors import CourseError, ParameterError


@dataclass(frozen=True)
class Lesson:
    """One source file and the notebooks made from it."""

    source: Path  # …/notebooks/src/01_naive_decoding.py
    target: Path  # …/notebooks/01_naive_decoding.ipynb
    stub: Path | None  # …/exercises/01_naive_decoding.ipynb, for solutions only

    @property
    def name(self):
        return self.source.stem

    @property
    def label(self):
        """Its name in messages: notebooks/01_naive_decoding."""
        return f"{self.target.parent.name}/{self.name}"


def find_root(start=None):
    """The checkout's folder: the first one at or above `start` that has notebooks and course_lib.

    start: default the current folder, then the package's. Raises CourseError where the course is installed without a
    checkout, such as from a wheel.
    """
    starts = [Path(start)] if start else [Path.cwd(), Path(__file__).resolve().parent]
    for place in starts:
        for folder in (place, *place.resolve().parents):
            if (folder / "notebooks").is_dir() and (folder / "course_lib").is_dir():
                return folder.resolve()
    raise CourseError(
        "There is no checkout of the course here: the lessons and exercises are files beside the package, "
        f"and only the package is installed. Get them with\n  git clone {repository_from_metadata()}\n"
        f"and run the command again inside that folder. On Colab, open them there: {list_of_lessons()}"
    )


def repository(root):
    """The repository's address. It stands in one place: pyproject.toml, [project.urls] Repository."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"]


def repository_from_metadata():
    """The same address from the metadata of the installed package, for use without a checkout."""
    from importlib import metadata

    for entry in metadata.metadata("llm-inference-course").get_all("Project-URL") or []:
        label, _, address = entry.partition(", ")
        if label == "Repository":
            return address
    raise LookupError("the installed package names no Repository address")


def list_of_lessons():
    """The address of the table that links every lesson, for use without a checkout."""
    return f"{repository_from_metadata()}#lessons"


def lessons(root, names=()):
    """All lessons of the checkout, or those whose name, number or label (`01`, `solutions/01`) is in `names`."""
    found = []
    for folder in ("notebooks", "solutions"):
        for source in sorted((root / folder / "src").glob("*.py")):
            stub = root / "exercises" / f"{source.stem}.ipynb" if folder == "solutions" else None
            found.append(Lesson(source, root / folder / f"{source.stem}.ipynb", stub))
    if not names:
        return found
    chosen = []
    for name in names:
        matches = [lesson for lesson in found if _matches(lesson, name)]
        if not matches:
            known = ", ".join(sorted({lesson.name for lesson in found})) or "none"
            raise ParameterError(f"No lesson source is called {name!r}. Sources here: {known}.")
        chosen += [lesson for lesson in matches if lesson not in chosen]
    return chosen


def _matches(lesson, name):
    wanted = name.replace("\\", "/").removesuffix(".ipynb").removesuffix(".py").replace("/src/", "/")
    folder, _, stem = wanted.rpartition("/")
    if folder == "exercises":
        folder = "solutions"
    if folder and folder != lesson.target.parent.name:
        return False
    return stem == lesson.name or stem == lesson.name.partition("_")[0]
