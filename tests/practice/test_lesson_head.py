"""`course next` leads: what the lesson does, why, how long it takes, and how much of it is done."""

import json

import pytest

from course_lib.checkout import find_root, lessons
from course_lib.practice.judge import registry
from course_lib.practice.lesson_head import LABELS, lesson_head
from course_lib.practice.notebook_answers import next_step
from course_lib.practice.progress import workbook

READ = [lesson for lesson in lessons(find_root()) if lesson.stub is None]


@pytest.mark.parametrize("lesson", READ, ids=lambda lesson: lesson.name)
def test_every_lesson_says_what_why_and_how_long(lesson):
    head = lesson_head(lesson.target)
    assert list(head) == list(LABELS)
    assert all(len(said) > 5 and "\n" not in said and "**" not in said for said in head.values())


def passed():
    return {"when": workbook.now(), "name": "f", "source": "def f(): pass\n"}


def test_next_says_what_why_how_long_and_how_much_is_done():
    for exercise_id in [*(i for i in registry.ids() if i < "04"), "04.allocator"]:
        workbook.record_check(exercise_id, passed())
    said = next_step().split("\n")
    of_lesson = [i for i in registry.ids() if i.startswith("04.")]
    assert said[0].startswith(f"Next: {of_lesson[1]}, ")
    whole = " ".join(" ".join(said).split())
    head = lesson_head(find_root() / "notebooks" / "04_paged_allocator.ipynb")
    for label in ("You will", "Why", "Time"):
        assert f"{label}: {head[label]}" in whole
    assert f"Passed in lesson 04: 1 of {len(of_lesson)}." in whole
    assert "exercises/04_paged_allocator.ipynb; its lesson is notebooks/04_paged_allocator.ipynb." in whole
    assert all(len(line) <= 100 for line in said[1:4])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": []}', '{"cells": [{"source": ["# Mine"]}]}'])
def test_a_notebook_that_a_learner_has_changed_says_nothing_and_fails_nothing(text, tmp_path):
    (tmp_path / "lesson.ipynb").write_text(text)
    assert lesson_head(tmp_path / "lesson.ipynb") == {}
    assert lesson_head(tmp_path / "none.ipynb") == {}


def test_a_head_with_some_lines_left_gives_these(tmp_path):
    cell = {"source": ["# Mine\n", "- **Why** because\n", "  it is so.\n", "- **Mood** good\n", "\n", "More text."]}
    (tmp_path / "lesson.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert lesson_head(tmp_path / "lesson.ipynb") == {"Why": "because it is so."}
