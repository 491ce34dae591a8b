# %% [markdown]
# # 07 · Triton
#
# - **You will** write GPU kernels, from adding two vectors up to FlashAttention, and run them here without a GPU.
# - **Why** every fast server is a handful of kernels. This is how they are written, read, tested and trusted.
# - **Time** 40 minutes, and three hours for the exercises.
# - **You need** lesson 06.
# - **After it** you can read the kernels of vLLM, and say what a wrong one does: crash, lie, or be slow.

# %% [markdown]
# {{colab}}

# %%
import matplotlib.pyplot as plt
import torch

from course_lib import load_model, predict, setup, show
from course_lib.attention import Meter, explain, flash_attention_v2, standard_attention
from course_lib.attention import record_accesses
from course_lib.kvcache import Recompute
from course_lib.viz import programs_view

# %% tags=["nbval-ignore-output"]
machine = setup()  # before Triton: it says whether kernels are compiled or interpreted

try:
    import triton
    import triton.language as tl
except ImportError:  # macOS, Windows
    print("Triton is not here. Read on, with the outputs kept in this notebook; the exercises can be solved in plain torch.")
    from course_lib.practice.play import tl, triton

model, tokenizer = load_model("tale", dtype=torch.float32)

# %% [markdown]
# ## A program, many times
#
# A GPU runs thousands of threads. Triton spares you the threads: you write one **program**, and a **launch** runs it
# many times, in any order, many at once. The programs of a launch are its **grid**. Each asks for its number,
# `tl.program_id`, and takes its own part of the work. What runs on the GPU is called a **kernel**.
#
# A program works on **blocks**: it names 8 numbers, or 64 × 64, and adds them in one line. A tensor reaches it as a
# **pointer**, the address of its first number. Pointer plus offsets is a block of addresses; `tl.load` fetches what
# is there.
#
# Two vectors of 21 numbers are to be added, 8 at a time. Sizes of blocks are powers of two, fixed when the kernel is
# compiled (`tl.constexpr`). Vectors are of any length.
#
# A launch is `kernel[grid](x, ...)`. In brackets stands the grid, always a tuple: `(3,)` is three programs. In
# parentheses stand the arguments; a tensor arrives as its pointer.

# %%
predict("07.programs", "21 numbers, in blocks of 8. How many programs, and how many of their lanes have nothing to do?",
        ["2 programs, none", "3 programs, 3 lanes", "3 programs, 8 lanes"], answer=1)

# %%
@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside)
    y = tl.load(y_ptr + offsets, mask=inside)
    tl.store(out_ptr + offsets, x + y, mask=inside)


def add(x, y):
    out = torch.empty_like(x)
    grid = (triton.cdiv(len(x), 8),)  # rounded up
    add_kernel[grid](x, y, out, len(x), BLOCK=8)
    return out


x = torch.arange(21.0, device=model.device)
print(add(x, 10 * x).tolist())

# %% [markdown]
# A **lane** is one place in a block. In the last program three lanes lie past the end. The **mask** is false there,
# and a masked lane touches no memory.
#
# ## Without a GPU
#
# No GPU was needed: here Triton **interprets**. Each program runs after the other, each line as a step of NumPy.
# (`setup()` has asked for it. In a script of your own, set `TRITON_INTERPRET=1` before you import Triton.)
# It is slow, and it is the same kernel: what is right here is right there, but for a few traps that this lesson
# names. And an interpreter can be watched. `print("x", x)` inside a kernel shows the block of each program. Here is
# what each program loads and stores; step through them. Hatched lanes are masked. (If you have a GPU, your kernels are
# compiled, and only those inside `record_accesses` are interpreted, by a second Python.)

# %%
def watch(act):
    """The log of what the kernels inside load and store."""
    with record_accesses() as log:
        act()
    return log


log = watch(lambda: add(x, 10 * x))
programs_view(log, by="access")

# %% [markdown]
# ## A row a program
#
# A matrix is a line of numbers too. Its **strides** say how many numbers lie between one row and the next, and
# between one column and the next. A view, such as every second row, has other strides and the same memory.
#
# This kernel is a part of the bundled model, its RMSNorm: each token's vector is divided by the root of its mean
# square. One program takes one row, and computes in float32 whatever comes in.

