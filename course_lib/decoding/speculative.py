"""Speculative decoding: a guess for the next tokens is cheap, and the model checks all of it in one run.

    drafted           d1   d2   d3   d4
    the model's row   p0   p1   p2   p3   p4       one run over  newest d1 d2 d3 d4
                      ok   ok   no                 d1, d2 and a token in the place of d3 are kept: three tokens

A drafted token d that was drawn from q is accepted with probability min(1, p(d) / q(d)). The first one that is not is
replaced by a draw from max(0, p - q). Then each token that is kept is distributed as p, whatever q is:

    q(x) min(1, p(x) / q(x))  +  (1 - sum of min(p, q)) * max(0, p(x) - q(x)) / (sum of max(0, p - q))
    =  min(p(x), q(x))        +  max(0, p(x) - q(x))        because both brackets are the same number
    =  p(x)

A greedy row puts 1 on one token, so there the rule says: accepted exactly if it is that token. Source: Leviathan et al.
(arXiv 2211.17192), Chen et al. (arXiv 2302.01318).
"""

import torch

from .counter_rng import exponential, uniform
from .sampling import first_largest

# Random numbers for what happens beside a draw: places far behind every position, so that no number is used twice.
ACCEPT, REPLACE = 1 << 30, 2 << 30


def rejection_sample(target, draft, drafted, seeds, positions):
    """For each drafted token: the same if it is accepted, or a token that takes its place.

    target: float32 [rows, vocab_size], the probabilities p of the model. draft: the same of what drew the token, q;
    None: it was not drawn but certain, as from prompt lookup. drafted: int64 [rows]. seeds, positions: int64 [rows],
    the position of each drafted token. Returns (token_ids int64 [rows], accepted bool [rows]). Of the rows of one
    sequence those up to the first that is not accepted count.
    """
    at = drafted[:, None]
    p = target.gather(1, at)[:, 0]
    q = torch.ones_like(p) if draft is None else draft.gather(1, at)[:, 0]
    accepted = uniform(seeds, positions + ACCEPT) * q < p
    rest = target.scatter(1, at, 0.0) if draft is None else (target - draft).clamp(min=0)
    rest = torch.where(rest.sum(-1, keepdim=True) > 0, rest, target)  # p and q are equal but for rounding
    replacement = first_largest(rest / exponential(seeds, positions + REPLACE, target.shape[-1]))
    return torch.where(accepted, drafted, replacement), accepted


def num_accepted(accepted):
    """How many are accepted before the first that is not. accepted: a list of bools."""
    return next((i for i, yes in enumerate(accepted) if not yes), len(accepted))
