"""Where two tokens are equally good but for rounding, both are right: batches add in another order than one sequence.

In float32 this happens about once in 15,000 requests to a random model: 10.3373365 against 10.3373346.
"""

from dataclasses import replace

import torch
from summing import oracle

from course_lib.decoding.counter_rng import exponential
from course_lib.kvcache import Recompute

UNITS = 16  # in the last place of the largest score; two tokens that differ by more are told apart by every order


def past_ties(model, prompt, params, index, got, expected):
    """The tokens to expect where `got` is right as far as it goes: with its token at each tie, and what follows that.

    The same as `expected` where no token differs, or where the first that differs is no tie.
    """
    while (at := first_difference(got, expected)) is not None:
        begun = [*got[: at + 1]]
        if not is_tie(model, [*prompt, *got[:at]], params, index, got[at], expected[at]):
            break
        rest, ended = replace(params, max_tokens=params.max_tokens - at - 1), begun[-1] in params.stop_token_ids
        expected = begun if ended or not rest.max_tokens else begun + oracle(model, [*prompt, *begun], rest, index)
    return expected


def first_difference(one, other):
    """The first place where both lists have a token and not the same; None if there is none."""
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), None)


@torch.inference_mode()
def is_tie(model, tokens, params, index, one, other):
    """Whether the scores by which the token after these is chosen are equal for two tokens, but for rounding."""
    at = torch.tensor([len(tokens) - 1])
    scores = model(torch.tensor(tokens), torch.arange(len(tokens)), Recompute(), logits_for=at)[0].double()
    if params.temperature > 0:
        seed, position = torch.tensor([params.seed + index]), torch.tensor([len(tokens)])
        scores = scores / params.temperature - exponential(seed, position, len(scores))[0].double().log()
    return bool((scores[one] - scores[other]).abs() <= UNITS * torch.finfo(torch.float32).eps * scores.abs().max())
