# %% [markdown]
# # Exercises 07 · Triton, up to FlashAttention
#
# Four kernels, each a step further: a softmax a row, attention in tiles, the causal mask that skips tiles, and query
# heads that share keys and values.
#
# Each can be written on three **rungs**, and one set of cases checks them all:
#
# 1. **Plain torch**, inside the function. Where Triton is absent (macOS, Windows) this is all, and it is complete in
#    itself.
# 2. **A Triton kernel**, launched from the same function and interpreted: no GPU is needed. An access outside of its
#    tensor is stopped, and the check says at which offsets. Where the mask of a load is false and it has no `other`, a
#    lane is nan: on a GPU it can be anything. Some cases run with the programs in other orders: two programs must not
#    store different numbers in one place, and none may load what another one stores. At the end the kernel is compiled
#    for a GPU that need not be here, because the interpreter takes more than the compiler does.
# 3. **The same kernel, compiled**, where there is a GPU. A few cases are interpreted there as well, by a second Python:
#    a GPU would not notice an access outside.
#
# The check says on which rung it saw your function, and what it could not verify on this machine. Take rung 1 first.
# Then write the kernel above the function, and launch it instead. The kernel's arguments are a proposal; change them
# as you like. `print("x", x)` inside a kernel shows the block of each program when it is interpreted.
#
# In all four, leave the tensors that you are given as they are, and return a new tensor in every call, with the shape
# and dtype of the input (of `q`). Compute in float32, also where the input is float16: maxima, sums and outputs are
# kept in float32, and the result is rounded once, at the end. (The weights may be rounded to float16 before `tl.dot`
# multiplies them with the values.)

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
# shape and dtype: the softmax of each row, computed in float32. A score of -inf has weight 0, and a row in which all
# scores are -inf gives zeros.
#
#     row_softmax(torch.tensor([[0., 0.], [1., -torch.inf]]))  ->  [[0.5, 0.5], [1., 0.]]
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
    m_i = tl.max(x, 0)
    weights = tl.exp(x - tl.where(m_i == -float("inf"), 0.0, m_i))  # of a row that is masked as a whole: exp(-inf) = 0
    l_i = tl.sum(weights, 0)
    out = weights / tl.where(l_i == 0, 1.0, l_i)
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
# Here is what your programs load and store, for a slice of a wider tensor. Step through them: lanes with grey hatching
# are masked.

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
# Without the mask, a store would write into the next row, which is another program's. In vLLM a kernel of this kind,
# softmax and top-k in one, chooses the *experts* of a mixture-of-experts model, the parts of a layer that a token uses
# (`csrc/moe/topk_softmax_kernels.cu`). Attention kernels hold many rows in a program, and only a part of each row at a
# time: that is next.
#
# ## 07.flash_kernel · Attention in tiles
#
# `q` is `[n, heads, head_dim]`, `k` and `v` are `[m, heads, head_dim]`; n and m are any numbers from 1 on. All are
# contiguous, in float32 or float16. Every query sees every key, and scores are divided by √head_dim. Return the output,
# with the shape and dtype of `q`. `tile` says how many queries, and how many keys, a program takes at a time, so a
# larger tile makes fewer programs. `tile` and `head_dim` are powers of two from 16 on, the least that `tl.dot` takes.
#
#     q, k, v = qkv(20, 33, heads=2, kv_heads=2, head_dim=16)
#     flash(q, k, v, tile=16).shape  ->  [20, 2, 16], from a grid of (2, 2) programs
#
# A program never holds the scores of all m keys, only those of one tile, and a kernel loads one tile at a time. In
# plain torch a tensor may be as large as the largest of these three, and no larger: `q`, `k`, and two tiles of scores,
# `[tile, 2 * tile]`.
# In a grid of (heads, tiles), `tl.program_id(0)` is the head and `tl.program_id(1)` is the tile of queries: the two
# outer loops of 06.flash_forward. Token j of head h begins at `(j * heads + h) * head_dim`.

