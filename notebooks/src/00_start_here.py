# %% [markdown]
# # 00 · Start here
#
# - **You will** run a language model, ask it about a tale, and watch an engine serve twelve requests at the same
#   time. You will meet the five parts of each lesson: predict, build, see, measure, break.
# - **Why** the whole course is about one thing: to write fast the tokens that a slow, simple method writes.
# - **Time** 40 minutes, and 10 for the exercise.
# - **You need** Python and a little PyTorch. No GPU, and after the installation no network.
# - **After it** you know what a token is, why the model runs once for each new token, and how to pass an exercise.

# %% [markdown]
# {{colab}}

# %% [markdown]
# ## A small model of our own
#
# The course brings its own model, `tale`. It was trained by code in this repository, on tales that code in this
# repository writes. It can tell a short tale, and it can answer questions about the tale. The second is useful here:
# when a later lesson moves, shares or drops parts of what the model keeps of a text, you can *ask* the model whether
# something was lost.

# %%
import torch

from course_lib import SamplingParams, guesses, load_model, predict, setup
from course_lib.decoding import generate_naive
from course_lib.source import wrapped

# %% tags=["nbval-ignore-output"]
machine = setup()
model, tokenizer = load_model("tale", dtype=torch.float32)
model

# %% [markdown]
# The first line says what your machine has; `course doctor` in a terminal says more (on Colab: `!course doctor` in a
# cell). Lesson 07 explains Triton, a language for programs on a GPU. The second line describes the model. Its parameters, also called **weights**, are the
# numbers that training found. Its context is how many tokens one sequence can have at most. (Tokens are pieces of text,
# explained below.) Large models have many more parameters:

# %%
from course_lib.kvcache.catalogue import MODELS

for name in ("Qwen3 0.6B", "Llama 3.1 405B"):
    print(f"{name}: {MODELS[name].num_parameters / model.config.num_parameters:,.0f} times the parameters of tale")

# %% [markdown]
# The `Transformer` class of this course also loads Llama, Mistral and Qwen. Lessons 01 and 02 say what layers and
# heads are.
#
# ## It tells a story
#
# A model reads and writes **tokens**: pieces of text from a fixed list, its *vocabulary*. Each token has a number,
# its id. The **tokenizer** turns text into a sequence of ids and back. Below, `|` stands between two tokens. A space
# belongs to the token after it.

# %%
opening = "Once upon a time, in a quiet harbour, there lived a patient otter named Juniper."
prompt = tokenizer.encode(opening)
print(len(prompt), "tokens:", prompt)
print("|".join(tokenizer.token_text(token) for token in prompt))

# %% [markdown]
# Many words are one token, others are several. The first token marks the beginning of a text. The sequence that the
# model continues is called the **prompt**.
#
# Before you run the next cell, guess. It costs one click, and helps you to remember the answer.

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
print("the same tokens with the same seed again:", generate_naive(model, prompt, params) == new_tokens)

# %% [markdown]
# It stops in the middle of a sentence because `max_tokens` is 120. The 120 tokens took 120 runs. With
# `temperature=0.8` each token is drawn at random, a likely one more often, and with the same `seed` the same tokens
# are drawn again. Change the seed for another story, or the opening for another hero.
#
# ## It chooses one token at a time
#
# A run of the model gives the probability of *every* entry of its vocabulary to be the next token. One entry is then
# chosen and appended, and the model runs again. The views of this lesson call a run a **step**. This one shows
# the probabilities of each step: the pale bars are those of the model, the blue bars those after the temperature, and
# the marked bar is the chosen token. The last row is the sum of all other tokens. (Lesson 01 also cuts unlikely tokens;
# here nothing is cut.) The view is at step 9; look at the others too.

# %%
from course_lib.decoding import record_choices
from course_lib.viz import next_token_probabilities

thoughts = next_token_probabilities(*record_choices(model, tokenizer, prompt, new_tokens[:24], params))
thoughts.step = 9
thoughts

# %% [markdown]
# Look for two kinds of steps. Where grammar or an earlier word decides, one bar is almost full. Where the story can
# go on in many ways, there are many small bars, and another seed can choose another token. (On GitHub and in print you
# see one step.)

