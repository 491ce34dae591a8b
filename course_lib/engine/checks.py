"""Requests and steps that an engine refuses, each with the numbers that explain it."""

import math

from course_lib.decoding.sampling import SamplingParams
from course_lib.errors import IntegrityError, ParameterError

from .config import EngineConfig
from .scheduler import Scheduler
from .step import Step


def check_fits(num_prompt_tokens, params, config, num_blocks, most_blocks=None):
    """Raises ParameterError for a request that could never be served, even alone.

    most_blocks: says how many blocks a request of so many tokens holds at a time; default: those of all its tokens.
    """
    if config.speculation is not None and (params.has_penalties or params.logprobs is not None):
        what = "logprobs" if params.logprobs is not None else "penalties or a logit_bias"
        raise ParameterError(
            f"The parameters have {what}, which this engine does not compute with speculation. Leave it out, or make "
            f"the engine without speculation."
        )
    most = num_prompt_tokens + max(0, params.max_tokens - 1)  # the last token is never computed
    blocks = most_blocks(most) if most_blocks else -(-most // config.block_size)
    what = f"{num_prompt_tokens} prompt tokens and max_tokens={params.max_tokens}"
    if blocks > num_blocks:
        raise ParameterError(
            f"{what} need {blocks} blocks of {config.block_size} tokens, and there are {num_blocks} in all, so "
            f"this request could never be served. Raise num_blocks to {blocks}, shorten the prompt or lower max_tokens."
        )
    if not config.chunked_prefill and most > config.max_num_batched_tokens:
        raise ParameterError(
            f"{what} may have to be computed in one step of {most} tokens, and the budget is max_num_batched_tokens="
            f"{config.max_num_batched_tokens}. Raise it, or set chunked_prefill=True."
        )
    if params.n > config.max_num_seqs:
        raise ParameterError(
            f"n={params.n} sequences run at the same time, and max_num_seqs is {config.max_num_seqs}. Raise it, or "
            f"add the request several times."
        )


def check_config(config):
    """Raises ParameterError for what is no EngineConfig."""
    if not isinstance(config, EngineConfig):
        raise ParameterError(
            f"config is {config!r}, but an engine is set up by an EngineConfig. Pass EngineConfig(block_size=16), for "
            f"example."
        )


def check_prompts(prompts, params):
    """The prompts as a list, and a list with the SamplingParams of each. params: one for all, or a list.

    Raises ParameterError for one prompt that is no list of prompts, and for another number of parameters.
    """
    if isinstance(prompts, str):
        raise ParameterError(
            f"prompts is the text {prompts[:40]!r}, but it is a list of prompts. Write brackets around it: [text]."
        )
    try:
        prompts = list(prompts)
    except TypeError:
        raise ParameterError(
            f"prompts is {prompts!r}, but it is a list of prompts: texts, or lists of token ids."
        ) from None
    if prompts and isinstance(prompts[0], int):
        raise ParameterError(
            "prompts is one list of token ids, but it is a list of such lists. Write brackets around it: [token_ids]."
        )
    all_params = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
    if len(all_params) != len(prompts):
        raise ParameterError(
            f"{len(prompts)} prompts came with {len(all_params)} parameters. Give one SamplingParams for "
            f"all, or one for each prompt."
        )
    return prompts, all_params


def check_request_fields(priority, client, arrival, params, tokenizer):
    """Raises ParameterError for values that cannot be compared, and for stop strings without a tokenizer."""
    for name, value in (("priority", priority), ("arrival", arrival)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
            raise ParameterError(
                f"{name} is {value!r}, but requests are ordered by it. Give a finite number, such as 0."
            )
    if not isinstance(client, (str, int)):
        raise ParameterError(f'client is {client!r}, but it is a name: a string or an int. The default is "default".')
    if params.stop and tokenizer is None:
        raise ParameterError(
            f"stop={params.stop} is searched for in the text, and this engine has no tokenizer to make text. Pass "
            f"Engine(model, tokenizer=tokenizer), or use stop_token_ids."
        )


def special_stop_ids(params, tokenizer):
    """The ids of stop strings that are special tokens: these are not part of the text, so the token itself ends it.

    Raises ParameterError for a stop string that holds a special token beside other text, which could never be found.
    """
    if tokenizer is None:
        return []
    ids = []
    for stop in params.stop:
        found = tokenizer.encode(stop, add_bos=False)
        special = [i for i in found if i in tokenizer.skipped_ids]
        if special and len(found) > 1:
            name = tokenizer.token_text(special[0])
            raise ParameterError(
                f"stop={stop!r} holds the special token {name!r}, and special tokens are left out of the text, so this "
                f"string would never be found. Stop at the token alone: stop={name!r}."
            )
        ids += special
    return ids


def check_step(step, engine):
    """Raises IntegrityError for a step that breaks the rules. Fills in the block ids of a learner's step.

    A learner's scheduler is held to all rules; the course's own is held to them by its tests.
    """
    if not isinstance(step, Step):
        raise IntegrityError(
            f"schedule() returned {step!r}, and it must return a Step: step = Step(config.max_num_batched_tokens), "
            f"then step.add(request, n) for each request that runs. See lesson 10."
        )
    if not step.scheduled and engine.live.requests and not engine.has_steps_in_flight():
        raise IntegrityError(
            "schedule() scheduled no request, and there are unfinished requests. Each step must compute at "
            "least one token, or the engine would never end."
        )
    if type(engine.scheduler) is Scheduler:
        return
    budget, manager = engine.config.max_num_batched_tokens, engine.manager
    if step.num_tokens > budget:
        raise IntegrityError(
            f"schedule() chose {step.num_tokens} tokens; the budget is max_num_batched_tokens={budget}. Subtract "
            f"the tokens of each request from the budget that is left."
        )
    if len({sequence.request_id for sequence in step.scheduled}) < len(step.scheduled):
        raise IntegrityError(
            "schedule() chose a request twice in one step. Its tokens have one order; schedule it once."
        )
    manager.move_copies(step.copies)
    for i, sequence in enumerate(step.scheduled):
        request = engine.scheduler.running.get(sequence.request_id)
        slots = manager.table(request).num_tokens if request is not None and request in manager else 0
        if slots != sequence.start + sequence.num_tokens:
            raise IntegrityError(
                f"schedule() gives request {sequence.request_id} {sequence.num_tokens} tokens after "
                f"{sequence.start} computed ones, and it has slots for {slots}. Allocate the slots of "
                f"these tokens first: manager.allocate_slots(request, n)."
            )
        if sequence.block_ids is None:
            first_block, block_ids = manager.take_new_blocks(request)
            step.scheduled[i] = sequence._replace(first_block=first_block, block_ids=block_ids)
