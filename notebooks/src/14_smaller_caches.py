# %% [markdown]
# # 14 · Smaller caches
#
# - **You will** keep keys and values in 8 and 4 bits, let tokens see only a window, and count which answers the model
#   loses.
# - **Why** the cache limits how many requests run at once, and a decode step spends much of its time reading it.
# - **Time** 45 minutes, and an hour for the exercises.
# - **You need** lessons 03 to 08, and 13.
# - **After it** you can say what a cache in int8, fp8 or int4 saves and costs, why keys are harder to round than
#   values, and what a window forgets.
#
# Bytes, blocks and requests are the same on every machine. Rounding can differ in a last digit, and that can change a
# text or an answer.

# %% [markdown]
# {{colab}}

# %%
import matplotlib.pyplot as plt
import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, predict, setup, show
from course_lib.attention.reference.quantise import LARGEST, dequantise, quantise
from course_lib.decoding.damage import RoundedCache, Rounding, damage, run_through
from course_lib.kvcache import Recompute
from course_lib.kvcache.catalogue import GPUS, MODELS
from course_lib.kvcache.sizes import kv_bytes_per_token, max_requests
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.questions import asked_tales
from course_lib.recorded import recorded
from course_lib.viz import cache_by_bits, memory_view

# %% tags=["nbval-ignore-output"]
setup()
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
torch.set_num_threads(1)  # what else runs on this machine then slows the lesson less

# %% [markdown]
# ## What it would bring
#
# In lesson 03 the cache decided how many requests fit. In lesson 13 a decode step was bound by what it reads: the
# weights, and the whole cache. Numbers of fewer bytes help with both. To **quantise** is to store numbers in fewer
# bits, and to **dequantise** is to compute floats from them again. A **scale** says how large one step is. We keep one
# for the key of each token and head, and one for its value, in float32.

# %%
predict("14.fit", "Keys and values in int8 instead of bfloat16, with these scales. How many requests fit on a GPU?",
        ["Exactly twice as many", "A little less than twice as many", "A little more than twice as many"], answer=1)

# %%
llama, h100 = MODELS["Llama 3.1 8B"], GPUS["H100"]
before = max_requests(llama, h100, 4096)
for dtype in ("bfloat16", "fp8", "int8", "int4"):
    size, fit = kv_bytes_per_token(llama, dtype, scales=True), max_requests(llama, h100, 4096, dtype=dtype, scales=True)
    print(f"{dtype:>8}: {size:>7,} bytes a token, {fit:>3} requests of 4,096 tokens on one {h100.name}, "
          f"{fit / before:.2f} times as many")
weights = 2 * llama.num_parameters
for dtype in ("bfloat16", "int8", "int4"):
    cache = 64 * 4096 * kv_bytes_per_token(llama, dtype, scales=True)
    print(f"{dtype:>8}: a step of 64 such requests reads {weights / 1e9:.0f} + {cache / 1e9:.1f} GB, "
          f"at 4.3 TB/s in {1e3 * (weights + cache) / 4.3e12:.1f} ms")

# %% [markdown]
# In int8 1.94 times as many requests fit: a scale takes 4 bytes beside the 128 numbers of a key, 3 % in int8, 6 % in
# int4. The last three lines are a bound for an H200, which reads 4.3 TB/s (lesson 13): weights and cache, each read
# once.
#
# ## Eight bits
#
# The scale of a token and head is its largest absolute number divided by 127. Each number is divided by the scale and
# rounded to a whole number. `tales` are four tales that `tale` was not trained on, with questions. We take 600 tokens
# of one, and print a key's beginning: layer 1, token 7, head 0.

# %%
def to_int8(x):
    """x: [num_tokens, num_kv_heads, head_dim]. Whole numbers in int8, and a scale for each token and head."""
    scale = x.abs().amax(-1) / 127
    return (x / scale[..., None]).round().to(torch.int8), scale


def from_int8(numbers, scale):
    return numbers.float() * scale[..., None]


class Kept(Recompute):
    """Keeps queries, keys and values of each layer."""

    def __init__(self):
        self.q, self.k, self.v = [], [], []

    def attend(self, layer, q, k, v, window=None):
        for kept, x in ((self.q, q), (self.k, k), (self.v, v)):
            kept.append(x)
        return super().attend(layer, q, k, v, window)