# %% [markdown]
# ## It answers questions about the tale
#
# `make_tale(seed)` writes a tale like those that the model was trained on. Seeds from `HELD_OUT` on were not used in
# training, so the model has not seen this tale. A tale tells some facts, and later asks for them. `tale.questions`
# says where each fact, question and answer begins and ends in `tale.text`. Here is a tale, up to its first answer.

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
# The model answered exactly what the tale said. Where does the answer come from? The model was not trained on this
# tale, but it read the tokens before the question. Remove the sentence with the fact, leave everything else, and ask
# again.

# %%
without = before.replace(tale.text[question.fact_start : question.fact_end], "")
print("With the sentence:   ", answer(before))
print("Without the sentence:", answer(without))

# %% [markdown]
# Without the fact the model still answers, and nothing in the answer shows that it is made up. Lost memory can look
# like this. Therefore the fast methods of this course have to give **the same tokens as the slow method**,
# `generate_naive`, which wrote the model's tokens above. (Lesson 01 says exactly what "the same" means.) One question
# proves little. Here are the first two questions of four other tales, each with and without its fact. Questions whose
# answer also stands elsewhere in the text before it are left out.

# %%
with_fact, without_fact, asked = 0, 0, 0
for seed in range(HELD_OUT, HELD_OUT + 4):
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
# Every answer is right with its fact, and none without it: the model takes them from the tokens before the question.
#
# ## What it costs
#
# To choose one token, `generate_naive` runs the model on the whole sequence, from the first token on. For the next
# token it does so again, with a sequence that is one token longer. Here are the first 18 runs of the tale about
# Juniper, as they were noted above. Each row is one run. Solid places are tokens that the model computes for the first
# time. Hatched places were computed in an earlier run. The bars below count all places, and the solid ones.

# %%
from course_lib.viz import recomputation_triangle

count = 18
pieces = [tokenizer.token_text(token) for token in [*prompt, *new_tokens[:count]]]
steps = [(0, tokens) for tokens in runs[:count]]
triangle = recomputation_triangle(pieces[: len(prompt) + count - 1], steps, prompt_tokens=len(prompt))
triangle.step = triangle.last
triangle

# %%
computed = sum(end - start for start, end in steps)
needed = len(prompt) + count - 1
print(f"{computed} tokens went through the model to write {count} tokens: {needed} for the first time, "
      f"{computed - needed} again. {1 - needed / computed:.0%} of the computed tokens are repeated.")

# %% [markdown]
# How fast is this on your machine? Write the number down, to compare later lessons with it. (`ignore_eos=True`: the
# model goes on after the token that ends a tale. The default temperature is 0: the most likely token each time.)

# %% tags=["nbval-ignore-output"]
import time

start = time.perf_counter()
told = generate_naive(model, prompt, SamplingParams(max_tokens=100, ignore_eos=True))
seconds = time.perf_counter() - start
print(f"{len(told) / seconds:.0f} tokens a second for one request with generate_naive, on {machine.gpu or 'this CPU'}")

# %% [markdown]
# ## Where this leads
#
# The **KV cache** of lesson 02 keeps what was computed for each token, its keys and values (lesson 01 explains them),
# and removes the repeated work. It needs memory. Lesson 03 says how much, lessons 04 and 05 hand this memory out in
# small blocks, lessons 06 to 08 read it fast, and lessons 09 to 12 serve many requests at the same time.
#
# All of this together is an **engine**. `course_lib` has one already. Look at it once before you build its parts. A
# **request** is a prompt and the number of new tokens that it asks for. Twelve requests arrive at the same time: the
# first asks for 8 new tokens, each later one for 2 more than the one before it. At most six requests run at the same
# time, and one run of the model takes at most 64 tokens. What is beyond these limits waits.

# %%
from course_lib import Engine, EngineConfig

requests = {}
for i, name in enumerate("abcdefghijkl"):
    first_sentence = make_tale(HELD_OUT + i, chapters=1).text.split(".")[0] + "."
    requests[name] = tokenizer.encode(first_sentence), SamplingParams(max_tokens=8 + 2 * i, ignore_eos=True)
wanted = sum(params.max_tokens for _, params in requests.values())

# %%
predict("00.engine", f"Together they ask for {wanted} tokens. How often will the model run?",
        [f"{wanted} times: once for each token", "Much less often: one run serves all running requests",
         "12 times: once for each request"], answer=1)

