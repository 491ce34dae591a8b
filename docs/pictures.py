"""Draws the picture of README.md from the bundled model: python docs/pictures.py"""

from pathlib import Path

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.models.training.data import HELD_OUT
from course_lib.models.training.tales import make_tale
from course_lib.viz import timeline_view

model, tokenizer = load_model("tale", device="cpu")
engine = Engine(
    model, EngineConfig(block_size=8, num_blocks=64, max_num_seqs=6, max_num_batched_tokens=64, prefix_caching=False)
)
for i, name in enumerate("abcdefghijkl"):
    first_sentence = make_tale(HELD_OUT + i, chapters=1).text.split(".")[0] + "."
    engine.add_request(
        tokenizer.encode(first_sentence), SamplingParams(max_tokens=12 + 3 * i, ignore_eos=True), request_id=name
    )
while engine.has_unfinished():
    engine.step()
(Path(__file__).parent / "engine.png").write_bytes(timeline_view(engine.trace).snapshot(step=18).data)