# %%
@triton.jit
def norm_kernel(x_ptr, weight_ptr, out_ptr, x_stride, out_stride, width, eps, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0), tl.arange(0, BLOCK)
    inside = columns < width
    x = tl.load(x_ptr + row * x_stride + columns, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside)
    out = x / tl.sqrt(tl.sum(x * x, 0) / width + eps) * weight
    tl.store(out_ptr + row * out_stride + columns, out.to(out_ptr.dtype.element_ty), mask=inside)


def norm(x, weight, eps):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(x.shape[1])  # a whole row in one block
    norm_kernel[(len(x),)](x, weight, out, x.stride(0), out.stride(0), x.shape[1], eps, BLOCK=block)
    return out


ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
hidden = model.model.embed_tokens(torch.tensor(ids, device=model.device))
theirs = model.model.layers[0].input_layernorm
with torch.inference_mode():
    mine = norm(hidden, theirs.weight, model.config.rms_norm_eps)
    print("as the model has it:", torch.allclose(mine, theirs(hidden), atol=1e-5))
    half = norm(hidden[::2], theirs.weight, model.config.rms_norm_eps)
    print("every second row, by its stride:", torch.allclose(half, theirs(hidden)[::2], atol=1e-5))

# %% [markdown]
# Two new things. `other=0.0` says what a masked lane holds: here it must add nothing to the sum. And `tl.sum(…, 0)`
# reduces a block, with no loop and no threads to wait for. A row is read once and written once, with all arithmetic
# between the two in registers; torch, asked for square, mean, root, division and product, would move it several
# times. That is what **fusing** means.
#
# ## A tile of scores
#
# Attention needs blocks of two dimensions. Rows `[:, None]` times their stride, plus columns `[None, :]`, is a matrix
# of addresses. `tl.dot` multiplies two such blocks, and becomes a **matrix instruction** on chips that have one.
#
# Take real queries, keys and values: layer 2 of the model, for a tale of 100 tokens.

# %%
class Listening(Recompute):
    """Recompute, with an ear at the door: keeps the queries, keys and values of each layer."""

    def __init__(self):
        self.heard = []

    def attend(self, layer, q, k, v):
        self.heard.append((q, k, v))
        return super().attend(layer, q, k, v)


text = (ids + tokenizer.encode(" The otter looked at the water and waited for the morning.")[1:] * 20)[:100]
listening = Listening()
with torch.inference_mode():
    model(torch.tensor(text, device=model.device), torch.arange(len(text), device=model.device), listening)
q, k, v = listening.heard[2]
print(f"q: {list(q.shape)} with strides {q.stride()}; k and v: {list(k.shape)} with strides {k.stride()}")

# %% [markdown]
# ## Build it: FlashAttention
#
# Now lesson 06 once more, `my_flash`, line by line. The loop over tiles of queries is gone: it is the grid, as no
# tile needs another. The loop over tiles of keys stays, since the online softmax goes from one to the next.
#
# | lesson 06, on a CPU | here, in a program |
# |---|---|
# | `for r in range(0, n, rows):` | `first = tl.program_id(0) * TILE` |
# | `q[r:r + rows]` | `tl.load` of a block of addresses, masked past the end |
# | `scores = q_i @ k_j.T` | `tl.dot(q_i, tl.trans(k_j))` |
# | `masked_fill(later, -inf)` | `tl.where(columns <= rows, scores, -inf)` |
# | `out[r:r + rows] = …` | `tl.store`, masked past the end |

# %%
@triton.jit
def my_flash_kernel(q_ptr, k_ptr, v_ptr, out_ptr, q_stride, k_stride, v_stride, out_stride, n, scale,
                    HEAD_DIM: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr):
    first = tl.program_id(0) * TILE
    rows, dims = first + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    mine = (rows < n)[:, None]
    q_i = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=mine, other=0.0)
    top = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for c in range(0, first + TILE, TILE):  # keys behind the last query of the tile are never loaded
        columns = c + tl.arange(0, TILE)
        there = (columns < n)[:, None]
        k_j = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=there, other=0.0)
        v_j = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=there, other=0.0)
        scores = tl.dot(q_i, tl.trans(k_j), input_precision=PRECISION) * scale
        scores = tl.where(columns[None, :] <= rows[:, None], scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = shrink * total + tl.sum(weights, 1)
        acc = shrink[:, None] * acc + tl.dot(weights.to(v_j.dtype), v_j, input_precision=PRECISION)
        top = new_top
    out = (acc / total[:, None]).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + rows[:, None] * out_stride + dims, out, mask=mine)


