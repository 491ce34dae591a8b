# %% [markdown]
# # 08 · Attention that follows the block table
#
# - **You will** write the kernels that an engine runs in every layer of every step: keys and values into their slots, decode straight through the block table, a long context in parts, and a chunk of a prompt.
# - **Why** to gather the blocks first copies every key and value once more, in each layer, for each token. A kernel that follows the table reads them where they are.
# - **Time** 60 minutes, and three hours for the exercises.
# - **You need** lessons 04 to 07.
# - **After it** you can read the attention code of a server: `slot_mapping`, `block_tables`, `seq_lens` and `cu_seqlens_q` go in, and you know what each program does with them.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import Engine, EngineConfig, SamplingParams, attention, guesses, load_model, load_parts, predict, setup, show
from course_lib.attention.reference.meter import Meter
from course_lib.decoding import generate_naive
from course_lib.errors import OutOfBounds
from course_lib.practice.play import captured_decode_step
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)
config = model.config

# %%
try:
    import triton
    import triton.language as tl
except ImportError:  # not on this system: the kernels can be read here, and not run
    from course_lib.practice.play import tl, triton

# %% [markdown]
# ## What attention is given in a step
#
# (From here on a *block* is a block of the KV cache again. What a program holds at a time is a *tile*.)
#
# A server runs a decode step for three sequences, in blocks of 16 tokens. Sequences 0 and 1 began with the same prompt,
# and share the blocks that it fills (lesson 05). Sequence 2 has another prompt. Each has one new token.
# `captured_decode_step` runs this step on the bundled model, and keeps what layer 2 was given and what it returned.

# %%
step = captured_decode_step(model, tokenizer)
q, k, v, k_cache, v_cache, batch = step.q, step.k, step.v, step.k_cache, step.v_cache, step.batch

print(f"q {list(q.shape)}, k and v {list(k.shape)}: a token each, {config.num_heads} query heads over {config.num_kv_heads} KV heads")
print("k_cache", list(k_cache.shape), "  [num_blocks, block_size, num_kv_heads, head_dim]")
print("seq_lens", batch.seq_lens.tolist())
print("slot_mapping", batch.slot_mapping.tolist(), "  the slot of each new token")
print("block_tables")
print(batch.block_tables)

# %% [markdown]
# `seq_lens` holds the number of tokens of each sequence, the new one included. The rows of sequences 0 and 1 name the
# same blocks, apart from the last one. -1 fills a row up.
#
# ## What a gather costs
#
# Lesson 04 gathered: it copied the blocks of a sequence into one piece, and then computed attention. How many more
# bytes does that move than to read the blocks where they are?

# %%
predict("08.gather", "Gather first, then attend: how many bytes of keys and values are moved, against reading them once?",
        ["As many: the copy stays in fast memory", "Twice as many", "About three times as many"], answer=2)

