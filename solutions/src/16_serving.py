# %% [markdown]
# # Exercises 16 · Serving
#
# Four pieces of a front end: the events on the wire, the text that may be sent, what to do when a client hangs up, and
# who is let in. At the end a real server runs on your parts. No GPU is needed. `hint("16.sse")` goes one step further
# each time you call it.

# %% [markdown]
# {{colab}}

# %%
import codecs
import math
from collections import deque

import torch

from course_lib import Engine, EngineConfig, check, hint, load_model, load_parts, progress, setup

machine = setup(quiet=True)

# %% [markdown]
# ## 16.sse · Server-sent events
#
# A server that streams does not know the end of its answer when it begins. So it keeps the connection open and writes
# one **event** after the other, as lines of text:
#
#     data: {"text": " harbour"}
#
#     data: [DONE]
#
# `ServerSentEvents()` is one end of one connection. Two of them share nothing.
#
# `write(text)` takes a str and returns one event: bytes, in UTF-8. Each line of `text` becomes a line: `data: `, the
# line as it is, `\n`. Lines of `text` are separated by `\n` and by nothing else, so `""` is one empty line and `"a\n"`
# is two lines. An empty line ends the event.
#
# `read(chunk)` takes the next bytes of the connection, and returns a list of str: the texts of the events that end
# within this chunk. The network cuts the bytes anywhere: within a line, within a character, between `\r` and `\n`. What
# is not whole yet waits for the next chunk.
#
# - A line ends with `\n` or `\r\n`, and with nothing else. No other `\r` occurs.
# - A line `data:value` is one line of the text of the event. If `value` begins with a space, this one space is taken
#   off. The value may be empty. Several such lines of an event are joined by `\n`.
# - An empty line ends the event. Without a line of data there is no event, and nothing is returned for it.
# - A line that begins with `:` is a comment. Other fields, such as `event: ping` and `id: 3`, are not needed here. Both
#   are ignored.
#
# `is_done` is False until an event with the text `[DONE]` has ended. OpenAI's servers send it last. It is not returned,
# and nothing that comes after it is.
#
#     events = ServerSentEvents()
#     events.write("one\ntwo")               is b"data: one\ndata: two\n\n"
#     events.read(b"data: on")               is []
#     events.read(b"e\n\n: ping\n\n")        is ["one"]

# %% nbgrader={"grade_id": "sse", "solution": true} course={"exercise": "16.sse"}
class ServerSentEvents:
    """Server-sent events on one connection: writes them, and reads them from chunks of bytes."""

    def __init__(self):
        self.is_done = False
        ### BEGIN SOLUTION
        self.rest, self.data = b"", []
        ### END SOLUTION

    def write(self, text):
        """One event: bytes."""
        ### BEGIN SOLUTION
        lines = [f"data: {line}\n" for line in text.split("\n")]
        return "".join(lines).encode() + b"\n"
        ### END SOLUTION

    def read(self, chunk):
        """The texts of the events that end in these bytes: a list of str."""
        ### BEGIN SOLUTION
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        found = []
        for line in lines:
            field, _, value = line.decode().removesuffix("\r").partition(":")
            if field == "data":
                self.data.append(value.removeprefix(" "))
            elif line in (b"", b"\r") and self.data:
                text, self.data = "\n".join(self.data), []
                self.is_done = self.is_done or text == "[DONE]"
                if not self.is_done:
                    found.append(text)
        return found
        ### END SOLUTION

# %% nbgrader={"grade_id": "sse-check", "grade": true, "points": 3}
check("16.sse", ServerSentEvents)

# %% [markdown]
# ## 16.stop_and_stream · What may be sent
#
# A token is bytes, perhaps a part of a character. And what a client has received cannot be taken back. So a server
# holds back two things: a character that is not whole, and an end of the text that may be the beginning of a **stop
# string**.
#
# `StopStream(stop)` is the text of one answer. `stop` is a tuple of strings, perhaps empty; no string in it is empty.
#
# `push(data)` takes the next token, as bytes, and returns what can be sent now, a str, perhaps "":
#
# - If the text contains stop strings now, the text ends where the earliest of them begins. What stands before this
#   place and was not sent yet is returned. The stop string and what follows it are never sent. From then on `push` and
#   `finish` return "", whatever comes.
# - If it does not, an end of the text that is the beginning of any stop string is held back, the longest such end.
#   Everything else is returned, so nothing waits without a reason.
# - Bytes that can still become a character are held back, too. Bytes that cannot are replaced by U+FFFD, as in
#   `data.decode(errors="replace")`.
#
# `finish()` is called after the last token, once. It returns what was held back: no token follows that could make a
# stop string of it. A character that is not whole becomes U+FFFD.
#
# `is_stopped` says whether a stop string was found, also after `finish`. Two streams share nothing.
#
#     stream = StopStream(("END",))
#     stream.push(b"on E")     is "on "
#     stream.push(b"N")        is ""         because "EN" may begin "END"
#     stream.push(b"T")        is "ENT"      and now it does not

