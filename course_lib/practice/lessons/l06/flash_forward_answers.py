"""Forward passes for 06.flash_forward: two right ones written otherwise, the lesson's own, and a wrong one with many faces."""

from dataclasses import dataclass
from typing import Callable

import torch

INF = float("inf")


def forward_by_columns(q, k, v, tile, causal):
    """Keys and values outside, as the first FlashAttention has it, all rows of a head's tile finished every time."""
    (n, heads, d), m, kv_heads = q.shape, len(k), k.shape[1]
    out, lse = torch.zeros_like(q), torch.full((n, heads), -INF)
    for h in range(heads):
        g = h * kv_heads // heads
        for c0 in range(0, m, tile[1]):
            columns = torch.arange(c0, min(c0 + tile[1], m))
            for r0 in range(0, n, tile[0]):
                rows = torch.arange(r0, min(r0 + tile[0], n))
                places = rows + m - n
                if causal and places[-1] < c0:
                    continue
                scores = q[rows, h].matmul(k[columns, g].t()).div(d**0.5)
                if causal:
                    scores[places[:, None] < columns[None]] = -INF
                both = torch.logaddexp(lse[rows, h], scores.logsumexp(1))
                safe = both.nan_to_num(neginf=0.0)
                old = torch.exp(lse[rows, h] - safe)
                out[rows, h] = old[:, None] * out[rows, h] + torch.exp(scores - safe[:, None]).matmul(v[columns, g])
                lse[rows, h] = both
    return out, lse


