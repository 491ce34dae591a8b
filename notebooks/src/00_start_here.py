# %% [markdown]
# # 00 · Start here
#
# - **You will** run a language model, ask it about what it told, watch an engine serve twelve requests at once, and
#   meet the loop of this course: predict, build, see, measure, break.
# - **Why** everything that follows makes this one thing, writing the next token, fast without changing a single word.
# - **Time** 25 minutes. A cell takes your machine some seconds at most.
# - **You need** Python and a little PyTorch. No GPU, and after the installation no network.
# - **After it** you know what a token is, why one text needs one run of the model for each, and how to pass an exercise.

# %% [markdown]
# {{colab}}

# %% [markdown]
# ## A model that is small enough to know
#
# The course brings its own model, `tale`. It was trained by code in this repository on tales that the same
# repository writes, so it knows nothing of the world. It can do two things well: tell a short tale, and
# remember what it told. The second is what makes it useful here. When a later lesson drops, moves or squeezes
# the model's memory, you will be able to *ask* whether anything was lost.

# %%
import torch

from course_lib import SamplingParams, load_model, predict, setup
from course_lib.decoding import generate_naive
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)  # half precision on a GPU could round a token away
model

# %% [markdown]
# The first line says what your machine has. (Triton is a language for programs on a GPU, and comes in lesson 07; until
# then it does not matter what stands there.) The second describes the whole model. Its parameters, also called
# **weights**, are the numbers that training found. Llama 3.2 1B has hundreds of times as many, Llama 3.1 405B a hundred
# thousand times; the parts are the same, and the `Transformer` of this course loads those, Mistral and Qwen as well. What
# layers and heads are, lesson 01 says.
#
# ## It tells a story
#
# A model reads and writes **tokens**: pieces of text from a fixed list, its *vocabulary*. Each has a number.
# The **tokenizer** turns text into those numbers and back. Below, `|` stands between two tokens; a space belongs to the
# token after it.

# %%
opening = "Once upon a time, in a quiet harbour, there lived a patient otter named Juniper."
prompt = tokenizer.encode(opening)
print(len(prompt), "tokens:", prompt)
print("|".join(tokenizer.token_text(token) for token in prompt))

# %% [markdown]
# Many words are one token, others are put together from pieces. The first token is a mark that says "a text begins". The
# text that the model is to go on from is called the **prompt**.
#
# Before you run the next cell, guess. A guess costs one click, and it makes you remember the answer.

# %%
predict("00.runs", "The model is about to write 120 new tokens. How often does it have to run?",
        ["Once: it writes them all together", "Once for each sentence", "120 times: once for each token"], answer=2)

# %%
params = SamplingParams(temperature=0.8, max_tokens=120, seed=4)
runs = []
# before every run of the model, note how many tokens go in
hook = model.register_forward_pre_hook(lambda module, inputs: runs.append(len(inputs[0])))
new_tokens = generate_naive(model, prompt, params)
hook.remove()
print(wrapped(opening + tokenizer.decode(new_tokens)))
print()
print(f"{len(new_tokens)} new tokens, {len(runs)} runs of the model")

# %% [markdown]
# It stops in the middle of a sentence because it was allowed 120 tokens. `temperature=0.8` lets it choose a little freely,
# and `seed` makes it choose the same way each time. Change the seed for another story, or the opening for another hero.
#
# ## It chooses one token at a time
#
# A model does not write text. Given the tokens so far, it says for *every* entry of its vocabulary how likely
# it is to come next. Something else then picks one, puts it at the end, and asks again. Step through the view:
# the pale bars are what the model thinks of the next place, the blue ones what the temperature makes of that, and the
# marked one is what was picked.

# %%
from course_lib.decoding import record_choices
from course_lib.viz import next_token_probabilities

thoughts = next_token_probabilities(*record_choices(model, tokenizer, prompt, new_tokens[:24], params))
thoughts

# %% [markdown]
# Look for two kinds of places. Where grammar or an earlier word decides, one bar is nearly full: the name of
# the hero has to be *this* name. Where the story is free, many bars are small, and another seed goes another way.
#
# In print and on GitHub the view cannot move. This is step 10 as a picture, a free place: the model knows that somebody
# likes something, and not yet what.

