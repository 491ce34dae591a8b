"""Tables for lesson 14, recorded on a GPU: decode over quantised caches.

    python benchmarks/lessons.py 14 [--quick]

One layer of the shape of Llama 3 8B (32 query heads over 8 KV heads of 128, blocks of 16): the time of paged_decode for
64 requests of 4,096 tokens over a cache in bfloat16, int8, fp8 and int4; the same with a window and sinks; the time to
store the tokens of a step; and how many requests of that length an 80 GB GPU holds beside the weights of Llama 3.1 8B;
and a decode step of the engine with a model of that shape and random weights. Medians of kernels alone, and of whole
steps. Before anything is measured, the results are compared with the torch twins. quick: tiny
sizes, to try it on a CPU.
"""

import torch
from timing import LLAMA_3_8B, TINY, Steps, kernel_seconds, random_model

from course_lib.attention.kernels import (
    online,  # noqa: F401  (first: it decides whether Triton is interpreted)
    paged,
    store,
)
from course_lib.attention.reference import twins
from course_lib.attention.reference.quantise import LARGEST
from course_lib.engine import graphs
from course_lib.kvcache.catalogue import GPUS, MODELS
from course_lib.kvcache.quantised_pool import make_pool
from course_lib.kvcache.sizes import kv_bytes_per_token, max_requests
from course_lib.models import ModelConfig

