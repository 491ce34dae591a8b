"""Short tales for two tiny models to learn from, and the strict reader that marks what they write.

One grammar, told twice. `make_tale` walks it with a die and fills the slots of its templates;
`check_tale` walks the same steps with the same templates turned into patterns, and keeps a book of
what every slot was bound to.

    opening  [habit]  [liking]  [length]           one paragraph
    chapter  heading, [lead] episode, [question]   once, or as often as announced
    questions, closing, end

Everything a model must choose is local or a copy: a chapter's plot depends on the plot before it
(the plots form a ring, see `next_plots`), its names on its number (see `tale_words.pool`).
"""

import random
from dataclasses import dataclass

from .tale_grammar import MAX_QUESTIONS, MIN_QUESTIONS, Fact, fill, heading, next_plots, opening_steps, recall
from .tale_plots import Plot, Step
from .tale_plots_two import PLOTS
from .tale_reader import Verdict, check_tale
from .tale_voices import ENDS, VOICES
from .tale_words import LEXICONS, ORDINALS, pool

__all__ = ["Question", "Tale", "Verdict", "check_tale", "make_tale"]

CHAPTER_PERCENT = (55, 12, 9, 7, 5, 4, 4, 4)
"""How often a tale has one chapter, two, and so on, if the length is left open."""


@dataclass(frozen=True)
class Question:
    """Half-open character ranges into a tale's text."""

    start: int
    answer_start: int  # text[:answer_start].rstrip() is the prompt that asks for the answer
    answer_end: int
    fact_start: int
    fact_end: int
    kind: str
    could_be: tuple[str, ...] = ()  # what might have been asked here: of every fact told and not yet asked for


@dataclass(frozen=True)
class Tale:
    text: str
    questions: tuple[Question, ...]
    chapters: int
    seed: int


class _Writer:
    """Walks the grammar with a die."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.text = ""
        self.bound: dict[str, str] = {}
        self.facts: list[Fact] = []  # told and not yet asked
        self.questions: list[Question] = []

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def put(self, sentence: str, paragraph: bool = False) -> int:
        """Append and return where the sentence starts."""
        self.text += "" if not self.text else "\n\n" if paragraph else " "
        start = len(self.text)
        self.text += sentence
        return start

    def say(self, ways: tuple[str, ...], paragraph: bool = False) -> int:
        return self.put(fill(self.pick(ways), self.bound), paragraph)

    def steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.optional and not self.chance(0.75):
                continue
            start = self.say(step.ways, step.paragraph)
            if step.fact:
                self.facts.append(recall(step.fact, start, len(self.text), self.bound))

    def episode(self, plot: Plot, chapter: int, lead: str) -> None:
        self.bound |= {
            slot: self.pick(pool(slot, chapter))
            for slot in ("friend", "rival", "spot", "food", "town", "number", "colour", "dread", "when")
        }
        self.bound |= {
            "adj": self.pick(plot.adjectives),
            "noun": self.pick(plot.nouns),
            "trade": self.pick(plot.trades),
            "beast": self.pick(plot.beasts),
        }
        first, *rest = plot.steps
        led = self.chance(0.6)
        if led:
            self.say((lead,), paragraph=True)
        self.steps((Step(first.ways, paragraph=not led), *rest))

    def ask(self, paragraph: bool) -> None:
        could_be = tuple(dict.fromkeys(fact.question for fact in self.facts))
        fact = self.facts.pop(int(self.rng.random() * len(self.facts)))
        before, answer, after = fact.reply
        start = self.put(f"{fact.question} {before}{answer}{after}", paragraph)
        answer_start = start + len(fact.question) + 1 + len(before)
        self.questions.append(
            Question(start, answer_start, answer_start + len(answer), fact.start, fact.end, fact.kind, could_be)
        )


def make_tale(seed: int, *, chapters: int | None = None) -> Tale:
    """The tale of this seed, the same on every machine; `chapters` (1 to 8) overrides its length."""
    writer = _Writer(seed)
    percent = int(writer.rng.random() * 100)
    if chapters is None:
        chapters = 1 + sum(percent >= sum(CHAPTER_PERCENT[: k + 1]) for k in range(7))
    if not 1 <= chapters <= 8:
        raise ValueError(f"a tale has 1 to 8 chapters, not {chapters}: there are eight pools of names")
    voice = writer.pick(VOICES)
    writer.bound = {
        slot: writer.pick(LEXICONS[slot])
        for slot in ("hero", "kind", "trait", "place", "habit", "treat", "writer", "year")
    }
    writer.bound["count"] = ORDINALS[chapters - 1]
    writer.steps(opening_steps(voice, chapters))
    plot = None
    for number in range(1, chapters + 1):
        if chapters > 1:
            writer.put(heading(number, chapters), paragraph=True)
        plot = writer.pick(next_plots(plot))
        writer.episode(PLOTS[plot], number if chapters > 1 else 0, voice.leads[number - 1])
        if number < chapters and writer.chance(0.3):
            writer.say(voice.pauses, paragraph=True)
            writer.ask(paragraph=False)
    writer.say(voice.finals, paragraph=True)
    most = min(MAX_QUESTIONS if chapters > 1 else 3, len(writer.facts))
    for _ in range(MIN_QUESTIONS + int(writer.rng.random() * (most - MIN_QUESTIONS + 1))):
        writer.ask(paragraph=True)
    writer.say(voice.closings, paragraph=True)
    writer.say(ENDS)
    return Tale(writer.text, tuple(writer.questions), chapters, seed)
