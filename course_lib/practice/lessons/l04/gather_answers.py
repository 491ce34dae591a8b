"""Answers to 04.gather: right ones written differently, and wrong ones with one part replaced."""

import torch


def gather_by_slot(k_cache, v_cache, block_table, num_tokens):
    """By the slot of each token."""
    size = k_cache.shape[1]
    positions = torch.arange(num_tokens)
    slots = block_table[positions // size] * size + positions % size
    return k_cache.flatten(0, 1)[slots], v_cache.flatten(0, 1)[slots]


def gather_by_loop(k_cache, v_cache, block_table, num_tokens):
    """Block by block; of the last block only the filled part."""
    k, v, left = [], [], num_tokens
    for b in block_table.tolist():
        if left <= 0:
            break
        k.append(k_cache[b, :left])
        v.append(v_cache[b, :left])
        left -= k_cache.shape[1]
    return torch.cat(k), torch.cat(v)


def gather_by_index(k_cache, v_cache, block_table, num_tokens):
    used = block_table.clamp(min=0)
    return [
        torch.index_select(x, 0, used).reshape(-1, *x.shape[2:]).narrow(0, 0, num_tokens) for x in (k_cache, v_cache)
    ]


def answer_with(
    *,
    table=lambda t, n, size: t[: -(-n // size)],
    cut=lambda x, n, size: x[:n],
    both=lambda k, v: (k, v),
    join=lambda x: x.flatten(0, 1),
):
    """A wrong answer: the right one with one part replaced."""

    def wrong(k_cache, v_cache, block_table, num_tokens):
        size = k_cache.shape[1]
        k, v = (cut(join(x[table(block_table, num_tokens, size)]), num_tokens, size) for x in (k_cache, v_cache))
        return both(k, v)

    return wrong


def contiguous_from_first_block(k_cache, v_cache, block_table, num_tokens):
    """Reads the sequence as if it were contiguous from its first block on."""
    start = int(block_table[0]) * k_cache.shape[1]
    return tuple(x.flatten(0, 1)[start : start + num_tokens] for x in (k_cache, v_cache))


def block_ids_as_slots(k_cache, v_cache, block_table, num_tokens):
    return tuple(x.flatten(0, 1)[block_table.clamp(min=0)][:num_tokens] for x in (k_cache, v_cache))
