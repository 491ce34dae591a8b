"""The course's attention kernels beside what a user would pick instead, on one GPU, in one run.

    python benchmarks/attention.py [--json attention.json] [--record] [--only decode] [--repeats 30]

For every shape each implementation is first held to float64 on rows drawn at random, then timed: medians over `--repeats` turns
in which all take one call each (timing.kernel_seconds: launch time is not measured, for nobody). Needs a GPU; about four minutes.
--record keeps the tables that lessons show, in course_lib/recorded/attention.json.

Beside ours: torch's scaled_dot_product_attention with FlashAttention 2 and with cuDNN, and where installed flashinfer and the
FlashAttention 3 that vLLM brings along.
"""

import argparse
import datetime
import json
import math
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from timing import kernel_seconds
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib.attention import explain, flash_attention, paged_attention, paged_decode

# batch, query heads, KV heads, tokens, head_dim
PREFILL = [
    (4, 32, 8, 2048, 128),
    (1, 32, 8, 8192, 128),
    (1, 32, 8, 16384, 128),
    (4, 32, 8, 4096, 64),
    (2, 16, 16, 8192, 64),
]
DECODE = [
    (1, 32, 8, 2048, 128),
    (1, 32, 8, 65536, 128),
    (16, 32, 8, 4096, 128),
    (64, 32, 8, 4096, 128),
    (256, 32, 8, 1024, 128),
    (256, 16, 8, 600, 128),
    (128, 32, 8, 2048, 64),
    (64, 32, 32, 2048, 128),
]
CHUNK = (32, 8, 8192, 2048, 128)  # query heads, KV heads, cached, new, head_dim
BLOCK_SIZE, DTYPE = 16, torch.bfloat16


def draw(*shape):
    return torch.randn(shape, device="cuda", dtype=DTYPE)


def heads_first(x, batch):
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def sdpa(backend, q, k, v, causal=True):
    """[batch, heads, tokens, head_dim] in and out."""
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])


def where_installed(calls, name, package, make):
    """Adds what `make` returns to `calls`, if the package is there and lets itself be set up."""
    if find_spec(package) is None:
        return
    try:
        calls[name] = make()
    except Exception as error:
        print(f"  {name} cannot be set up here: {type(error).__name__}: {str(error).splitlines()[0][:120]}")


def flash_attn_3(*args, **options):
    """vLLM's build of FlashAttention 3, ready to be called."""
    from vllm.vllm_flash_attn import flash_attn_varlen_func

    return lambda: flash_attn_varlen_func(*args, **options, causal=True, fa_version=3)


# --- the shapes: each gives {implementation: call}, the exact answer for some rows, and what to count ---


