"""05.evict_lru: the block that has been idle for longest is evicted first, children before their parents."""

from collections import deque

from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.programs import told

from .eviction_game import MANY, Evictions, FirstInFirstOut, LastUse, LeastOften, Policy, Row, played
from .eviction_mistakes import HOLDING, ROOM
from .solutions.evict_lru import LRUEviction


class LRUByClock:
    """Right: the time at which each block became idle."""

    def __init__(self):
        self.count, self.time, self.idle_since = {}, 0, {}

    def use(self, block_ids):
        for b in block_ids:
            self.count[b] = self.count.get(b, 0) + 1
            if b in self.idle_since:
                del self.idle_since[b]

    def release(self, block_ids):
        for b in block_ids[::-1]:
            self.count[b] -= 1
            if not self.count[b]:
                self.time += 1
                self.idle_since[b] = self.time

    def evict(self, n):
        oldest = sorted(self.idle_since, key=self.idle_since.get)[:n]
        if len(oldest) < n:
            return None
        for b in oldest:
            del self.idle_since[b]
        return oldest


class LRUByQueue:
    """Right: a queue; a block that is used again is taken out."""

    def __init__(self):
        self.sequences, self.queue = [], deque()

    def use(self, block_ids):
        self.sequences.append(set(block_ids))
        self.queue = deque(b for b in self.queue if b not in block_ids)

    def release(self, block_ids):
        self.sequences.remove(set(block_ids))
        self.queue.extend(b for b in reversed(block_ids) if not any(b in held for held in self.sequences))

    def evict(self, n):
        return [self.queue.popleft() for _ in range(n)] if n <= len(self.queue) else None


class ListReversed(LRUEviction):
    def evict(self, n):
        got = super().evict(n)
        return got and got[::-1]


class OneAlone(LRUEviction):
    def evict(self, n):
        got = super().evict(n)
        return got[0] if got is not None and n == 1 else got


def one(*steps):
    return told(Evictions, {}, *steps)


def after(*sequences, evict=1, again=()):
    """Sequences are used and released in turn, those of `again` once more; then single blocks are evicted."""
    names = "abcd"[: len(sequences)]
    steps = [
        step for name, blocks in zip(names, sequences) for step in (("begin", name, Row(blocks)), ("release", name))
    ]
    steps += [step for name in again for step in (("again", name), ("release", name))]
    return one(*steps, *[("evict", 1)] * evict)


def together(first, second, *steps):
    return one(("begin", "a", Row(first)), ("begin", "b", Row(second)), *steps)


