# %% [markdown]
# # 12 · Measuring
#
# - **You will** define the latencies of a request, measure an engine under load, find the load at which it breaks down,
#   and show five ways in which a benchmark misleads.
# - **Why** "8,000 tokens a second" says nothing about how long a user waits. A server is bought, tuned and compared by
#   such numbers, so you must know what they leave out.
# - **Time** 55 minutes, and two hours for the exercises.
# - **You need** lessons 10 and 11.
# - **After it** you know what each latency in the output of `vllm bench serve` means, and what a benchmark report does
#   not show.

# %% [markdown]
# {{colab}}

# %%
from dataclasses import replace

import numpy as np
import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, predict, setup
from course_lib.engine import Targets, summarise
from course_lib.engine.intervals import bootstrap_interval
from course_lib.kvcache import kv_bytes_per_token
from course_lib.kvcache.catalogue import MODELS
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale
from course_lib.viz import chart, panel, request_latencies, timeline_view
from course_lib.workload import LENGTH_SETS, AtOnce, ClosedLoop, Feed, Fixed, Lengths, Poisson, Workload, roofline
from course_lib.workload.cost import work_of
from course_lib.workload.simulate import simulate

# %% tags=["nbval-ignore-output"]
machine = setup()
torch.set_num_threads(1)  # a measured time must not depend on whether a second core happens to be free
model, tokenizer = load_model("tale", dtype=torch.float32)

# %% [markdown]
# ## A clock that is the same on every machine
#
# A latency in seconds depends on the machine, on the other programs that run there, and on the day. To learn what
# causes it, we need runs that can be repeated exactly. So in most of this lesson the engine is real and the clock is
# not: the clock moves by what each step *should* take on a machine that we choose. This is a **cost model**. A step
# costs
#
# - a fixed time: launching the kernels, and reading all weights once;
# - a time for each token: multiplying it with the weights;
# - a time for each token in the KV cache that is read;
# - a time for each pair of a query and a key in a prompt.
#
# `roofline` computes these from the shape of a model and two speeds of a machine. We take Llama 3 8B in bfloat16 on an
# H200. Our assumptions are 4.3 TB/s (about what lesson 06 measured), 680 TFLOP/s (less than it measured), and one
# millisecond for the launches. The costs are added: the kernels of a step run one after the other, and some of them are
# limited by memory, others by arithmetic. (The bound of lesson 09 is the larger of two times: all reading, and all
# arithmetic.)

# %%
shape = MODELS["Llama 3 8B"]
cost = roofline(shape, bytes_per_s=4.3e12, flops_per_s=680e12, launch_s=1e-3)
print(f"one step, whatever is in it   {cost.per_step * 1e3:8.3f} ms")
print(f"1,000 tokens                  {cost.per_token * 1e6:8.3f} ms more")
print(f"1,000 tokens of KV cache read {cost.per_kv_token * 1e6:8.3f} ms more")
print(f"pairs in a prompt of 1,000    {cost.per_pair * 1000 * 1001 / 2 * 1e3:8.3f} ms more")

# %% [markdown]
# A prompt is expensive for its tokens: 1,000 of them take about five times as long as the part that each step has.
#
# The clock is an argument of `Engine`. This one stands still until a step runs, and then moves by the cost of that
# step. `attach` replaces the function of the engine that runs a step by one that moves the clock first. `work_of`
# counts the tokens, the sequences, the tokens of KV cache and the pairs of a step.

# %%
class StepClock:
    """Seconds by a cost model. `steps`: (start, end) of each step."""

    def __init__(self, cost):
        self.cost, self.now, self.steps = cost, 0.0, []

    def __call__(self):
        return self.now

    def attach(self, engine):
        run = engine.runner.run

        def timed(step):
            start = self.now
            self.now += self.cost.seconds(*work_of(step))
            self.steps.append((start, self.now))
            return run(step)

        engine.runner.run = timed

# %% [markdown]
# `serve` adds each request as soon as the clock has reached its arrival, and runs steps until all are finished.

# %%
def opening(number, count):
    """The first tokens of a tale that the model has never seen."""
    return tokenizer.encode(make_tale(HELD_OUT + number, chapters=8).text)[:count]


