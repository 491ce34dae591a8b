"""What is lost when each request gets one contiguous piece of cache, reserved before anybody knows how long it will grow;
and what is lost with pages, on the same requests.

The memory is a row of slots, one token's keys and values each. This is how servers did it before paging (arXiv 2309.06180,
section 3.1), and the words for what is lost are that paper's:

    |<---------------- reserved for request 7 ---------------->|         |<-- request 9 …
    | used: tokens so far | reserved: yet to come | internal   | external|
                                                  never used     a hole too small for the request that waits

Plain integers, no torch.
"""

import random
from dataclasses import dataclass

from course_lib.errors import ParameterError

from .block_table import BlockTable

PARTS = ("used", "reserved", "internal", "external", "free")
"""What a slot can be. "reserved" will be used later, "internal" never, "external" is a hole that does not help whoever waits,
"free" is the rest."""

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
    """One request: when it comes (a step), tokens in its prompt, tokens it will write. A server does not know the last."""

    id: int
    arrival: int
    prompt: int
    output: int

    @property
    def final(self):
        """Tokens it holds at its end."""
        return self.prompt + self.output


def draw_requests(count, *, seed=0, mean_prompt=161.31, mean_output=337.99, max_tokens=2048, every=None):
    """`count` Requests with lognormal lengths, of 1 to max_tokens tokens in all; the same seed draws the same.

    The means are those of the ShareGPT conversations in arXiv 2309.06180, figure 11; lengths above max_tokens are cut, so
    that the mean that comes out is a little lower. every: mean steps between arrivals; None: all are there from the start.
    """
    if max_tokens < 2 or mean_prompt < 1 or mean_output < 1:
        raise ParameterError(
            f"max_tokens = {max_tokens!r} with means of {mean_prompt!r} and {mean_output!r} tokens: a request has "
            f"a prompt and an output of at least one token each. Give a max_tokens of at least 2, and means of 1."
        )
    draw, time, requests = random.Random(seed), 0.0, []
    for number in range(count):
        prompt = min(_length(draw, mean_prompt), max_tokens - 1)
        output = min(_length(draw, mean_output), max_tokens - prompt)
        requests.append(Request(number, int(time), prompt, output))
        time += draw.expovariate(1 / every) if every else 0.0
    return requests


def _length(draw, mean, sigma=1.0):
    """A lognormal length of at least 1 with about this mean; sigma 1 has the long tail that conversations have."""
    return max(1, round(mean * draw.lognormvariate(-(sigma**2) / 2, sigma)))


def reserve_maximum(max_tokens):
    """The policy that reserves the longest text that the model takes, for everybody."""
    return lambda request: max_tokens


def reserve_power_of_two(request):
    """The policy that guesses the output well: its true length, rounded up to a power of two. After Orca (Pow2) in the paper."""
    return request.prompt + (1 << (request.output - 1).bit_length())


def reserve_exact(request):
    """The policy that knows the true length: no server can do this. Orca (Oracle) in the paper."""
    return request.final


def simulate(requests, reserve, capacity, num_steps, *, every=1):
    """Serves the requests in one memory of `capacity` slots and says at each step where the slots went.

    reserve: function from a Request to the slots reserved for it, at least `request.final`.
    every: keep each so-many-th step only.

    In each step the finished leave first. Then the waiting come in, in order of arrival, each into
    the lowest hole that is large enough (first fit), with its whole prompt; where the first does not
    fit, those behind it wait as well. Then every running request writes one token. A request leaves
    when it holds `final` tokens.

    Returns a list of dicts, one a step: "time"; "segments" in order of address, each {"request",
    "start", "reserved" (slots), "used" (tokens so far), "final"}; "waiting" (requests that have come
    and not begun); and slots by PARTS, which sum to `capacity`. Raises ParameterError where a policy
    reserves too little, or more than there is.
    """
    for name, value in (("capacity", capacity), ("num_steps", num_steps), ("every", every)):
        if type(value) is not int or value < 1:
            raise ParameterError(f"{name} is {value!r}, but it counts something. Give a whole number of at least 1.")
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
            waiting = [r for r in coming if r.arrival <= time]
            needed = sizes[waiting[0].id] if waiting else 0
            kept.append(
                {
                    "time": time,
                    "segments": [dict(s) for s in running],
                    "waiting": len(waiting),
                    **account(running, capacity, needed),
                }
            )
    return kept


def simulate_paged(requests, allocator, num_steps, *, every=1):
    """Serves the same requests with pages: each takes a block when its last one is full, and reserves nothing.

    allocator: a fresh BlockAllocator, or a learner's own; what happens joins its trace, if it has one.

    In each step the finished leave, then every running request writes a token, and then the waiting
    come in, in order of arrival, with their prompt and a first token; where the first does not fit,
    those behind it wait as well. A running request that finds no block takes those of the newest,
    which waits in front of the others and then begins again with all the tokens it had.

    Returns what `simulate` returns; "internal" are the empty slots of last blocks, and "preempted"
    counts the requests that were thrown out in this step. "reserved" and "external" are always 0.
    Raises ParameterError where a request alone is larger than memory.
    """
    capacity = allocator.num_blocks * allocator.block_size
    coming = sorted(requests, key=lambda r: (r.arrival, r.id))
    for r in coming:
        _reserved(lambda r: r.final, r, capacity)
    running, had, kept, trace = (
        [],
        {},
        [],
        getattr(allocator, "trace", None),
    )  # running: [request, table], the newest last
    for time in range(num_steps):
        if trace is not None and time:
            trace.next_step()
        for r, table in running:
            if table.num_tokens == r.final:
                table.free()
        running = [(r, table) for r, table in running if table.num_tokens]
        thrown_out = []
        for r, table in list(running):
            while (r, table) in running and table.append_slots(1) is None:
                newest, its_table = running.pop()
                had[newest.id] = its_table.num_tokens
                its_table.free()
                thrown_out.append(newest)
        coming[:0] = thrown_out[::-1]
        while coming and coming[0].arrival <= time and not thrown_out:
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
                    "waiting": sum(r.arrival <= time for r in coming),
                    "preempted": len(thrown_out),
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
    """The free stretches [start, end) between the segments, which are in order of address."""
    edge = 0
    for segment in segments:
        if segment["start"] > edge:
            yield edge, segment["start"]
        edge = segment["start"] + segment["reserved"]
    if edge < capacity:
        yield edge, capacity


def account(segments, capacity, needed):
    """Slots by PARTS. needed: slots that the first waiting request asks for, 0 where nobody waits."""
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
        raise ParameterError("There is no step to average over. Simulate at least one.")
    capacity = sum(steps[0][part] for part in PARTS)
    shares = {part: sum(step[part] for step in steps) / (capacity * len(steps)) for part in PARTS}
    return {**shares, "requests": sum(len(step["segments"]) for step in steps) / len(steps)}


def _reserved(reserve, request, capacity):
    size = reserve(request)
    if type(size) is not int or size < request.final:
        raise ParameterError(
            f"The policy reserves {size!r} slots for request {request.id}, which will hold {request.final} tokens and "
            f"would write into its neighbour. Reserve a whole number of at least request.final."
        )
    if size > capacity:
        raise ParameterError(
            f"The policy reserves {size} slots for request {request.id}, and the memory has {capacity}: it would "
            f"wait for ever, and everybody behind it. Reserve less, or give more capacity."
        )
    return size
