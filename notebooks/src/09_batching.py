# %% [markdown]
# # 09 · Batching
#
# - **You will** count what one token costs a GPU, let several sequences share that cost in one batch, and measure what
#   such a batch wastes.
# - **Why** a decode step reads every weight of the model, for one sequence or for many. So a server gains much when it
#   serves sequences together. How they are put together decides how much of the gain is lost again.
# - **Time** 45 minutes, and an hour and a half for the exercises.
# - **You need** lessons 01 and 02. The roofline of lesson 06 helps.
# - **After it** you can say whether a step is bound by memory or by arithmetic, what a larger batch does to throughput
#   and to the time per token, and what static and dynamic batching cost in padding, idle rows and waiting.

# %% [markdown]
# {{colab}}

# %%
import math
import time

import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup
from course_lib.decoding import count_work, generate_naive
from course_lib.batching import DynamicBatcher, count_batches, run_dynamic, run_static, simulate_batches, waits
from course_lib.kvcache import ContiguousBatch
from course_lib.recorded import recorded
from course_lib.source import wrapped
from course_lib.viz import batch_slots, chart, panel, roofline

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)
config = model.config

# %% [markdown]
# ## What one token costs
#
# With a KV cache, a decode step computes one token. It still needs the whole model: it reads every weight from memory
# and multiplies it once. So we count two things, operations and bytes read. Operations per byte are the **arithmetic
# intensity** of the step.

# %%
predict("09.idle", "One decode step of one sequence, in float32. How many operations are done for each byte that is read?",
        ["About half of one", "About 50", "About 500"], answer=0)

# %%
def room(batch, context):
    """A cache in which `batch` sequences hold context - 1 tokens each, so that the next token makes `context`."""
    # ContiguousBatch: the KV cache of lesson 02 with a row for each sequence
    cache = ContiguousBatch(config, batch, context, device=model.device, dtype=model.dtype)
    cache.num_tokens = [context - 1] * batch
    return cache


@torch.inference_mode()
def decode_step(cache):
    """One more token for every sequence of the cache. Which tokens does not matter here."""
    batch = cache.max_seqs
    positions = cache.begin_step(range(batch), [1] * batch)  # one token for each row: the positions of these tokens
    return model(torch.full((batch,), 5, device=model.device), positions, cache)


def counted(batch, context=256):
    """The work of one decode step: tokens, flops, weight_bytes and cache_bytes."""
    with count_work(model) as work:
        decode_step(room(batch, context))
    return work.runs[0]


one = counted(1)
read = one.weight_bytes + one.cache_bytes
print(f"{one.flops / 1e6:.1f} million operations; {read / 1e6:.1f} MB read, {one.weight_bytes / read:.0%} of it weights")
print(f"{one.flops / read:.2f} operations for each byte")
tflops, reading, _ = recorded("attention", 0).column("measured")  # one H200, bfloat16: the roof of lesson 06
PEAK, BANDWIDTH = tflops * 1e12, reading * 1e9
print(f"in bfloat16 an H200 can do {PEAK / BANDWIDTH:.0f} operations in the time in which it reads a byte")

# %% [markdown]
# A weight has four bytes in float32 and takes part in two operations, a multiplication and an addition. That is half an
# operation per byte; in bfloat16 it is one. An H200 could do 181 in that time. So its arithmetic units wait for memory
# in nearly the whole step.
#
# ## Many sequences, one reading of the weights
#
# Now several sequences take their step together. Each has one token, so the vector that a weight matrix is multiplied
# with becomes a matrix with a row for each sequence. All rows are multiplied with the same weights.

# %%
predict("09.weights", "64 sequences in one decode step, instead of one. How many bytes of weights does the step read?",
        ["The same", "About 8 times as many", "64 times as many"], answer=0)

