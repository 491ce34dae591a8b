"""The mistakes in 11.fair_share. Each is the right answer with one part replaced."""

from course_lib.practice.fixtures.waiting_list import WaitingList
from course_lib.practice.judge.exercise import Mistake


class WrongShare(WaitingList):
    """A wrong answer, made of parts; see `variant`. It is right as it stands."""

    prompt_weight, output_weight = 1, 2
    lifts_returning = False
    prompt_at_push = False
    adds = True
    joins = True

    @staticmethod
    def floor(line, client):
        """What a client who was away is lifted to."""
        waiting = [line.counters[other.client] for other in line.waiting]
        return min(waiting) if waiting else line.counters.get(line.last_client, 0)

    @staticmethod
    def lifted(own, floor):
        return max(own, floor)

    @staticmethod
    def is_away(line, request):
        return all(other.client != request.client for other in line.waiting)

    @staticmethod
    def rank(line, request):
        """The lowest goes first; among equals who stands first."""
        return line.counters[request.client]

    @staticmethod
    def chosen(line):
        return min(line.waiting, key=lambda request: line.rank(line, request), default=None)

    def __init__(self):
        super().__init__()
        self.counters = {}

    def push(self, request, *, returning=False):
        client = request.client
        is_away = self.is_away(self, request) and (self.lifts_returning or not returning)
        self.counters.setdefault(client, 0)
        if is_away:
            self.counters[client] = self.lifted(self.counters[client], self.floor(self, client))
        if self.prompt_at_push and not returning:
            self.counters[client] += request.num_prompt_tokens
        if self.joins:
            super().push(request, returning=returning)

    def peek(self):
        return self.chosen(self)

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        prompt_tokens = 0 if self.prompt_at_push else prompt_tokens
        more = self.prompt_weight * prompt_tokens + self.output_weight * output_tokens
        self.counters[request.client] = more + (self.counters[request.client] if self.adds else 0)

    @classmethod
    def variant(cls, **parts):
        return type(
            "FairShare", (cls,), {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
        )


class PerRequest(WrongShare):
    """Counts requests, however long they are."""

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += prompt_tokens > 0


class Sorts(WrongShare):
    """Brings the list into another order to see who is first."""

    def peek(self):
        self.waiting.sort(key=lambda request: self.counters[request.client])
        return self.waiting[0] if self.waiting else None


class TakesOff(WrongShare):
    """Looks by taking it off the list."""

    def peek(self):
        request = self.chosen(self)
        if request is not None:
            self.waiting.remove(request)
        return request


wrong = WrongShare.variant


MISTAKES = [
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
        wrong(floor=lambda line, client: min((c for name, c in line.counters.items() if name != client), default=0)),
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
]
