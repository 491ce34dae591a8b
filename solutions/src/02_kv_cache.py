# %% [markdown]
# # Exercises 02 · The KV cache
#
# Four exercises: the cache, the loop that uses it, one cache for many prompts, and a tool that finds the bug of another
# cache. Each check says which property fails, on the smallest example. `hint("02.cache")` goes one step
# further each time you call it. A list or tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
import torch
import torch.nn.functional as F

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.decoding import first_divergence, record_cache
from course_lib.errors import CacheFull
from course_lib.kvcache import Recompute
from course_lib.source import wrapped

_ = setup(quiet=True)

# %% [markdown]
# ## 02.cache · Keep the keys and values
#
# Write a cache for one sequence of at most `max_tokens` tokens.
#
# - Its memory is allocated once, in `__init__`, as tensors that belong to this cache alone. It is float32, on the CPU.
#   Memory that was not written yet must not count: `torch.empty` can hold nan.
# - `attend(layer, q, k, v)` is called for layer 0, 1, … in each step. It writes the keys and values of the new tokens
#   after those that are in the cache, and returns the causal attention of the new tokens, a new float32 tensor
#   `[num_new, num_heads, head_dim]`. Any step can have one token or several. It does not change `q`, `k` or `v`.
# - `num_tokens`, an `int`, is the number of tokens in the cache. It grows once a step, after the last layer: all
#   layers of a step start at the same position.
# - `reset()` forgets the sequence: `num_tokens` is 0 again, and the memory stays for the next sequence.
# - A step that does not fit raises `CacheFull("…")` in its first layer, and leaves the cache as it was.
#
# `config` has the attributes `num_layers, num_heads, num_kv_heads, head_dim`, all `int`. `q` is
# `[num_new, num_heads, head_dim]`, `k` and `v` are `[num_new, num_kv_heads, head_dim]`, all float32. The
# first `num_heads / num_kv_heads` query heads share key/value head 0, as many after them share head 1, and so on.
# Scores are divided by the square root of `head_dim`. They can be of any size, above 1,000 and below -1,000 too.

# %% nbgrader={"grade_id": "cache", "solution": true} course={"exercise": "02.cache"}
class ContiguousCache:
    """Keys and values of one sequence of at most `max_tokens` tokens, in memory that is taken once."""

    def __init__(self, config, max_tokens):
        ### BEGIN SOLUTION
        shape = (config.num_layers, max_tokens, config.num_kv_heads, config.head_dim)
        self.k, self.v = torch.zeros(shape), torch.zeros(shape)
        self.num_layers, self.max_tokens, self.num_tokens = config.num_layers, max_tokens, 0
        ### END SOLUTION

    def attend(self, layer, q, k, v):
        """Keeps k and v, and lets every new token attend to itself and to all before it.

        q: [num_new, num_heads, head_dim]; k, v: [num_new, num_kv_heads, head_dim]. Returns a tensor shaped as q.
        Raises CacheFull, with nothing changed, where k and v do not fit.
        """
        ### BEGIN SOLUTION
        start, end = self.num_tokens, self.num_tokens + len(k)
        if end > self.max_tokens:
            raise CacheFull(f"{start} tokens are kept and {len(k)} more came, but max_tokens is {self.max_tokens}.")
        self.k[layer, start:end], self.v[layer, start:end] = k, v
        if layer == self.num_layers - 1:
            self.num_tokens = end
        seen = torch.ones(len(q), end, dtype=torch.bool).tril(start)  # row i stands at position start + i
        heads_first = [x.transpose(0, 1)[None] for x in (q, self.k[layer, :end], self.v[layer, :end])]
        out = F.scaled_dot_product_attention(*heads_first, attn_mask=seen, enable_gqa=True)
        return out[0].transpose(0, 1)
        ### END SOLUTION

    def reset(self):
        """Forgets the sequence."""
        ### BEGIN SOLUTION
        self.num_tokens = 0
        ### END SOLUTION

# %% nbgrader={"grade_id": "cache-check", "grade": true, "points": 3}
check("02.cache", ContiguousCache)

# %% [markdown]
# Your cache, inside the loop of the course and inside the view:

# %% tags=["raises-exception"]
from course_lib import decoding
from course_lib.viz import cache_filling

model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
new = decoding.generate_cached(model, prompt, SamplingParams(max_tokens=40), ContiguousCache(model.config, 128))
print(wrapped(tokenizer.decode(new)))

# %% tags=["raises-exception"]
cache_filling(**record_cache(model, tokenizer, prompt, SamplingParams(max_tokens=12), ContiguousCache(model.config, 128)))

