"""The simulator beside the real engine on a GPU: loads that were not used to calibrate, and what it predicts of them.

    python benchmarks/simulate_gpu.py [--repeats 2] [--quick] [--out results/simulate_h200.json]      measures
    python benchmarks/simulate_gpu.py --predict results/simulate_h200.json                            on any machine

The shape of Qwen3-0.6B with random weights in bfloat16. The calibration workloads (workload/calibrate.py) are served
first, and each step of them is kept: what it computed, and how long it took. Then come loads with other lengths and
other arrivals. What is recorded of a load are the medians over `repeats` runs of the same requests.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from simulate import PERCENTILES, compared, figures, rounded

from course_lib import Engine, EngineConfig
from course_lib.engine.summary import summarise
from course_lib.workload import LENGTH_SETS, AtOnce, ClosedLoop, Feed, Fixed, Gamma, Lengths, Poisson, Workload
from course_lib.workload.calibrate import StepTimer, calibrate, fit, prediction_error
from course_lib.workload.cost import StepWork
from course_lib.workload.drive import WallClock, drive
from course_lib.workload.simulate import simulate

SHAPE, CONTEXT = "qwen3-0.6b", 4096
MACHINE = dict(width=82, narrow=24)
"""Of an H200: programs of decode attention at a time, 5 for each of 132 multiprocessors, over 8 KV heads; and rows of a
product."""
CONFIG = EngineConfig(
    num_blocks=20_000, max_num_seqs=256, max_num_batched_tokens=2048, prefix_caching=False, async_scheduling=True
)


def loads():
    """{name: Workload}: none of them is one of calibration_workloads."""
    common, chat = dict(context=CONTEXT, vocab_size=256, seed=7), LENGTH_SETS["chat"]
    return {
        "one user, 512 in, 64 out": Workload(ClosedLoop(1), Lengths(Fixed(512), Fixed(64)), num_requests=12, **common),
        "chat, Poisson 8": Workload(Poisson(8.0), chat, num_requests=40, **common),
        "chat, Poisson 40": Workload(Poisson(40.0), chat, num_requests=200, **common),
        "chat, bursts of 25": Workload(Gamma(25.0, 0.25), chat, num_requests=125, **common),
        "code_completion, 24 users": Workload(
            ClosedLoop(24), LENGTH_SETS["code_completion"], num_requests=240, **common
        ),
        "batch, at once": Workload(AtOnce(), LENGTH_SETS["batch"], num_requests=200, **common),
    }


def measure(repeats, quick):
    """What is recorded."""
    import torch

    if quick:
        from timing import TINY
        from timing import random_model as tiny

        from course_lib.models import ModelConfig

        model = tiny(ModelConfig(**TINY), "cpu", torch.float32)
    else:
        from engine_gpu import random_model

        with torch.inference_mode():
            model = random_model(SHAPE)
    clock = WallClock()
    engine = Engine(model, replace(CONFIG, max_num_seqs=8) if quick else CONFIG, trace=False, clock=clock)
    warm = Workload(AtOnce(), LENGTH_SETS["chat"], num_requests=8, context=CONTEXT, vocab_size=200, seed=9)
    drive(engine, Feed(warm), clock)
    began = time.perf_counter()
    _, steps = calibrate(engine, clock, context=64 if quick else 4 * CONTEXT)
    print(f"calibrated on {len(steps)} steps in {time.perf_counter() - began:.1f} s", flush=True)
    found = dict(
        card=torch.cuda.get_device_name() if torch.cuda.is_available() else "none", torch=torch.__version__,
        date=time.strftime("%Y-%m-%d"), model=SHAPE, command=" ".join(sys.argv), repeats=repeats,
        capture_s=getattr(engine.runner, "capture_seconds", 0.0),
        steps=[[*work, round(seconds, 7)] for work, seconds in steps], loads={},
    )  # fmt: skip
    for name, load in list(loads().items())[: 1 if quick else None]:
        runs, timed = [], []
        for _ in range(repeats):
            timer = StepTimer(engine, clock)
            runs.append(summarise(drive(engine, Feed(load), clock, step=timer.step), percentiles=PERCENTILES))
            timer.stop()
            timed += timer.steps
        found["loads"][name] = rounded(figures(runs))
        error = prediction_error(fit(steps, known=MACHINE), timed)
        print(f"{name}: error of a step {error:.1%}, {sum(s for _, s in timed) / repeats:.1f} s", flush=True)
    return found


def predict(recorded):
    """{load: real and simulated figures, and by what share the simulated ones are off}, with the cost of the recorded
    steps."""
    cost = fit([(StepWork(*work), seconds) for *work, seconds in recorded["steps"]], known=MACHINE)
    return cost, {
        name: compared(recorded["loads"][name], rounded(figures([simulate(load, CONFIG, cost).summary])))
        for name, load in loads().items()
        if name in recorded["loads"]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--predict", type=Path)
    args = parser.parse_args()
    recorded = json.loads(args.predict.read_text()) if args.predict else measure(args.repeats, args.quick)
    if args.out:
        args.out.write_text(json.dumps(recorded) + "\n", encoding="utf-8")
    cost, found = predict(recorded)
    print(cost)
    for name, row in found.items():
        print(f"{name}: largest {row['largest']}")
        for figure, off in row["off"].items():
            real, simulated = row["real"][figure], row["simulated"][figure]
            print(f"    {figure:20} real {real:10.2f}  simulated {simulated:10.2f}  {off:+.1%}")


if __name__ == "__main__":
    main()
