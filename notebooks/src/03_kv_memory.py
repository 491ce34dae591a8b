# %% [markdown]
# # 03 · KV memory
#
# - **You will** work out what a cache costs to the byte, for real models on real GPUs, and simulate where that memory goes when it is handed out the simple way.
# - **Why** memory, not speed, decides how many people a GPU can serve at once. Most of it used to be wasted.
# - **Time** 30 minutes, and as much again for the exercises.
# - **You need** lesson 02.
# - **After it** you can say how many requests fit on a GPU before you rent it, and name the three ways in which the memory for them is lost.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import generate_cached
from course_lib.kvcache import ContiguousCache, kv_bytes_per_token
from course_lib.kvcache.catalogue import GPUS, MODELS
from course_lib.kvcache.sizes import attention_kind, kv_bytes, readable, weight_bytes
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## What one token leaves behind
#
# In every layer, attention makes a key and a value from each token, and the cache keeps both. They come in **KV
# heads**: each holds one key and one value, of `head_dim` numbers each. So one token leaves
#
# **2 × layers × KV heads × head size × bytes of a number**
#
# in the cache. The 2 is for key and value. Nothing else is kept: queries are used in their own step and forgotten.

# %%
def my_bytes_per_token(config, bytes_of_a_number):
    return 2 * config.num_layers * config.num_kv_heads * config.head_dim * bytes_of_a_number


c = model.config
print(f"tale: {c.num_layers} layers, {c.num_heads} query heads, {c.num_kv_heads} KV heads of {c.head_dim} numbers")
print(f"in float32, 4 bytes each: {my_bytes_per_token(c, 4):,} bytes a token")

# %% [markdown]
# A formula is a promise. The tensors of a cache tell whether it is kept: make caches for more and more tokens, and
# add up what their memory really takes.

# %%
for tokens in (1, 2, 100, c.context):
    cache = ContiguousCache(c, tokens, dtype=torch.float32)
    real = sum(tensor.untyped_storage().nbytes() for tensor in (cache.k, cache.v))
    print(f"{tokens:>5} tokens: predicted {tokens * my_bytes_per_token(c, 4):>10,} bytes, allocated {real:>10,}")

# %% [markdown]
# And while it writes? `num_tokens` counts what is kept.

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
cache = ContiguousCache(c, 64, device=model.device, dtype=model.dtype)
for new_tokens in (1, 2, 20, 40):
    cache.reset()
    generate_cached(model, prompt, SamplingParams(max_tokens=new_tokens, ignore_eos=True), cache)
    print(f"{len(prompt)} + {new_tokens:>2} tokens: {cache.num_tokens:>2} kept, "
          f"{cache.num_bytes_used:>8,} bytes in use, {cache.num_bytes:,} held")

# %% [markdown]
# One less is kept than was read and written: the last token has not gone through the model, and it never will. And
# look at the last column. The cache holds all of its memory from the start, whether anything is in it or not. The
# second half of this lesson is about that column.
#
# ## 1.07 GB, or 1 GiB
#
# A figure that is often quoted: 32 layers, 2,048 tokens, 4,096 numbers for a key, 2 bytes each. Let us see what it is
# exactly.

# %%
quoted = 2 * 32 * 2048 * 4096 * 2
print(f"{quoted:,} bytes = {quoted / 10**9:.2f} GB = {quoted / 2**30:.2f} GiB")

# %% [markdown]
# Two things are easy to miss. **GB** is decimal, 1,000,000,000 bytes; **GiB** is binary, 2³⁰ bytes, and 7.4 % more.
# Both get called "gigabyte". The figure is 1.07 of the one and exactly 1 of the other. This course says which.
#
# And the 4,096 hide an assumption: 32 KV heads of 128 numbers, one for each of 32 query heads. That was Llama 2 7B.
# Its successor has the same layers and the same head size.

# %%
predict("03.gqa", "Llama 3 8B has 32 layers and 32 query heads of 128 numbers too, but 8 KV heads. Its cache for 2,048 tokens takes…",
        ["as much", "half as much", "a quarter"], answer=2)

# %%
for name in ("Llama 2 7B", "Llama 3 8B"):
    shape = MODELS[name]
    size = readable(kv_bytes(shape, 2048, "float16"))
    print(f"{name}: {shape.num_heads} query heads, {shape.num_kv_heads:>2} KV heads: {size} for 2,048 tokens")