# %% [markdown]
# ## 02.generate_cached · The loop
#
# Decode greedily: in the last row of logits, take the token with the largest one. Do not round the logits first. Run
# the model on every token once: the whole prompt in the first call (prefill), then the newest token alone, at its
# position in the sequence (decode). Hand `cache` to the model in every call.
#
# Return a list with the new token ids only, `max_tokens` of them, as `int`s; with 0, an empty list. No token ends the
# loop early. The last new token is not run. The prompt has at least one token. Do not change the caller's list.
#
#     logits = model(tokens, positions, cache)   # tokens, positions: int64 [n], on the CPU; logits: [n, vocab_size]

# %% nbgrader={"grade_id": "generate_cached", "solution": true} course={"exercise": "02.generate_cached"}
def generate_cached(model, token_ids, max_tokens, cache):
    """New token ids after `token_ids`, greedily, with the model run on every token once.

    token_ids: list of ints, the prompt. cache: an empty one; hand it to the model, which calls its `attend`.
    Returns a list of `max_tokens` ints.
    """
    ### BEGIN SOLUTION
    new, step, start = [], list(token_ids), 0
    while len(new) < max_tokens:
        logits = model(torch.tensor(step), torch.arange(start, start + len(step)), cache)
        new.append(int(logits[-1].argmax()))
        start += len(step)
        step = new[-1:]
    return new
    ### END SOLUTION

# %% nbgrader={"grade_id": "generate_cached-check", "grade": true, "points": 2}
check("02.generate_cached", generate_cached)

# %% [markdown]
# ## 02.reuse · Two prompts in turn
#
# One cache serves many prompts, one after the other. Return a list with a list of `max_tokens` new token ids for each
# prompt, in the same order. They are the tokens that the prompt gets with a new cache. Use the cache that you are
# given, and no other. Run the model as in `02.generate_cached`: the whole prompt in one call, then one token a call,
# and not the last new one. The cache may hold tokens of an earlier use when you get it. You may call your
# `generate_cached`. Do not change the caller's prompts.

# %% nbgrader={"grade_id": "reuse", "solution": true} course={"exercise": "02.reuse"}
def generate_in_turn(model, prompts, max_tokens, cache):
    """The new tokens of each prompt, the same as with a new cache; one cache serves them all.

    prompts: list of lists of token ids. Returns a list of lists of `max_tokens` ids, in the same order.
    """
    ### BEGIN SOLUTION
    sequences = []
    for prompt in prompts:
        cache.reset()
        sequences.append(generate_cached(model, prompt, max_tokens, cache))
    return sequences
    ### END SOLUTION

# %% nbgrader={"grade_id": "reuse-check", "grade": true, "points": 1}
check("02.reuse", generate_in_turn)

# %% [markdown]
# ## 02.find_the_bug · Three caches
#
# `CacheA`, `CacheB` and `CacheC` have one bug each, in one layer only. One writes keys and values one position off, one
# never reads what it kept, one does not forget everything at `reset()`. Look at them with the function from the lesson:
# `first_divergence(model, token_ids, cache, Recompute())` is None, or has the `step` (0 is prefill), `layer` and
# `position` of the first difference.

# %% tags=["nbval-ignore-output"]
from course_lib.practice.play import CacheA, CacheB, CacheC

model, tokenizer = load_model("tale", device="cpu")
ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived")
for kind in (CacheA, CacheB, CacheC):
    print(first_divergence(model, ids, kind(model.config, 64), Recompute()))

# %% [markdown]
# Then write a function that names the bug. `make_cache()` makes a new, empty cache, which has a `reset()` and
# room for `token_ids` once. All that it makes have the same bug. Return a tuple or a list of two:
#
# - `("off by one", layer)`: it writes keys and values one position off;
# - `("ignored", layer)`: it never reads what it kept;
# - `("not reset", layer)`: it does not forget everything at `reset()`.
#
# Return None where nothing is wrong. `layer` is the layer with the bug, an `int`: the first that differs. Do not change
# the caller's list.

# %% nbgrader={"grade_id": "find_the_bug", "solution": true} course={"exercise": "02.find_the_bug"}
def find_the_bug(model, token_ids, make_cache):
    """(name of the bug, layer) of the caches that `make_cache()` makes, or None.

    token_ids: list of at least four ints, a sequence. layer: int, the first that differs, counted from 0.
    """
    ### BEGIN SOLUTION
    cache = make_cache()
    found = first_divergence(model, token_ids, cache, Recompute())
    if found:
        return "off by one" if found.step == 0 else "ignored", found.layer
    cache.reset()
    again = first_divergence(model, token_ids, cache, Recompute())
    return ("not reset", again.layer) if again else None
    ### END SOLUTION

# %% nbgrader={"grade_id": "find_the_bug-check", "grade": true, "points": 2}
check("02.find_the_bug", find_the_bug)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [03 · KV memory](../notebooks/03_kv_memory.ipynb).
