"""Keys and values in one preallocated tensor: lesson 02, and a batch of such tensors for lesson 09.

    k[layer], v[layer]: [num_kv_heads, max_tokens, head_dim]

        0                    num_tokens       + new          max_tokens
        | from earlier steps    | of this step  |  not used yet   |

The tokens of a head are next to each other in memory, in the order in which attention reads them.
"""

import torch
import torch.nn.functional as F

from course_lib.attention.reference.twins import last_tokens
from course_lib.errors import CacheFull, ParameterError
from course_lib.machine.device import default_device, default_dtype

from .allocator import whole


class ContiguousCache:
    """The keys and values of one sequence, for at most `max_tokens` tokens.

    A step computes the next tokens of the sequence, many (the prompt: prefill) or one (decode). `num_tokens` grows once
    a step, after the last layer, so that every layer of a step starts at the same token. A step that fails halfway
    leaves it as it was.

    config: the ModelConfig of the model. device, dtype: those of the model; default: what `load_model` uses on this
    machine. Raises ParameterError for a max_tokens below 1. Source: the cache of Transformer-XL and GPT-2's `past`
    (arXiv 1901.02860); preallocated as in gpt-fast.
    """

    def __init__(self, config, max_tokens, *, device=None, dtype=None):
        self.k, self.v = pieces((config.num_layers, config.num_kv_heads), max_tokens, config, device, dtype)
        self.config, self.max_tokens, self.num_tokens = config, max_tokens, 0

    def attend(self, layer, q, k, v, window=None):
        """Appends k and v, then computes the attention of each new token to itself and all tokens before it.

        q: [num_new, num_heads, head_dim]; k, v: [num_new, num_kv_heads, head_dim], of the positions from `num_tokens`
        on. window: a token sees itself and the window - 1 before it; None: all before it. Returns [num_new, num_heads,
        head_dim]. Raises CacheFull if they do not fit, and ParameterError if they are of another model; then nothing is
        written.
        """
        end = self.num_tokens + len(k)
        if layer == 0:
            check_fit(self.k, k)
        if end > self.max_tokens:
            raise CacheFull(no_room("This cache", self.num_tokens, len(k), self.max_tokens))
        out = append_and_attend(self.k[layer], self.v[layer], self.num_tokens, q, k, v, window)
        if layer == self.config.num_layers - 1:
            self.num_tokens = end
        return out

    def shrink(self, num_tokens):
        """Keeps the first `num_tokens` tokens. The others are written over. Raises ParameterError for more than it
        holds.
        """
        if type(num_tokens) is not int or not 0 <= num_tokens <= self.num_tokens:
            raise ParameterError(f"This cache holds {self.num_tokens} tokens and cannot keep {num_tokens!r} of them.")
        self.num_tokens = num_tokens

    def reset(self):
        """Forgets the sequence. The memory stays and is used for the next one."""
        self.num_tokens = 0

    @property
    def num_bytes(self):
        """Bytes of both tensors, used or not."""
        return self.k.nbytes + self.v.nbytes

    @property
    def num_bytes_used(self):
        """Bytes of the tokens that are in the cache."""
        return self.num_bytes // self.max_tokens * self.num_tokens

    def __repr__(self):
        return f"ContiguousCache({self.num_tokens} of {self.max_tokens} tokens, {self.num_bytes:,} bytes)"


