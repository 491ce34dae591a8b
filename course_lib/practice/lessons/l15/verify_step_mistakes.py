"""The mistakes in 15.verify_step. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


def right_count(drafted, greedy):
    count = 0
    while count < len(drafted) and drafted[count] == greedy[count]:
        count += 1
    return count


def wrong(
    *,
    first=lambda start: start,
    given=lambda newest, drafted: [newest, *drafted],
    count_of=right_count,
    keeps=lambda start, count, k: start + 1 + count,
    gives=lambda drafted, greedy, count: drafted[:count] + [greedy[count]],
    reads=lambda logits: logits,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(model, cache, newest, drafted):
        start, tokens = cache.num_tokens, given(newest, drafted)
        logits = model(torch.tensor(tokens), torch.arange(first(start), first(start) + len(tokens)), cache)
        greedy = reads(logits).argmax(-1).tolist()
        count = count_of(drafted, greedy)
        kept = keeps(start, count, len(drafted))
        if kept is not None:
            cache.shrink(min(kept, cache.num_tokens))
        return gives(drafted, greedy, count)

    return answer


def one_by_one(model, cache, newest, drafted):
    """A run for each token, until one is wrong."""
    tokens = []
    for guess in [*drafted, None]:
        position = torch.tensor([cache.num_tokens])
        token = int(model(torch.tensor([tokens[-1] if tokens else newest]), position, cache)[-1].argmax())
        tokens.append(token)
        if token != guess:
            break
    return tokens


def two_runs(model, cache, newest, drafted):
    """Checks in one run, and computes the accepted tokens again in a second."""
    start, tokens = cache.num_tokens, [newest, *drafted]
    greedy = model(torch.tensor(tokens), torch.arange(start, start + len(tokens)), cache).argmax(-1).tolist()
    count = right_count(drafted, greedy)
    cache.shrink(start)
    again = tokens[: count + 1]
    model(torch.tensor(again), torch.arange(start, start + len(again)), cache)
    return drafted[:count] + [greedy[count]]


def without_newest(model, cache, newest, drafted):
    """Runs over the drafts alone."""
    if not drafted:
        return wrong()(model, cache, newest, drafted)
    start = cache.num_tokens
    greedy = model(torch.tensor(drafted), torch.arange(start, start + len(drafted)), cache).argmax(-1).tolist()
    count = right_count(drafted[1:], greedy)
    cache.shrink(min(cache.num_tokens, start + 1 + count))
    return drafted[: count + 1] + [greedy[count]]


def same_row(drafted, greedy):
    """Holds each draft against its own row."""
    count = 0
    while count < len(drafted) and drafted[count] == greedy[count + 1]:
        count += 1
    return count


def all_equal(drafted, greedy):
    return sum(a == b for a, b in zip(drafted, greedy))


def all_or_none(drafted, greedy):
    return len(drafted) if drafted == greedy[:-1] else 0


def with_newest(model, cache, newest, drafted):
    return [newest, *wrong()(model, cache, newest, drafted)]


MISTAKES = [
    Mistake(
        "logits lose their order before the largest is taken.",
        "exp of a large logit is infinite, and one that is cut off below is as large as others. Take `argmax` of the "
        "logits as they come.",
        (wrong(reads=torch.exp), wrong(reads=lambda logits: logits.clamp(min=-1e4))),
    ),
    Mistake(
        "the logits are rounded before the largest is looked for.",
        "In 16 bits two of them may become equal, and the first wins. A logit below 0 counts, too. Take the largest of "
        "the logits as they are.",
        (
            wrong(reads=lambda logits: logits.half()),
            wrong(reads=lambda logits: logits.bfloat16()),
            wrong(reads=lambda logits: logits.round(decimals=2)),
            wrong(reads=lambda logits: logits.clamp(min=0)),
        ),
    ),
    Mistake(
        "the cache keeps the rejected drafts.",
        "They are no part of the text, and later tokens would see them: `cache.shrink(start + 1 + count)`.",
        (wrong(keeps=lambda start, count, k: None), wrong(keeps=lambda start, count, k: start + 1 + k)),
    ),
    Mistake(
        "the newest token is not kept in the cache.",
        "The run has computed it, and it is in the text: start + 1 + the accepted drafts.",
        wrong(keeps=lambda start, count, k: start + count),
    ),
    Mistake(
        "the cache is cut back to where it was.",
        "The newest token and the accepted drafts are computed, and stay.",
        wrong(keeps=lambda start, count, k: start),
    ),
    Mistake(
        "the cache is cut to the length of the new tokens.",
        "`cache.shrink(m)` keeps m tokens in all. What was in the cache before the run stays: start + 1 + the accepted "
        "drafts.",
        wrong(keeps=lambda start, count, k: 1 + count),
    ),
    Mistake(
        "one token too many is kept in the cache.",
        "The last new token is not computed yet, and what stands there is a rejected draft.",
        wrong(keeps=lambda start, count, k: start + 2 + count),
    ),
    Mistake(
        "one run is made for each token.",
        "That is the loop without speculation. Give all tokens to the model in one run.",
        one_by_one,
    ),
    Mistake(
        "the accepted tokens are computed again.",
        "They are in the cache already. Only what was not accepted has to go.",
        two_runs,
    ),
    Mistake(
        "the newest token is left out of the run.",
        "It is not in the cache yet, and its row is what the first draft is held against.",
        without_newest,
    ),
    Mistake(
        "without drafts the model is not run.",
        "Then the step is a plain decode step: run over the newest token, and return the greedy token of its row.",
        lambda model, cache, newest, drafted: wrong()(model, cache, newest, drafted) if drafted else [],
    ),
    Mistake(
        "a draft is held against its own row.",
        "Row i is for the token after token i. So the row before a draft says what should stand in its place.",
        wrong(count_of=same_row),
    ),
    Mistake(
        "drafts after a wrong one are counted.",
        "They follow a token that is not in the text. Stop at the first that is wrong.",
        wrong(count_of=all_equal),
    ),
    Mistake(
        "either all drafts are accepted or none.",
        "Those before the first wrong one are right, and stay.",
        wrong(count_of=all_or_none),
    ),
    Mistake(
        "all drafts are accepted.",
        "Only those count that the model would have written itself.",
        wrong(count_of=lambda drafted, greedy: len(drafted)),
    ),
    Mistake(
        "no draft is accepted.",
        "Drafts that are equal to the model's tokens are accepted, from the first on.",
        wrong(count_of=lambda drafted, greedy: 0),
    ),
    Mistake(
        "the token that follows is taken from the last row.",
        "After `count` accepted drafts it is the greedy token of row `count`.",
        wrong(gives=lambda drafted, greedy, count: drafted[:count] + [greedy[-1]]),
    ),
    Mistake(
        "the token that follows is taken from the row after.",
        "After `count` accepted drafts it is the greedy token of row `count`; row 0 follows the newest token.",
        wrong(gives=lambda drafted, greedy, count: drafted[:count] + [greedy[min(count + 1, len(greedy) - 1)]]),
    ),
    Mistake(
        "only the accepted drafts are returned.",
        "One token more comes with every step: the greedy token of the row after them.",
        wrong(gives=lambda drafted, greedy, count: drafted[:count]),
    ),
    Mistake(
        "only the token that follows is returned.",
        "The accepted drafts are new tokens too.",
        wrong(gives=lambda drafted, greedy, count: [greedy[count]]),
    ),
    Mistake("the newest token is returned too.", "It is in the text already. Return the new tokens.", with_newest),
    Mistake(
        "all greedy tokens are returned.",
        "The rows after the first wrong draft are for another text.",
        wrong(gives=lambda drafted, greedy, count: greedy),
    ),
    Mistake(
        "the number of accepted drafts is returned.",
        "Return the new tokens: the accepted drafts and one more.",
        (
            wrong(gives=lambda drafted, greedy, count: count),
            wrong(gives=lambda drafted, greedy, count: (drafted[:count], greedy[count])),
        ),
    ),
    Mistake(
        "the positions begin at 0.",
        "The cache holds tokens already. The first position of the run is `cache.num_tokens`.",
        wrong(first=lambda start: 0),
    ),
    Mistake(
        "the positions begin one too late or too early.",
        "Positions count from 0, so the next one is `cache.num_tokens`.",
        (wrong(first=lambda start: start + 1), wrong(first=lambda start: max(0, start - 1))),
    ),
    Mistake(
        "the newest token comes after the drafts.",
        "The drafts follow the newest token.",
        wrong(given=lambda newest, drafted: [*drafted, newest]),
    ),
]
