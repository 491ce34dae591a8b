"""The engine: sampling, policies, and what is refused."""

import pytest
from small_engine import MODEL, engine, run, steps
from summing import oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import EngineConfig
from course_lib.errors import ParameterError

# --- sampling ---


def test_a_seed_gives_the_same_tokens_alone_and_batched():
    params = [
        SamplingParams(max_tokens=8, temperature=t, top_p=p, seed=s)
        for t in (0.7, 1.0)
        for p in (0.9, 1.0)
        for s in (1, 2, 3)
    ]
    e = engine(num_blocks=24, max_num_batched_tokens=7)
    together = e.generate([[5, 6, 7]] * 12 + [[1, 2]], [*params, SamplingParams(max_tokens=8)])
    assert e.metrics.num_preemptions + e.metrics.peak_running > 3
    for output, its_params in zip(together, params):
        assert output.token_ids == oracle(MODEL, [5, 6, 7], its_params)
    assert len({tuple(o.token_ids) for o in together}) > 5


def test_without_a_seed_the_engines_seed_decides():
    def texts(seed):
        return [
            o.token_ids
            for o in engine(seed=seed).generate([[1, 2]] * 3, SamplingParams(max_tokens=12, temperature=2.0))
        ]

    assert texts(0) == texts(0) != texts(1)
    assert texts(0)[0] != texts(0)[1]


# --- policies in the engine ---


def test_priority_inversion_is_prevented():
    """One unimportant request fills the only seat; an important one takes it over, and both write what they would
    alone.
    """

    def order_of_ends(policy, preemption="recompute"):
        e = engine(max_num_seqs=1, policy=policy, preemption=preemption)
        low = e.add_request([1, 2, 3], SamplingParams(max_tokens=12), priority=5)
        e.step(), e.step()
        high = e.add_request([4, 5], SamplingParams(max_tokens=2), priority=0)
        got = run(e)
        assert got[low, 0].token_ids == oracle(MODEL, [1, 2, 3], SamplingParams(max_tokens=12))
        assert got[high, 0].token_ids == oracle(MODEL, [4, 5], SamplingParams(max_tokens=2))
        return [row[0] for row in steps(e, "finish")]

    assert order_of_ends("fcfs") == ["0", "1"]  # shown: importance waits for unimportance
    assert order_of_ends("priority") == order_of_ends("priority", "swap") == ["1", "0"]


def test_memory_is_taken_from_the_least_important():
    e = engine(num_blocks=6, policy="priority", prefix_caching=False)
    ids = [e.add_request([i] * 5, SamplingParams(max_tokens=8), priority=p) for i, p in ((1, 0), (2, 9), (3, 4))]
    got = run(e)
    assert {row[0] for row in steps(e, "preempt")} == {ids[1]} and [row[0] for row in steps(e, "finish")] == [
        ids[0],
        ids[2],
        ids[1],
    ]
    assert all(
        got[i, 0].token_ids == oracle(MODEL, [n] * 5, SamplingParams(max_tokens=8)) for i, n in zip(ids, (1, 2, 3))
    )


# --- refusals ---


@pytest.mark.parametrize(
    "prompt, params, more, says",
    [
        ([], {}, {}, "empty"),
        ([1, 99], {}, {}, "Token id 99 is outside the vocabulary of 31"),
        ([1, -1], {}, {}, "Token id -1"),
        ([1] * 90, dict(max_tokens=10), {}, "need 100 positions; the model's context is 96"),
        (
            [1] * 60,
            dict(max_tokens=6),
            {},
            "need 17 blocks of 4 tokens, and there are 16 in all.*Raise num_blocks to 17",
        ),
        ([1], dict(n=9), {}, "max_num_seqs is 8"),
        ([1], dict(stop=("a",)), {}, "no tokenizer"),
        ([1], {}, dict(priority="high"), "priority is 'high'"),
        ([1], {}, dict(priority=None), "priority is None"),
        ([1], {}, dict(arrival=float("nan")), "arrival is nan"),
        ([1], {}, dict(client=None), "client is None"),
        ([1], {}, dict(request_id=""), "request_id is ''"),
        ([1], {}, dict(request_id="mine"), "'mine' is being served already"),
        ([1], {}, dict(request_id="many.2"), "'many.2' is being served already"),
        ([1], dict(n=2), dict(request_id="other"), "one of these names"),
        ("text", {}, {}, "flat list of token ids"),
    ],
    ids=range(16),
)
def test_what_can_never_be_served_is_refused_and_the_others_run_on(prompt, params, more, says):
    e = engine()
    e.add_request([1, 2], SamplingParams(max_tokens=4), request_id="mine")
    e.add_request([1, 2], SamplingParams(max_tokens=4, n=3), request_id="many")
    e.add_request([1, 2], SamplingParams(max_tokens=4), request_id="other.1")
    e.step()
    before = repr(e), e.metrics.num_requests, len(e.trace)
    with pytest.raises(ParameterError, match=says):
        e.add_request(prompt, SamplingParams(**{"max_tokens": 4, **params}), **more)
    assert (repr(e), e.metrics.num_requests, len(e.trace)) == before
    got = run(e)
    assert got["mine", 0].token_ids == oracle(MODEL, [1, 2], SamplingParams(max_tokens=4)) and len(got) == 5
    e.add_request([1], SamplingParams(max_tokens=4), request_id="mine")  # free again


def test_generate_takes_all_prompts_or_none():
    e = engine()
    with pytest.raises(ParameterError, match="empty"):
        e.generate([[1, 2], []], SamplingParams(max_tokens=4))
    with pytest.raises(ParameterError, match="no tokenizer to read it"):
        e.generate([[1, 2], "text"], SamplingParams(max_tokens=4))
    with pytest.raises(ParameterError, match="2 prompts came with 1 parameters"):
        e.generate([[1], [2]], [SamplingParams()])
    assert not e.has_unfinished()


def test_a_whole_prompt_in_one_step_must_fit_the_budget_even_after_a_preemption():
    e = engine(chunked_prefill=False, max_num_batched_tokens=12)
    with pytest.raises(ParameterError, match="one step of 13 tokens.*max_num_batched_tokens=12"):
        e.add_request(range(10), SamplingParams(max_tokens=4))
    e.add_request(range(10), SamplingParams(max_tokens=3))


@pytest.mark.parametrize(
    "config",
    [
        dict(block_size=0),
        dict(block_size=1.5),
        dict(num_blocks=0),
        dict(max_num_seqs=-1),
        dict(max_num_batched_tokens=True),
        dict(policy="lifo"),
        dict(policy=int),
        dict(policy=None),
        dict(preemption="kill"),
        dict(eviction="fifo"),
        dict(chunked_prefill=1),
        dict(prefix_caching=None),
        dict(watermark=1.0),
        dict(watermark=-0.1),
        dict(watermark="1"),
        dict(seed=-1),
    ],
    ids=lambda config: f"{next(iter(config))}-{str(next(iter(config.values())))[:12]}",
)
def test_a_bad_setting_is_refused_with_its_name_and_value(config):
    [(name, value)] = config.items()
    with pytest.raises(ParameterError) as caught:
        EngineConfig(**config)
    assert str(caught.value).startswith(f"{name} is {value!r}")
