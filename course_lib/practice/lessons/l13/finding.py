"""What many draws of 13.counter_rng came to: how often each token, and whether chance explains it."""

from dataclasses import dataclass

import torch

LIMIT = 3.0
"""Chi-square may be so many times its usual value and 40 more. A right answer is beyond that once in 10**9 trials."""
NEAR = 0.05
"""Two wrong answers do the same where no share differs by more."""


@dataclass(frozen=True, eq=False)
class Finding:
    """What came out of many draws. Two that fit are equal, whatever was drawn."""

    fits: bool
    text: str
    shares: tuple = ()

    def __eq__(self, other):
        if self.fits or other.fits:
            return self.fits and other.fits
        near = all(abs(a - b) <= NEAR for a, b in zip(self.shares, other.shares))
        return len(self.shares) == len(other.shares) and near

    __hash__ = None

    def __str__(self):
        return self.text


def found(value):
    return str(value) if isinstance(value, Finding) else repr(value)


def compared(counts, expected):
    """The Finding of counts of draws. expected: the share of each."""
    total = sum(counts)
    shares = tuple(count / total for count in counts)
    impossible = any(count and not share for count, share in zip(counts, expected))
    chi = sum((c - total * p) ** 2 / (total * p) for c, p in zip(counts, expected) if p)
    fits = not impossible and chi <= 40 + LIMIT * sum(map(bool, expected))
    text = "shares of the draws: " + " ".join(f"{share:.2f}" for share in shares)
    return Finding(fits, text, shares)


def tokens_of(got, rows, vocab):
    """The tokens as a list, or what is wrong with them as a text."""
    if not isinstance(got, torch.Tensor):
        return f"not a tensor: {type(got).__name__}"
    if got.dtype != torch.int64 or got.shape != (rows,):
        return f"a tensor of {str(got.dtype).removeprefix('torch.')} {list(got.shape)}"
    outside = [token for token in got.tolist() if not 0 <= token < vocab]
    return f"token {outside[0]}, of a vocabulary of {vocab}" if outside else got.tolist()
