# %% [markdown]
# # 01 · Naive decoding
#
# - **You will** build the loop that turns a model into text: run the model, choose one token, append it, and again.
# - **Why** this loop is slow and right. The course compares faster methods with it, token by token, in float32.
# - **Time** 50 minutes, and 60 for the exercises.
# - **You need** lesson 00.
# - **After it** you can say which part of the work grows with the square of the number of new tokens, which part
#   with the cube, and why.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup
from course_lib.decoding import distribution, generate_naive
from course_lib.kvcache import Recompute
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)

# %% [markdown]
# ## From tokens to logits
#
# A model looks up a vector for each token in a table, the **embedding**. Then come **layers**, one after the other. In
# each layer, **attention** computes three vectors from each token: a *query*, a *key* and a *value*. The query of a
# token is compared with the keys of this token and of all tokens before it. Each comparison, the dot product
# query · key, gives an **attention score**. The scores decide how much of each value the token takes in. This happens
# several times side by side, in *heads*. After attention, a *feed-forward network* (two or three matrix products) works
# on each token by itself. After the last layer, one more matrix product gives the output of the model.
#
# The model takes two lists of equal length: the tokens, and the **position** of each in its sequence. The positions
# tell attention in which order the tokens stand.

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
tokens = torch.tensor(prompt, device=model.device)
positions = torch.arange(len(prompt), device=model.device)

# %% [markdown]
# A run is a call, `model(tokens, positions, cache)`. Here `cache` is an object that computes attention. In each layer
# the model computes queries, keys and values, and calls `cache.attend(layer, q, k, v)`. Later lessons put other objects
# in this place. `Recompute` is the simplest: it computes attention over the tokens of this run, and keeps nothing.

# %%
predict("01.rows", f"The prompt has {len(prompt)} tokens. How many rows of numbers does one run of the model give?",
        ["One: for the token that comes next", f"{len(prompt)}: one for each token"], answer=1)

# %%
logits = model(tokens, positions, Recompute())
print(list(logits.shape), "= tokens in the sequence x entries in the vocabulary")

# %% [markdown]
# These numbers are the **logits**. Row *i* has one logit for each entry of the vocabulary: the larger it is, the more
# likely this entry comes after token *i*. No query is compared with the key of a later token: this rule is the
# **causal mask**. So row *i* depends on the tokens 0 to *i* only. Training uses all rows. To go on writing, we need the
# last row.
#
# `softmax` turns logits into probabilities: it takes `exp` of each, and divides by the sum.

# %%
last = logits[-1]
probabilities = last.softmax(-1)
for p, token in zip(*probabilities.topk(5)):
    print(f"{p:6.1%}  {tokenizer.token_text(int(token))!r}")

# %% [markdown]
# ' Juniper' gets most of the probability.
#
# ## From logits to one token
#
# **Greedy** decoding takes the token with the largest logit, here the first of these five. Nothing is left to chance,
# so it is used to compare methods.

# %%
print(repr(tokenizer.token_text(int(last.argmax()))))

# %% [markdown]
# **Sampling** draws a token from the probabilities. Three parameters change the probabilities before the draw:
#
# - **temperature** divides the logits. Below 1, the most likely token becomes more likely. Above 1, it becomes less
#   likely, and unlikely tokens become more likely. A temperature of 0, the default in this course, means greedy.
# - **top-k** keeps the *k* most likely tokens.
# - **top-p** keeps the fewest most likely tokens whose probabilities sum to at least *p*.
#
# Engines have more of these. vLLM, an open-source engine, and this course also have *min-p*: at 0.1 it keeps the tokens
# that are at least a tenth as likely as the most likely one.
#
# How does the temperature change the row above? The chart has the twelve most likely tokens.

# %%
from course_lib.viz import chart

