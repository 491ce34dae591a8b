# %% [markdown]
# # Exercises 08 · Attention that follows the block table
#
# Four functions that an engine calls in every layer of every step: keys and values into their slots, decode through the
# block table, a long context in parts, and a chunk of a prompt over a paged cache.
#
# Each can be written on three **rungs**, and one set of cases checks them all:
#
# 1. **Plain torch**, inside the function. Where Triton is absent (macOS, Windows) this is all, and it is complete in itself.
# 2. **A Triton kernel**, launched from the same function and interpreted, without a GPU. An access outside of a tensor is
#    stopped, and the check says at which offsets. Where the mask of a load is false and it has no `other`, a lane is
#    nan. Some cases run with the programs in other orders: two programs must not store different numbers in one place,
#    and none may load what another one stores. At the end the kernel is compiled for a GPU that need not be here,
#    because the interpreter accepts more than the compiler does.
# 3. **The same kernel, compiled**, on a GPU. A few cases are interpreted there as well, by a second Python: a GPU would
#    not notice an access outside.
#
# The check says which rungs it saw, and what it could not verify on this machine. Take rung 1 first, then write the
# kernel above and launch it instead. The kernel's arguments are yours to choose.
#
# In all cases `head_dim`, `block_size` and `num_kv_heads` are powers of two from 1 on, because a tile needs it;
# `num_heads` need not be. Queries, keys and values are float32; slots, block tables, lengths and `cu_seqlens_q` are
# int64. All tensors are contiguous. The caches are `[num_blocks, block_size, num_kv_heads, head_dim]`: one layer of a
# pool. Slots that hold no token of the step's sequences can hold anything, also nan. Do not change the tensors that you
# are given, apart from the two caches in 08.store_kv. A result is a new tensor in every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import Engine, EngineConfig, SamplingParams, attention, check, hint, load_model, load_parts, progress, setup
from course_lib.decoding import generate_naive
from course_lib.kvcache import KVPool

_ = setup(quiet=True)

try:
    import triton
    import triton.language as tl
except ImportError:  # not on this system: kernels can be written down, and not run
    from course_lib.practice.play import tl, triton

# %% [markdown]
# ## 08.store_kv · Keys and values into their slots
#
# `k` and `v` are `[num_tokens, num_kv_heads, head_dim]`, and `slot_mapping` is `[num_tokens]`: token i goes to slot
# `slot_mapping[i] = block_id * block_size + offset`. **-1 is padding**: nothing is written for such a token. Write into
# the two caches themselves; nothing is returned.
#
# With `block_size` 4, slot 29 is offset 1 of block 7: `k_cache[7, 1]`.

# %% nbgrader={"grade_id": "store_kv", "solution": true} course={"exercise": "08.store_kv"}
@triton.jit
def store_kernel(k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, NUMBERS: tl.constexpr):
    """One program a token."""
    ### BEGIN SOLUTION
    token = tl.program_id(0)
    slot = tl.load(slot_mapping_ptr + token)
    if slot >= 0:  # -1 is padding
        numbers = tl.arange(0, NUMBERS)  # of all KV heads of the token: they lie side by side, here and in the cache
        tl.store(k_cache_ptr + slot * NUMBERS + numbers, tl.load(k_ptr + token * NUMBERS + numbers))
        tl.store(v_cache_ptr + slot * NUMBERS + numbers, tl.load(v_ptr + token * NUMBERS + numbers))
    ### END SOLUTION


def store_kv(k, v, k_cache, v_cache, slot_mapping):
    """Writes token i to slot slot_mapping[i] of the caches, in place. k, v: [num_tokens, num_kv_heads, head_dim]."""
    ### BEGIN SOLUTION
    num_tokens, num_kv_heads, head_dim = k.shape
    if num_tokens > 0:
        store_kernel[(num_tokens,)](k, v, k_cache, v_cache, slot_mapping, NUMBERS=num_kv_heads * head_dim)
    ### END SOLUTION

