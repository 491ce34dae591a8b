"""The mistakes in 15.ngram. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    sizes=lambda longest, shortest: range(longest, shortest - 1, -1),
    run=lambda tokens, n: tokens[len(tokens) - n :] if n <= len(tokens) else None,
    ends=lambda size, n: range(size - 1, n - 1, -1),
    draft=lambda tokens, end, n, k: tokens[end : end + k],
    nothing=list,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(token_ids, k, longest, shortest):
        for n in sizes(longest, shortest):
            wanted = run(token_ids, n)
            for end in ends(len(token_ids), n):
                if wanted is not None and n > 0 and token_ids[end - n : end] == wanted:
                    return draft(token_ids, end, n, k)
        return nothing()

    return answer


def padded(tokens, end, n, k):
    found = tokens[end : end + k]
    return found + [0] * (k - len(found))


def going_round(tokens, end, n, k):
    """Goes on from the start of the draft where the list ends."""
    found = tokens[end : end + k]
    while len(found) < k:
        found = found + tokens[end : end + k - len(found)]
    return found


MISTAKES = [
    Mistake(
        "the earliest run is taken.",
        "Of several runs take the one that ends latest: go through the places from the end.",
        wrong(ends=lambda size, n: range(n, size)),
    ),
    Mistake(
        "the shortest run is tried first, or alone.",
        "More tokens in common are a stronger sign. Begin with n = longest, and try all its places before one fewer.",
        wrong(sizes=lambda longest, shortest: range(shortest, longest + 1)),
    ),
    Mistake(
        "only the longest run is tried.",
        "Where n tokens never stood before, try one fewer, down to `shortest`.",
        wrong(sizes=lambda longest, shortest: [longest]),
    ),
    Mistake(
        "`shortest` is left out.",
        "range(longest, shortest, -1) ends before `shortest`. It is tried too.",
        wrong(sizes=lambda longest, shortest: range(longest, shortest, -1)),
    ),
    Mistake(
        "runs below `shortest` are tried.",
        "Fewer than `shortest` equal tokens are no sign: the draft is empty then.",
        wrong(sizes=lambda longest, shortest: range(longest, 0, -1)),
    ),
    Mistake(
        "`longest` is not tried.",
        "The first n is `longest` itself.",
        wrong(sizes=lambda longest, shortest: range(longest - 1, shortest - 1, -1)),
    ),
    Mistake(
        "the last tokens are found at their own place.",
        "They follow nothing there. The earlier run ends before the end of the list.",
        wrong(ends=lambda size, n: range(size, n - 1, -1)),
    ),
    Mistake(
        "runs that overlap the last tokens are left out.",
        "In 4 4 4 the first two 4 are an earlier run of the last two.",
        (
            wrong(ends=lambda size, n: range(size - n, n - 1, -1)),
            wrong(ends=lambda size, n: range(size - n - 1, n - 1, -1)),
        ),
    ),
    Mistake(
        "the very first run of the list is left out.",
        "A run of n tokens may end at place n: `range(len(token_ids) - 1, n - 1, -1)`.",
        wrong(ends=lambda size, n: range(size - 1, n, -1)),
    ),
    Mistake(
        "the last place is left out.",
        "A run may end one token before the end of the list.",
        wrong(ends=lambda size, n: range(size - 2, n - 1, -1)),
    ),
    Mistake(
        "the draft begins with the run itself.",
        "The run is in the text already. The draft is what follows it.",
        (
            wrong(draft=lambda tokens, end, n, k: tokens[end - n : end - n + k]),
            wrong(draft=lambda tokens, end, n, k: tokens[end - n : end + k]),
            wrong(draft=lambda tokens, end, n, k: tokens[end - 1 : end - 1 + k]),
        ),
    ),
    Mistake(
        "the draft begins one token too late.",
        "The token right after the run is the first of the draft.",
        wrong(draft=lambda tokens, end, n, k: tokens[end + 1 : end + 1 + k]),
    ),
    Mistake(
        "the draft has one token, whatever k is.",
        "Up to k tokens are checked in one run.",
        (
            wrong(draft=lambda tokens, end, n, k: tokens[end : end + 1]),
            wrong(draft=lambda tokens, end, n, k: tokens[end]),
        ),
    ),
    Mistake("k is not used.", "At most k tokens are drafted.", wrong(draft=lambda tokens, end, n, k: tokens[end:])),
    Mistake(
        "the draft is one token short or long.",
        "`token_ids[end : end + k]` has k tokens.",
        (
            wrong(draft=lambda tokens, end, n, k: tokens[end : end + k - 1]),
            wrong(draft=lambda tokens, end, n, k: tokens[end : end + k + 1]),
        ),
    ),
    Mistake(
        "a short draft is filled up.",
        "If the list ends before k tokens, the draft is shorter.",
        (wrong(draft=padded), wrong(draft=going_round)),
    ),
    Mistake(
        "a short draft is dropped.",
        "If the list ends before k tokens, the draft is what there is.",
        wrong(draft=lambda tokens, end, n, k: tokens[end : end + k] if end + k <= len(tokens) else []),
    ),
    Mistake(
        "without a draft `None` or something else than an empty list is returned.",
        "If nothing is found, return `[]`.",
        (wrong(nothing=lambda: [0]), wrong(nothing=lambda: -1), wrong(nothing=lambda: False)),
    ),
]
