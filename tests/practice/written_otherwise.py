"""Wrong answers as people write them, not as the cases do: the diagnosis goes by what they do.

CASES: {exercise id: [(words of the mistake's name, wrong answer)]}; a name of None means that
no known mistake is made, and that none may be named.
"""

import random

import torch

from course_lib.kvcache import Recompute

OPENING = "Once upon a time, in a quiet harbour, there lived a patient otter named "


def hello_shows(name):
    print(OPENING, name, ".", sep="")


def hello_without_stop(name):
    return OPENING + str(name)


def hello_always_mia(name):
    name = "Mia"
    return OPENING + name + "."


def hello_without_f(name):
    return "Once upon a time, in a quiet harbour, there lived a patient otter named {name}."


def hello_tidies(name):
    return f"{OPENING}{name[0].upper() + name[1:].lower()}."


def hello_line(name):
    return "".join([OPENING, name, ".", "\n"])


def hello_quotes(name):
    return f"{OPENING}{name!r}."


def hello_misspelt(name):
    return f"{OPENING.replace('harbour', 'harbor')}{name}."


def greedy_smallest(logits):
    return min(range(len(logits)), key=lambda i: logits[i])


def greedy_magnitude(logits):
    return int((logits ** 2).argmax())


def greedy_tensor(logits):
    return torch.max(logits, 0).indices


def greedy_or_equal(logits):
    best = 0
    for i, x in enumerate(logits):
        if x >= logits[best]:
            best = i
    return best


def greedy_score(logits):
    return float(sorted(logits.tolist())[-1])


def greedy_draws(logits):
    return random.choices(range(len(logits)), logits.softmax(-1).tolist())[0]


def greedy_draws_torch(logits):
    return torch.distributions.Categorical(logits=logits).sample().item()


def greedy_from_one(logits):
    return [*enumerate(logits.tolist(), 1)][greedy_right(logits)][0]


def greedy_right(logits):
    return int(logits.argmax())


def greedy_second(logits):
    return int(logits.argsort(descending=True)[min(1, len(logits) - 1)])


def greedy_spoils(logits):
    best = int(logits.argmax())
    logits[best] = float("-inf")
    return best


def sample_usual(logits, temperature, top_k, top_p, draw):
    """The cut that everybody writes first: everything after the sum passes top_p."""
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


def generate_deaf(model, token_ids, max_tokens, stop_token_ids=()):
    new = []
    for _ in range(max_tokens):
        new.append(_next(model, token_ids + new))
    return new


def generate_short_sighted(model, token_ids, max_tokens, stop_token_ids=()):
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
    return generate_deaf(model, token_ids[::-1], max_tokens)


def work_once(prompt_tokens, new_tokens):
    scores = 0
    for length in range(prompt_tokens, prompt_tokens + new_tokens):
        scores += sum(range(1, length + 1))
    return new_tokens, scores


def work_ahead(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(1, new_tokens + 1)]
    return sum(lengths), sum(m * (m + 1) // 2 for m in lengths)


def work_square(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m ** 2 for m in lengths)


def work_strict(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(sum(range(m)) for m in lengths)


def work_divided(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m * (m + 1) / 2 for m in lengths)


def work_flat(prompt_tokens, new_tokens):
    return prompt_tokens * new_tokens, new_tokens * sum(range(1, prompt_tokens + 1))


def work_guess(prompt_tokens, new_tokens):
    return prompt_tokens + 7 * new_tokens, 3


CASES = {
    "00.hello": [
        ("printed, not returned", hello_shows), ("full stop", hello_without_stop), ("name that is passed is not used", hello_always_mia),
        ("before the quotes is missing", hello_without_f), ("capitals are changed", hello_tidies), ("white space", hello_line),
        ("stands in quotes", hello_quotes), (None, hello_misspelt),
    ],
    "01.greedy": [
        ("smallest logit", greedy_smallest), ("sign is lost", greedy_magnitude), ("a tensor is returned", greedy_tensor),
        ("last of the equals", greedy_or_equal), ("largest value is returned", greedy_score), ("drawn at random", greedy_draws),
        ("drawn at random", greedy_draws_torch), ("counted from 1", greedy_from_one), (None, greedy_second), (None, greedy_spoils),
    ],
    "01.sample": [
        ("drops the token that crosses", sample_usual), ("multiplied by the temperature", sample_times), ("temperature of 0", sample_no_zero),
        ("one token too many", sample_k_and_one), ("measured before `top_k`", sample_p_first), ("sorted order", sample_sorted),
        ("more tokens than there are", sample_topk_plain), ("does not sum to 1", sample_not_to_one), (None, sample_uniform),
    ],
    "01.generate": [
        ("the prompt is returned too", generate_everything), ("caller's list is changed", generate_in_place), ("one token too many", generate_while),
        ("stop token is dropped", generate_drops_stop), ("stop tokens are not looked at", generate_deaf),
        ("only the newest token", generate_short_sighted), ("first row", generate_first_row), ("counted from 1", generate_from_one),
        (None, generate_backwards),
    ],
    "01.count_work": [
        ("each token is counted once", work_once), ("one token longer", work_ahead), ("whole square", work_square),
        ("diagonal is forgotten", work_strict), ("numbers are floats", work_divided), ("as long as the prompt", work_flat), (None, work_guess),
    ],
}
