"""Functions of which wrong answers to 08.split_kv are made: merges, and sizes of a part."""

import torch

from .paged_answers import INF, split_as_rows, whole_blocks


def mean(partial, lse):
    return partial.mean(2)


def mean_of_used(partial, lse):
    used = (lse > -INF).float()[..., None]
    return (partial * used).sum(2) / used.sum(2).clamp(min=1)


def by_lse(partial, lse):
    weights = lse.nan_to_num(neginf=0.0)
    return (weights[..., None] * partial).sum(2) / weights.sum(2)[..., None]


def by_lse_unguarded(partial, lse):
    return ((lse / lse.sum(2, keepdim=True))[..., None] * partial).sum(2)


def overflows(partial, lse):
    sums = torch.exp(lse)
    return (sums[..., None] * partial).sum(2) / sums.sum(2).clamp(min=1e-30)[..., None]


def unguarded(partial, lse):
    return (lse.softmax(2)[..., None] * partial).sum(2)


def by_tokens(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """A wrong answer: a part with more tokens has a larger weight, whatever their scores are."""
    _, partial, lse = split_as_rows(q, k_cache, v_cache, block_tables, seq_lens, num_splits)
    size = k_cache.shape[1]
    lengths = seq_lens[:, None]
    tokens = torch.tensor([whole_blocks(length, num_splits, size) * size for length in seq_lens.tolist()])[:, None]
    begins = torch.arange(num_splits) * tokens
    counts = torch.minimum(begins + tokens, lengths).sub(begins).clamp(min=0)
    return torch.einsum("sp,shpd->shd", counts / lengths.clamp(min=1), partial), partial, lse


def added(partial, lse):
    return partial.sum(2)


def undivided(partial, lse):
    largest = lse.amax(2, keepdim=True).nan_to_num(neginf=0.0)
    return (torch.exp(lse - largest)[..., None] * partial).sum(2)


def by_length(length, num_splits, size):
    """Parts that do not end at the end of a block."""
    return -(-length // num_splits)


def rounded_down(length, num_splits, size):
    return max(1, length // num_splits // size) * size
