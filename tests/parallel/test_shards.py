"""The parts of a model, summed and gathered, against the whole model, for any shape and number of ranks. The ranks are
threads here.
"""

import threading

import pytest
import torch
from random_models import model
from safetensors.torch import save_file

from course_lib.errors import ParameterError
from course_lib.kvcache import BlockTable, KVPool, PagedCache
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins
from course_lib.parallel import FolderWeights, RandomWeights, Shard
from course_lib.parallel.load import part_of_model

SHAPES = {
    "as many KV heads as ranks": (2, dict()),
    "one KV head on both ranks": (2, dict(num_kv_heads=1, qk_norm=True)),
    "a group cut unevenly": (3, dict(num_heads=6, num_kv_heads=2, vocab_size=25)),
    "heads that ranks share in pieces": (3, dict(num_heads=12, num_kv_heads=4, attention_bias=True, output_bias=True)),
    "a KV head for several ranks": (4, dict(num_heads=8, num_kv_heads=2, tie_embeddings=True)),
    "more ranks than rows of the vocabulary need": (4, dict(vocab_size=5)),
    "one rank": (1, dict(attention_bias=True)),
}


class Threads:
    """What a Group does, for ranks that are threads of one process."""

    device = torch.device("cpu")

    def __init__(self, rank, size, shared):
        self.rank, self.size = rank, size
        self.parts, self.barrier = shared

    def all_reduce(self, x, add_to=None):
        total = torch.stack(self._of_all(x)).sum(0)
        return total if add_to is None else add_to.add_(total)

    def gather(self, x):
        return torch.cat(self._of_all(x), -1)

    def _of_all(self, x):
        self.barrier.wait()
        self.parts[self.rank] = x.clone()
        self.barrier.wait()
        return [self.parts[rank] for rank in range(self.size)]


def on_threads(size, work):
    """[work(group of the rank)] of all ranks."""
    shared, got = ({}, threading.Barrier(size, timeout=20)), {}

    def one(rank):
        try:
            with torch.inference_mode():
                got[rank] = work(Threads(rank, size, shared))
        except BaseException:
            shared[1].abort()
            raise

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got[rank] for rank in range(size)]


def saved(whole, folder):
    """The FolderWeights of a model."""
    tensors = {name: weight.contiguous() for name, weight in whole.named_parameters()}
    save_file(tensors, folder / "model.safetensors")
    return FolderWeights(folder, whole.config)


@pytest.mark.parametrize("case", SHAPES)
def test_the_parts_together_are_the_whole(case, tmp_path):
    size, shape = SHAPES[case]
    whole = model(**shape)
    for name, weight in whole.named_parameters():
        if "bias" in name:
            weight.normal_()
    source, counts = saved(whole, tmp_path), [5, 1, 3]
    ends = torch.tensor(counts).cumsum(0)

    def logits(run, config, dtype):
        cache = PagedCache(KVPool(config, 12, 4, "cpu", dtype))
        tables, made = [BlockTable(cache.allocator) for _ in counts], []
        for new in (counts, [1, 1, 1], [1]):  # the later steps read what the first has kept
            for table, n in zip(tables, new):
                table.append_slots(n)
            positions = cache.begin_step(tables[: len(new)], new)
            made.append(
                run(
                    positions * 3 % 5,
                    positions,
                    cache,
                    logits_for=(ends[: len(new)] if new == counts else positions.new_tensor([*range(1, len(new) + 1)]))
                    - 1,
                ).double()
            )
        return torch.cat(made)

    def of_part(group):
        part = part_of_model(source, group, torch.float64)
        plain = logits(part, part.config, torch.float64)
        fused = FusedTransformer(part_of_model(source, group, torch.float32), twins, few=1, some=3)
        return plain, logits(fused, part.config, torch.float32)

    expected = logits(whole.double(), whole.config, torch.float64)
    for plain, fused in on_threads(size, of_part):
        torch.testing.assert_close(plain, expected)
        torch.testing.assert_close(fused, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", SHAPES)
def test_every_number_is_on_a_rank_and_no_rank_holds_more_than_its_share(case):
    size, shape = SHAPES[case]
    config = model(**shape).config
    shards = [Shard(config, rank, size) for rank in range(size)]
    names = {
        "v_proj": config.num_kv_heads * 6,
        "q_proj": config.num_heads * 6,
        "down_proj": 32,
        "lm_head": config.vocab_size,
    }
    for name, length in names.items():
        pieces = [[*range(*piece)] for shard in shards for piece in shard.pieces(f"x.{name}.weight")[1]]
        held = sum(pieces, [])
        assert sorted({*held}) == [*range(length)]
        assert len(held) == length or name == "v_proj"
    assert len({len(shard.kv_heads) for shard in shards}) == len({shard.vocabulary_rows for shard in shards}) == 1
    whole, parts = RandomWeights(config), [RandomWeights(config).read(shard, "cpu", torch.float32) for shard in shards]
    total = sum(weight.numel() for weight in whole.whole("cpu", torch.float32).parameters())
    norms = sum(weight.numel() for name, weight in parts[0].items() if "norm" in name or "o_proj.bias" in name)
    if size * len(shards[0].kv_heads) == config.num_kv_heads:  # otherwise some ranks hold the same heads
        rows = size * shards[0].vocabulary_rows - config.vocab_size
        assert sum(p.numel() for part in parts for p in part.values()) == total + (size - 1) * norms + 2 * rows * 24


def test_random_weights_are_the_same_numbers_in_parts():
    config = model(num_heads=4, num_kv_heads=2).config
    whole = RandomWeights(config, seed=3).whole("cpu", torch.float32).state_dict()
    for rank in range(2):
        shard = Shard(config, rank, 2)
        part = RandomWeights(config, seed=3).read(shard, "cpu", torch.float32)
        name = "model.layers.1.mlp.down_proj.weight"
        assert torch.equal(part[name], whole[name][:, shard.inner.start : shard.inner.stop])


def test_a_number_of_ranks_that_does_not_divide_the_heads_is_refused():
    with pytest.raises(ParameterError, match="tensor_parallel=4 .* 6 query heads .* one of 1, 2, 3, 6"):
        Shard(model(num_heads=6).config, 0, 4)
