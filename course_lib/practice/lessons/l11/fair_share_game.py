"""The game of 11.fair_share: requests of several clients arrive, are admitted, decode, and are preempted."""

from itertools import count

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine import Scheduler
from course_lib.engine.request import Request
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials
from course_lib.practice.judge.replay import replay

CLIENTS = "ABC"


_arrivals = count()


def request_from(client, prompt_tokens):
    """A request as an engine makes it, with a later arrival than all before it."""
    number = next(_arrivals)
    return Request(
        f"{client}{number}", [0] * prompt_tokens, SamplingParams(max_tokens=64), client=client, arrival=float(number)
    )


def admit(line):
    """What an engine does with the next request: it takes it off the list, and charges its prompt the first time."""
    chosen = line.pop()
    if not chosen.was_admitted:
        chosen.was_admitted = True
        line.charge(chosen, prompt_tokens=chosen.num_prompt_tokens)
    return chosen


class Line(Game):
    """Calls of a policy as an engine makes them. The game keeps the right counters itself."""

    opening = ("from course_lib.practice.play import admit, request_from", "line = FairShare()")
    lines = {
        "come": "{0} = request_from('{1}', prompt_tokens={2}); line.push({0})",
        "admit": "admit(line)",
        "write": "line.charge({0}, output_tokens={1})",
        "bill": "line.charge({0}, prompt_tokens={1}, output_tokens={2})",
        "preempt": "line.push({0}, returning=True)",
        "abort": "line.remove({0})",
        "peek": "line.peek()",
    }
    least = {"come": 1, "write": 1, "bill": 1}

    def __init__(self, answer):
        self.line, self.requests = answer(), {}
        self.waiting, self.running, self.charged = ([], [], set())  # names; the waiting ones in the order of arrival
        self.counters, self.last = {}, None  # client -> weighted tokens; the client whose request left last

    def come(self, name, client, prompt_tokens):
        self.requests[name] = request_from(client, prompt_tokens)
        if all(self.requests[other].client != client for other in self.waiting):
            others = [self.counters[self.requests[other].client] for other in self.waiting]
            floor = min(others) if others else self.counters.get(self.last, 0)
            self.counters[client] = max(self.counters.get(client, 0), floor)
        self._joins(name)
        self.line.push(self.requests[name])
        return Seen("done")

    def _joins(self, name):
        self.waiting = sorted([*self.waiting, name], key=lambda other: self.requests[other].arrival)

    def _leaves(self, name):
        self.waiting.remove(name)
        self.last = self.requests[name].client

    def _next(self):
        """The first request of the client with the lowest counter, or None."""
        return min(self.waiting, key=lambda name: self.counters[self.requests[name].client], default=None)

    def peek(self):
        return self._said(self.line.peek(), self._next())

    def admit(self):
        if not self.waiting:
            raise Senseless
        right, first = self._next(), self.line.peek()
        seen = self._said(first, right)
        if not seen.ends and (taken := self.line.pop()) is not first:
            return Seen(f"peek() returns {right}, and pop() takes {self._name(taken)}", ends=True)
        if not seen.ends:
            self._leaves(right)
            self.running.append(right)
            if right not in self.charged:
                self.charged.add(right)
                tokens = self.requests[right].num_prompt_tokens
                self.counters[self.requests[right].client] += tokens
                self.line.charge(self.requests[right], prompt_tokens=tokens)
        return seen

    def _name(self, got):
        return None if got is None else next((name for name, made in self.requests.items() if made is got), a_kind(got))

    def _said(self, got, right):
        """What the answer chose, by name, with the right counters."""
        name = self._name(got)
        said = f"{name} of client {self.requests[name].client} is next" if name in self.requests else f"{name} is next"
        served = ", ".join(f"{client} {tokens}" for client, tokens in sorted(self.counters.items()))
        return Seen(said, said + (f"\ncounters: {served}" if served and name == right else ""), ends=name != right)

    def write(self, name, n):
        if name not in self.running:
            raise Senseless
        self.counters[self.requests[name].client] += 2 * n
        self.line.charge(self.requests[name], output_tokens=n)
        return Seen("done")

    def bill(self, name, prompt_tokens, output_tokens):
        if name not in self.running:
            raise Senseless
        self.counters[self.requests[name].client] += prompt_tokens + 2 * output_tokens
        self.line.charge(self.requests[name], prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        return Seen("done")

    def preempt(self, name):
        if name not in self.running:
            raise Senseless
        self.running.remove(name)
        self._joins(name)
        self.line.push(self.requests[name], returning=True)
        return Seen("done")

    def abort(self, name):
        if name not in self.waiting:
            raise Senseless
        self._leaves(name)
        self.line.remove(self.requests[name])
        return Seen("done")


def serve_clients(policy, arrivals, **setup):
    """The Timeline of a script in the engine's scheduler, with the right counter of each client before each step."""
    counters, waits, last, known = {}, [], [None], {}  # known: step -> the counters at its beginning

    def leaves(request):
        if request in waits:  # `pop` may call `remove`
            waits.remove(request)
            last[0] = request.client
        return request

    class Noting(policy):
        def push(self, request, **how):
            client = request.client
            if not how.get("returning") and all(other.client != client for other in waits):
                floor = min((counters[other.client] for other in waits), default=counters.get(last[0], 0))
                counters[client] = max(counters.get(client, 0), floor)
            waits.append(request)
            super().push(request, **how)

        def pop(self):
            return leaves(super().pop())

        def remove(self, request):
            super().remove(request)
            leaves(request)

        def charge(self, request, **tokens):
            counters[request.client] += tokens.get("prompt_tokens", 0) + 2 * tokens.get("output_tokens", 0)
            super().charge(request, **tokens)

    class Noted(Scheduler):
        def schedule(self):
            known[self.trace.step] = dict(counters)
            return super().schedule()

    line = replay(Noted, arrivals, policy=Noting, **setup)
    for step, (_, below) in enumerate(line.columns):
        for client in sorted({arrival.client for arrival in arrivals}):
            below[f"counter {client}"] = known.get(step, counters).get(client, 0)
    return line


def draw(chance, names, setup):
    """A step of a random program; see programs.random_trials."""
    kind = (
        chance.choice(("come", "come", "admit", "admit", "admit", "write", "write", "preempt", "abort"))
        if names
        else "come"
    )
    if kind == "come" and len(names) < 10:
        return kind, NAMES[len(names)], chance.choice(CLIENTS), chance.randint(1, 6)
    if kind == "write":
        return kind, chance.choice(names), chance.randint(1, 6)
    return (kind, chance.choice(names)) if kind in ("preempt", "abort") else ("admit",)


def played(reference, number, seed, lengths=(4, 16)):
    return random_trials(Line, reference, draw, number, seed=seed, lengths=lengths)
