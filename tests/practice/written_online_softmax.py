"""Wrong answers to 06.online_softmax and 06.merge_partials as people write them; see written_otherwise.py."""

import math

import torch

from course_lib.practice.lessons.l06.merge_partials import merge_partials

INF = math.inf


def soft_keeps_lists(chunks):
    scores, values = [], []
    for s, v in chunks:
        scores += s.tolist()
        values += list(v)
    scores = torch.tensor(scores)
    lse = scores.logsumexp(0)
    weights = torch.exp(scores - lse) if lse > -INF else torch.zeros(len(scores))
    return weights @ torch.stack(values), float(lse)


def soft_forgets_out(chunks):
    m, l, o = -INF, 0.0, None
    for s, v in chunks:
        m2 = max([m, *s.tolist()])
        if o is None:
            o = v[0] * 0
        if m2 == -INF:
            continue
        p = (s - m2).exp()
        l = l * math.exp(m - m2) + p.sum().item()
        o = o + p @ v
        m = m2
    return (o / l, m + math.log(l)) if l else (o, -INF)


def soft_forgets_sum(chunks):
    m, l, o = -INF, 0.0, None
    for s, v in chunks:
        m2 = max([m, *s.tolist()])
        o = v[0] * 0 if o is None else o
        if m2 == -INF:
            continue
        p = (s - m2).exp()
        l += p.sum().item()
        o = o * math.exp(m - m2) + p @ v
        m = m2
    return (o / l, m + math.log(l)) if l else (o, -INF)


def soft_plain_exp(chunks):
    l, o = 0.0, 0.0
    for s, v in chunks:
        l, o = l + s.exp().sum(), o + (s.exp()[:, None] * v).sum(0)
    return (o / l, l.log()) if l > 0 else (o, torch.tensor(-INF))


def soft_means(chunks):
    outs, total = [], None
    for s, v in chunks:
        outs.append(s.softmax(0).nan_to_num() @ v)
        total = s.logsumexp(0) if total is None else torch.logaddexp(total, s.logsumexp(0))
    return sum(outs) / len(outs), total


def soft_first_chunk(chunks):
    for s, v in chunks:
        return s.softmax(0).nan_to_num() @ v, s.logsumexp(0)


def soft_shows(chunks):
    for s, v in chunks:
        print(s.softmax(0) @ v)


def soft_from_zero(chunks):
    m, l, o = 0.0, 0.0, 0
    for s, v in chunks:
        new = max(m, s.max().item())
        p = torch.exp(s - new)
        l, o, m = l * math.exp(m - new) + p.sum(), o * math.exp(m - new) + p @ v, new
    return (o, -INF) if l == 0 else (o / l, m + torch.log(l))


def soft_own_maxima(chunks):
    l, o = 0.0, 0
    for s, v in chunks:
        m = s.max()
        p = torch.exp(s - m)
        l, o = l + p.sum(), o + p @ v
    return o / l, m + torch.log(l)


def soft_means_and_sum(chunks):
    outs, l = [], 0
    for s, v in chunks:
        outs.append(torch.softmax(s, 0) @ v)
        l = l + s.exp().sum()
    return sum(outs) / len(outs), torch.log(l)


def soft_divides_always(chunks):
    m, l, o = torch.tensor(-INF), torch.tensor(0.0), 0
    for s, v in chunks:
        new = torch.maximum(m, s.max())
        if new == -INF:
            o = torch.zeros(v.shape[1])
            continue
        p = torch.exp(s - new)
        l = l * torch.exp(m - new) + p.sum()
        o, m = (o * torch.exp(m - new) + p @ v) / l, new
    return o, m + torch.log(l)


def merge_one_maximum(out_a, lse_a, out_b, lse_b):
    m = max(lse_a.max(), lse_b.max())
    m = m if m > -INF else torch.tensor(0.0)
    a, b = torch.exp(lse_a - m), torch.exp(lse_b - m)
    out = (a[..., None] * out_a + b[..., None] * out_b) / (a + b).clamp(min=1e-20)[..., None]
    return out, m + (a + b).log()


def merge_double(out_a, lse_a, out_b, lse_b):
    return merge_partials(*(x.double() for x in (out_a, lse_a, out_b, lse_b)))


def merge_average(out_a, lse_a, out_b, lse_b):
    return torch.stack([out_a, out_b]).mean(0), torch.stack([lse_a, lse_b]).logsumexp(0)


def merge_raw(out_a, lse_a, out_b, lse_b):
    a, b = lse_a.exp().unsqueeze(-1), lse_b.exp().unsqueeze(-1)
    total = a + b
    return torch.where(total > 0, (a * out_a + b * out_b) / total, 0 * total), total.squeeze(-1).log()


def merge_other_way(out_a, lse_a, out_b, lse_b):
    return merge_partials(out_b, lse_a, out_a, lse_b)


def merge_max(out_a, lse_a, out_b, lse_b):
    return merge_partials(out_a, lse_a, out_b, lse_b)[0], torch.where(lse_a > lse_b, lse_a, lse_b)


def merge_nan(out_a, lse_a, out_b, lse_b):
    w = torch.stack([lse_a, lse_b]).softmax(0)
    return (w.unsqueeze(-1) * torch.stack([out_a, out_b])).sum(0), torch.logaddexp(lse_a, lse_b)


def merge_adds(out_a, lse_a, out_b, lse_b):
    return out_a + out_b, torch.logaddexp(lse_a, lse_b)


def merge_writes(out_a, lse_a, out_b, lse_b):
    out, lse = merge_partials(out_a, lse_a, out_b, lse_b)
    out_a.copy_(out)
    return out, lse


def soft_in_place(chunks):
    """Spares memory: the scores become weights where they are."""
    m, l, o = -INF, 0.0, 0.0
    for s, v in chunks:
        m2 = max(m, float(s.max()))
        used = 0.0 if m2 == -INF else m2
        s -= used
        s.exp_()
        shrink = math.exp(m - used)
        l, o, m = shrink * l + float(s.sum()), shrink * o + s @ v, m2
    return (o / l, m + math.log(l)) if l else (o, -INF)


CASES = {
    "06.online_softmax": [
        ("all chunks are kept", soft_keeps_lists),
        ("accumulator is not rescaled", soft_forgets_out),
        ("sum is not rescaled", soft_forgets_sum),
        ("maximum is not subtracted", soft_plain_exp),
        ("every chunk has the same weight", soft_means),
        (None, soft_first_chunk),
        ("printed, not returned", soft_shows),
        ("starts at 0", soft_from_zero),
        ("its own maximum", soft_own_maxima),
        ("every chunk has the same weight", soft_means_and_sum),
        ("divided in every step", soft_divides_always),
        ("chunks are changed", soft_in_place),
    ],
    "06.merge_partials": [
        ("without weights", merge_average),
        ("overflow", merge_raw),
        ("weights are swapped", merge_other_way),
        ("new log-sum-exp is wrong", merge_max),
        ("give nan", merge_nan),
        (None, merge_adds),
        ("inputs are changed", merge_writes),
        ("one maximum is used for all rows", merge_one_maximum),
        ("float64", merge_double),
    ],
}
