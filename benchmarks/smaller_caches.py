"""What smaller caches cost `tale`, on any CPU: answers at every distance, perplexity and logit error for each dtype,
kind of scale, window and number of sinks. Lesson 14 shows the table: course_lib/recorded/smaller_caches.json.

    python benchmarks/smaller_caches.py [--tales 12] [--only "2 bits"]

Half of the tales have about 300 to 700 tokens, half eight chapters, about 1,600. --only: the caches with this in their
name; the others keep what the file has of them.
"""

import json
from datetime import date

import torch
import typer

from course_lib.decoding.damage import RoundedCache, Rounding, damage, run_through
from course_lib.kvcache import Recompute
from course_lib.models import load_model
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.questions import asked_tales
from course_lib.recorded import FOLDER

RESULTS = FOLDER / "smaller_caches.json"
STRETCHES = ((0, 256), (256, 512), (512, 1024), (1024, 1536))
COLUMNS = ["cache", *(f"right to {up_to:,}" for _, up_to in STRETCHES), "lost", "perplexity", "logit error"]


def both(rounding):
    return RoundedCache(rounding, rounding)


CACHES = {
    "float32": RoundedCache(),
    "bfloat16": both(Rounding("bfloat16")),
    "fp8, scales by token": both(Rounding("fp8")),
    "int8, scales by token": both(Rounding("int8")),
    "int8, a scale a head": both(Rounding("int8", "head")),
    "int4, scales by token": both(Rounding("int4")),
    "int4, K alone": RoundedCache(Rounding("int4"), None),
    "int4, V alone": RoundedCache(None, Rounding("int4")),
    "int4, a scale a head": both(Rounding("int4", "head")),
    "int4, K by channel of 32 tokens": RoundedCache(Rounding("int4", "channel", 32), Rounding("int4")),
    "int4, K and V by channel": both(Rounding("int4", "channel", 32)),
    "3 bits, scales by token": both(Rounding(3)),
    "3 bits, K alone": RoundedCache(Rounding(3), None),
    "3 bits, V alone": RoundedCache(None, Rounding(3)),
    "3 bits, K by channel of 32 tokens": RoundedCache(Rounding(3, "channel", 32), Rounding(3)),
    "2 bits, K alone": RoundedCache(Rounding(2), None),
    "2 bits, V alone": RoundedCache(None, Rounding(2)),
    "2 bits, K alone, by channel of 32 tokens": RoundedCache(Rounding(2, "channel", 32), None),
    "2 bits, K by channel of 32 tokens": RoundedCache(Rounding(2, "channel", 32), Rounding(2)),
    **{
        f"window {window}, {sinks} sinks": RoundedCache(window=window, sinks=sinks)
        for window in (64, 256, 512, 1024)
        for sinks in (0, 1, 4)
    },
}


def main(tales: int = 12, only: str = ""):
    model, tokenizer = load_model("tale")
    torch.set_num_threads(1)
    texts = asked_tales(tokenizer.backend, tales) + asked_tales(
        tokenizer.backend, tales, chapters=8, first=HELD_OUT + 100_000
    )
    exact = [run_through(model, ids, Recompute()) for ids, _ in texts]
    tokens, asked = sum(len(ids) for ids, _ in texts), sum(len(questions) for _, questions in texts)
    title = f"What smaller caches cost tale: {len(texts)} new tales of {tokens:,} tokens, {asked} questions"
    kept = json.loads(RESULTS.read_text())["tables"][0] if RESULTS.exists() else {}
    rows = {row[0]: row for row in kept["rows"]} if kept.get("title") == title else {}
    for name, cache in CACHES.items():
        if only not in name:
            continue
        found = damage(model, texts, cache, exact, STRETCHES)
        right = [right for right, _ in found.answers]
        rows[name] = [name, *right, len(found.lost), round(found.perplexity, 4), round(found.logit_error, 5)]
        print(rows[name], flush=True)
        questions = [[f"{above:,} to {up_to:,}", n] for (above, up_to), (_, n) in zip(STRETCHES, found.answers)]
    tables = [
        {"title": title, "columns": COLUMNS, "rows": [rows[name] for name in CACHES if name in rows]},
        {"title": "Questions by distance", "columns": ["tokens from fact to answer", "questions"], "rows": questions},
    ]
    how = dict(
        machine="CPU core", date=f"{date.today():%B %Y}", software=f"torch {torch.__version__.partition('+')[0]}",
        command="python benchmarks/smaller_caches.py",
    )  # fmt: skip
    RESULTS.write_text(json.dumps(how | {"tables": tables}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
