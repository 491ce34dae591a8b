"""A model so small that its next token is a sum, over a real paged cache: for checks of whole serving loops."""

from functools import lru_cache

import torch

from ..decoding import SamplingParams, generate_naive
from ..errors import CourseError
from ..kvcache import BlockAllocator, KVPool, PagedCache
from ..models import ModelConfig
from .running import Endless

VOCABULARY = 31


class SummingModel:
    """After a text comes the sum of id * (a number for its position), modulo 31. One layer, one head.

    The sum is read back out of attention: with q = 0 every token looks at all before it alike, so the output is the mean of v. So
    a wrong slot, a wrong position or a block of somebody else changes what comes next, and nothing can be rounded away.
    """

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, eos=(), most_calls=None):
        self.config = ModelConfig(vocab_size=VOCABULARY, hidden_size=2, intermediate_size=2, num_layers=1, num_heads=1, num_kv_heads=1,
                                  head_dim=2, context=512, eos_token_ids=tuple(eos))
        self.calls, self.most_calls = 0, most_calls

    def __call__(self, token_ids, positions, cache, logits_for=None):
        for name, value in (("token_ids", token_ids), ("positions", positions)):
            if not isinstance(value, torch.Tensor) or value.ndim != 1 or value.dtype != torch.int64:
                raise CourseError(f"{name} is {value!r}; the model wants an int64 tensor of shape [num_tokens].")
        if len(token_ids) != len(positions) or not len(token_ids):
            raise CourseError(f"{len(token_ids)} tokens came with {len(positions)} positions; each token has one, and there is at least one.")
        self.calls += 1
        if self.most_calls is not None and self.calls > self.most_calls:
            raise Endless(f"stopped: the model was called {self.calls} times. When does the loop end?")
        v = (token_ids * (positions * 7 % 13 + 1) + 1).float()[:, None, None].expand(-1, 1, 2).contiguous()
        mean = cache.attend(0, torch.zeros_like(v), v, v)[:, 0, 0]
        sums = (mean * (positions + 1)).round().long() % VOCABULARY
        logits = torch.nn.functional.one_hot(sums, VOCABULARY).float()
        return logits if logits_for is None else logits[logits_for]


def paged_cache(model, num_blocks, block_size):
    """A PagedCache for it, with an allocator of its own."""
    return PagedCache(KVPool(model.config, num_blocks, block_size, model.device, model.dtype), BlockAllocator(num_blocks, block_size))


@lru_cache(maxsize=10_000)
def alone(prompt, max_tokens, eos=()):
    """What a prompt (a tuple of ids) must go on with: generate_naive, alone."""
    return generate_naive(SummingModel(eos), list(prompt), SamplingParams(max_tokens=max_tokens))
