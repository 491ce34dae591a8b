# %% [markdown]
# # 11 · Scheduling
#
# - **You will** write the scheduler of an engine: a budget for each step, prompts in pieces, and an answer to the question who makes room when memory is full.
# - **Why** a server is always short of something. Who waits is decided here, and so is whether a user sees a smooth text or one that stutters.
# - **Time** 40 minutes, and two hours for the exercises.
# - **You need** lessons 04 and 10.
# - **After it** you can read vLLM's scheduler, and say of any request why it waited, why it was thrown out, and why its text is the same all the same.

# %% [markdown]
# {{colab}}

# %%
import matplotlib.pyplot as plt
import torch

from course_lib import Engine, EngineConfig, SamplingParams, load_model, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.engine import FCFS, Fair, Priority, Scheduler, Step
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale
from course_lib.source import wrapped
from course_lib.recorded import recorded
from course_lib.viz import timeline_view

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## Three things run short
#
# In lesson 10 requests joined and left the batch at every step. Who joins, and when? Each step, the **scheduler** decides. Three
# things can run short:
#
# - **Tokens.** A step takes longer the more tokens it computes. So there is a **token budget**: `max_num_batched_tokens`.
# - **Seats.** No more than `max_num_seqs` requests run at once.
# - **Blocks.** Every token of a running request has its keys and values in memory.
#
# We need requests that come at certain steps, and an engine whose clock counts steps instead of seconds. Then all that follows
# is the same on every machine.

# %%
def opening(number, count):
    """The first tokens of a tale that the model has never seen."""
    return tokenizer.encode(make_tale(HELD_OUT + number, chapters=4).text)[:count]


def serve(script, config, **parts):
    """Serves {name: (step at which it comes, prompt, new tokens, options)}. Returns the engine, and the last output of each."""
    step, outputs = 0, {}
    engine = Engine(model, config, tokenizer=tokenizer, clock=lambda: step, **parts)
    while engine.has_unfinished() or step < max(comes_at for comes_at, *_ in script.values()):
        step += 1
        for name, (comes_at, ids, count, options) in script.items():
            if comes_at == step:
                engine.add_request(ids, SamplingParams(max_tokens=count, ignore_eos=True), request_id=name, **options)
        outputs |= {output.request_id: output for output in engine.step()}
    return engine, outputs


def as_alone(script, outputs):
    """How many got the tokens that generate_naive writes for them, alone and without any cache."""
    alike = 0
    for name, (_, ids, count, _) in script.items():
        alike += outputs[name].token_ids == generate_naive(model, ids, SamplingParams(max_tokens=count, ignore_eos=True))
    return f"{alike} of {len(script)}"

# %% [markdown]
# ## The budget of a step
#
# Four people are reading along while their texts are written: four tokens a step, one for each. Then somebody sends a prompt of
# 300 tokens.

# %%
predict("11.budget", "The budget is 512 tokens a step. What do the four readers notice when the long prompt comes?",
        ["Nothing: they go on in every step", "One step computes 304 tokens instead of 4, and they all wait for it",
         "They are put on hold until the prompt is done"], answer=1)

# %%
readers = {name: (1, opening(i, 12), 60, {}) for i, name in enumerate("abcd")}
long_one = {"long": (9, opening(9, 300), 4, {})}
roomy = {"block_size": 8, "num_blocks": 200, "prefix_caching": False}


def tokens_of_steps(engine):
    return [sum(record["counts"]) for record in engine.trace.records if record["event"] == "schedule"]


budgets, longest, first_after = [8, 16, 32, 64, 128, 256, 512], [], []
for budget in budgets:
    engine, outputs = serve(readers | long_one, EngineConfig(max_num_batched_tokens=budget, **roomy))
    longest.append(max(tokens_of_steps(engine)[8:]))  # from the step on in which the long prompt came
    first_after.append(int(outputs["long"].metrics.ttft) + 1)
    print(f"budget {budget:>3}: no step has more than {longest[-1]:>3} tokens; "
          f"first token of the long prompt: {first_after[-1]:>2} {'step' if first_after[-1] == 1 else 'steps'} after it came")

