"""The exercise 11.fair_share: a counter of tokens for each client; the client that was served least is next."""

from course_lib.practice.judge.exercise import Exercise, Property
from course_lib.practice.judge.programs import told
from course_lib.practice.judge.scripts import Arrival, Script, script_trial

from .fair_share_answers import FairByHalves, FairByQueues
from .fair_share_bound import BOUNDS
from .fair_share_game import Line, played, serve_clients
from .fair_share_mistakes import MISTAKES
from .solutions.fair_share import FairShare


def one(*steps):
    return told(Line, {}, *steps)


def come(*requests):
    """The first request, such as ("A", 3), arrives as a, the second as b, and so on."""
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


FAIR_SHARE = Exercise(
    id="11.fair_share",
    title="A counter for each client",
    name="FairShare",
    cases="programs",
    properties=[
        Property(
            "While no request waits, `peek()` returns `None`. With one client: first come, first served",
            "The engine calls `peek` in every step, also while no request waits.",
            [one(("peek",)), one(*come(("A", 1)), ("peek",)), one(*come(("A", 1)), *admits(1), ("peek",))]
            + [
                one(*come(*[("A", n) for n in prompts]), *admits(len(prompts)))
                for prompts in ((1, 2), (3, 1), (2, 5, 1))
            ],
        ),
        Property(
            "The client with the lowest counter is next; among equals, the request that arrived first",
            "A client that sends a hundred requests must not delay a client that sends one.",
            [
                day(*many("A", n, prompt=prompt), *many("B", 1, prompt=1), max_num_seqs=1)
                for n in (2, 3)
                for prompt in (1, 2)
            ]
            + [
                day(*many("B", 1), *many("A", n), *many("B", 2, first=1), max_num_seqs=most)
                for n in (1, 3)
                for most in (1, 2)
            ]
            + [
                day(*many("A", 2, prompt=a), *many("B", 2, prompt=b), *many("C", 2, prompt=c), max_num_seqs=1)
                for a, b, c in ((3, 2, 1), (1, 2, 3), (2, 2, 2), (1, 5, 2))
            ],
        ),
        Property(
            "A prompt token counts 1, an output token counts 2",
            "Output tokens cost more: each of them needs a step of its own.",
            [
                one(*come(("A", 4), ("B", b), ("A", 1), ("B", 1)), *admits(2), ("write", "a", n), *admits(1))
                for b, n in ((6, 2), (5, 1), (3, 1), (7, 1), (9, 2), (9, 3), (13, 4), (11, 4))
            ]
            + [
                one(*come(("A", 1), ("B", b), ("A", 1), ("B", 1)), *admits(2), ("bill", "a", p, n), *admits(1))
                for b, p, n in ((4, 3, 1), (6, 4, 2), (5, 2, 2), (9, 8, 1))
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
            "The counter of a client that was away is raised to the lowest counter of the waiting clients, and "
            "never lowered",
            "Otherwise a client that was away for hours would be served alone until its counter has caught up.",
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
                one(
                    *come(("A", a), ("B", b), ("B", 1)),
                    *admits(2),
                    ("come", "d", "A", 1),
                    ("come", "e", "C", 1),
                    *admits(2),
                )
                for a, b in ((6, 2), (9, 3), (5, 4))
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
            "Where no request waits, it is raised to the counter of the client whose request left the queue last",
            "An empty queue must not give an advantage to the next client that arrives.",
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
                *(
                    one(
                        *come(("A", a), ("B", b)),
                        *admits(2),
                        ("come", "c", "C", 1),
                        ("write", "b", 1),
                        ("preempt", "b"),
                        *admits(2),
                    )
                    for a, b in ((6, 3), (9, 2), (7, 4))
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
            "After a preemption the counter is not raised: the client was not away",
            "Its request was running. The preemption must not also raise the counter of its client.",
            [
                one(
                    *come(("A", 1), ("B", b)),
                    *admits(2),
                    ("preempt", "b"),
                    ("come", "c", "A", 1),
                    ("preempt", "a"),
                    *admits(2),
                )
                for b in (3, 6)
            ]
            + [
                one(
                    *come(("A", 1), ("B", b), ("B", 1)), *admits(2), ("preempt", "a"), ("come", "d", "C", 1), *admits(n)
                )
                for b in (4, 8)
                for n in (1, 2)
            ]
            + [
                one(
                    *come(("A", 2), ("B", 5), ("B", 2), ("C", 9), ("C", 1)),
                    *admits(3),
                    ("preempt", "a"),
                    ("come", "f", "A", 4),
                    *admits(n),
                )
                for n in (1, 2, 3)
            ],
        ),
        Property(
            "In random programs the right request is next",
            "Requests arrive, decode, are preempted and are aborted in every order.",
            played(FairShare, 70, 11),
        ),
        Property(
            "In the engine's scheduler, the right request is admitted in every step",
            "There, all these events happen together.",
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
            "The service of two clients that always have waiting requests never differs by more than 2U",
            "U is the longest prompt + 2 x `max_num_seqs` x the longest answer: the most service that a client "
            "can still get for requests that were admitted while its counter was the lowest.",
            BOUNDS,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "Three questions: what does a request cost its client (`charge`), which request is next (`peek`), and "
        "with which counter does a client start that was away (`push`)?",
        "`charge` adds `prompt_tokens + 2 * output_tokens` to the client's counter. `peek` takes the smallest "
        "counter over `self.waiting`: `min(..., key=..., default=None)` returns the first among equals.",
        "In `push`, before the request is added: is any other request of this client in `self.waiting`? If not, "
        "and if it is not `returning`, find the lowest counter among the waiting clients; if no request waits, "
        "take the counter of `self.last_client`.",
        "The new counter is `max(own, lowest)`. Then `super().push(request, returning=returning)`.",
    ],
    rights=[FairShare, FairByQueues, FairByHalves],
    why="There are three rules. Count service when it is given. Serve the client with the lowest counter. A client "
    "that was away starts with the lowest counter of the waiting clients, so that being away is no advantage and "
    "no disadvantage. This is the Virtual Token Counter (arXiv 2401.00588). `course_lib` keeps a heap of clients "
    "and a queue for each instead of one list, so that choosing costs the same among thousands of requests.",
)
