# %% [markdown]
# # 10 · Continuous batching
#
# - **You will** run a serving loop of under 30 lines in which requests join and leave at every step, read the engine
#   that has the same parts, and replay a run of it, request by request. In the exercises you write such a loop.
# - **Why** a static batch waits until it is full, and goes on computing rows of requests that have finished. A batch
#   that is chosen anew for each step does neither. Below, it serves the same 24 requests in about half the runs of the
#   model.
# - **Time** 50 minutes, and two hours and a quarter for the exercises.
# - **You need** lessons 04 and 09.
# - **After it** you can read the step of a server such as vLLM: which requests are in it, what its flat batch contains,
#   and why in float32 the tokens of a request do not depend on the other requests.

# %% [markdown]
# {{colab}}

# %%
import math
import random
import time
from collections import deque

import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, load_parts, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.batching import DynamicBatcher, count_batches, run_static, simulate_batches
from course_lib.engine import Request
from course_lib.kvcache import BlockTable, KVPool, PagedCache
from course_lib.viz import chart, panel

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # lesson 01 shows how bfloat16 can change a token

# %% [markdown]
# ## A batch for each step
#
# A static batch is fixed from its start to its end. It starts when it is full, no request joins while it runs, and it ends with its longest
# output. Lesson 09 counted what that costs: waiting, padding, and rows of requests that have finished.
#
# A request does not need a whole batch. It needs one run of the model for each of its tokens, and between two runs nothing holds the batch
# together. So the server can choose before **each** run which requests are in it. Requests that have arrived join, and requests that have
# finished leave. This is **iteration-level scheduling** ([Orca, OSDI '22](https://www.usenix.org/conference/osdi22/presentation/yu)), today
# called **continuous batching**. One run of the model for all requests that are in the batch then is a **step**.
#
# A running request that decodes gets one token in each step. So the time of a step is its **inter-token latency** (ITL,
# lesson 02). A request's **time to first token** (TTFT) is the time that it waits, plus the steps of its prefill.
#
# ## One row of tokens
#
# The requests of a step differ. Some have just joined, and all tokens of their prompts are to be computed: **prefill**.
# The others have one new token each: **decode**. For the three requests below, a rectangle of requests × tokens would
# have 3 · 5 places for 7 tokens. The model of this course takes a **flat batch** instead (lesson 04): all tokens of the
# step in one row. Attention finds the keys and values of each request in its block table:
#
#     token_ids      | the 5 tokens of a's prompt | b  | c |     a has just joined; b and c have one new token each
#     positions      | 0    1    2    3    4      | 9  | 6 |     each in its own sequence
#     cu_seqlens_q   0                            5    6   7     where each request begins in the row, and the end
#     seq_lens         5                            10   7       tokens of each sequence that are in the cache after the step
#     logits_for                           4        5    6       the last token of each request: its logits give the next one
#
# All parts of the model except attention work on each token by itself: norms, matrix products, activations. So the tokens of different
# requests can stand side by side in the row, and no token of it is padding.

# %%
predict("10.company", "Three requests share a step, in float32. Can the tokens of one depend on which other requests are in the row?",
        ["Yes: attention mixes the requests", "No: each token attends through the block table of its own request",
         "Only if one of them has a long prompt"], answer=1)

# %%
openings = ["Once upon a time, in a quiet harbour, there", "My grandmother told me of Nettle, a patient toad",
            "There was once a thoughtful frog", "Far away in an old windmill", "One evening at supper time,",
            "In a windy valley lived a clever badger named Rosa."]
a, b, c = (tokenizer.encode(text) for text in openings[:3])
cache = PagedCache(KVPool(model.config, 32, 4, model.device, model.dtype))
tables = [BlockTable(cache.allocator, name=name) for name in "abc"]


def compute(which, new):
    """A flat batch through the model: its positions, and the logits of each request's last token. which: numbers of tables."""
    counts = [len(ids) for ids in new]
    for i, n in zip(which, counts):
        tables[i].append_slots(n)
    positions = cache.begin_step([tables[i] for i in which], counts)
    ends = torch.tensor(counts, device=model.device).cumsum(0) - 1
    return positions, model(torch.tensor(sum(new, []), device=model.device), positions, cache, logits_for=ends)


