# %% [markdown]
# # 04 · The paged allocator
#
# - **You will** cut the cache into blocks, write the free list and the block table, serve several requests from one
#   pool, and watch every block while requests come, grow and end.
# - **Why** to reserve memory for the longest sequence leaves most of it empty. With blocks nearly all of it holds
#   tokens, so several times as many requests fit on the same GPU.
# - **Time** an hour, and two and a quarter hours for the exercises.
# - **You need** lessons 02 and 03.
# - **After it** you can read a server's block manager: you know what a block table, a slot mapping and a reference
#   count are for, and which invariants must hold at all times.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding import generate_cached, generate_naive
from course_lib.kvcache import BlockAllocator, BlockTable, ContiguousCache, KVPool, PagedCache
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)

# %% [markdown]
# ## Memory in pages
#
# In lesson 03 the cache of a request had to be one contiguous piece, reserved before anybody knew how long the sequence
# would grow. Does it have to be contiguous?
#
# The memory of a program does not have to be. A program sees one long row of addresses, its *virtual* memory. The
# machine has *physical* memory, cut into **pages** of one size. A page table says which physical page stands behind
# each virtual page. Physical pages can be anywhere. None is reserved: a page is allocated when it is first needed.
#
# PagedAttention ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180)) does the same with keys and values. Each thing
# of the operating system has its counterpart:
#
# | operating system | here | what it is |
# |---|---|---|
# | page | **block** | room for the keys and values of `block_size` tokens, in all layers |
# | address | **slot** | room for one token: `block_id * block_size + offset`. The offset is its place in the block, from 0 |
# | page table | **block table** | the block ids of one sequence, in order |
# | free pages | **free list** | the blocks that no request holds |
#
#     position        0 1 2 3 | 4 5 6 7 | 8 9             a sequence of 10 tokens, block_size 4
#     block table     7       | 2       | 5               any blocks, in the order of the sequence
#     slot            28 … 31 | 8 … 11  | 20 21           the last block has room for two more tokens
#
# Only the last block of a sequence can be partly empty.

# %%
predict("04.waste", "Blocks hold 16 tokens. How many slots of a sequence's last block are empty, on average over all lengths?",
        ["About 1", "About 8", "It grows with the length of the sequence"], answer=1)

# %%
empty = [-length % 16 for length in range(1, 2049)]
print(f"sequences of 1 to 2,048 tokens: {sum(empty) / len(empty)} slots empty on average, {max(empty)} at most")

# %% [markdown]
# On average about half a block is empty. At most 15 slots are, however long the sequence is.
#
# ## Build it: a free list
#
# The **allocator** knows which blocks are free. It allocates them by number and takes them back. It knows nothing of
# requests and tensors.

