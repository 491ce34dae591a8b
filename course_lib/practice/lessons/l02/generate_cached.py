"""Cases of 02.generate_cached, on a model and a cache that can be worked out by hand."""

import itertools

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_model import Counted
from course_lib.practice.fixtures.tiny_text import AddingCache, AddingModel
from course_lib.practice.fixtures.token_lists import explain_tensors, kinds
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .generate_cached_answers import (
    emptied_behind,
    everywhere,
    generate_by_what_is_kept,
    generate_two_parts,
    loop,
    naive,
    naive_after_prefill,
    one_by_one,
    one_call_too_many,
    own_cache,
    prefill_and_again,
    reset_and_all,
)
from .solutions.generate_cached import generate_cached


def told(answer, prompt, n):
    """(what is returned, the caller's list afterwards, the model, the cache)."""
    model, cache, ids = AddingModel(most_calls=n + len(prompt) + 6), AddingCache(), list(prompt)
    return answer(model, ids, n, cache), ids, model, cache


def story(prompt, n, then=None):
    lines = [
        "from course_lib.practice.play import AddingModel, AddingCache",
        "model, cache = AddingModel(), AddingCache()  # next: sum of id x (position + 1), modulo 5; the cache adds it "
        "up",
    ]
    call = f"generate_cached(model, {'prompt' if then == 'prompt' else list(prompt)}, {n}, cache)"
    return [*lines, *([f"prompt = {list(prompt)}"] if then == "prompt" else []), call, *([then] if then else [])]


def new_ids(prompt, n):
    return Trial(
        story(prompt, n), lambda answer: told(answer, prompt, n)[0], explain=explain_tensors, size=len(prompt) + n
    )


def pushes(prompt, n):
    return Trial(
        story(prompt, n, "model.pushed  # tokens in each call"),
        lambda answer: told(answer, prompt, n)[2].pushed,
        note="the prompt at once, then one token a step",
        size=len(prompt) + n,
    )


def holds(prompt, n):
    return Trial(
        story(prompt, n, "len(cache.held)  # values that the cache was given"),
        lambda answer: len(told(answer, prompt, n)[3].held),
        note="every token but the last new one, which nobody asks about",
        size=len(prompt) + n,
    )


def callers_list(prompt, n):
    return Trial(story(prompt, n, "prompt"), lambda answer: told(answer, prompt, n)[1], size=len(prompt) + n)


def writes_the_same(answer):
    """On the bundled model: the tokens of generate_naive, and the work counted. The remark says how much."""
    from course_lib import SamplingParams
    from course_lib.decoding import generate_naive
    from course_lib.kvcache import ContiguousCache

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
    expected, pushed = generate_naive(model, prompt, SamplingParams(max_tokens=24, ignore_eos=True)), []

    class Watched(Counted):
        def __call__(self, token_ids, *args, **kwargs):
            pushed.append(len(token_ids))
            return super().__call__(token_ids, *args, **kwargs)

    lines = [
        'model, tokenizer = load_model("tale", device="cpu")',
        'prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")',
        "generate_cached(model, prompt, 24, ContiguousCache(model.config, 256))",
    ]
    cache = ContiguousCache(model.config, 256, device="cpu", dtype=torch.float32)
    watched = Watched(
        model, 60, "stopped: the model was called more than 60 times for 24 tokens. When does the loop end?"
    )
    trial = Trial(lines, lambda answer: answer(watched, list(prompt), 24, cache), limit_s=60.0)
    got, printed = trial.outcome(torch.inference_mode()(answer))
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    if sum(pushed) != len(prompt) + 23:
        raise Counterexample(
            trial.story, f"{len(prompt) + 23} tokens pushed", f"{sum(pushed)} tokens pushed", "each once"
        )
    return (
        f"24 tokens alike, {sum(pushed)} pushed where naive decoding pushes {sum(range(len(prompt), len(prompt) + 24))}"
    )


PROMPTS = [list(p) for n in (1, 2, 3) for p in itertools.product((1, 2, 4), repeat=n)] + [
    [3, 1, 4, 1, 2, 0, 4],
    [2, 0, 3, 3, 1, 4, 4, 2],
]
COUNTED = [(p, n) for p in ([1], [1, 2], [4, 1, 2], [3, 1, 4, 1]) for n in (1, 2, 3, 5)]