order = last.argsort(descending=True)[:12]
labels = [tokenizer.token_text(int(token)).strip(" ").replace("\n", "(new line)") for token in order]
chart("Probabilities of the next token at three temperatures",
      {f"temperature {t}": (labels, (last / t).softmax(-1)[order].tolist()) for t in (0.5, 1.0, 2.0)},
      x="token", y="probability", kind="bars")

# %% [markdown]
# At 0.5 the first token has almost all of the probability, at 2.0 less than half. The order of the tokens stays. Top-k
# and top-p cut the unlikely ones. Each of the two cuts needs a few lines.

# %%
def keep_top_k(probabilities, k):
    """The k most likely tokens, divided by their sum. A k larger than the vocabulary keeps all."""
    kept = torch.zeros_like(probabilities)
    best = probabilities.topk(min(k, len(probabilities))).indices
    kept[best] = probabilities[best]
    return kept / kept.sum()


def keep_top_p(probabilities, p):
    """The fewest most likely tokens whose sum reaches p. The token with which the sum reaches p is kept."""
    ordered, order = probabilities.sort(descending=True, stable=True)
    before = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)[:-1]])  # the sum over all more likely tokens
    kept = torch.zeros_like(probabilities)
    kept[order] = torch.where(before < p, ordered, 0.0)
    return kept / kept.sum()


for name, kept in (("all", probabilities), ("top-k 5", keep_top_k(probabilities, 5)),
                   ("top-p 0.9", keep_top_p(probabilities, 0.9))):
    print(f"{name:<10} {int((kept > 0).sum()):>5} tokens can be drawn, the most likely with {kept.max():.1%}")

# %% [markdown]
# Top-p 0.9 keeps two tokens, because the first alone has less than 90 %.
#
# `distribution` of `course_lib` does this in vLLM's order: temperature, min-p, top-k, top-p. It gives the same
# probabilities.

# %%
both = keep_top_p(keep_top_k((last / 0.8).softmax(-1), 50), 0.9)
theirs = distribution(last, SamplingParams(temperature=0.8, top_k=50, top_p=0.9))
print("largest difference:", f"{(both - theirs).abs().max():.1e}", "- the same tokens are cut:", bool(((both > 0) == (theirs > 0)).all()))

# %% [markdown]
# The view shows the probabilities in each of 24 steps, and what top-p left of them. Hatched bars were cut. In step 7
# they are too small to see; step through the others. The cell after the view counts the tokens that are left.

# %%
from course_lib.decoding import record_choices
from course_lib.viz import next_token_probabilities

careful = SamplingParams(temperature=0.8, top_p=0.9, max_tokens=24, seed=2)
new = generate_naive(model, prompt, careful)
thoughts = next_token_probabilities(*record_choices(model, tokenizer, prompt, new, careful))
thoughts.step = 7
thoughts

# %%
def left_by_top_p(step):
    """How many tokens can be drawn in this step, counted from 1."""
    ids = torch.tensor([*prompt, *new[: step - 1]], device=model.device)
    row = model(ids, torch.arange(len(ids), device=model.device), Recompute())[-1]
    return int((distribution(row, careful) > 0).sum())


left = [left_by_top_p(step) for step in range(1, len(new) + 1)]
print("tokens that top-p left in each step:", left)
print(f"step 7: {left[6]}; one token only in {left.count(1)} of {len(left)} steps")

# %% [markdown]
# In most of these steps top-p leaves a single token.
#
# ## The loop
#
# Now the loop, with greedy decoding: run the model, take the last row, choose a token, append it, and again.

# %%
@torch.inference_mode()
def my_generate(model, token_ids, max_tokens):
    ids = list(token_ids)
    for _ in range(max_tokens):
        tokens = torch.tensor(ids, device=model.device)
        positions = torch.arange(len(ids), device=model.device)
        logits = model(tokens, positions, Recompute())
        ids.append(int(logits[-1].argmax()))
    return ids[len(token_ids):]


mine = my_generate(model, prompt, 40)
print(wrapped(tokenizer.decode(mine)))

