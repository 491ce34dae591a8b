"""Tokens a second on this CPU: generate_cached, and transformers' `generate` with its cache.

    python benchmarks/cpu_decode.py [--repeats 9] [--threads 1] [--new-tokens 128]

One run, one process, the same weights in the same dtype (float32), the same prompt, greedy, and a fixed number of new
tokens. The two take turns, after one run each to warm up; the result is the ratio of their medians. Both must generate
the same tokens, or the times cannot be compared.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import transformers

import course_lib.models
from course_lib import SamplingParams, load_model
from course_lib.decoding import generate_cached
from course_lib.models.weights import load_transformer, read_config

SHAPE_100M = dict(
    vocab_size=32000,
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=4,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
    initializer_range=0.05,
)


def tale():
    """(ours, theirs) of the bundled model."""
    folder = Path(course_lib.models.__file__).parent / "tale"
    theirs = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return load_model("tale", device="cpu", dtype=torch.float32)[0], theirs


def random_100m():
    """(ours, theirs) of a Llama with random weights; both from the same file."""
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE_100M)).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = load_transformer(Path(folder), read_config(Path(folder)), torch.device("cpu"), torch.float32)
    return ours, theirs


def compare(name, ours, theirs, prompt_tokens, new_tokens, repeats):
    prompt = torch.randint(
        3, ours.config.vocab_size, (prompt_tokens,), generator=torch.Generator().manual_seed(1)
    ).tolist()
    params = SamplingParams(max_tokens=new_tokens, ignore_eos=True)
    row, theirs.generation_config.eos_token_id = torch.tensor([prompt]), None

    def run_ours():
        return generate_cached(ours, prompt, params)

    def run_theirs():
        out = theirs.generate(
            row,
            attention_mask=torch.ones_like(row),
            do_sample=False,
            use_cache=True,
            max_new_tokens=new_tokens,
            pad_token_id=0,
        )
        return out[0, prompt_tokens:].tolist()

    if run_ours() != run_theirs():
        raise SystemExit(f"{name}: the two generate different tokens, so their times cannot be compared.")
    seconds = {run_ours: [], run_theirs: []}
    for turn in range(repeats):
        for run in (run_ours, run_theirs) if turn % 2 == 0 else (run_theirs, run_ours):
            start = time.perf_counter()
            run()
            seconds[run].append(time.perf_counter() - start)
    fast, slow = (new_tokens / statistics.median(seconds[run]) for run in (run_ours, run_theirs))
    ratios = sorted(b / a for a, b in zip(seconds[run_ours], seconds[run_theirs]))
    print(
        f"{name:<22} {ours.config.num_parameters / 1e6:6.1f}M  {prompt_tokens:>4} + {new_tokens:<4} "
        f"generate_cached {fast:8.1f} tokens/s   transformers {slow:8.1f} tokens/s   ratio {fast / slow:5.2f} "
        f"(turn by turn {ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )
    return fast / slow


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {args.threads} thread(s), float32, "
        f"{args.repeats} turns each, medians"
    )
    ratios = [
        compare(name, *make(), args.prompt_tokens, args.new_tokens, args.repeats)
        for name, make in (("tale", tale), ("random 100M Llama", random_100m))
    ]
    if min(ratios) < 1:
        raise SystemExit("generate_cached is slower than transformers for at least one of them.")


if __name__ == "__main__":
    main()
