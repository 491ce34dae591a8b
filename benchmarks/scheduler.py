"""The processor time of a decode step of the engine, and how it grows with the number of running requests.

    python benchmarks/scheduler.py [--repeats 7] [--vllm] [--record]

One run, one process, no model. The requests decode, one token each a step. The rest is all else that the engine does on
the CPU: the arrays of the step, update() and the outputs. Prompts differ from the first token on, so nothing is
shared; their lengths differ too, so in each step one request in 16 needs a block. Prefix caching is on, no trace is
kept, and 32 more requests wait because max_num_seqs are running. Times are processor time of this process: medians
over the steps of a turn, then over turns; other programs matter only as far as they use the processor's caches. All
schedulers and sizes take turns; a ratio is the median of the turns' ratios. Growth is the time for each running
request with 4,096 of them over that with 256. It must be at most 2, since objects that do not fit the processor's
caches take longer to reach; quadratic growth would make it 16.

--vllm measures the scheduler of vLLM 0.24 too, `vllm.v1.core.sched.scheduler.Scheduler`: pure Python, without its
statistics, with the same requests, blocks and max_num_seqs. schedule() of both decides which requests run and allocates
blocks. vLLM's also puts full blocks into the prefix cache, with hashes made in update; ours does both in update. Its
rest is update_from_output, which makes an output object for each request; its workers prepare the tensors of a step
in a place that is not measured here. So ours does more in the rest. There are three columns: schedule(), the rest,
and both. All that ours does is to take no more time than vLLM's schedule() alone. The course does not depend on vLLM. A
scratch environment for it (no GPU is needed, and no compiled part of vLLM is used):

    python -m venv scratch
    scratch/bin/pip install torch==2.13.0 numpy transformers aiohttp apache-tvm-ffi cachetools cbor2 cloudpickle
    scratch/bin/pip install llguidance msgspec openai openai-harmony pillow prometheus-client psutil py-cpuinfo
    scratch/bin/pip install pybase64 pyzmq requests uvloop
    scratch/bin/pip install --no-deps vllm==0.24.0 xgrammar
    PYTHONPATH=. scratch/bin/python benchmarks/scheduler.py --vllm

vLLM warns that Triton is missing; it is not needed. --record writes the results to
benchmarks/results/scheduler_cpu.json.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import time
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

import course_lib.models
from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig
from course_lib.engine.runner import Tokens
from course_lib.models import ModelConfig

BLOCK_SIZE, PROMPT, LONGEST, STEPS, WAITING = 16, 100, 2048, 64, 32
SIZES = (64, 256, 1024, 4096)
TALE = Path(course_lib.models.__file__).parent / "tale"
RESULTS = Path(__file__).parent / "results" / "scheduler_cpu.json"


def prompts(num_running):
    """The prompts of all running and waiting requests.

    No two begin with the same token, and in each step one request in 16 reaches the end of a block.
    """
    for number in range(num_running + WAITING):
        yield [number] + [i * 7 % 997 for i in range(PROMPT - 1 + number % BLOCK_SIZE)]


def limits(num_running):
    """(blocks, tokens a step): enough for all sequences at full length, and for all prompts in the first step."""
    return num_running * LONGEST // BLOCK_SIZE + 1, num_running * (PROMPT + BLOCK_SIZE)


class StandIn:
    """Stands for a model: it has a shape, and is never run."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self):
        self.config = ModelConfig(
            vocab_size=10_000, hidden_size=2, intermediate_size=2, num_layers=1, num_heads=1, num_kv_heads=1,
            head_dim=2, context=LONGEST,
        )  # fmt: skip


