# %% [markdown]
# # 10 · Continuous batching
#
# - **You will** write a serving loop of under 30 lines in which requests join and leave at every step, read the engine that grew from it, and watch it work, request by request.
# - **Why** a batch that is made once waits to begin, and computes on for texts that are over. A batch that is made anew for each step does neither: below, it serves the same crowd in half the runs of the model.
# - **Time** 35 minutes, and an hour and a half for the exercises.
# - **You need** lessons 04 and 09.
# - **After it** you can read the step of any modern server: who is in it, what is in its one row of tokens, and why nobody's text depends on the others.

# %% [markdown]
# {{colab}}

# %%
import math
import random
import time
from collections import deque

import matplotlib.pyplot as plt
import torch

from course_lib import Engine, EngineConfig, SamplingParams, load_model, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.batching import DynamicBatcher, count_batches, run_static, simulate_batches
from course_lib.engine import Request
from course_lib.kvcache import BlockTable, KVPool, PagedCache

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## The bus and the escalator
#
# A static batch is a bus. It leaves when it is full, nobody gets on while it drives, and everybody rides to the last stop. Lesson 09
# counted what that costs: waiting, padding, and seats whose texts have long been over.
#
# But a text does not need a whole ride. It needs one run of the model for each of its tokens, and between two runs nothing holds the
# batch together. So decide anew before **each** run who is in it. Who has come joins; who is done leaves; like people on an
# escalator. That is **iteration-level scheduling** ([Orca, OSDI '22](https://www.usenix.org/conference/osdi22/presentation/yu)), today called
# **continuous batching**. One run of the model for all who are there is a **step**.
#
# ## One row of tokens
#
# One thing stands in the way. In a step some have just come, and all tokens of their prompts are to be computed: their **prefill**.
# Others are in the middle of their texts and bring one token each: **decode**. A rectangle of requests × tokens would be mostly padding.
# But the model of this course has never wanted a rectangle. It takes one flat row, and attention finds in the block tables who belongs
# to whom:
#
#     token_ids      | the 5 tokens of a's prompt | b  | c |     a has just come; b and c bring their newest token
#     positions      | 0    1    2    3    4      | 9  | 6 |     each in its own text
#     cu_seqlens_q   0                            5    6   7     where each request begins in the row, and the end
#     seq_lens         5                            10   7       tokens of each text that are in the cache then
#     logits_for                           4        5    6       the last row of each: it says what comes next
#
# Everything in the model but attention works on each token by itself: norms, matrices, activations. So rows can stand side
# by side that have nothing to do with each other, and no token is there for show.

# %%
predict("10.company", "Three strangers share a step. Can a text come out differently because of who else is in the row?",
        ["Yes: attention mixes the rows", "No: each attends through its own block table",
         "Only if one of them has a long prompt"], answer=1)

# %%
openings = ["Once upon a time, in a quiet harbour, there", "My grandmother told me of Nettle, a patient toad",
            "There was once a thoughtful frog", "Far away in an old windmill", "One evening at supper time,",
            "In a windy valley lived a clever badger named Rosa."]
a, b, c = (tokenizer.encode(text) for text in openings[:3])
cache = PagedCache(KVPool(model.config, 32, 4, model.device, model.dtype))
tables = [BlockTable(cache.allocator, name=name) for name in "abc"]


def push(who, new):
    """One row of tokens through the model: their positions, and the logits of each one's last row. who: numbers of tables."""
    counts = [len(ids) for ids in new]
    for i, n in zip(who, counts):
        tables[i].append_slots(n)
    positions = cache.begin_step([tables[i] for i in who], counts)
    ends = torch.tensor(counts, device=model.device).cumsum(0) - 1
    return positions, model(torch.tensor(sum(new, []), device=model.device), positions, cache, logits_for=ends)


push([1, 2], [b[:-1], c[:-1]])  # b and c came earlier: all but their newest token is computed
positions, together = push([0, 1, 2], [a, b[-1:], c[-1:]])
print("tokens in the row:", len(positions), "· positions:", positions.tolist())
for name, ids, row in zip("abc", (a, b, c), together):
    [alone] = generate_naive(model, ids, SamplingParams(max_tokens=1, ignore_eos=True))
    print(f"{name}: {tokenizer.decode([int(row.argmax())])!r} in company, {tokenizer.decode([alone])!r} alone")

