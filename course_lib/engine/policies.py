"""Which request goes first: the waiting requests and their order. Each engine has one policy object.

A policy of your own needs one method; the smallest key goes first:

    class ShortestFirst(Policy):
        def key(self, request):
            return request.num_prompt_tokens

    Engine(model, EngineConfig(policy=ShortestFirst))

A preempted request waits again under the same rules. So with first come, first served it is before all that came later.
"""

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from course_lib.errors import ParameterError

from .members import make_part
from .protocols import check_policy


class Queue:
    """Requests by key, the smallest first; equal keys in the order in which they were made. Each change is O(log n)."""

    def __init__(self):
        self._heap, self._waiting = [], {}  # (key, number, request), also of removed requests; request_id -> request

    def push(self, key, request):
        self._waiting[request.request_id] = request
        heappush(self._heap, (key, request.number, request))

    def peek(self):
        """The first request, or None."""
        while self._heap and self._is_removed(self._heap[0][2]):
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def pop(self):
        """The first request, taken out."""
        request = self.peek()
        heappop(self._heap)
        del self._waiting[request.request_id]
        return request

    def remove(self, request):
        """Takes any request out. Its entry stays in the heap until it comes first, or until most entries are such."""
        del self._waiting[request.request_id]
        if len(self._heap) > 2 * len(self._waiting) + 16:
            self._heap = [entry for entry in self._heap if not self._is_removed(entry[2])]
            heapify(self._heap)

    def _is_removed(self, request):
        return self._waiting.get(request.request_id) is not request

    def __len__(self):
        return len(self._waiting)


class Policy:
    """The waiting requests in the order of `key`, and which request may preempt which."""

    def __init__(self):
        self._queue = Queue()

    def key(self, request):
        """A number or tuple; the request with the smallest one is next."""
        raise NotImplementedError(
            f"{type(self).__name__} has no key(request). Return the number or tuple that requests are ordered by."
        )

    def push(self, request, *, returning=False):
        """The request waits. returning: it was running and was preempted."""
        self._queue.push(self.key(request), request)

    def peek(self):
        """The request that is next, or None."""
        return self._queue.peek()

    def pop(self):
        """The request that is next, taken out of the queue."""
        return self._queue.pop()

    def remove(self, request):
        """Takes this request out of the queue: it was aborted."""
        self._queue.remove(request)

    def order(self, running):
        """The running requests in the order in which a step serves them. If memory is short, the last is preempted.

        running: a list in the order of admission, which is kept here. So the first request always makes progress, and
        each request becomes the first: none is preempted for ever.
        """
        return running

    def outranks(self, waiting, running):
        """Whether the waiting request may preempt the running one."""
        return False

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        """Counts the service to a request: its prompt when it is first admitted, and each token of its output."""

    def __len__(self):
        return len(self._queue)

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} waiting)"


class FCFS(Policy):
    """First come, first served: no request overtakes another, so none starves."""

    def key(self, request):
        return request.arrival


class Priority(Policy):
    """The lowest `priority` value first; among equals the first to arrive.

    A more important request preempts a less important one that runs. Otherwise one long unimportant request could hold
    up all important ones (priority inversion).
    """

    def key(self, request):
        return request.priority, request.arrival

    def order(self, running):
        return sorted(running, key=lambda request: (request.priority, request.arrival, request.number))

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Fair(Policy):
    """Equal service to every client, however many requests each of them sends.

    Each client has a counter of the tokens that it was given. The client with the lowest counter is next; its own
    requests are served first come, first served. A client that returns after a pause starts no lower than the clients
    that wait, so a pause earns no credit. Between two clients that both have requests waiting all the time, the service
    never differs by more than 2 * U, with U = prompt_weight * longest prompt + output_weight * max_num_seqs * longest
    output: a client that is admitted has the lowest counter, so it cannot run further ahead. (The paper's U has the
    size of memory for the second part, since it reserves whole outputs.)

    Source: Virtual Token Counter, Sheng et al., arXiv 2401.00588, with its weights: an output token counts as two of a
    prompt.
    """

    prompt_weight, output_weight = 1, 2

    def __init__(self):
        self.counters = {}  # client -> service given, in weighted tokens, and raised after a pause as above
        self._queues = {}  # client -> Queue of its waiting requests
        self._clients = []  # heap of (counter at that time, number, client), each client once
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
        """Lifts a client that was away to the lowest counter of the waiting clients, or of the last that waited."""
        least = self._next_client()
        floor = self._last_to_leave if least is None else least
        self.counters[client] = max(self.counters.get(client, 0), self.counters.get(floor, 0))

    def _next_client(self):
        """The waiting client with the lowest counter, or None. Counters only rise: an old one is at worst too low."""
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
    """The object for `EngineConfig.policy`, a name or a class. Raises ParameterError for a class that does not fit."""
    if isinstance(policy, str):
        return POLICIES[policy]()
    made = make_part("policy", policy, "", "lesson 11")
    if getattr(type(made), "push", None) is Policy.push and type(made).key is Policy.key:
        raise ParameterError(
            f"The policy {type(made).__name__} has no key(request): the number or tuple by which waiting requests are "
            f"ordered, smallest first. See lesson 11."
        )
    return check_policy(made)
