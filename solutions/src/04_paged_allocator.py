# %% [markdown]
# # Exercises 04 · The paged allocator
#
# Six pieces: the allocator, the block table, the slot mapping, the gather, the size of a block, and a function that
# finds the leak in an allocator of somebody else. The checks run hundreds of small programs on what you write. When one
# fails, the check shortens it to the fewest calls that still fail. `hint("04.allocator")` goes one step further each
# time you call it. A list, dict or tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
from collections import Counter, deque

import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.source import wrapped

_ = setup(quiet=True)

# %% [markdown]
# ## 04.allocator · A free list with counts
#
# Write the allocator. Blocks are numbers, 0 to `num_blocks - 1`. In a new allocator all of them are free. Which free
# block is allocated first is up to you.
#
# - `allocate(n=1)` returns a new list of n different free blocks. From then on each has one holder. n may be 0: the
#   result is `[]`. If fewer than n blocks are free, it returns None and allocates nothing.
# - `fork(block_ids)` adds one holder to each block. The list may name a block twice; that adds two. A block that is
#   free, or an id that does not exist (-1 is one), raises `LedgerError`, and no holder is added.
# - `free(block_ids)` takes one holder from each block. A block without a holder is free again. If the list names a
#   block more often than it has holders, or an id that does not exist, it raises `LedgerError`, and no holder is taken.
# - `num_free` (an attribute or a property, read without brackets) is the number of free blocks. `ref_count(block_id)`
#   is the number of holders of a block. `num_blocks` and `block_size` are attributes.
# - `check_integrity()` raises `IntegrityError` if a block is in the free list twice, if a block is free and has
#   holders, or if a block is neither free nor held. Otherwise it returns nothing. The check tests it on copies of your
#   allocator in which it has changed your containers.
#
# The lists that you are given belong to the caller: do not change them. Each operation except `check_integrity` must
# cost the same with a million blocks as with a thousand; the check counts the items that your containers touch.

# %% nbgrader={"grade_id": "allocator", "solution": true} course={"exercise": "04.allocator"}
class BlockAllocator:
    """Hands out blocks 0 to num_blocks - 1 and takes them back; counts how many hold each."""

    def __init__(self, num_blocks, block_size):
        ### BEGIN SOLUTION
        self.num_blocks, self.block_size = num_blocks, block_size
        self.free_list = deque(range(num_blocks))
        self.counts = [0] * num_blocks
        ### END SOLUTION

    @property
    def num_free(self):
        """The number of free blocks."""
        ### BEGIN SOLUTION
        return len(self.free_list)
        ### END SOLUTION

    def ref_count(self, block_id):
        """The number of holders of the block."""
        ### BEGIN SOLUTION
        return self.counts[block_id]
        ### END SOLUTION

    def allocate(self, n=1):
        """A list of n free blocks, each with one holder from now on. None if fewer are free, and then nothing is allocated."""
        ### BEGIN SOLUTION
        if n > len(self.free_list):
            return None
        block_ids = [self.free_list.popleft() for _ in range(n)]
        for b in block_ids:
            self.counts[b] = 1
        return block_ids
        ### END SOLUTION

    def fork(self, block_ids):
        """Adds one holder to each block. LedgerError for one that is free or does not exist, and then none is added."""
        ### BEGIN SOLUTION
        for b in block_ids:
            if not 0 <= b < self.num_blocks or self.counts[b] == 0:
                raise LedgerError(f"Block {b} is not in use, so nobody can share it.")
        for b in block_ids:
            self.counts[b] += 1
        ### END SOLUTION

    def free(self, block_ids):
        """Takes one holder from each block; without a holder it is free. LedgerError for more than it has; then none is freed."""
        ### BEGIN SOLUTION
        for b, times in Counter(block_ids).items():
            if not 0 <= b < self.num_blocks or times > self.counts[b]:
                raise LedgerError(f"Block {b} is freed more often than it is held.")
        for b in block_ids:
            self.counts[b] -= 1
            if self.counts[b] == 0:
                self.free_list.append(b)
        ### END SOLUTION

    def check_integrity(self):
        """IntegrityError if a block is free twice, is free and held, or is neither."""
        ### BEGIN SOLUTION
        expected = [b for b in range(self.num_blocks) if self.counts[b] == 0]
        if sorted(self.free_list) != expected:
            raise IntegrityError(f"The free list has {sorted(self.free_list)}, but nobody holds {expected}.")
        ### END SOLUTION

# %% nbgrader={"grade_id": "allocator-check", "grade": true, "points": 3}
check("04.allocator", BlockAllocator)

# %% [markdown]
# The paged cache takes your allocator in one line, and the bundled model writes with it:

# %% tags=["raises-exception"]
from course_lib.decoding import generate_cached
from course_lib.kvcache import KVPool, PagedCache

model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
cache = PagedCache(KVPool(model.config, 24, 4, model.device, model.dtype), BlockAllocator(24, 4))
print(wrapped(tokenizer.decode(generate_cached(model, prompt, SamplingParams(max_tokens=40), cache))))

