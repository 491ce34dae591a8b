"""Wrong answers to lesson 15 as people write them; see written_otherwise.py. RIGHT: other right ones."""

import torch

# --- 15.accept


def accept_in_numpy_style(target, draft, drafted, chances):
    ratios = [min(1.0, target[i][t] / draft[i][t]) for i, t in enumerate(drafted)]
    rejected = [i for i, (r, c) in enumerate(zip(ratios, chances)) if c >= r]
    return rejected[0] if rejected else len(drafted)


def accept_recursive(target, draft, drafted, chances):
    if not drafted or chances[0] * draft[0][drafted[0]] >= target[0][drafted[0]]:
        return 0
    return 1 + accept_recursive(target[1:], draft[1:], drafted[1:], chances[1:])


def accept_counts_all(target, draft, drafted, chances):
    count = 0
    for i in range(len(drafted)):
        if chances[i] < target[i][drafted[i]] / draft[i][drafted[i]]:
            count += 1
    return count


def accept_with_max(target, draft, drafted, chances):
    for i, t in enumerate(drafted):
        if chances[i] >= max(1.0, target[i][t] / draft[i][t]):
            return i
    return len(drafted)


def accept_pops(target, draft, drafted, chances):
    count = 0
    while drafted and chances.pop(0) < target[count][drafted[0]] / draft[count][drafted.pop(0)]:
        count += 1
    return count


# --- 15.rejection_sample