compute([1, 2], [b[:-1], c[:-1]])  # b and c joined earlier: all their tokens but the newest are computed
positions, together = compute([0, 1, 2], [a, b[-1:], c[-1:]])
print("tokens in the row:", len(positions), "· positions:", positions.tolist())
for name, ids, row in zip("abc", (a, b, c), together):
    [alone] = generate_naive(model, ids, SamplingParams(max_tokens=1, ignore_eos=True))
    print(f"{name}: {tokenizer.decode([int(row.argmax())])!r} in the shared step, {tokenizer.decode([alone])!r} alone")

# %% [markdown]
# The row has the 16 tokens of a's prompt and one token each of b and c. In float32 the shared step gives the same
# tokens as each request alone. The number of tokens in the row can change the order of a kernel's sums, and with it the
# last digits of a logit. In float32 this changed no token in lesson 01 (section "What 'the same tokens' means"). In
# bfloat16 the rounding is larger and can change one.
#
# ## Build it
#
# Now the loop. A `Request` has its `token_ids`, prompt first, and the number of them that are computed. It has no flag
# for prefill or decode. It has tokens that are not computed yet, many or one, and each step computes them. When all are
# computed, the logits of the last one give the next token. That token is appended, and it is the one token to compute
# in the next step.

# %%
def serve(coming, cache, max_num_seqs):
    """Serves requests as they arrive: [(step, Request)], in order. Returns how many tokens each step computed: [{request_id: n}]."""
    coming, waiting, running, tables, steps = deque(coming), deque(), [], {}, []
    while coming or waiting or running:
        while coming and coming[0][0] <= len(steps):
            waiting.append(coming.popleft()[1])                          # they arrive
        while waiting and len(running) < max_num_seqs:
            running.append(waiting.popleft())                            # they join the batch
            tables[running[-1]] = BlockTable(cache.allocator, name=running[-1].request_id)
        new = [request.token_ids[request.num_computed_tokens:] for request in running]
        counts = [len(ids) for ids in new]
        steps.append({request.request_id: n for request, n in zip(running, counts)})
        if not running:
            continue                                                     # none has arrived yet: nothing to compute
        for request, n in zip(running, counts):
            tables[request].append_slots(n)
        positions = cache.begin_step([tables[request] for request in running], counts)
        ends = torch.tensor(counts, device=model.device).cumsum(0) - 1
        logits = model(torch.tensor(sum(new, []), device=model.device), positions, cache, logits_for=ends)
        for request, n, token in zip(running[:], counts, logits.argmax(1).tolist()):
            request.num_computed_tokens += n
            request.append(token)                                        # sets finish_reason if this was the last token
            if request.finish_reason:
                running.remove(request)                                  # they leave the batch
                tables.pop(request).free()
    return steps

# %% [markdown]
# Six requests, and `max_num_seqs` is 3: at most three run at once. They arrive at steps 0, 0, 1, 2, 5 and 9. A column is a step: W is
# waiting, P16 is a prefill of 16 tokens, D is a decode of one token.

# %%
def requests_for(comes_at, lengths):
    return [(step, Request(f"R{i}", tokenizer.encode(openings[i]), SamplingParams(max_tokens=n, ignore_eos=True)))
            for i, (step, n) in enumerate(zip(comes_at, lengths))]


def rows(coming, steps):
    """One line for each request, and the number of tokens in each step."""
    print("  ", "".join(f"{at:>4}" for at in range(len(steps))), "  step")
    for step, request in coming:
        there = [at for at, counts in enumerate(steps) if request.request_id in counts]
        cells = ["" if at < step or at > there[-1] else "W" if at < there[0] else "D" if at > there[0]
                 else f"P{steps[at][request.request_id]}" for at in range(len(steps))]
        print(request.request_id, "".join(f"{cell:>4}" for cell in cells))
    print("  ", "".join(f"{sum(counts.values()):>4}" for counts in steps), "  tokens in the row")


