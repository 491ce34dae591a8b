"""Wrong answers to 11.fair_share as people write them; see written_otherwise.py."""

from collections import defaultdict

from course_lib.practice.fixtures.waiting_list import WaitingList


class Counting(WaitingList):
    """A first attempt, which is right. Subclasses change one thing."""

    def __init__(self):
        super().__init__()
        self.counters = defaultdict(int)

    def lowest(self):
        if not self.waiting:
            return self.counters[self.last_client]
        return sorted(self.counters[r.client] for r in self.waiting)[0]

    def push(self, request, *, returning=False):
        if not returning and request.client not in [r.client for r in self.waiting]:
            if self.lowest() > self.counters[request.client]:
                self.counters[request.client] = self.lowest()
        super().push(request, returning=returning)

    def peek(self):
        if not self.waiting:
            return None
        return sorted(self.waiting, key=lambda r: self.counters[r.client])[0]

    def charge(self, request, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] = self.counters[request.client] + prompt_tokens + output_tokens + output_tokens


class NoCounters(Counting):
    def peek(self):
        for request in self.waiting:
            return request


class MostFirst(Counting):
    def peek(self):
        best = None
        for r in self.waiting:
            if best is None or self.counters[r.client] > self.counters[best.client]:
                best = r
        return best


class LaterOfEquals(Counting):
    def peek(self):
        best = None
        for r in self.waiting:
            if best is None or self.counters[r.client] <= self.counters[best.client]:
                best = r
        return best


class Takes(Counting):
    def peek(self):
        if self.waiting:
            self.waiting.sort(key=lambda r: self.counters[r.client])
            return self.waiting.pop(0)


class OneForEach(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += prompt_tokens + output_tokens


class CountsCalls(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        if prompt_tokens:
            self.counters[request.client] += 1


class LiftsTooLate(Counting):
    def push(self, request, *, returning=False):
        self.waiting.append(request)
        self.waiting.sort(key=lambda r: r.arrival)
        if not returning:
            low = min(self.counters[r.client] for r in self.waiting)
            self.counters[request.client] = max(low, self.counters[request.client])


class FromNothing(Counting):
    def lowest(self):
        return min([self.counters[r.client] for r in self.waiting], default=0)


class ToTheTop(Counting):
    def lowest(self):
        return max(self.counters[r.client] for r in self.waiting) if self.waiting else self.counters[self.last_client]


class StartsOver(Counting):
    def push(self, request, *, returning=False):
        if not returning and request.client not in {r.client for r in self.waiting}:
            self.counters[request.client] = self.lowest()
        WaitingList.push(self, request)


class EveryPush(Counting):
    def push(self, request, *, returning=False):
        self.counters[request.client] = max(self.counters[request.client], self.lowest())
        WaitingList.push(self, request)


class ToTheMean(Counting):
    def lowest(self):
        values = [self.counters[r.client] for r in self.waiting] or [self.counters[self.last_client]]
        return sum(values) / len(values)


class ForgetsTheList(Counting):
    def push(self, request, *, returning=False):
        if request.client not in [r.client for r in self.waiting]:
            self.counters[request.client] = max(self.counters[request.client], self.lowest())


class CountsNothing(Counting):
    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        pass


class SortsTheList(Counting):
    def peek(self):
        self.waiting.sort(key=lambda r: self.counters[r.client])
        return self.waiting[0] if self.waiting else None


class AddsTheLowest(Counting):
    def push(self, request, *, returning=False):
        if not returning and request.client not in [r.client for r in self.waiting]:
            self.counters[request.client] += self.lowest()
        WaitingList.push(self, request)


class PopsItself(Counting):
    """Right: it needs no `remove` for it."""

    def pop(self):
        request = self.peek()
        del self.waiting[self.waiting.index(request)]
        self.last_client = request.client
        return request


class ToTheTopOfAll(Counting):
    """Where no request waits: the highest counter that there is."""

    def lowest(self):
        return super().lowest() if self.waiting else max(self.counters.values(), default=0)


class LastOneToo(Counting):
    """The client that left last counts like one that waits."""

    def lowest(self):
        return max(super().lowest(), self.counters[self.last_client])


class OneMore(Counting):
    def lowest(self):
        return super().lowest() + 1


class ClientFirst(Counting):
    """Chooses a client, and looks for a request of it afterwards."""

    def peek(self):
        clients = [client for client in self.counters if client is not None]
        if not clients:
            return None
        client = min(clients, key=self.counters.get)
        return next((r for r in self.waiting if r.client == client), None)


CASES = {
    "11.fair_share": [
        ("first come, first served", NoCounters),
        ("served most goes first", MostFirst),
        ("order is not that of arrival", LaterOfEquals),
        ("takes the request off", Takes),
        ("as much as a prompt token", OneForEach),
        ("requests are counted", CountsCalls),
        ("was away is not raised", LiftsTooLate),
        ("when no request waits", FromNothing),
        ("raised to the highest", ToTheTop),
        ("counter is lowered", StartsOver),
        ("raised after a preemption", EveryPush),
        (None, ToTheMean),
        ("the highest of all", ToTheTopOfAll),
        ("although other requests wait", LastOneToo),
        ("one too much", OneMore),
        ("of which no request waits", ClientFirst),
        ("is not added to the list", ForgetsTheList),
        ("first come, first served", CountsNothing),
        ("order of `self.waiting` is changed", SortsTheList),
        ("is added to the client's own", AddsTheLowest),
    ]
}
