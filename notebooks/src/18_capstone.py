# %% [markdown]
# # 18 · Capstone
#
# - **You will** run the engine on all parts that you have written, read vLLM's core and SGLang's scheduler beside it,
#   and let policies compete.
# - **Why** what you built is small enough to know by heart. The servers that people use have the same parts under other
#   names.
# - **Time** 45 minutes, and two hours for the exercises.
# - **You need** lessons 04, 05, 10 and 11, and the simulator of lesson 12. Parts that you have not written are replaced
#   by the reference's.
# - **After it** you can open vLLM's scheduler, say what each part does, and say where this course does it otherwise.
#
# Counts, tokens and the contest are the same on every machine. Times are those of yours.

# %% [markdown]
# {{colab}}

# %%
import json
import tempfile
from pathlib import Path

import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, load_parts, predict, progress, setup
from course_lib.decoding import generate_naive
from course_lib.engine import Policy, Request
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.practice.play import assemble, contest
from course_lib.viz import source_map

# %% tags=["nbval-ignore-output"]
setup()
threads = torch.get_num_threads()
torch.set_num_threads(1)                                         # so that other programs here change the times less
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)

# %% [markdown]
# ## Your engine, assembled
#
# When an exercise passes, `check` keeps its code: that is your workbook. `load_parts` checks this code once more and
# returns it; for an exercise that you have not passed it returns the reference. For example, four parts:

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator", "10.continuous_loop", "11.chunked_prefill", "11.preempt")
parts

# %% [markdown]
# `assemble` loads all the parts that it needs in this way. It serves the same requests in eight ways, from the loop of
# lesson 01 to the engine of `course_lib`, and compares every token with `generate_naive`. Here it runs with four short
# requests that arrive together. In a terminal, `course assemble` takes more and longer requests.

# %%
predict("18.paged", "Serving one request after the other: how do blocks (paged) compare with one contiguous cache (cached), in tokens a second?",
        ["Blocks are clearly faster", "About the same, or a little slower", "Blocks are ten times slower"], answer=1)

# %% tags=["nbval-ignore-output"]
board = assemble(quick=True)
board

# %% [markdown]
# Which step brought what:
#
# - **cached** computes each token once, where **naive** computes the whole sequence again for each new token.
# - **paged** is no faster for one request. It saves memory when there are several: nothing is reserved for the longest
#   answer.
# - **batched** and **continuous** read the weights once for several requests. All four requests arrive together and
#   all have a place, so none joins later: **continuous** cannot show here what it gains in lesson 10.
# - **engine** cuts prompts into chunks, so that running requests get a token in every step. That is for latency
#   (lesson 11). It runs on the runner of `course_lib`, so its tokens a second do not say what chunks cost or gain.
# - **preempting** has half of the blocks of **engine**. (The column "peak MB" counts other tensors too.) They are not
#   enough for all four requests at once: some wait, one is preempted, and some of its tokens are computed again. So it
#   takes more steps and is slower. The tokens are the same.
# - **final** is `course_lib` alone, and it shares prefixes. The prompts begin with the same tokens. Only full blocks
#   are shared, and only those that an earlier step has computed, so little is saved here.
#
# ### A card to share
#
# The board as a picture, and the same numbers as JSON: machine, tokens a second, peak memory, and which parts are
# yours. In a terminal, `course assemble --card card.svg` writes both.

# %% tags=["nbval-ignore-output"]
folder = Path(tempfile.mkdtemp())
picture, numbers = board.card(folder / "card.png")
print(picture.name, "and", numbers.name)
card = json.loads(numbers.read_text(encoding="utf-8"))
print("it holds:", ", ".join(card))
print("a score holds:", ", ".join(card["scores"][0]))

# %% [markdown]
# ## Build it: what is left of an engine
#
# When the parts are there, an engine is the loop that calls them. Below are the three lines in the middle of
# `Engine.step`. (`Engine.step` also measures times, makes text, and ends requests that are done.) `schedule` returns
# integers, the runner makes tensors of them and returns the chosen tokens, and `update` appends these to the sequences.
# On a GPU `run` returns before the tokens are there, and `wait` waits for them:

# %%
def one_step(engine):
    """A step of an engine, written out: integers, tensors, integers."""
    step = engine.scheduler.schedule()                           # which tokens, in which slots
    tokens = engine.runner.run(step).wait()                      # the model, once, and the choice
    return step, engine.scheduler.update(step, tokens)           # append the tokens


# %% [markdown]
# Two requests on it, with a budget of 8 tokens a step. A request that has ended is taken out with `finish`:

