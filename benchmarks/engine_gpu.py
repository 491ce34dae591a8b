"""The engine on one GPU with models of real shapes and random weights in bfloat16, beside vLLM on the same card
where it is installed.

    python benchmarks/engine_gpu.py [qwen3-0.6b llama-1b] [--only mix256,alone,steps,products,vllm] [--out FILE.json]

    mix256      256 requests, prompt and output lengths U(100, 1024), at T = 0.6, with top-p 0.95, and greedy
    alone       one request, 512 tokens in, 512 out, greedy
    steps       one decode step of 1, 8, 64 and 256 sequences: milliseconds, what the GPU does in them, and the limit,
                which is reading the weights and the KV cache once
    products    products of 1 to 16 rows with the weights: the kernel for few rows beside torch's
    vllm        mix256 at T = 0.6 and alone on vLLM, in a process of its own

The workload is that of nano-vllm's benchmark. Every figure of one call is from one run on one card.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from step_profile import alone_us, cpu_ms, replay_ms

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.models import ModelConfig, Transformer

# isort: split
import triton  # after the course, which decides how it runs

SHAPES = {
    "qwen3-0.6b": dict(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_layers=28, num_heads=16, num_kv_heads=8,
        head_dim=128, context=40960, rope_theta=1e6, rms_norm_eps=1e-6, tie_embeddings=True, qk_norm=True,
        family="qwen3",
    ),
    "llama-1b": dict(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_layers=16, num_heads=32, num_kv_heads=8,
        head_dim=64, context=131072, rope_theta=5e5, rms_norm_eps=1e-5, tie_embeddings=True, family="llama",
    ),
}  # fmt: skip
SAMPLINGS = {"T = 0.6": dict(temperature=0.6), "T = 0.6, top-p 0.95": dict(temperature=0.6, top_p=0.95), "greedy": {}}
CONTEXT = 843  # tokens of each sequence in the middle of `steps`


def workload(n=256, low=100, high=1024, seed=0, vocab=10000):
    """(prompts, output lengths)."""
    draw = random.Random(seed)
    prompts = [[draw.randint(3, vocab) for _ in range(draw.randint(low, high))] for _ in range(n)]
    return prompts, [draw.randint(low, high) for _ in range(n)]


def random_model(name):
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Transformer(ModelConfig(**SHAPES[name])).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    for weight in model.parameters():
        weight.normal_(0, 0.02) if weight.ndim > 1 else weight.fill_(1.0)
    return model


def engine_for(model, **config):
    defaults = dict(num_blocks=20000, max_num_seqs=256, max_num_batched_tokens=16384, prefix_caching=False)
    return Engine(model, EngineConfig(**{**defaults, **config}), trace=False)


compiled = []  # names of the kernels that Triton has compiled or loaded, in order


def count_compiled():
    def hook(*args, fn, **_):
        compiled.append(fn.name)

    triton.knobs.runtime.jit_post_compile_hook = hook


def mix256(model, name):
    engine = engine_for(model)
    say(bench="capture", model=name, s=engine.runner.capture_seconds)
    prompts, lengths = workload()
    for label, sampling in SAMPLINGS.items():
        params = [SamplingParams(ignore_eos=True, max_tokens=n, seed=i, **sampling) for i, n in enumerate(lengths)]
        for prompt, its in zip(prompts, params):
            engine.add_request(prompt, its)
        torch.cuda.synchronize()
        began, tokens, steps, known, prompts_s = time.perf_counter(), 0, 0, len(compiled), 0.0
        while engine.has_unfinished():
            tokens += sum(len(output.new_token_ids) for output in engine.step())
            steps += 1
            if not len(engine.scheduler.waiting) and not prompts_s:
                prompts_s = time.perf_counter() - began
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        assert tokens == sum(lengths)
        say(
            bench="mix256", model=name, sampling=label, s=seconds, tokens_per_s=tokens / seconds, steps=steps,
            until_all_admitted_s=prompts_s, kernels_compiled=len(compiled) - known,
        )  # fmt: skip


def alone(model, name):
    engine = engine_for(model)
    prompt = [random.Random(1).randint(3, 9999) for _ in range(512)]
    for _ in range(3):
        began = time.perf_counter()
        engine.generate([prompt], SamplingParams(ignore_eos=True, max_tokens=512))
        seconds = time.perf_counter() - began
    say(bench="alone 512/512", model=name, s=seconds, tokens_per_s=512 / seconds)


def steps(model, name):
    c = model.config
    kv_bytes = 2 * c.num_layers * c.num_kv_heads * c.head_dim * 2
    for batch in (1, 8, 64, 256):
        engine = engine_for(model)
        for i in range(batch):
            engine.add_request(
                [7 + i % 50] * (CONTEXT - 40), SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=90)
            )
        while len(engine.scheduler.running) < batch or any(
            r.num_computed_tokens < CONTEXT - 38 for r in engine.scheduler.running.values()
        ):
            engine.step()
        for _ in range(8):
            engine.step()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(20):
            engine.step()
        torch.cuda.synchronize()
        ms = (time.perf_counter() - began) / 20 * 1e3
        cpu = cpu_ms(engine, 10)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for _ in range(4):
                engine.step()
            torch.cuda.synchronize()
        taken = alone_us(profile)
        graphs = engine.runner.graphs
        graph = graphs.graphs[next(size for size in graphs.sizes if size >= batch)]
        say(
            bench="decode step", model=name, batch=batch, ms=ms, cpu_ms=cpu, graph_ms=replay_ms(graph),
            limit_ms=(2 * c.num_parameters + kv_bytes * batch * CONTEXT) / bandwidth() * 1e3,
            kernels=sum(count for _, count in taken.values()) / 4,
            top={key[:60]: [round(us / 4e3, 4), count // 4] for key, (us, count) in list(taken.items())[:16]},
        )  # fmt: skip
        del engine, graphs, graph


def products(model, name):
    """Microseconds a product inside of a graph of 20, over weights that do not fit the cache together."""
    from course_lib.models.fused import on_gpu

    ops, c = on_gpu(), model.config
    tiles = [(8, 1024), (8, 2048), (8, 512), (16, 1024)]
    shapes = {
        "qkv": ((c.num_heads + 2 * c.num_kv_heads) * c.head_dim, c.hidden_size),
        "o": (c.hidden_size, c.num_heads * c.head_dim),
        "gate_up": (2 * c.intermediate_size, c.hidden_size),
        "down": (c.hidden_size, c.intermediate_size),
    }
    for what, (n, k) in shapes.items():
        copies = max(8, int(120e6 / (n * k * 2)))
        weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(copies)]
        for rows in (1, 2, 4, 8, 16):
            x = torch.randn(rows, k, device="cuda", dtype=torch.bfloat16)
            row = dict(bench="product", model=name, what=what, rows=rows, limit_us=n * k * 2 / bandwidth() * 1e6)
            ways = {"torch_us": torch.nn.functional.linear}
            if rows <= 8:
                ways["few_rows_us"] = ops.few_rows
            if rows > 2:
                ways |= {f"some_rows_{n}x{k}_us": partial(ops.some_rows, tile=(n, k)) for n, k in tiles}
            for label, call in ways.items():
                right, out = x.double() @ weights[0].double().T, call(x, weights[0]).double()
                if not (out - right).norm() < 1e-2 * right.norm():
                    raise SystemExit(f"{label} is wrong: {what}, {rows} rows")
                row[label] = graphed_us(lambda call=call, x=x, weights=weights: [call(x, w) for w in weights]) / copies
            say(**row)


def graphed_us(call):
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    times = []
    for _ in range(12):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return sorted(times)[len(times) // 2]


def bandwidth(known=[]):  # noqa: B006 (measured once)
    """Bytes a second that torch's sum reads."""
    if not known:
        x = torch.ones(2**30, device="cuda", dtype=torch.bfloat16)
        known.append(x.nbytes / (graphed_us(lambda: x.sum()) / 1e6))
    return known[0]


