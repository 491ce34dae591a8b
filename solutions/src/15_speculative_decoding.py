# %% [markdown]
# # Exercises 15 · Speculative decoding
#
# Five pieces of speculative decoding: how many drafts are accepted, the token that follows them, drafts from the text
# itself, one run of the model that checks them, and the number of drafts that pays. No GPU is needed.
# `hint("15.accept")` goes one step further each time you call it. A list that your function returns is a new one in
# every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup

machine = setup(quiet=True)

# %% [markdown]
# ## 15.accept · How many drafts are accepted
#
# A draft model drew the tokens `drafted`, one after the other. The large model was run over them once, and gave its own
# probabilities for each of these places. The rule: the drafted token x is accepted with probability
# min(1, p(x) / q(x)), where p(x) is the probability that the large model gives it, and q(x) the one that the draft
# model gave it.
#
# - `target` is a list of k + 1 lists of floats: `target[i][x]` is p(x) at the place of draft i. The last list belongs
#   to the place after all drafts; this function does not need it.
# - `draft` is a list of k lists of floats: `draft[i][x]` is q(x) at the place of draft i. A token that was drawn has
#   q(x) above 0.
# - `drafted` is a list of k token ids, and k is 0 or more.
# - `chances` is a list of k random numbers from 0 up to, but not including, 1. Draft i is accepted if `chances[i]` is
#   below p(x) / q(x).
#
# Return how many drafts are accepted, an int: those **before the first that is not**. A draft after that one stands on
# a token that is not in the text, so it does not count, whatever its own chance says. The lists are not changed.
#
#     accepted([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]], [[0.8, 0.2], [0.2, 0.8]], [0, 1], [0.6, 0.2])
#     is 1: 0.6 is below 0.5 / 0.8 = 0.625, and 0.2 is not below 0.1 / 0.8 = 0.125

# %% nbgrader={"grade_id": "accept", "solution": true} course={"exercise": "15.accept"}
def accepted(target, draft, drafted, chances):
    """How many drafted tokens are accepted, before the first that is not."""
    ### BEGIN SOLUTION
    for i, token in enumerate(drafted):
        if chances[i] >= target[i][token] / draft[i][token]:
            return i
    return len(drafted)
    ### END SOLUTION

# %% nbgrader={"grade_id": "accept-check", "grade": true, "points": 2}
check("15.accept", accepted)

# %% [markdown]
# ## 15.rejection_sample · The token that follows
#
# After the accepted drafts comes one token more, so that a step always brings at least one:
#
# - If draft i is not accepted, a token takes its place, drawn from what is left: **max(0, p(x) - q(x))** for every
#   token x, divided by the sum of these numbers, with p and q of that place.
# - If all k drafts are accepted, the token is drawn from `target[k]`, the place after them.
#
# `target`, `draft`, `drafted` and `chances` are those of `15.accept`. `last` is a random number from 0 up to, but not
# including, 1, for the draw: add up the probabilities from token 0 on; the first token at which the sum is
# **above `last`** is drawn.
#
# Return the new tokens, a list of ints: the accepted drafts, and the one that follows. The lists are not changed. No
# case depends on how a sum is rounded. Nothing is left only if p and q are equal. Then p(x) / q(x) is 1, and the draft
# is accepted.
#
#     rejection_sample([[0.5, 0.5], [0.0, 1.0]], [[0.9, 0.1]], [0], [0.7], 0.3)
#     is [1]: 0.7 is not below 0.5 / 0.9; left are max(0, 0.5 - 0.9) = 0 for token 0 and 0.4 for token 1, divided by 0.4: 0 and 1

# %% nbgrader={"grade_id": "rejection_sample", "solution": true} course={"exercise": "15.rejection_sample"}
def rejection_sample(target, draft, drafted, chances, last):
    """The accepted drafts, and the token that follows them."""
    ### BEGIN SOLUTION
    count = accepted(target, draft, drafted, chances)
    left = target[count]
    if count < len(drafted):
        left = [max(0.0, p - q) for p, q in zip(target[count], draft[count])]
    reached, total = 0.0, sum(left)
    for token, share in enumerate(left):
        reached += share
        if reached > last * total:
            return drafted[:count] + [token]
    ### END SOLUTION

