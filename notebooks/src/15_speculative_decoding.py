# %% [markdown]
# # 15 · Speculative decoding
#
# - **You will** let a small model guess the next tokens and the large one check them all in one run, first greedily,
#   then with sampling, and count what that brings.
# - **Why** a decode step reads all weights for one token. It can check four guesses with the same reading.
# - **Time** 45 minutes, and an hour for the exercises.
# - **You need** lessons 01, 02 and 10. The part about speed uses the cost model of lesson 12.
# - **After it** you can say why the text stays the same, how many drafts pay on a machine, and when none do.
#
# Counts and texts are the same on every machine, unless a last digit is rounded in another way and changes a token.
# Times are those of your machine. Tables of an H200 are recorded and say so.

# %% [markdown]
# {{colab}}

# %%
import random
import time
from bisect import bisect_right
from functools import partial

import matplotlib.pyplot as plt
import torch

from course_lib import Engine, EngineConfig, SamplingParams, guesses, load_model, predict, setup, show
from course_lib.decoding import generate_cached, generate_naive
from course_lib.decoding.generate_speculative import generate_speculative
from course_lib.decoding.prompt_lookup import PromptLookup
from course_lib.engine import DraftModel, NGram
from course_lib.kvcache import ContiguousCache
from course_lib.models import ModelConfig
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale
from course_lib.recorded import recorded
from course_lib.viz import chart, timeline_view
from course_lib.workload import CostModel, SimulatedDrafts, losing_batch, roofline

# %% tags=["nbval-ignore-output"]
setup()
model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
draft, _ = load_model("tale-draft", device="cpu", dtype=torch.float32)


def empty_cache(one, most):
    """A cache for `most` tokens of this model: on the device where the model is, in the numbers it computes in."""
    return ContiguousCache(one.config, most, device=one.device, dtype=one.dtype)


# %%
for name, one in (("tale", model), ("tale-draft", draft)):
    print(f"{name:>10}: {one.config.num_parameters / 1e6:.2f} million weights, {one.config.num_layers} layers, "
          f"{one.config.vocab_size:,} tokens in the vocabulary")
# The first 40 tokens of eight tales that the model was not trained on.
prompts = [tokenizer.encode(make_tale(HELD_OUT + i, chapters=2).text)[:40] for i in range(8)]

# %% [markdown]
# `tale-draft` was trained on the same tales, and it has the same vocabulary: a token id stands for the same piece of
# text in both. That is all that this lesson needs of it. We call the large one **the model** and the small one **the
# draft model**.
#
# ## Several tokens in one run
#
# In a decode step the model runs over one token. What does a run over more of them cost? We measure it with 300 tokens
# in the cache. `cache.shrink(300)` keeps the first 300 tokens of a cache, so each try begins with the same ones.

# %%
predict("15.run", "A run of `tale` over 5 new tokens, compared with a run over 1: how many times the time?",
        ["Up to 2.5 times", "About 5 times: each token is a step", "More than 5 times: attention grows too"], answer=0)

# %%
def seconds(act, tries=9):
    """The shortest processor time of some tries. It counts this process alone, so others disturb it little."""
    best = float("inf")
    for _ in range(tries):
        start = time.process_time()
        act()
        best = min(best, time.process_time() - start)
    return best


# %%
@torch.inference_mode()
def run_cost(one, n, length=300):
    """Seconds of a run over n tokens after `length` others."""
    cache = empty_cache(one, length + n)
    one(torch.zeros(length, dtype=torch.int64), torch.arange(length), cache, logits_for=torch.tensor([length - 1]))
    tokens, positions = torch.zeros(n, dtype=torch.int64), torch.arange(length, length + n)

    def run():
        cache.shrink(length)
        one(tokens, positions, cache)

    return seconds(run)


# %% tags=["nbval-ignore-output"]
threads = torch.get_num_threads()
torch.set_num_threads(1)                                         # processor time adds up all threads
sizes = [1, 2, 3, 4, 5, 7, 9, 12, 16]
costs = {name: [1e3 * run_cost(one, n) for n in sizes] for name, one in (("tale", model), ("tale-draft", draft))}
torch.set_num_threads(threads)
chart("A run over several tokens, here", {name: (sizes, ms) for name, ms in costs.items()},
      x="tokens in the run", y="time", y_unit="ms")

