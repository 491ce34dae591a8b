"""What an engine's memory is made of: how many blocks, whose allocator, whose attention."""

import torch

from course_lib.errors import ParameterError
from course_lib.kvcache import BlockAllocator, KVCacheManager, KVPool, PagedCache
from course_lib.kvcache.sizes import kv_bytes_per_token
from course_lib.machine.device import _machine_memory

LEARNERS_METHODS = ("allocate", "fork", "free", "num_free", "ref_count")
GPU_SHARE, CPU_SHARE = 0.9, 0.25  # of the memory that is free now, where num_blocks is not given


def make_memory(model, config, *, allocator=None, attention=None, trace=None):
    """(KVCacheManager, cache) for a model. Raises ParameterError for an allocator or attention that does not fit."""
    num_blocks = config.num_blocks
    if num_blocks is None:
        num_blocks = getattr(allocator, "num_blocks", None) if not callable(allocator) else None
    if num_blocks is None:
        num_blocks = default_num_blocks(model, config)
    ledger = make_allocator(allocator, num_blocks, config, trace)
    manager = KVCacheManager(ledger, prefix_caching=config.prefix_caching, eviction=config.eviction)
    pool = KVPool(model.config, num_blocks, config.block_size, model.device, model.dtype)
    made = PagedCache if attention is None else attention
    cache = made(pool, ledger) if isinstance(made, type) else CacheWithFunction(pool, ledger, made)
    missing = [name for name in ("begin_step", "attend") if not callable(getattr(cache, name, None))]
    if missing:
        raise ParameterError(
            f"attention made {cache!r}, which has no {' and no '.join(missing)}. Pass a function with the "
            f"arguments of paged_attention, or a class made from PagedCache."
        )
    return manager, cache


class CacheWithFunction(PagedCache):
    """A PagedCache whose attention is somebody's own function.

    function: as `course_lib.attention.paged_attention`: (q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q) -> out, and
    block_tables is padded with -1.
    """

    def __init__(self, pool, allocator, function):
        if not callable(function):
            raise ParameterError(
                f"attention is {function!r}. Pass a function with the arguments of paged_attention, or a class "
                f"made from PagedCache."
            )
        super().__init__(pool, allocator)
        self.function = function

    def _attend_on_cpu(self, layer, q, k, v):
        self.pool.write(layer, self.step.slot_mapping, k, v)
        step = self.step
        out = self.function(
            q, self.pool.k[layer], self.pool.v[layer], step.block_tables, step.seq_lens, step.cu_seqlens_q
        )
        if getattr(out, "shape", None) != q.shape:
            got = list(out.shape) if hasattr(out, "shape") else type(out).__name__
            raise ParameterError(
                f"The attention function was given q of shape {list(q.shape)} and returned {got}; it must return "
                f"one row for each of q, of the same shape."
            )
        return out

    _attend_on_gpu = _attend_on_cpu


def make_allocator(allocator, num_blocks, config, trace):
    """The allocator, fresh and told to record. allocator: a class, an object, or None for the course's own."""
    if allocator is None:
        return BlockAllocator(num_blocks, config.block_size, trace=trace)
    made = allocator(num_blocks, config.block_size) if callable(allocator) else allocator
    missing = [name for name in LEARNERS_METHODS if not hasattr(made, name)]
    if missing:
        raise ParameterError(
            f"The allocator {type(made).__name__} has no {', '.join(missing)}. An engine calls "
            f"{', '.join(LEARNERS_METHODS)}, as lesson 04 describes them."
        )
    if (made.num_blocks, made.block_size) != (num_blocks, config.block_size):
        raise ParameterError(
            f"The allocator has {made.num_blocks} blocks of {made.block_size} tokens, the configuration says "
            f"{num_blocks} of {config.block_size}. Make both with the same two numbers, or pass the class."
        )
    if made.num_free != num_blocks:
        raise ParameterError(
            f"{num_blocks - made.num_free} blocks of the allocator are in use by somebody else, or "
            f"`num_free` counts wrongly. Each engine needs a fresh allocator."
        )
    if config.prefix_caching and not hasattr(made, "cache"):
        raise ParameterError(
            f"{type(made).__name__} has no place for cached blocks (`cache`), so an engine on it cannot find "
            f"prefixes again. Pass EngineConfig(prefix_caching=False) with it."
        )
    if trace is None:
        return made
    if not hasattr(made, "trace"):
        return trace.watch(made)
    made.trace = trace
    trace.add("start", num_blocks=num_blocks, block_size=config.block_size)
    return made


def default_num_blocks(model, config):
    """Enough for `max_num_seqs` texts of the whole context, or what fits into a share of the memory that is free."""
    per_text = -(-model.config.context // config.block_size)
    if model.device.type == "cuda":
        free = GPU_SHARE * torch.cuda.mem_get_info(model.device)[0]
    else:
        free = CPU_SHARE * (_machine_memory()[0] or 2**32)
    affordable = int(free) // (config.block_size * kv_bytes_per_token(model.config, model.dtype))
    return max(1, min(config.max_num_seqs * per_text, affordable))