def sample_by_running_total(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    weights = list(target[n])
    if n < len(drafted):
        weights = [w - min(w, d) for w, d in zip(weights, draft[n])]
    threshold, token = last * sum(weights), -1
    while threshold >= 0:
        token += 1
        threshold -= weights[token]
    return [*drafted[:n], token]


def sample_from_p(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    return [*drafted[:n], draw(target[n], last)]


def draw(weights, last):
    total, threshold = 0.0, last * sum(weights)
    for token, weight in enumerate(weights):
        total += weight
        if total > threshold:
            return token
    raise ValueError("no token")


def sample_masked(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    weights = list(target[n])
    if n < len(drafted):
        weights[drafted[n]] = 0.0
    return [*drafted[:n], draw(weights, last)]


def sample_no_bonus(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    if n == len(drafted) and n > 0:
        return list(drafted)
    return sample_by_running_total(target, draft, drafted, chances, last)


def sample_no_scale(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    weights = target[n] if n == len(drafted) else [max(0, a - b) for a, b in zip(target[n], draft[n])]
    total = 0.0
    for token, weight in enumerate(weights):
        total += weight
        if total > last:
            return [*drafted[:n], token]
    return [*drafted[:n], len(weights) - 1]


def sample_appends(target, draft, drafted, chances, last):
    n = accept_recursive(target, draft, drafted, chances)
    token = sample_by_running_total(target, draft, drafted, chances, last)[-1]
    del drafted[n:]
    drafted.append(token)
    return drafted


# --- 15.ngram


def propose_by_strings(token_ids, k, longest, shortest):
    size = len(token_ids)
    for n in range(min(longest, size - 1), shortest - 1, -1):
        starts = [i for i in range(size - n) if token_ids[i : i + n] == token_ids[size - n :]]
        if starts:
            return token_ids[starts[-1] + n :][:k]
    return []


def propose_first(token_ids, k, longest, shortest):
    size = len(token_ids)
    for n in range(min(longest, size - 1), shortest - 1, -1):
        for i in range(size - n):
            if token_ids[i : i + n] == token_ids[size - n :]:
                return token_ids[i + n : i + n + k]
    return []


def propose_itself(token_ids, k, longest, shortest):
    for n in range(longest, shortest - 1, -1):
        for i in range(len(token_ids) - n, -1, -1):
            if token_ids[i : i + n] == token_ids[-n:]:
                return token_ids[i + n : i + n + k]
    return []


def propose_run_too(token_ids, k, longest, shortest):
    size = len(token_ids)
    for n in range(min(longest, size - 1), shortest - 1, -1):
        for i in range(size - n - 1, -1, -1):
            if token_ids[i : i + n] == token_ids[size - n :]:
                return token_ids[i : i + k]
    return []


# --- 15.verify_step


def verify_by_while(model, cache, newest, drafted):
    held = cache.num_tokens
    ids = torch.tensor([newest, *drafted])
    best = model(ids, torch.arange(held, held + len(ids)), cache).argmax(dim=-1)
    n = 0
    for n in range(len(drafted) + 1):
        if n == len(drafted) or int(best[n]) != drafted[n]:
            break
    cache.shrink(held + n + 1)
    return [int(x) for x in best[: n + 1]]


def verify_keeps_all(model, cache, newest, drafted):
    held = cache.num_tokens
    ids = torch.tensor([newest, *drafted])
    best = model(ids, torch.arange(held, held + len(ids)), cache).argmax(dim=-1).tolist()
    new = []
    for guess, token in zip([*drafted, None], best):
        new.append(token)
        if guess != token:
            break
    return new


def verify_drops_newest(model, cache, newest, drafted):
    held = cache.num_tokens
    new = verify_keeps_all(model, cache, newest, drafted)
    cache.shrink(held + len(new) - 1)
    return new


def verify_last_row(model, cache, newest, drafted):
    held = cache.num_tokens
    ids = torch.tensor([newest, *drafted])
    best = model(ids, torch.arange(held, held + len(ids)), cache).argmax(dim=-1).tolist()
    n = 0
    while n < len(drafted) and drafted[n] == best[n]:
        n += 1
    cache.shrink(held + n + 1)
    return [*drafted[:n], best[-1]]


def verify_from_zero(model, cache, newest, drafted):
    held = cache.num_tokens
    ids = torch.tensor([newest, *drafted])
    best = model(ids, torch.arange(len(ids)), cache).argmax(dim=-1).tolist()
    n = 0
    while n < len(drafted) and drafted[n] == best[n]:
        n += 1
    cache.shrink(held + n + 1)
    return best[: n + 1]


def verify_each(model, cache, newest, drafted):
    new, token = [], newest
    for guess in [*drafted, None]:
        row = model(torch.tensor([token]), torch.tensor([cache.num_tokens]), cache)[0]
        token = int(row.argmax())
        new.append(token)
        if token != guess:
            return new


# --- 15.when_it_pays


def best_by_sorting(acceptance, draft_cost, verify_costs):
    def gain(k):
        return sum(acceptance**i for i in range(k + 1)) / (k * draft_cost + verify_costs[k])

    k = sorted(range(len(verify_costs)), key=lambda k: (-gain(k), k))[0]
    return k, gain(k)


def best_linear(acceptance, draft_cost, verify_costs):
    gains = [(1 + k * acceptance) / (k * draft_cost + cost) for k, cost in enumerate(verify_costs)]
    return gains.index(max(gains)), max(gains)


def best_greedy(acceptance, draft_cost, verify_costs):
    k, best = 0, 1.0
    while k + 1 < len(verify_costs):
        gain = sum(acceptance**i for i in range(k + 2)) / ((k + 1) * draft_cost + verify_costs[k + 1])
        if gain <= best:
            break
        k, best = k + 1, gain
    return k, best


def best_one_draft_run(acceptance, draft_cost, verify_costs):
    gains = [
        sum(acceptance**i for i in range(k + 1)) / (draft_cost * (k > 0) + cost) for k, cost in enumerate(verify_costs)
    ]
    return gains.index(max(gains)), max(gains)


def best_closed(acceptance, draft_cost, verify_costs):
    a = acceptance
    gains = [(1 - a ** (k + 1)) / (1 - a) / (k * draft_cost + cost) for k, cost in enumerate(verify_costs)]
    return gains.index(max(gains)), max(gains)


def best_from_one(acceptance, draft_cost, verify_costs):
    best = (0, 0.0)
    for k in range(1, len(verify_costs)):
        gain = sum(acceptance**i for i in range(k + 1)) / (k * draft_cost + verify_costs[k])
        if gain > best[1]:
            best = (k, gain)
    return best


RIGHT = {
    "15.accept": [accept_in_numpy_style, accept_recursive],
    "15.rejection_sample": [sample_by_running_total],
    "15.ngram": [propose_by_strings],
    "15.verify_step": [verify_by_while],
    "15.when_it_pays": [best_by_sorting],
}
CASES = {
    "15.accept": [
        ("all accepted drafts are counted", accept_counts_all),
        ("every draft is accepted", accept_with_max),
        ("caller's lists are changed", accept_pops),
    ],
    "15.rejection_sample": [
        ("filled from p", sample_from_p),
        ("only the rejected token itself", sample_masked),
        ("nothing follows", sample_no_bonus),
        ("not divided by its sum", sample_no_scale),
        ("caller's lists are changed", sample_appends),
    ],
    "15.ngram": [
        ("earliest run", propose_first),
        ("their own place", propose_itself),
        ("begins with the run itself", propose_run_too),
    ],
    "15.verify_step": [
        ("keeps the rejected drafts", verify_keeps_all),
        ("newest token is not kept", verify_drops_newest),
        ("taken from the last row", verify_last_row),
        ("begin at 0", verify_from_zero),
        ("one run is made for each token", verify_each),
    ],
    "15.when_it_pays": [
        ("every accepted draft counts", best_linear),
        ("stops at the first k that is worse", best_greedy),
        ("the draft runs once", best_one_draft_run),
        ("divides by zero", best_closed),
        ("no speculation is not tried", best_from_one),
    ],
}