# %% [markdown]
# ## Build it
#
# Now the loop. A `Request` knows its `token_ids`, prompt first, and how many of them are computed. It does not know whether it
# reads or writes: it has tokens that are not computed yet, many or one, and each step computes them. When all are computed, the next
# one can be chosen, and it is one more to be computed.

# %%
def serve(coming, cache, max_num_seqs):
    """Serves requests as they come: [(step, Request)], in order. Returns who was in each step: [{name: tokens}]."""
    coming, waiting, running, tables, steps = deque(coming), deque(), [], {}, []
    while coming or waiting or running:
        while coming and coming[0][0] <= len(steps):
            waiting.append(coming.popleft()[1])                          # they come
        while waiting and len(running) < max_num_seqs:
            running.append(waiting.popleft())                            # they join
            tables[running[-1]] = BlockTable(cache.allocator, name=running[-1].request_id)
        new = [request.token_ids[request.num_computed_tokens:] for request in running]
        counts = [len(ids) for ids in new]
        steps.append({request.request_id: n for request, n in zip(running, counts)})
        if not running:
            continue
        for request, n in zip(running, counts):
            tables[request].append_slots(n)
        positions = cache.begin_step([tables[request] for request in running], counts)
        ends = torch.tensor(counts, device=model.device).cumsum(0) - 1
        logits = model(torch.tensor(sum(new, []), device=model.device), positions, cache, logits_for=ends)
        for request, n, token in zip(running[:], counts, logits.argmax(1).tolist()):
            request.num_computed_tokens += n
            request.append(token)                                        # and says whether it was the last
            if request.finish_reason:
                running.remove(request)                                  # they leave
                tables.pop(request).free()
    return steps

# %% [markdown]
# Six requests, three seats. They come at steps 0, 0, 1, 2, 5 and 9. A column is a step: W waits, P reads its prompt of so many
# tokens, D writes one.

# %%
def requests_for(comes_at, lengths):
    return [(step, Request(f"R{i}", tokenizer.encode(openings[i]), SamplingParams(max_tokens=n, ignore_eos=True)))
            for i, (step, n) in enumerate(zip(comes_at, lengths))]


def rows(coming, steps):
    """One line for each request, and the number of tokens in each step."""
    print("  ", "".join(f"{at:>4}" for at in range(len(steps))), "  step")
    for step, request in coming:
        there = [at for at, who in enumerate(steps) if request.request_id in who]
        cells = ["" if at < step or at > there[-1] else "W" if at < there[0] else "D" if at > there[0]
                 else f"P{steps[at][request.request_id]}" for at in range(len(steps))]
        print(request.request_id, "".join(f"{cell:>4}" for cell in cells))
    print("  ", "".join(f"{sum(who.values()):>4}" for who in steps), "  tokens in the row")


pool = KVPool(model.config, 64, 4, model.device, model.dtype)
coming = requests_for(comes_at=[0, 0, 1, 2, 5, 9], lengths=[6, 3, 9, 5, 4, 6])
cache = PagedCache(pool)
rows(coming, serve(coming, cache, max_num_seqs=3))
print("free blocks:", cache.allocator.num_free, "of", cache.allocator.num_blocks)

# %% [markdown]
# Read it by columns. R3 comes at step 2 and finds no seat. In that step R1 writes its last token, and in the very next one R3 reads
# its prompt in its place, while R0 and R2 go on writing. Nobody waits for a batch to end: there is none that could end.
#
# ## The same tokens
#
# Six texts, each computed in the company of others that came and went. `generate_naive` computes each alone, without any cache:

# %%
for step, request in coming:
    alone = generate_naive(model, request.token_ids[:request.num_prompt_tokens], request.params)
    print(f"{request.request_id}: {tokenizer.decode(request.output_ids)!r:<36} the same alone: {request.output_ids == alone}")

# %% [markdown]
# It is not nearly the same, it is the same, token for token. In float32, that is; in half precision, sums of another order may round
# a close race the other way. This is what every change of an engine is held to in this course: the scheduler may do as it likes, nobody's text
# may show it.
#
# ## The same in course_lib
#
# The engine is this loop in three files: what is computed (`scheduler.py`, integers), one run of the model (`runner.py`, tensors), and
# what comes out of it (`engine.py`). A step is scheduled, run, and the scheduler is updated; on a GPU the next step is scheduled
# while this one runs.

