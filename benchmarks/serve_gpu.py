"""`course serve` and `vllm serve` beside each other on one card, driven by the same client at the same rates.

    python benchmarks/serve_gpu.py [--servers vllm,course] [--rates 10,60,150] [--out FILE.json]
    python benchmarks/serve_gpu.py --servers course --model tale --rates 4 --lengths 64:16     on a laptop, a try

Without --model, a folder with the shape of Qwen3-0.6B is made first: random weights in bfloat16, and a tokenizer of as
many tokens, whose texts mean nothing. Both servers read that folder. They start at the same time, and are measured
one after the other while the other is idle.

The client is that of `course bench --url`, in several processes, each with a part of the rate: one process of a Python
client would be busy before these servers are. Requests arrive as a Poisson process; each has its own prompt of token
ids, and its output has its full length. During a run GET /health is asked 20 times a second. With --vllm-bench, vLLM's
own client runs at the middle rate too.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np

NAME = "measured"
CONFIG = dict(
    architectures=["Qwen3ForCausalLM"], model_type="qwen3", vocab_size=151936, hidden_size=1024,
    intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
    max_position_embeddings=40960, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True, hidden_act="silu",
    attention_bias=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2,
)  # fmt: skip
LIMITS = {"max_num_seqs": 256, "max_num_batched_tokens": 8192}  # of both servers
KV_BYTES = 36_700_160_000  # 20,000 blocks of 16 tokens; of both servers
HEALTH_EVERY_S = 0.05
PER_CLIENT = 16  # requests a second of one process of the client
KEPT = (
    "completed", "failed", "duration", "request_throughput", "output_throughput", "max_concurrent_requests",
    "prefix_hit_rate", *(f"{what}_{name}_ms" for name in ("ttft", "tpot", "itl") for what in ("mean", "median", "p99")),
)  # fmt: skip


def make_folder(folder):
    """A model of Qwen3-0.6B's shape in Hugging Face format: random weights, and a tokenizer that spells letters."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    make_tokenizer(CONFIG["vocab_size"]).save(str(folder / "tokenizer.json"))
    h, inter, d = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    heads, kv_heads = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (CONFIG["vocab_size"], h), "model.norm.weight": (h,)}
    layer = {
        "self_attn.q_proj": (heads * d, h), "self_attn.k_proj": (kv_heads * d, h),
        "self_attn.v_proj": (kv_heads * d, h), "self_attn.o_proj": (h, heads * d),
        "self_attn.q_norm": (d,), "self_attn.k_norm": (d,),
        "mlp.gate_proj": (inter, h), "mlp.up_proj": (inter, h), "mlp.down_proj": (h, inter), "input_layernorm": (h,),
        "post_attention_layernorm": (h,),
    }  # fmt: skip
    for i in range(CONFIG["num_hidden_layers"]):
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def weight(shape):
        made = torch.empty(shape, device=device, dtype=torch.bfloat16)
        return (made.normal_(0, 0.02) if len(shape) > 1 else made.fill_(1)).cpu()

    save_file({name: weight(shape) for name, shape in shapes.items()}, str(folder / "model.safetensors"))


