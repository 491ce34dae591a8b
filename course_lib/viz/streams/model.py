"""The data of the streams: when each request came, began, got its tokens and ended, and the blocks in use meanwhile.

Times are in milliseconds. A step is a moment: something came, began or ended then, or nothing, so that no two moments
are far apart.
"""

from bisect import bisect_right

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated, request_name
from course_lib.viz.kit.inputs import keys

STATES = ("not there yet", "waits", "prefill", "streams", "finished", "cancelled", "refused")
COLUMNS = ["request", "state", "prompt tokens", "tokens", "queue time", "TTFT", "time until its end"]
LEAST_STEPS = 40
OPEN = 4  # states below this one are of requests that are open
ENDS = {"finished": 4, "cancelled": 5, "refused": 6}
FIELDS = ("name", "num_prompt_tokens", "arrival", "begin", "tokens", "end", "how")


def streams_data(found):
    """What the browser draws from. found: as RequestLog.snapshot(). Raises ParameterError for anything else."""
    keys("the record", found, ("now", "num_blocks", "memory", "requests"))
    requests = [_request(at, one) for at, one in enumerate(found["requests"])]
    last = max([round(1e3 * found["now"], 3), *(one["end"] or one["arrival"] for one in requests), 1.0])
    memory = [[round(1e3 * time, 3), blocks] for time, blocks in found["memory"]]
    moments = _moments(requests, last)
    return {
        "title": "Requests as they stream",
        "subtitle": f"{count(len(requests), 'request')} in {last:,.0f} ms, {count(found['num_blocks'], 'block')}",
        "first": 1,
        "last": len(moments),
        "moments": moments,
        "requests": requests,
        "memory": memory,
        "num_blocks": found["num_blocks"],
        "states": STATES,
        "columns": COLUMNS,
        "say": [_words(requests, memory, moments, at) for at in range(len(moments))],
    }


def state(request, now):
    """The place in STATES of what a request does at a time."""
    if now < request["arrival"]:
        return 0
    if request["end"] is not None and now >= request["end"]:
        return ENDS[request["how"]]
    if request["begin"] is None or now < request["begin"]:
        return 1
    return 2 if not request["tokens"] or now < request["tokens"][0] else 3


def tokens_at(request, now):
    """Output tokens that the request has at a time."""
    return bisect_right(request["tokens"], now)


def blocks_at(memory, now):
    """Blocks in use at a time."""
    at = bisect_right([time for time, _ in memory], now)
    return memory[at - 1][1] if at else 0


def _request(at, one):
    keys(f"requests[{at}]", one, FIELDS)
    if one["how"] not in (None, *ENDS):
        raise ParameterError(f"requests[{at}] ended as {one['how']!r}; it has to be {', '.join(ENDS)}, or None.")

    def ms(time):
        return None if time is None else round(1e3 * time, 3)

    def since(time):
        return "–" if time is None else f"{1e3 * (time - one['arrival']):,.1f} ms"

    tokens = [ms(time) for time in one["tokens"]]
    end = None if one["how"] is None else max([ms(one["end"]), *tokens])
    times = one["begin"], one["tokens"][0] if tokens else None, one["end"]
    return {
        "name": str(one["name"]), "prompt": one["num_prompt_tokens"], "arrival": ms(one["arrival"]),
        "begin": ms(one["begin"]), "tokens": tokens, "end": end, "how": one["how"], "cells": [*map(since, times)],
    }  # fmt: skip


def _moments(requests, last):
    """The times that are steps, in order: every arrival, first token and end, and some in between."""
    times = {last} | {round(last * at / LEAST_STEPS, 3) for at in range(LEAST_STEPS)}
    for one in requests:
        times |= {time for time in (one["arrival"], *one["tokens"][:1], one["end"]) if time is not None}
    return sorted(times)


def _words(requests, memory, moments, at):
    now, before = moments[at], moments[at - 1] if at else -1.0
    new = {name: [] for name in ("comes", "first", *ENDS)}
    for one in requests:
        name = request_name(one["name"])
        if before < one["arrival"] <= now and one["how"] != "refused":
            new["comes"].append(name)
        if one["tokens"] and before < one["tokens"][0] <= now:
            new["first"].append(name)
        if one["end"] is not None and before < one["end"] <= now:
            new[one["how"]].append(name)
    texts = {
        "comes": "{} come{s}.", "first": "{} get{s} the first token.", "finished": "{} {is} finished.",
        "cancelled": "The client of {} hangs up: its blocks go back.", "refused": "{} {is} refused.",
    }  # fmt: skip
    said = []
    for what, names in new.items():
        if names:
            one = len(names) == 1
            said.append(texts[what].format(enumerated(names), s="s" * one, **{"is": "is" if one else "are"}))
    states = [state(one, now) for one in requests]
    waiting, streaming = states.count(1), states.count(2) + states.count(3)
    said.append(f"{count(streaming, 'request')} run{'s' * (streaming == 1)}, {waiting:,} wait{'s' * (waiting == 1)}.")
    said.append(f"{count(blocks_at(memory, now), 'block')} in use.")
    return [["strong", f"{now:,.0f} ms."], ["", " " + " ".join(said)]]