# %% nbgrader={"grade_id": "stop_and_stream", "solution": true} course={"exercise": "16.stop_and_stream"}
class StopStream:
    """The text of one answer as it may be sent, up to the first stop string. stop: a tuple of strings."""

    def __init__(self, stop):
        self.is_stopped = False
        ### BEGIN SOLUTION
        self.stop, self.held = stop, ""
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        ### END SOLUTION

    def push(self, data):
        """The bytes of the next token. Returns the text that can be sent now: a str."""
        ### BEGIN SOLUTION
        if self.is_stopped:
            return ""
        text = self.held + self.decoder.decode(data)
        found = [text.find(stop) for stop in self.stop if stop in text]
        if found:
            self.is_stopped, self.held = True, ""
            return text[: min(found)]
        begun = [n for stop in self.stop for n in range(1, len(stop)) if text.endswith(stop[:n])]
        cut = len(text) - max(begun, default=0)
        self.held = text[cut:]
        return text[:cut]
        ### END SOLUTION

    def finish(self):
        """No token follows. Returns what was held back: a str."""
        ### BEGIN SOLUTION
        if self.is_stopped:
            return ""
        return self.held + self.decoder.decode(b"", final=True)
        ### END SOLUTION

# %% nbgrader={"grade_id": "stop_and_stream-check", "grade": true, "points": 3}
check("16.stop_and_stream", StopStream)

# %% [markdown]
# ## 16.cancel · A client hangs up
#
# A client that closes its connection no longer wants its answer. Until the engine is told, the request holds blocks and
# takes a place in every step. The front end tells it, exactly once, at whatever stage the request is.
#
# Two threads meet here. Connections belong to the **event loop**, which must never wait, so it never touches the
# engine. The **engine's thread** calls `turn()` again and again. Between them is an inbox. `collections.deque` is made
# for that: `append` in one thread and `popleft` in another are safe.
#
# `FrontEnd(engine)`:
#
# - `connect(client, request)` and `hang_up(client)` are called by the event loop. They only put something into the
#   inbox.
# - `turn()` is called by the engine's thread. First it takes everything from the inbox. Then, if
#   `engine.has_unfinished()`, it calls `engine.step()` once and hands out what that returns. Without anything
#   unfinished it does not call `step`.
# - `num_open()` is how many requests the engine works on for clients: given to it, not finished, not aborted.
#
# Nothing that comes into the inbox is lost, also where it comes while `turn` runs. Two front ends share nothing.
#
# The engine has `add_request(request)`, which returns an id, a str, `abort(request_id)`, `has_unfinished()` and
# `step()`, which returns a list of outputs. An output has `request_id` and `finished`. For each output call
# `client.send(output)`. After the last one, which has `finished` set, call `client.close()`. A client connects once; it
# can be a key of a dict, and a request cannot.
#
# What `turn()` does about clients that are gone:
#
# - A request whose client hung up before `turn()` saw it is never given to the engine. The others are given to it in
#   the order in which they came.
# - A request that waits or runs in the engine is aborted, once, before the step.
# - For a request that has finished nothing is done. The engine must not be asked to abort it.
# - A client may hang up twice. The second hang-up does nothing. The hang-up of a client that never connected does
#   nothing either.
# - A client that was aborted gets nothing any more: no `send`, no `close`. `step()` may still return a last output of
#   its request.
# - `send` raises `ConnectionError` if the client is gone and nobody has noticed. Then its request is aborted in the
#   same turn, `close` is not called, and all others get their outputs. If this was the last output, the request has
#   finished, and nothing is aborted. A `hang_up` of the client that comes afterwards does nothing.

