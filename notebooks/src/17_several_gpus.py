# %% [markdown]
# # 17 · Several GPUs
#
# - **You will** cut a model into parts for two GPUs, combine their results with two sums in each layer, count the bytes
#   that are sent, and put several engines behind a router.
# - **Why** a model that is too large for one GPU, or too slow on it, needs several. What they send each other decides
#   whether that helps.
# - **Time** 45 minutes, and an hour and a half for the exercises.
# - **You need** lessons 02, 03, 05 and 11, and the simulator of lesson 12.
# - **After it** you can say which GPU holds what, how many bytes the GPUs send each other for each token, and when more
#   GPUs do not pay.
#
# The one idea: **each GPU holds some heads and some columns, and two sums in each layer put the result together
# again.**
#
# No GPU is needed. A **rank** is one of N processes that share a model, each with a GPU of its own. Here the ranks are
# entries of a list at first, and later two processes on your CPU.

# %% [markdown]
# {{colab}}

# %%
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding import generate_naive
from course_lib.kvcache import ContiguousCache
from course_lib.kvcache.catalogue import GPUS
from course_lib.kvcache.sizes import kv_bytes_per_token
from course_lib.models import ModelConfig, Transformer
from course_lib.models.transformer import rotary_angles
from course_lib.parallel import Shard, load_sharded
from course_lib.recorded import recorded
from course_lib.viz import chart, layer_on_gpus
from course_lib.workload import (Bursts, Feed, Fixed, Lengths, Poisson, SharedPrefixes, Transfer, Uniform, Workload,
                                 roofline, serve_routed)
from course_lib.workload.routers import PrefixAwareRouter
from course_lib.workload.simulate import simulate

# %% tags=["nbval-ignore-output"]
setup()
torch.set_num_threads(1)                                         # the products here are small
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
config = model.config

# %% [markdown]
# ## Two ways to cut a product
#
# A linear layer computes y = x W: a row of x times each column of W. There are two ways to give two GPUs half of W
# each:
#
# - **By outputs**: each GPU has some columns of W and makes some of the outputs. Papers call it *column-parallel*.
# - **By inputs**: each GPU has some rows of W, and the entries of x that these rows are multiplied with. It makes a
#   part of each sum, and the parts have to be added up. Papers call it *row-parallel*.

# %%
torch.manual_seed(0)
x, W = torch.randn(3, 8, dtype=torch.float64), torch.randn(8, 6, dtype=torch.float64)
by_outputs = [x @ W[:, :3], x @ W[:, 3:]]
by_inputs = [x[:, :4] @ W[:4], x[:, 4:] @ W[4:]]
print("by outputs:", [list(part.shape) for part in by_outputs],
      "beside one another:", torch.allclose(torch.cat(by_outputs, 1), x @ W))
print("by inputs: ", [list(part.shape) for part in by_inputs], "added up:", torch.allclose(sum(by_inputs), x @ W))

# %% [markdown]
# In PyTorch the weight of a linear layer is stored as [outputs, inputs]. So a cut by outputs takes *rows* of the
# tensor. This lesson says *by outputs* and *by inputs*: these words mean the same in the formula and in PyTorch.
#
# ### The MLP
#
# The feed-forward network of a layer (lesson 01) is also called **MLP**. It has three weights, `gate`, `up` and `down`,
# and computes down(silu(gate(x)) · up(x)). silu is a function of a single number: silu(z) = z · sigmoid(z). Both `gate`
# and `up` are cut by outputs. Then each GPU has a part of the vector in the middle, silu(gate(x)) · up(x).

# %%
predict("17.down", "gate and up are cut by outputs. How is down cut, so that nothing has to be sent in the middle?",
        ["By outputs too", "By inputs", "It makes no difference"], answer=1)

# %%
def mlp(x, gate, up, down):
    """The MLP with weights as PyTorch stores them, [outputs, inputs]."""
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


layer = model.model.layers[0].mlp
gate, up, down = (one.weight.detach().double() for one in (layer.gate_proj, layer.up_proj, layer.down_proj))
x = torch.randn(5, config.hidden_size, dtype=torch.float64)
whole = mlp(x, gate, up, down)
for n in (2, 4):
    parts = [mlp(x, *one) for one in zip(gate.chunk(n, 0), up.chunk(n, 0), down.chunk(n, 1))]
    print(f"{n} GPUs: parts {list(parts[0].shape)}; the sum of the parts is the whole MLP: {torch.allclose(sum(parts), whole)}")

# %% [markdown]
# Each GPU already has the part of the vector that its part of `down` is multiplied with. The activation (silu) works on
# each number alone, so it can be applied to a part. Only the sum at the end is sent.
#
# What if `gate` and `up` are cut by inputs? Then each GPU has a part of each *sum*. The silu of a sum is not the sum of
# the silus, and the product of two sums is not the sum of the products. So the parts of both have to be summed before
# the activation:

