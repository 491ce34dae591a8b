# %% [markdown]
# # 02 · The KV cache
#
# - **You will** build a cache for keys and values, and the loop that uses it. Then you will look for the bugs of
#   three wrong caches.
# - **Why** with the cache no token goes through the model twice. Servers of language models work like this, and most
#   of the course is about where the cache is kept.
# - **Time** 50 minutes, and 90 for the exercises.
# - **You need** lesson 01.
# - **After it** you can say what a KV cache saves and what it costs, what TTFT and TPOT are, and where three kinds of
#   wrong cache show.

# %% [markdown]
# {{colab}}

# %%
import torch
import torch.nn.functional as F

from course_lib import SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding import count_work, first_divergence, generate_cached, generate_naive, record_cache
from course_lib.kvcache import ContiguousCache, Recompute
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # the rule "the same tokens" holds in float32: lesson 01
config = model.config

# %% [markdown]
# ## What does not change
#
# In attention, the **query** of a token is compared with the **keys** of this token and of all tokens before it. The
# scores say how much of each **value** the token takes in. Because of the causal mask, the result
# for a token depends on this token and those before it, and not on those after it.

# %%
predict("02.change", "You run the model on 23 tokens, and then on the same 23 tokens and one more after them. "
        "What happens to the keys and values of the first 23?",
        ["They change a little in the upper layers", "They stay the same in every layer", "Only those of the first layer stay"], answer=1)

# %%
class Listening(Recompute):
    """Recompute that also notes the keys and values of each layer."""

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
short, long = heard(prompt), heard(prompt + tokenizer.encode(" The")[-1:])  # [-1:] leaves out the begin token
for layer, ((k1, v1), (k2, v2)) in enumerate(zip(short, long)):
    same = (k1 - k2[: len(k1)]).abs().max() < 1e-4 and (v1 - v2[: len(v1)]).abs().max() < 1e-4
    print(f"layer {layer}: keys and values of the first {len(k1)} tokens the same: {bool(same)}")

# %% [markdown]
# They are the same in all layers, up to rounding. So they can be kept instead of computed again. What keeps them is
# the **KV cache**. Queries are not kept.
#
# ## Build it
#
# The cache takes the place of `Recompute`. It appends the new keys and values to the earlier ones, and computes the
# attention of the new queries over all of them.
#
# `q` is [tokens, heads, head_dim]; `k` and `v` have fewer heads. torch's attention takes [1, heads, tokens, head_dim],
# so the code swaps the first two dimensions, and swaps them back.

# %%
class GrowingCache:
    def __init__(self, num_layers):
        self.k, self.v = [None] * num_layers, [None] * num_layers

    def attend(self, layer, q, k, v):
        if self.k[layer] is not None:
            k, v = torch.cat([self.k[layer], k]), torch.cat([self.v[layer], v])
        self.k[layer], self.v[layer] = k, v
        start = len(k) - len(q)  # tokens in the cache before this step
        seen = torch.ones(len(q), len(k), dtype=torch.bool, device=q.device).tril(start)
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)


# %% [markdown]
# `seen` is the causal mask. Row *i* of this step is at position *start + i*, so it attends to the keys 0 to *start +
# i*. For the whole prompt this is a triangle. For a single new token it is one row without a masked key.
#
# `enable_gqa` stands for **grouped-query attention**: several query heads share one key/value head (*KV head*).

# %%
print(f"{config.num_heads} query heads share {config.num_kv_heads} key/value heads of {config.head_dim} numbers, "
      f"in {config.num_layers} layers")

# %% [markdown]
# So each KV head serves two query heads.
#
# The loop now has two kinds of step. **Prefill** runs the model on the whole prompt. Its last row of logits gives the
# first new token. Each **decode** step runs the model on one token, the newest.

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
        ["The same tokens", "Almost: the cache is an approximation", "The same meaning in other words"], answer=0)

# %%
mine = my_generate(prompt, 60, GrowingCache(config.num_layers))
naive = generate_naive(model, prompt, SamplingParams(max_tokens=60, ignore_eos=True))
print(wrapped(tokenizer.decode(mine)))
print()
print("the same tokens:", mine == naive)

