"""Mistakes of 05.evict_priority, each with wrong answers that make it."""

from course_lib.practice.judge.exercise import Mistake

from .eviction_game import FirstInFirstOut, Policy


class OnlyTheLast(Policy):
    """Only the last block of a text gets its priority; the others keep theirs."""

    def use(self, block_ids, priority=0):
        before = {b: self.priority.get(b) for b in block_ids[:-1]}
        super().use(block_ids, priority)
        self.priority.update({b: 9 if old is None else old for b, old in before.items()})


MISTAKES = [
    Mistake(
        "priority is turned round.",
        "A lower number is more important, so the highest number goes first.",
        Policy.variant(rank=lambda policy, block: (policy.priority[block], policy.since[block])),
    ),
    Mistake(
        "priority is not looked at.",
        "That is LRU. The least important block goes first, and only among equals the longest idle.",
        Policy.variant(rank=lambda policy, block: policy.since[block]),
    ),
    Mistake(
        "ties are not broken by age.",
        "Among equals the longest idle goes first. A stable `sorted` keeps the order in "
        "which they came; a sort by `(-priority, block)` does not.",
        (
            Policy.variant(rank=lambda policy, block: (-policy.priority[block], block)),
            Policy.variant(rank=lambda policy, block: (-policy.priority[block], -block)),
        ),
    ),
    Mistake(
        "among equals the most recently used goes first.",
        "It is the one most likely to be asked for again. Take the longest idle.",
        Policy.variant(rank=lambda policy, block: (-policy.priority[block], -policy.since[block])),
    ),
    Mistake(
        "among equals age is counted from the first use.",
        "A block that is used again is young again: its age begins when it is released.",
        FirstInFirstOut,
    ),
    Mistake(
        "the last user decides.",
        "One important user is enough. Keep the lowest number: `min(priority, self.priority.get(block, priority))`.",
        Policy.variant(better=lambda new, old: new),
    ),
    Mistake(
        "the first user decides.",
        "An important text may come later. Keep the lowest number: `min(priority, self.priority.get(block, priority))`.",
        Policy.variant(better=lambda new, old: new if old is None else old),
    ),
    Mistake(
        "the least important user decides.",
        "One important user is enough: the lowest number, so `min` and not `max`.",
        Policy.variant(better=lambda new, old: new if old is None else max(new, old)),
    ),
    Mistake(
        "only the last block of a text gets its priority.",
        "The end cannot be found without the beginning: all of its blocks are as important.",
        OnlyTheLast,
    ),
    Mistake(
        "the priority outlives its block.",
        "An evicted block is cached again with another text, which may be less "
        "important. Forget the priority with the block.",
        Policy.variant(forgets_priority=False),
    ),
    Mistake(
        "the parent is evicted before its child.",
        "Of one text, the end must go first, since nobody finds it without "
        "the beginning. Release from behind: `reversed(block_ids)`.",
        Policy.variant(order=lambda block_ids: list(block_ids)),
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
]
