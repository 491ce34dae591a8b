"""The records of a trace: what is written, by the ledger of blocks and by the scheduler.

What the records mean, step by step, is said in one place each: `memory.py` (blocks and tables) and `schedule.py`
(requests).

A trace is a list of flat records. Each is a dictionary with `step`, `event` and the fields of that event. A file has
one line a record, a JSON list without the names: [step, event, field, field, ...], in the order that `FIELDS` says. The
most frequent record by far, one token more in a block that is there, leaves its last two fields out, and those that
follow each other in a step share a line.

    {"step": 2, "event": "append", "request": "a", "count": 5, "blocks": [0, 1]}      in Python
    [2,"append","a",5,[0,1]]                                                          in a file, and for a view
    [3,"append","a"]                                                                  count 1, blocks []
    [4,"append",["a","b"]]                                                            the same for a, then for b

The events of memory come in two groups, and each can be replayed without the other. Blocks and their reference counts:

    start          num_blocks, block_size   a fresh memory; always the first record. Every block is free
    allocate       blocks                   free blocks got their first reference
    share          blocks                   one reference more on each; for a cached block it is the first one
    free           blocks                   one reference less on each, in this order. At 0 a block is free; if it is
                                            hashed it is cached: its content stays until it is evicted
    cache          block, parent            the block is hashed from now on: it is full and computed, and can be found
                                            again. parent: the hashed block of the tokens before it, or null (it is the
                                            first one, or that block was evicted)
    evict          blocks                   these cached blocks lost their hash and content; `allocate` of them follows
    out_of_memory  wanted, free             `wanted` blocks were asked for, `free` could be had; nothing was taken

and the block tables, which say which request holds which blocks. A request is a name (string or number):

    append         request, count, blocks   `count` tokens more, and `blocks` join the end of its table
    hit            request, blocks          cached blocks begin its table; their tokens, block_size each, are computed
    fork           request, parent          a new table, equal to the parent's
    copy           request, source, destination
                                            the last block of the table was shared: destination takes its place, and the
                                            content is copied from source before anything is written
    slide          request, places          the blocks at these places of its table were given back, because no token
                                            sees theirs any more. In a table, and in `hit` and `append`, -1 stands for
                                            such a place
    shrink         request, num_tokens      the table keeps `num_tokens` tokens, and the blocks that they need
    end            request                  the table is gone
    text           request, text            the text of each of its tokens, from the first on; anywhere in the trace

An engine adds what its scheduler decided; a view of memory ignores these:

    engine         policy, max_num_seqs, max_num_batched_tokens
                                            the policy, and the limits of a step. After `start`
    queue          request, client, priority, num_tokens
                                            a request came with a prompt of `num_tokens` tokens, and waits
    schedule       requests, starts, counts the flat batch of this step, in the order of its tokens: of each request
                                            `count` tokens from number `start` on. `fork` names requests that never
                                            waited
    preempt        request, how, num_tokens a running request was preempted and waits again. how: "recompute" (the K and
                                            V of num_tokens tokens were thrown away) or "swap" (none were)
    swap           request, direction, num_tokens
                                            K and V of num_tokens tokens were copied "out" to CPU memory, or back "in"
    speculate      request, drafted, accepted
                                            of the tokens that `schedule` names, `drafted` were a guess; of these the
                                            first `accepted` were right, and the others are taken back by `shrink`
    finish         request, reason          "stop", "length" or "abort"

What happens to blocks comes before the table event that it belongs to: `free` of a block that is copied, `share`,
`evict`, `allocate`, then `copy` or `hit`, then `append`; `share`, then `fork`; `free`, then `slide`, `shrink` or `end`.
"""

import json
from pathlib import Path

from course_lib.errors import LedgerError, ParameterError

MEMORY_FIELDS = {
    "start": ("num_blocks", "block_size"),
    "allocate": ("blocks",),
    "share": ("blocks",),
    "free": ("blocks",),
    "cache": ("block", "parent"),
    "evict": ("blocks",),
    "out_of_memory": ("wanted", "free"),
    "append": ("request", "count", "blocks"),
    "hit": ("request", "blocks"),
    "fork": ("request", "parent"),
    "copy": ("request", "source", "destination"),
    "slide": ("request", "places"),
    "shrink": ("request", "num_tokens"),
    "end": ("request",),
    "text": ("request", "text"),
}
ENGINE_FIELDS = {
    "engine": ("policy", "max_num_seqs", "max_num_batched_tokens"),
    "queue": ("request", "client", "priority", "num_tokens"),
    "schedule": ("requests", "starts", "counts"),
    "preempt": ("request", "how", "num_tokens"),
    "swap": ("request", "direction", "num_tokens"),
    "speculate": ("request", "drafted", "accepted"),
    "finish": ("request", "reason"),
}
FIELDS = MEMORY_FIELDS | ENGINE_FIELDS


