"""Decoding loops for one sequence: the slow one, which is the oracle of all tests, and the one with a cache."""

import operator
import reprlib

import torch

from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousCache, Recompute

from .choosing import ChoiceRows, choose, seed_of
from .penalties import apply_penalties
from .sampling import SamplingParams, sample


@torch.inference_mode()
def generate_naive(model, token_ids, params=SamplingParams()):
    """New token ids for one prompt, computing the whole sequence again for each of them.

    model: a Transformer. token_ids: the prompt, a list of ints. params: how tokens are chosen, and when to stop; the
    default is greedy, 128 tokens. Returns the list of new ids; a token that ended the sequence is the last of
    them, as in vLLM. Raises ParameterError for a prompt that is empty, holds an id outside the vocabulary, or leaves no
    room for max_tokens in the context.
    """
    ids = check_prompt(check_model(model).config, token_ids, params, with_penalties=True)
    start, stop = len(ids), stop_ids(model.config, params)
    seed = seed_of(params)
    while len(ids) - start < params.max_tokens:
        tokens = torch.tensor(ids, device=model.device)
        positions = torch.arange(len(ids), device=model.device)
        last = torch.tensor([len(ids) - 1], device=model.device)
        logits = model(tokens, positions, Recompute(), logits_for=last)
        ids.append(next_token(penalised(logits, params, ids, start), params, seed, len(ids)))
        if ids[-1] in stop:
            break
    return ids[start:]


@torch.inference_mode()
def generate_cached(model, token_ids, params=SamplingParams(), cache=None):
    """The same new token ids as generate_naive, computing each token only once.

    The first step takes the whole prompt (prefill), every later one the newest token alone (decode). The last token is
    not computed, since no token follows it.

    model, token_ids, params: as of generate_naive. cache: any object with `attend(layer, q, k, v)` that keeps the keys
    and values; None makes a ContiguousCache of the right size. It must be empty, since the sequence starts at position
    0: call its `reset()` between two sequences. Raises ParameterError for a cache that holds tokens (`num_tokens`
    above 0), what generate_naive raises, and what the cache raises, such as CacheFull.
    """
    ids = check_prompt(check_model(model).config, token_ids, params, with_penalties=True)
    if cache is None:
        most = max(1, len(ids) + params.max_tokens - 1)
        cache = ContiguousCache(model.config, most, device=model.device, dtype=model.dtype)
    check_empty(cache)
    stop, seed = stop_ids(model.config, params), seed_of(params)
    new, step, start = [], ids, 0  # the tokens of the next step, and where the first of them stands
    while len(new) < params.max_tokens:
        tokens = torch.tensor(step, device=model.device)
        positions = torch.arange(start, start + len(step), device=model.device)
        last = torch.tensor([len(step) - 1], device=model.device) if len(step) > 1 else None
        logits = model(tokens, positions, cache, logits_for=last)
        logits = penalised(logits, params, ids + new, len(ids))
        new.append(next_token(logits, params, seed, start + len(step)))
        if new[-1] in stop:
            break
        step, start = new[-1:], start + len(step)
    return new


def penalised(logits, params, token_ids, num_prompt_tokens):
    """The only row of logits [1, vocab_size] after the penalties of the parameters, if there are any."""
    if not params.has_penalties:
        return logits
    return apply_penalties(logits[0], params, token_ids, num_prompt_tokens)[None]


def next_token(logits, params, seed, position):
    """The token at `position`, chosen by the only row of logits [1, vocab_size]. Returns an int."""
    if params.temperature == 0:
        return sample(logits[0], params)
    return int(choose(logits, ChoiceRows.of([params], [seed], [position], logits.device)))


