"""Every exercise: right answers pass, known mistakes get their name, and the failure shown is the smallest."""

import ast
import re
import sys
from pathlib import Path

import pytest
import torch

from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.runs import Runs

sys.path.insert(0, str(Path(__file__).parent))
from other_order import FLOATS, holds_floats, moved  # noqa: E402
from written_otherwise import CASES  # noqa: E402

EXERCISES = registry.exercises()
RIGHT = [(e, right) for e in EXERCISES.values() for right in e.rights]
WRONG = [(e, mistake, wrong) for e in EXERCISES.values() for mistake in e.mistakes for wrong in mistake.variants]
OTHERWISE = [(EXERCISES[key], name, wrong) for key, cases in CASES.items() for name, wrong in cases]
OURS = {(exercise.id, wrong) for exercise, mistake, wrong in WRONG if mistake.ends}
JUDGED = {}
NO_BUDGET = float("inf")
"""Seconds for all trials of a check: no test depends on how fast the processor is."""
SOURCES = Path(__file__).parents[2] / "solutions" / "src"


def label(value):
    return getattr(value, "id", None) or getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)


def judged(exercise, answer, slow=True):
    """(the result, the Runs) of an answer: what several tests look at, worked out once.

    The tests of an exercise follow each other (conftest.py), so what is known of another one is not kept.
    """
    for other in [EXERCISES[id] for id in JUDGED if id != exercise.id]:
        del JUDGED[other.id]
        for known in (other._outcomes, other._right, other._steady, other._smaller):
            known.clear()
    done, key = JUDGED.setdefault(exercise.id, {}), (answer, slow)
    if key not in done:
        runs = OwnRuns(exercise, answer) if (exercise.id, answer) in OURS else Runs(answer, NO_BUDGET)
        done[key] = judge(exercise, answer, slow=slow, runs=runs), runs
    return done[key]


class OwnRuns(Runs):
    """What a known mistake does. It is compared with all other answers, so the exercise knows it anyway."""

    def __init__(self, exercise, answer):
        super().__init__(answer, NO_BUDGET)
        self.exercise = exercise

    def run(self, trial):
        return self.exercise.run(self.answer, trial)


def judged_elsewhere(exercise, answer, slow=True):
    """The result on a processor that rounds otherwise: the same outcomes, with the last bits of all floats changed."""
    _, runs = judged(exercise, answer, slow)
    draw, elsewhere = torch.Generator().manual_seed(7), Runs(answer, NO_BUDGET)
    elsewhere.done = {
        trial: (moved(outcome, draw, min(1.0, trial.rounding)), printed)
        for trial, (outcome, printed) in runs.done.items()
    }
    return judge(exercise, answer, slow=False, runs=elsewhere)


def with_floats(cases):
    """The cases of exercises whose outcomes hold floats."""
    return [case for case in cases if case[0].id in FLOATS]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=label)
def test_exercises_whose_outcomes_hold_floats_are_listed(exercise):
    assert any(holds_floats(exercise.expected(trial)) for trial in exercise.trials) == (exercise.id in FLOATS)


@pytest.mark.parametrize("exercise, right", RIGHT, ids=label)
def test_a_right_answer_passes(exercise, right):
    result, _ = judged(exercise, right, slow=right is exercise.reference)
    assert result, str(result)


@pytest.mark.parametrize("exercise, right", with_floats(RIGHT), ids=label)
def test_a_right_answer_passes_on_another_processor(exercise, right):
    result = judged_elsewhere(exercise, right, slow=right is exercise.reference)
    assert result, str(result)


@pytest.mark.parametrize("exercise, mistake, wrong", WRONG, ids=label)
def test_a_known_mistake_fails_under_its_own_name(exercise, mistake, wrong):
    result, _ = judged(exercise, wrong)
    assert result.state == "failed"
    assert result.failure.mistake is mistake, str(result)


@pytest.mark.parametrize("exercise, mistake, wrong", with_floats(WRONG), ids=label)
def test_a_known_mistake_has_its_name_on_another_processor(exercise, mistake, wrong):
    result = judged_elsewhere(exercise, wrong)
    assert result.state == "failed"
    assert result.failure.mistake is mistake, str(result)


def on_a_cpu(exercise):
    """The wrong answers of kernels: on a GPU some make tensors elsewhere, or reach outside of all memory."""
    if exercise.lesson in ("07", "08", "14") and torch.cuda.is_available():
        pytest.skip("the wrong answers of this lesson are written for a CPU")


def has_the_name(result, name):
    """Whether the mistake that was found has these words in its name; name None: whether none was found."""
    found = result.failure.mistake
    return found is None if name is None else found is not None and name in found.name


@pytest.mark.parametrize("exercise, name, wrong", OTHERWISE, ids=label)
def test_the_same_mistake_written_otherwise_gets_the_same_name_and_an_unknown_one_none(exercise, name, wrong):
    on_a_cpu(exercise)
    result, _ = judged(exercise, wrong)
    assert result.state == "failed"
    assert has_the_name(result, name), str(result)


@pytest.mark.parametrize("exercise, name, wrong", with_floats(OTHERWISE), ids=label)
def test_the_same_mistake_written_otherwise_gets_the_same_name_on_another_processor(exercise, name, wrong):
    on_a_cpu(exercise)
    result = judged_elsewhere(exercise, wrong)
    assert result.state == "failed"
    assert has_the_name(result, name), str(result)


@pytest.mark.parametrize("exercise, name, wrong", OTHERWISE, ids=label)
def test_the_counterexample_is_the_smallest_failing_one_and_all_are_counted(exercise, name, wrong):
    on_a_cpu(exercise)
    result, runs = judged(exercise, wrong)
    verdict = result.failure
    failing = [t for t in verdict.prop.trials if not t.agree(exercise.expected(t), runs.outcome(t)[0])]
    found, smallest = verdict.counterexample.trial, min(t.size for t in failing)
    assert found.size <= smallest if found.smaller else found.size == smallest  # a program is made smaller still
    assert verdict.counterexample.failing == len(failing)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=label)
def test_an_exercise_has_enough_of_everything(exercise):
    assert len(exercise.rights) >= 2 and len(exercise.hints) >= 3
    assert len([m for m in exercise.mistakes if m.variants or m.is_made_by]) >= 4
    assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
    assert all(mistake.name.endswith(".") and mistake.why.endswith((".", ")", "?")) for mistake in exercise.mistakes)
    assert exercise.why and exercise.reference.__name__ == exercise.name


def test_every_exercise_has_exactly_one_solution_cell():
    heads = [head for path in sorted(SOURCES.glob("*.py")) for head in re.findall(r"^# %%.*$", path.read_text(), re.M)]
    solved = [found[1] for head in heads if (found := re.search(r'"exercise": "([\w.]+)"', head))]
    assert solved == list(EXERCISES)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=label)
def test_the_solution_is_shown_as_its_cell_has_it(exercise):
    shown = registry.solution_of(exercise)
    [source] = SOURCES.glob(f"{exercise.lesson}_*.py")
    lines = [line for line in source.read_text(encoding="utf-8").split("\n") if "### " not in line]
    assert shown.strip() in "\n".join(lines) and "SOLUTION" not in shown
    tree = ast.parse(shown)
    [defined] = [node for node in tree.body if getattr(node, "name", "") == exercise.name]
    assert ast.get_docstring(defined)
