"""What each program of a kernel loads and stores: tensors as matrices of numbers, by program or by access."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View

from .model import ids, programs_data, sums


def programs_view(record, *, by="program", tensors=None):
    """Left the programs of a kernel's grid, right the tensors: loaded and stored now, loaded and stored before, masked.

    record: `log.record()` of `course_lib.attention.record_accesses`, or the log itself, whose first launch is drawn.
    by: what a step is: a "program", or one "access" of a program. tensors: names of those to draw; default all.
    A tensor is drawn with its first dimension down (of four dimensions the first two) and the others across. `selected`
    is (name, index in the flattened tensor) or None. Raises ParameterError for anything that does not fit together.
    """
    return ProgramsView(programs_data(record.record() if hasattr(record, "record") else record, by, tensors))


class ProgramsView(View):
    """See `programs_view`."""

    name = "programs"
    noun = "view of programs"

    def check_selected(self, selected):
        if selected is None:
            return None
        sizes = {tensor["name"]: tensor["numel"] for tensor in self.data["tensors"]}
        number = list(selected) if isinstance(selected, (list, tuple)) else []
        if len(number) == 2 and type(number[1]) is int and 0 <= number[1] < sizes.get(number[0], 0):
            return number
        known = ", ".join(f"{name} with {size:,}" for name, size in sizes.items())
        raise ParameterError(
            f"selected = {selected!r} is no number of a tensor; there are {known}. "
            "Give (name, index in the flattened tensor), or None for no selection."
        )

    def _rows(self, step):
        rows, loaded, stored = [], 0, 0
        for number in range(1, step + 1):
            now = sums(self.data, number)
            loaded, stored = loaded + now["loaded"], stored + now["stored"]
            own = [now["what"], now["loaded"], now["stored"], now["masked"]]
            rows.append([number, ids(self.data, number), *own, loaded, stored])
        return rows

    def _poster(self):
        return max(1, round(0.62 * self.last))  # some programs are done, some to come

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
