"""Wrong usage of `course`: one line on stderr, exit code 2, and nothing else."""

import sys

import pytest

from course_lib.cli import main


@pytest.mark.parametrize(
    "words", ["bench --seed x", "bench --compare a", "no-such-command", "check --no-such-option", "hint", "lab a b"]
)
def test_wrong_usage_is_one_line_and_code_2(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["course", *words.split()])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == ""
    [line] = said.err.splitlines()
    assert line.endswith("--help`.")
