"""Answers to 16.cancel and 16.admission by one who never saw the checks; see written_serving.py."""

import math
from collections import deque
from fractions import Fraction

from course_lib.practice.lessons.l16.solutions.admission import Admission


class Connection:
    def __init__(self, client, request):
        self.client, self.request, self.id, self.state = client, request, None, "new"


class FrontEndOfConnections:
    def __init__(self, engine):
        self.engine, self.inbox, self.known = engine, deque(), {}

    def connect(self, client, request):
        self.inbox.append(Connection(client, request))

    def hang_up(self, client):
        self.inbox.append(client)

    def num_open(self):
        return sum(one.state == "open" for one in self.known.values())

    def turn(self):
        while True:
            try:
                message = self.inbox.popleft()
            except IndexError:
                break
            if isinstance(message, Connection):
                self.known[message.client] = message
            else:
                one = self.known.get(message)
                if one is not None and one.state == "new":
                    one.state = "gone"
                elif one is not None and one.state == "open":
                    one.state = "gone"
                    self.engine.abort(one.id)
        for one in self.known.values():
            if one.state == "new":
                one.id, one.state = self.engine.add_request(one.request), "open"
        if self.engine.has_unfinished():
            for output in self.engine.step():
                for one in self.known.values():
                    if one.state == "open" and one.id == output.request_id:
                        try:
                            one.client.send(output)
                            if output.finished:
                                one.client.close()
                        except ConnectionError:
                            if not output.finished:
                                self.engine.abort(one.id)
                            one.state = "gone"
                        if output.finished:
                            one.state = "done"


class AdmissionByFractions:
    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.limit, self.budget, self.rate = most_waiting, token_budget, tokens_per_s
        self.free = token_budget
        self.run, self.queue = {}, deque()

    def arrive(self, request_id, num_tokens):
        if num_tokens > self.budget:
            return "refuse", None
        if len(self.queue) == 0 and num_tokens <= self.free:
            self.run[request_id] = num_tokens
            self.free -= num_tokens
            return "run", None
        if len(self.queue) < self.limit:
            self.queue.append((request_id, num_tokens))
            return "wait", None
        need = self.queue[0][1] if self.queue else num_tokens
        return "refuse", int(math.ceil(Fraction(need - self.free) / Fraction(self.rate)))

    def leave(self, request_id):
        self.free += self.run.pop(request_id, 0)
        self.queue = deque(one for one in self.queue if one[0] != request_id)
        out = []
        while self.queue and self.queue[0][1] <= self.free:
            one, need = self.queue.popleft()
            self.run[one] = need
            self.free -= need
            out.append(one)
        return out


class KeyedByRequest:
    def __init__(self, engine):
        self._engine = engine
        self._inbox = deque()
        self._ids = {}
        self._clients = {}

    def connect(self, client, request):
        self._inbox.append(("connect", client, request))

    def hang_up(self, client):
        self._inbox.append(("hang_up", client, None))

    def num_open(self):
        return len(self._clients)

    def _forget(self, client):
        request_id = self._ids.pop(client)
        del self._clients[request_id]
        return request_id

    def turn(self):
        new = {}
        while self._inbox:
            what, client, request = self._inbox.popleft()
            if what == "connect":
                new[request] = client
            elif client in new.values():
                new = {r: c for r, c in new.items() if c != client}
            elif client in self._ids:
                self._engine.abort(self._forget(client))
        for request, client in new.items():
            request_id = self._engine.add_request(request)
            self._ids[client] = request_id
            self._clients[request_id] = client
        if not self._engine.has_unfinished():
            return
        for output in self._engine.step():
            client = self._clients.get(output.request_id)
            if client is None:
                continue
            try:
                client.send(output)
            except ConnectionError:
                self._forget(client)
                if not output.finished:
                    self._engine.abort(output.request_id)
                continue
            if output.finished:
                self._forget(client)
                client.close()


