"""Many decode steps at once: as long as nobody joins, leaves or runs out of room, all steps are alike.

A jump ends with the first step in which a request is complete. It ends earlier where a request arrives that could be
admitted, and where a block would be missing: then the scheduler decides.
"""

from bisect import bisect_right

import numpy as np

from course_lib.engine.policies import FCFS, Fair, Priority
from course_lib.engine.step import Step
from course_lib.errors import IntegrityError

from .cost import work_of


def plan_quickly(replica):
    """A Jump, or an Admission where requests wait that may be admitted. None: the scheduler has to schedule all."""
    steady, scheduler, free = replica.steady, replica.scheduler, replica.allocator.num_free
    waiting = scheduler.waiting
    if type(waiting) not in (FCFS, Priority, Fair):
        return None  # a policy of one's own may decide anything at any time
    if not steady.take_in(scheduler.running) or not 0 < len(steady) <= replica.config.max_num_batched_tokens:
        return None
    if len(waiting) and not _must_wait(replica):
        has_room = type(waiting) is FCFS and steady.new_blocks(1)[0] <= free
        return Admission(replica) if has_room else None
    steps = steady.steps_left
    if len(steady) * -(-steps // replica.config.block_size) > free:
        steps = bisect_right(steady.new_blocks(steps), free)
    return Jump(replica, steps) if steps else None


def _must_wait(replica):
    """Whether no waiting request can be admitted or preempt another as long as nobody leaves.

    Only the first in line can be admitted. Blocks only become fewer, and what the cache has of its prompt too: nobody
    else computes tokens that are in it. With fair shares the tokens of each step can change who is first.
    """
    scheduler, config = replica.scheduler, replica.config
    if type(scheduler.waiting) is Fair:
        return False
    head = scheduler.waiting.peek()
    if type(scheduler.waiting) is Priority:
        if scheduler.waiting.outranks(head, scheduler.waiting.order([*scheduler.running.values()])[-1]):
            return False
    if not scheduler._is_below_max_num_seqs(head):
        return True
    budget = config.max_num_batched_tokens - len(replica.steady)
    hit = replica.manager.match_prefix(head)
    to_compute = head.num_tokens - max(hit, head.num_computed_tokens)
    if budget == 0 or to_compute > budget and not config.chunked_prefill:
        return True
    return not scheduler._has_room(head, hit)


class Jump:
    """`steps` decode steps of all requests in `replica.steady`."""

    def __init__(self, replica, steps):
        self.replica, self.steps = replica, steps
        n = len(replica.steady)
        self.ends = np.empty(steps + 1)
        self.ends[0] = replica.clock
        longest, later = replica.steady.longest if replica.cost.per_longest else 0, np.arange(steps)
        self.ends[1:] = replica.cost.seconds(n, n, replica.steady.kv_tokens + n * later, 0, longest + later)
        np.add.accumulate(self.ends, out=self.ends)  # one after the other, so that rounding is as step by step
        # With first come, first served, whoever arrives stands behind those that wait and cannot be admitted.
        self._ignores_arrivals = type(replica.scheduler.waiting) is FCFS and len(replica.scheduler.waiting) > 0

    @property
    def end(self):
        """When the last step ends."""
        return float(self.ends[self.steps])

    @property
    def last_begin(self):
        """When the last step begins."""
        return float(self.ends[self.steps - 1])

    def cut(self, now):
        """A request arrives at this time: the jump ends with the step that is under way, or, where steps overlap, with
        the one after it, which is scheduled already.
        """
        if not self._ignores_arrivals:
            under_way = int(np.searchsorted(self.ends, now))
            self.steps = min(self.steps, max(1, under_way + self.replica.overlaps))

    def execute(self):
        """The requests that are complete."""
        metrics = self.replica.metrics
        metrics.block_steps += self.replica.steady.begin(self.steps)
        metrics.num_steps += self.steps
        return self.replica.steady.end(self.ends[1 : self.steps + 1].tolist())


class WholeStep:
    """One step of the real scheduler. It is scheduled here, and settled when it ends."""

    def __init__(self, replica):
        self.replica, self.last_begin = replica, replica.clock
        replica.steady.let_go()
        self.step = replica.scheduler.schedule()
        if not self.step.scheduled:
            raise IntegrityError("The scheduler chose no request although some are unfinished: there is a bug in it.")
        replica.metrics.count_step(
            self.step, replica.clock, replica.requests, replica.scheduler.running, replica.allocator.num_free
        )
        self.end = replica.clock + replica.cost.seconds(*work_of(self.step))
        if replica.speculation is not None:
            self.end += replica.speculation.seconds(self.step)

    def cut(self, now):
        """A request arrives: a step is never broken off."""

    def execute(self):
        """The requests that have grown."""
        replica, tokens = self.replica, {}
        for sequence in self.step.scheduled:
            if sequence.num_choices:
                request = replica.requests[sequence.request_id]
                first, n = request.first_output_id + len(request.token_ids), 1
                if sequence.num_drafts:
                    n += replica.speculation.num_right(sequence.num_drafts, replica.draw)
                tokens[sequence.request_id] = [*range(first, first + n)]
        grown = replica.scheduler.update(self.step, tokens)
        if replica.speculation is not None:
            replica.metrics.count_drafts(self.step, tokens)
        for request, new in grown:
            request.metrics.token_times += [self.end] * len(new)
            replica.metrics.num_generated_tokens += len(new)
        return [request for request, _ in grown]


class Admission(WholeStep):
    """One step in which all that run decode, and the real scheduler admits: first come, first served.

    Those that run come first, and there are blocks for them. So the scheduler would give each of them one token, and
    then do what it does here.
    """

    def __init__(self, replica):
        self.replica, self.last_begin = replica, replica.clock
        steady, metrics, n, kv_tokens = replica.steady, replica.metrics, len(replica.steady), replica.steady.kv_tokens
        longest = steady.longest if replica.cost.per_longest else 0
        block_steps = steady.begin()
        self.step = Step(replica.config.max_num_batched_tokens - n)
        replica.scheduler._admit(self.step)
        replica.manager.move_copies(self.step.copies)
        admitted = {sequence.request_id: replica.requests[sequence.request_id] for sequence in self.step.scheduled}
        metrics.count_step(self.step, replica.clock, admitted, admitted, replica.allocator.num_free)
        if not admitted:  # else count_step has counted all that run
            metrics.num_steps += 1
            metrics.block_steps += block_steps
        metrics.peak_running = max(metrics.peak_running, len(replica.scheduler.running))
        work = work_of(self.step)
        self.end = replica.clock + replica.cost.seconds(
            work.num_tokens + n, work.num_sequences + n, work.kv_tokens + kv_tokens, work.num_pairs,
            max(work.longest, longest),
        )  # fmt: skip

    def execute(self):
        """The requests that are complete or were admitted."""
        return self.replica.steady.end([self.end]) + super().execute()
