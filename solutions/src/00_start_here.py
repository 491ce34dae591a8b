# %% [markdown]
# # Exercises 00 · Start here
#
# One small exercise, so that you know the loop: write, press Shift-Enter, read what the check says, try again.

# %% [markdown]
# {{colab}}

# %%
from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.decoding import generate_naive
from course_lib.source import wrapped

_ = setup(quiet=True)

# %% [markdown]
# ## 00.hello · An opening for a tale
#
# Write `hello(name)`. It returns the opening sentence of a tale whose hero has that name, exactly in this form:
#
#     Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.
#
# `name` is any string, also an empty one. It goes into the sentence unchanged, with its capitals, accents, spaces and
# line breaks. Return a string.
#
# Run both cells as they are first, and see what the check says. Then write the line.

# %% nbgrader={"grade_id": "hello", "solution": true} course={"exercise": "00.hello"}
def hello(name):
    """The opening sentence of a tale about an otter called `name`."""
    ### BEGIN SOLUTION
    return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name}."
    ### END SOLUTION

# %% nbgrader={"grade_id": "hello-check", "grade": true, "points": 1}
check("00.hello", hello)

# %% [markdown]
# Stuck? Run `hint("00.hello")` in a cell of its own, as often as you like.
#
# When it passes, the model goes on from *your* sentence.

# %% tags=["raises-exception"]
model, tokenizer = load_model("tale")
opening = hello("Marigold")
new_tokens = generate_naive(model, tokenizer.encode(opening), SamplingParams(temperature=0.8, max_tokens=100, seed=1))
print(wrapped(opening + tokenizer.decode(new_tokens)))

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [01 · Naive decoding](../notebooks/01_naive_decoding.ipynb).
