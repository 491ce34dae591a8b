"""Who computes what in the next step. Integers only: it asks the ledger for room and touches no tensor.

Each step, from the same two numbers of each request, its tokens and how many of them are computed:

    1. A more important request that waits takes the place of a running one    (only where the policy says so)
    2. The running requests get their tokens, as far as the budget goes        short of memory: the last one makes room
    3. Waiting requests are admitted while seats, budget and memory last       not in a step that was short of memory

A decoding request is one whose tokens are computed but for the last; a prompt is one that has many to go, and if the budget is
short it gets some of them now and more in the next step. Nothing else tells the two apart. Source: Orca (OSDI '22),
Sarathi-Serve (arXiv 2403.02310), vLLM's scheduler.
"""

from dataclasses import dataclass, field

from course_lib.errors import IntegrityError, LedgerError

from .policies import make_policy
from .request import FINISHED, RUNNING, SWAPPED, WAITING


@dataclass
class Step:
    """What is to be done in one step, in this order: swap out, swap in, compute."""

    token_budget: int
    """Tokens that may still be added."""
    scheduled: list = field(default_factory=list)
    """(request, n): its next n tokens after num_computed_tokens are computed. n is at least 1."""
    admitted: list = field(default_factory=list)
    """(request, num_cached): who came in from the queue, and how many of its tokens the cache had."""
    preempted: list = field(default_factory=list)
    """(request, lost): who had to make room, and how many computed tokens were thrown away."""
    swapped_out: list = field(default_factory=list)
    """(request, block_ids): copy these blocks to CPU memory before anything is written; they are others' already."""
    swapped_in: list = field(default_factory=list)
    """(request, start, slots): its saved tokens from number `start` on go to these slots; what else was saved is dropped."""
    is_short: bool = False
    """Whether a running request found no room."""

    def add(self, request, n):
        self.scheduled.append((request, n))
        self.token_budget -= n

    @property
    def num_tokens(self):
        return sum(n for _, n in self.scheduled)