# %%
show(Engine._step)

# %%
from course_lib.engine.runner import Runner

show(Runner.run)

# %% [markdown]
# You know most of that. Where the loop above takes all that is left of a request, the runner takes n tokens from
# `num_computed_tokens` on. So a long prompt may come in pieces, and then there is no next token until its last piece. The scheduler
# says how many:

# %%
from course_lib.engine import Scheduler

show(Scheduler.schedule)

# %%
show(Scheduler._admit)

# %% [markdown]
# What was added, and why:
#
# | | |
# |---|---|
# | a **token budget** for each step | one prompt of thousands of tokens would hold up everybody's next token (lesson 11) |
# | `match_prefix` | the beginning of a prompt may be in the cache already (lesson 05) |
# | `allocate_slots` may say None | memory ends before seats do; somebody makes room (lesson 11) |
# | a policy in place of a deque | first come, first served is not the only fair order (lesson 11) |
# | stop tokens, stop strings, `n`, seeds | what a caller may ask for; each token is drawn by (seed, position), so company changes no draw either |
# | `abort` | a client may hang up at any time |
#
# ## Come, stream, hang up
#
# `add_request` and `abort` may be called between any two steps; `step` returns what each request got. Here one client hangs up
# after three tokens:

# %%
engine = Engine(model, EngineConfig(block_size=4, num_blocks=64), tokenizer=tokenizer)
for i in (0, 1):
    engine.add_request(tokenizer.encode(openings[i]), SamplingParams(max_tokens=8, ignore_eos=True), request_id=f"R{i}")
while engine.has_unfinished():
    if engine.metrics.num_steps == 3:
        print("R1 hangs up. Blocks in use before:", 64 - engine.allocator.num_free, end="")
        engine.abort("R1")
        print(", and after:", 64 - engine.allocator.num_free)
    for output in engine.step():
        print(f"{output.request_id}: {output.text!r} {output.finish_reason or ''}".rstrip())

# %% [markdown]
# ## See it
#
# Twelve requests of a small rush, on an engine with five seats. Above: the tokens of each step. A row is a request, a column a step. Below, the
# memory, moved by the same player: touch a request to see its blocks.
#
# - R6 comes at step 10 and waits. For what, and who makes room for it?
# - One request ends in the middle of its text. Which one, and what becomes of its blocks?
# - Step 21 is the fullest. With what, and why just there?

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
view

# %%
view.snapshot(step=21)

# %% [markdown]
# The moments to stop at:
#
# - **Step 8.** R5 joins on the seat that R0 left, and all five are taken. R6 comes two steps later and waits for one: there is
#   memory for it, but no seat.
# - **Step 15.** R1 wrote its last token in the step before. R6 reads its 22 prompt tokens in one go, while four others write one each.
# - **Step 21.** R4 and R5 are over, and R6 has hung up: three seats at once. R7, R8 and R9 read their prompts in one row, beside the
#   single tokens of R2 and R3. The blocks of those who left are free for others now.
#
# ## Measure: three servers, one crowd
#
# 24 requests with prompts of 4 to 64 tokens and answers of 4 to 48 come one after the other. Three servers with 8 seats: a static one that
# waits for a full batch, a dynamic one that starts after 4 runs of waiting at the latest (lesson 09), and the engine. First in
# counts, which are the same on every machine. Time is counted in runs of the model.

# %%
draw, tale, crowd, now = random.Random(10), tokenizer.encode(make_tale(5, chapters=3).text), [], 0
for i in range(24):
    length, start = int(4 * 16 ** draw.random()), draw.randrange(len(tale) - 64)
    crowd.append((now, tale[start:start + length], int(4 * 12 ** draw.random())))
    now += draw.choice([0, 0, 1, 2, 4])
shapes = [(at, len(prompt), n) for at, prompt, n in crowd]
lengths = [n for _, _, n in shapes]
print(f"{len(crowd)} requests, the last one after {crowd[-1][0]} runs; answers of {min(lengths)} to {max(lengths)} tokens, "
      f"{sum(lengths)} in all")