# %%
thoughts.snapshot(step=10)

# %% [markdown]
# ## It remembers
#
# `make_tale` writes tales like those the model was trained on, each from a number of its own, its seed. Seeds from
# `HELD_OUT` on were kept out of training, so the model has never seen this one. A tale tells a few facts once, and
# later somebody asks for them; `questions` says where. Here is one, up to the place where the answer belongs.

# %%
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale

tale = make_tale(HELD_OUT + 12, chapters=1)
question = tale.questions[0]
before = tale.text[: question.answer_start].rstrip()
print(wrapped(before))

# %%
predict("00.recall", "What will the model answer?",
        ["Something that fits the grammar, but is made up", "Exactly what the tale said",
         "Nothing: it only continues tales"], answer=1)

# %%
greedy = SamplingParams(temperature=0, max_tokens=12)


def answer(text):
    """The model's most likely continuation of `text`, up to the end of the sentence."""
    told = tokenizer.decode(generate_naive(model, tokenizer.encode(text), greedy))
    return told.split(".")[0].strip()


print("The tale says:", tale.text[question.fact_start : question.fact_end])
print("Asked:        ", tale.text[question.start : question.answer_start].strip())
print("The model:    ", answer(before))

# %% [markdown]
# ## Break it
#
# Where does the answer come from? Not from the weights: the model had never met this tale. It can only come
# from the tokens in front. Take the one sentence away that told the fact, leave everything else, and ask again.

# %%
without = before.replace(tale.text[question.fact_start : question.fact_end], "")
print("With the sentence:   ", answer(before))
print("Without the sentence:", answer(without))

# %% [markdown]
# Without the fact the model still answers, and nothing in the text warns you that it made the answer up. This is
# what lost memory looks like in a language model, and why every fast method of this course is held to one rule: **the
# same tokens as the slow way**. One question proves little, so here are many, each with the
# fact and without it. Questions whose answer also stands elsewhere in the tale are left out.

# %%
with_fact, without_fact, asked = 0, 0, 0
for seed in range(HELD_OUT, HELD_OUT + 15):
    tale = make_tale(seed, chapters=1)
    for question in tale.questions[:2]:
        before = tale.text[: question.answer_start].rstrip()
        right = tale.text[question.answer_start : question.answer_end]
        without = before.replace(tale.text[question.fact_start : question.fact_end], "")
        if right in without:
            continue
        asked += 1
        with_fact += answer(before).startswith(right)
        without_fact += answer(without).startswith(right)
print(f"{asked} questions: {with_fact} right with the fact in the text, {without_fact} right without it")

# %% [markdown]
# ## What it costs
#
# To pick one token, `generate_naive` pushes the whole text through the model, from the first token on. For the
# next token it does so again, with a text that is one token longer. Here are the first runs of the tale about Juniper,
# as they were noted above. Each row is one run. Solid places are tokens that the model saw for the first time; hatched
# ones it had already computed in an earlier run.

# %%
from course_lib.viz import recomputation_triangle

count = 18
pieces = [tokenizer.token_text(token) for token in [*prompt, *new_tokens[:count]]]
steps = [(0, tokens) for tokens in runs[:count]]
triangle = recomputation_triangle(pieces[: len(prompt) + count - 1], steps, prompt_tokens=len(prompt))
triangle

# %%
triangle.snapshot(step=triangle.last)

# %%
pushed = sum(end - start for start, end in steps)
needed = len(prompt) + count - 1
print(f"{pushed} tokens went through the model to write {count}; {needed} different ones would have been enough.")

# %% [markdown]
# Nearly everything in this picture is repeated work. The first measurement of the course, on your machine. Write the
# number down; it will look slow soon.

# %% tags=["nbval-ignore-output"]
import time

start = time.perf_counter()
told = generate_naive(model, prompt, SamplingParams(max_tokens=100, ignore_eos=True))
seconds = time.perf_counter() - start
print(f"{len(told) / seconds:.0f} tokens a second, one request, nothing kept, on {machine.gpu or 'this CPU'}")