# %% [markdown]
# The readers get a token in every step either way. But how long is a step? With 512 everybody waits for the whole prompt once: the
# stream stops, and then goes on. With a smaller budget the prompt is cut, and computed piece by piece beside the others: **chunked
# prefill** (Sarathi-Serve, [arXiv 2403.02310](https://arxiv.org/abs/2403.02310)). The budget is the longest that a step can be.
#
# What do the readers gain, and what does the newcomer pay?

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
left.plot(range(len(budgets)), longest, "o-", color="#D55E00")
left.set(title="What a reader waits for: the longest step", ylabel="tokens")
right.plot(range(len(budgets)), first_after, "s-", color="#0072B2")
right.set(title="What the newcomer waits for", ylabel="steps to the first token")
for axis in (left, right):
    axis.set(xticks=range(len(budgets)), xticklabels=budgets, xlabel="token budget", ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# There is no best budget, only a choice between the two. vLLM's manual says the same of `max_num_batched_tokens`: smaller values
# such as 2,048 for an even stream, higher ones for an early first token, and above 8,192 for the most tokens a second of a small
# model on a large GPU (docs/configuration/optimization.md). Lesson 12 measures both.
#
# ## Build it
#
# A scheduler that does all of this, and knows what to do when memory ends. There is no case for prompts and none for writing: each
# request has tokens, some of them are computed, and a step lets it catch up.
#
# 1. **Those who run** get their tokens, as far as the budget goes. Whoever needs a block and finds none takes it from the one who
#    came last. That one is **preempted**: its blocks are free, and it waits again.
# 2. **Those who wait** come in, as long as budget, seats and blocks last. The last of them gets what is left: a piece of its prompt.

# %%
class Small(Scheduler):
    """First come, first served. The queue, and what happens after a step, are the course's."""

    def schedule(self):
        step, running = Step(self.config.max_num_batched_tokens), list(self.running.values())
        for request in running[:]:
            n = min(request.num_tokens - request.num_computed_tokens, step.token_budget)
            while n and request in running and self.manager.allocate_slots(request, n) is None:
                self.throw_out(running.pop(), step)  # who came last, and in the end the request itself
            if n and request in running:
                step.add(request, n)
        while not step.preempted and step.token_budget and len(self.running) < self.config.max_num_seqs:
            request = self.waiting.peek()  # who is next, or None
            n = min(request.num_tokens, step.token_budget) if request else 0
            if n == 0 or self.manager.allocate_slots(request, n) is None:
                break
            self.running[request.request_id], request.status = self.waiting.pop(), "running"
            self.num_sequences += 1
            step.add(request, n)
        return step

    def throw_out(self, request, step):
        step.preempt(request, request.num_computed_tokens)
        del self.running[request.request_id]
        self.num_sequences -= 1
        self.manager.free(request)
        request.status, request.num_computed_tokens = "waiting", 0  # its token_ids stay: the prompt, and what it wrote
        self.waiting.push(request, returning=True)

# %%
predict("11.same", "A request is thrown out in the middle of its text. Its keys and values are gone. What text will it end up with?",
        ["Another one: it has to begin again", "The same as if nothing had happened", "The same beginning, and then it may differ"], answer=1)

# %% [markdown]
# Six requests and 24 blocks of 4 tokens: too few for all of them.

# %%
comes_at, prompts, counts = [1, 1, 3, 6, 9, 11], [14, 9, 22, 12, 30, 8], [24, 20, 16, 18, 10, 14]
six = {name: (comes_at[i], opening(i, prompts[i]), counts[i], {}) for i, name in enumerate("abcdef")}
tight = {"block_size": 4, "num_blocks": 24, "max_num_batched_tokens": 24, "prefix_caching": False}
engine, outputs = serve(six, EngineConfig(**tight), scheduler=Small)
m = engine.metrics
print(f"{m.num_steps} steps, {m.num_preemptions} preemptions, {m.num_recomputed_tokens} tokens thrown away and computed again")
print(f"the same tokens as alone: {as_alone(six, outputs)}")

# %% [markdown]
# Why the same? Keys and values are a function of the tokens before them, and of nothing else. The tokens are kept: the prompt, and
# what was written so far. So when the request comes back, all of that is one prompt, it is computed in one go, and the next token
# is the one that would have come anyway. What preemption costs is work and time, never the text.
#
# ## The same in `course_lib`
#
# The same two parts, and one before them: a more important request may take somebody's place. We come to that below.

# %%
show(Scheduler.schedule)

# %%
show(Scheduler._continue_running)

# %%
show(Scheduler._admit)

# %% [markdown]
# Added: who goes first is asked of a **policy** (`self.waiting`); cached prefixes cost no budget; requests that were swapped out
# come back with their tokens; several texts of one prompt hold several seats. And it is more careful at the door: `_has_room`
# wants blocks for the *whole* prompt, and a few more that stay free, before it lets anybody in.
#
# ## See it
#
# The same six requests, one row each. Above them the budget as each step fills it, below the memory; one player moves both.
#
# - Who is thrown out first, and what does the memory look like one step before?
# - e and f come in steps 9 and 11. Why is nobody let in for so long, even f, which asks for little?
# - Who has its place in line before e, although it came back to the line later?

# %%
engine, outputs = serve(six, EngineConfig(**tight))
print(f"the same tokens as alone: {as_alone(six, outputs)}")
view = timeline_view(engine.trace)
view

# %% [markdown]
# The moments to stop at:
#
# - **Step 12.** a needs a block for its next token, and none is free. d came last, so d makes room: 17 tokens are thrown away.
# - **Step 18.** The same again, and now c is the last one. Only a and b still run, and both will finish: who came first always
#   gets on, and sooner or later everybody is the first. So nobody is preempted for ever.
# - **Step 21.** b is done, and c comes back: the 22 tokens of its prompt and the 15 that it had written are computed as one, in two
#   pieces. Then d, and only then e: the line goes by arrival, and both came before it.
# - **Step 25.** f comes in at last. Its 8 tokens would have fitted before, but nobody overtakes. That wastes room for a moment,
#   and it means that no stream of small requests can keep a large one out.

# %%
view.snapshot(step=21)

# %% [markdown]
# ## Two ways to make room
#
# A request that makes room can do so in two ways. **Recompute**: throw the keys and values away, and compute them again later.
# **Swap**: copy the blocks to the memory of the CPU before anybody writes into them, and copy them back later, to whichever blocks
# are free then. The text is the same; what does each cost?

# %%
from course_lib.kvcache import kv_bytes_per_token
from course_lib.kvcache.sizes import readable

per_token = kv_bytes_per_token(model.config, torch.float32)
for how in ("recompute", "swap"):
    engine, outputs = serve(six, EngineConfig(preemption=how, **tight))
    m = engine.metrics
    print(f"{how:>9}: {m.num_preemptions} preemptions, {m.num_scheduled_tokens} tokens computed, {m.num_recomputed_tokens} of them twice; "
          f"{m.num_swapped_tokens} tokens to CPU memory")
    print(f"{'':>9}  {readable(m.num_swapped_tokens * per_token)} there and as many back; f waits {int(outputs['f'].metrics.queue_time)} steps; "
          f"as alone: {as_alone(six, outputs)}")

# %% [markdown]
# Swap computes nothing twice. (Who comes back takes nothing of the budget, so here f comes in sooner, memory runs short once more,
# and that is one preemption more.) But the bytes have to travel, there and back, and the CPU's memory must hold them. Recompute needs
# nothing but the model, and takes many tokens in one step, which a GPU does well. In the vLLM paper, swapping in small blocks is much
# slower, since many small copies do not fill the bus; with blocks of 16 to 64 tokens the two are about equal
# ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180), section 7.3). Today's vLLM recomputes, because that has "lower overhead" in it
# (docs/configuration/optimization.md).
#
# ## At the door
#
# The best preemption is the one that does not happen. So look at memory before somebody is let in. `_has_room` wants free blocks for
# all tokens that the newcomer has. And those who are in already will grow; for them a share of the blocks is kept free at the
# door, the **watermark**.

# %%
predict("11.watermark", "Memory is small and many wait. With a fifth of the blocks kept free at the door, how do work and time change?",
        ["Less is computed twice, and all are done sooner", "Less is computed twice, but all are done a little later", "More is computed twice"], answer=1)

# %%
import random

draw, at, many = random.Random(3), 1, {}
for i in range(40):
    at += draw.choice([0, 0, 1, 2])
    many[f"r{i}"] = (at, opening(i, draw.randint(8, 60)), draw.randint(8, 60), {})
crowded = {**tight, "num_blocks": 100}

marks, swept = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4], []
for name, parts, mark in [("Small", {"scheduler": Small}, 0.0)] + [("course_lib", {}, mark) for mark in marks]:
    engine, _ = serve(many, EngineConfig(watermark=mark, **crowded), trace=False, **parts)
    m = engine.metrics
    swept.append((m.num_recomputed_tokens, m.num_steps))
    print(f"{name:>10}, watermark {mark:4.0%}: {m.num_preemptions:>2} preemptions, {m.num_recomputed_tokens:>5,} tokens computed twice, "
          f"{m.num_steps} steps")

