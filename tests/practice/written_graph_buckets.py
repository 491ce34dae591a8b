"""Wrong answers to 13.graph_buckets as people write them; see written_otherwise.py. RIGHT: other right ones."""

import torch


class Buffers:
    """A right answer, whose parts the others replace."""

    def __init__(self, most, width):
        self.token_ids = torch.zeros(most, dtype=torch.int64)
        self.positions = torch.zeros(most, dtype=torch.int64)
        self.slots = torch.zeros(most, dtype=torch.int64)
        self.seq_lens = torch.zeros(most, dtype=torch.int64)
        self.block_tables = torch.zeros((most, width), dtype=torch.int32)
        self.sizes = [s for s in [1, 2, 4] + list(range(8, most, 8)) if s < most] + [most]

    def size_for(self, n):
        for size in self.sizes:
            if size >= n:
                return size

    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        n = len(token_ids)
        size = self.size_for(n)
        if size is None:
            return None
        self.write(n, token_ids, positions, slots, seq_lens, block_tables)
        self.pad(n, size)
        return size

    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        self.token_ids[:n] = token_ids
        self.positions[:n] = positions
        self.slots[:n] = slots
        self.seq_lens[:n] = seq_lens
        self.block_tables[:n, : block_tables.shape[1]] = block_tables

    def pad(self, n, size):
        self.slots[n:size] = -1
        self.seq_lens[n:size] = 0


def altered(name, **methods):
    return type(name, (Buffers,), methods)


def resets_slots(self, n, size):
    self.slots[n:size] = -1


def resets_lengths(self, n, size):
    self.seq_lens[n:size] = 0


def pads_first(self, n, size):
    if n < size:
        self.slots[n], self.seq_lens[n] = -1, 0


def pads_from_the_second(self, n, size):
    self.slots[n + 1 : size], self.seq_lens[n + 1 : size] = -1, 0


def pads_with_zeros(self, n, size):
    for column in (self.token_ids, self.positions, self.slots, self.seq_lens, self.block_tables):
        column[n:size] = 0


def pads_with_minus_one(self, n, size):
    for column in (self.token_ids, self.positions, self.slots):
        column[n:size] = -1
    self.seq_lens[n:size] = 0


def pads_table(self, n, size):
    self.slots[n:size], self.block_tables[n:size] = -1, -1


def pads_far_below(self, n, size):
    self.slots[n:size], self.seq_lens[n:size] = -(10**6), 0


def repeats_last(self, n, size):
    for column in (self.token_ids, self.positions, self.slots, self.seq_lens, self.block_tables):
        column[n:size] = column[n - 1].clone()


class PadsOnce(Buffers):
    def __init__(self, most, width):
        super().__init__(most, width)
        self.slots.fill_(-1)

    def pad(self, n, size):
        pass


class PadsFirstStepOnly(Buffers):
    is_padded = False

    def pad(self, n, size):
        if not self.is_padded:
            super().pad(n, size)
        self.is_padded = True


class NewTensors(Buffers):
    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        most = len(self.slots)
        rest = torch.zeros(most - n, dtype=torch.int64)
        self.token_ids, self.positions = torch.cat([token_ids, rest]), torch.cat([positions, rest])
        self.slots, self.seq_lens = torch.cat([slots, rest - 1]), torch.cat([seq_lens, rest])
        self.block_tables = torch.zeros_like(self.block_tables)
        self.block_tables[:n, : block_tables.shape[1]] = block_tables


class OtherMemory(Buffers):
    """The same tensors, with the memory of others."""

    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        super().write(n, token_ids, positions, slots, seq_lens, block_tables)
        self.slots.data = torch.nn.functional.pad(slots, (0, len(self.slots) - n), value=-1)


class NewSlotsAfterwards(Buffers):
    def pad(self, n, size):
        super().pad(n, size)
        self.slots = self.slots.clone()


class PadsTheStep(Buffers):
    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        n, size = len(token_ids), self.size_for(len(token_ids))
        if size is None:
            return None
        for column, rest in ((token_ids, 0), (positions, 0), (slots, -1), (seq_lens, 0)):
            column.resize_(size)[n:] = rest
        self.token_ids[:size], self.positions[:size] = token_ids, positions
        self.slots[:size], self.seq_lens[:size] = slots, seq_lens
        self.block_tables[:n, : block_tables.shape[1]] = block_tables
        return size


class ClampsTheStep(Buffers):
    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        super().write(n, token_ids, positions, slots, seq_lens, block_tables.clamp_(min=0))


class OneMemory(Buffers):
    token_ids, positions = torch.zeros(64, dtype=torch.int64), torch.zeros(64, dtype=torch.int64)
    slots, seq_lens = torch.zeros(64, dtype=torch.int64), torch.zeros(64, dtype=torch.int64)
    block_tables = torch.zeros((64, 16), dtype=torch.int32)

    def __init__(self, most, width):
        self.sizes = [s for s in [1, 2, 4] + list(range(8, most, 8)) if s < most] + [most]


