"""Answers for 06.online_softmax: two right ones written differently, and wrong ones."""

import torch

INF = float("inf")


def softmax_by_merging(chunks):
    """Right: a softmax of each chunk by itself, merged with the result so far."""
    out, lse = None, -INF
    for scores, values in chunks:
        new = torch.logsumexp(scores, 0)
        part = torch.nan_to_num(torch.softmax(scores, 0)) @ values
        both = torch.logaddexp(torch.as_tensor(lse), new)
        if out is None:
            out = part
        elif both > -INF:
            out = out * torch.exp(lse - both) + part * torch.exp(new - both)
        lse = both
    return out, lse


def softmax_one_score_at_a_time(chunks):
    m_i, l_i, out = -INF, 0.0, None
    for scores, values in chunks:
        for score, value in zip(scores.tolist(), values):
            out = torch.zeros_like(value) if out is None else out
            if score == -INF:
                continue
            if score > m_i:
                alpha = 0.0 if m_i == -INF else float(torch.tensor(m_i - score).exp())
                m_i, l_i, out = score, l_i * alpha, out * alpha
            weight = float(torch.tensor(score - m_i).exp())
            l_i, out = l_i + weight, out + weight * value
    return (out / l_i, m_i + float(torch.tensor(l_i).log())) if l_i else (out, -INF)


def altered(
    *,
    out_shrinks=True,
    sum_shrinks=True,
    subtracts=True,
    guards=True,
    grows=True,
    flipped=False,
    divides=True,
    start=-INF,
    own=False,
    each=False,
    skips=False,
    lse=lambda m_i, l_i: m_i + l_i.log(),
):
    """A wrong answer: the right one with a part replaced."""

    def answer(chunks):
        m_i, l_i, out = torch.tensor(start), torch.tensor(0.0), 0.0
        for scores, values in chunks:
            if skips and scores.max() == -INF:
                out = out + torch.zeros(values.shape[1])
                continue
            new_m = torch.maximum(m_i, scores.max()) if grows else scores.max()
            if not subtracts:
                new_m = torch.tensor(0.0)
            used = scores.max() if own else new_m
            used = torch.tensor(0.0) if guards and used == -INF else used
            weights, alpha = torch.exp(scores - used), torch.exp(m_i - used)
            if flipped and m_i > -INF:
                alpha = torch.exp(used - m_i)
            if not subtracts:
                alpha = torch.tensor(1.0)
            l_i = (alpha if sum_shrinks else 1.0) * l_i + weights.sum()
            out = (alpha if out_shrinks else 1.0) * out + weights @ values
            out = out / l_i if each and l_i > 0 else out
            m_i = new_m
        if guards and l_i == 0:
            return out, torch.tensor(-INF)
        return (out / l_i if divides else out), lse(m_i, l_i)

    return answer


def averages(weigh=lambda scores: 1.0):
    """A wrong answer: the mean of the outputs of the chunks."""

    def answer(chunks):
        outs, lses, shares = [], [], []
        for scores, values in chunks:
            outs.append(torch.nan_to_num(torch.softmax(scores, 0)) @ values)
            lses.append(torch.logsumexp(scores, 0))
            shares.append(weigh(scores))
        return torch.tensor(shares) / sum(shares) @ torch.stack(outs), torch.logsumexp(torch.stack(lses), 0)

    return answer


def keeps_all(chunks):
    chunks = list(chunks)
    scores, values = torch.cat([s for s, _ in chunks]), torch.cat([v for _, v in chunks])
    return torch.nan_to_num(torch.softmax(scores, 0)) @ values, torch.logsumexp(scores, 0)
