"""PagedCache as on a GPU, with the torch twins and with the kernels themselves: the same tokens as the naive loop."""

import pytest
import torch

from course_lib import attention
from course_lib.decoding import SamplingParams, generate_cached, generate_naive
from course_lib.kvcache import BlockTable, KVPool, PagedCache
from course_lib.kvcache.batch import groups_of_similar_length
from course_lib.models import ModelConfig, Transformer


def model(num_heads, num_kv_heads, head_dim, device):
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=23,
        hidden_size=24,
        intermediate_size=32,
        num_layers=2,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        context=256,
    )
    made = Transformer(config).eval().requires_grad_(False)
    for name, weight in made.named_parameters():
        if "norm" not in name:
            weight.normal_(std=1 if "embed" in name else (5 if "lm_head" in name else 1.5) / weight.shape[-1] ** 0.5)
    return made.to(device)


def cache_of(m, where, monkeypatch):
    """A PagedCache that goes the way of a GPU. where: twins, or kernels (interpreted without a GPU)."""
    cache = PagedCache(KVPool(m.config, 16, 4, m.device, torch.float32))
    monkeypatch.setattr(cache, "_attend_on_cpu", cache._attend_on_gpu)
    if where == "kernels":
        from course_lib.attention.kernels import paged, store

        for home, name in ((store, "store_kv"), (paged, "paged_decode"), (paged, "paged_attention")):
            monkeypatch.setattr(attention, name, getattr(home, name), raising=False)
    return cache


@pytest.mark.parametrize("where", ["twins", "kernels"])
def test_one_sequence_writes_what_the_naive_loop_writes(device, where, monkeypatch):
    m = model(4, 2, 6, device)
    cache, params = cache_of(m, where, monkeypatch), SamplingParams(max_tokens=6)
    for prompt in ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [7]):
        assert generate_cached(m, prompt, params, cache) == generate_naive(m, prompt, params)
        cache.reset()


@pytest.mark.parametrize("where", ["twins", "kernels"])
def test_prefill_and_decode_in_one_step_write_what_each_writes_alone(device, where, monkeypatch):
    m = model(6, 2, 16, device)
    cache = cache_of(m, where, monkeypatch)
    texts = [[1, 2, 3], [4] * 9, [5, 6]]
    starts, tables = [text[:] for text in texts], [BlockTable(cache.allocator) for _ in texts]

    def step(which, counts):
        ids = []
        for i, n in zip(which, counts):
            kept = tables[i].num_tokens
            assert tables[i].append_slots(n) is not None
            ids += texts[i][kept : kept + n]
        positions = cache.begin_step([tables[i] for i in which], counts)
        logits = m(torch.tensor(ids, device=device), positions, cache)
        for i, row in zip(which, torch.tensor(counts).cumsum(0) - 1):
            if tables[i].num_tokens == len(texts[i]):
                texts[i].append(int(logits[row].argmax()))

    step([0, 1], [3, 4])  # a prompt, and a piece of another
    step([0, 1, 2], [1, 5, 2])  # a token, the rest of that prompt, a third one
    step([2, 0, 1], [1, 1, 1])  # a token each
    for text, start in zip(texts, starts):
        params = SamplingParams(max_tokens=len(text) - len(start), ignore_eos=True)
        assert text[len(start) :] == generate_naive(m, start, params)


def test_sequences_of_like_length_are_gathered_together():
    assert groups_of_similar_length([100, 10, 12, 900, 11], [1, 1, 1, 1, 1]) == [
        [1, 4, 2]
    ]  # 100 and 900 would make the others wait
    assert groups_of_similar_length([30, 30, 30], [1, 2, 1]) == [[0, 2]]
    assert groups_of_similar_length([5, 8], [5, 8]) == [] and groups_of_similar_length([7], [1]) == []