def serve(script, config):
    """Serves {name: (second of its arrival, prompt, new tokens)}. Returns the engine, {name: metrics}, and the steps."""
    clock = StepClock(cost)
    engine = Engine(model, config, clock=clock)
    clock.attach(engine)
    coming, done = sorted(script.items(), key=lambda one: one[1][0]), {}
    while coming or engine.has_unfinished():
        if not engine.has_unfinished():
            clock.now = max(clock.now, coming[0][1][0])
        while coming and coming[0][1][0] <= clock.now:
            name, (at, ids, count) = coming.pop(0)
            engine.add_request(ids, SamplingParams(max_tokens=count, ignore_eos=True), arrival=at, request_id=name)
        done |= {output.request_id: output.metrics for output in engine.step() if output.finished}
    return engine, done, clock.steps

# %% [markdown]
# ## The latencies of one request
#
# Of each request we keep when it arrived, and when each of its tokens came. Everything else follows from these times:
#
# | name | meaning | who notices it |
# |---|---|---|
# | **TTFT**, time to first token | from the arrival to the first token | the user who waits for the answer to begin |
# | **ITL**, inter-token latency | from one token to the next; n - 1 values for n tokens | the user who reads along |
# | **TPOT**, time per output token | the mean of the ITLs of one request | the same, on average |
# | **E2EL**, end-to-end latency | from the arrival to the last token | a program that needs the whole answer |

# %%
def latencies(arrival, token_times):
    """TTFT, the ITLs, TPOT and E2EL of one request, in seconds."""
    gaps = [after - before for before, after in zip(token_times, token_times[1:])]
    return {"ttft": token_times[0] - arrival, "itl": gaps,
            "tpot": sum(gaps) / len(gaps) if gaps else None, "e2el": token_times[-1] - arrival}


script = {name: (0.002 * i, opening(i, 40), 22) for i, name in enumerate("abcd")}
script |= {"long": (0.060, opening(9, 800), 10), "e": (0.065, opening(5, 40), 12)}
roomy = {"block_size": 16, "num_blocks": 200, "prefix_caching": False}
engine, done, steps = serve(script, EngineConfig(max_num_batched_tokens=2048, **roomy))
print(f"{'':>6} {'TTFT':>8} {'TPOT':>8} {'longest ITL':>12} {'E2EL':>9}")
for name, metrics in done.items():
    its = latencies(metrics.arrival, metrics.token_times)
    print(f"{name:>6} {its['ttft'] * 1e3:>5.1f} ms {its['tpot'] * 1e3:>5.1f} ms {max(its['itl']) * 1e3:>9.1f} ms {its['e2el'] * 1e3:>6.1f} ms")
same = all(np.allclose([its.ttft, its.tpot, its.e2e_latency], [mine["ttft"], mine["tpot"], mine["e2el"]])
           for its in done.values() for mine in [latencies(its.arrival, its.token_times)])
print("the same as in course_lib:", same)

# %% [markdown]
# These are the definitions of `vllm bench serve`. Not all tools use them: some divide E2EL by the number of tokens and
# call it time per output token. Then the wait for the first token is part of it. When you compare two reports, check
# this first.
#
# `RequestMetrics` in `course_lib` has all of them as properties, and also the time in the queue, preemptions and cached
# tokens.
#
# ## See it
#
# One row for each request, and time from left to right. A thin line is a token; a full bar is the prefill; a hatched
# part is a **stall**, a gap of more than twice the median gap of its request. Four users read along. Then a prompt of
# 800 tokens arrives.
#
# - Which step makes all four stall, and how long is it?
# - *e* arrives during that step. What is its TTFT made of?
#
# Below is lesson 11's timeline of the same run. The two players are one: move either.

# %%
timeline = timeline_view(engine.trace, memory=False)
view = request_latencies(done, steps, timeline=timeline)
view

# %%
timeline

# %%
stall = view.data["steps"].index(max(view.data["steps"], key=lambda step: step[1] - step[0])) + 1
print(view.words(stall))
waited, first = (1e3 * value for value in (done["e"].queue_time, done["e"].ttft))
print(f"e: {waited:.1f} ms in the queue until that step has ended, and {first - waited:.1f} ms in the step with its own prompt")

# %% [markdown]
# TPOT hides the stall: it is a mean, and one long gap among many short ones changes it little. The longest ITL shows
# it. The token budget of lesson 11 limits how long a step can be. What does it cost?

# %%
predict("12.budget", "The token budget falls from 2,048 to 64, so the long prompt is cut into many pieces. What happens?",
        ["The longest ITL of the readers falls, and the TTFT of the long prompt grows",
         "Both fall", "Both grow: there are more steps"], answer=0)

