"""Answers for 06.merge_partials: two right ones written differently, and wrong ones."""

import torch

from .solutions.merge_partials import merge_partials

INF = float("inf")


def merge_by_share(out_a, lse_a, out_b, lse_b):
    lse = torch.logaddexp(lse_a, lse_b)
    share = torch.nan_to_num(torch.exp(lse_b - lse)).unsqueeze(-1)
    return torch.lerp(out_a, out_b, share), lse


def merge_by_sigmoid(out_a, lse_a, out_b, lse_b):
    out, lse = torch.zeros_like(out_a), torch.full_like(lse_a, -INF)
    for at in torch.cartesian_prod(*[torch.arange(n) for n in lse_a.shape]).reshape(-1, lse_a.ndim).tolist():
        at = tuple(at)
        a, b = lse_a[at], lse_b[at]
        if a == -INF and b == -INF:
            continue
        share = torch.sigmoid(a - b)
        out[at], lse[at] = share * out_a[at] + (1 - share) * out_b[at], torch.logsumexp(torch.stack([a, b]), 0)
    return out, lse


def altered(weights, lse=torch.logaddexp, spread=lambda w: w[..., None]):
    """A wrong answer: other weights, another log-sum-exp, or weights applied along the wrong dimension."""

    def answer(out_a, lse_a, out_b, lse_b):
        a, b = weights(lse_a, lse_b)
        return out_a * spread(a) + out_b * spread(b), lse(lse_a, lse_b)

    return answer


def right_weights(a, b):
    both = torch.logaddexp(a, b)
    return torch.nan_to_num(torch.exp(a - both)), torch.nan_to_num(torch.exp(b - both))


def swapped(a, b):
    return right_weights(b, a)


def halves(a, b):
    return torch.full_like(a, 0.5), torch.full_like(b, 0.5)


def by_lse(a, b):
    return a / (a + b), b / (a + b)


def unguarded(a, b):
    both = torch.logaddexp(a, b)
    return torch.exp(a - both), torch.exp(b - both)


def overflowing(a, b):
    total = torch.exp(a) + torch.exp(b)
    divide = torch.where(total == 0, 1.0, total)
    return torch.exp(a) / divide, torch.exp(b) / divide


def not_divided(a, b):
    top = torch.maximum(a, b)
    top = torch.where(top == -INF, 0.0, top)
    return torch.exp(a - top), torch.exp(b - top)


def larger_only(a, b):
    return (a >= b).float(), (a < b).float()


def in_base_two(a, b):
    return right_weights(a * 0.6931472, b * 0.6931472)


def under_one_maximum(largest):
    """A wrong answer: one maximum is subtracted from all rows. It is right while the rows are close to each other."""

    def answer(out_a, lse_a, out_b, lse_b):
        top = largest(lse_a, lse_b)
        top = top if top > -INF else torch.tensor(0.0)
        a, b = torch.exp(lse_a - top), torch.exp(lse_b - top)
        total = a + b
        divide = torch.where(total == 0, 1.0, total)
        return (out_a * a[..., None] + out_b * b[..., None]) / divide[..., None], top + total.log()

    return answer


def under_one_side(chosen):
    def answer(out_a, lse_a, out_b, lse_b):
        top = chosen(lse_a, lse_b)
        a, b = torch.exp(lse_a - top), torch.exp(lse_b - top)
        return (out_a * a[..., None] + out_b * b[..., None]) / (a + b)[..., None], top + torch.log(a + b)

    return answer


def log_of_sum(a, b):
    return (torch.exp(a) + torch.exp(b)).log()


def merges_in_place(out_a, lse_a, out_b, lse_b):
    a, b = right_weights(lse_a, lse_b)
    lse = torch.logaddexp(lse_a, lse_b)
    out_a.mul_(a[..., None]).add_(out_b * b[..., None])
    return out_a, lse


def shifts_in_place(out_a, lse_a, out_b, lse_b):
    right = merge_partials(out_a, lse_a, out_b, lse_b)[1].clone()
    lse_a -= torch.where(right == -INF, 0.0, 0.5)
    return merge_partials(out_a, lse_a, out_b, lse_b)[0], right
