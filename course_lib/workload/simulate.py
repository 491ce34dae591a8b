"""Serves a workload on simulated engines: the real scheduler and ledger, a cost model in the place of tensors.

    result = simulate(workload, EngineConfig(num_blocks=4000), cost)
    print(result.summary.output_throughput, result.summary.ttft.percentiles[99])

Several replicas stand behind a router. With prefill replicas, each prompt is computed on one of them, its keys and
values are sent to a decode replica, and the output goes on there (DistServe, arXiv 2401.09670; Splitwise, arXiv
2311.18677). Time is simulated: hours of traffic take seconds, and other programs on this machine change nothing.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from course_lib.engine.summary import Totals
from course_lib.errors import ParameterError

from .checks import check_number, check_whole
from .feed import Feed
from .replica import Replica, SimulatedRequest
from .routers import make_router
from .workload import Workload


@dataclass(frozen=True)
class Transfer:
    """How long the keys and values of a prompt take from a prefill replica to a decode replica.

    All tokens of the prompt are sent, after the prompt is computed; the link is not shared.
    """

    latency_s: float = 0.0
    seconds_per_token: float = 0.0
    """Bytes of one token in the KV cache over the bytes a second of the link."""

    def __post_init__(self):
        for name, value in vars(self).items():
            check_number(name, value, "a time in seconds", at_least=0, instead=0.0)


@dataclass(frozen=True)
class SimulationResult:
    """What a simulation found."""

    summary: object
    """A Summary. Its duration is from the start to the last output."""
    replicas: list
    """The EngineMetrics of each replica; with prefill replicas, these first."""
    num_requests: int
    num_steps: int
    """Steps of all replicas, those inside jumps included."""
    num_plans: int
    """How many times something had to be decided: single steps, and jumps over many."""


class Cluster:
    """Replicas behind a router, and the workload that they serve.

    feed: a Feed. config: the EngineConfig of each replica. cost: a CostModel. replicas: how many; with
    prefill_replicas, these only decode. router: "random", "least_loaded", "prefix_aware", or an object with
    choose(token_ids, loads). transfer: a Transfer, from prefill to decode replicas. jump: False simulates each step by
    itself. totals: the Totals that count what ends. on_finish: called as on_finish(arrival, metrics) at each end.
    speculation: SimulatedDrafts of the replicas that decode.
    """

    def __init__(
        self, feed, config, cost, *, replicas=1, prefill_replicas=0, router="least_loaded", transfer=None, jump=True,
        totals=None, on_finish=None, speculation=None, seed=0,
    ):  # fmt: skip
        check_whole("replicas", replicas, "how many engines there are", instead=1)
        check_whole("prefill_replicas", prefill_replicas, "how many engines compute prompts only", at_least=0,
                    instead=0)  # fmt: skip
        self.feed, self.on_finish = feed, on_finish
        self.totals = Totals() if totals is None else totals
        self.transfer = transfer or Transfer()
        self.prefill = [Replica(config, cost, jump=jump) for _ in range(prefill_replicas)]
        drafts = [dict(speculation=speculation, seed=seed + i) for i in range(replicas)]
        self.decode = [Replica(config, cost, jump=jump, **its) for its in drafts]
        self.replicas = self.prefill + self.decode
        self._router = make_router(router, seed=seed, block_size=config.block_size)
        self._decode_router = make_router("least_loaded")
        self._numbers, self._order = count(), count()
        self._sent = []  # heap of (time, number, request): from a prefill replica, on their way to a decode replica
        self.now = 0.0

    def run(self):
        """Serves all there is. Returns the SimulationResult."""
        while self.advance():
            pass
        return self.result()

    def advance(self):
        """Goes to the next event, in the order of time: an arrival, a transfer, a plan or its end. False: all is over.

        At one time, arrivals come first, so that a step which begins then can admit them.
        """
        at = self.feed.next_at
        sent = self._sent[0][0] if self._sent else None
        busy, event = None, None
        for replica in self.replicas:
            its = replica.next_event
            if its is not None and (event is None or its < event):
                busy, event = replica, its
        times = [time for time in (at, sent, event) if time is not None]
        if not times:
            return False
        self.now = min(times)
        if at is not None and at <= self.now:
            self._arrive(self.feed.pop())
        elif sent is not None and sent <= self.now:
            _, _, request = heappop(self._sent)
            self._send(request, self.decode, self._decode_router, self.now)
        elif busy.has_plan:
            for request in busy.execute():
                self._end(request, busy)
        else:
            busy.plan()
        return True

    def _arrive(self, arrival):
        is_split = bool(self.prefill) and arrival.max_tokens > 1
        request = SimulatedRequest(
            next(self._numbers), arrival.token_ids, 1 if is_split else arrival.max_tokens,
            priority=arrival.priority, client=arrival.client, arrival=arrival.at,
        )  # fmt: skip
        request.arrived = arrival
        self._send(request, self.prefill or self.decode, self._router, arrival.at)

    def _send(self, request, replicas, router, now):
        loads = [replica.num_unfinished for replica in replicas]
        chosen = router.choose(request.token_ids, loads) if len(replicas) > 1 else 0
        replicas[chosen].add(request, now)

    def _end(self, request, replica):
        arrival = request.arrived
        if len(request.token_ids) - len(arrival.token_ids) < arrival.max_tokens:
            self._hand_over(request, replica.clock)
            return
        self.totals.add(request.metrics)
        if self.on_finish is not None:
            self.on_finish(arrival, request.metrics)
        self.feed.finished(arrival, request.token_ids[len(arrival.token_ids) :], replica.clock)

    def _hand_over(self, request, now):
        """A prompt is computed, and its first token is there: the rest is done by a decode replica."""
        arrival = request.arrived
        at = now + self.transfer.latency_s + self.transfer.seconds_per_token * len(arrival.token_ids)
        rest = SimulatedRequest(
            next(self._numbers), arrival.token_ids, arrival.max_tokens,
            priority=arrival.priority, client=arrival.client, arrival=at,
        )  # fmt: skip
        rest.arrived, rest.metrics = arrival, request.metrics
        rest.metrics.finished = rest.metrics.finish_reason = None
        rest.token_ids = request.token_ids
        rest.num_computed_tokens = len(arrival.token_ids)
        heappush(self._sent, (at, next(self._order), rest))

    def result(self):
        """The SimulationResult of what has ended so far."""
        steps = sum(replica.metrics.num_steps for replica in self.replicas)
        plans = sum(replica.num_plans for replica in self.replicas)
        summary = self.totals.summary(self.totals.last_finish or 0.0)
        metrics = [replica.metrics for replica in self.replicas]
        return SimulationResult(summary, metrics, self.totals.completed, steps, plans)


def simulate(workloads, config, cost, *, targets=None, exact=True, **options):
    """Serves one or several workloads. Returns a SimulationResult.

    workloads: a Workload, or a list of them: one for each client. targets: Targets for goodput. exact: False counts
    latencies in bins of 1 %, for runs of more than about 100,000 requests, so that memory stays the same. options: of
    Cluster. Raises ParameterError for a request that no replica could ever serve.
    """
    workloads = [workloads] if isinstance(workloads, Workload) else list(workloads)
    if not workloads:
        raise ParameterError("There is no workload, so nothing would be served. Pass one, or a list of them.")
    return Cluster(Feed(*workloads), config, cost, totals=Totals(targets, exact=exact), **options).run()
