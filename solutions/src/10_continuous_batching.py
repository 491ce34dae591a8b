# %% [markdown]
# # Exercises 10 · Continuous batching
#
# Four pieces that make a server: the flat batch of a step, the test whether a request has finished, the choice of the requests of a step, and
# the loop around them. The checks of `10.step` and `10.continuous_loop` replay **arrival scripts**: when each request arrives, and with how
# long a prompt. If yours differs, you see two timelines, yours and the expected one, up to the first step that differs.
# A list, dict or tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import Engine, EngineConfig, SamplingParams, check, hint, load_model, load_parts, progress, setup
from course_lib.decoding import generate_naive
from course_lib.engine import Request
from course_lib.kvcache import BlockTable, KVPool, PagedCache

_ = setup(quiet=True)

# %% [markdown]
# Everywhere below, a `request` is the engine's own `Request`. You need these of it:
#
# | | |
# |---|---|
# | `request_id` | its name |
# | `token_ids` | all its tokens: the prompt, and the output so far |
# | `num_prompt_tokens` | how many of them are prompt tokens |
# | `num_tokens` | how many there are |
# | `num_computed_tokens` | how many of them have keys and values in the cache |
# | `params` | its `SamplingParams`: `max_tokens`, `stop_token_ids` (a tuple of ints), `ignore_eos` (a bool), `stop` (a tuple of strings) |
#
# ## 10.pack · One flat batch
#
# All tokens that a server computes in a step, of all its requests, are one row. Here you build it.
#
# `scheduled` is a list of pairs `(request, n)`: in this step the next n tokens of the request are computed, after the
# tokens that are computed already. Return a dict of five lists of ints (or tensors of ints):
#
# - `"token_ids"`: the tokens of all requests in one row, in the order of `scheduled`;
# - `"positions"`: the position of each of them in its own sequence, from 0;
# - `"cu_seqlens_q"`: where each request begins in the row; it starts with 0 and ends with the length of the row;
# - `"seq_lens"`: for each request, how many of its tokens have keys and values after this step;
# - `"logits_for"`: which rows of the logits are needed, as indices from 0. Each token has one row of logits. Needed is
#   the last row of each request that has no token left to compute after this step.
#
# Change neither `scheduled` nor its requests: whether the step succeeds is not known yet.
#
# An example: `a` has the tokens 5, 6, 7, and the first 2 of them are computed. `b` has the tokens 8, 9, and none is
# computed. For `[(a, 1), (b, 2)]`:
#
#     token_ids     7 | 8 9          seq_lens      3, 2
#     positions     2 | 0 1          logits_for    0, 2
#     cu_seqlens_q  0   1   3

# %% nbgrader={"grade_id": "pack", "solution": true} course={"exercise": "10.pack"}
def pack(scheduled):
    """The flat batch of a step. scheduled: (request, n), the next n tokens of each. Returns a dict of five lists of ints."""
    ### BEGIN SOLUTION
    token_ids, positions, cu_seqlens_q, seq_lens, logits_for = [], [], [0], [], []
    for request, n in scheduled:
        start = request.num_computed_tokens
        token_ids += request.token_ids[start:start + n]
        positions += range(start, start + n)
        cu_seqlens_q.append(len(token_ids))
        seq_lens.append(start + n)
        if start + n == len(request.token_ids):
            logits_for.append(len(token_ids) - 1)
    return {"token_ids": token_ids, "positions": positions, "cu_seqlens_q": cu_seqlens_q, "seq_lens": seq_lens,
            "logits_for": logits_for}
    ### END SOLUTION

# %% nbgrader={"grade_id": "pack-check", "grade": true, "points": 2}
check("10.pack", pack)

# %% [markdown]
# In the engine, the runner makes `token_ids` and `logits_for`, and `PagedCache.begin_step` the other three. vLLM's model runner builds the
# same arrays before each step. Now three requests of the bundled model in your flat batch: one decodes, one computes its whole prompt, and
# one computes a piece of its prompt. Two of them get a next token:

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
a = Request("a", tokenizer.encode("Once upon a time, in a quiet harbour, there"))
b = Request("b", tokenizer.encode("One evening at supper"))
c = Request("c", tokenizer.encode("Far away in an old windmill there lived a badger."))
cache = PagedCache(KVPool(model.config, 24, 4, "cpu", torch.float32))
tables = {request: BlockTable(cache.allocator) for request in (a, b, c)}


