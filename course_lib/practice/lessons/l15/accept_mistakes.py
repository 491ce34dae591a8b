"""The mistakes in 15.accept. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    is_accepted=lambda p, q, chance: chance < p / q,
    p_of=lambda target, i, x: target[i][x],
    q_of=lambda draft, i, x: draft[i][x],
    chance_of=lambda chances, i: chances[i],
    gives=lambda verdicts: (verdicts + [False]).index(False),
):
    """A wrong answer: the right one with one part replaced."""

    def answer(target, draft, drafted, chances):
        verdicts = []
        for i, x in enumerate(drafted):
            verdicts.append(is_accepted(p_of(target, i, x), q_of(draft, i, x), chance_of(chances, i)))
        return gives(verdicts)

    return answer


def by_product(cut):
    """Holds each chance against the product of the ratios up to its place. cut: each ratio is at most 1."""

    def answer(target, draft, drafted, chances):
        product, count = 1.0, 0
        for i, x in enumerate(drafted):
            ratio = target[i][x] / draft[i][x]
            product *= min(1.0, ratio) if cut else ratio
            if not chances[i] < product:
                break
            count += 1
        return count

    return answer


def draws_itself(answer):
    """Whether the verdict comes and goes while the chance grows: another number decides."""
    half = [0.5, 0.5]
    counts = [answer([half, half], [[1.0, 0.0]], [0], [i / 40]) for i in range(40)]
    return sorted(counts) not in (counts, counts[::-1])


MISTAKES = [
    Mistake(
        "the numbers in `chances` are not used.",
        "They are the random numbers that decide, one for each draft. Draw no others: `chances[i] < p / q`.",
        is_made_by=lambda answer, found: draws_itself(answer),
    ),
    Mistake(
        "all accepted drafts are counted, also those after one that is not.",
        "A draft after the first that is not accepted was drafted for another text. Stop there.",
        wrong(gives=sum),
    ),
    Mistake(
        "the draft that is not accepted is counted too.",
        "Count those before it.",
        (
            wrong(gives=lambda verdicts: min(len(verdicts), (verdicts + [False]).index(False) + 1)),
            wrong(gives=lambda verdicts: (verdicts + [False]).index(False) + 1),
        ),
    ),
    Mistake(
        "the place of the last accepted draft is returned.",
        "The number of accepted drafts is asked for: one more than the place of the last one.",
        wrong(gives=lambda verdicts: (verdicts + [False]).index(False) - 1),
    ),
    Mistake(
        "the verdicts or the tokens are returned.",
        "Return how many are accepted, an int.",
        (
            wrong(gives=lambda verdicts: verdicts),
            wrong(gives=all),
            lambda target, draft, drafted, chances: drafted[: wrong()(target, draft, drafted, chances)],
        ),
    ),
    Mistake(
        "where all drafts are accepted, the first that is not is looked for all the same.",
        "There is none: `index(False)` raises, and `argmin` gives 0. Then all `len(drafted)` are accepted.",
        (
            wrong(gives=lambda verdicts: verdicts.index(False)),
            wrong(gives=lambda verdicts: verdicts.index(False) if False in verdicts else 0),
        ),
    ),
    Mistake(
        "the first draft or the last one is not looked at.",
        "The numbers of the drafts are 0 to len(drafted) - 1: `range(len(drafted))`.",
        (
            wrong(gives=lambda verdicts: ([*verdicts[:-1], *[True] * bool(verdicts), False]).index(False)),
            wrong(gives=lambda verdicts: ([*verdicts[:-1], False]).index(False)),
            wrong(gives=lambda verdicts: ([*[True] * bool(verdicts), *verdicts[1:], False]).index(False)),
        ),
    ),
    Mistake(
        "the ratio is upside down.",
        "The model's probability p is divided by the draft's, q: p(x) / q(x).",
        (
            wrong(is_accepted=lambda p, q, chance: p == 0 or chance < q / p),
            wrong(is_accepted=lambda p, q, chance: p > 0 and chance < q / p),
        ),
    ),
    Mistake(
        "the chance is held against p alone.",
        "A token that the draft draws often is rejected more often: the chance is held against p(x) / q(x).",
        wrong(is_accepted=lambda p, q, chance: chance < p),
    ),
    Mistake(
        "the chance is held against q alone.",
        "q(x) only says how the token was drawn. The model's p(x) decides: p(x) / q(x).",
        wrong(is_accepted=lambda p, q, chance: chance < q),
    ),
    Mistake(
        "a draft is accepted where the model likes it at least as much as the draft does, and never else.",
        "That loses tokens with p below q: these are accepted with probability p / q.",
        (wrong(is_accepted=lambda p, q, chance: p >= q), wrong(is_accepted=lambda p, q, chance: p > q)),
    ),
    Mistake(
        "the comparison is the wrong way round.",
        "A small chance accepts: chance < p / q.",
        (
            wrong(is_accepted=lambda p, q, chance: chance > p / q),
            wrong(is_accepted=lambda p, q, chance: chance >= p / q),
            wrong(is_accepted=lambda p, q, chance: 1 - chance < p / q),
        ),
    ),
    Mistake(
        "a chance of exactly p / q accepts.",
        "With p = 0 and a chance of 0 that would accept a token that the model never says.",
        wrong(is_accepted=lambda p, q, chance: chance <= p / q),
    ),
    Mistake(
        "a draft is accepted only if p is q.",
        "The rule compares a chance with the ratio p / q.",
        wrong(is_accepted=lambda p, q, chance: p == q),
    ),
    Mistake(
        "the difference of p and q decides, and not their ratio.",
        "Accepted is chance < p / q.",
        (
            wrong(is_accepted=lambda p, q, chance: chance < p - q),
            wrong(is_accepted=lambda p, q, chance: chance < 1 - abs(p - q)),
            wrong(is_accepted=lambda p, q, chance: chance < 1 - (q - p)),
        ),
    ),
    Mistake(
        "every draft is accepted.",
        "A token that the draft likes more than the model must be rejected at times: chance >= p / q.",
        wrong(is_accepted=lambda p, q, chance: True),
    ),
    Mistake(
        "the likeliest token of the model decides.",
        "That is the rule for greedy decoding. Here a drafted token may be unlikely and still accepted.",
        lambda target, draft, drafted, chances: (
            [max(range(len(p)), key=p.__getitem__) == x for p, x in zip(target, drafted)] + [False]
        ).index(False),
    ),
    Mistake(
        "the probabilities of the next place are used.",
        "`target[i]` belongs to draft i. The last list of `target` is for the place after all drafts.",
        wrong(p_of=lambda target, i, x: target[i + 1][x]),
    ),
    Mistake(
        "the ratios of the drafts are multiplied.",
        "Each draft is held against the ratio of its own place. That the ones before were accepted changes nothing.",
        (by_product(cut=True), by_product(cut=False)),
    ),
    Mistake(
        "the first place's probabilities are used for all drafts.",
        "Every place has lists of its own: `target[i]` and `draft[i]`.",
        (
            wrong(p_of=lambda target, i, x: target[0][x], q_of=lambda draft, i, x: draft[0][x]),
            wrong(p_of=lambda target, i, x: target[0][x]),
            wrong(q_of=lambda draft, i, x: draft[0][x]),
        ),
    ),
    Mistake(
        "one chance decides about all drafts.",
        "Each draft has a chance of its own, `chances[i]`.",
        (wrong(chance_of=lambda chances, i: chances[0]), wrong(chance_of=lambda chances, i: chances[-1])),
    ),
    Mistake(
        "the largest probability of a place is used, and not that of the drafted token.",
        "`target[i][x]` and `draft[i][x]`, with x the drafted token.",
        (
            wrong(p_of=lambda target, i, x: max(target[i]), q_of=lambda draft, i, x: max(draft[i])),
            wrong(p_of=lambda target, i, x: max(target[i])),
            wrong(q_of=lambda draft, i, x: max(draft[i])),
        ),
    ),
]
