"""KVPool and PagedCache: literal slots, and token for token what the naive loop and ContiguousCache write, through any history."""

import random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoding import SamplingParams, first_divergence, generate_cached, generate_naive
from course_lib.errors import CacheFull, LedgerError, ParameterError
from course_lib.kvcache import (
    BlockAllocator,
    BlockTable,
    ContiguousCache,
    KVCacheManager,
    KVPool,
    PagedCache,
    Recompute,
)
from course_lib.kvcache.pool import independent
from course_lib.models import ModelConfig, Transformer


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(num_heads=4, num_kv_heads=2, num_layers=2, seed=0, **more):
    """A small random model whose texts do not fall into a loop at once."""
    torch.manual_seed(seed)
    made = (
        Transformer(
            ModelConfig(
                vocab_size=23,
                hidden_size=24,
                intermediate_size=32,
                num_layers=num_layers,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=6,
                context=256,
                **more,
            )
        )
        .eval()
        .requires_grad_(False)
    )
    for name, weight in made.named_parameters():
        if "norm" not in name:
            weight.normal_(std=1 if "embed" in name else (5 if "lm_head" in name else 1.5) / weight.shape[-1] ** 0.5)
    return made


def paged(m, num_blocks=16, block_size=4, allocator=None):
    return PagedCache(KVPool(m.config, num_blocks, block_size, "cpu", torch.float32), allocator)


SHAPES = [
    dict(),
    dict(num_heads=3, num_kv_heads=3),
    dict(num_heads=6, num_kv_heads=1, num_layers=3),
    dict(qk_norm=True),
]


# --- the pool ---


def test_a_token_goes_to_its_slot_and_comes_back_through_the_table():
    m = model()
    pool = KVPool(m.config, 4, 3, "cpu", torch.float32)
    assert pool.k.shape == pool.v.shape == (2, 4, 3, 2, 6) and pool.num_bytes == 2 * 2 * 4 * 3 * 2 * 6 * 4
    k, v = torch.randn(4, 2, 6), torch.randn(4, 2, 6)
    pool.write(1, torch.tensor([6, 7, 8, 3]), k, v)
    assert (
        torch.equal(pool.k[1, 2, 0], k[0]) and torch.equal(pool.k[1, 2, 2], k[2]) and torch.equal(pool.v[1, 1, 0], v[3])
    )
    got_k, got_v = pool.gather(1, torch.tensor([2, 1]), 4)
    assert torch.equal(got_k, k) and torch.equal(got_v, v)
    assert not pool.k[0].any() and not pool.k[1, 0].any() and not pool.k[1, 3].any()


@given(copies=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9))
@settings(max_examples=200, deadline=None)
def test_copies_have_the_effect_of_one_after_the_other(copies):
    pool = KVPool(model().config, 5, 2, "cpu", torch.float32)
    pool.k.copy_(torch.arange(5.0)[None, :, None, None, None].expand_as(pool.k))
    pool.v.copy_(-pool.k)
    content = list(range(5))
    for source, destination in copies:
        content[destination] = content[source]
    pool.copy_blocks(copies)
    for kept, sign in ((pool.k, 1), (pool.v, -1)):
        assert torch.equal(
            kept, sign * torch.tensor(content, dtype=torch.float32)[None, :, None, None, None].expand_as(kept)
        )


def test_only_copies_that_touch_no_block_written_before_go_together():
    assert independent([(0, 1), (2, 3), (0, 4)]) == 3
    assert independent([(0, 1), (2, 0)]) == 2  # 0 was read before it is written
    assert independent([(0, 1), (1, 2)]) == 1  # the second must see what the first wrote
    assert independent([(0, 1), (2, 1)]) == 1  # the second must win


@pytest.mark.parametrize("wrong", [(0, 5), (-1, 0), (True, 1), (0, 1.0)])
def test_copies_of_blocks_that_do_not_exist_are_refused(wrong):
    pool = KVPool(model().config, 5, 2, "cpu", torch.float32)
    pool.k[:, 0] = 1
    before = pool.k.clone()
    with pytest.raises(ParameterError, match="has 0 to 4"):
        pool.copy_blocks([(0, 1), wrong])
    assert torch.equal(pool.k, before)