# %%
print(f"{'sequences':>9} {'operations':>12} {'weights read':>13} {'cache read':>11} {'operations a byte':>18}")
for batch in (1, 2, 4, 8, 16, 32, 64):
    run = counted(batch)
    print(f"{batch:>9} {run.flops / 1e6:>10,.1f} M {run.weight_bytes / 1e6:>10.1f} MB {run.cache_bytes / 1e6:>8.1f} MB "
          f"{run.flops / (run.weight_bytes + run.cache_bytes):>18.2f}")

# %% [markdown]
# Operations grow with the batch. The bytes of the cache grow too, because every sequence reads its own keys and values.
# The bytes of the weights stay: **the weights are read once for the whole batch**. (The last digit changes because each
# sequence also looks up one row of the embedding.) So the operations for each byte grow less than the batch.
#
# ## How large should a batch be?
#
# The counts follow a formula, so we can compute them for models that do not fit on this machine. For each sequence,
# each weight takes two operations. Attention takes 2 · head_dim for the score of a token and 2 · head_dim for its
# weighted value, in each query head of each layer. What is read are the weights, once, and the keys and values of all
# tokens of each sequence. First the formula beside the counter:

# %%
def cost(shape, weights, batch, context, size):
    """(operations, bytes read) of one decode step of `batch` sequences of `context` tokens; a number has `size` bytes."""
    flops = batch * (2 * weights + 4 * shape.num_layers * shape.num_heads * shape.head_dim * context)
    cache = batch * 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * context
    return flops, (weights + cache) * size


matrices = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)  # the embedding is the last matrix too
for batch in (1, 64):
    run, (flops, read) = counted(batch), cost(config, matrices, batch, 256, 4)
    print(f"{batch:>2} sequences: operations as counted: {flops == run.flops}; bytes: "
          f"{read / (run.weight_bytes + run.cache_bytes):.2%} of those counted (without norms and the embedding's rows)")

# %% [markdown]
# Now Llama 3 8B in bfloat16 on an H200. Reading and computing go on at the same time, so a step takes at least as long
# as the longer of the two. That bound gives two numbers for each batch size:
#
# - **throughput**, the tokens of all sequences per second: how much the server does;
# - **time per output token (TPOT)** of lesson 02. A request gets one token a step, so this is the time of a step. It is
#   what one user feels. The **time to first token (TTFT)** comes up below, as soon as requests wait for a batch.

# %%
from course_lib.kvcache.catalogue import GPUS, MODELS

llama, gpu = MODELS["Llama 3 8B"], GPUS["H200"]
embedding = 128_256 * 4096  # its rows are only looked up; the last matrix, which gives the logits, is as large
llama_weights = llama.num_parameters - embedding


def step_seconds(batch, context):
    """The least time of a decode step on the H200."""
    flops, read = cost(llama, llama_weights, batch, context, 2)
    return max(flops / PEAK, read / BANDWIDTH)


def fit(context):
    """How many sequences of so many tokens fit beside the weights."""
    kept = 2 * 2 * llama.num_layers * llama.num_kv_heads * llama.head_dim * context  # keys and values, 2 bytes a number
    return (gpu.bytes - 2 * llama.num_parameters) // kept


throughput, latency = {}, {}
for context in (128, 1024, 8192):
    most = min(fit(context), 1024)
    batches = [2**i for i in range(11) if 2**i < most] + [most]
    name = f"{context:,} tokens a sequence"
    throughput[name] = batches, [batch / step_seconds(batch, context) for batch in batches]
    latency[name] = batches, [1000 * step_seconds(batch, context) for batch in batches]
chart("Bounds for Llama 3 8B in bfloat16 on one H200, by the number of sequences in a step",
      panel(throughput, x="sequences in a step", y="tokens a second, at most", log="xy", title="Throughput"),
      panel(latency, x="sequences in a step", y="a step, at least", y_unit="ms", log="x", title="Time per output token"))

