"""Mistakes of the attention exercises in which q, k and v are contiguous, each with wrong answers that make it."""

import math

import torch

from course_lib.attention.recording.clashes import clashes
from course_lib.attention.recording.recorder import record_accesses
from course_lib.practice.fixtures.placement import machine
from course_lib.practice.judge.exercise import Mistake

from .attention import INF
from .attention_answers import Program
from .attention_mistakes import altered


def over_heads(causal):
    """A wrong answer: attention between the heads of a token."""

    def answer(q, k, v, tile):
        scores = q.float() @ k.float().transpose(1, 2) / q.shape[2] ** 0.5
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -INF)
        return (torch.softmax(scores, 2) @ v.float()).to(q.dtype)

    return answer


def stores_in_one_head(answer, found):
    """Whether several programs store in head 0 and none in another head."""
    mine = getattr(found.outcome, "tensor", found.outcome)
    if not isinstance(mine, torch.Tensor) or mine.ndim != 3 or mine.shape[1] < 2 or machine().triton == "absent":
        return False
    if not mine[:, 1:].isnan().all():
        return False
    with record_accesses() as log:
        found.trial.act(answer)
    return bool(clashes(log))


def by_one_head(x):
    """What is read where the stride from token to token is head_dim, as with one head."""
    rows = x.reshape(-1, x.shape[2])
    return rows[torch.arange(len(x))[:, None] + torch.arange(x.shape[1])]


def into_one_head(out, tile):
    """What is there where such a stride is used to store, head after head; the rest was never written."""
    rows = torch.full((len(out) * out.shape[1], out.shape[2]), math.nan, dtype=out.dtype)
    for head in range(out.shape[1]):
        rows[head : head + len(out)] = out[:, head]
    return rows.view(out.shape)


def heads_first(x):
    """What is read where contiguous tokens, [tokens, heads, head_dim], are taken for [heads, tokens, head_dim]."""
    return x.reshape(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1)


def into_heads_first(out, tile):
    """What is there where the output is stored as [heads, tokens, head_dim]."""
    return out.transpose(0, 1).reshape(out.shape)


def on_contiguous(causal):
    """Mistakes of exercises in which q, k and v are contiguous, and addresses are computed from that."""
    return [
        Mistake(
            "the head is missing in the addresses.",
            "All programs of a tile read or write the numbers of head 0. Head h of a token begins at h * HEAD_DIM, in "
            "q, k, v and the output: `head * HEAD_DIM + tl.arange(0, HEAD_DIM)`.",
            (
                altered(causal, reads=lambda q, k, v: tuple(x[:, :1].expand_as(x) for x in (q, k, v))),
                altered(causal, reads=lambda q, k, v: (q, *(x[:, :1].expand_as(x) for x in (k, v)))),
            ),
            is_made_by=stores_in_one_head,
        ),
        Mistake(
            "the stride from token to token is that of one head.",
            "The heads of a token lie side by side, so the next token begins heads * head_dim numbers later: "
            "`q.stride(0)`.",
            (
                altered(causal, reads=lambda *qkv: tuple(map(by_one_head, qkv)), writes=into_one_head),
                altered(causal, reads=lambda *qkv: tuple(map(by_one_head, qkv))),
                altered(causal, reads=lambda q, k, v: (q, by_one_head(k), by_one_head(v))),
            ),
        ),
        Mistake(
            "the stride between heads is 1.",
            "Head h of a token begins at h * HEAD_DIM: `head * HEAD_DIM + tl.arange(0, HEAD_DIM)`.",
            (Program(causal, head_step=1), Program(causal, head_step=1, stores_right=True)),
        ),
        Mistake(
            "heads are taken for the first dimension.",
            "The tensors are [tokens, heads, head_dim], not [heads, tokens, head_dim]: token j of head h begins at "
            "`(j * heads + h) * head_dim`.",
            (
                altered(causal, reads=lambda *qkv: tuple(map(heads_first, qkv)), writes=into_heads_first),
                altered(causal, reads=lambda *qkv: tuple(map(heads_first, qkv))),
                altered(causal, writes=into_heads_first),
            ),
        ),
        Mistake(
            "the number of queries is used as the number of keys.",
            "q has n rows, k and v have m: the loop ends at m, and the columns below m are keys.",
            (Program(causal, keys=lambda n, m: n), Program(causal, end=lambda n, m, first, tile: min(n, m))),
        ),
        Mistake(
            "attention runs over the heads of a token.",
            "`q @ k.transpose(1, 2)` multiplies the heads of one token with each other. Attention is between tokens: "
            "take one head, `q[:, h] @ k[:, h].T`, or put the heads first with `transpose(0, 1)`.",
            over_heads(causal),
        ),
    ]
