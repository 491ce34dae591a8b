"""The exercise 16.admission: who starts, who waits, and who is refused and when to come again."""

import random
from collections import OrderedDict

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .admission_mistakes import MISTAKES
from .solutions.admission import Admission


class AdmissionByCounting:
    """Counts the free tokens, and keeps the line as a list."""

    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.limit, self.budget, self.rate = most_waiting, token_budget, tokens_per_s
        self.free, self.held, self.line = token_budget, {}, []

    def arrive(self, request_id, num_tokens):
        if num_tokens > self.budget:
            return ("refuse", None)
        if len(self.line) >= self.limit and (self.line or num_tokens > self.free):
            missing = (self.line[0][1] if self.line else num_tokens) - self.free
            return ("refuse", int(-(-missing // self.rate)))
        self.line.append((request_id, num_tokens))
        return ("run", None) if request_id in self.start() else ("wait", None)

    def start(self):
        begun = []
        while self.line and self.line[0][1] <= self.free:
            name, size = self.line.pop(0)
            self.held[name] = size
            self.free -= size
            begun.append(name)
        return begun

    def leave(self, request_id):
        self.free += self.held.pop(request_id, 0)
        self.line = [one for one in self.line if one[0] != request_id]
        return self.start()


class AdmissionInOneLine:
    """One ordered dict of all requests: the first of them run."""

    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.settings = most_waiting, token_budget, tokens_per_s
        self.all, self.num_running = OrderedDict(), 0

    def _used(self):
        return sum(list(self.all.values())[: self.num_running])

    def arrive(self, request_id, num_tokens):
        most, budget, rate = self.settings
        num_waiting = len(self.all) - self.num_running
        if num_tokens > budget:
            return "refuse", None
        first = [*self.all.values(), num_tokens][self.num_running]
        if num_waiting == 0 and self._used() + num_tokens <= budget:
            self.all[request_id] = num_tokens
            self.num_running += 1
            return "run", None
        if num_waiting >= most:
            seconds = 1
            while seconds * rate < self._used() + first - budget:
                seconds += 1
            return "refuse", seconds
        self.all[request_id] = num_tokens
        return "wait", None

    def leave(self, request_id):
        _, budget, _ = self.settings
        if request_id in list(self.all)[: self.num_running]:
            self.num_running -= 1
        self.all.pop(request_id, None)
        started = []
        for name in list(self.all)[self.num_running :]:
            if self._used() + self.all[name] > budget:
                break
            self.num_running += 1
            started.append(name)
        return started


def calls_of(text):
    """ "a+30 b+5 a-" as [("arrive", "a", 30), ("arrive", "b", 5), ("leave", "a")]."""
    found = []
    for word in text.split():
        name, plus, tokens = word.partition("+")
        found.append(("arrive", name, int(tokens)) if plus else ("leave", word.removesuffix("-")))
    return found


def as_told(found):
    """A list in the place of a pair is as good, and a tuple in the place of a list of ids."""
    if isinstance(found, (list, tuple)) and len(found) == 2 and found[0] in ("run", "wait", "refuse"):
        return tuple(found)
    return list(found) if isinstance(found, tuple) else found


def day(most_waiting, token_budget, tokens_per_s, calls, note=""):
    """The Trial of some calls: all that they return."""
    calls = calls_of(calls) if isinstance(calls, str) else calls

    def act(answer):
        admission = answer(most_waiting, token_budget, tokens_per_s)
        return [as_told(getattr(admission, name)(*details)) for name, *details in calls]

    listed = ", ".join(f"admission.{name}({', '.join(map(repr, details))})" for name, *details in calls)
    story = [f"admission = Admission({most_waiting}, {token_budget}, {tokens_per_s})", f"[{listed}]"]
    return Trial(story, act, note=note, size=10 * len(calls) + most_waiting)


def two_servers(calls):
    """The Trial of two objects, called in turn: each call is made of the first, and then of the second."""

    def act(answer):
        both = answer(1, 100, 10), answer(1, 100, 10)
        return [as_told(getattr(one, name)(*details)) for name, *details in calls_of(calls) for one in both]

    listed = ", ".join(f"one.{name}({', '.join(map(repr, details))})" for name, *details in calls_of(calls))
    story = ["one, other = Admission(1, 100, 10), Admission(1, 100, 10)"]
    listed = ", ".join(
        f"{one}.{name}({', '.join(map(repr, details))})"
        for name, *details in calls_of(calls)
        for one in ("one", "other")
    )
    return Trial([*story, f"[{listed}]"], act, size=20 * len(calls.split()))


def random_days(number, seed):
    """Trials of requests that come and go at random."""
    draw, found = random.Random(seed), []
    for _ in range(number):
        most, budget, rate = draw.choice((0, 1, 2, 4)), draw.choice((50, 100)), draw.choice((7, 10, 50))
        there, calls = [], []
        for name in "abcdefghijkl"[: draw.randint(5, 12)]:
            calls.append(("arrive", name, draw.choice((5, 10, 20, 30, 50, 60, 90))))
            there.append(name)
            while there and draw.random() < 0.4:
                calls.append(("leave", there.pop(draw.randrange(len(there)))))
        found.append(day(most, budget, rate, calls))
    return found


ADMISSION = Exercise(
    id="16.admission",
    title="Who is let in",
    name="Admission",
    cases="days",
    properties=[
        Property(
            "A request starts where nobody waits and its tokens fit into the budget, exactly full included",
            "The budget is what the engine can serve well at a time.",
            [
                day(4, 100, 10, "a+30"),
                day(4, 100, 10, "a+100", note="exactly full"),
                day(4, 100, 10, "a+30 b+70", note="exactly full"),
                day(4, 100, 10, "a+30 b+71", note="one token too many"),
                day(4, 100, 10, "a+99 b+1 c+1"),
                day(4, 50, 10, "a+20 b+20 c+10"),
            ],
        ),
        Property(
            "At most `most_waiting` requests wait, and one more is refused",
            "A queue without a limit only makes the wait longer.",
            [
                day(1, 100, 10, "a+100 b+10 c+10", note="100 + 10 - 100 = 10 tokens are missing for b: 1 second"),
                day(2, 100, 10, "a+100 b+10 c+10 d+10"),
                day(0, 100, 10, "a+100 b+10"),
                day(0, 100, 10, "a+60 b+40 c+10", note="60 + 40 + 10 - 100 = 10 tokens are missing: 1 second"),
                day(3, 50, 10, "a+50 b+50 c+50 d+50 e+50"),
                day(1, 100, 10, "a+100 b+100 c+100 d+100", note="a refused one does not wait"),
            ],
        ),
        Property(
            "A request that needs more than the whole budget is refused for good",
            "It can never start, so no time to come again is right.",
            [
                day(4, 100, 10, "a+101"),
                day(0, 100, 10, "a+500"),
                day(4, 100, 10, "a+60 b+101 c+40"),
                day(1, 100, 10, "a+100 b+10 c+101"),
                day(1, 50, 10, "a+51 b+50 c+51"),
            ],
        ),
        Property(
            "Nobody overtakes: a request that would fit waits behind one that does not",
            "Otherwise a stream of small requests could keep a large one waiting for ever.",
            [
                day(4, 100, 10, "a+80 b+30 c+10"),
                day(4, 100, 10, "a+80 b+30 c+10 d+10 a-"),
                day(1, 100, 10, "a+80 b+30 c+10", note="c is refused, though 20 tokens are free"),
                day(4, 100, 10, "a+60 b+90 c+20 d+20 a-"),
                day(4, 50, 10, "a+30 b+30 c+20 a- b-"),
            ],
        ),
        Property(
            "When a request leaves, those that wait start in their order, as many as fit",
            "The first that does not fit ends the list.",
            [
                day(4, 100, 10, "a+100 b+10 a-"),
                day(4, 100, 10, [("arrive", 0, 100), ("arrive", 1, 60), ("leave", 0)], note="an id may be 0"),
                day(4, 100, 10, "a+100 b+10 c+20 d+30 a-"),
                day(4, 100, 10, "a+100 b+60 c+40 a-", note="exactly full"),
                day(4, 100, 10, "a+100 b+60 c+41 a- b-"),
                day(4, 100, 10, "a+50 b+50 c+60 d+20 a- b-", note="60 do not fit yet, and d waits behind c"),
                day(4, 100, 10, "a+90 b+50 c+70 d+10 a- b- c-"),
                day(4, 100, 10, "a+10 a- b+100"),
                day(4, 100, 10, "b+100 c+50 a+50 b- c- a-"),
            ],
        ),
        Property(
            "A request may leave while it waits, and those behind it may start",
            "Its client has hung up. It stood in the way of others.",
            [
                day(4, 100, 10, "a+80 b+30 b-"),
                day(4, 100, 10, "a+80 b+30 c+20 b-", note="c fits, and nobody is before it any more"),
                day(4, 100, 10, "a+80 b+30 c+10 d+10 b-"),
                day(4, 100, 10, "a+80 b+30 c+30 b- a-"),
                day(1, 100, 10, "a+80 b+30 b- c+30 d+10"),
                day(2, 100, 10, "a+100 b+10 c+10 c- d+10 e+10", note="c has left: d takes its place in the queue"),
                day(4, 100, 10, "a+100 b+60 c+50 c- a-", note="c has left, and b still waits"),
                day(2, 100, 10, "a+100 b+10 c+10 b- d+10 a-", note="b has left: d takes its place in the queue"),
            ],
        ),
        Property(
            "An id that neither runs nor waits changes nothing",
            "It was refused, or it has left already. Nothing is given back twice.",
            [
                day(4, 100, 10, "a-"),
                day(0, 100, 10, "a+100 b+10 b- c+10"),
                day(4, 100, 10, "a+60 a- a- b+100 c+10"),
                day(4, 100, 10, "a+100 b+60 a- a- c+50"),
                day(2, 100, 10, "a+101 a- b+100 c+1"),
                day(1, 100, 10, "a+60 b+60 b- b- c+50 a-"),
            ],
        ),
        Property(
            "`Retry-After` is when the next request can start: the first that waits, or this one if none waits",
            "A client that comes too early is refused again. One that comes too late waits for nothing.",
            [
                day(0, 100, 10, "a+100 b+10", note="10 tokens at 10 a second"),
                day(0, 100, 10, "a+100 b+100"),
                day(0, 100, 10, "a+95 b+10", note="5 are missing: less than a second"),
                day(0, 100, 10, "a+100 b+11", note="1.1 seconds, rounded up"),
                day(0, 100, 10, "a+50 b+30 c+70", note="the 5 missing tens are given back by all that run"),
                day(1, 100, 10, "a+100 b+40 c+10", note="b is the next to start"),
                day(1, 100, 10, "a+100 b+10 c+90"),
                day(2, 100, 20, "a+70 b+50 c+90 d+10"),
                day(3, 100, 7, "a+100 b+30 c+20 d+10 e+50"),
                day(0, 100, 1, "a+100 b+35"),
                day(0, 100, 500, "a+100 b+35"),
                day(0, 1000, 200, "a+1000 b+201", note="201 tokens at 200 a second, rounded up"),
                day(0, 100, 2.5, "a+100 b+10", note="10 tokens at 2.5 a second: exactly 4 seconds"),
                day(0, 100, 2.5, "a+100 b+13", note="13 tokens at 2.5 a second: 5.2 seconds"),
                day(0, 100, 0.5, "a+100 b+3", note="3 tokens at one in 2 seconds"),
                day(0, 100, 1.5, "a+99 b+12"),
                day(1, 100, 0.25, "a+100 b+1 c+9"),
                day(1, 100, 10, "a+60 b+40 c+30 d+5 a- e+90 f+10"),
                day(0, 4000, 10, "a+4000 b+3000", note="five minutes"),
            ],
        ),
        Property("All of it together", "Requests that come and go at random.", random_days(16, 16)),
        Property(
            "Two objects do not share anything",
            "Two servers may run in one process.",
            [two_servers("a+60 b+60 a-"), two_servers("a+100 b+100 c+100"), two_servers("a+80 b+30 c+20 b-")],
        ),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "Keep two dicts from id to tokens: the running ones and the waiting ones. A dict keeps the order in which keys "
        "were put into it.",
        "`arrive` asks in this order. More than the whole budget? Nobody waits and it fits: `used + num_tokens <= "
        "token_budget`? Fewer than `most_waiting` wait? Otherwise refuse it.",
        "For the seconds: `first = next(iter(waiting.values()), num_tokens)`, and `math.ceil((used + first - "
        "token_budget) / tokens_per_s)`.",
        "`leave` takes the id out of both dicts with `pop(request_id, None)`. Then it goes over "
        "`list(waiting.items())`, moves each that fits to the running ones, and stops at the first that does not.",
    ],
    rights=[Admission, AdmissionByCounting, AdmissionInOneLine],
    why="The order of the questions is the policy: nobody overtakes, so nobody starves, and what is refused learns "
    "when to come again. The time is an estimate: a request may write less than it may, and end early.",
)
