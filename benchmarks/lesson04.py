"""Lesson 04 on a GPU: the block size, for a kernel that follows the block table and for gathering first."""

import torch
from timing import kernel_seconds

from course_lib.attention import paged_decode
from course_lib.attention.reference.twins import paged_decode as gather_then_attend


def tables(model, tokenizer, device, quick=False):
    batch, context = (2, 64) if quick else (64, 4096)
    rows = [one(device, batch, context, size) for size in ((8, 16) if quick else (1, 4, 8, 16, 32, 64, 128, 256))]
    return [
        {
            "title": f"Attention of one step: {batch} sequences of {context:,} tokens, "
            "32 heads over 8 KV heads of 128, bfloat16",
            "columns": ["tokens a block", "following the table, GB/s", "gathering first, GB/s"],
            "rows": rows,
        }
    ]


@torch.inference_mode()
def one(device, batch, context, block_size):
    dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    width = context // block_size
    k, v = (torch.randn(batch * width, block_size, 8, 128, device=device, dtype=dtype) for _ in "kv")
    q = torch.randn(batch, 32, 128, device=device, dtype=dtype)
    block_tables = torch.randperm(batch * width, device=device).int().view(batch, width)
    lens = torch.full((batch,), context, device=device, dtype=torch.int32)
    ways = {
        attend.__module__: lambda attend=attend: attend(q, k, v, block_tables, lens)
        for attend in (paged_decode, gather_then_attend)
    }
    return [
        block_size,
        *((k.nbytes + v.nbytes) / seconds / 1e9 for seconds in kernel_seconds(ways, 9, device).values()),
    ]
