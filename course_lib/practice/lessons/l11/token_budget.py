"""Cases of 11.token_budget: who computes how many tokens in the next step, where no prompt is cut."""

from itertools import takewhile

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .solutions.token_budget import fill_budget
from .step_choice import called, day, random_days


def fill_budget_in_one_line(running, waiting, token_budget, max_num_seqs):
    """One line of people, and how far down it the budget reaches."""
    line = list(running) + list(waiting)[: max_num_seqs - len(running)]
    needs = [r.num_tokens - r.num_computed_tokens for r in line]
    reach = next((at for at in range(len(line)) if sum(needs[: at + 1]) > token_budget), len(line))
    return list(zip(line[:reach], needs[:reach]))


def fill_budget_with_queue(running, waiting, token_budget, max_num_seqs):
    """Looks at the head of a copied queue again and again."""
    queue, chosen = list(waiting), [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    while sum(n for _, n in chosen) > token_budget:
        chosen.pop()
    if len(chosen) < len(running):
        return tuple(chosen)
    while queue and len(chosen) < max_num_seqs:
        head = queue.pop(0)
        used = sum(n for _, n in chosen)
        if used + head.num_tokens - head.num_computed_tokens > token_budget:
            break
        chosen.append((head, head.num_tokens - head.num_computed_tokens))
    return tuple(chosen)


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


def call(running, waiting, token_budget, max_num_seqs=4, note="", keeps=False):
    return called("fill_budget", running, waiting, token_budget, max_num_seqs, note, keeps)


def script(*arrivals, budget, seats=4):
    return day("fill_budget", arrivals, budget, seats, least=LEAST)


LEAST = {"token_budget": 6}  # no prompt is longer
A, B, C = ("a", 5, 4), ("b", 3, 2), ("c", 9, 8)
LEFT_ALONE = [
    call([A], [("b", 3)], 8, keeps=True),
    call([], [("a", 2), ("b", 3)], 3, keeps=True),
    call([A, B], [("c", 2), ("d", 9)], 6, 3, keeps=True),
]

TOKEN_BUDGET = Exercise(
    id="11.token_budget",
    title="Who fits into the next step",
    name="fill_budget",
    cases="cases",
    properties=[
        Property(
            "Those who run go on, each with the tokens that are not computed yet",
            "A request that writes has one such token: its newest. It runs already, so it comes before everybody who waits.",
            [
                call([], [], 8),
                call([A], [], 8),
                call([A, B], [], 8),
                call([C, A, B], [], 3),
                call([("a", 12, 11)], [], 1),
            ],
        ),
        Property(
            "Who waits comes in with the whole prompt, as long as the budget lasts",
            "Tokens are what a step costs, so the budget counts tokens, and not requests.",
            [
                call([], [("a", 3)], 8, note="budget 8: 3"),
                call([], [("a", 3), ("b", 2)], 8, note="budget 8: 3 + 2"),
                call([], [("a", 8)], 8, note="it fits exactly"),
                call([], [("a", 3), ("b", 5)], 8, note="3 + 5 fits exactly"),
                call([], [("a", 3), ("b", 6)], 8, note="3 + 6 is more than 8"),
                call([A], [("b", 7)], 8, note="1 + 7 fits exactly"),
                call([A], [("b", 8)], 8, note="1 + 8 is more than 8"),
                call([A, B], [("c", 2), ("d", 4), ("e", 1)], 8),
                call([], [("a", 6), ("b", 5)], 8),
                call([A, B, C], [("d", 6)], 8),
                call([A, B], [("c", 3), ("d", 4)], 9, 5),
            ],
        ),
        Property(
            "Nobody overtakes: the first whose prompt does not fit ends the step",
            "If smaller ones slip by, the long prompt waits as long as smaller ones keep coming. That is starvation.",
            [
                call([], [("a", 6), ("b", 3), ("c", 2)], 8, note="b does not fit, and c is behind b"),
                call([A], [("b", 8), ("c", 1)], 8, note="b does not fit, and c is behind b"),
                call([], [("a", 2), ("b", 7), ("c", 6)], 8),
                call([A, B], [("c", 7), ("d", 2), ("e", 2)], 8, 5),
            ],
        ),
        Property(
            "No more than `max_num_seqs` run at once, those who run already among them",
            "Every request that runs needs memory, and it keeps it until it is done.",
            [
                call([], [("a", 1), ("b", 1)], 8, 1),
                call([A], [("b", 2)], 8, 1),
                call([A], [("b", 2), ("d", 2)], 8, 2),
                call([A, B], [("c", 1), ("d", 1), ("e", 1)], 8, 4),
                call([A, B, C], [("d", 1)], 9, 3),
            ],
        ),
        Property(
            "Tokens that are computed already cost nothing, of those who wait as well",
            "A prefix that was found in the cache, or a request that comes back from CPU memory: only the rest is to be computed.",
            [
                call([], [("a", 9, 8)], 8, note="9 tokens, of which 8 are there"),
                call([], [("a", 12, 8), ("b", 4)], 8),
                call([A], [("b", 20, 16), ("d", 3)], 8),
                call([], [("a", 6, 2), ("b", 16, 12)], 8),
            ],
        ),
        Property(
            "Where the budget is short of those who run, the first of them go on, and nobody comes in",
            "A step never holds more tokens than the budget. Who stands still this time goes on when one of those before it is done.",
            [
                call([A, B], [], 1),
                call([A, B, C], [], 2),
                call([A, B, C], [("d", 1)], 2, 9),
                call([A, B], [("c", 1)], 1, 9),
            ],
        ),
        Property(
            "The lists and the requests are left as they are",
            "The scheduler moves requests and counts tokens when the step has been computed. Here it is only chosen.",
            LEFT_ALONE,
        ),
        Property(
            "A whole day: each step fills its budget in the order in which they came",
            "The same choice, step after step, decides when each of them has its first token.",
            [
                script(("a", 0, 3, 3), budget=4),
                script(("a", 0, 3, 4), ("b", 1, 4, 2), budget=4),
                script(("a", 0, 2, 4), ("b", 0, 2, 2), ("c", 1, 3, 3), ("d", 1, 1, 2), budget=5, seats=3),
                script(("a", 0, 2, 6), ("b", 1, 6, 2), ("c", 2, 1, 2), ("d", 2, 1, 2), budget=6, seats=3),
                *random_days("fill_budget", 30, 11, longest=6, budgets=(6, 7, 9), least=LEAST),
            ],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
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
            "the budget is not counted down.",
            "All of them share it: take n off what is left each time.",
            not_counted_down,
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
            "a prompt is cut.",
            "Not yet: here a prompt comes in whole, or waits. Cutting it is the next exercise.",
            cuts,
        ),
        Mistake(
            "who gets nothing stands in the step with 0.",
            "A step is what is computed. Who computes no token is left out.",
            bent(zeros=True),
        ),
        Mistake(
            "the lists or the requests are changed.",
            "The scheduler still needs them. Read `waiting` from a copy, and leave "
            "`num_computed_tokens` to whoever computes the step.",
            is_made_by=writes_into(LEFT_ALONE),
        ),
    ],
    hints=[
        "Two loops: first over those who run, then over those who wait. In both, n is what is not computed yet.",
        "Keep what is left of the budget. If n is more than that, stop: return what was chosen so far. Otherwise take n off.",
        "Free seats: `max_num_seqs - len(running)`. The second loop goes over `waiting[:seats]` and ends at the first who does not fit.",
    ],
    rights=[fill_budget, fill_budget_in_one_line, fill_budget_with_queue],
    why="The longest step decides how long everybody who writes waits for the next token, and the budget is the longest that a step can be. "
    "vLLM's name for it is `max_num_batched_tokens`.",
)
