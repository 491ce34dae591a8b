"""The mistakes in 14.sinks. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    own=lambda num_new, num_tokens: torch.arange(num_tokens - num_new, num_tokens),
    causal=lambda distance: distance >= 0,
    near=lambda distance, window, sinks: distance < window,
    first=lambda position, sinks, num_tokens, distance, window: position < sinks,
    together=lambda causal, near, first: causal & (near | first),
    gives=lambda mask: mask,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(num_new, num_tokens, window, sinks):
        position = torch.arange(num_tokens)
        distance = own(num_new, num_tokens)[:, None] - position
        return gives(
            together(
                causal(distance), near(distance, window, sinks), first(position, sinks, num_tokens, distance, window)
            )
        )

    return answer


MISTAKES = [
    Mistake(
        "the window is one position too long.",
        "A window of 2 is the token itself and one before it: a distance of 0 or 1, below 2.",
        wrong(near=lambda distance, window, sinks: distance <= window),
    ),
    Mistake(
        "the window is one position too short.",
        "A window of 2 is the token itself and one before it: a distance of 0 or 1, below 2.",
        (
            wrong(near=lambda distance, window, sinks: distance < window - 1),
            wrong(near=lambda distance, window, sinks: (distance < window) & (distance > 0)),
        ),
    ),
    Mistake(
        "positions after the token are seen.",
        "Only positions up to the token's own: the distance is 0 or more.",
        (
            wrong(causal=lambda distance: distance > -(10**6)),
            wrong(causal=lambda distance: distance > -(10**6), near=lambda d, window, sinks: d.abs() < window),
        ),
    ),
    Mistake(
        "a token sees sinks that come after it.",
        "Sinks are subject to the first condition too: not after the token's own position.",
        wrong(together=lambda causal, near, first: (causal & near) | first),
    ),
    Mistake("the token does not see itself.", "A distance of 0 is seen.", wrong(causal=lambda distance: distance > 0)),
    Mistake(
        "the sinks are taken out of the window.",
        "Sinks come beside the window: with a window of 8 and 2 sinks a token sees up to 10 positions.",
        wrong(near=lambda distance, window, sinks: distance < max(1, window - sinks)),
    ),
    Mistake(
        "one sink too many is seen, or one too few.",
        "With 2 sinks these are the positions 0 and 1: below 2.",
        (
            wrong(first=lambda p, sinks, n, d, w: p <= sinks),
            wrong(first=lambda p, sinks, n, d, w: p < sinks - 1),
            wrong(first=lambda p, sinks, n, d, w: (p > 0) & (p <= sinks)),
        ),
    ),
    Mistake(
        "the sinks are not seen.",
        "A position below `sinks` is seen by every token that comes after it.",
        wrong(first=lambda p, sinks, n, d, w: p < 0),
    ),
    Mistake(
        "a position must be in the window and a sink.",
        "One of both is enough: `|`, not `&`.",
        wrong(together=lambda causal, near, first: causal & near & first),
    ),
    Mistake(
        "sinks are the positions right before the window.",
        "Sinks are the first positions of the sequence.",
        wrong(first=lambda p, sinks, n, d, w: d < w + sinks),
    ),
    Mistake(
        "what is in both is not seen.",
        "A sink inside the window is seen: `|`, not `^` or `!=`.",
        wrong(together=lambda causal, near, first: causal & (near ^ first)),
    ),
    Mistake(
        "the rows begin at position 0.",
        "Row i is the token at position num_tokens - num_new + i: the new tokens are the last ones.",
        wrong(own=lambda num_new, num_tokens: torch.arange(num_new)),
    ),
    Mistake(
        "all rows are the mask of the last token.",
        "Every token has its own window.",
        wrong(own=lambda num_new, num_tokens: torch.full((num_new,), num_tokens - 1)),
    ),
    Mistake(
        "the rows are one position too late or too early.",
        "Row i is the token at position num_tokens - num_new + i.",
        (
            wrong(own=lambda num_new, num_tokens: torch.arange(num_tokens - num_new, num_tokens) + 1),
            wrong(own=lambda num_new, num_tokens: torch.arange(num_tokens - num_new, num_tokens) - 1),
        ),
    ),
    Mistake(
        "True and False are exchanged.",
        "True where the position is seen, as `scaled_dot_product_attention` takes it.",
        wrong(gives=lambda mask: ~mask),
    ),
    Mistake(
        "rows and columns are exchanged.",
        "A row for each new token, a column for each position.",
        wrong(gives=lambda mask: mask.T),
    ),
    Mistake(
        "the mask has a row for every token.",
        "Only the last num_new tokens have rows.",
        wrong(own=lambda num_new, num_tokens: torch.arange(num_tokens)),
    ),
    Mistake(
        "with no new tokens there is a row for every token.",
        "`position[-0:]` is all of it. Begin at `num_tokens - num_new`.",
        wrong(own=lambda num_new, num_tokens: torch.arange(num_tokens)[-num_new:]),
    ),
    Mistake(
        "the mask is not of bools.",
        "True where the position is seen, False elsewhere.",
        (
            wrong(gives=lambda mask: mask.float()),
            wrong(gives=lambda mask: mask.int()),
            wrong(gives=lambda mask: torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))),
            wrong(gives=lambda mask: mask.tolist()),
        ),
    ),
]
