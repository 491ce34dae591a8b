"""Cases of 09.dynamic_batcher: arrival scripts, and the first step at which another batch starts."""

import random
from collections import deque

from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.scripts import Arrival, Script, script_trial
from course_lib.practice.report.timeline_text import Timeline

from .dynamic_batcher_answers import DeadlineBatcher, ListBatcher, Wrong
from .solutions.dynamic_batcher import DynamicBatcher


def serve_batcher(batcher, arrivals, asks=False):
    """The Timeline of a server that asks `batcher` in every step in which it is free.

    A batch takes as many steps as its longest text has tokens. asks: whether `ready_at()` is looked at in every step too; a time that is over already counts as "now".
    """
    line, coming = (
        Timeline(numbers={"P": "starts in slot {n} of a batch"}),
        deque(sorted(arrivals, key=lambda a: a.step)),
    )
    running, waiting = {}, {}
    began = now = 0
    most = 40 + Script(tuple(arrivals)).most_steps  # a bound for batchers that never give anybody
    while (coming or running or waiting) and now < most:
        cells, below = {}, {}
        while coming and coming[0].step <= now:
            waiting[coming[0].name] = coming[0]
            batcher.add(coming.popleft().name, now)
        if asks:
            ready = batcher.ready_at()
            over = isinstance(ready, (int, float)) and ready <= now
            below["ready_at"] = "now" if over else f"{ready:g}" if isinstance(ready, float) else str(ready)
        if not running:
            batch = batcher.take(now)
            strange = what_is_wrong(batch, waiting)
            if strange:
                line.column({name: "W" for name in waiting}, {"take": strange})
                return line
            began, running = now, {name: waiting.pop(name) for name in batch}
            cells |= {name: f"P{slot}" for slot, name in enumerate(running)}
        else:
            cells |= {name: "D" if now - began < one.max_tokens else "-" for name, one in running.items()}
        line.column(cells | {name: "W" for name in waiting}, below)
        now += 1
        if running and now - began == max(one.max_tokens for one in running.values()):
            running = {}
    return line


def what_is_wrong(batch, waiting):
    """What `take` gave where that is no batch of those who wait, in a few words; "" where it is one."""
    if not isinstance(batch, (list, tuple)):
        return a_kind(batch)
    strangers = [name for name in batch if not (isinstance(name, str) and name in waiting)]
    if strangers:
        return f"{strangers[0]!r}"[:24] + " again" if isinstance(strangers[0], str) else f"{a_kind(strangers[0])} in it"
    return "one twice" if len(set(batch)) < len(batch) else ""


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


variant = Wrong.variant

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
    mistakes=[
        Mistake(
            "a method is missing.",
            "The server calls `add(request, now)`, `take(now)` and `ready_at()`.",
            is_made_by=lambda answer, found: (
                not all(callable(getattr(answer, name, None)) for name in ("add", "take", "ready_at"))
            ),
        ),
        Mistake(
            "None says that there is no batch.",
            "`[]` is a batch of nobody: the caller may ask for its length.",
            variant(nothing=lambda self: None),
        ),
        Mistake(
            "the timer begins again with each arrival.",
            "On a busy morning the next one always comes just in time, and the first waits for ever. Count from the first "
            "of those who wait.",
            (
                variant(since="last"),
                variant(
                    says=lambda self: (
                        DynamicBatcher.ready_at(self)
                        if not 0 < len(self.waiting) < self.max_batch_size
                        else self.waiting[-1][0] + self.timeout
                    )
                ),
            ),
        ),
        Mistake(
            "all batchers share one queue.",
            "A list in the body of the class is one list for all objects. Make it in `__init__`: `self.waiting = deque()`.",
            is_made_by=shares_a_list,
        ),
        Mistake(
            "it starts only when full.",
            "That is static batching: a lone request at night waits until morning. Look at the timeout too.",
            variant(due=lambda now, since, timeout: False),
        ),
        Mistake(
            "it starts as soon as anybody is there.",
            "Then most batches hold one request, and the weights are read for it alone.",
            variant(due=lambda now, since, timeout: True),
        ),
        Mistake(
            "a full batch waits for the timeout.",
            "Nobody can join it any more: start at once.",
            variant(full=lambda count, size: False),
        ),
        Mistake(
            "a batch is full only with one too many.",
            "`max_batch_size` requests are a full batch: ≥, not >.",
            variant(full=lambda count, size: count > size),
        ),
        Mistake(
            "a batch is full with one too few.",
            "There is room for `max_batch_size`.",
            variant(full=lambda count, size: count >= max(1, size - 1)),
        ),
        Mistake(
            "the timeout is over one step too late.",
            "Who came at 2 with a timeout of 3 is due at 5: ≥, not >.",
            variant(due=lambda now, since, timeout: now > since + timeout),
        ),
        Mistake(
            "those whose own time is not up stay behind.",
            "When the batch starts there is room: whoever waits goes along, up to `max_batch_size`.",
            (variant(company=lambda came, due: sum(map(due, came))), variant(company=lambda came, due: 1)),
        ),
        Mistake(
            "who stays behind begins to wait anew.",
            "Whoever found no place has waited all the same. Each keeps the time at which it came.",
            variant(rest="restart"),
        ),
        Mistake(
            "times come along with the requests.",
            "`take` gives the requests as they were handed to `add`. When they came is the batcher's own affair.",
            (variant(gives=lambda pair: pair), variant(gives=lambda pair: pair[::-1])),
        ),
        Mistake(
            "all who wait go together.",
            "`max_batch_size` is the most: memory for more is not there.",
            variant(most=False),
        ),
        Mistake(
            "the newest go first.",
            "`pop()` takes the last one. First come, first served: `popleft()`, or a slice from the front.",
            variant(newest=True),
        ),
        Mistake("who finds no place is forgotten.", "Only those who go may leave the queue.", variant(rest="drop")),
        Mistake(
            "those who go stay in the queue.", "They would be served again. Take them off it.", variant(removes=False)
        ),
        Mistake(
            "the time is counted from the last batch.",
            "A request has waited since it came, whatever was served before. Keep each request's own arrival.",
            variant(clock="batch"),
        ),
        Mistake(
            "the time is counted from when `take` first looks.",
            "The server may be busy for long before it looks. `add` is told when the request came.",
            variant(clock="look"),
        ),
        Mistake(
            "`ready_at` ignores that the batch is full.",
            "A full batch is ready as soon as the last of them came.",
            variant(says=lambda self: self.waiting[0][0] + self.timeout if self.waiting else None),
        ),
        Mistake(
            "`ready_at` gives a length of time, not a point.",
            "It is a time on the same clock as `now`: the arrival of the first, plus the timeout.",
            variant(
                says=lambda self: (
                    None if not self.waiting else self.timeout if len(self.waiting) < self.max_batch_size else 0
                )
            ),
        ),
        Mistake(
            "`ready_at` says a time though nobody waits.",
            "With nobody there, no time is right: None.",
            (
                variant(says=lambda self: DynamicBatcher.ready_at(self) or 0),
                variant(says=lambda self: float("inf") if not self.waiting else DynamicBatcher.ready_at(self)),
            ),
        ),
    ],
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
