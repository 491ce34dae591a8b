"""Batches that do not change while they run: static and dynamic batching, the loops of lesson 09.

Names are loaded on first use.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "batches": "Batch count_batches simulate_batches waits",
        "dynamic": "DynamicBatcher run_dynamic",
        "static": "BatchReport run_static run_batch",
    },
)
