"""Captured steps of speculation, without the capture: on a CPU the same functions run one after the other, on the same
buffers. What a GPU makes of them is tested in test_on_gpu.py.
"""

import copy

import pytest
import torch
from drawn_requests import serve_and_check
from random_models import model as random_model

from course_lib.attention import checks
from course_lib.decoding import SamplingParams, choosing
from course_lib.engine import DraftModel, Engine, EngineConfig, NGram, engine, speculative_gpu
from course_lib.engine.speculation_graphs import SpeculationGraphs
from course_lib.engine.speculative_gpu import SpeculativeGPURunner
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins


def choose(logits, rows, out):
    out.copy_(choosing.choose(logits.nan_to_num(), rows))  # padding has any logits; on a CPU NaN is refused


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch):
    """Engines run the captured functions. The contents of tensors are not checked, as on a GPU: padding is in no
    sequence.
    """
    monkeypatch.setattr(checks, "_contents_checked", lambda tensor: False)
    monkeypatch.setattr(speculative_gpu, "SpeculationGraphs", NotCaptured)
    monkeypatch.setattr(
        engine, "make_runner", lambda *parts: SpeculativeGPURunner(*parts, lambda m: FusedTransformer(m, twins))
    )


class NotCaptured(SpeculationGraphs):
    """runs: how many steps were replayed."""

    def __init__(self, forward, cache, _, *more):
        super().__init__(forward, cache, choose, *more)
        self.runs = 0

    def capture(self):
        self.graphs = dict.fromkeys(self.sizes, ())

    def _replay(self, block_tables, size):
        self.runs += 1
        super()._replay(block_tables, size)

    def _run_graphs(self, size):
        steps = [self._check] if self.draft is None else [self._draft, self._check]
        self.logits[size] = [step(size) for step in steps]

    def seconds(self):
        return 0.0, 0.0


def nearly(model):
    """A draft model: the same weights and a little noise."""
    draft, noise = copy.deepcopy(model), torch.Generator().manual_seed(1)
    for weight in draft.parameters():
        weight += 0.03 * torch.randn(weight.shape, generator=noise, dtype=weight.dtype)
    return draft


@pytest.mark.parametrize("speculation", ["draft", "ngram"])
def test_replayed_steps_write_what_naive_decoding_writes(speculation):
    model = random_model(vocab_size=11, context=64).double()
    rule = dict(num_speculative_tokens=3, rejection_sample_method="strict")
    spec = DraftModel(model=nearly(model), **rule) if speculation == "draft" else NGram(prompt_lookup_min=1, **rule)
    config = dict(num_blocks=30, block_size=4, max_num_seqs=5, max_num_batched_tokens=24, watermark=0.0)
    e = Engine(model, EngineConfig(speculation=spec, preemption="swap", **config), trace=False)
    assert serve_and_check(e, model, 16, [1, 19, 27]) == 17 and e.runner.graphs.runs > 15 and e.metrics.num_preemptions
    assert 0 < e.metrics.num_accepted_tokens < e.metrics.num_draft_tokens


def test_probabilities_of_drafts_are_those_that_they_were_drawn_from():
    """The rule is given the right rows: with a draft model that is the model itself everything is accepted."""
    model = random_model(vocab_size=11, context=64).double()
    spec = DraftModel(model=copy.deepcopy(model), num_speculative_tokens=3)
    e = Engine(model, EngineConfig(speculation=spec, num_blocks=60, block_size=4, max_num_seqs=5), trace=False)
    kinds = [dict(temperature=1.0), dict(temperature=0.7, top_p=0.8), {}, dict(temperature=1.3, min_p=0.1)]
    e.generate(
        [[1], [2, 3], [4, 5, 6], [7]], [SamplingParams(max_tokens=8 + i, seed=i, **k) for i, k in enumerate(kinds)]
    )
    assert e.metrics.num_accepted_tokens == e.metrics.num_draft_tokens > 15
