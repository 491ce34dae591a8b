# %% [markdown]
# # 04 · The paged allocator
#
# - **You will** cut the cache into pages, write the free list and the block table that hand them out, serve several requests from one pool, and watch every block as they come, grow and go.
# - **Why** reserving for the longest text leaves most of the memory idle. With pages nearly all of it holds tokens, so several times as many requests fit on the same GPU.
# - **Time** 40 minutes, and an hour and a half for the exercises.
# - **You need** lessons 02 and 03.
# - **After it** you can read a server's block manager: you know what a block table, a slot mapping and a reference count are for, and which four sentences must be true of them at all times.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import generate_cached, generate_naive
from course_lib.kvcache import BlockAllocator, BlockTable, ContiguousCache, KVPool, PagedCache
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## Memory in pages
#
# Lesson 03 ended with a question. A request's cache had to be one contiguous piece, reserved before anybody knew how
# long the text would grow. Does it have to be?
#
# Operating systems solved this long ago. A program sees one long row of addresses, its *virtual* memory. The machine has
# *physical* memory, cut into **pages** of one size. A page table says which physical page stands behind each virtual
# one, and they may stand anywhere. Nothing is reserved: a page is handed out when it is first needed.
#
# PagedAttention ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180)) does the same with keys and values. Its words,
# and vLLM's:
#
# | operating system | here | |
# |---|---|---|
# | page | **block** | room for the keys and values of `block_size` tokens, in all layers |
# | address | **slot** | room for one token: `block_id * block_size + offset` |
# | page table | **block table** | the block ids of one text, in the order of the text |
# | free pages | **free list** | the blocks that nobody holds |
#
#     position        0 1 2 3 | 4 5 6 7 | 8 9             a text of 10 tokens, block_size 4
#     block table     7       | 2       | 5               any blocks, in the order of the text
#     slot            28 … 31 | 8 … 11  | 20 21           the last block has room for two more
#
# Only the last block of a text can be partly empty. That is all the waste there is.

# %%
predict("04.waste", "Blocks hold 16 tokens. How many slots of a text's last block are empty, on average over texts of all lengths?",
        ["About 1", "About 8", "It grows with the length of the text"], answer=1)

# %%
empty = [-length % 16 for length in range(1, 2049)]
print(f"texts of 1 to 2,048 tokens: {sum(empty) / len(empty)} slots empty on average, {max(empty)} at most")

# %% [markdown]
# Half a block, whatever the length.
#
# ## Build it: a free list
#
# The **allocator** knows which blocks are free. It hands them out by number and takes them back. It has never heard of
# texts or tensors.

