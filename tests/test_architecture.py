"""The layout of the code: no circle of files, no import that goes up, and no file that grew too long."""

import ast
import re
from pathlib import Path

import pytest

from course_lib.authoring import architecture, layers

ROOT = Path(__file__).parents[1]

MOST_LINES = 300
# A table of data is read by looking something up, and is not easier to read in two files.
LONG_TABLES = {
    "course_lib/models/training/tale_plots.py": "the plots of the tales, first half: a table of sentences",
    "course_lib/models/training/tale_plots_two.py": "the plots of the tales, second half",
    "course_lib/models/training/tale_words.py": "the words of the tales: lists of names and things",
}

# What notebooks, solutions and printed examples may take from course_lib.practice, besides its module `play`.
PRACTICE_NAMES = {"check", "hint", "solution", "progress", "predict", "workbook", "play"}


@pytest.fixture(scope="module")
def imports():
    return layers.read_imports(ROOT)


def told(problems):
    """The problems as one text, printed too, so that a run with -s lists all of them."""
    text = "\n".join(str(problem) for problem in problems)
    print(text)
    return f"{len(problems)} found:\n{text}"


def test_no_circle_of_files(imports):
    found = [" <-> ".join(circle) for circle in layers.circles(imports)]
    assert not found, told(found)


def test_imports_only_go_to_earlier_layers(imports):
    found = layers.going_up(imports)
    assert not found, told(found)


def test_the_views_and_the_ledger_load_without_torch(imports):
    found = [" -> ".join(way) for way in layers.needing_torch(imports).values()]
    assert not found, told(found)


def test_only_five_files_at_the_root():
    files = {path.name for path in (ROOT / "course_lib").glob("*.py")} - {"__init__.py"}
    assert files == {"errors.py", "lazy.py", "checkout.py", "cli.py", "lab.py"}


def test_no_file_of_code_is_long():
    files = [
        path
        for folder in ("course_lib", "tests", "benchmarks", "docs")
        for kind in ("*.py", "*.js", "*.css")
        for path in sorted((ROOT / folder).rglob(kind))
    ]
    assert len(files) > 300
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    found = [f"{name}: {n} lines" for name, n in lengths.items() if n > MOST_LINES and name not in LONG_TABLES]
    unused = [f"{name} is an exception and need not be" for name in LONG_TABLES if lengths.get(name, 0) <= MOST_LINES]
    assert not found + unused, told(found + unused)


def test_lessons_take_from_practice_what_play_hands_on():
    found = []
    for path in sorted((ROOT / "notebooks" / "src").glob("*.py")) + sorted((ROOT / "solutions" / "src").glob("*.py")):
        found += [f"{path.relative_to(ROOT)}: {line}" for line in inner_imports(path.read_text(encoding="utf-8"))]
    assert not found, told(found)


def test_printed_examples_take_from_practice_what_play_hands_on():
    found = []
    for name, path in layers.modules(ROOT).items():
        if not name.startswith("course_lib.practice"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [f"{path.relative_to(ROOT)}, line {node.lineno}: {line}" for line in inner_imports(node.value)]
    assert not found, told(found)


def inner_imports(text):
    """The lines of a text that import from inside course_lib.practice what a learner's code must not rely on."""
    found = []
    for line in re.findall(r"(?:from|import)\s+course_lib\.practice\b[^\n]*", text):
        module, _, names = re.fullmatch(
            r"(?:from|import)\s+course_lib\.practice([.\w]*)\s*(import)?(.*)", line
        ).groups()
        taken = {name.split()[0] for name in names.partition("#")[0].strip(" ()").split(",") if name.strip()}
        if module != ".play" and not (module == "" and taken <= PRACTICE_NAMES):
            found.append(line)
    return found


def test_the_document_and_its_picture_are_up_to_date():
    problems = architecture.check(ROOT)
    assert not problems, told(problems)


def test_every_file_and_name_in_the_document_exists():
    text = (ROOT / architecture.DOCUMENT).read_text(encoding="utf-8")
    found = re.findall(r"`([\w/]+\.(?:py|js|css))`(?:\s+`([\w.]+)`)?", text.partition("## Words")[0])
    found += re.findall(r"`([\w/]+\.(?:py|js|css))`(?:\s+`([\w.]+)`)?", text.partition("## Where is")[2])
    problems, names = [], 0
    for file, name in found:
        path = next((place for place in (ROOT / "course_lib" / file, ROOT / file) if place.exists()), None)
        if path is None and "/" in file:
            problems.append(f"There is no file {file}.")
        elif path is not None and name:
            names += 1
            last = re.escape(name.rpartition(".")[2])
            if not re.search(rf"^\s*(?:(?:async )?def|class) {last}\b|^{last}\b.* =", path.read_text(), re.M):
                problems.append(f"{file} has no {name}.")
    assert names > 30 and not problems, told(problems)
