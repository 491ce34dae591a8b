"""Caches with one bug each, in one layer only, and a small random model to find them on."""

from functools import lru_cache

import torch

from ..errors import CacheFull, ParameterError
from ..kvcache import ContiguousCache, Recompute
from ..kvcache.contiguous import append_and_attend
from ..models import ModelConfig, Transformer

BUGS = ("off by one", "ignored", "not reset")


def seeded(bug, layer):
    """A class of caches, made like ContiguousCache(config, max_tokens), whose layer `layer` has the bug. None: no bug."""
    if bug is not None and bug not in BUGS:
        raise ParameterError(f"There is no bug {bug!r} to be had; choose among {', '.join(BUGS)}, or None.")
    return type("SeededCache", (_Seeded,), {"bug": bug, "faulty": layer})


class _Seeded(ContiguousCache):
    def __init__(self, config, max_tokens, *, device="cpu", dtype=torch.float32):
        super().__init__(config, 4 * max_tokens + 1, device=device, dtype=dtype)  # room for what is not forgotten
        self.max_tokens, self.seen = max_tokens, 0

    def attend(self, layer, q, k, v):
        start = self.num_tokens
        out = super().attend(layer, q, k, v)
        if layer != self.faulty or self.bug is None:
            return out
        if self.bug == "ignored":  # what was kept is never looked at
            return Recompute().attend(layer, q, k, v)
        if self.bug == "off by one":  # written once more, one place too far on: over the token before, or behind the first
            return append_and_attend(self.k[layer], self.v[layer], start + 1, q, k, v)
        before, self.seen = self.seen, self.seen + len(k)  # a count of its own, which reset() does not know
        if self.seen > 4 * self.max_tokens:
            raise CacheFull(f"Layer {layer} still holds {before} tokens of the texts before, and {len(k)} more came. "
                            f"Something was not reset; make a new cache.")
        return append_and_attend(self.k[layer], self.v[layer], before, q, k, v)

    def __repr__(self):
        return f"SeededCache({self.num_tokens} of {self.max_tokens} tokens)"


CacheA, CacheB, CacheC = seeded("not reset", 1), seeded("off by one", 3), seeded("ignored", 2)
"""The three of the exercise, for the four layers of `tale`."""


@lru_cache
def tiny_transformer(num_layers):
    """A real transformer with random weights, small enough for hundreds of runs."""
    config = ModelConfig(vocab_size=20, hidden_size=16, intermediate_size=16, num_layers=num_layers, num_heads=4, num_kv_heads=2,
                         head_dim=4, context=64)
    draw = torch.Generator().manual_seed(num_layers)
    model = Transformer(config).eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.copy_(torch.randn(weight.shape, generator=draw) / weight.shape[1] ** 0.5)
    return model
