"""What an engine refuses, with the figures that say why."""

import math

from course_lib.errors import IntegrityError, ParameterError

from .scheduler import Scheduler


def check_fits(num_prompt_tokens, params, config, num_blocks):
    """Raises ParameterError for a request that could never be served, even alone."""
    most = num_prompt_tokens + max(0, params.max_tokens - 1)  # nobody asks what follows the last token
    blocks = -(-most // config.block_size)
    what = f"{num_prompt_tokens} prompt tokens and max_tokens={params.max_tokens}"
    if blocks > num_blocks:
        raise ParameterError(
            f"{what} need {blocks} blocks of {config.block_size} tokens, and there are {num_blocks} in all, so "
            f"this could never be served. Raise num_blocks to {blocks}, shorten the prompt or lower max_tokens."
        )
    if not config.chunked_prefill and most > config.max_num_batched_tokens:
        raise ParameterError(
            f"{what} may have to be computed in one step of {most} tokens, and a step holds max_num_batched_tokens="
            f"{config.max_num_batched_tokens}. Raise that, or set chunked_prefill=True."
        )
    if params.n > config.max_num_seqs:
        raise ParameterError(
            f"n={params.n} texts run side by side, and max_num_seqs is {config.max_num_seqs}. Raise that, or "
            f"add the request several times."
        )


def check_request_fields(priority, client, arrival, params, tokenizer):
    """Raises ParameterError for what a request cannot be ordered by, and for stop strings without a tokenizer."""
    for name, value in (("priority", priority), ("arrival", arrival)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ParameterError(f"{name} is {value!r}, but requests are ordered by it: a finite number. Try 0.")
    if not isinstance(client, (str, int)):
        raise ParameterError(f'client is {client!r}, but it names who asks: a text or a whole number. Try "default".')
    if params.stop and tokenizer is None:
        raise ParameterError(
            f"stop={params.stop} is looked for in the text, and this engine has no tokenizer to make text. Make "
            f"it with Engine(model, tokenizer=tokenizer), or use stop_token_ids."
        )


def check_step(step, engine):
    """Raises IntegrityError for a step against the rules: a learner's scheduler is held to all, the course's own by its tests."""
    if not step.scheduled:
        raise IntegrityError(
            "schedule() gave nobody anything to do, and there are unfinished requests. Each step must bring at "
            "least one token further, or it would go on like this for ever."
        )
    if type(engine.scheduler) is Scheduler:
        return
    budget = engine.config.max_num_batched_tokens
    if step.num_tokens > budget:
        raise IntegrityError(
            f"schedule() chose {step.num_tokens} tokens; the budget is max_num_batched_tokens={budget}. Take "
            f"each request's share off what is left."
        )
    if len({request.request_id for request, _ in step.scheduled}) < len(step.scheduled):
        raise IntegrityError(
            "schedule() chose a request twice in one step. Its tokens have one order; give it one share."
        )
    for request, n in step.scheduled:
        slots = engine.manager.table(request).num_tokens if request in engine.manager else 0
        if type(n) is not int or n < 1 or slots != request.num_computed_tokens + n:
            raise IntegrityError(
                f"schedule() gives request {request.request_id} {n!r} tokens after "
                f"{request.num_computed_tokens} computed ones, and it has slots for {slots}. Each share is at "
                f"least 1, and its slots are asked for with manager.allocate_slots(request, n)."
            )
