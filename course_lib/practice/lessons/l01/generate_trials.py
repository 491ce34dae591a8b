"""Trials of 01.generate, on a model so small that the next token can be computed by hand."""

from course_lib.practice.fixtures.tiny_model import TinyModel
from course_lib.practice.fixtures.token_lists import PROMPTS, explain_tensors
from course_lib.practice.judge.exercise import Trial


def run(answer, prompt, n, stop=()):
    """(what the answer returns, the caller's list after the call, tokens computed in each call)."""
    model, ids = TinyModel(most_calls=n + 6), list(prompt)
    returned = answer(model, ids, n, stop) if stop else answer(model, ids, n)
    return returned, ids, model.computed


def story(prompt, n, stop=(), then=None):
    stops = f", stop_token_ids={stop}" if stop else ""
    last = f"generate(model, {then and 'prompt' or list(prompt)}, max_tokens={n}{stops})"
    lines = [
        "from course_lib.practice.play import TinyModel",
        "model = TinyModel()  # next: sum of id x (position + 1), modulo 5",
    ]
    return [*lines, *([f"prompt = {list(prompt)}"] if then else []), last, *([then] if then else [])]


def new_ids(prompt, n, stop=(), note=""):
    return Trial(
        story(prompt, n, stop),
        lambda answer: run(answer, prompt, n, stop)[0],
        note=note,
        explain=explain_tensors,
        size=len(prompt) + n,
    )


def callers_list(prompt, n):
    return Trial(story(prompt, n, then="prompt"), lambda answer: run(answer, prompt, n, ())[1], size=len(prompt) + n)


def tokens_of_each_call(prompt, n, stop=()):
    return Trial(
        story(prompt, n, stop, then="model.computed  # tokens in each call"),
        lambda answer: run(answer, prompt, n, stop)[2],
        size=len(prompt) + n,
        note="the whole sequence, once for each new token",
    )


def list_faults(prompt_tokens):
    """explain(expected, got) of `kinds`, for a prompt of so many tokens: one sentence for each fault."""

    def explain(expected, got):
        if not isinstance(got, tuple) or len(got) == 1:
            return ""
        faults = []
        if got[0] == "Tensor":
            faults.append("This is a tensor; `.tolist()` converts it to a list.")
        elif "Tensor" in got[2]:
            faults.append("There are tensors in the list; `int(…)` converts each to an `int`.")
        if got[1] == prompt_tokens + expected[1] and prompt_tokens > 1:
            faults.append("It is as long as the prompt and the new tokens together; do not return the prompt.")
        return " ".join(faults)

    return explain


LONG = Trial(
    [*story([1], 2)[:2], "generate(model, [1, 2, 4] * 3000, max_tokens=2)"],
    lambda answer: run(answer, [1, 2, 4] * 3000, 2)[0],
    note="the model takes a sequence of any length",
    size=9002,
)

ENDS_IN_ZERO = [(p, n) for p in ([0], [1, 0], [3, 0], [2, 4, 0], [4, 1, 0, 0]) for n in (2, 5)]
"""Token 0 is an ordinary one: 0 comes after each of these, or soon after."""

STOPPED = [(p, n, (s,)) for p in PROMPTS[:9] for s in (0, 1, 3) for n in (1, 3, 6)] + [
    ([1, 2, 3], 6, (0, 3)),
    ([3, 3], 6, (4, 2)),
]
STOPPED_BY_ANY = [(p, 6, stops) for p in ([1], [2], [4], [1, 2]) for stops in ((0, 3), (1, 2, 3), (4, 1), (2, 0))]

UNTOUCHED = [callers_list(p, n) for p, n in [([1], 1), ([2], 2), ([1, 2], 2), ([3, 1, 4], 4)]]
