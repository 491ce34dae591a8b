"""Reserved against used: which request holds which slots of a memory cut into contiguous pieces, and what is wasted."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View

from .model import NAMES, layout, reserved_data, say


def reserved_against_used(runs, capacity):
    """Memory as a map of slots, one token each, and what they are used for, over time; one policy at a time.

    runs: {policy: steps}. A step is a dict {"time", "segments", "waiting", "used", "reserved", "internal", "external",
        "free"}: the last five count slots and add up to `capacity`; waiting counts requests. A segment is a dict
        {"request", "start", "reserved" (slots), "used" (tokens so far), "final" (tokens at its end)}.
        "reserved" of a step counts slots that will be used later, "internal" those that never will, "external" those
        in holes too small for the request that waits first.
    capacity: slots of the memory.
    Steps of different policies are put side by side by their time. `selected` is {"policy", "request"}: set either.
    Raises ParameterError for anything that does not fit together.
    """
    return ReservedAgainstUsed(reserved_data(runs, capacity))


class ReservedAgainstUsed(View):
    """See `reserved_against_used`."""

    name = "reserved"
    noun = "reserved against used"

    @property
    def policy(self):
        """The name of the policy shown."""
        return (self.selected or {}).get("policy") or self.data["runs"][0]["policy"]

    def check_selected(self, selected):
        if selected is None:
            return None
        if not isinstance(selected, dict) or not set(selected) <= {"policy", "request"}:
            raise ParameterError(
                f"selected = {selected!r} is no choice. Give a dict with a policy, a request or both, or None."
            )
        policy = selected.get("policy") or self.policy
        run = next((run for run in self.data["runs"] if run["policy"] == policy), None)
        if run is None:
            names = ", ".join(repr(run["policy"]) for run in self.data["runs"])
            raise ParameterError(f"policy = {policy!r} is not among the runs. There are {names}.")
        request = selected.get("request")
        if request is not None and request not in [piece[0] for piece in run["pieces"]]:
            raise ParameterError(f"request = {request!r} never runs under {policy!r}. Give one that does, or None.")
        return {"policy": policy, "request": request}

    def _run(self):
        return next(run for run in self.data["runs"] if run["policy"] == self.policy)

    def words(self, step=None):
        return "".join(text for _, text in say(self.data, self._run(), self._at(step)))

    def _rows(self, step):
        rows = []
        for kind, start, size, segment in layout(self.data, self._run(), step):
            if segment is None:
                rows.append([NAMES[kind], start, size, "", "", ""])
            else:
                request, _, reserved, final, used = segment
                rows.append([f"request {request}", start, size, used, final - used, reserved - final])
        return rows

    def _poster(self):
        return (self.first + self.last) // 2  # at the ends a memory is empty

    def _paint(self, step):
        from .still import paint

        return paint(self.data, self._run(), step)

    def __repr__(self):
        return f"<{self.noun}: {self.policy}, {self.data['subtitle']}, step {self.step} of {self.last}>"