GENERATE_CACHED = Exercise(
    id="02.generate_cached",
    title="The loop with a cache",
    name="generate_cached",
    cases="calls",
    properties=[
        Property(
            "It returns a list of new ids, as many as asked for",
            "What comes back is what is new: the caller has the prompt already.",
            [
                Trial(story(p, n), lambda answer, p=p, n=n: kinds(told(answer, p, n)[0]), show=str, size=len(p) + n)
                for p, n in [([1], 1), ([1, 2], 1), ([2], 2), ([1, 2, 3], 4), ([4, 1], 3)]
            ],
        ),
        Property(
            "With `max_tokens=0` nothing is written",
            "No token is no step: the model need not run.",
            [new_ids(p, 0) for p in ([1], [2], [1, 2], [3, 1, 4])],
        ),
        Property(
            "The tokens are those of naive decoding",
            "A cache changes what is computed, never what comes out. Here each token depends on all before it, and on "
            "where each stands.",
            [new_ids(p, n) for p in PROMPTS for n in (1, 2, 3, 5)],
        ),
        Property(
            "The prompt goes in at once, and then one token a step",
            "This is the work that is saved, counted: p tokens in the first call and 1 in each later one.",
            [pushes(p, n) for p, n in COUNTED],
        ),
        Property(
            "The cache that was passed holds every token but the last",
            "What was pushed once is kept there. What the last token leads to, nobody asked.",
            [holds(p, n) for p, n in COUNTED],
        ),
        Property(
            "The caller's list stays as it was",
            "The same prompt is often used twice.",
            [callers_list(p, n) for p, n in [([1], 1), ([2], 2), ([1, 2], 2), ([3, 1, 4], 4)]],
        ),
        Property(
            "On the bundled model it tells the same tale as `generate_naive`, with each token pushed once",
            "The oracle of the course writes the same tokens.",
            run=writes_the_same,
            slow=True,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the prompt is returned too.",
            "Return what is new: the caller has the prompt already.",
            loop(back=lambda ids, new: ids),
        ),
        Mistake(
            "one token too many is written.",
            "The step that takes the prompt writes a token as well: max_tokens steps in all.",
            loop(steps=lambda n: n + 1),
        ),
        Mistake(
            "one token too few is written.",
            "The step that takes the prompt is one of the max_tokens steps, and max_tokens - 1 single ones follow.",
            loop(steps=lambda n: max(n - 1, 0)),
        ),
        Mistake(
            "the cache is there and never used.",
            "The right tokens come out, and every step computes the whole sequence again. Pass the cache to the "
            "model, and push what is new.",
            (naive, naive_after_prefill, reset_and_all),
        ),
        Mistake(
            "the whole sequence is pushed in every step.",
            "The cache keeps what it was given, so each earlier token is now in it again and again. Push the newest "
            "token alone.",
            loop(step=lambda ids, n: ids, place=everywhere),
        ),
        Mistake(
            "positions are one too far on.",
            "The prompt's p tokens stand at 0 to p - 1, so the first new one stands at p: `len(ids) - 1` once it is "
            "in the list.",
            loop(place=lambda ids, n: [len(ids)]),
        ),
        Mistake(
            "positions are one too early.",
            "The first new token would stand where the last of the prompt stands. It stands at p, behind positions 0 "
            "to p - 1.",
            loop(place=lambda ids, n: [len(ids) - 2]),
        ),
        Mistake(
            "every new token stands at position 0.",
            "A step of one token is not a text of one token: its position is the number of tokens before it.",
            loop(place=lambda ids, n: [0]),
        ),
        Mistake(
            "positions are counted from the end of the prompt.",
            "The new tokens go on where the prompt ends: the first of them at p, not at 0.",
            (loop(place=lambda ids, n: [len(ids) - 1 - n]), loop(place=lambda ids, n: [len(ids) - n])),
        ),
        Mistake(
            "positions are counted from 1.",
            "The first token of a text stands at position 0.",
            loop(first=1, place=lambda ids, n: [len(ids)]),
        ),
        Mistake(
            "the first token is dropped.",
            "The whole prompt goes in at prefill, `token_ids[0]` too.",
            (loop(prompt_ids=lambda ids: ids[1:] or ids), loop(prompt_ids=lambda ids: ids[1:] or ids, first=1)),
        ),
        Mistake(
            "the newest token is not pushed.",
            "The cache has the text up to the token before; without the newest one the model does not know what it "
            "wrote.",
            (
                loop(step=lambda ids, n: ids[-2:-1], place=lambda ids, n: [len(ids) - 2]),
                loop(step=lambda ids, n: ids[n - 1 : n]),
            ),
        ),
        Mistake(
            "the last token of the prompt is pushed twice.",
            "The logits of prefill say already what comes after the prompt: read their last row for the first new "
            "token.",
            (prefill_and_again, loop(step=lambda ids, n: ids[-2:], place=lambda ids, n: [len(ids) - 2, len(ids) - 1])),
        ),
        Mistake(
            "the prompt goes in token by token.",
            "The tokens are right, but prefill takes all of the prompt in one call, and that is far quicker: the "
            "weights are read once.",
            one_by_one,
        ),
        Mistake(
            "the first row of logits is read.",
            "Prefill gives a row for each token of the prompt. The token after the last is in the last row, -1.",
            loop(row=0),
        ),
        Mistake(
            "the cache that was passed is not the one that is used.",
            "The caller may want to look at it, or to make it smaller. Hand `cache` to the model.",
            own_cache,
        ),
        Mistake(
            "the cache is emptied between the steps.",
            "Then the newest token sees nothing but itself. Reset it between two texts, not inside one.",
            (loop(door=lambda cache, turn: cache.reset() or cache), emptied_behind),
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
        "Two kinds of step. Prefill pushes the prompt, positions 0 to p - 1, and its last row of logits gives the "
        "first new token. Decode pushes the newest token alone.",
        "`logits = model(tokens, positions, cache)`: the same call for both, with more or fewer tokens. Only `cache` "
        "remembers what came before.",
        "Keep three things: `new`, the tokens written; `step`, the tokens of the next call (first the prompt, then "
        "`new[-1:]`); `start`, the position of the first of them.",
        "In the loop: `logits = model(torch.tensor(step), torch.arange(start, start + len(step)), cache)`, append "
        "`int(logits[-1].argmax())`, then `start += len(step)` and `step = new[-1:]`. Go on while "
        "`len(new) < max_tokens`.",
    ],
    rights=[generate_cached, generate_two_parts, generate_by_what_is_kept],
    why="Prefill and decode are one loop with steps of different length. `start` counts the tokens that were pushed, "
    "which is also the position of the next one. The token that is made last is never pushed, since nobody asks what "
    "follows it.",
)
