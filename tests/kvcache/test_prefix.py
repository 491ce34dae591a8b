"""Hashes of blocks and PrefixCache."""

from types import SimpleNamespace

import pytest

from course_lib.errors import LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager, PrefixCache
from course_lib.kvcache.prefix import hash_block, hash_chain


def test_hashes_are_chained_of_full_blocks_and_long_enough():
    assert len(hash_block(b"", [1, 2])) * 8 >= 128
    one, two = hash_chain([1, 2, 3, 4, 5], 2)
    assert one == hash_block(b"", [1, 2]) and two == hash_block(one, [3, 4])
    assert hash_chain([1, 2, 3, 4, 5, 6], 2, known=[one])[:2] == [one, two]
    assert hash_chain([1], 2) == [] and hash_chain([3, 4], 2)[0] != two
    chains = {
        tuple(hash_chain([a, b, c, d], 2)) for a in range(5) for b in range(5) for c in range(5) for d in range(5)
    }
    assert len(chains) == 625
    for wrong in (["a", "b"], [1.5, 2], [2**63, 1], [None, 1]):
        with pytest.raises(ParameterError, match="token ids"):
            hash_block(b"", wrong)


def test_a_table_that_shrank_never_writes_into_a_hashed_block():
    a = BlockAllocator(4, 4)
    cache, t = PrefixCache(a), BlockTable(a)
    t.append_slots(4)
    cache.insert(0, hash_block(b"", [1, 2, 3, 4]))
    t.shrink(2)
    assert t.append_slots(1) == [1 * 4 + 2] and a.copies == [(0, 1)] and cache.match([1, 2, 3, 4, 5]) == [0]
    a.check_integrity()


def test_wrong_calls_of_a_prefix_cache_are_refused():
    a = BlockAllocator(4, 2)
    with pytest.raises(ParameterError, match="eviction is 'fifo'"):
        PrefixCache(a, "fifo")
    cache = PrefixCache(a)
    with pytest.raises(LedgerError, match="prefix cache already"):
        PrefixCache(a)
    with pytest.raises(ParameterError, match="no place for cached blocks"):
        KVCacheManager(SimpleNamespace(num_blocks=4, block_size=2))
    h = hash_block(b"", [1, 2])
    with pytest.raises(LedgerError, match="held by no table"):
        cache.insert(0, h)
    a.allocate(2)
    assert cache.insert(0, h) and cache.insert(0, h) and not cache.insert(1, h)
    with pytest.raises(LedgerError, match="hashed with other tokens"):
        cache.insert(0, hash_block(b"", [3, 4]))
    with pytest.raises(LedgerError, match="1 blocks should be evicted, but only 0"):
        cache.evict(1)
