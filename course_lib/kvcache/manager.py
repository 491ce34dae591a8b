"""What an engine asks of memory: one ledger for all its requests. Integers only.

A request is any object with `request_id` (unique), `token_ids` (prompt and output so far) and, where blocks are
evicted by importance, `priority` (0 if absent; a lower number is more important). One step of an engine:

    hit = manager.match_prefix(request)              # how many tokens of a new request are cached
    # slots for the next n tokens; None: no room, wait or preempt a request
    slots = manager.allocate_slots(request, n)
    ... copy the blocks of allocator.copies, run the model, which fills the slots ...
    manager.commit(request, num_computed_tokens)     # full blocks can be found by other requests from now on

    the tokens of a request
    | computed              | slots allocated   | not yet scheduled |
    0          num_computed_tokens        num_tokens      len(token_ids)

A sequence is hashed once: the hashes of its full blocks stay with the request, as `block_hashes`.
"""

from collections import Counter
from dataclasses import dataclass

from course_lib.errors import IntegrityError, LedgerError

from .allocator import plural, whole
from .block_table import NO_BLOCK, BlockTable
from .prefix import PrefixCache, hash_chain


@dataclass
class RequestBlocks:
    """What one request holds."""

    request: object
    table: BlockTable
    num_computed_tokens: int