class Raises(Buffers):
    def size_for(self, n):
        if n > self.sizes[-1]:
            raise ValueError(f"{n} sequences are too many")
        return super().size_for(n)


class SizesOfTheClass(Buffers):
    def __init__(self, most, width):
        super().__init__(most, width)
        type(self).sizes = self.__dict__.pop("sizes")


class NeverAsks(Buffers):
    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        n = len(token_ids)
        self.write(n, token_ids, positions, slots, seq_lens, block_tables)
        self.pad(n, self.size_for(n))
        return self.size_for(n)


class ForgetsSmallSizes(Buffers):
    def size_for(self, n):
        while self.sizes and self.sizes[0] < n:
            self.sizes.pop(0)
        return self.sizes[0] if self.sizes else None


class WholeRows(Buffers):
    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        super().write(n, token_ids, positions, slots, seq_lens, block_tables[:, :0])
        self.block_tables[:n] = block_tables


class PositionsByLength(Buffers):
    def write(self, n, token_ids, positions, slots, seq_lens, block_tables):
        super().write(n, token_ids, seq_lens, slots, seq_lens, block_tables)


def sized(make):
    def __init__(self, most, width):
        Buffers.__init__(self, most, width)
        self.sizes = make(most)

    return altered("Sized", __init__=__init__)


class ClearsAll(Buffers):
    """Everything after the step, up to the end of the buffers; other tokens and positions that exist."""

    def pad(self, n, size):
        self.slots[n:].fill_(-1)
        self.seq_lens[n:].zero_()
        self.token_ids[n:], self.positions[n:], self.block_tables[n:] = 1, 5, 0


class RowByRow(Buffers):
    def __init__(self, most, width):
        super().__init__(most, width)
        self.sizes = list(dict.fromkeys(min(most, size) for size in [1, 2, 4, *range(8, most + 8, 8)]))

    def pad(self, n, size):
        for i in range(n, size):
            self.slots[i], self.seq_lens[i] = -1, 0


class ByName(Buffers):
    def size_for(self, n):
        return min((size for size in self.sizes if size >= n), default=None)

    def fill(self, **step):
        n = step["slots"].numel()
        if (size := self.size_for(n)) is None:
            return None
        for name, column in step.items():
            mine = getattr(self, name)
            mine.fill_(-1 if name == "slots" else 0)
            mine[:n].view(n, -1)[:, : column.view(n, -1).shape[1]] = column.view(n, -1)
        return size


RIGHT = {"13.graph_buckets": [Buffers, ClearsAll, RowByRow, ByName]}
CASES = {
    "13.graph_buckets": [
        ("rows of padding are not written", altered("NoPadding", pad=lambda self, n, size: None)),
        ("length of padding is left", altered("SlotsOnly", pad=resets_slots)),
        ("slot of padding is left", altered("LengthsOnly", pad=resets_lengths)),
        (None, altered("FirstOnly", pad=pads_first)),
        (None, altered("FromTheSecond", pad=pads_from_the_second)),
        ("writes to slot 0", altered("Zeros", pad=pads_with_zeros)),
        ("does not exist", altered("MinusOne", pad=pads_with_minus_one)),
        (None, altered("TableOnly", pad=pads_table)),
        (None, altered("FarBelow", pad=pads_far_below)),
        ("last sequence is repeated", altered("RepeatsLast", pad=repeats_last)),
        ("padding is written once", PadsOnce),
        ("padding is written once", PadsFirstStepOnly),
        ("replaced by new tensors", NewTensors),
        ("replaced by new tensors", OtherMemory),
        ("replaced by new tensors", NewSlotsAfterwards),
        ("step's tensors are changed", ClampsTheStep),
        (None, PadsTheStep),
        ("share one memory", OneMemory),
        (None, Raises),
        ("share one memory", SizesOfTheClass),
        ("without a graph", NeverAsks),
        (None, ForgetsSmallSizes),
        ("as wide as the buffer", WholeRows),
        (None, PositionsByLength),
        ("powers of two", sized(lambda most: [*(s for s in (1, 2, 4, 8, 16, 32, 64, 128) if s < most), most])),
        ("1, 2 and 4 are no sizes", sized(lambda most: [*range(8, most, 8), most])),
        ("every number", sized(lambda most: [*range(1, most + 1)])),
        (None, sized(lambda most: (*(s for s in (1, 2, 4, *range(8, most, 8)) if s < most), most))),
        ("`most` is no size", sized(lambda most: [s for s in (1, 2, 4, *range(8, most + 1, 8)) if s <= most])),
    ]
}
