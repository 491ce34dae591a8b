"""What an exercise is made of: properties that must hold, and the mistakes people make.

An exercise is checked by behaviour alone. A `Trial` is one small program that is run with the
learner's answer and with the reference; a `Property` is a row of trials, smallest first, with
one sentence about them that must be true. A `Mistake` is itself an answer, a wrong one: the
learner's answer has that mistake when it does what the wrong answer does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import running
from .agreement import agree, alike
from .limits import CHECK_S, TRIAL_S
from .running import Raised

MOST_SMALLER = 20_000
"""So many outcomes of smaller trials are kept at most."""


class Counterexample(Exception):
    """The smallest program found for which a property does not hold.

    story: lines of code that reproduce it. expected, got: what should come out, and what did, as text. note: a few
    words beside what is expected. remark: a sentence on how the two differ. failing: how many cases failed, or None
    where not all were run. printed: what the learner's code wrote meanwhile. trial, outcome: where it came from, and
    what the answer did there. unfinished: why the search for the smallest case ended early: a sentence, or "".
    mistake: the Mistake, where the way in which it was found says which it is.
    only_kind: whether the values are right and of another kind, such as 1.0 for 1; the remark says it.
    """

    def __init__(
        self,
        story,
        expected,
        got,
        note="",
        *,
        remark="",
        failing=None,
        printed="",
        trial=None,
        outcome=None,
        unfinished="",
        mistake=None,
        only_kind=False,
    ):
        super().__init__(f"expected {expected}, got {got}")
        self.story, self.expected, self.got, self.note, self.remark = list(story), expected, got, note, remark
        self.failing, self.printed, self.trial, self.outcome = failing, printed, trial, outcome
        self.unfinished, self.mistake, self.only_kind = unfinished, mistake, only_kind

    @property
    def raised(self):
        """Whether the answer raised an exception, or was stopped."""
        return isinstance(self.outcome, Raised)


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
    limit_s: float = TRIAL_S
    """The answer is stopped after so many seconds of work."""
    rounding: float = 1.0
    """How many times the usual rounding counts as the same; see agreement.rounding_of_exp and EXACT."""
    smaller: Callable[[Callable, Any], Any] | None = None
    """smaller(fails, outcome): the smallest failing trial made from this one; see programs.py."""
    case: Any = None
    """What it was made from, if it can be made smaller: trials with equal ones are the same program."""

    def outcome(self, answer, *, timed=True):
        """What the answer does here: (outcome, printed text). An exception is an outcome too."""
        return running.run(lambda: self.act(answer), answer, self.limit_s if timed else None)

    def agree(self, expected, got):
        """Whether two outcomes are the same here; see agreement.agree."""
        return agree(expected, got, self.rounding)

    def alike(self, mistaken, got):
        """Whether an answer does here what a known mistake does; see agreement.alike."""
        return alike(mistaken, got, self.rounding)


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
    last: bool = False
    """Whether is_made_by is asked only where no other mistake fits."""
    ends: bool = True
    """Whether the wrong answer ends in all trials. One that does not is never run to compare: is_made_by tells it."""

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
    budget_s: float = CHECK_S
    """The answer may work for so many seconds in all trials together."""
    _outcomes: dict = field(default_factory=dict, repr=False, compare=False)
    _right: dict = field(default_factory=dict, repr=False, compare=False)
    _steady: dict = field(default_factory=dict, repr=False, compare=False)
    _smaller: dict = field(default_factory=dict, repr=False, compare=False)

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

    def run(self, answer, trial):
        """(outcome, printed text) of one of our own answers, right or wrong, in a trial; worked out once."""
        key = answer, trial
        if key not in self._outcomes:
            self._outcomes[key] = trial.outcome(answer, timed=False)  # ours end, see Mistake.ends
        return self._outcomes[key]

    def outcome(self, answer, trial):
        """What one of our own answers does in a trial."""
        return self.run(answer, trial)[0]

    def is_right(self, answer, trial):
        """Whether one of our own answers does in a trial what the reference does; worked out once."""
        key = answer, trial
        if key not in self._right:
            self._right[key] = trial.agree(self.outcome(answer, trial), self.expected(trial))
        return self._right[key]

    def is_steady(self, answer, trial):
        """Whether one of our own answers does the same in a trial however its sums are rounded; worked out once."""
        from .rounding import is_steady  # it imports torch

        key = answer, trial
        if key not in self._steady:
            self._steady[key] = is_steady(answer, trial, self.outcome(answer, trial))
        return self._steady[key]

    def expected(self, trial):
        """What the reference does in a trial."""
        return self.outcome(self.reference, trial)

    def expected_in_smaller(self, trial):
        """The same for a trial that was made from one of the exercise: many answers lead to the same ones."""
        if trial.case is None:
            return trial.outcome(self.reference, timed=False)[0]
        known, key = self._smaller, (self.reference, trial.case)
        if key not in known:
            if len(known) >= MOST_SMALLER:
                known.clear()
            known[key] = trial.outcome(self.reference, timed=False)[0]
        return known[key]
