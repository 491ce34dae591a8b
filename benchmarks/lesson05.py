"""Lesson 05 on a GPU: requests that share a long prompt, with and without a prefix cache."""

import time

import torch
from timing import LLAMA_3_8B, TINY, random_model, wait_for

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.models import ModelConfig


def tables(model, tokenizer, device, quick=False):
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    large = random_model(ModelConfig(**(TINY if quick else LLAMA_3_8B)), device, dtype)
    shared, readers = (64, 3) if quick else (8192, 16)
    rows = [one(large, shared, readers, caching) for caching in (False, True)]
    shape = "a tiny shape" if quick else "Llama 3 8B's shape, random weights"
    return [
        {
            "title": f"{readers} requests, one after another, with one document of {shared:,} tokens: {shape}, "
            f"{str(dtype)[6:]}",
            "columns": ["prefix cache", "TTFT of the first, ms", "TTFT of the others, ms", "tokens computed in all"],
            "rows": rows,
        }
    ]


def one(model, shared, readers, caching):
    """A row: milliseconds to the first token of the first request, and of the others on average."""
    config = EngineConfig(num_blocks=shared // 16 * 2 + 64, prefix_caching=caching, max_num_batched_tokens=16_384)
    draw = torch.Generator().manual_seed(0)
    text = torch.randint(3, model.config.vocab_size, (shared,), generator=draw).tolist()
    for _ in range(2):  # the first round warms up
        engine, waits = Engine(model, config, trace=False), []
        for reader in range(readers):
            question = [5 + reader % 200] * 20
            begin = time.perf_counter()
            [output] = engine.generate([text + question], SamplingParams(max_tokens=1, ignore_eos=True))
            wait_for(model.device)
            waits.append(1e3 * (time.perf_counter() - begin))
    return [
        "with" if caching else "without",
        waits[0],
        sum(waits[1:]) / (readers - 1),
        engine.metrics.num_scheduled_tokens,
    ]
