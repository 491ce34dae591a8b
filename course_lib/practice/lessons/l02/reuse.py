"""Cases of 02.reuse: many prompts in turn through one cache."""

from course_lib.practice.fixtures.tiny_text import AddingCache, AddingModel
from course_lib.practice.fixtures.token_lists import explain_tensors
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .reuse_answers import (
    copied_caches,
    first_only,
    flat,
    in_turn_in_one_function,
    in_turn_listed,
    last_only,
    naive,
    new_caches,
    new_caches_after_the_first,
    positions_go_on,
    reset_and_all,
    reset_behind,
    reset_inside,
    reset_once_before,
    with_prompts,
    without_reset,
)
from .solutions.reuse import generate_in_turn


def told(answer, prompts, n, dirty=()):
    """(what is returned, the model, the cache that was passed, the caller's prompts afterwards)."""
    model, cache = AddingModel(most_calls=sum(map(len, prompts)) + n * len(prompts) + 6), AddingCache()
    cache.held = [float(x) for x in dirty]
    own = [list(p) for p in prompts]
    return answer(model, own, n, cache), model, cache, own


def story(prompts, n, dirty=(), then=None):
    lines = [
        "from course_lib.practice.play import AddingModel, AddingCache",
        "model, cache = AddingModel(), AddingCache()  # next: sum of id x (position + 1), modulo 5; the cache adds it "
        "up",
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
            "Nothing of one text may be seen by the next: it would be wrong, and in a server it would be a leak "
            "between users.",
            [texts(prompts, n) for prompts, n in PAIRS + MORE],
        ),
        Property(
            "It does not matter what the cache holds at the beginning",
            "Whoever had it before you may not have tidied up.",
            [texts(prompts, n, dirty) for prompts, n in ALONE + PAIRS[:9] for dirty in ([1.0], [2.0, 4.0])],
        ),
        Property(
            "One cache serves all prompts",
            "Its memory was taken once. A new one for each prompt takes it again, and on a GPU there may be no room "
            "for two.",
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
        "You have a loop that serves one prompt. Call it for each, and ask yourself what it meets in the cache the "
        "second time.",
        "`cache.reset()` forgets the text and keeps the memory. It belongs before each prompt, also before the first: "
        "you do not know who had the cache before.",
        "`for prompt in prompts:` reset, then `texts.append(generate_cached(model, prompt, max_tokens, cache))`.",
    ],
    rights=[generate_in_turn, in_turn_listed, in_turn_in_one_function],
    why="A reset before each prompt, not behind it: then it does not matter what was in the cache, or how the last "
    "text ended.",
)
