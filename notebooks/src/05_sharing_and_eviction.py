# %% [markdown]
# # 05 · Sharing and eviction
#
# - **You will** let several texts hold the same block, copy it only when one of them writes, find computed blocks again by their content, and decide which to give up when memory is full.
# - **Why** people ask for several answers to one prompt, and thousands of prompts begin with the same instructions. What is equal should be kept once and computed once.
# - **Time** 40 minutes, and an hour and a half for the exercises.
# - **You need** lesson 04.
# - **After it** you can count what sharing saves, in blocks and in tokens, and say why a server hashes only full blocks, chains the hashes, and always computes at least one token.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.decoding.choosing import ChoiceRows, choose
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager, KVPool, PagedCache

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## One prompt, several samples
#
# A chat window offers three answers to choose from. A programming assistant draws ten programs and keeps those that
# pass the tests. This is **parallel sampling**: one prompt, several continuations, each with its own random numbers.
#
# Until a sample writes its first token, they are all the same text. So let them hold the same blocks. The allocator of
# lesson 04 already counts who holds what: `fork(block_ids)` adds a reference to each block, `free(block_ids)` takes
# one away, and a block is free again when its **reference count** is 0.
#
# There is one difficulty. A prompt seldom ends where a block ends:
#
#     prompt      | Once upon a time | there lived a ... |      block_size 4: one slot is left in the last block
#     sample A    |                  |               fox |      A wants to write "fox" there,
#     sample B    |                  |               hen |      and B wants to write "hen" there
#
# Full blocks are never written again, so they can be shared for ever. The last block cannot. Whoever writes into it
# while others hold it needs a copy first: **copy-on-write**, as in an operating system after `fork()`.
#
# ## Build it
#
# Here is a block table that can be forked. All that is new against lesson 04 is `fork` and `copy_last`.

# %%
class Table:
    """The blocks of one text. It can be forked, and then shares them."""

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
# The ledger only notes that a copy is due, as a pair `(source, destination)` in `allocator.copies`. `PagedCache` makes
# the copies, in the tensors, before it writes anything. Two helpers for the rest of the lesson: a memory, and one step
# of the model for any number of texts at once.

# %%
def memory(num_blocks, block_size, **how):
    """A ledger, and the cache with the tensors behind it."""
    allocator = BlockAllocator(num_blocks, block_size, **how)
    return allocator, PagedCache(KVPool(model.config, num_blocks, block_size, model.device, model.dtype), allocator)


@torch.inference_mode()
def push(cache, tables, new):
    """The new tokens of each table, which has slots for them, go through the model together. A row of logits for each."""
    positions = cache.begin_step(tables, [len(tokens) for tokens in new])
    ids = torch.tensor([token for tokens in new for token in tokens], device=model.device)
    ends = torch.tensor([len(tokens) for tokens in new], device=model.device).cumsum(0)
    return model(ids, positions, cache, logits_for=ends - 1)


def write_samples(cache, tables, logits, params):
    """A text for each table. All hold the same prompt, and logits [1, vocab_size] says what follows it."""
    logits, texts = logits.expand(len(tables), -1), [[] for _ in tables]
    while True:
        positions = [table.num_tokens for table in tables]  # of the tokens that are chosen now
        rows = ChoiceRows.of(params, [p.seed for p in params], positions, model.device)
        for text, token in zip(texts, choose(logits, rows).tolist()):
            text.append(token)
        if len(texts[0]) == params[0].max_tokens:
            return texts
        for table in tables:
            table.append_slots(1)
        logits = push(cache, tables, [text[-1:] for text in texts])


# %%
predict("05.copies", "A prompt of 23 tokens in blocks of 4: the last block holds 3. "
        "Three samples go on from it. How many blocks are copied?",
        ["One", "Two", "Three", "18, six for each"], answer=1)

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
params = [SamplingParams(temperature=1.0, seed=seed, max_tokens=14, ignore_eos=True) for seed in range(3)]

allocator, cache = memory(24, 4)
made, copy_blocks = [], cache.pool.copy_blocks
cache.pool.copy_blocks = lambda copies: (made.extend(copies), copy_blocks(copies))  # to see which copies are made

