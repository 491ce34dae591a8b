"""The exercise 10.continuous_loop: a whole server over one cache. In any step requests are admitted, decode and end."""

import random

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.practice.fixtures.tiny_server import SummingModel, alone, paged_cache
from course_lib.practice.judge.exercise import Exercise, Property, Trial
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial

from .continuous_loop_answers import Everything
from .continuous_loop_game import prompt_of, serve_loop
from .continuous_loop_mistakes import MISTAKES
from .solutions.continuous_loop import ContinuousLoop

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


def plan(*arrivals, max_num_seqs=4, num_blocks=16, block_size=4, note="", **setup):
    """The Trial of a script. arrivals: (step, prompt, max_tokens[, step of the abort]), named a, b, c."""
    named = tuple(
        Arrival(name, *one[:3], abort=one[3] if len(one) > 3 else None) for name, one in zip("abcdefgh", arrivals)
    )
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


_chance = random.Random(3)
MIXED = [
    of(random_script(_chance, setup, aborts=0.25))
    for setup in [
        {"max_num_seqs": most, "num_blocks": blocks, "block_size": size}
        for most, blocks, size in ((2, 16, 4), (3, 5, 4), (4, 8, 2))
    ]
    * 3
]


CONTINUOUS_LOOP = Exercise(
    id="10.continuous_loop",
    title="A server that never waits for a batch",
    name="ContinuousLoop",
    cases="scripts",
    properties=[
        Property(
            "One request alone gets the tokens of `generate_naive`",
            "Whatever is done for speed, the tokens must be the same.",
            ALONE,
        ),
        Property(
            "Requests are admitted in any step, and each gets the tokens that it would get alone",
            "Requests of a batch do not influence each other: tokens, block tables and positions are separate.",
            JOIN,
        ),
        Property(
            "At most `max_num_seqs` run, and one that has ended is replaced in the next step",
            "With fewer requests than allowed, a step gives fewer tokens for the same reading of the weights.",
            FULL,
        ),
        Property(
            "The model's end token ends a sequence, and so does `max_tokens`",
            'The reason is returned: "stop" or "length".',
            ENDS,
        ),
        Property(
            "A request whose blocks are not free waits, and gets the blocks of requests that have ended",
            "Blocks that are not freed are lost: after a while no request fits any more.",
            ROOM,
        ),
        Property(
            "`abort` ends a request wherever it is",
            "A client has closed the connection. Its place in the batch and its blocks are free for others.",
            ABORT,
        ),
        Property(
            "The model is called once in each step",
            "All requests share one reading of the weights. This is what a batch is for.",
            CALLS,
        ),
        Property(
            "At the end all blocks are free",
            "If blocks are lost, the server is full after some hours although no request runs.",
            FREE,
        ),
        Property(
            "Without requests, `step` returns []",
            "A server calls `step` again and again, also without requests. The model has nothing to compute.",
            [idle(1, 1), idle(3, 2)],
        ),
        Property(
            "Each server has requests of its own",
            "Each test makes a new server, and a program that serves two models makes two.",
            [beside(1), beside(4)],
        ),
        Property("Any mixture of these", "Requests arrive, wait, run and are aborted at any time.", MIXED),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep three things: a list of waiting requests, a list of running requests, and a BlockTable for each "
        "running request. `add_request` adds to the first list.",
        "In `step`: let your `step` function choose the requests. A new request gets a "
        "`BlockTable(self.cache.allocator)`; each request gets slots for its n tokens with "
        "`table.append_slots(n)`.",
        "Then, once for all requests: `positions = self.cache.begin_step(tables, counts)`, and one call of the "
        "model with the flat row of tokens. Your `pack` makes that row, and returns which rows of the logits you "
        "need.",
        "For each request: n more tokens are computed, the new token is appended to `token_ids`, and "
        "`stop_conditions` returns whether the sequence ends. If so, remove it from `running` and call "
        "`table.free()`.",
        "For a running request, `abort` does the same as the end of a sequence. A waiting request holds no "
        "blocks, and is only removed from the list.",
    ],
    rights=[ContinuousLoop, Everything],
    why="These forty lines serve any number of requests with one call of the model per step. The course's engine has "
    "the same parts, each in a file of its own: `scheduler.py` chooses, `runner.py` packs and runs, `engine.py` "
    "ends sequences. The engine also has a token budget, chunked prefill, shared prefixes, and preemption in "
    "place of reserving (lesson 11).",
)
