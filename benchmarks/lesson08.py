"""Tables that lesson 08 shows beside its own results, recorded on a GPU.

    python benchmarks/lessons.py 08 [--quick]

Three measurements with the shape of a layer of Llama 3 8B (32 query heads over 8 KV heads of 128, blocks of 16): decode
by gather and SDPA, by the kernel of the exercise and by that of course_lib, in bytes of K and V a second; one long
context by the number of parts; and a prompt by the size of its chunks. Medians of kernels alone, without the time to
launch them. quick: tiny sizes, to try it on a CPU.
"""

import torch
import torch.nn.functional as F
from timing import kernel_seconds

from course_lib.attention.kernels import (
    online,  # noqa: F401  (first: it decides whether Triton is interpreted)
    paged,
)
from course_lib.attention.tiles import decode_splits, multiprocessors
from course_lib.practice.lessons.l08.solutions.paged_decode import paged_decode as exercise_decode

HEADS, KV_HEADS, HEAD_DIM, BLOCK_SIZE = 32, 8, 128, 16
DECODE = [(1, 2048), (1, 65_536), (16, 4096), (64, 4096), (256, 1024)]  # requests, tokens of each
PARTS, LONG = (1, 2, 4, 8, 16, 32, 64, 128), 65_536
CHUNKS, PROMPT = (8192, 2048, 512, 128, 32), 8192


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}] for the recorded run. model and tokenizer are not used: this is one layer."""
    device = torch.device(device)
    return [decode(device, quick), parts(device, quick), chunks(device, quick)]


def decode(device, quick):
    """GB/s of keys and values read, three ways."""
    rows, half = [], half_of(device)
    for num_seqs, tokens in [(2, 64)] if quick else DECODE:
        q, k, v, block_tables, seq_lens = step(device, half, num_seqs, tokens, quick)
        wide = [x.float() for x in (q, k, v)]

        def gather_then_sdpa():
            kept = [x[block_tables].flatten(1, 2)[:, :tokens].transpose(1, 2) for x in (k, v)]
            return F.scaled_dot_product_attention(q[:, :, None], *kept, enable_gqa=True)[:, :, 0]

        ways = [
            gather_then_sdpa,
            lambda: exercise_decode(*wide, block_tables, seq_lens),
            lambda: paged.paged_decode(q, k, v, block_tables, seq_lens),
        ]
        exact = exercise_decode(*wide, block_tables, seq_lens)
        for way in ways:
            if (way().float() - exact).abs().max() > 0.05:
                raise RuntimeError("The three ways do not agree, so their times cannot be compared.")
        numbers = 2 * k.shape[2] * k.shape[3] * num_seqs * tokens
        speeds = [
            numbers * size / seconds(way, device, quick) / 1e9
            for way, size in zip(ways, (k.element_size(), 4, k.element_size()))
        ]
        rows.append(
            [
                num_seqs,
                tokens,
                decode_splits(num_seqs, k.shape[2], block_tables.shape[1] * BLOCK_SIZE, multiprocessors(device)),
                *speeds,
            ]
        )
    return {
        "title": f"Decode: GB of keys and values a second, {words(quick)}",
        "columns": [
            "requests",
            "tokens of each",
            "parts",
            f"gather, SDPA ({name(half)})",
            "the exercise's kernel (float32, no parts)",
            f"course_lib ({name(half)})",
        ],
        "rows": rows,
    }


def parts(device, quick):
    """One long context, by the number of parts."""
    tokens, rows, half = 128 if quick else LONG, [], half_of(device)
    inputs = step(device, half, 1, tokens, quick)
    num_bytes = 2 * tokens * inputs[1].shape[2] * inputs[1].shape[3] * inputs[1].element_size()
    for splits in (1, 2) if quick else PARTS:
        took = seconds(lambda: paged.paged_decode(*inputs, splits=splits), device, quick)
        rows.append([splits, splits * inputs[1].shape[2], 1e6 * took, num_bytes / took / 1e9])
    chosen = decode_splits(1, inputs[1].shape[2], tokens, multiprocessors(device))
    return {
        "title": f"One request of {tokens:,} tokens in parts, {name(half)}, {words(quick)}; "
        f"course_lib takes {chosen} parts here",
        "columns": ["parts", "programs", "microseconds", "GB/s"],
        "rows": rows,
    }


def chunks(device, quick):
    """One prompt, by the size of its chunks."""
    total, rows, half = 64 if quick else PROMPT, [], half_of(device)
    _, k, v, block_tables, _ = step(device, half, 1, total, quick)
    heads = k.shape[2] * (HEADS // KV_HEADS)
    q = torch.randn(total, heads, k.shape[3], device=device, dtype=half)
    for chunk in (64, 32) if quick else CHUNKS:
        ends = range(chunk, total + 1, chunk)
        lens = [torch.tensor([end], device=device) for end in ends]
        cu = torch.tensor([0, chunk], device=device)

        def prompt():
            for end, length in zip(ends, lens):
                paged.paged_attention(q[end - chunk : end], k, v, block_tables, length, cu)

        took = seconds(without_launches(prompt, device), device, quick)
        rows.append([chunk, total // chunk, 1000 * took, 2 * heads * k.shape[3] * total * (total + 1) / took / 1e12])
    return {
        "title": f"A prompt of {total:,} tokens in chunks, one layer's attention, {name(half)}, {words(quick)}",
        "columns": ["tokens in a chunk", "chunks", "milliseconds in all", "TFLOP/s"],
        "rows": rows,
    }


def without_launches(act, device):
    """A function that runs the kernels of act(); on a GPU as one CUDA graph, so that they do not wait for the CPU."""
    if device.type != "cuda":
        return act
    act()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        act()
    return graph.replay


def step(device, dtype, num_seqs, tokens, quick):
    """(q, k_cache, v_cache, block_tables, seq_lens) of a decode step over blocks in random order."""
    width, (kv_heads, head_dim) = -(-tokens // BLOCK_SIZE), (2, 16) if quick else (KV_HEADS, HEAD_DIM)
    k, v = (torch.randn(num_seqs * width, BLOCK_SIZE, kv_heads, head_dim, device=device, dtype=dtype) for _ in "kv")
    q = torch.randn(num_seqs, kv_heads * (HEADS // KV_HEADS), head_dim, device=device, dtype=dtype)
    order = torch.randperm(num_seqs * width, device=device).view(num_seqs, width)
    return q, k, v, order, torch.full((num_seqs,), tokens, device=device)


def seconds(act, device, quick):
    """The median of several calls, kernels alone."""
    return kernel_seconds({"": act}, 1 if quick else 15, device)[""]


def half_of(device):
    return torch.bfloat16 if device.type == "cuda" else torch.float32  # Triton's interpreter is wrong in bfloat16


def name(dtype):
    return str(dtype).removeprefix("torch.")


def words(quick):
    return "a tiny shape" if quick else "one layer of Llama 3 8B's shape, blocks of 16"
