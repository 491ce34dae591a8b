# %% [markdown]
# # 02 · The KV cache
#
# - **You will** build a cache for keys and values, and the loop that uses it. Then you will look for three bugs in one.
# - **Why** it turns the triangle of lesson 01 into a single line: each token goes through the model once. Every server does this, and most of the course is about where to put what it keeps.
# - **Time** 35 minutes, and an hour for the exercises.
# - **You need** lesson 01.
# - **After it** you can say what a cache saves, what it costs, and in which step a wrong one gives itself away.

# %% [markdown]
# {{colab}}

# %%
import torch
import torch.nn.functional as F

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import count_work, first_divergence, generate_cached, generate_naive, record_cache
from course_lib.kvcache import ContiguousCache, Recompute
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away
config = model.config

# %% [markdown]
# ## What can never change
#
# In attention, a token's **query** asks, and the **keys** and **values** of the tokens before it answer. The causal
# mask lets nobody look ahead. So what a token computes depends on the tokens before it, and on nothing that comes later.

# %%
predict("02.change", "You push 23 tokens through the model, and then the same 23 with one more behind them. "
        "What happens to the keys and values of the first 23?",
        ["They change a little in the upper layers", "They stay the same in every layer", "Only those of the first layer stay"], answer=1)

# %%
class Listening(Recompute):
    """Recompute, with an ear at the door: notes the keys and values of each layer."""

    def __init__(self):
        self.heard = []

    def attend(self, layer, q, k, v):
        self.heard.append((k, v))
        return super().attend(layer, q, k, v)


def heard(ids):
    listening = Listening()
    model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), listening)
    return listening.heard


prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
short, long = heard(prompt), heard(prompt + tokenizer.encode(" The")[-1:])
for layer, ((k1, v1), (k2, v2)) in enumerate(zip(short, long)):
    same = (k1 - k2[: len(k1)]).abs().max() < 1e-4 and (v1 - v2[: len(v1)]).abs().max() < 1e-4
    print(f"layer {layer}: keys and values of the first {len(k1)} tokens the same: {bool(same)}")

# %% [markdown]
# All layers, all the same (up to rounding: torch may add in another order when there are more rows). So why compute
# them again? Keep them. That is the **KV cache**.
#
# Queries need not be kept: a query is asked once, by its own token, and never again.
#
# ## Build it
#
# The cache stands behind the door, where `Recompute` stood. It puts the new keys and values behind the old ones and
# lets the new queries look at all of them. This first one simply grows.

# %%
class GrowingCache:
    def __init__(self, num_layers):
        self.k, self.v = [None] * num_layers, [None] * num_layers

    def attend(self, layer, q, k, v):
        if self.k[layer] is not None:
            k, v = torch.cat([self.k[layer], k]), torch.cat([self.v[layer], v])
        self.k[layer], self.v[layer] = k, v
        start = len(k) - len(q)  # tokens kept before this step
        seen = torch.ones(len(q), len(k), dtype=torch.bool, device=q.device).tril(start)
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)


# %% [markdown]
# `seen` is the causal mask. Row *i* of this step stands at position *start + i*, so it may see the keys 0 to
# *start + i*. For the whole prompt that is the triangle of lesson 01; for a single new token it is one full row.
#
# `enable_gqa` stands for **grouped-query attention**: several query heads share one key/value head, so there is
# less to keep.

# %%
print(f"{config.num_heads} query heads share {config.num_kv_heads} key/value heads of {config.head_dim} numbers, "
      f"in {config.num_layers} layers")

# %% [markdown]
# The loop now has two kinds of step. **Prefill** pushes the whole prompt at once; its last row of logits gives the
# first new token. **Decode** pushes that one token, and so on.

# %%
@torch.inference_mode()
def my_generate(token_ids, max_tokens, cache):
    new, step, start = [], list(token_ids), 0
    for _ in range(max_tokens):
        positions = torch.arange(start, start + len(step), device=model.device)
        logits = model(torch.tensor(step, device=model.device), positions, cache)
        new.append(int(logits[-1].argmax()))
        start += len(step)
        step = new[-1:]  # from now on, the newest token alone
    return new


# %%
predict("02.same", "Naive and cached decoding, greedy, 60 tokens: do they write the same?",
        ["The same tokens", "Nearly: the cache is an approximation", "The same meaning in other words"], answer=0)

# %%
mine = my_generate(prompt, 60, GrowingCache(config.num_layers))
naive = generate_naive(model, prompt, SamplingParams(max_tokens=60, ignore_eos=True))
print(wrapped(tokenizer.decode(mine)))
print()
print("the same tokens:", mine == naive)

