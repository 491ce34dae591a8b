"""Wrong answers to 11.token_budget, 11.chunked_prefill and 11.priority; see written_otherwise.py."""

from course_lib.engine import Policy


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


def budget_for_newcomers(running, waiting, token_budget, max_num_seqs):
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


def budget_seats(running, waiting, token_budget, max_num_seqs):
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
    """The prompt of who waits, whatever of it is computed."""
    out = [(r, 1) for r in running[:token_budget]]
    token_budget -= len(out)
    for w in waiting[: max_num_seqs - len(running)]:
        if w.num_prompt_tokens > token_budget:
            break
        out.append((w, w.num_prompt_tokens))
        token_budget -= w.num_prompt_tokens
    return out


def budget_last_seat_empty(running, waiting, token_budget, max_num_seqs):
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


def budget_who_runs(running, waiting, token_budget, max_num_seqs):
    return [(r, left(r)) for r in running][:token_budget]


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
        n = 1 if writes else min(r.num_prompt_tokens, token_budget)
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
    """No piece is longer than four tokens, however much is left."""
    out = []
    for r in running + waiting[: max_num_seqs - len(running)]:
        n = min(left(r), token_budget, 4)
        if n:
            out.append((r, n))
            token_budget -= n
    return out


class HighestFirst(Policy):
    def key(self, request):
        return (-request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority > running.priority


class ByArrival(Policy):
    def key(self, request):
        return request.arrival

    def order(self, running):
        return sorted(running, key=lambda r: (r.priority, r.arrival))

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Polite(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        pass


class Pushy(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return not waiting.priority > running.priority


class LeastFirst(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)[::-1]

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class InPlace(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return running.sort(key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class ShortestFirst(Policy):
    def key(self, request):
        return (request.priority, request.num_prompt_tokens)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Iterates(InPlace):
    """Right but for what it returns, which is no list."""

    def order(self, running):
        return (r for r in sorted(running, key=self.key))


class OnlyTheFirst(InPlace):
    def order(self, running):
        return [min(running, key=self.key)] if running else []


class AsText(InPlace):
    def key(self, request):
        return f"{request.priority} {request.arrival}"

    def order(self, running):
        return sorted(running, key=lambda r: r.priority)


CASES = {
    "11.token_budget": [
        ("smaller prompts overtake", budget_continue),
        ("counts requests", budget_of_requests),
        ("those who run cost nothing", budget_for_newcomers),
        ("only counted among newcomers", budget_seats),
        ("fits exactly waits", budget_strict),
        ("lists or the requests are changed", budget_pops),
        ("printed, not returned", budget_prints),
        (None, budget_gives_names),
        ("of those who wait is not taken off", budget_prompt_tokens),
        ("one seat stays empty", budget_last_seat_empty),
        ("the shortest comes first", budget_sorts),
        ("nobody comes in", budget_who_runs),
    ],
    "11.chunked_prefill": [
        ("whole or not at all", chunk_all_or_nothing),
        ("one token a step", chunk_decodes_one),
        ("begins again", chunk_from_the_start),
        ("in the step with 0", chunk_zeros),
        ("one newcomer a step", chunk_one_prompt),
        ("lists or the requests are changed", chunk_moves),
        (None, chunk_of_four),
        ("in the step with 0", chunk_of_nothing),
        ("not counted down", chunk_of_the_whole_budget),
        ("only the prompt", chunk_of_prompts),
    ],
    "11.priority": [
        ("turned round", HighestFirst),
        ("come in as they came", ByArrival),
        ("who runs is never thrown out", Polite),
        ("equals throw each other", Pushy),
        ("most important of those who run is thrown out", LeastFirst),
        ("`order` gives nothing back", InPlace),
        (None, ShortestFirst),
        (None, Iterates),
        (None, OnlyTheFirst),
        (None, AsText),
    ],
}
