"""Wrong answers to lesson 07 as people write them, in torch; CASES has the kernels too. See written_otherwise.py."""

import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from written_slips import KERNELS

INF = math.inf


def softmax_plain(x):
    e = x.float().exp()
    return (e / e.sum(dim=-1, keepdim=True)).to(x.dtype)


def softmax_torch(x):
    return F.softmax(x.float(), dim=-1).to(x.dtype)


def softmax_columns(x):
    return torch.stack([c.float().softmax(0).nan_to_num() for c in x.unbind(1)], 1).to(x.dtype)


def softmax_float(x):
    return torch.softmax(x.float(), -1).nan_to_num()


def softmax_buffer(x):
    x -= x.amax(1, keepdim=True).nan_to_num(neginf=0.0)
    e = x.float().exp()
    return (e / e.sum(1, keepdim=True).clamp(min=1e-20)).to(x.dtype)


def softmax_shows(x):
    print(x.softmax(1))


def softmax_log(x):
    return torch.log_softmax(x.float(), 1).to(x.dtype)


def sdpa(q, k, v, tile):
    q, k, v = (x.transpose(0, 1).float() for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(0, 1).contiguous()


def einsum(q, k, v, tile):
    s = torch.einsum("ihd,jhd->hij", q.float(), k.float()) / math.sqrt(q.size(-1))
    return torch.einsum("hij,jhd->ihd", s.softmax(-1), v.float()).to(q.dtype)


def running(q, k, v, tile, *, causal=False, at_end=True, rescales=True, root=True, heads=lambda h, group: (h, h)):
    """One key after the other, for all queries at once. at_end: whether the queries are the last tokens."""
    out = torch.zeros(q.shape)
    position = torch.arange(len(q)) + (len(k) - len(q)) * at_end
    queries, keys, values = (x.cpu().float() for x in (q, k, v))
    for h in range(q.shape[1]):
        kh, vh = heads(h, q.shape[1] // k.shape[1])
        m_i, l_i = torch.full((len(q),), -1e30), torch.zeros(len(q))
        for j in range(len(k)):
            scores = queries[:, h] @ keys[j, kh] / (math.sqrt(q.shape[2]) if root else 1)
            scores = scores.masked_fill(position < j, -INF) if causal else scores
            new_m = torch.maximum(m_i, scores)
            alpha, weights, m_i = torch.exp(m_i - new_m), torch.exp(scores - new_m), new_m
            l_i = l_i * alpha + weights
            out[:, h] = out[:, h] * (alpha[:, None] if rescales else 1.0) + weights[:, None] * values[j, vh]
        out[:, h] /= torch.where(l_i > 0, l_i, 1.0)[:, None]
    return out.to(q.dtype)


def plain_unscaled(q, k, v, tile):
    return running(q, k, v, tile, root=False)


def plain_forgets(q, k, v, tile):
    return running(q, k, v, tile, rescales=False)


def causal_first_key(q, k, v, tile):
    return running(q, k, v, tile, causal=True, at_end=False)


def causal_none(q, k, v, tile):
    return running(q, k, v, tile)


def grouped_modulo(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h % k.shape[1], h % k.shape[1]))


def grouped_values(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h // group, 0))


def grouped_own(q, k, v, tile):
    return running(q, k, v, tile, causal=True, heads=lambda h, group: (h, h))


def grouped_repeats(q, k, v, tile):
    g = q.shape[1] // k.shape[1]
    return running(q, k.repeat_interleave(g, dim=1), v.repeat_interleave(g, dim=1), tile, causal=True)


def softmax_of_all(x):
    e = (x.float() - x.float().max()).exp()
    return (e / e.sum()).to(x.dtype)


def softmax_half(x):
    """All in half precision, one number after the other."""
    out = torch.empty_like(x)
    for i, row in enumerate(x):
        m_i, l_i = row.max().nan_to_num(neginf=0.0), torch.zeros((), dtype=x.dtype)
        weights = (row - m_i).exp()
        for weight in weights:
            l_i = l_i + weight
        out[i] = weights / (l_i if l_i > 0 else 1)
    return out


def softmax_half_weights(x):
    """Weights and sum are rounded to the dtype of x before they are divided."""
    top = x.amax(1, keepdim=True).nan_to_num(neginf=0.0)
    weights = torch.exp((x - top).float()).to(x.dtype)
    total = weights.float().sum(1, keepdim=True).to(x.dtype)
    return weights / total.masked_fill(total == 0, 1)


def softmax_not_quite_masked(x):
    return x.float().masked_fill(x == -INF, -1e9).softmax(1).to(x.dtype)


def tiled_queries(causal):
    """Tiles of queries, each with all keys at once."""

    def answer(q, k, v, tile):
        out, m = torch.empty_like(q), len(k)
        for first in range(0, len(q), tile):
            for head in range(q.shape[1]):
                scores = q[first : first + tile, head].float() @ k[:, head].float().T / q.shape[2] ** 0.5
                later = torch.arange(m) > m - len(q) + first + torch.arange(len(scores))[:, None]
                scores = scores.masked_fill(later, -INF) if causal else scores
                out[first : first + tile, head] = (scores.softmax(1).nan_to_num() @ v[:, head].float()).to(q.dtype)
        return out

    answer.__name__ = "tiled_queries"
    return answer


def flash_half(q, k, v, tile):
    """In tiles, all of it in the dtype of q."""
    out = torch.empty_like(q)
    for head in range(q.shape[1]):
        rows = q[:, head]
        m_i, l_i = torch.full((len(q), 1), -INF, dtype=q.dtype), torch.zeros(len(q), 1, dtype=q.dtype)
        acc = torch.zeros_like(rows)
        for start in range(0, len(k), tile):
            scores = rows @ k[start : start + tile, head].T * q.shape[2] ** -0.5
            new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
            alpha, weights, m_i = (m_i - new_m).exp(), (scores - new_m).exp(), new_m
            l_i = l_i * alpha + weights.sum(1, keepdim=True)
            acc = acc * alpha + weights @ v[start : start + tile, head]
        out[:, head] = acc / l_i
    return out


def causal_without_nan(tidy):
    """Removes nan, so that it may compute every tile. tidy(x): x without nan."""

    def answer(q, k, v, tile):
        k, v = tidy(k), tidy(v)
        out, m = torch.zeros_like(q), len(k)
        for head in range(q.shape[1]):
            for first in range(0, len(q), tile):
                rows = q[first : first + tile, head].float()
                position = m - len(q) + first + torch.arange(len(rows))[:, None]
                m_i, l_i, acc = torch.full((len(rows), 1), -1e30), torch.zeros(len(rows), 1), torch.zeros_like(rows)
                for start in range(0, m, tile):
                    keys, values = (x[start : start + tile, head].float() for x in (k, v))
                    later = start + torch.arange(len(keys)) > position
                    scores = (rows @ keys.T * q.shape[2] ** -0.5).masked_fill(later, -INF)
                    new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
                    alpha, weights, m_i = (m_i - new_m).exp(), (scores - new_m).exp(), new_m
                    l_i, acc = l_i * alpha + weights.sum(1, keepdim=True), acc * alpha + weights @ values
                out[first : first + tile, head] = (acc / l_i.masked_fill(l_i == 0, 1.0)).to(q.dtype)
        return out

    answer.__name__ = "causal_without_nan"
    return answer


def heads_by_sdpa(q, k, v, tile):
    return F.scaled_dot_product_attention(q, k, v)


def causal_heads_by_sdpa(q, k, v, tile):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def whole_causal(hidden, fill=-INF):
    """The whole score matrix. hidden(n, m): the mask, a triangle of ones. fill: the masked score."""

    def answer(q, k, v, tile):
        scores = torch.einsum("nhd,mhd->hnm", q.float(), k.float()) / math.sqrt(q.shape[2])
        return torch.einsum("hnm,mhd->nhd", scores.masked_fill(hidden(len(q), len(k)), fill).softmax(2), v.float()).to(
            q.dtype
        )

    return answer


def ones(n, m):
    return torch.ones(n, m, dtype=torch.bool)


def grouped_contiguous(q, k, v, tile):
    from course_lib.practice.lessons.l07.grouped_query import grouped_in_programs

    return grouped_in_programs(q.contiguous(), k.contiguous(), v.contiguous(), tile)


def grouped_one_head(q, k, v, tile):
    from course_lib.practice.lessons.l07.grouped_query import grouped_in_programs

    group = q.shape[1] // k.shape[1]
    outs = [grouped_in_programs(q[:, [h]], k[:, [h // group]], v[:, [h // group]], tile) for h in range(q.shape[1])]
    return torch.cat(outs, 1)


def heads_outermost(q, k, v, tile):
    mine = [x.view(x.shape[1], x.shape[0], x.shape[2]).float() for x in (q, k, v)]
    return F.scaled_dot_product_attention(*mine).view(q.shape).to(q.dtype)


CASES = {
    "07.row_softmax": [
        ("maximum is not subtracted", softmax_plain),
        ("fully masked row is nan", softmax_torch),
        ("over a column", softmax_columns),
        ("in float32", softmax_float),
        ("x is changed", softmax_buffer),
        ("printed, not returned", softmax_shows),
        (None, softmax_log),
        ("over all rows", softmax_of_all),
        ("sums are in float16", softmax_half),
        ("large negative number", softmax_not_quite_masked),
        ("parts of the computation are in float16", softmax_half_weights),
    ],
    "07.flash_kernel": [
        ("exist at once", einsum),
        ("in float32", sdpa),
        ("scaled wrongly", plain_unscaled),
        (None, plain_forgets),
        ("exist at once", tiled_queries(False)),
        ("sums are in float16", flash_half),
        ("over the heads", heads_by_sdpa),
        ("for the first dimension", heads_outermost),
    ],
    "07.causal_skip": [
        ("counts query positions from the first key", causal_first_key),
        ("no causal mask", causal_none),
        ("above the diagonal are loaded", causal_without_nan(torch.nan_to_num)),
        ("above the diagonal are loaded", causal_without_nan(torch.nan_to_num_)),
        ("exist at once", tiled_queries(True)),
        ("over the heads", causal_heads_by_sdpa),
        ("mask is inverted", whole_causal(lambda n, m: ones(n, m).tril(m - n))),
        ("n and m are exchanged", whole_causal(lambda n, m: ones(n, m).triu(n - m + 1))),
        ("0, not -inf", whole_causal(lambda n, m: ones(n, m).triu(m - n + 1), 0.0)),
        ("large negative number", whole_causal(lambda n, m: ones(n, m).triu(m - n + 1), -1e9)),
        ("sees the next token", whole_causal(lambda n, m: ones(n, m).triu(m - n + 2))),
    ],
    "07.grouped_query": [
        ("wrong KV head", grouped_modulo),
        ("with values of another", grouped_values),
        ("wrong KV head", grouped_own),
        ("copied for each", grouped_repeats),
        ("into a contiguous tensor", grouped_contiguous),
        ("or those of one head", grouped_one_head),
    ],
}
if find_spec("triton"):
    CASES = {key: cases + KERNELS[key] for key, cases in CASES.items()}