# %% [markdown]
# A cache is not an approximation. It leaves out only what would be computed a second time.
#
# ## The same in `course_lib`
#
# `torch.cat` copies everything that is kept, in every layer of every step. `ContiguousCache` takes its memory once,
# for a stated number of tokens, and writes into it: *contiguous*, in one piece. `num_tokens` says how much is in use.
# Also added: an error that says what fits when a step does not, and a short cut for single tokens, which need no mask.

# %%
show(ContiguousCache.attend)

# %%
show(generate_cached)

# %%
cache = ContiguousCache(config, 128, device=model.device, dtype=model.dtype)
theirs = generate_cached(model, prompt, SamplingParams(max_tokens=60, ignore_eos=True), cache)
print("the same tokens:", theirs == naive)
print(cache)

# %% [markdown]
# 23 tokens of the prompt and 59 of the 60 new ones: the last was never pushed, since nobody asks what follows it.
#
# ## See it
#
# Prefill comes in one stroke, and then one column a step. The bars below compare the tokens pushed with what naive
# decoding would push.

# %%
from course_lib.viz import cache_filling

filling = cache_filling(**record_cache(model, tokenizer, prompt, SamplingParams(max_tokens=16)))
filling

# %%
filling.snapshot(step=6)

# %% [markdown]
# ## Positions
#
# Why does it matter that a new token is pushed with its true position? The model knows order from **RoPE** alone
# (rotary position embedding): before a query meets a key, each is turned by an angle that grows with its position.
# What the two then see of each other is the *difference* of their angles, so the score depends on how far apart they are.

# %%
from course_lib.models.transformer import rotary_angles, rotate

q, k = torch.randn(2, 1, 1, config.head_dim, generator=torch.Generator().manual_seed(0)).unbind(0)


def score(query_position, key_position):
    turned = [rotate(x, *rotary_angles(torch.tensor([p]), config)) for x, p in ((q, query_position), (k, key_position))]
    return float((turned[0] * turned[1]).sum())


for at in ((7, 4), (107, 104), (8, 4)):
    print(f"query at {at[0]:>3}, key at {at[1]:>3}, {at[0] - at[1]} apart: score {score(*at):.3f}")

# %% [markdown]
# The same distance gives the same score. The keys in the cache are turned already, each by the position it had when
# it was pushed, and so they can stay as they are. But a query at a wrong position sees all of them at a wrong distance.
#
# ## Measure: counts first
#
# `count_work` counts what a pass through the model takes: tokens pushed, floating-point operations, and bytes that
# have to be read. Here are the naive loop and the cached one, on the same 128 tokens.

# %%
params = SamplingParams(max_tokens=128, ignore_eos=True)
with count_work(model) as naive_work:
    generate_naive(model, prompt, params)
with count_work(model) as cached_work:
    generate_cached(model, prompt, params)
print(f"{'':>10} {'tokens pushed':>14} {'GFLOP':>8}")
for name, work in (("naive", naive_work), ("cached", cached_work)):
    print(f"{name:>10} {work.tokens:>14,} {work.flops / 1e9:>8.2f}")
print(f"{'ratio':>10} {naive_work.tokens / cached_work.tokens:>14.1f} {naive_work.flops / cached_work.flops:>8.1f}")

# %% [markdown]
# And step by step: does the work of the next token still grow with the text?

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for work, name, colour in ((naive_work, "naive", "#D55E00"), (cached_work, "cached", "#0072B2")):
    line = {"label": name, "color": colour, "linestyle": "-" if name == "cached" else "--"}
    axes[0].plot([run.tokens for run in work.runs], **line)
    axes[1].plot([run.flops / 1e9 for run in work.runs], **line)
axes[0].set(xlabel="step", ylabel="tokens pushed", title="Tokens through the model")
axes[1].set(xlabel="step", ylabel="GFLOP", title="Operations")
axes[0].legend()
plt.show()
last, first = cached_work.runs[-1], cached_work.runs[1]
print(f"a decode step pushes {first.tokens} token; "
      f"from the first to the last its operations grow by {last.flops / first.flops - 1:.1%}")

# %% [markdown]
# One token a step, however long the text. The little that still grows is attention: the new token compares itself with
# every key that is kept. Which quantity went from what to what, then?
#
# | to write *n* tokens | naive | cached |
# |---|---|---|
# | tokens pushed in one step | O(n) | O(1) |
# | attention scores in one step | O(n²) | O(n) |
# | tokens pushed in all | O(n²) | O(n) |
# | attention scores in all | O(n³) | O(n²) |
# | memory kept between steps | O(1) | O(n) |
#
# The last row is the price. **The trade is memory for work**: the cache keeps two vectors for every token, head
# and layer, and reads them all in every step.
#
# ## Measure: memory
#
# A token costs a key and a value (2), in each layer, for each key/value head, of `head_dim` numbers. Let us see whether
# the memory of the growing cache really grows by that, to the byte.