# %% nbgrader={"grade_id": "cancel", "solution": true} course={"exercise": "16.cancel"}
class FrontEnd:
    """Between clients and an engine: connect and hang_up are called in one thread, turn in another."""

    def __init__(self, engine):
        ### BEGIN SOLUTION
        self.engine, self.inbox = engine, deque()
        self.ids = {}  # client -> request id, of the requests that the engine works on
        ### END SOLUTION

    def connect(self, client, request):
        """A client has come with its request. Does not touch the engine."""
        ### BEGIN SOLUTION
        self.inbox.append(("connect", client, request))
        ### END SOLUTION

    def hang_up(self, client):
        """A client is gone. Does not touch the engine."""
        ### BEGIN SOLUTION
        self.inbox.append(("hang up", client, None))
        ### END SOLUTION

    def num_open(self):
        """How many requests the engine works on for clients."""
        ### BEGIN SOLUTION
        return len(self.ids)
        ### END SOLUTION

    def turn(self):
        """Takes what is in the inbox, lets the engine do a step, and hands out its outputs."""
        ### BEGIN SOLUTION
        new = {}
        while self.inbox:
            what, client, request = self.inbox.popleft()
            if what == "connect":
                new[client] = request
            elif client in new:
                del new[client]
            elif client in self.ids:
                self.engine.abort(self.ids.pop(client))
        for client, request in new.items():
            self.ids[client] = self.engine.add_request(request)
        if not self.engine.has_unfinished():
            return
        outputs = self.engine.step()
        clients = {request_id: client for client, request_id in self.ids.items()}
        for output in outputs:
            client = clients.get(output.request_id)
            if client is None:  # it was aborted
                continue
            if output.finished:
                del self.ids[client]
            try:
                client.send(output)
                if output.finished:
                    client.close()
            except ConnectionError:
                if not output.finished:
                    self.engine.abort(self.ids.pop(client))
        ### END SOLUTION

# %% nbgrader={"grade_id": "cancel-check", "grade": true, "points": 4}
check("16.cancel", FrontEnd)

# %% [markdown]
# ## 16.admission · Who is let in
#
# More requests come than the engine can serve. If all of them are taken, all of them are slow, and the queue grows
# without end. A server that says *not now*, early and honestly, serves the others well. HTTP has the status **429** for
# that, with a header `Retry-After`: how many seconds to wait.
#
# `Admission(most_waiting, token_budget, tokens_per_s)`: requests that run may need at most `token_budget` tokens
# together, and at most `most_waiting` requests may wait, perhaps 0. What a request needs is the tokens of its prompt
# and the most that it may write.
#
# `arrive(request_id, num_tokens)` returns the first of these that is true:
#
# - `("refuse", None)`: it is refused for good, since it needs more than `token_budget` by itself. A client that tried
#   again would try for ever.
# - `("run", None)`: it starts now. No request waits, and the running requests and this one together need at most
#   `token_budget`.
# - `("wait", None)`: it waits. Fewer than `most_waiting` requests wait.
# - `("refuse", seconds)`: it is refused, since `most_waiting` requests wait. `seconds` is an int: how long until the
#   next request can start. The next one is the one that has waited longest or, if none waits, this one. It lacks some
#   tokens: what the running requests need, plus what it needs, minus `token_budget`. The running requests give back
#   `tokens_per_s` tokens in a second. Round up to whole seconds.
#
# `leave(request_id)`: a request has ended, or its client has hung up, while it ran or while it waited. Returns a list:
# the ids of the waiting requests that start now, in the order in which they came. None of them overtakes: the first
# that does not fit ends the list. An id that neither runs nor waits changes nothing: it was refused, or it has left
# already.
#
# `num_tokens` is an int of at least 1, `tokens_per_s` is a number above 0, perhaps a fraction, and each request has an
# id of its own. Two objects share nothing.
#
#     admission = Admission(1, 100, 20)
#     admission.arrive("a", 70)     is ("run", None)
#     admission.arrive("b", 50)     is ("wait", None)
#     admission.arrive("c", 10)     is ("refuse", 1)       70 + 50 - 100 = 20 tokens are missing for b
#     admission.leave("a")          is ["b"]

