"""Exercises of lessons 14, 15 and 17: right answers that people write otherwise."""

import pytest
from written_replicas import RIGHT as REPLICAS
from written_several_gpus import RIGHT as SEVERAL_GPUS
from written_smaller_caches import RIGHT as SMALLER
from written_smaller_caches import quantise_into_buffer
from written_speculative import RIGHT

from course_lib.practice.check import judge
from course_lib.practice.judge import registry


@pytest.mark.parametrize(
    "key, answer",
    [(key, one) for key, answers in (SMALLER | RIGHT | SEVERAL_GPUS | REPLICAS).items() for one in answers],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_a_right_answer_written_otherwise_passes(key, answer):
    result = judge(registry.find(key), answer)
    assert result, str(result)


def test_a_buffer_that_every_call_fills_is_told():
    result = judge(registry.find("14.quantise"), quantise_into_buffer)
    assert "overwritten by the next call" in result.failure.mistake.name, str(result)
