"""The mistakes in 11.chunked_prefill. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake

from .solutions.token_budget import fill_budget


def bent(
    *,
    need=lambda r: r.num_tokens - r.num_computed_tokens,
    chunk=min,
    running_need=None,
    running_cost=True,
    stops=True,
    most_newcomers=99,
    order="running",
    free=lambda most, running: most - running,
    limited=True,
):
    """A wrong answer: the right one with one part replaced. chunk(n, left): the tokens for a request that needs n."""

    def answer(running, waiting, token_budget, max_num_seqs):
        step, left = [], token_budget
        newcomers = waiting[: max(0, min(most_newcomers, free(max_num_seqs, len(running))))]
        for request in [*running, *newcomers] if order == "running" else [*newcomers, *running]:
            runs = request in running
            n = (running_need or need)(request) if runs else need(request)
            n = n if runs and not limited else chunk(n, left)
            if n <= 0 and stops:
                break
            step.append((request, n))
            left -= n if running_cost or not runs else 0
        return step

    return answer


def equal_shares(running, waiting, token_budget, max_num_seqs):
    line = [*running, *waiting[: max_num_seqs - len(running)]]
    share = max(1, token_budget // max(1, len(line)))
    step = []
    for request in line:
        n = min(request.num_tokens - request.num_computed_tokens, share, token_budget)
        if n == 0:
            break
        step.append((request, n))
        token_budget -= n
    return step


def whole_before_cut(running, waiting, token_budget, max_num_seqs):
    """Requests that fit as a whole come first; what is left goes to the first that does not."""
    step, cut = [], None
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        n = request.num_tokens - request.num_computed_tokens
        if n <= token_budget:
            step.append((request, n))
            token_budget -= n
        elif cut is None:
            cut = request
    return [*step, (cut, token_budget)] if cut is not None and token_budget else step


def one_zero(running, waiting, token_budget, max_num_seqs):
    """Stops only after a request was given 0 tokens."""
    step = []
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        n = request.num_tokens - request.num_computed_tokens
        step.append((request, min(n, token_budget)))
        if n > token_budget:
            break
        token_budget -= n
    return step


def prompts_only(running, waiting, token_budget, max_num_seqs):
    step = []
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        n = min(request.num_prompt_tokens - request.num_computed_tokens, token_budget)
        if n > 0:
            step.append((request, n))
            token_budget -= n
    return step


def not_counted_down(running, waiting, token_budget, max_num_seqs):
    """Limits each request alone to the budget."""
    return [
        (r, min(r.num_tokens - r.num_computed_tokens, token_budget))
        for r in [*running, *waiting[: max_num_seqs - len(running)]]
    ]


def restarts(running, waiting, token_budget, max_num_seqs):
    """The rest of a prompt begins again at its first token."""
    step = []
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        rest = request.num_tokens - request.num_computed_tokens
        n = min(rest if rest == 1 else request.num_tokens, token_budget)
        if n == 0:
            break
        step.append((request, n))
        token_budget -= n
    return step


def fewest_first(running, waiting, token_budget, max_num_seqs):
    """The running requests with the fewest tokens come first."""
    by_need = sorted(running, key=lambda r: r.num_tokens - r.num_computed_tokens)
    return bent()(by_need, waiting, token_budget, max_num_seqs)


def uncut_running(running, waiting, token_budget, max_num_seqs):
    """A running request whose tokens do not all fit ends the step."""
    step = []
    for request in running:
        n = request.num_tokens - request.num_computed_tokens
        if n > token_budget:
            return step
        step.append((request, n))
        token_budget -= n
    return step + bent()([], waiting, token_budget, max_num_seqs - len(running))


def lost_step(running, waiting, token_budget, max_num_seqs):
    """Returns an empty step where the budget ends within the running requests."""
    step = bent()(running, waiting, token_budget, max_num_seqs)
    return step if len(step) >= len(running) else []


MISTAKES = [
    Mistake(
        "running requests that decode come before those that compute the rest of a prompt.",
        "All running requests are served in their order, whatever they do.",
        fewest_first,
    ),
    Mistake(
        "a running request that does not fit gets no tokens.",
        "A running request is cut like a waiting one: it gets min(n, token_budget).",
        uncut_running,
    ),
    Mistake(
        "the whole step is lost when the budget ends.",
        "The requests before it have their tokens: return what was chosen so far.",
        lost_step,
    ),
    Mistake(
        "a prompt is computed as a whole or not at all.",
        "That was the last exercise. Here the request that does not fit gets what is left: min(n, token_budget).",
        fill_budget,
    ),
    Mistake(
        "a prompt that is computed in part begins again.",
        "Its first num_computed_tokens are in the cache. n = num_tokens - num_computed_tokens, for running "
        "requests too.",
        (restarts, bent(need=lambda r: r.num_tokens)),
    ),
    Mistake(
        "the rest of a prompt gets one token per step.",
        "A running request may still have many prompt tokens to compute. There is no prefill mode and no decode "
        "mode: n is the number of tokens that are not computed, for each request.",
        bent(running_need=lambda r: 1),
    ),
    Mistake(
        "the budget does not limit the rest of a prompt.",
        "A running request may need more than the budget too: min(n, token_budget) in both cases.",
        bent(limited=False),
    ),
    Mistake(
        "the tokens of running requests are not counted.",
        "They are computed in the same step, so subtract them from the budget first.",
        bent(running_cost=False),
    ),
    Mistake(
        "the budget is not reduced.",
        "All requests share the budget: subtract n from what is left each time.",
        not_counted_down,
    ),
    Mistake(
        "only the prompt tokens are counted.",
        "A request that decodes has one token more than its prompt, and one that was preempted waits with its output: "
        "num_tokens, not num_prompt_tokens.",
        (
            prompts_only,
            bent(need=lambda r: r.num_prompt_tokens - r.num_computed_tokens),
            bent(
                need=lambda r: r.num_prompt_tokens - r.num_computed_tokens,
                running_need=lambda r: r.num_tokens - r.num_computed_tokens,
            ),
        ),
    ),
    Mistake(
        "every chunk is as long as the budget.",
        "The last chunk is shorter: no more tokens than the request has left, min(n, token_budget).",
        bent(chunk=lambda n, left: left if n > 1 else min(n, left)),
    ),
    Mistake(
        "waiting requests come first.",
        "Then a long prompt takes the whole step, and all requests that decode pause.",
        bent(order="waiting"),
    ),
    Mistake(
        "a request is in the step with 0 tokens.",
        "When the budget is used up, stop. Leave out a request that computes no token.",
        (bent(stops=False), one_zero),
    ),
    Mistake(
        "the budget is divided equally.",
        "Then all long prompts take as long as the longest. The first request gets what it needs.",
        equal_shares,
    ),
    Mistake(
        "prompts that fit overtake one that does not fit.",
        "The next request gets what is left, even if one after it would fit as a whole.",
        whole_before_cut,
    ),
    Mistake(
        "one request fewer than max_num_seqs runs.",
        "With max_num_seqs = 4 and one running request, three more are admitted: max_num_seqs - len(running).",
        bent(free=lambda most, running: most - running - 1),
    ),
    Mistake(
        "only one request is admitted in a step.",
        "Admit as many requests as the budget and max_num_seqs allow; only the last of them gets a chunk.",
        bent(most_newcomers=1),
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
]