# %%
print("tokens: of each sequence; batch: sequences in a step; cache: its share of the bytes read")
print(f"{'tokens':>6} {'batch':>6} {'tokens a second':>16} {'ms a step':>10} {'operations a byte':>18} {'cache':>6}")
for context in (128, 1024, 8192):
    for batch in [b for b in (1, 64, 256, 1024) if b < fit(context)] + [fit(context)] * (fit(context) < 1024):
        flops, read = cost(llama, llama_weights, batch, context, 2)
        seconds = step_seconds(batch, context)
        print(f"{context:>6,} {batch:>6,} {batch / seconds:>16,.0f} {1000 * seconds:>10.1f} {flops / read:>18.1f} "
              f"{1 - 2 * llama_weights / read:>6.0%}")

# %% [markdown]
# Two of the lines end where the memory of the GPU is full. The line of 128 tokens ends at 1,024 sequences, where we
# stop.
#
# - **128 tokens a sequence.** Up to 256 sequences throughput grows with the batch. From 256 to 1,024 it stays at about
#   51,300 tokens a second, because arithmetic is the limit, and a step takes four times as long. So the last 768
#   sequences bring no throughput.
# - **1,024 tokens.** Memory stays the limit. The cache grows with the batch, and is 70 % of what is read with 256
#   sequences. From 256 to 930 throughput grows by 28 %, and a step takes 2.8 times as long.
# - **8,192 tokens.** 116 sequences fill the memory. From 64 to 116 throughput grows by 9 %.
#
# So a batch should not be as large as fits. It should be as large as the time per output token allows. vLLM's
# `max_num_seqs` is that limit. More sequences fit, and less is read, if a token takes fewer bytes (grouped queries,
# lesson 03). More fit without gaps (04) and with shared prompts (05).
#
# The next picture shows such steps under the roofline. Its **ridge** is the intensity at which reading and computing
# take the same time (lesson 06).

# %%
steps = [(f"{batch:,} sequence{'s' * (batch > 1)} of {context:,} tokens", *cost(llama, llama_weights, batch, context, 2))
         for batch, context in ((1, 1024), (16, 1024), (64, 1024), (64, 128), (512, 128), (64, 8192))]


def prefill(prompts, tokens):
    """(operations, bytes read) of one run of so many prompts. Its bytes are the weights, read once."""
    # The tokens of a prompt attend to 1, 2, … tokens: (tokens + 1) / 2 on average. Only its last token needs logits.
    flops = cost(llama, llama_weights - embedding, prompts * tokens, (tokens + 1) / 2, 2)[0]
    return flops + 2 * embedding * prompts, 2 * llama_weights


roofline([*steps, ("prefill of 1,024 tokens", *prefill(1, 1024))],
         flops_per_s=PEAK, bytes_per_s=BANDWIDTH, machine="one H200, bfloat16; decode steps of Llama 3 8B, and a prefill")

# %% [markdown]
# Of these decode steps only the one with 512 short sequences is to the right of the ridge. The prefill of one prompt of
# 1,024 tokens is there too: all its tokens share one reading of the weights.
#
# Those are bounds. Now the time of a step on this machine:

# %%
predict("09.time", "On this machine, how long does a decode step of 8 sequences take, compared to a step of one?",
        ["Up to 1.5 times as long", "1.5 to 4 times as long", "More than 4 times as long"])

# %% tags=["nbval-ignore-output"]
def seconds(act):
    """How long it takes."""
    start = time.perf_counter()
    act()
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def again(cache, context=64):
    cache.num_tokens = [context - 1] * cache.max_seqs
    decode_step(cache)


caches = {batch: room(batch, 64) for batch in (1, 2, 4, 8, 16, 32, 64)}
best = dict.fromkeys(caches, math.inf)
for _ in range(20):  # in turn, and the best of each counts
    for batch, cache in caches.items():
        best[batch] = min(best[batch], seconds(lambda: again(cache)))
print(f"{'sequences':>9} {'a step':>10} {'times one sequence':>19} {'tokens a second':>16}")
for batch, took in best.items():
    print(f"{batch:>9} {1000 * took:>7.2f} ms {took / best[1]:>19.1f} {batch / took:>16,.0f}")

