"""A tiny checkout, made up, so that the tests of the builder do not hang on the real lessons."""

import textwrap
from pathlib import Path

REPOSITORY = "https://github.com/someone/some-course"

LESSON = """\
# %% [markdown]
# # A lesson

# %% [markdown]
# {{colab}}

# %%
answer = 6 * 7
print("the answer is", end=" ", flush=True)
print(answer)

# %% tags=["raises-exception"]
raise ValueError("shown on purpose")

# %% tags=["nbval-ignore-output"]
import time
print(time.perf_counter_ns())

# %%
from IPython.display import HTML, display
view = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}}
display(view | {"text/html": "<b>still</b>", "text/plain": "View"}, raw=True)
"""

EXERCISE = '''\
# %% [markdown]
# # Exercises

# %% [markdown]
# {{colab}}

# %% nbgrader={"grade_id": "double", "solution": true} course={"exercise": "01.double"}
def double(number):
    """Returns twice `number`."""
    ### BEGIN SOLUTION
    twice_the_number = number + number
    return twice_the_number
    ### END SOLUTION

# %% nbgrader={"grade_id": "double-check", "grade": true, "points": 2}
if double(21) != 42:
    raise AssertionError(f"double(21) is 42, not {double(21)}")
'''


def make_checkout(root, lesson=LESSON, exercise=EXERCISE):
    """Writes the sources of a checkout with one lesson and one exercise into `root`, and returns it."""
    root = Path(root)
    (root / "course_lib").mkdir(parents=True)
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{REPOSITORY}"\n')
    for folder, text in (("notebooks", lesson), ("solutions", exercise)):
        source = root / folder / "src" / "01_trial.py"
        source.parent.mkdir(parents=True)
        source.write_text(textwrap.dedent(text))
    return root