# %% [markdown]
# The memory view takes it in one line, too: `trace.watch(BlockAllocator(24, 4))`. Eight requests come, grow and go.

# %% tags=["raises-exception"]
from course_lib.kvcache.fragmentation import draw_requests, simulate_paged
from course_lib.trace import Trace
from course_lib.viz import memory_view

trace = Trace()
few = draw_requests(8, seed=2, mean_prompt=10, mean_output=14, max_tokens=48, every=3)
steps = simulate_paged(few, trace.watch(BlockAllocator(24, 4)), 60)
memory_view(trace)

# %% [markdown]
# ## 04.block_table · The table of one sequence
#
# Write the block table of one sequence, over an allocator as above.
#
# - `append_slots(n)` takes slots for n more tokens and returns them as a list of ints. A slot is
#   `block_id * block_size + offset`. It allocates a block only when a token needs it. n may be 0: then it returns an
#   empty list and allocates nothing. If too few blocks are free, it returns None and changes nothing.
# - `slot(position)` returns the slot of the token at this position. If there is no such token, it raises
#   `ParameterError`, also for a negative position.
# - `free()` frees all blocks and leaves the table empty. On a table without blocks it does nothing. (The library's
#   table raises `LedgerError` when it is freed a second time. Yours does not.)
# - `block_ids` is the list of its blocks, in the order of the sequence. `num_tokens` is the number of its tokens, an
#   int.

# %% nbgrader={"grade_id": "block_table", "solution": true} course={"exercise": "04.block_table"}
class BlockTable:
    """The blocks of one sequence, in order. allocator: has num_free, block_size, allocate and free."""

    def __init__(self, allocator):
        ### BEGIN SOLUTION
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0
        ### END SOLUTION

    def append_slots(self, n):
        """The slots of n more tokens. None if too few blocks are free, and then nothing is changed."""
        ### BEGIN SOLUTION
        size, start = self.allocator.block_size, self.num_tokens
        missing = -(-(start + n) // size) - len(self.block_ids)
        fresh = self.allocator.allocate(missing)
        if fresh is None:
            return None
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(position) for position in range(start, start + n)]
        ### END SOLUTION

    def slot(self, position):
        """The slot of the token at `position`: block_id * block_size + offset. ParameterError if there is no such token."""
        ### BEGIN SOLUTION
        if not 0 <= position < self.num_tokens:
            raise ParameterError(f"There is no position {position}; {self.num_tokens} tokens are held.")
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size
        ### END SOLUTION

    def free(self):
        """Frees all blocks. The table is empty afterwards."""
        ### BEGIN SOLUTION
        self.allocator.free(self.block_ids)
        self.block_ids, self.num_tokens = [], 0
        ### END SOLUTION

# %% nbgrader={"grade_id": "block_table-check", "grade": true, "points": 2}
check("04.block_table", BlockTable)

# %% [markdown]
# ## 04.slot_mapping · From positions to slots
#
# A step holds tokens of several sequences in one flat batch, at least one token. Compute the slot of each. Without a
# loop it is two lines.
#
# - `block_tables`: int64 `[num_seqs, max_blocks]`, a row for each sequence, padded with -1;
# - `seq_ids`, `positions`: int64 `[num_tokens]`, the sequence of each token and its position in that sequence. Positions
#   and slots can be too large for int32 and float32;
# - returns the slots, an int64 tensor `[num_tokens]`. The three tensors are not changed.

