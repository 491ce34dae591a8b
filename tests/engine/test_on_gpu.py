"""The engine on a GPU, kernels compiled, in float32: the tokens that naive decoding gives on the CPU."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch
from random_models import model as random_model

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.decoding import generate_naive
from course_lib.kvcache import Recompute

NO_GPU = (
    "no GPU here; the same kernels run interpreted in tests/attention, the same engine without them in test_engine_fuzz"
)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(block_size=8, max_num_batched_tokens=24, num_blocks=60),
        dict(block_size=32, preemption="swap", num_blocks=16),
    ],
    ids=["usual", "chunks", "swap"],
)
def test_requests_on_a_gpu_get_the_tokens_of_naive_decoding_on_a_cpu(settings):
    on_cpu, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    on_gpu, _ = load_model("tale", device="cuda", dtype=torch.float32)
    tale = tokenizer.encode("Once upon a time there lived in a quiet village a brave hare")
    prompts = [
        tale,
        tale[:5],
        tale + tale[3:9],
        *(tokenizer.encode(f"{word} upon") for word in ("Once", "Long", "Far", "In", "The", "A")),
    ]
    params = [SamplingParams(max_tokens=20 + 12 * i, ignore_eos=True) for i in range(len(prompts))]
    engine = Engine(on_gpu, EngineConfig(max_num_seqs=6, **settings))
    outputs = engine.generate(prompts, params)
    engine.check_integrity()
    for prompt, wanted, output in zip(prompts, params, outputs):
        assert output.token_ids == generate_naive(on_cpu, prompt, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("budget", [7, 24])
def test_prompts_of_many_chunks_that_choose_nothing(budget):
    """The CPU may not overwrite what a step is still to read, however many steps bring it no token to wait for."""
    shape = dict(num_heads=6, num_kv_heads=2, qk_norm=True, vocab_size=31, context=512)
    model, alone = (random_model(**shape).to(device) for device in ("cuda", "cpu"))
    draw, params = random.Random(0), SamplingParams(max_tokens=5)
    prompts = [[draw.randrange(31) for _ in range(400)] for _ in range(6)]
    config = EngineConfig(block_size=4, max_num_seqs=4, max_num_batched_tokens=budget, num_blocks=420)
    for prompt, output in zip(prompts, Engine(model, config, trace=False).generate(prompts, params)):
        assert output.token_ids == generate_naive(alone, prompt, params)


MANY = [
    (50_000, {}, {}),
    (20_000, {"preemption": "swap", "async_scheduling": False}, {}),
    (2_000, {"preemption": "swap"}, {}),
    (2_000, {"async_scheduling": False}, {}),
    (2_000, {"enforce_eager": True}, {}),
    (2_000, {"prefix_caching": False}, {}),
    (2_000, {"chunked_prefill": False}, {}),
    (2_000, {"max_num_batched_tokens": 7}, {}),
    (2_000, {"policy": "priority", "eviction": "priority"}, {}),
    (2_000, {"policy": "fair", "preemption": "swap"}, {}),
    (2_000, {}, {"windows": (None, 5)}),
    (2_000, {"preemption": "swap"}, {"windows": (3, 9)}),
]
"""(requests, switches of the engine, of the model)."""


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("wanted, switches, shape", MANY, ids=[str(i) for i in range(len(MANY))])
def test_thousands_of_requests_of_all_kinds_get_the_tokens_that_they_get_alone(wanted, switches, shape):
    """In float32, with graphs and fused kernels, aborts, forks, filters and memory that is short. No memory is lost,
    and after the start no kernel is compiled.
    """
    import triton

    draw = random.Random(wanted)
    shape = dict(num_heads=6, num_kv_heads=2, qk_norm=True, vocab_size=31, context=96) | shape
    model, alone = (random_model(**shape).to(device) for device in ("cuda", "cpu"))
    kinds = [
        {},
        dict(temperature=1.0),
        dict(temperature=0.7, top_p=0.8),
        dict(temperature=1.0, top_k=3),
        dict(min_p=0.3, temperature=1.0),
    ]
    prompts = [[draw.randrange(31) for _ in range(draw.randrange(1, 9))] for _ in range(40)]
    kept = [
        (
            draw.choice(prompts)[: switches.get("max_num_batched_tokens")],
            SamplingParams(max_tokens=draw.choice([1, 3, 14]), seed=draw.randrange(9), n=n, **draw.choice(kinds)),
        )
        for n in (1, 1, 1, 1, 2) * 100
    ]

    @cache
    def expected(number, index):
        prompt, p = kept[number]
        return generate_naive(alone, prompt, replace(p, n=1, seed=p.seed + index))

    usual = dict(block_size=4, num_blocks=50, max_num_seqs=24, max_num_batched_tokens=96, watermark=0.0)
    engine = Engine(model, EngineConfig(**usual | switches), trace=False)
    assert (type(engine.runner).__name__ == "GPURunner") != ("enforce_eager" in switches)
    alive, added, ended, memory, compiled = {}, 0, 0, [], []
    if "enforce_eager" not in switches:
        triton.knobs.runtime.jit_post_compile_hook = lambda *_, fn, **__: compiled.append(fn.name)
    while added < wanted or engine.has_unfinished():
        while added < wanted and len(alive) < 40:
            number = draw.randrange(len(kept))
            alive[engine.add_request(*kept[number], priority=added % 3, client=str(added % 2))] = number
            added += 1
        if draw.random() < 0.05:
            engine.abort(draw.choice(list(alive)))
        for output in engine.step():
            if output.finished and output.finish_reason != "abort":
                assert output.token_ids == expected(alive[output.request_id], output.index), output
            ended += output.finished
        alive = {i: number for i, number in alive.items() if i in engine.live.requests}
        if engine.metrics.num_steps % 100 == 0:
            engine.check_integrity()
        if added in (wanted // 4, wanted) and len(memory) < 2 and (not memory or added == wanted):
            memory.append(torch.cuda.memory_allocated())
    triton.knobs.runtime.jit_post_compile_hook = None
    assert engine.allocator.num_free == 50 and not engine.runner.saved and ended >= wanted
    assert engine.metrics.num_preemptions > wanted // 400 or "max_num_batched_tokens" in switches  # few run at a time
    assert engine.metrics.num_cached_tokens > wanted // 40 or "prefix_caching" in switches
    assert memory[-1] <= memory[0] + 2**16
    assert not compiled


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_the_number_of_blocks_leaves_room_for_the_largest_step():
    from course_lib.engine import memory

    model, _ = load_model("tale", device="cuda", dtype=torch.float32)
    config = EngineConfig(max_num_seqs=64, max_num_batched_tokens=8192, gpu_memory_utilization=0.1)
    needed = memory.bytes_of_largest_step(model, config)
    logits = 64 * model.config.vocab_size * 4
    assert needed > 2 * logits and needed > 8192 * model.config.hidden_size * 4
    assert memory.default_num_blocks(model, config) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("settings", [{}, {"async_scheduling": False}, {"enforce_eager": True}], ids=str)
def test_penalties_and_log_probabilities_on_a_gpu_are_those_of_a_cpu(settings):
    """In steps with graphs and without, beside sequences that ask for neither."""
    models = [load_model("tale", device=device, dtype=torch.float32)[0] for device in ("cpu", "cuda")]
    penalties = dict(presence_penalty=0.5, frequency_penalty=0.4, repetition_penalty=1.2, logit_bias={300: 3, 17: -100})
    prompts = [[9, 8, 7, 300 + i] for i in range(12)]
    params = [
        SamplingParams(
            max_tokens=24, ignore_eos=True, seed=i, temperature=i % 2 / 2, logprobs=3 if i % 4 > 1 else None,
            **penalties if i % 3 else {},
        )
        for i in range(12)
    ]  # fmt: skip
    engine = Engine(models[1], EngineConfig(max_num_seqs=8, num_blocks=10, **settings), trace=False)
    outputs = engine.generate(prompts, params)
    assert engine.metrics.num_preemptions
    for prompt, wanted, output in zip(prompts, params, outputs):
        assert output.token_ids == generate_naive(models[0], prompt, replace(wanted, logprobs=None))
        if wanted.logprobs is None:
            assert output.logprobs is None
            continue
        ids = torch.tensor(prompt + output.token_ids)
        right = models[0](ids, torch.arange(len(ids)), Recompute())[len(prompt) - 1 : -1].log_softmax(-1)
        for row, its in zip(right, output.logprobs, strict=True):
            found = torch.tensor([one.logprob for one in its.values()])
            torch.testing.assert_close(found, row[list(its)], rtol=1e-3, atol=1e-3)
            assert set(row.topk(3).indices.tolist()) <= set(its)
