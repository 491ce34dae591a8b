"""Cases of 09.dynamic_batcher: arrival scripts, and the first step at which another batch starts."""

import random

from course_lib.practice.judge.exercise import Exercise, Property, Trial
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .dynamic_batcher_answers import DeadlineBatcher, ListBatcher
from .dynamic_batcher_game import serve_batcher
from .dynamic_batcher_mistakes import MISTAKES
from .solutions.dynamic_batcher import DynamicBatcher


def play(answer, script):
    return serve_batcher(answer(**script.setup), script.arrivals)


def play_asking(answer, script):
    return serve_batcher(answer(**script.setup), script.arrivals, asks=True)


IMPORTS = "from course_lib.practice.play import Arrival, serve_batcher"


def script(size, timeout, *arrivals, asks=False):
    """The Trial of a script. arrivals: (step, max_tokens), called a, b, c, … in this order."""
    named = tuple(Arrival("abcdefgh"[i], step=step, max_tokens=tokens) for i, (step, tokens) in enumerate(arrivals))
    call = "serve_batcher({answer}({setup}), {arrivals}" + (", asks=True)" if asks else ")")
    setup = {"max_batch_size": size, "timeout": timeout}
    return script_trial(
        play_asking if asks else play,
        Script(named, setup),
        call,
        "DynamicBatcher",
        imports=IMPORTS,
        least={"timeout": 0},
    )


def alone(size, timeout, now):
    """The Trial of asking with nobody there."""
    return Trial(
        [f"batcher = DynamicBatcher({size}, {timeout})", f"batcher.take({now}), batcher.ready_at()"],
        lambda answer: asked(answer(size, timeout), now),
        note="nobody is there",
        size=size + timeout + now,
    )


def asked(batcher, now):
    got = batcher.take(now)
    return list(got) if isinstance(got, tuple) else got, batcher.ready_at()


def beside(size, timeout, now):
    """The Trial of a batcher beside which another one holds a request."""

    def act(answer):
        other, batcher = answer(size, timeout), answer(size, timeout)
        other.add("a", now)
        return asked(batcher, now + timeout)

    made = f"DynamicBatcher({size}, {timeout})"
    return Trial(
        [
            f"other, batcher = {made}, {made}",
            f'other.add("a", {now})',
            f"batcher.take({now + timeout}), batcher.ready_at()",
        ],
        act,
        note="`a` is the other's",
        size=size + timeout + now,
    )


def drawn(number, seed, asks=False):
    """`number` random scripts, the same for the same seed."""
    draw, trials = random.Random(seed), []
    for _ in range(number):
        count, size, timeout = draw.randint(2, 7), draw.randint(1, 4), draw.randint(0, 5)
        steps = sorted(draw.randint(0, draw.choice([4, 10])) for _ in range(count))
        trials.append(script(size, timeout, *((step, draw.randint(1, 5)) for step in steps), asks=asks))
    return trials


