# %% [markdown]
# # Exercises 07 · Triton, up to FlashAttention
#
# Four kernels, each a step further: a softmax a row, attention in tiles, the causal mask that skips tiles, and query
# heads that share keys and values.
#
# Each can be written on three **rungs**, and one set of cases checks them all:
#
# 1. **Plain torch**, inside the function. Where Triton is absent (macOS, Windows) this is all, and it is complete in itself.
# 2. **A Triton kernel**, launched from the same function and interpreted: no GPU needed. An access outside of its tensor is stopped, and
#    the check says at which offsets.
# 3. **The same kernel, compiled**, where there is a GPU. A few cases are interpreted there as well, by a second Python: a GPU would not
#    notice an access outside.
#
# The check says on which rung it saw your function, and what it could not verify on this machine. Take rung 1 first.
# Then write the kernel above the function, and launch it instead. The kernel's arguments are a proposal; change them
# as you like. To look inside, put `print("x", x)` into a kernel: interpreted, it shows the block of each program.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import check, hint, load_model, progress, setup
from course_lib.practice.play import here, qkv

machine = setup(quiet=True)  # before Triton: it says whether kernels are compiled or interpreted

try:
    import triton
    import triton.language as tl
except ImportError:  # not on this system: kernels can be written down, and not run
    from course_lib.practice.play import tl, triton

# %% [markdown]
# ## 07.row_softmax · A row a program
#
# `x` is `[rows, columns]`, of float32 or float16, and may be a view with any strides. Return a new tensor of the same
# shape and dtype: the softmax of each row, computed in float32. A score of -inf weighs nothing, and a row that is
# -inf throughout gives zeros.
#
#     row_softmax(torch.tensor([[0., 0.], [1., -inf]]))  ->  [[0.5, 0.5], [1., 0.]]
#
# As a kernel: one program a row, and a block of `triton.next_power_of_2(columns)` lanes.

# %% nbgrader={"grade_id": "row_softmax", "solution": true} course={"exercise": "07.row_softmax"}
@triton.jit
def softmax_kernel(x_ptr, out_ptr, row_stride, column_stride, columns, BLOCK: tl.constexpr):
    """One program a row. row_stride, column_stride: of x; the result's rows lie side by side."""
    ### BEGIN SOLUTION
    row, offsets = tl.program_id(0), tl.arange(0, BLOCK)
    inside = offsets < columns
    x = tl.load(x_ptr + row * row_stride + offsets * column_stride, mask=inside, other=-float("inf")).to(tl.float32)
    high = tl.max(x, 0)
    weights = tl.exp(x - tl.where(high == -float("inf"), 0.0, high))  # of a row that is masked as a whole: exp(-inf) = 0
    total = tl.sum(weights, 0)
    out = weights / tl.where(total == 0, 1.0, total)
    tl.store(out_ptr + row * columns + offsets, out.to(out_ptr.dtype.element_ty), mask=inside)
    ### END SOLUTION


def row_softmax(x):
    """The softmax of each row. x: float [rows, columns], any strides. Returns a new tensor of its shape and dtype."""
    ### BEGIN SOLUTION
    rows, columns = x.shape
    out = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    softmax_kernel[(rows,)](x, out, x.stride(0), x.stride(1), columns, BLOCK=triton.next_power_of_2(columns))
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "row_softmax-check", "grade": true, "points": 2}
check("07.row_softmax", row_softmax)

# %% [markdown]
# What your programs load and store, for a slice of a wider tensor. Step through them: hatched lanes are masked.

# %% tags=["raises-exception"]
from course_lib.attention import record_accesses
from course_lib.viz import programs_view


def watch(act):
    """The log of all that the kernels inside load and store; None where there are none."""
    if machine.triton == "absent":
        print("Loads and stores can be watched where there is Triton.")
        return None
    with record_accesses() as log:
        act()
    if not log.launches:
        print("No kernel was launched: this is rung 1.")
        return None
    return log


wide = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
log = watch(lambda: row_softmax(here(wide[:, 2:13])))
programs_view(log) if log else None

