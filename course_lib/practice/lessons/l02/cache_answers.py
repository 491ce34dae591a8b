"""More answers to 02.cache: right ones written differently, and wrong ones made of parts that can each be wrong."""

import torch
import torch.nn.functional as F

from course_lib.errors import CacheFull


class cache_of_lists:  # noqa: N801  (an answer, named like the others)
    """A pair of tensors for each layer, heads first, and the softmax written out."""

    def __init__(self, config, max_tokens):
        self.config, self.max_tokens = config, max_tokens
        self.kept = [
            (
                torch.empty(config.num_kv_heads, max_tokens, config.head_dim),
                torch.empty(config.num_kv_heads, max_tokens, config.head_dim),
            )
            for _ in range(config.num_layers)
        ]
        self.reset()

    def reset(self):
        self.counts = [0] * self.config.num_layers

    @property
    def num_tokens(self):
        return min(self.counts)

    def attend(self, layer, q, k, v):
        start, new = self.counts[layer], k.shape[0]
        if start + new > self.max_tokens:
            raise CacheFull("full")
        keys, values = self.kept[layer]
        keys[:, start : start + new] = k.transpose(0, 1)
        values[:, start : start + new] = v.transpose(0, 1)
        self.counts[layer] += new
        group = q.shape[1] // k.shape[1]
        keys = keys[:, : start + new].repeat_interleave(group, 0)
        values = values[:, : start + new].repeat_interleave(group, 0)
        scores = q.transpose(0, 1) @ keys.transpose(1, 2) / q.shape[-1] ** 0.5
        rows = torch.arange(new)[:, None] + start
        scores = scores.masked_fill(torch.arange(start + new)[None] > rows, float("-inf"))
        return (scores.softmax(-1) @ values).transpose(0, 1)


class cache_by_hand:  # noqa: N801
    """One token and one head at a time."""

    def __init__(self, config, max_tokens):
        self.layers, self.room, self.num_tokens = config.num_layers, max_tokens, 0
        self.kv = torch.zeros(2, config.num_layers, max_tokens, config.num_kv_heads, config.head_dim)

    def attend(self, layer, q, k, v):
        at = self.num_tokens
        if at + len(k) > self.room:
            raise CacheFull(f"{self.room - at} fit")
        group, out = q.shape[1] // k.shape[1], torch.empty_like(q)
        for row in range(len(q)):
            self.kv[0, layer, at + row], self.kv[1, layer, at + row] = k[row], v[row]
            for head in range(q.shape[1]):
                keys, values = self.kv[:, layer, : at + row + 1, head // group]
                scores = keys @ q[row, head] / q.shape[2] ** 0.5
                weights = torch.exp(scores - scores.max())
                out[row, head] = weights @ values / weights.sum()
        if layer == self.layers - 1:
            self.num_tokens += len(k)
        return out

    def reset(self):
        self.num_tokens = 0
        self.kv.zero_()


class cache_by_kind_of_step:  # noqa: N801
    """Three kinds of step: the first, a step of one token, a later step of several."""

    def __init__(self, config, max_tokens):
        self.config, self.max_tokens, self.num_tokens = config, max_tokens, 0
        self.keys = torch.zeros(config.num_layers, config.num_kv_heads, max_tokens, config.head_dim)
        self.values = torch.zeros_like(self.keys)

    def attend(self, layer, q, k, v):
        start, n = self.num_tokens, len(k)
        if start + n > self.max_tokens:
            raise CacheFull("full")
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        self.keys[layer, :, start : start + n] = k
        self.values[layer, :, start : start + n] = v
        keys, values = self.keys[layer, :, : start + n], self.values[layer, :, : start + n]
        if layer + 1 == self.config.num_layers:
            self.num_tokens += n
        if start == 0:
            mask = {"is_causal": True}
        elif n == 1:
            mask = {}
        else:
            mask = {"attn_mask": torch.tril(torch.ones(n, start + n), start).log()}
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], enable_gqa=True, **mask)[0].transpose(
            0, 1
        )

    def reset(self):
        self.num_tokens = 0


