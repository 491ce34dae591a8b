"""Tables that lesson 09 shows beside its own results, recorded on a GPU.

    python benchmarks/lessons.py 09 [--quick]

Two measurements: the time of one decode step of the engine by the number of sequences in it, on a model with the shape
of Llama 3 8B and random weights in bfloat16, with its bytes and operations a second; and 64 requests of mixed lengths
on `tale`, served one by one, in static and dynamic batches, and by the engine. Medians, measured until the GPU has
finished.
The third table is taken from results/engine_h200.json, which engine_gpu.py measured: decode steps of the engine with
CUDA graphs. quick: a tiny shape and few requests, to try it on a CPU.
"""

import json
import statistics
import time
from pathlib import Path

import torch
from cpu_serving import mixed_requests, ways
from timing import LLAMA_3_8B, TINY, Steps, random_model, wait_for

from course_lib.models import ModelConfig

CONTEXT, BATCHES, REPEATS = 1024, (1, 8, 16, 32, 64, 128, 256), 7


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}] for the recorded run. model: `tale`, on `device`."""
    return [decode_steps(device, quick), serving(model, quick), engine_steps()]


@torch.inference_mode()
def decode_steps(device, quick):
    """Milliseconds of one decode step of the engine, by the number of sequences."""
    config = ModelConfig(**(TINY if quick else LLAMA_3_8B))
    context, batches = (32, (1, 4)) if quick else (CONTEXT, BATCHES)
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    big = random_model(config, device, dtype)
    weights = sum(weight.numel() for weight in big.parameters()) - big.model.embed_tokens.weight.numel()
    a_token = 2 * config.num_layers * config.num_kv_heads * config.head_dim
    rows, steps = [], Steps(big, max(batches), context, context)
    for batch in batches:
        took = steps.seconds([(context - 1, 1)] * batch, 2 if quick else REPEATS)
        read = (weights + batch * a_token * context) * big.lm_head.weight.element_size()
        flops = batch * (2 * weights + 4 * config.num_layers * config.num_heads * config.head_dim * context)
        rows.append([batch, 1000 * took, batch / took, flops / read, read / took / 1e9, flops / took / 1e12])
    shape = "a tiny shape" if quick else "Llama 3 8B's shape, random weights"
    return {
        "title": f"One decode step of the engine, {shape}, {str(dtype)[6:]}, {context:,} tokens a sequence",
        "columns": ["sequences", "ms a step", "tokens a second", "operations a byte", "GB/s read", "TFLOP/s"],
        "rows": rows,
    }


def engine_steps():
    """Decode steps of the engine on a model with the shape of Llama 3.2 1B, by the number of sequences."""
    kept = json.loads((Path(__file__).parent / "results" / "engine_h200.json").read_text(encoding="utf-8"))
    rows = [
        [row["batch"], row["ms"], row["limit_ms"], 1000 * row["batch"] / row["ms"]]
        for row in kept["alone"]["rows"]
        if row.get("bench") == "decode step" and row["model"] == "llama-1b"
    ]
    return {
        "title": "One decode step of the engine as a CUDA graph, Llama 3.2 1B's shape, random weights, bfloat16, "
        "843 tokens a sequence; by `python benchmarks/engine_gpu.py llama-1b --only steps`",
        "columns": ["sequences", "ms a step", "ms at least, to read weights and cache", "tokens a second"],
        "rows": rows,
    }


def serving(model, quick):
    """Tokens a second of 64 requests on `tale`, in four ways, which must generate the same tokens."""
    count, size, repeats = (6, 3, 1) if quick else (64, 16, 3)
    prompts, params = mixed_requests(count, model.config.vocab_size)
    chosen = {name: way for name, way in ways(model, size).items() if name != "naive"}
    wanted, seconds, texts = sum(p.max_tokens for p in params), {name: [] for name in chosen}, {}
    for way in chosen.values():
        way(prompts[:2], params[:2])
    for turn in range(repeats):
        for name in list(chosen)[:: 1 if turn % 2 == 0 else -1]:
            wait_for(model.device)
            begin = time.perf_counter()
            texts[name] = chosen[name](prompts, params)
            wait_for(model.device)
            seconds[name].append(time.perf_counter() - begin)
    if model.dtype == torch.float32 and len({str(text) for text in texts.values()}) > 1:
        raise RuntimeError("The ways generate different tokens, so their times cannot be compared.")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [[name, median, wanted / median, medians["cached"] / median] for name, median in medians.items()]
    dtype = str(model.dtype)[6:]
    return {
        "title": f"{count} requests of mixed lengths on tale, {dtype}, {wanted:,} new tokens, {size} at a time",
        "columns": ["way", "seconds", "new tokens a second", "times as fast as one by one"],
        "rows": rows,
    }
