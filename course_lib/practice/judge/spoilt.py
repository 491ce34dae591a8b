"""Finds the run of an answer that spoils a later one, or one that only an earlier one makes right."""

from .exercise import Counterexample
from .limits import Stopwatch
from .outcome_text import side_by_side
from .running import Raised
from .runs import TooSlow

_MOST_TRIED = 300
"""At most so many earlier runs are tried as the one that spoils a later one."""


def after_another(exercise, trial, runs, before):
    """The Counterexample of a trial that is right alone and wrong after others; None where it is wrong alone too.

    before: the trials that were run earlier, the smallest first. Afterwards `runs` runs each trial as handed in.
    """
    expected, kept = exercise.expected(trial), runs.kept
    changed = kept.changed()  # empty where this run cleared what an earlier one had left
    if not changed and (kept.is_empty() or runs.over):
        return None
    failed = got, printed = runs.done.pop(trial)
    runs.alone = True
    if not trial.agree(expected, runs.outcome(trial)[0]):
        return None
    story = ["# after the cases before this one, in the same notebook:", *trial.story]
    at_fault = changed[0] if changed else None
    try:
        for first in [trial, *before][:_MOST_TRIED]:
            again = _second(runs, first, trial)
            if not trial.agree(expected, again[0]):
                changed = changed or _left(runs, first)
                if not changed:
                    break  # it does not do the same each time, and keeps nothing
                at_fault = _at_fault(exercise, runs, first, trial, changed)
                trial = _smaller(exercise, runs, first, trial, again[0])
                expected, (got, printed) = exercise.expected(trial), _second(runs, first, trial)
                story = [*first.story, "# and after it:", *trial.story]
                break
    except TooSlow:
        pass  # the story is longer then
    if at_fault is None:
        runs.done[trial] = failed
        return None
    return Counterexample(
        story,
        *side_by_side(trial, expected, got),
        trial.note,
        printed=printed,
        trial=trial,
        outcome=got,
        mistake=kept.mistake(*at_fault),
    )


def right_after_others_only(exercise, runs):
    """(Property, Counterexample) of a trial that is wrong where the answer is run as it was handed in; or None.

    For an answer that passed and keeps something from run to run. It is not looked at for longer than a check may take.
    """
    if not (changed := runs.kept.changed()):
        return None
    watch = Stopwatch()
    for prop in exercise.properties:
        for trial in sorted(prop.trials, key=lambda t: t.size):
            if watch.seconds() > runs.budget_s:
                return None
            runs.kept.restore()
            got, printed = trial.outcome(runs.answer)
            expected = exercise.expected(trial)
            if not trial.agree(expected, got):
                story = ["# the first call after the cell of your answer was run:", *trial.story]
                sides, mistake = side_by_side(trial, expected, got), runs.kept.mistake(*changed[0])
                more = {"printed": printed, "trial": trial, "outcome": got, "mistake": mistake}
                return prop, Counterexample(story, *sides, trial.note, **more)
    return None


def _smaller(exercise, runs, first, trial, got):
    """The smallest trial made from this one that is wrong after `first`."""

    def fails(other):
        expected = exercise.expected_in_smaller(other)
        if isinstance(expected, Raised):
            return None
        outcome, _ = _second(runs, first, other)
        return None if other.agree(expected, outcome) else outcome

    return trial.smaller(fails, got) if trial.smaller else trial


def _second(runs, first, trial, only=None):
    """(outcome, printed text) of `trial` after `first`. only: what is brought back between the two."""
    runs.kept.restore()
    runs.run(first)
    if only:
        runs.kept.restore(only)
    return runs.run(trial)


def _left(runs, first):
    """What is no longer as it was handed in after the trial `first`."""
    runs.kept.restore()
    runs.run(first)
    return runs.kept.changed()


def _at_fault(exercise, runs, first, trial, changed):
    """The one of `changed` with which brought back the trial is right after `first`; the first one if there is none."""
    expected = exercise.expected(trial)
    return next((one for one in changed if trial.agree(expected, _second(runs, first, trial, one)[0])), changed[0])
