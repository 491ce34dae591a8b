# %% [markdown]
# # 06 · FlashAttention
#
# - **You will** compute exact attention without ever holding its matrix, in one page of code, and count the bytes that
#   it moves.
# - **Why** the matrix of scores grows with the square of the sequence. vLLM, SGLang and TensorRT-LLM compute attention
#   in this way, and the next two lessons turn it into kernels.
# - **Time** 60 minutes, and three hours for the exercises.
# - **You need** lessons 01 and 02. Lesson 04 helps.
# - **After it** you can say what is kept in which memory of a GPU, why the order of two loops matters, and what a mask
#   costs.

# %% [markdown]
# {{colab}}

# %%
from functools import cache

import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup, show
from course_lib.attention import (
    Mask, Meter, chunked_attention, flash_attention_v1, flash_attention_v2, merge_partials, recomputed_attention, record_tiles,
    standard_attention)
from course_lib.decoding import generate_naive
from course_lib.kvcache import Recompute
from course_lib.kvcache.sizes import readable
from course_lib.viz import chart, panel

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)
config = model.config

# %% [markdown]
# ## The matrix
#
# In attention, each query is multiplied with each key. For a sequence of N tokens that is a matrix of N × N scores, in
# every head of every layer. The softmax turns each row of scores into *attention weights*, in this lesson **weights**
# for short, and the output is the average of the values by these weights.
#
# Here are real queries, keys and values: those of layer 2 of the bundled model, for 256 tokens of text.

# %%
class Listening(Recompute):
    """Recompute that keeps the queries, keys and values of each layer."""

    def __init__(self):
        self.heard = []

    def attend(self, layer, q, k, v):
        self.heard.append((q, k, v))
        return super().attend(layer, q, k, v)


prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
# [1:] leaves out the token that marks the beginning of a text
ids = (prompt + tokenizer.encode(" The otter looked at the water and waited for the morning.")[1:] * 30)[:256]
listening = Listening()
with torch.inference_mode():
    model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), listening)
q, k, v = listening.heard[2]
print(f"q: {list(q.shape)}, k and v: {list(k.shape)}")

for tokens in (256, 8192, 131_072):
    print(f"{tokens:>7,} tokens: {tokens * tokens:>14,} scores a head, {readable(tokens * tokens * 2):>9} in bfloat16")

# %% [markdown]
# For 131,072 tokens, one head of one layer has 34 GB of scores in bfloat16.
#
# `standard_attention` makes this matrix. This lesson compares it with three other algorithms. All four return the same
# output up to rounding: the course's tests compare them.

# %%
with torch.inference_mode():
    reference = standard_attention(q, k, v)
    theirs = Recompute().attend(2, q, k, v)
print("the same as the model's own attention:", torch.allclose(reference, theirs, atol=1e-4))

# %% [markdown]
# ## A softmax that sees its row once
#
# The softmax of a row divides by a sum over the whole row. The largest score of the row is subtracted first, so that
# exp does not overflow. Both the sum and the largest score are known only at the end of the row.

# %%
predict("06.once", "A row of scores and values comes in pieces, and no piece may be kept. Can the exact softmax average be computed?",
        ["No: the first weight needs the last score", "Only approximately", "Yes, exactly"], answer=2)

# %% [markdown]
# Keep three things. The names are those of the papers:
#
# - `m_i`: the largest score so far;
# - `l_i`: the sum of exp(score − `m_i`) so far;
# - `acc`: the same sum, with each term times its value.
#
# When a larger score `new_m` comes, `l_i` and `acc` are too large by one factor. Multiply both by `alpha` = exp(`m_i` −
# `new_m`), and add the new piece. This is the **online softmax** (Milakov and Gimelshein, arXiv 1805.02867).

# %%
def online_average(chunks):
    m_i, l_i, acc = -torch.inf, 0.0, 0.0
    for scores, values in chunks:
        new_m = max(m_i, float(scores.max()))
        alpha = torch.exp(torch.tensor(m_i - new_m))  # 1 where the maximum has not grown
        weights = torch.exp(scores - new_m)
        l_i = alpha * l_i + weights.sum()
        acc = alpha * acc + weights @ values
        m_i = new_m
    return acc / l_i