# %% nbgrader={"grade_id": "store_kv-check", "grade": true, "points": 2}
check("08.store_kv", store_kv)

# %% [markdown]
# Every step of an engine begins with this, in each layer. Here are the keys of a real layer, written by you and by
# `course_lib`, the last two tokens being padding:

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale", dtype=torch.float32)
draw = torch.Generator().manual_seed(0)
k, v = (torch.randn(10, model.config.num_kv_heads, model.config.head_dim, generator=draw).to(model.device) for _ in "kv")
slots = torch.tensor([28, 29, 30, 31, 8, 9, 10, 11, -1, -1], device=model.device)  # blocks 7 and 2 of 4 tokens
mine, theirs = (KVPool(model.config, 8, 4, model.device, torch.float32) for _ in range(2))
store_kv(k, v, mine.k[0], mine.v[0], slots)
attention.store_kv(k, v, theirs.k[0], theirs.v[0], slots)
print("the same:", torch.equal(mine.k, theirs.k) and torch.equal(mine.v, theirs.v))
print("slots written:", mine.k[0].flatten(0, 1).abs().sum((1, 2)).nonzero().flatten().tolist())

# %% [markdown]
# In vLLM the kernel is called `reshape_and_cache_flash`. A slot of -1 fills a step up to a fixed number of tokens
# (lesson 13).
#
# ## 08.paged_decode · Decode through the block table
#
# One new token of each sequence sees all tokens of its sequence, itself included; its key and value are in the cache
# already. `q` is `[num_seqs, num_heads, head_dim]`, and `seq_lens` is `[num_seqs]`. `block_tables` is `[num_seqs,
# max_blocks]`: a row is padded with -1, and it may be wider than the longest sequence needs. Scores are divided by
# √head_dim. `num_heads` is a multiple of `num_kv_heads`: query heads `g * group` to `(g + 1) * group - 1` share KV head
# g.
#
# Return the output, with the shape of `q`. A sequence of 0 tokens gives zeros. Go through the blocks one after the
# other, with the online softmax of lesson 06. The keys of a sequence must not be gathered into one tensor.
#
# In a kernel, with so few rows, multiply and sum: `tl.sum(q[:, None, :] * k[None, :, :], 2)` for the scores, and
# `tl.sum(v[None, :, :] * weights[:, :, None], 1)` for the values, `v` first. (With the other order and 16 rows or more,
# Triton compiles the sum as a product of matrices, which a GPU computes in TF32, with ten bits of fraction.)
#
# A group may have 3 query heads, and `tl.arange` wants a power of two: take `ROWS = triton.next_power_of_2(group)`
# rows, and mask those from `GROUP` on, in the load of `q` and in the store.
#
# Sequence 0 has 6 tokens and `block_tables[0]` is `[7, 2, -1]`, with `block_size` 4: it reads block 7 as a whole and
# the first two slots of block 2.

# %% nbgrader={"grade_id": "paged_decode", "solution": true} course={"exercise": "08.paged_decode"}
@triton.jit
def decode_kernel(q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, tables_ptr, seq_lens_ptr, table_stride, scale, NUM_KV_HEADS: tl.constexpr,
                  GROUP: tl.constexpr, ROWS: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr):
    """One program a sequence and KV head."""
    ### BEGIN SOLUTION
    sequence, kv_head = tl.program_id(0), tl.program_id(1)
    length = tl.load(seq_lens_ptr + sequence)
    rows, dims, offsets = tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    head = sequence * NUM_KV_HEADS * GROUP + kv_head * GROUP + rows  # the query heads that share this KV head
    inside = (rows < GROUP)[:, None]
    q = tl.load(q_ptr + head[:, None] * HEAD_DIM + dims[None, :], mask=inside, other=0.0) * scale
    m_i = tl.full([ROWS], float("-inf"), tl.float32)
    l_i = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    for first in range(0, length, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        m_i = new_m
    out = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]  # zeros for an empty sequence
    tl.store(out_ptr + head[:, None] * HEAD_DIM + dims[None, :], out, mask=inside)
    ### END SOLUTION


