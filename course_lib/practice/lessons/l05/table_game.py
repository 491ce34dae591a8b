"""The game of 05.fork and 05.copy_on_write: block tables over one allocator, and what each should hold and read."""

from itertools import count

from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Tokens are letters: the n-th token that a program writes is the n-th letter."""


class Tables(Game):
    """Calls of block tables without tokens: which table holds which blocks. A shared last block is never written."""

    opening = (
        "from course_lib.kvcache import BlockAllocator",
        "allocator = BlockAllocator({num_blocks}, {block_size})",
    )
    lines = {
        "table": "{0} = BlockTable(allocator)",
        "append": "{0}.append_slots({1})",
        "fork": "{0} = {1}.fork()",
        "free": "{0}.free()",
    }

    def __init__(self, answer, num_blocks, block_size):
        if num_blocks < 4 or block_size < 2:
            raise Senseless  # fewer blocks make a shorter story, but not a clearer one
        self.answer, self.allocator = answer, BlockAllocator(num_blocks, block_size)
        self.tables, self.new, self.ended = {}, count(), set()
        self.right = {}  # name -> [number of tokens, blocks as the game numbers them]

    def table(self, name):
        self.tables[name], self.right[name] = self.answer(self.allocator), [0, []]
        return self.seen()

    def append(self, name, n):
        self._alive(name)
        tokens, blocks = self.right[name]
        size = self.allocator.block_size
        missing = -(-(tokens + n) // size) - len(blocks)
        if tokens % size and n and self._shares_last(name) or missing > self._free():
            raise Senseless
        self.right[name] = [tokens + n, blocks + [next(self.new) for _ in range(missing)]]
        self.tables[name].append_slots(n)
        return self.seen()

    def fork(self, name, other):
        self._alive(other)
        self.right[name] = [self.right[other][0], self.right[other][1][:]]
        self.tables[name] = self.tables[other].fork()
        if not hasattr(self.tables[name], "block_ids"):
            return Seen(f"fork() returned {a_kind(self.tables[name])}", ends=True)
        if getattr(self.tables[name], "allocator", self.allocator) is not self.allocator:
            return Seen("the fork has an allocator of its own", ends=True)
        return self.seen()

    def free(self, name):
        self._alive(name)
        self.right[name] = [0, []]
        self.ended.add(name)
        self.tables[name].free()
        return self.seen()

    def seen(self, more="", right=True):
        """The state of all tables in words. The program ends where it is wrong, or where right is False."""
        for name, table in self.tables.items():
            if not isinstance(table.block_ids, (list, tuple)):
                return Seen(f"{name}.block_ids is {a_kind(table.block_ids)}; a list is asked for", ends=True)
        real = {name: (table.num_tokens, list(table.block_ids)) for name, table in self.tables.items()}
        count, free = self.allocator.ref_count, self.allocator.num_free
        words, more = self.words(real, count, free), f"\n{more}" if more else ""
        ends = words != self.words(self.right, self._references, self._free()) or not right
        return Seen(words + more, self.words(real, count, free, ids=True) + more, ends)

    def words(self, tables, ref_count, num_free, ids=False):
        """What all tables hold. ids: blocks have their ids; else they are numbered in order of appearance."""
        order = list(dict.fromkeys(b for _, blocks in tables.values() for b in blocks))
        lines = []
        for name, (tokens, blocks) in tables.items():
            where = ", ".join(f"{b if ids else order.index(b)} ×{ref_count(b)}" for b in blocks)
            held = f"block{'s' * (len(blocks) > 1)} {where}" if blocks else "no blocks"
            lines.append(f"{name}: {self.content(name, tokens, tables)} in {held}")
        return "\n".join([*lines, f"{num_free} of {self.allocator.num_blocks} blocks free"])

    def content(self, name, tokens, tables):
        """The contents of a table, in words."""
        return f"{tokens} token{'s' * (tokens != 1)}"

    def _alive(self, name):
        if name not in self.tables or name in self.ended:
            raise Senseless

    def _references(self, block):
        return sum(block in blocks for _, blocks in self.right.values())

    def _shares_last(self, name):
        return self._references(self.right[name][1][-1]) > 1

    def _free(self):
        return self.allocator.num_blocks - len({b for _, blocks in self.right.values() for b in blocks})


class Sequences(Tables):
    """Tables with tokens: copies are made, tokens are written to the slots of append_slots, and all tables are read."""

    lines = {**Tables.lines, "append": "write_letters({0}, {1})", "together": "write_letters({0}, {1}, {2}, {3})"}
    least = {"together": 1}
    opening = (
        "from course_lib.practice.play import allocator_with_letters, write_letters",
        "allocator = allocator_with_letters({num_blocks}, {block_size})",
    )

    def __init__(self, answer, num_blocks, block_size):
        super().__init__(answer, num_blocks, block_size)
        self.pool, self.sequences, self.written = {}, {}, 0  # slot -> letter; name -> what it should read
        self.copied = 0

    def table(self, name):
        self.sequences[name] = ""
        return super().table(name)

    def fork(self, name, other):
        self._alive(other)
        self.sequences[name] = self.sequences[other]
        return super().fork(name, other)

    def free(self, name):
        self._alive(name)
        self.sequences[name] = ""
        return super().free(name)

    def append(self, name, n):
        self._alive(name)
        asked = self._ask(name, n)
        return asked if isinstance(asked, Seen) else self._written([asked])

    def together(self, name, n, other, m):
        """Two tables ask for slots in one step; both copies are made after that, and then both write."""
        self._alive(name), self._alive(other)
        if name == other or self._needs(name, n) + self._needs(other, m) > self._free():
            raise Senseless
        asked = []
        for table, wanted in ((name, n), (other, m)):
            asked.append(self._ask(table, wanted))
            if isinstance(asked[-1], Seen):
                return asked[-1]
        return self._written(asked)

    def _needs(self, name, n):
        """How many blocks the table takes for n more tokens, a copy included."""
        tokens, blocks = self.right[name]
        size = self.allocator.block_size
        return -(-(tokens + n) // size) - len(blocks) + bool(tokens % size and n and self._shares_last(name))

    def _ask(self, name, n):
        """(slots, letters, whether a copy is due); or the Seen that ends the program, or of too few blocks."""
        tokens, blocks = self.right[name]
        copies = bool(tokens % self.allocator.block_size and n and self._shares_last(name))
        needs = self._needs(name, n)
        fits = needs <= self._free()
        if fits:
            kept = blocks[:-1] + [next(self.new)] if copies else blocks[:]
            self.right[name] = [tokens + n, kept + [next(self.new) for _ in range(needs - copies)]]
        letters = "".join(LETTERS[(self.written + i) % 26] for i in range(n))
        pending = list(self.allocator.copies)
        slots = self.tables[name].append_slots(n)
        now = self.allocator.copies
        if type(now) is list and now[: len(pending)] != pending and all(pair in now for pair in pending):
            return Seen(f"a pair was put before one of another table: {pending} became {now}", ends=True)
        if slots is None or not fits:
            return self._without_slots(slots, fits)
        if type(slots) is not list or len(slots) != n:
            said = a_kind(slots) if type(slots) is not list else f"{len(slots)} slots"
            return Seen(f"append_slots({n}) returned {said}; a list of {n} slots is asked for", ends=True)
        self.sequences[name] += letters
        self.written += n
        return slots, letters, copies

    def _written(self, asked):
        """Makes the copies that are due, writes the letters of all who asked, and looks."""
        if strange := [pair for pair in self.allocator.copies if not _is_pair(pair)]:
            return Seen(f"allocator.copies holds {strange[0]!r}, which is no pair of blocks", ends=True)
        made, due = carry_out(self.allocator, self.pool), sum(copies for _, _, copies in asked)
        for slots, letters, _ in asked:
            self.pool.update(zip(slots, letters))
        return self.seen(f"{f'{made} block' + 's' * (made != 1) if made else 'nothing'} copied", right=made == due)

    def _without_slots(self, slots, fits):
        if slots is not None or fits:
            return Seen("None" if slots is None else "slots, although too few blocks are free", ends=True)
        due = bool(self.allocator.copies)
        return self.seen("None: too few blocks are free" + ", but a copy is reported" * due, right=not due)

    def content(self, name, tokens, tables):
        return repr(self.sequences[name] if tables is self.right else read(self.tables[name], self.pool))


def _is_pair(pair):
    return isinstance(pair, (tuple, list)) and len(pair) == 2 and all(type(block) is int for block in pair)


def carry_out(allocator, pool):
    """Makes the reported copies, as the owner of the pool does, and returns their number. pool: {slot: letter}."""
    size, due = allocator.block_size, list(allocator.copies)
    for source, destination in due:
        for offset in range(size):
            pool[destination * size + offset] = pool.get(source * size + offset, "·")
    allocator.copies.clear()
    return len(due)


def read(table, pool):
    """What a table reads: the letters in its slots, "·" for a slot that was never written."""
    size = table.allocator.block_size
    return "".join(
        pool.get(table.block_ids[p // size] * size + p % size, "·") if p // size < len(table.block_ids) else "·"
        for p in range(table.num_tokens)
    )


def allocator_with_letters(num_blocks, block_size):
    """An allocator with a pool of letters, to run a failing program by hand."""
    allocator = BlockAllocator(num_blocks, block_size)
    allocator.pool, allocator.letters = {}, count()
    return allocator


def write_letters(table, n, *others):
    """Appends n slots, makes the reported copies, writes the next n letters. Returns what the table reads.

    others: another table, and the number of its letters. Both ask for their slots first, as in a step of an engine;
    then the copies are made, and both write.
    """
    pairs = [(table, n), *zip(others[::2], others[1::2])]
    asked = [(one, one.append_slots(wanted)) for one, wanted in pairs]
    if any(slots is None for _, slots in asked):
        return None
    allocator = table.allocator
    carry_out(allocator, allocator.pool)
    for _, slots in asked:
        allocator.pool.update((slot, LETTERS[next(allocator.letters) % 26]) for slot in slots)
    texts = [read(one, allocator.pool) for one, _ in pairs]
    return texts if others else texts[0]


def draw(*kinds, most=6):
    """draw(random, names, setup) for programs of these kinds of steps."""

    def one(chance, names, setup):
        kind = chance.choice(kinds) if names else "table"
        new = NAMES[len(names) % len(NAMES)]
        if kind in ("table", "fork") and len(names) >= 4:
            kind = "append"
        if kind == "table":
            return kind, new
        if kind == "fork":
            return kind, new, chance.choice(names)
        if kind == "together":
            return kind, chance.choice(names), chance.randint(1, most), chance.choice(names), chance.randint(1, most)
        return (
            (kind, chance.choice(names), chance.randint(1, most)) if kind == "append" else (kind, chance.choice(names))
        )

    return one


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((8, 4), (12, 2), (9, 3), (16, 4))]


def played(game, reference, number, seed, *kinds, setups=SETUPS, lengths=(2, 12)):
    return random_trials(game, reference, draw("append", *kinds), number, seed=seed, setups=setups, lengths=lengths)
