"""The memory view: block tables beside physical memory, replayed from a trace."""

from course_lib.errors import ParameterError
from course_lib.trace.memory import cuts_of, memory_at, memory_rows, real, texts_of
from course_lib.trace.records import rows_of
from course_lib.viz.kit.base import View
from course_lib.viz.kit.format import listed, request_name
from course_lib.viz.kit.inputs import index_or_none

from .model import memory_data
from .words import step_words


def memory_view(trace, *, by=None):
    """Left a row for each request with its block table, right the physical blocks; below them use and waste by step.

    trace: a Trace of course_lib.trace, from a ledger of the course or a learner's allocator
        (`trace.watch(MyAllocator(24, 4))`), or its records as a list.
    by: what a step of the view is: "step" (as the trace counts them) or "event" (one thing that happened). None: "step"
        where the trace has several.
    `selected` is a physical block (int) or None. Raises ParameterError for a trace that contradicts itself.
    """
    rows = rows_of(trace)
    if by is None:
        by = "step" if rows[-1][0] != rows[0][0] else "event"
    if by not in ("step", "event"):
        raise ParameterError(f'by is {by!r}. A step of this view is a "step" of the trace or one "event".')
    own = memory_rows(rows)
    cuts = cuts_of(own, by)
    texts = texts_of(rows)
    data, said = memory_data(own, cuts, texts, lambda memory: step_words(memory, texts))
    head = {"title": "Block tables and memory", "first": 1, "last": len(cuts)}
    columns = ["request", "tokens", "blocks", "block table"]
    return MemoryView(head | data | {"columns": columns, "say": said}, own, cuts)


class MemoryView(View):
    """See `memory_view`."""

    name = "memory"
    noun = "memory view"

    def __init__(self, data, rows, cuts):
        super().__init__(data)
        self._trace = rows, cuts

    def check_selected(self, selected):
        return index_or_none(selected, self.data["num_blocks"], "block")

    def memory(self, step=None):
        """The Memory (course_lib.trace.memory) after this step."""
        return memory_at(*self._trace, self._at(step))

    def _rows(self, step):
        memory = self.memory(step)
        blocks = range(memory.num_blocks)
        sets = {"shared": [block for block in blocks if memory.ref[block] > 1]}
        sets |= {state: [block for block in blocks if memory.state(block) == state] for state in ("cached", "free")}
        held = [(request_name(one), tokens, real(own)) for one, (own, tokens) in memory.tables.items()]
        tables = [[name, tokens, len(own), listed(own)] for name, tokens, own in held]
        return tables + [[name, "", len(found), listed(found)] for name, found in sets.items()]

    def _poster(self):
        sums = self.data["sums"]
        return 1 + max(range(len(sums)), key=lambda at: sums[at][0])  # where memory is fullest

    def _paint(self, step):
        from .still import paint

        return paint(self.data, self.memory(step), step)
