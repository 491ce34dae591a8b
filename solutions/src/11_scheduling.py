# %% [markdown]
# # Exercises 11 · Scheduling
#
# Six pieces of a scheduler: the requests that fit into the next step, a prompt in pieces, priority, a fair share for
# each client, preemption, and swap. The checks replay scripts of arrivals. If a step differs, they show two timelines,
# yours and the expected one. What you write then runs in the real engine. Each call of `hint("11.token_budget")` shows
# the next hint. A list, dict or tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
from course_lib import Engine, EngineConfig, SamplingParams, check, hint, load_model, progress, setup
from course_lib.engine import Policy
from course_lib.errors import LedgerError
from course_lib.kvcache.sizes import kv_bytes_per_token
from course_lib.practice.play import (Arrival, WaitingList, engine_with_swap, request, scheduler_of_choice,
                                       scheduler_with_preemption)
from course_lib.viz import timeline_view

_ = setup(quiet=True)
model, tokenizer = load_model("tale", device="cpu")
opening = "Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. "
words = tokenizer.encode(4 * opening)


def run(engine, arrivals):
    """Serves a script in a real engine; a prompt is the first tokens of one text. Returns {name: its output tokens}."""
    written, step = {}, 0
    while step < 500 and (engine.has_unfinished() or any(arrival.step >= step for arrival in arrivals)):
        for a in arrivals:
            if a.step == step:
                engine.add_request(words[: a.prompt], SamplingParams(max_tokens=a.max_tokens, ignore_eos=True),
                                   request_id=a.name, priority=a.priority, client=a.client)
        for output in engine.step():
            written[output.request_id] = output.token_ids
        step += 1
    return written

# %% [markdown]
# ## 11.token_budget · The requests that fit into the next step
#
# The more tokens a step computes, the longer it takes, so the scheduler has a **token budget**. Choose one step.
# `running` are the requests that run, in the order of their admission; `waiting` are those that wait, in the order of
# arrival. Of each request you need two numbers: `request.num_tokens`, and `request.num_computed_tokens`, the number of
# them that have keys and values already.
#
# Return a list of pairs `(request, n)`: this request computes its next n tokens in this step.
#
# - Running requests come first, in their order, each with all its tokens that are not computed. (For one that decodes
#   this is one token, its newest. The check also has running requests with more.)
# - Then waiting requests, in their order, each with all its tokens that are not computed. A prompt is never cut.
# - All n together are at most `token_budget`. The first request that does not fit, running or waiting, ends the step:
#   no request overtakes it.
# - At most `max_num_seqs` requests run at once. Those in `running` count already, and they are never more.
#
# Change neither the lists nor the requests. An example, with `request(name, num_tokens, num_computed_tokens)`:
#
#     fill_budget([request("a", 5, 4)], [request("b", 3), request("c", 6)], token_budget=8, max_num_seqs=4)
#     [(a, 1), (b, 3)]                                # c needs 6, and 4 are left

# %% nbgrader={"grade_id": "token_budget", "solution": true} course={"exercise": "11.token_budget"}
def fill_budget(running, waiting, token_budget, max_num_seqs):
    """The requests of the next step and the tokens of each: a list of (request, n). No prompt is cut."""
    ### BEGIN SOLUTION
    step, seats = [], max_num_seqs - len(running)
    for request in running:
        n = request.num_tokens - request.num_computed_tokens
        if n > token_budget:
            return step
        step.append((request, n))
        token_budget -= n
    for request in waiting[:seats]:
        n = request.num_tokens - request.num_computed_tokens
        if n > token_budget:
            return step  # no request overtakes
        step.append((request, n))
        token_budget -= n
    return step
    ### END SOLUTION

# %% nbgrader={"grade_id": "token_budget-check", "grade": true, "points": 2}
check("11.token_budget", fill_budget)

