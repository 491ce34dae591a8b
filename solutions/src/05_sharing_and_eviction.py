# %% [markdown]
# # Exercises 05 · Sharing and eviction
#
# Six pieces: a table that can be forked, the copy before a shared block is written, a hash for every full block, the
# search for the cached beginning of a sequence, and two policies of eviction. The checks run programs on your code and
# show the shortest one that fails. `hint("05.fork")` goes one step further each time you call it. A list that you
# return is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
from collections import OrderedDict
from hashlib import sha256

from course_lib import check, hint, load_parts, progress, setup
from course_lib.kvcache import BlockAllocator
from course_lib.practice.play import Forkable

_ = setup(quiet=True)

# %% [markdown]
# ## 05.fork · Two tables, the same blocks
#
# A table knows its blocks and how many tokens it holds. Write two methods:
#
# - `fork()` returns a second table with the same tokens in the same blocks, in the same order, over the same allocator.
#   No block is copied. From then on, tokens that are appended to one table are not in the other. A table without blocks
#   can be forked too.
# - `free()` releases this table's blocks, the last one of the sequence first, and leaves the table empty: `block_ids`
#   is an empty list, `num_tokens` is 0.
#
# The allocator counts references. `allocator.fork(block_ids)` adds one to each block; `allocator.free(block_ids)` takes
# one from each, in the order of the list. A block is free again when it has no reference. `append_slots` is given. It
# writes into shared blocks; the next exercise mends that, and this check does not look at it.

