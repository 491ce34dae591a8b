"""The memory of one sequence: its tokens in order, in blocks that can be anywhere.

position        0 1 2 3 | 4 5 6 7 | 8 9          block_size 4
block_ids       7       | 2       | 5            any blocks, in the order of the sequence
slot            28 .. 31| 8 .. 11 | 20 21        block_id * block_size + position % block_size
"""

from itertools import count

from course_lib.errors import LedgerError, ParameterError

from .allocator import whole

NO_BLOCK = -1
"""In a table: the place of a block that was given back, because no token sees its tokens any more (windowed.py)."""
_names = count()


class BlockTable:
    """The blocks of one sequence. `block_ids` (read it, do not change it) and `num_tokens` say what it holds.

    allocator: a BlockAllocator, or a learner's own with the same methods. name: the sequence's name in a trace.
    """

    def __init__(self, allocator, *, name=None):
        if not hasattr(allocator, "copies"):
            allocator.copies = []  # a learner's allocator of lesson 04, which comes before copies
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0
        self.name = f"table {next(_names)}" if name is None else name
        self._trace = getattr(allocator, "trace", None)
        self._gone = False
        self._owns_last = False  # whether no other table can hold the last block, and it is not hashed
        self.num_unchanged = 0  # block ids at the beginning that have not changed since they were last read

    def append_slots(self, n, *, cached=()):
        """Allocates blocks for n more tokens. Returns their slots, or None without a change if memory is short.

        Copy-on-write: if the last block is not full, and another table holds it or it is hashed, a new block replaces
        it, and (source, destination) is appended to `allocator.copies`. cached: full blocks from the PrefixCache that
        an empty table begins with; their tokens get no slots.
        """
        self._check_alive()
        whole("n", n)
        cached, size = list(cached), self.allocator.block_size
        if cached and self.num_tokens:
            raise LedgerError(
                f"Cached blocks can only begin a table, and {self.name} holds {self.num_tokens} tokens already."
            )
        start = self.num_tokens + len(cached) * size
        source = self._shared_last_block() if n else None
        missing = -(-(start + n) // size) - len(self.block_ids) - len(cached)
        wanted = missing + (source is not None)
        if source is not None:
            fresh = self._allocate_instead_of(source, wanted)
        elif cached:
            fresh = self.allocator.allocate(wanted, sharing=cached)
        else:
            fresh = self.allocator.allocate(wanted) if wanted else []
        if fresh is None:
            return None
        if source is not None:
            self._replace_last(source, fresh[0])
        joining = fresh[wanted - missing :]
        self.block_ids += cached + joining
        self.num_tokens = start + n
        self._owns_last = self._owns_last or bool(fresh)
        if self._trace is not None:
            if cached:
                self._trace.add("hit", request=self.name, blocks=cached)
            self._trace.add("append", request=self.name, count=n, blocks=joining)
        slots, at = [], start % size
        for b in self.block_ids[start // size :]:  # whole blocks, which is quicker than token by token
            slots += range(b * size, b * size + size)
        return slots[at : at + n]

    def append_own_slot(self):
        """The slot of one more token in a last block that only this table holds; None if append_slots is needed.

        The quick way for a decode step: nothing is allocated, and nothing has to be looked up. A trace is not told.
        """
        size = self.allocator.block_size
        offset = self.num_tokens % size
        if offset == 0 or not self._owns_last or self._trace is not None:
            return None
        self.num_tokens += 1
        return self.block_ids[-1] * size + offset

    def _shared_last_block(self):
        """The last block, if the next token would be written into it and it is shared or hashed; otherwise None."""
        if self.num_tokens % self.allocator.block_size == 0:
            return None
        last, is_hashed = self.block_ids[-1], getattr(self.allocator, "is_hashed", None)
        is_shared = self.allocator.ref_count(last) > 1 or (is_hashed is not None and is_hashed(last))
        return last if is_shared else None

    def _allocate_instead_of(self, source, wanted):
        """New blocks, and one reference less on `source`: both or neither. None if memory is short."""
        if wanted > self.allocator.num_free:
            return self.allocator.allocate(wanted)  # returns None: no room
        self.allocator.free([source])  # before the allocation, because this can be undone and an eviction cannot
        fresh = None
        try:
            fresh = self.allocator.allocate(wanted)
        finally:
            if fresh is None:
                self.allocator.fork([source])
        return fresh

    def _replace_last(self, source, destination):
        self.allocator.copies.append((source, destination))
        self.block_ids[-1] = destination
        self.num_unchanged = min(self.num_unchanged, len(self.block_ids) - 1)
        if self._trace is not None:
            self._trace.add("copy", request=self.name, source=source, destination=destination)

    def fork(self, *, name=None):
        """A second table over the same blocks, each with one more reference. Blocks are copied only before a write."""
        self._check_alive()
        other = BlockTable(self.allocator, name=name)
        self.allocator.fork(self.block_ids)
        other.block_ids, other.num_tokens = self.block_ids[:], self.num_tokens
        self._owns_last = False
        if self._trace is not None:
            self._trace.add("fork", request=other.name, parent=self.name)
        return other

    def shrink(self, num_tokens):
        """Keeps the first `num_tokens` tokens and frees the blocks after theirs. The table can grow again."""
        self._check_alive()
        whole("num_tokens", num_tokens)
        if num_tokens > self.num_tokens:
            raise LedgerError(
                f"{self.name} holds {self.num_tokens} tokens and cannot shrink to {num_tokens}. "
                f"To grow, call append_slots({num_tokens - self.num_tokens})."
            )
        kept = -(-num_tokens // self.allocator.block_size)
        self._give_back(kept)
        self.num_tokens = num_tokens
        if self._trace is not None:
            self._trace.add("shrink", request=self.name, num_tokens=num_tokens)

    def free(self):
        """Frees all blocks, the last first. After that every call of this table raises LedgerError."""
        self._check_alive()
        self._give_back(0)
        self.num_tokens, self._gone = 0, True
        if self._trace is not None:
            self._trace.add("end", request=self.name)

    def _give_back(self, kept):
        """Frees all blocks from number `kept` on, the last first, so that a cached sequence is evicted from its end."""
        leaving = self.block_ids[kept:][::-1]
        if leaving:
            self.allocator.free(leaving)
        del self.block_ids[kept:]
        self._owns_last = False
        self.num_unchanged = min(self.num_unchanged, kept)

    def slot(self, position):
        """The slot of the token at `position`: block_id * block_size + offset."""
        self._check_alive()
        if type(position) is not int or not 0 <= position < self.num_tokens:
            raise ParameterError(
                f"{self.name} has no position {position!r}; it holds {self.num_tokens} tokens, counted from 0."
            )
        return self._slot(position)

    def _slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size

    def _check_alive(self):
        if self._gone:
            raise LedgerError(
                f"{self.name} was freed already, and its blocks may belong to another table by now. "
                f"Free a table once, and make a new BlockTable for a new sequence."
            )

    def __repr__(self):
        return f"BlockTable({self.num_tokens} tokens in blocks {self.block_ids})"