draw = torch.Generator().manual_seed(0)
scores, values = 3 * torch.randn(1000, generator=draw), torch.randn(1000, 4, generator=draw)
piecewise = online_average(zip(scores.split(64), values.split(64)))
print("the same as softmax(scores) @ values:", torch.allclose(piecewise, scores.softmax(0) @ values, atol=1e-5))

# %% [markdown]
# It is exact up to rounding, because exp(s − new) is exp(s − old) times exp(old − new), for every term of the sum.
#
# ## Build it
#
# Now for many rows at once, and with the causal mask. A **tile** is a piece of the matrix: some queries by some keys.
# The outer loop takes a tile of queries. The inner loop goes through the keys and values, a tile at a time. `m_i`,
# `l_i` and `acc` now have a row for each query.

# %%
def my_flash(q, k, v, rows=32, columns=32):
    """Causal attention of one head. q, k, v: [n, head_dim]."""
    n, d = q.shape
    out = torch.empty_like(q)
    for r in range(0, n, rows):
        q_i = q[r:r + rows] / d ** 0.5
        m_i = torch.full((len(q_i), 1), -torch.inf, device=q.device)
        l_i, acc = torch.zeros_like(m_i), torch.zeros_like(q_i)
        for c in range(0, min(n, r + rows), columns):  # keys at positions after the last query of the tile are not loaded
            k_j, v_j = k[c:c + columns], v[c:c + columns]
            scores = q_i @ k_j.T
            later = torch.arange(c, c + len(k_j)) > torch.arange(r, r + len(q_i))[:, None]
            scores = scores.masked_fill(later.to(q.device), -torch.inf)
            new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
            alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m)
            l_i = alpha * l_i + weights.sum(1, keepdim=True)
            acc = alpha * acc + weights @ v_j
            m_i = new_m
        out[r:r + rows] = acc / l_i
    return out


with torch.inference_mode():
    for head in range(config.num_heads):
        kv_head = head // (config.num_heads // config.num_kv_heads)  # two query heads share one
        same = torch.allclose(my_flash(q[:, head], k[:, kv_head], v[:, kv_head]), reference[:, head], atol=1e-4)
        print(f"head {head} (KV head {kv_head}): the same as with the matrix: {same}")

# %% [markdown]
# `my_flash` never holds more scores than those of one tile, 32 × 32, whatever the length of the sequence is. In the
# model, the library's version of this loop (next section) gives the same tokens here:

# %%
class Tiled(Recompute):
    def attend(self, layer, q, k, v):
        return flash_attention_v2(q, k, v, tile=(16, 16))


params = SamplingParams(max_tokens=12, ignore_eos=True)
tokens = generate_naive(model, prompt, params)


@torch.inference_mode()
def greedy(cache):
    sequence = list(prompt)
    for _ in range(12):
        positions = torch.arange(len(sequence), device=model.device)
        sequence.append(int(model(torch.tensor(sequence, device=model.device), positions, cache)[-1].argmax()))
    return sequence[len(prompt):]


print("the same 12 tokens:", greedy(Tiled()) == tokens)

# %% [markdown]
# ## The same in `course_lib`
#
# The loop does the same. Added there: other masks, grouped heads, 16-bit numbers (`wide` makes them float32), rows that
# see no key (`finite` and `positive`, see *Break it*), `lse` (see *Merging*), and a `Meter` that counts bytes.

# %%
show(flash_attention_v2)

# %% [markdown]
# ## Two memories
#
# The output of the four algorithms is the same. What differs is how many bytes are moved. For this lesson a GPU has two
# memories. The large one (HBM) holds all tensors and is slow. A GPU computes in many **multiprocessors** side by side,
# an H200 in 132. Each has a small and fast memory (shared memory and registers, a few hundred kilobytes), and computes
# only on what is there. A kernel runs many **programs** at once: each on one multiprocessor, and none waits for
# another. So we count the bytes that are read from slow memory and written to it.
#
# Four ways to compute the same output:
#
# | | the scores | what is read and written |
# |---|---|---|
# | **standard** | whole matrix in slow memory | the matrix four times: written, read, written as weights, read |
# | **chunked** (arXiv 2112.05682) | a chunk of the matrix in slow memory | every chunk four times, q, k and v for each chunk, and partial results |
# | **FlashAttention** (arXiv 2205.14135) | a tile in fast memory | k and v once; q and the unfinished output for every tile of keys |
# | **FlashAttention-2** (arXiv 2307.08691) | a tile in fast memory | q and the output once; k and v for every tile of queries |
#
# The last three compute the softmax of a row in pieces. FlashAttention does it in one kernel, so that no score is
# written to slow memory. FlashAttention-2 changed the order of the loops, and it divides by the sum only once, at the
# end. We count without a mask first: such attention is called **bidirectional**, every query sees every key.

