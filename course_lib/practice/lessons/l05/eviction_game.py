"""The game of 05.evict_lru and 05.evict_priority: requests use and release cached blocks, some are evicted."""

from itertools import count

from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials


class Row(tuple):
    """Block ids in a step of a program, written as the list that a learner types."""

    def __str__(self):
        return str(list(self))


MANY = [("a", range(20)), ("b", range(20, 40))]
"""Two sequences with more blocks than a sort that is not stable keeps in order."""


class Evictions(Game):
    """Calls of an eviction policy. Sequences form a tree: in all of them, a block has the same block before it."""

    opening = ("policy = LRUEviction()",)
    lines = {
        "begin": "{0} = {1}; policy.use({0})",
        "again": "policy.use({0})",
        "release": "policy.release({0})",
        "evict": "policy.evict({0})",
        "evict_none": "policy.evict({0})",
    }
    least = {"evict": 1}

    def __init__(self, answer):
        self.policy, self.sequences, self.held = answer(), {}, []
        self.parent, self.priority = {}, {}  # of the blocks that are cached
        self.idle, self.clock = {}, count()  # block -> when it became idle

    def begin(self, name, blocks, priority=None):
        if not self._fits(blocks):
            raise Senseless
        self.sequences[name] = list(blocks)
        return self._use(name, priority)

    def again(self, name, priority=None):
        if name not in self.sequences or not self._fits(self.sequences[name]):
            raise Senseless
        return self._use(name, priority)

    def _fits(self, blocks):
        """Whether each block has the same block before it as in the other sequences that are cached now."""
        return all(self.parent.get(block, before) == before for before, block in zip([None, *blocks], blocks))

    def _use(self, name, priority):
        blocks = self.sequences[name]
        for before, block in zip([None, *blocks], blocks):
            self.parent[block] = before
            self.priority[block] = min(priority or 0, self.priority.get(block, priority or 0))
            self.idle.pop(block, None)
        self.held.append(name)
        given = list(blocks)
        self.policy.use(given) if priority is None else self.policy.use(given, priority)
        return self._given_back("use", given, blocks)

    def release(self, name):
        if name not in self.held:
            raise Senseless
        self.held.remove(name)
        in_use = {b for other in self.held for b in self.sequences[other]}
        for block in reversed(self.sequences[name]):
            if block not in in_use:
                self.idle[block] = next(self.clock)
        given = list(self.sequences[name])
        self.policy.release(given)
        return self._given_back("release", given, self.sequences[name])

    def _given_back(self, what, given, blocks):
        return Seen("done") if given == blocks else Seen(f"{what} changed the caller's list", ends=True)

    def evict_none(self, n):
        if n:
            raise Senseless
        return self.evict(n)

    def evict(self, n):
        order = sorted(self.idle, key=lambda b: (-self.priority[b], self.idle[b]))
        right = order[:n] if n <= len(order) else None
        for block in right or ():
            del self.idle[block], self.parent[block], self.priority[block]
        got = self.policy.evict(n)
        return Seen(
            repr(got), "" if got is None or type(got) is list else f"{got!r}, {a_kind(got)}", repr(got) != repr(right)
        )


class EvictionsByPriority(Evictions):
    """Evictions with a priority for each use."""

    opening = ("policy = PriorityEviction()",)
    lines = {**Evictions.lines, "begin": "{0} = {1}; policy.use({0}, {2})", "again": "policy.use({0}, {1})"}


def outlived(times):
    """The Trial of a block of priority 0 that is idle for long, and a less important one that was used often since."""

    def act(answer):
        policy = answer()
        policy.use([0], 0)
        policy.release([0])
        for _ in range(times):
            policy.use([6], 1)
            policy.release([6])
        return policy.evict(1)

    lines = [
        "policy = PriorityEviction()",
        "policy.use([0], 0); policy.release([0])",
        f"for _ in range({times:_}):",
        "    policy.use([6], 1); policy.release([6])",
        "policy.evict(1)",
    ]
    return Trial(lines, act, size=times, note="1 is less important than 0")


