"""The part of written_otherwise.py with lesson 04."""

from collections import Counter

import torch

from course_lib.errors import IntegrityError, LedgerError, ParameterError


class Plain:
    """A right allocator, written as a beginner would: a list and a dict. Each class below spoils one thing in it."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.free_blocks = [i for i in range(num_blocks)]
        self.refs = {i: 0 for i in range(num_blocks)}

    @property
    def num_free(self):
        return len(self.free_blocks)

    def ref_count(self, block_id):
        return self.refs[block_id]

    def allocate(self, n=1):
        if n > self.num_free:
            return None
        out = []
        for _ in range(n):
            b = self.free_blocks.pop()
            self.refs[b] = 1
            out.append(b)
        return out

    def fork(self, block_ids):
        for b in block_ids:
            if self.refs.get(b, 0) == 0:
                raise LedgerError("free")
        for b in block_ids:
            self.refs[b] += 1

    def free(self, block_ids):
        wanted = Counter(block_ids)
        for b in wanted:
            if self.refs.get(b, 0) < wanted[b]:
                raise LedgerError("too often")
        for b in block_ids:
            self.refs[b] -= 1
            if not self.refs[b]:
                self.free_blocks.append(b)

    def check_integrity(self):
        if any((self.refs[b] == 0) != (self.free_blocks.count(b) == 1) for b in range(self.num_blocks)):
            raise IntegrityError("books differ")


class RunsDry(Plain):
    def allocate(self, n=1):
        out = []
        while n and self.free_blocks:
            b = self.free_blocks.pop(0)
            self.refs[b] += 1
            out.append(b)
            n -= 1
        return out if out or not n else None


class TakesThenLooks(Plain):
    def allocate(self, n=1):
        try:
            out = [self.free_blocks.pop() for _ in range(n)]
        except IndexError:
            return None
        self.refs.update({b: 1 for b in out})
        return out


class Raises(Plain):
    def allocate(self, n=1):
        if n > self.num_free:
            raise MemoryError("no blocks left")
        return super().allocate(n)


class Crashes(Plain):
    def allocate(self, n=1):
        out = [self.free_blocks.pop() for _ in range(n)]
        for b in out:
            self.refs[b] = 1
        return out


class FreesAgain(Plain):
    def free(self, block_ids):
        for b in block_ids:
            self.refs[b] = max(0, self.refs[b] - 1)
            if self.refs[b] == 0:
                self.free_blocks.append(b)


class FreesShared(Plain):
    def free(self, block_ids):
        if any(self.refs.get(b, 0) < times for b, times in Counter(block_ids).items()):
            raise LedgerError("not held")
        for b in block_ids:
            self.refs[b] = 0
            self.free_blocks.insert(0, b)


class FreesHalf(Plain):
    def free(self, block_ids):
        for b in block_ids:
            if self.refs.get(b, 0) == 0:
                raise LedgerError(f"block {b} is not held")
            self.refs[b] -= 1
            if self.refs[b] == 0:
                self.free_blocks.append(b)


class FreesTwin(Plain):
    def free(self, block_ids):
        if not all(b in self.refs and self.refs[b] > 0 for b in block_ids):
            raise LedgerError("not held")
        for b in block_ids:
            self.refs[b] -= 1
            if self.refs[b] <= 0:
                self.free_blocks.append(b)


class Dreams(Plain):
    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.next = 0

    def allocate(self, n=1):
        if n > self.num_free:
            return None
        out = [(self.next + i) % self.num_blocks for i in range(n)]
        self.next += n
        self.free_blocks = [b for b in self.free_blocks if b not in out] if len(self.free_blocks) > n else []
        for b in out:
            self.refs[b] = 1
        return out


class NumFreeCalled(Plain):
    def num_free(self):
        return len(self.free_blocks)

    def allocate(self, n=1):
        return None if n > len(self.free_blocks) else [self.free_blocks.pop(0) for _ in range(n)]


class TokensNotBlocks(Plain):
    @property
    def num_free(self):
        return self.block_size * len(self.free_blocks)

    def allocate(self, n=1):
        if n > len(self.free_blocks):
            return None
        return super().allocate(n)


class Trusts(Plain):
    def check_integrity(self):
        return True


class ForksOnce(Plain):
    def fork(self, block_ids):
        if any(not self.refs.get(b) for b in block_ids):
            raise LedgerError("free")
        self.refs[block_ids[0]] += 1


class Chapters:
    """A right block table, block by block in a list of lists. Each class below spoils one thing in it."""

    def __init__(self, allocator):
        self.allocator = allocator
        self.block_ids = []
        self.num_tokens = 0

    def blocks_for(self, tokens):
        return (tokens + self.allocator.block_size - 1) // self.allocator.block_size

    def append_slots(self, n):
        more = self.blocks_for(self.num_tokens + n) - self.blocks_for(self.num_tokens)
        got = self.allocator.allocate(more)
        if got is None:
            return None
        for b in got:
            self.block_ids.append(b)
        slots = []
        for _ in range(n):
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots

    def slot(self, position):
        if position < 0 or position >= self.num_tokens:
            raise ParameterError("outside")
        return (
            self.allocator.block_size * self.block_ids[position // self.allocator.block_size]
            + position % self.allocator.block_size
        )

    def free(self):
        self.allocator.free(self.block_ids)
        self.block_ids = []
        self.num_tokens = 0


class OneMore(Chapters):
    def blocks_for(self, tokens):
        return tokens // self.allocator.block_size + 1 if tokens else 0


class FromTheBack(Chapters):
    def slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size


class InFront(Chapters):
    def append_slots(self, n):
        more = self.blocks_for(self.num_tokens + n) - self.blocks_for(self.num_tokens)
        got = self.allocator.allocate(more)
        if got is None:
            return None
        for b in got:
            self.block_ids.insert(0, b)
        self.num_tokens += n
        return [self.slot(self.num_tokens - n + i) for i in range(n)]


class InARow(Chapters):
    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        return position


class ByNumber(Chapters):
    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        return (
            self.block_ids[position // self.allocator.block_size] * self.allocator.num_blocks
            + position % self.allocator.block_size
        )


class Forgets(Chapters):
    def free(self):
        self.block_ids, self.num_tokens = [], 0


class Insists(Chapters):
    def append_slots(self, n):
        slots = []
        for _ in range(n):
            if self.num_tokens == len(self.block_ids) * self.allocator.block_size:
                got = self.allocator.allocate(1)
                if not got:
                    return None
                self.block_ids.append(got[0])
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots


class Complains(Chapters):
    def append_slots(self, n):
        more = self.blocks_for(self.num_tokens + n) - self.blocks_for(self.num_tokens)
        if more > self.allocator.num_free:
            raise RuntimeError("out of memory")
        return super().append_slots(n)


class Starts(Chapters):
    """Wrong in a way of its own: in a block every slot is given backwards."""

    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + size - 1 - position % size


def slots_first_row(block_tables, seq_ids, positions, block_size):
    return torch.tensor([int(block_tables[0][p // block_size]) * block_size + int(p) % block_size for p in positions])


def slots_no_offset(block_tables, seq_ids, positions, block_size):
    return torch.stack([block_tables[s, p // block_size] * block_size for s, p in zip(seq_ids, positions)])


def slots_divided(block_tables, seq_ids, positions, block_size):
    blocks = block_tables[seq_ids, (positions / block_size).long()]
    return (blocks * block_size + positions % block_size) / 1


def slots_mixed_up(block_tables, seq_ids, positions, block_size):
    return block_tables[seq_ids, positions % block_size % block_tables.shape[1]] * block_size + positions // block_size


def slots_rounded(block_tables, seq_ids, positions, block_size):
    last = block_tables.shape[1] - 1
    places = [
        min(last, -(-int(p + 1) // block_size) if (p + 1) % block_size == 0 else int(p) // block_size)
        for p in positions
    ]
    return torch.tensor(
        [int(block_tables[s, at]) * block_size + int(p) % block_size for s, at, p in zip(seq_ids, places, positions)]
    )


def slots_backwards(block_tables, seq_ids, positions, block_size):
    blocks = block_tables[seq_ids, positions // block_size]
    return (blocks + 1) * block_size - 1 - positions % block_size


def gather_whole(k_cache, v_cache, block_table, num_tokens):
    used = [b for b in block_table.tolist() if b >= 0]
    return torch.cat([k_cache[b] for b in used]), torch.cat([v_cache[b] for b in used])


def gather_floor(k_cache, v_cache, block_table, num_tokens):
    full = num_tokens // k_cache.shape[1]
    return tuple(
        x.index_select(0, block_table[:full]).reshape(-1, *x.shape[2:])[:num_tokens] for x in (k_cache, v_cache)
    )


def gather_masked(k_cache, v_cache, block_table, num_tokens):
    needed = -(-num_tokens // k_cache.shape[1])
    mask = torch.zeros(len(k_cache), dtype=torch.bool)
    mask[block_table[:needed]] = True
    return k_cache[mask].flatten(0, 1)[:num_tokens], v_cache[mask].flatten(0, 1)[:num_tokens]


def gather_keys(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    rows = [(int(block_table[p // size]), p % size) for p in range(num_tokens)]
    both = torch.stack([k_cache[b, o] for b, o in rows])
    return both, both.clone()


def gather_last(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    rows = [(int(block_table[p // size]), p % size) for p in range(num_tokens - 1)]
    empty = k_cache[:0, 0]
    return tuple(torch.stack([x[b, o] for b, o in rows]) if rows else empty for x in (k_cache, v_cache))


def gather_upside_down(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    slots = torch.stack([block_table[p // size] * size + p % size for p in range(num_tokens)])
    return k_cache.flatten(0, 1)[slots].flip(0), v_cache.flatten(0, 1)[slots].flip(0)


def size_smallest(lengths, block_sizes, most_wasted):
    for size in sorted(block_sizes):
        blocks = sum((length + size - 1) // size for length in lengths)
        if (blocks * size - sum(lengths)) / (blocks * size) <= most_wasted:
            return {"block_size": size, "blocks": blocks, "wasted": blocks * size - sum(lengths)}


def size_together(lengths, block_sizes, most_wasted):
    fits = {}
    for size in block_sizes:
        blocks = (sum(lengths) + size - 1) // size
        fits[size] = blocks, blocks * size - sum(lengths)
    good = [s for s, (blocks, wasted) in fits.items() if wasted <= most_wasted * blocks * s]
    return {"block_size": max(good), "blocks": fits[max(good)][0], "wasted": fits[max(good)][1]} if good else None


def size_plus_one(lengths, block_sizes, most_wasted):
    best = None
    for size in sorted(block_sizes):
        blocks = sum(length // size + 1 for length in lengths)
        wasted = sum((length // size + 1) * size - length for length in lengths)
        if wasted / (blocks * size) <= most_wasted:
            best = dict(block_size=size, blocks=blocks, wasted=wasted)
    return best


def size_of_tokens(lengths, block_sizes, most_wasted):
    tokens, best = sum(lengths), None
    for size in sorted(block_sizes):
        blocks = sum(-(-length // size) for length in lengths)
        if (blocks * size - tokens) / tokens <= most_wasted:
            best = {"block_size": size, "blocks": blocks, "wasted": blocks * size - tokens}
    return best


def size_strict(lengths, block_sizes, most_wasted):
    sizes = sorted(block_sizes)[::-1]
    for size in sizes:
        blocks = sum(-(-length // size) for length in lengths)
        free = blocks * size - sum(lengths)
        if free < most_wasted * blocks * size:
            return {"block_size": size, "blocks": blocks, "wasted": free}
    return None


def size_random(lengths, block_sizes, most_wasted):
    return {"block_size": 16, "blocks": 1, "wasted": 0}


def leak_once(make_allocator):
    """Everything once, each on one's own, and never again."""
    allocator = make_allocator(4, 1)
    if allocator.allocate(9) is None and allocator.num_free != 4:
        return "allocate", "lost"
    one, two = allocator.allocate(2)
    if allocator.num_free != 2:
        return "allocate", "twice"
    allocator.fork([one, two])
    if allocator.ref_count(two) != 2:
        return "fork", "count"
    allocator.free([one, two])
    if allocator.num_free != 2:
        return "free", "twice"
    if allocator.ref_count(one) != 1:
        return "free", "count"
    allocator.free([one, two])
    if allocator.num_free != 4:
        return "free", "lost"


