"""Simulates how much memory is wasted if each request gets one contiguous piece of cache, reserved before its length is
known, and how much with pages, on the same requests.

The memory is a row of slots, each for the keys and values of one token. Servers worked like this before paging (arXiv
2309.06180, section 3.1). The names of the kinds of waste are that paper's:

    |<---------------- reserved for request 7 ---------------->|         |<-- request 9 …
    | used: tokens so far | reserved: used later  | internal   | external|
                                                  never used     a hole too small for the request that waits

Plain integers, no torch.
"""

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from course_lib.errors import ParameterError

from .allocator import whole
from .block_table import BlockTable

PARTS = ("used", "reserved", "internal", "external", "free")
"""The states of a slot. "reserved" will be used later, "internal" never; "external" is in a hole too small for the
first request that waits; "free" is the rest."""

PUBLISHED = {
    "Orca (Max)": {"used": 0.204, "reserved": 0.133, "internal": 0.573, "external": 0.089},
    "Orca (Pow2)": {"used": 0.268, "reserved": 0.179, "internal": 0.136, "external": 0.416},
    "Orca (Oracle)": {"used": 0.382, "reserved": 0.252, "internal": 0.0, "external": 0.366},
    "vLLM": {"used": 0.963},
}
"""Average shares of cache memory that the PagedAttention paper measured (arXiv 2309.06180, figure 2). Its "external" is
"external fragmentation and others"."""

OPT_13B_SLOTS = 15_700
"""Slots that OPT-13B has on an A100 with 40 GB (arXiv 2309.06180, table 1)."""


@dataclass(frozen=True)
class Request:
    """One request: the step of its arrival, the tokens of its prompt, and of its output. No server knows the last."""

    id: int
    arrival: int
    prompt: int
    output: int

    @property
    def final(self):
        """Tokens that it holds at its end."""
        return self.prompt + self.output


def draw_requests(count, *, seed=0, mean_prompt=161.31, mean_output=337.99, max_tokens=2048, every=None):
    """`count` Requests with lognormal lengths, at most max_tokens tokens each. The same seed gives the same requests.

    The means are those of the ShareGPT conversations in arXiv 2309.06180, figure 11. Lengths above max_tokens are cut,
    so the mean of the result is a little lower. every: mean number of steps between arrivals; None: all arrive at step
    0.
    """
    if max_tokens < 2 or mean_prompt < 1 or mean_output < 1:
        raise ParameterError(
            f"max_tokens = {max_tokens!r} with means of {mean_prompt!r} and {mean_output!r} tokens: a request has "
            f"a prompt and an output of at least one token each. Give max_tokens of at least 2, means of at least 1."
        )
    draw, time, requests = random.Random(seed), 0.0, []
    for number in range(count):
        prompt = min(_length(draw, mean_prompt), max_tokens - 1)
        output = min(_length(draw, mean_output), max_tokens - prompt)
        requests.append(Request(number, int(time), prompt, output))
        time += draw.expovariate(1 / every) if every else 0.0
    return requests


def _length(draw, mean, sigma=1.0):
    """A lognormal length of at least 1 with about this mean; sigma 1 gives the long tail of real conversations."""
    return max(1, round(mean * draw.lognormvariate(-(sigma**2) / 2, sigma)))


def reserve_maximum(max_tokens):
    """The policy that reserves the longest sequence of the model for every request."""
    return lambda request: max_tokens


def reserve_power_of_two(request):
    """The policy that knows the output length up to the next power of two. Orca (Pow2) in the paper."""
    return request.prompt + (1 << (request.output - 1).bit_length())


def reserve_exact(request):
    """The policy that knows the exact length, which no server can. Orca (Oracle) in the paper."""
    return request.final


def simulate(requests, reserve, capacity, num_steps, *, every=1):
    """Serves the requests in one memory of `capacity` slots, and counts the slots of each state after each step.

    reserve: function from a Request to the number of slots reserved for it, at least `request.final`. every: only every
    so-many-th step is returned.

    In each step finished requests leave first. Then waiting requests start in order of arrival, each with its whole
    prompt in the lowest hole that is large enough (first fit); if the first one does not fit, all wait. Then every
    running request gets one token. A request leaves when it holds `final` tokens.

    Returns a list of dicts, one a step: "time"; "segments" in order of address, each {"request", "start", "reserved"
    (slots), "used" (tokens so far), "final"}; "waiting" (requests that have arrived and not started); and the number of
    slots in each of PARTS, which sum to `capacity`. Raises ParameterError if a policy reserves too few slots, or more
    than there are.
    """
    for name, value in (("capacity", capacity), ("num_steps", num_steps), ("every", every)):
        whole(name, value, at_least=1)
    coming = sorted(requests, key=lambda r: (r.arrival, r.id))
    sizes = {r.id: _reserved(reserve, r, capacity) for r in coming}
    running, kept = [], []  # running: segments, in order of address
    for time in range(num_steps):
        running = [s for s in running if s["used"] < s["final"]]
        while coming and coming[0].arrival <= time:
            start = first_fit(running, sizes[coming[0].id], capacity)
            if start is None:
                break
            r = coming.pop(0)
            running.append(
                {"request": r.id, "start": start, "reserved": sizes[r.id], "used": r.prompt, "final": r.final}
            )
            running.sort(key=lambda s: s["start"])
        for segment in running:
            segment["used"] += segment["used"] < segment["final"]
        if time % every == 0:
            waiting = bisect_right(coming, time, key=lambda r: r.arrival)
            needed = sizes[coming[0].id] if waiting else 0
            kept.append(
                {
                    "time": time,
                    "segments": [dict(s) for s in running],
                    "waiting": waiting,
                    **account(running, capacity, needed),
                }
            )
    return kept


