"""One sequence that is being written: what was asked for, and how far it is.

    token_ids       | prompt                 | output so far      | pending |
    is computed     | num_computed_tokens    | in flight | to do           |

There is no prefill and no decode: a request has tokens, some of them are computed, and each step computes some more.
When all are computed, the next one is chosen. Where a step is scheduled before the one before it has ended, tokens
can be in flight (their step runs) and the newest can be pending (its step runs, and will choose it).
"""

from itertools import count

from course_lib.decoding.sampling import SamplingParams

from .metrics import RequestMetrics

WAITING, RUNNING, SWAPPED, FINISHED = "waiting", "running", "swapped", "finished"

_numbers = count()


class Request:
    """One sequence on its way through the engine.

    request_id: unique while it lives. token_ids: the prompt; the output is appended. priority: a lower value is more
    important. client: who asks, for fair shares. arrival: when it came, in seconds since the engine began. index:
    which of the `params.n` sequences of its prompt it is. seed: of its random numbers, below 2**63.
    """

    def __init__(
        self,
        request_id,
        token_ids,
        params=SamplingParams(),
        *,
        priority=0,
        client="default",
        arrival=0.0,
        index=0,
        seed=0,
    ):
        self.request_id, self.token_ids, self.params = request_id, list(token_ids), params
        self.priority, self.client, self.arrival, self.index, self.seed = priority, client, arrival, index, seed
        self.group_id = request_id  # the id of its outputs; a fork has its own request_id and its parent's group_id
        self.num_prompt_tokens = len(self.token_ids)
        self.num_computed_tokens = 0
        self.num_in_flight_tokens = 0  # scheduled in steps whose update is still to come
        self.num_in_flight_steps = 0
        self.num_pending_tokens = 0  # being chosen by such steps
        self.num_draft_behind = 0  # computed tokens that the draft model has not computed
        self.is_known_to_runner = False
        self.status, self.finish_reason = WAITING, None
        self.num_sequences = (
            params.n
        )  # n until the prompt is computed, 1 after that: then each has a Request of its own
        self.was_admitted = False
        self.number = next(_numbers)  # decides between requests of equal arrival
        self.metrics = RequestMetrics(arrival, self.num_prompt_tokens)
        self.logprobs = None if params.logprobs is None else []  # of each token of the output: {token id: Logprob}
        self.detokenizer = None  # its Detokenizer, where there is a tokenizer
        self.stop_ids = frozenset(params.stop_token_ids)
        self.max_tokens = self.num_prompt_tokens + params.max_tokens

    @property
    def num_tokens(self):
        """Tokens it has: prompt and output."""
        return len(self.token_ids)

    @property
    def output_ids(self):
        """The output so far."""
        return self.token_ids[self.num_prompt_tokens :]

    def append(self, token_id):
        """One token more; `finish_reason` is "stop" or "length" if it is the last."""
        self.token_ids.append(token_id)
        at_stop_string = self.detokenizer is not None and self.detokenizer.append(token_id)
        if token_id in self.stop_ids or at_stop_string:
            self.finish_reason = "stop"
        elif len(self.token_ids) >= self.max_tokens:
            self.finish_reason = "length"

    def fork(self, index):
        """Another sequence over the same prompt, as far as this one."""
        prompt = self.token_ids[: self.num_prompt_tokens]
        other = Request(
            sequence_id(self.request_id, index),
            prompt,
            self.params,
            priority=self.priority,
            client=self.client,
            arrival=self.arrival,
            index=index,
            seed=(self.seed + index) % 2**63,
        )
        other.group_id, other.stop_ids, other.num_sequences = self.group_id, self.stop_ids, 1
        other.was_admitted, other.num_computed_tokens = True, self.num_computed_tokens
        other.metrics = self.metrics.fork()
        other.detokenizer = self.detokenizer.fork() if self.detokenizer is not None else None
        return other

    def __repr__(self):
        return (
            f"Request({self.request_id}, {self.status}, {self.num_prompt_tokens} prompt tokens, "
            f"{self.num_tokens - self.num_prompt_tokens} of output, {self.num_computed_tokens} computed)"
        )


def sequence_id(request_id, index):
    """How sequence `index` of a request is called in the ledger, in steps and in the trace."""
    return f"{request_id}.{index}" if index else request_id


def sequence_ids(request_id, n):
    """The ids of all n sequences of a request."""
    return [sequence_id(request_id, index) for index in range(n)]
