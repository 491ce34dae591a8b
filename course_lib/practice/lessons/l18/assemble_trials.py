"""The trials of 18.assemble: scripts of requests on parts that are given."""

import random

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.practice.fixtures.tiny_server import SummingModel
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial

from .assemble_game import prompt_of, serve_assembled

CALL = "serve_assembled({answer}, {arrivals}, {setup})"
IMPORTS = "from course_lib.practice.play import Arrival, serve_assembled"


def play(answer, script):
    return serve_assembled(answer, script.arrivals, **script.setup)


def of(script, note=""):
    least = {"eos": 10**9, "ignore_eos": 10**9, "num_blocks": 6, "same": 10**9, "prefix_caching": 10**9}
    return script_trial(play, script, CALL, "MyEngine", imports=IMPORTS, note=note, least=least)


def plan(*arrivals, note="", **setup):
    """The Trial of a script. arrivals: (step, prompt, max_tokens[, priority]), named a, b, c."""
    named = tuple(
        Arrival(name, *one[:3], priority=one[3] if len(one) > 3 else 0) for name, one in zip("abcdefgh", arrivals)
    )
    return of(Script(named, setup), note)


def ending(at, *arrivals, **setup):
    """The Trial in which the end token of the model is output token `at` of the first request, counted from 0."""
    prompt = prompt_of(0, arrivals[0][1], False)
    written = generate_naive(SummingModel(), prompt, SamplingParams(max_tokens=20))
    return plan(*arrivals, eos=written[at], **setup)


ALONE = [plan((0, 1, 1)), plan((0, 2, 3)), plan((0, 5, 4)), plan((1, 3, 6)), plan((0, 8, 2), block_size=3)]
TOGETHER = [
    plan((0, 2, 4), (1, 3, 2)),
    plan((0, 2, 3), (0, 4, 3)),
    plan((0, 3, 5), (1, 1, 5), (3, 2, 4)),
    plan((0, 4, 3), (0, 2, 5), (2, 6, 4)),
    plan((0, 5, 2), (0, 1, 3), (0, 3, 4)),
    plan(*[(0, 2 + n % 3, 2 + n % 2) for n in range(8)], max_num_seqs=8),
]
CHUNKS = [
    plan((0, 9, 2), budget=4),
    plan((0, 7, 3), (0, 6, 2), budget=5),
    plan((0, 2, 6), (1, 11, 2), budget=4),
    plan((0, 3, 4), (1, 9, 3), (1, 5, 2), budget=6),
    plan((0, 2, 4), (1, 9, 2), budget=4, scheduler="backwards", note="the chunk stands first in the step"),
    plan((0, 1, 1), (0, 2, 1), budget=2, scheduler="backwards", note="the chunk stands first in the step"),
    plan((0, 3, 3), (0, 7, 2), (1, 2, 2), budget=5, scheduler="backwards"),
    plan((0, 1, 2), (0, 1, 2), budget=2, scheduler="backwards", note="another order than that of `running`"),
]
PARTS = [
    plan((0, 3, 3), (1, 2, 2), (2, 2, 2), policy="latest", max_num_seqs=1),
    plan((0, 2, 5, 2), (1, 2, 2, 0), (1, 3, 2, 1), policy="priority", max_num_seqs=1),
    plan((0, 2, 3), (0, 3, 2), scheduler="one"),
    plan((0, 2, 2), (1, 4, 3), (1, 2, 2), scheduler="one", policy="latest"),
    plan((0, 4, 3), (0, 2, 2), (1, 2, 2), policy="latest", max_num_seqs=2),
]
CONFIG = [
    plan((0, 2, 2), (0, 3, 2), (0, 2, 2), max_num_seqs=2),
    plan((0, 9, 2), (2, 9, 2), same=True, prefix_caching=True, show="computed", note="8 tokens are shared"),
    plan((0, 12, 1), (1, 9, 3), (2, 10, 2), same=True, prefix_caching=True, show="computed"),
    plan((0, 9, 2), (2, 9, 2), same=True, prefix_caching=False, show="computed"),
    plan((0, 10, 1), (1, 10, 1), same=True, prefix_caching=False, show="computed"),
    plan((0, 5, 6), (0, 5, 6), num_blocks=9, block_size=2),
]
ENDS = [
    ending(1, (0, 2, 9)),
    ending(0, (0, 3, 4)),
    ending(2, (0, 4, 9), (1, 3, 5)),
    ending(1, (0, 5, 6), (0, 2, 6), max_num_seqs=1),
    ending(1, (0, 2, 4), ignore_eos=True),
    ending(0, (0, 3, 3), (1, 2, 2), ignore_eos=True),
]
SHORT = [
    plan((0, 4, 6), (0, 4, 6), num_blocks=6, block_size=2),
    plan((0, 3, 8), (0, 3, 8), (1, 3, 4), num_blocks=7, block_size=2),
    plan((0, 5, 5), (1, 5, 5), (1, 4, 5), num_blocks=8, block_size=2, budget=6),
]
CALLS = [
    plan((0, 2, 3), (0, 3, 2), show="calls"),
    plan((0, 2, 4), (1, 5, 3), show="calls"),
    plan((0, 1, 3), (0, 2, 3), (1, 3, 3), show="calls"),
]
FREE = [
    plan((0, 5, 2), show="free"),
    plan((0, 5, 4), (1, 2, 3), show="free"),
    plan((0, 2, 3), (0, 6, 6), (5, 3, 2), show="free"),
]


def idle(steps):
    """The Trial of an engine whose `step` is called without any request."""
    from course_lib.engine import EngineConfig, Scheduler
    from course_lib.engine.policies import FCFS
    from course_lib.kvcache import BlockAllocator, PagedCache

    def act(answer):
        model, parts = SummingModel(), dict(cache=PagedCache, scheduler=Scheduler, policy=FCFS)
        engine = answer(model, EngineConfig(num_blocks=4, block_size=4), allocator=BlockAllocator, **parts)
        said = [engine.step() for _ in range(steps)]
        return (
            [list(one) if isinstance(one, tuple) else one for one in said],
            bool(engine.has_unfinished()),
            model.calls,
        )

    return Trial(
        [
            "from course_lib.practice.play import SummingModel",
            "parts = dict(allocator=BlockAllocator, cache=PagedCache, scheduler=Scheduler, policy=FCFS)",
            "model = SummingModel()",
            "engine = MyEngine(model, EngineConfig(num_blocks=4, block_size=4), **parts)",
            f"[engine.step() for _ in range({steps})], engine.has_unfinished(), model.calls",
        ],
        act,
        note="there is no request",
        size=steps,
    )


IDLE = [idle(1), idle(2), idle(3)]
_chance = random.Random(18)
MIXED = [
    of(random_script(_chance, setup, prompts=12, most=4))
    for setup in [
        {"max_num_seqs": most, "budget": budget, "policy": policy, "num_blocks": blocks, "block_size": 2}
        for most, budget, policy, blocks in ((2, 8, "fcfs", 24), (3, 5, "priority", 10), (4, 64, "latest", 10))
    ]
    * 2
]
