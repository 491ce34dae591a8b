"""What the model's attention remembers: one class a lesson, all behind the same door.

Names arrive on first use, so that the ledger and the arithmetic, which are plain integers, do not wait for torch.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "allocator": "BlockAllocator",
        "block_table": "BlockTable",
        "contiguous": "ContiguousBatch ContiguousCache",
        "manager": "KVCacheManager",
        "pool": "KVPool",
        "paged": "PagedCache",
        "prefix": "PrefixCache",
        "recompute": "Recompute",
        "sizes": "calculator_data kv_bytes_per_token max_requests",
        "fragmentation": "simulate",
    },
)