def my_flash(q, k, v, tile=32, precision="ieee"):
    """Causal attention of one head. q, k, v: [n, head_dim], with any stride from token to token."""
    n, head_dim = q.shape
    out = torch.empty((n, head_dim), dtype=q.dtype, device=q.device)
    my_flash_kernel[(triton.cdiv(n, tile),)](
        q, k, v, out, q.stride(0), k.stride(0), v.stride(0), out.stride(0), n, head_dim ** -0.5,
        HEAD_DIM=head_dim, TILE=tile, PRECISION=precision)
    return out

# %%
predict("07.grid", "100 tokens, tiles of 32: how many programs work on one head, and how many tiles of keys does the last one load?",
        ["3 programs; 3 tiles", "4 programs; 4 tiles", "4 programs; 1 tile"], answer=1)

# %%
with torch.inference_mode():
    reference = standard_attention(q, k, v)
    for head in range(model.config.num_heads):
        kv_head = head // (model.config.num_heads // model.config.num_kv_heads)  # two query heads share one
        out = my_flash(q[:, head], k[:, kv_head], v[:, kv_head])  # a head is a view: only strides change
        same = torch.allclose(out, reference[:, head], atol=1e-4)
        print(f"head {head} (KV head {kv_head}): the same as with the matrix: {same}")

# %% [markdown]
# `top`, `total`, `acc` and the scores are in **registers** and shared memory, the fast memory of lesson 06, from the
# first tile to the last. The kernel says nowhere that they are: whatever is not loaded and stored stays inside.
#
# One thing is luck: no mask hides the columns past the end. They are later than every row that is there, so the
# causal mask hides them too. Without it, they need their own; *Break it* shows what happens.
#
# ## See it
#
# 64 tokens in tiles of 16: four programs. Step through them.

# %%
short = [x[:64, 0] for x in (q, k, v)]
log = watch(lambda: my_flash(*short, tile=16))
view = programs_view(log)
view

# %%
view.snapshot(step=3)

# %% [markdown]
# The later a program's rows, the more it loads. How unequal are the programs of one launch? And is it what lesson 06
# said, whose `Meter` counts the same algorithm in plain torch?

# %%
meter = Meter()
flash_attention_v2(*[x[:, None] for x in short], tile=(16, 16), meter=meter)
print(f"the kernel loads {log.bytes_read:,} bytes and stores {log.bytes_written:,}")
print(f"lesson 06 counts {meter.bytes_read:,} bytes read and {meter.written['out']:,} of output written")
programs = [(i,) for i in range(4)]
loads = {name: [log.only(program=p, tensor=name).bytes_read for p in programs] for name in ("q", "k", "v")}
figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
left = [0] * 4
for (name, bytes_), colour, hatch in zip(loads.items(), ("#0072B2", "#009E73", "#D55E00"), ("", "//", "..")):
    axis.barh(range(4), bytes_, left=left, color=colour, hatch=hatch, edgecolor="white", label=name)
    left = [a + b for a, b in zip(left, bytes_)]
axis.set(title="Bytes loaded by each program", xlabel="bytes", ylabel="program", yticks=range(4))
axis.invert_yaxis()
axis.legend()
plt.show()

# %% [markdown]
# The same to the byte. And the last program loads four times the keys of the first. On a GPU with fewer
# multiprocessors than programs it matters who starts when: `course_lib`'s kernel begins with the longest, so that the
# short ones fill the gaps at the end.
#
# ## What a number holds
#
# A kernel that gives *nearly* the right numbers: is it wrong, or is that rounding? You cannot say without knowing
# what the format loses. A float has an exponent, for its size, and a fraction, for its digits.

