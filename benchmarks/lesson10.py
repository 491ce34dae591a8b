"""Tables that lesson 10 shows beside its own results, recorded on a GPU.

    python benchmarks/lessons.py 10 [--quick]

Two measurements: 64 requests of mixed lengths on `tale`, in static batches and by the engine, by max_num_seqs; and one
step of the engine on a model with the shape of Llama 3 8B and random weights in bfloat16, in which sequences decode and
a prompt is computed: separately, and in one batch. Serving is timed once, after warming up; steps are medians. Times
are measured until the GPU has finished. quick: tiny sizes, to try it on a CPU.
"""

import time

import torch
from cpu_serving import mixed_requests
from timing import LLAMA_3_8B, TINY, Steps, random_model, wait_for

from course_lib import Engine, EngineConfig
from course_lib.batching import run_static
from course_lib.models import ModelConfig

MAX_NUM_SEQS, DECODING, CONTEXT, PROMPTS = (4, 16, 64), 32, 1024, (128, 512, 2048, 8192)


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}] for the recorded run. model: `tale`, on `device`."""
    return [serving(model, quick), one_row(device, quick)]


def serving(model, quick):
    """The same requests by max_num_seqs. Both ways must generate the same number of tokens."""
    prompts, params = mixed_requests(4 if quick else 64, model.config.vocab_size)
    rows = []
    for size in (2,) if quick else MAX_NUM_SEQS:
        config = EngineConfig(max_num_seqs=size, max_num_batched_tokens=2048, prefix_caching=False)
        made = Engine(model, config, trace=False)  # its start is not timed
        run_static(model, prompts[:size], params[:size], batch_size=size)  # to warm up
        (texts, report), static = timed(lambda: run_static(model, prompts, params, batch_size=size), model.device)
        outputs, continuous = timed(lambda: made.generate(prompts, params), model.device)
        ours = [output.token_ids for output in outputs]
        tokens = sum(map(len, ours))
        if tokens != sum(map(len, texts)):
            raise RuntimeError("The two generated different numbers of tokens, so their times cannot be compared.")
        rows.append(
            [
                size,
                report.num_steps,
                made.metrics.num_steps,
                report.waste,
                static,
                continuous,
                tokens / static,
                tokens / continuous,
            ]
        )
    dtype = str(model.dtype)[6:]
    return {
        "title": f"{len(prompts)} requests of mixed lengths on tale, {dtype}, all there at the beginning",
        "columns": [
            "max_num_seqs",
            "static: runs",
            "continuous: runs",
            "static: wasted",
            "static: s",
            "continuous: s",
            "static: tokens/s",
            "continuous: tokens/s",
        ],
        "rows": [[*row[:3], f"{row[3]:.0%}", *(float(value) for value in row[4:])] for row in rows],
    }


def timed(act, device):
    wait_for(device)
    begin = time.perf_counter()
    result = act()
    wait_for(device)
    return result, time.perf_counter() - begin


@torch.inference_mode()
def one_row(device, quick):
    """Milliseconds of a step: sequences that decode, a prompt that is computed, and both in one batch."""
    num_decodes, context, lengths = (3, 24, (16,)) if quick else (DECODING, CONTEXT, PROMPTS)
    config = ModelConfig(**(TINY if quick else LLAMA_3_8B))
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    big, rows, running = random_model(config, device, dtype), [], [(context - 1, 1)] * num_decodes
    steps = Steps(big, num_decodes + 1, max(context, *lengths), max(lengths) + num_decodes)
    decode = steps.seconds(running)
    for length in lengths:
        alone, both = steps.seconds([(0, length)]), steps.seconds([*running, (0, length)])
        rows.append([length, *(1000 * seconds for seconds in (decode, alone, decode + alone, both))])
    shape = "a tiny shape" if quick else "Llama 3 8B's shape, random weights"
    return {
        "title": f"One step of the engine, {shape}, {str(dtype)[6:]}: {num_decodes} sequences of {context:,} tokens "
        "decode, and a prompt is computed",
        "columns": [
            "prompt tokens",
            "the decodes alone, ms",
            "the prompt alone, ms",
            "one after the other, ms",
            "in one row, ms",
        ],
        "rows": rows,
    }
