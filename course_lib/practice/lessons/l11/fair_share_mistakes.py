"""The mistakes in 11.fair_share. Each is the right answer with one part replaced."""

from course_lib.practice.fixtures.waiting_list import WaitingList
from course_lib.practice.judge.exercise import Mistake


class WrongShare(WaitingList):
    """FairShare made of parts, all of them right; `variant` replaces some."""

    prompt_weight, output_weight = 1, 2
    raises_returning = False
    prompt_at_push = False
    adds = True
    bills = staticmethod(lambda prompt, output: prompt + output)
    joins = True

    @staticmethod
    def floor(line, client):
        """The counter that a client is raised to after it was away."""
        waiting = [line.counters[other.client] for other in line.waiting]
        return min(waiting) if waiting else line.counters.get(line.last_client, 0)

    @staticmethod
    def raised(own, floor):
        return max(own, floor)

    @staticmethod
    def is_away(line, request):
        return all(other.client != request.client for other in line.waiting)

    @staticmethod
    def rank(line, request):
        """The lowest goes first; among equals the first of the list."""
        return line.counters[request.client]

    @staticmethod
    def chosen(line):
        return min(line.waiting, key=lambda request: line.rank(line, request), default=None)

    def __init__(self):
        super().__init__()
        self.counters = {}

    def push(self, request, *, returning=False):
        client = request.client
        is_away = self.is_away(self, request) and (self.raises_returning or not returning)
        self.counters.setdefault(client, 0)
        if is_away:
            self.counters[client] = self.raised(self.counters[client], self.floor(self, client))
        if self.prompt_at_push and not returning:
            self.counters[client] += request.num_prompt_tokens
        if self.joins:
            super().push(request, returning=returning)

    def peek(self):
        return self.chosen(self)

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        prompt_tokens = 0 if self.prompt_at_push else prompt_tokens
        more = self.bills(self.prompt_weight * prompt_tokens, self.output_weight * output_tokens)
        self.counters[request.client] = more + (self.counters[request.client] if self.adds else 0)

    @classmethod
    def variant(cls, **parts):
        return type(
            "FairShare", (cls,), {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
        )


class PerRequest(WrongShare):
    """Counts requests, not their tokens."""

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += prompt_tokens > 0


class Sorts(WrongShare):
    """Sorts the list itself to find the next request."""

    def peek(self):
        self.waiting.sort(key=lambda request: self.counters[request.client])
        return self.waiting[0] if self.waiting else None


class TakesOff(WrongShare):
    """Removes the next request from the list."""

    def peek(self):
        request = self.chosen(self)
        if request is not None:
            self.waiting.remove(request)
        return request


wrong = WrongShare.variant


MISTAKES = [
    Mistake(
        "first come, first served.",
        "Then the client that sends most is served most. Increase the client's counter in `charge`, and take the "
        "lowest counter in `peek`. Only among equals, the request that arrived first goes first.",
        (wrong(rank=lambda line, request: 0), wrong(rank=lambda line, request: request.arrival)),
    ),
    Mistake(
        "the client that was served most goes first.",
        "The counter is the service that a client has had. The lowest counter goes first: `min`.",
        wrong(rank=lambda line, request: -line.counters[request.client]),
    ),
    Mistake(
        "among equals the order is not that of arrival.",
        "`min` over a list returns the first of equals, and `self.waiting` is in the order of arrival. Compare "
        "counters only, with `<` and not `<=`.",
        (
            wrong(rank=lambda line, request: (line.counters[request.client], request.client)),
            wrong(rank=lambda line, request: (line.counters[request.client], -request.arrival)),
            wrong(rank=lambda line, request: (line.counters[request.client], request.num_prompt_tokens)),
        ),
    ),
    Mistake(
        "of one client's requests the last goes first.",
        "The requests of one client are served in the order of arrival. Otherwise its first request may wait for ever.",
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
        "The engine calls `peek` more often than it admits a request. Only `pop` and `remove` take requests off.",
        TakesOff,
    ),
    Mistake(
        "the order of `self.waiting` is changed.",
        "It is in the order of arrival, which decides among equals. Find the lowest counter without sorting it: "
        "`min(self.waiting, key=...)`.",
        Sorts,
    ),
    Mistake(
        "the request is not added to the list.",
        "A request that is not in the list is never served. `push` ends with `super().push(request, "
        "returning=returning)`.",
        wrong(joins=False),
    ),
    Mistake(
        "requests are counted, not tokens.",
        "One request may be a thousand times as long as another. Count its service in tokens.",
        PerRequest,
    ),
    Mistake(
        "output tokens are not counted.",
        "A short prompt can ask for a long answer. Add 2 for each of `output_tokens`.",
        wrong(output_weight=0),
    ),
    Mistake(
        "an output token counts as much as a prompt token.",
        "A prompt is computed at once; each output token reads all weights again. Here an output token counts 2.",
        wrong(output_weight=1),
    ),
    Mistake(
        "a prompt token counts more than an output token.",
        "It is the other way round: 1 for a prompt token, 2 for an output token.",
        wrong(prompt_weight=2, output_weight=1),
    ),
    Mistake(
        "prompts are not counted.",
        "A client that sends long prompts and asks for one token each would be served almost for free.",
        wrong(prompt_weight=0),
    ),
    Mistake(
        "prompts are counted at their arrival.",
        "A waiting request has had no service yet. Count it when `charge` is called.",
        wrong(prompt_at_push=True),
    ),
    Mistake("the counter is set, not increased.", "The counter is all the service so far: `+=`.", wrong(adds=False)),
    Mistake(
        "the counter of a client that was away is not raised.",
        "Its counter did not change while it was away, so now it goes before all others until it has caught up. "
        "Raise it to the lowest counter of the clients that wait, before its request is added to `self.waiting`: "
        "its own counter must not be among them.",
        wrong(raised=lambda own, floor: own),
    ),
    Mistake(
        "the lowest counter is added to the client's own.",
        "Then its earlier service counts again. Raise the counter to the lowest, and no further: `max(own, lowest)`.",
        wrong(raised=lambda own, floor: own + floor),
    ),
    Mistake(
        "a counter is lowered when its client returns.",
        "`max(own, lowest)`: otherwise a client that sends one request at a time would lose its earlier count "
        "each time.",
        wrong(raised=lambda own, floor: floor),
    ),
    Mistake(
        "the counter is raised to the highest.",
        "Then the client waits until all others have caught up. Raise its counter to the lowest of the waiting "
        "clients: `min`.",
        wrong(
            floor=lambda line, client: max(
                [line.counters[r.client] for r in line.waiting] or [line.counters.get(line.last_client, 0)]
            )
        ),
    ),
    Mistake(
        "the counter is raised to the lowest of all clients, waiting or not.",
        "A client that is away has an old counter. Use only the clients that wait now, and where no request "
        "waits, the client whose request left last.",
        wrong(floor=lambda line, client: min((c for name, c in line.counters.items() if name != client), default=0)),
    ),
    Mistake(
        "the counter is not raised when no request waits.",
        "Running requests are being served meanwhile. Raise it to the counter of `self.last_client`.",
        wrong(floor=lambda line, client: min((line.counters[r.client] for r in line.waiting), default=0)),
    ),
    Mistake(
        "where no request waits, the counter is raised to the highest of all.",
        "Then the client pays for a client that was served long ago. Take the counter of `self.last_client`.",
        wrong(
            floor=lambda line, client: min(
                [line.counters[r.client] for r in line.waiting] or [max(line.counters.values(), default=0)]
            )
        ),
    ),
    Mistake(
        "the client whose request left last counts although other requests wait.",
        "Only where no request waits is its counter the one to raise to.",
        (
            wrong(
                floor=lambda line, client: max(
                    min((line.counters[r.client] for r in line.waiting), default=0),
                    line.counters.get(line.last_client, 0),
                )
            ),
            wrong(floor=lambda line, client: line.counters.get(line.last_client, 0)),
        ),
    ),
    Mistake(
        "the counter is raised by one too much.",
        "It becomes the lowest counter of the waiting clients, and not more: among equals the arrival decides.",
        wrong(raised=lambda own, floor: max(own, floor + 1)),
    ),
    Mistake(
        "`peek` chooses among clients of which no request waits.",
        "A client with a low counter may have no waiting request. Choose among the clients of `self.waiting`.",
        wrong(
            chosen=lambda line: next(
                (r for r in line.waiting if r.client == min(line.counters, key=line.counters.get)), None
            )
        ),
    ),
    Mistake(
        "of prompt and output tokens of one call, only one kind is counted.",
        "A call may bring both: add `prompt_tokens + 2 * output_tokens`.",
        (wrong(bills=lambda prompt, output: prompt or output), wrong(bills=lambda prompt, output: output or prompt)),
    ),
    Mistake(
        "the counter is raised after a preemption.",
        "The request was running, so its client was not away. Raise the counter only where `returning` is false.",
        wrong(raises_returning=True),
    ),
    Mistake(
        "only counters of new clients are raised.",
        "A client that was served before and went away has an old counter too. A client is away if it has no "
        "request in `self.waiting`.",
        wrong(is_away=lambda line, request: request.client not in line.counters),
    ),
]
