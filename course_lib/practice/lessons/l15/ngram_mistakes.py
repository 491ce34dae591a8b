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


def in_text(between):
    """Looks for the last tokens as text, with `between` after each."""

    def answer(token_ids, k, longest, shortest):
        def text(tokens):
            return "".join(f"{token}{between}" for token in tokens)

        for n in range(min(longest, len(token_ids) - 1), shortest - 1, -1):
            at = text(token_ids[:-1]).rfind(text(token_ids[-n:]))
            if at >= 0:
                start = next((i for i in range(len(token_ids)) if len(text(token_ids[:i])) >= at), 0)
                return token_ids[start + n :][:k]
        return []

    return answer


def full_drafts(token_ids, k, longest, shortest):
    """Takes no run that fewer than k tokens follow."""
    for n in range(longest, shortest - 1, -1):
        for end in range(len(token_ids) - k, n - 1, -1):
            if token_ids[end - n : end] == token_ids[-n:] and end < len(token_ids):
                return token_ids[end : end + k]
    return []


def ends_only(token_ids, k, longest, shortest):
    """Compares the first and the last of the n tokens."""
    size = len(token_ids)
    for n in range(min(longest, size - 1), shortest - 1, -1):
        for end in range(size - 1, n - 1, -1):
            if (token_ids[end - n], token_ids[end - 1]) == (token_ids[size - n], token_ids[-1]):
                return token_ids[end : end + k]
    return []


def gives_up(token_ids, k, longest, shortest):
    """No draft where the list is not longer than `longest`."""
    return wrong()(token_ids, k, longest, shortest) if len(token_ids) > longest else []


def padded_with_last(tokens, end, n, k):
    found = tokens[end : end + k]
    return found + found[-1:] * (k - len(found))


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
        (wrong(draft=padded), wrong(draft=going_round), wrong(draft=padded_with_last)),
    ),
    Mistake(
        "a short draft is dropped, or its run is passed over.",
        "If the list ends before k tokens, the draft is what there is.",
        (wrong(draft=lambda tokens, end, n, k: tokens[end : end + k] if end + k <= len(tokens) else []), full_drafts),
    ),
    Mistake(
        "the draft ends before the last n tokens.",
        "They follow the run, too: the draft goes on to the end of the list, at most k tokens.",
        wrong(draft=lambda tokens, end, n, k: tokens[end : min(end + k, len(tokens) - n)]),
    ),
    Mistake(
        "a list that is not longer than `longest` gives no draft.",
        "Skip the n for which there are too few tokens, and try one fewer.",
        gives_up,
    ),
    Mistake(
        "only the ends of the n tokens are compared.",
        "All n of them must be the same: `token_ids[end - n : end] == token_ids[-n:]`.",
        ends_only,
    ),
    Mistake(
        "a single token is not looked for.",
        "n goes down to `shortest`, which may be 1.",
        wrong(sizes=lambda longest, shortest: range(longest, max(shortest, 2) - 1, -1)),
    ),
    Mistake(
        "without a draft `None` or something else than an empty list is returned.",
        "If nothing is found, return `[]`.",
        (wrong(nothing=lambda: [0]), wrong(nothing=lambda: -1), wrong(nothing=lambda: False)),
    ),
]