# %%
n = 2
sums = [F.linear(part, weight) for part, weight in zip(x.chunk(n, 1), gate.chunk(n, 1))]
print("silu after the sum: ", torch.allclose(F.silu(sum(sums)), F.silu(F.linear(x, gate))))
print("silu before the sum:", torch.allclose(sum(F.silu(one) for one in sums), F.silu(F.linear(x, gate))))
print(f"numbers to be summed for each token: {2 * config.intermediate_size:,} in the middle, and still {config.hidden_size:,} at the end")

# %% [markdown]
# ### Attention
#
# Attention has four weights (lesson 13): the products with `q`, `k` and `v` make the queries, keys and values, and the
# product with `o` comes after attention. A query head needs its own queries and the keys and values of its KV head
# (lesson 03), and no others. So `q`, `k` and `v` are cut by outputs, into whole heads, and each GPU keeps the keys and
# values of its heads in its own cache. `o` takes the outputs of all heads as its inputs: it is cut by inputs, and one
# sum follows. That is **tensor parallel** (Megatron-LM, arXiv 1909.08053): two sums in each layer, one after `o` and
# one after `down`.
#
# ## Build it: a model on a list of ranks
#
# A rank is a smaller `Transformer`: fewer heads, a narrower MLP, a part of the vocabulary. Its weights are parts of the
# whole ones. Only the norms are not cut: a norm works on whole vectors, and after a sum each rank has those.

# %%
CUT = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "gate_proj": 0, "up_proj": 0,        # by outputs: dimension 0
       "o_proj": 1, "down_proj": 1,                                                # by inputs: dimension 1
       "embed_tokens": 0, "lm_head": 0}                                            # the vocabulary


def part(name, weight, rank, n):
    """What a rank holds of a weight. Norms are held by all."""
    dim = next((dim for key, dim in CUT.items() if key in name), None)
    return weight if dim is None else weight.chunk(n, dim)[rank]


