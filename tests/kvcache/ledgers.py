"""Managers and requests for the tests of the ledger."""

from types import SimpleNamespace

from course_lib.kvcache import BlockAllocator, KVCacheManager


def request(name, token_ids, priority=0):
    return SimpleNamespace(request_id=name, token_ids=list(token_ids), priority=priority)


def manager(num_blocks=8, block_size=4, **how):
    return KVCacheManager(BlockAllocator(num_blocks, block_size), **how)


def run(m, r, n=None):
    """Allocates and computes n tokens of r (default: all without slots). Returns their slots."""
    if n is None:
        n = len(r.token_ids) - (m.table(r).num_tokens if r in m else m.match_prefix(r))
    slots = m.allocate_slots(r, n)
    if slots is not None:
        m.commit(r, m.table(r).num_tokens)
    m.check_integrity()
    return slots


def observed(m):
    """The whole state that a later call depends on."""
    a = m.allocator
    return (
        list(a._free),
        a._ref_count[:],
        a.copies[:],
        m.cache.evictable(),
        dict(m.cache._block_of),
        dict(m.cache._entry_of),
        dict(m.cache._priority),
        m.cache.num_evictable,
        {name: (h.table.block_ids[:], h.table.num_tokens, h.num_computed_tokens) for name, h in m._held.items()},
    )
