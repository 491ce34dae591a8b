"""Cases of 02.cache: one preallocated piece, one step, many steps, reset, and no room."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_text import Shape
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial
from course_lib.practice.judge.running import Raised

from .cache_answers import WrongCache, cache_by_hand, cache_by_kind_of_step, cache_grown, cache_of_lists
from .cache_trials import attends, goes_on, growth, num_tokens, run, second_text, shapes, too_many
from .solutions.cache import ContiguousCache


def wants_as_many_key_value_heads(answer, found):
    """Whether it works as long as there is a key/value head for each query head, and raises where there are fewer."""

    def raises(kv_heads):
        try:
            run(answer, Shape(num_heads=4, num_kv_heads=kv_heads, head_dim=2), [2], 9)
        except RuntimeError:
            return True
        return False

    return isinstance(found.outcome, Raised) and raises(2) and not raises(4)


def tells_the_same_tale(answer):
    """Runs inside the course's generate_cached on the bundled model. The remark says on how many tokens."""
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
    return "32 tokens alike"


ONE, TWO, LAYERS = Shape(), Shape(num_heads=2, num_kv_heads=2, head_dim=2), Shape(num_layers=2)
WIDE, GROUPS = Shape(head_dim=4), Shape(num_heads=4, num_kv_heads=2, head_dim=2)
DEEP, THREES = Shape(3, 4, 2, 2), Shape(2, 6, 2, 4)
PLAIN = [ONE, WIDE, TWO]
PREFILLS = [[1], [2], [3], [5]]
STEPS = [[1, 1], [2, 1], [3, 1], [1, 1, 1], [2, 1, 1], [4, 1, 1, 1]]
CHUNKS = [[1, 2], [2, 2], [2, 3], [1, 1, 2], [3, 2, 1, 2]]

