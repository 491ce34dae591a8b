"""The strict reader of tales: does a text keep to the grammar, and if not, where does it leave it?"""

import re
from dataclasses import dataclass
from functools import cache

from .tale_grammar import (
    MAX_QUESTIONS,
    MIN_QUESTIONS,
    SLOT,
    Fact,
    fill,
    heading,
    next_plots,
    opening_steps,
    plain,
    recall,
)
from .tale_plots import Plot, Step
from .tale_plots_two import PLOTS
from .tale_voices import ENDS, VOICES
from .tale_words import COUNTS, LEXICONS, ORDINALS, article, pool


@dataclass(frozen=True)
class Verdict:
    ok: bool
    problem: str = ""


def _words(slot: str, plot: Plot | None) -> tuple[str, ...]:
    if plot is not None:
        own = {"adj": plot.adjectives, "noun": plot.nouns, "trade": plot.trades, "beast": plot.beasts}
        if slot in own:
            return own[slot]
    return COUNTS if slot == "count" else LEXICONS[slot]


@cache
def _pattern(template: str, plot: Plot | None) -> re.Pattern:
    """The template as a pattern; group `slot__i` holds the i-th use of a slot."""
    parts, end = [], 0
    template = plain(template)
    for i, slot in enumerate(SLOT.finditer(template)):
        words = sorted(_words(slot[2], plot), key=len, reverse=True)
        group = "|".join(re.escape(f"{article(w)} {w}" if slot[1] else w) for w in words)
        parts.append(re.escape(template[end : slot.start()]))
        parts.append(f"(?P<{'a_' if slot[1] else ''}{slot[2]}__{i}>{group})")
        end = slot.end()
    return re.compile("".join(parts) + re.escape(template[end:]))


class _Wrong(Exception):
    """The text left the grammar; the reader knows where."""


