"""Trials of 01.sample: `draw` is passed in, so a trial sees exactly which probabilities it gets."""

import itertools

import torch

from course_lib.practice.fixtures.random_logits import random_logits
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report import tensors

from .sample_answers import k_cut, normal, softened

LARGE = 1000
"""The size of a larger vocabulary."""


def drawn(probs, temperature=1.0, top_k=None, top_p=None, token=1, note="", seed=None):
    """The Trial that samples from log(probs), or with a seed from random logits; its draw() always returns `token`."""
    if seed is None:
        size, make = len(probs), lambda: torch.log(torch.tensor(probs))
        first = [f"logits = torch.log(torch.tensor({tensors.numbers(torch.tensor(probs), digits=7)}))"]
    else:
        size, make = LARGE, lambda: random_logits(LARGE, scale=3.0, seed=seed)
        first = [
            "from course_lib.practice.play import random_logits",
            f"logits = random_logits({LARGE}, scale=3.0, seed={seed})",
        ]

    def act(answer):
        given = []

        def draw(probabilities):
            given.append(as_given(probabilities))
            return token

        return given, answer(make(), temperature, top_k, top_p, draw)

    return Trial(
        [
            *first,
            f"draw = lambda probabilities: print(probabilities) or {token}",
            f"sample(logits, temperature={temperature}, top_k={top_k}, top_p={top_p}, draw=draw)",
        ],
        act,
        show=what_happened,
        note=note,
        explain=explain,
        size=size,
    )


def can_be_drawn(probs, top_k):
    """The Trial of the ids that draw() could return: those with a probability above 0, however small."""

    def act(answer):
        given = []
        answer(torch.log(torch.tensor(probs)), 1.0, top_k, None, lambda p: given.append(as_given(p)) or 0)
        return [(p > 0).nonzero().flatten().tolist() if isinstance(p, torch.Tensor) else p for p in given]

    return Trial(
        [
            f"logits = torch.log(torch.tensor({tensors.numbers(torch.tensor(probs))}))",
            "draw = lambda probabilities: print((probabilities > 0).nonzero().flatten()) or 0",
            f"sample(logits, temperature=1.0, top_k={top_k}, top_p=None, draw=draw)",
        ],
        act,
        show=lambda given: "\n".join(f"ids {ids} can be drawn" for ids in given) or "draw is not called",
        size=len(probs),
    )


def kept(size, top_p, temperature=1.0):
    """The Trial of `size` equal logits, of which so many are kept that their sum is exactly `top_p`.

    Which of the equal tokens are kept is left open: the probabilities are compared from the largest on.
    """

    def act(answer):
        given = []

        def draw(probabilities):
            given.append(as_given(probabilities))
            return 0

        answer(torch.zeros(size), temperature, None, top_p, draw)
        return [p.sort(descending=True).values if isinstance(p, torch.Tensor) else p for p in given]

    return Trial(
        [
            "draw = lambda probabilities: print(probabilities.sort(descending=True).values) or 0",
            f"sample(torch.zeros({size}), temperature={temperature}, top_k=None, top_p={top_p}, draw=draw)",
        ],
        act,
        show=lambda given: "\n".join(f"draw gets {short(p)}" for p in given) or "draw is not called",
        note=f"{round(size * top_p)} of {size} are exactly {top_p:.4g}",
        size=size,
    )


def as_given(probabilities):
    if isinstance(probabilities, torch.Tensor) and probabilities.is_floating_point():
        return probabilities.detach().float().clone()
    return probabilities


def what_happened(outcome):
    given, returned = outcome
    calls = [f"draw({short(p)})" for p in given] or ["draw is not called"]
    return "\n".join([*calls, f"returns {tensors.outcome(returned)}"])


def short(value):
    if isinstance(value, torch.Tensor):
        if value.numel() > 12:
            return f"{int((value > 0).sum())} of {value.numel()} tokens above 0, sum {value.sum():.4g}"
        return tensors.numbers(value, digits=3)
    return repr(value)


def explain(expected, got):
    """What is wrong with the probabilities that draw() got, in words; "" where no simple fault is found."""
    (want, _), (given, _) = expected, got
    if len(given) > len(want) == 0:
        return "At temperature 0, `draw` must not be called."
    if not given and want:
        return "`draw` was not called."
    if not given:
        return ""
    if len(given) > 1:
        return f"`draw` was called {len(given)} times; one token needs one call."
    probs = given[0]
    if not isinstance(probs, torch.Tensor):
        return f"`draw` takes a tensor of probabilities, and got {type(probs).__name__}."
    if probs.shape != want[0].shape:
        return f"`draw` takes one probability for each token, shape {list(want[0].shape)}, and got {list(probs.shape)}."
    if probs.isnan().any():
        return "There is `nan` (not a number): a division by zero, or infinity minus infinity."
    if abs(probs.sum() - 1) > 1e-3:
        return f"The probabilities sum to {probs.sum():.3g}, not to 1."
    return ""


def untouched(probs, **how):
    def act(answer):
        logits = torch.log(torch.tensor(probs))
        answer(logits, *[how.get(k) for k in ("temperature", "top_k", "top_p")], lambda p: 0)
        return logits.exp()

    arguments = ", ".join(f"{k}={how.get(k)}" for k in ("temperature", "top_k", "top_p"))
    return Trial(
        [
            f"logits = torch.log(torch.tensor({tensors.numbers(torch.tensor(probs))}))",
            f"sample(logits, {arguments}, draw=lambda probabilities: 0)",
            "logits.exp()",
        ],
        act,
        show=lambda t: tensors.numbers(t, 3) if isinstance(t, torch.Tensor) else repr(t),
        size=len(probs),
    )


def orders(*probs):
    """All orders of these probabilities, the descending one first."""
    return [list(p) for p in itertools.permutations(probs)]


def on_edge(logits, t, k, p, width=1e-3):
    """Whether a sum of probabilities is so close to top_p that rounding decides. Such cases are left out."""
    if p is None:
        return False
    reached = normal(k_cut(softened(logits, t), k)).sort(descending=True).values.cumsum(0)
    return bool((reached - p).abs().min() < width)


def large():
    """Trials with common settings on 1000 tokens, none of them on an edge of top-p."""
    seed = 0
    for t, k, p in [
        (1.0, 50, 0.9),
        (0.7, 40, 0.95),
        (1.3, None, 0.8),
        (0.8, 20, None),
        (1.0, None, None),
        (0.5, 100, 0.5),
    ]:
        while on_edge(random_logits(LARGE, scale=3.0, seed=seed), t, k, p, 1e-4):
            seed += 1
        yield drawn(None, t, k, p, token=17, seed=seed)
        seed += 1


THREE, FOUR = (0.5, 0.3, 0.2), (0.4, 0.3, 0.2, 0.1)
FROZEN = [drawn(list(p), t, 1) for p in (THREE, THREE[::-1], FOUR) for t in (1e-5, 1e-10)]
"""Logits far below any finite number that a mask may write."""
COLD = [drawn([1.0, 1.0], t) for t in (1e-4, 1e-6, 1e-9)]
UNTOUCHED = [
    untouched(p, temperature=t, top_k=k, top_p=q)
    for p in ([0.75, 0.25], list(THREE), list(FOUR[::-1]))
    for t, k, q in ((0.5, None, None), (0.5, 1, None), (2.0, 2, 0.6))
]
