# %% [markdown]
# # Exercises 03 · KV memory
#
# Four pieces of a plan: what a token costs, how many requests fit, where the memory went, and what to give up when
# it does not suffice. All of it is whole numbers; no model runs here.

# %% [markdown]
# {{colab}}

# %%
from course_lib import check, hint, progress, setup
from course_lib.kvcache.catalogue import GPUS, MODELS
from course_lib.kvcache.fragmentation import OPT_13B_SLOTS, draw_requests, reserve_maximum, simulate
from course_lib.kvcache.sizes import readable, weight_bytes

_ = setup(quiet=True)

# %% [markdown]
# ## 03.bytes_per_token · What one token leaves behind
#
# `shape` has `num_layers`, `num_heads` (of queries), `num_kv_heads`, `head_dim`, and for models with MLA
# `kv_lora_rank` and `qk_rope_head_dim`, which are `None` for all others. Return the bytes that one token takes in the
# cache, over all layers, when each number has `bits` bits: 16 for bfloat16, 8 for fp8, 4 for int4.

# %% nbgrader={"grade_id": "bytes_per_token", "solution": true} course={"exercise": "03.bytes_per_token"}
def bytes_per_token(shape, bits):
    """Bytes that one token takes in the cache, over all layers, with numbers of `bits` bits."""
    ### BEGIN SOLUTION
    if shape.kv_lora_rank is None:
        numbers = 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim
    else:
        numbers = shape.num_layers * (shape.kv_lora_rank + shape.qk_rope_head_dim)
    return numbers * bits // 8
    ### END SOLUTION

# %% nbgrader={"grade_id": "bytes_per_token-check", "grade": true, "points": 1}
check("03.bytes_per_token", bytes_per_token)

# %% [markdown]
# Your function on real models. Try others: `print(*MODELS)` lists them.

# %% tags=["raises-exception"]
for name in ("Llama 2 7B", "Llama 3 8B", "Qwen3 32B", "DeepSeek-V3"):
    print(f"{name:<12} {readable(bytes_per_token(MODELS[name], 16))} a token in 16 bits")

# %% [markdown]
# ## 03.max_requests · How many fit
#
# A GPU has `gpu_bytes`. The share `usable` of them may be given out; the weights take `weight_bytes` of that. Each
# request keeps `tokens` tokens at `kv_bytes_per_token` each. Return how many whole requests fit, 0 if the weights
# leave no room.

# %% nbgrader={"grade_id": "max_requests", "solution": true} course={"exercise": "03.max_requests"}
def max_requests(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    """How many requests of `tokens` tokens fit on the GPU beside the weights."""
    ### BEGIN SOLUTION
    room = int(gpu_bytes * usable) - weight_bytes
    return max(0, room // (kv_bytes_per_token * tokens))
    ### END SOLUTION

# %% nbgrader={"grade_id": "max_requests-check", "grade": true, "points": 1}
check("03.max_requests", max_requests)

# %% [markdown]
# Both together: Llama 3 8B with texts of 8,192 tokens on every GPU of the table.

# %% tags=["raises-exception"]
llama = MODELS["Llama 3 8B"]
for gpu in GPUS.values():
    print(f"{gpu.name:<10} {max_requests(gpu.bytes, weight_bytes(llama), bytes_per_token(llama, 16), 8192):>5}")

# %% [markdown]
# ## 03.fragmentation · Where the slots went
#
# A memory of `capacity` slots, one token each, and `segments` in it, in order of address: dicts with `start`,
# `reserved` (slots), `used` (tokens there now) and `final` (tokens at the end). Return a dict of slots:
#
# - `"used"`: tokens that are there;
# - `"reserved"`: tokens yet to come;
# - `"internal"`: reserved, and never used;
# - `"external"`: in holes smaller than `needed`, the slots that the next waiting request asks for;
# - `"free"`: in all other holes. With `needed` 0 nobody waits, and all holes are free.

# %% nbgrader={"grade_id": "fragmentation", "solution": true} course={"exercise": "03.fragmentation"}
def fragmentation(capacity, segments, needed):
    """Slots by what they are: {"used", "reserved", "internal", "external", "free"}."""
    ### BEGIN SOLUTION
    parts = {"used": 0, "reserved": 0, "internal": 0, "external": 0, "free": 0}
    edge = 0  # where the last segment ended
    for s in segments:
        parts["used"] += s["used"]
        parts["reserved"] += s["final"] - s["used"]
        parts["internal"] += s["reserved"] - s["final"]
        hole = s["start"] - edge
        parts["external" if hole < needed else "free"] += hole
        edge = s["start"] + s["reserved"]
    hole = capacity - edge
    parts["external" if hole < needed else "free"] += hole
    return parts
    ### END SOLUTION

# %% nbgrader={"grade_id": "fragmentation-check", "grade": true, "points": 2}
check("03.fragmentation", fragmentation)

# %% [markdown]
# Your accounting of the simulator of the lesson, at one moment: everybody reserves 2,048 slots, and somebody waits.

# %% tags=["raises-exception"]
moment = simulate(draw_requests(100), reserve_maximum(2048), OPT_13B_SLOTS, 501)[500]
parts = fragmentation(OPT_13B_SLOTS, moment["segments"], 2048)
for part, slots in parts.items():
    print(f"{part:<9} {slots:>6} slots {slots / OPT_13B_SLOTS:6.1%}")

# %% [markdown]
# ## 03.fit_a_budget · What to give up
#
# `budget` bytes for the cache; `users` requests at once, of `tokens` tokens each. `kv_bytes_per_token` maps names of
# dtypes to bytes, the most exact first, the smallest last. Return `(dtype, users, tokens)`:
#
# 1. the first dtype in which all users fit, with all of them at full length;
# 2. if there is none: the last dtype, with as many users as fit at full length;
# 3. if not even one does: the last dtype, one user, and as many tokens as fit;
# 4. if not even one token does: `None`.

# %% nbgrader={"grade_id": "fit_a_budget", "solution": true} course={"exercise": "03.fit_a_budget"}
def fit_a_budget(budget, kv_bytes_per_token, users, tokens):
    """(dtype, users, tokens) to serve within `budget` bytes of cache, or None."""
    ### BEGIN SOLUTION
    for dtype, size in kv_bytes_per_token.items():
        if users * tokens * size <= budget:
            return dtype, users, tokens
    if tokens * size <= budget:
        return dtype, budget // (tokens * size), tokens
    if size <= budget:
        return dtype, 1, budget // size
    return None
    ### END SOLUTION

# %% nbgrader={"grade_id": "fit_a_budget-check", "grade": true, "points": 2}
check("03.fit_a_budget", fit_a_budget)

# %% [markdown]
# A service with Llama 3.1 8B on one L4: what do you give up as it grows?

# %% tags=["raises-exception"]
llama = MODELS["Llama 3.1 8B"]
budget = int(0.9 * GPUS["L4"].bytes) - weight_bytes(llama)
sizes = {"bfloat16": bytes_per_token(llama, 16), "fp8": bytes_per_token(llama, 8), "int4": bytes_per_token(llama, 4)}
print("for the cache:", readable(budget))
for users, tokens in ((4, 8192), (8, 8192), (16, 8192), (64, 8192), (2, 131_072)):
    print(f"{users:>3} users of {tokens:>7,} tokens: {fit_a_budget(budget, sizes, users, tokens)}")

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