# %%
formats = {"float32": (8, 23), "TF32": (8, 10), "float16": (5, 10), "bfloat16": (8, 7)}
print(f"{'':>9} {'bits':>5} {'exponent':>9} {'fraction':>9} {'1 + the smallest step':>22} {'largest':>9}")
for name, (exponent, fraction) in formats.items():
    largest = (2 - 2.0 ** -fraction) * 2.0 ** (2 ** (exponent - 1) - 1)
    print(f"{name:>9} {1 + exponent + fraction:>5} {exponent:>9} {fraction:>9} {1 + 2.0 ** -fraction:>22.8f} {largest:>9.1e}")

# %% [markdown]
# **float16** has more digits, **bfloat16** more room: a sum of large numbers soon passes 66 thousand, which bfloat16
# does not mind. **TF32** is no format to store but what matrix units of NVIDIA make of a float32 on its way in: they
# round away 13 bits of its fraction, and multiply eight times as fast (A100: 156 TFLOP/s against 19.5, by its data
# sheet). Triton does this unless you say `input_precision="ieee"`. `tl.dot` adds up in float32, whatever comes in.
#
# How much of the output does each of them cost? The exact answer is attention in float64.

# %%
predict("07.formats", "Attention over 100 tokens, with q, k and v rounded to each format. Which is furthest from float64?",
        ["TF32", "float16", "bfloat16"], answer=2)

