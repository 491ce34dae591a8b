"""An Engine in a thread of its own, for many coroutines of one event loop.

    coroutine             inbox (a queue)         the engine's thread
    generate()   ------>  add, abort     ------>  takes all messages, runs a step, takes all messages, ...
       ^                                              |
       |---- the newest output of each stream <-------|    one message to the event loop for each step

A stream keeps its newest output only, and an output holds the text so far. So a client that reads slowly finds several
tokens at once, costs no memory, and makes nobody else wait. Source: vLLM's RequestOutputCollector does the same.

vLLM runs its engine in a process of its own. Here a thread does: while 64 streams of `tale` run on two cores, GET
/health takes 6 ms at the 99th percentile (benchmarks/serving.py), and 4 ms on an H200 at 120 requests a second
(benchmarks/results/serve_h200.json).
"""

import asyncio
import logging
import queue
import threading

from course_lib.errors import CourseError


class EngineStopped(CourseError):
    """The engine takes no requests any more: it was stopped, or it broke."""


class TooManyRequests(CourseError):
    """As many requests as allowed are unfinished. retry_after: seconds after which the client may ask again."""

    def __init__(self, message, retry_after=1):
        super().__init__(message)
        self.retry_after = retry_after


class EngineThread:
    """Runs an engine's steps in a thread.

    engine: an Engine, which nobody else uses meanwhile. most_requests: how many may be unfinished at a time; one more
    raises TooManyRequests. Call start() before the first request, and stop() at the end.
    """

    def __init__(self, engine, *, most_requests=1024):
        self.engine, self.most_requests = engine, most_requests
        self.error = None  # the exception that ended the thread
        self.on_finish = None  # called in the thread with the last RequestOutput of each sequence
        self.on_change = None  # called in the thread, without arguments, after each step and each abort
        self._inbox = queue.SimpleQueue()
        self._streams = {}  # request_id -> Stream, of the unfinished; only the engine's thread changes it
        self._num_open, self._lock = 0, threading.Lock()
        self._stopping = self._told_to_stop = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self):
        """Starts the thread. Raises CourseError where it was started before."""
        if self._thread.ident is not None:
            raise CourseError(
                "This EngineThread was started before, and a thread runs once. Make another one; for a server, call "
                "make_app again."
            )
        self._thread.start()
        return self

    def stop(self, *, drain=True, timeout=None):
        """Takes no more requests. drain: finishes those that are there; otherwise they are aborted.

        Returns when the thread has ended, or after `timeout` seconds; whether it has ended.
        """
        with self._lock:
            self._stopping = True
        self._inbox.put(("stop", drain))
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_alive(self):
        """Whether requests can be served."""
        return self._thread.is_alive() and self.error is None and not self._stopping

    @property
    def num_open(self):
        """Requests that are unfinished, or still in the inbox."""
        return self._num_open

    async def generate(self, token_ids, params, **more):
        """Yields a RequestOutput of a sequence whenever one has grown or ended, until all params.n have ended.

        token_ids, params, more: those of Engine.add_request. The first item is None, once the engine has taken the
        request. Where the caller stops early, the engine aborts the request before its next step. Raises
        ParameterError for a request that can never be served, TooManyRequests, and EngineStopped.
        """
        stream = Stream(asyncio.get_running_loop(), params.n)
        self._send(stream, token_ids, params, more)
        try:
            await stream.wait()
            yield None
            while not stream.is_over:
                for output in stream.take():
                    yield output
                if not stream.is_over:
                    await stream.wait()
        finally:
            if not stream.is_over:
                self._inbox.put(("abort", stream))

    def _send(self, stream, *request):
        with self._lock:
            if not self.is_alive:
                raise EngineStopped("The engine has stopped, so no request can be served. Start the server again.")
            if self._num_open >= self.most_requests:
                raise TooManyRequests(
                    f"{self._num_open} requests are unfinished, and that is the most that this server takes. Try again "
                    f"a little later."
                )
            self._num_open += 1
            self._inbox.put(("add", stream, *request))

    # --- in the engine's thread ---

    def _run(self):
        try:
            while self._take_messages():
                if self.engine.has_unfinished():
                    self._hand_out(self.engine.step())
                    self._changed()
        except BaseException as error:  # the streams must not wait for ever
            self.error = error
            logging.getLogger(__name__).exception("The engine has stopped, and the server answers 503 from now on")
        with self._lock:  # nothing comes into the inbox after this
            self._stopping = True
        self._fail_all()

    def _take_messages(self):
        """Does what the inbox says; waits for a message where there is nothing to compute. Whether to go on."""
        while True:
            is_idle = not self.engine.has_unfinished()
            if is_idle and self._told_to_stop:
                return False
            try:
                message = self._inbox.get(block=is_idle)
            except queue.Empty:
                return True
            self._do(*message)

    def _do(self, what, *details):
        if what == "add":
            self._add(*details)
        elif what == "abort":
            stream = details[0]
            if self._streams.get(stream.request_id) is stream:
                self.engine.abort(stream.request_id)
                self._close(stream)
                self._changed()
        else:
            self._told_to_stop = True
            if details == (False,):
                for stream in list(self._streams.values()):
                    self.engine.abort(stream.request_id)

    def _add(self, stream, token_ids, params, more):
        try:
            stream.request_id = self.engine.add_request(token_ids, params, **more)
        except Exception as error:  # it is the request's, not the engine's
            self._close(stream)
            stream.tell(stream.failed, error)
        else:
            self._streams[stream.request_id] = stream
            stream.tell(stream.accepted)

    def _hand_out(self, outputs):
        told = {}  # loop -> [(stream, output)]: one message for each loop and step
        for output in outputs:
            if output.finished and self.on_finish is not None:
                self.on_finish(output)
            stream = self._streams.get(output.request_id)
            if stream is not None:
                told.setdefault(stream.loop, []).append((stream, output))
                stream.num_unfinished -= output.finished
                if stream.num_unfinished == 0:
                    self._close(stream)
        for loop, pairs in told.items():
            call(loop, put_all, pairs)

    def _changed(self):
        if self.on_change is not None:
            self.on_change()

    def _close(self, stream):
        self._streams.pop(stream.request_id, None)
        with self._lock:
            self._num_open -= 1

    def _fail_all(self):
        """The thread ends: all who wait are told."""
        why = EngineStopped(f"The engine has stopped: {self.error!r}." if self.error else "The engine has stopped.")
        while not self._inbox.empty():
            what, *details = self._inbox.get()
            if what == "add":
                self._close(details[0])
                details[0].tell(details[0].failed, why)
        for stream in list(self._streams.values()):
            self._close(stream)
            stream.tell(stream.failed, why)


