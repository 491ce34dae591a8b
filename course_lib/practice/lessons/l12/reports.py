"""Seven benchmark reports for 12.spot_the_flaw, each from runs of the simulator, and each with one flaw.

The server is that of lesson 12: the real scheduler and ledger, with a roofline of Llama 3 8B on an H200 as the clock.
"""

from dataclasses import replace
from functools import cache

from course_lib.engine import EngineConfig, summarise
from course_lib.errors import ParameterError
from course_lib.kvcache.catalogue import MODELS
from course_lib.workload import LENGTH_SETS, ClosedLoop, Fixed, Lengths, Poisson, Workload, roofline
from course_lib.workload.lengths import LogNormal
from course_lib.workload.prefixes import SharedPrefixes
from course_lib.workload.simulate import simulate

FLAWS = {
    "busy_machine": "another program ran on the machine",
    "closed_loop": "the users wait for their answers, and the claim is about users who do not",
    "few_requests": "a percentile comes from too few requests, and the difference is chance",
    "no_warm_up": "the first, slower steps are in the numbers",
    "one_batch_size": "one batch size was measured, and the claim is about another",
    "other_prompts": "the two sides were given different work",
    "short_run": "the run ended while the queue was still growing",
    "tpot_definition": "two numbers with one name were computed in two ways",
    "unlike_users": "the lengths are not those of the users whom the claim is about",
}
"""The flaws that a report may have. Two of them are in none of the seven."""

COST = roofline(MODELS["Llama 3 8B"], bytes_per_s=4.3e12, flops_per_s=680e12, launch_s=1e-3)
EAGER = replace(COST, per_step=COST.per_step + 7e-3)
SERVER = EngineConfig(num_blocks=53_000, max_num_seqs=256, max_num_batched_tokens=2048)
CHAT = LENGTH_SETS["chat"]
ALIKE = Lengths(prompt=Fixed(256), output=Fixed(256))
LONG_PROMPTS = Lengths(prompt=LogNormal(median=3000, sigma=0.5, high=7000), output=Fixed(48))
OWN, WHOLE = (Lengths(prompt=LogNormal(median=m, sigma=0.3, high=6000), output=Fixed(128)) for m in (200, 1700))


def served(arrivals, count, *, lengths=CHAT, warm=100, seed=0, cost=COST, config=SERVER, prefixes=None):
    """RequestMetrics of `count` requests in the order of arrival, after `warm` others that are left out."""
    found = []
    load = Workload(
        arrivals, lengths, num_requests=warm + count, context=8192, seed=seed, prefixes=prefixes
    )  # fmt: skip
    simulate(load, config, cost, on_finish=lambda arrival, metrics: found.append(metrics))
    return sorted(found, key=lambda one: one.arrival)[warm:]


def ms(seconds):
    return f"{1e3 * seconds:,.1f} ms"