class Trace:
    """Records of one memory, in order.

        trace = Trace()
        allocator = BlockAllocator(24, 4, trace=trace)        # or, for an allocator of your own:
        allocator = trace.watch(MyAllocator(24, 4))

    `step` is the number that new records carry; `next_step()` raises it. An allocator without a trace records nothing
    and pays for one comparison with None.
    """

    def __init__(self, records=()):
        self.records, self.step = list(records), 0

    def add(self, event, **fields):
        """Appends one record. Raises ParameterError where the fields are not those of the event."""
        if tuple(fields) != FIELDS.get(event):
            raise ParameterError(
                f"The record {event!r} came with the fields {', '.join(fields)}; "
                f"{describe(event)} See course_lib/trace/records.py."
            )
        self.records.append({"step": self.step, "event": event, **fields})

    def next_step(self):
        """The records from here on belong to the next step."""
        self.step += 1

    def text(self, request, text):
        """Records the text of a request's tokens: a list of one str for each token, from the first on."""
        self.add("text", request=request, text=list(text))

    def watch(self, allocator):
        """The same allocator, with what it does recorded here. It needs the methods of BlockAllocator, no others."""
        return Watched(allocator, self)

    def rows(self):
        """The records as plain lists, [step, event, field, ...]: what a file holds and a view is given."""
        return [row_of(record) for record in self.records]

    def save(self, path):
        """Writes the records, line by line."""
        lines = (json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in packed(self.rows()))
        Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote. Raises ParameterError with the first line that is not a record."""
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        trace = cls(
            one for number, line in enumerate(lines, 1) if line for one in records_of(line, f"{path}, line {number}")
        )
        trace.step = trace.records[-1]["step"] if trace.records else 0
        return trace

    def __len__(self):
        return len(self.records)

    def __repr__(self):
        return f"Trace({len(self.records)} records, {self.step + 1} steps)"


class Watched:
    """An allocator whose calls are recorded, its mistakes too. trace: None to record nothing."""

    def __init__(self, allocator, trace):
        if allocator.num_free != allocator.num_blocks:
            raise LedgerError(
                f"{allocator.num_blocks - allocator.num_free} blocks are in use already, and their allocation would be "
                f"missing in the trace. Watch an allocator before its first allocate."
            )
        self._allocator, self.trace, self.copies = allocator, trace, []
        self._record("start", num_blocks=allocator.num_blocks, block_size=allocator.block_size)

    def _record(self, event, **fields):
        if self.trace is not None:
            self.trace.add(event, **fields)

    def allocate(self, n=1):
        blocks = self._allocator.allocate(n)
        if blocks is None:
            self._record("out_of_memory", wanted=n, free=self._allocator.num_free)
        elif blocks:
            self._record("allocate", blocks=list(blocks))
        return blocks

    def fork(self, block_ids):
        block_ids = list(block_ids)
        self._allocator.fork(block_ids)
        self._record("share", blocks=block_ids)

    def free(self, block_ids):
        block_ids = list(block_ids)
        self._allocator.free(block_ids)
        self._record("free", blocks=block_ids)

    def __getattr__(self, name):
        """num_blocks, block_size, num_free, ref_count, check_integrity. Not its prefix cache, which is not recorded."""
        if name in ("cache", "is_hashed", "_allocator"):
            raise AttributeError(name)
        return getattr(self._allocator, name)


def row_of(record):
    """A record as a row: [step, event, field, ...]."""
    row = list(record.values())
    return row[:-2] if record["event"] == "append" and row[-2:] == [1, []] else row


def packed(rows):
    """The rows; one-token appends that follow each other in a step become one, [step, "append", [request, ...]]."""
    short = []
    for row in rows:
        if len(row) == 3 and row[1] == "append" and short and short[-1][:2] == row[:2] and len(short[-1]) == 3:
            if type(short[-1][2]) is not list:
                short[-1] = [*row[:2], [short[-1][2]]]
            short[-1][2].append(row[2])
        else:
            short.append(row)
    return short


def unpacked(row):
    """The rows that `packed` put together in this one."""
    together = len(row) == 3 and row[1] == "append" and type(row[2]) is list
    return [[*row[:2], request] for request in row[2]] if together else [row]


def rows_of(trace, *, memory=True):
    """The rows of a Trace, or of a list of records or rows, each with all of its fields.

    memory: `start` has to come first. Raises ParameterError for a row that is not a record, and for rows out of order.
    """
    if hasattr(trace, "rows"):
        given = trace.rows()
    else:
        given = [row for one in trace for row in ([row_of(one)] if isinstance(one, dict) else unpacked(list(one)))]
    if memory and (not given or given[0][1:2] != ["start"]):
        raise ParameterError(
            "A trace begins with the record `start`, which says how many blocks there are. Record from the allocator's "
            "beginning: BlockAllocator(num_blocks, block_size, trace=trace)."
        )
    rows = []
    for index, row in enumerate(given):
        if len(row) == 3 and row[1] == "append":
            row = [*row, 1, []]
        if len(row) < 2 or row[1] not in FIELDS or len(row) != 2 + len(FIELDS[row[1]]) or type(row[0]) is not int:
            raise ParameterError(
                f"record {index} is {str(row)[:80]}, which is not a record of a trace. course_lib/trace/records.py "
                f"lists them; was it cut off?"
            )
        if rows and row[1] == "start":
            raise ParameterError(f"record {index} starts a second memory. Give the trace of one memory at a time.")
        if rows and row[0] < rows[-1][0]:
            raise ParameterError(
                f"record {index} belongs to step {row[0]}, the one before it to step {rows[-1][0]}. "
                f"Give the records in order."
            )
        rows.append(row)
    return rows


def records_of(line, where):
    """The records of a line. Raises ParameterError, naming `where`, for a line that is not a record."""
    try:
        found = []
        for step, event, *values in unpacked(json.loads(line)):
            names = FIELDS[event]
            if event == "append" and len(values) == 1:
                values += [1, []]
            if type(step) is not int or len(values) != len(names):
                raise ValueError
            found.append({"step": step, "event": event, **dict(zip(names, values))})
    except (ValueError, TypeError, KeyError):
        raise ParameterError(
            f"{where} is {line[:80]!r}, which is not a record. A record is a JSON list "
            f"[step, event, ...] as course_lib/trace/records.py describes; was the file cut off?"
        ) from None
    return found


def describe(event):
    if event not in FIELDS:
        return f"there is no such event, only {', '.join(FIELDS)}."
    return f"it needs {', '.join(FIELDS[event])}, in this order."
