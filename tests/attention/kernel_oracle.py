"""What the kernels are held to: attention in float64, row by row from its definition, and errors as ratios."""

import math

import numpy as np
import torch


def attend_exactly(q, k, v, *, causal=True, window=None, scale=None):
    """The last len(q) tokens of one sequence over all of it, in float64.

    q: [n, heads, dim]; k, v: [total, kv_heads, dim].
    """
    q, k, v = (x.detach().cpu().double() for x in (q, k, v))
    n, total, group = len(q), len(k), q.shape[1] // k.shape[1]
    out = torch.zeros_like(q)
    for i in range(n):
        at = total - n + i
        seen = [j for j in range(total) if (not causal or j <= at) and (window is None or abs(at - j) < window)]
        for head in range(q.shape[1] if seen else 0):
            scores = k[seen, head // group] @ q[i, head] * (scale or 1 / math.sqrt(q.shape[2]))
            out[i, head] = scores.softmax(0) @ v[seen, head // group]
    return out


def packed_exactly(q, k, v, lens, **options):
    parts = [x.split(lens) for x in (q, k, v)]
    return torch.cat([attend_exactly(*one, **options) for one in zip(*parts)])


def held_to(out, twin, exact, *others, slack=3):
    """Fails if `out` is further from exact than `slack` times the torch twin in the same dtype, plus a last bit; in
    float32 plus four: the twin can be right by chance, and in which order numbers are summed is the processor's.

    others: more results in the same dtype; the one with the largest error counts.
    """
    assert out.shape == exact.shape and out.dtype == twin.dtype and torch.isfinite(out).all()
    error, *known = (
        (x.cpu().double() - exact).abs().max().item() if exact.numel() else 0.0 for x in (out, twin, *others)
    )
    allowed = max(known)
    last_bit = torch.finfo(out.dtype).eps * max(1.0, exact.abs().max().item() if exact.numel() else 0.0)
    last_bit *= 4 if out.dtype == torch.float32 else 1
    assert error <= slack * allowed + last_bit, (
        f"error {error:.2e}, of the torch twin {allowed:.2e}, last bit {last_bit:.2e}"
    )


def decode_in_order(q, keys, values, seen):
    """One query a sequence in float32, each sum a term after the other: how a GPU without matrix instructions adds up.

    A matrix library adds in another order and may be several times more exact. q: [num_seqs, heads, dim]. keys, values:
    [length, kv_heads, dim] of each sequence. seen: of each, the positions that its query sees.
    """
    out = np.zeros(q.shape, np.float32)
    for row, (one, k, v, at) in enumerate(zip(q.cpu().float().numpy(), keys, values, seen)):
        k, v = (x.float().cpu().numpy()[at].repeat(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = summed((one * k).transpose(2, 0, 1)) / np.float32(math.sqrt(q.shape[2]))
        weights = np.exp(scores - scores.max(0, initial=-np.inf))[:, :, None]
        if len(k):
            out[row] = summed(weights * v) / summed(weights)
    return torch.from_numpy(out)


def summed(terms):
    """The sum over the first axis in float32, a term after the other."""
    total = np.zeros(terms.shape[1:], np.float32)
    for term in terms:
        total = total + term
    return total


class Paged:
    """A cache of NaN except for the tokens of its sequences, in shuffled blocks; tables are padded with wrong ids."""

    def __init__(self, lens, *, kv_heads, head_dim, block_size, device, dtype, shared=0, seed=0):
        draw = torch.Generator().manual_seed(seed)
        blocks = [-(-n // block_size) for n in lens]
        order = torch.randperm(sum(blocks) + 3, generator=draw).tolist()
        self.k = torch.full((sum(blocks) + 3, block_size, kv_heads, head_dim), math.nan)
        self.v = self.k.clone()
        self.tables = torch.full((len(lens), max(blocks, default=0) + 2), -7, dtype=torch.int32)
        self.tables[:, -1] = 10**6
        self.keys, self.values = [], []
        for row, (n, count) in enumerate(zip(lens, blocks)):
            ids = [order.pop() for _ in range(count)]
            if shared and row:  # the first `shared` blocks are those of sequence 0: one prompt for all
                ids[:shared] = self.tables[0, :shared].tolist()
            self.tables[row, :count] = torch.tensor(ids, dtype=torch.int32)
            slots = [ids[p // block_size] * block_size + p % block_size for p in range(n)]
            for kept, out in ((self.k, self.keys), (self.v, self.values)):
                flat = kept.flatten(0, 1)
                fresh = torch.randn(n, kv_heads, head_dim, generator=draw)
                flat[slots] = torch.where(flat[slots].isnan(), fresh, flat[slots])
                out.append(flat[slots].to(dtype))
        self.lens = torch.tensor(lens, dtype=torch.int32, device=device)
        self.k, self.v, self.tables = (x.to(device) for x in (self.k.to(dtype), self.v.to(dtype), self.tables))

    def exactly(self, q, new, **options):
        """The exact answer for the last new[i] tokens of each sequence."""
        return torch.cat(
            [
                attend_exactly(one, k, v, **options) if len(one) else one.cpu().double()
                for one, k, v in zip(q.split(new), self.keys, self.values)
            ]
        )

    @property
    def given(self):
        return self.k, self.v, self.tables, self.lens