# %%
def gather_then_attend(q, k_cache, v_cache, block_tables, seq_lens, meter):
    """Decode in torch. The meter counts what crosses between slow and fast memory, as in lesson 06."""
    group = q.shape[1] // k_cache.shape[2]
    out = torch.empty_like(q)
    for i, length in enumerate(seq_lens.tolist()):
        used = block_tables[i, : -(-length // k_cache.shape[1])]
        pieces = []
        for name, kept in (("k", k_cache), ("v", v_cache)):
            piece = meter.load(f"blocks of {name}", kept[used]).flatten(0, 1)[:length]
            meter.store(f"piece of {name}", piece)
            pieces.append(meter.load(f"piece of {name}", piece).repeat_interleave(group, 1))
        scores = torch.einsum("hd,thd->ht", q[i], pieces[0]) / q.shape[2] ** 0.5
        out[i] = torch.einsum("ht,thd->hd", scores.softmax(1), pieces[1])
    return out


meter = Meter()
gathered = gather_then_attend(q, k_cache, v_cache, batch.block_tables, batch.seq_lens, meter)
once = 2 * int(batch.seq_lens.sum()) * config.num_kv_heads * config.head_dim * 4
print("the same as the model's cache:", torch.allclose(gathered, step.out, atol=1e-5))
print(f"read {meter.bytes_read:,} bytes, written {meter.bytes_written:,}")
print(f"{meter.bytes_moved / once:.2f} times the {once:,} bytes of these keys and values")

# %% [markdown]
# The keys and values are read from the blocks, written as a piece, and read again: three times. It is a little more
# than three, because whole blocks are gathered. A decode step does little arithmetic for each byte: it lies on the left
# of the roofline of lesson 06, where the bytes decide the time. The recorded run at the end of this lesson has the
# times.
#
# ## Build it: store
#
# The smallest kernel comes first. Each new token has a slot. The numbers of a token, of all KV heads, lie side by side
# in `k`, and in the cache too. So one program copies one row: from `token * NUMBERS` to `slot * NUMBERS`. A slot of
# **-1 is padding**. It fills a step up to a fixed number of tokens (lesson 13 says why), and nothing is written for it.

# %%
@triton.jit
def store_kernel(k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, NUMBERS: tl.constexpr):
    token = tl.program_id(0)
    slot = tl.load(slot_mapping_ptr + token)
    if slot >= 0:
        numbers = tl.arange(0, NUMBERS)
        tl.store(k_cache_ptr + slot * NUMBERS + numbers, tl.load(k_ptr + token * NUMBERS + numbers))
        tl.store(v_cache_ptr + slot * NUMBERS + numbers, tl.load(v_ptr + token * NUMBERS + numbers))


def my_store(k, v, k_cache, v_cache, slot_mapping):
    """k, v: [num_tokens, num_kv_heads, head_dim]. Writes into the caches."""
    store_kernel[(len(k),)](k, v, k_cache, v_cache, slot_mapping, NUMBERS=k.shape[1] * k.shape[2])


mine, slots = torch.zeros_like(k_cache), batch.slot_mapping
my_store(k, v, mine, torch.zeros_like(mine), slots)
rows, theirs = mine.flatten(0, 1), k_cache.flatten(0, 1)  # [slots, num_kv_heads, head_dim]
print("slot_mapping:", slots.tolist(), "· rows written:", rows.abs().sum((1, 2)).nonzero().flatten().tolist())
print("the same keys as in the model's cache:", torch.equal(rows[slots], theirs[slots]))

# %% [markdown]
# Here it stores five tokens, the third of which is padding, into 4 blocks of 4 slots. Step through the programs. Which
# rows does program 3 load and store, and what does program 2 do?

# %%
from course_lib.attention import record_accesses
from course_lib.viz import programs_view

small = torch.arange(20.0).view(5, 1, 4)
small_cache = torch.zeros(2, 4, 4, 1, 4)
with record_accesses() as log:
    my_store(small, -small, *small_cache, torch.tensor([6, 7, -1, 12, 13]))
store_view = programs_view(log, tensors=["slot_mapping", "k", "k_cache"])
store_view

# %% [markdown]
# Program 3 loads row 3 of `k` and stores it in slot 12, the first row of block 3. Program 2 loads only its slot, -1,
# and stores nothing.
#
# And without the `if`? The address of slot -1 lies before the cache. The recorder of lesson 07 stops the kernel before
# it writes there. On a GPU nothing stops it: four wrong numbers are written into whatever lies before the cache.

# %%
@triton.jit
def careless_kernel(k_ptr, k_cache_ptr, slot_mapping_ptr, NUMBERS: tl.constexpr):
    token, numbers = tl.program_id(0), tl.arange(0, NUMBERS)
    slot = tl.load(slot_mapping_ptr + token)
    tl.store(k_cache_ptr + slot * NUMBERS + numbers, tl.load(k_ptr + token * NUMBERS + numbers))


try:
    with record_accesses():
        careless_kernel[(5,)](small, small_cache[0], torch.tensor([6, 7, -1, 12, 13]), NUMBERS=4)
except OutOfBounds as error:
    print(wrapped(str(error)))

# %% [markdown]
# ## Build it: decode
#
# A program takes one sequence and one KV head. It goes through the sequence's row of the block table. For each block it
# loads the id, and from the id follow the addresses of keys and values: `slot = block_id * BLOCK_SIZE + offset`. The
# rest is the online softmax of lesson 06.
#
# A decode step has one query for each head. The query heads of a group use the same KV head, so one program takes them
# together, as the rows of a small matrix. `TOGETHER` is how many it takes. Their keys and values are loaded once.
#
# The last block may hold 1 to 16 tokens of this sequence. Its other slots, the *tail*, hold tokens of another sequence,
# or were never written. The mask `filled` leaves them out. The kernel also stores the log-sum-exp of the scores (`lse`,
# lesson 06), which a long context needs below.

# %%
@triton.jit
def decode_kernel(q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, lse_ptr, tables_ptr, seq_lens_ptr, table_stride, scale,
                  NUM_KV_HEADS: tl.constexpr, GROUP: tl.constexpr, TOGETHER: tl.constexpr, HEAD_DIM: tl.constexpr,
                  BLOCK_SIZE: tl.constexpr):
    sequence, kv_head = tl.program_id(0), tl.program_id(1) * TOGETHER // GROUP
    length = tl.load(seq_lens_ptr + sequence)
    dims, offsets = tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    heads = sequence * NUM_KV_HEADS * GROUP + tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)
    rows = heads[:, None] * HEAD_DIM + dims[None, :]
    q = tl.load(q_ptr + rows) * scale
    m_i = tl.full([TOGETHER], float("-inf"), tl.float32)
    l_i = tl.zeros([TOGETHER], tl.float32)
    acc = tl.zeros([TOGETHER, HEAD_DIM], tl.float32)
    for start in range(0, length, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + start // BLOCK_SIZE)  # follow the table
        filled = start + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = acc * alpha[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        m_i = new_m
    tl.store(out_ptr + rows, acc / l_i[:, None])
    tl.store(lse_ptr + heads, m_i + tl.log(l_i))


def my_decode(q, k_cache, v_cache, block_tables, seq_lens, together=None):
    """(out, lse) of one query a sequence. q: [num_seqs, num_heads, head_dim]; lse: [num_seqs, num_heads]."""
    (num_seqs, num_heads, head_dim), (_, block_size, num_kv_heads, _) = q.shape, k_cache.shape
    out, lse, group = torch.empty_like(q), q.new_empty(num_seqs, num_heads), num_heads // num_kv_heads
    together = together or group
    decode_kernel[(num_seqs, num_heads // together)](
        q, k_cache, v_cache, out, lse, block_tables, seq_lens, block_tables.stride(0), head_dim ** -0.5,
        NUM_KV_HEADS=num_kv_heads, GROUP=group, TOGETHER=together, HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out, lse


out, lse = my_decode(q, k_cache, v_cache, batch.block_tables, batch.seq_lens)
print("the same as the model's cache:", torch.allclose(out, step.out, atol=1e-5))

# %% [markdown]
# `decode_kernel` multiplies and sums instead of calling `tl.dot`. Its `q` has two rows here, and a matrix instruction
# works on at least 16 (lesson 07), so most of it would multiply padding. `course_lib`'s kernel has both ways (`if DOT`,
# below). Where Triton makes a matrix instruction of `tl.dot`, the library pads the rows to 16 and calls `tl.dot`. On
# other chips it multiplies and sums.
#
# In the sum for `acc`, `v` is the first factor on purpose. With the other order and 16 rows or more, Triton compiles
# the sum as a product of matrices, which a GPU computes in TF32 (lesson 07).
#
# How many bytes do the programs read, with a program for each KV head and with one for each query head? The recorder
# counts every number that a program asks for.

# %%
predict("08.group", "4 query heads over 2 KV heads. A program for each KV head, instead of one for each query head, reads …",
        ["as many: all are needed", "half of them", "a quarter of them"], answer=1)

# %%
def counted(launch):
    """Bytes of keys and values that the kernels in launch() read from the caches."""
    with record_accesses() as log:
        launch()
    return log.read["k_cache"] + log.read["v_cache"]


inputs = q, k_cache, v_cache, batch.block_tables, batch.seq_lens
moved = {"gather, then attend": meter.bytes_moved,
         "kernel, a program a query head": counted(lambda: my_decode(*inputs, together=1)),
         "kernel, a program a KV head": counted(lambda: my_decode(*inputs))}
for name, count in moved.items():
    print(f"{name:<32}{count:>9,.0f} bytes, {count / once:.2f} times what there is")

# %% [markdown]
# 1.00 is the least for programs that read each sequence for itself: its queries need all its keys and values.
#
# ## See it
#
# The recorder saw what each program reads. On the left are the programs with their rows of the block table (R0 is
# sequence 0), on the right is the pool. Step through the programs, or select a block.
#
# - Which blocks are read by two sequences, and why?
# - How much of a last block is read?

# %%
from course_lib.attention import block_reads
from course_lib.viz import block_reads_view

with record_accesses() as log:
    my_decode(*inputs)
names = {"ids": ("seq", "kv_head"), "k": "k_cache", "v": "v_cache"}  # as our kernel calls them
reads_view = block_reads_view(**block_reads(log, batch.block_tables, batch.seq_lens, **names))
reads_view

# %% [markdown]
# Sequences 0 and 1 share the blocks that their prompt fills, and each of them reads these blocks: a program does not
# know of other programs. (On a GPU the second one may find them in the L2 cache, which all programs share. There are
# kernels that compute sequences with a common prefix together; FlashInfer calls it cascade attention.) Of a last block
# only the filled slots are read.
#
# ## A long context
#
# The grid of `decode_kernel` is `(num_seqs, num_kv_heads)`. A GPU runs programs on its multiprocessors (lesson 06), of
# which an H200 has 132.

# %%
predict("08.programs", "One request of 131,072 tokens to a Llama 3 8B (32 query heads over 8 KV heads): how many of the "
        "132 multiprocessors work in a decode step?", ["All: the context is long", "32", "8"], answer=2)

# %%
num_seqs, num_kv_heads, multiprocessors = 1, 8, 132
programs = num_seqs * num_kv_heads
print(f"grid ({num_seqs}, {num_kv_heads}): {programs} programs; {multiprocessors - programs} of {multiprocessors} multiprocessors have none")

# %% [markdown]
# Eight programs go through the context block by block, and 124 multiprocessors have no program. Lesson 06 has what is
# needed: attention over some keys and attention over others can be **merged** by their log-sum-exps. So the context is
# cut into parts, and each part gets a program. This is **split-KV**, or Flash-Decoding
# ([crfm.stanford.edu/2023/10/12/flashdecoding.html](https://crfm.stanford.edu/2023/10/12/flashdecoding.html)).
#
# We need no new kernel. A part of a sequence is a sequence itself: a piece of its row of the block table, and a length.
# A part that begins after the last token is **empty**: its sum of exponentials is 0, its log-sum-exp is -inf, and its
# output is 0 / 0, which is nan. Its share of the whole is 0, but 0 times nan is nan. So `in_parts` replaces nan by 0
# before it merges.

# %%
def in_parts(q, k_cache, v_cache, table, length, num_parts, guard=True):
    """A decode step of one sequence. q: [1, num_heads, head_dim]; table: [blocks], a multiple of num_parts of them."""
    block_size = k_cache.shape[1]
    pieces = table.view(num_parts, -1)
    begins = torch.arange(num_parts, device=table.device) * pieces.shape[1] * block_size
    lengths = (length - begins).clamp(min=0, max=pieces.shape[1] * block_size)
    outs, lses = my_decode(q.expand(num_parts, -1, -1).contiguous(), k_cache, v_cache, pieces, lengths)
    if guard:
        outs = outs.nan_to_num(0.0)  # of empty parts
    shares = lses.softmax(0)  # of each part, for each head: exp(lse) over the sum of all exp(lse)
    return (shares[:, :, None] * outs).sum(0, keepdim=True)


draw, tokens = torch.Generator().manual_seed(0), 500
long_k, long_v = (torch.randn(40, 16, 2, 64, generator=draw).to(model.device) for _ in "kv")
long_q = torch.randn(1, 4, 64, generator=draw).to(model.device)
table = torch.randperm(40, generator=draw)[:32].to(model.device)
whole = attention.paged_decode(long_q, long_k, long_v, table[None], torch.tensor([tokens], device=model.device))
reads = 2 * tokens * 2 * 64 * 4
print(f"{tokens} tokens, 2 KV heads: {reads:,} bytes of keys and values")
for num_parts in (1, 2, 4, 8, 16):
    merged = in_parts(long_q, long_k, long_v, table, tokens, num_parts)
    extra = 2 * num_parts * 4 * (64 + 1) * 4 * (num_parts > 1)  # output and log-sum-exp of each part: written, read again
    print(f"{num_parts:>2} parts: {2 * num_parts:>2} programs of {512 // num_parts:>3} tokens at most, {extra / reads:5.1%} "
          f"more bytes, the same output: {torch.allclose(merged, whole, atol=1e-5)}")

# %% [markdown]
# The 500 tokens need all 32 blocks, so none of these parts is empty. With 480 tokens the last two of 32 blocks hold no
# token, and with 100 tokens 25 blocks hold none. Then a part can be empty. What does the merge give with the guard, and
# without it?

# %%
import warnings

warnings.simplefilter("ignore", RuntimeWarning)  # NumPy warns of 0 / 0; a GPU does not
for tokens_now, num_parts in ((480, 8), (480, 16), (100, 2), (100, 16)):
    alone = attention.paged_decode(long_q, long_k, long_v, table[None], torch.tensor([tokens_now], device=model.device))
    same = {guard: torch.allclose(in_parts(long_q, long_k, long_v, table, tokens_now, num_parts, guard), alone, atol=1e-5)
            for guard in (True, False)}
    empty = num_parts - -(-tokens_now // (512 // num_parts))
    print(f"{tokens_now} tokens in {num_parts:>2} parts, {empty:>2} empty: the same output with the guard: {same[True]}, without: {same[False]}")

# %% [markdown]
# With the guard the output is the same in all of these cases, up to rounding. Without it each case with an empty part
# is wrong. Each part costs bytes for its output and its log-sum-exp, as the first table shows.
#
# Here are the parts in `course_lib`'s kernel: one sequence of 100 tokens in 4 parts, two KV heads, in tiles of 32
# tokens. The last steps are the merge. Which of the programs before the merge read the least?

# %%
from course_lib.attention.kernels import paged
from course_lib.attention.tiles import Tile

short, length = torch.tensor([[9, 4, 12, 1, 6, 3, 10]], device=model.device), torch.tensor([100], device=model.device)
with record_accesses() as log:
    paged.paged_decode(long_q, long_k[:14], long_v[:14], short, length, splits=4, tile=Tile(block_m=16, block_n=32))
parts_view = block_reads_view(**block_reads(log, short, [100]))
parts_view

# %% [markdown]
# Before the merge, the two programs of part 3 read the least: four tokens, all in block 10.
#
# How many parts are best? `course_lib` chooses from shapes: the number of sequences and KV heads, the longest possible
# sequence, and the number of multiprocessors. It does not look at `seq_lens`. A launch puts a kernel into a queue, and
# the CPU goes on at once. To read a number from the GPU, the CPU would wait until the queue is empty. How many programs
# are there, without parts and with them?

# %%
from course_lib.attention.tiles import DECODE_PROGRAMS, decode_splits
from course_lib.viz import chart

batches = [1, 2, 4, 8, 16, 32, 64, 128]
without = [8 * n for n in batches]
parts = [decode_splits(n, 8, 32_768, 132) for n in batches]
chosen = [n * p for n, p in zip(without, parts)]
print("parts:", dict(zip(batches, parts)))
print(f"at once: {DECODE_PROGRAMS} programs on each of 132 multiprocessors = {DECODE_PROGRAMS * 132}")
requests = [str(n) for n in batches]
chart("Programs of a decode step of a Llama 3 8B, sequences of up to 32,768 tokens, on an H200",
      {"in parts, as course_lib chooses": (requests, chosen), "one program a sequence and KV head": (requests, without)},
      x="requests in the step", y="programs", log="y", reference={"132 multiprocessors": ("y", 132)})

# %% [markdown]
# `decode_splits` takes the most parts with which all programs run at once, but at most 64 for a sequence, and at least
# one. (One multiprocessor of an H200 has room for five programs of this kernel.) With more parts, some programs would
# wait until others have ended. From 64 requests on there is one part each. And what do parts bring? One layer's
# attention for one long sequence, recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("08", 1)

# %% [markdown]
# In one part the kernel reads 139 GB/s, and the memory can give 4,800 (4.8 TB/s, lesson 02). Up to 16 parts each
# doubling about halves the time. With 16 parts there are 128 programs, nearly one for each multiprocessor, and from
# there on a doubling gains less: 1.6 times, then 1.2 times. 128 parts are slower than 64: not all of the 1,024 programs
# run at once, and there is more to merge.
#
# ## Build it: a chunk of a prompt
#
# A prompt brings many new tokens at once. A long prompt comes in **chunks**: the first ones were computed in earlier
# steps, and their keys and values are in the cache. The next chunk comes in this step, together with the decode tokens
# of other requests. Three things are new, compared with `decode_kernel`:
#
# - **Which rows belong to a sequence?** `cu_seqlens_q` holds the running sum of new tokens: sequence i has rows `cu_seqlens_q[i]` to `cu_seqlens_q[i + 1] - 1` of `q`.
# - **Which positions do they have?** The last ones. Row i of `new` rows in a sequence of `length` tokens has position `length - new + i`.
# - **Which keys do they see?** Those up to their own position: keys at later positions are masked.
#
# ```text
# position       0 1 2 3 4 5 6 7 8 9 | 10 11 12 13      10 tokens cached, a chunk of 4
# row 0, at 10   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■
# row 1, at 11   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■
# row 2, at 12   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■  ■
# row 3, at 13   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■  ■  ■
# ```
#
# A row of the tile is a pair: a new token, and one of the group's query heads. A tile has 16 such rows, so this kernel
# can use `tl.dot`. The code calls them `lines`, because `rows` are the rows of `q`.

# %%
@triton.jit
def chunk_kernel(q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, tables_ptr, seq_lens_ptr, cu_seqlens_ptr, table_stride, scale,
                 NUM_KV_HEADS: tl.constexpr, GROUP: tl.constexpr, LINES: tl.constexpr, HEAD_DIM: tl.constexpr,
                 BLOCK_SIZE: tl.constexpr):
    sequence, kv_head = tl.program_id(0), tl.program_id(1)
    begin, length = tl.load(cu_seqlens_ptr + sequence), tl.load(seq_lens_ptr + sequence)
    new = tl.load(cu_seqlens_ptr + sequence + 1) - begin
    lines = tl.program_id(2) * LINES + tl.arange(0, LINES)
    dims, offsets = tl.arange(0, HEAD_DIM), tl.arange(0, BLOCK_SIZE)
    token, head = lines // GROUP, kv_head * GROUP + lines % GROUP
    position, inside = length - new + token, (token < new)[:, None]
    rows = ((begin + token) * NUM_KV_HEADS * GROUP + head)[:, None] * HEAD_DIM + dims[None, :]
    q = tl.load(q_ptr + rows, mask=inside, other=0.0) * scale
    m_i = tl.full([LINES], float("-inf"), tl.float32)
    l_i = tl.zeros([LINES], tl.float32)
    acc = tl.zeros([LINES, HEAD_DIM], tl.float32)
    last = length - new + (tl.program_id(2) * LINES + LINES - 1) // GROUP  # the last position of the tile's tokens
    for start in range(0, tl.minimum(length, last + 1), BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + start // BLOCK_SIZE)
        filled = start + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        seen = filled[None, :] & (start + offsets[None, :] <= position[:, None])
        scores = tl.where(seen, tl.dot(q, tl.trans(k), input_precision="ieee"), float("-inf"))
        new_m = tl.maximum(m_i, tl.max(scores, 1))
        alpha, weights = tl.exp(m_i - new_m), tl.exp(scores - new_m[:, None])
        l_i = l_i * alpha + tl.sum(weights, 1)
        acc = tl.dot(weights, v, acc * alpha[:, None], input_precision="ieee")
        m_i = new_m
    tl.store(out_ptr + rows, acc / l_i[:, None], mask=inside)


def my_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """The last tokens of each sequence over all of it. q: [num_tokens, num_heads, head_dim]; returns as q."""
    (_, num_heads, head_dim), (_, block_size, num_kv_heads, _) = q.shape, k_cache.shape
    out, group = torch.empty_like(q), num_heads // num_kv_heads
    tiles = triton.cdiv(int(cu_seqlens_q.diff().max()) * group, 16)
    chunk_kernel[(len(seq_lens), num_kv_heads, tiles)](
        q, k_cache, v_cache, out, block_tables, seq_lens, cu_seqlens_q, block_tables.stride(0), head_dim ** -0.5,
        NUM_KV_HEADS=num_kv_heads, GROUP=group, LINES=16, HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out


as_chunks = my_attention(*inputs, batch.cu_seqlens_q)
print("cu_seqlens_q of the decode step:", batch.cu_seqlens_q.tolist())
print("the same as the model's cache:", torch.allclose(as_chunks, step.out, atol=1e-5))

# %% [markdown]
# A decode step is a chunk of one token each, so the same function computes both. An engine with such a kernel needs no
# difference between prefill and decode: it counts how many tokens of a request are computed (lesson 10).
#
# `Engine(model, attention=…)` takes the function. Here are three requests, with at most 12 tokens a step, so that
# prompts come in chunks while other requests decode. If you have passed `04.allocator`, the blocks that the kernel
# reads are given out by yours:

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator")
parts

# %%
openings = ["Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.",
            "There was once a thoughtful frog by the name of Ember, who", "Far away in an old windmill"]
prompts, params = [tokenizer.encode(text) for text in openings], SamplingParams(max_tokens=8, ignore_eos=True)
setting = EngineConfig(block_size=16, num_blocks=16, max_num_seqs=3, max_num_batched_tokens=12, prefix_caching=False)
engine = Engine(model, setting, attention=my_attention, allocator=parts["04.allocator"])
outputs = engine.generate(prompts, params)
for ids, output in zip(prompts, outputs):
    print(tokenizer.decode(ids + output.token_ids).strip())
alone = [generate_naive(model, ids, params) for ids in prompts]
print("as without any cache:", [output.token_ids for output in outputs] == alone)

# %% [markdown]
# What does it cost to cut a prompt into chunks? Each chunk reads all keys and values before it, also those that the
# chunk before it has read.

# %%
predict("08.chunks", "A prompt of 96 tokens in 4 chunks instead of one. How many bytes of keys and values do the kernels read?",
        ["About as many", "About 4 times as many", "About 16 times as many"], answer=0)

# %%
draw = torch.Generator().manual_seed(1)
prompt_q, there = torch.randn(96, 4, 64, generator=draw).to(model.device), 96 * 2 * 2 * 64 * 4


def in_chunks(size):
    for end in range(size, 97, size):
        lens, cu_seqlens_q = torch.tensor([end], device=model.device), torch.tensor([0, size], device=model.device)
        my_attention(prompt_q[end - size:end], long_k, long_v, table[None], lens, cu_seqlens_q)


for size in (96, 48, 24, 12):
    count = counted(lambda: in_chunks(size))
    print(f"chunks of {size:>2} tokens: {count:>9,.0f} bytes, {count / there:.1f} times what there is")

# %% [markdown]
# Each *tile* reads all keys and values before it, whether the next tile comes in the same step or in a later one. A
# tile of 16 rows has 8 tokens here, so a prompt of 96 tokens has twelve tiles in each of the first three lines. Chunks
# of 12 tokens need a tile and a half each, rounded up to two: sixteen tiles, and more reads. (With 24 it is a little
# less than with 48. The first and the third chunk end in the middle of a block, and the rest of this block is not
# filled yet.) What does a chunk cost in time? `course_lib`'s kernel on an H200:

# %%
recorded("08", 2)

# %% [markdown]
# From 8,192 down to 512 tokens a chunk, the time grows by 12 %. With 128 tokens a chunk it is 4.2 times that of one
# chunk: there are too few programs. 128 tokens with the 4 query heads of a group are 4 tiles of 128 rows; times 8 KV
# heads that is 32 programs for 132 multiprocessors. (And every step reads all weights: lesson 09.)
#
# ## The same in `course_lib`
#
# One function goes through the row of the block table, for decode and for chunks. It calls `fold` and `visible` of
# lesson 07. Look at the first lines of its loop, where the block ids are loaded. (`KIND` and the scales are for caches
# with fewer bits, `sinks` for a window that keeps the first tokens: later lessons. Here `KIND` is "plain".
# `load_numbers` loads a tile of K or V.)

# %%
from course_lib.attention.kernels.paged_walk import _attend

show(_attend)

# %% [markdown]
# What was added, and why:
#
# - A tile of keys is `BLOCK_N` tokens, whatever the block size is: 128 keys from 8 blocks of 16, for example. Each key's own block id is loaded.
# - The ids of the *next* tile are loaded before this tile is computed. The addresses of K and V depend on the ids. Otherwise each turn of the loop waits for memory twice, one after the other.
# - Offsets have 64 bits, for pools of more than 2³¹ numbers.
# - Head sizes that are no power of two, a sliding window, 16-bit numbers, and scores in base 2, because the hardware has exp2.
# - `MASKED`: tiles that every row sees as a whole are computed without a mask (lesson 06).
# - The parts of a long context are a dimension of the grid. A second kernel, `paged.merge_kernel`, does what `in_parts` does after the kernel, with its guard for empty parts.
#
# `paged_attention` finds by binary search in `cu_seqlens_q` which sequence a program works for, so that the CPU does
# not read the lengths. (`my_attention` reads them: `int(…max())`. On a GPU the CPU waits there, in each layer.)
# `explain` says which of the library's functions run as kernels on this machine, and why:

# %% tags=["nbval-ignore-output"]
print(attention.explain())

# %% [markdown]
# ## Measure: time
#
# On a CPU the kernels are interpreted, so their time says nothing about a GPU. But the cost of a gather can be measured
# here: attention over keys and values that lie in one piece, and the same with the gather before it. (These sizes are
# small. The recorded run below has real ones.)

# %%
predict("08.time", "16 sequences of 1,024 tokens on this machine: how long does it take to gather and attend, against attending alone?",
        ["Up to twice as long", "Twice to ten times as long", "More than ten times as long"])

# %% tags=["nbval-ignore-output"]
import torch.nn.functional as F
from torch.utils.benchmark import Timer


def seconds(act):
    """The best of its runs: what else runs on this machine makes some of them slow."""
    timer = Timer("act()", globals={"act": act}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=0.3).times)


# %% tags=["nbval-ignore-output"]
many, tokens = 16, 1024
pool_k, pool_v = (torch.randn(many * tokens // 16, 16, 2, 64, device=model.device) for _ in "kv")
tables = torch.randperm(many * tokens // 16, device=model.device).view(many, -1)
many_q, lens = torch.randn(many, 4, 64, device=model.device), torch.full((many,), tokens, device=model.device)
pieces = [kept[tables].flatten(1, 2).transpose(1, 2) for kept in (pool_k, pool_v)]


def attend_alone():
    return F.scaled_dot_product_attention(many_q.unflatten(1, (2, 2)), *pieces)


def gather_first():
    gathered = [kept[tables].flatten(1, 2).transpose(1, 2) for kept in (pool_k, pool_v)]
    return F.scaled_dot_product_attention(many_q.unflatten(1, (2, 2)), *gathered)


runs = {"attend alone, all in one piece": attend_alone, "gather, then attend": gather_first}
if machine.triton == "compiled":
    runs["my_decode"] = lambda: my_decode(many_q, pool_k, pool_v, tables, lens)
    runs["course_lib's paged_decode"] = lambda: attention.paged_decode(many_q, pool_k, pool_v, tables, lens)
with torch.inference_mode():
    times = {name: seconds(act) for name, act in runs.items()}
for name, t in times.items():
    print(f"{name:<32}{1e6 * t:8.0f} µs, {t / times['attend alone, all in one piece']:.1f} times")

# %% [markdown]
# The count of bytes said about 3 times. Here it can be another number: the gather also allocates new memory for the
# pieces each time. And on an H200? The table has three ways, in GB of keys and values a second: the keys and values are
# counted once, whatever else is moved. Look at the dtypes: the exercise's kernel computes in float32 and the other two
# in bfloat16, so for the same tokens it has to read twice the bytes. So the larger number of GB a second is not always
# the faster way. The cell below the table computes the time. (The column `parts` is from an earlier rule than that of
# `decode_splits` above.)

# %%
recorded("08", 0)

# %%
run = recorded("08", 0)
requests, each = run.column("requests"), run.column("tokens of each")
print(f"{'requests x tokens':>18} {'gather':>10} {'exercise':>10} {'course_lib':>11}   gather / course_lib")
for i, (count, length_each) in enumerate(zip(requests, each)):
    numbers = 2 * count * length_each * 8 * 128  # keys and values, 8 KV heads of 128
    ways = run.tables[0][1][-3:]
    gather, exercise, library = (numbers * size / run.column(way)[i] / 1e3 for way, size in zip(ways, (2, 4, 2)))
    print(f"{count:>7,.0f} x {length_each:>8,.0f} {gather:>7.0f} µs {exercise:>7.0f} µs {library:>8.0f} µs   {gather / library:.1f}")

# %% [markdown]
# With 65,536 tokens or more, over all requests, gathering first takes 2.8 to 3.8 times as long as `course_lib`'s
# kernel: the count of bytes said about 3. The exercise's kernel is `decode_kernel` without the log-sum-exp. For one
# request it has eight programs, and it reads float32. What `course_lib` adds is the list above: parts, larger tiles,
# and loads that are under way while the tile before is computed.
#
# ## Break it
#
# We leave out the mask on the tail. Without the mask the kernel uses all slots of the last block. (Where a sequence
# fills its last block, that is right.) That is what `decode_kernel` does when `seq_lens` is rounded up to whole blocks,
# so we break it in this way, in decode steps only.
#
# The same request is served three times: by the right function, by the careless one in a new pool, and by the careless
# one after another request has finished, whose keys and values are still in the block.

# %%
predict("08.tail", "Which of the three outputs is wrong?",
        ["Both careless ones", "Only the one after another request", "None: the weights of those slots are too small"], answer=1)

# %%
def careless(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    if len(q) == len(seq_lens):  # decode
        size = k_cache.shape[1]
        return my_decode(q, k_cache, v_cache, block_tables, (seq_lens + size - 1) // size * size)[0]
    return my_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q)


other = tokenizer.encode(3 * "Rowan was a thoughtful frog who lived near a salt marsh. Rowan liked long breakfasts best. ")[:60]
asked = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")


def served(function, after_other):
    setting = EngineConfig(block_size=64, num_blocks=1, max_num_seqs=1, prefix_caching=False)
    engine = Engine(model, setting, attention=function)
    if after_other:
        engine.generate([other], SamplingParams(max_tokens=1, ignore_eos=True))
    [output] = engine.generate([asked], SamplingParams(max_tokens=6, ignore_eos=True))
    return tokenizer.decode(output.token_ids).strip()


print("right, after another request:   ", served(my_attention, True))
print("careless, new pool:             ", served(careless, False))
print("careless, after another request:", served(careless, True))

# %% [markdown]
# In a new pool the careless kernel writes the same tokens. The pool was filled with zeros, so the slots after the
# sequence hold zeros: they take a share of the weights and add nothing, every average is too small, and here the most
# likely token is the same. A test with a new pool passes. After another request the output is wrong: its keys and
# values are part of every average. One user's answer is computed from another user's tokens, and no error is raised.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("08")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A row of the block table is shuffled, except its last entry. What changes in the output of a decode step?</b></summary>
#
# Nothing but the rounding. A softmax average does not depend on the order of its terms, and the position of a token is
# in its key already (RoPE, lesson 02). Order matters for the tail, which is in the last block, and for the causal mask
# of a chunk.
# </details>
#
# <details><summary><b>2. Why is the number of parts not chosen from the lengths of the sequences?</b></summary>
#
# The lengths are on the GPU. To read them there, the CPU would have to wait for everything that was launched before, in
# each layer of each step. And a captured graph, launches that are recorded once and then repeated (lesson 13), has
# one grid, whatever the lengths are later.
# </details>
#
# <details><summary><b>3. All 64 requests of a server share a system prompt of 4,096 tokens. What does that save, in memory and in decode?</b></summary>
#
# In memory 63 of 64 copies: its blocks are there once. In decode, with the kernel above, nothing: each sequence has its
# own programs, which read the shared blocks again, and only the GPU's cache can help.
# </details>
#
# ## Next
#
# [exercises/08_triton_paged.ipynb](../exercises/08_triton_paged.ipynb):
# store, decode, split and merge, and the chunk of a prompt, each in torch first and
# then as a kernel, and then inside the engine. Lesson 09 asks what a step costs when many requests share it.
