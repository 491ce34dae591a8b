"""Wrong answers to 02.cache."""

import torch
import torch.nn.functional as F

from course_lib.errors import CacheFull
from course_lib.kvcache import ContiguousCache, Recompute


class Looping:
    """A right cache, token by token and head by head. Each class below changes one thing in it."""

    def __init__(self, config, max_tokens):
        self.config, self.room, self.num_tokens = config, max_tokens, 0
        self.kept = torch.zeros(config.num_layers, 2, max_tokens + 1, config.num_kv_heads, config.head_dim)

    def attend(self, layer, q, k, v):
        start, group = self.num_tokens, q.shape[1] // k.shape[1]
        if start + len(k) > self.room:
            raise CacheFull("full")
        keys, values = self.kept[layer]
        for i in range(len(k)):
            keys[start + i], values[start + i] = k[i], v[i]
        out = torch.zeros_like(q)
        for i in range(len(q)):
            for head in range(q.shape[1]):
                seen = self.attended(start, i)
                scores = keys[seen, head // group] @ q[i, head] / q.shape[2] ** 0.5
                out[i, head] = scores.softmax(0) @ values[seen, head // group]
        self.num_tokens += len(k) * (layer == self.config.num_layers - 1)
        return out

    def attended(self, start, i):
        return slice(0, start + i + 1)

    def reset(self):
        self.num_tokens = 0


class LoopingPastItself(Looping):
    def attended(self, start, i):
        return slice(0, max(start, 1)) if start else slice(0, i + 1)


class LoopingWithoutTheFirst(Looping):
    def attended(self, start, i):
        return slice(min(start, 1), start + i + 1)


class LoopingFromTheFirstKey(Looping):
    def attended(self, start, i):
        return slice(0, i + 1)


class LoopingThatKeepsItsCount(Looping):
    def reset(self):
        self.kept = torch.zeros_like(self.kept)


class LoopingWithCountInEveryLayer(Looping):
    def attend(self, layer, q, k, v):
        out = super().attend(layer, q, k, v)
        self.num_tokens += len(k) * (layer < self.config.num_layers - 1)
        return out


class cache_of_steps:  # noqa: N801
    """Counts calls, and attends with torch's function."""

    def __init__(self, config, max_tokens):
        self.layers, self.most, self.num_tokens = config.num_layers, max_tokens, 0
        self.k = torch.zeros(config.num_layers, config.num_kv_heads, max_tokens, config.head_dim)
        self.v = self.k.clone()

    def attend(self, layer, q, k, v):
        at = torch.arange(self.num_tokens, self.num_tokens + len(k))
        if at[-1] >= self.most:
            raise CacheFull("full")
        self.k[layer].index_copy_(1, at, k.transpose(0, 1))
        self.v[layer].index_copy_(1, at, v.transpose(0, 1))
        seen = torch.arange(int(at[-1]) + 1) <= at[:, None]
        keys, values = self.k[layer, :, : at[-1] + 1], self.v[layer, :, : at[-1] + 1]
        out = self.look(q.transpose(0, 1), keys, values, seen)
        if layer + 1 == self.layers:
            self.num_tokens = self.after(len(k))
        return out

    def look(self, q, keys, values, seen):
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=seen, enable_gqa=True)[
            0
        ].transpose(0, 1)

    def after(self, new):
        return self.num_tokens + 1

    def reset(self):
        self.num_tokens = 0


class cache_without_sqrt(cache_of_steps):  # noqa: N801
    """einsum, with no scale at all."""

    def look(self, q, keys, values, seen):
        keys, values = (x.repeat_interleave(len(q) // len(keys), 0) for x in (keys, values))
        scores = torch.einsum("hqd,hkd->hqk", q, keys).masked_fill(~seen, float("-inf"))
        return torch.einsum("hqk,hkd->qhd", scores.softmax(2), values)

    def after(self, new):
        return self.num_tokens + new


class cache_tiled(cache_without_sqrt):  # noqa: N801
    """Repeats the key/value heads as a whole: 0, 1, 0, 1."""

    def look(self, q, keys, values, seen):
        times = len(q) // len(keys)
        return F.scaled_dot_product_attention(
            q, keys.tile(times, 1, 1), values.tile(times, 1, 1), attn_mask=seen
        ).swapaxes(0, 1)


class cache_heads_in_front(cache_without_sqrt):  # noqa: N801
    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, seen).movedim(1, 0)


class cache_sees_all(cache_without_sqrt):  # noqa: N801
    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, torch.ones_like(seen))


class cache_for_query_heads(cache_without_sqrt):  # noqa: N801
    """Allocates memory for as many key/value heads as there are query heads."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens)
        self.k = torch.zeros(config.num_layers, config.num_heads, max_tokens, config.head_dim)
        self.v = torch.zeros_like(self.k)

    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, seen)


class cache_that_shares_nothing(cache_without_sqrt):  # noqa: N801
    """Forgets `enable_gqa`."""

    def look(self, q, keys, values, seen):
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=seen)[0].transpose(0, 1)


class cache_of_the_course(ContiguousCache):  # noqa: N801
    """The course's own cache, which attends to the tokens of the step only."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens, device="cpu", dtype=torch.float32)

    def attend(self, layer, q, k, v):
        super().attend(layer, q, k, v)
        return Recompute().attend(layer, q, k, v)


class cache_of_one_layer(ContiguousCache):  # noqa: N801
    """The same pair of tensors for every layer."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens, device="cpu", dtype=torch.float32)
        self.k, self.v = (x[:1].expand(config.num_layers, -1, -1, -1) for x in (self.k, self.v))


class cache_upside_down(Looping):  # noqa: N801
    """Not a known mistake: the output is negative."""

    def attend(self, layer, q, k, v):
        return -super().attend(layer, q, k, v)


class LoopingInSharedMemory(Looping):
    """All caches of one shape write into the same tensor."""

    memory = {}

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens)
        self.kept = self.memory.setdefault(self.kept.shape, self.kept)


class LoopingInNewMemory(Looping):
    """reset() makes its tensor again."""

    def reset(self):
        super().reset()
        self.kept = torch.zeros_like(self.kept)


CASES = {
    "02.cache": [
        ("two caches share one memory", LoopingInSharedMemory),
        ("allocates the memory again", LoopingInNewMemory),
        ("does not attend to itself", LoopingPastItself),
        ("first token is left out", LoopingWithoutTheFirst),
        ("mask starts at the first key", LoopingFromTheFirstKey),
        ("does not reset `num_tokens`", LoopingThatKeepsItsCount),
        ("grows in every layer", LoopingWithCountInEveryLayer),
        ("counts steps, not tokens", cache_of_steps),
        ("scaled wrongly", cache_without_sqrt),
        ("wrong key/value heads", cache_tiled),
        ("heads come before the tokens", cache_heads_in_front),
        ("as many key/value heads as query heads", cache_for_query_heads),
        ("as many key/value heads as query heads", cache_that_shares_nothing),
        ("attend to later tokens", cache_sees_all),
        ("cached keys are never read", cache_of_the_course),
        ("all layers share the same", cache_of_one_layer),
        (None, cache_upside_down),
    ]
}
