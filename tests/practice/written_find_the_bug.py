"""Wrong answers to 02.find_the_bug."""

import torch

from course_lib.decoding import first_divergence, generate_cached
from course_lib.kvcache import ContiguousCache, Recompute


def differs(model, ids, cache):
    right = ContiguousCache(model.config, len(ids), device="cpu", dtype=torch.float32)
    return first_divergence(model, ids, cache, right)


def finds_in_first_sequence(model, token_ids, make_cache):
    place = differs(model, token_ids, make_cache())
    if place is None:
        return None
    return {True: "off by one", False: "ignored"}[place.step < 1], place.layer


def finds_with_new_cache(model, token_ids, make_cache):
    for turn in range(2):
        place = differs(model, token_ids, make_cache())
        if place is not None:
            return ("not reset" if turn else "off by one" if place.step == 0 else "ignored"), place.layer
    return None


def finds_after_generating(model, token_ids, make_cache):
    """The two names are swapped; the second comparison is on a cache that generated a sequence."""
    from course_lib import SamplingParams

    place = differs(model, token_ids, make_cache())
    if place is not None:
        return ("off by one" if place.step else "ignored"), place.layer
    used = make_cache()
    generate_cached(model, token_ids, SamplingParams(max_tokens=1, ignore_eos=True), used)
    used.reset()
    place = differs(model, token_ids, used)
    return place and ("not reset", place.layer)


def finds_the_name(model, token_ids, make_cache):
    cache = make_cache()
    for names in (("off by one", "ignored"), ("not reset", "not reset")):
        place = differs(model, token_ids, cache)
        if place:
            return names[min(place.step, 1)]
        cache.reset()


def finds_from_one(model, token_ids, make_cache):
    found = finds_right(model, token_ids, make_cache)
    return found and (found[0], 1 + found[1])


def finds_right(model, token_ids, make_cache):
    cache = make_cache()
    for names in (("off by one", "ignored"), ("not reset", "not reset")):
        place = differs(model, token_ids, cache)
        if place:
            return names[min(place.step, 1)], place.layer
        cache.reset()
    return None


def finds_one_against_another(model, token_ids, make_cache):
    place = first_divergence(model, token_ids, make_cache(), make_cache())
    return None if place is None else ("off by one", place.layer)


def finds_off_by_one_alone(model, token_ids, make_cache):
    found = finds_right(model, token_ids, make_cache)
    return ("off by one", found[1]) if found and found[0] == "ignored" else found


def finds_the_last_layer(model, token_ids, make_cache):
    """Not a known mistake: layers are counted from the end."""
    found = finds_right(model, token_ids, make_cache)
    return found and (found[0], found[1] - model.config.num_layers)


def finds_and_pops(model, token_ids, make_cache):
    cache = make_cache()
    found = first_divergence(model, token_ids, cache, Recompute())
    if found:
        return "off by one" if found.step == 0 else "ignored", found.layer
    cache.reset()
    token_ids.pop()
    found = first_divergence(model, token_ids, cache, Recompute())
    return ("not reset", found.layer) if found else None


CASES = {
    "02.find_the_bug": [
        ("token ids are changed", finds_and_pops),
        ("no cache is used for a second", finds_in_first_sequence),
        ("no cache is used for a second", finds_with_new_cache),
        ("two bugs are mixed up", finds_after_generating),
        ("only the name", finds_the_name),
        ("counted from 1", finds_from_one),
        ("no bug is ever reported", finds_one_against_another),
        ("reported as off by one", finds_off_by_one_alone),
        (None, finds_the_last_layer),
    ]
}
