# %% [markdown]
# # 13 · Making it fast
#
# - **You will** find out where the time of a decode step goes, and take it away part by part: launches, small operations,
#   products of few rows, the choice of tokens, the CPU's own work.
# - **Why** before the changes of this lesson, a decode step of one sequence took the course's engine 30 ms on an H200,
#   and reading the weights once takes 0.3 ms.
# - **Time** an hour and a half, and three hours for the exercises.
# - **You need** lessons 07, 08 and 10.
# - **After it** you can read the profile of a step, say what its limit is, and find each of these parts in vLLM and
#   TensorRT-LLM.
#
# No GPU is needed. Counts depend on the version of torch a little, and not on the machine. Times of a GPU are recorded
# ones, and each says where it comes from.

# %% [markdown]
# {{colab}}

# %%
import random
from collections import Counter
from types import SimpleNamespace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding.step_kernels import kernels_of, marked
from course_lib.kvcache import kv_bytes_per_token
from course_lib.kvcache.batch import Batch
from course_lib.models import ModelConfig, Transformer
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale
from course_lib.practice.play import CountedAttention, CountedKernels, best_seconds, one_decode_step, served_prompts
from course_lib.recorded import recorded
from course_lib.recorded.steps import beginning, steps_now, steps_of_one_sequence
from course_lib.viz import step_strip

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # in bfloat16 two logits can round to the same number
config = model.config

# %%
try:
    import triton
    import triton.language as tl
except ImportError:  # not on this system: the kernels can be read here, and not run
    from course_lib.practice.play import tl, triton

# %% [markdown]
# ## The limit of a step
#
# A decode step reads every weight once, and all keys and values of its sequences once. It does little arithmetic with
# them (lesson 09). So it cannot be faster than the memory delivers these bytes:
#
# **limit = (bytes of the weights + bytes of the KV cache that is read) / bandwidth**
#
# We take the shape of Qwen3-0.6B in bfloat16, which the recorded runs use. On the `meta` device a model has shapes and no
# content, so it needs no memory here.

# %%
predict("13.limit", "0.6 billion weights in bfloat16, one sequence, an H200 that reads 4.3 TB/s. What is the limit of one decode step?",
        ["About 0.3 ms", "About 3 ms", "About 30 ms"], answer=0)

# %%
qwen = ModelConfig(vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_layers=28, num_heads=16, num_kv_heads=8,
                   head_dim=128, context=40_960, tie_embeddings=True, qk_norm=True, family="qwen3")
BANDWIDTH = 4.308e12  # bytes a second that torch's sum reads on the H200 of the recorded run


def limit_ms(sequences, context, shape=qwen, bandwidth=BANDWIDTH):
    """The least time of one decode step in bfloat16, in ms."""
    weights, kv = 2 * shape.num_parameters, sequences * context * kv_bytes_per_token(shape, torch.bfloat16)
    return (weights + kv) / bandwidth * 1e3


for sequences in (1, 8, 64, 256):
    kv = sequences * 843 * kv_bytes_per_token(qwen, torch.bfloat16)
    print(f"{sequences:>3} sequences of 843 tokens: weights {2 * qwen.num_parameters / 1e9:.2f} GB, "
          f"KV {kv / 1e9:>5.2f} GB, limit {limit_ms(sequences, 843):.2f} ms")

# %% [markdown]
# For one sequence nearly all bytes are weights; for 256 sequences nearly all are KV cache. How far from these limits was
# the course's engine before it had the parts of this lesson?

# %%
recorded("13", 0)

# %% [markdown]
# One sequence takes 30 ms (the column *eager*), a hundred times its limit. The next column is the same kernels in one
# **CUDA graph**: the CPU asks the GPU once to run all of them, in place of 776 times. Then the step takes 2.53 ms. So
# for about 27 of the 30 ms the GPU had nothing to do. (With 64 and 256 sequences the eager steps also chose tokens, row
# by row at a temperature T = 0.6, and their kernels were not counted. The last two columns are parts of the graph. The
# limit of one sequence was rounded to 0.30.)
#
# ## Where the time goes
#
# To run a kernel, the CPU **launches** it: torch decides in Python and C++ which kernel it is, allocates the output, and
# hands both to the GPU. In the step above that took 30 ms / 776 = 39 µs a kernel. In the graph a kernel took 2.53 ms /
# 776 = 3.3 µs on average, so most of the time the GPU waits for the next launch. To run a model like this, one operation
# after the other, is called **eager**.
#
# What does a layer of this model run? The vector of a token goes from layer to layer, and each half of a layer adds
# something to it. This vector is called the **residual**.
#
# 1. Attention. The residual is normed (RMSNorm, lesson 07) and multiplied with the weights *q*, *k* and *v*. q and k are
#    normed and rotated (RoPE, lesson 02). k and v go into the cache. After attention comes a product with the weight *o*,
#    and the result is added to the residual.
# 2. The feed-forward network (lesson 01). The residual is normed and multiplied with the weights *gate* and *up*. Then
#    comes silu(gate) · up, in short the **gate**, where silu(x) = x / (1 + exp(-x)). After a product with the weight
#    *down* the result is added to the residual.
#
# After the last layer, one more norm and a product give the logits.
#
# How many launches has a step? We count them. Torch has a hook through which every operation passes, `TorchDispatchMode`.
# A view or an empty tensor launches nothing.

