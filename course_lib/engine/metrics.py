"""Times and counts of one request, and totals of an engine. Times are in seconds since the engine was made."""

from dataclasses import dataclass, field, replace


@dataclass
class RequestMetrics:
    """Times and counts of one request. None: has not happened yet."""

    arrival: float
    num_prompt_tokens: int
    first_scheduled: float | None = None
    token_times: list = field(default_factory=list)
    """When each output token was chosen."""
    finished: float | None = None
    num_cached_tokens: int = 0
    """Prompt tokens that were cached when the request was first admitted."""
    num_computed_tokens: int = 0
    """Tokens that the model computed, including those computed again after a preemption."""
    num_preemptions: int = 0

    @property
    def queue_time(self):
        """Seconds from arrival to the first step with this request."""
        return since(self.first_scheduled, self.arrival)

    @property
    def ttft(self):
        """Time to first token: seconds from arrival to the first output token."""
        return since(self.token_times[0], self.arrival) if self.token_times else None

    @property
    def inter_token_latencies(self):
        """Seconds between each output token and the one before it."""
        return [b - a for a, b in zip(self.token_times, self.token_times[1:])]

    @property
    def tpot(self):
        """Time per output token: the mean of `inter_token_latencies`. None with fewer than two tokens."""
        gaps = self.inter_token_latencies
        return sum(gaps) / len(gaps) if gaps else None

    @property
    def e2e_latency(self):
        """Seconds from arrival to the end of the request."""
        return since(self.finished, self.arrival)

    def fork(self):
        """The same times for a sequence that forks here. Computed tokens count only for the sequence it forks from."""
        return replace(self, token_times=self.token_times[:], num_computed_tokens=0)


@dataclass
class EngineMetrics:
    """Totals of an engine since it was made. Their memory does not grow with the number of requests."""

    num_steps: int = 0
    num_requests: int = 0
    """Requests that were added. A request counts once, also one with n sequences."""
    num_finished: int = 0
    """Sequences that ended: a request with n sequences counts n times."""
    num_scheduled_tokens: int = 0
    """Tokens that the model computed."""
    num_generated_tokens: int = 0
    num_cached_tokens: int = 0
    """Tokens that were not computed because their blocks were cached, also when a preempted request returns."""
    num_recomputed_tokens: int = 0
    """Computed tokens whose blocks a preemption freed. Those that are not cached any more are computed again."""
    num_swapped_tokens: int = 0
    """Tokens that were moved to CPU memory."""
    num_preemptions: int = 0
    peak_running: int = 0
    peak_blocks: int = 0
    """Most blocks in use after a step."""


def since(end, begin):
    return None if end is None else end - begin
