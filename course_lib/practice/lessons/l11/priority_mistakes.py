"""The mistakes in 11.priority. Each is the right answer with one part replaced."""

import struct

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


def in_order(self, running):
    return sorted(running, key=lambda r: (r.priority, r.arrival))


def added_up(weight, **parts):
    """One level of priority counts as much as `weight` seconds."""
    return variant(key=lambda self, r: r.priority * weight + r.arrival, **parts)


def first_come_outranks(self, waiting, running):
    return (waiting.priority, waiting.arrival) < (running.priority, running.arrival)


class SortsInPlace(ImportantFirst):
    def order(self, running):
        running.sort(key=self.key)
        return running


MISTAKES = [
    Mistake(
        "the priority goes through a float.",
        "A float has 53 bits: large priorities that differ become equal. Compare the ints.",
        variant(
            key=lambda self, r: (float(r.priority), r.arrival),
            order=lambda self, running: sorted(running, key=lambda r: (float(r.priority), r.arrival)),
        ),
        lambda answer, found: any(str(2**53 + 1) in line for line in found.story),
    ),
    Mistake(
        "priority and arrival are added up.",
        "Arrivals are times in seconds, so after a while they count more than any priority; divided by a large number, "
        "their digits are lost. Return a tuple.",
        (
            *(added_up(weight) for weight in (1, 1000, 1e6)),
            *(added_up(weight, order=in_order) for weight in (1, 1000, 1e6)),
            variant(key=lambda self, r: r.priority + r.arrival / 1e12),
        ),
    ),
    Mistake(
        "arrivals are rounded.",
        "Many requests arrive within a second, and some within a millisecond: compare `request.arrival` as it is.",
        (
            variant(key=lambda self, r: (r.priority, int(r.arrival))),
            variant(key=lambda self, r: (r.priority, round(r.arrival))),
            variant(key=lambda self, r: (r.priority, int(r.arrival)), order=in_order),
            variant(key=lambda self, r: (r.priority, round(r.arrival)), order=in_order),
            variant(key=lambda self, r: (r.priority, round(r.arrival, 3))),
            variant(key=lambda self, r: (r.priority, round(r.arrival, 3)), order=in_order),
            variant(key=lambda self, r: (r.priority, struct.unpack("f", struct.pack("f", r.arrival)))),
        ),
    ),
    Mistake(
        "numbers are compared as text.",
        'As text "10" comes before "9". Return the numbers, in a tuple.',
        (
            variant(key=lambda self, r: (str(r.priority), str(r.arrival))),
            variant(key=lambda self, r: f"{r.priority}{r.arrival}"),
            variant(key=lambda self, r: f"{r.priority:05d}{r.arrival}"),
            variant(key=lambda self, r: f"{r.priority} {r.arrival}"),
        ),
    ),
    Mistake(
        "the sign of the priority is lost.",
        "A priority below 0 is more important than 0. Compare `request.priority` as it is.",
        variant(key=lambda self, r: (abs(r.priority), r.arrival)),
    ),
    Mistake(
        "arrival is no part of the key.",
        "Among equals the first to arrive goes first: (priority, arrival).",
        variant(key=lambda self, r: r.priority),
    ),
    Mistake(
        "the caller's list of running requests is changed.",
        "`running.sort()` changes it. `sorted(running, key=…)` returns a new list.",
        SortsInPlace,
    ),
    Mistake(
        "running requests of equal priority stay in the order of their admission.",
        "`order` sorts as `key` does: among equals the first to arrive is served first.",
        variant(order=lambda self, running: sorted(running, key=lambda r: r.priority)),
    ),
    Mistake(
        "an equal preempts a running request that arrived later.",
        "`outranks` compares priorities alone. The running request has computed its tokens already.",
        variant(outranks=first_come_outranks),
    ),
    Mistake(
        "whether a request may preempt depends on its arrival, too.",
        "`outranks` compares priorities alone, whenever the two arrived.",
        (
            variant(outranks=lambda self, w, r: w.priority < r.priority and w.arrival < r.arrival),
            variant(outranks=lambda self, w, r: w.priority < r.priority and w.arrival > r.arrival),
        ),
    ),
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