# %% tags=["nbval-ignore-output"]
print(f"5 tokens take {costs['tale'][4] / costs['tale'][0]:.2f} times as long as 1; "
      f"a token of the draft model takes {costs['tale-draft'][0] / costs['tale'][0]:.2f} of one of the model")

# %% [markdown]
# Five tokens cost far less than five runs. A run reads each weight once, for all of its tokens (lesson 09).
#
# So if somebody told us the next four tokens, we could check them in one run. Row i of the logits says what the model
# would write after token i. If token i + 1 is the same, it is right.
#
# ## Guess and check
#
# How often does the draft model say the same as the model? We let the model write, and ask the draft model at every
# place what it would have written there.

# %%
predict("15.agree", "At how many of 100 places do both models have the same likeliest token?",
        ["About 30", "About 60", "About 90"], answer=2)

# %%
@torch.inference_mode()
def likeliest(one, token_ids):
    """The likeliest token after each of these tokens."""
    cache = empty_cache(one, len(token_ids))
    return one(torch.tensor(token_ids), torch.arange(len(token_ids)), cache).argmax(-1).tolist()


greedy = SamplingParams(max_tokens=100, ignore_eos=True)
texts = [prompt + generate_cached(model, prompt, greedy) for prompt in prompts]
same = total = 0
for prompt, text in zip(prompts, texts):
    for place, token in enumerate(likeliest(draft, text[:-1])[len(prompt) - 1:], len(prompt)):
        same, total = same + (token == text[place]), total + 1
print(f"the same at {same} of {total} places: {same / total:.0%}")

# %% [markdown]
# The places where they differ, marked in a text:

# %%
text = texts[0]
says = likeliest(draft, text[:-1])
for place in range(len(prompts[0]), len(text)):
    if says[place - 1] != text[place]:
        before, here, guess = (tokenizer.decode(ids) for ids in (text[place - 6:place], [text[place]], [says[place - 1]]))
        print(f"token {place:>3}: …{before!r}  model {here!r}, draft {guess!r}")

# %% [markdown]
# They differ where the text could go on in several ways, such as a month, a name or what somebody likes.
#
# ### Build it
#
# A step has three parts: the draft model writes `k` tokens, the model runs once over the newest token and these, and
# what agrees is kept, up to the first that does not.

# %%
@torch.inference_mode()
def logits_after(one, ids, cache):
    """Runs the tokens that are not in the cache, and returns their logits."""
    start = cache.num_tokens
    return one(torch.tensor(ids[start:]), torch.arange(start, len(ids)), cache)


def speculate(prompt, max_tokens, k):
    """Greedy text, and what happened in each step: (drafted, accepted)."""
    ids, record = list(prompt), []
    most = len(prompt) + max_tokens
    cache, draft_cache = empty_cache(model, most), empty_cache(draft, most)
    while len(ids) < most:
        drafted = []
        for _ in range(min(k, most - len(ids) - 1)):
            drafted.append(int(logits_after(draft, ids + drafted, draft_cache)[-1].argmax()))
        rows = logits_after(model, ids + drafted, cache)[-len(drafted) - 1:].argmax(-1).tolist()
        count = 0
        while count < len(drafted) and drafted[count] == rows[count]:
            count += 1
        ids += drafted[:count] + [rows[count]]
        record.append((len(drafted), count))
        cache.shrink(len(ids) - 1)                               # what was rejected leaves the caches
        # The draft model has not run over its own last draft. If that was accepted, its cache is one token shorter.
        draft_cache.shrink(min(draft_cache.num_tokens, len(ids) - 1))
    return ids[len(prompt):], record


written, record = speculate(prompts[0], 100, k=4)
print("the same text:", written == generate_naive(model, prompts[0], greedy))
print(f"{len(written)} tokens in {len(record)} runs of the model")
print("accepted in each:", *(accepted for _, accepted in record))

