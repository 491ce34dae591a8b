"""The ledger of a model in which a token sees only the last tokens, and perhaps the first few: blocks that no token
sees any more are given back. Lesson 14. Integers only.

    block_size 4, window 6, sinks 2         the next token is number 15; it sees 10 .. 15, and 0 and 1
    position    0 1 2 3 | 4 5 6 7 | 8 9 10 11 | 12 13 14
    block_ids   7       | -1      | 5         | 0            -1: given back, and perhaps another's by now

A block falls out when its last token does, so at most one block a window more is held than is seen. A block that is
hashed stays cached, and another request with the same tokens can still begin with it. Sources: StreamingLLM (arXiv
2309.17453); vLLM's SlidingWindowManager.
"""

from course_lib.errors import LedgerError, ParameterError

from .allocator import plural, whole
from .block_table import NO_BLOCK, BlockTable
from .manager import KVCacheManager, RequestBlocks, priority


class WindowedTable(BlockTable):
    """A BlockTable in which some places have no block (NO_BLOCK), because no token sees theirs."""

    def begin(self, cached, num_restored, n, fallen):
        """As append_slots of an empty table, with holes: cached blocks, tokens that are restored, and n new ones.

        fallen: the range of places that need no block. Returns the slots of the num_restored + n tokens, -1 for one
        that has no place; None without a change if memory is short.
        """
        size, start = self.allocator.block_size, len(cached) * self.allocator.block_size
        cached = [NO_BLOCK if place in fallen else b for place, b in enumerate(cached)]
        places = range(len(cached), -(-(start + num_restored + n) // size))
        fresh = self.allocator.allocate(
            sum(place not in fallen for place in places), **({"sharing": real(cached)} if real(cached) else {})
        )
        if fresh is None:
            return None
        fresh = iter(fresh)
        joining = [NO_BLOCK if place in fallen else next(fresh) for place in places]
        self.block_ids, self.num_tokens, self._owns_last = cached + joining, start + num_restored + n, bool(joining)
        if self._trace is not None:
            if cached:
                self._trace.add("hit", request=self.name, blocks=cached)
            self._trace.add("append", request=self.name, count=num_restored + n, blocks=joining)
        return [-1 if self.block_ids[p // size] == NO_BLOCK else self._slot(p) for p in range(start, self.num_tokens)]

    def give_back_fallen(self, fallen):
        """Frees the blocks at these places. fallen: a range; those that fell before are passed over."""
        places = [place for place in reversed(fallen) if self.block_ids[place] != NO_BLOCK]
        if not places:
            return
        self.allocator.free([self.block_ids[place] for place in places])
        for place in places:
            self.block_ids[place] = NO_BLOCK
        if self._trace is not None:
            self._trace.add("slide", request=self.name, places=places[::-1])

    def fork(self, *, name=None):
        """As BlockTable.fork; the other table has the same holes."""
        self._check_alive()
        other = WindowedTable(self.allocator, name=name)
        self.allocator.fork(real(self.block_ids))
        other.block_ids, other.num_tokens = self.block_ids[:], self.num_tokens
        self._owns_last = False
        if self._trace is not None:
            self._trace.add("fork", request=other.name, parent=self.name)
        return other

    def _give_back(self, kept):
        leaving = real(self.block_ids[kept:])[::-1]
        if leaving:
            self.allocator.free(leaving)
        del self.block_ids[kept:]
        self._owns_last = False
        self.num_unchanged = min(self.num_unchanged, kept)


class WindowedManager(KVCacheManager):
    """A KVCacheManager that gives blocks back as soon as no token sees them.

    window: a token sees itself and the window - 1 before it. sinks: and the first so many. most_tokens: of one request
    in a step. The rest as in KVCacheManager. Raises ParameterError for sizes that hold nothing.
    """

    def __init__(self, allocator, window, sinks=0, *, most_tokens, prefix_caching=True, eviction="lru"):
        super().__init__(allocator, prefix_caching=prefix_caching, eviction=eviction)
        for name, value, least in (("window", window, 1), ("sinks", sinks, 0), ("most_tokens", most_tokens, 1)):
            whole(name, value, at_least=least)
        self.window, self.sinks, self.most_tokens = window, sinks, most_tokens

    def fallen(self, num_computed_tokens):
        """The places of a table whose blocks no token sees from token number `num_computed_tokens` on: a range."""
        size = self.allocator.block_size
        first = -(-self.sinks // size)
        return range(first, max(first, (num_computed_tokens - self.window + 1) // size))

    def most_blocks(self, num_tokens):
        """As KVCacheManager.most_blocks: sinks, window, and the tokens of two steps, of which one may still run."""
        size = self.allocator.block_size
        spanned = -(-(self.window + 2 * self.most_tokens) // size) + 1
        return min(super().most_blocks(num_tokens), -(-self.sinks // size) + spanned)

    def allocate_slots(self, request, n, *, num_pending=0):
        """As KVCacheManager.allocate_slots. A token that comes back from CPU memory (`request.num_computed_tokens`)
        and is seen by none has the slot -1.
        """
        if request in self:
            return super().allocate_slots(request, n, num_pending=num_pending)
        whole("n", n)
        cached = self._match(request)
        hit = len(cached) * self.allocator.block_size
        num_restored = max(0, getattr(request, "num_computed_tokens", 0) - hit)
        if hit + n > len(request.token_ids) + num_pending or num_restored > n:
            raise LedgerError(
                f"Request {request.request_id} has {plural(len(request.token_ids), 'token')}, {hit} of them cached and "
                f"{num_restored} in CPU memory, so it cannot be given {n} slots. Take off what match_prefix finds, and "
                f"add a new token to token_ids before asking for its slot."
            )
        table = WindowedTable(self.allocator, name=request.request_id)
        slots = table.begin(cached, num_restored, n - num_restored, self.fallen(hit + num_restored))
        if slots is not None:
            self._held[request.request_id] = RequestBlocks(request, table, hit + num_restored)
            if shared := real(table.block_ids[: len(cached)]):
                self.cache.raise_priority(shared, priority(request))
        return slots

    def commit(self, request, num_computed_tokens):
        """As KVCacheManager.commit; then the blocks are given back that no later token sees."""
        super().commit(request, num_computed_tokens)
        held = self._held[request.request_id]
        held.table.give_back_fallen(self.fallen(num_computed_tokens))

    def take_new_blocks(self, request):
        """As KVCacheManager.take_new_blocks. A place without a block is told as block 0, which exists and is not read
        there.
        """
        first, block_ids = super().take_new_blocks(request)
        return first, [max(0, b) for b in block_ids]


def real(block_ids):
    """Those that are blocks."""
    return [b for b in block_ids if b != NO_BLOCK]


def reach(windows, window, sinks):
    """(window, sinks) that no layer sees beyond, or None where one sees all tokens.

    windows: of each layer of the model, None for none; empty: none at all. window, sinks: of the engine, or None and 0.
    """
    own = [one for one in windows if one is not None]
    if window is None:
        return (max(own), 0) if own and len(own) == len(windows) else None
    if type(window) is not int or window < 1:
        raise ParameterError(f"window is {window!r}; it is the number of tokens that a token sees: 1 or more.")
    if own and len(own) == len(windows) and max(own) <= window:
        return max(own), 0
    return window, sinks
