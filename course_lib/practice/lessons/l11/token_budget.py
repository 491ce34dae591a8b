"""The exercise 11.token_budget: how many tokens each request computes in the next step, without chunked prefill."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .solutions.token_budget import fill_budget
from .step_choice import called, day, random_days
from .token_budget_mistakes import MISTAKES


def fill_budget_in_one_line(running, waiting, token_budget, max_num_seqs):
    """Makes one list of all requests, and finds how many of them the budget allows."""
    line = list(running) + list(waiting)[: max_num_seqs - len(running)]
    needs = [r.num_tokens - r.num_computed_tokens for r in line]
    reach = next((at for at in range(len(line)) if sum(needs[: at + 1]) > token_budget), len(line))
    return list(zip(line[:reach], needs[:reach]))


def fill_budget_with_queue(running, waiting, token_budget, max_num_seqs):
    """Takes requests from the front of a copied queue."""
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


def call(running, waiting, token_budget, max_num_seqs=4, note="", keeps=False):
    return called("fill_budget", running, waiting, token_budget, max_num_seqs, note, keeps)


def script(*arrivals, budget, max_num_seqs=4):
    return day("fill_budget", arrivals, budget, max_num_seqs, least=LEAST)


LEAST = {"token_budget": 6}  # no prompt is longer
A, B, C = ("a", 5, 4), ("b", 3, 2), ("c", 9, 8)
LEFT_ALONE = [
    call([A], [("b", 3)], 8, keeps=True),
    call([], [("a", 2), ("b", 3)], 3, keeps=True),
    call([A, B], [("c", 2), ("d", 9)], 6, 3, keeps=True),
]

TOKEN_BUDGET = Exercise(
    id="11.token_budget",
    title="The requests that fit into the next step",
    name="fill_budget",
    cases="cases",
    properties=[
        Property(
            "Running requests go on, each with all its tokens that are not computed yet",
            "A request that decodes has one such token: its newest. It runs already, so it comes before all "
            "waiting requests.",
            [
                call([], [], 8),
                call([A], [], 8),
                call([A, B], [], 8),
                call([C, A, B], [], 3),
                call([("a", 12, 11)], [], 1),
                call([("a", 9, 4)], [], 8, note="5 are not computed"),
                call([A, ("b", 6, 2)], [], 8),
                call([("a", 9, 6), B], [("c", 3)], 8),
            ],
        ),
        Property(
            "Waiting requests are admitted with the whole prompt, as long as the budget lasts",
            "The cost of a step is its number of tokens, so the budget counts tokens and not requests.",
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
            "No request overtakes: the first whose prompt does not fit ends the step",
            "If smaller prompts may overtake, a long prompt waits as long as smaller ones keep arriving. This is "
            "starvation.",
            [
                call([], [("a", 6), ("b", 3), ("c", 2)], 8, note="b does not fit, and c is behind b"),
                call([A], [("b", 8), ("c", 1)], 8, note="b does not fit, and c is behind b"),
                call([], [("a", 2), ("b", 7), ("c", 6)], 8),
                call([A, B], [("c", 7), ("d", 2), ("e", 2)], 8, 5),
            ],
        ),
        Property(
            "At most `max_num_seqs` requests run at once, including those that run already",
            "Every running request needs memory until it ends.",
            [
                call([], [("a", 1), ("b", 1)], 8, 1),
                call([A], [("b", 2)], 8, 1),
                call([A], [("b", 2), ("d", 2)], 8, 2),
                call([A, B], [("c", 1), ("d", 1), ("e", 1)], 8, 4),
                call([], [("a", 1), ("b", 1), ("c", 1), ("d", 1)], 8, 1),
                call([A], [("b", 2), ("c", 1), ("d", 1)], 9, 2),
                call([A, B, C], [("d", 1)], 9, 3),
            ],
        ),
        Property(
            "Tokens that are computed already cost nothing, for waiting requests too",
            "Of a prefix that was found in the cache, or a request that is swapped in, only the rest must be computed.",
            [
                call([], [("a", 9, 8)], 8, note="9 tokens, of which 8 are computed"),
                call([], [("a", 12, 8), ("b", 4)], 8),
                call([A], [("b", 20, 16), ("d", 3)], 8),
                call([], [("a", 6, 2), ("b", 16, 12)], 8),
            ],
        ),
        Property(
            "Where the budget is too small for all running requests, the first of them go on, and none is admitted",
            "A step never has more tokens than the budget. A request that pauses in this step goes on when one "
            "before it has ended.",
            [
                call([A, B], [], 1),
                call([A, B, C], [], 2),
                call([A, B, C], [("d", 1)], 2, 9),
                call([A, B], [("c", 1)], 1, 9),
                call([("a", 9, 4), B], [], 4, note="a needs 5, and b does not overtake it"),
                call([("a", 9, 4)], [("b", 2)], 4, note="a needs 5, and b does not overtake it"),
                call([A, ("b", 9, 4), ("c", 3, 2)], [("d", 1)], 4, 9),
                call([A, ("b", 8, 2), ("c", 3, 2)], [], 6),
                call([("a", 9, 4), ("b", 7, 4)], [("c", 1), ("d", 2)], 7, 9),
            ],
        ),
        Property(
            "The lists and the requests are not changed",
            "The scheduler moves requests and counts tokens after the step was computed. Here the step is only chosen.",
            LEFT_ALONE,
        ),
        Property(
            "In a script, each step fills its budget in the order of arrival",
            "The same choice in each step decides when each request has its first token.",
            [
                script(("a", 0, 3, 3), budget=4),
                script(("a", 0, 3, 4), ("b", 1, 4, 2), budget=4),
                script(("a", 0, 2, 4), ("b", 0, 2, 2), ("c", 1, 3, 3), ("d", 1, 1, 2), budget=5, max_num_seqs=3),
                script(("a", 0, 2, 6), ("b", 1, 6, 2), ("c", 2, 1, 2), ("d", 2, 1, 2), budget=6, max_num_seqs=3),
                *random_days("fill_budget", 30, 11, longest=6, budgets=(6, 7, 9), least=LEAST),
            ],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        *MISTAKES,
        Mistake(
            "the lists or the requests are changed.",
            "The scheduler still needs them. Copy `waiting` before you remove from it. `num_computed_tokens` is "
            "counted after the step.",
            is_made_by=writes_into(LEFT_ALONE),
        ),
    ],
    hints=[
        "Two loops: first over the running requests, then over the waiting ones. In both, n is the number of "
        "tokens that are not computed yet.",
        "Keep what is left of the budget. If n is more than that, stop and return what was chosen so far. "
        "Otherwise subtract n.",
        "`max_num_seqs - len(running)` more requests may run, in the solution `seats`. The second loop goes over "
        "`waiting[:seats]` and ends at the first request that does not fit.",
    ],
    rights=[fill_budget, fill_budget_in_one_line, fill_budget_with_queue],
    why="The longest step decides how long requests that decode wait for their next token, and the budget bounds the "
    "length of a step. vLLM's name for it is `max_num_batched_tokens`.",
)
