"""Choosing tokens with random numbers from a counter: the same draws in any batch and on any device, right shares."""

import itertools
import math

import pytest
import torch

from course_lib.decoding import SamplingParams, distribution
from course_lib.decoding.choosing import ChoiceRows, choose, may_be_drawn
from course_lib.decoding.counter_rng import exponential, mix
from course_lib.errors import ParameterError

SETTINGS = list(itertools.product((0, 0.6, 1.5), (None, 1, 5), (1.0, 0.9, 0.3), (0.0, 0.2)))
PARAMS = [SamplingParams(temperature=t, top_k=k, top_p=p, min_p=m) for t, k, p, m in SETTINGS]


def rows_for(params, first_seed=0, position=7, device="cpu"):
    return ChoiceRows.of(params, [first_seed + i for i in range(len(params))], [position] * len(params), device)


def some_logits(number, count, vocab_size=150):
    logits = torch.randn(count, vocab_size, generator=torch.Generator().manual_seed(number)) * 3
    logits = logits.round() if number % 2 else logits  # many equal ones
    if number == 4:
        logits[:, 100:] = -math.inf
    return logits


def test_a_row_draws_the_same_alone_and_in_any_company():
    logits, rows = some_logits(0, len(PARAMS)), rows_for(PARAMS)
    together = choose(logits, rows).tolist()
    for i, params in enumerate(PARAMS):
        assert int(choose(logits[i : i + 1], ChoiceRows.of([params], [i], [7]))) == together[i]
    order = torch.randperm(len(PARAMS), generator=torch.Generator().manual_seed(1)).tolist()
    mixed = ChoiceRows.of([PARAMS[i] for i in order], order, [7] * len(order))
    assert choose(logits[order], mixed).tolist() == [together[i] for i in order]


@pytest.mark.parametrize("params", [p for p in PARAMS if p.temperature], ids=str)
def test_only_what_the_distribution_allows_may_be_drawn(params):
    logits = some_logits(1, 8)
    scaled = (logits - logits.max(-1, keepdim=True).values) / params.temperature
    assert torch.equal(may_be_drawn(scaled, rows_for([params] * 8)), distribution(logits, params) > 0)


@pytest.mark.parametrize(
    "params", [SamplingParams(temperature=1.0), SamplingParams(temperature=0.7, top_p=0.8, top_k=4)], ids=str
)
def test_tokens_are_drawn_as_often_as_the_distribution_says(params):
    """A chi-square test over 20,000 seeds, and over 20,000 positions of one seed."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.0, -0.5])
    expected, n = distribution(logits, params).double(), 20_000
    for seeds, positions in ((list(range(n)), [3] * n), ([5] * n, list(range(n)))):
        drawn = choose(logits.expand(n, -1), ChoiceRows.of([params] * n, seeds, positions))
        counts = torch.bincount(drawn, minlength=6).double()
        assert counts[expected == 0].sum() == 0
        may = expected > 0
        chi_square = ((counts - n * expected)[may] ** 2 / (n * expected)[may]).sum()
        assert chi_square < 25  # 5 degrees of freedom at most: above 25 once in 7,000


def test_the_waiting_times_of_neighbours_are_unrelated():
    noise = exponential(torch.arange(300), torch.full((300,), 4), 300)
    other = exponential(torch.full((300,), 4), torch.arange(300), 300)
    for one in (noise, other):
        assert abs(one.mean() - 1) < 0.02 and abs(one.var() - 1) < 0.05 and one.min() > 0
        for dim in (0, 1):
            a, b = one.narrow(dim, 0, 299).flatten(), one.narrow(dim, 1, 299).flatten()
            assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.02
    assert noise.isfinite().all()


def test_the_extremes_of_the_counter_give_finite_waiting_times():
    assert mix(torch.tensor([0, 1, 2**32 - 1])).lt(2**32).all()
    seeds = torch.tensor([0, 2**63 - 1, 2**32, 1])
    assert exponential(seeds, torch.tensor([0, 2**31, 5, 2**40]), 50_000).isfinite().all()


def test_a_row_that_nothing_can_be_chosen_by_is_refused():
    with pytest.raises(ParameterError, match="NaN or infinity"):
        choose(torch.tensor([[0.0, math.nan]]), rows_for([SamplingParams()]))


triton = pytest.importorskip("triton", reason="Triton has packages for Linux only")


@pytest.mark.parametrize("number", range(6))
def test_the_kernel_chooses_what_its_twin_chooses(number, monkeypatch):
    from course_lib.decoding import choosing_kernel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        monkeypatch.setattr(choosing_kernel, "PART", 64)
        monkeypatch.setattr(choosing_kernel, "PIECE", 32)
    logits, rows = some_logits(number, len(PARAMS)).to(device), rows_for(PARAMS, number << 40, 7 + number, device)
    assert torch.equal(choosing_kernel.choose(logits, rows), choose(logits, rows))
