"""How outcomes are compared, and how a difference is shown."""

from pathlib import Path

import pytest
import torch

from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.agreement import agree
from course_lib.practice.judge.exercise import Exercise, Property, Trial
from course_lib.practice.judge.outcome_text import side_by_side
from course_lib.practice.lessons.l06.flash_forward import flash_forward
from course_lib.practice.lessons.l06.tensors_shown import beside

SOLUTIONS = Path(__file__).parents[2] / "solutions" / "src"


@pytest.mark.parametrize(
    "a, b, same",
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        ([1], (1,), False),
        (0.1 + 0.2, 0.3, True),
        (float("nan"), float("nan"), True),
        (torch.tensor(1), torch.tensor(1), True),
        (torch.tensor(1), torch.tensor(1.0), False),
        (torch.tensor([1.0]), torch.tensor(1.0), False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        ({"a": 1}, {"a": 2}, False),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), False),
    ],
)
def test_outcomes_agree_only_when_kind_and_value_do(a, b, same):
    assert agree(a, b) is same


HALVES = torch.tensor([0.5, 1.5])


@pytest.mark.parametrize(
    "expected, got, remark",
    [
        (HALVES, HALVES.double(), "A tensor comes as torch.float64; torch.float32 is asked for."),
        (
            (1, [HALVES, HALVES]),
            (1, [HALVES, HALVES.half()]),
            "A tensor comes as torch.float16; torch.float32 is asked for.",
        ),
        (torch.tensor([1]), torch.tensor([1.0]), "A tensor comes as torch.float32; torch.int64 is asked for."),
        (HALVES, HALVES + 1, "own"),
        (HALVES, HALVES.double()[:1], "own"),
        ((HALVES, 1), (HALVES.double(),), "own"),
        (HALVES, [0.5, 1.5], "own"),
    ],
)
def test_another_dtype_is_said_before_what_the_trial_has_to_say(expected, got, remark):
    trial = Trial(["answer()"], lambda answer: answer(), explain=lambda expected, got: "own")
    exercise = Exercise(
        "99.dtype",
        "Dtype",
        "answer",
        [Property("Equal", "It must.", [trial])],
        [],
        ["a"] * 3,
        [lambda: expected, lambda: expected],
    )
    assert judge(exercise, lambda: got).failure.counterexample.remark == remark


def test_a_trial_that_speaks_of_the_dtype_itself_has_the_word():
    trial = Trial(["answer()"], lambda answer: answer(), explain=lambda expected, got: f"{got.dtype} holds no slots.")
    exercise = Exercise(
        "99.dtype",
        "Dtype",
        "answer",
        [Property("Equal", "It must.", [trial])],
        [],
        ["a"] * 3,
        [lambda: torch.tensor([1]), lambda: 1],
    )
    assert judge(exercise, lambda: torch.tensor([1.0])).failure.counterexample.remark == "torch.float32 holds no slots."


def test_of_a_large_tensor_the_first_row_that_differs_is_shown():
    def one_row_off(q, k, v, tile, causal):
        out, lse = flash_forward(q, k, v, tile, causal)
        out[5:6] += 1
        return out, lse

    found = judge(registry.find("06.flash_forward"), one_row_off).failure.counterexample
    assert found.expected.startswith("(a tensor [6, 1, 4], row 5: [[") and found.got.startswith(
        "(a tensor [6, 1, 4], row 5: [["
    )
    assert found.expected != found.got


def test_numbers_that_differ_late_are_written_with_as_many_digits_as_show_it():
    assert beside(torch.tensor([1.0]), torch.tensor([1.0003])) == ("[1.]", "[1.0003]")
    assert beside((torch.zeros(2, 5, 2), 1), (torch.zeros(2, 5, 2), 2)) == tuple(
        f"(a tensor [2, 5, 2], first numbers [0., 0., 0., 0.], {number})" for number in (1, 2)
    )


@pytest.mark.parametrize(
    "expected, got, ends",
    [
        (HALVES, HALVES + 0.01, ("0.5", "0.50999999")),
        ([1, HALVES], [1, HALVES * 1.01], ("0.5", "0.504999995")),
        ([0.5], [0.51], ("0.5", "0.51")),
        (HALVES, HALVES.half(), ("torch.float32", "torch.float16")),
        ([1], (1,), ("a list", "a tuple")),
    ],
)
def test_two_outcomes_that_are_written_alike_end_with_their_first_difference(expected, got, ends):
    sides = side_by_side(Trial(["answer()"], lambda answer: answer(), show=lambda outcome: "[…]"), expected, got)
    assert sides == tuple(f"[…]\nfirst difference: {end}" for end in ends)
