"""Programs for 04.allocator: calls of an allocator, compared with a plain count of the holders of each block."""

from collections import Counter

from course_lib.errors import IntegrityError, LedgerError
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials, told

from .solutions.allocator import BlockAllocator


class Changed(Exception):
    """A list that allocate returned is not the same any more: the answer keeps it and writes into it."""


class Blocks(Game):
    """Calls of an allocator. A variable is not used any more once its freed blocks may have been allocated again."""

    least = {"num_blocks": 1, "block_size": 1, "give_some": 1, "allocate": 1}
    opening = ("allocator = BlockAllocator(num_blocks={num_blocks}, block_size={block_size})",)
    lines = {
        "allocate": "{0} = allocator.allocate({1})",
        "allocate_one": "{0} = allocator.allocate()",
        "allocate_few": "{0} = allocator.allocate({1})",
        "free": "allocator.free({0})",
        "give_back": "allocator.free({0})",
        "give_some": "allocator.free({0}[:{1}])",
        "free_both": "allocator.free({0} + {1})",
        "free_id": "allocator.free({0} + [{1}])",
        "fork": "allocator.fork({0})",
        "share": "allocator.fork({0})",
        "fork_both": "allocator.fork({0} + {1})",
        "share_twice": "allocator.fork({0} + {1})",
        "share_often": "for _ in range({1}): allocator.fork({0})",
        "fork_id": "allocator.fork({0} + [{1}])",
        "num_free": "allocator.num_free",
        "ref_counts": "[allocator.ref_count(b) for b in {0}]",
        "sizes": "(allocator.num_blocks, allocator.block_size)",
        "integrity": "allocator.check_integrity()",
    }

    def __init__(self, answer, num_blocks, block_size):
        self.allocator, self.num_blocks = answer(num_blocks, block_size), num_blocks
        self.held = {}  # block -> its number of holders; blocks without a holder are not in it
        self.known = {}  # variable -> what allocate returned
        self.given = {}  # variable -> the ids that were in it then
        self.turns = {}  # variable -> {block: which allocation of that block it was, counted from 1}
        self.times = Counter()  # block -> how often it was allocated
        self.loose = {}  # (block, turn) that was freed -> whether the block may have been allocated since

    def sizes(self):
        return Seen(str((self.allocator.num_blocks, self.allocator.block_size)))

    def num_free(self):
        value = self.allocator.num_free
        return (
            Seen("a method", "a method; it is read without brackets, so put @property above it")
            if callable(value)
            else Seen(repr(value))
        )

    def ref_counts(self, name):
        return Seen(str([self.allocator.ref_count(b) for b in self._blocks(name)]))

    def integrity(self):
        try:
            got = self.allocator.check_integrity()
        except IntegrityError as error:
            return Seen("IntegrityError", f"IntegrityError: {error}", ends=True)
        return Seen("no error") if got is None else Seen("something is returned", f"it returns {got!r}", ends=True)

    def allocate_one(self, name):
        return self.allocate(name, None)

    def allocate_few(self, name, n):
        if n > self.num_blocks - len(self.held):
            raise Senseless
        return self.allocate(name, n)

    def allocate(self, name, n):
        try:
            got = self.allocator.allocate() if n is None else self.allocator.allocate(n)
        except LedgerError:
            return Seen("LedgerError", ends=True)
        if any(got is other for other in self.known.values() if other is not None):
            return Seen("a list that was returned before", ends=True)
        n, left = 1 if n is None else n, self.num_blocks - len(self.held)
        words = self._judged(got, n)
        if got is None and n > left:
            self.known[name] = None
            return Seen("None", "None, and nothing is allocated")
        if words != blocks(n) or n > left:
            return Seen(words, "None" if got is None else f"{got!r}: {words}", ends=True)
        self.held.update(dict.fromkeys(got, 1))
        self.times.update(got)
        self.known[name], self.given[name], self.turns[name] = got, list(got), {b: self.times[b] for b in got}
        if n:
            self.loose = dict.fromkeys(self.loose, True)  # any free block may have been chosen
        return Seen(words, f"{words}, such as {got!r}" if n else "[]")

    def _judged(self, got, n):
        """What allocate(n) returned, in words: the same words for answers that differ only in the ids."""
        if type(got) is not list:
            return a_kind(got)
        strange = [b for b in got if type(b) is not int or not 0 <= b < self.num_blocks]
        if strange:
            return f"an id that does not exist; there are 0 to {self.num_blocks - 1}"
        if len(set(got)) < len(got):
            return "the same block twice"
        if any(b in self.held for b in got):
            return "a block that is in use"
        return blocks(len(got))

    def free(self, name):
        return self._release(self._blocks(name))

    def give_back(self, name):
        return self._release(self._blocks(name), only_held=True)

    def give_some(self, name, n):
        return self._release(self._blocks(name)[:n], only_held=True)

    def free_both(self, one, other):
        return self._release(self._blocks(one) + self._blocks(other))

    def free_id(self, name, block_id):
        if 0 <= block_id < self.num_blocks:
            raise Senseless
        return self._release(self._blocks(name) + [block_id])

    def fork(self, name):
        return self._share(self._blocks(name))

    def share(self, name):
        if any(b not in self.held for b in self._blocks(name)):
            raise Senseless
        return self._share(self._blocks(name))

    def fork_both(self, one, other):
        return self._share(self._blocks(one) + self._blocks(other))

    def share_twice(self, one, other):
        if any(b not in self.held for b in self._blocks(one) + self._blocks(other)):
            raise Senseless
        return self._share(self._blocks(one) + self._blocks(other))

    def share_often(self, name, times):
        return [self.share(name) for _ in range(times)][-1]

    def fork_id(self, name, block_id):
        if 0 <= block_id < self.num_blocks:
            raise Senseless
        return self._share(self._blocks(name) + [block_id])

    def _blocks(self, name):
        """The blocks of a variable: the same list object that the answer returned."""
        got = self.known.get(name)
        if got is not None and got != self.given[name]:
            raise Changed(f"{name} is {got!r} by now; allocate returned {self.given[name]!r}")
        if got is None or any(self.loose.get(turn) for turn in self.turns[name].items()):
            raise Senseless
        return got

    def _release(self, given, only_held=False):
        refused = any(given.count(b) > self.held.get(b, 0) for b in given)
        if refused and only_held:
            raise Senseless
        seen = self._call(self.allocator.free, given, refused)
        if not seen.ends and not refused:
            for b in given:
                self.held[b] -= 1
                if self.held[b] == 0:
                    del self.held[b]
                    self.loose[b, self.times[b]] = False
        return seen

    def _share(self, given):
        refused = any(b not in self.held for b in given)
        seen = self._call(self.allocator.fork, given, refused)
        if not seen.ends and not refused:
            for b in given:
                self.held[b] += 1
        return seen

    def _call(self, act, given, refused):
        """Calls act(given) and says whether it raised LedgerError. refused: whether it must."""
        before = list(given)
        try:
            act(given)
        except LedgerError:
            return Seen("LedgerError", ends=not refused)
        if given != before:
            return Seen(
                "the caller's list was changed",
                f"the list that was passed is {given!r} after the call, it was {before!r}",
                ends=True,
            )
        return Seen("no error", ends=refused)


