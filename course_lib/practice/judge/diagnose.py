"""Gives a wrong answer its name, by what it does and not by how it is written."""

from . import running
from .exercise import TooSlow, agree
from .running import OutOfTime, Raised

_EVIDENCE = 3
"""So many trials must speak for a mistake before it is named."""
_SHARE = 0.8
"""So large a share of the trials where the mistake shows must be as the mistake has them."""


def diagnose(exercise, prop, counterexample, runs):
    """The Mistake that the answer makes, or None when no known one fits.

    A mistake fits when, on the counterexample and on every trial of the failed property where
    it differs from the reference, the answer does exactly what the mistake does, and when the
    other properties do not speak against it. Among several that fit, the one that explains most.
    No name is better than a wrong name.
    """
    if runs.over:
        return None
    for mistake in exercise.mistakes:
        if mistake.is_made_by is not None and _made(mistake, runs.answer, counterexample):
            return mistake
    if counterexample.trial is None:
        return None
    answers = _outcomes(exercise, runs, counterexample.trial)
    if answers is None:
        return None
    # The counterexample first, then its property: most mistakes are ruled out by the first trial.
    order = list(dict.fromkeys([counterexample.trial, *prop.trials, *exercise.trials]))
    best, best_score = None, -1.0
    for mistake in exercise.mistakes:
        for variant in mistake.variants:
            score = _fit(exercise, order, len({counterexample.trial, *prop.trials}), answers, variant)
            if score > best_score:
                best, best_score = mistake, score
    return best


def _made(mistake, answer, counterexample):
    limit_s = max(2.0, getattr(counterexample.trial, "limit_s", 0.0))  # it may run trials again, in its own way
    found, _ = running.run(lambda: mistake.is_made_by(answer, counterexample), answer, limit_s)
    return found is True  # an answer that raises when it is asked does not have this mistake


def _outcomes(exercise, runs, failed):
    """{trial: what the answer does there} of every trial and the failed one, or None where one never ended or the time was up."""
    trials = [failed, *exercise.trials]
    try:
        for trial in [*runs.done, *trials]:  # what is known already may settle it
            exercise.expected(
                trial
            )  # first, and without a clock: it may load something, and half of that is worse than none
            got, _ = runs.outcome(trial)
            if isinstance(got, Raised) and got.kind == OutOfTime.__name__:
                return None
    except TooSlow:
        return None
    return {trial: runs.done[trial][0] for trial in trials}


def _fit(exercise, order, in_property, answers, variant):
    """How well the variant explains the answer: the share of all trials alike, or -1: not at all.

    order: the counterexample, the other trials of its property (`in_property` with it), the rest.
    """
    shows = alike_where_it_shows = alike = 0
    for place, trial in enumerate(order):
        theirs = exercise.outcome(variant, trial)
        same = agree(theirs, answers[trial])
        alike += same
        if agree(theirs, exercise.expected(trial)):
            if place == 0:
                return -1.0  # the mistake does not show where the answer failed
            continue
        shows += 1
        alike_where_it_shows += same
        if not same and place < in_property:
            return -1.0
    if alike_where_it_shows < _EVIDENCE or alike_where_it_shows < _SHARE * shows:
        return -1.0
    return alike / len(order)
