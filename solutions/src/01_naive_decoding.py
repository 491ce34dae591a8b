# %% [markdown]
# # Exercises 01 · Naive decoding
#
# Four pieces: the greedy choice, the sampler, the loop, and the bill. Each check says which property fails, on
# the smallest example. `hint("01.greedy")` goes one step further each time you call it.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.kvcache import Recompute
from course_lib.source import wrapped

_ = setup(quiet=True)

# %% [markdown]
# ## 01.greedy · The likeliest token
#
# `logits` is a float tensor `[vocab_size]`. Return the id of the largest as a plain Python `int`. If several
# are equally large, return the lowest of their ids, so that two decoders never part company over a tie.

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
# Shape the probabilities, then let the die fall. The die is handed in: `draw(probabilities)` takes a float
# tensor `[vocab_size]` that sums to 1 and returns a token id. In this order:
#
# 1. Temperature 0 means greedy: return the likeliest token and do not draw. Otherwise divide the logits by it.
# 2. If `top_k` is not None, keep the `top_k` likeliest tokens.
# 3. If `top_p` is not None, keep the fewest likeliest tokens whose probabilities (after step 2) reach `top_p`.
#    The token that crosses the line stays.
# 4. What was cut has probability 0, what is left sums to 1. Draw.

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
# Greedy, naive: every step pushes the whole sequence, with positions from 0. Return the new token ids only. Stop
# after `max_tokens`, or right after a token of `stop_token_ids`, which is then the last one you return. Leave the
# caller's list as it was.
#
#     logits = model(tokens, positions, Recompute())   # tokens, positions: int64 [n]; logits: [n, vocab_size]

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
# ## 01.count_work · The bill
#
# A prompt of `prompt_tokens` and `new_tokens` to write, with nothing kept. Return a pair of whole numbers: how many
# tokens are pushed through the model in all steps together, and how many attention scores are computed in each
# head of each layer. Every token attends to itself and to all before it.

# %% nbgrader={"grade_id": "count_work", "solution": true} course={"exercise": "01.count_work"}
def count_work(prompt_tokens, new_tokens):
    """(tokens pushed, attention scores for each head and layer)."""
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