# %% [markdown]
# The masked lanes of a store would lie in the next row, which another program writes. In vLLM, a kernel of this kind,
# softmax and top-k in one, chooses the experts of a mixture model (`csrc/moe/topk_softmax_kernels.cu`). Attention
# kernels hold many rows in a program, and never a whole row at once: that is next.
#
# ## 07.flash_kernel · Attention in tiles
#
# `q` is `[n, heads, head_dim]`, `k` and `v` are `[m, heads, head_dim]`, m being 1 or more; all of them contiguous, in
# float32 or float16. Every query sees every key, and scores are divided by √head_dim. Return the output, as `q`.
# `tile` says how many queries, and how many keys, a program takes at a time. `tile` and `head_dim` are powers of two
# from 16 on; n and m are anything.
#
#     q, k, v = qkv(20, 33, heads=2, kv_heads=2, head_dim=16)
#     flash(q, k, v, tile=16).shape  ->  [20, 2, 16], from a grid of (2, 2) programs
#
# Never hold the n × m scores of a head: those of one tile at a time. That is 06.flash_forward, whose outer loops
# become the grid.

# %% nbgrader={"grade_id": "flash_kernel", "solution": true} course={"exercise": "07.flash_kernel"}
@triton.jit
def flash_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, token_stride, scale, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    """One program a head and tile of queries. token_stride: numbers from one token to the next."""
    ### BEGIN SOLUTION
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    mine = rows[:, None] * token_stride + dims[None, :]
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -float("inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, m, TILE):
        columns = start + tl.arange(0, TILE)
        theirs = columns[:, None] * token_stride + dims[None, :]
        k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where((columns < m)[None, :], scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)  # what was summed under the old maximum
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / total[:, None]
    tl.store(out_ptr + mine, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])
    ### END SOLUTION


