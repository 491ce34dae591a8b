"""Forward passes for 06.flash_forward: two right ones written differently, and that of the lesson."""

import torch

from course_lib.practice.fixtures.attention_variants import INF


def forward_by_columns(q, k, v, tile, causal):
    """Right: the outer loop is over keys and values, as in the first FlashAttention."""
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
    """Right: each tile by itself, merged by log-sum-exp."""
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


def as_in_the_lesson(q, k, v, tile, causal):
    """`my_flash` of the lesson for every head. It is right when n = m, so that every row sees a key."""
    (n, heads, d), (rows, columns) = q.shape, tile
    out, lse = torch.empty_like(q), torch.empty(n, heads)
    for head in range(heads):
        kv_head = head // (heads // k.shape[1])
        for r in range(0, n, rows):
            q_i = q[r : r + rows, head] / d**0.5
            m_i = torch.full((len(q_i), 1), -INF)
            l_i, acc = torch.zeros_like(m_i), torch.zeros_like(q_i)
            for c in range(0, r + rows if causal else len(k), columns):
                scores = q_i @ k[c : c + columns, kv_head].T
                if causal:
                    later = torch.arange(c, c + scores.shape[1]) > torch.arange(r, r + len(q_i))[:, None]
                    scores = scores.masked_fill(later, -INF)
                new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
                alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m)
                l_i = alpha * l_i + weights.sum(1, keepdim=True)
                acc = alpha * acc + weights @ v[c : c + columns, kv_head]
                m_i = new_m
            out[r : r + rows, head], lse[r : r + rows, head] = acc / l_i, (m_i + l_i.log())[:, 0]
    return out, lse