def forward_by_merging(q, k, v, tile, causal):
    """Every tile by itself, merged by its log-sum-exp; query heads of a group at once."""
    (n, heads, d), m, kv_heads = q.shape, len(k), k.shape[1]
    out, lse = torch.zeros_like(q), torch.full((n, heads), -INF)
    for i in range(0, n, tile[0]):
        for j in range(0, m, tile[1]):
            kj, vj = k[j : j + tile[1]], v[j : j + tile[1]]
            qi = q[i : i + tile[0]]
            seen = (
                torch.ones(len(qi), len(kj), dtype=torch.bool).tril(m - n + i - j)
                if causal
                else torch.ones(len(qi), len(kj), dtype=torch.bool)
            )
            if not seen.any():
                continue
            for h in range(heads):
                s = torch.where(seen, qi[:, h] @ kj[:, h // (heads // kv_heads)].T * d**-0.5, -INF)
                part = s.softmax(1).nan_to_num() @ vj[:, h // (heads // kv_heads)]
                one, two = lse[i : i + tile[0], h], s.logsumexp(1)
                whole = torch.logaddexp(one, two)
                share = torch.exp(two - whole).nan_to_num()[:, None]
                out[i : i + tile[0], h] = (1 - share) * out[i : i + tile[0], h] + share * part
                lse[i : i + tile[0], h] = whole
    return out, lse


def whole_matrix(q, k, v, tile, causal):
    """Standard attention: right, and the matrix is there."""
    (n, heads, d), m = q.shape, len(k)
    group = heads // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("nhd,mhd->hnm", q, k) / d**0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(n, m, dtype=torch.bool).tril(m - n), -INF)
    return torch.einsum("hnm,mhd->nhd", scores.softmax(2).nan_to_num(), v), scores.logsumexp(2).T


def as_in_the_lesson(q, k, v, tile, causal):
    """`my_flash` of the lesson for every head: as many queries as keys, and every row sees something."""
    (n, heads, d), (rows, columns) = q.shape, tile
    out, lse = torch.empty_like(q), torch.empty(n, heads)
    for head in range(heads):
        kv_head = head // (heads // k.shape[1])
        for r in range(0, n, rows):
            q_i = q[r : r + rows, head] / d**0.5
            top = torch.full((len(q_i), 1), -INF)
            total, acc = torch.zeros_like(top), torch.zeros_like(q_i)
            for c in range(0, r + rows if causal else len(k), columns):
                scores = q_i @ k[c : c + columns, kv_head].T
                if causal:
                    later = torch.arange(c, c + scores.shape[1]) > torch.arange(r, r + len(q_i))[:, None]
                    scores = scores.masked_fill(later, -INF)
                new_top = torch.maximum(top, scores.amax(1, keepdim=True))
                shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top)
                total = shrink * total + weights.sum(1, keepdim=True)
                acc = shrink * acc + weights @ v[c : c + columns, kv_head]
                top = new_top
            out[r : r + rows, head], lse[r : r + rows, head] = acc / total, (top + total.log())[:, 0]
    return out, lse


@dataclass(frozen=True, eq=False)
class Wrong:
    """A wrong answer: the right one with a piece replaced."""

    acc_shrinks: bool = True
    total_shrinks: bool = True
    subtracts: bool = True
    divides: bool = True
    guards: bool = True
    guards_division: bool = True
    masks: bool = True
    local: bool = False
    itself: bool = True
    skips: bool = True
    skips_diagonal: bool = False
    pads: bool = False
    strip: bool = False
    scales_q_in_place: bool = False
    always_masks: bool = False
    skips_by_first_row: bool = False
    one_top: bool = False
    hidden: float = -INF
    drops_tail: str = ""
    tile: Callable = lambda rows, columns: (rows, columns)
    start: Callable = lambda n, m: m - n
    scale: Callable = lambda d: d**-0.5
    kv_head: Callable = lambda head, group, kv_heads: head // group
    lse: Callable = lambda top, total: top + total.log()

    @property
    def __name__(self):
        return "flash_forward"

    def __call__(self, q, k, v, tile, causal):
        n, heads, d = q.shape
        m, kv_heads, _ = k.shape
        start = self.start(n, m)
        scale = self.scale(d)
        tile, causal = self.tile(*tile), causal or self.always_masks
        if self.scales_q_in_place:
            q *= scale
            scale = 1.0
        out, lse = torch.zeros_like(q), torch.full((n, heads), -INF)
        wide = m or 1 if self.strip else tile[1]
        last_row = n - n % tile[0] if self.drops_tail in ("queries", "both") else n
        last_key = m - m % tile[1] if self.drops_tail in ("keys", "both") else m
        for head in range(heads):
            kv_head = self.kv_head(head, heads // kv_heads, kv_heads)
            for r0 in range(0, last_row, tile[0]):
                q_i = q[r0 : r0 + tile[0], head]
                acc, total, top = torch.zeros_like(q_i), torch.zeros(len(q_i)), torch.full((len(q_i),), -INF)
                for c0 in range(0, last_key, wide):
                    by = r0 - 1 if self.skips_diagonal else r0 if self.skips_by_first_row else r0 + len(q_i) - 1
                    if causal and self.masks and self.skips and c0 > start + by:
                        break
                    k_j, v_j = k[c0 : c0 + wide, kv_head], v[c0 : c0 + wide, kv_head]
                    if self.pads:
                        k_j, v_j = (torch.cat([x, x.new_zeros(wide - len(x), d)]) for x in (k_j, v_j))
                    scores = q_i @ k_j.T * scale
                    if causal and self.masks:
                        row = torch.arange(len(q_i))[:, None] + (0 if self.local else start + r0)
                        column = torch.arange(len(k_j)) + (0 if self.local else c0)
                        scores = scores.masked_fill(column > row if self.itself else column >= row, self.hidden)
                    top, total, acc = self._joined(top, total, acc, scores, v_j)
                divide = torch.where(total == 0, 1.0, total) if self.guards_division else total
                out[r0 : r0 + tile[0], head] = acc / divide[:, None] if self.divides else acc
                lse[r0 : r0 + tile[0], head] = self.lse(top, total)
        return out, lse

    def _joined(self, top, total, acc, scores, v_j):
        new_top = torch.maximum(
            top, scores.amax().expand(len(top)) if self.one_top and scores.numel() else scores.amax(1)
        )
        if not self.subtracts:
            new_top = torch.zeros_like(new_top)
        subtract = torch.where(new_top == -INF, 0.0, new_top) if self.guards else new_top
        weights, shrink = (
            torch.exp(scores - subtract[:, None]),
            torch.exp(top - subtract) if self.subtracts else torch.ones_like(top),
        )
        total = (shrink if self.total_shrinks else 1.0) * total + weights.sum(1)
        acc = (shrink[:, None] if self.acc_shrinks else 1.0) * acc + weights @ v_j
        return new_top, total, acc
