"""Looks whether one property of an exercise holds for an answer, and finds the smallest trial where it does not."""

from .exercise import Counterexample
from .limits import OutOfTime
from .outcome_text import explained, other_kind, side_by_side, written_alike
from .running import Raised
from .runs import TooSlow
from .spoilt import after_another


def examine(exercise, prop, runs):
    """Runs one property. Returns a remark or None; raises Counterexample or NotVerified."""
    if prop.run is not None:
        return prop.run(runs.answer)
    first, failing, unfinished = None, 0, ""
    before = list(runs.done)
    for trial in sorted(prop.trials, key=lambda t: t.size):
        expected = exercise.expected(trial)
        try:
            got, printed = runs.outcome(trial)
        except TooSlow:
            if first is None:
                raise too_slow(exercise, trial, runs) from None
            unfinished = f"Not all {exercise.cases} were run: {time_is_up(runs)}."
            break
        if trial.agree(expected, got):
            before.append(trial)
            continue
        if first is None:
            if spoilt := after_another(exercise, trial, runs, sorted(before, key=lambda t: t.size)):
                raise spoilt
            if not runs.is_too_long(trial):
                got, printed = runs.outcome(trial)  # run anew where an earlier one had left something behind
        failing += 1
        if first is None:
            first = trial, expected, got, printed
        if is_out_of_time(got):  # the others would take as long: nothing is said about how many fail
            unfinished = f"The {exercise.cases} after one that did not end were not run."
            break
    if first is None:
        return None
    trial, expected, got, printed = first
    if trial.smaller is not None:
        fails = Fails(exercise, runs)
        trial = trial.smaller(fails, got)
        expected, (got, printed) = exercise.expected(trial), runs.outcome(trial)
        unfinished = unfinished or fails.stopped
    sides = side_by_side(trial, expected, got)
    raise Counterexample(
        trial.story,
        *sides,
        trial.note,
        remark=explained(trial, expected, got) or (written_alike(expected, got) if sides[0] == sides[1] else ""),
        only_kind=bool(other_kind(expected, got)),
        failing=None if unfinished else failing,
        printed=printed,
        trial=trial,
        outcome=got,
        unfinished=unfinished,
    )


class Fails:
    """Fails(exercise, runs)(trial) -> what the answer does in a trial that the exercise does not have, if it is wrong.

    None where it is right, where the trial makes no sense (the reference raises), and after the search was stopped.
    """

    def __init__(self, exercise, runs):
        self.exercise, self.runs = exercise, runs
        self.stopped = ""
        """Why no smaller trial was tried any more: a sentence, or "" where all were."""

    def __call__(self, trial):
        if self.stopped:
            return None
        if self.runs.over:
            self.stopped = f"There may be a smaller case: {time_is_up(self.runs)}."
            return None
        expected = self.exercise.expected_in_smaller(trial)
        if isinstance(expected, Raised):
            return None
        got, _ = self.runs.outcome(trial)
        if is_out_of_time(got):
            self.stopped = f"There may be a smaller case: one that was tried was stopped after {trial.limit_s:g} s."
            return None
        return None if trial.agree(expected, got) else got


def is_out_of_time(outcome):
    return isinstance(outcome, Raised) and outcome.out_of_time


def time_is_up(runs):
    return f"your code had worked for {runs.budget_s:g} s, the time of a check"


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
