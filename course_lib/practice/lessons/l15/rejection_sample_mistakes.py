"""The mistakes in 15.rejection_sample. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def rest(p, q, x):
    return [max(0.0, a - b) for a, b in zip(p, q)]


def draw(left, last):
    reached, total = 0.0, sum(left)
    for token, share in enumerate(left):
        reached += share
        if reached > last * total:
            return token
    return len(left) - 1


def wrong(
    *,
    is_accepted=lambda p, q, chance: chance < p / q,
    left_of=rest,
    place=lambda count: count,
    place_of_p=lambda at, k: at,
    number=lambda last, chances, count: last,
    keeps_rejected=False,
    after=lambda target, k: target[k],
    drawn=draw,
    stops=True,
    gives=lambda kept, token, all_accepted: kept + [token],
):
    """A wrong answer: the right one with one part replaced."""

    def answer(target, draft, drafted, chances, last):
        count, kept = len(drafted), []
        for i, x in enumerate(drafted):
            if is_accepted(target[i][x], draft[i][x], chances[i]):
                kept.append(x)
            elif stops or count == len(drafted):
                count = i
                kept += [x] * keeps_rejected
                if stops:
                    break
        if count == len(drafted):
            left = after(target, len(drafted))
        else:
            at = max(0, min(place(count), len(drafted) - 1))
            left = left_of(target[place_of_p(at, len(drafted))], draft[at], drafted[count])
        return gives(kept, drawn(left, number(last, chances, count)), count == len(drafted))

    return answer


def divided(left, last):
    """As draw, with a division that fails where nothing is left."""
    shares = [share / sum(left) for share in left]
    return draw(shares, last)


def without_scale(left, last):
    reached = 0.0
    for token, share in enumerate(left):
        reached += share
        if reached > last:
            return token
    return len(left) - 1


def without_scale_to_the_last(left, last):
    """As without_scale; where the sum stays below `last`, the last token of which something is left."""
    found = without_scale(left, last)
    return found if sum(left) > last else max(token for token, share in enumerate(left) if share > 0)


def at_or_above_0(left, last):
    """As at_or_above, but for last = 0."""
    return at_or_above(left, last) if last else draw(left, last)


def at_or_above(left, last):
    reached, total = 0.0, sum(left)
    for token, share in enumerate(left):
        reached += share
        if reached >= last * total:
            return token
    return len(left) - 1


def likeliest(left, last):
    return max(range(len(left)), key=left.__getitem__)


def backwards(left, last):
    return len(left) - 1 - draw(left[::-1], last)


def other_than_drafted(p, q, x):
    return [0.0 if token == x else share for token, share in enumerate(p)]


def by_softmax(p, q, x):
    from math import exp

    return [exp(a - b) for a, b in zip(p, q)]


def from_the_likeliest(left, last):
    order = sorted(range(len(left)), key=lambda token: -left[token])
    return order[draw([left[token] for token in order], last)]


def goes_on(target, draft, drafted, chances, last):
    """Replaces each draft that is not accepted, and goes on after it."""
    tokens = []
    for p, q, x, chance in zip(target, draft, drafted, chances):
        tokens.append(x if chance < p[x] / q[x] else draw(rest(p, q, x), last))
    return tokens + [draw(target[-1], last)]


def less_the_last_draft(target, draft, drafted, chances, last):
    """Subtracts the last draft's q from the place after all drafts, too."""
    found = wrong()(target, draft, drafted, chances, last)
    if drafted and len(found) > len(drafted):
        found[-1] = draw(rest(target[-1], draft[-1], None), last)
    return found


def likeliest_after_all(target, draft, drafted, chances, last):
    """Draws in the place of a rejected draft, and takes the likeliest token after all drafts."""
    found = wrong()(target, draft, drafted, chances, last)
    return found[:-1] + [likeliest(target[-1], last)] if len(found) > len(drafted) else found


