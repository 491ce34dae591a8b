"""The torch twin of each kernel of this folder: the same arguments, the same result, on any device."""

import torch
import torch.nn.functional as F


def add_rms_norm(hidden, delta, weight, eps):
    """As norm.add_rms_norm."""
    if delta is not None:
        hidden += delta
    return F.rms_norm(hidden, weight.shape, weight, eps)


def swiglu(gate_up):
    """As norm.swiglu."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def rotary_store(qkv, positions, slot_mapping, cos, sin, k_cache, v_cache, *, q_weight=None, k_weight=None, eps=0.0):
    """As rotary.rotary_store."""
    kv_heads, dim = k_cache.shape[2:]
    num_heads = qkv.shape[-1] // dim - 2 * kv_heads
    q, k, v = qkv.unflatten(-1, (-1, dim)).split([num_heads, kv_heads, kv_heads], 1)
    cos, sin = cos[positions.long(), None], sin[positions.long(), None]

    def turned(x, weight):
        x = x if weight is None else F.rms_norm(x, weight.shape, weight, eps)
        first, second = x.float().chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)

    q.copy_(turned(q, q_weight))
    stored = slot_mapping >= 0
    slots = slot_mapping[stored].long()
    k_cache.flatten(0, 1)[slots] = turned(k, k_weight)[stored]
    v_cache.flatten(0, 1)[slots] = v[stored]
    return q


def few_rows(x, weight, *, bias=None, norm=None, eps=0.0, gated=False, residual=None):
    """As products.few_rows."""
    x = x if norm is None else F.rms_norm(x, norm.shape, norm, eps)
    out = F.linear(x, weight, bias)
    out = swiglu(out) if gated else out
    return out if residual is None else residual.add_(out)


def some_rows(x, weight, *, tile=None, **around):
    """As products.some_rows. tile: of the kernel, which decides nothing here."""
    return few_rows(x, weight, **around)
