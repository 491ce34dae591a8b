"""Exercises of lesson 15: right answers that people write otherwise."""

import pytest
from written_speculative import RIGHT

from course_lib.practice.check import judge
from course_lib.practice.judge import registry


@pytest.mark.parametrize(
    "key, answer",
    [(key, one) for key, answers in RIGHT.items() for one in answers],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_a_right_answer_written_otherwise_passes(key, answer):
    result = judge(registry.find(key), answer)
    assert result, str(result)