MISTAKES = [
    Mistake(
        "the place of a rejected draft is filled from p.",
        "p minus what the drafts bring already is left: max(0, p - q). Drawn from p, tokens that the draft likes come "
        "too often.",
        wrong(left_of=lambda p, q, x: p),
    ),
    Mistake(
        "only the rejected token itself is left out.",
        "Every token x has max(0, p(x) - q(x)) left, not only the drafted one is special.",
        wrong(left_of=other_than_drafted),
    ),
    Mistake(
        "the place of a rejected draft is filled from q.",
        "The draft's probabilities are not those of the model. What is left is max(0, p - q).",
        wrong(left_of=lambda p, q, x: q),
    ),
    Mistake(
        "q - p is taken, in place of p - q.",
        "Tokens that come too seldom from the draft are missing: those with p above q.",
        wrong(left_of=lambda p, q, x: [max(0.0, b - a) for a, b in zip(p, q)]),
    ),
    Mistake(
        "the absolute difference of p and q is taken.",
        "Where q is above p nothing is left: max(0, p - q).",
        wrong(left_of=lambda p, q, x: [abs(a - b) for a, b in zip(p, q)]),
    ),
    Mistake(
        "negative differences are kept.",
        "A probability is not below 0: max(0, p - q).",
        wrong(left_of=lambda p, q, x: [a - b for a, b in zip(p, q)]),
    ),
    Mistake(
        "a softmax is taken of p - q.",
        "p and q are probabilities already. Subtract, cut at 0, and divide by the sum.",
        wrong(left_of=by_softmax),
    ),
    Mistake(
        "what is left is not divided by its sum.",
        "The numbers that are left sum to less than 1. `last` is held against their shares of the sum.",
        (wrong(drawn=without_scale), wrong(drawn=without_scale_to_the_last)),
    ),
    Mistake(
        "a rejected draft is replaced from the place after it.",
        "p and q of the place of the rejected draft count.",
        wrong(place=lambda count: count + 1),
    ),
    Mistake(
        "p is taken from another place than q.",
        "What is left is max(0, p - q) with both lists of the rejected draft's place: `target[i]` and `draft[i]`.",
        (
            wrong(place_of_p=lambda at, k: k),
            wrong(place_of_p=lambda at, k: at + 1),
            wrong(place_of_p=lambda at, k: k, drawn=divided),
            wrong(place_of_p=lambda at, k: at + 1, drawn=divided),
        ),
    ),
    Mistake(
        "the rejected draft is kept too.",
        "Another token stands in its place: return the drafts before it, and then that token.",
        wrong(keeps_rejected=True),
    ),
    Mistake(
        "the chance of the rejected draft draws the token.",
        "It is used up, and known to be large. The draw has a number of its own, `last`.",
        wrong(number=lambda last, chances, count: chances[count] if count < len(chances) else last),
    ),
    Mistake(
        "a chance of exactly p / q accepts.",
        "With p = 0 and a chance of 0 that would accept a token that the model never says.",
        wrong(is_accepted=lambda p, q, chance: chance <= p / q),
    ),
    Mistake(
        "a rejected draft is replaced from the first place.",
        "p and q of the place of the rejected draft count.",
        wrong(place=lambda count: 0),
    ),
    Mistake(
        "if all drafts are accepted, the token is drawn from the last draft's place.",
        "`target` has one list more: the place after all drafts.",
        wrong(after=lambda target, k: target[max(0, k - 1)]),
    ),
    Mistake(
        "if all drafts are accepted, q is subtracted from the last list.",
        "No draft was made for the place after them, so there is no q. The token is drawn from `target[k]` as it is.",
        less_the_last_draft,
    ),
    Mistake(
        "if all drafts are accepted, nothing follows.",
        "The run has computed the place after them too: one token more is drawn from `target[k]`.",
        (
            wrong(gives=lambda kept, token, all_accepted: kept if all_accepted else kept + [token]),
            wrong(gives=lambda kept, token, all_accepted: kept if all_accepted and kept else kept + [token]),
        ),
    ),
    Mistake(
        "after a rejected draft nothing follows.",
        "A token takes its place, so that every step brings at least one.",
        wrong(gives=lambda kept, token, all_accepted: kept + [token] if all_accepted else kept),
    ),
    Mistake(
        "accepted drafts after the rejected one are kept.",
        "They were drafted for another text. Stop at the first that is not accepted.",
        (wrong(stops=False), goes_on),
    ),
    Mistake(
        "only the token that follows is returned.",
        "The accepted drafts are part of the step: return them first.",
        (wrong(gives=lambda kept, token, all_accepted: [token]), wrong(gives=lambda kept, token, all_accepted: token)),
    ),
    Mistake(
        "the token and the number of drafts are returned, or a pair.",
        "Return one list: the accepted drafts, then the token that follows.",
        (
            wrong(gives=lambda kept, token, all_accepted: (kept, token)),
            wrong(gives=lambda kept, token, all_accepted: (len(kept), token)),
        ),
    ),
    Mistake(
        "the likeliest token follows.",
        "It is drawn, by `last`. The likeliest alone would come too often.",
        (wrong(drawn=likeliest), likeliest_after_all),
    ),
    Mistake(
        "the sum begins at the likeliest token.",
        "Add up the probabilities in the order of the token ids, from token 0 on.",
        wrong(drawn=from_the_likeliest),
    ),
    Mistake("the sum begins at the last token.", "Add up the probabilities from token 0 on.", wrong(drawn=backwards)),
    Mistake(
        "a sum of exactly `last` draws the token.",
        "The sum must be above `last`. With last = 0 a token of probability 0 would be drawn.",
        (wrong(drawn=at_or_above), wrong(drawn=at_or_above_0)),
    ),
    Mistake(
        "every draft is accepted.",
        "A draft is accepted only if its chance is below p(x) / q(x).",
        wrong(is_accepted=lambda p, q, chance: True),
    ),
    Mistake(
        "no draft is accepted.",
        "A draft is accepted if its chance is below p(x) / q(x).",
        wrong(is_accepted=lambda p, q, chance: False),
    ),
    Mistake(
        "a draft is accepted by its chance against p alone.",
        "The chance is held against p(x) / q(x).",
        wrong(is_accepted=lambda p, q, chance: chance < p),
    ),
]
