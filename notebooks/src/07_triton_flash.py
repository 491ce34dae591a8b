# %% [markdown]
# # 07 · Triton
#
# - **You will** write GPU kernels, from adding two vectors up to FlashAttention, and run them here without a GPU.
# - **Why** most of a server's time on a GPU is spent in a few kernels. This is how they are written, read and tested.
# - **Time** 60 minutes, and four and a half hours for the exercises.
# - **You need** lesson 06.
# - **After it** you can read the kernels of vLLM, and say how a wrong one shows: by an error, by wrong numbers, or by
#   its time.

# %% [markdown]
# {{colab}}

# %%
from textwrap import fill

import torch

from course_lib import guesses, load_model, predict, setup, show
from course_lib.attention import Meter, explain, flash_attention_v2, standard_attention
from course_lib.attention import record_accesses
from course_lib.kvcache import Recompute
from course_lib.viz import chart, programs_view

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
# A GPU runs thousands of threads. In Triton you do not write threads. You write one **kernel**, a function for the GPU,
# and a **launch** runs it many times, in any order, many at once. Each run is called a **program**, and the programs of
# a launch are its **grid**. Each program asks for its number, `tl.program_id(0)`, and takes its own part of the work.
#
# A program works on **blocks** of numbers: 8 of them, or 64 × 64. (These are not the blocks of the cache in lesson 04.)
# One line of the kernel adds two blocks. A **lane** is one place in a block. A tensor reaches the kernel as a
# **pointer**, the address of its first number. A pointer plus a block of offsets is a block of addresses, and `tl.load`
# reads the numbers there.
#
# The size of a block is a power of two and is fixed when the kernel is compiled (`tl.constexpr`). Vectors have any
# length. So in the last program some lanes may lie past the end. A **mask** says which lanes are real: where it is
# false, a lane reads and writes nothing.
#
# A launch is written `kernel[grid](x, ...)`. The grid is a tuple: `(3,)` is three programs. The arguments follow in
# parentheses.
#
# Two vectors of 21 numbers are to be added, 8 at a time.

