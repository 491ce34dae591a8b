# %% [markdown]
# # 09 · Batching
#
# - **You will** count what one token costs a GPU, let several texts share that cost in one batch, and see what such a batch wastes.
# - **Why** a decode step reads every weight of the model, for however many texts. Serving texts together is where nearly all of a
#   server's speed comes from, and the way they are put together decides how much of it is lost again.
# - **Time** 30 minutes, and an hour for the exercises.
# - **You need** lessons 01 and 02. The roofline of lesson 06 helps.
# - **After it** you can say from two numbers whether a step waits for memory or for arithmetic, and what static and dynamic batching
#   pay in padding, idling and waiting.

# %% [markdown]
# {{colab}}

# %%
import math
import time

import matplotlib.pyplot as plt
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import count_work, generate_naive
from course_lib.batching import DynamicBatcher, count_batches, run_dynamic, run_static, simulate_batches, waits
from course_lib.kvcache import ContiguousBatch
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away
config = model.config

# %% [markdown]
# ## What one token costs
#
# With a cache, each step pushes one token through the model. All the same it needs the whole model: every weight is fetched from
# memory, multiplied once, and not looked at again until the next step. So two things are worth counting, operations and bytes.
# Their ratio, operations for each byte, is the **arithmetic intensity** of the step.

# %%
predict("09.idle", "One decode step of one text, in float32. How many operations are done for each byte that is read?",
        ["About half of one", "About 50", "About 500"], answer=0)

# %%
def room(batch, context):
    """A cache in which `batch` texts hold context - 1 tokens each, so that the next token makes `context`."""
    cache = ContiguousBatch(config, batch, context, device=model.device, dtype=model.dtype)
    cache.num_tokens = [context - 1] * batch
    return cache


@torch.inference_mode()
def decode_step(cache):
    """One token more for every text of the cache. The tokens do not matter here."""
    batch = cache.max_seqs
    positions = cache.begin_step(range(batch), [1] * batch)
    return model(torch.full((batch,), 5, device=model.device), positions, cache)


def counted(batch, context=256):
    """What one decode step of so many texts takes: a Run, with tokens, flops, weight_bytes and cache_bytes."""
    with count_work(model) as work:
        decode_step(room(batch, context))
    return work.runs[0]


one = counted(1)
read = one.weight_bytes + one.cache_bytes
print(f"{one.flops / 1e6:.1f} million operations; {read / 1e6:.1f} MB read, {one.weight_bytes / read:.0%} of it weights")
print(f"{one.flops / read:.2f} operations for each byte")
PEAK, BANDWIDTH = 680e12, 4.3e12  # one H200, bfloat16: a large matrix product, and reading; measured for lesson 06
print(f"an H200 can do {PEAK / BANDWIDTH:.0f} for each byte that it reads")

# %% [markdown]
# A weight has four bytes in float32 and takes part in two operations, a product and a sum: half an operation for each byte. In
# bfloat16 it is one. A GPU that could do a hundred times as many spends the step waiting for memory.
#
# ## Many texts, one reading
#
# Now let several texts take their step together. Each has a token of its own, so the vector that a weight matrix is multiplied with
# becomes a matrix with one row for each text. The weights are the same for all of them.

# %%
predict("09.weights", "64 texts in one decode step, in place of one. How many bytes of weights does the step read?",
        ["The same", "About 8 times as many", "64 times as many"], answer=0)

# %%
print(f"{'texts':>5} {'operations':>12} {'weights read':>13} {'cache read':>11} {'operations a byte':>18}")
for batch in (1, 2, 4, 8, 16, 32, 64):
    run = counted(batch)
    print(f"{batch:>5} {run.flops / 1e6:>10,.1f} M {run.weight_bytes / 1e6:>10.1f} MB {run.cache_bytes / 1e6:>8.1f} MB "
          f"{run.flops / (run.weight_bytes + run.cache_bytes):>18.2f}")