KV_DTYPES = ("auto", *LARGEST)
REQUESTS, TOKENS, BLOCK_SIZE = 64, 4096, 16
LAYER = dict(
    vocab_size=8, hidden_size=4096, intermediate_size=8, num_layers=1, num_heads=32, num_kv_heads=8, head_dim=128,
    context=131_072,
)  # fmt: skip
QUICK = LAYER | dict(num_heads=4, num_kv_heads=2, head_dim=16)
WINDOWS = ((None, 0), (1024, 4), (256, 4))


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}] for the recorded run. model and tokenizer are not used: this is one layer."""
    device = torch.device(device)
    return [decode(device, quick), windows(device, quick), storing(device, quick), requests(), engine(device, quick)]


class Caches:
    """The same keys and values in a pool of each kind, as arguments of paged_decode.

    step: the new keys and values of one token a request, and their slots.
    """

    def __init__(self, device, quick):
        self.dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        self.num_seqs, self.tokens = (2, 48) if quick else (REQUESTS, TOKENS)
        shape = QUICK if quick else LAYER
        blocks = -(-self.tokens // BLOCK_SIZE)
        draw = torch.Generator(device).manual_seed(0)
        self.tables = torch.randperm(self.num_seqs * blocks, generator=draw, device=device).int().view(-1, blocks)
        self.lens = torch.full((self.num_seqs,), self.tokens, dtype=torch.int32, device=device)
        make = lambda *size: torch.randn(*size, generator=draw, device=device).to(self.dtype)  # noqa: E731
        heads, head_dim = shape["num_kv_heads"], shape["head_dim"]
        self.q = make(self.num_seqs, shape["num_heads"], head_dim)
        self.step = *(make(self.num_seqs, heads, head_dim) for _ in "kv"), self.tables[:, -1].long() * BLOCK_SIZE
        config, slots = ModelConfig(**shape), torch.arange(self.num_seqs * blocks * BLOCK_SIZE, device=device)
        k, v = (make(len(slots), heads, head_dim) for _ in "kv")
        self.pools = {}
        for kv_dtype in KV_DTYPES:
            pool = make_pool(config, self.num_seqs * blocks, BLOCK_SIZE, device, self.dtype, kv_dtype=kv_dtype)
            pool.write(0, slots, k, v)
            self.pools[kv_dtype] = pool.layer(0)

    def call(self, kv_dtype, module=paged, **seen):
        k, v, scales = self.pools[kv_dtype]
        return module.paged_decode(self.q, k, v, self.tables, self.lens, **scales, **seen)

    def check(self, **seen):
        """Raises RuntimeError where a kernel and its twin differ by more than half precision explains."""
        for kv_dtype in KV_DTYPES:
            error = (self.call(kv_dtype, **seen).float() - self.call(kv_dtype, twins, **seen).float()).abs().max()
            if not error < 0.02:
                raise RuntimeError(f"{kv_dtype}: kernel and twin differ by {error:.3g}, so times mean nothing.")

    def seconds(self, calls, device, quick):
        return kernel_seconds(calls, 3 if quick else 50, device)

    def name(self, kv_dtype):
        return str(self.dtype).removeprefix("torch.") if kv_dtype == "auto" else kv_dtype


def decode(device, quick):
    """Microseconds, and how many times as fast as without quantisation."""
    caches = Caches(device, quick)
    caches.check()
    took = caches.seconds({d: (lambda d=d: caches.call(d)) for d in KV_DTYPES}, device, quick)
    rows = []
    for kv_dtype in KV_DTYPES:
        k, v, scales = caches.pools[kv_dtype]
        size = sum(x.nbytes for x in (k, v, *scales.values()))
        rows.append(
            [
                caches.name(kv_dtype), size / 1e6, 1e6 * took[kv_dtype], size / took[kv_dtype] / 1e9,
                round(took["auto"] / took[kv_dtype], 2),
            ]
        )  # fmt: skip
    return {
        "title": f"paged_decode, {caches.num_seqs} requests of {caches.tokens:,} tokens, one layer of Llama 3 8B",
        "columns": ["cache", "MB", "µs", "GB/s", "times as fast"],
        "rows": rows,
    }


def windows(device, quick):
    """Microseconds with a window and sinks."""
    caches, rows = Caches(device, quick), []
    for window, sinks in ((None, 0), (16, 2)) if quick else WINDOWS:
        seen = dict(window=window, sinks=sinks)
        caches.check(**seen)
        took = caches.seconds({d: (lambda d=d: caches.call(d, **seen)) for d in KV_DTYPES}, device, quick)
        rows.append(["none" if window is None else window, sinks, *(1e6 * took[d] for d in KV_DTYPES)])
    return {
        "title": "The same with a window and sinks, µs",
        "columns": ["window", "sinks", *map(caches.name, KV_DTYPES)],
        "rows": rows,
    }


def storing(device, quick):
    """Microseconds to store the new tokens of a step."""
    caches = Caches(device, quick)

    def call(kv_dtype):
        k, v, scales = caches.pools[kv_dtype]
        store.store_kv(*caches.step[:2], k, v, caches.step[2], **scales)

    took = caches.seconds({d: (lambda d=d: call(d)) for d in KV_DTYPES}, device, quick)
    return {
        "title": f"store_kv, one token of each of the {caches.num_seqs} requests",
        "columns": ["cache", "µs"],
        "rows": [[caches.name(d), 1e6 * took[d]] for d in KV_DTYPES],
    }


def requests():
    """Computed, not measured: bytes a token, scales included, and requests that fit."""
    shape, gpu, rows = MODELS["Llama 3.1 8B"], GPUS["H100"], []
    for dtype in ("bfloat16", *LARGEST):
        fit = max_requests(shape, gpu, TOKENS, dtype=dtype, scales=True)
        rows.append([dtype, kv_bytes_per_token(shape, dtype, scales=True), fit])
    return {
        "title": f"Requests of {TOKENS:,} tokens beside the weights of {shape.name} on one {gpu.name} (computed)",
        "columns": ["cache", "bytes a token", "requests"],
        "rows": rows,
    }


def engine(device, quick, **shape):
    """Milliseconds of a decode step of the engine, all requests of the same length, and tokens a second.
    shape: what differs in the model.
    """
    sizes, tokens = ((1, 2), 48) if quick else ((1, 16, REQUESTS), TOKENS)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    model = random_model(ModelConfig(**(TINY if quick else LLAMA_3_8B) | shape), device, dtype)
    rows = []
    graphs.batch_sizes = lambda most: list(sizes)  # no others are captured, which would take a minute
    for kv_dtype in KV_DTYPES:
        steps = Steps(model, max(sizes), tokens, max(sizes), kv_dtype=kv_dtype)
        took = [steps.seconds([(tokens - 1, 1)] * n, 3 if quick else 15) for n in sizes]
        name = str(dtype).removeprefix("torch.") if kv_dtype == "auto" else kv_dtype
        rows.append([name, *(1e3 * seconds for seconds in took), sizes[-1] / took[-1]])
    for row in rows:
        row.append(round(row[-1] / rows[0][len(sizes) + 1], 2))
    return {
        "title": f"A decode step of the engine, Llama 3 8B's shape, requests of {tokens:,} tokens each",
        "columns": [
            "cache",
            *(f"{n} requests, ms" for n in sizes),
            f"tokens a second with {sizes[-1]}",
            "times as fast",
        ],
        "rows": rows,
    }
