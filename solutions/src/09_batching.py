# %% [markdown]
# # Exercises 09 · Batching
#
# Three pieces: what a decode step costs and what bounds it, what static batches compute without need, and a batcher
# that decides when a batch starts. There are no tensors: everything here is counting. A list or dict that your
# function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.viz import batch_slots

_ = setup(quiet=True)

# %% [markdown]
# ## 09.intensity · Operations for each byte
#
# One decode step of a batch computes one token of each sequence. `seq_lens` is a list, at least one entry long: how
# many tokens each sequence attends to, its newest included. `model` is a dict of ints: `num_weights` (in matrices that
# every token is multiplied with, of all layers together), `num_layers`, `num_heads`, `num_kv_heads`, `head_dim`, and
# `itemsize`, the bytes of a number. The machine does at most `flops_per_s` operations a second and reads at most
# `bytes_per_s` bytes a second (ints or floats), both at the same time.
#
# Return a dict of four numbers, ints or floats, not rounded (float32 would round them):
#
# - `"flops"`: the operations; a multiplication and an addition are two. Each weight takes two for each sequence. In
#   attention, in each layer, each query head takes 2 · head_dim operations for the score of a token, and 2 · head_dim
#   for its weighted value.
# - `"bytes"`: the bytes that are read: each weight once, and the keys and values of each sequence, for each KV head of
#   each layer. (What is written is left out.)
# - `"intensity"`: operations per byte.
# - `"seconds"`: the least time that the step can take.
#
# `model` and `seq_lens` are not changed. With 100 weights of 2 bytes and no layers, two sequences take 400 operations
# and 200 bytes: an intensity of 2.

# %% nbgrader={"grade_id": "intensity", "solution": true} course={"exercise": "09.intensity"}
def intensity(model, seq_lens, flops_per_s, bytes_per_s):
    """{"flops", "bytes", "intensity", "seconds"} of one decode step. seq_lens: tokens that each sequence attends to."""
    ### BEGIN SOLUTION
    batch, tokens = len(seq_lens), sum(seq_lens)
    flops = 2 * model["num_weights"] * batch  # each weight, for each sequence: two operations
    flops += 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * tokens  # scores, and the weighted sum
    cache = 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * tokens  # keys and values
    moved = (model["num_weights"] + cache) * model["itemsize"]  # the weights once, for all sequences
    return {"flops": flops, "bytes": moved, "intensity": flops / moved,
            "seconds": max(flops / flops_per_s, moved / bytes_per_s)}
    ### END SOLUTION

# %% nbgrader={"grade_id": "intensity-check", "grade": true, "points": 2}
check("09.intensity", intensity)

# %% [markdown]
# With such a count one plans a server: how many sequences may run at once (vLLM's `max_num_seqs`), and which GPU to
# buy. Your function for Llama 3 8B in bfloat16 on one H200 (the roof recorded in lesson 06), 1,024 tokens a sequence:

# %% tags=["raises-exception"]
from course_lib.practice.play import LLAMA
from course_lib.recorded import recorded

tflops, gigabytes, _ = recorded("attention", 0).column("measured")
for batch in (1, 8, 64, 256):
    step = intensity(LLAMA, [1024] * batch, tflops * 1e12, gigabytes * 1e9)
    print(f"{batch:>4} sequences: {step['intensity']:6.1f} operations a byte, {1000 * step['seconds']:5.2f} ms a step, "
          f"{batch / step['seconds']:>7,.0f} tokens a second at most")

# %% [markdown]
# ## 09.static_waste · What a static batch computes without need
#
# `prompts` and `new_tokens` are two lists, with an entry for each request in order of arrival: the number of tokens of
# its prompt, and how many new tokens it generates, at least one each. The requests are served in that order, in batches
# of `batch_size`, an int of at least 1, one batch after the other. The last batch may be smaller. Both lists may be
# empty; then all four numbers are 0.
#
# The first run of a batch computes all its prompts, each padded to the longest of them, and gives each request its
# first new token. Every later run computes one token for each row: the newest one of its request. The batch ends when
# the request with the most new tokens has all of them. Until then a row whose request has finished is computed too.
#
# Return a dict of ints: `"steps"`, the number of runs; and, of the tokens that these runs compute, `"useful"` (tokens
# of prompts, and new tokens of unfinished requests), `"padding"`, and `"idle"` (tokens of rows whose request has
# finished). The last new token of a request is never computed: no token follows it. The two lists are not changed.
#
# Prompts of 1 and 3 tokens, with 2 and 4 new tokens, in one batch: the first run computes 2 × 3 tokens, of which 2 are
# padding. Three more runs compute 2 tokens each, of which 2 are idle. So there are 4 steps, 8 useful tokens, 2 of
# padding, 2 idle.

# %% nbgrader={"grade_id": "static_waste", "solution": true} course={"exercise": "09.static_waste"}
def static_waste(prompts, new_tokens, batch_size):
    """{"steps", "useful", "padding", "idle"} of serving these requests in static batches, in order."""
    ### BEGIN SOLUTION
    found = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}
    for start in range(0, len(prompts), batch_size):
        lengths, counts = prompts[start:start + batch_size], new_tokens[start:start + batch_size]
        longest, last = max(lengths), max(counts)
        found["steps"] += last  # the first run takes the prompts and gives a token to each
        found["useful"] += sum(lengths)
        found["padding"] += longest * len(lengths) - sum(lengths)
        for count in counts:
            found["useful"] += count - 1  # its last token is never computed
            found["idle"] += last - count
    return found
    ### END SOLUTION

# %% nbgrader={"grade_id": "static_waste-check", "grade": true, "points": 2}
check("09.static_waste", static_waste)

