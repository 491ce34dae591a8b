# %% [markdown]
# # 08 · Attention that follows the block table
#
# - **You will** write the kernels that an engine runs in every layer of every step: keys and values into their slots, decode straight through the block table, a long context in parts, and a chunk of a prompt.
# - **Why** to gather the blocks first copies every key and value once more, in each layer, for each token. A kernel that follows the table reads them once, where they are.
# - **Time** 40 minutes, and two hours for the exercises.
# - **You need** lessons 04, 06 and 07.
# - **After it** you can read the attention backend of a server: `slot_mapping`, `block_tables`, `seq_lens` and `cu_seqlens_q` go in, and you know what each program does with them.

# %% [markdown]
# {{colab}}

# %%
import matplotlib.pyplot as plt
import torch

from course_lib import Engine, EngineConfig, SamplingParams, attention, load_model, predict, setup, show
from course_lib.attention.reference.meter import Meter
from course_lib.decoding import generate_naive
from course_lib.errors import OutOfBounds
from course_lib.kvcache import BlockAllocator, BlockTable, KVPool, PagedCache
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
# ## What a step brings
#
# (From here on a *block* is a page of the cache again. What a program holds at a time is a *tile*.)
#
# A server has just taken a step. It holds three texts in blocks of 16 tokens: R0, its sibling R1, which was told from the
# same prompt and shares its blocks (lesson 05), and R2, a stranger. Each of them writes one token in this step.
# `Listening` keeps what layer 2 was asked, and what it answered.

# %%
class Listening(PagedCache):
    """PagedCache, with an ear at the door of layer 2."""

    def attend(self, layer, q, k, v):
        step = self.batch
        out = super().attend(layer, q, k, v)
        if layer == 2:
            self.heard = q, k, v, step, out
        return out


@torch.inference_mode()
def push(cache, tables, tokens):
    """A step: the new tokens of each table. Returns the logits of all of them."""
    for table, new in zip(tables, tokens):
        table.append_slots(len(new))
    positions = cache.begin_step(tables, [len(new) for new in tokens])
    return model(torch.tensor(sum(tokens, []), device=model.device), positions, cache)


BLOCK_SIZE = 16
mixed = BlockAllocator(16, BLOCK_SIZE)
blocks = mixed.allocate(16)
mixed.free([blocks[i * 7 % 16] for i in range(16)])  # a server that has run for a while: the free list is in no order
cache = Listening(KVPool(config, 16, BLOCK_SIZE, model.device, torch.float32), mixed)

prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. Juniper liked long "
                          "breakfasts best. Every morning the otter looked at the water, and")
stranger = tokenizer.encode("There was once a thoughtful frog by the name of Ember, who lived in a town of many stairs.")
first, third = BlockTable(mixed, name=0), BlockTable(mixed, name=2)
likely = push(cache, [first], [prompt])[-1].topk(2).indices.tolist()
second = first.fork()
likely.append(int(push(cache, [third], [stranger])[-1].argmax()))
push(cache, [first, second, third], [[token] for token in likely])
q, k, v, step, answer = cache.heard
k_cache, v_cache = cache.pool.k[2], cache.pool.v[2]

print(f"q {list(q.shape)}, k and v {list(k.shape)}: a token each, {config.num_heads} query heads over {config.num_kv_heads} KV heads")
print("k_cache", list(k_cache.shape), "  [num_blocks, block_size, num_kv_heads, head_dim]")
print("seq_lens", step.seq_lens.tolist())
print("slot_mapping", step.slot_mapping.tolist(), "  the new token of each")
print("block_tables")
print(step.block_tables)

# %% [markdown]
# That is all that attention is told. R0 and R1 name the same blocks up to the last, and -1 fills the rows up.
#
# ## What a gather costs
#
# Lesson 04 gathered: copy a text's blocks into one piece, then attend. How much more does that move than to read the
# blocks where they are?

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
gathered = gather_then_attend(q, k_cache, v_cache, step.block_tables, step.seq_lens, meter)
once = 2 * int(step.seq_lens.sum()) * config.num_kv_heads * config.head_dim * 4
print("the same as the model's cache:", torch.allclose(gathered, answer, atol=1e-5))
print(f"read {meter.bytes_read:,} bytes, written {meter.bytes_written:,}")
print(f"{meter.bytes_moved / once:.2f} times the {once:,} bytes of these keys and values")

