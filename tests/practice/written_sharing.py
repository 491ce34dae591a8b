"""Wrong answers to 05.fork and 05.copy_on_write; CASES has those to the rest of lesson 05 too."""

from written_eviction import CASES as EVICTION
from written_prefix import CASES as PREFIX


class ForkAll:
    """A right table, from which the wrong ones here are made."""

    def __init__(self, allocator):
        self.allocator = allocator
        self.block_ids = []
        self.num_tokens = 0

    def append_slots(self, n):
        size = self.allocator.block_size
        slots = []
        for _ in range(n):
            if self.num_tokens % size == 0:
                new = self.allocator.allocate(1)
                if new is None:
                    return None
                self.block_ids.extend(new)
            slots.append(self.block_ids[-1] * size + self.num_tokens % size)
            self.num_tokens += 1
        return slots

    def fork(self):
        child = type(self).__new__(type(self))
        child.__dict__.update(self.__dict__)
        child.block_ids = [b for b in self.block_ids]
        for b in self.block_ids:
            self.allocator.fork([b])
        return child

    def free(self):
        for b in self.block_ids[::-1]:
            self.allocator.free([b])
        self.block_ids.clear()
        self.num_tokens = 0


class ForkUncounted(ForkAll):
    def fork(self):
        child = type(self)(self.allocator)
        child.num_tokens = self.num_tokens
        for b in self.block_ids:
            child.block_ids.append(b)
        return child


class ForkOneList(ForkAll):
    def fork(self):
        import copy

        child = copy.copy(self)
        self.allocator.fork(self.block_ids)
        return child


class ForkForgetsTokens(ForkAll):
    def fork(self):
        child = type(self)(self.allocator)
        child.block_ids.extend(self.block_ids)
        self.allocator.fork(child.block_ids)
        return child


class ForkDeep(ForkAll):
    """Makes an empty table with as many slots."""

    def fork(self):
        child = type(self)(self.allocator)
        if self.num_tokens:
            child.append_slots(self.num_tokens)
        return child


class ForkTwice(ForkAll):
    def fork(self):
        child = super().fork()
        self.allocator.fork(child.block_ids)
        return child


class ForkLeaks(ForkAll):
    def free(self):
        self.block_ids, self.num_tokens = [], 0


class ForkTakesAll(ForkAll):
    def free(self):
        for b in reversed(self.block_ids):
            while self.allocator.ref_count(b):
                self.allocator.free([b])
        self.block_ids, self.num_tokens = [], 0


class ForkForwards(ForkAll):
    def free(self):
        for b in list(self.block_ids):
            self.allocator.free([b])
        self.block_ids, self.num_tokens = [], 0


class ForkKeepsNames(ForkAll):
    def free(self):
        self.allocator.free(list(reversed(self.block_ids)))


class ForkNothing(ForkAll):
    def fork(self):
        self.child = super().fork()


class ForkDropsFirst(ForkAll):
    """An unknown mistake: the fork has no first block."""

    def fork(self):
        child = super().fork()
        self.allocator.free(child.block_ids[:1])
        del child.block_ids[:1]
        return child


class Copying(ForkAll):
    """Copy-on-write in parts, token by token; right as it is."""

    def slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size

    def needs_copy(self):
        return self.num_tokens % self.allocator.block_size != 0 and self.allocator.ref_count(self.block_ids[-1]) > 1

    def copy(self, fresh):
        old = self.block_ids.pop()
        self.block_ids.append(fresh)
        self.allocator.copies.append((old, fresh))
        self.allocator.free([old])

    def room(self, n):
        size = self.allocator.block_size
        blocks = (self.num_tokens + n + size - 1) // size - len(self.block_ids)
        return blocks + bool(n and self.needs_copy()) <= self.allocator.num_free

    def append_slots(self, n):
        if not self.room(n):
            return None
        slots = []
        for _ in range(n):
            if self.num_tokens % self.allocator.block_size == 0:
                self.block_ids += self.allocator.allocate()
            elif self.needs_copy():
                self.copy(self.allocator.allocate()[0])
            slots.append(self.slot(self.num_tokens))
            self.num_tokens += 1
        return slots


