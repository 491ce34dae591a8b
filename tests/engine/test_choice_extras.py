"""Penalties and log probabilities: in a crowd what they are alone, and nothing where nobody asks."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_models import model
from scenarios import days, live
from small_engine import MODEL, engine, run
from summing import VOCABULARY, oracle

from course_lib.decoding import SamplingParams, generate_cached, generate_naive
from course_lib.decoding.generate_speculative import generate_speculative
from course_lib.decoding.penalties import PenaltyTable, apply_penalties
from course_lib.errors import ParameterError
from course_lib.kvcache import Recompute

PENALTIES = st.fixed_dictionaries(
    {},
    optional={
        "presence_penalty": st.sampled_from([-1.5, 0.3, 2]),
        "frequency_penalty": st.sampled_from([-0.7, 0.1, 1.1]),
        "repetition_penalty": st.sampled_from([0.5, 1.2, 3.0]),
        "logit_bias": st.dictionaries(st.integers(0, VOCABULARY - 1), st.sampled_from([-100, -0.5, 2.5]), max_size=3),
        "logprobs": st.integers(0, 3),
    },
)
FIELDS = dict(presence_penalty=0.4, frequency_penalty=0.3, repetition_penalty=1.3, logit_bias={4: 1.5, 9: -100})


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_sequences_with_penalties_write_in_a_crowd_what_they_write_alone(preemption):
    seen = Counter()

    @seed(1)
    @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=40)
    @given(day=days(preemption=preemption), data=st.data())
    def lived(day, data):
        config, arrivals = day
        live(MODEL, config, [replace(a, params=replace(a.params, **data.draw(PENALTIES))) for a in arrivals], seen=seen)

    lived()
    assert seen["preemptions"] > 5 and seen["texts forked"] > 5


@pytest.mark.parametrize("async_scheduling", [False, True])
def test_logprobs_are_those_of_the_model_s_logits(async_scheduling):
    """With prompts in pieces, preempted sequences, several for a prompt, and penalties, which do not change them."""
    transformer = model(vocab_size=VOCABULARY, context=96)
    e = engine(num_blocks=14, max_num_batched_tokens=5, model=transformer, async_scheduling=async_scheduling)
    asked = {}
    for i in range(8):
        how = dict(n=1 + i % 2, temperature=i % 3 / 2, seed=i, logprobs=(None, 0, 3, 3)[i % 4])
        params = SamplingParams(max_tokens=9, **how, **FIELDS if i > 4 else {})
        prompt = [3, 1, 4, 1, 5, i, i]
        asked[e.add_request(prompt, params)] = prompt, params
    found = run(e)
    assert e.metrics.num_preemptions
    for (request_id, index), output in found.items():
        prompt, params = asked[request_id]
        assert output.token_ids == oracle(transformer, prompt, params, index)
        if params.logprobs is None:
            assert output.logprobs is None
            continue
        right = raw_logits(transformer, prompt + output.token_ids)[len(prompt) - 1 : -1].log_softmax(-1)
        assert len(output.logprobs) == len(output.token_ids)
        for token_id, its, row in zip(output.token_ids, output.logprobs, right):
            assert next(iter(its)) == token_id and its[token_id].rank == int((row >= row[token_id]).sum())
            likeliest = row.topk(params.logprobs).indices.tolist()
            assert set(its) == {token_id, *likeliest} and [its[i].rank for i in likeliest] == [
                *range(1, 1 + params.logprobs)
            ]
            torch.testing.assert_close(torch.tensor([one.logprob for one in its.values()]), row[list(its)])


@torch.inference_mode()
def raw_logits(transformer, token_ids):
    return transformer(torch.tensor(token_ids), torch.arange(len(token_ids)), Recompute())


def test_many_sequences_at_once_are_penalised_as_each_alone():
    torch.manual_seed(0)
    logits = torch.randn(6, VOCABULARY) * 3
    table, sequences = PenaltyTable(VOCABULARY, "cpu"), {}
    for key in range(6):
        params = SamplingParams(**FIELDS) if key % 2 else SamplingParams(frequency_penalty=-0.1 * key)
        sequences[key] = params, torch.randint(VOCABULARY, (5 + 4 * key,)).tolist(), 3
        table.begin(key, *sequences[key])
    table.forget(2)
    table.begin(7, *sequences[2])
    keys, new = [0, 1, 7, 3, 4, 5], torch.arange(6)
    for _ in range(3):  # a token more each time
        found = table.apply(logits, torch.tensor(table.rows(keys)))
        for row, key in enumerate(keys):
            its = sequences[2 if key == 7 else key]
            assert torch.equal(found[row], apply_penalties(logits[row], *its))
            its[1].append(int(new[row]))
        table.count(torch.tensor(table.rows(keys)), new)


def test_the_penalties_are_vllm_s():
    logits = torch.tensor([2.0, -2.0, 1.0, 0.5])
    params = SamplingParams(presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=2, logit_bias={3: 4})
    found = apply_penalties(logits, params, [0, 3, 1, 1], num_prompt_tokens=2)
    # 0: in the prompt. 1: twice in the output. 2: nowhere. 3: in the prompt, and 4.5 with its bias.
    assert found.tolist() == [2 / 2, -2 * 2 - 2 * 0.25 - 0.5, 1, 4.5 / 2]


def test_decoding_with_a_cache_has_penalties_too():
    transformer, params = model(vocab_size=VOCABULARY), SamplingParams(max_tokens=20, **FIELDS)
    alone = generate_naive(transformer, [3, 1, 4, 1, 5], params)
    assert alone == generate_cached(transformer, [3, 1, 4, 1, 5], params) and 9 not in alone
    assert alone != generate_naive(transformer, [3, 1, 4, 1, 5], SamplingParams(max_tokens=20))


def test_where_they_are_not_computed_they_are_refused():
    for asked in (dict(logprobs=0), dict(presence_penalty=1), dict(logit_bias={1: 1})):
        params = SamplingParams(max_tokens=4, **asked)
        with pytest.raises(ParameterError, match="does not compute with speculation"):
            engine(speculation="ngram").add_request([1], params)
        with pytest.raises(ParameterError, match="this loop does not compute"):
            generate_speculative(MODEL, MODEL, [1], params)
    with pytest.raises(ParameterError, match="which this loop does not compute"):
        generate_naive(MODEL, [1], SamplingParams(max_tokens=4, logprobs=0))
    with pytest.raises(ParameterError, match="outside of the vocabulary"):
        engine().add_request([1], SamplingParams(logit_bias={VOCABULARY: 1}))


@pytest.mark.parametrize(
    "field, bad",
    [("presence_penalty", 2.1), ("frequency_penalty", -2.1), ("frequency_penalty", float("nan")),
     ("repetition_penalty", 0), ("logit_bias", {3: 101}), ("logit_bias", {-1: 1}), ("logit_bias", 5),
     ("logit_bias", {"a": 1}), ("logprobs", 21), ("logprobs", -1), ("logprobs", True)],
)  # fmt: skip
def test_a_wrong_value_is_refused(field, bad):
    with pytest.raises(ParameterError, match=field):
        SamplingParams(**{field: bad})


def test_parameters_can_be_made_from_others():
    params = SamplingParams(**FIELDS)
    assert replace(params, n=2).logit_bias == params.logit_bias == ((4, 1.5), (9, -100))
    assert params.has_penalties and not SamplingParams(logprobs=2).has_penalties


def test_nothing_is_done_where_nobody_asks(monkeypatch):
    e = engine()
    monkeypatch.setattr(e.runner.extras, "upload", None)
    e.generate([[1, 2], [3]], SamplingParams(max_tokens=4, n=2, temperature=1))
    assert not e.runner.rows.asking and e.runner.extras._table is None
    with pytest.raises(TypeError):
        e.generate([[1, 2]], SamplingParams(max_tokens=4, logprobs=1))