# %%
predict("06.chunked", "Chunked attention never holds the whole matrix. Does it move fewer bytes than standard attention?",
        ["Far fewer: the matrix is gone", "About as many, or more", "Exactly half"], answer=1)

# %%
tiled = {"tile": (64, 64)}
algorithms = {"standard": (standard_attention, {}), "chunked": (chunked_attention, tiled),
              "FlashAttention": (flash_attention_v1, tiled), "FlashAttention-2": (flash_attention_v2, tiled)}


@cache
def metered(name, n, head_dim=64, **options):
    """The Meter of one head over n tokens in float32, bidirectional unless it is said otherwise."""
    attention, tile = algorithms[name]
    meter, zeros = Meter(), torch.zeros(n, 1, head_dim)
    attention(zeros, zeros, zeros, meter=meter, **({"causal": False} | tile | options))
    return meter


def megabytes(number):
    return f"{number / 1e6:.3f} MB"


print(f"{'1,024 tokens, no mask':>21} {'extra memory':>13} {'read':>10} {'written':>10} {'scalings':>10}")
for name in algorithms:
    meter = metered(name, 1024)
    extra, read, written = (megabytes(x) for x in (meter.scratch, meter.bytes_read, meter.bytes_written))
    print(f"{name:>21} {extra:>13} {read:>10} {written:>10} {meter.scalings:>10,}")

# %% [markdown]
# *Extra memory* is the slow memory used beside q, k, v and the output. Chunked attention needs little of it, and yet
# moves more than twice the bytes of standard attention. *Scalings* counts how often a number of the output is
# multiplied by `alpha` or divided by `l_i` (in chunked attention: multiplied by the weight of its partial result). The
# **matrix units** of a GPU only multiply matrices, and cannot do this work. FlashAttention-2 divides only at the end,
# and has a little more than half of the scalings of FlashAttention.
#
# How do memory and bytes moved grow with the length of the sequence?

# %%
lengths = [64, 128, 256, 512, 1024]
order = ["FlashAttention-2", "FlashAttention", "chunked", "standard"]
meters = {name: [metered(name, n) for n in lengths] for name in order}
for name in order:
    a, b = meters[name][-2:]
    memory, moved = b.scratch / a.scratch, b.bytes_moved / a.bytes_moved
    print(f"{name:>16}: from 512 to 1,024 tokens, memory x {memory:.1f}, bytes moved x {moved:.1f}")
tokens = [f"{n:,}" for n in lengths]
chart("Memory and bytes moved against the length of the sequence",
      panel({name: (tokens, [m.scratch / 1e3 for m in meters[name]]) for name in order}, x="tokens", y="memory", y_unit="kB",
            log="y", title="Memory beside q, k, v and the output"),
      panel({name: (tokens, [m.bytes_moved / 1e3 for m in meters[name]]) for name in order}, x="tokens", y="bytes moved",
            y_unit="kB", log="y", title="Bytes moved"))

# %% [markdown]
# Only standard attention takes memory that grows with the square of the length. The *bytes moved* grow about fourfold
# for all of them: each tile of queries still needs each tile of keys. How many times fewer bytes FlashAttention-2 moves
# than standard attention depends on the size of the tile, and so on how much fast memory there is:

# %%
standard = metered("standard", 1024).bytes_moved
for side in (16, 32, 64, 128, 256):
    moved = metered("FlashAttention-2", 1024, tile=(side, side)).bytes_moved
    print(f"tiles of {side:>3} x {side:<3} {moved / 1e6:6.2f} MB; standard moves {standard / moved:.2f} times as much")