# %% [markdown]
# `rows[count]` needs no draft: the model itself says what stands in the place of the first wrong draft, or after the
# last right one. So each step brings at least one token, and **every token is one that the model chose**. The draft
# model decides how many runs it takes, and not what the text is. (In 16 bits a run over more rows may round in another
# way, and a token can change: lesson 01.) The last step has no draft, since only one token is missing there.
#
# ### See it
#
# The same in the engine. The first step runs over the prompts. In each step after it a request has its newest token and
# up to four drafts: full boxes were accepted, empty ones were not.

# %%
def engine_with(speculation, **config):
    return Engine(model, EngineConfig(block_size=8, num_blocks=64, speculation=speculation, **config), tokenizer=tokenizer)


engine = engine_with(DraftModel(model=draft, num_speculative_tokens=4))
outputs = engine.generate(prompts[:4], SamplingParams(max_tokens=40, ignore_eos=True))
view = timeline_view(engine.trace)
view.step = 6
view

# %%
alone = [generate_naive(model, prompt, SamplingParams(max_tokens=40, ignore_eos=True)) for prompt in prompts[:4]]
print("the texts of generate_naive:", [output.token_ids for output in outputs] == alone)
m = engine.metrics
print(f"{m.num_steps} steps for 40 tokens; {m.acceptance_rate:.0%} of {m.num_draft_tokens} drafts accepted, "
      f"{m.mean_acceptance_length:.2f} tokens for each step of a sequence with drafts")

# %% [markdown]
# - **The share of accepted drafts** counts all drafts. After the first wrong draft of a step all others are rejected
#   too, so one difference between the models can cost four drafts.
# - **The tokens for each step with drafts** are the accepted ones and one more. The first step and steps without drafts
#   do not count.
# - **Steps.** R2 has no rejected draft, and 9 steps are enough. R0 and R3 have the most rejected ones, and need 11.
# - **Blocks.** In step 7 R0 and R3 hold 8 blocks and need a ninth for their drafts alone. After the step they hold 8
#   again: the drafts were rejected, and the ninth block went back.
#
# ## Break it: a cache that keeps what was rejected
#
# Without `shrink`, rejected tokens stay in the cache, and the next step comes after them.

# %%
predict("15.stale", "The cache is not shrunk after a rejected draft. What happens?",
        ["An error", "The text is the same, only slower", "The text goes wrong after the first rejected draft"], answer=2)

# %%
def step_with(cache, ids, drafted, shrinks):
    """A step that checks these drafts. The new tokens."""
    start = cache.num_tokens
    tokens = ids[-1:] + drafted
    with torch.inference_mode():
        rows = model(torch.tensor(tokens), torch.arange(start, start + len(tokens)), cache).argmax(-1).tolist()
    count = next((i for i, token in enumerate(drafted) if token != rows[i]), len(drafted))
    if shrinks:
        cache.shrink(start + 1 + count)
    return drafted[:count] + [rows[count]]


for shrinks in (True, False):
    ids, cache = list(prompts[0]), empty_cache(model, 256)
    with torch.inference_mode():
        model(torch.tensor(ids[:-1]), torch.arange(len(ids) - 1), cache)
    for _ in range(12):
        ids += step_with(cache, ids, [7, 7], shrinks)            # two drafts that are wrong nearly always
    print(f"shrinks {shrinks!s:>5}: {tokenizer.decode(ids[len(prompts[0]):])!r}")

# %% [markdown]
# Nothing fails, and the text goes wrong at the third token. Each later token sees the rejected ones, and its position
# is too high.
#
# ## With sampling: the rule of acceptance
#
# At a temperature above 0 there is no single right token. The model has a distribution p, the draft model has q, and
# the drafted token x was drawn from q. If we kept it always, the text would be the draft model's. The rule of Leviathan
# et al. (2022) and Chen et al. (2023):
#
# 1. Accept x with probability min(1, p(x) / q(x)).
# 2. If it is not accepted, draw another token from max(0, p − q), divided by its sum.
#
# Why is the result distributed as p? Look at the two ways in which a token x can come out:
#
# - It was drafted and accepted: q(x) · min(1, p(x) / q(x)) = **min(p(x), q(x))**.
# - Another token was rejected, and x was drawn in its place. A token is rejected with probability 1 − Σ min(p, q). Then
#   x is drawn with probability max(0, p(x) − q(x)) / Σ max(0, p − q). The sum in this quotient is the same number,
#   since max(0, p − q) = p − min(p, q), and p sums to 1. So the product of both probabilities is
#   **max(0, p(x) − q(x))**.
#
# Together min(p(x), q(x)) + max(0, p(x) − q(x)) = p(x), whatever q is. A picture of it, at the first place of the list
# above:

