"""Answers whose sums are rounded otherwise, as on another processor: right ones pass, and a mistake keeps its name.

tests/practice/test_cases.py changes the outcomes of all answers. Here the last bits change inside of the computation,
where a mistake can make them count: scores that are not divided by 4 but multiplied lose 16 times as much.
"""

import sys
from pathlib import Path

import pytest
import torch

from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.agreement import agree, alike
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.rounding import SEEDS, Rounded, is_steady
from course_lib.practice.judge.runs import Runs

sys.path.insert(0, str(Path(__file__).parent))
from other_order import FLOATS, OtherRounding, holds_floats, other_order  # noqa: E402
from written_otherwise import CASES  # noqa: E402

EXERCISES = [registry.find(key) for key in sorted(FLOATS)]
RIGHT = [(exercise, right) for exercise in EXERCISES for right in exercise.rights]
DELICATE = ("scale", "maximum", "log-sum-exp", "divided", "rescaled", "wrong way round", "`top_p`")
"""Words in the names of mistakes that make numbers larger, and so what is rounded away, or compare a sum with 1."""
WRONG = [
    (exercise, mistake, wrong)
    for exercise in EXERCISES
    for mistake in exercise.mistakes
    for wrong in mistake.variants
    if any(word in mistake.name for word in DELICATE)
]
OTHERWISE = [
    (exercise, name, wrong)
    for exercise in EXERCISES
    for name, wrong in CASES[exercise.id]
    if name and any(word in name for word in DELICATE)
]
TIMES = 4
"""Results change by so many times what was rounded away."""


def label(value):
    return getattr(value, "id", None) or getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)


def with_floats(exercise):
    return [trial for trial in exercise.trials if holds_floats(exercise.expected(trial))]


def some(trials):
    """Every third trial: the two after it are like it, a little larger."""
    return trials[::3]


def test_other_rounding_changes_the_last_bits_of_a_sum_and_nothing_that_is_exact():
    draw = torch.Generator().manual_seed(1)
    x, whole = torch.randn(40, 300, generator=draw), torch.randint(-9, 9, (40, 300), generator=draw).float()
    plain = x.sum(1), x @ x.T, x.exp(), x.softmax(1)
    with OtherRounding(TIMES):
        other = x.sum(1), x @ x.T, x.exp(), x.softmax(1)
        assert torch.equal(whole.sum(1), whole.double().sum(1).float())
    for a, b in zip(plain, other, strict=True):
        assert not torch.equal(a, b) and agree(a, b) and not agree(a, b + 0.1)


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    """The first operation under such a mode imports a large part of torch: a trial's time must not pay for it."""
    with other_order(TIMES):
        torch.ones(2, 2).softmax(1).exp().sum()


@pytest.mark.parametrize("exercise, right", RIGHT, ids=label)
def test_a_right_answer_is_right_with_other_rounding(exercise, right):
    for trial in some(with_floats(exercise)) + [t for t in exercise.trials if t.rounding > 1]:
        with other_order(TIMES):
            outcome, _ = trial.outcome(right)
        assert trial.agree(exercise.expected(trial), outcome), (trial.story, outcome)


@pytest.mark.parametrize("exercise", EXERCISES, ids=label)
def test_where_rounding_counts_for_more_it_may_go_in_any_direction(exercise):
    for trial in [t for t in exercise.trials if t.rounding > 1]:
        for right in exercise.rights:
            for seed in SEEDS:
                with Rounded(seed):
                    outcome, _ = trial.outcome(right)
                assert trial.agree(exercise.expected(trial), outcome), (trial.story, outcome)


@pytest.mark.parametrize("exercise, mistake, wrong", WRONG, ids=label)
def test_a_delicate_mistake_is_like_itself_with_other_rounding(exercise, mistake, wrong):
    for trial in some(with_floats(exercise)):
        with other_order(TIMES):
            outcome, _ = trial.outcome(wrong)
        plain = exercise.outcome(wrong, trial)
        assert trial.alike(plain, outcome) or not is_steady(wrong, trial, plain), (trial.story, outcome)


class OtherwiseRounded(Runs):
    """The outcomes of an answer that alone is rounded otherwise: neither the reference nor a known mistake is."""

    def run(self, trial):
        with other_order(TIMES):
            return super().run(trial)


@pytest.mark.parametrize("exercise, name, wrong", OTHERWISE, ids=label)
def test_a_delicate_mistake_keeps_its_name_with_other_rounding(exercise, name, wrong):
    if exercise.lesson in ("07", "08", "14") and torch.cuda.is_available():
        pytest.skip("the wrong answers of this lesson are written for a CPU")
    result = judge(exercise, wrong, slow=False, runs=OtherwiseRounded(wrong, float("inf")))
    assert result.state == "failed"
    assert result.failure.mistake is not None and name in result.failure.mistake.name, str(result)


def tokens_up_to(p, at_least):
    """The number of probabilities, the largest first, that are added up until they reach p."""
    total, count = torch.zeros(()), 0
    for probability in at_least:
        if total >= p:
            break
        total, count = torch.stack([total, probability]).sum(), count + 1
    return torch.full((4,), float(count))


THIRDS = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0])
"""In float32 they add up to 1, or to a little less: rounding decides whether one more is needed to reach 1."""


def sums_with_a_boundary():
    trials = [
        Trial([f"f({p}, x)"], lambda answer, p=p, x=x: answer(p, x), size=size)
        for size, (p, x) in enumerate([(0.5, THIRDS), (0.1, THIRDS), (1.0, THIRDS), (0.9, THIRDS), (0.6, THIRDS)])
    ]
    short = Mistake("one is left out.", "It is.", lambda p, x: tokens_up_to(p, x) - 1)
    return Exercise(
        "99.sum",
        "Sum",
        "f",
        [Property("Enough", "It must.", trials)],
        [short],
        ["a"] * 3,
        [lambda p, x: torch.tensor([2.0, 1, 4, 3, 2][[0.5, 0.1, 1.0, 0.9, 0.6].index(p)]).repeat(4)] * 2,
    )


def test_a_trial_in_which_rounding_decides_does_not_speak_against_a_mistake():
    exercise = sums_with_a_boundary()
    variant, boundary = exercise.mistakes[0].wrong, exercise.trials[2]
    assert [exercise.is_steady(variant, trial) for trial in exercise.trials] == [True, True, False, True, True]

    def written_otherwise(p, x):
        less = 0.0 if p < 1 else 1e-6  # as if the sum was rounded down
        return torch.full((4,), float(sum(x.double().cumsum(0)[:-1] - less < p)))

    assert not alike(exercise.outcome(variant, boundary), boundary.outcome(written_otherwise)[0])
    assert judge(exercise, written_otherwise).failure.mistake is exercise.mistakes[0]


def test_rounding_leaves_equal_numbers_equal_and_whole_numbers_whole():
    x = torch.tensor([0.3, 0.7, 0.3, -1.5, 0.3])
    for seed in (1, -1, 2, 3):
        with Rounded(seed):
            weights, count = torch.softmax(x, 0), (x > 0).float().sum()
        assert weights[0] == weights[2] == weights[4] and count == 4
        assert agree(weights, x.softmax(0)) and not torch.equal(weights, x.softmax(0))
