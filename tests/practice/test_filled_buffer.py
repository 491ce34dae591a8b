"""Exercises of lesson 14: a buffer that an answer fills again and again."""

from written_smaller_caches import quantise_into_buffer

from course_lib.practice.check import judge
from course_lib.practice.judge import registry


def test_a_buffer_that_every_call_fills_is_told():
    result = judge(registry.find("14.quantise"), quantise_into_buffer)
    assert "overwritten by the next call" in result.failure.mistake.name, str(result)