# %%
prompts = [tokenizer.encode(text) for text in ("Once upon a time, in a quiet harbour, there lived", "The old drum belonged to")]
print("tokens of the prompts:", [len(prompt) for prompt in prompts])
engine = Engine(model, EngineConfig(num_blocks=32, max_num_batched_tokens=8, prefix_caching=False), tokenizer=tokenizer)
params = SamplingParams(max_tokens=8, ignore_eos=True)
ids = [engine.add_request(prompt, params) for prompt in prompts]
written = {request_id: [] for request_id in ids}
for number in range(1, 30):
    step, grown = one_step(engine)
    for request, new in grown:
        written[request.request_id] += new
        if request.finish_reason:
            engine.scheduler.finish(request, request.finish_reason)
    print(f"step {number:>2}:", ", ".join(f"{one.request_id} computes {one.num_tokens}" for one in step.scheduled))
    if not engine.scheduler.has_unfinished():
        break
print("the tokens of generate_naive:", [written[i] for i in ids] == [generate_naive(model, prompt, params) for prompt in prompts])

# %% [markdown]
# In step 3, "0 computes 1" is the last token of its prompt. In step 4 the same words are a decode. The scheduler does
# not distinguish the two: each request has tokens, some of them are computed, and each step computes some more. vLLM's
# scheduler says the same in the comment with which its `schedule` begins. In `18.assemble` you write this loop
# yourself, on parts that the check brings.
#
# ### The same in vLLM
#
# `EngineCore.step` in `vllm/v1/engine/core.py` has the same calls; our `runner.run` does the work of two of them.
# (`grammar_output` says which tokens a required form, such as JSON, allows. The course's engine has none.)
#
# | here | vLLM 0.24.0 |
# |---|---|
# | `scheduler.schedule()` | `self.scheduler.schedule()` |
# | `runner.run(step)`: the model | `self.model_executor.execute_model(scheduler_output)` |
# | … and the choice of tokens | `self.model_executor.sample_tokens(grammar_output)` |
# | `scheduler.update(step, tokens)` | `self.scheduler.update_from_output(scheduler_output, model_output)` |
#
# ## See it: the map
#
# Fifteen mechanisms. Each row names the exercise in which you build it, the place in `course_lib`, and the places in
# vLLM and SGLang; the names are links. Files and lines are those of vLLM 0.24.0 (commit `ee0da84ab`) and SGLang 0.5.23.
# A green mark is a part of yours that passed.

# %% tags=["nbval-ignore-output"]
source_map([exercise_id for exercise_id, entry in progress().entries.items() if entry.state == "done"])

# %% [markdown]
# The engines cut the same work in different places. Shared prefixes and eviction are in one file here and in SGLang
# (`radix_cache.py`), and in two files in vLLM (`kv_cache_manager.py` and `block_pool.py`). Preemption is in the
# scheduler's file here and in vLLM; in SGLang it is in `schedule_batch.py`, which also makes the flat batch.
#
# ## A guided reading
#
# Four places where the engines decide differently. Each one is a few lines in its source. For 1, 2 and 4 a cell runs
# the course's code. What is said of vLLM and SGLang is read from their source, and not run here.
#
# ### 1. When is a block hashed?
#
# vLLM's `allocate_slots` (`vllm/v1/core/kv_cache_manager.py`) ends with `cache_blocks`: the full blocks of a request
# can be found from the moment they are *scheduled*. Here `commit` hashes them after the step has *computed* them.

# %%
predict("18.same_step", "Two requests with the same prompt of 32 tokens arrive together; a block has 16 tokens. How many tokens does the first step compute here?",
        ["32: the second shares all", "48: the second shares one block", "64: nothing is shared yet"], answer=2)

# %%
engine = Engine(model, EngineConfig(block_size=16, num_blocks=32, max_num_batched_tokens=100))
same = list(range(5, 37))
for _ in range(2):
    engine.add_request(same, SamplingParams(max_tokens=2, ignore_eos=True))
step = engine.scheduler.schedule()
print("tokens of the first step:", [one.num_tokens for one in step.scheduled], "together", step.num_tokens)

# %% [markdown]
# vLLM would compute 48: the second request finds the first block of the first one. The last token of its prompt must be
# computed, so the second block is not taken. The second request may read a block that the same step computes, because
# both are in one run of the model, which writes all keys and values of a layer before attention reads them.
#
# ### 2. In which order are blocks evicted?
#
# In vLLM the free queue is also the order of eviction (`free_blocks` in `vllm/v1/core/block_pool.py`). Blocks without a
# hash go to its front, since nobody can find them again; hashed ones go to its end, the tail of a sequence before its
# beginning. Ours:

# %%
allocator = BlockAllocator(num_blocks=6, block_size=4)
manager = KVCacheManager(allocator, prefix_caching=True)


class Plain:
    """As much of a request as the ledger needs."""

    def __init__(self, request_id, token_ids):
        self.request_id, self.token_ids = request_id, token_ids


first = Plain("first", list(range(10)))                          # two full blocks and a half
manager.allocate_slots(first, 10)
manager.commit(first, 10)
held = manager.table(first).block_ids[:]
manager.free(first)
order = [allocator.allocate(1)[0] for _ in range(6)]
print("its blocks:", held, "  given out again in the order", order)

# %% [markdown]
# First come the blocks that were free before, then the half block, then the two hashed ones, the tail of the sequence
# before its beginning. A later prompt can use a beginning without its tail, but never a tail without its beginning.
# vLLM differs in one thing: there the half block would come before all others. SGLang's tree has this order by itself:
# `RadixCache.evict` (`mem_cache/radix_cache.py`) only takes leaves.
#
# ### 3. Who is preempted?
#
# | | the victim | goes where |
# |---|---|---|
# | here | the last of `Policy.order`; with `fcfs` that is the last admitted | back into the queue, by the policy's key |
# | vLLM, `fcfs` | `self.running.pop()`: the last admitted | to the front of the queue |
# | vLLM, `priority` | the largest `(priority, arrival_time)` | into the heap, by the same two |
# | SGLang | the one with the fewest output tokens; among equals the longest prompt | back into the queue |
#
# With the policy `priority` (lesson 11), a waiting request for which there is no place or no memory preempts a running
# one here, if the running one is less important. In vLLM a waiting request never preempts: only a running request that
# finds no block does.
#
# ### 4. One batch of everything, or prompts first?
#
# vLLM gives the running requests their tokens first, and fills the rest of the budget with prompts, as here. SGLang's
# `get_next_batch_to_run` (`managers/scheduler.py`) first tries to make a batch of prompts, and only if there is none, a
# batch of decodes. Running requests then pause while prompts are computed, unless mixed chunks are switched on: batches
# of a prompt's chunk and of decodes.

# %%
predict("18.pause", "A prompt of 300 tokens arrives while two requests decode; the budget is 100 tokens a step. In how many of the next 3 steps do the two get a token here?",
        ["0", "1", "3"], answer=2)

# %%
engine = Engine(model, EngineConfig(num_blocks=64, max_num_batched_tokens=100, prefix_caching=False))
for prompt in prompts:
    engine.add_request(prompt, SamplingParams(max_tokens=20, ignore_eos=True))