class ContiguousBatch:
    """One preallocated tensor for `max_seqs` sequences, which can have different lengths.

    The tokens of a step are one flat batch, one sequence after the other, as the model takes them:

        positions = batch.begin_step([0, 2], [5, 1])   # five tokens of sequence 0, then one of 2
        logits = model(token_ids, positions, batch)    # token_ids: [6]

    Sequence ids are 0 to max_seqs - 1. `num_tokens[i]`: tokens of sequence i that are in the cache.
    k[layer], v[layer]: [max_seqs, num_kv_heads, max_tokens, head_dim].
    """

    def __init__(self, config, max_seqs, max_tokens, *, device=None, dtype=None):
        whole("max_seqs", max_seqs, at_least=1)
        self.k, self.v = pieces((config.num_layers, max_seqs, config.num_kv_heads), max_tokens, config, device, dtype)
        self.config, self.max_seqs, self.max_tokens = config, max_seqs, max_tokens
        self.num_tokens = [0] * max_seqs
        self.seq_lens = []  # of the sequences of the step, their new tokens included
        self._step = None  # (sequence, tokens before this step, new tokens) of each

    def begin_step(self, seq_ids, num_new_tokens):
        """Announces the next tokens: `num_new_tokens[i]` of sequence `seq_ids[i]`, in that order.

        Returns their positions, int64 [sum(num_new_tokens)]. Raises ParameterError for an id that does not exist or
        comes twice and for a count below 1, and CacheFull if a sequence has no room; then nothing has changed.
        """
        seq_ids, new = list(seq_ids), list(num_new_tokens)
        if not seq_ids or len(seq_ids) != len(new) or len(set(seq_ids)) != len(seq_ids):
            raise ParameterError(
                f"seq_ids is {seq_ids} and num_new_tokens is {new}; a step needs at least one sequence, one count for "
                f"each sequence, and each once."
            )
        for i, n in zip(seq_ids, new):
            if i not in range(self.max_seqs):
                raise ParameterError(
                    f"There is no sequence {i!r}; this batch has 0 to {self.max_seqs - 1}. "
                    f"Raise max_seqs, or reset(i) a finished sequence i and use its id."
                )
            whole("num_new_tokens", n, at_least=1)
            if self.num_tokens[i] + n > self.max_tokens:
                raise CacheFull(no_room(f"Sequence {i}", self.num_tokens[i], n, self.max_tokens))
        self._step = [(i, self.num_tokens[i], n) for i, n in zip(seq_ids, new)]
        self.seq_lens = [start + n for _, start, n in self._step]
        self._neighbours = new == [1] * len(new) and seq_ids == list(range(seq_ids[0], seq_ids[0] + len(new)))
        if self._neighbours:
            self._lens = torch.tensor(self.seq_lens, device=self.k.device)
            longest = torch.arange(max(self.seq_lens), device=self.k.device)
            self._seen = (longest < self._lens[:, None])[:, None, None]  # [sequences, 1, 1, longest]
        return torch.cat([torch.arange(start, start + n) for _, start, n in self._step]).to(self.k.device)

    def attend(self, layer, q, k, v, window=None):
        """As ContiguousCache.attend, for each sequence of the step separately.

        q: [num_new, num_heads, head_dim]; k, v: [num_new, num_kv_heads, head_dim], in the order of
        `begin_step`. Returns [num_new, num_heads, head_dim].
        """
        if layer == 0:
            check_fit(self.k, k)
            announced = sum(n for *_, n in self._step or [])
            if announced != len(k):
                raise ParameterError(
                    f"{len(k)} tokens came, but begin_step announced {announced}. Call "
                    f"begin_step(seq_ids, num_new_tokens) before each run of the model."
                )
        attend = self._attend_grouped if self._neighbours else self._attend_each
        out = attend(self.k[layer], self.v[layer], q, k, v, window)
        if layer == self.config.num_layers - 1:
            for i, start, n in self._step:
                self.num_tokens[i] = start + n
            self._step = None
        return out

    def _attend_each(self, kept_k, kept_v, q, k, v, window):
        """One sequence after the other. kept_k, kept_v: [max_seqs, num_kv_heads, max_tokens, head_dim]."""
        out, at = torch.empty_like(q), 0
        for i, start, n in self._step:
            rows = slice(at, at + n)
            out[rows] = append_and_attend(kept_k[i], kept_v[i], start, q[rows], k[rows], v[rows], window)
            at += n
        return out

    def _attend_grouped(self, kept_k, kept_v, q, k, v, window):
        """One token each of neighbouring sequences, in one call. Positions after the end of a sequence are masked."""
        first, last = self._step[0][0], self._step[-1][0]
        kept_k, kept_v = kept_k[first : last + 1], kept_v[first : last + 1]
        rows = torch.arange(len(q), device=q.device)
        kept_k[rows, :, self._lens - 1], kept_v[rows, :, self._lens - 1] = k, v
        longest, seen = self._seen.shape[-1], self._seen
        if window is not None:
            positions = torch.arange(longest, device=q.device)
            seen = seen & (positions >= self._lens[:, None] - window)[:, None, None]
        grouped = q.unflatten(1, (k.shape[1], -1))  # [sequences, num_kv_heads, queries that share it, head_dim]
        out = F.scaled_dot_product_attention(grouped, kept_k[:, :, :longest], kept_v[:, :, :longest], attn_mask=seen)
        return out.flatten(1, 2)

    def reset(self, seq_id=None):
        """Forgets one sequence, or all of them; the memory stays."""
        if seq_id is not None and seq_id not in range(self.max_seqs):
            raise ParameterError(f"There is no sequence {seq_id!r} to forget; this batch has 0 to {self.max_seqs - 1}.")
        for i in range(self.max_seqs) if seq_id is None else [seq_id]:
            self.num_tokens[i] = 0
        self._step = None

    @property
    def num_bytes(self):
        """Bytes of both tensors, used or not."""
        return self.k.nbytes + self.v.nbytes

    def __repr__(self):
        return f"ContiguousBatch({self.num_tokens} of {self.max_tokens} tokens each, {self.num_bytes:,} bytes)"


