"""Finds computed blocks again by their content, and chooses which of them to evict.

The hash of a block covers its own tokens and the hash of the block before it, so it stands for all tokens up to here:

    tokens      | Once upon a time | there was a fox |          block_size 4
    hash         h0 = H("", tokens)  h1 = H(h0, tokens)

Two sequences share a block only if all tokens before it are equal too, because keys and values depend on those as well.
Only full blocks are hashed: the hash of a block that still grows would change with every token.
"""

from array import array
from collections import OrderedDict
from hashlib import blake2b

from course_lib.errors import IntegrityError, LedgerError, ParameterError

POLICIES = ("lru", "priority")


def hash_block(parent, token_ids):
    """The hash, 32 bytes, of a block of token ids that follows the block with the hash `parent` (b"" for the first)."""
    return _hash(parent, _as_bytes(token_ids))


def hash_chain(token_ids, block_size, known=()):
    """The hashes of all full blocks of a sequence, in order. known: those of its first blocks, if computed already."""
    hashes, full = list(known), len(token_ids) // block_size
    data = _as_bytes(token_ids[len(hashes) * block_size : full * block_size])
    for start in range(0, len(data), 8 * block_size):
        hashes.append(_hash(hashes[-1] if hashes else b"", data[start : start + 8 * block_size]))
    return hashes


def _as_bytes(token_ids):
    try:
        return array("q", token_ids).tobytes()
    except (TypeError, OverflowError):
        raise ParameterError(
            f"The tokens of a block are {list(token_ids)!r}, but a hash is made of token ids, which are ints. "
            f"Pass tokenizer.encode(text)."
        ) from None


def _hash(parent, data):
    return blake2b(parent + data, digest_size=32).digest()


