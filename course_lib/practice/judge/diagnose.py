"""Gives a wrong answer its name, by what it does and not by how it is written.

The search is bounded by counting: each known mistake is compared once in each trial. Where the clock ended it, the
Diagnosis says so.
"""

from dataclasses import dataclass

from . import running
from .agreement import differ_in_floats_only
from .examine import is_out_of_time, time_is_up
from .exercise import Mistake
from .limits import IS_MADE_BY_S
from .runs import TooSlow

_EVIDENCE = 3
"""At least this many trials must speak for a mistake before it is named."""
_SHARE = 0.8
"""In at least this share of the trials where the mistake shows, the answer must do as the mistake does."""


@dataclass(frozen=True)
class Diagnosis:
    """What the search for a known mistake found."""

    mistake: Mistake | None = None
    stopped: str = ""
    """Why it was not searched to its end: a sentence, or ""."""


def diagnose(exercise, prop, counterexample, runs):
    """The Diagnosis of an answer that fails `prop` with `counterexample`.

    A mistake fits when the answer does what the mistake does, on the counterexample and on every trial of the failed
    property where the mistake differs from the reference, and when the other properties do not speak against it. Among
    several that fit, the one that explains most is taken. No name is better than a wrong name.
    """
    if counterexample.mistake is not None:
        return Diagnosis(counterexample.mistake)
    never_ends = is_out_of_time(counterexample.outcome)  # the learner sees that, so it is not said again
    if runs.over:
        return Diagnosis(stopped="" if never_ends else f"No known mistake was looked for: {time_is_up(runs)}.")
    for mistake in exercise.mistakes:
        if mistake.is_made_by is None or mistake.last:
            continue
        made, stopped = _made(mistake, runs.answer, counterexample)
        if made or stopped and not never_ends:
            return Diagnosis(mistake if made else None, stopped)
    if counterexample.trial is None or never_ends:
        return Diagnosis()
    try:
        best = _best(exercise, prop, counterexample.trial, _Outcomes(exercise, runs))
    except _Stopped as reason:
        return Diagnosis(stopped=str(reason))
    return Diagnosis(best or _last(exercise, runs, counterexample))


def _last(exercise, runs, counterexample):
    """The first mistake of those that are asked last, or None."""
    asked = (mistake for mistake in exercise.mistakes if mistake.last)
    return next((mistake for mistake in asked if _made(mistake, runs.answer, counterexample)[0]), None)


def _made(mistake, answer, counterexample):
    """(whether the mistake says that the answer makes it, why that was not found out)."""
    limit_s = max(IS_MADE_BY_S, getattr(counterexample.trial, "limit_s", 0.0))  # it may run trials again
    found, _ = running.run(lambda: mistake.is_made_by(answer, counterexample), answer, limit_s)
    if is_out_of_time(found):
        return False, f"Known mistakes were not looked for to the end: your code was stopped after {limit_s:g} s."
    return found is True, ""  # an answer that raises when it is asked does not have this mistake


class _Stopped(Exception):
    """The search ended early. The message says why."""


class _Outcomes(dict):
    """{trial: what the answer does there}, found out when it is asked for. Raises _Stopped where it is not known."""

    def __init__(self, exercise, runs):
        super().__init__()
        self.exercise, self.runs = exercise, runs

    def __missing__(self, trial):
        self.exercise.expected(trial)  # first, and without a clock: it may load something that must not be interrupted
        try:
            got, _ = self.runs.outcome(trial)
        except TooSlow:
            raise _Stopped(f"No known mistake was looked for: {time_is_up(self.runs)}.") from None
        if is_out_of_time(got):
            raise _Stopped(f"No known mistake was looked for: another case was stopped after {trial.limit_s:g} s.")
        self[trial] = self.runs.done[trial][0]
        return self[trial]


def _best(exercise, prop, failed, answers):
    """The mistake that explains the answer best, or None."""
    # The counterexample first, then its property: most mistakes are ruled out by the first trial. The answer is run in
    # the trials of other properties only where a mistake fits so far.
    order = list(dict.fromkeys([failed, *prop.trials, *exercise.trials]))
    in_property = len({failed, *prop.trials})
    best, best_score = None, -1.0
    for mistake in exercise.mistakes:
        for variant in mistake.variants if mistake.ends else ():
            score = _fit(exercise, order, in_property, answers, variant)
            if score > best_score:
                best, best_score = mistake, score
    return best


def _fit(exercise, order, in_property, answers, variant):
    """How well the variant explains the answer: the share of all trials alike, or -1: not at all.

    order: the counterexample, the other trials of its property (`in_property` with it), the rest.
    """
    shows = alike_where_it_shows = same_in_all = 0
    for place, trial in enumerate(order):
        theirs = exercise.outcome(variant, trial)
        same, is_right = trial.alike(theirs, answers[trial]), exercise.is_right(variant, trial)
        same_in_all += same
        # It does not show where the answer failed, or shows in the same property and does something else.
        if place == 0 and is_right or not is_right and not same and place < in_property:
            if not differ_in_floats_only(theirs, answers[trial]) or exercise.is_steady(variant, trial):
                return -1.0
            continue  # how its sums are rounded decides what it does here, so this trial says nothing
        if not is_right:
            shows += 1
            alike_where_it_shows += same
    if alike_where_it_shows < _EVIDENCE or alike_where_it_shows < _SHARE * shows:
        return -1.0
    return same_in_all / len(order)