engine.step()
long = (tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. ") * 20)[:300]
engine.add_request(long, SamplingParams(max_tokens=4, ignore_eos=True))
for number in range(1, 5):
    step, _ = one_step(engine)
    print(f"step {number}:", [one.num_tokens for one in step.scheduled])

# %% [markdown]
# The prompt gets 98 tokens in each of three steps and the other 6 in the fourth. The two others get a token in every
# step. With chunks of 100 tokens, and mixed chunks off as by default, SGLang would compute this prompt in three batches
# of its own: one step sooner, and the two others would get nothing meanwhile.
#
# Where to read on, in this order; take an hour for each:
#
# 1. `vllm/v1/core/sched/scheduler.py`, `schedule` from its first comment to "Next, schedule the WAITING requests". Skip
#    the lines about encoders, LoRA, connectors and mamba: the course has none of these.
# 2. `vllm/v1/core/block_pool.py` and `FreeKVCacheBlockQueue` in `kv_cache_utils.py`: what you built in lesson 05.
# 3. `vllm/v1/core/kv_cache_manager.py`, `allocate_slots`: compare the picture in its docstring with the one that
#    `course_lib/engine/request.py` begins with.
# 4. `vllm/v1/worker/gpu_model_runner.py`: `_update_states`, `_prepare_inputs`, `execute_model`, `sample_tokens`, in
#    this order. The file is very long; a step goes through these four.
# 5. `sglang/srt/managers/schedule_policy.py`, `SchedulePolicy.calc_priority` and `PrefillAdder`; then
#    `mem_cache/radix_cache.py`.
#
# ## Measure it: a contest of policies
#
# A policy takes a few lines. Which policy is better than first come, first served (FCFS)? The simulator serves the same
# requests under each, in four workloads: *chat* (short and long requests mixed), *documents* (one client sends a few
# long prompts, another one many short ones), *bursts* (many requests at once, then none) and *calm* (the requests of
# chat, but few a second).
#
# In the table the mean time to first token (TTFT) of FCFS is 100 %, and its longest TTFT is 1. A policy has *reached*
# the goal of the exercise if its mean is at most 85 % and its longest at most 2. It *starves* requests if its longest
# is above 2. A dash is neither. `Fair` is that of lesson 11. `Shortest` takes the request with the least work first; a
# unit of work is one output token or four prompt tokens.

# %%
predict("18.shortest", "The request with the least work always goes first. What happens to the mean time to first token, and to the longest?",
        ["Both fall", "The mean falls, the longest grows", "The mean grows, the longest falls"], answer=1)

# %%
class Aged(Policy):
    """Less work goes first, but a second of waiting counts like 100 units of work."""

    def key(self, request):
        return request.arrival + 0.01 * (request.num_prompt_tokens / 4 + request.params.max_tokens)


contest(Aged)

# %% [markdown]
# No policy in the table has a lower mean than `Shortest`. But on the chat workload one request waits more than twice as
# long as any would have under FCFS: it starves. `Aged` lets waiting count too; the factor 0.01 decides how much work
# weighs against a second of waiting, and it is still too large for the chat workload. `Fair` helps where there are two
# clients (documents), and is FCFS where there is one. On the calm workload there is a place for each request that
# comes, so no policy gains anything: compare policies under a load like your own.
#
# ## Break it: a policy that ignores waiting
#
# One long request waits, and a new short one comes for each request that is taken out of the queue. Is the long one
# among the first 1,000 that are taken?

# %%
class ShortFirst(Policy):
    def key(self, request):
        return request.num_prompt_tokens


policy, taken = ShortFirst(), []
policy.push(Request("long", [5] * 500, params))
for number in range(1000):
    policy.push(Request(f"short {number}", [5] * 10, params))
    taken.append(policy.pop().request_id)
print(f"{len(taken)} requests were taken; the long one is among them: {'long' in taken}")

# %% [markdown]
# As long as short requests come, the long one does not run. Nothing crashes, and one user gets no answer. A mean over
# all requests hides this one: look at the longest wait, too.
#
# The exercise `18.your_policy` asks for a policy that beats FCFS on hidden workloads and lets nobody starve.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(threads)
guesses("18")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. In vLLM and here, the scheduler can run in another process than the model. Why?</b></summary>
#
# It needs integers only. `SchedulerOutput` and our `Step` hold request names, token ids, block ids and counts; tensors
# stay with the runner. What comes back is a token for each sequence.
# </details>
#
# <details><summary><b>2. vLLM hashes a block before it is computed. When would that be wrong?</b></summary>
#
# If another step could read the block before the step that computes it has run, or if that step broke off. Within one
# run of the model it is right, because each layer writes all keys and values before its attention reads them. If a step
# breaks off, its hashes must be taken back.
# </details>
#
# <details><summary><b>3. A radix tree finds prefixes of any length. Hashes find only whole blocks. Why is that good enough for vLLM?</b></summary>
#
# Memory is given out in blocks, and a shared block must not be written. A prefix that ends inside a block would need a
# copy of that block. With 16 tokens a block, at most 15 more tokens of a prompt are computed than with a tree. SGLang's
# memory can be given out in pages too (`page_size` above 1); then it finds whole pages only.
# </details>
#
# ## What next
#
# This is the end of the course. If you want to go on:
#
# - **Read** vLLM's design documents (docs.vllm.ai, "Design Documents") with the map beside you, then the files in the
#   order above.
# - **Papers**: PagedAttention (arXiv 2309.06180), Orca (OSDI '22), Sarathi-Serve (arXiv 2403.02310), SGLang and
#   RadixAttention (arXiv 2312.07104), FlashAttention-2 (arXiv 2307.08691), DistServe (arXiv 2401.09670), speculative
#   decoding (arXiv 2211.17192).
# - **Change something**: give `Engine` a scheduler of yours (`scheduler=`) and compare its tokens with
#   `generate_naive`. Or take a small open issue of vLLM about its scheduler, and reproduce it first.
# - **Measure** your own workload: record its lengths and arrivals (lesson 12) before you believe a benchmark, ours
#   included.
#
# The exercises are in [exercises/18_capstone.ipynb](../exercises/18_capstone.ipynb): an engine from its parts, ten
# questions that the source answers, and a policy of your own.