# %%
class Launches(TorchDispatchMode):
    """Counts the operations that launch a kernel."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if not function.is_view and "empty" not in name:
            self.count[name] += 1
        return function(*args, **(kwargs or {}))


with torch.device("meta"):
    large = Transformer(qwen).to(torch.bfloat16)
token = torch.zeros(1, dtype=torch.int64, device="meta")

# %%
predict("13.launches", "Qwen3-0.6B has 28 layers. How many launches has one decode step of `Transformer`?",
        ["About 30: one a layer", "About 200: one for each product with weights", "About 750"], answer=2)

# %%
with torch.inference_mode(), Launches() as counter:
    large(token, token, CountedAttention(counter.count, large))  # counts the kernels of attention, and computes nothing
plain = counter.count
print(f"about {round(plain.total(), -1)} launches:", ", ".join(f"{count} {name}" for name, count in plain.most_common(9)), "…")
print(f"{plain['linear'] / plain.total():.0%} of them are products with weights")

# %% [markdown]
# `linear` is a product with weights, and `decode_kernel` reads the KV cache. The others touch little memory: norms,
# rotation (`mul`, `roll`, `add`), gate (`silu`, `mul`), additions. The recorded run had some more, 776 kernels: an
# operation can be more than one kernel. (An example is `splitKreduce`, which you will meet below.)
#
# ### See it
#
# The three recorded steps for one sequence. The solid line is the limit, the dashed one the time by the clock. Each bar
# is a sum over all launches of one kernel, or of one kind of kernels.
#
# - What is the hatched part, and where is it in the second row?
# - Which two parts of the second row are each larger than the limit?
# - The third row is where this lesson ends. Which part of it is larger than the limit by itself?

# %%
card = recorded("13").machine
before_and_now = step_strip(steps_of_one_sequence(), title="One sequence", subtitle=f"{card}, Qwen3-0.6B's shape; recorded")
before_and_now.step = 4
before_and_now

# %% [markdown]
# The same in numbers:

# %%
def parts(step):
    """{kind: µs} of a recorded step."""
    found = Counter()
    for _, group, _, us, *_ in step["kernels"]:
        found[group] += us
    return found


for step in steps_of_one_sequence():
    took = parts(step)
    speed = 2 * qwen.num_parameters / (1e-6 * took["weights"])  # bytes of weights a second
    idle = f"no kernel for {took['idle']:,.0f} µs" if took["idle"] else ""
    print(f"{step['name']:>32}: products {took['weights']:>5,.0f} µs, {took['weights'] / step['limit']:.1f} times the limit, "
          f"{speed / BANDWIDTH:4.0%} of the bandwidth  {idle}")

# %% [markdown]
# In row 1 a faster kernel would hardly help: nearly all of the time passes without one. In the graph the CPU no longer
# stands between two kernels. (Short gaps remain. The recording of rows 2 and 3 does not tell them from the kernels.)
# There two parts are larger than the limit: the products, and the small kernels (norms, rotation, gate, sums).
#
# The beginning of a step as in row 3, in order (768 tokens here, 843 in row 3). After five small kernels come layers of
# seven: four products, the rotation, attention and its merge. A kernel may start while the one before it still runs, load
# its weights, and wait for the other's result only then (*programmatic dependent launch*, on Hopper (H100, H200) and
# later; `machine/dependent_launch.py`). So each is drawn from the end of the one before.

# %%
step_strip([beginning(33)], title="Four layers in order", subtitle=f"{card}, Qwen3-0.6B's shape, one sequence of 768 tokens; recorded")

# %% [markdown]
# And a step on your own machine, in order, as torch's profiler sees it. On a CPU there is no launch to wait for; the
# operation is simply called. Still each has a price: find an addition, and compare its time with that of a product. The
# limit here is the bytes of the weights over what one thread reads in a second when it sums. (This is no hard limit: a
# product may read faster than a sum, and a CPU's caches may keep part of so small a model.)

# %%
tales = [tokenizer.encode(make_tale(HELD_OUT + i, chapters=4).text) for i in range(4)]


def cached(lengths):
    """A paged cache that holds the beginnings of tales, their tables, and the token that comes next in each."""
    return served_prompts(model, [tale[:n] for tale, n in zip(tales, lengths)])


# %% tags=["nbval-ignore-output"]
threads = torch.get_num_threads()
torch.set_num_threads(1)
large_weight = torch.randn(4096, 4096, device=model.device)
read = large_weight.nbytes / best_seconds(lambda: large_weight.sum())  # bytes a second
torch.set_num_threads(threads)
print(f"one thread sums {read / 1e9:.1f} GB/s")

# %% tags=["nbval-ignore-output"]
if machine.triton == "compiled":
    from course_lib.models.fused import on_gpu

    kernels = on_gpu()
else:
    kernels = twins  # the same functions in plain torch operations
names = ("add_rms_norm", "swiglu", "rotary_store", "few_rows")
fused = FusedTransformer(model, SimpleNamespace(**{name: marked(name, getattr(kernels, name)) for name in names}))

# %% tags=["nbval-ignore-output"]
def own_row(name, run):
    """A decode step of `run` as a row of the strip. What is `marked` counts as one operation."""
    cache, tables, tokens = cached([300])
    cache.attend, cache.attend_stored = marked("attend", cache.attend), marked("attend", cache.attend_stored)
    found = kernels_of(lambda: one_decode_step(run, cache, tables, tokens), tries=15)
    return {"name": name, "kernels": found, "noun": "operation", "limit": 4e6 * config.num_parameters / read}


row = own_row("Transformer", model)
for group, what in (("small", "norm, rotation, gate, sum"), ("weights", "weight products")):
    times = [us for _, kind, _, us in row["kernels"] if kind == group]
    print(f"{what:>25}: {len(times)} operations, {sum(times) / len(times):.0f} µs each on average")
own_step = step_strip([row], title="One step here", subtitle="tale, one sequence of 300 tokens; recorded live")
own_step.step = 60
own_step

# %% [markdown]
# So the step is many operations, and each small one costs some time, though it computes little.
#
# ## One launch for all: a graph
#
# A **CUDA graph** records the launches of a step once: which kernel, with which arguments, at which addresses. To record
# a graph is also called to **capture** it. A **replay** starts all of them with one call, and Python is not run again.
# vLLM, TensorRT-LLM and the course's engine all do this for decode steps.
#
# ### Build it
#
# The idea needs no GPU. The same hook can write down each operation with its arguments and its result. To replay is to
# run the list again, and to put each result where the first one was.

# %%
class Graph(TorchDispatchMode):
    """Records operations with the memory that they read and write; replay() runs them again on the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:  # a view of the same memory stays right
            self.calls.append((function, args, kwargs or {}, out))
        return out

    def replay(self):
        for function, args, kwargs, out in self.calls:
            out.copy_(function(*args, **kwargs))

# %%
mlp = model.model.layers[0].mlp
with torch.inference_mode():
    inside = torch.randn(4, config.hidden_size, device=model.device)  # the graph's input: this memory, for ever
    with Graph() as graph:
        outside = mlp(inside)
    fresh = torch.randn(4, config.hidden_size, device=model.device)
    inside.copy_(fresh)  # new numbers into the old memory
    graph.replay()
    print(f"{len(graph.calls)} operations in the graph; the same as eager: {torch.allclose(outside, mlp(fresh))}")

# %% [markdown]
# Three consequences, and each is a rule in a server:
#
# 1. **Inputs live at fixed addresses.** A step first copies its token ids, positions, slots, lengths and tables there.
# 2. **Shapes are fixed.** A graph of 4 rows computes 4 rows. The lengths of the sequences may change, because the
#    attention kernel reads them from a tensor (lesson 08). The *number* of sequences may not: it is the size of the grid.
# 3. **Nothing is decided in Python.** An `if` that looks at a value was decided once, when the graph was recorded.

# %%
predict("13.stale", "Now `inside = fresh` in place of `inside.copy_(fresh)`, and a replay. What is in `outside`?",
        ["The result for the new numbers", "The result for the old numbers", "An error"], answer=1)

# %%
with torch.inference_mode():
    old, newer = inside.clone(), torch.randn_like(inside)
    inside = newer  # a new name for other memory; the graph knows addresses, not names
    graph.replay()
    print(f"for the new numbers: {torch.allclose(outside, mlp(newer))}; for the old ones: {torch.allclose(outside, mlp(old))}")

# %% [markdown]
# ### Padded batch sizes
#
# So a server records a graph for each of several batch sizes, and a step takes the next size that is large enough. The
# rows in between are **padding**. They must do no harm, and cost little:
#
# - slot −1: its key and value are **written nowhere** (lesson 08: "-1 is padding");
# - length 0: its attention **reads nothing**;
# - the token that is chosen for it belongs to no sequence, and **nobody uses it**.
#
# Here are steps without padding and with it. (`fused` is the model with fused kernels, as the section *Fusing* explains
# it. It computes the same logits.)