def paged_decode(q, k_cache, v_cache, block_tables, seq_lens):
    """Attention of one new token a sequence. q: [num_seqs, num_heads, head_dim]; returns as q."""
    ### BEGIN SOLUTION
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out, group = torch.empty_like(q), num_heads // num_kv_heads
    decode_kernel[(num_seqs, num_kv_heads)](
        q, k_cache, v_cache, out, block_tables, seq_lens, block_tables.stride(0), head_dim ** -0.5, NUM_KV_HEADS=num_kv_heads, GROUP=group,
        ROWS=triton.next_power_of_2(group), HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "paged_decode-check", "grade": true, "points": 3}
check("08.paged_decode", paged_decode)

# %% [markdown]
# **Your own kernel in the engine.** `Engine(model, attention=…)` takes a function that is called in each layer of every
# step, with the arguments of `paged_attention`. Steps in which every request brings one token go to yours, all others
# to the course's. If you have passed `04.allocator`, the block tables that your kernel follows are made by your
# allocator:

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator")
parts

# %% tags=["raises-exception"]
steps = {"mine": 0, "theirs": 0}


def mine_for_decode(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    if len(q) == len(seq_lens):  # one new token each
        steps["mine"] += 1
        return paged_decode(q, k_cache, v_cache, block_tables, seq_lens)
    steps["theirs"] += 1
    return attention.paged_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q)


openings = ["Once upon a time, in a quiet harbour, there lived", "There was once a thoughtful frog", "Far away in an old windmill"]
prompts, params = [tokenizer.encode(text) for text in openings], SamplingParams(max_tokens=10, ignore_eos=True)
alone = [generate_naive(model, ids, params) for ids in prompts]
config = EngineConfig(block_size=16, num_blocks=12, prefix_caching=False)
engine = Engine(model, config, attention=mine_for_decode, allocator=parts["04.allocator"])
outputs = engine.generate(prompts, params)
for ids, output in zip(prompts, outputs):
    print(tokenizer.decode(ids + output.token_ids).strip())
print("as without any cache:", [output.token_ids for output in outputs] == alone)
print("attention of a layer by you:", steps["mine"], "times; prompts:", steps["theirs"], "times")

# %% [markdown]
# ## 08.split_kv · A long context in parts
#
# The same decode step in `num_splits` parts. With `tokens` = length / num_splits, rounded up, and then rounded up to
# whole blocks, part p of a sequence takes its tokens from `p * tokens` to `min((p + 1) * tokens, length) - 1`. A part
# that begins at or after the end of the sequence is empty. In a sequence of 0 tokens all parts are empty, and `out` is
# zeros. `num_splits` is an int from 1 on, and need not be a power of two.
#
# Return `(out, partial, lse)`:
#
# - `partial` `[num_seqs, num_heads, num_splits, head_dim]`: attention over the tokens of each part alone; zeros for an empty part;
# - `lse` `[num_seqs, num_heads, num_splits]`: the log of the part's sum of exp(score); -inf for an empty part;
# - `out` `[num_seqs, num_heads, head_dim]`: the parts merged: each is multiplied by its share of the sum. The merge may stay in torch.
#
# 9 tokens in blocks of 2, in 2 parts: 9 / 2 is 5, rounded up, and 6 in whole blocks. Part 0 has tokens 0 to 5, part 1
# tokens 6 to 8.

