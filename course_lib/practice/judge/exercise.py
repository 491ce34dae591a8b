"""What an exercise is made of: properties that must hold, and the mistakes people make.

An exercise is checked by behaviour alone. A `Trial` is one small program that is run with the
learner's answer and with the reference; a `Property` is a row of trials, smallest first, with
one sentence about them that must be true. A `Mistake` is itself an answer, a wrong one: the
learner's answer has that mistake when it does what the wrong answer does.
"""

import math
import reprlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import running
from .running import OutOfTime, Raised

_LONG = 2000
"""A learner's value with more items is shown by its first ones."""
_TOO_LONG = object()
"""Stands for an outcome with far more items than any right or known wrong one."""
BUDGET_S = 20.0
"""So many seconds of the learner's own code make a check too slow to wait for."""


class Counterexample(Exception):
    """The smallest program found for which a property does not hold.

    story: lines of code that reproduce it. expected, got: what should come out, and what did.
    note: a few words beside what is expected. remark: a sentence on how the two differ. failing: how many cases failed, or None where they were not all
    run. printed: what the learner's code wrote meanwhile. trial, outcome: where it came from, and
    what the answer did there.
    """

    def __init__(self, story, expected, got, note="", *, remark="", failing=None, printed="", trial=None, outcome=None):
        super().__init__(f"expected {expected}, got {got}")
        self.story, self.expected, self.got, self.note, self.remark = list(story), expected, got, note, remark
        self.failing, self.printed, self.trial, self.outcome = failing, printed, trial, outcome


class NotVerified(Exception):
    """A property that this machine cannot decide. The message says what is missing."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One small program, run with the learner's answer and with the reference."""

    story: Sequence[str]
    """The lines that the learner can type to see the same."""
    act: Callable[[Any], Any]
    """Runs the program with an answer, on fresh inputs, and returns what is to be compared."""
    show: Callable[[Any], str] = repr
    """Writes an outcome down."""
    note: str = ""
    """Why the expected outcome is the right one, in a few words."""
    explain: Callable[[Any, Any], str] | None = None
    """explain(expected, got): a sentence on how they differ, where the eye would miss it."""
    both: Callable[[Any, Any], tuple[str, str]] | None = None
    """both(expected, got): the two written down, where each is to be seen beside the other."""
    size: int = 0
    """How much there is to read: trials are run from the smallest."""
    limit_s: float = 3.0
    """The answer is stopped after so many seconds."""
    smaller: Callable[[Callable, Any], Any] | None = None
    """smaller(fails, outcome): the smallest failing trial made from this one; see programs.py."""

    def outcome(self, answer, *, timed=True):
        """What the answer does here: (outcome, printed text). An exception is an outcome too."""
        return running.run(lambda: self.act(answer), answer, self.limit_s if timed else None)


@dataclass(frozen=True)
class Property:
    """One sentence that must hold. Either `trials`, or `run` for what is no row of trials."""

    title: str
    """The sentence, as the learner reads it. `Backticks` make code."""
    meaning: str
    """Why it matters; shown where it fails and the mistake is not a known one."""
    trials: Sequence[Trial] = ()
    run: Callable[[Any], str | None] | None = None
    """run(answer) raises Counterexample or NotVerified, or returns a remark (or None)."""
    slow: bool = False
    """Left out when the saved source of a passed answer is tried again."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give."""

    name: str
    """Completes "Looks like: …"."""
    why: str
    """What goes wrong because of it."""
    wrong: Any = None
    """The wrong answer itself, or a tuple of variants that do different things."""
    is_made_by: Callable[[Any, Counterexample], bool] | None = None
    """is_made_by(answer, counterexample), for mistakes with no fixed outcome, such as drawing at random."""

    @property
    def variants(self):
        if self.wrong is None:
            return ()
        return self.wrong if isinstance(self.wrong, tuple) else (self.wrong,)


@dataclass(frozen=True)
class Exercise:
    """An exercise: what to define, what must hold, what goes wrong, what helps."""

    id: str
    """Lesson and name, such as "01.greedy"."""
    title: str
    name: str
    """What the learner defines."""
    properties: Sequence[Property]
    mistakes: Sequence[Mistake]
    hints: Sequence[str]
    """From the idea to nearly the code."""
    rights: Sequence[Any]
    """Right answers, each written differently. The first is the reference and the solution."""
    why: str = ""
    """Said beside the solution: why it is written like this."""
    cases: str = "cases"
    """What a trial is called here: "smallest of 212 failing cases"."""
    after: str = ""
    """Said on passing, instead of where the code is kept."""
    budget_s: float = BUDGET_S
    """So many seconds of the learner's own code make a check of this exercise too slow to wait for."""
    _outcomes: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def reference(self):
        return self.rights[0]

    @property
    def lesson(self):
        return self.id.split(".")[0]

    @cached_property
    def trials(self):
        """All trials of all properties."""
        return [trial for prop in self.properties for trial in prop.trials]

    def outcome(self, answer, trial):
        """What one of our own answers, right or wrong, does in a trial; worked out once."""
        key = answer, trial
        if key not in self._outcomes:
            self._outcomes[key] = trial.outcome(answer, timed=False)[0]  # ours do end
        return self._outcomes[key]

    def expected(self, trial):
        return self.outcome(self.reference, trial)


class TooSlow(Exception):
    """The answer has used up the time of a whole check."""


