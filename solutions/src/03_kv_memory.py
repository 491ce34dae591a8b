# %% [markdown]
# # Exercises 03 · KV memory
#
# Four functions of a memory plan: the bytes of a token, how many requests fit, what the memory is used for, and what
# to give up when it is too small. All numbers except `usable` are `int`s. All results are exact, also for large
# numbers; where sizes have a limit, the exercise says so. No model runs here. A dict that your function returns is a
# new one in every call.

# %% [markdown]
# {{colab}}

# %%
from course_lib import check, hint, progress, setup
from course_lib.kvcache.catalogue import GPUS, MODELS
from course_lib.kvcache.fragmentation import OPT_13B_SLOTS, draw_requests, reserve_maximum, simulate
from course_lib.kvcache.sizes import readable, weight_bytes

_ = setup(quiet=True)

# %% [markdown]
# ## 03.bytes_per_token · The bytes of one token
#
# `shape` has the attributes `num_layers`, `num_heads` (of queries), `num_kv_heads` and `head_dim`, read as
# `shape.num_layers`. It also has `kv_lora_rank`, the size of the compressed vector of MLA, and `qk_rope_head_dim`,
# the size of its small key with the position. For models without MLA these two are `None`. Return the bytes that one
# token takes in the cache over all layers, as an `int`, exact also where a float is not (above 2⁵³). Each number has
# `bits` bits: 32 for float32, 16 for bfloat16, 8 for fp8, 4 for int4. Two numbers of 4 bits share a byte; with 4 bits,
# a token here has an even count of numbers, so no half byte is left.

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
# A GPU has `gpu_bytes` of memory. The share `usable` of all of it may be used; the weights take `weight_bytes` of
# that, and the cache gets the rest. Each request has `tokens` tokens of `kv_bytes_per_token` bytes each; both are 1
# or more. Return how many whole requests fit, as an `int`; 0 if the weights leave no room. `usable` is a float up to
# 1.0, and 0.9 if it is not given. All sizes here are below 2⁵³ bytes, so that a float holds them.

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
# Both together: Llama 3 8B with requests of 8,192 tokens, on every GPU of the table.

# %% tags=["raises-exception"]
llama = MODELS["Llama 3 8B"]
for gpu in GPUS.values():
    print(f"{gpu.name:<10} {max_requests(gpu.bytes, weight_bytes(llama), bytes_per_token(llama, 16), 8192):>5}")

# %% [markdown]
# ## 03.fragmentation · What the slots are used for
#
# A memory has `capacity` slots, one for each token. `segments` are the pieces of the running requests, sorted by
# address: a list of dicts with `start` (the first slot), `reserved` (all slots of the piece), `used` (tokens that are
# stored now) and `final` (tokens at the end of the request). The list may be empty. A hole is a row of slots between
# two segments, before the first or after the last. Return a dict of five `int`s, also those that are 0:
#
# - `"used"`: slots that hold a token;
# - `"reserved"`: slots for tokens that are still to come (a segment's `reserved` counts its other slots too);
# - `"internal"`: slots of segments that will never be used;
# - `"external"`: slots in holes smaller than `needed`, the slots that the next waiting request asks for;
# - `"free"`: slots in all other holes. `needed` is 0 when no request waits; then all holes are free.
#
# Do not change the caller's list or its dicts.

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
# Your function on one step of the lesson's simulator: each request reserves 2,048 slots, and a request waits.

# %% tags=["raises-exception"]
moment = simulate(draw_requests(100), reserve_maximum(2048), OPT_13B_SLOTS, 501)[500]
parts = fragmentation(OPT_13B_SLOTS, moment["segments"], 2048)
for part, slots in parts.items():
    print(f"{part:<9} {slots:>6} slots {slots / OPT_13B_SLOTS:6.1%}")

# %% [markdown]
# ## 03.fit_a_budget · What to give up
#
# The cache has `budget` bytes. It should hold the requests of `users` users at the same time, of `tokens` tokens each.
# `kv_bytes_per_token` is a dict from the name of a dtype, a `str`, to the bytes of a token in it, the most exact
# dtype first, the smallest last. It has at least one dtype. `users`, `tokens` and the bytes of a token are 1 or more.
# Return `(dtype, users, tokens)`, a name and two `int`s, as a tuple or a list:
#
# 1. the first dtype in which all users fit, and all of them at full length;
# 2. if there is none: the last dtype, and as many users as fit at full length;
# 3. if not even one user fits at full length: the last dtype, 1 user, and as many tokens as fit;
# 4. if not even one token fits, or `budget` is negative: `None`.
#
# A plan may use exactly `budget` bytes. The last dtype is the last key of the dict. Do not change the caller's dict.

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

# %% [markdown]
# The next lesson is [04 · The paged allocator](../notebooks/04_paged_allocator.ipynb).