# %% [markdown]
# Here too throughput grows with the batch, and a step of 64 sequences takes longer than a step of one. (`tale` is
# small: a part of each step is the time in which torch starts its operations.)
#
# Now a model of real size. This is what the engine of lesson 13 needs on an H200 for a decode step of Llama 3 8B's
# shape with 1,024 tokens a sequence, beside the bound. GB/s read: bytes of weights and caches, divided by the recorded
# time.

# %%
large_steps = recorded("09", 0)
print(large_steps.source)
print(f"{'sequences':>9} {'ms a step':>10} {'ms at least':>12} {'GB/s read':>10}")
for batch, ms, speed in zip(*(large_steps.column(name) for name in ("sequences", "ms a step", "GB/s read"))):
    print(f"{batch:>9} {ms:>10.1f} {1000 * step_seconds(batch, 1024):>12.1f} {speed:>10,.0f}")

# %% [markdown]
# From one sequence to 256 the bound of a step grows from 3.5 to 11.6 ms, and the recorded time from 4.4 to 15.9 ms, 3.6
# times. So the step of 256 gives 71 times as many tokens a second as the step of one. It reads 3,099 GB/s; the memory
# reaches 4.27 TB/s (the roofline above).
#
# These steps are not **launch-bound**: the engine records a step once as a CUDA graph and starts it with one call,
# where torch starts hundreds of kernels one after the other (lesson 13). The same engine with the shape of a smaller
# model:

# %%
recorded("09", 2)

# %% [markdown]
# A step of 256 sequences takes 4.1 times as long as a step of one, and the bound grows 3.8 times. The throughput is 62
# times as high, not 256 times, mostly because each sequence reads its own cache.
#
# ## Static batching
#
# The simplest way to put requests together: take a fixed number of prompts, run them as one batch, and start the next
# batch when all of them have finished. A batch is one rectangle of tokens, so the prompts are filled up to the longest
# of them. This **padding** is computed like any other token. Then each row takes one token a step. The row of a request
# that has finished stays, and is computed too, until the last request has finished.

# %%
PAD = config.eos_token_ids[0]  # any token will do: no result of it is used


@torch.inference_mode()
def together(prompts, new_tokens):
    """The greedy new tokens of each prompt, computed in one batch. new_tokens: how many for each."""
    rows, lengths = range(len(prompts)), [len(ids) for ids in prompts]
    longest = max(lengths)
    cache = ContiguousBatch(config, len(prompts), longest + max(new_tokens), device=model.device, dtype=model.dtype)
    padded = [ids + [PAD] * (longest - len(ids)) for ids in prompts]
    positions = cache.begin_step(rows, [longest] * len(prompts))
    ends = [row * longest + n - 1 for row, n in zip(rows, lengths)]  # the last token before the padding
    flat, ends = (torch.tensor(numbers, device=model.device) for numbers in (sum(padded, []), ends))
    logits = model(flat, positions, cache, logits_for=ends)
    for row, n in zip(rows, lengths):
        cache.num_tokens[row] = n  # the next token overwrites the padding
    outputs = [[] for _ in prompts]
    while True:
        newest = logits.argmax(-1).tolist()
        for output, token, wanted in zip(outputs, newest, new_tokens):
            if len(output) < wanted:
                output.append(token)
        if all(len(output) == wanted for output, wanted in zip(outputs, new_tokens)):
            return outputs
        positions = cache.begin_step(rows, [1] * len(prompts))
        logits = model(torch.tensor(newest, device=model.device), positions, cache)


# %%
openings = ["Once upon a time, in a quiet harbour, there lived", "My grandmother told me of Nettle, a patient toad",
            "There was once a thoughtful frog", "Far away in an old windmill", "One evening at supper time,",
            "In a windy valley lived a clever badger named Rosa.",
            "Once there was an otter who lived near a salt marsh and liked hot baths best.", "Long ago,",
            "In a small town by the sea there lived a goose", "Once upon a time there was a mole", "A fox named Hazel",
            "On a cold morning in the old orchard, a hare named Moss woke up early and went out."]