# %%
class FreeList:
    """Hands out blocks 0 to num_blocks - 1 and takes them back."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.blocks = list(range(num_blocks))[::-1]  # the end is the top of the stack

    @property
    def num_free(self):
        return len(self.blocks)

    def allocate(self, n=1):
        if n > len(self.blocks):
            return None  # no room, and nothing is taken
        return [self.blocks.pop() for _ in range(n)]

    def free(self, block_ids):
        self.blocks += block_ids

# %% [markdown]
# Note the None. **Out of memory is an answer here, not a crash**: it happens every second on a busy server. Whoever
# asked waits, or somebody else gives up blocks. What must not happen is half an answer: either all n blocks, or none, and
# then nothing has changed.
#
# The **block table** is one text's view of memory. It asks for a block when the last one is full.

# %%
class Table:
    """The blocks of one text, in the order of the text."""

    def __init__(self, allocator):
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0

    def append_slots(self, n):
        """Room for n more tokens: their slots. None where memory is short, and then nothing has changed."""
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
# Two texts grow side by side in a memory of 5 blocks of 4 tokens. Look at the ids: neither text lies in one piece, and
# neither knows it.

# %%
allocator = FreeList(num_blocks=5, block_size=4)
one, two = Table(allocator), Table(allocator)
print("one writes 6 tokens:", one.append_slots(6))
print("two writes 3 tokens:", two.append_slots(3))
print("one writes 4 tokens:", one.append_slots(4))
print("tables:", one.block_ids, two.block_ids, "· free:", allocator.num_free)
print("two writes 6 tokens:", two.append_slots(6))
print("two writes 5 tokens:", two.append_slots(5))
print("one writes 3 tokens:", one.append_slots(3), "· it still has", one.num_tokens, "tokens in blocks", one.block_ids)
two.free()
print("two ends, and one writes 3 tokens:", one.append_slots(3))
print("tables:", one.block_ids, two.block_ids, "· free:", allocator.num_free)

# %% [markdown]
# ## The same in course_lib
#
# `BlockAllocator` adds three things. It **counts references**: how many tables hold a block. With one text a block that is
# always 1; lesson 05 lets several texts share a block. It refuses what cannot be, such as freeing a block twice. And it
# can tell a trace of what happens, from which the view below is drawn. (`sharing` and `evict` are for lesson 05 too.)

# %%
show(BlockAllocator.allocate)

# %%
show(BlockAllocator.free)

# %% [markdown]
# Note the order: look through everything first, change after that. If something is refused, nothing has happened.
#
# Nothing in it is searched for: a block leaves the free list at one end and comes back at the other. So the cost of a
# block should be the same in a memory of a thousand blocks and of a million. Is it?

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
        best = min(best, (time.perf_counter() - start) / 1000)
    return best


for num_blocks in (1_000, 1_000_000):
    print(f"{num_blocks:>9,} blocks: {seconds_a_block(num_blocks) * 1e6:.2f} µs to take a block and give it back")

# %% [markdown]
# ## Slots: where keys and values go
#
# So far these are only integers: the **ledger**. The tensors are in the **pool**, `KVPool`, which knows blocks and slots
# and nothing else. A token's keys and values are *scattered* to its slot; a text's are *gathered* through its block table.

# %%
show(KVPool.write)

# %%
show(KVPool.gather)

# %% [markdown]
# Which slot each token of a step goes to is the **slot mapping**. Write 10 tokens that we can tell apart into the blocks
# 7, 2 and 5 of the picture above, and read them back:

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
# `PagedCache` puts the three together: scatter, gather, and attention in plain torch over what was gathered. (On a GPU kernels
# read the blocks where they are; lesson 08 builds them.) It goes through the same door as every cache of this course. Is anything lost on the way? Three answers to one prompt: with no cache
# at all, with one contiguous piece, and with blocks of 4 in a pool whose free list has been well mixed.

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
print("blocks of the text:", paged.table.block_ids)
print("contiguous as naive:", contiguous == naive, "· paged as naive:", in_pages == naive)

# %% [markdown]
# ## Several requests, one pool
#
# Now for what a contiguous cache cannot do. Here is a small server: requests come at some step, write one token a step,
# and go. All of them live in one pool. A step sends one flat batch through the model, the whole prompt of whoever is
# new and one token of everybody else. Who finds no block waits.

# %%
def serve(requests, allocator, trace=None):
    """New tokens of each request: {name: ids}. requests: {name: (step at which it comes, prompt, how many new tokens)}."""
    pool = KVPool(model.config, allocator.num_blocks, allocator.block_size, model.device, model.dtype)
    cache, waiting, tables, texts, step = PagedCache(pool, allocator), list(requests), {}, {}, 0
    while waiting or tables:
        for name in [name for name in tables if len(texts[name]) == len(requests[name][1]) + requests[name][2]]:
            tables.pop(name).free()  # done
        batch = [(name, texts[name][-1:]) for name in tables if tables[name].append_slots(1) is not None]
        while waiting and requests[waiting[0]][0] <= step:
            name, table = waiting[0], BlockTable(allocator, name=waiting[0])
            if table.append_slots(len(requests[name][1])) is None:
                break  # no room for its prompt: it waits, and so does everybody behind it
            tables[name], texts[name] = table, list(requests[name][1])
            batch.append((waiting.pop(0), requests[name][1]))
        if batch:
            names, tokens = zip(*batch)
            counts = [len(ids) for ids in tokens]
            positions = cache.begin_step([tables[name] for name in names], counts)
            flat = torch.tensor(sum(tokens, []), device=model.device)
            ends = torch.tensor(counts, device=model.device).cumsum(0) - 1  # the last token of each
            for name, row in zip(names, model(flat, positions, cache, logits_for=ends)):
                texts[name].append(int(row.argmax()))
        step += 1
        if trace is not None:
            trace.next_step()
    return {name: texts[name][len(prompt):] for name, (_, prompt, _) in requests.items()}

# %% [markdown]
# Six requests, and 24 blocks of 4 slots. `Trace` writes down what the ledger does.

# %%
from course_lib.trace import Trace

openings = ["Once upon a time, in a quiet harbour, there lived", "My grandmother told me of Nettle, a patient toad", "There was once a thoughtful frog",
            "Far away in an old windmill", "One evening at supper time,", "In a windy valley lived a clever badger named Rosa."]
comes_at, new_tokens = [0, 0, 2, 5, 8, 14], [18, 10, 22, 14, 20, 12]
requests = {i: (comes_at[i], tokenizer.encode(openings[i]), new_tokens[i]) for i in range(6)}

trace = Trace()
written = serve(requests, BlockAllocator(24, 4, trace=trace), trace)
alike = 0
for name, (_, ids, count) in requests.items():
    alone = generate_naive(model, ids, SamplingParams(max_tokens=count, ignore_eos=True))
    alike += written[name] == alone
    trace.text(name, [tokenizer.decode([i]) for i in ids + written[name]])
    print(f"R{name}: {wrapped(tokenizer.decode(ids + written[name])).strip()}")
print(f"the same as alone, without any cache: {alike} of {len(requests)}")

# %% [markdown]
# ## See it
#
# Left, a block table for each request; right, physical memory. Step through it, or drag. Touch a block to see whose
# it is and where it stands in its text.
#
# - Where does R0 continue when its first five blocks are full?
# - Who gets the blocks of R1 when it ends?
# - R5 comes at a bad moment. What does it wait for? And who has to stand still for two steps?

# %%
from course_lib.viz import memory_view

view = memory_view(trace)
view

# %% [markdown]
# The moments to stop at:
#
# - **Step 3.** R2 comes with 9 tokens and takes three blocks: none for what it will write.
# - **Step 11.** R1 has ended, and its blocks are free, in any place. Two steps later two others are at home there.
# - **Step 17.** Not a single block is free. R3 needs one for its next token, R5 needs four for its prompt, and both get
#   None. Nothing breaks: they stand still, and when R0 ends, two steps later, they go on.
# - **Step 21.** R5 lives in the blocks of R0, which has gone. Its table reads 12, 4, 3, 2: the order of the text is in the
#   table alone.
#
# An allocator of your own drives the same cache and the same view, one line each: `PagedCache(pool, MyAllocator(24, 4))` and
# `trace.watch(MyAllocator(24, 4))`. In the exercises you do both.

# %%
view.snapshot(step=21)

# %% [markdown]
# ## Measure: the same requests as in lesson 03
#
# There we drew requests with the lengths of real conversations and served them in the memory that OPT 13B leaves of an A100
# with 40 GB, 15,700 slots, under three policies of reserving. Now the same requests with pages. `simulate_paged` uses
# the real allocator and block tables, and no model. When a running request finds no block, the newest one is thrown out
# and begins again later: it is **preempted**. Lesson 11 is about that; here we only count it.

# %%
from course_lib.kvcache.fragmentation import simulate_paged

show(simulate_paged)

# %%
predict("04.requests", "With the maximum reserved, 7 requests run at once in this memory. How many with blocks of 16?",
        ["About 10", "About 15", "About 30"], answer=2)

# %%
from course_lib.kvcache.fragmentation import (OPT_13B_SLOTS, PARTS, PUBLISHED, draw_requests, mean_shares, reserve_exact,
                                              reserve_maximum, reserve_power_of_two, simulate)

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
# How much of the memory holds a token, ours beside what the paper measured on a real engine (its figure 2)?

# %%
import matplotlib.pyplot as plt

pairs = [("maximum", "Orca (Max)"), ("power of two", "Orca (Pow2)"), ("exact", "Orca (Oracle)"), ("paged", "vLLM")]
figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
for place, (mine, published) in enumerate(pairs):
    for shift, share, colour, hatch in ((-0.2, ours[mine]["used"], "#0072B2", ""), (0.2, PUBLISHED[published]["used"], "#E69F00", "//")):
        axis.barh(place + shift, 100 * share, height=0.36, color=colour, hatch=hatch, edgecolor="white",
                  label=("ours" if shift < 0 else "published") if place == 0 else None)
        axis.text(100 * share + 1, place + shift, f"{share:.1%}", va="center", fontsize=9)
axis.set(yticks=range(len(pairs)), yticklabels=[f"{mine}\n{published}" for mine, published in pairs], xlim=(0, 110),
         xlabel="share of the cache's memory that holds a token, %", title="Reserved in one piece, and in pages")
axis.invert_yaxis()
axis.legend(loc="upper right", frameon=False)
plt.show()

# %% [markdown]
# The paper found 96.3 % in use, so less than 4 % is lost. Before, 20.4 % to 38.2 % was in use. That is the whole reason
# for paging: not that a token is faster, but that many more texts fit, and a GPU that reads its weights once for many texts
# does more with each read. (Lesson 09.)
#
# Two things are not free of charge. Attention has to follow a table. And since nothing is reserved, memory can run out in
# the middle of a text, and somebody is preempted, and must be computed again. Here that happens often, because this server
# lets a request in as soon as its prompt fits, into the very last block, and throws it out again soon after. Real ones
# keep a few blocks back; lesson 11 does it better.
#
# ## How large is a block?
#
# A small block wastes little in the last one. But it makes long tables and many small pieces to gather, and the ledger is
# asked more often. A large block is the other way round. Both sides, counted, from 1 to 256 tokens a block:

# %%
sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
swept = {}
for size in sizes:
    allocator = BlockAllocator(OPT_13B_SLOTS // size, size)
    swept[size] = mean_shares(simulate_paged(many, allocator, 3000)[1000:])
print(f"{'block_size':>10} {'wasted':>8} {'a request':>10} {'at once':>8}   {'table entries':>13} {'blocks asked for':>17}")
print(f"{'':>10} {'':>8} {'in slots':>10} {'':>8}   {'a request':>13} {'per 1,000 tokens':>17}")
for size, shares in swept.items():
    taken = (shares["used"] + shares["internal"]) * OPT_13B_SLOTS
    print(f"{size:>10} {shares['internal']:>8.1%} {shares['internal'] * OPT_13B_SLOTS / shares['requests']:>10.1f} {shares['requests']:>8.1f}   "
          f"{taken / size / shares['requests']:>13.1f} {1000 / size:>17.1f}")

# %% [markdown]
# Waste is half a block for each request, so it doubles from line to line; the table halves. Where is the bargain?

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(range(len(sizes)), [100 * swept[s]["internal"] for s in sizes], "o-", color="#D55E00")
left.set(title="Memory wasted in last blocks", ylabel="%", ylim=(0, None))
entries = [(swept[s]["used"] + swept[s]["internal"]) * OPT_13B_SLOTS / s / swept[s]["requests"] for s in sizes]
right.plot(range(len(sizes)), entries, "s-", color="#0072B2")
right.set(title="Pieces to gather for a request", ylabel="table entries", yscale="log", yticks=[3, 10, 30, 100, 300], yticklabels=[3, 10, 30, 100, 300])
right.minorticks_off()
for axis in (left, right):
    axis.set(xticks=range(len(sizes)), xticklabels=sizes, xlabel="tokens in a block")
    axis.axvspan(3.6, 5.4, color="#999999", alpha=0.2, lw=0)
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# In the grey band, 16 and 32, little is left to win on either side. The paper found its best sizes between 16 and
# 128 on conversations, only 16 and 32 on short texts, and made 16 the default (section 7.2). On this machine, in time:

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
# The ledger's time falls until most tokens need no block of their own, and then levels off. The gather hardly minds the
# size on a CPU: whatever the pieces, it copies every key and value once more, in every layer of every step. Lesson 08
# does without it: its kernel reads the blocks where they are. Does the length of a block count there? Recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("04")

# %% [markdown]
# GB/s are those of keys and values, counted once. To gather first means to read them, to write them in order, and to read them
# again. For the kernel the length hardly matters, even one token: the 128 numbers that a head keeps of a token lie side by side, and that
# is enough to read memory at full speed. So the length is chosen for what stands above: waste, and the ledger's work.
#
# ## Four sentences that must be true
#
# Errors in a ledger do not crash. They lose a block here, or give one to two texts, and show up an hour later as a
# server that is full of nothing, or as an answer to somebody else's question. So say what must be true, and look:
#
# 1. **Every block once.** Free blocks and blocks in use are all blocks.
# 2. **Zero is free.** A block's reference count is 0 exactly when it is free.
# 3. **Counted holders.** A block's reference count is the number of tables that name it.
# 4. **No ghosts.** No living table names a free block, and nobody writes a block that others hold.
#
# A sentence that must be true at all times is an **invariant**. The first two are about the allocator alone:
# `BlockAllocator.check_integrity()`. All four, with the tables of all requests, are `KVCacheManager.check_integrity()`. Here
# they are in the open, looked at after each of 5,000 random operations. (That nobody writes what others hold can only fail
# when texts share blocks: lesson 05.)

# %%
import random
from collections import Counter


def look(allocator, tables):
    counts = [allocator.ref_count(b) for b in range(allocator.num_blocks)]
    holders = Counter(b for table in tables for b in table.block_ids)
    assert allocator.num_free + sum(count > 0 for count in counts) == allocator.num_blocks, "every block once"
    assert allocator.num_free == counts.count(0), "zero is free"
    assert counts == [holders[b] for b in range(allocator.num_blocks)], "counted holders"
    assert all(counts[b] > 0 for b in holders), "no ghosts"


draw, allocator, tables, did = random.Random(0), BlockAllocator(40, 4), [], Counter()
for _ in range(5000):
    what = draw.choice(["begin", "grow", "grow", "grow", "end"])
    if what == "begin":
        tables.append(BlockTable(allocator))
    if what == "grow" and tables and draw.choice(tables).append_slots(draw.randint(1, 9)) is None:
        what = "no room"
    if what == "end" and tables:
        tables.pop(draw.randrange(len(tables))).free()
    look(allocator, tables)
    did[what] += 1
print("all true after each of 5,000 operations:", dict(sorted(did.items())))

# %% [markdown]
# ## Break it
#
# The `FreeList` from the beginning of this lesson believes whatever it is told. Suppose a guest hangs up. One part of the
# server sees that the connection is gone, and frees the guest's blocks. Nettle's story comes and gets them. Then another
# part sees that the guest's request is over, and frees them too. And then Rowan's story comes.

# %%
predict("04.double_free", "What happens when the guest's blocks are freed a second time, and Rowan's story comes?",
        ["Nothing: free is free", "The server stops with an error", "Both stories are written into the same blocks"], answer=2)

# %%
stories = {
    "Nettle": "Nettle was a patient toad who lived in an old windmill. Nettle liked hot baths best.",
    "Rowan": "Rowan was a thoughtful frog who lived near a salt marsh. Rowan liked long breakfasts best.",
}
question = "\n\nWhoever can answer gets the last potato.\n\nWhat did {} like best?"


class Believer(FreeList):
    """FreeList as a BlockTable needs it. It counts nothing, so it says 1 of every block."""

    def ref_count(self, block_id):
        return 1


def evening(twice, trace):
    """A guest comes and goes, two stories are told, and a question is asked about each: {name: (answer, blocks)}."""
    allocator = trace.watch(Believer(24, 8))
    cache = PagedCache(KVPool(model.config, 24, 8, model.device, model.dtype), allocator)

    def push(table, ids):
        table.append_slots(len(ids))
        positions = cache.begin_step([table], [len(ids)])
        logits = model(torch.tensor(ids, device=model.device), positions, cache)
        trace.next_step()
        return int(logits[-1].argmax())

    guest, nettle, rowan = (BlockTable(allocator, name=number) for number in range(3))
    push(guest, prompt)
    blocks = guest.block_ids[:]
    guest.free()
    texts = {name: (tokenizer.encode(story), tokenizer.encode(story + question.format(name))) for name, story in stories.items()}
    push(nettle, texts["Nettle"][0])
    if twice:
        allocator.free(blocks[::-1])
    push(rowan, texts["Rowan"][0])
    answers = {}
    for name, table in (("Nettle", nettle), ("Rowan", rowan)):
        story, whole = texts[name]
        new, said = whole[len(story):], []
        for _ in range(6):
            said.append(push(table, new))
            new = said[-1:]
        answers[name] = tokenizer.decode(said).strip(), table.block_ids
        trace.text(table.name, [tokenizer.decode([i]) for i in whole + said])
    return answers


for twice in (False, True):
    trace = Trace()
    answers = evening(twice, trace)
    print(f"the guest's blocks are freed {'twice' if twice else 'once'}:")
    for name, (answer, blocks) in answers.items():
        print(f"   What did {name} like best? {answer:<36} blocks {blocks}")

# %% [markdown]
# Nobody raised an error. Rowan's story was written over Nettle's, and the model answers from what it finds: asked for the
# toad, it tells what the frog likes. On a real server this is worse than a crash. One user's answer is made from another
# one's text, and neither is told.
#
# The view compares what the allocator did with what the tables hold. R0 is the guest, R1 Nettle's story, R2 Rowan's. Stop at
# step 3, when R2 comes: what do the two tables have in common?

# %%
broken = memory_view(trace)
broken

# %%
broken.snapshot(step=3)

# %% [markdown]
# Which of the four sentences is the first to break? The fourth: when the blocks are freed for the second time, Nettle's
# living table names free blocks. With the table and the allocator of `course_lib`, the second `free` is where it ends:

# %%
from course_lib.errors import LedgerError

allocator = BlockAllocator(24, 8)
guest = BlockTable(allocator, name="guest")
guest.append_slots(len(prompt))
blocks = guest.block_ids[:]
guest.free()
for again in (guest.free, lambda: allocator.free(blocks)):
    try:
        again()
    except LedgerError as error:
        print(wrapped(str(error)), end="\n\n")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Blocks of 1 token waste nothing. Why does nobody use them?</b></summary>
#
# The table is then as long as the text, the ledger is asked for every token, and keys and values are read in pieces of a
# single token. With 16 the waste is 7 or 8 slots a request, next to hundreds that hold tokens, and all of that is 16 times
# less.
# </details>
#
# <details><summary><b>2. Two requests need a block each, and one is free. What does <code>allocate(1)</code> say to the second, and what then?</b></summary>
#
# None. Nothing has changed, and nothing is wrong: the request stands still for this step and asks again in the next, or
# the server throws somebody out. That is for the scheduler to decide (lesson 11), not for the allocator.
# </details>
#
# <details><summary><b>3. External fragmentation is 0 with pages. Why?</b></summary>
#
# It comes from holes that are too small for a piece. All blocks have one size and any block will do, so no hole is too
# small. What is left is internal: the empty end of the last block.
# </details>
#
# ## Next
#
# `exercises/04_paged_allocator.ipynb`: write `BlockAllocator`, `BlockTable`, `slot_mapping`, `gather` and `page_size`
# yourself, and find the leak in somebody else's. Then lesson 05 lets texts share their blocks.
