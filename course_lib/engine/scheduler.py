"""Chooses which tokens are computed in the next step. Integers only: it asks the ledger for room and touches no tensor.

Each step, from the same two numbers of each request, its tokens and how many of them are computed:

    1. A more important request that waits takes the place of a running one   (only where the policy says so)
    2. The running requests get their tokens, as far as the budget goes    short of memory: the last one is preempted
    3. Waiting requests are admitted while sequences, budget and memory last  not in a step that was short of memory

A decoding request is one whose tokens are computed but for the last. A prompt is one that has many to go; if the
budget is short it gets some of them now and more in the next step. Nothing else tells the two apart. Source: Orca
(OSDI '22), Sarathi-Serve (arXiv 2403.02310), vLLM's scheduler.
"""

from .audit import check_running
from .draft_slots import DraftSlots
from .policies import Policy, make_policy
from .request import FINISHED, RUNNING, SWAPPED, WAITING, sequence_id
from .step import Step


class Scheduler:
    """Chooses each step under three limits: the token budget, `max_num_seqs`, and the memory there is.

    config: an EngineConfig. manager: the KVCacheManager that keeps the ledger. policy: a Policy; default: the config's.
    trace: a Trace that is told, or None. `waiting` is the policy with its queue, `running` a dict in the order of
    admission.

    `schedule` may be called once more before the `update` of the step before: then the newest token of a sequence is
    pending. A learner's own scheduler is made from this class and replaces what it likes.
    """

    def __init__(self, config, manager, *, policy=None, trace=None):
        self.config, self.manager, self.trace = config, manager, trace
        self.waiting = make_policy(config.policy) if policy is None else policy
        self.running = {}  # request_id -> request
        self.num_sequences = 0  # that the running requests stand for
        self.block_size = manager.allocator.block_size
        self.watermark_blocks = int(config.watermark * manager.allocator.num_blocks)
        self._unsettled = {}  # request_id -> request that was preempted while a step with it was in flight
        self._swapped = {}  # request_id -> waiting request whose tokens are in CPU memory
        self.drafts = None if config.speculation is None else DraftSlots(config.speculation, manager, trace)
        self._charges = getattr(type(self.waiting), "charge", None) is not Policy.charge
        if trace is not None:
            trace.add(
                "engine", policy=type(self.waiting).__name__, max_num_seqs=config.max_num_seqs,
                max_num_batched_tokens=config.max_num_batched_tokens,
            )  # fmt: skip

    def add(self, request):
        """The request waits from now on."""
        self.waiting.push(request)
        if self.trace is not None:
            self.trace.add(
                "queue", request=request.request_id, client=request.client, priority=request.priority,
                num_tokens=request.num_tokens,
            )  # fmt: skip

    def has_unfinished(self):
        """Whether any request waits or runs."""
        return bool(self.running) or len(self.waiting) > 0

    def schedule(self):
        """The next Step. The ledger has its slots already."""
        step = Step(self.config.max_num_batched_tokens)
        order = self.waiting.order(list(self.running.values()))
        self._preempt_for_more_important(step, order)
        self._continue_running(step, order)
        if not step.is_short:
            self._admit(step)
        self.manager.move_copies(step.copies)
        if self.trace is not None and step.scheduled:
            self._record(step)
        return step

    def _preempt_for_more_important(self, step, order):
        head = self.waiting.peek()
        while head is not None and order and self.waiting.outranks(head, order[-1]):
            if self._is_below_max_num_seqs(head) and self._has_room(head, self.manager.match_prefix(head)):
                return
            self._preempt(order.pop(), step)

    def _continue_running(self, step, order):
        manager, size, copies, at = self.manager, self.block_size, self.manager.allocator.copies, 0
        while at < len(order) and step.token_budget > 0:
            request = order[at]
            at += 1
            pending = request.num_pending_tokens
            if pending and (request.num_sequences > 1 or len(request.token_ids) + pending >= request.max_tokens):
                continue  # it parts into several sequences, or ends, when the step in flight is over
            start = request.num_computed_tokens + request.num_in_flight_tokens
            n = min(len(request.token_ids) + pending - start, step.token_budget)
            drafts = self.drafts.allocate(request, step.token_budget - (len(order) - at)) if self.drafts else ()
            while not drafts and (slots := manager.allocate_slots(request, n, num_pending=pending)) is None:
                step.is_short = True
                if len(order) == 1:
                    raise manager.lost_blocks(request, n)
                self._preempt(order.pop(), step)
                if at > len(order):
                    return  # the request itself was the last one
            if drafts or n > 1 or slots[0] % size == 0 or copies or not request.is_known_to_runner:
                step.add(request, n, *manager.take_new_blocks(request), drafts)
            else:  # its blocks are those of the step before
                step.add(request, n, 0, ())

    def _admit(self, step):
        while step.token_budget > 0 and (request := self.waiting.peek()) is not None:
            if not self._is_below_max_num_seqs(request) or request.num_in_flight_steps:
                return
            hit = self.manager.match_prefix(request)
            known = max(hit, request.num_computed_tokens)  # the computed tokens of a waiting request are in CPU memory
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
                    raise self.manager.lost_blocks(request, known - hit + n)
                return
            self._start(self.waiting.pop(), hit, known, slots, step)
            step.add(request, n, *self.manager.take_new_blocks(request))

    def _start(self, request, hit, known, slots, step):
        if self._swapped.pop(request.request_id, None) is not None:
            step.swapped_in.append((request.request_id, hit, slots[: known - hit]))
            if self.trace is not None:
                self.trace.add("swap", request=request.request_id, direction="in", num_tokens=known - hit)
        request.status, request.num_computed_tokens = RUNNING, known
        step.admitted.append((request.request_id, hit))
        if not request.was_admitted:
            request.was_admitted = True
            self.waiting.charge(request, prompt_tokens=request.num_prompt_tokens)
        self.running[request.request_id] = request
        self.num_sequences += request.num_sequences

    def _is_below_max_num_seqs(self, request):
        return self.num_sequences + request.num_sequences <= self.config.max_num_seqs

    def _has_room(self, request, hit):
        """Whether all its tokens fit now, and leave the watermark free. Where no request runs it need only fit at all.

        A running request whose prompt was cut has used up the budget, so none is admitted beside it: its rest comes
        first.
        """
        if not self.running:
            return True
        total = -(-request.num_tokens // self.block_size)
        wanted = min(total - hit // self.block_size, self.manager.most_blocks(request.num_tokens))
        wanted += self.watermark_blocks
        return wanted <= self.manager.allocator.num_free

    def _preempt(self, request, step):
        """The request gives its memory back and waits again; its output stays."""
        computed = request.num_computed_tokens + request.num_in_flight_tokens - request.num_draft_behind
        swap = self.config.preemption == "swap" and computed > 0
        lost = 0 if swap else computed
        if self.trace is not None:
            how = "swap" if swap else "recompute"
            self.trace.add("preempt", request=request.request_id, how=how, num_tokens=lost)
        if swap:
            step.swapped_out.append((request.request_id, self.manager.table(request).block_ids[:], computed))
            if self.trace is not None:
                self.trace.add("swap", request=request.request_id, direction="out", num_tokens=computed)
        step.preempt(request, lost)
        self._stop_running(request)
        if request.num_in_flight_steps:
            self._unsettled[request.request_id] = request
        request.num_computed_tokens, request.num_in_flight_tokens = computed, 0
        self._wait_again(request, SWAPPED if swap else WAITING)

    def _stop_running(self, request):
        del self.running[request.request_id]
        self.num_sequences -= request.num_sequences
        if request in self.manager:
            self.manager.free(request)

    def _wait_again(self, request, status):
        request.status, request.num_draft_behind = status, 0
        if status == WAITING:
            request.num_computed_tokens = 0
        else:
            self._swapped[request.request_id] = request
        self.waiting.push(request, returning=True)

    def _record(self, step):
        self.trace.add(
            "schedule", requests=[sequence.request_id for sequence in step.scheduled], starts=[sequence.start for
            sequence in step.scheduled], counts=[sequence.num_tokens for sequence in step.scheduled],
        )  # fmt: skip

    # --- after a step ---

    def update(self, step, tokens=None):
        """The step was computed: its tokens count, full blocks can be found by others, and the chosen tokens are
        appended.

        tokens: {sequence id: its new token ids}, as the runner returns them. Returns (request, new token ids) of all
        sequences that grew. Where a request stood for n sequences, each has a Request of its own from now on.
        """
        grown, running, commit, tokens = [], self.running, self.manager.commit, tokens or {}
        for sequence in step.scheduled:
            request = running.get(sequence.request_id)
            if request is None:
                request = self._unsettled.pop(sequence.request_id, None)
                if request is None:
                    continue  # it ended while the step was in flight: what the step computed of it is cut
            request.num_in_flight_steps -= 1
            request.metrics.num_computed_tokens += sequence.num_tokens
            if sequence.num_drafts:
                chosen = self.drafts.settle(request, sequence, tokens[sequence.request_id])
                grown.append((request, chosen))
                if self._charges:
                    self.waiting.charge(request, output_tokens=len(chosen))
                continue
            if request.num_in_flight_tokens:  # 0: it was preempted since, and counted there
                request.num_in_flight_tokens -= sequence.num_tokens
                request.num_computed_tokens += sequence.num_tokens
                commit(request, request.num_computed_tokens)
            if sequence.num_choices:
                request.num_pending_tokens -= 1
                if self._charges:
                    self.waiting.charge(request, output_tokens=request.num_sequences)
                if sequence.num_choices == 1:
                    chosen = tokens.get(sequence.request_id)
                    if chosen:
                        for token_id in chosen:
                            request.append(token_id)
                        grown.append((request, chosen))
                elif tokens:
                    self._part(request, tokens, grown)
        return grown

    def _part(self, request, tokens, grown):
        """The prompt is computed: each of the n sequences goes on with its own token, in a Request of its own."""
        sequences = [request, *(request.fork(index) for index in range(1, request.num_sequences))]
        for other in sequences[1:]:
            if request.request_id in self.running:
                self.fork(request, other)
            else:  # preempted since: each waits for itself
                request.num_sequences -= 1
                other.num_computed_tokens = 0
                self.waiting.push(other, returning=True)
        for other in sequences:
            chosen = tokens[sequence_id(request.request_id, other.index)]
            for token_id in chosen:
                other.append(token_id)
            grown.append((other, chosen))

    def undo(self, step):
        """The step broke off: its requests wait again and are computed from the beginning."""
        self.manager.allocator.copies.clear()
        for request_id, _, _ in step.swapped_out:
            request = self._swapped.pop(request_id, None)
            if request is not None:
                request.status, request.num_computed_tokens = WAITING, 0
        for request in self._unsettled.values():
            request.num_in_flight_steps = request.num_pending_tokens = 0
        self._unsettled.clear()
        for sequence in reversed(step.scheduled):
            request = self.running.get(sequence.request_id)
            if request is None:
                continue
            if self.trace is not None:
                computed = request.num_computed_tokens
                self.trace.add("preempt", request=request.request_id, how="recompute", num_tokens=computed)
            request.num_in_flight_tokens = request.num_in_flight_steps = request.num_pending_tokens = 0
            request.is_known_to_runner = False
            self._stop_running(request)
            self._wait_again(request, WAITING)

    def fork(self, request, other):
        """`other` runs from now on, over the blocks of `request`, as one of the sequences that this one stood for."""
        self.manager.fork(request, other)
        request.num_sequences -= 1
        other.status = RUNNING
        self.running[other.request_id] = other

    def finish(self, request, reason):
        """The request has ended or is aborted, wherever it is: its memory is free, or cached."""
        if request.request_id in self.running:
            self._stop_running(request)
        else:
            self.waiting.remove(request)
            self._unsettled.pop(request.request_id, None)
            self._swapped.pop(request.request_id, None)
        request.status, request.finish_reason = FINISHED, reason
        if self.trace is not None:
            self.trace.add("finish", request=request.request_id, reason=reason)

    def check_integrity(self):
        """Raises IntegrityError with the first thing that does not hold, those of the ledger first."""
        self.manager.check_integrity()
        check_running(self)