# %%
@torch.inference_mode()
def padded_step(run, cache, tables, tokens, size, slot=-1):
    """A decode step of `size` rows; all rows beyond the tables are padding. Returns the logits of the real ones."""
    for table in tables:
        table.append_slots(1)
    cache.begin_step(tables, [1] * len(tables))
    real, more = cache.batch, size - len(tables)
    cache.begin_batch(Batch(F.pad(real.slot_mapping, (0, more), value=slot), F.pad(real.block_tables, (0, 0, 0, more), value=0),
                            F.pad(real.seq_lens, (0, more)), None, True, F.pad(real.positions, (0, more))))
    return run(F.pad(tokens, (0, more)), cache.batch.positions, cache)[: len(tables)]

# %%
results = {}
for size in (2, 4, 8):
    cache, tables, tokens = cached([20, 37])
    untouched = cache.pool.k.clone()
    results[size] = padded_step(fused, cache, tables, tokens, size)
    written = int((cache.pool.k != untouched).flatten(3).any(-1).any(0).sum())
    same = torch.allclose(results[size], results[2], atol=1e-3)
    print(f"{size} rows, {size - 2} of them padding: {written} slots written, the same logits for the two sequences: {same}")

# %% [markdown]
# The padded rows write nothing, and the two sequences get the same logits.
#
# Which sizes? Few sizes mean few graphs, which are quickly captured, and much padding. How much depends on the batches
# that really come. So we take them from a real schedule: ninety requests with prompts and answers of 8 to 60 tokens
# arrive over time, and at most 40 run at once. Each decode step tells how many sequences it had.

# %%
draw, engine = random.Random(3), Engine(model, EngineConfig(max_num_seqs=40, num_blocks=800, max_num_batched_tokens=256, prefix_caching=False))
to_come = [(draw.randint(8, 60), draw.randint(8, 60)) for _ in range(90)]  # tokens of the prompt, of the answer
while to_come or engine.has_unfinished():
    for _ in range(min(len(to_come), draw.choice([0, 0, 1, 3]))):  # so many arrive before this step
        prompt, answer = to_come.pop()
        ids = tokenizer.encode(make_tale(HELD_OUT + prompt, chapters=4).text)[:prompt]
        engine.add_request(ids, SamplingParams(max_tokens=answer, ignore_eos=True))
    engine.step()
schedules = [record for record in engine.trace.records if record["event"] == "schedule"]
batches = [len(record["counts"]) for record in schedules if set(record["counts"]) == {1}]
print(f"{len(schedules)} steps, {len(batches)} of them pure decode, with {min(batches)} to {max(batches)} sequences, "
      f"{sum(batches) / len(batches):.1f} on average")

# %%
predict("13.padding", "One graph for each power of two (1, 2, 4, 8, 16, 32), and one for 40. What share of the computed rows is padding?",
        ["About 5 %", "About 20 %", "About half"], answer=1)

# %%
from course_lib.engine.graphs import batch_sizes

MOST = 40
choices = {"only the largest": [MOST], "powers of two": [1, 2, 4, 8, 16, 32, MOST], "course_lib": batch_sizes(MOST),
           "every size": list(range(1, MOST + 1))}


def size_for(count, sizes):
    return next(size for size in sizes if size >= count)


for name, sizes in choices.items():
    computed = sum(size_for(count, sizes) for count in batches)
    print(f"{name:>16}: {len(sizes):>2} graphs, {1 - sum(batches) / computed:5.1%} of the rows are padding   {sizes if len(sizes) < 9 else ''}")

# %% [markdown]
# Where is the padding? Each decode step in turn: the sequences that it has, and the rows that are computed for them.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained", sharey=True)
for axis, name in zip(axes, ("powers of two", "course_lib")):
    rows = [size_for(count, choices[name]) for count in batches]
    axis.fill_between(range(len(batches)), rows, step="mid", color="#D55E00", alpha=0.35, lw=0, label="padding")
    axis.fill_between(range(len(batches)), batches, step="mid", color="#0072B2", lw=0, label="sequences")
    axis.set(title=name, xlabel="decode step", xlim=(0, len(batches) - 1))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set(ylabel="rows", ylim=(0, MOST + 2))
axes[0].legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# Padding costs less than its share of rows says: the weights are read once for all rows, real or not, and a padded row
# reads no KV. What a graph costs is memory and time at the start. `course_lib` takes 1, 2, 4, then every eighth size up
# to 256, then every 32nd. vLLM takes the same up to 256, and then every 16th (`vllm/config/compilation.py`).

# %%
sizes = batch_sizes(256)
print(f"{len(sizes)} sizes up to 256: {sizes[:7]} … {sizes[-3:]}")
recorded("13", 4)

# %% [markdown]
# The weights had been loaded before this time began, and the kernels compiled by an earlier start. A first start compiles
# them here, with prompts of 1, 2, 4, … tokens too, so no request waits for a compiler. All graphs share one pool of
# memory: the largest is captured first, and the smaller ones take their intermediate tensors from the same memory. They
# may, because the engine runs one graph at a time.
#
# ### The same in `course_lib`

# %%
from course_lib.engine.graphs import DecodeGraphs

show(DecodeGraphs._step)

# %% [markdown]
# The whole step, from token ids to chosen tokens, on the first `size` places of buffers that stay. `self.newest` holds
# the newest token of each sequence on the GPU: it need not go to the CPU and back before the next step begins. A token id
# below 0 says that the token is taken from there. The last row of `self.newest` belongs to no sequence, and padding
# writes its tokens there. Steps with prompts in them have graphs of their own, `engine/prompt_graphs.py`: there the
# tokens of the prompts are padded too.
#
# ## Fusing
#
# In the graph the 776 launches are one, and 776 kernels remain. Each of them loads its numbers from memory and stores its
# result there. To **fuse** kernels is to write one kernel that does the work of several, while the numbers stay in
# registers.
#
# ### Build it
#
# Between two halves of the layers stand two operations: the result of one half is added to the residual, and the sum is
# normed for the next half. As a kernel, one program a token (`delta` is what is added):

# %%
@triton.jit
def add_norm_kernel(hidden_ptr, delta_ptr, weight_ptr, out_ptr, eps, SIZE: tl.constexpr):
    token, at = tl.program_id(0), tl.arange(0, SIZE)
    x = tl.load(hidden_ptr + token * SIZE + at) + tl.load(delta_ptr + token * SIZE + at)
    tl.store(hidden_ptr + token * SIZE + at, x)  # the residual goes on
    x = x / tl.sqrt(tl.sum(x * x, 0) / SIZE + eps) * tl.load(weight_ptr + at)
    tl.store(out_ptr + token * SIZE + at, x)