class Scheduler:
    """Chooses for each step who runs, under the token budget, the seats and the memory there is.

    config: an EngineConfig. manager: the KVCacheManager that keeps the ledger. policy: a Policy; default: the config's.
    trace: a Trace that is told, or None. `waiting` is the policy with its queue, `running` a dict in the order of admission.

    A learner's own scheduler needs add, schedule, update, fork, undo, finish, has_unfinished: made from this class, whichever
    of them it keeps.
    """

    def __init__(self, config, manager, *, policy=None, trace=None):
        self.config, self.manager, self.trace = config, manager, trace
        self.waiting = make_policy(config.policy) if policy is None else policy
        self.running = {}  # request_id -> request
        self.num_sequences = 0  # texts that the running requests stand for
        self.block_size = manager.allocator.block_size
        self.watermark_blocks = int(config.watermark * manager.allocator.num_blocks)
        if trace is not None:
            trace.add(
                "engine",
                policy=type(self.waiting).__name__,
                max_num_seqs=config.max_num_seqs,
                max_num_batched_tokens=config.max_num_batched_tokens,
            )

    def add(self, request):
        """The request waits from now on."""
        self.waiting.push(request)
        if self.trace is not None:
            self.trace.add(
                "queue",
                request=request.request_id,
                client=request.client,
                priority=request.priority,
                num_tokens=request.num_tokens,
            )

    def has_unfinished(self):
        """Whether any request waits or runs."""
        return bool(self.running) or len(self.waiting) > 0

    def schedule(self):
        """The next Step; the ledger has its slots already."""
        step = Step(self.config.max_num_batched_tokens)
        order = self.waiting.order(list(self.running.values()))
        self._make_way(step, order)
        self._continue_running(step, order)
        if not step.is_short:
            self._admit(step)
        if self.trace is not None and step.scheduled:
            self.trace.add(
                "schedule",
                requests=[r.request_id for r, _ in step.scheduled],
                starts=[r.num_computed_tokens for r, _ in step.scheduled],
                counts=[n for _, n in step.scheduled],
            )
        return step

    def _make_way(self, step, order):
        head = self.waiting.peek()
        while head is not None and order and self.waiting.outranks(head, order[-1]):
            if self._is_below_max_num_seqs(head) and self._has_room(head, self.manager.match_prefix(head)):
                return
            self._preempt(order.pop(), step)

    def _continue_running(self, step, order):
        allocate, at = self.manager.allocate_slots, 0
        while at < len(order) and step.token_budget > 0:
            request = order[at]
            to_do = len(request.token_ids) - request.num_computed_tokens
            n = to_do if to_do <= step.token_budget else step.token_budget
            while allocate(request, n) is None:
                step.is_short = True
                if len(order) == 1:
                    raise LedgerError(self._alone(request, n))
                self._preempt(order.pop(), step)
                if at == len(order):
                    return  # it was the last one itself
            step.add(request, n)
            at += 1

    def _admit(self, step):
        while step.token_budget > 0 and (request := self.waiting.peek()) is not None and self._is_below_max_num_seqs(request):
            hit = self.manager.match_prefix(request)
            known = max(hit, request.num_computed_tokens)  # computed tokens of one who waits are in CPU memory
            n = request.num_tokens - known
            if n > step.token_budget:
                if not self.config.chunked_prefill:
                    return
                n = step.token_budget
            if not self._has_room(request, hit):
                return
            slots = self.manager.allocate_slots(request, known - hit + n)
            if slots is None:
                if not self.running:
                    raise LedgerError(self._alone(request, known - hit + n))
                return
            self._start(self.waiting.pop(), hit, known, slots, step)
            step.add(request, n)

    def _start(self, request, hit, known, slots, step):
        if request.status == SWAPPED:
            step.swapped_in.append((request, hit, slots[: known - hit]))
            if self.trace is not None:
                self.trace.add("swap", request=request.request_id, direction="in", num_tokens=known - hit)
        request.status, request.num_computed_tokens = RUNNING, known
        step.admitted.append((request, hit))
        if not request.was_admitted:
            request.was_admitted = True
            self.waiting.charge(request, prompt_tokens=request.num_prompt_tokens)
        self.running[request.request_id] = request
        self.num_sequences += request.num_sequences

    def _is_below_max_num_seqs(self, request):
        return self.num_sequences + request.num_sequences <= self.config.max_num_seqs

    def _has_room(self, request, hit):
        """Whether all its tokens fit now, and leave the watermark free. With nobody running it need only fit at all.

        A running request whose prompt was cut has used up the budget, so nobody is admitted beside it: its rest comes first.
        """
        if not self.running:
            return True
        wanted = self._blocks(request.num_tokens) - hit // self.block_size + self.watermark_blocks
        return wanted <= self.manager.allocator.num_free

    def _blocks(self, num_tokens):
        return -(-num_tokens // self.block_size)

    def _preempt(self, request, step):
        """The request gives its memory back and waits again; what it wrote stays written."""
        swap = self.config.preemption == "swap" and request.num_computed_tokens > 0
        lost = 0 if swap else request.num_computed_tokens
        if self.trace is not None:
            self.trace.add("preempt", request=request.request_id, how="swap" if swap else "recompute", num_tokens=lost)
        if swap:
            step.swapped_out.append((request, self.manager.table(request).block_ids[:]))
            if self.trace is not None:
                self.trace.add(
                    "swap", request=request.request_id, direction="out", num_tokens=request.num_computed_tokens
                )
        step.preempted.append((request, lost))
        self._stop_running(request)
        self._wait_again(request, SWAPPED if swap else WAITING)

    def _stop_running(self, request):
        del self.running[request.request_id]
        self.num_sequences -= request.num_sequences
        if request in self.manager:
            self.manager.free(request)

    def _wait_again(self, request, status):
        request.status = status
        if status == WAITING:
            request.num_computed_tokens = 0
        self.waiting.push(request, returning=True)

    def update(self, step):
        """The step was computed: its tokens count, and full blocks can be found by others."""
        for request, n in step.scheduled:
            request.num_computed_tokens += n
            self.manager.commit(request, request.num_computed_tokens)
            if request.num_computed_tokens == len(request.token_ids):
                self.waiting.charge(
                    request, output_tokens=request.num_sequences
                )  # the next token of each of its texts is known

    def undo(self, step):
        """The step broke off: whoever was touched waits again and is computed from the beginning."""
        self.manager.allocator.copies.clear()
        for request, _ in step.swapped_out:
            if request.status == SWAPPED:
                request.status, request.num_computed_tokens = WAITING, 0
        for request, _ in reversed(step.scheduled):
            if self.trace is not None:
                self.trace.add(
                    "preempt", request=request.request_id, how="recompute", num_tokens=request.num_computed_tokens
                )
            self._stop_running(request)
            self._wait_again(request, WAITING)

    def fork(self, request, other):
        """`other` runs from now on, over the blocks of `request`, on one of the seats that this one holds."""
        self.manager.fork(request, other)
        request.num_sequences -= 1
        other.status = RUNNING
        self.running[other.request_id] = other

    def finish(self, request, reason):
        """The request is done or aborted, wherever it is: its memory is free, or cached."""
        if request.request_id in self.running:
            self._stop_running(request)
        else:
            self.waiting.remove(request)
        request.status, request.finish_reason = FINISHED, reason
        if self.trace is not None:
            self.trace.add("finish", request=request.request_id, reason=reason)

    def _alone(self, request, n):
        allocator = self.manager.allocator
        return (
            f"Request {request.request_id} runs alone and asks for slots for {n} tokens, which would fit into "
            f"{allocator.num_blocks} blocks of {self.block_size}; but the allocator has only {allocator.num_free} free. "
            f"Blocks were lost: something is allocated and never freed, or freed and never handed out again."
        )

    def check_integrity(self):
        """Raises IntegrityError with the first thing that does not hold, those of the ledger first."""
        self.manager.check_integrity()
        seats = sum(request.num_sequences for request in self.running.values())
        if seats != self.num_sequences or seats > self.config.max_num_seqs:
            raise IntegrityError(
                f"The running requests stand for {seats} texts, {self.num_sequences} are counted, and "
                f"{self.config.max_num_seqs} may run."
            )
        for request in self.running.values():
            held = self.manager.table(request).num_tokens if request in self.manager else 0
            if request.status != RUNNING or held != request.num_computed_tokens or held >= request.num_tokens:
                raise IntegrityError(
                    f"{request} runs and has slots for {held} tokens: between two steps these are the computed "
                    f"ones, and one token at least is still to be computed."
                )
