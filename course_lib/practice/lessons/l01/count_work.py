"""Exercise 01.count_work: the tokens and the attention scores of decoding without a cache."""

import time
from typing import NamedTuple

import torch

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.count_work import count_work


def count_work_closed(prompt_tokens, new_tokens):
    """By closed formulas for the sums of n and of n(n+1)/2 from 1 to m, as differences of two sums."""

    def up_to(m):
        return m * (m + 1) // 2, m * (m + 1) * (m + 2) // 6

    (tokens, scores), (t, s) = up_to(prompt_tokens + new_tokens - 1), up_to(prompt_tokens - 1)
    return tokens - t, scores - s


def count_work_counted(prompt_tokens, new_tokens):
    tokens = scores = 0
    for step in range(new_tokens):
        for position in range(prompt_tokens + step):
            tokens += 1
            scores += position + 1
    return tokens, scores


def count_work_divided(prompt_tokens, new_tokens):
    """As count_work_closed, with `/`."""

    def up_to(m):
        return m * (m + 1) // 2, int(m * (m + 1) * (m + 2) / 6)

    (tokens, scores), (t, s) = up_to(prompt_tokens + new_tokens - 1), up_to(prompt_tokens - 1)
    return tokens - t, scores - s


def is_rounded(answer, found):
    """Whether the two numbers are right in all but their last digits."""
    of = (1_000_000_007, 40) if found.trial in FAR else (1_000_003, 1)
    right, got = count_work(*of), answer(*of)
    if not found.story[-1].startswith("count_work") or isinstance(found.outcome, tuple) and "int64" in found.outcome:
        return False
    return all(0.99 < x / y < 1.01 for x, y in zip(got, right))


def bill(p, n, part=None, note=""):
    """The Trial that calls count_work(p, n) and compares both numbers, or only number `part`: 0 or 1."""
    call = f"count_work(prompt_tokens={p}, new_tokens={n})"
    if part is None:
        return Trial([call], lambda answer: as_tuple(answer(p, n)), note=note, size=p + n)
    names = ["tokens, scores = " + call, ("tokens", "scores")[part]]
    return Trial(names, lambda answer: answer(p, n)[part], note=note, size=p + n)


def far(p, n):
    """The Trial of a bill that no float holds. An answer that counts one by one is not asked: it would not end."""

    def act(answer):
        began = time.process_time()
        answer(3_000_000, 1)
        return count_work(p, n) if time.process_time() - began > 0.005 else as_tuple(answer(p, n))

    return Trial([f"count_work(prompt_tokens={p}, new_tokens={n})"], act, size=p + n)


