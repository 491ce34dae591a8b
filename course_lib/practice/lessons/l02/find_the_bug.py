"""Exercise 02.find_the_bug: a tool that finds the bug of a cache, and its layer, without reading its code."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.seeded import BUGS, CacheA, CacheB, CacheC, seeded_cache, tiny_transformer
from course_lib.practice.judge.common_mistakes import changes
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .find_the_bug_answers import empty_first, find_by_position, find_with_twin, last_layer, longer_first, tool
from .solutions.find_the_bug import find_the_bug


def on(layers, bug, layer, ids):
    """The Trial of one bug in layer `layer` of a model with `layers` layers."""
    model = tiny_transformer(layers)
    lines = [
        "from course_lib.practice.play import seeded_cache, tiny_transformer",
        f"model = tiny_transformer({layers})  # {layers} layers, random weights",
        f"find_the_bug(model, {ids}, lambda: seeded_cache({bug!r}, layer={layer})(model.config, {len(ids)}))",
    ]

    def act(answer):
        got = answer(model, list(ids), lambda: seeded_cache(bug, layer)(model.config, len(ids)))
        return tuple(got) if isinstance(got, list) else got

    return Trial(lines, act, size=layers + layer + len(ids), explain=not_a_pair)


def not_a_pair(expected, got):
    """What is odd about the form of an answer, in words; "" for a pair of a name and a layer, and for None."""
    if got is None or isinstance(got, tuple) and len(got) == 2 and got[0] in BUGS and isinstance(got[1], int):
        return ""
    names = ", ".join(f'"{name}"' for name in BUGS)
    return f"Return a pair, the name and the layer, or None. The names are {names}."


def untouched(bug, layer, ids):
    """The Trial that compares the caller's token ids after the call."""
    base = on(2, bug, layer, ids)
    *first, call = base.story

    def act(answer):
        own, model = list(ids), tiny_transformer(2)
        answer(model, own, lambda: seeded_cache(bug, layer)(model.config, len(ids)))
        return own

    story = [*first, f"ids = {ids}", call.replace(str(ids), "ids"), "ids"]
    return Trial(story, act, size=base.size)


SEQUENCES = [[3, 1, 4, 1], [2, 7, 1, 8, 2], [1, 6, 1, 8, 0, 3]]
PLACES = [(1, 0), (2, 1), (3, 0), (3, 2)]


def every(bug):
    return [on(layers, bug, layer, ids) for layers, layer in PLACES for ids in SEQUENCES]


UNTOUCHED = [untouched(bug, layer, ids) for bug in (None, *BUGS) for layer in (0, 1) for ids in SEQUENCES[:1]]


def finds_the_three(answer):
    """Runs the answer on the three caches of the exercise, with the bundled model."""
    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived")
    for name, kind in (("CacheA", CacheA), ("CacheB", CacheB), ("CacheC", CacheC)):
        trial = Trial(
            [
                "from course_lib.practice.play import CacheA, CacheB, CacheC",
                'model, tokenizer = load_model("tale", device="cpu")',
                'ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived")',
                f"find_the_bug(model, ids, lambda: {name}(model.config, 64))",
            ],
            lambda answer: answer(model, list(ids), lambda: kind(model.config, 64)),
            limit_s=30.0,
        )
        got, printed = trial.outcome(answer)
        if not isinstance(got, (tuple, list)) or tuple(got) != (kind.bug, kind.faulty):
            raise Counterexample(trial.story, (kind.bug, kind.faulty), got, printed=printed)
    return "all three bugs are found"


