"""Cases of 05.fork: a second table over the same blocks."""

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.programs import told

from .solutions.fork import BlockTable
from .table_game import Tables, played


class ForkOneByOne(BlockTable):
    """Each block by itself."""

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
    """The object copied, then its list."""

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
    """A table whose fork is wrong in one thing."""

    class WrongFork(BlockTable):
        def fork(self):
            other = type(self)(self.allocator)
            self.allocator.fork(counts(self.block_ids))
            other.block_ids, other.num_tokens = holds(self.block_ids), tokens(self)
            return other

    return WrongFork


def wrong_free(gives=lambda table: table.block_ids[::-1], empties=True):
    """A table whose free is wrong in one thing."""

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
    """Notes the order in which blocks come back."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.came_back = []

    def free(self, block_ids):
        block_ids = list(block_ids)
        super().free(block_ids)
        self.came_back += block_ids


def order(tokens, forked):
    """In which order the blocks come back when a table of so many tokens is freed."""

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
        "allocator = Listening(8, 2)  # notes what comes back",
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
            "A fork holds the same tokens in the same blocks, each with one reference more",
            "A block whose reference is not counted is handed to somebody else while it is still read.",
            [forked(tokens, block_size=size) for tokens in (1, 4, 6, 8) for size in (4, 2)]
            + [forked(tokens, ("fork", "c", "b"), ("fork", "d", "a")) for tokens in (1, 4, 6)],
        ),
        Property(
            "After a fork, each table goes its own way",
            "What one appends is not in the other.",
            [forked(tokens, ("append", who, n)) for tokens in (4, 8) for who in "ab" for n in (1, 4, 5)]
            + [forked(tokens, ("append", "a", 2), ("append", "b", 3)) for tokens in (4, 8)],
        ),
        Property(
            "`free` takes one reference from each block and leaves the table empty",
            "A block is free again when the last table gives it up, and not before.",
            [one(8, ("table", "a"), ("append", "a", tokens), ("free", "a")) for tokens in (1, 4, 6)]
            + [forked(tokens, ("free", who)) for tokens in (1, 4, 6) for who in "ab"]
            + [forked(tokens, ("free", one), ("free", other)) for tokens in (1, 4, 6) for one, other in ("ab", "ba")],
        ),
        Property(
            "`free` gives back the last block first",
            "Later in this lesson blocks that come back first are evicted first, "
            "and the end of a text must go "
            "before its beginning.",
            ORDER,
        ),
        Property(
            "Any program of tables, appends, forks and frees keeps the books",
            "An engine makes these calls in every order.",
            played(Tables, BlockTable, 60, 5, "table", "fork", "fork", "free"),
        ),
    ],
    mistakes=[
        Mistake(
            "the reference counts are not raised.",
            "The allocator believes that one table holds the block. When that one "
            "ends, the block goes to somebody else "
            "while the other still reads it. `self.allocator.fork(self.block_ids)` counts the second holder.",
            wrong_fork(counts=lambda ids: []),
        ),
        Mistake(
            "both tables share one list.",
            "`other.block_ids = self.block_ids` gives one list two names, so a block that is "
            "appended to one table appears in the "
            "other. Make a list of its own: `list(self.block_ids)`.",
            wrong_fork(holds=lambda ids: ids),
        ),
        Mistake(
            "the fork does not know how many tokens it holds.",
            "`num_tokens` says where the next token goes. Take it over with the blocks.",
            wrong_fork(tokens=lambda table: 0),
        ),
        Mistake(
            "`num_tokens` is rounded up to whole blocks.",
            "The last block may be partly empty. Take over `self.num_tokens` as it is.",
            wrong_fork(tokens=lambda table: len(table.block_ids) * table.allocator.block_size),
        ),
        Mistake(
            "the fork takes fresh blocks.",
            "Then nothing is shared, and nobody has put keys and values into them. The fork holds the same blocks.",
            CopiesAll,
        ),
        Mistake(
            "only full blocks are shared.",
            "The tokens in the last block belong to the text as well. It is shared until somebody writes into it.",
            (OnlyFull, wrong_fork(counts=lambda ids: ids[:-1], holds=lambda ids: ids[:-1])),
        ),
        Mistake(
            "only some blocks are counted.",
            "Every block of the table has one holder more.",
            (
                wrong_fork(counts=lambda ids: ids[-1:]),
                wrong_fork(counts=lambda ids: ids[:-1]),
                wrong_fork(counts=lambda ids: ids[:1]),
            ),
        ),
        Mistake(
            "references are counted twice.",
            "One fork is one holder more. With two, the block never becomes free.",
            wrong_fork(counts=lambda ids: ids * 2),
        ),
        Mistake(
            "`fork` returns the table itself.",
            "Two names for one table are no second table: what one writes, both have. Make a new BlockTable.",
            ItselfAgain,
        ),
        Mistake("`fork` returns nothing.", "Put `return other` at its end.", NothingBack),
        Mistake(
            "`free` gives nothing back.",
            "The blocks stay counted for a table that is gone: a leak. `self.allocator.free(...)` takes one reference from "
            "each.",
            wrong_free(gives=lambda table: []),
        ),
        Mistake(
            "shared blocks are not released.",
            "Every holder takes its own reference back, also where others remain. The "
            "allocator keeps the block until the last one.",
            wrong_free(gives=lambda table: [b for b in table.block_ids[::-1] if table.allocator.ref_count(b) == 1]),
        ),
        Mistake(
            "`free` takes the references of other tables too.",
            "One reference for each block is this table's. The others belong to whoever forked.",
            wrong_free(
                gives=lambda table: [b for b in table.block_ids[::-1] for _ in range(table.allocator.ref_count(b))]
            ),
        ),
        Mistake(
            "the table still names its blocks after `free`.",
            "They may be somebody else's by now. Leave it empty: no blocks and no tokens.",
            wrong_free(empties=False),
        ),
        Mistake(
            "the first block is given back first.",
            "Of a cached text the beginning would be evicted before the end, and "
            "without its beginning nobody finds the end. "
            "`self.block_ids[::-1]` turns the list round.",
            wrong_free(gives=lambda table: table.block_ids),
        ),
    ],
    hints=[
        "A table is a list of block ids and a number of tokens. A fork is another table with the same of both.",
        "The allocator has to know that each block has one holder more: `self.allocator.fork(block_ids)`. And the two tables "
        "need lists of their own, since they will differ "
        "soon.",
        "`free` is the other way round: `self.allocator.free(block_ids)` takes one reference from each, whoever else holds "
        "them. Hand it the blocks from last to first, then "
        "empty the table.",
        "`other = BlockTable(self.allocator)`, `self.allocator.fork(self.block_ids)`, `other.block_ids, other.num_tokens = "
        "list(self.block_ids), self.num_tokens`; and in `free`: "
        "`self.allocator.free(self.block_ids[::-1])`.",
    ],
    rights=[BlockTable, ForkOneByOne, ForkByCopying],
    why="Forking costs as much as the list is long, however much is in the blocks. The table does not ask who else holds a "
    "block, neither when it shares nor when it "
    "gives up: the allocator counts, and that is all the coordination there is.",
)