# %%
@torch.inference_mode()
def distributions(ids, temperature=1.0):
    """p and q for the token after these."""
    rows = [logits_after(one, ids, empty_cache(one, len(ids)))[-1] for one in (model, draft)]
    return [(row / temperature).softmax(-1) for row in rows]


place = next(i for i in range(len(prompts[0]), len(text)) if says[i - 1] != text[i])
p, q = distributions(text[:place])
top = (p + q).topk(7).indices
names = [tokenizer.decode([int(i)]).strip() or "⏎" for i in top]
both, more, less = torch.minimum(p, q)[top], (p - q).clamp(min=0)[top], (q - p).clamp(min=0)[top]
figure, axes = plt.subplots(figsize=(8, 3))
axes.bar(range(7), both, color="#0072b2", label="drafted and accepted: min(p, q)")
axes.bar(range(7), more, bottom=both, color="#d55e00", label="drawn in place of a rejected one: max(0, p − q)")
axes.bar(range(7), less, bottom=both, fill=False, edgecolor="#777777", linestyle="--", label="drafted, rejected")
axes.set_ylim(top=1.45 * float((both + less).max()))
axes.set_xticks(range(7), names)
axes.set_ylabel("probability")
_ = axes.legend(frameon=False)

# %%
print(f"accepted here with probability {float(torch.minimum(p, q).sum()):.2f}")

# %% [markdown]
# The coloured bars together are p. The dashed part is what the draft model wanted too often.
#
# ### Test it
#
# A claim about distributions is tested by counting. 20,000 draws at this place, by the rule and by two wrong ones: one
# that accepts everything, and one that draws the replacement from p and not from what is left.
#
# We compare the counts with p by **chi-square**: the sum of (count − expected)² / expected over all tokens, where
# 20,000 · p is expected. Rare tokens are counted together as one. If the draws come from p, chi-square is about as
# large as its **degrees of freedom**, the number of terms less one.

# %%
predict("15.wrong", "Rejected drafts are replaced by a draw from p itself. Which tokens come too often?",
        ["Those that the draft model likes more than the model does", "Those that it likes less",
         "None: p is what we want"], answer=0)

# %% tags=["nbval-ignore-output"]
p, q = p.double(), q.double()
ratio = (p / q).tolist()                                         # of each token, for the rule above
p_sums, q_sums, left_sums = (weights.cumsum(0).tolist() for weights in (p, q, (p - q).clamp(min=0)))


def draw(sums, chance):
    """The first token at which the sum of the weights is above chance times the sum of all."""
    return min(bisect_right(sums, chance * sums[-1]), len(sums) - 1)


def by_rule(x, chances):
    return x if chances[0] < ratio[x] else draw(left_sums, chances[1])


def accepts_all(x, chances):
    return x


def replaces_from_p(x, chances):
    return x if chances[0] < ratio[x] else draw(p_sums, chances[1])


# %%
for rule in (by_rule, accepts_all, replaces_from_p):
    dice, counts = random.Random(0), [0] * len(p)
    for _ in range(20_000):
        counts[rule(draw(q_sums, dice.random()), (dice.random(), dice.random()))] += 1
    counts, expected = torch.tensor(counts, dtype=torch.float64), 20_000 * p
    often = expected >= 20                                       # chi-square needs tokens that come often enough
    rest = torch.stack([counts[~often].sum(), expected[~often].sum()])
    chi = float((((counts - expected) ** 2 / expected)[often]).sum() + (rest[0] - rest[1]) ** 2 / rest[1])
    print(f"{rule.__name__:>16}: chi-square {chi:>6,.0f} with {int(often.sum())} degrees of freedom; "
          f"{names[0]} {counts[top[0]] / 20_000:.3f}, {names[1]} {counts[top[1]] / 20_000:.3f}")
