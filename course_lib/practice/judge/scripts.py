"""Scripts of requests that arrive, and the first step at which two timelines of a script differ.

A Script says when each request arrives. `play(answer, script)` runs an answer on it and returns a Timeline: a column
for each step, a cell for each request. A trial runs it with the learner's answer and with the reference, and shows both
up to the first step that differs. A script that fails is made smaller: fewer requests, lower numbers.

    def play(answer, script):  # of an exercise's own ...
        line = Timeline()
        for step in range(script.most_steps):
            waiting += [a for a in script.arrivals if a.step == step]
            ...
            line.column({"a": "D", "b": "P4", "c": "W"}, {"budget": 3})  # cells, and rows below them
        return line

    def play(answer, script):  # ... or the one for classes that are made like Scheduler, see replay.py
        return replay(answer, script.arrivals, **script.setup)

    CALL, IMPORTS = "replay({answer}, {arrivals}, {setup})", "from course_lib.practice.play import Arrival, replay"
    script = Script((Arrival("a", prompt=4, max_tokens=2), Arrival("b", step=1)), {"max_num_seqs": 1})
    trial = script_trial(play, script, CALL, "MyScheduler", imports=IMPORTS)

A cell is a letter and a number or nothing: "P4" is a prompt of which 4 tokens are computed in this step. See
report/timeline_text.py for the letters. What a number means is the exercise's: `Timeline(numbers={"P": "writes {n}"})`.
"""

from dataclasses import dataclass, field, fields, replace

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.practice.report.timeline_text import both, difference

from .exercise import Trial
from .limits import SMALLER_SCRIPTS, TRIAL_S
from .programs import below
from .shrinking import shrunk


@dataclass(frozen=True)
class Arrival:
    """One request of a script.

    step: before which it arrives. prompt: its number of tokens. abort: the step before which it is aborted, or None.
    """

    name: str
    step: int = 0
    prompt: int = 1
    max_tokens: int = 1
    client: str = "default"
    priority: int = 0
    abort: int | None = None

    def __str__(self):
        given = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        return f"Arrival({', '.join([repr(self.name), *given])})"

    def request(self, number=0):
        """A Request for the engine. Requests of different numbers have no token in common."""
        ids = [1000 * (number + 1) + at for at in range(self.prompt)]
        return Request(
            self.name,
            ids,
            SamplingParams(max_tokens=self.max_tokens, ignore_eos=True),
            priority=self.priority,
            client=self.client,
            arrival=float(self.step),
        )


@dataclass(frozen=True)
class Script:
    """When each request arrives, and the numbers that go with it: {"max_num_seqs": 2}."""

    arrivals: tuple
    setup: dict = field(default_factory=dict)

    @property
    def most_steps(self):
        """A bound for any answer: in so many steps each token could be computed four times, one token a step."""
        return (
            10
            + max((a.step for a in self.arrivals), default=0)
            + 4 * sum(a.prompt + a.max_tokens for a in self.arrivals)
        )

    @property
    def size(self):
        """How much there is to read: requests first, then numbers."""
        given = sum(a.step + a.prompt + a.max_tokens + abs(a.priority) + (a.abort or 0) for a in self.arrivals)
        others = sum(len(str(a)) for a in self.arrivals)
        return (
            10_000 * len(self.arrivals) + 100 * given + others + sum(v for v in self.setup.values() if type(v) is int)
        )

    def lines(self, call, name):
        """The lines that a learner can type. call: "replay({answer}, {arrivals}, {setup})"; name: the answer's."""
        made = [f"{a.name} = {a}" for a in self.arrivals]
        setup = ", ".join(f"{key}={value!r}" for key, value in self.setup.items())
        arrivals = f"[{', '.join(a.name for a in self.arrivals)}]"
        return [*made, call.format(answer=name, arrivals=arrivals, setup=setup).replace(", )", ")")]

    def smaller(self, least):
        """Scripts with a request less, or with one number lowered. least: {name: the least it may become}; else 0."""
        for at in reversed(range(len(self.arrivals))):
            if len(self.arrivals) > 1:
                yield replace(self, arrivals=(*self.arrivals[:at], *self.arrivals[at + 1 :]))
        for at, arrival in enumerate(self.arrivals):
            if arrival.abort is not None:
                yield self._with(at, abort=None)
            for name in ("step", "prompt", "max_tokens", "priority"):
                for less in below(getattr(arrival, name), {"prompt": 1, "max_tokens": 1, **least}.get(name, 0)):
                    yield self._with(at, **{name: less})
            if arrival.abort is not None:
                for less in below(arrival.abort, arrival.step + 1):
                    yield self._with(at, abort=less)
        for name, value in self.setup.items():
            for less in below(value, least.get(name, 1)):
                yield replace(self, setup={**self.setup, name: less})

    def _with(self, at, **changes):
        return replace(
            self, arrivals=(*self.arrivals[:at], replace(self.arrivals[at], **changes), *self.arrivals[at + 1 :])
        )


def random_script(chance, setup, *, most=5, steps=6, prompts=9, answers=6, aborts=0.0):
    """A Script of 1 to `most` requests. chance: a random.Random. aborts: the share that is aborted."""
    arrivals = []
    for name in "abcdefghijkl"[: chance.randint(1, most)]:
        step = chance.randint(0, steps)
        abort = step + chance.randint(1, answers) if chance.random() < aborts else None
        arrivals.append(Arrival(name, step, chance.randint(1, prompts), chance.randint(1, answers), abort=abort))
    return Script(tuple(sorted(arrivals, key=lambda arrival: (arrival.step, arrival.name))), dict(setup))


def script_trial(
    play, script, call, name, *, imports="", note="", least=None, limit_s=TRIAL_S, explain=difference, more=None
):
    """The Trial of a script, which knows how to make itself smaller.

    play(answer, script) -> Timeline. call, name: how the last line of the story reads, see Script.lines; imports: its
    first line. least: {number of a script: the least that shrinking may lower it to}. more(script): a sentence on what
    the script asks for.
    """

    def smaller(fails, got):
        """The Trial of the smallest failing script that leaving out requests and lowering numbers leads to."""
        _, found = shrunk(
            script,
            trial,
            got,
            candidates=lambda other, got: other.smaller(least or {}),
            trial_of=made,
            fails=fails,
            most=SMALLER_SCRIPTS,
        )
        return found

    def made(other):
        return script_trial(
            play,
            other,
            call,
            name,
            imports=imports,
            least=least,  # the note is of this script, not of the other
            limit_s=limit_s,
            explain=explain,
            more=more,
        )

    def said(expected, got):
        return explain(expected, got) + (f" {more(script)}" if more else "")

    story = [*([imports] if imports else []), *script.lines(call, name)]
    trial = Trial(
        story,
        lambda answer: play(answer, script),
        show=str,
        note=note,
        explain=said,
        both=both,
        size=script.size,
        limit_s=limit_s,
        smaller=smaller,
        case=(play, repr(script)),
    )
    return trial
