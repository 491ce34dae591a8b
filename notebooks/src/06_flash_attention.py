# %% [markdown]
# # 06 · FlashAttention
#
# - **You will** compute exact attention without ever holding its matrix, in one page of code, and count every byte that it moves.
# - **Why** the matrix of scores grows with the square of the text. This is how every server computes attention, and the next
#   two lessons turn it into kernels.
# - **Time** 40 minutes, and two hours for the exercises.
# - **You need** lessons 01 and 02. Lesson 04 helps.
# - **After it** you can say what fits where on a GPU, why the order of two loops matters, and what a mask costs.

# %% [markdown]
# {{colab}}

# %%
import matplotlib.pyplot as plt
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.attention import (
    Mask, Meter, chunked_attention, flash_attention_v1, flash_attention_v2, merge_partials, recomputed_attention, record_tiles,
    standard_attention)
from course_lib.decoding import generate_naive
from course_lib.kvcache import Recompute
from course_lib.kvcache.sizes import readable

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)
config = model.config

# %% [markdown]
# ## The matrix
#
# In attention, each query is compared with each key. For a text of N tokens that is a matrix of N × N scores, in every
# head of every layer. The softmax turns each row into weights, and the weights average the values.
#
# Here are real queries, keys and values: those of layer 2 of the bundled model, for a tale of 256 tokens.

# %%
class Listening(Recompute):
    """Recompute, with an ear at the door: keeps the queries, keys and values of each layer."""

    def __init__(self):
        self.heard = []

    def attend(self, layer, q, k, v):
        self.heard.append((q, k, v))
        return super().attend(layer, q, k, v)


prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
ids = (prompt + tokenizer.encode(" The otter looked at the water and waited for the morning.")[1:] * 30)[:256]
listening = Listening()
with torch.inference_mode():
    model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), listening)
q, k, v = listening.heard[2]
print(f"q: {list(q.shape)}, k and v: {list(k.shape)}")

for tokens in (256, 8192, 131_072):
    print(f"{tokens:>7,} tokens: {tokens * tokens:>14,} scores a head, {readable(tokens * tokens * 2):>9} in bfloat16")

# %% [markdown]
# The text itself is short; its matrix is not. `standard_attention` makes it, in three steps. All four algorithms of this
# lesson take the same arguments and return the same output.

# %%
with torch.inference_mode():
    reference = standard_attention(q, k, v)
    theirs = Recompute().attend(2, q, k, v)
print("the same as the model's own attention:", torch.allclose(reference, theirs, atol=1e-4))

# %% [markdown]
# ## A softmax that sees its row once
#
# The softmax of a row divides by a sum over the whole row. And so that nothing overflows, the largest score is
# subtracted first, which is also known only at the end.

# %%
predict("06.once", "You are handed a row of scores in pieces, and may not keep a piece. Can you compute its exact softmax average?",
        ["No: the first weight needs the last score", "Only approximately", "Yes, exactly"], answer=2)

# %% [markdown]
# Keep three things: the largest score so far, the sum of exponentials under it, and the sum of weighted values. When a
# larger score comes, what was summed before is too large by one factor. Shrink it, and go on. This is the **online
# softmax** (Milakov and Gimelshein, arXiv 1805.02867).

# %%
def online_average(chunks):
    top, total, acc = -torch.inf, 0.0, 0.0
    for scores, values in chunks:
        new_top = max(top, float(scores.max()))
        shrink = torch.exp(torch.tensor(top - new_top))  # 1 where the maximum has not grown
        weights = torch.exp(scores - new_top)
        total = shrink * total + weights.sum()
        acc = shrink * acc + weights @ values
        top = new_top
    return acc / total


draw = torch.Generator().manual_seed(0)
scores, values = 3 * torch.randn(1000, generator=draw), torch.randn(1000, 4, generator=draw)
piecewise = online_average(zip(scores.split(64), values.split(64)))
print("the same as softmax(scores) @ values:", torch.allclose(piecewise, scores.softmax(0) @ values, atol=1e-5))

