"""Answers to 02.reuse: two right ones written differently, and the wrong ones."""

import copy

import torch

from course_lib.kvcache import Recompute

from .solutions.generate_cached import generate_cached
from .solutions.reuse import generate_in_turn


def in_turn_listed(model, prompts, max_tokens, cache):
    return [cache.reset() or generate_cached(model, prompt, max_tokens, cache) for prompt in prompts]


def in_turn_in_one_function(model, prompts, max_tokens, cache):
    """Resets the cache before and after each sequence."""
    cache.reset()
    sequences = []
    for prompt in prompts:
        ids, computed = list(prompt), 0
        while len(ids) - len(prompt) < max_tokens:
            logits = model(torch.tensor(ids[computed:]), torch.arange(computed, len(ids)), cache)
            computed = len(ids)
            ids.append(logits[-1].argmax().item())
        sequences.append(ids[len(prompt) :])
        cache.reset()
    return sequences


def without_reset(model, prompts, max_tokens, cache):
    return [generate_cached(model, prompt, max_tokens, cache) for prompt in prompts]


def reset_once_before(model, prompts, max_tokens, cache):
    cache.reset()
    return without_reset(model, prompts, max_tokens, cache)


def reset_after(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        made.append(generate_cached(model, prompt, max_tokens, cache))
        cache.reset()
    return made


def reset_inside(model, prompts, max_tokens, cache):
    """Resets the cache before every call of the model."""
    made = []
    for prompt in prompts:
        ids, computed = list(prompt), 0
        for _ in range(max_tokens):
            cache.reset()
            logits = model(torch.tensor(ids[computed:]), torch.arange(computed, len(ids)), cache)
            computed = len(ids)
            ids.append(int(logits[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def new_caches(model, prompts, max_tokens, cache):
    return [generate_cached(model, prompt, max_tokens, type(cache)()) for prompt in prompts]


def copied_caches(model, prompts, max_tokens, cache):
    cache.reset()
    return [generate_cached(model, prompt, max_tokens, copy.deepcopy(cache)) for prompt in prompts]


def new_caches_after_the_first(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        cache.reset()
        made.append(generate_cached(model, prompt, max_tokens, cache))
        cache = type(cache)()
    return made


def positions_go_on(model, prompts, max_tokens, cache):
    """Resets the cache, but does not start positions at 0 again."""
    made, start = [], 0
    for prompt in prompts:
        cache.reset()
        new, step = [], list(prompt)
        while len(new) < max_tokens:
            logits = model(torch.tensor(step), torch.arange(start, start + len(step)), cache)
            new.append(int(logits[-1].argmax()))
            start += len(step)
            step = new[-1:]
        made.append(new)
    return made


def naive(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(max_tokens):
            ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def reset_and_all(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(max_tokens):
            cache.reset()
            ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), cache)[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def flat(model, prompts, max_tokens, cache):
    return [token for sequence in generate_in_turn(model, prompts, max_tokens, cache) for token in sequence]


def last_only(model, prompts, max_tokens, cache):
    return generate_in_turn(model, prompts, max_tokens, cache)[-1] if prompts else []


def first_only(model, prompts, max_tokens, cache):
    return generate_in_turn(model, prompts[:1], max_tokens, cache)


def with_prompts(model, prompts, max_tokens, cache):
    return [[*p, *new] for p, new in zip(prompts, generate_in_turn(model, prompts, max_tokens, cache))]


def in_order(key):
    """Serves the prompts in a sorted order, and returns the sequences in that order."""
    return lambda model, prompts, max_tokens, cache: generate_in_turn(
        model, sorted(prompts, key=key), max_tokens, cache
    )


def from_the_end(model, prompts, max_tokens, cache):
    return generate_in_turn(model, prompts[::-1], max_tokens, cache)


def each_once(model, prompts, max_tokens, cache):
    return generate_in_turn(model, [list(p) for p in dict.fromkeys(map(tuple, prompts))], max_tokens, cache)


def each_once_at_the_end(model, prompts, max_tokens, cache):
    """Serves all prompts, and keeps the sequences in a dict with the prompts as keys."""
    new = generate_in_turn(model, prompts, max_tokens, cache)
    return list({tuple(prompt): sequence for prompt, sequence in zip(prompts, new)}.values())
