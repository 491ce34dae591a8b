"""Counts the bytes that attention moves, and records the order of its tiles for the view.

A GPU has two memories: a slow, large one (HBM) and, on each multiprocessor, a fast one of some hundred kilobytes
(shared memory and registers). Data is kept in the slow one and computed on in the fast one. The algorithms in
forward.py and backward.py call `load` and `store` whenever data moves between the two, so every byte is counted, on any
machine.
"""

from collections import Counter

from .masks import NONE


class Meter:
    """Bytes moved, memory taken, operations done and tiles visited by one call or several.

    read, written: {name of the tensor: bytes}.
    scratch: bytes of slow memory used besides q, k, v and the output: the largest amount at one time, for one head.
    flops: operations of the matrix products; a multiply and an add are two. The softmax is left out, as is usual.
    scalings: how often a number of the output is multiplied or divided by a factor of the softmax.
    tiles: {"none" | "some" | "all": number of tiles}, by how many of their pairs the mask shows.
    events: what happened, in order, as plain dicts; kept where `record` is true.
    watch: the row of head 0 whose running maximum, sum and output are kept in the events.
    """

    def __init__(self, *, record=False, watch=0):
        self.read, self.written, self.tiles = Counter(), Counter(), Counter()
        self.scratch = self.flops = self.scalings = 0
        self.record, self.watch, self.events, self.head = record, watch, [], 0
        self._held = 0

    @property
    def bytes_read(self):
        return sum(self.read.values())

    @property
    def bytes_written(self):
        return sum(self.written.values())

    @property
    def bytes_moved(self):
        return self.bytes_read + self.bytes_written

    def load(self, name, tensor):
        """Counts `tensor` as read from slow memory, and returns it."""
        self.read[name] += tensor.nbytes
        return tensor

    def store(self, name, tensor):
        """Counts `tensor` as written to slow memory, and returns it."""
        self.written[name] += tensor.nbytes
        return tensor

    def take(self, nbytes):
        """Counts `nbytes` of slow memory as in use until `give_back`."""
        self._held += nbytes
        self.scratch = max(self.scratch, self._held)

    def give_back(self):
        self._held = 0

    def visit(self, rows, cols, reach):
        """Counts a tile and returns whether it must be computed. reach: what `Mask.tile` returns for it."""
        self.tiles[reach] += 1
        if reach == NONE:
            self.event("skip", rows, cols)
        return reach != NONE

    def matmul(self, m, n, k):
        """Counts the product of [m, k] and [k, n]."""
        self.flops += 2 * m * n * k

    def event(self, kind, rows, cols, state=None):
        """Records one step of head 0. state() -> (maximum, sum, output) of each of its rows; called only if needed."""
        if not self.record or self.head != 0:
            return
        row = None
        if state is not None and rows[0] <= self.watch < rows[1]:
            m_i, l_i, out = (x[self.watch - rows[0]].tolist() for x in state())
            row = {"maximum": m_i, "sum": l_i, "output": out}
        self.events.append(
            {
                "kind": kind,
                "rows": list(rows),
                "cols": list(cols),
                "row": row,
                "read": self.bytes_read,
                "written": self.bytes_written,
            }
        )


def record_tiles(attention, q, k, v, *, watch=0, **options):
    """Runs one of the algorithms of forward.py and returns what `course_lib.viz.tiles_view` draws, as a dict.

    attention: a function such as flash_attention_v2. q, k, v: its arguments; head 0 is recorded.
    watch: the row whose running maximum, sum and output are kept. options: `causal`, `window`, `cu_seqlens`, `tile`.
    """
    meter = Meter(record=True, watch=watch)
    attention(q[:, :1], k[:, :1], v[:, :1], meter=meter, **options)
    return {
        "algorithm": attention.__name__,
        "num_queries": len(q),
        "num_keys": len(k),
        "watch": watch,
        "events": meter.events,
    }