def prefill(batch, heads, kv_heads, tokens, head_dim):
    q, k, v = (draw(batch * tokens, n, head_dim) for n in (heads, kv_heads, kv_heads))
    cu = torch.arange(0, batch * tokens + 1, tokens, device="cuda", dtype=torch.int32)
    apart = [heads_first(x, batch) for x in (q, k, v)]
    flat = lambda out: out.transpose(1, 2).flatten(0, 1)  # noqa: E731
    calls = {
        "course": lambda: flash_attention(q, k, v, cu),
        "SDPA FA2": lambda: flat(sdpa(SDPBackend.FLASH_ATTENTION, *apart)),
        "SDPA cuDNN": lambda: flat(sdpa(SDPBackend.CUDNN_ATTENTION, *apart)),
    }

    def flashinfer():
        from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

        wrapper = BatchPrefillWithRaggedKVCacheWrapper(torch.empty(256 << 20, dtype=torch.uint8, device="cuda"), "NHD")
        wrapper.plan(cu, cu, heads, kv_heads, head_dim, causal=True, q_data_type=DTYPE)
        return lambda: wrapper.run(q, k, v)

    where_installed(calls, "flashinfer", "flashinfer", flashinfer)
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(q, k, v, max_seqlen_q=tokens, cu_seqlens_q=cu, max_seqlen_k=tokens, cu_seqlens_k=cu),
    )

    def exact(row, head):
        start = row // tokens * tokens
        return attend(
            q[row, head], k[start : row + 1, head * kv_heads // heads], v[start : row + 1, head * kv_heads // heads]
        )

    flops = 4 * batch * heads * head_dim * tokens * tokens / 2
    return calls, exact, (batch * tokens, heads), ("TFLOP/s", flops / 1e12)


def paged(batch, kv_heads, context, head_dim):
    """A cache in shuffled blocks with `batch` sequences of `context` tokens: k, v, tables, lens."""
    width = -(-context // BLOCK_SIZE)
    k, v = (draw(batch * width, BLOCK_SIZE, kv_heads, head_dim) for _ in "kv")
    tables = torch.randperm(batch * width, device="cuda").int().view(batch, width)
    return k, v, tables, torch.full((batch,), context, device="cuda", dtype=torch.int32)


def decode(batch, heads, kv_heads, context, head_dim):
    q, (k, v, tables, lens) = draw(batch, heads, head_dim), paged(batch, kv_heads, context, head_dim)

    def gather_then_sdpa():
        kept = (x[tables].flatten(1, 2)[:, :context].transpose(1, 2) for x in (k, v))
        return sdpa([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION], q[:, :, None], *kept, causal=False)[
            :, :, 0
        ]

    calls = {"course": lambda: paged_decode(q, k, v, tables, lens), "gather, SDPA": gather_then_sdpa}

    def flashinfer():
        from flashinfer import BatchDecodeWithPagedKVCacheWrapper

        wrapper = BatchDecodeWithPagedKVCacheWrapper(
            torch.empty(256 << 20, dtype=torch.uint8, device="cuda"), "NHD", use_tensor_cores=heads > kv_heads
        )
        width = tables.shape[1]
        in_last_block = torch.full((batch,), context - (width - 1) * BLOCK_SIZE, device="cuda", dtype=torch.int32)
        wrapper.plan(
            torch.arange(batch + 1, device="cuda", dtype=torch.int32) * width,
            tables.flatten(),
            in_last_block,
            heads,
            kv_heads,
            head_dim,
            BLOCK_SIZE,
            q_data_type=DTYPE,
            kv_data_type=DTYPE,
        )
        return lambda: wrapper.run(q, (k, v))

    cu = torch.arange(batch + 1, device="cuda", dtype=torch.int32)
    where_installed(calls, "flashinfer", "flashinfer", flashinfer)
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(
            q, k, v, max_seqlen_q=1, cu_seqlens_q=cu, max_seqlen_k=context, seqused_k=lens, block_table=tables
        ),
    )

    def exact(row, head):
        kept = (x[tables[row]].flatten(0, 1)[:context, head * kv_heads // heads] for x in (k, v))
        return attend(q[row, head], *kept)

    num_bytes = 2 * batch * context * kv_heads * head_dim * q.element_size()
    return calls, exact, (batch, heads), ("GB/s", num_bytes / 1e9)


def chunk(heads, kv_heads, cached, new, head_dim):
    """A chunk of a long prompt through the block table, beside flash_attention over the whole prompt: TFLOP/s of each."""
    total = cached + new
    q, (k, v, tables, lens) = draw(new, heads, head_dim), paged(1, kv_heads, total, head_dim)
    cu = torch.tensor([0, new], device="cuda", dtype=torch.int32)
    kept = [x[tables[0]].flatten(0, 1)[:total].contiguous() for x in (k, v)]

    def exact(row, head):
        return attend(q[row, head], *(x[: cached + row + 1, head * kv_heads // heads] for x in kept))

    calls = {"course": lambda: paged_attention(q, k, v, tables, lens, cu)}
    where_installed(
        calls,
        "FA3 (vLLM)",
        "vllm",
        lambda: flash_attn_3(
            q, k, v, max_seqlen_q=new, cu_seqlens_q=cu, max_seqlen_k=total, seqused_k=lens, block_table=tables
        ),
    )
    flops = 4 * heads * head_dim * (new * cached + new * new / 2)
    return calls, exact, (new, heads), ("TFLOP/s", flops / 1e12)


# --- held to float64, then timed ---


def attend(q, k, v):
    q, k, v = q.double(), k.double(), v.double()
    return (k @ q / math.sqrt(len(q))).softmax(0) @ v


def errors(calls, exact, rows_and_heads, samples=24):
    """{implementation: largest error against float64 on rows drawn at random}; those that cannot run say why and leave."""
    generator = torch.Generator().manual_seed(0)
    at = [[int(torch.randint(n, (1,), generator=generator)) for n in rows_and_heads] for _ in range(samples)]
    at[0] = [rows_and_heads[0] - 1, rows_and_heads[1] - 1]
    right, found = [exact(*one) for one in at], {}
    for name, call in list(calls.items()):
        try:
            out = call()
        except Exception as error:  # another library's limits are its own affair; ours are not
            if name == "course":
                raise
            print(f"  {name} does not run here: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
            del calls[name]
            continue
        found[name] = max((out[row, head].double() - one).abs().max().item() for (row, head), one in zip(at, right))
    ours, others = found["course"], [e for name, e in found.items() if name != "course"]
    last_bit = torch.finfo(DTYPE).eps * max(one.abs().max().item() for one in right)
    if not ours <= 3 * max(others, default=last_bit) + last_bit:
        raise SystemExit(f"The course's kernel is wrong here: error {ours:.1e}, others {others}. Nothing is timed.")
    return found


def bandwidth(repeats):
    """(read, copy) in GB/s, of a buffer far larger than the L2 cache."""
    one, other = (torch.ones(1 << 28, device="cuda") for _ in range(2))
    seconds = kernel_seconds({"read": lambda: one.sum(), "copy": lambda: other.copy_(one)}, repeats, "cuda")
    return one.nbytes / seconds["read"] / 1e9, 2 * one.nbytes / seconds["copy"] / 1e9


def product(repeats, n=8192):
    """TFLOP/s of a product of two n x n matrices."""
    a, b = draw(n, n), draw(n, n)
    return 2 * n**3 / kernel_seconds({"product": lambda: a @ b}, repeats, "cuda")["product"] / 1e12


def record(told):
    """Keeps the tables that lessons show."""
    from lessons import software

    from course_lib.recorded import FOLDER

    tables = [
        {
            "title": "What the GPU can do, bfloat16",
            "columns": ["", "measured"],
            "rows": [
                ["product of two 8,192 x 8,192 matrices, TFLOP/s", told["product_tflop_s"]],
                ["reading, GB/s", told["read_gb_s"]],
                ["copying, GB/s", told["copy_gb_s"]],
            ],
        }
    ]
    for kind, title in (
        ("prefill", "Causal attention, bfloat16, TFLOP/s (B texts of S tokens, H query/KV heads of D)"),
        ("decode", f"A step of decoding, bfloat16, blocks of {BLOCK_SIZE}: GB/s of keys and values read"),
        ("chunk", "A chunk of a prompt through the block table, bfloat16, TFLOP/s"),
    ):
        rows = [one for one in told["rows"] if one["kind"] == kind]
        names = list(dict.fromkeys(name for one in rows for name in one["speed"]))
        tables.append(
            {
                "title": title,
                "columns": ["shape", *names],
                "rows": [
                    [one["shape"].removeprefix(kind).strip(), *(one["speed"].get(name, "") for name in names)]
                    for one in rows
                ],
            }
        )
    kept = dict(
        machine=told["gpu"],
        date=told["date"],
        software=software(),
        command="python benchmarks/attention.py",
        tables=tables,
    )
    (FOLDER / "attention.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def row(kind, label, made, repeats):
    calls, exact, size, (unit, amount) = made
    wrong_by = errors(calls, exact, size)
    seconds = kernel_seconds(calls, repeats, "cuda")
    speed = {name: amount / s for name, s in seconds.items()}
    others = {name: s for name, s in speed.items() if name != "course"}
    best = max(others, key=others.get) if others else None
    ratio = f"   {speed['course'] / others[best]:5.2f} of {best}" if best else ""
    print(f"{label:34}" + "".join(f"{name:>13} {s:7.0f}" for name, s in speed.items()) + f" {unit}{ratio}", flush=True)
    return {
        "kind": kind,
        "shape": label,
        "unit": unit,
        "speed": speed,
        "microseconds": {n: s * 1e6 for n, s in seconds.items()},
        "error": wrong_by,
    }


def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("--record", action="store_true", help="keep the tables that lessons show")
    parser.add_argument("--only", choices=["prefill", "decode", "chunk"])
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This compares kernels on a GPU, and torch sees none here.")
    torch.manual_seed(0)
    read, copy = bandwidth(args.repeats)
    gpu, tflops = torch.cuda.get_device_name(), product(args.repeats)
    print(
        f"{gpu}: reads {read:,.0f} GB/s, copies {copy:,.0f} GB/s, multiplies matrices at {tflops:,.0f} TFLOP/s\n{explain(dtype=DTYPE)}\n"
    )
    rows = []
    for kind, shapes, make in (("prefill", PREFILL, prefill), ("decode", DECODE, decode), ("chunk", [CHUNK], chunk)):
        for shape in shapes if args.only in (None, kind) else []:
            label = (
                f"chunk {shape[3]} new over {shape[2]} cached, H{shape[0]}/{shape[1]} D{shape[4]}"
                if kind == "chunk"
                else f"{kind} B{shape[0]} H{shape[1]}/{shape[2]} S{shape[3]} D{shape[4]}"
            )
            with torch.inference_mode():
                rows.append(row(kind, label, make(*shape), args.repeats))
            torch.cuda.empty_cache()
    if args.only in (None, "chunk"):
        heads, kv_heads, cached, new, head_dim = CHUNK
        with torch.inference_mode():
            whole = row(
                "prefill",
                f"prefill B1 H{heads}/{kv_heads} S{cached + new} D{head_dim}",
                prefill(1, heads, kv_heads, cached + new, head_dim),
                args.repeats,
            )
        ratio = next(r for r in rows if r["kind"] == "chunk")["speed"]["course"] / whole["speed"]["course"]
        print(f"The chunk through the block table runs at {ratio:.2f} of flash_attention's TFLOP/s.")
        rows.append(whole)
    for r in rows:
        if r["unit"] == "GB/s":
            r["share_of_read"] = r["speed"]["course"] / read
    packages = {name: installed(name) for name in ("torch", "triton", "flashinfer-python", "vllm")}
    told = {
        "gpu": gpu,
        "date": f"{datetime.date.today():%B %Y}",
        "dtype": str(DTYPE),
        "block_size": BLOCK_SIZE,
        "read_gb_s": read,
        "copy_gb_s": copy,
        "product_tflop_s": tflops,
        "cuda": torch.version.cuda,
        "packages": packages,
        "repeats": args.repeats,
        "rows": rows,
    }
    if args.json:
        with open(args.json, "w") as file:
            json.dump(told, file, indent=1)
    if args.record:
        record(told)


if __name__ == "__main__":
    main()
