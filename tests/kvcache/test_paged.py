"""PagedCache: token for token what the naive loop and ContiguousCache give, and refusals that change nothing."""

import random

import pytest
import torch
from random_models import model
from tiny_models import SHAPES, paged

from course_lib.decoding import SamplingParams, first_divergence, generate_cached, generate_naive
from course_lib.errors import CacheFull, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable, ContiguousCache, Recompute


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block_size", [1, 3, 4, 16, 64])
def test_one_sequence_gets_the_tokens_of_the_naive_loop(shape, block_size):
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


def test_every_layer_gives_what_recompute_gives():
    m = model(num_layers=3)
    ids = [random.Random(0).randrange(23) for _ in range(30)]
    for prefill in (1, 11, 30):
        assert first_divergence(m, ids, paged(m), Recompute(), prefill=prefill) is None


def test_blocks_in_a_wrong_order_are_noticed():
    m = model()
    cache = paged(m)
    original = cache.pool.gather
    cache.pool.gather = lambda layer, table, n: original(layer, table.flip(0), n)
    assert first_divergence(m, list(range(20)), cache, Recompute(), prefill=8) is not None


def test_a_step_without_room_writes_nothing_and_can_be_repeated():
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


class Lessons04:
    """A learner's allocator with only the needed methods; the highest free block is allocated first."""

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
def test_two_samples_share_the_blocks_of_their_prompt_and_write_their_own(kind):
    m = model()
    allocator = kind(8, 4)
    cache = paged(m, 8, 4, allocator)
    prompt, seconds = [5, 6, 7, 8, 9, 10], [1, 2]
    one = BlockTable(allocator)
    one.append_slots(6)
    m(torch.tensor(prompt), cache.begin_step([one], [6]), cache)
    two = one.fork()
    sequences, tables = [prompt + [t] for t in seconds], [one, two]
    for _ in range(8):
        for table in tables:
            assert table.append_slots(1)
        logits = m(torch.tensor([sequence[-1] for sequence in sequences]), cache.begin_step(tables, [1, 1]), cache)
        for sequence, row in zip(sequences, logits):
            sequence.append(int(row.argmax()))
    for sequence, second in zip(sequences, seconds):
        assert sequence[7:] == generate_naive(m, prompt + [second], SamplingParams(max_tokens=8))
    assert one.block_ids[0] == two.block_ids[0] and not set(one.block_ids[1:]) & set(two.block_ids[1:])


def test_a_wrong_step_is_refused():
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
