# %% [markdown]
# # 05 · Sharing and eviction
#
# - **You will** let several sequences hold the same block, copy it only before one of them writes, find computed blocks
#   again by their content, and decide which to evict when memory is full.
# - **Why** people ask for several answers to one prompt, and thousands of prompts begin with the same instructions.
#   What is equal should be kept once and computed once.
# - **Time** an hour, and two and a quarter hours for the exercises.
# - **You need** lesson 04.
# - **After it** you can count what sharing saves, in blocks and in tokens, and say why a server hashes only full
#   blocks, chains the hashes, and always computes at least one token.

# %% [markdown]
# {{colab}}

# %%
import functools

import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager, KVPool, PagedCache
from course_lib.practice.play import write_samples

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)

# %% [markdown]
# ## One prompt, several samples
#
# A chat window offers three answers to choose from. A programming assistant generates ten programs and keeps those that
# pass the tests. This is **parallel sampling**: one prompt, several continuations, each with its own random numbers.
#
# Until each sample has its first token, all have the same sequence. So they can hold the same blocks. The allocator of
# lesson 04 counts references: `fork(block_ids)` adds a reference to each block, `free(block_ids)` takes one away, and a
# block is free when its **reference count** is 0.
#
# There is one difficulty. A prompt seldom ends where a block ends:
#
#     prompt      | Once upon a time | there lived a ___ |      block_size 4: one slot is left in the last block
#     sample A    |                  |               fox |      A must write "fox" into it,
#     sample B    |                  |               hen |      and B must write "hen" into it
#
# Full blocks are never written again, so they can stay shared. The last block is written. Before a sample writes into a
# block that others hold too, it gets a copy: **copy-on-write**, as in an operating system after `fork()`.
#
# (vLLM's first engine did this. Its present core has no fork of block tables any more: a request with n samples becomes
# n requests with one prompt, which find each other's full blocks by their content, as in the second half of this
# lesson. Copy-on-write is still the plainest way to see what it takes to share a block.)
#
# ## Build it
#
# Here is a block table that can be forked. `fork`, `copy_last` and the `elif` are new. Unlike the table of lesson
# 04 it allocates slot by slot, and does not check whether enough blocks are free.

