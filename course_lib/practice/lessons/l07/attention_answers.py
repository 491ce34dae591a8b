"""The loop of an attention kernel in plain torch, one program after the other: right, or with a part replaced."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

INF = math.inf


def shared(head, group, kv_heads):
    """The KV head of the keys and that of the values for a query head."""
    return head // group, head // group


def last_seen(n, m, first, tile):
    """The end of the causal loop over keys."""
    return min(m, m - n + first + tile)


def up_to_itself(column, position):
    return column <= position


@dataclass(frozen=True, eq=False)
class Program:
    """An answer: Program(causal)(q, k, v, tile). Right as it is; each of the other fields replaces a part."""

    causal: bool = False
    kv_heads_of: Callable = shared
    end: Callable | None = None
    """end(n, m, first, tile) of the loop over keys. None: m, or `last_seen` with the causal mask."""
    position: Callable = lambda n, m, first: m - n + first
    """position(n, m, first) of query `first`."""
    sees: Callable = up_to_itself
    hidden: float = -INF
    """The score of a masked key."""
    lanes: bool = False
    """Whether a tile of keys is padded with lanes of zeros, whose scores are masked like those of masked keys."""
    guards: bool = True
    one_tile: bool = False
    """Whether one tile holds all queries and keys, as with a softmax of torch."""
    keeps_maximum: bool = True
    divides: str = "end"
    """When acc is divided by the sum: at the "end", in "each" turn, or in "both"."""
    keys: Callable = lambda n, m: m
    """keys(n, m): the number of keys that the loop assumes."""
    head_step: int | None = None
    """The stride from one head to the next, if it is not head_dim."""
    stores_right: bool = False
    """Whether head_step is used by loads only, not by stores."""

    @property
    def __name__(self):
        return "in_programs"

    def __call__(self, q, k, v, tile):
        (n, heads, head_dim), m, group = q.shape, len(k), q.shape[1] // k.shape[1]
        there, tile = min(m, self.keys(n, m)), max(n, m) if self.one_tile else tile
        out = torch.full(q.shape, math.nan, dtype=q.dtype, device=q.device)
        end_of = self.end or (last_seen if self.causal else lambda n, m, first, tile: m)
        for head in range(heads):
            for_k, for_v = self.kv_heads_of(head, group, k.shape[1])
            for first in range(0, n, tile):
                mine = self.of(q, head)[first : first + tile].float()
                position = self.position(n, m, first) + torch.arange(len(mine), device=q.device)[:, None]
                m_i = torch.full((len(mine), 1), -1e30 if self.guards else -INF, device=q.device)
                l_i = torch.zeros(len(mine), 1, device=q.device)
                acc = torch.zeros_like(mine)
                for start in range(0, end_of(n, m, first, tile), tile):
                    keys, values = (
                        self.of(x, h)[start : min(start + tile, there)].float() for x, h in ((k, for_k), (v, for_v))
                    )
                    real = len(keys)
                    if self.lanes:
                        keys, values = (torch.cat([x, x.new_zeros(tile - real, head_dim)]) for x in (keys, values))
                    if len(keys) == 0:
                        continue
                    scores = mine @ keys.T * head_dim**-0.5
                    if self.causal:
                        lane = torch.arange(len(keys), device=q.device)
                        seen = self.sees(start + lane, position) & (lane < real)
                        scores = scores.masked_fill(~seen, self.hidden)
                    new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
                    alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m)
                    l_i, acc = l_i * alpha + weights.sum(1, keepdim=True), acc * alpha + weights @ values
                    m_i = new_m if self.keeps_maximum else m_i
                    acc = acc if self.divides == "end" else self.divided(acc, l_i)
                acc = acc if self.divides == "each" else self.divided(acc, l_i)
                self.of(out, head, self.stores_right)[first : first + tile] = acc.to(q.dtype)
        return out

    def divided(self, acc, l_i):
        return acc / torch.where((l_i > 0) | (not self.guards), l_i, 1.0)

    def of(self, x, head, right=False):
        """[tokens, head_dim]: the numbers that are taken as those of one head of x."""
        if self.head_step is None or right:
            return x[:, head]
        return x.flatten(1)[:, head * self.head_step : head * self.head_step + x.shape[2]]
