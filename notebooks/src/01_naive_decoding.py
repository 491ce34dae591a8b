# %% [markdown]
# # 01 · Naive decoding
#
# - **You will** build the loop that turns a model into text: logits, one token, and again. It is slow, and you will know exactly why.
# - **Why** this loop is the **oracle** of the course: the answer known to be right. Every faster method must give the same tokens.
# - **Time** 35 minutes, and as much again for the exercises.
# - **You need** lesson 00.
# - **After it** you can say which part of the work grows with the square of the length, which with the cube, and where both come from.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, load_model, predict, setup, show
from course_lib.decoding import distribution, generate_naive
from course_lib.kvcache import Recompute
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away

# %% [markdown]
# ## From tokens to logits
#
# A model is a stack of **layers**. In each, **attention** lets every token look at itself and the tokens before it: the
# token's *query* is compared with the *key* of each of them, which gives a score, and the scores decide how much of each
# one's *value* the token takes in. This happens several times side by side, in *heads*. After that a *feed-forward
# network*, two or three plain matrix products, works on each token by itself.
#
# The model takes two lists of equal length: the tokens, and the **position** of each in its text. Attention by
# itself sees a set of tokens, and a set has no order; the positions give it one.

# %%
prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
tokens = torch.tensor(prompt, device=model.device)
positions = torch.arange(len(prompt), device=model.device)

# %% [markdown]
# The third argument is the door behind which all of this course happens. The model computes queries, keys and
# values, then hands them over: `cache.attend(layer, q, k, v)`. `Recompute` is the simplest thing that can stand
# behind that door. It attends over what it was given and keeps nothing.

# %%
predict("01.rows", f"The prompt has {len(prompt)} tokens. How many rows of scores does one run of the model give?",
        ["One: for the token that comes next", f"{len(prompt)}: one for each token"], answer=1)

# %%
logits = model(tokens, positions, Recompute())
print(list(logits.shape), "= tokens in the text x entries in the vocabulary")

# %% [markdown]
# These scores are the **logits**. Row *i* scores what comes after token *i*, and it was computed from tokens
# 0 to *i* alone: a token never sees the ones behind it. That is the **causal mask**. In training, all rows are
# used at once. To go on writing we need the last one only.

# %%
last = logits[-1]
probabilities = last.softmax(-1)
for p, token in zip(*probabilities.topk(5)):
    print(f"{p:6.1%}  {tokenizer.token_text(int(token))!r}")

# %% [markdown]
# `softmax` makes probabilities of logits: each becomes positive (`exp`), and all are divided by their sum.
#
# ## From logits to one token
#
# **Greedy** decoding takes the largest logit. It is the right choice for comparing methods, since nothing is
# left to chance, and it is what the exercise `01.greedy` asks for.

# %%
print(repr(tokenizer.token_text(int(last.argmax()))))

# %% [markdown]
# **Sampling** draws from the probabilities instead. Three knobs reshape them first:
#
# - **temperature** divides the logits. Below 1 the likely tokens gain, above 1 the unlikely ones do.
# - **top-k** keeps the *k* likeliest tokens and cuts the rest.
# - **top-p** keeps the fewest likeliest tokens whose probabilities together reach *p*.
#
# How does temperature change what may be drawn? Here is the row above at three temperatures.

# %%
import matplotlib.pyplot as plt

order = last.argsort(descending=True)[:12]
labels = [tokenizer.token_text(int(token)).strip(" ").replace("\n", "(new line)") for token in order]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharex=True, sharey=True, layout="constrained")
for axis, temperature in zip(axes, (0.5, 1.0, 2.0)):
    axis.barh(range(len(order)), (last / temperature).softmax(-1)[order].cpu(), color="#0072B2")
    axis.set(title=f"temperature {temperature}", xlabel="probability", xlim=(0, 1))
axes[0].set_yticks(range(len(order)), labels)
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# The order of the tokens never changes, only how far apart they are. Cutting is the other way to be careful.
# Both cuts fit in a few lines.