pool = KVPool(model.config, 64, 4, model.device, model.dtype)
coming = requests_for(comes_at=[0, 0, 1, 2, 5, 9], lengths=[6, 3, 9, 5, 4, 6])
cache = PagedCache(pool)
rows(coming, serve(coming, cache, max_num_seqs=3))
print("free blocks:", cache.allocator.num_free, "of", cache.allocator.num_blocks)

# %% [markdown]
# R3 arrives at step 2, when three requests run, and waits. In step 2 R1 gets its last token and leaves. In step 3 R3
# takes its place and computes its prompt of 10 tokens, while R0 and R2 decode. R3 waited one step. It did not wait
# until R0 and R2 had finished. After the last step all 64 blocks are free again.
#
# ## The same tokens
#
# Each of the six outputs was computed in steps with other requests, which joined and left meanwhile. `generate_naive` computes each request
# alone, without a cache:

# %%
for step, request in coming:
    alone = generate_naive(model, request.token_ids[:request.num_prompt_tokens], request.params)
    print(f"{request.request_id}: {tokenizer.decode(request.output_ids)!r:<36} the same tokens alone: {request.output_ids == alone}")

# %% [markdown]
# All six have the same tokens, in float32. This course tests its engine in the same way: a scheduler may choose any
# order and any batch, and the tokens of each request must stay the same.
#
# ## The same in course_lib
#
# The engine is this loop in three files. `scheduler.py` chooses what is computed and works with integers only.
# `runner.py` is one run of the model and works with tensors. `engine.py` joins the two and makes the outputs.
# `Engine._step` calls the other two:

# %%
show(Engine._step)

# %% [markdown]
# The parts of `serve` are here. `schedule` chooses the requests and their token counts. `runner.run` computes the flat
# batch and chooses the next tokens. `update` appends them, and `_advance` makes the outputs and frees the blocks of
# finished requests. The queue `_in_flight` lets the CPU schedule the next step while the GPU computes this one
# (overlapped scheduling, lesson 13). `_undo` makes the requests of a step wait again if the step breaks off. The other
# lines check, count and record, or belong to later lessons.
#
# Where `serve` computes all remaining tokens of a request, the scheduler chooses how many, from `num_computed_tokens` on. So a long prompt
# can be computed in pieces, and only its last piece gives a token. Lesson 11 shows `Scheduler.schedule` and its parts.
#
# Added to the loop, and why:
#
# | | |
# |---|---|
# | a **token budget** for each step | one prompt of thousands of tokens would delay the next token of all running requests (lesson 11) |
# | `match_prefix` | the beginning of a prompt may be in the cache already (lesson 05) |
# | `allocate_slots` may return None | the blocks can be used up before `max_num_seqs` requests run; then a request is preempted (lesson 11) |
# | a policy in place of a deque | first come, first served is one order of several (lesson 11) |
# | the model's end tokens and stop strings (a token or a text that ends the output), `n` outputs for one prompt, seeds | what a client may ask for; each token is drawn by (seed, position), so the draw does not depend on other requests |
# | `abort` | a client may disconnect at any time |
#
# The engine's waiting queue has no limit. A public server refuses requests when too many wait.
#
# ## Your parts in the engine
#
# The engine takes parts from outside, such as an allocator. The course keeps your code of each exercise that you have
# passed: `load_parts` checks it again and loads it. For an exercise that is not passed, or passes no longer, it loads
# the reference. The line says which parts are whose:

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator")
parts

# %% [markdown]
# ## Add, stream, abort
#
# `add_request` and `abort` may be called between any two steps. `step` returns an output for each request that got a
# token, with its text so far. Here the client of R1 disconnects after three tokens. The blocks come from the allocator
# of the line above. It has no prefix cache, so `prefix_caching` is off.

# %%
config = EngineConfig(block_size=4, num_blocks=64, prefix_caching=False)
engine = Engine(model, config, tokenizer=tokenizer, allocator=parts["04.allocator"])
for i in (0, 1):
    engine.add_request(tokenizer.encode(openings[i]), SamplingParams(max_tokens=8, ignore_eos=True), request_id=f"R{i}")
