"""Gradients for 06.recompute_backward: two right ones, one that makes the whole matrix, and `Wrong`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

INF = float("inf")


def backward_by_rows(q, k, v, out, lse, grad_out, tile):
    """Right: the outer loop is over rows, and q and k are scaled first."""
    n, d = q.shape
    scale = d**-0.25
    qs, ks = q * scale, k * scale
    dqs, dks, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for i in torch.arange(n).split(tile):
        delta = torch.einsum("nd,nd->n", grad_out[i], out[i])
        for j in torch.arange(n).split(tile):
            if j[0] > i[-1]:
                continue
            s = (qs[i] @ ks[j].T).masked_fill(j[None] > i[:, None], -INF)
            p = (s - lse[i][:, None]).exp()
            ds = p * (grad_out[i] @ v[j].T) - p * delta[:, None]
            dv.index_add_(0, j, p.T @ grad_out[i])
            dqs.index_add_(0, i, ds @ ks[j])
            dks.index_add_(0, j, ds.T @ qs[i])
    return dqs * scale, dks * scale, dv


def backward_by_autograd(q, k, v, out, lse, grad_out, tile):
    """Right: autograd differentiates each tile, with lse and delta as constants; weights are exp(scores - lse)."""
    grads = [torch.zeros_like(x) for x in (q, k, v)]
    delta = (grad_out * out).sum(1)
    for a in range(0, len(q), tile):
        for b in range(0, a + tile, tile):
            rows, cols = slice(a, a + tile), slice(b, b + tile)
            with torch.enable_grad():
                q_i, k_j, v_j = (x.clone().requires_grad_() for x in (q[rows], k[cols], v[cols]))
                scores = q_i @ k_j.T / q.shape[1] ** 0.5
                seen = torch.ones_like(scores, dtype=torch.bool).tril(a - b)
                weights = torch.exp(scores - lse[rows, None]).masked_fill(~seen, 0.0)
                loss = ((weights @ v_j) * grad_out[rows]).sum() - (weights.sum(1) * delta[rows]).sum()
            if len(k_j) == 0:
                continue
            for whole, part, where in zip(grads, torch.autograd.grad(loss, (q_i, k_j, v_j)), (rows, cols, cols)):
                whole[where] += part
    return tuple(grads)


def through_the_matrix(q, k, v, out, lse, grad_out, tile):
    """The gradient is right, but all scores are in memory at once."""
    with torch.enable_grad():
        inputs = [x.clone().requires_grad_() for x in (q, k, v)]
        scores = inputs[0] @ inputs[1].T / q.shape[1] ** 0.5
        made = scores.masked_fill(~torch.ones(len(q), len(q), dtype=torch.bool).tril(), -INF).softmax(1) @ inputs[2]
    return torch.autograd.grad(made, inputs, grad_out)


@dataclass(frozen=True, eq=False)
class Wrong:
    """A wrong answer: the right one with a part replaced."""

    scale_q: Callable = lambda d: d**-0.5
    scale_k: Callable = lambda d: d**-0.5
    scale_s: Callable = lambda d: d**-0.5
    delta: Callable = lambda grad_out, out: (grad_out * out).sum(1)
    weights: Callable = lambda scores, lse: torch.exp(scores - lse)
    masks: bool = True
    local: bool = False
    inverted: bool = False
    overwrites: str = ""
    weighted: bool = True
    hides: bool = True
    delta_of_tile: bool = False
    wide: bool = False
    untransposed: str = ""
    dv_from: str = "weights"
    drops_tail: bool = False
    crossed: bool = False
    order: tuple = (0, 1, 2)
    skips_diagonal: bool = False
    in_place: bool = False
    itself: bool = True
    late: bool = False
    """Whether the mask comes after the softmax."""
    delta_of: str = "out"

    @property
    def __name__(self):
        return "recompute_backward"

    def __call__(self, q, k, v, out, lse, grad_out, tile):
        n, d = q.shape
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        delta = self.delta(grad_out, out if self.delta_of == "out" else v)
        if self.in_place:
            grad_out *= 1.5
            grad_out /= 1.5
            out *= 0
        end = n - n % tile if self.drops_tail else n
        for c0 in range(0, end, tile):
            j = slice(c0, min(c0 + tile, n))
            for r0 in range(c0 + tile * self.skips_diagonal if self.masks else 0, end, n if self.wide else tile):
                i = slice(r0, n if self.wide else min(r0 + tile, n))
                scores = q[i] @ k[j].T * self.scale_s(d)
                rows, cols = torch.arange(i.start, i.stop), torch.arange(j.start, j.stop)
                if self.local:
                    rows, cols = rows - i.start, cols - j.start
                rows = rows if self.itself else rows - 1
                hides = self.inverted or self.masks and self.hides
                hidden = (cols < rows[:, None] if self.inverted else cols > rows[:, None]) & hides
                if hides and not self.late:
                    scores = scores.masked_fill(hidden, -INF)
                weights = self.weights(scores, lse[i, None])
                if self.late:
                    weights = weights.masked_fill(hidden, 0.0)
                grad_weights = grad_out[i] @ v[j].T
                grad_scores = grad_weights - (
                    (weights * grad_weights).sum(1, keepdim=True) if self.delta_of_tile else delta[i, None]
                )
                if self.weighted:
                    grad_scores = weights * grad_scores
                elif self.masks:
                    grad_scores = grad_scores.masked_fill(hidden, 0.0)
                to_v, to_k, to_q = (weights if self.dv_from == "weights" else grad_scores).T, grad_scores.T, grad_scores
                to_v, to_k, to_q = (
                    x.T if name in self.untransposed else x for name, x in (("v", to_v), ("k", to_k), ("q", to_q))
                )
                piece_v = to_v @ grad_out[i]
                piece_k = to_k @ (k[i] if self.crossed else q[i]) * self.scale_k(d)
                piece_q = to_q @ (q[j] if self.crossed else k[j]) * self.scale_q(d)
                for name, whole, where, piece in (("v", dv, j, piece_v), ("k", dk, j, piece_k), ("q", dq, i, piece_q)):
                    whole[where] = piece if name in self.overwrites else whole[where] + piece
        return tuple((dq, dk, dv)[at] for at in self.order)
