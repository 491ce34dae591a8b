"""The record of one run: a JSON object with its results, and all that is needed to repeat it.

    date, command, options      when, and what was asked for: the same options bring the same requests
    workload                    what the options mean, defaults included
    target                      what was measured, with all of its settings
    machine, versions, git      where (setting.py)
    interrupted, unfinished     whether Ctrl-C ended the run, and how many requests had not ended then
    problems                    message -> failed requests
    results                     a Summary, by the names of `vllm bench serve --save-result`
    intervals                   name of a result -> 95 % bootstrap interval
    clients                     name -> its results, where there are several clients
    drift, counts               first third beside last third; what only an engine knows of the run

A series (several modes, or a sweep over rates) is an object with `kind` "series" and such a record for each of its
`runs`. Nothing in it names a person, and no key is saved.
"""

import json
import math
import os
import shlex
from pathlib import Path

from course_lib.engine.intervals import latency_intervals, throughput_interval
from course_lib.engine.summary import PERCENTILES
from course_lib.errors import CourseError, ParameterError

from .drift import drift

SCHEMA = 1
MOST_KEPT = 20_000
"""Requests of a simulated run above which only counts are kept, and no interval can be found."""
MOST_REPEATS, FEWEST_REPEATS, MOST_DRAWN = 1000, 100, 10**8
"""Draws of the bootstrap, fewer where there are many tokens, so that it takes seconds."""
FEWEST_WINDOWS = 5


def intervals(requests, duration):
    """{"mean_ttft_ms": (low, high), "p99_ttft_ms": ..., "output_throughput": ...} by the names of the results.

    That of the throughput is from windows as long as the median request; it is left out where few of them fit.
    """
    complete = [request for request in requests if request.is_complete]
    if not complete:
        return {}
    num_tokens = sum(request.num_output_tokens for request in complete)
    repeats = min(MOST_REPEATS, max(FEWEST_REPEATS, MOST_DRAWN // num_tokens))
    found = {}
    for name, its in latency_intervals(complete, repeats=repeats).items():
        for what, (low, high) in its.items():
            label = what if what == "mean" else "median" if what == 50 else f"p{what}"
            found[f"{label}_{name}_ms"] = (low * 1e3, high * 1e3)
    window = max(1.0, sorted(request.e2e_latency for request in complete)[len(complete) // 2])
    if duration / window >= FEWEST_WINDOWS:
        found["output_throughput"] = throughput_interval(complete, duration, window=window)
    return found


def make_record(options, workloads, target, watch, *, duration, interrupted, unfinished, setting, date):
    """The record of a run that has ended. setting: {"machine": ..., "versions": ..., "git": ...}."""
    requests = watch.requests or []
    plain = [{name: _plain(value) for name, value in vars(workload).items()} for workload in workloads]
    return {
        "schema": SCHEMA, "date": date, "command": command_line(options), "options": options.as_dict(),
        "workload": plain[0] if len(plain) == 1 else plain,
        "target": target.about(), **setting, "interrupted": interrupted, "unfinished": unfinished,
        "problems": dict(watch.problems.most_common(20)), "results": watch.summary(duration).as_dict(),
        "intervals": intervals(requests, duration), "drift": drift(requests), "counts": target.counts(),
        "clients": {name: its.as_dict() for name, its in watch.summaries_of_clients(duration).items()},
    }  # fmt: skip


def _plain(value):
    """A field of a Workload for JSON."""
    return value if value is None or isinstance(value, (int, float, str)) else repr(value)


def command_line(options):
    """The command that repeats the run."""
    words = ["course bench"]
    for name, value in options.as_dict().items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else [value]:
            words.append(option if one is True else f"{option} {shlex.quote(str(one))}")
    return " ".join(words)


def write_record(path, record):
    """Writes it in one piece: after a kill there is the whole file or none."""
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda half: half.write_text(text, encoding="utf-8"))


def write_whole(path, write):
    """write(other path), then the file gets its name. Raises CourseError, and leaves nothing, where that fails."""
    half = path.with_name(f".{path.name}.part")
    try:
        write(half)
        os.replace(half, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}. The results are printed only.") from None
    finally:
        half.unlink(missing_ok=True)


def check_output(path, what="--output"):
    """The Path that a record can be written to. Raises ParameterError before anything is measured."""
    path = Path(path)
    if path.exists():
        raise ParameterError(f"{what} {path} exists already. Choose another name, or delete it.")
    if not path.parent.is_dir():
        raise ParameterError(f"{what} {path} lies in no folder: {path.parent} is not there. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise ParameterError(f"{what} {path} cannot be written: {path.parent} is read-only. Choose another folder.")
    return path


def read_record(path):
    """A record from its file. Raises ParameterError for what is none."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets in brackets
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise ParameterError(f"{path} cannot be read: {why}. Give a file that `course bench` wrote.") from None
    parts = ("options", "target", "machine", "versions", "results", "intervals")
    if isinstance(record, dict) and record.get("kind") == "series":
        raise ParameterError(f"{path} holds a series of runs, and two single runs are compared. Measure them alone.")
    if not isinstance(record, dict) or not all(isinstance(record.get(part), dict) for part in parts):
        raise ParameterError(f"{path} is no record of a run. Give a file that `course bench` wrote.")
    if record.get("schema") != SCHEMA:
        raise ParameterError(
            f"{path} has the schema {record.get('schema')!r}, and this version reads {SCHEMA}. Measure again, or use "
            f"the version that wrote it."
        )
    if not all(value is None or _is_number(value) for value in record["results"].values()):
        raise ParameterError(f"{path} has results that are no numbers. Give a file that `course bench` wrote.")
    if not all(_is_interval(value) for value in record["intervals"].values()):
        raise ParameterError(
            f"{path} has intervals that are no pairs of numbers. Give a file that `course bench` wrote."
        )
    if not isinstance(record.get("git"), (dict, type(None))):
        raise ParameterError(
            f"{path} says {record['git']!r} for git, which is no object. Give a file as it was written."
        )
    return record


def _is_interval(value):
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def percentile_names():
    """The statistics of each latency, in the order of the table: mean, median, p90, ..."""
    return ["mean", "median", *(f"p{p}" for p in PERCENTILES if p != 50)]
