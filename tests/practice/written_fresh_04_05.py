"""Wrong answers to lessons 04 and 05 that passed, or had no name, when somebody wrote them from the pages alone."""

from collections import Counter, OrderedDict
from hashlib import sha256

import torch

from course_lib.errors import LedgerError
from course_lib.practice.lessons.l04.solutions.allocator import BlockAllocator
from course_lib.practice.lessons.l04.solutions.block_table import BlockTable
from course_lib.practice.lessons.l04.solutions.find_the_leak import find_the_leak
from course_lib.practice.lessons.l04.solutions.gather import gather
from course_lib.practice.lessons.l05.solutions.evict_lru import LRUEviction
from course_lib.practice.lessons.l05.solutions.match_prefix import match_prefix
from course_lib.practice.play import Forkable


class SaysTrue(BlockAllocator):
    def check_integrity(self):
        super().check_integrity()
        return True


class AppendsInASecondLoop(BlockAllocator):
    """Checks all, lowers all counts, then goes through the list again."""

    def free(self, block_ids):
        for b, times in Counter(block_ids).items():
            if not 0 <= b < self.num_blocks or times > self.counts[b]:
                raise LedgerError("too often")
        for b in block_ids:
            self.counts[b] -= 1
        for b in block_ids:
            if not self.counts[b]:
                self.free_list.append(b)


class OneEmptyList(BlockAllocator):
    empty = []

    def allocate(self, n=1):
        return super().allocate(n) if n else self.empty


class ReadsFromTheFirst(BlockTable):
    """slot() counts on from the first block, but for the tokens of the last one."""

    def slot(self, position):
        right, size = super().slot(position), self.allocator.block_size
        return right if position // size == len(self.block_ids) - 1 else self.block_ids[0] * size + position


class TakesOneAtOnce(BlockTable):
    """Has a block from the first call on."""

    def append_slots(self, n):
        if not self.block_ids:
            self.block_ids += self.allocator.allocate(1) or []
        return super().append_slots(n)


def gather_rounded(k_cache, v_cache, block_table, num_tokens):
    k, v = gather(k_cache, v_cache, block_table, num_tokens)
    return k.half().to(k.dtype), v.half().to(v.dtype)


def gather_cleans(k_cache, v_cache, block_table, num_tokens):
    return gather(k_cache.nan_to_num_(), v_cache.nan_to_num_(), block_table, num_tokens)


