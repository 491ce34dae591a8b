"""A learner's parts in the engine: theirs where it passes now, the reference's elsewhere, and one line says which."""

import pytest
import torch

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import CourseError
from course_lib.models import load_model
from course_lib.practice import load_parts
from course_lib.practice.judge import registry
from course_lib.practice.progress import workbook


def keep(exercise_id, source, name):
    workbook.record_check(exercise_id, {"when": workbook.now(), "name": name, "source": source})


def keep_solution(exercise_id):
    exercise = registry.find(exercise_id)
    imports = "from collections import *\nimport torch\nfrom course_lib.errors import *\n\n"
    keep(exercise_id, imports + registry.solution_of(exercise), exercise.name)


def test_what_is_not_passed_comes_from_the_reference_and_is_said():
    parts = load_parts("01.greedy", "04.allocator")
    assert parts["01.greedy"] is registry.find("01.greedy").reference
    assert str(parts) == "The reference's: 01.greedy (not passed yet), 04.allocator (not passed yet)."


def test_yours_is_taken_and_said_in_one_line():
    keep("01.greedy", "def greedy(logits):\n    return int(logits.argmax())\n", "greedy")
    parts = load_parts("01.greedy", "04.allocator")
    assert parts["01.greedy"].__module__.startswith("workbook") and parts["01.greedy"](torch.tensor([0.0, 2.0])) == 1
    assert str(parts) == "Yours: 01.greedy. The reference's: 04.allocator (not passed yet)."
    assert str(load_parts("01.greedy")) == "Yours: 01.greedy."


@pytest.mark.parametrize(
    "source, said",
    [
        ("def greedy(logits):\n    return int(logits.argmin())\n", "yours no longer passes its check"),
        ("def greedy(logits):\n    raise SystemExit\n", "yours no longer passes its check"),
        ("import no_such_module\n", "yours raises ModuleNotFoundError when it is loaded"),
        ("raise SystemExit\n", "yours raises SystemExit when it is loaded"),
        ("def greedy(:\n", "yours raises SyntaxError when it is loaded"),
        ("other = 1\n", "yours raises AttributeError when it is loaded"),
        ("", "passed, but its code was not saved"),
    ],
    ids=["wrong", "exits", "other environment", "exits at once", "no Python", "no such name", "not saved"],
)
def test_a_part_that_no_longer_passes_is_said_and_replaced(source, said):
    keep("01.greedy", source, "greedy")
    parts = load_parts("01.greedy")
    assert str(parts) == f"The reference's: 01.greedy ({said})."
    assert parts["01.greedy"] is registry.find("01.greedy").reference


def test_a_graded_run_takes_nothing_from_the_workbook_of_whoever_grades(monkeypatch):
    keep("01.greedy", "def greedy(logits):\n    return int(logits.argmax())\n", "greedy")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert str(load_parts("01.greedy")) == "The reference's: 01.greedy (not passed yet)."


def test_an_unknown_part_is_refused():
    with pytest.raises(CourseError, match="There is no exercise"):
        load_parts("04.alocator")


def test_the_engine_runs_on_your_allocator_and_generates_the_same_tokens():
    keep_solution("04.allocator")
    parts = load_parts("04.allocator")
    assert str(parts) == "Yours: 04.allocator."
    model, params = load_model()[0], SamplingParams(max_tokens=6)
    config = EngineConfig(num_blocks=16, prefix_caching=False)
    outputs = Engine(model, config, allocator=parts["04.allocator"]).generate([[50] * 5, [60] * 9], params)
    assert [out.token_ids for out in outputs] == [generate_naive(model, ids, params) for ids in ([50] * 5, [60] * 9)]
