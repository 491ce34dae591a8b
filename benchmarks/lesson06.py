"""Lesson 06 on a GPU: memory and time by length, for the four algorithms, torch's attention and the course's kernel."""

from functools import cache, partial

import torch
import torch.nn.functional as F
from timing import median_seconds
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib.attention import (
    chunked_attention,
    flash_attention,
    flash_attention_v1,
    flash_attention_v2,
    standard_attention,
)

HEADS, HEAD_DIM = 8, 128


def sdpa(q, k, v):
    heads_first = [x.transpose(0, 1)[None] for x in (q, k, v)]
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        return F.scaled_dot_product_attention(*heads_first, is_causal=True)[0].transpose(0, 1)


@cache
def ends(n, device):
    return torch.tensor([0, n], device=device, dtype=torch.int32)


def ways(device, tile):
    kernel = {}
    if torch.device(device).type == "cuda":
        kernel["course_lib's kernel"] = lambda q, k, v: flash_attention(q, k, v, ends(len(q), device))
    tiled = {"chunked": chunked_attention, "flash 1": flash_attention_v1, "flash 2": flash_attention_v2}
    return {
        "standard": standard_attention,
        **{name: partial(way, tile=tile) for name, way in tiled.items()},
        "FlashAttention-2 (torch)": sdpa,
        **kernel,
    }


@torch.inference_mode()
def tables(model, tokenizer, device, quick=False):
    lengths, tile = ((128, 256), (64, 64)) if quick else ((512, 1024, 2048, 4096, 8192), (512, 512))
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    names, times, memory = list(ways(device, tile)), [], []
    for n in lengths:
        q, k, v = (torch.randn(n, HEADS, HEAD_DIM, device=device, dtype=dtype) for _ in "qkv")
        found = [one(way, q, k, v, device) for way in ways(device, tile).values()]
        times.append([n, *(1e3 * seconds for seconds, _ in found)])
        memory.append([n, *(extra / 1e6 for _, extra in found)])
    loops = f"chunked, flash 1 and flash 2 as loops in Python over tiles of {tile[0]}"
    what = f"causal, {HEADS} heads of {HEAD_DIM}, {str(dtype)[6:]}; {loops}"
    found = [
        {
            "title": f"Milliseconds until it is done, launches included, {what}",
            "columns": ["tokens", *names],
            "rows": times,
        }
    ]
    if torch.device(device).type == "cuda":
        found.append(
            {
                "title": f"Memory taken on the way, output included, MB, {what}",
                "columns": ["tokens", *names],
                "rows": memory,
            }
        )
    return found


def one(way, q, k, v, device):
    """(median seconds, peak bytes beyond the inputs)."""
    if torch.device(device).type != "cuda":
        return median_seconds(lambda: way(q, k, v), device, 3), 0
    way(q, k, v)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    way(q, k, v)
    torch.cuda.synchronize()
    most = torch.cuda.max_memory_allocated() - before
    return median_seconds(lambda: way(q, k, v), device, 3), most
