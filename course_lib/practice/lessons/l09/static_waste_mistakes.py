"""The mistakes in 09.static_waste. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    longest=lambda lengths, everyone: max(lengths),
    last=lambda texts, everyone: max(texts),
    rows=lambda batch, size: len(batch),
    asked=lambda p: p,
    pushed=lambda n: n - 1,
    idle=lambda last, n: last - n,
    steps=lambda last, texts: last,
    order=lambda pairs: pairs,
    kept=lambda batches, size: batches,
    padding_again=False,
    returns=lambda found: found,
):
    """A wrong answer: the right one with a piece replaced."""

    def answer(prompts, new_tokens, batch_size):
        found, pairs = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}, order(list(zip(prompts, new_tokens)))
        for batch in kept(
            [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)], batch_size
        ):
            lengths, texts = zip(*batch)
            most, end, count = longest(lengths, prompts), last(texts, new_tokens), rows(batch, batch_size)
            missing = count - len(batch)
            found["steps"] += steps(end, texts)
            found["useful"] += sum(map(asked, lengths)) + sum(map(pushed, texts))
            found["padding"] += most * count - sum(lengths)
            found["idle"] += sum(idle(end, n) for n in texts) + missing * (end - 1)
            if padding_again:
                found["padding"] += sum(most - p for p in lengths) * (end - 1)
        return returns(found)

    return answer


def prompts_sorted(pairs):
    return list(zip(sorted(p for p, _ in pairs), [n for _, n in pairs]))


def share(found):
    """Waste as shares of all tokens pushed."""
    pushed = found["useful"] + found["padding"] + found["idle"] or 1
    return {"steps": found["steps"], **{name: found[name] / pushed for name in ("useful", "padding", "idle")}}


MISTAKES = [
    Mistake(
        "prompts are filled up to the longest of all.",
        "Only those of one batch share a shape. The next batch has its own longest.",
        wrong(longest=lambda lengths, everyone: max(everyone)),
    ),
    Mistake(
        "every batch runs as long as the longest text of all.",
        "A batch ends when its own longest text is written.",
        wrong(last=lambda texts, everyone: max(everyone)),
    ),
    Mistake(
        "the last token of each text is counted as pushed.",
        "It is written by the last run and goes to the reader. Nothing comes after it, so it is never pushed.",
        wrong(pushed=lambda n: n),
    ),
    Mistake(
        "prompts are left out of `useful`.",
        "The first run pushes every token of every prompt. Whoever asks wants them read.",
        (wrong(asked=lambda p: 0), wrong(asked=lambda p: 0, pushed=lambda n: n)),
    ),
    Mistake(
        "new tokens are left out of `useful`.",
        "Every new token but the last is pushed too, in the run that gives the one after it.",
        wrong(pushed=lambda n: 0),
    ),
    Mistake(
        "every prompt is given a run of its own.",
        "One run pushes all prompts of a batch. That is why they are filled up to one length.",
        wrong(steps=lambda last, texts: last + len(texts) - 1),
    ),
    Mistake(
        "idle runs are counted one off.",
        "Of a batch's runs a text of n tokens is wanted in n: the run of the prompts gives the first. In all others its row is "
        "idle.",
        (wrong(idle=lambda last, n: max(last - n - 1, 0)), wrong(idle=lambda last, n: last - n + (n < last))),
    ),
    Mistake(
        "the run of the prompts is counted apart.",
        "That run gives the first token already: a text of n tokens takes n runs, not n + 1.",
        wrong(steps=lambda last, texts: last + 1),
    ),
    Mistake(
        "the first token is thought to cost nothing.",
        "The run of the prompts is a run too: a text of n tokens takes n runs, not n - 1.",
        wrong(steps=lambda last, texts: last - 1),
    ),
    Mistake(
        "runs are added up over the rows of a batch.",
        "All rows of a batch are in one run. It takes as many as its longest text has tokens.",
        wrong(steps=lambda last, texts: sum(texts)),
    ),
    Mistake(
        "rows leave when their text is over.",
        "That is continuous batching, in lesson 10. Here a row stays, and is computed, until the batch ends.",
        wrong(idle=lambda last, n: 0),
    ),
    Mistake(
        "a smaller last batch is filled up.",
        "Rows that hold nobody need not be there: the last batch has as many rows as requests.",
        wrong(rows=lambda batch, size: size),
    ),
    Mistake(
        "a smaller last batch is left out.",
        "Those requests are served too.",
        wrong(kept=lambda batches, size: [batch for batch in batches if len(batch) == size]),
    ),
    Mistake(
        "only one batch is counted.",
        "Add to the four with every batch, `+=`, and return after the last.",
        (wrong(kept=lambda batches, size: batches[-1:]), wrong(kept=lambda batches, size: batches[:1])),
    ),
    Mistake(
        "requests are sorted first.",
        "They are served in the order in which they come. (Sorting would help, and somebody would wait for ever.)",
        (
            wrong(order=sorted),
            wrong(order=lambda pairs: sorted(pairs, key=lambda pair: pair[1])),
            wrong(order=lambda pairs: sorted(pairs, reverse=True)),
            wrong(order=prompts_sorted),
        ),
    ),
    Mistake(
        "padding is counted in every run.",
        "Padding is pushed with the prompts, once. Later runs push one token a row.",
        wrong(padding_again=True),
    ),
    Mistake("shares are returned, not tokens.", "Count tokens. Divide when you print.", wrong(returns=share)),
    Mistake(
        "numbers with a fraction are returned.",
        "Runs and tokens are counted, so they are whole: `int`, not `float`.",
        wrong(returns=lambda found: {name: float(number) for name, number in found.items()}),
    ),
]