tales = asked_tales(tokenizer.backend, 2) + asked_tales(tokenizer.backend, 2, chapters=8, first=HELD_OUT + 100_000)
tale, kept = tales[2][0][:600], Kept()
run_through(model, tale, kept)
keys = kept.k[1]
numbers, scale = to_int8(keys)
print("keys of a layer", list(keys.shape), "->", numbers.dtype, list(numbers.shape), "and scales", list(scale.shape))
print("a key begins  ", *(f"{x:7.3f}" for x in keys[7, 0, :6]))
print("stored        ", *(f"{x:7d}" for x in numbers[7, 0, :6].tolist()), f"  scale {scale[7, 0]:.5f}")
print("comes back as ", *(f"{x:7.3f}" for x in from_int8(numbers, scale)[7, 0, :6]))

# %% [markdown]
# What comes back is at most half a scale away. The smallest int8 is -128, and it is not used: if x is stored as n, then
# -x is stored as -n.
#
# A server can also take **fp8** (e4m3): one bit of sign, four of exponent, three of fraction. And with 4 bits there are
# the whole numbers from -7 to 7, two a byte: **int4**. Which numbers can each of them be, if the largest is 1? (Below 0
# they are the same.)

# %%
fp8 = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float() / 448
levels = {"int4": torch.arange(8) / 7, "fp8": fp8, "int8": torch.arange(128) / 127}
figure, axes = plt.subplots(figsize=(8, 1.8))
for height, (name, values) in enumerate(levels.items()):
    axes.vlines(values, height + 0.1, height + 0.8, color="#0072b2", linewidth=0.7)
axes.set_yticks([0.45, 1.45, 2.45], list(levels))
axes.set_xlabel("number, as a share of the largest")
_ = axes.spines[["top", "right", "left"]].set_visible(False)

# %% [markdown]
# The steps of int8 and of int4 are equal; those of fp8 become smaller toward 0. The library's `quantise` and
# `dequantise` know all three. How far off are keys and values, on average over the layers?

# %%
def off(x, exact):
    """How far x is from exact, as a share of the size of exact."""
    return float((x - exact).norm() / exact.norm())


for kind in LARGEST:
    of_keys, of_values = (sum(off(dequantise(*quantise(x, kind)), x) for x in layers) / len(layers)
                           for layers in (kept.k, kept.v))
    print(f"{kind:>5}: keys are off by {of_keys:6.2%}, values by {of_values:6.2%}")

# %% [markdown]
# int8 is off least. Its 127 steps are equal. fp8 spends most of its 126 on small numbers, and a large number is off by
# up to a sixteenth of itself. What fp8 has is range: its largest number is 448, its smallest step 1/512, so one scale
# can serve many tokens.
#
# Two numbers of 4 bits share a byte: number 2j is its low half, number 2j + 1 its high half.

# %%
packed, scale4 = quantise(keys, "int4")
byte = int(packed[7, 0, 0])
low, high = ((half ^ 8) - 8 for half in (byte & 15, byte >> 4))    # a half of 8 to 15 stands for -8 to -1
print(f"first byte {byte:08b}: {low} and {high}; times {scale4[7, 0]:.3f}: {low * scale4[7, 0]:.2f} and "
      f"{high * scale4[7, 0]:.2f}; they were {keys[7, 0, 0]:.2f} and {keys[7, 0, 1]:.2f}")

# %% [markdown]
# ## Which numbers share a scale
#
# A scale for each token and head is one choice. A scale can be shared by
#
# - the numbers of one **token** and head;
# - all numbers of a **head**, of every token: one number, which a server has to measure beforehand;
# - the numbers of one **channel**, a place of head_dim, of several tokens.
#
# If one number among them is large, the scale is large, and the others have few steps left. So it matters which numbers
# are large together. The picture shows keys and values of one head: 300 tokens from top to bottom, a channel in each
# column. The printed numbers are for each head of each layer.

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for axes, name, x in zip(panels, ("keys", "values"), (kept.k[1], kept.v[1])):
    axes.imshow(x[:300, 0].abs() / x[:300, 0].abs().max(), aspect="auto", cmap="Blues", vmin=0, vmax=1)
    axes.set_title(f"{name}, layer 1, head 0: share of the largest")
    axes.set_xlabel("channel")