# %% [markdown]
# A KV cache is not an approximation. It leaves out only what would be computed a second time.
#
# ## The cache of `course_lib`
#
# In each decode step, `torch.cat` copies everything that is in the cache. `ContiguousCache` allocates its memory
# once, for a given number of tokens, and writes into it. *Contiguous* means in one piece. This is how it writes and
# attends. It makes no mask for a step of one token, and uses torch's own causal mask for prefill. `window` is None in
# this lesson. (Some models attend to the newest tokens only: lesson 14.)

# %%
from course_lib.kvcache.contiguous import append_and_attend

show(append_and_attend)

# %% [markdown]
# `generate_cached` of `course_lib` is the loop above with sampling and stop tokens. If you give it no cache, it makes a
# `ContiguousCache`.

# %%
cache = ContiguousCache(config, 128, device=model.device, dtype=model.dtype)
theirs = generate_cached(model, prompt, SamplingParams(max_tokens=60, ignore_eos=True), cache)
print("the same tokens:", theirs == naive)
print(cache)

# %% [markdown]
# These are the 23 tokens of the prompt and 59 of the 60 new ones. The model does not run on the last new token,
# because no token after it is asked for.
#
# ## See it
#
# Prefill fills the columns of the whole prompt in one step. Each decode step adds one column. The bars at the
# bottom left compare the tokens that go through the model with those of naive decoding. Those at the right are the
# memory of the cache. Step through it from step 1, prefill.

# %%
from course_lib.viz import cache_filling

filling = cache_filling(**record_cache(model, tokenizer, prompt, SamplingParams(max_tokens=16)))
filling

# %% [markdown]
# After 16 steps, 38 tokens have gone through the model. In naive decoding it is 488.
#
# ## Positions
#
# The loop passes the position of each token. The model uses it for **RoPE** (rotary position embedding): before a
# query is compared with a key, the numbers of both are rotated in pairs. Each pair has its own angle, proportional to
# the position. The score, query · key, then depends on the differences of the angles, that is, on how far apart the
# two tokens are.

# %%
from course_lib.models.transformer import rotary_angles, rotate

q, k = torch.randn(2, 1, 1, config.head_dim, generator=torch.Generator().manual_seed(0)).unbind(0)


def score(query_position, key_position):
    turned = [rotate(x, *rotary_angles(torch.tensor([p]), config)) for x, p in ((q, query_position), (k, key_position))]
    return float((turned[0] * turned[1]).sum())


for at in ((7, 4), (107, 104), (8, 4)):
    print(f"query at {at[0]:>3}, key at {at[1]:>3}, {at[0] - at[1]} apart: score {score(*at):.3f}")

# %% [markdown]
# The same distance gives the same score. The keys in the cache are rotated already, each by its own position, and
# stay valid when the sequence grows. A query with a wrong position has a wrong distance to all of them.
#
# ## Measure: counts first
#
# `count_work` counts the tokens and the operations of each run of the model. Here are the naive loop and the cached
# loop, for the same 32 new tokens.

# %%
params = SamplingParams(max_tokens=32, ignore_eos=True)
with count_work(model) as naive_work:
    generate_naive(model, prompt, params)
with count_work(model) as cached_work:
    generate_cached(model, prompt, params)
print(f"{'':>10} {'tokens run':>14} {'GFLOP':>8}")
for name, work in (("naive", naive_work), ("cached", cached_work)):
    print(f"{name:>10} {work.tokens:>14,} {work.flops / 1e9:>8.2f}")
print(f"{'ratio':>10} {naive_work.tokens / cached_work.tokens:>14.1f} {naive_work.flops / cached_work.flops:>8.1f}")

# %% [markdown]
# The cached loop runs each token once: the 23 of the prompt and 31 new ones.
#
# Does the work of the next token still grow with the sequence? Here it is step by step. The view above
# counts its steps from 1; from here on step 0 is prefill.

# %%
from course_lib.viz import chart, panel

steps = list(range(32))
loops = {"cached": cached_work, "naive": naive_work}
tokens = {name: (steps, [run.tokens for run in work.runs]) for name, work in loops.items()}
operations = {name: (steps, [run.flops / 1e9 for run in work.runs]) for name, work in loops.items()}
work_by_step = chart("Work by step: naive against cached",
                     panel(tokens, x="step", y="tokens run", title="Tokens through the model"),
                     panel(operations, x="step", y="operations", y_unit="GFLOP", title="Operations"))