DYNAMIC_BATCHER = Exercise(
    id="09.dynamic_batcher",
    title="A size and a timeout",
    name="DynamicBatcher",
    cases="scripts",
    properties=[
        Property(
            "With nobody waiting, `take` gives [] and `ready_at()` gives None",
            "The server asks in every step in which it is free.",
            [alone(size, timeout, now) for size, timeout, now in ((1, 0, 0), (2, 0, 5), (2, 3, 0), (4, 1, 9))],
        ),
        Property(
            "A full batch starts at once",
            "There is nothing to wait for: the weights are read for as many as there may be.",
            [script(size, timeout, *((0, 1) for _ in range(size))) for size in (1, 2, 3) for timeout in (2, 5)]
            + [
                script(2, 4, (0, 1), (1, 2)),
                script(3, 5, (0, 2), (0, 1), (2, 1)),
                script(2, 5, (1, 3), (2, 1), (5, 1), (6, 1)),
            ],
        ),
        Property(
            "With fewer, it starts when the first has waited for the timeout",
            "This bounds what a request pays for the hope of company.",
            [script(size, timeout, (step, 1)) for size in (2, 3) for timeout in (0, 1, 3) for step in (0, 2)]
            + [script(3, 2, (0, 1), (6, 2)), script(4, 3, (0, 2), (0, 1))],
        ),
        Property(
            "The wait is that of the first, since it came",
            "Whoever comes later joins it, and does not make it wait longer.",
            [
                script(3, 3, (0, 1), (1, 1)),
                script(3, 4, (0, 1), (2, 1)),
                script(4, 3, (0, 1), (1, 1), (2, 1)),
                script(4, 2, (1, 2), (2, 1)),
                script(3, 4, (0, 1), (3, 1)),
                script(4, 5, (0, 1), (2, 1), (4, 1)),
            ],
        ),
        Property(
            "At most `max_batch_size` go together, in order of arrival",
            "Memory was reserved for so many. First come, first served.",
            [
                script(size, 1, *((0, 1 + i % 2) for i in range(count)))
                for size, count in ((1, 2), (2, 3), (2, 5), (3, 4), (3, 7))
            ]
            + [script(2, 3, (0, 3), (0, 1), (1, 1), (1, 1), (2, 1))],
        ),
        Property(
            "Who stays behind keeps its place, and the time that it has waited",
            "While a batch runs, the others wait on. Their clock does not begin again when it ends.",
            [
                script(2, 3, (0, 4), (0, 1), (1, 1)),
                script(2, 2, (0, 3), (0, 1), (2, 1)),
                script(3, 4, (0, 2), (0, 3), (0, 1), (1, 1)),
                script(2, 3, (0, 2), (0, 2), (0, 1)),
                script(2, 5, (0, 3), (0, 3), (1, 1)),
                script(2, 3, (0, 1), (0, 1), (0, 1)),
                script(2, 2, (1, 1), (1, 1), (1, 2)),
                script(3, 4, (0, 1), (0, 1), (0, 2), (0, 1)),
                script(1, 3, (0, 3), (0, 1), (1, 1)),
                script(2, 4, (0, 2), (0, 1), (1, 2), (1, 1), (1, 1)),
                script(2, 5, (0, 3), (0, 3), (1, 1), (1, 1), (2, 1)),
                script(3, 6, (0, 4), (0, 1), (0, 1), (1, 1), (2, 1), (2, 2), (3, 1)),
            ],
        ),
        Property(
            "`ready_at()` says from when on `take` gives a batch",
            "The server sleeps until then, unless somebody comes first.",
            [
                script(2, 3, (0, 1), asks=True),
                script(2, 3, (0, 1), (1, 1), asks=True),
                script(3, 4, (1, 2), (2, 1), asks=True),
                script(2, 2, (0, 3), (0, 1), (1, 1), asks=True),
                script(1, 5, (0, 2), (1, 1), asks=True),
                script(2, 4, (0, 2), (0, 1), (1, 1), (3, 1), asks=True),
            ]
            + drawn(12, 2, asks=True),
        ),
        Property(
            "Each batcher has a queue of its own",
            "A server has one for each of its models.",
            [beside(size, timeout, now) for size, timeout, now in ((2, 0, 0), (2, 3, 1), (1, 2, 0), (4, 1, 5))],
        ),
        Property("Whole mornings of arrivals go as they should", "Busy and quiet, batches of all sizes.", drawn(40, 1)),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep pairs (when it came, request) in a queue, in order of arrival. Everything that is asked can be read from it.",
        "`ready_at`: nobody waits: None. Full: the arrival of the one that filled it, `waiting[max_batch_size - 1]`. Else: the "
        "arrival of the first, plus the timeout.",
        "`take(now)`: `[]` if `ready_at()` is None or later than `now`. Otherwise take up to `max_batch_size` from the front.",
        "`collections.deque` gives from the front: `self.waiting.popleft()`. Only what you take off is gone; the others keep "
        "their own arrival.",
    ],
    rights=[DynamicBatcher, ListBatcher, DeadlineBatcher],
    why="One method decides when, `ready_at`, and the other obeys it; so the server can sleep exactly as long as it may. "
    "Nothing has to be counted while requests wait: "
    "each brought its own time.",
)