# --- one sequence ---


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block_size", [1, 3, 4, 16, 64])
def test_one_sequence_writes_what_the_naive_loop_writes(shape, block_size):
    m, draw = model(**shape), random.Random(block_size)
    cache = paged(m, num_blocks=70 // block_size + 2, block_size=block_size)
    for _ in range(3):
        prompt = [draw.randrange(23) for _ in range(draw.randrange(1, 40))]
        params = SamplingParams(max_tokens=draw.randrange(1, 25))
        expected = generate_naive(m, prompt, params)
        assert (
            generate_cached(m, prompt, params, cache) == expected
            and cache.num_tokens == len(prompt) + len(expected) - 1
        )
        assert (
            generate_cached(m, prompt, params, ContiguousCache(m.config, 70, device="cpu", dtype=torch.float32))
            == expected
        )
        cache.reset()
        assert cache.num_tokens == 0 and cache.allocator.num_free == cache.allocator.num_blocks


def test_outputs_of_every_layer_are_those_of_recomputing():
    m = model(num_layers=3)
    ids = [random.Random(0).randrange(23) for _ in range(30)]
    for prefill in (1, 11, 30):
        assert first_divergence(m, ids, paged(m), Recompute(), prefill=prefill) is None


def test_a_wrong_block_is_noticed():
    m = model()
    cache = paged(m)
    original = cache.pool.gather
    cache.pool.gather = lambda layer, table, n: original(layer, table.flip(0), n)
    assert first_divergence(m, list(range(20)), cache, Recompute(), prefill=8) is not None


def test_a_step_without_room_writes_nothing_and_can_be_tried_again():
    m = model()
    cache = paged(m, num_blocks=3)
    out = generate_cached(m, [1, 2, 3, 4, 5], SamplingParams(max_tokens=5), cache)
    before = cache.pool.k.clone()
    with pytest.raises(CacheFull, match="holds 9 tokens and was asked to take 5 more.*only 0 are free"):
        m(torch.tensor([1] * 5), torch.arange(9, 14), cache)
    assert torch.equal(cache.pool.k, before) and cache.num_tokens == 9
    cache.pool.write, original = None, cache.pool.write
    with pytest.raises(TypeError):
        m(torch.tensor([out[-1]]), torch.tensor([9]), cache)
    cache.pool.write = original
    logits = m(torch.tensor([out[-1]]), torch.tensor([9]), cache)
    right = m(torch.tensor([1, 2, 3, 4, 5, *out]), torch.arange(10), Recompute())[-1]
    assert torch.allclose(logits[0], right, rtol=1e-4, atol=1e-4) and cache.num_tokens == 10


# --- many sequences ---


class Lessons04:
    """A learner's allocator: the methods alone, blocks handed out from the top."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size, self.counts = num_blocks, block_size, {}

    @property
    def num_free(self):
        return self.num_blocks - len(self.counts)

    def allocate(self, n=1):
        free = [b for b in reversed(range(self.num_blocks)) if b not in self.counts][:n]
        if len(free) < n:
            return None
        self.counts.update(dict.fromkeys(free, 1))
        return free

    def fork(self, block_ids):
        for b in block_ids:
            self.counts[b] += 1

    def free(self, block_ids):
        for b in block_ids:
            self.counts[b] -= 1
            if not self.counts[b]:
                del self.counts[b]

    def ref_count(self, block_id):
        return self.counts.get(block_id, 0)


@pytest.mark.parametrize("kind", [BlockAllocator, Lessons04])
def test_two_samples_of_one_prompt_share_it_and_write_apart(kind):
    m = model()
    allocator = kind(8, 4)
    cache = paged(m, 8, 4, allocator)
    prompt, seconds = [5, 6, 7, 8, 9, 10], [1, 2]
    one = BlockTable(allocator)
    one.append_slots(6)
    m(torch.tensor(prompt), cache.begin_step([one], [6]), cache)
    two = one.fork()
    texts, tables = [prompt + [t] for t in seconds], [one, two]
    for _ in range(8):
        for table in tables:
            assert table.append_slots(1)
        logits = m(torch.tensor([text[-1] for text in texts]), cache.begin_step(tables, [1, 1]), cache)
        for text, row in zip(texts, logits):
            text.append(int(row.argmax()))
    for text, second in zip(texts, seconds):
        assert text[7:] == generate_naive(m, prompt + [second], SamplingParams(max_tokens=8))
    assert one.block_ids[0] == two.block_ids[0] and not set(one.block_ids[1:]) & set(two.block_ids[1:])


def test_what_does_not_fit_a_step_is_refused():
    m = model()
    cache = paged(m, 8, 4)
    a = cache.allocator
    t, u = BlockTable(a, name="t"), BlockTable(a, name="u")
    t.append_slots(5), u.append_slots(2)
    for tables, counts, says in [
        ([], [], "0 tables and 0 counts"),
        ([t], [1, 1], "1 tables and 2"),
        ([t], [6], "6 new tokens"),
        ([t], [0], "at least 1"),
        ([t], [True], "at least 1"),
        ([BlockTable(BlockAllocator(8, 4))], [1], "0 tokens"),
    ]:
        with pytest.raises(ParameterError, match=says):
            cache.begin_step(tables, counts)
    foreign = BlockTable(BlockAllocator(8, 4))
    foreign.append_slots(1)
    with pytest.raises(ParameterError, match="another allocator"):
        cache.begin_step([foreign], [1])
    with pytest.raises(LedgerError, match=r"Slot 4 \(block 1\) would be written by two tokens"):
        cache.begin_step([t, t], [1, 1])
    for wrong in (8, -1):
        broken = BlockTable(a)
        broken.append_slots(1)
        broken.block_ids[0] = wrong
        with pytest.raises(LedgerError, match="does not exist"):
            cache.begin_step([broken], [1])
    assert cache.batch is None
    cache.begin_step([t, u], [5, 2])
    with pytest.raises(ParameterError, match="6 tokens came, but begin_step announced 7"):
        m(torch.zeros(6, dtype=torch.int64), torch.arange(6), cache)
    with pytest.raises(ParameterError, match="came to a pool for"):
        cache.attend(0, torch.zeros(7, 4, 6), torch.zeros(7, 4, 6), torch.zeros(7, 4, 6))
    with pytest.raises(ParameterError, match="Make both with the same two numbers"):
        paged(m, 8, 4, BlockAllocator(8, 2))
    with pytest.raises(ParameterError, match="Make both with the same two numbers"):
        paged(m, 8, 4, BlockAllocator(9, 4))


class Batch:
    """The smallest engine: admits, prefills in pieces, writes a token for everybody a step, forks, preempts, runs out."""

    def __init__(self, m, num_blocks, block_size, eviction, seed):
        self.m, self.draw = m, random.Random(seed)
        self.manager = KVCacheManager(BlockAllocator(num_blocks, block_size), eviction=eviction)
        self.cache = paged(m, num_blocks, block_size, self.manager.allocator)
        self.running, self.waiting, self.done, self.names = [], [], [], 0
        self.seen = dict.fromkeys(["hit", "fork", "copy", "evict", "preempt", "chunk", "full"], 0)
        evict = self.manager.cache.evict
        self.manager.cache.evict = lambda n: (self.seen.__setitem__("evict", self.seen["evict"] + 1), evict(n))[1]
        self.longest = 3 * block_size + 13  # tokens that a text can have when it is done
        self.starts = [[self.draw.randrange(23) for _ in range(3 * block_size + 1)] for _ in range(3)]

    def add(self, text, origin=None):
        self.names += 1
        r = SimpleNamespace(
            request_id=self.names,
            token_ids=list(text),
            origin=origin or len(text),
            most=(origin or len(text)) + self.draw.randrange(1, 10),
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
            ):  # somebody else goes on from here, with another token
                other = self.add(r.token_ids[:-1] + [self.draw.randrange(23)], origin=len(r.token_ids))
                manager.fork(r, other)
                self.seen["fork"] += 1
                self.running.append(other)
        manager.check_integrity()


def live(seed):
    """A Batch that got twenty requests over forty steps and then went on until all were done."""
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
def test_random_batches_with_forks_frees_hits_and_evictions_write_what_each_would_write_alone(seed):
    batch = live(seed)
    assert len(batch.done) >= 20
    for r in batch.done:
        start, written = r.token_ids[: r.origin], r.token_ids[r.origin :]
        params = SamplingParams(max_tokens=len(written), ignore_eos=True)
        assert written == generate_naive(batch.m, start, params)
        contiguous = ContiguousCache(batch.m.config, len(r.token_ids), device="cpu", dtype=torch.float32)
        assert written == generate_cached(batch.m, start, params, contiguous)
    assert batch.manager.allocator.num_free == batch.manager.allocator.num_blocks


def test_the_random_batches_meet_everything():
    seen = [live(seed).seen for seed in range(6)]
    assert all(sum(one[what] for one in seen) >= 5 for what in seen[0]), seen
