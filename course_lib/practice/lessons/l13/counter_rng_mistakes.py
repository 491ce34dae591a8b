"""The mistakes in 13.counter_rng."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Mistake

from .counter_rng_answers import (
    MASK,
    bits_of,
    by_exponential,
    by_global_seed,
    by_multinomial,
    by_one_generator,
    by_row_number,
    by_sum_of_batch,
    keys,
    linear,
    mix,
    overflows,
    shared_maximum,
    unscrambled,
    wrong,
)
from .counter_rng_cases import (
    AGAIN,
    ALONE,
    BESIDE,
    BY_POSITION,
    BY_SEED,
    GENERATORS,
    HALVES_OF_SEED,
    LARGE,
    POSITIONS,
    ROUNDED,
    TOGETHER,
    UNTOUCHED,
    UPPER,
)
from .counter_rng_extremes import FAR_BELOW, WORDS
from .finding import Finding


def repeats(outcome):
    """Whether two rows of draws have many tokens in common, in a trial of `apart`."""
    return isinstance(outcome, Finding) and outcome.shares[0] > 0.3


def is_shifted(outcome):
    """Whether the second of two rows of draws is often the first, moved by some tokens, in a trial of `apart`."""
    return isinstance(outcome, Finding) and max(outcome.shares[1:], default=0) > 0.3 > outcome.shares[0]


def is_one_token(outcome):
    """Whether all draws of a trial of `shares` gave the same token."""
    return isinstance(outcome, Finding) and 1.0 in outcome.shares


def leans_forward(outcome):
    """Whether more tokens of the first quarter of a vocabulary were drawn than of the last, in a trial of `spread`."""
    return isinstance(outcome, Finding) and outcome.shares[0] > 1.5 * outcome.shares[-1]


def ignores_position(answer):
    """Whether all positions draw the same token, and draws with different seeds are different."""
    same = all(is_one_token(trial.outcome(answer)[0]) for trial in BY_POSITION)
    return same and not is_one_token(BY_SEED[0].outcome(answer)[0])


MISTAKES = [
    *RETURNS_NOTHING,
    Mistake(
        "the numbers depend on the calls before.",
        "A generator goes on from call to call, and so does a counter of one's own. Compute each number from (seed, "
        "position, token).",
        (by_multinomial, by_exponential),
        is_made_by=lambda answer, found: found.trial in AGAIN and isinstance(found.outcome, Finding),
    ),
    Mistake(
        "torch's or Python's own generator is seeded.",
        "It belongs to the caller, who then gets the same numbers over and over. Compute the numbers with `mix`.",
        by_global_seed,
        is_made_by=lambda answer, found: found.trial in GENERATORS and bool(found.outcome),
    ),
    Mistake(
        "the share u is 0 or 1 for some words.",
        "Then log(u), or 1 / log(u), is infinite, and a token wins whatever its probability is. In float64 `(word + "
        "0.5) / 2**32` is never 0 or 1; in float32, which has 24 bits, the largest words become 1.",
        is_made_by=lambda answer, found: found.trial in WORDS,
    ),
    Mistake(
        "a row's token depends on its batch: on its place there, or on the other rows.",
        "Its numbers come from its own seed and position, its probabilities from its own logits, `dim=-1`. One "
        "generator for the batch gives a row what the rows before it left.",
        (
            by_one_generator,
            wrong(key=by_row_number),
            wrong(key=by_sum_of_batch),
            wrong(key=lambda seeds, positions: keys(seeds[:1], positions[:1]) ^ torch.arange(len(seeds))),
            wrong(first=shared_maximum),
        ),
        is_made_by=lambda answer, found: found.trial in (*ALONE, *FAR_BELOW) and isinstance(found.outcome, Finding),
    ),
    Mistake(
        "the position is not part of the key.",
        "A sequence would draw with the same numbers at every position.",
        wrong(key=lambda seeds, positions: keys(seeds, 0 * positions)),
        is_made_by=lambda answer, found: found.trial in BY_POSITION and ignores_position(answer),
    ),
    Mistake(
        "the seed is not part of the key.",
        "All requests would draw with the same numbers.",
        wrong(key=lambda seeds, positions: keys(0 * seeds, positions)),
        is_made_by=lambda answer, found: found.trial in BY_SEED[:2] and is_one_token(found.outcome),
    ),
    Mistake(
        "the seed is rounded.",
        "A float32 holds 24 bits, and a float64 53: seeds that follow each other become one. Keep the seed in int64.",
        wrong(key=lambda seeds, positions: keys(seeds.float().long(), positions)),
        is_made_by=lambda answer, found: (
            found.trial in BY_SEED[2:]
            and is_one_token(found.outcome)
            or found.trial in ROUNDED
            and repeats(found.outcome)
        ),
    ),
    Mistake(
        "the two halves of the seed are put together before they are scrambled.",
        "Then seeds with the same sum, or the same xor, of their halves give the same draws. Scramble one half first: "
        "`mix(mix(low) ^ high)`.",
        (
            wrong(key=lambda seeds, positions: mix(mix((seeds & MASK) ^ (seeds >> 32)) ^ positions)),
            wrong(key=lambda seeds, positions: mix(mix(((seeds & MASK) + (seeds >> 32)) & MASK) ^ positions)),
        ),
        is_made_by=lambda answer, found: found.trial in HALVES_OF_SEED and repeats(found.outcome),
    ),
    Mistake(
        "position and token are put together before they are scrambled.",
        "Then the numbers of a position are those of the next one, for other tokens. Scramble seed and position first, "
        "and mix the token into that: `mix(key ^ mix(token + 1))`.",
        is_made_by=lambda answer, found: found.trial is BESIDE[0] and is_shifted(found.outcome),
    ),
    Mistake(
        "the upper bits of the position are lost.",
        "Then a long text repeats its draws. A position is below 2^31, and `mix` takes all of that.",
        wrong(key=lambda seeds, positions: keys(seeds, positions % 1024)),
        is_made_by=lambda answer, found: found.trial in POSITIONS and repeats(found.outcome),
    ),
    Mistake(
        "the random numbers have too few different values.",
        "`mix` gives 32 bits: use all of them for each token.",
        (
            wrong(bits=lambda key, vocab: bits_of(key, vocab) >> 20 << 20),
            wrong(bits=lambda key, vocab: bits_of(key, vocab) >> 24 << 24),
        ),
        is_made_by=lambda answer, found: found.trial in LARGE and leans_forward(found.outcome),
    ),
    Mistake(
        "seed and position are put together before they are scrambled.",
        "Then different pairs give the same draw, as seed 4 at position 5 and seed 5 at position 4. Scramble the "
        "seed first: `mix(mix(seed) ^ position)`.",
        (
            wrong(key=lambda seeds, positions: keys(seeds + positions, 0 * positions)),
            wrong(key=lambda seeds, positions: keys(seeds ^ positions, 0 * positions)),
            wrong(key=lambda seeds, positions: keys((seeds + 1) * (positions + 1), 0 * positions)),
            wrong(key=lambda seeds, positions: mix(((seeds & 0xFFFFFFFF) ^ (seeds >> 32)) ^ positions)),
        ),
        is_made_by=lambda answer, found: found.trial in TOGETHER and repeats(found.outcome),
    ),
    Mistake(
        "the upper bits of the seed are lost.",
        "`mix` takes 32 bits, and a seed has up to 63: mix `seed & 0xFFFFFFFF` first, then `seed >> 32` into it.",
        wrong(key=lambda seeds, positions: keys(seeds & 0xFFFFFFFF, positions)),
        is_made_by=lambda answer, found: found.trial in UPPER and repeats(found.outcome),
    ),
    Mistake(
        "all tokens of a row have the same number.",
        "Then the most likely token always comes first, as without any chance. The token id is part of the counter "
        "too.",
        (
            wrong(bits=lambda key, vocab: mix(key)[:, None].expand(-1, vocab)),
            lambda logits, seeds, positions: logits.float().argmax(1),
        ),
    ),
    Mistake(
        "the counter is not scrambled.",
        "Numbers that follow each other give draws that follow each other. Put the counter through `mix`.",
        (
            wrong(bits=lambda key, vocab: key[:, None] ^ mix(torch.arange(vocab) + 1)),
            wrong(key=linear, bits=unscrambled),
            wrong(bits=lambda key, vocab: (key[:, None] + torch.arange(vocab)) & 0xFFFFFFFF),
            wrong(bits=unscrambled),
        ),
    ),
    Mistake(
        "the waiting times are uniform.",
        "A race gives the right probabilities with exponential waiting times: `-log(u)`, u being uniform.",
        wrong(waiting=lambda u: u),
    ),
    Mistake(
        "the probability is multiplied by the random number.",
        "Divide the probability by the waiting time: a likely token waits for a shorter time.",
        (wrong(waiting=lambda u: 1 / u), wrong(waiting=lambda u: -1 / u.log())),
    ),
    Mistake(
        "uniform numbers are added to the logits.",
        "Added noise must be Gumbel noise: `-log(-log(u))`, u being uniform.",
        wrong(waiting=lambda u: torch.exp(-u)),
    ),
    Mistake(
        "the logits are taken for probabilities.",
        "Take their softmax first.",
        wrong(first=lambda logits, waiting: (logits.double() / waiting).argmax(1)),
    ),
    Mistake(
        "the last of the race wins.",
        "The token with the largest probability / waiting time is drawn: `argmax`.",
        (
            wrong(first=lambda logits, waiting: (torch.softmax(logits.double(), -1) / waiting).argmin(1)),
            wrong(first=lambda logits, waiting: (waiting / torch.softmax(logits.double(), -1)).argmax(1)),
        ),
    ),
    Mistake(
        "the logits are ignored.",
        "Every token is then as likely as any other.",
        wrong(first=lambda logits, waiting: waiting.argmin(1)),
    ),
    Mistake(
        "exp of a large logit is infinite.",
        "Infinity divided by infinity is nan. `torch.softmax` subtracts the largest logit first.",
        wrong(first=overflows),
    ),
    Mistake(
        "the tokens have another shape or dtype.",
        "Return int64 of shape [rows]: `argmax(dim=-1)` gives that.",
        (
            wrong(gives=lambda tokens: tokens[:, None]),
            wrong(gives=lambda tokens: tokens.int()),
            wrong(gives=lambda tokens: tokens.float()),
            wrong(gives=lambda tokens: tokens.tolist()),
        ),
    ),
    Mistake(
        "the caller's tensors are changed.",
        "Functions whose names end with an underscore, and assignments to a part of a tensor, write into the "
        "tensor itself.",
        is_made_by=writes_into(UNTOUCHED),
    ),
]