first = Table(allocator)
first.append_slots(len(prompt))
logits = push(cache, [first], [prompt])  # the prompt goes through the model once
tables = [first, first.fork(), first.fork()]
texts = write_samples(cache, tables, logits, params)
for table, text in zip(tables, texts):
    print(table.block_ids, tokenizer.decode(text))
print("copies made:", made)
print("the same as each sample alone:", texts == [generate_naive(model, prompt, p) for p in params])

# %% [markdown]
# Two copies for three samples. The first two to write find that others hold the block, and get copies. The last one
# holds it alone by then and writes where it is.
#
# The five full blocks of the prompt stand in all three tables, once in memory. And each sample writes what it would
# write alone, to the token.
#
# ## The same in `course_lib`
#
# What was added: room for many tokens at once, all or nothing when memory is short, blocks that are hashed (they come
# later in this lesson), and a trace.

# %%
show(BlockTable.fork)

# %%
show(BlockTable.append_slots)

# %% [markdown]
# ## See it
#
# The same three samples with the library's table, recorded. Step through it. `×3` is a reference count. Watch the
# last block of the prompt: two samples leave it for a copy, one stays.

# %%
from course_lib.trace import Trace
from course_lib.viz import memory_view

trace = Trace()
allocator, cache = memory(24, 4, trace=trace)
first = BlockTable(allocator, name="A")
first.append_slots(len(prompt))
logits = push(cache, [first], [prompt])
again = write_samples(cache, [first, first.fork(name="B"), first.fork(name="C")], logits, params)
for name, text in zip("ABC", again):
    trace.text(name, [tokenizer.token_text(token) for token in prompt + text])
print("the same samples:", again == texts)
samples_view = memory_view(trace)
samples_view

# %%
samples_view.snapshot(step=6)

# %% [markdown]
# ## Measure: memory saved by samples
#
# What does one sample more cost? The ledger can answer without a model: a prompt of 230 tokens, 64 new ones, blocks of
# 16, and 1 to 16 samples.

# %%
def blocks_for_samples(num_samples, prompt_tokens, new_tokens, block_size=16, shared=True):
    """Blocks in use when all samples have written all their tokens."""
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
# The first sample pays for the prompt, every other one for its own tokens, and for a copy of the one block that is not
# full.
#
# How much that is of the whole depends on the lengths. The PagedAttention paper measured 16.2 % to 30.5 % on
# conversations from ShareGPT, for 2 to 6 samples ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180), section 6.3).
# We draw lengths with the same means, as in lesson 03, and count the blocks when each sample is halfway through its
# answer, and at its end.

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
# The shorter the answers are so far, the larger is the part that is shared. The paper's figures lie near ours at the end
# of the answers.
#
# ## Break it: leave the copy out
#
# Two readers have heard the same tale, and each asks a question about it. `tale` has learnt to answer such questions.

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
    """Writes into the last block, whoever else holds it."""

    def copy_last(self):
        pass


def two_readers(kind):
    """A token each in turn: first those of their questions, then those of the answers."""
    allocator, cache = memory(24, 16)
    table = kind(allocator)
    table.append_slots(len(tale_ids))
    push(cache, [table], [tale_ids])
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
            rows[i] = push(cache, [table], [[token]])[0]
    return [tokenizer.decode(answer).strip() for answer in answers]


for kind in (Table, Careless):
    print(kind.__name__)
    for question, answer in zip(questions, two_readers(kind)):
        print(f"   {question:<28} {answer}")

# %% [markdown]
# Nothing crashes. Both readers type into the same slots, and the second one always comes last: what the first one asked
# is no longer there, so the model answers the other's question. In a server these two would be strangers.
#
# ## The same beginning, at another time
#
# A fork shares what it was told to share. Most equal beginnings meet by chance: everybody who uses an assistant sends
# the same instructions first, the **system prompt**; every turn of a conversation repeats the conversation; many
# readers ask about one document. Can a new request find the blocks that somebody else computed before it?
#
# Keys and values of a token depend on the tokens up to it, and on nothing else (lesson 02). So a block may be used by
# anybody whose text is the same *from the very beginning to the end of the block*. To look that up quickly, give every
# full block a name made from all of it. That name is a **hash**: a short row of bytes that is, for all that matters,
# different for different texts.
#
#     tokens      | Once upon a time | there lived a fox |           block_size 4
#     hash         h0 = H("", tokens)  h1 = H(h0, tokens)            each covers the one before it

