"""Requests of a server as they stream: queue, prefill, tokens as they come, cancelled and refused, and the memory."""

import threading
from contextlib import contextmanager, nullcontext

from course_lib.viz.kit.base import View, anywidget
from course_lib.viz.kit.inputs import name_or_none

from .model import STATES, state, streams_data, tokens_at


def request_streams(log):
    """A row for each request on an axis of time, and below it the blocks in use.

    log: a RequestLog of a server, or what has its `snapshot()`; or a snapshot, to show a run that is over. `refresh()`
    takes what is new in the log, and `with view.live():` shows the view and refreshes it while the block runs.
    `selected` is the name of a request or None. Raises ParameterError where the snapshot is something else.
    """
    source = log.snapshot if hasattr(log, "snapshot") else lambda: log
    return Streams(source)


class Streams(View):
    """See `request_streams`."""

    name = "streams"
    noun = "view of streams"

    def __init__(self, source):
        super().__init__(streams_data(source()))
        self._source = source
        self.step = self.last

    def refresh(self):
        """Takes what has happened since, and goes to the last moment."""
        data = streams_data(self._source())
        with nullcontext() if anywidget is None else self.hold_sync():
            self.data, self.step = data, data["last"]

    @contextmanager
    def live(self, every=0.2):
        """Shows the view now, and refreshes it every so many seconds until the block ends."""
        over, handle = threading.Event(), self._display()

        def follow():
            while not over.wait(every):
                self.refresh()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
            self.refresh()
            if handle is not None:  # the saved notebook keeps the picture of the end
                data, metadata = self.bundle()
                handle.update(data, metadata=metadata, raw=True)

    def _display(self):
        try:
            from IPython.display import display
        except ImportError:
            return None
        data, metadata = self.bundle()
        return display(data, metadata=metadata, raw=True, display_id=True)

    def check_selected(self, selected):
        return name_or_none(selected, [one["name"] for one in self.data["requests"]], "request")

    def _rows(self, step):
        now = self.data["moments"][step - 1]
        return [
            [one["name"], STATES[state(one, now)], one["prompt"], tokens_at(one, now), *one["cells"]]
            for one in self.data["requests"]
        ]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