# %% tags=["nbval-ignore-output"]
def to_tf32(x):
    """float32 whose fraction has ten bits, rounded, in the way of matrix units."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


rounded = {"float32": lambda x: x, "TF32": to_tf32, "float16": lambda x: x.half().float(), "bfloat16": lambda x: x.bfloat16().float()}
with torch.inference_mode():
    exact = standard_attention(q.double(), k.double(), v.double())
    error = {}
    for name, into in rounded.items():
        out = standard_attention(into(q), into(k), into(v))
        error[name] = float((out - exact).abs().max() / exact.abs().max())
        print(f"{name:>9}: off by up to {error[name]:.1e} of the largest number")

# %% [markdown]
# So **no single tolerance is right**. 1e-3 would let a float32 kernel pass that has a bug, and fail a bfloat16 kernel
# that has none. The course asks instead: is the kernel further from float64 than plain torch in the same format is?
# Three times as far, and a last bit, is allowed, since other orders of addition round differently. A bug is rarely so
# small. (`tests/attention/kernel_oracle.py`.)

# %% tags=["nbval-ignore-output"]
def distance(out, exact):
    return float((out.double() - exact).abs().max())


with torch.inference_mode():
    for dtype in (torch.float32, torch.float16):
        head = [x[:, 0].to(dtype) for x in (q, k, v)]
        one = standard_attention(*[x[:, None].double() for x in head])[:, 0]  # of the rounded inputs
        twin, kernel = standard_attention(*[x[:, None] for x in head])[:, 0], my_flash(*head)
        allowed = 3 * distance(twin, one) + torch.finfo(dtype).eps * float(one.abs().max())
        wrong = my_flash(head[0], head[1] * 1.01, head[2])  # a bug of one per cent in the scores
        print(f"{str(dtype)[6:]:>9}: torch is off by {distance(twin, one):.1e}, so {allowed:.1e} is allowed; the kernel is off by "
              f"{distance(kernel, one):.1e}, and with keys 1 % too large by {distance(wrong, one):.1e}")

# %% [markdown]
# In float32 the bug stands out by three powers of ten, in float16 by far less. That is why a kernel is tested in
# float32 first, with `ieee`, and only then in the formats it is made for.
#
# Three traps of the interpreter belong here. It ignores `input_precision`, so that TF32 shows on a GPU alone. It runs what
# no compiler takes: a `break` out of a loop, say. And NumPy has no bfloat16:

# %% tags=["nbval-ignore-output"]
ones = torch.ones(8, dtype=torch.bfloat16, device=model.device)
print("1 + 1 =", add(ones, ones)[0].item(), "in bfloat16,", "interpreted" if machine.triton == "interpreted" else "compiled")

# %% [markdown]
# The bits are added as if they were an integer. Nothing warns of it, so `course_lib` refuses bfloat16 where kernels
# are interpreted.
#
# ## Compiled, for chips that are not here
#
# Triton brings its compilers along, so that the kernel can be *compiled* for any chip, here and now, only not run.
# For tiles of 64 in float16: how much shared memory does it take, and is `tl.dot` a matrix instruction there?

# %%
predict("07.t4", "The T4, of 2018, has matrix units for float16. Does today's Triton use them for tl.dot?",
        ["Yes, on every chip that has them", "No, not on the T4"], answer=1)

# %% tags=["nbval-ignore-output"]
from course_lib.attention.kernels.compiled_for import NAMES, compile_for

half = {f"{name}_ptr": "*fp16" for name in ("q", "k", "v", "out")}
rest = {f"{name}_stride": "i32" for name in ("q", "k", "v", "out")} | {"n": "i32", "scale": "fp32"}
sizes = {"HEAD_DIM": 64, "TILE": 64}
made = compile_for(my_flash_kernel, NAMES, half | rest, sizes | {"PRECISION": "ieee"})
print(f"{'chip':>7} {'':>14} {'shared memory':>14} {'lines':>6}  matrix instructions")
for one in made:
    found = ", ".join(f"{count} x {'.'.join(name.split('.')[:2])}" for name, count in one.matrix.items()) or "none"
    print(f"{one.chip:>7} {NAMES[one.chip]:>14} {one.shared:>14,} {len(one.code.splitlines()):>6,}  {found}")

# %% [markdown]
# One source, seven machines: `mma` takes its blocks from registers, `wgmma` (Hopper) and `tcgen05` (Blackwell) can
# take them straight from shared memory, and `v_mfma` is AMD's. On the T4 (sm_75) there is none, since Triton 3.4:
# thousands of lines of single multiplications. So `course_lib` leaves prefill to torch there
# (`course_lib.attention.explain()` says so). One such line, for an H100:

# %% tags=["nbval-ignore-output"]
hopper = next(one for one in made if one.chip == "sm_90")
line = next(line for line in hopper.code.splitlines() if "wgmma.mma_async" in line)
print(line.strip()[:96], "…")
print(f"It multiplies 64 x 16 by 16 x 64 numbers; a program takes {hopper.shared:,} of {hopper.limit:,} bytes of shared memory.")

# %% [markdown]
# And float32 with its two precisions, for an A100:

# %% tags=["nbval-ignore-output"]
single = {f"{name}_ptr": "*fp32" for name in ("q", "k", "v", "out")}
for precision in ("tf32", "ieee"):
    [one] = compile_for(my_flash_kernel, ["sm_80"], single | rest, {"HEAD_DIM": 64, "TILE": 32, "PRECISION": precision})
    print(f"{precision}: {', '.join(one.matrix) or 'no matrix instruction, so plain multiply-adds'}")

# %% [markdown]
# The compiler finds what the interpreter cannot: a tile too large for a chip's shared memory, or a `tl.dot` that no
# instruction fits. The course's tests compile every kernel of the library for all seven, on a machine like this one.
# What only a GPU can tell is the rest: speed, and what a race or a wrong address does there.
#
# ## Measure: time on this machine
#
# The kernel above, torch's loop of lesson 06, and torch's own, on the same head.

# %%
predict("07.slow", "On a CPU: how long does the interpreted kernel take, compared with torch's own attention?",
        ["Up to 10 times as long", "10 to 100 times as long", "More than 100 times as long"])

# %% tags=["nbval-ignore-output"]
import time

import torch.nn.functional as F


def milliseconds(act):
    """The best of half a second's tries: others at work on this machine make some of them slow."""
    best, end = float("inf"), time.perf_counter() + 0.5
    while time.perf_counter() < end:
        begin = time.perf_counter()
        act()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 1000 * best


one = [x[:, 0].contiguous() for x in (q, k, v)]
with torch.inference_mode():
    took = {f"this kernel, {machine.triton}": milliseconds(lambda: my_flash(*one)),
            "lesson 06, a loop in torch": milliseconds(lambda: flash_attention_v2(*[x[:, None] for x in one], tile=(32, 32))),
            "torch's own (SDPA)": milliseconds(lambda: F.scaled_dot_product_attention(*[x[None, None] for x in one], is_causal=True))}
