"""An OpenAI-compatible server as what is measured: streaming POST /v1/completions, with token ids as the prompt.

The body is that of `vllm bench serve`: greedy, with ignore_eos, which vLLM and SGLang know, so that each output has its
full length. A key is taken from the environment variable OPENAI_API_KEY; it is written nowhere. Nothing is sent again:
an answer 429 or 500, and a connection that breaks, is a failed request.

Conversations need the token ids of the answers, since the next prompt holds them. vLLM tells them where a request says
return_token_ids. Of a server that does not, the next prompt holds the questions alone; the record says so.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from course_lib.errors import CourseError

from ..workload import Arrival
from .completion_stream import CompletionStream, one_line

LONGEST_WAIT_S = 0.1
CONNECT_S, READ_S = 10.0, 600.0


def run(coroutine):
    """Runs it to its end and returns its result, also where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, coroutine).result()


class ServerTarget:
    """A server, and the model that it is asked for: by default the first one that it lists.

    Raises CourseError for a server that does not answer a short request.
    """

    limits = {}

    def __init__(self, options):
        self.url = options.base_url()
        self.model = options.model or run(self._first_model())
        self._has_turns = any(one.conversations is not None for one in options.workloads())
        self.tells_ids = self._has_turns
        problem = run(self._try())
        if problem is not None and self._has_turns:  # some servers refuse a field that they do not know
            problem = run(self._try())
        if problem is not None:
            raise CourseError(
                f"A first request to {self.url} for the model {self.model!r} failed: {problem}. Nothing was measured; "
                f"see that the server runs and knows this model."
            )

    def _client(self):
        key = os.environ.get("OPENAI_API_KEY")
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=None),  # a request must not wait here for a connection
            timeout=httpx.Timeout(None, connect=CONNECT_S, read=READ_S),
            trust_env=False,  # the server is measured, not a proxy
        )

    async def _first_model(self):
        try:
            async with self._client() as client:
                answer = await client.get(f"{self.url}/models", timeout=CONNECT_S)
                return answer.raise_for_status().json()["data"][0]["id"]
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise CourseError(
                f"{self.url}/models names no model: {one_line(error) or type(error).__name__}. Start the server, or "
                f"name the model with --model."
            ) from None

    async def _try(self):
        async with self._client() as client:
            _, _, problem, answer_ids = await self._send(client, Arrival(0.0, [5] * 8, 2), time.perf_counter)
        self.tells_ids &= bool(answer_ids)
        return problem

    def serve(self, feed, watch):
        """Sends the Feed to its end, each request when it arrives. Raises Interrupted."""
        run(self._serve(feed, watch))

    async def _serve(self, feed, watch):
        start, open_ = time.perf_counter(), set()

        def now():
            return time.perf_counter() - start

        async with self._client() as client:
            try:
                while not feed.is_over:
                    for arrival in feed.due(now()):
                        open_.add(asyncio.create_task(self._send(client, arrival, now)))
                    wait = LONGEST_WAIT_S
                    if feed.next_at is not None:
                        wait = min(wait, max(0.0, feed.next_at - now()))
                    ended = ()
                    if open_:
                        ended, open_ = await asyncio.wait(open_, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.sleep(wait)
                    for task in ended:
                        arrival, metrics, problem, answer_ids = task.result()
                        watch.ended(metrics, problem, client=arrival.client)
                        feed.finished(arrival, answer_ids, metrics.finished)
                    watch.tick(now(), feed.num_open)
            finally:
                for task in open_:
                    task.cancel()
                await asyncio.gather(*open_, return_exceptions=True)

    async def _send(self, client, arrival, now):
        """(arrival, RequestMetrics, problem or None, token ids of the answer) of one request, when it has ended."""
        stream = CompletionStream(now)
        body = {
            "model": self.model, "prompt": arrival.token_ids, "max_tokens": arrival.max_tokens, "temperature": 0.0,
            "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True},
        } | ({"return_token_ids": True} if self.tells_ids else {})  # fmt: skip
        try:
            async with client.stream("POST", f"{self.url}/completions", json=body) as answer:
                if answer.status_code != 200:
                    text = (await answer.aread()).decode("utf-8", errors="replace")
                    problem = f"HTTP {answer.status_code}: {text}"
                else:
                    async for piece in answer.aiter_bytes():
                        stream.read(piece)
                    problem = stream.problem(arrival.max_tokens)
        except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
            # The connection, or what is no completion. After [DONE] nothing more is needed of a connection.
            problem = stream.problem(arrival.max_tokens) if stream.is_over else f"{type(error).__name__}: {error}"
        problem = None if problem is None else one_line(problem)
        return arrival, stream.metrics(arrival, problem), problem, stream.token_ids

    def about(self):
        """What is measured, for the JSON."""
        told = {"answers_in_prompts": self.tells_ids} if self._has_turns else {}
        return {"kind": "server", "url": self.url, "model": self.model} | told

    def counts(self):
        """A server says nothing of itself."""
        return {}