def make_ranks(n):
    local = replace(config, num_heads=config.num_heads // n, num_kv_heads=config.num_kv_heads // n,
                    intermediate_size=config.intermediate_size // n, vocab_size=config.vocab_size // n)
    ranks = [Transformer(local) for _ in range(n)]
    for rank, one in enumerate(ranks):
        one.load_state_dict({name: part(name, weight, rank, n) for name, weight in model.state_dict().items()})
    return ranks


ranks = make_ranks(2)
print(f"whole model: {config.num_parameters:,} weights; rank 0: {ranks[0].config.num_parameters:,}, rank 1: {ranks[1].config.num_parameters:,}")

# %% [markdown]
# The norms are held twice; everything else once. Now the forward pass. In `all_reduce` the ranks work together: each
# brings a tensor, and each gets the sum of all. The first sum is that of the embedding. A rank has the vectors of the
# tokens in its part of the vocabulary, and brings zeros for all others:

# %%
sent = []                                                        # the bytes of each tensor that is summed


def all_reduce(parts):
    sent.append(parts[0].nbytes)
    return [sum(parts)] * len(parts)


def embed(rank, number, token_ids):
    """Vectors of the tokens that this rank holds; zeros for the others."""
    here = token_ids - number * rank.config.vocab_size
    own = (here >= 0) & (here < rank.config.vocab_size)
    return rank.model.embed_tokens(here.clamp(0, rank.config.vocab_size - 1)) * own[:, None]

# %% [markdown]
# Two more sums follow in each layer: of the parts after `o`, and of the parts after `down`. Each rank has a KV cache
# for its own heads.

# %%
def after_the_sum(hidden, parts):
    """Adds the parts up over the ranks, and the result to the vectors from before."""
    return [one + total for one, total in zip(hidden, all_reduce(parts))]


@torch.inference_mode()
def forward(ranks, token_ids, positions, caches, add=after_the_sum):
    """The logits of the last token, by ranks that each hold a part of the model and of the KV cache."""
    hidden = all_reduce([embed(rank, number, token_ids) for number, rank in enumerate(ranks)])
    cos, sin = rotary_angles(positions, config)
    for i in range(config.num_layers):
        layers = [rank.model.layers[i] for rank in ranks]
        parts = [layer.self_attn(layer.input_layernorm(h), cos, sin, cache, i)
                 for layer, h, cache in zip(layers, hidden, caches)]
        hidden = add(hidden, parts)                              # after o
        parts = [layer.mlp(layer.post_attention_layernorm(h)) for layer, h in zip(layers, hidden)]
        hidden = add(hidden, parts)                              # after down
    return torch.cat([rank.lm_head(rank.model.norm(h[-1:])) for rank, h in zip(ranks, hidden)], -1)

# %% [markdown]
# Greedy decoding with these ranks, beside `generate_naive` of lesson 01 with the whole model:

# %%
def generate(ranks, prompt, max_tokens, add=after_the_sum):
    caches, ids = [ContiguousCache(rank.config, 256) for rank in ranks], list(prompt)
    start = 0
    for _ in range(max_tokens):
        logits = forward(ranks, torch.tensor(ids[start:]), torch.arange(start, len(ids)), caches, add)
        start = len(ids)
        ids.append(int(logits.argmax()))
    return ids[len(prompt):]


prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived")
wanted = generate_naive(model, prompt, SamplingParams(max_tokens=24, ignore_eos=True))
written = generate(ranks, prompt, 24)
print(repr(tokenizer.decode(written)))
print("the tokens of generate_naive:", written == wanted)

# %% [markdown]
# A sum of two parts can be rounded differently from one long sum, so the last bits of the logits can differ. This
# changes a greedy token only if the two largest logits are that close (lesson 01).
#
# What was summed in the last step, for one token:

# %%
per_step = 1 + 2 * config.num_layers
print(f"{per_step} sums: 1 for the embedding and 2 in each of {config.num_layers} layers, of {sent[-1]:,} bytes each")
print(f"in all {sum(sent[-per_step:]):,} bytes; the weights that each rank read: {4 * ranks[0].config.num_parameters:,} bytes")

# %% [markdown]
# The sums are small beside the weights that are read. At the end each rank has the logits of its own part of the
# vocabulary. They are *gathered*: put beside one another. The bytes of this are not counted above. For a greedy token
# they can be few: each rank sends only its largest logit and the id of that token.
#
# ### See it
#
# One layer of Llama 3 8B on four GPUs. A weight is a box, not to scale: inputs from top to bottom, outputs from left to
# right. A vector has 8,192 bytes: 4,096 numbers of 2 bytes. In an all-reduce each GPU sends 12,288 bytes; "What an
# all-reduce sends", below, says why.

# %%
LLAMA_8B = ModelConfig(vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_layers=32, num_heads=32,
                       num_kv_heads=8, head_dim=128)
SIZES = ("hidden_size", "num_heads", "num_kv_heads", "head_dim", "intermediate_size")
layer_on_gpus(4, **{name: getattr(LLAMA_8B, name) for name in SIZES})

# %% [markdown]
# - Choose a GPU. Which heads does it hold, and what does a token take in its cache?
# - Between which steps does a GPU have no whole vectors? Which two steps bring them back?
#
# ## Break it: the residual is added before the sum
#
# After `o`, and again after `down`, the sum is added to the vectors from before, the *residual*. A rank has both its
# part and these vectors. What if it adds them before the sum, and not after?

# %%
predict("17.residual", "Each of two ranks adds the residual to its part, and then the parts are summed. What is the result?",
        ["The same: addition can be done in any order", "The residual counts twice, and the text goes wrong", "An error: the shapes differ"],
        answer=1)

# %%
def before_the_sum(hidden, parts):
    return all_reduce([one + part for one, part in zip(hidden, parts)])


print("right:", repr(tokenizer.decode(written[:12])))
print("wrong:", repr(tokenizer.decode(generate(ranks, prompt, 12, before_the_sum))))
print("with one rank, the wrong order gives the right tokens:", generate(make_ranks(1), prompt, 12, before_the_sum) == written[:12])

# %% [markdown]
# All shapes are right and nothing is raised, and a test with one GPU does not find the error. The same error happens if
# `o` has a bias and every rank adds it: then it counts once for each rank. Only one rank may add it.
#
# ## What a GPU holds
#
# A GPU needs its query heads, and the KV heads that these read. What if there are more GPUs than KV heads?

# %%
predict("17.kv", "Llama 3 70B has 8 KV heads. From 8 GPUs to 16: what happens to the KV cache of a GPU, for one token?",
        ["It is halved again", "It stays: a KV head is then held by two GPUs", "It cannot be done"], answer=1)

# %%
LLAMA_70B = ModelConfig(vocab_size=128_256, hidden_size=8192, intermediate_size=28_672, num_layers=80, num_heads=64,
                        num_kv_heads=8, head_dim=128)
H100 = GPUS["H100"]


def held(shape, n):
    """(weights in bytes, bytes of a token in the cache, tokens that fit) of a GPU, in bfloat16 on H100s."""
    shard = Shard(shape, 0, n)
    local = shard.local_config()                                 # its own heads and MLP, but the whole vocabulary
    elsewhere = 2 * (shape.vocab_size - shard.vocabulary_rows) * shape.hidden_size      # of the embedding and lm_head
    weights = 2 * (local.num_parameters - elsewhere)
    token = kv_bytes_per_token(local, "bfloat16")
    return weights, token, max(0, int(0.9 * H100.bytes) - weights) // token            # 0.9 of the memory, as in lesson 03


print(f"{'model':>12} {'GPUs':>5} {'weights':>9} {'KV heads':>9} {'a token':>9} {'tokens that fit':>16}")
for name, shape in (("Llama 3 8B", LLAMA_8B), ("Llama 3 70B", LLAMA_70B)):
    for n in (1, 2, 4, 8, 16):
        weights, token, tokens = held(shape, n)
        kv_heads = Shard(shape, 0, n).kv_heads
        print(f"{name:>12} {n:>5} {weights / 1e9:>6.1f} GB {len(kv_heads):>9} {token / 1e3:>6.1f} KB {tokens:>16,}")

# %% [markdown]
# "Weights" and "KV heads" are those of one GPU. "A token" is the bytes that one token takes in the cache of one GPU.
# "Tokens that fit" counts a token once for all GPUs together: each GPU has its own heads of every token. Two GPUs hold
# more than twice as many tokens as one: a token takes half as much on each GPU, and half of the weights leave more
# room. With more GPUs than KV heads, a token takes as much on each GPU as with 8 GPUs, and only the room beside the
# weights still grows.
#
# You write which heads rank r holds in the exercise `17.kv_heads`, where each KV head is listed once. In `course_lib`
# the KV heads are a property of `Shard`. `local_group` is the number of query heads of the rank that share a KV head.
# So the last line takes one query head of each such group, and finds the KV head that it reads:

# %%
show(Shard.kv_heads.fget)

# %% [markdown]
# ## What an all-reduce sends
#
# Each of N GPUs has a tensor, and each needs the sum. If all send to GPU 0, and it sends the sum back, then GPU 0 sends
# and receives N - 1 tensors, while the others wait. A **ring** uses all links at the same time. Cut the tensor into N
# pieces; in each step every GPU sends one piece to the next GPU. In the first N - 1 steps, what arrives is added to the
# GPU's own piece. This half is called **reduce-scatter**. In the other N - 1 steps, what arrives replaces the GPU's own
# piece: **all-gather**.

# %%
n = 4
have = [[{rank} for _ in range(n)] for rank in range(n)]         # have[rank][piece]: whose numbers are in it


def state(title):
    cells = ["  ".join("+".join(map(str, sorted(piece))).ljust(7) for piece in own) for own in have]
    print(f"{title}\n" + "\n".join(f"   GPU {rank}:  {row}" for rank, row in enumerate(cells)))


state("at the start: pieces 0 to 3 of each GPU, and whose numbers are in them")
for s in range(n - 1):                                           # reduce-scatter: what arrives is added
    moving = [set(have[rank][(rank - s) % n]) for rank in range(n)]
    for rank in range(n):
        have[rank][(rank - s - 1) % n] |= moving[rank - 1]
state(f"after {n - 1} steps, reduce-scatter: each GPU has one piece that is complete")
for s in range(n - 1):                                           # all-gather: what arrives replaces
    moving = [have[rank][(rank + 1 - s) % n] for rank in range(n)]
    for rank in range(n):
        have[rank][(rank - s) % n] = set(moving[rank - 1])
state(f"after {n - 1} more, all-gather: everybody has all")

# %%
predict("17.ring", "8 GPUs sum tensors of 1 MB on a ring. How much does each GPU send?",
        ["7 MB: to each of the others", "1.75 MB", "0.125 MB: one piece"], answer=1)

# %%
print(f"8 GPUs: {2 * 7} steps, a piece of 1/8 MB in each: {2 * 7 / 8} MB")
print(f"4 GPUs and a vector of 8,192 bytes, as in the picture: {2 * 3} steps of {8192 // 4:,} bytes: {2 * 3 * 8192 // 4:,} bytes")
counts = list(range(2, 17))
chart("What the busiest GPU sends in an all-reduce, in tensors",
      {"through GPU 0": (counts, [n - 1 for n in counts]), "ring: 2 (N - 1) / N": (counts, [2 * (n - 1) / n for n in counts])},
      x="GPUs", y="tensors sent")

# %% [markdown]
# On a ring each GPU sends less than two tensors, however many GPUs there are. The price is 2 (N - 1) steps, each with
# the latency of a link.
#
# ## When it pays
#
# With N GPUs each reads 1/N of the weights. It also waits for two all-reduces in each layer. Which effect is larger? We
# compute it for Llama 3 8B in bfloat16 on H100s, with the figures of the datasheet (nvidia.com/en-us/data-center/h100):
# memory 3.35 TB/s and 989 TFLOP/s. (The datasheet has twice this figure, for weights of which half are zeros that the
# GPU skips.) The GPUs of a machine are linked by **NVLink**, made for them, with 900 GB/s, or by **PCIe**, made for all
# cards, with 128 GB/s. Both count both directions, so one direction has half of that. The latency of an all-reduce is
# in no datasheet. It was measured on two H200s, which have the same NVLink, in two ways: with **NCCL**, NVIDIA's
# library for all-reduces and the like, and with a kernel in which each GPU writes its numbers into the other's memory
# and then adds. The unit us is a microsecond, 10⁻⁶ s:

# %%
recorded("17", 0)

# %% [markdown]
# The second row has eight times the bytes of the first, and NCCL takes only 13 % longer. So with 8 KB nearly all of the
# time is latency. We take NCCL's time for 8 KB as the latency. We take it for PCIe and for more than two GPUs too,
# although it was not measured there.

# %%
predict("17.pcie", "A prompt of 4,096 tokens on two GPUs over PCIe: how many times as fast as on one?",
        ["Nearly 2 times", "About 1.5 times", "Not faster"], answer=2)

# %%
MEMORY, FLOPS, LINKS = 3.35e12, 989e12, {"NVLink": 450e9, "PCIe": 64e9}


LATENCY = recorded("17").column("NCCL, us")[0]                   # of the smallest message


def step_ms(shape, n, tokens, link, latency_us=LATENCY):
    """(computing, sending) in ms of a run over so many tokens, with the weights on n GPUs."""
    weights = shape.num_parameters - shape.vocab_size * shape.hidden_size      # the embedding is not multiplied
    compute = max(2 * weights / MEMORY, 2 * weights * tokens / FLOPS) / n
    message = tokens * shape.hidden_size * 2
    one = latency_us * 1e-6 + message * 2 * (n - 1) / n / link if n > 1 else 0.0
    return 1e3 * compute, 1e3 * 2 * shape.num_layers * one


latencies = f"{2 * LLAMA_8B.num_layers} latencies of {LATENCY:.1f} us"
print(f"{'ms on two GPUs':>30} {'computing':>10} {'sending the bytes':>18} {latencies:>24}")
for what, tokens in (("decode, 1 token", 1), ("decode, 64 tokens", 64), ("prefill, 4,096 tokens", 4096)):
    for name, link in LINKS.items():
        compute, moved = step_ms(LLAMA_8B, 2, tokens, link, 0)
        _, both = step_ms(LLAMA_8B, 2, tokens, link)
        print(f"{what:>22}, {name:>6} {compute:>10.2f} {moved:>18.3f} {both - moved:>24.2f}")
print(f"the message of one all-reduce: {LLAMA_8B.hidden_size * 2:,} bytes for 1 token, {4096 * LLAMA_8B.hidden_size * 2 / 1e6:.0f} MB for 4,096")

# %% [markdown]
# All columns are times in ms. For one token the bytes take next to no time: an all-reduce is nearly all latency. For a
# long prompt it is the other way round. And with more GPUs:

# %%
gpus = [1, 2, 4, 8]
lines = {}
for what, tokens in (("decode", 1), ("prefill", 4096)):
    for name, link in LINKS.items():
        alone = sum(step_ms(LLAMA_8B, 1, tokens, link))
        lines[f"{what}, {name}"] = gpus, [alone / sum(step_ms(LLAMA_8B, n, tokens, link)) for n in gpus]
print({name: round(speedups[1], 2) for name, (_, speedups) in lines.items()}, "times as fast on two GPUs")
chart("Speed-up of Llama 3 8B by this arithmetic", lines, x="GPUs", y="times as fast",
      reference={"no gain": ("y", 1.0)})

# %% [markdown]
# This is computed and not measured. It assumes that nothing overlaps, that kernels reach the figures of the datasheet,
# and that an all-reduce over more GPUs has the latency of two, although a ring then has more steps. Attention over keys
# and values, the sum of the embedding and the gathering of logits are left out. For the largest message that was
# measured, the arithmetic can be checked:

# %%
_, num_bytes, nccl_us, direct_us = recorded("17").tables[0][2][-1]
print(f"{num_bytes / 1e6:.1f} MB: {LATENCY + 1e6 * num_bytes / LINKS['NVLink']:.0f} us by the arithmetic, {nccl_us:.0f} us by NCCL, "
      f"{direct_us:.0f} us where each GPU writes into the other's memory")

# %% [markdown]
# The arithmetic is between the two. `course_lib` uses the faster way for messages up to this size, if the GPUs can
# reach each other's memory. vLLM has a kernel of this kind too.
#
# By this arithmetic a long prompt gains nothing over PCIe. So tensor parallel is used with NVLink. The decode lines of
# the chart are nearly equal because both links have the same latency here. A network between machines usually has less
# bandwidth and more latency than NVLink. So something that sends less is used there: pipeline parallel, below.
#
# ## Two processes
#
# The same with `course_lib`: two processes, each with its part of `tale`, and sums by `torch.distributed`, whose
# library is gloo on a CPU and NCCL on GPUs. The scheduler runs in one of the processes and sends each step to the
# other. It needs Linux or macOS.

# %%
predict("17.processes", "24 tokens for each of four prompts, by two processes. Are they the tokens of one process?",
        ["Yes, all", "Only of the first prompt", "No: the sums are rounded otherwise"], answer=0)

# %%
prompts = [prompt[:8 + 3 * i] for i in range(4)]
params = SamplingParams(max_tokens=24, ignore_eos=True)
part_of_rank_0, _ = load_sharded("tale", 2, device="cpu", dtype=torch.float32)
print(f"this process holds {sum(weight.numel() for weight in part_of_rank_0.parameters()):,} weights")
seconds = {}


def timed(name, engine):
    outputs = engine.generate(prompts, params)
    start = time.perf_counter()
    engine.generate(prompts, params)
    seconds[name] = time.perf_counter() - start
    return outputs


with Engine(part_of_rank_0, EngineConfig(tensor_parallel=2, num_blocks=64)) as engine:
    outputs = timed("two processes", engine)
part_of_rank_0.ranks.close()                                     # ends the second process, which load_sharded started
print("the tokens of generate_naive:", [o.token_ids for o in outputs] == [generate_naive(model, ids, params) for ids in prompts])

# %% tags=["nbval-ignore-output"]
timed("one process", Engine(model, EngineConfig(num_blocks=64)))
print({name: f"{1e3 * spent / 24:.1f} ms a step" for name, spent in seconds.items()})
more = (seconds["two processes"] - seconds["one process"]) / 24 / per_step
print(f"what two processes take more, for each of {per_step} sums: {1e6 * more:,.0f} us; an all-reduce on two H200s: {LATENCY:.1f} us")

# %% [markdown]
# The tokens are the same: no two largest logits were so close that the rounding mattered.
#
# Two processes were slower here. They can save at most half of the time of one process. But in each of the nine sums of
# a step one process waits for the other, and each step has to be sent. Two processes on a CPU show that the result is
# right, and not what GPUs save.
#
# If you give the engine the model's name, one line is enough, and the engine starts and ends the processes:
# `Engine("tale", EngineConfig(tensor_parallel=2))`. Each process reads its own rows and columns from the file, so none
# of these processes holds the whole model. `Shard.pieces` in `course_lib/parallel/shards.py` says which rows or columns
# these are; `17.shard` is about that.
#
# ## Layers instead of columns: pipeline parallel
#
# The other cut: GPU 0 has the first layers, GPU 1 the next, and so on. At each border the vectors are sent once, not
# twice in each layer. But a token goes through all GPUs, one after the other, so one request is no faster, and while
# one GPU works the others wait for it. So the batch is cut into several **micro-batches**, which follow one another
# through the GPUs. Then all GPUs work, except at the start and the end. The time in which GPUs wait is the *bubble*.

# %%
def pipeline(stages, batches):
    """Which micro-batch each stage has at each time; None: it waits."""
    ends = stages + batches - 1
    return [[at - stage if 0 <= at - stage < batches else None for at in range(ends)] for stage in range(stages)]


figure, axes = plt.subplots(figsize=(8, 2.2))
plan = pipeline(4, 8)
for stage, row in enumerate(plan):
    for at, batch in enumerate(row):
        axes.barh(stage, 0.94, left=at, color="#e9edf1" if batch is None else "#0072b2", height=0.86)
        if batch is not None:
            axes.text(at + 0.47, stage, batch, ha="center", va="center", color="white")
axes.set_yticks(range(4), [f"GPU {stage}" for stage in range(4)])
axes.invert_yaxis()
axes.set_xlabel("time, in micro-batches; grey: the bubble")
_ = axes.set_title("Four GPUs, eight micro-batches", loc="left")

# %%
for batches in (1, 4, 8, 32):
    cells = [cell for row in pipeline(4, batches) for cell in row]
    print(f"4 GPUs, {batches:>2} micro-batches: {cells.count(None) / len(cells):.0%} of the time is bubble")
n, token = 8, LLAMA_70B.hidden_size * 2
print(f"Llama 3 70B on 8 GPUs, each GPU sends for one token: {2 * LLAMA_70B.num_layers * 2 * (n - 1) / n * token / 1e6:.2f} MB "
      f"with tensor parallel, {token / 1e6:.3f} MB with pipeline parallel")

# %% [markdown]
# With more micro-batches, less of the time is bubble. But each micro-batch reads the weights again, so in decode a
# smaller micro-batch is hardly faster (lesson 09).
#
# | | tensor parallel | pipeline parallel | replicas (next section) |
# |---|---|---|---|
# | a GPU has | some heads and columns of every layer | some whole layers | the whole model |
# | sent for a token | two all-reduces in each layer | one vector at each border | nothing |
# | one request is | faster over NVLink | not faster | not faster |
# | used | inside a machine | between machines | where the model fits |
#
# ## Replicas behind a router
#
# If the model fits on one GPU, N engines with the whole model send each other nothing: **data parallel**. A router
# gives each request to one of them. Each engine has its own prefix cache (lesson 05), so it matters where a prompt
# goes.

# %%
predict("17.router", "4 engines, 40 system prompts of 2,000 tokens, room for about 20 in each engine. One router looks at the load only, "
        "another one at prompts too. How much of the prompts is found in the caches?",
        ["About the same with both", "About twice as much with the second", "Nearly everything with both"], answer=1)

# %%
cost = roofline(LLAMA_8B, bytes_per_s=MEMORY, flops_per_s=FLOPS)
chat = Workload(Poisson(60), Lengths(prompt=Fixed(100), output=Fixed(60)), num_requests=500,
                prefixes=SharedPrefixes(num_tokens=2000, count=40))     # before the 100 tokens: one of 40 prefixes
small = EngineConfig(num_blocks=2500)                            # of 16 tokens: 20 system prompts
for name in ("random", "least_loaded", "prefix_aware"):
    result = simulate(chat, small, cost, replicas=4, router=name)
    found, total = (sum(getattr(m, key) for m in result.replicas) for key in ("num_cached_prompt_tokens", "num_prompt_tokens"))
    ttft = result.summary.ttft.percentiles
    print(f"{name:>13}: {found / total:.0%} of the prompt tokens were cached; TTFT P50 {ttft[50] * 1e3:>5,.0f} ms, P99 {ttft[99] * 1e3:>6,.0f} ms; "
          f"requests {[m.num_requests for m in result.replicas]}")

# %% [markdown]
# With the prefix-aware router each engine gets some of the system prompts, and these fit into its cache. With the
# others any system prompt can come to any engine, which has room for half of them. The router also has to keep the
# balance: an engine with many more unfinished requests than the least loaded one (`max_imbalance`) is not chosen,
# whatever it has in its cache. Else a system prompt that everybody uses would bring all requests to one engine.
#
# The router remembers what it sent, and asks no engine. `hash_chain` returns the hashes of the whole blocks of a
# prompt, each over all tokens up to its end (lesson 05). `_known(i, hashes)` counts the blocks from the beginning of
# the prompt that engine i was sent before. `capacity` is how many hashes are remembered for each engine:

# %%
show(PrefixAwareRouter.choose)

# %% [markdown]
# ### Is the simulator right?
#
# Two real engines with `tale` behind the same router. Requests come in bursts of six: all of them are routed, then all
# are served. So no choice depends on how fast this machine is, and every count must be the same.

# %%
predict("17.real", "Tokens found in the caches of two real engines, and in those of two simulated ones. How far apart?",
        ["The same numbers", "Within a few per cent", "Not comparable"], answer=0)

# %%
bursts = Workload(Bursts(6), Lengths(prompt=Uniform(8, 40), output=Uniform(2, 6)), num_requests=36,
                  prefixes=SharedPrefixes(num_tokens=64, count=5, share=0.8))           # 0.8 of the requests have one
own = EngineConfig(block_size=8, num_blocks=40)                  # so few blocks that some are evicted
engines = [Engine(model, own, trace=False) for _ in range(2)]
serve_routed(engines, Feed(bursts), PrefixAwareRouter(8))
simulated = simulate(bursts, own, cost, replicas=2, router=PrefixAwareRouter(8))
for number, (real, copy) in enumerate(zip(engines, simulated.replicas)):
    for name, m in (("real", real.metrics), ("simulated", copy)):
        print(f"engine {number}, {name:>9}: {m.num_requests} requests, {m.num_cached_prompt_tokens:,} of {m.num_prompt_tokens:,} "
              f"prompt tokens cached, {m.num_scheduled_tokens:,} tokens computed in {m.num_steps} steps")

# %% [markdown]
# The simulator runs the real scheduler and the real ledger, so the counts are the same. Times come from its cost model:
# here from the datasheet, in lesson 12 from measurements.
#
# ## Prefill here, decode there
#
# The step that computes a long prompt takes long, and every running request of that engine waits for it (lesson 11).
# **Disaggregated prefill** (DistServe, arXiv 2401.09670; Splitwise, arXiv 2311.18677) computes prompts on some engines
# and outputs on others. In between, keys and values are sent over the network.

# %%
predict("17.split", "Two engines that do both, or one for prompts and one for outputs. Which has the steadier gaps between tokens?",
        ["Two that do both", "One for each", "No difference"], answer=1)

# %%
link = Transfer(latency_s=1e-4, seconds_per_token=kv_bytes_per_token(LLAMA_8B, "bfloat16") / 50e9)   # 400 Gbit/s
long = Workload(Poisson(8), Lengths(prompt=Uniform(2000, 6000), output=Uniform(100, 300)), num_requests=150)
split = dict(replicas=1, prefill_replicas=1, transfer=link)
settings = {"two that do both": (8192, dict(replicas=2)), "one for each": (8192, split),
            "two, chunks of 512": (512, dict(replicas=2))}
for name, (budget, setting) in settings.items():
    requests = []
    s = simulate(long, EngineConfig(num_blocks=20_000, max_num_batched_tokens=budget), cost,
                 on_finish=lambda arrival, metrics: requests.append(metrics), **setting).summary
    itl, ttft = ({p: 1e3 * latency.percentiles[p] for p in (50, 99)} for latency in (s.itl, s.ttft))
    gaps = [[1e3 * (b - a) for a, b in zip(one.token_times, one.token_times[1:])] for one in requests]
    print(f"{name:>18}: gaps between tokens P50 {itl[50]:.1f} ms, P99 {itl[99]:>4.1f} ms, longest {max(map(max, gaps)):>5.1f} ms "
          f"(without first gaps {max(max(own[1:]) for own in gaps):>5.1f} ms); TTFT P50 {ttft[50]:>3.0f} ms, P99 {ttft[99]:.0f} ms")
print(f"sending the keys and values of 4,000 tokens takes {1e3 * (link.latency_s + 4000 * link.seconds_per_token):.1f} ms")

# %% [markdown]
# With one engine for each, the P99 of the gaps is the lowest. Only the first gap of a request, between its first two
# tokens, can be long: the keys and values are sent in it. There is one such gap in each request, so the P99 does not
# show it. TTFT has no sending in it, but it is higher than with two that do both: one engine computes all prompts. The
# other answer is chunked prefill with a small token budget (lesson 11), the line "two, chunks of 512". Its P99 gap is
# between the other two, its longest gap is the shortest of the three, and its TTFT is no better than with one engine
# for each.
#
# ## Beyond one machine
#
# The course's engine stays on one machine. For several machines use vLLM. It can start its processes with Ray, a
# program that joins machines into a cluster. Use tensor parallel inside each machine and pipeline parallel between them
# ([vLLM's guide](https://docs.vllm.ai/en/stable/serving/parallelism_scaling.html)). FIRST is the address of the first
# machine. These commands were not run for this lesson:
#
#     ray start --head --port=6379                       # on the first machine
#     ray start --address=FIRST:6379                     # on the others
#     vllm serve meta-llama/Llama-3.1-405B-Instruct-FP8 --tensor-parallel-size 8 --pipeline-parallel-size 2 \
#         --distributed-executor-backend ray
#
# The benchmark is `course bench` of lesson 16. It measures any server with the OpenAI API: the course's or vLLM's, on
# one GPU or on sixteen:
#
#     course bench --url http://FIRST:8000 --lengths chat --rates 1,2,4,8 --goodput ttft:500
#
# In vLLM's source: `vllm/model_executor/layers/linear.py` has `ColumnParallelLinear`, `QKVParallelLinear` (which
# replicates KV heads) and `RowParallelLinear`; `vocab_parallel_embedding.py` beside it pads the vocabulary;
# `vllm/distributed/` has the all-reduces, with one of its own for small messages.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("17")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why is o cut by inputs, and not by outputs like q?</b></summary>
#
# Its inputs are the outputs of all heads, and a GPU has only those of its own heads. Cut by inputs, it needs no others:
# it makes a part of each sum. Cut by outputs, all heads' outputs would have to be sent first, and the result would be
# in parts again.
# </details>
#
# <details><summary><b>2. A model with one KV head runs on 8 GPUs. What does tensor parallel save in its KV cache?</b></summary>
#
# Nothing: the query heads of every GPU read that head, so all 8 hold it. Most weights are still cut; only the norms and
# those of `k` and `v` are held by all 8.
# </details>
#
# <details><summary><b>3. A router knows what it sent to each engine. When is it wrong about what is cached there?</b></summary>
#
# When the engine has evicted it since, or has not computed it yet: requests that arrive together are all computed. A
# wrong guess of the router only costs time: the tokens are still right.
# </details>
#
# ## Next
#
# [exercises/17_several_gpus.ipynb](../exercises/17_several_gpus.ipynb):
#
# - `17.shard`: what a rank holds of each weight, with KV heads, biases and a vocabulary that does not divide evenly;
# - `17.all_reduce`: the ring, step by step;
# - `17.kv_heads`: heads and cache of a rank;
# - `17.route`: a router that knows prefixes and keeps the balance.