# %% nbgrader={"grade_id": "rejection_sample-check", "grade": true, "points": 3}
check("15.rejection_sample", rejection_sample)

# %% [markdown]
# Your rule, 20,000 times. q is far from p, and still each token comes as often as p says.

# %% tags=["raises-exception"]
import random

p, q, draw = [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], random.Random(0)
counts = [0, 0, 0]
for _ in range(20_000):
    x = draw.choices(range(3), q)[0]
    counts[rejection_sample([p, p], [q], [x], [draw.random()], draw.random())[0]] += 1
print("shares:", [round(count / 20_000, 3) for count in counts], "target:", p)

# %% [markdown]
# ## 15.ngram · Drafts from the text itself
#
# Text repeats itself: a summary repeats the article, an edited file the old file. So what followed the same few tokens
# the last time is a good draft, and it needs no model. vLLM calls this **ngram**; its author calls it prompt lookup.
#
# `propose(token_ids, k, longest, shortest)` looks at the end of `token_ids`, a list of at least one token. A token is
# an int of any size.
#
# - Take the last n tokens, first with n = `longest`, then one fewer each time, down to `shortest`. `shortest` is at
#   least 1, and `longest` is at least `shortest`.
# - Look for the same n tokens **earlier** in the list. The earlier run may overlap the last n tokens, but it is not
#   these tokens themselves. If there are several, take the one that ends **latest**.
# - The draft is what follows this run: the next `k` tokens, or fewer if the list ends before that. k is at least 1.
# - The first n for which a run is found decides. If no n has one, the draft is `[]`: also if the list is too short.
#
# Return a list of ints. `token_ids` is not changed.
#
#     propose([7, 8, 9, 7, 8], 3, 3, 1) is [9, 7, 8]: no earlier 9 7 8, but an earlier 7 8, and 9 7 8 follows it

# %% nbgrader={"grade_id": "ngram", "solution": true} course={"exercise": "15.ngram"}
def propose(token_ids, k, longest, shortest):
    """At most k tokens that may come next: those after the latest earlier run of the last tokens."""
    ### BEGIN SOLUTION
    for n in range(longest, shortest - 1, -1):
        run = token_ids[-n:]
        for end in range(len(token_ids) - 1, n - 1, -1):
            if token_ids[end - n : end] == run:
                return token_ids[end : end + k]
    return []
    ### END SOLUTION

# %% nbgrader={"grade_id": "ngram-check", "grade": true, "points": 2}
check("15.ngram", propose)

# %% [markdown]
# ## 15.verify_step · One run checks all drafts
#
# A sequence is in a cache, all of it but its newest token. Run the model **once** over the newest token and the drafts,
# accept what a greedy loop would have written, and leave the cache as that loop would have left it.
#
# - `model(token_ids, positions, cache)` returns logits `[n, vocab_size]`, a row for each of the n tokens; row i is for
#   the token **after** token i. `token_ids` and `positions` are int64 tensors `[n]`. The run stores all n tokens in the
#   cache.
# - `cache.num_tokens` is the number of stored tokens. The first token of the run has this number as its position.
#   `cache.shrink(m)` keeps the first m tokens.
# - `newest` is a token id, `drafted` a list of token ids, perhaps empty.
#
# The greedy token of a row is the one with the largest logit. In each row one logit is larger than all others. Draft i is
# accepted if it is the greedy token of the row **before** it. As always, drafts count up to the first that is not
# accepted.
#
# Return the new tokens, a list of ints: the accepted drafts, then the greedy token of the row after the last of them.
# So there is always at least one. Afterwards the cache holds the sequence with all new tokens **but the last**, which
# the next step brings as its newest. The list `drafted` is not changed.

# %% nbgrader={"grade_id": "verify_step", "solution": true} course={"exercise": "15.verify_step"}
def verify_step(model, cache, newest, drafted):
    """The accepted drafts and one token more, by one run of the model. The cache holds all of the sequence but the last token."""
    ### BEGIN SOLUTION
    start, tokens = cache.num_tokens, [newest, *drafted]
    logits = model(torch.tensor(tokens), torch.arange(start, start + len(tokens)), cache)
    greedy = logits.argmax(-1).tolist()
    count = 0
    while count < len(drafted) and drafted[count] == greedy[count]:
        count += 1
    cache.shrink(start + 1 + count)
    return drafted[:count] + [greedy[count]]
    ### END SOLUTION

