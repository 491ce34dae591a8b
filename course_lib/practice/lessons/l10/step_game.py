"""A scheduler in which a learner's `step` of 10.step chooses what runs."""

from course_lib.engine.scheduler import Scheduler, Step
from course_lib.errors import IntegrityError

A_STEP = "a list of pairs (request, n)"


def scheduler_of_step(step):
    """A Scheduler in which `step` chooses, for Engine(model, config, scheduler=scheduler_of_step(step)) and for replay.

    step(waiting, running, num_blocks, block_size, max_num_seqs) -> [(request, n)], see 10.step. Set
    prefix_caching=False: `step` is not told of cached blocks and computes every token.
    """

    class Stepping(Scheduler):
        def __init__(self, config, manager, **others):
            super().__init__(config, manager, **others)
            self.queue = []  # the waiting requests, in the order of arrival

        def add(self, request):
            super().add(request)
            self.queue.append(request)

        def _wait_again(self, request, status):
            super()._wait_again(request, status)
            self.queue.insert(0, request)

        def finish(self, request, reason):
            if request in self.queue:
                self.queue.remove(request)
            super().finish(request, reason)

        def schedule(self):
            ledger, running = self.manager.allocator, list(self.running.values())
            chosen = step(
                list(self.queue), list(running), ledger.num_blocks, ledger.block_size, self.config.max_num_seqs
            )
            made = Step(self.config.max_num_batched_tokens)
            for request, n in pairs(chosen, self.queue + running):
                slots = self.manager.allocate_slots(request, n)
                if slots is not None and request.request_id not in self.running:
                    self.queue.remove(request)
                    self.waiting.remove(request)
                    self._start(request, 0, 0, slots, made)
                if slots is not None:
                    made.add(request, n)
                elif request.request_id not in self.running:
                    raise IntegrityError(
                        f"step() admits {request.request_id} with {n} tokens, which need more blocks than the "
                        f"{ledger.num_free} that are free. Admit it when its blocks are free."
                    )
            if self.trace is not None and made.scheduled:
                self._record(made)
            return made

    return Stepping


def pairs(chosen, known):
    """What `step` returned, if it is a list of pairs. Raises IntegrityError for anything else."""
    if not isinstance(chosen, (list, tuple)) or not all(
        isinstance(one, (list, tuple)) and len(one) == 2 for one in chosen
    ):
        raise IntegrityError(f"step() returned {str(chosen)[:60]}; it must return {A_STEP}.")
    seen = []
    for request, n in chosen:
        if not any(request is one for one in known):
            raise IntegrityError(
                f"step() names {request!r}, which neither waits nor runs. Return requests of the two lists."
            )
        if any(request is one for one in seen):
            raise IntegrityError(
                f"step() names request {request.request_id} twice. Name each request once, with all its tokens."
            )
        if type(n) is not int or n < 1:
            raise IntegrityError(
                f"step() gives request {request.request_id} {n!r} tokens. Each request in the list computes at least 1."
            )
        seen.append(request)
    return chosen
