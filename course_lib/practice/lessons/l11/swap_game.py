"""The game of 11.swap: texts in a small memory leave it and come back. And the engine that a learner's SwapSpace serves."""

from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials

from .swap_memory import SwapMemory


class Swapping(Game):
    """Programs on a SwapMemory. What each text should read is known from what was written."""

    opening = (
        "from course_lib.practice.play import SwapMemory",
        "memory = SwapMemory(SwapSpace, num_blocks={num_blocks}, block_size={block_size})",
    )
    lines = {
        "write": "{0} = memory.write({1})",
        "more": "memory.more({0}, {1})",
        "out": "memory.out({0})",
        "instead": "{0} = memory.instead({1}, {2})",
        "back": "memory.back({0}, found={1})",
        "turn": "memory.turn({0}, {1})",
    }
    least = {"write": 1, "more": 1, "instead": 1, "num_blocks": 1, "block_size": 1}

    def __init__(self, answer, num_blocks, block_size):
        self.memory, self.by_name = SwapMemory(answer, num_blocks, block_size), {}

    def _blocks(self, tokens):
        return -(-tokens // self.memory.size)

    def _sense(self, *, inside=(), away=(), fits=True):
        named = self.by_name
        if not fits or any(name not in named or named[name].request_id not in self.memory.tables for name in inside):
            raise Senseless
        if any(name not in named or named[name].request_id in self.memory.tables for name in away):
            raise Senseless

    def _free(self):
        return len(self.memory.free)

    def _length(self, name):
        return self.by_name[name].num_computed_tokens if name in self.by_name else 0

    def write(self, name, n):
        self._sense(fits=self._blocks(n) <= self._free() and name not in self.by_name)
        self.by_name[name] = self.memory.write(n)
        return self._seen()

    def more(self, name, n):
        length = self._length(name)
        self._sense(inside=[name], fits=self._blocks(length + n) - self._blocks(length) <= self._free())
        self.memory.more(self.by_name[name], n)
        return self._seen()

    def out(self, name):
        self._sense(inside=[name])
        self.memory.out(self.by_name[name])
        return self._seen()

    def instead(self, name, other, n):
        fits = self._blocks(n) <= self._free() + self._blocks(self._length(other)) and name not in self.by_name
        self._sense(inside=[other], fits=fits)
        self.by_name[name] = self.memory.instead(self.by_name[other], n)
        return self._seen()

    def back(self, name, found):
        length = self._length(name)
        self._sense(away=[name], fits=self._blocks(length) <= self._free() and found * self.memory.size <= length)
        self.memory.back(self.by_name[name], found)
        return self._seen()

    def turn(self, out, back):
        fits = self._blocks(self._length(back)) <= self._free() + self._blocks(self._length(out))
        self._sense(inside=[out], away=[back], fits=fits)
        self.memory.turn(self.by_name[out], self.by_name[back])
        return self._seen()

    def _seen(self):
        """What is where, and what is wrong with it; ends the program where anything is."""
        text, right = str(self.memory), "\n".join(self.memory.lines(right=True))
        return Seen(text, ends=text != right)


def draw(chance, names, setup):
    """A step of a random program; see programs.random_trials."""
    kind = chance.choice(("write", "more", "out", "instead", "back", "back", "turn")) if names else "write"
    some = [chance.choice(names or "a") for _ in "ab"]
    if kind in ("write", "instead") and len(names) < 6:
        return (kind, NAMES[len(names)], *([some[0]] if kind == "instead" else []), chance.randint(1, 6))
    if kind == "turn":
        return kind, *some
    if kind == "back":
        return kind, some[0], chance.choice((0, 0, 1))
    return (kind, some[0], chance.randint(1, 4)) if kind == "more" else ("out", some[0])


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((3, 2), (4, 2), (2, 4), (5, 1), (4, 3))]


def played(reference, number, seed, lengths=(4, 12)):
    return random_trials(Swapping, reference, draw, number, seed=seed, setups=SETUPS, lengths=lengths)
