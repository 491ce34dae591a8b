"""A trace of memory, replayed: what every block and every table is after each record. Plain lists and dicts, no torch.

The records are those of course_lib/trace/records.py, as rows: [step, event, field, ...]. memory.js replays them alike.
"""

from course_lib.errors import ParameterError

from .records import FIELDS, row_of, unpacked

BLOCK_EVENTS = ("allocate", "share", "free", "evict")  # these come before the table event that they belong to
TABLE_EVENTS = ("append", "hit", "fork", "copy", "shrink", "end")


def rows_of(trace, *, memory=True):
    """The rows of a Trace, or of a list of records or rows, checked one by one. memory: `start` comes first."""
    given = (
        trace.rows()
        if hasattr(trace, "rows")
        else [row for one in trace for row in ([row_of(one)] if isinstance(one, dict) else unpacked(list(one)))]
    )
    if memory and (not given or given[0][1:2] != ["start"]):
        raise ParameterError("A trace begins with the record `start`, which says how many blocks there are. "
                             "Record from the allocator's beginning: BlockAllocator(num_blocks, block_size, trace=trace).")  # fmt: skip
    rows = []
    for index, row in enumerate(given):
        if len(row) == 3 and row[1] == "append":
            row = [*row, 1, []]
        if len(row) < 2 or row[1] not in FIELDS or len(row) != 2 + len(FIELDS[row[1]]) or type(row[0]) is not int:
            raise ParameterError(f"record {index} is {str(row)[:80]}, which is none that a trace holds. "
                                 "course_lib/trace/records.py says which there are; was it cut off?")  # fmt: skip
        if rows and row[1] == "start":
            raise ParameterError(f"record {index} starts a second memory. Give the trace of one memory at a time.")
        if rows and row[0] < rows[-1][0]:
            raise ParameterError(
                f"record {index} belongs to step {row[0]}, the one before it to step {rows[-1][0]}. Give the records in order."
            )
        rows.append(row)
    return rows


def cuts_of(rows, by):
    """Where the steps of the view end: indices into rows, exclusive. by: "step" (as recorded) or "event"."""
    cuts = []
    grouped = any(row[1] in TABLE_EVENTS for row in rows)  # without tables each block event stands for itself
    for index, row in enumerate(rows):
        after = rows[index + 1] if index + 1 < len(rows) else None
        if by == "step":
            ends = after is None or after[0] != row[0]
        else:
            ends = after is None or after[0] != row[0] or not grouped or row[1] not in BLOCK_EVENTS
        if ends and (row[1] != "start" or after is None):  # the empty memory is no step of its own
            cuts.append(index + 1)
    return cuts


class Memory:
    """Blocks and tables. ref, held: [num_blocks], the reference counts that were recorded and how many tables hold each;
    hashed: set of blocks; tables: {request: [blocks, number of tokens]}; touched, twice: blocks that changed, and that were handed out
    though in use, since `begin`."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.ref, self.hashed, self.tables = [0] * num_blocks, set(), {}
        self.held, self.touched, self.twice = [0] * num_blocks, set(), set()
        self.in_use = self.cached = 0

    def apply(self, row, index):
        """One record more. Raises ParameterError for one that names what is not there; what a wrong allocator does is shown."""
        _, event, *fields = row
        if event in ("allocate", "share", "free"):
            for block in self._blocks(fields[0], index):
                if event == "allocate" and self.ref[block] > 0:
                    self.twice.add(block)
                self._count(block, -1 if event == "free" else 1)
        elif event == "cache":
            (block,) = self._blocks(fields[:1], index)
            self._hash(block, True)
        elif event == "evict":
            for block in self._blocks(fields[0], index):
                self._hash(block, False)
        elif event in ("append", "hit"):
            blocks = self._blocks(fields[-1], index)
            table = self.tables.setdefault(fields[0], [[], 0])
            table[0] += self._hold(blocks, 1)
            table[1] += fields[1] if event == "append" else len(blocks) * self.block_size
        elif event == "fork":
            blocks, tokens = self._table(fields[1], index)
            self.tables[fields[0]] = [self._hold(blocks[:], 1), tokens]
        elif event == "copy":
            table = self._table(fields[0], index)
            self._hold(table[0][-1:], -1)
            table[0][-1:] = self._hold(self._blocks(fields[2:], index), 1)
        elif event == "shrink":
            table = self._table(fields[0], index)
            table[1] = fields[1]
            keep = -(-fields[1] // self.block_size)
            self._hold(table[0][keep:], -1)
            del table[0][keep:]
        elif event == "end":
            self._hold(self._table(fields[0], index)[0], -1)
            del self.tables[fields[0]]

    def _hold(self, blocks, by):
        for block in blocks:
            self.held[block] += by
        self.touched.update(blocks)
        return blocks

    def _count(self, block, by):
        self.touched.add(block)
        was = self.ref[block]
        self.ref[block] = was + by
        self.in_use += (was + by > 0) - (was > 0)
        self.cached += block in self.hashed and (was + by <= 0) - (was <= 0)

    def _hash(self, block, on):
        self.cached += (self.ref[block] <= 0) * (on - (block in self.hashed))
        (self.hashed.add if on else self.hashed.discard)(block)

    def _blocks(self, blocks, index):
        for block in blocks:
            if type(block) is not int or not 0 <= block < self.num_blocks:
                raise ParameterError(
                    f"record {index} names block {block!r}, but there are blocks 0 to {self.num_blocks - 1}. Look at what the allocator handed out."
                )
        return list(blocks)

    def _table(self, request, index):
        if request not in self.tables:
            raise ParameterError(
                f"record {index} is about request {request!r}, which has no table at this point. Give the trace from its beginning."
            )
        return self.tables[request]

    def holders(self):
        """{block: [(request, its place in the table)]}."""
        found = {}
        for request, (blocks, _) in self.tables.items():
            for place, block in enumerate(blocks):
                found.setdefault(block, []).append((request, place))
        return found

    def wasted(self):
        """Slots in blocks of tables that hold no token: only the last blocks of a table have any."""
        empty = {}
        for blocks, tokens in self.tables.values():
            for place in range(tokens // self.block_size, len(blocks)):
                left = self.block_size - max(0, min(self.block_size, tokens - place * self.block_size))
                empty[blocks[place]] = min(left, empty.get(blocks[place], left))
        return sum(empty.values())

    def begin(self):
        """A step begins: what changed before is forgotten."""
        self.touched.clear()
        self.twice.clear()

    def wrong(self):
        """What cannot be among the blocks touched, in words, the first three. Without tables only what the counts alone tell."""
        found = []
        for block in sorted(self.touched):
            number, held = self.ref[block], self.held[block]
            if block in self.twice:
                found.append(f"Block {block} was handed out while it was in use.")
            elif number < 0:
                found.append(f"Block {block} was freed once too often.")
            elif self.tables and held > number:
                found.append(
                    f"Block {block} is in {held} table{'s' * (held != 1)}, but its reference count is {number}."
                )
        return found[:3]
