"""What the records of memory mean: every block and every block table after each step of a trace.

Plain lists and dicts, no torch. `replayed` yields one Memory, which goes on from step to step: `memory.ref` and
`memory.tables` are the state after the step, `memory.happened` what the step did.
"""

from course_lib.errors import ParameterError

from .records import MEMORY_FIELDS

BLOCK_EVENTS = ("allocate", "share", "free", "evict")  # these come before the table event that they belong to
TABLE_EVENTS = ("append", "hit", "fork", "copy", "slide", "shrink", "end")
NO_BLOCK = -1  # in a table: a place whose block was given back, because no token sees its tokens any more


def memory_rows(rows):
    """Those of the rows that a Memory takes."""
    return [row for row in rows if row[1] in MEMORY_FIELDS and row[1] != "text"]


def texts_of(rows):
    """{request: the text of each of its tokens}, as far as the trace tells."""
    return {row[2]: row[3] for row in rows if row[1] == "text"}


def cuts_of(rows, by):
    """Where the steps of a view end: indices into rows, exclusive.

    by: "step" (as recorded) or "event" (one thing that happened).
    """
    cuts = []
    grouped = any(row[1] in TABLE_EVENTS for row in rows)  # without tables each block event is a step of its own
    for index, row in enumerate(rows):
        after = rows[index + 1] if index + 1 < len(rows) else None
        if by == "step":
            ends = after is None or after[0] != row[0]
        else:
            ends = after is None or after[0] != row[0] or not grouped or row[1] not in BLOCK_EVENTS
        if ends and (row[1] != "start" or after is None):  # the empty memory is not a step
            cuts.append(index + 1)
    return cuts


def cuts_at(rows, steps):
    """Where each of the recorded `steps` (numbers, in order) ends: indices into rows, exclusive."""
    cuts, at = [], 0
    for step in steps:
        while at < len(rows) and rows[at][0] <= step:
            at += 1
        cuts.append(at)
    return cuts


def replayed(rows, cuts):
    """Yields the Memory after each step: one object, which goes on.

    rows: `memory_rows`, `start` first; cuts: where the steps end.
    """
    memory, begin = Memory(*_sizes(rows[0])), 1  # row 0 is `start`
    for end in cuts:
        memory.take(list(enumerate(rows[begin:end], begin)))
        begin = max(begin, end)
        yield memory


def memory_at(rows, cuts, step):
    """The Memory after a step, counted from 1."""
    *_, memory = replayed(rows, cuts[:step])
    return memory


