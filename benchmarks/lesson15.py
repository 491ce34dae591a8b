"""Tables for lesson 15, recorded on a GPU: speculation with a model of the shape of Llama 3 8B and a draft model of the
shape of Llama 3.2 1B.

    python benchmarks/lessons.py 15 [--quick]
    python benchmarks/lesson15.py         anywhere: fits the cost models to the recorded steps, and writes them again

Weights are random, so no draft would ever be right: which drafts are accepted is drawn with a given probability, and
all else is done as always. What a step takes does not depend on how many are accepted. So for each number of sequences
the seconds of a step are measured with one probability, and the tokens a second with others are the expected tokens of
a step over these seconds; what was drawn stands beside them. Also: where the time of a step goes. From these times the
cost models of the simulator are fitted; it says from which number of sequences drafts lose, beside the run. quick: tiny
sizes, to try it on a CPU.

The model's products take no time until there are `ridge` tokens: they are hidden behind reading the weights. Which
ridge fits best is tried. Without it (ridge 0) a plain step seems to grow with its tokens, so that reading KV seems to
take half of what the memory allows, and a check of 80 tokens is predicted a tenth too long.
"""

import json
import random
import time
from dataclasses import dataclass

import torch
from timing import LLAMA_3_8B, TINY, random_model, wait_for

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.engine import DraftModel
from course_lib.models import ModelConfig
from course_lib.recorded import FOLDER, recorded
from course_lib.workload import SimulatedDrafts, losing_batch
from course_lib.workload.calibrate import fit, prediction_error
from course_lib.workload.cost import StepWork

DRAFTS, CONTEXT = 4, 1000
ACCEPTANCES = (0.8, 0.7, 0.6, 0.5)  # the first is drawn
SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128)
LLAMA_1B = LLAMA_3_8B | dict(hidden_size=2048, intermediate_size=8192, num_layers=16, head_dim=64)
STEPS = 20
RIDGES = range(0, 257, 8)


def tables(model, tokenizer, device, quick=False):
    """[{"title", "columns", "rows"}]. model and tokenizer are not used: the bundled model is too small for a GPU."""
    dtype = torch.float32 if quick else torch.bfloat16
    large, small = (random_model(ModelConfig(**(shape | dict(context=4096))), device, dtype)
                    for shape in ((TINY, TINY | dict(num_layers=1)) if quick else (LLAMA_3_8B, LLAMA_1B)))  # fmt: skip
    sequences, context = ((1, 2, 3), 40) if quick else (SEQUENCES, CONTEXT)
    runs = {name: Runs(large, speculation, max(sequences), context) for name, speculation in
            (("plain", None), ("drafts", DraftModel(model=small, num_speculative_tokens=DRAFTS)))}  # fmt: skip
    plain, drafts = ({n: runs[name].of(n, STEPS) for n in sequences} for name in ("plain", "drafts"))
    return [rates(plain, drafts), times(plain, drafts), *losing(plain, drafts, context)]


@dataclass
class Run:
    """Seconds of a step, of these on the GPU for drafts and their check, and tokens a second as drawn."""

    step: float
    draft: float
    check: float
    drawn: float

    def rate(self, sequences, acceptance):
        """Tokens a second that are expected."""
        return sequences * sum(acceptance**i for i in range(DRAFTS + 1)) / self.step


