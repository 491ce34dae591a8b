"""Answers for 06.online_softmax: two right ones written differently, and wrong ones."""

import torch

INF = float("inf")


def softmax_by_merging(chunks):
    """Each chunk by itself, and then two results into one."""
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
    top, total, out = -INF, 0.0, None
    for scores, values in chunks:
        for score, value in zip(scores.tolist(), values):
            out = torch.zeros_like(value) if out is None else out
            if score == -INF:
                continue
            if score > top:
                shrink = 0.0 if top == -INF else float(torch.tensor(top - score).exp())
                top, total, out = score, total * shrink, out * shrink
            weight = float(torch.tensor(score - top).exp())
            total, out = total + weight, out + weight * value
    return (out / total, top + float(torch.tensor(total).log())) if total else (out, -INF)


def bent(
    *,
    out_shrinks=True,
    total_shrinks=True,
    subtracts=True,
    guards=True,
    grows=True,
    flipped=False,
    divides=True,
    start=-INF,
    own=False,
    each=False,
    lse=lambda top, total: top + total.log(),
):
    """A wrong answer: the right one with a piece replaced."""

    def answer(chunks):
        top, total, out = torch.tensor(start), torch.tensor(0.0), 0.0
        for scores, values in chunks:
            new_top = torch.maximum(top, scores.max()) if grows else scores.max()
            if not subtracts:
                new_top = torch.tensor(0.0)
            used = scores.max() if own else new_top
            used = torch.tensor(0.0) if guards and used == -INF else used
            weights, shrink = torch.exp(scores - used), torch.exp(top - used)
            if flipped and top > -INF:
                shrink = torch.exp(used - top)
            if not subtracts:
                shrink = torch.tensor(1.0)
            total = (shrink if total_shrinks else 1.0) * total + weights.sum()
            out = (shrink if out_shrinks else 1.0) * out + weights @ values
            out = out / total if each and total > 0 else out
            top = new_top
        if guards and total == 0:
            return out, torch.tensor(-INF)
        return (out / total if divides else out), lse(top, total)

    return answer


def averages(weigh=lambda scores: 1.0):
    """A wrong answer: the mean of the chunks' own outputs."""

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