# %% nbgrader={"grade_id": "slot_mapping", "solution": true} course={"exercise": "04.slot_mapping"}
def slot_mapping(block_tables, seq_ids, positions, block_size):
    """The slot of each token, int64 [num_tokens]. block_tables: int64 [num_seqs, max_blocks]; seq_ids, positions: int64 [num_tokens]."""
    ### BEGIN SOLUTION
    blocks = block_tables[seq_ids, positions // block_size]
    return blocks * block_size + positions % block_size
    ### END SOLUTION

# %% nbgrader={"grade_id": "slot_mapping-check", "grade": true, "points": 1}
check("04.slot_mapping", slot_mapping)

# %% [markdown]
# ## 04.gather · One piece again
#
# Attention reads the keys and values of a sequence in the order of its tokens. Gather them from the pool of one layer.
#
# - `k_cache`, `v_cache`: `[num_blocks, block_size, num_kv_heads, head_dim]`;
# - `block_table`: int64 `[max_blocks]`, the blocks of the sequence in order, padded with -1;
# - returns a pair, k and v of its first `num_tokens` tokens (at least one): `[num_tokens, num_kv_heads, head_dim]`
#   each, in the dtype of the pool and with exactly its numbers. Both are new tensors, no views of the pool.
#
# The pool and the table are not changed. Slots and blocks of other sequences may hold anything, nan too.

# %% nbgrader={"grade_id": "gather", "solution": true} course={"exercise": "04.gather"}
def gather(k_cache, v_cache, block_table, num_tokens):
    """k and v of the sequence's tokens in order: [num_tokens, num_kv_heads, head_dim] each."""
    ### BEGIN SOLUTION
    needed = -(-num_tokens // k_cache.shape[1])
    blocks = block_table[:needed]
    return k_cache[blocks].flatten(0, 1)[:num_tokens], v_cache[blocks].flatten(0, 1)[:num_tokens]
    ### END SOLUTION

# %% nbgrader={"grade_id": "gather-check", "grade": true, "points": 1}
check("04.gather", gather)

# %% [markdown]
# ## 04.page_size · How large is a block?
#
# `lengths` are the numbers of tokens of one request or more; each is at least 1. Choose the largest of `block_sizes`
# that wastes at most the share `most_wasted`, a number from 0 to 1: 0.05 stands for 5 %. What is wasted are the empty
# slots in the last blocks, as a share of all slots that the requests take together. Exactly `most_wasted` is allowed,
# and nothing above it.
#
# Return a dict of three ints: `{"block_size": …, "blocks": …, "wasted": …}`, the size, the number of blocks of all
# requests together, and the number of empty slots. If every size wastes more, return None. Neither list is changed;
# `block_sizes` comes in any order.

# %% nbgrader={"grade_id": "page_size", "solution": true} course={"exercise": "04.page_size"}
def page_size(lengths, block_sizes, most_wasted):
    """The largest block size that wastes at most the share `most_wasted` of its slots, with its costs as a dict; or None."""
    ### BEGIN SOLUTION
    best = None
    for size in sorted(block_sizes):
        blocks = sum(-(-length // size) for length in lengths)
        wasted = blocks * size - sum(lengths)
        if wasted / (blocks * size) <= most_wasted:
            best = {"block_size": size, "blocks": blocks, "wasted": wasted}
    return best
    ### END SOLUTION

# %% nbgrader={"grade_id": "page_size-check", "grade": true, "points": 1}
check("04.page_size", page_size)

# %% [markdown]
# Your function on lengths as real conversations have them:

# %% tags=["raises-exception"]
lengths = [r.final for r in draw_requests(500, seed=1)]
for most_wasted in (0.01, 0.02, 0.05, 0.1):
    print(f"at most {most_wasted:.0%} wasted:", page_size(lengths, [1, 2, 4, 8, 16, 32, 64, 128, 256], most_wasted))

# %% [markdown]
# ## 04.find_the_leak · Which operation leaks?
#
# `LedgerA` to `LedgerD` are allocators with one fault each, in one operation. A fault may show only from the third call
# of its operation on, and only when a list of several blocks is given.

# %%
from course_lib.practice.play import LedgerA, LedgerB, LedgerC, LedgerD

for kind in (LedgerA, LedgerB, LedgerC, LedgerD):
    allocator = kind(num_blocks=8, block_size=4)
    block_ids = allocator.allocate(2)
    allocator.free(block_ids)
    print(block_ids, "were taken and given back;", allocator.num_free, "of 8 are free")

# %% [markdown]
# Write a function that finds the fault from outside. `make_allocator(num_blocks, block_size)` makes a new allocator; it
# has `allocate`, `fork`, `free`, `num_free` and `ref_count`. Return a pair, as a tuple or a list: the operation
# (`"allocate"`, `"fork"` or `"free"`), and what it breaks:
#
# - `"lost"`: `num_free` is smaller than the number of blocks without a holder, so a block is lost;
# - `"twice"`: `num_free` is larger, so a block will be given to two requests;
# - `"count"`: `num_free` is right (compare it first), but `ref_count(b)` of some block is not the number of its
#   holders.
#
# If nothing is wrong, return None. (To return None from `allocate(n)` with fewer than n free blocks is right; to lose
# blocks by it is not.)

# %% nbgrader={"grade_id": "find_the_leak", "solution": true} course={"exercise": "04.find_the_leak"}
def find_the_leak(make_allocator):
    """(operation, fault) of the allocators that make_allocator(num_blocks, block_size) makes, or None."""
    ### BEGIN SOLUTION
    num_blocks, held = 8, Counter()
    allocator = make_allocator(num_blocks, 4)

    def fault():
        nobody_holds = sum(held[b] == 0 for b in range(num_blocks))
        if allocator.num_free != nobody_holds:
            return "lost" if allocator.num_free < nobody_holds else "twice"
        if any(allocator.ref_count(b) != held[b] for b in range(num_blocks)):
            return "count"

    for _ in range(3):
        allocator.allocate(num_blocks + 1)  # too many: nothing may be taken
        if fault():
            return "allocate", fault()
        blocks = allocator.allocate(3)
        held.update(blocks)
        if fault():
            return "allocate", fault()
        allocator.fork(blocks)
        held.update(blocks)
        if fault():
            return "fork", fault()
        for _ in range(2):
            allocator.free(blocks)
            held.subtract(blocks)
            if fault():
                return "free", fault()
    ### END SOLUTION

# %% nbgrader={"grade_id": "find_the_leak-check", "grade": true, "points": 2}
check("04.find_the_leak", find_the_leak)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [05 · Sharing and eviction](../notebooks/05_sharing_and_eviction.ipynb).