own = took["torch's own (SDPA)"]
for name, ms in took.items():
    print(f"{name:<28} {ms:8.3f} ms, {ms / own:6,.1f} times as long as torch's own")

# %% [markdown]
# The interpreter is for right and wrong, never for speed: each line of a program costs some steps of Python. (With a GPU
# your kernel was compiled, and 100 tokens are so few that all three only show what it takes to start them.)
#
# ## Measure: the same kernel on an H200
#
# The recorded run took `my_flash_kernel` out of this very notebook and compiled it. Beside it: `course_lib`'s kernel,
# and the two that torch brings along, written in CUDA by others.

# %%
predict("07.h200", "One head, 32,768 tokens, on an H200. How fast is the kernel of this lesson, beside torch's FlashAttention-2?",
        ["A tenth as fast", "Half as fast", "At least as fast"], answer=2)

# %%
from course_lib.recorded import recorded

recorded("07", 0)

# %% [markdown]
# How far does so short a kernel come, and from how many tokens on?

# %%
run = recorded("07", 0)
tokens, ways = run.column("tokens"), run.tables[0][1][1:]
looks = [("#0072B2", "-", "o"), ("#56B4E9", "--", "s"), ("#009E73", "-", "D"), ("#D55E00", ":", "^"), ("#B87C00", "-.", "v")]
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
for way, (colour, line, mark) in zip(ways, looks):
    axis.plot(tokens, run.column(way), color=colour, linestyle=line, marker=mark, label=way)
axis.set_xscale("log", base=2)
axis.set_xticks(tokens, [f"{n:,}" for n in tokens])
axis.set(title="One causal head on one H200, bfloat16", xlabel="tokens", ylabel="TFLOP/s")
axis.legend()
plt.show()

# %% [markdown]
# Two things to see. With few tokens nobody is fast: one head of 8,192 tokens is 128 tiles of 64, one for each of the
# chip's 132 multiprocessors at best, and the longest of them has 128 times the work of the shortest. `course_lib`,
# with tiles of 128, has half as many programs. A server has many heads and many requests.
#
# And the tile decides. 128 × 128 is worse than 64 × 64 here, though it loads less: Triton gives a program 4 warps,
# which are 128 threads, if nobody asks for more. Two blocks of 128 × 128 floats, scores and output, are then 256
# numbers for each thread, and it has 255 registers; the rest spills into slow memory. `course_lib` takes the same
# tile with 8 warps. Such tables are lesson 13.
#
# What the formats cost and bring, in the same kernel:

# %%
recorded("07", 1)

# %% [markdown]
# TF32 is off by about as much as the rounding above foretold, and about six times as fast as float32 itself. The 16-bit
# formats are faster still, and halve the bytes. This is why a server computes in bfloat16, and tests in float32.
#
# ## Break it
#
# First, forget a mask. In the last program of `add`, three lanes lie past the end.

# %%
@triton.jit
def careless_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets) + tl.load(y_ptr + offsets))

# %%
from textwrap import fill

from course_lib.errors import OutOfBounds

try:
    watch(lambda: careless_kernel[(3,)](x, 10 * x, torch.empty_like(x), len(x), BLOCK=8))
except OutOfBounds as error:
    print(fill(f"OutOfBounds: {error}", 110))

# %% [markdown]
# The recorder knows which tensor each pointer came from. A GPU does not: it reads what lies behind, often the next
# tensor, writes over it, and mostly nothing happens at all. Until, one day, something does: *illegal memory access*,
# at some later line. So the exercises run your kernels under the recorder.
#
# Second, a mask in the wrong place. This is `my_flash_kernel` without the causal line, for attention in both
# directions. Every load and store is masked, and nothing leaves its tensor.

