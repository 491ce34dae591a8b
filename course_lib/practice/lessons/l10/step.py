"""The exercise 10.step: which requests are admitted, and how many tokens each request computes."""

import random

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial

from .solutions.step import step
from .step_game import scheduler_of_step
from .step_mistakes import MISTAKES


def step_by_index(waiting, running, num_blocks, block_size, max_num_seqs):
    """Finds first how many requests can be admitted."""

    def blocks(requests):
        return sum((r.num_prompt_tokens + r.params.max_tokens - 2) // block_size + 1 for r in requests)

    joining = 0
    while (
        joining < len(waiting)
        and len(running) + joining < max_num_seqs
        and blocks(running) + blocks(waiting[: joining + 1]) <= num_blocks
    ):
        joining += 1
    return [[r, len(r.token_ids) - r.num_computed_tokens] for r in waiting[:joining] + running]


def step_in_passing(waiting, running, num_blocks, block_size, max_num_seqs):
    """One loop over all requests, the running ones first."""
    import math

    plan, used = [], 0
    for number, request in enumerate([*running, *waiting]):
        most = request.num_prompt_tokens + request.params.max_tokens - 1
        used += math.ceil(most / block_size)
        if number >= len(running) and (number >= max_num_seqs or used > num_blocks):
            return plan
        plan.append((request, 1 if request.num_computed_tokens else request.num_prompt_tokens))
    return plan


CALL, IMPORTS = (
    "replay(scheduler_of_step({answer}), {arrivals}, {setup})",
    "from course_lib.practice.play import Arrival, replay, scheduler_of_step",
)


def play(answer, script):
    return replay(scheduler_of_step(answer), script.arrivals, **script.setup)


def plan(*arrivals, max_num_seqs=4, num_blocks=16, block_size=4, note=""):
    """The Trial of a script. arrivals: (step, prompt, max_tokens), named a, b, c."""
    named = tuple(Arrival(name, *one) for name, one in zip("abcdefgh", arrivals))
    return of(Script(named, {"max_num_seqs": max_num_seqs, "num_blocks": num_blocks, "block_size": block_size}), note)


def of(script, note=""):
    return script_trial(play, script, CALL, "step", imports=IMPORTS, note=note, more=needs)


def needs(script):
    """How many blocks each request may need, in words."""
    size, there = script.setup["block_size"], script.setup["num_blocks"]
    blocks = [f"`{a.name}` {-(-(a.prompt + a.max_tokens - 1) // size)}" for a in script.arrivals]
    return (
        f"Blocks of {size} token{'s' * (size > 1)} that each request may need: {', '.join(blocks)}; there are {there}."
    )


def untouched(*arrivals, running=0):
    """The Trial that compares the two lists after a call."""

    def made():
        requests = [
            Arrival(name, 0, *one).request(number) for number, (name, one) in enumerate(zip("abcdefgh", arrivals))
        ]
        for request in requests[:running]:
            request.num_computed_tokens = request.num_prompt_tokens
            request.token_ids.append(500)
        return requests[running:], requests[:running]

    def act(answer):
        waiting, runs = made()
        answer(waiting, runs, 16, 4, 4)
        return (
            [r.request_id for r in waiting],
            [r.request_id for r in runs],
            [(r.num_tokens, r.num_computed_tokens) for r in [*waiting, *runs]],
        )

    names = "abcdefgh"[: len(arrivals)]
    lines = [
        "from course_lib.practice.play import Arrival",
        *(f"{name} = {Arrival(name, 0, *one)}.request()" for name, one in zip(names, arrivals)),
        *(
            f"{name}.num_computed_tokens = {arrivals[i][0]}; {name}.token_ids.append(500)"
            for i, name in enumerate(names[:running])
        ),
        f"waiting, running = [{', '.join(names[running:])}], [{', '.join(names[:running])}]",
        "step(waiting, running, num_blocks=16, block_size=4, max_num_seqs=4)",
        "waiting, running",
    ]
    return Trial(lines, act, show=lambda seen: f"waiting: {seen[0]}, running: {seen[1]}", size=len(arrivals))


ALONE = [
    plan((0, 1, 1)),
    plan((0, 1, 3)),
    plan((0, 3, 2)),
    plan((1, 5, 4)),
    plan((0, 9, 3)),
    plan((2, 2, 1)),
    plan((0, 4, 6)),
]
JOIN = [
    plan((0, 2, 4), (1, 3, 2)),
    plan((0, 2, 6), (2, 5, 3)),
    plan((0, 3, 2), (0, 4, 3)),
    plan((0, 3, 5), (1, 1, 5), (2, 2, 5)),
    plan((0, 2, 8), (3, 7, 2), (3, 4, 4)),
    plan((0, 4, 3), (0, 2, 2), (0, 6, 4)),
]
FULL = [
    plan((0, 2, 3), (0, 2, 2), max_num_seqs=1),
    plan((0, 2, 2), (1, 3, 2), max_num_seqs=1),
    plan((0, 2, 4), (0, 3, 2), (0, 2, 3), max_num_seqs=2),
    plan((0, 2, 2), (0, 3, 4), (1, 2, 3), (1, 4, 2), max_num_seqs=2),
    plan((0, 1, 5), (0, 2, 4), (0, 3, 3), (0, 4, 2), (0, 5, 1), max_num_seqs=3),
    plan((0, 2, 3), (1, 2, 3), (1, 3, 3), max_num_seqs=2),
    plan((0, 1, 2), (1, 1, 2), (1, 1, 2), (1, 1, 2), max_num_seqs=2),
]
ROOM = [
    plan((0, 4, 5), (0, 4, 1), num_blocks=2),
    plan((0, 4, 1), (0, 4, 2), num_blocks=2),
    plan((0, 2, 7), (1, 2, 7), num_blocks=3),
    plan((0, 2, 2), (0, 2, 2), (0, 2, 2), num_blocks=2),
    plan((0, 3, 6), (1, 3, 6), num_blocks=3),
    plan((0, 5, 4), (1, 5, 4), (2, 1, 4), num_blocks=5),
    plan((0, 1, 4), (0, 1, 4), num_blocks=1),
    plan((0, 3, 3), (1, 3, 1), (1, 2, 2), num_blocks=3, block_size=2),
    plan((0, 5, 4), num_blocks=2, note="8 tokens need slots: the last token is never computed"),
    plan((0, 4, 9), num_blocks=3),
    plan((0, 1, 4), (0, 4, 1), num_blocks=2),
    plan((0, 2, 2), (0, 2, 2), num_blocks=3, block_size=2),
    plan((0, 9, 2), (0, 2, 5), num_blocks=4),
    plan((0, 3, 1), (0, 3, 1), (0, 3, 1), num_blocks=2),
    plan((0, 1, 3), (0, 2, 4), (1, 2, 4), num_blocks=2),
    plan((0, 1, 1), (0, 1, 9), (0, 2, 1), num_blocks=4),
    plan((0, 1, 8), (0, 1, 8), num_blocks=3),
    plan((0, 2, 9), (0, 1, 1), num_blocks=3),
    plan((0, 1, 6), (2, 5, 1), num_blocks=3),
    plan((0, 1, 5), (0, 1, 5), num_blocks=3),
    plan((0, 1, 9), (0, 1, 1), (1, 2, 3), num_blocks=5),
    plan((0, 1, 13), (0, 1, 1), (0, 1, 5), (2, 1, 3), num_blocks=8),
    plan((0, 1, 1), (0, 1, 9), (1, 1, 5), num_blocks=5),
    plan((0, 1, 5), (0, 1, 5), (1, 1, 4), num_blocks=4),
    plan((0, 2, 2), (0, 2, 2), (1, 1, 2), num_blocks=4, block_size=2),
]
ORDER = [
    plan((0, 4, 5), (1, 8, 2), (1, 1, 1), num_blocks=4),
    plan((0, 4, 5), (0, 9, 2), (0, 2, 2), num_blocks=4),
    plan((0, 3, 6), (1, 8, 1), (2, 2, 3), (2, 1, 2), num_blocks=4),
    plan((0, 2, 2), (0, 3, 2), (0, 4, 2), max_num_seqs=1),
    plan((0, 2, 3), (1, 2, 2), (1, 3, 3), (2, 1, 1), max_num_seqs=1),
]
_chance = random.Random(10)
MIXED = [
    of(random_script(_chance, setup, aborts=0.2))
    for setup in [
        {"max_num_seqs": most, "num_blocks": blocks, "block_size": size}
        for most, blocks, size in ((2, 16, 4), (3, 5, 4), (4, 8, 2), (8, 16, 1), (2, 4, 8))
    ]
    * 4
]
UNTOUCHED = [untouched((2, 3)), untouched((2, 3), (3, 2), running=1), untouched((2, 3), (1, 2), (4, 2), running=2)]

STEP = Exercise(
    id="10.step",
    title="Who runs in this step",
    name="step",
    cases="scripts",
    properties=[
        Property(
            "A new request computes its whole prompt, a running request its newest token",
            "Both have tokens that are not computed yet: num_tokens - num_computed_tokens of them.",
            ALONE,
        ),
        Property(
            "A request that arrives is admitted at once, beside the running requests",
            "The batch is chosen again in each step, so no request waits for others to end. This is continuous "
            "batching.",
            JOIN,
        ),
        Property(
            "At most `max_num_seqs` requests run, and one that has ended is replaced in the next step",
            "With fewer requests than allowed, a step gives fewer tokens for the same reading of the weights.",
            FULL,
        ),
        Property(
            "A request is admitted only if all blocks that it may need are left",
            "A running request must always be able to go on. Blocks that it has not taken yet are reserved for it.",
            ROOM,
        ),
        Property(
            "No request is overtaken", "If smaller requests may always go first, a large one may wait for ever.", ORDER
        ),
        Property(
            "The lists and their requests are not changed", "The engine moves requests; `step` only chooses.", UNTOUCHED
        ),
        Property("Any mixture of these", "Requests arrive, wait, run and are aborted at any time.", MIXED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the lists are changed.",
            "The lists belong to the engine. Return which requests run; the engine does the rest.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "Begin with the running requests: each computes `request.num_tokens - request.num_computed_tokens` "
        "tokens. That is 1 where only the newest token is not computed.",
        "Then go through `waiting` from its beginning. There are two reasons to stop: `max_num_seqs` requests run "
        "(those in `running`, and those admitted before in this step), or the blocks that the request may need "
        "are not left.",
        "A request may need slots for `num_prompt_tokens + max_tokens - 1` tokens, rounded up to blocks: "
        "`-(-tokens // block_size)`.",
        "`left = num_blocks - (blocks reserved for all running requests)`. For each waiting request, compare the "
        "blocks that it reserves with `left`, and subtract them from `left`.",
    ],
    rights=[step, step_by_index, step_in_passing],
    why="The code does not distinguish prefill and decode, and no batch is ever full or finished: each step is chosen "
    "anew. Orca reserves the whole answer like this (OSDI '22, algorithm 1), and no request ever runs out of "
    "memory. But most of what is reserved is never used. vLLM reserves nothing, admits more requests, and "
    "preempts one when memory is short: lesson 11.",
)
