"""The trials of 10.continuous_loop: scripts of requests, and programs that look at a request or at two servers."""

import random

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.practice.fixtures.tiny_server import SummingModel, alone, paged_cache
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial

from .continuous_loop_game import prompt_of, serve_loop

CALL, IMPORTS = (
    "serve_loop({answer}, {arrivals}, {setup})",
    "from course_lib.practice.play import Arrival, serve_loop",
)


def play(answer, script):
    return serve_loop(answer, script.arrivals, **script.setup)


def of(script, note=""):
    return script_trial(
        play, script, CALL, "ContinuousLoop", imports=IMPORTS, note=note, least={"eos": 10**9, "ignore_eos": 10**9}
    )


def plan(*arrivals, max_num_seqs=4, num_blocks=16, block_size=4, note="", names="abcdefgh", **setup):
    """The Trial of a script. arrivals: (step, prompt, max_tokens[, step of the abort]), named a, b, c."""
    named = tuple(Arrival(name, *one[:3], abort=one[3] if len(one) > 3 else None) for name, one in zip(names, arrivals))
    return of(
        Script(named, {"max_num_seqs": max_num_seqs, "num_blocks": num_blocks, "block_size": block_size, **setup}), note
    )


def ending(at, *arrivals, **setup):
    """The Trial in which the end token of the model is output token `at` of the first request, counted from 0."""
    return plan(*arrivals, eos=alone(tuple(prompt_of(0, arrivals[0][1])), 20)[at], **setup)


ALONE = [plan((0, 1, 1)), plan((0, 2, 3)), plan((0, 5, 4)), plan((1, 3, 6)), plan((0, 8, 2), block_size=3)]
JOIN = [
    plan((0, 2, 4), (1, 3, 2)),
    plan((0, 2, 3), (0, 4, 3)),
    plan((0, 3, 6), (2, 5, 3)),
    plan((0, 3, 5), (1, 1, 5), (3, 2, 4)),
    plan((0, 4, 3), (0, 2, 5), (2, 6, 4)),
    plan((0, 2, 4), (0, 3, 4), names="ba"),
    plan((0, 3, 4), (1, 2, 3), names="ba"),
    plan((0, 1, 3), (0, 4, 4), (1, 2, 3), names="cab"),
]
FULL = [
    plan((0, 2, 2), (0, 2, 2), max_num_seqs=1),
    plan((0, 2, 1), (0, 3, 4), (0, 2, 2), max_num_seqs=2),
    plan((0, 2, 2), (1, 3, 4), (1, 2, 3), (1, 4, 2), max_num_seqs=2),
]
ENDS = [
    ending(1, (0, 2, 9)),
    ending(0, (0, 3, 4)),
    ending(2, (0, 4, 9), (1, 3, 5)),
    ending(1, (0, 2, 2)),
    ending(1, (0, 5, 6), (0, 2, 6), max_num_seqs=1),
    ending(1, (0, 2, 4), ignore_eos=True),
    ending(0, (0, 3, 3), (1, 2, 2), ignore_eos=True),
    ending(1, (0, 4, 5), (0, 1, 3), ignore_eos=True),
]
ROOM = [
    plan((0, 4, 5), (0, 4, 5), num_blocks=3),
    plan((0, 2, 7), (1, 2, 7), (1, 5, 3), num_blocks=4),
    plan((0, 3, 4), (0, 3, 4), (0, 3, 4), num_blocks=4),
    plan((0, 6, 3), (0, 6, 3), (2, 1, 4), num_blocks=3),
    plan((0, 4, 4), (1, 4, 4), (2, 4, 4), (3, 4, 4), num_blocks=2),
]
ABORT = [
    plan((0, 2, 8, 2)),
    plan((0, 2, 4), (0, 2, 4, 1), max_num_seqs=1),
    plan((0, 2, 6, 2), (0, 3, 4), max_num_seqs=1),
    plan((0, 4, 5, 2), (1, 4, 5), num_blocks=2),
    plan((0, 2, 5), (1, 3, 6, 3), (1, 2, 4, 2)),
    plan((0, 3, 6, 3), (0, 2, 3, 1), (0, 4, 3), max_num_seqs=1),
    plan((0, 4, 5, 3), (1, 4, 5, 2), (1, 4, 5), num_blocks=2),
]
CALLS = [
    plan((0, 2, 3), (0, 3, 2), show="calls"),
    plan((0, 2, 4), (1, 5, 3), show="calls"),
    plan((0, 1, 3), (0, 2, 3), (1, 3, 3), show="calls"),
]
FREE = [
    plan((0, 5, 2), show="free"),
    plan((0, 5, 4), (1, 2, 3), show="free"),
    plan((0, 5, 6, 3), show="free"),
    plan((0, 2, 3), (0, 6, 6, 2), show="free"),
    plan((0, 6, 6, 2), (2, 3, 3, 4), show="free"),
]
TINY = ["from course_lib.practice.play import SummingModel, paged_cache", "model = SummingModel()"]


def up_to_date(*sequences, steps=1, num_blocks=8):
    """The Trial that looks at the requests after some steps. sequences: (name, prompt, max_tokens)."""

    def act(answer):
        model = SummingModel()
        server = answer(model, paged_cache(model, num_blocks, 4), 4)
        requests = [Request(name, list(ids), SamplingParams(max_tokens=n)) for name, ids, n in sequences]
        for request in requests:
            server.add_request(request)
        for _ in range(steps):
            server.step()
        return [(request.token_ids, request.num_computed_tokens) for request in requests]

    names = ", ".join(name for name, *_ in sequences)
    made = [f"{name} = Request({name!r}, {ids}, SamplingParams(max_tokens={n}))" for name, ids, n in sequences]
    return Trial(
        [
            *TINY,
            f"server = ContinuousLoop(model, paged_cache(model, {num_blocks}, 4), max_num_seqs=4)",
            *made,
            *(f"server.add_request({name})" for name, *_ in sequences),
            *["server.step()"] * steps,
            f"[(r.token_ids, r.num_computed_tokens) for r in [{names}]]",
        ],
        act,
        size=100 * steps + 10 * len(sequences) + sum(len(ids) for _, ids, _ in sequences),
    )