def append_and_attend(kept_k, kept_v, start, q, k, v, window=None):
    """Writes k and v after the `start` tokens that are in the cache, and attends over all of them.

    kept_k, kept_v: [num_kv_heads, max_tokens, head_dim], of one layer; q, k, v, window as in `attend`.
    """
    end = start + len(k)
    kept_k[:, start:end] = k.transpose(0, 1)
    kept_v[:, start:end] = v.transpose(0, 1)
    if window is not None:
        first = max(0, start + 1 - window)  # the first token that any of the new ones sees
        k, v = (kept[:, first:end].transpose(0, 1) for kept in (kept_k, kept_v))
        return last_tokens(q, k, v, window=window)
    kept_k, kept_v = kept_k[None, :, :end], kept_v[None, :, :end]
    if len(q) == 1:
        # One token attends to everything, so there is no mask; and the query heads that share a key/value head are the
        # rows of one small matrix, so that torch does not repeat K and V for each of them.
        rows = q.unflatten(1, (kept_k.shape[1], -1))
        return F.scaled_dot_product_attention(rows, kept_k, kept_v).flatten(1, 2)
    # Row i is at position start + i. torch's own causal mask counts from the first key, so it fits only start 0.
    mask = None if start == 0 else torch.ones(end - start, end, dtype=torch.bool, device=q.device).tril(start)
    out = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        kept_k,
        kept_v,
        attn_mask=mask,
        is_causal=start == 0,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[0].transpose(0, 1)


def pieces(outer, max_tokens, config, device, dtype):
    """K and V, [*outer, max_tokens, head_dim], filled with zeros."""
    whole("max_tokens", max_tokens, at_least=1)
    device = torch.device(device or default_device())
    shape = (*outer, max_tokens, config.head_dim)
    return tuple(torch.zeros(shape, device=device, dtype=dtype or default_dtype(device)) for _ in "kv")


def check_fit(kept, k):
    """Raises ParameterError unless k, [num_new, num_kv_heads, head_dim], is of the model that the cache is for."""
    heads, head_dim = kept.shape[-3], kept.shape[-1]
    if k.shape[1:] != (heads, head_dim) or k.dtype != kept.dtype or k.device != kept.device:
        raise ParameterError(
            f"The keys have {list(k.shape[1:])} numbers a token in {k.dtype} on {k.device}, but the cache is for "
            f"{[heads, head_dim]} in {kept.dtype} on {kept.device}. Make it for this model: "
            f"ContiguousCache(model.config, max_tokens, device=model.device, dtype=model.dtype)."
        )


def no_room(owner, held, new, max_tokens):
    return (
        f"{owner} holds {held} tokens and was asked to take {new} more, but it was made for {max_tokens}, so "
        f"{max_tokens - held} fit. Make it with max_tokens={held + new} or more, write fewer tokens, or call reset() "
        f"if its tokens are not needed any more."
    )
