"""The exercise 09.static_waste: tokens that static batches compute without need, counted without a model."""

from numbers import Integral

from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.static_waste import static_waste
from .static_waste_mistakes import MISTAKES


def waste_step_by_step(prompts, new_tokens, batch_size):
    """Counts each run of the model, one after the other."""
    steps = useful = padding = idle = 0
    queue = list(zip(prompts, new_tokens))
    while queue:
        batch, queue = queue[:batch_size], queue[batch_size:]
        longest, left = max(p for p, _ in batch), [n for _, n in batch]
        for p, _ in batch:
            useful, padding = useful + p, padding + longest - p
        steps, left = steps + 1, [n - 1 for n in left]
        while any(n > 0 for n in left):
            steps += 1
            for row, n in enumerate(left):
                if n > 0:
                    useful, left[row] = useful + 1, n - 1
                else:
                    idle += 1
    return dict(idle=idle, padding=padding, steps=steps, useful=useful)


def waste_by_library(prompts, new_tokens, batch_size):
    """The library's own count, for the batches of a batcher without a timeout."""
    from math import inf

    from course_lib.batching import DynamicBatcher, count_batches, simulate_batches

    requests = [(0, p, n) for p, n in zip(prompts, new_tokens)]
    report = count_batches(requests, simulate_batches(requests, DynamicBatcher(batch_size, inf)))
    return {
        "steps": report.num_steps,
        "useful": report.num_useful_tokens,
        "padding": report.num_padding_tokens,
        "idle": report.num_idle_tokens,
    }


def waste_in_tensors(prompts, new_tokens, batch_size):
    """A tensor for each batch; the numbers stay in tensors."""
    import torch

    found = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}
    for start in range(0, len(prompts), batch_size):
        lengths, outputs = (torch.tensor(numbers[start : start + batch_size]) for numbers in (prompts, new_tokens))
        found["steps"] += outputs.max()
        found["useful"] += (lengths + outputs - 1).sum()
        found["padding"] += (lengths.max() - lengths).sum()
        found["idle"] += (outputs.max() - outputs).sum()
    return found


def served(prompts, new_tokens, batch_size, part=None, note=""):
    """The Trial of these requests. part: the one number that is compared; None: all of them."""
    call = f"static_waste({prompts}, {new_tokens}, {batch_size})"

    def act(answer):
        got = answer(list(prompts), list(new_tokens), batch_size)
        if part is not None and isinstance(got, dict):
            got = got.get(part, f"there is no {part!r} in it, only {', '.join(map(repr, got))}")
        return plain(got)

    return Trial(
        [call if part is None else f'{call}["{part}"]'],
        act,
        note=note,
        size=100 * len(prompts) + sum(prompts) + sum(new_tokens),
    )


def plain(got):
    """Integers of all types as `int`, also in a dict."""
    if isinstance(got, dict):
        return {key: plain(value) for key, value in got.items()}
    got = as_python(got)
    return int(got) if isinstance(got, Integral) and not isinstance(got, bool) else got


def untouched(prompts, new_tokens):
    def act(answer):
        given = list(prompts), list(new_tokens)
        answer(*given, 2)
        return given == (list(prompts), list(new_tokens))

    story = [
        f"prompts, new_tokens = {prompts}, {new_tokens}",
        "static_waste(prompts, new_tokens, 2)",
        f"prompts == {prompts} and new_tokens == {new_tokens}",
    ]
    return Trial(story, act, size=100 * len(prompts))


ONE = [([1], [1], 1), ([3], [1], 1), ([2], [4], 1), ([5], [2], 4), ([2], [3], 2)]
PAIR = [
    ([1, 3], [2, 2], 2),
    ([2, 2], [1, 3], 2),
    ([4, 1], [1, 5], 2),
    ([3, 5, 2], [2, 2, 4], 3),
    ([1, 4, 4], [5, 1, 1], 3),
    ([2, 1], [1, 1], 2),
]
SEVERAL = [
    ([1, 3, 2, 2], [2, 1, 4, 1], 2),
    ([5, 1, 1, 2], [1, 3, 1, 1], 2),
    ([2, 2, 7, 1, 3, 3], [1, 4, 2, 2, 6, 1], 3),
    ([1, 6, 2, 3], [3, 1, 1, 5], 1),
]
SHORT = [
    ([1, 3, 2], [2, 1, 4], 2),
    ([4, 2, 1, 3], [1, 5, 2, 2], 3),
    ([2, 5], [3, 1], 4),
    ([3, 1, 2, 6, 2], [1, 2, 5, 1, 3], 3),
]
LARGE = [([17, 3, 60, 8, 8, 31, 5, 44, 12], [40, 2, 9, 25, 70, 1, 16, 3, 8], size) for size in (1, 2, 4, 8, 16)]
UNTOUCHED = [untouched([5, 1, 2], [1, 4, 2]), untouched([1, 2], [3, 1]), untouched([2, 7, 1, 1], [2, 1, 1, 4])]