# %%
def batched(batcher):
    """(report, first and last token of each in runs after its arrival, [(texts, idle rows) of each run])."""
    batches = simulate_batches(shapes, batcher)
    first, last, seats = {}, {}, {}
    for batch in batches:
        longest = max(shapes[i][2] for i in batch.requests)
        for run in range(longest):
            alive = sum(shapes[i][2] > run for i in batch.requests)
            seats[batch.start + run] = alive, len(batch.requests) - alive
        for i in batch.requests:
            first[i], last[i] = batch.start + 1 - shapes[i][0], batch.start + longest - shapes[i][0]
    return count_batches(shapes, batches), first, last, [seats.get(run, (0, 0)) for run in range(max(seats) + 1)]


served = {"static": batched(DynamicBatcher(8, math.inf)), "dynamic": batched(DynamicBatcher(8, 4))}

# %%
static_runs = served["static"][0].num_steps
predict("10.runs", f"The static server runs the model {static_runs} times for them. The continuous one, with as many seats?",
        ["Nearly as often: the same tokens are written", "About half as often", "About a tenth as often"], answer=1)

# %%
def continuous(max_num_seqs=8):
    """The same of the engine."""
    engine = Engine(model, EngineConfig(block_size=8, num_blocks=128, max_num_seqs=max_num_seqs, prefix_caching=False))
    coming, first, last, seats = deque(enumerate(crowd)), {}, {}, []
    while coming or engine.has_unfinished():
        while coming and coming[0][1][0] <= len(seats):
            i, (_, prompt, n) = coming.popleft()
            engine.add_request(prompt, SamplingParams(max_tokens=n, ignore_eos=True), request_id=str(i))
        outputs = engine.step()
        seats.append((len(outputs), 0))
        for output in outputs:
            i = int(output.request_id)
            first.setdefault(i, len(seats) - crowd[i][0])
            last[i] = len(seats) - crowd[i][0]
    return engine.metrics, first, last, seats


served["continuous"] = continuous()
print(f"{'':<12}{'runs of the':>12}{'tokens':>9}{'of them':>9}{'all done':>10}{'first token':>13}{'answer':>9}")
print(f"{'':<12}{'model':>12}{'pushed':>9}{'wasted':>9}{'after run':>10}{'after':>13}{'after':>9}")
for name, (report, first, last, seats) in served.items():
    if name == "continuous":
        runs, pushed, wasted = report.num_steps, report.num_scheduled_tokens, 0
    else:
        wasted = report.num_padding_tokens + report.num_idle_tokens
        runs, pushed = report.num_steps, report.num_useful_tokens + wasted
    print(f"{name:<12}{runs:>12}{pushed:>9,}{wasted / pushed:>9.0%}{len(seats):>10}{sum(first.values()) / len(first):>13.1f}"
          f"{sum(last.values()) / len(last):>9.1f}")

# %% [markdown]
# The last two columns are means over the requests, in runs from their arrival; a batch hands out its answers when it ends. The
# dynamic server gains nothing in this crowd: it starts with fewer, and those who come a moment later find it busy. The continuous
# one wins two things at once, and neither at the cost of the other. Nothing is pushed for nothing: no padding, no finished texts.
# And nobody stands outside while seats are empty.
#
# Where were the empty seats? A bar is a run of the model:

# %%
figure, axes = plt.subplots(3, 1, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
for axis, (name, (_, _, _, seats)) in zip(axes, served.items()):
    alive, idle = zip(*seats)
    axis.bar(range(len(seats)), alive, width=1, color="#0072B2", label="writes a token")
    axis.bar(range(len(seats)), idle, width=1, bottom=alive, color="#E69F00", hatch="////", edgecolor="white", linewidth=0,
             label="over, and computed on")
    axis.set(ylim=(0, 8.4), yticks=[0, 4, 8], ylabel="seats")
    axis.set_title(name, loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
axes[2].legend(frameon=False, loc="upper right", fontsize=9)
axes[2].set(xlabel="run of the model", xlim=(-1, None))
plt.show()

# %% [markdown]
# A run of a full batch takes longer than one with two texts, so runs are not seconds. In time, then. All 24 requests are there at once,
# so that nobody's clock stands still for want of work:

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
        texts = way()
        times[name].append(time.perf_counter() - start)
for name, taken in times.items():
    print(f"{name:<12}{sorted(taken)[1]:>7.2f} s, {sum(map(len, texts)) / sorted(taken)[1]:>6,.0f} tokens a second")

# %% [markdown]
# A dynamic batcher has nothing to decide when all are there at once: it is the static server. How much is won depends on how
# much the lengths differ. Were all prompts and all answers equally long, a static batch would waste nothing, and the two would be
# alike, but for those who come a moment late.
#
# And on an H200? `tale`, by the number of seats; and one step of a model of real size, in which 32 texts are written and a prompt is read:

# %%
from course_lib.recorded import recorded

recorded("10")

# %% [markdown]
# Where requests wait for seats, half and more of what the static server computes is wasted, and the engine needs about half of its runs. With
# a seat for everybody both run as often as the longest text is long. In the second table compare the last two columns: up to 2,048
# tokens the prompt costs less in one row with the others than after them, for the kernels are started and the weights are read once for
# both. A prompt of 8,192 tokens saves next to nothing, and everybody notices it; lesson 11 cuts it into pieces.
#
# ## Break it
#
# The row of tokens is one, and so it is tempting to number its tokens through: position 0, 1, 2, … A server with that error
# passes its first test:

# %%
class NumbersThrough(PagedCache):
    """A cache whose positions count through the row, not in each text."""

    def begin_step(self, tables, num_new_tokens):
        right = super().begin_step(tables, num_new_tokens)
        wrong = right[0] + torch.arange(len(right), device=right.device)
        for table, off in zip(tables, (wrong - right)[torch.tensor(num_new_tokens).cumsum(0) - 1].tolist()):
            shifts.setdefault(table.name, []).append(off)
        return wrong


def compare(comes_at):
    """Each text beside the right one, and by how much its positions were off, step by step."""
    shifts.clear()
    coming = requests_for(comes_at, [24] * len(comes_at))
    serve(coming, NumbersThrough(KVPool(model.config, 64, 4, model.device, model.dtype)), max_num_seqs=3)
    for _, request in coming:
        alone = generate_naive(model, request.token_ids[:request.num_prompt_tokens], request.params)
        same = next((at for at, pair in enumerate(zip(request.output_ids, alone)) if pair[0] != pair[1]), len(alone))
        off = ", ".join(map(str, dict.fromkeys(shifts[request.request_id])))
        written = tokenizer.decode(request.output_ids)
        print(f"{request.request_id}: {same:>2} of {len(alone)} tokens right; off by {off:<9} {written[:56]!r}")


shifts = {}
compare(comes_at=[0])

# %% [markdown]
# Alone, the first token of the row is the text's own next token, and the numbering is right. Now let six requests come, to three seats.

# %%
predict("10.broken", "Whose tokens stand at wrong positions?",
        ["Nobody's: the block tables say where each one stands", "Everybody's, but for whoever is first in the row",
         "Only those of prompts"], answer=1)

# %%
compare(comes_at=[0, 0, 1, 2, 5, 9])

# %% [markdown]
# Nothing crashes, and what comes out are sentences, of a sort. First tokens are right: the model sees only distances between
# tokens (lesson 02), and a prompt that is shifted as a whole is the same prompt. But then its neighbours in the row come and go,
# and the shift changes in the middle of the text. How long a text bears that is chance, and who reads it will not know.
#
# So a test with one request proves nothing about a batch. Every check of this lesson's exercises lets strangers come and go, and asks
# for the tokens that each would get alone.
#
# ## Three questions
#
# <details><summary><b>1. Why does padding vanish in the flat row, when prompts are still of different lengths?</b></summary>
#
# Padding fills a rectangle up. The row is none: `cu_seqlens_q` says where each request begins, attention cuts there, and all the rest
# of the model works on each token by itself.
# </details>
#
# <details><summary><b>2. A request is over in step 7, and somebody waits. When does the one who waits get its first token?</b></summary>
#
# In step 8. The seat and the blocks are free when step 7 is done, step 8 computes the whole prompt beside the others' single
# tokens, and its last row says what comes first.
# </details>
#
# <details><summary><b>3. A prompt of 10,000 tokens joins. What do the others notice?</b></summary>
#
# Their text stays the same, but their next token comes late: this one step computes 10,000 tokens more. That is what the token budget
# is for. It cuts the prompt into pieces, and each step takes one: lesson 11.
# </details>
#
# ## Next
#
# `exercises/10_continuous_batching.ipynb`: write `pack`, `stop_conditions`, `step` and a `ContinuousLoop` of your own; your `step` then runs
# in the real engine. Lesson 11 asks what happens when there is not room for all: who waits, who is thrown out, and why the text is
# still the same.