# %% [markdown]
# With tiles of 32 × 32 it moves about as many bytes as standard attention, with smaller tiles more. The first paper
# shows it in general, for heads of d numbers: FlashAttention moves about N²d²/M numbers, and standard attention Nd +
# N². So tiles move fewer bytes if M, the count of numbers in fast memory, is well above d² (theorem 2 of arXiv
# 2205.14135).
#
# ## See it
#
# The causal mask saves more: all pairs of a tile above the diagonal are hidden.

# %%
predict("06.skip", "64 tokens, causal, in 8 x 8 tiles of 8 x 8. How many of the 64 tiles need not be loaded at all?",
        ["28", "32", "36"], answer=0)

# %% [markdown]
# First the order of FlashAttention: the outer loop takes a tile of keys, the inner loop goes through the queries. Watch
# the column *out*: an output is written again for every tile of keys that its queries see. It is unfinished (hatched)
# until the last of these tiles. (The bytes written begin with the zeros from which the output starts.)

# %%
from course_lib.viz import tiles_view

short = [x[:64] for x in (q, k, v)]
tiles_view(**record_tiles(flash_attention_v1, *short, tile=(8, 8), watch=37))

# %% [markdown]
# And FlashAttention-2: the outer loop takes a tile of queries, and its output is written once. Step through row 37: its
# maximum never becomes smaller. In step 41 its tile of queries has met its last keys. Steps 42 to 44 skip tiles, and in
# step 45 the output is divided by the sum and written. (The numbers in the squares leave out skips and writes.)

# %%
tiles_view(**record_tiles(flash_attention_v2, *short, tile=(8, 8), watch=37))

# %%
for name in ("FlashAttention", "FlashAttention-2"):
    meter = metered(name, 64, tile=(8, 8), causal=True)
    print(f"{name:>16}: {meter.tiles['none']} tiles skipped, {meter.tiles['some']} masked, {meter.tiles['all']} seen as a whole; "
          f"{meter.bytes_read:,} bytes read, {meter.bytes_written:,} written")

# %% [markdown]
# Both orders skip the same 28 tiles. FlashAttention-2 writes less than a fifth of the bytes, but reads only about a
# tenth less: it reads k and v again for each tile of queries.
#
# ## Masks are questions about tiles
#
# The algorithms in tiles store no mask of N × N. A mask is a rule about two positions, and most tiles have one answer
# for all of their pairs: **none** is seen (skip the tile), **all** are seen (no mask is needed), or **some** (mask
# these). For a causal mask and a **sliding window** (a row sees the newest tokens only) the distance decides: the row's
# position minus the column's. In a tile the distance is smallest at the top right and largest at the bottom left, and
# it takes every value between the two. So these two corners decide. For **packed documents** (many sequences in one
# tensor, which must not see each other) compare the documents of the tile's first and last row and of its first and
# last column. `cu_seqlens` stands for cumulative sequence lengths: `(0, 20, 48)` says where each document begins, and
# where the last one ends. Here are four masks of 48 tokens, in tiles of 6 × 6: `·` is none, `▪` some, `■` all. The
# sliding window and the packed documents are causal too.

# %%
masks = {"causal": Mask(), "sliding window of 12": Mask(window=12),
         "packed documents": Mask(cu_seqlens=(0, 20, 48)), "bidirectional": Mask(causal=False)}
signs = {"none": "·", "some": "▪", "all": "■"}
edges = [(start, start + 6) for start in range(0, 48, 6)]
grids = {name: [[mask.tile(rows, cols) for cols in edges] for rows in edges] for name, mask in masks.items()}
print("   ".join(f"{name:<21}" for name in grids))
for line in zip(*grids.values()):
    print("   ".join(f"{' '.join(signs[tile] for tile in row):<21}" for row in line))
loaded = [sum(tile != "none" for row in grid for tile in row) for grid in grids.values()]
print("   ".join(f"{count} of 64 loaded".ljust(21) for count in loaded))

# %% [markdown]
# With the sliding window (Mistral 7B, arXiv 2310.06825) no row of tiles loads more than three tiles here, so the work
# grows linearly with the length of the sequence. A server, too, puts the tokens of many requests into one tensor
# (lesson 10). We check one of the masks against the rule for single pairs:

# %%
packed = Mask(cu_seqlens=(0, 20, 48))
right = 0
for rows, row in zip(edges, grids["packed documents"]):
    for cols, tile in zip(edges, row):
        seen = packed.sees(rows, cols)
        right += tile == ("all" if seen.all() else "some" if seen.any() else "none")
print(right, "of 64 tiles have the answer that their pairs give")

# %% [markdown]
# ## Merging
#
# A kernel can return one more number for each row: its **log-sum-exp** (lse), the log of the sum of all exp(score).
# With it, attention over some keys and attention over others can be merged afterwards. Each part gets its share of the
# whole sum as its weight: exp(its lse) divided by the sum of both exp(lse). Nothing is approximated, so the keys may be
# split anywhere, and the parts may be computed in any order.

# %%
with torch.inference_mode():
    last = q[-1:]  # a decode step: one query, all keys
    whole, _ = standard_attention(last, k, v, causal=False, return_lse=True)
    pieces = slice(0, 100), slice(100, 110), slice(110, 256)
    parts = [standard_attention(last, k[s], v[s], causal=False, return_lse=True) for s in pieces]
    merged, _ = merge_partials(*merge_partials(*parts[2], *parts[0]), *parts[1])
    plain = sum(out for out, _ in parts) / 3
print("merged by log-sum-exp, the same:", torch.allclose(merged, whole, atol=1e-5))
print("averaged without weights, the same:", torch.allclose(plain, whole, atol=1e-5))

# %% [markdown]
# Lesson 08 uses this to let many programs of a GPU share one long sequence.
#
# ## Backward
#
# Only training needs this section and its exercise. A server computes no gradient.
#
# Autograd saves what it needs for the gradient: in standard attention, the matrix of weights. FlashAttention saves
# q, k, v, the output and one lse a row. In the backward pass it computes every weight **again**, as exp(score − lse).
#
# Here is the gradient in five steps, for one query q: scores $s_j = q \cdot k_j / \sqrt d$, weights
# $p_j = e^{s_j - lse}$, output $o = \sum_j p_j v_j$. The layer above gives $do$, the gradient of the loss by $o$;
# $dv_j$, $dp_j$ and the others are named in the same way. Capital letters are the matrices of all rows, and `*`
# multiplies number by number.
#
# 1. **Values.** $v_j$ enters $o$ times $p_j$, so $dv_j = p_j \, do$. Over all queries, this is summed: `dV = Pᵀ dO`.
# 2. **Weights.** $p_j$ enters $o$ times $v_j$, so $dp_j = do \cdot v_j$: `dP = dO Vᵀ`.
# 3. **Scores.** If $s_j$ grows, $p_j$ grows, and the other weights become smaller, because they sum to 1. The
#    derivative of $p_i$ by $s_j$ is $p_i - p_i p_j$ for $i = j$, and $-p_i p_j$ otherwise. So
#    $ds_j = p_j \, (dp_j - \sum_i p_i \, dp_i)$.
# 4. **The sum needs no other tile.** $\sum_i p_i \, dp_i = \sum_i p_i \, (do \cdot v_i) = do \cdot o$. It is one number
#    a row, `delta`. So `dS = P * (dP - delta)`.
# 5. **Queries and keys.** $s_j = q \cdot k_j / \sqrt d$, so $dq = \sum_j ds_j \, k_j / \sqrt d$ and
#    $dk_j = ds_j \, q / \sqrt d$, summed over all queries: `dQ = dS K / √d` and `dK = dSᵀ Q / √d`.
#
# The same five steps in torch, beside autograd. No mask here, and all in one tile:

# %%
def by_hand(q, k, v, out, lse, grad_out):
    """(dq, dk, dv) of attention without a mask. q, k, v, out, grad_out: [n, d]; lse: [n]."""
    weights = torch.exp(q @ k.T / q.shape[1] ** 0.5 - lse[:, None])  # computed again
    dv = weights.T @ grad_out
    grad_weights = grad_out @ v.T
    delta = (grad_out * out).sum(1, keepdim=True)
    grad_scores = weights * (grad_weights - delta)
    return grad_scores @ k / q.shape[1] ** 0.5, grad_scores.T @ q / q.shape[1] ** 0.5, dv