# %%
class Table:
    """The blocks of one sequence. A fork holds the same blocks."""

    def __init__(self, allocator):
        self.allocator, self.block_ids, self.num_tokens = allocator, [], 0

    def fork(self):
        other = type(self)(self.allocator)
        other.block_ids, other.num_tokens = self.block_ids[:], self.num_tokens
        self.allocator.fork(self.block_ids)  # one reference more on each
        return other

    def append_slots(self, n):
        return [self.append_slot() for _ in range(n)]

    def append_slot(self):
        if self.num_tokens % self.allocator.block_size == 0:
            self.block_ids += self.allocator.allocate(1)
        elif self.allocator.ref_count(self.block_ids[-1]) > 1:
            self.copy_last()
        self.num_tokens += 1
        return self.slot(self.num_tokens - 1)

    def copy_last(self):
        shared = self.block_ids[-1]
        [fresh] = self.allocator.allocate(1)
        self.allocator.copies.append((shared, fresh))  # whoever owns the tensors copies before it writes
        self.allocator.free([shared])                  # one reference less
        self.block_ids[-1] = fresh

    def slot(self, position):
        size = self.allocator.block_size
        return self.block_ids[position // size] * size + position % size


# %% [markdown]
# The ledger only records that a copy is needed, as a pair `(source, destination)` in `allocator.copies`. `PagedCache`
# makes the copies in the tensors before it writes anything. Two helpers for this lesson: a memory, and one step of the
# model for any number of sequences. `write_samples` gives each table a new token in each step, until each sample has
# `max_tokens` tokens.

# %%
def memory(num_blocks, block_size, **how):
    """A ledger, and the cache with the tensors behind it."""
    allocator = BlockAllocator(num_blocks, block_size, **how)
    return allocator, PagedCache(KVPool(model.config, num_blocks, block_size, model.device, model.dtype), allocator)


@torch.inference_mode()
def forward(cache, tables, new):
    """Computes the new tokens of all tables, which have slots for them, in one step. A row of logits for each."""
    positions = cache.begin_step(tables, [len(tokens) for tokens in new])
    ids = torch.tensor([token for tokens in new for token in tokens], device=model.device)
    ends = torch.tensor([len(tokens) for tokens in new], device=model.device).cumsum(0)
    return model(ids, positions, cache, logits_for=ends - 1)


# %%
predict("05.copies", "A prompt of 23 tokens in blocks of 4: the last block holds 3. "
        "Three samples go on from it. How many blocks are copied?",
        ["One", "Two", "Three", "18, six for each"], answer=1)

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
params = [SamplingParams(temperature=1.0, seed=seed, max_tokens=14, ignore_eos=True) for seed in range(3)]

print(len(prompt), "tokens in the prompt")
allocator, cache = memory(24, 4)
made, copy_blocks = [], cache.pool.copy_blocks
cache.pool.copy_blocks = lambda copies: (made.extend(copies), copy_blocks(copies))  # to see which copies are made

first = Table(allocator)
first.append_slots(len(prompt))
logits = forward(cache, [first], [prompt])  # the prompt goes through the model once
tables = [first, first.fork(), first.fork()]
samples = write_samples(forward, cache, tables, logits, params)
for table, sample in zip(tables, samples):
    print(table.block_ids, repr(tokenizer.decode(sample)))
print("copies made:", made)
print("the same as each sample alone:", samples == [generate_naive(model, prompt, p) for p in params])

# %% [markdown]
# Three samples make two copies. The first two that write find that other tables hold the block, so they get a copy. By
# then the third holds it alone and writes into it. The five full blocks of the prompt are in all three tables and once
# in memory. Each sample has the tokens that it has alone.
#
# ## The same in `course_lib`
#
# `BlockTable.append_slots` does what your `append_slot` and `copy_last` do, for many tokens at once. It counts the
# blocks of the copy and the new ones first, so that a call for which memory is too small changes nothing. Three of its
# helpers are not shown. `_shared_last_block` returns the block that needs a copy, or None. `_allocate_instead_of`
# allocates the new blocks and takes this table's reference from that block. `_replace_last` reports the copy, and puts
# the first new block in its place. `_owns_last` is true when the last block is known to be in no other table. `cached`,
# `sharing` and *hashed* belong to the second half of this lesson.

# %%
show(BlockTable.append_slots)

# %% [markdown]
# ## See it
#
# The same three samples with the library's table, recorded. `×3` is a reference count. A step of this view is one
# change of the ledger, not a step of the model. The view opens at step 6, where B leaves the last block of the prompt
# for a copy. A has its copy already. C holds the block alone from then on, and stays.

# %%
from course_lib.trace import Trace
from course_lib.viz import memory_view

trace = Trace()
allocator, cache = memory(24, 4, trace=trace)
first = BlockTable(allocator, name="A")
first.append_slots(len(prompt))
logits = forward(cache, [first], [prompt])
again = write_samples(forward, cache, [first, first.fork(name="B"), first.fork(name="C")], logits, params)
for name, sample in zip("ABC", again):
    trace.text(name, [tokenizer.token_text(token) for token in prompt + sample])
print("the same samples:", again == samples)
samples_view = memory_view(trace)
samples_view.step = 6
samples_view

# %% [markdown]
# ## Measure: memory saved by samples
#
# What does one more sample cost? The ledger can say it without a model: a prompt of 230 tokens, 64 new tokens, blocks
# of 16, and 1 to 16 samples. *alone* are the blocks in use if each sample stores the prompt itself.

# %%
def blocks_for_samples(num_samples, prompt_tokens, new_tokens, block_size=16, shared=True):
    """Blocks in use when all samples have all their tokens."""
    allocator = BlockAllocator(1_000, block_size)
    first = BlockTable(allocator)
    first.append_slots(prompt_tokens)
    tables = [first]
    for _ in range(num_samples - 1):
        tables.append(first.fork() if shared else BlockTable(allocator))
        if not shared:
            tables[-1].append_slots(prompt_tokens)
    for table in tables:
        table.append_slots(new_tokens)
    return allocator.num_blocks - allocator.num_free


print("samples   alone  shared  saved")
for n in (1, 2, 4, 6, 16):
    alone, shared = (blocks_for_samples(n, 230, 64, shared=s) for s in (False, True))
    print(f"{n:>7} {alone:>7} {shared:>7} {1 - shared / alone:>6.0%}")

# %% [markdown]
# The first sample takes the blocks of the prompt and of its own tokens. Each further one takes blocks for its own
# tokens and for a copy of the block that is not full: 5 blocks here, instead of 19.
#
# How much is saved depends on the lengths. The PagedAttention paper measured 16.2 % to 30.5 % on conversations from
# ShareGPT, for 2 to 6 samples ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180), section 6.3). We draw lengths with
# the same means, as in lesson 03, and count the blocks when each sample has half of its new tokens, and when it has all
# of them.

# %%
from course_lib.kvcache.fragmentation import draw_requests

drawn = draw_requests(300, seed=1)
for n in (2, 4, 6):
    saved = []
    for share in (0.5, 1.0):
        sizes = [(r.prompt, max(1, round(r.output * share))) for r in drawn]
        alone, shared = (sum(blocks_for_samples(n, *size, shared=s) for size in sizes) for s in (False, True))
        saved.append(1 - shared / alone)
    print(f"{n} samples: {saved[0]:.1%} of the blocks saved halfway, {saved[1]:.1%} at the end")

# %% [markdown]
# At the end of the outputs our numbers are close to the paper's: 16.3 % to 27.1 % for 2 to 6 samples. Halfway they are
# larger, because the shared prompt is then a larger part of each sequence.
#
# ## Break it: leave the copy out
#
# Two requests hold the same tale, and each asks a question about it. `tale` has learnt to answer such questions.

# %%
told = """Once upon a time, in a misty glen, there lived an inventive owl named Thistle. Thistle liked soft rain best.

One market day, Thistle found something that should have arrived ten years before. The crumpled letter was found at the \
bottom of the well. Frank the postmaster blew off the dust and sneezed for some time. Against the damp the crumpled letter \
was wrapped in crimson cloth. The crumpled letter belonged to Bruno the baker. "I shall take it myself," said the owl, \
"before it gets any later."

At the end of a muddy lane lived Dexter the pigeon, who never got any post. Dexter came from the Copper Hills. Dexter was \
afraid of cold soup and opened the door only a little. Quite loudly, Dexter asked for blackberry jam.

There were only three lines in it, and the last one was an invitation. They wrote a reply that same evening, and Thistle \
ran with it all the way.

And now, do you remember?

"""
questions = ["What did Thistle like best?", "What was Dexter afraid of?", "Where was the crumpled letter found?",
             "What was the crumpled letter wrapped in?", "What did Dexter ask for?", "Where did Dexter come from?",
             "To whom did the crumpled letter belong?"]
tale_ids = tokenizer.encode(told)
full, rest = divmod(len(tale_ids), 16)
print(f"{len(tale_ids)} tokens: {full} full blocks of 16, and {rest} tokens in one more")

# %%
class Careless(Table):
    """Writes into the last block, also when other tables hold it."""

    def copy_last(self):
        pass


def two_readers(kind):
    """One token each in turn: first those of the question, then those of the answer."""
    allocator, cache = memory(24, 16)
    table = kind(allocator)
    table.append_slots(len(tale_ids))
    forward(cache, [table], [tale_ids])
    tables, rows, answers = [table, table.fork()], [None, None], [[], []]
    asked = [tokenizer.encode(told + question)[len(tale_ids):] for question in questions[:2]]
    for turn in range(len(asked[0]) + 8):
        for i, table in enumerate(tables):
            if turn < len(asked[i]):
                token = asked[i][turn]
            else:
                token = int(rows[i].argmax())
                answers[i].append(token)
            table.append_slots(1)
            rows[i] = forward(cache, [table], [[token]])[0]
    return [tokenizer.decode(answer).strip() for answer in answers]


for kind in (Table, Careless):
    print(kind.__name__)
    for question, answer in zip(questions, two_readers(kind)):
        print(f"   {question:<28} {answer}")

# %% [markdown]
# No error is raised. Both requests write into the same slots, and the second one writes last. The first question is no
# longer in memory, so the model answers the other one. On a server the two questions can come from two users.
#
# ## The same beginning, at another time
#
# A fork knows what it shares. Most equal beginnings come without a fork: all users of an assistant send the same
# instructions first, the **system prompt**; every turn of a conversation repeats the conversation; many users ask about
# one document. Can a new request find the blocks that an earlier one computed?
#
# Keys and values of a token depend on the tokens up to it, and on no other (lesson 02). So a request can use a block if
# its sequence is the same *from the beginning to the end of that block*. To look that up fast, every full block gets a
# **hash** of all these tokens: a short row of bytes that in practice is different for different sequences. The hash
# function, H in the sketch, takes the hash of the block before and the tokens of the block:
#
#     tokens      | Once upon a time | there lived a fox |           block_size 4
#     hash         h0 = H("", tokens)  h1 = H(h0, tokens)            each covers the one before it

# %%
from hashlib import sha256


def my_hashes(ids, block_size):
    """The hash of each full block; each covers the one before it."""
    hashes, parent = [], b""
    for start in range(0, len(ids) - block_size + 1, block_size):
        parent = sha256(parent + repr(ids[start : start + block_size]).encode()).digest()
        hashes.append(parent)
    return hashes


longer = [told + question + " Tell me." for question in questions[:2]]  # so that the block with the question is full
one, two = (my_hashes(tokenizer.encode(text), 16) for text in longer)
other = my_hashes(tokenizer.encode(told.replace("misty", "quiet")), 16)
for name, hashes in (("first question", one), ("second question", two), ("another glen", other)):
    print(f"{name:<16} {' '.join(h.hex()[:4] for h in hashes)}")

# %% [markdown]
# A column is a block, and each hash is shown by its first four digits. With two questions about one tale, the blocks of
# the tale have the same hashes, and only the last hash differs: the question is in that block. With another word in the
# first line, all hashes differ.
#
# The **prefix cache** is a dictionary from hashes to blocks. It holds one reference to every block in it, so that the
# block stays when its request has ended.

# %%
class MyPrefixCache:
    """Full, computed blocks, found by the sequence up to their end."""

    def __init__(self, allocator):
        self.allocator, self.block_of = allocator, {}  # hash -> block

    def hashes(self, ids):
        return my_hashes(ids, self.allocator.block_size)

    def begin(self, ids):
        """A table that begins with the cached blocks of this sequence, up to the first that is missing."""
        table = Table(self.allocator)
        for block_hash in self.hashes(ids[:-1]):  # the last token is always left to compute
            if block_hash not in self.block_of:
                break
            table.block_ids.append(self.block_of[block_hash])
        table.num_tokens = len(table.block_ids) * self.allocator.block_size
        self.allocator.fork(table.block_ids)
        return table

    def keep(self, table, ids):
        """Enters the full blocks of a sequence that was computed."""
        for block, block_hash in zip(table.block_ids, self.hashes(ids)):
            if block_hash not in self.block_of:
                self.block_of[block_hash] = block
                self.allocator.fork([block])


def ask(prefixes, cache, text, new_tokens=10):
    """The greedy answer, and how many tokens of the prompt had to be computed."""
    ids = tokenizer.encode(text)
    table = prefixes.begin(ids)
    step, answer, computed = ids[table.num_tokens:], [], len(ids) - table.num_tokens
    for _ in range(new_tokens):
        table.append_slots(len(step))
        logits = forward(cache, [table], [step])
        answer.append(int(logits[0].argmax()))
        step = answer[-1:]
    prefixes.keep(table, ids)
    prefixes.allocator.free(table.block_ids)
    return answer, computed


# %%
predict("05.hit", "A second request asks another question about the same tale of 230 tokens. "
        "How many tokens of its prompt of 236 are computed?",
        ["6: the question", "12: the question, and what is in the block that is not full", "236: nobody asked this before"], answer=1)

# %%
@functools.cache
def without_a_cache(prompt):
    """The first ten tokens after a prompt, by generate_naive. It is run once for each prompt."""
    return generate_naive(model, list(prompt), SamplingParams(max_tokens=10, ignore_eos=True))


allocator, cache = memory(64, 16)
prefixes = MyPrefixCache(allocator)
for question in questions[:4]:
    answer, computed = ask(prefixes, cache, told + question)
    prompt_ids = tokenizer.encode(told + question)
    same = answer == without_a_cache(tuple(prompt_ids))
    print(f"{computed:>3} of {len(prompt_ids)} tokens computed, the same as naive: {same}   {tokenizer.decode(answer).strip()!r}")

# %% [markdown]
# ## Why only full blocks
#
# From the second request on, only the question and the last 6 tokens of the tale are computed: those 6 are in the block
# that is not full. Could such a block have a hash too? Here is what it would be while the first question is appended:

# %%
ids = tokenizer.encode(told + questions[0])
for end in range(len(ids) - 3, len(ids) + 1):
    part = ids[full * 16 : end]
    name = sha256(one[full - 1] + repr(part).encode()).hexdigest()
    print(f"{len(part):>2} tokens in the block: {name[:8]}   the last one is {tokenizer.token_text(part[-1])!r}")

# %% [markdown]
# The hash changes with every token. The dictionary would have to be changed in every step of every request. And a
# request that had found the block by an earlier hash would hold a block in which another request goes on writing. A
# full block does not change, so its hash stays right. The cost: where the shared tokens end in the middle of a block,
# each request computes those of this block again, at most 15 with blocks of 16.
#
# ## Why the hash is chained
#
# Would the tokens of the block alone not do? Suppose that another user tells the same tale, and the pigeon is called
# Toby. Most blocks hold the same tokens in both.

# %%
class Unchained(MyPrefixCache):
    """Hashes the tokens of the block alone."""

    def hashes(self, ids):
        size = self.allocator.block_size
        return [sha256(repr(ids[start : start + size]).encode()).digest() for start in range(0, len(ids) - size + 1, size)]


toby = told.replace("Dexter", "Toby")
for kind in (MyPrefixCache, Unchained):
    allocator, cache = memory(64, 16)
    prefixes = kind(allocator)
    ask(prefixes, cache, told + questions[0])  # a request with Dexter,
    ask(prefixes, cache, toby + questions[0])  # and one with Toby
    print(kind.__name__)
    for question in ("What did Toby ask for?", "What did Dexter ask for?"):
        answer, computed = ask(prefixes, cache, toby + question)  # Toby's tale again
        print(f"   {computed} tokens computed   {question:<24} {tokenizer.decode(answer).strip().splitlines()[0]}")

# %% [markdown]
# The unchained cache found all blocks of Toby's tale. But those after the last *Toby* come from the request with
# *Dexter*: `keep` replaces no block that has the same hash. In the upper layers, keys and values depend on all tokens
# before them, so these blocks say that Dexter asked for blackberry jam. Asked about Toby, the model answers wrongly.
# And it knows what Dexter asked for, although this tale has no Dexter: that is content of another user's prompt. (With
# the right cache the model has no answer about Dexter, and makes one up.)
#
# So the hash of a block covers the hash of the block before it, and with it the whole sequence.
#
# Two more points. The hash must be long: the library takes 256 bits, so that two sequences with one hash do not occur
# in practice. And some servers put more into the hash: what else the keys depend on, such as an image in the prompt or
# a variant of the weights, and who may share the block, such as a customer ([vLLM, Automatic Prefix
# Caching](https://docs.vllm.ai/en/latest/design/prefix_caching/)).
#
# SGLang keeps the cached prefixes in another structure: a radix tree, in which each edge is a run of tokens and
# requests with a common beginning share a path. A tree finds prefixes of any length, not only of whole blocks; the
# hashes need no tree and look up each block in constant time ([arXiv 2312.07104](https://arxiv.org/abs/2312.07104)).

# %% [markdown]
# ## Why at least one token is computed

# %%
predict("05.all", "A prompt of exactly 48 tokens, three full blocks of 16, comes a second time. "
        "How many of its tokens are computed?", ["0", "1", "16"], answer=2)

# %%
allocator, cache = memory(64, 16)
prefixes = MyPrefixCache(allocator)
text = tokenizer.decode(tale_ids[1:48])  # without the start token, which encode puts first
print(len(tokenizer.encode(text)), "tokens")
for _ in range(2):
    answer, computed = ask(prefixes, cache, text)
    print(f"{computed} tokens computed: {tokenizer.decode(answer)!r}")

# %% [markdown]
# Keys and values do not say what comes next. The logits of the last token do, and they are not kept. So the last token
# must be computed again. That would write its key and value, and a hashed block is never written. So the last block is
# not taken from the cache: `begin` looks at `ids[:-1]`.
#
# ## The same in `course_lib`
#
# In `course_lib` the dictionary is `PrefixCache`. It adds an order of eviction, and holds no references: a cached block
# that no table holds counts as free, because it can be given to another request at any time (*evicted*, see below).
# `KVCacheManager` is what an engine calls: it finds the cached beginning of a new request, allocates slots for the
# tokens of each step, and after the step enters the blocks that became full. `allocate_slots` does the first two:

# %%
show(KVCacheManager.allocate_slots)

# %% [markdown]
# `commit` enters the full blocks, at its end with `cache.insert`:

# %%
show(KVCacheManager.commit)

# %% [markdown]
# `_match` is your `begin`, with the hashes kept at the request so that each is computed once. `_held` has a
# `RequestBlocks` for each request that holds memory: its table, and how many of its tokens are computed.
# `append_own_slot` is a short way for a decode step whose slot is in a block that no other table holds. `num_pending`
# counts tokens that the GPU is still choosing (lesson 13). `raise_priority` belongs to the end of this lesson.
#
# `allocate_slots` passes the cached blocks to `append_slots`. There `sharing` adds a reference to each of them before
# new blocks are allocated, so that an allocation does not evict them. (The docstring of `append_slots` also has a last
# block that is hashed and not full: it occurs only after `shrink`, which takes tokens off the end of a table.)
#
# ## Measure: work and memory saved
#
# Seven requests, seven questions, one tale. The first arrives a step earlier than the others. With and without a prefix
# cache:

# %%
from types import SimpleNamespace


def step_of(manager, cache, requests):
    """Computes what is new of each request, and appends a token to each. Returns the number of tokens computed."""
    new = []
    for r in requests:
        done = manager.num_computed_tokens(r) if r in manager else manager.match_prefix(r)
        new.append(r.token_ids[done:])
        if manager.allocate_slots(r, len(new[-1])) is None:
            raise MemoryError(f"no room for {r.request_id}")
    logits = forward(cache, [manager.table(r) for r in requests], new)
    for r, row in zip(requests, logits):
        manager.commit(r, len(r.token_ids))
        r.token_ids.append(int(row.argmax()))
    return sum(map(len, new))

# %% [markdown]
# `readers` sends the seven requests through `step_of`.

# %%
def readers(**how):
    """All seven answers, the tokens computed in all, and the blocks in use at the end."""
    allocator, cache = memory(128, 16)
    manager = KVCacheManager(allocator, **how)
    requests = [SimpleNamespace(request_id=f"R{i}", token_ids=tokenizer.encode(told + q)) for i, q in enumerate(questions)]
    starts = [len(r.token_ids) for r in requests]
    computed = step_of(manager, cache, requests[:1])
    computed += sum(step_of(manager, cache, requests) for _ in range(9))
    answers = [r.token_ids[start : start + 9] for r, start in zip(requests, starts)]
    return answers, computed, allocator.num_blocks - allocator.num_free


without, with_cache = readers(prefix_caching=False), readers()
naive = [without_a_cache(tuple(tokenizer.encode(told + question)))[:9] for question in questions]
for question, answer in zip(questions, with_cache[0]):
    print(f"{question:<42} {tokenizer.decode(answer).strip().splitlines()[0]}")
print()
print("the same tokens, without, with, naive:", without[0] == with_cache[0] == naive)
print(f"tokens computed: {without[1]:,} without, {with_cache[1]:,} with: {without[1] / with_cache[1]:.1f} times less work")
print(f"blocks in use:   {without[2]:,} without, {with_cache[2]:,} with: {without[2] / with_cache[2]:.1f} times less memory")

# %% [markdown]
# The 14 full blocks of the tale are in memory once instead of seven times: 6 · 14 = 84 blocks less.
#
# What does one more request with this tale cost, in memory and in work? The ledger can count it without a model:

# %%
from course_lib.viz import chart, panel


def cost_of_requests(number, shared):
    """(blocks in use, tokens computed) of so many requests with one tale, each with 15 tokens of its own."""
    manager, computed = KVCacheManager(BlockAllocator(1_000, 16), prefix_caching=shared), 0
    for i in range(number):
        r = SimpleNamespace(request_id=i, token_ids=tale_ids + [i] * 15)
        n = len(r.token_ids) - manager.match_prefix(r)
        manager.allocate_slots(r, n)
        manager.commit(r, len(r.token_ids))
        computed += n
    return manager.allocator.num_blocks - manager.allocator.num_free, computed


counts = list(range(1, 33))
costs = {name: [cost_of_requests(n, name == "shared") for n in counts] for name in ("shared", "not shared")}
for name, cost in costs.items():
    before, last = cost[-2:]
    print(f"{name:<11} one request more: {last[0] - before[0]:>2} blocks, {last[1] - before[1]:>3} tokens; "
          f"32 requests: {last[0]:>3} blocks, {last[1]:,} tokens")
chart("Requests with one tale of 230 tokens, shared and not shared",
      panel({name: (counts, [c[0] for c in cost]) for name, cost in costs.items()}, x="requests", y="blocks of 16 in use", title="Memory"),
      panel({name: (counts, [c[1] for c in cost]) for name, cost in costs.items()}, x="requests", y="tokens computed", title="Work"))

# %% [markdown]
# Each further request costs 2 blocks and 21 tokens with sharing, and 16 blocks and 245 tokens without.
#
# In seconds on this machine: the time to first token (TTFT, lesson 02), when the tale is new and when it is cached.

# %% tags=["nbval-ignore-output"]
import time


def seconds_to_first_token(known):
    allocator, cache = memory(64, 16)
    manager = KVCacheManager(allocator)
    if known:
        step_of(manager, cache, [SimpleNamespace(request_id="before", token_ids=tokenizer.encode(told + questions[0]))])
    request = SimpleNamespace(request_id="R", token_ids=tokenizer.encode(told + questions[1]))
    start = time.perf_counter()
    step_of(manager, cache, [request])
    return time.perf_counter() - start


new, known = (sorted(seconds_to_first_token(k) for _ in range(7))[3] for k in (False, True))
print(f"TTFT {new * 1e3:.0f} ms when the tale is new, {known * 1e3:.0f} ms when it is cached")

# %% [markdown]
# Recorded on an H200, with a model of real size and a document of 8,192 tokens that all requests ask about:

# %%
from course_lib.recorded import recorded

recorded("05")

# %%
run = recorded("05")
computed, ttft = run.column("tokens computed in all"), run.column("TTFT of the others, ms")
first = computed[0] / 16  # tokens of one request; without the cache all 16 are alike
later = (computed[1] - first) / 15
print(f"tokens computed by each later request: {first:,.0f} without the cache, {later:.0f} with it, {first / later:.0f} times fewer")
print(f"their first token comes {ttft[0] / ttft[1]:.1f} times as soon")
print(f"a decode step of one sequence of this model, recorded for lesson 09: {recorded('09', 0).column('ms a step')[0]:.1f} ms")

# %% [markdown]
# With the cache each later request computes 411 times fewer tokens, and its first token comes 11.5 times as soon, after
# 21 ms instead of 246. (The first request finds nothing with the cache either, so the cache is not why it takes 239 ms
# and not 260.) The time falls less than the tokens. A decode step of one token takes only 4.4 ms: the engine starts all
# its operations with one call (a CUDA graph, lesson 13). A step with 20 tokens of a prompt is launch-bound (lesson 01):
# its operations are started one by one.
#
# ## When memory is full: eviction
#
# A cached block that no request holds is **idle**. It costs nothing as long as other blocks are free. When none is
# free, an idle block must be **evicted**: its hash is forgotten, and the next request with its tokens computes them
# again.
#
# Which block? The server does not know what will be asked for next. The usual guess is: what was used lately. So the
# block that has been idle for longest is evicted. That is **least recently used**, LRU for short. It takes an ordered
# dictionary:

# %%
from collections import OrderedDict


class MyIdleBlocks:
    """Cached blocks without a holder, the longest idle first."""

    def __init__(self):
        self.idle = OrderedDict()

    def release(self, block_ids):
        for block in reversed(block_ids):  # the end of the sequence first
            self.idle[block] = None

    def use(self, block_ids):
        for block in block_ids:
            self.idle.pop(block, None)

    def evict(self):
        return self.idle.popitem(last=False)[0]


idle = MyIdleBlocks()
idle.release([0, 1, 2])  # a request in blocks 0, 1, 2 ends
idle.release([3, 4])     # then another one
idle.use([0, 1, 2])      # a request uses the first blocks again
idle.release([0, 1, 2])  # and ends
print("evicted:", [idle.evict() for _ in range(5)])

# %% [markdown]
# Blocks 4 and 3 go first, because 0, 1 and 2 were used after them. Of each request the last block goes first.
#
# Why `reversed`? All blocks of a sequence become idle at the same moment, and one of them is the first to be evicted.
# Suppose that one of the 14 blocks of the tale is evicted:

# %%
for name, lost in (("the last block is evicted", full - 1), ("the first block is evicted", 0)):
    allocator, cache = memory(64, 16)
    prefixes = MyPrefixCache(allocator)
    ask(prefixes, cache, told + questions[0])
    del prefixes.block_of[my_hashes(tale_ids, 16)[lost]]
    _, computed = ask(prefixes, cache, told + questions[1])
    print(f"{name}: the next request computes {computed} tokens")

# %% [markdown]
# A block is found only through the one before it, its **parent**. Without the first block the other 13 still fill
# memory, and no request can find them. So the blocks after a block, its **children**, are **evicted before their
# parent**.
#
# ## See it: a memory too small for two tales
#
# The memory has 24 blocks of 16. Request A asks about the tale of the owl. Then B and C ask about it together. Then D
# brings another tale, and there is no room for both. At last E asks about the owl again. Hatched blocks are cached and
# have no holder.

# %%
predict("05.ed", "14 full blocks of the owl's tale were cached before D arrived. What does E find?",
        ["All 14: A computed them", "The beginning", "The end", "Nothing: a tale is cached as a whole"], answer=1)

# %%
from course_lib.practice.play import serve_together

hers = """Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. Juniper liked long breakfasts best.

The story begins on an ordinary day. One day in October, Juniper heard a tune and had to stop sweeping. It seemed to come \
from the left, and when one went left, it came from the right.

Behind the hedge sat Toby the nightingale and played with closed eyes. Toby came from the Copper Hills, where babies are \
born humming. "Why do you play out here?" asked Juniper. "Because indoors they throw slippers," was the answer. The ancient \
drum belonged to Felix the roofer and was only borrowed.

That was the tale, and here is what a good listener knows.

"""

trace = Trace()
allocator, cache = memory(24, 16, trace=trace)
manager = KVCacheManager(allocator)


def serve(*asked):
    """Answers (name, prompt) together, until each answer has its full stop."""
    answers, computed = serve_together(step_of, manager, cache, tokenizer, trace, asked)
    for name, (prompt, answer) in answers.items():
        naive = without_a_cache(tuple(prompt))[:len(answer)]
        print(f"{name}: {tokenizer.decode(answer).strip()}   (the same as naive: {answer == naive})")
    print(f"   {computed} of {sum(len(prompt) for prompt, _ in answers.values())} tokens of the prompts computed")

# %%
serve(("A", told + questions[0]))
serve(("B", told + questions[1]), ("C", told + questions[4]))
serve(("D", hers + "What did Juniper like best?"))
serve(("E", told + questions[5]))
eviction_view = memory_view(trace)
eviction_view.step = 7
eviction_view

# %% [markdown]
# A step of this view is a step of the model. The view opens at step 7: B and C share the blocks that A has left. Then D
# arrives:

# %%
eviction_view.snapshot(step=14)

# %% [markdown]
# D takes the free blocks. Then it evicts: first the blocks with the ends of the earlier requests, then 13 and 12, the
# last two blocks of the owl's tale. In step 19 of the view D's answer needs one more block, and that evicts block 11.
# The beginning is left, so E finds 11 of the 14 blocks: it computes 60 tokens of 236. If the beginning had been evicted
# first, E would find none.
#
# ## LRU or priority?
#
# LRU only knows the past. An operator can know more: these are the instructions of our assistant, and they will be used
# again; that is a document that will not. With eviction by **priority** each request has a number. A low number is
# important, as in vLLM's scheduler. A block keeps the lowest number of all requests that used it. The block with the
# highest number is evicted first, and among equals the one that has been idle for longest. `course_lib` keeps a queue
# like `MyIdleBlocks` for each priority; for LRU there is one queue.
#
# Is that better? Two workloads, served one request after the other by `KVCacheManager`:
#
# - **An assistant.** Every sixth request begins with the 512 tokens of the assistant's instructions, and is important.
#   The others are documents of 256 tokens that come once.
# - **Conversations.** Six are open at any time. Each turn sends the whole conversation and 64 tokens more. A
#   conversation is important with a chance of one half. After some turns a conversation ends and does not come back.

# %%
from course_lib.practice.play import assistant, conversations


def share_found(workload, num_blocks, eviction):
    """The share of all prompt tokens that is found in the cache."""
    manager, found, total = KVCacheManager(BlockAllocator(num_blocks, 16), eviction=eviction), 0, 0
    for r in workload():
        hit = manager.match_prefix(r)
        manager.allocate_slots(r, len(r.token_ids) - hit)
        manager.commit(r, len(r.token_ids))
        manager.free(r)
        found, total = found + hit, total + len(r.token_ids)
    return found / total


# %%
predict("05.policy", "Which policy finds more?",
        ["LRU in both", "Priority in both", "LRU in the conversations, priority for the assistant",
         "Priority in the conversations, LRU for the assistant"], answer=2)

# %%
sizes = [40, 48, 64, 80, 96, 112, 128, 160, 192, 256]
found = {(w, e): [share_found(w, n, e) for n in sizes] for w in (assistant, conversations) for e in ("lru", "priority")}
print(f"{'blocks':<24}" + "".join(f"{n:>6}" for n in sizes))
for (workload, eviction), shares in found.items():
    print(f"{workload.__name__:<14}{eviction:<10}" + "".join(f"{share:>6.0%}" for share in shares))

# %% [markdown]
# The same as curves:

# %%
words = {"x": "blocks of 16 in memory", "y": "prompt tokens found", "y_unit": "%"}
chart("Prompt tokens found in the cache, by policy and size of the memory",
      *(panel({policy: (sizes, [100 * share for share in found[workload, policy]]) for policy in ("lru", "priority")},
              title=workload.__name__.capitalize(), **words) for workload in (assistant, conversations)))

# %% [markdown]
# **The assistant.** Between two uses of the instructions five documents pass through the memory. With up to 80 blocks
# LRU has evicted the instructions before they are used again, and finds nothing. With 48 blocks or more, priority keeps
# all of them. With 112 blocks or more the instructions (32 blocks) and five documents (80) fit, and both policies find
# 28 %.
#
# **The conversations.** Priority keeps the blocks of important conversations after these have ended, and evicts those
# of conversations that go on. In every memory it finds less than LRU. LRU evicts the ended conversations by itself.
#
# So a priority helps if important blocks are used again. vLLM evicts by LRU, the end of a sequence first. In
# TensorRT-LLM LRU is the default, and a priority can be given to ranges of tokens, with a duration after which it ends
# ([NVIDIA,
# 2025](https://developer.nvidia.com/blog/introducing-new-kv-cache-reuse-optimizations-in-nvidia-tensorrt-llm/)). With a
# duration, the blocks of an ended conversation do not stay important.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("05")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A prompt of 64 tokens, blocks of 16, five samples. How many blocks are copied?</b></summary>
#
# None. 64 is a multiple of 16, so the last block is full and is not written any more. Each sample takes a new block for
# its first token.
# </details>
#
# <details><summary><b>2. You put the date and the time at the beginning of your system prompt. What happens to the prefix cache?</b></summary>
#
# Whenever the minute changes, no block is found: every hash covers the first tokens. Put what changes at the end.
# </details>
#
# <details><summary><b>3. Two requests with the same prompt of 40 tokens arrive in the same step, and nothing is cached. How often is the prompt
# computed?</b></summary>
#
# Here twice: `commit` enters a block after it has been computed, and in this step it is not yet. vLLM enters full
# blocks when it allocates them, so the second request finds the two full blocks of the first in the same step. That is
# safe because in each layer the keys and values of all tokens of a step are written before attention reads them.
# </details>
#
# ## Next
#
# [exercises/05_sharing_and_eviction.ipynb](../exercises/05_sharing_and_eviction.ipynb):
# write `fork`, copy-on-write, the chain of hashes, the search for the cached beginning, and both evictions. Your table
# then serves samples of the bundled model. Lesson 06 is about how attention reads keys and values.
