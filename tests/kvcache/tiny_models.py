"""Paged caches for small random models, and the shapes that they are tried with."""

import torch

from course_lib.kvcache import KVPool, PagedCache


def paged(m, num_blocks=16, block_size=4, allocator=None):
    return PagedCache(KVPool(m.config, num_blocks, block_size, "cpu", torch.float32), allocator)


SHAPES = [
    dict(),
    dict(num_heads=3, num_kv_heads=3),
    dict(num_heads=6, num_kv_heads=1, num_layers=3),
    dict(qk_norm=True),
]