class cache_grown:  # noqa: N801
    """Wrong in one point: torch.cat instead of writing into an allocated tensor."""

    def __init__(self, config, max_tokens):
        self.config, self.max_tokens = config, max_tokens
        self.reset()

    def reset(self):
        self.k = self.v = [None] * self.config.num_layers
        self.num_tokens = 0

    def attend(self, layer, q, k, v):
        if self.num_tokens + len(k) > self.max_tokens:
            raise CacheFull("full")
        start = self.num_tokens
        self.k = [
            torch.cat([x, k]) if x is not None and i == layer else k if i == layer else x for i, x in enumerate(self.k)
        ]
        self.v = [
            torch.cat([x, v]) if x is not None and i == layer else v if i == layer else x for i, x in enumerate(self.v)
        ]
        self.k[layer], self.v[layer] = (
            self.k[layer][-start - len(k) :],
            self.v[layer][-start - len(k) :],
        )  # a failed step may have left some
        if layer == self.config.num_layers - 1:
            self.num_tokens += len(k)
        seen = torch.ones(len(q), len(self.k[layer]), dtype=torch.bool).tril(start)
        heads_first = [x.transpose(0, 1)[None] for x in (q, self.k[layer], self.v[layer])]
        return F.scaled_dot_product_attention(*heads_first, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)


class WrongCache:
    """The right cache with one part replaced; see `variant`."""

    write_at = staticmethod(lambda start: start)  # position of the step's first token
    begin = staticmethod(lambda start: 0)  # first position that is read
    upto = staticmethod(lambda start, end, room: end)  # the end of the positions that are read
    diagonal = staticmethod(lambda start: start)  # row i attends to keys 0 to diagonal + i
    alone = False  # a single token is not masked, whatever `diagonal` says
    scale = staticmethod(lambda head_dim: head_dim**-0.5)
    kv_head = staticmethod(lambda head, group, kv_heads: head // group)
    stored_at = staticmethod(lambda layer: layer)
    counts = staticmethod(lambda now, n, layer, layers: now + n * (layer == layers - 1))
    forgets = ("num_tokens",)
    room = "check"
    returns = staticmethod(lambda out: out)
    dtype = torch.float32  # of the memory
    hidden = -torch.inf  # the score of a masked key
    weights = staticmethod(lambda scores: scores.softmax(-1))
    allocates = "once"  # or "late": in the first step; "again": in reset() too; "for all": once for all caches

    @classmethod
    def variant(cls, **parts):
        return type(
            "ContiguousCache",
            (cls,),
            {"shared": {}, **{name: staticmethod(part) if callable(part) else part for name, part in parts.items()}},
        )

    def __init__(self, config, max_tokens):
        self.config, self.max_tokens, self.num_tokens = config, max_tokens, 0
        self.positions = max_tokens + 1 if self.room == "check" else max_tokens
        self.k = None
        if self.allocates != "late":
            self._allocate()

    def _allocate(self):
        c = self.config
        shape = c.num_layers, self.positions, c.num_kv_heads, c.head_dim
        if self.allocates == "for all":
            self.k, self.v = self.shared.setdefault(shape, (torch.zeros(shape), torch.zeros(shape)))
        else:
            self.k, self.v = torch.zeros(shape, dtype=self.dtype), torch.zeros(shape, dtype=self.dtype)

    def reset(self):
        if "num_tokens" in self.forgets:
            self.num_tokens = 0
        if "tensors" in self.forgets or self.allocates == "again":
            self._allocate()

    def attend(self, layer, q, k, v):
        if self.k is None:
            self._allocate()
        start, n = self.num_tokens, len(k)
        end, at, here = start + n, self.write_at(start), self.stored_at(layer)
        if self.room == "check" and end > self.max_tokens or self.room == "early" and end >= self.max_tokens:
            raise CacheFull("full")
        if self.room == "grow" and end > self.positions:
            self.k, self.v = (
                torch.cat([x, torch.zeros_like(x[:, :1]).expand(-1, n, -1, -1)], 1) for x in (self.k, self.v)
            )
        if self.room == "drop":
            end = min(end, self.positions)
            n = end - start
            k, v = k[:n], v[:n]
        self.k[here, at : at + n], self.v[here, at : at + n] = k, v
        self.num_tokens = self.counts(self.num_tokens, n, layer, self.config.num_layers)
        first, last = self.begin(start), self.upto(start, end, self.max_tokens)
        seen = torch.ones(len(q), max(last, 1), dtype=torch.bool)
        if not (self.alone and len(q) == 1):
            seen = seen.tril(self.diagonal(start))
        heads = [self.kv_head(h, q.shape[1] // k.shape[1], k.shape[1]) for h in range(q.shape[1])]
        keys, values = (x[here, first:last][:, heads].transpose(0, 1).to(q.dtype) for x in (self.k, self.v))
        scores = q.transpose(0, 1) @ keys.mT * self.scale(q.shape[2])
        scores = scores.masked_fill(~seen[:, first:last], self.hidden)
        return self.returns((self.weights(scores) @ values).transpose(0, 1))
