"""Answers to 01.generate: right ones written differently, and wrong ones made of parts that can each be wrong."""

import torch

from course_lib.kvcache import Recompute
from course_lib.practice.judge.exercise import Mistake

from .solutions.generate import generate


@torch.inference_mode()
def generate_as_taught(model, token_ids, max_tokens, stop_token_ids=()):
    """The loop of lesson 01, with stop tokens."""
    ids = list(token_ids)
    for _ in range(max_tokens):
        tokens = torch.tensor(ids, device=model.device)
        positions = torch.arange(len(ids), device=model.device)
        logits = model(tokens, positions, Recompute())
        ids.append(int(logits[-1].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


def generate_last_row(model, token_ids, max_tokens, stop_token_ids=()):
    """As generate_naive: it asks the model for the last row of logits only."""
    ids = list(token_ids)
    while len(ids) - len(token_ids) < max_tokens:
        last = torch.tensor([len(ids) - 1], device=model.device)
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute(), logits_for=last)
        ids.append(int(logits[0].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


def generate_new_only(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) < max_tokens and not (new and new[-1] in stop_token_ids):
        tokens = torch.tensor([*token_ids, *new])
        last = torch.tensor([len(tokens) - 1])
        new.append(model(tokens, torch.arange(len(tokens)), Recompute(), logits_for=last)[0].argmax().item())
    return new


def generate_recursively(model, token_ids, max_tokens, stop_token_ids=()):
    if max_tokens == 0:
        return []
    tokens = torch.tensor(token_ids)
    token = int(model(tokens, torch.arange(len(token_ids)), Recompute())[-1].argmax())
    if token in stop_token_ids:
        return [token]
    return [token] + generate_recursively(model, token_ids + [token], max_tokens - 1, stop_token_ids)


def loop(
    *,
    feed=lambda ids: ids,
    places=torch.arange,
    row=-1,
    steps=lambda n: n,
    stop=lambda token, ids, stops: token in stops,
    keep_stop=True,
    back=lambda ids, new: new,
    grow=True,
    pick=lambda row: int(row.argmax()),
    own=list,
):
    """A wrong answer: the right loop with one part replaced."""

    def answer(model, token_ids, max_tokens, stop_token_ids=()):
        ids, new = own(token_ids), []
        for _ in range(steps(max_tokens)):
            fed = feed(ids)
            logits = model(torch.tensor(fed), places(len(fed)), Recompute())
            token = pick(logits[row])
            over = stop(token, ids, stop_token_ids)
            if over and not keep_stop:
                break
            new.append(token)
            if grow:
                ids.append(token)
            if over:
                break
        return back(ids, new)

    return answer


def only_last(model, token_ids, max_tokens, stop_token_ids=()):
    """Computes only the newest token, at its true position, as a loop with a cache does."""
    ids = list(token_ids)
    for _ in range(max_tokens):
        ids.append(int(model(torch.tensor(ids[-1:]), torch.tensor([len(ids) - 1]), Recompute())[-1].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


def prompt_then_last(model, token_ids, max_tokens, stop_token_ids=()):
    """Computes the prompt first, and after it only the newest token."""
    ids = list(token_ids)
    for step in range(max_tokens):
        start = len(ids) - 1 if step else 0
        ids.append(int(model(torch.tensor(ids[start:]), torch.arange(start, len(ids)), Recompute())[-1].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


def stops_on_prompt(model, token_ids, max_tokens, stop_token_ids=()):
    ids = list(token_ids)
    while len(ids) < len(token_ids) + max_tokens and ids[-1] not in stop_token_ids:
        ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
    return ids[len(token_ids) :]


def stops_at_total_length(model, token_ids, max_tokens, stop_token_ids=()):
    return generate(model, token_ids, max(0, max_tokens - len(token_ids)), stop_token_ids)


def returns_at_once(model, token_ids, max_tokens, stop_token_ids=()):
    return generate(model, token_ids, min(max_tokens, 1))


def one_call_too_many(model, token_ids, max_tokens, stop_token_ids=()):
    new = generate(model, token_ids, max_tokens, stop_token_ids)
    ids = [*token_ids, *new]
    model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
    return new


def cuts_afterwards(model, token_ids, max_tokens, stop_token_ids=()):
    new = generate(model, token_ids, max_tokens)
    ends = [i for i, token in enumerate(new) if token in stop_token_ids]
    return new[: ends[0] + 1] if ends else new


def loses_digits(loop):
    """The Mistake of loops that round logits. loop: makes one whose `pick` takes the token from a row of them."""
    return Mistake(
        "logits lose digits before the largest is taken.",
        "Half precision and `round` make close logits equal, and then the lower id is taken. Compare the logits as "
        "they come.",
        (
            loop(pick=lambda row: int(row.half().argmax())),
            loop(pick=lambda row: int(row.bfloat16().argmax())),
            loop(pick=lambda row: int(row.softmax(-1).half().argmax())),
            loop(pick=lambda row: int(row.round(decimals=3).argmax())),
        ),
    )