# %% [markdown]
# Read from the blocks, written as a piece, read again; a little more, as whole blocks are gathered. A decode step does
# little arithmetic, so its time is the time of these bytes (lesson 06, the roofline). Three times the bytes is
# about three times the time.
#
# ## Build it: store
#
# The smallest kernel first. Each new token has a slot. A token's numbers, all KV heads, lie side by side in `k` and in
# the cache alike, so one program copies one row: from `token * NUMBERS` to `slot * NUMBERS`. A slot of **-1 is padding**.
# It fills a step up to a fixed number of tokens (lesson 13 says why), and must be written nowhere.

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


mine, slots = torch.zeros_like(k_cache), step.slot_mapping
my_store(k, v, mine, torch.zeros_like(mine), slots)
rows, theirs = mine.flatten(0, 1), k_cache.flatten(0, 1)  # [slots, num_kv_heads, head_dim]
print("slot_mapping:", slots.tolist(), "· rows written:", rows.abs().sum((1, 2)).nonzero().flatten().tolist())
print("the same keys as in the model's cache:", torch.equal(rows[slots], theirs[slots]))

# %% [markdown]
# See it at work on something small: five tokens, the third of which is padding, into 4 blocks of 4 slots. Step through
# the programs. Which rows does program 3 touch, and what does program 2 do?

# %%
from course_lib.attention import record_accesses
from course_lib.viz import programs_view

small = torch.arange(20.0).view(5, 1, 4)
small_cache = torch.zeros(2, 4, 4, 1, 4)
with record_accesses() as log:
    my_store(small, -small, *small_cache, torch.tensor([6, 7, -1, 12, 13]))
store_view = programs_view(log, tensors=["slot_mapping", "k", "k_cache"])
store_view

# %%
store_view.snapshot(step=4)