UP_TO_DATE = [
    up_to_date(("a", [5, 6, 7], 3)),
    up_to_date(("a", [5], 2)),
    up_to_date(("a", [5, 6], 1)),
    up_to_date(("a", [5, 6, 7, 8], 4), ("b", [9, 3], 3)),
    up_to_date(("a", [5, 6, 7, 8, 9], 4), steps=2),
    up_to_date(("a", [5, 6], 4), ("b", [9, 3, 4], 2), steps=3),
]


def aborted_at_once(*sequences, name="a", steps=1, num_blocks=8, note="before the next step"):
    """The Trial that looks at a server between `abort` and the next step. sequences: (name, prompt, max_tokens)."""

    def act(answer):
        model = SummingModel()
        cache = paged_cache(model, num_blocks, 4)
        server = answer(model, cache, 1)
        for request_id, ids, n in sequences:
            server.add_request(Request(request_id, list(ids), SamplingParams(max_tokens=n)))
        for _ in range(steps):
            server.step()
        server.abort(name)
        return bool(server.has_unfinished()), cache.allocator.num_free

    return Trial(
        [
            *TINY,
            f"cache = paged_cache(model, {num_blocks}, 4)",
            "server = ContinuousLoop(model, cache, max_num_seqs=1)",
            *(
                f"server.add_request(Request({request_id!r}, {ids}, SamplingParams(max_tokens={n})))"
                for request_id, ids, n in sequences
            ),
            *["server.step()"] * steps,
            f"server.abort({name!r})",
            "server.has_unfinished(), cache.allocator.num_free",
        ],
        act,
        note=note,
        size=10**5 + 100 * steps + 10 * len(sequences),
    )


AT_ONCE = [
    aborted_at_once(("a", [5, 6, 7], 4)),
    aborted_at_once(("a", [5, 6], 4), steps=0),
    aborted_at_once(("a", [5, 6, 7, 8, 9], 6), ("b", [4, 3], 2), steps=2),
    aborted_at_once(("a", [5, 6], 3), ("b", [4, 3], 2), name="b"),
    aborted_at_once(("a", [5, 6, 7], 1), note="it has finished already"),
    aborted_at_once(("a", [5, 6, 7], 4), name="z", note="there is no request z"),
]


def idle(max_num_seqs, times):
    """The Trial of a server whose `step` is called without any request."""

    def act(answer):
        model = SummingModel()
        server = answer(model, paged_cache(model, 4, 4), max_num_seqs)
        return [list(server.step()) for _ in range(times)]

    return Trial(
        [
            *TINY,
            f"server = ContinuousLoop(model, paged_cache(model, 4, 4), max_num_seqs={max_num_seqs})",
            f"[server.step() for _ in range({times})]",
        ],
        act,
        note="there is no request",
        size=max_num_seqs + times,
    )


def beside(max_num_seqs):
    """The Trial of an empty server while another server holds a request."""

    def act(answer):
        model = SummingModel()
        busy, server = (answer(model, paged_cache(model, 4, 4), max_num_seqs) for _ in range(2))
        busy.add_request(Request("a", [5, 6], SamplingParams(max_tokens=2)))
        return server.has_unfinished()

    return Trial(
        [
            *TINY,
            "busy, server = "
            f"(ContinuousLoop(model, paged_cache(model, 4, 4), max_num_seqs={max_num_seqs}) for _ in range(2))",
            'busy.add_request(Request("a", [5, 6], SamplingParams(max_tokens=2)))',
            "server.has_unfinished()",
        ],
        act,
        note="`a` waits in the other server",
        size=max_num_seqs,
    )


def same_names(steps):
    """The Trial of two servers that serve requests of one name in turn."""

    def act(answer):
        model = SummingModel()
        servers = [answer(model, paged_cache(model, 4, 4), 2) for _ in range(2)]
        for server, ids in zip(servers, ([5, 6], [7, 8, 9])):
            server.add_request(Request("a", ids, SamplingParams(max_tokens=4)))
        return [list(map(tuple, server.step())) for _ in range(steps) for server in servers]

    return Trial(
        [
            *TINY,
            "one, other = (ContinuousLoop(model, paged_cache(model, 4, 4), max_num_seqs=2) for _ in range(2))",
            'one.add_request(Request("a", [5, 6], SamplingParams(max_tokens=4)))',
            'other.add_request(Request("a", [7, 8, 9], SamplingParams(max_tokens=4)))',
            f"[server.step() for _ in range({steps}) for server in (one, other)]",
        ],
        act,
        size=10 * steps,
    )


IDLE = [idle(1, 1), idle(2, 1), idle(3, 2)]
TWO_SERVERS = [beside(1), beside(4), same_names(1), same_names(2), same_names(3)]
_chance = random.Random(3)
MIXED = [
    of(random_script(_chance, setup, aborts=0.25))
    for setup in [
        {"max_num_seqs": most, "num_blocks": blocks, "block_size": size}
        for most, blocks, size in ((2, 16, 4), (3, 5, 4), (4, 8, 2))
    ]
    * 3
]
