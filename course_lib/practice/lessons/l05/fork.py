"""05.fork: a second table over the same blocks."""

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.programs import told

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


def wrong_fork(counts=lambda ids: ids, holds=list, tokens=lambda table: table.num_tokens):
    """A table class whose fork differs from the right one in one part."""

    class WrongFork(BlockTable):
        def fork(self):
            other = type(self)(self.allocator)
            self.allocator.fork(counts(self.block_ids))
            other.block_ids, other.num_tokens = holds(self.block_ids), tokens(self)
            return other

    return WrongFork


def wrong_free(gives=lambda table: table.block_ids[::-1], empties=True):
    """A table class whose free differs from the right one in one part."""

    class WrongFree(BlockTable):
        def fork(self):
            other = type(self)(self.allocator)
            self.allocator.fork(self.block_ids)
            other.block_ids, other.num_tokens = list(self.block_ids), self.num_tokens
            return other

        def free(self):
            self.allocator.free(gives(self))
            if empties:
                self.block_ids, self.num_tokens = [], 0

    return WrongFree


class CopiesAll(BlockTable):
    def fork(self):
        other = type(self)(self.allocator)
        other.block_ids, other.num_tokens = self.allocator.allocate(len(self.block_ids)), self.num_tokens
        return other


class OnlyFull(BlockTable):
    def fork(self):
        other, full = type(self)(self.allocator), self.num_tokens // self.allocator.block_size
        other.block_ids, other.num_tokens = self.block_ids[:full], full * self.allocator.block_size
        self.allocator.fork(other.block_ids)
        return other


class ItselfAgain(BlockTable):
    def fork(self):
        self.allocator.fork(self.block_ids)
        return self


class NothingBack(BlockTable):
    def fork(self):
        other = type(self)(self.allocator)
        self.allocator.fork(self.block_ids)
        other.block_ids, other.num_tokens = list(self.block_ids), self.num_tokens


class Listening(BlockAllocator):
    """An allocator that records the order in which blocks are freed."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.came_back = []

    def free(self, block_ids):
        block_ids = list(block_ids)
        super().free(block_ids)
        self.came_back += block_ids


def order(tokens, forked):
    """The Trial of the order in which the blocks of a table with this many tokens are freed."""

    def act(answer):
        allocator = Listening(8, 2)
        table = answer(allocator)
        table.append_slots(tokens)
        if forked:
            table = table.fork()
        table.free()
        return allocator.came_back

    lines = [
        "from course_lib.practice.play import Listening",
        "allocator = Listening(8, 2)  # records the order of freed blocks",
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


ORDER = [order(tokens, forked) for tokens in (3, 4, 6, 8) for forked in (False, True)]

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
            + [forked(tokens, ("fork", "c", "b"), ("fork", "d", "a")) for tokens in (1, 4, 6)],
        ),
        Property(
            "After a fork, the two tables grow independently",
            "Tokens appended to one table are not in the other.",
            [forked(tokens, ("append", who, n)) for tokens in (4, 8) for who in "ab" for n in (1, 4, 5)]
            + [forked(tokens, ("append", "a", 2), ("append", "b", 3)) for tokens in (4, 8)],
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
    mistakes=[
        Mistake(
            "the reference counts are not raised.",
            "The allocator counts one table for the block. When that table is freed, the block goes to another "
            "request while the other table still reads it. `self.allocator.fork(self.block_ids)` counts the second "
            "holder.",
            wrong_fork(counts=lambda ids: []),
        ),
        Mistake(
            "both tables share one list.",
            "`other.block_ids = self.block_ids` gives one list two names, so a block that is appended to one table "
            "appears in the other. Make a list of its own: `list(self.block_ids)`.",
            wrong_fork(holds=lambda ids: ids),
        ),
        Mistake(
            "`num_tokens` of the fork is not set.",
            "`num_tokens` says where the next token goes. Copy it together with the blocks.",
            wrong_fork(tokens=lambda table: 0),
        ),
        Mistake(
            "`num_tokens` is rounded up to whole blocks.",
            "The last block may be partly empty. Copy `self.num_tokens` as it is.",
            wrong_fork(tokens=lambda table: len(table.block_ids) * table.allocator.block_size),
        ),
        Mistake(
            "the fork takes new blocks.",
            "Then no block is shared, and the new blocks hold no keys and values. The fork must hold the same blocks.",
            CopiesAll,
        ),
        Mistake(
            "only full blocks are shared.",
            "The tokens in the last block belong to the sequence too. The block is shared until one of the tables "
            "writes into it.",
            (OnlyFull, wrong_fork(counts=lambda ids: ids[:-1], holds=lambda ids: ids[:-1])),
        ),
        Mistake(
            "the reference counts of some blocks are not raised.",
            "Every block of the table has one more holder.",
            (
                wrong_fork(counts=lambda ids: ids[-1:]),
                wrong_fork(counts=lambda ids: ids[:-1]),
                wrong_fork(counts=lambda ids: ids[:1]),
            ),
        ),
        Mistake(
            "the reference counts are raised twice.",
            "One fork is one more holder. With two counted, the block never becomes free.",
            wrong_fork(counts=lambda ids: ids * 2),
        ),
        Mistake(
            "`fork` returns the table itself.",
            "Then both names stand for one table, and a token appended to one is in both. Make a new BlockTable.",
            ItselfAgain,
        ),
        Mistake("`fork` returns nothing.", "Put `return other` at its end.", NothingBack),
        Mistake(
            "`free` releases no block.",
            "The blocks stay counted for a table that no longer exists: a leak. `self.allocator.free(...)` releases "
            "one reference of each block.",
            wrong_free(gives=lambda table: []),
        ),
        Mistake(
            "shared blocks are not released.",
            "Every table releases its own reference, also when other tables hold the block. The allocator keeps the "
            "block until the last reference is released.",
            wrong_free(gives=lambda table: [b for b in table.block_ids[::-1] if table.allocator.ref_count(b) == 1]),
        ),
        Mistake(
            "`free` releases the references of other tables too.",
            "One reference of each block belongs to this table. The others belong to the other tables that hold it.",
            wrong_free(
                gives=lambda table: [b for b in table.block_ids[::-1] for _ in range(table.allocator.ref_count(b))]
            ),
        ),
        Mistake(
            "the table still holds its block ids after `free`.",
            "The blocks may belong to another request by then. Leave the table empty: no blocks and no tokens.",
            wrong_free(empties=False),
        ),
        Mistake(
            "the first block is released first.",
            "The beginning of a cached sequence would be evicted before its end, and the end cannot be found without "
            "the beginning. `self.block_ids[::-1]` reverses the list.",
            wrong_free(gives=lambda table: table.block_ids),
        ),
    ],
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
