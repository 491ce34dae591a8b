"""Cases of 01.sample. The die is handed in, so that what it is given can be read off exactly."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .sample_answers import (
    crash_on_large_k,
    draws_places,
    greedy_by_draw,
    k_cut,
    never_greedy,
    normal,
    p_at_temperature_one,
    p_cut,
    right_shape,
    sample_by_threshold,
    sample_one_by_one,
    sampler,
    softened,
    without_crossing,
    writes_into_logits,
    zeroed_logits,
)
from .sample_trials import large, on_edge, orders, throw, untouched
from .solutions.sample import sample


def divides_by_zero(answer, found):
    """Whether temperature 0 made nan or a ZeroDivisionError; which numbers are nan depends on how the cuts are written."""
    if "temperature=0" not in found.story[-1]:
        return False
    if isinstance(found.outcome, Raised):
        return found.outcome.kind == "ZeroDivisionError"
    given, _ = found.outcome
    return any(isinstance(p, torch.Tensor) and bool(p.isnan().any()) for p in given)


def draws_by_itself(answer, found):
    """Whether tokens come out at random although `draw` is never called."""
    thrown = []
    tokens = {int(answer(torch.zeros(6), 1.0, None, None, lambda p: thrown.append(p) or 0)) for _ in range(20)}
    return not thrown and len(tokens) > 1


THREE, FOUR = (0.5, 0.3, 0.2), (0.4, 0.3, 0.2, 0.1)
UNTOUCHED = [
    untouched(p, temperature=t, top_k=k, top_p=q)
    for p in ([0.75, 0.25], list(THREE), list(FOUR[::-1]))
    for t, k, q in ((0.5, None, None), (0.5, 1, None), (2.0, 2, 0.6))
]

SAMPLE = Exercise(
    id="01.sample",
    title="Temperature, top-k, top-p",
    name="sample",
    cases="throws",
    properties=[
        Property(
            "The die is thrown once, with the softmax of the logits, and its answer is returned",
            "`draw` takes one probability for each token, in the order of the ids, and decides.",
            [throw(list(p), die=d) for p in ((0.75, 0.25), (0.25, 0.75), THREE, THREE[::-1], FOUR) for d in (0, 1)],
        ),
        Property(
            "Temperature divides the logits",
            "Below 1 the likely get likelier, above 1 the differences shrink.",
            [
                throw(p, t)
                for p in ([0.75, 0.25], [0.2, 0.8], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7])
                for t in (0.5, 2.0, 0.25)
            ],
        ),
        Property(
            "Temperature 0 is greedy: the likeliest token, and no throw",
            "The limit of ever smaller temperatures is certainty; dividing by 0 does not get there.",
            [
                throw(p, 0, k, top_p)
                for p in ([0.25, 0.75], [0.75, 0.25], [0.2, 0.5, 0.3])
                for k in (None, 2)
                for top_p in (None, 0.6)
            ]
            + [throw([0.2, 0.8], 0.0)],
        ),
        Property(
            "`top_k` keeps the k likeliest, and what is left sums to 1",
            "A cut token must have probability exactly 0.",
            [throw(p, 1.0, k) for p in orders(*THREE) + [list(FOUR)] for k in (1, 2, 3)],
        ),
        Property(
            "A `top_k` beyond the vocabulary cuts nothing",
            "A server gets such requests, and must not fall over.",
            [throw(p, 1.0, k) for p in ([0.75, 0.25], [0.3, 0.7], list(THREE)) for k in (4, 50)],
        ),
        Property(
            "`top_p` keeps the fewest likeliest that reach it, the crossing one too",
            "The set must hold at least top_p, so the token that crosses the line belongs to it.",
            [
                throw(p, 1.0, None, top_p)
                for p in orders(*THREE) + [list(FOUR), list(FOUR[::-1])]
                for top_p in (0.25, 0.45, 0.6, 0.75, 0.95, 1.0)
            ],
        ),
        Property(
            "First temperature, then `top_k`, then `top_p` of what `top_k` left",
            "The order is vLLM's; another order keeps other tokens.",
            [
                throw(p, t, k, top_p)
                for p in [list(FOUR), [0.1, 0.3, 0.2, 0.4], list(THREE), [0.2, 0.5, 0.3]]
                for t in (1.0, 0.5, 2.0)
                for k in (2, 3, None)
                for top_p in (0.5, 0.65, 0.85)
                if not on_edge(torch.tensor(p).log(), t, k, top_p)
            ],
        ),
        Property("The same on a vocabulary of 1000", "This is the size at which it is used.", list(large())),
        Property("The caller's logits stay as they were", "Somebody else may still want to read them.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the token is drawn without `draw`.",
            "`torch.multinomial` and the like throw a die of their own. Hand the probabilities to `draw`, and return "
            "its answer.",
            is_made_by=draws_by_itself,
        ),
        Mistake(
            "the logits are multiplied by the temperature.",
            "That turns it round: a low temperature then flattens, a high one sharpens. Divide.",
            sampler(lambda x, t, k, p: right_shape(x, 1 / t, k, p)),
        ),
        Mistake(
            "temperature is applied to probabilities, not to logits.",
            "Dividing probabilities by a number and making them sum to 1 again changes nothing. Divide before the "
            "softmax.",
            (
                sampler(lambda x, t, k, p: right_shape(x, 1.0, k, p)),
                sampler(lambda x, t, k, p: x.softmax(-1) / t),
                sampler(lambda x, t, k, p: right_shape(x.softmax(-1), t, k, p)),
            ),
        ),
        Mistake(
            "the logits are divided by a temperature of 0.",
            "Temperature 0 means greedy and needs a case of its own: the likeliest id, without a throw.",
            never_greedy,
            divides_by_zero,
        ),
        Mistake(
            "the die is thrown at temperature 0 too.",
            "Greedy is certain: return the id and leave the die alone.",
            (greedy_by_draw, lambda x, t, k, p, draw: draw(right_shape(x, max(t, 1e-6), k, p))),
        ),
        Mistake(
            "the die gets logits, not probabilities.",
            "It wants numbers from 0 to 1 that sum to 1: the softmax of the logits.",
            sampler(lambda x, t, k, p: x / t),
        ),
        Mistake(
            "the die gets the probabilities in sorted order.",
            "`draw` takes one probability for each id and answers with an id. Put each probability back at its id "
            "before the throw.",
            (sampler(lambda x, t, k, p: right_shape(x, t, k, p).sort(descending=True).values), draws_places),
        ),
        Mistake(
            "`top_k` keeps one token too many.",
            "`>=` and `<` at the k-th value: k tokens stay, the next one goes.",
            sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else k + 1, p)),
        ),
        Mistake(
            "`top_k` keeps one token too few.",
            "The k-th likeliest token itself stays.",
            (
                sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else max(k - 1, 1), p)),
                sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else k - 1, p)),
            ),
        ),
        Mistake(
            "`torch.topk` is asked for more tokens than there are.",
            "It raises then. Ask for `min(top_k, len(logits))`.",
            crash_on_large_k,
        ),
        Mistake(
            "what is left after a cut does not sum to 1.",
            "A cut takes probability away. Divide what is left by its sum, after each cut.",
            (
                sampler(lambda x, t, k, p: p_cut(k_cut(softened(x, t), k), p)),
                sampler(lambda x, t, k, p: p_cut(normal(k_cut(softened(x, t), k)), p)),
                sampler(lambda x, t, k, p: k_cut(softened(x, t), k) if p is None else right_shape(x, t, k, p)),
            ),
        ),
        Mistake(
            "cut tokens get a logit of 0, not -inf.",
            "A logit of 0 is an ordinary score: softmax gives it probability. Only -inf becomes exactly 0.",
            sampler(zeroed_logits),
        ),
        Mistake(
            "`top_p` drops the token that crosses the line.",
            "Without it the kept set holds less than top_p. It also leaves nothing at all when one token is enough.",
            tuple(without_crossing()),
        ),
        Mistake(
            "`top_p` adds up from the unlikely end.",
            "The likeliest tokens are to stay, so sort falling before adding up.",
            sampler(lambda x, t, k, p: normal(p_cut(normal(k_cut(softened(x, t), k)), p, from_below=True))),
        ),
        Mistake(
            "`top_p` is measured before the temperature.",
            "Temperature changes how much probability the first tokens hold, so it comes first.",
            (
                sampler(p_at_temperature_one),
                sampler(lambda x, t, k, p: normal(softened(x, t) * (p_cut(normal(k_cut(x.softmax(-1), k)), p) > 0))),
            ),
        ),
        Mistake(
            "`top_p` is measured before what `top_k` left sums to 1 again.",
            "Top-k comes first. Divided by their sum, the tokens that it left weigh more, and reach `top_p` sooner.",
            sampler(lambda x, t, k, p: normal(k_cut(p_cut(softened(x, t), p), k))),
        ),
        Mistake(
            "the caller's logits are changed.",
            "`/=`, functions that end in `_` and assignments into `logits` write into the caller's own tensor. Work "
            "on a new one.",
            writes_into_logits,
            writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Do it in four separate steps, and print what each leaves: scale, cut to k, cut to p, throw. Start with "
        "`draw(torch.softmax(logits / temperature, -1))` and the case of temperature 0.",
        "Both cuts want the tokens from the likeliest down: `ordered, order = (logits / "
        "temperature).sort(descending=True)`. `order` says which id stands where. Set to `-torch.inf` what top-k "
        "cuts, then take the softmax: it sums to 1 by itself.",
        "For top-p: `before = probabilities.cumsum(-1) - probabilities` is what the likelier tokens hold together. A "
        "token is cut when `before` has already reached `top_p`. So the first always stays, and the one that crosses "
        "too.",
        "At the end put every probability back at its id: `result = torch.zeros_like(probabilities)`, "
        "`result[order] = probabilities / probabilities.sum()`, `return draw(result)`.",
    ],
    rights=[sample, sample_one_by_one, sample_by_threshold],
    why="Sorting once serves both cuts. Cutting top-k in the logits with -inf lets the softmax do the sum to 1. "
    "`before` is the probability of all likelier tokens, without the token's own, so the token that crosses the line "
    "stays and so does the first. `result[order]` undoes the sorting. Handing the die in keeps chance outside: what "
    "is tested is exact.",
)
