"""The loop with a draft writes what the loop without writes."""

from collections import Counter

import pytest
import random_models
import torch

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.decoding.generate_speculative import generate_speculative
from course_lib.errors import ParameterError

MODEL, OTHER = random_models.model(), random_models.model(num_layers=1, seed=5)
PROMPT = [3, 1, 4, 1, 5]


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("draft", [MODEL, OTHER])
@pytest.mark.parametrize("max_tokens", [0, 1, 2, 30])
def test_greedy_tokens_are_those_of_naive_decoding(k, draft, max_tokens):
    params, record = SamplingParams(max_tokens=max_tokens), []
    got = generate_speculative(MODEL, draft, PROMPT, params, num_speculative_tokens=k, record=record)
    assert got == generate_naive(MODEL, PROMPT, params)
    assert sum(accepted + 1 for _, accepted in record) == max_tokens
    assert draft is OTHER or all(drafted == accepted for drafted, accepted in record)


def test_strict_sampled_tokens_too():
    params = SamplingParams(max_tokens=30, temperature=0.9, top_p=0.95, seed=7)
    record = []
    assert generate_speculative(MODEL, OTHER, PROMPT, params, strict=True, record=record) == generate_naive(
        MODEL, PROMPT, params
    )
    assert any(accepted for _, accepted in record)


def test_it_ends_at_a_stop_token_in_the_middle_of_accepted_ones():
    whole = generate_naive(MODEL, PROMPT, SamplingParams(max_tokens=30))
    params = SamplingParams(max_tokens=30, stop_token_ids=(whole[7],))
    got = generate_speculative(MODEL, MODEL, PROMPT, params, num_speculative_tokens=10)
    assert got == generate_naive(MODEL, PROMPT, params) and got[-1] == whole[7]


def test_sampled_tokens_have_the_distribution_of_the_model():
    draws = Counter()
    for seed in range(600):
        params = SamplingParams(max_tokens=2, temperature=2.0, seed=seed)
        draws[tuple(generate_speculative(MODEL, OTHER, PROMPT, params, num_speculative_tokens=1))] += 1
    alone = Counter(
        tuple(generate_naive(MODEL, PROMPT, SamplingParams(max_tokens=2, temperature=2.0, seed=seed)))
        for seed in range(600, 1200)
    )
    # The first tokens: two samples of 600 from one distribution (chi-square of a 2 x n table).
    first, other = (Counter() for _ in range(2))
    for counter, source in ((first, draws), (other, alone)):
        for (token_id, _), count in source.items():
            counter[token_id] += count
    tokens = [t for t in first | other if first[t] + other[t] >= 10]
    statistic = sum((first[t] - other[t]) ** 2 / (first[t] + other[t]) for t in tokens)
    assert len(tokens) > 3 and statistic < len(tokens) + 5 * (2 * len(tokens)) ** 0.5


def test_a_draft_with_another_vocabulary_is_refused():
    with pytest.raises(ParameterError, match="vocabulary"):
        generate_speculative(MODEL, random_models.model(vocab_size=29), PROMPT)
    with pytest.raises(ParameterError, match="at least 1"):
        generate_speculative(MODEL, OTHER, PROMPT, num_speculative_tokens=0)
    assert torch.is_inference_mode_enabled() is False