# %%
budgets = [2048, 512, 128, 64]
longest_gap, first_token = [], []
for budget in budgets:
    served = done if budget == 2048 else serve(script, EngineConfig(max_num_batched_tokens=budget, **roomy))[1]
    longest_gap.append(1e3 * max(max(served[name].inter_token_latencies) for name in "abcd"))
    first_token.append(1e3 * served["long"].ttft)
names = [f"{budget:,}" for budget in budgets]
chart("What the token budget trades: one against the other",
      {"longest ITL of the four readers": (names, longest_gap), "TTFT of the long prompt": (names, first_token)},
      x="token budget of a step", y="latency", y_unit="ms")

# %% [markdown]
# With a smaller budget the readers wait less in the longest gap, and the long prompt waits longer for its first token.
# It needs more steps, and each of them has the fixed time again.
#
# ## From one request to a run
#
# A run has many requests, and each latency has a distribution. A mean alone hides the users who wait longest, so
# **percentiles** are reported: P50, the median, is exceeded by half of the requests; P99 by one in a hundred.

# %%
def percentile(values, p):
    """The value below which p per cent of the values lie; between two values, on the line from one to the other."""
    ordered, place = sorted(values), (len(values) - 1) * p / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


waits = [10, 11, 12, 12, 13, 13, 14, 15, 16, 400]
print(f"mean {np.mean(waits):.1f}, P50 {percentile(waits, 50):.1f}, P90 {percentile(waits, 90):.1f}, P99 {percentile(waits, 99):.1f} ms")
print("the same as numpy:", all(np.isclose(percentile(waits, p), np.percentile(waits, p)) for p in range(101)))

# %% [markdown]
# One user of ten waits 400 ms, and the other nine 10 to 16 ms. Nobody waits about as long as the mean, 51.6 ms.
#
# The other side is **throughput**: requests or output tokens a second, over the whole run. **Goodput** takes both sides
# into account. It counts only the requests that met all targets, for example TTFT at most 500 ms and TPOT at most 20
# ms. `vllm bench serve --goodput` counts so too. ([DistServe, arXiv 2401.09670](https://arxiv.org/abs/2401.09670) uses
# the word for the highest load per GPU at which the targets hold.)

# %%
def goodput(requests, seconds, *, ttft, tpot):
    """Requests a second whose TTFT and TPOT are within the targets."""
    good = sum(one.ttft <= ttft and (one.tpot is None or one.tpot <= tpot) for one in requests)
    return good / seconds


targets = Targets(ttft=0.5, tpot=0.020)
summary = summarise(done.values(), targets=targets)
mine = goodput(done.values(), summary.duration, ttft=0.5, tpot=0.020)
print(f"{summary.output_throughput:,.0f} tokens a second, goodput {mine:.1f} of {summary.request_throughput:.1f} requests a second")
print("the same as in course_lib:", np.isclose(mine, summary.request_goodput))

# %% [markdown]
# ## A load
#
# A **workload** says when requests arrive and how long they are. In an **open loop** they arrive by themselves, however
# busy the server is, as from the users of a website. Independent users make a **Poisson process**: the gaps between
# arrivals follow the exponential distribution, with many short gaps and a few long ones. Lengths come from a
# distribution with a long tail, since most prompts are short and a few are very long.

# %%
chat = LENGTH_SETS["chat"]
print(chat.about)
draw = np.random.default_rng(0)
prompts, outputs = zip(*(chat.draw(draw) for _ in range(5000)))
for name, lengths in (("prompt", prompts), ("output", outputs)):
    print(f"{name}: mean {np.mean(lengths):.0f}, P50 {np.median(lengths):.0f}, P99 {np.percentile(lengths, 99):,.0f} tokens")

# %% [markdown]
# To serve 800 of these on a real 8B model we would need the GPU. But the scheduler and the ledger (lesson 04) work with
# integers only. So `simulate` runs those of the engine without any tensor, and adds up the times of the cost model. Our
# server uses 90 % of the 141 GB of an H200. What the weights leave of it is cut into blocks of 16 tokens. No two prompts
# begin alike, so prefix caching (lesson 05) is off.

