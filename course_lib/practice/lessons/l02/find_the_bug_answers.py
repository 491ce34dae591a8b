"""Answers to 02.find_the_bug: right ones written differently, and wrong ones made of parts that can each be wrong."""

import torch

from course_lib.decoding import first_divergence
from course_lib.decoding.generate import generate_cached
from course_lib.decoding.sampling import SamplingParams
from course_lib.kvcache import Recompute


def find_with_twin(model, token_ids, make_cache):
    """Three comparisons in turn: prefill only, all steps, a second sequence."""
    from course_lib.kvcache import ContiguousCache

    def differs(cache, ids, prefill):
        right = ContiguousCache(model.config, len(ids), device="cpu", dtype=torch.float32)
        return first_divergence(model, ids, cache, right, prefill=prefill)

    if found := differs(make_cache(), token_ids, len(token_ids)):
        return "off by one", found.layer
    if found := differs(make_cache(), token_ids, 1):
        return "ignored", found.layer
    used = make_cache()
    generate_cached(model, token_ids, SamplingParams(max_tokens=1, ignore_eos=True), used)
    used.reset()
    found = differs(used, token_ids, len(token_ids))
    return None if found is None else ("not reset", found.layer)


def find_by_position(model, token_ids, make_cache):
    """Decides by position, not by step: prefill differs from position 0 on, decode only after the prompt."""
    cache = make_cache()
    for turn in range(2):
        found = first_divergence(model, token_ids, cache, Recompute(), prefill=2)
        if found is not None:
            names = {(0, True): "off by one", (0, False): "ignored", (1, True): "not reset"}
            return [names[turn, found.position < 2], found.layer]
        cache.reset()
    return None


def tool(
    *,
    first=lambda f: ("off by one" if f.step == 0 else "ignored", f.layer),
    second=lambda f: ("not reset", f.layer) if f else None,
    between=lambda cache, make: cache.reset() or cache,
    against=lambda make: Recompute(),
    twice=True,
):
    """A wrong answer: the right tool with one part replaced."""

    def answer(model, token_ids, make_cache):
        cache = make_cache()
        found = first_divergence(model, token_ids, cache, against(make_cache))
        if found:
            return first(found)
        if not twice:
            return None
        return second(first_divergence(model, token_ids, between(cache, make_cache), against(make_cache)))

    return answer


def empty_first(model, token_ids, make_cache):
    """Resets an empty cache, and reports every difference as a missing reset."""
    cache = make_cache()
    cache.reset()
    found = first_divergence(model, token_ids, cache, Recompute())
    return ("not reset", found.layer) if found else None


def last_layer(model, token_ids, make_cache):
    """Names the bug, and returns the model's last layer, which differs too."""
    found = tool()(model, token_ids, make_cache)
    return found and (found[0], model.config.num_layers - 1)


def longer_first(model, token_ids, make_cache):
    """Gives a new cache a sequence of twice the length before its reset()."""
    found = first_divergence(model, token_ids, make_cache(), Recompute())
    if found is not None:
        return "off by one" if found.step == 0 else "ignored", found.layer
    cache = make_cache()
    first_divergence(model, [*token_ids, *token_ids], cache, Recompute())
    cache.reset()
    found = first_divergence(model, token_ids, cache, Recompute())
    return None if found is None else ("not reset", found.layer)
