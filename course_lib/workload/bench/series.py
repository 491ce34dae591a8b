"""Several runs of one command side by side: the three ways to batch, or a sweep over loads and where its knee is."""

from .record import SCHEMA, command_line
from .table import number, rows

IN_TIME = 0.9
"""Share of the requests that must meet the targets at a load that is kept up with."""
TIMES_AS_LONG = 3.0
"""Without targets: so many times the P99 of TTFT at the lowest load is too much."""
SHOWN = ("completed", "failed", "duration", "request_throughput", "request_goodput", "output_throughput",
         "mean_ttft_ms", "median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "median_itl_ms",
         "p99_itl_ms", "median_e2el_ms", "p99_e2el_ms")  # fmt: skip


def series_record(options, runs, date):
    """The record of the runs so far. runs: {name: record}."""
    return {"schema": SCHEMA, "kind": "series", "date": date, "command": command_line(options), "runs": runs}


def mode_of(record):
    """How the requests of a run were batched, or what was measured."""
    kind = record["target"]["kind"]
    return "continuous" if kind == "engine" else kind


def sweeps(series):
    """{mode: [(requests a second, record), ...]}, ascending. Empty where no run has a rate of its own."""
    found = {}
    if any("rates" in word for word in series["command"].split()):
        for record in series["runs"].values():
            found.setdefault(mode_of(record), []).append((record["options"]["rate"], record))
    return found


def knee(sweep):
    """The highest load up to which all loads are kept up with, or None. sweep: [(rate, record), ...], ascending.

    With targets for goodput: 9 of 10 requests meet them. Without: P99 of TTFT is at most three times that of the lowest
    load.
    """
    found = None
    for rate, record in sweep:
        results, first = record["results"], sweep[0][1]["results"]["p99_ttft_ms"]
        if not results["completed"] or first is None:
            return found
        if results["request_goodput"] is not None:
            is_kept = results["request_goodput"] >= IN_TIME * results["request_throughput"]
        else:
            is_kept = results["p99_ttft_ms"] <= TIMES_AS_LONG * first
        if not is_kept:
            return found
        found = rate
    return found


def series_table(series):
    """The results side by side as plain text, a column for each run, and the knee of each sweep."""
    runs = series["runs"]
    width = max(12, *(len(name) + 2 for name in runs))
    lines = [series["command"], f"{'':<40}" + "".join(f"{name:>{width}}" for name in runs)]
    for _, label, name in rows():
        values = [record["results"].get(name) for record in runs.values()]
        if name in SHOWN and any(value is not None for value in values):
            shown = ["-" if value is None else number(value) for value in values]
            lines.append(f"{label + ':':<40}" + "".join(f"{one:>{width}}" for one in shown))
    waste = [record["counts"].get("waste") for record in runs.values()]
    if any(share is not None for share in waste):
        shown = ["-" if share is None else f"{share:.1%}" for share in waste]
        lines.append(f"{'Computed tokens thrown away:':<40}" + "".join(f"{one:>{width}}" for one in shown))
    for mode, sweep in sweeps(series).items():
        lines.append(knee_line(mode, sweep))
    for name, record in runs.items():
        if record["interrupted"]:
            lines.append(f"{name} was ended by Ctrl-C; what had ended is in its column.")
        lines += [f"{name}: failed, {count} times: {problem}" for problem, count in record["problems"].items()]
    return "\n".join(lines)


def knee_line(mode, sweep):
    """What a sweep says about the knee, in one sentence."""
    has_targets = sweep[0][1]["results"]["request_goodput"] is not None
    rule = "9 of 10 requests meet the targets" if has_targets else "P99 of TTFT is at most 3 times that of the lowest"
    found = knee(sweep)
    if found is None:
        return f"Knee of {mode}: below {sweep[0][0]:g} requests/s, the lowest load of this sweep ({rule})."
    where = "at or above" if found == sweep[-1][0] else "at"
    return f"Knee of {mode}: {where} {found:g} requests/s, the highest load of this sweep at which {rule}."
