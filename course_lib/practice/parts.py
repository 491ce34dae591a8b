"""The parts that a learner has written, each checked again before it is used, and the reference for the rest."""

from dataclasses import dataclass

from course_lib.errors import CourseError

from .check import judge
from .judge import registry
from .progress import workbook


@dataclass(frozen=True)
class Part:
    """One part: a class or a function."""

    exercise_id: str
    value: object
    why_not: str = ""
    """Why this is the reference's; "" where it is the learner's own."""

    @property
    def is_yours(self):
        return not self.why_not


class Parts(dict):
    """{exercise id: class or function}. As text it is one line that says whose each part is."""

    def __init__(self, found):
        super().__init__({part.exercise_id: part.value for part in found})
        self.found = list(found)

    def __missing__(self, exercise_id):
        raise CourseError(
            f"These parts hold no {exercise_id!r}, only {', '.join(self)}. Name it where you load them: "
            f"load_parts({', '.join(map(repr, [*self, exercise_id]))})."
        )

    def __str__(self):
        yours = [part.exercise_id for part in self.found if part.is_yours]
        others = [f"{part.exercise_id} ({part.why_not})" for part in self.found if not part.is_yours]
        said = [f"Yours: {', '.join(yours)}."] if yours else []
        return " ".join([*said, f"The reference's: {', '.join(others)}."] if others else said)

    __repr__ = __str__


def load_parts(*exercise_ids):
    """Parts for these exercises: the learner's own where it passes its check now, else the reference's.

    Raises CourseError for an unknown id, and without one.
    """
    if not exercise_ids:
        raise CourseError(
            'load_parts needs the ids of exercises. Name them: load_parts("04.allocator", "11.priority").'
        )
    return Parts([_part(registry.find(exercise_id)) for exercise_id in exercise_ids])


def _part(exercise):
    passed = workbook.entry(exercise.id).passed
    if not passed:
        return Part(exercise.id, exercise.reference, "not passed yet")
    if not passed.get("source"):
        return Part(exercise.id, exercise.reference, "passed, but its code was not saved")
    try:
        mine = workbook.load(exercise.id)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it is the learner's code at its top level
        return Part(exercise.id, exercise.reference, f"yours raises {type(error).__name__} when it is loaded")
    if not judge(exercise, mine, slow=False):
        return Part(exercise.id, exercise.reference, "yours no longer passes its check")
    return Part(exercise.id, mine)
