"""The simulator beside the real engine, beside a recorded run on a GPU, and how many requests it simulates a second.

    python benchmarks/simulate.py [--only cpu,gpu,rate] [--requests 100000] [--lengths all] [--repeats 3] [--record]

    cpu    The cost model is calibrated on `tale` by a short run, and other workloads are served both ways. The clock
           is the processor time of this process, with one thread; waits are skipped. So other programs on the machine
           matter only as far as they use the processor's caches. Calibration and workloads take turns; real figures
           are medians over the turns, with their spread: what two turns differ by, no model of a step can predict.
    gpu    The recorded decode steps of benchmarks/results/engine_h200.json (batches of 1, 8, 64 and 256 sequences of
           843 tokens) give the cost of a step and of a sequence. Reading KV and the products come from the roofline:
           memory at the bandwidth that was measured in the same call, arithmetic at the matrix product that was
           measured on such a card (680 TFLOP/s for 8192³). Then mix256 of the same call is predicted: 256
           requests, prompts and outputs U(100, 1024), which was not used to calibrate.
    rate   So many requests of the length set chat, and of chat at a quarter of the length, on one engine: requests a
           second of processor time, and how much the memory of the process grew after the first tenth. --lengths chat
           or "chat / 4" runs one of them.

--record adds the results of what ran to benchmarks/results/simulate_cpu.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

from course_lib import Engine, EngineConfig, load_model
from course_lib.engine.memory_use import peak_bytes
from course_lib.engine.summary import Totals, summarise
from course_lib.models import ModelConfig
from course_lib.workload import (
    LENGTH_SETS,
    AtOnce,
    ClosedLoop,
    Conversations,
    CostModel,
    Feed,
    Gamma,
    Lengths,
    Poisson,
    Trace,
    Uniform,
    Workload,
)
from course_lib.workload.bench.setting import processor
from course_lib.workload.calibrate import StepTimer, calibrate, fit, prediction_error
from course_lib.workload.cost import StepWork, roofline
from course_lib.workload.drive import ProcessorClock, drive
from course_lib.workload.simulate import Cluster, simulate

RESULTS = Path(__file__).parent / "results" / "simulate_cpu.json"
RECORDED = Path(__file__).parent / "results" / "engine_h200.json"
PERCENTILES = (50, 90, 99)
MATMUL_FLOPS = 680e12  # of an H200, bfloat16, measured


def rate(requests, wanted="all", seed=0):
    """Requests a second of processor time, for two length sets, or the one of this name."""
    cost = CostModel(per_step=5e-3, per_sequence=1e-5, per_token=2e-5, per_kv_token=3e-8, per_pair=1e-9)
    config = EngineConfig(num_blocks=4000, max_num_seqs=256)
    for label, lengths, arrivals in (
        ("chat / 4", LENGTH_SETS["chat"].scaled(1 / 4), Poisson(30.0)),
        ("chat", LENGTH_SETS["chat"], Poisson(8.0)),
    ):
        if wanted not in ("all", label):
            continue
        workload = Workload(arrivals, lengths, num_requests=requests, seed=seed)
        cluster, early = Cluster(Feed(workload), config, cost, totals=Totals(exact=False)), None
        began, clock = time.process_time(), time.perf_counter()
        while cluster.advance():
            if early is None and cluster.totals.completed >= requests // 10:
                early = peak_bytes("cpu")
        seconds, wall, result = time.process_time() - began, time.perf_counter() - clock, cluster.result()
        yield dict(
            bench="rate", workload=label, requests=requests, processor_s=seconds, wall_s=wall,
            requests_per_s=requests / seconds, steps=result.num_steps, steps_per_s=result.num_steps / seconds,
            plans=result.num_plans, simulated_hours=result.summary.duration / 3600,
            peak_running=result.replicas[0].peak_running, peak_mb=peak_bytes("cpu") / 1e6,
            grown_after_the_first_tenth_mb=(peak_bytes("cpu") - early) / 1e6,
        )  # fmt: skip


def engine_on(model, config, clock):
    """A warm engine."""
    engine = Engine(model, config, trace=False, clock=clock)
    engine.generate([[5] * 40] * 4)
    return engine


def cpu(repeats):
    """Calibrates on `tale`, and serves other workloads on the real engine and in the simulator."""
    torch.set_num_threads(1)
    model, _ = load_model("tale", dtype=torch.float32)
    config = EngineConfig(num_blocks=1024, max_num_seqs=32, max_num_batched_tokens=512)
    clock = ProcessorClock()
    workloads, steps = unseen_workloads(), []
    runs, timed = {label: [] for label in workloads}, {label: [] for label in workloads}
    for turn in range(repeats):  # in turns, so that a machine that becomes slower does so for all of them
        steps += calibrate(engine_on(model, config, clock), clock, seed=turn)[1]
        for label, workload in workloads.items():
            engine = engine_on(model, config, clock)
            timer = StepTimer(engine, clock)
            runs[label].append(summarise(drive(engine, Feed(workload), clock, step=timer.step)))
            timed[label] += timer.steps
    cost = fit(steps)
    yield dict(bench="calibration", model="tale", steps=len(steps), measured_s=sum(s for _, s in steps),
               error_of_a_step=prediction_error(cost, steps), **vars(cost))  # fmt: skip
    for label, workload in workloads.items():
        simulated = simulate(workload, config, cost).summary
        row = dict(bench="cpu", workload=label, requests=simulated.completed, repeats=repeats,
                   error_of_a_step=prediction_error(cost, timed[label]))  # fmt: skip
        yield row | compared(figures(runs[label]), figures([simulated])) | dict(spread=spreads(runs[label]))


def unseen_workloads():
    """Workloads that the calibration did not see: other lengths, other arrivals, conversations, and overload."""
    chat, code = LENGTH_SETS["chat"].scaled(1 / 4), LENGTH_SETS["code_completion"].scaled(1 / 4)
    talk, common = Lengths(Uniform(8, 100), Uniform(8, 100)), dict(context=2048, seed=7)
    return {
        "chat / 4, Poisson 10": Workload(Poisson(10.0), chat, num_requests=100, **common),
        "chat / 4, bursts of 15": Workload(Gamma(15.0, 0.25), chat, num_requests=100, **common),
        "code_completion / 4, 6 users": Workload(ClosedLoop(6), code, num_requests=60, **common),
        "conversations, Poisson 3": Workload(
            Poisson(3.0), talk, num_requests=25, conversations=Conversations(think_time=0.3), **common
        ),
        "batch / 4, at once": Workload(AtOnce(), LENGTH_SETS["batch"].scaled(1 / 4), num_requests=60, **common),
    }


def figures(summaries):
    """{name: median over the runs}: throughput in tokens a second, latencies in milliseconds."""
    found = {"output_throughput": [s.output_throughput for s in summaries]}
    for name in ("ttft", "tpot", "itl", "e2el"):
        for p in PERCENTILES:
            found[f"p{p}_{name}_ms"] = [getattr(s, name).percentiles[p] * 1e3 for s in summaries]
    return {name: statistics.median(values) for name, values in found.items()}


def spreads(summaries):
    """{name: the largest less the smallest over the runs, as a share of the median}."""
    each = [figures([one]) for one in summaries]
    return {name: (max(one[name] for one in each) - min(one[name] for one in each)) / middle
            for name, middle in figures(summaries).items()}  # fmt: skip


def compared(real, simulated):
    """Both, and by what share the simulated ones are off."""
    off = {name: simulated[name] / real[name] - 1 for name in real}
    worst = max(off, key=lambda name: abs(off[name]))
    return dict(real=real, simulated=simulated, off=off, largest=f"{worst}: {off[worst]:+.1%}")


def gpu():
    """Predicts the recorded mix256 of each model from its recorded decode steps."""
    from engine_gpu import CONTEXT, SHAPES
    from engine_gpu import workload as mix256

    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    recorded, served = (recorded[part]["rows"] for part in ("alone", "beside_vllm"))
    reads = recorded[0]["reads_gb_s"] * 1e9
    requests = [f"0,{len(prompt)},{output}" for prompt, output in zip(*mix256())]
    config = EngineConfig(num_blocks=20000, max_num_seqs=256, max_num_batched_tokens=16384, prefix_caching=False)
    for name, shape in SHAPES.items():
        rows = [row for row in recorded if row.get("model") == name]
        steps = [
            (StepWork(row["batch"], row["batch"], row["batch"] * CONTEXT, 0), row["ms"] / 1e3)
            for row in rows
            if row["bench"] == "decode step"
        ]
        mixes = [row for row in served if row.get("bench") == "mix256" and row.get("model") == name]
        mixes = [row for row in mixes if "sampling" in row]  # the others are vLLM's
        clean = [row for row in mixes if not row["kernels_compiled"]]
        limit = roofline(ModelConfig(**shape), bytes_per_s=reads, flops_per_s=MATMUL_FLOPS)
        known = {key: getattr(limit, key) for key in ("per_narrow", "per_token", "per_kv_token", "per_pair")}
        cost = fit(steps, known=known)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mix256.csv"
            path.write_text("\n".join(["arrival,prompt_tokens,output_tokens", *requests]), encoding="utf-8")
            admitted = []
            predicted = simulate(
                Workload(Trace(path)), config, cost, on_finish=lambda _, its: admitted.append(its.first_scheduled)
            )
        yield dict(
            bench="gpu", model=name, card=recorded[0]["card"], **vars(cost),
            decode_steps={w.num_sequences: [s * 1e3, cost.seconds(*w) * 1e3] for w, s in steps},
            steps=predicted.num_steps, predicted_tokens_per_s=predicted.summary.output_throughput,
            recorded={row["sampling"]: row["tokens_per_s"] for row in clean},
            off={row["sampling"]: predicted.summary.output_throughput / row["tokens_per_s"] - 1 for row in clean},
            last_admission_begins_s=max(admitted),
            recorded_until_all_admitted_s={row["sampling"]: row["until_all_admitted_s"] for row in clean},
            left_out=[row["sampling"] for row in mixes if row["kernels_compiled"]],
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="cpu,gpu,rate")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--lengths", default="all", choices=["all", "chat / 4", "chat"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    benches = dict(cpu=lambda: cpu(args.repeats), gpu=gpu, rate=lambda: rate(args.requests, args.lengths))
    found = {}
    for name in args.only.split(","):
        load = os.getloadavg()[0]
        found[name] = dict(about(), load_before=round(load, 1), rows=[])
        for row in benches[name]():
            found[name]["rows"].append(rounded(row))
            print(json.dumps(rounded(row)), flush=True)
        found[name]["load_after"] = round(os.getloadavg()[0], 1)
    if args.record:
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(known | found, indent=1) + "\n", encoding="utf-8")


def about():
    """What the figures depend on."""
    return dict(
        cpu=processor(), cores=os.cpu_count(), python=platform.python_version(), torch=torch.__version__,
        date=date.today().isoformat(), command=" ".join(["benchmarks/simulate.py", *sys.argv[1:]]),
    )  # fmt: skip


def rounded(value):
    """Floats with five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return {str(key): rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