# %% [markdown]
# The operations grow with the batch, and so do the bytes of the cache, since every text reads its own keys and values. The
# weights stay: **they are read once for everybody**. (The last digit moves because each text looks up a row of the embedding.)
# That is the bargain of a batch. As long as weights are most of what is read, twice as many texts take hardly any longer.
#
# ## How far does it go?
#
# The counts follow a formula, so that they can be had for models that do not fit here. Per text, each weight takes two operations;
# attention takes 2 · head_dim for each score and as many for each weighted value, in each query head of each layer. Read are the
# weights, once, and for each text the keys and values of all its tokens. First against the counter:

# %%
def cost(shape, weights, batch, context, size):
    """(operations, bytes read) of one decode step of `batch` texts with `context` tokens each; a number has `size` bytes."""
    flops = batch * (2 * weights + 4 * shape.num_layers * shape.num_heads * shape.head_dim * context)
    cache = batch * 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * context
    return flops, (weights + cache) * size


matrices = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)  # the embedding is the last matrix too
for batch in (1, 64):
    run, (flops, read) = counted(batch), cost(config, matrices, batch, 256, 4)
    print(f"{batch:>2} texts: operations as counted: {flops == run.flops}; bytes: "
          f"{read / (run.weight_bytes + run.cache_bytes):.2%} of those counted (without norms and the embedding's rows)")

# %% [markdown]
# Now Llama 3 8B in bfloat16 on that H200. A step cannot be done before all bytes are read, nor before all operations are done, and
# both go on at once. So the longer of the two is the least that it takes. How many texts should share a step?

# %%
from course_lib.kvcache.catalogue import GPUS, MODELS

llama, gpu = MODELS["Llama 3 8B"], GPUS["H200"]
llama_weights = llama.num_parameters - 128_256 * 4096  # without the embedding, which is only looked up


def at_most(batch, context):
    """Tokens a second that the H200 can write at most, all texts together."""
    flops, read = cost(llama, llama_weights, batch, context, 2)
    return batch / max(flops / PEAK, read / BANDWIDTH)


def fit(context):
    """How many texts of so many tokens fit beside the weights."""
    kept = 2 * 2 * llama.num_layers * llama.num_kv_heads * llama.head_dim * context  # keys and values, 2 bytes a number
    return (gpu.bytes - 2 * llama.num_parameters) // kept


contexts = {128: ("#0072B2", "o"), 1024: ("#D55E00", "s"), 8192: ("#009E73", "^")}
batches = [2**i for i in range(11)]
figure, axis = plt.subplots(figsize=(8.5, 4), layout="constrained")
axis.plot(batches, [batch * at_most(1, 0) for batch in batches], ":", color="#666666", label="if only the weights were read")
for context, (colour, mark) in contexts.items():
    inside = [batch for batch in batches if batch < fit(context)]
    inside += [fit(context)] * (fit(context) < batches[-1])
    speeds = [at_most(batch, context) for batch in inside]
    axis.plot(inside, speeds, color=colour, marker=mark, label=f"{context:,} tokens a text")
    if fit(context) < batches[-1]:
        axis.plot(inside[-1], speeds[-1], marker="x", markersize=12, markeredgewidth=2.5, color=colour)
axis.set_xscale("log", base=2)
axis.set(yscale="log", ylim=(200, 300_000), ylabel="tokens a second, at most", title="Llama 3 8B, bfloat16, one H200",
         xticks=batches, xticklabels=[f"{batch:,}" for batch in batches],
         xlabel="texts that share a step  (×: the memory is full)")
axis.grid(color="#dddddd", linewidth=0.6)
axis.legend(frameon=False)
plt.show()
for context in contexts:
    batch = min(fit(context), 1024)
    flops, read = cost(llama, llama_weights, batch, context, 2)
    print(f"{context:>5,} tokens a text: {at_most(1, context):>4,.0f} tokens a second alone, "
          f"{at_most(batch, context):>7,.0f} with {batch:>5,} texts; {flops / read:5.1f} operations a byte, "
          f"{1 - 2 * llama_weights / read:.0%} of the bytes are cache")

