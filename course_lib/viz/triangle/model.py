"""The data of the recomputation triangle: when each position was computed first, and sums over the steps."""

from itertools import accumulate

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, label
from course_lib.viz.kit.inputs import some, token_texts


def triangle_data(tokens, steps, prompt_tokens):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    tokens, steps = token_texts("tokens", tokens), [tuple(step) for step in some("steps", steps)]
    _check(tokens, steps, prompt_tokens)
    first_pass = [None] * len(tokens)  # position -> index of the step that computed it first
    fresh = []
    for index, (start, end) in enumerate(steps):
        new = [position for position in range(start, end) if first_pass[position] is None]
        for position in new:
            first_pass[position] = index
        fresh.append(len(new))
    each = [end - start for start, end in steps]
    computed, needed = list(accumulate(each)), list(accumulate(fresh))
    return {
        "title": "Tokens through the model",
        "subtitle": f"{count(prompt_tokens, 'prompt token')}, {count(len(steps), 'step')}",
        "first": 1,
        "last": len(steps),
        "tokens": tokens,
        "labels": [label(token) for token in tokens],
        "steps": [list(step) for step in steps],
        "prompt_tokens": prompt_tokens,
        "first_pass": first_pass,
        "fresh": fresh,
        "computed": computed,
        "needed": needed,
        "columns": [
            "step",
            "positions",
            "tokens through the model",
            "new",
            "computed before",
            "computed so far",
            "needed so far",
        ],
        "say": [_words(*row) for row in zip(range(1, len(steps) + 1), each, fresh, computed, needed)],
    }


def runs(first_pass, index, start, end):
    """Cuts positions [start, end) of step `index` into stretches (start, end, whether they are new)."""
    cut = start
    for position in range(start + 1, end + 1):
        if position == end or (first_pass[position] == index) != (first_pass[cut] == index):
            yield cut, position, first_pass[cut] == index
            cut = position


def _words(step, computed, new, all_computed, all_needed):
    before = computed - new
    again = "none of them computed before" if not before else f"{before} of them computed before"
    work = "." if all_computed == all_needed else f": {all_computed / all_needed:.1f} times the work."
    tokens = f" {count(computed, 'token')} through the model, {again}."
    return [
        ["strong", f"Step {step}:"],
        ["", f"{tokens} So far {all_computed:,} computed, {all_needed:,} needed{work}"],
    ]


def _check(tokens, steps, prompt_tokens):
    if type(prompt_tokens) is not int or not 1 <= prompt_tokens <= len(tokens):
        raise ParameterError(
            f"prompt_tokens = {prompt_tokens!r} with {len(tokens)} tokens: the prompt is a part of `tokens`. "
            f"Give a whole number from 1 to {len(tokens)}."
        )
    for index, step in enumerate(steps):
        if len(step) != 2 or not all(isinstance(edge, int) for edge in step):
            raise ParameterError(f"steps[{index}] is {step!r}; a step is a half-open range of positions, (start, end).")
        start, end = step
        if not 0 <= start < end <= len(tokens):
            raise ParameterError(
                f"steps[{index}] = ({start}, {end}) does not lie inside the {len(tokens)} tokens or is empty; they are "
                f"half-open ranges with 0 <= start < end <= {len(tokens)}. Check where the range is counted from."
            )