def ours(num_running):
    """A function that runs one step. Returns (seconds of schedule(), seconds of the rest, requests, cached blocks)."""
    num_blocks, budget = limits(num_running)
    config = EngineConfig(
        block_size=BLOCK_SIZE, num_blocks=num_blocks, max_num_seqs=num_running, max_num_batched_tokens=budget
    )
    engine = Engine(StandIn(), config, trace=False)
    scheduled, schedule, prepare = [], engine.scheduler.schedule, engine.runner.prepare

    def timed_schedule():
        began = time.process_time()
        step = schedule()
        scheduled.append(time.process_time() - began)
        return step

    def run(step):  # all that the CPU does of a step; then every sequence gets a 5
        arrays = prepare(step)
        return Tokens(arrays.names, torch.full((len(arrays.names),), 5))

    engine.scheduler.schedule, engine.runner.run = timed_schedule, run
    for number, prompt in enumerate(prompts(num_running)):
        params = SamplingParams(max_tokens=LONGEST - len(prompt), ignore_eos=True)
        engine.add_request(prompt, params, arrival=number)

    def once():
        began = time.process_time()
        outputs = engine.step()
        both = time.process_time() - began
        return scheduled[-1], both - scheduled.pop(), len(outputs), len(engine.manager.cache)

    assert once()[2] == num_running  # the prompts
    return once


