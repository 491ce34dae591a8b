"""What smaller caches cost `tale`, on any CPU: answers at every distance, perplexity and logit error for each dtype,
kind of scale, window and number of sinks. Writes results/smaller_caches_cpu.json.

    python benchmarks/smaller_caches.py [--tales 12] [--only "2 bits"]

Half of the tales have about 300 to 700 tokens, half eight chapters, about 1,600. --only: the caches with this in their
name; the others keep what the file has of them.
"""

import json
from pathlib import Path

import torch
import typer

from course_lib.decoding.damage import RoundedCache, Rounding, damage, run_through
from course_lib.kvcache import Recompute
from course_lib.models import load_model
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.questions import asked_tales

RESULTS = Path(__file__).parent / "results" / "smaller_caches_cpu.json"


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
    tokens, kept = sum(len(ids) for ids, _ in texts), json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows = kept["caches"] if (kept.get("tales"), kept.get("tokens")) == (len(texts), tokens) else {}
    for name, cache in CACHES.items():
        if only not in name:
            continue
        found = damage(model, texts, cache, exact)
        rows[name] = dict(
            answers=found.answers,
            perplexity=round(found.perplexity, 4),
            logit_error=round(found.logit_error, 5),
            lost=len(found.lost),
        )
        print(f"{name:36}", rows[name], flush=True)
    rows = {name: rows[name] for name in CACHES if name in rows}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    RESULTS.write_text(f'{{"tales": {len(texts)}, "tokens": {tokens}, "caches": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    typer.run(main)