# %%
from hashlib import sha256


def my_hashes(ids, block_size):
    """The hash of each full block; each goes on from the one before it."""
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
# Two questions about one tale: the blocks of the tale have the same hashes, and the first block with another word in it
# has another one. Change one word in the first line, and from there on nothing is the same.
#
# A dictionary from hash to block is then all that a cache of prefixes needs. It holds one reference to every block that
# it knows, so that the block stays when its text is done.

# %%
class MyPrefixCache:
    """Full, computed blocks, found by the text up to their end."""

    def __init__(self, allocator):
        self.allocator, self.block_of = allocator, {}  # hash -> block

    def hashes(self, ids):
        return my_hashes(ids, self.allocator.block_size)

    def begin(self, ids):
        """A table that begins with the cached blocks of this text, up to the first that is missing."""
        table = Table(self.allocator)
        for block_hash in self.hashes(ids[:-1]):  # the last token is always left to compute
            if block_hash not in self.block_of:
                break
            table.block_ids.append(self.block_of[block_hash])
        table.num_tokens = len(table.block_ids) * self.allocator.block_size
        self.allocator.fork(table.block_ids)
        return table

    def keep(self, table, ids):
        """Remembers the full blocks of a text that was computed."""
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
        logits = push(cache, [table], [step])
        answer.append(int(logits[0].argmax()))
        step = answer[-1:]
    prefixes.keep(table, ids)
    prefixes.allocator.free(table.block_ids)
    return answer, computed


# %%
predict("05.hit", "The second reader asks another question about the same tale of 230 tokens. "
        "How many tokens of its prompt of 236 go through the model?",
        ["6: the question", "12: the question, and what is in the block that is not full", "236: nobody asked this before"], answer=1)

# %%
allocator, cache = memory(64, 16)
prefixes = MyPrefixCache(allocator)
for question in questions[:4]:
    answer, computed = ask(prefixes, cache, told + question)
    prompt_ids = tokenizer.encode(told + question)
    same = answer == generate_naive(model, prompt_ids, SamplingParams(max_tokens=10, ignore_eos=True))
    print(f"{computed:>3} of {len(prompt_ids)} tokens computed, the same as naive: {same}   {tokenizer.decode(answer).strip()!r}")

# %% [markdown]
# ## Why only full blocks
#
# The last 6 tokens of the tale were computed again by everybody. Could the block that is not full have a hash too? Here
# is what its hash would be while the first reader's question comes in:

# %%
ids = tokenizer.encode(told + questions[0])
for end in range(len(ids) - 3, len(ids) + 1):
    part = ids[full * 16 : end]
    name = sha256(one[full - 1] + repr(part).encode()).hexdigest()
    print(f"{len(part):>2} tokens in the block: {name[:8]}   the last one is {tokenizer.token_text(part[-1])!r}")

# %% [markdown]
# Another name after every token. It would have to be taken back and given anew in every step of every request, and
# whoever had found the block by an old name would see it written on. A full block never changes, so its name is good
# for as long as it lives. The price is what you saw: on average half a block is computed again by each request, in
# blocks of 16 about 8 tokens.
#
# ## Why the hash is chained
#
# Would the tokens of the block alone not do? Somebody tells the same tale, but the pigeon is called Toby. Most blocks
# hold the same tokens in both.

# %%
class Unchained(MyPrefixCache):
    """Names a block by its own tokens, whatever stands before them."""

    def hashes(self, ids):
        size = self.allocator.block_size
        return [sha256(repr(ids[start : start + size]).encode()).digest() for start in range(0, len(ids) - size + 1, size)]