def count_work_listed(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return [sum(lengths), sum(sum(range(1, n + 1)) for n in lengths)]


class Work(NamedTuple):
    tokens: int
    scores: int


def count_work_named(prompt_tokens, new_tokens):
    return Work(*count_work(prompt_tokens, new_tokens))


def as_tuple(pair):
    """A list of two numbers as a tuple: both are accepted."""
    return tuple(pair) if isinstance(pair, list) else pair


def kinds(p, n):
    """The Trial that compares types only: of the items of a tuple or list, or of any other value."""

    def act(answer):
        pair = as_tuple(answer(p, n))
        return tuple(type(x).__name__ for x in pair) if isinstance(pair, tuple) else type(pair).__name__

    return Trial([f"count_work(prompt_tokens={p}, new_tokens={n})"], act, size=p + n, explain=how_many, show=listed)


def listed(names):
    """ "2 values: int, int", or "1 value: int"."""
    names = names if isinstance(names, tuple) else (names,)
    return f"{len(names)} {'value' if len(names) == 1 else 'values'}: {', '.join(names)}"


def how_many(expected, got):
    if isinstance(got, tuple) and len(got) == len(expected):
        return "Both have to be Python's own `int`; `int(…)` converts other numbers."
    return (
        "The exercise asks for two whole numbers: tokens computed, and attention scores. `return tokens, scores` "
        "returns both."
    )


def one_number(answer, found):
    """Whether the answer returned a single number."""
    return found.outcome in ("int", "float")


def a_float(answer, found):
    """Whether the answer returned two numbers, and one is a float."""
    return isinstance(found.outcome, tuple) and len(found.outcome) == 2 and "float" in found.outcome


def wrong(tokens=None, scores=None, steps=lambda n: range(n)):
    """A wrong answer from formulas for one step: tokens(m, i), scores(m, i), with m tokens in step i from 0."""
    tokens, scores = tokens or (lambda m, i: m), scores or (lambda m, i: m * (m + 1) // 2)

    def answer(prompt_tokens, new_tokens):
        made = [(prompt_tokens + i, i) for i in steps(new_tokens)]
        return sum(tokens(m, i) for m, i in made), sum(scores(m, i) for m, i in made)

    return answer


def count_work_int64(prompt_tokens, new_tokens):
    """In a tensor: the sum of the scores can be larger than the largest int64."""
    lengths = torch.arange(prompt_tokens, prompt_tokens + new_tokens)
    return int(lengths.sum()), int((lengths * (lengths + 1) // 2).sum())


def goes_round(answer, found):
    """Whether the scores are wrong by a multiple of 2⁶⁴."""
    off = answer(1_000_000_007, 40)[1] - count_work(1_000_000_007, 40)[1] if found.trial in FAR else 0
    return off != 0 and int(off) % 2**64 == 0


def swapped(prompt_tokens, new_tokens):
    return count_work(prompt_tokens, new_tokens)[::-1]


SMALL = [(p, n) for p in range(1, 6) for n in range(0, 5)]
LARGE = [(10, 100), (1000, 64), (2000, 300), (1, 500), (100_000, 2), (1_000_003, 1)]

FAR = [far(1_000_000_007, 3), far(999_999_999, 2), far(1_000_000_007, 40)]

COUNT_WORK = Exercise(
    id="01.count_work",
    title="The work of the loop",
    name="count_work",
    cases="bills",
    properties=[
        Property(
            "It returns a pair of whole numbers",
            "Counted work is exact; a float would round large numbers.",
            [kinds(p, n) for p, n in [(1, 1), (1, 2), (2, 1), (3, 4)]],
        ),
        Property(
            "The first number is how many tokens the model computes",
            "Each step computes the prompt and all tokens generated so far.",
            [bill(p, n, 0) for p, n in SMALL],
        ),
        Property(
            "The second number is how many attention scores each head of each layer computes",
            "Under the causal mask each token attends to itself and to all tokens before it.",
            [bill(p, n, 1) for p, n in SMALL],
        ),
        Property(
            "It stays exact for long sequences",
            "The tokens grow with the square of the length, the scores with its cube.",
            [bill(p, n) for p, n in LARGE] + FAR,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "only one of the two numbers is returned.",
            "`return tokens, scores` returns both.",
            (lambda p, n: count_work(p, n)[0], lambda p, n: count_work(p, n)[1]),
            one_number,
        ),
        Mistake(
            "the prompt is not counted.",
            "Step i computes the prompt and i new tokens, together `prompt_tokens + i`. This holds in the first step "
            "too, where i is 0.",
            (
                lambda p, n: count_work(0, n),
                lambda p, n: count_work(1, n),
                lambda p, n: (count_work(0, n)[0], count_work(p, n)[1]),
                lambda p, n: (count_work(p, n)[0], count_work(0, n)[1]),
            ),
        ),
        Mistake(
            "each token is counted only once.",
            "Without a cache, every step computes the prompt and all earlier new tokens again.",
            (
                lambda p, n: (n, count_work(p, n)[1]),
                lambda p, n: (p + n, count_work(p, n)[1]),
                lambda p, n: (p + n - 1 if n else 0, count_work(p, n)[1]),
                lambda p, n: (n, n),
                lambda p, n: (n, n * (n + 1) // 2),
            ),
        ),
        Mistake(
            "every step is counted as one token longer than it is.",
            "The first step computes the prompt only. The token that a step produces is computed in the next step.",
            (wrong(lambda m, i: m + 1), wrong(lambda m, i: m + 1, lambda m, i: (m + 1) * (m + 2) // 2)),
        ),
        Mistake(
            "every step is counted as long as the prompt.",
            "The sequence grows by one token a step, and every step computes the whole sequence.",
            (
                lambda p, n: (p * n, count_work(p, n)[1]),
                lambda p, n: (p * n, p * (p + 1) // 2 * n),
                lambda p, n: (p * n, p * p * n),
            ),
        ),
        Mistake(
            "the whole square is counted, not the triangle.",
            "Under the causal mask a token does not attend to tokens after it: of n × n pairs, n(n+1)/2 remain.",
            wrong(scores=lambda m, i: m * m),
        ),
        Mistake(
            "half of the square is counted, which counts only half of the diagonal.",
            "n × n / 2 counts each token's score with itself as one half. The triangle with its whole diagonal is "
            "n(n+1)/2.",
            (
                wrong(scores=lambda m, i: m * m // 2),
                lambda p, n: (count_work(p, n)[0], sum(m * m for m in range(p, p + n)) // 2),
            ),
        ),
        Mistake(
            "the diagonal is not counted.",
            "Each token attends to itself too: the first token has one score, not 0.",
            wrong(scores=lambda m, i: m * (m - 1) // 2),
        ),
        Mistake(
            "only the newest token's row of scores is counted.",
            "Without a cache, every step computes the rows of all earlier tokens again. (With a cache this count "
            "would be right.)",
            wrong(scores=lambda m, i: m),
        ),
        Mistake("the two numbers are swapped.", "Tokens first, scores second.", swapped),
        Mistake(
            "one step too many is counted.",
            "n new tokens take n steps: the last new token is never computed.",
            wrong(steps=lambda n: range(n + 1)),
        ),
        Mistake(
            "the numbers are floats.",
            "`/` gives a float; `//` gives a whole number.",
            (
                lambda p, n: tuple(map(float, count_work(p, n))),
                lambda p, n: (count_work(p, n)[0], float(count_work(p, n)[1])),
                lambda p, n: (float(count_work(p, n)[0]), count_work(p, n)[1]),
            ),
            a_float,
        ),
        Mistake(
            "the numbers go through a float, and large ones are rounded.",
            "`/` gives a float, which has 53 bits, also under `int(…)`, and `float32` has 24. `//` divides whole "
            "numbers exactly.",
            (count_work_divided, lambda p, n: tuple(int(torch.tensor(float(x))) for x in count_work(p, n))),
            is_rounded,
        ),
        Mistake(
            "the numbers go through int64, and large ones do not fit.",
            "The numbers of a tensor or an array have 64 bits at most: above 2⁶³ - 1 they go on at -2⁶³. Python's own "
            "`int` has no largest number.",
            count_work_int64,
            goes_round,
        ),
    ],
    hints=[
        "Write down three steps for a prompt of 2 tokens: how many tokens are computed in the first, in the second, in "
        "the third?",
        "Step i (counted from 0) computes `prompt_tokens + i` tokens. The sum over `new_tokens` steps is the first "
        "number.",
        "In a step with m tokens, token 0 attends to 1 token, token 1 to 2, … the last token to m. Together that is 1 "
        "+ 2 + … + m = m(m+1)/2.",
        "`lengths = range(prompt_tokens, prompt_tokens + new_tokens)`, then `sum(lengths)` and "
        "`sum(m * (m + 1) // 2 for m in lengths)`.",
    ],
    rights=[count_work, count_work_closed, count_work_counted, count_work_listed, count_work_named],
    why="`lengths` holds the number of tokens of each step: the prompt first, then one more in each step. A step of n "
    "tokens fills the lower triangle of an n × n square, diagonal included: n(n+1)/2 scores. Tokens grow with the "
    "square of the sequence length, scores with its cube.",
)
