"""Mistakes of 05.evict_priority, each with wrong answers that make it."""

from course_lib.practice.judge.exercise import Mistake

from .eviction_game import OUTLIVED, FirstInFirstOut, Policy
from .eviction_mistakes import HOLDING, ROOM


class OnlyTheLast(Policy):
    """Only the last block of a sequence gets the priority of the request; the others keep theirs."""

    def use(self, block_ids, priority=0):
        before = {b: self.priority.get(b) for b in block_ids[:-1]}
        super().use(block_ids, priority)
        self.priority.update({b: 9 if old is None else old for b, old in before.items()})


class ForgetsWhenIdle(Policy):
    """The first use of an idle block sets its priority anew."""

    def use(self, block_ids, priority=0):
        for block in block_ids:
            if not self.holders.get(block):
                self.priority.pop(block, None)
        super().use(block_ids, priority)


def as_text(priority):
    """A key that sorts numbers as text, from the last to the first."""
    return [-ord(letter) for letter in str(priority)] + [1]


def is_unstable(answer):
    """Whether equals come in the order in which they became idle if they are few, and in another one if many."""

    def evicted(n):
        policy = answer()
        for first in (0, n):
            policy.use(list(range(first, first + n)), 1 + first)
            policy.release(list(range(first, first + n)))
        return policy.evict(2 * n)

    few, many = (list(range(2 * n))[::-1] for n in (3, 20))
    return evicted(3) == few and evicted(20) != many and sorted(evicted(20)) == sorted(many)


MISTAKES = [
    Mistake(
        "the priority is reversed.",
        "A lower number is more important, so the block with the highest number is evicted first.",
        Policy.variant(rank=lambda policy, block: (policy.priority[block], policy.since[block])),
    ),
    Mistake(
        "the priority is ignored.",
        "That is LRU. The least important block is evicted first. Age decides only among equal priorities.",
        Policy.variant(rank=lambda policy, block: policy.since[block]),
    ),
    Mistake(
        "the sort is not stable.",
        "`np.argsort` and `torch.sort` mix up equal numbers as soon as there are many, unless you ask for a stable "
        "sort. Python's `sorted` keeps the order of equals.",
        is_made_by=lambda answer, found: is_unstable(answer),
    ),
    Mistake(
        "equal priorities are not ordered by age.",
        "Among equal priorities, the block that is idle for longest is evicted first. A stable `sorted` keeps the "
        "order in which the blocks became idle; a sort by `(-priority, block)` does not.",
        (
            Policy.variant(rank=lambda policy, block: (-policy.priority[block], block)),
            Policy.variant(rank=lambda policy, block: (-policy.priority[block], -block)),
        ),
    ),
    Mistake(
        "among equal priorities, the most recently used block is evicted first.",
        "That block is the most likely to be used again. Take the block that has been idle for longest.",
        Policy.variant(rank=lambda policy, block: (-policy.priority[block], -policy.since[block])),
    ),
    Mistake(
        "among equal priorities, age is counted from the first use.",
        "The age of a block begins when it is released, also when it was used before.",
        FirstInFirstOut,
    ),
    Mistake(
        "the last user sets the priority.",
        "One important request is enough. Keep the lowest number: `min(priority, self.priority.get(block, priority))`.",
        Policy.variant(better=lambda new, old: new),
    ),
    Mistake(
        "the first user sets the priority.",
        "An important request may use the block later. Keep the lowest number: `min(priority, "
        "self.priority.get(block, priority))`.",
        Policy.variant(better=lambda new, old: new if old is None else old),
    ),
    Mistake(
        "the least important user sets the priority.",
        "One important request is enough. The lowest number counts: `min`, not `max`.",
        Policy.variant(better=lambda new, old: new if old is None else max(new, old)),
    ),
    Mistake(
        "only the last block of a sequence gets the priority.",
        "The end of a sequence cannot be found without its beginning, so all of its blocks are equally important.",
        OnlyTheLast,
    ),
    Mistake(
        "the priority stays after the block is evicted.",
        "The block is cached again for another sequence, which may be less important. Delete the priority together "
        "with the block.",
        Policy.variant(forgets_priority=False),
    ),
    Mistake(
        "the parent is evicted before its child.",
        "The end of a sequence must be evicted first, because it cannot be found without the beginning. Release from "
        "the end: `reversed(block_ids)`.",
        Policy.variant(order=lambda block_ids: list(block_ids)),
    ),
    *HOLDING,
    *ROOM,
    Mistake(
        "priority 0 is treated as no priority.",
        "0 is the most important priority, and counts as false in Python. `self.priority.get(block) or priority` drops "
        "it: use `self.priority.get(block, priority)`.",
        Policy.variant(better=lambda new, old: min(new, old or new)),
    ),
    Mistake(
        "a new block begins with priority 0.",
        "Then it stays the most important one. A new block has the priority of its first request: "
        "`self.priority.get(block, priority)`.",
        Policy.variant(better=lambda new, old: min(new, old or 0)),
    ),
    Mistake(
        "a new block begins with a fixed priority, or priorities are cut at one.",
        "A request can have a larger number than the one that you chose, and its block would keep yours. A new block "
        "has the priority of its first request: `self.priority.get(block, priority)`.",
        tuple(
            Policy.variant(better=lambda new, old, largest=largest: min(new, largest if old is None else old))
            for largest in (99, 100, 255, 999, 1_000, 9_999, 10_000, 99_999, 100_000, 10**6, 10**9, 2**31 - 1)
        ),
    ),
    Mistake(
        "priority and age are added up to one number.",
        "An age grows without end, so in time it is more than any factor before the priority. Compare a pair: "
        "`(-priority, since)`.",
        tuple(
            Policy.variant(rank=lambda policy, block, by=by: policy.since[block] - by * policy.priority[block])
            for by in (100, 10_000)
        ),
        lambda answer, found: found.trial in OUTLIVED and isinstance(found.outcome, list),
    ),
    Mistake(
        "the blocks of a release are put into the order of their ids.",
        "An id says nothing about the place in the sequence. Go through the list as it was given, from its end.",
        (Policy.variant(order=sorted), Policy.variant(order=lambda block_ids: sorted(block_ids, reverse=True))),
    ),
    Mistake(
        "priorities are compared as text.",
        'As text, "10" comes before "9", and "-1" before "-2". Compare the numbers.',
        Policy.variant(rank=lambda policy, block: (as_text(policy.priority[block]), policy.since[block])),
    ),
    Mistake(
        "priorities are compared as floats.",
        "A float has 53 bits, so large numbers that differ by one become equal. Compare the ints.",
        Policy.variant(rank=lambda policy, block: (-float(policy.priority[block]), policy.since[block])),
    ),
    Mistake(
        "the sign of a priority is lost.",
        "A negative number is lower than 0, and more important. Compare the numbers as they are.",
        Policy.variant(rank=lambda policy, block: (-abs(policy.priority[block]), policy.since[block])),
    ),
    Mistake(
        "the priority is forgotten when a block becomes idle.",
        "It is kept as long as the block is cached, and forgotten when it is evicted.",
        ForgetsWhenIdle,
    ),
]
