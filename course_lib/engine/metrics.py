"""Times and counts of one request, and totals of an engine. Times are in seconds since the engine was made.

    arrival      first_scheduled    token 1        token 2    token 3 = finished
       |----- queue_time -----|        |              |          |
       |------------ ttft -------------|---- ITL -----|-- ITL ---|        tpot: the mean of the two
       |---------------------- e2e_latency ----------------------|

The definitions are those of `vllm bench serve` (vllm/benchmarks/serve.py), where E2EL is `e2e_latency`. The field does
not agree on one of them: TPOT. Here, as there, the first token is not in it: TPOT is (E2EL - TTFT) / (n - 1) for an
output of n tokens. Others divide E2EL by n, which mixes the wait for the first token into it.
"""

from dataclasses import dataclass, field, replace


@dataclass
class RequestMetrics:
    """Times and counts of one request; with n sequences, of one sequence. None: has not happened yet."""

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
    finish_reason: str | None = None
    """How it ended: "stop" and "length" are complete; "abort", and a client's "error", are not."""

    @property
    def is_complete(self):
        """Whether it ended with its whole output: it counts as a successful request."""
        return self.finish_reason in ("stop", "length")

    @property
    def num_output_tokens(self):
        """Tokens of the output so far."""
        return len(self.token_times)

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
        """ITL: seconds between each output token and the one before it. Tokens that come together have 0 between."""
        return [b - a for a, b in zip(self.token_times, self.token_times[1:])]

    @property
    def tpot(self):
        """Time per output token, without the first: the mean of `inter_token_latencies`. None with fewer than two."""
        n = len(self.token_times)
        return (self.token_times[-1] - self.token_times[0]) / (n - 1) if n > 1 else None

    @property
    def e2e_latency(self):
        """E2EL, end-to-end latency: seconds from arrival to the end of the request."""
        return since(self.finished, self.arrival)

    def fork(self):
        """The same times for a sequence that forks here. Computed tokens count only for the sequence it forks from."""
        return replace(self, token_times=self.token_times[:], num_computed_tokens=0)


@dataclass
class EngineMetrics:
    """Totals of an engine since it was made. Their memory does not grow with the number of requests."""

    num_blocks: int = 0
    """Blocks in the KV cache."""
    block_size: int = 1
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
    num_prompt_tokens: int = 0
    """Tokens of the prompts of all requests that were admitted, each counted once."""
    num_cached_prompt_tokens: int = 0
    """Those of them that were cached when the request was first admitted."""
    num_recomputed_tokens: int = 0
    """Computed tokens whose blocks a preemption freed. Those that are not cached any more are computed again."""
    num_swapped_tokens: int = 0
    """Tokens that were moved to CPU memory."""
    num_drafts: int = 0
    """Times that tokens were drafted for a sequence and checked."""
    num_draft_tokens: int = 0
    """Tokens that were drafted in them."""
    num_accepted_tokens: int = 0
    """Drafted tokens that were accepted."""
    num_preemptions: int = 0
    peak_running: int = 0
    peak_blocks: int = 0
    """Most blocks in use after a step."""
    block_steps: int = 0
    """Blocks in use, summed over the steps."""
    empty_slot_steps: int = 0
    """Slots of blocks in use that hold no token, summed over the steps."""

    @property
    def prefix_hit_rate(self):
        """Share of the prompt tokens that were cached at the first admission, as vLLM counts it. None before that."""
        return self.num_cached_prompt_tokens / self.num_prompt_tokens if self.num_prompt_tokens else None

    @property
    def acceptance_rate(self):
        """Share of the drafted tokens that were accepted. None before the first."""
        return self.num_accepted_tokens / self.num_draft_tokens if self.num_draft_tokens else None

    @property
    def mean_acceptance_length(self):
        """Tokens that a sequence with drafts grows by in a step, the mean: the accepted ones and one more."""
        return 1 + self.num_accepted_tokens / self.num_drafts if self.num_drafts else None

    @property
    def kv_use(self):
        """Share of all blocks that were in use, the mean over the steps. Cached blocks that nobody holds are not."""
        return self.block_steps / (self.num_steps * self.num_blocks) if self.num_steps and self.num_blocks else None

    @property
    def kv_waste(self):
        """Share of the slots in blocks in use that held no token, over all steps: the ends of last blocks."""
        return self.empty_slot_steps / (self.block_steps * self.block_size) if self.block_steps else None

    @property
    def peak_kv_use(self):
        """Share of all blocks that were in use at the peak."""
        return self.peak_blocks / self.num_blocks if self.num_blocks else None

    def count_step(self, step, now, sequences, running, num_free):
        """A step was scheduled, at the time `now`.

        sequences: sequence id -> Request. running: id -> Request, those that hold blocks. num_free: blocks of the
        allocator that are free after it.
        """
        self.num_preemptions += len(step.preempted)
        self.peak_running = max(self.peak_running, len(running))
        self.num_scheduled_tokens += step.num_tokens
        for request_id, num_cached in step.admitted:
            self.num_cached_tokens += num_cached
            its = sequences[request_id].metrics
            if its.first_scheduled is None:
                its.first_scheduled, its.num_cached_tokens = now, num_cached
                self.num_prompt_tokens += its.num_prompt_tokens
                self.num_cached_prompt_tokens += num_cached
        for request_id, lost in step.preempted:
            sequences[request_id].metrics.num_preemptions += 1
            self.num_recomputed_tokens += lost
        self.num_swapped_tokens += sum(num_tokens for _, _, num_tokens in step.swapped_out)
        if step.scheduled:
            size = self.block_size
            self.num_steps += 1
            self.block_steps += self.num_blocks - num_free
            self.empty_slot_steps += sum(
                [-(r.num_computed_tokens + r.num_in_flight_tokens) % size for r in running.values()]
            )

    def count_drafts(self, step, tokens):
        """A step was computed. tokens: {sequence id: its new token ids}."""
        for sequence in step.scheduled:
            if sequence.num_drafts:
                self.num_drafts += 1
                self.num_draft_tokens += sequence.num_drafts
                self.num_accepted_tokens += len(tokens[sequence.request_id]) - 1


def since(end, begin):
    return None if end is None else end - begin
