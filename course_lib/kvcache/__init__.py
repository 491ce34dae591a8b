"""The KV cache: where the keys and values of past tokens are kept. Each lesson has another class with the same methods.

Names are loaded on first use, so that the ledger and the sizes, which are plain integers, do not load torch.
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
        "catalogue": "calculator_data",
        "sizes": "kv_bytes_per_token max_requests",
        "fragmentation": "simulate",
    },
)
