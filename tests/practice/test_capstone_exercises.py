"""Exercises of lesson 18: each wrong answer to a question, and what the contest says."""

import pytest
from written_capstone import keyed

from course_lib.engine import Policy
from course_lib.errors import CourseError, ParameterError
from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.lessons.l18.contest import COURSE, PRACTICE, contest, waits
from course_lib.practice.lessons.l18.read_vllm import QUESTIONS, read_vllm
from course_lib.practice.lessons.l18.read_vllm_mistakes import WRONG


@pytest.mark.parametrize("key, wrong, name, why", WRONG, ids=lambda one: str(one)[:30])
def test_each_wrong_answer_to_a_question_gets_its_name_and_where_to_look_and_not_the_answer(key, wrong, name, why):
    result = judge(registry.find("18.read_vllm"), lambda: {**read_vllm(), key: wrong})
    assert result.failure.mistake.name == f"`{key}`: {name}"
    said = str(result)
    assert QUESTIONS[key][2].split(" `")[0] in said and why in said
    assert repr(read_vllm()[key]) not in said


def test_a_contest_has_a_row_for_each_policy_and_workload_and_is_the_same_each_time():
    first = keyed(lambda request: request.arrival)
    table = contest(first)
    assert len(table.rows) == len(PRACTICE) * (1 + len(COURSE))
    assert {row[2:] for row in table.rows if row[1] == "Keyed"} == {(100, 1.0)}  # first come, first served
    assert not any(won for row, won in zip(table.rows, table.won) if row[1] == "Keyed")
    assert any("starves" in row for row in table.cells)
    assert str(table).count("\n") == len(table.rows) + 1 and "<table" in table._repr_html_()
    assert contest(first).rows == table.rows


def test_a_policy_that_loses_requests_and_one_that_is_no_class_are_told():
    class Loses(Policy):
        def key(self, request):
            return request.arrival

        def push(self, request, *, returning=False):
            if request.number % 2:
                super().push(request, returning=returning)

    with pytest.raises(CourseError, match="has lost the others"):
        waits(Loses, "calm", 4)
    with pytest.raises(ParameterError, match="Pass the class itself"):
        contest(COURSE["Fair"]())