# %% [markdown]
# Your function schedules the real engine: `scheduler_of_choice` makes a scheduler that calls it in each step and
# allocates blocks for its result. Each row of the view is a request, each column a step; above them are the tokens of
# each step, with the budget as a line. When does d, which has a prompt of two tokens, get its first token? (The view
# counts steps from 1, the scripts from 0.)

# %% tags=["raises-exception"]
busy = [Arrival("a", prompt=6, max_tokens=8), Arrival("b", step=1, prompt=12, max_tokens=4), Arrival("c", step=2, prompt=14, max_tokens=3),
        Arrival("d", step=2, prompt=2, max_tokens=3)]
config = EngineConfig(block_size=4, num_blocks=64, max_num_seqs=4, max_num_batched_tokens=14, prefix_caching=False)
engine = Engine(model, config, scheduler=scheduler_of_choice(fill_budget), tokenizer=tokenizer)
whole = run(engine, busy)
timeline_view(engine.trace, memory=False)

# %% [markdown]
# In step 10 of the view. d is behind c in the queue. c needs a whole step for its prompt, so it waits until no request
# decodes, and d waits with it. The next exercise admits c much earlier, a piece at a time. (vLLM counts its
# `token_budget` down in the same way, in `Scheduler.schedule`.)

# %% [markdown]
# ## 11.chunked_prefill · A prompt in pieces
#
# With whole prompts the budget cannot be smaller than the longest prompt, and a long prompt makes a long step. So cut
# it. Arguments, result and rules are the same as before, with two changes:
#
# - A request that does not fit, running or waiting, gets the rest of the budget. From then on it is one of the running
#   requests, and in the next step it goes on where it stopped.
# - When the budget is used up, the step ends. No request is in it with 0 tokens.
#
# An example:
#
#     chunked_prefill([request("a", 5, 4)], [request("b", 3), request("c", 6)], token_budget=8, max_num_seqs=4)
#     [(a, 1), (b, 3), (c, 4)]                        # 4 of the 6 tokens of c

# %% nbgrader={"grade_id": "chunked_prefill", "solution": true} course={"exercise": "11.chunked_prefill"}
def chunked_prefill(running, waiting, token_budget, max_num_seqs):
    """The requests of the next step and the tokens of each: a list of (request, n). The last one gets the rest of the budget."""
    ### BEGIN SOLUTION
    step, seats = [], max_num_seqs - len(running)
    for request in [*running, *waiting[:seats]]:
        n = min(request.num_tokens - request.num_computed_tokens, token_budget)
        if n == 0:
            break
        step.append((request, n))
        token_budget -= n
    return step
    ### END SOLUTION

# %% nbgrader={"grade_id": "chunked_prefill-check", "grade": true, "points": 2}
check("11.chunked_prefill", chunked_prefill)

# %% [markdown]
# Your function in the real engine: the same four requests, with a budget of 6 tokens a step, less than half of the
# longest prompt. The bars above the rows show that no step has more tokens, and a gets a token in each of its steps.

# %% tags=["raises-exception"]
config = EngineConfig(block_size=4, num_blocks=64, max_num_seqs=4, max_num_batched_tokens=6, prefix_caching=False)
engine = Engine(model, config, scheduler=scheduler_of_choice(chunked_prefill), tokenizer=tokenizer)
cut = run(engine, busy)
print("the same tokens as with whole prompts:", cut == whole)
timeline_view(engine.trace, memory=False)

# %% [markdown]
# ## 11.priority · The most important first
#
# A **policy** says which request goes first. The engine's scheduler calls three methods of it; write them. Each request
# has a `priority`, an int of any size that may be negative (a lower value is more important, as in vLLM), and an
# `arrival`, the time at which it arrived: a float, in seconds, as large as a clock makes it.
#
# - `key(request)`: a number or a tuple. Waiting requests are sorted by it, and the smallest is admitted first. The most
#   important first, and among equals the first to arrive.
# - `order(running)`: a new list of the running requests in the order in which they are served. If memory is short, the
#   last of them is preempted. The same order as that of the key. The list `running` is not changed.
# - `outranks(waiting, running)`: whether this waiting request may preempt this running one. Only if it is more
#   important. A request never preempts one of equal priority, whenever the two arrived.
#
# A preempted request waits again; the queue is in `Policy` already. With `max_num_seqs` 1 (P2: a prefill of 2 tokens,
# D: a decode, X: preempted, W: waiting):
#
#     step     0   1   2   3   4   5
#     a       P2   D   X   W  P4   D                  a has priority 1, prompt 2
#     b               P2   D                          b comes in step 2 with priority 0, and takes its place

