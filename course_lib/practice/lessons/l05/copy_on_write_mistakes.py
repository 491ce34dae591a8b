"""Mistakes of 05.copy_on_write, each with wrong answers that make it."""

from course_lib.practice.fixtures.forkable import Forkable
from course_lib.practice.judge.exercise import Mistake


def is_inside(table):
    return table.num_tokens % table.allocator.block_size > 0


def is_shared(table):
    return bool(table.block_ids) and table.allocator.ref_count(table.block_ids[-1]) > 1


def wrong(
    shared=lambda table, n: n > 0 and is_inside(table) and is_shared(table),
    pair=lambda table, source, fresh: [(source, fresh)],
    releases=lambda table, source: [source],
    replaces=lambda ids, fresh: ids[:-1] + [fresh],
    whole=True,
    moves=True,
    joins=lambda copies, pairs: copies + pairs,
    spare=0,
):
    """A table class whose append_slots differs from the right one in one part; see MISTAKES."""

    class Wrong(Forkable):
        def append_slots(self, n):
            size, start = self.allocator.block_size, self.num_tokens
            missing = -(-(start + n) // size) - len(self.block_ids)
            copy = bool(shared(self, n))
            if whole and missing + copy + spare > self.allocator.num_free:
                return None
            if copy:
                fresh = self.allocator.allocate(1)
                if fresh is None:
                    return None
                source = self.block_ids[-1]
                self.allocator.copies = joins(self.allocator.copies, pair(self, source, fresh[0]))
                self.block_ids = replaces(self.block_ids, fresh[0])
                self.allocator.free(releases(self, source))
            more = self.allocator.allocate(missing)
            if more is None:
                return None
            self.block_ids += more
            self.num_tokens += n if moves else 0
            return [self.slot(position) for position in range(start, start + n)]

    return Wrong


class NoRoom(Forkable):
    """Allocates block by block, and returns None after it has taken some."""

    def append_slots(self, n):
        slots = []
        for _ in range(n):
            if self.num_tokens % self.allocator.block_size == 0:
                fresh = self.allocator.allocate(1)
                if fresh is None:
                    return None
                self.block_ids += fresh
            elif self.allocator.ref_count(self.block_ids[-1]) > 1:
                fresh = self.allocator.allocate(1)
                if fresh is None:
                    return None
                self.allocator.copies.append((self.block_ids[-1], fresh[0]))
                self.allocator.free([self.block_ids[-1]])
                self.block_ids[-1] = fresh[0]
            self.num_tokens += 1
            slots.append(self.slot(self.num_tokens - 1))
        return slots


class SlotsBeforeTheCopy(Forkable):
    """Computes the slots first, so that the first ones are in the shared block."""

    def append_slots(self, n):
        size, start = self.allocator.block_size, self.num_tokens
        shared = n > 0 and is_inside(self) and is_shared(self)
        fresh = self.allocator.allocate(-(-(start + n) // size) - len(self.block_ids) + shared)
        if fresh is None:
            return None
        at, copy = len(self.block_ids) - 1, fresh.pop() if shared else None
        self.block_ids += fresh
        self.num_tokens += n
        slots = [self.slot(position) for position in range(start, start + n)]
        if shared:
            self.allocator.copies.append((self.block_ids[at], copy))
            self.allocator.free([self.block_ids[at]])
            self.block_ids[at] = copy
        return slots


class FreesFirst(Forkable):
    """Gives its reference back before it knows that there is room."""

    def append_slots(self, n):
        size, start = self.allocator.block_size, self.num_tokens
        missing = -(-(start + n) // size) - len(self.block_ids)
        shared = n > 0 and is_inside(self) and is_shared(self)
        if shared:
            source = self.block_ids.pop()
            self.allocator.free([source])
        fresh = self.allocator.allocate(missing + shared)
        if fresh is None:
            return None
        if shared:
            self.allocator.copies.append((source, fresh[0]))
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]


class GrowsFirst(Forkable):
    """Counts the new tokens before it knows that there is room."""

    def append_slots(self, n):
        self.num_tokens += n
        ends, self.num_tokens = self.num_tokens, self.num_tokens - n
        slots = wrong().append_slots(self, n)
        self.num_tokens = ends
        return slots


class AllocatesTwice(Forkable):
    """Allocates the new blocks and the block of the copy in two calls, and keeps those of the one that succeeds."""

    def append_slots(self, n):
        size = self.allocator.block_size
        fresh = self.allocator.allocate(-(-(self.num_tokens + n) // size) - len(self.block_ids))
        copy = self.allocator.allocate(1) if n > 0 and is_inside(self) and is_shared(self) else []
        if fresh is None or copy is None:
            return None
        self.allocator.free(fresh + copy)
        return wrong().append_slots(self, n)


class CopiesEverything(Forkable):
    """Copies all shared blocks, not only the last one."""

    def append_slots(self, n):
        size, start = self.allocator.block_size, self.num_tokens
        missing = -(-(start + n) // size) - len(self.block_ids)
        places = [i for i, b in enumerate(self.block_ids) if n and self.allocator.ref_count(b) > 1]
        fresh = self.allocator.allocate(missing + len(places))
        if fresh is None:
            return None
        for i in places:
            self.allocator.copies.append((self.block_ids[i], fresh[0]))
            self.allocator.free([self.block_ids[i]])
            self.block_ids[i] = fresh.pop(0)
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]


MISTAKES = [
    Mistake(
        "a shared block is written.",
        "Two tables then write to the same slots, and each reads what the other wrote. When `ref_count` of the last "
        "block is above 1, take a new block and report the copy.",
        (
            wrong(shared=lambda table, n: False),
            wrong(
                shared=lambda table, n: (
                    n > 0 and is_inside(table) and table.allocator.ref_count(table.block_ids[-1]) > 2
                )
            ),
        ),
    ),
    Mistake(
        "a block is copied although no other table shares it.",
        "The block and the copy are not needed. Other tables read the block only when `ref_count` is above 1.",
        wrong(shared=lambda table, n: n > 0 and is_inside(table)),
    ),
    Mistake(
        "a full block is copied.",
        "No table writes into a full block again. The next token goes into a new block, and the full block stays "
        "shared.",
        (wrong(shared=lambda table, n: n > 0 and is_shared(table)), wrong(shared=lambda table, n: is_shared(table))),
    ),
    Mistake(
        "a copy is made when no token is appended.",
        "`append_slots(0)` writes no token, so no block needs a copy.",
        wrong(shared=lambda table, n: is_inside(table) and is_shared(table)),
    ),
    Mistake(
        "all shared blocks are copied.",
        "Tokens go only into the last block. The other blocks are full and stay shared.",
        CopiesEverything,
    ),
    Mistake(
        "the copy is not reported.",
        "The owner of the pool copies the pairs in `allocator.copies`. Without the pair, the new block stays empty.",
        wrong(pair=lambda table, source, fresh: []),
    ),
    Mistake(
        "the copy goes in the wrong direction.",
        "The pair is `(source, destination)`: from the shared block to the new one. In the other direction the empty "
        "block overwrites the tokens of all tables that share it.",
        wrong(pair=lambda table, source, fresh: [(fresh, source)]),
    ),
    Mistake(
        "the wrong block is copied.",
        "The table writes into its last block. The source is `self.block_ids[-1]` before you replace it.",
        (
            wrong(pair=lambda table, source, fresh: [(table.block_ids[0], fresh)]),
            wrong(pair=lambda table, source, fresh: [(fresh, fresh)]),
            wrong(pair=lambda table, source, fresh: [([*table.block_ids[:-1], fresh][0], fresh)]),
            wrong(pair=lambda table, source, fresh: [(table.block_ids[max(-2, -len(table.block_ids))], fresh)]),
        ),
    ),
    Mistake(
        "the table keeps the shared block.",
        "The new block replaces the shared one: `self.block_ids[-1] = destination`.",
        (wrong(replaces=lambda ids, fresh: ids), wrong(replaces=lambda ids, fresh: ids + [fresh])),
    ),
    Mistake(
        "the reference to the shared block is not released.",
        "This table no longer reads the block, so it must release its reference: `allocator.free([source])`. "
        "Otherwise the block never becomes free, and its last holder makes a copy that is not needed.",
        wrong(releases=lambda table, source: []),
    ),
    Mistake(
        "the reference to the wrong block is released.",
        "Release the reference to the shared block.",
        wrong(releases=lambda table, source: [table.block_ids[-1]]),
    ),
    Mistake(
        "blocks are taken although not all of them fit.",
        "Count the block of the copy and the new blocks first, and allocate them in one call: `allocate` gives all of "
        "them or none.",
        (wrong(whole=False), NoRoom, AllocatesTwice),
    ),
    Mistake(
        "pending copies of other tables are lost.",
        "`allocator.copies` belongs to all tables. Append to it; a new list, or `clear()`, drops the pairs of others "
        "that nobody has copied yet.",
        wrong(joins=lambda copies, pairs: pairs),
    ),
    Mistake(
        "the pair is put before those of other tables.",
        "Copies are made in the order of the list. A pair is appended at its end: `allocator.copies.append(…)`.",
        is_made_by=lambda answer, found: "put before one of another table" in str(found.got),
    ),
    Mistake(
        "what is reported is no pair.",
        "Append one tuple of two block ids: `allocator.copies.append((source, destination))`.",
        is_made_by=lambda answer, found: "which is no pair" in str(found.got),
    ),
    Mistake(
        "the slots are computed before the copy.",
        "They lie in the shared block then. Put the new block into `block_ids` first, then compute the slots.",
        SlotsBeforeTheCopy,
    ),
    Mistake(
        "the reference is given up before it is known that there is room.",
        "When `allocate` returns None, nothing may have changed. Allocate first, then free the shared block.",
        FreesFirst,
    ),
    Mistake(
        "only two holders are noticed.",
        "Three tables can share a block. Test `ref_count > 1`.",
        wrong(
            shared=lambda table, n: n > 0 and is_inside(table) and table.allocator.ref_count(table.block_ids[-1]) == 2
        ),
    ),
    Mistake(
        "another block than the last one is asked for its references.",
        "The tokens go into the last block: `self.block_ids[-1]`.",
        wrong(shared=lambda table, n: n > 0 and is_inside(table) and table.allocator.ref_count(table.block_ids[0]) > 1),
    ),
    Mistake(
        "one block more is asked for than is needed.",
        "The block of the copy is needed only where there is a copy. The last free block can be used too.",
        wrong(spare=1),
    ),
    Mistake(
        "None is returned although just enough blocks are free.",
        "A block more is asked for than is needed. One for the copy is needed only where there is a copy.",
        is_made_by=lambda answer, found: str(found.got) == "None" and "\n0 of " in str(found.expected),
        last=True,
    ),
    Mistake(
        "`num_tokens` grows although None is returned.",
        "Nothing may change then. Allocate first; change `num_tokens` and `block_ids` only after that.",
        GrowsFirst,
    ),
    Mistake("`num_tokens` is not raised.", "The next token would get the same slot. Add n.", wrong(moves=False)),
]
