"""`course check` on notebooks as learners leave them."""

import json
import re

import pytest

from course_lib.errors import CourseError
from course_lib.practice import notebook_answers as answers
from course_lib.practice.notebook_answers import check_saved, choose, next_step
from course_lib.practice.progress import workbook

GREEDY = "def greedy(logits):\n    return int(logits.argmax())"


def saved(folder, *cells, exercise="01.greedy", answer=GREEDY):
    """A notebook with these code cells above the answer's."""
    made = [{"cell_type": "code", "metadata": {}, "source": source} for source in cells]
    made.append(
        {"cell_type": "code", "metadata": {"course": {"exercise": exercise}}, "source": answer.splitlines(True)}
    )
    made.append(
        {
            "cell_type": "code",
            "metadata": {"nbgrader": {"grade": True}},
            "source": "raise SystemError('below the answer')",
        }
    )
    path = folder / "mine.ipynb"
    path.write_text(json.dumps({"cells": made}), encoding="utf-8")
    return path


def test_a_saved_answer_is_checked_and_its_code_kept(tmp_path):
    path = saved(
        tmp_path,
        "import torch",
        "def top(x):\n    return x.argmax()",
        answer="def greedy(logits):\n    return int(top(logits))",
    )
    assert check_saved("01.greedy", path)
    assert "def top(x)" in workbook.entry("01.greedy").passed["source"]


def test_magics_are_jupyters_and_are_passed_over(tmp_path):
    assert check_saved("01.greedy", saved(tmp_path, "%matplotlib inline\nx = 1", "!ls", answer="%%time\n" + GREEDY))


def test_cells_that_ask_are_not_run_again(tmp_path, capsys):
    assert check_saved(
        "01.greedy", saved(tmp_path, "from course_lib import hint", "hint('01.greedy')", "print('noise')")
    )
    assert workbook.entry("01.greedy").hints == 0 and capsys.readouterr().out == ""


def test_another_cell_that_fails_is_noted_only_where_the_answer_is_wrong(tmp_path):
    assert check_saved("01.greedy", saved(tmp_path, "1 / 0")).notices == []
    wrong = check_saved("01.greedy", saved(tmp_path, "1 / 0", answer="def greedy(logits):\n    return 0"))
    assert wrong.notices == ["mine.ipynb, cell 1, ends in ZeroDivisionError: division by zero"]


@pytest.mark.parametrize(
    "answer, words",
    [
        ("def greedy(logits):\nreturn 1", "mine.ipynb, cell 1, ends in IndentationError.*nothing was checked"),
        ("1 / 0", "ends in ZeroDivisionError"),
        ("gready = 1", "defines no greedy"),
    ],
)
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


@pytest.mark.parametrize("leaves", ["import sys; sys.exit(0)", "exit()", "raise SystemExit"])
def test_a_file_that_exits_is_an_error_and_not_the_end_of_the_check(tmp_path, leaves):
    (tmp_path / "mine.py").write_text(f"{GREEDY}\n{leaves}\n")
    with pytest.raises(CourseError, match="(?s)ends in SystemExit.*nothing was checked"):
        check_saved("01.greedy", tmp_path / "mine.py")
    wrong = check_saved("01.greedy", saved(tmp_path, leaves, answer="def greedy(logits):\n    return 0"))
    assert "cell 1, ends in SystemExit" in wrong.notices[0]


def test_a_cell_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "_CELL_LIMIT_S", 0.3)
    assert check_saved("01.greedy", saved(tmp_path, "while True:\n    pass"))
    with pytest.raises(CourseError, match="stopped: not done after 0.3 s"):
        check_saved("01.greedy", saved(tmp_path, answer=GREEDY + "\nwhile True:\n    pass"))


def test_ctrl_c_in_a_cell_goes_through(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        check_saved("01.greedy", saved(tmp_path, "raise KeyboardInterrupt"))


def test_a_file_is_checked_for_all_that_it_defines(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"{GREEDY}\nsample = lambda *five: 0\ndef other():\n    def generate(): pass\n")
    assert choose(None, path) == (["01.greedy", "01.sample"], [])
    assert choose(["01"], path) == (["01.greedy", "01.sample"], ["01.generate", "01.count_work"])
    assert choose(["01.generate"], path) == (["01.generate"], [])  # named itself: the check says that it is missing
    path.write_text("x = 1")
    with pytest.raises(CourseError, match=r"holds no answer yet.*greedy \(01.greedy\)"):
        choose(["01"], path)
    path.write_text("def greedy(:")
    with pytest.raises(CourseError, match="is not Python"):
        choose(None, path)
    with pytest.raises(CourseError, match="cannot be read.*--file PATH"):
        choose(None, tmp_path / "none.py")


def test_a_notebook_is_checked_for_all_that_is_begun_in_it(tmp_path):
    assert choose(None, saved(tmp_path)) == (["01.greedy"], [])
    with pytest.raises(CourseError, match="holds no answer yet"):
        choose(None, saved(tmp_path, answer="def greedy(logits):\n    raise NotImplementedError"))


def test_next_says_that_progress_is_damaged(home):
    home.mkdir()
    (home / "progress.json").write_text("{")
    said = next_step()
    assert said.startswith("Next: 00.hello") and "is damaged" in said and "no earlier progress is shown" in said


def test_without_a_checkout_next_and_check_say_where_the_exercises_are(home, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # as on Colab, with the package alone
    monkeypatch.setattr("course_lib.checkout.__file__", str(tmp_path / "course_lib" / "checkout.py"))
    assert re.search(r"It is in the exercises of lesson 00: https://\S+#lessons\n", next_step())
    with pytest.raises(CourseError, match=r"(?s)no checkout.*On Colab.*#lessons") as told:
        choose(None)
    assert "git clone" in str(told.value)
