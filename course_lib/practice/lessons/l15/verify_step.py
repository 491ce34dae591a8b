"""The exercise 15.verify_step: one run of the model checks all drafts, and the cache is as a greedy loop leaves it."""

from course_lib.practice.fixtures.token_cache import SumModel, TokenCache
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, TENSORS_INSIDE, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .numbers import as_tokens
from .solutions.verify_step import verify_step
from .verify_step_mistakes import MISTAKES


def verify_step_by_equality(model, cache, newest, drafted):
    """Compares all drafts at once, and sums the beginning that is equal."""
    import torch

    before, ids = cache.num_tokens, torch.tensor([newest] + list(drafted), dtype=torch.long)
    rows = model(ids, torch.arange(len(ids)) + before, cache)
    best = rows.max(dim=1).indices
    same = int((ids[1:] == best[:-1]).int().cumprod(0).sum())
    cache.shrink(before + same + 1)
    return best[: same + 1].tolist()


def verify_step_with_zip(model, cache, newest, drafted):
    """Takes the model's tokens up to the first that the draft did not say."""
    import torch

    held = cache.num_tokens
    positions = torch.tensor([held + i for i in range(1 + len(drafted))])
    logits = model(torch.tensor([newest, *drafted]), positions, cache)
    tokens = []
    for row, guess in zip(logits, [*drafted, None]):
        tokens.append(int(row.argmax()))
        if tokens[-1] != guess:
            break
    cache.shrink(held + len(tokens))
    return tokens


MODEL, LEVEL = SumModel(), -20.0


def draft_tokens(tokens, pattern):
    """Drafts after tokens: for each letter of the pattern one that is right (r) or wrong (w), as the text goes on.

    s is a wrong one too: the token that the model says after it, which is what its own row of logits holds.
    """
    found, text = [], list(tokens)
    for letter in pattern:
        right = MODEL.next_token(text)
        wrong = (right + 3) % 10
        if letter == "s":
            wrong = next(x for x in range(10) if MODEL.next_token([*text, x]) == x != right)
        found.append(right if letter == "r" else wrong)
        text.append(found[-1])
    return found


def told(cache, newest, drafted, level):
    return [
        "from course_lib.practice.play import SumModel, TokenCache",
        f"model, cache = SumModel({'' if level == LEVEL else f'level={level}'}), TokenCache({cache})",
        f"verify_step(model, cache, {newest}, {drafted})",
    ]


def one_step(stored, newest, pattern, look, ends, note="", level=LEVEL):
    """The Trial of one step. look(model, cache, got): what is compared; ends: the line that shows it."""
    drafted = draft_tokens([*stored, newest], pattern)

    def act(answer):
        model, cache = SumModel(level=level), TokenCache(stored)
        return look(model, cache, as_tokens(answer(model, cache, newest, list(drafted))))

    return Trial(told(stored, newest, drafted, level) + ends, act, note=note, size=10 * len(drafted) + len(stored))


def tokens(stored, newest, pattern, note="", level=LEVEL):
    return one_step(stored, newest, pattern, lambda model, cache, got: got, [], note, level)


def stored_after(stored, newest, pattern, note=""):
    return one_step(stored, newest, pattern, lambda model, cache, got: cache.tokens, ["cache.tokens"], note)


def runs(stored, newest, pattern, note=""):
    return one_step(stored, newest, pattern, lambda model, cache, got: model.runs, ["model.runs"], note)


def many_steps(prompt, patterns):
    """The Trial of several steps in a row: all tokens, and what is stored after each."""

    def act(answer):
        model, cache, text = SumModel(), TokenCache(prompt[:-1]), list(prompt)
        seen = []
        for pattern in patterns:
            text += answer(model, cache, text[-1], draft_tokens(text, pattern))
            seen.append(cache.num_tokens)
        return as_tokens(text), seen

    story = [
        "from course_lib.practice.play import SumModel, TokenCache, draft_tokens",
        f"model, text = SumModel(), {list(prompt)}",
        "cache = TokenCache(text[:-1])",
        f"for pattern in {patterns}:  # r: a right draft, w: a wrong one",
        "    text += verify_step(model, cache, text[-1], draft_tokens(text, pattern))",
        "text, cache.num_tokens",
    ]
    return Trial(story, act, note="the text of a greedy loop", size=100 + len(patterns))


