"""KVCacheManager: the stories with literal ids, failures at every point, and random programs against a slow, obvious model."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager, PrefixCache
from course_lib.kvcache.prefix import hash_block, hash_chain


def request(name, text, priority=0):
    return SimpleNamespace(request_id=name, token_ids=list(text), priority=priority)


def manager(num_blocks=8, block_size=4, **how):
    return KVCacheManager(BlockAllocator(num_blocks, block_size), **how)


def run(m, r, n=None):
    """Allocates and computes n tokens of r (default: all that have no place yet); the slots."""
    if n is None:
        n = len(r.token_ids) - (m.table(r).num_tokens if r in m else m.match_prefix(r))
    slots = m.allocate_slots(r, n)
    if slots is not None:
        m.commit(r, m.table(r).num_tokens)
    m.check_integrity()
    return slots


# --- the stories ---


def test_fork_then_write_by_either_side():
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
    assert run(m, c) == [24] and m.table(c).block_ids == [0, 1, 6]  # found in the first one's blocks
    m.free(b)
    assert m.allocator.num_free == 8 - 4 and m.cache.evictable() == []  # the second one's were never hashed
    m.free(a)
    assert m.match_prefix(request("d", range(9))) == 8
    m.check_integrity()


def test_a_parent_with_a_living_child_is_evicted_and_the_child_lives_on():
    m = manager(num_blocks=5)
    a, b = request("a", range(5)), request("b", range(9))
    m.allocate_slots(a, 5), m.allocate_slots(b, 9)
    m.commit(a, 5), m.commit(b, 9)  # a: [0, 1], b: [2, 3, 4]; block 0 is hashed, 2 has the same text and is not, 3 is
    assert [b in m.cache for b in range(5)] == [True, False, False, True, False]
    m.free(a)
    assert m.cache.evictable() == [0] and m.match_prefix(request("c", range(9))) == 8
    other = request("d", range(100, 108))
    assert run(m, other) == [4, 5, 6, 7, 0, 1, 2, 3] and m.table(other).block_ids == [1, 0]
    assert m.match_prefix(request("c", range(9))) == 0  # the child is there, but nobody finds it without its parent
    assert m.table(b).block_ids == [2, 3, 4] and 3 in m.cache
    m.free(other), m.free(b)
    m.check_integrity()
    again = request("e", range(5))
    run(m, again)
    assert m.match_prefix(request("c", range(9))) == 8  # the parent is back, and so is the child
    m.check_integrity()


def test_free_twice():
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


def test_lru_gives_up_the_longest_idle_text_its_end_first():
    m = manager(num_blocks=6)
    a, b = request("a", range(9)), request("b", range(50, 59))
    run(m, a), run(m, b), m.free(a), m.free(b)
    assert m.cache.evictable() == [1, 0, 4, 3]
    c = request("c", range(9))
    run(m, c), m.free(c)  # a's text is used again
    assert m.cache.evictable() == [4, 3, 1, 0]
    run(m, request("d", range(70, 82)))
    assert m.cache.evictable() == [3, 1, 0] or m.cache.evictable() == [1, 0]
    assert m.match_prefix(request("e", range(9))) == 8


def test_priority_gives_up_the_least_important_text_first():
    m = manager(num_blocks=6, eviction="priority")
    system, chat = request("system", range(9), priority=-1), request("chat", range(50, 59), priority=3)
    run(m, system), m.free(system), run(m, chat), m.free(chat)
    assert m.cache.evictable() == [4, 3, 1, 0]
    lru = manager(num_blocks=6)
    run(lru, system), lru.free(system), run(lru, chat), lru.free(chat)
    assert lru.cache.evictable() == [1, 0, 4, 3]
    both = request("both", [*range(50, 58), 1, 2], priority=-5)  # now somebody important needs the chat's text
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


def test_a_hit_is_not_evicted_to_make_room_for_the_rest_of_its_own_request():
    m = manager(num_blocks=4)
    a = request("a", range(9))
    run(m, a), m.free(a)  # [1, 0] cached, 2 and 3 free
    b = request("b", range(18))
    assert m.match_prefix(b) == 8 and m.allocate_slots(b, 10) is None and b not in m
    assert m.cache.evictable() == [1, 0] and m.allocator.num_free == 4
    assert m.allocate_slots(b, 8) == [12, 13, 14, 15, 8, 9, 10, 11] and m.table(b).block_ids == [0, 1, 3, 2]


def test_texts_that_differ_early_share_nothing_later():
    m = manager()
    a, b = request("a", [1, 2, 3, 4, 5, 6, 7, 8, 9]), request("b", [0, 2, 3, 4, 5, 6, 7, 8, 9])
    run(m, a)
    assert m.match_prefix(b) == 0
    assert m.match_prefix(request("c", [1, 2, 3, 4, 5, 6, 0, 8, 9])) == 4


def test_a_shrunken_table_never_writes_into_a_hashed_block():
    a = BlockAllocator(4, 4)
    cache, t = PrefixCache(a), BlockTable(a)
    t.append_slots(4)
    cache.insert(0, hash_block(b"", [1, 2, 3, 4]))
    t.shrink(2)
    assert t.append_slots(1) == [1 * 4 + 2] and a.copies == [(0, 1)] and cache.match([1, 2, 3, 4, 5]) == [0]
    a.check_integrity()


# --- hashes ---


def test_hashes_are_chained_long_and_of_full_blocks_only():
    assert len(hash_block(b"", [1, 2])) * 8 >= 128
    one, two = hash_chain([1, 2, 3, 4, 5], 2)
    assert one == hash_block(b"", [1, 2]) and two == hash_block(one, [3, 4])
    assert hash_chain([1, 2, 3, 4, 5, 6], 2, known=[one])[:2] == [one, two]
    assert hash_chain([1], 2) == [] and hash_chain([3, 4], 2)[0] != two
    texts = {tuple(hash_chain([a, b, c, d], 2)) for a in range(5) for b in range(5) for c in range(5) for d in range(5)}
    assert len(texts) == 625
    for wrong in (["a", "b"], [1.5, 2], [2**63, 1], [None, 1]):
        with pytest.raises(ParameterError, match="token ids"):
            hash_block(b"", wrong)


# --- refusals ---


def test_what_a_caller_gets_wrong_is_refused_with_nothing_changed():
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


def test_what_a_cache_is_asked_wrongly_is_refused():
    a = BlockAllocator(4, 2)
    with pytest.raises(ParameterError, match="eviction is 'fifo'"):
        PrefixCache(a, "fifo")
    cache = PrefixCache(a)
    with pytest.raises(LedgerError, match="prefix cache already"):
        PrefixCache(a)
    with pytest.raises(ParameterError, match="no place for cached blocks"):
        KVCacheManager(SimpleNamespace(num_blocks=4, block_size=2))
    h = hash_block(b"", [1, 2])
    with pytest.raises(LedgerError, match="held by nobody"):
        cache.insert(0, h)
    a.allocate(2)
    assert cache.insert(0, h) and cache.insert(0, h) and not cache.insert(1, h)
    with pytest.raises(LedgerError, match="hashed as another text"):
        cache.insert(0, hash_block(b"", [3, 4]))
    with pytest.raises(LedgerError, match="1 blocks should be evicted, but only 0"):
        cache.evict(1)


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
            "Block 0 of request a would be found by the hash of another text",
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


# --- failures at every point ---


class Injected(Exception):
    pass


def observed(m):
    """Everything that a later call could notice."""
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


def a_full_house():
    """Memory with shared, hashed, cached and free blocks, and four requests for what comes next."""
    m = manager(num_blocks=12, block_size=2, eviction="priority")
    old = request("old", [7, 7, 7, 8, 9], priority=1)
    run(m, old), m.free(old)
    a = request("a", [1, 2, 3, 4, 5])
    run(m, a)
    b = request("b", [1, 2, 3, 4, 5])
    m.fork(a, b)
    b.token_ids += [6, 7, 8]
    new = request("new", [7, 7, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9], priority=-1)
    return m, a, b, new


STORIES = {
    "append with a copy": lambda m, a, b, new: m.allocate_slots(b, 3),
    "admit with hits, evicting": lambda m, a, b, new: m.allocate_slots(new, 9),
    "admit, but no room": lambda m, a, b, new: m.allocate_slots(request("big", range(30)), 30),
    "fork": lambda m, a, b, new: m.fork(a, request("c", [1, 2, 3, 4, 5])),
    "free": lambda m, a, b, new: m.free(a),
}
# What each operation calls, and in which of them it may break. What comes after them is plain assignment.
POINTS = [
    ("allocator", "allocate"),
    ("allocator", "fork"),
    ("allocator", "free"),
    ("allocator", "ref_count"),
    ("allocator", "_check_known"),
    ("allocator", "_check_shareable"),
    ("cache", "match"),
    ("cache", "__contains__"),
]


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("owner, method", POINTS, ids=lambda x: x)
def test_a_failure_at_any_call_leaves_everything_as_before(story, owner, method, monkeypatch):
    for nth in range(1, 30):
        m, *who = a_full_house()
        before, calls = observed(m), 0
        kind = type(getattr(m, owner))
        original = getattr(kind, method)

        def failing(self, *args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == nth:
                raise Injected
            return original(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(kind, method, failing)
            try:
                STORIES[story](m, *who)
            except Injected:
                pass
            else:
                assert calls < nth
                return
        assert observed(m) == before, f"{method}, call {nth}"
        m.check_integrity()


def test_a_commit_whose_tokens_cannot_be_hashed_leaves_everything_as_before():
    m = manager()
    a = request("a", [1, 2, 3, 4, 5, "six", 7, 8])
    m.allocate_slots(a, 8)
    before = observed(m)
    with pytest.raises(ParameterError, match="token ids"):
        m.commit(a, 8)
    assert observed(m) == before
    with pytest.raises(ParameterError, match="token ids"):
        m.match_prefix(request("b", ["x"] * 9))


@pytest.mark.parametrize("no", ["raises", "says None"])
def test_an_allocator_that_fails_while_a_block_is_copied_loses_nothing(no):
    a = BlockAllocator(4, 4)
    t = BlockTable(a)
    t.append_slots(2)
    t.fork()

    def allocate(n):
        if no == "raises":
            raise Injected

    a.allocate = allocate
    if no == "raises":
        with pytest.raises(Injected):
            t.append_slots(1)
    else:
        assert t.append_slots(1) is None
    assert t.block_ids == [0] and t.num_tokens == 2 and a.copies == [] and a.num_free == 3 and a.ref_count(0) == 2


# --- random programs ---


class Block:
    """A block of the model: what it stands for (the text up to its end, if it is hashed), and how important that is."""

    def __init__(self):
        self.text, self.priority = None, 0


class Model:
    """The same manager, slow and obvious: blocks are objects, texts are compared as texts, the idle ones are a list."""

    def __init__(self, num_blocks, size, eviction):
        self.num_blocks, self.size, self.by_priority = num_blocks, size, eviction == "priority"
        self.held, self.hashed, self.idle = {}, {}, []  # request -> [Block], text -> Block, [Block]

    def refs(self, block):
        return sum(block is b for blocks in self.held.values() for b in blocks)

    def num_free(self):
        return self.num_blocks - len({id(b) for blocks in self.held.values() for b in blocks})

    def match(self, text):
        found = []
        for end in range(self.size, len(text), self.size):
            if text[:end] not in self.hashed:
                break
            found.append(self.hashed[text[:end]])
        return found

    def touch(self, block):
        """A block was used: the idle ones that it continues go after it and are as important."""
        for end in range(len(block.text) - self.size, 0, -self.size):
            before = self.hashed.get(block.text[:end])
            if before is None or (before not in self.idle and before.priority <= block.priority):
                return
            before.priority = min(before.priority, block.priority)
            if before in self.idle:
                self.idle.remove(before), self.idle.append(before)

    def eviction_order(self):
        return sorted(self.idle, key=lambda b: -b.priority)  # a stable sort: the longest idle first among equals

    def take(self, n):
        unused = self.num_blocks - len({id(b) for bs in self.held.values() for b in bs} | {id(b) for b in self.idle})
        for block in self.eviction_order()[: max(0, n - unused)]:
            self.idle.remove(block)
            del self.hashed[block.text]
        return [Block() for _ in range(n)]

    def release(self, name, blocks):
        self.held[name] = self.held[name][: len(self.held[name]) - len(blocks)]
        for i, block in reversed(list(enumerate(blocks))):
            holders = self.refs(block) + sum(block is b for b in blocks[:i])
            if holders == 0 and block.text is not None:
                self.idle.append(block)
                later = self.held[name]
                self.held[name] = later + blocks[:i]  # those before it are still held while it goes
                self.touch(block)
                self.held[name] = later


class Managers(RuleBasedStateMachine):
    """A manager against the model and against memory that is written. Texts are of two letters, so that many are equal."""

    operations = 0

    @initialize(num_blocks=st.integers(1, 10), size=st.integers(1, 3), eviction=st.sampled_from(["lru", "priority"]))
    def begin(self, num_blocks, size, eviction):
        self.m = manager(num_blocks, size, eviction=eviction)
        self.model = Model(num_blocks, size, eviction)
        self.requests, self.memory, self.names = [], {}, 0

    def new(self, text, priority):
        self.names += 1
        return request(self.names, text, priority)

    def allocate(self, r, n):
        """n tokens for r, in both; writes them into memory and commits. Returns whether there was room."""
        m, model, text = self.m, self.model, tuple(r.token_ids)
        blocks = model.held.get(r.request_id)
        cached = model.match(text) if blocks is None else []
        start = m.table(r).num_tokens if blocks is not None else len(cached) * model.size
        have = len(blocks) if blocks is not None else len(cached)
        copied = n > 0 and start % model.size > 0 and model.refs(blocks[-1]) > 1
        needed = -(-(start + n) // model.size) - have + copied
        room = model.num_free() - sum(b in model.idle for b in cached)
        free_before = m.allocator.num_free
        slots = m.allocate_slots(r, n)
        assert (slots is None) == (needed > room) and model.num_free() == free_before
        if slots is None:
            return False
        for block in cached:
            if block in model.idle:
                model.idle.remove(block)
        blocks = (blocks or []) + cached
        model.held[r.request_id] = blocks
        fresh = model.take(needed)
        if copied:
            blocks[-1] = fresh.pop(0)
        model.held[r.request_id] = blocks + fresh
        for block in cached:
            if model.by_priority:
                block.priority = min(block.priority, r.priority)
        size = model.size
        assert len(m.allocator.copies) == copied
        for source, destination in m.allocator.copies:
            for i in range(size):
                self.memory[destination * size + i] = self.memory.get(source * size + i)
        m.allocator.copies.clear()
        for position, slot in zip(range(start, start + n), slots):
            self.memory[slot] = text[: position + 1]  # keys and values depend on all tokens up to their own
        m.commit(r, start + n)
        for i in range(start // size, (start + n) // size):
            block, chunk = model.held[r.request_id][i], text[: (i + 1) * size]
            if chunk not in model.hashed:
                model.hashed[chunk], block.text = block, chunk
                block.priority = r.priority if model.by_priority else 0
                model.touch(block)
        return True

    @rule(data=st.data(), text=st.lists(st.integers(0, 1), min_size=1, max_size=9), priority=st.integers(-1, 1))
    def admit(self, data, text, priority):
        r = self.new(text, priority)
        cached = len(self.model.match(tuple(text))) * self.model.size
        assert self.m.match_prefix(r) == cached < len(text)
        if self.allocate(r, data.draw(st.integers(0, len(text) - cached))):
            self.requests.append(r)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), more=st.lists(st.integers(0, 1), max_size=4))
    def go_on(self, data, more):
        r = data.draw(st.sampled_from(self.requests))
        if len(r.token_ids) < 20:
            r.token_ids += more
        self.allocate(r, data.draw(st.integers(0, len(r.token_ids) - self.m.table(r).num_tokens)))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), priority=st.integers(-1, 1))
    def fork(self, data, priority):
        r = data.draw(st.sampled_from(self.requests))
        other = self.new(r.token_ids, priority)
        self.m.fork(r, other)
        self.model.held[other.request_id] = self.model.held[r.request_id][:]
        self.requests.append(other)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def free(self, data):
        r = data.draw(st.sampled_from(self.requests))
        self.m.free(r)
        self.model.release(r.request_id, self.model.held[r.request_id])
        del self.model.held[r.request_id]
        self.requests.remove(r)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def misuse(self, data):
        r, before = data.draw(st.sampled_from(self.requests)), observed(self.m)
        done = self.m.table(r).num_tokens
        for call in (
            lambda: self.m.commit(r, done + 1),
            lambda: self.m.fork(r, r),
            lambda: self.m.free(request("nobody", [])),
            lambda: self.m.allocate_slots(r, len(r.token_ids) - done + 1),
            lambda: self.m.allocator.free([self.m.allocator.num_blocks]),
        ):
            with pytest.raises(LedgerError):
                call()
        assert observed(self.m) == before

    @invariant()
    def both_agree(self):
        if not hasattr(self, "m"):
            return
        type(self).operations += 1
        m, model = self.m, self.model
        m.check_integrity()
        assert m.allocator.num_free == model.num_free()
        block_id = {}
        for r in self.requests:
            table = m.table(r)
            assert len(table.block_ids) == len(model.held[r.request_id])
            for b, block in zip(table.block_ids, model.held[r.request_id]):
                assert block_id.setdefault(id(block), b) == b and m.allocator.ref_count(b) == model.refs(block)
                assert (m.cache.hash_of(b) is None) == (block.text is None)
            for p in range(table.num_tokens):
                assert self.memory[table.slot(p)] == tuple(r.token_ids[: p + 1])
        assert len(set(block_id.values())) == len(block_id)
        ids = {text: m.cache._block_of[hash_chain(text, model.size)[-1]] for text in model.hashed}
        assert len(m.cache) == len(ids)
        assert m.cache.evictable() == [ids[block.text] for block in model.eviction_order()]


def test_managers_against_the_model_and_against_memory_that_is_really_written():
    run_state_machine_as_test(
        Managers,
        settings=settings(
            max_examples=700,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Managers.operations >= 30_000