EVICT_LRU = Exercise(
    id="05.evict_lru",
    title="The longest idle goes first",
    name="LRUEviction",
    cases="programs",
    properties=[
        Property(
            "The block that has been idle for longest is evicted first",
            "Blocks that were used recently are the ones most likely to be used again.",
            [
                after(*sequences, evict=len(sequences))
                for sequences in ([[0]], [[0], [6]], [[6], [0]], [[6], [0], [9]], [[9], [6], [0]])
            ]
            + [
                after([0], [6], again="a", evict=2),
                after([0], [6], [9], again="ab", evict=3),
                after([6], [9], [0], again="a", evict=2),
                after([0], [6], [9], again="b", evict=3),
            ]
            + [
                one(
                    *[("begin", "a", Row([first])), ("release", "a")],
                    *[("again", "a"), ("release", "a")] * times,
                    ("begin", "b", Row([then])),
                    ("release", "b"),
                    ("evict", 1),
                    ("evict", 1),
                )
                for first, then in ((0, 6), (6, 0))
                for times in (1, 2)
            ],
        ),
        Property(
            "The end of a sequence is evicted before its beginning",
            "A block is found through the block before it. Without the beginning, the rest cannot be found.",
            [one(*[step for a, blocks in MANY for step in (("begin", a, Row(blocks)), ("release", a))], ("evict", 40))]
            + [
                after(*sequences, evict=n)
                for sequences, n in (
                    ([[0, 1]], 2),
                    ([[0, 1, 2]], 2),
                    ([[0, 1], [6, 7]], 3),
                    ([[0, 1], [0, 5]], 3),
                    ([[0, 1, 2], [0, 1]], 3),
                    ([[6, 7, 8], [0, 1]], 5),
                    ([[9, 2]], 2),
                    ([[9, 2], [0, 5]], 4),
                    ([[6, 2, 7]], 3),
                )
            ]
            + [
                one(("begin", "a", Row(blocks)), ("release", "a"), ("evict", n))
                for blocks, n in (([0, 1], 2), ([0, 1, 2], 3), ([9, 2], 2))
            ],
        ),
        Property(
            "A block that a request holds is not evicted",
            "Its keys and values are read in the next step.",
            [
                one(("begin", "a", Row([0])), ("evict", 1)),
                one(("begin", "a", Row([0, 1])), ("evict", 1)),
                after([0], evict=0),
            ]
            + [
                one(("begin", "a", Row([0])), ("release", "a"), ("again", "a"), ("evict", 1)),
                one(
                    ("begin", "a", Row([0, 1])), ("release", "a"), ("begin", "b", Row([0])), ("evict", 1), ("evict", 1)
                ),
                one(("begin", "a", Row([0])), ("again", "a"), ("release", "a"), ("evict", 1)),
                one(("begin", "a", Row([0])), ("again", "a"), ("release", "a"), ("release", "a"), ("evict", 1)),
            ]
            + [together([0, 1], [0, 5], ("release", "a"), ("evict", n), ("evict", 1)) for n in (1, 2)]
            + [together([0], [0, 1], ("release", who), ("evict", 1)) for who in "ab"]
            + [together([0, 1], [0, 1], ("release", "b"), ("evict", 1))]
            + [together([6], [6], ("release", "a"), ("evict", 1), ("release", "b"), ("evict", 1))],
        ),
        Property(
            "When fewer blocks are idle than are needed, `evict` returns `None` and changes nothing",
            "All or none: the caller cannot use a part of them.",
            [
                one(("begin", "a", Row(range(k))), ("release", "a"), ("evict", k + more), ("evict", 1))
                for k in (1, 2, 3)
                for more in (1, 2)
            ]
            + [
                one(("evict_none", 0)),
                one(("begin", "a", Row([0])), ("evict_none", 0)),
                one(("begin", "a", Row([0])), ("release", "a"), ("evict_none", 0), ("evict", 1)),
            ],
        ),
        Property(
            "An evicted block is forgotten",
            "It belongs to another request now, and may be cached again with other tokens.",
            [
                one(("begin", "a", Row([0])), ("release", "a"), ("evict", 1), ("evict", 1)),
                one(("begin", "a", Row([0, 1])), ("release", "a"), ("evict", 1), ("evict", 1), ("evict", 1)),
                one(
                    ("begin", "a", Row([0, 1])),
                    ("release", "a"),
                    ("evict", 2),
                    ("begin", "b", Row([9, 1])),
                    ("release", "b"),
                    ("evict", 2),
                ),
                one(
                    ("begin", "a", Row([6])),
                    ("release", "a"),
                    ("evict", 1),
                    ("again", "a"),
                    ("evict", 1),
                    ("release", "a"),
                    ("evict", 1),
                ),
            ],
        ),
        Property(
            "In any order of calls, the right blocks are evicted",
            "Requests begin, end, begin again and share blocks, in any order.",
            played(Evictions, LRUEviction, 80, 3),
        ),
    ],
    mistakes=[
        Mistake(
            "the most recently used block is evicted first.",
            "That block is the most likely to be used again. Take the block that has been idle for longest.",
            (Policy.variant(rank=lambda policy, block: -policy.since[block]),),
        ),
        Mistake(
            "the parent is evicted before its child.",
            "All blocks of a sequence become idle at the same time. Its end must be evicted first, because it cannot "
            "be found without the beginning. Go through the list from the end: `reversed(block_ids)`.",
            Policy.variant(order=lambda block_ids: list(block_ids)),
        ),
        Mistake(
            "age is counted from the first use.",
            "That is first in, first out. In LRU, a block that is used again goes to the end of the queue when it is "
            "released.",
            (FirstInFirstOut, FirstInFirstOut.variant(backwards=False)),
        ),
        Mistake(
            "age is counted from the last use, and not from the release.",
            "A block is idle from the moment when the last request that holds it ends. A long request keeps its blocks "
            "from becoming idle.",
            (LastUse, LastUse.variant(backwards=False)),
        ),
        Mistake(
            "the list of evicted blocks is in the reverse order.",
            "The block that is idle for longest comes first in the list.",
            ListReversed,
        ),
        Mistake(
            "the blocks of a release are put into the order of their ids.",
            "An id says nothing about the place in the sequence. Go through the list as it was given, from its end.",
            (Policy.variant(order=sorted), Policy.variant(order=lambda block_ids: sorted(block_ids, reverse=True))),
        ),
        Mistake(
            "the block that was used least often is evicted first.",
            "That is another policy (LFU). Blocks that were used often long ago would stay forever.",
            LeastOften,
        ),
        *HOLDING,
        Mistake(
            "the order of eviction is that of the block ids.",
            "An id says nothing about age. Keep the order in which the blocks became idle.",
            (Policy.variant(rank=lambda policy, block: block), Policy.variant(rank=lambda policy, block: -block)),
        ),
        *ROOM,
        Mistake(
            "a single block is returned without a list.",
            "Return a list of one block, so that the caller can treat all results alike.",
            OneAlone,
        ),
    ],
    hints=[
        "You need two things: how many requests hold each block, and the order in which the idle blocks became idle.",
        "An `OrderedDict` keeps the order in which keys were added. `popitem(last=False)` removes the oldest key, and "
        "`pop(block, None)` removes any key.",
        "`use` adds 1 to the count of each block and removes it from the idle blocks. `release` goes through the "
        "sequence from its end, subtracts 1, and puts a block at the end of the idle blocks when its count is 0.",
        "`evict`: `if n > len(self.idle): return None`, then `[self.idle.popitem(last=False)[0] for _ in range(n)]`.",
    ],
    rights=[LRUEviction, LRUByClock, LRUByQueue],
    why="A request that holds a block of a sequence holds all blocks before it, so a parent never becomes idle before "
    "its child. Among blocks that become idle together, the last one of the sequence comes first. So children are "
    "always evicted before their parents, and the policy does not need the tree. With an ordered dictionary, the "
    "time for one block does not depend on how many blocks there are.",
)