def size_within(limit):
    def answer(lengths, block_sizes, most_wasted):
        for size in sorted(block_sizes, reverse=True):
            blocks = sum(-(-n // size) for n in lengths)
            wasted = blocks * size - sum(lengths)
            if limit(wasted / (blocks * size), most_wasted):
                return {"block_size": size, "blocks": blocks, "wasted": wasted}
        return None

    return answer


class CountsSeenFirst:
    """Hides num_free as long as a count is wrong: what a tool sees that compares counts first."""

    def __init__(self, allocator, held):
        self.allocator, self.held, self.num_blocks = allocator, held, allocator.num_blocks

    def __getattr__(self, name):
        return getattr(self.allocator, name)

    @property
    def num_free(self):
        wrong = any(self.ref_count(b) != self.held[b] for b in range(self.num_blocks))
        return sum(self.held[b] == 0 for b in range(self.num_blocks)) if wrong else self.allocator.num_free

    def allocate(self, n=1):
        got = self.allocator.allocate(n)
        self.held.update(got or [])
        return got

    def fork(self, block_ids):
        self.held.update(block_ids)
        self.allocator.fork(block_ids)

    def free(self, block_ids):
        self.held.subtract(block_ids)
        self.allocator.free(block_ids)


def leak_counts_first(make_allocator):
    return find_the_leak(lambda *how: CountsSeenFirst(make_allocator(*how), Counter()))


class CopyInFront(Forkable):
    def append_slots(self, n):
        a, size, start = self.allocator, self.allocator.block_size, self.num_tokens
        shared = n > 0 and start % size > 0 and a.ref_count(self.block_ids[-1]) > 1
        fresh = a.allocate(-(-(start + n) // size) - len(self.block_ids) + shared)
        if fresh is None:
            return None
        if shared:
            a.copies.insert(0, (self.block_ids[-1], fresh[0]))
            a.free([self.block_ids[-1]])
            self.block_ids[-1] = fresh.pop(0)
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]


def chain_of(digest):
    def answer(ids, size):
        parent, hashes = b"", []
        for i in range(0, len(ids) - size + 1, size):
            parent = digest(parent, ids[i : i + size])
            hashes.append(parent)
        return hashes

    return answer


def chain_of_one_string(ids, size):
    string, hashes = "", []
    for i in range(0, len(ids) - size + 1, size):
        string += " ".join(map(str, ids[i : i + size]))
        hashes.append(sha256(string.encode()).digest())
    return hashes


def match_enters(hashes, num_tokens, block_size, block_of):
    found = []
    for h in hashes[: (num_tokens - 1) // block_size]:
        if block_of.setdefault(h) is None:
            break
        found.append(block_of[h])
    return found


def match_two_left(hashes, num_tokens, block_size, block_of):
    found = []
    for i, h in enumerate(hashes):
        if h not in block_of or (i + 1) * block_size > num_tokens - 2:
            break
        found.append(block_of[h])
    return found


class AgesTurnedAround(LRUEviction):
    def evict(self, n):
        got = super().evict(n)
        return None if got is None else list(reversed(got))


class AgesSortedIds(LRUEviction):
    def release(self, block_ids):
        super().release(sorted(block_ids))


class AgesFromUse(LRUEviction):
    """By the last use."""

    def __init__(self):
        super().__init__()
        self.last = {}

    def use(self, block_ids):
        super().use(block_ids)
        for b in reversed(block_ids):
            self.last[b] = len(self.last) + max(self.last.values(), default=0)

    def evict(self, n):
        if n > len(self.idle):
            return None
        gone = sorted(self.idle, key=self.last.get)[:n]
        for b in gone:
            del self.idle[b]
        return gone


class Ranks:
    """A right policy; `start` is the priority of a new block, `key` what is compared."""

    start, key = None, staticmethod(lambda number: -number)

    def __init__(self):
        self.holders, self.number, self.idle = Counter(), {}, OrderedDict()

    def use(self, block_ids, priority):
        for b in block_ids:
            self.idle.pop(b, None)
            self.number[b] = min(priority, self.number.get(b, priority if self.start is None else self.start))
        self.holders.update(block_ids)

    def release(self, block_ids):
        self.holders.subtract(block_ids)
        self.idle.update((b, None) for b in reversed(block_ids) if not self.holders[b])

    def order(self):
        return sorted(self.idle, key=lambda b: self.key(self.number[b]))

    def evict(self, n):
        if n > len(self.idle):
            return None
        gone = self.order()[:n]
        for b in gone:
            del self.idle[b], self.number[b]
        return gone


class RanksAsTheFirst(Ranks):
    """All blocks of a request get the number of its first block."""

    def use(self, block_ids, priority):
        super().use(block_ids, priority)
        self.number.update(dict.fromkeys(block_ids, self.number[block_ids[0]]))


class RanksFrom999(Ranks):
    start = 999


class RanksWithoutSign(Ranks):
    key = staticmethod(lambda number: -abs(number))


class RanksAsText(Ranks):
    def order(self):
        return sorted(self.idle, key=lambda b: str(self.number[b]), reverse=True)


CASES = {
    "04.allocator": [
        (None, SaysTrue),
        ("put into the free list twice", AppendsInASecondLoop),
        ("a list that was returned", OneEmptyList),
    ],
    "04.block_table": [(None, TakesOneAtOnce), (None, ReadsFromTheFirst)],
    "04.gather": [("dtype with fewer bits", gather_rounded), ("pool or the table is changed", gather_cleans)],
    "04.page_size": [
        ("per cent", size_within(lambda share, most: 100 * share <= most)),
        ("with a tolerance", size_within(lambda share, most: round(share, 2) <= most)),
        ("with a tolerance", size_within(lambda share, most: share < most + 0.001)),
    ],
    "04.find_the_leak": [("before `num_free`", leak_counts_first)],
    "05.copy_on_write": [("before those of other tables", CopyInFront)],
    "05.hash_chain": [
        ("Python's own `hash`", chain_of(lambda parent, b: sha256(parent + str(hash(tuple(b))).encode()).digest())),
        ("blocks are joined", chain_of_one_string),
        ("part of the parent", chain_of(lambda parent, b: sha256(parent[:1] + repr(b).encode()).digest())),
        (None, chain_of(lambda parent, b: sha256(parent + torch.tensor(b).float().numpy().tobytes()).digest())),
        (None, chain_of(lambda parent, b: bytearray(sha256(parent + repr(b).encode()).digest()))),
    ],
    "05.match_prefix": [
        ("cache are changed", match_enters),
        (None, lambda *how: match_prefix(*how)[:8]),
        ("one token after it is left", match_two_left),
        (None, lambda *how: iter(match_two_left(*how))),
    ],
    "05.evict_lru": [
        ("reverse order", AgesTurnedAround),
        ("order of their ids", AgesSortedIds),
        ("from the last use", AgesFromUse),
    ],
    "05.evict_priority": [
        ("begins with a fixed priority", RanksFrom999),
        ("sign of a priority", RanksWithoutSign),
        ("compared as text", RanksAsText),
        (None, RanksAsTheFirst),
    ],
}
