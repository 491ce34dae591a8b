"""Clients that hang up, queue, read slowly; an engine that breaks; a server that is told to end."""

import asyncio
import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import openai
import pytest
from serving_fixtures import body, engine_of, is_idle, make_server, model_and_tokenizer, naive, post
from typer.testing import CliRunner

from course_lib import SamplingParams
from course_lib.cli import app
from course_lib.errors import CourseError
from course_lib.serving.engine_thread import EngineStopped, EngineThread
from course_lib.serving.server import bind
from course_lib.workload.bench.server_target import run

LONG = {"max_tokens": 1500, "stream": True}


def until(holds):
    """Waits until something holds; the tests' own limit ends a wait for ever."""
    while not holds():
        time.sleep(0.005)


def events_of(lines):
    """The data of the events of a stream, without [DONE]."""
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.fixture
def server():
    with make_server() as running:
        yield running
        until(lambda: is_idle(running))


def test_a_client_that_hangs_up_frees_its_blocks_within_a_step(server):
    engine, steps_after = engine_of(server), []
    abort, step = engine.abort, engine.step
    engine.abort = lambda request_id: (abort(request_id), steps_after.append(engine.allocator.num_free))[0]
    for data in (body(**LONG), body(max_tokens=1500)):
        with httpx.Client() as client:
            request = client.build_request("POST", f"{server.url}/v1/completions", json=data)
            if data.get("stream"):
                answer = client.send(request, stream=True)
                next(answer.iter_lines())
                answer.close()
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post(request.url, json=data, timeout=0.3)
        until(lambda: is_idle(server))
    assert engine.step == step and steps_after == [engine.allocator.num_blocks] * 2
    assert engine.metrics.num_generated_tokens < 2 * 1500


def test_one_too_many_is_answered_429_and_says_when_to_come_again():
    with make_server(most_requests=3) as server, httpx.Client() as client:

        def ask():
            return client.send(
                client.build_request("POST", f"{server.url}/v1/completions", json=body(**LONG)), stream=True
            )

        open_ones = [ask(), ask()]
        several = post(server, body(["a", "b", "c"], max_tokens=1500))  # of three prompts none stays behind
        assert several.status_code == 429
        until(lambda: server.app.state.service.thread.num_open == 2)
        open_ones.append(ask())
        refused = post(server, body())
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert post(server, body(["a"] * 4)).status_code == 400  # more than there is room for, ever
        for answer in open_ones:
            answer.close()
        until(lambda: is_idle(server))
        assert post(server, body()).status_code == 200


def test_a_client_that_does_not_read_makes_nobody_wait_and_gets_all_in_the_end(server):
    with socket.create_connection(server.url.removeprefix("http://").split(":")) as slow:
        data = json.dumps(body(max_tokens=120, stream=True)).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        slow.sendall(head.encode() + data)
        until(lambda: engine_of(server).metrics.num_requests == 1)
        assert post(server, body()).json()["choices"][0]["text"] == naive("Once upon a time", 8)[1]
        until(lambda: engine_of(server).metrics.num_finished == 2)
        sent = b"".join(iter(lambda: slow.recv(65536), b""))
    texts = [one["choices"][0]["text"] for one in events_of(sent.decode().splitlines())]
    assert "".join(texts) == naive("Once upon a time", 120)[1]


@pytest.mark.parametrize("prompt", ["Once", ["Once", "In a", "The"]])
@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_hangs_up_before_the_stream_or_while_it_does_not_read_leaves_nothing(prompt, reads):
    server = make_server()  # not started: the application is called as uvicorn calls it
    engine, thread = engine_of(server), server.app.state.service.thread.start()

    async def ask():
        sent, is_full = [{"type": "http.request", "body": json.dumps(body(prompt, **LONG)).encode()}], asyncio.Event()

        async def receive():
            if not sent and not reads:
                await is_full.wait()
            return sent.pop() if sent else {"type": "http.disconnect"}

        async def send(message):
            if not reads and message.get("body"):
                is_full.set()
                await asyncio.Event().wait()

        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [], "query_string": b""}
        await server.app(scope, receive, send)
        while thread.num_open:
            await asyncio.sleep(0.005)

    gc.disable()  # the collector closes generators that nobody closed, some time
    try:
        run(ask())
    finally:
        gc.enable()
        thread.stop(drain=False)
    assert is_idle(server) and engine.metrics.num_generated_tokens < 1500


