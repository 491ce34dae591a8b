# %% [markdown]
# # 16 · Serving
#
# - **You will** put the engine behind an address that OpenAI clients can talk to, stream its tokens, hang up on it,
#   overload it, and look at its memory meanwhile.
# - **Why** an engine that nobody can reach serves nobody. And clients hang up, read slowly, and come all at once: the
#   server must be ready for that.
# - **Time** 45 minutes, and two hours for the exercises.
# - **You need** lessons 10 and 12.
# - **After it** you can say what goes over the wire, why the event loop never waits for the engine, and what must
#   happen when a client hangs up.
#
# The server runs in this notebook's own process, on 127.0.0.1 and a free port. It ends with the last cell, or with the
# kernel. Four objects of the course make it. `EngineThread` calls the engine. `RequestLog` records when each request
# came, got its tokens and ended, for the pictures. `make_app` is the HTTP interface, and `BackgroundServer` runs it in
# a thread.

# %% [markdown]
# {{colab}}

# %%
import asyncio
import codecs
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, load_parts, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.models.chat import ChatTemplates
from course_lib.practice.play import own_server
from course_lib.serving import BackgroundServer, EngineThread, RequestLog, make_app
from course_lib.serving.engine_thread import Stream
from course_lib.viz import chat_box, request_streams

# %% tags=["nbval-ignore-output"]
setup()
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
engine = Engine(model, EngineConfig(block_size=8, num_blocks=128, max_num_seqs=4, prefix_caching=False),
                tokenizer=tokenizer, trace=False)
log = RequestLog(EngineThread(engine, most_requests=6))
server = BackgroundServer(make_app(engine, "tale", thread=log)).start()
client = httpx.Client(base_url=server.url, timeout=60, trust_env=False)
print(server.url)

# %% [markdown]
# ## What goes over the wire
#
# vLLM, SGLang and this course's server have the HTTP interface of OpenAI: `/v1/completions` continues a text,
# `/v1/chat/completions` answers messages. So a client that uses these two addresses can talk to each of them. It sends
# a **POST** with a JSON body, and gets JSON back:

# %% tags=["nbval-ignore-output"]
asked = {"model": "tale", "prompt": "Once upon a time, in a quiet harbour,", "max_tokens": 12, "temperature": 0}
answer = client.post("/v1/completions", json=asked)
print(answer.status_code, answer.headers["content-type"])
print(json.dumps(answer.json(), indent=1))

# %%
ids = tokenizer.encode(asked["prompt"])
alone = tokenizer.decode(generate_naive(model, ids, SamplingParams(max_tokens=12)))
print("the text of generate_naive:", answer.json()["choices"][0]["text"] == alone)

# %% [markdown]
# The text is the same as that of the model alone, without a server (`generate_naive`, lesson 01). But the whole answer
# comes at the end. A reader would rather see each token when it is there. With `"stream": true` the same address
# answers with **server-sent events**. Here are the raw bytes:

# %%
predict("16.when", "How does the client know that an event of a stream is whole?",
        ["Its length stands in front of it", "An empty line ends it", "Each event is one packet of the network"], answer=1)

# %% tags=["nbval-ignore-output"]
with client.stream("POST", "/v1/completions", json=asked | {"max_tokens": 3, "stream": True}) as answer:
    print(answer.headers["content-type"])
    for chunk in answer.iter_raw():
        print(chunk)

# %% [markdown]
# Each event is a line `data: ` with JSON in it, and an empty line. Its text is one token, or several that were ready
# together. `data: [DONE]` says that nothing follows. The format is plain text, so `curl` shows it.
#
# A chunk is what the network brought at a time. Its end may be in the middle of an event, and even in the middle of a
# character. Here is one event, cut at two such places:

# %%
event = 'data: {"text": " café"}\n\n'.encode()
for cut in (9, 21):
    print(event[:cut], event[cut:])
try:
    event[:21].decode()
except UnicodeDecodeError as error:
    print("UnicodeDecodeError:", error.reason)