# %% nbgrader={"grade_id": "priority", "solution": true} course={"exercise": "11.priority"}
class ImportantFirst(Policy):
    """The lowest `priority` value first; among equals the first to arrive."""

    def key(self, request):
        """The waiting request with the smallest key goes first."""
        ### BEGIN SOLUTION
        return request.priority, request.arrival
        ### END SOLUTION

    def order(self, running):
        """The running requests in the order in which they are served; if memory is short, the last one is preempted."""
        ### BEGIN SOLUTION
        return sorted(running, key=self.key)
        ### END SOLUTION

    def outranks(self, waiting, running):
        """Whether the waiting request may preempt the running one."""
        ### BEGIN SOLUTION
        return waiting.priority < running.priority
        ### END SOLUTION

# %% nbgrader={"grade_id": "priority-check", "grade": true, "points": 2}
check("11.priority", ImportantFirst)

# %% [markdown]
# Your policy in the real engine: two long unimportant requests run, `max_num_seqs` is 2, and then an important one
# arrives. Select *vip* in the view. Which request is preempted for it, and when is that one admitted again?

# %% tags=["raises-exception"]
mixed = [Arrival("a", prompt=12, max_tokens=16, priority=5), Arrival("b", prompt=10, max_tokens=20, priority=5),
         Arrival("vip", step=4, prompt=8, max_tokens=5, priority=0)]
config = EngineConfig(block_size=4, num_blocks=32, max_num_seqs=2, max_num_batched_tokens=16, prefix_caching=False, policy=ImportantFirst)
engine = Engine(model, config, tokenizer=tokenizer)
served = run(engine, mixed)
print("the same tokens as with room for all:", served == run(Engine(model, EngineConfig(prefix_caching=False)), mixed))
timeline_view(engine.trace)

# %% [markdown]
# b is preempted in step 5 of the view and admitted again in step 10: of two equals it arrived last.
#
# vLLM's `policy="priority"` keeps the queue in the same order, and preempts the last of that order when memory is
# short. It does not preempt a running request because a waiting one is more important. `course_lib` does
# (`Scheduler._preempt_for_more_important`), since with a small `max_num_seqs` an important request would wait until a
# running one finishes.

# %% [markdown]
# ## 11.fair_share · A counter for each client
#
# First come, first served treats requests alike, and not clients: a client that sends a hundred requests gets a hundred
# shares. The **Virtual Token Counter** (arXiv 2401.00588) counts the service that each client was given, and serves the
# client with the lowest counter. `WaitingList` brings the list; write three methods.
#
# - `charge(request, *, prompt_tokens=0, output_tokens=0)`: the request was given service. Each prompt token adds 1 to
#   the counter of its `request.client`, each output token 2; one call may bring both. The scheduler calls it when a
#   request is first admitted, and for each output token.
# - `peek()`: the request that is next, or None if no request waits. It is the first request of the client with the
#   lowest counter; among equal counters, the request that arrived first. Nothing is taken off the list: the engine
#   looks more often than it takes.
# - `push(request, *, returning=False)`: the request waits from now on. Its client may have been **away**: no other
#   request of it waits. Then its counter is lifted, but never lowered, to the lowest counter of the clients that wait;
#   if none waits, to the counter of the client whose request left the list last. `returning` is true for a request that
#   ran and was preempted: its client was not away.
#
# There are `self.waiting`, the requests that wait, in the order of arrival; `self.last_client`, whose request left last
# (None at first); and `super().push(request, returning=returning)`, which puts a request into the list. The counter of
# a new client is 0. An example, with `max_num_seqs` 1 and requests of 2 prompt tokens and 1 output token (P2: a prefill
# of 2 tokens, W: waiting):
#
#     step     0   1   2   3
#     a0      P2                  A and B wait with 0, and a0 arrived first. After it A has 2 + 2 * 1 = 4
#     a1       W   W  P2          A and C have 4, and a1 arrived first
#     b0       W  P2              B has 0, and A has 4
#     c0               W  P2      C arrives in step 2 and is lifted to A's 4: its pause earned nothing
#
# Where a check shows timelines, the rows below the requests are the counters as they should be.