while engine.has_unfinished():
    if engine.metrics.num_steps == 3:
        print("R1 is aborted. Blocks in use before:", 64 - engine.allocator.num_free, end="")
        engine.abort("R1")
        print(", and after:", 64 - engine.allocator.num_free)
    for output in engine.step():
        print(f"{output.request_id}: {output.text!r} {output.finish_reason or ''}".rstrip())

# %% [markdown]
# The abort frees the 4 blocks of R1 at once. The next step returns R1 for the last time, with the reason `abort`, and
# R0 goes on.
#
# ## See it
#
# Twelve requests on an engine with `max_num_seqs` 5. The bars on top are the scheduled tokens of each step. A line is a
# request, a column is a step. The steps are counted from 1 here. Below is the memory after the chosen step. Touch a
# request to see its blocks.
#
# - R6 arrives at step 10 and waits. What does it wait for, and which request makes room?
# - One request ends before its output is complete. Which one, and what happens to its blocks?
# - Step 21 schedules the most tokens. What are they, and why in this step?

# %%
from course_lib.models.training.tales import make_tale
from course_lib.viz import timeline_view

draw = random.Random(4)
text = make_tale(7, chapters=4).text.replace("\n", " ")
sentences = [sentence.strip() + "." for sentence in text.split(".") if 20 < len(sentence) < 120][:12]
comes_at = sorted(draw.randint(0, 18) for _ in sentences)
rush = deque((at, sentence, draw.randint(5, 24)) for at, sentence in zip(comes_at, sentences))
config = EngineConfig(block_size=8, num_blocks=48, max_num_seqs=5, max_num_batched_tokens=64, prefix_caching=False)
engine = Engine(model, config, tokenizer=tokenizer)
while rush or engine.has_unfinished():
    while rush and rush[0][0] <= engine.metrics.num_steps:
        _, sentence, length = rush.popleft()
        engine.add_request(tokenizer.encode(sentence), SamplingParams(max_tokens=length, ignore_eos=True))
    if engine.metrics.num_steps == 20:
        engine.abort("6")
    engine.step()
view = timeline_view(engine.trace)
view.step = 21
view

# %% [markdown]
# - **Step 8.** R5 joins in the place of R0, which has finished, and five requests run. R6 arrives two steps later. There are free blocks for
#   it, but `max_num_seqs` is reached.
# - **Step 15.** R1 got its last token in the step before. R6 computes its 22 prompt tokens in one step, while four others decode.
# - **Step 21.** R4 and R5 have finished and R6 was aborted, so three places are free. R7, R8 and R9 compute their prompts in one row, beside
#   the decodes of R2 and R3. The blocks of the three that left are free for other requests.
#
# ## Measure: three servers, the same requests
#
# 24 requests arrive at random times, with prompts and outputs of mixed lengths. Three servers run at most 8 of them at
# once: a static one that waits for a full batch, a dynamic one with a timeout of 4 runs (lesson 09), and the engine.
# First in counts, which are the same on every machine: time is counted in runs of the model.

# %%
draw, tale, crowd, now = random.Random(10), tokenizer.encode(make_tale(5, chapters=3).text), [], 0
for i in range(24):
    length, start = int(4 * 16 ** draw.random()), draw.randrange(len(tale) - 64)
    crowd.append((now, tale[start:start + length], int(4 * 12 ** draw.random())))
    now += draw.choice([0, 0, 1, 2, 4])
shapes = [(at, len(prompt), n) for at, prompt, n in crowd]
_, read, written = zip(*shapes)
print(f"{len(crowd)} requests, the last one arrives after {crowd[-1][0]} runs; prompts of {min(read)} to {max(read)} tokens; "
      f"outputs of {min(written)} to {max(written)} tokens, {sum(written)} in all")

# %%
def batched(batcher):
    """A server with batches: (report, first, last, served in each run).

    first, last: {request: runs from its arrival to its first token, and to the end of its batch}. Of each run: (requests
    that get a token, requests that have finished and are computed too).
    """
    batches = simulate_batches(shapes, batcher)
    first, last, counts = {}, {}, {}
    for batch in batches:
        longest = max(shapes[i][2] for i in batch.requests)
        for run in range(longest):
            alive = sum(shapes[i][2] > run for i in batch.requests)
            counts[batch.start + run] = alive, len(batch.requests) - alive
        for i in batch.requests:
            first[i], last[i] = batch.start + 1 - shapes[i][0], batch.start + longest - shapes[i][0]
    return count_batches(shapes, batches), first, last, [counts.get(run, (0, 0)) for run in range(max(counts) + 1)]


