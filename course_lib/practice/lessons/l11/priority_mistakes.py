"""The mistakes in 11.priority. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.running import Raised

from .solutions.priority import ImportantFirst


def variant(**parts):
    """A wrong answer: the right one with a method replaced."""
    return type("ImportantFirst", (ImportantFirst,), parts)


class Stack(ImportantFirst):
    """Among equals the latest goes first."""

    def key(self, request):
        return request.priority, -request.arrival


def latest_first(self, running):
    return sorted(running, key=lambda r: (r.priority, -r.arrival))


def gives_no_order(answer, found):
    """Whether `order` gave None."""
    return isinstance(found.outcome, Raised) and f"`order` gave {a_kind(None)};" in found.outcome.message


MISTAKES = [
    Mistake(
        "priority is turned round.",
        "A lower value is more important: priority 0 goes before priority 5.",
        (
            variant(key=lambda self, r: (-r.priority, r.arrival), outranks=lambda self, w, r: w.priority > r.priority),
            variant(key=lambda self, r: (-r.priority, r.arrival)),
        ),
    ),
    Mistake(
        "those who wait come in as they came.",
        "`key` is what the line goes by: (priority, arrival), and not arrival alone.",
        variant(
            key=lambda self, r: r.arrival,
            order=lambda self, running: sorted(running, key=lambda r: (r.priority, r.arrival)),
        ),
    ),
    Mistake(
        "arrival comes before priority.",
        "A tuple is compared from the left: (priority, arrival), so that arrival only settles ties.",
        variant(key=lambda self, r: (r.arrival, r.priority)),
    ),
    Mistake(
        "priority is not looked at.",
        "That is first come, first served. `key` begins with the priority, and `outranks` compares it.",
        variant(key=lambda self, r: r.arrival, order=lambda self, running: running, outranks=lambda self, w, r: False),
    ),
    Mistake(
        "among equals the last who came goes first.",
        "Who came first has waited longest: the smallest arrival goes first.",
        Stack,
    ),
    Mistake(
        "who runs is never thrown out.",
        "Then a long text of no importance holds up all that matter. `outranks` is True where "
        "the waiting one is more important.",
        variant(outranks=lambda self, w, r: False),
    ),
    Mistake(
        "equals throw each other out.",
        "`<`, not `<=`: a place is only taken by one who is more important.",
        (variant(outranks=lambda self, w, r: w.priority <= r.priority), variant(outranks=lambda self, w, r: True)),
    ),
    Mistake(
        "`outranks` is turned round.",
        "It is asked whether the waiting one may take the place: waiting.priority < running.priority.",
        variant(outranks=lambda self, w, r: r.priority < w.priority),
    ),
    Mistake(
        "those who run stay in the order of their admission.",
        "The last of `order` is thrown out, so the least important belongs there.",
        variant(order=lambda self, running: running),
    ),
    Mistake(
        "the most important of those who run is thrown out.",
        "`order` begins with who is served first. The last of it makes room.",
        variant(order=lambda self, running: sorted(running, key=self.key, reverse=True)),
    ),
    Mistake(
        "`order` gives nothing back.",
        "`running.sort()` sorts in place and returns None. `sorted(running, key=...)` returns a new list.",
        is_made_by=gives_no_order,
    ),
    Mistake(
        "of equals that run, the first who came is thrown out.",
        "It has computed most, and has waited longest. Sort by (priority, arrival): the last who came stands last.",
        variant(order=latest_first),
    ),
]
