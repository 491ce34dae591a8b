"""Speculation changes how many steps a text takes, and never the text: greedy by token, sampled by token where the
rule is strict, by distribution where it is not.
"""

from collections import Counter

import pytest
import random_models
import scenarios
import torch
from hypothesis import HealthCheck, given, seed, settings
from scenarios import POISON, days, live
from small_engine import MODEL, engine, run, steps
from summing import Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import DraftModel, Engine, EngineConfig, NGram, memory
from course_lib.errors import ParameterError
from course_lib.kvcache import Recompute

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


class OftenRight(Summing):
    """A draft that is wrong at every third position."""

    def __call__(self, token_ids, positions, cache, logits_for=None):
        logits = super().__call__(token_ids, positions, cache)
        logits = torch.where((positions % 3 == 0)[:, None], logits.roll(1, -1), logits)
        return logits if logits_for is None else logits[logits_for]


class FewWords(Summing):
    """Says only three tokens, so that its texts repeat themselves."""

    def __call__(self, token_ids, positions, cache, logits_for=None):
        logits = super().__call__(token_ids, positions, cache, logits_for)
        return torch.zeros_like(logits).index_add(1, torch.arange(logits.shape[1]) % 3, logits)


FEW_WORDS = FewWords()
SPECULATIONS = {
    "ngram": NGram(num_speculative_tokens=3, prompt_lookup_min=1, rejection_sample_method="strict"),
    "often right": DraftModel(model=OftenRight(), num_speculative_tokens=4, rejection_sample_method="strict"),
    "always right": DraftModel(model=MODEL, num_speculative_tokens=2, rejection_sample_method="strict"),
}


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
@pytest.mark.parametrize("name", SPECULATIONS)
def test_every_request_writes_what_it_writes_alone(name, preemption, monkeypatch):
    seen, engines = Counter(), []

    class Kept(Engine):
        def __init__(self, *args, **more):
            super().__init__(*args, **more)
            engines.append(self)
            if self.runner.drafter is not None:
                own = self.runner.drafter.cache.pool
                own.k.fill_(POISON), own.v.fill_(POISON)

    monkeypatch.setattr(scenarios, "Engine", Kept)

    @seed(len(name))
    @settings(SETTINGS, max_examples=120)
    @given(day=days(preemption=preemption, speculation=SPECULATIONS[name], async_scheduling=None))
    def lived(day):
        live(FEW_WORDS if name == "ngram" else MODEL, *day, seen=seen)
        m = engines.pop().metrics
        seen.update(drafted=m.num_draft_tokens, accepted=m.num_accepted_tokens)

    lived()
    # The draft's own cache holds the right tokens at every moment, or it would draft another token somewhere.
    assert name != "always right" or seen["drafted"] == seen["accepted"]
    assert seen["accepted"] > 100 and seen["preempted scenarios"] > 12 and seen["cached tokens"] > 120
    assert name == "always right" or seen["drafted"] > seen["accepted"]


def test_drafts_take_fewer_steps_and_their_blocks_come_back():
    e = engine(speculation=DraftModel(model=OftenRight(), num_speculative_tokens=4))
    e.add_request([3, 1, 4], SamplingParams(max_tokens=20))
    out = run(e)["0", 0]
    assert out.token_ids == oracle(MODEL, [3, 1, 4], SamplingParams(max_tokens=20))
    assert e.metrics.num_steps < 10
    told = steps(e, "speculate")
    assert sum(drafted for _, drafted, _ in told) == e.metrics.num_draft_tokens
    assert sum(accepted for *_, accepted in told) == e.metrics.num_accepted_tokens
    # What the model computed, less what was taken back, is each token of the text but the last.
    rejected = e.metrics.num_draft_tokens - e.metrics.num_accepted_tokens
    assert e.metrics.num_scheduled_tokens - rejected == 3 + 20 - 1


def test_no_draft_where_the_text_ends_with_the_next_token():
    e = engine(speculation=DraftModel(model=MODEL, num_speculative_tokens=4))
    e.add_request([3, 1, 4], SamplingParams(max_tokens=2))
    run(e)
    assert e.metrics.num_draft_tokens == 0


