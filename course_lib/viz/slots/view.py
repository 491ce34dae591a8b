"""Batch slots over time: what each slot of a static or dynamic batch computes in every run of the model."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.format import listed
from course_lib.viz.kit.inputs import index_or_none

from .model import cell, run_at, slots_data, waiting


def batch_slots(requests, batches, num_slots=None, *, names=None, title="Batch slots over time"):
    """One row a batch slot, one column a step, which is one run of the model.

    Below: which requests wait, and what the tokens computed so far were for.

    requests: tuples (arrival, num_prompt_tokens, num_new_tokens); the arrival is how many steps were over when it came.
    batches: Batch of course_lib.batching, or tuples (start, places in `requests`), one after the other: `start` steps
        were over when it started, and it takes as many steps as its longest sequence has new tokens.
    num_slots: rows; default: the size of the largest batch. names: what the requests are called; default: R0, R1, …
    `selected` is a request (its place in `requests`) or None. Raises ParameterError where these do not fit together.
    """
    return BatchSlots(slots_data(requests, batches, num_slots, names, title))


class BatchSlots(View):
    """See `batch_slots`."""

    name = "slots"
    noun = "view of batch slots"

    def check_selected(self, selected):
        return index_or_none(selected, len(self.data["requests"]), "request")

    def shares(self, step=None):
        """{"useful", "padding", "idle": tokens computed up to this step, "empty": slots without a request, summed}."""
        return dict(zip(("useful", "padding", "idle", "empty"), self.data["sums"][self._at(step) - 1]))

    def _rows(self, step):
        data, run = self.data, run_at(self.data, step)
        rows = []
        for slot in range(data["slots"]):
            kind, request, useful, wasted = cell(data, run, slot, step)
            name = "" if request is None else f", {data['names'][request]}"
            rows.append([f"slot {slot}{name}", data["does"][kind], useful, wasted])
        queue = [data["names"][i] for i in waiting(data, step)]
        return [*rows, ["queue", listed(queue) or "no request", "", ""]]

    def _poster(self):
        return max(1, round(0.7 * self.last))

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