# %% nbgrader={"grade_id": "fork", "solution": true} course={"exercise": "05.fork"}
class BlockTable:
    """The blocks of one sequence. Several tables may hold the same block."""

    def __init__(self, allocator):
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0

    def append_slots(self, n):
        """The slots of n more tokens, as in lesson 04, or None if too few blocks are free."""
        size, end = self.allocator.block_size, self.num_tokens + n
        fresh = self.allocator.allocate(-(-end // size) - len(self.block_ids))
        if fresh is None:
            return None
        self.block_ids += fresh
        self.num_tokens = end
        return [self.block_ids[p // size] * size + p % size for p in range(end - n, end)]

    def fork(self):
        """A second table with the same tokens in the same blocks. Nothing is copied."""
        ### BEGIN SOLUTION
        other = BlockTable(self.allocator)
        self.allocator.fork(self.block_ids)
        other.block_ids, other.num_tokens = list(self.block_ids), self.num_tokens
        return other
        ### END SOLUTION

    def free(self):
        """Releases this table's blocks, the last one first. Afterwards it holds no blocks and no tokens."""
        ### BEGIN SOLUTION
        self.allocator.free(self.block_ids[::-1])
        self.block_ids, self.num_tokens = [], 0
        ### END SOLUTION

# %% nbgrader={"grade_id": "fork-check", "grade": true, "points": 1}
check("05.fork", BlockTable)

# %% [markdown]
# Your table, with three samples of a prompt of 230 tokens in blocks of 16. The blocks come from your own allocator if
# you have passed `04.allocator`: `load_parts` checks it again and loads it, or the reference in its place.

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator")
parts

# %% tags=["raises-exception"]
allocator = parts["04.allocator"](100, 16)
first = BlockTable(allocator)
first.append_slots(230)
samples = [first, first.fork(), first.fork()]
print(100 - allocator.num_free, "blocks in use; references on the first:", allocator.ref_count(first.block_ids[0]))
for table in samples:
    table.free()
print(100 - allocator.num_free, "blocks in use after all have ended")

# %% [markdown]
# ## 05.copy_on_write · A copy before a shared block is written
#
# Now `append_slots(n)`. `Forkable` brings `fork()` and `free()` as you wrote them, `slot(position)`, which returns the
# slot of a token, and the attributes `allocator`, `block_ids` and `num_tokens`.
#
# `append_slots(n)` returns a list of slots for n more tokens, `block_id * block_size + offset` each. It allocates new
# blocks when the last one is full. n is an int from 0 on. For 0 it returns an empty list, and nothing is copied. If the
# first of the new tokens goes into a block that other tables hold too (`allocator.ref_count(block_id)` is above 1),
# then
#
# - a new block takes the place of the shared block in this table;
# - the pair of ids `(source, destination)` is appended to the list `allocator.copies`, at its end. Pairs of other
#   tables may be in it already, and stay where they are. The owner of the tensors makes all copies in it before
#   anything is written, and empties it;
# - this table's reference to the shared block is released: `allocator.free([source])`.
#
# If too few blocks are free, return None and change nothing. `allocator.allocate(n)` returns n block ids, or None if
# fewer are free, and then it allocates nothing. `allocator.num_free` and `allocator.block_size` can be read. Allocate
# no more blocks than are needed.
#
# The check writes letters instead of tokens. `write_letters(a, 3)` asks table `a` for three slots, makes the pending
# copies, and writes the next three letters of the alphabet. `write_letters(a, 1, b, 2)` asks both tables for slots
# first. Then every table must read its own sequence. `0 ×2` is block 0 with two references.

# %% nbgrader={"grade_id": "copy_on_write", "solution": true} course={"exercise": "05.copy_on_write"}
class BlockTable(Forkable):
    """The blocks of one sequence. Several tables may hold the same block; none of them writes into it."""

    def append_slots(self, n):
        """The slots of n more tokens. None if too few blocks are free, and then nothing is changed."""
        ### BEGIN SOLUTION
        size, start = self.allocator.block_size, self.num_tokens
        missing = -(-(start + n) // size) - len(self.block_ids)
        shared = n > 0 and start % size > 0 and self.allocator.ref_count(self.block_ids[-1]) > 1
        fresh = self.allocator.allocate(missing + shared)
        if fresh is None:
            return None
        if shared:
            source, destination = self.block_ids[-1], fresh.pop(0)
            self.allocator.copies.append((source, destination))
            self.allocator.free([source])
            self.block_ids[-1] = destination
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]
        ### END SOLUTION

# %% nbgrader={"grade_id": "copy_on_write-check", "grade": true, "points": 3}
check("05.copy_on_write", BlockTable)

# %% [markdown]
# The bundled model continues one prompt in three ways, on your table. The prompt is computed once:

# %% tags=["raises-exception"]
import torch

from course_lib import load_model
from course_lib.kvcache import KVPool, PagedCache

model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named")
allocator = BlockAllocator(48, 4)
cache = PagedCache(KVPool(model.config, 48, 4, model.device, model.dtype), allocator)


@torch.inference_mode()
def forward(tables, new):
    for table, tokens in zip(tables, new):
        table.append_slots(len(tokens))
    positions = cache.begin_step(tables, [len(tokens) for tokens in new])
    logits = model(torch.tensor(sum(new, [])), positions, cache)
    return [logits[sum(map(len, new[: i + 1])) - 1] for i in range(len(new))]


first = BlockTable(allocator)
forward([first], [prompt])
tables = [first, first.fork(), first.fork()]
samples = [tokenizer.encode(f"a {name}")[2:] for name in ("Juniper", "Thistle", "Quill")]  # [2:]: " Juniper" alone
rows = forward(tables, samples)
for _ in range(12):
    for sample, row in zip(samples, rows):
        sample.append(int(row.argmax()))
    rows = forward(tables, [sample[-1:] for sample in samples])
for table, sample in zip(tables, samples):
    print(table.block_ids, tokenizer.decode(sample))

# %% [markdown]
# ## 05.hash_chain · A hash for each full block
#
# `token_ids` is a list of ints from 0 to 2³¹ − 1, and `block_size` an int from 1 on. Return a list with one hash for
# each full block, in order. A last block that is not full has no hash, so the list may be empty. `token_ids` is not
# changed.
#
# - Each hash is of type `bytes`, at least 16 bytes long. A hash function makes all of them:
#   `sha256(some_bytes).digest()` returns 32 bytes.
# - Do not use Python's own `hash`, which has only 8 bytes. If you encode a `hexdigest`, keep at least 32 of its digits:
#   each stands for half a byte.
# - For one `block_size`, two blocks have the same hash exactly when the two sequences are equal from the beginning to
#   the end of that block, in this call and in every later one.

# %% nbgrader={"grade_id": "hash_chain", "solution": true} course={"exercise": "05.hash_chain"}
def hash_chain(token_ids, block_size):
    """The hashes of all full blocks of a sequence, in order."""
    ### BEGIN SOLUTION
    hashes, parent = [], b""
    for start in range(0, len(token_ids) - block_size + 1, block_size):
        block = token_ids[start : start + block_size]
        parent = sha256(parent + repr(list(block)).encode()).digest()
        hashes.append(parent)
    return hashes
    ### END SOLUTION

# %% nbgrader={"grade_id": "hash_chain-check", "grade": true, "points": 2}
check("05.hash_chain", hash_chain)

# %% [markdown]
# ## 05.match_prefix · What is cached already
#
# A new request has `num_tokens` tokens, at least 1. `hashes` is the list of the hashes of all its full blocks, as your
# `hash_chain` returns it. `block_of` is a dict from the hashes of all cached blocks to their ids, ints from 0 on.
# Return the list of the ids of the cached blocks with which the request can begin: in order, up to the first hash that
# is missing. At least one token must be left for the model to compute, because its logits give the next token.
#
# Look up no hash after the first missing one, and do not loop over the cache: it holds hundreds of thousands of blocks.
# Change neither `hashes` nor `block_of`.

# %% nbgrader={"grade_id": "match_prefix", "solution": true} course={"exercise": "05.match_prefix"}
def match_prefix(hashes, num_tokens, block_size, block_of):
    """The ids of the cached blocks that hold the beginning of a sequence, in order."""
    ### BEGIN SOLUTION
    blocks = []
    for block_hash in hashes[: (num_tokens - 1) // block_size]:
        if block_hash not in block_of:
            break
        blocks.append(block_of[block_hash])
    return blocks
    ### END SOLUTION

# %% nbgrader={"grade_id": "match_prefix-check", "grade": true, "points": 2}
check("05.match_prefix", match_prefix)

# %% [markdown]
# Both together: how many tokens does the second of two questions about one tale find in the cache?

# %% tags=["raises-exception"]
story = "Once upon a time, in a misty glen, there lived an inventive owl named Thistle. Thistle liked soft rain best. "
one, two = (tokenizer.encode(story + question) for question in ("What did Thistle like best?", "Where did Thistle live?"))
cached = dict(zip(hash_chain(one, 4), range(100)))  # block 0 holds the first four tokens, and so on
found = match_prefix(hash_chain(two, 4), len(two), 4, cached)
print(f"{len(two)} tokens, of which {4 * len(found)} need no computing: {tokenizer.decode(two[1 : 4 * len(found)])!r}")

# %% [markdown]
# ## 05.evict_lru · The longest idle goes first
#
# Write a policy that chooses which cached blocks are evicted. These calls tell it what happens:
#
# - `use(block_ids)`: a request begins that holds these blocks, in the order of its sequence. Some may be new, some may
#   have been idle, some may be held by other requests at the same time.
# - `release(block_ids)`: a request that holds these blocks ends. A block that no request holds any more is **idle**
#   from now on. Of the blocks of one `release`, the last one of the list counts as idle for longest.
# - `evict(n)` returns a list of n idle blocks, the longest idle first, and forgets them: if such an id comes again, it
#   is a new block. n may be 0. If fewer than n blocks are idle, it returns None and changes nothing.
#
# `use` and `release` return nothing. A request releases the same list of blocks, ints from 0 on, that it used. The
# lists that you are given are not changed.

# %% nbgrader={"grade_id": "evict_lru", "solution": true} course={"exercise": "05.evict_lru"}
class LRUEviction:
    """Cached blocks: which are in use, and which of the others goes first."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.holders = {}          # block -> how many requests hold it
        self.idle = OrderedDict()  # blocks without a holder, the longest idle first
        ### END SOLUTION

    def use(self, block_ids):
        """A request begins that holds these cached blocks, in order. Other requests may hold them too."""
        ### BEGIN SOLUTION
        for block in block_ids:
            self.holders[block] = self.holders.get(block, 0) + 1
            self.idle.pop(block, None)
        ### END SOLUTION

    def release(self, block_ids):
        """A request that holds these blocks ends. Those that no request holds any more are idle now, the last one first."""
        ### BEGIN SOLUTION
        for block in reversed(block_ids):
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.idle[block] = None
        ### END SOLUTION

    def evict(self, n):
        """A list of n idle blocks, the longest idle first; they are forgotten. None if fewer are idle."""
        ### BEGIN SOLUTION
        if n > len(self.idle):
            return None
        return [self.idle.popitem(last=False)[0] for _ in range(n)]
        ### END SOLUTION

# %% nbgrader={"grade_id": "evict_lru-check", "grade": true, "points": 2}
check("05.evict_lru", LRUEviction)

# %% [markdown]
# ## 05.evict_priority · The least important goes first
#
# The same with a priority: `use(block_ids, priority)`. `priority` is an int of any size; a lower number is more
# important, as in vLLM, and it may be negative. The priority of a block is the lowest number of all requests that used
# it since it was cached. It keeps this number while it is idle. `evict(n)` takes the idle block with the highest number
# first, and among equals the one that is idle for longest. An evicted block is forgotten together with its priority.
# `release(block_ids)` is as before.

# %% nbgrader={"grade_id": "evict_priority", "solution": true} course={"exercise": "05.evict_priority"}
class PriorityEviction:
    """Cached blocks: which are in use, and which of the others goes first. A lower priority is more important."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.holders, self.priority = {}, {}  # block -> its number of holders; its best priority
        self.idle = {}                        # blocks without a holder, the longest idle first
        ### END SOLUTION

    def use(self, block_ids, priority):
        """A request of this priority begins that holds these cached blocks. Each keeps the lowest number that it was given."""
        ### BEGIN SOLUTION
        for block in block_ids:
            self.holders[block] = self.holders.get(block, 0) + 1
            self.priority[block] = min(priority, self.priority.get(block, priority))
            self.idle.pop(block, None)
        ### END SOLUTION

    def release(self, block_ids):
        """A request that holds these blocks ends. Those that no request holds any more are idle now, the last one first."""
        ### BEGIN SOLUTION
        for block in reversed(block_ids):
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.idle[block] = None
        ### END SOLUTION

    def evict(self, n):
        """A list of n idle blocks: the highest number first, among equals the longest idle. None if fewer are idle."""
        ### BEGIN SOLUTION
        if n > len(self.idle):
            return None
        order = sorted(self.idle, key=lambda block: -self.priority[block])  # equals stay in their order
        for block in order[:n]:
            del self.idle[block], self.priority[block]
        return order[:n]
        ### END SOLUTION

# %% nbgrader={"grade_id": "evict_priority-check", "grade": true, "points": 2}
check("05.evict_priority", PriorityEviction)

# %% [markdown]
# Your two policies on the assistant of the lesson: its instructions take 32 blocks and come back with every sixth
# request. Documents of 16 blocks come in between, and memory has 64 blocks.

# %% tags=["raises-exception"]
def instructions_found(policy, with_priority):
    """How many of the instructions' 32 blocks are still there, each time they are asked for again."""
    instructions, cached, fresh, found = list(range(32)), set(), 32, []
    for turn in range(31):
        important = turn % 6 == 0
        blocks = instructions if important else list(range(fresh, fresh + 16))
        fresh += 0 if important else 16
        if important and turn:
            found.append(len(cached & set(instructions)))
        policy.use(blocks, 0 if important else 1) if with_priority else policy.use(blocks)
        cached |= set(blocks)
        if len(cached) > 64:
            cached -= set(policy.evict(len(cached) - 64))
        policy.release(blocks)
    return found


print("LRU:     ", instructions_found(LRUEviction(), False))
print("priority:", instructions_found(PriorityEviction(), True))

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [06 · FlashAttention](../notebooks/06_flash_attention.ipynb).