# %%
# a memory of 64 blocks for 8 tokens each, then the two limits; prefix caching (lesson 05) is off
config = EngineConfig(block_size=8, num_blocks=64, max_num_seqs=6, max_num_batched_tokens=64, prefix_caching=False)
engine = Engine(model, config)
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
# One run chose a token for several requests, and the tokens are those that each request gets alone.
#
# The view shows what happened. In the upper part each row is a request and each column is a run of the model: a request
# waits (dashes), runs (filled cells) and ends (ring). In a dark cell the run computes the request's prompt (*prefill*),
# in a pale cell its newest token (*decode*). A number in a dark cell counts its tokens. The bars above the rows count
# the tokens of each run, those below the blocks in use. The first run has room for only a part of `d`'s prompt; the
# second computes the rest. The lower part is the memory, in blocks of 8 tokens: on the left the blocks of each request,
# on the right all 64, in the colour of the request that has the block. Drag the slider: blocks fill as the sequences
# grow. A finished request frees its blocks, and a waiting request starts in its place.

# %%
from course_lib.viz import timeline_view

served_all = timeline_view(engine.trace)
served_all.step = 18
served_all

# %% [markdown]
# You need not understand more of it now. Up to lesson 11 you build parts of this engine, and it runs with yours.
#
# ## A model that others trained
#
# The model of this course is small, so that the lessons run on a laptop. The same code runs larger ones. SmolLM2 has
# 135 million parameters. The first time, its weights are downloaded from the Hugging Face hub (270 MB). Without a
# network this cell says so, and nothing later needs it. (`apply_chat_template` puts the question into the form that
# SmolLM2 was trained on. `generate_cached` comes in lesson 02.)

# %% tags=["nbval-ignore-output"]
from course_lib.decoding import generate_cached
from course_lib.errors import ModelError

try:
    real, its_tokenizer = load_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    chat = [{"role": "user", "content": "Why is the sky blue? Answer in one sentence."}]
    chat_ids = its_tokenizer.apply_chat_template(chat, add_generation_prompt=True)
    told = generate_cached(real, chat_ids, SamplingParams(temperature=0, max_tokens=60))
    print(wrapped(its_tokenizer.decode(told)))
except ModelError as reason:
    print(wrapped(f"Skipped. {reason}"))

# %% [markdown]
# ## How you work
#
# Each lesson has a notebook of exercises with the same number in `exercises/`. This is the part *build*: you write a
# few lines, and `check` tells you which properties hold, with the smallest example that fails. Here is the check of a
# wrong answer to the first exercise: something is missing.

# %%
from course_lib import check, hint, progress, solution


def hello(name):
    return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name}"


check("00.hello", hello)

# %% [markdown]
# `hint("00.hello")` gives one more hint each time. `solution("00.hello")` shows the answer with its reasons.
# `progress()` lists what you have passed. All of this stays on your machine. On Colab that machine goes away: *On Colab*
# in the README says how to keep it on your Drive.

# %% [markdown]
# ## What you expected
#
# Your guesses, beside what it was:

# %% tags=["nbval-ignore-output"]
guesses("00")

# %% [markdown]
# ## Three questions
#
# <details><summary><b>1. The model was not trained on the tale, and yet it answers right. Where is the fact while it answers?</b></summary>
#
# In the tokens of the sequence, and in the keys and values that the model computes from them in each run. Lesson 02
# keeps these keys and values.
# </details>
#
# <details><summary><b>2. Why can the model not compute the second new token before the first one is chosen?</b></summary>
#
# Because the first new token is part of the input of the next run. So the runs for one request come one after the
# other, also on a machine that could compute many at the same time.
# </details>
#
# <details><summary><b>3. With <code>temperature=0</code>, would another seed tell another story?</b></summary>
#
# No. Temperature 0 takes the most likely token each time, and nothing is drawn. Therefore the course compares most
# methods at temperature 0: their tokens have to be the same, one by one.
# </details>
#
# ## Next
#
# Open [exercises/00_start_here.ipynb](../exercises/00_start_here.ipynb) and pass its exercise. (On Colab take the link at
# the top of this notebook.)
# In lesson 01 you build the loop of `generate_naive` yourself.