toby = told.replace("Dexter", "Toby")
for kind in (MyPrefixCache, Unchained):
    allocator, cache = memory(64, 16)
    prefixes = kind(allocator)
    ask(prefixes, cache, told + questions[0])  # somebody hears of Dexter,
    ask(prefixes, cache, toby + questions[0])  # and somebody else of Toby
    print(kind.__name__)
    for question in ("What did Toby ask for?", "What did Dexter ask for?"):
        answer, computed = ask(prefixes, cache, toby + question)  # who heard of Toby asks again
        print(f"   {computed} tokens computed   {question:<24} {tokenizer.decode(answer).strip().splitlines()[0]}")

# %% [markdown]
# The unchained cache found every block of Toby's tale, but the three behind the last *Toby* had been computed behind
# the last *Dexter*. What a token becomes in the upper layers depends on all tokens before it, so the keys of "asked
# for blackberry jam" say that Dexter did. Asked about Toby, the model finds nothing and takes something else. And it
# knows at once what Dexter asked for, though in this tale there is no Dexter. That is somebody else's text, served to
# a stranger. (The right cache can only stammer when it is asked about him.)
#
# So the hash of a block covers the hash of the block before it, and with it the whole text.
#
# Two more points, and you know what servers do. The hash must be long: the library takes 256 bits, so that two texts
# with one hash will never be met. And some servers put into it what else the keys depend on, or who may share them:
# an adapter, an image, a tenant ([vLLM, Automatic Prefix
# Caching](https://docs.vllm.ai/en/latest/design/prefix_caching/)).

# %% [markdown]
# ## Why at least one token is computed

# %%
predict("05.all", "A prompt of exactly 48 tokens, three full blocks of 16, comes a second time. "
        "How many of its tokens go through the model?", ["0", "1", "16"], answer=2)

# %%
allocator, cache = memory(64, 16)
prefixes = MyPrefixCache(allocator)
text = tokenizer.decode(tale_ids[1:48])
print(len(tokenizer.encode(text)), "tokens")
for _ in range(2):
    answer, computed = ask(prefixes, cache, text)
    print(f"{computed} tokens computed: {tokenizer.decode(answer)!r}")

# %% [markdown]
# Keys and values do not say what comes next. That is said by the logits of the last token, and those are not kept: to
# get them, the last token has to go through the model again. It would write its own key and value while it does, and
# a hashed block is never written. So the whole last block is left out of the hit, and `begin` looks at `ids[:-1]`.
#
# ## The same in `course_lib`
#
# `PrefixCache` is the dictionary with an order of eviction. What was added: blocks that only the cache knows count as
# free, since they can be had at any moment; a hash is made for each block only once.

# %%
from course_lib.kvcache import PrefixCache

show(PrefixCache.match)

# %% [markdown]
# `KVCacheManager` puts all of it together. It is what an engine asks: `match_prefix(request)`,
# `allocate_slots(request, n)`, `commit(request, num_computed_tokens)` when a step has been computed, `fork`, `free`.
#
# ## Measure: work and memory saved
#
# Seven readers, seven questions, one tale. The first comes a step earlier; the others come all at once. With and
# without a prefix cache:

# %%
from types import SimpleNamespace


def step_of(manager, cache, requests):
    """Computes what is new of each request, and adds a token to each. Returns how many tokens went through the model."""
    new = []
    for r in requests:
        done = manager.num_computed_tokens(r) if r in manager else manager.match_prefix(r)
        new.append(r.token_ids[done:])
        if manager.allocate_slots(r, len(new[-1])) is None:
            raise MemoryError(f"no room for {r.request_id}")
    logits = push(cache, [manager.table(r) for r in requests], new)
    for r, row in zip(requests, logits):
        manager.commit(r, len(r.token_ids))
        r.token_ids.append(int(row.argmax()))
    return sum(map(len, new))


def readers(**how):
    """All seven answers, tokens computed in all, and the most blocks in use."""
    allocator, cache = memory(128, 16)
    manager = KVCacheManager(allocator, **how)
    requests = [SimpleNamespace(request_id=f"R{i}", token_ids=tokenizer.encode(told + q)) for i, q in enumerate(questions)]
    starts = [len(r.token_ids) for r in requests]
    computed = step_of(manager, cache, requests[:1])
    computed += sum(step_of(manager, cache, requests) for _ in range(9))
    answers = [r.token_ids[start : start + 9] for r, start in zip(requests, starts)]
    return answers, computed, allocator.num_blocks - allocator.num_free


