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
    seats=lambda most, running: most - running,
    limited=True,
):
    """A wrong answer: the right one with a piece replaced. chunk(n, left): the tokens that one who needs n is given."""

    def answer(running, waiting, token_budget, max_num_seqs):
        step, left = [], token_budget
        newcomers = waiting[: max(0, min(most_newcomers, seats(max_num_seqs, len(running))))]
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
    """Everybody who fits as a whole comes first; what is left goes to one who does not."""
    step, cut, seats = [], None, max_num_seqs - len(running)
    for request in [*running, *waiting[:seats]]:
        n = request.num_tokens - request.num_computed_tokens
        if n <= token_budget:
            step.append((request, n))
            token_budget -= n
        elif cut is None:
            cut = request
    return [*step, (cut, token_budget)] if cut is not None and token_budget else step


def one_zero(running, waiting, token_budget, max_num_seqs):
    """Sees that nothing is left when somebody has got nothing already."""
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
    """Each by itself is cut to the budget."""
    return [
        (r, min(r.num_tokens - r.num_computed_tokens, token_budget))
        for r in [*running, *waiting[: max_num_seqs - len(running)]]
    ]


def restarts(running, waiting, token_budget, max_num_seqs):
    """The rest of a prompt begins at its first token again."""
    step = []
    for request in [*running, *waiting[: max_num_seqs - len(running)]]:
        rest = request.num_tokens - request.num_computed_tokens
        n = min(rest if rest == 1 else request.num_tokens, token_budget)
        if n == 0:
            break
        step.append((request, n))
        token_budget -= n
    return step


MISTAKES = [
    Mistake(
        "a prompt comes in whole or not at all.",
        "That was the last exercise. Here the one that does not fit gets what is left: min(n, token_budget).",
        fill_budget,
    ),
    Mistake(
        "a prompt that was cut begins again.",
        "Its first num_computed_tokens are in the cache. n = num_tokens - num_computed_tokens, for those who run too.",
        (restarts, bent(need=lambda r: r.num_tokens)),
    ),
    Mistake(
        "what was cut gets one token a step.",
        "A request that runs may still have much of its prompt to go. There is no "
        "prefill and no decode: n is what is not computed, whoever it is.",
        bent(running_need=lambda r: 1),
    ),
    Mistake(
        "the rest of a prompt is not held to the budget.",
        "Whoever runs may need more than the budget too: min(n, token_budget) in both cases.",
        bent(limited=False),
    ),
    Mistake(
        "those who run cost nothing.",
        "Their tokens are computed in the same step, so they come off the budget first.",
        bent(running_cost=False),
    ),
    Mistake(
        "the budget is not counted down.", "All of them share it: take n off what is left each time.", not_counted_down
    ),
    Mistake(
        "only the prompt is looked at.",
        "A request that writes has a token more than its prompt, and that one is not computed: "
        "num_tokens, not num_prompt_tokens.",
        (prompts_only, bent(need=lambda r: r.num_prompt_tokens - r.num_computed_tokens)),
    ),
    Mistake(
        "every piece is as long as the budget.",
        "The last piece is shorter: no more than the request has, min(n, token_budget).",
        bent(chunk=lambda n, left: left if n > 1 else min(n, left)),
    ),
    Mistake(
        "who waits comes first.",
        "Then a long prompt takes the whole step, and everybody who writes stands still.",
        bent(order="waiting"),
    ),
    Mistake(
        "who gets nothing stands in the step with 0.",
        "When the budget is used up, stop. Who computes no token is left out.",
        (bent(stops=False), one_zero),
    ),
    Mistake(
        "the budget is shared out equally.",
        "Then all long prompts take as long as the longest. The first in line gets what it needs.",
        equal_shares,
    ),
    Mistake(
        "prompts that fit overtake one that is cut.",
        "Whoever is next gets what is left, even if one behind it would fit.",
        whole_before_cut,
    ),
    Mistake(
        "one seat stays empty.",
        "With max_num_seqs = 4 and one who runs, three more come in: max_num_seqs - len(running).",
        bent(seats=lambda most, running: most - running - 1),
    ),
    Mistake(
        "one newcomer a step.",
        "As many come in as the budget and the seats allow; only the last of them is cut.",
        bent(most_newcomers=1),
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
]