_ = panels[0].set_ylabel("token")
for name, layers in (("keys", kept.k), ("values", kept.v)):
    sizes = torch.cat([x.abs().mean(0) for x in layers])             # a row for each head of each layer
    print(f"{name:>6}: the largest channel is", *(f"{float(s.max() / s.median()):.1f}" for s in sizes), "times the median")

# %% [markdown]
# In the keys there are columns: some channels are large for every token. The values of most heads have no such columns.
# `tale` is small and its columns are mild. In models of billions of weights a few channels of the keys are far larger
# than the others (KIVI, arXiv 2402.02750; KVQuant, arXiv 2401.18079).

# %%
predict("14.channel", "Scales by channel instead of by token; 64 numbers share a scale in both. Whose error shrinks more?",
        ["That of keys", "That of values", "Both alike"], answer=0)

# %%
# Rounding(kind, by, group)(x) is x as it comes back
print("4 bits, off by        token    head  channel of 64 tokens")
for name, layers in (("keys", kept.k), ("values", kept.v)):
    row = []
    for by in ("token", "head", "channel"):
        rounding = Rounding("int4", by, 64)
        row.append(sum(off(rounding(x), x) for x in layers) / len(layers))
    print(f"{name:>15}", *(f"{share:12.1%}" for share in row))

# %% [markdown]
# By channel the error of the keys is more than a fifth smaller, that of the values hardly. So **KIVI** takes keys by
# channel and values by token. One scale a head is worst for both.
#
# Scales by channel have a price. The scale of a channel belongs to a group of tokens, so a key can be stored for good
# only when its group is full. KIVI keeps the newest tokens in 16 bits until then. **KVQuant** measures the sizes of
# channels beforehand, on other text. So does `EngineConfig(k_scales="channel")`: keys are divided by the sizes of their
# channels in a sample, and each token then has a scale of its own. So no token waits for others, and blocks can be
# shared and computed in chunks.
#
# ## Why keys are harder than values
#
# We round further: 3 bits are the whole numbers from -3 to 3, and 2 bits are -1, 0 and 1. Keys alone, or values alone.

# %%
predict("14.keys", "2 bits for keys alone, or for values alone. Which costs more answers?",
        ["Keys", "Values", "Both alike, if they are off by the same share"], answer=0)

