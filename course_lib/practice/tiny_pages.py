"""Small paged caches for the checks of lesson 08: sequences in blocks that stand anywhere, among what other texts left."""

import torch

from .rungs import here


def decode_step(seq_lens, heads=1, kv_heads=1, head_dim=2, block_size=2, times=1.0, tables=None):
    """(q, k_cache, v_cache, block_tables, seq_lens) of a step with one new token a sequence; the same numbers every time.

    seq_lens: tokens of each sequence, the new one counted. times: q and k are so many times as large. tables: the block ids of
    each sequence, default blocks in a mixed order. q: [num_seqs, heads, head_dim]; the caches: [num_blocks, block_size, kv_heads,
    head_dim]; block_tables: [num_seqs, max_blocks], padded with -1; seq_lens: [num_seqs]. Every slot holds numbers: those behind a
    sequence's last token are another text's.
    """
    return here(*pages(seq_lens, [1] * len(seq_lens), heads, kv_heads, head_dim, block_size, times, tables)[:5])


def chunk_step(seq_lens, new, heads=1, kv_heads=1, head_dim=2, block_size=2, times=1.0, tables=None):
    """(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q): as decode_step, with new[i] new tokens of sequence i.

    q: [sum(new), heads, head_dim]; cu_seqlens_q: [num_seqs + 1], sequence i has the rows cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1.
    """
    return here(*pages(seq_lens, new, heads, kv_heads, head_dim, block_size, times, tables))


def pages(seq_lens, new, heads=1, kv_heads=1, head_dim=2, block_size=2, times=1.0, tables=None):
    blocks = [-(-length // block_size) for length in seq_lens]
    draw = torch.Generator().manual_seed(1000 * sum(seq_lens) + 100 * sum(new) + 10 * heads + head_dim + block_size)
    num_blocks = sum(blocks) + 2
    if tables is None:
        mixed = iter(torch.randperm(num_blocks, generator=draw).tolist())
        tables = [[next(mixed) for _ in range(n)] for n in blocks]
    width = max(1, *map(len, tables))
    shapes = (sum(new), heads, head_dim), *[(num_blocks, block_size, kv_heads, head_dim)] * 2
    q, k_cache, v_cache = ((2 * torch.randn(shape, generator=draw)).round(decimals=1) for shape in shapes)
    return (q * times, k_cache * times, v_cache, torch.tensor([row + [-1] * (width - len(row)) for row in tables]), torch.tensor(seq_lens),
            torch.tensor([0, *new]).cumsum(0))


def new_tokens(slot_mapping, num_blocks=3, block_size=2, kv_heads=1, head_dim=2):
    """(k, v, k_cache, v_cache, slot_mapping) of a step: keys 1, 2, 3, …, values -1, -2, -3, …; the caches hold 0.5 and -0.5 everywhere."""
    return here(*tokens(slot_mapping, num_blocks, block_size, kv_heads, head_dim))


def tokens(slot_mapping, num_blocks=3, block_size=2, kv_heads=1, head_dim=2):
    """As new_tokens, on the CPU."""
    slot_mapping = torch.tensor(slot_mapping, dtype=torch.int64)
    k = torch.arange(1.0, len(slot_mapping) * kv_heads * head_dim + 1).view(-1, kv_heads, head_dim)
    cache = torch.full((num_blocks, block_size, kv_heads, head_dim), 0.5)
    return k, -k, cache, -cache, slot_mapping


def plain(value):
    """What an answer returned, to be compared: floating-point tensors in float32, whatever it computed in."""
    if type(value) in (tuple, list):
        return tuple(map(plain, value))
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
