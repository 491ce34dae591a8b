"""Wrong answers to 09.dynamic_batcher as people write them; see written_otherwise.py."""

import heapq
from queue import Queue


class Debounced:
    """Waits until no request has come for a while, as a search box does."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait, self.queue, self.last = max_batch_size, timeout, [], None

    def add(self, request, now):
        self.queue.append(request)
        self.last = now

    def ready_at(self):
        return self.last + self.wait if self.queue else None

    def take(self, now):
        if not self.queue or now - self.last < self.wait and len(self.queue) < self.n:
            return []
        batch, self.queue = self.queue[: self.n], self.queue[self.n :]
        return batch


class Simple:
    """A list of (time, request); what a subclass changes is wrong."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait, self.queue = max_batch_size, timeout, []

    def add(self, request, now):
        self.queue.append((now, request))

    def ready_at(self):
        if not self.queue:
            return None
        return self.queue[0][0] if len(self.queue) >= self.n else self.queue[0][0] + self.wait

    def ready(self, now):
        return bool(self.queue) and (len(self.queue) >= self.n or now - self.queue[0][0] >= self.wait)

    def take(self, now):
        if not self.ready(now):
            return []
        batch, self.queue = self.queue[: self.n], self.queue[self.n :]
        return [request for _, request in batch]


class OnlyFull(Simple):
    def ready(self, now):
        return len(self.queue) // self.n > 0


class Eager(Simple):
    def ready(self, now):
        return self.queue != []


class Late(Simple):
    def ready(self, now):
        return bool(self.queue) and (len(self.queue) >= self.n or self.queue[0][0] + self.wait < now)


class Everybody(Simple):
    def take(self, now):
        if not self.ready(now):
            return []
        batch = [request for _, request in self.queue]
        self.queue.clear()
        return batch


class Forgetful(Simple):
    def take(self, now):
        batch = [request for _, request in self.queue[: self.n]] if self.ready(now) else []
        if batch:
            self.queue = []
        return batch


class NoneYet(Simple):
    def take(self, now):
        if self.ready(now):
            return super().take(now)


class Restarted(Simple):
    """A request that is left in the queue is put back as if it had just come."""

    def take(self, now):
        batch = super().take(now)
        if batch:
            self.queue = [(now, request) for _, request in self.queue]
        return batch


class Stack(Simple):
    def take(self, now):
        return [self.queue.pop()[1] for _ in range(min(self.n, len(self.queue)))] if self.ready(now) else []


class Shortest(Simple):
    """A heap by name, largest first; the arrival decides nothing."""

    def __init__(self, max_batch_size, timeout):
        super().__init__(max_batch_size, timeout)
        self.heap = []

    def take(self, now):
        if not self.ready(now):
            return []
        heapq.heapify(order := [(-ord(request[0]), came, request) for came, request in self.queue])
        batch = [heapq.heappop(order)[2] for _ in range(min(self.n, len(order)))]
        self.queue = [pair for pair in self.queue if pair[1] not in batch]
        return batch


class OnlyDue(Simple):
    """A filter by each one's own deadline."""

    def take(self, now):
        if len(self.queue) >= self.n:
            return super().take(now)
        due = [request for came, request in self.queue if now - came >= self.wait]
        self.queue = [(came, request) for came, request in self.queue if request not in due]
        return due


class Pairs(Simple):
    def take(self, now):
        batch = self.queue[: self.n] if self.ready(now) else []
        self.queue = self.queue[len(batch) :]
        return batch


class OneForAll:
    """The queue in the body of the class."""

    queue = []

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait = max_batch_size, timeout

    def add(self, request, now):
        self.queue.append((now, request))

    ready, ready_at = Simple.ready, Simple.ready_at

    def take(self, now):
        return [self.queue.pop(0)[1] for _ in range(min(self.n, len(self.queue)))] if self.ready(now) else []


class ReadyFromLast(Simple):
    """`take` is right; the server is told to sleep for too long."""

    def ready_at(self):
        return (
            super().ready_at() if not 0 < len(self.queue) < self.n else max(came for came, _ in self.queue) + self.wait
        )


class PopsInLoop(Simple):
    """Takes from the list over which it loops, and so leaves out every other one."""

    def take(self, now):
        batch = []
        if self.ready(now):
            for pair in self.queue:
                if len(batch) < self.n:
                    batch.append(pair[1])
                    self.queue.remove(pair)
        return batch


class NoMethods:
    def __init__(self, max_batch_size, timeout):
        self.waiting = Queue()

    def add(self, request, now):
        self.waiting.put(request)


class ByName(Simple):
    """A dict from requests to times: equal requests are one, and lists are no keys."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.wait, self.times = max_batch_size, timeout, {}

    queue = property(lambda self: [(time, request) for request, time in self.times.items()])

    def add(self, request, now):
        self.times[request] = now

    def take(self, now):
        ready = self.ready_at()
        batch = list(self.times)[: self.n] if ready is not None and ready <= now else []
        for request in batch:
            del self.times[request]
        return batch


class WholeSteps(Simple):
    def ready_at(self):
        ready = super().ready_at()
        return None if ready is None else int(ready)


class ByDuration(Simple):
    """Right but for rounding: it subtracts where `ready_at` adds."""

    def ready_at(self):
        if len(self.queue) >= self.n:
            return self.queue[self.n - 1][0]
        return self.queue[0][0] + self.wait if self.queue else None


class NoneBefore(Simple):
    """An empty list for nobody, and nothing at all for too early."""

    def take(self, now):
        if self.queue and not self.ready(now):
            return None
        return super().take(now)


class ReadyAfterBatch(Simple):
    """Asks for the timeout anew after each batch, in `ready_at` only."""

    started = 0

    def ready_at(self):
        if not self.queue:
            return None
        if len(self.queue) >= self.n:
            return self.queue[self.n - 1][0]
        return max(self.started, self.queue[0][0]) + self.wait

    def take(self, now):
        batch = super().take(now)
        self.started = now if batch else self.started
        return batch


class DropsEqual(Simple):
    """Takes the requests of the batch off the queue, and those that are equal to them."""

    def take(self, now):
        if not self.queue or not self.ready(now):
            return []
        batch = [request for _, request in self.queue[: self.n]]
        self.queue = [pair for pair in self.queue if pair[1] not in batch]
        return batch


CASES = {
    "09.dynamic_batcher": [
        ("as keys", ByName),
        ("times are rounded", WholeSteps),
        ("begins again with each arrival", Debounced),
        ("only when full", OnlyFull),
        ("as soon as any request", Eager),
        ("one step too late", Late),
        ("all waiting requests", Everybody),
        ("are lost", Forgetful),
        ("None is returned", NoneYet),
        ("starts again", Restarted),
        ("newest", Stack),
        ("newest", Shortest),
        ("method is missing", NoMethods),
        ("have not waited for the timeout", OnlyDue),
        ("returned with the requests", Pairs),
        ("share one queue", OneForAll),
        ("begins again with each arrival", ReadyFromLast),
        (None, PopsInLoop),
        ("compare times in two ways", ByDuration),
        ("None is returned", NoneBefore),
        ("counted from the last batch", ReadyAfterBatch),
        ("as keys, compared", DropsEqual),
    ]
}
