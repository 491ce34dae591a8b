"""A model over two GPUs beside the same model on one: Llama 3 8B's shape with random weights in bfloat16.

    python benchmarks/tensor_parallel.py [--only tokens,sums,speed,killed] [--out FILE.json]

    tokens    a small model in float32: two GPUs write the same tokens as one, in a crowd that is preempted and sampled
    sums      microseconds of a sum over the ranks and of a gather, inside of a CUDA graph
    speed     one request (512 tokens in, 512 out), and 64 at once, on one GPU and on two
    killed    rank 1 is killed in the middle of its steps: seconds until the engine says so

Every figure of one call is from one run on one machine. Needs two GPUs.
"""

import argparse
import gc
import json
import os
import random
import signal
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))  # for the ranks

import torch  # noqa: E402
from rank_timing import profile, replay_ms, time_sums  # noqa: E402

from course_lib import Engine, EngineConfig, SamplingParams  # noqa: E402
from course_lib.errors import ParallelError  # noqa: E402
from course_lib.models import ModelConfig  # noqa: E402
from course_lib.parallel import RandomWeights, load_sharded  # noqa: E402

LLAMA_8B = ModelConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_layers=32, num_heads=32, num_kv_heads=8,
    head_dim=128, context=8192, rope_theta=5e5, rms_norm_eps=1e-5,
)  # fmt: skip
SMALL = ModelConfig(
    vocab_size=1001, hidden_size=256, intermediate_size=704, num_layers=4, num_heads=8, num_kv_heads=4, head_dim=32,
    context=512, qk_norm=True,
)  # fmt: skip
SETTINGS = dict(num_blocks=5000, max_num_seqs=64, max_num_batched_tokens=8192, prefix_caching=False)
said = []


def say(**row):
    row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
    said.append(row)
    print(json.dumps(row), flush=True)


def models(config, dtype):
    """(number of GPUs, model) one after the other, with the same weights; each is gone when the next comes."""
    yield 1, RandomWeights(config).whole("cuda", dtype)
    free()
    part, _ = load_sharded(RandomWeights(config), 2, device="cuda", dtype=dtype)
    yield 2, part
    part.ranks.close()
    free()


def free():
    gc.unfreeze()
    gc.collect()
    torch.cuda.empty_cache()


def tokens():
    draw = random.Random(0)
    prompts = [[draw.randrange(1001) for _ in range(draw.randint(1, 150))] for _ in range(48)]
    params = [SamplingParams(temperature=(0, 0, 0.8)[i % 3], seed=i, n=1 + i % 2, max_tokens=60) for i in range(48)]
    found = {}
    for size, model in models(SMALL, torch.float32):
        for preemption in ("recompute", "swap"):
            settings = dict(num_blocks=100, max_num_seqs=16, max_num_batched_tokens=128, preemption=preemption, seed=0)
            began = time.perf_counter()
            engine = Engine(model, EngineConfig(tensor_parallel=size, **settings), trace=False)
            print(f"{size}, {preemption}: made in {time.perf_counter() - began:.1f} s", flush=True)
            outputs = engine.generate(prompts, params)
            print(f"ended after {time.perf_counter() - began:.1f} s", flush=True)
            found[size, preemption] = [output.token_ids for output in outputs]
            kind = type(getattr(engine.runner, "runner", engine.runner)).__name__
            preempted = engine.metrics.num_preemptions
            engine.check_integrity()
            engine.close()
            del engine
        del model
    for preemption in ("recompute", "swap"):
        one, two = found[1, preemption], found[2, preemption]
        say(
            bench="tokens", preemption=preemption, runner=kind, preemptions=preempted, sequences=len(one),
            tokens=sum(map(len, one)), equal_sequences=sum(a == b for a, b in zip(one, two)),
        )  # fmt: skip


def sums():
    part, _ = load_sharded(RandomWeights(SMALL), 2, device="cuda", dtype=torch.bfloat16)
    say(bench="direct", used=part.ranks.group.direct is not None)
    with part.ranks.together():
        part.ranks.send(time_sums)
        for row in time_sums(SimpleNamespace(group=part.ranks.group)):
            say(bench="sum" if "numbers" in row else "gather", **row)
    part.ranks.close()


