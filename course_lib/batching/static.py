"""Static batching: a fixed number of prompts at once, and none leaves before the last one has ended.

    step        1        2  3  4  5  6  7
    a           prompt   x  x  x  x  x  x
    b           pro · ·  x  x  -  -  -  -       ·  padding: computed and thrown away
    c           prom · · x  x  x  x  -  -       -  ended, but still computed: the batch keeps its shape
    d           waits for the next batch

Servers worked like this before requests could join and leave at each step, as in `Engine`. It is here for comparison.
"""

from dataclasses import dataclass

import torch

from course_lib.decoding.choosing import ChoiceRows, choose, seed_of
from course_lib.decoding.generate import check_prompt, stop_ids
from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousBatch


@dataclass
class BatchReport:
    """What batches cost, in tokens that the model computed."""

    num_batches: int = 0
    num_steps: int = 0
    num_useful_tokens: int = 0
    """Tokens of prompts and outputs."""
    num_padding_tokens: int = 0
    """Tokens added to prompts to make them as long as the longest of their batch."""
    num_idle_tokens: int = 0
    """Tokens computed for requests that had ended, until the last one of their batch ended."""

    @property
    def waste(self):
        """Share of the computed tokens that are padding or idle."""
        wasted = self.num_padding_tokens + self.num_idle_tokens
        return wasted / (self.num_useful_tokens + wasted) if wasted else 0.0


def run_static(model, prompts, params=SamplingParams(), *, batch_size=8):
    """Serves the prompts in batches of `batch_size`, in order. Returns (new token ids of each, BatchReport).

    prompts: token id lists. params: one SamplingParams, or one for each prompt. The tokens are those of generate_naive.
    Raises ParameterError for what generate_naive refuses, before anything is computed.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise ParameterError(
            f"batch_size is {batch_size!r}, but it counts prompts: a whole number of at least 1. Try 8."
        )
    requests, report = as_requests(model, prompts, params), BatchReport()
    for start in range(0, len(requests), batch_size):
        run_batch(model, requests[start : start + batch_size], report)
    return [request.output_ids for request in requests], report


def as_requests(model, prompts, params):
    """A Request for each prompt, checked. params: one SamplingParams, or one for each."""
    prompts = list(prompts)
    all_params = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
    if len(all_params) != len(prompts):
        raise ParameterError(
            f"{len(prompts)} prompts came with {len(all_params)} parameters. Give one SamplingParams for all, "
            f"or one for each prompt."
        )
    requests = []
    for number, (prompt, its_params) in enumerate(zip(prompts, all_params)):
        request = Request(str(number), check_prompt(model.config, prompt, its_params), its_params)
        request.stop_ids = frozenset(stop_ids(model.config, its_params))
        request.seed = seed_of(its_params)
        requests.append(request)
    return requests


@torch.inference_mode()
def run_batch(model, requests, report, *, on_tokens=None):
    """Computes one batch from its prompts to its last token. requests: new ones, which grow. Adds to the report.

    on_tokens: called after each run of the model, with the requests that have a new token.
    """
    requests = [request for request in requests if request.params.max_tokens > 0]
    if not requests:
        return
    lengths = [request.num_tokens for request in requests]
    longest, rows = max(lengths), range(len(requests))
    cache = ContiguousBatch(
        model.config,
        len(requests),
        longest + max(r.params.max_tokens for r in requests),
        device=model.device,
        dtype=model.dtype,
    )
    padded = [request.token_ids + [request.token_ids[-1]] * (longest - n) for request, n in zip(requests, lengths)]
    positions = cache.begin_step(rows, [longest] * len(requests))
    last_rows = torch.tensor([row * longest + n - 1 for row, n in zip(rows, lengths)], device=model.device)
    logits = model(torch.tensor(sum(padded, []), device=model.device), positions, cache, logits_for=last_rows)
    for row, n in zip(rows, lengths):
        cache.num_tokens[row] = n  # the next tokens are written over the padding
    report.num_batches += 1
    report.num_useful_tokens += sum(lengths)
    report.num_padding_tokens += longest * len(requests) - sum(lengths)
    while True:
        report.num_steps += 1
        params, seeds, positions = zip(*[(r.params, r.seed, r.num_tokens) for r in requests])
        chosen = choose(logits, ChoiceRows.of(params, seeds, positions, logits.device)).tolist()
        growing = [(request, token_id) for request, token_id in zip(requests, chosen) if request.finish_reason is None]
        for request, token_id in growing:
            request.append(token_id)
        if on_tokens is not None:
            on_tokens([request for request, _ in growing])
        running = sum(request.finish_reason is None for request in requests)
        if not running:
            return
        report.num_useful_tokens += running
        report.num_idle_tokens += len(requests) - running
        positions = cache.begin_step(rows, [1] * len(requests))
        newest = [request.token_ids[-1] for request in requests]
        logits = model(torch.tensor(newest, device=model.device), positions, cache)
