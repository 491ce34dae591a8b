"""What is printed of one run: the lines of `vllm bench serve`, with the 95 % interval of each where it is known."""

from .drift import FEWEST
from .record import percentile_names

TOTALS = (
    ("Successful requests", "completed"),
    ("Failed requests", "failed"),
    ("Benchmark duration (s)", "duration"),
    ("Total input tokens", "total_input_tokens"),
    ("Total generated tokens", "total_output_tokens"),
    ("Request throughput (req/s)", "request_throughput"),
    ("Request goodput (req/s)", "request_goodput"),
    ("Output token throughput (tok/s)", "output_throughput"),
    ("Peak output token throughput (tok/s)", "max_output_tokens_per_s"),
    ("Peak concurrent requests", "max_concurrent_requests"),
    ("Total token throughput (tok/s)", "total_token_throughput"),
)
LATENCIES = (
    ("Time to First Token", "TTFT", "ttft"),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot"),
    ("Inter-token Latency", "ITL", "itl"),
    ("End-to-end Latency", "E2EL", "e2el"),
    ("Queue Time", "queue time", "queue_time"),
)
COUNTS = (
    ("Prefix cache hit rate", "prefix_hit_rate", "{:.1%}".format),
    ("KV cache use, mean", "kv_use", "{:.1%}".format),
    ("KV cache use, peak", "peak_kv_use", "{:.1%}".format),
    ("KV cache slots without a token", "kv_waste", "{:.1%}".format),
    ("Preemptions", "num_preemptions", "{:,}".format),
    ("Peak memory (MiB)", "peak_bytes", lambda value: f"{value / 2**20:,.0f}"),
    ("Longest sequence that fits (tokens)", "longest_sequence", "{:,}".format),
    ("Computed tokens that were thrown away", "waste", "{:.1%}".format),
)
WIDTH = 72


def rows():
    """(heading or None, label, name of the result) of each line."""
    for label, name in TOTALS:
        yield None, label, name
    for heading, short, latency in LATENCIES:
        for what in percentile_names():
            yield heading, f"{what.capitalize()} {short} (ms)", f"{what}_{latency}_ms"


def number(value):
    """A value of the table as text."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def table(record):
    """The results of a record as plain text."""
    results, known, last = record["results"], record["intervals"], None
    lines = [record["command"], " Serving Benchmark Result ".center(WIDTH, "="), f"{'':<57}95 % interval".rstrip()]
    for heading, label, name in rows():
        if results.get(name) is None:
            continue
        if heading != last:
            lines.append(heading.center(WIDTH, "-"))
            last = heading
        between = f"{number(known[name][0])} to {number(known[name][1])}" if name in known else ""
        lines.append(f"{label + ':':<40}{number(results[name]):>14}   {between}".rstrip())
    counts = [(label, record["counts"].get(name), form) for label, name, form in COUNTS]
    if any(value is not None for _, value, _ in counts):
        lines.append("Engine".center(WIDTH, "-"))
    lines += [f"{label + ':':<40}{form(value):>14}" for label, value, form in counts if value is not None]
    for client, its in record["clients"].items():
        lines.append(f"{client}: {its['completed']} requests".center(WIDTH, "-"))
        shown = {"P50 TTFT (ms)": "median_ttft_ms", "P99 TTFT (ms)": "p99_ttft_ms", "P50 TPOT (ms)": "median_tpot_ms",
                 "Output token throughput (tok/s)": "output_throughput"}  # fmt: skip
        lines += [f"{label + ':':<40}{number(its[name]):>14}" for label, name in shown.items() if its[name] is not None]
    lines.append("=" * WIDTH)
    return "\n".join(lines + notes(record))


def notes(record):
    """What must be known beside the table: failures, an early end, drift."""
    found = [f"Failed, {count} times: {problem}" for problem, count in record["problems"].items()]
    if record["interrupted"]:
        found.append(f"Ended by Ctrl-C: {record['unfinished']} requests had not ended, and count nowhere.")
    if record["drift"] is None:
        found.append(
            f"Drift: not judged. Each third of the run needs {FEWEST} complete requests that come one after the other."
        )
        return found
    for name, its in record["drift"].items():
        if its["apart"]:
            found.append(
                f"Drift: {name} was {number(its['first'])} in the first third and {number(its['last'])} in the last, "
                f"and their 95 % intervals are apart."
            )
    if any(its["apart"] for its in record["drift"].values()):
        found.append(
            "So these results depend on how long the run was: run longer, at a lower rate, or find the reason."
        )
    else:
        found.append("Drift: none seen. The 95 % intervals of the first and the last third meet.")
    return found
