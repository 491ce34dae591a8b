"""Tokens a second on this CPU: 64 requests of mixed lengths on `tale`, served in six ways.

    python benchmarks/cpu_serving.py [--repeats 3] [--threads 2] [--requests 64]

One run, one process, the same weights in float32, the same requests, greedy, a fixed number of new tokens for each. All
requests arrive at the beginning. The ways take turns, after a run on two requests each to warm up; results are medians.
All of ours must generate the same tokens, or the times cannot be compared; transformers, the same number of tokens.

    naive            the whole sequence computed again for each token, one request after the other
    cached           a KV cache, one request after the other
    static           batches of fixed size, padded, run to their longest
    dynamic          the same batches, started when full or after a timeout
    continuous       the engine: requests join and leave at every step
    transformers     its own continuous batching (`generate_batch`), where it runs on this machine
"""

import argparse
import random
import statistics
import time
from pathlib import Path

import torch

import course_lib.models
from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.batching import run_dynamic, run_static
from course_lib.decoding import generate_cached, generate_naive


def mixed_requests(count, vocab_size, seed=0):
    """(prompts, params): most are short, some long, as in real traffic.

    Prompts have 8 to 256 tokens, outputs 4 to 192.
    """
    draw = random.Random(seed)
    prompts = [[draw.randrange(3, vocab_size) for _ in range(int(8 * 32 ** draw.random()))] for _ in range(count)]
    return prompts, [SamplingParams(max_tokens=int(4 * 48 ** draw.random()), ignore_eos=True) for _ in range(count)]


def ways(model, batch_size):
    """{name: function of (prompts, params) that returns the new token ids of each}."""

    def dynamic(prompts, params):
        return run_dynamic(model, prompts, params, max_batch_size=batch_size, timeout=0.05)[0]

    config = EngineConfig(max_num_seqs=batch_size, max_num_batched_tokens=512, prefix_caching=False)
    engine = Engine(model, config, trace=False)  # made once: on a GPU its start takes longer than these requests

    def continuous(prompts, params):
        return [output.token_ids for output in engine.generate(prompts, params)]

    return {
        "naive": lambda prompts, params: [generate_naive(model, *one) for one in zip(prompts, params)],
        "cached": lambda prompts, params: [generate_cached(model, *one) for one in zip(prompts, params)],
        "static": lambda prompts, params: run_static(model, prompts, params, batch_size=batch_size)[0],
        "dynamic": dynamic,
        "continuous": continuous,
    }


def transformers_batching(batch_size):
    """The same for transformers, or a string that says why it does not run."""
    try:
        import transformers
        from transformers import GenerationConfig

        transformers.utils.logging.set_verbosity_error()
        folder = Path(course_lib.models.__file__).parent / "tale"
        theirs = transformers.LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        most = 192

        def served(prompts, params):
            from transformers.generation.continuous_batching import ContinuousBatchingManager  # noqa: F401  (must exist)

            config = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=-1, pad_token_id=0)
            manager = theirs.init_continuous_batching(generation_config=config)
            manager.start()
            try:
                ids = [manager.add_request(prompt, max_new_tokens=p.max_tokens) for prompt, p in zip(prompts, params)]
                got = {}
                while len(got) < len(ids):
                    result = manager.get_result(timeout=300)
                    if result is None:
                        raise RuntimeError("no answer within 300 seconds")
                    if result.is_finished():
                        got[result.request_id] = list(result.generated_tokens)
                return [got[i] for i in ids]
            finally:
                manager.stop(block=True)

        served([[1, 2, 3]], [SamplingParams(max_tokens=2)])
        return served
    except Exception as error:  # another version, or none
        return f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16, help="rows of a batch, and max_num_seqs of the engine")
    parser.add_argument("--only", nargs="*", help="only these ways")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model("tale", device="cpu", dtype=torch.float32)[0]
    prompts, params = mixed_requests(args.requests, model.config.vocab_size)
    wanted = sum(p.max_tokens for p in params)
    print(
        f"torch {torch.__version__}, {args.threads} thread(s), float32, {len(prompts)} requests: "
        f"{sum(map(len, prompts)):,} prompt tokens, {wanted:,} new tokens, {args.batch_size} at a time; "
        f"{args.repeats} turns, medians"
    )
    chosen = ways(model, args.batch_size)
    theirs = transformers_batching(args.batch_size)
    if callable(theirs):
        chosen["transformers"] = theirs
    else:
        print(f"transformers' continuous batching does not run here: {theirs}")
    chosen = {name: way for name, way in chosen.items() if not args.only or name in args.only}
    seconds, texts = {name: [] for name in chosen}, {}
    for way in chosen.values():
        way(prompts[:2], params[:2])
    for turn in range(args.repeats):
        for name in list(chosen)[:: 1 if turn % 2 == 0 else -1]:
            begin = time.perf_counter()
            texts[name] = chosen[name](prompts, params)
            seconds[name].append(time.perf_counter() - begin)
    ours = [texts[name] for name in chosen if name != "transformers"]
    if any(text != ours[0] for text in ours) or any(sum(map(len, text)) != wanted for text in texts.values()):
        raise SystemExit("The ways generate different tokens, so their times cannot be compared.")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        ratio = medians.get("continuous", median) / median
        print(f"{name:<14}{wanted / median:10.0f} tokens/s   {ratio:6.2f} of continuous", flush=True)
    slower = [name for name in medians if medians[name] < medians.get("continuous", 0)]
    if slower:
        raise SystemExit(f"Continuous batching is slower than {', '.join(slower)}.")


if __name__ == "__main__":
    main()
