"""Many decode steps at once: as long as nobody joins, leaves or runs out of room, all steps are alike.

    step          1        2        3        4        5
    a             x        x        x        x        x           one token each, every step
    b             x        x        x|new    x        x           a new block every block_size steps
    c             x        x        x        x        x|end       the jump ends with the first that is complete
                                             ^ a request arrives: the jump is cut at the end of this step

A jump ends before the first step in which the scheduler could decide anything: a request could be admitted, a prompt is
in progress, or a block is missing. The ledger then goes through the same changes in the same order as step by step:
in each step the new blocks in the order of the batch, then the blocks that became full. So evictions are the same too.
"""

import numpy as np

from course_lib.engine.policies import FCFS, Fair, Priority
from course_lib.errors import IntegrityError


def plan_jump(replica):
    """The Jump from here on, or None where the next step has to be scheduled by itself."""
    scheduler = replica.scheduler
    running = list(scheduler.running.values())
    if not running or len(running) > replica.config.max_num_batched_tokens:
        return None
    steps = min(request.max_tokens - len(request.token_ids) for request in running)
    for request in running:
        if len(request.token_ids) - request.num_computed_tokens != 1:
            return None  # its prompt is not computed to the end
    if type(scheduler.waiting) not in (FCFS, Priority, Fair):
        return None  # a policy of one's own may decide anything at any time
    order = scheduler.waiting.order(running)
    if len(scheduler.waiting) and not _must_wait(replica, order):
        return None
    steps = _steps_with_room(replica, order, steps)
    return Jump(replica, order, steps) if steps else None


def _must_wait(replica, order):
    """Whether no waiting request can be admitted or preempt another as long as nobody leaves.

    Only the first in line can be admitted. Blocks only become fewer, and what the cache has of its prompt too: nobody
    else computes tokens that are in it. With fair shares the tokens of each step can change who is first.
    """
    scheduler, config = replica.scheduler, replica.config
    if type(scheduler.waiting) is Fair:
        return False
    head = scheduler.waiting.peek()
    if scheduler.waiting.outranks(head, order[-1]):
        return False
    if not scheduler._is_below_max_num_seqs(head):
        return True
    budget = config.max_num_batched_tokens - len(order)
    hit = replica.manager.match_prefix(head)
    to_compute = head.num_tokens - max(hit, head.num_computed_tokens)
    if budget == 0 or to_compute > budget and not config.chunked_prefill:
        return True
    return not scheduler._has_room(head, hit)


def _steps_with_room(replica, order, steps):
    """The most steps, up to `steps`, for which there are blocks."""
    size, free = replica.config.block_size, replica.allocator.num_free
    if len(order) * -(-steps // size) <= free:
        return steps
    held = np.array([request.num_computed_tokens for request in order])
    spare = -held % size  # slots in the last blocks

    def missing(k):
        return int(np.maximum(-(-(k - spare) // size), 0).sum())

    low, high = 0, steps
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if missing(middle) <= free else (low, middle - 1)
    return low


class Jump:
    """`steps` decode steps of the requests in `order`, the order of the batch."""

    def __init__(self, replica, order, steps):
        self.replica, self.order, self.steps = replica, order, steps
        n = len(order)
        kv_tokens = sum(request.num_tokens for request in order) + n * np.arange(steps)
        seconds = replica.cost.seconds(n, n, kv_tokens, 0)
        self.ends = np.empty(steps + 1)
        self.ends[0], self.ends[1:] = replica.clock, seconds
        np.add.accumulate(self.ends, out=self.ends)  # one after the other, so that rounding is as step by step
        # With first come, first served, whoever arrives stands behind those that wait and cannot be admitted.
        self._ignores_arrivals = type(replica.scheduler.waiting) is FCFS and len(replica.scheduler.waiting) > 0

    @property
    def end(self):
        """When the last step ends."""
        return float(self.ends[self.steps])

    def cut(self, now):
        """A request arrives at this time: the jump ends with the step that is under way."""
        if not self._ignores_arrivals:
            self.steps = min(self.steps, max(1, int(np.searchsorted(self.ends, now))))

    def execute(self):
        """The requests, all of which have grown by `steps` tokens."""
        replica, steps = self.replica, self.steps
        scheduler, metrics = replica.scheduler, replica.metrics
        times, size = self.ends[1 : steps + 1].tolist(), replica.config.block_size
        for request in self.order:
            request.grow(steps)
            request.metrics.token_times += times
            request.metrics.num_computed_tokens += steps
            metrics.empty_slot_steps += empty_slots(request.num_computed_tokens, steps, size)
            if scheduler._charges:
                scheduler.waiting.charge(request, output_tokens=steps)
        self._grow_blocks(size)
        num_tokens = steps * len(self.order)
        metrics.num_steps += steps
        metrics.num_scheduled_tokens += num_tokens
        metrics.num_generated_tokens += num_tokens
        return self.order

    def _grow_blocks(self, size):
        """The ledger, step by step where it changes: new blocks, and blocks that became full."""
        manager, metrics, steps = self.replica.manager, self.replica.metrics, self.steps
        is_cached, changes = manager.cache is not None, []
        for place, request in enumerate(self.order):
            held = request.num_computed_tokens
            spare = -held % size
            if spare:
                manager.allocate_slots(request, min(spare, steps))
            changes += [(at, 0, place) for at in range(spare, steps, size)]
            if is_cached:
                changes += [(at, 1, place) for at in range((spare or size) - 1, steps, size)]
        used = self.replica.allocator.num_blocks - self.replica.allocator.num_free
        metrics.block_steps += steps * used
        before_last = used  # blocks in use in the last step but one: in the last, some of them may leave
        for at, is_full, place in sorted(changes):
            request = self.order[place]
            if is_full:
                manager.commit(request, request.num_computed_tokens + at + 1)
                continue
            if manager.allocate_slots(request, min(size, steps - at)) is None:
                raise IntegrityError(f"A jump of {steps} steps found no room for {request}: there is a bug in it.")
            metrics.block_steps += steps - at
            before_last += at < steps - 1
        if steps > 1:
            metrics.peak_blocks = max(metrics.peak_blocks, before_last)
        for request in self.order:
            request.num_computed_tokens += steps
            manager.commit(request, request.num_computed_tokens)


def empty_slots(held, steps, size):
    """Empty slots of the last block of one request, summed over steps that each add a token to `held`."""
    rounds, rest = divmod(steps, size)
    spare = -held % size  # before the first step; then spare - 1, ..., 0, size - 1, ..., 0, ...
    total = rounds * (size * (size - 1) // 2)
    first = min(rest, spare)
    total += first * (2 * spare - first - 1) // 2
    rest -= first
    return total + rest * (2 * size - rest - 1) // 2
