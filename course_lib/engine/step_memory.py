"""How much memory a step needs beside the weights and the KV cache: found out by running the largest one."""

import torch

from course_lib.kvcache import PagedCache
from course_lib.kvcache.block_table import BlockTable
from course_lib.kvcache.quantised_pool import make_pool

from .prompt_graphs import DECODES, PROMPT_TOKENS


@torch.inference_mode()
def bytes_of_largest_step(model, config):
    """Bytes at the peak of a step of `max_num_batched_tokens` tokens that chooses for `max_num_seqs` sequences, and
    beside it what the captured steps keep: they share the memory of the largest of them (prompt_graphs.py).

    It runs over a small pool of its own, which is gone afterwards. As vLLM's profile run.
    """
    device = model.device
    num_tokens = min(config.max_num_batched_tokens, model.config.context)
    sizes = -(-num_tokens // config.block_size), config.block_size
    pool = make_pool(model.config, *sizes, device, model.dtype, kv_dtype=config.kv_dtype)
    cache, rows = PagedCache(pool), torch.arange(min(config.max_num_seqs, num_tokens), device=device)
    table = BlockTable(cache.allocator)
    table.append_slots(num_tokens)
    positions = cache.begin_step([table], [num_tokens])
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    logits = model(torch.zeros_like(positions), positions, cache, logits_for=rows)
    scaled = logits * 0.5  # what choosing a token needs, at the least
    peak = torch.cuda.max_memory_allocated(device) - before
    captured = 0 if config.enforce_eager else min(PROMPT_TOKENS[-1] + DECODES[-1], config.max_num_batched_tokens)
    scale = (config.max_num_batched_tokens + captured) / num_tokens  # a context may be shorter than the budget
    del pool, cache, logits, scaled
    torch.cuda.empty_cache()
    return int(peak * scale)
