"""Draws the pictures of README.md from the bundled model: python docs/pictures.py"""

from pathlib import Path

from course_lib import SamplingParams, load_model
from course_lib.decoding import generate_naive
from course_lib.viz import recomputation_triangle

model, tokenizer = load_model("tale", device="cpu")
prompt = tokenizer.encode("Once upon a time, in a quiet harbour,")
new = generate_naive(model, prompt, SamplingParams(max_tokens=16))
pieces = [tokenizer.token_text(token) for token in [*prompt, *new[:-1]]]
steps = [(0, len(prompt) + step) for step in range(len(new))]
picture = recomputation_triangle(pieces, steps, prompt_tokens=len(prompt)).snapshot(step=len(steps))
(Path(__file__).parent / "recomputation.png").write_bytes(picture.data)