work_by_step

# %%
last, first = cached_work.runs[-1], cached_work.runs[1]
print(f"a decode step runs the model on {first.tokens} token; "
      f"from the first to the last its operations grow by {last.flops / first.flops - 1:.1%}")

# %% [markdown]
# The operations of a decode step still grow a little: the new query is compared with every key in the cache. The table
# says how each quantity grows, for *n* new tokens, many more than the prompt has.
#
# | to write *n* tokens | naive | cached |
# |---|---|---|
# | tokens run in one step | O(n) | O(1) |
# | attention scores in one step | O(n²) | O(n) |
# | tokens run in all | O(n²) | O(n) |
# | attention scores in all | O(n³) | O(n²) |
# | keys and values kept between steps | none | O(n) |
#
# The last row is the price: **the cache takes memory to save work**. It keeps two vectors for each token, KV head and
# layer, and each step reads all of them.
#
# ## Measure: memory
#
# A token takes a key and a value (2), in each layer, for each key/value head, of `head_dim` numbers, and a number
# takes 4 bytes in float32. Does the memory of the growing cache grow by this, to the byte?

# %%
def bytes_held(cache):
    return sum(x.untyped_storage().nbytes() for x in (*cache.k, *cache.v))


size = model.lm_head.weight.element_size()
formula = 2 * config.num_layers * config.num_kv_heads * config.head_dim * size
print(f"2 x {config.num_layers} layers x {config.num_kv_heads} heads x {config.head_dim} numbers x {size} bytes "
      f"= {formula:,} bytes a token")

growing, before = GrowingCache(config.num_layers), 0
with torch.inference_mode():
    for position, token in enumerate(prompt[:6]):  # one token at a time
        model(torch.tensor([token], device=model.device), torch.tensor([position], device=model.device), growing)
        now = bytes_held(growing)
        print(f"{position + 1} tokens: {now:>7,} bytes, {now - before:,} more")
        before = now
print("exactly the formula:", bytes_held(growing) == 6 * formula)
print(f"ContiguousCache allocates all at once: {cache.num_bytes:,} bytes for {cache.max_tokens} tokens "
      f"= {cache.num_bytes // cache.max_tokens:,} a token")

# %% [markdown]
# Each token takes 4,096 bytes, as computed. Lesson 03 is about this number.
#
# ## Measure: time, TTFT and TPOT

# %%
predict("02.faster", "How much faster are 256 tokens with the cache, on this machine?",
        ["Less than twice as fast", "Two to ten times as fast", "More than ten times, as the counts say"])

# %% tags=["nbval-ignore-output"]
import time


def seconds_of(write):
    """Runs write(). Returns for each run of the model the seconds from the start of write() to the end of this run."""
    ends, start = [], time.perf_counter()
    hook = model.register_forward_hook(lambda *_: ends.append(time.perf_counter() - start))
    write()
    hook.remove()
    return ends


params = SamplingParams(max_tokens=256, ignore_eos=True)
generate_cached(model, prompt, SamplingParams(max_tokens=8))  # to warm up
cached_seconds = seconds_of(lambda: generate_cached(model, prompt, params))
naive_seconds = seconds_of(lambda: generate_naive(model, prompt, params))
every_fourth = list(range(3, 256, 4))  # enough points for the curve
chart("Time to write 256 tokens",
      {name: ([at + 1 for at in every_fourth], [taken[at] for at in every_fourth])
       for name, taken in (("cached", cached_seconds), ("naive", naive_seconds))},
      x="new tokens", y="time since the start", y_unit="s")

# %% [markdown]
# The naive curve bends upwards: later tokens cost more than earlier ones. The cached curve is almost straight.
#
# Benchmarks of servers report two times for such a curve:
#
# - **TTFT**, time to first token: from the arrival of the request to its first new token. For a request that does not
#   wait, this is the time of prefill.
# - **TPOT**, time per output token: the time from the first token to the last, divided by the number of tokens after
#   the first. For a request that runs alone, this is the mean time of a decode step. The time between two tokens that
#   follow each other is the **ITL**, inter-token latency.

