"""Finding computed blocks again by their content, and choosing which to give up.

The hash of a block covers its own tokens and the hash of the block before it, so it stands for the whole text up to there:

    tokens      | Once upon a time | there was a fox |          block_size 4
    hash         h0 = H("", tokens)  h1 = H(h0, tokens)

Two texts share a block only where everything before it is equal too, which is also what the keys and values depend on.
Only full blocks are hashed: a block that still grows would change its name with every token.
"""

from array import array
from collections import OrderedDict
from hashlib import blake2b

from course_lib.errors import IntegrityError, LedgerError, ParameterError

POLICIES = ("lru", "priority")


def hash_block(parent, token_ids):
    """32 bytes for one block of ints that follows the text with the hash `parent` (b"" at the start)."""
    try:
        return blake2b(parent + array("q", token_ids).tobytes(), digest_size=32).digest()
    except (TypeError, OverflowError):
        raise ParameterError(
            f"The tokens of a block are {list(token_ids)!r}, but a hash is made of token ids, which are "
            f"whole numbers. Pass tokenizer.encode(text)."
        ) from None


def hash_chain(token_ids, block_size, known=()):
    """The hashes of all full blocks of a text, in order. known: those of its first blocks, if they are there already."""
    hashes = list(known)
    for start in range(len(hashes) * block_size, len(token_ids) - block_size + 1, block_size):
        hashes.append(hash_block(hashes[-1] if hashes else b"", token_ids[start : start + block_size]))
    return hashes


