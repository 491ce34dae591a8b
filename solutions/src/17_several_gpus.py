# %% [markdown]
# # Exercises 17 · Several GPUs
#
# Four pieces of a server with several GPUs: the part of each weight that a GPU holds, the sum over all GPUs, the heads
# of a GPU and its share of the KV cache, and a router in front of several engines. No GPU is needed: a **rank** is one
# of N processes, and here it is a number from 0 to N - 1. `hint("17.shard")` goes one step further each time you call
# it.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import check, hint, load_model, progress, setup

machine = setup(quiet=True)

# %% [markdown]
# ## 17.shard · What a rank holds of a weight
#
# Tensor parallel over N ranks: each rank holds a part of most weights. `shard(name, weight, rank, num_ranks, head_dim)`
# returns the part of one weight. `name` is a string, the name in the checkpoint, such as
# `model.layers.0.self_attn.q_proj.weight`. `weight` is a tensor with one or two dimensions. The others are ints, and
# `rank` is from 0 to `num_ranks - 1`. The weight of a linear layer is `[outputs, inputs]`: a row of the tensor makes
# one output.
#
# | the name contains | rank r of N holds |
# |---|---|
# | `q_proj`, `gate_proj`, `up_proj` | **rows**: part r of N equal parts, one after the other |
# | `k_proj`, `v_proj` | the **rows** of its KV heads. A head is `head_dim` rows, so there are K = rows / head_dim heads. If K is N or more: part r of N equal parts. If K is less than N: each head is held by N / K ranks with consecutive numbers, so rank r holds head r // (N / K) |
# | `o_proj.weight`, `down_proj` | **columns**: part r of N equal parts |
# | `o_proj.bias` | on rank 0 all of it; on the others zeros of the same shape, because the outputs of all ranks are added up |
# | `embed_tokens`, `lm_head` | **rows**: part r, where each part has R rows, one after the other. R is the number of rows divided by N, rounded up. The last ranks may get fewer, or none |
# | anything else, such as `input_layernorm` or `q_norm` | all of it |
#
# A bias of `q_proj`, `k_proj` or `v_proj` is `[outputs]`; it is cut as the rows of its weight. No bias but these and
# `o_proj.bias` occurs. A rank may have several query heads. N divides every size that is cut into N equal parts, and of
# K and N one divides the other. A rank without rows of the vocabulary returns a tensor with 0 rows and all columns.
#
# What is cut is a tensor **of its own**, not a view: a view would keep the whole weight in memory. What is not cut may
# be `weight` itself. Each part has the dtype of `weight`, also one of zeros or without rows. `weight` is not changed.
#
#     shard("model.layers.0.mlp.down_proj.weight", torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]]), 1, 2, 2)
#     is tensor([[2, 3], [6, 7]])

# %% nbgrader={"grade_id": "shard", "solution": true} course={"exercise": "17.shard"}
def shard(name, weight, rank, num_ranks, head_dim):
    """The part of this weight that rank `rank` of `num_ranks` holds."""
    ### BEGIN SOLUTION
    if "norm" in name:
        return weight
    if "o_proj.bias" in name:
        return weight.clone() if rank == 0 else torch.zeros_like(weight)
    if "o_proj" in name or "down_proj" in name:
        size = weight.shape[1] // num_ranks
        return weight[:, rank * size : (rank + 1) * size].clone()
    size = -(-weight.shape[0] // num_ranks)  # rounded up
    start = rank * size
    if "k_proj" in name or "v_proj" in name:
        num_heads = weight.shape[0] // head_dim
        size = max(1, num_heads // num_ranks) * head_dim
        start = rank * num_heads // num_ranks * head_dim
    return weight[start : start + size].clone()
    ### END SOLUTION

# %% nbgrader={"grade_id": "shard-check", "grade": true, "points": 3}
check("17.shard", shard)

# %% [markdown]
# Your parts of the bundled model on two ranks: how many numbers each of them holds.

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
weights = dict(model.named_parameters())
print(f"whole: {sum(weight.numel() for weight in weights.values()):,}")
for rank in range(2):
    held = sum(shard(name, weight.detach(), rank, 2, model.config.head_dim).numel() for name, weight in weights.items())
    print(f"rank {rank}: {held:,}")

# %% [markdown]
# ## 17.all_reduce · The sum over all ranks, on a ring
#
# Each of N ranks has a tensor, and each needs the sum of all. In a ring, rank r can send to rank r + 1 only, and the
# last one to rank 0.
#
# - `tensors` is a list of N flat tensors of one length and dtype: `tensors[r]` is what rank r has.
# - `ring.exchange(parts)` is one step, in which all ranks send at the same time. `parts` is a list of N tensors: rank r
#   sends `parts[r]` to the next rank. It returns a list of N tensors: `received[r]` is what rank r received, a copy of
#   what rank r - 1 sent.
#
# A rank knows its own tensor and what it received, nothing else. If every rank sent whole tensors, each would send
# N - 1 of them. A ring with pieces sends less. Cut each tensor into N pieces with `tensor.tensor_split(N)`; their
# lengths may differ by one. Then:
#
# 1. **reduce-scatter**, N - 1 steps, s = 0, 1, …: rank r sends its piece (r - s) mod N. What it receives is **added**
#    to its own piece (r - s - 1) mod N. After that, rank r has the complete sum of piece (r + 1) mod N.
# 2. **all-gather**, N - 1 steps, s = 0, 1, …: rank r sends its piece (r + 1 - s) mod N. What it receives **replaces**
#    its piece (r - s) mod N.
#
# In all, each rank sends 2 (N - 1) / N times the bytes of a tensor.
#
# Return a list of N flat tensors, one for each rank, each with the whole sum and with memory of its own. The dtype
# stays, and the tensors that were given are not changed. With one rank nothing is sent.
#
#     ring = Ring(2)
#     all_reduce([torch.tensor([1, 2]), torch.tensor([10, 20])], ring) is [tensor([11, 22]), tensor([11, 22])]
#     ring.steps is 2, and ring.sent is [16, 16]: each rank sent two pieces of one int64

# %% nbgrader={"grade_id": "all_reduce", "solution": true} course={"exercise": "17.all_reduce"}
def all_reduce(tensors, ring):
    """The sum of all tensors, for each rank: by reduce-scatter and all-gather on a ring."""
    ### BEGIN SOLUTION
    n = len(tensors)
    pieces = [list(tensor.clone().tensor_split(n)) for tensor in tensors]
    for s in range(n - 1):
        received = ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s - 1) % n] += received[r]
    for s in range(n - 1):
        received = ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            pieces[r][(r - s) % n] = received[r]
    return [torch.cat(own) for own in pieces]
    ### END SOLUTION

