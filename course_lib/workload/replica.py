"""One simulated engine: the real scheduler and ledger, and a clock that the cost model moves. Nothing is computed.

    plan()       what is done next, and when it ends: one step, or many decode steps at once (jump.py)
    execute()    it has ended: the clock moves on, sequences grow, those that are complete leave

Between the two a request may arrive. It waits in the inbox until the step that is under way has ended, as with an
engine, and a jump is cut at that step.
"""

import random
from collections import deque
from functools import cache

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.checks import check_fits
from course_lib.engine.draft_slots import DraftSlots
from course_lib.engine.metrics import EngineMetrics
from course_lib.engine.request import Request
from course_lib.engine.scheduler import Scheduler
from course_lib.errors import ParameterError
from course_lib.kvcache.allocator import BlockAllocator
from course_lib.kvcache.manager import KVCacheManager

from .jump import WholeStep, plan_quickly
from .steady import Steady

OUTPUT_ID_BITS = 32  # output token p of simulated request k has the id (k + 1) << 32 | p, unlike any other token


@cache
def params_for(max_tokens):
    """The SamplingParams of a simulated request: always its full length."""
    return SamplingParams(max_tokens=max_tokens, ignore_eos=True)


class SimulatedRequest(Request):
    """A Request that knows which tokens it will choose: made-up ids that no other request has."""

    def __init__(self, number, token_ids, max_tokens, **more):
        super().__init__(str(number), token_ids, params_for(max_tokens), **more)
        self.first_output_id = number + 1 << OUTPUT_ID_BITS
        self.arrived = None  # the Arrival that it serves

    def grow(self, k):
        """The next k output tokens are there."""
        begin = self.first_output_id + len(self.token_ids)
        self.token_ids.extend(range(begin, begin + k))


class Replica:
    """An engine with this EngineConfig on this CostModel. jump: False simulates every step by itself. speculation:
    SimulatedDrafts, or None; every step is simulated by itself then. seed: of which drafts are right.

    The config must say num_blocks. `clock`: when the last step ended, in seconds. `metrics`: EngineMetrics. With
    async_scheduling=True, as on a GPU, each step is scheduled when the one before it begins: whoever arrives during a
    step waits for the one after it too. Calibrate the cost model on steps that overlap as well.
    """

    def __init__(self, config, cost, *, jump=True, speculation=None, seed=0):
        if config.num_blocks is None:
            raise ParameterError(
                "EngineConfig(num_blocks=None) means what the machine has to spare, and a simulated machine has no "
                "memory. Give num_blocks, for example that of the engine that is simulated."
            )
        if config.speculation is not None:
            raise ParameterError(
                "EngineConfig(speculation=...) drafts with a model or from text, and a simulation has neither. Leave "
                "it out, and pass simulate(..., speculation=SimulatedDrafts(acceptance=0.8, cost=...))."
            )
        self.config, self.cost, self.jump = config, cost, jump and speculation is None
        self.allocator = BlockAllocator(config.num_blocks, config.block_size)
        self.manager = KVCacheManager(self.allocator, prefix_caching=config.prefix_caching, eviction=config.eviction)
        self.scheduler = Scheduler(config, self.manager)
        self.speculation, self.draw = speculation, random.Random(seed)
        if speculation is not None:
            self.scheduler.drafts = DraftSlots(speculation, self.manager)
        self.metrics = EngineMetrics(config.num_blocks, config.block_size)
        self.clock, self.num_plans = 0.0, 0
        self.requests = {}  # request_id -> its unfinished requests
        self.steady = Steady(self)
        self.overlaps, self._scheduled = bool(config.async_scheduling), 0.0  # when the coming step was scheduled
        self._inbox, self._plan = deque(), None  # of the inbox: (time, request)

    @property
    def num_unfinished(self):
        """Requests that wait or run here."""
        return len(self.requests)

    @property
    def kv_use(self):
        """Share of the blocks that are in use."""
        return 1 - self.allocator.num_free / self.allocator.num_blocks

    @property
    def next_event(self):
        """When the plan ends; without a plan, when one can be made: at once. None: there is nothing to do."""
        if self._plan is not None:
            return self._plan.end
        return self.clock if self.requests else None

    @property
    def has_plan(self):
        """Whether something is under way."""
        return self._plan is not None

    def add(self, request, now):
        """A request arrives at the time `now`. Raises ParameterError for one that could never be served."""
        check_fits(request.num_prompt_tokens, request.params, self.config, self.config.num_blocks)
        if not self.requests:
            self.clock = max(self.clock, now)
        self.requests[request.request_id] = request
        self._inbox.append((now, request))
        self.metrics.num_requests += 1
        if self._plan is not None:
            self._plan.cut(now)

    def plan(self):
        """Decides what is done from now on. All requests that have arrived by `clock` must have been added."""
        self.steady.charge()
        is_late = self.overlaps and bool(self.scheduler.running or len(self.scheduler.waiting))
        while self._inbox and not (is_late and self._inbox[0][0] > self._scheduled):
            self.scheduler.add(self._inbox.popleft()[1])
        self.num_plans += 1
        self._plan = (self.jump and plan_quickly(self)) or WholeStep(self)
        if self._inbox:
            self._plan.cut(self.clock)

    def execute(self):
        """The plan has ended. Returns the requests that are complete now, in the order of the batch."""
        plan, self._plan = self._plan, None
        self.clock, self._scheduled = plan.end, plan.last_begin
        ended = []
        for request in plan.execute():
            if len(request.token_ids) >= request.max_tokens:
                self.scheduler.finish(request, "length")
                request.metrics.finished, request.metrics.finish_reason = self.clock, "length"
                self.metrics.num_finished += 1
                del self.requests[request.request_id]
                ended.append(request)
        self.metrics.peak_blocks = max(self.metrics.peak_blocks, self.allocator.num_blocks - self.allocator.num_free)
        return ended
