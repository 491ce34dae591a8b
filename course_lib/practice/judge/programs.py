"""Random programs that call a learner's class. One that fails is made as small as possible and shown line by line.

A program is a row of calls, played on the learner's object. Beside it a `Game` keeps a plain model of what must be
true, so that any right answer passes, whatever ids it gives. The rules of a game are a class:

    class Counting(Game):
        opening = ("counter = Counter({start})",)  # the first lines, filled in from the setup
        lines = {"add": "counter.add({0})", "total": "counter.total"}  # one for each kind of step

        def __init__(self, answer, start):
            self.counter, self.sum = answer(start), start

        def add(self, n):
            self.counter.add(n)
            self.sum += n
            return Seen("done")

        def total(self):
            return Seen(str(self.counter.total))

    trials = random_trials(Counting, Counter, draw, 50, seed=0, setups=[{"start": 0}])
    fixed = told(Counting, {"start": 1}, ("add", 2), ("total",))

A step is a tuple: its kind, and arguments. A string among them is the name of a variable. The step makes this variable
if its line begins with "{0} = ", and uses it otherwise.
"""

import random
from dataclasses import dataclass, field

from .exercise import Trial
from .limits import SMALLER_PROGRAMS, TRIAL_S
from .shrinking import shrunk

NAMES = "abcdefghijklmnopqrstuvwxyz"
"""The names of variables, in the order in which a random program makes them. It makes no more than these."""


class Senseless(Exception):
    """A game raises it, before it does anything, for a step that no program may have there, such as to use a None."""


@dataclass(frozen=True)
class Seen:
    """What one step showed. Two are equal when their `what` is."""

    what: str
    """What was seen, in words that do not depend on the ids that the learner's class gave."""
    detail: str = field(default="", compare=False)
    """The same with the learner's own values, for the reader."""
    ends: bool = field(default=False, compare=False)
    """The model no longer knows what is true, so the program stops here."""

    def __str__(self):
        return self.detail or self.what


class Game:
    """The rules of one kind of program; see above. A game is made anew for each play: Game(answer, **setup)."""

    opening = ()
    lines = {}
    least = {}
    """{kind of step, or name in the setup: the least that shrinking may lower its numbers to}. Else 0."""


