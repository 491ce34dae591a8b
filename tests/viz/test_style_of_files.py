"""Scripts and style sheets of views and checks, laid out as prettier does, in files that can be read: the limits."""

import re
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "course_lib"
FILES = sorted([*LIBRARY.rglob("*.js"), *LIBRARY.rglob("*.css")])
WIDEST, LONGEST = 120, 300


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_keeps_the_limits(file):
    text = file.read_text(encoding="utf-8")
    lines = text.split("\n")
    assert [line for line in lines if len(line) > WIDEST] == []
    assert len(lines) - 1 <= LONGEST
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert "\t" not in text and not re.search(r" +$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_is_laid_out_in_steps_of_two_spaces(file):
    """One statement a line. npx prettier@3 --print-width 110 --write 'course_lib/**/*.{js,css}' makes it so."""
    text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    code = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("//")]
    assert [line for line in code if (len(line) - len(line.lstrip())) % 2] == []
    ends = re.compile(r";\s*(?!//)[^\s;)]") if file.suffix == ".js" else re.compile(r"[;{]\s*[^\s}]")
    assert [line for line in code if ends.search(_without_texts(line))] == []


def _without_texts(line):
    line = re.sub(r"`[^`]*`|\"[^\"]*\"|'[^']*'|/[^/ ]+/[a-z]*", "", line)
    return re.sub(r"\bfor \([^;]*;[^;]*;[^)]*\)", "for ()", re.sub(r"\s*//.*", "", line))
