"""The game of 11.swap: requests in a small memory are swapped out and in."""

from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials

from .swap_memory import SwapMemory


class Swapping(Game):
    """Programs on a SwapMemory. What each sequence must hold is known from what was written."""

    opening = (
        "from course_lib.practice.play import SwapMemory",
        "memory = SwapMemory(SwapSpace, num_blocks={num_blocks}, block_size={block_size})",
    )
    lines = {
        "write": "{0} = memory.write({1})",
        "append": "memory.append({0}, {1})",
        "swap_out": "memory.swap_out({0})",
        "replace": "{0} = memory.replace({1}, {2})",
        "swap_in": "memory.swap_in({0}, found={1})",
        "exchange": "memory.exchange({0}, {1})",
        "swap_out_both": "memory.swap_out_both({0}, {1})",
        "swap_in_both": "memory.swap_in_both({0}, {1})",
    }
    least = {"write": 1, "append": 1, "replace": 1, "num_blocks": 1, "block_size": 1}

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

    def append(self, name, n):
        length = self._length(name)
        self._sense(inside=[name], fits=self._blocks(length + n) - self._blocks(length) <= self._free())
        self.memory.append(self.by_name[name], n)
        return self._seen()

    def swap_out(self, name):
        self._sense(inside=[name])
        self.memory.swap_out(self.by_name[name])
        return self._seen()

    def replace(self, name, other, n):
        fits = self._blocks(n) <= self._free() + self._blocks(self._length(other)) and name not in self.by_name
        self._sense(inside=[other], fits=fits)
        self.by_name[name] = self.memory.replace(self.by_name[other], n)
        return self._seen()

    def swap_in(self, name, found):
        length = self._length(name)
        self._sense(away=[name], fits=self._blocks(length) <= self._free() and found * self.memory.size <= length)
        self.memory.swap_in(self.by_name[name], found)
        return self._seen()

    def exchange(self, out, back):
        fits = self._blocks(self._length(back)) <= self._free() + self._blocks(self._length(out))
        self._sense(inside=[out], away=[back], fits=fits)
        self.memory.exchange(self.by_name[out], self.by_name[back])
        return self._seen()

    def swap_out_both(self, one, other):
        self._sense(inside=[one, other], fits=one != other)
        self.memory.swap_out_both(self.by_name[one], self.by_name[other])
        return self._seen()

    def swap_in_both(self, one, other):
        fits = one != other and self._blocks(self._length(one)) + self._blocks(self._length(other)) <= self._free()
        self._sense(away=[one, other], fits=fits)
        self.memory.swap_in_both(self.by_name[one], self.by_name[other])
        return self._seen()

    def _seen(self):
        """What is where, and what is wrong. The program ends where anything is wrong."""
        text, right = str(self.memory), "\n".join(self.memory.lines(right=True))
        return Seen(text, ends=text != right)


def draw(chance, names, setup):
    """A step of a random program; see programs.random_trials."""
    kind = (
        chance.choice(("write", "append", "swap_out", "replace", "swap_in", "swap_in", "exchange"))
        if names
        else "write"
    )
    some = [chance.choice(names or "a") for _ in "ab"]
    if kind in ("write", "replace") and len(names) < 6:
        return (kind, NAMES[len(names)], *([some[0]] if kind == "replace" else []), chance.randint(1, 6))
    if kind == "exchange":
        return kind, *some
    if kind == "swap_in":
        return kind, some[0], chance.choice((0, 0, 1))
    return (kind, some[0], chance.randint(1, 4)) if kind == "append" else ("swap_out", some[0])


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((3, 2), (4, 2), (2, 4), (5, 1), (4, 3))]


def played(reference, number, seed, lengths=(4, 12)):
    return random_trials(Swapping, reference, draw, number, seed=seed, setups=SETUPS, lengths=lengths)
