"""Guesses: one click, kept, changed, never in the way."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from course_lib import predict
from course_lib.errors import CourseError
from course_lib.practice import progress
from course_lib.practice.predict import buttons
from course_lib.practice.progress import workbook

QUESTION = ("01.rows", "How many rows?", ["One", "Twelve: one for each token"])


def parts(answer=1):
    title, row, status = buttons(*QUESTION, answer).children
    return row.children, status


def test_a_click_keeps_the_guess_and_says_so():
    options, status = parts()
    assert workbook.guess("01.rows") is None and "One click" in status.value
    options[1].click()
    assert workbook.guess("01.rows")["choice"] == 1 and workbook.guess("01.rows")["right"] is True
    assert "You guessed “Twelve: one for each token”. The next cell shows what it is." in status.value
    assert [b.icon for b in options] == ["", "circle"]


def test_a_guess_can_be_changed_and_comes_back_after_a_restart():
    options, _ = parts()
    options[1].click()
    options[0].click()
    again, status = parts()
    assert workbook.guess("01.rows")["right"] is False and "You guessed “One”" in status.value
    assert [b.icon for b in again] == ["circle", ""]
    assert "guesses: 0 of 1 right" in str(progress())


def test_without_an_answer_a_guess_is_neither_right_nor_wrong():
    options, _ = parts(answer=None)
    options[0].click()
    assert workbook.guess("01.rows")["right"] is None and "guesses" not in str(progress())


def test_a_click_that_cannot_be_kept_says_so(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    options, status = parts()
    options[0].click()
    assert "You guessed “One”" in status.value and "could not be written" in status.value


def test_outside_a_notebook_it_prints_the_question(capsys):
    InteractiveShell.clear_instance()
    predict(*QUESTION)
    assert capsys.readouterr().out == "How many rows?\n  A. One\n  B. Twelve: one for each token\n"


def test_in_a_notebook_one_output_holds_the_buttons_and_the_form_without_a_kernel():
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            assert predict(*QUESTION, answer=1) is None
    finally:
        InteractiveShell.clear_instance()
    [output] = captured.outputs
    assert set(output.data) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert output.data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert "Twelve: one for each token" in output.data["text/html"] and "guessed" not in output.data["text/html"]


def test_a_question_that_cannot_be_answered_is_refused():
    with pytest.raises(CourseError, match="needs at least two"):
        predict("q", "?", ["only one"])
    with pytest.raises(CourseError, match="numbered 0 to 1"):
        predict("q", "?", ["a", "b"], answer=2)


@pytest.mark.parametrize("damage", ["{", '{"schema": 1, "exercises": {}, "guesses": {"01.rows": {"right": true}}}'])
def test_damaged_progress_is_said_under_the_buttons(home, damage):
    home.mkdir()
    (home / "progress.json").write_text(damage)
    options, status = parts()
    assert "One click" in status.value and "is damaged" in status.value
    options[0].click()
    assert "set aside as" in status.value and workbook.guess("01.rows")["choice"] == 0
