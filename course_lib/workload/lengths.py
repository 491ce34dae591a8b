"""How long prompts and outputs are, in tokens: fixed, uniform, log-normal, or pairs from a file.

    lengths = Lengths(prompt=LogNormal(median=250, sigma=1.0, high=4096), output=Uniform(16, 256))
    num_prompt_tokens, num_output_tokens = lengths.draw(numpy.random.default_rng(0))

Lengths of real traffic have long tails: most prompts are short and a few are very long. A log-normal distribution has
such a tail. One fixed length has none, so a benchmark with it never meets the requests that make others wait.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from course_lib.errors import ParameterError

from .checks import check_number, check_whole
from .rows import read_rows


@dataclass(frozen=True)
class Fixed:
    """Always the same length."""

    tokens: int

    def __post_init__(self):
        check_whole("tokens", self.tokens, "a length in tokens", instead=128)

    def draw(self, generator):
        """A length in tokens, by a numpy Generator."""
        return self.tokens

    def scaled(self, factor):
        """The same in a smaller or larger world; lengths are at least 1."""
        return Fixed(_scaled(self.tokens, factor))


@dataclass(frozen=True)
class Uniform:
    """Each length from `low` to `high`, both included, is equally likely."""

    low: int
    high: int

    def __post_init__(self):
        check_whole("low", self.low, "a length in tokens", instead=16)
        check_whole("high", self.high, f"a length in tokens, no smaller than low={self.low}", at_least=self.low,
                    instead=2 * self.low)  # fmt: skip

    def draw(self, generator):
        return int(generator.integers(self.low, self.high + 1))

    def scaled(self, factor):
        return Uniform(_scaled(self.low, factor), _scaled(self.high, factor))


@dataclass(frozen=True)
class LogNormal:
    """A long tail: the logarithm of the length is normal. What is outside of `low` to `high` becomes the nearest."""

    median: float
    sigma: float
    """The standard deviation of the logarithm: two thirds of all lengths are between median / e**sigma and median *
    e**sigma.
    """
    low: int = 1
    high: int = 2**20

    def __post_init__(self):
        check_number("median", self.median, "a length in tokens", above=0, instead=250)
        check_number("sigma", self.sigma, "a spread", at_least=0, instead=1.0)
        check_whole("low", self.low, "a length in tokens", instead=1)
        check_whole("high", self.high, f"a length in tokens, no smaller than low={self.low}", at_least=self.low,
                    instead=2 * self.low)  # fmt: skip

    def draw(self, generator):
        return min(max(round(generator.lognormal(math.log(self.median), self.sigma)), self.low), self.high)

    def scaled(self, factor):
        low, high = _scaled(self.low, factor), _scaled(self.high, factor)
        return replace(self, median=self.median * factor, low=low, high=high)


def _scaled(tokens, factor):
    return max(1, round(tokens * factor))


@dataclass(frozen=True)
class Lengths:
    """Prompt and output lengths, drawn independently. about: what they stand for."""

    prompt: object
    """Fixed, Uniform or LogNormal."""
    output: object
    about: str = ""

    def draw(self, generator):
        """(prompt tokens, output tokens) of one request, by a numpy Generator."""
        return self.prompt.draw(generator), self.output.draw(generator)

    def scaled(self, factor):
        """All lengths times `factor`, so that they fit a small model."""
        check_number("factor", factor, "what lengths are multiplied by", above=0, instead=0.125)
        return replace(self, prompt=self.prompt.scaled(factor), output=self.output.scaled(factor))


class RecordedLengths:
    """Pairs of lengths from a file: each request draws one of them, so prompt and output stay together.

    path: CSV with a header or JSON Lines, with `prompt_tokens` and `output_tokens`. All pairs are kept. Raises
    ParameterError, with the line, for a file without rows or with a bad one.
    """

    def __init__(self, path):
        columns = {"prompt_tokens": int, "output_tokens": int}
        self.path = Path(path)
        self.pairs = [(row["prompt_tokens"], row["output_tokens"]) for _, row in read_rows(path, columns)]
        if not self.pairs:
            raise ParameterError(f"{path} has no rows, so there is no length to draw. Each row is one request.")
        self.about = f"{len(self.pairs)} pairs from {self.path.name}"

    def draw(self, generator):
        return self.pairs[int(generator.integers(len(self.pairs)))]

    def __repr__(self):
        return f"RecordedLengths({str(self.path)!r}: {len(self.pairs)} pairs)"