def counted(part, *cases):
    return [served(*case, part=part) for group in cases for case in group]


STATIC_WASTE = Exercise(
    id="09.static_waste",
    title="What a static batch computes for nothing",
    name="static_waste",
    cases="workloads",
    properties=[
        Property(
            "One request alone wastes nothing",
            "The first run computes its prompt and gives the first new token. Each later run computes the newest token "
            "and gives the next one. The last new token is never computed.",
            [served(*case) for case in ONE],
        ),
        Property(
            "`padding` fills every prompt up to the length of the longest in its batch",
            "A batch is one rectangle of tokens. Padding is computed like any other token.",
            counted("padding", PAIR, SEVERAL),
        ),
        Property(
            "`steps`: a batch runs until its request with the most new tokens has all of them",
            "The first run gives each request a token, so a request of n new tokens takes n runs. The runs of all "
            "batches are added up.",
            counted("steps", PAIR, SEVERAL),
        ),
        Property(
            "`idle` counts the tokens of rows whose request has finished",
            "These rows stay in the batch and are computed until the batch ends.",
            counted("idle", PAIR, SEVERAL),
        ),
        Property(
            "`useful` counts the tokens of prompts, and new tokens that are computed",
            "A new token is computed in the run after the one that gave it. The last new token of a request is never "
            "computed.",
            counted("useful", PAIR, SEVERAL),
        ),
        Property(
            "The last batch may be smaller, and has no more rows than requests",
            "There are no rows without a request.",
            [served(*case) for case in SHORT],
        ),
        Property(
            "Without requests, everything is 0",
            "An empty queue is not an error.",
            [served([], [], size) for size in (1, 4)],
        ),
        Property(
            "All four numbers are right for larger queues too",
            "useful + padding + idle is the number of all computed tokens.",
            [served(*case) for case in LARGE + SEVERAL],
        ),
        Property("The caller's lists are not changed", "The same queue is served afterwards.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        NO_DICT,
        Mistake(
            "a number has another name.",
            "The caller asks for `steps`, `useful`, `padding` and `idle`.",
            is_made_by=lambda answer, found: (
                str(found.outcome).startswith("there is no ")
                or isinstance(found.outcome, dict)
                and found.outcome.keys() != {"steps", "useful", "padding", "idle"}
            ),
        ),
        *MISTAKES,
        Mistake(
            "the caller's lists are changed.",
            "`pop` and `sort` write into the caller's own list; slices make new ones.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Take the requests `batch_size` at a time: `for start in range(0, len(prompts), batch_size)`, and slices "
        "`lengths` and `outputs` of the two lists. Each batch adds to the four numbers.",
        "Draw one batch: a row for each request, a column for each run. The first column computes every prompt, "
        "filled up to `max(lengths)`. Each later column computes one token of each row.",
        "There are `max(outputs)` columns. A request of n new tokens needs n of them: one for its prompt, then n - 1 "
        "with a token each. In the other `max(outputs) - n` columns its row is idle.",
        "`padding += max(lengths) * len(lengths) - sum(lengths)`, `useful += sum(lengths) + sum(n - 1 for n in "
        "outputs)`, `idle += sum(max(outputs) - n for n in outputs)`.",
    ],
    rights=[static_waste, waste_step_by_step, waste_by_library, waste_in_tensors],
    why="Both kinds of waste come from one rule: a batch keeps its number of rows and one length from its first run "
    "to its last. Padding is paid once, with the prompts. Idle rows are paid in every run, so one long output "
    "among short ones costs most.",
)
