"""The engine's timeline: what every request did in every step, the token budget as it is filled, the memory below."""

from course_lib.errors import ParameterError
from course_lib.trace.memory import TABLE_EVENTS, memory_at
from course_lib.trace.records import rows_of
from course_lib.trace.schedule import computed_after, span_at, tokens_in
from course_lib.viz.kit.base import View
from course_lib.viz.kit.format import request_name

from .model import steps_of_memory, timeline_data


def timeline_view(trace, *, memory=True, clients=None):
    """A row for each request, a column for each step; above them the tokens of each step, below them the memory.

    trace: `Engine(...).trace`, a Trace that a scheduler of your own wrote or that was loaded from a file, or its
        records as a list. It may end anywhere; requests that never finish are drawn as far as it goes.
    memory: whether the memory view is shown, moved by the same player, where the trace has records of memory.
    clients: True for all, or a list of names: colours go by client, and how many of their requests wait and how much
        service they got is drawn below. Service counts a prompt token once, when its request is first admitted, and a
        generated one twice, as the Virtual Token Counter does (arXiv 2401.00588).
    `selected` is a request (its name in the trace), a physical block as ["block", 3], or None. Raises ParameterError
    for a trace that contradicts itself.
    """
    rows = rows_of(trace, memory=False)
    if not any(row[1] in ("queue", "schedule") for row in rows):
        raise ParameterError(
            "This trace says nothing of an engine or a scheduler, only of memory, if anything. memory_view(trace) "
            "shows that; or record one with a scheduler: Engine(model, config).trace."
        )
    memory = memory and any(row[1] in TABLE_EVENTS for row in rows)
    if memory and rows[0][1] != "start":
        rows_of(rows)  # says what is missing
    own, cuts = steps_of_memory(rows) if memory else (None, None)
    return TimelineView(timeline_data(rows, clients, cuts), own, cuts)


class TimelineView(View):
    """See `timeline_view`."""

    name = "timeline"
    noun = "timeline"

    def __init__(self, data, rows, cuts):
        super().__init__(data)
        self._trace = rows, cuts

    def check_selected(self, selected):
        if selected is None:
            return None
        memory = self.data["memory"]
        if isinstance(selected, (list, tuple)) and len(selected) == 2 and selected[0] == "block" and memory:
            if type(selected[1]) is int and 0 <= selected[1] < memory["num_blocks"]:
                return list(selected)
            last = memory["num_blocks"] - 1
            raise ParameterError(f"selected = {selected!r} is no block; there are blocks 0 to {last}.")
        names = [lane["name"] for lane in self.data["lanes"]]
        if isinstance(selected, (str, int)) and not isinstance(selected, bool) and selected in names:
            return selected
        some = ", ".join(map(repr, names[:5])) + (" and more" if len(names) > 5 else "")
        blocks = ', a block as ["block", 3]' if memory else ""
        raise ParameterError(
            f"selected = {selected!r} is no request of this trace; there are {some}. Give one of them{blocks}, or None."
        )

    def _rows(self, step):
        found, at = [], step - 1
        for lane in self.data["lanes"]:
            span, done = span_at(lane["spans"], at), lane["done"]
            if span is None:
                continue
            state = self.data["states"][span[0]] + (f", then {done[1]}" if done and done[0] == at else "")
            about = [self.data["client_names"][lane["client"]], lane["priority"], state]
            tokens = [tokens_in(span, at), computed_after(span, at), lane["num_prompt"]]
            found.append([request_name(lane["name"]), *about, *tokens])
        tokens, running, waiting = self.data["sums"][at]
        return found + [["all", "", "", f"{running} run, {waiting} wait", tokens, "", ""]]

    def memory(self, step=None):
        """The Memory (course_lib.trace.memory) after this step, or None where the view has none."""
        return memory_at(*self._trace, self._at(step)) if self.data["memory"] else None

    def _poster(self):
        """The first step in which a request was preempted, or else the one with most requests at once."""
        spans = [span for lane in self.data["lanes"] for span in lane["spans"] if span[0] in ("preempted", "swapped")]
        sums = self.data["sums"]
        return 1 + (min(span[1] for span in spans) if spans else max(range(len(sums)), key=lambda at: sums[at][1]))

    def _paint(self, step):
        from .still import paint

        return paint(self.data, self.memory(step), step)