# %% tags=["nbval-ignore-output"]
one = SamplingParams(max_tokens=1, ignore_eos=True)
ttft = {"naive": [], "cached": []}
for _ in range(30):  # the shortest of thirty counts
    for name, generate in (("naive", generate_naive), ("cached", generate_cached)):
        ttft[name].append(seconds_of(lambda: generate(model, prompt, one))[0])
for name, ends in (("naive", naive_seconds), ("cached", cached_seconds)):
    tpot, late = (ends[-1] - ends[0]) / (len(ends) - 1), (ends[-1] - ends[-51]) / 50
    print(f"{name:<7} TTFT {1000 * min(ttft[name]):4.1f} ms, TPOT {1000 * tpot:5.1f} ms, of the last 50 tokens {1000 * late:5.1f} ms; "
          f"{len(ends)} tokens in {ends[-1]:.1f} s")
for n in (32, 256):
    print(f"{n} tokens: {naive_seconds[n - 1] / cached_seconds[n - 1]:.1f} times as fast with the cache")
print(f"32 tokens, by the count of operations: {naive_work.flops / cached_work.flops:.1f} times")

# %% [markdown]
# The first run is a run over the prompt in both loops, so the cache saves nothing in TTFT. It saves in TPOT. With it,
# the last 50 tokens take about as long as the others. Without it they take longer.
#
# The line for 256 tokens answers your guess. The ratio of the times is smaller than the ratio of the operations. One
# reason: each of the model's many small operations also has to be started (lesson 01).
#
# ### A large model on a GPU
#
# How long must a step take at least? The GPU has to read the weights, and it has to compute: two operations for each
# token and weight. Each of the two takes a time that can be worked out from the data sheet. The longer one is the
# *bound*: the step takes at least as long. This is the **roofline** of lesson 09, written as a time. Each row of the
# table is one step over a whole prompt, by a model with the shape of Llama 3 8B, recorded on an H200 (it reads
# 4.8 TB/s and computes 989 TFLOP/s in bfloat16).

# %%
from course_lib.kvcache.catalogue import MODELS
from course_lib.recorded import recorded

llama, run = MODELS["Llama 3 8B"], recorded("11", 0)
embedding = 128_256 * 4096  # its rows are only looked up; the last matrix, for the logits of one token, is as large
read_ms = 1000 * 2 * (llama.num_parameters - embedding) / 4.8e12  # 2 bytes a weight
print(f"{'tokens':>7} {'recorded ms':>12} {'read weights ms':>16} {'compute ms':>11} {'recorded / bound':>17}")
for tokens, ms in zip(run.column("tokens"), run.column("ms a step")):
    compute_ms = 1000 * 2 * (tokens * (llama.num_parameters - 2 * embedding) + embedding) / 989e12
    print(f"{tokens:>7,} {ms:>12.1f} {read_ms:>16.1f} {compute_ms:>11.1f} {ms / max(read_ms, compute_ms):>17.1f}")
print(f"8,192 tokens take {run.column('ms a step')[-1] / run.column('ms a step')[0]:.0f} times as long as 1 token")
print(run.source)

# %% [markdown]
# To write the token after a sequence of 8,192 tokens, the naive loop needs a step as in the last row. With the cache,
# it needs a step as in the first row, and has to read the keys and values of the sequence, too.
#
# - A step of 64 tokens takes no longer than a step of 16: both have to read the weights once. (The engine of the
#   recording has faster kernels for a step of one token, see lesson 13.)
# - From 1,024 tokens on the time grows with the tokens. It is 1.7 to 1.9 times the bound. The bound leaves attention
#   out, and takes the TFLOP/s of the data sheet.
# - A step of one token cannot be faster than the reading of the weights. That is why a server runs many requests in
#   one step: they share this reading. Lesson 09 is about that.
#
# ## Break it
#
# A wrong cache need not crash. The model goes on writing, and the text can be wrong or right. Here are three caches
# with one bug each. `reset()` forgets the sequence, so that the next one can use the same cache. The second cache
# writes for another prompt first, and is reset.

