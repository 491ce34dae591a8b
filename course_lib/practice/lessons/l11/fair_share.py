"""Cases of 11.fair_share: a counter of tokens for each client, and the least served is next."""

from collections import defaultdict, deque

from course_lib.engine import EngineConfig, Scheduler
from course_lib.errors import IntegrityError
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.programs import Seen, told
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .fair_share_game import Line, PerRequest, Sorts, TakesOff, WaitingList, WrongShare, played, serve_clients
from .solutions.fair_share import FairShare


class FairByQueues(WaitingList):
    """A queue for each client beside the list, and the client is chosen first."""

    def __init__(self):
        super().__init__()
        self.counters = defaultdict(int)

    def push(self, request, *, returning=False):
        waiting_clients = {r.client for r in self.waiting}
        if request.client not in waiting_clients and not returning:
            if waiting_clients:
                lowest = min(self.counters[c] for c in waiting_clients)
            else:
                lowest = self.counters[self.last_client]
            if lowest > self.counters[request.client]:
                self.counters[request.client] = lowest
        super().push(request)

    def peek(self):
        queues = {}
        for request in self.waiting:
            queues.setdefault(request.client, deque()).append(request)
        best = None
        for client, queue in queues.items():
            if best is None or self.counters[client] < self.counters[best]:
                best = client
        return queues[best][0] if best is not None else None

    def charge(self, request, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += 1 * prompt_tokens
        self.counters[request.client] += 2 * output_tokens


class FairByHalves(WaitingList):
    """Counts in written tokens, of which a prompt token is half of one; sorts everybody each time."""

    def __init__(self):
        super().__init__()
        self.served = {None: 0.0}

    def push(self, request, returning=False):
        mine = self.served.setdefault(request.client, 0.0)
        others = sorted(self.served[r.client] for r in self.waiting)
        if request.client in [r.client for r in self.waiting] or returning:
            pass
        elif others:
            self.served[request.client] = max(mine, others[0])
        else:
            self.served[request.client] = max(mine, self.served[self.last_client])
        super().push(request, returning=returning)

    def peek(self):
        for request in sorted(self.waiting, key=lambda r: (self.served[r.client], r.arrival, r.number)):
            return request

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.served[request.client] += output_tokens + prompt_tokens / 2


def spread(policy, *, max_num_seqs, few, many, steps=150):
    """(largest difference in service over any stretch of steps, what the bound allows) between two clients who always wait.

    few, many: (prompt, answer) of the requests of A and of B, in tokens. B has about three times as many in the queue as A. Even
    if all seats go to A in one step, one of its requests still waits: it is never away.
    """
    config = EngineConfig(max_num_seqs=max_num_seqs, num_blocks=4096, block_size=4, prefix_caching=False, policy=policy)
    scheduler = Scheduler(config, KVCacheManager(BlockAllocator(4096, 4), prefix_caching=False))
    kinds, sent, admitted = {"A": few, "B": many}, {"A": 0, "B": 0}, 0
    service, differences = {"A": 0, "B": 0}, [0]
    for now in range(steps):
        for client, ahead in (("A", max_num_seqs + 1), ("B", 3 * max_num_seqs)):
            while sum(request.client == client for request in scheduler.waiting.waiting) < ahead:
                prompt, answer = kinds[client]
                sent[client] += 1
                scheduler.add(Arrival(f"{client}{sent[client]}", now, prompt, answer, client).request())
                if len(scheduler.waiting.waiting) != sent["A"] + sent["B"] - admitted:
                    raise IntegrityError(
                        "After `push(request)` the request is not in `self.waiting`, so nobody will serve it."
                    )
        step = scheduler.schedule()
        admitted += len(step.admitted)
        for request_id, _ in step.admitted:
            request = scheduler.running[request_id]
            service[request.client] += request.num_prompt_tokens
        scheduler.update(step)
        for request in [scheduler.running[sequence.request_id] for sequence in step.scheduled]:
            if request.num_computed_tokens == request.num_tokens:
                service[request.client] += 2
                request.append(0)
                if request.finish_reason:
                    scheduler.finish(request, request.finish_reason)
        differences.append(service["A"] - service["B"])
    longest_prompt, longest_answer = max(few[0], many[0]), max(few[1], many[1])
    return max(differences) - min(differences), 2 * (longest_prompt + 2 * max_num_seqs * longest_answer)


def within_bound(policy, **setup):
    found, bound = spread(policy, **setup)
    return Seen("within the bound" if found <= bound else "beyond the bound", f"({found}, {bound})")


def bound_trial(**setup):
    told = ", ".join(f"{name}={value}" for name, value in setup.items())
    return Trial(
        ["from course_lib.practice.play import spread", f"spread(FairShare, {told})"],
        lambda answer: within_bound(answer, **setup),
        limit_s=10.0,
    )


BOUNDS = [
    bound_trial(max_num_seqs=n, few=few, many=many)
    for n, few, many in ((1, (3, 2), (9, 5)), (2, (9, 2), (2, 2)), (4, (2, 8), (12, 1)))
]


def one(*steps):
    return told(Line, {}, *steps)


def come(*requests):
    """("A", 3) comes as a, and so on."""
    return [("come", name, client, prompt) for name, (client, prompt) in zip("abcdefgh", requests)]


def admits(n):
    return [("admit",)] * n


def day(*arrivals, **setup):
    return script_trial(
        lambda answer, script: serve_clients(answer, script.arrivals, **script.setup),
        Script(tuple(Arrival(**arrival) for arrival in arrivals), setup),
        "serve_clients({answer}, {arrivals}, {setup})",
        "FairShare",
        imports="from course_lib.practice.play import Arrival, serve_clients",
    )


def many(client, number, *, first=0, step=0, prompt=2, max_tokens=2):
    """`number` requests of a client at once, numbered from `first`."""
    return [
        dict(name=f"{client.lower()}{n}", step=step, prompt=prompt, max_tokens=max_tokens, client=client)
        for n in range(first, first + number)
    ]


wrong = WrongShare.variant

FAIR_SHARE = Exercise(
    id="11.fair_share",
    title="A counter for each client",
    name="FairShare",
    cases="programs",
    properties=[
        Property(
            "Nobody waits: `peek()` is `None`. One client alone: first come, first served",
            "The engine asks in every step, also when nobody waits.",
            [one(("peek",)), one(*come(("A", 1)), ("peek",)), one(*come(("A", 1)), *admits(1), ("peek",))]
            + [
                one(*come(*[("A", n) for n in prompts]), *admits(len(prompts)))
                for prompts in ((1, 2), (3, 1), (2, 5, 1))
            ],
        ),
        Property(
            "The client with the lowest counter is next; among equals, the request that came first",
            "Whoever sends a hundred requests must not push aside the one who sends one.",
            [
                day(*many("A", n, prompt=prompt), *many("B", 1, prompt=1), max_num_seqs=1)
                for n in (2, 3)
                for prompt in (1, 2)
            ]
            + [
                day(*many("B", 1), *many("A", n), *many("B", 2, first=1), max_num_seqs=seats)
                for n in (1, 3)
                for seats in (1, 2)
            ]
            + [
                day(*many("A", 2, prompt=a), *many("B", 2, prompt=b), *many("C", 2, prompt=c), max_num_seqs=1)
                for a, b, c in ((3, 2, 1), (1, 2, 3), (2, 2, 2), (1, 5, 2))
            ],
        ),
        Property(
            "A prompt token counts 1, a written token counts 2",
            "Written tokens cost more: each of them is a step of its own.",
            [
                one(*come(("A", 4), ("B", b), ("A", 1), ("B", 1)), *admits(2), ("write", "a", n), *admits(1))
                for b, n in ((6, 2), (5, 1), (3, 1), (7, 1), (9, 2), (9, 3), (13, 4), (11, 4))
            ]
            + [
                one(
                    *come(("A", 3), ("B", 3), ("A", 3), ("B", 3)),
                    *admits(2),
                    ("write", "b", 1),
                    ("write", "a", 1),
                    ("write", "a", 1),
                    *admits(1),
                ),
                one(
                    *come(("A", 2), ("B", 7), ("A", 1), ("B", 1)),
                    *admits(2),
                    ("write", "a", 1),
                    ("write", "a", 1),
                    *admits(1),
                ),
            ],
        ),
        Property(
            "Who comes back is lifted to the lowest counter of those who wait, and never lowered",
            "Otherwise a client who was away all night has saved up a night of service, and all others stand still.",
            [
                day(*many("A", 5, prompt=a), *many("B", 3, step=step), max_num_seqs=1)
                for a, step in ((2, 3), (4, 3), (4, 5))
            ]
            + [
                day(*many("B", 1, prompt=1), *many("A", 5, prompt=a), *many("B", 2, first=1, step=5), max_num_seqs=1)
                for a in (3, 5)
            ]
            + [
                day(
                    *many("A", 3, prompt=a), *many("B", 4, prompt=2), *many("C", 2, prompt=1, step=step), max_num_seqs=1
                )
                for a, step in ((8, 3), (6, 3), (8, 5))
            ]
            + [
                day(
                    *many("B", 1, prompt=b),
                    *many("A", 3, prompt=1),
                    *many("B", 1, first=1, prompt=1, step=2),
                    max_num_seqs=1,
                )
                for b in (6, 9, 12)
            ]
            + [
                day(*many("C", 1, prompt=1), *many("A", 4, prompt=a), *many("D", 2, prompt=1, step=4), max_num_seqs=1)
                for a in (3, 6, 7)
            ],
        ),
        Property(
            "Where nobody waits, it is lifted to the counter of the client whose request left last",
            "A quiet minute must not give the next newcomer credit either.",
            [
                one(
                    *come(("A", a)),
                    *admits(1),
                    ("come", "b", "B", b),
                    ("come", "c", "A", 1),
                    ("come", "d", "B", 1),
                    *admits(2),
                )
                for a, b in ((4, 2), (2, 1), (5, 3), (3, 3))
            ]
            + [
                one(
                    *come(("A", 2)),
                    *admits(1),
                    ("write", "a", 2),
                    ("come", "b", "B", 1),
                    ("come", "c", "A", 1),
                    ("come", "d", "B", 1),
                    *admits(2),
                ),
                one(
                    *come(("A", 6), ("B", 3)),
                    *admits(2),
                    ("come", "c", "C", 1),
                    ("come", "d", "B", 1),
                    ("come", "e", "C", 1),
                    *admits(2),
                ),
                one(
                    *come(("A", 6), ("B", 2)),
                    *admits(1),
                    ("abort", "b"),
                    ("come", "c", "B", 1),
                    ("come", "d", "A", 1),
                    *admits(1),
                ),
            ],
        ),
        Property(
            "Who had to make room is not lifted: it was not away",
            "It was running. Losing its place is enough; its client need not pay for it too.",
            [
                one(
                    *come(("A", 1), ("B", b)),
                    *admits(2),
                    ("make_room", "b"),
                    ("come", "c", "A", 1),
                    ("make_room", "a"),
                    *admits(2),
                )
                for b in (3, 6)
            ]
            + [
                one(
                    *come(("A", 1), ("B", b), ("B", 1)),
                    *admits(2),
                    ("make_room", "a"),
                    ("come", "d", "C", 1),
                    *admits(n),
                )
                for b in (4, 8)
                for n in (1, 2)
            ]
            + [
                one(
                    *come(("A", 2), ("B", 5), ("B", 2), ("C", 9), ("C", 1)),
                    *admits(3),
                    ("make_room", "a"),
                    ("come", "f", "A", 4),
                    *admits(n),
                )
                for n in (1, 2, 3)
            ],
        ),
        Property(
            "In any program the right one is next",
            "Clients come, write, pause, make room and give up in every order.",
            played(FairShare, 70, 11),
        ),
        Property(
            "In the engine's scheduler, the right one is admitted at every step",
            "There, all this happens at once.",
            [
                day(*many("A", 3), *many("B", 3, step=2), max_num_seqs=2),
                day(*many("A", 2, max_tokens=6), *many("B", 5, prompt=1, max_tokens=1, step=3), max_num_seqs=1),
                day(
                    *many("A", 3, prompt=3, max_tokens=6),
                    *many("B", 2, prompt=3, max_tokens=6, step=1),
                    max_num_seqs=3,
                    num_blocks=6,
                    block_size=2,
                ),
            ],
        ),
        Property(
            "Two clients who wait all the time are never served more than 2U apart",
            "U is the longest prompt + 2 x `max_num_seqs` x the longest answer: all that can be promised to whoever was "
            "chosen while its counter was the lowest.",
            BOUNDS,
        ),
    ],
    mistakes=[
        Mistake(
            "first come, first served.",
            "Who sends most is served most. Does the one counter of a client rise in `charge`, and "
            "does `peek` take the lowest? Only among equals, who came first goes first.",
            (wrong(rank=lambda line, request: 0), wrong(rank=lambda line, request: request.arrival)),
        ),
        Mistake(
            "the client who was served most goes first.",
            "The counter is what a client has had. The lowest goes first: `min`.",
            wrong(rank=lambda line, request: -line.counters[request.client]),
        ),
        Mistake(
            "equals go by something else than who came first.",
            "`min` over a list gives the first of equals, and "
            "`self.waiting` is in the order of arrival. Compare counters only, with `<` and not `<=`.",
            (
                wrong(rank=lambda line, request: (line.counters[request.client], request.client)),
                wrong(rank=lambda line, request: (line.counters[request.client], -request.arrival)),
                wrong(rank=lambda line, request: (line.counters[request.client], request.num_prompt_tokens)),
            ),
        ),
        Mistake(
            "of a client's requests the last goes first.",
            "Within a client it is first come, first served, or its first request starves.",
            wrong(
                chosen=lambda line: next(
                    (
                        r
                        for r in reversed(line.waiting)
                        if r.client == min(line.waiting, key=lambda request: line.counters[request.client]).client
                    ),
                    None,
                )
            ),
        ),
        Mistake(
            "`peek` takes the request off the list.",
            "The engine looks more often than it takes. `pop` and `remove` do the taking.",
            TakesOff,
        ),
        Mistake(
            "`self.waiting` is brought into another order.",
            "It stands in the order of arrival, by which equals go. To look for the "
            "lowest, leave it as it is: `min(self.waiting, key=...)`.",
            Sorts,
        ),
        Mistake(
            "the request does not join the list.",
            "Who is in no list is never served. `push` ends with `super().push(request, returning=returning)`.",
            wrong(joins=False),
        ),
        Mistake(
            "requests are counted, not tokens.",
            "One request may be a thousand times as long as another. Count what it was given, in tokens.",
            PerRequest,
        ),
        Mistake(
            "written tokens are not counted.",
            "A short prompt can ask for a long answer. Add 2 for each of `output_tokens`.",
            wrong(output_weight=0),
        ),
        Mistake(
            "a written token counts as much as a prompt token.",
            "A prompt is computed at once; each written token reads all weights again. Here it counts 2.",
            wrong(output_weight=1),
        ),
        Mistake(
            "a prompt token counts more than a written one.",
            "Turned round: 1 for a prompt token, 2 for a written one.",
            wrong(prompt_weight=2, output_weight=1),
        ),
        Mistake(
            "prompts are not counted.",
            "Whoever sends long prompts and asks for one token each would be served for nothing.",
            wrong(prompt_weight=0),
        ),
        Mistake(
            "prompts are counted when they come.",
            "Who waits was given nothing yet. `charge` says when it was.",
            wrong(prompt_at_push=True),
        ),
        Mistake("the counter is set, not added to.", "It is all the service so far: `+=`.", wrong(adds=False)),
        Mistake(
            "whoever comes back is not lifted.",
            "Its counter stood still while it was away, and now it goes before all "
            "others until it has caught up. Lift it before the request joins `self.waiting`: behind that, its own counter "
            "is among those that wait.",
            wrong(lifted=lambda own, floor: own),
        ),
        Mistake(
            "the lowest counter is added to its own.",
            "What it was given before would count again. It is lifted to the lowest, no further: `max(own, lowest)`.",
            wrong(lifted=lambda own, floor: own + floor),
        ),
        Mistake(
            "a counter is lowered when its client comes back.",
            "`max(own, lowest)`: who sent one request at a time would otherwise have its bill torn up each time.",
            wrong(lifted=lambda own, floor: floor),
        ),
        Mistake(
            "a newcomer is lifted to the highest.",
            "It would wait until all others have caught up. Lift it to the lowest of those who wait: `min`.",
            wrong(
                floor=lambda line, client: max(
                    [line.counters[r.client] for r in line.waiting] or [line.counters.get(line.last_client, 0)]
                )
            ),
        ),
        Mistake(
            "it is lifted to the lowest of all counters, waiting or not.",
            "Who is away has an old counter. Only those count who wait now, and where nobody waits, who left last.",
            wrong(
                floor=lambda line, client: min((c for name, c in line.counters.items() if name != client), default=0)
            ),
        ),
        Mistake(
            "nobody is lifted when nobody waits.",
            "Those who run are being served meanwhile. Then the counter of `self.last_client` is the measure.",
            wrong(floor=lambda line, client: min((line.counters[r.client] for r in line.waiting), default=0)),
        ),
        Mistake(
            "who had to make room is lifted.",
            "It was running, not away. Lift only where `returning` is false.",
            wrong(lifts_returning=True),
        ),
        Mistake(
            "only newcomers are lifted.",
            "Who was here before and went away has an old counter too. Away is who has no request in `self.waiting`.",
            wrong(is_away=lambda line, request: request.client not in line.counters),
        ),
    ],
    hints=[
        "Three questions: what does a request cost its client (`charge`), who is next (`peek`), and where does a client start "
        "who was away (`push`)?",
        "`charge` adds `prompt_tokens + 2 * output_tokens` to the client's counter. `peek` takes the smallest counter over "
        "`self.waiting`: `min(..., key=..., default=None)` keeps the order among equals.",
        "`push`, before the request joins: is any other request of this client in `self.waiting`? If not, and if it is not "
        "`returning`, look for the lowest counter among the clients that wait; if nobody waits, take that of "
        "`self.last_client`.",
        "The new counter is `max(own, lowest)`. Then `super().push(request, returning=returning)`.",
    ],
    rights=[FairShare, FairByQueues, FairByHalves],
    why="Three rules. Count what was given, when it was given. Serve the lowest. And who was away starts where the least "
    "served of those who wait is, so that idling saves up nothing and costs nothing. This is the Virtual Token Counter "
    "(arXiv 2401.00588). `course_lib` keeps a heap of clients and a queue for each instead of one list, so that choosing "
    "costs the same among thousands.",
)
