"""The mistakes in 09.static_waste. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    longest=lambda lengths, everyone: max(lengths),
    last=lambda outputs, everyone: max(outputs),
    filled="",
    asked=lambda p: p,
    computed=lambda n: n - 1,
    idle=lambda last, n: last - n,
    steps=lambda last, outputs: last,
    order=lambda pairs: pairs,
    kept=lambda batches, size: batches,
    padding_again=False,
    empty=lambda end: end - 1,
    idle_as="idle",
    all_steps=lambda so_far, steps: so_far + steps,
    returns=lambda found: found,
):
    """A wrong answer: the right one with one part replaced. idle_as: the numbers to which idle tokens are added.

    filled: the numbers in which a smaller last batch has as many rows as the others.
    """

    def answer(prompts, new_tokens, batch_size):
        found, pairs = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}, order(list(zip(prompts, new_tokens)))
        for batch in kept(
            [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)], batch_size
        ):
            lengths, outputs = zip(*batch)
            most, end, missing = longest(lengths, prompts), last(outputs, new_tokens), batch_size - len(batch)
            found["steps"] = all_steps(found["steps"], steps(end, outputs))
            found["useful"] += sum(map(asked, lengths)) + sum(map(computed, outputs))
            found["padding"] += most * (len(batch) + missing * ("padding" in filled)) - sum(lengths)
            for name in idle_as.split():
                found[name] += sum(idle(end, n) for n in outputs) + missing * ("idle" in filled) * empty(end)
            if padding_again:
                found["padding"] += sum(most - p for p in lengths) * (end - 1)
        return returns(found)

    return answer


def prompts_sorted(pairs):
    return list(zip(sorted(p for p, _ in pairs), [n for _, n in pairs]))


def both_sorted(pairs):
    return list(zip(sorted(p for p, _ in pairs), sorted(n for _, n in pairs)))


def share(found):
    """Waste as shares of all computed tokens."""
    computed = found["useful"] + found["padding"] + found["idle"] or 1
    return {"steps": found["steps"], **{name: found[name] / computed for name in ("useful", "padding", "idle")}}


MISTAKES = [
    Mistake(
        "prompts are filled up to the longest of all batches.",
        "Only the prompts of one batch have a common length. The next batch has its own longest prompt.",
        wrong(longest=lambda lengths, everyone: max(everyone)),
    ),
    Mistake(
        "every batch runs as long as the longest batch.",
        "A batch ends when its own request with the most new tokens has all of them.",
        wrong(last=lambda outputs, everyone: max(everyone)),
    ),
    Mistake(
        "the last new token of each request is counted as computed.",
        "The last run gives it, and it is returned. No token comes after it, so it is never computed.",
        wrong(computed=lambda n: n),
    ),
    Mistake(
        "prompts are left out of `useful`.",
        "The first run computes every token of every prompt, and the answers need all of them.",
        (wrong(asked=lambda p: 0), wrong(asked=lambda p: 0, computed=lambda n: n)),
    ),
    Mistake(
        "new tokens are left out of `useful`.",
        "Every new token but the last is computed too, in the run that gives the token after it.",
        wrong(computed=lambda n: 0),
    ),
    Mistake(
        "every prompt is counted as a run of its own.",
        "One run computes all prompts of a batch. This is why they are filled up to one length.",
        wrong(steps=lambda last, outputs: last + len(outputs) - 1),
    ),
    Mistake(
        "the idle runs of a row are one too many or too few.",
        "A request of n new tokens needs n runs of its batch: the run of the prompts gives the first token. In "
        "all other runs its row is idle.",
        (wrong(idle=lambda last, n: max(last - n - 1, 0)), wrong(idle=lambda last, n: last - n + (n < last))),
    ),
    Mistake(
        "the run of the prompts is counted as one run more.",
        "That run gives the first new token already: a request of n new tokens takes n runs, not n + 1.",
        wrong(steps=lambda last, outputs: last + 1),
    ),
    Mistake(
        "the run of the prompts is not counted.",
        "The run of the prompts is a run too: a request of n new tokens takes n runs, not n - 1.",
        wrong(steps=lambda last, outputs: last - 1),
    ),
    Mistake(
        "runs are added up over the rows of a batch.",
        "One run computes all rows of a batch. A batch takes as many runs as the largest of its numbers of new tokens.",
        wrong(steps=lambda last, outputs: sum(outputs)),
    ),
    Mistake(
        "rows leave when their request has finished.",
        "This is continuous batching, in lesson 10. Here a row stays and is computed until the batch ends.",
        wrong(idle=lambda last, n: 0),
    ),
    Mistake(
        "a smaller last batch is filled up.",
        "No empty rows are needed: the last batch has as many rows as requests.",
        (
            wrong(filled="padding idle"),
            wrong(filled="padding idle", empty=lambda end: end),
            wrong(filled="padding"),
            wrong(filled="idle"),
            wrong(filled="idle", empty=lambda end: end),
        ),
    ),
    Mistake(
        "a smaller last batch is left out.",
        "The requests of the last batch are served too.",
        wrong(kept=lambda batches, size: [batch for batch in batches if len(batch) == size]),
    ),
    Mistake(
        "only one batch is counted.",
        "Add to the four numbers with every batch, `+=`, and return after the last batch.",
        (wrong(kept=lambda batches, size: batches[-1:]), wrong(kept=lambda batches, size: batches[:1])),
    ),
    Mistake(
        "requests are sorted first.",
        "They are served in the order in which they arrive. (Sorting would reduce the waste, and a long request "
        "might wait for ever.)",
        (
            wrong(order=sorted),
            wrong(order=lambda pairs: sorted(pairs, key=lambda pair: pair[1])),
            wrong(order=lambda pairs: sorted(pairs, reverse=True)),
            wrong(order=prompts_sorted),
            wrong(order=both_sorted),
        ),
    ),
    Mistake(
        "idle tokens are counted as padding.",
        "`padding` counts what fills the prompts of the first run. A row whose request has finished is counted in "
        "`idle`.",
        (wrong(idle_as="padding"), wrong(idle_as="padding idle")),
    ),
    Mistake(
        "`steps` is the length of one batch.",
        "The batches run one after the other: add up the runs of all batches.",
        (wrong(all_steps=max), wrong(all_steps=lambda so_far, steps: steps)),
    ),
    Mistake(
        "padding is counted in every run.",
        "Padding is computed once, with the prompts. Later runs compute one token per row.",
        wrong(padding_again=True),
    ),
    Mistake(
        "shares are returned, not numbers of tokens.", "Return counts. Divide when you print.", wrong(returns=share)
    ),
    Mistake(
        "numbers with a fraction are returned.",
        "Runs and tokens are counted, so the numbers are whole: `int`, not `float`.",
        wrong(returns=lambda found: {name: float(number) for name, number in found.items()}),
    ),
]
