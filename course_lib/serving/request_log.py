"""What happens to each request of a server, written down as it happens: for a view of the requests as they stream.

log = RequestLog(EngineThread(engine))
with BackgroundServer(make_app(engine, "tale", thread=log)):
    ...
    log.snapshot()
"""

from contextlib import aclosing

from course_lib.errors import CourseError


class Around:
    """Around an EngineThread, in its place: it has all that the thread has. A subclass changes `generate`.

    inner: an EngineThread, or another Around.
    """

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def on_finish(self):
        """As in EngineThread."""
        return self.inner.on_finish

    @on_finish.setter
    def on_finish(self, function):
        self.inner.on_finish = function

    @property
    def on_change(self):
        """As in EngineThread."""
        return self.inner.on_change

    @on_change.setter
    def on_change(self, function):
        self.inner.on_change = function


class RequestLog(Around):
    """Writes down when each request came, began, got its tokens and ended, and the blocks in use after each change."""

    def __init__(self, inner):
        super().__init__(inner)
        self.clear()
        inner.on_change = self._look

    def clear(self):
        """Forgets what was; time begins anew. Requests that are open now are not written down any more."""
        self._began, self._rows, self._memory = self.inner.engine.now(), [], []
        self._look()

    def snapshot(self):
        """What happened so far, as plain data. Times are seconds since the log was made or cleared.

        {"now": time, "num_blocks": of the cache, "memory": [[time, blocks in use], ...] whenever it changed,
        "requests": [{"name", "num_prompt_tokens", "arrival", "begin": its first step or None, "tokens": [time of each],
        "end": time or None, "how": "finished", "cancelled", "refused" or None}, ...] in the order of arrival}
        """
        rows = [{**row, "tokens": sorted(sum(row["tokens"].values(), []))} for row in self._rows[:]]
        return {
            "now": self._now(), "num_blocks": self.inner.engine.allocator.num_blocks, "memory": self._memory[:],
            "requests": rows,
        }  # fmt: skip

    async def generate(self, token_ids, params, **more):
        """As EngineThread.generate."""
        began, num_left = self._began, params.n
        row = {
            "name": str(len(self._rows) + 1), "num_prompt_tokens": len(token_ids), "arrival": self._now(),
            "begin": None, "tokens": {}, "end": None, "how": None,
        }  # fmt: skip
        self._rows.append(row)
        try:
            async with aclosing(self.inner.generate(token_ids, params, **more)) as outputs:
                async for output in outputs:
                    if output is not None:
                        metrics, num_left = output.metrics, num_left - output.finished
                        row["tokens"][output.index] = [time - began for time in metrics.token_times]
                        if metrics.first_scheduled is not None:
                            row["begin"] = metrics.first_scheduled - began
                        if not num_left:
                            row["how"], row["end"] = "finished", self._now()
                    yield output
        except CourseError:  # too many requests, or one that can never be served
            row["how"] = "refused"
            raise
        finally:
            row["how"] = row["how"] or "cancelled"
            row["end"] = self._now() if row["end"] is None else row["end"]

    def _now(self):
        return self.inner.engine.now() - self._began

    def _look(self):
        """In the engine's thread: the blocks in use, where that has changed."""
        allocator = self.inner.engine.allocator
        in_use = allocator.num_blocks - allocator.num_free
        if not self._memory or self._memory[-1][1] != in_use:
            self._memory.append([self._now(), in_use])