# %% [markdown]
# `Small` lets a request in as soon as its first piece fits, and throws out the most. What does each further block at the door
# buy, and when does it begin to cost?

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
left.plot(range(len(marks)), [twice for twice, _ in swept[1:]], "o-", color="#D55E00")
left.set(title="Computed twice", ylabel="tokens")
right.plot(range(len(marks)), [steps for _, steps in swept[1:]], "s-", color="#0072B2")
right.set(title="Until all are done", ylabel="steps")
for axis in (left, right):
    axis.set(xticks=range(len(marks)), xticklabels=[f"{mark:.0%}" for mark in marks], xlabel="blocks kept free at the door")
    axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The first blocks are nearly free of charge: work falls, and the steps hardly rise. After that memory stands empty that somebody
# could have used. This memory is tiny, and its texts are long for it. The default of `EngineConfig` is a hundredth: of some
# thousands of blocks, that is some dozens.
#
# ## Who goes first
#
# First come, first served is fair in one sense, and blind. A novel and a saga, which nobody waits for, have taken both seats when a
# short request comes that matters. It waits until one of them is done: **priority inversion**, the unimportant holds up the
# important. Lower `priority` values are more important, as in vLLM. Is it enough to put the important one at the head of the line?

# %%
class HeadOfTheLine(Priority):
    """The most important waits in front, but nobody has to get up for it."""

    def outranks(self, waiting, running):
        return False