# %% nbgrader={"grade_id": "all_reduce-check", "grade": true, "points": 3}
check("17.all_reduce", all_reduce)

# %% [markdown]
# The bytes that each rank sends for a message of 16 KB. More ranks send hardly more: the factor 2 (N - 1) / N stays
# below 2.

# %% tags=["raises-exception"]
from course_lib.practice.play import Ring

for num_ranks in (2, 4, 8):
    ring = Ring(num_ranks)
    all_reduce([torch.ones(8192, dtype=torch.bfloat16) for _ in range(num_ranks)], ring)
    print(f"{num_ranks} ranks: {ring.steps} steps, {ring.sent[0]:,} bytes from each")

# %% [markdown]
# ## 17.kv_heads · The heads of a rank, and its share of the KV cache
#
# All arguments are ints. The model has `num_heads` query heads and `num_kv_heads` KV heads. Query head h reads KV head
# h // (num_heads / num_kv_heads). With N ranks:
#
# - A rank has `num_heads / N` consecutive query heads: rank 0 the first ones, rank 1 the next, and so on.
# - It holds the KV heads **that its query heads read**, and no others. So a KV head may be held by several ranks. A
#   token takes a key and a value for each KV head that the rank holds, in each of `num_layers` layers; each key or
#   value has `head_dim` numbers of `num_bytes` bytes.
#
# `num_kv_heads` divides `num_heads`; `num_kv_heads` and N need not divide each other. Return a tuple of three:
#
# - the numbers of the rank's query heads, a list of ints, ascending;
# - the numbers of its KV heads, a list of ints, ascending, each once;
# - the bytes of one token in the cache of this rank, an int.
#
# Raise `ValueError` if `num_ranks` does not divide `num_heads`.
#
#     heads_of(1, 2, 4, 2, num_layers=3, head_dim=8, num_bytes=2) is ([2, 3], [1], 96)
#     heads_of(1, 4, 4, 2, num_layers=3, head_dim=8, num_bytes=2) is ([1], [0], 96): rank 0 holds KV head 0 too

