"""Cases of 10.continuous_loop: a whole server. Requests join, write and leave at every step, over one paged cache."""

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
    """The Trial of a script. arrivals: (step, prompt, max_tokens) or with the step of its abort, named a, b, c."""
    named = tuple(
        Arrival(name, *one[:3], abort=one[3] if len(one) > 3 else None) for name, one in zip("abcdefgh", arrivals)
    )
    return of(
        Script(named, {"max_num_seqs": max_num_seqs, "num_blocks": num_blocks, "block_size": block_size, **setup}), note
    )


def ending(at, *arrivals, **setup):
    """The Trial in which the model's end token is what the first request writes at place `at`, counted from 0."""
    return plan(*arrivals, eos=alone(tuple(prompt_of(0, arrivals[0][1])), 20)[at], **setup)


ALONE = [plan((0, 1, 1)), plan((0, 2, 3)), plan((0, 5, 4)), plan((1, 3, 6)), plan((0, 8, 2), block_size=3)]
JOIN = [
    plan((0, 2, 4), (1, 3, 2)),
    plan((0, 2, 3), (0, 4, 3)),
    plan((0, 3, 6), (2, 5, 3)),
    plan((0, 3, 5), (1, 1, 5), (3, 2, 4)),
    plan((0, 4, 3), (0, 2, 5), (2, 6, 4)),
]
SEATS = [
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


def idle(seats, times):
    """The Trial of a server that is asked for a step with nobody there."""

    def act(answer):
        model = SummingModel()
        server = answer(model, paged_cache(model, 4, 4), seats)
        return [list(server.step()) for _ in range(times)]

    return Trial(
        [
            *TINY,
            f"server = ContinuousLoop(model, paged_cache(model, 4, 4), max_num_seqs={seats})",
            f"[server.step() for _ in range({times})]",
        ],
        act,
        note="nobody is there",
        size=seats + times,
    )


def beside(seats):
    """The Trial of a server beside which another one holds a request."""

    def act(answer):
        model = SummingModel()
        busy, server = (answer(model, paged_cache(model, 4, 4), seats) for _ in range(2))
        busy.add_request(Request("a", [5, 6], SamplingParams(max_tokens=2)))
        return server.has_unfinished()

    return Trial(
        [
            *TINY,
            f"busy, server = (ContinuousLoop(model, paged_cache(model, 4, 4), max_num_seqs={seats}) for _ in range(2))",
            'busy.add_request(Request("a", [5, 6], SamplingParams(max_tokens=2)))',
            "server.has_unfinished()",
        ],
        act,
        note="`a` is the other's",
        size=seats,
    )


_chance = random.Random(3)
MIXED = [
    of(random_script(_chance, setup, aborts=0.25))
    for setup in [
        {"max_num_seqs": seats, "num_blocks": blocks, "block_size": size}
        for seats, blocks, size in ((2, 16, 4), (3, 5, 4), (4, 8, 2))
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
            "Whatever is done for speed, the text must be the same.",
            ALONE,
        ),
        Property(
            "Requests join in any step, and each writes what it would write alone",
            "Others in the batch are strangers: their tokens, tables and positions are their own.",
            JOIN,
        ),
        Property(
            "At most `max_num_seqs` run, and who is done makes room for the very next step",
            "An empty seat computes nothing for anybody.",
            SEATS,
        ),
        Property(
            "The model's end token ends a text, and so does `max_tokens`",
            'And the reason is told: "stop" or "length".',
            ENDS,
        ),
        Property(
            "Who finds no room in memory waits, and takes the blocks of those who left",
            "Blocks that are not freed are lost: after a while nobody fits any more.",
            ROOM,
        ),
        Property(
            "`abort` ends a request wherever it is",
            "A client has closed the window. Its seat and its blocks are for others.",
            ABORT,
        ),
        Property(
            "The model is called once in each step",
            "All requests share one reading of the weights. That is what a batch is for.",
            CALLS,
        ),
        Property(
            "In the end all blocks are free",
            "Blocks that are lost show up an hour later, as a server that is full of nothing.",
            FREE,
        ),
        Property(
            "With nobody to serve, a step gives []",
            "A server is asked again and again, at night too. There is nothing to push through the model.",
            [idle(1, 1), idle(3, 2)],
        ),
        Property(
            "Each server has requests of its own",
            "Tests make a new one each time, and so does whoever serves two models.",
            [beside(1), beside(4)],
        ),
        Property("Any mixture of these", "Requests come, wait, run and are given up at any time.", MIXED),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep three things: a list of who waits, a list of who runs, and a BlockTable for each who runs. `add_request` adds to the first.",
        "In `step`: let your `step` function say who runs. A new one gets a `BlockTable(self.cache.allocator)`; each gets slots for its n "
        "tokens with `table.append_slots(n)`.",
        "Then once for all: `positions = self.cache.begin_step(tables, counts)`, and the model with the flat row of tokens. Your `pack` "
        "makes that row, and says which rows of the logits you need.",
        "For each request: n tokens more are computed, the new token joins `token_ids`, and `stop_conditions` says whether it is "
        "over. If so: out of `running`, and `table.free()`.",
        "`abort` does the same as the end of a text, for a running request; one that waits holds no blocks, and only leaves the list.",
    ],
    rights=[ContinuousLoop, Everything],
    why="Forty lines, and it serves any number of requests with one call of the model a step. The course's engine has the same "
    "parts, each in a file of its own: `scheduler.py` chooses, `runner.py` packs and runs, `engine.py` ends texts. What "
    "it adds: a token budget, pieces of prompts, shared prefixes, and preemption instead of reserving (lesson 11).",
)