# %% [markdown]
# And without the `if`? The address of slot -1 lies before the cache. The recorder of lesson 07 stops the kernel in the
# moment before it writes; on a GPU nobody would, and another tensor would hold four wrong numbers.

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
# Now the heart of it. A program takes one sequence and one KV head. It walks along the sequence's row of the block table.
# For each block it loads the id, and from the id come the addresses of keys and values: `slot = block_id * BLOCK_SIZE +
# offset`. The rest is the online softmax of lesson 06.
#
# A query of a decode step is one row. But the query heads that share a KV head want the same keys, so they are taken
# together as the rows of one small matrix: `TOGETHER` of them in a program. Their keys and values are loaded once.
#
# The last block may hold 1 to 16 tokens of this text. What stands behind them is another text's, or nobody's: `filled`
# keeps it out.

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
    top = tl.full([TOGETHER], float("-inf"), tl.float32)
    total = tl.zeros([TOGETHER], tl.float32)
    acc = tl.zeros([TOGETHER, HEAD_DIM], tl.float32)
    for start in range(0, length, BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + start // BLOCK_SIZE)  # follow the table
        filled = start + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        scores = tl.where(filled[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.sum(v[None, :, :] * weights[:, :, None], 1)
        top = new_top
    tl.store(out_ptr + rows, acc / total[:, None])
    tl.store(lse_ptr + heads, top + tl.log(total))


def my_decode(q, k_cache, v_cache, block_tables, seq_lens, together=None):
    """(out, lse) of one query a sequence. q: [num_seqs, num_heads, head_dim]; lse: [num_seqs, num_heads]."""
    (num_seqs, num_heads, head_dim), (_, block_size, num_kv_heads, _) = q.shape, k_cache.shape
    out, lse, group = torch.empty_like(q), q.new_empty(num_seqs, num_heads), num_heads // num_kv_heads
    together = together or group
    decode_kernel[(num_seqs, num_heads // together)](
        q, k_cache, v_cache, out, lse, block_tables, seq_lens, block_tables.stride(0), head_dim ** -0.5,
        NUM_KV_HEADS=num_kv_heads, GROUP=group, TOGETHER=together, HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out, lse


out, lse = my_decode(q, k_cache, v_cache, step.block_tables, step.seq_lens)
print("the same as the model's cache:", torch.allclose(out, answer, atol=1e-5))

# %% [markdown]
# There is no `tl.dot` in it: with two rows, a matrix unit would be nearly empty, and a decode step waits for memory
# anyway. Multiply and sum does as well. (On a GPU the order of the factors matters, of all things: from 16 rows on,
# Triton takes `weights * v`, summed like this, for a product of matrices, and computes it in TF32. `v * weights` stays in
# float32. Lesson 07 says what TF32 is.)
#
# How many bytes do the programs read, with a program for each KV head and with one for each query head? The recorder
# counts every number that a program asks for.

# %%
predict("08.group", "4 query heads over 2 KV heads. A program for each KV head, instead of one for each query head, reads …",
        ["the same keys and values: all are needed", "half of them", "a quarter of them"], answer=1)

# %%
def counted(launch):
    """Bytes of keys and values that the kernels in launch() read from the caches."""
    with record_accesses() as log:
        launch()
    return log.read["k_cache"] + log.read["v_cache"]


inputs = q, k_cache, v_cache, step.block_tables, step.seq_lens
moved = {"gather, then attend": meter.bytes_moved,
         "kernel, a program a query head": counted(lambda: my_decode(*inputs, together=1)),
         "kernel, a program a KV head": counted(lambda: my_decode(*inputs))}
for name, count in moved.items():
    print(f"{name:<32}{count:>9,.0f} bytes, {count / once:.2f} times what there is")

# %% [markdown]
# Once is the least there can be where every text is another: each has to look at all its keys and values. Every byte beyond
# these is time that a better kernel saves.
#
# ## See it
#
# What each program reads, as the recorder saw it. Left, the programs with the tables that they follow; right, the pool.
# Step through the programs, or touch a block.
#
# - Which blocks are read by two sequences, and why?
# - How much of a last block is read?

# %%
from course_lib.attention import block_reads
from course_lib.viz import block_reads_view

with record_accesses() as log:
    my_decode(*inputs)
names = {"ids": ("seq", "kv_head"), "k": "k_cache", "v": "v_cache"}  # as our kernel calls them
reads_view = block_reads_view(**block_reads(log, step.block_tables, step.seq_lens, **names))
reads_view

# %%
reads_view.snapshot(step=3)

# %% [markdown]
# R0 and R1 share their prompt in memory, and still each of them reads it: their programs do not know of each other. (On a
# GPU the second often finds it in the L2 cache, which all programs share. Kernels that take sequences with a common
# prefix together exist; FlashInfer calls it cascade attention.)
#
# ## A long context
#
# The grid of `decode_kernel` is `(num_seqs, num_kv_heads)`. A GPU runs programs on its **multiprocessors**, of which an
# H200 has 132.

# %%
predict("08.programs", "One request of 131,072 tokens to a Llama 3 8B (32 query heads over 8 KV heads): how many of the "
        "132 multiprocessors work in a decode step?", ["All: the context is long", "32", "8"], answer=2)

# %%
num_seqs, num_kv_heads, multiprocessors = 1, 8, 132
programs = num_seqs * num_kv_heads
print(f"grid ({num_seqs}, {num_kv_heads}): {programs} programs; {multiprocessors - programs} of {multiprocessors} multiprocessors have none")

# %% [markdown]
# Eight programs walk, block after block, and all other multiprocessors wait. The cure is from lesson 06: attention over
# some of the keys and attention over the others can be **merged**, if each part brings its log-sum-exp along. So cut the
# context into parts, a program for each. That is **split-KV**, or Flash-Decoding
# ([crfm.stanford.edu/2023/10/12/flashdecoding.html](https://crfm.stanford.edu/2023/10/12/flashdecoding.html)).
#
# We need no new kernel. A part of a sequence is a sequence: a piece of the row of the table, and a length.

# %%
def in_parts(q, k_cache, v_cache, table, length, num_parts):
    """A decode step of one sequence. q: [1, num_heads, head_dim]; table: [blocks], a multiple of num_parts of them."""
    block_size = k_cache.shape[1]
    pieces = table.view(num_parts, -1)
    begins = torch.arange(num_parts, device=table.device) * pieces.shape[1] * block_size
    lengths = (length - begins).clamp(min=0, max=pieces.shape[1] * block_size)
    outs, lses = my_decode(q.expand(num_parts, -1, -1).contiguous(), k_cache, v_cache, pieces, lengths)
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
# The same output at any number, and a price that grows with it.
#
# What the parts look like in `course_lib`'s kernel: one text of 100 tokens in 4 parts, two KV heads, in tiles of 32 tokens, of which a
# part has one or more. The last steps are the merge. Which programs have the least to do?

# %%
from course_lib.attention.kernels import paged
from course_lib.attention.tiles import Tile

short, length = torch.tensor([[9, 4, 12, 1, 6, 3, 10]], device=model.device), torch.tensor([100], device=model.device)
with record_accesses() as log:
    paged.paged_decode(long_q, long_k[:14], long_v[:14], short, length, splits=4, tile=Tile(block_m=16, block_n=32))
parts_view = block_reads_view(**block_reads(log, short, [100]))
parts_view

# %%
parts_view.snapshot(step=6)

# %% [markdown]
# So how many parts? `course_lib` chooses from shapes alone: how many sequences and KV heads, how long a text may become,
# how many multiprocessors. It must not look at `seq_lens`. A launch only puts a kernel into a queue, and the CPU runs ahead; to read
# a number back from the GPU, it would have to wait until the queue is empty. How many programs are there, without parts and with them?

# %%
from course_lib.attention.tiles import decode_splits

batches = [1, 2, 4, 8, 16, 32, 64, 128]
without = [8 * n for n in batches]
parts = [decode_splits(n, 8, 32_768, 132) for n in batches]
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
axis.plot(range(len(batches)), without, "o-", color="#D55E00", label="one program a sequence and KV head")
chosen = [n * p for n, p in zip(without, parts)]
axis.plot(range(len(batches)), chosen, "s--", color="#0072B2", label="in parts, as course_lib chooses")
axis.axhline(132, color="#555555", lw=1, ls=":")
axis.text(len(batches) - 1, 118, "132 multiprocessors", ha="right", va="top", fontsize=9)
axis.set(yscale="log", xticks=range(len(batches)), xticklabels=batches, xlabel="requests in the step", ylabel="programs",
         title="Decode of a Llama 3 8B, texts of up to 32,768 tokens, on an H200")
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
print("parts:", dict(zip(batches, parts)))

# %% [markdown]
# Few requests need parts; many fill the GPU by themselves, and there it takes one part each. And what do parts bring? One
# layer's attention for one long text, recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("08", 1)

# %% [markdown]
# In one part the memory is nearly idle. Each doubling nearly halves the time, until every multiprocessor has about one
# program. A few programs for each still help, as they wait for memory in turn; beyond that there is only more to merge.
#
# ## Build it: a chunk of a prompt
#
# A prompt brings many new tokens at once, and a long one comes in **chunks**: the first were computed in earlier steps
# and stand in the cache, the next come now. In the same step others decode. Three things are new against `decode_kernel`:
#
# - **Whose rows?** `cu_seqlens_q` holds the running sum of new tokens: those of sequence i are rows `cu_seqlens_q[i]` to `cu_seqlens_q[i + 1] - 1` of `q`.
# - **Where do they stand?** At the end. Row i of `new` rows in a text of `length` stands at position `length - new + i`.
# - **What do they see?** Everything up to themselves: mask where the key's position is greater than the row's.
#
# ```text
# position       0 1 2 3 4 5 6 7 8 9 | 10 11 12 13      10 tokens cached, a chunk of 4
# row 0, at 10   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■
# row 1, at 11   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■
# row 2, at 12   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■  ■
# row 3, at 13   ■ ■ ■ ■ ■ ■ ■ ■ ■ ■   ■  ■  ■  ■
# ```
#
# A line of the tile is a pair: a new token, and one of the group's query heads. With 16 lines there is enough for a
# matrix unit, so this one uses `tl.dot`.

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
    top = tl.full([LINES], float("-inf"), tl.float32)
    total = tl.zeros([LINES], tl.float32)
    acc = tl.zeros([LINES, HEAD_DIM], tl.float32)
    last = length - new + (tl.program_id(2) * LINES + LINES - 1) // GROUP  # of the tile; behind it nobody looks
    for start in range(0, tl.minimum(length, last + 1), BLOCK_SIZE):
        block = tl.load(tables_ptr + sequence * table_stride + start // BLOCK_SIZE)
        filled = start + offsets < length
        where = ((block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head)[:, None] * HEAD_DIM + dims[None, :]
        k = tl.load(k_cache_ptr + where, mask=filled[:, None], other=0.0)
        v = tl.load(v_cache_ptr + where, mask=filled[:, None], other=0.0)
        seen = filled[None, :] & (start + offsets[None, :] <= position[:, None])
        scores = tl.where(seen, tl.dot(q, tl.trans(k), input_precision="ieee"), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        shrink, weights = tl.exp(top - new_top), tl.exp(scores - new_top[:, None])
        total = total * shrink + tl.sum(weights, 1)
        acc = tl.dot(weights, v, acc * shrink[:, None], input_precision="ieee")
        top = new_top
    tl.store(out_ptr + rows, acc / total[:, None], mask=inside)


def my_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """The last tokens of each sequence over all of it. q: [num_tokens, num_heads, head_dim]; returns as q."""
    (_, num_heads, head_dim), (_, block_size, num_kv_heads, _) = q.shape, k_cache.shape
    out, group = torch.empty_like(q), num_heads // num_kv_heads
    tiles = triton.cdiv(int(cu_seqlens_q.diff().max()) * group, 16)
    chunk_kernel[(len(seq_lens), num_kv_heads, tiles)](
        q, k_cache, v_cache, out, block_tables, seq_lens, cu_seqlens_q, block_tables.stride(0), head_dim ** -0.5,
        NUM_KV_HEADS=num_kv_heads, GROUP=group, LINES=16, HEAD_DIM=head_dim, BLOCK_SIZE=block_size)
    return out


as_chunks = my_attention(*inputs, step.cu_seqlens_q)
print("cu_seqlens_q of the decode step:", step.cu_seqlens_q.tolist())
print("the same as the model's cache:", torch.allclose(as_chunks, answer, atol=1e-5))

# %% [markdown]
# A decode step is a chunk of one token each: the same function serves both. That is why an engine needs no difference
# between prefill and decode: it only counts how many tokens of a request are computed (lesson 10).
#
# Behind the engine's door it writes real texts. Three requests, at most 12 tokens a step, so that prompts come in pieces
# while others decode:

# %%
openings = ["Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.",
            "There was once a thoughtful frog by the name of Ember, who", "Far away in an old windmill"]
prompts, params = [tokenizer.encode(text) for text in openings], SamplingParams(max_tokens=8, ignore_eos=True)
setting = EngineConfig(block_size=16, num_blocks=16, max_num_seqs=3, max_num_batched_tokens=12)
engine = Engine(model, setting, attention=my_attention)
outputs = engine.generate(prompts, params)
for ids, output in zip(prompts, outputs):
    print(tokenizer.decode(ids + output.token_ids).strip())
alone = [generate_naive(model, ids, params) for ids in prompts]
print("as without any cache:", [output.token_ids for output in outputs] == alone)

# %% [markdown]
# What does it cost to cut a prompt into chunks? Each chunk looks at everything before it, so what was read for the chunk
# before is read again.

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
# It is the *tile* that reads everything before it, whether its neighbours come in the same step or in the next. A tile of
# 16 lines is 8 tokens here, so a prompt of 96 has twelve of them anyway. Only where a chunk does not fill its tiles the
# reads grow: 12 tokens are a tile and a half. (With 24 they even shrink a little: a chunk that ends in the middle of a block finds
# the rest of it empty.) What does a chunk cost in time? `course_lib`'s kernel on an H200:

# %%
recorded("08", 2)

# %% [markdown]
# Large chunks cost next to nothing. Small ones cost much, for a reason that you have met above: too few programs. 128
# tokens with the 4 query heads of a group are 4 tiles of 128 lines, times 8 KV heads: 32 programs for 132
# multiprocessors. (And every step reads all weights: lesson 09.)
#
# ## The same in `course_lib`
#
# One function walks along the table, for decode and for chunks. Compare it with the loop above:

# %%
show(paged._attend)

# %% [markdown]
# What was added, and why:
#
# - A tile of keys is `BLOCK_N` tokens, whatever the block size: 128 keys from 8 blocks of 16, say. Each key's own block id is loaded.
# - The ids of the *next* tile are loaded before this one is computed. The addresses of K and V hang on them, so otherwise every turn of the loop would wait twice.
# - Offsets in 64 bits: a pool of more than 2³¹ numbers is nothing special.
# - Head sizes that are no power of two, a sliding window, half precision, and scores in base 2, since the hardware has exp2.
# - Tiles that every row sees as a whole need no mask (lesson 06), and get none.

# %%
show(paged.decode_kernel)

# %% [markdown]
# The parts are a dimension of the grid, and their merge is a kernel too, as in `in_parts`, with `2 ** lse` in place of exp.

# %%
show(paged.merge_kernel)

# %% [markdown]
# `paged_attention` finds out by binary search in `cu_seqlens_q` which sequence a program works for, so that the CPU never
# has to read the lengths. (`my_attention` reads them: `int(…max())`. On a GPU that is a wait in each layer.) Which of
# these runs here, and why?

# %% tags=["nbval-ignore-output"]
print(attention.explain())

# %% [markdown]
# ## Measure: time
#
# On a CPU the kernels are only interpreted, so their time says nothing. But what a gather costs can be seen anywhere:
# attention over keys and values that lie in one piece, and the same with the gather before it. (With a GPU: these are so
# small that you see what it takes to start the kernels, not what they take. The recorded run below is of a real size.)

# %%
predict("08.time", "16 texts of 1,024 tokens on this machine: how long does it take to gather and attend, against attending alone?",
        ["Up to twice as long", "Twice to ten times as long", "More than ten times as long"])

# %% tags=["nbval-ignore-output"]
import time

import torch.nn.functional as F


def seconds(act):
    """The best of a second's tries: others at work on this machine make some of them slow."""
    best, end = float("inf"), time.perf_counter() + 1
    while time.perf_counter() < end:
        start = time.perf_counter()
        act()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


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
# On a CPU it is more than the bytes alone would say: it also has to find new memory for the pieces every time, and what
# attention reads again and again stays in its caches. And on an H200? Three ways, in GB of keys and values a second,
# counted once, whatever is moved besides:

# %%
recorded("08", 0)

# %% [markdown]
# To gather first costs about what the count of bytes says, wherever there is enough to read. The exercise's kernel, which
# is our `decode_kernel` without the log-sum-exp, follows the table and comes no further: for one request it has only
# eight programs, and with many requests each program still waits for one block of 16 tokens before it asks for the next. What
# lies between it and `course_lib`'s is the list above, most of all parts, larger tiles, and loads that are under way
# while others are computed.
#
# ## Break it
#
# The mask on the tail. It is easy to forget, as nothing goes wrong where a text ends with a block. To forget it is to
# take `seq_lens` rounded up to whole blocks, so that is how we break it: in decode steps only, and nothing else is
# changed.
#
# The same request is served three times: by the sound function, by the careless one in a fresh pool, and by the careless
# one after a guest has gone, whose numbers still stand in the block.

# %%
predict("08.tail", "Which of the three tells the tale wrongly?",
        ["Both careless ones", "Only the one after the guest", "None: what stands behind weighs next to nothing"], answer=1)

# %%
def careless(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    if len(q) == len(seq_lens):  # decode
        size = k_cache.shape[1]
        return my_decode(q, k_cache, v_cache, block_tables, (seq_lens + size - 1) // size * size)[0]
    return my_attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q)


guest = tokenizer.encode(3 * "Rowan was a thoughtful frog who lived near a salt marsh. Rowan liked long breakfasts best. ")[:60]
asked = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")


def served(function, after_guest):
    setting = EngineConfig(block_size=64, num_blocks=1, max_num_seqs=1, prefix_caching=False)
    engine = Engine(model, setting, attention=function)
    if after_guest:
        engine.generate([guest], SamplingParams(max_tokens=1, ignore_eos=True))
    [output] = engine.generate([asked], SamplingParams(max_tokens=6, ignore_eos=True))
    return tokenizer.decode(output.token_ids).strip()


print("sound, after a guest     …", served(my_attention, True))
print("careless, fresh pool     …", served(careless, False))
print("careless, after a guest  …", served(careless, True))

# %% [markdown]
# In a fresh pool the careless kernel writes the same words: behind the text stand zeros. They take a share of the weight
# and bring nothing: every average is smaller, and the likeliest token here is the same. That is how such a bug passes
# its tests. After the guest, Juniper's tale is another one: the guest's keys and values take
# part in every average. One user's answer is made from another one's text, and no error is raised.
#
# ## Three questions
#
# <details><summary><b>1. A row of the block table is shuffled, the last entry apart. What changes in the output of a decode step?</b></summary>
#
# Nothing but the rounding. A softmax average does not depend on the order of its terms, and where a token stands is in
# its key already (RoPE, lesson 02). Order matters for the tail, which is in the last block, and for the causal mask of a
# chunk.
# </details>
#
# <details><summary><b>2. Why is the number of parts not chosen from the lengths of the texts?</b></summary>
#
# The lengths are on the GPU. To read them there, the CPU would have to wait for everything that was launched before, in
# each layer of each step. And a captured graph (lesson 13) has one grid, whatever the lengths are later.
# </details>
#
# <details><summary><b>3. All 64 requests of a server share a system prompt of 4,096 tokens. What does that save, in memory and in decode?</b></summary>
#
# In memory nearly everything: its blocks stand there once. In decode, with the kernel above, no read: each sequence has
# programs of its own that read the shared blocks again, and only the GPU's cache can help.
# </details>
#
# ## Next
#
# `exercises/08_triton_paged.ipynb`: store, decode, split and merge, and the chunk of a prompt, each in torch first and
# then as a kernel, and then inside the engine. Lesson 09 asks what a step costs when many requests share it.
