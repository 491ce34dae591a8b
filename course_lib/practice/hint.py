"""hint, which a learner calls: the next of the hints that stand with the exercise in lessons/."""

from dataclasses import dataclass

from .check import Shown
from .judge import registry
from .judge.exercise import Exercise
from .progress import workbook


@dataclass(frozen=True, repr=False)
class Hint(Shown):
    """One hint, or all of them again."""

    exercise: Exercise
    shown: list[str]
    number: int
    """Of the last hint shown here; counted from 1."""
    again: bool
    notices: list[str]

    @property
    def last(self):
        return self.number == len(self.exercise.hints)


def hint(exercise_id):
    """The next hint for an exercise, one step further each time.

    exercise_id: such as "01.greedy". Raises CourseError for an unknown id.
    """
    exercise = registry.find(exercise_id)
    seen = min(workbook.entry(exercise.id).hints, len(exercise.hints))
    if seen == len(exercise.hints):
        return Hint(exercise, list(exercise.hints), seen, True, [])
    notices = workbook.record_hint(exercise.id, seen + 1)
    return Hint(exercise, [exercise.hints[seen]], seen + 1, False, notices)
