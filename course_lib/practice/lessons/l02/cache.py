"""Exercise 02.cache: a contiguous KV cache for one sequence."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_sequence import Shape
from course_lib.practice.judge.exercise import Counterexample, Exercise, NotVerified, Property, Trial

from .cache_answers import cache_by_hand, cache_by_kind_of_step, cache_of_lists
from .cache_memory_trials import growth, in_float32, same_memory, two_caches, untouched
from .cache_mistakes import mistakes
from .cache_trials import (
    after_reset,
    attends,
    full_at,
    goes_on,
    num_tokens,
    num_tokens_between,
    second_sequence,
    shapes,
    steep,
    too_many,
)
from .solutions.cache import ContiguousCache


def equals_naive(answer):
    """Runs the cache in generate_cached on the bundled model. Returns a remark with the number of tokens."""
    from course_lib import SamplingParams
    from course_lib.decoding import generate_cached, generate_naive

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error
    prompt, params = (
        tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter"),
        SamplingParams(max_tokens=32, ignore_eos=True),
    )
    expected = generate_naive(model, prompt, params)
    trial = Trial(
        [
            'model, tokenizer = load_model("tale", device="cpu")',
            'prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter")',
            "generate_cached(model, prompt, SamplingParams(max_tokens=32, ignore_eos=True), "
            "ContiguousCache(model.config, 256))",
        ],
        lambda answer: generate_cached(model, prompt, params, answer(model.config, 256)),
        limit_s=60.0,
    )
    got, printed = trial.outcome(answer)
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    return "32 equal tokens"


ONE, TWO, LAYERS = Shape(), Shape(num_heads=2, num_kv_heads=2, head_dim=2), Shape(num_layers=2)
WIDE, GROUPS = Shape(head_dim=4), Shape(num_heads=4, num_kv_heads=2, head_dim=2)
DEEP, THREES = Shape(3, 4, 2, 2), Shape(2, 6, 2, 4)
PLAIN = [ONE, WIDE, TWO]
PREFILLS = [[1], [2], [3], [5]]
STEPS = [[1, 1], [2, 1], [3, 1], [1, 1, 1], [2, 1, 1], [4, 1, 1, 1]]
CHUNKS = [[1, 2], [2, 2], [2, 3], [1, 1, 2], [3, 2, 1, 2]]
TWO_CACHES = [
    two_caches(shape, first, other)
    for shape in (ONE, LAYERS, GROUPS)
    for first, other in [([1, 1], [1]), ([2, 1], [3]), ([2, 2], [1, 1])]
]
SAME_MEMORY = [same_memory(shape, split) for shape in (ONE, LAYERS, GROUPS) for split in ([1], [2, 1])]
BETWEEN = [num_tokens_between(shape, split) for shape in (LAYERS, DEEP) for split in ([1], [2, 1])]
FLOAT32 = [in_float32(shape) for shape in (ONE, LAYERS, GROUPS)]
OLD = [attends(shape, split) for shape in (WIDE, TWO) for split in ([34, 1], [20, 18, 1])]
STEEP = [steep(shape, split, times) for shape in (ONE, WIDE, TWO) for split in ([3], [2, 3]) for times in (30, 300)]
UNTOUCHED = [untouched(shape, count) for shape in (ONE, WIDE, LAYERS, GROUPS) for count in (1, 3)]

CACHE = Exercise(
    id="02.cache",
    title="A cache in one piece",
    name="ContiguousCache",
    cases="steps",
    properties=[
        Property(
            "`attend` returns one row for each new token, shaped as `q`",
            "The model continues with the returned tensor: one row for each token of this step.",
            [shapes(shape, split) for shape in (ONE, TWO, GROUPS, DEEP) for split in ([1], [3], [2, 1])],
        ),
        Property(
            "In the first step, each token attends to itself and to all tokens before it",
            "This is prefill: the whole prompt at once, under the causal mask, scores divided by the square root of "
            "head_dim.",
            [attends(shape, split) for shape in PLAIN for split in PREFILLS],
        ),
        Property(
            "In a step of one token, it attends to all cached tokens and to itself",
            "This is decode. The keys and values of earlier steps are in the cache, and the new ones come after them.",
            [attends(shape, split) for shape in PLAIN for split in STEPS] + OLD,
        ),
        Property(
            "A step of several tokens may come after earlier steps",
            "Row i of the step is at position `start + i`, so it attends to keys 0 to `start + i`.",
            [attends(shape, split) for shape in PLAIN for split in CHUNKS],
        ),
        Property(
            "A later token has no weight, and no score overflows, however large the scores are",
            "Beside scores of -1000, a masked score of -100 would be the largest. Only -inf gives a weight of 0.",
            STEEP,
        ),
        Property(
            "Every layer and every key/value head has its own keys and values",
            "With 4 query heads over 2 key/value heads, query heads 0 and 1 use key/value head 0, and 2 and 3 use "
            "head 1.",
            [
                attends(shape, split)
                for shape in (LAYERS, GROUPS, DEEP, THREES)
                for split in ([2], [2, 1], [3, 1, 1], [2, 3])
            ],
        ),
        Property(
            "`num_tokens` is the number of cached tokens",
            "It grows once a step, after the last layer: the layers before it still start where the step starts.",
            [
                num_tokens(shape, split)
                for shape in (ONE, LAYERS, DEEP)
                for split in ([1], [3], [2, 1], [3, 1, 2], [5, 4])
            ]
            + BETWEEN,
        ),
        Property(
            "After `reset()`, a second sequence gets the same results as in a new cache",
            "The second sequence must not attend to the first one.",
            [
                second_sequence(shape, one, two)
                for shape in (ONE, LAYERS, GROUPS)
                for one in ([1], [3, 1], [2])
                for two in ([1], [2], [2, 1])
            ],
        ),
        Property(
            "After `reset()`, `num_tokens` is 0",
            "The course reads it to know how many tokens are in the cache.",
            [after_reset(shape, split) for shape in (ONE, LAYERS) for split in ([1], [3], [2, 1])],
        ),
        Property(
            "Two caches do not know of each other",
            "A server has a cache for each sequence. What one keeps must not be in the way of another.",
            TWO_CACHES,
        ),
        Property(
            "A step that does not fit raises `CacheFull` and changes nothing",
            "The caller can then stop, or continue with a step that fits. Half a step would corrupt the sequence.",
            [
                too_many(shape, split, over)
                for shape in (ONE, LAYERS)
                for split, over in [([1], 1), ([2], 1), ([1], 3), ([2, 1], 2), ([], 2)]
            ]
            + [attends(shape, split, max_tokens=sum(split)) for shape in (ONE, LAYERS) for split in ([2], [1, 1])]
            + [full_at(shape, split, over) for shape in (LAYERS, DEEP) for split, over in [([1], 2), ([2, 1], 1)]]
            + [goes_on(shape, split, over) for shape in (ONE, LAYERS) for split, over in [([1], 2), ([2, 1], 3)]],
        ),
        Property(
            "The memory is allocated once, in `__init__`",
            "A tensor that grows is copied in every step. Memory that is not allocated at the start may be gone when "
            "it is needed.",
            [growth(shape, split) for shape in (ONE, LAYERS, GROUPS) for split in ([1], [1, 1], [2, 1, 1])],
        ),
        Property(
            "The memory is float32",
            "The keys and values are float32: fewer bits round them, and more bits take memory for nothing.",
            FLOAT32,
        ),
        Property(
            "`reset()` keeps the memory",
            "The next sequence uses it. To allocate it again takes time, and for a moment twice the memory.",
            SAME_MEMORY,
        ),
        Property(
            "Only positions that were written are read",
            "`torch.empty` gives memory with anything in it, nan too, and 0 × nan is nan: a mask does not help.",
            [attends(shape, split, nan=True) for shape in (ONE, WIDE, GROUPS) for split in ([1], [2], [2, 1], [1, 2])],
        ),
        Property("`q`, `k` and `v` are not changed", "They belong to the model.", UNTOUCHED),
        Property(
            "In `generate_cached`, the bundled model generates the same tokens as with `generate_naive`",
            "`generate_naive` is the course's reference.",
            run=equals_naive,
            slow=True,
        ),
    ],
    mistakes=mistakes(TWO_CACHES, SAME_MEMORY, UNTOUCHED, BETWEEN, STEEP, FLOAT32, OLD),
    hints=[
        "Two tensors are enough for the keys and values of all layers: `[num_layers, max_tokens, num_kv_heads, "
        "head_dim]`, made in `__init__`. `num_tokens` says how many positions are in use.",
        "In `attend`: `start, end = self.num_tokens, self.num_tokens + len(k)`. If `end` is above `max_tokens`, raise "
        "`CacheFull`. Otherwise write k and v of this layer to positions `start:end`, and attend over positions "
        "`:end`.",
        "All layers of a step need the same `start`, so set `self.num_tokens = end` only when "
        "`layer == config.num_layers - 1`.",
        "The mask: row i attends to keys 0 to `start + i`. That is `torch.ones(len(q), end, "
        "dtype=torch.bool).tril(start)`.",
        "`F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)` takes "
        "`[1, heads, tokens, head_dim]`: `x.transpose(0, 1)[None]` for each of the three, and "
        "`out[0].transpose(0, 1)` for the result.",
    ],
    rights=[ContiguousCache, cache_of_lists, cache_by_hand, cache_by_kind_of_step],
    why="The tensors are allocated once, in `__init__`, so the memory is there from the start. `num_tokens` changes "
    "after the last layer, so every layer of a step starts at the same position, and a step that fails changes "
    "nothing. `tril(start)` is the causal mask for rows that follow `start` others; for one new token it masks "
    "nothing.",
)
