"""check, solution and progress, which a learner calls; hint is in hint.py."""

import os
import sys
from dataclasses import dataclass, field

from course_lib.machine.plain_characters import printable
from course_lib.source.extract import NotAlone, revive, running_shell

from .judge import registry
from .judge.diagnose import diagnose
from .judge.examine import examine
from .judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property
from .judge.guard import guarded
from .judge.handed_in import has_empty_body, unfit
from .judge.runs import Runs
from .judge.same_result import returned_again
from .judge.spoilt import right_after_others_only
from .lesson_head import lesson_titles
from .progress import workbook
from .progress.sources import take

_MISSING = object()


class CheckFailed(AssertionError):
    """A check that did not pass, where a failure must be an error: in tests and under nbgrader."""


@dataclass(frozen=True)
class Verdict:
    """What became of one property."""

    prop: Property
    state: str
    """holds | fails | not reached | not verified"""
    remark: str = ""
    counterexample: Counterexample | None = None
    mistake: Mistake | None = None
    """The known mistake that the answer makes, if one was found."""
    unfinished: tuple[str, ...] = ()
    """What was not looked for because the time was up: sentences for the learner."""


class Shown:
    """Displays itself: as HTML in a notebook, as plain text elsewhere."""

    def _repr_html_(self):
        from .report import render

        return render.html(self)

    def __str__(self):
        from .report import render

        return printable(render.text(self))

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class CheckResult(Shown):
    """The outcome of a check. True when passed."""

    exercise: Exercise
    state: str
    """passed | failed | unwritten (still the stub) | unfit (not something that can be checked)"""
    verdicts: list[Verdict] = field(default_factory=list)
    message: str = ""
    """What is the matter, for unwritten and unfit."""
    notices: list[str] = field(default_factory=list)
    """What else the learner must know: code that was not saved, progress that was not written."""
    kept: bool = False
    """Whether the workbook now holds the learner's code."""

    @property
    def exercise_id(self):
        return self.exercise.id

    @property
    def failure(self):
        """The Verdict that failed, or None."""
        return next((v for v in self.verdicts if v.state == "fails"), None)

    def count(self, state):
        return sum(v.state == state for v in self.verdicts)

    def __bool__(self):
        return self.state == "passed"

    def raise_if_failed(self):
        """Raises CheckFailed with the whole text unless the check passed. Returns the result."""
        if not self:
            raise CheckFailed(str(self))
        return self


def check(exercise_id, answer=_MISSING):
    """Checks an answer: check("01.greedy", greedy). Returns a CheckResult, which displays itself.

    exercise_id: such as "01.greedy". answer: the function or class that the exercise asks for. Raises
    CourseError for an unknown id; under nbgrader, CheckFailed when the answer is not right.
    """
    exercise = registry.find(exercise_id)
    graded = "NBGRADER_EXECUTION" in os.environ
    result = judge(exercise, None if answer is _MISSING else answer, given=answer is not _MISSING)
    if graded:  # into the workbook of this run, where the teaching tools look for it
        workbook.record_check(exercise.id, not_kept(exercise) if result else None)
        if not result and running_shell():
            sys.modules["IPython"].display.display(result)  # in the feedback it stands as the learner knows it
        return result.raise_if_failed()
    return recorded(result, answer)


def judge(exercise, answer, *, given=True, slow=True, budget_s=None, runs=None):
    """The CheckResult for an answer, with nothing recorded. `slow=False` leaves slow properties out.

    budget_s: seconds that the answer may work in all its trials together; default: the exercise's. runs: the Runs of
    this answer, where some of its outcomes are known already.
    """
    message = unfit(exercise, answer, given)
    if message:
        return CheckResult(exercise, "unfit", message=message)
    if has_empty_body(answer):
        return CheckResult(exercise, "unwritten", message=unwritten(exercise))
    verdicts, failed = [], False
    with guarded(answer) as guard:
        runs = runs or Runs(answer, exercise.budget_s if budget_s is None else budget_s)
        for prop in exercise.properties:
            if failed:
                verdicts.append(Verdict(prop, "not reached"))
            elif slow or not prop.slow:
                verdicts.append(verdict := examined(exercise, prop, runs))
                failed = verdict.state == "fails"
                if failed and is_stub(verdict):
                    return CheckResult(exercise, "unwritten", message=unwritten(exercise))
        if not failed and (later := right_after_others_only(exercise, runs) or returned_again(exercise, runs)):
            prop, found = later
            at, failed = exercise.properties.index(prop), True
            verdicts[at:] = [Verdict(prop, "fails", counterexample=found, mistake=found.mistake)]
            verdicts += [Verdict(rest, "not reached") for rest in exercise.properties[at + 1 :]]
    return CheckResult(exercise, "failed" if failed else "passed", verdicts, notices=[*guard.notices.values()])


