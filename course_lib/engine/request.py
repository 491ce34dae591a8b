"""One text that is being written: what was asked for, how far it is, and what is handed out of it.

    token_ids       | prompt                 | written so far   |
    is computed     | num_computed_tokens      | to do          |

There is no prefill and no decode: a request has tokens, some of them are computed, and each step computes some more. When all
are computed, the next one can be chosen.
"""

from dataclasses import dataclass, field
from itertools import count

from course_lib.decoding.sampling import SamplingParams

from .metrics import RequestMetrics

WAITING, RUNNING, SWAPPED, FINISHED = "waiting", "running", "swapped", "finished"

_numbers = count()


class Request:
    """One text on its way through the engine.

    request_id: unique while it lives. token_ids: the prompt; what is written joins it. priority: a lower value is more
    important. client: who asks, for fair shares. arrival: when it came, in seconds since the engine began. index: which of the
    `params.n` texts of its prompt it is.
    """

    def __init__(
        self, request_id, token_ids, params=SamplingParams(), *, priority=0, client="default", arrival=0.0, index=0
    ):
        self.request_id, self.token_ids, self.params = request_id, list(token_ids), params
        self.priority, self.client, self.arrival, self.index = priority, client, arrival, index
        self.group_id = (
            request_id  # what its outputs are called; a fork has its own request_id and its parent's group_id
        )
        self.num_prompt_tokens = len(self.token_ids)
        self.num_computed_tokens = 0
        self.status, self.finish_reason = WAITING, None
        self.num_sequences = params.n  # how many texts it stands for: n until the prompt is computed, 1 after that
        self.was_admitted = False
        self.number = next(_numbers)  # settles who is first where the arrival is the same
        self.metrics = RequestMetrics(arrival, self.num_prompt_tokens)
        self.generators = []  # where its random numbers come from, one for each text it stands for
        self.text = None  # its Text, where there is a tokenizer
        self.stop_ids = frozenset(params.stop_token_ids)

    @property
    def num_tokens(self):
        """Tokens it has: prompt and written."""
        return len(self.token_ids)

    @property
    def output_ids(self):
        """What was written so far."""
        return self.token_ids[self.num_prompt_tokens :]

    def append(self, token_id):
        """One token more; `finish_reason` says "stop" or "length" if it was the last."""
        self.token_ids.append(token_id)
        at_stop_string = self.text is not None and self.text.append(token_id)
        if token_id in self.stop_ids or at_stop_string:
            self.finish_reason = "stop"
        elif len(self.token_ids) - self.num_prompt_tokens >= self.params.max_tokens:
            self.finish_reason = "length"

    def fork(self, index):
        """Another text over the same prompt, which is as far as this one."""
        prompt = self.token_ids[: self.num_prompt_tokens]
        other = Request(
            f"{self.request_id}.{index}",
            prompt,
            self.params,
            priority=self.priority,
            client=self.client,
            arrival=self.arrival,
            index=index,
        )
        other.group_id, other.stop_ids, other.num_sequences = self.group_id, self.stop_ids, 1
        other.was_admitted = True
        other.num_computed_tokens = self.num_computed_tokens
        other.metrics = self.metrics.fork()
        other.generators, other.text = (
            self.generators[index : index + 1],
            self.text.fork() if self.text is not None else None,
        )
        return other

    def __repr__(self):
        return (
            f"Request({self.request_id}, {self.status}, {self.num_prompt_tokens} prompt tokens, "
            f"{self.num_tokens - self.num_prompt_tokens} written, {self.num_computed_tokens} computed)"
        )


@dataclass(frozen=True)
class RequestOutput:
    """What a step brought for one text."""

    request_id: str
    token_ids: list
    """All that was written so far; the token that ended the text is the last of them."""
    new_token_ids: list
    """What this step added."""
    text: str | None
    """`token_ids` as text, without what is not a whole character yet, cut where a stop string begins. None: no tokenizer."""
    finished: bool
    finish_reason: str | None
    """"stop" (an end token or stop string), "length" (max_tokens) or "abort"; None while it goes on."""
    metrics: RequestMetrics = field(repr=False)
    index: int = 0
    """Which of the `SamplingParams.n` texts of its prompt this is."""
