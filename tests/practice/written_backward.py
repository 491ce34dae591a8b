"""Wrong answers to 06.recompute_backward as people write them; see written_otherwise.py."""

import torch

from course_lib.practice.lessons.l06.recompute_backward import recompute_backward


def back_without_delta(q, k, v, out, lse, grad_out, tile):
    return recompute_backward(q, k, v, 0 * out, lse, grad_out, tile)


def back_matrix(q, k, v, out, lse, grad_out, tile):
    p = torch.exp(q @ k.T * q.shape[1] ** -0.5 - lse[:, None]).tril()
    ds = p * (grad_out @ v.T - (grad_out * out).sum(1, keepdim=True))
    return ds @ k * q.shape[1] ** -0.5, ds.T @ q * q.shape[1] ** -0.5, p.T @ grad_out


def back_unscaled(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dq * q.shape[1] ** 0.5, dk * q.shape[1] ** 0.5, dv


def back_scaled_twice(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dq / q.shape[1] ** 0.5, dk / q.shape[1] ** 0.5, dv


def back_with(
    weigh=lambda s, lse: torch.exp(s - lse),
    hides=True,
    turned=lambda ds: ds.T,
    delta=lambda p, dp, whole: whole,
    wide=False,
):
    """Written again, with parameters for mistakes. q is scaled first, so dK has the scale already."""

    def answer(q, k, v, out, lse, grad_out, tile):
        root, (dq, dk, dv) = q.shape[1] ** 0.5, (torch.zeros_like(x) for x in (q, k, v))
        scaled = q / root
        for i in range(0, len(q), tile):
            for j in range(0, i + 1, len(q) if wide else tile):
                a, b = slice(i, i + tile), slice(j, len(q) if wide else j + tile)
                p = weigh(scaled[a] @ k[b].T, lse[a, None])
                p = p.tril(i - j) if hides else p
                dp = grad_out[a] @ v[b].T
                ds = p * (dp - delta(p, dp, (grad_out[a] * out[a]).sum(1))[:, None])
                dq[a] += ds @ k[b] / root
                dk[b] += turned(ds) @ scaled[a]
                dv[b] += p.T @ grad_out[a]
        return dq, dk, dv

    return answer


def back_order(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = recompute_backward(q, k, v, out, lse, grad_out, tile)
    return dv, dk, dq


def back_bidirectional(q, k, v, out, lse, grad_out, tile):
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    for i in range(0, len(q), tile):
        for j in range(0, len(k), tile):
            a, b, root = slice(i, i + tile), slice(j, j + tile), q.shape[1] ** 0.5
            p = (q[a] @ k[b].T / root - lse[a, None]).exp()
            ds = p * (grad_out[a] @ v[b].T - (grad_out[a] * out[a]).sum(1, keepdim=True))
            dq[a] += ds @ k[b] / root
            dk[b] += ds.T @ q[a] / root
            dv[b] += p.T @ grad_out[a]
    return dq, dk, dv


def back_last_tile(q, k, v, out, lse, grad_out, tile):
    """Each column's gradient is that of its last tile of rows."""
    dq, _, _ = recompute_backward(q, k, v, out, lse, grad_out, tile)
    dk, dv, root = torch.zeros_like(k), torch.zeros_like(v), q.shape[1] ** 0.5
    for i in range(0, len(q), tile):
        for j in range(0, i + tile, tile):
            a, b = slice(i, i + tile), slice(j, j + tile)
            p = (q[a] @ k[b].T / root - lse[a, None]).exp().tril(i - j)
            ds = p * (grad_out[a] @ v[b].T - (grad_out[a] * out[a]).sum(1, keepdim=True))
            dk[b], dv[b] = ds.T @ q[a] / root, p.T @ grad_out[a]
    return dq, dk, dv


def back_shows(q, k, v, out, lse, grad_out, tile):
    print(recompute_backward(q, k, v, out, lse, grad_out, tile))


def back_turned(q, k, v, out, lse, grad_out, tile):
    """triu where tril belongs."""
    scale, (dq, dk, dv) = q.shape[1] ** -0.5, (torch.zeros_like(x) for x in (q, k, v))
    delta = (grad_out * out).sum(1)
    for i in range(0, len(q), tile):
        for j in range(0, len(q), tile):
            a, b = slice(i, i + tile), slice(j, j + tile)
            p = torch.exp(q[a] @ k[b].T * scale - lse[a, None]).triu(i - j)
            ds = p * (grad_out[a] @ v[b].T - delta[a, None]) * scale
            dq[a] += ds @ k[b]
            dk[b] += ds.T @ q[a]
            dv[b] += p.T @ grad_out[a]
    return dq, dk, dv


CASES = {
    "06.recompute_backward": [
        ("delta is left out", back_without_delta),
        ("than a tile has", back_matrix),
        ("missing in the backward pass", back_unscaled),
        ("another order", back_order),
        ("no causal mask", back_bidirectional),
        ("overwritten", back_last_tile),
        ("printed, not returned", back_shows),
        ("applied twice", back_scaled_twice),
        ("log-sum-exp is not subtracted", back_with(weigh=lambda s, lse: torch.exp(s))),
        ("no causal mask", back_with(hides=False)),
        ("not transposed", back_with(turned=lambda ds: ds)),
        ("within the tile only", back_with(delta=lambda p, dp, whole: (p * dp).sum(1))),
        ("than a tile has", back_with(wide=True)),
        ("mask is inverted", back_turned),
    ]
}
