"""What one run was like: throughput, goodput, and the distribution of each latency, in the words of `vllm bench serve`.

    summary = summarise([output.metrics for output in outputs if output.finished], duration=12.5)
    print(summary.output_throughput, summary.ttft.percentiles[99])

A request here is a RequestMetrics, from an engine, from the simulator, or filled in by a client of a server. Only
complete requests count for throughput and latency; the others count as failed. The definitions and the keys of
`as_dict` are those of vllm/benchmarks/serve.py, where times are in milliseconds; here all else is in seconds.
"""

import math
from dataclasses import dataclass

import numpy as np

from course_lib.errors import ParameterError

from .per_second import PerSecond
from .sample import CountedSample, Sample, counted

PERCENTILES = (50, 90, 95, 99)
LATENCIES = ("ttft", "tpot", "itl", "e2el", "queue_time")


@dataclass(frozen=True)
class Targets:
    """The latency that a request must keep to be good, in seconds; None: any. As --goodput of vLLM, which takes ms."""

    ttft: float | None = None
    tpot: float | None = None
    """An output of one token has none, and counts as 0."""
    e2el: float | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                raise ParameterError(f"The target for {name} is {value!r}, but it is a time in seconds: above 0.")

    def are_met_by(self, request):
        """Whether a complete RequestMetrics keeps all of them."""
        for limit, value in ((self.ttft, request.ttft), (self.tpot, request.tpot), (self.e2el, request.e2e_latency)):
            if limit is not None and value is not None and value > limit:
                return False
        return True


@dataclass(frozen=True)
class Latency:
    """The distribution of one latency, in seconds. None of no values."""

    count: int
    mean: float | None
    std: float | None
    percentiles: dict
    """{50: median, 99: ...}"""

    @property
    def median(self):
        return self.percentiles[50]


@dataclass(frozen=True)
class Summary:
    """One run. Throughputs are per second of `duration`."""

    completed: int
    failed: int
    duration: float
    total_input_tokens: int
    """Prompt tokens of the complete requests."""
    total_output_tokens: int
    num_cached_tokens: int
    """Prompt tokens of the complete requests that were cached when they were admitted."""
    num_preemptions: int
    num_good: int | None
    """Complete requests that met the targets. None without targets."""
    max_output_tokens_per_s: int
    """Most output tokens in one second, in whole seconds from the first arrival on (in Totals, from its `start`)."""
    max_concurrent_requests: int
    """Most requests that were in the system during one such second."""
    ttft: Latency
    tpot: Latency
    itl: Latency
    """Over all gaps of all requests, so a long output counts more than a short one. In tpot each request counts once.
    """
    e2el: Latency
    queue_time: Latency

    @property
    def request_throughput(self):
        return self.completed / self.duration if self.duration else 0.0

    @property
    def request_goodput(self):
        """Complete requests a second that met the targets (DistServe, arXiv 2401.09670). None without targets."""
        return None if self.num_good is None else self.num_good / self.duration if self.duration else 0.0

    @property
    def output_throughput(self):
        return self.total_output_tokens / self.duration if self.duration else 0.0

    @property
    def total_token_throughput(self):
        return (self.total_input_tokens + self.total_output_tokens) / self.duration if self.duration else 0.0

    @property
    def prefix_hit_rate(self):
        """Share of the prompt tokens that were cached. None without a complete request."""
        return self.num_cached_tokens / self.total_input_tokens if self.total_input_tokens else None

    def as_dict(self):
        """All of it as numbers by the names that `vllm bench serve --save-result` writes, and the course's own."""
        names = (
            "completed", "failed", "duration", "total_input_tokens", "total_output_tokens", "request_throughput",
            "request_goodput", "output_throughput", "total_token_throughput", "max_output_tokens_per_s",
            "max_concurrent_requests", "prefix_hit_rate", "num_preemptions",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        for name in LATENCIES:
            latency = getattr(self, name)
            named = {"mean": latency.mean, "median": latency.median, "std": latency.std}
            named |= {f"p{p}": value for p, value in latency.percentiles.items()}
            found |= {f"{what}_{name}_ms": None if x is None else x * 1e3 for what, x in named.items()}
        return found


class Totals:
    """Counts requests as they end, and forgets them. `summary()` says what the run was like so far.

    targets: Targets for goodput, or None. exact: False counts latencies in bins of 1 %, so that memory stays the same
    however many requests there are; 16 bytes for each second of the run are kept. start: the time from which whole
    seconds are counted, for `max_output_tokens_per_s` and `max_concurrent_requests`.
    """

    def __init__(self, targets=None, *, exact=True, start=0.0):
        self.targets, self.start = targets, start
        self.samples = {name: Sample() if exact else CountedSample() for name in LATENCIES}
        self.completed = self.failed = self.num_good = self.num_cached = self.num_preemptions = 0
        self.num_input = self.num_output = 0
        self.first_arrival, self.last_finish = None, None
        self._tokens, self._changes = PerSecond(), PerSecond()  # output tokens; requests that came less those gone

    def add(self, request):
        """One RequestMetrics that has ended."""
        self.num_preemptions += request.num_preemptions
        if not request.is_complete:
            self.failed += 1
            return
        self.completed += 1
        self.num_input += request.num_prompt_tokens
        self.num_output += request.num_output_tokens
        self.num_cached += request.num_cached_tokens
        self.num_good += self.targets is not None and self.targets.are_met_by(request)
        for name, value in (
            ("ttft", request.ttft),
            ("tpot", request.tpot),
            ("e2el", request.e2e_latency),
            ("queue_time", request.queue_time),
        ):
            if value is not None:
                self.samples[name].add((value,))
        times = np.asarray(request.token_times)
        self.samples["itl"].add(np.diff(times))
        self._count_seconds(request, times)

    def _count_seconds(self, request, times):
        arrival, finished = request.arrival, request.finished
        if self.first_arrival is None or arrival < self.first_arrival:
            self.first_arrival = arrival
        self.last_finish = finished if self.last_finish is None else max(finished, self.last_finish)
        for second, count in counted(np.floor(times - self.start).astype(np.int64)):
            self._tokens.add(second, count)
        self._changes.add(math.floor(arrival - self.start), 1)
        self._changes.add(math.floor(finished - self.start) + 1, -1)

    def summary(self, duration=None, *, percentiles=PERCENTILES):
        """The Summary so far. duration: seconds of the run; default: from the first arrival to the last end."""
        if duration is None:
            duration = self.last_finish - self.first_arrival if self.completed else 0.0
        wanted = sorted({50, *percentiles})
        if not 0 <= wanted[0] <= wanted[-1] <= 100:
            raise ParameterError(f"percentiles is {percentiles!r}, but each is a share in per cent, from 0 to 100.")
        latencies = {
            name: Latency(s.count, s.mean, s.std, {p: s.percentile(p) for p in wanted})
            for name, s in self.samples.items()
        }
        return Summary(
            self.completed, self.failed, duration, self.num_input, self.num_output, self.num_cached,
            self.num_preemptions, None if self.targets is None else self.num_good,
            self._tokens.highest(), self._changes.highest_sum(), **latencies,
        )  # fmt: skip


def summarise(requests, *, duration=None, targets=None, percentiles=PERCENTILES):
    """The Summary of RequestMetrics that have ended.

    duration: seconds of the run; default: from the first arrival to the last end. targets: Targets for goodput.
    """
    requests = list(requests)
    start = min((request.arrival for request in requests if request.is_complete), default=0.0)
    totals = Totals(targets, start=start)
    for request in requests:
        totals.add(request)
    return totals.summary(duration, percentiles=percentiles)