# %% nbgrader={"grade_id": "fair_share", "solution": true} course={"exercise": "11.fair_share"}
class FairShare(WaitingList):
    """Equal service to every client, however many requests it sends."""

    def __init__(self):
        super().__init__()
        self.counters = {}  # client -> service so far, in weighted tokens

    def push(self, request, *, returning=False):
        """The request waits from now on. returning: it was running and was preempted."""
        ### BEGIN SOLUTION
        client = request.client
        self.counters.setdefault(client, 0)
        if not returning and all(other.client != client for other in self.waiting):
            least = [self.counters[other.client] for other in self.waiting] or [self.counters.get(self.last_client, 0)]
            self.counters[client] = max(self.counters[client], min(least))
        super().push(request, returning=returning)
        ### END SOLUTION

    def peek(self):
        """The request that is next, or None."""
        ### BEGIN SOLUTION
        return min(self.waiting, key=lambda request: self.counters[request.client], default=None)
        ### END SOLUTION

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        """The request was given service: its prompt when it was first admitted, or output tokens."""
        ### BEGIN SOLUTION
        self.counters[request.client] += prompt_tokens + 2 * output_tokens
        ### END SOLUTION

# %% nbgrader={"grade_id": "fair_share-check", "grade": true, "points": 3}
check("11.fair_share", FairShare)

# %% [markdown]
# Your policy in the real engine, with `max_num_seqs` 2. *bulk* sends ten requests at once, and *mia* three, one after
# the other. In which step is each of hers done, first come, first served, and with your counters? The view shows your
# run, and below the rows the service of each client.

# %% tags=["raises-exception"]
crowd = [Arrival(f"bulk{i}", prompt=8, max_tokens=6, client="bulk") for i in range(10)]
crowd += [Arrival(f"mia{i}", step=3 + 4 * i, prompt=8, max_tokens=6, client="mia") for i in range(3)]

for policy in ("fcfs", FairShare):
    config = EngineConfig(num_blocks=64, max_num_seqs=2, max_num_batched_tokens=16, prefix_caching=False, policy=policy)
    engine = Engine(model, config, tokenizer=tokenizer)
    run(engine, crowd)
    ends = {record["request"]: record["step"] + 1 for record in engine.trace.records if record["event"] == "finish"}
    print(type(engine.scheduler.waiting).__name__, "serves mia's requests until steps", *(ends[f"mia{i}"] for i in range(3)),
          "and the last of bulk until step", max(ends[f"bulk{i}"] for i in range(10)))
timeline_view(engine.trace, memory=False, clients=True)

# %% [markdown]
# `course_lib.engine.Fair` is the same with a heap of clients and a queue for each, so the choice does not go through
# all waiting requests. The last property of your check is a bound like the paper's: two clients that both have requests
# waiting all the time are never served more than 2U apart, whatever their requests are. U is what a client with the
# lowest counter can still be given: its longest prompt, and for each of `max_num_seqs` requests twice the tokens of the
# longest output.

