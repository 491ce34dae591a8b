"""KVCacheManager: examples with literal block ids, refusals, and the message of each invariant."""

import pytest
from ledgers import manager, request, run

from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache.prefix import hash_block


def test_the_shared_last_block_of_a_fork_is_copied_once_whichever_request_writes_first():
    for writer in ("a", "b"):
        m = manager()
        a, b = request("a", range(6)), request("b", range(6))
        run(m, a)
        m.fork(a, b)
        assert m.table(b).block_ids == [0, 1] and m.allocator.num_free == 6
        one, other = (a, b) if writer == "a" else (b, a)
        one.token_ids.append(60)
        assert run(m, one) == [2 * 4 + 2] and m.allocator.copies == [(1, 2)]
        other.token_ids.append(61)
        assert run(m, other) == [1 * 4 + 2] and m.allocator.copies == [(1, 2)]
        assert m.table(one).block_ids == [0, 2] and m.table(other).block_ids == [0, 1]


def test_a_prompt_of_exactly_two_blocks_that_is_fully_cached_is_still_computed_in_part():
    m = manager()
    a, b = request("a", range(8)), request("b", range(8))
    run(m, a)
    assert m.match_prefix(b) == 4  # not 8: the last token must be computed, and a hashed block is never written
    assert m.allocate_slots(b, 4) == [8, 9, 10, 11] and m.table(b).block_ids == [0, 2]
    m.commit(b, 8)
    m.check_integrity()
    longer = request("c", range(9))
    assert m.match_prefix(longer) == 8 and run(m, longer) == [12] and m.table(longer).block_ids == [0, 1, 3]


def test_two_requests_with_the_same_prompt_in_the_same_step():
    m = manager()
    a, b = request("a", range(9)), request("b", range(9))
    assert m.match_prefix(a) == m.match_prefix(b) == 0
    m.allocate_slots(a, 9), m.allocate_slots(b, 9)
    m.commit(a, 9), m.commit(b, 9)
    m.check_integrity()
    assert m.table(a).block_ids == [0, 1, 2] and m.table(b).block_ids == [3, 4, 5]
    c = request("c", range(9))
    assert run(m, c) == [24] and m.table(c).block_ids == [0, 1, 6]  # found in the blocks of a
    m.free(b)
    assert m.allocator.num_free == 8 - 4 and m.cache.evictable() == []  # those of b were never hashed
    m.free(a)
    assert m.match_prefix(request("d", range(9))) == 8
    m.check_integrity()


def test_a_parent_is_evicted_while_its_child_is_in_use_and_the_child_stays():
    m = manager(num_blocks=5)
    a, b = request("a", range(5)), request("b", range(9))
    m.allocate_slots(a, 5), m.allocate_slots(b, 9)
    m.commit(a, 5), m.commit(b, 9)  # a: [0, 1], b: [2, 3, 4]; block 0 is hashed, 2 has the same tokens and is not, 3 is
    assert [b in m.cache for b in range(5)] == [True, False, False, True, False]
    m.free(a)
    assert m.cache.evictable() == [0] and m.match_prefix(request("c", range(9))) == 8
    other = request("d", range(100, 108))
    assert run(m, other) == [4, 5, 6, 7, 0, 1, 2, 3] and m.table(other).block_ids == [1, 0]
    assert m.match_prefix(request("c", range(9))) == 0  # the child is there, but it cannot be found without its parent
    assert m.table(b).block_ids == [2, 3, 4] and 3 in m.cache
    m.free(other), m.free(b)
    m.check_integrity()
    again = request("e", range(5))
    run(m, again)
    assert m.match_prefix(request("c", range(9))) == 8  # the parent is back, and so is the child
    m.check_integrity()


def test_a_request_freed_twice_is_refused():
    m = manager()
    a = request("a", range(6))
    run(m, a)
    m.free(a)
    before = m.cache.evictable(), m.allocator.num_free
    with pytest.raises(LedgerError, match="Request a holds no memory.*freed already"):
        m.free(a)
    assert (m.cache.evictable(), m.allocator.num_free) == before


def test_a_preempted_request_finds_its_own_blocks_again():
    m = manager()
    a = request("a", range(9))
    run(m, a)
    m.free(a)
    assert a not in m and m.cache.evictable() == [1, 0] and m.allocator.num_free == 8
    a.token_ids.append(9)
    assert m.match_prefix(a) == 8 and run(m, a) == [12, 13] and m.table(a).block_ids == [0, 1, 3]


def test_lru_evicts_the_sequence_that_was_not_used_for_longest_from_its_end():
    m = manager(num_blocks=6)
    a, b = request("a", range(9)), request("b", range(50, 59))
    run(m, a), run(m, b), m.free(a), m.free(b)
    assert m.cache.evictable() == [1, 0, 4, 3]
    c = request("c", range(9))
    run(m, c), m.free(c)  # the blocks of a are used again
    assert m.cache.evictable() == [4, 3, 1, 0]
    run(m, request("d", range(70, 82)))
    assert m.cache.evictable() == [3, 1, 0] or m.cache.evictable() == [1, 0]
    assert m.match_prefix(request("e", range(9))) == 8


