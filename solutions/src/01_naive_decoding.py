# %% [markdown]
# # Exercises 01 · Naive decoding
#
# Four exercises: the greedy choice, the sampler, the loop, and the work of the loop. Each check says which property
# fails, on the smallest example. `hint("01.greedy")` goes one step further each time you call it.
# A list, dict or tensor that your function returns is a new one in every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.kvcache import Recompute
from course_lib.source import wrapped

_ = setup(quiet=True)

# %% [markdown]
# ## 01.greedy · The most likely token
#
# `logits` is a float32 tensor `[vocab_size]` on the CPU.
#
# - Return the id of the largest logit, as a plain Python `int`.
# - If several logits are equal and the largest, return the lowest of their ids. Two decoders then choose the same
#   token.
# - Logits that are close are not equal: compare them as they come, without rounding.
# - A logit can be `-inf`: that token is not allowed. At least one logit is a finite number.
# - Do not change `logits`.

# %% nbgrader={"grade_id": "greedy", "solution": true} course={"exercise": "01.greedy"}
def greedy(logits):
    """The id of the largest logit, the lowest id among equals."""
    ### BEGIN SOLUTION
    return int((logits == logits.max()).nonzero()[0])
    ### END SOLUTION

# %% nbgrader={"grade_id": "greedy-check", "grade": true, "points": 1}
check("01.greedy", greedy)

# %% [markdown]
# ## 01.sample · Temperature, top-k, top-p
#
# Compute the probabilities from the logits, then draw one token. The draw is an argument: `draw(probabilities)` takes a
# float tensor `[vocab_size]` that sums to 1, one probability for each id, and returns a token id. `logits` is a float32
# tensor `[vocab_size]` of finite numbers on the CPU. In this order:
#
# 1. `temperature` is an `int` or `float`. 0 means greedy: return the id of the largest logit as an `int`, and do not
#    call `draw`. Any other temperature is at least 10⁻¹⁰, so it can be very small: divide the logits by it.
# 2. `top_k` is an `int` of at least 1, or None. If it is not None, keep the `top_k` most likely tokens. Tokens that are
#    exactly as likely as the last of them may stay too. A `top_k` larger than the vocabulary cuts nothing.
# 3. `top_p` is a `float` above 0 and at most 1, or None. If it is not None, keep the fewest most likely tokens whose
#    probabilities, after step 2, sum to at least `top_p`. The token with which the sum reaches `top_p` is kept. No token
#    after it is kept, also where the sum is exactly `top_p`. Which of two equally likely tokens is cut is up to you.
# 4. A token that was cut has a probability of exactly 0, and the probabilities of the others sum to 1. Call `draw` once,
#    with all of them, and return what it returns.
#
# Do not change `logits`.

# %% nbgrader={"grade_id": "sample", "solution": true} course={"exercise": "01.sample"}
def sample(logits, temperature, top_k, top_p, draw):
    """One token id, drawn from the reshaped distribution."""
    ### BEGIN SOLUTION
    if temperature == 0:
        return int(logits.argmax())
    ordered, order = (logits / temperature).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[top_k:] = -torch.inf
    probabilities = ordered.softmax(-1)
    if top_p is not None:
        before = torch.cat([torch.zeros(1), probabilities.cumsum(-1)[:-1]])  # of all likelier tokens
        probabilities[before >= top_p] = 0
    result = torch.zeros_like(probabilities)
    result[order] = probabilities / probabilities.sum()
    return draw(result)
    ### END SOLUTION

# %% nbgrader={"grade_id": "sample-check", "grade": true, "points": 2}
check("01.sample", sample)

# %% [markdown]
# ## 01.generate · The loop
#
# `token_ids` is a list of at least one `int`, and `max_tokens` an `int` of at least 0. Decode greedily (the largest
# logit, as it comes) and without a cache: every step runs the model on the whole sequence, however long, with positions
# from 0.
#
# - Return a list with the new token ids only, as `int`s.
# - Stop after `max_tokens` new tokens; with 0, return an empty list. The model is called once for each token that you
#   return, and no more.
# - Stop right after a new token that is in `stop_token_ids`, a tuple of any number of ids. That token is the last one
#   you return. Stop tokens in the prompt do not count.
# - Do not change the caller's list `token_ids`.
#
#       logits = model(tokens, positions, Recompute())   # tokens, positions: int64 [n]; logits: [n, vocab_size]

# %% nbgrader={"grade_id": "generate", "solution": true} course={"exercise": "01.generate"}
def generate(model, token_ids, max_tokens, stop_token_ids=()):
    """New token ids after `token_ids`, greedily, with nothing kept between steps."""
    ### BEGIN SOLUTION
    ids = list(token_ids)
    for _ in range(max_tokens):
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
        ids.append(int(logits[-1].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids):]
    ### END SOLUTION

# %% nbgrader={"grade_id": "generate-check", "grade": true, "points": 2}
check("01.generate", generate)

# %% [markdown]
# Your loop, on the bundled model. Its tensors are made on the CPU, so the model is put there too:

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
print(wrapped(tokenizer.decode(generate(model, prompt, 60))))

# %% [markdown]
# ## 01.count_work · The work of the loop
#
# The loop above writes `new_tokens` tokens (0 or more) after a prompt of `prompt_tokens` tokens (1 or more). Return a
# pair of `int`s (a tuple or a list), each summed over all steps and exact for any prompt (of 10⁹ tokens too):
#
# 1. how many tokens go through the model;
# 2. how many attention scores are computed in one head of one layer. A score is one query · key: every token attends to
#    itself and to all tokens before it.

# %% nbgrader={"grade_id": "count_work", "solution": true} course={"exercise": "01.count_work"}
def count_work(prompt_tokens, new_tokens):
    """(tokens computed, attention scores for each head and layer)."""
    ### BEGIN SOLUTION
    lengths = range(prompt_tokens, prompt_tokens + new_tokens)
    return sum(lengths), sum(n * (n + 1) // 2 for n in lengths)
    ### END SOLUTION

# %% nbgrader={"grade_id": "count_work-check", "grade": true, "points": 1}
check("01.count_work", count_work)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [02 · The KV cache](../notebooks/02_kv_cache.ipynb).