# %% [markdown]
# Exactly, up to rounding. Nothing was left out: exp(s − new) is exp(s − old) times exp(old − new), for every term.
#
# ## Build it
#
# Now for many rows at once, and with the mask. A **tile** is a piece of the matrix: some queries by some keys. We take a
# tile of queries, and let the keys and values come by, a tile at a time. `top`, `total` and `acc` now have a row for
# each query.

# %%
def my_flash(q, k, v, rows=32, columns=32):
    """Causal attention of one head. q, k, v: [n, head_dim]."""
    n, d = q.shape
    out = torch.empty_like(q)
    for r in range(0, n, rows):
        q_i = q[r:r + rows] / d ** 0.5
        top = torch.full((len(q_i), 1), -torch.inf, device=q.device)
        total, acc = torch.zeros_like(top), torch.zeros_like(q_i)
        for c in range(0, r + rows, columns):  # keys behind the last query of the tile are never loaded
            k_j, v_j = k[c:c + columns], v[c:c + columns]
            scores = q_i @ k_j.T
            later = torch.arange(c, c + len(k_j)) > torch.arange(r, r + len(q_i))[:, None]
            scores = scores.masked_fill(later.to(q.device), -torch.inf)
            new_top = torch.maximum(top, scores.amax(1, keepdim=True))
            shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top)
            total = shrink * total + weights.sum(1, keepdim=True)
            acc = shrink * acc + weights @ v_j
            top = new_top
        out[r:r + rows] = acc / total
    return out


with torch.inference_mode():
    for head in range(config.num_heads):
        kv_head = head // (config.num_heads // config.num_kv_heads)  # two query heads share one
        same = torch.allclose(my_flash(q[:, head], k[:, kv_head], v[:, kv_head]), reference[:, head], atol=1e-4)
        print(f"head {head} (KV head {kv_head}): the same as with the matrix: {same}")

# %% [markdown]
# The largest thing in it is a tile of 32 × 32 scores, whatever the length of the text. And it *is* the same attention:
# behind the model's door it writes the same tokens.

# %%
class Tiled(Recompute):
    def attend(self, layer, q, k, v):
        return flash_attention_v2(q, k, v, tile=(16, 16))


params = SamplingParams(max_tokens=12, ignore_eos=True)
tokens = generate_naive(model, prompt, params)


@torch.inference_mode()
def greedy(door):
    text = list(prompt)
    for _ in range(12):
        positions = torch.arange(len(text), device=model.device)
        text.append(int(model(torch.tensor(text, device=model.device), positions, door)[-1].argmax()))
    return text[len(prompt):]


print("the same 12 tokens:", greedy(Tiled()) == tokens)

# %% [markdown]
# ## The same in `course_lib`
#
# Added there: every kind of mask, grouped heads, half precision, rows that see nothing, and a `Meter` that counts. What
# the loop does is unchanged.

# %%
show(flash_attention_v2)

# %% [markdown]
# ## Two memories
#
# Why is it faster, if it computes the same? A GPU has two memories. The large one (HBM) holds everything and is slow to
# reach. Each multiprocessor has a small one (shared memory and registers, a few hundred kilobytes), and computes only on
# what is there. So the question is what crosses from one to the other, and how often.
#
# Four ways to compute the same output:
#
# | | the scores | what crosses |
# |---|---|---|
# | **standard** | whole matrix in slow memory | the matrix four times: written, read, written as weights, read |
# | **chunked** (arXiv 2112.05682) | a chunk of the matrix in slow memory | every chunk four times, q, k and v for each chunk, and partial results |
# | **FlashAttention** (arXiv 2205.14135) | a tile in fast memory | k and v once; q and the unfinished output for every tile of keys |
# | **FlashAttention-2** (arXiv 2307.08691) | a tile in fast memory | q and the output once; k and v for every tile of queries |
#
# All three below the first compute a row's softmax in pieces. FlashAttention put the online softmax into one kernel, so that no score
# leaves fast memory. What the second one changed is the order of the loops, and that it divides only once, at the end.

# %%
predict("06.chunked", "Chunked attention never holds the whole matrix. Does it move fewer bytes than standard attention?",
        ["Far fewer: the matrix is gone", "About as many, or more", "Exactly half"], answer=1)