# %% [markdown]
# So a reader keeps what is not whole until the rest comes. That is `16.sse` of the exercises; if you have passed it,
# the streams below are read by your code.

# %% tags=["nbval-ignore-output"]
parts = load_parts("16.sse", "16.stop_and_stream", "16.cancel", "16.admission")
parts

# %%
def stream(path, body):
    """The choices of a streamed answer, as they come. Closing it hangs up."""
    events = parts["16.sse"]()
    with client.stream("POST", path, json=body | {"model": "tale", "stream": True}) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {json.loads(answer.read())['error']['message']}")
        for chunk in answer.iter_raw():
            for text in events.read(chunk):
                yield json.loads(text)["choices"][0]


# %% tags=["nbval-ignore-output"]
print([choice["text"] for choice in stream("/v1/completions", asked)])

# %% [markdown]
# ## A front end that never blocks
#
# The **front end** is what stands between the connections and the engine.
#
# One thread runs the **event loop**: a function that goes from connection to connection and does what can be done at
# once. It can hold thousands of connections, as long as nothing in it takes long. A step of the engine takes long. What
# if the event loop called `engine.step()` itself?

# %%
predict("16.loop", "Four steps of 50 ms run in the event loop, and after each of them it looks at its connections. How long does one of these wait at most?",
        ["It does not wait", "About 50 ms", "About 200 ms"], answer=1)

