"""The exercise 15.ngram: what followed the same tokens the last time."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, TENSORS_INSIDE, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .ngram_mistakes import MISTAKES, in_text
from .numbers import as_tokens
from .solutions.ngram import propose


def propose_from_dict(token_ids, k, longest, shortest):
    """Where each run of n tokens ended last, from the front; the library keeps such a dict."""
    size = len(token_ids)
    for n in reversed(range(shortest, min(longest, size - 1) + 1)):
        ends = {}
        for end in range(n, size):
            ends[tuple(token_ids[end - n : end])] = end
        end = ends.get(tuple(token_ids[size - n :]))
        if end is not None:
            return [token_ids[i] for i in range(end, min(end + k, size))]
    return []


def propose_backwards(token_ids, k, longest, shortest):
    """Compares from the end, token by token, and keeps the longest match."""
    best, found = 0, []
    for end in range(len(token_ids) - 1, 0, -1):
        same = 0
        while same < min(longest, end) and token_ids[end - 1 - same] == token_ids[-1 - same]:
            same += 1
        if same >= shortest and same > best:
            best, found = same, token_ids[end : end + k]
    return list(found)


def propose_in_text(token_ids, k, longest, shortest):
    """As a search for text in text, with one character a token."""
    text = "".join(chr(i + 1) for i in token_ids)
    for n in range(min(longest, len(text) - 1), shortest - 1, -1):
        at = text[:-1].rfind(text[-n:])
        if at >= 0:
            return [ord(c) - 1 for c in text[at + n :][:k]]
    return []


def looked_up(token_ids, k, longest, shortest, note=""):
    """The Trial of one call."""
    return Trial(
        [f"propose({token_ids}, {k}, {longest}, {shortest})"],
        lambda answer: as_tokens(answer([int(str(one)) for one in token_ids], k, longest, shortest)),  # no two are one
        note=note,
        size=10 * len(token_ids) + longest + k,
    )


def untouched(token_ids, k=2):
    """The Trial that looks at the caller's list after the call, and after the draft is changed."""

    def act(answer):
        given = list(token_ids)
        got = answer(given, k, 2, 1)
        if isinstance(got, list):
            got.append(99)  # the draft is the caller's too
        return given

    story = [f"token_ids = {token_ids}", f"draft = propose(token_ids, {k}, 2, 1)", "draft.append(99)", "token_ids"]
    return Trial(story, act, note="as before", size=len(token_ids))


ONE_RUN = [
    looked_up([5, 6, 5], 1, 1, 1),
    looked_up([7, 8, 9, 7], 1, 1, 1),
    looked_up([7, 8, 9, 7, 8], 1, 2, 2),
    looked_up([1, 2, 3, 4, 1, 2], 1, 2, 2),
    looked_up([1, 2, 3, 4, 5, 1, 2, 3], 1, 3, 3),
    looked_up([300, 40, 300], 1, 1, 1),
]
LENGTHS = [
    looked_up([7, 8, 9, 7], 3, 1, 1, note="the list ends"),
    looked_up([7, 8, 9, 4, 7], 2, 1, 1),
    looked_up([1, 2, 3, 4, 5, 6, 1], 4, 1, 1),
    looked_up([1, 2, 3, 1, 2], 5, 2, 1),
    looked_up([4, 4], 3, 1, 1),
    looked_up([1, 2, 3, 1, 2], 3, 2, 1, note="the last two tokens follow, too"),
    looked_up([6, 5, 8, 5], 4, 1, 1),
]
LATEST = [
    looked_up([1, 2, 1, 3, 1], 1, 1, 1, note="the 1 before the 3 ends later"),
    looked_up([1, 2, 1, 3, 1], 3, 1, 1),
    looked_up([1, 2, 9, 1, 2, 8, 1, 2], 2, 2, 2),
    looked_up([5, 1, 5, 2, 5, 3, 5], 2, 1, 1),
]
LONGEST = [
    looked_up([1, 2, 3, 2, 4, 1, 2], 1, 2, 1, note="1 2 stood before; 2 alone stood later"),
    looked_up([7, 8, 9, 7, 8], 3, 3, 1),
    looked_up([1, 2, 3, 9, 2, 3, 8, 3, 7, 1, 2, 3], 1, 3, 1),
    looked_up([6, 1, 2, 9, 1, 2, 8, 6, 1, 2], 2, 3, 1),
]
SHORTER = [
    looked_up([9, 2, 5, 8, 2], 1, 2, 1, note="8 2 never stood before, 2 did"),
    looked_up([1, 2, 3, 4, 2], 2, 3, 1),
    looked_up([9, 1, 2, 5, 8, 1, 2], 2, 4, 1),
    looked_up([3, 1, 3], 1, 6, 1, note="an n for which there are too few tokens is skipped"),
    looked_up([8, 1, 2, 8], 2, 4, 1),
    looked_up([2, 2], 1, 2, 1),
    looked_up([1, 2, 3, 4, 2], 2, 3, 2, note="2 tokens at least"),
    looked_up([5, 5, 1, 5], 1, 3, 2),
]
OVERLAP = [
    looked_up([4, 4, 4], 2, 2, 2, note="the first two 4 overlap the last two"),
    looked_up([4, 4, 4, 4], 2, 3, 3),
    looked_up([1, 2, 1, 2, 1], 3, 3, 3),
    looked_up([1, 2, 1, 2, 1], 3, 3, 1),
    looked_up([1, 2, 1, 2, 1, 2], 4, 4, 4),
    looked_up([6, 1, 2, 3, 1, 2, 3, 1, 2], 2, 5, 5),
]
AS_TEXT = [
    looked_up([112, 7, 12], 1, 1, 1, note="12 is another token than 112"),
    looked_up([11, 2, 5, 1, 2], 1, 2, 2),
    looked_up([12, 3, 4, 1, 23], 1, 2, 2),
    looked_up([2, 21, 5, 2, 2], 2, 2, 2),
    looked_up([31, 2, 9, 3, 12], 1, 2, 2),
]
HUGE = [
    looked_up([65_541, 7, 5], 1, 1, 1, note="65541 is 65536 + 5"),
    looked_up([150_000, 2, 150_000], 1, 1, 1),
    looked_up([128_009, 3, 262_144, 9, 128_009, 3], 2, 2, 2),
    looked_up([300, 7, 44], 1, 1, 1, note="300 is 256 + 44"),
]
NOTHING = [
    looked_up([3], 2, 2, 1),
    looked_up([3, 4], 2, 2, 1),
    looked_up([1, 2, 3, 4], 3, 3, 1),
    looked_up([1, 2], 1, 5, 3),
    looked_up([1, 1], 1, 4, 2),
    looked_up([1, 2, 3, 1], 3, 3, 2),
    looked_up([1, 2, 3, 7, 1, 4, 3], 2, 3, 3, note="1 2 3 and 1 4 3 differ"),
    looked_up([5, 1, 9, 6, 5, 2, 9], 1, 3, 3),
    looked_up([4, 1, 1, 8, 3, 4, 2, 1, 8], 1, 4, 4),
    *AS_TEXT,
    *HUGE,
]
LONG = [
    looked_up([(7 * i * i + 3 * i) % 11 for i in range(n)], 4, longest, shortest)
    for n, longest, shortest in ((20, 3, 1), (33, 4, 2), (60, 5, 3), (90, 2, 2))
]
LONG.append(
    Trial(
        ["propose([5, 9] + [7] * 5000 + [5], 2, 2, 1)"],
        lambda answer: as_tokens(answer([5, 9] + [7] * 5000 + [5], 2, 2, 1)),
        note="the only 5 before the last one stands at the beginning",
        size=5000,
    )
)
UNTOUCHED = [untouched([1, 2, 1]), untouched([1, 2, 3, 4, 1, 2]), untouched([5, 6]), untouched([4, 4, 4])]