def vllms(num_running):
    """The same for vLLM's scheduler, set up as in vLLM's own tests of it (tests/v1/core/utils.py)."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    import torch
    from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.envs import enable_envs_cache
    from vllm.sampling_params import SamplingParams as TheirParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.scheduler import Scheduler as TheirScheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request as TheirRequest
    from vllm.v1.structured_output import StructuredOutputManager

    enable_envs_cache()  # as vLLM's engine does, so that settings are read only once
    num_blocks, budget = limits(num_running)
    cache = CacheConfig(block_size=BLOCK_SIZE, enable_prefix_caching=True)
    cache.num_gpu_blocks = num_blocks
    config = VllmConfig(
        cache_config=cache,
        device_config=DeviceConfig(device="cpu"),
        model_config=ModelConfig(model=str(TALE), dtype="float16", max_model_len=LONGEST, skip_tokenizer_init=True),
        scheduler_config=SchedulerConfig(
            max_num_seqs=num_running,
            max_num_batched_tokens=budget,
            max_model_len=LONGEST,
            is_encoder_decoder=False,
            async_scheduling=False,
        ),
    )
    spec = FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype=torch.float32)
    memory = KVCacheConfig(
        num_blocks=num_blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
    )
    scheduler = TheirScheduler(config, memory, StructuredOutputManager(config), BLOCK_SIZE)
    init_none_hash(sha256)  # the default of prefix_caching_hash_algo
    hasher = get_request_block_hasher(BLOCK_SIZE, sha256)
    for number, prompt in enumerate(prompts(num_running)):
        params = TheirParams(max_tokens=LONGEST - len(prompt), ignore_eos=True)
        scheduler.add_request(
            TheirRequest(str(number), prompt, params, pooling_params=None, arrival_time=number, block_hasher=hasher)
        )

    def once():
        began = time.process_time()
        step = scheduler.schedule()
        scheduled = time.process_time() - began
        ids = list(step.num_scheduled_tokens)
        output = ModelRunnerOutput(ids, {one: i for i, one in enumerate(ids)}, sampled_token_ids=[[5] for _ in ids])
        began = time.process_time()
        scheduler.update_from_output(step, output)
        updated = time.process_time() - began
        return scheduled, updated, len(ids), len(scheduler.kv_cache_manager.block_pool.cached_block_hash_to_block)

    assert once()[2] == num_running
    return once


def measure(makers, repeats):
    """{(scheduler, num_running): [(schedule, update, both) in seconds, for each turn]}."""
    steppers = {(whose, n): make(n) for n in SIZES for whose, make in makers.items()}
    gc.collect()
    gc.freeze()  # so the garbage collector examines only objects made by the steps
    turns = {key: [] for key in steppers}
    num_cached = {}  # (turn, num_running) -> full blocks in the prefix cache: the same for all
    for turn in range(repeats):
        for (whose, n), once in steppers.items():
            steps = [once() for _ in range(STEPS)]
            assert all(num_ran == n for _, _, num_ran, _ in steps)
            cached = steps[-1][3]
            if num_cached.setdefault((turn, n), cached) != cached:
                raise SystemExit(
                    f"After turn {turn + 1} with {n} running, {whose} has {cached} blocks in its prefix cache and "
                    f"the other {num_cached[turn, n]}. They did not do the same work, so they are not compared."
                )
            schedule, update = (statistics.median(step[part] for step in steps) for part in (0, 1))
            turns[whose, n].append((schedule, update, schedule + update))
    return turns


def ratio(turns, one, other, part=0):
    return statistics.median(a[part] / b[part] for a, b in zip(turns[one], turns[other]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--vllm", action="store_true", help="beside vLLM's scheduler, which must be installed")
    parser.add_argument("--record", action="store_true", help=f"with --vllm: write the figures to {RESULTS.name}")
    args = parser.parse_args()
    most = (LONGEST - PROMPT - BLOCK_SIZE) // STEPS - 1
    if not 1 <= args.repeats <= most:
        parser.error(
            f"--repeats is {args.repeats}; it must be 1 to {most}, since then the sequences have their full length."
        )
    if args.vllm and find_spec("vllm") is None:
        parser.error("--vllm needs vLLM, which is not installed here. The top of this file says how to install it.")
    if args.record and not args.vllm:
        parser.error("--record writes the results of both schedulers. Add --vllm.")
    makers = {"ours": ours} | ({"vLLM": vllms} if args.vllm else {})
    turns = measure(makers, args.repeats)
    rows, against = [], {}
    print(f"{'running':>8} {'':<6}{'schedule()':>12}{'the rest':>12}{'both':>12}   microseconds of processor time")
    for (whose, n), times in turns.items():
        us = [round(statistics.median(turn[part] for turn in times) * 1e6, 1) for part in range(3)]
        rows.append(dict(num_running=n, scheduler=whose, schedule_us=us[0], update_us=us[1], both_us=us[2]))
        print(f"{n:>8,} {whose:<6}{us[0]:12.0f}{us[1]:12.0f}{us[2]:12.0f}")
        if whose == "vLLM":
            against[n] = [round(ratio(turns, ("ours", n), ("vLLM", n), part), 3) for part in range(3)]
            print(
                f"{'':>8} {'ratio':<6}{against[n][0]:12.2f}{against[n][1]:12.2f}{against[n][2]:12.2f}   ours to vLLM's"
            )
    growth = {whose: {n: round(ratio(turns, (whose, n), (whose, 256)) * 256 / n, 3) for n in SIZES} for whose in makers}
    for whose, grown in growth.items():
        print(
            f"schedule(), {whose}: the time for each running request is, with 1,024 of them, {grown[1024]:.2f} times "
            f"that with 256; with 4,096, {grown[4096]:.2f} times."
        )
    failed = growth["ours"][4096] > 2
    print(f"Ours at 4,096 is {'NOT ' if failed else ''}within 2.")
    if args.vllm:
        whole = {n: statistics.median(a[2] / b[0] for a, b in zip(turns["ours", n], turns["vLLM", n])) for n in SIZES}
        above = whole[256] > 1
        print(
            f"Both of ours take, with 256 running, {whole[256]:.2f} of vLLM's schedule() alone; "
            f"with 4,096, {whole[4096]:.2f}."
        )
        failed = failed or above
    if args.record:
        record(args, rows, growth, against)
    raise SystemExit(failed)


def record(args, rows, growth, against):
    kept = dict(
        cpu=cpu_name(),
        date=f"{date.today():%B %Y}",
        python=platform.python_version(),
        vllm=version("vllm"),
        times="processor time of the process, microseconds, medians",
        repeats=args.repeats,
        steps=STEPS,
        block_size=BLOCK_SIZE,
        cost_a_request_against_256=growth,
        ours_to_vllm_schedule_update_both=against,
        rows=rows,
    )
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def cpu_name():
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