class _Reader:
    """Walks the grammar along a text; `trouble` is the furthest point where it did not fit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.bound: dict[str, str] = {}
        self.facts: list[Fact] = []
        self.asked: set[str] = set()
        self.chapter = 0
        self.trouble = (-1, 0, "")  # place, how sure, what is wrong

    def note(self, sureness: int, problem: str, place: int | None = None) -> None:
        place = self.at if place is None else place
        if (place, sureness) > self.trouble[:2]:
            self.trouble = (place, sureness, problem)

    def fail(self, problem: str = "") -> None:
        if problem:
            self.note(3, problem)
        raise _Wrong

    def glue(self, paragraph: bool) -> int | None:
        """Where the next sentence starts, if the right white space stands before it."""
        space = "" if not self.at else "\n\n" if paragraph else " "
        if self.text.startswith(space, self.at) and self.text[self.at + len(space) :][:1].strip():
            return self.at + len(space)
        what = "a new paragraph" if paragraph else "one space and a sentence"
        ended = self.at == len(self.text)
        self.note(0, "the tale stops too early" if ended else f"expected {what} here")
        return None

    def take(self, ways: tuple[str, ...], paragraph: bool = False, plot: Plot | None = None) -> bool:
        """Read one of `ways`, if the text and the book of bindings allow."""
        place = self.glue(paragraph)
        if place is None:
            return False
        for way in ways:
            found = _pattern(way, plot).match(self.text, place)
            if found is None:
                self.miss(way, ways[0], place, plot)
                continue
            bound = self.bind(found)
            if bound is not None:
                self.bound, self.at = bound, found.end()
                return True
        return False

    def miss(self, way: str, example: str, place: int, plot: Plot | None) -> None:
        """Note the first sentence of `way` that the text does not hold."""
        cuts = [end.end() for end in re.finditer(r'[.!?]"?(?= )', way)]
        for cut in reversed(cuts):
            if found := _pattern(way[:cut], plot).match(self.text, place):
                self.note(1, f'expected "{_hint(way[cut + 1 :], self.bound)}"', found.end() + 1)
                return
        self.note(1, f'expected "{_hint(example, self.bound)}"', place)

    def bind(self, found: re.Match) -> dict[str, str] | None:
        bound = dict(self.bound)
        for group, value in found.groupdict().items():
            slot = group.split("__")[0]
            if slot.startswith("a_"):
                slot, value = slot[2:], value.split(" ", 1)[1]
            known = bound.setdefault(slot, value)
            if known != value:
                self.note(2, f'"{value}" should be "{known}", as told before', found.start())
                return None
            if slot in LEXICONS and value not in pool(slot, self.chapter):
                self.note(2, f'"{value}" belongs to another chapter', found.start())
                return None
        return bound

    def steps(self, steps: tuple[Step, ...], plot: Plot | None = None) -> None:
        for step in steps:
            before = self.at
            if self.take(step.ways, step.paragraph, plot):
                if step.fact:
                    start = before + len(self.text[before:]) - len(self.text[before:].lstrip())
                    self.facts.append(recall(step.fact, start, self.at, self.bound))
            elif not step.optional:
                self.fail()

    def opening(self):
        for voice in VOICES:
            if self.take(voice.openings, paragraph=True):
                self.steps(opening_steps(voice, 1)[1:])
                self.take(voice.lengths)
                return voice
        self.fail('expected one of the openings, such as "Once upon a time"')

    def episode(self, lead: str, previous: int | None, told: dict[str, str]) -> int:
        self.bound = dict(told)
        led = self.take((lead,), paragraph=True)
        told = dict(self.bound)
        for index, plot in enumerate(PLOTS):
            self.bound = dict(told)
            before = self.at
            if not self.take(plot.steps[0].ways, not led, plot):
                continue
            if index not in next_plots(previous):
                self.at = before
                self.fail(f'the plot "{plot.name}" may not follow "{PLOTS[previous].name}"')
            self.steps(plot.steps[1:], plot)
            return index
        self.fail("expected the beginning of an episode")

    def ask(self, paragraph: bool) -> bool:
        """Read a question about a fact that was told and not yet asked, and its right answer."""
        place = self.glue(paragraph)
        if place is None:
            return False
        for fact in self.facts:
            if not self.text.startswith(fact.question + " ", place):
                continue
            reply = "".join(fact.reply)
            if fact.question in self.asked:
                self.note(3, "this was asked before", place)
            elif not self.text.startswith(reply, place + len(fact.question) + 1):
                self.note(3, f'the answer should be "{reply}"', place + len(fact.question) + 1)
            else:
                self.asked.add(fact.question)
                self.at = place + len(fact.question) + 1 + len(reply)
                return True
            raise _Wrong
        self.note(
            2 if "?" in re.split(r"[.!]|\n", self.text[place:])[0] else 1,
            "expected a question about something told in this tale",
            place,
        )
        return False

    def tale(self) -> None:
        voice = self.opening()
        told = dict(self.bound)
        chapters = ORDINALS.index(told["count"]) + 1 if "count" in told else 1
        plot = None
        for number in range(1, chapters + 1):
            due = heading(number, chapters)
            if chapters > 1 and not self.take((due,), paragraph=True):
                self.fail(f'expected "{due}", for {told["count"]} chapters were announced')
            self.chapter = number if chapters > 1 else 0
            plot = self.episode(voice.leads[number - 1], plot, told)
            if number < chapters and self.take(voice.pauses, paragraph=True) and not self.ask(False):
                self.fail()
        self.bound = told
        if not self.take(voice.finals, paragraph=True):
            self.fail()
        most, count = MAX_QUESTIONS if chapters > 1 else 3, 0
        while count < most and self.ask(paragraph=True):
            count += 1
        if count < MIN_QUESTIONS:
            self.fail()
        if not self.take(voice.closings, paragraph=True) or not self.take(ENDS):
            self.fail()
        if self.at != len(self.text):
            self.fail("expected nothing after the end")


def _hint(template: str, bound: dict[str, str]) -> str:
    """The template with what is known filled in, and the rest named in angle brackets."""
    slots = {slot[2] for slot in SLOT.finditer(plain(template))}
    return fill(template, {slot: f"<{slot}>" for slot in slots} | bound)


def check_tale(text: str) -> Verdict:
    """Whether `text` is a tale of exactly this grammar; if not, where it leaves it and why."""
    reader = _Reader(text)
    try:
        reader.tale()
    except _Wrong:
        place, _, problem = reader.trouble
        number = len(re.findall(r'[.!?]"?\s', text[:place])) + 1
        rest = text[place:].strip()
        sentence = re.match(r'.*?[.!?]"?(?=\s|$)|.*', rest)[0]
        return Verdict(False, f'Sentence {number} ("{sentence[:120]}"): {problem}.')
    return Verdict(True)
