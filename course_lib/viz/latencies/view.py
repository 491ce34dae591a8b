"""Requests in time: the queue, the prefill and the gap before each token of every request, on one axis of time."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View, anywidget
from course_lib.viz.kit.inputs import name_or_none

from .model import STATES, latencies_data, state, tokens_after


def request_latencies(requests, steps, *, timeline=None):
    """A row for each request on an axis of time: when it came, how long it waited, its first token and all others.

    requests: {name: RequestMetrics}: objects with arrival, first_scheduled, token_times and finished, in seconds.
    steps: (start, end) of each step of the engine, in seconds, in order.
    timeline: a timeline_view of the same run. Then both show the same step, and a request that is chosen here is chosen
        there.
    A gap of more than twice the median gap of its request is marked: the stream stalls. `selected` is the name of a
    request or None. Raises ParameterError where these do not fit together.
    """
    view = Latencies(latencies_data(requests, steps))
    if timeline is not None:
        view.link(timeline)
    return view


class Latencies(View):
    """See `request_latencies`."""

    name = "latencies"
    noun = "view of latencies"

    def link(self, timeline):
        """Both views show the same step from now on. Raises ParameterError for a timeline of another run."""
        if getattr(timeline, "last", None) != self.last:
            raise ParameterError(
                f"{timeline!r} cannot be linked: it has to have {self.last} steps, as this view. Give the "
                "timeline_view of the same run."
            )
        if anywidget is None:
            return
        from ipywidgets import jsdlink, jslink

        timeline.step = self.step
        self._links = [jslink((self, "step"), (timeline, "step")), jsdlink((self, "selected"), (timeline, "selected"))]

    def check_selected(self, selected):
        return name_or_none(selected, [one["name"] for one in self.data["requests"]], "request")

    def _rows(self, step):
        rows = []
        for one in self.data["requests"]:
            rows.append([one["name"], STATES[state(one, step)], tokens_after(one, step), *one["cells"]])
        return rows

    def _poster(self):
        """The longest step."""
        steps = self.data["steps"]
        return 1 + max(range(len(steps)), key=lambda at: steps[at][1] - steps[at][0])

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
