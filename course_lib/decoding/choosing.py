"""The next token of many rows in one call, each row by its own parameters, with random numbers from a counter.

The rule is the same everywhere: of the tokens that may be drawn, take the one with the largest probability / waiting
time, where the waiting time comes from (seed, position, token). See counter_rng.py. On a GPU a Triton kernel does it;
here is its torch twin.
"""

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from course_lib.errors import ParameterError

from .counter_rng import exponential
from .sampling import first_largest


@dataclass(frozen=True)
class ChoiceRows:
    """How each row chooses: one number a row, on the device of the logits."""

    temperature: torch.Tensor
    """float32 [rows]; 0 is greedy."""
    top_k: torch.Tensor
    """int32 or int64 [rows]; 0 is all."""
    top_p: torch.Tensor
    """float32 [rows]; 1 is all."""
    min_p: torch.Tensor
    """float32 [rows]; 0 is all."""
    seed: torch.Tensor
    """int64 [rows]."""
    position: torch.Tensor
    """int64 [rows]: the position of the token that is chosen."""
    is_greedy: bool = False
    """Whether every row is greedy."""
    is_filtered: bool = True
    """Whether any row uses top_k, top_p or min_p."""

    @classmethod
    def of(cls, params, seeds, positions, device="cpu"):
        """From lists: a SamplingParams, a seed and a position for each row."""
        columns = zip(*[(p.temperature, p.top_k or 0, p.top_p, p.min_p) for p in params])
        types = (torch.float32, torch.int32, torch.float32, torch.float32)
        tensors = [torch.tensor(column, dtype=dtype, device=device) for column, dtype in zip(columns, types)]
        ints = (torch.tensor(column, dtype=torch.int64, device=device) for column in (seeds, positions))
        is_greedy = all(p.temperature == 0 for p in params)
        return cls(*tensors, *ints, is_greedy, any(p.top_k or p.top_p < 1 or p.min_p for p in params))


def choose(logits, rows):
    """The next token of each row. logits: [rows, vocab_size], any float dtype. rows: ChoiceRows. Returns int64 [rows].

    On a CPU a row that holds NaN or infinity, or that allows nothing, raises ParameterError; a GPU would have to stop
    for it.
    """
    if not logits.is_cuda and not logits.max(-1).values.isfinite().all():
        raise ParameterError(
            "A row of logits holds NaN or infinity, or nothing but -infinity, so no token can be chosen "
            "by it. Look for what made it: weights in float16 that overflow, or a mask over everything."
        )
    greedy = first_largest(logits)
    if rows.is_greedy:
        return greedy
    scaled = over_temperature(logits, rows)
    scores = scaled.exp() / exponential(rows.seed, rows.position, logits.shape[-1])
    if rows.is_filtered:
        scores = scores.masked_fill(~may_be_drawn(scaled, rows), -1.0)
    return torch.where(rows.temperature > 0, first_largest(scores), greedy)


def over_temperature(logits, rows):
    """(logits - largest) / temperature of each row, float32: the exponential of it is in proportion to the probability.

    A greedy row is divided by the smallest temperature there is.
    """
    logits, tiny = logits.float(), torch.finfo(torch.float32).tiny
    return (logits - logits.max(-1, keepdim=True).values) * (1 / rows.temperature.clamp(min=tiny))[:, None]


def probabilities(logits, rows):
    """The probabilities that `choose` draws each row's token from: float32 [rows, vocab_size]. A greedy row is certain.

    logits, rows: as for `choose`.
    """
    scaled = over_temperature(logits, rows)
    if rows.is_filtered:
        scaled = scaled.masked_fill(~may_be_drawn(scaled, rows), -math.inf)
    certain = F.one_hot(first_largest(logits), logits.shape[-1]).float()
    return torch.where((rows.temperature > 0)[:, None], scaled.softmax(-1), certain)


def may_be_drawn(scaled, rows):
    """Which tokens min_p, top_k and top_p leave, in this order, as in vLLM: bool [rows, vocab_size].

    scaled: (logits - largest) / temperature. Equal tokens at the edge of top_k go by the lower id, so that exactly k
    stay. The token that crosses top_p stays.
    """
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(scaled.shape[-1], device=scaled.device)
    ordered = ordered.masked_fill(ordered < rows.min_p.log()[:, None], -math.inf)
    ordered = ordered.masked_fill((rank >= rows.top_k[:, None]) & (rows.top_k > 0)[:, None], -math.inf)
    # A sum of what stands before, not cumsum - probs: that could round to below a top_p it has reached.
    reached_before = F.pad(ordered.softmax(-1).cumsum(-1)[..., :-1], (1, 0))
    stays = (ordered > -math.inf) & ((reached_before < rows.top_p[:, None]) | (rows.top_p >= 1)[:, None])
    return torch.zeros_like(stays).scatter_(-1, order, stays)


def seed_of(params, index=0):
    """The seed of sequence `index` of a request: params.seed + index, or a fresh one where params name none."""
    return (random.getrandbits(62) if params.seed is None else params.seed + index) % 2**63