two_seats = {**roomy, "max_num_seqs": 2, "max_num_batched_tokens": 32}
mixed = {"novel": (1, opening(0, 12), 40, {"priority": 5}), "saga": (1, opening(1, 10), 40, {"priority": 5}),
         "minor": (3, opening(3, 8), 6, {"priority": 3}), "urgent": (5, opening(2, 8), 6, {"priority": 0})}
for policy in (FCFS, HeadOfTheLine, Priority):
    engine, outputs = serve(mixed, EngineConfig(policy=policy, **two_seats))
    waits = {name: int(outputs[name].metrics.queue_time) for name in mixed}
    print(f"{policy.__name__:>13}: steps waited {waits}, {engine.metrics.num_preemptions} preemptions, "
          f"as alone: {as_alone(mixed, outputs)}")

# %% [markdown]
# It is not enough: at the head of the line it waits as long as the two run. `Priority` takes a place from the least important
# one, at once. That is the part of `schedule` that we have not looked at:

# %%
show(Scheduler._preempt_for_more_important)

# %% [markdown]
# Who gets up for whom, in which steps, and in which order do they come back?

# %%
inversion = timeline_view(engine.trace, memory=False)
inversion

# %%
inversion.snapshot(step=7)

# %% [markdown]
# *saga* gets up for *minor* in step 3: of the two least important it stands last. In step 5 *novel* gets up for *urgent*, and *minor*
# keeps its seat, since it matters more than a novel. They come back in the order of the line: *novel* in step 9, *saga* in step 11.
#
# The other side of it: what becomes of an unimportant request if important ones keep coming? Here one comes every third step and takes
# six steps, so that they fill both seats, exactly. How long does the unimportant one take, which came in step 2?

