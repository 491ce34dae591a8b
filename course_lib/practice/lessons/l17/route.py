"""The exercise 17.route: scripts of prompts and loads, and which replica each prompt goes to."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .route_answers import RouterWithChains, RouterWithPrompts, RouterWithTrees
from .route_mistakes import MISTAKES
from .solutions.route import PrefixRouter


def routed(setup, *calls, note=""):
    """The Trial of calls in a row: (prompt, loads) each. setup: replicas, block_size, max_imbalance, max_load."""

    def act(answer):
        router = answer(*setup)
        return [as_python(router.choose(list(prompt), list(loads))) for prompt, loads in calls]

    story = [
        f"router = PrefixRouter{setup}",
        f"calls = [{', '.join(f'({list(prompt)}, {list(loads)})' for prompt, loads in calls)}]",
        "[router.choose(token_ids, loads) for token_ids, loads in calls]",
    ]
    return Trial(story, act, note=note, size=sum(len(prompt) + len(loads) for prompt, loads in calls))


def untouched(loads):
    def act(answer):
        prompt, given = [5, 6, 7], list(loads)
        answer(len(loads), 2, 1, 4).choose(prompt, given)
        return prompt, given

    story = [
        f"token_ids, loads = [5, 6, 7], {loads}",
        f"PrefixRouter({len(loads)}, 2, 1, 4).choose(token_ids, loads)",
        "token_ids, loads",
    ]
    return Trial(story, act, note="as before", size=len(loads))


def goes_on(note="the prompt that was sent is 5 6"):
    """The Trial of a caller who appends the output to its list after the call."""

    def act(answer):
        router, prompt = answer(2, 2, 9, 9), [5, 6]
        first = as_python(router.choose(prompt, [1, 0]))
        prompt += [7, 8]
        others = [as_python(router.choose([1, 2], [0, 1])), as_python(router.choose([5, 6, 7, 8], [0, 1]))]
        prompt[:] = [1, 2]
        return [first, *others, as_python(router.choose([1, 2, 3, 3], [1, 0]))]

    story = [
        "router, prompt = PrefixRouter(2, 2, 9, 9), [5, 6]",
        "first = router.choose(prompt, [1, 0])",
        "prompt += [7, 8]",
        "others = [router.choose([1, 2], [0, 1]), router.choose([5, 6, 7, 8], [0, 1])]",
        "prompt[:] = [1, 2]",
        "[first, *others, router.choose([1, 2, 3, 3], [1, 0])]",
    ]
    return Trial(story, act, note=note, size=20)


def after_many(number):
    """The Trial of a prompt that comes again after many others."""

    def act(answer):
        router = answer(2, 1, 0, 9)
        for first in range(number):
            router.choose([first, 7], [1, 0])
        return [as_python(router.choose([first, 8], [0, 0])) for first in (0, number // 2, number - 1)]

    story = [
        "router = PrefixRouter(2, 1, 0, 9)",
        f"for first in range({number}):",
        "    router.choose([first, 7], [1, 0])",
        f"[router.choose([first, 8], [0, 0]) for first in (0, {number // 2}, {number - 1})]",
    ]
    return Trial(story, act, note="replica 1 was sent all of them", size=100 + number)


def two_routers():
    def act(answer):
        one, other = answer(2, 2, 9, 9), answer(2, 2, 9, 9)
        return [as_python(one.choose([5, 6], [1, 0])), as_python(other.choose([5, 6], [0, 1]))]

    story = [
        "one, other = PrefixRouter(2, 2, 9, 9), PrefixRouter(2, 2, 9, 9)",
        "[one.choose([5, 6], [1, 0]), other.choose([5, 6], [0, 1])]",
    ]
    return Trial(story, act, note="the other router was asked nothing before", size=4)


A, B, C = [1, 1], [2, 2], [3, 3]
EASY = (2, 2, 9, 9)
GOES_ON = [goes_on()]
UNTOUCHED = [untouched([0, 0]), untouched([2, 1, 0])]

ROUTE = Exercise(
    id="17.route",
    title="Which replica a request goes to",
    name="PrefixRouter",
    cases="scripts",
    properties=[
        Property(
            "Where nothing is known, the smallest load decides, then the smallest number",
            "A prompt that nobody has seen costs the same everywhere.",
            [
                routed(EASY, (A, [0, 0])),
                routed(EASY, (A, [1, 0])),
                routed((3, 2, 9, 9), (A, [2, 1, 1])),
                routed((4, 1, 9, 9), ([7], [3, 2, 0, 0])),
                routed(EASY, (A, [0, 0]), (B, [1, 0]), (C, [1, 1])),
            ],
        ),
        Property(
            "A prompt goes where the longest beginning of it was sent",
            "There its blocks are cached, if they were not evicted since.",
            [
                routed(EASY, (A, [1, 0]), (A, [0, 1])),
                routed(EASY, (A, [1, 0]), (A + B, [0, 1]), (A + B, [0, 1])),
                routed(EASY, (A + B, [1, 0]), (A, [0, 5])),
                routed((3, 2, 0, 9), (A, [1, 1, 0]), (A + B, [1, 0, 1]), (A + B + C, [0, 0, 0]), (A + C, [0, 0, 0])),
                routed(EASY, (A + B, [1, 0]), (B + A, [0, 1]), (A + B + C, [0, 3]), note="2 2 1 1 begins otherwise"),
                routed((3, 1, 0, 9), ([1, 2, 3], [1, 1, 0]), ([1, 2], [1, 0, 1]), ([1, 2, 3, 4], [0, 0, 0])),
                routed((2, 3, 9, 9), ([1, 2, 3, 4, 5, 6], [1, 0]), ([1, 2, 3, 4, 5, 6, 7], [0, 1])),
                routed((2, 1, 0, 9), (range(8), [1, 0]), (range(9), [0, 1]), (range(8), [1, 0]), (range(9), [1, 1])),
                routed((2, 1, 0, 9), (range(30), [1, 0]), (range(29), [0, 1]), (range(30), [0, 0])),
                routed((2, 2, 0, 9), (A, [0, 1]), (A + B, [1, 0]), (A + B, [0, 0])),
                routed((2, 1, 0, 9), ([1], [0, 1]), ([1, 2], [1, 0]), ([1, 2, 3], [0, 0])),
                routed((2, 2, 0, 9), (A, [0, 1]), (A, [0, 1]), (A, [0, 1]), (A + B, [1, 0]), (A + B, [0, 0])),
                routed((2, 1, 0, 9), *[([1], [0, 1])] * 3, ([1, 2], [1, 0]), ([1, 2], [0, 0])),
                routed((3, 2, 0, 9), *[(B, [0, 1, 1])] * 4, (B + A, [1, 1, 0]), (B + A + C, [0, 0, 0])),
            ],
        ),
        Property(
            "Only whole blocks count",
            "A prefix cache keeps whole blocks.",
            [
                routed((2, 4, 9, 9), ([1, 2, 3], [1, 0]), ([1, 2, 3], [0, 1])),
                routed(EASY, ([1, 1, 5], [1, 0]), ([1, 1, 5], [0, 1])),
                routed((2, 2, 0, 9), (A, [1, 0]), ([1, 1, 2], [0, 1]), ([1, 1, 2, 4], [0, 0])),
                routed(EASY, ([1, 1, 2, 2], [1, 0]), ([1, 1, 2, 3], [0, 1]), ([1, 5], [0, 1])),
                routed((2, 3, 0, 9), ([1, 2, 3, 4], [0, 1]), ([1, 2, 3, 4, 5], [1, 0]), ([1, 2, 3, 4, 5], [1, 1])),
            ],
        ),
        Property(
            "Equal blocks in another place do not count",
            "The keys and values of a block depend on all tokens before it.",
            [
                routed(EASY, (A + B, [1, 0]), (B, [0, 1])),
                routed(EASY, (A + B, [1, 0]), (C + B, [0, 1])),
                routed((2, 1, 9, 9), ([1, 2, 3], [1, 0]), ([4, 2, 3], [0, 1])),
                routed(EASY, (A + B + C, [1, 0]), (B + B + C, [0, 1])),
                routed(EASY, (A + B, [1, 0]), (B + A, [0, 1])),
                routed((2, 2, 0, 9), (A + B + C, [1, 0]), (A + C, [0, 1]), (A + B, [0, 0])),
                routed((2, 2, 0, 9), (A + B + C, [1, 0]), (B, [0, 1]), (A + C + B, [0, 0])),
                routed((2, 2, 0, 9), (A + C, [1, 0]), (B + C, [1, 0]), (A, [0, 1]), (A + B + C, [0, 0])),
                routed((2, 2, 0, 9), (C + B, [0, 1]), (A + B + B, [0, 1]), (C + B + B, [1, 0]), (C + B + B, [0, 0])),
                routed(EASY, ([1, 12], [1, 0]), ([11, 2], [0, 1]), note="1 12 and 11 2 are other tokens"),
                routed(EASY, ([1, 2, 3, 4], [1, 0]), ([2, 1, 3, 4], [0, 1]), note="the same tokens in another order"),
                routed((2, 3, 9, 9), ([1, 2, 3], [1, 0]), ([3, 2, 1], [0, 1])),
            ],
        ),
        Property(
            "Of replicas with equally long beginnings the smallest load decides, then the smallest number",
            "Both have the blocks, so the one with less to do is sooner ready.",
            [
                routed((3, 2, 0, 9), (A, [1, 0, 1]), (A, [1, 1, 0]), (A, [0, 0, 0])),
                routed((3, 2, 1, 9), (A, [2, 0, 2]), (A, [2, 2, 0]), (A, [2, 2, 1])),
                routed((3, 2, 1, 9), (A, [2, 2, 0]), (A, [2, 0, 2]), (A, [2, 1, 2])),
            ],
        ),
        Property(
            "A replica that is more than `max_imbalance` above the smallest load gets nothing",
            "Otherwise all requests with the same system prompt would wait at one replica. Of those that are left the "
            "one with the longest beginning is taken.",
            [
                routed((2, 2, 2, 9), (A, [0, 0]), (A, [2, 0])),
                routed((2, 2, 2, 9), (A, [0, 0]), (A, [3, 0])),
                routed((2, 2, 0, 9), (A, [0, 0]), (A, [1, 1]), (A, [2, 1])),
                routed((2, 2, 1, 9), (A, [4, 5]), (A, [5, 4]), (A, [6, 4])),
                routed(
                    (3, 2, 2, 9), (A, [9, 0, 9]), (A + B, [0, 9, 9]), (A + B, [4, 1, 1]), note="replica 1 has 1 1 too"
                ),
                routed((3, 2, 2, 9), (A, [9, 9, 0]), (A + B, [0, 9, 9]), (A + B, [5, 1, 3])),
                routed((3, 2, 1, 9), (A, [0, 0, 0]), (A, [3, 3, 1]), (A, [3, 2, 2])),
                routed((2, 2, 2, 9), (A, [3, 4]), (A, [5, 4])),
                routed((3, 2, 1, 9), (A, [5, 6, 6]), (A, [6, 5, 5])),
                routed((3, 2, 2, 9), (A, [9, 0, 9]), (A + B, [0, 9, 9]), (A + B, [4, 2, 1])),
            ],
        ),
        Property(
            "A full replica gets nothing; if all are full, the answer is `None`",
            "A request that no replica can take waits at the router. Nothing is remembered of it, since it was not "
            "sent.",
            [
                routed((1, 2, 9, 1), (A, [0]), (A, [1]), (A, [0])),
                routed((2, 2, 9, 3), (A, [0, 0]), (A, [2, 0])),
                routed((2, 2, 9, 3), (A, [0, 0]), (A, [3, 0])),
                routed((2, 2, 9, 3), (A, [3, 3]), (A, [4, 3])),
                routed((2, 2, 9, 3), ([], [3, 3]), note="no whole block, and no replica"),
                routed((2, 2, 9, 3), ([1], [4, 3]), ([1], [3, 4]), note="no whole block, and no replica"),
                routed((3, 4, 9, 2), ([1, 2, 3], [2, 2, 3]), ([1, 2, 3], [2, 2, 1]), ([1, 2], [5, 2, 2])),
                routed((2, 2, 9, 3), (A, [3, 3]), (A, [1, 0]), (A, [0, 1])),
                routed((2, 2, 9, 3), (A + B, [4, 3]), (A + B, [0, 1])),
                routed((3, 2, 9, 2), (A, [2, 2, 2]), (A, [1, 0, 1])),
                routed((3, 2, 9, 4), (A, [4, 0, 4]), (A + B, [0, 4, 4]), (A + B, [4, 2, 1])),
                routed((2, 2, 0, 2), (A, [2, 2]), (A, [1, 1])),
                routed((3, 2, 9, 3), (A + B, [1, 0, 1]), (A, [0, 1, 1]), (A + B, [1, 3, 0])),
            ],
        ),
        Property(
            "What a replica was sent stays known",
            "Each prompt adds to what is known. It replaces nothing.",
            [
                routed(EASY, (A, [1, 0]), (B, [1, 0]), (C, [0, 1]), (A, [0, 1])),
                routed(EASY, (A + B, [1, 0]), (A + C, [1, 0]), (C, [0, 1]), (A + B, [0, 1])),
                routed(EASY, (A, [1, 0]), (B, [1, 0]), (A, [0, 1])),
                routed(EASY, (A + B, [1, 0]), (C, [1, 0]), (B + C, [1, 0]), (A + B, [0, 1])),
                routed((2, 2, 0, 9), (A, [1, 0]), (A + B, [1, 0]), (A, [0, 1]), (A + B, [0, 0])),
                routed((2, 1, 0, 9), ([1], [1, 0]), ([1, 2], [1, 0]), ([1], [0, 1]), ([1, 2, 3], [0, 0])),
                routed((3, 2, 0, 9), (A, [1, 1, 0]), (A + C, [1, 1, 0]), (A, [0, 1, 1]), (A + C, [0, 0, 0])),
                routed((3, 2, 2, 9), (A, [0, 0, 0]), (A, [5, 0, 0]), (A, [5, 5, 0]), (A, [1, 0, 2]), (A, [2, 2, 0])),
                after_many(40),
                after_many(300),
                after_many(1000),
            ],
        ),
        Property(
            "A prompt without a whole block goes to the smallest load",
            "Nothing of it can be cached.",
            [routed(EASY, ([], [1, 0])), routed(EASY, ([5], [0, 0]), ([5], [1, 0])), routed((2, 8, 9, 9), (A, [3, 1]))],
        ),
        Property(
            "Each router remembers for itself, and keeps what was sent as it was",
            "The caller goes on with its own lists after the call.",
            [two_routers(), *GOES_ON],
        ),
        Property("The caller's lists are not changed", "The caller counts its requests itself.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's lists are changed.",
            "`loads` and `token_ids` belong to the caller, who counts the requests itself. Use lists of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "the caller's list is kept, which changes later.",
            "Keep a copy, such as a tuple.",
            is_made_by=writes_into(GOES_ON),
        ),
        *MISTAKES,
    ],
    hints=[
        "Keep a set for each replica, made in `__init__`, of the beginnings that it was sent. A beginning is "
        "`tuple(token_ids[:end])` with `end` at the end of each whole block.",
        "The replicas that may get something: `load <= min(loads) + max_imbalance` and `load < max_load`. If there is "
        "none, return `None` before anything is remembered.",
        "How many of this prompt's beginnings are in the set of a replica is how many blocks it was sent: a prompt "
        "that has a beginning has all shorter ones too.",
        "`min(allowed, key=lambda r: (-known[r], loads[r], r))`. Then add the beginnings to the set of the chosen one.",
    ],
    rights=[PrefixRouter, RouterWithPrompts, RouterWithTrees, RouterWithChains],
    why="The router knows what it sent, not what is still cached: it asks nobody, so it is fast, and it is wrong "
    "where a replica has evicted. SGLang's cache-aware router works like this, with a tree of bounded size.",
)
