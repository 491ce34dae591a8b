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
):
    """A table whose append_slots is wrong in one thing; see the mistakes."""

    class Wrong(Forkable):
        def append_slots(self, n):
            size, start = self.allocator.block_size, self.num_tokens
            missing = -(-(start + n) // size) - len(self.block_ids)
            copy = bool(shared(self, n))
            if whole and missing + copy > self.allocator.num_free:
                return None
            if copy:
                fresh = self.allocator.allocate(1)
                if fresh is None:
                    return None
                source = self.block_ids[-1]
                self.allocator.copies += pair(self, source, fresh[0])
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
    """Takes blocks one by one and gives up halfway."""

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


class CopiesEverything(Forkable):
    """Copies all blocks that are shared, not only the last."""

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
        "Two tables then write to the same slots, and each reads what the other wrote "
        "last. When `ref_count` of the last block is above 1, take a "
        "fresh block instead and report the copy.",
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
        "a block is copied though nobody shares it.",
        "It costs a block and a copy for nothing. Only `ref_count` above 1 means that others read it.",
        wrong(shared=lambda table, n: n > 0 and is_inside(table)),
    ),
    Mistake(
        "a full block is copied.",
        "Nobody writes into it again. The next token goes into a fresh block, and the full one stays shared.",
        (wrong(shared=lambda table, n: n > 0 and is_shared(table)), wrong(shared=lambda table, n: is_shared(table))),
    ),
    Mistake(
        "a copy is made for no token.",
        "`append_slots(0)` writes nothing, so nothing needs a copy.",
        wrong(shared=lambda table, n: is_inside(table) and is_shared(table)),
    ),
    Mistake(
        "all shared blocks are copied.",
        "Only the last one is written. The others are full, and stay shared.",
        CopiesEverything,
    ),
    Mistake(
        "the copy is not reported.",
        "Whoever owns the tensors copies what stands in `allocator.copies`. Without the "
        "pair, the fresh block is empty.",
        wrong(pair=lambda table, source, fresh: []),
    ),
    Mistake(
        "the copy goes in the wrong direction.",
        "The pair is `(source, destination)`: from the shared block to the "
        "fresh one. The other way round the empty block "
        "overwrites the text of all.",
        wrong(pair=lambda table, source, fresh: [(fresh, source)]),
    ),
    Mistake(
        "the wrong block is copied.",
        "The block that is written is the last one of this table: `self.block_ids[-1]`, before it is replaced.",
        (
            wrong(pair=lambda table, source, fresh: [(table.block_ids[0], fresh)]),
            wrong(pair=lambda table, source, fresh: [(fresh, fresh)]),
            wrong(pair=lambda table, source, fresh: [([*table.block_ids[:-1], fresh][0], fresh)]),
            wrong(pair=lambda table, source, fresh: [(table.block_ids[max(-2, -len(table.block_ids))], fresh)]),
        ),
    ),
    Mistake(
        "the table keeps the shared block.",
        "The fresh block takes the place of the shared one: `self.block_ids[-1] = destination`.",
        (wrong(replaces=lambda ids, fresh: ids), wrong(replaces=lambda ids, fresh: ids + [fresh])),
    ),
    Mistake(
        "the shared block is not given up.",
        "This table reads it no longer, so its reference must go: `allocator.free([source])`. Otherwise the block is "
        "never free "
        "again, and the last holder copies it in vain.",
        wrong(releases=lambda table, source: []),
    ),
    Mistake(
        "the wrong block is given up.",
        "The reference that goes is the one on the shared block.",
        wrong(releases=lambda table, source: [table.block_ids[-1]]),
    ),
    Mistake(
        "something is taken, and then there is no room.",
        "Count everything first, the copy and the new blocks, and ask "
        "for them in one call: `allocate` gives all or nothing.",
        (wrong(whole=False), NoRoom),
    ),
    Mistake(
        "`num_tokens` does not move on.", "The next token would get the same slot again. Add n.", wrong(moves=False)
    ),
]