# %% [markdown]
# ## Four ways to keep keys and values
#
# How many KV heads there are is a choice made before training:
#
# - **MHA**, multi-head attention: a KV head for each query head.
# - **GQA**, grouped-query attention: a KV head for a group of query heads. Most models in the table below.
# - **MQA**, multi-query attention: one KV head for all of them.
# - **MLA**, multi-head latent attention: neither keys nor values are kept, but one short vector for each token and layer, from
#   which the keys and values of all heads are made when they are needed. Beside it stands one small key for all heads that carries the
#   position. DeepSeek-V3 keeps 512 + 64 numbers in each layer, and the formula has no 2 and no heads in it.
#
# What does that come to for real models? Their shapes stand in `course_lib.kvcache.catalogue`, each with the address
# of the file that it was read from.

# %%
names = ["OPT 13B", "Llama 2 7B", "Llama 2 70B", "Llama 3 8B", "Llama 3 70B", "Llama 3.1 405B",
         "Mistral 7B v0.3", "Qwen3 0.6B", "Qwen3 4B", "Qwen3 32B", "Falcon 7B", "DeepSeek-V3"]
print(f"{'model':<16} {'':<4} {'layers':>6} {'heads: query':>13} {'KV':>4} {'size':>5} {'bytes a token':>14} {'4,096 tokens':>14}")
for name in names:
    m = MODELS[name]
    kept = "latent 512 + 64" if attention_kind(m) == "MLA" else f"{m.num_heads:>6} {m.num_kv_heads:>4} {m.head_dim:>5}"
    size, tokens = kv_bytes_per_token(m, "bfloat16"), min(4096, m.context)
    print(f"{name:<16} {attention_kind(m):<4} {m.num_layers:>6} {kept:>24} {size:>14,} {tokens * size / 10**9:>11.2f} GB"
          + (f" ({tokens:,}: its context)" if tokens < 4096 else ""))

# %% [markdown]
# Does a larger model keep more for each token? Here are the same models from the smallest to the largest.

# %%
import matplotlib.pyplot as plt

looks = {"MHA": ("#D55E00", ""), "GQA": ("#0072B2", "//"), "MQA": ("#CC79A7", "xx"), "MLA": ("#009E73", "..")}
by_size = sorted((MODELS[name] for name in names), key=lambda m: m.num_parameters)
figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
for place, m in enumerate(by_size):
    kilobytes, (colour, hatch) = kv_bytes_per_token(m, "bfloat16") / 1000, looks[attention_kind(m)]
    axis.barh(place, kilobytes, color=colour, hatch=hatch, edgecolor="white")
    axis.text(kilobytes + 6, place, f"{kilobytes:.0f}", va="center", fontsize=9)
axis.set(yticks=range(len(by_size)), yticklabels=[f"{m.name}, {attention_kind(m)}" for m in by_size], xlim=(0, 880),
         xlabel="kB of cache for each token, 16 bits", title="What a token costs in the cache, models in order of size")
axis.invert_yaxis()
plt.show()

# %% [markdown]
# Hardly. The two with MHA keep more than Llama 3.1 405B, and DeepSeek-V3, the largest, keeps less than Qwen3 0.6B. What
# counts is the kind of attention. This is what each saves against a KV head for each query head:

# %%
from dataclasses import replace

for name in ("Llama 3 8B", "Llama 3 70B", "Llama 3.1 405B", "Falcon 7B", "DeepSeek-V3"):
    m = MODELS[name]
    as_mha = replace(m, num_kv_heads=m.num_heads, kv_lora_rank=None, qk_rope_head_dim=None)
    times = kv_bytes_per_token(as_mha) / kv_bytes_per_token(m)
    print(f"{name:<15} {attention_kind(m)}: {times:5.1f} times less than MHA of the same heads")

# %% [markdown]
# In `course_lib` the formula is this. What was added: MLA, numbers smaller than a byte, and a refusal of dtypes it
# does not know.

# %%
from course_lib.kvcache.sizes import kv_numbers_per_token

show(kv_numbers_per_token)

# %%
show(kv_bytes_per_token)

# %% [markdown]
# ## One user and a laptop
#
# A common laptop has 16 or 32 GB of RAM. Llama 3.1 70B has 8 KV heads in 80 layers, and takes texts of up to 131,072 tokens:
# a long report, or a day's conversation with an assistant that reads files.