def compute(scheduled):
    for request, n in scheduled:
        tables[request].append_slots(n)
    batch = {name: torch.as_tensor(values, dtype=torch.int64) for name, values in pack(scheduled).items()}
    cache.begin_step([tables[request] for request, _ in scheduled], [n for _, n in scheduled])
    return model(batch["token_ids"], batch["positions"], cache, logits_for=batch["logits_for"])


compute([(a, a.num_tokens - 1)])
a.num_computed_tokens = a.num_tokens - 1
for request, row in zip((a, b), compute([(a, 1), (b, b.num_tokens), (c, 5)])):
    print(tokenizer.decode(request.token_ids), "→", tokenizer.decode([int(row.argmax())]))

# %% [markdown]
# ## 10.stop_conditions · When a request has finished
#
# A request that runs too long keeps a place that other requests wait for. The output of one that ends too early is
# incomplete.
#
# The function is called after each new token, which is `request.token_ids[-1]`. `eos_token_ids` is a tuple of the model's end tokens (it may
# be empty), and `text` is the output so far as a string. Return a pair `(finish_reason, text)`:
#
# - `"stop"` if the text contains one of the strings in `params.stop`. Then the text is cut before the stop string that
#   begins earliest in it, whatever else ends the request.
# - `"stop"` if the new token is one of `params.stop_token_ids`; or of `eos_token_ids`, unless `params.ignore_eos`. Earlier tokens do not count.
# - `"length"` if the output has `params.max_tokens` tokens, and none of the above holds. The prompt is no part of the output.
# - None if the request goes on. The text is returned unchanged unless it is cut.
#
# The request is not changed.
#
# For example, with `stop=(".",)` and the text `"Yes. N"`, the result is `("stop", "Yes")`.

# %% nbgrader={"grade_id": "stop_conditions", "solution": true} course={"exercise": "10.stop_conditions"}
def stop_conditions(request, eos_token_ids, text):
    """(finish_reason, text) after a new token. finish_reason: "stop", "length", or None while it goes on."""
    ### BEGIN SOLUTION
    params = request.params
    found = [text.find(stop) for stop in params.stop if stop in text]
    if found:
        return "stop", text[:min(found)]
    newest = request.token_ids[-1]
    if newest in params.stop_token_ids or newest in eos_token_ids and not params.ignore_eos:
        return "stop", text
    if len(request.token_ids) - request.num_prompt_tokens >= params.max_tokens:
        return "length", text
    return None, text
    ### END SOLUTION

# %% nbgrader={"grade_id": "stop_conditions-check", "grade": true, "points": 1}
check("10.stop_conditions", stop_conditions)

# %% [markdown]
# In the engine, `Request.append` tests tokens and length. Its `Detokenizer` tests strings, because it knows which characters are complete.
# Your function beside the engine, for one prompt that ends in four ways:

# %% tags=["raises-exception"]
prompt = tokenizer.encode("There was once a thoughtful frog")
for params in (SamplingParams(max_tokens=8), SamplingParams(max_tokens=300), SamplingParams(max_tokens=300, ignore_eos=True),
               SamplingParams(max_tokens=300, stop=(" and", "."))):
    [output] = Engine(model, tokenizer=tokenizer, trace=False).generate([prompt], params)
    request = Request("yours", prompt, params)
    for token in output.token_ids:
        request.token_ids.append(token)
        reason, text = stop_conditions(request, model.config.eos_token_ids, tokenizer.decode(request.output_ids))
        if reason:
            break
    print(f"{len(request.output_ids):>3} tokens, yours: {reason}, the engine: {output.finish_reason} · "
          f"the same text: {text == output.text}")

# %% [markdown]
# ## 10.step · The requests of a step
#
# The engine asks this before each run of the model. It makes the batching continuous.
#
# `waiting` are the requests that wait, in the order of arrival, and `running` are those that run. Return a list of pairs `(request, n)`: the
# requests of this step, in any order, and how many tokens each computes. A waiting request in your list joins the running ones. Change
# neither the lists nor the requests.
#
# - Each running request computes its tokens that are not computed yet. Here this is one token, its newest, because prompts are not cut.
# - Then waiting requests join, in their order, each with its whole prompt. If one cannot join, no request after it
#   joins in this step. A request cannot join if `max_num_seqs` run already, counting those that joined in this step, or
#   if too few blocks are left for it.
# - A request may need slots for its prompt and for all its output tokens except the last, which is never computed:
#   `num_prompt_tokens + max_tokens - 1`, rounded up to whole blocks of `block_size`. The blocks that are left are
#   `num_blocks` less those that all running requests may need, and less those of the requests that joined before it in
#   this step. So no running request finds memory full. (Orca reserves like this. vLLM admits more requests and preempts
#   one if it must: lesson 11.)
#
# An example: `a` and `b` arrive together, with prompts of 3 and 2 tokens and `max_tokens` 3 and 2, and `max_num_seqs` is 1. W is waiting, P3 is a
# prefill of 3 tokens, D is a decode, F is finished.
#
#     step   0   1   2   3   4   5
#       a   P3   D   D   F
#       b    W   W   W  P2   D   F