# %% [markdown]
# `generate_naive` of `course_lib` is this loop with sampling, stop tokens (after which it ends), and checks of the
# prompt. It also asks the model for the last row of logits alone, `logits_for`, because the other rows are not used.

# %%
theirs = generate_naive(model, prompt, SamplingParams(max_tokens=40))
print("the same tokens:", mine == theirs)

# %% [markdown]
# ## What "the same tokens" means
#
# The course compares faster methods with this loop, and asks for the same tokens. Two methods can add the same numbers
# in another order, and rounding then changes the last digits of the logits. When the two largest logits are very close,
# this can change the token.
#
# The fewer digits a number has, the more often it happens. Servers often run in **bfloat16** or **float16**, numbers of
# 16 bits. Here are the two largest logits of one step in float32, and the same two numbers rounded to bfloat16.

# %%
close = tokenizer.encode("Put your head on the pillow and listen. Far away, by a")
ids = torch.tensor(close, device=model.device)
row = model(ids, torch.arange(len(close), device=model.device), Recompute())[-1]
two = row.topk(2).indices.tolist()
for dtype in (torch.float32, torch.bfloat16):
    rounded = row.to(dtype)
    shown = ", ".join(f"{tokenizer.token_text(i)!r} (id {i}) {rounded[i].item():.4f}" for i in two)
    largest = int((rounded == rounded.max()).nonzero()[0])
    print(f"{str(dtype):<15} {shown}: greedy takes {tokenizer.token_text(largest)!r}")
for dtype in (torch.bfloat16, torch.float32):
    print(f"from 16 to 32, the step from one {dtype} number to the next is {16 * torch.finfo(dtype).eps:.3g}")

# %% [markdown]
# In float32 the first logit is larger by 0.05. The step between bfloat16 numbers is larger, 0.125. Here both logits
# become the same number, and the lower id is taken: another token. A server that runs in bfloat16 rounds in every
# layer, not only at the end. The cell below runs the whole model in bfloat16 on the first 120 tokens of ten tales, and
# counts the places where the most likely token is another one.

# %% tags=["nbval-ignore-output"]
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale

half, _ = load_model("tale", device=model.device, dtype=torch.bfloat16)
places = changed = 0
with torch.inference_mode():
    for seed in range(HELD_OUT + 200, HELD_OUT + 210):
        ids = torch.tensor(tokenizer.encode(make_tale(seed, chapters=1).text)[:120], device=model.device)
        at = torch.arange(len(ids), device=model.device)
        places += len(ids)
        changed += int((model(ids, at, Recompute()).argmax(-1) != half(ids, at, Recompute()).argmax(-1)).sum())
print(f"{changed} of {places} places have another most likely token in bfloat16")

# %% [markdown]
# At these places greedy decoding takes another token in bfloat16 than in float32.
#
# And what if only the order of the sums changes? A **kernel** is the program that computes an operation. It can choose
# the order of its sums by the number of rows, and a run has one row for each token. The next cell computes 100 rows of
# logits in two ways, with the same weights. For each tale it runs the model once on 120 tokens, and takes ten of the
# rows. Then it computes each of these as the last row of a shorter run.

# %% tags=["nbval-ignore-output"]
@torch.inference_mode()
def in_two_ways(model, seeds=range(HELD_OUT + 200, HELD_OUT + 210), ends=range(20, 120, 10)):
    """How many rows of logits differ, by how much at most, and in how many the most likely token is another one."""
    other = tokens = 0
    largest = 0.0
    for seed in seeds:
        ids = torch.tensor(tokenizer.encode(make_tale(seed, chapters=1).text)[:120], device=model.device)
        at = torch.arange(120, device=model.device)
        rows = model(ids, at, Recompute())
        for end in ends:
            shorter = model(ids[:end], at[:end], Recompute())[-1]
            difference = float((rows[end - 1] - shorter).abs().max())
            other, largest = other + (difference > 0), max(largest, difference)
            tokens += int(rows[end - 1].argmax() != shorter.argmax())
    print(f"{str(model.dtype):<15} {other} of {len(seeds) * len(ends)} rows differ, by at most {largest:.1g}; "
          f"another most likely token in {tokens}")


