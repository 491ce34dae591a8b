"""Answers to 04.slot_mapping: right ones written differently, and wrong ones with one part replaced."""

import torch


def slots_by_loop(block_tables, seq_ids, positions, block_size):
    """One token at a time."""
    slots = torch.empty(len(positions), dtype=torch.int64)
    for i in range(len(positions)):
        place, offset = divmod(int(positions[i]), block_size)
        slots[i] = block_tables[seq_ids[i]][place] * block_size + offset
    return slots


def slots_by_sequence(block_tables, seq_ids, positions, block_size):
    """Computes every slot of every sequence first, and selects those of the tokens."""
    every = (block_tables[:, :, None] * block_size + torch.arange(block_size)).flatten(1)
    return every[seq_ids, positions]


def slots_flat(block_tables, seq_ids, positions, block_size):
    """The tables as one flat row, as a kernel reads them."""
    at = seq_ids * block_tables.shape[1] + torch.div(positions, block_size, rounding_mode="floor")
    return torch.take(block_tables, at).mul(block_size).add(positions.remainder(block_size))


def answer_with(
    *,
    block=lambda p, size, blocks: p // size,
    offset=lambda p, size: p % size,
    scale=lambda size, tables: size,
    row=lambda ids: ids,
    done=lambda slots: slots,
    order=lambda tables: tables,
):
    """A wrong answer: the right one with one part replaced."""

    def wrong(block_tables, seq_ids, positions, block_size):
        tables = order(block_tables)
        at = block(positions, block_size, tables.shape[1]).clamp(max=tables.shape[1] - 1)
        return done(tables[row(seq_ids), at] * scale(block_size, tables) + offset(positions, block_size))

    return wrong
