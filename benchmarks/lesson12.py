"""Tables for lesson 12, recorded on a GPU: the latencies of users who do not wait for each other, by load.

    python benchmarks/lessons.py 12 [--quick]

The shape of Qwen3-0.6B with random weights in bfloat16 serves requests of the lengths of "chat", which arrive as a
Poisson process. quick: a tiny shape and few requests, to try it on a CPU.
"""

import torch
from timing import TINY

from course_lib import Engine, EngineConfig
from course_lib.engine import summarise
from course_lib.models import ModelConfig
from course_lib.workload import LENGTH_SETS, AtOnce, Feed, Poisson, Workload
from course_lib.workload.drive import WallClock, drive

SHAPE, LABEL = "qwen3-0.6b", "Qwen3-0.6B's shape"
LOADS = (10, 30, 60, 90)  # requests a second
SECONDS, CONTEXT = 4, 4096
PERCENTILES = (50, 90, 99)
LATENCIES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2el": "E2E"}


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}]. model and tokenizer are not used: the bundled model is too small for a GPU."""
    if quick:
        from timing import random_model

        shape, loads, chat = random_model(ModelConfig(**TINY), device, torch.float32), (20,), LENGTH_SETS["chat"]
        lengths, seconds, context, config = chat.scaled(1 / 64), 0.2, 64, EngineConfig(num_blocks=200, max_num_seqs=8)
    else:
        from engine_gpu import random_model

        with torch.inference_mode():
            shape = random_model(SHAPE)
        loads, lengths, seconds, context = LOADS, LENGTH_SETS["chat"], SECONDS, CONTEXT
        config = EngineConfig(num_blocks=20_000, max_num_seqs=256, max_num_batched_tokens=2048, prefix_caching=False)
    clock, kept = WallClock(), dict(context=context, vocab_size=shape.config.vocab_size)
    engine = Engine(shape, config, trace=False, clock=clock)
    drive(engine, Feed(Workload(AtOnce(), lengths, num_requests=4, **kept, seed=9)), clock)  # to warm up
    found = []
    for load in loads:
        requests = Workload(Poisson(load), lengths, num_requests=max(2, int(load * seconds)), **kept, seed=1)
        found.append((load, summarise(drive(engine, Feed(requests), clock), percentiles=PERCENTILES)))
    return [throughput(found), latencies(found)]


def throughput(found):
    """What the server gives, by load."""
    return {
        "title": f"{LABEL} in bfloat16, lengths of chat, Poisson arrivals: what the server gives",
        "columns": ["requests a second", "requests", "seconds", "output tokens a second", "most requests at a time"],
        "rows": [
            [load, s.completed, round(s.duration, 2), round(s.output_throughput), s.max_concurrent_requests]
            for load, s in found
        ],
    }


def latencies(found):
    """What its users wait, by load: milliseconds."""
    return {
        "title": "The same runs: what its users wait, ms",
        "columns": ["requests a second", *(f"{name} P{p}" for name in LATENCIES.values() for p in PERCENTILES)],
        "rows": [
            [load, *(round(1e3 * getattr(s, name).percentiles[p], 2) for name in LATENCIES for p in PERCENTILES)]
            for load, s in found
        ],
    }