print(f"{'p itself':>16}: {names[0]} {float(p[top[0]]):.3f}, {names[1]} {float(p[top[1]]):.3f}")

# %% [markdown]
# The rule passes, and both wrong ones are far off. `replaces_from_p` draws *fresh* and *pancakes* too often. The
# accepted drafts alone bring them as often as p says, and the draw from p adds more of them.
#
# The engine does this for every row of a batch (`check` in `course_lib/engine/drafting.py`).
#
# The sampled text is another one than without drafts: other random numbers are used. Its distribution is the same. If
# the text itself must stay, there is a **strict** way. The random numbers of a token are a function of its seed and its
# position. The draft model and the model both draw with these numbers, and the draft is accepted if both draw the same
# token.

# %%
sampled = SamplingParams(max_tokens=60, temperature=0.8, seed=3, ignore_eos=True)
without = [generate_naive(model, prompt, sampled) for prompt in prompts[:4]]
for method in ("probabilistic", "strict"):
    engine = engine_with(DraftModel(model=draft, rejection_sample_method=method))
    outputs = engine.generate(prompts[:4], sampled)
    equal = [output.token_ids for output in outputs] == without
    print(f"{method:>13}: the texts of generate_naive: {equal!s:>5}; {engine.metrics.acceptance_rate:.0%} accepted")

# %% [markdown]
# Strict keeps the text of `generate_naive`, and accepts fewer drafts here.
#
# ## What it brings
#
# Let a be the probability that a draft is accepted if all before it were: the **acceptance**. Then a step with k drafts
# brings 1 + a + a² + … + aᵏ tokens on average, because the i-th draft counts only if all before it were accepted. It
# costs k runs of the draft model and one run of the model over k + 1 tokens.

# %%
def expected_tokens(a, k):
    return sum(a**i for i in range(k + 1))


agreement, measured = same / total, {}                           # share of the places, counted above
for k in (1, 2, 4, 8):
    records = [speculate(prompt, 100, k)[1] for prompt in prompts[:3]]
    steps = [step for record in records for step in record if step[0] == k]
    measured[k] = sum(accepted + 1 for _, accepted in steps) / len(steps)
    print(f"k = {k}: {measured[k]:.2f} tokens a step; the formula says {expected_tokens(agreement, k):.2f} with a = {agreement:.2f}")

# %% [markdown]
# The formula is close. It assumes that each draft is right with the same probability, and that none depends on the
# others.
#
# The next cell computes the speed-up for one sequence on this machine, from the costs above and these tokens. It also
# measures the speed-up. `generate_speculative` is our `speculate` as the library has it.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)
ms = dict(zip(sizes, costs["tale"]))
few = SamplingParams(max_tokens=40, ignore_eos=True)
ways = {0: lambda prompt: generate_cached(model, prompt, few)}   # without drafts, and with k of them
ways |= {k: partial(generate_speculative, model, draft, params=few, num_speculative_tokens=k) for k in measured}
took = {k: [] for k in ways}
for _ in range(4):                                               # in turns, so that all see the same machine
    for k, write in ways.items():
        took[k].append(seconds(lambda: [write(prompt) for prompt in prompts[:2]], tries=1))
best = {k: min(times) for k, times in took.items()}
predicted = [measured[k] * ms[1] / (k * costs["tale-draft"][0] + ms[k + 1]) for k in measured]
found = [best[0] / best[k] for k in measured]
torch.set_num_threads(threads)
chart("Speed-up over generate_cached, one sequence, here",
      {"from the costs": (list(measured), predicted), "measured": (list(measured), found)}, x="drafts a step", y="speed-up", reference={"no gain": ("y", 1.0)})

# %% [markdown]
# The measured speed-up can be lower or higher. The costs leave out the run over the prompt, the choice of tokens, and
# the loop around it, with drafts and without. They were measured with 300 tokens in the cache; here a sequence has at
# most 80. They also leave out that the draft model runs over two tokens after a step in which all drafts were right:
# the last one is not in its cache yet.
#
# More drafts are not always better: each costs a run of the draft model, and the i-th counts only with probability aⁱ.
# Here the draft model has a fifth of the model's weights. Llama 3.2 1B can draft for Llama 3 8B: it has the same
# vocabulary. We compute what the two could bring on an H200, with the cost model of lesson 12 and the speeds that
# lesson 06 measured:

# %%
llama_8b = ModelConfig(vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_layers=32, num_heads=32,
                       num_kv_heads=8, head_dim=128)
llama_1b = ModelConfig(vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_layers=16, num_heads=32,
                       num_kv_heads=8, head_dim=64)
tflops, reading, _ = recorded("attention", 0).column("measured")  # one H200, bfloat16: the table of lesson 06
H200 = dict(bytes_per_s=reading * 1e9, flops_per_s=tflops * 1e12)
large, small = roofline(llama_8b, **H200), roofline(llama_1b, **H200)


def run_ms(cost, sequences, tokens, context=1000):
    """Milliseconds of a run over `tokens` tokens of each sequence. Several of them cost pairs of a query and a key."""
    pairs = sequences * tokens * context if tokens > 1 else 0
    return 1e3 * cost.seconds(sequences * tokens, sequences, sequences * context, pairs)


def speedup(sequences, a, k):
    step = k * run_ms(small, sequences, 1) + run_ms(large, sequences, k + 1)
    return expected_tokens(a, k) * run_ms(large, sequences, 1) / step


print(f"the draft model has {llama_1b.num_parameters / llama_8b.num_parameters:.2f} of the model's weights")
for a in (0.5, 0.7, 0.8, 0.9):
    best = max(range(1, 13), key=lambda k: speedup(1, a, k))
    print(f"acceptance {a:.1f}: best with {best} drafts, {speedup(1, a, best):.2f} times as fast")

# %% [markdown]
# The larger the acceptance, the more drafts pay.
#
# ## When it loses
#
# With one sequence most of a GPU's arithmetic is idle, and drafts use it. A full batch leaves less of it idle.

# %%
predict("15.batch", "Llama 3 8B on an H200, 256 sequences instead of one. What becomes of the speed-up?",
        ["It stays", "It shrinks, because a run over more tokens is no longer free", "It grows: there are more drafts"],
        answer=1)

# %%
batches = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
settings = ((0.8, 4), (0.8, 2), (0.6, 4), (0.6, 2))
lines = {f"acceptance {a:.1f}, {k} drafts": (batches, [speedup(b, a, k) for b in batches]) for a, k in settings}
chart("Computed speed-up, Llama 3 8B with a draft model of 1B, contexts of 1,000 tokens", lines,
      x="sequences", y="speed-up", log="x", reference={"no gain": ("y", 1.0)})

# %% [markdown]
# All four lines fall. At 256 sequences drafts lose if the acceptance is 0.6, and bring a small gain if it is 0.8.
#
# So far this is computed. On an H200 the engine of the course was also measured, with both shapes and random weights.
# No draft of random weights would be right, so it is drawn which ones are. The columns of the table:
#
# - *plain*: without drafts.
# - *0.8 right*: an acceptance of 0.8. The tokens of a step by the formula above, over the measured time of a step.
# - *times plain, 0.8*: *0.8 right* divided by *plain*.
# - *as drawn, 0.8*: the run itself, in which each draft was right with probability 0.8. One sequence has few drafts, so
#   chance moves this number most there.

# %%
recorded("15", 0)

# %% [markdown]
# With an acceptance of 0.8 drafts win up to 64 sequences and lose at 128. With 0.5 they lose at every size. Where does
# the time go? In the next table the last three columns add up to *with drafts*:

# %%
recorded("15", 1)

# %% [markdown]
# Up to 16 sequences the check takes at most a sixth longer than a plain step, and most of what drafts cost are the runs
# of the draft model. From there on the time of the check grows with its tokens, five for each sequence.
#
# From how many sequences on do drafts lose? The simulator (lesson 12) computes it from the acceptance and a cost model
# of each model. These are fitted to the steps above:
#
# - *the model*: the first *ridge* tokens of a step are multiplied in the time that reading the weights takes. Only the
#   tokens beyond them cost *per_token*.
# - *a draft*: one run of the draft model, with a quarter of *the rest*.
# - *error*: how far the cost model is from these steps on average.

