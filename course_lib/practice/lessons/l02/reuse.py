"""Cases of 02.reuse: many prompts in turn through one cache."""

import copy

import torch

from course_lib.kvcache import Recompute
from course_lib.practice.fixtures.tiny_text import AddingCache, AddingModel
from course_lib.practice.fixtures.token_lists import explain_tensors
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.generate_cached import generate_cached
from .solutions.reuse import generate_in_turn


def in_turn_listed(model, prompts, max_tokens, cache):
    return [cache.reset() or generate_cached(model, prompt, max_tokens, cache) for prompt in prompts]


def in_turn_in_one_function(model, prompts, max_tokens, cache):
    """Tidies up before and behind each text."""
    cache.reset()
    texts = []
    for prompt in prompts:
        ids, pushed = list(prompt), 0
        while len(ids) - len(prompt) < max_tokens:
            logits = model(torch.tensor(ids[pushed:]), torch.arange(pushed, len(ids)), cache)
            pushed = len(ids)
            ids.append(logits[-1].argmax().item())
        texts.append(ids[len(prompt) :])
        cache.reset()
    return texts


def told(answer, prompts, n, dirty=()):
    """(what is returned, the model, the cache that was passed, the caller's prompts afterwards)."""
    model, cache = AddingModel(most_calls=sum(map(len, prompts)) + n * len(prompts) + 6), AddingCache()
    cache.held = [float(x) for x in dirty]
    own = [list(p) for p in prompts]
    return answer(model, own, n, cache), model, cache, own


def story(prompts, n, dirty=(), then=None):
    lines = [
        "from course_lib.practice.play import AddingModel, AddingCache",
        "model, cache = AddingModel(), AddingCache()  # next: sum of id x (position + 1), modulo 5; the cache adds it up",
    ]
    lines += [f"cache.held = {list(dirty)}  # what somebody left in it"] * bool(dirty)
    call = f"generate_in_turn(model, {[list(p) for p in prompts]}, {n}, cache)"
    return [*lines, call, *([then] if then else [])]


def size(prompts, n, dirty=()):
    return sum(map(len, prompts)) + n * len(prompts) + len(dirty)


def texts(prompts, n, dirty=()):
    return Trial(
        story(prompts, n, dirty),
        lambda answer: told(answer, prompts, n, dirty)[0],
        explain=explain_tensors,
        size=size(prompts, n, dirty),
        note="each as if it were alone",
    )


def pushes(prompts, n):
    return Trial(
        story(prompts, n, then="model.pushed  # tokens in each call"),
        lambda answer: told(answer, prompts, n)[1].pushed,
        size=size(prompts, n),
        note="for each prompt: all of it, then one token a step",
    )


def one_cache(prompts, n):
    def act(answer):
        _, model, cache, _ = told(answer, prompts, n)
        return [known is cache for known in model.caches]

    return Trial(
        story(prompts, n, then="[used is cache for used in model.caches]"),
        act,
        size=size(prompts, n),
        note="the only cache that the model ever saw is the one that was passed",
    )


def without_reset(model, prompts, max_tokens, cache):
    return [generate_cached(model, prompt, max_tokens, cache) for prompt in prompts]


def reset_once_before(model, prompts, max_tokens, cache):
    cache.reset()
    return without_reset(model, prompts, max_tokens, cache)