def make_tokenizer(size):
    """A byte-level BPE of `size` tokens: the bytes, then words of 2, 3 and 4 letters, as many as fit."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet, letters = sorted(pre_tokenizers.ByteLevel.alphabet()), "abcdefghijklmnopqrstuvwxyz"
    vocab, merges, words = {one: i for i, one in enumerate(alphabet)}, [], list(letters)
    while len(vocab) < size:
        longer = []
        for word in words:
            for letter in letters:
                if len(vocab) < size:
                    vocab[word + letter] = len(vocab)
                    merges.append((word, letter))
                    longer.append(word + letter)
        words = longer
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return made


def start_server(kind, model, port, log):
    """The process of a server."""
    if kind == "course":
        words = ["-m", "course_lib.cli", "serve", model, "--port", str(port), "--served-model-name", NAME]
        num_blocks = 20000 if model != "tale" else 1000
        for name, value in (LIMITS | {"num_blocks": num_blocks}).items():
            words += ["--engine", f"{name}={value}"]
    else:
        words = ["-m", "vllm.entrypoints.cli.main", "serve", model, "--port", str(port), "--served-model-name", NAME,
                 "--max-model-len", "4096", "--kv-cache-memory-bytes", str(KV_BYTES), "--uvicorn-log-level", "warning",
                 "--host", "127.0.0.1", "--gpu-memory-utilization", "0.5"]  # fmt: skip
        for name, value in LIMITS.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
    return subprocess.Popen([sys.executable, *words], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def until_ready(url, process, log, ends_at):
    """Waits until a server answers. Whether it does; where it has ended, or not by `ends_at`, its log is shown."""
    while process.poll() is None and time.perf_counter() < ends_at:
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.2)
    state = "has not answered" if process.poll() is None else "ended before it answered"
    print(f"A server {state}:\n{Path(log.name).read_text(errors='replace')[-4000:]}", flush=True)
    return False


def end(process):
    """Ends a server and what it has started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


class Clients:
    """Processes of the client, which wait for work."""

    def __init__(self, number):
        spawn, self.pipes, self.processes = multiprocessing.get_context("spawn"), [], []
        for _ in range(number):
            ours, theirs = spawn.Pipe()
            self.processes.append(spawn.Process(target=one_client, args=(theirs,), daemon=True))
            self.processes[-1].start()
            self.pipes.append(ours)

    def measure(self, url, rate, seconds, lengths, seed):
        """The results of one run, by the names of `vllm bench serve`. seed: the same brings the same requests."""
        from course_lib.engine.summary import summarise

        pipes = self.pipes[: max(1, math.ceil(rate / PER_CLIENT))]
        its_rate, of_each = rate / len(pipes), max(1, round(seconds * rate / len(pipes)))
        start_at = time.time() + 0.5
        for number, pipe in enumerate(pipes):
            pipe.send((url, its_rate, of_each, lengths, seed + number, start_at))
        ended, waits = threading.Event(), []
        asking = threading.Thread(target=ask_health, args=(url, ended, waits))
        asking.start()
        found = [pipe.recv() for pipe in pipes]
        ended.set()
        asking.join()
        requests = [one for its, _ in found for one in its]
        problems = [problem for _, its in found for problem in its]
        results = summarise(requests, duration=max(one.finished for one in requests)).as_dict()
        kept = {name: results[name] for name in KEPT}
        return kept | {"p99_health_ms": float(np.percentile(waits, 99)), "problems": problems[:5]}


def one_client(pipe):
    """A process of the client: answers each piece of work with (RequestMetrics of all requests, problems)."""
    from course_lib.workload.bench.options import BenchOptions
    from course_lib.workload.bench.server_target import ServerTarget
    from course_lib.workload.bench.watch import Watch
    from course_lib.workload.feed import Feed

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that has started this one ends it
    while True:
        url, rate, num_requests, lengths, seed, start_at = pipe.recv()
        options = BenchOptions(url=url, model=NAME, rate=rate, num_requests=num_requests, lengths=lengths, seed=seed)
        target = ServerTarget(options)
        with Watch() as watch:
            time.sleep(max(0.0, start_at - time.time()))
            target.serve(Feed(*options.workloads()), watch)
        pipe.send((watch.requests, dict(watch.problems)))


