"""The log probability of a chosen token, and of the likeliest tokens beside it.

Of the logits as the model computes them, before temperature and penalties, as vLLM's default "raw_logprobs".
"""

from typing import NamedTuple

import torch


class Logprob(NamedTuple):
    """Of one token at one place. The names are vLLM's."""

    logprob: float
    """Natural logarithm of its probability."""
    rank: int
    """1: no token is likelier."""


class Logprobs:
    """Those of several chosen tokens, on their way to the CPU.

    names: the sequence of each. numbers: how many of the likeliest tokens each sequence asks for. logits: [n,
    vocab_size]. token_ids: int64 [n], the chosen ones. On a GPU the copies may still be under way.
    """

    def __init__(self, names, numbers, logits, token_ids):
        self.names, self.numbers = names, numbers
        logprobs = logits.float().log_softmax(-1)
        own = logprobs.gather(-1, token_ids[:, None])
        top = logprobs.topk(min(max(numbers), logprobs.shape[-1]), dim=-1)
        found = token_ids, own[:, 0], (logprobs >= own).sum(-1), top.indices, top.values
        self.tensors = [tensor.to("cpu", non_blocking=True) for tensor in found]

    def by_name(self):
        """{name: {token id: Logprob}} for each, the chosen token first; once the copies are there."""
        found = {}
        of_each = zip(self.names, self.numbers, *(tensor.tolist() for tensor in self.tensors))
        for name, number, token_id, logprob, rank, ids, values in of_each:
            likeliest = {i: Logprob(value, rank) for rank, (i, value) in enumerate(zip(ids[:number], values), 1)}
            found[name] = {token_id: Logprob(logprob, rank)} | {i: one for i, one in likeliest.items() if i != token_id}
        return found


def logprobs_of(logits, token_id, number):
    """{token id: Logprob} of one chosen token. logits: [vocab_size]."""
    return Logprobs([""], [number], logits[None], torch.tensor([token_id], device=logits.device)).by_name()[""]