def blocks(n):
    return f"{n} free block{'s' * (n != 1)}"


def draw(*kinds):
    """draw(random, names, setup) for random programs of these kinds of steps."""

    def one(chance, names, setup):
        kind, new = chance.choice(kinds), NAMES[len(names)]
        if kind == "allocate_one":
            return kind, new
        if kind.startswith("allocate") or not names:
            most = setup["num_blocks"] if kind == "allocate" else 2
            return kind if kind.startswith("allocate") else "allocate", new, chance.choice([1, 1, 2, 2, 3, most])
        if kind in ("num_free", "integrity"):
            return (kind,)
        more = {
            "give_some": chance.randint(1, 2),
            "free_both": chance.choice(names),
            "fork_both": chance.choice(names),
            "free_id": chance.choice([setup["num_blocks"], setup["num_blocks"] + 2, -1, -setup["num_blocks"]]),
            "fork_id": chance.choice([setup["num_blocks"], setup["num_blocks"] + 2, -1, -setup["num_blocks"]]),
        }
        return (kind, chance.choice(names), more[kind]) if kind in more else (kind, chance.choice(names))

    return one


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((2, 4), (3, 2), (4, 16), (5, 3), (8, 4))]


def played(number, seed, *kinds, lengths=(2, 12)):
    return random_trials(Blocks, BlockAllocator, draw(*kinds), number, seed=seed, setups=SETUPS, lengths=lengths)


def by_hand(num_blocks, *steps, block_size=4):
    return told(Blocks, {"num_blocks": num_blocks, "block_size": block_size}, *steps)
