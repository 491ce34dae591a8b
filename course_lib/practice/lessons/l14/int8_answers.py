"""Answers for 14.paged_decode_int8 in plain torch: right ones, and wrong ones made from those of lesson 08."""

import torch
from torch.utils._python_dispatch import _disable_current_modes

from course_lib.practice.fixtures.int8_pages import dequantised
from course_lib.practice.lessons.l08.paged_answers import Wrong

INF = float("inf")


def paged_decode_int8(q, k_cache, v_cache, k_scale, v_scale, block_tables, seq_lens):
    """Attention of one new token a sequence over an int8 cache. q: [num_seqs, num_heads, head_dim]; returns as q."""
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group = num_heads // num_kv_heads
    out = torch.zeros_like(q)
    for sequence in range(num_seqs):
        length = int(seq_lens[sequence])
        for kv_head in range(num_kv_heads):
            heads = slice(kv_head * group, (kv_head + 1) * group)
            rows = q[sequence, heads] / head_dim**0.5
            m_i, l_i, acc = rows.new_full((group,), -INF), rows.new_zeros(group), torch.zeros_like(rows)
            for first in range(0, length, block_size):
                block = block_tables[sequence, first // block_size]
                filled = min(block_size, length - first)  # later slots hold anything
                k, v = k_cache[block, :filled, kv_head].float(), v_cache[block, :filled, kv_head].float()
                scores = rows @ k.T * k_scale[block, kv_head, :filled]
                new_m = torch.maximum(m_i, scores.amax(1))
                alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m[:, None])
                l_i = alpha * l_i + weights.sum(1)
                acc = alpha[:, None] * acc + (weights * v_scale[block, kv_head, :filled]) @ v
                m_i = new_m
            if length > 0:
                out[sequence, heads] = acc / l_i[:, None]
    return out


def decode_token_by_token(q, k_cache, v_cache, k_scale, v_scale, block_tables, seq_lens):
    """Right: one token after the other, each key and value turned into floats where it is used."""
    size, group = k_cache.shape[1], q.shape[1] // k_cache.shape[2]
    out = torch.zeros_like(q)
    for s, length in enumerate(seq_lens.tolist()):
        for h in range(q.shape[1]):
            m_i, l_i, acc = -INF, 0.0, torch.zeros_like(q[0, 0], dtype=torch.float64)
            for position in range(length):
                block, offset, kv = int(block_tables[s, position // size]), position % size, h // group
                key = k_cache[block, offset, kv].double() * k_scale[block, kv, offset].double()
                value = v_cache[block, offset, kv].double() * v_scale[block, kv, offset].double()
                score = float(q[s, h].double() @ key) / q.shape[2] ** 0.5
                new_m = max(m_i, score)
                old, now = (torch.exp(torch.tensor(x - new_m, dtype=torch.float64)).item() for x in (m_i, score))
                m_i, l_i, acc = new_m, old * l_i + now, old * acc + now * value
            if l_i:
                out[s, h] = (acc / l_i).to(out.dtype)
    return out


def sequence(s, q, k_cache, v_cache, k_scale, v_scale, block_tables, seq_lens):
    """Keys and values of a sequence as floats, [heads, length, head_dim] each, and its scales [heads, length]."""
    length, group, size = int(seq_lens[s]), q.shape[1] // k_cache.shape[2], k_cache.shape[1]
    used = block_tables[s, : -(-length // size)]
    k, v = (
        x[used].flatten(0, 1)[:length].repeat_interleave(group, 1).transpose(0, 1)
        for x in dequantised(k_cache, v_cache, k_scale, v_scale)
    )
    scales = (x[used].transpose(0, 1).flatten(1)[:, :length].repeat_interleave(group, 0) for x in (k_scale, v_scale))
    return k, v, *scales


def unseen(answer):
    """The answer, where no Watch sees what it makes: it stands for one that keeps to the blocks."""

    def hidden(*given):
        with _disable_current_modes():
            return answer(*given)

    return hidden


def one_by_one(weigh):
    """An answer that gathers each sequence. weigh(scores, k_scale, v_scale): the weights, [heads, length]."""

    def answer(q, *rest):
        out = torch.zeros_like(q)
        for s, length in enumerate(rest[-1].tolist()):
            if length:
                k, v, k_scale, v_scale = sequence(s, q, *rest)
                scores = (k @ q[s, :, :, None])[..., 0] / q.shape[2] ** 0.5
                out[s] = (weigh(scores, k_scale, v_scale)[:, None] @ v)[:, 0]
        return out

    return answer


gathers = one_by_one(lambda scores, k_scale, v_scale: scores.softmax(1))
"""The output is right, but the keys and values of every sequence are gathered first."""


def value_scales_in_the_sum(scores, k_scale, v_scale):
    """The scales of the values go into the sum by which the output is divided."""
    sums = (scores.softmax(1) * v_scale).sum(1, keepdim=True)
    return scores.softmax(1) / sums


def zero_scales_left_out(scores, k_scale, v_scale):
    """A slot with a scale of 0 is taken for one without a token."""
    return scores.masked_fill(k_scale == 0, -INF).softmax(1).nan_to_num()


def scales_q_in_place(q, *rest):
    """Divides the caller's queries."""
    q /= q.shape[2] ** 0.5
    return paged_decode_int8(q * q.shape[2] ** 0.5, *rest)


class Int8Wrong:
    """A wrong answer: the caches become floats, perhaps wrongly, and then a wrong answer of lesson 08 reads them.

    made(k_cache, v_cache, k_scale, v_scale) -> k, v as floats. changed(q): the queries.
    """

    def __init__(self, after=None, made=dequantised, changed=lambda q: q, **parts):
        self.after, self.made, self.changed = after or Wrong(**parts), made, changed
        self.__name__ = "int8"

    def __call__(self, q, k_cache, v_cache, k_scale, v_scale, block_tables, seq_lens):
        with _disable_current_modes():  # as in `unseen`
            k, v = self.made(k_cache, v_cache, k_scale, v_scale)
            return self.after(self.changed(q), k, v, block_tables, seq_lens)


def scaled(k_scale=lambda k, v: k, v_scale=lambda k, v: v, numbers=lambda x: x.float()):
    """made for Int8Wrong. k_scale(k_scale, v_scale): [num_blocks, kv_heads, block_size] as used for keys; None: 1."""

    def made(k, v, k_s, v_s):
        return tuple(numbers(x) * of(k_s, v_s).transpose(1, 2)[..., None] for x, of in ((k, k_scale), (v, v_scale)))

    return made


def ones(k_s, v_s):
    return torch.ones_like(k_s)


def other_layout(scale):
    """The same memory read as [num_blocks, block_size, kv_heads]."""
    return scale.reshape(len(scale), scale.shape[2], scale.shape[1]).transpose(1, 2)
