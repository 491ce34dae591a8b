"""Lesson 03 on a GPU: the memory of a cache, by the formula and as allocated."""

import torch

from course_lib.kvcache import ContiguousCache, kv_bytes_per_token
from course_lib.kvcache.catalogue import MODELS


def tables(model, tokenizer, device, quick=False):
    tokens, rows = 64 if quick else 8192, []
    for name in ("Llama 2 7B", "Llama 3 8B", "Qwen3 0.6B"):
        shape, dtype = MODELS[name], torch.bfloat16
        before = allocated(device)
        cache = ContiguousCache(shape, tokens, device=device, dtype=dtype)
        taken = allocated(device) - before if torch.device(device).type == "cuda" else cache.num_bytes
        del cache
        rows.append(
            [name, kv_bytes_per_token(shape, dtype), tokens * kv_bytes_per_token(shape, dtype) / 1e6, taken / 1e6]
        )
    return [
        {
            "title": f"The cache of one text of {tokens:,} tokens in bfloat16",
            "columns": ["model's shape", "bytes a token", "by the formula, MB", "allocated on the GPU, MB"],
            "rows": rows,
        }
    ]


def allocated(device):
    return torch.cuda.memory_allocated() if torch.device(device).type == "cuda" else 0