# %% [markdown]
# ## 11.preempt · The last request is preempted
#
# A running request needs slots for its next tokens, and no block is free. A request must be preempted. **Recompute** is
# the simple way: its blocks are given back, and its tokens stay. When it is admitted again, all its tokens are computed
# from the beginning, like a prompt. No token is lost, so the client sees only a pause.
#
# Write `make_room(request, n, running, waiting, manager)`: it finds slots for the next `n` tokens of `request`.
#
# - `running` is the list of running requests, in the order of their admission, `request` among them. `waiting` is the
#   list of waiting requests; the first is next.
# - `manager.allocate_slots(request, n)` gives a list of n slots (n is 1 or more), or None if memory is short, and then
#   nothing has changed. `manager.free(victim)` gives the blocks of a request back.
# - As long as memory is short, the **last** of `running` is preempted, and not one more than needed. It leaves
#   `running`, its blocks are given back, its `num_computed_tokens` is 0, and it becomes the first of `waiting`. Its
#   `token_ids` stay.
# - Return the slots. If the last one is `request` itself, it is preempted like the others: return None.
# - If `request` is the only running one from the start and memory is short, no request can be preempted for it: raise
#   `LedgerError`, before anything has changed. (If other requests run, the checks ask for no more than fits once those
#   are preempted.)
#
# An example, in a memory of 4 blocks of 2 tokens. a and b have 4 tokens each, so it is full, and c waits:
#
#     make_room(a, 1, [a, b], [c], manager)
#     [6]                                             # one slot; `running` is [a] now, and `waiting` is [b, c]

# %% nbgrader={"grade_id": "preempt", "solution": true} course={"exercise": "11.preempt"}
def make_room(request, n, running, waiting, manager):
    """Slots for the next n tokens of a running request. As long as memory is short, the last of `running` is preempted."""
    ### BEGIN SOLUTION
    while (slots := manager.allocate_slots(request, n)) is None:
        if len(running) == 1:
            raise LedgerError(f"{request.request_id} runs alone and finds no room for {n} tokens.")
        victim = running.pop()
        manager.free(victim)
        victim.num_computed_tokens = 0
        waiting.insert(0, victim)
        if victim is request:
            return None
    return slots
    ### END SOLUTION

# %% nbgrader={"grade_id": "preempt-check", "grade": true, "points": 2}
check("11.preempt", make_room)

# %% [markdown]
# Your function in the real engine: four requests in a memory that is too small for all. `scheduler_with_preemption`
# makes a scheduler that calls it for every running request. The output of each must be the one that it has alone. Step
# through the view to a preemption, and see what happens to the blocks.

# %% tags=["raises-exception"]
tight = [Arrival(name, step=i, prompt=4 + 2 * i, max_tokens=20) for i, name in enumerate("abcd")]
alone = run(Engine(model, EngineConfig(max_num_seqs=1, prefix_caching=False)), tight)
config = EngineConfig(block_size=4, num_blocks=14, max_num_batched_tokens=32, prefix_caching=False)
engine = Engine(model, config, scheduler=scheduler_with_preemption(make_room), tokenizer=tokenizer)
served = run(engine, tight)
print("the same tokens as one after the other:", served == alone)
print(engine.metrics.num_preemptions, "preemptions; computed again:", engine.metrics.num_recomputed_tokens, "tokens")
timeline_view(engine.trace)

# %% [markdown]
# vLLM does the same in `Scheduler.schedule`: it preempts the last of `self.running`, or with its priority policy the
# least important. `course_lib` does it in `Scheduler._continue_running` and `_preempt`.

