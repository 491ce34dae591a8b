"""Which blocks are in use: a free list, and a reference count for each block. Integers only.

    free list        oldest first: 5  2  7              ref count 0
    in use           in one or several block tables     ref count 1, 2, ...
    cached           hashed, and in no block table      ref count 0, kept by the PrefixCache until it is evicted

Every operation is done completely or not at all: it checks first and changes things after that.
"""

from collections import Counter, deque

from course_lib.errors import IntegrityError, LedgerError, ParameterError


class BlockAllocator:
    """Allocates and frees `num_blocks` blocks of `block_size` slots each. A block id is an int from 0 on.

    Allocating and freeing are O(1) a block. Blocks are allocated in the order in which they became free, so the first
    ones are 0, 1, 2, ... trace: a Trace that records every change, or None.

    `copies` collects (source, destination) block ids. The owner of the tensors copies these blocks in order, and clears
    the list, before anything is written in a step. Source: PagedAttention (arXiv 2309.06180) and vLLM's BlockPool.
    """

    def __init__(self, num_blocks, block_size, *, trace=None):
        whole("num_blocks", num_blocks, at_least=1)
        whole("block_size", block_size, at_least=1)
        self.num_blocks, self.block_size = num_blocks, block_size
        self.copies = []
        self.cache = None  # the PrefixCache over this allocator, which sets it
        self.trace = trace
        self._free = deque(range(num_blocks))
        self._ref_count = [0] * num_blocks
        if trace is not None:
            trace.add("start", num_blocks=num_blocks, block_size=block_size)

    @property
    def num_free(self):
        """How many blocks `allocate` can give: those on the free list, and cached ones that can be evicted."""
        return len(self._free) + (self.cache.num_evictable if self.cache is not None else 0)

    def ref_count(self, block_id):
        """How many block tables hold the block."""
        if type(block_id) is not int or not 0 <= block_id < self.num_blocks:
            self._check_known([block_id])
        return self._ref_count[block_id]

    def allocate(self, n=1, *, sharing=()):
        """n new blocks with one reference each, as a list of ids. None if there are fewer; then nothing has changed.

        Free blocks are used first; after that cached ones are evicted. sharing: cached blocks or blocks in use that get
        one more reference in the same operation, so that the new blocks cannot evict them.
        """
        whole("n", n)
        sharing = list(sharing)
        self._check_shareable(sharing)
        idle = sum(self._ref_count[b] == 0 for b in set(sharing))
        if n > self.num_free - idle:
            if self.trace is not None:
                self.trace.add("out_of_memory", wanted=n, free=self.num_free - idle)
            return None
        self._share(sharing)
        from_list = min(n, len(self._free))
        fresh = [self._free.popleft() for _ in range(from_list)]
        if n > from_list:
            fresh += self.cache.evict(n - from_list)
        for b in fresh:
            self._ref_count[b] = 1
        if fresh and self.trace is not None:
            self.trace.add("allocate", blocks=fresh[:])
        return fresh

    def fork(self, block_ids):
        """Adds one reference to each block. Raises LedgerError for a block that is free; then nothing has changed."""
        block_ids = list(block_ids)
        self._check_shareable(block_ids)
        self._share(block_ids)

    def free(self, block_ids):
        """Takes one reference off each block, in the order given. At 0 a block joins the end of the free list.

        A hashed block stays cached instead. Pass a table's blocks from last to first: then the end of a cached sequence
        is evicted before its beginning. Raises LedgerError for an id that does not exist, or that comes more often than
        it has references; then nothing has changed.
        """
        block_ids = list(block_ids)
        self._check_known(block_ids)
        counts, cache = self._ref_count, self.cache
        if len(set(block_ids)) < len(block_ids) or not all(counts[b] for b in block_ids):
            self._check_held(block_ids)
        for b in block_ids:
            counts[b] -= 1
            if counts[b] == 0:
                if cache is None or b not in cache:
                    self._free.append(b)
                else:
                    cache.on_released(b)
        if block_ids and self.trace is not None:
            self.trace.add("free", blocks=block_ids)

    def _check_held(self, block_ids):
        """Raises LedgerError for a block that comes more often than it has references."""
        for b, times in Counter(block_ids).items():
            if times > self._ref_count[b]:
                raise LedgerError(
                    f"Block {b} is freed {plural(times, 'time')}, but {plural(self._ref_count[b], 'table')} "
                    f"hold{'s' * (self._ref_count[b] == 1)} it. It is freed twice, or by code that does not own it. "
                    f"Nothing was freed."
                )

    def is_hashed(self, block_id):
        """Whether the prefix cache can find this block by its content, so that it must not be written."""
        return self.cache is not None and block_id in self.cache

    def _share(self, block_ids):
        for b in block_ids:
            if self._ref_count[b] == 0:
                self.cache.on_reused(b)
            self._ref_count[b] += 1
        if block_ids and self.trace is not None:
            self.trace.add("share", blocks=block_ids)

    def _check_known(self, block_ids):
        for b in block_ids:
            if type(b) is not int or not 0 <= b < self.num_blocks:
                raise LedgerError(
                    f"There is no block {b!r}; this allocator has 0 to {self.num_blocks - 1}. "
                    f"Is it a slot (block_id * block_size + offset), or an id of another allocator?"
                )

    def _check_shareable(self, block_ids):
        self._check_known(block_ids)
        for b in block_ids:
            if self._ref_count[b] == 0 and not self.is_hashed(b):
                raise LedgerError(
                    f"Block {b} is free, so there is nothing in it to share. Share the blocks of a table before "
                    f"that table is freed."
                )

    def check_integrity(self):
        """Raises IntegrityError with the first invariant that does not hold."""
        evictable = self.cache.evictable() if self.cache is not None else []
        at_rest = Counter(self._free) + Counter(evictable)
        twice = [b for b, times in at_rest.items() if times > 1]
        if twice:
            raise IntegrityError(
                f"Block {twice[0]} stands {at_rest[twice[0]]} times among the free and cached blocks: "
                f"it would be allocated to two tables."
            )
        in_use = [b for b, count in enumerate(self._ref_count) if count > 0]
        if len(at_rest) + len(in_use) != self.num_blocks:
            raise IntegrityError(
                f"{len(at_rest)} blocks are free or cached and {len(in_use)} are in use, but there are "
                f"{self.num_blocks} in all: a block was lost, or is counted on both sides."
            )
        for b, count in enumerate(self._ref_count):
            if count < 0 or (count == 0) != (b in at_rest):
                where = "free or cached" if b in at_rest else "neither free nor cached"
                raise IntegrityError(
                    f"Block {b} has the reference count {count} and is {where}; the count must be 0 for free and "
                    f"cached blocks, and only for these."
                )
        if self.cache is not None:
            self.cache.check_integrity()

    def __repr__(self):
        return f"BlockAllocator({self.num_free} of {self.num_blocks} blocks of {self.block_size} free)"


def whole(name, value, at_least=0):
    """Raises ParameterError unless the value is an int of at least `at_least`."""
    if type(value) is not int or value < at_least:
        raise ParameterError(f"{name} is {value!r}, but it is a count: give a whole number of at least {at_least}.")


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"
