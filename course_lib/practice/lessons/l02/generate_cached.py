"""Exercise 02.generate_cached: the loop with a cache, on a model and a cache that can be computed by hand."""

import torch

from course_lib.errors import CourseError
from course_lib.kvcache import Recompute
from course_lib.practice.fixtures.tiny_model import Counted
from course_lib.practice.fixtures.token_lists import PROMPTS, kinds, listed
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial
from course_lib.practice.lessons.l01.generate_answers import loses_digits

from .generate_cached_answers import (
    everywhere,
    generate_by_what_is_kept,
    generate_two_parts,
    loop,
    loop_without_the_first,
    naive,
    naive_after_prefill,
    one_by_one,
    one_call_too_many,
    own_cache,
    prefill_and_again,
    prefill_and_append,
    reset_after_each_step,
    reset_and_all,
)
from .generate_cached_trials import callers_list, ends_early, holds, new_ids, run, story, tokens_of_each_call
from .solutions.generate_cached import generate_cached


def up_to(end, ids):
    """The ids up to the first that is `end`."""
    return ids[: ids.index(end) + 1] if end in ids else ids


def decodes_without_cache(answer, found):
    """Whether its steps of one token are run with a `Recompute`."""
    _, _, model, _ = run(answer, [1, 2], 3)
    return model.computed[1:] == [1, 1] and any(isinstance(cache, Recompute) for cache in model.caches)


def equals_naive(answer):
    """Compares tokens with generate_naive on the bundled model, and counts the tokens computed. Returns a remark."""
    from course_lib import SamplingParams
    from course_lib.decoding import generate_naive
    from course_lib.kvcache import ContiguousCache

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
    expected, computed = generate_naive(model, prompt, SamplingParams(max_tokens=24, ignore_eos=True)), []

    class Watched(Counted):
        def __call__(self, token_ids, *args, **kwargs):
            computed.append(len(token_ids))
            return super().__call__(token_ids, *args, **kwargs)

    lines = [
        'model, tokenizer = load_model("tale", device="cpu")',
        'prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")',
        "generate_cached(model, prompt, 24, ContiguousCache(model.config, 256))",
    ]
    cache = ContiguousCache(model.config, 256, device="cpu", dtype=torch.float32)
    watched = Watched(
        model, 60, "stopped: the model was called more than 60 times for 24 tokens. Check when the loop ends."
    )
    trial = Trial(lines, lambda answer: answer(watched, list(prompt), 24, cache), limit_s=60.0)
    got, printed = trial.outcome(torch.inference_mode()(answer))
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    if sum(computed) != len(prompt) + 23:
        raise Counterexample(
            trial.story, f"{len(prompt) + 23} tokens computed", f"{sum(computed)} tokens computed", "each token once"
        )
    naive = sum(range(len(prompt), len(prompt) + 24))
    return f"24 equal tokens; {sum(computed)} computed, naive decoding computes {naive}"


COUNTED = [(p, n) for p in ([1], [1, 2], [4, 1, 2], [3, 1, 4, 1]) for n in (1, 2, 3, 5)]
COUNTED += [([1, 2], 0), ([1, 2, 3, 4] * 10, 1)]

UNTOUCHED = [callers_list(p, n) for p, n in [([1], 1), ([2], 2), ([1, 2], 2), ([3, 1, 4], 4)]]