few = [x[:24, :1].detach().clone().requires_grad_() for x in (q, k, v)]
out, lse = standard_attention(*few, causal=False, return_lse=True)
grad_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).to(out.device)
theirs = torch.autograd.grad(out, few, grad_out)
with torch.no_grad():
    mine = by_hand(*(x[:, 0] for x in few), out[:, 0], lse[:, 0], grad_out[:, 0])
for name, a, b in zip(("dq", "dk", "dv"), mine, theirs):
    print(name, "the same as autograd's:", torch.allclose(a, b[:, 0], rtol=1e-3, atol=1e-4))

# %% [markdown]
# `recomputed_attention` does this tile by tile, so that neither pass holds the matrix. How large is the largest tensor
# that each way keeps for the backward pass?

# %%
def gradients(attention, n):
    """(numbers in the largest tensor kept, gradients) of the sum of squares of one head over n tokens."""
    kept = []
    inputs = [x[:n, :1].detach().clone().requires_grad_() for x in (q, k, v)]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        loss = attention(*inputs).square().sum()
    return max(kept), torch.autograd.grad(loss, inputs)


for n in (128, 256):
    (matrix, matrix_grads), (tiles, tile_grads) = gradients(standard_attention, n), gradients(recomputed_attention, n)
    same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(matrix_grads, tile_grads))
    print(f"{n} tokens: the largest tensor kept has {matrix:>6,} numbers with the matrix, {tiles:>6,} without")
    print(f"            the same gradients: {same}")

# %% [markdown]
# With twice the tokens, the largest tensor is four times as large with the matrix, and twice without: it has the
# size of q. The weights are computed again instead. How much more arithmetic is that?

# %%
meter = Meter()
inputs = [x[:, :1].detach().clone().requires_grad_() for x in (q, k, v)]
out = recomputed_attention(*inputs, meter=meter)
forward = meter.flops
out.sum().backward()
backward = meter.flops - forward
print(f"forward {forward / 1e6:.1f} MFLOP, backward {backward / 1e6:.1f} MFLOP: {backward / forward:.1f} times")

# %% [markdown]
# The backward pass has five matrix products, the forward pass two. One of the five computes the scores a second time.
# On a GPU this is still faster than to read the matrix back (arXiv 2205.14135, section 3.1): more arithmetic, fewer
# bytes.
#
# ## Measure: time
#
# Every tile of our loops is a few calls from Python. And a CPU has no fast memory that a program manages: it has
# caches, and the processor decides what is in them.

# %%
predict("06.time", "4,096 tokens, one head, on this machine: standard attention against FlashAttention-2 as a loop in Python?",
        ["The loop is slower: Python", "About the same", "The loop is at least twice as fast"])

# %% tags=["nbval-ignore-output"]
import torch.nn.functional as F
from torch.utils.benchmark import Timer


def builtin(q, k, v):
    heads_first = [x.transpose(0, 1)[None] for x in (q, k, v)]
    return F.scaled_dot_product_attention(*heads_first, is_causal=True)[0].transpose(0, 1)


def seconds(act):
    """The best of its runs: what else runs on this machine makes some of them slow."""
    timer = Timer("act()", globals={"act": act}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=0.2).times)


# %% tags=["nbval-ignore-output"]
lengths = [256, 1024, 4096]
runners = {name: (attention, {"tile": (128, 128)} if tile else {}) for name, (attention, tile) in algorithms.items()}
runners["torch's own (SDPA)"] = builtin, {}
times = {name: [] for name in runners}
with torch.inference_mode():
    for n in lengths:
        inputs = [torch.randn(n, 1, 64, device=model.device) for _ in range(3)]
        for name, (attention, options) in runners.items():
            times[name].append(seconds(lambda: attention(*inputs, **options)))
for name, found in times.items():
    faster = times["standard"][-1] / found[-1]
    compared = f"{faster:5.1f} times as fast as standard" if faster >= 1 else f"{1 / faster:5.1f} times as slow"
    print(f"{name:>18}: {1000 * found[-1]:7.1f} ms for {lengths[-1]:,} tokens, {compared}")