# %% [markdown]
# vLLM pads no prompt and keeps no finished row: it puts the tokens of a step one after the other, and a request that
# has finished leaves at once (lesson 10). Here is your count beside a server that does pad. `run_static` serves six
# prompts on the bundled model and reports steps, useful, padding and idle tokens.

# %% tags=["raises-exception"]
from course_lib.batching import run_static

model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
told = ["Once upon a time,", "In a windy valley lived a clever badger named Rosa.",
        "My grandmother told me of Nettle, a patient toad", "One evening", "There was once a thoughtful frog", "Far away in an old windmill there lived an otter."]
prompts, new_tokens = [tokenizer.encode(text) for text in told], [12, 3, 20, 5, 9, 1]
params = [SamplingParams(max_tokens=n, ignore_eos=True) for n in new_tokens]
_, report = run_static(model, prompts, params, batch_size=3)
print("run_static:", report.num_steps, report.num_useful_tokens, report.num_padding_tokens, report.num_idle_tokens)
print("yours:     ", *static_waste([len(ids) for ids in prompts], new_tokens, 3).values())

# %% [markdown]
# ## 09.dynamic_batcher · A size and a timeout
#
# Write the class that decides when a batch starts. Times are numbers, steps or seconds with a fraction, and never go
# back.
#
# - `DynamicBatcher(max_batch_size, timeout)` makes one. `max_batch_size` is an int of at least 1, `timeout` a time of
#   at least 0.
# - `add(request, now)`: a request arrives at time `now`. A request can be anything, a list too, and two can be equal;
#   it comes back itself, and not as a copy.
# - `take(now)`: the server is free and asks which requests start now. If `max_batch_size` or more requests wait, or the
#   first one has waited for `timeout` or longer, it returns a list of the first requests in order of arrival, at most
#   `max_batch_size`, and removes them from the queue. Otherwise it returns `[]`. The server does not ask while a batch
#   runs.
# - `ready_at()` returns the time from which `take` returns a batch if no other request arrives. If `take`
#   would return one already, any time up to now is right. If no request waits, `ready_at()` returns None. The server
#   sleeps until that time, or until a request arrives. Then it asks, and `take(ready_at())` must return that batch.
#   With floats this needs care: 0.7 + 0.1 - 0.7 is less than 0.1.
#
# A size of 2 and a timeout of 3: `a` arrives at 0, so `take(2)` returns `[]` and `ready_at()` returns 3. If `b` arrives
# at 2, `take(2)` returns `["a", "b"]`.
#
# The check replays arrivals. If your batches differ, it shows two timelines up to the first step that differs.

# %% nbgrader={"grade_id": "dynamic_batcher", "solution": true} course={"exercise": "09.dynamic_batcher"}
from collections import deque


class DynamicBatcher:
    """Collects requests: a batch starts when it is full, or when its first request has waited `timeout`."""

    def __init__(self, max_batch_size, timeout):
        ### BEGIN SOLUTION
        self.max_batch_size, self.timeout = max_batch_size, timeout
        self.waiting = deque()  # (arrival time, request), in order of arrival
        ### END SOLUTION

    def add(self, request, now):
        """The request arrives at `now`."""
        ### BEGIN SOLUTION
        self.waiting.append((now, request))
        ### END SOLUTION

    def ready_at(self):
        """The time from which `take` returns a batch; None if no request waits."""
        ### BEGIN SOLUTION
        if not self.waiting:
            return None
        if len(self.waiting) >= self.max_batch_size:
            return self.waiting[self.max_batch_size - 1][0]
        return self.waiting[0][0] + self.timeout
        ### END SOLUTION

    def take(self, now):
        """The batch that starts now, in order of arrival; [] if none starts."""
        ### BEGIN SOLUTION
        ready = self.ready_at()
        if ready is None or now < ready:
            return []
        return [self.waiting.popleft()[1] for _ in range(min(self.max_batch_size, len(self.waiting)))]
        ### END SOLUTION

# %% nbgrader={"grade_id": "dynamic_batcher-check", "grade": true, "points": 3}
check("09.dynamic_batcher", DynamicBatcher)

# %% [markdown]
# In NVIDIA's Triton Inference Server your two numbers are called `max_batch_size` and `max_queue_delay_microseconds`.
# Here is your batcher in the loop of `run_dynamic`, which runs the model and sleeps until `ready_at()`. The clock
# counts runs of the model, so that it shows the same on every machine.

# %% tags=["raises-exception"]
from course_lib.batching import run_dynamic

runs = 0


def counted(*args, **kwargs):
    """Adds one to the clock for each run of the model."""
    global runs
    runs += 1


def sleep(time):
    global runs
    runs += max(time, 1)


hook = model.register_forward_hook(counted)
arrivals = [0, 1, 1, 3, 20, 21]
outputs, waited, report = run_dynamic(model, prompts, params, arrivals=arrivals, batcher=DynamicBatcher(3, 4),
                                    clock=lambda: runs, sleep=sleep)
hook.remove()
print(f"{report.num_batches} batches; from arrival to answer, in runs of the model: {waited}")

# %% [markdown]
# And the same arrivals in their batch slots. Change the size and the timeout, and look which request waits.

# %% tags=["raises-exception"]
from course_lib.batching import simulate_batches

requests = [(arrival, len(ids), n) for arrival, ids, n in zip(arrivals, prompts, new_tokens)]
batch_slots(requests, simulate_batches(requests, DynamicBatcher(3, 4)), num_slots=3)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [10 · Continuous batching](../notebooks/10_continuous_batching.ipynb).