class Runs:
    """What one answer does in each trial: run once, in no more than `budget_s` seconds of its own in all."""

    def __init__(self, answer, budget_s=BUDGET_S):
        self.answer, self.budget_s, self.spent_s, self.done = answer, budget_s, 0.0, {}

    @property
    def over(self):
        return self.spent_s >= self.budget_s

    def outcome(self, trial):
        """(outcome, printed text). Raises TooSlow where there is no time left."""
        if trial not in self.done:
            if self.over:
                raise TooSlow
            start = time.monotonic()
            got, printed = trial.outcome(self.answer)
            self.spent_s += time.monotonic() - start
            self.done[trial] = (
                (_TOO_LONG if length(got) > 50 * _LONG else got),
                printed,
            )  # hundreds of them would fill the memory
            return got, printed
        return self.done[trial]


def examine(exercise, prop, runs):
    """Runs one property. Returns a remark or None; raises Counterexample or NotVerified."""
    if prop.run is not None:
        return prop.run(runs.answer)
    first, failing, complete = None, 0, True
    for trial in sorted(prop.trials, key=lambda t: t.size):
        expected = exercise.expected(trial)
        try:
            got, printed = runs.outcome(trial)
        except TooSlow:
            if first is None:
                raise too_slow(exercise, trial, runs) from None
            complete = False
            break
        if agree(expected, got):
            continue
        failing += 1
        if first is None:
            first = (trial, expected, got, printed)
        if isinstance(got, Raised) and got.kind == OutOfTime.__name__:
            complete = False  # the others would take as long: nothing is said about how many fail
            break
    if first is None:
        return None
    trial, expected, got, printed = first
    if trial.smaller is not None:
        trial = trial.smaller(lambda other: _failing(exercise, other, runs), got)
        expected, (got, printed) = exercise.expected(trial), runs.outcome(trial)
    remark = explained(trial, expected, got)
    raise Counterexample(
        trial.story,
        *side_by_side(trial, expected, got),
        trial.note,
        remark=remark,
        failing=failing if complete else None,
        printed=printed,
        trial=trial,
        outcome=got,
    )


def _failing(exercise, trial, runs):
    """What the answer does in a trial that is not one of the exercise's, or None where that is right or cannot be told."""
    expected = trial.outcome(exercise.reference, timed=False)[0]
    if isinstance(expected, Raised) or runs.over:
        return None
    got, _ = runs.outcome(trial)
    return None if agree(expected, got) else got


def too_slow(exercise, trial, runs):
    """The Counterexample for an answer that was right so far and has no time left for `trial`."""
    said = f"too slow: {len(runs.done)} of {len(exercise.trials)} {exercise.cases} in {runs.budget_s:g} s"
    return Counterexample(
        trial.story,
        trial.show(exercise.expected(trial)),
        said,
        outcome=Raised(OutOfTime.__name__, said),
        remark="Those were right; this one and the rest were not run. Does it wait somewhere, or do more "
        "than is asked?",
    )


def side_by_side(trial, expected, got):
    """(expected, got) as text."""
    if trial.both is not None and type(got) is type(expected):
        sides, _ = running.run(
            lambda: trial.both(expected, got), trial.both, 3.0
        )  # it may not know what a learner's value holds
        if not isinstance(sides, Raised):
            return sides
    return trial.show(expected), written(trial, got)


def explained(trial, expected, got):
    """What is said on the difference: that a dtype is another, or what the trial makes of it. "" where there is nothing to say."""
    if isinstance(got, Raised):
        return ""
    try:
        said = trial.explain(expected, got) if trial.explain else ""
    except Exception:  # it cannot read the learner's outcome
        said = ""
    came, asked = other_dtype(expected, got) or (None, None)
    return said if came is None or str(came) in said else f"A tensor comes as {came}; {asked} is asked for."


def other_dtype(expected, got):
    """(dtype that came, dtype that is asked for) of the first tensor of the right shape and another dtype, or None."""
    if isinstance(expected, (list, tuple)) and type(got) is type(expected) and len(got) == len(expected):
        return next(filter(None, map(other_dtype, expected, got)), None)
    if (
        is_tensor(expected)
        and type(got) is type(expected)
        and got.shape == expected.shape
        and got.dtype != expected.dtype
    ):
        return got.dtype, expected.dtype
    return None


def is_tensor(value):
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "allclose")


def written(trial, outcome):
    """An outcome as text. What a trial's own `show` cannot write is shown as it is."""
    if isinstance(outcome, Raised):
        return str(outcome)
    if length(outcome) > _LONG:
        return f"{reprlib.repr(outcome)}   ({type(outcome).__name__} of {len(outcome):,})"
    for show in (trial.show, repr):  # `show` may not know a learner's value, and its class may not write itself
        text, _ = running.run(lambda: str(show(outcome)), show, 1.0)
        if isinstance(text, str):
            return shorten(text)
    return f"an object of class {type(outcome).__name__} that cannot be written down: {text}"


def length(value):
    """How many items a value of one of Python's own kinds has; 0 for all others."""
    return len(value) if type(value) in (list, tuple, dict, set, str, bytes) else 0


def shorten(text, most=600):
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def agree(a, b):
    """Whether two outcomes are the same: same types, same values, floats within rounding.

    Two exceptions agree when they are of one type: their wording is the learner's own.
    """
    if isinstance(a, Raised) or isinstance(b, Raised):
        return isinstance(a, Raised) and isinstance(b, Raised) and a.kind == b.kind
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(agree, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(agree(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)
    if is_tensor(a):
        return a.shape == b.shape and a.dtype == b.dtype and _tensors_agree(a, b)
    try:
        return bool(a == b)
    except Exception:  # arrays and the like compare elementwise
        return False


def _tensors_agree(a, b):
    if not a.is_floating_point():
        return a.equal(b)
    return a.allclose(b, rtol=1e-4, atol=1e-5, equal_nan=True)