CACHE = Exercise(
    id="02.cache",
    title="A cache in one piece",
    name="ContiguousCache",
    cases="steps",
    properties=[
        Property(
            "`attend` returns one row for each new token, shaped as `q`",
            "The model goes on with what comes back: a row for each token it pushed.",
            [shapes(shape, split) for shape in (ONE, TWO, GROUPS, DEEP) for split in ([1], [3], [2, 1])],
        ),
        Property(
            "In the first step, each token attends to itself and to those before it",
            "This is prefill: the whole prompt at once, under the causal mask, scaled by the root of head_dim, as in "
            "lesson 01.",
            [attends(shape, split) for shape in PLAIN for split in PREFILLS],
        ),
        Property(
            "A token that comes alone attends to all that were kept, and to itself",
            "This is decode. Keys and values of earlier steps are where they were put, and the newest ones are behind "
            "them.",
            [attends(shape, split) for shape in PLAIN for split in STEPS],
        ),
        Property(
            "Several tokens may come behind others",
            "Row i of the step stands at position `start + i`, and its mask counts from there.",
            [attends(shape, split) for shape in PLAIN for split in CHUNKS],
        ),
        Property(
            "Every layer and every key/value head keeps its own",
            "With 4 query heads over 2 key/value heads, query heads 0 and 1 use key/value head 0, and 2 and 3 use "
            "head 1.",
            [
                attends(shape, split)
                for shape in (LAYERS, GROUPS, DEEP, THREES)
                for split in ([2], [2, 1], [3, 1, 1], [2, 3])
            ],
        ),
        Property(
            "`num_tokens` says how many tokens are kept",
            "It moves on once a step, whatever the number of layers.",
            [num_tokens(shape, split) for shape in (ONE, LAYERS, DEEP) for split in ([1], [3], [2, 1], [3, 1, 2])],
        ),
        Property(
            "After `reset()` a second text is as if it were the first",
            "Nothing of the first text may be seen by the second.",
            [
                second_text(shape, one, two)
                for shape in (ONE, LAYERS, GROUPS)
                for one in ([1], [3, 1], [2])
                for two in ([1], [2], [2, 1])
            ],
        ),
        Property(
            "A step that does not fit raises `CacheFull`, and nothing is lost",
            "Whoever called can free room, or stop; half a step would spoil the text.",
            [
                too_many(shape, split, over)
                for shape in (ONE, LAYERS)
                for split, over in [([1], 1), ([2], 1), ([1], 3), ([2, 1], 2)]
            ]
            + [attends(shape, split, room=sum(split)) for shape in (ONE, LAYERS) for split in ([2], [1, 1])]
            + [goes_on(shape, split, over) for shape in (ONE, LAYERS) for split, over in [([1], 2), ([2, 1], 3)]],
        ),
        Property(
            "The memory is taken once",
            "A piece that grows is copied as a whole in every step, and its room cannot be promised in advance.",
            [growth(shape, split) for shape in (ONE, LAYERS, GROUPS) for split in ([1, 1], [2, 1, 1])],
        ),
        Property(
            "Inside `generate_cached` the bundled model tells the same tale",
            "The oracle, `generate_naive`, writes the same tokens.",
            run=tells_the_same_tale,
            slow=True,
        ),
    ],
    mistakes=[
        Mistake(
            "`attend` returns nothing.",
            "The model goes on with what comes back. Put `return` before the output.",
            WrongCache.variant(returns=lambda out: None),
        ),
        Mistake(
            "the heads stand before the tokens in the output.",
            "`scaled_dot_product_attention` wants heads first and gives heads first. Turn it back: "
            "`out.transpose(0, 1)`.",
            WrongCache.variant(returns=lambda out: out.transpose(0, 1)),
        ),
        Mistake(
            "tokens are written one place off.",
            "The step's tokens belong at `start` to `end - 1`, where `start` is the number of tokens kept before it. "
            "One further leaves a hole, one earlier overwrites the token before.",
            (
                WrongCache.variant(write_at=lambda start: start + 1),
                WrongCache.variant(write_at=lambda start: max(start - 1, 0)),
                WrongCache.variant(
                    write_at=lambda start: start - 1 if start else 0, upto=lambda start, end, room: end - (start > 0)
                ),
            ),
        ),
        Mistake(
            "what is kept is never looked at.",
            "The new tokens attend to the new keys alone. Attend over `self.k[layer, :end]`, not over `k`.",
            WrongCache.variant(begin=lambda start: start),
        ),
        Mistake(
            "`num_tokens` never moves on.",
            "Every step then starts at 0 and overwrites the text. After the last layer: `self.num_tokens = end`.",
            WrongCache.variant(counts=lambda now, n, layer, layers: now),
        ),
        Mistake(
            "the newest token is not seen.",
            "A token attends to itself as well: write first, then attend over `[:end]`.",
            (
                WrongCache.variant(upto=lambda start, end, room: start or end),
                WrongCache.variant(diagonal=lambda start: start - 1),
            ),
        ),
        Mistake(
            "the first token is dropped.",
            "Position 0 is a token like any other, and often the most looked at. Attend over `[:end]`.",
            (WrongCache.variant(begin=lambda start: 1 if start else 0), WrongCache.variant(begin=lambda start: 1)),
        ),
        Mistake(
            "the prompt sees its own future.",
            "In a step of several tokens each may see itself and those before it: a causal mask is needed.",
            (
                WrongCache.variant(diagonal=lambda start: 99),
                WrongCache.variant(diagonal=lambda start: 99 if start == 0 else start),
            ),
        ),
        Mistake(
            "the causal mask is counted from the first key.",
            "`is_causal=True` lets row i see keys 0 to i. With `start` tokens kept before, row i stands at position "
            "`start + i`: `tril(start)`.",
            (WrongCache.variant(diagonal=lambda start: 0), WrongCache.variant(diagonal=lambda start: 0, alone=True)),
        ),
        Mistake(
            "places that are not used yet are looked at.",
            "Behind `end` there are only zeros, and a zero key still gets a share of the attention. Cut at `[:end]`.",
            (
                WrongCache.variant(upto=lambda start, end, room: room, diagonal=lambda start: 99),
                WrongCache.variant(
                    upto=lambda start, end, room: room if start else end, diagonal=lambda start: 99 if start else 0
                ),
            ),
        ),
        Mistake(
            "scores are scaled wrongly.",
            "A score is q · k divided by the square root of head_dim.",
            (WrongCache.variant(scale=lambda head_dim: 1.0), WrongCache.variant(scale=lambda head_dim: 1 / head_dim)),
        ),
        Mistake(
            "query heads are matched with the wrong key/value heads.",
            "With 4 query heads over 2, the order is 0, 0, 1, 1 (`repeat_interleave`), not 0, 1, 0, 1 (`repeat`).",
            (
                WrongCache.variant(kv_head=lambda head, group, kv_heads: head % kv_heads),
                WrongCache.variant(kv_head=lambda head, group, kv_heads: 0),
            ),
        ),
        Mistake(
            "key/value heads are taken for as many as query heads.",
            "There are `num_kv_heads` of them, often fewer. Make the pieces for `config.num_kv_heads`, and let "
            "`enable_gqa=True` share them out among the query heads.",
            is_made_by=wants_as_many_key_value_heads,
        ),
        Mistake(
            "all layers share one place.",
            "Each layer has keys and values of its own: `self.k[layer]`.",
            WrongCache.variant(place=lambda layer: 0),
        ),
        Mistake(
            "`num_tokens` moves on in every layer.",
            "The layers of one step all begin at the same token. Move on after the last layer only: "
            "`layer == num_layers - 1`.",
            (
                WrongCache.variant(counts=lambda now, n, layer, layers: now + n),
                WrongCache.variant(counts=lambda now, n, layer, layers: now + n * (layer == 0)),
            ),
        ),
        Mistake(
            "`num_tokens` counts steps, not tokens.",
            "Prefill brings many tokens at once: add `len(k)`, not 1.",
            WrongCache.variant(counts=lambda now, n, layer, layers: now + (layer == layers - 1)),
        ),
        Mistake(
            "`reset()` forgets nothing, or not all.",
            "`num_tokens` decides what is seen. Set it to 0, and the second text overwrites the first.",
            (WrongCache.variant(forgets=()), WrongCache.variant(forgets=("pieces",))),
        ),
        Mistake(
            "nobody looks whether the step fits.",
            "Compare `end` with `max_tokens` before anything is written, and raise `CacheFull`.",
            (WrongCache.variant(room="none"), WrongCache.variant(room="drop"), WrongCache.variant(room="grow")),
        ),
        Mistake(
            "the last place is never used.",
            "`end` may be equal to `max_tokens`: positions 0 to max_tokens - 1 are then all taken.",
            WrongCache.variant(room="early"),
        ),
        Mistake(
            "the cache grows with the text.",
            "`torch.cat` makes a new, longer tensor and copies everything, in every layer of every step. Take "
            "`max_tokens` places in `__init__`, and write into them.",
            cache_grown,
        ),
        Mistake(
            "a method that the model calls is missing.",
            "It calls `cache.attend(layer, q, k, v)`; between two texts, `cache.reset()` is called. They must bear "
            "these names.",
            is_made_by=lambda answer, found: (
                not all(callable(getattr(answer, name, None)) for name in ("attend", "reset"))
            ),
        ),
    ],
    hints=[
        "Two tensors are enough for keys and values of all layers: `[num_layers, max_tokens, num_kv_heads, "
        "head_dim]`, made in `__init__`. A number, `num_tokens`, says how much of them is in use.",
        "In `attend`: `start, end = self.num_tokens, self.num_tokens + len(k)`. If `end` is above `max_tokens`, raise "
        "`CacheFull`. Else write k and v of this layer to places `start:end`, and attend over places `:end`.",
        "All layers of a step need the same `start`, so set `self.num_tokens = end` only when "
        "`layer == config.num_layers - 1`.",
        "The mask: row i may see keys 0 to `start + i`. That is `torch.ones(len(q), end, "
        "dtype=torch.bool).tril(start)`.",
        "`F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)` wants "
        "`[1, heads, tokens, head_dim]`: `x.transpose(0, 1)[None]` for each of the three, and "
        "`out[0].transpose(0, 1)` for the result.",
    ],
    rights=[ContiguousCache, cache_of_lists, cache_by_hand, cache_by_kind_of_step],
    why="The piece is made once, so its room is certain. `num_tokens` moves on after the last layer, so every layer "
    "of a step starts at the same place, and a step that fails changes nothing. `tril(start)` is the causal mask for "
    "rows that stand behind `start` others; for one new token it masks nothing.",
)