def speed():
    draw = random.Random(1)
    prompts = [[draw.randint(3, 9999) for _ in range(512)] for _ in range(64)]
    found = {}
    for size, model in models(LLAMA_8B, torch.bfloat16):
        began = time.perf_counter()
        engine = Engine(model, EngineConfig(tensor_parallel=size, **SETTINGS), trace=False)
        held = torch.cuda.memory_allocated() / 2**30
        say(bench="start", gpus=size, s=time.perf_counter() - began, gib_on_gpu_0=held)
        for count in (1, 64):
            best = min((one_run(engine, prompts[:count]) for _ in range(2)), key=lambda one: one["s"])
            found[size, count] = best
            say(bench="generate", gpus=size, requests=count, **best)
            step = graph_step(engine, size, prompts[:count])
            found[size, count]["graph_ms"] = step.pop("graph_ms")
            say(bench="decode step", gpus=size, sequences=count, graph_ms=found[size, count]["graph_ms"], **step)
        engine.close()
        del engine, model
    for count in (1, 64):
        one, two = found[1, count], found[2, count]
        ratios = {key: one[key] / two[key] for key in ("s", "prompts_s", "step_ms", "graph_ms")}
        say(bench="two GPUs over one", requests=count, **ratios)


def one_run(engine, prompts, new=512):
    """512 tokens in and out for each prompt: seconds in all, seconds until all prompts are done, ms a decode step."""
    for prompt in prompts:
        engine.add_request(prompt, SamplingParams(ignore_eos=True, max_tokens=new))
    torch.cuda.synchronize()
    began, tokens, prompts_s, steps = time.perf_counter(), 0, 0.0, 0
    while engine.has_unfinished():
        tokens += sum(len(output.new_token_ids) for output in engine.step())
        steps += bool(prompts_s)
        if not prompts_s and tokens >= len(prompts):
            prompts_s = time.perf_counter() - began
    seconds = time.perf_counter() - began
    assert tokens == new * len(prompts)
    step_ms = (seconds - prompts_s) / steps * 1e3
    return dict(s=seconds, tokens_per_s=tokens / seconds, prompts_s=prompts_s, step_ms=step_ms)


def graph_step(engine, size, prompts):
    """What the GPU does in a decode step in the middle of such a run: its graph, on the inputs of one step."""
    ids, found = [engine.add_request(p, SamplingParams(ignore_eos=True, max_tokens=512)) for p in prompts], {}
    tokens = 0
    while tokens < 256 * len(prompts):
        tokens += sum(len(output.new_token_ids) for output in engine.step())
    torch.cuda.synchronize()
    number, runner = getattr(engine.runner, "number", 0), getattr(engine.runner, "runner", engine.runner)
    for name, function in (("graph_ms", replay_ms), ("top", profile)):
        with engine.runner.ranks.together() if size > 1 else nullcontext():
            if size > 1:
                engine.runner.ranks.send(function, number, len(prompts))
            found[name] = function(SimpleNamespace(kept={number: runner}), number, len(prompts))
    for request_id in ids:
        engine.abort(request_id)
    while engine.has_unfinished():
        engine.step()
    return found


def killed():
    for new in (400, 1):  # in the middle of decode steps, or of prompts
        part, _ = load_sharded(RandomWeights(SMALL), 2, device="cuda", dtype=torch.bfloat16)
        settings = dict(num_blocks=2000, max_num_seqs=16, max_num_batched_tokens=128)
        engine = Engine(part, EngineConfig(tensor_parallel=2, **settings), trace=False)
        for i in range(20):
            engine.add_request([i % 7] * 100, SamplingParams(ignore_eos=True, max_tokens=new))
        engine.step()
        os.kill(part.ranks.processes[1].pid, signal.SIGKILL)
        began = time.perf_counter()
        try:
            while True:
                engine.add_request([5] * 100, SamplingParams(ignore_eos=True, max_tokens=new))
                engine.step()
        except ParallelError as error:
            say(bench="killed", new=new, s=time.perf_counter() - began, said=str(error)[:200])
        torch.cuda.synchronize()
        say(bench="the GPU answers again", s=time.perf_counter() - began, one=float(torch.ones(1, device="cuda")))
        del engine, part
        free()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="tokens,sums,speed,killed")
    parser.add_argument("--out")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("torch", "triton")}
    card = torch.cuda.get_device_name()
    say(card=card, gpus=torch.cuda.device_count(), **versions, date=time.strftime("%Y-%m-%d"))
    for name in options.only.split(","):
        began = time.perf_counter()
        try:
            globals()[name]()
        finally:
            print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
            if options.out:
                Path(options.out).write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