def vllm(name):
    """vLLM on the same workload, in a process of its own: it keeps the GPU's memory as long as it lives."""
    if find_spec("vllm") is None:
        print("vLLM is not installed here, so nothing is beside these figures.")
        return
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "engine_vllm.py"), name], capture_output=True, text=True
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        print(ran.stdout[-1500:], ran.stderr[-3000:])
    for line in lines:
        say(**json.loads(line.removeprefix("RESULT ")))


rows = []


def say(**row):
    row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
    rows.append(row)
    print(json.dumps(row), flush=True)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(SHAPES), help="; ".join(SHAPES))
    parser.add_argument("--only", default="alone,steps,mix256,products,vllm")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    count_compiled()
    wanted, benches = args.only.split(","), dict(alone=alone, steps=steps, mix256=mix256, products=products)
    say(card=torch.cuda.get_device_name(), torch=torch.__version__, triton=version("triton"),
        date=time.strftime("%Y-%m-%d"), reads_gb_s=bandwidth() / 1e9, command=" ".join(sys.argv))  # fmt: skip
    for name in args.models:
        if "vllm" in wanted:
            vllm(name)
        model = random_model(name)
        for label, bench in benches.items():
            if label in wanted:
                bench(model, name)
        del model
        torch.cuda.empty_cache()
    if args.out:
        args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
