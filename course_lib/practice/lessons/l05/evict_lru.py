"""Cases of 05.evict_lru: the block that has been idle for longest goes first, children before their parents."""

from collections import deque

from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.programs import told

from .eviction_game import Evictions, FirstInFirstOut, LeastOften, Policy, Row, played
from .solutions.evict_lru import LRUEviction


class LRUByClock:
    """A number for each moment."""

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
    """A queue in which what is in use again is passed over."""

    def __init__(self):
        self.texts, self.queue = [], deque()

    def use(self, block_ids):
        self.texts.append(set(block_ids))
        self.queue = deque(b for b in self.queue if b not in block_ids)

    def release(self, block_ids):
        self.texts.remove(set(block_ids))
        self.queue.extend(b for b in reversed(block_ids) if not any(b in text for text in self.texts))

    def evict(self, n):
        return [self.queue.popleft() for _ in range(n)] if n <= len(self.queue) else None


class OneAlone(LRUEviction):
    def evict(self, n):
        got = super().evict(n)
        return got[0] if got is not None and n == 1 else got


def one(*steps):
    return told(Evictions, {}, *steps)


def after(*texts, evict=1, again=()):
    """Texts come and go one after the other, those of `again` once more, and then blocks are evicted one by one."""
    names = "abcd"[: len(texts)]
    steps = [step for name, text in zip(names, texts) for step in (("begin", name, Row(text)), ("release", name))]
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
            "What was asked for lately is the best guess for what is asked for next.",
            [
                after(*texts, evict=len(texts))
                for texts in ([[0]], [[0], [6]], [[6], [0]], [[6], [0], [9]], [[9], [6], [0]])
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
            "Of one text, the end goes before the beginning",
            "A block is found through the one before it. Without the beginning, the rest is lost too.",
            [
                after(*texts, evict=n)
                for texts, n in (
                    ([[0, 1]], 2),
                    ([[0, 1, 2]], 2),
                    ([[0, 1], [6, 7]], 3),
                    ([[0, 1], [0, 5]], 3),
                    ([[0, 1, 2], [0, 1]], 3),
                    ([[6, 7, 8], [0, 1]], 5),
                )
            ],
        ),
        Property(
            "A block that somebody holds is not evicted",
            "Its keys and values are read in the very next step.",
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
            "Where fewer are idle than are needed, `None` comes back and nothing changes",
            "All or nothing: the caller cannot use half of them.",
            [
                one(("begin", "a", Row(range(k))), ("release", "a"), ("evict", k + more), ("evict", 1))
                for k in (1, 2, 3)
                for more in (1, 2)
            ],
        ),
        Property(
            "An evicted block is gone",
            "It belongs to somebody else now, and may be cached again with another text.",
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
            "In any program the same blocks go",
            "Texts begin, end, come back and share, in every order.",
            played(Evictions, LRUEviction, 80, 3),
        ),
    ],
    mistakes=[
        Mistake(
            "the most recently used block goes first.",
            "It is the one most likely to be asked for again. Take from the other end: the longest idle.",
            (Policy.variant(rank=lambda policy, block: -policy.since[block]),),
        ),
        Mistake(
            "the parent is evicted before its child.",
            "All blocks of a text become idle in one moment, and the end must go "
            "first, since nobody finds it without the beginning. Go through the "
            "list from behind: `reversed(block_ids)`.",
            Policy.variant(order=lambda block_ids: list(block_ids)),
        ),
        Mistake(
            "age is counted from the first use.",
            "That is first in, first out. A block that is used again is young again: "
            "it goes to the end of the queue when it is released.",
            FirstInFirstOut,
        ),
        Mistake(
            "the block that was used least often goes first.",
            "That is another policy (LFU). What was popular long ago would stay for ever.",
            LeastOften,
        ),
        Mistake(
            "a block that others still hold becomes idle.",
            "Count the holders: a block is idle when the last of them has released it.",
            Policy.variant(counts=False),
        ),
        Mistake(
            "a block stays idle while it is in use.",
            "When a text uses a cached block again, take it out of the idle ones.",
            Policy.variant(leaves=False),
        ),
        Mistake(
            "block ids decide.",
            "They say nothing about age. Keep an order of your own: who became idle first.",
            (Policy.variant(rank=lambda policy, block: block), Policy.variant(rank=lambda policy, block: -block)),
        ),
        Mistake(
            "fewer blocks than needed are given.",
            "The caller needs n. Where there are fewer, return None and keep them.",
            Policy.variant(short="some"),
        ),
        Mistake(
            "blocks are lost where there are too few.",
            "Look first whether there are n, and take them out after that.",
            Policy.variant(short="lost"),
        ),
        Mistake(
            "an evicted block stays among the idle ones.",
            "It would be handed out twice. Take it out.",
            Policy.variant(forgets=False),
        ),
        Mistake(
            "a single block comes back without a list.",
            "A list of one, so that the caller can treat all alike.",
            OneAlone,
        ),
    ],
    hints=[
        "Two things must be known: how many texts hold each block, and in which order the idle ones became idle.",
        "An `OrderedDict` keeps the order in which keys came in; `popitem(last=False)` takes the oldest, and `pop(block, None)` "
        "takes a block out of the middle.",
        "`use` counts one up and takes the block out of the idle ones. `release` goes through the text from behind, counts one "
        "down, and puts the block at the end of the idle ones "
        "when nobody is left.",
        "`evict`: `if n > len(self.idle): return None`, and then `[self.idle.popitem(last=False)[0] for _ in range(n)]`.",
    ],
    rights=[LRUEviction, LRUByClock, LRUByQueue],
    why="Whoever holds a block of a text holds all blocks before it, so a parent never becomes idle before its child, and among "
    "those that become idle together the end goes first. So children "
    "always go before their parents, and nobody had to look at the tree. An ordered dictionary does each of the three in "
    "the same time however many blocks there are.",
)