class PrefixCache:
    """The hashed blocks of an allocator: which text is in which block, and in which order they may be given up.

    A hashed block that nobody holds is evictable. With "lru" the one goes first that has been idle for longest; with
    "priority" the one whose most important user was least important (a higher number, as in the engine), and the longest
    idle among those. A block goes before the ones it continues, since without them nobody can find it.
    Source: vLLM's automatic prefix caching; SGLang's RadixAttention (arXiv 2312.07104).
    """

    def __init__(self, allocator, eviction="lru"):
        if eviction not in POLICIES:
            raise ParameterError(f"eviction is {eviction!r}; it can be {' or '.join(map(repr, POLICIES))}.")
        if not hasattr(allocator, "cache"):
            raise ParameterError(
                "This allocator has no place for cached blocks (`allocator.cache`), so no block would stay "
                "after its last table. Take course_lib's BlockAllocator, or go without a prefix cache."
            )
        if allocator.cache is not None:
            raise LedgerError("This allocator has a prefix cache already, and a block can be found by one only.")
        self.allocator, self.eviction = allocator, eviction
        self._block_of = {}  # hash -> block
        self._entry_of = {}  # block -> (hash, hash of the block before it)
        self._priority = {}  # block -> the most important one among its users
        self._idle = {}  # priority -> its evictable blocks, an OrderedDict, the next to go first
        self.num_evictable = 0
        allocator.cache = self

    def match(self, token_ids):
        """The cached blocks that hold the beginning of this text, in order; changes nothing.

        At most len(token_ids) - 1 tokens: the model must compute one to say what comes next. Stops at the first block that
        is not here, so it costs in proportion to the text, however much is cached.
        """
        size, blocks, parent = self.allocator.block_size, [], b""
        for start in range(0, len(token_ids) - size, size):
            parent = hash_block(parent, token_ids[start : start + size])
            if parent not in self._block_of:
                break
            blocks.append(self._block_of[parent])
        return blocks

    def insert(self, block_id, block_hash, parent=b"", priority=0):
        """Hashes a full, computed block in use: it can be found from now on. False where another block has this text.

        parent: the hash of the block before it, b"" for the first. Raises LedgerError for a block that nobody holds or that
        has another hash.
        """
        if self.allocator.ref_count(block_id) == 0:
            raise LedgerError(
                f"Block {block_id} is held by nobody, so what is in it is not known. Hash it while its table lives."
            )
        if block_id in self._entry_of and self._entry_of[block_id][0] != block_hash:
            raise LedgerError(
                f"Block {block_id} is hashed as another text. A hashed block is never written, so this is a "
                f"block of a wrong table."
            )
        if block_hash in self._block_of:
            return self._block_of[block_hash] == block_id
        self._block_of[block_hash], self._entry_of[block_id] = block_id, (block_hash, parent)
        self._priority[block_id] = self._counted(priority)
        self._touch_ancestors(block_id)
        if self.allocator.trace is not None:
            self.allocator.trace.add("cache", block=block_id, parent=self._block_of.get(parent))
        return True

    def raise_priority(self, block_ids, priority):
        """Says that a user of this priority holds these blocks, the first of a text on: each keeps the best it was given."""
        for b in block_ids:
            self._priority[b] = min(self._counted(priority), self._priority[b])

    def on_released(self, block_id):
        """The allocator's word that nobody holds this hashed block any more."""
        self._join_queue(block_id)
        self._touch_ancestors(block_id)

    def on_reused(self, block_id):
        """The allocator's word that somebody holds this block again."""
        self._leave_queue(block_id)

    def evict(self, n):
        """Gives up n blocks: their hashes are forgotten, their ids returned. Raises LedgerError where there are fewer."""
        if n > self.num_evictable:
            raise LedgerError(
                f"{n} blocks should be evicted, but only {self.num_evictable} are cached and held by nobody."
            )
        blocks = [self._evict_one() for _ in range(n)]
        if blocks and self.allocator.trace is not None:
            self.allocator.trace.add("evict", blocks=blocks)
        return blocks

    def _evict_one(self):
        block_id = next(iter(self._idle[max(self._idle)]))
        self._leave_queue(block_id)
        block_hash, _ = self._entry_of.pop(block_id)
        del self._block_of[block_hash], self._priority[block_id]
        return block_id

    def _touch_ancestors(self, block_id):
        """What a block continues was used with it: it is at least as important, and goes after it.

        Stops at the first one for which that is so already, mostly the very first: a table holds all of its blocks.
        """
        priority, ancestor = self._priority[block_id], self._parent(block_id)
        while ancestor is not None:
            idle = self.allocator.ref_count(ancestor) == 0
            if not idle and self._priority[ancestor] <= priority:
                return
            if idle:
                self._leave_queue(ancestor)
            self._priority[ancestor] = min(priority, self._priority[ancestor])
            if idle:
                self._join_queue(ancestor)
            ancestor = self._parent(ancestor)

    def _parent(self, block_id):
        """The hashed block that this one continues, or None: it is the first, or the one before it was evicted."""
        return self._block_of.get(self._entry_of[block_id][1])

    def _counted(self, priority):
        return priority if self.eviction == "priority" else 0

    def _join_queue(self, block_id):
        self._idle.setdefault(self._priority[block_id], OrderedDict())[block_id] = None
        self.num_evictable += 1

    def _leave_queue(self, block_id):
        level = self._priority[block_id]
        del self._idle[level][block_id]
        self.num_evictable -= 1
        if not self._idle[level]:
            del self._idle[level]

    def hash_of(self, block_id):
        """The hash by which this block can be found, or None."""
        return self._entry_of.get(block_id, (None,))[0]

    def evictable(self):
        """The blocks that may be given up, the next to go first."""
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
                "The hashes of blocks and the blocks of hashes disagree: some text would be found in a "
                "block that holds another."
            )
        place = {b: i for i, b in enumerate(self.evictable())}
        if len(place) != self.num_evictable:
            raise IntegrityError(
                f"{self.num_evictable} cached blocks are counted, but {len(place)} wait to be evicted."
            )
        for b in self._entry_of:
            if (b in place) != (self.allocator.ref_count(b) == 0):
                raise IntegrityError(
                    f"Hashed block {b} is held by {self.allocator.ref_count(b)} tables and is "
                    f"{'' if b in place else 'not '}up for eviction; it must be so exactly when nobody holds it."
                )
        for b in place:
            parent = self._parent(b)
            if parent in place and self._priority[parent] == self._priority[b] and place[parent] < place[b]:
                raise IntegrityError(
                    f"Block {parent} would be evicted before block {b}, which continues it and could not be "
                    f"found without it."
                )

    def __repr__(self):
        return f"PrefixCache({len(self)} hashed blocks, {self.num_evictable} of them held by nobody, {self.eviction})"
