"""Exercise 01.sample: temperature, top-k and top-p before a draw."""

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .sample_answers import (
    crash_on_large_k,
    divides_by_zero,
    draws_by_itself,
    draws_from_the_kept,
    draws_index,
    gives_fewer,
    greedy_below,
    greedy_by_draw,
    in_another_order,
    k_cut,
    never_greedy,
    normal,
    p_at_temperature_one,
    p_cut,
    raises_low_temperatures,
    right_shape,
    sample_by_threshold,
    sample_one_by_one,
    sampler,
    softened,
    without_crossing,
    writes_into_logits,
    zeroed_logits,
)
from .sample_trials import COLD, FOUR, FROZEN, THREE, UNTOUCHED, can_be_drawn, drawn, kept, large, on_edge, orders
from .solutions.sample import sample

SAMPLE = Exercise(
    id="01.sample",
    title="Temperature, top-k, top-p",
    name="sample",
    cases="calls",
    properties=[
        Property(
            "`draw` is called once, with the softmax of the logits, and its result is returned",
            "`draw` takes one probability for each token, in the order of the ids, and returns an id.",
            [drawn(list(p), token=d) for p in ((0.75, 0.25), (0.25, 0.75), THREE, THREE[::-1], FOUR) for d in (0, 1)],
        ),
        Property(
            "Temperature divides the logits",
            "Below 1, likely tokens become more likely; above 1, the differences become smaller.",
            [
                drawn(p, t)
                for p in ([0.75, 0.25], [0.2, 0.8], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7])
                for t in (0.5, 2.0, 0.25)
            ]
            + [drawn(p, 0.005) for p in ([1.02, 1.0], [1.0, 1.02], [1.0, 1.01, 1.03])]
            + [drawn([1.000001, 1.0], 1e-6)]
            + COLD,
        ),
        Property(
            "Temperature 0 is greedy: the most likely token, without `draw`",
            "As the temperature goes to 0, the most likely token gets probability 1. Dividing by 0 does not compute "
            "this limit.",
            [
                drawn(p, 0, k, top_p)
                for p in ([0.25, 0.75], [0.75, 0.25], [0.2, 0.5, 0.3])
                for k in (None, 2)
                for top_p in (None, 0.6)
            ]
            + [drawn([0.2, 0.8], 0.0)],
        ),
        Property(
            "`top_k` keeps the k most likely tokens, and their probabilities sum to 1",
            "A cut token must have probability exactly 0.",
            [drawn(p, 1.0, k) for p in orders(*THREE) + [list(FOUR)] for k in (1, 2, 3)]
            + [can_be_drawn(p, k) for p in orders(*THREE) + [list(FOUR)] for k in (1, 2)]
            + FROZEN,
        ),
        Property(
            "A `top_k` larger than the vocabulary cuts nothing",
            "A server gets such requests, and must not fail.",
            [drawn(p, 1.0, k) for p in ([0.75, 0.25], [0.3, 0.7], list(THREE)) for k in (4, 50)],
        ),
        Property(
            "`top_p` keeps the fewest most likely tokens that reach it, with the token that crosses the line",
            "The set must hold at least top_p, so the token with which the sum reaches top_p belongs to it.",
            [
                drawn(p, 1.0, None, top_p)
                for p in orders(*THREE) + [list(FOUR), list(FOUR[::-1])]
                for top_p in (0.25, 0.45, 0.6, 0.75, 0.95, 1.0)
            ]
            + [drawn(list(p), 1.0, None, top_p) for p, top_p in ((THREE, 0.5001), (THREE, 0.8005), (FOUR, 0.7001))],
        ),
        Property(
            "`top_p` is reached where the sum is exactly `top_p`: no further token is kept",
            "Two tokens of probability 0.5 and a `top_p` of 0.5: one is enough.",
            [kept(*how) for how in ((2, 0.5), (4, 0.25), (4, 0.5), (4, 0.75), (8, 0.5), (4, 0.5, 2.0))],
        ),
        Property(
            "First temperature, then `top_k`, then `top_p` on the tokens that `top_k` kept",
            "This is vLLM's order; another order keeps other tokens.",
            [
                drawn(p, t, k, top_p)
                for p in [list(FOUR), [0.1, 0.3, 0.2, 0.4], list(THREE), [0.2, 0.5, 0.3]]
                for t in (1.0, 0.5, 2.0)
                for k in (2, 3, None)
                for top_p in (0.5, 0.65, 0.85)
                if not on_edge(torch.tensor(p).log(), t, k, top_p)
            ],
        ),
        Property("It is right on a vocabulary of 1000 tokens too", "Real vocabularies are large.", list(large())),
        Property("The caller's logits are not changed", "The caller may read them again.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the token is drawn without `draw`.",
            "`torch.multinomial` and similar functions draw by themselves. Pass the probabilities to `draw`, and "
            "return its result.",
            is_made_by=draws_by_itself,
        ),
        Mistake(
            "the logits are multiplied by the temperature.",
            "Then a low temperature flattens and a high one sharpens, which is the wrong way round. Divide.",
            sampler(lambda x, t, k, p: right_shape(x, 1 / t, k, p)),
        ),
        Mistake(
            "temperature is applied to probabilities, not to logits.",
            "Probabilities that are divided by a number and normalised again are unchanged. Divide the logits, before "
            "the softmax.",
            (
                sampler(lambda x, t, k, p: right_shape(x, 1.0, k, p)),
                sampler(lambda x, t, k, p: x.softmax(-1) / t),
                sampler(lambda x, t, k, p: right_shape(x.softmax(-1), t, k, p)),
            ),
        ),
        Mistake(
            "the logits are divided by a temperature of 0.",
            "Temperature 0 means greedy and needs its own case: return the most likely id, without `draw`.",
            never_greedy,
            divides_by_zero,
        ),
        Mistake(
            "`draw` is called at temperature 0 too.",
            "Greedy decoding draws nothing: return the most likely id without `draw`.",
            (greedy_by_draw, lambda x, t, k, p, draw: draw(right_shape(x, max(t, 1e-6), k, p))),
        ),
        Mistake(
            "`draw` gets logits, not probabilities.",
            "It takes numbers from 0 to 1 that sum to 1: the softmax of the logits.",
            sampler(lambda x, t, k, p: x / t),
        ),
        Mistake(
            "`draw` gets the probabilities in sorted order, or not back at their ids.",
            "`draw` takes one probability for each id and returns an id. Put each probability back at its id before "
            "you call it: `result[order] = …`, or `scatter`.",
            (sampler(lambda x, t, k, p: right_shape(x, t, k, p).sort(descending=True).values), draws_index),
            in_another_order,
        ),
        Mistake(
            "`draw` gets the tokens that are kept only.",
            "It takes a probability for each id of the vocabulary, 0 for those that were cut, and returns an id.",
            draws_from_the_kept,
            gives_fewer,
        ),
        Mistake(
            "`top_p` is compared with a tolerance, or with a rounded sum.",
            "Then a token is cut although the sum has not reached `top_p`. Compare the sum as it is.",
            tuple(
                sampler(lambda x, t, k, p, slack=slack: right_shape(x, t, k, p and p - slack))
                for slack in (1e-3, 6e-4, 2e-2)
            ),
        ),
        Mistake(
            "`top_k` keeps one token too many.",
            "Check `>=` and `<` at the k-th value: k tokens stay, the next one is cut.",
            sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else k + 1, p)),
        ),
        Mistake(
            "`top_k` keeps one token too few.",
            "The k-th most likely token stays too.",
            (
                sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else max(k - 1, 1), p)),
                sampler(lambda x, t, k, p: right_shape(x, t, None if k is None else k - 1, p)),
            ),
        ),
        Mistake(
            "`torch.topk` is called for more tokens than there are.",
            "It raises an error then. Use `min(top_k, len(logits))`.",
            crash_on_large_k,
        ),
        Mistake(
            "the probabilities do not sum to 1 after a cut.",
            "A cut removes probability. Divide the remaining probabilities by their sum, after each cut.",
            (
                sampler(lambda x, t, k, p: p_cut(k_cut(softened(x, t), k), p)),
                sampler(lambda x, t, k, p: p_cut(normal(k_cut(softened(x, t), k)), p)),
                sampler(lambda x, t, k, p: k_cut(softened(x, t), k) if p is None else right_shape(x, t, k, p)),
            ),
        ),
        Mistake(
            "cut tokens get a logit of 0, not -inf.",
            "A logit of 0 is an ordinary score, so softmax gives it some probability. Only -inf gives exactly 0.",
            sampler(zeroed_logits),
        ),
        Mistake(
            "`top_p` drops the token that crosses the line.",
            "Without that token the kept set holds less than top_p. Where one token is enough, no token is left at "
            "all.",
            tuple(without_crossing()),
        ),
        Mistake(
            "`top_p` keeps one token more where the sum is exactly `top_p`.",
            "Once the more likely tokens have reached `top_p`, no other is needed: cut where their sum is `>= top_p`, "
            "not where it is above.",
            sampler(lambda x, t, k, p: normal(p_cut(normal(k_cut(softened(x, t), k)), p, beyond=True))),
        ),
        Mistake(
            "cut tokens get a large negative logit, not -inf.",
            "At a low temperature the other logits are below it, and then only the cut tokens are left.",
            is_made_by=lambda answer, found: found.trial in FROZEN and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "cut tokens keep a small probability.",
            "A token that was cut must never be drawn. Its probability is exactly 0.",
            tuple(
                sampler(lambda x, t, k, p, least=least: right_shape(x, t, k, p).clamp(min=least))
                for least in (1e-9, 1e-6)
            ),
        ),
        Mistake(
            "a low temperature is raised to a higher one.",
            "Only 0 needs a case of its own. Divide by any other temperature as it is: softmax subtracts the largest "
            "logit first, so that nothing overflows.",
            tuple(
                sampler(lambda x, t, k, p, least=least: right_shape(x, max(t, least), k, p)) for least in (0.01, 0.05)
            ),
            raises_low_temperatures,
        ),
        Mistake(
            "a low temperature is treated as 0.",
            "Only 0 means greedy. At any temperature above 0 the token is drawn: `draw` is called once.",
            tuple(greedy_below(t) for t in (0.01, 0.1, 1e-3, 1e-5)),
            lambda answer, found: (
                found.trial in COLD and not isinstance(found.outcome, Raised) and not found.outcome[0]
            ),
        ),
        Mistake(
            "`top_p` adds up from the least likely token.",
            "The most likely tokens must stay, so sort in descending order before the cumulative sum.",
            sampler(lambda x, t, k, p: normal(p_cut(normal(k_cut(softened(x, t), k)), p, from_below=True))),
        ),
        Mistake(
            "`top_p` is measured before the temperature.",
            "Temperature changes the probabilities of the most likely tokens, so apply it first.",
            (
                sampler(p_at_temperature_one),
                sampler(lambda x, t, k, p: normal(softened(x, t) * (p_cut(normal(k_cut(x.softmax(-1), k)), p) > 0))),
            ),
        ),
        Mistake(
            "`top_p` is measured before the tokens that `top_k` kept sum to 1 again.",
            "Top-k comes first. Divided by their sum, the tokens that it kept have more probability, and fewer of "
            "them reach `top_p`.",
            sampler(lambda x, t, k, p: normal(k_cut(p_cut(softened(x, t), p), k))),
        ),
        Mistake(
            "the caller's logits are changed.",
            "`/=`, functions whose names end in `_` and assignments into `logits` write into the caller's tensor. "
            "Make a new one.",
            writes_into_logits,
            writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Write four separate steps, and print the result of each: divide by the temperature, cut to k, cut to p, "
        "draw. Start with `draw(torch.softmax(logits / temperature, -1))` and with the case of temperature 0.",
        "Both cuts need the tokens in descending order: `ordered, order = (logits / "
        "temperature).sort(descending=True)`. `order` holds the id at each position. Set the logits that top-k cuts "
        "to `-torch.inf`, then take the softmax: its result sums to 1.",
        "For top-p, sum what stands before each token: `before = torch.cat([torch.zeros(1), "
        "probabilities.cumsum(-1)[:-1]])`. A token is cut where `before` has already reached `top_p`. So the first "
        "token always stays, and so does the token that crosses the line.",
        "At the end, put every probability back at its id: `result = torch.zeros_like(probabilities)`, "
        "`result[order] = probabilities / probabilities.sum()`, `return draw(result)`.",
    ],
    rights=[sample, sample_one_by_one, sample_by_threshold],
    why="One sort serves both cuts. Top-k sets logits to -inf, so the softmax already makes the rest sum to 1. "
    "`before` is the probability of all more likely tokens, without the token's own, so the token that crosses the "
    "line stays, and so does the first. It is a shifted sum and not `cumsum - probabilities`, which rounds twice and "
    "can end below a `top_p` that was reached. `result[order]` undoes the sort. `draw` is an argument, so that the "
    "function itself is deterministic and can be tested exactly.",
)
