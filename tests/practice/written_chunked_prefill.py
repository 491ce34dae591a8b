"""Wrong answers to 11.chunked_prefill as people write them; see written_otherwise.py."""


def left(request):
    return request.num_tokens - request.num_computed_tokens


def chunk_of_nothing(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        if left(r) > token_budget:
            out.append((r, token_budget))
            break
        out.append((r, left(r)))
        token_budget -= left(r)
    return out


def chunk_of_the_whole_budget(running, waiting, token_budget, max_num_seqs):
    out = [(r, min(left(r), token_budget)) for r in running]
    for w in waiting[: max_num_seqs - len(running)]:
        out.append((w, min(left(w), token_budget)))
    return out


def chunk_of_prompts(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(r.num_prompt_tokens - r.num_computed_tokens, token_budget)
        if n > 0:
            out.append((r, n))
            token_budget -= n
    return out


def chunk_all_or_nothing(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        if left(r) > token_budget:
            break
        token_budget -= left(r)
        out.append((r, left(r)))
    return out


def chunk_decodes_one(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running:
        if token_budget > 0:
            out.append((r, 1))
            token_budget -= 1
    for w in waiting:
        if token_budget > 0 and max(len(out), len(running)) < max_num_seqs:
            n = min(left(w), token_budget)
            out.append((w, n))
            token_budget -= n
    return out


def chunk_from_the_start(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        writes = r.num_computed_tokens == r.num_tokens - 1
        n = 1 if writes else min(r.num_tokens, token_budget)
        if token_budget < 1:
            break
        out.append((r, n))
        token_budget -= n
    return out


def chunk_zeros(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in [*running, *waiting][: max(len(running), max_num_seqs)]:
        out.append((r, min(left(r), token_budget)))
        token_budget = max(0, token_budget - left(r))
    return out


def chunk_one_prompt(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running:
        n = min(left(r), token_budget)
        if n:
            out.append((r, n))
            token_budget -= n
    if waiting and token_budget and len(running) < max_num_seqs:
        out.append((waiting[0], min(left(waiting[0]), token_budget)))
    return out


def chunk_moves(running, waiting, token_budget, max_num_seqs):
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(left(r), token_budget)
        if n:
            out.append((r, n))
            r.num_computed_tokens += n
            token_budget -= n
    return out


def chunk_of_four(running, waiting, token_budget, max_num_seqs):
    """No chunk is longer than four tokens, however much is left."""
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(left(r), token_budget, 4)
        if n:
            out.append((r, n))
            token_budget -= n
    return out


def chunk_decodes_first(running, waiting, token_budget, max_num_seqs):
    """Requests that decode before prompts."""
    out = []
    for r in sorted(running, key=lambda r: left(r) > 1) + waiting[: max_num_seqs - len(running)]:
        n = min(left(r), token_budget)
        if n:
            out.append((r, n))
            token_budget -= n
    return out


def chunk_gives_up(running, waiting, token_budget, max_num_seqs):
    """Returns nothing where the running requests need more than the budget."""
    if sum(map(left, running)) > token_budget:
        return []
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(left(r), token_budget)
        if n:
            out.append((r, n))
            token_budget -= n
    return out


def chunk_of_waiting_prompts(running, waiting, token_budget, max_num_seqs):
    """The prompt of a waiting request, also where it was preempted and has output."""
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(left(r) if r in running else r.num_prompt_tokens - r.num_computed_tokens, token_budget)
        if n:
            out.append((r, n))
            token_budget -= n
    return out


CASES = {
    "11.chunked_prefill": [
        ("as a whole or not at all", chunk_all_or_nothing),
        ("one token per step", chunk_decodes_one),
        ("begins again", chunk_from_the_start),
        ("in the step with 0 tokens", chunk_zeros),
        ("only one request is admitted", chunk_one_prompt),
        ("lists or the requests are changed", chunk_moves),
        (None, chunk_of_four),
        ("that decode come before", chunk_decodes_first),
        (None, chunk_gives_up),
        ("in the step with 0 tokens", chunk_of_nothing),
        ("not reduced", chunk_of_the_whole_budget),
        ("only the prompt", chunk_of_prompts),
        ("only the prompt", chunk_of_waiting_prompts),
    ]
}