# %% [markdown]
# As many as fit. Short texts come near the straight line until arithmetic becomes the limit; long ones leave it early, since each
# brings its own cache to be read. There the line gets flat: more texts read more, and win nothing. That is why a small cache is worth
# so much: grouped queries (lesson 03), pages without holes (04), shared prompts (05). The same steps under the roofline:

# %%
from course_lib.viz import batch_slots, roofline

steps = [(f"{batch:,} text{'s' * (batch > 1)} of {context:,} tokens", *cost(llama, llama_weights, batch, context, 2))
         for batch, context in ((1, 1024), (16, 1024), (64, 1024), (64, 128), (512, 128), (64, 8192))]
# A prompt: the work of 1,024 texts, each of them one token longer than the one before, for one reading of the weights.
prompt = cost(llama, llama_weights, 1024, 1025 / 2, 2)[0], cost(llama, llama_weights, 0, 0, 2)[1]
roofline([*steps, ("prefill of 1,024 tokens", *prompt)],
         flops_per_s=PEAK, bytes_per_s=BANDWIDTH, machine="one H200, bfloat16; decode steps of Llama 3 8B, and a prefill")

# %% [markdown]
# Decoding climbs along the roof of memory and stays left of the ridge unless the texts are short and many. A prefill is on the right
# side by itself: all tokens of a prompt share one reading.
#
# Those are bounds. In time, on this machine:

# %%
predict("09.time", "On this machine, a decode step of 8 texts takes how long, beside a step of one?",
        ["Up to 1.5 times as long", "1.5 to 4 times as long", "More than 4 times as long"])