def examined(exercise, prop, runs):
    """The Verdict on one property."""
    try:
        return Verdict(prop, "holds", examine(exercise, prop, runs) or "")
    except NotVerified as reason:
        return Verdict(prop, "not verified", str(reason))
    except Counterexample as found:
        diagnosis = diagnose(exercise, prop, found, runs)
        unfinished = tuple(filter(None, (found.unfinished, diagnosis.stopped)))
        return Verdict(prop, "fails", counterexample=found, mistake=diagnosis.mistake, unfinished=unfinished)


def is_stub(verdict):
    found = verdict.counterexample
    return found.raised and found.outcome.unwritten


def unwritten(exercise):
    return f"`{exercise.name}` is not written yet. Write its body, run its cell, then run this one again."


def recorded(result, answer):
    """The result, written to the workbook; with the notices that this brings."""
    exercise, passed, notices = result.exercise, None, [*result.notices]
    if result.state in ("unfit", "unwritten"):
        return result
    if result:
        passed = {"when": workbook.now(), "name": exercise.name, "source": ""}
        try:
            passed["name"], passed["source"] = standing_alone(exercise, answer)
        except NotAlone as reason:
            passed["why_not"] = str(reason)
            notices.append(f"Passed, but your code was not saved for later lessons: {reason}")
    notices += workbook.record_check(exercise.id, passed)
    return CheckResult(
        exercise, result.state, result.verdicts, result.message, notices, bool(passed and passed["source"])
    )


def not_kept(exercise):
    """The table of a pass (see workbook.Entry) in a run by nbgrader, which has no later lessons to keep code for."""
    return {"when": workbook.now(), "name": exercise.name, "source": "", "why_not": "a graded run keeps no code."}


def standing_alone(exercise, answer):
    """(name, source) of an answer that was seen to pass again from its source. Raises NotAlone."""
    name, source = take(answer, exercise.name)
    again = judge(exercise, revive(source, name, f"workbook {exercise.id}"), slow=False)
    if not again:
        raise NotAlone(
            "alone, without the rest of your notebook, it does not pass. Does it keep something in a variable outside?"
        )
    return name, source


@dataclass(frozen=True, repr=False)
class Solution(Shown):
    """The answer, with why it is written like this."""

    exercise: Exercise
    source: str


def solution(exercise_id):
    """Shows the answer of the exercise `exercise_id`, such as "01.greedy". Raises CourseError for an unknown id."""
    exercise = registry.find(exercise_id)
    return Solution(exercise, registry.solution_of(exercise))


@dataclass(frozen=True, repr=False)
class Progress(Shown):
    """The table of all exercises."""

    exercises: list[Exercise]
    entries: dict
    guesses: dict[str, dict]
    """{question id: guess}, see workbook.record_guess"""
    notices: list[str]
    titles: dict[str, str] = field(default_factory=dict)
    """{lesson: title}, of those whose notebook is here"""

    @property
    def done(self):
        return sum(self.entries[e.id].state == "done" for e in self.exercises)

    def lessons(self):
        """{lesson: [(Exercise, Entry)]} in course order."""
        table = {}
        for exercise in self.exercises:
            table.setdefault(exercise.lesson, []).append((exercise, self.entries[exercise.id]))
        return table

    def count_guesses(self, lesson=""):
        """(right guesses, guesses at questions that have an answer), in one lesson or in all."""
        judged = [
            guess["right"]
            for question_id, guess in self.guesses.items()
            if question_id.startswith(lesson) and guess.get("right") is not None
        ]
        return sum(judged), len(judged)


def progress():
    """The map: of each lesson what is done, guessed right and open; of those that are begun, each exercise."""
    entries, notices = workbook.entries()
    exercises = list(registry.exercises().values())
    full = {e.id: entries.get(e.id, workbook.Entry()) for e in exercises}
    return Progress(exercises, full, workbook.guesses()[0], notices, lesson_titles())
