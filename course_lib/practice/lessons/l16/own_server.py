"""The server of course_lib on the parts of lesson 16: StopStream makes its text, FrontEnd and Admission its front end.

client <-> app <-> RequestLog <-> AtTheDoor (Admission) <-> FrontEndThread (FrontEnd) <-> engine (StopStream)
"""

import asyncio
import itertools
import logging
import threading
from contextlib import aclosing
from types import SimpleNamespace

from course_lib.engine.text import piece_of
from course_lib.errors import ParameterError
from course_lib.models.tokenizer import BYTE_OF
from course_lib.serving.engine_thread import EngineStopped, Stream, TooManyRequests, call
from course_lib.serving.request_log import Around, RequestLog

from .solutions.admission import Admission
from .solutions.cancel import FrontEnd
from .solutions.stop_and_stream import StopStream


def own_server(engine, model_name, parts, *, most_waiting=64, token_budget=None, tokens_per_s=1000):
    """(a BackgroundServer that is not started, its RequestLog): the engine behind an address, on a learner's parts.

    engine: an Engine with a byte-level tokenizer. parts: {exercise id: class}, such as load_parts returns; the
    reference where one is missing. most_waiting, token_budget, tokens_per_s: those of Admission; token_budget None:
    all slots of the KV cache. It serves requests with n = 1.
    """
    from course_lib.serving import BackgroundServer, make_app

    if token_budget is None:
        token_budget = engine.allocator.num_blocks * engine.config.block_size
    thread = FrontEndThread(engine, parts.get("16.cancel", FrontEnd), parts.get("16.stop_and_stream", StopStream))
    admission = parts.get("16.admission", Admission)(most_waiting, token_budget, tokens_per_s)
    log = RequestLog(AtTheDoor(thread, admission))
    return BackgroundServer(make_app(engine, model_name, thread=log)), log


class AtTheDoor(Around):
    """Lets requests in as an Admission says. All of it runs in the event loop."""

    def __init__(self, inner, admission):
        super().__init__(inner)
        self._admission, self._names, self._starts = admission, itertools.count(1), {}

    async def generate(self, token_ids, params, **more):
        """As EngineThread.generate. A request that waits here has been taken already: its client may hang up."""
        name, needs = f"request-{next(self._names)}", len(token_ids) + params.max_tokens
        verdict, seconds = self._admission.arrive(name, needs)
        if verdict == "refuse" and seconds is None:
            raise ParameterError(f"The request may need {needs} tokens, more than this server takes at a time.")
        if verdict == "refuse":
            raise TooManyRequests("As many requests wait as may. Try again later.", seconds)
        start = self._starts[name] = asyncio.Event()
        try:
            yield None
            if verdict == "wait":
                await start.wait()
            async with aclosing(self.inner.generate(token_ids, params, **more)) as outputs:
                async for output in outputs:
                    if output is not None:
                        yield output
        finally:
            del self._starts[name]
            for other in self._admission.leave(name):
                if other in self._starts:
                    self._starts[other].set()


class FrontEndThread:
    """A FrontEnd and its engine in a thread, with what a server needs of an EngineThread."""

    most_requests = 1024

    def __init__(self, engine, front_end, stop_stream):
        self.engine, self.error, self.on_finish, self.on_change = engine, None, None, None
        self._front = front_end(_EngineOfOutputs(self, stop_stream))
        self._streams, self._bell, self._stopping = set(), threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="front end", daemon=True)

    def start(self):
        """Starts the thread."""
        self._thread.start()
        return self

    def stop(self, *, drain=True, timeout=None):
        """Ends the thread after its turn; `drain` is there for the server. Whether it has ended."""
        self._stopping = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_alive(self):
        """Whether requests can be served."""
        return self._thread.is_alive() and self.error is None and not self._stopping

    @property
    def num_open(self):
        """Requests that are unfinished."""
        return len(self._streams)

    async def generate(self, token_ids, params, **more):
        """As EngineThread.generate, for params.n = 1."""
        if params.n != 1:
            raise ParameterError("This server runs on parts of an exercise, and they serve n = 1 only.")
        if not self.is_alive:
            raise EngineStopped(f"The engine has stopped: {self.error!r}. Start the server again.")
        stream = Stream(asyncio.get_running_loop(), 1)
        client = _Client(stream)
        self._streams.add(stream)
        self._front.connect(client, SimpleNamespace(token_ids=token_ids, params=params, more=more, stream=stream))
        self._bell.set()
        try:
            yield None
            while not stream.is_over:
                await stream.wait()
                for output in stream.take():
                    yield output
        finally:
            self._streams.discard(stream)
            if not stream.is_over:
                self._front.hang_up(client)
                self._bell.set()

    def changed(self):
        """A step or an abort is over."""
        if self.on_change is not None:
            self.on_change()

    def _run(self):
        try:
            while not self._stopping:
                self._front.turn()
                if not self.engine.has_unfinished():
                    self._bell.wait()
                    self._bell.clear()
        except BaseException as error:  # the learner's code: its clients must not wait for ever
            self.error = error
            logging.getLogger(__name__).exception("The front end has failed, and the server answers 503 from now on")
        for stream in list(self._streams):
            stream.tell(stream.failed, EngineStopped(f"The engine has stopped: {self.error!r}."))


class _Client:
    """The connection as a FrontEnd sees it, in the engine's thread."""

    def __init__(self, stream):
        self._stream = stream

    def send(self, output):
        if output.text is not None:
            call(self._stream.loop, self._stream.put, output)

    def close(self):
        """Nothing is left to do: the last output has said it."""


class _EngineOfOutputs:
    """The engine as a FrontEnd sees it. A request that the engine cannot take ends in the next step."""

    def __init__(self, thread, stop_stream):
        self._thread, self._engine, self._stop_stream, self._refused = thread, thread.engine, stop_stream, []

    def add_request(self, request):
        engine, params = self._engine, request.params
        try:
            request_id = engine.add_request(request.token_ids, params, **request.more)
        except Exception as error:  # it is the request's, not the engine's
            request.stream.tell(request.stream.failed, error)
            self._refused.append(SimpleNamespace(request_id=f"refused-{id(request)}", finished=True, text=None))
            return self._refused[-1].request_id
        for one in engine.live.requests.get(request_id, ()):
            one.detokenizer = _Text(self._stop_stream(tuple(params.stop)), engine.tokenizer)
        return request_id

    def abort(self, request_id):
        self._engine.abort(request_id)
        self._thread.changed()

    def has_unfinished(self):
        return bool(self._refused) or self._engine.has_unfinished()

    def step(self):
        outputs, self._refused = self._refused, []
        found = self._engine.step() if self._engine.has_unfinished() else []
        for output in found:
            if output.finished and self._thread.on_finish is not None:
                self._thread.on_finish(output)
        self._thread.changed()
        return outputs + found


class _Text:
    """A StopStream in the place of the engine's Detokenizer, for a byte-level tokenizer."""

    def __init__(self, stream, tokenizer):
        self._stream, self._tokenizer, self._text, self._is_over = stream, tokenizer, "", False

    def append(self, token_id):
        """One token more. Whether the text has reached a stop string."""
        piece = piece_of(self._tokenizer, token_id) or ""
        self._text += self._stream.push(bytes(map(BYTE_OF.__getitem__, piece)))
        return self._stream.is_stopped

    def so_far(self, *, finished=False):
        """The text that may be sent; finished: all of it."""
        if finished and not self._is_over:
            self._is_over = True
            self._text += self._stream.finish()
        return self._text