# %% nbgrader={"grade_id": "flash_kernel", "solution": true} course={"exercise": "07.flash_kernel"}
@triton.jit
def flash_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, token_stride, scale, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    """One program a head and tile of queries. token_stride: numbers from one token to the next."""
    ### BEGIN SOLUTION
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    mine = rows[:, None] * token_stride + dims[None, :]
    q = tl.load(q_ptr + mine, mask=(rows < n)[:, None], other=0.0)
    m_i = tl.full([TILE], -float("inf"), tl.float32)
    l_i = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, m, TILE):
        columns = start + tl.arange(0, TILE)
        theirs = columns[:, None] * token_stride + dims[None, :]
        k = tl.load(k_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        v = tl.load(v_ptr + theirs, mask=(columns < m)[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where((columns < m)[None, :], scores, -float("inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        weights = tl.exp(scores - new_m[:, None])
        alpha = tl.exp(m_i - new_m)  # what was summed under the old maximum
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        m_i = new_m
    out = acc / l_i[:, None]
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
# With twice the tile there are half as many programs, and each loads all of k and v: the rule of lesson 06, counted in
# your kernel. In `course_lib` a table says which tile is best on which GPU (`course_lib/attention/tiles.py`). vLLM has
# such tables too, for its kernels for experts (`fused_moe/configs`).
#
# ## 07.causal_skip · Nearly half of the tiles
#
# As before, but causal. The queries are the last of the m tokens: row i has position m - n + i, and sees keys
# up to its own position. So n = m is a prompt, and n = 1 a decode step. A row that sees no key (n > m) gives zeros.
#
# The first tile of queries begins at row 0, and the first tile of keys at key 0. A tile of keys that no row of the
# program (in torch: of the tile of queries) sees must not be loaded. The check puts nan there: 0 times nan is nan, so a
# mask on the scores is not enough. In torch it also counts the products: such a tile must not be multiplied.

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
    m_i = tl.full([TILE], -1e30, tl.float32)  # not -inf: a row that has seen nothing yet would take -inf from -inf
    l_i = tl.zeros([TILE], tl.float32)
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
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        weights = tl.exp(scores - new_m[:, None])
        alpha = tl.exp(m_i - new_m)
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        m_i = new_m
    out = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]  # 0 for a row that sees no key
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
# Without the mask and with it, on the same 64 tokens. First the bytes of both, then the programs of the second: which
# of them loads which keys.

# %% tags=["raises-exception"]
for attention in (flash, flash_causal):
    log = watch(lambda: attention(*here(*qkv(64, 64, head_dim=16)), tile=16))
    if log:
        print(f"{attention.__name__:>12}: {log.read['k'] + log.read['v']:>6,} bytes of keys and values")
programs_view(log, tensors=["q", "k", "v", "out"]) if log else None

# %% [markdown]
# Later programs load more. The library's kernel starts those first, so that no multiprocessor has
# a long one left at the end.
#
# ## 07.grouped_query · Query heads that share
#
# As before, but k and v are `[m, kv_heads, head_dim]`, and `heads` is a multiple of `kv_heads`. With 4 query heads over
# 2 KV heads, heads 0 and 1 use KV head 0, and heads 2 and 3 use KV head 1. The numbers of the last dimension of q, k
# and v lie side by side (stride 1). The other strides can be anything, and each tensor has its own. Read `k` and `v`
# where they are. Do not copy all tokens of one of their heads, or of all: not for each query head, not into a
# contiguous tensor, not to another dtype. (One tile at a time may be copied, for example to make it float32.)
#
# The bundled model has grouped heads too, as Llama 3 and Qwen 3 have.

# %% nbgrader={"grade_id": "grouped_query", "solution": true} course={"exercise": "07.grouped_query"}
@triton.jit
def grouped_kernel(q_ptr, k_ptr, v_ptr, out_ptr, n, m, scale, q_stride, q_head, k_stride, k_head, v_stride, v_head,
                   out_stride, out_head, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, TILE: tl.constexpr):
    """Two strides a tensor: to the next token, and to the next head."""
    ### BEGIN SOLUTION
    head, first = tl.program_id(0), tl.program_id(1) * TILE
    rows, dims = first + tl.arange(0, TILE), tl.arange(0, HEAD_DIM)[None, :]
    q_ptr += head * q_head
    k_ptr += head // GROUP * k_head  # query heads of one group are neighbours
    v_ptr += head // GROUP * v_head
    q = tl.load(q_ptr + rows[:, None] * q_stride + dims, mask=(rows < n)[:, None], other=0.0)
    m_i = tl.full([TILE], -1e30, tl.float32)
    l_i = tl.zeros([TILE], tl.float32)
    acc = tl.zeros([TILE, HEAD_DIM], tl.float32)
    for start in range(0, tl.minimum(m, m - n + first + TILE), TILE):
        columns = start + tl.arange(0, TILE)
        inside = (columns < m)[:, None]
        k = tl.load(k_ptr + columns[:, None] * k_stride + dims, mask=inside, other=0.0)
        v = tl.load(v_ptr + columns[:, None] * v_stride + dims, mask=inside, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = (columns[None, :] <= (m - n + rows)[:, None]) & (columns < m)[None, :]
        scores = tl.where(seen, scores, -float("inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        weights = tl.exp(scores - new_m[:, None])
        alpha = tl.exp(m_i - new_m)
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        m_i = new_m
    out = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]
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
# Your attention in the bundled model, in the place of `Recompute`. All of its layers now use it:

# %% tags=["raises-exception"]
from course_lib.kvcache import Recompute


class Mine(Recompute):
    def attend(self, layer, q, k, v):
        return flash_grouped(q, k, v, tile=16)


model, tokenizer = load_model("tale", dtype=torch.float32)
ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
arguments = torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device)
with torch.inference_mode():
    mine, theirs = (model(*arguments, cache)[-1] for cache in (Mine(), Recompute()))
print("the same next token:", int(mine.argmax()) == int(theirs.argmax()))
print("largest difference of a logit below 0.001:", bool((mine - theirs).abs().max() < 1e-3))

# %% [markdown]
# In a server, the keys and values of a sequence are in blocks, and a block table says in which. In lesson 08 the kernel
# follows it.
#
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [08 · Attention that follows the block table](../notebooks/08_triton_paged.ipynb).
