"""The rule of speculative decoding keeps the distribution; wrong rules do not, and the same test sees that."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoding.choosing import ChoiceRows, choose, probabilities
from course_lib.decoding.counter_rng import exponential, uniform
from course_lib.decoding.prompt_lookup import PromptLookup
from course_lib.decoding.sampling import SamplingParams, distribution, first_largest
from course_lib.decoding.speculative import ACCEPT, REPLACE, num_accepted, rejection_sample

ROWS, VOCABULARY = 40_000, 9
ONES = torch.ones(ROWS, dtype=torch.int64)
SEEDS = torch.arange(ROWS)


def chi_square(token_ids, probs):
    """Pearson's statistic of these draws over the tokens that can occur, and the value that one draw in a million
    exceeds (Wilson and Hilferty).
    """
    expected = probs * len(token_ids)
    assert bool((torch.bincount(token_ids, minlength=len(probs))[expected == 0] == 0).all())
    expected, seen = expected[expected > 0], torch.bincount(token_ids, minlength=len(probs))[expected > 0]
    freedom = len(expected) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 4.75 * (2 / (9 * freedom)) ** 0.5) ** 3
    return float(((seen - expected) ** 2 / expected).sum()), limit


def pair(number):
    """Two distributions that are unlike each other; in every other pair some tokens cannot occur."""
    generator = torch.Generator().manual_seed(number)
    p, q = torch.randn(2, VOCABULARY, generator=generator).mul(1.5).softmax(-1)
    if number % 2:
        p = p.clone()
        p[:3] = 0
        p = p / p.sum()
    return p, q


def drawn_from(q, positions=ONES):
    return first_largest(q.expand(ROWS, -1) / exponential(SEEDS, positions, VOCABULARY))


def drafted_and_checked(number, rule):
    p, q = pair(number)
    drafted = drawn_from(q)
    return p, rule(p.expand(ROWS, -1), q.expand(ROWS, -1), drafted, SEEDS, ONES)


@pytest.mark.parametrize("number", range(6))
def test_each_token_is_distributed_as_the_model_says(number):
    p, (token_ids, accepted) = drafted_and_checked(number, rejection_sample)
    statistic, limit = chi_square(token_ids, p)
    assert statistic < limit
    # As many are accepted as can be: the sum of min(p, q), within five standard errors.
    share = torch.minimum(*pair(number)).sum()
    assert abs(accepted.float().mean() - share) < 5 * (share * (1 - share) / ROWS) ** 0.5


@pytest.mark.parametrize("number", range(4))
def test_a_certain_draft_too(number):
    p, _ = pair(number)
    drafted = torch.full((ROWS,), 4)
    token_ids, accepted = rejection_sample(p.expand(ROWS, -1), None, drafted, SEEDS, ONES)
    statistic, limit = chi_square(token_ids, p)
    assert statistic < limit and bool((token_ids[accepted] == 4).all())


def accepts_all(p, q, drafted, seeds, positions):
    return drafted, torch.ones_like(drafted, dtype=torch.bool)


def replaces_from_p(p, q, drafted, seeds, positions):
    _, accepted = rejection_sample(p, q, drafted, seeds, positions)
    again = first_largest(p / exponential(seeds, positions + REPLACE, VOCABULARY))
    return torch.where(accepted, drafted, again), accepted


def accepts_with_p(p, q, drafted, seeds, positions):
    token_ids, _ = rejection_sample(p, q, drafted, seeds, positions)
    accepted = uniform(seeds, positions + ACCEPT) < p.gather(1, drafted[:, None])[:, 0]
    rest = first_largest((p - q).clamp(min=0) / exponential(seeds, positions + REPLACE, VOCABULARY))
    return torch.where(accepted, drafted, rest), accepted


def takes_the_likeliest(p, q, drafted, seeds, positions):
    token_ids, accepted = rejection_sample(p, q, drafted, seeds, positions)
    return torch.where(accepted, drafted, first_largest((p - q).clamp(min=0))), accepted


def uses_the_numbers_of_the_draft(p, q, drafted, seeds, positions):
    token_ids, accepted = rejection_sample(p, q, drafted, seeds, positions)
    rest = first_largest((p - q).clamp(min=0) / exponential(seeds, positions, VOCABULARY))
    return torch.where(accepted, drafted, rest), accepted


@pytest.mark.parametrize(
    "rule", [accepts_all, replaces_from_p, accepts_with_p, takes_the_likeliest, uses_the_numbers_of_the_draft]
)
def test_a_wrong_rule_is_caught(rule):
    caught = []
    for number in range(6):
        p, (token_ids, _) = drafted_and_checked(number, rule)
        try:
            statistic, limit = chi_square(token_ids, p)
            caught.append(statistic > limit)
        except AssertionError:
            caught.append(True)
    assert any(caught)


def test_probabilities_are_those_of_lesson_01():
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * 3
    params = [
        SamplingParams(temperature=0.7),
        SamplingParams(temperature=1.3, top_k=5),
        SamplingParams(temperature=0.9, top_p=0.8),
        SamplingParams(temperature=1.0, min_p=0.1, top_p=0.95),
        SamplingParams(),
    ]
    rows = ChoiceRows.of(params, range(5), range(5))
    expected = torch.stack([distribution(row, its) for row, its in zip(logits, params)])
    torch.testing.assert_close(probabilities(logits, rows), expected, atol=1e-6, rtol=1e-5)
    assert int(choose(logits, rows)[4]) == int(logits[4].argmax())


def test_accepted_tokens_count_up_to_the_first_that_is_not():
    assert [num_accepted(x) for x in ([], [True], [False, True], [True, True, False, True])] == [0, 1, 0, 2]


def looked_up(token_ids, most, longest, shortest):
    """What PromptLookup proposes, by searching from the end."""
    for n in range(longest, shortest - 1, -1):
        run = token_ids[len(token_ids) - n :]
        for end in range(len(token_ids) - 1, n - 1, -1):
            if len(token_ids) > n and token_ids[end - n : end] == run:
                return token_ids[end : end + most]
    return []


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 30),
)
def test_prompt_lookup_finds_what_a_search_finds(token_ids, most, shortest, more, cut):
    lookup = PromptLookup(shortest + more, shortest)
    lookup.extend(token_ids[:cut])
    lookup.extend(token_ids[cut:])
    assert lookup.propose(most) == looked_up(token_ids, most, shortest + more, shortest)


def test_uniform_numbers_are_uniform():
    numbers = uniform(SEEDS, ONES * 7).double().numpy()
    assert 0 < numbers.min() and numbers.max() <= 1
    counts = np.bincount((numbers * 20).astype(int).clip(max=19), minlength=20)
    assert ((counts - ROWS / 20) ** 2 / (ROWS / 20)).sum() < 60
