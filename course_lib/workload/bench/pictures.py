"""Pictures: one run over time, and a sweep over loads with its knee."""

import numpy as np
from matplotlib.figure import Figure

from course_lib.engine.intervals import tokens_per_second

from .record import write_whole
from .series import knee, mode_of, sweeps

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
COLOURS = (BLUE, ORANGE, GREEN)
WINDOWS = 20


def save_picture(path, watch, duration):
    """Writes a PNG of one run over time: latencies, their percentiles, throughput with goodput, and KV use.

    watch: a Watch with single requests; failed ones are marked at their arrival. duration: seconds.
    """
    complete = sorted((request for request in watch.requests if request.is_complete), key=lambda one: one.arrival)
    failed = [request.arrival for request in watch.requests if not request.is_complete]
    panels = [
        lambda axes: _draw_latencies(axes, complete, failed),
        lambda axes: _draw_percentiles(axes, complete, duration),
        lambda axes: _draw_throughput(axes, complete, duration),
    ]
    if watch.targets is not None:
        panels.append(lambda axes: _draw_goodput(axes, complete, duration, watch.targets))
    if watch.memory.points:
        panels.append(lambda axes: _draw_memory(axes, watch.memory.points))
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    for axes, draw in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels):
        draw(axes)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    axes.set_xlabel("seconds since the start")
    _save(figure, path)


def _draw_latencies(axes, complete, failed):
    arrivals = [request.arrival for request in complete]
    axes.plot(arrivals, [request.e2e_latency for request in complete], ".", color=GREY, label="E2EL")
    axes.plot(arrivals, [request.ttft for request in complete], ".", color=BLUE, label="TTFT")
    if failed:
        axes.plot(failed, np.zeros(len(failed)), "x", color=ORANGE, label=f"failed ({len(failed)})")
    axes.set_ylabel("seconds, by arrival")
    axes.legend(loc="upper left")


def windows(requests, duration):
    """(seconds of the middle, requests that arrived in it) of each of 20 windows of the run that has any."""
    width = duration / WINDOWS
    found = [[] for _ in range(WINDOWS)]
    for request in requests:
        found[min(int(request.arrival / width), WINDOWS - 1) if width else 0].append(request)
    return [((k + 0.5) * width, its) for k, its in enumerate(found) if its]


def _draw_percentiles(axes, complete, duration):
    middles = windows(complete, duration)
    for p, style in ((50, "-"), (99, "--")):
        values = [np.percentile([request.ttft for request in its], p) for _, its in middles]
        axes.plot([at for at, _ in middles], values, style, color=BLUE, label=f"P{p} of TTFT")
    axes.set_ylabel("seconds, by arrival")
    axes.legend(loc="upper left")


def _draw_throughput(axes, complete, duration):
    rates = tokens_per_second(complete, duration)
    axes.step(np.arange(len(rates)), rates, where="post", color=BLUE)
    axes.set_ylabel("output tokens/s")


def _draw_goodput(axes, complete, duration, targets):
    middles, width = windows(complete, duration), duration / WINDOWS or 1.0
    times = [at for at, _ in middles]
    axes.step(times, [len(its) / width for _, its in middles], where="mid", color=GREY, label="arrived")
    good = [sum(map(targets.are_met_by, its)) / width for _, its in middles]
    axes.step(times, good, where="mid", color=GREEN, label="goodput: in time")
    axes.set_ylabel("requests/s, by arrival")
    axes.legend(loc="upper left")


def _draw_memory(axes, points):
    axes.plot(*zip(*[(at, 100 * share) for at, share in points]), color=BLUE, drawstyle="steps-post")
    axes.set_ylabel("KV cache in use, %")


def save_series_picture(path, series):
    """Writes a PNG of a series: of a sweep, latency, throughput and goodput against load, with the knee of each mode;
    of several modes at one load, their results as bars.
    """
    found = sweeps(series)
    figure = Figure(figsize=(9, 8 if found else 4), layout="constrained")
    if found:
        _draw_sweeps(figure, found)
    else:
        _draw_modes(figure, series)
    _save(figure, path)


def _draw_sweeps(figure, found):
    ttft, tpot, done = figure.subplots(3, 1, sharex=True)
    for colour, (mode, sweep) in zip(COLOURS, found.items()):
        rates = [rate for rate, _ in sweep]
        for axes, latency in ((ttft, "ttft"), (tpot, "tpot")):
            for what, style in (("median", "o-"), ("p99", "s--")):
                values = [record["results"][f"{what}_{latency}_ms"] or np.nan for _, record in sweep]
                axes.plot(rates, values, style, color=colour, label=f"{mode}, {what.replace('median', 'p50').upper()}")
        for name, style in (("request_throughput", "o-"), ("request_goodput", "s--")):
            values = [record["results"][name] for _, record in sweep]
            if None not in values:
                done.plot(rates, values, style, color=colour, label=f"{mode}, {name.removeprefix('request_')}")
        at = knee(sweep)
        if at is not None:
            for axes in (ttft, tpot, done):
                axes.axvline(at, color=colour, linestyle=":", label=f"knee of {mode}: {at:g}/s")
    for axes, label in ((ttft, "TTFT, ms"), (tpot, "TPOT, ms"), (done, "requests/s")):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize="small")
    ttft.set_yscale("log")
    ttft.set_title("Latency against load, with the knee")
    done.set_xlabel("load, requests/s")


def _draw_modes(figure, series):
    names = {"output tokens/s": "output_throughput", "P99 TTFT, ms": "p99_ttft_ms", "P99 E2EL, ms": "p99_e2el_ms"}
    for axes, (label, name) in zip(figure.subplots(1, 3), names.items()):
        values = [record["results"][name] or 0.0 for record in series["runs"].values()]
        axes.bar([mode_of(record) for record in series["runs"].values()], values, color=COLOURS)
        axes.set_title(label)


def _save(figure, path):
    write_whole(path, lambda half: figure.savefig(half, dpi=120, format="png"))
