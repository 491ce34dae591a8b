"""Wrong answers to 04.allocator."""

from collections import Counter

from course_lib.errors import IntegrityError, LedgerError


class Plain:
    """A right allocator as a beginner writes it, with a list and a dict. Each class below changes one thing in it."""

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
            raise IntegrityError("the free list and the counts differ")


class ReturnsFewer(Plain):
    def allocate(self, n=1):
        out = []
        while n and self.free_blocks:
            b = self.free_blocks.pop(0)
            self.refs[b] += 1
            out.append(b)
            n -= 1
        return out if out or not n else None


class TakesThenChecks(Plain):
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


class FreesTwice(Plain):
    def free(self, block_ids):
        if not all(b in self.refs and self.refs[b] > 0 for b in block_ids):
            raise LedgerError("not held")
        for b in block_ids:
            self.refs[b] -= 1
            if self.refs[b] <= 0:
                self.free_blocks.append(b)


class AllocatesInARow(Plain):
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


class ChecksNothing(Plain):
    def check_integrity(self):
        pass


class ForksOnce(Plain):
    def fork(self, block_ids):
        if any(not self.refs.get(b) for b in block_ids):
            raise LedgerError("free")
        self.refs[block_ids[0]] += 1


class NegativeIds(Plain):
    """Only ids that are too large are refused; -1 is the last block of the list."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.refs = [0] * num_blocks

    def fork(self, block_ids):
        if any(b >= self.num_blocks or self.refs[b] == 0 for b in block_ids):
            raise LedgerError("free")
        for b in block_ids:
            self.refs[b] += 1

    def free(self, block_ids):
        if any(b >= self.num_blocks or times > self.refs[b] for b, times in Counter(block_ids).items()):
            raise LedgerError("too often")
        for b in block_ids:
            self.refs[b] -= 1
            if not self.refs[b]:
                self.free_blocks.append(b)


class ComparesNumbers(Plain):
    def check_integrity(self):
        if len(self.free_blocks) + sum(count > 0 for count in self.refs.values()) != self.num_blocks:
            raise IntegrityError("")


class ComparesSets(Plain):
    def check_integrity(self):
        if set(self.free_blocks) != {b for b, count in self.refs.items() if not count}:
            raise IntegrityError("")


class LooksAtListed(Plain):
    def check_integrity(self):
        if len(set(self.free_blocks)) < len(self.free_blocks) or any(self.refs[b] for b in self.free_blocks):
            raise IntegrityError("")


class Asserts(Plain):
    def check_integrity(self):
        assert sorted(self.free_blocks) == [b for b, count in self.refs.items() if not count]


class KeepsTheList(Plain):
    """Hands out the same list again and again."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.out = []

    def allocate(self, n=1):
        got = super().allocate(n)
        if got is None:
            return None
        self.out[:] = got
        return self.out


CASES = {
    "04.allocator": [
        ("ids that do not exist", NegativeIds),
        ("numbers of blocks are not enough", ComparesNumbers),
        ("in the free list twice", ComparesSets),
        ("a block that is lost", LooksAtListed),
        ("does not raise `IntegrityError`", Asserts),
        ("is changed later", KeepsTheList),
        ("fewer than n blocks are returned", ReturnsFewer),
        ("keeps the blocks that it took", TakesThenChecks),
        ("exception is raised where None", Raises),
        ("exception is raised where None", Crashes),
        ("freed twice", FreesAgain),
        ("its first holder frees it", FreesShared),
        ("a part of the list is freed", FreesHalf),
        ("names a block twice", FreesTwice),
        (None, AllocatesInARow),
        ("is a method", NumFreeCalled),
        ("slots are counted", TokensNotBlocks),
        ("never raises an error", ChecksNothing),
        ("does not increase the count", ForksOnce),
    ]
}