# %%
tiled = {"tile": (64, 64)}
algorithms = {"standard": (standard_attention, {}), "chunked": (chunked_attention, tiled),
              "FlashAttention": (flash_attention_v1, tiled), "FlashAttention-2": (flash_attention_v2, tiled)}


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
# *Scalings* counts how often a number of the output is multiplied or divided by what the softmax needs: work that the
# matrix units of a GPU cannot do. Deferring the division nearly halves it.
#
# How does each of them grow with the text? Memory first, then bytes moved.

# %%
lengths = [128, 256, 512, 1024, 2048]
looks = {"standard": ("#D55E00", "--", "o"), "chunked": ("#B87C00", "-.", "s"),
         "FlashAttention": ("#009E73", ":", "^"), "FlashAttention-2": ("#0072B2", "-", "D")}
meters = {name: [metered(name, n) for n in lengths] for name in algorithms}
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for name, (colour, line, mark) in looks.items():
    look = {"color": colour, "linestyle": line, "marker": mark, "label": name}
    axes[0].loglog(lengths, [m.scratch / 1e6 for m in meters[name]], **look)
    axes[1].loglog(lengths, [m.bytes_moved / 1e6 for m in meters[name]], **look)
axes[0].set(title="Memory beside q, k, v and the output", xlabel="tokens", ylabel="megabytes")
axes[1].set(title="Bytes moved", xlabel="tokens", ylabel="megabytes")
for axis in axes:
    axis.set_xticks(lengths, [f"{n:,}" for n in lengths], minor=False)
    axis.minorticks_off()
axes[1].legend()
plt.show()
for name in algorithms:
    a, b = meters[name][-2:]
    memory, moved = b.scratch / a.scratch, b.bytes_moved / a.bytes_moved
    print(f"{name:>16}: from 1,024 to 2,048 tokens, memory x {memory:.1f}, bytes moved x {moved:.1f}")

# %% [markdown]
# Only standard attention takes memory that grows with the square of the text. But the *bytes moved* grow nearly fourfold for
# all of them: each tile of queries must still meet each tile of keys. What FlashAttention gains there is a
# factor, and the factor is the tile. So it depends on how much fast memory there is:

# %%
standard = metered("standard", 1024).bytes_moved
for side in (8, 16, 32, 64, 128, 256):
    moved = metered("FlashAttention-2", 1024, tile=(side, side)).bytes_moved
    print(f"tiles of {side:>3} x {side:<3} {moved / 1e6:6.2f} MB; standard moves {standard / moved:.2f} times as much")

# %% [markdown]
# With tiles of 32 × 32 it moves as much as with the matrix, with smaller ones more. The paper proves it in general: FlashAttention
# moves about N²d²/M numbers and standard attention Nd + N², so tiles pay once M, the numbers that fast memory holds, is well
# above d² (arXiv 2205.14135, theorem 2).
#
# ## See it
#
# Under the causal mask there is more to save: whole tiles lie above the diagonal.

# %%
predict("06.skip", "64 tokens, causal, in 8 x 8 tiles of 8 x 8. How many of the 64 tiles need not be loaded at all?",
        ["28", "32", "36"], answer=0)

# %% [markdown]
# The order of the first FlashAttention: a tile of keys stays, and the queries come by. Watch the column *out*: an
# output is written again for every tile of keys, and stays unfinished (hatched) until the last one.

# %%
from course_lib.viz import roofline, tiles_view

short = [x[:64] for x in (q, k, v)]
tiles_view(**record_tiles(flash_attention_v1, *short, tile=(8, 8), watch=37))

# %% [markdown]
# And FlashAttention-2: a tile of queries stays until it is done, and its output is written once. Step through row 37: its
# maximum never falls, and its output is divided and stored in the last step of its tile.

# %%
second = tiles_view(**record_tiles(flash_attention_v2, *short, tile=(8, 8), watch=37))
second

# %% [markdown]
# In step 41 row 37 has met its last keys. What is left is to divide by the sum, and to store.

# %%
second.snapshot(step=41)

# %%
for name in ("FlashAttention", "FlashAttention-2"):
    meter = metered(name, 64, tile=(8, 8), causal=True)
    print(f"{name:>16}: {meter.tiles['none']} tiles skipped, {meter.tiles['some']} masked, {meter.tiles['all']} seen as a whole; "
          f"{meter.bytes_read:,} bytes read, {meter.bytes_written:,} written")

