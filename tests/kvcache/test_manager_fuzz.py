"""KVCacheManager in random programs, compared with a slow and simple model, and with memory that is really written."""

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
from ledgers import manager, observed, request

from course_lib.errors import LedgerError
from course_lib.kvcache.prefix import hash_chain


class Block:
    """A block of the model: the tokens of its sequence up to its end, if it is hashed, and its priority."""

    def __init__(self):
        self.tokens, self.priority = None, 0


class Model:
    """The same manager, slow and simple: blocks are objects, tokens are compared directly, idle blocks are a list."""

    def __init__(self, num_blocks, size, eviction):
        self.num_blocks, self.size, self.by_priority = num_blocks, size, eviction == "priority"
        self.held, self.hashed, self.idle = {}, {}, []  # request -> [Block], tokens -> Block, [Block]

    def refs(self, block):
        return sum(block is b for blocks in self.held.values() for b in blocks)

    def num_free(self):
        return self.num_blocks - len({id(b) for blocks in self.held.values() for b in blocks})

    def match(self, tokens):
        found = []
        for end in range(self.size, len(tokens), self.size):
            if tokens[:end] not in self.hashed:
                break
            found.append(self.hashed[tokens[:end]])
        return found

    def touch(self, block):
        """A block was used: its idle ancestors are evicted after it, and are at least as important."""
        for end in range(len(block.tokens) - self.size, 0, -self.size):
            before = self.hashed.get(block.tokens[:end])
            if before is None or (before not in self.idle and before.priority <= block.priority):
                return
            before.priority = min(before.priority, block.priority)
            if before in self.idle:
                self.idle.remove(before), self.idle.append(before)

    def eviction_order(self):
        return sorted(self.idle, key=lambda b: -b.priority)  # a stable sort: among equals the one idle for longest

    def take(self, n):
        unused = self.num_blocks - len({id(b) for bs in self.held.values() for b in bs} | {id(b) for b in self.idle})
        for block in self.eviction_order()[: max(0, n - unused)]:
            self.idle.remove(block)
            del self.hashed[block.tokens]
        return [Block() for _ in range(n)]

    def release(self, name, blocks):
        self.held[name] = self.held[name][: len(self.held[name]) - len(blocks)]
        for i, block in reversed(list(enumerate(blocks))):
            holders = self.refs(block) + sum(block is b for b in blocks[:i])
            if holders == 0 and block.tokens is not None:
                self.idle.append(block)
                later = self.held[name]
                self.held[name] = later + blocks[:i]  # the blocks before it are still held at this moment
                self.touch(block)
                self.held[name] = later


class Managers(RuleBasedStateMachine):
    """A manager compared with the model and with written memory. With two token ids, many sequences are equal."""

    operations = 0

    @initialize(num_blocks=st.integers(1, 10), size=st.integers(1, 3), eviction=st.sampled_from(["lru", "priority"]))
    def begin(self, num_blocks, size, eviction):
        self.m = manager(num_blocks, size, eviction=eviction)
        self.model = Model(num_blocks, size, eviction)
        self.requests, self.memory, self.names = [], {}, 0

    def new(self, tokens, priority):
        self.names += 1
        return request(self.names, tokens, priority)

    def allocate(self, r, n):
        """Allocates n tokens for r in both, writes them into memory and commits. Returns whether there was room."""
        m, model, tokens = self.m, self.model, tuple(r.token_ids)
        blocks = model.held.get(r.request_id)
        cached = model.match(tokens) if blocks is None else []
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
            self.memory[slot] = tokens[: position + 1]  # keys and values depend on all tokens up to their own
        m.commit(r, start + n)
        for i in range(start // size, (start + n) // size):
            block, chunk = model.held[r.request_id][i], tokens[: (i + 1) * size]
            if chunk not in model.hashed:
                model.hashed[chunk], block.tokens = block, chunk
                block.priority = r.priority if model.by_priority else 0
                model.touch(block)
        return True

    @rule(data=st.data(), tokens=st.lists(st.integers(0, 1), min_size=1, max_size=9), priority=st.integers(-1, 1))
    def admit(self, data, tokens, priority):
        r = self.new(tokens, priority)
        cached = len(self.model.match(tuple(tokens))) * self.model.size
        assert self.m.match_prefix(r) == cached < len(tokens)
        if self.allocate(r, data.draw(st.integers(0, len(tokens) - cached))):
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
            lambda: self.m.free(request("unknown", [])),
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
                assert (m.cache.hash_of(b) is None) == (block.tokens is None)
            for p in range(table.num_tokens):
                assert self.memory[table.slot(p)] == tuple(r.token_ids[: p + 1])
        assert len(set(block_id.values())) == len(block_id)
        ids = {tokens: m.cache._block_of[hash_chain(tokens, model.size)[-1]] for tokens in model.hashed}
        assert len(m.cache) == len(ids)
        assert m.cache.evictable() == [ids[block.tokens] for block in model.eviction_order()]


def test_random_programs_agree_with_the_model_and_read_what_they_wrote():
    run_state_machine_as_test(
        Managers,
        settings=settings(
            max_examples=730,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Managers.operations >= 30_000
