# %% [markdown]
# # Exercises 05 · Sharing and eviction
#
# Six pieces: a table that can be forked, the copy before a shared block is written, a name for every full block, the
# search for a text's beginning, and two ways to decide what goes when memory is full. The checks play programs
# against your code and show the shortest one that fails. `hint("05.fork")` goes one step further each time you call
# it.

# %% [markdown]
# {{colab}}

# %%
from collections import OrderedDict
from hashlib import sha256

from course_lib import check, hint, progress, setup
from course_lib.kvcache import BlockAllocator
from course_lib.practice.play import Forkable

_ = setup(quiet=True)

# %% [markdown]
# ## 05.fork · Two tables, the same blocks
#
# A table knows its blocks and how many tokens it holds. Write two methods:
#
# - `fork()` returns a second table with the same tokens in the same blocks. Nothing is copied. From then on each goes
#   its own way.
# - `free()` gives up this table's blocks, the last one first, and leaves the table empty: no blocks, no tokens.
#
# The allocator counts. `allocator.fork(block_ids)` adds a reference to each block, `allocator.free(block_ids)` takes
# one away, in the order of the list; a block is free again when nobody holds it. `append_slots` is there already. It
# writes into shared blocks; that is the next exercise, and is not looked at here.

# %% nbgrader={"grade_id": "fork", "solution": true} course={"exercise": "05.fork"}
class BlockTable:
    """The blocks of one text. Several tables may hold the same block."""

    def __init__(self, allocator):
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0

    def append_slots(self, n):
        """Room for n more tokens, as in lesson 04: their slots, or None where memory is short."""
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
        """Gives up this table's blocks, the last one first. Afterwards it holds no blocks and no tokens."""
        ### BEGIN SOLUTION
        self.allocator.free(self.block_ids[::-1])
        self.block_ids, self.num_tokens = [], 0
        ### END SOLUTION

# %% nbgrader={"grade_id": "fork-check", "grade": true, "points": 1}
check("05.fork", BlockTable)

# %% [markdown]
# Your table, with three samples of a prompt of 230 tokens in blocks of 16:

# %% tags=["raises-exception"]
allocator = BlockAllocator(100, 16)
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
# Now `append_slots(n)`. The class begins with what you wrote before: `Forkable` brings `fork()`, `free()` and
# `slot(position)`, which says where a token is kept, and the attributes `allocator`, `block_ids` and `num_tokens`.
#
# `append_slots(n)` returns slots for n more tokens, a list of `block_id * block_size + offset`, and takes fresh
# blocks when the last one is full. If the first of these tokens goes into a block that other tables hold too
# (`allocator.ref_count(block_id)` above 1), then
#
# - a fresh block takes its place in this table,
# - the pair `(source, destination)` joins the list `allocator.copies`; whoever owns the tensors makes the copy before
#   anything is written,
# - this table's reference on the shared block is given back: `allocator.free([source])`.
#
# Where memory is short, return None, and nothing has changed. `allocator.allocate(n)` gives n fresh block ids, or
# None where there are not so many, and then takes nothing; `allocator.num_free` and `allocator.block_size` can be
# read. n may be 0.
#
# The check plays with letters instead of tokens: `write(a, 3)` asks table `a` for three slots, makes the copies that
# are due, and writes the next three letters of the alphabet there. Then every table must read its own text. `0 ×2` is
# block 0 with two references.

# %% nbgrader={"grade_id": "copy_on_write", "solution": true} course={"exercise": "05.copy_on_write"}
class BlockTable(Forkable):
    """The blocks of one text. Several tables may hold the same block; none of them writes into it."""

    def append_slots(self, n):
        """Slots for n more tokens, or None where memory is short, and then nothing has changed."""
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
# Your table serves three samples of the bundled model, through one prompt that was computed once:

# %% tags=["raises-exception"]
import torch

from course_lib import load_model
from course_lib.kvcache import KVPool, PagedCache

model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named")
allocator = BlockAllocator(48, 4)
cache = PagedCache(KVPool(model.config, 48, 4, model.device, model.dtype), allocator)


@torch.inference_mode()
def push(tables, new):
    for table, tokens in zip(tables, new):
        table.append_slots(len(tokens))
    positions = cache.begin_step(tables, [len(tokens) for tokens in new])
    logits = model(torch.tensor(sum(new, [])), positions, cache)
    return [logits[sum(map(len, new[: i + 1])) - 1] for i in range(len(new))]


first = BlockTable(allocator)
push([first], [prompt])
tables = [first, first.fork(), first.fork()]
texts = [tokenizer.encode(f"a {name}")[2:] for name in ("Juniper", "Thistle", "Quill")]
rows = push(tables, texts)
for _ in range(12):
    for text, row in zip(texts, rows):
        text.append(int(row.argmax()))
    rows = push(tables, [text[-1:] for text in texts])
for table, text in zip(tables, texts):
    print(table.block_ids, tokenizer.decode(text))