# %% [markdown]
# ## Where this leads
#
# The **KV cache** of lesson 02 removes the repeated work, by keeping what was computed for each token: its keys and
# values. But what is kept needs memory, and the rest of the course follows from that: how much (03), how to hand memory
# out in small blocks (04, 05), how to read it fast (06 to 08), and how to serve many people at once (09 to 12).
#
# At the end of that road stands an **engine**. It is in `course_lib` already, so look at it once before you build its
# parts. Twelve people ask for a tale at the same time, the first for a short one, the last for a long one. Six may be
# served at once, the others wait.

# %%
from course_lib import Engine, EngineConfig

requests = {}
for i, name in enumerate("abcdefghijkl"):
    first_sentence = make_tale(HELD_OUT + i, chapters=1).text.split(".")[0] + "."
    requests[name] = tokenizer.encode(first_sentence), SamplingParams(max_tokens=12 + 3 * i, ignore_eos=True)
wanted = sum(params.max_tokens for _, params in requests.values())

# %%
predict("00.engine", f"Together they want {wanted} tokens. How often will the model run?",
        [f"{wanted} times: once for each token", "Far less often: a run serves everybody who is there",
         "12 times: once for each request"], answer=1)

# %%
engine = Engine(model, EngineConfig(block_size=8, num_blocks=64, max_num_seqs=6, max_num_batched_tokens=64, prefix_caching=False))
for name, (prompt_of, params_of) in requests.items():
    engine.add_request(prompt_of, params_of, request_id=name)
served = {}
while engine.has_unfinished():
    for output in engine.step():
        served[output.request_id] = output.token_ids
print(f"{sum(map(len, served.values()))} tokens in {engine.metrics.num_steps} runs of the model")
same = sum(generate_naive(model, *requests[name]) == served[name] for name in requests)
print(f"{same} of {len(requests)} requests got the tokens of generate_naive")

# %% [markdown]
# This is what happened. Above, each row is a request and each column a run of the model: dashes wait, filled cells are
# computed, a ring is the end. Below is its memory, cut into blocks of 8 tokens and coloured by who holds them. Drag the slider:
# blocks fill as the texts grow, a request that is done gives its blocks back, and somebody who waited takes them.

# %%
from course_lib.viz import timeline_view

served_all = timeline_view(engine.trace)
served_all

# %%
served_all.snapshot(step=18)

# %% [markdown]
# You need not understand more of it now. By lesson 11 you will have built each part of it, and your own parts will run
# in its place.
#
# ## How you work
#
# Every lesson has a notebook of exercises of the same number in `exercises/`. You write a few lines and
# `check` tells you which property holds and which does not, with the smallest example that fails. Here it
# answers a wrong try at the first exercise, one that forgot something.

# %%
from course_lib import check, hint


def hello(name):
    return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name}"


check("00.hello", hello)

# %% [markdown]
# When you are stuck, `hint("00.hello")` helps one step further each time, and `solution("00.hello")` shows the
# answer with its reasons. `progress()` lists what you have passed. All of it stays on your machine.

# %%
hint("00.hello")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. The model has never seen the tale, and yet it answers right. Where is that knowledge while it answers?</b></summary>
#
# In the tokens in front of it, and in what the model computes from them on every run. The weights hold only
# how to look such things up. That computed part is what lesson 02 will keep: the keys and values.
# </details>
#
# <details><summary><b>2. Why can the model not write the second new token before the first has been picked?</b></summary>
#
# Because the first is part of its input. What comes next depends on which token was picked, and that may be
# chance. This chain is why writing is slow, however fast the machine multiplies.
# </details>
#
# <details><summary><b>3. With <code>temperature=0</code>, would another seed tell another story?</b></summary>
#
# No. Temperature 0 takes the likeliest token each time, and nothing is drawn. That is why the course compares
# methods at temperature 0: the tokens must be equal, one by one.
# </details>
#
# ## Next
#
# Open `exercises/00_start_here.ipynb`, fail once, and pass. Then go on to lesson 01, where you build
# `generate_naive` yourself.
