"""Wrong answers to 05.evict_lru and 05.evict_priority, written as people write them; see written_otherwise.py."""

from collections import OrderedDict, deque


class Ages:
    """LRU by a queue of blocks; right as it is."""

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
            if not self.counts or not any(b in held for held in self.held):
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
    """An unknown mistake: the second oldest block is evicted first."""

    def order(self):
        oldest, *rest = [*self.queue, None] if self.queue else [None]
        return [b for b in (*rest[:1], oldest, *rest[1:]) if b is not None]


class Ranks(Ages):
    """Eviction by priority; right as it is."""

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
        return [
            b for level in sorted(set(self.rank.values()), reverse=True) for b in self.queue if self.rank[b] == level
        ]

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
    """An unknown mistake: priorities are added."""

    def better(self, new, old):
        return new + old


CASES = {
    "05.evict_lru": [
        ("most recently used", AgesNewest),
        ("parent is evicted before", AgesForwards),
        ("another request still holds", AgesUncounted),
        ("while it is in use", AgesInUse),
        ("fewer blocks than needed", AgesSome),
        ("idle blocks are lost", AgesLost),
        ("stays among the idle", AgesPeeks),
        ("order of eviction is that of the block ids", AgesByNumber),
        (None, AgesSecond),
    ],
    "05.evict_priority": [
        ("priority is reversed", RanksTurned),
        ("last user sets", RanksLast),
        ("first user sets", RanksFirst),
        ("least important user sets", RanksWorst),
        ("priority is ignored", RanksIgnored),
        ("equal priorities are not ordered by age", RanksByNumber),
        ("stays after the block is evicted", RanksRemember),
        ("parent is evicted before", RanksForwards),
        ("while it is in use", RanksInUse),
        (None, RanksAdd),
    ],
}
