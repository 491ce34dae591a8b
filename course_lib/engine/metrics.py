"""When things happened to a request, and what an engine did in all. Times are seconds since the engine began."""

from dataclasses import dataclass, field, replace


@dataclass
class RequestMetrics:
    """The life of one request in times and counts. None: has not happened."""

    arrival: float
    num_prompt_tokens: int
    first_scheduled: float | None = None
    token_times: list = field(default_factory=list)
    """When each written token was there."""
    finished: float | None = None
    num_cached_tokens: int = 0
    """Tokens of the prompt that were found in the cache when it was first admitted."""
    num_computed_tokens: int = 0
    """Tokens pushed through the model, those computed again after a preemption too."""
    num_preemptions: int = 0

    @property
    def queue_time(self):
        """Seconds from arrival to the first step it took part in."""
        return since(self.first_scheduled, self.arrival)

    @property
    def ttft(self):
        """Time to first token: seconds from arrival until it was there."""
        return since(self.token_times[0], self.arrival) if self.token_times else None

    @property
    def inter_token_latencies(self):
        """Seconds between each written token and the one before it."""
        return [b - a for a, b in zip(self.token_times, self.token_times[1:])]

    @property
    def tpot(self):
        """Time per output token: the mean of `inter_token_latencies`. None with fewer than two tokens."""
        gaps = self.inter_token_latencies
        return sum(gaps) / len(gaps) if gaps else None

    @property
    def e2e_latency(self):
        """Seconds from arrival to the end."""
        return since(self.finished, self.arrival)

    def fork(self):
        """The same past for a text that leaves here; what was computed was computed once, for the first of them."""
        return replace(self, token_times=self.token_times[:], num_computed_tokens=0)


@dataclass
class EngineMetrics:
    """What an engine did since it was made, as plain counts: they do not grow with the number of requests."""

    num_steps: int = 0
    num_requests: int = 0
    """Requests that were added; each of n texts counts from when it is written apart."""
    num_finished: int = 0
    num_scheduled_tokens: int = 0
    """Tokens pushed through the model."""
    num_generated_tokens: int = 0
    num_cached_tokens: int = 0
    """Tokens that need not be computed because their blocks were found, those of returning requests too."""
    num_recomputed_tokens: int = 0
    """Tokens thrown away by preemption: what the cache does not bring back is computed again."""
    num_swapped_tokens: int = 0
    """Tokens that were moved to CPU memory."""
    num_preemptions: int = 0
    peak_running: int = 0
    peak_blocks: int = 0
    """Most blocks in use after a step."""

    @property
    def tokens_per_step(self):
        """How full the steps were: tokens pushed through the model in one run of it, on average."""
        return self.num_scheduled_tokens / self.num_steps if self.num_steps else 0.0


def since(end, begin):
    return None if end is None else end - begin
