"""Runs every lesson and every solution from top to bottom on this machine, with its GPU.

    python benchmarks/notebooks.py [07 solutions/08 ...] [--jobs 1] [--out executed.tar.gz]

`course build` hides the GPU, so that the outputs do not depend on the machine; a learner on Colab has a GPU. This
script runs the committed notebooks with it. For each it prints the time, the slow cells, the cells with an error that
is not tagged as expected, the output to stderr, and for each exercise whether its solution passes and on which rungs.
The exit code is 1 where a cell failed or a solution does not pass. --out keeps the executed notebooks. --record, on a
machine with a GPU, notes in docs/verified.json and in the README which lessons ran without a failed cell.
"""

import argparse
import io
import os
import re
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from course_lib.authoring.verified import record
from course_lib.checkout import find_root, lessons
from course_lib.machine.device import inspect_machine

CELL_SECONDS = 300
SLOW = 10.0
"""A cell that takes longer, in seconds, is listed."""


def run(lesson):
    """(the executed notebook, seconds, why it stopped before its end, or ""). Continues after a cell that fails."""
    notebook = nbformat.read(lesson.target, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        allow_errors=True,
        resources={"metadata": {"path": str(lesson.target.parent)}},
    )
    with tempfile.TemporaryDirectory(prefix="course-home-") as home:
        begin, ended = time.perf_counter(), ""
        try:
            client.execute(env=os.environ | {"COURSE_HOME": home, "HF_HUB_OFFLINE": "1"})
        except (CellTimeoutError, DeadKernelError) as error:
            ended = f"{type(error).__name__}: {str(error)[:400]}"
        return notebook, time.perf_counter() - begin, ended


def summary(notebook):
    """(failed cells, slow cells and output to stderr, results of checks), each a list of lines."""
    broken, noise, results = [], [], []
    for number, cell in enumerate(notebook.cells):
        if (seconds := _seconds(cell)) > SLOW:
            noise.append(f"cell {number}, {cell.source.splitlines()[0][:60]!r}: {seconds:.0f} s")
        for output in cell.get("outputs", []):
            wanted = "raises-exception" in cell.metadata.get("tags", [])
            if output.output_type == "error" and not wanted:
                broken.append(
                    f"cell {number}, {cell.source.splitlines()[0][:60]!r}: {output.ename}: {output.evalue[:400]}"
                )
            elif output.output_type == "stream" and output.name == "stderr":
                noise.append(f"cell {number}: {output.text.strip()[:300]}")
            elif cell.metadata.get("nbgrader", {}).get("grade"):
                results += _result(output)
    return broken, noise, results


def _seconds(cell):
    times = cell.metadata.get("execution", {})
    if "shell.execute_reply" not in times:
        return 0.0
    begin, end = (datetime.fromisoformat(times[name]) for name in ("iopub.status.busy", "shell.execute_reply"))
    return (end - begin).total_seconds()


def _result(output):
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()
    return [lines[0], *("    " + line.strip() for line in lines[1:] if "Rung" in line)] if lines else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NN")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks that run at once; times mean something with 1")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    machine = inspect_machine()
    if args.record and machine.gpu is None:
        parser.error("--record notes runs on a GPU, and this machine has none.")
    chosen, all_broken, archive, passed = lessons(find_root(), args.names), 0, [], {}
    with ThreadPoolExecutor(args.jobs) as pool:
        for lesson, (notebook, seconds, ended) in zip(chosen, pool.map(run, chosen)):
            broken, noise, results = summary(notebook)
            broken += [ended] if ended else []
            if not broken and lesson.stub is None:
                passed[lesson.name[:2]] = seconds
            all_broken += len(broken) + sum(line.startswith("✗") for line in results)
            print(f"{lesson.label}: {seconds:.0f} s, {len(broken)} cells failed", flush=True)
            for line in [*broken, *noise, *results]:
                print("  ", line, flush=True)
            archive.append((lesson.label, nbformat.writes(notebook).encode()))
    if args.record:
        record(find_root(), "gpu", passed, f"{machine.gpu}, torch {torch.__version__}")
    if args.out:
        with tarfile.open(args.out, "w:gz") as file:
            for label, content in archive:
                info = tarfile.TarInfo(f"{label}.ipynb")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    sys.exit(all_broken > 0)


if __name__ == "__main__":
    main()
