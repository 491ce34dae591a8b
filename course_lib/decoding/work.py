"""Counts the work of a model: tokens, operations and bytes, the same numbers on every machine."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from course_lib.kvcache import Recompute


@dataclass(frozen=True)
class Run:
    """The work of one forward pass."""

    tokens: int
    """Tokens that the pass computed."""
    flops: int
    """Floating-point operations of matrix products and attention; a multiply and an add are two."""
    weight_bytes: int
    """Bytes of weights read: each matrix once, and of the embedding the rows that are looked up."""
    cache_bytes: int
    """Bytes of keys and values that attention reads from the cache: every token held, in every layer, once."""


@dataclass
class Work:
    """The forward passes that were counted, in order, and their sums."""

    runs: list[Run] = field(default_factory=list)

    tokens = property(lambda self: sum(run.tokens for run in self.runs))
    flops = property(lambda self: sum(run.flops for run in self.runs))
    weight_bytes = property(lambda self: sum(run.weight_bytes for run in self.runs))
    cache_bytes = property(lambda self: sum(run.cache_bytes for run in self.runs))

    def __repr__(self):
        return (
            f"{len(self.runs):,} runs, {self.tokens:,} tokens computed, {self.flops / 1e9:,.2f} GFLOP, "
            f"{self.weight_bytes / 1e6:,.1f} MB of weights read, {self.cache_bytes / 1e6:,.1f} MB of cache read"
        )


@contextmanager
def count_work(model):
    """Counts every forward pass of `model`, a Transformer, inside the block:

        with count_work(model) as work:
            generate_cached(model, prompt, params)
        work.tokens, work.flops, work.runs[0]

    Operations are counted by torch's FlopCounterMode while they run. It counts a call of attention as the whole
    rectangle, queries x keys x 4 x head_dim for each query head, even where a causal mask lets the kernel skip half of
    it. Bytes are those that a pass has to read once; repeated reads, and hits in the processor's caches, depend on the
    machine and are not counted. Recompute holds nothing, so it reads no cache.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imported here, because it imports Triton where there is one

    work, flops = Work(), FlopCounterMode(display=False, custom_mapping=ATTENTION_FLOPS)
    before = 0

    def begin(module, args, kwargs):
        nonlocal before
        before = flops.get_total_flops()

    def end(module, args, kwargs, logits):
        token_ids, positions, cache = _arguments(*args, **kwargs)
        config, size = module.config, module.lm_head.weight.element_size()
        lens = [] if isinstance(cache, Recompute) else getattr(cache, "seq_lens", None) or [int(positions[-1]) + 1]
        kv = 2 * config.num_layers * config.num_kv_heads * config.head_dim * size
        work.runs.append(
            Run(
                len(token_ids),
                flops.get_total_flops() - before,
                _weight_bytes(module) + len(token_ids) * config.hidden_size * size,
                kv * sum(lens),
            )
        )

    hooks = [
        model.register_forward_pre_hook(begin, with_kwargs=True),
        model.register_forward_hook(end, with_kwargs=True),
    ]
    try:
        with flops:
            yield work
    finally:
        for hook in hooks:
            hook.remove()


def _arguments(token_ids, positions, cache, logits_for=None):
    return token_ids, positions, cache


def _weight_bytes(model):
    """All weights, each once, without an embedding that is only looked up (a tied one is also the last matrix)."""
    table = 0 if model.config.tie_embeddings else model.model.embed_tokens.weight.nbytes
    return sum(weight.nbytes for weight in model.parameters()) - table


def _attention_flops(q, k, v, *args, out_shape=None, **kwargs):
    """Scores and weighted sum: q [batch, heads, queries, head_dim], k and v [batch, kv_heads, keys, head_dim]."""
    return 2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])


ATTENTION_FLOPS = dict.fromkeys(
    (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
        torch.ops.aten._scaled_dot_product_flash_attention,
        torch.ops.aten._scaled_dot_product_efficient_attention,
        torch.ops.aten._scaled_dot_product_cudnn_attention,
    ),
    _attention_flops,
)
"""For FlopCounterMode(custom_mapping=...): torch counts its CPU kernel as 0, and before 2.13 refuses grouped heads."""