# %%
predict("03.laptop", "One user of Llama 3.1 70B fills the context. Without the weights, in 16 bits, the cache takes about…",
        ["0.4 GB", "4 GB", "40 GB"], answer=2)

# %%
big = MODELS["Llama 3.1 70B"]
print(f"a token:      {readable(kv_bytes_per_token(big, 'bfloat16'))}")
print(f"one user:     {readable(kv_bytes(big, big.context, 'bfloat16'))} for {big.context:,} tokens")
print(f"the weights:  {readable(weight_bytes(big))}, shared by all users")
for ram in (16, 32):
    print(f"a laptop with {ram} GB is full after {ram * 10**9 // kv_bytes_per_token(big, 'bfloat16'):,} tokens of cache alone")

# %% [markdown]
# The weights are paid for once, the cache for every user. That is the arithmetic of serving: weights, then as many
# caches as fit.
#
# ## How many fit
#
# A server does not give out all of a GPU; each step needs some room to compute in. vLLM takes a share of 0.9 by default
# (`gpu_memory_utilization`). What the weights leave of that is for caches:

# %%
from course_lib.kvcache import max_requests

show(max_requests)

# %%
llama = MODELS["Llama 3 8B"]
gpus = ("T4", "L4", "A100 40 GB", "H100", "H200", "MI300X")
print(f"Llama 3 8B: {readable(weight_bytes(llama))} of weights. Requests of 8,192 tokens that fit:")
print(f"{'':<12}" + "".join(f"{gpu:>12}" for gpu in gpus))
for dtype in ("bfloat16", "fp8"):
    print(f"{dtype:<12}" + "".join(f"{max_requests(llama, GPUS[gpu], 8192, dtype=dtype):>12}" for gpu in gpus))

# %% [markdown]
# A datasheet's GB are taken as decimal here. What a driver reports lies some per cent off: where the maker means GiB it
# is up to 7.4 % more, and where error correction takes its share of the same memory it is less.
#
# Now try it. Choose a model and a GPU, move the sliders, and watch where the bar runs out. What does it take to serve
# Llama 3.1 70B? What happens to Qwen3 0.6B, whose weights are next to nothing?

# %%
from course_lib.kvcache import calculator_data
from course_lib.viz import kv_calculator

calculator = kv_calculator(**calculator_data(), model="Llama 3.1 8B", gpu="H100", tokens=16_384)
calculator

# %%
calculator.snapshot()

# %% [markdown]
# ## Where the memory goes
#
# So far every request took exactly what it needs. A server cannot do that: when a request arrives, nobody knows how
# long it will grow. And attention wants a request's keys and values in one contiguous piece, as `ContiguousCache`
# holds them. So, before 2023, servers **reserved**: the piece for the longest text that the model takes, at the start.
#
# Let the memory be a row of **slots**, room for one token each. Then at any moment each slot is one of these. (The words are
# those of the paper that introduced paging, [arXiv 2309.06180](https://arxiv.org/abs/2309.06180), section 3.1.)
#
# - **used**: a token is in it;
# - **reserved**: a token of this request will come into it later;
# - **internal fragmentation**: reserved, but the request ends before it gets there;
# - **external fragmentation**: in a hole between the pieces that is too small for the request that waits;
# - **free**: in any other hole.
#
# Only the first is of use right now. This is the whole of such a server, with no model in it:

# %%
def serve(requests, reserve, capacity, num_steps):
    """Slots used after each step, when a request gets one piece of reserve(request) slots."""
    waiting, pieces, used = list(requests), [], []  # a piece: [start, size, tokens so far, request]
    for _ in range(num_steps):
        pieces = [p for p in pieces if p[2] < p[3].final]  # who is done leaves
        while waiting:
            size, edge = reserve(waiting[0]), 0
            for start, taken, *_ in sorted(pieces, key=lambda p: p[0]):  # the first hole that is large enough
                if start - edge >= size:
                    break
                edge = start + taken
            if edge + size > capacity:
                break  # there is none: it waits, and so does everybody behind it
            pieces.append([edge, size, waiting[0].prompt, waiting.pop(0)])
        for piece in pieces:
            piece[2] += 1  # everybody writes a token
        used.append(sum(piece[2] for piece in pieces))
    return used


from course_lib.kvcache.fragmentation import draw_requests, reserve_exact, reserve_maximum, reserve_power_of_two

