"""Measures on a GPU the results that lessons show beside the learner's own, and writes course_lib/recorded/NN.json.

    python benchmarks/lessons.py [01 02 ...] [--out FOLDER] [--quick]

Each lesson has a module here, lessonNN.py, with `tables(model, tokenizer, device, quick)`, which returns a list of
{"title", "columns", "rows"}. --quick: tiny sizes, to try the scripts on a CPU; the results are only written with --out.
"""

import argparse
import datetime
import importlib
import json
import os
import time
from pathlib import Path

import torch

from course_lib.models import load_model
from course_lib.recorded import FOLDER, Recorded

HERE = Path(__file__).parent


def software():
    from importlib.metadata import version

    names = [f"torch {torch.__version__}"]
    if torch.cuda.is_available():
        names.append(f"Triton {version('triton')}")
    return ", ".join(names)


def main():
    every = sorted(path.stem.removeprefix("lesson") for path in HERE.glob("lesson[0-9][0-9].py"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lessons", nargs="*", default=every, metavar="NN")
    parser.add_argument("--out", type=Path, help="where the files go; default: course_lib/recorded")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available() and not args.quick
    if not on_gpu and not args.quick:
        raise SystemExit("This measures a GPU, and torch sees none here. Try the script with --quick.")
    device = "cuda" if on_gpu else "cpu"
    if not on_gpu:
        os.environ.setdefault("TRITON_INTERPRET", "1")  # must be set before Triton is imported
    for lesson in args.lessons:
        begin = time.perf_counter()
        torch.manual_seed(0)
        model, tokenizer = load_model("tale", device=device, dtype=torch.float32)  # as in the lessons
        tables = importlib.import_module(f"lesson{lesson}").tables(model, tokenizer, device, quick=args.quick)
        kept = dict(
            machine=torch.cuda.get_device_name() if on_gpu else "CPU",
            date=f"{datetime.date.today():%B %Y}",
            software=software(),
            command=f"python benchmarks/lessons.py {lesson}",
            tables=tables,
        )
        print(Recorded(**kept | {"tables": [tuple(table.values()) for table in tables]}), flush=True)
        print(f"Lesson {lesson} took {time.perf_counter() - begin:.0f} s.\n", flush=True)
        folder = args.out or (FOLDER if on_gpu else None)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{lesson}.json").write_text(
                json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        if on_gpu:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