prompts = [tokenizer.encode(text) for text in openings]
new_tokens = [10, 3, 16, 5, 12, 4, 20, 6, 3, 9, 14, 8]
outputs = sum((together(prompts[i:i + 4], new_tokens[i:i + 4]) for i in range(0, 12, 4)), [])
alone = [generate_naive(model, ids, SamplingParams(max_tokens=n, ignore_eos=True)) for ids, n in zip(prompts, new_tokens)]
print(wrapped(tokenizer.decode(prompts[2] + outputs[2])))
print(f"the same tokens as alone, without a cache: {sum(a == b for a, b in zip(outputs, alone))} of {len(outputs)}")

# %% [markdown]
# The batch gives the same tokens as each prompt alone. The padding stands *after* the prompt, so no token of the prompt
# attends to it. Each new token overwrites the keys and values of one padding token. The padding that is left lies after
# `num_tokens` and is not read. (Some servers put the padding in front. Then it must be masked in every step.)
#
# In `course_lib` this is `run_static`. It adds sampling and stop tokens, and a report of what was computed.
#
# ## See it
#
# Twelve requests arrive one after the other at a server that runs batches of four. Each row of a batch is a **batch
# slot**, the place of one request. (It is not a slot of lesson 04, which holds one token.) One column is one run of the
# model, or the same time without a run. A batch takes one run for its prompts and one for each further token of the
# request with the most new tokens. A dark column is a prompt, with the padding above it. `simulate_batches` makes the
# batches of the library without a model; the counts are the same.

# %%
arrivals = [0, 0, 1, 2, 4, 6, 9, 12, 20, 28, 30, 44]  # so many runs of the model are over when each arrives
requests = [(arrival, len(ids), n) for arrival, ids, n in zip(arrivals, prompts, new_tokens)]
static = simulate_batches(requests, DynamicBatcher(4, timeout=math.inf))  # no timeout: wait until four are there
_, report = run_static(model, prompts, [SamplingParams(max_tokens=n, ignore_eos=True) for n in new_tokens], batch_size=4)
print(report)
print("the same counts without a model:", count_batches(requests, static) == report)
view = batch_slots(requests, static, num_slots=4)
view.step = 8
view

# %% [markdown]
# The 58 columns (steps) are 50 runs and 8 in which nothing runs. The view is at step 8. Step through it, or drag. Point
# at a request to see how long it waited.
#
# - R1 wants three tokens. For how many runs is its row taken?
# - In step 8 two of the four rows belong to requests that have finished, and two requests wait. When do those two
#   start?
# - In some columns nothing runs, although three requests wait, as in step 42. Which request do they wait for?

# %%
static_waits = waits(requests, static)
print("runs of the model that each request waits for its batch:", static_waits)
print(f"TTFT, with the first run of the batch: {sum(static_waits) / 12 + 1:.1f} runs on average, {max(static_waits) + 1} at most")
held = [max(new_tokens[i] for i in batch.requests) for batch in static for _ in batch.requests]
print(f"rows are taken for {sum(held)} runs in all, and their requests need {sum(new_tokens)}")

# %% [markdown]
# Static batching loses in three ways. The picture marks each of them:
#
# - **Padding**: every prompt of a batch is as long as the longest one.
# - **Idle rows**: a row is computed after its request has finished. R1 has its three tokens after three runs, and its
#   row is taken for 16 runs, until the batch ends.
# - **Waiting**: no request joins a batch that runs: R4 and R5 start when R2 has its last token. And a batch starts only
#   when it is full: R8, R9 and R10 wait, with every batch slot empty, until R11 arrives. Such empty stretches are
#   called **bubbles**. Waiting goes into the TTFT of each request.
#
# By the bound above, this is what runs of the two kinds take on the H200:

# %%
flops, read = prefill(4, 1024)
print(f"a decode run of 4 sequences of 1,024 tokens: at least {1000 * step_seconds(4, 1024):5.1f} ms, to read the weights and the cache")
print(f"the run of 4 prompts of 1,024 tokens:        at least {1000 * max(flops / PEAK, read / BANDWIDTH):5.1f} ms, to compute")