# %%
def look(q, k):
    """The weights with which each token looks at the others: [num_heads, num_tokens, num_tokens]."""
    scores = torch.einsum("qhd,khd->hqk", q, k.repeat_interleave(q.shape[1] // k.shape[1], 1)) / q.shape[2] ** 0.5
    return scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


def gather(weights, v):
    return torch.einsum("hqk,khd->qhd", weights, v.repeat_interleave(len(weights) // v.shape[1], 1))


# %% [markdown]
# The columns: the error of keys and of values; the error of attention's output if keys alone, or values alone, are
# rounded; and how many queries still have their largest weight on the same token if keys are rounded.

# %%
print("bits   off: keys  values   output with these keys, these values   largest weight at the same token")
for bits in (8, 4, 3, 2):
    rows = []
    for q, k, v in zip(kept.q, kept.k, kept.v):
        rough_k, rough_v, exact, moved = Rounding(bits)(k), Rounding(bits)(v), look(q, k), look(q, Rounding(bits)(k))
        out = gather(exact, v)
        same = float((exact.argmax(-1) == moved.argmax(-1)).float().mean())
        rows.append([off(rough_k, k), off(rough_v, v), off(gather(moved, v), out), off(gather(exact, rough_v), out), same])
    keys_off, values_off, with_keys, with_values, same = (sum(column) / len(rows) for column in zip(*rows))
    print(f"{bits:>4}      {keys_off:6.1%}  {values_off:6.1%}                   {with_keys:6.1%}        {with_values:6.1%}   {same:33.0%}")

# %% [markdown]
# Keys and values are off by about the same share. The output is off less with rounded keys than with rounded values: by
# this measure keys are easier to round. Now the answers. Each tale asks about facts that it told before. `damage` runs
# the whole text through the model with a cache, here a `RoundedCache(rounding of keys, rounding of values)`. It returns
#
# - the answers that are **lost**: right with the exact cache, wrong with this one;
# - the **perplexity**: e to the power of the mean of -log p, where p is the probability that the model gave to the
#   token that came next. A model that is always sure and right has 1;
# - the **logit error**: the mean distance of the logits from the exact ones, divided by that of the exact ones from
#   their mean.

# %% tags=["nbval-ignore-output"]
exact = [run_through(model, ids, Recompute()) for ids, _ in tales]
num_questions = sum(len(asked) for _, asked in tales)


def lose(cache):
    found = damage(model, tales, cache, exact)
    return (f"{len(found.lost):>2} of {num_questions} answers lost, perplexity {found.perplexity:.3f}, "
            f"logit error {found.logit_error:.3f}")


for bits in (8, 4, 3, 2):
    print(f"{bits} bits, keys alone:  ", lose(RoundedCache(Rounding(bits), None)))
    print(f"{bits} bits, values alone:", lose(RoundedCache(None, Rounding(bits))))

# %% [markdown]
# Down to 3 bits no answer is lost. With 2 bits, rounded keys lose 13 of 16, and rounded values 3. An error in a value
# changes what is read from a token. An error in a key changes the weights, and so **which token** is read: with 2 bits
# the largest weight stays on its token for only 48 % of the queries (last column of the table of errors). The others
# may read the name of another animal.
#
# ## A decode kernel that dequantises in registers
#
# Where does a kernel dequantise? If a kernel wrote the floats to memory first, more would be read than without
# quantisation. So the decode kernel of lesson 08 loads whole numbers, a quarter of the bytes of float32, and turns them
# into floats **in registers**. Even the scale need not be multiplied with each number:
#
# - A key is k · s with one s for all its numbers, so its score is (q · k) · s: one product a key.
# - A value's scale goes to its weight: Σ wⱼ (vⱼ sⱼ) = Σ (wⱼ sⱼ) vⱼ. The weights are summed without it.

# %%
def decode(q, k, k_scale, v, v_scale):
    """One query over whole numbers. q: [head_dim]; k, v: int8 [num_tokens, head_dim]; their scales: [num_tokens]."""
    scores = (k.float() @ q) * k_scale / len(q) ** 0.5
    weights = (scores - scores.max()).exp()
    return (weights * v_scale) @ v.float() / weights.sum()


q, (k8, k_scale), (v8, v_scale) = kept.q[1][-1, 0], to_int8(kept.k[1]), to_int8(kept.v[1])
mine = decode(q, k8[:, 0], k_scale[:, 0], v8[:, 0], v_scale[:, 0])
for name, k, v in (("the floats that come back", from_int8(k8, k_scale), from_int8(v8, v_scale)),
                   ("the exact floats", kept.k[1], kept.v[1])):
    print(f"off from attention over {name} by {off(mine, look(kept.q[1], k)[0, -1] @ v[:, 0]):.2%}")

# %% [markdown]
# Moving the scales changes nothing; the second line is the rounding. In `course_lib` the kernel multiplies the scores
# with the keys' scales and calls `fold_scaled`: `fold` of lesson 07, with the values' scales multiplied into the
# weights after the sum `l_i`. It serves int8, fp8 and int4:

# %%
try:
    from course_lib.attention.kernels.quantise import fold_scaled

    code = show(fold_scaled)
except ImportError:                                              # no Triton on this system
    code = "course_lib/attention/kernels/quantise.py, fold_scaled"
code

# %% [markdown]
# A quantised cache is one setting of the engine, `kv_dtype`. Ledger, prefix cache and scheduler know nothing of it.
# "auto" keeps keys and values as the model computes them, here in float32. Four prompts get 60 tokens each; we count
# those before the first that differs from "auto".

# %% tags=["nbval-ignore-output"]
prompts = [ids[:40] for ids, _ in tales]
params = SamplingParams(max_tokens=60, ignore_eos=True)
texts = {}
for kv_dtype, k_scales in (("auto", "token"), ("int8", "token"), ("fp8", "token"), ("int4", "token"), ("int4", "channel")):
    engine = Engine(model, EngineConfig(block_size=16, num_blocks=40, kv_dtype=kv_dtype, k_scales=k_scales))
    texts[kv_dtype, k_scales] = mine = [output.token_ids for output in engine.generate(prompts, params)]
    plain = texts["auto", "token"]
    same = [next((i for i, (a, b) in enumerate(zip(*both)) if a != b), 60) for both in zip(mine, plain)]
    print(f"{kv_dtype:>5}, scales by {k_scales:<7}: tokens before the first that differs:", *same)

# %% [markdown]
# With int8 one of the four texts differs. What happens there?

# %% tags=["nbval-ignore-output"]
plain = texts["auto", "token"]
parted = [(key, n, i) for key in texts for n in range(4) for i in range(60) if texts[key][n][i] != plain[n][i]]
key, n, place = parted[0]                                        # the first text that differs, and where
logits = run_through(model, prompts[n] + plain[n][:place], Recompute())[-1]
print(f"…{tokenizer.decode(plain[n][place - 8:place])!r} and then")
for name, text in (("auto", plain[n]), (key[0], texts[key][n])):
    print(f"{name}: {tokenizer.decode(text[place:place + 8])!r}; exact logit of its first token {logits[text[place]]:.3f}")

# %% [markdown]
# The rule of this course was: the same tokens as the slow way. Here it ends. Where two tokens are nearly as likely, a
# small error decides, and from there on the text is another one. So we count answers instead. The tests of the engine
# compare its tokens with those of a model without blocks that rounds in the same way.
#
# And the time on a GPU? First the kernel (`MB` is what it reads), then a whole step:

# %% tags=["nbval-ignore-output"]
number_bytes = {"int8": 1, "fp8": 1, "int4": 0.5}
on_gpu = recorded("14", 0)
measured = dict(zip(on_gpu.column("cache"), on_gpu.column("times as fast")))
for kv_dtype in LARGEST:
    bound = 2 * llama.head_dim / (llama.head_dim * number_bytes[kv_dtype] + 4)
    print(f"{kv_dtype:>5}: by its bytes at most {bound:.2f} times as fast as bfloat16; measured:",
          measured[kv_dtype])
on_gpu

# %%
recorded("14", 4)

# %% [markdown]
# With fewer bits the kernel reads fewer bytes a second: to turn numbers into floats takes instructions too. A whole
# step gains less than its attention: it reads the weights as before. For 64 requests the bounds at the top were 11.7,
# 7.9 and 5.9 ms in bfloat16, int8 and int4.
#
# ## A window, and its sinks
#
# Another way to a small cache is to forget. With a **window** of w a token sees itself and the w - 1 tokens before it,
# and the cache of a sequence stops growing. Models such as Mistral 7B were trained so. `tale` was not. What does it
# lose? (`sinks`: so many first tokens are seen by all. Why, comes after the table.)

# %%
predict("14.window", "`tale` has a perplexity of 1.22 on these tales. What happens with a window of 256 tokens?",
        ["It stays below 2, and most answers stay", "It stays below 2, and answers about far facts are lost",
         "It is above 10"], answer=1)

# %%
print("window  sinks  perplexity   right with the fact up to 256, 512, 1,024, 1,536 tokens back")
for window, sinks in ((None, 0), (1024, 0), (256, 0), (256, 1), (256, 4), (64, 4)):
    found = damage(model, tales, RoundedCache(window=window, sinks=sinks), exact)
    answers = (f"{right:>2} of {asked}" for right, asked in found.answers)
    print(f"{window or 'none':>6}  {sinks:>5}  {found.perplexity:10.3f}   ", *answers)

# %% [markdown]
# Facts outside of the window are lost, and the perplexity hardly says so: with a window of 1,024 it rises by 2 %, and
# the answer from further back is lost. **A small change of perplexity does not show a lost fact.** Ask for facts, at
# every distance that matters.
#
# Why sinks? In many large models most heads put much of their weight on the first tokens of a text, whatever these are.
# If the window drops them, that weight falls on other tokens, and the text breaks down. **StreamingLLM** (arXiv
# 2309.17453) keeps the first four, the *sinks*, and the text stays fluent. Is `tale` such a model?

# %%
predict("14.sinks", "How much of its weight does a head of `tale` put on the first token, on average over later tokens?",
        ["More than half", "About a tenth", "Less than a twentieth"], answer=2)

# %%
for layer, (q, k) in enumerate(zip(kept.q, kept.k)):
    first = look(q, k)[:, 300:]                                     # rows of the tokens from 300 on
    one, four = first[..., 0].mean(1), first[..., :4].sum(-1).mean(1)    # of each head
    print(f"layer {layer}, 4 heads: on the first token", *(f"{share:5.1%}" for share in one),
          "  on the first four", *(f"{share:5.1%}" for share in four))

# %% [markdown]
# No head puts more than 2.5 % on the first token, so sinks save little here: in the table above the perplexity falls a
# little, and no answer comes back.
#
# In the engine `window` and `sinks` are settings. What no token sees is given back block by block. Two requests, a
# window of 24 and 4 sinks, blocks of 4:

# %%
config = EngineConfig(block_size=4, num_blocks=24, window=24, sinks=4, prefix_caching=False)
engine = Engine(model, config, tokenizer=tokenizer)
windowed = engine.generate([prompts[0], prompts[1][:20]], SamplingParams(max_tokens=40, ignore_eos=True))
view = memory_view(engine.trace)
view.step = view.last - 6
view

# %% [markdown]
# Follow a block table: the block of the sinks stays, and a dash is a place whose block was given back. A window of 24
# tokens is in 6 blocks, or in 7 if it begins inside of one. The sinks are in one more. And are the tokens those of the
# model under the same mask?

# %%
def masked_alone(ids, count):
    """Greedy tokens of the model under the mask, with no blocks and no cache."""
    ids = list(ids)
    for _ in range(count):
        ids.append(int(run_through(model, ids, RoundedCache(window=24, sinks=4))[-1].argmax()))
    return ids[-count:]


masked = [masked_alone(prompts[0], 40), masked_alone(prompts[1][:20], 40)]
print("as under a mask, without blocks:", [output.token_ids for output in windowed] == masked)
print(f"blocks of the longer request: {-(-80 // 4)} if it saw all, at most {1 + -(-24 // 4) + 1} with window and sinks")

# %% [markdown]
# A window also makes attention faster, since fewer blocks are read. The first GPU table again, with windows and sinks:

# %%
recorded("14", 1)

# %% [markdown]
# With a window of 256 little is left to read, and fewer bits save little.
#
# (StreamingLLM counts positions inside of the cache. In this engine a token keeps its position.)
#
# ## All of it side by side
#
# The same study with 24 tales that the model never saw, run once and recorded. Where one of keys (K) and values (V) is
# rounded *alone*, the other stays in float32. Three of the sizes, for 1,536 tokens:

# %%
study = recorded("smaller_caches", 0)
rows = {row[0]: dict(zip(study.tables[0][1], row)) for row in study.tables[0][2]}
config, tokens = model.config, 1536


def num_bytes(k_bits=32, v_bits=32, held=tokens):
    """Of so many tokens, with a float32 scale for each token and head of what is rounded."""
    of_a_head = sum(config.head_dim * bits / 8 + 4 * (bits < 16) for bits in (k_bits, v_bits))
    return round(held * config.num_layers * config.num_kv_heads * of_a_head)


chosen = {"float32": (32, 32), "bfloat16": (16, 16), "int8, scales by token": (8, 8), "fp8, scales by token": (8, 8),
          "int4, scales by token": (4, 4), "3 bits, scales by token": (3, 3), "2 bits, K alone": (2, 32),
          "2 bits, V alone": (32, 2)}
sized = {name: dict(bytes=num_bytes(*bits)) for name, bits in chosen.items()}
for window in (1024, 512, 256, 64):
    for sinks in (0, 4):
        sized[f"window {window}, {sinks} sinks"] = dict(bytes=num_bytes(held=window + sinks), window=window, sinks=sinks)
print(*(f"{name}: {about['bytes']:,} bytes" for name, about in list(sized.items())[:3]), sep="; ")

# %% [markdown]
# A row of the picture is one cache: its bytes, its logit error, and the right answers by how far back the fact is. A
# step of the view is one cache. Choose a column to see what one distance loses.

# %%
distances = [256, 512, 1024, 1536]
questions = recorded("smaller_caches", 1).column("questions")
caches = [dict(name=name.replace(", scales by token", ""), error=rows[name]["logit error"],
               perplexity=rows[name]["perplexity"], right=[rows[name][f"right to {d:,}"] for d in distances], **about)
          for name, about in sized.items()]
view = cache_by_bits(caches, list(zip(distances, questions)), subtitle="tale, 24 new tales")
view

# %% [markdown]
# The table has more caches: one scale a head, scales by channel (with "K by channel" values stay by token), one sink.

# %%
study

# %%
asked = sum(questions)
# the rule of three: after n questions without a loss, 3 / n is the bound
print(f"0 of {asked} lost: with 95 % confidence fewer than {3 / asked:.1%} of such answers are")

# %% [markdown]
# - **int8 loses no answer**, and has the smallest logit error below 16 bits. fp8 and int4 lose none either.
#   Nor do 3 bits, though their perplexity rises to 1.28.
# - **2 bits lose many** of 120: keys alone 97, keys alone by channel 40, values alone 18. Near facts are lost too.
# - **A window loses what is outside of it**, nearly all of it. With windows of 256, 512 and 1,024 tokens no answer is
#   lost whose fact is inside.
#
# The last output says how sure we can be: no loss among 120 questions does not mean none among a thousand. And `tale`
# was trained to copy names out of such texts. A model that reasons over many steps may lose earlier. Before you serve
# with a smaller cache, ask your own questions.
#
# ## What MLA keeps instead
#
# DeepSeek's models shrink the cache in the model itself. **MLA** keeps one vector for all heads of a token, from which
# keys and values are computed when they are needed, and one small key with the position (lesson 03).

# %%
deepseek = MODELS["DeepSeek-V3"]
as_heads = 2 * deepseek.num_layers * deepseek.num_heads * deepseek.head_dim * 2
for name, size in (("a key and a value for each of its heads, bfloat16", as_heads),
                   ("MLA, bfloat16", kv_bytes_per_token(deepseek, "bfloat16")),
                   ("MLA, fp8 with scales", kv_bytes_per_token(deepseek, "fp8", scales=True)),
                   ("Llama 3.1 8B, int8 with scales", kv_bytes_per_token(llama, "int8", scales=True))):
    print(f"{name:>50}: {size:>9,} bytes a token")
print(f"weights: DeepSeek-V3 has {deepseek.num_parameters / llama.num_parameters:.0f} times as many as Llama 3.1 8B")

# %% [markdown]
# DeepSeek-V3 with MLA in bfloat16 keeps about as much for a token as Llama 3.1 8B in int8, and has many times its
# weights. MLA has to be trained. Rounding needs no training, and both can be combined.
#
# ## Break it: 128
#
# int8 goes from -128 to 127. Somebody divides by 128, to use it all.

# %% tags=["nbval-ignore-output"]
def by_128(x):
    """What comes back when the largest number of a token becomes 128."""
    scale = x.abs().amax(-1, keepdim=True) / 128
    whole = (x / scale).round().to(torch.int32)    # through int32: 128 as a float has no defined int8
    return whole.to(torch.int8).float() * scale


print("by 127:", lose(RoundedCache(Rounding("int8"), Rounding("int8"))))
print("by 128:", lose(RoundedCache(by_128, by_128)))
for example in (torch.tensor([0.5, 2.0, -1.0]), torch.tensor([0.5, 1.0, -2.0])):
    print(example.tolist(), "comes back as", by_128(example).tolist())

# %% [markdown]
# 128 does not exist in int8: it becomes -128, so the largest number of a token changes its sign if it was positive. A
# test in which the largest number is negative sees nothing. Test both ends of a range.
#
# ## In vLLM
#
# `kv_cache_dtype="fp8"` has one scale for all keys of a layer and one for its values, from the model's files or 1.0.
# `vllm/v1/attention/` has the kernels that read it. `SlidingWindowManager` in
# `vllm/v1/core/single_type_kv_cache_manager.py` gives blocks back. LMDeploy, another server, has int8 and int4 with
# scales for each token and head, and the `QuantizedCache` of transformers is modelled on KIVI.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("14")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A number in int4 takes a quarter of the bytes of one in bfloat16. Why do fewer than four times as many requests fit, and why is a step less than four times as fast?</b></summary>
#
# A request takes more than a quarter of the bytes, because the cache keeps scales beside the numbers. And a step also
# reads the weights, which are as large as before.
# </details>
#
# <details><summary><b>2. A colleague measures a 2-bit cache by the error of the attention output, and finds keys no worse than values. What is missing?</b></summary>
#
# Which token is read. An output can be off by the same share because every value is rounded, or because another
# token was read. Only answers tell the two apart.
# </details>
#
# <details><summary><b>3. In the study a window of 1,024 raises the perplexity from 1.21 to 1.25. May a chat service use it?</b></summary>
#
# Only if nobody asks about what was said more than 1,024 tokens ago: every such answer in the table was lost. The
# perplexity is an average over tokens, and few of them need a far fact.
# </details>
#
# ## Next
#
# [exercises/14_smaller_caches.ipynb](../exercises/14_smaller_caches.ipynb): numbers of 8 and 4 bits, their scales, a decode step over int8, the blocks that fall out of a window, and which tokens see which.