served = {"static": batched(DynamicBatcher(8, math.inf)), "dynamic": batched(DynamicBatcher(8, 4))}
for name, timeout in (("static", math.inf), ("dynamic", 4)):
    print(f"{name}: batches of", *(len(batch.requests) for batch in simulate_batches(shapes, DynamicBatcher(8, timeout))), "requests")

# %%
static_runs = served["static"][0].num_steps
predict("10.runs", f"The static server runs the model {static_runs} times for these requests. How often does the continuous one, also with at most 8 at once?",
        ["Nearly as often: the number of output tokens is the same", "About half as often", "About a tenth as often"], answer=1)

# %%
def continuous(max_num_seqs=8):
    """The same for the engine. last: runs from the arrival of a request to its own last token."""
    engine = Engine(model, EngineConfig(block_size=8, num_blocks=128, max_num_seqs=max_num_seqs, prefix_caching=False))
    coming, first, last, counts = deque(enumerate(crowd)), {}, {}, []
    while coming or engine.has_unfinished():
        while coming and coming[0][1][0] <= len(counts):
            i, (_, prompt, n) = coming.popleft()
            engine.add_request(prompt, SamplingParams(max_tokens=n, ignore_eos=True), request_id=str(i))
        outputs = engine.step()
        counts.append((len(outputs), 0))
        for output in outputs:
            i = int(output.request_id)
            first.setdefault(i, len(counts) - crowd[i][0])
            last[i] = len(counts) - crowd[i][0]
    return engine.metrics, first, last, counts


served["continuous"] = continuous()
print(f"{'':<12}{'runs of the':>12}{'tokens':>10}{'of them':>9}{'all done':>10}{'first token':>13}{'TTFT':>7}{'complete':>10}")
print(f"{'':<12}{'model':>12}{'computed':>10}{'wasted':>9}{'after run':>10}{'computed':>13}{'':>7}{'':>10}")
useful = sum(read) + sum(written) - len(crowd)  # the last token of an output is never computed
for name, (report, first, last, counts) in served.items():
    if name == "continuous":
        computed = report.num_scheduled_tokens
        received = first  # the engine streams: a token reaches the client in the step that computes it
    else:
        computed = report.num_useful_tokens + report.num_padding_tokens + report.num_idle_tokens
        received = last  # a batch returns all its outputs when it ends
    means = [sum(times.values()) / len(times) for times in (first, received, last)]
    print(f"{name:<12}{report.num_steps:>12}{computed:>10,}{1 - useful / computed:>9.0%}{len(counts):>10}"
          f"{means[0]:>13.1f}{means[1]:>7.1f}{means[2]:>10.1f}")

# %% [markdown]
# "Wasted" are the computed tokens that are no token of a prompt or an output: padding, and rows of requests that have
# finished. "All done" also counts the time before the first batch, when the model does not run.
#
# The last three columns are means over the requests, in runs of the model from the arrival. The batch servers of lesson 09 return all
# outputs when the batch ends. So the client sees the first token only then: its TTFT is the time of the complete output. A batch server that
# streams would have the TTFT of the column before. The engine streams, so its client sees the first token in the step that computes it.
#
# The dynamic server needs more runs than the static one for these requests. Its first batch starts with 7 requests
# after the timeout, so one request is left for a fourth batch. The continuous server needs about half the runs, and it
# is ahead in every column. It computes no padding and no row of a finished request, and a request joins in the next
# step if fewer than 8 run.
#
# How many requests are in each run of the model:

# %%
def column(which):
    """{server: (runs, requests)}. which: 0 for requests that get a token, 1 for those that have finished."""
    return {name: (list(range(len(counts))), [one[which] for one in counts]) for name, (_, _, _, counts) in served.items()}