# %% tags=["nbval-ignore-output"]
def seconds(act, repeats):
    """The least of some tries."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def again(cache, context=64):
    cache.num_tokens = [context - 1] * cache.max_seqs
    decode_step(cache)


print(f"{'texts':>5} {'a step':>10} {'times one text':>15} {'tokens a second':>16}")
for batch in (1, 2, 4, 8, 16, 32, 64):
    cache = room(batch, 64)
    took = seconds(lambda: again(cache), repeats=15)
    alone = took if batch == 1 else alone
    print(f"{batch:>5} {1000 * took:>7.2f} ms {took / alone:>15.1f} {batch / took:>16,.0f}")

# %% [markdown]
# A CPU has few operations to spare for each byte, so here the bargain ends early. `tale` is also so small that its weights may stay in
# the processor's own cache. Still the first texts come cheap: eight cost far less than eight times one.
#
# And a model of real size on a large GPU? One decode step of Llama 3 8B's shape, recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("09", 0)

# %% [markdown]
# A step of 256 texts takes about as long as a step of one. There are two reasons. One is the roofline above: the operations a byte stay far
# left of the ridge. The other hides it: the GB/s stay below what this GPU can read, since most of the step is the CPU starting kernels,
# one by one, whoever they are for. Lesson 13 takes that away. Then few texts get cheaper still, and the bargain is that of the roofline.
#
# ## Static batching
#
# So put requests together. The oldest way: take a fixed number of prompts, run them as one batch, and begin the next when all of them
# are done. A batch has one shape, so the prompts are filled up to the longest of them: **padding**. It is computed like any other
# token, and thrown away. Each row then takes one token a step. A row whose text is over stays, and is computed as well, until the
# last one ends.

# %%
PAD = config.eos_token_ids[0]  # any token will do: nobody looks at it


@torch.inference_mode()
def together(prompts, new_tokens):
    """The new tokens of each prompt, greedy, all in one batch. new_tokens: how many each wants."""
    rows, lengths = range(len(prompts)), [len(ids) for ids in prompts]
    longest = max(lengths)
    cache = ContiguousBatch(config, len(prompts), longest + max(new_tokens), device=model.device, dtype=model.dtype)
    padded = [ids + [PAD] * (longest - len(ids)) for ids in prompts]
    positions = cache.begin_step(rows, [longest] * len(prompts))
    ends = [row * longest + n - 1 for row, n in zip(rows, lengths)]  # the last token before the padding
    flat, ends = (torch.tensor(numbers, device=model.device) for numbers in (sum(padded, []), ends))
    logits = model(flat, positions, cache, logits_for=ends)
    for row, n in zip(rows, lengths):
        cache.num_tokens[row] = n  # the next token is written over the padding
    texts = [[] for _ in prompts]
    while True:
        newest = logits.argmax(-1).tolist()
        for text, token, wanted in zip(texts, newest, new_tokens):
            if len(text) < wanted:
                text.append(token)
        if all(len(text) == wanted for text, wanted in zip(texts, new_tokens)):
            return texts
        positions = cache.begin_step(rows, [1] * len(prompts))
        logits = model(torch.tensor(newest, device=model.device), positions, cache)


openings = ["Once upon a time, in a quiet harbour, there lived", "My grandmother told me of Nettle, a patient toad",
            "There was once a thoughtful frog", "Far away in an old windmill", "One evening at supper time,",
            "In a windy valley lived a clever badger named Rosa.",
            "Once there was an otter who lived near a salt marsh and liked hot baths best.", "Long ago,",
            "In a small town by the sea there lived a goose", "Once upon a time there was a mole", "A fox named Hazel",
            "On a cold morning in the old orchard, a hare named Moss woke up early and went out."]
prompts = [tokenizer.encode(text) for text in openings]
new_tokens = [10, 3, 16, 5, 12, 4, 20, 6, 3, 9, 14, 8]
texts = sum((together(prompts[i:i + 4], new_tokens[i:i + 4]) for i in range(0, 12, 4)), [])
alone = [generate_naive(model, ids, SamplingParams(max_tokens=n, ignore_eos=True)) for ids, n in zip(prompts, new_tokens)]
print(wrapped(tokenizer.decode(prompts[2] + texts[2])))
print(f"the same as alone, without any cache: {sum(a == b for a, b in zip(texts, alone))} of {len(texts)}")

# %% [markdown]
# Nothing is lost by being in a batch: the padding comes *after* the prompt, no token of a text ever looks at it, and the next token is
# written over its keys and values. (Some servers put the padding in front. Then it must be masked in every step.)
#
# In `course_lib` this is `run_batch`. It adds what a request may ask for, such as sampling and stop tokens, and a report of what was
# computed for nothing.

# %%
from course_lib.batching import run_batch

show(run_batch)

# %% [markdown]
# ## See it
#
# Twelve requests come one after the other to a server that runs batches of four. Each row of a batch is a **batch slot**, a place for one
# request. (Not to be mixed up with the slots of lesson 04, which hold one token each.) One column is one run of the model, which is the time
# that everything is counted in: a batch takes one run for its prompts, and one for each further token of its longest text. The
# batches are those of the library; `simulate_batches` only leaves the model out, and counts the same.

# %%
arrivals = [0, 0, 1, 2, 4, 6, 9, 12, 20, 28, 30, 44]  # runs of the model that are over when each comes
requests = [(arrival, len(ids), n) for arrival, ids, n in zip(arrivals, prompts, new_tokens)]
static = simulate_batches(requests, DynamicBatcher(4, timeout=math.inf))  # no timeout: wait until four are there
_, report = run_static(model, prompts, [SamplingParams(max_tokens=n, ignore_eos=True) for n in new_tokens], batch_size=4)
print(report)
print("the same counts without a model:", count_batches(requests, static) == report)
view = batch_slots(requests, static, num_slots=4)
view

# %% [markdown]
# Step through it, or drag; touch a request to see how long it waited.
#
# - R1 wants three tokens. For how many runs is its row taken?
# - In step 8 two of four rows are over, and two requests wait. When do those start?
# - There are runs in which nothing happens at all, though three requests wait. For whom?

# %%
view.snapshot(step=42)

# %%
static_waits = waits(requests, static)
print("runs of the model that each request waits:", static_waits)
held = [max(new_tokens[i] for i in batch.requests) for batch in static for _ in batch.requests]
print(f"rows are held for {sum(held)} runs in all, and wanted for {sum(new_tokens)}")

# %% [markdown]
# Three kinds of loss, and each has its mark in the picture:
#
# - **Padding**: the prompts of a batch are as long as its longest.
# - **Idling**: a row is computed on when its text is over. R1 gets its three tokens at once and its row is held to the end of the batch.
# - **Waiting**: nobody joins a batch that runs, and a batch does not start until it is full. R8, R9 and R10 wait, with every slot
#   empty, until R11 comes. Such empty stretches are called **bubbles**.
#
# ## Measure: real lengths
#
# Twelve tales are no workload. Let us draw 256 requests with the lengths of real conversations, as in lesson 03 (ShareGPT's means,
# arXiv 2309.06180, figure 11), all there from the beginning, so that nobody waits for company.

# %%
predict("09.waste", "Static batches of 16. Which share of the tokens pushed through the model is of use?",
        ["About 90 %", "About 60 %", "About 25 %"], answer=2)

# %%
from course_lib.kvcache.fragmentation import draw_requests

many = [(0, request.prompt, request.output) for request in draw_requests(256, seed=1)]
sizes = [1, 2, 4, 8, 16, 32, 64]
swept = {size: count_batches(many, simulate_batches(many, DynamicBatcher(size, math.inf))) for size in sizes}
print(f"{'batch size':>10} {'runs of the model':>18} {'tokens pushed':>14} {'of use':>8} {'padding':>8} {'idle':>8}")
shares = {}
for size, found in swept.items():
    parts = found.num_useful_tokens, found.num_padding_tokens, found.num_idle_tokens
    shares[size] = [part / sum(parts) for part in parts]
    print(f"{size:>10} {found.num_steps:>18,} {sum(parts):>14,} " + " ".join(f"{share:>8.1%}" for share in shares[size]))

# %% [markdown]
# What does a larger batch buy, and what does it waste?

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
looks = {"of use": {"color": "#0072B2"}, "padding": {"color": "#E69F00", "hatch": "//"},
         "idle": {"color": "#bbbbbb", "hatch": "\\\\"}}
below = [0] * len(sizes)
for part, (name, look) in enumerate(looks.items()):
    heights = [100 * shares[size][part] for size in sizes]
    left.bar(range(len(sizes)), heights, bottom=below, width=0.72, edgecolor="white", label=name, **look)
    below = [a + b for a, b in zip(below, heights)]
left.set(title="Tokens pushed through the model", ylabel="%", ylim=(0, 100))
left.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
fewer = [swept[1].num_steps / swept[size].num_steps for size in sizes]
right.plot(range(len(sizes)), fewer, "s-", color="#D55E00", label="static batches")
right.plot(range(len(sizes)), sizes, ":", color="#666666", label="if no row ever idled")
right.set(title="Fewer readings of the weights", ylabel="times fewer than one by one")
right.set(yscale="log", yticks=sizes, yticklabels=sizes)
right.minorticks_off()
right.legend(frameon=False)
for axis in (left, right):
    axis.set(xticks=range(len(sizes)), xticklabels=sizes, xlabel="batch size")
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Right, the bargain: the model runs less often. But the more requests share a batch, the longer its longest text, and the line bends
# away from what the batch could give. Left, the price. Sorting requests by length would help, but a server does not know how long an
# answer will be, and whoever is sorted to the end waits.
#
# ## Dynamic batching
#
# Padding and idling stay as long as a batch has one shape. The waiting can be bounded: start when the batch is full, **or** when the
# first request has waited for some time, the **timeout**. This is dynamic batching, as in NVIDIA's Triton Inference Server
# ([its dynamic batcher](https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html#dynamic-batcher)).
# Looking back at a list of arrivals, the rule is short:

# %%
def dynamic_batches(requests, size, timeout):
    """[(start, who)] of requests sorted by arrival. A batch starts when the server is free and the batch is ready."""
    free, queue, batches = 0, list(range(len(requests))), []
    while queue:
        came = [requests[i][0] for i in queue]
        full = came[size - 1] if len(queue) >= size else math.inf
        start = max(free, min(full, came[0] + timeout))
        who = [i for i in queue if requests[i][0] <= start][:size]
        batches.append((start, who))
        free, queue = start + max(requests[i][2] for i in who), queue[len(who):]
    return batches


mine = dynamic_batches(requests, 4, timeout=6)
theirs = simulate_batches(requests, DynamicBatcher(4, timeout=6))
print("the batches of the library:", mine == [(batch.start, list(batch.requests)) for batch in theirs])

# %% [markdown]
# A server cannot look ahead. It has a queue, a clock, and a question: start now, or sleep until when? `DynamicBatcher` answers it,
# and in the exercises you write one. Around it, `run_dynamic` adds arrivals, runs each batch and sleeps in between.

# %%
show(run_dynamic)

# %%
batch_slots(requests, mine, num_slots=4)

# %%
for name, batches in (("static", static), ("dynamic, timeout 6", theirs)):
    found, waited = count_batches(requests, batches), waits(requests, batches)
    print(f"{name:>18}: {found.num_batches} batches, {found.num_steps} runs of the model; "
          f"a request waits {sum(waited) / 12:.1f} runs on average, {max(waited)} at most")

# %% [markdown]
# R8, R9 and R10 no longer wait for R11. The price: more batches with fewer rows, so the model runs more often for the same texts.
#
# How long should the first one wait? That depends on how many come. 300 requests at three rates, batches of 8:

# %%
timeouts = [0, 5, 10, 20, 50, 100, 200]
rates = {"quiet: one in 40 runs": (40, "#0072B2", "o"), "steady: one in 14": (14, "#E69F00", "s"),
         "busy: one in 9": (9, "#D55E00", "^")}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
lengths = {"mean_prompt": 40, "mean_output": 25, "max_tokens": 128}
print("runs waited, and requests in a batch:")
print(f"{'':>22} " + "".join(f"{f'timeout {timeout}':>13}" for timeout in (0, 50, 200)))
for name, (every, colour, mark) in rates.items():
    drawn = [(r.arrival, r.prompt, r.output) for r in draw_requests(300, seed=2, every=every, **lengths)]
    served = [simulate_batches(drawn, DynamicBatcher(8, timeout)) for timeout in timeouts]
    waited = [sum(waits(drawn, batches)) / 300 for batches in served]
    left.plot(range(len(timeouts)), waited, color=colour, marker=mark, label=name)
    right.plot(range(len(timeouts)), [300 / len(batches) for batches in served], color=colour, marker=mark)
    print(f"{name:>22} " + "".join(f"{waited[at]:>7.0f}{300 / len(served[at]):>6.1f}" for at in (0, 4, 6)))
ticks = [10, 20, 50, 100]
left.set(title="A request waits", ylabel="runs of the model", yscale="log", yticks=ticks, yticklabels=ticks)
left.minorticks_off()
right.set(title="Requests in a batch", ylim=(0, 8.4))
left.legend(frameon=False, fontsize=9, loc="lower right")
for axis in (left, right):
    axis.set(xticks=range(len(timeouts)), xticklabels=timeouts, xlabel="timeout, in runs of the model")
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# On a quiet server company is paid for with waiting: the first of a batch waits the whole timeout, whoever joins it a part of it. On a
# busy one the wait hardly changes: what a request waits for there is the *end of a running batch*, and no timeout shortens that. The
# batches only get fuller.
#
# ## Measure: time
#
# The same twelve requests three times over, one by one and in batches, on this machine:

# %%
predict("09.serving", "36 requests on this machine: static batches of 8, against one by one with a cache?",
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
for _ in range(3):  # in turn, and the best of each counts
    for name, way in ways.items():
        start = time.perf_counter()
        written[name] = way()
        took[name] = min(took[name], time.perf_counter() - start)
for name, best in took.items():
    print(f"{name:>20}: {best:5.2f} s, {total / best:6,.0f} new tokens a second")

# %%
print("the same tokens in all three:", all(texts == written["cached, one by one"] for texts in written.values()))
_, report = run_static(model, queue, wanted, batch_size=8)
pushed = report.num_useful_tokens + report.num_padding_tokens + report.num_idle_tokens
print(f"runs of the model: {total} one by one, {report.num_steps} in batches, {total / report.num_steps:.1f} times fewer")
print(f"tokens pushed: {report.num_useful_tokens:,} one by one, {pushed:,} in batches")

# %% [markdown]
# All came at once here, so dynamic batches are static ones, and what differs between the two is other work on this machine. Half of what
# a batch pushes is padded or idle. It wins all the same where a run of eight costs less than "times fewer" runs of one; see the table of
# steps above. How much is left on the table, lesson 10 shows: there a row that is over is given away in the very next run.
#
# On an H200, with 64 requests and 16 at a time (the last row is lesson 10's):

# %%
recorded("09", 1)

# %% [markdown]
# ## Break it
#
# Padding is harmless as long as nobody looks at it. Two lines in `together` see to that: which row the first token is read from, and
# where the next one is written. Leave one of them out.

# %%
predict("09.padding", "Each first token is read from the last row of its padded prompt. Which of four texts come out wrong?",
        ["All of them", "All but the longest prompt's", "Only the shortest prompt's"], answer=1)

# %%
@torch.inference_mode()
def careless(prompts, count, *, right_end, written_over):
    """`together` for `count` tokens each, with one line or the other left out."""
    rows, lengths = range(len(prompts)), [len(ids) for ids in prompts]
    longest = max(lengths)
    cache = ContiguousBatch(config, len(prompts), longest + count, device=model.device, dtype=model.dtype)
    padded = [ids + [PAD] * (longest - len(ids)) for ids in prompts]
    positions = cache.begin_step(rows, [longest] * len(prompts))
    ends = [row * longest + (n if right_end else longest) - 1 for row, n in zip(rows, lengths)]
    flat, ends = (torch.tensor(numbers, device=model.device) for numbers in (sum(padded, []), ends))
    logits = model(flat, positions, cache, logits_for=ends)
    if written_over:
        cache.num_tokens[:] = lengths
    texts = [[] for _ in prompts]
    for _ in range(count):
        newest = logits.argmax(-1).tolist()
        for text, token in zip(texts, newest):
            text.append(token)
        logits = model(torch.tensor(newest, device=model.device), cache.begin_step(rows, [1] * len(rows)), cache)
    return texts


four = [prompts[i] for i in (6, 1, 3, 7)]
truth = [generate_naive(model, ids, SamplingParams(max_tokens=20, ignore_eos=True)) for ids in four]
print("tokens of the four prompts:", [len(ids) for ids in four])
versions = {"both lines": (True, True), "first token from the padding": (False, True), "padding kept": (True, False)}
for name, (right_end, written_over) in versions.items():
    texts = careless(four, 20, right_end=right_end, written_over=written_over)
    print(f"{name:>28}: right: {[text == right for text, right in zip(texts, truth)]}")
    print(f"{'':>28}  …{tokenizer.decode(four[2] + texts[2])[:90]!r}")

# %% [markdown]
# The longest prompt has no padding, so it is right in every version. A test with one prompt passes, and so does one with prompts of equal
# length. Nothing is raised either: after a few odd words the text goes on as if nothing had been. So test a batch with prompts of
# different lengths, and against each prompt alone.
#
# ## Three questions
#
# <details><summary><b>1. Prefill of one prompt of 1,000 tokens, and a decode step of 1,000 texts: which reads more?</b></summary>
#
# The weights are read once in both. The decode step also reads the keys and values of 1,000 texts; the prompt has only its own. In
# operations the two are alike, up to attention.
# </details>
#
# <details><summary><b>2. Why does a batch of 64 not give 64 times the tokens, even with enough work?</b></summary>
#
# Each text reads its own cache, and that part is not shared. Beyond some size it is most of what is read, or arithmetic becomes the limit.
# And a static batch holds rows that are over.
# </details>
#
# <details><summary><b>3. A busy server has a timeout of 50 ms. What changes if it is set to 0?</b></summary>
#
# The waiting hardly changes: it is for the end of the running batch. When that ends, whoever is there starts at once, so batches are
# somewhat smaller and the model runs somewhat more often. The timeout matters when few requests come.
# </details>
#
# ## Next
#
# `exercises/09_batching.ipynb`: operations for each byte, the waste of static batches, and the batcher. Then lesson 10 lets requests join
# and leave at every step.
