"""Trials of 13.counter_rng in which every word of `mix` is the smallest or the largest, or logits are far apart."""

import torch

from course_lib.practice.judge.exercise import Trial

from .counter_rng_trials import INF, drawn
from .finding import Finding, compared, found

ROWS = [[-INF, 0.0, 1.0, -INF], [-INF, -INF, -1.0, 2.0], [-INF, 3.0, -INF, 0.0]]


def with_words(word, rows):
    """The Trial of draws where `mix` returns one word for all: no token of probability 0 may be drawn."""
    logits = torch.tensor(ROWS[:rows])

    def act(answer):
        names = getattr(answer, "__globals__", {})
        kept = names.get("mix")
        if kept is not None:
            names["mix"] = lambda x: torch.full_like(kept(x), word)
        try:
            got = drawn(answer, logits, range(rows), [5] * rows)
        finally:
            if kept is not None:
                names["mix"] = kept
        if isinstance(got, str):
            return Finding(False, got)
        bad = next((row for row, token in enumerate(got) if logits[row, token] == -INF), None)
        if bad is None:
            return Finding(True, "tokens that are possible")
        return Finding(False, f"row {bad} draws token {got[bad]}, whose logit is -inf")

    values = str(ROWS[:rows]).replace("inf", "float('inf')")
    return Trial(
        [
            "import torch",
            f"mix = lambda x: torch.full_like(x, {word})  # one of the 2**32 words that `mix` may return",
            f"draw(torch.tensor({values}), torch.arange({rows}), torch.full(({rows},), 5))",
        ],
        act,
        show=found,
        size=10 * rows + (word > 0),
    )


def far_below(less, seed):
    """The Trial of a row whose logits are `less` lower than those beside it: it draws what it draws alone."""
    logits = torch.tensor([[0.0, 1.0, 0.5, 0.2], [-less, 1 - less, 2 - less, 1 - less]])

    def act(answer):
        together = [drawn(answer, logits, [seed, seed], [at, at]) for at in range(12)]
        alone = [drawn(answer, logits[1:], [seed], [at]) for at in range(12)]
        if wrong := next((got for got in (*together, *alone) if isinstance(got, str)), ""):
            return Finding(False, wrong)
        beside, alone = [two[1] for two in together], [one[0] for one in alone]
        return Finding(beside == alone, "the same" if beside == alone else f"{beside}, and alone {alone}")

    return Trial(
        [
            "import torch",
            f"logits = torch.tensor({logits.tolist()})",
            f"seeds = torch.tensor([{seed}, {seed}])",
            "[draw(logits, seeds, torch.tensor([at, at]))[1] for at in range(12)]",
            "[draw(logits[1:], seeds[1:], torch.tensor([at]))[0] for at in range(12)]",
        ],
        act,
        show=found,
        size=8,
    )


def one_and_many(vocab, more, many=1000):
    """The Trial of one likely token, whose logit is `more` higher, and many that are not: how often it is drawn."""
    row = torch.cat([torch.tensor([more]), torch.linspace(0.3, -0.3, vocab - 1)])
    share = float(row.double().softmax(0)[0])

    def act(answer):
        got = drawn(answer, row.repeat(many, 1), [6] * many, range(many))
        if isinstance(got, str):
            return got
        return compared([got.count(0), many - got.count(0)], [share, 1 - share])

    story = [
        "import torch",
        f"logits = torch.cat([torch.tensor([{more}]), torch.linspace(0.3, -0.3, {vocab - 1})])",
        f"tokens = draw(logits.repeat({many}, 1), torch.full(({many},), 6), torch.arange({many}))",
        "(tokens == 0).float().mean(), (tokens > 0).float().mean()",
    ]
    return Trial(
        story,
        act,
        show=lambda got: (
            f"{found(got)} (they should be near {share:.2f} {1 - share:.2f})" if isinstance(got, Finding) else repr(got)
        ),
        size=10 * vocab,
    )


def rests(vocab=4096, many=250):
    """The Trial of draws from a large vocabulary of equal tokens: from which half, and which rest of the id by 4."""

    def act(answer):
        got = drawn(answer, torch.zeros(many, vocab), [4] * many, range(many))
        if isinstance(got, str):
            return got
        cells = [2 * token // vocab * 4 + token % 4 for token in got]
        return compared([cells.count(cell) for cell in range(8)], [1 / 8] * 8)

    story = [
        "import torch",
        f"tokens = draw(torch.zeros({many}, {vocab}), torch.full(({many},), 4), torch.arange({many}))",
        f"(2 * tokens // {vocab} * 4 + tokens % 4).bincount(minlength=8) / {many}  # of each half, each rest by 4",
    ]
    return Trial(
        story,
        act,
        show=lambda got: f"{found(got)} (they should be near 0.125)" if isinstance(got, Finding) else repr(got),
        size=10 * vocab,
    )


RESTS = [rests()]
TAIL = [one_and_many(404, 6.0), one_and_many(150, 5.0, 1000)]
WORDS = [with_words(word, rows) for rows in (1, 3) for word in (0, 2**32 - 1)]
FAR_BELOW = [far_below(2000.0, 1), far_below(5000.0, 2)]
