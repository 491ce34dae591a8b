"""The mistakes in 11.token_budget. Each is the right answer with one part replaced."""

from itertools import takewhile

from course_lib.practice.judge.exercise import Mistake

from .solutions.token_budget import fill_budget


def bent(
    *,
    need=lambda r: r.num_tokens - r.num_computed_tokens,
    newcomers_need=None,
    cost=None,
    fits=lambda n, left: n <= left,
    skips=False,
    running_cost=True,
    running_limited=True,
    seats=lambda most, running: most - running,
    order="running",
    most_newcomers=99,
    zeros=False,
):
    """A wrong answer: the right one with a piece replaced."""

    def answer(running, waiting, token_budget, max_num_seqs):
        step, left = [], token_budget

        def take(requests, is_new):
            nonlocal left
            for request in requests:
                n = (newcomers_need or need)(request) if is_new else need(request)
                price = n if cost is None else cost
                if (is_new or running_limited) and not fits(price, left):
                    if zeros:
                        step.append((request, 0))
                    if skips:
                        continue
                    return False
                step.append((request, n))
                left -= price if is_new or running_cost else 0
            return True

        rounds = [(running, False), (waiting[: max(0, min(most_newcomers, seats(max_num_seqs, len(running))))], True)]
        for requests, is_new in rounds if order == "running" else rounds[::-1]:
            if not take(requests, is_new) and order == "running" and not skips and not zeros:
                break
        return step

    return answer


def cuts(running, waiting, token_budget, max_num_seqs):
    step = []
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        n = min(request.num_tokens - request.num_computed_tokens, token_budget)
        if n > 0:
            step.append((request, n))
            token_budget -= n
    return step


def skips_until_seats_are_full(running, waiting, token_budget, max_num_seqs):
    """Looks at the whole line for somebody who fits."""
    step = fill_budget(running, [], token_budget, max_num_seqs)
    for request in waiting:
        n, used = request.num_tokens - request.num_computed_tokens, sum(n for _, n in step)
        if len(running) + sum(r not in running for r, _ in step) < max_num_seqs and used + n <= token_budget:
            step.append((request, n))
    return step


def shortest_first(running, waiting, token_budget, max_num_seqs):
    return fill_budget(
        running, sorted(waiting, key=lambda r: r.num_tokens - r.num_computed_tokens), token_budget, max_num_seqs
    )


def not_counted_down(running, waiting, token_budget, max_num_seqs):
    """Each by itself is held to the budget."""
    needs = [(r, r.num_tokens - r.num_computed_tokens) for r in [*running, *waiting[: max_num_seqs - len(running)]]]
    return list(takewhile(lambda pair: pair[1] <= token_budget, needs))


def two_budgets(running, waiting, token_budget, max_num_seqs):
    """One budget for those who run, and as much again for those who come in."""
    step = fill_budget(running, [], token_budget, max_num_seqs)
    if len(step) < len(running) or len(step) >= token_budget:
        return step
    return step + fill_budget([], waiting, token_budget, max_num_seqs - len(running))


MISTAKES = [
    Mistake(
        "the budget counts requests.",
        "A prompt of 6 tokens costs 6, a request that writes costs 1. Take n off the budget, not 1.",
        bent(cost=1),
    ),
    Mistake(
        "those who run cost nothing.",
        "Their tokens are computed in the same step: take them off the budget before anybody comes in.",
        (bent(running_cost=False), two_budgets),
    ),
    Mistake(
        "who waits comes first.",
        "Then everybody who writes stands still when a prompt comes. Those who run go on first.",
        bent(order="waiting"),
    ),
    Mistake(
        "all tokens are computed again.",
        "Those up to num_computed_tokens have their keys and values in the cache. n is what is left.",
        bent(need=lambda r: r.num_tokens),
    ),
    Mistake(
        "only the prompt is looked at.",
        "A request that writes has a token more than its prompt, and that one is not computed: "
        "num_tokens, not num_prompt_tokens.",
        bent(need=lambda r: r.num_prompt_tokens - r.num_computed_tokens),
    ),
    Mistake(
        "what is computed of those who wait is not taken off.",
        "A prefix that was found in the cache needs no computing: "
        "n = num_tokens - num_computed_tokens, for those who wait too.",
        bent(newcomers_need=lambda r: r.num_tokens),
    ),
    Mistake(
        "smaller prompts overtake.",
        "Where one does not fit, stop: `break`, not `continue`. Otherwise a long prompt may wait for ever.",
        (bent(skips=True), skips_until_seats_are_full),
    ),
    Mistake(
        "a prompt that fits exactly waits.",
        "A budget of 8 holds 8 tokens: it fits unless n > budget.",
        bent(fits=lambda n, left: n < left),
    ),
    Mistake(
        "the budget is not counted down.", "All of them share it: take n off what is left each time.", not_counted_down
    ),
    Mistake(
        "a step may go over its budget.",
        "Look before you take: a request comes in only if all of its n tokens fit into what is left.",
        (bent(fits=lambda n, left: left > 0), bent(fits=lambda n, left: n <= left + 1)),
    ),
    Mistake(
        "those who run are not held to the budget.",
        "With a budget of 2, two of three who write go on, and the third waits a step.",
        bent(running_limited=False),
    ),
    Mistake(
        "the seats are only counted among newcomers.",
        "Those who run sit already: max_num_seqs - len(running) seats are free.",
        bent(seats=lambda most, running: most),
    ),
    Mistake(
        "the seats are not counted.",
        "No more than max_num_seqs may run at once, however much budget is left.",
        bent(seats=lambda most, running: 99),
    ),
    Mistake(
        "one seat stays empty.",
        "With max_num_seqs = 4 and one who runs, three more come in: max_num_seqs - len(running).",
        bent(seats=lambda most, running: most - running - 1),
    ),
    Mistake(
        "the shortest comes first.",
        "Who came first is next, however long its prompt is. Otherwise a long one may wait for ever.",
        shortest_first,
    ),
    Mistake(
        "nobody comes in.",
        "Behind those who run there is a second round: those who wait, as long as budget and seats last.",
        bent(most_newcomers=0),
    ),
    Mistake("one newcomer a step.", "As many come in as the budget and the seats allow.", bent(most_newcomers=1)),
    Mistake(
        "a prompt is cut.", "Not yet: here a prompt comes in whole, or waits. Cutting it is the next exercise.", cuts
    ),
    Mistake(
        "who gets nothing stands in the step with 0.",
        "A step is what is computed. Who computes no token is left out.",
        bent(zeros=True),
    ),
]
