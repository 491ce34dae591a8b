"""Wrong answers to 11.token_budget as people write them; see written_otherwise.py."""


def left(request):
    return request.num_tokens - request.num_computed_tokens


def budget_continue(running, waiting, token_budget, max_num_seqs):
    out = [(r, 1) for r in running][:token_budget]
    for w in waiting:
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
    out = []
    for r in running:
        if len(out) < token_budget:
            out.append((r, 1))
    used = 0
    if len(out) == len(running) and len(running) < token_budget:
        for w in waiting[: max_num_seqs - len(running)]:
            used += left(w)
            if used > token_budget:
                break
            out.append((w, left(w)))
    return out


def budget_limits_waiting(running, waiting, token_budget, max_num_seqs):
    out, i = [], 0
    for r in running:
        if token_budget:
            out.append((r, 1))
            token_budget -= 1
    while i < len(waiting) and i < max_num_seqs and left(waiting[i]) <= token_budget:
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
    out = [(r, 1) for r in running[:token_budget]]
    token_budget -= len(out)
    while (
        waiting
        and len(running) + len(out) - min(len(running), len(out)) < max_num_seqs
        and left(waiting[0]) <= token_budget
    ):
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
    out = [(r, 1) for r in running[:token_budget]]
    token_budget -= len(out)
    for w in waiting[: max_num_seqs - len(running)]:
        if w.num_prompt_tokens > token_budget:
            break
        out.append((w, w.num_prompt_tokens))
        token_budget -= w.num_prompt_tokens
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


CASES = {
    "11.token_budget": [
        ("smaller prompts overtake", budget_continue),
        ("counts requests", budget_of_requests),
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
