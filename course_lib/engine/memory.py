"""What an engine's memory is made of: how many blocks, which allocator, which attention."""

import torch

from course_lib.errors import ParameterError
from course_lib.kvcache import KVCacheManager, PagedCache
from course_lib.kvcache.channels import k_channels
from course_lib.kvcache.quantised_pool import make_pool
from course_lib.kvcache.sizes import kv_bytes_per_token, weight_bytes
from course_lib.kvcache.windowed import WindowedManager, reach
from course_lib.machine.device import _machine_memory

from .allocators import is_object, make_allocator
from .members import make_part, name_of, refusal
from .protocols import check_cache
from .speculation import DraftModel
from .step_memory import bytes_of_largest_step

CPU_SHARE = 0.25  # of the memory that is free now: the most that the cache takes on a CPU where num_blocks is None
CPU_ENOUGH = 2**29  # bytes of cache; more is taken only beside weights that are larger themselves
ATTENTION_ARGUMENTS = ("q", "k_cache", "v_cache", "block_tables", "seq_lens", "cu_seqlens_q")


def make_memory(model, config, *, allocator=None, attention=None, trace=None):
    """(KVCacheManager, cache) for a model. Raises ParameterError for an allocator or attention that does not fit."""
    if isinstance(config.speculation, DraftModel):
        config.speculation.check_fits(model)
    num_blocks = config.num_blocks
    if num_blocks is None and is_object(allocator):
        num_blocks = getattr(allocator, "num_blocks", None)
    if num_blocks is None:
        num_blocks = default_num_blocks(model, config)
    ledger = make_allocator(allocator, num_blocks, config, trace)
    seen = seen_by(model, config, attention)
    manager = make_manager(ledger, config, seen)
    channels = k_channels(model) if config.k_scales == "channel" else None
    pool = make_pool(
        model.config, num_blocks, config.block_size, model.device, model.dtype, kv_dtype=config.kv_dtype,
        k_channels=channels,
    )  # fmt: skip
    window, sinks = seen or (None, 0)
    if attention is None:
        return manager, PagedCache(pool, ledger, window=window, sinks=sinks)
    if not isinstance(attention, type):
        return manager, CacheWithFunction(pool, ledger, attention, window=window, sinks=sinks)
    cache = check_cache(make_part("attention", attention, "pool, allocator", "lesson 04", pool, ledger))
    if seen and not isinstance(cache, PagedCache):
        raise ParameterError(
            f"window={window} came with the attention class {name_of(attention)}, which is not made from PagedCache "
            f"and knows no window. Make it from PagedCache, or leave the window out."
        )
    if seen:
        cache.window, cache.sinks = seen
    return manager, cache


def seen_by(model, config, attention=None):
    """(window, sinks) that no token sees beyond, or None. A learner's attention keeps to the engine's own alone."""
    if config.window is None and attention is not None:
        return None
    return reach(model.config.windows, config.window, config.sinks)


def make_manager(ledger, config, seen):
    """The KVCacheManager for what is seen: (window, sinks) or None."""
    how = dict(prefix_caching=config.prefix_caching, eviction=config.eviction)
    if seen is None:
        return KVCacheManager(ledger, **how)
    most = config.max_num_batched_tokens
    return WindowedManager(ledger, *seen, most_tokens=most, **how)


class CacheWithFunction(PagedCache):
    """A PagedCache whose attention is a learner's function.

    function: as `course_lib.attention.paged_attention`, (q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q) ->
    out; block_tables is padded with -1.
    """

    def __init__(self, pool, allocator, function, *, window=None, sinks=0):
        if not callable(function):
            raise ParameterError(
                f"attention is {function!r}. Pass a function with the arguments of paged_attention, or a class "
                f"made from PagedCache."
            )
        if problem := refusal(function, ATTENTION_ARGUMENTS, {}):
            raise ParameterError(
                f"The attention function {name_of(function)} cannot be called as an engine calls it: {problem}. Its "
                f"arguments are those of paged_attention: {', '.join(ATTENTION_ARGUMENTS)}. See lesson 08."
            )
        super().__init__(pool, allocator, window=window, sinks=sinks)
        self.function = function

    def _attend_on_cpu(self, layer, q, k, v, window=None):
        batch, (window, sinks), (k_cache, v_cache, how) = self.batch, self.seen(window), self.pool.layer(layer)
        how |= ({} if window is None else {"window": window}) | ({"sinks": sinks} if sinks else {})
        if how and (problem := refusal(self.function, ATTENTION_ARGUMENTS, how)):
            what = (
                f"Layer {layer} of this model has a window of {window} tokens" if window else "The cache is quantised"
            )
            raise ParameterError(
                f"{what}, and the attention function {name_of(self.function)} takes none of that: {problem}. Give it "
                f"the arguments {', '.join(f'{name}=None' for name in how)}."
            )
        self.pool.write(layer, batch.slot_mapping, k, v)
        q_in = self.pool.multiplied(layer, q)
        out = self.function(q_in, k_cache, v_cache, batch.block_tables, batch.seq_lens, batch.cu_seqlens_q, **how)
        if getattr(out, "shape", None) != q.shape:
            got = list(out.shape) if hasattr(out, "shape") else type(out).__name__
            raise ParameterError(
                f"The attention function was given q of shape {list(q.shape)} and returned {got}; it must return "
                f"one row for each of q, of the same shape."
            )
        return out

    _attend_on_gpu = _attend_on_cpu


def default_num_blocks(model, config):
    """Enough for `max_num_seqs` sequences of full length, or fewer if the memory that may be used is smaller.

    That is `gpu_memory_utilization` of a GPU, less the weights and the largest step; on a CPU, which the engine shares
    with everything else, as much as the weights take or CPU_ENOUGH, and at most CPU_SHARE of what is free.
    """
    per_sequence, seen = -(-model.config.context // config.block_size), seen_by(model, config)
    if seen:  # sinks, window and two steps, as in WindowedManager.most_blocks
        tokens = sum(seen) + 2 * config.max_num_batched_tokens
        per_sequence = min(per_sequence, -(-tokens // config.block_size) + 2)
    if model.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(model.device)
        usable = config.gpu_memory_utilization * total - (total - free)  # the weights are in use already
        usable -= bytes_of_largest_step(model, config)
    else:
        enough = max(CPU_ENOUGH, weight_bytes(model.config, model.dtype))
        usable = min(enough, CPU_SHARE * (_machine_memory()[0] or 2**32) / config.tensor_parallel)
    kept_as = model.dtype if config.kv_dtype == "auto" else config.kv_dtype
    per_token = kv_bytes_per_token(model.config, kept_as, scales=True)
    if isinstance(config.speculation, DraftModel):  # it keeps its own keys and values in as many blocks
        draft = config.speculation.model
        per_token += kv_bytes_per_token(draft.config, draft.dtype)
    affordable = int(usable) // (config.block_size * per_token)
    if config.tensor_parallel > 1:  # the same block ids are used on every rank
        affordable = model.group.least(affordable)
    return max(1, min(config.max_num_seqs * per_sequence, affordable))