# %%
predict("07.programs", "21 numbers, in blocks of 8. How many programs are needed, and how many of their lanes lie past the end?",
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
# ## Without a GPU
#
# No GPU was needed: here Triton **interprets** the kernel. The programs run one after the other, and each line is a
# step of NumPy. (`setup()` asked for it. In a script of your own, set `TRITON_INTERPRET=1` before you import Triton. On
# Colab, choose a T4 GPU under *Runtime → Change runtime type* before the first cell to have these kernels compiled.)
# It is slow, and it runs the same source. This lesson names the cases in which a GPU gives something else. `print("x",
# x)` inside a kernel shows the block of each program.
#
# An interpreter can also record what a program does. Here is what each program loads and stores; step through them.
# Lanes with grey hatching are masked: three, in the last program. (If you have a GPU, your kernels are compiled, and
# only those inside `record_accesses` are interpreted, by a second Python.)

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
# In memory a matrix is one line of numbers. Its **strides** say how many numbers it is from one row to the next, and
# from one column to the next. A view, such as every second row, has other strides and the same memory.
#
# This kernel computes a part of the bundled model, its RMSNorm: the vector of each token is divided by the root of its
# mean square, and multiplied by learned weights. (`eps`, a small number, keeps the root above 0.) One program takes one
# row, whose numbers lie side by side, and computes in float32 whatever the dtype of the input is.

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
# Three things are new. `other=0.0` says what a masked lane holds: here it must add nothing to the sum. `tl.sum(…, 0)`
# sums a block along its dimension 0. `out_ptr.dtype.element_ty` is the dtype of the output. A row is read once and
# written once, and between the two it is in registers. With separate calls for square, mean, division and product,
# torch reads a whole row from slow memory in each of them. To do several operations in one kernel is called **fusing**.
#
# ## Blocks and grids of two dimensions
#
# Attention needs blocks of two dimensions. `rows[:, None]` times the stride of a row, plus `columns[None, :]`, is a
# matrix of offsets.
#
# A grid can have two or three dimensions too. With the grid `(4, 3)`, `tl.program_id(0)` is 0 to 3 and
# `tl.program_id(1)` is 0 to 2: twelve programs, for example one for each of 4 heads and each of 3 tiles of tokens.
#
# Here are real queries, keys and values: layer 2 of the model, for a sequence of 100 tokens. The kernel below doubles
# the queries, with one program for each head and each tile of 32 tokens.

# %%
class Listening(Recompute):
    """Recompute that keeps the queries, keys and values of each layer."""

    def __init__(self):
        self.heard = []

    def attend(self, layer, q, k, v):
        self.heard.append((q, k, v))
        return super().attend(layer, q, k, v)


sequence = (ids + tokenizer.encode(" The otter looked at the water and waited for the morning.")[1:] * 20)[:100]
listening = Listening()
with torch.inference_mode():
    model(torch.tensor(sequence, device=model.device), torch.arange(len(sequence), device=model.device), listening)
q, k, v = listening.heard[2]
print(f"q: {list(q.shape)} with strides {q.stride()}; k and v: {list(k.shape)} with strides {k.stride()}")

# %%
@triton.jit
def double_kernel(x_ptr, out_ptr, n, token_stride, head_stride, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)
    where = head * head_stride + rows[:, None] * token_stride + dims[None, :]  # [TILE, HEAD_DIM] offsets
    x = tl.load(x_ptr + where, mask=(rows < n)[:, None], other=0.0)
    tl.store(out_ptr + where, 2 * x, mask=(rows < n)[:, None])


def double(x):
    (n, heads, head_dim), out = x.shape, torch.empty_like(x)
    double_kernel[(heads, triton.cdiv(n, 32))](x, out, n, x.stride(0), x.stride(1), HEAD_DIM=head_dim, TILE=32)
    return out


log = watch(lambda: double(q))
print("doubled:", torch.equal(double(q), 2 * q), "· grid", log.launches[0].grid)
for program in ((0, 0), (0, 3), (2, 0)):
    [load] = log.only(program=program, op="load")
    print(f"program {program} loads {int(load.mask.sum()):>5,} numbers, the first at offset {load.elements[0]:>6,}")

# %% [markdown]
# Program (0, 3) has the last 4 tokens, 4 × 64 numbers, and program (2, 0) begins at head 2.
#
# `tl.dot` multiplies two blocks, on most chips by **matrix instructions**. These have fixed sizes, so Triton wants 16
# numbers or more in the dimension that is summed. The interpreter multiplies blocks of any size; the compiler
# refuses smaller ones. `compile_for` asks the compiler, without a GPU. It takes a kernel, chips (`sm_90` is the H100),
# the type of each argument (`*fp16`: a pointer to float16) and the constants. In the compiler's words M × K is
# multiplied by K × N:

# %%
from course_lib.attention.kernels.compiled_for import NAMES, compile_for
from course_lib.errors import ParameterError


@triton.jit
def square_kernel(x_ptr, TILE: tl.constexpr):
    where = tl.arange(0, TILE)[:, None] * TILE + tl.arange(0, TILE)[None, :]
    x = tl.load(x_ptr + where)
    tl.store(x_ptr + where, tl.dot(x, x))


for tile in (8, 16):
    try:
        compile_for(square_kernel, ["sm_90"], {"x_ptr": "*fp16"}, {"TILE": tile})
        print(f"TILE={tile} compiles for an H100")
    except ParameterError as error:
        print(fill(f"TILE={tile}: {error}", 110))

# %% [markdown]
# ## Build it: FlashAttention
#
# Now `my_flash` of lesson 06, line by line. The loop over tiles of queries becomes the grid, because no tile of queries
# needs another. The loop over tiles of keys stays in the program, because the online softmax goes from one tile to the
# next. (`input_precision` is explained under *What a number holds*.)
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
    m_i = tl.full([TILE], float("-inf"), tl.float32)
    l_i = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for c in range(0, first + TILE, TILE):  # keys at positions after the last query are not loaded
        columns = c + tl.arange(0, TILE)
        there = (columns < n)[:, None]
        k_j = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=there, other=0.0)
        v_j = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=there, other=0.0)
        scores = tl.dot(q_i, tl.trans(k_j), input_precision=PRECISION) * scale
        scores = tl.where(columns[None, :] <= rows[:, None], scores, float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = alpha * l_i + tl.sum(weights, 1)
        acc = alpha[:, None] * acc + tl.dot(weights.to(v_j.dtype), v_j, input_precision=PRECISION)
        m_i = new_m
    out = (acc / l_i[:, None]).to(out_ptr.dtype.element_ty)
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
# 100 tokens are four tiles, so four programs work on one head, and the last one loads all four tiles of keys.
#
# `m_i`, `l_i` and `acc` are in **registers** and shared memory, the fast memory of lesson 06, from the first tile to
# the last, where they fit (see *Measure*). The kernel does not say so: what is not stored stays inside the program.
#
# The scores have no mask for the columns past the end. These come after every row that is stored, so the causal mask
# hides them. Without a causal mask they need a mask of their own; *Break it* shows what happens.
#
# ## See it
#
# 64 tokens in tiles of 16: four programs. Step through them.

# %%
short = [x[:64, 0] for x in (q, k, v)]
log = watch(lambda: my_flash(*short, tile=16))
programs_view(log)

# %% [markdown]
# Later rows see more keys, so later programs load more. How unequal are the programs of one launch? And does the
# `Meter` of lesson 06 count the same bytes, for the same algorithm in plain torch?

# %%
meter = Meter()
flash_attention_v2(*[x[:, None] for x in short], tile=(16, 16), meter=meter)
print(f"the kernel loads {log.bytes_read:,} bytes and stores {log.bytes_written:,}")
print(f"lesson 06 counts {meter.bytes_read:,} bytes read and {meter.written['out']:,} of output written")
programs = [(i,) for i in range(4)]
loads = {name: [log.only(program=p, tensor=name).bytes_read for p in programs] for name in ("q", "k", "v")}
chart("Bytes loaded by each program of 64 tokens in tiles of 16",
      {name: ([str(i) for i in range(4)], loads[name]) for name in loads},
      x="program", y="bytes loaded", kind="stacked")

# %% [markdown]
# Both counts are the same. (Lesson 06 also writes lse, which this kernel does not store.) The last program loads four
# times as many keys as the first. On a GPU with fewer multiprocessors than programs it matters which program starts
# when: `course_lib`'s kernel starts the longest first, so that short ones run at the end.
#
# ## What a number holds
#
# A kernel gives *nearly* the right numbers: is it wrong, or is that rounding? To decide it, one must know what the
# format loses. A float has one bit for its sign, an exponent for its size, and a fraction for its digits. The table has
# the bits of each, and the least number above 1.

# %%
formats = {"float32": (8, 23), "TF32": (8, 10), "float16": (5, 10), "bfloat16": (8, 7)}
print(f"{'':>9} {'bits':>5} {'exponent':>9} {'fraction':>9} {'1 + the smallest step':>22} {'largest':>9}")
for name, (exponent, fraction) in formats.items():
    largest = (2 - 2.0 ** -fraction) * 2.0 ** (2 ** (exponent - 1) - 1)
    print(f"{name:>9} {1 + exponent + fraction:>5} {exponent:>9} {fraction:>9} {1 + 2.0 ** -fraction:>22.8f} {largest:>9.1e}")

# %% [markdown]
# **float16** has more digits than **bfloat16**, and a smaller range: its largest number is 65,504 (6.6e+04 in the
# table).
#
# **TF32** is no format to store. It is what NVIDIA's matrix units make of a float32 before they multiply: they use 10
# of the 23 bits of its fraction. So an A100 reaches 156 TFLOP/s; without matrix units it has 19.5 in float32 (its data
# sheet). Triton's `tl.dot` does this with float32 blocks, unless it gets `input_precision="ieee"`. The products are
# added in float32. Here is the loss by itself. (The cell rounds to 10 bits; a chip may cut the other bits off instead.)

# %%
def to_tf32(x):
    """float32 with its fraction rounded to 10 bits, as matrix units do before they multiply."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


for number in (1 + 2.0 ** -10, 1 + 2.0 ** -12, 3.14159265):
    print(f"{number:.8f} becomes {to_tf32(torch.tensor([number])).item():.8f}")
a, b = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)), torch.rand(64, 64, generator=torch.Generator().manual_seed(1))
exact = a.double() @ b.double()
for name, product in (("float32", a @ b), ("TF32", to_tf32(a) @ to_tf32(b))):
    print(f"{name:>8}: a product of two 64 x 64 matrices is off by up to {float((product - exact).abs().max() / exact.max()):.1e} of its largest number")

# %% [markdown]
# TF32 loses hundreds of times as much as float32. What does each format cost in attention? The exact answer is
# attention in float64.

# %%
predict("07.formats", "Attention over 100 tokens, with q, k and v rounded to each format. Which is furthest from float64?",
        ["TF32", "float16", "bfloat16"], answer=2)

# %% tags=["nbval-ignore-output"]
rounded = {"float32": lambda x: x, "TF32": to_tf32, "float16": lambda x: x.half().float(), "bfloat16": lambda x: x.bfloat16().float()}
with torch.inference_mode():
    exact = standard_attention(q.double(), k.double(), v.double())
    error = {}
    for name, into in rounded.items():
        out = standard_attention(into(q), into(k), into(v))
        error[name] = float((out - exact).abs().max() / exact.abs().max())
        print(f"{name:>9}: off by up to {error[name]:.1e} of the largest number")

# %% [markdown]
# So **no single tolerance fits all formats**. 1e-3 is hundreds of times what float32 loses here, so a small bug passes;
# and it fails a bfloat16 kernel that has none. The course asks instead: is the kernel further from float64 than plain
# torch in the same format is? Three times as far is allowed, plus one smallest step of the format times the largest
# number, because other orders of addition round differently (`tests/attention/kernel_oracle.py`). The distances below
# are not divided by the largest number:

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
# Compare the last number of each line with what is allowed: in float32 the bug is far above it, in float16 only a
# little. So a kernel is tested in float32 first, with `ieee`, and then in the formats it is made for.
#
# In two ways the interpreter's arithmetic differs from a GPU's. It ignores `input_precision`, so TF32 shows only on a
# GPU. And NumPy has no bfloat16, as the next cell shows. (It also runs Python that no compiler takes: a `break`, or a
# global number. The exercises ask the compiler too.)

# %% tags=["nbval-ignore-output"]
ones = torch.ones(8, dtype=torch.bfloat16, device=model.device)
print("1 + 1 =", add(ones, ones)[0].item(), "in bfloat16,", "interpreted" if machine.triton == "interpreted" else "compiled")

# %% [markdown]
# Interpreted, the bits are added as if they were an integer, and no error is raised. So `course_lib` refuses bfloat16
# where kernels are interpreted.
#
# ## Compiled, for chips that are not here
#
# Triton has its compilers in the package, so a kernel can be *compiled* for a chip that is not here. It cannot be run.
# For tiles of 64 in float16: how many bytes of shared memory does a program take, how many lines has the compiled code,
# and which matrix instructions stand in it, how often?

# %%
predict("07.t4", "The T4, of 2018, has matrix units for float16. Does today's Triton use them for tl.dot?",
        ["Yes, on every chip that has them", "No, not on the T4"], answer=1)

# %% tags=["nbval-ignore-output"]
half = {f"{name}_ptr": "*fp16" for name in ("q", "k", "v", "out")}
rest = {f"{name}_stride": "i32" for name in ("q", "k", "v", "out")} | {"n": "i32", "scale": "fp32"}
sizes = {"HEAD_DIM": 64, "TILE": 64}
made = compile_for(my_flash_kernel, NAMES, half | rest, sizes | {"PRECISION": "ieee"})
print(f"{'chip':>7} {'':>14} {'shared memory':>14} {'lines':>6}  matrix instructions")
for one in made:
    found = ", ".join(f"{count} x {'.'.join(name.split('.')[:2])}" for name, count in one.matrix.items()) or "none"
    print(f"{one.chip:>7} {NAMES[one.chip]:>14} {one.shared:>14,} {len(one.code.splitlines()):>6,}  {found}")

# %% [markdown]
# `mma` takes its blocks from registers; `wgmma` (H100) and `tcgen05` (B200) can take them from shared memory; `v_mfma`
# is AMD's. The code for the T4 (sm_75) has no such instruction: since version 3.4, Triton makes plain multiply-adds of
# `tl.dot` there. So `course_lib` leaves prefill to torch on a T4 (`course_lib.attention.explain()` says so). One of the
# matrix instructions for an H100:

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
# The compiler tells what the interpreter cannot: how much shared memory a tile takes, and that a `tl.dot` is too small.
# The course's tests compile the library's attention kernels for all seven chips. (One more kernel is for the H100 and
# H200 alone: lesson 13.)
#
# ## Four more things to know of a GPU
#
# **Coalescing.** A GPU reads memory in pieces of 32 bytes. Lanes that read neighbouring numbers share a piece; lanes
# that read numbers far from each other need a piece each, and most of its bytes are thrown away. How many pieces do 32
# lanes of float32 need?

# %%
@triton.jit
def strided_kernel(x_ptr, out_ptr, stride, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    tl.store(out_ptr + lanes, tl.load(x_ptr + lanes * stride))


numbers = torch.zeros(32 * 64, device=model.device)
for stride in (1, 2, 8, 64):
    log = watch(lambda: strided_kernel[(1,)](numbers, torch.empty(32, device=model.device), stride, BLOCK=32))
    [load] = log.only(op="load")
    pieces = len({int(offset) // 8 for offset in load.offsets})  # 8 numbers of 4 bytes
    print(f"stride {stride:>2}: {pieces:>2} pieces, {32 * pieces:>5,} bytes for 128 that are used")

# %% [markdown]
# So neighbouring lanes should read neighbouring numbers. `my_flash_kernel` does: along `dims[None, :]` the stride is 1.
#
# **Two programs that write one place.** The interpreter runs the programs in order, so the last one always wins. On a
# GPU the order is not fixed. The recorder can run them in other orders, and it sees every store:

# %%
from course_lib.attention.recording.clashes import clashes


@triton.jit
def last_kernel(out_ptr):
    tl.store(out_ptr, tl.program_id(0))


for order in ("in order", "reversed", "shuffled"):
    out = torch.zeros(1, dtype=torch.int32, device=model.device)
    with record_accesses(order=order) as log:
        last_kernel[(4,)](out)
    print(f"{order:>9}: {out.item()}")
print(clashes(log)[0])

# %% [markdown]
# A sum over programs that loads, adds and stores has the same fault, though every order gives the right sum here: on a
# GPU two programs can load the same old number at the same time. `tl.atomic_add` adds without that. Better, each
# program writes a place of its own.
#
# **Pipelining.** While a program computes a tile, the next tiles can already be on their way from slow memory.
# `num_stages` says how many tiles are held at a time: with more stages a program can wait less, and takes more shared
# memory. It is given at the launch, `kernel[grid](…, num_stages=3)`. (In the table of chips above it is 2.)

# %% tags=["nbval-ignore-output"]
for stages in (1, 2, 3, 4):
    [one] = compile_for(my_flash_kernel, ["sm_90"], half | rest, sizes | {"PRECISION": "ieee"}, num_stages=stages)
    print(f"num_stages={stages}: {one.shared:>7,} of {one.limit:,} bytes of shared memory")

# %% [markdown]
# Each stage more is 16,384 bytes: a tile of keys and a tile of values, of 64 × 64 × 2 bytes each.
#
# **Autotuning.** The best tile, `num_warps` (how many warps, of 32 threads each, run a program) and `num_stages` depend
# on the chip and on the sizes. `@triton.autotune(configs=[triton.Config({"TILE": 64}, num_warps=4, num_stages=3), …],
# key=["n"])` above a kernel measures each configuration on the GPU when the kernel is first called with a new `n`, and
# keeps the fastest. `course_lib` has tables instead, measured once (`course_lib/attention/tiles.py`), so that no
# request has to wait for a measurement.
#
# ## Measure: time on this machine
#
# `my_flash` of this lesson, the loop in torch of lesson 06, and torch's own attention, on the same head of 100 tokens.

# %%
predict("07.slow", "On a CPU: how long does the interpreted kernel take, compared with torch's own attention?",
        ["Up to 10 times as long", "10 to 100 times as long", "More than 100 times as long"])

# %% tags=["nbval-ignore-output"]
import torch.nn.functional as F
from torch.utils.benchmark import Timer


def milliseconds(act):
    """The best of its runs: what else runs on this machine makes some of them slow."""
    timer = Timer("act()", globals={"act": act}, num_threads=torch.get_num_threads())
    return 1000 * min(timer.blocked_autorange(min_run_time=0.2).times)


one = [x[:, 0].contiguous() for x in (q, k, v)]
with torch.inference_mode():
    took = {f"this kernel, {machine.triton}": milliseconds(lambda: my_flash(*one)),
            "lesson 06, a loop in torch": milliseconds(lambda: flash_attention_v2(*[x[:, None] for x in one], tile=(32, 32))),
            "torch's own (SDPA)": milliseconds(lambda: F.scaled_dot_product_attention(*[x[None, None] for x in one], is_causal=True))}
own = took["torch's own (SDPA)"]
for name, ms in took.items():
    print(f"{name:<28} {ms:8.3f} ms, {ms / own:6,.1f} times as long as torch's own")

# %% [markdown]
# The interpreter tells right from wrong; its time says nothing about a GPU, because each line of a program costs some
# steps of Python. (With a GPU your kernel was compiled, and 100 tokens are so few that starting the kernels takes most
# of the time.)
#
# ## Measure: the same kernel on an H200
#
# The recorded run took `my_flash_kernel` from this notebook and compiled it. Beside it: `course_lib`'s kernel in Triton,
# and the two that torch brings along, FlashAttention-2 and cuDNN's. Others wrote them in CUDA, NVIDIA's language for
# kernels.

# %%
predict("07.h200", "One head, 32,768 tokens, on an H200. How fast is the kernel of this lesson, beside torch's FlashAttention-2?",
        ["A tenth as fast", "Half as fast", "At least as fast"], answer=2)

# %%
from course_lib.recorded import recorded

recorded("07", 0)

# %% [markdown]
# How fast is this short kernel, and from how many tokens on?

# %%
run = recorded("07", 0)
tokens, ways = run.column("tokens"), run.tables[0][1][1:]
chart("One causal head on one H200, bfloat16",
      {way: {"x": [f"{n:,.0f}" for n in tokens], "y": run.column(way), "mine": way == ways[0]} for way in ways},
      x="tokens", y="speed", y_unit="TFLOP/s")

# %% [markdown]
# From 32,768 tokens on, the lesson's kernel with tiles of 64 is faster than FlashAttention-2, and slower than
# `course_lib` and cuDNN. With few tokens all of them are slow: one head of 8,192 tokens is 128 tiles of 64 rows, at
# best one for each of the chip's 132 multiprocessors, and the last of these programs has 128 tiles of keys where the
# first has one. `course_lib`, with tiles of 128 rows, has half as many programs. A server has many heads and many
# requests.
#
# The tile of 128 × 128 is slower here than 64 × 64, though it loads fewer bytes. A program has 4 warps, which are 128
# threads, unless one asks for more. Two blocks of 128 × 128 floats, scores and output, are 256 numbers for each thread,
# and a thread has 255 registers. The rest is kept in slow memory ("spilled"). `course_lib` takes the same tile with 8
# warps. Lesson 13 has a table of tiles for each chip.
#
# The formats in the same kernel:

# %%
recorded("07", 1)

# %% [markdown]
# TF32 is off by nearly 1 part in 1,000, which is about its smallest step (the table of formats). It is about six times
# as fast as float32 with `ieee`. The 16-bit formats are faster still, and have half the bytes.
#
# ## Break it
#
# First, a mask is left out. In the last program of `add`, three lanes lie past the end.

# %%
@triton.jit
def careless_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets) + tl.load(y_ptr + offsets))

# %%
from course_lib.errors import OutOfBounds

try:
    watch(lambda: careless_kernel[(3,)](x, 10 * x, torch.empty_like(x), len(x), BLOCK=8))
except OutOfBounds as error:
    print(fill(f"OutOfBounds: {error}", 110))

# %% [markdown]
# The recorder knows which tensor each pointer came from. A GPU does not: it reads and overwrites whatever lies after
# the tensor, often another tensor, and reports nothing. If the address belongs to no memory at all, it reports *illegal
# memory access*, at some later line. So the exercises run your kernels under the recorder.
#
# Second, the mask of the scores is left out. This is `my_flash_kernel` without the causal line, for attention in both
# directions: its loop takes all tiles of keys. Every load and store is masked, and no access is outside of its tensor.

# %%
@triton.jit
def both_ways_kernel(q_ptr, k_ptr, v_ptr, out_ptr, q_stride, k_stride, v_stride, out_stride, n, scale,
                     HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    rows, dims = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    mine = (rows < n)[:, None]
    q_i = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=mine, other=0.0)
    m_i = tl.full([TILE], float("-inf"), tl.float32)
    l_i = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for c in range(0, n, TILE):
        columns = c + tl.arange(0, TILE)
        there = (columns < n)[:, None]
        k_j = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=there, other=0.0)
        v_j = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=there, other=0.0)
        scores = tl.dot(q_i, tl.trans(k_j), input_precision="ieee") * scale
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = alpha * l_i + tl.sum(weights, 1)
        acc = alpha[:, None] * acc + tl.dot(weights, v_j, input_precision="ieee")
        m_i = new_m
    tl.store(out_ptr + rows[:, None] * out_stride + dims, acc / l_i[:, None], mask=mine)


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
# A key past the end is loaded as zeros. Its score is 0, exp(0 − maximum) is a weight, and the sum is too large. There
# is no error and no nan. Where n is a multiple of 32 no key lies past the end, and the output is right: a test with
# 1,024 tokens would pass. A mask on a **load** keeps the program inside its tensors. A mask on a **score** keeps keys
# that do not exist out of the output. Both are needed.
#
# ## The same in `course_lib`
#
# `fold` is the step of the online softmax, and `visible` is the mask. `_attend` is the loop over tiles of keys that
# calls both; `BLOCK_N` is its tile of keys. (`DOT=False` is for decoding: lesson 08.) What is new against
# `my_flash_kernel` is listed below.

# %%
from course_lib.attention.kernels import flash
from course_lib.attention.kernels.online import fold, visible

show(fold)

# %%
show(visible)

# %%
show(flash._attend)

# %% [markdown]
# Added, and why:
#
# - **Packed sequences**: one launch for many requests of any length. The lengths stay on the GPU, where each program
#   searches for its sequence (`find_sequence`).
# - **The loop runs twice**, with `MASKED` and without: only the tiles at the edge of a mask compare positions
#   (`tile_bounds` says which).
# - **Base 2**: chips have exp2 and no exp, so the scale is multiplied by log₂(e) (`to_base_2`).
# - **−1e30, not −∞**, as the first maximum: for a row that has seen no key, −∞ − (−∞) would be nan.
# - **Every head at once**: a second dimension of the grid, and `head // GROUP` for grouped queries.
# - **Heads of any size** up to 256, padded to a power of two, and 64-bit addresses, for caches with more than 2³¹
#   numbers.
# - **Tiles by chip** (`course_lib/attention/tiles.py`), and clear errors before the launch.
#
# Two of the library's functions: what would each run as on this machine, and why?

# %% tags=["nbval-ignore-output"]
for line in explain().splitlines()[:2]:
    print(fill(line, 110, subsequent_indent=24 * " "))

# %% [markdown]
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("07")

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
# Its precision (TF32), what the compiler refuses, too much shared memory for the chip, two programs that write to the
# same place, and its speed.
# </details>
#
# <details><summary><b>3. A test asks that the output differs from torch's by less than 1e-2. What is wrong with that?</b></summary>
#
# It says nothing about the format. In float32 it lets bugs pass that are thousands of times the rounding; in bfloat16,
# over long rows or large numbers, it may fail a right kernel. Ask for the distance from float64, against that of plain
# torch in the same format.
# </details>
#
# ## Next
#
# [exercises/07_triton_flash.ipynb](../exercises/07_triton_flash.ipynb): a softmax a row, attention without the causal
# mask and with any length, causal attention that skips tiles, and grouped heads. Each in plain torch, interpreted, and
# on a GPU if you have one. In lesson 08 the kernel follows the block table.