# %%
def bytes_held(cache):
    return sum(x.untyped_storage().nbytes() for x in (*cache.k, *cache.v))


size = model.lm_head.weight.element_size()
formula = 2 * config.num_layers * config.num_kv_heads * config.head_dim * size
print(f"2 x {config.num_layers} layers x {config.num_kv_heads} heads x {config.head_dim} numbers x {size} bytes "
      f"= {formula:,} bytes a token")

growing, before = GrowingCache(config.num_layers), 0
with torch.inference_mode():
    for position, token in enumerate(prompt[:6]):
        model(torch.tensor([token], device=model.device), torch.tensor([position], device=model.device), growing)
        now = bytes_held(growing)
        print(f"{position + 1} tokens: {now:>7,} bytes, {now - before:,} more")
        before = now
print("exactly the formula:", bytes_held(growing) == 6 * formula)
print(f"ContiguousCache takes all at once: {cache.num_bytes:,} bytes for {cache.max_tokens} tokens "
      f"= {cache.num_bytes // cache.max_tokens:,} a token")

# %% [markdown]
# Lesson 03 is about this number: for large models it decides how many people can be served at once.
#
# What a decode step *reads* says where its time goes. All weights must be read to push a single token, and the cache
# of all tokens before it:

# %%
print(f"last step: {last.weight_bytes / 1e6:.1f} MB of weights, {last.cache_bytes / 1e6:.2f} MB of cache, "
      f"for {last.tokens} token")

# %% [markdown]
# ## Measure: time
#
# And in seconds, on this machine: 512 new tokens, naive against cached.

# %%
predict("02.faster", "How much faster are 512 tokens with the cache, on this machine?",
        ["Not at all: the model is so small", "Two to three times", "More than four times"])

# %% tags=["nbval-ignore-output"]
import time


@torch.inference_mode()
def timed(new_tokens, cached):
    """Seconds since the start, after each new token."""
    ids, seconds = list(prompt), []
    cache = ContiguousCache(config, len(prompt) + new_tokens, device=model.device, dtype=model.dtype)
    start, pushed = time.perf_counter(), 0
    for _ in range(new_tokens):
        step = ids[pushed:]
        positions = torch.arange(pushed, len(ids), device=model.device)
        last_row = torch.tensor([len(step) - 1], device=model.device)
        tokens, behind_the_door = torch.tensor(step, device=model.device), cache if cached else Recompute()
        logits = model(tokens, positions, behind_the_door, logits_for=last_row)
        pushed = len(ids) if cached else 0
        ids.append(int(logits[0].argmax()))
        seconds.append(time.perf_counter() - start)
    return ids, seconds


timed(8, cached=True)  # to warm up
cached_ids, cached_seconds = timed(512, cached=True)
naive_ids, naive_seconds = timed(512, cached=False)
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
axis.plot(naive_seconds, color="#D55E00", linestyle="--", label="naive")
axis.plot(cached_seconds, color="#0072B2", label="cached")
axis.set(xlabel="new tokens", ylabel="seconds since the start", title="Time to write 512 tokens")
axis.legend()
plt.show()
print(f"naive {naive_seconds[-1]:.1f} s, cached {cached_seconds[-1]:.1f} s: "
      f"{naive_seconds[-1] / cached_seconds[-1]:.1f} times as fast")
naive_end, cached_end = (seconds[-1] - seconds[-101] for seconds in (naive_seconds, cached_seconds))
print(f"the last 100 tokens alone: {naive_end / cached_end:.1f} times")

# %% [markdown]
# The naive curve bends upwards, since each token costs more than the one before. The cached one is nearly straight.
# The ratio in seconds is smaller than the one in counts: a step of one token does not keep a processor busy, and there
# is a fixed cost for each of the model's many small operations. Lessons 09 and 13 come back to both.
# (With a GPU the curves lie close together. There the fixed cost is nearly all, as lesson 01 found: this model is too small for it.)
#
# And a model of real size on a GPU? One step of Llama 3 8B's shape, by the tokens that are pushed, recorded on an H200 (the table is
# lesson 11's). For each new token the naive loop pays the row of the whole text, the cached loop the first one:

# %%
from course_lib.recorded import recorded

recorded("11", 0)

# %% [markdown]
# As far as the time hardly moves, the GPU is busy with other things than our tokens: it reads all weights, and waits to be told
# what to do next. Beyond that the time follows the tokens, and the cache saves what it promised.
#
# ## Break it
#
# A wrong cache does not crash. The text goes on, a little worse or much worse, and you must find out why. Three
# bugs that people really write:

