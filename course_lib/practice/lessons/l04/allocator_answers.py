"""Answers to 04.allocator: right ones written differently, and wrong ones with one part replaced."""

import heapq
import math
from collections import Counter, deque

from course_lib.errors import IntegrityError, LedgerError

from .solutions.allocator import BlockAllocator


class StackOfBlocks:
    """The block that was freed last is allocated first."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.stack = [*range(num_blocks)][::-1]
        self.holders = {}

    num_free = property(lambda self: len(self.stack))

    def ref_count(self, block_id):
        return self.holders.get(block_id, 0)

    def allocate(self, n=1):
        if len(self.stack) < n:
            return None
        taken = []
        while len(taken) < n:
            taken.append(self.stack.pop())
            self.holders[taken[-1]] = 1
        return taken

    def fork(self, block_ids):
        if any(b not in self.holders for b in block_ids):
            raise LedgerError("a block that is free cannot be shared")
        for b in block_ids:
            self.holders[b] += 1

    def free(self, block_ids):
        left = {b: self.ref_count(b) for b in block_ids}
        for b in block_ids:
            if left[b] == 0:
                raise LedgerError(f"block {b} has no holder")
            left[b] -= 1
        for b in block_ids:
            self.holders[b] -= 1
            if self.holders[b] == 0:
                del self.holders[b]
                self.stack.append(b)

    def check_integrity(self):
        if len(set(self.stack)) < len(self.stack) or set(self.stack) & set(self.holders):
            raise IntegrityError("a block is free twice, or free and held")
        if len(self.stack) + len(self.holders) != self.num_blocks or min(self.holders.values(), default=1) < 1:
            raise IntegrityError("a block is lost")


class ChainOfBlocks:
    """The free blocks as a linked list: each stores the id of the next. O(1), without a container that grows."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.next = [b + 1 for b in range(num_blocks)]
        self.first, self.num_free, self.count = 0, num_blocks, [0] * num_blocks

    def ref_count(self, block_id):
        return self.count[block_id]

    def allocate(self, n=1):
        if n > self.num_free:
            return None
        out = []
        for _ in range(n):
            out.append(self.first)
            self.count[self.first], self.first = 1, self.next[self.first]
        self.num_free -= n
        return out

    def _held(self, b):
        return self.count[b] if 0 <= b < self.num_blocks else 0

    def fork(self, block_ids):
        if min(map(self._held, block_ids), default=1) < 1:
            raise LedgerError("not in use")
        for b in block_ids:
            self.count[b] += 1

    def free(self, block_ids):
        done = []
        for b in block_ids:
            if self._held(b) < 1:
                for back in done:
                    self.count[back] += 1
                raise LedgerError("freed too often")
            self.count[b] -= 1
            done.append(b)
        for b in dict.fromkeys(done):  # each once: the list may name a block for each of its holders
            if self.count[b] == 0:
                self.next[b], self.first, self.num_free = self.first, b, self.num_free + 1

    def check_integrity(self):
        free, b = set(), self.first
        while 0 <= b < self.num_blocks and b not in free and len(free) < self.num_free:
            free.add(b)
            b = self.next[b]
        if len(free) != self.num_free or free != {b for b in range(self.num_blocks) if self.count[b] == 0}:
            raise IntegrityError("the linked list and the counts disagree")