class OwnIds(KeyedByRequest):
    """Keyed by client, with numbers of its own for ids."""

    def turn(self):
        while self._inbox:
            what, client, request = self._inbox.popleft()
            if what == "connect":
                self._engine.add_request(request)
                self._ids[client] = f"{len(self._ids)}"
                self._clients[self._ids[client]] = client
            elif client in self._ids:
                self._engine.abort(self._forget(client))
        if self._engine.has_unfinished():
            for output in self._engine.step():
                if output.request_id in self._clients:
                    self._clients[output.request_id].send(output)


class StillCounts:
    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self._most_waiting = most_waiting
        self._token_budget = token_budget
        self._tokens_per_s = tokens_per_s
        self._running = {}
        self._waiting = {}
        self._gone = set()

    def _missing(self, num_tokens):
        return sum(self._running.values()) + num_tokens - self._token_budget

    def arrive(self, request_id, num_tokens):
        if num_tokens > self._token_budget:
            return ("refuse", None)
        if not self._waiting and self._missing(num_tokens) <= 0:
            self._running[request_id] = num_tokens
            return ("run", None)
        if len(self._waiting) < self._most_waiting:
            self._waiting[request_id] = num_tokens
            return ("wait", None)
        first = next(iter(self._waiting.values()), num_tokens)
        return ("refuse", math.ceil(self._missing(first) / self._tokens_per_s))

    def leave(self, request_id):
        if request_id in self._running:
            del self._running[request_id]
        elif request_id in self._waiting:
            self._gone.add(request_id)
        else:
            return []
        started = []
        for other, num_tokens in list(self._waiting.items()):
            if other in self._gone:
                del self._waiting[other]
                continue
            if self._missing(num_tokens) > 0:
                break
            self._running[other] = self._waiting.pop(other)
            started.append(other)
        return started


class GivesBackWhatWaits:
    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.most, self.budget, self.rate = most_waiting, token_budget, tokens_per_s
        self.used, self.needs, self.queue = 0, {}, []

    def arrive(self, request_id, num_tokens):
        if num_tokens > self.budget:
            return ("refuse", None)
        if not self.queue and self.used + num_tokens <= self.budget:
            self.used += num_tokens
            self.needs[request_id] = num_tokens
            return ("run", None)
        if len(self.queue) < self.most:
            self.queue.append(request_id)
            self.needs[request_id] = num_tokens
            return ("wait", None)
        first = self.needs[self.queue[0]] if self.queue else num_tokens
        return ("refuse", math.ceil((self.used + first - self.budget) / self.rate))

    def leave(self, request_id):
        if request_id not in self.needs:
            return []
        self.used -= self.needs.pop(request_id)
        if request_id in self.queue:
            self.queue.remove(request_id)
        out = []
        while self.queue and self.used + self.needs[self.queue[0]] <= self.budget:
            self.used += self.needs[self.queue[0]]
            out.append(self.queue.pop(0))
        return out


class NoIdZero(Admission):
    def leave(self, request_id):
        return super().leave(request_id) if request_id else []


class FirstLeaves(Admission):
    def leave(self, request_id):
        return super().leave(next(iter(self.waiting)) if request_id in self.waiting else request_id)


class AlmostRoundedUp(Admission):
    def arrive(self, request_id, num_tokens):
        said, seconds = super().arrive(request_id, num_tokens)
        if seconds:
            first = next(iter(self.waiting.values()), num_tokens)
            missing = sum(self.running.values()) + first - self.token_budget
            seconds = int(missing / self.tokens_per_s + 0.99)
        return said, seconds


class OneList(Admission):
    started = None

    def leave(self, request_id):
        self.started = [] if self.started is None else self.started
        self.started[:] = super().leave(request_id)
        return self.started


class ForGood(Admission):
    def arrive(self, request_id, num_tokens):
        said, seconds = super().arrive(request_id, num_tokens)
        return said, seconds if self.waiting else None


RIGHT = {"16.cancel": [FrontEndOfConnections], "16.admission": [AdmissionByFractions]}
CASES = {
    "16.cancel": [(None, KeyedByRequest), (None, OwnIds)],
    "16.admission": [
        (None, StillCounts),
        ("while it waits gives tokens back", GivesBackWhatWaits),
        (None, NoIdZero),
        (None, FirstLeaves),
        (None, AlmostRoundedUp),
        ("changes in the next call", OneList),
        ("refused for good, though", ForGood),
    ],
}
