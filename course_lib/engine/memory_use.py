"""What the memory of an engine is used for, now and at its peak, and the longest sequence that fits. Units: bytes."""

import sys
from dataclasses import dataclass

import torch

from course_lib.kvcache.sizes import kv_bytes_per_token


@dataclass(frozen=True)
class MemoryUse:
    """One moment of an engine's memory."""

    weight_bytes: int
    kv_bytes: int
    """The whole KV cache, which is reserved when the engine is made."""
    used_kv_bytes: int
    """Blocks that a block table holds."""
    cached_kv_bytes: int
    """Hashed blocks that no table holds: kept for the next request with this prefix, and evicted when needed."""
    empty_kv_bytes: int
    """Slots of used blocks that hold no token: waste, at the ends of last blocks."""
    peak_used_kv_bytes: int
    peak_bytes: int | None
    """Most memory so far: on a GPU what torch allocated there, on a CPU of the whole process. None: not known."""
    longest_sequence: int
    """Most tokens, prompt and output, of one request that runs alone. The last token needs no place in the cache."""


def memory_use(engine):
    """The MemoryUse of an engine now."""
    allocator, manager, metrics = engine.allocator, engine.manager, engine.metrics
    size, total = engine.config.block_size, allocator.num_blocks
    block_bytes = size * kv_bytes_per_token(engine.model.config, engine.model.dtype)
    running = [request for request in engine.scheduler.running.values() if request in manager]
    empty = sum(-manager.table(request).num_tokens % size for request in running)
    return MemoryUse(
        weight_bytes=sum(weight.nbytes for weight in engine.model.parameters()),
        kv_bytes=total * block_bytes,
        used_kv_bytes=(total - allocator.num_free) * block_bytes,
        cached_kv_bytes=(0 if manager.cache is None else manager.cache.num_evictable) * block_bytes,
        empty_kv_bytes=empty * block_bytes // size,
        peak_used_kv_bytes=metrics.peak_blocks * block_bytes,
        peak_bytes=peak_bytes(engine.model.device),
        longest_sequence=min(engine.model.config.context, total * size + 1),
    )


def peak_bytes(device):
    """Most bytes so far: what torch allocated on this GPU, or the memory of this process; None where unknown."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
