# %% [markdown]
# # Exercises 09 · Batching
#
# Three pieces: what a decode step costs and what bounds it, what static batches compute for nothing, and the batcher that
# weighs waiting against company. No tensors: everything here is counting.

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
# One decode step of a batch: each text pushes one token. `seq_lens` says how many tokens each attends to, its newest
# included. `model` is a dict of whole numbers: `num_weights` (in matrices that every token is multiplied with), `num_layers`,
# `num_heads`, `num_kv_heads`, `head_dim`, and `itemsize`, the bytes of a number. The machine does at most `flops_per_s`
# operations and reads at most `bytes_per_s` bytes a second, both at once.
#
# Return a dict:
#
# - `flops`: operations, a product and a sum being two. Each weight for each text; in attention each query head takes
#   2 · head_dim for the score of a token, and as many for its weighted value.
# - `bytes`: what is read. Each weight once, and the keys and values of each text. (The few bytes written are left out.)
# - `intensity`: operations for each byte.
# - `seconds`: the least that the step can take.
#
# With 100 weights of 2 bytes and a cache of nothing, two texts are 400 operations and 200 bytes: an intensity of 2.

# %% nbgrader={"grade_id": "intensity", "solution": true} course={"exercise": "09.intensity"}
def intensity(model, seq_lens, flops_per_s, bytes_per_s):
    """{"flops", "bytes", "intensity", "seconds"} of one decode step. seq_lens: tokens that each text attends to."""
    ### BEGIN SOLUTION
    batch, tokens = len(seq_lens), sum(seq_lens)
    flops = 2 * model["num_weights"] * batch  # each weight, for each text: a product and a sum
    flops += 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * tokens  # scores, and the weighted sum
    cache = 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * tokens  # keys and values
    moved = (model["num_weights"] + cache) * model["itemsize"]  # the weights once, for everybody
    return {"flops": flops, "bytes": moved, "intensity": flops / moved,
            "seconds": max(flops / flops_per_s, moved / bytes_per_s)}
    ### END SOLUTION

# %% nbgrader={"grade_id": "intensity-check", "grade": true, "points": 2}
check("09.intensity", intensity)

# %% [markdown]
# With such a count a server is planned: how many texts may run at once (vLLM's `max_num_seqs`), and which GPU is worth its money. Your
# function for Llama 3 8B in bfloat16 on one H200 (680 TFLOP/s, 4.3 TB/s, as measured for lesson 06), 1,024 tokens a text:

# %% tags=["raises-exception"]
from course_lib.practice.play import LLAMA

for batch in (1, 8, 64, 256):
    step = intensity(LLAMA, [1024] * batch, 680e12, 4.3e12)
    print(f"{batch:>4} texts: {step['intensity']:6.1f} operations a byte, {1000 * step['seconds']:5.2f} ms a step, "
          f"{batch / step['seconds']:>7,.0f} tokens a second at most")

# %% [markdown]
# ## 09.static_waste · What a static batch computes for nothing
#
# `prompts` and `new_tokens` give, for each request in order of arrival, the tokens of its prompt and how many it will write, at
# least one each. They are served in batches of `batch_size`, one after the other; the last one may be smaller.
#
# A batch's first run of the model pushes all its prompts, filled up to the longest of them, and gives each text its first
# token. Every later run pushes one token a row, until the longest text is written. A row whose text is over is computed on.
#
# Return a dict of whole numbers: `steps`, how often the model runs; and of the tokens pushed through it: `useful` (of prompts and
# texts), `padding` (filled in), and `idle` (of rows whose text was over).
#
# Prompts of 1 and 3 tokens, texts of 2 and 4, together: the first run pushes 2 × 3, of which 2 are padding; three more runs push 2
# each, of which 2 are idle. So 4 steps, 8 useful, 2 padding, 2 idle.

# %% nbgrader={"grade_id": "static_waste", "solution": true} course={"exercise": "09.static_waste"}
def static_waste(prompts, new_tokens, batch_size):
    """{"steps", "useful", "padding", "idle"} of serving these requests in static batches, in order."""
    ### BEGIN SOLUTION
    found = {"steps": 0, "useful": 0, "padding": 0, "idle": 0}
    for start in range(0, len(prompts), batch_size):
        lengths, texts = prompts[start:start + batch_size], new_tokens[start:start + batch_size]
        longest, last = max(lengths), max(texts)
        found["steps"] += last  # the first run takes the prompts and gives a token to each
        found["useful"] += sum(lengths)
        found["padding"] += longest * len(lengths) - sum(lengths)
        for text in texts:
            found["useful"] += text - 1  # its last token is written, and never pushed
            found["idle"] += last - text
    return found
    ### END SOLUTION

