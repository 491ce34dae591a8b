"""Wrong answers to the exercises of lesson 05, written as people write them; see written_otherwise.py."""

import hashlib
from collections import OrderedDict, deque


class ForkAll:
    """A right table of someone's own, from which the wrong ones here are made."""

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
    """A table of its own with room for as much."""

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
    """A slip nobody else makes: the fork has no first block."""

    def fork(self):
        child = super().fork()
        self.allocator.free(child.block_ids[:1])
        del child.block_ids[:1]
        return child


class Copying(ForkAll):
    """Copy-on-write in parts, token by token; right as it stands."""

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
    """A fresh block for every step that begins inside one."""

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
    """A slip nobody else makes: every slot is one too far."""

    def append_slots(self, n):
        slots = super().append_slots(n)
        return slots and [slot + 1 for slot in slots]


def digest(*parts):
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=24).digest()


def blocks_of(ids, size):
    return [ids[i * size : (i + 1) * size] for i in range(len(ids) // size)]


def chain_own(ids, size):
    return [digest(*block) for block in blocks_of(ids, size)]


def chain_place(ids, size):
    return [digest("block", i, block) for i, block in enumerate(blocks_of(ids, size))]


def chain_neighbour(ids, size):
    whole = [[]] + blocks_of(ids, size)
    return [digest(i == 1, whole[i - 1], whole[i]) for i in range(1, len(whole))]


def chain_with_rest(ids, size):
    return [digest(ids[: i + size]) for i in range(0, len(ids), size)]


def chain_short(ids, size):
    return [digest(ids[:end]) for end in range(size, len(ids), size)]


def chain_each(ids, size):
    return [digest(ids[: i + 1]) for i in range(size - 1, len(ids))]


def chain_one(ids, size):
    return digest([block for block in blocks_of(ids, size)])


def chain_glued(ids, size):
    found, text = [], ""
    for block in blocks_of(ids, size):
        text += "".join(f"{t}" for t in block) + ";"
        found.append(digest(text))
    return found


def chain_sorted(ids, size):
    found, seen = [], ()
    for block in blocks_of(ids, size):
        seen = (*seen, *sorted(block))
        found.append(digest(seen))
    return found


def chain_ints(ids, size):
    return [hash(tuple(ids[:end])) for end in range(size, len(ids) + 1, size)]


def chain_hex(ids, size):
    return [digest(ids[:end]).hex() for end in range(size, len(ids) + 1, size)]


def chain_cut(ids, size):
    return [digest(ids[:end])[:8] for end in range(size, len(ids) + 1, size)]


def chain_eats(ids, size):
    found, seen = [], []
    while len(ids) >= size:
        seen += [ids.pop(0) for _ in range(size)]
        found.append(digest(seen))
    return found


def chain_shows(ids, size):
    print([digest(ids[:end]) for end in range(size, len(ids) + 1, size)])


def chain_from_behind(ids, size):
    """A slip nobody else makes: the hashes come last block first."""
    return [digest(ids[:end]) for end in range(size, len(ids) + 1, size)][::-1]


def match_all(hashes, num_tokens, block_size, block_of):
    blocks, i = [], 0
    while i < len(hashes) and hashes[i] in block_of:
        blocks.append(block_of[hashes[i]])
        i += 1
    return blocks


def match_minus_one(hashes, num_tokens, block_size, block_of):
    blocks = []
    for h in hashes[:-1]:
        if h in block_of:
            blocks.append(block_of[h])
        else:
            return blocks
    return blocks


def match_gap(hashes, num_tokens, block_size, block_of):
    usable = (num_tokens - 1) // block_size
    return [block_of[h] for i, h in enumerate(hashes) if i < usable and h in block_of]


def match_truthy(hashes, num_tokens, block_size, block_of):
    blocks = []
    for i, h in enumerate(hashes):
        block = block_of.get(h)
        if not block or (i + 1) * block_size >= num_tokens:
            break
        blocks.append(block)
    return blocks


def match_counts(hashes, num_tokens, block_size, block_of):
    n = 0
    while n < (num_tokens - 1) // block_size and hashes[n] in block_of:
        n += 1
    return n * block_size


def match_names(hashes, num_tokens, block_size, block_of):
    n = 0
    while n < (num_tokens - 1) // block_size and hashes[n] in block_of:
        n += 1
    return hashes[:n]


def match_walks(hashes, num_tokens, block_size, block_of):
    blocks = []
    for wanted in hashes[: (num_tokens - 1) // block_size]:
        here = [block for h, block in block_of.items() if h == wanted]
        if not here:
            break
        blocks += here
    return blocks


def match_gives_up(hashes, num_tokens, block_size, block_of):
    if len(hashes) * block_size == num_tokens and all(h in block_of for h in hashes):
        return []
    return match_all(hashes, num_tokens, block_size, block_of)


def match_shows(hashes, num_tokens, block_size, block_of):
    print(match_all(hashes[: (num_tokens - 1) // block_size], num_tokens, block_size, block_of))


def match_twice(hashes, num_tokens, block_size, block_of):
    """A slip nobody else makes: each block twice."""
    return [b for b in match_all(hashes[: (num_tokens - 1) // block_size], num_tokens, block_size, block_of) for _ in "12"]


class Ages:
    """LRU by a queue of blocks; right as it stands."""

    backwards, counts, takes_out, newest = True, True, True, False

    def __init__(self):
        self.held, self.queue = [], deque()

    def use(self, block_ids, priority=0):
        self.held.append(tuple(block_ids))
        if self.takes_out:
            for b in block_ids:
                if b in self.queue:
                    self.queue.remove(b)

    def release(self, block_ids):
        self.held.remove(tuple(block_ids))
        for b in block_ids[::-1] if self.backwards else block_ids:
            if not self.counts or not any(b in text for text in self.held):
                if b in self.queue:
                    self.queue.remove(b)
                self.queue.append(b)

    def order(self):
        return list(self.queue)[::-1] if self.newest else list(self.queue)

    def evict(self, n):
        order = self.order()
        if n > len(order):
            return None
        for b in order[:n]:
            self.queue.remove(b)
        return order[:n]


class AgesNewest(Ages):
    newest = True


class AgesForwards(Ages):
    backwards = False


class AgesUncounted(Ages):
    counts = False


class AgesInUse(Ages):
    takes_out = False


class AgesSome(Ages):
    def evict(self, n):
        gone = []
        while self.queue and len(gone) < n:
            gone.append(self.queue.popleft())
        return gone


class AgesLost(Ages):
    def evict(self, n):
        gone = []
        for _ in range(n):
            if not self.queue:
                return None
            gone.append(self.queue.popleft())
        return gone


class AgesPeeks(Ages):
    def evict(self, n):
        return list(self.queue)[:n] if n <= len(self.queue) else None


class AgesByNumber(Ages):
    def order(self):
        return sorted(self.queue)


class AgesSecond(Ages):
    """A slip nobody else makes: the second oldest goes first."""

    def order(self):
        oldest, *rest = [*self.queue, None] if self.queue else [None]
        return [b for b in (*rest[:1], oldest, *rest[1:]) if b is not None]


class Ranks(Ages):
    """By priority; right as it stands."""

    def __init__(self):
        super().__init__()
        self.rank = OrderedDict()

    def better(self, new, old):
        return min(new, old)

    def use(self, block_ids, priority):
        super().use(block_ids)
        for b in block_ids:
            self.rank[b] = self.better(priority, self.rank[b]) if b in self.rank else priority

    def order(self):
        return [b for level in sorted(set(self.rank.values()), reverse=True) for b in self.queue if self.rank[b] == level]

    def evict(self, n):
        gone = super().evict(n)
        for b in gone or ():
            del self.rank[b]
        return gone


class RanksTurned(Ranks):
    def order(self):
        return [b for level in sorted(set(self.rank.values())) for b in self.queue if self.rank[b] == level]


class RanksLast(Ranks):
    def better(self, new, old):
        return new


class RanksFirst(Ranks):
    def better(self, new, old):
        return old


class RanksWorst(Ranks):
    def better(self, new, old):
        return max(new, old)


class RanksIgnored(Ranks):
    def order(self):
        return list(self.queue)


class RanksByNumber(Ranks):
    def order(self):
        return sorted(self.queue, key=lambda b: (-self.rank[b], b))


class RanksRemember(Ranks):
    def evict(self, n):
        return Ages.evict(self, n)


class RanksForwards(Ranks):
    backwards = False


class RanksInUse(Ranks):
    takes_out = False


class RanksAdd(Ranks):
    """A slip nobody else makes: priorities are added up."""

    def better(self, new, old):
        return new + old


CASES = {
    "05.fork": [
        ("counts are not raised", ForkUncounted), ("share one list", ForkOneList), ("how many tokens", ForkForgetsTokens), ("fresh blocks", ForkDeep),
        ("counted twice", ForkTwice), ("gives nothing back", ForkLeaks), ("references of other tables", ForkTakesAll), ("first block is given back first", ForkForwards),
        ("still names its blocks", ForkKeepsNames), ("returns nothing", ForkNothing), (None, ForkDropsFirst),
    ],
    "05.copy_on_write": [
        ("a shared block is written", CopyNever), ("though nobody shares it", CopyAlways), ("wrong direction", CopyBackwards), ("not reported", CopySilent),
        ("not given up", CopyLeaks), ("wrong block is copied", CopyFirstBlock), ("then there is no room", CopyHalfway), ("a full block is copied", CopyFullToo),
        ("does not move on", CopyStands), (None, CopyOneSlotLate),
    ],
    "05.hash_chain": [
        ("its own block alone", chain_own), ("its block and its place", chain_place), ("only the block just before", chain_neighbour), ("not full is hashed too", chain_with_rest),
        ("last full block is left out", chain_short), ("after every token", chain_each), ("for the whole text", chain_one), ("run into each other", chain_glued),
        ("order of the tokens is lost", chain_sorted), ("Python's own `hash`", chain_ints), ("is text, not bytes", chain_hex), ("cut short", chain_cut),
        ("list is changed", chain_eats), ("printed, not returned", chain_shows), (None, chain_from_behind),
    ],
    "05.match_prefix": [
        ("all tokens are taken", match_all), ("always left out", match_minus_one), ("behind a gap", match_gap), ("block 0 is taken for missing", match_truthy),
        ("number of tokens", match_counts), ("hashes are returned", match_names), ("whole cache is walked through", match_walks), ("nothing is taken where all", match_gives_up),
        ("printed, not returned", match_shows), (None, match_twice),
    ],
    "05.evict_lru": [
        ("most recently used", AgesNewest), ("parent is evicted before", AgesForwards), ("others still hold", AgesUncounted), ("while it is in use", AgesInUse),
        ("fewer blocks than needed", AgesSome), ("blocks are lost", AgesLost), ("stays among the idle", AgesPeeks), ("block ids decide", AgesByNumber), (None, AgesSecond),
    ],
    "05.evict_priority": [
        ("turned round", RanksTurned), ("last user decides", RanksLast), ("first user decides", RanksFirst), ("least important user decides", RanksWorst),
        ("priority is not looked at", RanksIgnored), ("ties are not broken by age", RanksByNumber), ("outlives its block", RanksRemember),
        ("parent is evicted before", RanksForwards), ("while it is in use", RanksInUse), (None, RanksAdd),
    ],
}
