"""Which tokens may be drawn, with what probability, and that the draws are what they claim to be."""

import math

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from course_lib.decoding import SamplingParams, distribution, sample
from course_lib.decoding.sampling import seeded_generator
from course_lib.errors import ParameterError


def probabilities(logits, **params):
    return distribution(torch.tensor(logits), SamplingParams(**{"temperature": 1.0, **params})).tolist()


def of(*shares):
    """Logits whose plain softmax is these shares."""
    return [math.log(p) for p in shares]


def close(*values):
    return pytest.approx(values, abs=1e-6)


# --- literal cases ------------------------------------------------------------------------------


def test_temperature_1_is_the_softmax():
    assert probabilities(of(0.2, 0.5, 0.3)) == close(0.2, 0.5, 0.3)


def test_temperature_one_half_squares_the_odds():
    assert probabilities(of(0.2, 0.8), temperature=0.5) == close(1 / 17, 16 / 17)


def test_a_high_temperature_evens_out():
    assert probabilities(of(0.2, 0.8), temperature=1e6) == pytest.approx([0.5, 0.5], abs=1e-5)


def test_temperature_0_is_all_on_the_likeliest():
    assert probabilities([0.0, 3.0, 2.0], temperature=0) == [0, 1, 0]


def test_temperature_0_takes_the_lowest_id_among_equals():
    assert probabilities([0.0, 3.0, 3.0], temperature=0) == [0, 1, 0]
    assert sample(torch.tensor([0.0, 3.0, 3.0]), SamplingParams()) == 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-40, 1e-60, 5e-324])
def test_a_tiny_temperature_neither_overflows_nor_divides_zero_by_zero(temperature):
    assert probabilities([1000.0, -1000.0, 990.0], temperature=temperature) == [1, 0, 0]


def test_large_logits_do_not_overflow():
    assert probabilities([1e30, 0.0, -1e30]) == [1, 0, 0]


def test_a_logit_of_minus_infinity_is_never_drawn():
    assert probabilities([-math.inf, 0.0, 0.0], top_p=0.99, top_k=3) == close(0, 0.5, 0.5)


def test_top_k_keeps_the_k_likeliest():
    assert probabilities(of(0.1, 0.4, 0.2, 0.3), top_k=2) == close(0, 4 / 7, 0, 3 / 7)


def test_top_k_keeps_the_lower_ids_among_equals_and_exactly_k():
    assert probabilities([1.0, 2.0, 1.0, 1.0], top_k=2)[2:] == [0, 0]
    assert probabilities([5.0] * 5, top_k=3) == close(1 / 3, 1 / 3, 1 / 3, 0, 0)


@pytest.mark.parametrize("top_k", [4, 5, 10**9, None])
def test_top_k_of_all_or_more_cuts_nothing(top_k):
    assert probabilities(of(0.1, 0.4, 0.2, 0.3), top_k=top_k) == close(0.1, 0.4, 0.2, 0.3)


def test_the_token_that_crosses_top_p_stays():
    assert probabilities(of(0.1, 0.4, 0.2, 0.3), top_p=0.5) == close(0, 4 / 7, 0, 3 / 7)


def test_a_threshold_that_is_met_exactly_needs_no_more_tokens():
    """Four equal shares of 1/4 are exact in binary: 1/2 is reached by two of them."""
    assert probabilities([0.0] * 4, top_p=0.5) == [0.5, 0.5, 0, 0]
    assert probabilities([0.0] * 4, top_p=0.50001) == close(1 / 3, 1 / 3, 1 / 3, 0)
    assert probabilities([0.0] * 4, top_p=0.75) == close(1 / 3, 1 / 3, 1 / 3, 0)


