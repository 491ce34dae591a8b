"""The exercise 11.chunked_prefill: how many tokens each request computes in the next step, with prompts in chunks."""

from itertools import accumulate

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property

from .chunked_prefill_mistakes import MISTAKES
from .solutions.chunked_prefill import chunked_prefill
from .step_choice import called, day, random_days


def chunked_by_sums(running, waiting, token_budget, max_num_seqs):
    """Adds up the tokens of all requests, and cuts the sums at the budget."""
    line = list(running) + list(waiting)[: max_num_seqs - len(running)]
    ends = [0, *(min(end, token_budget) for end in accumulate(r.num_tokens - r.num_computed_tokens for r in line))]
    return [(r, b - a) for r, a, b in zip(line, ends, ends[1:]) if b > a]


def chunked_token_by_token(running, waiting, token_budget, max_num_seqs):
    """Gives out the budget one token at a time, to the first request that still needs one."""
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


def call(running, waiting, token_budget, max_num_seqs=4, note="", keeps=False):
    return called("chunked_prefill", running, waiting, token_budget, max_num_seqs, note, keeps)


def script(*arrivals, budget, max_num_seqs=4):
    return day("chunked_prefill", arrivals, budget, max_num_seqs)


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
            "Of a prompt that is longer than the budget, the first tokens are computed, up to the budget",
            "The step is no longer than the budget, and the rest is computed in the next steps.",
            [
                call([], [("a", 9)], 4, note="4 of 9 tokens"),
                call([], [("a", 2)], 1),
                call([], [("a", 8)], 8, note="it fits exactly"),
                call([], [("a", 3)], 8),
                call([], [("a", 100)], 8),
            ],
        ),
        Property(
            "Running requests come first, and a prompt gets what is left of the budget",
            "A request that decodes gets a token in every step, however long the arriving prompts are. This is "
            "what chunks are for.",
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
            "A prompt that is computed in part goes on where it stopped",
            "Its first tokens have their keys and values in the cache: n is the rest of the prompt, at most the "
            "budget.",
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
            "Running requests get their tokens in their order, and the one that does not fit gets the rest",
            "A request that runs earlier goes on earlier, whether it decodes or computes the rest of its prompt.",
            [
                call([A, B], [], 1),
                call([("a", 9, 4), B], [("c", 2)], 7),
                call([("a", 9, 4), B], [], 5),
                call([("a", 9, 3), B], [], 4),
                call([A, ("b", 9, 4), ("c", 3, 2)], [("d", 2)], 4),
                call([A, B, ("c", 9, 4)], [("d", 2)], 4),
                call([("a", 9, 4), ("b", 8, 2), ("c", 3, 2)], [], 9),
            ],
        ),
        Property(
            "When the budget is used up the step ends: no request is admitted with 0 tokens",
            "A request that computes no token would count towards `max_num_seqs` and hold memory without need.",
            [
                call([], [("a", 4), ("b", 2)], 4),
                call([A], [("b", 3)], 1),
                call([A, B], [("c", 3)], 2),
                call([], [("a", 9), ("b", 2)], 4),
                call([A], [("b", 7), ("c", 1), ("d", 1)], 8),
            ],
        ),
        Property(
            "No request overtakes: the next one gets all that is left of the budget",
            "Otherwise short prompts delay a long one step after step.",
            [
                call([], [("a", 6), ("b", 3), ("c", 2)], 8, note="6 + 2 of 3, and c waits"),
                call([A], [("b", 8), ("c", 1)], 8, note="1 + 7 of 8"),
                call([A, B], [("c", 7), ("d", 2), ("e", 2)], 8, 5),
            ],
        ),
        Property(
            "At most `max_num_seqs` requests run at once",
            "A request whose prompt is half computed runs already, and holds half of its memory.",
            [
                call([], [("a", 1), ("b", 1)], 8, 1),
                call([("a", 9, 4)], [("b", 2)], 8, 1),
                call([A], [("b", 2), ("c", 2)], 8, 2),
                call([A, B], [("c", 1), ("d", 1), ("e", 1)], 8, 4),
                call([], [("a", 1), ("b", 1), ("c", 1), ("d", 1)], 8, 1),
                call([A], [("b", 2), ("c", 1), ("d", 1)], 9, 2),
                call([A, B], [("c", 3)], 8, 2),
            ],
        ),
        Property(
            "The lists and the requests are not changed",
            "The scheduler moves requests and counts tokens after the step was computed. Here the step is only chosen.",
            LEFT_ALONE,
        ),
        Property(
            "In a script, no step is longer than the budget, and requests that decode never pause",
            "Between two tokens of a request is one step, and the length of a step is bounded.",
            [
                script(("a", 0, 5, 2), budget=2),
                script(("a", 0, 2, 4), ("b", 1, 7, 2), budget=4),
                script(("a", 0, 2, 6), ("b", 1, 9, 2), ("c", 2, 1, 2), ("d", 2, 3, 2), budget=4, max_num_seqs=3),
                script(("a", 0, 7, 2), ("b", 0, 6, 3), ("c", 3, 5, 1), budget=5, max_num_seqs=2),
                *random_days("chunked_prefill", 30, 12, longest=14, budgets=(4, 5, 6)),
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
        "You need no separate cases for prefill and decode. Every request has tokens that are not computed. Go "
        "through all requests in one loop, the running ones first.",
        "Each request gets n = min(its tokens that are not computed, what is left of the budget). Then subtract n "
        "from the budget.",
        "When nothing is left (n is 0), stop. The loop goes over `[*running, *waiting[:seats]]` with `seats = "
        "max_num_seqs - len(running)`.",
    ],
    rights=[chunked_prefill, chunked_by_sums, chunked_token_by_token],
    why="It is shorter than the version without chunks: `min` replaces the two cases, prefill and decode. vLLM's "
    "scheduler works in the same way: each request has tokens, of which some are computed, and a step computes "
    "the next of them.",
)