def test_a_token_after_a_stop_token_is_cut():
    params = SamplingParams(max_tokens=20)
    stop = oracle(MODEL, [3, 1, 4], params)[6]
    params = SamplingParams(max_tokens=20, stop_token_ids=(stop,))
    e = engine(speculation=DraftModel(model=MODEL, num_speculative_tokens=8))
    e.add_request([3, 1, 4], params)
    out = run(e)["0", 0]
    assert out.token_ids == oracle(MODEL, [3, 1, 4], params) and out.finish_reason == "stop"


def test_drafts_leave_every_running_request_its_token():
    e = engine(num_blocks=64, max_num_batched_tokens=8, speculation=DraftModel(model=MODEL, num_speculative_tokens=4))
    for first in range(4):
        e.add_request([first, 1], SamplingParams(max_tokens=12))
    run(e)
    first, second, *_ = steps(e)
    assert first[2] == [2, 2, 2, 2] and second[2] == [5, 1, 1, 1]
    assert all(sum(counts) <= 8 for _, _, counts in steps(e))


def test_drafts_never_preempt():
    e = engine(num_blocks=6, block_size=4, speculation=DraftModel(model=MODEL, num_speculative_tokens=6))
    for first in range(2):
        e.add_request([first, 1], SamplingParams(max_tokens=10))  # 11 tokens each in the end: 3 blocks
    run(e)
    assert e.metrics.num_preemptions == 0 and e.metrics.num_draft_tokens > 0


def test_the_pool_of_the_draft_model_counts_where_the_engine_chooses_its_blocks(monkeypatch):
    model, many = random_models.model(), dict(max_num_seqs=64)
    monkeypatch.setattr(memory, "CPU_ENOUGH", 2**18)
    alone = Engine(model, EngineConfig(**many), trace=False)
    e = Engine(model, EngineConfig(speculation=DraftModel(model=model), **many), trace=False)
    assert 2**17 < alone.pool.num_bytes <= 2**18
    assert e.pool.num_bytes + e.runner.drafter.cache.pool.num_bytes <= 2**18 < 3 * e.pool.num_bytes


def exact_second_token(model, prompt):
    """The distribution of the second token of a text, over all first tokens."""

    def after(token_ids):
        ids = torch.tensor(token_ids)
        return model(ids, torch.arange(len(ids)), Recompute())[-1].softmax(-1)

    return sum(p * after([*prompt, first]) for first, p in enumerate(after(prompt)))


@pytest.mark.parametrize(
    "model, draft",
    [(MODEL, DraftModel(model=OftenRight(), num_speculative_tokens=2)), (FEW_WORDS, NGram(prompt_lookup_min=1))],
)
def test_sampled_tokens_are_distributed_as_without(model, draft):
    prompt, large = [2, 1, 2, 1, 2], dict(num_blocks=400, max_num_seqs=100, max_num_batched_tokens=900)
    e = engine(model=model, speculation=draft, **large)
    params = [SamplingParams(max_tokens=4, temperature=1.0, seed=i) for i in range(2500)]
    seconds = torch.tensor([output.token_ids[1] for output in e.generate([prompt] * 2500, params)])
    assert 0.05 < e.metrics.acceptance_rate < 0.95
    expected = exact_second_token(model, prompt) * 2500
    statistic = ((torch.bincount(seconds, minlength=len(expected)) - expected) ** 2 / expected).sum()
    assert statistic < 78  # chi-square with 30 degrees of freedom exceeds it once in 200,000


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: EngineConfig(speculation="medusa"), "ngram"),
        (lambda: EngineConfig(speculation=4), "ngram"),
        (lambda: EngineConfig(speculation="ngram", async_scheduling=True), "async_scheduling"),
        (lambda: NGram(num_speculative_tokens=0), "at least 1"),
        (lambda: NGram(num_speculative_tokens=True), "whole number"),
        (lambda: NGram(prompt_lookup_min=3, prompt_lookup_max=2), "at least 3"),
        (lambda: NGram(rejection_sample_method="lenient"), "strict"),
        (lambda: DraftModel(), "needs a model"),
        (lambda: engine(speculation=DraftModel(model=Summing(context=32))), "context"),
    ],
)
def test_bad_settings_are_refused(make, says):
    with pytest.raises(ParameterError, match=says):
        make()