# %% nbgrader={"grade_id": "split_kv", "solution": true} course={"exercise": "08.split_kv"}
@triton.jit
def split_kernel(q_ptr, k_cache_ptr, v_cache_ptr, partial_ptr, lse_ptr, tables_ptr, seq_lens_ptr, table_stride, scale, NUM_SPLITS: tl.constexpr,
                 NUM_KV_HEADS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr):
    """One program a sequence, KV head and part."""
    ### BEGIN SOLUTION
    sequence, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(seq_lens_ptr + sequence)
    tokens = tl.cdiv(tl.cdiv(length, NUM_SPLITS), BLOCK_SIZE) * BLOCK_SIZE  # of a part: whole blocks
    end = tl.minimum((part + 1) * tokens, length)
    rows, dims, offsets = tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    head = sequence * NUM_KV_HEADS * GROUP + kv_head * GROUP + rows
    inside = (rows < GROUP)[:, None]
    q = tl.load(q_ptr + head[:, None] * HEAD_DIM + dims[None, :], mask=inside, other=0.0) * scale
    m_i = tl.full([ROWS], float("-inf"), tl.float32)
    l_i = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    for first in range(part * tokens, end, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < end
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        m_i = new_m
    line = head * NUM_SPLITS + part
    some = tl.where(l_i > 0, l_i, 1.0)  # an empty part: zeros, and m_i is -inf, so its lse is too
    tl.store(partial_ptr + line[:, None] * HEAD_DIM + dims[None, :], acc / some[:, None], mask=inside)
    tl.store(lse_ptr + line, m_i + tl.log(some), mask=rows < GROUP)
    ### END SOLUTION


def split_kv(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """(out, partial, lse) of decode in parts. partial: [num_seqs, num_heads, num_splits, head_dim]; lse: [num_seqs, num_heads, num_splits]."""
    ### BEGIN SOLUTION
    num_seqs, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    group, lse = num_heads // num_kv_heads, torch.empty(num_seqs, num_heads, num_splits, device=q.device)
    partial = torch.empty(num_seqs, num_heads, num_splits, head_dim, device=q.device)
    split_kernel[(num_seqs, num_kv_heads, num_splits)](
        q, k_cache, v_cache, partial, lse, block_tables, seq_lens, block_tables.stride(0), head_dim ** -0.5, NUM_SPLITS=num_splits,
        NUM_KV_HEADS=num_kv_heads, GROUP=group, ROWS=triton.next_power_of_2(group), HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    m_i = lse.amax(-1, keepdim=True)
    sums = torch.exp(lse - torch.where(m_i == -float("inf"), 0.0, m_i))  # of each part, under one maximum
    shares = sums / sums.sum(-1, keepdim=True).clamp(min=1e-30)
    return (shares[..., None] * partial).sum(-2), partial, lse
    ### END SOLUTION

# %% nbgrader={"grade_id": "split_kv-check", "grade": true, "points": 3}
check("08.split_kv", split_kv)

# %% [markdown]
# Why it matters: one request over a long context. Without parts it has as many programs as the model has KV heads. How
# many tokens does one program go through, block after block?

# %% tags=["raises-exception"]
length, draw = 480, torch.Generator().manual_seed(3)
q = torch.randn(1, 4, 16, generator=draw).to(model.device)
k_cache, v_cache = (torch.randn(32, 16, 2, 16, generator=draw).to(model.device) for _ in "kv")
tables, lens = torch.randperm(32, generator=draw)[None, :30].to(model.device), torch.tensor([length], device=model.device)
whole = attention.paged_decode(q, k_cache, v_cache, tables, lens)
for parts in (1, 2, 4, 8):
    out, partial, lse = split_kv(q, k_cache, v_cache, tables, lens, parts)
    longest = -(-(-(-length // parts)) // 16) * 16
    print(f"{parts} parts: {2 * parts:>2} programs of at most {longest:>3} tokens; the same output: {torch.allclose(out, whole, atol=1e-5)}")

# %% [markdown]
# In `course_lib` the merge is a second kernel, and the number of parts is chosen from shapes alone, so that the CPU
# does not wait for the GPU. The method is called Flash-Decoding; FlashInfer and vLLM do the same.
#
# ## 08.paged_prefill · A chunk of a prompt over a paged cache
#
# `q` holds any number of new tokens of each sequence, `[num_tokens, num_heads, head_dim]`. Those of sequence i are the
# rows `cu_seqlens_q[i]` to `cu_seqlens_q[i + 1] - 1`. They are the **last** tokens of the sequence, and `seq_lens`
# counts them. A token sees itself and all tokens before it. A sequence has at least one token, and may have no new one;
# the step has at least one new token. The rest is as in 08.paged_decode: also here no sequence is gathered into one
# tensor.
#
# In the kernel, `ROWS` is the number of rows of a tile (`LINES` in the lesson). Multiply and sum here too: `tl.dot`
# sums over 16 numbers or more (lesson 07), and in some cases `head_dim` or `block_size` is smaller.
#
# With `seq_lens` `[6, 3]` and `cu_seqlens_q` `[0, 2, 3]`, rows 0 and 1 are the tokens at positions 4 and 5 of sequence
# 0, and row 2 is the token at position 2 of sequence 1.

# %% nbgrader={"grade_id": "paged_prefill", "solution": true} course={"exercise": "08.paged_prefill"}
@triton.jit
def prefill_kernel(q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, tables_ptr, seq_lens_ptr, cu_seqlens_ptr, table_stride, scale,
                   NUM_KV_HEADS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr):
    """One program a sequence, KV head and tile of rows."""
    ### BEGIN SOLUTION
    sequence, kv_head, tile = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    start, length = tl.load(cu_seqlens_ptr + sequence), tl.load(seq_lens_ptr + sequence)
    new = tl.load(cu_seqlens_ptr + sequence + 1) - start
    lines, dims, offsets = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    token, head = lines // GROUP, kv_head * GROUP + lines % GROUP  # a row is a new token and one of the group's heads
    position = length - new + token
    inside = (token < new)[:, None]
    rows = ((start + token) * NUM_KV_HEADS * GROUP + head)[:, None] * HEAD_DIM + dims[None, :]
    q = tl.load(q_ptr + rows, mask=inside, other=0.0) * scale
    m_i = tl.full([ROWS], float("-inf"), tl.float32)
    l_i = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_DIM], tl.float32)
    end = tl.minimum(length, length - new + (tile * ROWS + ROWS - 1) // GROUP + 1)  # keys after the tile's last token are not seen
    for first in range(0, end, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + first // BLOCK_SIZE)
        filled = first + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        seen = filled[None, :] & (first + offsets[None, :] <= position[:, None])
        scores = tl.where(seen, tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        m_i = new_m
    tl.store(out_ptr + rows, acc / l_i[:, None], mask=inside)
    ### END SOLUTION


def paged_prefill(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Attention of the last tokens of each sequence over all of it. q: [num_tokens, num_heads, head_dim]; returns as q."""
    ### BEGIN SOLUTION
    _, num_heads, head_dim = q.shape
    _, block_size, num_kv_heads, _ = k_cache.shape
    out, group, rows = torch.empty_like(q), num_heads // num_kv_heads, 16
    most = int(cu_seqlens_q.diff().max())  # new tokens of one sequence
    if most > 0:
        prefill_kernel[(len(seq_lens), num_kv_heads, triton.cdiv(most * group, rows))](
            q, k_cache, v_cache, out, block_tables, seq_lens, cu_seqlens_q, block_tables.stride(0), head_dim ** -0.5,
            NUM_KV_HEADS=num_kv_heads, GROUP=group, ROWS=rows, HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out
    ### END SOLUTION

# %% nbgrader={"grade_id": "paged_prefill-check", "grade": true, "points": 3}
check("08.paged_prefill", paged_prefill)

# %% [markdown]
# With it an engine needs no other attention: prompts in chunks of at most 8 tokens, decode, and both in one step all
# use your function.

# %% tags=["raises-exception"]
engine = Engine(model, EngineConfig(block_size=16, num_blocks=12, max_num_seqs=3, max_num_batched_tokens=8), attention=paged_prefill)
outputs = engine.generate(prompts, params)
print("as without any cache:", [output.token_ids for output in outputs] == alone)

# %% [markdown]
# vLLM's Triton backend works in this way: one kernel takes prompts and decode tokens in one step. (For a step of few
# decode tokens it has a second one, with parts.) Other backends have a kernel for each, because memory limits a decode
# step, and arithmetic limits a prefill.
#
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [09 · Batching](../notebooks/09_batching.ipynb).
