"""Captured steps with prompts, without the capture: on a CPU the same functions run one after the other, on the same
buffers. What a GPU makes of them is tested in test_on_gpu.py.
"""

import numpy as np
import torch
from drawn_requests import serve_and_check
from random_models import model as random_model

from course_lib.attention import checks
from course_lib.decoding import choosing
from course_lib.engine import Engine, EngineConfig, engine, prompt_graphs
from course_lib.engine.prompt_graphs import PromptGraphs, capped, num_decodes
from course_lib.engine.runner import Runner, Tokens
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins


def choose(logits, rows, out):
    out.copy_(choosing.choose(logits.nan_to_num(), rows))  # padding has any logits; on a CPU NaN is refused


class NotCaptured(PromptGraphs):
    """runs: the sizes that were replayed."""

    def _replay(self, size):
        self.runs = [*getattr(self, "runs", []), size]
        self._step(size)


class WithPromptGraphs(Runner):
    """As GPURunner, for all steps but those of decoding alone."""

    def __init__(self, model, cache, config):
        super().__init__(FusedTransformer(model, twins), cache, config)
        self.newest = torch.zeros(config.max_num_seqs + 1, dtype=torch.int64)
        self.graphs = NotCaptured(self.model, cache, self.newest, choose, self.rows.tables.shape[1], config)

    def compute(self, arrays):
        size = self.graphs.size_of(arrays)
        if arrays.is_plain_decode or size is None:
            return super().compute(arrays)
        names, chosen = self.graphs.run(size, arrays, self.rows.sampling)
        return Tokens(names, chosen.clone())


def test_replayed_steps_with_prompts_write_what_naive_decoding_writes(monkeypatch):
    monkeypatch.setattr(checks, "_contents_checked", lambda tensor: False)  # as on a GPU: padding is in no sequence
    monkeypatch.setattr(engine, "make_runner", WithPromptGraphs)
    monkeypatch.setattr(prompt_graphs, "PROMPT_TOKENS", (4, 8, 16))
    monkeypatch.setattr(prompt_graphs, "DECODES", (2, 4))
    monkeypatch.setattr(prompt_graphs, "PROMPTS", 2)
    model = random_model(vocab_size=11, context=64).double()
    config = dict(num_blocks=30, block_size=4, max_num_seqs=5, max_num_batched_tokens=20, watermark=0.0)
    e = Engine(model, EngineConfig(preemption="swap", **config), trace=False)
    assert serve_and_check(e, model, 60, [1, 9, 20]) == 61 and e.metrics.num_preemptions
    assert {(4, 4), (4, 8), (4, 16)} <= set(e.runner.graphs.runs), "too few sizes were met"
    assert len(e.runner.graphs.runs) > 15


def test_sizes_and_sequences_that_decode():
    assert capped((16, 64, 256), 100) == [16, 64, 100] and capped((16, 64), 9) == [9]
    arrays = type("Arrays", (), {})()
    for counts, decodes in (([1, 1, 5, 1], 2), ([1, 1], 2), ([7], 0)):
        arrays.cu_seqlens = np.cumsum([0, *counts])
        assert num_decodes(arrays) == decodes


def test_a_step_that_chooses_nothing_is_waited_for_too():
    """Without that the CPU writes the inputs of the step after the next over those of a step that has not begun."""

    class Event:
        waited = 0

        def synchronize(self):
            self.waited += 1

    event = Event()
    assert Tokens([], torch.zeros(0), event).wait() == {} and event.waited == 1