# %%
@triton.jit
def both_ways_kernel(q_ptr, k_ptr, v_ptr, out_ptr, q_stride, k_stride, v_stride, out_stride, n, scale,
                     HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    rows, dims = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    mine = (rows < n)[:, None]
    q_i = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=mine, other=0.0)
    top = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for c in range(0, n, TILE):
        columns = c + tl.arange(0, TILE)
        there = (columns < n)[:, None]
        k_j = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=there, other=0.0)
        v_j = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=there, other=0.0)
        scores = tl.dot(q_i, tl.trans(k_j), input_precision="ieee") * scale
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = shrink * total + tl.sum(weights, 1)
        acc = shrink[:, None] * acc + tl.dot(weights, v_j, input_precision="ieee")
        top = new_top
    tl.store(out_ptr + rows[:, None] * out_stride + dims, acc / total[:, None], mask=mine)


def off_by(n, tile=32):
    head = [x[:n, 0].contiguous() for x in (q, k, v)]
    out = torch.empty_like(head[0])
    both_ways_kernel[(triton.cdiv(n, tile),)](*head, out, *[x.stride(0) for x in (*head, out)], n, head[0].shape[1] ** -0.5,
                                              HEAD_DIM=head[0].shape[1], TILE=tile)
    exact = standard_attention(*[x[:, None] for x in head], causal=False)[:, 0]
    return float((out - exact).abs().max() / exact.abs().max())


with torch.inference_mode():
    for n in (32, 64, 96, 95, 90, 70, 65):
        print(f"{n} tokens: off by {off_by(n):.1%} of the largest number")

# %% [markdown]
# A key past the end is loaded as zeros. Its score is 0, exp(0 − maximum) is a weight like any other, and the sum is
# too large. No error, no nan, right for every multiple of 32: whoever tests with 1,024 tokens ships it. Masking a
# load keeps the program inside its tensors. Masking a **score** keeps what is not there out of the answer. They are
# two masks.
#
# ## The same in `course_lib`

# %%
from course_lib.attention.kernels import flash

show(flash.flash_kernel)

# %%
show(flash._attend)

# %% [markdown]
# The loop is yours. Added, and why:
#
# - **Packed sequences**: one launch for many requests of any length. A program finds its sequence by a search (`find_sequence`), so that nobody
#   waits for the lengths to come to the CPU.
# - **Two walks instead of one**: only the tiles at the edge of a mask compare positions; most tiles skip that work (`tile_bounds`).
# - **Base 2**: chips have exp2 and no exp, so log₂(e) goes into the scale, once.
# - **−1e30, not −∞**, as the first maximum: a row that has seen nothing must not take −∞ from −∞.
# - **Every head at once**: a second dimension of the grid, and `head // GROUP` for grouped queries.
# - **Heads of any size** up to 256, padded to a power of two, and 64-bit addresses, for caches with more than 2³¹ numbers.
# - **Tiles by chip** (`course_lib/attention/tiles.py`), and clear errors before the launch.
#
# Which of the library's functions would run as a kernel on this machine, and why or why not:

# %% tags=["nbval-ignore-output"]
for line in explain().splitlines()[:2]:
    print(fill(line, 110, subsequent_indent=24 * " "))

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why is the loop over queries in the grid, and the loop over keys in the program?</b></summary>
#
# No tile of queries needs another, so they can run in any order, side by side. The tiles of keys of one row share a
# maximum, a sum and an output, which would have to travel through slow memory between programs. (Where there are too
# few queries to fill a GPU, in decoding, one splits the keys all the same, and merges: lesson 08.)
# </details>
#
# <details><summary><b>2. The kernel is right in the interpreter. What can still be wrong on a GPU?</b></summary>
#
# Its precision (TF32), too much shared memory for the chip, two programs that write to the same place, the order of
# which is fixed here and not there, and its speed.
# </details>
#
# <details><summary><b>3. A test asks that the output differs from torch's by less than 1e-2. What is wrong with that?</b></summary>
#
# It says nothing about the format. In float32 it lets real bugs pass; in bfloat16, over long rows or large numbers,
# it may fail a right kernel. Ask for the distance from float64, against that of plain torch in the same format.
# </details>
#
# ## Next
#
# `exercises/07_triton_flash.ipynb`: a softmax a row, attention without the causal mask and with any length, the tiles
# that it skips, and grouped heads. Each in plain torch, interpreted, and on a GPU if you have one. Then lesson 08:
# the kernel follows the block table.