# %%
predict("11.starve", "If twice as many important requests come, how much later is the unimportant one done under Priority?",
        ["Not later: it came before most of them", "A few steps later", "About twice as late: it waits for the last of them"], answer=2)

# %%
class Patient(Priority):
    """Importance is worth so many steps of waiting, and no more."""

    patience = 12

    def key(self, request):
        return request.arrival + self.patience * request.priority

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return self.key(waiting) < self.key(running)


for number in (10, 20, 40):
    crowd = {f"v{i}": (1 + 3 * i, opening(i, 8), 6, {"priority": 0}) for i in range(number)}
    crowd["minor"] = (2, opening(0, 8), 8, {"priority": 2})
    print(f"{number} important ones: minor is done in step", end=" ")
    for policy in (FCFS, Priority, Patient):
        engine, outputs = serve(crowd, EngineConfig(policy=policy, **two_seats), trace=False)
        print(f"{int(outputs['minor'].metrics.finished):>3} ({policy.__name__})", end="\n" if policy is Patient else ", ")

# %% [markdown]
# Under `Priority` it is done when the last important one is: on a server that is always busy, never. That is **starvation**. `Patient` lets
# waiting count: two levels of priority are worth 24 steps here. Whoever comes more than 24 steps after *minor* stands behind it.
# Operating systems call this **aging**.
#
# ## A fair share for each client
#
# First come, first served has another weakness: who asks for most gets most. Client A sends nine requests at once. Client B sends
# one in step 5, one in step 9 and one in step 13, and stands behind all of A's. The **virtual token counter** (VTC,
# [arXiv 2401.00588](https://arxiv.org/abs/2401.00588)) counts the service that each client was given: a token of a prompt counts
# once, a written one twice. The client with the lowest counter is next.

# %%
show(Fair.charge)

# %%
show(Fair._lift)

# %% [markdown]
# The second one is the trick. Somebody who was away for an hour has a low counter. If it came back with that, it would be served
# alone until it had caught up. So its counter is lifted to the lowest of those who wait: idling saves up nothing.

# %%
three_seats = {**roomy, "max_num_seqs": 3, "max_num_batched_tokens": 32}
clients = {f"a{i}": (1, opening(i, 12), 14, {"client": "A"}) for i in range(9)}
clients |= {f"b{i}": (5 + 4 * i, opening(20 + i, 8), 8, {"client": "B"}) for i in range(3)}
for policy in ("fcfs", "fair"):
    engine, outputs = serve(clients, EngineConfig(policy=policy, **three_seats))
    waits = [int(outputs[f"b{i}"].metrics.queue_time) for i in range(3)]
    print(f"{policy}: B's three wait {waits} steps, A's last one is done in step {int(outputs['a8'].metrics.finished)}, "
          f"as alone: {as_alone(clients, outputs)}")

# %% [markdown]
# Below the rows: how many of each client wait, and the service of each. In steps 15 and 16 three seats become free. Six of A's
# requests have waited since step 1. Who gets the seats, and why all three?

# %%
shares = timeline_view(engine.trace, memory=False, clients=True)
shares