few = draw_requests(80, seed=0, mean_prompt=10, mean_output=14, max_tokens=64)
used = serve(few, reserve_maximum(64), 280, 120)
lengths = [r.final for r in few]
print(f"{len(few)} requests of {min(lengths)} to {max(lengths)} tokens, mean {sum(lengths) / len(few):.0f}")
print(f"280 slots, 64 reserved for each request: {sum(used) / len(used) / 280:.0%} used on average")

# %% [markdown]
# The same in `course_lib`. What was added: arrivals over time, the account of every slot, and a refusal of policies
# that cannot work.

# %%
from course_lib.kvcache import simulate

show(simulate)

# %%
print("the same slots used:", used == [step["used"] for step in simulate(few, reserve_maximum(64), 280, 120)])

# %% [markdown]
# Three **policies**, that is, rules for how much to reserve:
#
# - *maximum*: the longest text that the model takes, for everybody. Needs to know nothing.
# - *power of two*: the prompt, and its output rounded up to a power of two. Needs a good guess of the output.
# - *exact*: what the request will really hold. Needs to know the future.
#
# Step through a small memory under each. Look for the holes, and for what is never used.

# %%
from course_lib.viz import reserved_against_used

policies = {"maximum": reserve_maximum(64), "power of two": reserve_power_of_two, "exact": reserve_exact}
runs = {name: simulate(few, reserve, 280, 120) for name, reserve in policies.items()}
memory = reserved_against_used(runs, capacity=280)
memory

# %%
memory.snapshot(step=60)

# %% [markdown]
# At the same moment with exact reservations: more requests run, nothing is reserved in vain, and the holes have moved
# between the pieces.

# %%
reserved_against_used({"exact": runs["exact"]}, capacity=280).snapshot(step=60)

# %% [markdown]
# ## Measure: at the size of a real server
#
# First: does a GPU give what the formula says? One text of 8,192 tokens, its cache in one piece, recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("03")

# %% [markdown]
# To the megabyte. So the arithmetic can be trusted, and the question is how well the memory is used.
#
#
# The paper served OPT 13B on an A100 with 40 GB, which leaves 15,700 slots for the cache, and drew its requests from
# ShareGPT, a collection of conversations: 161 tokens of prompt and 338 of answer on average, some very long. The
# model takes 2,048 tokens. We draw lengths with the same means.

# %%
predict("03.used", "Everybody gets 2,048 slots. What share of the memory holds a token, on average, while requests queue outside?",
        ["About 80 %", "About 50 %", "About 20 %"], answer=2)

# %%
from course_lib.kvcache.fragmentation import OPT_13B_SLOTS, PARTS, PUBLISHED, mean_shares

many = draw_requests(1500, seed=1)
policies = {"maximum": reserve_maximum(2048), "power of two": reserve_power_of_two, "exact": reserve_exact}
ours = {name: mean_shares(simulate(many, reserve, OPT_13B_SLOTS, 8000)[1000:]) for name, reserve in policies.items()}
print(f"{'':<14}" + "".join(f"{part:>10}" for part in PARTS) + f"{'requests at once':>18}")
for name, shares in ours.items():
    print(f"{name:<14}" + "".join(f"{shares[part]:>10.1%}" for part in PARTS) + f"{shares['requests']:>18.1f}")

# %% [markdown]
# And the figures that the paper measured on a real engine, under names of its own: Orca is the server that
# it compares with, rebuilt with the same three policies.

# %%
print(f"{'':<14}" + "".join(f"{part:>10}" for part in PARTS))
for name, shares in PUBLISHED.items():
    print(f"{name:<14}" + "".join(f"{shares[part]:>10.1%}" if part in shares else f"{'':>10}" for part in PARTS))

# %% [markdown]
# With the maximum reserved we come out close, part by part: about a fifth of the memory is of use, and more than half
# will never be. For the other two the paper found less use than we do, and more under "external and others". Its Orca
# places pieces with a *buddy allocator*, which cuts the memory in halves, halves of halves, and so on, so that each piece
# takes a power of two. We can try that. A policy is a function, so it takes one line. (What the rounding loses is
# *internal* by our account, and among the "others" in the paper's.)

# %%
def power_of_two(n):
    return 1 << (n - 1).bit_length()


ours["exact, as buddy"] = mean_shares(simulate(many, lambda r: power_of_two(r.final), OPT_13B_SLOTS, 8000)[1000:])
print(f"exact lengths, in pieces of a power of two: {ours['exact, as buddy']['used']:.1%} used; "
      f"published {PUBLISHED['Orca (Oracle)']['used']:.1%}")

