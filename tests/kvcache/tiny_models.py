"""Small random models and their paged caches."""

import torch

from course_lib.kvcache import KVPool, PagedCache
from course_lib.models import ModelConfig, Transformer


def model(num_heads=4, num_kv_heads=2, num_layers=2, seed=0, **more):
    """A small random model whose output does not repeat itself at once."""
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