def test_priority_evicts_the_least_important_sequence_first():
    m = manager(num_blocks=6, eviction="priority")
    system, chat = request("system", range(9), priority=-1), request("chat", range(50, 59), priority=3)
    run(m, system), m.free(system), run(m, chat), m.free(chat)
    assert m.cache.evictable() == [4, 3, 1, 0]
    lru = manager(num_blocks=6)
    run(lru, system), lru.free(system), run(lru, chat), lru.free(chat)
    assert lru.cache.evictable() == [1, 0, 4, 3]
    both = request("both", [*range(50, 58), 1, 2], priority=-5)  # now an important request uses the blocks of chat
    run(m, both), m.free(both)
    assert m.cache.evictable()[:2] == [1, 0]
    m.check_integrity()


def test_a_block_in_use_becomes_as_important_as_what_continues_it():
    m = manager(num_blocks=8, eviction="priority")
    dull, dear = request("dull", range(8), priority=5), request("dear", range(13), priority=0)
    m.allocate_slots(dull, 8), m.allocate_slots(dear, 13)
    (
        m.commit(dull, 8),
        m.commit(dear, 13),
    )  # dull: [0, 1], both hashed; dear: [2, 3, 4, 5], of which 4 is, and continues 1
    m.free(dear), m.free(dull)
    other = request("other", range(50, 55), priority=3)
    run(m, other), m.free(other)
    assert m.cache.evictable() == [m.cache.match([*range(50, 54), 0])[0], 4, 1, 0]
    m.check_integrity()


def test_the_cached_blocks_of_a_request_are_not_evicted_for_its_other_blocks():
    m = manager(num_blocks=4)
    a = request("a", range(9))
    run(m, a), m.free(a)  # [1, 0] cached, 2 and 3 free
    b = request("b", range(18))
    assert m.match_prefix(b) == 8 and m.allocate_slots(b, 10) is None and b not in m
    assert m.cache.evictable() == [1, 0] and m.allocator.num_free == 4
    assert m.allocate_slots(b, 8) == [12, 13, 14, 15, 8, 9, 10, 11] and m.table(b).block_ids == [0, 1, 3, 2]


def test_sequences_that_differ_early_share_no_later_block():
    m = manager()
    a, b = request("a", [1, 2, 3, 4, 5, 6, 7, 8, 9]), request("b", [0, 2, 3, 4, 5, 6, 7, 8, 9])
    run(m, a)
    assert m.match_prefix(b) == 0
    assert m.match_prefix(request("c", [1, 2, 3, 4, 5, 6, 0, 8, 9])) == 4


def test_wrong_calls_are_refused_and_change_nothing():
    m = manager()
    a, b = request("a", range(6)), request("b", range(6))
    with pytest.raises(LedgerError, match="needs at most 6 slots and not 7"):
        m.allocate_slots(a, 7)
    with pytest.raises(ParameterError, match="n is -1"):
        m.allocate_slots(a, -1)
    assert a not in m
    m.allocate_slots(a, 5)
    with pytest.raises(LedgerError, match="5 tokens of request a have slots that are still to be written"):
        m.fork(a, b)
    for wrong in (6, 99):
        with pytest.raises(LedgerError, match="slots for 5 tokens"):
            m.commit(a, wrong)
    m.commit(a, 5)
    with pytest.raises(LedgerError, match="4 computed cannot be"):
        m.commit(a, 4)
    with pytest.raises(LedgerError, match="does not begin with the 5 tokens"):
        m.fork(a, request("b", range(1, 7)))
    with pytest.raises(LedgerError, match="holds memory already"):
        m.fork(a, a)
    for call in (m.free, m.table, m.num_computed_tokens, lambda r: m.commit(r, 0), lambda r: m.fork(r, a)):
        with pytest.raises(LedgerError, match="Request b holds no memory"):
            call(b)
    assert b not in m and m.table(a).block_ids == [0, 1]
    m.check_integrity()


@pytest.mark.parametrize(
    "break_it, says",
    [
        (
            lambda m, a, b: m.allocator.fork([2]),
            "Block 2 has the reference count 2, but 1 table holds it: it would be lost",
        ),
        (lambda m, a, b: m.table(a).block_ids.__setitem__(2, 4), "Request|Block"),
        (
            lambda m, a, b: m.allocator.free(m.table(b).block_ids[2:]),
            "Request b lives and its table names block 5, which is free",
        ),
        (lambda m, a, b: m.cache._block_of.popitem(), "hashes of blocks and the blocks of hashes disagree"),
        (lambda m, a, b: m.cache.insert(2, hash_block(b"", [9])), "Block 2 of request a is hashed, but it is not full"),
        (
            lambda m, a, b: a.token_ids.__setitem__(0, 9),
            "Block 0 of request a would be found by the hash of another sequence",
        ),
        (lambda m, a, b: m.table(a).block_ids.append(6), "Request a holds 4 blocks for 9 tokens"),
        (lambda m, a, b: setattr(m.cache, "num_evictable", 1), "free or cached and|cached blocks are counted"),
        (lambda m, a, b: (m.free(a), m.cache._idle[0].move_to_end(1)), "Block 0 would be evicted before block 1"),
        (
            lambda m, a, b: (m.table(b).fork(name="x"), b.token_ids.append(1), setattr(m.table(b), "num_tokens", 10)),
            "about to be written, but 2 tables hold it",
        ),
    ],
    ids=range(10),
)
def test_each_invariant_has_its_own_message(break_it, says):
    m = manager(num_blocks=10)
    a, b = request("a", range(9)), request("b", range(20, 29))
    run(m, a), run(m, b)
    break_it(m, a, b)
    with pytest.raises(IntegrityError, match=says):
        m.check_integrity()