without, with_cache = readers(prefix_caching=False), readers()
naive = [generate_naive(model, tokenizer.encode(told + q), SamplingParams(max_tokens=9, ignore_eos=True)) for q in questions]
for question, answer in zip(questions, with_cache[0]):
    print(f"{question:<42} {tokenizer.decode(answer).strip().splitlines()[0]}")
print()
print("the same tokens, without, with, naive:", without[0] == with_cache[0] == naive)
print(f"tokens computed: {without[1]:,} without, {with_cache[1]:,} with: {without[1] / with_cache[1]:.1f} times less work")
print(f"blocks in use:   {without[2]:,} without, {with_cache[2]:,} with: {without[2] / with_cache[2]:.1f} times less memory")

# %% [markdown]
# What does one reader more cost, in memory and in work? Counted by the ledger, no model:

# %%
import matplotlib.pyplot as plt


def cost_of_readers(num_readers, shared):
    """Blocks in use, and tokens computed."""
    manager, computed = KVCacheManager(BlockAllocator(1_000, 16), prefix_caching=shared), 0
    for i in range(num_readers):
        r = SimpleNamespace(request_id=i, token_ids=tale_ids + [i] * 15)  # its own question and answer, 15 tokens
        n = len(r.token_ids) - manager.match_prefix(r)
        manager.allocate_slots(r, n)
        manager.commit(r, len(r.token_ids))
        computed += n
    return manager.allocator.num_blocks - manager.allocator.num_free, computed


counts = range(1, 33)
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for shared, name, colour, style in ((False, "each for itself", "#D55E00", "--"), (True, "shared", "#0072B2", "-")):
    costs = [cost_of_readers(n, shared) for n in counts]
    for axis, values in zip(axes, zip(*costs)):
        axis.plot(counts, values, label=name, color=colour, linestyle=style)
    print(f"{name:<16} one reader more: {costs[-1][0] - costs[-2][0]:>2} blocks, {costs[-1][1] - costs[-2][1]:>3} tokens; "
          f"32 readers: {costs[-1][0]:>3} blocks, {costs[-1][1]:,} tokens")
axes[0].set(xlabel="readers of one tale", ylabel="blocks of 16", title="Memory: blocks in use")
axes[1].set(xlabel="readers of one tale", ylabel="tokens", title="Work: tokens through the model")
axes[0].legend()
plt.show()

# %% [markdown]
# And in seconds on this machine: how long a reader waits for the first token, when the tale is new and when it is
# known.

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
print(f"first token after {new * 1e3:.0f} ms when the tale is new, {known * 1e3:.0f} ms when it is known: "
      f"{new / known:.1f} times as soon")

# %% [markdown]
# And recorded on an H200, with a model of real size and a text of 8,192 tokens that everybody asks about:

# %%
from course_lib.recorded import recorded

recorded("05")

# %% [markdown]
# ## When memory is full: eviction
#
# A cached block that nobody holds costs nothing as long as there are free ones. When there are none left, somebody must
# go: a block is **evicted**, its hash is forgotten, and whoever asks for its text must compute it again.
#
# Which one? Nobody knows what will be asked for next. The usual guess: what was asked for lately. So the block goes
# that has been idle for longest, **least recently used**, LRU for short. All it takes is an ordered dictionary:

# %%
from collections import OrderedDict


class MyIdleBlocks:
    """Cached blocks that nobody holds, the longest idle first."""

    def __init__(self):
        self.idle = OrderedDict()

    def release(self, block_ids):
        for block in reversed(block_ids):  # the end of the text first
            self.idle[block] = None

    def use(self, block_ids):
        for block in block_ids:
            self.idle.pop(block, None)

    def evict(self):
        return self.idle.popitem(last=False)[0]


