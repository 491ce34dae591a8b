"""Trials of 13.counter_rng. What is random is compared by what it must fulfil, not token by token."""

import math
import random

import torch

from course_lib.practice.judge.exercise import Trial

from .finding import Finding, compared, found, tokens_of

INF = math.inf


def drawn(answer, logits, seeds, positions):
    """The tokens of one call, on fresh tensors: a list, or a text that says what is wrong."""
    given = logits.clone(), torch.tensor(seeds, dtype=torch.int64), torch.tensor(positions, dtype=torch.int64)
    return tokens_of(answer(*given), *logits.shape)


def kind(rows, vocab, dtype=torch.float32):
    """The Trial of what comes back: its kind, not its tokens."""
    logits = torch.zeros(rows, vocab, dtype=dtype)

    def act(answer):
        got = drawn(answer, logits, range(rows), [5] * rows)
        return got if isinstance(got, str) else f"a tensor of int64 [{rows}]"

    made = f"torch.zeros({rows}, {vocab}{', dtype=torch.float16' * (dtype == torch.float16)})"
    call = f"draw({made}, torch.arange({rows}), torch.full(({rows},), 5))"
    return Trial(["import torch", call], act, show=str, size=rows * vocab)


def shares(logits, many=2000, *, by="position", seed=0, position=0, dtype=torch.float32):
    """The Trial of many draws from the same logits, each at another position, or with another seed."""
    row = torch.tensor(logits, dtype=dtype)
    expected = row.double().softmax(0).tolist()

    def act(answer):
        seeds = range(seed, seed + many) if by == "seed" else [seed] * many
        positions = range(position, position + many) if by == "position" else [position] * many
        got = drawn(answer, row.repeat(many, 1), seeds, positions)
        return got if isinstance(got, str) else compared([got.count(t) for t in range(len(row))], expected)

    given = f"torch.tensor({[float(x) for x in logits]})".replace("inf", "float('inf')")
    given += ".half()" if dtype == torch.float16 else ""
    place = f"torch.arange({position}, {position + many})" if by == "position" else f"torch.full(({many},), {position})"
    seeds = f"torch.arange({seed}, {seed + many})" if by == "seed" else f"torch.full(({many},), {seed})"
    return Trial(
        [
            "import torch",
            f"logits = {given}",
            f"tokens = draw(logits.repeat({many}, 1), {seeds}, {place})",
            f"tokens.bincount(minlength={len(logits)}) / {many}",
        ],
        act,
        show=lambda got: (
            found(got) + " (they should be near " + " ".join(f"{p:.2f}" for p in expected) + ")"
            if isinstance(got, Finding)
            else repr(got)
        ),
        size=many * len(logits),
    )


def far_apart(vocab, two, many=100):
    """The Trial of draws from a large vocabulary in which two tokens are possible."""
    row = torch.full((vocab,), -INF)
    row[list(two)] = 0.0

    def act(answer):
        got = drawn(answer, row.repeat(many, 1), [3] * many, range(many))
        if isinstance(got, str):
            return got
        counts = [got.count(token) for token in two]
        return compared([*counts, many - sum(counts)], [0.5, 0.5, 0.0])

    story = [
        "import torch",
        f"logits = torch.full(({many}, {vocab}), -float('inf'))",
        f"logits[:, {list(two)}] = 0.0",
        f"draw(logits, torch.full(({many},), 3), torch.arange({many})).bincount()[{list(two)}] / {many}",
    ]
    return Trial(
        story,
        act,
        show=lambda got: (
            found(got) + " (they should be near 0.50 0.50, and 0 of all others)"
            if isinstance(got, Finding)
            else repr(got)
        ),
        size=10**5,
    )


