"""Exercise 02.reuse: many prompts one after the other through one cache."""

from dataclasses import replace

from course_lib.practice.fixtures.tiny_sequence import AddingCache, AddingModel
from course_lib.practice.fixtures.token_lists import explain_tensors
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .reuse_answers import (
    copied_caches,
    each_once,
    each_once_at_the_end,
    first_only,
    flat,
    from_the_end,
    in_order,
    in_turn_in_one_function,
    in_turn_listed,
    last_only,
    naive,
    new_caches,
    new_caches_after_the_first,
    positions_go_on,
    reset_after,
    reset_and_all,
    reset_inside,
    reset_once_before,
    with_prompts,
    without_reset,
)
from .solutions.reuse import generate_in_turn


def run(answer, prompts, n, dirty=()):
    """(what the answer returns, the model, the cache that was passed, the caller's prompts after the call)."""
    model, cache = AddingModel(most_calls=sum(map(len, prompts)) + n * len(prompts) + 6), AddingCache()
    cache.held = [float(x) for x in dirty]
    own = [list(p) for p in prompts]
    return answer(model, own, n, cache), model, cache, own


def story(prompts, n, dirty=(), then=None):
    lines = [
        "from course_lib.practice.play import AddingModel, AddingCache",
        "model, cache = AddingModel(), AddingCache()  # next: sum of id x (position + 1), modulo 5; the cache takes "
        "the sum",
    ]
    lines += [f"cache.held = {list(dirty)}  # left from an earlier use"] * bool(dirty)
    call = f"generate_in_turn(model, {[list(p) for p in prompts]}, {n}, cache)"
    return [*lines, call, *([then] if then else [])]


def size(prompts, n, dirty=()):
    return sum(map(len, prompts)) + n * len(prompts) + len(dirty)


def sequences(prompts, n, dirty=()):
    return Trial(
        story(prompts, n, dirty),
        lambda answer: run(answer, prompts, n, dirty)[0],
        explain=explain_tensors,
        size=size(prompts, n, dirty),
        note="each the same as alone",
    )


def tokens_of_each_call(prompts, n):
    return Trial(
        story(prompts, n, then="model.computed  # tokens in each call"),
        lambda answer: run(answer, prompts, n)[1].computed,
        size=size(prompts, n),
        note="for each prompt: the whole prompt, then one token a step",
    )


def one_cache(prompts, n):
    def act(answer):
        _, model, cache, _ = run(answer, prompts, n)
        return [known is cache for known in model.caches]

    return Trial(
        story(prompts, n, then="[used is cache for used in model.caches]"),
        act,
        size=size(prompts, n),
        note="the model was called only with the cache that was passed",
    )


def untouched(prompts, n):
    return Trial(
        [*story([], 0)[:-1], f"prompts = {prompts}", f"generate_in_turn(model, prompts, {n}, cache)", "prompts"],
        lambda answer: run(answer, prompts, n)[3],
        size=size(prompts, n),
    )


def one_list_for_all(answer, found):
    """Whether it returns one list several times."""
    sequences = run(answer, [[1], [2]], 2)[0]
    return len(sequences) == 2 and sequences[0] is sequences[1]


ALONE = [([p], n) for p in ([1], [2], [1, 2], [4, 1, 2]) for n in (1, 2, 4)]
PAIRS = [([a, b], n) for a in ([1], [2, 1], [3, 1, 4]) for b in ([1], [2], [4, 2]) for n in (1, 2, 3)]
MORE = [
    ([[1], [2], [4]], 2),
    ([[3, 1], [1], [2, 2, 4]], 3),
    ([[1, 2], [1, 2], [1, 2]], 2),
    ([[4], [4, 4], [4, 4, 4], [1]], 3),
]

UNTOUCHED = [untouched(prompts, n) for prompts, n in ALONE[:3] + PAIRS[:3] + MORE[:2]]

