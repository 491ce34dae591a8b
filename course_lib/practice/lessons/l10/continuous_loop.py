"""Cases of 10.continuous_loop: a whole server. Requests join, write and leave at every step, over one paged cache."""

import random

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_server import SummingModel, alone, paged_cache
from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.running import Raised
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial
from course_lib.practice.report.timeline_text import Timeline

from . import continuous_loop_answers as loops
from .solutions.continuous_loop import ContinuousLoop

CALL, IMPORTS = (
    "serve_loop({answer}, {arrivals}, {setup})",
    "from course_lib.practice.play import Arrival, serve_loop",
)


def serve_loop(
    loop, arrivals, *, max_num_seqs=4, num_blocks=16, block_size=4, eos=None, ignore_eos=False, show="tokens"
):
    """The Timeline of a loop on a script: what each request wrote in each step. The model is a SummingModel.

    eos: its end token, or None. ignore_eos: what all requests ask for. show: "tokens", or "calls": how often the model is called in each step; "free": and how many
    blocks are free at the end.
    """
    arrivals = list(arrivals)
    script = Script(tuple(arrivals))
    model = SummingModel(() if eos is None else (eos,), most_calls=20 * script.most_steps)
    cache = paged_cache(model, num_blocks, block_size)
    made, line = (
        loop(model, cache, max_num_seqs),
        Timeline(numbers={"P": "computes its prompt and writes token {n}", "D": "writes token {n}"}),
    )
    state, new = {}, list(enumerate(arrivals))
    for now in range(script.most_steps):
        for number, arrival in [one for one in new if one[1].step <= now]:
            new.remove((number, arrival))
            request = Request(
                arrival.name,
                prompt_of(number, arrival.prompt),
                SamplingParams(max_tokens=arrival.max_tokens, ignore_eos=ignore_eos),
                arrival=float(now),
            )
            made.add_request(request)
            state[arrival.name] = "W"
        for arrival in arrivals:
            if arrival.abort == now and state.get(arrival.name, "F")[0] not in "FA":
                made.abort(arrival.name)
                state[arrival.name] = "A"
        cells = dict(state)
        state = {name: letter for name, letter in state.items() if letter not in "FA"}
        calls, unfinished = model.calls, made.has_unfinished()
        if unfinished:
            for name, token, reason in outputs_of(made.step(), state):
                cells[name] = ("P" if state[name] == "W" else "D") + str(token)
                state[name] = "F" if reason else "-"
                if reason == "stop":
                    cells[name] += "."
        line.column(cells, {"calls": model.calls - calls} if show == "calls" and unfinished else {})
        if not new and not (state and unfinished):
            break
    if show == "free":
        line.column({}, {"free": cache.allocator.num_free})
    return line


def outputs_of(outputs, state):
    """What a step returned, looked through."""
    if not isinstance(outputs, (list, tuple)) or not all(
        isinstance(one, (list, tuple)) and len(one) == 3 for one in outputs
    ):
        raise CourseError(
            f"step() returned {str(outputs)[:60]}; a list of (request_id, token id, finish_reason or None) is asked for."
        )
    for name, token, reason in outputs:
        if name not in state or state[name] == "F":
            raise CourseError(
                f"step() says that {name!r} wrote token {token}, and nobody of that name is being served."
            )
        if type(token) is not int or reason not in (None, "stop", "length"):
            raise CourseError(
                f'step() says ({name!r}, {token!r}, {reason!r}); the token is an int, and the reason "stop", "length" or None.'
            )
    return outputs


def prompt_of(number, length):
    """The prompt of the script's request of this number."""
    return [(3 + 5 * number + 7 * at) % 31 for at in range(length)]


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