# %% tags=["nbval-ignore-output"]
async def wait_again_and_again(waits):
    """Another connection: each time it wants to wait for 1 ms, and writes down how much longer it was."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(1e3 * (time.perf_counter() - before) - 1)


for where in ("in the event loop", "in a thread"):
    waits = []
    other = asyncio.create_task(wait_again_and_again(waits))
    for _ in range(4):
        if where == "in a thread":
            await asyncio.to_thread(time.sleep, 0.05)                # a step of 50 ms
        else:
            time.sleep(0.05)
        await asyncio.sleep(0.002)
    other.cancel()
    print(f"{where:>17}: the other connection waited {max(waits):4.1f} ms at most")

# %% [markdown]
# While a step runs in the event loop, nothing else happens: no connection is accepted, no token is sent, and no closed
# connection is noticed. So the engine runs in a **thread** of its own. (Torch gives up Python's lock, the GIL, while it
# computes; between its operations a step still holds it, and then the event loop waits. vLLM's engine runs in a process
# of its own, which has a lock of its own.) Between the event loop and the engine is an **inbox**:
#
#     client <-- HTTP --> event loop -- add, abort --> inbox --> engine's thread: all messages, a step, ...
#                             ^--------- the outputs of a step: one message ---------'
#
# The event loop puts a message into the inbox and goes on. The engine's thread looks into it between two steps:

# %%
show(EngineThread._take_messages)

# %% [markdown]
# If the engine has nothing to compute (`is_idle`), `get` waits for a message. If it has, an empty inbox ends the loop,
# and the thread runs a step.
#
# A client may read slowly. The engine must not wait for it, and outputs that the client has not read must not fill the
# memory. An output holds the whole text so far. So a stream keeps the **newest output only**:

# %%
show(Stream.put)

# %% [markdown]
# `pop` takes out an output that was not read, and its token ids go before those of the new one. (`index` is the number
# of the sequence, if `n` are asked for.) A slow client gets several tokens at once.
#
# ## See it
#
# The server runs four requests at a time, and takes no more than six that are not finished. Six clients come, and then
# a seventh. Two **hang up**, that is, they close their connection before the answer is over: client 2, whose answer
# streams, and client 6, which still waits. The view is live: it shows your server while the cell runs.

# %%
predict("16.seventh", "Six requests are unfinished, and that is the limit. What does the server do with a seventh one?",
        ["It waits in the queue", "It is refused at once", "The oldest one is cancelled"], answer=1)

# %% tags=["nbval-ignore-output"]
def come(number, hang_up_after=None):
    """A client. hang_up_after: it reads nothing, and closes the connection after so many seconds."""
    body = {"model": "tale", "prompt": f"Tale {number}. Once upon a time", "max_tokens": 60, "temperature": 0, "ignore_eos": True, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as answer:
        print(f"client {number}: {answer.status_code}")
        if hang_up_after is None:
            answer.read()
        else:
            time.sleep(hang_up_after)


view = request_streams(log)
with view.live():
    log.clear()
    clients = [threading.Thread(target=come, args=(number, {2: 0.15, 6: 0.05}.get(number))) for number in range(1, 8)]
    for one in clients:
        one.start()
        time.sleep(0.02)
    for one in clients:
        one.join()
    time.sleep(0.05)                                             # a hang-up is noticed a moment later

# %% [markdown]
# R1 to R7 are the requests of clients 1 to 7. **429** is the status of HTTP for "too many requests"; the part *Too
# many* below comes back to it.
#
# - Which requests wait for longer than one step, and what ends their waiting?
# - Find the moments at which blocks go back. Whose are they?
#
# ## Hang up, and the blocks are free
#
# A request holds its blocks until it ends. If its client is gone and the engine does not know, it computes on for
# nobody. What does the ledger say, before and after a hang-up?

# %%
predict("16.blocks", "A client hangs up in the middle of its answer. When are its blocks free?",
        ["When max_tokens is reached", "A step or two later", "When memory is full, and not before"], answer=1)

# %%
def in_use():
    return engine.allocator.num_blocks - engine.allocator.num_free


def settle():
    """Waits until the engine has nothing to do."""
    while log.num_open or engine.has_unfinished():
        time.sleep(0.002)


settle()
log.clear()
pieces = stream("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 1000, "temperature": 0, "ignore_eos": True})
for _ in range(20):
    next(pieces)
print("before the hang-up, blocks are in use:", in_use() > 0)
pieces.close()
settle()
print("after it, blocks in use:", in_use())

# %% tags=["nbval-ignore-output"]
[request] = log.snapshot()["requests"]
freed = next(at for at, blocks in log.snapshot()["memory"] if blocks == 0 and at > request["arrival"])
print(f"{len(request['tokens'])} tokens of 1,000 were streamed; a token took {1e3 * (request['tokens'][-1] - request['tokens'][0]) / (len(request['tokens']) - 1):.1f} ms, "
      f"and the blocks were free {1e3 * (freed - request['tokens'][-1]):.1f} ms after the last one")

# %% [markdown]
# The blocks were free within a step or two. The closed connection is an event for the event loop, which puts an `abort`
# into the inbox. A step that runs at that moment is finished first; then the engine's thread finds the `abort`, before
# its next step.
#
# **The engine must be told exactly once.** If it is not told, it computes on. If it is told twice, an engine that uses
# ids again may abort another request. The rule is easy to break: the request may still be in the inbox, may wait, may
# run, or may have finished a moment ago, and a hang-up may be noticed twice. `16.cancel` is about that.
#
# ## Break it: a front end that does not tell the engine
#
# `own_server` makes a server whose front end is `16.cancel`, yours if you have passed it. Here one of its methods is
# left out:

# %%
class Forgetful(parts["16.cancel"]):
    """A front end that does not tell the engine of hang-ups."""

    def hang_up(self, client):
        pass


small = Engine(model, EngineConfig(block_size=8, num_blocks=256, prefix_caching=False), tokenizer=tokenizer, trace=False)
forgetful, small_log = own_server(small, "tale", parts | {"16.cancel": Forgetful})
body = {"model": "tale", "prompt": "Once upon a time", "max_tokens": 150, "temperature": 0, "ignore_eos": True, "stream": True}
with forgetful:
    for _ in range(3):
        with httpx.stream("POST", f"{forgetful.url}/v1/completions", json=body, trust_env=False) as answer:
            next(answer.iter_raw())
    while small.has_unfinished():
        time.sleep(0.01)
print(f"{small.metrics.num_generated_tokens} tokens were computed for three clients, which read one chunk each")

# %% [markdown]
# Each of the three requests got all its 150 tokens. With such a front end every client that reloads its page leaves a
# request behind, and the server is busy with answers that nobody reads.
#
# ## Text on a stream
#
# Text that was sent cannot be taken back. So two things are held back.
#
# **Parts of a character.** The tokens of many tokenizers are bytes, and a token may end in the middle of a character:

# %%
pieces = [bytes([byte]) for byte in "日本".encode()]
print("each piece alone:", [piece.decode(errors="replace") for piece in pieces])
decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
print("held back:       ", [decoder.decode(piece) for piece in pieces])

# %% [markdown]
# **What may be the beginning of a stop string.** A stop string ends the answer and is no part of it. Its first
# characters may come with one token, and the others with the next:

# %%
predict("16.stop", 'The stop string is "END". The text so far is "the EN". How much of it may be sent?',
        ["All of it", '"the "', "Nothing until the answer is over"], answer=1)

# %%
text = parts["16.stop_and_stream"](("END",))
for piece in (b"the ", b"EN", b"TRY is ", b"at the E", b"ND of"):
    print(f"{piece!s:>12} -> {text.push(piece)!r}")
print("stopped:", text.is_stopped)

# %% [markdown]
# `EN` is held back. `TRY` shows that it was no stop string, so both are sent. The second `E` is held back, `ND`
# completes the stop string, and nothing more is sent.
#
# Now on the server, with a stop string that no token holds by itself:

# %%
body = {"prompt": "Once upon a time, in a quiet harbour,", "max_tokens": 60, "temperature": 0}
whole = "".join(choice["text"] for choice in stream("/v1/completions", body))
stop = whole[20:27]
stopped = list(stream("/v1/completions", body | {"stop": [stop]}))
print("without:", repr(whole[:48]))
print("stop string:", repr(stop))
print("sent:   ", repr("".join(choice["text"] for choice in stopped)), stopped[-1]["finish_reason"])

# %% [markdown]
# The stop string begins inside the token ` serious`: `serio` was sent, and `us` was held back.
#
# ## Chats
#
# `/v1/chat/completions` takes messages. A model takes tokens. Between them is a **chat template**: a small program, in
# the language Jinja, that comes with the model and writes the messages as one text, in the form that the model was
# trained with. Qwen's models, among others, use this form, ChatML:

# %%
chatml = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a page?"}]
print(ChatTemplates({"default": chatml}).render(messages, add_generation_prompt=True))

# %% [markdown]
# The last line asks for an answer: without it the model might write another message of the user. A model that is given
# another form than it was trained with still answers: no error says that the form is wrong.
#
# Our `tale` never learned to chat. It goes on with a tale. So its template writes the messages one after the other,
# behind the token that begins every tale, `bos_token`.

# %%
tokenizer.chat_templates = ChatTemplates({"default": "{{ bos_token }}{{ messages | map(attribute='content') | join(' ') }}"},
                                         tokenizer.chat_templates.special_tokens)


def ask(messages):
    """The pieces of the answer to a conversation."""
    body = {"messages": messages, "max_tokens": 80, "temperature": 0.7, "seed": len(messages)}
    for choice in stream("/v1/chat/completions", body):
        yield choice["delta"].get("content", "")


box = chat_box(ask, memory=lambda: (in_use(), engine.allocator.num_blocks))

# %% tags=["nbval-ignore-output"]
box.say("Once upon a time, in a quiet harbour, there lived")
box.say("The next morning")
box

# %% [markdown]
# Write into the box: the beginning of a sentence is best. While the answer streams, its blocks fill; then they are
# free. *Hang up* cancels it.
#
# Each message sends the **whole** conversation again: the server keeps no conversations. This engine computes all of it
# again, too (`prefix_caching=False`). With a prefix cache (lesson 05) the blocks of the earlier messages may still be
# there.
#
# ## Too many
#
# An engine computes a certain number of tokens a second. If requests come faster, a server without a limit lets them
# wait:

# %%
predict("16.queue", "Requests come twice as fast as they are served, and all are taken. How long does a new one wait until it begins?",
        ["As long as at any other time", "Twice as long as usual", "Longer and longer, without end"], answer=2)

# %%
def waits_for(limit, rate=2.0, places=4, number=200):
    """(seconds until each request that was taken begins, how many were refused). Each takes a second, `places` run at a time."""
    free_at, begins, waits = [0.0] * places, [], []
    for at in range(number):
        now = at / places / rate                                 # they come `rate` times as fast as they are served
        if limit is not None and sum(begin > now for begin in begins) >= limit:
            continue
        free_at.sort()
        begins.append(max(now, free_at[0]))
        waits.append(begins[-1] - now)
        free_at[0] = begins[-1] + 1.0
    return waits, number - len(waits)


for limit in (None, 16, 4):
    waits, refused = waits_for(limit)
    halves = [sum(half) / len(half) for half in (waits[:len(waits) // 2], waits[len(waits) // 2:])]
    print(f"limit of the queue {limit!s:>4}: {len(waits)} taken, {refused:2} refused; the first half waits {halves[0]:4.1f} s on average, the second {halves[1]:4.1f} s")

# %% [markdown]
# Without a limit the wait grows as long as requests come faster than they are served. With a limit it stops growing
# when the queue is full, and clients that are refused know it at once: status **429**, with the header `Retry-After`.
# The client library `openai` waits that long (up to a minute) and asks again by itself, twice unless it is told
# otherwise.

# %% tags=["nbval-ignore-output"]
body = {"model": "tale", "prompt": "Once", "max_tokens": 1000, "temperature": 0, "ignore_eos": True, "stream": True}
with contextlib.ExitStack() as connections:
    for number in range(6):
        connections.enter_context(client.stream("POST", "/v1/completions", json=body))
    refused = client.post("/v1/completions", json=body)
    print(refused.status_code, "Retry-After:", refused.headers["Retry-After"])
    print(refused.json()["error"]["message"])
settle()

# %% [markdown]
# This server always answers `Retry-After: 1`, and its limit counts requests. But requests differ: one asks for ten
# tokens, another for a thousand. `16.admission` counts the tokens that they may need, keeps their order, and works out
# `Retry-After`. Here is a server on the parts of the exercises. Its running requests may need 2,040 tokens together
# (`token_budget`), and one more request may wait (`most_waiting`). It assumes that running requests give back 100
# tokens of the budget a second (`tokens_per_s`):

# %%
own_engine = Engine(model, EngineConfig(block_size=8, num_blocks=256, prefix_caching=False), tokenizer=tokenizer, trace=False)
own, own_log = own_server(own_engine, "tale", parts, most_waiting=1, token_budget=2040, tokens_per_s=100)
print(f"a client may need {len(tokenizer.encode(body['prompt'])) + body['max_tokens']} tokens")
with own, contextlib.ExitStack() as connections:
    for number in range(4):
        answer = connections.enter_context(httpx.stream("POST", f"{own.url}/v1/completions", json=body, timeout=60, trust_env=False))
        print(f"client {number}: {answer.status_code}, Retry-After {answer.headers.get('Retry-After')}")
    connections.close()
    while own_log.num_open or own_engine.has_unfinished():
        time.sleep(0.002)
    print("afterwards all blocks are free:", own_engine.allocator.num_free == own_engine.allocator.num_blocks)

# %% [markdown]
# Two run. The third was taken, so its status is 200 at once, and it waits. The fourth is refused, because one waits
# already. `Retry-After` says when the one that waits can start: it lacks 3 · 1,003 − 2,040 = 969 tokens, and at 100
# tokens a second they come back in 10 seconds, rounded up.
#
# ## Metrics
#
# **Prometheus** is a database for measurements. It asks a server for `/metrics` again and again, at a fixed interval,
# and keeps what it reads. The names here are vLLM's, so a dashboard that draws them can draw this server too:

# %% tags=["nbval-ignore-output"]
for line in client.get("/metrics").text.splitlines():
    if not line.startswith("#") and "_bucket" not in line and "_created" not in line:
        print(line)

# %% [markdown]
# *Counters* only grow, such as tokens; a dashboard shows how fast. *Gauges* go up and down, such as waiting requests.
# *Histograms* count how many latencies were below each of some bounds (the lines `_bucket`, left out above). The counts
# of many servers can be added, and percentiles can be estimated from the added counts; percentiles themselves cannot be
# added. To notice too many requests early, watch `num_requests_waiting`: it rises as soon as requests wait. This server
# counts the TTFT of a request only when the request has ended.
#
# ## The same benchmark, any server
#
# `course bench` is a benchmark from the shell, with the workloads and latencies of lesson 12. With `--url` it sends
# each request over HTTP when it is due, and measures at the client. `--rate 8`: 8 requests a second. `--lengths 32:16`:
# 32 tokens of prompt, 16 of output. `--vocab-size`: prompts are random ids below it:

# %% tags=["nbval-ignore-output"]
with tempfile.TemporaryDirectory() as folder:
    options = f"--url {server.url}/v1 --rate 8 --num-requests 12 --lengths 32:16 --vocab-size 2560 --output {folder}/run.json"
    course = [sys.executable, "-c", "from course_lib.cli import app; app()"]  # `course` in a shell
    bench = subprocess.run([*course, "bench", *options.split()], capture_output=True, text=True)
print(bench.stdout or bench.stderr)

# %% [markdown]
# *Failed requests* are those that were refused with 429, because six were unfinished. If the machine is fast enough,
# there are none. *Peak concurrent requests* counts all that were there at any time within one second, as vLLM does: it
# can be more than the six of our limit. *Drift* is a change of the latencies from the first third of a run to the last.
# The same command measures vLLM, on a machine with a GPU:
#
#     vllm serve Qwen/Qwen3-0.6B --port 8001
#     course bench --url http://127.0.0.1:8001/v1 --rate 4
#
# And vLLM's own client measures ours. NAME is what our server calls its model, and FOLDER has the model's tokenizer:
#
#     vllm bench serve --backend openai --base-url http://127.0.0.1:8000 --model NAME --tokenizer FOLDER
#
# ## From the shell, and from Python
#
#     course serve tale --port 8000
#     curl -N http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \
#          -d '{"model": "tale", "prompt": "Once upon a time", "max_tokens": 40, "stream": true}'
#
# In Python, with OpenAI's own library (`pip install openai`):
#
#     client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
#     client.completions.create(model="tale", prompt="Once upon a time", max_tokens=40).choices[0].text
#
# The server listens at 127.0.0.1 unless you say otherwise, can ask for an API key (`--api-key`), and after Ctrl-C
# finishes the running answers before it ends.
#
# In vLLM: `vllm/entrypoints/openai/` has the routes, `vllm/v1/engine/async_llm.py` is the front end in the event loop,
# `vllm/v1/engine/core.py` runs the engine in a process of its own, and `vllm/v1/metrics/` has the metrics.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("16")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A client hangs up one moment after its last token was computed. What must the front end do?</b></summary>
#
# Nothing. The request has ended, and its blocks went back with the step that computed that token. There is nothing to
# abort: our engine's `abort` would return False. An engine that uses ids again might abort another request.
# </details>
#
# <details><summary><b>2. Why does a stream keep its newest output only, and not all of them in a queue?</b></summary>
#
# An output holds the whole text so far, so older ones say nothing more. A queue would grow as long as the client does
# not read, and clients that do not read exist.
# </details>
#
# <details><summary><b>3. The stop string is a line end and another one. The model writes a line end in every sentence. What does a client see?</b></summary>
#
# Each line end comes one token late: it is held back until the next token shows that no second line end follows. The
# rest of the text is not late.
# </details>
#
# ## Next
#
# [exercises/16_serving.ipynb](../exercises/16_serving.ipynb): the events on the wire, the text that may be sent, clients that hang up, and who is let in.

# %%
client.close()
server.stop()