def my_add_norm(hidden, delta, weight, eps):
    """hidden += delta, in place; returns the RMSNorm of the sum."""
    out = torch.empty_like(hidden)
    add_norm_kernel[(len(hidden),)](hidden, delta, weight, out, eps, SIZE=hidden.shape[1])
    return out

# %%
hidden, delta = torch.randn(2, 3, 256, device=model.device)
weight = model.model.norm.weight
summed = hidden + delta
expected = F.rms_norm(summed, weight.shape, weight, 1e-5)
if machine.triton != "absent":
    mine = my_add_norm(hidden, delta, weight, 1e-5)
    print("norm:", torch.allclose(mine, expected, atol=1e-5), "· residual:", torch.equal(hidden, summed))

# %%
predict("13.fuse", "Bytes of `hidden + delta` and the norm, apart and fused (without the norm's weight). What does fusing save? "
        "A pass is one tensor, read or written once.",
        ["One pass of five: the sum is not read again", "Half of them", "Nothing: all of it must be read and written"], answer=0)

# %%
passes = {"apart": {"add": ["read hidden", "read delta", "write sum"], "norm": ["read sum", "write out"]},
          "fused": {"add and norm": ["read hidden", "read delta", "write sum", "write out"]}}
size = 1024 * 2  # one token of Qwen3-0.6B in bfloat16
for name, kernels_ in passes.items():
    moved = sum(map(len, kernels_.values()))
    print(f"{name}: {len(kernels_)} launches, {moved} passes, {moved * size:,} bytes a token and layer half, "
          f"{moved * size / BANDWIDTH * 1e9:.1f} ns at full bandwidth")

# %% [markdown]
# For one token these bytes take nanoseconds. How long does a small kernel take? From the recorded step of one sequence,
# the kernels that are launched once, or once a layer:

# %%
for name, _, _, us, launches, _ in steps_now()[0]["kernels"]:
    if launches == 28 or launches == 1:
        print(f"{name:>30}: {us / launches:.1f} µs each")

# %% [markdown]
# Even the shortest kernel takes more than a microsecond, hundreds of times what the bytes of one token take. So with few
# tokens fusing saves *kernels*. With thousands of tokens it saves bytes: 0.5 ns a token are microseconds then.
#
# `course_lib` fuses a layer of this model into seven kernels for up to 4 sequences:

# %%
show(FusedTransformer._few_tokens)

# %% [markdown]
# `few_rows` norms its input, multiplies, and adds to the residual or computes the gate, all in one kernel. Four of the
# seven kernels are `few_rows`. The other three are in `_attend`: `rotary_store` norms q and k, rotates them, and writes k
# and v to their slots; then come attention and its merge. q, k and v are one product, and so are gate and up: their
# weights are *merged*, and those of the plain model become views of the merged ones, so no second copy stays in memory.
#
# The same logits, and how many launches? On `meta` again. This time the fused kernels are counted and return empty
# tensors:

# %%
logits = [one_decode_step(run, *cached([300])) for run in (model, fused)]
print("the logits of the plain model:", torch.allclose(*logits, atol=1e-3))

counter = Launches()
large_fused = FusedTransformer(large, CountedKernels(counter.count, qwen))
with torch.inference_mode(), counter:
    large_fused(token, token, CountedAttention(counter.count, large))
print(f"{counter.count.total()} launches in place of about {round(plain.total(), -1)}:",
      ", ".join(f"{count} {name}" for name, count in counter.count.most_common()))

# %% [markdown]
# The recorded step has 208: these, the kernels that choose the token, some copies, and small kernels of torch around
# them. Here is your machine again, plain and fused. On a CPU the fused pieces are their **twins**, the same thing in
# plain torch operations. So nothing gets faster here, and the fused step may even take longer. What you can see is the
# structure: how many pieces a layer has, and which. The small operations are highlighted.

# %% tags=["nbval-ignore-output"]
both = step_strip([row, own_row("FusedTransformer", fused)], title="Plain and fused, here",
                  subtitle="tale, one sequence of 300 tokens; recorded live")
both.step, both.selected = both.last, "small"
both

# %% [markdown]
# A layer of the second row has one small piece, `rotary_store`. (On a CPU attention and its merge are one piece, so there
# are six.)
#
# ## Products of few rows
#
# In row 2 of the first strip the products took 1.27 ms, 4.2 times the limit. Why does torch's product (cuBLAS) leave
# more than three quarters of the bandwidth unused? One reason is the number of programs.
#
# A kernel for products cuts the *output* into tiles, and gives each tile to one program. With thousands of rows there are
# enough tiles. With one row the output of the q/k/v product is 1 × 4,096. How many programs does that give, for 132
# multiprocessors?

