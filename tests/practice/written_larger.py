"""The part of written_otherwise.py for 01.sample and 01.generate."""

import torch

from course_lib.kvcache import Recompute


def sample_usual(logits, temperature, top_k, top_p, draw):
    """A common first attempt: cuts every token where the sum is above top_p."""
    if temperature == 0:
        return logits.argmax().item()
    probs, order = torch.softmax(logits / temperature, -1).sort(descending=True)
    if top_k:
        probs[top_k:] = 0
        probs /= probs.sum()
    if top_p:
        probs[torch.cumsum(probs, 0) > top_p] = 0
    probs /= probs.sum()
    out = torch.zeros_like(probs)
    out[order] = probs
    return draw(out)


def sample_times(logits, temperature, top_k, top_p, draw):
    logits = logits * temperature
    if temperature == 0:
        return int(logits.argmax())
    return _cut_and_draw(logits.softmax(-1), top_k, top_p, draw)


def sample_no_zero(logits, temperature, top_k, top_p, draw):
    return _cut_and_draw((logits / temperature).softmax(-1), top_k, top_p, draw)


def sample_k_and_one(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    return _cut_and_draw((logits / temperature).softmax(-1), top_k and top_k + 1, top_p, draw)


def sample_p_first(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    held = []
    _cut_and_draw((logits / temperature).softmax(-1), None, top_p, held.append)
    return _cut_and_draw(held[0], top_k, None, draw)


def sample_sorted(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    return _cut_and_draw((logits / temperature).softmax(-1).sort(descending=True)[0], top_k, top_p, draw)


def sample_topk_plain(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    logits = logits / temperature
    if top_k is not None:
        values, places = logits.topk(top_k)
        logits = torch.full_like(logits, -torch.inf).scatter(0, places, values)
    return _cut_and_draw(logits.softmax(-1), None, top_p, draw)


def sample_not_to_one(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    probs = (logits / temperature).softmax(-1)
    ranks = probs.argsort(descending=True).argsort()
    if top_k is not None:
        probs = torch.where(ranks < top_k, probs, 0.0)
    return draw(probs) if top_p is None else _cut_and_draw(probs / probs.sum(), None, top_p, draw)


def sample_uniform(logits, temperature, top_k, top_p, draw):
    return draw(torch.full_like(logits, 1 / len(logits)))


def sample_not_between(logits, temperature, top_k, top_p, draw):
    """Top-k first, which is right, and then top-p of probabilities that do not sum to 1 any more."""
    if temperature == 0:
        return int(logits.argmax())
    probs, order = (logits / temperature).softmax(-1).sort(descending=True)
    if top_k is not None:
        probs[top_k:] = 0
    if top_p is not None:
        probs[probs.cumsum(-1) - probs >= top_p] = 0
    out = torch.zeros_like(probs)
    out[order] = probs / probs.sum()
    return draw(out)


def sample_multinomial(logits, temperature, top_k, top_p, draw):
    return _sample_right(logits, temperature, top_k, top_p, lambda probs: int(torch.multinomial(probs, 1)))


def sample_multinomial_tensor(logits, temperature, top_k, top_p, draw):
    return _sample_right(logits, temperature, top_k, top_p, lambda probs: torch.multinomial(probs, 1))


def sample_forgets(logits, temperature, top_k, top_p, draw):
    _sample_right(logits, temperature, top_k, top_p, draw)


def sample_divides_in_place(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    logits /= temperature
    return _cut_and_draw(logits.softmax(-1), top_k, top_p, draw)


def sample_masks_in_place(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    if top_k is not None and top_k < len(logits):
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    return _cut_and_draw((logits / temperature).softmax(-1), None, top_p, draw)


def _sample_right(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    return _cut_and_draw((logits / temperature).softmax(-1), top_k, top_p, draw)


def _cut_and_draw(probs, top_k, top_p, draw):
    order = sorted(range(len(probs)), key=lambda i: -probs[i].item())[:top_k]
    total, mass, kept = sum(probs[i] for i in order), 0.0, []
    for i in order:
        kept.append(i)
        mass += probs[i] / total
        if top_p is not None and mass >= top_p:
            break
    out = torch.zeros_like(probs)
    out[kept] = probs[kept] / probs[kept].sum()
    return draw(out)


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


CASES = {
    "01.sample": [
        ("drops the token that crosses", sample_usual),
        ("multiplied by the temperature", sample_times),
        ("temperature of 0", sample_no_zero),
        ("one token too many", sample_k_and_one),
        ("before the tokens that `top_k` kept sum to 1", sample_p_first),
        ("before the tokens that `top_k` kept sum to 1", sample_not_between),
        ("sorted order", sample_sorted),
        ("more tokens than there are", sample_topk_plain),
        ("do not sum to 1", sample_not_to_one),
        (None, sample_uniform),
        ("drawn without `draw`", sample_multinomial),
        ("drawn without `draw`", sample_multinomial_tensor),
        ("nothing is returned", sample_forgets),
        ("logits are changed", sample_divides_in_place),
        ("logits are changed", sample_masks_in_place),
    ],
    "01.generate": [
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
    ],
}