class Runs:
    """An engine that decodes any number of sequences, with drafts or without."""

    def __init__(self, model, speculation, most, context):
        self.context, self.device = context, model.device
        config = EngineConfig(
            num_blocks=most * (-(-(context + 700) // 16)), max_num_seqs=most, max_num_batched_tokens=16_384,
            prefix_caching=False, speculation=speculation,
        )  # fmt: skip
        self.engine = Engine(model, config, trace=False)
        draw = random.Random(0)
        keep = getattr(self.engine.runner, "keep", None)

        def drawn(arrays, chosen, accepted):
            return keep(arrays, chosen, [draw.random() < ACCEPTANCES[0] for _ in accepted])

        self.engine.runner.keep = drawn

    def of(self, sequences, steps):
        """The Run of this many steps while so many sequences decode."""
        engine, runner = self.engine, self.engine.runner
        for i in range(sequences):
            prompt = [(7 * i + j) % 199 + 5 for j in range(self.context)]
            engine.add_request(prompt, SamplingParams(max_tokens=600, ignore_eos=True))
        seen = set()
        while len(seen) < sequences:
            seen |= {output.request_id for output in engine.step()}
        self._steps(4)
        before = getattr(runner, "draft_seconds", 0.0), getattr(runner, "verify_seconds", 0.0)
        tokens, seconds = self._steps(steps)
        after = getattr(runner, "draft_seconds", 0.0), getattr(runner, "verify_seconds", 0.0)
        gpu = ((b - a) / steps for a, b in zip(before, after))
        for request_id in seen:
            engine.abort(request_id)
        while engine.has_unfinished():
            engine.step()
        return Run(seconds / steps, *gpu, tokens / seconds)

    def _steps(self, steps):
        wait_for(self.device)
        began = time.perf_counter()
        tokens = sum(len(output.new_token_ids) for _ in range(steps) for output in self.engine.step())
        wait_for(self.device)
        return tokens, time.perf_counter() - began


def rates(plain, drafts):
    rows = []
    for n, run in drafts.items():
        expected = [run.rate(n, acceptance) for acceptance in ACCEPTANCES]
        rows.append(
            [n, n / plain[n].step, *expected, *(round(rate * plain[n].step / n, 2) for rate in expected), run.drawn]
        )
    return {
        "title": f"Llama 3 8B's shape with a draft model of 1B, {DRAFTS} drafts a step: tokens a second, contexts of "
        f"{CONTEXT:,} tokens and more",
        "columns": [
            "sequences", "plain", *(f"{a} right" for a in ACCEPTANCES), *(f"times plain, {a}" for a in ACCEPTANCES),
            f"as drawn, {ACCEPTANCES[0]}",
        ],
        "rows": rows,
    }  # fmt: skip


def times(plain, drafts):
    rows = []
    for n, run in drafts.items():
        rest = run.step - run.draft - run.check
        rows.append([n, *(1e3 * x for x in (plain[n].step, run.step, run.draft, run.check, rest))])
    return {
        "title": f"One step, ms: plain, and with {DRAFTS} drafts",
        "columns": [
            "sequences",
            "plain",
            "with drafts",
            f"{DRAFTS} runs of the draft model",
            "check",
            "the rest (CPU)",
        ],
        "rows": rows,
    }


def losing(plain, drafts, context):
    """Two tables: the cost models fitted to these times, and from which number of sequences drafts lose."""
    known, kv = dict(per_batch=0.0, per_narrow=0.0, per_sequence=0.0, per_pair=0.0), context + 150
    large = [(StepWork(n, n, n * kv, 0), run.step) for n, run in plain.items()]
    large += [(StepWork(n * (DRAFTS + 1), n, n * kv, 0), run.check) for n, run in drafts.items()]
    small = [(StepWork(n, n, n * kv, 0), (run.step - run.check) / DRAFTS) for n, run in drafts.items()]
    costs = {}
    for name, steps, ridges in (("the model", large, RIDGES), ("a draft", small, (0,))):
        costs[name] = with_best_ridge(steps, known | ({"per_kv_token": 0.0} if name == "a draft" else {}), ridges)
        costs[name, "error"] = prediction_error(costs[name], steps)
    fitted = {
        "title": "Cost models of the simulator, fitted to these steps (a draft: with its share of the rest)",
        "columns": ["of", "per_step, ms", "per_token, µs", "per_kv_token, ns", "ridge, tokens", "error"],
        "rows": [
            [name, 1e3 * costs[name].per_step, 1e6 * costs[name].per_token, 1e9 * costs[name].per_kv_token,
             costs[name].ridge, f"{costs[name, 'error']:.0%}"]
            for name in ("the model", "a draft")
        ],
    }  # fmt: skip
    rows = []
    for acceptance in ACCEPTANCES:
        speculation = SimulatedDrafts(num_speculative_tokens=DRAFTS, acceptance=acceptance, cost=costs["a draft"])
        found = losing_batch(costs["the model"], speculation, context=context, num_tokens=128, most=512)
        loses = [n for n, run in drafts.items() if run.rate(n, acceptance) * plain[n].step < n]
        wins = [n for n in drafts if not loses or n < loses[0]]
        rows.append(
            [acceptance, found or "none up to 512", wins[-1] if wins else "none", loses[0] if loses else "none"]
        )
    lost = {
        "title": f"From how many sequences on {DRAFTS} drafts lose",
        "columns": ["acceptance", "simulator", "run: last that wins", "run: first that loses"],
        "rows": rows,
    }
    return fitted, lost


def with_best_ridge(steps, known, ridges=RIDGES):
    """The CostModel of measured steps with the ridge whose prediction is nearest. steps, known: as of `fit`."""
    most = max(work.num_tokens for work, _ in steps)
    costs = [fit(steps, known=known | {"ridge": ridge}) for ridge in ridges if ridge < most]
    return min(costs, key=lambda cost: prediction_error(cost, steps))


def recorded_runs():
    """{sequences: Run} without drafts and with them, from the table of times."""
    plain, drafts = {}, {}
    for n, plain_ms, *with_drafts in recorded("15").tables[1][2]:
        plain[n] = Run(plain_ms / 1e3, 0.0, 0.0, 0.0)
        drafts[n] = Run(*(ms / 1e3 for ms in with_drafts[:3]), 0.0)
    return plain, drafts


def main():
    path = FOLDER / "15.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["tables"][2:] = losing(*recorded_runs(), CONTEXT)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(recorded("15"))


if __name__ == "__main__":
    main()
