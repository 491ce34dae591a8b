"""Lesson 01 on a GPU: one forward pass over the whole sequence, for the next token."""

import torch
from timing import median_seconds

from course_lib.kvcache import Recompute


def tables(model, tokenizer, device, quick=False):
    lengths = (64, 128) if quick else (64, 128, 256, 512, 1024, 2048)
    return [
        {
            "title": "The next token of a text by computing all of it: tale, float32",
            "columns": ["tokens in the text", "ms", "GFLOP a second"],
            "rows": [one(model, n) for n in lengths],
        }
    ]


@torch.inference_mode()
def one(model, n):
    tokens = torch.zeros(n, dtype=torch.int64, device=model.device)
    positions = torch.arange(n, device=model.device)
    row = torch.tensor([n - 1], device=model.device)
    seconds = median_seconds(lambda: model(tokens, positions, Recompute(), logits_for=row), model.device, 9)
    c = model.config
    inside = sum(w.numel() for w in model.parameters()) - model.lm_head.weight.numel()
    flops = (
        2 * n * inside
        + 4 * c.num_layers * c.num_heads * c.head_dim * n * (n + 1) / 2
        + 2 * model.lm_head.weight.numel()
    )
    return [n, 1e3 * seconds, flops / seconds / 1e9]
