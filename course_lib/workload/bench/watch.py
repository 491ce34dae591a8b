"""A run as it goes on: the requests that have ended, the progress on the terminal, and Ctrl-C."""

import signal
import sys
import threading
import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from course_lib.engine.summary import Totals, summarise

REDRAW_S = 0.1


class Interrupted(Exception):
    """Ctrl-C was pressed, and nothing is half done."""


class Watch:
    """The requests that have ended so far.

    The first Ctrl-C ends the run at the next `tick`; a second one at once. Both leave what there is. num_expected: for
    the progress, or None. targets: Targets. keep: False keeps no single request, only counts in `totals`, so that
    memory stays the same; then something else adds to `totals`.
    """

    def __init__(self, num_expected=None, *, targets=None, keep=True, console=None):
        self.targets = targets
        self.requests = [] if keep else None
        self.clients = []  # of each request that is kept, who asked
        self.memory = Thinned()  # (seconds, share of the KV cache in use)
        self.totals = Totals(targets, exact=False)
        self.problems = Counter()  # message -> failed requests
        self.num_ended = self._num_tokens = 0
        self._asked = self._is_saving = False
        self._handler, self._next_draw = None, 0.0
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[more]}"), console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("requests", total=num_expected, more="")

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        self._progress.start()
        return self

    def __exit__(self, *error):
        self._progress.stop()
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)

    def _interrupt(self, *_):
        if self._is_saving:
            return
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def saving(self):
        """From now on Ctrl-C does nothing: what was measured is being written."""
        self._is_saving = True
        self._progress.stop()
        if self._asked:
            print("Ended by Ctrl-C. What has ended so far is saved.", file=sys.stderr)

    def ended(self, metrics, problem=None, *, client="default"):
        """A request has ended. metrics: its RequestMetrics. problem: why it failed, one line, or None."""
        if self.requests is not None:
            self.requests.append(metrics)
            self.clients.append(client)
        self.num_ended += 1
        self._num_tokens += metrics.num_output_tokens
        if problem is not None:
            self.problems[problem] += 1

    def tick(self, now, num_open):
        """Between two steps. now: seconds since the start. num_open: requests in the system. Raises Interrupted."""
        if self._asked:
            raise Interrupted
        if not self._progress.disable and time.perf_counter() >= self._next_draw:
            self._next_draw = time.perf_counter() + REDRAW_S
            failed = f", {sum(self.problems.values())} failed" if self.problems else ""
            speed = self._num_tokens / now if now > 0 else 0.0
            more = f"{num_open} in the system, {speed:,.0f} output tokens/s{failed}"
            self._progress.update(self._task, completed=self.num_ended, more=more)

    def summary(self, duration):
        """The Summary of what has ended. duration: seconds."""
        if self.requests is None:
            return self.totals.summary(duration)
        return summarise(self.requests, duration=duration, targets=self.targets)

    def summaries_of_clients(self, duration):
        """{client: Summary of its requests}, where there are several clients and single requests are kept."""
        found = {}
        for client, request in zip(self.clients, self.requests or ()):
            found.setdefault(client, []).append(request)
        if len(found) < 2:
            return {}
        return {name: summarise(its, duration=duration, targets=self.targets) for name, its in sorted(found.items())}


class Thinned:
    """Points of a long run in little memory: where there are too many, every second one is dropped."""

    MOST = 2000

    def __init__(self):
        self.points, self._every, self._skipped = [], 1, 0

    def add(self, *point):
        """A further point. Points that fall between the kept ones are not kept either."""
        self._skipped += 1
        if self._skipped >= self._every:
            self.points.append(point)
            self._skipped = 0
            if len(self.points) > self.MOST:
                del self.points[::2]
                self._every *= 2