def untouched(pattern):
    """The Trial that looks at the list of drafts after the call, and after the result is changed."""
    drafted = draft_tokens([4, 2], pattern)

    def act(answer):
        given = list(drafted)
        got = answer(SumModel(), TokenCache([4]), 2, given)
        if isinstance(got, list):
            got.append(99)
        return given

    story = [
        "from course_lib.practice.play import SumModel, TokenCache",
        f"drafted = {drafted}",
        "tokens = verify_step(SumModel(), TokenCache([4]), 2, drafted)",
        "tokens.append(99)",
        "drafted",
    ]
    return Trial(story, act, note="as before", size=len(pattern))


STARTS = [([], 5), ([4], 2), ([3, 1, 4], 1)]
UNTOUCHED = [untouched(pattern) for pattern in ("", "r", "w", "rr", "rwr")]

VERIFY_STEP = Exercise(
    id="15.verify_step",
    title="One run checks all drafts",
    name="verify_step",
    cases="steps",
    properties=[
        Property(
            "The model runs once, over the newest token and the drafts, at the positions that follow the cache",
            "One run over five tokens reads the weights as often as a run over one: once.",
            [runs(*start, pattern) for start in STARTS for pattern in ("", "r", "w", "rr", "wr", "rrw")],
        ),
        Property(
            "Without drafts the greedy token is returned",
            "Then the step is a plain decode step.",
            [tokens(*start, "") for start in STARTS],
        ),
        Property(
            "If all drafts are right, they are returned, and one token more",
            "The row of the last draft says what comes after it.",
            [tokens(*start, pattern) for start in STARTS for pattern in ("r", "rr", "rrrr", 12 * "r")],
        ),
        Property(
            "A wrong draft is replaced by the model's own token",
            "The row before the wrong draft says which token should stand there.",
            [tokens(*start, pattern) for start in STARTS for pattern in ("w", "rw", "rrw")]
            + [tokens([4], 2, "s"), tokens([2], 4, "s"), tokens([6, 6], 2, "s"), tokens([2, 2], 2, "rs")],
        ),
        Property(
            "The largest logit is the greedy token, however large or small the logits are",
            "Only their order counts. exp of a large one is infinite, and no number is a bound below them.",
            [
                tokens([4], 2, pattern, f"the logits are near {level:,.0f}", level)
                for level in (300.0, -300.0, -30_000.0, -1e9)
                for pattern in ("", "r", "rw")
            ],
        ),
        Property(
            "Drafts after a wrong one do not count",
            "They follow a token that is not in the text, even where they are what the model says there.",
            [tokens(*start, pattern) for start in STARTS for pattern in ("wr", "wrr", "rwr", "rwrrr", "ww")],
        ),
        Property(
            "Afterwards the cache holds the sequence, all but its last token",
            "The last token is computed in the next step. Rejected drafts must not stay: later tokens would see them.",
            [
                stored_after(*start, pattern)
                for start in STARTS
                for pattern in ("", "r", "w", "rr", "rw", "wr", "rrrr", "rwr")
            ],
        ),
        Property(
            "Step by step the text is that of a greedy loop",
            "With right, wrong and no drafts, in any order.",
            [
                many_steps((5,), ["w", "r", ""]),
                many_steps((4, 2), ["rr", "w", "rwr", "", "rrr"]),
                many_steps((3, 1, 4), ["wrr", "rrrr", "", "rw", "w", "rr"]),
            ],
        ),
        Property("The list of drafts is not changed", "The result is a list of its own.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        TENSORS_INSIDE,
        Mistake(
            "the list of drafts is changed.",
            "It belongs to the caller. Use a list of your own, also for the result.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "`tokens = [newest, *drafted]` and `start = cache.num_tokens`, before the run. The positions are "
        "`torch.arange(start, start + len(tokens))`.",
        "`greedy = logits.argmax(-1).tolist()`. Row 0 is for the token after `newest`, so it is held against "
        "`drafted[0]`, row 1 against `drafted[1]`, and so on.",
        "Count how many are equal from the beginning on. The new tokens are `drafted[:count] + [greedy[count]]`.",
        "The cache keeps the `start` tokens, the newest and the accepted drafts: `cache.shrink(start + 1 + count)`.",
    ],
    rights=[verify_step, verify_step_by_equality, verify_step_with_zip],
    why="The new tokens are always the model's own greedy tokens of the first rows: an accepted draft is equal to one. "
    "So the text cannot differ from that of a greedy loop, however bad the drafts are.",
)
