"""Right answers that people write otherwise pass: those of every file written_*.py beside this one."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from course_lib.practice.check import judge
from course_lib.practice.judge import registry

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
WRITTEN = [getattr(import_module(file.stem), "RIGHT", {}) for file in sorted(HERE.glob("written_*.py"))]
CASES = [(key, answer) for written in WRITTEN for key, answers in written.items() for answer in answers]


@pytest.mark.parametrize("key, answer", CASES, ids=lambda one: getattr(one, "__name__", str(one)[:40]))
def test_a_right_answer_that_is_written_otherwise_passes(key, answer):
    result = judge(registry.find(key), answer)
    assert result, str(result)