chart("Causal attention of one head, tiles of 128, on this machine",
      {name: ([f"{n:,}" for n in lengths], [1000 * t for t in times[name]]) for name in [*order, "torch's own (SDPA)"]},
      x="tokens", y="time", y_unit="ms", log="y")

# %% [markdown]
# On an idle CPU the tiles are usually faster for long sequences: they skip nearly half of the matrix, and a tile is
# small enough for a cache. How much faster depends on the machine and on what else runs on it: read your own numbers
# above. Torch's own attention (SDPA, `scaled_dot_product_attention`) is compiled, and works in tiles too.
#
# On a GPU these loops are slow. Each operation on each tile is a kernel of its own: to start it takes longer than to
# compute its few numbers, and between two kernels everything goes through slow memory. Our counts hold for one kernel
# that runs the whole loop. That is lesson 07.
#
# ## On a GPU: the roofline
#
# What limits an algorithm on a machine: the arithmetic, or the memory? That depends on its **arithmetic intensity**:
# the operations that it does for each byte that it moves. The roof, drawn below, is the most operations a second at an
# intensity. On its left, sloping part (intensity times bytes a second) the memory is the limit; on its right, flat part
# the arithmetic. The point between the two is the ridge. This roof is one H200's as we measured it. On which side of
# the ridge is each algorithm?

# %%
from course_lib.recorded import recorded

recorded("attention", 0)

# %%
from course_lib.viz import roofline

tflops, reading, _ = recorded("attention", 0).column("measured")
zeros = torch.zeros(2048, 1, 128, dtype=torch.bfloat16)  # one head


def counted(name, attention, queries=2048, **options):
    """(name, operations, bytes) of the last queries over 2,048 keys. Only the pairs that the mask leaves count."""
    meter, pairs = Meter(), queries * 2048 - queries * (queries - 1) // 2
    attention(zeros[:queries], zeros, zeros, meter=meter, **options)
    return name, 4 * 128 * pairs, meter.bytes_moved  # two products of 128 numbers; a multiply and an add each


points = [counted("FlashAttention-2, 128 x 128", flash_attention_v2, tile=(128, 128)),
          counted("FlashAttention-2, 64 x 64", flash_attention_v2, tile=(64, 64)),
          counted("FlashAttention, 64 x 64", flash_attention_v1, tile=(64, 64)),
          counted("standard", standard_attention),
          counted("decode: one query", standard_attention, queries=1)]
for name, flops, nbytes in points:
    bound = min(tflops, flops / nbytes * reading / 1000)  # reading is in GB/s
    print(f"{name:>27}: {flops / nbytes:6.1f} operations a byte, at most {bound:6.1f} TFLOP/s")
roofline(points, flops_per_s=tflops * 1e12, bytes_per_s=reading * 1e9,
         machine="one H200, bfloat16; one causal head of 128 over 2,048 tokens")

# %% [markdown]
# The points are bounds from our counts, not measurements. By these counts all five are left of the ridge, where memory
# is the limit. Of the four points with 2,048 queries, standard attention has the lowest bound, because its matrix is
# moved four times. Larger tiles move FlashAttention-2 to the right. A **decode step** has one query: there is no matrix
# to avoid, and every key is read for that one query. Tiles do not help there; lesson 08 says what does.
#
# What was measured on that H200? First the four algorithms of this lesson, each a loop in Python, beside torch's own
# attention and `course_lib`'s kernel, which grew out of lesson 07's: the time, and the memory that each takes on the
# way. *flash 1* and *flash 2* are our loops of FlashAttention and FlashAttention-2.

# %%
recorded("06")

# %% [markdown]
# The memory grows as the counts said: at each doubling about fourfold for the standard way, and less than twofold for
# the other loops. (It is more than we counted: torch keeps scores, mask and weights for a while. For short sequences
# torch's own kernel splits the keys, and holds partial results to merge: see 512 and 1,024 tokens.) The times of the
# loops are those of Python, which starts one small kernel after the other. (At 512 tokens the standard way takes longer
# than at 1,024: such small sizes measure how kernels are started, and not bytes.) In one kernel the same loop is fast.
# How fast? Here are FlashAttention-2 and the kernel of cuDNN (NVIDIA's library), both called through SDPA, beside the
# one that `course_lib` has for this GPU, with 16 or 32 heads:

# %%
recorded("attention", 1)

