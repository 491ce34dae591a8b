"""One step as a strip of kernels: what ran, when, for how long, and the limit of the step."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View

from .model import GROUPS, strip_data, table_rows


def step_strip(rows, *, title="One step as a strip of kernels", subtitle=None):
    """A row for each version of a step, all on one scale of time. A step of the view is one kernel.

    rows: list of dicts {"name", "kernels"} and, where they are known, "limit" (µs: the least time that the step could
        take), "took" (µs on the clock, where the kernels do not end with the step), "ordered" (default True; False:
        sums over all launches of a kernel, which are drawn one after the other, in no order), "noun" ("kernel", or
        "operation" on a CPU), "note" (a sentence about the row) and "total" (kernels in all, where the
        launches given are not all of them; 0 launches: not known). kernels: tuples (name, group, start, µs) or
        (name, group, start, µs, launches, bytes); group is a key of GROUPS; start is in µs, or None where the row is
        not ordered; bytes None: not known.
    title, subtitle: of the view. `selected` is a group of GROUPS, or None. Raises ParameterError for what does not fit
    together.
    """
    return StepStrip(strip_data(rows, title, subtitle))


class StepStrip(View):
    """See `step_strip`."""

    name = "strip"
    noun = "strip of kernels"

    def check_selected(self, selected):
        if selected is None or selected in GROUPS:
            return selected
        raise ParameterError(f"selected = {selected!r} is no group of kernels. Give one of {', '.join(GROUPS)}.")

    def _rows(self, step):
        return table_rows(self.data, step)

    def _poster(self):
        return self.last

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step, self.selected)