# %% [markdown]
# ## Masks are questions about tiles
#
# Nobody stores a mask of N × N. A mask is a rule about two positions, and most of the time the whole tile has the same
# answer: **none** of its pairs is seen (skip it), **all** are (no mask needed), or **some** (mask these). For a causal mask
# and a window only the distance counts, row less column. In a tile it is smallest top right and largest bottom left, and
# takes every value between, so two corners decide. For packed documents it counts which documents the tile's ends lie in;
# `cu_seqlens=(0, 20, 48)` says where each document begins, and where the last one ends.

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
# The **sliding window** (Mistral 7B, arXiv 2310.06825) makes attention linear in the text: no row of tiles loads
# more than three here, however long the text. **Packed documents** are what a server has in every step: many requests in one tensor, which must not see each
# other. Check one against the rule for single pairs:

# %%
packed = Mask(cu_seqlens=(0, 20, 48))
right = 0
for rows, row in zip(edges, grids["packed documents"]):
    for cols, tile in zip(edges, row):
        seen = packed.sees(rows, cols)
        right += tile == ("all" if seen.all() else "some" if seen.any() else "none")
print(right, "of 64 tiles are what their pairs are")

# %% [markdown]
# ## Merging
#
# Each row can leave with one number more: its **log-sum-exp**, the log of the sum that it divided by. With it, attention
# over some keys and attention over others can be put together afterwards, each weighing as much as its share of the sum.
# Nothing is approximated, so the keys may be split anywhere, and the parts computed in any order.

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
# Lesson 08 uses this to let many programs of a GPU share one long context.
#
# ## Backward
#
# Training needs the gradient, and autograd keeps what it needs for it: here, the matrix. FlashAttention keeps q, k, v, the
# output and one log-sum-exp a row, and computes every weight **again** in the backward pass: exp(score − lse). So
# recomputation belongs to the backward pass; the forward pass computes nothing twice.

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

# %%
meter = Meter()
inputs = [x[:, :1].detach().clone().requires_grad_() for x in (q, k, v)]
out = recomputed_attention(*inputs, meter=meter)
forward = meter.flops
out.sum().backward()
backward = meter.flops - forward
print(f"forward {forward / 1e6:.1f} MFLOP, backward {backward / 1e6:.1f} MFLOP: {backward / forward:.1f} times")

# %% [markdown]
# Five matrix products instead of two, one of them computed a second time. All the same it is faster on a GPU than reading the
# matrix back (arXiv 2205.14135, section 3.1): more arithmetic, fewer bytes.
#
# ## Measure: time
#
# Every tile of ours is a few steps of Python, and there is no fast memory that we could manage: a CPU has caches, and
# decides by itself what is in them.

# %%
predict("06.time", "4,096 tokens, one head, on this machine: standard attention against FlashAttention-2 as a loop in Python?",
        ["The loop is slower: Python", "About the same", "The loop is at least twice as fast"])

# %% tags=["nbval-ignore-output"]
import time

import torch.nn.functional as F


def builtin(q, k, v):
    heads_first = [x.transpose(0, 1)[None] for x in (q, k, v)]
    return F.scaled_dot_product_attention(*heads_first, is_causal=True)[0].transpose(0, 1)


def seconds(attention, *inputs, **options):
    best = float("inf")
    for _ in range(3 if len(inputs[0]) > 1000 else 12):
        start = time.perf_counter()
        attention(*inputs, **options)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


lengths = [256, 512, 1024, 2048, 4096]
runners = {name: (attention, {"tile": (128, 128)} if tile else {}) for name, (attention, tile) in algorithms.items()}
runners["torch's own (SDPA)"] = builtin, {}
times = {name: [] for name in runners}
with torch.inference_mode():
    for n in lengths:
        inputs = [torch.randn(n, 1, 64, device=model.device) for _ in range(3)]
        for name, (attention, options) in runners.items():
            times[name].append(seconds(attention, *inputs, **options))
figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
for name, (colour, line, mark) in {**looks, "torch's own (SDPA)": ("#555555", "-", "v")}.items():
    axis.loglog(lengths, [1000 * t for t in times[name]], color=colour, linestyle=line, marker=mark, label=name)
axis.set(title="Causal attention of one head, tiles of 128", xlabel="tokens", ylabel="milliseconds")
axis.set_xticks(lengths, [f"{n:,}" for n in lengths])
axis.minorticks_off()
axis.legend()
plt.show()
for name, found in times.items():
    faster = times["standard"][-1] / found[-1]
    compared = f"{faster:5.1f} times as fast as standard" if faster >= 1 else f"{1 / faster:5.1f} times as slow"
    print(f"{name:>18}: {1000 * found[-1]:7.1f} ms for {lengths[-1]:,} tokens, {compared}")

# %% [markdown]
# On a CPU that has nothing else to do the tiles win: they skip nearly half of the matrix, and what they work on is small enough for
# a cache. Where other programs want the same cores and caches, less is left of it. Torch's own is compiled, and tiled as well.
#
# On a GPU the loops lose. Each step of each tile is a kernel of its own there: to start it takes longer than its few numbers do, and
# between two kernels everything goes through slow memory. What we counted is true of one kernel that does the whole walk. That
# is lesson 07.
#
# ## On a GPU: the roofline
#
# A machine can be short of arithmetic or short of memory. Which of them, an algorithm's **arithmetic intensity** tells:
# how many operations it does for each byte that it moves. Below the ridge of the roof memory is the limit, above it
# arithmetic. This roof is one H200's as we measured it. Which side of the ridge is each algorithm on?

# %%
from course_lib.recorded import recorded

recorded("attention", 0)

# %%
tflops, reading, _ = recorded("attention", 0).column("measured")
PEAK, BANDWIDTH = tflops * 1e12, reading * 1e9
n, head_dim = 2048, 128
pairs = n * (n + 1) // 2  # that the causal mask leaves
useful = 4 * head_dim * pairs  # two products; a multiply and an add each


def moved(name, **options):
    attention, tile = algorithms[name]
    meter, zeros = Meter(), torch.zeros(n, 1, head_dim, dtype=torch.bfloat16)
    attention(zeros, zeros, zeros, meter=meter, **(tile | options))
    return meter.bytes_moved


decode = Meter()
keys = torch.zeros(n, 1, head_dim, dtype=torch.bfloat16)
standard_attention(keys[:1], keys, keys, meter=decode)
roofline([("standard", useful, moved("standard")),
          ("FlashAttention, tiles of 64 x 64", useful, moved("FlashAttention", tile=(64, 64))),
          ("FlashAttention-2, tiles of 64 x 64", useful, moved("FlashAttention-2", tile=(64, 64))),
          ("FlashAttention-2, tiles of 128 x 128", useful, moved("FlashAttention-2", tile=(128, 128))),
          ("a decode step: one query, 2,048 keys", decode.flops, decode.bytes_moved)],
         flops_per_s=PEAK, bytes_per_s=BANDWIDTH,
         machine="one H200, bfloat16; one causal head of 128 over 2,048 tokens")

# %% [markdown]
# The marks are bounds from our counts, not measurements. Only pairs that are seen count as operations: to multiply pairs that the
# mask hides earns nothing. By these counts all five stay left of the ridge, where memory is the limit: the standard way most of the
# four, as its matrix crosses four times. Larger tiles move FlashAttention-2 up the roof. Real kernels get further, as keys and values that several programs read at about the same
# time come from the GPU's cache, which this count leaves out. And a **decode step** has a single query: there is no
# matrix to avoid, and every key is read for that one query. No order of loops helps there; lesson 08 says what does.
#
# And what was measured on that H200? First the four algorithms as they stand above, each a loop in Python, beside torch's own attention
# and `course_lib`'s kernel, which grew out of lesson 07's: time, and the memory that each takes on the way.

# %%
recorded("06")

# %% [markdown]
# The memory grows as the counts said: with the square of the length for the standard way, and for no other. (It is more than was
# counted: torch keeps scores, mask and weights of all steps for a while.) Up to some thousand tokens all that is measured is what it
# takes to start things. The time of the loops is that of Python, which tells the GPU one small thing after another. In a
# **kernel**, a program that runs on the GPU itself, the same loop is fast. And how fast? Kernels that a user can pick,
# FlashAttention-2 and cuDNN's, beside the one of this course, each alone, with many more heads:

