"""Batches without a model: which requests are in which batch, when each starts, and how many tokens are wasted.

Time is counted in runs of the model. A batch takes one run for its prompts, which gives each request its first token,
and one run for every further token of its longest output. So a batch that starts at 4 and has a longest output of 6
tokens ends at 10.
"""

import math
from collections import deque
from dataclasses import dataclass

from course_lib.errors import CourseError, ParameterError

from .static import BatchReport

PATIENCE = 100_000
"""If requests wait for so many runs and no batch starts, the batcher has lost them."""


@dataclass(frozen=True)
class Batch:
    """Requests that start together and end together."""

    start: int
    """The run of the model, counted from 0, at which it starts."""
    requests: tuple
    """Their indices in the list of requests, in order of arrival."""


def simulate_batches(requests, batcher):
    """The batches in which `batcher` serves the requests, in order: a list of Batch.

    requests: tuples (arrival, num_prompt_tokens, num_new_tokens), the arrival in runs of the model, at least one token
    each. batcher: a new DynamicBatcher, or an object with its `add` and `take`. With timeout=math.inf it is static
    batching: every batch waits until it is full, and only the last one, after the last arrival, starts with fewer
    requests. Raises CourseError for a batcher that never returns a request it was given, or that returns a request that
    does not wait; ParameterError for a request without tokens.
    """
    for i, (_, prompt, new) in enumerate(requests):
        if prompt < 1 or new < 1:
            raise ParameterError(
                f"requests[{i}] has {prompt} prompt tokens and {new} new ones. A request is (arrival, "
                f"num_prompt_tokens, num_new_tokens), with at least one token each."
            )
    coming = deque(sorted(range(len(requests)), key=lambda i: requests[i][0]))
    now, waiting, idle, batches = 0, set(), 0, []
    while coming or waiting:
        while coming and requests[coming[0]][0] <= now:
            waiting.add(coming[0])
            batcher.add(coming[0], requests[coming.popleft()][0])
        is_last = waiting and not coming and getattr(batcher, "timeout", None) == math.inf
        batch = batcher.take(math.inf if is_last else now)
        if batch:
            if len(set(batch)) < len(batch) or not waiting.issuperset(batch):
                raise CourseError(
                    f"`take` gives {list(batch)} after run {now}, when {sorted(waiting)} wait. Each request is in one "
                    f"batch, once. Does the batcher remove the requests that it returns?"
                )
            batches.append(Batch(now, tuple(batch)))
            waiting.difference_update(batch)
        idle = 0 if batch or not waiting else idle + 1
        if idle > PATIENCE:
            raise CourseError(
                f"{len(waiting)} of {len(requests)} requests were added and wait since run {now - idle}, but `take` "
                f"returns none of them. Does the batcher keep the requests that it does not return, and look at its "
                f"timeout?"
            )
        now += num_runs(requests, batch) if batch else 1
    return batches


def num_runs(requests, batch):
    """How often the model runs for a batch of these requests: once for each token of the longest output."""
    return max(requests[i][2] for i in batch)


def count_batches(requests, batches):
    """The BatchReport that `run_static` and `run_dynamic` would return for these batches."""
    report = BatchReport(num_batches=len(batches))
    for batch in batches:
        prompts, outputs = zip(*(requests[i][1:] for i in batch.requests))
        report.num_steps += max(outputs)
        report.num_useful_tokens += sum(prompts) + sum(outputs) - len(outputs)  # an output's last token is not computed
        report.num_padding_tokens += max(prompts) * len(prompts) - sum(prompts)
        report.num_idle_tokens += max(outputs) * len(outputs) - sum(outputs)
    return report


def waits(requests, batches):
    """How many runs of the model each request waits until its batch starts, in the order of the requests."""
    started = {i: batch.start for batch in batches for i in batch.requests}
    return [started[i] - arrival for i, (arrival, _, _) in enumerate(requests)]