def simulate_paged(requests, allocator, num_steps, *, every=1):
    """Serves the same requests with pages: each takes a new block when its last one is full, and reserves nothing.

    allocator: a new BlockAllocator, or a learner's own. If it has a trace, this is recorded there.

    In each step finished requests leave first. Then every running request gets one token. Then waiting requests start
    in order of arrival, with their prompt and a first token; if the first one does not fit, all wait. If a running
    request finds no block, the newest one is preempted: it waits before all others and starts again with all tokens
    that it had.

    Returns what `simulate` returns. "internal" counts the empty slots of last blocks; "preempted" counts the requests
    that were preempted in this step; "reserved" and "external" are always 0. Raises ParameterError if one request alone
    is larger than the memory.
    """
    capacity = allocator.num_blocks * allocator.block_size
    coming = sorted(requests, key=lambda r: (r.arrival, r.id))
    for r in coming:
        _reserved(lambda r: r.final, r, capacity)
    running, had, kept = [], {}, []  # running: (request, table), the newest last; had: tokens of preempted requests
    trace = getattr(allocator, "trace", None)
    for time in range(num_steps):
        if trace is not None and time:
            trace.next_step()
        for r, table in running:
            if table.num_tokens == r.final:
                table.free()
        running = [(r, table) for r, table in running if table.num_tokens]
        preempted = []
        for place, (_, table) in enumerate(list(running)):
            while place < len(running) and table.append_slots(1) is None:  # only the newest leave
                newest, its_table = running.pop()
                had[newest.id] = its_table.num_tokens
                its_table.free()
                preempted.append(newest)
        coming[:0] = preempted[::-1]
        while coming and coming[0].arrival <= time and not preempted:
            table = BlockTable(allocator, name=coming[0].id)
            if table.append_slots(min(had.get(coming[0].id, coming[0].prompt) + 1, coming[0].final)) is None:
                break
            running.append((coming.pop(0), table))
        if time % every == 0:
            used = sum(table.num_tokens for _, table in running)
            kept.append(
                {
                    "time": time,
                    "segments": [{"request": r.id, "used": table.num_tokens} for r, table in running],
                    "waiting": bisect_left(coming, True, key=lambda r: r.arrival > time),  # the others come later
                    "preempted": len(preempted),
                    "used": used,
                    "reserved": 0,
                    "internal": capacity - allocator.num_free * allocator.block_size - used,
                    "external": 0,
                    "free": allocator.num_free * allocator.block_size,
                }
            )
    return kept


def first_fit(segments, size, capacity):
    """The lowest start at which `size` slots in a row are free, or None. segments: in order of address."""
    return next((start for start, end in holes(segments, capacity) if end - start >= size), None)


def holes(segments, capacity):
    """The free ranges [start, end) between the segments, which are in order of address."""
    edge = 0
    for segment in segments:
        if segment["start"] > edge:
            yield edge, segment["start"]
        edge = segment["start"] + segment["reserved"]
    if edge < capacity:
        yield edge, capacity


def account(segments, capacity, needed):
    """The number of slots in each of PARTS. needed: slots that the first waiting request needs; 0 if none waits."""
    open_slots = [end - start for start, end in holes(segments, capacity)]
    return {
        "used": sum(s["used"] for s in segments),
        "reserved": sum(s["final"] - s["used"] for s in segments),
        "internal": sum(s["reserved"] - s["final"] for s in segments),
        "external": sum(size for size in open_slots if size < needed),
        "free": sum(size for size in open_slots if size >= needed),
    }


def mean_shares(steps):
    """{part: mean share of the memory over these steps, 0 to 1}, and "requests": how many ran at once on average."""
    if not steps:
        raise ParameterError("There is no step to average over. Simulate at least one step.")
    capacity = sum(steps[0][part] for part in PARTS)
    shares = {part: sum(step[part] for step in steps) / (capacity * len(steps)) for part in PARTS}
    return {**shares, "requests": sum(len(step["segments"]) for step in steps) / len(steps)}


def _reserved(reserve, request, capacity):
    size = reserve(request)
    if type(size) is not int or size < request.final:
        raise ParameterError(
            f"The policy reserves {size!r} slots for request {request.id}, which will hold {request.final} tokens and "
            f"would write into the next request's slots. Reserve a whole number of at least request.final."
        )
    if size > capacity:
        raise ParameterError(
            f"The policy reserves {size} slots for request {request.id}, and the memory has {capacity}: it would "
            f"wait for ever, and so would all requests after it. Reserve less, or give more capacity."
        )
    return size
