"""What KVPool.save puts aside and restore brings back: a part of the tokens, and blocks that were given back."""

import pytest
import torch

from course_lib.kvcache import KVPool
from course_lib.models import ModelConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE = dict(vocab_size=8, hidden_size=16, intermediate_size=8, num_layers=3, num_heads=2, num_kv_heads=2, head_dim=8)


@pytest.mark.parametrize("start", [0, 3, 6])
@pytest.mark.parametrize("blocks", [[5, 2, 7, 1], [5, -1, 7, 1]], ids=["whole", "hole"])
def test_a_part_comes_back_as_it_was(blocks, start):
    """On a GPU the copy of `save` has not begun when `restore` is called, and the blocks have other content by then."""
    pool = KVPool(ModelConfig(**SHAPE, context=64), 12, 4, DEVICE, torch.float32)
    generator = torch.Generator(DEVICE).manual_seed(start)
    for kept in pool.by_token:
        kept.normal_(generator=generator)
    before = [kept.clone().flatten(1, 2) for kept in pool.by_token]
    places = [blocks[i // 4] * 4 + i % 4 if blocks[i // 4] >= 0 else None for i in range(14)]
    slots = [40 - i for i in range(14 - start)]  # blocks 6 to 10
    slots[2] = -1  # nobody wants this token
    if DEVICE == "cuda":
        torch.cuda._sleep(10**8)
    saved = pool.save(blocks, 14)
    for kept in pool.by_token:
        kept.fill_(7.0)
    pool.restore(saved, start, slots)
    written = {slot: place for slot, place in zip(slots, places[start:]) if slot >= 0 and place is not None}
    for kept, old in zip(pool.by_token, before):
        right = torch.full_like(old, 7.0)
        for slot, place in written.items():
            right[:, slot] = old[:, place]
        assert torch.equal(kept.flatten(1, 2), right)
