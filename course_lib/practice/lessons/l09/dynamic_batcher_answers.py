"""Answers to 09.dynamic_batcher: right ones written differently, and a wrong one in which any part is replaced."""

from collections import deque

from .solutions.dynamic_batcher import DynamicBatcher


class ListBatcher:
    """Two lists side by side, and slices."""

    def __init__(self, max_batch_size, timeout):
        self.n, self.timeout, self.names, self.times = max_batch_size, timeout, [], []

    def add(self, request, now):
        self.names += [request]
        self.times += [now]

    def ready_at(self):
        full = self.times[self.n - 1 : self.n]
        return min([t + self.timeout for t in self.times[:1]] + full, default=None)

    def take(self, now):
        if self.ready_at() is None or self.ready_at() > now:
            return []
        batch, self.names, self.times = self.names[: self.n], self.names[self.n :], self.times[self.n :]
        return batch


class DeadlineBatcher:
    """Keeps deadlines, and moves whole batches aside as they fill."""

    def __init__(self, max_batch_size, timeout):
        self.size, self.timeout, self.groups = max_batch_size, timeout, []

    def add(self, request, now):
        if not self.groups or len(self.groups[-1][1]) == self.size:
            self.groups.append([now + self.timeout, []])
        self.groups[-1][1].append(request)
        if len(self.groups[-1][1]) == self.size:
            self.groups[-1][0] = now

    def ready_at(self):
        return self.groups[0][0] if self.groups else None

    def take(self, now):
        return self.groups.pop(0)[1] if self.groups and now >= self.groups[0][0] else []


class Wrong(DynamicBatcher):
    """A batcher with one thing changed; see `variant`."""

    full = staticmethod(lambda count, size: count >= size)
    due = staticmethod(lambda now, since, timeout: now >= since + timeout)
    company = staticmethod(lambda came, due: len(came))
    gives = staticmethod(lambda pair: pair[1])
    since, clock, most, newest, nothing, rest, removes, says = "first", "arrival", True, False, list, "keep", True, None

    @classmethod
    def variant(cls, **changes):
        return type(
            "Wrong",
            (cls,),
            {
                name: staticmethod(value) if name in ("full", "due", "company", "gives") else value
                for name, value in changes.items()
            },
        )

    def __init__(self, max_batch_size, timeout):
        super().__init__(max_batch_size, timeout)
        self.seen, self.left = None, 0

    def ready_at(self):
        if self.says is None:
            return (
                super().ready_at()
                if self.since == "first"
                else self.waiting[-1][0] + self.timeout
                if self.waiting
                else None
            )
        return self.says()

    def _since(self, now):
        came = self.waiting[0 if self.since == "first" else -1][0]
        if self.clock == "look":
            if self.seen is None:
                self.seen = now
            return self.seen
        return self.left if self.clock == "batch" else came

    def take(self, now):
        if not self.waiting:
            return self.nothing()
        late = self.due(now, self._since(now), self.timeout)
        if not self.full(len(self.waiting), self.max_batch_size) and not late:
            return self.nothing()
        count = min(self.max_batch_size, len(self.waiting)) if self.most else len(self.waiting)
        if not self.full(len(self.waiting), self.max_batch_size):
            count = self.company([came for came, _ in self.waiting], lambda came: self.due(now, came, self.timeout))
        self.left, self.seen = now, None
        if not self.removes:
            return [name for _, name in list(self.waiting)[:count]]
        batch = [self.gives(self.waiting.pop() if self.newest else self.waiting.popleft()) for _ in range(count)]
        if self.rest == "drop":
            self.waiting.clear()
        elif self.rest == "restart":
            self.waiting = deque((now, name) for _, name in self.waiting)
        return batch
