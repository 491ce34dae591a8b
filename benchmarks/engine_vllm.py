"""vLLM on one GPU, as engine_gpu.py calls it: mix256 and one request alone.

Workload "mix256" is that of the nano-vllm benchmark (256 requests, prompt and output lengths U(100, 1024), seed 0,
ignore_eos, temperature 0.6) at Qwen3-0.6B and Llama-3.2-1B shapes with random weights.
"""

import json
import os
import random
import sys
import tempfile
import time

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
QWEN3_06B = dict(
    architectures=["Qwen3ForCausalLM"],
    model_type="qwen3",
    hidden_size=1024,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    intermediate_size=3072,
    vocab_size=151936,
    tie_word_embeddings=True,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    max_position_embeddings=40960,
    hidden_act="silu",
    attention_bias=False,
    torch_dtype="bfloat16",
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA_1B = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    hidden_size=2048,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=64,
    intermediate_size=8192,
    vocab_size=128256,
    tie_word_embeddings=True,
    rope_theta=5e5,
    rms_norm_eps=1e-5,
    max_position_embeddings=131072,
    hidden_act="silu",
    attention_bias=False,
    torch_dtype="bfloat16",
    bos_token_id=1,
    eos_token_id=2,
)


def workload(n=256, lo=100, hi=1024, seed=0, vocab=10000):
    rng = random.Random(seed)
    prompts = [[rng.randint(3, vocab) for _ in range(rng.randint(lo, hi))] for _ in range(n)]
    outs = [rng.randint(lo, hi) for _ in range(n)]
    return prompts, outs


def main():
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    name, eager = sys.argv[1], "eager" in sys.argv
    cfg = {"qwen3-0.6b": QWEN3_06B, "llama-1b": LLAMA_1B}[name]
    path = os.path.join(tempfile.gettempdir(), "models", name)
    os.makedirs(path, exist_ok=True)
    json.dump(cfg, open(path + "/config.json", "w"))
    kw = {}
    if "triton" in sys.argv:
        kw["attention_backend"] = "TRITON_ATTN"
    llm = LLM(
        path,
        load_format="dummy",
        skip_tokenizer_init=True,
        enforce_eager=eager,
        max_model_len=4096,
        gpu_memory_utilization=0.85,
        seed=0,
        enable_prefix_caching=False,
        **kw,
    )
    prompts, outs = workload()
    sp = [SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=o, detokenize=False) for o in outs]
    llm.generate(
        [TokensPrompt(prompt_token_ids=[5] * 64)],
        SamplingParams(max_tokens=8, ignore_eos=True, detokenize=False),
        use_tqdm=False,
    )
    rows = []
    for _ in range(2):
        t = time.perf_counter()
        res = llm.generate([TokensPrompt(prompt_token_ids=p) for p in prompts], sp, use_tqdm=False)
        dt = time.perf_counter() - t
        n = sum(len(r.outputs[0].token_ids) for r in res)
        rows.append(
            dict(
                bench="mix256",
                s=round(dt, 3),
                out_tok=n,
                out_tok_s=round(n / dt, 1),
                tot_tok_s=round((n + sum(map(len, prompts))) / dt, 1),
            )
        )
    # batch one: 512 in, 512 out
    one = [TokensPrompt(prompt_token_ids=[random.Random(1).randint(3, 9999) for _ in range(512)])]
    for _ in range(2):
        t = time.perf_counter()
        llm.generate(
            one, SamplingParams(temperature=0, ignore_eos=True, max_tokens=512, detokenize=False), use_tqdm=False
        )
        dt = time.perf_counter() - t
        rows.append(dict(bench="bs1 512/512", s=round(dt, 3), out_tok_s=round(512 / dt, 1)))
    for r in rows:
        print(
            "RESULT",
            json.dumps(dict(engine="vllm-0.24.0", model=name, eager=eager, attn="triton" if kw else "default", **r)),
            flush=True,
        )


if __name__ == "__main__":
    main()