class LowestFirst:
    """A heap: the lowest free id is always allocated first. O(log n), which is small."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.heap, self.used = list(range(num_blocks)), Counter()

    @property
    def num_free(self):
        return self.num_blocks - len(self.used)

    def ref_count(self, block_id):
        return self.used[block_id]

    def allocate(self, n=1):
        if n > self.num_free:
            return None
        blocks = [heapq.heappop(self.heap) for _ in range(n)]
        self.used.update(blocks)
        return blocks

    def fork(self, block_ids):
        for b in block_ids:
            if b not in self.used:
                raise LedgerError(str(b))
        self.used.update(block_ids)

    def free(self, block_ids):
        leaving = Counter(block_ids)
        if any(times > self.used[b] for b, times in leaving.items()):
            raise LedgerError("freed too often")
        for b, times in leaving.items():
            self.used[b] -= times
            if self.used[b] == 0:
                del self.used[b]
                heapq.heappush(self.heap, b)

    def check_integrity(self):
        if sorted([*self.heap, *self.used]) != list(range(self.num_blocks)):
            raise IntegrityError("the heap and the held blocks are not all blocks")


class WrongAllocator:
    """The right allocator with one part replaced; see `variant`."""

    # where too few are free: "none": None · "partial", "some": those that are free · "lost": takes them, returns None ·
    # "empty": [] · "early": None also where exactly n are free
    short = "none"
    first = 0  # the lowest id
    last = True  # whether the last block can be allocated
    newest = False  # a freed block goes to the front of the list
    takes = True  # allocate removes blocks from the list
    repeats = False  # the same block n times
    back = True  # whether freed blocks can be allocated again
    shares = True  # whether free uses the count
    counts = "all"  # of fork: "all", "none", "first", "set", "distinct"
    known = "times"  # what free checks: "times" (how often, in all), "each" (one by one), "range", "none"
    whole = True  # free checks before it changes anything
    shareable = "all"  # what fork checks: "all", "none", "late"
    # ids that do not exist: "refused" · "last", as Python counts them · "negative": those of them alone · "raises"
    unknown = "refused"
    unit = 1  # what num_free counts for a block: 1, or "slots"
    checks = "right"  # check_integrity: "right", "never", "always", "lengths", "sets", "listed"
    returns = staticmethod(lambda blocks: blocks)
    swapped = False  # num_blocks and block_size
    starts = 1  # the count of a fresh block
    most = math.inf  # the largest count

    @classmethod
    def variant(cls, **parts):
        return type(
            "BlockAllocator",
            (cls,),
            {name: staticmethod(part) if callable(part) else part for name, part in parts.items()},
        )

    def __init__(self, num_blocks, block_size):
        if self.swapped:
            num_blocks, block_size = block_size, num_blocks
        self.num_blocks, self.block_size = num_blocks, block_size
        self.list = deque(range(self.first, self.first + num_blocks))
        self.count = dict.fromkeys(range(self.first, self.first + num_blocks), 0)

    @property
    def num_free(self):
        return len(self.list) * (self.unit if self.unit != "slots" else self.block_size)

    def ref_count(self, block_id):
        return self.count[block_id]

    def allocate(self, n=1):
        room = len(self.list) if self.last else len(self.list) - 1
        if self.short == "zero" and room == 0:
            return None
        if n > room:
            if self.short == "lost":
                self.list.clear()
            if self.short == "empty":
                return []
            if self.short not in ("partial", "some") or self.short == "some" and room == 0:
                return None
            n = room
        if self.short == "early" and n >= room:
            return None
        if self.takes:
            blocks = [self.list.popleft() for _ in range(n)]
        else:
            blocks = list(self.list)[:n]
        if self.repeats and blocks:
            blocks = blocks[:1] * n
        for b in blocks:
            self.count[b] = self.starts
        return self.returns(blocks)

    def fork(self, block_ids):
        block_ids = self._known(block_ids)
        if self.shareable == "all":
            for b in block_ids:
                if self.count.get(b, 0) == 0:
                    raise LedgerError("free")
        for b in {"all": block_ids, "none": [], "first": block_ids[:1], "set": block_ids, "distinct": set(block_ids)}[
            self.counts
        ]:
            if self.shareable == "late" and self.count.get(b, 0) == 0:
                raise LedgerError("free")
            self.count[b] = 2 if self.counts == "set" else min(self.count.get(b, 0) + 1, self.most)

    def _known(self, block_ids):
        if self.unknown == "refused" or all(b in self.count for b in block_ids):
            return block_ids
        ids = list(range(self.num_blocks))
        if self.unknown == "negative":
            return [ids[b] if -self.num_blocks <= b < 0 else b for b in block_ids]
        return [ids[b] if self.unknown == "last" else self.count[b] and b for b in block_ids]

    def free(self, block_ids):
        block_ids = self._known(block_ids)
        if self.whole:
            self._check(block_ids)
        for b in block_ids:
            if not self.whole:
                self._check([b])
            self.count[b] = self.count.get(b, 0) - 1 if self.shares else 0
            if (self.count[b] <= 0 or not self.shares) and self.back:
                self.list.appendleft(b) if self.newest else self.list.append(b)
            self.count[b] = max(self.count[b], 0)

    def _check(self, block_ids):
        for b, times in Counter(block_ids).items():
            if self.known != "none" and b not in self.count:
                raise LedgerError("no such block")
            if self.known == "times" and times > self.count[b] or self.known == "each" and self.count[b] == 0:
                raise LedgerError("too often")

    def check_integrity(self):
        unheld = [b for b in self.count if self.count[b] == 0]
        wrong = {
            "right": sorted(self.list) != unheld,
            "never": False,
            "always": True,
            "lengths": len(self.list) != len(unheld),
            "sets": set(self.list) != set(unheld),
            "listed": len(set(self.list)) < len(self.list) or any(self.count[b] for b in self.list),
        }
        if wrong[self.checks]:
            raise IntegrityError("wrong")


class NeverAgain(WrongAllocator):
    """Counts upwards; freed blocks are not allocated again."""

    back = False


class ListFromTheFront(BlockAllocator):
    """Right, but slower with more blocks: pop(0) moves all other items of the list."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.free_list = list(range(num_blocks))

    def allocate(self, n=1):
        if n > len(self.free_list):
            return None
        block_ids = [self.free_list.pop(0) for _ in range(n)]
        for b in block_ids:
            self.counts[b] = 1
        return block_ids
