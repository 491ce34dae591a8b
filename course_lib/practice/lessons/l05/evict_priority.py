"""05.evict_priority: the least important block is evicted first; among equals, the one that is idle for longest."""

import heapq
from collections import OrderedDict

from course_lib.practice.judge.exercise import Exercise, Property
from course_lib.practice.judge.programs import told

from .evict_priority_mistakes import MISTAKES
from .eviction_game import MANY, OUTLIVED, EvictionsByPriority, Row, played
from .solutions.evict_priority import PriorityEviction


class PriorityByHeap:
    """Right: a heap; entries that are out of date are skipped."""

    def __init__(self):
        self.count, self.best, self.since, self.heap, self.time = {}, {}, {}, [], 0

    def use(self, block_ids, priority):
        for b in block_ids:
            self.count[b] = self.count.get(b, 0) + 1
            self.best[b] = priority if b not in self.best else min(self.best[b], priority)
            self.since.pop(b, None)

    def release(self, block_ids):
        for b in block_ids[::-1]:
            self.count[b] -= 1
            if self.count[b] == 0:
                self.time += 1
                self.since[b] = self.time
                heapq.heappush(self.heap, (-self.best[b], self.time, b))

    def evict(self, n):
        if len(self.since) < n:
            return None
        gone = []
        while len(gone) < n:
            _, time, b = heapq.heappop(self.heap)
            if self.since.get(b) == time:
                gone.append(b)
                del self.since[b], self.best[b]
        return gone


class PriorityByLevel:
    """Right: a queue for each priority."""

    def __init__(self):
        self.holders, self.level, self.queues = {}, {}, {}

    def use(self, block_ids, priority):
        for b in block_ids:
            self.holders[b] = self.holders.get(b, 0) + 1
            if b in self.level:
                self.queues[self.level[b]].pop(b, None)
            self.level[b] = min(priority, self.level.get(b, priority))
            self.queues.setdefault(self.level[b], OrderedDict())

    def release(self, block_ids):
        for b in reversed(block_ids):
            self.holders[b] -= 1
            if self.holders[b] == 0:
                self.queues[self.level[b]][b] = True

    def evict(self, n):
        if sum(map(len, self.queues.values())) < n:
            return None
        gone = [b for level in sorted(self.queues, reverse=True) for b in self.queues[level]][:n]
        for b in gone:
            self.queues[self.level.pop(b)].pop(b)
        return gone


def one(*steps):
    return told(EvictionsByPriority, {}, *steps)


def all_of_many(*priorities):
    """Long sequences, each with its priority, are used and released in turn; then all blocks are evicted at once."""
    uses = [(("begin", a, Row(blocks), p), ("release", a)) for (a, blocks), p in zip(MANY, priorities)]
    return one(*[step for steps in uses for step in steps], ("evict", 40))


def after(*sequences, evict=1):
    """Sequences, each (blocks, priority), are used and released in turn; then single blocks are evicted."""
    steps = [
        step
        for name, (blocks, priority) in zip("abcd", sequences)
        for step in (("begin", name, Row(blocks), priority), ("release", name))
    ]
    return one(*steps, *[("evict", 1)] * evict)


LARGE = [(10**6, 10**6 + 1), (10**6 + 1, 10**6), (10**9, 10**6), (5 * 10**9, 10**9), (10**6, 10**9)]
LARGE += [(2**31, 2**31 + 1), (10**9, 5 * 10**9), (10**12, 10**12 + 1), (2**53, 2**53 + 1), (2**63, 2**63 + 1)]
LARGE += [(2**70, 2**70 + 1), (10**15, 10**15 + 9), (-(2**63), -(2**70)), (2**64 + 1, 2**64 + 2)]
"""Priorities above any number that one may take for the largest."""

