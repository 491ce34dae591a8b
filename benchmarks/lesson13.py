"""The tables of lesson 13: one decode step before and after, its kernels, and whole runs beside vLLM.

    python benchmarks/lessons.py 13       on a GPU: measures all of it (minutes), with the kernels of one step in order
    python benchmarks/lesson13.py         anywhere: writes the tables again from benchmarks/results/engine_h200.json

--quick of lessons.py takes the kept figures and records a tiny model on the CPU. The figures before the changes cannot
be measured by today's code; they stay as they are, with their commit.
"""

import json
import re
from pathlib import Path

import torch
from timing import TINY
from timing import random_model as model_of_shape

from course_lib import EngineConfig, SamplingParams
from course_lib.decoding.step_kernels import group_of, kernels_of
from course_lib.models import ModelConfig
from course_lib.recorded import FOLDER

RESULTS = Path(__file__).parent / "results" / "engine_h200.json"
SHAPE, LABEL = "qwen3-0.6b", "Qwen3-0.6B's shape"
BEFORE = [
    # sequences, context, limit, eager, in one graph, kernels, attention, products
    [1, 768, 0.30, 30.0, 2.53, 776, 0.22, 1.27],
    [64, 843, 1.72, 44.0, 4.23, "", 1.62, 1.09],
    [256, 843, 6.03, 77.0, 8.93, "", 5.96, 1.21],
]
"""One run on 29 November 2026 on an H200, torch 2.11, Triton 3.6, of commit 9741498: the engine before fused kernels
and graphs. Eager steps of 64 and 256 sequences chose tokens at T = 0.6, row by row."""


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}]. model and tokenizer are not used: the bundled model is too small for a GPU."""
    if quick:
        kept = json.loads(RESULTS.read_text(encoding="utf-8"))
        return tables_of(kept["alone"]["rows"], kept["beside_vllm"]["rows"]) + sequences(
            model_of_shape(ModelConfig(**TINY), device, torch.float32)
        )
    import engine_gpu

    with torch.inference_mode():
        engine_gpu.vllm(SHAPE)
        shape = engine_gpu.random_model(SHAPE)
        for bench in (engine_gpu.alone, engine_gpu.steps, engine_gpu.mix256):
            bench(shape, SHAPE)
        return tables_of(engine_gpu.rows, engine_gpu.rows) + sequences(shape)


def tables_of(steps, beside):
    """The tables from rows of engine_gpu.py. steps: with the decode steps; beside: of the call beside vLLM."""
    decode = [row for row in steps if row.get("bench") == "decode step" and row["model"] == SHAPE]
    captured = [row for row in steps if row.get("bench") == "capture"]
    return [
        {
            "title": f"{LABEL}: one decode step before this lesson's changes (H200, commit 9741498, 29 November 2026)",
            "columns": [
                "sequences", "context", "limit, ms", "eager, ms", "in one graph, ms", "kernels", "attention, ms",
                "products, ms",
            ],
            "rows": BEFORE,
        },
        {
            "title": f"{LABEL}: one decode step now, contexts of 843 tokens",
            "columns": ["sequences", "limit, ms", "ms", "of the limit", "kernels", "the GPU alone, ms"],
            "rows": [
                [
                    row["batch"], row["limit_ms"], row["ms"], f"{row['limit_ms'] / row['ms']:.0%}",
                    int(row["kernels"]), row["graph_ms"],
                ]
                for row in decode
            ],
        },
        {
            "title": f"{LABEL}: the kernels of that step that take most time, each from the end of the one before",
            "columns": ["sequences", "kernel", "for", "launches", "µs"],
            "rows": [
                [row["batch"], tidy(name), group_of(tidy(name)), launches, round(1e3 * ms, 1)]
                for row in decode
                for name, (ms, launches) in row["top"].items()
            ],
        },
        {"title": f"{LABEL}: output tokens a second", "columns": ["workload", "engine", "tokens a second"],
         "rows": runs_of(beside)},
        {
            "title": "The start of an engine: every kernel run once, and all batch sizes up to 256 captured",
            "columns": ["shape", "seconds"],
            "rows": [[row["model"], row["s"]] for row in captured],
        },
    ]  # fmt: skip


def runs_of(rows):
    """A row for each whole run of engine_gpu.py and of engine_vllm.py."""
    found = []
    for row in rows:
        if row.get("model") != SHAPE or not row.get("bench", "").startswith(("mix256", "alone", "bs1")):
            continue
        alone = "mix256" not in row["bench"]
        work = "one request, 512 tokens in, 512 out, greedy" if alone else "256 requests, U(100, 1024) in and out"
        if not alone:
            work += f", {row.get('sampling', 'T = 0.6')}"
        note = f" ({row['note']})" if "note" in row else ""
        engine = row.get("engine", "the course").replace("vllm-", "vLLM ") + note
        found.append([work, engine, row.get("tokens_per_s") or row["out_tok_s"]])
    return sorted(found, key=lambda row: row[0])


def sequences(model):
    """A table with the kernels of one decode step of one sequence in order, as the engine runs it."""
    from course_lib import Engine

    config = EngineConfig(num_blocks=128, max_num_seqs=8, prefix_caching=False, async_scheduling=False)
    engine = Engine(model, config, trace=False)
    engine.add_request([7] * 768, SamplingParams(max_tokens=40, temperature=0.6, seed=0, ignore_eos=True))
    for _ in range(8):
        engine.step()
    return [in_turn([[tidy(name), group, start, us] for name, group, start, us in kernels_of(engine.step)])]


def in_turn(kernels):
    """The table of a step's kernels (name, group, start, µs), without the copies before and after it.

    A kernel that starts while the one before still runs waits for it (programmatic dependent launch), so each is shown
    from the end of the one before: the times add up to that of the step.
    """
    rows, before = [], None
    for name, _, start, us in kernels:
        if name.startswith("Memcpy"):
            continue
        end, begin = start + us, start if before is None else max(start, before)
        if end > begin:
            rows.append([name, group_of(name), round(begin, 2), round(end - begin, 2)])
            before = end
    first = rows[0][2] if rows else 0
    return {
        "title": f"{LABEL}: the kernels of one decode step of one sequence of 768 tokens in order, each from the end "
        "of the one before",
        "columns": ["kernel", "for", "start, µs", "µs"],
        "rows": [[name, group, round(start - first, 2), us] for name, group, start, us in rows],
    }


def tidy(name):
    """A kernel's name without its C++ decoration."""
    name = re.sub(r"^void |\(anonymous namespace\)::|at::native::|cublasLt::", "", name)
    return re.split(r"[<(]", name)[0] or name


def main():
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    written = {
        "machine": kept["card"],
        "date": "November 2026",
        "software": f"torch {kept['torch']}, Triton {kept['triton']}, vLLM {kept['vllm']}",
        "command": "python benchmarks/engine_gpu.py",
        "tables": tables_of(kept["alone"]["rows"], kept["beside_vllm"]["rows"])
        + [in_turn(kept["sequences"]["tables"][-1]["rows"])],
    }
    text = json.dumps(written, indent=1, ensure_ascii=False)
    (FOLDER / "13.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
