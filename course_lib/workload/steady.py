"""Requests that only decode are counted together, and each learns what happened to it when it leaves.

    step          1        2        3        4        5
    a             x        x        x        x        x           one token each, every step
    b             x        x        x|new    x        x           a new block every block_size steps
    c             x        x        x        x        x|end       c learns of five tokens, their times and its blocks

Each step adds one token to each of them, so the totals of a step follow from a few numbers: how many there are, how
many tokens they have, and how many of them begin a block in this step. The ledger gives the blocks in the step in which
they are due, so cached blocks are evicted when and as step by step; which of these blocks is whose is said later. Their
hashes come later too. Nobody can look for them before: the tokens that a simulated request chooses are its own, and
the next turn of its conversation comes after its end.
"""

from heapq import heappop, heappush
from itertools import accumulate, count, cycle, islice

from course_lib.errors import IntegrityError

MOST_TIMES = 4096
"""Ends of steps above which those that no request needs any more are thrown away."""


class Steady:
    """The requests of one Replica that only decode. `step`: how many steps there have been."""

    def __init__(self, replica):
        self.replica, self.size = replica, replica.config.block_size
        self.step = 0
        self.kv_tokens = 0  # that the next step reads
        self.empty_slots = 0  # in the last blocks of all of them
        self._first = {}  # request -> the first step in which it is counted here
        self._begins = [0] * self.size  # of the steps k with k % size == i, how many requests begin a block in them
        self._ends = []  # heap of (step before which it is complete, number, request)
        self._times, self._base = [], 0  # ends of the steps from number `_base` on
        self._due = []  # blocks that are in no table yet
        self._charged, self._numbers = 0, count()

    def __len__(self):
        return len(self._first)

    def take_in(self, running):
        """Takes in all running requests: whether all of them only decode. Otherwise none is here afterwards."""
        missing = len(running) - len(self._first)
        if missing:  # the last of them: others are let go before anything else is done with them
            coming = [*islice(reversed(running.values()), missing)][::-1]
            if not all(map(self._only_decodes, coming)):
                self.let_go()
                return False
            for request in coming:
                self._join(request)
        return True

    def _only_decodes(self, request):
        """Whether its prompt is computed, and no block of another request is touched when its next blocks are hashed.

        That happens where another computed the same prompt first: its blocks are then the ancestors of these.
        """
        if len(request.token_ids) - request.num_computed_tokens != 1:
            return False
        manager, full = self.replica.manager, request.num_computed_tokens // self.size
        return manager.cache is None or not full or manager.table(request).block_ids[full - 1] in manager.cache

    def _join(self, request):
        computed, left = request.num_computed_tokens, request.max_tokens - len(request.token_ids)
        self._first[request] = self.step
        self._begins[(self.step - computed) % self.size] += 1
        self.kv_tokens += len(request.token_ids)
        self.empty_slots += -computed % self.size
        heappush(self._ends, (self.step + left, next(self._numbers), request))

    @property
    def longest(self):
        """Tokens of the longest of them that the next step reads. Their lists do not grow while they are here."""
        return self.step + max(len(request.token_ids) - first for request, first in self._first.items())

    @property
    def steps_left(self):
        """Steps until the first of them is complete."""
        return self._ends[0][0] - self.step

    def new_blocks(self, steps):
        """How many blocks the next steps need in all: a list with the number after each of them."""
        at = self.step % self.size
        return list(accumulate(islice(cycle(self._begins[at:] + self._begins[:at]), steps)))

    def begin(self, steps=1):
        """The next steps have begun: they get their blocks. Returns the blocks in use, summed over the steps."""
        allocator, metrics, n = self.replica.allocator, self.replica.metrics, len(self._first)
        used = allocator.num_blocks - allocator.num_free
        if steps == 1:
            total = before_last = summed = self._begins[self.step % self.size]
        else:
            needed = self.new_blocks(steps)
            total, before_last, summed = needed[-1], needed[-2], sum(needed)
            metrics.peak_blocks = max(metrics.peak_blocks, used + before_last)  # in the last one, some may leave
        if total:
            blocks = allocator.allocate(total)
            if blocks is None:
                raise IntegrityError(f"{steps} steps of {n} requests found no room for {total} blocks: it is a bug.")
            self._due += blocks
        metrics.num_scheduled_tokens += n * steps
        metrics.num_generated_tokens += n * steps
        metrics.empty_slot_steps += self.empty_slots * steps - n * steps * (steps + 1) // 2 + self.size * summed
        self.empty_slots += self.size * total - n * steps
        self.kv_tokens += n * steps
        return used * steps + summed

    def end(self, times):
        """These steps have ended, at these times. Returns the requests that are complete, in the order of the batch."""
        self._times += times
        self.step += len(times)
        ended = []
        while self._ends and self._ends[0][0] == self.step:
            ended.append(heappop(self._ends)[2])
        if len(ended) > 1:
            scheduler, among = self.replica.scheduler, set(ended)
            ended = [request for request in scheduler.waiting.order([*scheduler.running.values()]) if request in among]
        for request in ended:
            self._leave(request)
        if len(self._times) > MOST_TIMES:
            base = min(self._first.values(), default=self.step)
            del self._times[: base - self._base]
            self._base = base
        return ended

    def let_go(self):
        """All leave, in the middle of their outputs, so that the scheduler can do with them what it wants."""
        for request in list(self._first):
            self._leave(request)
        self._ends.clear()

    def _leave(self, request):
        self.charge()
        first, manager = self._first.pop(request), self.replica.manager
        steps, held, size = self.step - first, request.num_computed_tokens, self.size
        if steps:
            request.grow(steps)
            request.metrics.token_times += self._times[first - self._base :]
            request.metrics.num_computed_tokens += steps
            blocks = -(-(held + steps) // size) - -(-held // size)
            if blocks:  # they were allocated for it, and its table allocates as many now
                self.replica.allocator.free(self._due[-blocks:])
                del self._due[-blocks:]
            manager.allocate_slots(request, steps)
            request.num_computed_tokens = held = held + steps
            manager.commit(request, held)
        self._begins[(self.step - held) % size] -= 1
        self.kv_tokens -= held + 1
        self.empty_slots -= -held % size

    def charge(self):
        """Where the policy counts service: the tokens since the last call."""
        if self._charged < self.step and self.replica.scheduler._charges:
            for request, first in self._first.items():
                self.replica.scheduler.waiting.charge(request, output_tokens=self.step - max(first, self._charged))
        self._charged = self.step