# %% [markdown]
# ## 11.swap · To CPU memory and back
#
# The other way: the keys and values of a preempted request are copied to CPU memory, and copied back when it is
# admitted again. No token is computed twice, but bytes are moved. Write the class that does the copies. The scheduler
# has decided everything; it hands over a `step` with two lists:
#
# - `step.swapped_out`: pairs `(request, block_ids)`. The computed tokens of the request, `request.num_computed_tokens`
#   of them, are in these blocks, in this order. The blocks **belong to other requests already**: the requests that are
#   computed in this step write into them.
# - `step.swapped_in`: triples `(request, start, slots)`. The saved tokens from number `start` on go to these slots, one
#   each. (`start` is above 0 if the request's first blocks were still cached. If all of them were, `slots` is empty.)
#   After that, nothing of the request is kept.
#
# `run(step, compute)` carries out the step. It calls `compute()` once, which runs the model (it reads the computed
# tokens, and writes the new ones), and returns its result. Only `run` is called from outside; `swap_out` and `swap_in`
# are its parts. `self.saved` has an entry for exactly those requests that are swapped out, by `request_id`; what an
# entry contains is up to you. What comes back is what was saved, bit for bit. Each list may have several entries, or
# none, and `step` is not changed.
#
# `k` and `v` have the shape [num_layers, num_blocks, block_size, num_kv_heads, head_dim], and slot = block_id *
# block_size + offset. `k.flatten(1, 2)` is the same memory as [num_layers, num_slots, num_kv_heads, head_dim]. On a
# GPU, `.cpu()` and `.to(k.device)` are the two copies; on a CPU they copy nothing.
#
# An example, with block_size 2: `(a, [3, 0])` of `swapped_out`, with 3 computed tokens, says that they are in slots 6,
# 7 and 0. Later, `(a, 0, [2, 3, 8])` of `swapped_in` says where they go.

# %% nbgrader={"grade_id": "swap", "solution": true} course={"exercise": "11.swap"}
class SwapSpace:
    """Keeps the keys and values of preempted requests, in CPU memory."""

    def __init__(self, k, v):
        """k, v: all keys and values of the engine, [num_layers, num_blocks, block_size, num_kv_heads, head_dim]."""
        self.k, self.v = k, v
        self.saved = {}  # request_id -> what is kept of it

    def swap_out(self, request, block_ids):
        """Keeps a copy of its computed tokens; they are in these blocks, in this order."""
        ### BEGIN SOLUTION
        n = request.num_computed_tokens
        self.saved[request.request_id] = [kept[:, block_ids].flatten(1, 2)[:, :n].cpu() for kept in (self.k, self.v)]
        ### END SOLUTION

    def swap_in(self, request, start, slots):
        """Writes its tokens from number `start` on to these slots, one each, and keeps nothing of it."""
        ### BEGIN SOLUTION
        for kept, saved in zip((self.k, self.v), self.saved.pop(request.request_id)):
            kept.flatten(1, 2)[:, slots] = saved[:, start : start + len(slots)].to(kept.device)
        ### END SOLUTION

    def run(self, step, compute):
        """Carries a step out in the right order, and returns what compute() returns."""
        ### BEGIN SOLUTION
        for request, block_ids in step.swapped_out:
            self.swap_out(request, block_ids)
        for request, start, slots in step.swapped_in:
            self.swap_in(request, start, slots)
        return compute()
        ### END SOLUTION

# %% nbgrader={"grade_id": "swap-check", "grade": true, "points": 3}
check("11.swap", SwapSpace)

# %% [markdown]
# Your class in the real engine, with the same four requests. Recompute costs tokens that are computed again, swap costs
# bytes that are moved. The cell counts both:

# %% tags=["raises-exception"]
config = EngineConfig(block_size=4, num_blocks=14, max_num_batched_tokens=32, prefix_caching=False, preemption="swap")
engine = engine_with_swap(SwapSpace, model, config, tokenizer=tokenizer)
swapped = run(engine, tight)
per_token = kv_bytes_per_token(model.config, model.dtype)
moved = engine.metrics.num_swapped_tokens
print("the same tokens as one after the other:", swapped == alone)
print(f"{moved} tokens swapped out, and as many back: {2 * moved * per_token:,} bytes moved;",
      "computed again:", engine.metrics.num_recomputed_tokens, "tokens")
timeline_view(engine.trace)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [12 · Measuring](../notebooks/12_measuring.ipynb).