# %% nbgrader={"grade_id": "static_waste-check", "grade": true, "points": 2}
check("09.static_waste", static_waste)

# %% [markdown]
# vLLM has nothing to count here: it lays the tokens of a step one after the other, without padding, and lets rows go (lesson 10). Your
# count beside a server that does pad: `run_static` serves six prompts on the bundled model and reports steps, useful, padding, idle.

# %% tags=["raises-exception"]
from course_lib.batching import run_static

model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
told = ["Once upon a time,", "In a windy valley lived a clever badger named Rosa.",
        "My grandmother told me of Nettle, a patient toad", "One evening", "There was once a thoughtful frog", "Far away in an old windmill there lived an otter."]
prompts, new_tokens = [tokenizer.encode(text) for text in told], [12, 3, 20, 5, 9, 1]
params = [SamplingParams(max_tokens=n, ignore_eos=True) for n in new_tokens]
_, report = run_static(model, prompts, params, batch_size=3)
print("the engine:", report.num_steps, report.num_useful_tokens, report.num_padding_tokens, report.num_idle_tokens)
print("yours:     ", *static_waste([len(ids) for ids in prompts], new_tokens, 3).values())

# %% [markdown]
# ## 09.dynamic_batcher · A size and a timeout
#
# Write the class that decides when a batch starts. Times are whatever numbers the server uses, steps or seconds; they never go back.
#
# - `DynamicBatcher(max_batch_size, timeout)`.
# - `add(request, now)`: a request comes at `now`.
# - `take(now)`: the server is free and asks. A list of the requests that start now: as soon as `max_batch_size` wait, or as soon as
#   the first of them has waited for `timeout` (exactly so long is enough). At most `max_batch_size`, in order of arrival; they leave
#   the queue. `[]` where it is better to wait. While a batch runs, nobody asks.
# - `ready_at()`: the time from which `take` gives a batch, as things stand; a time that is over already where it may start now. None
#   where nobody waits. The server sleeps until then, or until somebody comes.
#
# A size of 2 and a timeout of 3: `a` comes at 0, so `take(2)` gives `[]` and `ready_at()` 3. If `b` comes at 2, `take(2)` gives
# `["a", "b"]`.
#
# The check replays arrivals. Where yours differs, it shows two timelines up to the first step that does.

# %% nbgrader={"grade_id": "dynamic_batcher", "solution": true} course={"exercise": "09.dynamic_batcher"}
from collections import deque


class DynamicBatcher:
    """Collects requests: a batch starts when it is full, or when its first request has waited `timeout`."""

    def __init__(self, max_batch_size, timeout):
        ### BEGIN SOLUTION
        self.max_batch_size, self.timeout = max_batch_size, timeout
        self.waiting = deque()  # (when it came, request), in order of arrival
        ### END SOLUTION

    def add(self, request, now):
        """The request comes at `now`."""
        ### BEGIN SOLUTION
        self.waiting.append((now, request))
        ### END SOLUTION

    def ready_at(self):
        """From when on `take` gives a batch; None with nobody waiting."""
        ### BEGIN SOLUTION
        if not self.waiting:
            return None
        if len(self.waiting) >= self.max_batch_size:
            return self.waiting[self.max_batch_size - 1][0]
        return self.waiting[0][0] + self.timeout
        ### END SOLUTION

    def take(self, now):
        """The batch that starts now, in order of arrival; [] where it is better to wait."""
        ### BEGIN SOLUTION
        ready = self.ready_at()
        if ready is None or now < ready:
            return []
        return [self.waiting.popleft()[1] for _ in range(min(self.max_batch_size, len(self.waiting)))]
        ### END SOLUTION

# %% nbgrader={"grade_id": "dynamic_batcher-check", "grade": true, "points": 3}
check("09.dynamic_batcher", DynamicBatcher)

# %% [markdown]
# In NVIDIA's Triton Inference Server your two numbers are called `max_batch_size` and `max_queue_delay_microseconds`. Here is your batcher
# in the loop of `run_dynamic`, which runs the model and sleeps until `ready_at()`. The clock counts runs of the model, so that it shows
# the same on every machine.

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
texts, waited, report = run_dynamic(model, prompts, params, arrivals=arrivals, batcher=DynamicBatcher(3, 4),
                                    clock=lambda: runs, sleep=sleep)
hook.remove()
print(f"{report.num_batches} batches; from arrival to answer, in runs of the model: {waited}")

# %% [markdown]
# And the same arrivals in their slots. Change the size and the timeout, and look who waits.

# %% tags=["raises-exception"]
from course_lib.batching import simulate_batches

requests = [(arrival, len(ids), n) for arrival, ids, n in zip(arrivals, prompts, new_tokens)]
batch_slots(requests, simulate_batches(requests, DynamicBatcher(3, 4)), num_slots=3)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
