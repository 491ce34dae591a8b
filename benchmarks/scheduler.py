"""What one `schedule()` costs, and that it grows no faster than the number of running requests.

    python benchmarks/scheduler.py [--repeats 7] [--vllm]

One run, one process, no model: requests that decode, one token each a step, as the engine would ask for it: schedule(), then
update(), then a token appended to each. What is timed is schedule() alone, in processor time, the median over steps and
repeats. The sizes take turns. The ratio is of the cost for each running request, at 4,096 of them against 256: at most 2, since
more objects than a processor keeps at hand cost more to reach; growth with the square would make it 16.

--vllm times vLLM's own pure-Python scheduler the same way, where it is installed; it is no dependency of the course. In a
scratch environment:

    python -m venv scratch && scratch/bin/pip install vllm==0.24 && scratch/bin/pip install --no-deps -e .
    scratch/bin/python benchmarks/scheduler.py --vllm
"""

import argparse
import gc
import statistics
import time
from pathlib import Path

import course_lib.models
from course_lib.decoding import SamplingParams
from course_lib.engine import EngineConfig, Request, Scheduler
from course_lib.kvcache import BlockAllocator, KVCacheManager

BLOCK_SIZE, PROMPT, STEPS = 16, 100, 64
TALE = Path(course_lib.models.__file__).parent / "tale"


def prompt_of(number):
    return [(number * 31 + i * 7) % 997 for i in range(PROMPT)]


def ours(num_running, waiting=32):
    """A function that makes one step and returns the seconds of its schedule(), with so many requests that run."""
    most = num_running * (PROMPT + 2000) // BLOCK_SIZE
    config = EngineConfig(block_size=BLOCK_SIZE, num_blocks=most, max_num_seqs=num_running, max_num_batched_tokens=num_running * PROMPT)
    scheduler = Scheduler(config, KVCacheManager(BlockAllocator(most, BLOCK_SIZE)))
    for number in range(num_running + waiting):
        scheduler.add(Request(str(number), prompt_of(number), SamplingParams(max_tokens=10_000), arrival=number))

    def once():
        begin = time.process_time()
        step = scheduler.schedule()
        seconds = time.process_time() - begin
        scheduler.update(step)
        for request, _ in step.scheduled:
            request.append(5)
        return seconds, len(step.scheduled)
    assert once()[1] == num_running  # the prompts
    return once


def vllms(num_running):
    """The same for vLLM's scheduler. Its set-up follows vLLM's own tests of it (tests/v1/core/utils.py) and changes with it."""
    import inspect

    import torch
    from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.sampling_params import SamplingParams as TheirParams
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.scheduler import Scheduler as TheirScheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request as TheirRequest
    from vllm.v1.structured_output import StructuredOutputManager

    def made(kind, **arguments):
        """Versions differ in what they ask for: each gets what it knows."""
        known = inspect.signature(kind).parameters
        return kind(**{name: value for name, value in arguments.items() if name in known})

    most = num_running * (PROMPT + 2000) // BLOCK_SIZE
    cache = made(CacheConfig, block_size=BLOCK_SIZE, gpu_memory_utilization=0.9, swap_space=0, cache_dtype="auto", enable_prefix_caching=True)
    cache.num_gpu_blocks = most
    config = VllmConfig(
        scheduler_config=made(SchedulerConfig, max_num_seqs=num_running, max_num_batched_tokens=num_running * PROMPT, max_model_len=2048,
                              enable_chunked_prefill=True, async_scheduling=False, is_encoder_decoder=False),
        model_config=made(ModelConfig, model=str(TALE), dtype="float16", seed=0, skip_tokenizer_init=True), cache_config=cache)
    spec = made(FullAttentionSpec, block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype=torch.float32, use_mla=False)
    scheduler = made(TheirScheduler, vllm_config=config, structured_output_manager=StructuredOutputManager(config), block_size=BLOCK_SIZE,
                     kv_cache_config=KVCacheConfig(num_blocks=most, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]))
    init_none_hash(hash)
    hasher = get_request_block_hasher(BLOCK_SIZE, hash)
    for number in range(num_running):
        scheduler.add_request(made(TheirRequest, request_id=str(number), prompt_token_ids=prompt_of(number), pooling_params=None, eos_token_id=1,
                                   sampling_params=TheirParams(max_tokens=1900, ignore_eos=True), block_hasher=hasher))

    def once():
        begin = time.process_time()
        step = scheduler.schedule()
        seconds = time.process_time() - begin
        ids = list(step.num_scheduled_tokens)
        scheduler.update_from_output(step, made(
            ModelRunnerOutput, req_ids=ids, req_id_to_index={one: i for i, one in enumerate(ids)}, sampled_token_ids=[[5]] * len(ids),
            spec_token_ids=None, logprobs=None, prompt_logprobs_dict={}, pooler_output=[]))
        return seconds, len(ids)
    assert once()[1] == num_running
    return once


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--vllm", action="store_true", help="beside vLLM's scheduler, at 256 running")
    args = parser.parse_args()
    measured = {f"{n:,} running": (n, ours(n)) for n in (64, 256, 1024, 4096)}
    if args.vllm:
        measured["256 running, vLLM"] = (256, vllms(256))
    gc.collect()
    gc.freeze()
    seconds = {name: [] for name in measured}
    for _ in range(args.repeats):
        for name, (n, once) in measured.items():
            steps = [once() for _ in range(STEPS)]
            assert all(count == n for _, count in steps)
            seconds[name].append(statistics.median(s for s, _ in steps))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, (n, _) in measured.items():
        print(f"{name:<20}{medians[name] * 1e6:10.0f} us   {medians[name] / n * 1e9:8.0f} ns a request")
    growth = medians["4,096 running"] / 16 / medians["256 running"]
    print(f"A running request costs {growth:.2f} times as much among 4,096 as among 256; {'' if growth <= 2 else 'NOT '}within 2.")
    failed = growth > 2
    if args.vllm:
        ratio = medians["256 running"] / medians["256 running, vLLM"]
        print(f"schedule() with 256 running costs {ratio:.2f} of vLLM's; {'' if ratio <= 1 else 'NOT '}at most as much.")
        failed = failed or ratio > 1
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
