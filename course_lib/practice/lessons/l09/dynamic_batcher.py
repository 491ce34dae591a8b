"""The exercise 09.dynamic_batcher: scripts of arrivals, compared up to the first step in which batches differ."""

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
    """The Trial of a batcher that is asked while no request waits."""
    return Trial(
        [f"batcher = DynamicBatcher({size}, {timeout})", f"batcher.take({now}), batcher.ready_at()"],
        lambda answer: asked(answer(size, timeout), now),
        note="no request waits",
        size=size + timeout + now,
    )


def asked(batcher, now):
    got = batcher.take(now)
    return list(got) if isinstance(got, tuple) else got, batcher.ready_at()


def of_any_kind(size, timeout, requests, now, after):
    """The Trial of requests that are no names, or equal: all come back as they were given, in order of arrival."""
    takes = -(-len(requests) // size)

    def act(answer):
        batcher = answer(size, timeout)
        for at, request in zip(now, requests):
            batcher.add(request, at)
        got = [batcher.take(after) for _ in range(takes)]
        came = [one for batch in got if isinstance(batch, (list, tuple)) for one in batch]
        if any(one is not request for one, request in zip(came, requests)) and came == list(requests):
            return "equal ones, and not the requests themselves: they were copied"
        return [*(list(batch) if isinstance(batch, tuple) else batch for batch in got), batcher.ready_at()]

    return Trial(
        [
            f"batcher = DynamicBatcher({size}, {timeout})",
            *(f"batcher.add({request!r}, {at})" for at, request in zip(now, requests)),
            f"[{f'batcher.take({after}), ' * takes}batcher.ready_at()]",
        ],
        act,
        size=10 * len(requests) + size,
    )


def in_seconds(timeout, now, later):
    """The Trial of times with a fraction."""

    def act(answer):
        batcher = answer(2, timeout)
        batcher.add("a", now)
        early, ready = batcher.take(later), batcher.ready_at()
        ready = f"{ready:g}" if isinstance(ready, (int, float)) else repr(ready)
        return f"[{list(early)}, {ready}, {list(batcher.take(now + timeout))}]"

    return Trial(
        [
            f"batcher = DynamicBatcher(2, {timeout})",
            f'batcher.add("a", {now})',
            f"[batcher.take({later}), batcher.ready_at(), batcher.take({now + timeout})]",
        ],
        act,
        show=str,
        size=1,
    )


def when_ready(timeout, *times):
    """The Trial of `take` at the very time that `ready_at` gave, after arrivals at `times`."""

    def act(answer):
        batcher = answer(4, timeout)
        for i, now in enumerate(times):
            batcher.add("abc"[i], now)
        ready = batcher.ready_at()
        got = batcher.take(ready if isinstance(ready, (int, float)) else times[0] + timeout)
        return list(got) if isinstance(got, tuple) else got

    return Trial(
        [
            f"batcher = DynamicBatcher(4, {timeout})",
            *(f'batcher.add("{"abc"[i]}", {now})' for i, now in enumerate(times)),
            "batcher.take(batcher.ready_at())",
        ],
        act,
        size=len(times),
    )


def beside(size, timeout, now):
    """The Trial of an empty batcher while another batcher holds a request."""

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
        note="`a` waits in the other batcher",
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
            "While no request waits, `take` returns [] and `ready_at()` returns None",
            "The server calls both in every step in which it is free.",
            [alone(size, timeout, now) for size, timeout, now in ((1, 0, 0), (2, 0, 5), (2, 3, 0), (4, 1, 9))],
        ),
        Property(
            "A full batch starts at once",
            "No request can join it, so there is nothing to wait for: one reading of the weights serves the "
            "largest batch.",
            [script(size, timeout, *((0, 1) for _ in range(size))) for size in (1, 2, 3) for timeout in (2, 5)]
            + [
                script(2, 4, (0, 1), (1, 2)),
                script(3, 5, (0, 2), (0, 1), (2, 1)),
                script(2, 5, (1, 3), (2, 1), (5, 1), (6, 1)),
            ],
        ),
        Property(
            "A batch that is not full starts when its first request has waited for the timeout",
            "The timeout bounds how long a request waits for others.",
            [script(size, timeout, (step, 1)) for size in (2, 3) for timeout in (0, 1, 3) for step in (0, 2)]
            + [script(3, 2, (0, 1), (6, 2)), script(4, 3, (0, 2), (0, 1))],
        ),
        Property(
            "The wait is counted from the arrival of the first request",
            "A request that arrives later joins the batch and does not make it start later.",
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
            "A batch holds at most `max_batch_size` requests, in order of arrival",
            "Memory is reserved for that many. First come, first served.",
            [
                script(size, 1, *((0, 1 + i % 2) for i in range(count)))
                for size, count in ((1, 2), (2, 3), (2, 5), (3, 4), (3, 7))
            ]
            + [script(2, 3, (0, 3), (0, 1), (1, 1), (1, 1), (2, 1))],
        ),
        Property(
            "A request that is left in the queue keeps its place and its arrival time",
            "While a batch runs, the other requests wait. Their waiting time does not start again when the batch ends.",
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
            "`ready_at()` returns the time from which `take` returns a batch",
            "The server sleeps until then, unless a request arrives first.",
            [
                script(2, 3, (0, 1), asks=True),
                script(2, 3, (0, 1), (1, 1), asks=True),
                script(3, 4, (1, 2), (2, 1), asks=True),
                script(2, 2, (0, 3), (0, 1), (1, 1), asks=True),
                script(1, 5, (0, 2), (1, 1), asks=True),
                script(2, 5, (0, 4), (0, 1), (1, 1), (1, 2), (1, 1), asks=True),
                script(1, 6, (0, 3), (1, 1), (1, 1), asks=True),
                script(2, 4, (0, 2), (0, 1), (0, 1), (0, 1), (0, 1), asks=True),
                script(2, 4, (0, 2), (0, 1), (1, 1), (3, 1), asks=True),
            ]
            + drawn(12, 2, asks=True),
        ),
        Property(
            "A request can be anything, and comes back as it was given",
            "A server's requests are objects, and two users can ask for the same. The order is that of arrival alone.",
            [
                of_any_kind(2, 3, requests, now, 3)
                for requests, now in (
                    (("b", "a"), (0, 1)),
                    (([5, 6], [5, 6]), (0, 0)),
                    (([2], [1]), (1, 1)),
                    (({"prompt": [1]}, {"prompt": [1]}), (0, 2)),
                )
            ]
            + [
                of_any_kind(2, 1, ("c", "a", "b"), (0, 1, 1), 2),
                of_any_kind(3, 4, ("a", "a"), (0, 0), 4),
                of_any_kind(1, 0, ("a", "a"), (0, 0), 0),
                of_any_kind(2, 0, ([5], [5], [5]), (0, 0, 1), 1),
            ],
        ),
        Property(
            "Times may have a fraction",
            "A clock counts seconds: 0.25 is a time like any other. The server sleeps until `ready_at()` and then "
            "asks: it gets a batch.",
            [in_seconds(*case) for case in ((0.5, 0, 0.25), (0.5, 0.25, 0.5), (0.25, 1.5, 1.625))]
            + [when_ready(0.1, 0.7), when_ready(0.2, 0.7, 0.8), when_ready(0.3, 2.3, 2.4), when_ready(0.05, 5.7)],
        ),
        Property(
            "Each batcher has a queue of its own",
            "A server has one batcher for each of its models.",
            [beside(size, timeout, now) for size, timeout, now in ((2, 0, 0), (2, 3, 1), (1, 2, 0), (4, 1, 5))],
        ),
        Property(
            "Longer scripts of arrivals give the right batches",
            "Many and few arrivals, batches of all sizes.",
            drawn(40, 1),
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep pairs (arrival time, request) in a queue, in order of arrival. Both methods can be answered from it.",
        "`ready_at` has three cases. No request waits: None. The batch is full: the arrival time of the request "
        "that filled it, `waiting[max_batch_size - 1]`. Otherwise: the arrival time of the first request, plus "
        "the timeout.",
        "`take(now)`: `[]` if `ready_at()` is None or later than `now`. Otherwise take up to `max_batch_size` "
        "from the front.",
        "`collections.deque` gives from the front: `self.waiting.popleft()`. The requests that stay in the queue "
        "keep their own arrival times.",
    ],
    rights=[DynamicBatcher, ListBatcher, DeadlineBatcher],
    why="`ready_at` decides when a batch starts, and `take` follows it. So the server can sleep until exactly that "
    "time. Nothing is counted while requests wait: each is stored with its own arrival time.",
)