def flash(q, k, v, tile):
    """Attention, every query over all keys. q: [n, heads, head_dim]; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
    ### BEGIN SOLUTION
    n, heads, head_dim = q.shape
    out = torch.empty_like(q)
    grid = heads, triton.cdiv(n, tile)
    flash_kernel[grid](q, k, v, out, n, len(k), heads * head_dim, head_dim ** -0.5, HEAD_DIM=head_dim, TILE=tile)
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "flash_kernel-check", "grade": true, "points": 3}
check("07.flash_kernel", flash)

# %% [markdown]
# The bytes that your kernel loads and stores for 64 queries and 64 keys of one head, by the size of the tile:

# %% tags=["raises-exception"]
for tile in (16, 32, 64):
    log = watch(lambda: flash(*here(*qkv(64, 64, head_dim=16)), tile=tile))
    if log:
        programs = len(log.launches[0].programs)
        print(f"tiles of {tile}, grid of {programs}: {log.bytes_read:>7,} bytes loaded, {log.bytes_written:,} stored")

# %% [markdown]
# Twice the tile, half as many programs that each load all of k and v: the rule of lesson 06, counted in a kernel of
# yours. In `course_lib` a table says which tile is best on which GPU (`course_lib/attention/tiles.py`). vLLM keeps
# such tables too, for its kernels for experts (`fused_moe/configs`).
#
# ## 07.causal_skip · Half of the tiles
#
# As before, but causal. The queries are the last of the m tokens: row i stands at position m - n + i, and sees keys
# up to its own position. So n = m is a prompt, and n = 1 a decode step. A row that sees no key (n > m) gives zeros.
#
# A tile in which no row sees any key must not be loaded at all. The check puts nan there: 0 times nan is nan, so
# masking is not enough.

# %% nbgrader={"grade_id": "causal_skip", "solution": true} course={"exercise": "07.causal_skip"}
@triton.jit
def causal_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, token_stride, scale, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    """As before; the loop over keys ends with the last key that any of its rows sees."""
    ### BEGIN SOLUTION
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    positions = m - n + rows
    mine = rows[:, None] * token_stride + dims[None, :]
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -1e30, tl.float32)  # not -inf: a row that has seen nothing yet would take -inf from -inf
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    end = tl.minimum(m, m - n + first + TILE)  # from here on, all keys come after all queries of the tile
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        theirs = columns[:, None] * token_stride + dims[None, :]
        k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = (columns[None, :] <= positions[:, None]) & (columns < m)[None, :]
        scores = tl.where(seen, scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / tl.where(total > 0, total, 1.0)[:, None]  # 0 for a row that sees no key
    tl.store(out_ptr + mine, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])
    ### END SOLUTION


def flash_causal(q, k, v, tile):
    """Causal attention. q: [n, heads, head_dim], the last n of m tokens; k, v: [m, heads, head_dim]; contiguous. Returns as q."""
    ### BEGIN SOLUTION
    n, heads, head_dim = q.shape
    out = torch.empty_like(q)
    grid = heads, triton.cdiv(n, tile)
    causal_kernel[grid](q, k, v, out, n, len(k), heads * head_dim, head_dim ** -0.5, HEAD_DIM=head_dim, TILE=tile)
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "causal_skip-check", "grade": true, "points": 3}
check("07.causal_skip", flash_causal)

# %% [markdown]
# With the mask and without, on the same 64 tokens: first the bytes, then which program loads which keys.

# %% tags=["raises-exception"]
for attention in (flash, flash_causal):
    log = watch(lambda: attention(*here(*qkv(64, 64, head_dim=16)), tile=16))
    if log:
        print(f"{attention.__name__:>12}: {log.read['k'] + log.read['v']:>6,} bytes of keys and values")
programs_view(log, tensors=["q", "k", "v", "out"]) if log else None

# %% [markdown]
# Later programs have more to do. The library's kernel starts those first, so that no multiprocessor is left with a
# long one at the end.
#
# ## 07.grouped_query · Query heads that share
#
# As before, but k and v are `[m, kv_heads, head_dim]`, and `heads` is a multiple of `kv_heads`. With 4 query heads
# over 2 KV heads, heads 0 and 1 use KV head 0, and heads 2 and 3 use KV head 1. The last dimension of q, k and v lies
# side by side; the strides of the others are anything, and of each tensor its own. Read `k` and `v` where they lie: they are
# copied neither for each query head nor into one piece.
#
# This is what every model of the last years needs, the bundled one too.

# %% nbgrader={"grade_id": "grouped_query", "solution": true} course={"exercise": "07.grouped_query"}
@triton.jit
def grouped_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, scale, q_stride, q_head, k_stride, k_head, v_stride, v_head,
                   out_stride, out_head, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    """Two strides a tensor: to the next token, and to the next head."""
    ### BEGIN SOLUTION
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    q_ptr += head * q_head
    k_ptr += head // GROUP * k_head  # query heads of one group stand beside each other
    v_ptr += head // GROUP * v_head
    q = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=(rows < n)[:, None], other=0.0)
    high = tl.full([TILE], -1e30, tl.float32)
    total = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, tl.minimum(m, m - n + first + TILE), TILE):
        columns = start + tl.arange(0, TILE)
        inside = (columns < m)[:, None]
        k = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=inside, other=0.0)
        v = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=inside, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = (columns[None, :] <= (m - n + rows)[:, None]) & (columns < m)[None, :]
        scores = tl.where(seen, scores, -float("inf"))
        new_high = tl.maximum(high, tl.max(scores, 1))
        weights = tl.exp(scores - new_high[:, None])
        shrink = tl.exp(high - new_high)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        high = new_high
    out = acc / tl.where(total > 0, total, 1.0)[:, None]
    place = out_ptr + head * out_head + rows[:, None] * out_stride + dims
    tl.store(place, out.to(out_ptr.dtype.element_ty), mask=(rows < n)[:, None])
    ### END SOLUTION


def flash_grouped(q, k, v, tile):
    """Causal attention, heads in groups. q: [n, heads, head_dim]; k, v: [m, kv_heads, head_dim]; strided. Returns as q."""
    ### BEGIN SOLUTION
    n, heads, head_dim = q.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    grid = heads, triton.cdiv(n, tile)
    grouped_kernel[grid](q, k, v, out, n, len(k), head_dim ** -0.5, q.stride(0), q.stride(1), k.stride(0), k.stride(1),
                         v.stride(0), v.stride(1), out.stride(0), out.stride(1),
                         GROUP=heads // k.shape[1], HEAD_DIM=head_dim, TILE=tile)
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "grouped_query-check", "grade": true, "points": 3}
check("07.grouped_query", flash_grouped)

# %% [markdown]
# Your attention inside the bundled model, behind the door where `Recompute` stood. All of its layers now run on it:

# %% tags=["raises-exception"]
from course_lib.kvcache import Recompute


class Mine(Recompute):
    def attend(self, layer, q, k, v):
        return flash_grouped(q, k, v, tile=16)


model, tokenizer = load_model("tale", dtype=torch.float32)
ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
arguments = torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device)
with torch.inference_mode():
    mine, theirs = (model(*arguments, door)[-1] for door in (Mine(), Recompute()))
print("the same next token:", int(mine.argmax()) == int(theirs.argmax()))
print("largest difference of a logit below 0.001:", bool((mine - theirs).abs().max() < 1e-3))

# %% [markdown]
# In a server, keys and values do not lie side by side: a block table says where they are. Lesson 08 lets the kernel
# follow it.
#
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