def leak_alone(make_allocator):
    """Three rounds, and nobody shares anything."""
    allocator = make_allocator(8, 4)
    for _ in range(3):
        allocator.allocate(20)
        if allocator.num_free < 8:
            return "allocate", "lost"
        blocks = allocator.allocate(3)
        if allocator.num_free > 5:
            return "allocate", "twice"
        allocator.free(blocks)
        if allocator.num_free < 8:
            return "free", "lost"
    return None


def leak_at_the_end(make_allocator):
    """All calls first, one look after them."""
    allocator = make_allocator(8, 4)
    for _ in range(3):
        allocator.allocate(20)
        blocks = allocator.allocate(3)
        allocator.fork(blocks)
        allocator.free(blocks)
        counts = [allocator.ref_count(b) for b in blocks]
        if allocator.num_free != 5:
            return "free", "lost" if allocator.num_free < 5 else "twice"
        if counts != [1, 1, 1]:
            return "free", "count"
        allocator.free(blocks)
        if allocator.num_free != 8:
            return "free", "lost" if allocator.num_free < 8 else "twice"
    return None


def leak_guess(make_allocator):
    return "free", "lost"


CASES = {
    "04.allocator": [
        ("what is there is given", RunsDry),
        ("keeps what it took", TakesThenLooks),
        ("out of memory is raised", Raises),
        ("out of memory is raised", Crashes),
        ("freed twice", FreesAgain),
        ("freed by its first holder", FreesShared),
        ("half of a list is freed", FreesHalf),
        ("names a block twice", FreesTwin),
        (None, Dreams),
        ("is a method", NumFreeCalled),
        ("slots are counted", TokensNotBlocks),
        ("never complains", Trusts),
        ("counts nothing, or not all", ForksOnce),
    ],
    "04.block_table": [
        ("one block too many", OneMore),
        ("counts from the end", FromTheBack),
        ("order of the blocks is lost", InFront),
        ("position is taken for the slot", InARow),
        ("block_size and num_blocks", ByNumber),
        ("gives nothing back", Forgets),
        ("keeps what it took", Insists),
        ("out of memory is raised", Complains),
        (None, Starts),
    ],
    "04.slot_mapping": [
        ("first table", slots_first_row),
        ("offset is forgotten", slots_no_offset),
        ("no int64", slots_divided),
        ("division and remainder", slots_mixed_up),
        ("one off at the edge", slots_rounded),
        (None, slots_backwards),
    ],
    "04.gather": [
        ("behind the last token", gather_whole),
        ("left out where it is not full", gather_floor),
        ("order of the blocks", gather_masked),
        ("from the keys", gather_keys),
        ("last token is left out", gather_last),
        (None, gather_upside_down),
    ],
    "04.page_size": [
        ("smallest size", size_smallest),
        ("taken together", size_together),
        ("one block too many", size_plus_one),
        ("share is taken of the tokens", size_of_tokens),
        ("allowed is refused", size_strict),
        (None, size_random),
    ],
    "04.find_the_leak": [
        ("tried once", leak_once),
        ("ever shared", leak_alone),
        ("only at the end", leak_at_the_end),
        (None, leak_guess),
    ],
}