in_two_ways(model)
in_two_ways(half)

# %% [markdown]
# Many rows differ. In float32 the differences changed no token here. In bfloat16 they are thousands of times as large,
# and can change a token: the largest is more than the 0.05 between the two logits above. On a
# server the number of rows depends on the *batch*, the requests that share a run of the model. So in 16 bits the tokens
# of a request can depend on the requests beside it. Servers accept it, or use *batch-invariant* kernels, whose order
# does not change.
#
# The rule of this course is therefore: **in float32, greedy decoding gives the same tokens**. Lessons that compare
# tokens run in float32. Even in float32 two logits can be closer than these differences. Where a comparison finds two
# different tokens, it has to see how close their logits are.
#
# ## What it computes, and how often
#
# A function that runs before each run of the model notes its start, token 0, and how many tokens go in. The view draws
# each run as a row.

# %%
runs = []
hook = model.register_forward_pre_hook(lambda module, inputs: runs.append((0, len(inputs[0]))))
new = my_generate(model, prompt, 24)
hook.remove()
print("tokens in each run:", [end for _, end in runs])

# %%
from course_lib.viz import recomputation_triangle

pieces = [tokenizer.token_text(token) for token in [*prompt, *new][:-1]]
triangle = recomputation_triangle(pieces, runs, prompt_tokens=len(prompt))
triangle.step = triangle.last
triangle

# %% [markdown]
# Solid places are tokens that the model computes for the first time. Hatched places were computed in an earlier run.
# Because of the causal mask, the earlier tokens give the same keys and values again, up to rounding (lesson 02
# compares them): all hatched work is repeated.
#
# ## Measure: counts first
#
# Counts are the same on every machine, so they come before times. Let *p* be the number of tokens in the prompt and
# *n* the number of new tokens. Step *i*, counted from 0, runs the model on *m = p + i* tokens. In one head, each
# token is compared with itself and all tokens before it. So the step computes 1 + 2 + … + *m* = *m*(*m* + 1)/2
# attention scores in each head of each layer.

# %%
predict("01.double", "You ask for twice as many new tokens, many more than the prompt has. How many times as much work does attention do?",
        ["About twice as much", "About four times", "About eight times"], answer=2)

