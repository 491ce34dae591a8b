"""05.fork: a second table over the same blocks."""

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.exercise import Exercise, Property, Trial
from course_lib.practice.judge.programs import told

from .fork_mistakes import MISTAKES
from .solutions.fork import BlockTable
from .table_game import Tables, played


class ForkOneByOne(BlockTable):
    """Right: forks and frees each block by itself."""

    def fork(self):
        other = type(self)(self.allocator)
        for block in self.block_ids:
            self.allocator.fork([block])
            other.block_ids.append(block)
        other.num_tokens = self.num_tokens
        return other

    def free(self):
        while self.block_ids:
            self.allocator.free([self.block_ids.pop()])
        self.num_tokens = 0


class ForkByCopying(BlockTable):
    """Right: copies the object, then its list."""

    def fork(self):
        import copy

        other = copy.copy(self)
        other.block_ids = [*self.block_ids]
        other.allocator.fork(other.block_ids)
        return other

    def free(self):
        given, self.block_ids = self.block_ids, []
        self.num_tokens = 0
        self.allocator.free(reversed(given))


class Listening(BlockAllocator):
    """An allocator that records the order in which blocks are freed."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.came_back = []

    def free(self, block_ids):
        block_ids = list(block_ids)
        super().free(block_ids)
        self.came_back += block_ids


def order(tokens, forked, taken=False):
    """The Trial of the order in which the blocks of a table with this many tokens are freed.

    taken: whether all blocks were allocated and freed before, so that ids fall from block to block.
    """

    def act(answer):
        allocator = Listening(8, 2)
        if taken:
            blocks = allocator.allocate(8)
            allocator.free(blocks[::-1])
            allocator.came_back.clear()
        table = answer(allocator)
        table.append_slots(tokens)
        if forked:
            table = table.fork()
        table.free()
        return allocator.came_back

    lines = [
        "from course_lib.practice.play import Listening",
        "allocator = Listening(8, 2)  # records the order of freed blocks",
        *(["allocator.free(allocator.allocate(8)[::-1])  # the highest id is allocated first now"] if taken else []),
        *(["allocator.came_back.clear()"] if taken else []),
        "a = BlockTable(allocator)",
        f"a.append_slots({tokens})",
        *(["a = a.fork()"] if forked else []),
        "a.free()",
        "allocator.came_back",
    ]
    return Trial(lines, act, size=tokens + forked)


def one(num_blocks, *steps, block_size=4):
    return told(Tables, {"num_blocks": num_blocks, "block_size": block_size}, *steps)


def forked(tokens, *more, block_size=4):
    return one(8, ("table", "a"), ("append", "a", tokens), ("fork", "b", "a"), *more, block_size=block_size)


def not_in_order(*more):
    """`b` holds blocks whose ids do not rise: another table was freed before it took its last one."""
    begin = ("table", "a"), ("append", "a", 20), ("table", "b"), ("append", "b", 4), ("free", "a"), ("append", "b", 4)
    return one(6, *begin, *more)


ORDER = [order(tokens, forked) for tokens in (3, 4, 6, 8) for forked in (False, True)]
ORDER += [order(tokens, forked, taken=True) for tokens in (4, 6, 15) for forked in (False, True)]

FORK = Exercise(
    id="05.fork",
    title="Two tables, the same blocks",
    name="BlockTable",
    cases="programs",
    properties=[
        Property(
            "A fork holds the same tokens in the same blocks, and each block has one more reference",
            "If a reference is not counted, the allocator gives the block to another request while it is still read.",
            [forked(tokens, block_size=size) for tokens in (1, 4, 6, 8) for size in (4, 2)]
            + [forked(tokens, ("fork", "c", "b"), ("fork", "d", "a")) for tokens in (1, 4, 6)]
            + [not_in_order(("fork", "c", "b"), *more) for more in ([], [("fork", "d", "c")])]
            + [one(4, ("table", "a"), ("fork", "b", "a"))],
        ),
        Property(
            "After a fork, the two tables grow independently",
            "Tokens appended to one table are not in the other.",
            [forked(tokens, ("append", who, n)) for tokens in (4, 8) for who in "ab" for n in (1, 4, 5)]
            + [forked(tokens, ("append", "a", 2), ("append", "b", 3)) for tokens in (4, 8)]
            + [one(4, ("table", "a"), ("fork", "b", "a"), ("append", who, n)) for who in "ab" for n in (1, 4)],
        ),
        Property(
            "`free` releases one reference of each block and leaves the table empty",
            "A block becomes free when the last table that holds it releases it, and not before.",
            [one(8, ("table", "a"), ("append", "a", tokens), ("free", "a")) for tokens in (1, 4, 6)]
            + [forked(tokens, ("free", who)) for tokens in (1, 4, 6) for who in "ab"]
            + [forked(tokens, ("free", one), ("free", other)) for tokens in (1, 4, 6) for one, other in ("ab", "ba")],
        ),
        Property(
            "`free` releases the last block first",
            "Later in this lesson, blocks that are released first are evicted first, and the end of a sequence must "
            "be evicted before its beginning.",
            ORDER,
        ),
        Property(
            "In any order of appends, forks and frees, blocks and reference counts are right",
            "An engine makes these calls in any order.",
            played(Tables, BlockTable, 60, 5, "table", "fork", "fork", "free"),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "A table is a list of block ids and a number of tokens. A fork is another table with the same ids and the "
        "same number.",
        "The allocator must know that each block has one more holder: `self.allocator.fork(block_ids)`. Each table "
        "needs its own list, because the lists will differ soon.",
        "`free` is the opposite: `self.allocator.free(block_ids)` releases one reference of each block, whether other "
        "tables hold it or not. Pass the blocks from last to first, then empty the table.",
        "`other = BlockTable(self.allocator)`, `self.allocator.fork(self.block_ids)`, `other.block_ids, "
        "other.num_tokens = list(self.block_ids), self.num_tokens`; and in `free`: "
        "`self.allocator.free(self.block_ids[::-1])`.",
    ],
    rights=[BlockTable, ForkOneByOne, ForkByCopying],
    why="The cost of a fork depends on the length of the list, not on what the blocks hold. A table never asks which "
    "other tables hold a block, neither in `fork` nor in `free`: the reference count in the allocator is all the "
    "coordination that is needed.",
)
