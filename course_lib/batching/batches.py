"""Batches without a model: who sits in which one, from when, and what is pushed through the model for nothing.

Time is counted in runs of the model. A batch takes one run for its prompts, which gives each request its first token, and one
for every further token of its longest text. So a batch that starts at 4 and whose longest text has 6 tokens ends at 10.
"""

import math
from collections import deque
from dataclasses import dataclass

from course_lib.errors import CourseError, ParameterError

from .static import BatchReport

PATIENCE = 100_000
"""Runs without a batch, and with requests that wait, after which a batcher has lost them."""


@dataclass(frozen=True)
class Batch:
    """Requests that start together and end together."""

    start: int
    """Runs of the model that were over when it started."""
    requests: tuple
    """Their places in the list of requests, in order of arrival."""


def simulate_batches(requests, batcher):
    """The batches in which `batcher` serves the requests, in order: a list of Batch.

    requests: tuples (arrival, num_prompt_tokens, num_new_tokens), the arrival in runs of the model, at least one token each.
    batcher: a fresh DynamicBatcher, or an object with its `add` and `take`. With timeout=math.inf it is static batching: every
    batch waits until it is full, and only the last one, when nobody else comes, starts with fewer. Raises CourseError for a batcher
    that never hands out what it was given, or hands out who does not wait; ParameterError for a request without tokens.
    """
    for i, (_, prompt, new) in enumerate(requests):
        if prompt < 1 or new < 1:
            raise ParameterError(
                f"requests[{i}] has {prompt} prompt tokens and {new} new ones. A request is (arrival, num_prompt_tokens, "
                f"num_new_tokens), with at least one token each."
            )
    coming = deque(sorted(range(len(requests)), key=lambda i: requests[i][0]))
    now, waiting, idle, batches = 0, set(), 0, []
    while coming or waiting:
        while coming and requests[coming[0]][0] <= now:
            waiting.add(coming[0])
            batcher.add(coming[0], requests[coming.popleft()][0])
        for_ever = waiting and not coming and getattr(batcher, "timeout", None) == math.inf
        batch = batcher.take(math.inf if for_ever else now)
        if batch:
            if len(set(batch)) < len(batch) or not waiting.issuperset(batch):
                raise CourseError(
                    f"`take` gives {list(batch)} after run {now}, when {sorted(waiting)} wait. Each request is in "
                    f"one batch, once. Does the batcher let go of whom it gave?"
                )
            batches.append(Batch(now, tuple(batch)))
            waiting.difference_update(batch)
        idle = 0 if batch or not waiting else idle + 1
        if idle > PATIENCE:
            raise CourseError(
                f"{len(waiting)} of {len(requests)} requests were added and wait since run {now - idle}, but `take` gives "
                f"none of them. Does the batcher keep whom it did not take, and does it look at its timeout?"
            )
        now += num_runs(requests, batch) if batch else 1
    return batches


def num_runs(requests, batch):
    """How often the model runs for the requests at these places: once for each token of the longest text."""
    return max(requests[i][2] for i in batch)


def count_batches(requests, batches):
    """The BatchReport that `run_static` and `run_dynamic` would return for these batches."""
    report = BatchReport(num_batches=len(batches))
    for batch in batches:
        prompts, texts = zip(*(requests[i][1:] for i in batch.requests))
        report.num_steps += max(texts)
        report.num_useful_tokens += sum(prompts) + sum(texts) - len(texts)  # a text's last token is never pushed
        report.num_padding_tokens += max(prompts) * len(prompts) - sum(prompts)
        report.num_idle_tokens += max(texts) * len(texts) - sum(texts)
    return report


def waits(requests, batches):
    """How many runs of the model each request waits before its batch starts; in the order of the requests."""
    started = {i: batch.start for batch in batches for i in batch.requests}
    return [started[i] - arrival for i, (arrival, _, _) in enumerate(requests)]
