"""The routes of the server: an ASGI application on Starlette.

    POST /v1/completions, /v1/chat/completions     GET /v1/models, /v1/models/NAME     GET /health     GET /metrics

Each request is one coroutine. It reads the body, waits for the engine to take the request, and hands on what comes.
"""

import asyncio
import hmac
import time
from contextlib import aclosing, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from course_lib.errors import ParameterError

from .answers import Answer, event
from .engine_thread import EngineStopped, EngineThread, TooManyRequests
from .errors import APIError, refuse
from .logprobs import TokenNames
from .prometheus import CONTENT_TYPE, ServerMetrics
from .protocol import Limits, check_model, read_json, read_request

LARGE = 16_384  # bytes of a body from which on it is read in another thread: its tokens take a while
BODY_S = 60  # how long a body may take to come


def make_app(engine, model_name, *, api_key=None, most_requests=1024, most_bytes=4 << 20, thread=None):
    """The application that serves an engine.

    engine: an Engine with a tokenizer. model_name: what clients call the model. api_key: what they must send as
    `Authorization: Bearer ...`; None: nothing. most_requests: unfinished ones; more are answered 429. most_bytes: of a
    body; longer ones are answered 413. thread: what runs the engine, an EngineThread or what has its methods, with a
    limit of its own; None: a new one. Raises ParameterError for an engine without a tokenizer.
    """
    if engine.tokenizer is None:
        raise ParameterError("This engine has no tokenizer, so it can serve no text. Pass Engine(..., tokenizer=...).")
    thread = thread or EngineThread(engine, most_requests=most_requests)
    service = Service(engine, model_name, api_key, thread, most_bytes)

    @asynccontextmanager
    async def lifespan(app):
        service.thread.start()
        try:
            yield
        finally:
            await asyncio.to_thread(service.thread.stop, drain=False)

    routes = [
        Route("/v1/completions", service.completions, methods=["POST"]),
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{name:path}", service.one_model),
        Route("/health", service.health),
        Route("/metrics", service.metrics),
    ]
    handlers = {APIError: _answer_error, HTTPException: _answer_http_error, Exception: _answer_bug}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.state.service = service
    return app