# %%
class OffByOne(ContiguousCache):
    """Writes each key and value one position too late. Position 0 stays empty, and is read."""

    def attend(self, layer, q, k, v):
        out = append_and_attend(self.k[layer], self.v[layer], self.num_tokens + 1, q, k, v)
        if layer == config.num_layers - 1:
            self.num_tokens += len(k)
        return out


class NotReset(GrowingCache):
    """reset() forgets every layer but the last."""

    def reset(self):
        self.k[:-1], self.v[:-1] = [None] * (len(self.k) - 1), [None] * (len(self.v) - 1)


class Ignored(GrowingCache):
    """Keeps all keys and values, and attends to those of the step alone."""

    def attend(self, layer, q, k, v):
        super().attend(layer, q, k, v)
        return Recompute().attend(layer, q, k, v)


# %%
def off_by_one():
    return OffByOne(config, 128, device=model.device, dtype=model.dtype)


used = NotReset(config.num_layers)
other = tokenizer.encode("Once upon a time, on a windy hill, there lived a clever badger named Olive.")
my_generate(other, 30, used)
used.reset()
for name, broken in (("off by one", off_by_one()), ("not reset", used), ("ignored", Ignored(config.num_layers))):
    new = my_generate(prompt, 40, broken)
    alike = next((i for i, (a, b) in enumerate(zip(new, naive)) if a != b), 40)
    print(f"{name}: the first {alike} of 40 tokens are right")
    print(wrapped(tokenizer.decode(new)))
    print()

# %% [markdown]
# The first cache writes the right 40 tokens, although its attention computes wrong numbers: each token also attends to
# the key and the value at position 0, which are zeros. The next cells show it. Right tokens for one prompt prove
# little. The text of the second one speaks of Olive, who is in the other prompt. From the text of the third one you
# cannot tell what is wrong.
#
# `first_divergence` runs the same tokens through two caches: the first half as prefill (here 12 of the 23), then one
# token at a time. It compares what attention returns, layer by layer, and names the first place where the two differ by
# more than rounding. The later differences can all come from this one. Step 0 is prefill.

# %%
predict("02.moment", "In which step does the ignored cache first differ from a right one?",
        ["In prefill, step 0", "In the first decode step, step 1", "Only in a second sequence"], answer=1)

# %%
def where(broken):
    found = first_divergence(model, prompt, broken, Recompute())
    if found is None:
        return "no difference"
    return f"step {found.step}, layer {found.layer}, position {found.position}"


used = NotReset(config.num_layers)
print("off by one:                 ", where(off_by_one()))
print("ignored:                    ", where(Ignored(config.num_layers)))
print("not reset, first sequence:  ", where(used))
used.reset()
print("not reset, second sequence: ", where(used))
print("ContiguousCache:            ", where(ContiguousCache(config, 64, device=model.device, dtype=model.dtype)))

# %% [markdown]
# The three bugs show in three places. Keys at a wrong position show in prefill. A cache that is not read shows
# in the first decode step, because prefill brings all its keys and values along. A missing reset shows in the second
# sequence, here in the last layer. In a server, it would put words of one user into the answer of another.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("02")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why are queries not kept?</b></summary>
#
# The query of a token is used in the step of this token, once in each layer. Later tokens use its key and its value,
# and never its query.
# </details>
#
# <details><summary><b>2. A prompt of 1,000 tokens and one new token: what does the cache save?</b></summary>
#
# Nothing. The first new token comes from prefill, and prefill computes the prompt once with and without a cache. TTFT
# stays the same. The saving begins with the second new token.
# </details>
#
# <details><summary><b>3. You change one word in the middle of the prompt. Which keys and values can you still use?</b></summary>
#
# Those of the tokens before the word. The tokens after it attend to it, so from the second layer on their keys and
# values change, and must be computed again. Lesson 05 uses this: prompts that begin with the same tokens share the keys
# and values of this beginning.
# </details>
#
# ## Next
#
# [exercises/02_kv_cache.ipynb](../exercises/02_kv_cache.ipynb):
# write `ContiguousCache`, `generate_cached`, serve several prompts with one cache, and
# build a function that finds the bug of a cache. Your own cache then runs in the loop and in the view above. Lesson
# 03 counts its memory.
