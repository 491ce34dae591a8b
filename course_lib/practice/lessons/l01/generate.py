"""Exercise 01.generate: the naive loop, on a model so small that the next token can be computed by hand."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_model import Counted
from course_lib.practice.fixtures.token_lists import PROMPTS, kinds, listed
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .generate_answers import (
    cuts_afterwards,
    generate_as_taught,
    generate_last_row,
    generate_new_only,
    generate_recursively,
    loop,
    loses_digits,
    one_call_too_many,
    only_last,
    prompt_then_last,
    returns_at_once,
    stops_at_total_length,
    stops_on_prompt,
)
from .generate_trials import (
    ENDS_IN_ZERO,
    LONG,
    STOPPED,
    STOPPED_BY_ANY,
    UNTOUCHED,
    list_faults,
    new_ids,
    run,
    story,
    tokens_of_each_call,
)
from .solutions.generate import generate


def counts_the_prompt(answer, _):
    """Whether it returns as many ids as max_tokens, less those of the prompt."""
    return all(len(run(answer, p, 6)[0]) == max(0, 6 - len(p)) for p in ([1], [1, 2], [1, 2, 3], [4], [1] * 7))


def ends_early(answer, found):
    """Whether it returns fewer than max_tokens ids without a stop token, and those are the first ones."""
    if counts_the_prompt(answer, found):
        return False
    pairs = [(run(answer, p, 6)[0], run(generate, p, 6)[0]) for p in ([1], [1, 2], [1, 2, 3], [4])]
    return all(got == want[: len(got)] for got, want in pairs) and len({len(got) for got, _ in pairs}) > 1


def is_random(answer, _):
    """Whether it returns different tokens for one prompt."""
    with torch.random.fork_rng(devices=[]):
        return len({tuple(map(int, run(answer, [1, 2], 5)[0])) for _ in range(20)}) > 1


def equals_naive(answer):
    """Compares the answer with generate_naive on the bundled model. Returns a remark with the number of tokens."""
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
        model, 40, "stopped: the model was called more than 40 times for 24 tokens. Check when the loop ends."
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
    return "24 equal tokens"


GENERATE = Exercise(
    id="01.generate",
    title="The loop",
    name="generate",
    cases="calls",
    properties=[
        Property(
            "It returns a list of `max_tokens` new ids",
            "Only new ids are returned: the caller already has the prompt.",
            [
                Trial(
                    story(p, n),
                    lambda answer, p=p, n=n: kinds(run(answer, p, n, ())[0]),
                    show=listed,
                    size=len(p) + n,
                    explain=list_faults(len(p)),
                )
                for p, n in [([1], 1), ([1, 2], 1), ([2], 2), ([1, 2, 3], 4), ([4, 1], 3)]
            ],
        ),
        Property(
            "With `max_tokens=0` the list is empty",
            "No token needs no step: the model is not called.",
            [new_ids(p, 0) for p in ([1], [2], [1, 2], [3, 1, 4])],
        ),
        Property(
            "Each token follows from the whole sequence before it",
            "The model keeps nothing between calls, so every step computes every token again, at its own position, "
            "counted from 0.",
            [new_ids(p, n) for p in PROMPTS for n in (1, 2, 3, 5)] + [new_ids(*how) for how in ENDS_IN_ZERO] + [LONG],
        ),
        Property(
            "The loop ends after a stop token, which is the last id returned",
            "So the caller sees why it ended. vLLM's engine does the same.",
            [new_ids(p, n, s) for p, n, s in STOPPED],
        ),
        Property(
            "Each of the stop tokens ends the loop, wherever it stands in `stop_token_ids`",
            "A model can have several end tokens: Llama 3 has one for the end of a text and one for the end of a turn.",
            [new_ids(p, n, s) for p, n, s in STOPPED_BY_ANY],
        ),
        Property("The caller's list is not changed", "The same prompt is often used twice.", UNTOUCHED),
        Property(
            "n tokens take n calls, each with the whole sequence",
            "No step is needed after the last token. A stop token is the last one too.",
            [tokens_of_each_call(p, n) for p in PROMPTS[:6] for n in (0, 1, 2, 4)]
            + [tokens_of_each_call(p, n, (s,)) for p in PROMPTS[:6] for s in (1, 3) for n in (2, 4)],
        ),
        Property(
            "On the bundled model it generates the same tokens as `generate_naive`",
            "`generate_naive` is the course's reference.",
            run=equals_naive,
            slow=True,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the prompt is returned too.",
            "Leave it out: `ids[len(token_ids):]` are the new ids.",
            loop(back=lambda ids, new: ids),
        ),
        Mistake(
            "one token too many is generated.",
            "`range(max_tokens)` counts 0 … max_tokens - 1, which is already max_tokens steps.",
            loop(steps=lambda n: n + 1),
        ),
        Mistake(
            "one token too few is generated.",
            "The first new token counts too: max_tokens steps in all.",
            (loop(steps=lambda n: n - 1), loop(steps=lambda n: max(n - 1, 0))),
        ),
        Mistake(
            "the loop ends after its first token.",
            "Check where `return` or `break` is: inside the loop it ends the loop at once.",
            returns_at_once,
        ),
        Mistake(
            "only the newest token is computed.",
            "`Recompute` keeps nothing, so the model attends to one token only and not to the sequence before it. "
            "(With a cache this is right: lesson 02.)",
            (only_last, prompt_then_last, loop(feed=lambda ids: ids[-1:])),
        ),
        Mistake(
            "a long sequence is cut to its last tokens.",
            "Each step runs the model on the whole sequence, with positions from 0. Code with `ids[-block_size:]` "
            "comes from a model that takes no more.",
            tuple(loop(feed=lambda ids, size=size: ids[-size:]) for size in (256, 8192)),
            lambda answer, found: found.trial is LONG and isinstance(found.outcome, list),
        ),
        Mistake(
            "the new tokens are never computed.",
            "Every step computes only the prompt, so every step gets the same token. Append each new token before the "
            "next step.",
            loop(grow=False),
        ),
        Mistake(
            "the token is not taken from the last row of logits.",
            "Row i predicts the token after position i, so use the last row: `logits[-1].argmax()`. `logits[0]` is "
            "the first row, and `logits.argmax()` searches all rows together.",
            (
                loop(row=0),
                loop(row=slice(None)),
                loop(row=slice(None), pick=lambda rows: int(rows.argmax()) % rows.shape[-1]),
            ),
        ),
        Mistake(
            "positions are counted from 1.",
            "The first token is at position 0: `torch.arange(len(ids))`.",
            loop(places=lambda n: torch.arange(1, n + 1)),
        ),
        Mistake(
            "all positions are 0.",
            "The model then cannot tell the order of the tokens: `torch.arange(len(ids))`.",
            loop(places=lambda n: torch.zeros(n, dtype=torch.int64)),
        ),
        Mistake(
            "stop tokens are ignored.",
            "Break as soon as the newest token is in `stop_token_ids`.",
            loop(stop=lambda token, ids, stops: False),
        ),
        Mistake(
            "only one of the stop tokens is looked for.",
            "`stop_token_ids` can hold several: `token in stop_token_ids` asks for all of them.",
            tuple(
                loop(stop=lambda token, ids, stops, place=place: bool(stops) and token == stops[place])
                for place in (0, -1)
            ),
        ),
        Mistake(
            "the stop token is not returned.",
            "Append first, then check for a stop token: it belongs to the returned ids.",
            loop(keep_stop=False),
        ),
        Mistake(
            "the prompt is searched for stop tokens as well.",
            "Only a new token may end the loop; the prompt may contain stop tokens.",
            (stops_on_prompt, loop(stop=lambda token, ids, stops: token in stops or any(i in stops for i in ids))),
        ),
        Mistake(
            "`max_tokens` counts the prompt too.",
            "It is the number of new tokens. Compare it with the number of new ids, not with the length of the "
            "sequence.",
            stops_at_total_length,
            counts_the_prompt,
        ),
        Mistake(
            "the loop ends although no stop token was made.",
            "Only `max_tokens` and the ids in `stop_token_ids` end it. A token such as 0, or one that comes again, "
            "does not.",
            (
                loop(stop=lambda token, ids, stops: token in stops or token == 0),
                loop(stop=lambda token, ids, stops: token in stops or ids[-3:] == [token] * 3),
                loop(stop=lambda token, ids, stops: token in stops or token == ids[-1] == 0),
            ),
            ends_early,
        ),
        loses_digits(loop),
        Mistake(
            "the tokens are drawn at random.",
            "Two calls with one prompt give different tokens. Greedy decoding always takes the largest logit.",
            is_made_by=is_random,
        ),
        Mistake(
            "the caller's list is changed.",
            "`ids = token_ids` is a second name for the same list. `list(token_ids)` is a copy.",
            loop(own=lambda ids: ids),
            writes_into(UNTOUCHED),
        ),
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
        Mistake(
            "the loop goes on after a stop token, and the tokens after it are cut off at the end.",
            "The ids are right, but the model was called for tokens that nobody gets. End the loop at the stop token.",
            cuts_afterwards,
        ),
    ],
    hints=[
        "Keep one list of all ids, of the prompt and new ones. In each step give the model the whole list, read the "
        "last row of logits, append one id.",
        "`tokens = torch.tensor(ids)`, `positions = torch.arange(len(ids))`, `logits = model(tokens, positions, "
        "Recompute())`. The row that predicts the next token is `logits[-1]`.",
        "Start from a copy, `ids = list(token_ids)`, so that the caller's list is not changed. Append "
        "`int(logits[-1].argmax())`, and only then check `if ids[-1] in stop_token_ids: break`.",
        "`for _ in range(max_tokens):` around those lines, and `return ids[len(token_ids):]` below the loop.",
    ],
    rights=[generate, generate_as_taught, generate_last_row, generate_new_only, generate_recursively],
    why="Because of the copy, the caller's list is not changed. Every step computes the whole sequence, because "
    "`Recompute` keeps nothing, and only the last row of logits is read; lesson 02 removes this waste. The token is "
    "appended before the check for stop tokens, so the stop token is returned too. `range(max_tokens)` gives no step "
    "at all for 0.",
)