idle = MyIdleBlocks()
idle.release([0, 1, 2])  # a text in blocks 0, 1, 2 is done
idle.release([3, 4])     # then another
idle.use([0, 1, 2])      # somebody asks for the first one again
idle.release([0, 1, 2])  # and is done
print("evicted:", [idle.evict() for _ in range(5)])

# %% [markdown]
# Why `reversed`? All blocks of a text become idle in the same moment, and one must go first. Suppose that memory needs
# one of the 14 blocks of the tale:

# %%
for name, lost in (("the last block is evicted", full - 1), ("the first block is evicted", 0)):
    allocator, cache = memory(64, 16)
    prefixes = MyPrefixCache(allocator)
    ask(prefixes, cache, told + questions[0])
    del prefixes.block_of[my_hashes(tale_ids, 16)[lost]]
    _, computed = ask(prefixes, cache, told + questions[1])
    print(f"{name}: the next reader computes {computed} tokens")

# %% [markdown]
# A block can be found only through the one before it, its **parent**. Without the first block the other 13 still fill
# memory, and nobody can find them. So **children go before parents**.
#
# ## See it: a memory too small for two tales
#
# 24 blocks of 16. Ada asks about the tale of the owl, then Ben and Cleo together. Then Dora brings a tale of her own,
# which does not fit beside it. At last Ed asks about the owl again. In the view they are A to E. Hatched blocks are
# cached: nobody holds them.

# %%
predict("05.ed", "Of the owl's tale, 14 full blocks were cached before Dora came. What does Ed find?",
        ["All 14: Ada computed them", "The beginning", "The end", "Nothing: a tale is cached as a whole"], answer=1)

# %%
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
    """Answers (name, prompt) together, a step at a time, until each has written its full stop."""
    requests = [SimpleNamespace(request_id=name, token_ids=tokenizer.encode(text)) for name, text in asked]
    starts, computed = [len(r.token_ids) for r in requests], []
    running = list(requests)
    while running:
        trace.next_step()
        computed.append(step_of(manager, cache, running))
        for r in [r for r in running if tokenizer.token_text(r.token_ids[-1]) == "."]:
            manager.free(r)
            running.remove(r)
    for r, start in zip(requests, starts):
        trace.text(r.request_id, [tokenizer.token_text(token) for token in r.token_ids])
        prompt, answer = r.token_ids[:start], r.token_ids[start:]
        naive = generate_naive(model, prompt, SamplingParams(max_tokens=len(answer), ignore_eos=True))
        print(f"{r.request_id}: {tokenizer.decode(answer).strip()}   (the same as naive: {answer == naive})")
    print(f"   {computed[0]} of {sum(starts)} tokens of the prompts computed")

# %%
serve(("A", told + questions[0]))
serve(("B", told + questions[1]), ("C", told + questions[4]))
serve(("D", hers + "What did Juniper like best?"))
serve(("E", told + questions[5]))
eviction_view = memory_view(trace)
eviction_view

# %% [markdown]
# Ben and Cleo share the tale that Ada has left behind:

# %%
eviction_view.snapshot(step=8)

# %% [markdown]
# Then Dora comes:

# %%
eviction_view.snapshot(step=14)

# %% [markdown]
# Dora's tale takes what is free, and then evicts: first what stood behind the end of the owl's tale, then the tale's
# own last blocks. Its beginning survives, so Ed finds 11 of the 14 blocks. Had the beginning gone first, he would
# find none.
#
# ## LRU or priority?
#
# LRU knows nothing but the past. Whoever runs a server may know more: these are the instructions of our assistant, and
# they will be asked for again; that is a document somebody pasted, and it will not. With eviction by **priority**, the
# least important block goes first (the one with the highest number, as in vLLM's scheduler), and the longest idle among
# equals. A block is as important as the most important request that used it. `course_lib` keeps a queue like
# `MyIdleBlocks` for each priority; with LRU there is just one.

# %%
show(PrefixCache._evict_one)

