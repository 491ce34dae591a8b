"""Right answers to 09.dynamic_batcher, written differently."""


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
