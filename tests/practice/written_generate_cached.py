"""Wrong answers to 02.generate_cached and 02.reuse: loops with a cache."""

import torch

from course_lib.kvcache import Recompute


def logits_of(model, ids, positions, cache):
    return model(torch.tensor(ids), torch.tensor(positions), cache)


def loop_over_all(model, token_ids, max_tokens, cache):
    ids = [*token_ids]
    while len(ids) < len(token_ids) + max_tokens:
        ids.append(logits_of(model, ids, [*range(len(ids))], cache)[-1].argmax().item())
    return ids[len(token_ids) :]


def loop_ahead(model, token_ids, max_tokens, cache):
    if not max_tokens:
        return []
    answers, place = (
        [int(logits_of(model, list(token_ids), [*range(len(token_ids))], cache)[-1].argmax())],
        len(token_ids),
    )
    while len(answers) < max_tokens:
        place += 1
        answers.append(int(logits_of(model, [answers[-1]], [place], cache)[-1].argmax()))
    return answers


def loop_always_zero(model, token_ids, max_tokens, cache):
    new, step = [], list(token_ids)
    for _ in range(max_tokens):
        new.append(int(logits_of(model, step, [*range(len(step))], cache)[-1].argmax()))
        step = [new[-1]]
    return new


def loop_of_the_new(model, token_ids, max_tokens, cache):
    new, step, places = [], list(token_ids), [*range(len(token_ids))]
    while len(new) < max_tokens:
        new += [int(logits_of(model, step, places, cache)[-1].argmax())]
        step, places = new[-1:], [len(new) - 1]
    return new


def loop_through_recompute(model, token_ids, max_tokens, cache):
    ids = list(token_ids)
    for n in range(len(ids), len(ids) + max_tokens):
        ids.append(int(logits_of(model, ids, [*range(n)], Recompute())[n - 1].argmax()))
    return ids[-max_tokens:] if max_tokens else []


def loop_with_prompt(model, token_ids, max_tokens, cache):
    return [*token_ids, *loop_right(model, token_ids, max_tokens, cache)]


def loop_right(model, token_ids, max_tokens, cache):
    ids = list(token_ids)
    for i in range(max_tokens):
        place = 0 if i == 0 else len(ids) - 1
        ids.append(int(logits_of(model, ids[place:], [*range(place, len(ids))], cache)[-1].argmax()))
    return ids[len(token_ids) :]


def loop_word_by_word(model, token_ids, max_tokens, cache):
    if max_tokens == 0:
        return []
    for place, token in enumerate(token_ids):
        row = logits_of(model, [token], [place], cache)[0]
    new = [int(row.argmax())]
    for place in range(len(token_ids), len(token_ids) + max_tokens - 1):
        new.append(int(logits_of(model, [new[-1]], [place], cache)[0].argmax()))
    return new


def loop_resets(model, token_ids, max_tokens, cache):
    new = []
    while len(new) < max_tokens:
        step = [new[-1]] if new else list(token_ids)
        start = len(token_ids) + len(new) - 1 if new else 0
        new.append(int(logits_of(model, step, [*range(start, start + len(step))], cache)[-1].argmax()))
        cache.reset()
    return new


def loop_and_one_more(model, token_ids, max_tokens, cache):
    return loop_right(model, token_ids, max_tokens + 1, cache)


def loop_into_the_prompt(model, token_ids, max_tokens, cache):
    n = len(token_ids)
    token_ids.extend(loop_right(model, token_ids, max_tokens, cache))
    return token_ids[n:]


def loop_other_ids(model, token_ids, max_tokens, cache):
    """Not a known mistake: all ids are different."""
    return [1 - (token > 0) for token in loop_right(model, token_ids, max_tokens, cache)]


def turns_without_reset(model, prompts, max_tokens, cache):
    return list(map(lambda prompt: loop_right(model, prompt, max_tokens, cache), prompts))


def turns_reset_once(model, prompts, max_tokens, cache):
    sequences = []
    for i, prompt in enumerate(prompts):
        if i == 0:
            cache.reset()
        sequences += [loop_right(model, prompt, max_tokens, cache)]
    return sequences


def turns_reset_after(model, prompts, max_tokens, cache):
    sequences = []
    while len(sequences) < len(prompts):
        try:
            sequences.append(loop_right(model, prompts[len(sequences)], max_tokens, cache))
        finally:
            cache.reset()
    return sequences


def turns_with_new_ones(model, prompts, max_tokens, cache):
    sequences = []
    for prompt in prompts:
        fresh = cache.__class__.__new__(cache.__class__)
        fresh.__init__()
        sequences.append(loop_right(model, prompt, max_tokens, fresh))
    return sequences


def turns_in_a_row(model, prompts, max_tokens, cache):
    row = []
    for prompt in prompts:
        cache.reset()
        row += loop_right(model, prompt, max_tokens, cache)
    return row


def turns_overwritten(model, prompts, max_tokens, cache):
    new = []
    for prompt in prompts:
        cache.reset()
        new = loop_right(model, prompt, max_tokens, cache)
    return new


def turns_returned_early(model, prompts, max_tokens, cache):
    sequences = []
    for prompt in prompts:
        cache.reset()
        sequences.append(loop_right(model, prompt, max_tokens, cache))
        return sequences
    return sequences


def turns_naive(model, prompts, max_tokens, cache):
    return [loop_through_recompute(model, prompt, max_tokens, None) for prompt in prompts]


def turns_backwards(model, prompts, max_tokens, cache):
    """Not a known mistake: each sequence gets one more token, 9, and is reversed."""
    sequences = []
    for prompt in prompts:
        cache.reset()
        sequences.append([9, *loop_right(model, prompt, max_tokens, cache)][::-1])
    return sequences


def loop_with_cache_in_prefill(model, token_ids, max_tokens, cache):
    new, step, at = [], list(token_ids), 0
    for turn in range(max_tokens):
        new.append(
            int(logits_of(model, step, [*range(at, at + len(step))], Recompute() if turn else cache)[-1].argmax())
        )
        step, at = new[-1:], len(token_ids) + turn
    return new


def turns_that_empty_the_prompts(model, prompts, max_tokens, cache):
    made = []
    while prompts:
        cache.reset()
        made.append(loop_right(model, prompts.pop(0), max_tokens, cache))
    return made


CASES = {
    "02.generate_cached": [
        ("get no cache", loop_with_cache_in_prefill),
        ("whole sequence is computed in every step", loop_over_all),
        ("positions are one too large", loop_ahead),
        ("is at position 0", loop_always_zero),
        ("counted from the end of the prompt", loop_of_the_new),
        ("never used", loop_through_recompute),
        ("prompt is returned too", loop_with_prompt),
        ("token by token", loop_word_by_word),
        ("reset between the steps", loop_resets),
        ("one token too many", loop_and_one_more),
        ("caller's list is changed", loop_into_the_prompt),
        (None, loop_other_ids),
    ],
    "02.reuse": [
        ("prompts are changed", turns_that_empty_the_prompts),
        ("never reset", turns_without_reset),
        ("once, before the first prompt", turns_reset_once),
        ("after each sequence", turns_reset_after),
        ("new cache for each prompt", turns_with_new_ones),
        ("into one list", turns_in_a_row),
        ("only one of the sequences", turns_overwritten),
        ("only one of the sequences", turns_returned_early),
        ("never used", turns_naive),
        (None, turns_backwards),
    ],
}