# %%
def work(p, n):
    """(tokens run, attention scores for each head and layer) of n new tokens after p."""
    tokens = sum(p + i for i in range(n))
    scores = sum((p + i) * (p + i + 1) // 2 for i in range(n))
    return tokens, scores


print("tokens run, counted above:", sum(end for _, end in runs))
print("by the formula:           ", work(len(prompt), 24)[0])
print()
print(f"{'new tokens':>10} {'tokens run':>12} {'x':>6} {'attention scores':>18} {'x':>6}")
before = None
for n in (64, 128, 256, 512, 1024):
    tokens_run, scores = work(len(prompt), n)
    growth = [f"{now / then:.1f}" for now, then in zip((tokens_run, scores), before)] if before else ["", ""]
    print(f"{n:>10} {tokens_run:>12,} {growth[0]:>6} {scores:>18,} {growth[1]:>6}")
    before = tokens_run, scores

# %% [markdown]
# The columns *x* compare with the row above. The scores are those of one head in one layer.
#
# Each time *n* doubles, the number of tokens run grows towards four times as many: it is **quadratic** in *n*. The
# matrix products with weights, for queries, keys and values and in the feed-forward network, work on each token once
# a run, so their work grows in the same way. The number of attention scores grows towards eight times as many: it is
# **cubic**. The scores of one run are quadratic in its length, and there are *n* runs.
#
# The cache of lesson 02 makes the first linear and the second quadratic. When you read "from O(n²) to O(n)", ask
# which quantity is meant.
#
# How much of the work is attention depends on the length. The next cell counts the floating-point operations of one run
# over *m* tokens, in GFLOP (10⁹ operations). A multiplication and an addition count as two.

# %%
def flops(m):
    """Floating-point operations of one run over m tokens: (matrix products with weights, attention)."""
    c = model.config
    norms = (2 * c.num_layers + 1) * c.hidden_size  # weights that only scale; all others are in matrix products
    per_token = 2 * (c.num_parameters - c.vocab_size * c.hidden_size - norms)  # the embedding is a look-up
    vocabulary = 2 * c.vocab_size * c.hidden_size  # for the last row alone
    scores = m * (m + 1) // 2
    per_score = 4 * c.head_dim  # 2 for query · key, 2 for the value
    return m * per_token + vocabulary, c.num_layers * c.num_heads * scores * per_score


lengths = list(range(32, 2049, 32))
linear, attention = zip(*(flops(m) for m in lengths))
chart("Operations of one run without a cache, by the length of the sequence",
      {"matrix products": (lengths, [x / 1e9 for x in linear]), "attention": (lengths, [x / 1e9 for x in attention])},
      x="tokens in the sequence", y="operations", y_unit="GFLOP")

# %%
for m in (128, 512, 2048):
    print(f"{m:>5} tokens in the sequence: attention is {flops(m)[1] / sum(flops(m)):4.0%} of the run")

# %% [markdown]
# At these lengths most of the operations are in the matrix products. The share of attention grows with the length.
#
# The formula was written by hand. PyTorch can count the operations while they run. In attention, PyTorch counts the
# whole square of *m* × *m* scores, because the operation is called for all of it. The formula counts the triangle
# that the causal mask leaves.

# %%
from torch.utils.flop_counter import FlopCounterMode

from course_lib.decoding.work import ATTENTION_FLOPS  # torch does not count its attention on every machine

m = 256
with FlopCounterMode(display=False, custom_mapping=ATTENTION_FLOPS) as counter:
    model(torch.zeros(m, dtype=torch.int64, device=model.device), torch.arange(m, device=model.device), Recompute(),
          logits_for=torch.tensor([m - 1], device=model.device))
counts = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
products = sum(count for op, count in counts.items() if op in ("aten.mm", "aten.addmm", "aten.bmm"))
square = sum(counts.values()) - products
print(f"matrix products: counted {products / 1e9:.3f} GFLOP, by the formula {flops(m)[0] / 1e9:.3f}")
print(f"attention:       counted {square / 1e9:.3f} GFLOP for the square; the triangle by the formula is {flops(m)[1] / 1e9:.3f}, "
      f"{flops(m)[1] / square:.1%} of it")
print(f"                 (m + 1) / 2m = {(m + 1) / (2 * m):.1%}")

# %% [markdown]
# Both parts agree with the counter: the triangle is (*m* + 1)/2*m* of the square.
#
# ## Measure: time
#
# Does the time follow the counts? If it does, the last column stays about the same.

# %% tags=["nbval-ignore-output"]
import time


def seconds(m):
    """Seconds of one run over m tokens: the shortest of five, after one to warm up."""
    tokens, positions = torch.zeros(m, dtype=torch.int64, device=model.device), torch.arange(m, device=model.device)
    row, times = torch.tensor([m - 1], device=model.device), []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            model(tokens, positions, Recompute(), logits_for=row).cpu()
            times.append(time.perf_counter() - start)
    return min(times[1:])


sizes = (64, 128, 256, 512, 1024)
taken = {m: seconds(m) for m in sizes}
for m in sizes:
    print(f"{m:>5} tokens in the sequence: {1000 * taken[m]:6.1f} ms for the next token, "
          f"{sum(flops(m)) / 1e9 / taken[m]:6.1f} GFLOP a second")

# %% [markdown]
# Where the last column grows, the time does not follow the counts. One reason: each operation also has to be started,
# which takes the same time at any length. In a short sequence this is a larger part of the time.
#
# On a large GPU it is almost all of the time. Here is the same model on an H200, and this machine beside it, on
# logarithmic axes:

# %% tags=["nbval-ignore-output"]
from course_lib.recorded import recorded

run = recorded("01")
on_h200 = run.column("tokens in the text")
display(chart("Time for the next token without a cache",
              {"this machine": (list(sizes), [1000 * taken[m] for m in sizes]),
               "H200, recorded": (on_h200, run.column("ms"))},
              x="tokens in the sequence", y="time", y_unit="ms", log="xy"))
print(run.source)

# %% [markdown]
# On the H200, 16 times as many tokens take about the same time, from 64 to 1,024. For most of the time the GPU waits
# until the next operation is started, or *launched*: these runs are **launch-bound**. This model is far too small for
# such a GPU. Lesson 02 shows a larger model, and lesson 13 launches all operations of a step at once.
#
# ## Break it
#
# The work comes from running the whole sequence in each step. What happens if the model gets only the last few tokens?

# %%
predict("01.window", "A loop that gives the model only the last 24 tokens: what happens to the story?",
        ["Almost nothing: the last words matter most", "It forgets who and what, and in the end how to write",
         "It stops after a sentence"], answer=1)

# %%
@torch.inference_mode()
def generate_forgetful(model, token_ids, max_tokens, window=24):
    ids = list(token_ids)
    for _ in range(max_tokens):
        seen = torch.tensor(ids[-window:], device=model.device)
        logits = model(seen, torch.arange(len(seen), device=model.device), Recompute())
        ids.append(int(logits[-1].argmax()))
    return ids[len(token_ids):]


print(wrapped(tokenizer.decode(generate_forgetful(model, prompt, 120))))

# %% [markdown]
# Names and things change, because the model does not see the earlier sentences. Some sentences break, too. Questions
# about held-out tales, as in lesson 00, give a number.

# %%
asked, right, right_forgetful = 0, 0, 0
for seed in range(HELD_OUT + 50, HELD_OUT + 56):
    tale = make_tale(seed, chapters=1)
    for question in tale.questions[:2]:
        ids = tokenizer.encode(tale.text[: question.answer_start].rstrip())
        wanted = tale.text[question.answer_start : question.answer_end]
        asked += 1
        right += tokenizer.decode(my_generate(model, ids, 8)).strip().startswith(wanted)
        right_forgetful += tokenizer.decode(generate_forgetful(model, ids, 8)).strip().startswith(wanted)
print(f"{asked} questions: {right} right with the whole sequence, {right_forgetful} right with the last 24 tokens")

# %% [markdown]
# So each step has to use the whole sequence. It does not have to compute the whole sequence again: lesson 02
# shows how. (There are models that are trained to attend to a window of the newest tokens. Lesson 14 has them.)
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("01")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. Why is the last row of logits enough to go on, although the model gives a row for each token?</b></summary>
#
# The other rows say what comes after earlier tokens, and these are known already. Training uses all rows. Decoding
# uses the last one, which is why <code>logits_for</code> exists.
# </details>
#
# <details><summary><b>2. The prompt has 1,000 tokens and you write 10. How much of the work is repeated?</b></summary>
#
# Almost nine tenths: 10 runs of 1,000 to 1,009 tokens are 10,045 tokens, and 1,009 are different ones. So even a short
# answer repeats most of the work when the prompt is long.
# </details>
#
# <details><summary><b>3. Top-k of 1 and temperature 0: do they always choose the same token?</b></summary>
#
# In <code>generate_naive</code>, yes: in both cases the lowest id is taken among equal logits. <code>topk</code> in
# <code>keep_top_k</code> may take any of the equal ones. Two greedy decoders can differ in the same way.
# </details>
#
# ## Next
#
# [exercises/01_naive_decoding.ipynb](../exercises/01_naive_decoding.ipynb):
# write `greedy`, `sample`, `generate` and `count_work` yourself. Lesson 02 then
# keeps the keys and values that this loop computes again and again.