# %%
def keep_top_k(probabilities, k):
    """The k likeliest tokens, made to sum to 1 again."""
    kept = torch.zeros_like(probabilities)
    best = probabilities.topk(k).indices
    kept[best] = probabilities[best]
    return kept / kept.sum()


def keep_top_p(probabilities, p):
    """The fewest likeliest tokens that reach p together; the one that crosses the line stays."""
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(0) - ordered  # what the likelier ones reach without this one
    ordered[before >= p] = 0
    kept = torch.zeros_like(probabilities)
    kept[order] = ordered
    return kept / kept.sum()


for name, kept in (("all", probabilities), ("top-k 5", keep_top_k(probabilities, 5)),
                   ("top-p 0.9", keep_top_p(probabilities, 0.9))):
    print(f"{name:<10} {int((kept > 0).sum()):>5} tokens can be drawn, the likeliest with {kept.max():.1%}")

# %% [markdown]
# In `course_lib` the three steps stand in one function, in the order that vLLM uses. What was added: rows for
# many sequences at once, ties that always go the same way, and temperature 0 for greedy.

# %%
show(distribution)

# %% [markdown]
# Step through what the model thought while it wrote a sentence, and what top-p left of it. Hatched bars were cut:
# the model gave them some probability, and the knobs took it away. Often one token is left; in step 19, the picture
# below the view, it is two.

# %%
from course_lib.decoding import record_choices
from course_lib.viz import next_token_probabilities

careful = SamplingParams(temperature=0.8, top_p=0.9, max_tokens=24, seed=2)
new = generate_naive(model, prompt, careful)
thoughts = next_token_probabilities(*record_choices(model, tokenizer, prompt, new, careful))
thoughts

# %%
thoughts.snapshot(step=19)

# %% [markdown]
# ## The loop
#
# Now put it together. This is all of it: run, take the last row, choose, append, again.

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
# The same in `course_lib`. What was added: sampling, a token that ends the text, checks on the prompt, and
# `logits_for`, which asks for the last row alone (every other row would be multiplied by the whole vocabulary
# for nothing).

# %%
show(generate_naive)

# %%
theirs = generate_naive(model, prompt, SamplingParams(max_tokens=40))
print("the same tokens:", mine == theirs)

# %% [markdown]
# ## What it computes, and how often
#
# A **trace** is a record of what happened, which a view can play back. This one notes, for each run of the
# model, the first position that went through it and the one after the last. To record it we put a thin object in front of
# the cache; the model does not notice, because it only knows the door.

# %%
class Watched:
    """A cache that counts what passes through the door of the first layer, and hands everything on."""

    def __init__(self, cache, runs):
        self.cache, self.runs = cache, runs

    def attend(self, layer, q, k, v):
        if layer == 0:
            self.runs.append((0, q.shape[0]))
        return self.cache.attend(layer, q, k, v)


def generate_watched(token_ids, max_tokens):
    ids, runs = list(token_ids), []
    for _ in range(max_tokens):
        cache = Watched(Recompute(), runs)
        logits = model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), cache)
        ids.append(int(logits[-1].argmax()))
    return ids, runs


ids, runs = generate_watched(prompt, 24)

# %%
from course_lib.viz import recomputation_triangle

triangle = recomputation_triangle([tokenizer.token_text(token) for token in ids[:-1]], runs, prompt_tokens=len(prompt))
triangle

# %%
triangle.snapshot(step=triangle.last)

# %% [markdown]
# Every step computes again what the last one knew. The causal mask makes this waste complete: since a token
# never sees the ones behind it, nothing about the earlier tokens *can* have changed.
#
# ## Measure: counts first
#
# Counts are the same on every machine, so they come before any time. Let *p* be the tokens of the prompt and *n*
# the new ones, with steps counted from 0. Step *i* pushes *m = p + i* tokens through the model. In each attention head
# every token looks at itself and all before it, so that step computes 1 + 2 + … + *m* attention scores, which is
# *m*(*m* + 1)/2.

# %%
predict("01.double", "You ask for twice as many new tokens, many more than the prompt has. How much more work is attention?",
        ["About twice as much", "About four times", "About eight times"], answer=2)

