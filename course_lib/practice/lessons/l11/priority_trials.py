"""The trials of 11.priority: each method alone, and scripts in the engine's scheduler."""

import random

from course_lib.engine import Scheduler
from course_lib.errors import IntegrityError
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, script_trial


def checked(served, running):
    """What `order` returned, if it holds the running requests. Raises IntegrityError."""
    if not isinstance(served, list):
        raise IntegrityError(f"`order` returned {a_kind(served)}; it must return a list of the running requests.")
    if len(served) != len(running) or any(request not in served for request in running):
        raise IntegrityError(
            "`order` returned a list with other requests than the running ones. It must hold each running request once."
        )
    return served


def compared(method, *requests):
    """The Trial of one method on requests that are made by hand: (name, priority, arrival[, prompt]), in this order.

    method: "key" sorts them by it, "order" takes them as running ones, "outranks" asks whether the first may preempt
    the second.
    """

    arrivals = [
        Arrival(name, step=at, priority=level, **dict(zip(("prompt",), more))) for name, level, at, *more in requests
    ]

    def act(answer):
        made = [arrival.request() for arrival in arrivals]
        policy = answer()
        if method == "outranks":
            return bool(policy.outranks(*made))
        if method == "key":
            return [request.request_id for request in sorted(made, key=policy.key)]
        running = list(made)
        served = [request.request_id for request in checked(policy.order(running), made)]
        return served, [request.request_id for request in running]

    names = ", ".join(name for name, *_ in requests)
    calls = {
        "key": [f"[request.request_id for request in sorted([{names}], key=policy.key)]"],
        "order": [
            f"running = [{names}]",
            "served = policy.order(running)",
            "[request.request_id for request in served], [request.request_id for request in running]",
        ],
        "outranks": [f"bool(policy.outranks({names}))"],
    }
    return Trial(
        [
            "from course_lib.practice.play import Arrival",
            *(f"{arrival.name} = {arrival}.request()" for arrival in arrivals),
            "policy = ImportantFirst()",
            *calls[method],
        ],
        act,
        size=100 * len(requests) + sum(abs(level) + min(99, int(at)) for _, level, at, *_ in requests),
    )


def play(answer, script):
    """The Timeline of a script. What `order` returns is checked first, so that the error names it."""

    class Checked(answer):
        def order(self, running):
            return checked(super().order(running), list(running))

    return replay(Scheduler, script.arrivals, policy=Checked, **script.setup)


IMPORTS = "from course_lib.engine import Scheduler\nfrom course_lib.practice.play import Arrival, replay"
LEAST = {"num_blocks": 8, "block_size": 4, "priority": 0}


def script(*arrivals, max_num_seqs=1, max_num_batched_tokens=16, **setup):
    """The Trial of arrivals as (name, step, priority, prompt, max_tokens)."""
    made = tuple(
        Arrival(name, step=step, priority=priority, prompt=prompt, max_tokens=most)
        for name, step, priority, prompt, most in arrivals
    )
    setup = {"max_num_seqs": max_num_seqs, "max_num_batched_tokens": max_num_batched_tokens, **setup}
    return script_trial(
        play,
        Script(made, setup),
        "replay(Scheduler, {arrivals}, policy={answer}, {setup})",
        "ImportantFirst",
        imports=IMPORTS,
        least=LEAST,
    )


def drawn(number, seed):
    chance, trials = random.Random(seed), []
    for _ in range(number):
        arrivals = [
            (name, chance.randint(0, 8), chance.choice((0, 0, 1, 2, 5)), chance.randint(1, 8), chance.randint(1, 8))
            for name in "abcdef"[: chance.randint(2, 6)]
        ]
        trials.append(
            script(
                *arrivals,
                max_num_seqs=chance.randint(1, 3),
                max_num_batched_tokens=chance.choice((3, 8, 16)),
                num_blocks=chance.choice((8, 10, 64)),
                block_size=2,
            )
        )
    return trials