OUTLIVED = [outlived(times) for times in (3, 300, 12_000)]
TREE = ([0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [0, 5], [6], [6, 7], [6, 7, 8], [9], [9, 2])
"""Sequences of random programs. The last one can begin only while block 2 is not cached after block 1."""


def draw(priorities=()):
    """draw(random, names, setup) for programs with these priorities, or without."""

    def one(chance, names, setup):
        kind = (
            chance.choice(("begin", "begin", "again", "release", "release", "release", "evict")) if names else "begin"
        )
        more = [chance.choice(priorities)] if priorities else []
        if kind == "begin":
            return (kind, NAMES[len(names) % len(NAMES)], Row(chance.choice(TREE)), *more)
        if kind == "again":
            return (kind, chance.choice(names), *more)
        return (kind, chance.choice(names)) if kind == "release" else (kind, chance.randint(1, 3))

    return one


def played(game, reference, number, seed, priorities=(), lengths=(3, 16)):
    return random_trials(game, reference, draw(priorities), number, seed=seed, lengths=lengths)


class Policy:
    """A right policy made of parts. `variant` replaces parts of it, which gives wrong answers."""

    def __init__(self):
        self.holders, self.since, self.priority, self.clock = {}, {}, {}, count()

    @staticmethod
    def order(block_ids):
        """The order in which the blocks of a sequence become idle."""
        return reversed(block_ids)

    @staticmethod
    def better(new, old):
        """The priority of a block after a use; old: None for a new block."""
        return new if old is None else min(new, old)

    @staticmethod
    def rank(policy, block):
        """The block with the lowest rank is evicted first."""
        return -policy.priority[block], policy.since[block]

    counts = True  # a block may have several holders
    leaves = True  # a block in use is not idle
    stamps = "release"  # when a block's age begins
    short = "none"  # what is returned when fewer are idle: "none" | "some" | "lost" | "empty"
    forgets = True  # an evicted block is no longer idle
    forgets_priority = True

    def use(self, block_ids, priority=0):
        for block in block_ids:
            self.holders[block] = self.holders.get(block, 0) + 1 if self.counts else 1
            self.priority[block] = self.better(priority, self.priority.get(block))
            if self.leaves:
                self.since.pop(block, None)

    def release(self, block_ids):
        for block in self.order(block_ids):
            self.holders[block] = self.holders.get(block, 1) - 1
            if self.holders[block] == 0 or not self.counts:
                if self.stamps == "release" or block not in self.since:
                    self.since[block] = next(self.clock)

    def evict(self, n):
        order = sorted(self.since, key=lambda block: self.rank(self, block))
        if n > len(order) and self.short != "some":
            if self.short == "lost":
                self._forget(order)
            return [] if self.short == "empty" else None
        self._forget(order[:n])
        return order[:n]

    def _forget(self, blocks):
        for block in blocks if self.forgets else ():
            del self.since[block]
            if self.forgets_priority:
                del self.priority[block]

    @classmethod
    def variant(cls, **parts):
        return type(
            "Wrong", (cls,), {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
        )


class FirstInFirstOut(Policy):
    """The age of a block begins when it is cached, not when it is released."""

    backwards = True  # the last block of a sequence is the oldest of those that are cached together

    def __init__(self):
        super().__init__()
        self.first = {}

    def use(self, block_ids, priority=0):
        super().use(block_ids, priority)
        for block in reversed(block_ids) if self.backwards else block_ids:
            self._note(block)

    def _note(self, block):
        self.first.setdefault(block, next(self.clock))

    @staticmethod
    def rank(policy, block):
        return -policy.priority[block], policy.first[block]

    def _forget(self, blocks):
        for block in blocks:
            del self.first[block]
        super()._forget(blocks)


class LastUse(FirstInFirstOut):
    """The age of a block begins when it is used for the last time, not when it is released."""

    def _note(self, block):
        self.first[block] = next(self.clock)


class LeastOften(Policy):
    """The block that was used least often is evicted first."""

    def __init__(self):
        super().__init__()
        self.uses = {}

    def use(self, block_ids, priority=0):
        super().use(block_ids, priority)
        for block in block_ids:
            self.uses[block] = self.uses.get(block, 0) + 1

    @staticmethod
    def rank(policy, block):
        return policy.uses[block], policy.since[block]

    def _forget(self, blocks):
        for block in blocks:
            del self.uses[block]
        super()._forget(blocks)