EVICT_PRIORITY = Exercise(
    id="05.evict_priority",
    title="The least important goes first",
    name="PriorityEviction",
    cases="programs",
    properties=[
        Property(
            "The block with the highest number is evicted first",
            "A lower number is more important, as in vLLM's scheduler.",
            [after(([0], one), ([6], two), evict=2) for one, two in ((0, 1), (1, 0), (2, 5), (5, 2), (-1, 0), (0, -1))]
            + [after(([0], 1), ([6], 3), ([9], 2), evict=3), after(([9], 0), ([0], 2), ([6], 1), evict=3)]
            + [after(([0], one), ([6], two), evict=2) for one, two in ((9, 10), (10, 9), (-1, -2), (-2, -1), (-3, 2))]
            + [after(([0], one), ([6], two), evict=2) for one, two in LARGE],
        ),
        Property(
            "Among equal priorities, the block that is idle for longest is evicted first, the end of a sequence "
            "before its beginning",
            "With one priority for all, this is LRU.",
            [all_of_many(1, 1), all_of_many(1, 2)]
            + [
                after(*[(blocks, 1) for blocks in sequences], evict=n)
                for sequences, n in (
                    ([[0], [6]], 2),
                    ([[6], [0]], 2),
                    ([[9], [6], [0]], 3),
                    ([[0, 1]], 2),
                    ([[0, 1, 2]], 3),
                    ([[0, 1], [6, 7]], 4),
                    ([[0, 1], [0, 5]], 3),
                )
            ]
            + [
                one(
                    ("begin", "a", Row([0]), 1),
                    ("release", "a"),
                    ("begin", "b", Row([6]), 1),
                    ("release", "b"),
                    ("again", "a", 1),
                    ("release", "a"),
                    ("evict", 1),
                    ("evict", 1),
                ),
                one(
                    ("begin", "a", Row([6]), 0),
                    ("release", "a"),
                    ("begin", "b", Row([0]), 0),
                    ("release", "b"),
                    ("again", "a", 0),
                    ("release", "a"),
                    ("evict", 1),
                ),
            ],
        ),
        Property(
            "A block is as important as the most important request that used it",
            "One important request is enough, whatever requests used the block before or after it.",
            [
                one(
                    ("begin", "a", Row([0]), first),
                    ("release", "a"),
                    ("again", "a", second),
                    ("release", "a"),
                    ("begin", "b", Row([6]), 2),
                    ("release", "b"),
                    ("evict", 1),
                )
                for first, second in ((1, 3), (3, 1), (0, 5), (5, 0), (0, 3), (-1, 4))
            ]
            + [
                one(
                    ("begin", "a", Row([0]), first),
                    ("begin", "b", Row([0]), second),
                    ("release", "a"),
                    ("release", "b"),
                    ("begin", "c", Row([6]), 2),
                    ("release", "c"),
                    ("evict", 1),
                )
                for first, second in ((1, 3), (3, 1), (0, 3), (0, 4))
            ]
            + [
                one(
                    ("begin", "a", Row([0]), first),
                    ("release", "a"),
                    ("begin", "b", Row([0, 5]), 3),
                    ("release", "b"),
                    ("begin", "c", Row([6]), 2),
                    ("release", "c"),
                    *[("evict", 1)] * 3,
                )
                for first in (0, 1)
            ]
            + [
                one(
                    ("begin", "a", Row([0, 1]), 3),
                    ("release", "a"),
                    ("begin", "b", Row([0, 5]), 1),
                    ("release", "b"),
                    ("begin", "c", Row([6]), 2),
                    ("release", "c"),
                    *[("evict", 1)] * 4,
                )
            ],
        ),
        Property(
            "A block that a request holds is not evicted",
            "Its keys and values are read in the next step, whatever the priority of the request.",
            [
                one(("begin", "a", Row([0]), 9), ("evict", 1)),
                one(
                    ("begin", "a", Row([0]), 9),
                    ("begin", "b", Row([6]), 0),
                    ("release", "b"),
                    ("evict", 1),
                    ("evict", 1),
                ),
                one(("begin", "a", Row([0]), 1), ("release", "a"), ("again", "a", 1), ("evict", 1)),
                one(("begin", "a", Row([0]), 1), ("again", "a", 1), ("release", "a"), ("evict", 1)),
                one(
                    ("begin", "a", Row([0, 1]), 1),
                    ("begin", "b", Row([0, 5]), 2),
                    ("release", "a"),
                    ("evict", 1),
                    ("evict", 1),
                ),
            ]
            + [
                one(("begin", "a", Row([0]), 1), ("begin", "b", Row([0, 1]), 2), ("release", who), ("evict", 1))
                for who in "ab"
            ]
            + [
                one(
                    ("begin", "a", Row([6, 7]), 1),
                    ("release", "a"),
                    ("begin", "b", Row([6]), 3),
                    ("evict", 1),
                    ("evict", 1),
                )
            ],
        ),
        Property(
            "When fewer blocks are idle than are needed, `evict` returns `None` and changes nothing",
            "All or none: the caller cannot use a part of them.",
            [
                one(("begin", "a", Row(range(k)), 1), ("release", "a"), ("evict", k + more), ("evict", 1))
                for k in (1, 2, 3)
                for more in (1, 2)
            ]
            + [
                one(("evict_none", 0)),
                one(("begin", "a", Row([0]), 1), ("evict_none", 0)),
                one(("begin", "a", Row([0]), 1), ("release", "a"), ("evict_none", 0), ("evict", 1)),
            ],
        ),
        Property(
            "An evicted block is forgotten, and so is its priority",
            "When the block is cached again it holds other tokens, and only the priority of their requests counts.",
            [
                one(("begin", "a", Row([0]), 1), ("release", "a"), ("evict", 1), ("evict", 1)),
                one(("begin", "a", Row([0, 1]), 1), ("release", "a"), ("evict", 1), ("evict", 1), ("evict", 1)),
            ]
            + [
                one(
                    ("begin", "a", Row([0]), first),
                    ("release", "a"),
                    ("evict", 1),
                    ("again", "a", second),
                    ("release", "a"),
                    ("begin", "b", Row([6]), between),
                    ("release", "b"),
                    ("evict", 1),
                )
                for first, second, between in ((0, 5, 2), (0, 3, 1), (1, 4, 2), (-1, 2, 0))
            ],
        ),
        Property(
            "Age decides among equal priorities only, however long a block is idle",
            "An important block may be idle for days. Less important ones still go first.",
            OUTLIVED,
        ),
        Property(
            "In any order of calls, the right blocks are evicted",
            "Requests begin, end, begin again and share blocks, in any order.",
            played(EvictionsByPriority, PriorityEviction, 80, 4, priorities=(0, 1, 2, 5)),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "Begin with your LRUEviction. Besides the count of its holders, each block needs a priority.",
        "`use` keeps the lowest number that a block was given since it was cached. `evict` takes the highest number "
        "first. `release` does not change.",
        "A plain dict keeps the order in which keys were added, and `sorted` is stable: `sorted(self.idle, key=lambda "
        "block: -self.priority[block])` leaves equal priorities in the order of their age.",
        "When a block is evicted, delete its priority too: `del self.idle[block], self.priority[block]`.",
    ],
    rights=[PriorityEviction, PriorityByHeap, PriorityByLevel],
    why="Every request that uses a child uses its parent too. So the parent is at least as important and does not "
    "become idle earlier, and children are still evicted before their parents. The cost of sorting grows with the "
    "number of idle blocks. `course_lib` keeps a queue for each priority instead, so that the cost of an eviction "
    "does not depend on the number of blocks.",
)