@pytest.mark.parametrize("seed", range(50))
def test_the_likeliest_token_s_own_probability_is_reached_by_it_alone(seed):
    """(a + b) - b is not always a in float32; a cut that subtracts keeps a token too many for some of these."""
    logits = torch.randn(3, generator=torch.Generator().manual_seed(seed)).sort(descending=True).values
    kept = distribution(logits, SamplingParams(temperature=1.0, top_p=float(logits.softmax(-1)[0])))
    assert kept.tolist() == [1, 0, 0]


def test_top_p_keeps_the_likeliest_however_small_it_is():
    assert probabilities(of(0.2, 0.5, 0.3), top_p=1e-9) == [0, 1, 0]


def test_top_p_comes_after_top_k():
    """Of 0.4, 0.3 | 0.2, 0.1 the first two stay and count as 4/7, 3/7; 4/7 alone reaches 0.5.
    The other way round, 0.5 needs both of them."""
    assert probabilities(of(0.1, 0.4, 0.2, 0.3), top_k=2, top_p=0.5) == [0, 1, 0, 0]


def test_temperature_comes_before_top_p():
    """At temperature 1/2, 0.2 and 0.8 are 1/17 and 16/17, which alone reaches 0.9."""
    assert probabilities(of(0.2, 0.8), temperature=0.5, top_p=0.9) == [0, 1]
    assert probabilities(of(0.2, 0.8), temperature=1.0, top_p=0.9) == close(0.2, 0.8)


def test_rows_are_independent():
    rows = torch.tensor([of(0.1, 0.4, 0.2, 0.3), of(0.7, 0.1, 0.1, 0.1)])
    params = SamplingParams(temperature=0.7, top_k=3, top_p=0.8)
    together = distribution(rows, params)
    for row, alone in zip(together, rows):
        assert torch.equal(row, distribution(alone, params))


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_the_logits_are_not_changed_and_the_answer_is_float32(temperature):
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0)).bfloat16()
    before = logits.clone()
    assert distribution(logits, SamplingParams(temperature=temperature, top_k=5, top_p=0.9)).dtype == torch.float32
    sample(logits, SamplingParams(temperature=temperature, top_k=5))
    assert torch.equal(logits, before)


# --- any case -----------------------------------------------------------------------------------


def plainly(logits, temperature, top_k, top_p):
    """The same, obviously right: plain Python, double precision, one token at a time.
    Returns the probabilities, and how near the running sum comes to top_p without deciding it."""
    likeliest_first = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:top_k]
    weights = {i: math.exp((logits[i] - max(logits)) / temperature) for i in likeliest_first}
    total = sum(weights.values())
    kept, reached, margin = {}, 0.0, math.inf
    for i in likeliest_first:
        if top_p < 1 and kept and reached >= top_p:
            break
        kept[i] = weights[i] / total
        reached += kept[i]
        margin = min(margin, abs(reached - top_p))
    return [kept.get(i, 0.0) / reached for i in range(len(logits))], margin


# Halves: many equal logits, and equal stays equal after division.
LOGITS = st.lists(st.integers(-12, 12).map(lambda n: n / 2), min_size=1, max_size=40)


@given(LOGITS, st.floats(0.1, 4), st.none() | st.integers(1, 45), st.just(1.0) | st.floats(0.001, 1))
@example([0.0] * 7, 1.0, 3, 0.6)
def test_the_distribution_is_the_plain_one(logits, temperature, top_k, top_p):
    want, margin = plainly(logits, temperature, top_k, top_p)
    assume(top_p == 1 or margin > 1e-5)  # nearer than that, float32 may decide the other way
    got = probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    assert sum(got) == pytest.approx(1, abs=1e-5)
    assert got == pytest.approx(want, abs=1e-5)
    cut = [i for i, p in enumerate(want) if p == 0]
    assert all(got[i] == 0 for i in cut), "what is cut has exactly 0"
    assert all(got[i] > 0 for i, p in enumerate(want) if p > 1e-30), "what is kept can be drawn"
    assert got[logits.index(max(logits))] > 0, "the likeliest always stays"