def spread(vocab, many=600, rows=25):
    """The Trial of draws from a large vocabulary in which all tokens are as likely: how many come from each quarter.

    rows: of one call. What `many` rows of a large vocabulary take has to come from main memory: twice the time.
    """

    def act(answer):
        got = []
        for first in range(0, many, rows):
            part = drawn(answer, torch.zeros(rows, vocab), [4] * rows, range(first, first + rows))
            if isinstance(part, str):
                return part
            got += part
        return compared([sum(4 * token // vocab == quarter for token in got) for quarter in range(4)], [0.25] * 4)

    story = [
        "import torch",
        f"logits, seeds = torch.zeros({rows}, {vocab}), torch.full(({rows},), 4)",
        f"tokens = torch.cat([draw(logits, seeds, at) for at in torch.arange({many}).split({rows})])",
        f"(4 * tokens // {vocab}).bincount(minlength=4) / {many}  # from which quarter of the vocabulary they are",
    ]
    return Trial(
        story,
        act,
        show=lambda got: f"{found(got)} (they should be near 0.25)" if isinstance(got, Finding) else repr(got),
        size=10 * vocab,
    )


def apart(name, first, second, many=1000, vocab=8):
    """The Trial of two rows of draws that must have nothing to do with each other.

    first, second: (seed, position) of draw i, as functions of i, and as the same in code of torch.
    """
    logits = torch.zeros(many, vocab)

    def act(answer):
        pairs = []
        for function, _ in (first, second):
            got = drawn(answer, logits, *zip(*map(function, range(many))))
            if isinstance(got, str):
                return got
            pairs.append(got)
        steps = [(b - a) % vocab for a, b in zip(*pairs)]
        return compared([steps.count(step) for step in range(vocab)], [1 / vocab] * vocab)

    return Trial(
        [
            "import torch",
            f"i, logits = torch.arange({many}), torch.zeros({many}, {vocab})",
            f"first = draw(logits, {first[1]})",
            f"second = draw(logits, {second[1]})",
            f"((second - first) % {vocab}).bincount(minlength={vocab}) / {many}  # how far the two are apart",
        ],
        act,
        show=lambda got: (
            found(got) + f" (they should be near {1 / vocab:.3f}: independent)"
            if isinstance(got, Finding)
            else repr(got)
        ),
        note=name,
        size=10 * many * vocab,
    )


def batch(rows, vocab, seed):
    """(logits, seeds, positions) of a batch, the same every time."""
    draw = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(rows, vocab, generator=draw)).round(decimals=1)
    numbers = random.Random(seed)
    return logits, [numbers.randrange(10**6) for _ in range(rows)], [numbers.randrange(2000) for _ in range(rows)]


def told(logits, seeds, positions):
    values = str([[round(x, 1) for x in row] for row in logits.tolist()]).replace("inf", "float('inf')")
    return [
        "import torch",
        f"logits = torch.tensor({values})",
        f"seeds, positions = torch.tensor({list(seeds)}), torch.tensor({list(positions)})",
    ]


def company(rows, vocab, seed, order=None):
    """The Trial of a batch: whether each row draws what it draws alone, or in another order."""
    given = batch(rows, vocab, seed)
    at = list(range(rows)) if order is None else order

    def act(answer):
        together = drawn(answer, *given)
        if isinstance(together, str):
            return together
        logits, seeds, positions = given
        if order is None:
            other = [drawn(answer, logits[i : i + 1], [seeds[i]], [positions[i]]) for i in at]
            if wrong := next((one for one in other if isinstance(one, str)), ""):
                return wrong
            other = [one[0] for one in other]
        else:
            other = drawn(answer, logits[at], [seeds[i] for i in at], [positions[i] for i in at])
            if isinstance(other, str):
                return other
        changed = [(i, together[i], token) for i, token in zip(at, other) if token != together[i]]
        if not changed:
            return Finding(True, "every row draws the same token in both calls")
        row, first, second = changed[0]
        return Finding(False, f"row {row} draws token {first} in the first call, and token {second} in the second")

    lines = [*told(*given), "draw(logits, seeds, positions)"]
    if order is None:
        lines.append("torch.cat([draw(logits[[i]], seeds[[i]], positions[[i]]) for i in range(len(logits))])")
    else:
        lines.append(f"at = torch.tensor({order}); draw(logits[at], seeds[at], positions[at])")
    return Trial(lines, act, show=found, size=rows * vocab)


def again(rows, vocab, seed, others=0):
    """The Trial of the same call twice, with other draws between, and the generators of torch and Python moved on."""
    given = batch(rows, vocab, seed)

    def act(answer):
        random.seed(1)
        torch.manual_seed(1)
        first = drawn(answer, *given)
        for number in range(others):
            drawn(answer, *batch(2, vocab, 50 + number))
        random.seed(2)
        torch.manual_seed(2)
        second = drawn(answer, *given)
        if isinstance(first, str):
            return first
        text = "the same tokens both times" if first == second else f"{first}, and then {second}"
        return Finding(first == second, text)

    between = [f"for _ in range({others}): draw(logits + 1, seeds + 9, positions)"] if others else []
    return Trial(
        [
            *told(*given),
            "torch.manual_seed(1)",
            "draw(logits, seeds, positions)",
            *between,
            "torch.manual_seed(2)",
            "draw(logits, seeds, positions)",
        ],
        act,
        show=found,
        size=rows * vocab + others,
    )


def generators(rows, vocab, seed):
    """The Trial of whether a call uses up random numbers of torch or Python, or seeds them."""
    given = batch(rows, vocab, seed)

    def act(answer):
        before = torch.get_rng_state(), random.getstate()
        drawn(answer, *given)
        changed = [not torch.equal(before[0], torch.get_rng_state()), before[1] != random.getstate()]
        return [name for name, is_changed in zip(("torch", "random"), changed) if is_changed]

    story = [
        *told(*given),
        "before = torch.get_rng_state()",
        "draw(logits, seeds, positions)",
        "torch.equal(before, torch.get_rng_state())  # and the same for Python's random",
    ]

    def show(names):
        return f"the generator of {' and of '.join(names)} is changed" if names else "both are as before"

    return Trial(story, act, show=show, size=rows * vocab)


def untouched(rows, vocab, seed):
    """The Trial that compares the caller's tensors after the call."""
    logits, seeds, positions = batch(rows, vocab, seed)
    logits[0, 0] = -INF
    names = ("logits", "seeds", "positions")

    def act(answer):
        kept = logits, torch.tensor(seeds), torch.tensor(positions)
        given = [x.clone() for x in kept]
        answer(*given)
        return [name for name, a, b in zip(names, kept, given) if not torch.equal(a, b)]

    story = ["# which of the tensors are changed by the call?", *told(logits, seeds, positions)]
    story.append("draw(logits, seeds, positions)")
    return Trial(
        story, act, show=lambda got: " and ".join(got) or "none" if isinstance(got, list) else repr(got),
        size=rows * vocab,
    )  # fmt: skip
