"""The fuzz tests take a tie for right, and nothing else."""

import pytest
import torch
from scenarios import Arrival, check_output
from summing import oracle
from ties import past_ties

from course_lib.decoding import SamplingParams
from course_lib.engine import RequestOutput
from course_lib.models import ModelConfig


class Fixed:
    """After token i come the logits of row i."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, rows):
        self.rows = torch.tensor(rows)
        shape = dict(hidden_size=2, intermediate_size=2, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=2)
        self.config = ModelConfig(vocab_size=len(rows), context=64, **shape)

    def __call__(self, token_ids, positions, cache, logits_for=None):
        logits = self.rows[token_ids]
        return logits if logits_for is None else logits[logits_for]


#  After 0 both 1 and 2 but for two units in the last place; after 1 comes 0, after 2 comes 2.
MODEL = Fixed([[0.0, 10.3373365, 10.3373346], [9.0, 1.0, 0.0], [1.0, 0.0, 9.0]])
PARAMS = SamplingParams(max_tokens=5)


@pytest.mark.parametrize(
    "got, expected",
    [
        ([1, 0, 1, 0, 1], [1, 0, 1, 0, 1]),  # as alone
        ([2], [2, 2, 2, 2, 2]),  # the other of the tie, and what follows it
        ([2, 2, 2, 2, 2], [2, 2, 2, 2, 2]),
        ([1, 0, 2, 2, 2], [1, 0, 2, 2, 2]),
        ([1, 1], [1, 0, 1, 0, 1]),  # no tie
        ([2, 2, 0], [2, 2, 2, 2, 2]),  # no tie, after one
        ([0], [1, 0, 1, 0, 1]),
    ],
)
def test_what_follows_the_token_that_was_taken_is_expected(got, expected):
    alone = oracle(MODEL, [0], PARAMS)
    assert alone == [1, 0, 1, 0, 1] and past_ties(MODEL, [0], PARAMS, 0, got, alone) == expected


def test_a_sampled_tie_is_judged_by_the_score_that_was_drawn():
    same = Fixed([[1.0, 1.0], [1.0, 1.0]])
    for seed in range(20):  # equal logits, but the random numbers decide
        params = SamplingParams(max_tokens=1, temperature=1.0, seed=seed)
        (token,) = oracle(same, [0], params)
        assert past_ties(same, [0], params, 0, [1 - token], [token]) == [token]


@pytest.mark.parametrize(
    "tokens, is_right", [([2, 2, 2, 2, 2], True), ([1, 0, 1, 0, 1], True), ([2, 0, 1, 0, 1], False)]
)
def test_the_audit_of_a_day_uses_it(tokens, is_right):
    output = RequestOutput("0", tokens, tokens, None, True, "length", None)
    arrival = Arrival(0, [0], PARAMS, 0, "x", None)
    if is_right:
        check_output(MODEL, output, arrival, {})
    else:
        with pytest.raises(AssertionError):
            check_output(MODEL, output, arrival, {})