# %%
recorded("15", 2)

# %%
(_, large_step, large_token, large_kv, ridge, _), (_, small_step, small_token, *_) = recorded("15").tables[2][2]
large_cost = CostModel(per_step=large_step / 1e3, per_token=large_token / 1e6, per_kv_token=large_kv / 1e9, ridge=ridge)
small_cost = CostModel(per_step=small_step / 1e3, per_token=small_token / 1e6)
for a in (0.8, 0.7, 0.6, 0.5):
    drafts = SimulatedDrafts(num_speculative_tokens=4, acceptance=a, cost=small_cost)
    loses = losing_batch(large_cost, drafts, num_tokens=128)
    print(f"acceptance {a:.1f}, 4 drafts: slower than plain decoding from a batch of {loses} on")

# %% [markdown]
# And the run, which was made with 1, 2, 4, … 128 sequences:

# %%
recorded("15", 3)

# %% [markdown]
# In each row the simulator's answer fits the run. Its cost models come from the same steps, so this is no test on
# another machine. With 0.6 an engine with drafts is hardly faster than one without from 1 to 16 sequences, so a small
# error of the cost model moves the answer far.
#
# Every sequence brings k + 1 tokens to be multiplied with the weights, and the work for rejected ones is lost. This
# costs little time while reading the weights is the limit. It costs time when arithmetic is the limit. The engine on
# your machine, with and without drafts:

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)
short = SamplingParams(max_tokens=32, ignore_eos=True)
rates = {"plain": [], "with 4 drafts": []}
for sequences in (1, 4, 16):
    batch = [prompts[i % 8] for i in range(sequences)]
    for name, speculation in (("plain", None), ("with 4 drafts", DraftModel(model=draft, num_speculative_tokens=4))):
        engine = Engine(model, EngineConfig(num_blocks=200, prefix_caching=False, speculation=speculation), trace=False)
        rates[name].append(32 * sequences / seconds(lambda: engine.generate(batch, short), tries=3))
torch.set_num_threads(threads)
chart("Tokens a second of the engine, here", {name: ([1, 4, 16], rate) for name, rate in rates.items()},
      x="sequences", y="tokens a second", log="x")

# %% [markdown]
# Here too drafts bring less with 4 or 16 sequences than with one. They may even lose.
#
# A server can speculate while few requests run, and stop when the batch is large. In vLLM's first engine this was the
# setting `speculative_disable_by_batch_size`.
#
# ## Drafts without a model
#
# Some text repeats itself: a summary repeats the article, a corrected file the old one. Then no draft model is needed.
# Look for the last few tokens earlier in the text, and draft what followed them there: **prompt lookup**, `ngram` in
# vLLM.

# %%
lookup = PromptLookup(longest=3, shortest=2)
lookup.extend(tokenizer.encode("The otter lived in a quiet harbour. The otter lived", add_bos=False))
print("drafted:", repr(tokenizer.decode(lookup.propose(5))))

# %% [markdown]
# The library keeps in a dict where each two or three neighbouring tokens stood last, so a step does not search the
# text.
#
# How many runs does that save? We take two texts that a model might write after a tale: the same tale with another
# place, as when a file is edited, and another tale.

# %%
predict("15.lookup", "A tale is written again with two words changed. Six drafts a step. How many tokens does a step bring?",
        ["About 1", "About 2", "More than 4"], answer=2)

# %%
def runs_needed(prompt, output, k, longest=3, shortest=2):
    """Runs of a model that writes `output` after `prompt`, with drafts by prompt lookup."""
    lookup, done, runs = PromptLookup(longest, shortest), 0, 0
    lookup.extend(prompt)
    while done < len(output):
        drafted = lookup.propose(min(k, len(output) - done - 1))
        count = next((i for i, token in enumerate(drafted) if token != output[done + i]), len(drafted))
        lookup.extend(output[done:done + count + 1])
        done, runs = done + count + 1, runs + 1
    return runs


