"""Wrong answers to 11.token_budget as people write them; see written_otherwise.py."""


def left(request):
    return request.num_tokens - request.num_computed_tokens


def of_running(running, token_budget):
    """The right choice of the running requests."""
    out = []
    for r in running:
        if sum(n for _, n in out) + left(r) > token_budget:
            break
        out.append((r, left(r)))
    return out


def budget_continue(running, waiting, token_budget, max_num_seqs):
    out = of_running(running, token_budget)
    for w in waiting if len(out) == len(running) else []:
        if len(out) == max_num_seqs:
            break
        if sum(n for _, n in out) + left(w) > token_budget:
            continue
        out.append((w, left(w)))
    return out


def budget_of_requests(running, waiting, token_budget, max_num_seqs):
    together = running + waiting[: max_num_seqs - len(running)]
    return [(r, left(r)) for r in together[:token_budget]]


def budget_for_waiting(running, waiting, token_budget, max_num_seqs):
    out = of_running(running, token_budget)
    used = 0
    if len(out) == len(running) and sum(n for _, n in out) < token_budget:
        for w in waiting[: max_num_seqs - len(running)]:
            used += left(w)
            if used > token_budget:
                break
            out.append((w, left(w)))
    return out


def budget_limits_waiting(running, waiting, token_budget, max_num_seqs):
    out, i = of_running(running, token_budget), 0
    token_budget -= sum(n for _, n in out)
    while len(out) == len(running) + i and i < len(waiting) and i < max_num_seqs and left(waiting[i]) <= token_budget:
        out.append((waiting[i], left(waiting[i])))
        token_budget -= left(waiting[i])
        i += 1
    return out


def budget_strict(running, waiting, token_budget, max_num_seqs):
    out = []
    for i, r in enumerate(running + waiting):
        if i >= max_num_seqs and i >= len(running) or not left(r) < token_budget:
            break
        out.append((r, left(r)))
        token_budget -= left(r)
    return out


def budget_pops(running, waiting, token_budget, max_num_seqs):
    out = of_running(running, token_budget)
    token_budget -= sum(n for _, n in out)
    while waiting and len(out) == len(running) < max_num_seqs and left(waiting[0]) <= token_budget:
        w = waiting.pop(0)
        running.append(w)
        out.append((w, left(w)))
        token_budget -= left(w)
    return out


def budget_prints(running, waiting, token_budget, max_num_seqs):
    for r in running:
        print(r, 1)
    print(waiting[:1])


def budget_gives_names(running, waiting, token_budget, max_num_seqs):
    return [(r.request_id, left(r)) for r in running + waiting if left(r) <= token_budget]


def budget_prompt_tokens(running, waiting, token_budget, max_num_seqs):
    """The whole prompt of a waiting request, also the computed part."""
    out = of_running(running, token_budget)
    token_budget -= sum(n for _, n in out)
    for w in waiting[: max_num_seqs - len(running)] if len(out) == len(running) else []:
        if w.num_tokens > token_budget:
            break
        out.append((w, w.num_tokens))
        token_budget -= w.num_tokens
    return out


def budget_one_fewer(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running:
        if token_budget >= left(r):
            out.append((r, left(r)))
            token_budget -= left(r)
    for i, w in enumerate(waiting):
        if len(running) + i + 1 >= max_num_seqs or left(w) > token_budget:
            break
        out.append((w, left(w)))
        token_budget -= left(w)
    return out


def budget_sorts(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + sorted(waiting, key=left)[: max_num_seqs - len(running)]:
        if left(r) > token_budget:
            break
        out.append((r, left(r)))
        token_budget -= left(r)
    return out


def budget_running_only(running, waiting, token_budget, max_num_seqs):
    return [(r, left(r)) for r in running][:token_budget]


def budget_decodes(running, waiting, token_budget, max_num_seqs):
    """Takes every running request for one that decodes."""
    running = running[:token_budget]
    out = [(r, 1) for r in running]
    for w in waiting[: max_num_seqs - len(running)]:
        if left(w) > token_budget - sum(n for _, n in out):
            break
        out.append((w, left(w)))
    return out


def budget_goes_on_with_waiting(running, waiting, token_budget, max_num_seqs):
    """Two loops, each with a `break` of its own."""
    out, free = [], max_num_seqs - len(running)
    for some in (running, waiting[:free]):
        for r in some:
            if left(r) > token_budget:
                break
            out.append((r, left(r)))
            token_budget -= left(r)
    return out


CASES = {
    "11.token_budget": [
        ("smaller prompts overtake", budget_continue),
        ("counts requests", budget_of_requests),
        ("overtake a running request", budget_goes_on_with_waiting),
        ("every running request computes one token", budget_decodes),
        ("tokens of running requests are not counted", budget_for_waiting),
        ("only admitted requests count", budget_limits_waiting),
        ("fits exactly waits", budget_strict),
        ("lists or the requests are changed", budget_pops),
        ("printed, not returned", budget_prints),
        (None, budget_gives_names),
        ("computed tokens of waiting requests are counted", budget_prompt_tokens),
        ("one request fewer", budget_one_fewer),
        ("shortest prompt comes first", budget_sorts),
        ("no waiting request is admitted", budget_running_only),
    ]
}
