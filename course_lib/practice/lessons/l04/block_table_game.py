"""Programs for 04.block_table: calls of tables over one allocator, compared with a plain count of their tokens."""

from course_lib.errors import ParameterError
from course_lib.kvcache import BlockAllocator
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials, told

from .solutions.block_table import BlockTable


class Tables(Game):
    """Block tables over one allocator of the course. Slots are compared by index in the table, not by block id."""

    opening = (
        "from course_lib.kvcache import BlockAllocator",
        "allocator = BlockAllocator(num_blocks={num_blocks}, block_size={block_size})",
    )
    lines = {
        "new": "{0} = BlockTable(allocator)",
        "append": "{0}.append_slots({1})",
        "slot": "{0}.slot({1})",
        "read": "{0}.slot({1})",
        "free": "{0}.free()",
        "fits": "{0}.append_slots({1})",
        "append_none": "{0}.append_slots({1})",
        "free_empty": "{0}.free()",
        "num_tokens": "{0}.num_tokens",
        "block_ids": "{0}.block_ids",
        "num_free": "allocator.num_free",
    }
    least = {"num_blocks": 1, "block_size": 1, "append": 1, "fits": 1}

    def __init__(self, answer, num_blocks, block_size):
        self.allocator, self.answer, self.size, self.num_blocks = (
            BlockAllocator(num_blocks, block_size),
            answer,
            block_size,
            num_blocks,
        )
        self.tables, self.tokens, self.freed = {}, {}, set()
        self.order = {}  # table -> its blocks, in the order in which their first slots were returned

    def new(self, name):
        self.tables[name], self.tokens[name], self.order[name] = self.answer(self.allocator), 0, []
        return Seen("done")

    def fits(self, name, n):
        if self._missing(name, n) > self._left():
            raise Senseless
        return self.append(name, n)

    def append_none(self, name, n):
        if n:
            raise Senseless
        return self.append(name, n)

    def append(self, name, n):
        table, start = self._live(name), self.tokens[name]
        room = self._missing(name, n) <= self._left()
        got = table.append_slots(n)
        if got is None:
            return Seen("None", "None, and nothing is changed", ends=room)
        places = " ".join(f"{p // self.size}:{p % self.size}" for p in range(start, start + n))
        order = list(self.order[name])
        words = self._placed(name, got, order)
        right = words == places
        if right and room:
            self.order[name] = order
            self.tokens[name] += n
        if type(got) is not list:
            return Seen(words, f"{got!r}: {words}, and a list is asked for", ends=True)
        return Seen(
            words,
            f"{got!r}" if not right or not room else f"{got!r}, with block_ids = {table.block_ids!r}",
            ends=not right or not room,
        )

    def read(self, name, position):
        if not 0 <= position < self.tokens[name]:
            raise Senseless
        return self.slot(name, position)

    def slot(self, name, position):
        table = self._live(name)
        inside = 0 <= position < self.tokens[name]
        try:
            got = table.slot(position)
        except ParameterError:
            return Seen("ParameterError", ends=inside)
        words = self._placed(name, [got], list(self.order[name]))
        return Seen(words, f"{got!r}", ends=not inside)

    def num_tokens(self, name):
        return Seen(repr(self.tables[name].num_tokens))

    def block_ids(self, name):
        ids = self.tables[name].block_ids
        if not isinstance(ids, (list, tuple)):
            return Seen(a_kind(ids), f"{ids!r}: {a_kind(ids)}, and a list is asked for")
        ids, others = list(ids), {b for other, table in self.tables.items() if other != name for b in table.block_ids}
        if len(set(ids)) < len(ids) or others & set(ids):
            return Seen("a block twice", f"{ids!r}: a block is in it twice, or in two tables")
        if ids[: len(self.order[name])] != self.order[name]:
            return Seen("other blocks", f"{ids!r}, but the slots that were returned are in {self.order[name]!r}")
        plural = "s" * (len(ids) != 1)
        return Seen(f"{len(ids)} own block{plural}", f"{ids!r}, {len(ids)} block{plural}")

    def num_free(self):
        return Seen(str(self.allocator.num_free))

    def free_empty(self, name):
        table = self._live(name)
        if self.tokens[name]:
            raise Senseless
        table.free()
        return Seen("no error")

    def free(self, name):
        table = self._live(name)
        if not self.tokens[name]:
            raise Senseless  # there is a step of its own for it
        self.freed.add(name)
        self.tokens[name], self.order[name] = 0, []
        table.free()
        return Seen("no error")

    def _live(self, name):
        if name in self.freed:
            raise Senseless
        return self.tables[name]

    def _missing(self, name, n):
        return -(-(self.tokens[self._called(name)] + n) // self.size) - -(-self.tokens[name] // self.size)

    def _called(self, name):
        self._live(name)
        return name

    def _left(self):
        return self.num_blocks - sum(-(-tokens // self.size) for tokens in self.tokens.values())

    def _placed(self, name, slots, order):
        """Slots as index in the table and offset, "0:3 1:0", the same for all ids. New blocks are added to `order`."""
        if type(slots) is not list:
            return a_kind(slots)
        others = {b for other, held in self.order.items() if other != name for b in held}
        places = []
        for slot in slots:
            if type(slot) is not int:
                return f"{a_kind(slot)} in place of a slot"
            b = slot // self.size
            if b not in order and 0 <= b < self.num_blocks and b not in others:
                order.append(b)
            places.append(f"{order.index(b)}:{slot % self.size}" if b in order else "outside")
        return " ".join(places)


def draw(*kinds):
    """draw(random, names, setup) for random programs of these kinds of steps."""

    def one(chance, names, setup):
        if not names or len(names) < 3 and chance.random() < 0.2:
            return "new", NAMES[len(names)]
        kind, name, size = chance.choice(kinds), chance.choice(names), setup["block_size"]
        if kind == "num_free":
            return (kind,)
        if kind in ("append", "fits"):
            return kind, name, chance.choice([1, 1, 1, 2, size, size + 1, 2 * size - 1])
        return (kind, name, chance.randint(-2, 2 * size)) if kind in ("slot", "read") else (kind, name)

    return one


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((3, 4), (4, 3), (6, 2), (8, 5), (5, 1))]


def played(number, seed, *kinds, lengths=(3, 12)):
    return random_trials(Tables, BlockTable, draw(*kinds), number, seed=seed, setups=SETUPS, lengths=lengths)


def by_hand(num_blocks, block_size, *steps):
    return told(Tables, {"num_blocks": num_blocks, "block_size": block_size}, ("new", "a"), *steps)


def one_between(num_blocks, size, *steps):
    """`a` has three blocks, and another table the one after its first."""
    return told(
        Tables,
        {"num_blocks": num_blocks, "block_size": size},
        ("new", "a"),
        ("fits", "a", size),
        ("new", "b"),
        ("fits", "b", 1),
        ("fits", "a", 2 * size),
        *steps,
    )


def lower_id_last(num_blocks, size, *steps):
    """`a` gets a block with a lower id after one with a higher id: the block that another table freed."""
    return told(
        Tables,
        {"num_blocks": num_blocks, "block_size": size},
        ("new", "b"),
        ("fits", "b", 1),
        ("new", "a"),
        ("fits", "a", (num_blocks - 1) * size),
        ("free", "b"),
        ("fits", "a", 1),
        *steps,
    )
