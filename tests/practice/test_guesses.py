"""The guesses of a lesson again, and the map of progress that counts them."""

import pytest

from course_lib import guesses
from course_lib.errors import CourseError
from course_lib.practice import check, lesson_head, predict, progress
from course_lib.practice.guesses import Guessed
from course_lib.practice.predict import asked, buttons
from course_lib.practice.progress import workbook

ROWS = ("01.rows", "How many rows?", ["One", "Twelve"])


@pytest.fixture(autouse=True)
def new_kernel():
    before = dict(asked)
    asked.clear()
    yield
    asked.clear()
    asked.update(before)


def click(question_id, question, options, choice, answer):
    buttons(question_id, question, options, answer).children[1].children[choice].click()


def test_what_was_expected_stands_beside_what_it_was(capsys):
    predict(*ROWS, answer=1)
    predict("01.time", "Faster?", ["Yes", "No"])
    predict("01.same", "The same?", ["Yes", "No"], answer=0)
    predict("02.other", "Another lesson?", ["Yes", "No"], answer=0)
    click(*ROWS, 0, answer=1)
    click("01.same", "The same?", ["Yes", "No"], 0, answer=0)
    shown = guesses("01")
    assert shown.rows == [
        Guessed("How many rows?", "One", "Twelve"),
        Guessed("Faster?"),
        Guessed("The same?", "Yes", "Yes"),
    ]
    assert str(shown).splitlines() == [
        "guesses 01   1 of 2 right",
        "  ✗ How many rows?",
        "      you expected “One”; it was “Twelve”",
        "  – Faster?",
        "      no guess",
        "  ✓ The same?",
        "      you expected “Yes”: right",
    ]
    assert "it was “Twelve”" in shown._repr_html_()


def test_without_a_guess_the_answer_is_shown_all_the_same(capsys):
    predict(*ROWS, answer=1)
    assert str(guesses(1)).splitlines()[0] == "guesses 01   no guess yet"
    assert "no guess; it was “Twelve”" in str(guesses("01"))


def test_a_guess_without_a_right_answer_is_still_a_guess():
    click("01.time", "Faster?", ["Yes", "No"], 0, answer=None)
    assert str(guesses("01")).splitlines()[0] == "guesses 01   none has one right answer"


def test_guesses_of_an_earlier_day_are_shown_before_their_questions_are_asked_again():
    click(*ROWS, 1, answer=1)
    assert guesses("01").rows == [Guessed("How many rows?", "Twelve", "Twelve")]
    workbook.record_guess("01.old", 0, "One", True)  # as earlier versions kept it: without the question
    assert len(guesses("01").rows) == 1
    assert "No question of lesson 03 was asked yet" in str(guesses("03"))


def test_damaged_progress_is_said_under_the_guesses(home):
    home.mkdir()
    (home / "progress.json").write_text("{")
    assert "is damaged" in str(guesses("01")) and "is damaged" in guesses("01")._repr_html_()


def test_the_map_says_of_each_lesson_what_is_done_guessed_right_and_open():
    check("00.hello", lambda name: f"Hello, {name}")  # wrong, so tried
    check("01.greedy", lambda logits: int(logits.argmax()))
    click(*ROWS, 0, answer=1)
    click("01.same", "The same?", ["Yes", "No"], 0, answer=0)
    click("01.time", "Faster?", ["Yes", "No"], 0, answer=None)
    lines = str(progress()).splitlines()
    of_lesson = {line[:2]: line.split("  ")[-1] for line in lines if line[:2].isdigit()}
    assert of_lesson["00"] == "1 open" and of_lesson["01"] == "1 of 4 done · 1 of 2 guessed right · 3 open"
    assert of_lesson["02"] == "4 open" and lines[2].startswith("00  Start here")
    assert any(line.startswith("  ✓ 01.greedy") for line in lines) and not any("02.cache" in line for line in lines)
    assert "1 of 4 done · 1 of 2 guessed right · 3 open" in progress()._repr_html_()


def test_without_a_checkout_the_map_has_numbers(monkeypatch):
    def none_here():
        raise CourseError("no checkout")

    monkeypatch.setattr(lesson_head, "find_root", none_here)
    assert any(line.split() == ["00", "1", "open"] for line in str(progress()).splitlines())
