"""Answers for 07.grouped_query in plain torch: two right ones, and wrong ones."""

import torch

from course_lib.practice.fixtures.attention_variants import whole_matrix

from .attention import in_programs


def flash_grouped(q, k, v, tile):
    """Causal attention, heads in groups. q: [n, heads, head_dim]; k, v: [m, kv_heads, head_dim]; strided.

    In float64, one query at a time, and one tile of keys and of values at a time.
    """
    (n, heads, head_dim), m, group = q.shape, len(k), q.shape[1] // k.shape[1]
    out = torch.zeros(q.shape, dtype=torch.float64)
    for row in range(n):
        seen = max(m - n + row + 1, 0)
        for head in range(heads if seen else 0):
            query = q[row, head].double().cpu() / head_dim**0.5
            keys, values = (x[:seen, head // group].split(tile) for x in (k, v))
            weights = torch.softmax(torch.cat([x.double().cpu() @ query for x in keys]), 0).split(tile)
            out[row, head] = sum(w @ x.double().cpu() for w, x in zip(weights, values))
    return out.to(q.device, q.dtype)


def grouped_in_programs(q, k, v, tile):
    return in_programs(q, k, v, tile, causal=True)


def whole(q, k, v, tile):
    return whole_matrix(q.cpu().float(), k.cpu().float(), v.cpu().float(), (tile, tile), True)[0].to(q.dtype)


def copied(q, k, v, tile):
    """The output is right, but k and v are copied for each query head."""
    group = q.shape[1] // k.shape[1]
    return in_programs(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), tile, causal=True)


def made_contiguous(q, k, v, tile):
    return in_programs(
        q,
        k.clone(memory_format=torch.contiguous_format),
        v.clone(memory_format=torch.contiguous_format),
        tile,
        causal=True,
    )


def made_float32(q, k, v, tile):
    """The output is right, but k and v are copied as a whole where they are float16."""
    return in_programs(q, k.float(), v.float(), tile, causal=True)


def each_head_copied(q, k, v, tile):
    """The output is right, but each KV head is copied as a whole."""
    group = q.shape[1] // k.shape[1]
    pieces = ((q[:, group * g : group * (g + 1)], k[:, g : g + 1], v[:, g : g + 1]) for g in range(k.shape[1]))
    return torch.cat([in_programs(a, b.clone(), c.clone(), tile, causal=True) for a, b, c in pieces], 1)


def wrong_heads(kv_heads_of):
    """A wrong answer with the wrong KV heads: kv_heads_of(head, group, kv_heads) -> (that of k, that of v)."""
    return lambda q, k, v, tile: in_programs(q, k, v, tile, True, kv_heads_of)


def exchanged(x):
    """What is read of a contiguous [tokens, heads, head_dim] where the strides of tokens and heads are exchanged."""
    tokens, heads, head_dim = x.shape
    at = torch.arange(tokens)[:, None] + heads * torch.arange(heads)
    return x.reshape(-1, head_dim)[at.clamp(max=tokens * heads - 1)]


def modulo_group(head, group, kv_heads):
    return head % group, head % group


def divided_by_kv_heads(head, group, kv_heads):
    return head // kv_heads, head // kv_heads
