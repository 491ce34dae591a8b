"""Cases of 02.find_the_bug: a tool that names the bug of a cache, and its layer, from outside."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.seeded import CacheA, CacheB, CacheC, seeded_cache, tiny_transformer
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .find_the_bug_answers import empty_first, find_by_position, find_with_twin, tool
from .solutions.find_the_bug import find_the_bug


def on(layers, bug, layer, ids):
    """The Trial of one bug in one layer of a model with so many layers."""
    model = tiny_transformer(layers)
    lines = [
        "from course_lib.practice.play import seeded_cache, tiny_transformer",
        f"model = tiny_transformer({layers})  # {layers} layers, random weights",
        f"find_the_bug(model, {ids}, lambda: seeded_cache({bug!r}, layer={layer})(model.config, 16))",
    ]

    def act(answer):
        said = answer(model, list(ids), lambda: seeded_cache(bug, layer)(model.config, 16))
        return tuple(said) if isinstance(said, list) else said

    return Trial(lines, act, size=layers + layer + len(ids))


TEXTS = [[3, 1, 4, 1], [2, 7, 1, 8, 2], [1, 6, 1, 8, 0, 3]]
PLACES = [(1, 0), (2, 1), (3, 0), (3, 2)]


def every(bug):
    return [on(layers, bug, layer, ids) for layers, layer in PLACES for ids in TEXTS]


def finds_the_three(answer):
    """The three caches of the exercise, on the bundled model."""
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
    return "all three are found"


FIND_THE_BUG = Exercise(
    id="02.find_the_bug",
    title="What is wrong with this cache?",
    name="find_the_bug",
    cases="caches",
    properties=[
        Property(
            "It finds a cache that writes one place off",
            "Already the prompt finds other keys than it should: prefill differs.",
            every("off by one"),
        ),
        Property(
            "It finds a cache that never looks at what it kept",
            "Prefill is right, since it brings all it needs. The first single token is not.",
            every("ignored"),
        ),
        Property(
            "It finds a cache that is not reset",
            "One text is no proof. The fault shows in the second, after `reset()`.",
            every("not reset"),
        ),
        Property("It says None of a cache without a bug", "A tool that cries wolf is soon ignored.", every(None)),
        Property(
            "It finds the bugs of `CacheA`, `CacheB` and `CacheC`",
            "Your tool, on the bundled model.",
            run=finds_the_three,
            slow=True,
        ),
    ],
    mistakes=[
        Mistake(
            "every cache is said to be right.",
            "Either nothing is returned, or the cache is compared with another from `make_cache()`, which has the "
            "same bug. Compare it with what is surely right: `Recompute()`.",
            tool(against=lambda make: make()),
        ),
        Mistake(
            "a cache that was used is never tried again.",
            "A cache that is not reset is right for its first text, and a new cache has nothing to forget. Call "
            "`reset()` on the one that was used, and let it read a second text.",
            (tool(twice=False), tool(between=lambda cache, make: make())),
        ),
        Mistake(
            "the second text comes without `reset()`.",
            "A cache that still counts the first text is refused. The question is whether `reset()` forgets "
            "everything, so call it.",
            tool(between=lambda cache, make: cache),
        ),
        Mistake(
            "two bugs are mixed up.",
            "If prefill (step 0) differs, keys are in the wrong place. If the first single token (step 1) differs, "
            "what was kept is not looked at.",
            tool(first=lambda f: ("ignored" if f.step == 0 else "off by one", f.layer)),
        ),
        Mistake(
            "every fault in the first text is taken for one off.",
            "Look at `found.step`: 0 is prefill, above it single tokens.",
            tool(first=lambda f: ("off by one", f.layer)),
        ),
        Mistake(
            "every fault in the first text is taken for a cache that is ignored.",
            "Look at `found.step`: 0 is prefill, above it single tokens.",
            tool(first=lambda f: ("ignored", f.layer)),
        ),
        Mistake(
            "every fault is taken for a missing reset.",
            "A cache that is used for the first time has nothing to forget: what differs then is another bug.",
            (empty_first, tool(first=lambda f: ("not reset", f.layer))),
        ),
        Mistake(
            "the step is given where the layer is asked for.",
            "`found.layer` says in which layer it first differs.",
            tool(
                first=lambda f: ("off by one" if f.step == 0 else "ignored", f.step),
                second=lambda f: ("not reset", f.step) if f else None,
            ),
        ),
        Mistake(
            "the position is given where the layer is asked for.",
            "`found.layer` says in which layer it first differs.",
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
            "the name alone is returned.",
            "Return a pair: the name and the layer.",
            tool(
                first=lambda f: "off by one" if f.step == 0 else "ignored", second=lambda f: "not reset" if f else None
            ),
        ),
        Mistake(
            "what `first_divergence` found is returned as it is.",
            "It says where; the name of the bug is for you to conclude.",
            tool(first=lambda f: f, second=lambda f: f),
        ),
        Mistake(
            "a right cache is accused.",
            "If nothing differs after `reset()` either, return None.",
            (tool(second=lambda f: ("not reset", f.layer)), tool(second=lambda f: ("not reset", f.layer if f else 0))),
        ),
    ],
    hints=[
        "`found = first_divergence(model, token_ids, make_cache(), Recompute())` is None, or says where it differs: "
        "`found.step`, `found.layer`, `found.position`.",
        "Try it on the three caches by hand. Which differ in prefill (step 0)? Which only from the first single token "
        "on (step 1)? Which not at all?",
        "A cache that is not reset is right for its first text. Keep the cache in a variable, call its `reset()`, and "
        "compare a second time.",
        'First text: step 0 means "off by one", a later step "ignored". Then `cache.reset()`, and once more: a '
        'difference now means "not reset". Otherwise None.',
    ],
    rights=[find_the_bug, find_with_twin, find_by_position],
    why="Each bug has its own moment. A wrong place shows in prefill; a cache that is not read shows when the first "
    "token comes alone; a missing reset shows in the second text. The layer is the first that differs: all behind it "
    "only pass the fault on.",
)