class CopyNever(Copying):
    def needs_copy(self):
        return False


class CopyAlways(Copying):
    """Takes a new block for each call that begins inside a block."""

    def append_slots(self, n):
        if n and self.num_tokens % self.allocator.block_size and self.allocator.num_free:
            self.copy(self.allocator.allocate()[0])
        return super().append_slots(n)


class CopyBackwards(Copying):
    def copy(self, fresh):
        old, self.block_ids[-1] = self.block_ids[-1], fresh
        self.allocator.copies += [(fresh, old)]
        self.allocator.free([old])


class CopySilent(Copying):
    def copy(self, fresh):
        old, self.block_ids[-1] = self.block_ids[-1], fresh
        self.allocator.free([old])


class CopyReplaces(Copying):
    """Drops the copies of other tables that are pending."""

    def copy(self, fresh):
        self.allocator.copies = [(self.block_ids[-1], fresh)]
        self.allocator.free([self.block_ids[-1]])
        self.block_ids[-1] = fresh


class CopyLeaks(Copying):
    def copy(self, fresh):
        self.allocator.copies.append((self.block_ids[-1], fresh))
        self.block_ids[-1] = fresh


class CopyFirstBlock(Copying):
    def copy(self, fresh):
        old = self.block_ids.pop()
        self.block_ids.append(fresh)
        self.allocator.copies.append((self.block_ids[0], fresh))
        self.allocator.free([old])


class CopyHalfway(Copying):
    def append_slots(self, n):
        slots = []
        while len(slots) < n:
            if self.num_tokens % self.allocator.block_size == 0 or self.needs_copy():
                fresh = self.allocator.allocate()
                if fresh is None:
                    return None
                if self.num_tokens % self.allocator.block_size:
                    self.copy(fresh[0])
                else:
                    self.block_ids.append(fresh[0])
            slots.append(self.slot(self.num_tokens))
            self.num_tokens += 1
        return slots


class CopyFullToo(Copying):
    def append_slots(self, n):
        if n and self.block_ids and self.allocator.ref_count(self.block_ids[-1]) > 1:
            size = self.allocator.block_size
            blocks = (self.num_tokens + n + size - 1) // size - len(self.block_ids)
            if blocks + 1 > self.allocator.num_free:
                return None
            self.copy(self.allocator.allocate()[0])
        return super().append_slots(n)


class CopyStands(Copying):
    def append_slots(self, n):
        slots = super().append_slots(n)
        if slots is not None:
            self.num_tokens -= n
        return slots


class CopyOneSlotLate(Copying):
    """An unknown mistake: every slot is one too large."""

    def append_slots(self, n):
        slots = super().append_slots(n)
        return slots and [slot + 1 for slot in slots]


class ForkSorted(ForkAll):
    def fork(self):
        child = super().fork()
        child.block_ids.sort()
        return child


CASES = {
    "05.fork": [
        ("order of the blocks is lost", ForkSorted),
        ("counts are not raised", ForkUncounted),
        ("share one list", ForkOneList),
        ("of the fork is not set", ForkForgetsTokens),
        ("takes new blocks", ForkDeep),
        ("raised twice", ForkTwice),
        ("releases no block", ForkLeaks),
        ("references of other tables", ForkTakesAll),
        ("first block is released first", ForkForwards),
        ("still holds its block ids", ForkKeepsNames),
        ("returns nothing", ForkNothing),
        (None, ForkDropsFirst),
    ],
    "05.copy_on_write": [
        ("pending copies of other tables are lost", CopyReplaces),
        ("a shared block is written", CopyNever),
        ("although no other table shares it", CopyAlways),
        ("wrong direction", CopyBackwards),
        ("not reported", CopySilent),
        ("shared block is not released", CopyLeaks),
        ("wrong block is copied", CopyFirstBlock),
        ("although not all of them fit", CopyHalfway),
        ("a full block is copied", CopyFullToo),
        ("`num_tokens` is not raised", CopyStands),
        (None, CopyOneSlotLate),
    ],
    **PREFIX,
    **EVICTION,
}
