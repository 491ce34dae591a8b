"""Queries, keys and values of texts so small that they can be read, and a model so small that it can be foretold."""

from dataclasses import dataclass

import torch

from ..kvcache import Recompute
from .tiny_model import TinyModel


@dataclass(frozen=True)
class Shape:
    """What a cache asks of `model.config`."""

    num_layers: int = 1
    num_heads: int = 1
    num_kv_heads: int = 1
    head_dim: int = 1

    def __str__(self):
        return f"Shape({self.num_layers}, {self.num_heads}, {self.num_kv_heads}, {self.head_dim})"


def tokens(shape, layer, first, count, text=0):
    """(q, k, v) of tokens `first` to `first + count - 1`; another number for `text` is another text."""
    draw = torch.Generator().manual_seed(1000 * text + layer)
    sizes = [(40, heads, shape.head_dim) for heads in (shape.num_heads, shape.num_kv_heads, shape.num_kv_heads)]
    return [torch.randn(size, generator=draw).round(decimals=1)[first : first + count] for size in sizes]


def push(cache, shape, first, count, text=0):
    """One step through all layers: what `attend` returns, layer by layer."""
    return [cache.attend(layer, *tokens(shape, layer, first, count, text)) for layer in range(shape.num_layers)]


def tensor_bytes(value):
    """Bytes behind all tensors in `value`, in lists and dictionaries too; shared memory counts once."""
    found = {}

    def look(x, depth=0):
        if isinstance(x, torch.Tensor):
            found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        elif isinstance(x, (list, tuple, set)) and depth < 4:
            [look(y, depth + 1) for y in x]
        elif isinstance(x, dict) and depth < 4:
            [look(y, depth + 1) for y in x.values()]
    look(value)
    return sum(found.values())


class Memory:
    """A cache that can be checked by hand: it adds up the values it is given.

    `held` are the values that it keeps; every token gets the sum of its own and all before it.
    """

    def __init__(self):
        self.held = []

    @property
    def num_tokens(self):
        return len(self.held)

    def attend(self, layer, q, k, v):
        before = sum(self.held)
        self.held += v.flatten().tolist()
        return (v.cumsum(0) + before).to(v.dtype)

    def reset(self):
        self.held = []


class Adding(TinyModel):
    """TinyModel with a door: the sum that leads to the next token is taken by the cache.

    Token `id` at position p has the value id x (p + 1); after a sequence comes the sum of all values,
    modulo the vocabulary. `pushed` counts the tokens of each call, `caches` are those that came along.
    """

    def __init__(self, vocab_size=5, most_calls=None):
        super().__init__(vocab_size, most_calls)
        self.caches = []

    def __call__(self, token_ids, positions, cache, logits_for=None):
        super().__call__(token_ids, positions, cache)  # looks at the arguments and counts the tokens
        if not any(cache is known for known in self.caches):
            self.caches.append(cache)
        values = (token_ids * (positions + 1)).double()[:, None, None]
        sums = values.cumsum(0) if isinstance(cache, Recompute) else cache.attend(0, values, values, values)
        wanted = sums.flatten().long() % self.config.vocab_size
        logits = torch.nn.functional.one_hot(wanted, self.config.vocab_size).float()
        return logits if logits_for is None else logits[logits_for]
