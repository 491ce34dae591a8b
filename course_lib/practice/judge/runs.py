"""What one answer does in each trial: run once, within the time of a check."""

from .kept import Kept
from .limits import CHECK_S, Stopwatch
from .outcome_text import length

_HUGE = 100_000
"""An outcome with more items is not kept: no right answer and no known mistake gives so many."""
_TOO_LONG = object()
"""Stands for such an outcome."""


class TooSlow(Exception):
    """The answer has used up the time of a whole check."""


class Runs:
    """The outcomes of one answer. Its own code may work for `budget_s` seconds in all trials together."""

    def __init__(self, answer, budget_s=CHECK_S):
        self.answer, self.budget_s, self.spent_s = answer, budget_s, 0.0
        self.done = {}
        """{trial: (outcome, printed text)}"""
        self.kept = Kept(answer)
        """How the answer was handed in."""
        self.alone = False
        """Whether each trial runs the answer as it was handed in, whatever earlier ones have left behind."""

    @property
    def over(self):
        """Whether the time is used up."""
        return self.spent_s >= self.budget_s

    def outcome(self, trial):
        """(outcome, printed text). Raises TooSlow where there is no time left."""
        if trial in self.done:
            return self.done[trial]
        if self.alone:
            self.kept.restore()
        got, printed = self.run(trial)
        self.done[trial] = (_TOO_LONG if length(got) > _HUGE else got), printed
        return got, printed

    def is_too_long(self, trial):
        """Whether the outcome of a trial was too long to be kept."""
        return self.done.get(trial, (None,))[0] is _TOO_LONG

    def run(self, trial):
        """The same, run once more and not remembered."""
        if self.over:
            raise TooSlow
        watch = Stopwatch()
        got, printed = trial.outcome(self.answer)
        self.spent_s += watch.seconds()
        return got, printed