def returns_nothing(answer, found):
    """Whether `step` handed None back."""
    return isinstance(found.outcome, Raised) and found.outcome.message.startswith("step() returned None;")


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
    mistakes=[
        Mistake(
            "`step` returns nothing.",
            "Hand a list of triples over with `return`, one for each request that wrote.",
            is_made_by=returns_nothing,
        ),
        Mistake(
            "all servers share one list.",
            "A list in the body of the class is one list for all objects. Make it in `__init__`: `self.waiting = []`.",
            is_made_by=shares_a_list,
        ),
        Mistake(
            "`ignore_eos` is not looked at.",
            "It says that the model's end tokens are tokens like others.",
            loops.NeverIgnores,
        ),
        Mistake(
            "it waits until the whole batch is done.",
            "That is static batching: new requests stand outside while seats are empty. Let them join in every step.",
            loops.JoinsWhenEmpty,
        ),
        Mistake(
            "who is done keeps its seat until all are done.",
            "A text that is over leaves in that very step; its seat and blocks are the next one's.",
            loops.LeavesTogether,
        ),
        Mistake(
            "who is done leaves a step late.",
            "Look whether it is over when the new token is known, and not at the beginning of the next step.",
            loops.LeavesLate,
        ),
        Mistake(
            "those who run stand still while a prompt is computed.",
            "Put the prompt and the single tokens into one flat batch.",
            loops.Pauses,
        ),
        Mistake(
            "blocks of finished requests are not freed.",
            "The table is gone and the allocator was never told: `table.free()` before you forget it.",
            loops.NeverFrees,
        ),
        Mistake(
            "blocks of an aborted request are not freed.",
            "A request that is given up holds blocks like any other: `table.free()`.",
            loops.KeepsAborted,
        ),
        Mistake(
            "a running request cannot be aborted.", "Look for it among those who run as well.", loops.AbortsWaiting
        ),
        Mistake(
            "a waiting request cannot be aborted.",
            "Look for it among those who wait as well, or it is served although nobody is there.",
            loops.AbortsRunning,
        ),
        Mistake(
            "the model is called for each request by itself.",
            "The weights are read again for each call. Put the tokens of all into one row, and call the model once.",
            loops.OneByOne,
        ),
        Mistake(
            "positions count through the whole row.",
            "Each request counts in its own text. `begin_step` returns the right ones.",
            loops.CountsThrough,
        ),
        Mistake(
            "positions begin at 0 in each step.",
            "The newest token stands at the end of its text. `begin_step` returns the right ones.",
            loops.FromZero,
        ),
        Mistake(
            "the next token is read from the first row of a request.",
            "The last row of a prompt has seen all of it: only that one says what comes next.",
            loops.FirstRows,
        ),
        Mistake(
            "row i of the logits is taken for request i.",
            "A prompt brings as many rows as tokens. Find the last row of each, `cu_seqlens_q[i + 1] - 1`.",
            loops.RowOfRequest,
        ),
        Mistake(
            "tokens go to the wrong requests.",
            "Rows come back in the order in which the tables and tokens went in. Keep one order.",
            loops.OtherTables,
        ),
        Mistake(
            "the end token is not looked at.",
            "Ask `model.config.eos_token_ids`: a text that is over goes on with nonsense.",
            loops.NoEnd,
        ),
        Mistake(
            "the prompt counts towards `max_tokens`.",
            "Count what was written: the tokens after `num_prompt_tokens`.",
            loops.PromptCounts,
        ),
        Mistake("a text gets one token too many.", "With max_tokens=1 it is over after one token.", loops.OneMore),
        Mistake(
            "memory is not looked at.",
            "`append_slots` says None where no block is free, and the step cannot go on. Do not let a request join "
            "whose blocks are not left.",
            loops.Crowded,
        ),
        Mistake("more than `max_num_seqs` run.", "Those who run and those who join count together.", loops.NoSeats),
        Mistake(
            "`has_unfinished` forgets those who wait.",
            "While somebody waits there is something to do.",
            loops.OnlyRunning,
        ),
    ],
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
    rights=[ContinuousLoop, loops.Everything],
    why="Forty lines, and it serves any number of requests with one call of the model a step. The course's engine has the same "
    "parts, each in a file of its own: `scheduler.py` chooses, `runner.py` packs and runs, `engine.py` ends texts. What "
    "it adds: a token budget, pieces of prompts, shared prefixes, and preemption instead of reserving (lesson 11).",
)