# %%
class FreeList:
    """Allocates blocks 0 to num_blocks - 1 and takes them back."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.blocks = list(range(num_blocks))[::-1]  # pop() takes from the end: block 0 first

    @property
    def num_free(self):
        return len(self.blocks)

    def allocate(self, n=1):
        if n > len(self.blocks):
            return None  # no room, and nothing is allocated
        return [self.blocks.pop() for _ in range(n)]

    def free(self, block_ids):
        self.blocks += block_ids

# %% [markdown]
# If too few blocks are free, `allocate` returns None. **Out of memory is a result here, not a crash**: it is normal on
# a busy server. Then the request waits, or another request gives up its blocks. `allocate` returns all n blocks or
# none. A part of them would be of no use to the caller, and another request could not have it.
#
# The **block table** belongs to one sequence. It allocates a block when the last one is full.

# %%
class Table:
    """The blocks of one sequence, in order."""

    def __init__(self, allocator):
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0

    def append_slots(self, n):
        """The slots of n more tokens. None if too few blocks are free, and then nothing is changed."""
        size, start = self.allocator.block_size, self.num_tokens
        missing = -(-(start + n) // size) - len(self.block_ids)  # -(-a // b) is a / b, rounded up
        fresh = self.allocator.allocate(missing)
        if fresh is None:
            return None
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]

    def slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size

    def free(self):
        self.allocator.free(self.block_ids)
        self.block_ids, self.num_tokens = [], 0

# %% [markdown]
# Two sequences grow side by side in a memory of 5 blocks of 4 tokens. Look at the slots: neither sequence stays
# contiguous, and neither table has to know it. For 6 more tokens `two` needs two more blocks, but one is free: None.
# For 5 it needs one.

# %%
allocator = FreeList(num_blocks=5, block_size=4)
one, two = Table(allocator), Table(allocator)
print("one appends 6 tokens:", one.append_slots(6))
print("two appends 3 tokens:", two.append_slots(3))
print("one appends 4 tokens:", one.append_slots(4))
print("tables:", one.block_ids, two.block_ids, "· free:", allocator.num_free)
print("two appends 6 tokens:", two.append_slots(6))
print("two appends 5 tokens:", two.append_slots(5))
print("one appends 3 tokens:", one.append_slots(3), "· it still has", one.num_tokens, "tokens in blocks", one.block_ids)
two.free()
print("two ends, and one appends 3 tokens:", one.append_slots(3))
print("tables:", one.block_ids, two.block_ids, "· free:", allocator.num_free)

# %% [markdown]
# ## The same in course_lib
#
# `BlockAllocator` adds three things:
#
# - It **counts references**: how many tables hold a block. Here each block in use is in one table, so its count is 1.
#   In lesson 05 several tables share a block.
# - It raises `LedgerError` for a call that must be wrong, such as freeing a free block. The **ledger** is what the
#   allocator and the tables keep: only integers.
# - It writes what happens into a trace, from which the view below is drawn.
#
# You have written `allocate`. The checks are in `free`. (`cache`, *hashed* and *evicted* belong to lesson 05. Here
# `cache` is None.)

# %%
show(BlockAllocator.free)

# %% [markdown]
# It checks the whole list before it changes anything. So a call that raises an error changes nothing.
#
# No operation searches: in `BlockAllocator` a block leaves the free list at one end and comes back at the other. So a
# block should cost the same in a memory of a thousand blocks and of a million. Is that so?

# %% tags=["nbval-ignore-output"]
import time


def seconds_a_block(num_blocks):
    allocator = BlockAllocator(num_blocks, 16)
    allocator.allocate(num_blocks // 2)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(100):
            allocator.free(allocator.allocate(10))
        best = min(best, (time.perf_counter() - start) / 1000)  # 100 times 10 blocks
    return best


for num_blocks in (1_000, 1_000_000):
    print(f"{num_blocks:>9,} blocks: {seconds_a_block(num_blocks) * 1e6:.2f} µs to allocate a block and free it")

# %% [markdown]
# It is so: the two times are about the same.
#
# ## Slots: where keys and values go
#
# So far there is only the ledger. The tensors are in the **pool**, `KVPool`, which knows blocks and slots and nothing
# else. The keys and values of new tokens are *scattered*: each is written to its slot, wherever that is. Those of a
# sequence are *gathered*: read through its block table into one piece, in order.
#
# `pool.k` and `pool.v` have the shape `[num_layers, num_blocks, block_size, num_kv_heads, head_dim]`. In one layer,
# `flatten(0, 1)` joins the blocks to one row of slots.

# %%
show(KVPool.write)

# %%
show(KVPool.gather)

# %% [markdown]
# The slots of the tokens of a step are its **slot mapping**. We write the 10 tokens of the first section into its
# blocks 7, 2 and 5, with the keys 10, 20, 30, …, and read them back:

# %%
pool = KVPool(model.config, num_blocks=8, block_size=4, device="cpu", dtype=torch.float32)
table = torch.tensor([7, 2, 5])
positions = torch.arange(10)
slot_mapping = table[positions // 4] * 4 + positions % 4
keys = (10.0 * (positions + 1))[:, None, None].expand(10, model.config.num_kv_heads, model.config.head_dim)
pool.write(0, slot_mapping, keys, -keys)
print("slot mapping:", slot_mapping.tolist())
print("in the pool, a row for each block, first number of each key:")
print(pool.k[0, :, :, 0, 0])
k, v = pool.gather(0, table, 10)
print("gathered again:", k[:, 0, 0].tolist())

# %% [markdown]
# ## The same tokens
#
# `PagedCache` scatters, gathers, and runs attention in plain torch over what was gathered. (On a GPU kernels read the
# blocks where they are; lesson 08 builds them.) The model calls it like every other cache of this course. Here are the
# tokens of one prompt three times: without a cache, with one contiguous cache, and with blocks of 4 in a pool whose
# free list was mixed.

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
params = SamplingParams(max_tokens=60, ignore_eos=True)
mixed = BlockAllocator(32, 4)
blocks = mixed.allocate(32)
mixed.free([blocks[i * 7 % 32] for i in range(32)])
paged = PagedCache(KVPool(model.config, 32, 4, model.device, model.dtype), mixed)

naive = generate_naive(model, prompt, params)
contiguous = generate_cached(model, prompt, params, ContiguousCache(model.config, 128, device=model.device, dtype=model.dtype))
in_pages = generate_cached(model, prompt, params, paged)
print("blocks of the sequence:", paged.table.block_ids)
print("contiguous as naive:", contiguous == naive, "· paged as naive:", in_pages == naive)

# %% [markdown]
# ## Several requests, one pool
#
# All three give the same 60 tokens. Now several requests at once. `serve_paged` is a small server: requests arrive at
# some step, get one token a step, and leave. All of them live in one pool. In a step the model runs once, on a *flat
# batch*: one list of tokens, with the whole prompt of each new request and one token of each other request. The part
# with blocks is short. `BlockTable` is the library's `Table`:
#
#     for each request that has all its tokens:      table.free()
#     for each running request:                      table.append_slots(1)              None: it stands still in this step
#     for the first waiting requests:                table.append_slots(len(prompt))    None: it waits, and all behind it

# %% [markdown]
# Six requests, and 24 blocks of 4 slots. `Trace` records what the ledger does.

# %%
from course_lib.practice.play import serve_paged
from course_lib.trace import Trace

openings = ["Once upon a time, in a quiet harbour, there lived", "My grandmother told me of Nettle, a patient toad", "There was once a thoughtful frog",
            "Far away in an old windmill", "One evening at supper time,", "In a windy valley lived a clever badger named Rosa."]
comes_at, new_tokens = [0, 0, 2, 5, 8, 14], [18, 10, 22, 14, 20, 12]
requests = {i: (comes_at[i], tokenizer.encode(openings[i]), new_tokens[i]) for i in range(6)}

trace = Trace()
written = serve_paged(model, requests, BlockAllocator(24, 4, trace=trace), trace)
alike = 0
for name, (_, ids, count) in requests.items():
    alone = generate_naive(model, ids, SamplingParams(max_tokens=count, ignore_eos=True))
    alike += written[name] == alone
    trace.text(name, [tokenizer.decode([i]) for i in ids + written[name]])
    print(f"R{name}: {wrapped(tokenizer.decode(ids + written[name])).strip()}")
print(f"the same tokens as alone, without a cache: {alike} of {len(requests)}")

# %% [markdown]
# ## See it
#
# On the left is a block table for each request, on the right physical memory. Step through it, or drag. Point at a
# block to see which request holds it, and its place in the sequence.
#
# - Where does R0 continue when its first five blocks are full?
# - Which requests get the blocks of R1 when it ends?
# - What does R5 wait for when it arrives? Which request stands still for two steps?

# %%
from course_lib.viz import memory_view

view = memory_view(trace)
view

# %% [markdown]
# Steps to stop at:
#
# - **Step 3.** R2 arrives with 9 tokens and takes three blocks. It takes none for the tokens to come.
# - **Step 5.** The first five blocks of R0 are full. It continues in block 12.
# - **Step 11.** R1 has ended, and its five blocks are free. At step 17 all five are in the tables of R0, R2, R3 and R4.
# - **Step 15.** R5 arrives. Its prompt needs four blocks, and one is free. It gets None and waits.
# - **Step 17.** No block is free. R3 needs one for its next token, gets None and stands still for two steps. At step 19
#   R0 ends, R3 goes on, and R5 starts.
# - **Step 21.** R5 has blocks that R0 held. Its table is 12, 4, 3, 2, 1: only the table knows the order of the
#   sequence.
#
# An allocator of your own works with the same cache and the same view: `PagedCache(pool, MyAllocator(24, 4))` and
# `trace.watch(MyAllocator(24, 4))`. In the exercises you do both.

# %%
view.snapshot(step=21)

# %% [markdown]
# ## Measure: the same requests as in lesson 03
#
# In lesson 03 we drew requests with the lengths of real conversations and served them in the memory that OPT 13B leaves
# on an A100 with 40 GB, under three policies that reserve. Now the same requests with blocks. `simulate_paged` uses the
# real allocator and block tables, and no model. If a running request finds no block, the newest request is
# **preempted**: it loses its blocks and starts again later. Lesson 11 is about preemption; here it is only counted. The
# columns are those of lesson 03. With blocks nothing is reserved: all empty slots of last blocks count as internal.

# %%
predict("04.requests", "With the maximum reserved, 7 requests run at once in this memory. How many with blocks of 16?",
        ["About 10", "About 15", "About 30"], answer=2)

# %%
from course_lib.kvcache.fragmentation import (OPT_13B_SLOTS, PARTS, PUBLISHED, draw_requests, mean_shares, reserve_exact,
                                              reserve_maximum, reserve_power_of_two, simulate, simulate_paged)

many = draw_requests(1500, seed=1)
policies = {"maximum": reserve_maximum(2048), "power of two": reserve_power_of_two, "exact": reserve_exact}
ours = {name: mean_shares(simulate(many, reserve, OPT_13B_SLOTS, 8000)[1000:]) for name, reserve in policies.items()}
steps = simulate_paged(many, BlockAllocator(OPT_13B_SLOTS // 16, 16), 8000)[1000:]
ours["paged"] = mean_shares(steps)
print(f"{'':<14}" + "".join(f"{part:>10}" for part in PARTS) + f"{'requests at once':>18}")
for name, shares in ours.items():
    print(f"{name:<14}" + "".join(f"{shares[part]:>10.1%}" for part in PARTS) + f"{shares['requests']:>18.1f}")
print(f"preempted: {sum(step['preempted'] for step in steps)} times in {len(steps):,} steps")

# %% [markdown]
# The share of the memory that holds tokens, beside what the paper measured on a real engine (its figure 2):

# %%
from course_lib.viz import chart, panel

pairs = [("maximum", "Orca (Max)"), ("power of two", "Orca (Pow2)"), ("exact", "Orca (Oracle)"), ("paged", "vLLM")]
names = [f"{mine} / {published}" for mine, published in pairs]
print("published:", ", ".join(f"{name} {PUBLISHED[name]['used']:.1%}" for _, name in pairs))
chart("Memory of the cache that holds tokens: reserved in one piece, and in blocks",
      {"ours": (names, [100 * ours[mine]["used"] for mine, _ in pairs]),
       "published": (names, [100 * PUBLISHED[published]["used"] for _, published in pairs])},
      x="policy", y="memory that holds tokens", y_unit="%", kind="bars")

# %% [markdown]
# The paper found 96.3 % in use with blocks, and 20.4 % to 38.2 % with the other policies. That is what blocks are for:
# no token gets faster, but more requests run at once, here 32 instead of 7. Lesson 09 shows what a GPU gains from that.
#
# Blocks have two costs. Attention has to follow a table. And because nothing is reserved, memory can run out in the
# middle of a sequence; then a request is preempted, and its tokens are computed again. Here that happens 1,047 times.
# This server starts a request as soon as its prompt fits, even into the last free block. A server can keep a few blocks
# back, as lesson 11 does.
#
# ## How large is a block?
#
# A small block wastes few slots. But then the table is long, and the allocator has more blocks to allocate. Here are
# both, for blocks of 1 to 256 tokens. The simulation now has 3,000 steps, not 8,000, so the line of 16 differs a little
# from the table above.

# %%
sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
swept = {}
for size in sizes:
    allocator = BlockAllocator(OPT_13B_SLOTS // size, size)
    swept[size] = mean_shares(simulate_paged(many, allocator, 3000)[1000:])
print(f"{'block_size':>10} {'wasted':>8} {'wasted slots':>13} {'requests':>9} {'table entries':>14}")
print(f"{'':>10} {'':>8} {'a request':>13} {'at once':>9} {'a request':>14}")
for size, shares in swept.items():
    taken = (shares["used"] + shares["internal"]) * OPT_13B_SLOTS
    print(f"{size:>10} {shares['internal']:>8.1%} {shares['internal'] * OPT_13B_SLOTS / shares['requests']:>13.1f} "
          f"{shares['requests']:>9.1f} {taken / size / shares['requests']:>14.1f}")

# %% [markdown]
# From line to line the blocks are twice as large. A request wastes about (block_size − 1) / 2 slots, the third column:
# from 8 tokens a block on this about doubles. The table about halves.

# %%
entries = [(swept[s]["used"] + swept[s]["internal"]) * OPT_13B_SLOTS / s / swept[s]["requests"] for s in sizes]
chart("What a block size costs",
      panel({"wasted in last blocks": (sizes, [100 * swept[s]["internal"] for s in sizes])}, x="tokens in a block",
            y="memory wasted", y_unit="%", log="x", reference={"16": ("x", 16)}),
      panel({"entries of a block table": (sizes, entries)}, x="tokens in a block", y="entries a request", log="xy",
            reference={"16": ("x", 16)}))

# %% [markdown]
# Neither curve shows one best size. So we measure on this machine how long `append_slots(1)` takes, for one token, and
# how long a gather takes, for one layer.

# %% tags=["nbval-ignore-output"]
def best_of(act, repeats=7):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return min(times)


def grow(size):
    table = BlockTable(BlockAllocator(1024 // size, size))
    for _ in range(1024):
        table.append_slots(1)


print(f"{'block_size':>10} {'ledger, a token':>16} {'gather of 1,024 tokens, a layer':>32}")
for size in sizes:
    pool = KVPool(model.config, 4096 // size, size, "cpu", torch.float32)
    order = torch.randperm(4096 // size, generator=torch.Generator().manual_seed(0))[: 1024 // size]
    gathering = best_of(lambda: pool.gather(0, order, 1024))
    print(f"{size:>10} {best_of(lambda: grow(size)) / 1024 * 1e6:>13.2f} µs {gathering * 1e6:>29.0f} µs")

# %% [markdown]
# The ledger takes least time with blocks of a middle size. (A single line can be off: other programs run on the
# machine, too.) With blocks of 1 token, each token needs an allocation. With very large blocks, `append_slots` lists
# the slots of the whole last block and returns one of them. (`append_own_slot` is a shorter way.) The gather on a CPU
# depends less on the block size: it always copies all keys and values, in every layer of every step. The kernel of
# lesson 08 does not gather: it reads the blocks where they are. Recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("04")

# %% [markdown]
# GB/s are bytes of keys and values, counted once, per second. To gather first means to read them, write them in order,
# and read them again: three times the bytes. (It is more than three times slower. It also runs several operations of
# torch instead of one kernel.) Following the table is about as fast with blocks of one token as with blocks of 256:
# 4,299 and 4,220. The 128 numbers of a key of one head lie side by side in a block of any size.
#
# So why 16, and not 4? With blocks of 4, 0.3 % of the memory is wasted instead of 1.4 %, and 30.2 requests run at once
# instead of 30.0. That is paid for with work for each block: the tables are four times as long, the allocator allocates
# four times as many blocks, and prefix caching needs four times as many hashes and look-ups (lesson 05). With blocks of
# 256, a fifth of the memory is wasted, and 24.8 requests run. At 16 neither side counts for much. The paper made 16 its
# default (section 7.2): with smaller blocks its own kernels did not use the GPU fully, and with larger ones more memory
# was wasted.
#
# ## Invariants
#
# An error in a ledger often does not crash. It loses a block, or gives one block to two requests. An hour later the
# server is full although little runs, or it answers a question with another request's words. So one says what must be
# true, and checks it:
#
# 1. **Every block once.** Each id is in the free list once, or it is in use.
# 2. **Zero is free.** The reference count of a block is 0 exactly when the block is in the free list.
# 3. **Counted holders.** The reference count of a block is the number of tables that hold it.
# 4. **No ghosts.** No table holds a free block. (This follows from 2 and 3; it is said on its own because it is the
#    error that readers of an answer see.)
#
# A statement that must hold at all times is an **invariant**. The first two concern the allocator alone, and
# `BlockAllocator.check_integrity()` compares the ids in its free list with its counts. The third needs all tables:
# `KVCacheManager.check_integrity()` of the engine does that. Here `look` checks them after each of 5,000 random
# operations:

# %%
import random
from collections import Counter


def look(allocator, tables):
    """Raises IntegrityError or AssertionError for the first invariant that does not hold."""
    allocator.check_integrity()  # 1 and 2, with the ids of the free list
    counts = [allocator.ref_count(b) for b in range(allocator.num_blocks)]
    holders = Counter(b for table in tables for b in table.block_ids)
    assert counts == [holders[b] for b in range(allocator.num_blocks)], "counted holders"  # 3, and so 4


draw, allocator, tables, did = random.Random(0), BlockAllocator(40, 4), [], Counter()
for _ in range(5000):
    what = draw.choice(["begin", "grow", "grow", "grow", "end"]) if tables else "begin"
    if what == "begin":
        tables.append(BlockTable(allocator))
    if what == "grow" and draw.choice(tables).append_slots(draw.randint(1, 9)) is None:
        what = "no room"
    if what == "end":
        tables.pop(draw.randrange(len(tables))).free()
    look(allocator, tables)
    did[what] += 1
print("all hold after each of 5,000 operations:", dict(sorted(did.items())))

# %% [markdown]
# ## Break it
#
# The `FreeList` of this lesson counts nothing. Suppose a user, the *guest*, closes the connection. One part of the
# server sees that and frees the guest's blocks. Nettle's story arrives and gets them. Then another part of the server
# sees that the guest's request has ended, and frees the same blocks again. Then Rowan's story arrives.

# %%
predict("04.double_free", "What happens when the guest's blocks are freed a second time, and Rowan's story comes?",
        ["Nothing: free is free", "The server stops with an error", "Both stories are written into the same blocks"], answer=2)

# %%
stories = {
    "Nettle": "Nettle was a patient toad who lived in an old windmill. Nettle liked hot baths best.",
    "Rowan": "Rowan was a thoughtful frog who lived near a salt marsh. Rowan liked long breakfasts best.",
}
question = "\n\nWhoever can answer gets the last potato.\n\nWhat did {} like best?"


class Uncounted(FreeList):
    """FreeList as BlockTable needs it. It counts nothing, so it returns 1 for every block."""

    def ref_count(self, block_id):
        return 1


from course_lib.practice.play import double_free

for twice in (False, True):
    trace = Trace()
    answers = double_free(model, tokenizer, trace.watch(Uncounted(24, 8)), trace, stories, question, twice)
    print(f"the guest's blocks are freed {'twice' if twice else 'once'}:")
    for name, (answer, blocks) in answers.items():
        print(f"   What did {name} like best? {answer:<36} blocks {blocks}")

# %% [markdown]
# No error is raised. Rowan's story overwrites Nettle's, and the model answers from what it finds: asked about the toad,
# it says what the frog likes. On a server that is worse than a crash. One user's answer is made from another user's
# text, and neither of them notices.
#
# The view compares what the allocator did with what the tables hold. R0 is the guest, R1 is Nettle's story, R2 is
# Rowan's. It opens at step 3, when R2 arrives. Which blocks are in both tables?

# %%
broken = memory_view(trace)
broken.step = 3
broken

# %% [markdown]
# Blocks 0, 1 and 2 are in both tables, and the count of each is 1. So the third invariant fails. The fourth failed
# before that: after the second free, Nettle's table held blocks that were in the free list.
#
# ## What counting detects, and what not
#
# `BlockAllocator` counts references. Does it stop the second free? That depends on whether the blocks have another
# holder by then:

# %%
from course_lib.errors import LedgerError


def freed_again(another_holder):
    """Frees a guest's blocks twice. Between the two, perhaps another request gets them. Says what is noticed."""
    allocator = BlockAllocator(4, 8)
    blocks = allocator.allocate(4)  # the guest
    allocator.free(blocks)
    nettle = BlockTable(allocator, name="Nettle")
    if another_holder:
        nettle.append_slots(32)
    try:
        allocator.free(blocks)
        print("the second free: no error")
    except LedgerError as error:
        print("the second free:", str(error).split(". ")[0])
    allocator.check_integrity()
    print("check_integrity(): no error;", allocator.num_free, "blocks are free")
    rowan = BlockTable(allocator, name="Rowan")
    if rowan.append_slots(32):
        print("blocks of Nettle and Rowan:", nettle.block_ids, rowan.block_ids)
    try:
        look(allocator, [nettle, rowan])
    except AssertionError as error:
        print("an invariant fails:", error)


