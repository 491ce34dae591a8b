"""`course check` on notebooks as learners leave them."""

import json

import pytest

from course_lib.errors import CourseError
from course_lib.practice import workbook
from course_lib.practice.answers import check_saved

GREEDY = "def greedy(logits):\n    return int(logits.argmax())"


def saved(folder, *cells, exercise="01.greedy", answer=GREEDY):
    """A notebook with these code cells above the answer's."""
    made = [{"cell_type": "code", "metadata": {}, "source": source} for source in cells]
    made.append({"cell_type": "code", "metadata": {"course": {"exercise": exercise}}, "source": answer.splitlines(True)})
    made.append({"cell_type": "code", "metadata": {"nbgrader": {"grade": True}}, "source": "raise SystemError('below the answer')"})
    path = folder / "mine.ipynb"
    path.write_text(json.dumps({"cells": made}), encoding="utf-8")
    return path


def test_a_saved_answer_is_checked_and_its_code_kept(tmp_path):
    path = saved(tmp_path, "import torch", "def top(x):\n    return x.argmax()", answer="def greedy(logits):\n    return int(top(logits))")
    assert check_saved("01.greedy", path)
    assert "def top(x)" in workbook.entry("01.greedy").passed["source"]


def test_magics_are_jupyters_and_are_passed_over(tmp_path):
    assert check_saved("01.greedy", saved(tmp_path, "%matplotlib inline\nx = 1", "!ls", answer="%%time\n" + GREEDY))


def test_cells_that_ask_are_not_run_again(tmp_path, capsys):
    assert check_saved("01.greedy", saved(tmp_path, "from course_lib import hint", "hint('01.greedy')", "print('noise')"))
    assert workbook.entry("01.greedy").hints == 0 and capsys.readouterr().out == ""


def test_another_cell_that_fails_is_noted_only_where_the_answer_is_wrong(tmp_path):
    assert check_saved("01.greedy", saved(tmp_path, "1 / 0")).notices == []
    wrong = check_saved("01.greedy", saved(tmp_path, "1 / 0", answer="def greedy(logits):\n    return 0"))
    assert wrong.notices == ["mine.ipynb, cell 1, ends in ZeroDivisionError: division by zero"]


@pytest.mark.parametrize("answer, words", [
    ("def greedy(logits):\nreturn 1", "mine.ipynb, cell 1, ends in IndentationError.*nothing was checked"),
    ("1 / 0", "ends in ZeroDivisionError"), ("gready = 1", "defines no greedy"),
])
def test_an_answer_that_is_none_is_said(tmp_path, answer, words):
    with pytest.raises(CourseError, match=f"(?s){words}"):
        check_saved("01.greedy", saved(tmp_path, answer=answer))


def test_a_file_that_is_no_notebook_is_said(tmp_path):
    (tmp_path / "mine.ipynb").write_text("{")
    with pytest.raises(CourseError, match="no notebook that can be read"):
        check_saved("01.greedy", tmp_path / "mine.ipynb")
    with pytest.raises(CourseError, match="cannot be read"):
        check_saved("01.greedy", tmp_path / "none.ipynb")
    with pytest.raises(CourseError, match="has no cell for 01.sample"):
        check_saved("01.sample", saved(tmp_path))


def test_a_python_file_will_do(tmp_path):
    (tmp_path / "mine.py").write_text(GREEDY)
    assert check_saved("01.greedy", tmp_path / "mine.py")