# %% [markdown]
# Is that better? Two workloads, served one request after the other by the real `KVCacheManager`:
#
# - **An assistant.** Every sixth request begins with the assistant's 512 instructions, and is important. The others are
#   documents of 256 tokens that come once.
# - **Conversations.** Six are open at any time. Each turn sends the whole conversation and 64 tokens more. Half of the people
#   pay, and are important. After some turns a conversation is over and never comes back.

# %%
import random


def assistant(count=200):
    chance = random.Random(0)
    tokens = lambda n: [chance.randrange(2560) for _ in range(n)]
    instructions = tokens(512)
    for i in range(count):
        if i % 6 == 0:
            yield SimpleNamespace(request_id=i, token_ids=instructions + tokens(32), priority=0)
        else:
            yield SimpleNamespace(request_id=i, token_ids=tokens(256), priority=1)


def conversations(count=240):
    chance, talks = random.Random(0), []
    for i in range(count):
        while len(talks) < 6:
            talks.append({"token_ids": [], "priority": chance.choice([0, 1]), "turns": chance.randrange(4, 9)})
        talk = chance.choice(talks)
        talk["token_ids"] = talk["token_ids"] + [chance.randrange(2560) for _ in range(64)]
        talk["turns"] -= 1
        if talk["turns"] == 0:
            talks.remove(talk)
        yield SimpleNamespace(request_id=i, token_ids=talk["token_ids"], priority=talk["priority"])


def share_found(workload, num_blocks, eviction):
    """The share of all prompt tokens that need no computing."""
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
# For which memories does it matter?

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", sharey=True)
for axis, workload in zip(axes, (assistant, conversations)):
    for eviction, colour, style, marker in (("lru", "#0072B2", "-", "o"), ("priority", "#D55E00", "--", "s")):
        shares = [100 * share for share in found[workload, eviction]]
        axis.plot(sizes, shares, label=eviction, color=colour, linestyle=style, marker=marker, markersize=4)
    axis.set(xlabel="blocks of 16 in memory", title=f"{workload.__name__.capitalize()}: prompt tokens found")
axes[0].set(ylabel="%", ylim=(0, 80))
axes[0].legend()
plt.show()

# %% [markdown]
# **The assistant.** Between two uses of the instructions, five documents pass through the memory. Up to 80 blocks,
# LRU has evicted the instructions each time before they are needed again, and finds nothing at all. Priority keeps
# them in any memory that has room for them. From 112 blocks on there is room for everything in between, and the
# policies do the same.
#
# **The conversations.** Priority keeps what important people said, also when their conversations are long over, and
# evicts those that go on. More memory helps it little: it fills with the past. LRU forgets the dead ones by itself.
#
# So importance is worth something only together with a reason to come back. vLLM evicts by LRU, the end of a text
# first. In TensorRT-LLM LRU is the default, and a priority can be given to ranges of tokens, with a duration after
# which it lapses ([NVIDIA,
# 2025](https://developer.nvidia.com/blog/introducing-new-kv-cache-reuse-optimizations-in-nvidia-tensorrt-llm/)): the
# answer to what went wrong here on the right.
#
# ## Three questions
#
# <details><summary><b>1. A prompt of 64 tokens, blocks of 16, five samples. How many blocks are copied?</b></summary>
#
# None. 64 is a multiple of 16, so the last block is full, and nobody writes into it. Each sample begins with a fresh block.
# </details>
#
# <details><summary><b>2. You add the date and the time to the first line of your system prompt. What happens to the prefix cache?</b></summary>
#
# It finds nothing any more, from one minute to the next: every block's hash covers the first line. Put what changes at
# the end.
# </details>
#
# <details><summary><b>3. Two requests with the same prompt of 40 tokens arrive in the same step, and nothing is cached. How often is the prompt computed?</b></summary>
#
# Twice. A block is hashed once it is computed, and in this step it is not yet. The second one's blocks hold the same, but only the
# first one's are found from then on. A scheduler could let the second wait for a step.
# </details>
#
# ## Next
#
# `exercises/05_sharing_and_eviction.ipynb`: write `fork` and copy-on-write, the chain of hashes and the search in it,
# and both evictions yourself. Your table then serves samples of the bundled model. Lesson 06 turns from where keys
# and values are kept to how attention reads them.