FIND_THE_BUG = Exercise(
    id="02.find_the_bug",
    title="What is wrong with this cache?",
    name="find_the_bug",
    cases="caches",
    properties=[
        Property(
            "It finds a cache that writes one position off",
            "The prompt already reads wrong keys, so prefill differs.",
            every("off by one"),
        ),
        Property(
            "It finds a cache that never reads its cached keys",
            "Prefill is right, because it needs no earlier keys. The first step of one token is wrong.",
            every("ignored"),
        ),
        Property(
            "It finds a cache that is not reset",
            "The first sequence is right. The fault shows in the second, after `reset()`.",
            every("not reset"),
        ),
        Property(
            "It returns None for a cache without a bug",
            "People soon ignore a tool that gives false alarms.",
            every(None),
        ),
        Property("The caller's token ids are not changed", "They may be used again.", UNTOUCHED),
        Property(
            "It finds the bugs of `CacheA`, `CacheB` and `CacheC`",
            "Your tool, on the bundled model.",
            run=finds_the_three,
            slow=True,
        ),
    ],
    mistakes=[
        Mistake(
            "no bug is ever reported.",
            "Nothing is returned, or the cache is compared with another one from `make_cache()`, which has the same "
            "bug, or fewer tokens are compared than you got. Compare it with `Recompute()`, over all of `token_ids`.",
            tool(against=lambda make: make()),
        ),
        Mistake(
            "no cache is used for a second sequence.",
            "A cache that is not reset is right for its first sequence, and a new cache has nothing to forget. Call "
            "`reset()` on the cache that was used, and give it a second sequence.",
            (tool(twice=False), tool(between=lambda cache, make: make())),
        ),
        Mistake(
            "the second sequence is computed without `reset()`.",
            "The cache still holds the first sequence, so it raises an error. The test is whether `reset()` forgets "
            "everything, so call it.",
            tool(between=lambda cache, make: cache),
        ),
        Mistake(
            "two bugs are mixed up.",
            "If prefill (step 0) differs, keys are at the wrong position. If the first step of one token (step 1) "
            "differs, the cached keys are not read.",
            tool(first=lambda f: ("ignored" if f.step == 0 else "off by one", f.layer)),
        ),
        Mistake(
            "every difference in the first sequence is reported as off by one.",
            "Check `found.step`: 0 is prefill, later steps are single tokens.",
            tool(first=lambda f: ("off by one", f.layer)),
        ),
        Mistake(
            "every difference in the first sequence is reported as an ignored cache.",
            "Check `found.step`: 0 is prefill, later steps are single tokens.",
            tool(first=lambda f: ("ignored", f.layer)),
        ),
        Mistake(
            "every difference is reported as a missing reset.",
            "A cache that is used for the first time has nothing to forget: a difference there is another bug.",
            (empty_first, tool(first=lambda f: ("not reset", f.layer))),
        ),
        Mistake(
            "the caller's token ids are changed.",
            "`pop` and `append` change the caller's list. `list(token_ids)` is a copy.",
            is_made_by=changes(UNTOUCHED, find_the_bug),
        ),
        Mistake(
            "the last layer is returned.",
            "All layers after the one with the bug differ too, because their input does. `found.layer` is the first.",
            last_layer,
        ),
        Mistake(
            "the step is returned in place of the layer.",
            "`found.layer` is the first layer that differs.",
            tool(
                first=lambda f: ("off by one" if f.step == 0 else "ignored", f.step),
                second=lambda f: ("not reset", f.step) if f else None,
            ),
        ),
        Mistake(
            "the position is returned in place of the layer.",
            "`found.layer` is the first layer that differs.",
            tool(
                first=lambda f: ("off by one" if f.step == 0 else "ignored", f.position),
                second=lambda f: ("not reset", f.position) if f else None,
            ),
        ),
        Mistake(
            "layers are counted from 1.",
            "`found.layer` counts from 0, as `attend(layer, …)` does.",
            tool(
                first=lambda f: ("off by one" if f.step == 0 else "ignored", f.layer + 1),
                second=lambda f: ("not reset", f.layer + 1) if f else None,
            ),
        ),
        Mistake(
            "more tokens are given to a cache than it has room for.",
            "It has room for `token_ids` once. For a second sequence, call `reset()` and take `token_ids` again.",
            longer_first,
        ),
        Mistake(
            "layer 0 is taken for no difference.",
            "`if found.layer` is false for layer 0. Ask `if found is not None`.",
            tool(
                first=lambda f: ("off by one" if f.step == 0 else "ignored", f.layer) if f.layer else None,
                second=lambda f: ("not reset", f.layer) if f and f.layer else None,
            ),
        ),
        Mistake(
            "only the name is returned.",
            "Return a pair: the name and the layer.",
            tool(
                first=lambda f: "off by one" if f.step == 0 else "ignored", second=lambda f: "not reset" if f else None
            ),
        ),
        Mistake(
            "the result of `first_divergence` is returned unchanged.",
            "It says where the cache differs. Return the name of the bug and the layer.",
            tool(first=lambda f: f, second=lambda f: f),
        ),
        Mistake(
            "a bug is reported for a right cache.",
            "If nothing differs after `reset()` either, return None.",
            (tool(second=lambda f: ("not reset", f.layer)), tool(second=lambda f: ("not reset", f.layer if f else 0))),
        ),
    ],
    hints=[
        "`found = first_divergence(model, token_ids, make_cache(), Recompute())` is None, or says where the cache "
        "differs: `found.step`, `found.layer`, `found.position`.",
        "Try it on the three caches by hand. Which differs in prefill (step 0)? Which only from the first step of one "
        "token on (step 1)? Which not at all?",
        "A cache that is not reset is right for its first sequence. Keep the cache in a variable, call its `reset()`, "
        "and compare a second time.",
        'First sequence: step 0 means "off by one", a later step "ignored". Then call `cache.reset()` and compare '
        'again: a difference now means "not reset". Otherwise return None.',
    ],
    rights=[find_the_bug, find_with_twin, find_by_position],
    why="Each bug shows at a different time. A wrong position shows in prefill, a cache that is not read in the first "
    "step of one token, a missing reset in the second sequence. The layer with the bug is the first that differs: all "
    "later layers differ because their input does.",
)