# %% nbgrader={"grade_id": "admission", "solution": true} course={"exercise": "16.admission"}
class Admission:
    """Who starts, who waits and who is refused, by the tokens that requests may need."""

    def __init__(self, most_waiting, token_budget, tokens_per_s):
        ### BEGIN SOLUTION
        self.most_waiting, self.token_budget, self.tokens_per_s = most_waiting, token_budget, tokens_per_s
        self.running, self.waiting = {}, {}  # request id -> its tokens
        ### END SOLUTION

    def arrive(self, request_id, num_tokens):
        """("run", None), ("wait", None), ("refuse", seconds) or ("refuse", None)."""
        ### BEGIN SOLUTION
        if num_tokens > self.token_budget:
            return "refuse", None
        in_use = sum(self.running.values())
        if not self.waiting and in_use + num_tokens <= self.token_budget:
            self.running[request_id] = num_tokens
            return "run", None
        if len(self.waiting) < self.most_waiting:
            self.waiting[request_id] = num_tokens
            return "wait", None
        first = next(iter(self.waiting.values()), num_tokens)
        return "refuse", math.ceil((in_use + first - self.token_budget) / self.tokens_per_s)
        ### END SOLUTION

    def leave(self, request_id):
        """The ids of the requests that start because this one has left: a list."""
        ### BEGIN SOLUTION
        self.running.pop(request_id, None)
        self.waiting.pop(request_id, None)
        started = []
        for other, num_tokens in list(self.waiting.items()):
            if sum(self.running.values()) + num_tokens > self.token_budget:
                break
            started.append(other)
            self.running[other] = self.waiting.pop(other)
        return started
        ### END SOLUTION

# %% nbgrader={"grade_id": "admission-check", "grade": true, "points": 3}
check("16.admission", Admission)

# %% [markdown]
# ## A server on your parts
#
# `load_parts` checks what you have passed again and loads it, or the reference in its place. `own_server` puts the
# parts into the server of `course_lib`: your `Admission` is asked about each request, your `FrontEnd` stands between
# the connections and the engine, and your `StopStream` makes the text. A client reads the bytes with your
# `ServerSentEvents`. If you have passed `04.allocator`, your allocator gives the blocks.

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator", "16.sse", "16.stop_and_stream", "16.cancel", "16.admission")
parts

# %% tags=["raises-exception"]
import contextlib
import json
import time

import httpx

from course_lib.practice.play import own_server

model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
engine = Engine(model, EngineConfig(block_size=8, num_blocks=250, prefix_caching=False), tokenizer=tokenizer,
                allocator=parts["04.allocator"], trace=False)
server, log = own_server(engine, "tale", parts, most_waiting=1, token_budget=2000, tokens_per_s=200)
server.start()


def stream_of(max_tokens, stop=()):
    """An open stream: leave the `with` to hang up."""
    body = {"model": "tale", "prompt": "Once upon a time", "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True,
            "stream": True, "stop": list(stop)}
    return httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60, trust_env=False)


def texts(answer):
    """The text of an answer, piece by piece."""
    events = parts["16.sse"]()
    for chunk in answer.iter_raw():
        for text in events.read(chunk):
            yield json.loads(text)["choices"][0]["text"]


with stream_of(60, stop=["lived"]) as answer:
    print("".join(texts(answer)))

# %% [markdown]
# Each client may need the tokens of its prompt and 900 more, and the budget is 2,000. Two clients run, a third one
# waits, and a fourth one is refused. Then all hang up, also the one that waits. The last line says of each of these
# four requests how it ended, and whether it had begun to run.

# %% tags=["raises-exception"]
def blocks_in_use():
    return engine.allocator.num_blocks - engine.allocator.num_free


with contextlib.ExitStack() as connections:
    for number in range(4):
        answer = connections.enter_context(stream_of(900))
        print(f"client {number}: status {answer.status_code}, Retry-After {answer.headers.get('Retry-After')}")
        if number < 2:
            reading = connections.enter_context(contextlib.closing(texts(answer)))
            next(reading)
    print("blocks are in use:", blocks_in_use() > 0)

while log.num_open or engine.has_unfinished():  # the hang-ups are on their way
    time.sleep(0.001)
print("blocks in use after the hang-ups:", blocks_in_use())
print([(request["how"], request["begin"] is not None) for request in log.snapshot()["requests"]][1:])

# %% tags=["raises-exception"]
server.stop()

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