# %%
num_blocks = int((141e9 * 0.9 - 2 * shape.num_parameters) // (16 * kv_bytes_per_token(shape, "bfloat16")))
server = EngineConfig(num_blocks=num_blocks, max_num_seqs=256, max_num_batched_tokens=2048, prefix_caching=False)
print(f"{num_blocks:,} blocks, room for {16 * num_blocks:,} tokens")


def run_load(arrivals, num_requests=800, *, lengths=chat, config=server, seed=0, **options):
    """Serves a load on the simulated server. Returns its Summary and, in order of arrival, the metrics of each request."""
    found = []
    load = Workload(arrivals, lengths, num_requests=num_requests, context=8192, seed=seed)
    result = simulate(load, config, cost, targets=targets, on_finish=lambda arrival, metrics: found.append(metrics), **options)
    return result.summary, sorted(found, key=lambda one: one.arrival)

# %% [markdown]
# ## Throughput and latency pull apart
#
# What happens to latency when the load grows? The table below counts output tokens a second, and goodput in requests a
# second, with the targets of 500 ms and 20 ms from above.

# %%
predict("12.knee", "The load grows from 5 to 50 requests a second. How does P99 of TTFT grow?",
        ["In proportion to the load", "Slowly at first, and then many times within a few requests a second", "Not at all until the server is full"],
        answer=1)

# %%
rates = [5, 10, 20, 30, 35, 40, 45, 50]
swept = {rate: run_load(Poisson(rate))[0] for rate in rates}
print("requests/s   tokens/s   goodput   TTFT P50      P99   TPOT P50      P99")
for rate, s in swept.items():
    print(f"{rate:>10} {s.output_throughput:>10,.0f} {s.request_goodput:>9.1f} {s.ttft.median * 1e3:>7.0f} ms {s.ttft.percentiles[99] * 1e3:>5,.0f} ms"
          f" {s.tpot.median * 1e3:>7.1f} ms {s.tpot.percentiles[99] * 1e3:>5.1f} ms")

# %%
def by_rate(value):
    return rates, [value(swept[rate]) for rate in rates]


first_tokens = {"P50": by_rate(lambda s: 1e3 * s.ttft.median), "P99": by_rate(lambda s: 1e3 * s.ttft.percentiles[99])}
token_gaps = {"P50": by_rate(lambda s: 1e3 * s.tpot.median), "P99": by_rate(lambda s: 1e3 * s.tpot.percentiles[99])}
chart("Latency against load: where is the knee?",
      panel(first_tokens, x="load", x_unit="requests/s", y="TTFT", y_unit="ms", log="y", reference={"target": ("y", 500)}, title="Time to first token"),
      panel(token_gaps, x="load", x_unit="requests/s", y="TPOT", y_unit="ms", reference={"target": ("y", 20)}, title="Time per output token"))

# %% [markdown]
# Up to 40 requests a second P99 of TTFT grows slowly. At 45 it is more than four times as long. This is the **knee**.
# Beyond it requests arrive faster than they leave, and the queue grows for as long as the load lasts.
#
# TPOT behaves in another way. It grows from the start, since a larger batch makes each step longer. A full batch
# (`max_num_seqs`) bounds it: P99 is 29.9 ms at 45 requests a second and 29.0 ms at 50. So more load costs TPOT from the
# start. Beyond the knee it costs TTFT, and brings hardly more throughput.
#
# Where is the knee in one number? Take the highest load at which the targets hold. It can lie left of the place where
# TTFT bends: P99 of TPOT is above its target from 35 requests a second on. Goodput answers without choosing a
# percentile:

# %%
served = {"throughput": by_rate(lambda s: s.request_throughput), "goodput": by_rate(lambda s: s.request_goodput)}
chart("Requests served, and requests served in time", served, x="load", x_unit="requests/s", y="requests a second")

# %%
best = max(swept, key=lambda rate: swept[rate].request_goodput)
print(f"goodput is highest at {best} requests a second: {swept[best].request_goodput:.1f} of {swept[best].request_throughput:.1f} are in time")
print(f"at {rates[-1]}: {swept[rates[-1]].request_goodput:.1f} of {swept[rates[-1]].request_throughput:.1f}")

# %% [markdown]
# A report of throughput alone would choose the highest load, where few requests are in time.
#
# (A run ends when its last request has ended. In its last seconds the batch is nearly empty. So throughput over the
# whole run is below the load even left of the knee.)
#
# **Your own run.** Set a load and a scheduler, and see where your point stands. It begins with a token budget of 512
# instead of 2,048. Try `max_num_seqs=64` too.

# %%
my_rate, my_config = 38, replace(server, max_num_batched_tokens=512)
my_run, _ = run_load(Poisson(my_rate), config=my_config)
yours = {"x": [my_rate], "y": [1e3 * my_run.ttft.percentiles[99]], "mine": True}
chart("Your run beside the sweep", {"P50": first_tokens["P50"], "P99": first_tokens["P99"], "your P99": yours},
      x="load", x_unit="requests/s", y="TTFT", y_unit="ms", log="y")

# %% [markdown]
# With the budget of 512 the star lies above the curve: P99 of TTFT is longer. At the beginning of this lesson, too, a
# smaller budget made the TTFT of the long prompt longer.
#
# ## Open loop, closed loop
#
# Many benchmarks do something simpler: N users, each of whom waits for an answer before the next request. This is a
# **closed loop**. Runs of 400, 800 and 1,600 requests on the same server, with both kinds of load:

# %%
predict("12.closed", "64 users in a closed loop, 400 requests and then 800. The open loop brings 50 a second. Where does TTFT depend on how long the run lasts?",
        ["In both", "In the open loop only", "In the closed loop only"], answer=1)

# %%
loops = {"open, 50 requests/s": Poisson(50), "closed, 64 users": ClosedLoop(64)}
longest_runs = {}
for name, arrivals in loops.items():
    for count in (400, 800, 1600):
        s, longest_runs[name] = run_load(arrivals, count)
        print(f"{name:>20}, {count:>5,} requests: TTFT P50 {s.ttft.median * 1e3:>7,.0f} ms, {s.request_throughput:.1f} requests a second")

# %%
times = {}
for name, requests in longest_runs.items():
    times[name] = {"x": [one.arrival for one in requests][::4], "y": [1e3 * one.ttft for one in requests][::4]}
chart("TTFT by time of arrival", times, x="time of arrival", x_unit="s", y="TTFT", y_unit="ms", kind="points", log="y")

# %% [markdown]
# The picture shows every fourth request of the longest runs. In the closed loop a slow server gets fewer requests:
# nobody sends one while the answer before it is missing. So at most 64 requests wait, however slow the server is, and
# TTFT cannot grow without end. A closed loop measures throughput for a fixed number of users well. It cannot show
# overload. The first requests wait longest: all 64 users start at once, and this burst is in the percentiles.
#
# Users of a website do not wait for each other. Measure them with an open loop.
#
# ## How sure is a number?
#
# Eight runs of 100 requests at the same load. Only the seed differs.

# %%
short_runs = [run_load(Poisson(30), 100, seed=seed)[0] for seed in range(8)]
p50, p99 = ([1e3 * s.ttft.percentiles[p] for s in short_runs] for p in (50, 99))
print("P50 of TTFT, ms:", ", ".join(f"{value:.0f}" for value in p50))
print("P99 of TTFT, ms:", ", ".join(f"{value:.0f}" for value in p99))
print(f"the largest over the smallest: P50 {max(p50) / min(p50):.1f}, P99 {max(p99) / min(p99):.1f}")

# %% [markdown]
# The server is the same, and the largest P99 is 2.7 times the smallest. So a difference of this size between two such
# runs proves nothing. P99 of 100 requests is nearly the wait of one request, the second slowest. The **bootstrap** says
# from a single run how far a number can be trusted: draw as many requests again from those of the run, with repetition,
# many times over, and see how far the result moves.

# %%
def interval(values, p, repeats=500):
    """(low, high): the middle 95 % of the percentile over `repeats` draws with repetition."""
    draw, values = np.random.default_rng(0), np.array(values)
    found = [np.percentile(draw.choice(values, len(values)), p) for _ in range(repeats)]
    return np.percentile(found, 2.5), np.percentile(found, 97.5)


for count in (100, 400, 1600):
    _, requests = run_load(Poisson(30), count)
    waits = [1e3 * one.ttft for one in requests]
    low, high = interval(waits, 99)
    print(f"{count:>5,} requests: P99 of TTFT {np.percentile(waits, 99):.0f} ms, 95 % interval {low:.0f} to {high:.0f}")
low, high = bootstrap_interval(waits, lambda values: np.percentile(values, 99))
print(f"in course_lib, with 1,000 draws: {low:.0f} to {high:.0f}")

# %% [markdown]
# The interval of 100 requests does not contain the result of 1,600, for two reasons. A bootstrap knows only what its
# run contained, and 100 requests contain few of the slow ones. And they are the first 100, which find a server that is
# still nearly empty. So measure more requests.
#
# The last requests find a server that becomes empty. On a real machine the first steps are also slower than all others:
# memory is allocated, kernels are compiled, caches are filled. So a measurement has a **warm-up**, whose results are
# thrown away.

# %%
for part in range(4):  # of the run of 1,600 requests above
    its = [1e3 * one.tpot for one in requests[400 * part : 400 * part + 400] if one.tpot is not None]
    print(f"requests {400 * part + 1:>5,} to {400 * part + 400:>5,}: P50 of TPOT {np.median(its):.1f} ms")

# %% [markdown]
# In the first quarter the server fills, and in the last it empties. In both TPOT is shorter than in the two between.
#
# ## Break it: five ways in which a benchmark misleads
#
# **1. A workload that nobody has.** The same mean lengths, but every request alike:

# %%
alike = Lengths(prompt=Fixed(round(np.mean(prompts))), output=Fixed(round(np.mean(outputs))))
for name, lengths in (("chat", chat), ("all alike", alike)):
    s, _ = run_load(Poisson(30), lengths=lengths)
    print(f"{name:>9}: TTFT P50 {s.ttft.median * 1e3:.0f} ms, P99 {s.ttft.percentiles[99] * 1e3:.0f} ms; E2EL P99 {s.e2el.percentiles[99]:.1f} s")

# %% [markdown]
# The medians of TTFT agree. P99 does not: chat has a few long prompts and long outputs, and this workload has none.
#
# **2. One batch size, and 3. one length.** Two changes to the engine. The first lowers the launch cost of a step from 8
# ms to 1 ms. The second halves the bytes of the KV cache. How much faster is a decode step? It depends on where you
# measure:

# %%
eager = roofline(shape, bytes_per_s=4.3e12, flops_per_s=680e12, launch_s=8e-3)
halved = roofline(shape, bytes_per_s=4.3e12, flops_per_s=680e12, launch_s=1e-3, dtype="int8")


def decode_step(model_of_cost, batch, context):
    return model_of_cost.seconds(batch, batch, batch * context, 0)


batches, contexts = [1, 4, 16, 64, 256], [128, 512, 2048, 8192]
launch = {"less launch cost": ([str(b) for b in batches], [decode_step(eager, b, 2048) / decode_step(cost, b, 2048) for b in batches])}
bytes_ = {"half the KV bytes": ([f"{c:,}" for c in contexts], [decode_step(cost, 64, c) / decode_step(halved, 64, c) for c in contexts])}
chart("Times as fast, by where it is measured",
      panel(launch, x="batch size, 2,048 tokens each", y="speed-up", kind="bars", title="One batch size", reference={"no change": ("y", 1)}),
      panel(bytes_, x="tokens of each of 64 sequences", y="speed-up", kind="bars", title="One length", reference={"no change": ("y", 1)}))

# %% [markdown]
# The first change is large for one sequence and small for a full batch: a step of a full batch takes long, and the
# launch cost is a small part of it. The second is next to nothing for short sequences, whose cache is small beside the
# weights, and grows with the length. Report the range that your users have, not the point that looks best.
#
# **4. A short run.** Above, 400 requests at 50 a second looked healthy, and 1,600 did not: the queue needs time to
# grow. A run is long enough when, after the warm-up, its second half looks like its first. Of both runs of 1,600
# requests we leave out the first 400:

# %%
for rate, run in ((30, requests), (50, longest_runs["open, 50 requests/s"])):
    halves = [np.median([one.ttft for one in half]) * 1e3 for half in (run[400:1000], run[1000:])]
    print(f"{rate} requests a second: P50 of TTFT {halves[0]:,.0f} ms, then {halves[1]:,.0f} ms")

# %% [markdown]
# **5. A machine that does other things.** This one needs your machine. A decode step of `tale`, measured by the clock
# on the wall, first alone and then while another thread multiplies matrices:

# %% tags=["nbval-ignore-output"]
import threading
import time


def step_times(count=40):
    """Milliseconds of each of `count` decode steps of eight sequences."""
    engine = Engine(model, EngineConfig(num_blocks=200), trace=False)
    for i in range(8):
        engine.add_request(opening(i, 32), SamplingParams(max_tokens=count + 4, ignore_eos=True))
    found = []
    for _ in range(count + 3):
        start = time.perf_counter()
        engine.step()
        found.append(1e3 * (time.perf_counter() - start))
    return found[3:]  # the first three warm up


def disturb(stop):
    a = torch.randn(700, 700)
    while not stop.is_set():
        a @ a

# %% tags=["nbval-ignore-output"]
alone, stop = step_times(), threading.Event()
other = threading.Thread(target=disturb, args=(stop,))
other.start()
disturbed = step_times()
stop.set()
other.join()
for name, found in (("alone", alone), ("disturbed", disturbed)):
    print(f"{name:>9}: P50 {np.median(found):5.2f} ms, P95 {np.percentile(found, 95):5.2f} ms, longest {max(found):5.2f} ms")

# %% [markdown]
# On a quiet machine the second line is the slower one. Nothing in either line says what else was running. So record the
# machine and what runs on it, repeat, and put the two engines that you compare into the same session, in turns.
#
# ## The same on the real engine
#
# Can a cost model be trusted? A short run of `tale` on this machine is measured step by step. `fit` finds the costs
# that explain these times best; the two costs of attention are set to 0. Then the engine serves another load, and the
# simulator predicts it. The lengths are those of chat, divided by 12. The clock counts the processor time of this
# process, so that other programs disturb it little.

# %% tags=["nbval-ignore-output"]
from course_lib.workload.calibrate import StepTimer, fit
from course_lib.workload.drive import ProcessorClock, drive

clock = ProcessorClock()
real_config = EngineConfig(num_blocks=400, max_num_seqs=16, max_num_batched_tokens=256)
real = Engine(model, real_config, trace=False, clock=clock)
short = chat.scaled(1 / 12)
drive(real, Feed(Workload(AtOnce(), short, num_requests=4, context=512, seed=9)), clock)  # to warm up
timer = StepTimer(real, clock)
drive(real, Feed(Workload(ClosedLoop(12), short, num_requests=40, context=512, seed=1)), clock, step=timer.step)
found_cost = fit(timer.steps, known={"per_kv_token": 0.0, "per_pair": 0.0})  # attention is next to nothing at these lengths
mean_step = np.mean([seconds for _, seconds in timer.steps])
rate = 3 / (mean_step * np.mean(outputs) / 12)  # about three requests at once
load = Workload(Poisson(rate), short, num_requests=40, context=512, seed=2)
measured = summarise(drive(real, Feed(load), clock))
predicted = simulate(load, real_config, found_cost).summary
print(f"{len(timer.steps)} steps measured, {mean_step * 1e3:.1f} ms each; load {rate:.1f} requests a second")
for name, of in (("tokens a second", lambda s: s.output_throughput), ("TTFT P50, ms", lambda s: 1e3 * s.ttft.median),
                 ("TPOT P50, ms", lambda s: 1e3 * s.tpot.median)):
    print(f"{name:>16}: measured {of(measured):8.1f}, simulated {of(predicted):8.1f}")

# %% [markdown]
# Where the two columns are close, the cost model holds for this load and this machine. If they are far apart, look for
# another program on this machine first (way 5).
#
# And on a GPU? The same engine on an H200, with a model of real size, at four loads. Each run lasts some seconds only,
# so its P99 is the wait of a few requests:

# %%
from course_lib.recorded import recorded

recorded("12")

# %%
loads, waits = recorded("12", 0), recorded("12", 1)
per_load = loads.column("requests a second")
more_tokens, more_wait = (column[-1] / column[0] for column in (loads.column("output tokens a second"), waits.column("TPOT P50")))
print(f"from {per_load[0]} to {per_load[-1]} requests a second: {more_tokens:.1f} times as many tokens a second, {more_wait:.1f} times the time per output token")
print(f"ITL at {per_load[0]} requests a second: half of the tokens come within {waits.column('ITL P50')[0]:.1f} ms, one in a hundred after {waits.column('ITL P99')[0]:.1f} ms or more")

# %% [markdown]
# The long gaps are steps in which a prompt is computed: every request that decodes waits for such a step, as for the
# long prompt above. At a low load most tokens come from steps without a prompt, so the median does not show it, and the
# 99th percentile does.
#
# ## Quality beside speed
#
# A change can make every number above better and the answers worse. So a report has quality beside speed. A tempting
# trick: cut long prompts, and keep only their end. `tale` answers questions about its own text, so the damage can be
# counted, beside the tokens that are computed.

# %%
def answered(keep):
    """(questions, right answers, tokens computed) with the last `keep` tokens of each prompt; None: all of it."""
    engine, wanted = Engine(model, EngineConfig(num_blocks=1000, prefix_caching=False), trace=False), {}
    for seed in range(HELD_OUT + 300, HELD_OUT + 312):
        tale = make_tale(seed, chapters=2)
        for question in tale.questions[:2]:
            ids = tokenizer.encode(tale.text[: question.answer_start].rstrip())
            number = engine.add_request(ids if keep is None else ids[-keep:], SamplingParams(max_tokens=8))
            wanted[number] = tale.text[question.answer_start : question.answer_end]
    right = 0
    while engine.has_unfinished():
        for output in engine.step():
            if output.finished:
                right += tokenizer.decode(output.token_ids[-8:]).strip().startswith(wanted[output.request_id])
    return len(wanted), right, engine.metrics.num_scheduled_tokens


for keep in (None, 128, 64, 32):
    asked, right, computed = answered(keep)
    print(f"{'whole prompt' if keep is None else f'last {keep} tokens':>15}: {computed:>6,} tokens computed, {right:>2} of {asked} answers right")

# %% [markdown]
# With the last 128 tokens the engine computes 3,240 tokens instead of 10,354, and 6 answers instead of 24 are right. A
# report of speed alone shows only the first half.
#
# ## Memory
#
# Two questions of memory belong to a report: how much was used at the peak, and how long a single request can be. Here
# for the engine that served the six requests at the beginning of this lesson:

# %%
from course_lib.engine.memory_use import memory_use

use = memory_use(engine)
print(f"weights {use.weight_bytes / 1e6:.1f} MB, KV cache {use.kv_bytes / 1e6:.1f} MB, of which {use.peak_used_kv_bytes / 1e6:.1f} MB were used at the peak")
print(f"one request alone can have {use.longest_sequence:,} tokens (the model's context is {model.config.context:,})")
print(f"of the blocks in use, {engine.metrics.kv_waste:.1%} of the slots were empty on average; {engine.metrics.kv_use:.1%} of all blocks were in use")

# %% [markdown]
# Here the context of the model limits a request, not the memory. And the average is not the peak: blocks are needed for
# the peak.
#
# ## A study: how many GPUs?
#
# 120 chat requests arrive each second. TTFT has to be at most 500 ms and TPOT at most 20 ms for 99 of 100 requests. How
# many H200s does it take? Each runs a **replica**, a copy of the server above. A **router** sends each request to the
# replica with the fewest unfinished ones.

# %%
predict("12.gpus", "One server keeps these targets up to about 30 requests a second. How many for 120?",
        ["Three", "Four", "Six: the router wastes some"], answer=1)

# %%
for replicas in (2, 3, 4):
    s, _ = run_load(Poisson(120), 1200, replicas=replicas)
    kept = s.ttft.percentiles[99] <= targets.ttft and s.tpot.percentiles[99] <= targets.tpot
    print(f"{replicas} replicas: TTFT P99 {s.ttft.percentiles[99] * 1e3:>6,.0f} ms, TPOT P99 {s.tpot.percentiles[99] * 1e3:.1f} ms, "
          f"{s.num_good / s.completed:.1%} in time: {'enough' if kept else 'too few'}")

# %% [markdown]
# These are short runs (way 4): 1,200 requests arrive in 10 seconds. Run three and four replicas again with 3,200
# requests: three are then much worse, and four are still enough.
#
# The answer holds for this cost model and this workload. Calibrate the cost model on the machine that you have, and
# record the lengths of your own users, before you buy.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("12")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A report says: P99 of TTFT is 90 ms, from 100 requests. What do you ask?</b></summary>
#
# How many runs there were, and how far apart they lie: P99 of 100 requests is nearly the second slowest one. Then the
# load, the lengths, open or closed loop, the warm-up and the machine.
# </details>
#
# <details><summary><b>2. Server A has twice the throughput of server B, measured with all requests at once. Is A better for chat?</b></summary>
#
# Unknown. With all requests at once the batch is as large as it can be, and TTFT is mostly the queue. For chat, compare
# goodput at the load that you expect, with the targets that your users need.
# </details>
#
# <details><summary><b>3. Why does TTFT grow many times beyond the knee, and TPOT does not?</b></summary>
#
# TTFT is the queue, the prefill and the step under way. The queue grows as long as requests arrive faster than they
# leave. TPOT is the length of a step. Each further sequence makes it longer, so TPOT grows from the start, until the
# batch is full.
# </details>
#
# ## Next
#
# [exercises/12_measuring.ipynb](../exercises/12_measuring.ipynb):
#
# - `12.metrics`: the latencies of a request, throughput and percentiles from arrival and token times;
# - `12.poisson`: arrival times of an open loop from a seed;
# - `12.goodput`: requests in time, under several targets;
# - `12.knee`: the highest load at which the targets hold, in few runs;
# - `12.spot_the_flaw`: seven benchmark reports with one flaw each: name it.
#
# Then lesson 13 makes a step faster, and measures where its time goes.
