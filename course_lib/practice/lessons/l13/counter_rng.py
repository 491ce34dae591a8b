"""The exercise 13.counter_rng: a token for each row, with random numbers from the counter (seed, position, token)."""

from course_lib.practice.judge.exercise import Exercise, Property

from .counter_rng_answers import draw_by_gumbel, draw_by_library, draw_by_own_generators
from .counter_rng_cases import (
    AGAIN,
    ALONE,
    BESIDE,
    BY_POSITION,
    BY_SEED,
    EXTREME,
    GENERATORS,
    HALVES_OF_SEED,
    KINDS,
    LARGE,
    ORDER,
    POSITIONS,
    ROUNDED,
    TOGETHER,
    UNTOUCHED,
    UPPER,
)  # fmt: skip
from .counter_rng_extremes import FAR_BELOW, RESTS, TAIL, WORDS
from .counter_rng_mistakes import MISTAKES
from .solutions.counter_rng import draw

COUNTER_RNG = Exercise(
    id="13.counter_rng",
    title="Chance from a counter",
    name="draw",
    cases="cases",
    budget_s=60.0,  # a right answer may go through the 80,000 rows of all cases one by one
    properties=[
        Property(
            "A tensor with one token id for each row is returned",
            "int64, of shape [rows]: it is the next step's input.",
            KINDS,
        ),
        Property(
            "The same call gives the same tokens again, whatever was drawn before",
            "After a preemption a step is computed again, and must come out as it did.",
            AGAIN,
        ),
        Property(
            "The global generators of torch and Python are neither used nor seeded",
            "They belong to the caller, and a captured graph has no such state.",
            GENERATORS,
        ),
        Property(
            "A row draws the same token alone and beside others",
            "A request must not get another text because a second request arrived.",
            [*ALONE, *FAR_BELOW],
        ),
        Property(
            "The order of the rows changes nothing, nor do rows that are missing or there twice",
            "Which row of the batch a request has depends on the other requests.",
            ORDER,
        ),
        Property(
            "Over many positions, tokens are drawn as often as their probabilities say",
            "One request draws at one position after the other.",
            BY_POSITION,
        ),
        Property(
            "Over many seeds, tokens are drawn as often as their probabilities say",
            "Requests with other seeds must not all write the same.",
            BY_SEED,
        ),
        Property(
            "A logit of -inf is never drawn, and large logits are no trouble",
            "top-k and top-p set logits to -inf. exp(1000) is infinite, so subtract the largest logit first, or use "
            "torch.softmax, which does.",
            EXTREME,
        ),
        Property(
            "A token of probability 0 is not drawn either where a word of `mix` is 0 or 2^32 - 1",
            "With 150,000 tokens in each of 100 rows, one word of 2^32 comes up about every 286 steps.",
            WORDS,
        ),
        Property(
            "Draws with the next seed, or at the next position, have nothing to do with each other",
            "Otherwise a text repeats itself, or two requests write the same.",
            BESIDE,
        ),
        Property(
            "Seed 4 at position 5 and seed 5 at position 4 are different draws",
            "Where only a sum of both counts, one sequence repeats the draws of another, a few tokens later.",
            TOGETHER,
        ),
        Property(
            "All bits of a seed count",
            "A seed is below 2^63, and `mix` takes 32 bits at a time. The engine's own seeds have 62.",
            [*UPPER, *ROUNDED, *HALVES_OF_SEED],
        ),
        Property(
            "All bits of a position count",
            "A text may have a hundred thousand tokens, and none of its draws may come back.",
            POSITIONS,
        ),
        Property(
            "In a large vocabulary, tokens at its end are drawn as often as those at its beginning",
            "If the random numbers have few different values, many tokens have the same, and the first of them wins.",
            [*LARGE, *RESTS],
        ),
        Property(
            "A token that is as likely as hundreds of others together comes as often as they do",
            "Noise of another kind than -log(u), another temperature, or a cut of what is unlikely shows here.",
            TAIL,
        ),
        Property("logits, seeds and positions are not changed", "The engine still needs them.", UNTOUCHED),
    ],
    mistakes=MISTAKES,
    hints=[
        "Two steps: a random number for every token of every row, and then a race. The token with the largest "
        "probability / waiting time is drawn.",
        "A key for each row: scramble the seed's lower 32 bits, mix the upper ones into that, then the position: "
        "`key = mix(mix(mix(low) ^ high) ^ positions)`.",
        "A number for each token: `bits = mix(key[:, None] ^ mix(tokens + 1))`, where `tokens = "
        "torch.arange(vocab_size, device=logits.device)`. As a share strictly between 0 and 1: `(bits.double() + 0.5) "
        "/ 2**32`.",
        "The waiting times are `-share.log()`, and the result is `(logits.double().softmax(-1) / waiting).argmax(-1)`.",
    ],
    rights=[draw, draw_by_gumbel, draw_by_library, draw_by_own_generators],
    why="Nothing is kept from one draw to the next, so a sequence draws alike alone, in any batch, after a preemption, "
    "on a CPU and on a GPU, and a captured graph can do it. `course_lib/decoding/counter_rng.py` does the same in "
    "float32; Triton's `tl.rand(seed, offset)` and JAX's random numbers come from counters too.",
)