words = {"x": "run of the model", "y": "requests", "kind": "steps"}
chart("Requests in each run of the model, at most 8, of the same 24",
      panel(column(0), title="Requests that get a token", **words),
      panel(column(1), title="Requests that have finished and are computed too", **words), down=True)

# %% [markdown]
# Each batch of the static server begins with 8 requests that get a token, and ends with one; by then the other 7 have
# finished and are computed too. The continuous server gives a token to 8 requests in each run from run 5 to run 44. Its
# line in the lower panel stays at 0.
#
# A count of runs is no time, because runs compute different numbers of tokens. Now the time on this machine. All 24
# requests are there at the start, so no server waits for arrivals:

# %% tags=["nbval-ignore-output"]
prompts, params = [prompt for _, prompt, _ in crowd], [SamplingParams(max_tokens=n, ignore_eos=True) for _, _, n in crowd]


def by_engine():
    engine = Engine(model, EngineConfig(block_size=16, num_blocks=128, max_num_seqs=8, prefix_caching=False), trace=False)
    return [output.token_ids for output in engine.generate(prompts, params)]


ways = {"static": lambda: run_static(model, prompts, params, batch_size=8)[0], "continuous": by_engine}
times = {name: [] for name in ways}
for _ in range(3):
    for name, way in ways.items():
        start = time.perf_counter()
        outputs = way()
        times[name].append(time.perf_counter() - start)
for name, taken in times.items():
    print(f"{name:<12}{sorted(taken)[1]:>7.2f} s, {sum(map(len, outputs)) / sorted(taken)[1]:>6,.0f} tokens a second")

# %% [markdown]
# The engine takes less time for the same 449 tokens. (A dynamic batcher makes the same batches as the static one if all
# requests are there at the start.) The gain depends on how much the lengths differ. With equal prompts and equal
# outputs a static batch has no padding and no finished rows.
#
# On an H200: `tale` with three values of `max_num_seqs` (for the static server: the batch size), and one step of a model of real size, in
# which 32 sequences decode and a prompt is computed:

# %%
from course_lib.recorded import recorded

recorded("10")

# %% [markdown]
# - **Table 1, runs.** With at most 4 or 16 at once the engine needs about half the runs of the static server, which
#   wastes 51 % and 70 % of what it computes. With 64 at once all requests join in the first step, and both servers run
#   as often as the longest output has tokens.
# - **Table 1, seconds.** They show more than the scheduling. With 64 at once both servers need 191 runs, and the engine
#   is still 0.684 / 0.0813 = 8.4 times as fast. The static server is launch-bound here, and the engine's steps of
#   decodes are CUDA graphs (lesson 09).
# - **Table 2.** Compare the last two columns. A shared step reads the weights once and not twice. With a prompt of 128
#   tokens it takes 9.0 ms instead of 13.9. With 8,192 tokens both ways take about the same: the decodes alone, which
#   read all weights, take 7.4 ms, so one reading less is little beside 209 ms. (With 2,048 tokens the gain is 7 ms,
#   more than with 512. The table does not show why.)
# - A prompt of 8,192 tokens makes a step of 211 ms, and each of the 32 running requests waits that long for its next token. Lesson 11 cuts
#   such a prompt into pieces.
#
# ## Break it
#
# The tokens of a step are one row, so a programmer might number them through: the first token of the row has its right
# position, and each next token has one more. A server with that error passes a test with one request:

# %%
shifts = {}  # {name of a request: by how much the position of its last token is off, in each of its steps}


class NumbersThrough(PagedCache):
    """A cache whose positions count through the row, and not in each sequence."""

    def begin_step(self, tables, num_new_tokens):
        right = super().begin_step(tables, num_new_tokens)
        wrong = right[0] + torch.arange(len(right), device=right.device)
        for table, off in zip(tables, (wrong - right)[torch.tensor(num_new_tokens).cumsum(0) - 1].tolist()):
            shifts.setdefault(table.name, []).append(off)
        return wrong