KEYS = [
    *(compared("key", ("a", n + 1, 0), ("b", n, 1)) for n in (2**53, -(2**60), 2**1100)),
    compared("key", ("a", 1, 0), ("b", 0, 1)),
    compared("key", ("a", 0, 1), ("b", 0, 0)),
    compared("key", ("a", 5, 2), ("b", 3, 7), ("c", 5, 1)),
    compared("key", ("a", 2, 3), ("b", 1, 3), ("c", 2, 1)),
    compared("key", ("a", 1, 2), ("b", 0, 5000)),
    compared("key", ("a", 3, 1), ("b", 2, 1_700_000_000.5)),
    compared("key", ("a", 2, 8), ("b", 1, 3000)),
    compared("key", ("a", 0, 10), ("b", 0, 9)),
    compared("key", ("a", 2, 3.4), ("b", 2, 3.1)),
    compared("key", ("a", 0, 9.9), ("b", 0, 9.6)),
    compared("key", ("a", 10, 1), ("b", 9, 1)),
    compared("key", ("a", 10, 2), ("b", 9, 100), ("c", 9, 20)),
    compared("key", ("a", 1, 0.75), ("b", 1, 0.25)),
    compared("key", ("a", 1, 7.5), ("b", 1, 7.25), ("c", 1, 7)),
    compared("key", ("a", 1, 0.0004), ("b", 1, 0.0002)),
    compared("key", ("a", 2, 5.0004), ("b", 2, 5.0002)),
    compared("key", ("a", 0, 1_700_000_000.75), ("b", 0, 1_700_000_000.25)),
    compared("key", ("a", 1, 1_700_000_000.0003), ("b", 1, 1_700_000_000.0001)),
    compared("key", ("a", 100, 1_700_000_000.0003), ("b", 100, 1_700_000_000.0001)),
    compared("key", ("a", 10_000, 7.25), ("b", 10_000, 7.2)),
    compared("key", ("a", 3000, 2.5), ("b", 3000, 2.45)),
    compared("key", ("a", 20_000, 0.5), ("b", 20_000, 0.25)),
    compared("key", ("a", 3, 1_700_000_008.5), ("b", 3, 1_700_000_008), ("c", 3, 1_700_000_002)),
    compared("key", ("a", 0, 1), ("b", -1, 2)),
    compared("key", ("a", 1, 1), ("b", -2, 3)),
    compared("key", ("a", -1, 4), ("b", -3, 9), ("c", 0, 2)),
    compared("key", ("a", 2, 1), ("b", 3, 0, 5000)),
    compared("key", ("a", 2, 1), ("b", 2, 0, 5000)),
]
ORDERS = [
    compared("order", ("a", 2**53 + 1, 0), ("b", 2**53, 1)),
    compared("order", ("a", 1, 0), ("b", 0, 1)),
    compared("order", ("a", 0, 0), ("b", 1, 1)),
    compared("order", ("a", 0, 1), ("b", 0, 0)),
    compared("order", ("a", 2, 3), ("b", 1, 9), ("c", 2, 1)),
    compared("order", ("a", 4, 2), ("b", 4, 5), ("c", 4, 1)),
    compared("order", ("a", 1, 0.5), ("b", -1, 8), ("c", 1, 0.25)),
    compared("order", ("a", 0, 10), ("b", 0, 9), ("c", -2, 3000)),
    compared("order", ("a", 2, 1), ("b", 2, 0, 5000), ("c", 3, 2, 9000)),
]
OUTRANKS = [
    compared("outranks", ("a", 2**53, 1), ("b", 2**53 + 1, 0)),
    compared("outranks", ("a", 0, 1), ("b", 1, 0)),
    compared("outranks", ("a", 1, 1), ("b", 0, 0)),
    compared("outranks", ("a", 1, 0), ("b", 1, 1)),
    compared("outranks", ("a", 1, 1), ("b", 1, 0)),
    compared("outranks", ("a", 2, 0), ("b", 1, 5)),
    compared("outranks", ("a", 1, 0), ("b", 2, 5)),
    compared("outranks", ("a", 3, 0.25), ("b", 3, 0.75)),
    compared("outranks", ("a", 0, 1), ("b", 4, 6)),
    compared("outranks", ("a", -1, 2.25), ("b", 0, 2.5)),
    compared("outranks", ("a", 4, 1), ("b", 4, 9)),
    compared("outranks", ("a", 3, 2), ("b", 5, 1)),
    compared("outranks", ("a", 4, 0), ("b", 5, 0)),
    compared("outranks", ("a", -1, 5000), ("b", 0, 2)),
    compared("outranks", ("a", 0, 2), ("b", -1, 5)),
    compared("outranks", ("a", -2, 3), ("b", 1, 0)),
    compared("outranks", ("a", 1, 0), ("b", -2, 3)),
]
