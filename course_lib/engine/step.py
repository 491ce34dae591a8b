"""What is to be done in one step: integers only, whole in itself. It could be sent to another process.

    swap out, copy blocks, swap in, compute        in this order

A sequence is named by its request_id. The runner keeps what it was told about a sequence before: its block ids and
how its tokens are chosen. So a step holds only what is new. Source: vLLM's SchedulerOutput.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from course_lib.errors import IntegrityError


class ScheduledSequence(NamedTuple):
    """The next `num_tokens` tokens of one sequence."""

    request_id: str
    start: int
    """The position of the first of them: so many tokens are computed already."""
    num_tokens: int
    """At least 1."""
    token_ids: list
    """These tokens. Empty: the one token is the newest, which the runner itself has just chosen."""
    num_choices: int = 0
    """How many tokens are chosen after the last of them: 0 in the middle of a prompt, n where n sequences share a
    prompt.
    """
    first_block: int = 0
    """Where `block_ids` begins in the sequence's block table. The ids before it are as in the last step."""
    block_ids: list | None = ()
    """New or changed block ids. None: still to be filled in, from the ledger."""
    sampling: tuple | None = None
    """(SamplingParams, seed) of a sequence that the runner does not know yet, or has forgotten."""
    num_drafts: int = 0
    """How many of these tokens, the last ones, are drafted: they are checked, not given. -1: the draft model fills in
    which they are."""
    history: tuple | None = None
    """(its token ids, how many of them are the prompt), with `sampling`, where penalties look at them."""


@dataclass
class Step:
    """One step, as the scheduler chose it. `token_budget`: tokens that may still be added."""

    token_budget: int
    scheduled: list = field(default_factory=list)
    """ScheduledSequences."""
    admitted: list = field(default_factory=list)
    """(request_id, num_cached): requests that left the queue, and how many of their tokens the cache had."""
    preempted: list = field(default_factory=list)
    """(request_id, lost): requests that gave their memory back, and how many computed tokens were thrown away."""
    swapped_out: list = field(default_factory=list)
    """(request_id, block_ids, num_tokens): saved in CPU memory before anything is written; the blocks are others'
    already.
    """
    copies: list = field(default_factory=list)
    """(source, destination): blocks that are copied before anything is computed, in this order."""
    swapped_in: list = field(default_factory=list)
    """(request_id, start, slots): saved tokens from number `start` on go to these slots; the others are dropped."""
    is_short: bool = False
    """Whether a running request found no room."""

    def add(self, request, n, first_block=0, block_ids=None, drafts=()):
        """The next n tokens of a request are computed, and after them its drafts. Their slots must have been allocated.

        Without block_ids they are filled in from the ledger afterwards. The tokens are in flight from now on.
        """
        if type(n) is not int or n < 1:
            raise IntegrityError(
                f"Request {request.request_id} is given {n!r} tokens; a step computes at least 1 of it."
            )
        start, ids = request.num_computed_tokens + request.num_in_flight_tokens, request.token_ids
        sampling = history = None
        end, num_choices = start + n, 0
        if end >= len(ids) + request.num_pending_tokens:
            request.num_pending_tokens += 1
            num_choices = request.num_sequences
        if not request.is_known_to_runner:
            request.is_known_to_runner, sampling = True, (request.params, request.seed)
            history = (ids[:], request.num_prompt_tokens) if request.params.has_penalties else None
        request.num_in_flight_steps += 1
        request.num_in_flight_tokens += n + len(drafts)
        self.token_budget -= n + len(drafts)
        tokens = ids[start:end] + drafts if drafts else ids[start:end]
        new = request.request_id, start, n + len(drafts), tokens, num_choices, first_block, block_ids, sampling
        self.scheduled.append(ScheduledSequence(*new, len(drafts), history))

    def preempt(self, request, num_lost):
        """The request gives its memory back. num_lost: its computed tokens that are thrown away."""
        self.preempted.append((request.request_id, num_lost))
        request.is_known_to_runner = False

    @property
    def is_empty(self):
        """Whether the runner has nothing to do."""
        return not (self.scheduled or self.preempted or self.swapped_out or self.copies)

    @property
    def num_tokens(self):
        """Tokens that are computed in this step."""
        return sum(sequence.num_tokens for sequence in self.scheduled)
