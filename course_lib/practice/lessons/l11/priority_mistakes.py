"""The mistakes in 11.priority. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.running import Raised

from .solutions.priority import ImportantFirst


def variant(**parts):
    """A wrong answer: the right one with methods replaced."""
    return type("ImportantFirst", (ImportantFirst,), parts)


class Stack(ImportantFirst):
    """Among equals the request that arrived last goes first."""

    def key(self, request):
        return request.priority, -request.arrival


def latest_first(self, running):
    return sorted(running, key=lambda r: (r.priority, -r.arrival))


def gives_no_order(answer, found):
    """Whether `order` returned None."""
    return isinstance(found.outcome, Raised) and f"`order` returned {a_kind(None)};" in found.outcome.message


MISTAKES = [
    Mistake(
        "priority is reversed.",
        "A lower value is more important: priority 0 goes before priority 5.",
        (
            variant(key=lambda self, r: (-r.priority, r.arrival), outranks=lambda self, w, r: w.priority > r.priority),
            variant(key=lambda self, r: (-r.priority, r.arrival)),
        ),
    ),
    Mistake(
        "waiting requests are admitted in the order of arrival.",
        "The queue is sorted by `key`: (priority, arrival), and not arrival alone.",
        variant(
            key=lambda self, r: r.arrival,
            order=lambda self, running: sorted(running, key=lambda r: (r.priority, r.arrival)),
        ),
    ),
    Mistake(
        "arrival counts more than priority.",
        "A tuple is compared from the left: (priority, arrival), so that arrival decides only among equals.",
        variant(key=lambda self, r: (r.arrival, r.priority)),
    ),
    Mistake(
        "priority is not used.",
        "This is first come, first served. `key` begins with the priority, and `outranks` compares it.",
        variant(key=lambda self, r: r.arrival, order=lambda self, running: running, outranks=lambda self, w, r: False),
    ),
    Mistake(
        "among equals the request that arrived last goes first.",
        "The request that arrived first has waited longest: the smallest arrival goes first.",
        Stack,
    ),
    Mistake(
        "a running request is never preempted.",
        "Then a long unimportant request delays all important ones. `outranks` is True where the waiting request "
        "is more important.",
        variant(outranks=lambda self, w, r: False),
    ),
    Mistake(
        "equals preempt each other.",
        "`<`, not `<=`: only a more important request may preempt.",
        (variant(outranks=lambda self, w, r: w.priority <= r.priority), variant(outranks=lambda self, w, r: True)),
    ),
    Mistake(
        "`outranks` is reversed.",
        "It says whether the waiting request may preempt the running one: waiting.priority < running.priority.",
        variant(outranks=lambda self, w, r: r.priority < w.priority),
    ),
    Mistake(
        "running requests stay in the order of their admission.",
        "The last of `order` is preempted, so the least important request belongs there.",
        variant(order=lambda self, running: running),
    ),
    Mistake(
        "the most important running request is preempted.",
        "`order` begins with the request that is served first. Its last request is preempted.",
        variant(order=lambda self, running: sorted(running, key=self.key, reverse=True)),
    ),
    Mistake(
        "`order` returns nothing.",
        "`running.sort()` sorts in place and returns None. `sorted(running, key=...)` returns a new list.",
        is_made_by=gives_no_order,
    ),
    Mistake(
        "of equal running requests, the one that arrived first is preempted.",
        "It has computed most tokens. Sort by (priority, arrival): the request that arrived last comes last.",
        variant(order=latest_first),
    ),
]