def reset_behind(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        made.append(generate_cached(model, prompt, max_tokens, cache))
        cache.reset()
    return made


def reset_inside(model, prompts, max_tokens, cache):
    """Empties the cache before every call of the model."""
    made = []
    for prompt in prompts:
        ids, pushed = list(prompt), 0
        for _ in range(max_tokens):
            cache.reset()
            logits = model(torch.tensor(ids[pushed:]), torch.arange(pushed, len(ids)), cache)
            pushed = len(ids)
            ids.append(int(logits[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def new_caches(model, prompts, max_tokens, cache):
    return [generate_cached(model, prompt, max_tokens, type(cache)()) for prompt in prompts]


def copied_caches(model, prompts, max_tokens, cache):
    cache.reset()
    return [generate_cached(model, prompt, max_tokens, copy.deepcopy(cache)) for prompt in prompts]


def new_caches_after_the_first(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        cache.reset()
        made.append(generate_cached(model, prompt, max_tokens, cache))
        cache = type(cache)()
    return made


def positions_go_on(model, prompts, max_tokens, cache):
    """Resets, but counts positions through all texts."""
    made, start = [], 0
    for prompt in prompts:
        cache.reset()
        new, step = [], list(prompt)
        while len(new) < max_tokens:
            logits = model(torch.tensor(step), torch.arange(start, start + len(step)), cache)
            new.append(int(logits[-1].argmax()))
            start += len(step)
            step = new[-1:]
        made.append(new)
    return made


def naive(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(max_tokens):
            ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def reset_and_all(model, prompts, max_tokens, cache):
    made = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(max_tokens):
            cache.reset()
            ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), cache)[-1].argmax()))
        made.append(ids[len(prompt) :])
    return made


def flat(model, prompts, max_tokens, cache):
    return [token for text in generate_in_turn(model, prompts, max_tokens, cache) for token in text]


def last_only(model, prompts, max_tokens, cache):
    return generate_in_turn(model, prompts, max_tokens, cache)[-1] if prompts else []


def first_only(model, prompts, max_tokens, cache):
    return generate_in_turn(model, prompts[:1], max_tokens, cache)


def with_prompts(model, prompts, max_tokens, cache):
    return [[*p, *new] for p, new in zip(prompts, generate_in_turn(model, prompts, max_tokens, cache))]


ALONE = [([p], n) for p in ([1], [2], [1, 2], [4, 1, 2]) for n in (1, 2, 4)]
PAIRS = [([a, b], n) for a in ([1], [2, 1], [3, 1, 4]) for b in ([1], [2], [4, 2]) for n in (1, 2, 3)]
MORE = [
    ([[1], [2], [4]], 2),
    ([[3, 1], [1], [2, 2, 4]], 3),
    ([[1, 2], [1, 2], [1, 2]], 2),
    ([[4], [4, 4], [4, 4, 4], [1]], 3),
]

REUSE = Exercise(
    id="02.reuse",
    title="Two prompts in turn",
    name="generate_in_turn",
    cases="calls",
    properties=[
        Property(
            "It returns one list of new ids for each prompt, in order",
            "Whoever asked must get their own answer.",
            [texts([], 2)] + [texts(prompts, n) for prompts, n in ALONE],
        ),
        Property(
            "A second prompt gets the tokens it would get alone",
            "Nothing of one text may be seen by the next: it would be wrong, and in a server it would be a leak between users.",
            [texts(prompts, n) for prompts, n in PAIRS + MORE],
        ),
        Property(
            "It does not matter what the cache holds at the beginning",
            "Whoever had it before you may not have tidied up.",
            [texts(prompts, n, dirty) for prompts, n in ALONE + PAIRS[:9] for dirty in ([1.0], [2.0, 4.0])],
        ),
        Property(
            "One cache serves all prompts",
            "Its memory was taken once. A new one for each prompt takes it again, and on a GPU there may be no room for two.",
            [one_cache(prompts, n) for prompts, n in ALONE[:4] + PAIRS[:9] + MORE],
        ),
        Property(
            "Each token is pushed once",
            "For each prompt: all of it at once, then one token a step.",
            [pushes(prompts, n) for prompts, n in ALONE + PAIRS + MORE],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the cache is never reset.",
            "The second text attends to the first one too. Call `cache.reset()` before each prompt.",
            without_reset,
        ),
        Mistake(
            "the cache is reset once, before the first prompt.",
            "The second text attends to the first one too. Put `cache.reset()` into the loop.",
            reset_once_before,
        ),
        Mistake(
            "the cache is reset behind each text, and not before it.",
            "The first prompt then meets what somebody else left in it. Reset before you begin.",
            reset_behind,
        ),
        Mistake(
            "the cache is reset inside a text.",
            "Then the newest token sees nothing but itself. Reset once for each prompt.",
            reset_inside,
        ),
        Mistake(
            "there is a new cache for each prompt.",
            "Its memory would be taken again each time. `reset()` makes the one you have as good as new.",
            (new_caches, copied_caches, new_caches_after_the_first),
        ),
        Mistake(
            "positions go on from the text before.",
            "A new text starts at position 0, with an empty cache.",
            positions_go_on,
        ),
        Mistake(
            "the cache is there and never used.",
            "The right tokens come out, but every step computes the whole sequence again.",
            (naive, reset_and_all),
        ),
        Mistake(
            "all tokens are put into one list.", "Return a list of lists: `append` a text, do not `extend` by it.", flat
        ),
        Mistake(
            "only one of the texts is returned.",
            "Collect them in a list, and return it below the loop, not inside.",
            (last_only, first_only),
        ),
        Mistake("the prompts are returned too.", "What comes back is what is new.", with_prompts),
    ],
    hints=[
        "You have a loop that serves one prompt. Call it for each, and ask yourself what it meets in the cache the second time.",
        "`cache.reset()` forgets the text and keeps the memory. It belongs before each prompt, also before the first: you do not know who had the cache before.",
        "`for prompt in prompts:` reset, then `texts.append(generate_cached(model, prompt, max_tokens, cache))`.",
    ],
    rights=[generate_in_turn, in_turn_listed, in_turn_in_one_function],
    why="A reset before each prompt, not behind it: then it does not matter what was in the cache, or how the last text ended.",
)
