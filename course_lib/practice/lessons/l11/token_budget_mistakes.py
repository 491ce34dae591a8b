"""The mistakes in 11.token_budget. Each is the right answer with one part replaced."""

from itertools import takewhile

from course_lib.practice.judge.exercise import Mistake

from .solutions.token_budget import fill_budget


def bent(
    *,
    need=lambda r: r.num_tokens - r.num_computed_tokens,
    newcomers_need=None,
    running_need=None,
    cost=None,
    fits=lambda n, left: n <= left,
    running_fits=None,
    skips=False,
    running_cost=True,
    running_limited=True,
    free=lambda most, running: most - running,
    order="running",
    most_newcomers=99,
    zeros=False,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(running, waiting, token_budget, max_num_seqs):
        step, left = [], token_budget

        def take(requests, is_new):
            nonlocal left
            for request in requests:
                n = ((newcomers_need if is_new else running_need) or need)(request)
                price = n if cost is None else cost
                if (is_new or running_limited) and not ((not is_new and running_fits) or fits)(price, left):
                    if zeros:
                        step.append((request, 0))
                    if skips is True or skips == "waiting" and is_new:
                        continue
                    return False
                step.append((request, n))
                left -= price if is_new or running_cost else 0
            return True

        rounds = [(running, False), (waiting[: max(0, min(most_newcomers, free(max_num_seqs, len(running))))], True)]
        for requests, is_new in rounds if order == "running" else rounds[::-1]:
            if not take(requests, is_new) and order == "running" and skips is not True and not zeros:
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


def skips_until_max_num_seqs_run(running, waiting, token_budget, max_num_seqs):
    """Goes through the whole list for requests that fit."""
    step = fill_budget(running, [], token_budget, max_num_seqs)
    for request in waiting if len(step) == len(running) else ():
        n, used = request.num_tokens - request.num_computed_tokens, sum(n for _, n in step)
        if len(running) + sum(r not in running for r, _ in step) < max_num_seqs and used + n <= token_budget:
            step.append((request, n))
    return step


def shortest_first(running, waiting, token_budget, max_num_seqs):
    return fill_budget(
        running, sorted(waiting, key=lambda r: r.num_tokens - r.num_computed_tokens), token_budget, max_num_seqs
    )


def not_counted_down(running, waiting, token_budget, max_num_seqs):
    """Compares each request alone with the budget."""
    needs = [(r, r.num_tokens - r.num_computed_tokens) for r in [*running, *waiting[: max_num_seqs - len(running)]]]
    return list(takewhile(lambda pair: pair[1] <= token_budget, needs))


def two_budgets(running, waiting, token_budget, max_num_seqs):
    """One budget for running requests, and another of the same size for admitted ones."""
    step = fill_budget(running, [], token_budget, max_num_seqs)
    if len(step) < len(running) or len(step) >= token_budget:
        return step
    return step + fill_budget([], waiting, token_budget, max_num_seqs - len(running))


def admits_anyway(running, waiting, token_budget, max_num_seqs):
    """A running request that does not fit ends the running ones, and waiting requests get what is left."""
    step = fill_budget(running, [], token_budget, max_num_seqs)
    left = token_budget - sum(n for _, n in step)
    return step + fill_budget([], waiting, left, max_num_seqs - len(running))


def skips_running(running, waiting, token_budget, max_num_seqs):
    """Leaves out the running requests that do not fit, and goes on."""
    step = []
    for request in running:
        n = request.num_tokens - request.num_computed_tokens
        if n <= token_budget:
            step.append((request, n))
            token_budget -= n
    return step + fill_budget([], waiting, token_budget, max_num_seqs - len(running))


MISTAKES = [
    Mistake(
        "the budget counts requests.",
        "A prompt of 6 tokens costs 6, a request that decodes costs 1. Subtract n from the budget, not 1.",
        bent(cost=1),
    ),
    Mistake(
        "the tokens of running requests are not counted.",
        "They are computed in the same step: subtract them from the budget before requests are admitted.",
        (bent(running_cost=False), two_budgets),
    ),
    Mistake(
        "waiting requests come first.",
        "Then all requests that decode pause when a prompt arrives. Running requests come first.",
        bent(order="waiting"),
    ),
    Mistake(
        "all tokens are computed again.",
        "The first num_computed_tokens have their keys and values in the cache. n is the number of the other tokens.",
        bent(need=lambda r: r.num_tokens),
    ),
    Mistake(
        "every running request computes one token.",
        "That is right for one that decodes. n is the number of tokens that are not computed, whatever the request "
        "does: num_tokens - num_computed_tokens.",
        (bent(running_need=lambda r: 1), bent(running_need=lambda r: 1 if r.num_computed_tokens else r.num_tokens)),
    ),
    Mistake(
        "other requests overtake a running request that does not fit.",
        "The first request that does not fit ends the whole step: return what was chosen so far.",
        (admits_anyway, skips_running),
    ),
    Mistake(
        "only the prompt tokens are counted.",
        "A request that decodes has one token more than its prompt, and one that was preempted waits with its output: "
        "num_tokens, not num_prompt_tokens.",
        (
            bent(need=lambda r: r.num_prompt_tokens - r.num_computed_tokens),
            bent(newcomers_need=lambda r: r.num_prompt_tokens - r.num_computed_tokens),
        ),
    ),
    Mistake(
        "computed tokens of waiting requests are counted.",
        "A prefix that was found in the cache is not computed again: n = num_tokens - num_computed_tokens, for "
        "waiting requests too.",
        bent(newcomers_need=lambda r: r.num_tokens),
    ),
    Mistake(
        "smaller prompts overtake.",
        "Stop at the first prompt that does not fit: `break`, not `continue`. Otherwise a long prompt may wait "
        "for ever.",
        (bent(skips=True), bent(skips="waiting"), skips_until_max_num_seqs_run),
    ),
    Mistake(
        "a prompt that fits exactly waits.",
        "A budget of 8 allows 8 tokens: a prompt fits unless n > budget.",
        (
            bent(fits=lambda n, left: n < left),
            bent(fits=lambda n, left: n < left, running_fits=lambda n, left: n <= left),
        ),
    ),
    Mistake(
        "a running request whose tokens fit exactly is left out.",
        "A budget of 1 allows 1 token: a request fits unless n > budget.",
        bent(running_fits=lambda n, left: n < left),
    ),
    Mistake(
        "the budget is not reduced.",
        "All requests share the budget: subtract n from what is left each time.",
        not_counted_down,
    ),
    Mistake(
        "a step may go over its budget.",
        "Compare first: a request is admitted only if all of its n tokens fit into what is left.",
        (bent(fits=lambda n, left: left > 0), bent(fits=lambda n, left: n <= left + 1)),
    ),
    Mistake(
        "the budget does not limit running requests.",
        "With a budget of 2, two of three requests that decode go on, and the third waits for one step.",
        bent(running_limited=False),
    ),
    Mistake(
        "only admitted requests count towards max_num_seqs.",
        "Running requests count too: max_num_seqs - len(running) more may run.",
        bent(free=lambda most, running: most),
    ),
    Mistake(
        "max_num_seqs is not checked.",
        "At most max_num_seqs requests may run at once, however much budget is left.",
        bent(free=lambda most, running: 99),
    ),
    Mistake(
        "one request more than max_num_seqs runs.",
        "With max_num_seqs = 1 one request runs. Stop when as many run, and not one later.",
        bent(free=lambda most, running: most - running + 1),
    ),
    Mistake(
        "one request fewer than max_num_seqs runs.",
        "With max_num_seqs = 4 and one running request, three more are admitted: max_num_seqs - len(running).",
        bent(free=lambda most, running: most - running - 1),
    ),
    Mistake(
        "the shortest prompt comes first.",
        "The request that arrived first is next, however long its prompt is. Otherwise a long prompt may wait for "
        "ever.",
        shortest_first,
    ),
    Mistake(
        "no waiting request is admitted.",
        "After the running requests, go through the waiting ones, as long as the budget and max_num_seqs allow.",
        bent(most_newcomers=0),
    ),
    Mistake(
        "only one request is admitted in a step.",
        "Admit as many requests as the budget and max_num_seqs allow.",
        bent(most_newcomers=1),
    ),
    Mistake(
        "a prompt is computed in chunks.",
        "Here a prompt is computed as a whole, or waits. Chunks are the next exercise.",
        cuts,
    ),
    Mistake(
        "a request is in the step with 0 tokens.",
        "A step holds what is computed. Leave out a request that computes no token.",
        bent(zeros=True),
    ),
]
