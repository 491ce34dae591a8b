"""The tables of lesson 11: the time of a step by its tokens, latencies by token budget, and recompute against swap.

    python benchmarks/lessons.py 11 [--quick]        --quick: a tiny model, to try it on a CPU

A model with the shape of Llama 3 8B and random weights in bfloat16, one engine, with its graphs and fused kernels.
"""

import statistics

import torch
from timing import LLAMA_3_8B, TINY, median_seconds, random_model

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.kvcache import kv_bytes_per_token
from course_lib.models import ModelConfig


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}]. model and tokenizer are not used: the bundled model is too small for a GPU."""
    config, dtype = (TINY, torch.float32) if quick else (LLAMA_3_8B, torch.bfloat16)
    large = random_model(ModelConfig(**config), device, dtype)
    shape = "A tiny model" if quick else "Llama 3 8B's shape in bfloat16"
    scale, writing = (16, 4) if quick else (1, 32)
    in_turn = engine_for(large, 16_384, 2 * 8192 + 64, overlaps=False)  # so that a step returns its own outputs
    return [
        {
            "title": f"{shape}: a step, by the tokens of a prompt in it",
            "columns": ["tokens", "ms a step", "µs a token"],
            "rows": [step_row(in_turn, n // scale or 1) for n in (1, 16, 64, 256, 512, 1024, 2048, 4096, 8192)],
        },
        {
            "title": f"{shape}: {writing} sequences decode when a prompt of {8192 // scale:,} tokens arrives",
            "columns": [
                "token budget",
                "longest gap between two tokens, ms",
                "usual gap, ms",
                "first token of the prompt, ms",
            ],
            "rows": [
                budget_row(large, budget // scale, 8192 // scale, writing) for budget in (256, 512, 2048, 8192, 16_384)
            ],
        },
        {
            "title": f"{shape}: a preempted request resumes",
            "columns": ["tokens", "computed again, ms", "copied out, ms", "copied back, ms", "MB, one way"],
            "rows": [return_row(in_turn, n // scale) for n in (512, 2048, 8192)],
        },
    ]


def engine_for(model, budget, num_tokens, overlaps=None):
    config = EngineConfig(
        num_blocks=num_tokens // 16 + 8,
        max_num_seqs=64,
        max_num_batched_tokens=budget,
        prefix_caching=False,
        watermark=0.0,
        async_scheduling=overlaps,
    )
    return Engine(model, config, trace=False)


def ids(model, count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(3, model.config.vocab_size, (count,), generator=draw).tolist()


def step_row(engine, tokens):
    def step():
        name = engine.add_request(ids(engine.model, tokens), SamplingParams(max_tokens=1, ignore_eos=True))
        [output] = engine.step()
        assert output.finished and output.request_id == name

    seconds = median_seconds(step, engine.model.device)
    return [tokens, round(1e3 * seconds, 2), round(1e6 * seconds / tokens, 2)]


def budget_row(model, budget, prompt_tokens, writing):
    """A row: `writing` sequences decode; after 10 steps a long prompt arrives; the run ends with its fourth token."""
    engine = engine_for(model, budget, prompt_tokens + writing * 2048)
    for turn in range(2):  # the first one warms up
        before = engine.metrics.num_generated_tokens
        for i in range(writing):
            engine.add_request(
                ids(model, 16, i), SamplingParams(max_tokens=1000, ignore_eos=True), request_id=f"w{i}-{turn}"
            )
        outputs = {}
        while engine.metrics.num_generated_tokens - before < 10 * writing:
            outputs |= {output.request_id: output for output in engine.step()}
        engine.add_request(
            ids(model, prompt_tokens, 99), SamplingParams(max_tokens=4, ignore_eos=True), request_id=f"long-{turn}"
        )
        while not (f"long-{turn}" in outputs and outputs[f"long-{turn}"].finished):
            outputs |= {output.request_id: output for output in engine.step()}
        for i in range(writing):
            engine.abort(f"w{i}-{turn}")
        while engine.has_unfinished():
            engine.step()
    gaps, first = outputs["w0-1"].metrics.inter_token_latencies, outputs["long-1"].metrics.ttft
    return [budget, round(1e3 * max(gaps[8:]), 2), round(1e3 * statistics.median(gaps[2:9]), 2), round(1e3 * first, 1)]


def return_row(engine, tokens):
    """A row: the time to compute `tokens` tokens again, and to save and restore their blocks."""
    model, again = engine.model, step_row(engine, tokens)[1]
    name = engine.add_request(ids(model, tokens), SamplingParams(max_tokens=8, ignore_eos=True))
    engine.step()
    [request] = engine.scheduler.running.values()
    blocks = engine.manager.table(request).block_ids[:]
    num_tokens = request.num_computed_tokens
    slots = [block * 16 + offset for block in blocks for offset in range(16)][:num_tokens]
    saved = engine.pool.save(blocks, num_tokens)
    out = median_seconds(lambda: engine.pool.save(blocks, num_tokens), model.device)
    into = median_seconds(lambda: engine.pool.restore(saved, 0, slots), model.device)
    engine.abort(name)
    engine.step()
    megabytes = tokens * kv_bytes_per_token(model.config, model.dtype) / 1e6
    return [tokens, again, round(1e3 * out, 2), round(1e3 * into, 2), round(megabytes, 1)]