# %% [markdown]
# With long prompts the first run of a batch takes as long as many decode runs. So the counts of runs below are not
# seconds.
#
# ## Measure: many lengths
#
# Now 256 requests of random lengths, whose means are those of real conversations, as in lesson 03 (ShareGPT, arXiv
# 2309.06180, figure 11). All of them are there from the beginning, so that no batch waits to be full.

# %%
predict("09.waste", "Static batches of 16. Which share of the tokens that the model computes is useful?",
        ["About 90 %", "About 60 %", "About 25 %"], answer=2)

# %%
from course_lib.kvcache.fragmentation import draw_requests

many = [(0, request.prompt, request.output) for request in draw_requests(256, seed=1)]
sizes = [1, 2, 4, 8, 16, 32, 64]
swept = {size: count_batches(many, simulate_batches(many, DynamicBatcher(size, math.inf))) for size in sizes}
fewer = [swept[1].num_steps / swept[size].num_steps for size in sizes]
print(f"{'batch size':>10} {'runs of the model':>18} {'times fewer':>12} {'tokens computed':>16} {'useful':>8} {'padding':>8} {'idle':>8}")
shares = {"useful": [], "padding": [], "idle": []}
for size, times in zip(sizes, fewer):
    found = swept[size]
    parts = found.num_useful_tokens, found.num_padding_tokens, found.num_idle_tokens
    for name, part in zip(shares, parts):
        shares[name].append(100 * part / sum(parts))
    print(f"{size:>10} {found.num_steps:>18,} {times:>12.1f} {sum(parts):>16,} " + " ".join(f"{100 * part / sum(parts):>7.1f}%" for part in parts))

# %%
names = [str(size) for size in sizes]
chart("What a larger static batch gains, and what it wastes",
      panel({name: (names, part) for name, part in shares.items()}, x="batch size", y="tokens computed", y_unit="%",
            kind="stacked", title="Tokens that the model computes"),
      panel({"static batches": (sizes, fewer), "if no row were idle": (sizes, sizes)}, x="batch size",
            y="times fewer than one by one", log="xy", title="Runs of the model"))

# %% [markdown]
# A larger batch gains: the model runs less often. But the more requests share a batch, the longer its longest output,
# so the gain falls behind the batch size: batches of 64 need 11.4 times fewer runs. And a larger batch wastes: with 16
# requests, 25.5 % of the tokens are useful. Batches of requests of similar length would waste less, but a server does
# not know how long an output will be.
#
# ## Dynamic batching
#
# Padding and idle rows stay as long as a batch does not change while it runs. The wait for a full batch can be bounded:
# start when it is full, **or** when its first request has waited for some time, the **timeout**. This is dynamic
# batching, as in NVIDIA's Triton Inference Server, not the language Triton ([its dynamic
# batcher](https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html#dynamic-batcher)).
# If all arrivals are known, the rule is short:

# %%
def dynamic_batches(requests, size, timeout):
    """[(start, requests of the batch)]. A batch starts when the server is free and the batch is ready."""
    free, queue, batches = 0, list(range(len(requests))), []
    while queue:
        came = [requests[i][0] for i in queue]
        full = came[size - 1] if len(queue) >= size else math.inf
        start = max(free, min(full, came[0] + timeout))
        batch = [i for i in queue if requests[i][0] <= start][:size]
        batches.append((start, batch))
        free, queue = start + max(requests[i][2] for i in batch), queue[len(batch):]
    return batches


mine = dynamic_batches(requests, 4, timeout=6)
dynamic = simulate_batches(requests, DynamicBatcher(4, timeout=6))
print("the same batches as the library makes:", mine == [(batch.start, list(batch.requests)) for batch in dynamic])

# %% [markdown]
# A server does not know what will arrive. It has a queue and a clock, and must decide: start now, or sleep until when?
# `DynamicBatcher` decides this; you write one in the exercises. `run_dynamic` is the loop around it: it adds the
# requests that have arrived, runs a batch, and sleeps.

