"""Tables that lesson 07 shows beside its own results, recorded on a GPU.

    python benchmarks/lessons.py 07 [--quick]

The kernel is read from the source of the lesson. The tables are its speed beside the library's kernel and torch's, and
the error and speed of each format. Medians of kernels alone, without the time to launch them. quick: a few tokens, to
try it on a CPU, where the kernel is interpreted.
"""

import ast
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import kernel_seconds
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib.attention import flash_attention

LESSON = Path(__file__).resolve().parents[1] / "notebooks" / "src" / "07_triton_flash.py"
HEAD_DIM = 128


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}] for the recorded run. The model is not used: one head of 128 is measured."""
    lesson = lesson_code("my_flash_kernel", "my_flash")
    return [speed(lesson, device, quick), precision(lesson, device, quick)]


def lesson_code(*names):
    """A module with these functions of the lesson."""
    text = LESSON.read_text(encoding="utf-8")
    lines = text.split("\n")
    found = {
        node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in names
    }
    parts = ["import torch\nimport triton\nimport triton.language as tl"]
    for node in (found[name] for name in names):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        parts.append("\n".join(lines[first - 1 : node.end_lineno]))
    path = Path(tempfile.mkdtemp(prefix="lesson07-"), "lesson07_kernel.py")  # Triton needs the source in a file
    path.write_text("\n\n\n".join(parts) + "\n", encoding="utf-8")
    spec = spec_from_file_location("lesson07_kernel", path)
    module = sys.modules["lesson07_kernel"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.inference_mode()
def speed(lesson, device, quick):
    """TFLOP/s of one causal head, by the number of tokens. The masked half is not counted."""
    dtype = half(device)
    ways = {
        "this lesson, tiles of 64": lambda q, k, v: lesson.my_flash(q, k, v, 64),
        "this lesson, tiles of 128": lambda q, k, v: lesson.my_flash(q, k, v, 128),
        "course_lib": whole,
        "FlashAttention-2 (torch)": lambda q, k, v: sdpa(q, k, v, SDPBackend.FLASH_ATTENTION),
        "cuDNN (torch)": lambda q, k, v: sdpa(q, k, v, SDPBackend.CUDNN_ATTENTION),
    }
    if torch.device(device).type == "cpu":
        ways["FlashAttention-2 (torch)"] = lambda q, k, v: sdpa(q, k, v, SDPBackend.MATH)
        del ways["cuDNN (torch)"]
    rows = []
    for n in (40, 100) if quick else (2048, 8192, 32_768, 131_072):
        q, k, v = (torch.randn(n, HEAD_DIM, device=device, dtype=dtype) for _ in range(3))
        want = ways["FlashAttention-2 (torch)"](q, k, v)
        row = [n]
        for name, way in ways.items():
            if not torch.allclose(way(q, k, v).float(), want.float(), atol=0.03, rtol=0.03):
                raise RuntimeError(f"{name} at {n:,} tokens is not the attention that torch computes.")
            row.append(2 * HEAD_DIM * n * (n + 1) / seconds(lambda: way(q, k, v), device, quick) / 1e12)
        rows.append(row)
    return {
        "title": f"One causal head of {HEAD_DIM} numbers, {str(dtype)[6:]}, TFLOP/s",
        "columns": ["tokens", *ways],
        "rows": rows,
    }


@torch.inference_mode()
def precision(lesson, device, quick):
    """The error and the speed of each format, in the lesson's kernel."""
    n, draw = (60 if quick else 8192), torch.Generator().manual_seed(0)
    given = [torch.randn(n, HEAD_DIM, generator=draw).to(device) for _ in range(3)]
    rows = []
    for name, dtype, how in (
        ("float32, ieee", torch.float32, "ieee"),
        ("float32, tf32", torch.float32, "tf32"),
        ("float16", torch.float16, "ieee"),
        ("bfloat16", torch.bfloat16, "ieee"),
    ):
        if dtype == torch.bfloat16 and torch.device(device).type == "cpu":
            continue  # Triton's interpreter computes it wrongly
        q, k, v = (x.to(dtype) for x in given)
        out, exact = lesson.my_flash(q, k, v, 32, how), sdpa(*(x.double() for x in given), SDPBackend.MATH)
        took = seconds(lambda: lesson.my_flash(q, k, v, 32, how), device, quick)
        off = float((out.double() - exact).abs().max() / exact.abs().max())
        rows.append([name, off, 2 * HEAD_DIM * n * (n + 1) / took / 1e12])
    return {
        "title": f"The lesson's kernel, tiles of 32, {n:,} tokens, by format",
        "columns": ["format", "off by, of the largest number", "TFLOP/s"],
        "rows": rows,
    }


def whole(q, k, v):
    ends = torch.tensor([0, len(q)], dtype=torch.int32, device=q.device)
    return flash_attention(q[:, None], k[:, None], v[:, None], ends)[:, 0]


def sdpa(q, k, v, backend):
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], is_causal=True)[0, 0]


def half(device):
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


def seconds(act, device, quick):
    """The median of several calls, kernels alone."""
    return kernel_seconds({"": act}, 1 if quick else 15, device)[""]
