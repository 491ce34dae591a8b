"""Cases of 11.chunked_prefill: who computes how many tokens in the next step, where a prompt may come in pieces."""

from itertools import accumulate

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .solutions.chunked_prefill import chunked_prefill
from .solutions.token_budget import fill_budget
from .step_choice import called, day, random_days


def chunked_by_sums(running, waiting, token_budget, max_num_seqs):
    """Where each one's tokens would end if the line were one long text, cut at the budget."""
    line = list(running) + list(waiting)[: max_num_seqs - len(running)]
    ends = [0, *(min(end, token_budget) for end in accumulate(r.num_tokens - r.num_computed_tokens for r in line))]
    return [(r, b - a) for r, a, b in zip(line, ends, ends[1:]) if b > a]


def chunked_token_by_token(running, waiting, token_budget, max_num_seqs):
    """Hands out the budget a token at a time, to the first who still needs one."""
    line, given = list(running), {}
    for request in waiting:
        if len(line) < max_num_seqs:
            line.append(request)
    while token_budget and line:
        first = line[0]
        if first.num_computed_tokens + given.get(first, 0) == first.num_tokens:
            line.pop(0)
        else:
            given[first] = given.get(first, 0) + 1
            token_budget -= 1
    return list(given.items())


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


def call(running, waiting, token_budget, max_num_seqs=4, note="", keeps=False):
    return called("chunked_prefill", running, waiting, token_budget, max_num_seqs, note, keeps)


def script(*arrivals, budget, seats=4):
    return day("chunked_prefill", arrivals, budget, seats)


A, B = ("a", 5, 4), ("b", 3, 2)
LEFT_ALONE = [
    call([A], [("b", 3)], 8, keeps=True),
    call([], [("a", 2), ("b", 9)], 3, keeps=True),
    call([A, ("b", 9, 3)], [("c", 2), ("d", 9)], 9, 3, keeps=True),
]

CHUNKED_PREFILL = Exercise(
    id="11.chunked_prefill",
    title="A prompt in pieces",
    name="chunked_prefill",
    cases="cases",
    properties=[
        Property(
            "A prompt that is longer than the budget is cut to it",
            "The step is no longer than the budget, and the rest comes in the next.",
            [
                call([], [("a", 9)], 4, note="4 of 9 tokens"),
                call([], [("a", 2)], 1),
                call([], [("a", 8)], 8, note="it fits exactly"),
                call([], [("a", 3)], 8),
                call([], [("a", 100)], 8),
            ],
        ),
        Property(
            "Those who run go on first, and a prompt gets what is left",
            "Whoever writes gets a token in every step, however long the prompts are that come in. That is what cutting is for.",
            [
                call([A], [("b", 9)], 4, note="1 + 3 of 9"),
                call([A], [], 4),
                call([A, B], [("c", 20)], 8, note="1 + 1 + 6 of 20"),
                call([A, B], [("c", 6), ("d", 3)], 8),
                call([A], [("b", 3), ("c", 9)], 8, note="1 + 3 + 4 of 9"),
                call([A, B], [("c", 3), ("d", 2), ("e", 4)], 9, 5),
            ],
        ),
        Property(
            "What was cut goes on where it stopped",
            "Its first tokens have their keys and values in the cache: n is what is left of the prompt, as far as the budget goes.",
            [
                call([("a", 9, 4)], [], 8, note="5 are left"),
                call([("a", 9, 4)], [], 4, note="5 are left, 4 fit"),
                call([("a", 9, 8)], [], 4, note="1 is left"),
                call([A, ("b", 20, 6)], [], 8),
                call([A, ("b", 9, 3)], [("c", 4)], 8),
                call([A, ("b", 9, 3)], [("c", 4)], 7),
                call([], [("a", 9, 8)], 4, note="8 were found in the cache"),
                call([], [("a", 12, 8), ("b", 4)], 6),
            ],
        ),
        Property(
            "When the budget is used up the step ends: nobody comes in with nothing",
            "A request that computes no token would hold a seat and memory for nothing.",
            [
                call([], [("a", 4), ("b", 2)], 4),
                call([A], [("b", 3)], 1),
                call([A, B], [("c", 3)], 2),
                call([], [("a", 9), ("b", 2)], 4),
                call([A], [("b", 7), ("c", 1), ("d", 1)], 8),
            ],
        ),
        Property(
            "Nobody overtakes: the next in line gets all that is left",
            "Otherwise the long prompt is put off by every short one, step after step.",
            [
                call([], [("a", 6), ("b", 3), ("c", 2)], 8, note="6 + 2 of 3, and c waits"),
                call([A], [("b", 8), ("c", 1)], 8, note="1 + 7 of 8"),
                call([A, B], [("c", 7), ("d", 2), ("e", 2)], 8, 5),
            ],
        ),
        Property(
            "No more than `max_num_seqs` run at once",
            "A prompt that is half computed has its seat, and half its memory, already.",
            [
                call([], [("a", 1), ("b", 1)], 8, 1),
                call([("a", 9, 4)], [("b", 2)], 8, 1),
                call([A], [("b", 2), ("c", 2)], 8, 2),
                call([A, B], [("c", 1), ("d", 1), ("e", 1)], 8, 4),
                call([A, B], [("c", 3)], 8, 2),
            ],
        ),
        Property(
            "The lists and the requests are left as they are",
            "The scheduler moves requests and counts tokens when the step has been computed. Here it is only chosen.",
            LEFT_ALONE,
        ),
        Property(
            "A whole day: no step is longer than the budget, and those who write never stand still",
            "Between two tokens of anybody lies one step, and a step has an upper bound.",
            [
                script(("a", 0, 5, 2), budget=2),
                script(("a", 0, 2, 4), ("b", 1, 7, 2), budget=4),
                script(("a", 0, 2, 6), ("b", 1, 9, 2), ("c", 2, 1, 2), ("d", 2, 3, 2), budget=4, seats=3),
                script(("a", 0, 7, 2), ("b", 0, 6, 3), ("c", 3, 5, 1), budget=5, seats=2),
                *random_days("chunked_prefill", 30, 12, longest=14, budgets=(4, 5, 6)),
            ],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "a prompt comes in whole or not at all.",
            "That was the last exercise. Here the one that does not fit gets what is left: min(n, token_budget).",
            fill_budget,
        ),
        Mistake(
            "a prompt that was cut begins again.",
            "Its first num_computed_tokens are in the cache. n = num_tokens - num_computed_tokens, "
            "for those who run too.",
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
            "the budget is not counted down.",
            "All of them share it: take n off what is left each time.",
            not_counted_down,
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
        Mistake(
            "the lists or the requests are changed.",
            "The scheduler still needs them. Read `waiting` from a copy, and leave "
            "`num_computed_tokens` to whoever computes the step.",
            is_made_by=writes_into(LEFT_ALONE),
        ),
    ],
    hints=[
        "You need no case for prompts and no case for writing. Everybody has tokens that are not computed; look at them in one line, those who run first.",
        "Each gets n = min(what is not computed, what is left of the budget). Then n comes off the budget.",
        "When nothing is left (n is 0), stop. The line is `[*running, *waiting[:seats]]` with `seats = max_num_seqs - len(running)`.",
    ],
    rights=[chunked_prefill, chunked_by_sums, chunked_token_by_token],
    why="It is shorter than the version that cuts nothing: `min` does the work of a case for prompts and a case for writing. That is how vLLM's scheduler "
    "does it as well: each request has tokens, some are computed, and a step lets it catch up.",
)
