"""Wrong answers to 01.generate."""

import torch

from course_lib.kvcache import Recompute


def generate_from_all_rows(model, token_ids, max_tokens, stop_token_ids=()):
    ids = list(token_ids)
    for _ in range(max_tokens):
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
        ids.append(int(logits.argmax()) % logits.shape[1])
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


def _next(model, ids, row=-1, positions=None):
    positions = torch.arange(len(ids)) if positions is None else positions
    return int(model(torch.tensor(ids), positions, Recompute())[row].argmax())


def generate_everything(model, token_ids, max_tokens, stop_token_ids=()):
    ids = token_ids[:]
    while len(ids) < len(token_ids) + max_tokens:
        ids += [_next(model, ids)]
        if any(ids[-1] == s for s in stop_token_ids):
            return ids
    return ids


def generate_in_place(model, token_ids, max_tokens, stop_token_ids=()):
    start = len(token_ids)
    for _ in range(max_tokens):
        token_ids.append(_next(model, token_ids))
        if token_ids[-1] in stop_token_ids:
            break
    return token_ids[start:]


def generate_while(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) <= max_tokens:
        new.append(_next(model, token_ids + new))
        if new[-1] in stop_token_ids:
            break
    return new


def generate_drops_stop(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) < max_tokens:
        token = _next(model, token_ids + new)
        if token in stop_token_ids:
            return new
        new.append(token)
    return new


def generate_ignores_stop(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    for _ in range(max_tokens):
        new.append(_next(model, token_ids + new))
    return new


def generate_newest_only(model, token_ids, max_tokens, stop_token_ids=()):
    new, last = [], token_ids[-1]
    for _ in range(max_tokens):
        last = _next(model, [last], positions=torch.tensor([len(token_ids) + len(new) - 1]))
        new.append(last)
        if last in stop_token_ids:
            break
    return new


def generate_first_row(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) < max_tokens and (not new or new[-1] not in stop_token_ids):
        new.append(_next(model, token_ids + new, row=0))
    return new


def generate_from_one(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) < max_tokens and (not new or new[-1] not in stop_token_ids):
        new.append(_next(model, token_ids + new, positions=torch.arange(len(token_ids + new)) + 1))
    return new


def generate_backwards(model, token_ids, max_tokens, stop_token_ids=()):
    return generate_ignores_stop(model, token_ids[::-1], max_tokens)


def generate_shows(model, token_ids, max_tokens, stop_token_ids=()):
    print(generate_ignores_stop(model, token_ids, max_tokens))


def generate_until_the_first_stop(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    while len(new) < max_tokens:
        ids = [*token_ids, *new]
        new.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
        if stop_token_ids and new[-1] == stop_token_ids[0]:
            break
    return new


CASES = {
    "01.generate": [
        ("only one of the stop tokens", generate_until_the_first_stop),
        ("the prompt is returned too", generate_everything),
        ("caller's list is changed", generate_in_place),
        ("one token too many", generate_while),
        ("stop token is not returned", generate_drops_stop),
        ("stop tokens are ignored", generate_ignores_stop),
        ("only the newest token", generate_newest_only),
        ("last row of logits", generate_first_row),
        ("counted from 1", generate_from_one),
        ("printed, not returned", generate_shows),
        (None, generate_backwards),
        ("last row of logits", generate_from_all_rows),
    ]
}