class KVCacheManager:
    """Gives requests their blocks and lets them share blocks with equal content.

    allocator: a fresh BlockAllocator, or a learner's own with its methods and prefix_caching=False. eviction: "lru" or
    "priority", see PrefixCache. Every call happens whole or not at all. Source: vLLM's KVCacheManager.
    """

    def __init__(self, allocator, *, prefix_caching=True, eviction="lru"):
        self.allocator = allocator
        self.cache = PrefixCache(allocator, eviction) if prefix_caching else None
        self._held = {}  # request_id -> RequestBlocks

    def __contains__(self, request):
        """Whether the request holds memory."""
        return request.request_id in self._held

    def table(self, request):
        """The BlockTable of a request, to read. Raises LedgerError for one that holds nothing."""
        return self._holding(request).table

    def num_computed_tokens(self, request):
        """How many of its tokens have their keys and values in memory."""
        return self._holding(request).num_computed_tokens

    def match_prefix(self, request):
        """How many tokens at the beginning of a new request are cached: whole blocks, and never all of its tokens.

        Changes nothing. The next `allocate_slots` of this request takes them, if no other call comes between.
        """
        return len(self._match(request)) * self.allocator.block_size

    def _match(self, request):
        if self.cache is None:
            return []
        usable = (len(request.token_ids) - 1) // self.allocator.block_size  # one token at least is computed
        return self.cache.match_hashes(self._hashes(request, usable))

    def _hashes(self, request, count):
        """The hashes of its first `count` blocks. Each is worked out once and kept with the request."""
        known = getattr(request, "block_hashes", None)
        if known is None:
            known = request.block_hashes = []
        if len(known) < count:
            size = self.allocator.block_size
            known[:] = hash_chain(request.token_ids[: count * size], size, known=known)
        return known[:count]

    def allocate_slots(self, request, n, *, num_pending=0):
        """Room for the next n tokens: their slots, or None where memory is short, and then nothing has changed.

        The first call for a request also takes what `match_prefix` finds; n counts the tokens after that.
        num_pending: tokens that will follow token_ids and are being chosen.
        """
        held = self._held.get(request.request_id)
        if n == 1 and held is not None and held.table.num_tokens < len(request.token_ids) + num_pending:
            slot = held.table.append_own_slot()
            if slot is not None:
                return [slot]
        whole("n", n)
        cached = self._match(request) if held is None else []
        table = held.table if held else BlockTable(self.allocator, name=request.request_id)
        known = table.num_tokens + len(cached) * self.allocator.block_size
        if known + n > len(request.token_ids) + num_pending:
            raise LedgerError(
                f"Request {request.request_id} has {plural(len(request.token_ids), 'token')} and {known} of them "
                f"have a place, so it needs at most {len(request.token_ids) - known} slots and not {n}. Take off "
                f"what match_prefix finds, and add a new token to token_ids before asking for its slot."
            )
        slots = table.append_slots(n, cached=cached)
        if slots is not None and held is None:
            self._held[request.request_id] = RequestBlocks(request, table, known)
            if cached:
                self.cache.raise_priority(cached, priority(request))
        return slots

    def commit(self, request, num_computed_tokens):
        """Says that the keys and values of the first `num_computed_tokens` are written. Blocks that became full are
        hashed.

        Where two requests computed the same sequence at the same time, the first one's blocks are found from then on,
        and the other's stay its own.
        """
        held, size = self._held.get(request.request_id), self.allocator.block_size
        if held is not None and held.num_computed_tokens + 1 == num_computed_tokens <= held.table.num_tokens:
            if num_computed_tokens % size:  # a decode step in the middle of a block
                held.num_computed_tokens = num_computed_tokens
                return
        whole("num_computed_tokens", num_computed_tokens)
        held = self._holding(request)
        if not held.num_computed_tokens <= num_computed_tokens <= held.table.num_tokens:
            raise LedgerError(
                f"Request {request.request_id} has slots for {held.table.num_tokens} tokens, of which "
                f"{held.num_computed_tokens} were computed before; {num_computed_tokens} computed cannot be. "
                f"Count all tokens of the request, those from the cache too."
            )
        before, after = held.num_computed_tokens // size, num_computed_tokens // size
        if self.cache is not None and after > before:
            hashes = self._hashes(request, after)
            for i in range(before, after):
                self.cache.insert(held.table.block_ids[i], hashes[i], hashes[i - 1] if i else b"", priority(request))
        held.num_computed_tokens = num_computed_tokens

    def shrink(self, request, num_tokens):
        """The request keeps the slots of its first `num_tokens` tokens; blocks after those are free. Drafted tokens
        that were not accepted go this way: they were never committed, so nobody has found them.
        """
        self._holding(request).table.shrink(num_tokens)

    def most_blocks(self, num_tokens):
        """The most blocks that a request of so many tokens holds at a time."""
        return -(-num_tokens // self.allocator.block_size)

    def take_new_blocks(self, request):
        """(first, block_ids): its block ids from place `first` on, which are new or changed since the last call."""
        table = self._held[request.request_id].table
        first, table.num_unchanged = table.num_unchanged, len(table.block_ids)
        return first, table.block_ids[first:] if first < table.num_unchanged else ()

    def move_copies(self, copies):
        """Moves the (source, destination) pairs that are to be copied from the allocator's list to the end of
        `copies`.
        """
        if self.allocator.copies:
            copies += self.allocator.copies
            self.allocator.copies.clear()

    def fork(self, request, new):
        """Lets the request `new` go on from where `request` is, over the same blocks: parallel sampling, beams.

        new.token_ids must begin with what `request` holds, all of it computed. The first of the two to write into
        the last block gets a copy of it.
        """
        held = self._holding(request)
        if new.request_id in self._held:
            raise LedgerError(
                f"Request {new.request_id} holds memory already and cannot become a fork. Give it an id of its own."
            )
        if held.num_computed_tokens < held.table.num_tokens:
            raise LedgerError(
                f"{held.table.num_tokens - held.num_computed_tokens} tokens of request {request.request_id} have "
                f"slots that are still to be written, and a shared block is never written. Fork after commit."
            )
        count = held.table.num_tokens
        if list(new.token_ids[:count]) != list(request.token_ids[:count]):
            raise LedgerError(
                f"Request {new.request_id} does not begin with the {count} tokens that request "
                f"{request.request_id} holds, so it would read another sequence's keys and values."
            )
        table = held.table.fork(name=new.request_id)
        self._held[new.request_id] = RequestBlocks(new, table, held.num_computed_tokens)
        if self.cache is not None:
            new.block_hashes = self._hashes(request, held.num_computed_tokens // self.allocator.block_size)

    def free(self, request):
        """Takes everything back: the request is done, aborted or preempted. Hashed blocks stay cached until evicted."""
        self._holding(request).table.free()
        del self._held[request.request_id]

    def _holding(self, request):
        if request.request_id not in self._held:
            raise LedgerError(
                f"Request {request.request_id} holds no memory: it never got any, or it was freed already. "
                f"Ask `request in manager` first."
            )
        return self._held[request.request_id]

    def lost_blocks(self, request, n):
        """The LedgerError for a request that runs alone and finds no room, although its tokens fit into all blocks."""
        allocator = self.allocator
        return LedgerError(
            f"Request {request.request_id} runs alone and asks for slots for {n} tokens, which would fit into "
            f"{allocator.num_blocks} blocks of {allocator.block_size}; but the allocator has only {allocator.num_free} "
            f"free. Blocks were lost: something is allocated and never freed, or freed and never handed out again."
        )

    def check_integrity(self):
        """Raises IntegrityError with the first invariant that does not hold, those of allocator and cache first."""
        self.allocator.check_integrity()
        holders = Counter(b for held in self._held.values() for b in held.table.block_ids)
        for held in self._held.values():
            self._check_table(held)
        for b in range(self.allocator.num_blocks):
            if self.allocator.ref_count(b) != holders[b]:
                raise IntegrityError(
                    f"Block {b} has the reference count {self.allocator.ref_count(b)}, but "
                    f"{plural(holders[b], 'table')} hold{'s' * (holders[b] == 1)} it: it would be "
                    f"{'lost' if holders[b] < self.allocator.ref_count(b) else 'given away while in use'}."
                )

    def _check_table(self, held):
        name, table, size = held.request.request_id, held.table, self.allocator.block_size
        if len(table.block_ids) != -(-table.num_tokens // size) or held.num_computed_tokens > table.num_tokens:
            raise IntegrityError(
                f"Request {name} holds {plural(len(table.block_ids), 'block')} for {table.num_tokens} tokens, "
                f"{held.num_computed_tokens} of them computed: the numbers do not fit together."
            )
        hashes = hash_chain(held.request.token_ids[: held.num_computed_tokens], size)
        for i, b in enumerate(table.block_ids):
            if b == NO_BLOCK:
                continue
            if self.allocator.ref_count(b) == 0:
                raise IntegrityError(f"Request {name} lives and its table names block {b}, which is free.")
            found_by = self.cache.hash_of(b) if self.cache is not None else None
            if found_by is not None and i >= len(hashes):
                raise IntegrityError(f"Block {b} of request {name} is hashed, but it is not full, or not computed yet.")
            if found_by is not None and found_by != hashes[i]:
                raise IntegrityError(f"Block {b} of request {name} would be found by the hash of another sequence.")
            to_be_written = (
                i + 1
            ) * size > held.num_computed_tokens and i * size < table.num_tokens > held.num_computed_tokens
            if to_be_written and self.allocator.ref_count(b) > 1:
                raise IntegrityError(
                    f"Block {b} of request {name} is about to be written, but "
                    f"{self.allocator.ref_count(b)} tables hold it."
                )

    def __repr__(self):
        return f"KVCacheManager({len(self._held)} requests, {self.allocator!r})"


def priority(request):
    return getattr(request, "priority", 0)