# %% [markdown]
# It is one algorithm, and between its implementations there is a factor of 1.5 to about 2. At 2,048 tokens the faster
# two are above the bound of our count for tiles of 128 × 128. Our count lets every program read its keys from slow
# memory. A GPU also has a cache between the two memories: when several programs read the same keys, the later ones can
# get them from there.
#
# ## Break it
#
# Take `my_flash` and pack two documents into one tensor. A tile of queries with tokens of both loads the keys of the
# first document, and its rows of the second document see none of them. Their maximum is −∞, and −∞ − (−∞) is nan.

# %%
def unguarded(q, k, v, mask, side=8):
    """my_flash with another mask, and with no rule for rows that see no key."""
    out = torch.empty_like(q)
    for r in range(0, len(q), side):
        rows = (r, min(r + side, len(q)))
        q_i = q[r:r + side] / q.shape[1] ** 0.5
        m_i = torch.full((len(q_i), 1), -torch.inf, device=q.device)
        l_i, acc = torch.zeros_like(m_i), torch.zeros_like(q_i)
        for c in range(0, len(k), side):
            cols = (c, min(c + side, len(k)))
            if mask.tile(rows, cols) == "none":
                continue
            scores = (q_i @ k[c:c + side].T).masked_fill(~mask.sees(rows, cols, q.device), -torch.inf)
            new_m = torch.maximum(m_i, scores.amax(1, keepdim=True))
            alpha, weights = torch.exp(m_i - new_m), torch.exp(scores - new_m)
            l_i = alpha * l_i + weights.sum(1, keepdim=True)
            acc = alpha * acc + weights @ v[c:c + side]
            m_i = new_m
        out[r:r + side] = acc / l_i
    return out


def broken(x):
    return int(x.isnan().any(-1).sum())


one = [x[:64, 0] for x in (q, k, v)]
packings = {"one document": None, "documents of 32 and 32": (0, 32, 64), "documents of 36 and 28": (0, 36, 64)}
for name, cu_seqlens in packings.items():
    mask = Mask(cu_seqlens=cu_seqlens)
    print(f"{name:<24} {broken(unguarded(*one, mask)):>3} of 64 rows are nan")

# %% [markdown]
# No row is nan for one document, and for two whose edge is at the edge of a tile. Tests with such lengths do not find
# the bug. And nan spreads. In the next layer these rows are keys and values, and a weight of 0 times nan is nan.
# `course_lib` subtracts 0 where the maximum is −∞, and divides by 1 where the sum is 0:

# %%
spoiled = unguarded(*one, Mask(cu_seqlens=(0, 36, 64)))
spoiled = spoiled[:, None]  # [tokens, 1 head, head_dim]
after = standard_attention(spoiled, spoiled, spoiled, cu_seqlens=(0, 36, 64))
guarded = flash_attention_v2(*[x[:, None] for x in one], cu_seqlens=(0, 36, 64), tile=(8, 8))
print(f"after one more layer: {broken(after)} of 64 rows")
print(f"with what course_lib adds: {broken(guarded)} of 64 rows")

# %% [markdown]
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("06")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Is FlashAttention an approximation?</b></summary>
#
# No. Every score is computed and every weight is used. Only the order of the additions differs, so the output is the
# same up to rounding.
# </details>
#
# <details><summary><b>2. Why is FlashAttention-2's outer loop over queries?</b></summary>
#
# Then a tile's maximum, sum and output stay in fast memory until they are finished, and the output is written once.
# Also, tiles of queries do not depend on each other: each can be given to another multiprocessor, so that even one long
# sequence gives many programs.
# </details>
#
# <details><summary><b>3. A sequence of N tokens becomes twice as long. What happens to the work, the memory and the bytes moved?</b></summary>
#
# The work is four times as much with each of the four algorithms. The memory beside q, k, v and the output is four
# times as much with the matrix, and at most twice without. The bytes moved are about four times as many.
# </details>
#
# ## Next
#
# [exercises/06_flash_attention.ipynb](../exercises/06_flash_attention.ipynb):
# the online softmax, the forward pass, merging, tiles under a mask, the count of bytes, and the
# gradient. Then lesson 07 writes the same loop as a GPU kernel.