def test_clients_that_hang_up_at_any_moment_leave_nothing_and_disturb_nobody(server):
    prompts = [f"Once there was a {name}" for name in ("cat", "fox", "hare", "owl", "bee")]

    async def patient(client, prompt, n):
        stream = await client.completions.create(model="small", prompt=prompt, max_tokens=n, temperature=0, stream=True,
                                                 extra_body={"ignore_eos": True})  # fmt: skip
        return "".join([piece.choices[0].text async for piece in stream])

    async def all_of_them():
        draw, wanted = random.Random(3), []
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            for _ in range(60):
                prompt, n = draw.choice(prompts), draw.randint(1, 12)
                if draw.random() < 0.5:
                    wanted.append((asyncio.create_task(patient(client, prompt, n)), prompt, n))
                else:
                    task = asyncio.create_task(patient(client, prompt, 1000))
                    asyncio.get_running_loop().call_later(draw.random() / 5, task.cancel)
                await asyncio.sleep(draw.random() / 100)
            return [(await task, prompt, n) for task, prompt, n in wanted]

    for text, prompt, n in run(all_of_them()):
        assert text == naive(prompt, n)[1]


def test_an_engine_that_breaks_answers_all_with_an_error_and_is_in_the_log(server, caplog):
    engine = engine_of(server)
    with httpx.stream("POST", f"{server.url}/v1/completions", json=body(**LONG)) as open_stream:
        lines = open_stream.iter_lines()
        next(lines)

        def broken():
            raise ValueError("a bug")

        engine.step = broken
        error = [one for one in events_of(lines) if "error" in one]
    assert "a bug" in error[0]["error"]["message"] and "in broken" in caplog.text
    assert post(server, body()).status_code == httpx.get(f"{server.url}/health").status_code == 503
    del engine.step
    engine.abort("0")
    engine.step()


def test_a_thread_that_stops_finishes_or_aborts_what_is_there():
    model, tokenizer = model_and_tokenizer()
    for drain, reason in ((True, "length"), (False, "abort")):
        server = make_server()
        thread = EngineThread(engine_of(server)).start()

        async def ask():
            last = None
            async for output in thread.generate([5, 6, 7], SamplingParams(max_tokens=300, ignore_eos=True)):  # noqa: B023
                if output is None:
                    threading.Thread(target=thread.stop, kwargs={"drain": drain}).start()  # noqa: B023
                last = output
            return last

        last = run(ask())
        assert last.finish_reason == reason and (reason == "abort") == (len(last.token_ids) < 300)
        with pytest.raises(EngineStopped):
            run(ask())


def test_stop_may_come_twice_and_before_start():
    server = make_server()
    thread = server.app.state.service.thread
    server.stop()
    assert thread.stop() and thread.stop()
    with make_server() as server:
        server.stop()
        with pytest.raises(CourseError, match="make_app again"):
            server.app.state.service.thread.start()


def test_a_body_that_never_comes_does_not_keep_the_server(monkeypatch):
    monkeypatch.setattr("course_lib.serving.app.BODY_S", 0.05)
    with make_server() as server, socket.create_connection(server.url.removeprefix("http://").split(":")) as slow:
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        answer = b"".join(iter(lambda: slow.recv(65536), b""))  # the server closes the connection
    assert answer.startswith(b"HTTP/1.1 408") and b"has not come" in answer


def test_an_address_that_cannot_be_had_is_said():
    with pytest.raises(CourseError, match="--port"):
        bind("a..b", 0)
    with make_server() as server, pytest.raises(CourseError, match="--port"):
        bind("127.0.0.1", int(server.url.rpartition(":")[2]))


def test_sigterm_drains_and_a_second_one_ends():
    command = [sys.executable, "-m", "course_lib.cli", "serve", "tale-draft", "--port", "0"]
    for signals in (1, 2):
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        url = next(line for line in running.stdout if line.startswith("Listening")).split()[-1].removesuffix("/v1")
        tokens = 120 if signals == 1 else 1900
        data = body(max_tokens=tokens, stream=True, model="tale-draft", n=16)
        with httpx.stream("POST", f"{url}/v1/completions", json=data, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            for _ in range(signals):
                running.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            if signals == 1:
                assert sum(one["choices"][0]["finish_reason"] == "length" for one in events_of(lines)) == 16
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    list(lines)
        assert running.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    "options",
    [
        "no_such_model",
        "--port -1",
        "--port 99999",
        "--host=",
        "--max-requests 0",
        "--max-body 0",
        "--api-key=",
        "--engine x=1",
        "--served-model-name=",
    ],
)
def test_bad_input_of_the_command_is_one_line_and_exit_code_2(options):
    result = CliRunner().invoke(app, ["serve", *options.split()])
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1, result.stderr