# %%
def compare(comes_at):
    """Each output beside the right one, and by how much its positions were off in its steps."""
    shifts.clear()
    coming = requests_for(comes_at, [24] * len(comes_at))
    serve(coming, NumbersThrough(KVPool(model.config, 64, 4, model.device, model.dtype)), max_num_seqs=3)
    for _, request in coming:
        alone = generate_naive(model, request.token_ids[:request.num_prompt_tokens], request.params)
        same = next((at for at, pair in enumerate(zip(request.output_ids, alone)) if pair[0] != pair[1]), len(alone))
        off = ", ".join(map(str, dict.fromkeys(shifts[request.request_id])))
        output = tokenizer.decode(request.output_ids)
        print(f"{request.request_id}: the first {same:>2} of {len(alone)} tokens are right; positions off by {off:<9} {output[:50]!r}")


compare(comes_at=[0])

# %% [markdown]
# With one request the row has the tokens of that request only, so the numbering is right. Now six requests arrive, and three may run at
# once.

# %%
predict("10.broken", "In a step with three requests, which of them get wrong positions?",
        ["None: the block tables give the positions", "All except the one that is first in the row",
         "Only those in prefill"], answer=1)

# %%
compare(comes_at=[0, 0, 1, 2, 5, 9])

# %% [markdown]
# No error is raised, and most outputs look like sentences. The first token of each request is right: the model sees
# only distances between tokens (lesson 02), and in a prompt of which all positions are shifted by the same number the
# distances are right. Then the shift changes. In R1's prefill the 16 prompt tokens of R0 come before it in the row, and
# its positions are off by 16. In the next step R0 has one token there, and R1's new token is off by 6. So its distances
# to the prompt are wrong. R1 has 8 right tokens and R2 has one. A shift of 0 at the end means that the request has
# become the first one in the row.
#
# So a test with one request says nothing about a batch. Requests must join and leave in it. The checks of this lesson's
# exercises `10.step` and `10.continuous_loop` do that, and `10.continuous_loop` compares each request's tokens with
# those that it gets alone.
#
# ## The engine on a model that others trained
#
# Four chats with SmolLM2, 135 million parameters, together on one engine. The last line counts the runs of the model:
# each run gives a token to every chat that has not finished. If lesson 00 has not downloaded the model, its 270 MB come
# first. Without a network the cell says so.

# %% tags=["nbval-ignore-output"]
from course_lib.errors import ModelError
from course_lib.source import wrapped

try:
    real, its_tokenizer = load_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    topics = ["the sea", "bread", "a bicycle", "the moon"]
    chats = [[{"role": "user", "content": f"Say something about {topic} in one sentence."}] for topic in topics]
    chat_ids = [its_tokenizer.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    engine = Engine(real, EngineConfig(max_num_seqs=4), tokenizer=its_tokenizer, trace=False)
    for output in engine.generate(chat_ids, SamplingParams(temperature=0, max_tokens=40)):
        print(wrapped(f"- {output.text}"))
    print(f"{engine.metrics.num_steps} runs of the model")
except ModelError as reason:
    print(wrapped(f"Skipped. {reason}"))

# %% [markdown]
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("10")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why does the flat batch have no padding, although prompts have different lengths?</b></summary>
#
# Padding fills a rectangle. A flat batch is one row: `cu_seqlens_q` says where each request begins, attention keeps the
# requests apart there, and the rest of the model works on each token by itself.
# </details>
#
# <details><summary><b>2. A request gets its last token in step 7, and one request waits. When does the waiting request get its first token?</b></summary>
#
# In step 8, if its prompt fits into the step. The place and the blocks are free when step 7 is done. Step 8 computes
# the whole prompt beside the decodes of the others, and the logits of the prompt's last token give the first token.
# </details>
#
# <details><summary><b>3. A prompt of 10,000 tokens joins. What do the other requests notice?</b></summary>
#
# Their tokens stay the same, but one inter-token latency is long: this step computes 10,000 tokens more. The token budget prevents that. It
# cuts the prompt into pieces, one for each step: lesson 11.
# </details>
#
# ## Next
#
# [exercises/10_continuous_batching.ipynb](../exercises/10_continuous_batching.ipynb):
# write `pack`, `stop_conditions`, `step` and a `ContinuousLoop` of your own. Your `step` then runs
# in the real engine. Lesson 11 is about too little room for all requests: which ones wait, which one is preempted, and why the tokens stay
# the same.
