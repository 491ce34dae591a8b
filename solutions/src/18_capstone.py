# %% [markdown]
# # Exercises 18 · The capstone
#
# An engine of four parts, ten questions that vLLM's and SGLang's source answers, and a scheduling policy of your own.
# No GPU is needed. `hint("18.assemble")` goes one step further each time you call it.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import EngineConfig, check, hint, load_model, progress, setup
from course_lib.decoding import SamplingParams, generate_naive
from course_lib.decoding.generate import stop_ids
from course_lib.engine import Policy, Request, Scheduler
from course_lib.engine.policies import FCFS
from course_lib.kvcache import BlockAllocator, KVCacheManager, KVPool, PagedCache
from course_lib.practice.play import contest

machine = setup(quiet=True)

# %% [markdown]
# ## 18.assemble · The engine, from its parts
#
# You have built an allocator, a cache, a scheduler and a policy. An engine is what calls them in the right order. Write
# it on the course's protocols (`course_lib/engine/protocols.py`), so that any parts that have their methods fit: yours,
# the course's, or those of the check.
#
# `MyEngine(model, config, *, allocator, cache, scheduler, policy)`: the model is called as `model(token_ids, positions,
# cache, logits_for=rows)`, `config` is an `EngineConfig` with `num_blocks`, and the four others are classes.
#
# | part | made as | what you call |
# |---|---|---|
# | `allocator` | `allocator(num_blocks, block_size)` | nothing: the cache and the manager use it |
# | the pool | `KVPool(model.config, num_blocks, block_size, model.device, model.dtype)` | nothing |
# | `cache` | `cache(pool, allocator)` | `begin_step(tables, counts)` returns the positions of the new tokens; the model calls `attend` |
# | the manager | `KVCacheManager(allocator, prefix_caching=config.prefix_caching)` | `table(request)` is the request's block table |
# | `policy` | `policy()` | nothing: the scheduler uses it |
# | `scheduler` | `scheduler(config, manager, policy=policy())` | `add(request)`, `schedule()`, `update(step, tokens)`, `finish(request, reason)`; `running` is `{request_id: request}`, and `len(waiting)` counts |
#
# In the parentheses, `pool`, `manager` and `allocator` are the objects that you have made, not classes. One allocator
# goes to both the cache and the manager.
#
# Three methods:
#
# - `add_request(request)`: a `Request` waits from now on. Its sequence ends at one of `request.stop_ids`, which is
#   yours to set: the frozenset of `stop_ids(model.config, request.params)`. It contains the model's end tokens, unless
#   `ignore_eos` is set.
# - `has_unfinished()`: whether any request waits or runs.
# - `step()`: one step of the engine, in this order:
#   1. `schedule()`. `step.scheduled` lists what is computed: of each entry you need `request_id`, `token_ids` (the
#      tokens to be computed now, a list), `num_tokens` (how many) and `num_choices` (1 if a token is chosen after the
#      last of them, 0 in the middle of a prompt).
#   2. `begin_step(tables, counts)`: two lists, with the block table and `num_tokens` of each entry, in the order of
#      `step.scheduled`.
#   3. The model, **once** for all entries. `token_ids` is an int64 tensor `[num_tokens]` on `model.device`: the tokens
#      of all entries, one entry after the other. `rows` (int64) says after which of them a token is chosen, counted
#      from 0. The model returns logits `[len(rows), vocab_size]`. If no entry has a choice, `rows` is empty; the model
#      runs all the same, because it writes the keys and values.
#   4. `update(step, tokens)`, where `tokens` is a dict `{request_id: [token]}` with the most likely token, an int, of
#      each entry that has a choice. It returns a list of `(request, new token ids)`.
#   5. `finish(request, reason)` for each of these requests that has a `finish_reason`: it has ended, and this frees its
#      blocks.
#
#   Return a list of `(request_id, token, finish_reason or None)`, one for each request that got a token.
#
# Where nothing is scheduled, `step()` returns `[]` and does not call the model. Sampling is greedy. No request has `n`
# above 1, and preemption is by recomputation, so no blocks are copied or swapped. The tokens must be those of
# `generate_naive`.

