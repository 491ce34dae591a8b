"""Right answers to 11.fair_share, written differently."""

from collections import defaultdict, deque

from course_lib.practice.fixtures.waiting_list import WaitingList


class FairByQueues(WaitingList):
    """Makes a queue for each client, and chooses the client first."""

    def __init__(self):
        super().__init__()
        self.counters = defaultdict(int)

    def push(self, request, *, returning=False):
        waiting_clients = {r.client for r in self.waiting}
        if request.client not in waiting_clients and not returning:
            if waiting_clients:
                lowest = min(self.counters[c] for c in waiting_clients)
            else:
                lowest = self.counters[self.last_client]
            if lowest > self.counters[request.client]:
                self.counters[request.client] = lowest
        super().push(request)

    def peek(self):
        queues = {}
        for request in self.waiting:
            queues.setdefault(request.client, deque()).append(request)
        best = None
        for client in queues:
            if best is None or self.counters[client] < self.counters[best]:
                best = client
        return queues[best][0] if best is not None else None

    def charge(self, request, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += 1 * prompt_tokens
        self.counters[request.client] += 2 * output_tokens


class FairByHalves(WaitingList):
    """Counts in output tokens: a prompt token is half of one. Sorts all requests each time."""

    def __init__(self):
        super().__init__()
        self.served = {None: 0.0}

    def push(self, request, returning=False):
        mine = self.served.setdefault(request.client, 0.0)
        others = sorted(self.served[r.client] for r in self.waiting)
        if request.client in [r.client for r in self.waiting] or returning:
            pass
        elif others:
            self.served[request.client] = max(mine, others[0])
        else:
            self.served[request.client] = max(mine, self.served[self.last_client])
        super().push(request, returning=returning)

    def peek(self):
        for request in sorted(self.waiting, key=lambda r: (self.served[r.client], r.arrival, r.number)):
            return request

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.served[request.client] += output_tokens + prompt_tokens / 2
