"""What the model's attention remembers: one class a lesson, all behind the same door.

Names arrive on first use, so that the ledger and the arithmetic, which are plain integers, do not wait for torch.
"""

from importlib import import_module

_HOME = {
    "BlockAllocator": "course_lib.kvcache.allocator",
    "BlockTable": "course_lib.kvcache.block_table",
    "ContiguousBatch": "course_lib.kvcache.contiguous",
    "ContiguousCache": "course_lib.kvcache.contiguous",
    "KVCacheManager": "course_lib.kvcache.manager",
    "KVPool": "course_lib.kvcache.pool",
    "PagedCache": "course_lib.kvcache.paged",
    "PrefixCache": "course_lib.kvcache.prefix",
    "Recompute": "course_lib.kvcache.recompute",
    "calculator_data": "course_lib.kvcache.sizes",
    "kv_bytes_per_token": "course_lib.kvcache.sizes",
    "max_requests": "course_lib.kvcache.sizes",
    "simulate": "course_lib.kvcache.fragmentation",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"course_lib.kvcache has no {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