for another_holder in (False, True):
    print("Another request has the blocks:" if another_holder else "No other request has the blocks:")
    freed_again(another_holder)
    print()

# %% [markdown]
# - **No other holder.** The count is 0 already, so `free` raises `LedgerError`.
# - **Another holder.** The second free takes *Nettle's* reference. The allocator cannot know whose reference it takes:
#   it counts holders and does not know them. `free` raises nothing, and `check_integrity()` finds nothing, because its
#   counts agree with its free list. Rowan gets the same blocks. Then only the third invariant fails, and only the
#   tables show that.
#
# So counting is not enough. The reference must belong to somebody. In the engine of `course_lib` each request frees
# blocks only through its `BlockTable`, and a table can be freed once:

# %%
allocator = BlockAllocator(24, 8)
guest = BlockTable(allocator, name="guest")
guest.append_slots(20)
guest.free()
try:
    guest.free()
except LedgerError as error:
    print(wrapped(str(error)))

# %% [markdown]
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("04")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Blocks of 1 token waste nothing. What do they cost?</b></summary>
#
# The table is then as long as the sequence, and the allocator allocates a block for every token. With 16 there is a
# sixteenth of both, and a request wastes 7 or 8 slots beside hundreds that hold tokens. The kernel above is about as
# fast with both.
# </details>
#
# <details><summary><b>2. Two requests need a block each, and one is free. What does <code>allocate(1)</code> return to the second, and what
# then?</b></summary>
#
# None. Nothing has changed and nothing is wrong. The request stands still in this step and tries again in the next one,
# or the server preempts a request. The scheduler decides that (lesson 11), not the allocator.
# </details>
#
# <details><summary><b>3. External fragmentation is 0 with blocks. Why?</b></summary>
#
# It comes from gaps that are too small for a piece. All blocks have one size and a table takes any of them, so no gap
# is too small. What is left is internal: the empty slots of last blocks.
# </details>
#
# ## Next
#
# [exercises/04_paged_allocator.ipynb](../exercises/04_paged_allocator.ipynb):
# write `BlockAllocator`, `BlockTable`, `slot_mapping`, `gather` and `page_size` yourself, and find the leak in somebody
# else's allocator. In lesson 05 sequences share blocks.