# %% [markdown]
# ## 05.hash_chain · A name for each full block
#
# Return a list with one hash for each full block of `token_ids`, in order: `bytes`, 16 or more. Two blocks have the
# same hash exactly when the two texts are equal from the beginning up to the end of that block. What is left over at
# the end, less than a block, has none. `sha256(some_bytes).digest()` gives 32 bytes.

# %% nbgrader={"grade_id": "hash_chain", "solution": true} course={"exercise": "05.hash_chain"}
def hash_chain(token_ids, block_size):
    """The hashes of all full blocks of a text, in order."""
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
# A new request has a text of `num_tokens` tokens. `hashes` are those of all its full blocks, as your `hash_chain`
# gives them; `block_of` is a dict from the hashes of all cached blocks to their ids. Return the list of cached blocks
# with which the request can begin: in the order of the text, up to the first that is missing, and never all tokens,
# since the model needs at least one to say what comes next. Change neither of the two.

# %% nbgrader={"grade_id": "match_prefix", "solution": true} course={"exercise": "05.match_prefix"}
def match_prefix(hashes, num_tokens, block_size, block_of):
    """The cached blocks that hold the beginning of a text, in order."""
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
# Both together: what does the second of two questions about one text find?

# %% tags=["raises-exception"]
story = "Once upon a time, in a misty glen, there lived an inventive owl named Thistle. Thistle liked soft rain best. "
one, two = (tokenizer.encode(story + question) for question in ("What did Thistle like best?", "Where did Thistle live?"))
cached = dict(zip(hash_chain(one, 4), range(100)))  # block 0 holds the first four tokens, and so on
found = match_prefix(hash_chain(two, 4), len(two), 4, cached)
print(f"{len(two)} tokens, of which {4 * len(found)} need no computing: {tokenizer.decode(two[1 : 4 * len(found)])!r}")

# %% [markdown]
# ## 05.evict_lru · The longest idle goes first
#
# Write a policy that says which cached blocks may be given up. It is told what happens:
#
# - `use(block_ids)`: a text begins that holds these blocks, in its order. Some may be new, some may have been idle,
#   some may be held by other texts at the same time.
# - `release(block_ids)`: a text with these blocks ends. A block that no text holds any more is **idle** from this
#   moment on; of one text, the last block comes before the others.
# - `evict(n)`: return n idle blocks as a list, the longest idle first, and forget them. Where fewer are idle, return
#   None and change nothing.

# %% nbgrader={"grade_id": "evict_lru", "solution": true} course={"exercise": "05.evict_lru"}
class LRUEviction:
    """Cached blocks: which are in use, and which of the others goes first."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.holders = {}          # block -> how many texts hold it
        self.idle = OrderedDict()  # blocks that nobody holds, the longest idle first
        ### END SOLUTION

    def use(self, block_ids):
        """A text begins that holds these cached blocks, in its order. Others may hold them too."""
        ### BEGIN SOLUTION
        for block in block_ids:
            self.holders[block] = self.holders.get(block, 0) + 1
            self.idle.pop(block, None)
        ### END SOLUTION

    def release(self, block_ids):
        """A text that holds these blocks ends. Those that nobody holds any more are idle now, the last of the text first."""
        ### BEGIN SOLUTION
        for block in reversed(block_ids):
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.idle[block] = None
        ### END SOLUTION

    def evict(self, n):
        """A list of n idle blocks to give up, the longest idle first; they are forgotten. None where fewer are idle."""
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
# The same with importance: `use(block_ids, priority)`. A lower number is more important, as in vLLM. A block is as
# important as the most important text that used it since it was cached. `evict(n)` takes the least important idle
# block first, and the longest idle among equals. An evicted block is forgotten, and its priority with it: when its id
# comes again, it is a new block.

# %% nbgrader={"grade_id": "evict_priority", "solution": true} course={"exercise": "05.evict_priority"}
class PriorityEviction:
    """Cached blocks: which are in use, and which of the others goes first. A lower priority is more important."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.holders, self.priority = {}, {}  # block -> how many texts hold it; the best priority among its users
        self.idle = {}                        # blocks that nobody holds, the longest idle first
        ### END SOLUTION

    def use(self, block_ids, priority):
        """A text of this priority begins that holds these cached blocks. Each keeps the best (lowest) that it was given."""
        ### BEGIN SOLUTION
        for block in block_ids:
            self.holders[block] = self.holders.get(block, 0) + 1
            self.priority[block] = min(priority, self.priority.get(block, priority))
            self.idle.pop(block, None)
        ### END SOLUTION

    def release(self, block_ids):
        """A text that holds these blocks ends. Those that nobody holds any more are idle now, the last of the text first."""
        ### BEGIN SOLUTION
        for block in reversed(block_ids):
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.idle[block] = None
        ### END SOLUTION

    def evict(self, n):
        """A list of n idle blocks to give up: the highest number first, the longest idle among equals. None for too few."""
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
# Your two policies on the assistant of the lesson: its instructions take 32 blocks and come back every sixth time,
# documents of 16 blocks pass in between, and memory has 64 blocks.

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