# %% nbgrader={"grade_id": "assemble", "solution": true} course={"exercise": "18.assemble"}
class MyEngine:
    """Serves requests with the allocator, cache, scheduler and policy that it is given."""

    def __init__(self, model, config, *, allocator, cache, scheduler, policy):
        ### BEGIN SOLUTION
        blocks = allocator(config.num_blocks, config.block_size)
        pool = KVPool(model.config, config.num_blocks, config.block_size, model.device, model.dtype)
        self.model, self.cache = model, cache(pool, blocks)
        self.manager = KVCacheManager(blocks, prefix_caching=config.prefix_caching)
        self.scheduler = scheduler(config, self.manager, policy=policy())
        ### END SOLUTION

    def add_request(self, request):
        """The request waits from now on."""
        ### BEGIN SOLUTION
        request.stop_ids = frozenset(stop_ids(self.model.config, request.params))
        self.scheduler.add(request)
        ### END SOLUTION

    def has_unfinished(self):
        """Whether any request waits or runs."""
        ### BEGIN SOLUTION
        return bool(self.scheduler.running) or len(self.scheduler.waiting) > 0
        ### END SOLUTION

    def step(self):
        """One step: [(request_id, token, finish_reason or None)] of the requests that got a token."""
        ### BEGIN SOLUTION
        step = self.scheduler.schedule()
        if not step.scheduled:
            return []
        tables = [self.manager.table(self.scheduler.running[one.request_id]) for one in step.scheduled]
        positions = self.cache.begin_step(tables, [one.num_tokens for one in step.scheduled])
        token_ids, rows, names = [], [], []
        for one in step.scheduled:
            token_ids += one.token_ids
            if one.num_choices:
                rows.append(len(token_ids) - 1)
                names.append(one.request_id)
        with torch.inference_mode():
            flat = torch.tensor(token_ids, device=self.model.device)
            logits = self.model(flat, positions, self.cache, logits_for=torch.tensor(rows, dtype=torch.int64))
        tokens = {name: [token] for name, token in zip(names, logits.argmax(-1).tolist())}
        outputs = []
        for request, new in self.scheduler.update(step, tokens):
            if request.finish_reason:
                self.scheduler.finish(request, request.finish_reason)
            outputs.append((request.request_id, new[-1], request.finish_reason))
        return outputs
        ### END SOLUTION

# %% nbgrader={"grade_id": "assemble-check", "grade": true, "points": 4}
check("18.assemble", MyEngine)

# %% [markdown]
# Your engine on the bundled model, with a prompt cut into chunks of 16 tokens, beside `generate_naive`:

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
parts = dict(allocator=BlockAllocator, cache=PagedCache, scheduler=Scheduler, policy=FCFS)
engine = MyEngine(model, EngineConfig(num_blocks=24, max_num_batched_tokens=16), **parts)
prompts = [tokenizer.encode(text) for text in ("Once upon a time, in a quiet harbour, there lived", "The old drum")]
params, written = SamplingParams(max_tokens=12), {}
for name, prompt in zip("ab", prompts):
    engine.add_request(Request(name, prompt, params))
while engine.has_unfinished():
    for name, token, reason in engine.step():
        written.setdefault(name, []).append(token)
for name, prompt in zip("ab", prompts):
    same = written[name] == generate_naive(model, prompt, params)
    print(f"{name}: {tokenizer.decode(written[name])!r}, the tokens of generate_naive: {same}")

