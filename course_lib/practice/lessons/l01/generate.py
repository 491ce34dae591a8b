"""Cases of 01.generate, on a model so small that the next token can be worked out by hand."""

import itertools

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_model import Counted, TinyModel
from course_lib.practice.fixtures.token_lists import explain_tensors, kinds
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .generate_answers import (
    generate_as_taught,
    generate_last_row,
    generate_new_only,
    generate_recursively,
    loop,
    one_call_too_many,
    only_last,
    prompt_then_last,
    returns_at_once,
    stops_on_prompt,
)
from .solutions.generate import generate


def told(answer, prompt, n, stop):
    """(what is returned, the caller's list afterwards, tokens pushed in each call)."""
    model, ids = TinyModel(most_calls=n + 6), list(prompt)
    returned = answer(model, ids, n, stop) if stop else answer(model, ids, n)
    return returned, ids, model.pushed


def story(prompt, n, stop=(), then=None):
    last = f"generate(model, {then and 'prompt' or list(prompt)}, max_tokens={n}{f', stop_token_ids={stop}' if stop else ''})"
    lines = [
        "from course_lib.practice.play import TinyModel",
        "model = TinyModel()  # next: sum of id x (position + 1), modulo 5",
    ]
    return [*lines, *([f"prompt = {list(prompt)}"] if then else []), last, *([then] if then else [])]


def new_ids(prompt, n, stop=(), note=""):
    return Trial(
        story(prompt, n, stop),
        lambda answer: told(answer, prompt, n, stop)[0],
        note=note,
        explain=explain_tensors,
        size=len(prompt) + n,
    )


def callers_list(prompt, n):
    return Trial(story(prompt, n, then="prompt"), lambda answer: told(answer, prompt, n, ())[1], size=len(prompt) + n)


def pushes(prompt, n):
    return Trial(
        story(prompt, n, then="model.pushed  # tokens in each call"),
        lambda answer: told(answer, prompt, n, ())[2],
        size=len(prompt) + n,
        note="the whole sequence, once for each new token",
    )


def listed(found):
    """ "list of 2 int"."""
    return found[0] if len(found) == 1 else f"{found[0]} of {found[1]} {found[2] or 'items'}"


def odd_about(prompt_tokens):
    """explain(expected, got) for kinds of a call with a prompt of so many tokens: all that is odd, a sentence each."""

    def explain(expected, got):
        if not isinstance(got, tuple) or len(got) == 1:
            return ""
        said = []
        if got[0] == "Tensor":
            said.append("This is a tensor; `.tolist()` makes a list of it.")
        elif "Tensor" in got[2]:
            said.append("There are tensors in the list; `int(…)` takes the number out of each.")
        if got[1] == prompt_tokens + expected[1]:
            said.append("It is as long as prompt and new tokens together; the prompt is not to be returned.")
        return " ".join(said)

    return explain


def writes_the_same(answer):
    """Runs on the bundled model and compares with generate_naive. The remark says on how many tokens."""
    from course_lib import SamplingParams
    from course_lib.decoding import generate_naive

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu")
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
    expected = generate_naive(model, prompt, SamplingParams(max_tokens=24, ignore_eos=True))
    counted = Counted(
        model, 40, "stopped: the model was called more than 40 times for 24 tokens. When does the loop end?"
    )
    trial = Trial(
        [
            'model, tokenizer = load_model("tale", device="cpu")',
            'prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named '
            'Juniper.")',
            "generate(model, prompt, 24)",
        ],
        lambda answer: answer(counted, list(prompt), 24),
        limit_s=60.0,
    )
    got, printed = trial.outcome(torch.inference_mode()(answer))
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    return "24 tokens alike"


PROMPTS = [list(p) for n in (1, 2, 3) for p in itertools.product((1, 2, 4), repeat=n)] + [
    [3, 1, 4, 1, 2, 0, 4],
    [2, 0, 3, 3, 1, 4, 4, 2],
]
STOPPED = [(p, n, (s,)) for p in PROMPTS[:9] for s in (0, 1, 3) for n in (1, 3, 6)] + [
    ([1, 2, 3], 6, (0, 3)),
    ([3, 3], 6, (4, 2)),
]

