"""Mistakes of 05.fork, each with wrong answers that make it."""

from course_lib.practice.judge.exercise import Mistake

from .solutions.fork import BlockTable


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
            if empties in (True, "blocks"):
                self.block_ids = []
            if empties in (True, "tokens"):
                self.num_tokens = 0

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


class ItselfWhileEmpty(BlockTable):
    def fork(self):
        return super().fork() if self.block_ids else self


class NothingBack(BlockTable):
    def fork(self):
        other = type(self)(self.allocator)
        self.allocator.fork(self.block_ids)
        other.block_ids, other.num_tokens = list(self.block_ids), self.num_tokens


MISTAKES = [
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
    Mistake(
        "the fork of an empty table is the table itself.",
        "A table without blocks is forked like any other: make a new BlockTable. Otherwise both names stand for one "
        "table, and a token appended to one is in both.",
        ItselfWhileEmpty,
    ),
    Mistake(
        "the fork has an allocator of its own.",
        "`copy.deepcopy` copies the allocator too, and the two then give the same blocks to different requests. "
        "Copy the list of ids, and keep the allocator.",
        is_made_by=lambda answer, found: "allocator of its own" in str(found.got),
    ),
    Mistake(
        "the order of the blocks is lost.",
        "The table lists its blocks in the order of the sequence. A set, or a sorted list, has another order.",
        (wrong_fork(holds=sorted), wrong_fork(holds=lambda ids: sorted(ids, reverse=True))),
    ),
    Mistake(
        "`free` follows the ids, not the order of the sequence.",
        "A higher id does not stand later in the sequence. Reverse the list: `self.block_ids[::-1]`.",
        (
            wrong_free(gives=lambda table: sorted(table.block_ids, reverse=True)),
            wrong_free(gives=lambda table: sorted(table.block_ids)),
        ),
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
        wrong_free(gives=lambda table: [b for b in table.block_ids[::-1] for _ in range(table.allocator.ref_count(b))]),
    ),
    Mistake(
        "the table still holds its block ids after `free`.",
        "The blocks may belong to another request by then. Leave the table empty: no blocks and no tokens.",
        (wrong_free(empties=False), wrong_free(empties="tokens")),
    ),
    Mistake(
        "the table still counts its tokens after `free`.",
        "Leave the table empty: no blocks, and `num_tokens` 0.",
        wrong_free(empties="blocks"),
    ),
    Mistake(
        "the first block is released first.",
        "The beginning of a cached sequence would be evicted before its end, and the end cannot be found without "
        "the beginning. `self.block_ids[::-1]` reverses the list.",
        wrong_free(gives=lambda table: table.block_ids),
    ),
]