def text(letter, question, setting, rows, claim):
    """One report. setting: {what: how}. rows: the table, its head first."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"Report {letter} · {question}", ""]
    setting |= {"machine": "one H200, nothing else runs on it; Llama 3 8B in bfloat16, 256 sequences at most"}
    lines += [f"  {what:<9} {how}" for what, how in setting.items()]
    lines += ["", *("  " + "   ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)]
    return "\n".join([*lines, "", f"  Claim: {claim}"])


def report_a():
    rows = [["users", "requests/s", "TTFT P50", "TTFT P99"]]
    for users in (16, 32, 64):
        s = summarise(served(ClosedLoop(users), 600, warm=4 * users))
        rows.append([f"{users}", f"{s.request_throughput:.1f}", ms(s.ttft.median), ms(s.ttft.percentiles[99])])
    setting = {
        "load": "16, 32 and 64 users; each sends the next request when the answer is complete",
        "lengths": "chat, as recorded on the site",
        "measured": "600 requests for each number of users, after the first 4 of each user",
    }
    claim = "However many visitors come to the site at once, TTFT stays low: the server cannot be overloaded."
    return text("A", "What happens when more visitors come than expected?", setting, rows, claim)


def report_b():
    requests = served(Poisson(55), 500)
    rows = [["requests", "TTFT P50", "TPOT P50"]]
    for name, part in (("1 to 250", requests[:250]), ("251 to 500", requests[250:]), ("all", requests)):
        s = summarise(part)
        rows.append([name, ms(s.ttft.median), ms(s.tpot.median)])
    setting = {
        "load": "open loop, Poisson, 55 requests a second, as in the busiest hour of the site",
        "lengths": "chat, as recorded on the site",
        "measured": "500 requests, about 9 seconds, after 100 to warm up",
    }
    claim = f"In the busiest hour, P50 of TTFT is {rows[3][1]}."
    return text("B", "How long does a user wait in the busiest hour?", setting, rows, claim)


def report_c():
    rows, p99 = [["log messages", "requests", "TTFT P50", "TTFT P99"]], []
    for name, seed in (("long", 0), ("short", 3)):
        s = summarise(served(Poisson(20), 60, seed=seed))
        p99.append(s.ttft.percentiles[99])
        rows.append([name, "60", ms(s.ttft.median), ms(p99[-1])])
    setting = {
        "load": "open loop, Poisson, 20 requests a second; the server keeps up with it",
        "lengths": "chat, as recorded on the site; the same distribution on both sides, drawn anew for each",
        "measured": "60 requests on each side, after 100 to warm up",
    }
    claim = f"With shorter log messages, P99 of TTFT falls by {1 - p99[1] / p99[0]:.0%}."
    return text("C", "Do shorter log messages make the server faster?", setting, rows, claim)


def report_d():
    s = summarise(served(Poisson(30), 800, lengths=ALIKE))
    rows = [["requests", "TTFT P50", "TTFT P99", "E2EL P99"]]
    rows.append(["800", ms(s.ttft.median), ms(s.ttft.percentiles[99]), ms(s.e2el.percentiles[99])])
    setting = {
        "load": "open loop, Poisson, 30 requests a second; the second half of the run is as fast as the first",
        "lengths": "each prompt has 256 tokens, each output 256",
        "measured": "800 requests, after 100 to warm up; another seed differs by less than 10 %",
    }
    claim = f"99 of 100 users of our chat wait less than {rows[1][2]} for the first token."
    return text("D", "How long do the slowest users of the chat wait?", setting, rows, claim)


def report_e():
    rows, tpots = [["launches of a step", "requests", "TPOT P50", "TPOT P99"]], []
    for name, cost in (("one by one", EAGER), ("captured", COST)):
        s = summarise(served(ClosedLoop(1), 100, warm=20, cost=cost))
        tpots.append(s.tpot.median)
        rows.append([name, "100", ms(s.tpot.median), ms(s.tpot.percentiles[99])])
    setting = {
        "load": "one request after the other, so each step has one sequence; the same requests on both sides",
        "lengths": "chat, as recorded on the site",
        "launches": "one by one: a call for each kernel of a step; captured: one call for all kernels of a step",
        "measured": "100 requests on each side, after 20 to warm up",
    }
    claim = (
        f"Captured steps are {tpots[0] / tpots[1]:.1f} times as fast, so the full server needs fewer GPUs by as much."
    )
    return text("E", "What do captured steps save in a full server?", setting, rows, claim)


def report_f():
    rows, names = [["server", "TTFT mean", "E2EL mean", "TPOT mean"]], ("X", "Y")
    for name, cost in zip(names, (COST, replace(COST, per_step=COST.per_step + 1e-3))):
        s = summarise(served(Poisson(4), 400, lengths=LONG_PROMPTS, cost=cost))
        tpot = s.e2el.mean / 48 if name == "X" else s.tpot.mean
        rows.append([name, ms(s.ttft.mean), ms(s.e2el.mean), ms(tpot)])
    setting = {
        "load": "open loop, Poisson, 4 requests a second; the same requests for both",
        "lengths": "long documents as prompts, as recorded; 48 tokens of output, as the application asks for",
        "measured": "400 requests, after 100 to warm up; X by its maker's tool, Y by `vllm bench serve`",
    }
    claim = "Between tokens Y is the faster server: its TPOT is lower."
    return text("F", "Which of two servers is faster between tokens?", setting, rows, claim)


def report_g():
    rows, ttfts = [["version", "prompt tokens", "cached", "TTFT P50", "TTFT P99"]], []
    shared = SharedPrefixes(num_tokens=1500)
    for name, lengths, prefixes in (("1.0", WHOLE, None), ("1.1", OWN, shared)):
        s = summarise(served(Poisson(10), 400, lengths=lengths, prefixes=prefixes))
        ttfts.append(s.ttft.median)
        mean = s.total_input_tokens / s.completed
        rows.append([name, f"{mean:,.0f}", f"{s.prefix_hit_rate:.0%}", ms(s.ttft.median), ms(s.ttft.percentiles[99])])
    setting = {
        "load": "open loop, Poisson, 10 requests a second, on both sides",
        "lengths": "as recorded in our application; 128 tokens of output",
        "measured": "400 requests on each side, after 100 to warm up; the prefix cache is on, on both sides",
    }
    claim = f"Version 1.1 computes prompts {ttfts[0] / ttfts[1]:.1f} times as fast as version 1.0."
    return text("G", "Is the new version faster?", setting, rows, claim)


REPORTS = {"A": report_a, "B": report_b, "C": report_c, "D": report_d, "E": report_e, "F": report_f, "G": report_g}


@cache
def bench_report(letter):
    """The text of one report, "A" to "G". Runs the simulator, a second or two."""
    if letter not in REPORTS:
        raise ParameterError(f"There is no report {letter!r}. The reports are {', '.join(REPORTS)}.")
    return REPORTS[letter]()