GENERATE = Exercise(
    id="01.generate",
    title="The naive loop",
    name="generate",
    cases="calls",
    properties=[
        Property(
            "It returns a list of new ids, as many as asked for",
            "What comes back is what is new: the caller has the prompt already.",
            [
                Trial(
                    story(p, n),
                    lambda answer, p=p, n=n: kinds(told(answer, p, n, ())[0]),
                    show=listed,
                    size=len(p) + n,
                    explain=odd_about(len(p)),
                )
                for p, n in [([1], 1), ([1, 2], 1), ([2], 2), ([1, 2, 3], 4), ([4, 1], 3)]
            ],
        ),
        Property(
            "With `max_tokens=0` nothing is written",
            "No token is no step: the model need not run.",
            [new_ids(p, 0) for p in ([1], [2], [1, 2], [3, 1, 4])],
        ),
        Property(
            "Each token follows from the whole sequence before it",
            "The model keeps nothing between calls, so every token has to go in again, at its own position, from 0 on.",
            [new_ids(p, n) for p in PROMPTS for n in (1, 2, 3, 5)],
        ),
        Property(
            "A stop token ends it, and is the last one returned",
            "The caller sees why it ended. vLLM's engine does the same.",
            [new_ids(p, n, s) for p, n, s in STOPPED],
        ),
        Property(
            "The caller's list stays as it was",
            "The same prompt is often used twice.",
            [callers_list(p, n) for p, n in [([1], 1), ([2], 2), ([1, 2], 2), ([3, 1, 4], 4)]],
        ),
        Property(
            "n tokens take n calls, each with the whole sequence",
            "What the last token leads to, nobody asked.",
            [pushes(p, n) for p in PROMPTS[:6] for n in (0, 1, 2, 4)],
        ),
        Property(
            "On the bundled model it tells the same tale as `generate_naive`",
            "The oracle of the course writes the same tokens.",
            run=writes_the_same,
            slow=True,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the prompt is returned too.",
            "Cut it off: `ids[len(token_ids):]` is what is new.",
            loop(back=lambda ids, new: ids),
        ),
        Mistake(
            "one token too many is written.",
            "`range(max_tokens)` counts 0 … max_tokens - 1: that is max_tokens steps already.",
            loop(steps=lambda n: n + 1),
        ),
        Mistake(
            "one token too few is written.",
            "The first new token counts as well: max_tokens steps in all.",
            (loop(steps=lambda n: n - 1), loop(steps=lambda n: max(n - 1, 0))),
        ),
        Mistake(
            "the loop ends after its first token.",
            "Look where `return` or `break` stands: inside the loop it ends everything at once.",
            returns_at_once,
        ),
        Mistake(
            "only the newest token is pushed.",
            "Recompute keeps nothing, so the model sees a sequence of one token and has forgotten the tale. (With a "
            "cache it is right: lesson 02.)",
            (only_last, prompt_then_last, loop(feed=lambda ids: ids[-1:])),
        ),
        Mistake(
            "the new tokens are never pushed.",
            "Every step pushes the prompt alone and so gets the same token. Append before the next step.",
            loop(grow=False),
        ),
        Mistake(
            "the token is not taken from the last row of logits.",
            "Row i speaks about the token after position i, so the last row is wanted: `logits[-1].argmax()`. "
            "`logits[0]` is the first, and `logits.argmax()` looks through all rows at once.",
            (
                loop(row=0),
                loop(row=slice(None)),
                loop(row=slice(None), pick=lambda rows: int(rows.argmax()) % rows.shape[-1]),
            ),
        ),
        Mistake(
            "positions are counted from 1.",
            "The first token stands at position 0: `torch.arange(len(ids))`.",
            loop(places=lambda n: torch.arange(1, n + 1)),
        ),
        Mistake(
            "all positions are 0.",
            "The model then cannot tell the order of the tokens: `torch.arange(len(ids))`.",
            loop(places=lambda n: torch.zeros(n, dtype=torch.int64)),
        ),
        Mistake(
            "stop tokens are not looked at.",
            "Break as soon as the newest token is in `stop_token_ids`.",
            loop(stop=lambda token, ids, stops: False),
        ),
        Mistake(
            "the stop token is dropped.",
            "Append first, then look whether to stop: the token that stopped the text belongs to it.",
            loop(keep_stop=False),
        ),
        Mistake(
            "the stop tokens are looked for in the prompt as well.",
            "Only a new token may stop the text; the prompt may hold any.",
            (stops_on_prompt, loop(stop=lambda token, ids, stops: token in stops or any(i in stops for i in ids))),
        ),
        Mistake(
            "the caller's list is changed.",
            "`ids = token_ids` is a second name for the same list. `list(token_ids)` is a copy.",
            loop(own=lambda ids: ids),
        ),
        Mistake(
            "tensors are put into the list.",
            "`argmax` gives a tensor with one number in it. `int(…)` takes the number out.",
            loop(pick=lambda row: row.argmax()),
        ),
        Mistake(
            "the model is called once more than needed.",
            "The last token is made by step n. Nobody asks what comes after it.",
            one_call_too_many,
        ),
    ],
    hints=[
        "Keep one list of all ids, prompt and new ones. Each step: push the whole list, read the last row, append one "
        "id.",
        "`tokens = torch.tensor(ids)`, `positions = torch.arange(len(ids))`, `logits = model(tokens, positions, "
        "Recompute())`. The row that speaks about the next token is `logits[-1]`.",
        "Start from a copy, `ids = list(token_ids)`, so that the caller's list stays. Append "
        "`int(logits[-1].argmax())`, and only then ask `if ids[-1] in stop_token_ids: break`.",
        "`for _ in range(max_tokens):` around those lines, and `return ids[len(token_ids):]` below the loop.",
    ],
    rights=[generate, generate_as_taught, generate_last_row, generate_new_only, generate_recursively],
    why="The copy leaves the caller's list alone. Every step pushes everything, because `Recompute` keeps nothing; "
    "only the last of the rows is read, and that waste is what lesson 02 removes. Appending before the question about "
    "stop tokens keeps the token that stopped the text, and `range(max_tokens)` gives no step at all for 0.",
)
