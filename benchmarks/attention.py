"""The course's attention kernels beside other implementations, on one GPU, in one run.

    python benchmarks/attention.py [--json attention.json] [--record] [--only decode] [--repeats 30]

For every shape each implementation is first compared with float64 on random rows, then timed: medians over `--repeats`
turns, each with one call of every implementation (timing.kernel_seconds, which does not measure the launches). Needs a
GPU and about four minutes. --record keeps the tables that lessons show, in course_lib/recorded/attention.json.

The others are torch's scaled_dot_product_attention with FlashAttention 2 and with cuDNN, and, where they are installed,
flashinfer and vLLM's build of FlashAttention 3; see attention_shapes.py.
"""

import argparse
import datetime
import json
from importlib.metadata import PackageNotFoundError, version

import torch
from attention_shapes import BLOCK_SIZE, CHUNK, DECODE, DTYPE, PREFILL, chunk, decode, draw, prefill
from timing import kernel_seconds

from course_lib.attention import explain


def errors(calls, exact, rows_and_heads, samples=24):
    """{implementation: largest error against float64 on random rows}. Prints and removes calls that do not run here.

    Ends the program where the course's error is larger than three times that of the others, plus a last bit.
    """
    generator = torch.Generator().manual_seed(0)
    at = [[int(torch.randint(n, (1,), generator=generator)) for n in rows_and_heads] for _ in range(samples)]
    at[0] = [rows_and_heads[0] - 1, rows_and_heads[1] - 1]
    right, found = [exact(*one) for one in at], {}
    for name, call in list(calls.items()):
        try:
            out = call()
        except Exception as error:  # another library may not support the shape; ours must
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
    """Writes the tables that lessons show."""
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
    parser.add_argument("--json", help="a file for all results")
    parser.add_argument("--record", action="store_true", help="keep the tables that lessons show")
    parser.add_argument("--only", choices=["prefill", "decode", "chunk"])
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This compares kernels on a GPU, and torch sees none here.")
    torch.manual_seed(0)
    read, copy = bandwidth(args.repeats)
    gpu, tflops = torch.cuda.get_device_name(), product(args.repeats)
    print(f"{gpu}: reads {read:,.0f} GB/s, copies {copy:,.0f} GB/s, multiplies matrices at {tflops:,.0f} TFLOP/s")
    print(f"{explain(dtype=DTYPE)}\n")
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