# %% [markdown]
# ## 18.read_vllm · Ten questions that the source answers
#
# Each question is about one function of vLLM 0.24.0 (commit `ee0da84ab`; folder `vllm/v1/`) or SGLang 0.5.23 (folder
# `python/sglang/srt/`). The line that decides is given here, so you need neither of them installed. A block holds 16
# tokens.
#
# | key | function | what it does |
# |---|---|---|
# | `tokens` | `core/sched/scheduler.py` `Scheduler.schedule` | no prefill and no decode: first the running requests in their order, then the waiting ones get `min(num_tokens - num_computed_tokens, token_budget)` |
# | `full_hit` | `core/kv_cache_manager.py` `get_computed_blocks` | `max_cache_hit_length = request.num_tokens - 1`, and only full blocks are found |
# | `freed` | `core/block_pool.py` `free_blocks`; `core/single_type_kv_cache_manager.py` `free` | gets the blocks of a request in reverse order. Those without a hash go to the front of the free queue (`prepend_n`, which keeps their order), those with one to its end (`append_n`) |
# | `reused` | `core/block_pool.py` `touch`, `get_new_blocks` | a block that is hit leaves the free queue; new blocks are taken from its front |
# | `preempted` | `core/sched/scheduler.py` `schedule`, `_preempt_request` | policy `fcfs`, while `allocate_slots` returns `None`: `self.running.pop()`, its blocks are freed, and `self.waiting.prepend_request` |
# | `important` | `core/sched/scheduler.py` `schedule` | policy `priority`: the victim is `max(self.running, key=lambda r: (r.priority, r.arrival_time))` |
# | `same_step` | `core/kv_cache_manager.py` `allocate_slots` | ends with `coordinator.cache_blocks(...)`: full blocks get their hash when they are scheduled, before they are computed |
# | `rows` | `worker/gpu_model_runner.py` `_prepare_inputs` | `logits_indices = query_start_loc[1:] - 1`, and `query_start_loc` is our `cu_seqlens_q`; what is sampled in the middle of a prompt is thrown away later (`discard_request_mask`) |
# | `kept` | `sample/sampler.py` `sample`; `sample/ops/topk_topp_sampler.py` | temperature first, then top-k, then top-p on the softmax of what top-k has left |
# | `evicted` | SGLang `mem_cache/radix_cache.py` `RadixCache.evict` | a heap of **leaves**, the least recently used first; whole nodes, until at least `num_tokens` are evicted. A parent without children left joins the heap |
#
# The questions:
#
# - `tokens`: the budget is 64. A runs: 100 prompt tokens and 1 output token, 100 of them computed. B runs after it: 300
#   prompt tokens, 128 computed. C waits: 40 prompt tokens. How many tokens do A, B and C get in this step? A list of 3
#   ints.
# - `full_hit`: a prompt of 64 tokens arrives, and all four of its blocks are cached. How many of its tokens are taken
#   from the cache, and how many are computed? A list of 2 ints.
# - `freed`: the free queue holds blocks 7, 8, 9, and 7 is next. A request with the blocks 3, 4, 5 ends. Blocks 3 and 4
#   are full and hashed, block 5 is not full. The free queue after that? A list of 6 block ids, the next one first.
# - `reused`: right after `freed`, a request arrives whose first block is found in block 3. It needs two more. Its block
#   table? A list of 3 block ids.
# - `preempted`: A, B, C run, admitted in this order; D, E wait. No block is free. A needs 3 blocks for its next tokens;
#   B holds 2 blocks, C holds 1, and nobody else holds those. The waiting queue after `schedule`? A list of names, the
#   next one first.
# - `important`: again no block is free, now with the policy `priority`. (priority, arrival) of the running requests: A
#   (0, 5), B (2, 1), C (2, 3), D (1, 4). A needs 3 blocks; B, C and D hold 1 block each. Who is preempted? A list of
#   names in the order in which it happens.
# - `same_step`: two requests with the same prompt of 32 tokens arrive together, in blocks of 16. Nothing is cached,
#   prefix caching is on, the budget is 100. How many tokens does the first step compute in vLLM, and how many with this
#   course's engine, which hashes a block after it is computed? A list of 2 ints.
# - `rows`: a step computes 1 token of A, 63 in the middle of B's prompt, and the last 4 of C's prompt, in this order.
#   Of which rows does vLLM compute logits, and of which does this course's `Runner`, which needs a row only where
#   `num_choices` is above 0? A list of two lists of row numbers, counted from 0.
# - `kept`: at temperature 1, tokens 0 to 4 have the probabilities 1/2, 1/4, 1/8, 1/16, 1/16. With temperature 0.5,
#   top-k 3 and top-p 0.94, which tokens can be drawn? A list of token ids, the smallest first.
# - `evicted`: a radix tree. Under the root are S (32 tokens, last used at time 9) and Z (24 tokens, at 5); under S are
#   X (16 tokens, at 3) and Y (48 tokens, at 7); under Z is W (8 tokens, at 4). Nothing is locked. `evict` is asked for
#   60 tokens. Which nodes are evicted? A list of names in the order in which it happens.
#
# `read_vllm()` takes nothing and returns a dict with these ten keys. The names are strings such as `"A"`.