@given(LOGITS, st.floats(0.0, 4), st.none() | st.integers(1, 45), st.floats(1e-6, 1), st.integers(0, 2**63 - 1))
def test_a_draw_is_a_token_that_was_kept(logits, temperature, top_k, top_p, seed):
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    logits = torch.tensor(logits)
    token = sample(logits, params, seeded_generator(params, "cpu"))
    assert type(token) is int
    assert distribution(logits, params)[token] > 0
    assert token == sample(logits, params, seeded_generator(params, "cpu"))


@pytest.mark.parametrize("top_k", [None, 1, 7, 300])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.93, 1.0])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_transformers_cuts_the_same_tokens(temperature, top_k, top_p):
    """Normal random logits have no equals, where the two rules part."""
    logits = 3 * torch.randn(20, 300, generator=torch.Generator().manual_seed(0))
    scores = TemperatureLogitsWarper(temperature)(None, logits)
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    scores = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
    want = scores.softmax(-1)
    got = distribution(logits, SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p))
    assert torch.equal(got > 0, want > 0)
    assert torch.allclose(got, want, atol=1e-6)


# --- drawing ------------------------------------------------------------------------------------


def test_draws_are_as_frequent_as_the_distribution_says():
    """Chi-square, 20,000 draws: 16.27 is passed by chance once in a thousand seeds (3 degrees of freedom)."""
    params = SamplingParams(temperature=0.7, top_k=5, top_p=0.95, seed=7)
    logits = torch.tensor(of(0.05, 0.3, 0.02, 0.25, 0.2, 0.18))
    p, count = distribution(logits, params), 20_000
    drawn = sample(logits.expand(count, -1), params, seeded_generator(params, "cpu"))
    seen = torch.bincount(drawn, minlength=6)
    assert (p > 0).sum() == 4 and seen[p == 0].sum() == 0
    expected = count * p[p > 0]
    assert ((seen[p > 0] - expected) ** 2 / expected).sum() < 16.27


def test_seeds_repeat_and_differ():
    logits = torch.zeros(100, 50)

    def draws(seed):
        params = SamplingParams(temperature=1.0, seed=seed)
        return sample(logits, params, seeded_generator(params, "cpu")).tolist()

    assert draws(3) == draws(3)
    assert len({tuple(draws(seed)) for seed in (0, 1, 2, None, None)}) == 5


def test_a_generator_moves_on_with_every_draw():
    params = SamplingParams(temperature=1.0, seed=0)
    generator = seeded_generator(params, "cpu")
    assert len({sample(torch.zeros(1000), params, generator) for _ in range(20)}) > 15


def test_rows_give_a_tensor_and_one_row_an_int():
    assert type(sample(torch.zeros(5), SamplingParams())) is int
    assert sample(torch.eye(3), SamplingParams()).tolist() == [0, 1, 2]
    assert sample(100 * torch.eye(3), SamplingParams(temperature=1.0)).tolist() == [0, 1, 2]


def test_a_seed_draws_the_same_without_a_generator():
    logits, params = torch.zeros(50), SamplingParams(temperature=1.0, seed=3)
    assert len({sample(logits, params) for _ in range(5)}) == 1
    unseeded = SamplingParams(temperature=1.0)
    assert len({sample(logits, unseeded) for _ in range(30)}) > 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("row", [[float("nan"), 1.0], [float("-inf")] * 2, [float("inf"), 0.0]])
def test_logits_by_which_nothing_can_be_chosen(row, temperature):
    with pytest.raises(ParameterError, match="no token can be chosen"):
        sample(torch.tensor(row), SamplingParams(temperature=temperature))


@pytest.mark.parametrize("logits", [torch.zeros(0), torch.zeros(()), torch.zeros(1, 2, 3), [1.0, 2.0]])
def test_logits_of_a_wrong_shape(logits):
    with pytest.raises(ParameterError, match="vocab_size"):
        sample(logits, SamplingParams())
