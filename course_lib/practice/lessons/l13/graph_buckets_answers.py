"""Other right answers to 13.graph_buckets."""

from bisect import bisect_left

import torch

FIELDS = ("token_ids", "positions", "slots", "seq_lens")


class BuffersByBisection:
    """One tensor for all numbers of a row, whose columns have the names; all rows are cleared first."""

    def __init__(self, most, width):
        self.memory = torch.zeros(4, most, dtype=torch.int64)
        self.token_ids, self.positions, self.slots, self.seq_lens = self.memory
        self.block_tables = torch.full((most, width), -1, dtype=torch.int32)
        self.sizes = sorted({size for size in (1, 2, 4, most, *range(8, most, 8)) if size <= most})

    def size_for(self, n):
        at = bisect_left(self.sizes, n)
        return self.sizes[at] if at < len(self.sizes) else None

    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        n = len(token_ids)
        self.memory.zero_()
        self.slots.fill_(-1)
        if (size := self.size_for(n)) is None:
            return None
        self.memory[:, :n] = torch.stack([token_ids, positions, slots, seq_lens])
        self.block_tables[:n].narrow(1, 0, block_tables.shape[1]).copy_(block_tables)
        return size


class BuffersByColumns:
    """Pads each column to the size first, and copies it then. Its own tokens stay in rows of padding."""

    def __init__(self, most, width):
        self.sizes, size = [], 1
        while size < most:
            self.sizes.append(size)
            size = 2 * size if size < 8 else size + 8
        self.sizes.append(most)
        for name in FIELDS:
            setattr(self, name, torch.zeros(most, dtype=torch.int64))
        self.block_tables = torch.zeros((most, width), dtype=torch.int32)

    def size_for(self, n):
        for size in self.sizes:
            if n <= size:
                return size

    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        size = self.size_for(n := token_ids.shape[0])
        if size is not None:
            for name, column, rest in zip(FIELDS, (token_ids, positions, slots, seq_lens), (7, 3, -1, 0)):
                getattr(self, name)[:size].copy_(torch.cat([column, column.new_full((size - n,), rest)]))
            for row, blocks in enumerate(block_tables):
                self.block_tables[row, : len(blocks)] = blocks
        return size