# %%
shares.snapshot(step=16)

# %% [markdown]
# B gets all three. When b0 came, B's counter was lifted to A's, and there it stood while A's three wrote on. When the third seat
# became free, b0 and b1 had been added to it, and it was still the lower one.
#
# How far apart do two clients get, who both have something waiting all the time? A asks for long texts, B for short ones.

# %%
from itertools import accumulate

always = {f"a{i}": (1, opening(i, 10 + i * 7 % 9), 10 + i * 5 % 9, {"client": "A"}) for i in range(12)}
always |= {f"b{i}": (1, opening(40 + i, 6), 5, {"client": "B"}) for i in range(28)}


def service(outputs, client, steps):
    """What the client was given up to each step, in weighted tokens."""
    given = [0] * (steps + 1)
    for name, output in outputs.items():
        if always[name][3]["client"] == client:
            given[int(output.metrics.first_scheduled)] += Fair.prompt_weight * output.metrics.num_prompt_tokens
            for step in output.metrics.token_times:
                given[int(step)] += Fair.output_weight
    return list(accumulate(given))


figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", sharey=True)
for axis, policy in zip(axes, ("fcfs", "fair")):
    engine, outputs = serve(always, EngineConfig(policy=policy, **three_seats), trace=False)
    steps = engine.metrics.num_steps
    a, b = service(outputs, "A", steps), service(outputs, "B", steps)
    both_wait = int(min(max(o.metrics.first_scheduled for name, o in outputs.items() if name[0] == client) for client in "ab"))
    axis.plot(a, "-", color="#0072B2", label="client A")
    axis.plot(b, "--", color="#D55E00", label="client B")
    axis.axvspan(0, both_wait, color="#999999", alpha=0.15, lw=0)
    axis.set(title=policy, xlabel="step")
    axis.spines[["top", "right"]].set_visible(False)
    apart = max(abs(x - y) for x, y in zip(a[: both_wait + 1], b[: both_wait + 1]))
    print(f"{policy}: while both have requests waiting (grey), they are never more than {apart} weighted tokens apart")
axes[0].set(ylabel="service, weighted tokens")
axes[0].legend(frameon=False)
plt.show()
longest_prompt = max(len(ids) for _, ids, _, _ in always.values())
longest_answer = max(count for _, _, count, _ in always.values())
seats = three_seats["max_num_seqs"]
print(f"the bound: 2 * U = 2 * ({longest_prompt} + 2 * {seats} * {longest_answer}) = {2 * (longest_prompt + 2 * seats * longest_answer)}")

# %% [markdown]
# Under `fair` the lines stay together as long as both wait. The paper proves such a bound; here U is the longest prompt, and
# twice the longest answer on every seat. Whoever is lowest when it is admitted can get ahead by what it then has on its seats, and
# no further, however long this goes on.
#
# ## In time
#
# A step with more tokens takes longer; by how much? This is what the budget is made of.

# %% tags=["nbval-ignore-output"]
import time


def seconds_of_step(tokens):
    """One prompt of so many tokens in one step of an engine: the best of five."""
    best = float("inf")
    for _ in range(5):
        engine = Engine(model, EngineConfig(max_num_batched_tokens=2048, **roomy), trace=False)
        engine.add_request((opening(9, 300) * 4)[:tokens], SamplingParams(max_tokens=1, ignore_eos=True))
        start = time.perf_counter()
        engine.step()
        best = min(best, time.perf_counter() - start)
    return best


for tokens in (1, 8, 64, 256, 1024):
    seconds = seconds_of_step(tokens)
    print(f"a step of {tokens:>5,} tokens: {seconds * 1e3:7.2f} ms, {seconds / tokens * 1e6:8.1f} µs a token")

# %% [markdown]
# A step has a price of its own, whatever is in it, so a very small budget wastes it. With many tokens time grows with
# the tokens, and a large budget saves nothing more. Between the two lies the budget. On a GPU, with a model of useful size:

# %%
recorded("11", 0, 1)

# %% [markdown]
# There a step takes about the same time with 1 token and with 512: to start the kernels and to read the weights takes its time in
# any case, and these tokens are computed meanwhile (lessons 09 and 13). So pieces of a prompt up to that size come nearly free of
# charge beside the tokens of those who write. With a budget of 512 the longest gap is less than half as long again as the usual one.
# With 8,192 the prompt is there sooner, and everybody else stops once, for about as long as it takes to compute the whole prompt.
#
# And the two ways to make room, for a text that is thrown out and comes back:

# %%
recorded("11", 2)

# %% [markdown]
# Here computing again is the faster way. This engine copies in the plainest manner, into ordinary memory of the CPU, and waits for it.
# Servers that swap keep *pinned* memory, which the GPU can reach by itself, and copy while they compute.
#
# ## Break it
#
# When a request is thrown out, one line looks like mere bookkeeping: its `num_computed_tokens` goes back to 0. Leave that out of the
# course's scheduler. When the request comes back, the scheduler believes that its tokens are computed, gives them blocks, and
# goes on with the next token.

# %%
predict("11.forget", "What happens to a request that comes back like this?",
        ["Its blocks are filled again, and nothing is wrong", "The ledger sees it and stops",
         "It reads what others left in its blocks, and writes from that"], answer=2)

# %%
class Forgetful(Scheduler):
    def _wait_again(self, request, status):
        request.status = status  # and num_computed_tokens stays as it was
        self.waiting.push(request, returning=True)


right = serve(six, EngineConfig(**tight))[1]
engine, outputs = serve(six, EngineConfig(**tight), scheduler=Forgetful)
engine.check_integrity()
print(f"every invariant holds; the same tokens as alone: {as_alone(six, outputs)}")
for name in dict.fromkeys(record["request"] for record in engine.trace.records if record["event"] == "preempt"):
    print(f"\n{name}, which was thrown out: {tokenizer.decode(six[name][1]).strip()} …")
    print(wrapped(f"  as it should be: …{right[name].text}"))
    print(wrapped(f"  what it writes:  …{outputs[name].text}"))
print("\nb, which was not:", wrapped(f"{tokenizer.decode(six['b'][1]).strip()} …{outputs['b'].text}"))

# %% [markdown]
# Nothing crashed, and every block is accounted for: the ledger knows who holds a block, not whether its keys and values were
# ever written. Compare d with b: it goes on in somebody else's tale. c came back for its last token only, and was lucky. Whoever
# was not thrown out got the right text, so a test with enough memory sees nothing. Only one thing finds it: memory so small that
# somebody is always thrown out, and the tokens compared with those of `generate_naive`, one by one. That is how this engine is
# tested.
#
# ## Three questions
#
# <details><summary><b>1. Why is it the one who came last that makes room?</b></summary>
#
# It has the least to lose, as a rule: it has computed least, and waited least. And it is what keeps everybody safe: the first one
# always gets on, so it ends some day, and then another one is the first. If the first made room, two could throw each
# other out again and again.
# </details>
#
# <details><summary><b>2. The budget is 2,048, and 64 requests are writing. How many tokens of a prompt of 10,000 are computed in a step, and how many steps does it take?</b></summary>
#
# Those who write come first: 64 tokens. So 1,984 of the prompt a step, and six steps, the last one a short one. In each of them all
# 64 get their token.
# </details>
#
# <details><summary><b>3. B comes back after an hour in which A alone was served. Why is B not served alone for the next hour?</b></summary>
#
# Its counter is lifted to the lowest of those who wait, so to A's. From then on both are served alike. A share that was not used is
# gone; nobody was kept from anything while B was away.
# </details>
#
# ## Next
#
# `exercises/11_scheduling.ipynb`: choose a step under a budget, cut prompts, put the most important first, give each client its share,
# make room, and come back. Then lesson 12 measures what all of this is good for.
