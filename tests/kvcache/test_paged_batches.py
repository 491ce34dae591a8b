"""PagedCache in random batches with forks, hits and evictions: each sequence gets the tokens that it gets alone."""

import random
from types import SimpleNamespace

import pytest
import torch
from random_models import model
from tiny_models import SHAPES, paged

from course_lib.decoding import SamplingParams, generate_cached, generate_naive
from course_lib.kvcache import BlockAllocator, ContiguousCache, KVCacheManager


class Batch:
    """The smallest engine: admits, computes prompts in chunks, adds a token to each sequence, forks, preempts."""

    def __init__(self, m, num_blocks, block_size, eviction, seed):
        self.m, self.draw = m, random.Random(seed)
        self.manager = KVCacheManager(BlockAllocator(num_blocks, block_size), eviction=eviction)
        self.cache = paged(m, num_blocks, block_size, self.manager.allocator)
        self.running, self.waiting, self.done, self.names = [], [], [], 0
        self.seen = dict.fromkeys(["hit", "fork", "copy", "evict", "preempt", "chunk", "full"], 0)
        evict = self.manager.cache.evict
        self.manager.cache.evict = lambda n: (self.seen.__setitem__("evict", self.seen["evict"] + 1), evict(n))[1]
        self.longest = 3 * block_size + 13  # tokens that a sequence can have at its end
        self.starts = [[self.draw.randrange(23) for _ in range(3 * block_size + 1)] for _ in range(3)]

    def add(self, token_ids, origin=None):
        self.names += 1
        r = SimpleNamespace(
            request_id=self.names,
            token_ids=list(token_ids),
            origin=origin or len(token_ids),
            most=(origin or len(token_ids)) + self.draw.randrange(1, 10),
            priority=self.draw.randrange(3),
        )
        return r

    def arrive(self):
        start = self.draw.choice(self.starts)
        self.waiting.append(
            self.add(
                start[: self.draw.randrange(1, len(start) + 1)]
                + [self.draw.randrange(23) for _ in range(self.draw.randrange(3))]
            )
        )

    def step(self):
        manager, batch = self.manager, []
        if self.waiting:
            self.running.append(self.waiting.pop(0))
        for r in self.running[:]:
            have = manager.table(r).num_tokens if r in manager else manager.match_prefix(r)
            self.seen["hit"] += r not in manager and have > 0
            n = self.draw.randint(1, len(r.token_ids) - have)
            self.seen["chunk"] += n < len(r.token_ids) - have
            if manager.allocate_slots(r, n) is not None:
                batch.append((r, n))
                continue
            self.seen["full"] += 1
            if r in manager:
                manager.free(r)
                self.seen["preempt"] += 1
            self.running.remove(r)
            self.waiting.append(r)
        manager.check_integrity()
        if batch:
            self.compute(batch)

    def compute(self, batch):
        manager = self.manager
        self.seen["copy"] += len(manager.allocator.copies)
        tables = [manager.table(r) for r, _ in batch]
        ids = [t for (r, n), table in zip(batch, tables) for t in r.token_ids[table.num_tokens - n : table.num_tokens]]
        positions = self.cache.begin_step(tables, [n for _, n in batch])
        logits = self.m(torch.tensor(ids), positions, self.cache)
        last = -1
        for r, n in batch:
            last += n
            table = manager.table(r)
            manager.commit(r, table.num_tokens)
            if table.num_tokens < len(r.token_ids):
                continue
            r.token_ids.append(int(logits[last].argmax()))
            if len(r.token_ids) >= r.most:
                manager.free(r)
                self.running.remove(r)
                self.done.append(r)
            elif (
                self.names < 50 and len(r.token_ids) < self.longest - 10 and self.draw.random() < 0.15
            ):  # a fork goes on from here, with another token
                other = self.add(r.token_ids[:-1] + [self.draw.randrange(23)], origin=len(r.token_ids))
                manager.fork(r, other)
                self.seen["fork"] += 1
                self.running.append(other)
        manager.check_integrity()


def live(seed):
    """A Batch that gets twenty requests in forty steps and then runs until all have ended."""
    m, block_size = model(**SHAPES[seed % len(SHAPES)], seed=seed), [1, 2, 3, 4, 7][seed % 5]
    batch = Batch(
        m,
        num_blocks=4 + 13 // block_size + seed % 7,
        block_size=block_size,
        eviction=["lru", "priority"][seed % 2],
        seed=seed,
    )
    for step in range(300):
        if step < 40 and step % 2 == 0:
            batch.arrive()
        batch.step()
        if step > 40 and not batch.running and not batch.waiting:
            return batch
    raise AssertionError("The batch did not come to an end.")


@pytest.mark.parametrize("seed", range(40))
def test_in_random_batches_each_sequence_gets_the_tokens_that_it_gets_alone(seed):
    batch = live(seed)
    assert len(batch.done) >= 20
    for r in batch.done:
        start, written = r.token_ids[: r.origin], r.token_ids[r.origin :]
        params = SamplingParams(max_tokens=len(written), ignore_eos=True)
        assert written == generate_naive(batch.m, start, params)
        contiguous = ContiguousCache(batch.m.config, len(r.token_ids), device="cpu", dtype=torch.float32)
        assert written == generate_cached(batch.m, start, params, contiguous)
    assert batch.manager.allocator.num_free == batch.manager.allocator.num_blocks


def test_the_random_batches_have_every_event():
    seen = [live(seed).seen for seed in range(6)]
    assert all(sum(one[what] for one in seen) >= 5 for what in seen[0]), seen