class Service:
    """What the routes share. See make_app."""

    def __init__(self, engine, model_name, api_key, thread, most_bytes):
        self.engine, self.model_name, self.most_bytes = engine, model_name, most_bytes
        self._api_key = None if api_key is None else api_key.encode()
        self.thread = thread
        self.counted = ServerMetrics(engine, model_name)
        self._created = int(time.time())
        self._names = TokenNames(engine.tokenizer)
        self.thread.on_finish = self.counted.count
        room = engine.allocator.num_blocks * engine.config.block_size + 1  # the last token is never computed
        shape = engine.model.config
        self.limits = Limits(min(shape.context, room), engine.config.max_num_seqs, shape.vocab_size)

    async def completions(self, request):
        """POST /v1/completions."""
        return await self._answer(request, "completions")

    async def chat(self, request):
        """POST /v1/chat/completions."""
        return await self._answer(request, "chat")

    async def models(self, request):
        """GET /v1/models."""
        self._check_key(request)
        return JSONResponse({"object": "list", "data": [self._about_model()]})

    async def one_model(self, request):
        """GET /v1/models/NAME."""
        self._check_key(request)
        check_model(request.path_params["name"], self.model_name)
        return JSONResponse(self._about_model())

    def _about_model(self):
        about = {"id": self.model_name, "object": "model", "created": self._created, "owned_by": "course_lib"}
        return about | {"max_model_len": self.limits.context}

    async def health(self, request):
        """GET /health: 200 as long as requests can be served."""
        return Response(status_code=200 if self.thread.is_alive else 503)

    async def metrics(self, request):
        """GET /metrics."""
        return Response(self.counted.text(), media_type=CONTENT_TYPE)

    async def _answer(self, request, kind):
        self._check_key(request)
        body = await self._body(request)
        read = asyncio.to_thread(self._read, body, kind) if len(body) > LARGE else None
        asked = self._read(body, kind) if read is None else await read
        if len(asked.prompts) > self.thread.most_requests:
            refuse(
                "prompt",
                f"prompt holds {len(asked.prompts)} prompts, and {self.thread.most_requests} are the most that this "
                f"server takes at a time. Send fewer at once.",
            )
        answer = Answer(asked, self.model_name, is_chat=kind == "chat", names=self._names)
        outputs = self._outputs(asked)
        try:
            await anext(outputs)  # all prompts were taken, or an error is the answer
        except BaseException:
            await outputs.aclose()
            raise
        if asked.stream:
            return EventStream(answer, outputs)
        return await _unless_it_hangs_up(request, _whole(answer, outputs))

    def _read(self, body, kind):
        return read_request(read_json(body), kind, self.model_name, self.engine.tokenizer, self.limits)

    def _check_key(self, request):
        if self._api_key is None:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._api_key):
            raise APIError(
                401, "This server needs an API key, and none or another one came: send Authorization: Bearer KEY.",
                code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    async def _body(self, request):
        found, announced = bytearray(), request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:18]) > self.most_bytes:
            self._refuse_length()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.stream():
                    found += piece
                    if len(found) > self.most_bytes:
                        self._refuse_length()
        except TimeoutError:  # it would keep the server from ending
            close = {"Connection": "close"}
            raise APIError(
                408, f"The body has not come within {BODY_S} seconds. Send it again.", headers=close
            ) from None
        except ClientDisconnect:
            raise APIError(400, "The body ended early.") from None
        return bytes(found)

    def _refuse_length(self):
        raise APIError(413, f"The body is longer than {self.most_bytes} bytes, the most that this server reads.")

    async def _outputs(self, asked):
        """(number of the prompt, RequestOutput) of all prompts as they come. The first item is None: all are taken.

        Closing it aborts what is unfinished.
        """
        arrival = self.engine.now()
        streams = [
            self.thread.generate(ids, asked.params, priority=asked.priority, arrival=arrival) for ids in asked.prompts
        ]
        try:
            for stream in streams:
                await anext(stream)
            yield None
            if len(streams) == 1:
                async for output in streams[0]:
                    yield 0, output
            else:
                async with aclosing(_merged(streams)) as pairs:
                    async for pair in pairs:
                        yield pair
        except TooManyRequests as error:
            headers = {"Retry-After": str(error.retry_after)}
            raise APIError(429, str(error), code="rate_limit_exceeded", headers=headers) from None
        except EngineStopped as error:
            raise APIError(503, str(error)) from None
        except ParameterError as error:
            raise APIError(400, str(error)) from None
        finally:
            for stream in streams:
                await stream.aclose()


async def _merged(streams):
    """(number, item) of several async generators, as they come."""
    waiting = {asyncio.ensure_future(anext(stream, None)): number for number, stream in enumerate(streams)}
    try:
        while waiting:
            ready, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in ready:
                number, item = waiting.pop(task), task.result()
                if item is not None:
                    waiting[asyncio.ensure_future(anext(streams[number], None))] = number
                    yield number, item
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class EventStream(StreamingResponse):
    """The server-sent events of an answer. It closes the outputs wherever the client hangs up, also while it does not
    read: Starlette does not."""

    def __init__(self, answer, outputs):
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(_events(answer, outputs), media_type="text/event-stream", headers=headers)
        self._outputs = outputs

    async def __call__(self, scope, receive, send):
        """Called by Starlette."""
        async with aclosing(self._outputs):
            await super().__call__(scope, receive, send)


async def _events(answer, outputs):
    if head := answer.first_events():
        yield head
    try:
        async for number, output in outputs:
            if data := answer.next_event(number, output):
                yield data
    except APIError as error:  # the status has been sent: the error is an event
        yield event(error.as_dict())
    yield answer.last_events()


async def _whole(answer, outputs):
    async with aclosing(outputs):
        async for number, output in outputs:
            answer.take(number, output)
    return JSONResponse(answer.whole())


async def _unless_it_hangs_up(request, coroutine):
    """The result of a coroutine; where the client hangs up first, the coroutine is cancelled."""
    task, gone = asyncio.ensure_future(coroutine), asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else Response(status_code=499)
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _hang_up(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer_error(request, error):
    return JSONResponse(error.as_dict(), status_code=error.status, headers=error.headers)


async def _answer_http_error(request, error):
    what = {404: f"There is no {request.url.path} here.", 405: f"{request.url.path} does not take {request.method}."}
    found = APIError(error.status_code, what.get(error.status_code, str(error.detail)), headers=error.headers)
    return await _answer_error(request, found)


async def _answer_bug(request, error):
    return await _answer_error(request, APIError(500, f"The server failed: {type(error).__name__}. Its log says more."))
