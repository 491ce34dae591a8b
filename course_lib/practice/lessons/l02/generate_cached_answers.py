"""Answers to 02.generate_cached: right ones written differently, and wrong ones with one part replaced."""

import torch

from course_lib.kvcache import Recompute
from course_lib.practice.fixtures.tiny_sequence import AddingCache

from .solutions.generate_cached import generate_cached


@torch.inference_mode()
def generate_two_parts(model, token_ids, max_tokens, cache):
    """Prefill above the loop, decode inside it."""
    if max_tokens == 0:
        return []
    ids = list(token_ids)
    logits = model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), cache)
    ids.append(int(logits[-1].argmax()))
    while len(ids) < len(token_ids) + max_tokens:
        position = len(ids) - 1
        logits = model(
            torch.tensor([ids[-1]], device=model.device), torch.tensor([position], device=model.device), cache
        )
        ids.append(int(logits[-1].argmax()))
    return ids[len(token_ids) :]


def generate_by_what_is_kept(model, token_ids, max_tokens, cache):
    """Reads the position of the next token from the cache."""
    ids = list(token_ids)
    for _ in range(max_tokens):
        kept = cache.num_tokens
        last = torch.tensor([len(ids) - kept - 1])
        row = model(torch.tensor(ids[kept:]), torch.arange(kept, len(ids)), cache, logits_for=last)[0]
        ids.append(row.argmax().item())
    return ids[len(token_ids) :]


def loop(
    *,
    prompt_ids=lambda ids: ids,
    step=lambda ids, n: ids[-1:],
    place=lambda ids, n: [len(ids) - 1],
    steps=lambda n: n,
    row=-1,
    back=lambda ids, new: new,
    own=list,
    cache_of=lambda cache, turn: cache,
    pick=lambda row: int(row.argmax()),
    first=0,
):
    """A wrong answer: the right loop with one part replaced. n: tokens of the prompt."""

    def answer(model, token_ids, max_tokens, cache):
        ids, new, n = own(token_ids), [], len(token_ids)
        for turn in range(steps(max_tokens)):
            fed = prompt_ids(ids) if turn == 0 else step(ids, n)
            at = torch.arange(first, first + len(fed)) if turn == 0 else torch.tensor(place(ids, n))
            token = pick(model(torch.tensor(fed), at, cache_of(cache, turn))[row])
            new.append(token)
            ids.append(token)
        return back(ids, new)

    return answer


def everywhere(ids, n):
    return list(range(len(ids)))


def one_by_one(model, token_ids, max_tokens, cache):
    """Right tokens, but the prompt is computed token by token."""
    ids, n = list(token_ids), len(token_ids)
    for position in range(n + max_tokens - 1 if max_tokens else 0):
        logits = model(torch.tensor(ids[position : position + 1]), torch.tensor([position]), cache)
        if position >= n - 1:
            ids.append(int(logits[-1].argmax()))
    return ids[n:]


def one_call_too_many(model, token_ids, max_tokens, cache):
    new = generate_cached(model, token_ids, max_tokens, cache)
    if new:
        model(torch.tensor(new[-1:]), torch.tensor([len(token_ids) + max_tokens - 1]), cache)
    return new


def prefill_and_again(model, token_ids, max_tokens, cache):
    """Ignores the logits of prefill, and computes the last token of the prompt once more."""
    model(torch.tensor(token_ids), torch.arange(len(token_ids)), cache)
    ids = list(token_ids)
    for _ in range(max_tokens):
        ids.append(int(model(torch.tensor(ids[-1:]), torch.tensor([len(ids) - 1]), cache)[-1].argmax()))
    return ids[len(token_ids) :]


def prefill_and_append(model, token_ids, max_tokens, cache):
    """Ignores the logits of prefill, and computes the last token of the prompt once more, after the prompt."""
    model(torch.tensor(token_ids), torch.arange(len(token_ids)), cache)
    new = []
    for _ in range(max_tokens):
        newest, at = [token_ids[-1], *new][-1], len(token_ids) + len(new)
        new.append(int(model(torch.tensor([newest]), torch.tensor([at]), cache)[-1].argmax()))
    return new


def loop_without_the_first(model, token_ids, max_tokens, cache):
    """Computes the token that prefill gives, and does not return it."""
    return generate_cached(model, token_ids, max_tokens + 1, cache)[1:]


def naive(model, token_ids, max_tokens, cache):
    """Right tokens without any cache."""
    ids = list(token_ids)
    for _ in range(max_tokens):
        ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
    return ids[len(token_ids) :]


def naive_after_prefill(model, token_ids, max_tokens, cache):
    """Fills the cache, and then generates without it."""
    if max_tokens:
        model(torch.tensor(token_ids), torch.arange(len(token_ids)), cache)
    return naive(model, token_ids, max_tokens, cache)


def reset_and_all(model, token_ids, max_tokens, cache):
    """Resets the cache before each step, and computes the whole sequence again."""
    ids = list(token_ids)
    for _ in range(max_tokens):
        cache.reset()
        ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), cache)[-1].argmax()))
    return ids[len(token_ids) :]


def reset_after_each_step(model, token_ids, max_tokens, cache):
    """Right steps, with a reset after each of them."""
    ids, computed = list(token_ids), 0
    for _ in range(max_tokens):
        logits = model(torch.tensor(ids[computed:]), torch.arange(computed, len(ids)), cache)
        computed = len(ids)
        ids.append(int(logits[-1].argmax()))
        cache.reset()
    return ids[len(token_ids) :]


def own_cache(model, token_ids, max_tokens, cache):
    return generate_cached(model, token_ids, max_tokens, AddingCache())
