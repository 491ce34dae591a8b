"""What counts as the same outcome: floats by the size of their row, other values exactly."""

import math

import pytest
import torch

from course_lib.practice.judge.agreement import Near, agree, alike, differ_in_floats_only, differing, near

INF = math.inf


def rows(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize("dtype, digits", [(torch.float32, 24), (torch.float16, 11), (torch.bfloat16, 8)], ids=str)
@pytest.mark.parametrize("terms", [2, 100, 3000])
def test_the_order_of_a_sum_does_not_count(dtype, digits, terms):
    """Each number of a row is a sum whose terms are as large; some of the sums are close to 0."""
    draw = torch.Generator().manual_seed(terms)
    numbers = torch.randn(20, 8, terms, generator=draw)
    exact = numbers.double().sum(2)
    # what a sum in another order differs by: half a unit in the last place of each partial sum, at random
    noise = torch.randn(20, 8, generator=draw, dtype=torch.float64) * 2.0**-digits * terms**0.5
    one, other = exact.to(dtype), (exact + noise * numbers.abs().amax(2)).to(dtype)
    assert agree(one, other) and alike(one, other)
    if dtype is torch.float32 and terms == 3000:
        assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "dtype, wrong", [(torch.float32, 0.001), (torch.float16, 0.02), (torch.bfloat16, 0.1)], ids=str
)
def test_a_wrong_number_counts(dtype, wrong):
    one = rows([1.0, -2.0], [0.5, 3.0], dtype=dtype)
    other = one.clone()
    other[1, 1] *= 1 + wrong
    assert not agree(one, other) and differing(one, other).tolist() == [[False, False], [False, True]]


def test_the_size_is_that_of_the_own_row():
    one = rows([1e-3, 2e-3], [500.0, 800.0])
    assert agree(one, rows([1e-3, 2e-3], [500.02, 800.0]))  # within a share of 800
    assert not agree(one, rows([1e-3, 2.02e-2], [500.0, 800.0]))


def test_one_large_number_that_is_wrong_hides_nothing():
    one = rows([1.0, 2.0, -INF])
    assert not agree(one, rows([1.5, 2.0, -1e9]))
    assert differing(rows([1.0, 2.0, 3.0]), rows([1.5, 2.0, -1e9])).tolist() == [[True, False, True]]


def test_infinity_and_nan_are_only_like_themselves():
    one = rows([INF, -INF, math.nan, 1.0])
    assert agree(one, one.clone())
    for place, value in ((0, 3e38), (0, -INF), (1, -3e38), (2, 1.0), (3, INF), (3, math.nan)):
        other = one.clone()
        other[0, place] = value
        assert not agree(one, other) and not alike(one, other), (place, value)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 1)], ids=str)
def test_tensors_of_any_shape_can_be_compared(shape):
    one = torch.ones(shape)
    assert agree(one, one + 1e-6)
    assert agree(one, one + 1) is (one.numel() == 0)


def test_integers_and_bools_are_compared_exactly():
    one = torch.tensor([[10**9, 1]])
    assert agree(one, one.clone()) and not agree(one, one + 1) and not alike(one, one + 1)
    assert not agree(torch.tensor([True]), torch.tensor([False]))
    assert not alike(1, 2) and not alike("a", "b") and not alike([1.0, 2], [1.0, 3])


def test_a_known_mistake_may_be_further_away_than_a_right_answer():
    one, other = rows([1.0, 2.0]), rows([1.001, 2.0])
    assert alike(one, other) and not agree(one, other)
    assert not alike(one, rows([1.02, 2.0]))
    assert alike({"a": [1.0, (2.0, one)]}, {"a": [1.001, (2.0, other)]})
    assert not alike({"a": [1.0, (2.0, one)]}, {"a": [1.02, (2.0, other)]})


@pytest.mark.parametrize(
    "one, other, only",
    [
        (rows([1.0, 2.0]), rows([-7.0, 2e9]), True),
        ((1.0, [rows([1.0])], "a"), (0.0, [rows([0.0])], "a"), True),
        (near(rows([1.0]), 0.1), near(rows([9.0]), 0.1), True),
        (rows([1.0, 2.0]), rows([1.0, INF]), False),
        (rows([1.0, 2.0]), rows([1.0, 2.0]).double(), False),
        (rows([1.0, 2.0]), rows([1.0]), False),
        ((1.0, "a"), (1.0, "b"), False),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), False),
        (3, 4, False),
    ],
)
def test_what_rounding_could_explain_is_told_from_what_it_cannot(one, other, only):
    assert differ_in_floats_only(one, other) is only


def test_a_case_can_ask_for_less_exactness():
    one = rows([1.0, 4.0])
    assert near(one) is one and near("text", 0.1) == "text"
    wider = near(one, 2e-3)
    assert isinstance(wider, Near) and agree(wider, near(one + 0.005, 2e-3))
    assert not agree(wider, near(one + 0.02, 2e-3)) and not agree(wider, one)
    assert not agree(wider, near(one.double(), 2e-3)) and not agree(wider, near(one[:, :1], 2e-3))
    assert differing(wider, near(rows([1.0, 4.1]), 2e-3)).tolist() == [[False, True]]
