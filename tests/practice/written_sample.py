"""Wrong answers to 01.sample."""

import torch


def sample_an_index(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    probs, ids = torch.softmax(logits / temperature, -1).sort(descending=True)
    if top_k:
        probs = probs[:top_k]
        probs = probs / probs.sum()
    if top_p:
        probs = probs[: int((probs.cumsum(0) < top_p).sum()) + 1]
        probs = probs / probs.sum()
    return int(ids[draw(probs)])


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


def sample_counts_up_to_p(logits, temperature, top_k, top_p, draw):
    """Keeps every token up to the first with which the sum is above top_p."""
    if temperature == 0:
        return int(logits.argmax())
    probs, order = (logits / temperature).softmax(-1).sort(descending=True, stable=True)
    if top_k is not None:
        probs = probs.where(torch.arange(len(probs)) < top_k, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        kept = int((probs.cumsum(-1) <= top_p).sum()) + 1
        probs = probs.where(torch.arange(len(probs)) < kept, 0.0)
    return draw(torch.zeros_like(probs).scatter(0, order, probs / probs.sum()))


CASES = {
    "01.sample": [
        ("the sum is exactly `top_p`", sample_counts_up_to_p),
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
        ("sorted order", sample_an_index),
    ]
}