# %%
def work(p, n):
    """(tokens pushed, attention scores for each head and layer) of n new tokens after p."""
    tokens = sum(p + i for i in range(n))
    scores = sum((p + i) * (p + i + 1) // 2 for i in range(n))
    return tokens, scores


counted = sum(end - start for start, end in runs)
print("pushed, counted at the door:", counted)
print("pushed, by the formula:     ", work(len(prompt), 24)[0])
print()
print(f"{'new tokens':>10} {'pushed':>12} {'x':>6} {'attention scores':>18} {'x':>6}")
before = None
for n in (64, 128, 256, 512, 1024):
    pushed, scores = work(len(prompt), n)
    growth = [f"{now / then:.1f}" for now, then in zip((pushed, scores), before)] if before else ["", ""]
    print(f"{n:>10} {pushed:>12,} {growth[0]:>6} {scores:>18,} {growth[1]:>6}")
    before = pushed, scores

# %% [markdown]
# Each time *n* doubles, the tokens pushed grow towards four times as many: a **quadratic** term, from the matrix
# products that make queries, keys and values and from the feed-forward network, which work token by token. The attention
# scores grow towards eight times as many: a **cubic** term, since each run is already quadratic in its length, and there
# are *n* runs.
#
# The cache of lesson 02 will turn these into a linear and a quadratic one. Remember which is which: "from O(n²) to O(n)"
# is true of some quantity each time you read it, and it is worth asking of which.
#
# Which of the two matters? That depends on the length. Let us count the floating-point operations of one run, in
# units of a thousand million (GFLOP): the work on each token by itself on one side, attention on the other.

# %%
def flops(n):
    """Floating-point operations of one run over n tokens: (token by token, attention), a product and a sum each."""
    c = model.config
    heads = c.num_heads * c.head_dim
    per_token = 2 * (c.num_parameters - c.vocab_size * c.hidden_size)  # every weight once; the embedding is a look-up
    vocabulary = 2 * c.vocab_size * c.hidden_size  # for the last row alone
    scores = n * (n + 1) // 2
    return n * per_token + vocabulary, c.num_layers * scores * 4 * heads


lengths = list(range(32, 2049, 32))
linear, attention = zip(*(flops(n) for n in lengths))
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
axis.stackplot(lengths, [x / 1e9 for x in linear], [x / 1e9 for x in attention],
               labels=["layers and vocabulary: grows with n", "attention: grows with n²"], colors=["#56B4E9", "#D55E00"])
axis.set(xlabel="tokens in the text", ylabel="GFLOP of one run", title="What one more token costs without a cache")
axis.margins(x=0)
axis.legend(loc="upper left")
plt.show()
for n in (128, 512, 2048):
    print(f"{n:>5} tokens in the text: attention is {flops(n)[1] / sum(flops(n)):4.0%} of the run")

# %% [markdown]
# In short texts the work on single tokens is nearly everything; attention catches up as the text grows.
#
# That was a formula, written by hand. PyTorch has a counter that watches the matrix products that really run. Leaving
# attention aside, which one call does as a whole, both must agree. One correction: the formula took every weight for
# part of a matrix, and the model also has a few that only scale. They stand in its *norms*, small steps that keep the
# numbers between the layers at one size.

# %%
from torch.utils.flop_counter import FlopCounterMode

from course_lib.decoding.work import ATTENTION_FLOPS  # for torch's call of attention, which its counter does not know everywhere

n = 256
with FlopCounterMode(display=False, custom_mapping=ATTENTION_FLOPS) as counter:
    model(torch.zeros(n, dtype=torch.int64, device=model.device), torch.arange(n, device=model.device), Recompute(),
          logits_for=torch.tensor([n - 1], device=model.device))
by_operation = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
products = sum(count for op, count in by_operation.items() if op in ("aten.mm", "aten.addmm"))
norms = 2 * n * (2 * model.config.num_layers + 1) * model.config.hidden_size  # two norms a layer, one at the end
print(f"matrix products, counted {products / 1e9:.3f} GFLOP, by the formula {(flops(n)[0] - norms) / 1e9:.3f} GFLOP")

# %% [markdown]
# ## Measure: time
#
# And in seconds, on this machine. Does the time follow the counts? If it does, the last column stays about the same.

# %% tags=["nbval-ignore-output"]
import time

seconds = []
for n in (64, 128, 256, 512, 1024):
    tokens = torch.zeros(n, dtype=torch.int64, device=model.device)
    positions = torch.arange(n, device=model.device)
    row = torch.tensor([n - 1], device=model.device)
    with torch.inference_mode():
        model(tokens, positions, Recompute(), logits_for=row).cpu()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            model(tokens, positions, Recompute(), logits_for=row).cpu()
            times.append(time.perf_counter() - start)
    seconds.append(sorted(times)[2])
    print(f"{n:>5} tokens in the text: {1000 * seconds[-1]:6.1f} ms for the next one, "
          f"{sum(flops(n)) / 1e9 / seconds[-1]:6.1f} GFLOP a second")

# %% [markdown]
# Median of five runs, after one to warm up. Short texts reach fewer GFLOP a second, since each run also has work that
# does not depend on the length, such as starting every operation.
#
# On a large GPU that is nearly all there is. The same model, recorded on an H200:

# %%
from course_lib.recorded import recorded

recorded("01")

# %% [markdown]
# The work grows with the text, and the time stays where it is: this GPU needs longer to be told what to do than to do it.
# Our model is far too small for it. Lesson 02 shows a model that is not, and lesson 09 returns to the idle GPU.
#
# ## Break it
#
# The cost comes from pushing the whole text. So why not push less? The most tempting shortcut is to show the
# model only the last few tokens.

# %%
predict("01.window", "A loop that shows the model only the last 24 tokens: what happens to the story?",
        ["Nothing much: the last words matter most", "It forgets who and what, and in the end how to write",
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
# Watch the names and the things from sentence to sentence: the loop has no idea what the tale was about. Then the
# sentences themselves come apart, since the model has never seen a text that starts in the middle. Questions about
# held-out tales, as in lesson 00, put a number on it.

# %%
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale

asked, right, right_forgetful = 0, 0, 0
for seed in range(HELD_OUT + 50, HELD_OUT + 62):
    tale = make_tale(seed, chapters=1)
    for question in tale.questions[:2]:
        ids = tokenizer.encode(tale.text[: question.answer_start].rstrip())
        wanted = tale.text[question.answer_start : question.answer_end]
        asked += 1
        right += tokenizer.decode(my_generate(model, ids, 8)).strip().startswith(wanted)
        right_forgetful += tokenizer.decode(generate_forgetful(model, ids, 8)).strip().startswith(wanted)
print(f"{asked} questions: {right} right with the whole text, {right_forgetful} right with the last 24 tokens")

# %% [markdown]
# So the whole text must have its say in every step. But must it be *computed* in every step? That is the next
# lesson.
#
# ## Three questions
#
# <details><summary><b>1. Why is the last row of logits enough to write on, although the model gives a row for each token?</b></summary>
#
# The other rows say what follows earlier tokens, and we already know what followed them. Training needs them
# all; decoding throws them away, which is why <code>logits_for</code> exists.
# </details>
#
# <details><summary><b>2. The prompt has 1,000 tokens and you write 10. Is the triangle's waste large or small?</b></summary>
#
# Large: 10 runs of about 1,000 tokens, where 1,009 different ones would do. Long prompts with short answers are
# common in practice, so the waste is not only a matter of long outputs.
# </details>
#
# <details><summary><b>3. Top-k of 1 and temperature 0: do they always choose the same token?</b></summary>
#
# Yes: the likeliest token is the only one left, whatever the temperature is. Here ties go to the lowest id in
# both; another library may settle ties differently, and then two greedy decoders can part company.
# </details>
#
# ## Next
#
# `exercises/01_naive_decoding.ipynb`: write `greedy`, `sample`, `generate` and `count_work` yourself. Then
# lesson 02 keeps what the triangle throws away.