class Memory:
    """Blocks and block tables. What a wrong allocator did is not refused: `is_wrong` tells it.

    After the records so far:
        ref, held    [num_blocks], the reference count that was recorded for each block, and how many tables hold it
        hashed       the blocks that can be found again
        tables       {request: [blocks, number of tokens]}
        in_use, cached    numbers of blocks

    In the step that was taken last:
        happened     what it did, a list of (event, request, facts), facts being a dict
        touched      blocks whose reference count or holders changed; rehashed: blocks whose hash changed
        fresh, evicted, twice    blocks that were allocated, evicted, and allocated though in use
        copies       pairs of blocks (source, destination)
        changed, begun    requests whose table changed, and whose table began
        written      {request: [first, end]}, the positions of the tokens that were written
    """

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.ref, self.held, self.hashed, self.tables = [0] * num_blocks, [0] * num_blocks, set(), {}
        self.in_use = self.cached = 0
        self._begin()

    def _begin(self):
        self.happened, self.copies, self.written = [], [], {}
        self.touched, self.rehashed, self.fresh, self.evicted, self.twice = set(), set(), set(), set(), set()
        self.changed, self.begun = set(), set()

    def take(self, rows):
        """One step. rows: its records, as (index, row). Raises ParameterError where a block or a table is not there."""
        self._begin()
        for index, (_, event, *fields) in rows:
            request, facts = getattr(self, "_on_" + event)(index, *fields)
            self.happened.append((event, request, facts))

    # blocks

    def _on_allocate(self, index, blocks):
        for block in self._known(blocks, index):
            if self.ref[block] > 0:
                self.twice.add(block)
            self.fresh.add(block)
            self._count(block, 1)
        return None, {"blocks": blocks}

    def _on_share(self, index, blocks):
        for block in self._known(blocks, index):
            self._count(block, 1)
        return None, {"blocks": blocks}

    def _on_free(self, index, blocks):
        for block in self._known(blocks, index):
            self._count(block, -1)
        return None, {"fate": self._fate(blocks)}

    def _on_cache(self, index, block, parent):
        self._hash(*self._known([block], index), True)
        return None, {"block": block}

    def _on_evict(self, index, blocks):
        for block in self._known(blocks, index):
            self._hash(block, False)
            self.evicted.add(block)
        return None, {"blocks": blocks}

    def _on_out_of_memory(self, index, wanted, free):
        return None, {"wanted": wanted, "free": free}

    # tables

    def _on_append(self, index, request, count, blocks):
        table = self._open(request)
        extends, first = bool(table[0]), table[1]
        table[0] += self._hold(self._known(blocks, index), 1)
        table[1] += count
        self.written[request] = [self.written.get(request, [first])[0], table[1]]
        place = first // self.block_size
        block = table[0][place] if place < len(table[0]) and table[0][place] != NO_BLOCK else None
        return request, {"first": first, "count": count, "blocks": real(blocks), "block": block, "extends": extends}

    def _on_hit(self, index, request, blocks):
        table = self._open(request)
        table[0] += self._hold(self._known(blocks, index), 1)
        table[1] += len(blocks) * self.block_size
        return request, {"blocks": real(blocks), "num_tokens": len(blocks) * self.block_size}

    def _on_fork(self, index, request, parent):
        blocks, num_tokens = self._table(parent, index)
        self.tables.pop(request, None)
        table = self._open(request)
        table[0] += self._hold(blocks[:], 1)
        table[1] = num_tokens
        return request, {"parent": parent, "blocks": real(blocks)}

    def _on_copy(self, index, request, source, destination):
        table = self._table(request, index)
        self._hold(table[0][-1:], -1)
        table[0][-1:] = self._hold(self._known([destination], index), 1)
        self.copies.append((source, destination))
        holders = [other for other, (blocks, _) in self.tables.items() if source in blocks]
        return request, {"source": source, "destination": destination, "holders": holders, "ref": self.ref[source]}

    def _on_slide(self, index, request, places):
        table = self._table(request, index)[0]
        if wrong := [place for place in places if place not in range(len(table))]:
            raise ParameterError(
                f"record {index} names place {wrong[0]!r} of the table of {request!r}, which has {len(table)}."
            )
        blocks = self._hold(real(table[place] for place in places), -1)
        for place in places:
            table[place] = NO_BLOCK
        return request, {"fate": self._fate(blocks)}

    def _on_shrink(self, index, request, num_tokens):
        table = self._table(request, index)
        kept = -(-num_tokens // self.block_size)
        dropped = self._hold(table[0][kept:], -1)
        table[0][kept:], table[1] = [], num_tokens
        if request in self.written:
            self.written[request] = [min(position, num_tokens) for position in self.written[request]]
        return request, {"num_tokens": num_tokens, "blocks": real(dropped)}

    def _on_end(self, index, request):
        blocks = real(self._hold(self._table(request, index)[0], -1))
        del self.tables[request]
        self.begun.discard(request)
        self.written.pop(request, None)
        return request, {"fate": self._fate(blocks)}

    # what the events have in common

    def _known(self, blocks, index):
        for block in blocks:
            if block != NO_BLOCK and (type(block) is not int or not 0 <= block < self.num_blocks):
                raise ParameterError(
                    f"record {index} names block {block!r}, but there are blocks 0 to {self.num_blocks - 1}. "
                    f"Look at what the allocator returned."
                )
        return list(blocks)

    def _table(self, request, index):
        if request not in self.tables:
            raise ParameterError(
                f"record {index} is about request {request!r}, which has no table at this point. "
                f"Give the trace from its beginning."
            )
        self.changed.add(request)
        return self.tables[request]

    def _open(self, request):
        if request not in self.tables:
            self.tables[request] = [[], 0]
            self.begun.add(request)
        self.changed.add(request)
        return self.tables[request]

    def _hold(self, blocks, by):
        for block in real(blocks):
            self.held[block] += by
        self.touched.update(real(blocks))
        return blocks

    def _count(self, block, by):
        self.touched.add(block)
        was = self.ref[block]
        self.ref[block] = was + by
        self.in_use += (was + by > 0) - (was > 0)
        self.cached += block in self.hashed and (was + by <= 0) - (was <= 0)

    def _hash(self, block, on):
        self.rehashed.add(block)
        self.cached += (self.ref[block] <= 0) * (on - (block in self.hashed))
        (self.hashed.add if on else self.hashed.discard)(block)

    def _fate(self, blocks):
        """What blocks are once a table gave them up: {"free", "cached", "in use": blocks}."""
        fate = {"free": [], "cached": [], "in use": []}
        for block in dict.fromkeys(blocks):
            fate[self.state(block)].append(block)
        return fate

    # what a view asks

    def state(self, block):
        """ "in use", "cached" or "free"."""
        return "in use" if self.ref[block] > 0 else "cached" if block in self.hashed else "free"

    def holders(self):
        """{block: [(request, its place in the table)]}."""
        found = {}
        for request, (blocks, _) in self.tables.items():
            for place, block in enumerate(blocks):
                if block == NO_BLOCK:
                    continue
                found.setdefault(block, []).append((request, place))
        return found

    def wasted(self):
        """Slots in blocks of tables that hold no token: only the last blocks of a table have any."""
        empty = {}
        for blocks, num_tokens in self.tables.values():
            for place in range(num_tokens // self.block_size, len(blocks)):
                left = self.block_size - max(0, min(self.block_size, num_tokens - place * self.block_size))
                empty[blocks[place]] = min(left, empty.get(blocks[place], left))
        return sum(empty.values())

    def is_wrong(self, block):
        """Whether what was recorded of a block cannot be right. Without tables only what the counts alone tell."""
        return block in self.twice or self.ref[block] < 0 or self.held[block] > self.ref[block]


def real(blocks):
    """Those that are blocks."""
    return [block for block in blocks if block != NO_BLOCK]


def _sizes(start):
    """(num_blocks, block_size) of the record `start`."""
    sizes = dict(zip(MEMORY_FIELDS["start"], start[2:]))
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ParameterError(
                f"the record `start` says {name} = {size!r}; it has to be a whole number of 1 or more."
            )
    return sizes.values()
