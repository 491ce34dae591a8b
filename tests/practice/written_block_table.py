"""Wrong answers to 04.block_table."""

from course_lib.errors import ParameterError


class Plain:
    """A right block table. Each class below changes one thing in it."""

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


class OneMore(Plain):
    def blocks_for(self, tokens):
        return tokens // self.allocator.block_size + 1 if tokens else 0


class WithoutBounds(Plain):
    def slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size


class InFront(Plain):
    def append_slots(self, n):
        more = self.blocks_for(self.num_tokens + n) - self.blocks_for(self.num_tokens)
        got = self.allocator.allocate(more)
        if got is None:
            return None
        for b in got:
            self.block_ids.insert(0, b)
        self.num_tokens += n
        return [self.slot(self.num_tokens - n + i) for i in range(n)]


class PositionAsSlot(Plain):
    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        return position


class TimesNumBlocks(Plain):
    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        return (
            self.block_ids[position // self.allocator.block_size] * self.allocator.num_blocks
            + position % self.allocator.block_size
        )


class Forgets(Plain):
    def free(self):
        self.block_ids, self.num_tokens = [], 0


class BlockByBlock(Plain):
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


class Raises(Plain):
    def append_slots(self, n):
        more = self.blocks_for(self.num_tokens + n) - self.blocks_for(self.num_tokens)
        if more > self.allocator.num_free:
            raise RuntimeError("out of memory")
        return super().append_slots(n)


class Reversed(Plain):
    """Not a known mistake: the slots of each block are in reverse order."""

    def slot(self, position):
        if not 0 <= position < self.num_tokens:
            raise ParameterError("outside")
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + size - 1 - position % size


class NoneForNothing(Plain):
    def append_slots(self, n):
        return super().append_slots(n) if n else None


class RaisesWhenEmpty(Plain):
    def free(self):
        if not self.block_ids:
            raise ParameterError("there is nothing to free")
        super().free()


CASES = {
    "04.block_table": [
        ("`append_slots(0)` returns None", NoneForNothing),
        ("without blocks raises an error", RaisesWhenEmpty),
        ("one block too many", OneMore),
        ("accepts negative positions", WithoutBounds),
        ("order of the blocks is lost", InFront),
        ("position is returned as the slot", PositionAsSlot),
        ("block_size and num_blocks", TimesNumBlocks),
        ("does not free the blocks", Forgets),
        ("keeps the blocks that it took", BlockByBlock),
        ("exception is raised where None", Raises),
        (None, Reversed),
    ]
}
