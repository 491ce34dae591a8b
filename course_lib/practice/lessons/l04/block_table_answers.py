"""Answers to 04.block_table: right ones written differently, and wrong ones with one part replaced."""

from course_lib.errors import ParameterError

from .solutions.block_table import BlockTable


class TableOfSlots:
    """Keeps a list of every slot that it returned."""

    def __init__(self, allocator):
        self.allocator, self.slots, self.block_ids = allocator, [], []

    num_tokens = property(lambda self: len(self.slots))

    def append_slots(self, n):
        size = self.allocator.block_size
        room = len(self.block_ids) * size - len(self.slots)
        more = max(0, n - room + size - 1) // size
        if more:
            got = self.allocator.allocate(more)
            if got is None:
                return None
            self.block_ids.extend(got)
        new = [b * size + i for b in self.block_ids for i in range(size)][len(self.slots) :][:n]
        self.slots.extend(new)
        return new

    def slot(self, position):
        if position < 0 or position >= len(self.slots):
            raise ParameterError("no such position")
        return self.slots[position]

    def free(self):
        self.allocator.free(self.block_ids[::-1])
        self.slots.clear()
        self.block_ids = []


class TableTokenByToken:
    """One token and at most one block at a time; gives the new blocks back if there are not enough."""

    def __init__(self, allocator):
        self.allocator = allocator
        self.block_ids, self.num_tokens = [], 0

    def append_slots(self, n):
        before, slots = (self.num_tokens, len(self.block_ids)), []
        for _ in range(n):
            if self.num_tokens % self.allocator.block_size == 0:
                fresh = self.allocator.allocate()
                if fresh is None:
                    self.allocator.free(self.block_ids[before[1] :])
                    self.num_tokens, self.block_ids = before[0], self.block_ids[: before[1]]
                    return None
                self.block_ids.append(fresh[0])
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots

    def slot(self, position):
        place, offset = divmod(position, self.allocator.block_size)
        if position not in range(self.num_tokens):
            raise ParameterError(f"{position}")
        return self.block_ids[place] * self.allocator.block_size + offset

    def free(self):
        while self.block_ids:
            self.allocator.free([self.block_ids.pop()])
        self.num_tokens = 0


class WrongTable(BlockTable):
    """The right table with one part replaced; see `variant`."""

    need = staticmethod(lambda tokens, size: -(-tokens // size))  # how many blocks so many tokens need
    slot_of = staticmethod(lambda block, position, size, blocks: block * size + position % size)
    joins = staticmethod(lambda old, new: old + new)
    shift = 0  # added to the first position of a step
    grows = True  # num_tokens grows
    early = False  # num_tokens grows before allocate() is called
    keeps = False  # blocks are taken one by one, and kept if there are not enough
    own = False  # every step starts a new block
    bounds = "both"  # what slot checks: "both", "upper", "none", "blocks": the end of the last block
    empty = ""  # what is taken for no room, though n is 0: "fresh", an empty list of blocks, or "n" itself
    gives = "all"  # what free gives back: "all", "none", "but last", "first"
    forgets = True  # free resets block_ids and num_tokens: True, False, or "blocks", "tokens" alone
    returns = "slots"  # "slots", "blocks", "one": a bare slot for one token

    @classmethod
    def variant(cls, **parts):
        return type(
            "BlockTable", (cls,), {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
        )

    def append_slots(self, n):
        size, start = self.allocator.block_size, self.num_tokens
        if self.early:
            self.num_tokens += n
        missing = self.need(start + n, size) - len(self.block_ids)
        if self.own:
            start = len(self.block_ids) * size
            missing = self.need(n, size)
        if self.keeps:
            for _ in range(missing):
                fresh = self.allocator.allocate(1)
                if fresh is None:
                    return None
                self.block_ids += fresh
        else:
            fresh = self.allocator.allocate(max(missing, 0))
            if fresh is None or self.empty == "fresh" and not fresh or self.empty == "n" and not n:
                return None
            self.block_ids = self.joins(self.block_ids, fresh)
        if self.grows and not self.early:
            self.num_tokens = start + n
        positions = range(start + self.shift, start + self.shift + n)
        if self.returns == "blocks":
            return [self.block_ids[p // size] for p in positions]
        slots = [self._at(p) for p in positions]
        return slots[0] if self.returns == "one" and n == 1 else slots

    def _at(self, position):
        size = self.allocator.block_size
        return self.slot_of(self.block_ids[position // size], position, size, self.allocator.num_blocks)

    def slot(self, position):
        end = {"none": position + 1, "blocks": len(self.block_ids) * self.allocator.block_size}
        if self.bounds in ("both", "blocks") and position < 0 or position >= end.get(self.bounds, self.num_tokens):
            raise ParameterError("no")
        return self._at(position)

    def free(self):
        self.allocator.free(
            {"all": self.block_ids, "none": [], "but last": self.block_ids[:-1], "first": self.block_ids[:1]}[
                self.gives
            ]
        )
        if self.forgets in (True, "blocks"):
            self.block_ids = []
        if self.forgets in (True, "tokens"):
            self.num_tokens = 0


class WithoutRollback(TableTokenByToken):
    """Wrong in one point: keeps the new blocks if there are not enough."""

    def append_slots(self, n):
        slots = []
        for _ in range(n):
            if self.num_tokens % self.allocator.block_size == 0:
                fresh = self.allocator.allocate()
                if fresh is None:
                    return None
                self.block_ids += fresh
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots


class CountsNewTokensAlone(BlockTable):
    def append_slots(self, n):
        fresh, start = self.allocator.allocate(-(-n // self.allocator.block_size)), self.num_tokens
        if fresh is None:
            return None
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(p) for p in range(start, start + n)]


class LeavesOneBlock(BlockTable):
    def append_slots(self, n):
        missing = -(-(self.num_tokens + n) // self.allocator.block_size) - len(self.block_ids)
        return None if missing > 0 and missing >= self.allocator.num_free else super().append_slots(n)