GENERATE_CACHED = Exercise(
    id="02.generate_cached",
    title="The loop with a cache",
    name="generate_cached",
    cases="calls",
    properties=[
        Property(
            "It returns a list of `max_tokens` new ids",
            "Only new ids are returned: the caller already has the prompt.",
            [
                Trial(story(p, n), lambda answer, p=p, n=n: kinds(run(answer, p, n)[0]), show=listed, size=len(p) + n)
                for p, n in [([1], 1), ([1, 2], 1), ([2], 2), ([1, 2, 3], 4), ([4, 1], 3)]
            ],
        ),
        Property(
            "With `max_tokens=0` the list is empty",
            "No token needs no step: the model is not called.",
            [new_ids(p, 0) for p in ([1], [2], [1, 2], [3, 1, 4])],
        ),
        Property(
            "The tokens are the same as in naive decoding",
            "A cache changes what is computed, never the result. In this model each token depends on all tokens "
            "before it and on their positions.",
            [new_ids(p, n) for p in PROMPTS for n in (1, 2, 3, 5)],
        ),
        Property(
            "The first call computes the whole prompt, each later call one token",
            "This is the work that the cache saves: p tokens in the first call and 1 in each later call.",
            [tokens_of_each_call(p, n) for p, n in COUNTED],
        ),
        Property(
            "The cache that was passed holds every token except the last new one",
            "Every token that was computed is in the cache. The last new token is never computed.",
            [holds(p, n) for p, n in COUNTED],
        ),
        Property("The caller's list is not changed", "The same prompt is often used twice.", UNTOUCHED),
        Property(
            "On the bundled model it generates the same tokens as `generate_naive`, and computes each token once",
            "`generate_naive` is the course's reference.",
            run=equals_naive,
            slow=True,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the prompt is returned too.",
            "Return only the new ids: the caller already has the prompt.",
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
            "the cache is never used.",
            "The tokens are right, but every step computes the whole sequence again. Pass the cache to the model, and "
            "compute only the new tokens.",
            (naive, naive_after_prefill, reset_and_all),
        ),
        Mistake(
            "the steps of one token get no cache.",
            "`Recompute()` keeps nothing, so the newest token attends only to itself. Pass `cache` in every call.",
            is_made_by=decodes_without_cache,
        ),
        Mistake(
            "the whole sequence is computed in every step.",
            "The cache keeps every token that was computed, so each earlier token is in it several times. Compute only "
            "the newest token.",
            loop(step=lambda ids, n: ids, place=everywhere),
        ),
        Mistake(
            "positions are one too large.",
            "The prompt's p tokens are at positions 0 to p - 1, so the first new token is at p: `len(ids) - 1` after "
            "it was appended.",
            loop(place=lambda ids, n: [len(ids)]),
        ),
        Mistake(
            "positions are one too small.",
            "The first new token gets the position of the last token of the prompt. It must be p, after positions 0 "
            "to p - 1.",
            loop(place=lambda ids, n: [len(ids) - 2]),
        ),
        Mistake(
            "the position does not move on.",
            "Each new token has a position of its own, the number of tokens before it: add 1 in each step.",
            loop(place=lambda ids, n: [n]),
        ),
        Mistake(
            "every new token is at position 0.",
            "A step of one token is not a sequence of one token: its position is the number of tokens before it.",
            loop(place=lambda ids, n: [0]),
        ),
        Mistake(
            "positions are counted from the end of the prompt.",
            "The positions continue after the prompt: the first new token is at p, not at 0.",
            (loop(place=lambda ids, n: [len(ids) - 1 - n]), loop(place=lambda ids, n: [len(ids) - n])),
        ),
        Mistake(
            "positions are counted from 1.",
            "The first token of a sequence is at position 0.",
            loop(first=1, place=lambda ids, n: [len(ids)]),
        ),
        Mistake(
            "the first token is not computed.",
            "Prefill computes the whole prompt, also `token_ids[0]`.",
            (loop(prompt_ids=lambda ids: ids[1:] or ids), loop(prompt_ids=lambda ids: ids[1:] or ids, first=1)),
        ),
        Mistake(
            "the newest token is not computed.",
            "The cache holds the sequence up to the token before. Without the newest token the model does not know "
            "which token it generated.",
            (
                loop(step=lambda ids, n: ids[-2:-1], place=lambda ids, n: [len(ids) - 2]),
                loop(step=lambda ids, n: ids[n - 1 : n]),
            ),
        ),
        Mistake(
            "the last token of the prompt is computed twice.",
            "The logits of prefill already predict the token after the prompt: read their last row for the first new "
            "token.",
            (
                prefill_and_again,
                prefill_and_append,
                loop(step=lambda ids, n: ids[-2:], place=lambda ids, n: [len(ids) - 2, len(ids) - 1]),
            ),
        ),
        Mistake(
            "the token that prefill gives is left out.",
            "The last row of prefill predicts the first new token: it is the first that is returned.",
            loop_without_the_first,
        ),
        Mistake(
            "the prompt is computed token by token.",
            "The tokens are right, but one call for the whole prompt is much faster: it reads the weights once.",
            one_by_one,
        ),
        Mistake(
            "the first row of logits is read.",
            "Prefill returns a row for each token of the prompt. The last row, -1, predicts the token after the "
            "prompt.",
            loop(row=0),
        ),
        Mistake(
            "the code uses another cache than the one that was passed.",
            "The caller chose this cache and may read it later. Pass `cache` to the model, and do not reset it at the "
            "end.",
            own_cache,
        ),
        Mistake(
            "the cache is reset between the steps.",
            "Then the newest token attends only to itself. Reset the cache between two sequences, not inside one.",
            (loop(cache_of=lambda cache, turn: cache.reset() or cache), reset_after_each_step),
        ),
        Mistake(
            "the loop ends before `max_tokens`.",
            "No token ends this loop: it returns `max_tokens` ids, whatever they are.",
            tuple(lambda *given, end=end: up_to(end, generate_cached(*given)) for end in (0, 2)),
            ends_early,
        ),
        Mistake(
            "the caller's list is changed.",
            "`ids = token_ids` is a second name for the same list. `list(token_ids)` is a copy.",
            loop(own=lambda ids: ids),
            writes_into(UNTOUCHED),
        ),
        loses_digits(loop),
        Mistake(
            "tensors are put into the list.",
            "`argmax` returns a tensor with one number. `int(…)` converts it to an `int`.",
            loop(pick=lambda row: row.argmax()),
        ),
        Mistake(
            "the model is called once more than needed.",
            "Step n produces the last token. No call is needed after it.",
            one_call_too_many,
        ),
    ],
    hints=[
        "There are two kinds of step. Prefill computes the prompt, positions 0 to p - 1, and its last row of logits "
        "gives the first new token. Decode computes only the newest token.",
        "`logits = model(tokens, positions, cache)`: both kinds of step use this call, with more or fewer tokens. "
        "Only `cache` keeps the earlier tokens.",
        "Keep three variables: `new`, the new tokens; `step`, the tokens of the next call (first the prompt, then "
        "`new[-1:]`); `start`, the position of the first token in `step`.",
        "In the loop: `logits = model(torch.tensor(step), torch.arange(start, start + len(step)), cache)`, append "
        "`int(logits[-1].argmax())`, then `start += len(step)` and `step = new[-1:]`. Repeat while "
        "`len(new) < max_tokens`.",
    ],
    rights=[generate_cached, generate_two_parts, generate_by_what_is_kept],
    why="Prefill and decode are one loop with steps of different lengths. `start` counts the tokens that were "
    "computed; this is also the position of the next token. The last new token is never computed, because no token "
    "is needed after it.",
)
