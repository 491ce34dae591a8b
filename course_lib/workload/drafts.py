"""Speculative decoding in the simulator: what drafts cost, how many are right, and from which batch size they lose.

    a step          newest d1 d2 d3 d4 of each sequence, so 5 tokens of it are computed: that is in its StepWork
    before it       4 runs of the draft model, on a cost model of its own
    after it        each draft is right with the probability `acceptance`, as long as all before it were

So a step with drafts costs more, and brings more tokens: `losing_batch` finds the batch size at which the two are even.
Source: Leviathan et al. (arXiv 2211.17192) for one sequence; MagicDec (2408.11049) for batches.
"""

from dataclasses import dataclass

from course_lib.engine.config import EngineConfig
from course_lib.engine.speculation import Speculation
from course_lib.errors import ParameterError

from .checks import check_number, check_whole
from .cost import CostModel, StepWork, work_of
from .replica import Replica, SimulatedRequest

ENOUGH = 4096
"""A rate with drafts is measured over at least so many output tokens, as chance decides which drafts are right."""


@dataclass(frozen=True)
class SimulatedDrafts(Speculation):
    """Drafts of a simulated engine: `simulate(workload, config, cost, speculation=SimulatedDrafts(...))`."""

    acceptance: float = 0.8
    """The probability that a draft is right, if all before it in its step were. Measured: accepted drafts over those
    that were looked at, not over all."""
    cost: CostModel | None = None
    """Of the draft model; None: drafts cost nothing, as those of prompt lookup."""

    def __post_init__(self):
        super().__post_init__()
        check_number("acceptance", self.acceptance, "a probability", at_least=0, at_most=1, instead=0.8)
        if self.cost is not None and not isinstance(self.cost, CostModel):
            raise ParameterError(f"cost is {self.cost!r}; it is the CostModel of the draft model, or None: no cost.")

    @property
    def is_behind(self):
        """As Speculation.is_behind."""
        return self.cost is not None

    def seconds(self, step):
        """How long the draft model takes in a Step: a run over what is given, then one for each further draft."""
        if self.cost is None:
            return 0.0
        given = [one._replace(num_tokens=one.num_tokens - one.num_drafts) for one in step.scheduled]
        seconds = self.cost.seconds(*work_of(given))
        for i in range(1, self.num_speculative_tokens):
            ends = [one.start + one.num_tokens + i for one in given if one.num_drafts > i]
            if ends:
                seconds += self.cost.seconds(*StepWork(len(ends), len(ends), sum(ends), 0))
        return seconds

    def num_right(self, num_drafts, draw):
        """How many of these drafts are right before the first that is not. draw: a random.Random."""
        return next((i for i in range(num_drafts) if draw.random() >= self.acceptance), num_drafts)


def decode_rate(cost, batch, *, speculation=None, context=1000, num_tokens=64, seed=0):
    """Output tokens a second of a simulated engine in which `batch` sequences decode.

    cost: a CostModel. speculation: SimulatedDrafts, or None. context: tokens of each prompt. num_tokens: of each
    output. Only steps in which all sequences decode are counted. With drafts and few sequences the rate is taken over
    several runs, with seeds from `seed` on. Raises ParameterError.
    """
    for name, value in (("batch", batch), ("context", context), ("num_tokens", num_tokens)):
        check_whole(name, value, "a number of sequences or tokens", instead=64)
    if speculation is not None and not isinstance(speculation, SimulatedDrafts):
        raise ParameterError(
            f"speculation is {speculation!r}, which the simulator cannot run. Give SimulatedDrafts(...), or None for "
            "no drafts."
        )
    runs = 1 if speculation is None else -(-ENOUGH // (batch * num_tokens))
    found = [_decode(cost, batch, speculation, context, num_tokens, seed + i) for i in range(runs)]
    return sum(written for written, _ in found) / sum(seconds for _, seconds in found)


def _decode(cost, batch, speculation, context, num_tokens, seed):
    """(tokens, seconds) of one run."""
    drafts = 0 if speculation is None else speculation.num_speculative_tokens
    tokens, budget = context + num_tokens + drafts + 1, batch * max(drafts + 1, context)
    config = EngineConfig(
        num_blocks=batch * (-(-tokens // 16) + 1), max_num_seqs=batch, max_num_batched_tokens=budget,
        prefix_caching=False, watermark=0.0,
    )  # fmt: skip
    replica = Replica(config, cost, jump=False, speculation=speculation, seed=seed)
    requests = [SimulatedRequest(i, [1] * context, num_tokens + 1) for i in range(batch)]
    for request in requests:
        replica.add(request, 0.0)
    written = []
    while len(replica.requests) == batch:  # the first step computes all prompts
        replica.plan()
        replica.execute()
        written.append((replica.clock, sum(len(request.token_ids) for request in requests)))
    (began, before), (ended, after) = written[0], written[-1]
    return after - before, ended - began


def losing_batch(cost, speculation, *, most=512, **how):
    """The smallest number of sequences with which an engine with these drafts writes fewer tokens a second than without
    them; None if there is none up to `most`.

    cost: the CostModel of the model. speculation: SimulatedDrafts. how: context, num_tokens and seed of `decode_rate`.
    It tries 1, 2, 4, ... sequences until drafts lose, then searches between the last two by halves. So it assumes that
    drafts which lose with n sequences lose with more than n too. Raises ParameterError.
    """
    check_whole("most", most, "a number of sequences", instead=512)
    wins, loses = 0, 1
    while decode_rate(cost, loses, speculation=speculation, **how) >= decode_rate(cost, loses, **how):
        wins, loses = loses, 2 * loses
        if wins >= most:
            return None
    while loses - wins > 1:
        middle = (wins + loses) // 2
        if decode_rate(cost, middle, speculation=speculation, **how) >= decode_rate(cost, middle, **how):
            wins = middle
        else:
            loses = middle
    return loses if loses <= most else None