NGRAM = Exercise(
    id="15.ngram",
    title="Drafts from the text itself",
    name="propose",
    cases="texts",
    properties=[
        Property(
            "The draft is the token that followed the same last tokens before",
            "Here the last tokens stood before exactly once.",
            ONE_RUN,
        ),
        Property(
            "It is up to k tokens long, and ends where the list ends",
            "More than k tokens would not be checked; there are none after the end of the list.",
            LENGTHS,
        ),
        Property("Of several earlier runs the latest counts", "What happened last is the better guess.", LATEST),
        Property(
            "More tokens in common go before a later place",
            "Three equal tokens are a stronger sign than one: begin with n = longest.",
            LONGEST,
        ),
        Property(
            "Where n tokens never stood before, fewer are tried, down to `shortest`",
            "The first n that is found decides.",
            SHORTER,
        ),
        Property(
            "The earlier run may overlap the last tokens, and is not these tokens themselves",
            "In 4 4 4 the run 4 4 stands at two places.",
            OVERLAP,
        ),
        Property("If nothing is found, the draft is empty", "Then the step is a plain decode step.", NOTHING),
        Property("The same holds for longer texts", "Tokens from 0 to 10 that repeat in part.", LONG),
        Property(
            "The caller's list stays as it is, also when the draft is changed later",
            "The draft is a list of its own.",
            UNTOUCHED,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        TENSORS_INSIDE,
        Mistake(
            "the caller's list is changed.",
            "`token_ids` is the text itself. Make slices or lists of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "large ids become small ones.",
            "A vocabulary has more than 65,536 tokens: bytes, 16-bit integers and `chr(i % 65536)` mix them up.",
            is_made_by=lambda answer, found: found.trial in HUGE,
        ),
        Mistake(
            "only the last part of the list is searched.",
            "What followed the same tokens may stand at the very beginning of a long text.",
            is_made_by=lambda answer, found: found.trial is LONG[-1] and isinstance(found.outcome, list),
        ),
        *MISTAKES,
        Mistake(
            "tokens are compared as text.",
            'In text "12" stands within "112", and "12" and "3" are as "1" and "23". Compare lists of ints.',
            (in_text(""), in_text(" ")),
            is_made_by=lambda answer, found: found.trial in AS_TEXT and bool(found.outcome),
            last=True,
        ),
    ],
    hints=[
        "Two loops: over n from `longest` down to `shortest`, and over the places where the earlier run may end, from "
        "the latest down.",
        "The run is `token_ids[-n:]`. It stands before if `token_ids[end - n : end] == run` for an `end` below "
        "`len(token_ids)`; with `end = len(token_ids)` it would be the last tokens themselves.",
        "`for end in range(len(token_ids) - 1, n - 1, -1)` goes from the latest to the earliest. The draft is "
        "`token_ids[end : end + k]`. After both loops return `[]`.",
    ],
    rights=[propose, propose_from_dict, propose_backwards, propose_in_text],
    why="This search takes as long as the text at every step. `course_lib/decoding/prompt_lookup.py` keeps where each "
    "run ended last in a dict, so that a step costs the same for any length.",
)
