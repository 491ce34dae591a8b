"""What the writer and the reader of tales share: the order of things and the filling of slots."""

import re
from dataclasses import dataclass

from .tale_plots import FACTS, Step
from .tale_plots_two import PLOTS
from .tale_voices import HABIT_WAYS, LIKED_WAYS
from .tale_words import ORDINALS, article

MAX_JUMP = 3
"""A chapter's plot is at most this far on in the ring: 7 jumps of 3 stay below a ring of 22."""
MIN_QUESTIONS, MAX_QUESTIONS = 2, 6
SLOT = re.compile(r"\{(a:)?(\w+)\}")


@dataclass(frozen=True)
class Fact:
    """A fact as told, at text[start:end], and how it is asked for."""

    kind: str
    start: int
    end: int
    question: str
    reply: tuple[str, str, str]  # before the answer, the answer, after it


def next_plots(previous: int | None) -> tuple[int, ...]:
    """Places in the ring where the next episode may be; any for the first."""
    if previous is None:
        return tuple(range(len(PLOTS)))
    return tuple((previous + jump) % len(PLOTS) for jump in range(1, MAX_JUMP + 1))


def opening_steps(voice, chapters: int) -> tuple[Step, ...]:
    length = (Step(voice.lengths),) if chapters > 1 else ()
    return (
        Step(voice.openings, paragraph=True),
        Step(HABIT_WAYS, optional=True),
        Step(LIKED_WAYS, fact="liked", optional=True),
        *length,
    )


def heading(number: int, chapters: int) -> str:
    """It says how many chapters there are, so that the end of one tells whether another follows."""
    return f"Chapter {ORDINALS[number - 1]} of {ORDINALS[chapters - 1]}."


def plain(template: str) -> str:
    return template.replace("{a:thing}", "{a:adj} {noun}").replace("{thing}", "{adj} {noun}")


def fill(template: str, bound: dict[str, str]) -> str:
    def word(slot: re.Match) -> str:
        value = bound[slot[2]]
        return f"{article(value)} {value}" if slot[1] else value

    return SLOT.sub(word, plain(template))


def recall(name: str, start: int, end: int, bound: dict[str, str]) -> Fact:
    form = FACTS[name]
    before, after = form.reply.split("{" + form.answer + "}")
    reply = (fill(before, bound), bound[form.answer], fill(after, bound))
    return Fact(name, start, end, fill(form.question, bound), reply)