REUSE = Exercise(
    id="02.reuse",
    title="Two prompts in turn",
    name="generate_in_turn",
    cases="calls",
    properties=[
        Property(
            "It returns one list of new ids for each prompt, in order",
            "Each caller must get the answer to their own prompt.",
            [sequences(prompts, n) for prompts, n in ALONE + [([[1]], 0), ([[1], [2, 1]], 0)]]
            + [replace(sequences([], 2), size=99)],  # it shows little, so it comes last
        ),
        Property(
            "A second prompt gets the same tokens as alone",
            "The next sequence must not attend to the one before: the result would be wrong, and in a server it would "
            "leak data between users.",
            [sequences(prompts, n) for prompts, n in PAIRS + MORE],
        ),
        Property(
            "The result does not depend on what the cache holds at the start",
            "An earlier user of the cache may not have reset it.",
            [sequences(prompts, n, dirty) for prompts, n in ALONE + PAIRS[:9] for dirty in ([1.0], [2.0, 4.0])],
        ),
        Property(
            "One cache serves all prompts",
            "Its memory was allocated once. A new cache for each prompt allocates it again, and a GPU may not have "
            "memory for two.",
            [one_cache(prompts, n) for prompts, n in ALONE[:4] + PAIRS[:9] + MORE],
        ),
        Property(
            "Each token is computed once",
            "For each prompt: the whole prompt in one step, then one token a step.",
            [tokens_of_each_call(prompts, n) for prompts, n in ALONE + PAIRS + MORE],
        ),
        Property("The caller's prompts are not changed", "The same prompts are often used again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the cache is never reset.",
            "The second sequence attends to the first one too. Call `cache.reset()` before each prompt.",
            without_reset,
        ),
        Mistake(
            "the cache is reset once, before the first prompt.",
            "The second sequence attends to the first one too. Put `cache.reset()` into the loop.",
            reset_once_before,
        ),
        Mistake(
            "the cache is reset after each sequence, and not before it.",
            "Then the first prompt attends to what an earlier user left in the cache. Reset it before the first "
            "prompt.",
            reset_after,
        ),
        Mistake(
            "the cache is reset inside a sequence.",
            "Then the newest token attends only to itself. Reset the cache once for each prompt.",
            reset_inside,
        ),
        Mistake(
            "there is a new cache for each prompt.",
            "Its memory would be allocated again each time. After `reset()` the cache that you have is empty again.",
            (new_caches, copied_caches, new_caches_after_the_first),
        ),
        Mistake(
            "positions continue from the sequence before.",
            "A new sequence starts at position 0, with an empty cache.",
            positions_go_on,
        ),
        Mistake(
            "the cache is never used.",
            "The tokens are right, but every step computes the whole sequence again.",
            (naive, reset_and_all),
        ),
        Mistake(
            "all tokens are put into one list.",
            "Return a list of lists: use `append` for each sequence, not `extend`.",
            flat,
        ),
        Mistake(
            "only one of the sequences is returned.",
            "Collect the sequences in a list, and return it after the loop, not inside.",
            (last_only, first_only),
        ),
        Mistake("the prompts are returned too.", "Return only the new ids.", with_prompts),
        Mistake(
            "the sequences come in another order than the prompts.",
            "Each caller gets the sequence at the place of their prompt. Serve the prompts in the order of the list.",
            tuple(in_order(key) for key in (len, None, lambda prompt: -len(prompt))) + (from_the_end,),
        ),
        Mistake(
            "all sequences are one and the same list.",
            "A list that is filled again changes wherever it was put before. Make a new list for each prompt.",
            is_made_by=one_list_for_all,
        ),
        Mistake(
            "equal prompts get one sequence together.",
            "A dict with the prompts as keys has each of them once. Collect the sequences in a list.",
            (each_once, each_once_at_the_end),
        ),
        Mistake(
            "the caller's prompts are changed.",
            "`pop`, `append` and `+=` change the caller's list. `list(prompt)` is a copy.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "You have a loop that serves one prompt. Call it for each prompt. What does the cache hold when it is called "
        "for the second time?",
        "`cache.reset()` forgets the sequence and keeps the memory. Call it before each prompt, also before the "
        "first: you do not know what the cache holds.",
        "`for prompt in prompts:` reset, then `new.append(generate_cached(model, prompt, max_tokens, cache))`.",
    ],
    rights=[generate_in_turn, in_turn_listed, in_turn_in_one_function],
    why="The cache is reset before each prompt, not after it. So the result does not depend on what was in the cache, "
    "or on how the last sequence ended.",
)