@dataclass(frozen=True)
class Program:
    """Steps of a game, from the beginning. setup: {name: value}, what the first lines and the game begin with."""

    game: type
    setup: dict
    steps: tuple

    def play(self, answer):
        """The Seen of each step, up to the first that ends it. Exceptions that the game does not expect go through."""
        game, seen = self.game(answer, **self.setup), []
        for kind, *args in self.steps:
            seen.append(getattr(game, kind)(*args))
            if seen[-1].ends:
                break
        return seen

    def story(self):
        """The lines that a learner can type."""
        opening = [line.format(**self.setup) for line in self.game.opening]
        return opening + [self.game.lines[kind].format(*args) for kind, *args in self.steps]

    @property
    def size(self):
        """How much there is to read: lines first, then numbers."""
        return 1000 * len(self.steps) + numbers(self.setup.values()) + sum(numbers(args) for _, *args in self.steps)

    def trial(self, note="", limit_s=TRIAL_S):
        """The Trial of this program, which knows how to make itself smaller."""

        def smaller(fails, got):
            return smallest(self, trial, fails, got)

        trial = Trial(
            self.story(),
            self.play,
            show=last_seen,
            both=where_they_part,
            size=self.size,
            note=note,
            limit_s=limit_s,
            smaller=smaller,
            case=(self.game, repr(self.setup), repr(self.steps)),
        )
        return trial

    def without(self, begin, end):
        """The program without steps [begin, end), and without those that use what these made."""
        gone = {made(self.game, step) for step in self.steps[begin:end]} - {None}
        rest = []
        for step in self.steps[end:]:
            makes = made(self.game, step)
            used = {arg for arg in step[1:] if isinstance(arg, str)} - {makes}
            if not used & gone:
                rest.append(step)
                gone -= {makes}
            elif makes:
                gone.add(makes)
        return Program(self.game, self.setup, (*self.steps[:begin], *rest))

    def renamed(self):
        """The program with its variables called a, b, c in the order in which they are made."""
        order = [makes for step in self.steps if (makes := made(self.game, step))]
        new = dict(zip(dict.fromkeys(order), NAMES))
        return Program(
            self.game, self.setup, tuple((kind, *(new.get(arg, arg) for arg in args)) for kind, *args in self.steps)
        )

    def shorter(self):
        """Programs with steps left out, many at once first, then one by one; from the end."""
        chunk = max(1, len(self.steps) // 2)
        while True:
            for end in range(len(self.steps), 0, -chunk):
                yield self.without(max(0, end - chunk), end)
            if chunk == 1:
                return
            chunk //= 2

    def lower(self):
        """Programs with one number made smaller, in the steps and in the setup."""
        for name, value in self.setup.items():
            for less in below(value, self.game.least.get(name, 0)):
                yield Program(self.game, {**self.setup, name: less}, self.steps)
        for at, step in enumerate(self.steps):
            for place, value in enumerate(step):
                for less in below(value, self.game.least.get(step[0], 0)):
                    yield Program(
                        self.game,
                        self.setup,
                        (*self.steps[:at], (*step[:place], less, *step[place + 1 :]), *self.steps[at + 1 :]),
                    )


def smallest(program, trial, fails, got):
    """The Trial of the smallest failing program that leaving out steps and lowering numbers leads to; at first `trial`.

    fails, got: see shrinking.shrunk.
    """

    def candidates(program, got):
        ended = len(got) if isinstance(got, list) else len(program.steps)  # nothing was played after it
        yield program.without(ended, len(program.steps))
        yield from program.shorter()
        yield from program.lower()

    def trial_of(other):
        return other.trial(trial.note, trial.limit_s)

    program, found = shrunk(
        program, trial, got, candidates=candidates, trial_of=trial_of, fails=fails, most=SMALLER_PROGRAMS
    )
    tidy = trial_of(program.renamed())
    return tidy if fails(tidy) is not None else found


def told(game, setup, *steps, note=""):
    """The Trial of a program written by hand."""
    return Program(game, dict(setup), steps).trial(note)


def random_trials(game, reference, draw, number, *, seed=0, setups=({},), lengths=(1, 12)):
    """`number` Trials of random programs, the same for the same seed; steps that make no sense are left out.

    draw(random, names, setup) -> a step; names: the variables made so far, of which the next is NAMES[len(names)].
    reference: a right answer, with which the programs are tried. lengths: least and most steps.
    """
    chance, trials = random.Random(seed), []
    while len(trials) < number:
        setup, steps, names = dict(chance.choice(setups)), [], []
        playing = game(reference, **setup)
        for _ in range(chance.randint(*lengths)):
            step = draw(chance, tuple(names), setup)
            try:
                getattr(playing, step[0])(*step[1:])
            except Senseless:
                continue
            steps.append(step)
            if made(game, step):
                names.append(step[1])
        if steps:
            trials.append(Program(game, setup, tuple(steps)).trial())
    return trials


def made(game, step):
    """The name of the variable that the step makes, or None."""
    return step[1] if game.lines[step[0]].startswith("{0} = ") else None


def numbers(values):
    return sum(abs(value) for value in values if type(value) is int)


def below(value, least):
    """Whole numbers below a value, but not below `least`, that are tried in its place; the smallest first."""
    return sorted({max(least, value // 2), value - 1}) if type(value) is int and value > least else []


def last_seen(outcome):
    """What the last step showed: where a failing program and the right answer differ."""
    return str(outcome[-1]) if isinstance(outcome, list) and outcome else repr(outcome)


def where_they_part(expected, got):
    """What the first step showed in which two plays of a program differ."""
    for a, b in zip(expected, got):
        if a != b:
            return str(a), str(b)
    return last_seen(expected), last_seen(got)