# %% nbgrader={"grade_id": "read_vllm", "solution": true} course={"exercise": "18.read_vllm"}
def read_vllm():
    """{key of a question: its answer}, for the ten questions."""
    ### BEGIN SOLUTION
    return {
        "tokens": [1, 63, 0],  # A lacks 1 token, B gets the rest of the budget, and nothing is left for C
        "full_hit": [48, 16],  # at most 63 tokens may be taken, and 63 are three full blocks
        "freed": [5, 7, 8, 9, 4, 3],  # 5 can never be found again; the tail 4 goes before the beginning 3
        "reused": [3, 5, 7],  # 3 leaves the queue, and its front is 5, 7
        "preempted": ["B", "C", "D", "E"],  # C first, which is not enough, then B, each put at the front
        "important": ["C", "B", "D"],  # the highest (priority, arrival) first
        "same_step": [48, 64],  # the second finds the first block of the first: 32 + 16
        "rows": [[0, 63, 67], [0, 67]],  # the last token of each; the course leaves out what has no choice
        "kept": [0, 1],  # 16, 4 and 1 parts of 21: the last has 0.048, less than 1 - 0.94
        "evicted": ["X", "W", "Z", "Y"],  # 16 + 8, then Z is a leaf: 48, and Y makes 96
    }
    ### END SOLUTION

# %% nbgrader={"grade_id": "read_vllm-check", "grade": true, "points": 5}
check("18.read_vllm", read_vllm)

# %% [markdown]
# ## 18.your_policy · A policy of your own
#
# First come, first served lets a short request wait behind long ones. Write a policy under which requests get their
# first token sooner, and nobody starves. A workload is served by the simulator (lesson 12) on the real scheduler, once
# with FCFS and once with your policy: at most 16 requests run at a time, and the others wait in your queue.
#
# **The goal**, on seven hidden workloads:
#
# - On at least **five** of them the **mean time to first token** is at most **85 %** of what it is with FCFS.
# - On **each** of them the longest time to first token is at most **twice** the longest with FCFS: nobody starves.
#
# Your class derives from `Policy`. Either define `key(request)`: the smallest goes first, and it is computed when a
# request joins the queue, so it cannot change while the request waits; or define the queue yourself: `push(request, *,
# returning=False)`, `peek()`, `pop()`, `remove(request)` and `__len__()`, as in lesson 11. `peek()` returns the request
# that is next and leaves it in the queue, or returns `None`; `pop()` takes exactly that one out; `remove` takes out
# any. Each request that was pushed comes out once. The class is made without arguments, and each engine makes its own.
#
# A request has `arrival` (a float, in seconds), `num_prompt_tokens` and `params.max_tokens` (ints), `client` (a
# string), `priority` (an int) and `number` (an int that rises with every request). In the hidden workloads each answer
# is as long as `max_tokens`. Four of the hidden workloads are of the kinds that `contest` shows below, with other
# random numbers; three are of other kinds.

# %%
contest()

# %% nbgrader={"grade_id": "your_policy", "solution": true} course={"exercise": "18.your_policy"}
class YourPolicy(Policy):
    """A policy of your own."""

    def key(self, request):
        """The smallest goes first. Or remove this method, and define the queue yourself."""
        ### BEGIN SOLUTION
        work = request.num_prompt_tokens / 4 + request.params.max_tokens
        return request.arrival + 0.005 * work
        ### END SOLUTION

# %% nbgrader={"grade_id": "your_policy-check", "grade": true, "points": 4}
check("18.your_policy", YourPolicy)

# %% [markdown]
# Your policy beside those of the course, on the workloads that you can see:

# %% tags=["raises-exception"]
contest(YourPolicy)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