# %%
SMS = 132  # multiprocessors of an H100 or H200
shapes = {"q, k, v": (4096, 1024), "o": (1024, 2048), "gate, up": (6144, 1024), "down": (1024, 3072)}
print(f"{'product':>9} {'weight, MB':>11} {'limit, µs':>10} {'tiles of 64 columns':>20} {'few_rows programs':>18}")
for name, (n, k) in shapes.items():
    padded = 1 << (k - 1).bit_length()
    rows = max(1, min(16, 16_384 // padded // (2 if name == "gate, up" else 1)))  # weight rows of a program, as in few_rows
    programs = -(-(n // 2 if name == "gate, up" else n) // rows)
    print(f"{name:>9} {2 * n * k / 1e6:>11.1f} {2 * n * k / BANDWIDTH * 1e6:>10.2f} {n // 64:>20} {programs:>18}")

# %% [markdown]
# With tiles of 64 columns, the o product is 16 programs, and 116 of 132 multiprocessors have nothing to read. A library
# may let several programs share a tile. Each takes a part of the numbers that are multiplied and summed for an output,
# and another kernel adds the parts (**split-K**, K being the length of these sums; the recorded step of 64 sequences,
# below, has a `splitKreduce_kernel`).
#
# `few_rows` gives a program some whole rows of the *weight*, and asks for all of them at once; the last column has its
# programs. Then it multiplies and sums, without matrix units.
#
# ### Build it

# %%
@triton.jit
def one_row_kernel(x_ptr, w_ptr, out_ptr, K: tl.constexpr, ROWS: tl.constexpr):
    rows, at = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, K)
    w = tl.load(w_ptr + rows[:, None] * K + at[None, :])  # whole rows of the weight: ROWS * K loads at once
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + rows, tl.sum(w * x[None, :], 1))


x, w = torch.randn(256, device=model.device), torch.randn(640, 256, device=model.device)
out = torch.empty(640, device=model.device)
if machine.triton != "absent":
    one_row_kernel[(640 // 16,)](x, w, out, K=256, ROWS=16)
    print("the same as torch:", torch.allclose(out, w @ x, atol=1e-4))

# %% [markdown]
# `few_rows_kernel` in `models/kernels/products.py` is this, with up to 4 rows of x, the norm before and what comes after.
# It loads its weights *before* it waits for the kernel before it. For this model the engine takes other products from 5
# rows on, and for larger models sooner.
#
# How fast does a product read its weights on this machine, with one thread of a CPU? The last column compares it with the
# sum over 64 MB above.

# %%
predict("13.rows", "On your machine: a product of 4 rows with a 64 MB weight, against a product of 1 row. How long does it take?",
        ["About as long", "About 4 times as long"])

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)
w = large_weight
for rows in (1, 4, 16, 64):
    x = torch.randn(rows, 4096, device=model.device)
    t = best_seconds(lambda: F.linear(x, w))
    print(f"{rows:>3} rows: {t * 1e3:6.2f} ms, {w.nbytes / t / 1e9:5.1f} GB/s of weights, {w.nbytes / t / read:4.0%} of the sum")
torch.set_num_threads(threads)

# %% [markdown]
# A CPU does few operations a second, so more rows soon cost more time. (With one row the share can be above 100 %: then
# a product reads faster than the sum. With 4 rows the time can lie between the two guesses: compare the first two
# lines.) On a GPU reading the weights stays the limit for longer (lesson 09): in the steps below, the products of 64
# sequences take less than twice the time of those of one.
#
# ## All four batch sizes
#
# The engine of this lesson's end, with 1, 8, 64 and 256 sequences. Select a colour by clicking on it. (Hatched is the
# rest of the step: no kernel runs, or one that the recording does not list.)
#
# - At which sizes do the products take the most time, and what takes their place at the others?
# - At which size is the step farthest from its limit, and which part is above the limit by itself?

# %%
now = step_strip(steps_now(), title="Decode steps now", subtitle=f"{card}, Qwen3-0.6B's shape, 843 tokens a sequence; recorded")
now.step = now.last
now

# %% [markdown]
# In the table, *ms* is the time of a step in the running engine, *of the limit* is the limit divided by it, and *the GPU
# alone* is the graph of a later step, replayed by itself. The sequences were some tokens longer then, so it can be above
# *ms*.

# %%
recorded("13", 1)

# %%
for step in steps_now():
    took = parts(step)
    for what, kind in (("products", "weights"), ("attention", "attention")):
        print(f"{step['name']:>13}, {what:>9}: {took[kind] / 1e3:.2f} ms, {took[kind] / step['limit']:.1f} times the limit, "
              f"{took[kind] / step['took']:.0%} of the step")

# %% [markdown]
# - **1 sequence.** The products are most of the step, and take longer than the limit by themselves.
# - **8 sequences.** The same, and this step is the farthest from its limit, at 35 % of it.
# - **64 sequences.** Attention is the largest part, and takes as long as the limit by itself.
# - **256 sequences.** Four fifths of it are attention. Products and choosing are small beside it.
#
# ## Choosing tokens
#
# At T = 0.6 the engine before this lesson chose row by row: softmax, filter, draw. Now two kernels choose for all rows,
# `scan_kernel` and `pick_kernel` in the list of kernels under *Fusing*. They need random numbers that do not depend on
# the order in which rows are computed.
#
# A generator has a **state**, which each draw changes.

# %%
predict("13.company", "Two sequences draw from one torch.Generator, seed 0, in turn. Does the first draw the same numbers as alone?",
        ["Yes, the seed is the same", "No: every second number went to the other one"], answer=1)

# %%
generator = torch.Generator().manual_seed(0)
alone = [round(torch.rand(1, generator=generator).item(), 3) for _ in range(4)]
generator = torch.Generator().manual_seed(0)
turns = [round(torch.rand(1, generator=generator).item(), 3) for _ in range(8)]
print("alone:     ", alone)
print("in company:", turns[::2])

# %% [markdown]
# A sequence's numbers depend on which other sequences draw. Other people's requests would change your text.
#
# ### Build it
#
# A **counter-based** generator has no state. The number is a function of what it is for: the sequence's seed, the
# position of the token that is chosen, and the candidate token. The function mixes the bits so well that the outcome
# looks random.
#
# From these numbers a token is drawn like this. Each candidate draws a waiting time from an exponential distribution, and
# divides it by its probability, so a likelier token waits for a shorter time. The first one, with the smallest `waiting /
# probability`, is chosen. The code looks for the largest `probability / waiting`, which is the same token. The chance of
# each to be the first is exactly its probability, and no running sum over the vocabulary is needed: only a largest value,
# which can be found for many rows at once.

# %%
MASK = 0xFFFFFFFF


def mix(x):
    """Scrambles 32-bit words, held in int64. The constants are those of "lowbias32", by Ch. Wellons."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & MASK
    return x ^ (x >> 16)


def waiting_times(seed, position, vocab_size):
    """One exponential number for each token; a function of (seed, position, token)."""
    key = mix(mix(torch.tensor(seed)) ^ position)
    bits = mix(mix(torch.arange(vocab_size) ^ key) + 0x9E3779B9 & MASK)
    return -torch.log1p(-(bits.double() + 0.5) / 2**32)


def draw_token(probabilities, seed, position):
    return int((probabilities / waiting_times(seed, position, len(probabilities))).argmax())


probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
drawn = Counter(draw_token(probabilities, seed, position) for seed in range(40) for position in range(100))
print("shares of 4,000 draws:", [round(drawn[token] / 4000, 3) for token in range(4)])

# %% [markdown]
# The shares are close to the probabilities.
#
# ### The same in `course_lib`

# %%
from course_lib.decoding import counter_rng

show(counter_rng.exponential)

# %% [markdown]
# Added here: two words of key, a seed of 64 bits, float32 numbers that come out alike on a CPU and in the Triton kernel
# (`decoding/choosing_kernel.py`), and many rows at once. And the test of all of it: a request with a seed, alone and
# among others, at T = 0.8.

# %%
def openings(count):
    return [tokenizer.encode(make_tale(HELD_OUT + i, chapters=4).text)[:12] for i in range(count)]


hot = [SamplingParams(temperature=0.8, top_p=0.95, max_tokens=24, seed=100 + i) for i in range(8)]
small = dict(num_blocks=200, max_num_seqs=8, prefix_caching=False)
alone = [Engine(model, EngineConfig(**small), trace=False).generate([ids], its)[0].token_ids for ids, its in zip(openings(8), hot)]
together = [output.token_ids for output in Engine(model, EngineConfig(**small), trace=False).generate(openings(8), hot)]
print("the same alone and in company:", alone == together)

# %% [markdown]
# ## While the GPU computes
#
# Before a step the CPU schedules, prepares and launches; after the step it takes the tokens and updates its counts. If
# CPU and GPU work in turn, each waits for the other. But what does the CPU need to know to schedule step k + 1? It needs
# to know which sequences run and how long they are, and both are known *before* step k has ended. Only the token ids are
# missing, and the GPU already has them.
#
# ### Build it
#
# Two clocks, one for each. In turn, and overlapped:

# %%
def finished(cpu_ms, gpu_ms, steps, overlap):
    """When the last of `steps` steps ends. A step is prepared on the CPU, then it runs on the GPU."""
    cpu = gpu = 0.0
    for _ in range(steps):
        cpu = (cpu if overlap else max(cpu, gpu)) + cpu_ms  # in turn: only once the step before has ended
        gpu = max(cpu, gpu) + gpu_ms
        if overlap:
            cpu = max(cpu, gpu - gpu_ms)  # one step ahead, and no further
    return gpu


for cpu_ms, gpu_ms in ((0.1, 0.7), (0.5, 0.7), (1.0, 0.7)):
    in_turn, ahead = finished(cpu_ms, gpu_ms, 100, False) / 100, finished(cpu_ms, gpu_ms, 100, True) / 100
    print(f"CPU {cpu_ms} ms, GPU {gpu_ms} ms: {in_turn:.2f} ms a step in turn, {ahead:.2f} ms overlapped")

# %% [markdown]
# Overlapped, a step takes about the larger of the two times, not their sum. There is one price: the end of a sequence by
# a **stop token** is noticed one step late. One token more is computed for it, and thrown away.

# %%
predict("13.async", "Overlapped against in turn: which of these can change for a request?",
        ["Its tokens", "Only when its outputs arrive, and how many tokens are computed in all", "Nothing at all"], answer=1)

# %%
def served(**switches):
    """All tokens, the tokens that were computed, and the calls of step()."""
    engine, calls, outputs = Engine(model, EngineConfig(**small, **switches), trace=False), 0, {}
    for ids, its in zip(openings(8), hot):
        engine.add_request(ids, its)
    while engine.has_unfinished():
        outputs |= {output.request_id: output.token_ids for output in engine.step()}
        calls += 1
    return outputs, engine.metrics.num_scheduled_tokens, calls


runs = {"in turn": served(async_scheduling=False), "overlapped": served(async_scheduling=True),
        "eager, overlapped": served(async_scheduling=True, enforce_eager=True)}
for name, (outputs, computed, calls) in runs.items():
    print(f"{name:>18}: the same tokens: {outputs == runs['in turn'][0]}, {computed} tokens computed, {calls} calls of step()")

# %% [markdown]
# No request here ends by a stop token, so the same number is computed. The overlapped engine needs one call more,
# because the first one returns nothing. (`enforce_eager=True`, the same name as in vLLM, turns graphs and fused kernels
# off. On a CPU it changes nothing.) Now a token that occurs often in these texts is made a stop token:

# %%
often = Counter(token for tokens in together for token in tokens[4:20]).most_common(1)[0][0]
hot = [SamplingParams(temperature=0.8, top_p=0.95, max_tokens=24, seed=100 + i, stop_token_ids=(often,)) for i in range(8)]
stopped = {name: served(async_scheduling=name == "overlapped") for name in ("in turn", "overlapped")}
ended = sum(tokens[-1] == often for tokens in stopped["in turn"][0].values())
print(f"{ended} of 8 end by the stop token; the same tokens: {stopped['in turn'][0] == stopped['overlapped'][0]}; "
      f"computed: {stopped['in turn'][1]} in turn, {stopped['overlapped'][1]} overlapped")

# %% [markdown]
# The tokens are the same, and one token more is computed for each sequence that ends by the stop token.
#
# ### The same in `course_lib`
#
# The overlap is the queue `_in_flight` in `Engine._step`, which lesson 10 shows: a step is put there once it is launched.
# With overlap, the first call returns at once, and each later one waits for the step *before* the one that it has just
# launched.
#
# ## Memory before blocks
#
# Graphs, logits and **activations** (the results of the operations inside a step) need memory too. A server that gives
# all free memory to the KV cache has none left for them. So it first finds out what a step needs, and makes the pool
# from what is left (`gpu_memory_utilization`). The course's engine runs the largest possible step once and reads the
# peak, as vLLM's profile run does: `engine/step_memory.py`. Without a GPU we can count weights, activations and logits:

# %%
GB, budget, most = 1e9, 16_384, 256  # max_num_batched_tokens, max_num_seqs
weights = 2 * qwen.num_parameters
activations = 2 * budget * (3 * qwen.intermediate_size + 2 * qwen.hidden_size)  # gate, up, their product; residual, what is added
logits = most * qwen.vocab_size * (2 + 4)  # in bfloat16, and scaled in float32
print(f"weights {weights / GB:.2f} GB, activations {activations / GB:.2f} GB, logits {logits / GB:.2f} GB")
for name, total in (("T4, 16 GB", 16 * GB), ("L4, 24 GB", 24 * GB), ("H100, 80 GB", 80 * GB), ("H200, 141 GB", 141 * GB)):
    left = 0.9 * total - weights - activations - logits
    blocks = left / (16 * kv_bytes_per_token(qwen, torch.bfloat16))
    print(f"{name:>13}: 90 % of it less these leaves {left / GB:5.1f} GB, {blocks:>7,.0f} blocks of 16 tokens")

# %% [markdown]
# ## Prefill on Hopper
#
# A prompt can have thousands of tokens. Then arithmetic is the limit of its products (lesson 02), and its attention
# does many more operations for each byte than that of a decode step (lesson 06). The course's kernel for Hopper
# (`attention/kernels/hopper.py`) is written in **Gluon**, the lower level of Triton, where one says which warps do
# what:
#
# - one warp loads tiles of K and V by the **TMA**, a unit that copies a whole tile by one instruction;
# - two groups of four warps compute, each on 64 rows of queries: one can be in its softmax while the other uses the
#   matrix units;
# - the scores of the next tile are begun before the product with the last V has ended.
#
# One program runs on each multiprocessor and takes the next tile of queries from a counter that all share, because
# tiles near the beginning of a sequence meet few keys: with a fixed plan some programs would wait for others.
# `attention/tiles.py` has the speeds beside the Triton kernel of lesson 07's kind, and
# `benchmarks/results/attention_h200.json` those beside cuDNN.
#
# ## Another chip, other tiles
#
# A tile that is right for one GPU does not fit another. Two numbers of a chip decide: how much **shared memory** a
# program may take, and how many **multiprocessors** there are to keep busy.
#
# ### Build it
#
# A program of flash attention holds a tile of queries, and K and V tiles for each **stage** (the one in use, and those on
# their way).

# %%
from course_lib.attention.tiles import SHARED_MEMORY, decode_splits, flash_tile

CHIPS = {"T4": ("sm_75", 40), "A100": ("sm_80", 108), "L4": ("sm_89", 58), "H100": ("sm_90", 132), "B200": ("sm_100", 148),
         "MI300X": ("gfx942", 304)}  # target and multiprocessors (AMD: compute units), from the vendors' data sheets


def shared_bytes(block_m, block_n, stages, head_dim, itemsize=2):
    return (block_m + 2 * stages * block_n) * head_dim * itemsize


def my_tile(limit, head_dim):
    """The tile that fits and has the largest queries × keys; of those, the one with the most stages."""
    tiles = [(m, n, s) for m in (128, 64, 32, 16) for n in (128, 64, 32, 16) for s in (3, 2, 1)]
    return max((tile for tile in tiles if shared_bytes(*tile, head_dim) <= limit), key=lambda tile: (tile[0] * tile[1], tile[2]))


# %%
predict("13.tiles", "A tile of 128 queries and 128 keys with 3 stages, heads of 128, bfloat16: on which of these does it fit?",
        ["On all six", "On H100 and B200 only", "On none"], answer=1)

# %%
wish = shared_bytes(128, 128, 3, 128)
print(f"the tile needs {wish:,} bytes\n")
print(f"{'':>7} {'':>14} {'':>5}  {'queries × keys, stages':^34}  {'parts of a sequence':>20}")
print(f"{'chip':>7} {'shared memory':>14} {'fits':>5}  {'largest that fits':>18}  {'course_lib':>14}  {'of 65,536 tokens':>20}")
for name, (target, sms) in CHIPS.items():
    limit, tile = SHARED_MEMORY[target], flash_tile(target, 128, 2)
    found = "{} × {}, {}".format(*my_tile(limit, 128))
    ours = f"{tile.block_m} × {tile.block_n}, {tile.num_stages}"
    print(f"{name:>7} {limit:>14,} {'yes' if wish <= limit else 'no':>5}  {found:>18}  {ours:>14}  {decode_splits(1, 8, 65_536, sms):>20}")

# %% [markdown]
# Shared memory is an upper bound, not the whole answer: `course_lib`'s tiles are smaller on some of these chips
# (`attention/tiles.py` has them). The last column follows from the second number: a decode step of one sequence with 8 KV
# heads is 8 programs, split into parts (lesson 08). Chips with more multiprocessors get more parts here, up to 64.
#
# The tiles go to the **matrix units**, which multiply small matrices in one instruction. Which instruction is that? We
# compile one product of 64 × 64 for each chip, and look for it:

# %%
import re

from course_lib.attention.kernels.compiled_for import compile_for


@triton.jit
def product_kernel(a_ptr, b_ptr, out_ptr, SIZE: tl.constexpr):
    row, column = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    a, b = tl.load(a_ptr + row * SIZE + column), tl.load(b_ptr + row * SIZE + column)
    tl.store(out_ptr + row * SIZE + column, tl.dot(a, b))


MATRIX = r"\b(mma\.sync|wgmma\.mma_async|tcgen05\.mma|v_mfma)"
if machine.triton != "absent":
    types = {"a_ptr": "*fp16", "b_ptr": "*fp16", "out_ptr": "*fp32"}
    for name, made in zip(CHIPS, compile_for(product_kernel, [target for target, _ in CHIPS.values()], types, {"SIZE": 64})):
        print(f"{name:>7}: {', '.join(sorted(set(re.findall(MATRIX, made.code)))) or 'none'}")

# %% [markdown]
# The source is the same for all; Triton picks the instruction. For the T4 it makes none, and there the course's engine
# computes prompts through torch.
#
# Do our two kernels compile for chips that are not here? Triton brings the compilers for NVIDIA and AMD along.

# %% tags=["nbval-ignore-output"]
pointers = ("hidden", "delta", "weight", "out")
targets = [target for target, _ in CHIPS.values()]
names = {target: name for name, (target, _) in CHIPS.items()}
if machine.triton != "absent":
    norms = compile_for(add_norm_kernel, targets, {f"{p}_ptr": "*fp16" for p in pointers} | {"eps": "fp32"}, {"SIZE": 1024})
    rows = compile_for(one_row_kernel, targets, {f"{p}_ptr": "*fp16" for p in ("x", "w", "out")}, {"K": 1024, "ROWS": 16})
    for norm, row in zip(norms, rows):
        wide = ("buffer_load_dwordx4", "global_load_dwordx4") if norm.chip.startswith("gfx") else ("ld.global.v4",)
        loads = sum(row.code.count(kind) for kind in wide)  # a thread loads 16 bytes with each
        print(f"{names[norm.chip]:>7} {norm.chip:>7}: add_norm {len(norm.code.splitlines()):,} lines of assembly; one_row {len(row.code.splitlines()):,} lines "
              f"with {loads} loads of 16 bytes, {row.shared:,} of {row.limit:,} bytes of shared memory")

# %% [markdown]
# Both compile for all six. Sixteen rows of 1,024 numbers are 16 loads of 16 bytes for each of 128 threads, and x is one
# more. (On the MI300X a program of four warps has 256 threads, and 8 loads are enough.)
#
# The course's tests compile the library's kernels for attention, for the fused model and for choosing tokens, with the
# tiles of its tables, for these chips and the RTX 5090, and hold each to its chip's shared memory
# (`tests/kernels_compile`). **What was run:** the attention kernels ran on H100 and H200, the fused kernels and the
# graphs on H200. **What was not run:** on a T4, A100, L4, B200 or any AMD GPU they were only compiled. That they
# compile and fit says nothing of their speed there.
#
# ### NVIDIA, AMD, Intel, ASICs: what changes
#
# The words of each vendor, to read its documents. Nothing in this table was measured here:
#
# | | a program runs on | its fast memory | how one writes for it | the course |
# |---|---|---|---|---|
# | NVIDIA | a multiprocessor, as a block of warps | shared memory | CUDA, CUTLASS, Triton, Gluon | run on H100, H200; compiled for five more |
# | AMD Instinct | a compute unit, as a workgroup of wavefronts | LDS | HIP, Composable Kernel, AITER, Triton | compiled for MI300X, not run |
# | Intel GPU | an Xe core, as a work-group | SLM | SYCL, oneDNN; Triton by Intel's own backend | not tried |
# | TPU, Trainium, Gaudi | planned by the compiler of the vendor | scratch memory | XLA and Pallas; NKI; Gaudi's graph compiler | out of reach of Triton |
#
#
# ## Who keeps what where
#
# Everything that you have built in this course exists in other servers. Each path was looked up in the public repository,
# in November 2026; a dash says that we found no such part. First the two that are developed today. A path that begins
# with `/` is below the repository itself. The others of vLLM are below `vllm/`. Those of TensorRT-LLM are below
# `cpp/tensorrt_llm/`; there `pyexecutor/` is below `tensorrt_llm/_torch/`, and `docs/` is `docs/source/`.
#
# | built here | vLLM | TensorRT-LLM |
# |---|---|---|
# | blocks and free list (04) | `v1/core/block_pool.py` | `batch_manager/kvCacheManager.cpp` |
# | sequences and tables (04) | `v1/core/kv_cache_manager.py` | `pyexecutor/resource_manager.py` |
# | prefix cache, eviction (05) | `v1/core/kv_cache_utils.py` | `docs/advanced/kv-cache-reuse.md`, `batch_manager/evictionPolicy.cpp` |
# | paged decode (08) | `v1/attention/ops/triton_unified_attention.py` | `kernels/decoderMaskedMultiheadAttention/` |
# | store into slots (08) | `/csrc/cache_kernels.cu` | `kernels/unfusedAttentionKernels/unfusedAttentionKernels_2_template.h` |
# | merge of parts (08) | `v1/attention/ops/merge_attn_states.py` | in the decode kernel |
# | schedule, budget, chunks (10, 11) | `v1/core/sched/scheduler.py` | `batch_manager/capacityScheduler.cpp`, `microBatchScheduler.cpp` |
# | graphs, padded sizes | `compilation/cuda_graph.py`, `/docs/design/cuda_graphs.md` | `pyexecutor/cuda_graph_runner.py` |
# | norm with residual | `/csrc/layernorm_kernels.cu` | `kernels/rmsnormKernels.cu` |
# | QK-norm with rotation | `/csrc/fused_qknorm_rope_kernel.cu` | `kernels/fusedQKNormRopeKernel.cu` |
# | products of few rows | `/csrc/rocm/skinny_gemms.cu` (AMD) | `kernels/weightOnlyBatchedGemv/cudaCoreGemm.cu` |
# | choosing tokens | `v1/sample/ops/topk_topp_sampler.py` | `kernels/samplingTopPKernels.cu` |
# | overlap | `v1/core/sched/async_scheduler.py` | `docs/features/overlap-scheduler.md` |
# | memory before blocks | `v1/worker/gpu_worker.py` | `pyexecutor/_util.py` |
#
# And two older ones. Paths of DeepSpeed are below `deepspeed/inference/v2/`; `mii/` is in the repository DeepSpeed-MII.
# Those of FasterTransformer, which became TensorRT-LLM, are below `src/fastertransformer/`. It has no pages, and a batch
# stays together to its end.
#
# | built here | DeepSpeed (FastGen) | FasterTransformer |
# |---|---|---|
# | blocks and free list | `ragged/blocked_allocator.py` | – |
# | sequences and tables | `ragged/ragged_manager.py`, `ragged/kv_cache.py` | – |
# | decode attention | `kernels/ragged_ops/blocked_flash/` | `kernels/decoder_masked_multihead_attention/` |
# | rotation and store | `kernels/ragged_ops/linear_blocked_kv_rotary/` | `kernels/unfused_attention_kernels.cu` |
# | schedule | `scheduling_utils.py`, `mii/batching/ragged_batching.py` | – |
# | graphs | `/deepspeed/model_implementations/features/cuda_graph.py` (first engine) | – |
# | norm | `kernels/core_ops/cuda_rms_norm/rms_norm_cuda.cu` | `kernels/layernorm_kernels.cu` |
# | products | `kernels/core_ops/cuda_linear/` (weights of 6 bits) | `utils/gemm_test/` (tries the algorithms of cuBLAS) |
# | choosing tokens | `mii/batching/generation/samplers.py` | `kernels/sampling_topp_kernels.cu` |
# | memory | `ragged/manager_configs.py` (a fixed amount is kept free) | – |
#
# ## Measure: whole runs
#
# The counts are above: about 740 launches became 198, and with a graph one. Now the time, first on your machine, without
# and with overlap, on one thread. On a CPU this changes little or nothing, because it has no launches to save and no
# second processor to overlap with.

# %% tags=["nbval-ignore-output"]
greedy = SamplingParams(max_tokens=32, ignore_eos=True)
switches = {"eager, in turn": dict(async_scheduling=False, enforce_eager=True), "overlapped": dict(async_scheduling=True)}
engines = {name: Engine(model, EngineConfig(**small, **its), trace=False) for name, its in switches.items()}
best = dict.fromkeys(engines, float("inf"))
torch.set_num_threads(1)  # threads would wait for each other where the machine is busy
for _ in range(4):  # the first one warms up
    for name, engine in engines.items():
        best[name] = min(best[name], best_seconds(lambda: engine.generate(openings(8), greedy), tries=1))
torch.set_num_threads(threads)
for name, t in best.items():
    print(f"{name:>15}: {1e3 * t / 32:5.2f} ms a step of 8 sequences")

# %% [markdown]
# And on an H200, all together, beside vLLM 0.24 on the same card. U(100, 1024) says that each length is drawn uniformly
# from 100 to 1,024 tokens. The one request has 512 to 1,024 tokens, 768 on average.

# %%
print(f"the limit for one sequence of 768 tokens: {1e3 / limit_ms(1, 768):,.0f} tokens a second")
speeds = {}
for workload, engine, speed in recorded("13").tables[3][2]:
    speeds.setdefault(workload, {})["vLLM" if "vLLM" in engine else "course"] = speed  # of two runs of vLLM the second
for workload, found in speeds.items():
    if "vLLM" in found:
        print(f"{workload}: {found['course'] / found['vLLM']:.2f} times vLLM's tokens a second")
recorded("13", 3)

# %% [markdown]
# (Both had random weights in bfloat16 and the same requests. vLLM ran as its class `LLM`, with CUDA graphs, its engine in
# the calling process and no text made of the tokens. Only the course was measured with top-p, and greedily with 256
# requests.) With few sequences the limit is still far away: the table under *All four batch sizes* has one sequence at
# 41 % of it and eight at 35 %.
#
# ## Break it
#
# A padded row with slot 0 in place of −1. Slot 0 is a real place: the first token of the sequence that holds block 0.

# %%
predict("13.slot", "Two sequences, two padded rows, slot 0 in place of −1. What happens?",
        ["An error", "Nothing: length 0 means that nothing is read", "The sequence that holds block 0 gets another key for its first token"], answer=2)

# %%
for slot in (-1, 0):
    cache, tables, tokens = cached([20, 37])
    texts = [[int(token)] for token in tokens]
    for _ in range(9):
        tokens = padded_step(fused, cache, tables, tokens, 4, slot).argmax(-1)
        for text, token in zip(texts, tokens.tolist()):
            text.append(token)
    for table, text in zip(tables, texts):
        print(f"slot {slot:>2}, blocks {str(table.block_ids):>9}: …{tokenizer.decode(text).strip()}")

# %% [markdown]
# One wrong number, and the sequence that holds block 0 reads the key of a padded row in every later step. No error is
# raised, the other sequence is right, and a batch size that needs no padding has no padded row that could write. So test
# an engine at sizes that lie *between* the captured ones, and compare its tokens with those of `generate_naive`.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("13")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. A step takes 3 ms, its limit is 0.6 ms, and the profile shows kernels that add up to 0.9 ms. What do you do first?</b></summary>
#
# 2.1 ms pass without a kernel, so launches or the CPU's work are what costs. A graph, or overlap. A faster kernel could
# save 0.3 ms at the most.
# </details>
#
# <details><summary><b>2. Why does a graph for 16 sequences serve sequences of any length?</b></summary>
#
# Lengths, tables and slots are contents of tensors at fixed addresses. The kernel reads them when it runs. The grid must
# not depend on them: the number of parts of a sequence is chosen by the room in the table, not by its length (lesson 08).
# </details>
#
# <details><summary><b>3. A request with a seed is preempted and computed again. Does it draw the same tokens?</b></summary>
#
# Yes, if the logits come out the same. The random numbers are a function of seed, position and token. A generator with a
# state would have moved on.
# </details>
#
# ## Next
#
# [exercises/13_making_it_fast.ipynb](../exercises/13_making_it_fast.ipynb):
# how much of the bandwidth a step uses, which sizes to capture, the fused norm, the counter-based
# random numbers, and tiles for a chip.