# %% nbgrader={"grade_id": "verify_step-check", "grade": true, "points": 3}
check("15.verify_step", verify_step)

# %% [markdown]
# Your step in a loop, with your `propose` for drafts, and the bundled model. The text is that of the loop with one
# token a step.

# %% tags=["raises-exception"]
from course_lib.decoding import generate_cached
from course_lib.kvcache import ContiguousCache

model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
ids = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter")
cache, tokens, steps = ContiguousCache(model.config, 256), list(ids), 0
with torch.inference_mode():
    tokens.append(int(model(torch.tensor(ids), torch.arange(len(ids)), cache)[-1].argmax()))
    while len(tokens) < len(ids) + 120:
        tokens += verify_step(model, cache, tokens[-1], propose(tokens, 4, 3, 1))
        steps += 1
written = tokens[len(ids):][:120]
print("the same text:", written == generate_cached(model, ids, SamplingParams(max_tokens=120, ignore_eos=True)))
print(f"{len(tokens) - len(ids) - 1} tokens in {steps} steps")

# %% [markdown]
# ## 15.when_it_pays · How many drafts are worth it
#
# A plain decode step takes time 1 and brings one token. A step with k drafts takes `k * draft_cost` for drafting, and
# `verify_costs[k]` for the run over k + 1 tokens. If every draft is accepted with probability a, whatever happened
# before, such a step brings on average
#
# **1 + a + a² + … + aᵏ** tokens: one in any case, a second one if the first draft is accepted, a third if the first two
# are, …
#
# Its **speed-up** is these tokens divided by the time of the step.
#
# - `acceptance` is a, a float from 0 to 1, and both ends are possible.
# - `draft_cost` is a float of at least 0: the time of one run of the draft model.
# - `verify_costs` is a list of floats above 0: `verify_costs[k]` is the time of a run over k + 1 tokens.
#   `verify_costs[0]` is 1.0, the plain step. Its length says how many drafts may be tried: from 0 to
#   `len(verify_costs) - 1`.
#
# Return a tuple `(k, speedup)`: the number of drafts with the largest speed-up, an int, and that speed-up, a float of
# Python (float32 would round it). If several numbers of drafts have the same speed-up, take the smallest. k = 0 is no
# speculation: a speed-up of 1.0. The list is not changed.
#
#     best_k(0.5, 0.1, [1.0, 1.1, 1.3]) is (1, 1.25): 1.5 / (0.1 + 1.1) = 1.25, and 1.75 / (0.2 + 1.3) = 1.17

# %% nbgrader={"grade_id": "when_it_pays", "solution": true} course={"exercise": "15.when_it_pays"}
def best_k(acceptance, draft_cost, verify_costs):
    """(k, speed-up): the number of drafts with the largest speed-up over plain decoding."""
    ### BEGIN SOLUTION
    best, tokens = (0, 1.0), 1.0
    for k in range(1, len(verify_costs)):
        tokens += acceptance**k
        speedup = tokens / (k * draft_cost + verify_costs[k])
        if speedup > best[1]:
            best = k, speedup
    return best
    ### END SOLUTION

# %% nbgrader={"grade_id": "when_it_pays-check", "grade": true, "points": 2}
check("15.when_it_pays", best_k)

# %% [markdown]
# Two machines, made up. With one sequence a run over nine tokens takes as long as one over one. With a full batch each
# token more costs nine tenths of the first.

# %% tags=["raises-exception"]
for name, costs in (("one sequence", [1.0] * 9), ("a full batch", [1.0 + 0.9 * k for k in range(9)])):
    for acceptance in (0.5, 0.7, 0.9):
        k, speedup = best_k(acceptance, 0.1, costs)
        print(f"{name:>12}, {acceptance:.0%} accepted: {k} drafts, {speedup:.2f} times as fast")

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