# %% nbgrader={"grade_id": "step", "solution": true} course={"exercise": "10.step"}
def step(waiting, running, num_blocks, block_size, max_num_seqs):
    """[(request, n)]: the requests of this step, and how many tokens each computes."""
    ### BEGIN SOLUTION
    def reserved(request):
        return -(-(request.num_prompt_tokens + request.params.max_tokens - 1) // block_size)

    scheduled = [(request, request.num_tokens - request.num_computed_tokens) for request in running]
    left = num_blocks - sum(map(reserved, running))
    for request in waiting:
        if len(scheduled) == max_num_seqs or reserved(request) > left:
            break
        left -= reserved(request)
        scheduled.append((request, request.num_tokens))
    return scheduled
    ### END SOLUTION

# %% nbgrader={"grade_id": "step-check", "grade": true, "points": 3}
check("10.step", step)

# %% [markdown]
# Your `step` in the real engine. `scheduler_of_step` makes a `Scheduler` that calls it in each step. If you have passed `04.allocator`, your
# allocator gives the blocks too: `load_parts` checks it again and loads it, or the reference in its place. The rest is the engine's own. So the
# view shows your decisions: when each request joins, and which blocks it gets.

# %% tags=["nbval-ignore-output"]
parts = load_parts("04.allocator")
parts

# %% tags=["raises-exception"]
from course_lib.practice.play import scheduler_of_step
from course_lib.viz import timeline_view

config = EngineConfig(block_size=4, num_blocks=40, max_num_seqs=4, prefix_caching=False)
engine = Engine(model, config, tokenizer=tokenizer, scheduler=scheduler_of_step(step),
                allocator=parts["04.allocator"])
openings = ["Once upon a time", "My grandmother told me of Nettle, a patient toad", "There was once a thoughtful frog",
            "Far away in an old windmill", "One evening at supper time,", "In a windy valley lived a clever badger named Rosa."]
wanted = [SamplingParams(max_tokens=n, ignore_eos=True) for n in (20, 6, 14, 24, 8, 12)]
outputs = engine.generate(openings, wanted)
alone = [generate_naive(model, tokenizer.encode(opening), params) for opening, params in zip(openings, wanted)]
print("steps:", engine.metrics.num_steps)
print("the same tokens as alone:", [output.token_ids for output in outputs] == alone)
timeline_view(engine.trace)

# %% [markdown]
# ## 10.continuous_loop · The server
#
# Now without the engine: a class around one model and one `PagedCache`, whose blocks `cache.allocator` gives out. Your
# three functions from above do most of the work. If you have not solved one, `course_lib.solution("10.step")` shows its
# code: run that code in a cell.
#
# - `add_request(request)`: the request waits from now on. It may have the id of one that has finished or was aborted.
# - `has_unfinished()`: whether any request waits or runs.
# - `abort(request_id)`: the request ends at once, whether it waits or runs, and its blocks are free. No later step returns it.
#   An id that neither waits nor runs, such as that of a request that has finished, changes nothing.
# - `step()`: one step. The requests that your `step` function returns get slots (`BlockTable.append_slots`), the model is called **once** for
#   all of them, and each gets its most likely next token. Return a list of triples `(request_id, token id, finish_reason)`, one for each
#   request that got a token. The token id is an int. The reason is `"stop"` or `"length"`, or None if the request goes on. A request that has
#   finished leaves in the same step, and its blocks are free. There are no stop strings here. If no request waits or runs, the list is empty
#   and the model is not called.
#
# Two servers share no requests and no tables: each may have a request of the same id.
#
# The order inside a step: `positions = cache.begin_step(tables, counts)` says which tables get how many tokens, in
# which order. Then `model(token_ids, positions, cache, logits_for=rows)` returns the logits of these rows, of shape
# `[len(rows), vocab_size]`. The tensors that you pass are int64, on the CPU, like the model. After that, append the new
# token of each request to its `token_ids`, and add the computed tokens to its `num_computed_tokens`: your three
# functions read both. `step` wants `cache.allocator.num_blocks` and `cache.allocator.block_size`; `stop_conditions` wants
# `model.config.eos_token_ids`, and here an empty string as the text.

# %% nbgrader={"grade_id": "continuous_loop", "solution": true} course={"exercise": "10.continuous_loop"}
class ContinuousLoop:
    """A server: requests join, get tokens and leave at every step. cache: a PagedCache."""

    def __init__(self, model, cache, max_num_seqs):
        ### BEGIN SOLUTION
        self.model, self.cache, self.max_num_seqs = model, cache, max_num_seqs
        self.waiting, self.running, self.tables = [], [], {}
        ### END SOLUTION

    def add_request(self, request):
        """The request waits from now on."""
        ### BEGIN SOLUTION
        self.waiting.append(request)
        ### END SOLUTION

    def has_unfinished(self):
        """Whether any request waits or runs."""
        ### BEGIN SOLUTION
        return bool(self.waiting or self.running)
        ### END SOLUTION

    def abort(self, request_id):
        """The request ends, whether it waits or runs."""
        ### BEGIN SOLUTION
        self.waiting = [request for request in self.waiting if request.request_id != request_id]
        self.running = [request for request in self.running if request.request_id != request_id]
        if request_id in self.tables:
            self.tables.pop(request_id).free()
        ### END SOLUTION

    def step(self):
        """[(request_id, token id, finish_reason or None)] of all requests that got a token in this step."""
        ### BEGIN SOLUTION
        allocator = self.cache.allocator
        scheduled = step(self.waiting, self.running, allocator.num_blocks, allocator.block_size, self.max_num_seqs)
        if not scheduled:
            return []
        for request, n in scheduled:
            if request in self.waiting:
                self.waiting.remove(request)
                self.running.append(request)
                self.tables[request.request_id] = BlockTable(allocator, name=request.request_id)
            self.tables[request.request_id].append_slots(n)
        batch = pack(scheduled)
        tables = [self.tables[request.request_id] for request, _ in scheduled]
        positions = self.cache.begin_step(tables, [n for _, n in scheduled])
        token_ids, rows = torch.tensor(batch["token_ids"]), torch.tensor(batch["logits_for"])
        logits = self.model(token_ids, positions, self.cache, logits_for=rows)
        outputs = []
        for (request, n), row in zip(scheduled, logits):
            request.num_computed_tokens += n
            request.token_ids.append(int(row.argmax()))
            reason, _ = stop_conditions(request, self.model.config.eos_token_ids, "")
            if reason:
                self.abort(request.request_id)
            outputs.append((request.request_id, request.token_ids[-1], reason))
        return outputs
        ### END SOLUTION

# %% nbgrader={"grade_id": "continuous_loop-check", "grade": true, "points": 4}
check("10.continuous_loop", ContinuousLoop)

# %% [markdown]
# The course's engine has the same parts, each in a file of its own: `scheduler.py` is your `step`, `runner.py` your
# `pack` with the model behind it, `engine.py` the rest. Now your server with the bundled model. Six requests arrive at
# different times and one of them is aborted. Each line is a step with the tokens that it returned. At the end all 40
# blocks must be free:

# %% tags=["raises-exception"]
cache = PagedCache(KVPool(model.config, 40, 4, "cpu", torch.float32))
server, comes_at, now = ContinuousLoop(model, cache, max_num_seqs=3), [0, 0, 2, 3, 7, 9], 0
while now < 10 or server.has_unfinished():
    for number, step_of_arrival in enumerate(comes_at):
        if step_of_arrival == now:
            params = SamplingParams(max_tokens=6 + number)
            server.add_request(Request(f"R{number}", tokenizer.encode(openings[number]), params))
    if now == 5:
        server.abort("R2")
    said = [f"{name}:{tokenizer.decode([token])!r}{f' ({reason})' if reason else ''}" for name, token, reason in server.step()]
    print(f"step {now:>2}  ", "  ".join(said))
    now += 1
print("free blocks:", cache.allocator.num_free, "of 40")

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [11 · Scheduling](../notebooks/11_scheduling.ipynb).