class Stream:
    """The outputs of one request on their way to its coroutine. Its methods run in the event loop's thread."""

    def __init__(self, loop, n):
        self.loop, self.request_id = loop, None
        self.num_unfinished = n  # sequences; the engine's thread counts
        self.is_over = False
        self._newest, self._left, self._error, self._ready = {}, n, None, asyncio.Event()

    def tell(self, what, *details):
        """In the engine's thread: calls one of the methods below in the event loop's."""
        call(self.loop, what, *details)

    def accepted(self):
        """The engine has taken the request."""
        self._ready.set()

    def failed(self, error):
        """Nothing more will come."""
        self._error = error
        self._ready.set()

    def put(self, output):
        """An output of one of the sequences; it replaces one that was not read."""
        before = self._newest.pop(output.index, None)
        if before is not None:
            output.new_token_ids = [*before.new_token_ids, *output.new_token_ids]
        self._newest[output.index] = output
        self._ready.set()

    async def wait(self):
        """Until something is there. Raises what the request failed with."""
        await self._ready.wait()
        self._ready.clear()
        if self._error is not None:
            self.is_over = True
            raise self._error

    def take(self):
        """The outputs that are there. The last of each sequence is counted: after them all, the stream is over."""
        found, self._newest = list(self._newest.values()), {}
        self._left -= sum(output.finished for output in found)
        self.is_over = self._left == 0
        return found


def put_all(pairs):
    """The outputs of one step, each into its stream."""
    for stream, output in pairs:
        stream.put(output)


def call(loop, function, *arguments):
    """Calls a function in the thread of an event loop; nothing happens where the loop has ended."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # closed: nobody waits there any more
        pass