# %%
recorded("attention", 1)

# %% [markdown]
# One algorithm, and up to a factor of two between its implementations: the rest is how well a kernel keeps busy the circuits that
# only multiply matrices. Keys that many heads share, and the GPU's cache, carry all of them past the bounds above. Lesson 07 writes
# such a kernel.
#
# ## Break it
#
# Take the code above, `my_flash`, and pack two documents into one tensor. In a tile where the two meet, some rows see
# nothing. Their maximum is −∞, and −∞ less −∞ is not a number.

# %%
def unguarded(q, k, v, mask, side=8):
    """my_flash with another mask, and nothing said about rows that see nothing."""
    out = torch.empty_like(q)
    for r in range(0, len(q), side):
        rows = (r, min(r + side, len(q)))
        q_i = q[r:r + side] / q.shape[1] ** 0.5
        top = torch.full((len(q_i), 1), -torch.inf, device=q.device)
        total, acc = torch.zeros_like(top), torch.zeros_like(q_i)
        for c in range(0, len(k), side):
            cols = (c, min(c + side, len(k)))
            if mask.tile(rows, cols) == "none":
                continue
            scores = (q_i @ k[c:c + side].T).masked_fill(~mask.sees(rows, cols, q.device), -torch.inf)
            new_top = torch.maximum(top, scores.amax(1, keepdim=True))
            shrink, weights = torch.exp(top - new_top), torch.exp(scores - new_top)
            total = shrink * total + weights.sum(1, keepdim=True)
            acc = shrink * acc + weights @ v[c:c + side]
            top = new_top
        out[r:r + side] = acc / total
    return out


def broken(x):
    return int(x.isnan().any(-1).sum())


one = [x[:64, 0] for x in (q, k, v)]
packings = {"one document": None, "documents of 32 and 32": (0, 32, 64), "documents of 36 and 28": (0, 36, 64)}
for name, cu_seqlens in packings.items():
    mask = Mask(cu_seqlens=cu_seqlens)
    print(f"{name:<24} {broken(unguarded(*one, mask)):>3} of 64 rows are nan")

# %% [markdown]
# It worked for one document, and for two whose edge falls on the edge of a tile. That is how such a bug passes its tests.
# And it does not stay where it is. In the next layer these rows are keys and values, and a weight of 0 times nan is nan:

# %%
spoiled = unguarded(*one, Mask(cu_seqlens=(0, 36, 64)))
spoiled = spoiled[:, None]  # [tokens, 1 head, head_dim]
after = standard_attention(spoiled, spoiled, spoiled, cu_seqlens=(0, 36, 64))
guarded = flash_attention_v2(*[x[:, None] for x in one], cu_seqlens=(0, 36, 64), tile=(8, 8))
print(f"after one more layer: {broken(after)} of 64 rows")
print(f"with what course_lib adds: {broken(guarded)} of 64 rows")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Is FlashAttention an approximation?</b></summary>
#
# No. Every score is computed and every weight is used. Only the order of the additions differs, so the output is the same
# up to rounding.
# </details>
#
# <details><summary><b>2. Why has FlashAttention-2 the queries outside?</b></summary>
#
# Then a tile's maximum, sum and output stay in fast memory until they are finished, and the output is written once. Also, tiles of
# queries do not depend on each other: each can be given to another multiprocessor, so that even one long text fills a GPU.
# </details>
#
# <details><summary><b>3. A text of N tokens becomes twice as long. What happens to the work, the memory and the bytes moved?</b></summary>
#
# The work is four times as much, in every one of the four. The memory beside q, k, v and the output is four times as much with
# the matrix, and at most twice without. The bytes moved are about four times as many, from a level that the tile decides.
# </details>
#
# ## Next
#
# `exercises/06_flash_attention.ipynb`: the online softmax, the forward pass, merging, tiles under a mask, the count of bytes, and the
# gradient. Then lesson 07 writes the same loop as a GPU kernel.