tale = make_tale(HELD_OUT, chapters=2).text
edited = tale.replace("apple orchard", "railway yard")
print("places changed:", tale.count("apple orchard"))
for name, text_after in (("the tale, edited", edited), ("another tale", make_tale(HELD_OUT + 1, chapters=2).text)):
    before, after = tokenizer.encode(tale), tokenizer.encode(text_after, add_bos=False)
    runs = runs_needed(before, after, k=6)
    print(f"{name:>16}: {len(after)} tokens in {runs} runs, {len(after) / runs:.1f} tokens a run")

# %% [markdown]
# For the edited tale nearly six tokens come from one run, for another tale little more than one.
#
# In the engine it is `EngineConfig(speculation="ngram")`, or `NGram(...)` with its settings. With sampling, the rule of
# acceptance needs q: a draft that was looked up is certain, so q is 1 for it, and it is accepted with probability p(x).
#
# `tale` itself writes new tales and does not edit, so here drafts are few and seldom right. The text is the same:

# %%
prompt = tokenizer.encode(tale)[:120]
engine = Engine(model, EngineConfig(num_blocks=64, speculation=NGram(num_speculative_tokens=6)))
output, = engine.generate([prompt], greedy)
print(f"{engine.metrics.num_steps} steps for 100 tokens, {engine.metrics.num_draft_tokens} drafts, {engine.metrics.num_accepted_tokens} accepted")
print("the same text:", output.token_ids == generate_naive(model, prompt, greedy))

# %% [markdown]
# ## In the engine
#
# Drafts are tokens like others, so little had to change:
#
# | part | what drafts need |
# |---|---|
# | scheduler | slots and budget for the drafts of each decoding sequence, if both are left. No request is preempted to make room for drafts, and they leave each running request the budget for its own token |
# | ledger | `shrink`: the blocks of rejected drafts go back. A block is hashed only once its tokens are accepted |
# | runner | drafts are filled in, one run over all sequences, and the rule for each |
# | draft model | a KV pool of its own with the same block ids: what is shared, copied or swapped in one is in the other too |
# | outputs | several tokens a step; what comes after a stop token is cut |
#
# How the scheduler gives drafts their slots:

# %%
from course_lib.engine.draft_slots import DraftSlots

show(DraftSlots.allocate)

# %% [markdown]
# No drafts for a request that is still in its prompt, nor for one with several sequences (`n` > 1). If there are no
# slots for the drafts, the list is empty, and the scheduler asks for the slot of the newest token alone. What a draft
# model will write is not known yet: `draft` returns -1 for each of its tokens, and the runner fills them in.
#
# In vLLM: `vllm/v1/spec_decode/` (`ngram_proposer.py`, `draft_model.py`, `eagle.py`) drafts,
# `vllm/v1/sample/rejection_sampler.py` is the rule, and `num_lookahead_tokens` in the KV cache manager are the slots.
# Often the draft does not come from a separate model but from a small network that reads the vectors of the model's
# last layer (**EAGLE**, **Medusa**; *multi-token prediction* in DeepSeek-V3). Several drafts for one place form a
# **tree**. It is checked in one run, with a mask that lets each token see the text and its own branch only. Not every
# rule of acceptance keeps the distribution: Medusa's *typical acceptance* does not.
#
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("15")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. The draft model is replaced by one that is always wrong. What happens to the text, and what to the time?</b></summary>
#
# The text stays: each token is the model's. Every step brings one token. It takes longer by k runs of the draft model,
# and by the check of k more tokens.
# </details>
#
# <details><summary><b>2. Why does a step with k drafts never bring more than k + 1 tokens, and never fewer than one?</b></summary>
#
# The run has k + 1 rows. Each row decides about one token. The first row stands on a token that is in the text, so its
# choice always counts.
# </details>
#
# <details><summary><b>3. A colleague replaces rejected drafts by the model's likeliest token. The text reads well. What is wrong?</b></summary>
#
# The distribution: the likeliest token comes too often, so texts are less varied than the temperature promises. One
# text does not show it. A test over many draws does.
# </details>
#
# ## Next
#
# [exercises/15_speculative_decoding.ipynb](../exercises/15_speculative_decoding.ipynb):
# the rule of acceptance, the token that follows, prompt lookup, the step that checks, and the number
# of drafts that pays.