class PrefixCache:
    """The hashed blocks of an allocator: which tokens are in which block, and the order of eviction.

    A hashed block that no table holds is evictable. With "lru" the block that was not used for longest is evicted
    first. With "priority" it is the block whose most important user was the least important (the highest number, as in
    the engine), and among those the one not used for longest. A block is evicted before its ancestors, the blocks that
    it continues, because it can only be found through them. Source: vLLM's automatic prefix caching; SGLang's
    RadixAttention (arXiv 2312.07104).
    """

    def __init__(self, allocator, eviction="lru"):
        if eviction not in POLICIES:
            raise ParameterError(f"eviction is {eviction!r}; it can be {' or '.join(map(repr, POLICIES))}.")
        if not hasattr(allocator, "cache"):
            raise ParameterError(
                "This allocator has no place for cached blocks (`allocator.cache`), so no block would stay "
                "after its last table is freed. Use course_lib's BlockAllocator, or no prefix cache."
            )
        if allocator.cache is not None:
            raise LedgerError("This allocator has a prefix cache already. Make a new allocator for a new prefix cache.")
        self.allocator, self.eviction = allocator, eviction
        self._block_of = {}  # hash -> block
        self._entry_of = {}  # block -> (hash, hash of the block before it)
        self._priority = {}  # block -> the priority of its most important user
        self._idle = {}  # priority -> OrderedDict of its evictable blocks, the next to be evicted first
        self.num_evictable = 0
        allocator.cache = self

    def match(self, token_ids):
        """The cached blocks that hold the beginning of this sequence, in order. Changes nothing.

        They hold at most len(token_ids) - 1 tokens: the model must compute one token to predict the next. The cost
        grows with the sequence, not with what is cached.
        """
        usable = (len(token_ids) - 1) // self.allocator.block_size * self.allocator.block_size
        return self.match_hashes(hash_chain(token_ids[: max(0, usable)], self.allocator.block_size))

    def match_hashes(self, hashes):
        """As match, for the hashes of the sequence's blocks."""
        blocks = []
        for block_hash in hashes:
            if block_hash not in self._block_of:
                break
            blocks.append(self._block_of[block_hash])
        return blocks

    def insert(self, block_id, block_hash, parent=b"", priority=0):
        """Makes a full, computed block in use findable by its hash. Returns False if another block has this hash.

        parent: the hash of the block before it, b"" for the first. Raises LedgerError for a block that no table holds,
        or that has a different hash.
        """
        if self.allocator.ref_count(block_id) == 0:
            raise LedgerError(
                f"Block {block_id} is held by no table, so its content is not known. Hash it before its table is freed."
            )
        known = self._entry_of.get(block_id)
        if known is not None and known[0] != block_hash:
            raise LedgerError(
                f"Block {block_id} is hashed with other tokens. A hashed block is never written, so this block "
                f"belongs to another table."
            )
        found = self._block_of.get(block_hash)
        if found is not None:
            return found == block_id
        self._block_of[block_hash], self._entry_of[block_id] = block_id, (block_hash, parent)
        self._priority[block_id] = self._counted(priority)
        self._touch_ancestors(block_id)
        if self.allocator.trace is not None:
            self.allocator.trace.add("cache", block=block_id, parent=self._block_of.get(parent))
        return True

    def raise_priority(self, block_ids, priority):
        """A user of this priority holds these blocks, the first of its sequence. Each keeps the lowest value it got."""
        for b in block_ids:
            self._priority[b] = min(self._counted(priority), self._priority[b])

    def on_released(self, block_id):
        """The allocator calls this when no table holds a hashed block any more: it can be evicted from now on."""
        self._join_queue(block_id)
        self._touch_ancestors(block_id)

    def on_reused(self, block_id):
        """The allocator calls this when a table holds an evictable block again: it cannot be evicted from now on."""
        self._leave_queue(block_id)

    def evict(self, n):
        """Evicts n blocks: removes their hashes and returns their ids. Raises LedgerError if fewer are evictable."""
        if n > self.num_evictable:
            raise LedgerError(
                f"{n} blocks should be evicted, but only {self.num_evictable} are cached and held by no table."
            )
        blocks = []
        for _ in range(n):
            level = max(self._idle)
            block_id, _ = self._idle[level].popitem(last=False)
            if not self._idle[level]:
                del self._idle[level]
            block_hash, _ = self._entry_of.pop(block_id)
            del self._block_of[block_hash], self._priority[block_id]
            blocks.append(block_id)
        self.num_evictable -= n
        if blocks and self.allocator.trace is not None:
            self.allocator.trace.add("evict", blocks=blocks)
        return blocks

    def _touch_ancestors(self, block_id):
        """The ancestors of a block were used with it: they become at least as important, and are evicted after it.

        Stops at the first ancestor for which this holds already. That is mostly the very first, since a table holds all
        of its blocks.
        """
        priority, block_of, entry_of = self._priority[block_id], self._block_of, self._entry_of
        ancestor = block_of.get(entry_of[block_id][1])
        while ancestor is not None:
            idle = self.allocator.ref_count(ancestor) == 0
            if not idle and self._priority[ancestor] <= priority:
                return
            if idle:
                self._leave_queue(ancestor)
            self._priority[ancestor] = min(priority, self._priority[ancestor])
            if idle:
                self._join_queue(ancestor)
            ancestor = block_of.get(entry_of[ancestor][1])

    def _parent(self, block_id):
        """The hashed block before this one, or None if this is the first or that one was evicted."""
        return self._block_of.get(self._entry_of[block_id][1])

    def _counted(self, priority):
        return priority if self.eviction == "priority" else 0

    def _join_queue(self, block_id):
        level = self._priority[block_id]
        if level not in self._idle:
            self._idle[level] = OrderedDict()
        self._idle[level][block_id] = None
        self.num_evictable += 1

    def _leave_queue(self, block_id):
        level = self._priority[block_id]
        del self._idle[level][block_id]
        self.num_evictable -= 1
        if not self._idle[level]:
            del self._idle[level]

    def hash_of(self, block_id):
        """The hash of this block, or None."""
        return self._entry_of.get(block_id, (None,))[0]

    def evictable(self):
        """The evictable blocks, the next to be evicted first."""
        return [b for level in sorted(self._idle, reverse=True) for b in self._idle[level]]

    def __contains__(self, block_id):
        return block_id in self._entry_of

    def __len__(self):
        return len(self._entry_of)

    def check_integrity(self):
        """Raises IntegrityError with the first invariant that does not hold."""
        if {h: b for b, (h, _) in self._entry_of.items()} != self._block_of or set(self._priority) != set(
            self._entry_of
        ):
            raise IntegrityError(
                "The hashes of blocks and the blocks of hashes disagree: a sequence would be found in a "
                "block that holds other tokens."
            )
        place = {b: i for i, b in enumerate(self.evictable())}
        if len(place) != self.num_evictable:
            raise IntegrityError(f"{self.num_evictable} cached blocks are counted, but {len(place)} are evictable.")
        for b in self._entry_of:
            if (b in place) != (self.allocator.ref_count(b) == 0):
                raise IntegrityError(
                    f"Hashed block {b} is held by {self.allocator.ref_count(b)} tables and is "
                    f"{'' if b in place else 'not '}evictable; it must be evictable exactly when no table holds it."
                )
        for b in place:
            parent = self._parent(b)
            if parent in place and self._priority[parent] == self._priority[b] and place[parent] < place[b]:
                raise IntegrityError(
                    f"Block {parent} would be evicted before block {b}, which continues it and could not be "
                    f"found without it."
                )

    def __repr__(self):
        return f"PrefixCache({len(self)} hashed blocks, {self.num_evictable} of them evictable, {self.eviction})"