# %% nbgrader={"grade_id": "kv_heads", "solution": true} course={"exercise": "17.kv_heads"}
def heads_of(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    """(query heads, KV heads, bytes of a token in the cache) of one rank."""
    ### BEGIN SOLUTION
    if num_heads % num_ranks:
        raise ValueError(f"{num_ranks} ranks cannot share {num_heads} query heads evenly.")
    each, group = num_heads // num_ranks, num_heads // num_kv_heads
    query_heads = list(range(rank * each, (rank + 1) * each))
    kv_heads = sorted({head // group for head in query_heads})
    return query_heads, kv_heads, 2 * num_layers * len(kv_heads) * head_dim * num_bytes
    ### END SOLUTION

# %% nbgrader={"grade_id": "kv_heads-check", "grade": true, "points": 2}
check("17.kv_heads", heads_of)

# %% [markdown]
# The shape of Llama 3 70B in 16 bits. From 8 ranks on, more ranks do not make the cache of a rank smaller.

# %% tags=["raises-exception"]
for num_ranks in (1, 2, 4, 8, 16):
    query_heads, kv_heads, num_bytes = heads_of(0, num_ranks, 64, 8, 80, 128, 2)
    print(f"{num_ranks:>2} ranks: {len(query_heads):>2} query heads and {len(kv_heads)} KV heads each, {num_bytes:>7,} bytes a token")

# %% [markdown]
# ## 17.route · Which replica a request goes to
#
# Several engines with the whole model, the **replicas**, stand behind a router. Each keeps its own prefix cache, so a
# prompt should go where its beginning was sent before, unless that replica has too much to do.
#
# `PrefixRouter(num_replicas, block_size, max_imbalance, max_load)` has one method, `choose(token_ids, loads)`: the
# number of the replica that gets this prompt. `token_ids` is a list of ints, and `loads[r]` is the number of unfinished
# requests of replica r.
#
# 1. A replica is **full** if its load is `max_load` or more. It gets nothing. If all are full, return `None`; nothing
#    is remembered then.
# 2. A replica whose load is more than `max_imbalance` above the smallest of `loads` is **too busy**. It gets nothing
#    either. A load of exactly `max_imbalance` above the smallest is not too busy.
# 3. Of the replicas that are left, the one is chosen that was sent **the longest beginning of this prompt**. This is
#    counted in whole blocks of `block_size` tokens, from the first token on: a block counts if one earlier prompt that
#    was sent to this replica began with the same tokens up to the end of the block.
# 4. If several were sent equally many blocks, the smallest load decides, then the smallest number.
#
# The router remembers the whole blocks of each prompt for the replica that it chose, for ever. It does not count
# requests: `loads` belongs to the caller and is not changed, nor is `token_ids`, and the caller may change both after
# the call.
#
#     router = PrefixRouter(2, block_size=2, max_imbalance=1, max_load=4)
#     router.choose([5, 6, 7], [0, 0]) is 0: nothing is known, both loads are equal
#     router.choose([5, 6, 9, 9], [1, 0]) is 0: it was sent 5 6, and 1 is not too busy
#     router.choose([5, 6, 9, 9], [2, 0]) is 1: replica 0 is too busy

# %% nbgrader={"grade_id": "route", "solution": true} course={"exercise": "17.route"}
class PrefixRouter:
    """Sends a prompt to the replica that was sent the longest beginning of it, unless that one has too much to do."""

    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        ### BEGIN SOLUTION
        self.block_size, self.max_imbalance, self.max_load = block_size, max_imbalance, max_load
        self.sent = [set() for _ in range(num_replicas)]  # of each replica: the beginnings that it was sent
        ### END SOLUTION

    def choose(self, token_ids, loads):
        """The number of a replica, or None if all are full."""
        ### BEGIN SOLUTION
        ends = range(self.block_size, len(token_ids) + 1, self.block_size)
        beginnings = [tuple(token_ids[:end]) for end in ends]
        most = min(min(loads) + self.max_imbalance, self.max_load - 1)
        allowed = [replica for replica, load in enumerate(loads) if load <= most]
        if not allowed:
            return None
        known = {replica: sum(one in self.sent[replica] for one in beginnings) for replica in allowed}
        chosen = min(allowed, key=lambda replica: (-known[replica], loads[replica], replica))
        self.sent[chosen].update(beginnings)
        return chosen
        ### END SOLUTION

# %% nbgrader={"grade_id": "route-check", "grade": true, "points": 3}
check("17.route", PrefixRouter)

# %% [markdown]
# Your router in the simulator, beside two that know nothing of prompts: four replicas, and 30 system prompts of 512
# tokens.

# %% tags=["raises-exception"]
from course_lib.engine import EngineConfig
from course_lib.workload import CostModel, Fixed, Lengths, Poisson, SharedPrefixes, Workload
from course_lib.workload.simulate import simulate

lengths = Lengths(prompt=Fixed(64), output=Fixed(32))
asked = Workload(Poisson(40), lengths, num_requests=600, prefixes=SharedPrefixes(num_tokens=512, count=30))
cost = CostModel(per_step=0.005, per_token=5e-5)
for name, router in (("random", "random"), ("least loaded", "least_loaded"), ("yours", PrefixRouter(4, 16, 8, 200))):
    result = simulate(asked, EngineConfig(num_blocks=600), cost, replicas=4, router=router)
    found = sum(replica.num_cached_prompt_tokens for replica in result.replicas)
    print(f"{name:>12}: {found / sum(replica.num_prompt_tokens for replica in result.replicas):.0%} of the prompt tokens were cached")

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
