"""The guesses of a lesson again, at its end: what was expected beside what it was."""

from dataclasses import dataclass, field

from .check import Shown
from .predict import asked
from .progress import workbook


@dataclass(frozen=True)
class Guessed:
    """One question, what the learner expected, and what it was."""

    question: str
    expected: str = ""
    """The option that was clicked; "" for no guess."""
    it_was: str = ""
    """The right option; "" where the question does not say."""

    @property
    def right(self):
        """Whether the guess was right; None for no guess, or no right option."""
        return self.expected == self.it_was if self.expected and self.it_was else None


@dataclass(frozen=True, repr=False)
class Guesses(Shown):
    """The questions of a lesson that were asked. Displays itself."""

    lesson: str
    rows: list[Guessed]
    notices: list[str] = field(default_factory=list)


def guesses(lesson):
    """What you expected in a lesson, beside what it was: guesses("10") at its end. Returns Guesses, which display.

    Shown are the questions that this kernel has asked, and those of earlier days with a guess.
    """
    lesson = str(lesson).zfill(2)
    kept, notices = workbook.guesses()
    found = {}
    for question_id, (question, options, answer) in asked.items():
        found[question_id] = Guessed(
            question, kept.get(question_id, {}).get("option", ""), "" if answer is None else options[answer]
        )
    for question_id, guess in kept.items():
        if question_id not in found and guess.get("question"):
            found[question_id] = Guessed(guess["question"], guess.get("option", ""), guess.get("answer", ""))
    return Guesses(lesson, [row for key, row in found.items() if key.startswith(f"{lesson}.")], notices)