def check_empty(cache):
    """Raises ParameterError for what is no cache, or holds tokens. A cache without `num_tokens` counts as empty."""
    why = None
    if isinstance(cache, Recompute):
        why = "keeps nothing between steps"
    elif isinstance(cache, type):
        why = "is a class, not an object made from it"
    elif not callable(getattr(cache, "attend", None)):
        why = "has no attend(layer, q, k, v)"
    if why:
        raise ParameterError(
            f"cache is {reprlib.repr(cache)}, which {why}. Pass an object such as "
            "ContiguousCache(model.config, max_tokens=256), or None."
        )
    held = getattr(cache, "num_tokens", 0)
    if isinstance(held, int) and held > 0:
        raise ParameterError(
            f"The cache holds {held} tokens of another sequence, and this one starts at position 0: it would "
            "attend to both. Call cache.reset() first."
        )


def check_model(model):
    """The model. Raises ParameterError for what is none, such as the pair that load_model returns."""
    if hasattr(model, "config"):
        return model
    if isinstance(model, tuple) and len(model) == 2:
        raise ParameterError(
            "model is a tuple of two, as load_model returns it: the model and its tokenizer. Take them apart: "
            'model, tokenizer = load_model("tale").'
        )
    raise ParameterError(
        f"model is a {type(model).__name__}, not a model. Pass the first of the two that load_model returns: "
        'model, tokenizer = load_model("tale").'
    )


def check_prompt(config, token_ids, params, *, in_engine=False, with_penalties=False):
    """The prompt as a new list of ints. Raises ParameterError for a prompt or parameters that cannot be used.

    in_engine: whether several sequences for a prompt, stop strings, logprobs and penalties are possible; in the loops
    above the first three are not. with_penalties: whether penalties are.
    """
    if not isinstance(params, SamplingParams):
        raise ParameterError(
            f"params is {params!r}, but it must be a SamplingParams. "
            "Pass SamplingParams(temperature=0, max_tokens=64), for example."
        )
    if not in_engine and (params.n != 1 or params.stop):
        what = f"n={params.n}" if params.n != 1 else f"stop={params.stop}"
        raise ParameterError(
            f"The parameters have {what}, but these loops generate one sequence of token ids, without strings. "
            "Leave it out, or use the engine: Engine(model, tokenizer=tokenizer).generate([prompt], params)."
        )
    if not in_engine and (params.logprobs is not None or (params.has_penalties and not with_penalties)):
        what = "logprobs" if params.logprobs is not None else "penalties or a logit_bias"
        raise ParameterError(
            f"The parameters have {what}, which this loop does not compute. Leave it out, or use the engine: "
            f"Engine(model).generate([prompt], params)."
        )
    outside = [i for i, _ in params.logit_bias if i >= config.vocab_size]
    if outside:
        raise ParameterError(
            f"logit_bias names the token id {outside[0]}, outside of the vocabulary of {config.vocab_size}."
        )
    max_tokens = params.max_tokens
    try:
        ids = [operator.index(i) for i in token_ids]
    except TypeError:
        raise ParameterError(
            f"The prompt is {reprlib.repr(token_ids)}, but the model takes a flat list of token ids. "
            "Pass tokenizer.encode(text)."
        ) from None
    if not ids:
        raise ParameterError(
            "The prompt is empty, so there is nothing to continue. Pass at least one token id: those of some text, or "
            "the model's start token alone, if it has one (tokenizer.bos_token_id is not None)."
        )
    outside = [i for i in ids if not 0 <= i < config.vocab_size]
    if outside:
        raise ParameterError(
            f"Token id {outside[0]} is outside the vocabulary of {config.vocab_size}. "
            "Was the text encoded with another model's tokenizer?"
        )
    if len(ids) + max_tokens > config.context:
        raise ParameterError(
            f"{len(ids)} prompt tokens and max_tokens={max_tokens} need {len(ids) + max_tokens} positions; the "
            f"model's context is {config.context}. Lower max_tokens to {max(0, config.context - len(ids))} or "
            "shorten the prompt."
        )
    return ids


def stop_ids(config, params):
    """The ids that end a sequence: the model's own, unless they are ignored, and those of the parameters."""
    own = () if params.ignore_eos else config.eos_token_ids
    return {*own, *params.stop_token_ids}