# %%
class OffByOne(GrowingCache):
    """Keeps each token one place too far on: place 0 stays empty, and the newest token is out of sight."""

    def attend(self, layer, q, k, v):
        if self.k[layer] is None:
            self.k[layer], self.v[layer] = torch.zeros_like(k[:1]), torch.zeros_like(v[:1])
        k, v = torch.cat([self.k[layer], k]), torch.cat([self.v[layer], v])
        self.k[layer], self.v[layer] = k, v
        end = len(k) - 1  # the number of tokens, and so the place of the newest
        seen = torch.ones(len(q), end, dtype=torch.bool, device=q.device).tril(end - len(q))
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k[:end], v[:end]))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)


class NotReset(GrowingCache):
    """Forgets every layer but the last."""

    def reset(self):
        self.k[:-1], self.v[:-1] = [None] * (len(self.k) - 1), [None] * (len(self.v) - 1)


class Ignored(GrowingCache):
    """Keeps everything and looks at the new tokens alone."""

    def attend(self, layer, q, k, v):
        super().attend(layer, q, k, v)
        return Recompute().attend(layer, q, k, v)


used = NotReset(config.num_layers)
other = tokenizer.encode("Once upon a time, on a windy hill, there lived a clever badger named Olive.")
my_generate(other, 30, used)
used.reset()
off_by_one, ignored = OffByOne(config.num_layers), Ignored(config.num_layers)
for name, broken in (("off by one", off_by_one), ("not reset", used), ("ignored", ignored)):
    text = my_generate(prompt, 40, broken)
    alike = next((i for i, (a, b) in enumerate(zip(text, naive)) if a != b), 40)
    print(f"{name}: {alike} of 40 tokens before the first wrong one")
    print(wrapped(tokenizer.decode(text)))
    print()

# %% [markdown]
# Only the second text tells what is wrong with it, by speaking of Olive: she was in the prompt before. For the others you
# could not say from the text what to mend. `first_divergence` feeds the same text to two caches,
# half of it as prefill and then a token at a time, and compares what attention returns, layer by layer. It names the first
# place where they differ; everything behind it may differ only because of that.

# %%
predict("02.moment", "In which step does the cache that is ignored first differ from a right one?",
        ["In prefill, step 0", "In the first decode step, step 1", "Only in a second text"], answer=1)

# %%
def where(broken):
    found = first_divergence(model, prompt, broken, Recompute())
    if found is None:
        return "no difference"
    return f"step {found.step}, layer {found.layer}, position {found.position}"


used = NotReset(config.num_layers)
print("off by one:             ", where(OffByOne(config.num_layers)))
print("ignored:                ", where(Ignored(config.num_layers)))
print("not reset, first text:  ", where(used))
used.reset()
print("not reset, second text: ", where(used))
print("ContiguousCache:        ", where(ContiguousCache(config, 64, device=model.device, dtype=model.dtype)))

# %% [markdown]
# Each bug has its own moment. Keys in the wrong place show in prefill. A cache that is not read shows when the
# first token comes alone, because prefill brings everything it needs. A missing reset shows in the second text only,
# and here only in the last layer. In a server, that one would show a user words from somebody else's text.
#
# The view tells the same story. What it draws as held is what attention could see in that step, counted while it ran:
# this cache keeps 26 tokens in every layer, and its newest token sees one, itself.

# %%
steps = record_cache(model, tokenizer, prompt, SamplingParams(max_tokens=8), Ignored(config.num_layers))
broken = cache_filling(**steps)
broken.snapshot(step=4)

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why are queries not kept?</b></summary>
#
# A query belongs to the token that asks, and that token asks once in each layer. Later tokens look at its key and
# value, never at its query.
# </details>
#
# <details><summary><b>2. A prompt of 1,000 tokens and one new token: what does the cache save?</b></summary>
#
# Nothing. The first new token comes out of prefill, which computes the prompt once in any case. The saving begins with
# the second.
# </details>
#
# <details><summary><b>3. You change one word in the middle of the prompt. Which keys and values can you still use?</b></summary>
#
# Those of the tokens before the word. All behind it may have looked at it, so they must be computed again. Lesson 05
# builds on exactly this: texts that begin alike can share the beginning.
# </details>
#
# ## Next
#
# `exercises/02_kv_cache.ipynb`: write `ContiguousCache`, `generate_cached`, serve prompts in turn, and build a tool
# that finds the bug. Your own cache then runs in the loop and in the view above. Lesson 03 counts what it costs.