# %%
colours = {"used": "#0072B2", "reserved": "#56B4E9", "internal": "#D55E00", "external": "#E69F00", "free": "#DDDDDD"}
hatches = {"used": "", "reserved": "//", "internal": "xx", "external": "..", "free": ""}
pairs = [("maximum, ours", ours["maximum"]), ("Orca (Max)", PUBLISHED["Orca (Max)"]), ("power of two, ours", ours["power of two"]),
         ("Orca (Pow2)", PUBLISHED["Orca (Pow2)"]), ("exact, ours", ours["exact"]), ("exact as buddy, ours", ours["exact, as buddy"]),
         ("Orca (Oracle)", PUBLISHED["Orca (Oracle)"])]
places = [0, 1, 2.5, 3.5, 5, 6, 7]
figure, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
edge = [0] * len(pairs)
for part in PARTS[:4]:
    widths = [100 * shares[part] for _, shares in pairs]
    axis.barh(places, widths, left=edge, color=colours[part], hatch=hatches[part], edgecolor="white", label=part)
    edge = [a + b for a, b in zip(edge, widths)]
for place, (_, shares) in zip(places, pairs):
    axis.text(100 * shares["used"] - 1, place, f"{shares['used']:.1%}", color="white", ha="right", va="center", weight="bold")
axis.set(yticks=places, yticklabels=[name for name, _ in pairs], xlim=(0, 100), xlabel="share of the cache's memory, %",
         title="How much of the memory holds a token?")
axis.invert_yaxis()
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, frameon=False)
plt.show()

# %% [markdown]
# This is where the often quoted "20.4 % to 38.2 %" comes from: what the paper found in use, from the worst policy to the
# best. Even the best, which no server can have, leaves about half of the memory idle or more, for two reasons. Slots are
# held for tokens yet to come, and pieces of all sizes leave holes of all sizes.
#
# ## Break it
#
# So reserve less. Why the longest text, when the average is so much shorter? Reserve the average and be done.

# %%
predict("03.average", "Everybody gets as many slots as a request holds on average. How many requests outgrow their piece?",
        ["Next to none", "About a third", "Nearly all"], answer=1)

# %%
average = round(sum(r.final for r in many) / len(many))
outgrow = sum(r.final > average for r in many)
print(f"average {average} tokens: {outgrow} of {len(many)} requests hold more, {outgrow / len(many):.0%}")

# %% [markdown]
# And what happens to one that does? Here is a request of 60 tokens in a piece for 40:

# %%
from course_lib.errors import CacheFull

small = ContiguousCache(c, 40, device=model.device, dtype=model.dtype)
try:
    generate_cached(model, prompt, SamplingParams(max_tokens=60 - len(prompt), ignore_eos=True), small)
except CacheFull as error:
    print(wrapped(str(error)))

# %% [markdown]
# The next slots belong to somebody else. A server could move the whole request to a larger hole, if there is one, or
# give it up halfway. That is why everybody reserved too much: it was the only safe way as long as a piece had to be
# contiguous.
#
# Does it have to be? Suppose that memory came in small pages, and a request took a page only when its last one is full.
# Nothing would be reserved for later than that, any page would do for anybody, and at most the last page of each request
# would be partly empty. The paper measured that too: the line `vLLM` above.
#
# ## Three questions
#
# <details><summary><b>1. You store the weights in 4 bits instead of 16. How much smaller is the cache of a request?</b></summary>
#
# Not at all. Keys and values are computed, not stored with the model, and have a dtype of their own. But the weights
# leave more room, so more requests fit.
# </details>
#
# <details><summary><b>2. Two models have the same layers and KV heads, and one has twice the query heads. Whose cache is larger?</b></summary>
#
# They are equal: queries are never kept. The one with more query heads does more work with the same cache.
# </details>
#
# <details><summary><b>3. With exact reservations there is no internal fragmentation. Why is only about half of the memory used?</b></summary>
#
# A request holds the slots of all its future tokens from its first step on, so on its way it uses only part of
# them: <i>reserved</i>. And pieces of different sizes leave holes that do not fit who waits: <i>external</i>. The table
# above says how much each of the two takes.
# </details>
#
# ## Next
#
# `exercises/03_kv_memory.ipynb`: write `bytes_per_token`, `max_requests`, `fragmentation` and `fit_a_budget`
# yourself. Then lesson 04 cuts the memory into pages.
