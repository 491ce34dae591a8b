"""An engine that is deleted gives its memory back at once. No part of it holds a part that holds it, since what was
there when graphs were captured is left out of Python's garbage collection (engine/gpu.py).
"""

import gc
import weakref

import pytest
import torch
from random_models import model as random_model

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.engine.speculation import DraftModel, NGram

SPECULATIONS = {"plain": None, "n-gram": NGram(), "draft": "draft"}


def served(device, speculation):
    """An engine that has served requests of all kinds, with its largest parts."""
    model, draft = (random_model(vocab_size=31, context=96).to(device) for _ in range(2))
    speculation = DraftModel(model=draft) if speculation == "draft" else speculation
    engine = Engine(model, EngineConfig(num_blocks=40, max_num_seqs=4, speculation=speculation, preemption="swap"))
    plain, asking = SamplingParams(max_tokens=5), SamplingParams(max_tokens=5, logprobs=2, presence_penalty=0.5)
    engine.generate([[1, 2, 3]] * 3, [plain] * 3 if speculation else [plain, asking, asking])
    return engine


@pytest.mark.parametrize("speculation", SPECULATIONS.values(), ids=SPECULATIONS)
def test_no_part_of_an_engine_waits_for_the_garbage_collection(speculation):
    engine = served("cuda" if torch.cuda.is_available() else "cpu", speculation)
    parts = [weakref.ref(part) for part in (engine, engine.runner, engine.cache, engine.pool, engine.manager)]
    gc.disable()
    try:
        del engine
        assert [part() for part in parts] == [None] * len(parts)
    finally:
        gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here; what holds what is tested above")
@pytest.mark.parametrize("speculation", SPECULATIONS.values(), ids=SPECULATIONS)
def test_memory_of_a_gpu_comes_back(speculation):
    served("cuda", speculation)  # whatever is made once
    before = torch.cuda.memory_allocated()
    served("cuda", speculation)
    assert torch.cuda.memory_allocated() <= before