def ask_health(url, ended, waits):
    """Asks /health until the run has ended; milliseconds of each answer."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        while not ended.wait(HEALTH_EVERY_S):
            began = time.perf_counter()
            client.get(f"{url}/health")
            waits.append((time.perf_counter() - began) * 1e3)


def vllm_bench(url, rate, args, folder):
    """What vLLM's own client measures."""
    num_in, num_out = args.lengths.split(":")
    with tempfile.TemporaryDirectory() as results:
        words = ["bench", "serve", "--backend", "openai", "--base-url", url, "--model", NAME, "--tokenizer", folder,
                 "--dataset-name", "random", "--random-input-len", num_in, "--random-output-len", num_out,
                 "--num-prompts", str(round(args.seconds * rate)), "--request-rate", str(rate), "--ignore-eos",
                 "--save-result", "--result-dir", results, "--result-filename", "found.json", "--disable-tqdm",
                 "--metric-percentiles", "50,99", "--temperature", "0"]  # fmt: skip
        ran = subprocess.run(
            [sys.executable, "-m", "vllm.entrypoints.cli.main", *words], capture_output=True, text=True
        )
        file = Path(results) / "found.json"
        if not file.is_file():
            return {"problems": [ran.stdout[-1500:] + ran.stderr[-1500:]]}
        found = json.loads(file.read_text())
    return {name: value for name, value in found.items() if isinstance(value, (int, float))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="vllm,course")
    parser.add_argument("--rates", default="10,60,150", help="requests a second")
    parser.add_argument("--seconds", type=float, default=10, help="so long requests arrive, at each rate")
    parser.add_argument("--lengths", default="512:128", help="tokens of prompt and output")
    parser.add_argument("--model", help="a folder or name instead of Qwen3-0.6B's shape")
    parser.add_argument("--start-within", type=float, default=600, help="seconds; a later server is left out")
    parser.add_argument("--vllm-bench", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = args.model
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "qwen3-0.6b-random")
        make_folder(Path(folder))
    kinds, rates = args.servers.split(","), [float(rate) for rate in args.rates.split(",")]
    if "vllm" in kinds and find_spec("vllm") is None:
        raise SystemExit("vLLM is not installed here. Leave it out: --servers course.")
    port, servers, rows = random.randrange(20000, 30000), {}, []

    def say(**row):
        row = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.out:
            args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")

    say(**setting(), command=" ".join(sys.argv))
    clients = Clients(math.ceil(max(rates) / PER_CLIENT))
    try:
        for number, kind in enumerate(kinds):
            log = open(Path(tempfile.gettempdir()) / f"serve-{kind}.log", "w")  # noqa: SIM115 (as long as the server)
            servers[kind] = (f"http://127.0.0.1:{port + number}", start_server(kind, folder, port + number, log), log)
        began = time.perf_counter()
        urls = {}
        for kind, (url, process, log) in servers.items():
            if until_ready(url, process, log, began + args.start_within):
                urls[kind] = url
                print(f"{kind} answers after {time.perf_counter() - began:.0f} s", flush=True)
        for kind, url in urls.items():
            clients.measure(url, max(rates), 1, args.lengths, seed=9000)  # warms up
            for number, rate in enumerate(rates):  # other prompts at each rate, so that none is cached
                its = clients.measure(url, rate, args.seconds, args.lengths, seed=100 * number)
                say(client="course bench", server=kind, rate=rate, lengths=args.lengths, **its)
        if args.vllm_bench:
            for kind, url in urls.items():
                rate = sorted(rates)[len(rates) // 2]
                say(client="vllm bench serve", server=kind, rate=rate, **vllm_bench(url, rate, args, folder))
    finally:
        for process in clients.processes:
            process.terminate()
        for _, process, log in servers.values():
            end(process)
            log.close()


def setting():
    """Where and with what these figures were measured."""
    import torch

    found = {"date": time.strftime("%Y-%m-%d"), "torch": torch.__version__, "cores": os.cpu_count()}
    if torch.cuda.is_available():
        found["card"] = torch.cuda.get_device_name()
    for name in ("vllm", "uvicorn", "starlette"):
        if find_spec(name) is not None:
            from importlib.metadata import version

            found[name] = version(name)
    return found


if __name__ == "__main__":
    main()