# %%
batch_slots(requests, mine, num_slots=4)

# %%
for name, batches in (("static", static), ("dynamic, timeout 6", dynamic)):
    found, waited = count_batches(requests, batches), waits(requests, batches)
    print(f"{name:>18}: {found.num_batches} batches, {found.num_steps} runs of the model; "
          f"TTFT {sum(waited) / 12 + 1:.1f} runs on average, {max(waited) + 1} at most")

# %% [markdown]
# R8, R9 and R10 no longer wait for R11. The price is one batch more, and the last two are not full: 58 runs of the
# model instead of 50 for the same requests.
#
# How long should the timeout be? That depends on the rate of arrivals. Here are 300 shorter requests at three rates, in
# batches of at most 8:

# %%
timeouts = [0, 5, 10, 20, 50, 100, 200]
rates = {"quiet: one in 40 runs": 40, "steady: one in 14": 14, "busy: one in 9": 9}
waited, filled = {}, {}
for name, every in rates.items():
    drawn = [(r.arrival, r.prompt, r.output)
             for r in draw_requests(300, seed=2, every=every, mean_prompt=40, mean_output=25, max_tokens=128)]
    served = [simulate_batches(drawn, DynamicBatcher(8, timeout)) for timeout in timeouts]
    waited[name] = timeouts, [sum(waits(drawn, batches)) / 300 for batches in served]
    filled[name] = timeouts, [300 / len(batches) for batches in served]
print("runs waited, and requests in a batch:")
print(f"{'':>22} " + "".join(f"{f'timeout {timeout}':>13}" for timeout in (0, 10, 50, 200)))
for name in rates:
    print(f"{name:>22} " + "".join(f"{waited[name][1][at]:>7.0f}{filled[name][1][at]:>6.1f}" for at in (0, 2, 4, 6)))

# %%
words = {"x": "timeout", "x_unit": "runs"}
chart("Dynamic batches of at most 8, by timeout and rate of arrivals",
      panel(waited, y="a request waits on average", y_unit="runs", title="Waiting", **words),
      panel(filled, y="requests in a batch", title="Size of a batch", **words))

# %% [markdown]
# On the quiet server a longer timeout fills the batches, from 1.2 to 5.8 requests, and the average wait grows from 10
# to 113 runs. On the busy server a timeout of 10 even shortens the wait, from 38 to 34 runs: its batches are fuller, so
# there are fewer. With 200 it is 44. At all three rates requests wait with a timeout of 0, too: until the *running
# batch* ends. Lesson 10 shortens that.
#
# ## Measure: time
#
# The same twelve prompts three times over, each with three times as many new tokens, one by one and in batches, on this
# machine:

# %%
predict("09.serving", "36 requests on this machine: static batches of 8, compared to one by one with a cache?",
        ["Slower: the padding costs more", "Up to twice as fast", "More than twice as fast"])

# %% tags=["nbval-ignore-output"]
from course_lib.decoding import generate_cached

queue, wanted = prompts * 3, [SamplingParams(max_tokens=3 * n, ignore_eos=True) for n in new_tokens] * 3
ways = {
    "cached, one by one": lambda: [generate_cached(model, ids, params) for ids, params in zip(queue, wanted)],
    "static, batches of 8": lambda: run_static(model, queue, wanted, batch_size=8)[0],
    "dynamic, at most 8": lambda: run_dynamic(model, queue, wanted, max_batch_size=8, timeout=0.01)[0],
}
written, took, total = {}, dict.fromkeys(ways, math.inf), sum(params.max_tokens for params in wanted)
for _ in range(2):  # in turn, and the best of each counts
    for name, way in ways.items():
        start = time.perf_counter()
        written[name] = way()
        took[name] = min(took[name], time.perf_counter() - start)
for name, best in took.items():
    print(f"{name:>20}: {best:5.2f} s, {total / best:6,.0f} new tokens a second")

