"""Who goes first: the queue of those who wait, and its order. One small object an engine.

A policy of your own needs one method; the smallest key goes first:

    class ShortestFirst(Policy):
        def key(self, request):
            return request.num_prompt_tokens

    Engine(model, EngineConfig(policy=ShortestFirst))

A preempted request waits again under the same rules, so by first come, first served it stands before all who came later.
"""

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count


class Queue:
    """Requests by key, the smallest first, and among equals who was made first. Joining and leaving cost O(log n)."""

    def __init__(self):
        self._heap, self._waiting = [], {}  # (key, number, request), some of them gone; request_id -> request

    def push(self, key, request):
        self._waiting[request.request_id] = request
        heappush(self._heap, (key, request.number, request))

    def peek(self):
        """The first one, or None."""
        while self._heap and self._is_gone(self._heap[0][2]):
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def pop(self):
        """The first one, taken out."""
        request = self.peek()
        heappop(self._heap)
        del self._waiting[request.request_id]
        return request

    def remove(self, request):
        """Takes out any one. Its place in the heap stays until it comes first, or until most places are such."""
        del self._waiting[request.request_id]
        if len(self._heap) > 2 * len(self._waiting) + 16:
            self._heap = [place for place in self._heap if not self._is_gone(place[2])]
            heapify(self._heap)

    def _is_gone(self, request):
        return self._waiting.get(request.request_id) is not request

    def __len__(self):
        return len(self._waiting)


class Policy:
    """The waiting requests, in the order of `key`, and who makes room for whom."""

    def __init__(self):
        self._queue = Queue()

    def key(self, request):
        """What the order goes by: the smallest first."""
        raise NotImplementedError(
            f"{type(self).__name__} has no key(request): say by what number or tuple the order goes."
        )

    def push(self, request, *, returning=False):
        """The request waits. returning: it was running and had to make room."""
        self._queue.push(self.key(request), request)

    def peek(self):
        """The one who is next, or None."""
        return self._queue.peek()

    def pop(self):
        """The one who is next, taken off the queue."""
        return self._queue.pop()

    def remove(self, request):
        """This one waits no more: it was aborted."""
        self._queue.remove(request)

    def order(self, running):
        """The running requests as they are served in a step; if memory is short, the last of them makes room.

        running: a list in the order of admission, which this keeps. Then the first one always gets on, and sooner or later
        everybody is the first: nobody is preempted for ever.
        """
        return running

    def outranks(self, waiting, running):
        """Whether the waiting request may take the place of the running one."""
        return False

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        """Hears what a request was given: its prompt when it is first admitted, and each token it writes."""

    def __len__(self):
        return len(self._queue)

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} waiting)"


class FCFS(Policy):
    """First come, first served: nobody overtakes, so nobody starves."""

    def key(self, request):
        return request.arrival


class Priority(Policy):
    """The lowest `priority` value first; among equals who came first.

    A more important request does not wait behind a less important one that runs: it takes its place. Otherwise one long
    request of no importance could hold up all that matter (priority inversion).
    """

    def key(self, request):
        return request.priority, request.arrival

    def order(self, running):
        return sorted(running, key=lambda request: (request.priority, request.arrival, request.number))

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Fair(Policy):
    """Equal service to every client, however much each of them asks for.

    Each client has a counter of the tokens it was given; the client with the lowest is next, and its own requests go first
    come, first served. Who comes back after a pause starts no lower than those who wait, so that idling saves up nothing.
    Between two clients who both have requests waiting all the time, the service never differs by more than 2 * U, with
    U = prompt_weight * longest prompt + output_weight * max_num_seqs * longest answer: who has the lowest counter when it is
    admitted cannot run further ahead. (The paper's U has the size of memory for the second part; it reserves whole answers.)

    Source: Virtual Token Counter, Sheng et al., arXiv 2401.00588, with its weights: a written token counts as two of a prompt.
    """

    prompt_weight, output_weight = 1, 2

    def __init__(self):
        self.counters = {}  # client -> service given, in weighted tokens, and lifted as above
        self._queues = {}  # client -> Queue of its waiting requests
        self._clients = []  # heap of (counter as it was then, number, client), each client once
        self._numbers, self._num_waiting, self._last_to_leave = count(), 0, None

    def push(self, request, *, returning=False):
        client = request.client
        if not self._queues.get(client) and not returning:
            self._lift(client)
        if client not in self._queues:
            self._queues[client] = Queue()
            heappush(self._clients, (self.counters.setdefault(client, 0), next(self._numbers), client))
        self._queues[client].push(request.arrival, request)
        self._num_waiting += 1

    def _lift(self, client):
        """Who was away begins where the least served of those who wait is, or where the last one was who waited."""
        least = self._next_client()
        floor = self._last_to_leave if least is None else least
        self.counters[client] = max(self.counters.get(client, 0), self.counters.get(floor, 0))

    def _next_client(self):
        """The one with the lowest counter among those who wait, or None. Counters only rise: an old one is at worst too low."""
        while self._clients:
            known, number, client = self._clients[0]
            if not self._queues[client]:
                heappop(self._clients)
                del self._queues[client]
            elif known < self.counters[client]:
                heapreplace(self._clients, (self.counters[client], number, client))
            else:
                return client
        return None

    def peek(self):
        client = self._next_client()
        return None if client is None else self._queues[client].peek()

    def pop(self):
        request = self._queues[self._next_client()].pop()
        self._left(request.client)
        return request

    def remove(self, request):
        self._queues[request.client].remove(request)
        self._left(request.client)

    def _left(self, client):
        self._num_waiting -= 1
        if not self._queues[client]:
            self._last_to_leave = client

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        self.counters[request.client] += self.prompt_weight * prompt_tokens + self.output_weight * output_tokens

    def __len__(self):
        return self._num_waiting


POLICIES = {"fcfs": FCFS, "priority": Priority, "fair": Fair}


def make_policy(policy):
    """The object for `EngineConfig.policy`: a name, or a class of one's own."""
    return POLICIES[policy]() if isinstance(policy, str) else policy()
