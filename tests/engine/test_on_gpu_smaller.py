"""On a GPU, kernels compiled, in float32: quantised caches, windows and speculation in captured steps of fused kernels
write what the plain model writes step by step.
"""

import copy
import random
from dataclasses import replace
from functools import cache

import pytest
import torch
from random_models import model as random_model

from course_lib import Engine, EngineConfig, SamplingParams
from course_lib.decoding import generate_naive
from course_lib.engine import DraftModel, NGram

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="no GPU here; the same functions run in test_smaller_caches, test_speculation and test_speculation_graphs",
)
SHAPE = dict(num_heads=6, num_kv_heads=2, qk_norm=True, vocab_size=31, context=96)
USUAL = dict(block_size=4, num_blocks=60, max_num_seqs=24, max_num_batched_tokens=96, watermark=0.0)
KINDS = [{}, dict(temperature=1.0), dict(temperature=0.7, top_p=0.8), dict(temperature=1.0, top_k=3)]


def requests(count):
    draw = random.Random(count)
    for seed in range(count):
        prompt = [draw.randrange(31) for _ in range(draw.choice([1, 4, 9, 30]))]
        yield (
            prompt,
            SamplingParams(
                max_tokens=draw.choice([1, 9, 24]), seed=seed % 9, n=1 + (seed % 7 == 6), **draw.choice(KINDS)
            ),
        )


def served(model, count, **config):
    """(engine, {(request, index): token ids}) of that many requests, at most 40 at a time."""
    engine, outputs, waiting = (
        Engine(model, EngineConfig(**USUAL | config), trace=False),
        {},
        list(requests(count))[::-1],
    )
    while waiting or engine.has_unfinished():
        while waiting and len(engine.live.requests) < 40:
            engine.add_request(*waiting.pop())
        for output in engine.step():
            outputs[int(output.request_id), output.index] = output.token_ids
        if engine.metrics.num_steps % 50 == 0:
            engine.check_integrity()
    assert engine.allocator.num_free == engine.allocator.num_blocks
    return engine, outputs


@pytest.mark.parametrize("kv_dtype", ["int8", "fp8", "int4", "bfloat16"])
@pytest.mark.parametrize("seen", [{}, dict(window=20, sinks=3)], ids=str)
def test_smaller_caches_in_graphs_write_what_they_write_without(kv_dtype, seen):
    """A number between two steps of a quantised cache may go to either by rounding of the products before it."""
    model = random_model(**SHAPE).to("cuda")
    fast, found = served(model, 300, kv_dtype=kv_dtype, preemption="swap", **seen)
    assert type(fast.runner).__name__ == "GPURunner"
    _, exact = served(
        model, 300, kv_dtype=kv_dtype, preemption="swap", enforce_eager=True, async_scheduling=False, **seen
    )
    different = sum(found[name] != exact[name] for name in exact)
    assert found.keys() == exact.keys() and different <= 3, f"{different} of {len(exact)} differ"


@pytest.mark.parametrize("name", ["draft", "ngram"])
@pytest.mark.parametrize(
    "switches", [{}, dict(preemption="swap", num_blocks=40), dict(max_num_batched_tokens=24)], ids=str
)
def test_drafts_in_graphs_never_change_a_text(name, switches):
    alone = random_model(**SHAPE)
    model = copy.deepcopy(alone).to("cuda")
    draft, noise = copy.deepcopy(alone), torch.Generator().manual_seed(1)
    for weight in draft.parameters():
        weight += 0.03 * torch.randn(weight.shape, generator=noise)
    rule = dict(num_speculative_tokens=4, rejection_sample_method="strict")
    speculation = DraftModel(model=draft.to("cuda"), **rule) if name == "draft" else NGram(prompt_lookup_min=1, **rule)
    kept = list(requests(600))

    @cache
    def expected(number, index):
        prompt, params = kept[number]
        return generate_naive(alone, prompt, replace(params, n=1, seed=params.seed + index))

    engine, found = served(model, 600, speculation=speculation, **switches)
    assert type(engine.runner).__name__ == "SpeculativeGPURunner"
    assert all(token_ids == expected(*name) for name, token_ids in found.items())
    assert 0 < engine.metrics.num_accepted_tokens < engine.metrics.num_draft_tokens
    assert engine.runner.verify_seconds > 0