# %%
print("the same tokens in all three:", all(tokens == written["cached, one by one"] for tokens in written.values()))
_, report = run_static(model, queue, wanted, batch_size=8)
computed = report.num_useful_tokens + report.num_padding_tokens + report.num_idle_tokens
print(f"runs of the model: {total} one by one, {report.num_steps} in batches, {total / report.num_steps:.1f} times fewer")
print(f"tokens computed: {report.num_useful_tokens:,} one by one, {computed:,} in batches")

# %% [markdown]
# All requests are there at the start, so the dynamic batches are the static ones. The batches compute twice as many
# tokens, because half of them are padding or idle. They are faster if on average a run of eight rows takes less than
# 3.7 times as long as a run of one. The table of steps above has the decode runs; a run with eight padded prompts
# computes more tokens.
#
# On an H200, with 64 requests and 16 at a time (the last row is lesson 10's; the dynamic batches are the static ones
# here too):

# %%
recorded("09", 1)

# %% [markdown]
# The first three rows run plain PyTorch and are launch-bound. One by one, a token took 7.17 s / 3,464 = 2.1 ms. To read
# the 13.6 MB of weights takes this GPU 0.003 ms. So these rows show that there are fewer runs of the model, and not
# what a large model would gain. The last row has fewer runs too, and a decode step of the engine is one launch, of a
# graph.
#
# ## Break it
#
# Padding does no harm as long as nothing reads it. Two lines of `together` see to that: one chooses the row that gives
# the first token, the other one the place of the next token. `padded_batch` is `together` with a switch for each of
# them.

# %%
predict("09.padding", "The first new token is read from the last row of each padded prompt. Which of four outputs are wrong?",
        ["All of them", "All but the longest prompt's", "Only the shortest prompt's"], answer=1)

# %%
from course_lib.practice.play import padded_batch

four = [prompts[i] for i in (6, 1, 3, 7)]
truth = [generate_naive(model, ids, SamplingParams(max_tokens=20, ignore_eos=True)) for ids in four]
print("tokens of the four prompts:", [len(ids) for ids in four])
versions = {"both lines": {}, "first token from the padding": {"reads_last_of_prompt": False},
            "padding stays in the cache": {"overwrites_padding": False}}
for name, switches in versions.items():
    outputs = padded_batch(model, four, 20, **switches)
    print(f"{name:>28}: right: {[output == right for output, right in zip(outputs, truth)]}")
    print(f"{'':>28}  …{tokenizer.decode(four[2] + outputs[2])[:90]!r}")

# %% [markdown]
# The longest prompt has no padding, so its output is right in every version. A test with one prompt passes, and so does
# a test with prompts of one length. No error is raised, and the wrong outputs look like tales. So test a batch with
# prompts of different lengths, and compare each output with the same prompt alone.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("09")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Prefill of one prompt of 1,000 tokens, or a decode step of 1,000 sequences: which reads more?</b></summary>
#
# Both read the weights once. The decode step also reads the keys and values of 1,000 sequences; the prefill has those
# of one. In operations the two differ by their attention, and by the last matrix: only one token of the prompt needs
# logits.
# </details>
#
# <details><summary><b>2. Why does a batch of 64 not give 64 times the tokens, even if enough requests are there?</b></summary>
#
# Each sequence reads its own cache, and that part is not shared. From some batch size on it is most of what is read, or
# arithmetic becomes the limit. And a static batch has idle rows.
# </details>
#
# <details><summary><b>3. Throughput does not grow any more from 256 to 1,024 sequences of 128 tokens. What happens to TTFT and to the time per output token?</b></summary>
#
# The time per output token grows fourfold, as a step does. TTFT depends on the load: with 1,024 batch slots a request
# waits less for one, but each step that it waits for is longer. If no request waits at 256, a limit of 1,024 changes
# nothing.
# </details>
#
# ## Next
#
# [exercises/09_batching.ipynb](../exercises/09_batching.ipynb):
# operations per byte, the waste of static batches, and the batcher. In lesson 10 requests join and leave at every step.
