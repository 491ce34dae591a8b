"""One sequence's view of memory: its tokens in order, wherever their blocks are.

position        0 1 2 3 | 4 5 6 7 | 8 9          block_size 4
block_ids       7       | 2       | 5            any blocks, in the order of the text
slot            28 .. 31| 8 .. 11 | 20 21        block_id * block_size + position % block_size
"""

from itertools import count

from course_lib.errors import LedgerError, ParameterError

from .allocator import whole

_names = count()


class BlockTable:
    """The blocks of one sequence. `block_ids` (to read, not to change) and `num_tokens` say what it holds.

    allocator: a BlockAllocator, or a learner's own with the same methods. name: what a trace calls this sequence.
    """

    def __init__(self, allocator, *, name=None):
        if not hasattr(allocator, "copies"):
            allocator.copies = []  # a learner's, from before they heard of copies
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0
        self.name = f"table {next(_names)}" if name is None else name
        self._trace = getattr(allocator, "trace", None)
        self._gone = False

    def append_slots(self, n, *, cached=()):
        """Room for n more tokens: the list of their slots, or None where memory is short; then nothing has changed.

        A last block that is not full and that others need too (another table holds it, or it is hashed) is replaced by a
        fresh one, and (source, destination) joins `allocator.copies`: copy-on-write. cached: blocks found in the
        PrefixCache, full ones, with which an empty table begins; they need no slots.
        """
        self._check_alive()
        whole("n", n)
        cached, size = list(cached), self.allocator.block_size
        if cached and self.num_tokens:
            raise LedgerError(
                f"Cached blocks can only begin a table, and {self.name} holds {self.num_tokens} tokens already."
            )
        start = self.num_tokens + len(cached) * size
        source = self._last_if_needed_by_others() if n else None
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
        if self._trace is not None:
            if cached:
                self._trace.add("hit", request=self.name, blocks=cached)
            self._trace.add("append", request=self.name, count=n, blocks=joining)
        return [self._slot(position) for position in range(start, start + n)]

    def _last_if_needed_by_others(self):
        """The last block, if a token would be written into it and it is shared or hashed; otherwise None."""
        if self.num_tokens % self.allocator.block_size == 0:
            return None
        last, is_hashed = self.block_ids[-1], getattr(self.allocator, "is_hashed", None)
        needed = self.allocator.ref_count(last) > 1 or (is_hashed is not None and is_hashed(last))
        return last if needed else None

    def _allocate_instead_of(self, source, wanted):
        """Fresh blocks, and one reference less on `source`: both or neither. None where memory is short."""
        if wanted > self.allocator.num_free:
            return self.allocator.allocate(wanted)  # which says no
        self.allocator.free([source])  # first, because this can be undone exactly, and an eviction cannot
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
        if self._trace is not None:
            self._trace.add("copy", request=self.name, source=source, destination=destination)

    def fork(self, *, name=None):
        """A second table over the same blocks, each with one more reference; nothing is copied until one of them writes."""
        self._check_alive()
        other = BlockTable(self.allocator, name=name)
        self.allocator.fork(self.block_ids)
        other.block_ids, other.num_tokens = self.block_ids[:], self.num_tokens
        if self._trace is not None:
            self._trace.add("fork", request=other.name, parent=self.name)
        return other

    def shrink(self, num_tokens):
        """Keeps the first `num_tokens` tokens and gives back the blocks that these do not need. The table lives on, at 0 too."""
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
        """Gives all blocks back, the last first. The table is done with: any further call raises LedgerError."""
        self._check_alive()
        self._give_back(0)
        self.num_tokens, self._gone = 0, True
        if self._trace is not None:
            self._trace.add("end", request=self.name)

    def _give_back(self, kept):
        """All blocks from number `kept` on, the last first: of a cached text the end goes before the beginning."""
        leaving = self.block_ids[kept:][::-1]
        if leaving:
            self.allocator.free(leaving)
        del self.block_ids[kept:]

    def slot(self, position):
        """Where the token at `position` is kept: block_id * block_size + offset."""
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
                f"{self.name} was freed already; its blocks may belong to somebody else by now. "
                f"Free a table once, and make a new BlockTable for a new sequence."
            )

    def __repr__(self):
        return f"BlockTable({self.num_tokens} tokens in blocks {self.block_ids})"
